/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connections: their segments of the nonces, their lines, deadlines and bans. */
#include "stratum/stratum_server.h"

#include <string.h>

#define BURST_S 4  /* lines of so many seconds may come at once, */
#define OVER    16 /* and so many times as many beyond, before it is called a flood */

struct stratum_server *stratum_server_new(const struct stratum_server_config *config)
{
    struct stratum_server *server = rr_alloc(sizeof *server);
    server->config = *config;
    rr_prng_seed(&server->prng, config->seed);
    server->next_segment = (uint32_t)rr_prng_below(&server->prng, 1u << STRATUM_SEGMENT_BITS);
    return server;
}

void stratum_server_free(struct stratum_server *server)
{
    if (server == NULL) {
        return;
    }
    while (server->conns != NULL) {
        stratum_server_drop(server, server->conns);
    }
    for (size_t i = 0; i < STRATUM_JOBS_KEPT; i++) {
        stratum_job_clear(&server->jobs[i]);
    }
    rr_free(server);
}

/* ---- segments ---------------------------------------------------------------------------- */

/* The next free one behind the last that was given: one that was left is not given again before all
 * others were. */
static bool take_segment(struct stratum_server *server, uint16_t *out)
{
    const uint32_t count = 1u << STRATUM_SEGMENT_BITS;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t segment = (server->next_segment + i) % count;
        uint64_t bit = UINT64_C(1) << segment % 64;
        if ((server->segments_used[segment / 64] & bit) == 0) {
            server->segments_used[segment / 64] |= bit;
            server->next_segment = (segment + 1) % count;
            *out = (uint16_t)segment;
            return true;
        }
    }
    return false;
}

static void leave_segment(struct stratum_server *server, uint16_t segment)
{
    server->segments_used[segment / 64] &= ~(UINT64_C(1) << segment % 64);
}

/* ---- bans -------------------------------------------------------------------------------- */

static bool banned(const struct stratum_server *server, const char *peer, uint64_t now_us)
{
    for (size_t i = 0; i < STRATUM_BANS_MAX; i++) {
        if (server->bans[i].until_us > now_us && strcmp(server->bans[i].peer, peer) == 0) {
            return true;
        }
    }
    return false;
}

/* With the table full the ban that ends first makes room. */
void stratum_server_ban(struct stratum_server *server, struct stratum_conn *conn, const char *why,
                        uint64_t now_us)
{
    struct stratum_ban *place = &server->bans[0];
    conn->ending = why;
    if (server->config.ban_ms == 0) {
        return;
    }
    for (size_t i = 1; i < STRATUM_BANS_MAX; i++) {
        if (server->bans[i].until_us < place->until_us) {
            place = &server->bans[i];
        }
    }
    memcpy(place->peer, conn->peer, sizeof place->peer);
    place->until_us = now_us + (uint64_t)server->config.ban_ms * 1000;
    server->stats.bans++;
    conn->banned = true;
}

/* ---- connections ------------------------------------------------------------------------- */

/* One address takes at most half of the places. */
static bool room_for(const struct stratum_server *server, const char *peer)
{
    uint32_t all = 0, same = 0;
    for (const struct stratum_conn *conn = server->conns; conn != NULL; conn = conn->next) {
        all++;
        same += strcmp(conn->peer, peer) == 0;
    }
    return all < server->config.connections_max && same < (server->config.connections_max + 1) / 2;
}

struct stratum_conn *stratum_server_open(struct stratum_server *server, const char *peer,
                                         uint64_t now_us)
{
    uint16_t segment;
    if (banned(server, peer, now_us) || !room_for(server, peer) ||
        !take_segment(server, &segment)) {
        server->stats.refused_connections++;
        return NULL;
    }
    struct stratum_conn *conn = rr_alloc(sizeof *conn);
    conn->id = ++server->next_conn_id;
    conn->segment = segment;
    memcpy(conn->peer, peer, strnlen(peer, sizeof conn->peer - 1));
    conn->opened_us = conn->heard_us = conn->tokens_us = conn->window_us = now_us;
    conn->tokens_milli = (uint64_t)server->config.lines_per_s * BURST_S * 1000;
    conn->difficulty = server->config.share_difficulty;
    conn->next = server->conns;
    if (conn->next != NULL) {
        conn->next->prev = conn;
    }
    server->conns = conn;
    return conn;
}

void stratum_server_drop(struct stratum_server *server, struct stratum_conn *conn)
{
    *(conn->prev != NULL ? &conn->prev->next : &server->conns) = conn->next;
    if (conn->next != NULL) {
        conn->next->prev = conn->prev;
    }
    for (uint32_t i = 0; i < conn->worker_count; i++) {
        server->workers[conn->workers[i]].sums.connections--;
    }
    leave_segment(server, conn->segment);
    stratum_lines_clear(&conn->lines);
    rr_buf_clear(&conn->output);
    rr_free(conn);
}

/* One line's leave. Without it shares are sent back unseen: a fast miner whose share difficulty is
 * still too low does nothing bad. False when the connection floods. */
static bool spend_token(const struct stratum_server *server, struct stratum_conn *conn,
                        uint64_t now_us)
{
    uint64_t full = (uint64_t)server->config.lines_per_s * BURST_S * 1000;
    uint64_t elapsed_us = now_us > conn->tokens_us ? now_us - conn->tokens_us : 0;
    if (elapsed_us > BURST_S * UINT64_C(1000000)) {
        elapsed_us = BURST_S * UINT64_C(1000000);
    }
    uint64_t gained = elapsed_us * server->config.lines_per_s / 1000;
    if (gained > 0) { /* else keep what is too little to count */
        conn->tokens_us = now_us;
        conn->tokens_milli =
            conn->tokens_milli + gained < full ? conn->tokens_milli + gained : full;
    }
    if (conn->tokens_milli == full) {
        conn->over = 0;
    }
    conn->throttled = conn->tokens_milli < 1000;
    if (conn->throttled) {
        return ++conn->over <= full / 1000 * OVER;
    }
    conn->tokens_milli -= 1000;
    return true;
}

void stratum_server_input(struct stratum_server *server, struct stratum_conn *conn,
                          struct rr_slice bytes, uint64_t now_us)
{
    struct rr_slice line;
    if (conn->ending != NULL) {
        return;
    }
    conn->heard_us = now_us;
    stratum_lines_add(&conn->lines, bytes);
    while (conn->ending == NULL && stratum_lines_next(&conn->lines, &line)) {
        if (!spend_token(server, conn, now_us)) {
            stratum_server_ban(server, conn, "too many lines", now_us);
        } else if (line.len > 0) {
            stratum_talk_line(server, conn, line, now_us);
        }
        if (conn->output.len > STRATUM_OUTPUT_MAX) {
            conn->ending = "it does not read its answers";
        }
    }
    if (conn->lines.overlong && conn->ending == NULL) {
        server->stats.errors++;
        stratum_server_ban(server, conn, "an overlong line", now_us);
    }
}

/* ---- work and time ----------------------------------------------------------------------- */

void stratum_server_work(struct stratum_server *server, const struct rr_stratum_work *work,
                         uint64_t now_us)
{
    const struct stratum_job *former = stratum_job_newest(server);
    bool clean = former == NULL || former->work.height != work->height;
    (void)now_us;
    if (++server->job_number == 0) { /* 0 stands for none */
        server->job_number = 1;
    }
    struct stratum_job *job = &server->jobs[server->job_number % STRATUM_JOBS_KEPT];
    stratum_job_clear(job);
    job->work = *work;
    job->number = server->job_number;
    for (struct stratum_conn *conn = server->conns; conn != NULL; conn = conn->next) {
        if (conn->worker_count > 0 && conn->ending == NULL) {
            stratum_talk_work(server, conn, clean);
        }
    }
}

void stratum_server_tick(struct stratum_server *server, uint64_t now_us)
{
    for (struct stratum_conn *conn = server->conns; conn != NULL; conn = conn->next) {
        if (conn->ending != NULL) {
            continue;
        }
        if (conn->worker_count == 0 && now_us - conn->opened_us > STRATUM_HANDSHAKE_US) {
            conn->ending = "it did not log in";
        } else if (now_us - conn->heard_us > STRATUM_IDLE_US) {
            conn->ending = "it was silent";
        } else {
            stratum_share_window(server, conn, now_us);
        }
    }
}

void stratum_server_stats(const struct stratum_server *server, struct rr_stratum_server_stats *out,
                          uint64_t now_us)
{
    *out = server->stats;
    for (const struct stratum_conn *conn = server->conns; conn != NULL; conn = conn->next) {
        out->connections++;
        out->authorized += conn->worker_count > 0;
        out->dialects[conn->dialect]++;
    }
    for (size_t i = 0; i < STRATUM_WORKERS_MAX; i++) {
        if (server->workers[i].used) {
            out->workers++;
            out->rate += stratum_worker_rate(&server->workers[i], now_us);
        }
    }
    const struct stratum_job *job = &server->jobs[server->job_number % STRATUM_JOBS_KEPT];
    out->height = server->job_number != 0 ? job->work.height : 0;
}
