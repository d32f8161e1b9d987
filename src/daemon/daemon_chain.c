/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/daemon_job.h"
#include "proof/proof.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LEAVES_BYTES_MAX (512u << 20)

/* ---- words, record, view
 * --------------------------------------------------------------------------------- */

/* Each step's price is set aside when its contract opens: one that can never open would have the
 * others opened and wait for ever. */
static enum rr_err check_funds(const struct daemon_job *job, struct rr_fault *fault)
{
    struct rr_account account;
    char price[RR_COIN_TEXT_BYTES], has[RR_COIN_TEXT_BYTES];
    enum rr_err err = rr_chain_account(job->rig->chain, &job->rig->address, &account, fault);
    if (err == RR_OK && rr_coin_compare(job->job_price, account.balance) > 0) {
        rr_coin_text(price, job->job_price);
        rr_coin_text(has, account.balance);
        err = rr_fail(fault, RR_ERR_FUNDS,
                      "the steps of the chain cost %s coins, this rig's account has %s; lower the "
                      "prices, or send coins to it first",
                      price, has);
    }
    return err;
}

enum rr_err daemon_chain_set(struct daemon_job *job, const char *words, struct rr_fault *fault)
{
    struct rr_work_chain *chain = &job->chain.chain;
    struct rr_transcode_options options;
    enum rr_err err = rr_work_chain_parse(chain, rr_slice_str(words), fault);
    if (err != RR_OK || (err = rr_transcode_chain_options(&options, chain, fault)) != RR_OK) {
        return err;
    }
    if (chain->output != RR_WORK_LADDER) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED,
                       "a published chain ends in a ladder; \"output\": \"mp4\" is for files");
    }
    chain->crf = chain->crf != 0 ? chain->crf : rr_codec_crf(options.codec);
    chain->chain_id = job->spec.chain_id;
    chain->owner = job->spec.owner;
    chain->created_ms = job->spec.created_ms;
    RR_CHECK(rr_transcode_profile(job->spec.profile, options.codec, options.preset));
    snprintf(job->preset, sizeof job->preset, "%s", options.preset);
    job->spec.crf = chain->crf;
    job->spec.gop_ms = chain->gop_ms;
    job->spec.audio_bps = options.audio_bps != 0 ? options.audio_bps : job->spec.audio_bps;
    job->spec.tone_map = chain->tone_map;
    job->spec.challenges = chain->challenges;
    job->job_price = rr_work_chain_price(chain);
    daemon_job_set_ladder(&job->spec, &options.ladder);
    return check_funds(job, fault);
}

static json_t *hash_json(const struct rr_hash32 *hash)
{
    char text[65];
    rr_hex(text, hash->bytes, 32);
    return json_string(text);
}

json_t *daemon_chain_json(const struct daemon_chain *chain, bool view)
{
    if (chain->chain.step_count == 0) {
        return json_null();
    }
    struct rr_buf bytes = {0};
    struct rr_hash32 id;
    json_t *steps = json_array();
    rr_work_chain_encode(&bytes, &chain->chain);
    char *hex = rr_alloc(bytes.len * 2 + 1);
    rr_hex(hex, bytes.ptr, bytes.len);
    rr_buf_clear(&bytes);
    rr_work_chain_id(&id, &chain->chain);
    for (uint8_t i = 0; i < chain->chain.step_count; i++) {
        const struct daemon_chain_step *step = &chain->steps[i];
        json_t *row = json_pack("{s:o, s:o, s:o, s:o, s:I, s:i, s:i}", "contract",
                                hash_json(&step->contract_tx), "claim", hash_json(&step->claim_tx),
                                "attestation", hash_json(&step->attestation_tx), "root",
                                hash_json(&step->root), "leaves", (json_int_t)step->leaves,
                                "checked", (int)step->checked, "failed", (int)step->failed);
        if (view) {
            char price[RR_COIN_TEXT_BYTES];
            rr_coin_text(price, chain->chain.steps[i].price);
            json_object_set_new(row, "kind",
                                json_string(rr_work_kind_text(chain->chain.steps[i].kind)));
            json_object_set_new(row, "profile", json_string(chain->chain.steps[i].profile));
            json_object_set_new(row, "rung", json_integer(chain->chain.steps[i].rung));
            json_object_set_new(row, "price", json_string(price));
        }
        json_array_append_new(steps, row);
    }
    json_t *json = json_pack("{s:o, s:o, s:s}", "id", hash_json(&id), "steps", steps, "wire", hex);
    rr_free(hex);
    RR_CHECK(json != NULL);
    return json;
}

static bool read_hash(const json_t *json, const char *key, struct rr_hash32 *out)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text != NULL && rr_unhex(out->bytes, 32, text);
}

bool daemon_chain_read(struct daemon_chain *out, const json_t *json)
{
    if (json == NULL || json_is_null(json)) {
        return true;
    }
    const char *hex = json_string_value(json_object_get(json, "wire"));
    size_t len = hex != NULL ? strlen(hex) / 2 : 0;
    uint8_t bytes[RR_WORK_CHAIN_BYTES_MAX];
    if (len == 0 || len > sizeof bytes || !rr_unhex(bytes, len, hex) ||
        rr_work_chain_decode(&out->chain, rr_slice_of(bytes, len), NULL) != RR_OK ||
        json_array_size(json_object_get(json, "steps")) != out->chain.step_count) {
        return false;
    }
    for (uint8_t i = 0; i < out->chain.step_count; i++) {
        const json_t *row = json_array_get(json_object_get(json, "steps"), i);
        struct daemon_chain_step *step = &out->steps[i];
        step->leaves = (uint32_t)json_integer_value(json_object_get(row, "leaves"));
        step->checked = (uint16_t)json_integer_value(json_object_get(row, "checked"));
        step->failed = (uint16_t)json_integer_value(json_object_get(row, "failed"));
        if (!read_hash(row, "contract", &step->contract_tx) ||
            !read_hash(row, "claim", &step->claim_tx) ||
            !read_hash(row, "attestation", &step->attestation_tx) ||
            !read_hash(row, "root", &step->root)) {
            return false;
        }
    }
    return true;
}

/* ---- transactions: all at once, then waited for
 * ---------------------------------------------------------- */

struct filling {
    struct daemon_job *job;
    uint8_t step;
    struct rr_hash32 step_id;
    uint64_t beacon_height;
    struct rr_hash32 evidence;
};

static void fill_contract(void *ctx, struct rr_tx *tx)
{
    const struct filling *filling = ctx;
    const struct daemon_job *job = filling->job;
    tx->type = RR_TX_OPEN_CONTRACT;
    tx->body.open_contract.kind = RR_CONTRACT_TRANSCODE;
    tx->body.open_contract.job_id = filling->step_id;
    tx->body.open_contract.provider = job->rig->public_key;
    tx->body.open_contract.verifier = job->rig->public_key;
    tx->body.open_contract.price = job->chain.chain.steps[filling->step].price;
    tx->body.open_contract.challenges = job->chain.chain.challenges;
    tx->body.open_contract.expiry_blocks = job->rig->config.genesis.pool_blocks_max;
}

static void fill_claim(void *ctx, struct rr_tx *tx)
{
    const struct filling *filling = ctx;
    const struct daemon_chain_step *step = &filling->job->chain.steps[filling->step];
    tx->type = RR_TX_CLAIM;
    tx->body.claim.contract_id = step->contract_tx;
    tx->body.claim.root = step->root;
    tx->body.claim.leaves = step->leaves;
}

static void fill_attestation(void *ctx, struct rr_tx *tx)
{
    const struct filling *filling = ctx;
    const struct daemon_chain_step *step = &filling->job->chain.steps[filling->step];
    tx->type = RR_TX_ATTESTATION;
    tx->body.attestation.contract_id = step->contract_tx;
    tx->body.attestation.beacon_height = filling->beacon_height;
    tx->body.attestation.checked = step->checked;
    tx->body.attestation.failed = step->failed;
    tx->body.attestation.evidence = filling->evidence;
}

typedef struct rr_hash32 *id_of_fn(struct daemon_chain_step *step);

static struct rr_hash32 *contract_of(struct daemon_chain_step *step)
{
    return &step->contract_tx;
}

static struct rr_hash32 *claim_of(struct daemon_chain_step *step)
{
    return &step->claim_tx;
}

static struct rr_hash32 *attestation_of(struct daemon_chain_step *step)
{
    return &step->attestation_tx;
}

/* Sends one of each step, so that they share blocks, then waits for all. */
static enum rr_err transact(struct daemon_job *job, const char *what, id_of_fn *id_of,
                            void (*fill)(void *ctx, struct rr_tx *tx), struct filling *fillings,
                            struct rr_fault *fault)
{
    struct daemon_chain *chain = &job->chain;
    enum rr_err err = RR_OK;
    for (unsigned round = 0; round < 2 && err == RR_OK; round++) {
        for (uint8_t i = 0; i < chain->chain.step_count && err == RR_OK; i++) {
            char name[48];
            uint64_t height;
            struct rr_hash32 *id = id_of(&chain->steps[i]);
            snprintf(name, sizeof name, "%s-%u.tx", what, i);
            if (round == 0 && rr_hash32_is_zero(id)) {
                err = daemon_job_send(job, id, name, fill, &fillings[i], fault);
                if (err == RR_ERR_FUNDS || err == RR_ERR_LIMIT || err == RR_ERR_STATE) {
                    *id = (struct rr_hash32){0}; /* the second round waits for what is missing */
                    err = RR_OK;
                }
            } else if (round == 1) {
                err = daemon_job_transact(job, id, name, fill, &fillings[i], &height, fault);
            }
        }
    }
    return err;
}

static void fill_all(struct daemon_job *job, struct filling fillings[RR_WORK_STEPS_MAX])
{
    struct rr_hash32 chain_id;
    rr_work_chain_id(&chain_id, &job->chain.chain);
    for (uint8_t i = 0; i < job->chain.chain.step_count; i++) {
        fillings[i] = (struct filling){.job = job, .step = i};
        rr_work_step_id(&fillings[i].step_id, &chain_id, i);
    }
}

enum rr_err daemon_chain_contract(struct daemon_job *job, struct rr_fault *fault)
{
    struct filling fillings[RR_WORK_STEPS_MAX];
    job->chain.chain.source = job->spec.source; /* known since it is stored */
    fill_all(job, fillings);
    return transact(job, "contract", contract_of, fill_contract, fillings, fault);
}

/* ---- leaves of the steps
 * --------------------------------------------------------------------------------- */

/* What the steps' leaves are made of. */
struct evidence {
    struct daemon_job *job;
    struct rr_pot_leaf *leaves; /* of the whole job, by rendition, then GOP */
    uint32_t count;
    struct rr_manifest manifest;
};

static enum rr_err load_evidence(struct evidence *out, struct rr_fault *fault)
{
    struct daemon_job *job = out->job;
    struct rr_buf bytes = {0};
    char path[RR_PATH_BYTES];
    struct rr_hash32 job_id;
    enum rr_err err = daemon_job_path(job, path, "leaves", fault);
    if (err == RR_OK && (err = rr_file_read(&bytes, path, LEAVES_BYTES_MAX, fault)) == RR_OK) {
        err = rr_pot_leaves_decode(&job_id, &out->leaves, &out->count, rr_buf_slice(&bytes), fault);
    }
    rr_buf_clear(&bytes);
    return err != RR_OK
               ? err
               : rr_store_manifest(job->rig->store, &out->manifest, &job->resource_id, fault);
}

static void clear_evidence(struct evidence *evidence)
{
    rr_free(evidence->leaves);
    rr_manifest_clear(&evidence->manifest);
}

static bool is_kind(const struct evidence *evidence, uint32_t rendition,
                    enum rr_rendition_kind kind)
{
    return rendition < evidence->manifest.rendition_count &&
           evidence->manifest.renditions[rendition].kind == kind;
}

/* Number of the rendition that an encoder of pictures makes: as they fall. A source that is too
 * small for some rungs has fewer. */
static uint16_t rendition_of(const struct evidence *evidence, uint8_t step)
{
    const struct rr_work_chain *chain = &evidence->job->chain.chain;
    uint16_t before = 0, all = 0, pictures = 0;
    for (uint8_t i = 0; i < chain->step_count; i++) {
        bool picture = chain->steps[i].kind == RR_WORK_ENCODE_VIDEO;
        all = (uint16_t)(all + (picture ? 1 : 0));
        before = (uint16_t)(before + (picture && i < step ? 1 : 0));
    }
    for (uint32_t i = 0; i < evidence->manifest.rendition_count; i++) {
        pictures = (uint16_t)(pictures + (is_kind(evidence, i, RR_RENDITION_VIDEO) ? 1 : 0));
    }
    uint16_t missing = all > pictures ? (uint16_t)(all - pictures) : 0;
    return before >= missing ? (uint16_t)(before - missing) : UINT16_MAX;
}

/* Whether a leaf of the job is one of this step's: the demuxer gave to all of them, tracks of text
 * are its own. */
static bool has_part(const struct evidence *evidence, uint8_t step, const struct rr_pot_leaf *leaf)
{
    bool pictures = is_kind(evidence, leaf->rendition, RR_RENDITION_VIDEO);
    switch (evidence->job->chain.chain.steps[step].kind) {
    case RR_WORK_DEMUX:
        return leaf->rendition == 0 || !pictures;
    case RR_WORK_DECODE_VIDEO:
        return leaf->rendition == 0 && pictures;
    case RR_WORK_ENCODE_VIDEO:
        return leaf->rendition == rendition_of(evidence, step);
    case RR_WORK_DECODE_AUDIO:
    case RR_WORK_ENCODE_AUDIO:
        return is_kind(evidence, leaf->rendition, RR_RENDITION_AUDIO);
    case RR_WORK_MUX:
        break;
    }
    return false;
}

static void add_segments(struct rr_pot_leaf *list, uint32_t *count,
                         const struct rr_manifest *manifest)
{
    for (uint32_t r = 0; r < manifest->rendition_count; r++) {
        for (uint32_t s = 0; s < manifest->renditions[r].segment_count; s++) {
            const struct rr_segment *segment = &manifest->renditions[r].segments[s];
            list[(*count)++] = (struct rr_pot_leaf){.rendition = (uint16_t)r,
                                                    .gop = s,
                                                    .source_digest = manifest->proof_root,
                                                    .output_digest = segment->digest,
                                                    .output_bytes = segment->bytes};
        }
    }
}

/* The leaves that prove one step: those of the job that it had a part in. Demux and decoders are
 * seen by the digest of the source alone, the muxer by the segments that the manifest names. */
static struct rr_pot_leaf *step_leaves(const struct evidence *evidence, uint8_t index,
                                       uint32_t *count)
{
    enum rr_work_kind kind = evidence->job->chain.chain.steps[index].kind;
    uint32_t room = evidence->count + 1;
    for (uint32_t r = 0; r < evidence->manifest.rendition_count; r++) {
        room += evidence->manifest.renditions[r].segment_count;
    }
    struct rr_pot_leaf *list = rr_alloc_array(room, sizeof *list);
    *count = 0;
    if (kind == RR_WORK_MUX) {
        add_segments(list, count, &evidence->manifest);
        return list;
    }
    bool encoder = kind == RR_WORK_ENCODE_VIDEO || kind == RR_WORK_ENCODE_AUDIO;
    for (uint32_t i = 0; i < evidence->count; i++) {
        struct rr_pot_leaf leaf = evidence->leaves[i];
        if (!encoder) {
            leaf.output_digest = (struct rr_hash32){0};
            leaf.output_bytes = 0;
        }
        if (has_part(evidence, index, &evidence->leaves[i])) {
            list[(*count)++] = leaf;
        }
    }
    return list;
}

static void root_of(struct rr_hash32 *out, const struct rr_hash32 *step_id,
                    const struct rr_pot_leaf *leaves, uint32_t count)
{
    struct rr_hash32 *hashes = rr_alloc_array(count + 1, sizeof *hashes);
    for (uint32_t i = 0; i < count; i++) {
        rr_pot_leaf_hash(&hashes[i], step_id, &leaves[i]);
    }
    rr_merkle_root(out, hashes, count);
    rr_free(hashes);
}

enum rr_err daemon_chain_claim(struct daemon_job *job, struct rr_fault *fault)
{
    struct filling fillings[RR_WORK_STEPS_MAX];
    struct evidence evidence = {.job = job};
    enum rr_err err = load_evidence(&evidence, fault);
    fill_all(job, fillings);
    for (uint8_t i = 0; i < job->chain.chain.step_count && err == RR_OK; i++) {
        uint32_t count;
        struct rr_pot_leaf *leaves = step_leaves(&evidence, i, &count);
        if (count == 0) {
            err = rr_fail(fault, RR_ERR_STATE,
                          "step %u (%s %u) of the chain has nothing to make of this source", i,
                          rr_work_kind_text(job->chain.chain.steps[i].kind),
                          job->chain.chain.steps[i].rung);
        } else {
            root_of(&job->chain.steps[i].root, &fillings[i].step_id, leaves, count);
            job->chain.steps[i].leaves = count;
        }
        rr_free(leaves);
    }
    clear_evidence(&evidence);
    return err != RR_OK ? err : transact(job, "claim", claim_of, fill_claim, fillings, fault);
}

/* ---- challenges
 * ------------------------------------------------------------------------------------------ */

struct checking {
    struct evidence evidence;
    struct rr_transcode_options options;
    int original_fd;
};

/* The segment as the store has it is the one that was claimed. */
static enum rr_err check_segment(struct checking *checking, const struct rr_pot_leaf *leaf,
                                 bool *good, struct rr_fault *fault)
{
    const struct rr_manifest *manifest = &checking->evidence.manifest;
    const struct rr_segment *segment = &manifest->renditions[leaf->rendition].segments[leaf->gop];
    struct rr_hash32 digest;
    uint8_t *bytes = rr_alloc(segment->bytes + 1u);
    enum rr_err err =
        rr_store_read(checking->evidence.job->rig->store, &manifest->objects[segment->object],
                      segment->offset, bytes, segment->bytes, fault);
    if (err == RR_OK) {
        rr_segment_digest(&digest, rr_slice_of(bytes, segment->bytes));
        *good =
            rr_hash32_equal(&digest, &leaf->output_digest) && segment->bytes == leaf->output_bytes;
    }
    rr_free(bytes);
    return err;
}

static enum rr_err check_leaf(struct checking *checking, enum rr_work_kind kind,
                              const struct rr_pot_leaf *leaf, bool *good, struct rr_fault *fault)
{
    struct daemon_job *job = checking->evidence.job;
    struct rr_transcode_remade made = {0};
    if (kind == RR_WORK_MUX) {
        return check_segment(checking, leaf, good, fault);
    }
    enum rr_err err = rr_transcode_remake(&made, checking->original_fd, &checking->options, leaf,
                                          &job->cancel, fault);
    bool encoder = kind == RR_WORK_ENCODE_VIDEO || kind == RR_WORK_ENCODE_AUDIO;
    *good = err == RR_OK && rr_hash32_equal(&made.source_digest, &leaf->source_digest) &&
            (!encoder || (rr_hash32_equal(&made.output_digest, &leaf->output_digest) &&
                          made.output_bytes == leaf->output_bytes));
    return err;
}

/* Draws from the leaves under the claimed root, makes them again and notes what came of it. */
static enum rr_err check_step(struct checking *checking, struct filling *filling,
                              const struct rr_hash32 *beacon, struct rr_fault *fault)
{
    struct daemon_job *job = checking->evidence.job;
    struct daemon_chain_step *step = &job->chain.steps[filling->step];
    enum rr_work_kind kind = job->chain.chain.steps[filling->step].kind;
    uint32_t count, drawn_count = 0;
    struct rr_pot_leaf *leaves = step_leaves(&checking->evidence, filling->step, &count);
    uint32_t capacity = rr_proof_draw_count(step->leaves, job->chain.chain.challenges);
    uint32_t *drawn = rr_alloc_array(capacity + 1, sizeof *drawn);
    struct rr_hash32 *hashes = rr_alloc_array(count + 1, sizeof *hashes);
    struct rr_pot_answer *answers = rr_alloc_array(capacity + 1, sizeof *answers);
    bool *passed = rr_alloc_array(capacity + 1, sizeof *passed);
    struct rr_proof_claim claim = {.contract_id = step->contract_tx,
                                   .job_id = filling->step_id,
                                   .root = step->root,
                                   .leaves = step->leaves};
    uint16_t checked = 0, failed = 0;
    enum rr_err err = count == step->leaves
                          ? rr_proof_draw(beacon, &step->root, count, job->chain.chain.challenges,
                                          drawn, &drawn_count, capacity, fault)
                          : rr_fail(fault, RR_ERR_DAMAGED,
                                    "the leaves of step %u are not those "
                                    "that were claimed",
                                    filling->step);
    for (uint32_t i = 0; i < count; i++) {
        rr_pot_leaf_hash(&hashes[i], &filling->step_id, &leaves[i]);
    }
    for (uint32_t i = 0; i < drawn_count && err == RR_OK; i++) {
        struct rr_pot_answer *answer = &answers[i];
        struct rr_fault why = {0};
        *answer = (struct rr_pot_answer){
            .contract_id = claim.contract_id, .job_id = claim.job_id, .leaf = leaves[drawn[i]]};
        rr_merkle_prove(&answer->place, hashes, count, drawn[i]);
        passed[i] = rr_proof_answer_check(answer, &claim, drawn[i], &why) == RR_OK;
        if (passed[i]) {
            err = check_leaf(checking, kind, &answer->leaf, &passed[i], fault);
        }
        checked++;
        failed = (uint16_t)(failed + (passed[i] ? 0 : 1));
    }
    if (err == RR_OK) {
        rr_proof_evidence(&filling->evidence, answers, passed, drawn_count);
        pthread_mutex_lock(&job->rig->lock);
        step->checked = checked;
        step->failed = failed;
        job->proofs_checked = (uint16_t)(job->proofs_checked + checked);
        job->proofs_failed = (uint16_t)(job->proofs_failed + failed);
        pthread_mutex_unlock(&job->rig->lock);
    }
    rr_free(leaves);
    rr_free(drawn);
    rr_free(hashes);
    rr_free(answers);
    rr_free(passed);
    return err;
}

static enum rr_err check_steps(struct checking *checking, struct filling *fillings,
                               struct rr_fault *fault)
{
    struct daemon_job *job = checking->evidence.job;
    enum rr_err err = RR_OK;
    job->proofs_checked = job->proofs_failed = 0;
    for (uint8_t i = 0; i < job->chain.chain.step_count && err == RR_OK; i++) {
        struct rr_contract_state contract;
        struct rr_hash32 beacon;
        err =
            rr_chain_contract(job->rig->chain, &job->chain.steps[i].contract_tx, &contract, fault);
        if (err != RR_OK) {
            break;
        }
        fillings[i].beacon_height = rr_proof_beacon_height(contract.claimed_height);
        if ((err = daemon_rig_wait_height(job->rig, fillings[i].beacon_height, fault)) != RR_OK ||
            (err = rr_chain_block_hash(job->rig->chain, fillings[i].beacon_height, &beacon,
                                       fault)) != RR_OK) {
            break;
        }
        err = atomic_load(&job->rig->stopping) ? rr_fail(fault, RR_ERR_CANCELLED, "the rig stops")
                                               : check_step(checking, &fillings[i], &beacon, fault);
    }
    return err;
}

enum rr_err daemon_chain_verify(struct daemon_job *job, struct rr_fault *fault)
{
    struct filling fillings[RR_WORK_STEPS_MAX];
    struct checking checking = {.evidence.job = job, .original_fd = -1};
    uint64_t started_us = rr_monotonic_us(job->rig->clock);
    fill_all(job, fillings);
    enum rr_err err = load_evidence(&checking.evidence, fault);
    if (err == RR_OK && (err = daemon_job_options(job, &checking.options, fault)) == RR_OK &&
        (err = daemon_job_original(job, &checking.original_fd, fault)) == RR_OK) {
        err = check_steps(&checking, fillings, fault);
    }
    clear_evidence(&checking.evidence);
    if (checking.original_fd >= 0) {
        close(checking.original_fd);
    }
    job->prove_s = (double)(rr_monotonic_us(job->rig->clock) - started_us) / 1e6;
    return err != RR_OK
               ? err
               : transact(job, "attestation", attestation_of, fill_attestation, fillings, fault);
}
