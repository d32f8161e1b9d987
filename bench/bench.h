/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The door of bench, floor 6: one question each, with its limits and peers in the same run (spec
 * 90). A report is appended to `out`: one JSON object, or a table for people. On failure what went
 * wrong is logged and nothing is appended. Each blocks for seconds to minutes, makes its own folder
 * under TMPDIR (or /tmp) and removes it. */
#ifndef RR_BENCH_H
#define RR_BENCH_H
#include "base/base.h"

/* Vouchers and paywords taken durably, against the bare signature and the bare hash step. */
enum rr_err rr_bench_pay(struct rr_buf *out, bool json) RR_MUST_USE;
/* Shards coded, hashed, written, read degraded and repaired, against ISA-L, memcpy and fdatasync.
 */
enum rr_err rr_bench_erasure(struct rr_buf *out, bool json) RR_MUST_USE;
/* Every variant of the hash that this processor runs, on one and two threads, against random reads
 * of the same memory, the plain law, and, where peer (path of a shim, see peer_ethash/) is not
 * NULL, another library. Takes 1.2 to 5.3 GiB of memory and up to a minute. RR_ERR_DAMAGED when one
 * does not make what the law makes, RR_ERR_USAGE for a peer that is none, RR_ERR_MEMORY. */
enum rr_err rr_bench_hash(struct rr_buf *out, bool json, const char *peer) RR_MUST_USE;
/* A ladder of the first `seconds` (>= 1) of `clip` (NULL: one that ffmpeg draws) against one ffmpeg
 * process, one for each rung, and the bare libav calls, in `turns` turns (1..5); the price of
 * independent GOPs, of spot checks and of the sandbox. Takes
 * minutes: some 45 s of two cores a second of 1080p, and half of that again for each further turn.
 * RR_ERR_STATE without ffmpeg, reelrig-worker or reelrig-floor; RR_ERR_USAGE: not that kind of
 * clip. */
enum rr_err rr_bench_transcode(struct rr_buf *out, bool json, const char *clip, unsigned seconds,
                               unsigned turns) RR_MUST_USE;
#endif
