/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tracks of sound and text in the parent's part. Enter by transcode_private.h. */
#ifndef RR_TRANSCODE_TRACKS_H
#define RR_TRANSCODE_TRACKS_H
#include "transcode/transcode_proto.h"

/* ---- which (transcode_tracks.c) ---- */
/* Fills in the tracks of sound and text (transcode_tracks.c). RR_ERR_USAGE: a number that the file
 * does not have. */
enum rr_err transcode_tracks_fit(struct transcode_plan *plan, const struct transcode_facts *facts,
                                 const struct rr_transcode_options *options,
                                 struct rr_fault *fault) RR_MUST_USE;
/* Where the source has that track of the plan's sound. */
const struct transcode_sound_place *transcode_sound_place(const struct transcode_facts *facts,
                                                          const struct transcode_plan *plan,
                                                          unsigned track);
/* Logs once each what was wanted and cannot be carried. */
void transcode_tracks_tell(const struct transcode_plan *plan, const struct transcode_facts *facts,
                           const struct rr_transcode_options *options);

/* ---- what is made of them (transcode_resume.c, transcode_pack.c) ---- */
/* One GOP of one rendition, or a track, as encoded. */
struct transcode_coded {
    bool done;
    uint8_t deaths; /* of workers at it */
    struct rr_hash32 digest;
    uint64_t bytes;          /* of the elementary stream: parameter sets and access units */
    uint64_t payload_offset; /* of the access units in its file */
};
/* A track of sound, once it is done. */
struct transcode_job_sound {
    bool done;
    struct transcode_sound facts;
    uint64_t offset; /* of its payload in its record */
    struct transcode_coded coded;
    struct rr_buf sizes;
};
/* A track of text. */
struct transcode_job_text {
    bool done;
    struct transcode_cues facts;
    struct rr_buf cues; /* checked */
};
struct transcode_job;
/* Name of the record of track `index`: those of sound, then those of text. */
void transcode_track_record(char out[static 64], const struct transcode_plan *plan, unsigned index);
/* All tracks of sound and text are done; else *rung is the first that is not, as
 * TRANSCODE_AUDIO_RUNG says. */
bool transcode_job_tracks_done(const struct transcode_job *job, unsigned *rung);
/* How far the segments of a track of sound have come; zeroed at its start. */
struct transcode_sound_cursor {
    uint32_t frame, gop;
    uint64_t offset; /* in its record */
};
/* The next segment's samples; false: no more. */
bool transcode_pack_sound(struct transcode_segment *segment, struct transcode_sound_cursor *at,
                          const struct transcode_job *job, unsigned track);
void transcode_pack_ask_sound(struct transcode_mux *mux, const struct transcode_job *job,
                              unsigned track);
void transcode_pack_ask_video(struct transcode_mux *mux, const struct transcode_job *job,
                              unsigned rung);
/* The samples of one GOP, and its record, opened, owned by the caller. */
enum rr_err transcode_pack_gop(struct transcode_segment *segment, int *fd_out,
                               struct transcode_packets *scratch, const struct transcode_job *job,
                               unsigned rung, uint32_t gop, struct rr_fault *fault) RR_MUST_USE;
struct transcode_worker;
/* The highest rung and all tracks as one MP4 with its index in front, at path, whole or not there;
 * through that mux worker (transcode_mp4.c). */
enum rr_err transcode_job_mp4(struct transcode_job *job, struct transcode_worker *worker,
                              const char *path, struct rr_fault *fault) RR_MUST_USE;
/* Opens a record of the journal to read samples from. */
enum rr_err transcode_pack_open(int *out, const struct transcode_job *job, const char *name,
                                struct rr_fault *fault) RR_MUST_USE;
/* Where the presentation ends: the pictures, or without them the longest sound. */
uint32_t transcode_pack_end_ms(const struct transcode_job *job);

/* ---- text (transcode_cues.c, transcode_sound.c) ---- */
/* The cues of a track of text: as many as told, by start, each after its start and of WebVTT's text
 * alone. */
enum rr_err transcode_cues_check(const struct transcode_cues *facts, struct rr_slice cues,
                                 struct rr_fault *fault) RR_MUST_USE;
/* One cue; text borrowed. False: no more. Only for cues that were checked. */
struct transcode_cue {
    uint32_t start_ms, end_ms;
    struct rr_slice text;
};
bool transcode_cue_next(struct rr_reader *reader, struct transcode_cue *out);
/* Appends a segment of WebVTT: the cues that are shown between from_ms and to_ms, whole, cut at
 * end_ms; its clock is the presentation's [RFC 8216, 3.5]. */
void transcode_cues_vtt(struct rr_buf *out, struct rr_slice cues, uint32_t from_ms, uint32_t to_ms,
                        uint32_t end_ms);
/* Appends all of them as one file of TTML; returns how many. language: of RFC 5646, or empty. */
uint32_t transcode_cues_ttml(struct rr_buf *out, struct rr_slice cues, uint32_t end_ms,
                             const char *language);
/* "rr.cues.v1" over them: what a leaf of proof says of a track of text. */
void transcode_cues_digest(struct transcode_coded *out, struct rr_slice cues);
/* Takes a text worker's answer and its cues out of fd. */
enum rr_err transcode_text_take(struct transcode_job_text *out, struct rr_slice answer, int fd,
                                struct rr_fault *fault) RR_MUST_USE;
/* Appends the task that makes a track. */
void transcode_track_message(struct rr_buf *out, const struct transcode_plan *plan, unsigned rung);
#endif
