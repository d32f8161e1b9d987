/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli_solver.h"

#include <pthread.h>
#include <string.h>

#define PUZZLES_MAX       64
#define SHARE_PERCENT     50          /* of one core: the viewer is watching */
#define DATASET_BYTES_MAX (64u << 20) /* larger ones are searched light */
/* Hashes beyond what s asks for: the best of n is worth q = n on average, but half of the time less
 * than 1.44 n. */
#define EFFORT 2

struct puzzle {
    struct cli_solver *solver;
    struct rr_puzzle_offer offer;
    struct rr_certificate certificate;
    uint64_t job_id;
    bool ended, found;
};
struct cli_solver {
    struct cli_viewer *viewer;
    const struct rr_pubkey *cacher;
    struct rr_hash_engine *engine;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    struct puzzle puzzles[PUZZLES_MAX];
    uint32_t count, open;
    uint32_t accepted;
};

enum rr_err cli_solver_start(struct cli_solver **out, struct cli_viewer *viewer,
                             const struct rr_pubkey *cacher, struct rr_fault *fault)
{
    struct cli_solver *solver = rr_alloc(sizeof *solver);
    struct rr_hash_params params = {.cache_items = viewer->genesis.cache_items,
                                    .dataset_items = viewer->genesis.dataset_items};
    struct rr_hash_options options = {
        .threads = 1, .share_percent = SHARE_PERCENT, .dataset_bytes_max = DATASET_BYTES_MAX};
    memcpy(params.seed, viewer->genesis.ethash_seed, sizeof params.seed);
    solver->viewer = viewer;
    solver->cacher = cacher;
    pthread_mutex_init(&solver->lock, NULL);
    pthread_cond_init(&solver->ended, NULL);
    enum rr_err err = rr_hash_engine_new(&solver->engine, &params, &options, fault);
    if (err != RR_OK) {
        cli_solver_free(solver);
        return err;
    }
    *out = solver;
    return RR_OK;
}

static void solved(void *ctx, const struct rr_hash_result *result)
{
    struct puzzle *puzzle = ctx;
    struct cli_solver *solver = puzzle->solver;
    pthread_mutex_lock(&solver->lock);
    puzzle->ended = true;
    puzzle->found = result->found;
    puzzle->certificate.nonce = result->nonce;
    solver->open--;
    pthread_cond_signal(&solver->ended);
    pthread_mutex_unlock(&solver->lock);
}

void cli_solver_offer(struct cli_solver *solver, const char *text)
{
    struct rr_puzzle_offer offer;
    struct rr_hash32 header_hash;
    if (text[0] == '\0' || rr_puzzle_offer_parse(&offer, rr_slice_str(text), NULL) != RR_OK ||
        solver->count == PUZZLES_MAX ||
        offer.s != solver->viewer->genesis.certificate_hashes_per_s ||
        offer.d != solver->viewer->genesis.puzzle_blocks) {
        return;
    }
    for (uint32_t i = 0; i < solver->count; i++) {
        if (rr_hash32_equal(&solver->puzzles[i].offer.block_hash, &offer.block_hash)) {
            return;
        }
    }
    struct puzzle *puzzle = &solver->puzzles[solver->count];
    *puzzle = (struct puzzle){.solver = solver, .offer = offer};
    puzzle->certificate =
        (struct rr_certificate){.chain_id = rr_genesis_chain_id(&solver->viewer->genesis),
                                .cacher = *solver->cacher,
                                .viewer = solver->viewer->public_key,
                                .block_height = offer.block_height,
                                .block_hash = offer.block_hash};
    rr_certificate_work_hash(&header_hash, &puzzle->certificate);
    uint64_t expected = (uint64_t)offer.s * offer.d * solver->viewer->genesis.block_ms / 1000;
    struct rr_hash_job job = {.kind = RR_HASH_ARGMIN, .nonce_count = EFFORT * expected + 1};
    memcpy(job.header_hash, header_hash.bytes, 32);
    rr_random(&job.nonce_start, sizeof job.nonce_start);
    job.nonce_start >>= 1;
    pthread_mutex_lock(&solver->lock);
    solver->count++;
    solver->open++;
    pthread_mutex_unlock(&solver->lock);
    if (rr_hash_submit(solver->engine, &puzzle->job_id, &job, solved, puzzle, NULL) != RR_OK) {
        pthread_mutex_lock(&solver->lock);
        puzzle->ended = true;
        solver->open--;
        pthread_mutex_unlock(&solver->lock);
    }
}

static enum rr_err send_all(struct cli_solver *solver, struct rr_fault *fault)
{
    struct rr_certificate certificates[PUZZLES_MAX];
    uint32_t count = 0;
    struct rr_buf body = {0};
    struct cli_response response = {0};
    json_t *json = NULL;
    for (uint32_t i = 0; i < solver->count; i++) {
        if (solver->puzzles[i].found) {
            certificates[count] = solver->puzzles[i].certificate;
            rr_certificate_sign(&certificates[count++], solver->viewer->key);
        }
    }
    if (count == 0) {
        return RR_OK;
    }
    rr_certificates_encode(&body, certificates, count);
    enum rr_err err = cli_viewer_post(solver->viewer, &response, "the certificates",
                                      "/v1/certificates", rr_buf_slice(&body), fault);
    if (err == RR_OK && (err = cli_response_json(&response, &json, fault)) == RR_OK) {
        solver->accepted = (uint32_t)cli_number(json, "accepted");
    }
    json_decref(json);
    cli_response_clear(&response);
    rr_buf_clear(&body);
    return err;
}

enum rr_err cli_solver_finish(struct cli_solver *solver, struct rr_fault *fault)
{
    pthread_mutex_lock(&solver->lock);
    while (solver->open > 0) {
        pthread_cond_wait(&solver->ended, &solver->lock);
    }
    pthread_mutex_unlock(&solver->lock);
    return send_all(solver, fault);
}

struct rr_hash_engine *cli_solver_engine(struct cli_solver *solver)
{
    return solver->engine;
}

uint32_t cli_solver_accepted(const struct cli_solver *solver)
{
    return solver->accepted;
}

void cli_solver_free(struct cli_solver *solver)
{
    if (solver != NULL) {
        rr_hash_engine_free(solver->engine);
        pthread_cond_destroy(&solver->ended);
        pthread_mutex_destroy(&solver->lock);
        rr_free(solver);
    }
}
