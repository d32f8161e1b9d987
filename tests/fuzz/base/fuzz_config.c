/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any text parses or is refused with its place; what parsed answers every get, and a key that
 * nobody asked for is told. */
#include "base/base.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const paths[] = {
    "a",           "a.b",         "a.0", "a.0.b", "a.b.c", "serve", "serve.port", "node",
    "node.0.name", "node.1.name", "x",   "x.0.0", "key",   "",      ".",          "a."};

static void check_place(const struct rr_fault *fault)
{
    RR_CHECK(fault->code == RR_ERR_FORMAT);
    RR_CHECK(strncmp(fault->text, "fuzz:", 5) == 0);
    RR_CHECK(fault->text[5] >= '1' && fault->text[5] <= '9');
}

static void ask(const struct rr_config *config, const char *path)
{
    struct rr_fault fault = {0};
    uint64_t number = 3;
    double fraction = 0;
    bool flag = false;
    const char *text = NULL;
    enum rr_err errs[4] = {
        rr_config_u64(config, path, &number, 2, 1000, &fault),
        rr_config_bool(config, path, &flag, NULL),
        rr_config_double(config, path, &fraction, NULL),
        rr_config_string(config, path, &text, NULL),
    };
    unsigned refused = 0;
    RR_CHECK(number >= 2 && number <= 1000);
    if (errs[0] != RR_OK) {
        check_place(&fault);
    }
    RR_CHECK(fraction - fraction == 0); /* finite */
    for (size_t i = 0; i < RR_COUNT(errs); i++) {
        RR_CHECK(errs[i] == RR_OK || errs[i] == RR_ERR_FORMAT);
        refused += errs[i] != RR_OK;
    }
    /* Absent answers all; a value has one type (an integer is a number too), so that two or more
     * refuse. */
    RR_CHECK(refused == 0 || refused >= 2);
    if (text != NULL) {
        RR_CHECK(refused == 3);
    }
    (void)rr_config_count(config, path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rr_config *config = NULL;
    struct rr_fault fault = {0};
    enum rr_err err = rr_config_parse(&config, rr_slice_of(data, size), "fuzz", &fault);
    if (err == RR_ERR_LIMIT) {
        RR_CHECK(size > 1 << 20 && config == NULL);
        return 0;
    }
    if (err != RR_OK) {
        RR_CHECK(config == NULL);
        check_place(&fault);
        return 0;
    }
    bool empty = rr_config_check_unknown(config, &fault) == RR_OK;
    for (size_t i = 0; i < RR_COUNT(paths); i++) {
        if (empty) { /* a text without keys has nothing at any path */
            RR_CHECK(rr_config_count(config, paths[i]) == 0);
        }
        ask(config, paths[i]);
    }
    if (rr_config_check_unknown(config, &fault) != RR_OK) {
        check_place(&fault);
    }
    rr_config_free(config);
    return 0;
}
