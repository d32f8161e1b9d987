/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench/bench_bd.h"
#include <math.h>

/* Simpson's rule is exact for cubics, so two steps would do; more cost nothing. */
#define STEPS 64

/* log10 of the rate at quality db: the cubic through the points, after Lagrange. */
static double log_rate(const struct bench_bd_point *points, double db)
{
    double sum = 0;
    for (int i = 0; i < BENCH_BD_POINTS; i++) {
        double term = log10(points[i].bytes);
        for (int j = 0; j < BENCH_BD_POINTS; j++) {
            term *= j == i ? 1 : (db - points[j].db) / (points[i].db - points[j].db);
        }
        sum += term;
    }
    return sum;
}

static bool range(const struct bench_bd_point *points, double *low, double *high)
{
    *low = *high = points[0].db;
    for (int i = 0; i < BENCH_BD_POINTS; i++) {
        if (!isfinite(points[i].db) || !(points[i].bytes > 0)) {
            return false;
        }
        for (int j = 0; j < i; j++) {
            if (fabs(points[i].db - points[j].db) < 1e-6) {
                return false;
            }
        }
        *low = fmin(*low, points[i].db);
        *high = fmax(*high, points[i].db);
    }
    return true;
}

enum rr_err bench_bd_rate(double *percent, const struct bench_bd_point ours[BENCH_BD_POINTS],
                          const struct bench_bd_point peer[BENCH_BD_POINTS], struct rr_fault *fault)
{
    double low[2], high[2], sum = 0;
    if (!range(ours, &low[0], &high[0]) || !range(peer, &low[1], &high[1])) {
        return rr_fail(fault, RR_ERR_USAGE, "a curve needs four points of different quality");
    }
    double from = fmax(low[0], low[1]), to = fmin(high[0], high[1]);
    if (to - from < 0.1) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "the curves share no range of quality: %.2f to %.2f and %.2f to %.2f dB",
                       low[0], high[0], low[1], high[1]);
    }
    for (int i = 0; i <= STEPS; i++) {
        double db = from + (to - from) * i / STEPS;
        double weight = i == 0 || i == STEPS ? 1 : i % 2 != 0 ? 4 : 2;
        sum += weight * (log_rate(ours, db) - log_rate(peer, db));
    }
    *percent = (pow(10, sum / (3 * STEPS)) - 1) * 100;
    return RR_OK;
}
