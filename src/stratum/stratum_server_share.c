/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs and the shares on them: what is stale, what is a duplicate, what a share stands for. */
#include "stratum/stratum_server.h"

#include <string.h>

#define NONCES_FIRST  64
#define AUTO_PART     32 /* without a setting: so many shares for a block, before it is moved */
#define WINDOW_SHARES 16 /* a share difficulty is looked at again after so many, */
#define WINDOW_SPANS  6  /* or after so many times the aim */
#define STEP          4  /* and moved by at most this factor, */
#define FLOOR_BITS    20 /* but not below the block's over 2^this: a check costs us work too */
#define BAD_SHARES    32 /* low or wrong ones that end a connection when they outnumber the good */
#define RECENT_SHARES 256

/* ---- jobs -------------------------------------------------------------------------------- */

void stratum_job_clear(struct stratum_job *job)
{
    rr_free(job->nonces.slots);
    *job = (struct stratum_job){0};
}

struct stratum_job *stratum_job_numbered(struct stratum_server *server, uint32_t number)
{
    struct stratum_job *job = &server->jobs[number % STRATUM_JOBS_KEPT];
    return number != 0 && job->number == number ? job : NULL;
}

struct stratum_job *stratum_job_newest(struct stratum_server *server)
{
    return stratum_job_numbered(server, server->job_number);
}

struct stratum_job *stratum_job_of_header(struct stratum_server *server, const uint8_t header[32])
{
    for (size_t i = 0; i < STRATUM_JOBS_KEPT; i++) {
        struct stratum_job *job = &server->jobs[i];
        if (job->number != 0 && memcmp(job->work.header_hash, header, 32) == 0) {
            return job;
        }
    }
    return NULL;
}

/* ---- nonces of a job --------------------------------------------------------------------- */

static uint64_t *find_slot(uint64_t *slots, uint32_t cap, uint64_t key)
{
    uint64_t hash = key * UINT64_C(0x9e3779b97f4a7c15);
    for (uint32_t i = (uint32_t)(hash >> 32);; i++) {
        uint64_t *slot = &slots[i & (cap - 1)];
        if (*slot == 0 || *slot == key) {
            return slot;
        }
    }
}

static void grow(struct stratum_job *job)
{
    uint32_t cap = job->nonces.cap > 0 ? job->nonces.cap * 2 : NONCES_FIRST;
    uint64_t *slots = rr_alloc_array(cap, sizeof *slots);
    for (uint32_t i = 0; i < job->nonces.cap; i++) {
        if (job->nonces.slots[i] != 0) {
            *find_slot(slots, cap, job->nonces.slots[i]) = job->nonces.slots[i];
        }
    }
    rr_free(job->nonces.slots);
    job->nonces.slots = slots;
    job->nonces.cap = cap;
}

/* Of all connections: the classic dialect knows no segments. */
static enum stratum_refusal note_nonce(struct stratum_job *job, uint64_t nonce)
{
    if (nonce == UINT64_MAX) {
        bool used = job->nonces.last_used;
        job->nonces.last_used = true;
        return used ? STRATUM_DUPLICATE : STRATUM_ACCEPTED;
    }
    if ((job->nonces.count + 1) * 2 > job->nonces.cap) {
        grow(job);
    }
    uint64_t *slot = find_slot(job->nonces.slots, job->nonces.cap, nonce + 1);
    if (*slot != 0) {
        return STRATUM_DUPLICATE;
    }
    if (job->nonces.count >= STRATUM_JOB_NONCES_MAX) {
        return STRATUM_BUSY;
    }
    *slot = nonce + 1;
    job->nonces.count++;
    return STRATUM_ACCEPTED;
}

/* ---- taking shares in -------------------------------------------------------------------- */

uint64_t stratum_share_difficulty(struct stratum_conn *conn, const struct stratum_job *job)
{
    uint32_t place = job->number % STRATUM_JOBS_KEPT;
    uint64_t block = rr_u256_saturate_u64(job->work.difficulty);
    if (conn->jobs[place].number != job->number) {
        if (conn->difficulty == 0) {
            conn->difficulty = block / AUTO_PART > 0 ? block / AUTO_PART : 1;
        }
        conn->jobs[place].number = job->number;
        conn->jobs[place].variants = 1;
        /* A share may not be harder to find than the block. */
        conn->jobs[place].difficulty[0] = conn->difficulty < block ? conn->difficulty : block;
    }
    return conn->jobs[place].difficulty[conn->jobs[place].variants - 1];
}

uint32_t stratum_share_variant(const struct stratum_conn *conn, const struct stratum_job *job)
{
    uint32_t place = job->number % STRATUM_JOBS_KEPT;
    return conn->jobs[place].number == job->number ? conn->jobs[place].variants - 1 : 0;
}

/* Tells the job again, under another name and with a higher difficulty: a fast miner would drown us
 * in shares until the next one. The classic dialects know a job by its header and would not listen.
 */
static void tell_again(struct stratum_server *server, struct stratum_conn *conn)
{
    const struct stratum_job *job = stratum_job_newest(server);
    if (job == NULL || (conn->dialect != STRATUM_V1 && conn->dialect != STRATUM_V2)) {
        return;
    }
    uint32_t place = job->number % STRATUM_JOBS_KEPT;
    uint64_t present = stratum_share_difficulty(conn, job);
    uint64_t block = rr_u256_saturate_u64(job->work.difficulty);
    uint64_t want = conn->difficulty < block ? conn->difficulty : block;
    if (want / 2 < present || conn->jobs[place].variants == STRATUM_VARIANTS) {
        return;
    }
    conn->jobs[place].difficulty[conn->jobs[place].variants++] = want;
    stratum_talk_work(server, conn, false);
}

void stratum_share_refused(struct stratum_server *server, struct stratum_conn *conn,
                           uint32_t worker, enum stratum_refusal why, uint64_t now_us)
{
    struct rr_stratum_worker none = {0};
    struct rr_stratum_worker *sums =
        worker != STRATUM_NO_WORKER ? &server->workers[worker].sums : &none;
    if (why == STRATUM_STALE || why == STRATUM_NO_JOB) {
        sums->stale++;
        server->stats.stale++;
        return;
    }
    if (why == STRATUM_BUSY || why == STRATUM_INTERNAL) {
        return; /* not the miner's fault */
    }
    if (why == STRATUM_DUPLICATE) {
        sums->duplicate++;
        server->stats.duplicate++;
    } else {
        sums->rejected++;
        server->stats.rejected++;
    }
    if (conn != NULL && ++conn->bad >= BAD_SHARES && conn->bad > conn->good) {
        stratum_server_ban(server, conn, "too many bad shares", now_us);
    }
}

enum stratum_refusal stratum_share_add(struct stratum_server *server, struct stratum_conn *conn,
                                       const struct stratum_entry *entry, uint64_t now_us)
{
    enum stratum_refusal refusal = STRATUM_ACCEPTED;
    struct stratum_job *job = entry->job;
    const struct stratum_job *newest = stratum_job_newest(server);
    uint32_t place = job != NULL ? job->number % STRATUM_JOBS_KEPT : 0;
    if (job == NULL || newest == NULL || conn->jobs[place].number != job->number ||
        entry->variant >= conn->jobs[place].variants) {
        refusal = STRATUM_NO_JOB; /* also: one that this connection never heard of */
    } else if (job->work.height != newest->work.height) {
        refusal = STRATUM_STALE;
    } else if (conn->throttled || server->shares_count == STRATUM_SHARES_MAX ||
               conn->shares_waiting == STRATUM_CONN_SHARES_MAX) {
        refusal = STRATUM_BUSY;
    } else {
        refusal = note_nonce(job, entry->nonce);
    }
    if (refusal != STRATUM_ACCEPTED) {
        stratum_share_refused(server, conn, entry->worker, refusal, now_us);
        return refusal;
    }
    uint32_t at = (server->shares_first + server->shares_count) % STRATUM_SHARES_MAX;
    struct stratum_share *share = &server->shares[at];
    *share = (struct stratum_share){.work_id = job->work.id,
                                    .height = job->work.height,
                                    .block_difficulty = job->work.difficulty,
                                    .difficulty = conn->jobs[place].difficulty[entry->variant],
                                    .conn_id = conn->id,
                                    .worker = entry->worker,
                                    .has_mix = entry->mix != NULL};
    share->check.nonce = entry->nonce;
    memcpy(share->worker_name, server->workers[entry->worker].sums.name, sizeof share->worker_name);
    memcpy(share->check.header_hash, job->work.header_hash, 32);
    memcpy(share->id, entry->id, strlen(entry->id) + 1);
    if (entry->mix != NULL) {
        memcpy(share->mix, entry->mix, 32);
    }
    server->shares_count++;
    conn->shares_waiting++;
    return STRATUM_ACCEPTED;
}

size_t stratum_server_take(struct stratum_server *server, struct stratum_share *out, size_t max)
{
    size_t count = 0;
    while (count < max && server->shares_count > 0) {
        out[count++] = server->shares[server->shares_first];
        server->shares_first = (server->shares_first + 1) % STRATUM_SHARES_MAX;
        server->shares_count--;
    }
    return count;
}

/* ---- the verdict ------------------------------------------------------------------------- */

bool stratum_share_solves(const struct stratum_share *share)
{
    return !share->failed && rr_hash_solves(share->check.final_be, share->block_difficulty);
}

static struct stratum_conn *find_conn(struct stratum_server *server, uint64_t id)
{
    struct stratum_conn *conn = server->conns;
    while (conn != NULL && conn->id != id) {
        conn = conn->next;
    }
    return conn;
}

static enum stratum_refusal verdict_of(const struct stratum_share *share)
{
    if (share->failed) {
        return STRATUM_INTERNAL;
    }
    if (share->has_mix && memcmp(share->mix, share->check.mix, 32) != 0) {
        return STRATUM_BAD_MIX;
    }
    return rr_hash_solves(share->check.final_be, rr_u256_of(share->difficulty)) ? STRATUM_ACCEPTED
                                                                                : STRATUM_LOW;
}

static void count_good(struct stratum_server *server, struct stratum_conn *conn,
                       const struct stratum_share *share, uint64_t now_us)
{
    struct stratum_worker *worker = &server->workers[share->worker];
    stratum_worker_credit(worker, share->difficulty, now_us);
    server->stats.accepted++;
    server->stats.hashes = server->stats.hashes + share->difficulty < share->difficulty
                               ? UINT64_MAX
                               : server->stats.hashes + share->difficulty;
    if (share->block) {
        worker->sums.blocks++;
        server->stats.blocks++;
    }
    if (conn != NULL) {
        conn->window_shares++;
        conn->window_hashes += share->difficulty;
        if (++conn->good + conn->bad >= RECENT_SHARES) {
            conn->good /= 2;
            conn->bad /= 2;
        }
        stratum_share_window(server, conn, now_us);
    }
}

void stratum_server_judge(struct stratum_server *server, const struct stratum_share *shares,
                          size_t count, uint64_t now_us)
{
    for (size_t i = 0; i < count; i++) {
        const struct stratum_share *share = &shares[i];
        struct stratum_conn *conn = find_conn(server, share->conn_id);
        enum stratum_refusal verdict = verdict_of(share);
        if (conn != NULL) {
            conn->shares_waiting--;
        }
        if (verdict == STRATUM_ACCEPTED) {
            count_good(server, conn, share, now_us);
        } else {
            stratum_share_refused(server, conn, share->worker, verdict, now_us);
        }
        if (conn == NULL) {
            continue;
        }
        if (verdict == STRATUM_ACCEPTED) {
            stratum_talk_accept(conn, share->id);
        } else {
            stratum_talk_refuse(conn, share->id, verdict);
        }
    }
}

/* Moves the difficulty of the connection's coming jobs towards one share in share_ms. */
void stratum_share_window(struct stratum_server *server, struct stratum_conn *conn, uint64_t now_us)
{
    uint64_t aim_us = (uint64_t)server->config.share_ms * 1000;
    uint64_t elapsed_us = now_us - conn->window_us;
    if (conn->difficulty == 0 || elapsed_us == 0 ||
        (conn->window_shares < WINDOW_SHARES && elapsed_us < aim_us * WINDOW_SPANS)) {
        return;
    }
    const struct stratum_job *job = stratum_job_newest(server);
    uint64_t block = job != NULL ? rr_u256_saturate_u64(job->work.difficulty) : 0;
    double least = block >> FLOOR_BITS > 0 ? (double)(block >> FLOOR_BITS) : 1;
    double present = (double)conn->difficulty;
    double want = (double)conn->window_hashes * (double)aim_us / (double)elapsed_us;
    if (want < present / STEP) {
        want = present / STEP;
    } else if (want > present * STEP) {
        want = present * STEP;
    }
    if (want > present * 1.3 || want < present / 1.3) {
        conn->difficulty = want < least  ? (uint64_t)least
                           : want > 1e18 ? (uint64_t)1e18
                                         : (uint64_t)want;
    }
    conn->window_us = now_us;
    conn->window_hashes = 0;
    conn->window_shares = 0;
    tell_again(server, conn);
}
