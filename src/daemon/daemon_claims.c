/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Claims of engagement puzzles that viewers hand in: judged against the rig's own segments, kept in
 * files whose names make a second winner impossible. */
#include "daemon/daemon_puzzles.h"
#include "proof/proof.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Ours: 64 MiB of files of one block each; a rig that is handed more has a contract's ledger to
 * pass them to by then. */
#define CLAIMS_KEPT_MAX 16384

/* ---- files ----------------------------------------------------------------------------------- */

static enum rr_err folder_path(const struct rr_rig *rig, char out[static RR_PATH_BYTES],
                               struct rr_fault *fault)
{
    return rr_path(out, fault, "%s/puzzle-claims", rig->data);
}

/* Named by what there is one claim of: the puzzle, or by stake the puzzle and the viewer. */
static enum rr_err claim_path(const struct rr_rig *rig, char out[static RR_PATH_BYTES],
                              const struct rr_hash32 *puzzle_id, const struct rr_pubkey *viewer,
                              struct rr_fault *fault)
{
    char puzzle[65], key[66] = "";
    rr_hex(puzzle, puzzle_id->bytes, 32);
    if (viewer != NULL) {
        key[0] = '-';
        rr_hex(key + 1, viewer->bytes, 32);
    }
    return rr_path(out, fault, "%s/puzzle-claims/%s%s", rig->data, puzzle, key);
}

static bool won(void *ctx, const struct rr_hash32 *puzzle_id, const struct rr_pubkey *viewer)
{
    char path[RR_PATH_BYTES];
    struct stat st;
    return claim_path(ctx, path, puzzle_id, viewer, NULL) == RR_OK && stat(path, &st) == 0;
}

static uint64_t count_kept(const struct rr_rig *rig)
{
    char path[RR_PATH_BYTES];
    uint64_t count = 0;
    DIR *folder = folder_path(rig, path, NULL) == RR_OK ? opendir(path) : NULL;
    while (folder != NULL && readdir(folder) != NULL) {
        count++;
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return count;
}

static enum rr_err keep(const struct rr_rig *rig, const struct rr_puzzle_claim *claim,
                        struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    struct rr_hash32 id;
    struct rr_buf bytes = {0};
    rr_puzzle_id(&id, claim);
    bool stake = claim->puzzle.kind == RR_PUZZLE_STAKE;
    enum rr_err err = folder_path(rig, path, fault);
    err = err != RR_OK ? err : rr_make_folders(path, fault);
    err = err != RR_OK ? err : claim_path(rig, path, &id, stake ? &claim->viewer : NULL, fault);
    if (err == RR_OK) {
        rr_puzzle_claim_encode(&bytes, claim);
        err = rr_file_create(path, rr_buf_slice(&bytes), 0600, fault);
    }
    if (err == RR_ERR_EXISTS) { /* another request was faster */
        err = rr_fail(fault, RR_ERR_EXISTS,
                      "the puzzle is won: a claim that counts stands before this one");
    }
    rr_buf_clear(&bytes);
    return err;
}

/* True when this very claim is the one that is kept: who hands it in again, after an answer was
 * lost say, is told what he was told before. */
static bool is_kept(const struct rr_rig *rig, const struct rr_puzzle_claim *claim)
{
    char path[RR_PATH_BYTES];
    struct rr_hash32 id;
    struct rr_buf mine = {0}, kept = {0};
    rr_puzzle_id(&id, claim);
    rr_puzzle_claim_encode(&mine, claim);
    bool stake = claim->puzzle.kind == RR_PUZZLE_STAKE;
    bool same = claim_path(rig, path, &id, stake ? &claim->viewer : NULL, NULL) == RR_OK &&
                rr_file_read(&kept, path, RR_PUZZLE_CLAIM_BYTES, NULL) == RR_OK &&
                rr_slice_equal(rr_buf_slice(&mine), rr_buf_slice(&kept));
    rr_buf_clear(&mine);
    rr_buf_clear(&kept);
    return same;
}

/* ---- judging --------------------------------------------------------------------------------- */

static bool work_many(void *ctx, struct rr_proof_work *works, size_t count)
{
    struct rr_rig *rig = ctx;
    struct rr_hash_check *checks = rr_alloc_array(count, sizeof *checks);
    struct rr_fault fault;
    for (size_t i = 0; i < count; i++) {
        memcpy(checks[i].header_hash, works[i].header_hash, 32);
        checks[i].nonce = works[i].nonce;
    }
    bool done = rig->light == NULL && rr_hash_verify(rig->engine, checks, count, &fault) == RR_OK;
    for (size_t i = 0; i < count; i++) {
        if (!done) {
            rr_hash_light_compute(daemon_rig_light(rig), checks[i].header_hash, checks[i].nonce,
                                  checks[i].mix, checks[i].final_be);
        }
        memcpy(works[i].final_be, checks[i].final_be, 32);
    }
    rr_free(checks);
    return true;
}

static bool same_segment(const struct rr_puzzle_claim *a, const struct rr_puzzle_claim *b)
{
    return rr_hash32_equal(&a->resource_id, &b->resource_id) && a->rendition == b->rendition &&
           a->segment == b->segment;
}

/* The file of the claim's segment out of the store. */
static enum rr_err read_segment(const struct rr_rig *rig, struct rr_buf *out,
                                const struct rr_manifest *manifest,
                                const struct rr_puzzle_claim *claim, struct rr_fault *fault)
{
    const struct rr_segment *segment =
        &manifest->renditions[claim->rendition].segments[claim->segment];
    uint8_t *bytes = rr_alloc(segment->bytes);
    enum rr_err err = rr_store_read(rig->store, &manifest->objects[segment->object],
                                    segment->offset, bytes, segment->bytes, fault);
    if (err == RR_OK) {
        rr_buf_append(out, bytes, segment->bytes);
    }
    rr_free(bytes);
    return err;
}

/* Claims of one segment, in their order. */
static void judge(struct rr_rig *rig, const struct rr_puzzle_claim *claims, uint32_t count,
                  struct rr_fault *faults)
{
    struct rr_manifest manifest = {0};
    struct rr_buf file = {0};
    struct rr_proof_engagement_item *items = rr_alloc_array(count, sizeof *items);
    const struct rr_proof_engagement_view view = {.chain_id =
                                                      rr_genesis_chain_id(&rig->config.genesis),
                                                  .manifest = &manifest,
                                                  .won = won,
                                                  .won_ctx = rig};
    struct rr_fault fault = {0};
    enum rr_err err = rr_store_manifest(rig->store, &manifest, &claims[0].resource_id, &fault);
    /* Nothing is read for a segment that is not there, or claims that are all too late. */
    bool any = false;
    for (uint32_t i = 0; i < count && err == RR_OK; i++) {
        any |= rr_proof_engagement_place(&view, &claims[i], &faults[i]) == RR_OK;
    }
    if (err == RR_OK && any) {
        err = read_segment(rig, &file, &manifest, &claims[0], &fault);
        for (uint32_t i = 0; i < count; i++) {
            items[i] =
                (struct rr_proof_engagement_item){.claim = &claims[i], .file = rr_buf_slice(&file)};
        }
        err = err != RR_OK
                  ? err
                  : rr_proof_engagement_check_many(&view, items, count, work_many, rig, &fault);
        for (uint32_t i = 0; i < count && err == RR_OK; i++) {
            faults[i] = items[i].fault;
            if (faults[i].code == RR_OK && keep(rig, &claims[i], &faults[i]) != RR_OK) {
                rr_log_fault(RR_LOG_WARN, "puzzles", &faults[i]);
            }
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (err != RR_OK) {
            faults[i] = fault;
        } else if (faults[i].code == RR_ERR_EXISTS && is_kept(rig, &claims[i])) {
            faults[i] = (struct rr_fault){0};
        }
    }
    rr_manifest_clear(&manifest);
    rr_buf_clear(&file);
    rr_free(items);
}

enum rr_err daemon_claims_add(void *ctx, const struct rr_puzzle_claim *claims, uint32_t count,
                              struct rr_fault *faults, struct rr_fault *fault)
{
    struct rr_rig *rig = ctx;
    if (count_kept(rig) + count > CLAIMS_KEPT_MAX) {
        return rr_fail(fault, RR_ERR_FULL, "this rig keeps %d claims already and takes no more",
                       CLAIMS_KEPT_MAX);
    }
    for (uint32_t from = 0, to = 0; from < count; from = to) {
        while (to < count && same_segment(&claims[from], &claims[to])) {
            to++;
        }
        judge(rig, &claims[from], to - from, &faults[from]);
    }
    return RR_OK;
}

/* ---- shown ----------------------------------------------------------------------------------- */

static json_t *hex_json(const void *bytes, size_t len)
{
    char text[65];
    rr_hex(text, bytes, len);
    return json_string(text);
}

static json_t *claim_json(const struct rr_puzzle_claim *claim)
{
    struct rr_hash32 id;
    char prize[RR_COIN_TEXT_BYTES];
    rr_puzzle_id(&id, claim);
    rr_coin_text(prize, claim->puzzle.prize);
    json_t *json = json_pack(
        "{s:o, s:o, s:o, s:i, s:I, s:s, s:s, s:o}", "puzzle", hex_json(id.bytes, 32), "contract",
        hex_json(claim->contract_id.bytes, 32), "resource", hex_json(claim->resource_id.bytes, 32),
        "rendition", (int)claim->rendition, "segment", (json_int_t)claim->segment, "kind",
        claim->puzzle.kind == RR_PUZZLE_STAKE ? "stake" : "work", "prize", prize, "viewer",
        hex_json(claim->viewer.bytes, 32));
    RR_CHECK(json != NULL);
    return json;
}

json_t *daemon_claims_view(const struct rr_rig *rig, uint64_t most)
{
    char path[RR_PATH_BYTES];
    json_t *list = json_array();
    json_int_t count = 0;
    struct dirent *entry;
    DIR *folder = folder_path(rig, path, NULL) == RR_OK ? opendir(path) : NULL;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        struct rr_buf bytes = {0};
        struct rr_puzzle_claim claim;
        if (rr_path(path, NULL, "%s/puzzle-claims/%s", rig->data, entry->d_name) == RR_OK &&
            strlen(entry->d_name) >= 64 &&
            rr_file_read(&bytes, path, RR_PUZZLE_CLAIM_BYTES, NULL) == RR_OK &&
            rr_puzzle_claim_decode(&claim, rr_buf_slice(&bytes), NULL) == RR_OK) {
            if (json_array_size(list) < most) {
                json_array_append_new(list, claim_json(&claim));
            }
            count++;
        }
        rr_buf_clear(&bytes);
    }
    if (folder != NULL) {
        closedir(folder);
    }
    json_t *json = json_pack("{s:I, s:o}", "count", count, "claims", list);
    RR_CHECK(json != NULL);
    return json;
}
