/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The form of a chain for people: what is taken has a wire form that is taken too. */
#include "recode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rr_work_chain chain;
    struct rr_fault fault = {0};
    struct rr_buf bytes = {0};
    if (rr_work_chain_parse(&chain, rr_slice_of(data, size), &fault) == RR_OK) {
        rr_work_chain_encode(&bytes, &chain);
        recode_check(recode_work_chain, bytes.ptr, bytes.len);
        RR_CHECK(rr_work_chain_decode(&chain, rr_buf_slice(&bytes), &fault) == RR_OK);
        rr_buf_clear(&bytes);
    } else {
        RR_CHECK(fault.text[0] != '\0');
    }
    return 0;
}
