/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to pay: the work that viewers return. Verdicts on it are in memory only. A restart
 * forgives: the test needs puzzles that are over, and comes to the same verdict after as many more;
 * a write for each puzzle and viewer would buy no more than that. */
#ifndef RR_PAY_VIEWERS_H
#define RR_PAY_VIEWERS_H
#include "db/db.h"
#include "pay/pay.h"
#include <pthread.h>
#include <stdatomic.h>

struct pay_session;

/* A puzzle in which the viewer was served and whose certificate may still come. */
struct pay_puzzle {
    uint64_t height;
    uint64_t first_us, last_us; /* charges; monotonic */
    uint64_t most_us;           /* from the first one to its expected end */
    bool came;
    uint8_t final_be[32];
};
/* This puzzle and those before it that are in their grace: two, more where blocks come fast. */
#define PAY_OPEN_PUZZLES 8
struct pay_viewer {
    struct rr_pubkey key;
    struct pay_viewer *next;                  /* of the till's list */
    pthread_mutex_t lock;                     /* of all below; innermost */
    struct pay_puzzle open[PAY_OPEN_PUZZLES]; /* oldest first */
    uint32_t open_count;
    struct rr_proof_served served[RR_PROOF_WITHHOLDING_PUZZLES]; /* the last ones, in a ring */
    uint32_t served_count, served_next;
    bool reported;
    _Atomic uint64_t dropped_until; /* height; 0: not dropped. Read without the lock */
};
/* Finds the record of the session's viewer, or makes it; under create_lock or before the till is
 * shared. */
void pay_viewer_attach(struct rr_till *till, struct pay_session *session);
void pay_viewers_free(struct rr_till *till);
bool pay_viewer_dropped(struct rr_till *till, struct pay_viewer *viewer);
void pay_viewer_describe(struct rr_till *till, struct rr_till_pool *out, struct pay_viewer *viewer);
/* A charge was taken. Costs a clock reading. */
void pay_viewer_served(struct rr_till *till, struct pay_viewer *viewer);
/* A certificate that was on time, whatever it is worth. */
void pay_viewer_worked(struct rr_till *till, const struct rr_certificate *certificate,
                       const uint8_t final_be[static 32]);
/* Closes the puzzles for which certificates are late now, and judges their viewers. */
void pay_viewers_judge(struct rr_till *till, const struct rr_chain_tip *tip);
/* rr_proof_on_time by the chain's dates. Reads the chain when the puzzle is over. */
bool pay_on_time(struct rr_till *till, uint64_t height, const struct rr_chain_tip *tip);

/* certificates.c */
enum rr_err pay_certificates_load(struct rr_till *till, struct rr_db_txn *txn,
                                  struct rr_fault *fault) RR_MUST_USE;
/* blocks.c: certificates in blocks of the window that are not marked as spent are marked. */
enum rr_err pay_certificates_reconcile(struct rr_till *till, struct rr_fault *fault) RR_MUST_USE;
/* *all: every certificate of these sets that a block at next_height could still take is marked. */
enum rr_err pay_certificates_marked(struct rr_till *till, bool *all,
                                    const struct rr_certificate_set *sets, uint32_t count,
                                    uint64_t next_height, struct rr_fault *fault) RR_MUST_USE;
#endif
