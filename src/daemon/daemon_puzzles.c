/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/daemon_puzzles.h"
#include "proof/proof.h"

#include <stdio.h>
#include <string.h>

#define LIST_BYTES_MAX   (128u << 20)
#define RISE_PERCENT_MAX 1000000

/* ---- what was asked for ---------------------------------------------------------------------- */

static bool read_number(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    uint64_t value = 0;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || value > (most - (uint64_t)(*p - '0')) / 10) {
            return false;
        }
        value = value * 10 + (uint64_t)(*p - '0');
    }
    *out = value;
    return text[0] != '\0' && value >= least;
}

static enum rr_err read_difficulty(struct daemon_puzzles *out, const char *text,
                                   struct rr_fault *fault)
{
    uint64_t value = 1;
    if (out->kind == RR_PUZZLE_STAKE && text != NULL) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "puzzles by stake have no work: leave the difficulty out");
    }
    if (out->kind == RR_PUZZLE_WORK &&
        (text == NULL || !read_number(text, 1, UINT64_MAX, &value))) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "the difficulty of the puzzles is '%s'; a number of hashes from 1 on was "
                       "expected",
                       text != NULL ? text : "");
    }
    RR_CHECK(rr_puzzle_difficulty_of(&out->difficulty, rr_u256_of(value)));
    return RR_OK;
}

enum rr_err daemon_puzzles_parse(struct daemon_puzzles *out,
                                 const struct daemon_puzzle_words *words, struct rr_fault *fault)
{
    struct daemon_puzzles puzzles = {.kind = RR_PUZZLE_WORK};
    uint64_t rise = 0, per_segment = 1;
    if (words->contract == NULL) {
        if (words->kind != NULL || words->prize != NULL || words->difficulty != NULL ||
            words->rise != NULL || words->per_segment != NULL) {
            return rr_fail(fault, RR_ERR_USAGE,
                           "puzzles need the id of the contract that pays their prizes");
        }
        *out = (struct daemon_puzzles){0};
        return RR_OK;
    }
    if (!rr_unhex(puzzles.contract_id.bytes, 32, words->contract)) {
        return rr_fail(fault, RR_ERR_USAGE, "'%s' is not a contract's id (64 hex digits)",
                       words->contract);
    }
    if (words->kind != NULL && strcmp(words->kind, "stake") == 0) {
        puzzles.kind = RR_PUZZLE_STAKE;
    } else if (words->kind != NULL && strcmp(words->kind, "work") != 0) {
        return rr_fail(fault, RR_ERR_USAGE, "'%s' is no kind of puzzle; there are work and stake",
                       words->kind);
    }
    if (words->prize == NULL || !rr_coin_parse(&puzzles.prize, words->prize)) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "the prize of the puzzles is '%s'; an amount of coins was expected",
                       words->prize != NULL ? words->prize : "");
    }
    if (words->rise != NULL && !read_number(words->rise, 0, RISE_PERCENT_MAX, &rise)) {
        return rr_fail(fault, RR_ERR_USAGE, "the rise is '%s'; 0 to %d percent were expected",
                       words->rise, RISE_PERCENT_MAX);
    }
    if (words->per_segment != NULL &&
        !read_number(words->per_segment, 1, RR_PUZZLES_A_SEGMENT, &per_segment)) {
        return rr_fail(fault, RR_ERR_USAGE, "'%s' puzzles a segment; 1 to %d were expected",
                       words->per_segment, RR_PUZZLES_A_SEGMENT);
    }
    enum rr_err err = read_difficulty(&puzzles, words->difficulty, fault);
    if (err == RR_OK) {
        puzzles.rise_percent = (uint32_t)rise;
        puzzles.per_segment = (uint32_t)per_segment;
        rr_random(puzzles.seed, sizeof puzzles.seed);
        *out = puzzles;
    }
    return err;
}

/* ---- job.json and the API -------------------------------------------------------------------- */

static const char *kind_text(enum rr_puzzle_kind kind)
{
    return kind == RR_PUZZLE_STAKE ? "stake" : "work";
}

json_t *daemon_puzzles_view(const struct daemon_puzzles *puzzles)
{
    char contract[65], prize[RR_COIN_TEXT_BYTES], prizes[RR_COIN_TEXT_BYTES], difficulty[24];
    if (puzzles->per_segment == 0) {
        return json_null();
    }
    rr_hex(contract, puzzles->contract_id.bytes, 32);
    rr_coin_text(prize, puzzles->prize);
    rr_coin_text(prizes, puzzles->prizes);
    snprintf(
        difficulty, sizeof difficulty, "%llu",
        (unsigned long long)rr_u256_saturate_u64(rr_puzzle_difficulty_value(puzzles->difficulty)));
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:s}", "contract", contract,
                             "kind", kind_text(puzzles->kind), "prize", prize, "difficulty",
                             difficulty, "rise_percent", (json_int_t)puzzles->rise_percent,
                             "per_segment", (json_int_t)puzzles->per_segment, "count",
                             (json_int_t)puzzles->count, "prizes", prizes);
    RR_CHECK(json != NULL);
    return json;
}

json_t *daemon_puzzles_json(const struct daemon_puzzles *puzzles)
{
    char contract[65], seed[65];
    if (puzzles->per_segment == 0) {
        return json_null();
    }
    rr_hex(contract, puzzles->contract_id.bytes, 32);
    rr_hex(seed, puzzles->seed, 32);
    json_t *json = json_pack(
        "{s:s, s:s, s:I, s:I, s:i, s:I, s:I, s:s, s:I, s:I}", "contract", contract, "kind",
        kind_text(puzzles->kind), "prize_units", (json_int_t)rr_coin_units(puzzles->prize),
        "mantissa", (json_int_t)puzzles->difficulty.mantissa, "exponent",
        (int)puzzles->difficulty.exponent, "rise_percent", (json_int_t)puzzles->rise_percent,
        "per_segment", (json_int_t)puzzles->per_segment, "seed", seed, "count",
        (json_int_t)puzzles->count, "prizes_units", (json_int_t)rr_coin_units(puzzles->prizes));
    RR_CHECK(json != NULL);
    return json;
}

bool daemon_puzzles_read(struct daemon_puzzles *out, json_t *json)
{
    struct daemon_puzzles puzzles = {0};
    const char *contract, *kind, *seed;
    json_int_t prize, mantissa, rise, per_segment, count, prizes;
    int exponent;
    if (json == NULL || json_is_null(json)) {
        *out = puzzles;
        return true;
    }
    bool good =
        json_unpack(json, "{s:s, s:s, s:I, s:I, s:i, s:I, s:I, s:s, s:I, s:I}", "contract",
                    &contract, "kind", &kind, "prize_units", &prize, "mantissa", &mantissa,
                    "exponent", &exponent, "rise_percent", &rise, "per_segment", &per_segment,
                    "seed", &seed, "count", &count, "prizes_units", &prizes) == 0 &&
        rr_unhex(puzzles.contract_id.bytes, 32, contract) && rr_unhex(puzzles.seed, 32, seed) &&
        rr_coin_of_units(&puzzles.prize, (uint64_t)prize) &&
        rr_coin_of_units(&puzzles.prizes, (uint64_t)prizes) && mantissa > 0 &&
        mantissa <= UINT32_MAX && exponent >= 0 && exponent <= RR_PUZZLE_EXPONENT_MAX &&
        rise >= 0 && rise <= RISE_PERCENT_MAX && per_segment > 0 &&
        per_segment <= RR_PUZZLES_A_SEGMENT;
    if (good) {
        puzzles.kind = strcmp(kind, "stake") == 0 ? RR_PUZZLE_STAKE : RR_PUZZLE_WORK;
        puzzles.difficulty.mantissa = (uint32_t)mantissa;
        puzzles.difficulty.exponent = (uint8_t)exponent;
        puzzles.rise_percent = (uint32_t)rise;
        puzzles.per_segment = (uint32_t)per_segment;
        puzzles.count = (uint64_t)count;
        *out = puzzles;
    }
    return good;
}

/* ---- into the segments ----------------------------------------------------------------------- */

bool daemon_puzzles_wanted(const struct daemon_puzzles *puzzles, const struct rr_manifest *manifest,
                           uint32_t rendition)
{
    /* Video comes first, so rendition 0 tells whether there is any. */
    return puzzles->per_segment > 0 &&
           manifest->renditions[rendition].kind == manifest->renditions[0].kind;
}

static void make_rand(uint8_t rand[static RR_PUZZLE_RAND_BYTES], const uint8_t seed[static 32],
                      uint32_t rendition, uint32_t number, uint32_t place)
{
    struct rr_buf text = {0};
    struct rr_hash32 hash;
    rr_write_u32(&text, rendition);
    rr_write_u32(&text, number);
    rr_write_u32(&text, place);
    rr_keyed_hash(&hash, seed, rr_buf_slice(&text));
    memcpy(rand, hash.bytes, RR_PUZZLE_RAND_BYTES);
    rr_buf_clear(&text);
}

static enum rr_err add_entry(struct daemon_puzzle_maker *maker, uint32_t rendition, uint32_t number,
                             const struct rr_puzzle_box *box, struct rr_fault *fault)
{
    struct rr_puzzle_list *list = &maker->list;
    struct rr_coin *sum = &maker->puzzles->prizes;
    if (list->count == RR_PUZZLES_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "a resource carries at most %u puzzles",
                       RR_PUZZLES_MAX);
    }
    if (!rr_coin_add(sum, *sum, box->puzzle.prize)) {
        return rr_fail(fault, RR_ERR_LIMIT, "the prizes are together over the cap of amounts");
    }
    if (list->count == maker->room) {
        maker->room = maker->room > 0 ? 2 * maker->room : 64;
        list->entries = rr_realloc(list->entries, maker->room * sizeof *list->entries);
    }
    list->entries[list->count++] = (struct rr_puzzle_entry){.rendition = (uint16_t)rendition,
                                                            .segment = number,
                                                            .contract_id = box->contract_id,
                                                            .puzzle = box->puzzle};
    maker->puzzles->count++;
    return RR_OK;
}

enum rr_err daemon_puzzles_insert(struct daemon_puzzle_maker *maker, struct rr_buf *file,
                                  uint32_t rendition, uint32_t timescale, uint32_t number,
                                  const struct rr_segment *segment, struct rr_fault *fault)
{
    const struct daemon_puzzles *puzzles = maker->puzzles;
    struct rr_puzzle_box boxes[RR_PUZZLES_A_SEGMENT];
    struct rr_buf filled = {0};
    struct rr_hash32 digest;
    struct rr_coin prize;
    rr_segment_digest(&digest, rr_buf_slice(file)); /* nothing of ours is in it yet */
    if (!rr_proof_engagement_prize(&prize, puzzles->prize, puzzles->rise_percent, number)) {
        return rr_fail(fault, RR_ERR_LIMIT, "the prize of segment %u passes the cap of amounts",
                       number);
    }
    enum rr_err err = RR_OK;
    for (uint32_t i = 0; i < puzzles->per_segment && err == RR_OK; i++) {
        boxes[i] = (struct rr_puzzle_box){
            .timescale = timescale,
            .presentation_time = segment->start,
            .duration = segment->duration,
            .id = number * RR_PUZZLES_A_SEGMENT + i,
            .contract_id = puzzles->contract_id,
            .puzzle = {.kind = puzzles->kind, .prize = prize, .difficulty = puzzles->difficulty}};
        struct rr_puzzle *puzzle = &boxes[i].puzzle;
        make_rand(puzzle->rand, puzzles->seed, rendition, number, i);
        memcpy(puzzle->segment, digest.bytes, sizeof puzzle->segment);
        memcpy(puzzle->contract, puzzles->contract_id.bytes, sizeof puzzle->contract);
        err = add_entry(maker, rendition, number, &boxes[i], fault);
    }
    if (err == RR_OK) {
        err = rr_puzzle_insert(&filled, rr_buf_slice(file), boxes, puzzles->per_segment, fault);
    }
    if (err == RR_OK) {
        rr_buf_clear(file);
        *file = filled;
    } else {
        rr_buf_clear(&filled);
    }
    return err;
}

/* ---- beside the manifest --------------------------------------------------------------------- */

static enum rr_err list_path(const struct rr_rig *rig, char out[static RR_PATH_BYTES],
                             const struct rr_hash32 *resource_id, struct rr_fault *fault)
{
    char text[65];
    rr_hex(text, resource_id->bytes, 32);
    return rr_path(out, fault, "%s/puzzles/%s", rig->data, text);
}

enum rr_err daemon_puzzles_keep(const struct rr_rig *rig, const struct rr_puzzle_list *list,
                                struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    struct rr_buf bytes = {0};
    enum rr_err err = rr_path(path, fault, "%s/puzzles", rig->data);
    err = err != RR_OK ? err : rr_make_folders(path, fault);
    err = err != RR_OK ? err : list_path(rig, path, &list->resource_id, fault);
    if (err == RR_OK) {
        rr_puzzle_list_encode(&bytes, list);
        err = rr_file_write(path, rr_buf_slice(&bytes), 0600, fault);
    }
    rr_buf_clear(&bytes);
    return err;
}

enum rr_err daemon_puzzles_load(void *ctx, struct rr_buf *out, const struct rr_hash32 *resource_id,
                                struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    enum rr_err err = list_path(ctx, path, resource_id, fault);
    return err != RR_OK ? err : rr_file_read(out, path, LIST_BYTES_MAX, fault);
}
