/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A purse file that someone else may have written: what decodes encodes to the same bytes, and pays
 * with links that lead to the signed root. */
#include "pay/pay.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rr_seckey *key;
    if (key == NULL) {
        uint8_t bytes[32] = {1};
        rr_crypto_init();
        key = rr_seckey_from_bytes(bytes);
    }
    struct rr_purse *purse;
    struct rr_fault fault = {0};
    if (rr_purse_decode(&purse, key, rr_slice_of(data, size), &fault) != RR_OK) {
        RR_CHECK(fault.code != RR_OK && fault.text[0] != 0);
        return 0;
    }
    struct rr_buf again = {0};
    rr_purse_encode(&again, purse);
    RR_CHECK(rr_slice_equal(rr_buf_slice(&again), rr_slice_of(data, size)));
    uint32_t depth;
    struct rr_hash32 link;
    if (rr_purse_pay(purse, 1, &depth, &link, &fault) == RR_OK) {
        for (uint32_t i = 0; i < depth; i++) {
            rr_payword_step(&link, &link);
        }
        RR_CHECK(rr_hash32_equal(&link, &rr_purse_voucher(purse)->payword_root));
    }
    rr_buf_clear(&again);
    rr_purse_free(purse);
    return 0;
}
