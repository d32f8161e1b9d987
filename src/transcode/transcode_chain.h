/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Part of the door of transcode: contract chains, and who takes which part of one ([VC 8], spec 20,
 * 5-6). */
#ifndef RR_TRANSCODE_CHAIN_H
#define RR_TRANSCODE_CHAIN_H
#include "transcode/transcode.h"

/* Fills steps, gop_ms of the chain that this job is: demux, decode, a step for each rendition that
 * the source is large enough for, sound, mux; prices stay 0. one_rung: one MP4. RR_ERR_UNSUPPORTED
 * without pictures; RR_ERR_USAGE of the options. Any thread. */
enum rr_err rr_transcode_chain_make(struct rr_work_chain *out,
                                    const struct rr_transcode_facts *facts,
                                    const struct rr_transcode_options *options,
                                    struct rr_fault *fault) RR_MUST_USE;
/* The way back: neighbouring steps of one rig are one run of the transcoder, frames in memory.
 * RR_ERR_UNSUPPORTED: what this version cannot run as one. *out: preset static. Any thread. */
enum rr_err rr_transcode_chain_options(struct rr_transcode_options *out,
                                       const struct rr_work_chain *chain,
                                       struct rr_fault *fault) RR_MUST_USE;
/* Parts of a chain that different rigs can take. Between rigs go the source and coded streams;
 * packets, pictures and samples stay in memory: a raw 2 s GOP of 1080p is 150 MB, and making it
 * again from the source's packets costs less than sending it. So demux, decoding and encoding of
 * pictures are one part, those of sound another, which reads the source by itself. Ours. */
enum rr_transcode_leg {
    RR_TRANSCODE_LEG_PICTURES,
    RR_TRANSCODE_LEG_SOUND,
    RR_TRANSCODE_LEG_OUTPUT,
    RR_TRANSCODE_LEGS
};
/* Bits 1 << index of its steps; 0: the chain has none. */
uint32_t rr_transcode_chain_leg(const struct rr_work_chain *chain, enum rr_transcode_leg leg);
/* The steps of all parts that this offer takes whole. */
uint32_t rr_transcode_chain_offered(const struct rr_work_chain *chain,
                                    const struct rr_work_offer *offer);
/* GOPs in the file of a shard, as rr_transcode_range made it; 0 for sound. RR_ERR_FORMAT. Blocks.
 */
enum rr_err rr_transcode_shard_gops(uint32_t *gops, const char *path,
                                    struct rr_fault *fault) RR_MUST_USE;
struct rr_transcode_bid {
    const struct rr_work_quote *quote; /* borrowed */
    uint32_t steps;                    /* that it is for */
};
#define RR_TRANSCODE_BIDS_MAX 64
struct rr_transcode_choice {
    size_t order[RR_TRANSCODE_BIDS_MAX]; /* of bids, cheapest first; equal ones as they came */
    size_t count, active;                /* active: the first so many work at a time */
    bool late;                           /* all of them together miss the deadline */
};
/* The rule of choice: bids that take all of `leg` (bits of its steps) at no more than price_max
 * (NULL: any), the cheapest first; it works alone, unless the deadline (0: none) asks for the next
 * ones too. The rest are there for when one fails. Any thread. Ours. */
void rr_transcode_chain_choose(struct rr_transcode_choice *out, const struct rr_transcode_bid *bids,
                               size_t count, uint32_t leg, const struct rr_coin *price_max,
                               uint64_t deadline_ms);
#endif
