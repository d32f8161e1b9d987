/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The door of stratum, floor 3: mining in a mining pool (spec 10, 5), both sides of it. */
#ifndef RR_STRATUM_H
#define RR_STRATUM_H
#include "hash/hash.h"
#include "loop/loop.h"

#define RR_STRATUM_NAME_BYTES 97

/* ---- server: other miners work on this rig's blocks ------------------------------------------ */
/* A block without its nonce and mix, as miners see it. */
struct rr_stratum_work {
    uint64_t id; /* the owner's; comes back with a solution */
    uint64_t height;
    struct rr_u256 difficulty; /* of the block; > 0 */
    uint8_t header_hash[32];
    uint8_t seed[32];
    uint32_t epoch; /* of the standard table when seed is of it, else 0: miners go by the seed */
};
/* A nonce that solves a block; mix and final_be are the rig's own. */
struct rr_stratum_solution {
    uint64_t work_id;
    uint64_t height;
    uint64_t nonce;
    uint8_t mix[32];
    uint8_t final_be[32];
    char worker[RR_STRATUM_NAME_BYTES];
};
struct rr_stratum_server_options {
    struct rr_loop *loop;
    const char *address;                     /* numeric */
    uint16_t port;                           /* 0: any free one */
    const char *certificate_path, *key_path; /* PEM; NULL: plain TCP */
    const char *password;                    /* NULL or empty: any will do */
    uint64_t share_difficulty; /* hashes that a share stands for at first; 0: by the block's */
    uint32_t share_ms;         /* the share difficulty of a connection is moved towards one share in
                                  this time, 100..600000 */
    uint32_t connections_max;  /* 1..16384 */
    uint32_t lines_per_s;      /* of a connection, in the mean, 1..10000 */
    uint32_t ban_ms;           /* an address that floods stays out for this long; 0: never banned */
    /* Fills in mix and final of each; on the server's pool thread; may block. */
    enum rr_err (*verify)(void *ctx, struct rr_hash_check *checks, size_t count,
                          struct rr_fault *fault);
    /* A block is solved; true when the ledger took it. On the server's pool thread; may block. */
    bool (*solved)(void *ctx, const struct rr_stratum_solution *solution);
    void *ctx;
};
struct rr_stratum_server;
/* Listens at once. Loop thread, also before the loop runs. Options are copied but for ctx, which is
 * borrowed until stop. RR_ERR_USAGE, RR_ERR_BUSY (port taken), RR_ERR_NOTFOUND, RR_ERR_FORMAT
 * (certificate or key). *out owned: stop. */
enum rr_err rr_stratum_server_start(struct rr_stratum_server **out,
                                    const struct rr_stratum_server_options *options,
                                    struct rr_fault *fault) RR_MUST_USE;
/* Loop thread, or after the loop returned. Closes all connections; waits for a batch under way.
 * NULL is fine. */
void rr_stratum_server_stop(struct rr_stratum_server *server);
uint16_t rr_stratum_server_port(const struct rr_stratum_server *server);
/* New work for all: pushed to every miner within a round of the loop. Work of another height makes
 * what was before stale; of the same height, both count. Any thread; does not block. */
void rr_stratum_server_set_work(struct rr_stratum_server *server,
                                const struct rr_stratum_work *work);

/* What a worker name did since the start; a name is kept as long as there is room. */
struct rr_stratum_worker {
    char name[RR_STRATUM_NAME_BYTES];
    uint32_t connections;
    uint64_t accepted, stale, duplicate, rejected, blocks;
    uint64_t hashes;        /* that the accepted shares stand for, saturated */
    uint64_t rate;          /* hashes per second by the shares of the last minutes */
    uint64_t reported_rate; /* as the miner says; 0: it does not */
    uint64_t last_share_ms; /* before now; UINT64_MAX: none */
};
struct rr_stratum_server_stats {
    uint32_t connections, authorized;
    uint32_t dialects[5]; /* connections: not known yet, classic, plain, 1.0.0, 2.0.0 */
    uint64_t accepted, stale, duplicate, rejected, blocks;
    uint64_t refused_connections, bans, errors;
    uint64_t hashes, rate;
    uint32_t workers;
    uint64_t height;  /* of the work in hand; 0: none */
    uint64_t push_us; /* from the last set_work to the last byte handed to the kernel */
};
/* Any thread. */
void rr_stratum_server_stats(struct rr_stratum_server *server, struct rr_stratum_server_stats *out);
/* Copies at most max workers, busiest first, and returns how many. Any thread. */
size_t rr_stratum_server_workers(struct rr_stratum_server *server, struct rr_stratum_worker *out,
                                 size_t max);

/* ---- client: this rig works for mining pools ------------------------------------------------- */
#define RR_STRATUM_POOLS_MAX     16
#define RR_STRATUM_EPOCH_UNKNOWN UINT32_MAX
/* What a mining pool wants searched. */
struct rr_stratum_job {
    uint64_t number; /* rises; 0: none */
    uint8_t header_hash[32];
    uint8_t seed[32]; /* zeros when only the epoch is known */
    bool seed_known;
    uint32_t epoch;                    /* RR_STRATUM_EPOCH_UNKNOWN: go by the seed */
    uint64_t height;                   /* 0: not told */
    struct rr_u256 boundary;           /* the largest final that is a share; > 0 */
    uint64_t nonce_start, nonce_count; /* the connection's range; count 0: to the end of 64 bits */
};
/* Least difficulty whose solutions are all within the boundary (> 0). */
struct rr_u256 rr_stratum_difficulty(struct rr_u256 boundary);

struct rr_stratum_client_options {
    struct rr_loop *loop;
    const char *urls[RR_STRATUM_POOLS_MAX]; /* in order of preference: see stratum_client.h */
    uint32_t url_count;                     /* >= 1 */
    const char *user, *password;            /* where an address has none */
    const char *ca_path;                    /* authorities to trust; NULL: the machine's */
    const char *fingerprint; /* SHA-256 of the one certificate to trust instead; NULL: none */
    uint32_t response_ms, work_ms, return_ms; /* 100..3600000 */
    /* The engine that has the dataset of this job ready, prepared or switched before it returns;
     * NULL with a fault: it cannot be mined here. On the client's pool thread; may block. */
    struct rr_hash_engine *(*engine)(void *ctx, const struct rr_stratum_job *job,
                                     struct rr_fault *fault);
    void *ctx;
    uint32_t weight; /* of its jobs in the engine, 1..RR_HASH_WEIGHT_MAX */
};
struct rr_stratum_client;
/* Connects by and by. Loop thread, also before the loop runs. Options are copied but for ctx.
 * RR_ERR_USAGE (an address, a time), RR_ERR_NOTFOUND and RR_ERR_FORMAT (certificates). *out owned:
 * stop. */
enum rr_err rr_stratum_client_start(struct rr_stratum_client **out,
                                    const struct rr_stratum_client_options *options,
                                    struct rr_fault *fault) RR_MUST_USE;
/* Loop thread, or after the loop returned; before the engine is freed. Waits for a quantum. NULL is
 * fine. */
void rr_stratum_client_stop(struct rr_stratum_client *client);

struct rr_stratum_client_stats {
    bool connected; /* work is in hand */
    char pool[300]; /* host:port in use or being tried */
    char dialect[32];
    bool tls;
    uint32_t pool_index;
    char why[200];                      /* the last failure; empty: none yet */
    uint64_t since_ms;                  /* of this connection's work */
    uint64_t accepted, rejected, stale; /* answers to our shares; stale: not sent, or told so */
    uint64_t unanswered;
    uint64_t connections, failures, jobs;
    uint64_t latency_us, latency_mean_us; /* of answers to shares: last, all */
    uint64_t hashes;                      /* that the accepted shares stand for, saturated */
    uint64_t job_height;
    uint64_t job_difficulty; /* hashes for a share, saturated; 0: no job */
};
/* Any thread. */
void rr_stratum_client_stats(struct rr_stratum_client *client, struct rr_stratum_client_stats *out);
#endif
