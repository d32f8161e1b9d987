/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "recode.h"

#include <string.h>

/* An id that fits hides what comes after the check: each input is tried as it is, and with the id
 * set right. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    recode_check(recode_object, data, size);
    if (size < 1 + 32) {
        return 0;
    }
    struct rr_buf fixed = {0};
    struct rr_buf rest = {0};
    struct rr_hash32 id;
    rr_write_u8(&rest, data[0]);
    rr_buf_append(&rest, data + 1 + sizeof id.bytes, size - 1 - sizeof id.bytes);
    rr_hash(&id, "rr.object.v1", rr_buf_slice(&rest));
    rr_buf_append(&fixed, data, size);
    memcpy(fixed.ptr + 1, id.bytes, sizeof id.bytes);
    recode_check(recode_object, fixed.ptr, fixed.len);
    rr_buf_clear(&fixed);
    rr_buf_clear(&rest);
    return 0;
}
