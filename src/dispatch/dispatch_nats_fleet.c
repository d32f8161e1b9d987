/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is there and what is worked on, out of the registries. */
#include "dispatch/dispatch_nats.h"
#include <stdio.h>
#include <string.h>

struct list {
    struct rr_buf *out;
    unsigned count;
};

/* Values are JSON objects that end with "at_ms":N}; they are passed on when they look like one, and
 * whoever reads the whole parses it. */
static void add(void *ctx, const char *key, struct rr_slice value)
{
    struct list *list = ctx;
    uint64_t at_ms = 0, now_ms = rr_wall_ms(rr_clock_system());
    (void)key;
    if (value.len < 20 || value.len > 2000 || value.ptr[0] != '{' ||
        value.ptr[value.len - 1] != '}') {
        return;
    }
    size_t from = value.len - 1;
    while (from > 0 && value.ptr[from - 1] >= '0' && value.ptr[from - 1] <= '9') {
        from--;
    }
    for (size_t i = from; i + 1 < value.len && at_ms < UINT64_MAX / 20; i++) {
        at_ms = at_ms * 10 + (uint64_t)(value.ptr[i] - '0');
    }
    rr_buf_format(list->out, "%s", list->count++ > 0 ? "," : "");
    rr_buf_append(list->out, value.ptr, value.len - 1);
    rr_buf_format(list->out, ",\"seconds_ago\":%.1f}",
                  now_ms > at_ms ? (double)(now_ms - at_ms) / 1000 : 0.0);
}

enum rr_err rr_dispatch_nats_fleet(struct rr_dispatch_nats *nats, struct rr_buf *json,
                                   struct rr_fault *fault)
{
    struct list rigs = {.out = json}, runs = {.out = json};
    if (natsConnection_Status(nats->connection) != NATS_CONN_STATUS_CONNECTED) {
        return rr_fail(fault, RR_ERR_UNREACHABLE, "no NATS server answers");
    }
    rr_buf_format(json, "{\"rigs\":[");
    enum rr_err err = nats_each(nats, NATS_RIGS, add, &rigs, fault);
    rr_buf_format(json, "],\"jobs\":[");
    err = err != RR_OK ? err : nats_each(nats, NATS_RUNS, add, &runs, fault);
    rr_buf_format(json, "]}");
    return err;
}
