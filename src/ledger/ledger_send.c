/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Own transactions: the sequence is asked for and used under one lock. */
#include "ledger/ledger_chain.h"

void rr_chain_sender_lock(struct rr_chain *chain)
{
    pthread_mutex_lock(&chain->sender_lock);
}

void rr_chain_sender_unlock(struct rr_chain *chain)
{
    pthread_mutex_unlock(&chain->sender_lock);
}

enum rr_err rr_chain_send(struct rr_chain *chain, struct rr_tx *tx, const struct rr_seckey *key,
                          enum rr_err (*keep)(void *ctx, const struct rr_tx *tx,
                                              struct rr_fault *fault),
                          void *keep_ctx, struct rr_fault *fault)
{
    tx->chain_id = chain->chain_id;
    rr_seckey_public(key, &tx->sender);
    pthread_mutex_lock(&chain->sender_lock);
    enum rr_err err = rr_chain_next_sequence(chain, &tx->sender, &tx->sequence, fault);
    if (err == RR_OK) {
        tx->fee = rr_chain_min_fee(chain, tx);
        rr_tx_sign(tx, key);
        err = keep == NULL ? RR_OK : keep(keep_ctx, tx, fault);
    }
    if (err == RR_OK) {
        err = rr_chain_submit(chain, tx, fault);
    }
    pthread_mutex_unlock(&chain->sender_lock);
    return err;
}
