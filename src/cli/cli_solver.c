/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli_solver.h"
#include "reputation/reputation.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define DATASET_BYTES_MAX (64u << 20) /* larger ones are searched light by a CPU */
#define HALF_A_CORE       50          /* the viewer is watching */
#define PUZZLE_WEIGHT     8           /* above what has no deadline */
#define SEND_TRIES        3
#define EXTRA_US          2000000

/* One puzzle; at a fixed address while it is searched. */
struct puzzle {
    struct puzzle *next;
    struct cli_solver *solver;
    uint64_t height;
    struct rr_certificate certificate; /* its nonce: the best so far */
    uint8_t best[32];
    uint64_t job_id, from_us;
    bool submitted, over, ended, found; /* over: end it now. ended: no search runs */
    unsigned tries;                     /* of sending */
};
struct cli_solver {
    struct cli_viewer viewer; /* a copy with an HTTP client of its own */
    const struct rr_pubkey *cacher;
    bool certificates;
    struct rr_hash_engine *engine;
    pthread_t sender;
    bool sender_runs;
    pthread_mutex_t lock; /* of what follows, and of the puzzles */
    pthread_cond_t wake;
    struct puzzle *puzzles; /* not handed over yet, newest first */
    struct rr_hash32 newest;
    bool any, finishing, stopping;
    struct cli_solver_stats stats;
    uint64_t search_us;
    enum rr_err err; /* of the last try to send */
    struct rr_fault fault;
};

/* ---- searching ------------------------------------------------------------------------------- */

static void solved(void *ctx, const struct rr_hash_result *result)
{
    struct puzzle *puzzle = ctx;
    struct cli_solver *solver = puzzle->solver;
    pthread_mutex_lock(&solver->lock);
    if (result->found && (!puzzle->found || memcmp(result->final_be, puzzle->best, 32) < 0)) {
        memcpy(puzzle->best, result->final_be, 32);
        puzzle->certificate.nonce = result->nonce;
        puzzle->found = true;
    }
    solver->stats.hashes += result->hashes;
    solver->search_us += rr_monotonic_us(rr_clock_system()) - puzzle->from_us;
    puzzle->ended = true;
    pthread_cond_signal(&solver->wake);
    pthread_mutex_unlock(&solver->lock);
}

static void search(struct puzzle *puzzle, uint64_t count, uint64_t us)
{
    struct rr_hash32 header_hash;
    struct rr_hash_job job = {.kind = RR_HASH_ARGMIN, .weight = PUZZLE_WEIGHT};
    rr_certificate_work_hash(&header_hash, &puzzle->certificate);
    memcpy(job.header_hash, header_hash.bytes, 32);
    rr_random(&job.nonce_start, sizeof job.nonce_start);
    job.nonce_start >>= 1; /* room above for any search */
    job.nonce_count = count;
    puzzle->from_us = rr_monotonic_us(rr_clock_system());
    job.deadline_us = puzzle->from_us + us;
    puzzle->ended = false;
    if (rr_hash_submit(puzzle->solver->engine, &puzzle->job_id, &job, solved, puzzle, NULL) !=
        RR_OK) {
        pthread_mutex_lock(&puzzle->solver->lock);
        puzzle->ended = true;
        pthread_mutex_unlock(&puzzle->solver->lock);
    }
}

/* Until the block that is expected to end it: the rig demands no more work than that. */
static void search_puzzle(struct puzzle *puzzle)
{
    struct cli_solver *solver = puzzle->solver;
    const struct rr_genesis *genesis = &solver->viewer.genesis;
    uint64_t tip = puzzle->height, end = puzzle->height + genesis->puzzle_blocks;
    if (cli_viewer_tip(&solver->viewer, &tip, NULL) != RR_OK || tip < puzzle->height) {
        tip = puzzle->height;
    }
    uint64_t blocks = tip < end ? end - tip : 1;
    search(puzzle, 0, blocks * genesis->block_ms * 1000);
}

static bool is_worthless(const struct puzzle *puzzle)
{
    const struct rr_genesis *genesis = &puzzle->solver->viewer.genesis;
    return !puzzle->found || rr_reputation_time_ms(puzzle->best, genesis->certificate_hashes_per_s,
                                                   genesis->puzzle_blocks, genesis->block_ms) == 0;
}

static void end_puzzle(struct puzzle *puzzle)
{
    struct cli_solver *solver = puzzle->solver;
    const struct rr_genesis *genesis = &solver->viewer.genesis;
    rr_hash_cancel(solver->engine, puzzle->job_id); /* the callback has run by now */
    pthread_mutex_lock(&solver->lock);
    bool extra = solver->finishing && !solver->stopping && is_worthless(puzzle);
    pthread_mutex_unlock(&solver->lock);
    if (extra) { /* a short watch: as much as the whole puzzle asks for, if that is quick */
        search(puzzle,
               (uint64_t)genesis->certificate_hashes_per_s * genesis->puzzle_blocks *
                       genesis->block_ms / 1000 +
                   1,
               EXTRA_US);
        pthread_mutex_lock(&solver->lock);
        while (!puzzle->ended && !solver->stopping) {
            pthread_cond_wait(&solver->wake, &solver->lock);
        }
        pthread_mutex_unlock(&solver->lock);
        rr_hash_cancel(solver->engine, puzzle->job_id);
    }
}

void cli_solver_offer(struct cli_solver *solver, const char *text)
{
    struct rr_puzzle_offer offer;
    if (solver == NULL || !solver->certificates || text[0] == '\0' ||
        rr_puzzle_offer_parse(&offer, rr_slice_str(text), NULL) != RR_OK ||
        offer.s != solver->viewer.genesis.certificate_hashes_per_s ||
        offer.d != solver->viewer.genesis.puzzle_blocks) {
        return;
    }
    pthread_mutex_lock(&solver->lock);
    if (!solver->any || !rr_hash32_equal(&solver->newest, &offer.block_hash)) {
        struct puzzle *puzzle = rr_alloc(sizeof *puzzle);
        for (struct puzzle *old = solver->puzzles; old != NULL; old = old->next) {
            old->over = true;
        }
        *puzzle = (struct puzzle){
            .next = solver->puzzles,
            .solver = solver,
            .height = offer.block_height,
            .certificate = {.chain_id = rr_genesis_chain_id(&solver->viewer.genesis),
                            .cacher = *solver->cacher,
                            .viewer = solver->viewer.public_key,
                            .block_height = offer.block_height,
                            .block_hash = offer.block_hash}};
        solver->puzzles = puzzle;
        solver->newest = offer.block_hash;
        solver->any = true;
        solver->stats.puzzles++;
        pthread_cond_signal(&solver->wake);
    }
    pthread_mutex_unlock(&solver->lock);
}

/* ---- handing over ---------------------------------------------------------------------------- */

static enum rr_err post(struct cli_solver *solver, const struct rr_certificate *certificates,
                        uint32_t count, json_t **answer, struct rr_fault *fault)
{
    struct rr_buf body = {0};
    struct cli_response response = {0};
    rr_certificates_encode(&body, certificates, count);
    enum rr_err err = cli_viewer_post(&solver->viewer, &response, "the certificates",
                                      "/v1/certificates", rr_buf_slice(&body), fault);
    if (err == RR_OK) {
        err = cli_response_json(&response, answer, fault);
    }
    cli_response_clear(&response);
    rr_buf_clear(&body);
    return err;
}

static void count_answer(struct cli_solver *solver, uint32_t sent, const json_t *answer)
{
    solver->stats.sent += sent;
    solver->stats.accepted += (uint32_t)cli_number(answer, "accepted");
    for (size_t i = RR_PROOF_ACCEPTED + 1; i < RR_PROOF_REFUSAL_COUNT; i++) {
        solver->stats.refused[i] +=
            (uint32_t)cli_number(answer, rr_proof_refusal_text((enum rr_proof_refusal)i));
    }
}

static bool is_ready(const struct puzzle *puzzle)
{
    return puzzle->submitted && puzzle->ended && (!puzzle->solver->finishing || puzzle->over);
}

/* Takes puzzles that have ended out of the list: those that are handed over, that found nothing, or
 * were tried too often. Lock held, given up meanwhile. */
static void send_ended(struct cli_solver *solver)
{
    struct rr_certificate certificates[RR_CERTIFICATES_POST_MAX];
    struct puzzle *ended = NULL, **link = &solver->puzzles;
    uint32_t count = 0;
    while (*link != NULL) {
        struct puzzle *puzzle = *link;
        if (is_ready(puzzle) && count < RR_CERTIFICATES_POST_MAX) {
            *link = puzzle->next;
            puzzle->next = ended;
            ended = puzzle;
            if (puzzle->found) {
                certificates[count++] = puzzle->certificate;
            }
        } else {
            link = &puzzle->next;
        }
    }
    pthread_mutex_unlock(&solver->lock);
    json_t *answer = NULL;
    struct rr_fault fault = {0};
    enum rr_err err = RR_OK;
    for (uint32_t i = 0; i < count; i++) {
        rr_certificate_sign(&certificates[i], solver->viewer.key);
    }
    if (count > 0) {
        err = post(solver, certificates, count, &answer, &fault);
    }
    pthread_mutex_lock(&solver->lock);
    solver->err = err;
    solver->fault = fault;
    if (err == RR_OK && count > 0) {
        count_answer(solver, count, answer);
    }
    while (ended != NULL) {
        struct puzzle *puzzle = ended;
        ended = ended->next;
        if (err == RR_OK || !puzzle->found || ++puzzle->tries == SEND_TRIES) {
            rr_free(puzzle);
        } else {
            puzzle->next = solver->puzzles;
            solver->puzzles = puzzle;
        }
    }
    json_decref(answer);
}

enum step { STEP_WAIT, STEP_SEARCH, STEP_END, STEP_SEND };

static enum step next_step(struct cli_solver *solver, struct puzzle **out)
{
    enum step step = STEP_WAIT;
    for (struct puzzle *puzzle = solver->puzzles; puzzle != NULL; puzzle = puzzle->next) {
        if (!puzzle->submitted) {
            *out = puzzle;
            return STEP_SEARCH;
        }
        if (puzzle->over && !puzzle->ended) {
            *out = puzzle;
            step = STEP_END;
        } else if (step == STEP_WAIT && is_ready(puzzle)) {
            step = STEP_SEND;
        }
    }
    return step;
}

static void *run(void *ctx)
{
    struct cli_solver *solver = ctx;
    pthread_mutex_lock(&solver->lock);
    while (!solver->stopping && !(solver->finishing && solver->puzzles == NULL)) {
        struct puzzle *puzzle = NULL;
        enum step step = next_step(solver, &puzzle);
        if (step == STEP_SEND) {
            send_ended(solver);
        } else if (puzzle == NULL) {
            pthread_cond_wait(&solver->wake, &solver->lock);
        } else {
            puzzle->submitted = true;
            pthread_mutex_unlock(&solver->lock);
            if (step == STEP_SEARCH) {
                search_puzzle(puzzle);
            } else {
                end_puzzle(puzzle);
            }
            pthread_mutex_lock(&solver->lock);
        }
    }
    pthread_mutex_unlock(&solver->lock);
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* The share of all cores as threads that each rest a part of their time. */
static void set_shares(struct rr_hash_options *out, const struct cli_solver_options *from)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t hundredths = (uint64_t)(cores > 0 ? cores : 1) * from->cpu_share; /* of one core */
    hundredths = hundredths == 0 ? HALF_A_CORE : hundredths;
    uint64_t threads = (hundredths + 99) / 100;
    threads = threads < RR_HASH_THREADS_MAX ? threads : RR_HASH_THREADS_MAX;
    uint64_t each = hundredths / threads;
    out->threads = (uint32_t)threads;
    out->share_percent = each < 1 ? 1 : each > 100 ? 100 : (uint32_t)each;
    out->devices = from->gpu_share > 0 ? "auto" : "cpu";
    out->gpu_share_percent = from->gpu_share;
}

enum rr_err cli_solver_start(struct cli_solver **out, const struct cli_solver_options *options,
                             struct rr_fault *fault)
{
    struct cli_solver *solver = rr_alloc(sizeof *solver);
    const struct rr_genesis *genesis = &options->viewer->genesis;
    struct rr_hash_params params = {.cache_items = genesis->cache_items,
                                    .dataset_items = genesis->dataset_items};
    struct rr_hash_options hash = {.dataset_bytes_max = DATASET_BYTES_MAX, .light_first = true};
    memcpy(params.seed, genesis->ethash_seed, sizeof params.seed);
    set_shares(&hash, options);
    solver->viewer = *options->viewer;
    solver->viewer.http = cli_http_new();
    solver->cacher = options->cacher;
    solver->certificates = options->certificates;
    pthread_mutex_init(&solver->lock, NULL);
    pthread_cond_init(&solver->wake, NULL);
    enum rr_err err = rr_hash_engine_new(&solver->engine, &params, &hash, fault);
    if (err != RR_OK) {
        cli_solver_free(solver);
        return err;
    }
    RR_CHECK(pthread_create(&solver->sender, NULL, run, solver) == 0);
    solver->sender_runs = true;
    *out = solver;
    return RR_OK;
}

static void stop(struct cli_solver *solver, bool at_once)
{
    pthread_mutex_lock(&solver->lock);
    solver->finishing = true;
    solver->stopping = at_once;
    for (struct puzzle *puzzle = solver->puzzles; puzzle != NULL; puzzle = puzzle->next) {
        puzzle->over = true;
    }
    pthread_cond_signal(&solver->wake);
    pthread_mutex_unlock(&solver->lock);
    if (solver->sender_runs) {
        pthread_join(solver->sender, NULL);
        solver->sender_runs = false;
    }
}

enum rr_err cli_solver_finish(struct cli_solver *solver, struct rr_fault *fault)
{
    if (solver == NULL) {
        return RR_OK;
    }
    stop(solver, false);
    if (solver->err != RR_OK) {
        *fault = solver->fault;
    }
    return solver->err;
}

void cli_solver_free(struct cli_solver *solver)
{
    if (solver == NULL) {
        return;
    }
    stop(solver, true);
    rr_hash_engine_free(solver->engine); /* ends what is searched */
    while (solver->puzzles != NULL) {
        struct puzzle *puzzle = solver->puzzles;
        solver->puzzles = puzzle->next;
        rr_free(puzzle);
    }
    cli_http_free(solver->viewer.http);
    pthread_cond_destroy(&solver->wake);
    pthread_mutex_destroy(&solver->lock);
    rr_free(solver);
}

/* ---- what came of it ------------------------------------------------------------------------- */

struct rr_hash_engine *cli_solver_engine(struct cli_solver *solver)
{
    return solver->engine;
}

void cli_solver_stats(struct cli_solver *solver, struct cli_solver_stats *out)
{
    *out = (struct cli_solver_stats){0};
    if (solver == NULL) {
        return;
    }
    pthread_mutex_lock(&solver->lock);
    *out = solver->stats;
    out->hashes_per_s =
        solver->search_us == 0
            ? 0
            : (uint64_t)((double)solver->stats.hashes * 1e6 / (double)solver->search_us);
    pthread_mutex_unlock(&solver->lock);
}

json_t *cli_solver_json(struct cli_solver *solver)
{
    struct cli_solver_stats stats;
    json_t *reasons = json_object();
    json_int_t refused = 0;
    cli_solver_stats(solver, &stats);
    for (size_t i = RR_PROOF_ACCEPTED + 1; i < RR_PROOF_REFUSAL_COUNT; i++) {
        if (stats.refused[i] > 0) {
            refused += stats.refused[i];
            json_object_set_new(reasons, rr_proof_refusal_text((enum rr_proof_refusal)i),
                                json_integer(stats.refused[i]));
        }
    }
    json_t *json =
        json_pack("{s:I, s:I, s:I, s:I, s:o, s:I, s:I}", "puzzles", (json_int_t)stats.puzzles,
                  "sent", (json_int_t)stats.sent, "accepted", (json_int_t)stats.accepted, "refused",
                  refused, "refused_for", reasons, "hashes", (json_int_t)stats.hashes,
                  "hashes_per_s", (json_int_t)stats.hashes_per_s);
    RR_CHECK(json != NULL);
    return json;
}
