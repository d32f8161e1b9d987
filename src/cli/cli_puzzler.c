/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli_puzzler.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* One puzzle; at a fixed address while it is searched. */
struct item {
    struct cli_puzzler *puzzler;
    struct rr_puzzle_claim claim;
    uint64_t job_id;         /* 0: not searched */
    bool ended, found, kept; /* ended and found under the lock while it is searched */
    uint64_t hashes;
    json_t *refused; /* by the rig it was posted to: why; owned */
};
struct cli_puzzler {
    struct cli_puzzler_options options;
    struct rr_pubkey viewer;
    char folder[RR_PATH_BYTES];
    pthread_mutex_t lock;
    pthread_cond_t ended;
    struct item **items;
    uint32_t count, room, open;
    uint32_t unknown, accepted;
};

/* ---- claims as files and as text ------------------------------------------------------------- */

enum rr_err cli_claim_read(struct rr_puzzle_claim *out, const char *path, struct rr_fault *fault)
{
    struct rr_buf bytes = {0};
    enum rr_err err = rr_file_read(&bytes, path, 64 * RR_PUZZLE_CLAIM_BYTES, fault);
    err = err != RR_OK ? err : rr_puzzle_claim_decode(out, rr_buf_slice(&bytes), fault);
    rr_buf_clear(&bytes);
    return err;
}

static const char *kind_text(const struct rr_puzzle *puzzle)
{
    return puzzle->kind == RR_PUZZLE_STAKE ? "stake" : "work";
}

/* 2^256 has 78 digits. */
static void difficulty_text(char text[static 80], const struct rr_puzzle *puzzle)
{
    struct rr_u256 left = rr_puzzle_difficulty_value(puzzle->difficulty), rest;
    char turned[80];
    size_t len = 0;
    do {
        left = rr_u256_div(left, rr_u256_of(10), &rest);
        turned[len++] = (char)('0' + rest.limb[0]);
    } while (!rr_u256_is_zero(left));
    for (size_t i = 0; i < len; i++) {
        text[i] = turned[len - 1 - i];
    }
    text[len] = '\0';
}

json_t *cli_puzzle_json(const struct rr_puzzle *puzzle, const struct rr_hash32 *contract_id)
{
    char contract[65], prize[RR_COIN_TEXT_BYTES], rand[33], difficulty[80];
    rr_hex(contract, contract_id->bytes, 32);
    rr_hex(rand, puzzle->rand, sizeof puzzle->rand);
    rr_coin_text(prize, puzzle->prize);
    difficulty_text(difficulty, puzzle);
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:s, s:s}", "contract", contract, "kind", kind_text(puzzle),
                  "prize", prize, "difficulty", difficulty, "rand", rand);
    RR_CHECK(json != NULL);
    return json;
}

json_t *cli_claim_json(const struct rr_puzzle_claim *claim)
{
    struct rr_hash32 id;
    char puzzle[65], resource[65], digest[65], engagement[65], viewer[65], nonce[24];
    rr_puzzle_id(&id, claim);
    rr_hex(puzzle, id.bytes, 32);
    rr_hex(resource, claim->resource_id.bytes, 32);
    rr_hex(digest, claim->segment_digest.bytes, 32);
    rr_hex(engagement, claim->engagement.bytes, 32);
    rr_hex(viewer, claim->viewer.bytes, 32);
    snprintf(nonce, sizeof nonce, "%llu", (unsigned long long)claim->nonce);
    json_t *json = cli_puzzle_json(&claim->puzzle, &claim->contract_id);
    json_t *rest =
        json_pack("{s:s, s:I, s:s, s:i, s:I, s:s, s:s, s:s, s:s}", "puzzle", puzzle, "chain_id",
                  (json_int_t)claim->chain_id, "resource", resource, "rendition",
                  (int)claim->rendition, "segment", (json_int_t)claim->segment, "segment_digest",
                  digest, "engagement", engagement, "viewer", viewer, "nonce", nonce);
    RR_CHECK(rest != NULL && json_object_update(json, rest) == 0);
    json_decref(rest);
    return json;
}

void cli_claim_print(const struct rr_puzzle_claim *claim)
{
    struct rr_hash32 id;
    char puzzle[65], prize[RR_COIN_TEXT_BYTES], difficulty[80];
    rr_puzzle_id(&id, claim);
    rr_hex(puzzle, id.bytes, 32);
    rr_coin_text(prize, claim->puzzle.prize);
    difficulty_text(difficulty, &claim->puzzle);
    cli_print("  %s  rendition %u segment %u, %s, prize %s coins, difficulty %s, nonce %llu\n",
              puzzle, (unsigned)claim->rendition, (unsigned)claim->segment,
              kind_text(&claim->puzzle), prize, difficulty, (unsigned long long)claim->nonce);
}

/* ---- searching ------------------------------------------------------------------------------- */

enum rr_err cli_puzzler_start(struct cli_puzzler **out, const struct cli_puzzler_options *options,
                              struct rr_fault *fault)
{
    struct cli_puzzler *puzzler = rr_alloc(sizeof *puzzler);
    puzzler->options = *options;
    rr_seckey_public(options->key, &puzzler->viewer);
    enum rr_err err = rr_path(puzzler->folder, fault, "%s/puzzle-claims", options->wallet);
    err = err != RR_OK ? err : rr_make_folders(puzzler->folder, fault);
    if (err != RR_OK) {
        rr_free(puzzler);
        return err;
    }
    pthread_mutex_init(&puzzler->lock, NULL);
    pthread_cond_init(&puzzler->ended, NULL);
    *out = puzzler;
    return RR_OK;
}

static enum rr_err claim_path(const struct cli_puzzler *puzzler, char out[static RR_PATH_BYTES],
                              const struct rr_puzzle_claim *claim, struct rr_fault *fault)
{
    struct rr_hash32 id;
    char text[65];
    rr_puzzle_id(&id, claim);
    rr_hex(text, id.bytes, 32);
    return rr_path(out, fault, "%s/%s", puzzler->folder, text);
}

static void solved(void *ctx, const struct rr_hash_result *result)
{
    struct item *item = ctx;
    struct cli_puzzler *puzzler = item->puzzler;
    pthread_mutex_lock(&puzzler->lock);
    item->ended = true;
    item->found = result->found;
    item->claim.nonce = result->nonce;
    item->hashes = result->hashes;
    puzzler->open--;
    pthread_cond_signal(&puzzler->ended);
    pthread_mutex_unlock(&puzzler->lock);
}

static void search(struct cli_puzzler *puzzler, struct item *item)
{
    struct rr_hash_job job = {.kind = RR_HASH_TARGET,
                              .difficulty =
                                  rr_puzzle_difficulty_value(item->claim.puzzle.difficulty),
                              .deadline_us = rr_monotonic_us(rr_clock_system()) +
                                             (uint64_t)puzzler->options.seconds * 1000000};
    memcpy(job.header_hash, item->claim.engagement.bytes, 32);
    /* Anywhere: who begins where others begin finds nothing first. */
    rr_random(&job.nonce_start, sizeof job.nonce_start);
    job.nonce_start >>= 1;
    pthread_mutex_lock(&puzzler->lock);
    puzzler->open++;
    pthread_mutex_unlock(&puzzler->lock);
    if (rr_hash_submit(puzzler->options.engine, &item->job_id, &job, solved, item, NULL) != RR_OK) {
        pthread_mutex_lock(&puzzler->lock);
        item->ended = true;
        puzzler->open--;
        pthread_mutex_unlock(&puzzler->lock);
    }
}

static void add(struct cli_puzzler *puzzler, const struct rr_puzzle_claim *claim)
{
    struct item *item = rr_alloc(sizeof *item);
    char path[RR_PATH_BYTES];
    struct rr_puzzle_claim before;
    *item = (struct item){.puzzler = puzzler, .claim = *claim};
    if (puzzler->count == puzzler->room) {
        puzzler->room = puzzler->room > 0 ? 2 * puzzler->room : 16;
        puzzler->items = rr_realloc(puzzler->items, puzzler->room * sizeof(struct item *));
    }
    puzzler->items[puzzler->count++] = item;
    if (claim_path(puzzler, path, claim, NULL) == RR_OK &&
        cli_claim_read(&before, path, NULL) == RR_OK) {
        item->claim = before; /* of an earlier run */
        item->ended = item->found = item->kept = true;
    } else if (claim->puzzle.kind == RR_PUZZLE_STAKE) {
        item->ended = item->found = true;
    } else {
        search(puzzler, item);
    }
}

static bool is_ended(struct cli_puzzler *puzzler, const struct item *item)
{
    pthread_mutex_lock(&puzzler->lock);
    bool ended = item->ended;
    pthread_mutex_unlock(&puzzler->lock);
    return ended;
}

/* Signs and keeps what is found and not kept yet. */
static enum rr_err keep(struct cli_puzzler *puzzler, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    for (uint32_t i = 0; i < puzzler->count && err == RR_OK; i++) {
        struct item *item = puzzler->items[i];
        if (item->kept || !is_ended(puzzler, item) || !item->found) {
            continue;
        }
        char path[RR_PATH_BYTES];
        struct rr_buf bytes = {0};
        rr_puzzle_claim_sign(&item->claim, puzzler->options.key);
        rr_puzzle_claim_encode(&bytes, &item->claim);
        err = claim_path(puzzler, path, &item->claim, fault);
        err = err != RR_OK ? err : rr_file_write(path, rr_buf_slice(&bytes), 0600, fault);
        item->kept = err == RR_OK;
        rr_buf_clear(&bytes);
    }
    return err;
}

enum rr_err cli_puzzler_segment(struct cli_puzzler *puzzler, const struct rr_proof_place *place,
                                struct rr_slice file, struct rr_fault *fault)
{
    struct rr_puzzle_scan scan;
    if (rr_puzzle_scan(&scan, file, NULL) != RR_OK) {
        puzzler->unknown++;
        return keep(puzzler, fault);
    }
    puzzler->unknown += scan.unknown;
    struct rr_proof_segment segment;
    if (scan.count > 0) {
        rr_proof_segment_of(&segment, &scan);
    }
    for (uint32_t i = 0; i < scan.count; i++) {
        struct rr_puzzle_claim claim;
        if (rr_proof_engagement_begin(&claim, place, &scan.boxes[i], &segment, &puzzler->viewer,
                                      NULL) == RR_OK) {
            add(puzzler, &claim);
        } else {
            puzzler->unknown++;
        }
    }
    return keep(puzzler, fault);
}

enum rr_err cli_puzzler_finish(struct cli_puzzler *puzzler, struct rr_fault *fault)
{
    pthread_mutex_lock(&puzzler->lock);
    while (puzzler->open > 0) {
        cli_progress("%u puzzles are still searched", (unsigned)puzzler->open);
        pthread_cond_wait(&puzzler->ended, &puzzler->lock);
    }
    pthread_mutex_unlock(&puzzler->lock);
    cli_progress("%s", "");
    return keep(puzzler, fault);
}

enum rr_err cli_claims_post(struct cli_http *http, json_t **answer, const char *base,
                            const struct rr_puzzle_claim *claims, uint32_t count,
                            struct rr_fault *fault)
{
    static const char *const headers[] = {"Content-Type: application/octet-stream", NULL};
    char url[600];
    struct rr_buf body = {0};
    struct cli_response response = {0};
    int n = snprintf(url, sizeof url, "%s/v1/puzzle-claims", base);
    RR_CHECK(n > 0 && (size_t)n < sizeof url);
    rr_puzzle_claims_encode(&body, claims, count);
    struct cli_request request = {.url = url, .headers = headers, .body = rr_buf_slice(&body)};
    enum rr_err err = cli_http_send(http, &response, &request, fault);
    err = err != RR_OK ? err : cli_response_check(&response, "the claims", fault);
    err = err != RR_OK ? err : cli_response_json(&response, answer, fault);
    if (err == RR_OK && json_array_size(json_object_get(*answer, "claims")) != count) {
        json_decref(*answer);
        err = rr_fail(fault, RR_ERR_FORMAT, "the rig's answer does not judge each claim");
    }
    cli_response_clear(&response);
    rr_buf_clear(&body);
    return err;
}

/* The next kept ones from *at on. */
static uint32_t next_claims(const struct cli_puzzler *puzzler, uint32_t *at, struct item **items,
                            struct rr_puzzle_claim *claims)
{
    uint32_t count = 0;
    for (; *at < puzzler->count && count < RR_PUZZLE_CLAIMS_POST_MAX; (*at)++) {
        if (puzzler->items[*at]->kept) {
            items[count] = puzzler->items[*at];
            claims[count++] = puzzler->items[*at]->claim;
        }
    }
    return count;
}

enum rr_err cli_puzzler_post(struct cli_puzzler *puzzler, struct cli_http *http, const char *base,
                             struct rr_fault *fault)
{
    struct item *items[RR_PUZZLE_CLAIMS_POST_MAX];
    struct rr_puzzle_claim *claims = rr_alloc_array(RR_PUZZLE_CLAIMS_POST_MAX, sizeof *claims);
    enum rr_err err = RR_OK;
    uint32_t at = 0, count;
    while (err == RR_OK && (count = next_claims(puzzler, &at, items, claims)) > 0) {
        json_t *answer;
        err = cli_claims_post(http, &answer, base, claims, count, fault);
        for (uint32_t i = 0; i < count && err == RR_OK; i++) {
            json_t *reason = json_array_get(json_object_get(answer, "claims"), i);
            items[i]->refused = json_is_string(reason) ? json_incref(reason) : NULL;
            puzzler->accepted += items[i]->refused == NULL;
        }
        if (err == RR_OK) {
            json_decref(answer);
        }
    }
    rr_free(claims);
    return err;
}

json_t *cli_puzzler_json(const struct cli_puzzler *puzzler)
{
    json_t *claims = json_array();
    json_int_t hashes = 0, kept = 0;
    for (uint32_t i = 0; i < puzzler->count; i++) {
        const struct item *item = puzzler->items[i];
        char path[RR_PATH_BYTES];
        hashes += (json_int_t)item->hashes;
        if (item->kept && claim_path(puzzler, path, &item->claim, NULL) == RR_OK) {
            json_t *claim = cli_claim_json(&item->claim);
            json_object_set_new(claim, "file", json_string(path));
            json_object_set_new(claim, "refused",
                                item->refused != NULL ? json_incref(item->refused) : json_null());
            json_array_append_new(claims, claim);
            kept++;
        }
    }
    json_t *json = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "seen", (json_int_t)puzzler->count, "solved", kept,
        "unsolved", (json_int_t)puzzler->count - kept, "unknown", (json_int_t)puzzler->unknown,
        "hashes", hashes, "accepted", (json_int_t)puzzler->accepted, "claims", claims);
    RR_CHECK(json != NULL);
    return json;
}

void cli_puzzler_free(struct cli_puzzler *puzzler)
{
    if (puzzler == NULL) {
        return;
    }
    for (uint32_t i = 0; i < puzzler->count; i++) {
        if (puzzler->items[i]->job_id != 0) {
            (void)rr_hash_cancel(puzzler->options.engine, puzzler->items[i]->job_id);
        }
        json_decref(puzzler->items[i]->refused);
        rr_free(puzzler->items[i]);
    }
    rr_free(puzzler->items);
    pthread_cond_destroy(&puzzler->ended);
    pthread_mutex_destroy(&puzzler->lock);
    rr_free(puzzler);
}
