/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A viewer: its wallet folder, and the ledger as a rig's serving port shows it. Trusts nothing it
 * can check. */
#ifndef RR_CLI_VIEWER_H
#define RR_CLI_VIEWER_H
#include "cli/cli.h"
#include "hash/hash.h"
#include "ledger/ledger.h"
#include "wire/wire.h"

struct cli_viewer {
    struct cli_http *http;
    char base[512]; /* "http://host:port" */
    long timeout_s; /* of a request; 0: the usual */
    char folder[RR_PATH_BYTES];
    struct rr_seckey *key;
    struct rr_pubkey public_key;
    struct rr_address address;
    struct rr_genesis genesis;
    struct rr_hash32 genesis_hash;
    struct rr_hash_light *light;
    struct rr_header trusted; /* last header whose chain from genesis was checked */
    uint64_t anchor_ms; /* time of block 1, the anchor of the difficulty; 0 before it is known */
};
/* Bytes of `url` up to the end of its host and port: two addresses with the same are one rig. */
size_t cli_viewer_base_bytes(const char *url);
/* The wallet's folder, made when absent: folder, or where it is NULL $REELRIG_WALLET, else
 * ~/.reelrig. */
enum rr_err cli_viewer_folder(char out[static RR_PATH_BYTES], const char *folder,
                              struct rr_fault *fault) RR_MUST_USE;
/* Folder (as of cli_viewer_folder): loads or makes the key; pins the network on
 * first use, later another genesis is RR_ERR_TRUST. url: any address on the rig's serving port.
 * Blocks. */
enum rr_err cli_viewer_open(struct cli_viewer *out, const char *folder, const char *url,
                            struct rr_fault *fault) RR_MUST_USE;
/* As cli_viewer_open, for one of several rigs that may not share a chain: the key and the network
 * are those of `folder`, what is trusted of the rig's chain is kept below it for each address.
 * timeout_s is short until the caller sets it: a silent rig must not keep the others waiting. */
enum rr_err cli_viewer_open_rig(struct cli_viewer *out, const char *folder, const char *url,
                                struct rr_fault *fault) RR_MUST_USE;
void cli_viewer_close(struct cli_viewer *viewer);
/* Path in the wallet folder. */
enum rr_err cli_viewer_path(const struct cli_viewer *viewer, char out[static RR_PATH_BYTES],
                            struct rr_fault *fault, const char *format, ...)
    __attribute__((format(printf, 4, 5))) RR_MUST_USE;
/* GET base/path. Response as in cli_http_send; `what` names it in faults, and any status but 2xx is
 * one. */
enum rr_err cli_viewer_get(struct cli_viewer *viewer, struct cli_response *out, const char *what,
                           struct rr_fault *fault, const char *format, ...)
    __attribute__((format(printf, 5, 6))) RR_MUST_USE;
/* POST of wire bytes. */
enum rr_err cli_viewer_post(struct cli_viewer *viewer, struct cli_response *out, const char *what,
                            const char *path, struct rr_slice body,
                            struct rr_fault *fault) RR_MUST_USE;
enum rr_err cli_viewer_tip(struct cli_viewer *viewer, uint64_t *height,
                           struct rr_fault *fault) RR_MUST_USE;
enum rr_err cli_viewer_balance(struct cli_viewer *viewer, struct rr_coin *balance,
                               uint64_t *next_sequence, struct rr_fault *fault) RR_MUST_USE;
/* Sets chain, sender, sequence, a fee that covers `tx`, and the signature. */
enum rr_err cli_viewer_sign(struct cli_viewer *viewer, struct rr_tx *tx,
                            struct rr_fault *fault) RR_MUST_USE;
/* What a pool is for, and how long: so many units of service at `price` each. */
struct cli_pool_ask {
    struct rr_hash32 resource_id;
    struct rr_coin price;
    uint64_t unit_count; /* > 0 */
    uint32_t duration_blocks;
};
/* The transaction that makes the pool, signed, not submitted: a deposit for all units, one unit of
 * coin more as collateral, the least that the ledger takes. Asks the rig for the
 * balance. RR_ERR_LIMIT: the price cannot be paid; RR_ERR_FUNDS: the wallet has less. */
enum rr_err cli_viewer_make_pool(struct cli_viewer *viewer, struct rr_tx *out,
                                 const struct cli_pool_ask *ask,
                                 struct rr_fault *fault) RR_MUST_USE;
enum rr_err cli_viewer_submit(struct cli_viewer *viewer, const struct rr_tx *tx,
                              struct rr_fault *fault) RR_MUST_USE;
/* Waits until the transaction is in a block; submits it again when the rig has lost it. timeout_s >
 * 0. */
enum rr_err cli_viewer_wait_tx(struct cli_viewer *viewer, const struct rr_tx *tx,
                               unsigned timeout_s, struct rr_fault *fault) RR_MUST_USE;
/* Fetches the proof of a transaction, checks headers, work and place from the last trusted header
 * on, and trusts the new last header from then on (kept in the wallet folder). *proof_bytes: the
 * proof in wire form, owned. */
enum rr_err cli_viewer_prove_tx(struct cli_viewer *viewer, struct rr_buf *proof_bytes,
                                const struct rr_tx *tx, uint64_t *height,
                                struct rr_fault *fault) RR_MUST_USE;
/* Waits for the pool's end and the dispute time, releases it, waits for the block. Gone already:
 * RR_OK. */
enum rr_err cli_viewer_release(struct cli_viewer *viewer, const struct rr_hash32 *pool_id,
                               bool wait, struct rr_fault *fault) RR_MUST_USE;
#endif
