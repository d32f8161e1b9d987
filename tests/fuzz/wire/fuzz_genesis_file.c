/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The TOML file of a network: what is accepted has an encoding that decodes to itself. */
#include "recode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rr_genesis genesis;
    struct rr_fault fault = {0};
    struct rr_buf bytes = {0};
    if (rr_genesis_parse(&genesis, rr_slice_of(data, size), "fuzz", &fault) == RR_OK) {
        struct rr_buf again = {0};
        rr_genesis_encode(&bytes, &genesis);
        RR_CHECK(recode_genesis(&again, rr_buf_slice(&bytes), &fault) == RR_OK);
        RR_CHECK(rr_slice_equal(rr_buf_slice(&again), rr_buf_slice(&bytes)));
        rr_buf_clear(&again);
    } else {
        RR_CHECK(fault.text[0] != '\0');
    }
    rr_buf_clear(&bytes);
    return 0;
}
