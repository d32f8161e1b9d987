/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to transcode: one GOP again, in steps. */
#ifndef RR_TRANSCODE_REMAKE_H
#define RR_TRANSCODE_REMAKE_H
#include "transcode/transcode_private.h"

struct transcode_remake {
    struct transcode_job job;
    struct transcode_worker worker;
    struct transcode_gop *gop; /* owned: what the source has for it */
    struct transcode_encode *encode;
    struct transcode_packets *packets; /* owned: of the last encode; their bytes in out_fd */
    int frames_fd, out_fd, sizes_fd;
    uint8_t encodes; /* of pictures, so far */
    bool quick; /* leave out pictures before the GOP that no other refers to: the same bytes, unless
                   a decoder takes the order of what it shows from what it saw before */
};
/* From {0}; transcode_remake_close also after a failure. */
enum rr_err transcode_remake_open(struct transcode_remake *remake, int source_fd,
                                  const struct rr_transcode_options *options,
                                  const atomic_bool *cancel, struct rr_fault *fault) RR_MUST_USE;
void transcode_remake_close(struct transcode_remake *remake);
/* Pictures of the leaf's GOP into frames_fd, which is open. */
enum rr_err transcode_remake_decode(struct transcode_remake *remake, const struct rr_pot_leaf *leaf,
                                    struct rr_fault *fault) RR_MUST_USE;
/* Encodes them; quality as in transcode_encode. Starts a worker when there is none. */
enum rr_err transcode_remake_encode(struct transcode_remake *remake, struct transcode_coded *coded,
                                    unsigned rung, uint32_t quality,
                                    struct rr_fault *fault) RR_MUST_USE;
/* All of a leaf as the job's profile makes it, pictures or sound: quickly, and where that is not
 * what the leaf says, once more with the whole lead-in, which alone is held against a maker. */
enum rr_err transcode_remake_leaf(struct transcode_remake *remake, struct rr_transcode_remade *out,
                                  const struct rr_pot_leaf *leaf,
                                  struct rr_fault *fault) RR_MUST_USE;
/* A dead worker is a GOP that cannot be made. */
enum rr_err transcode_remake_fault(enum rr_err err, struct rr_fault *fault);
#endif
