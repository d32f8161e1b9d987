/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files of the parent's part of transcode. */
#ifndef RR_TRANSCODE_PRIVATE_H
#define RR_TRANSCODE_PRIVATE_H
#include "transcode/transcode_rate.h"
#include "transcode/transcode_tracks.h"
#include <sys/types.h>

/* ---- options and plan (transcode_ladder.c)
 * ------------------------------------------------------------ */
/* Fills defaults in and checks ranges; pointers stay borrowed. */
enum rr_err transcode_options_fit(struct rr_transcode_options *out,
                                  const struct rr_transcode_options *options,
                                  struct rr_fault *fault) RR_MUST_USE;
/* Puts a rung in its place; false: it is there already, or no room. */
bool transcode_ladder_insert(struct rr_ladder *ladder, uint16_t rung,
                             const struct rr_rung_rate *rate);
/* 720, 480, 360 into an empty one. */
void transcode_ladder_usual(struct rr_ladder *ladder);
/* PQ and HLG become BT.709 in 8 bit; other plans stay. */
void transcode_tone_fit(struct transcode_plan *plan);
/* Whether rung i of `ladder`, made even, has the side of the one before, which the source of that
 * short side gets: both would have one name and one picture, so the second is left out. */
bool transcode_rung_twin(const struct rr_ladder *ladder, unsigned i, uint32_t side);
/* The rungs of `ladder` that a picture of these facts gets; at least one. Returns their number. */
uint8_t transcode_rungs_fit(struct transcode_rung rungs[RR_RUNGS_MAX],
                            const struct rr_ladder *ladder, const struct rr_transcode_facts *facts);
enum rr_err transcode_plan_make(struct transcode_plan *out, const struct transcode_facts *facts,
                                const struct rr_transcode_options *options,
                                struct rr_fault *fault) RR_MUST_USE;
/* "720p"; "audio", "audio-2", ... for TRANSCODE_AUDIO_RUNG and more; "subtitle", ... */
void transcode_rung_name(char out[static RR_NAME_MAX + 1], const struct transcode_plan *plan,
                         unsigned rung);

/* Short side of the picture as shown, in pixels. */
uint32_t transcode_short_side(const struct rr_transcode_facts *facts);
/* The rule of "auto" (docs/transcode.md) on what a worker measured for the probe's plan. */
void transcode_auto_choose(struct rr_ladder *out, const struct transcode_plan *probe,
                           const struct transcode_measured *made, uint32_t small,
                           const struct rr_transcode_options *options);

/* ---- worker processes (transcode_worker.c) ---- */
struct transcode_worker {
    pid_t pid; /* 0: none */
    int socket;
    struct rr_buf message;
    uint64_t deadline_us; /* of what it was asked; 0: nothing asked */
    unsigned seconds;     /* what that was when set, for the sentence */
    int ended;            /* wait status of one that died */
};
/* Path of the worker program: option, RR_WORKER, beside the running program. RR_ERR_STATE when none
 * can be run. */
enum rr_err transcode_worker_find(char out[static RR_PATH_BYTES],
                                  const struct rr_transcode_options *options,
                                  struct rr_fault *fault) RR_MUST_USE;
/* Starts one, in namespaces of its own where the kernel allows it, and waits until it has locked
 * itself in. threads: it may start threads; not for one that reads foreign bytes. */
enum rr_err transcode_worker_start(struct transcode_worker *worker, const char *program,
                                   bool threads, struct rr_fault *fault) RR_MUST_USE;
/* Kills and reaps; {0} is fine. */
void transcode_worker_stop(struct transcode_worker *worker);
/* Starts one without threads, or takes `spare`, which is empty then, where that runs: loading
 * libraries takes longer than many a task. */
enum rr_err transcode_worker_take_over(struct transcode_worker *worker,
                                       struct transcode_worker *spare, const char *program,
                                       struct rr_fault *fault) RR_MUST_USE;
/* Sends message (cleared) with borrowed descriptors and starts the wall limit. RR_ERR_UNREACHABLE:
 * it is dead. */
enum rr_err transcode_worker_ask(struct transcode_worker *worker, struct rr_buf *message,
                                 const int *fds, size_t fd_count, unsigned seconds,
                                 struct rr_fault *fault) RR_MUST_USE;
/* Reads one message that is ready, into worker->message; `kind` gets its first byte. A FAILED
 * message becomes its error; RR_ERR_UNREACHABLE: the worker is dead, with the way it died in the
 * sentence (it is reaped then). */
enum rr_err transcode_worker_take(struct transcode_worker *worker, uint8_t *kind,
                                  struct rr_fault *fault) RR_MUST_USE;
/* Waits for the one answer of `kind` and takes it. RR_ERR_TIMEOUT after the wall limit,
 * RR_ERR_CANCELLED. */
enum rr_err transcode_worker_wait(struct transcode_worker *worker, uint8_t kind,
                                  const atomic_bool *cancel, struct rr_fault *fault) RR_MUST_USE;
/* Starts, probes and muxes before a death counts as the input's fault. */
#define TRANSCODE_DEATHS_MAX 3
/* The same for whatever answer comes next. */
enum rr_err transcode_worker_wait_any(struct transcode_worker *worker, uint8_t *kind,
                                      const atomic_bool *cancel,
                                      struct rr_fault *fault) RR_MUST_USE;
struct rr_slice transcode_worker_body(const struct transcode_worker *worker);
/* A fresh memory file. */
enum rr_err transcode_memfd(int *out, const char *name, struct rr_fault *fault) RR_MUST_USE;
/* A read-only descriptor of its own for the source, where the system gives one. */
enum rr_err transcode_source_fd(int *out, int source_fd, struct rr_fault *fault) RR_MUST_USE;

/* ---- codecs (transcode_codec.c) ---------------------------------------------------------------
 */
/* Fills in and checks crf and preset. */
enum rr_err transcode_codec_fit(struct rr_transcode_options *fit,
                                struct rr_fault *fault) RR_MUST_USE;
/* RR_ERR_UNSUPPORTED: a rung is too small for the encoder. */
enum rr_err transcode_codec_shape(const struct transcode_plan *plan,
                                  struct rr_fault *fault) RR_MUST_USE;
/* The encoder runs threads of its own whatever it is told, so its worker must be let. */
bool transcode_codec_threads(const struct transcode_plan *plan);
bool transcode_name_av1(char out[static RR_NAME_MAX + 1], struct rr_slice extradata) RR_MUST_USE;
/* RFC 6381 name of a rung; extradata as the encoder gave it. */
enum rr_err transcode_codec_name(char out[static RR_NAME_MAX + 1],
                                 const struct transcode_plan *plan, unsigned rung,
                                 struct rr_slice extradata, struct rr_fault *fault) RR_MUST_USE;

/* ---- probe (transcode_probe.c) ---- */
/* video: its number, from 1 on; 0: the best. keep, when not NULL: gets the worker, which has read
 * this input. */
enum rr_err transcode_probe_with(struct transcode_facts *out, struct transcode_worker *keep,
                                 const char *program, int source_fd, uint8_t video,
                                 const atomic_bool *cancel, struct rr_fault *fault) RR_MUST_USE;

/* ---- GOPs and the journal (transcode_journal.c)
 * -------------------------------------------------------------- */
/* One GOP as the source worker told it. */
struct transcode_gop_facts {
    uint32_t cell, first, last, concealed, count;
    bool unclean;
    struct rr_hash32 digest;
    int64_t *pts; /* owned */
    int64_t end;
};
void transcode_gop_keep(struct transcode_gop_facts *out, const struct transcode_gop *gop);
/* Refuses a folder of another job, makes the folder and takes its lock. */
enum rr_err transcode_journal_open(int *lock_fd, const char *folder, const struct rr_hash32 *key,
                                   struct rr_fault *fault) RR_MUST_USE;
/* What decides the job: source bytes and plan. Blocks while it reads the source. */
enum rr_err transcode_journal_key(struct rr_hash32 *out, int source_fd,
                                  const struct transcode_plan *plan, const atomic_bool *cancel,
                                  struct rr_fault *fault) RR_MUST_USE;
/* A record: `body`, then `payload_bytes` copied from payload_fd (-1: none). Whole or absent after a
 * kill. *offset gets where the payload begins; may be NULL. */
enum rr_err transcode_journal_put(const char *folder, const char *name, struct rr_slice body,
                                  int payload_fd, uint64_t payload_bytes, uint64_t *offset,
                                  struct rr_fault *fault) RR_MUST_USE;
/* As it, with the payload's place in payload_fd. */
enum rr_err transcode_journal_put_from(const char *folder, const char *name, struct rr_slice body,
                                       int payload_fd, uint64_t payload_at, uint64_t payload_bytes,
                                       struct rr_fault *fault) RR_MUST_USE;
/* Reads a record's body back and checks all its bytes. False: absent or torn, then it counts as not
 * done. */
bool transcode_journal_get(struct rr_buf *body, const char *folder, const char *name,
                           uint64_t *offset, uint64_t *payload_bytes) RR_MUST_USE;
void transcode_gop_record(struct rr_buf *out, const struct transcode_gop_facts *gop);
bool transcode_gop_unrecord(struct transcode_gop_facts *out, struct rr_slice body) RR_MUST_USE;

/* ---- checks of encoder answers (transcode_check.c)
 * ------------------------------------------------------------ */
/* The invariants of spec 20, 2 for one GOP: as many packets as pictures, the same times, IDR first
 * and only first, bytes that add up. */
enum rr_err transcode_check_packets(const struct transcode_packets *packets,
                                    const struct transcode_encode *asked,
                                    struct rr_fault *fault) RR_MUST_USE;
/* "rr.es.v1" over parameter sets and access units; payload read from fd at offset. */
enum rr_err transcode_es_digest(struct transcode_coded *out,
                                const struct transcode_packets *packets, int fd, uint64_t offset,
                                struct rr_fault *fault) RR_MUST_USE;
/* The same for sound: configuration and AAC frames. */
enum rr_err transcode_sound_digest(struct transcode_coded *out, const struct transcode_sound *sound,
                                   int fd, uint64_t offset, struct rr_fault *fault) RR_MUST_USE;
/* Fills the task for one GOP of one rung. */
void transcode_encode_task(struct transcode_encode *out, const struct transcode_plan *plan,
                           unsigned rung, const int64_t *pts, uint32_t count);
/* Wall limit of an encode or a GOP of decode, in seconds: slow machines and presets, not infinity.
 */
unsigned transcode_patience(const struct transcode_plan *plan, uint32_t frames);

/* ---- the job (transcode_job.c) and what it makes of the GOPs (transcode_pack.c)
 * --------------------------------- */
struct transcode_job_gop {
    struct transcode_gop_facts facts;
    struct transcode_coded coded[RR_RUNGS_MAX];
    int frames[RR_RUNGS_MAX]; /* memfd of raw pictures, -1: none */
    bool known, held;         /* told by the source or the journal; pictures in memory */
};
struct transcode_job {
    struct rr_transcode_options options;
    struct transcode_facts facts;
    struct transcode_plan plan;
    char program[RR_PATH_BYTES];
    int source_fd, lock_fd;
    struct rr_hash32 key;              /* of source and plan */
    int64_t source_size, source_mtime; /* when the job began; nanoseconds */
    const atomic_bool *cancel;
    rr_transcode_progress_fn *progress;
    void *progress_ctx;
    uint64_t started_us, shown_us;
    struct transcode_job_gop *gops; /* owned */
    uint32_t gop_count, gop_room, expected_gops;
    bool source_done;
    struct rr_buf extradata[RR_RUNGS_MAX]; /* parameter sets of each rung */
    uint32_t reorder; /* places that any picture is decoded after its turn to be shown */
    struct transcode_job_sound sounds[RR_TRACKS_MAX];
    struct transcode_job_text texts[RR_TRACKS_MAX];
    uint64_t frames_done[RR_RUNGS_MAX]; /* encoded in this run */
    uint32_t resumed;
    /* A part of a job: pictures of these cells alone, begun at that packet; end_cell 0: all. */
    uint32_t first_cell, end_cell, first_packet;
    uint32_t bad_from;                 /* as the source's end told it */
    struct transcode_devices *devices; /* owned; NULL: the CPU does all */
    /* Workers that are done and can go on: with the input; with what we made of it. */
    struct transcode_worker reader, maker;
};
/* Options, program, probe and plan; transcode_job_clear after it, also when it failed. */
enum rr_err transcode_prepare(struct transcode_job *job, int source_fd,
                              const struct rr_transcode_options *options, const atomic_bool *cancel,
                              struct rr_fault *fault) RR_MUST_USE;
void transcode_job_clear(struct transcode_job *job);
/* The caller's own words into the job's folder, where there are any. */
enum rr_err transcode_keep_note(const struct rr_transcode_options *options,
                                struct rr_fault *fault) RR_MUST_USE;
/* Makes what the journal misses, looks whether the input is still the same, packs. */
enum rr_err transcode_finish(struct transcode_job *job, struct rr_transcode_result *out,
                             struct rr_fault *fault) RR_MUST_USE;
/* An automatic ladder becomes one of rungs and rates; others stay. Blocks. */
enum rr_err transcode_auto(struct transcode_job *job, struct rr_fault *fault) RR_MUST_USE;
/* Records of the journal (transcode_resume.c). */
#define TRANSCODE_GOP_RECORD   "gop-%06u"
#define TRANSCODE_CODED_RECORD "es-%u-%06u"
#define TRANSCODE_SOUND_RECORD "sound-%u"
#define TRANSCODE_TEXT_RECORD  "text-%u"
#define TRANSCODE_END_RECORD   "end"
/* Makes room for that GOP's entry. */
void transcode_job_room(struct transcode_job *job, uint32_t gop);
/* Loads what the journal has; what is torn or does not fit counts as missing. scratch is room to
 * decode in. */
void transcode_job_load(struct transcode_job *job, struct transcode_packets *scratch);
/* The first GOP that something is missing of; gop_count when nothing is. */
uint32_t transcode_job_missing(const struct transcode_job *job);
/* Parameter sets of all GOPs of a rendition must be one: keeps the first, compares the others. */
enum rr_err transcode_job_extradata(struct transcode_job *job, unsigned rung, uint32_t gop,
                                    const struct transcode_packets *packets,
                                    struct rr_fault *fault) RR_MUST_USE;
/* Learns how many places pictures are decoded after their turn to be shown. */
void transcode_job_reorder(struct transcode_job *job, uint32_t gop,
                           const struct transcode_packets *packets);
/* Decodes and encodes all that the journal does not have yet. */
enum rr_err transcode_job_encode(struct transcode_job *job, struct rr_fault *fault) RR_MUST_USE;
/* Pictures' times rise and fit the GOP's place on the grid. */
bool transcode_gop_fits(const struct transcode_plan *plan, const struct transcode_gop *gop);
/* RR_ERR_DAMAGED: what a sound worker told of its frames does not add up. */
enum rr_err transcode_sound_check(const struct transcode_sound *sound, struct rr_slice sizes,
                                  struct rr_fault *fault) RR_MUST_USE;
/* Segments of all renditions into job_folder/out, and the result. */
enum rr_err transcode_job_pack(struct transcode_job *job, struct rr_transcode_result *out,
                               struct rr_fault *fault) RR_MUST_USE;
#endif
