/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Part of the door of transcode: what a job would do, and why, before it does it. */
#ifndef RR_TRANSCODE_OUTLINE_H
#define RR_TRANSCODE_OUTLINE_H
#include "transcode/transcode.h"

#define RR_OUTLINE_WHY_MAX 159
struct rr_outline_rung {
    char name[RR_NAME_MAX + 1]; /* "720p" */
    uint16_t width, height;     /* 0: left out */
    uint16_t sar_num, sar_den;
    struct rr_rung_rate rate; /* crf always given */
    char why[RR_OUTLINE_WHY_MAX + 1];
};
struct rr_transcode_outline {
    struct rr_transcode_facts facts;
    char profile[RR_NAME_MAX + 1]; /* empty: no video */
    uint32_t gop_ms, gops;         /* gops 0: the file does not state its length */
    uint32_t workers;
    bool ten_bit, tone_map;
    char rates[RR_OUTLINE_WHY_MAX + 1];             /* what decides the bytes of a rendition */
    char exactness[RR_OUTLINE_WHY_MAX + 1];         /* class, and why */
    struct rr_outline_rung rungs[2 * RR_RUNGS_MAX]; /* made ones first, then those left out */
    uint32_t rung_count;
};
/* Probes the source as a job would and plans it; makes no file. Blocks for seconds, with an
 * automatic ladder for some more. source_fd, cancel, errors as rr_transcode_run. */
enum rr_err rr_transcode_outline(struct rr_transcode_outline *out, int source_fd,
                                 const struct rr_transcode_options *options,
                                 const atomic_bool *cancel, struct rr_fault *fault) RR_MUST_USE;
#endif
