/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The door of transcode, floor 2: any video in, an ABR ladder of closed GOPs out, each GOP
 * re-makeable alone. No byte of a foreign file is parsed here: sandboxed `reelrig-worker` processes
 * do that, and their answers are distrusted. */
#ifndef RR_TRANSCODE_H
#define RR_TRANSCODE_H
#include "transcode/transcode_devices.h"
#include "transcode/transcode_facts.h"
#include "transcode/transcode_ladder.h"
#include <stdatomic.h>

/* ---- what a job is told
 * -------------------------------------------------------------------------- */
/* "h264", "hevc", "av1", "vp9"; false for other texts. Any thread. */
bool rr_codec_parse(enum rr_codec *out, const char *text) RR_MUST_USE;
const char *rr_codec_text(enum rr_codec codec);   /* static */
const char *rr_codec_preset(enum rr_codec codec); /* its default; static */
uint16_t rr_codec_crf(enum rr_codec codec);       /* its default */
uint16_t rr_codec_side_min(enum rr_codec codec);  /* least width and height */
struct rr_transcode_options;
struct rr_transcode_progress;
struct rr_transcode_result;
typedef void rr_transcode_progress_fn(void *ctx, const struct rr_transcode_progress *progress);
typedef enum rr_err rr_transcode_maker(void *ctx, struct rr_transcode_result *out, int source_fd,
                                       const struct rr_transcode_options *options,
                                       rr_transcode_progress_fn *progress, void *progress_ctx,
                                       const atomic_bool *cancel, struct rr_fault *fault);
/* A field of 0 or NULL stands for its default. All pointers are borrowed for the call. */
/* Which manifests a folder gets; the segments of pictures and sound are the same. */
enum rr_transcode_lists {
    RR_LISTS_BOTH, /* HLS and DASH, master.m3u8 last */
    RR_LISTS_HLS,
    RR_LISTS_DASH /* manifest.mpd last */
};
struct rr_transcode_options {
    struct rr_ladder ladder;
    uint32_t gop_ms;     /* 500..10000, default 2000 */
    enum rr_codec codec; /* default H.264 */
    uint16_t crf;        /* 1..51, default 23 (H.264) or 26 (HEVC); 1..63, 35 (AV1) or 32 (VP9) */
    bool tone_map;       /* PQ and HLG become SDR BT.709 in 8 bit; others stay */
    uint32_t audio_bps;  /* of one or two channels; 5.1 gets three times as much; 16000..512000,
                            default 128000 */
    enum rr_audio_codec audio_codec; /* default AAC */
    bool keep_channels; /* 5.1 and more stay 5.1, one stays one; else all sound becomes stereo */
    uint8_t video;      /* number of the video stream, from 1 on; 0: the best */
    bool one_rung;      /* only the highest rung of the ladder that fits */
    enum rr_transcode_lists lists;     /* of rr_transcode_to_folder */
    struct rr_tracks audio, subtitles; /* default: all */
    const char *mp4_path; /* not NULL: the highest rung and all tracks as one MP4 there, too */
    const char *preset;   /* ultrafast..veryslow, default "veryfast" (H.264) or "superfast" (HEVC);
                             numbers, slow to fast: 2..12, 10 (AV1), 0..8, 5 (VP9) */
    uint64_t work_max;    /* pixels to decode at most; default: a day of 2160p60 */
    unsigned workers;     /* that decode and encode at a time (1: one of each), 1..256, default one
                             per core */
    enum rr_transcode_class class;
    const char *device; /* "auto": the best one in class tolerant, the CPU in class exact; "cpu",
                           the default; or one device's id. In class exact a device decodes only */
    enum rr_transcode_policy policy;
    const char *worker_path; /* default: RR_WORKER of the environment, then reelrig-worker beside
                                this program */
    const char
        *job_folder; /* made when absent: journal and output; needed by rr_transcode_run alone */
    const char *job_note; /* kept in it as the file "note", for who goes on; NULL: none */
    /* Runs the job of rr_transcode_to_folder in place of rr_transcode_run; NULL: that one. */
    rr_transcode_maker *maker;
    void *maker_ctx;
};
/* Name of the exact profile of a preset, which pins encoder build and settings:
 * "x264-164-veryfast-v1". False when the codec has no such preset. Any thread. */
bool rr_transcode_profile(char out[static RR_NAME_MAX + 1], enum rr_codec codec,
                          const char *preset) RR_MUST_USE;
/* The way back; *preset static. False: no profile of this version. Any thread. */
bool rr_transcode_profile_read(enum rr_codec *codec, const char **preset,
                               const char *profile) RR_MUST_USE;

/* Looks into the open file `source_fd` (seekable, borrowed, its offset untouched) in a worker.
 * Blocks up to a minute. Any thread; the thread must outlive the call's workers, which it does by
 * blocking. RR_ERR_FORMAT: not a video, cut short or empty; RR_ERR_UNSUPPORTED: a codec or
 * container that is not taken; RR_ERR_LIMIT; RR_ERR_DAMAGED: nothing decodes; RR_ERR_STATE: no
 * worker program. */
enum rr_err rr_transcode_probe(struct rr_transcode_facts *out, int source_fd,
                               const struct rr_transcode_options *options,
                               struct rr_fault *fault) RR_MUST_USE;

/* The ladder that the job would get, in full: an automatic one is measured (some seconds), others
 * come back sorted. Whoever makes a job's specification asks once and writes the answer into it.
 * Errors and source_fd as rr_transcode_probe; RR_ERR_USAGE for options; RR_ERR_CANCELLED. Blocks.
 */
enum rr_err rr_transcode_choose(struct rr_ladder *out, int source_fd,
                                const struct rr_transcode_options *options,
                                const atomic_bool *cancel, struct rr_fault *fault) RR_MUST_USE;

/* ---- a job
 * ------------------------------------------------------------------------------------------- */
struct rr_transcode_rendition_progress {
    char name[RR_NAME_MAX + 1];
    uint32_t gops_done,
        gops; /* gops: estimated from the duration until the source is read to its end */
    double fps;
    double eta_s; /* 0: not known yet, or done */
};
struct rr_transcode_progress {
    double percent; /* 0..100 */
    double fps;     /* frames of all renditions per second of this run */
    double eta_s;   /* 0: not known yet */
    struct rr_transcode_rendition_progress renditions[RR_RENDITIONS_MAX];
    uint32_t rendition_count;
};
/* On the calling thread of rr_transcode_run, some times a second at most; must not block. */
typedef void rr_transcode_progress_fn(void *ctx, const struct rr_transcode_progress *progress);

struct rr_transcode_segment {
    uint64_t
        start; /* presentation time in info.timescale; the job's first picture or sound is at 0 */
    uint32_t duration; /* same unit */
    uint64_t bytes;
    char *path; /* owned; below job_folder */
};
struct rr_transcode_rendition {
    struct rr_rendition info; /* filled but for init, segments, segment_count, which stay zero */
    char *init_path;          /* owned; of subtitles the whole track */
    uint64_t init_bytes;
    struct rr_transcode_segment *segments; /* owned */
    uint32_t segment_count;
    uint64_t frames_out;           /* pictures; for audio coded frames, for subtitles cues */
    char profile[RR_NAME_MAX + 1]; /* that made all of it; empty: sound */
    char device[RR_TRANSCODE_DEVICE_MAX + 1]; /* that encoded it last; "cpu" */
};
struct rr_transcode_result {
    struct rr_transcode_facts facts;
    struct rr_transcode_rendition *renditions; /* owned; video highest first, audio, subtitles */
    uint32_t rendition_count;
    struct rr_pot_leaf *leaves; /* owned; by rendition, then GOP; a track of sound or text is
                                   one leaf */
    uint32_t leaf_count;
    uint64_t frames_in;    /* pictures that the source shows */
    uint32_t gops;         /* output GOPs of each video rendition; audio only: 1 */
    uint64_t concealed;    /* pictures with damage that was concealed */
    uint32_t first_damage; /* GOP of the first, when concealed > 0 */
    uint32_t gops_resumed; /* leaves that the journal already had */
    bool frames_out_ok;    /* the invariants held; always true after RR_OK */
    double seconds;
};
/* Runs the job to its end; blocks; the calling thread is its only owner. Goes on from the journal
 * in job_folder, if there is one of the same source and options (another's: RR_ERR_STATE). The same
 * bytes come out whatever the number of workers and interruptions. Files named by the result stay
 * in job_folder; the caller removes it. source_fd as for rr_transcode_probe. progress and cancel
 * may be NULL. *out on success only: rr_transcode_result_clear. Errors as rr_transcode_probe;
 * RR_ERR_USAGE for options; RR_ERR_CANCELLED; RR_ERR_FULL; RR_ERR_DAMAGED also when an invariant of
 * spec 20, 2 does not hold; RR_ERR_BUSY when another process works in job_folder. */
enum rr_err rr_transcode_run(struct rr_transcode_result *out, int source_fd,
                             const struct rr_transcode_options *options,
                             rr_transcode_progress_fn *progress, void *ctx,
                             const atomic_bool *cancel, struct rr_fault *fault) RR_MUST_USE;
void rr_transcode_result_clear(struct rr_transcode_result *result); /* {0} is fine */

/* ---- spot checks ([VC 7.3], spec 20, 4)
 * ------------------------------------------------------------------ */
struct rr_transcode_remade {
    uint32_t source_first, source_last;
    struct rr_hash32 source_digest, output_digest;
    uint64_t output_bytes;
};
/* Makes the GOP of `leaf` again from the original, decoding from leaf->source_first on. Rendition,
 * gop and source_first say which; what came out is for the caller to compare. The rest of the leaf
 * only saves time: what equals it is not decoded in its whole length before the GOP. Options as
 * for the job (job_folder and workers are not used). RR_ERR_NOTFOUND: the job has no such GOP or
 * the leaf starts at no packet that it may start at; other errors as rr_transcode_run. Blocks. */
enum rr_err rr_transcode_remake(struct rr_transcode_remade *out, int source_fd,
                                const struct rr_transcode_options *options,
                                const struct rr_pot_leaf *leaf, const atomic_bool *cancel,
                                struct rr_fault *fault) RR_MUST_USE;

/* Opens a video for the calls above; a pipe, folder or device is RR_ERR_USAGE at once. The caller
 * closes *out. */
enum rr_err rr_transcode_open_input(int *out, const char *path, struct rr_fault *fault) RR_MUST_USE;

/* ---- standalone
 * -------------------------------------------------------------------------------------------- */
/* Transcodes the file at in_path into folder: master.m3u8, manifest.mpd, NAME/index.m3u8,
 * NAME/init.mp4, NAME/seg_00000.m4s ... (subtitles: NAME/all.ttml, NAME/seg_00000.vtt ...). The job
 * runs in folder/.job (options->job_folder is not used), which is left there to go on from when
 * this fails, and removed at the end. master.m3u8 comes last: a folder without it is not whole.
 * options->lists leaves out what only the other format reads (DASH alone: manifest.mpd comes last);
 * a job may go on with other lists. A folder that holds a ladder is RR_ERR_EXISTS. out may be NULL;
 * its paths are those of the finished files, NULL of text that was left out. Otherwise as
 * rr_transcode_run. */
enum rr_err rr_transcode_to_folder(struct rr_transcode_result *out, const char *folder,
                                   const char *in_path, const struct rr_transcode_options *options,
                                   rr_transcode_progress_fn *progress, void *ctx,
                                   const atomic_bool *cancel, struct rr_fault *fault) RR_MUST_USE;
/* Transcodes it into one MP4 at path: the highest rung that fits, all sound and text, the index in
 * front. Whole or not there; the job runs beside it in path.job, which is left there to go on from
 * when this fails. RR_ERR_EXISTS: something is there. Otherwise as rr_transcode_to_folder; the
 * result's paths are gone. */
enum rr_err rr_transcode_to_file(struct rr_transcode_result *out, const char *path,
                                 const char *in_path, const struct rr_transcode_options *options,
                                 rr_transcode_progress_fn *progress, void *ctx,
                                 const atomic_bool *cancel, struct rr_fault *fault) RR_MUST_USE;
#include "transcode/transcode_chain.h"
#include "transcode/transcode_judge.h"
#include "transcode/transcode_live.h"
#include "transcode/transcode_outline.h"
#include "transcode/transcode_rigs.h"
#endif
