/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses of mining pools: what is taken can stand inside our JSON. */
#include "stratum/stratum_client.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
    for (; *text != '\0'; text++) {
        RR_CHECK(*text > ' ' && *text <= '~' && *text != '"' && *text != '\\');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stratum_pool pool;
    struct rr_fault fault = {0};
    char *url = rr_alloc(size + 1);
    if (size > 0) {
        memcpy(url, data, size);
    }
    if (stratum_pool_parse(&pool, url, &fault) == RR_OK) {
        RR_CHECK(pool.port > 0 && pool.host[0] != '\0');
        check_text(pool.host);
        check_text(pool.user);
        check_text(pool.password);
    } else {
        RR_CHECK(fault.code == RR_ERR_USAGE && fault.text[0] != '\0');
    }
    rr_free(url);
    return 0;
}
