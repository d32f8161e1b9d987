/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The server's core under a stranger's bytes: one connection or two, work and verdicts in between.
 * Whatever comes, answers are whole lines of JSON, and every limit holds. */
#include "stratum/stratum_server.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_output(struct stratum_conn *conn)
{
    size_t at = 0;
    while (at < conn->output.len) {
        const uint8_t *end = memchr(conn->output.ptr + at, '\n', conn->output.len - at);
        RR_CHECK(end != NULL);
        size_t len = (size_t)(end - (conn->output.ptr + at));
        json_t *message = json_loadb((const char *)conn->output.ptr + at, len, 0, NULL);
        RR_CHECK(json_is_object(message));
        json_decref(message);
        at += len + 1;
    }
    conn->output.len = 0;
    RR_CHECK(conn->worker_count <= STRATUM_CONN_WORKERS_MAX);
    RR_CHECK(conn->shares_waiting <= STRATUM_CONN_SHARES_MAX);
    RR_CHECK(conn->lines.bytes.len <= STRATUM_LINE_MAX + 4096);
}

static void judge(struct stratum_server *server, uint8_t mark, uint64_t now)
{
    struct stratum_share shares[8];
    size_t count = stratum_server_take(server, shares, 8);
    for (size_t i = 0; i < count; i++) {
        memset(shares[i].check.final_be, mark, 32);
        RR_CHECK(shares[i].difficulty >= 1 && shares[i].conn_id != 0);
        (void)stratum_share_solves(&shares[i]);
    }
    stratum_server_judge(server, shares, count, now);
}

static void set_work(struct stratum_server *server, uint64_t *serial, bool same_height,
                     uint64_t now)
{
    struct rr_stratum_work work = {.id = ++*serial, .difficulty = rr_u256_of(100000)};
    work.height = same_height ? 1 : *serial;
    memset(work.header_hash, (int)(*serial & 0xff), 32);
    stratum_server_work(server, &work, now);
}

/* Lines that start with '!' are events: 'w' work, 'h' work of a height of its own, 'j' verdicts,
 * 't' time, 'o' the other connection. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stratum_server_config config = {.share_difficulty = 1000,
                                           .share_ms = 100,
                                           .connections_max = 4,
                                           .lines_per_s = 100,
                                           .ban_ms = 1000,
                                           .seed = 1};
    struct stratum_server *server = stratum_server_new(&config);
    uint64_t now = 1000000, serial = 0;
    struct stratum_conn *conns[2] = {stratum_server_open(server, "192.0.2.1", now),
                                     stratum_server_open(server, "192.0.2.2", now)};
    size_t which = 0;
    RR_CHECK(conns[0]->segment != conns[1]->segment);
    set_work(server, &serial, true, now);
    for (size_t at = 0; at < size;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t len = end != NULL ? (size_t)(end - (data + at)) + 1 : size - at;
        char event = len >= 2 && data[at] == '!' ? (char)data[at + 1] : '\0';
        if (event == 'w' || event == 'h') {
            set_work(server, &serial, event == 'w', now);
        } else if (event == 'j') {
            judge(server, len > 2 ? data[at + 2] : 0, now);
        } else if (event == 't') {
            now += len > 2 ? (uint64_t)data[at + 2] * 100000 : 0;
            stratum_server_tick(server, now);
        } else if (event == 'o') {
            which ^= 1;
        } else {
            for (size_t done = 0; done < len; done += 4096) {
                size_t piece = len - done < 4096 ? len - done : 4096;
                stratum_server_input(server, conns[which], rr_slice_of(data + at + done, piece),
                                     now);
            }
        }
        check_output(conns[0]);
        check_output(conns[1]);
        at += len;
    }
    struct rr_stratum_server_stats stats;
    stratum_server_stats(server, &stats, now);
    RR_CHECK(stats.connections == 2);
    stratum_server_drop(server, conns[0]);
    judge(server, 0, now);
    stratum_server_free(server);
    return 0;
}
