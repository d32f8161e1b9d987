/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to stratum: the server's core. Bytes and the time in, bytes and shares to verify out; no
 * socket, no clock, no thread. One owner at a time. */
#ifndef RR_STRATUM_SERVER_H
#define RR_STRATUM_SERVER_H
#include "stratum/stratum.h"
#include "stratum/stratum_text.h"

#define STRATUM_CONNECTIONS_MAX  16384
#define STRATUM_JOBS_KEPT        8     /* newest works whose shares can still come */
#define STRATUM_JOB_NONCES_MAX   65536 /* shares of one job; beyond them: later */
#define STRATUM_SHARES_MAX       1024  /* waiting for verification, all connections */
#define STRATUM_CONN_SHARES_MAX  64    /* and of one */
#define STRATUM_CONN_WORKERS_MAX 8
#define STRATUM_VARIANT_BITS     3 /* of a job's name in 1.0.0 and 2.0.0 */
#define STRATUM_VARIANTS         (1u << STRATUM_VARIANT_BITS)
#define STRATUM_WORKERS_MAX      1024
#define STRATUM_BANS_MAX         256
#define STRATUM_OUTPUT_MAX       (256u << 10)
#define STRATUM_ERRORS_MAX       16 /* malformed or unknown messages before the connection ends */
#define STRATUM_HANDSHAKE_US     (UINT64_C(30) * 1000000)
#define STRATUM_IDLE_US          (UINT64_C(600) * 1000000)
#define STRATUM_SEGMENT_BITS     16 /* of a nonce: the connection's; the rest is the miner's */

struct stratum_server_config {
    uint64_t share_difficulty;
    uint32_t share_ms;
    uint32_t connections_max, lines_per_s, ban_ms;
    char password[STRATUM_NAME_BYTES];
    uint64_t seed; /* of names of sessions and the first segment */
};

/* A share on its way through verification. */
struct stratum_share {
    struct rr_hash_check check; /* mix and final_be are the verifier's to fill */
    uint64_t work_id, height;
    struct rr_u256 block_difficulty;
    uint64_t difficulty; /* of the share */
    uint64_t conn_id;
    char id[STRATUM_ID_BYTES];
    uint32_t worker;
    char worker_name[STRATUM_NAME_BYTES];
    bool has_mix; /* the miner sent one */
    uint8_t mix[32];
    bool failed; /* verification could not be done */
    bool block;  /* solved and taken */
};

struct stratum_job {
    struct rr_stratum_work work;
    uint32_t number; /* 0: none */
    struct {
        uint64_t *slots; /* nonce + 1, 0: free; the nonce 2^64 - 1 has a flag of its own */
        uint32_t cap, count;
        bool last_used;
    } nonces;
};

struct stratum_conn {
    struct stratum_conn *next, *prev;
    void *shell; /* the owner's */
    uint64_t id;
    char peer[RR_TCP_PEER_BYTES];
    enum stratum_dialect dialect;
    uint16_t segment;
    bool greeted;    /* 2.0.0: hello answered */
    bool subscribed; /* may authorize */
    uint32_t workers[STRATUM_CONN_WORKERS_MAX];
    uint32_t worker_count;
    struct stratum_lines lines;
    struct rr_buf output;
    const char *ending; /* not NULL: end it when the output is sent */
    bool banned;        /* its address too */
    uint64_t opened_us, heard_us;
    uint64_t tokens_milli, tokens_us; /* lines it may still send */
    uint64_t over;                    /* lines beyond its leave, since it last had all of it */
    bool throttled;
    uint32_t errors, shares_waiting;
    uint32_t good, bad;  /* of its recent shares; halved together */
    uint64_t difficulty; /* for its next job; 0: by the work */
    uint64_t told;       /* 1.0.0 and 2.0.0: what set_difficulty or set said last */
    uint32_t told_epoch;
    bool told_seed;
    uint64_t window_us, window_hashes;
    uint32_t window_shares;
    struct {
        uint32_t number;
        uint32_t variants; /* how often it was told, each time with another difficulty */
        uint64_t difficulty[STRATUM_VARIANTS];
    } jobs[STRATUM_JOBS_KEPT]; /* by number % kept */
};

struct stratum_worker {
    struct rr_stratum_worker sums; /* rate, last_share_ms are filled when asked for */
    bool used;
    uint64_t last_us;          /* of its last share or authorization */
    uint64_t last_share_us;    /* 0: none */
    uint64_t window_us;        /* start of the present window */
    uint64_t window_hashes[2]; /* present, former */
};

struct stratum_ban {
    char peer[RR_TCP_PEER_BYTES];
    uint64_t until_us;
};

struct stratum_server {
    struct stratum_server_config config;
    struct rr_prng prng;
    struct stratum_conn *conns;
    uint64_t next_conn_id;
    uint32_t next_segment;
    uint64_t segments_used[(1u << STRATUM_SEGMENT_BITS) / 64];
    struct stratum_job jobs[STRATUM_JOBS_KEPT];
    uint32_t job_number;                             /* newest; 0: none */
    struct stratum_share shares[STRATUM_SHARES_MAX]; /* a ring */
    uint32_t shares_first, shares_count;
    struct stratum_worker workers[STRATUM_WORKERS_MAX];
    struct stratum_ban bans[STRATUM_BANS_MAX];
    struct rr_stratum_server_stats stats; /* rates and counts of the moment are filled when asked */
};

struct stratum_server *stratum_server_new(const struct stratum_server_config *config);
void stratum_server_free(struct stratum_server *server);

/* A new connection, owned by the server until stratum_server_drop; NULL when the peer is banned,
 * has too many, or all segments are taken. */
struct stratum_conn *stratum_server_open(struct stratum_server *server, const char *peer,
                                         uint64_t now_us);
void stratum_server_drop(struct stratum_server *server, struct stratum_conn *conn);
/* What the peer sent. Answers are appended to conn->output; conn->ending may be set. */
void stratum_server_input(struct stratum_server *server, struct stratum_conn *conn,
                          struct rr_slice bytes, uint64_t now_us);
/* New work to all. */
void stratum_server_work(struct stratum_server *server, const struct rr_stratum_work *work,
                         uint64_t now_us);
/* Once a second or so: deadlines, share difficulties. */
void stratum_server_tick(struct stratum_server *server, uint64_t now_us);
/* Moves at most max waiting shares out; each comes back by stratum_server_judge. */
size_t stratum_server_take(struct stratum_server *server, struct stratum_share *out, size_t max);
/* True when a verified share solves its block. */
bool stratum_share_solves(const struct stratum_share *share);
/* The verdict on verified shares: answers and sums. */
void stratum_server_judge(struct stratum_server *server, const struct stratum_share *shares,
                          size_t count, uint64_t now_us);
void stratum_server_stats(const struct stratum_server *server, struct rr_stratum_server_stats *out,
                          uint64_t now_us);
size_t stratum_server_workers(const struct stratum_server *server, struct rr_stratum_worker *out,
                              size_t max, uint64_t now_us);

/* ---- among the files of the core --------------------------------------------------------- */

enum stratum_refusal {
    STRATUM_ACCEPTED = 0,
    STRATUM_STALE,
    STRATUM_NO_JOB,
    STRATUM_DUPLICATE,
    STRATUM_LOW,
    STRATUM_BAD_MIX,
    STRATUM_UNAUTHORIZED,
    STRATUM_NOT_SUBSCRIBED,
    STRATUM_BAD_PASSWORD,
    STRATUM_SYNTAX,
    STRATUM_METHOD,
    STRATUM_VERSION,
    STRATUM_NO_WORK,
    STRATUM_BUSY,
    STRATUM_INTERNAL
};
/* stratum_server_talk.c: what is said, in each dialect. */
void stratum_talk_line(struct stratum_server *server, struct stratum_conn *conn,
                       struct rr_slice line, uint64_t now_us);
void stratum_talk_accept(struct stratum_conn *conn, const char *id);
void stratum_talk_refuse(struct stratum_conn *conn, const char *id, enum stratum_refusal why);
/* The newest work, with what must be said before it. */
void stratum_talk_work(struct stratum_server *server, struct stratum_conn *conn, bool clean);

/* stratum_server_share.c */
struct stratum_job *stratum_job_newest(struct stratum_server *server);
struct stratum_job *stratum_job_numbered(struct stratum_server *server, uint32_t number);
struct stratum_job *stratum_job_of_header(struct stratum_server *server, const uint8_t header[32]);
void stratum_job_clear(struct stratum_job *job);
/* Difficulty of the connection's shares for the job as it is told now. */
uint64_t stratum_share_difficulty(struct stratum_conn *conn, const struct stratum_job *job);
/* Which telling of the job that is. */
uint32_t stratum_share_variant(const struct stratum_conn *conn, const struct stratum_job *job);
/* What a miner sent in. */
struct stratum_entry {
    struct stratum_job *job; /* NULL: there is none of that name */
    uint32_t variant, worker;
    const char *id;
    uint64_t nonce;
    const uint8_t *mix; /* NULL: it sent none */
};
/* Takes a share in; other than STRATUM_ACCEPTED it is refused (and counted) at once. */
enum stratum_refusal stratum_share_add(struct stratum_server *server, struct stratum_conn *conn,
                                       const struct stratum_entry *entry, uint64_t now_us);
/* Counts a refused share against its worker (NO_WORKER: none) and the connection. */
void stratum_share_refused(struct stratum_server *server, struct stratum_conn *conn,
                           uint32_t worker, enum stratum_refusal why, uint64_t now_us);
void stratum_share_window(struct stratum_server *server, struct stratum_conn *conn,
                          uint64_t now_us);
void stratum_server_ban(struct stratum_server *server, struct stratum_conn *conn, const char *why,
                        uint64_t now_us);

/* stratum_server_workers.c */
#define STRATUM_NO_WORKER UINT32_MAX
/* Index of a name, made when it is new; STRATUM_NO_WORKER when there is no room. */
uint32_t stratum_worker_find(struct stratum_server *server, const char *name, uint64_t now_us);
void stratum_worker_credit(struct stratum_worker *worker, uint64_t hashes, uint64_t now_us);
uint64_t stratum_worker_rate(const struct stratum_worker *worker, uint64_t now_us);
#endif
