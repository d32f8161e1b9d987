/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to transcode: a file's pictures, one by one, out of a sandboxed worker; and measures of
 * pictures. */
#ifndef RR_TRANSCODE_FRAMES_H
#define RR_TRANSCODE_FRAMES_H
#include "quality/quality.h"
#include "transcode/transcode_private.h"

/* ---- pictures of a file -----------------------------------------------------------------------
 */
struct transcode_frames {
    struct transcode_plan plan; /* rungs[0]: what the pictures are scaled to */
    struct transcode_worker worker;
    const atomic_bool *cancel;
    int source_fd, fds[2]; /* one is read while the other is filled */
    unsigned slot;
    struct transcode_gop *gop; /* owned */
    uint32_t at;               /* next picture of it */
    bool ended;
    uint64_t count; /* pictures given so far */
};
/* Facts of a file, seen by a worker of its own. transcode_frames_close also after a failure.
 * source_fd borrowed. */
enum rr_err transcode_frames_open(struct transcode_frames *frames, const char *program,
                                  int source_fd, const atomic_bool *cancel,
                                  struct rr_fault *fault) RR_MUST_USE;
/* Begins to decode, to pictures of the plan's rungs[0] and ten_bit, which may be changed before. */
enum rr_err transcode_frames_start(struct transcode_frames *frames, const char *program,
                                   struct rr_fault *fault) RR_MUST_USE;
/* The next picture in order of presentation into bytes (transcode_frame_bytes); *end instead after
 * the last. */
enum rr_err transcode_frames_next(struct transcode_frames *frames, uint8_t *bytes, int64_t *pts,
                                  bool *end, struct rr_fault *fault) RR_MUST_USE;
void transcode_frames_close(struct transcode_frames *frames);

/* ---- measures of pictures ---------------------------------------------------------------------
 */
/* All planes of picture a against b, both laid out as the plan's rung. room: transcode_measure_room
 * bytes. RR_ERR_DAMAGED: samples of 10 bits that are larger. */
enum rr_err transcode_measure(struct rr_quality out[static 3], const struct transcode_plan *plan,
                              const struct transcode_rung *rung, const uint8_t *a, const uint8_t *b,
                              void *room, struct rr_fault *fault) RR_MUST_USE;
size_t transcode_measure_room(const struct transcode_rung *rung);
#endif
