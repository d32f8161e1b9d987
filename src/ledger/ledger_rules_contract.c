/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Service contracts: escrowed price, one claim, one attestation, or expiry (spec 50, 6-7). Pure. */
#include "ledger/ledger_rules.h"

#include <string.h>

/* 182 days of 15 s blocks: no price is locked for longer by mistake. Ours. */
#define CONTRACT_BLOCKS_MAX (1u << 20)

static enum rr_err read_due(const struct ledger_view *view, uint64_t height, struct rr_hash32 *head,
                            struct rr_fault *fault)
{
    struct ledger_key key = ledger_key_height(height);
    struct ledger_value value;
    enum rr_err err = view->get(view->ctx, LEDGER_DUE, &key, &value, fault);
    if (err != RR_OK) {
        return err;
    }
    memset(head, 0, sizeof *head);
    if (value.len != 0 && value.len != sizeof head->bytes) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "the list of contracts due at %llu is damaged; replay the chain",
                       (unsigned long long)height);
    }
    memcpy(head->bytes, value.bytes, value.len);
    return RR_OK;
}

static enum rr_err write_due(const struct ledger_view *view, uint64_t height,
                             const struct rr_hash32 *head, struct rr_fault *fault)
{
    struct ledger_key key = ledger_key_height(height);
    struct ledger_value value = {.len = sizeof head->bytes};
    memcpy(value.bytes, head->bytes, sizeof head->bytes);
    return view->put(view->ctx, LEDGER_DUE, &key, &value, fault);
}

enum rr_err ledger_open_contract(struct ledger_call *call, struct rr_fault *fault)
{
    uint32_t blocks = call->tx->body.open_contract.expiry_blocks;
    uint64_t expiry;
    struct rr_coin spend;
    struct rr_hash32 next_due;
    if (call->tx->body.open_contract.kind != RR_CONTRACT_TRANSCODE) {
        return rr_fail(fault, RR_ERR_LIMIT, "contracts of kind %d are not known to this version",
                       (int)call->tx->body.open_contract.kind);
    }
    if (call->tx->body.open_contract.challenges == 0) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "the contract asks for 0 challenges; at least 1 is needed");
    }
    if (blocks == 0 || blocks > CONTRACT_BLOCKS_MAX ||
        __builtin_add_overflow(call->rules->height, (uint64_t)blocks, &expiry)) {
        return rr_fail(fault, RR_ERR_LIMIT, "the contract lasts %u blocks; 1 to %u are allowed",
                       blocks, CONTRACT_BLOCKS_MAX);
    }
    enum rr_err err = ledger_can_spend(call, &spend, call->tx->body.open_contract.price, fault);
    if (err == RR_OK) {
        err = read_due(call->view, expiry, &next_due, fault);
    }
    if (err == RR_OK) {
        err = ledger_spend(call, spend, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    struct ledger_contract contract = {
        .pub = {.kind = call->tx->body.open_contract.kind,
                .status = RR_CONTRACT_OPEN,
                .job_id = call->tx->body.open_contract.job_id,
                .owner = call->tx->sender,
                .provider = call->tx->body.open_contract.provider,
                .verifier = call->tx->body.open_contract.verifier,
                .price = call->tx->body.open_contract.price,
                .challenges = call->tx->body.open_contract.challenges,
                .opened_height = call->rules->height,
                .expiry_height = expiry},
        .next_due = next_due,
    };
    err = ledger_put_contract(call->view, &call->id, &contract, fault);
    return err == RR_OK ? write_due(call->view, expiry, &call->id, fault) : err;
}

static enum rr_err load_contract(const struct ledger_call *call, const struct rr_hash32 *id,
                                 struct ledger_contract *contract, struct rr_fault *fault)
{
    bool found;
    enum rr_err err = ledger_get_contract(call->view, id, contract, &found, fault);
    if (err == RR_OK && !found) {
        char text[65];
        rr_hex(text, id->bytes, sizeof id->bytes);
        return rr_fail(fault, RR_ERR_STATE, "there is no contract %s; open it first", text);
    }
    return err;
}

static const char *status_text(enum rr_contract_status status)
{
    switch (status) {
    case RR_CONTRACT_OPEN:
        return "open";
    case RR_CONTRACT_CLAIMED:
        return "claimed";
    case RR_CONTRACT_PAID:
        return "paid";
    case RR_CONTRACT_REFUSED:
        return "refused";
    case RR_CONTRACT_EXPIRED:
        return "expired";
    }
    return "unknown";
}

static enum rr_err check_status(const struct ledger_contract *contract,
                                enum rr_contract_status needed, struct rr_fault *fault)
{
    if (contract->pub.status != needed) {
        return rr_fail(fault, RR_ERR_STATE,
                       "the contract is %s (it ends at height %llu), this needs one that is %s",
                       status_text(contract->pub.status),
                       (unsigned long long)contract->pub.expiry_height, status_text(needed));
    }
    return RR_OK;
}

enum rr_err ledger_claim(struct ledger_call *call, struct rr_fault *fault)
{
    const struct rr_hash32 *id = &call->tx->body.claim.contract_id;
    struct ledger_contract contract;
    struct rr_coin spend;
    enum rr_err err = load_contract(call, id, &contract, fault);
    if (err != RR_OK) {
        return err;
    }
    if (memcmp(contract.pub.provider.bytes, call->tx->sender.bytes,
               sizeof call->tx->sender.bytes) != 0) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the contract names another provider; only it may claim");
    }
    err = check_status(&contract, RR_CONTRACT_OPEN, fault);
    if (err != RR_OK) {
        return err;
    }
    if (call->tx->body.claim.leaves == 0 || call->tx->body.claim.leaves > RR_LEAVES_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "the claim has %u leaves; 1 to %u are allowed",
                       call->tx->body.claim.leaves, RR_LEAVES_MAX);
    }
    err = ledger_can_spend(call, &spend, RR_COIN_ZERO, fault);
    if (err == RR_OK) {
        err = ledger_spend(call, spend, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    contract.pub.status = RR_CONTRACT_CLAIMED;
    contract.pub.claimed_height = call->rules->height;
    contract.pub.root = call->tx->body.claim.root;
    contract.pub.leaves = call->tx->body.claim.leaves;
    return ledger_put_contract(call->view, id, &contract, fault);
}

static enum rr_err check_attestation(const struct ledger_call *call,
                                     const struct ledger_contract *contract, struct rr_fault *fault)
{
    const struct rr_tx *tx = call->tx;
    if (memcmp(contract->pub.verifier.bytes, tx->sender.bytes, sizeof tx->sender.bytes) != 0) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the contract names another verifier; only it may attest");
    }
    enum rr_err err = check_status(contract, RR_CONTRACT_CLAIMED, fault);
    if (err != RR_OK) {
        return err;
    }
    uint64_t beacon = tx->body.attestation.beacon_height;
    if (beacon <= contract->pub.claimed_height || beacon >= call->rules->height) {
        return rr_fail(fault, RR_ERR_STATE,
                       "the beacon is block %llu; it must stand above the claim (%llu) and at or "
                       "below the tip (%llu)",
                       (unsigned long long)beacon, (unsigned long long)contract->pub.claimed_height,
                       (unsigned long long)call->rules->height - 1);
    }
    uint32_t asked = contract->pub.challenges;
    if (asked > contract->pub.leaves) {
        asked = contract->pub.leaves;
    }
    uint32_t checked = tx->body.attestation.checked;
    uint32_t failed = tx->body.attestation.failed;
    /* One failure decides, so a verifier may stop at it; a pass needs every challenge. */
    if (failed > checked || (failed == 0 && checked < asked)) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "the attestation checked %u and failed %u; the contract asks for %u checks",
                       checked, failed, asked);
    }
    return RR_OK;
}

enum rr_err ledger_attest(struct ledger_call *call, struct rr_fault *fault)
{
    const struct rr_hash32 *id = &call->tx->body.attestation.contract_id;
    struct ledger_contract contract;
    struct rr_coin spend;
    enum rr_err err = load_contract(call, id, &contract, fault);
    if (err == RR_OK) {
        err = check_attestation(call, &contract, fault);
    }
    if (err == RR_OK) {
        err = ledger_can_spend(call, &spend, RR_COIN_ZERO, fault);
    }
    if (err == RR_OK) {
        err = ledger_spend(call, spend, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    bool passed = call->tx->body.attestation.failed == 0;
    contract.pub.status = passed ? RR_CONTRACT_PAID : RR_CONTRACT_REFUSED;
    contract.pub.beacon_height = call->tx->body.attestation.beacon_height;
    contract.pub.checked = call->tx->body.attestation.checked;
    contract.pub.failed = call->tx->body.attestation.failed;
    err = ledger_put_contract(call->view, id, &contract, fault);
    if (err != RR_OK) {
        return err;
    }
    struct rr_address payee;
    rr_address_of(&payee, passed ? &contract.pub.provider : &contract.pub.owner);
    return ledger_credit(call->view, &payee, contract.pub.price, fault);
}

enum rr_err ledger_expire_contracts(const struct ledger_rules *rules,
                                    const struct ledger_view *view, struct rr_fault *fault)
{
    struct rr_hash32 id;
    enum rr_err err = read_due(view, rules->height, &id, fault);
    if (err != RR_OK || rr_hash32_is_zero(&id)) {
        return err;
    }
    while (!rr_hash32_is_zero(&id)) {
        struct ledger_contract contract;
        bool found;
        err = ledger_get_contract(view, &id, &contract, &found, fault);
        if (err == RR_OK && !found) {
            err = rr_fail(fault, RR_ERR_DAMAGED,
                          "a contract that is due at %llu is missing; replay the chain",
                          (unsigned long long)rules->height);
        }
        if (err != RR_OK) {
            return err;
        }
        if (contract.pub.status == RR_CONTRACT_OPEN || contract.pub.status == RR_CONTRACT_CLAIMED) {
            struct rr_address owner;
            rr_address_of(&owner, &contract.pub.owner);
            contract.pub.status = RR_CONTRACT_EXPIRED;
            err = ledger_put_contract(view, &id, &contract, fault);
            if (err == RR_OK) {
                err = ledger_credit(view, &owner, contract.pub.price, fault);
            }
            if (err != RR_OK) {
                return err;
            }
        }
        id = contract.next_due;
    }
    struct ledger_key key = ledger_key_height(rules->height);
    return ledger_remove(view, LEDGER_DUE, &key, fault);
}
