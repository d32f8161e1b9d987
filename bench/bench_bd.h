/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bjontegaard's difference of rate. Private to bench. */
#ifndef RR_BENCH_BD_H
#define RR_BENCH_BD_H
#include "base/base.h"

#define BENCH_BD_POINTS 4
struct bench_bd_point {
    double bytes; /* > 0 */
    double db;    /* quality; distinct within a curve */
};
/* How much more, in percent, `ours` spends than `peer` for the same quality, over the range of
 * quality that both curves have: log rate as a cubic of quality through four points each
 * [VCEG-M33]. RR_ERR_USAGE: points of no use or curves that share no range. Any thread. */
enum rr_err bench_bd_rate(double *percent, const struct bench_bd_point ours[BENCH_BD_POINTS],
                          const struct bench_bd_point peer[BENCH_BD_POINTS],
                          struct rr_fault *fault) RR_MUST_USE;
#endif
