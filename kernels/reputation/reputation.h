/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reputation of a miner in fixed point: consensus arithmetic, integers only, equal on every
 * compiler and machine. Pure compute, never fails, any thread. */
#ifndef RR_REPUTATION_H
#define RR_REPUTATION_H
#include <stdint.h>

/* r = 2 / (1 + e^-y) - 1 in Q32 of y in Q32; 0 at 0, rising, at most 2^32 - 1. The series of
 * multiplications is the rule, not the function that it follows. [THETA-18 eq. 8], spec 50, 3 */
uint32_t rr_reputation_q32(uint64_t y_q32);

/* E = floor((2^256 - 1) / H*), saturated to 64 bits (also for H* = 0): the hashes that a smallest
 * final hash H*, big-endian, stands for. [THETA-18 eq. 5] */
uint64_t rr_reputation_work(const uint8_t final_be[static 32]);

/* T_sc in milliseconds: min(floor(1000 E / s), d T_b), and 0 when E < s d T_b / 4 (compared as
 * exact fractions, T_b in seconds). [THETA-18 eq. 6]; the floor of a quarter is ours: without it
 * single hashes for invented viewers earn many times their cost.
 * hashes_per_s: s; puzzle_blocks: d; block_ms: T_b in milliseconds. s = 0 gives 0. */
uint64_t rr_reputation_time_ms(const uint8_t final_be[static 32], uint32_t hashes_per_s,
                               uint32_t puzzle_blocks, uint32_t block_ms);

/* y = lambda T in Q32, lambda = c s T_b / (W D), T = total_ms:
 *   floor(c_num s block_ms total_ms 2^32 / (c_den 1000 window_ms D)), saturated to 64 bits.
 * Exact in 256-bit integers. A divisor of 0 gives 0: parameters that mean nothing earn nothing. */
struct rr_reputation_terms {
    uint32_t c_num, c_den;  /* c as a fraction, no unit */
    uint32_t hashes_per_s;  /* s, hashes per second of a viewer */
    uint32_t block_ms;      /* T_b, milliseconds */
    uint64_t window_ms;     /* W, milliseconds: blocks of the window times T_b */
    uint64_t total_ms;      /* T, milliseconds of service in the window */
    uint64_t difficulty[4]; /* D, hashes per block, 256 bits, lowest limb first */
};
uint64_t rr_reputation_y_q32(const struct rr_reputation_terms *terms);
#endif
