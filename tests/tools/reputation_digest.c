/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints one digest over many values of the reputation arithmetic: builds by different compilers
 * and optimisations must print the same. Argument: number of values. */
#include "kcheck/kcheck.h"
#include "reputation/reputation.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void mix(uint64_t *digest, uint64_t value)
{
    *digest = (*digest ^ value) * UINT64_C(0x100000001b3);
    *digest ^= *digest >> 29;
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000;
    struct rr_kcheck_random random = {1};
    uint64_t digest = 0;
    for (uint64_t i = 0; i < count; i++) {
        mix(&digest, rr_reputation_q32(rr_kcheck_u64(&random) >> rr_kcheck_below(&random, 50)));
        if (i % 16 != 0) {
            continue; /* the long divisions are slow at -O0 */
        }
        uint8_t final[32];
        for (int b = 0; b < 32; b++) {
            final[b] = b < (int)(i / 16 % 8) ? 0 : (uint8_t)rr_kcheck_u64(&random);
        }
        mix(&digest,
            rr_reputation_time_ms(final, (uint32_t)rr_kcheck_below(&random, 100000), 5, 2000));
        struct rr_reputation_terms terms = {
            .c_num = (uint32_t)rr_kcheck_below(&random, 1000),
            .c_den = 7,
            .hashes_per_s = 1000,
            .block_ms = 15000,
            .window_ms = 86400000,
            .total_ms = rr_kcheck_u64(&random) >> 20,
            .difficulty = {rr_kcheck_u64(&random), i % 3 == 0 ? rr_kcheck_below(&random, 9) : 0, 0,
                           0}};
        mix(&digest, rr_reputation_y_q32(&terms));
    }
    printf("%016" PRIx64 "\n", digest);
    return 0;
}
