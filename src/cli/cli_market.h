/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A publisher that uses rigs which it does not own: offers, choice, shards, checks, payments. */
#ifndef RR_CLI_MARKET_H
#define RR_CLI_MARKET_H
#include "cli/cli_viewer.h"
#include "pay/pay.h"
#include "transcode/transcode.h"

#define MARKET_RIGS_MAX 32

/* ---- one rig (cli_market_rig.c)
 * -------------------------------------------------------------------------- */
enum market_state {
    MARKET_SPARE,   /* it has quoted and waits for its turn */
    MARKET_WORKING, /* it has the source and makes shards */
    MARKET_OUT      /* it never came in, or is out; `why` says it */
};
struct market_rig {
    char url[512];
    enum market_state state;
    char why[320];
    bool cheated;
    bool viewing; /* viewer is open */
    struct cli_viewer viewer;
    struct rr_work_offer offer;
    struct rr_work_order order;
    struct rr_work_quote quote; /* handle zero: none */
    struct rr_hash32 quote_id;
    char handle[65];
    struct rr_tx pool_tx;
    struct rr_hash32 pool_id;
    uint64_t pool_height;
    struct rr_purse *purse; /* NULL: no pool */
    struct rr_payment_header payment;
    uint64_t units_left; /* that the pool still has for vouchers to come */
    uint64_t asked_us;   /* when it was last heard to finish something */
    uint32_t shards, gops;
    uint64_t paid_units;
    double work_s;
};
/* Fetches and checks the offer. Its faults are of the rig. Blocks, as all here. */
enum rr_err market_rig_open(struct market_rig *rig, const char *wallet, const char *url,
                            struct rr_fault *fault) RR_MUST_USE;
void market_rig_close(struct market_rig *rig); /* tells it that the job is over */
/* Order and quote for what it offers of the chain; the quote is checked against its offer.
 * RR_ERR_UNSUPPORTED: it offers none of it. */
enum rr_err market_rig_quote(struct market_rig *rig, const struct rr_work_chain *chain,
                             const struct rr_work_facts *facts, uint64_t deadline_ms,
                             struct rr_fault *fault) RR_MUST_USE;
/* Pool, session, source; then the rig's own look at the source must give the same job. */
enum rr_err market_rig_begin(struct market_rig *rig, int source_fd, const struct rr_hash32 *key,
                             const atomic_bool *cancel, struct rr_fault *fault) RR_MUST_USE;
enum rr_err market_rig_ask(struct market_rig *rig, size_t shard, bool whole,
                           struct rr_fault *fault) RR_MUST_USE;
/* The job as the rig shows it; *json a new reference. A job that failed there is a fault. */
enum rr_err market_rig_look(struct market_rig *rig, json_t **json,
                            struct rr_fault *fault) RR_MUST_USE;
/* Fetches commitment and bytes of a finished shard and checks the one against the other. */
enum rr_err market_rig_fetch(struct market_rig *rig, size_t shard, const char *path,
                             struct rr_work_commit *commit, struct rr_fault *fault) RR_MUST_USE;
/* Pays so many units more. A rig at its risk limit is waited for. */
enum rr_err market_rig_pay(struct market_rig *rig, uint32_t units, const atomic_bool *cancel,
                           struct rr_fault *fault) RR_MUST_USE;

/* ---- the job (cli_market.c)
 * ------------------------------------------------------------------------------ */
struct cli_market {
    const char *urls; /* "URL,URL": borrowed */
    const char *wallet;
    struct rr_coin price_max;
    bool has_price_max, explain, json, no_local;
    uint64_t deadline_ms;
    unsigned patience_s, check_every;
    /* filled */
    struct market_rig rigs[MARKET_RIGS_MAX];
    size_t rig_count;
    uint32_t shards, shards_local;
    struct rr_work_chain chain;
};
/* An rr_transcode_maker; ctx: struct cli_market. What no rig makes is made here, unless no_local.
 */
enum rr_err cli_market_make(void *ctx, struct rr_transcode_result *out, int source_fd,
                            const struct rr_transcode_options *options,
                            rr_transcode_progress_fn *progress, void *progress_ctx,
                            const atomic_bool *cancel, struct rr_fault *fault) RR_MUST_USE;
json_t *cli_market_report(const struct cli_market *market); /* new reference */
void cli_market_clear(struct cli_market *market);
#endif
