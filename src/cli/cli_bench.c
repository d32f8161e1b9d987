/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reelrig bench: one question each, with limits and peers of the same run. */
#include "bench/bench.h"
#include "cli/cli.h"

#include <string.h>

static const struct {
    const char *name;
    enum rr_err (*run)(struct rr_buf *out, bool json);
} benches[] = {
    {"erasure", rr_bench_erasure},
    {"pay", rr_bench_pay},
};

static int report(enum rr_err err, struct rr_buf *out, bool json)
{
    if (err == RR_OK) {
        cli_print("%.*s%s", (int)out->len, (const char *)out->ptr, json ? "\n" : "");
    }
    rr_buf_clear(out);
    return rr_err_exit_status(err);
}

int cli_bench(int argc, char **argv)
{
    const char *name = NULL, *clip = NULL, *peer = NULL, *seconds_text = "20", *turns_text = "2";
    bool json = false;
    size_t count;
    uint64_t seconds, turns;
    struct rr_buf out = {0};
    const struct cli_option options[] = {{"json", NULL, &json},
                                         {"clip", &clip, NULL},
                                         {"peer", &peer, NULL},
                                         {"seconds", &seconds_text, NULL},
                                         {"turns", &turns_text, NULL}};
    if (!cli_options(argc, argv, options, RR_COUNT(options), &name, 1, &count) || count != 1 ||
        !cli_read_number(seconds_text, 3600, &seconds) || seconds == 0 ||
        !cli_read_number(turns_text, 5, &turns) || turns == 0) {
        return cli_usage(argv[0]);
    }
    if (strcmp(name, "transcode") == 0) {
        return report(rr_bench_transcode(&out, json, clip, (unsigned)seconds, (unsigned)turns),
                      &out, json);
    }
    if (strcmp(name, "hash") == 0) {
        return report(rr_bench_hash(&out, json, peer), &out, json);
    }
    for (size_t i = 0; i < RR_COUNT(benches); i++) {
        if (strcmp(benches[i].name, name) == 0) {
            return report(benches[i].run(&out, json), &out, json);
        }
    }
    return cli_usage(argv[0]);
}
