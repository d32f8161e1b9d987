/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to stratum: the client's core. Bytes, facts and the time in; bytes, wishes and jobs out;
 * no socket, no clock, no thread. One owner at a time.
 *
 * The owner looks at `link` after each call: when the number changed, the former stream is to be
 * closed, and a new one to pools[pool] opened if `wants_link`. */
#ifndef RR_STRATUM_CLIENT_H
#define RR_STRATUM_CLIENT_H
#include "stratum/stratum.h"
#include "stratum/stratum_text.h"

#define STRATUM_CLIENT_JOBS     8  /* newest; a nonce of an older one is not worth its line */
#define STRATUM_CLIENT_REQUESTS 64 /* without an answer */
#define STRATUM_JOB_NAME_BYTES  68
#define STRATUM_CLIENT_ERRORS   16 /* lines that make no sense, in one stream */

/* A mining pool's address: stratum[N]+tcp|ssl|tls|tls12://[user[:password]@]host:port, N as miners
 * write it: none or 0 finds the dialect out, 1 classic, 2 EthereumStratum/1.0.0, 3
 * EthereumStratum/2.0.0; stratum0 is plain. */
struct stratum_pool {
    enum stratum_dialect dialect; /* STRATUM_UNKNOWN: find it out */
    bool tls;
    uint16_t port;
    char host[254];
    char user[STRATUM_NAME_BYTES], password[STRATUM_NAME_BYTES]; /* empty: of the settings */
};
/* %XX escapes in user and password. RR_ERR_USAGE says what is wrong. */
enum rr_err stratum_pool_parse(struct stratum_pool *out, const char *url,
                               struct rr_fault *fault) RR_MUST_USE;

struct stratum_client_config {
    struct stratum_pool pools[RR_STRATUM_POOLS_MAX]; /* with user and password filled in */
    uint32_t pool_count;                             /* >= 1 */
    uint32_t response_ms; /* an answer that takes longer ends the stream */
    uint32_t work_ms;     /* so does this long without new work */
    uint32_t return_ms;   /* after this long on another one the first pool is tried again */
    uint64_t seed;        /* of waiting times and starting points */
};

enum stratum_request_kind {
    STRATUM_REQUEST_NONE = 0,
    STRATUM_REQUEST_HELLO,
    STRATUM_REQUEST_SUBSCRIBE,
    STRATUM_REQUEST_EXTRANONCE,
    STRATUM_REQUEST_AUTHORIZE,
    STRATUM_REQUEST_WORK,
    STRATUM_REQUEST_SUBMIT,
    STRATUM_REQUEST_RATE,
    STRATUM_REQUEST_NOOP
};
struct stratum_request {
    enum stratum_request_kind kind;
    uint32_t id;
    uint64_t sent_us;
    uint64_t hashes; /* SUBMIT: that the share stands for */
};

struct stratum_client_job {
    struct rr_stratum_job job; /* number 0: none */
    char name[STRATUM_JOB_NAME_BYTES];
    unsigned prefix_digits; /* hex digits of the nonce that the pool knows already */
};

struct stratum_client {
    struct stratum_client_config config;
    struct rr_prng prng;
    /* the owner's to follow */
    uint32_t link;
    bool wants_link;
    uint32_t pool;
    bool wants_probe; /* try whether pools[0] is back: stratum_client_probed */
    struct rr_buf output;
    uint64_t job_number; /* newest; 0: none, stop searching */

    enum { STRATUM_WAITING, STRATUM_CONNECTING, STRATUM_GREETING, STRATUM_WORKING } phase;
    enum stratum_dialect dialect;                     /* spoken on this stream */
    enum stratum_dialect known[RR_STRATUM_POOLS_MAX]; /* that worked before */
    uint32_t failures;                                /* in a row, without work in between */
    uint64_t retry_us;                                /* WAITING: until then */
    uint64_t since_us;                                /* of this pool's work */
    uint64_t phase_us, work_us, probe_us, noop_us;
    struct stratum_lines lines;
    uint32_t errors;
    uint32_t next_id;
    struct stratum_request requests[STRATUM_CLIENT_REQUESTS];
    char token[STRATUM_NAME_BYTES]; /* 2.0.0: of our worker, JSON-safe */
    uint64_t prefix;
    unsigned prefix_digits;
    struct rr_u256 boundary; /* for the next job */
    uint8_t seed[32];
    uint32_t epoch; /* RR_STRATUM_EPOCH_UNKNOWN */
    bool seed_known;
    struct stratum_client_job jobs[STRATUM_CLIENT_JOBS];
    uint64_t jobs_made, clean_number;     /* jobs before it are stale */
    struct rr_stratum_client_stats stats; /* what is of the moment is filled in when asked */
    uint64_t answers, latency_sum_us;
};

struct stratum_client *stratum_client_new(const struct stratum_client_config *config,
                                          uint64_t now_us);
void stratum_client_free(struct stratum_client *client);
/* The stream of this number is open, ended, or brought bytes; of another number: nothing happens.
 */
void stratum_client_opened(struct stratum_client *client, uint32_t link, uint64_t now_us);
void stratum_client_closed(struct stratum_client *client, uint32_t link, const char *why,
                           uint64_t now_us);
void stratum_client_input(struct stratum_client *client, uint32_t link, struct rr_slice bytes,
                          uint64_t now_us);
void stratum_client_probed(struct stratum_client *client, bool there, uint64_t now_us);
/* Every 100 ms or so. */
void stratum_client_tick(struct stratum_client *client, uint64_t now_us);
/* The newest job; number 0 when there is none. */
const struct rr_stratum_job *stratum_client_job(const struct stratum_client *client);
/* A nonce whose final is within the job's boundary. False: it is too late for this job (counted as
 * stale) or not of its range. */
bool stratum_client_found(struct stratum_client *client, uint64_t number, uint64_t nonce,
                          const uint8_t mix[32], uint64_t now_us);
void stratum_client_stats(const struct stratum_client *client, struct rr_stratum_client_stats *out,
                          uint64_t now_us);
/* Tells the pool our rate, if it takes that. */
void stratum_client_rate(struct stratum_client *client, uint64_t rate, uint64_t now_us);

/* ---- among the files of the core: stratum_client_talk.c ----------------------------------- */
void stratum_client_greet(struct stratum_client *client, uint64_t now_us);
void stratum_client_line(struct stratum_client *client, struct rr_slice line, uint64_t now_us);
void stratum_client_submit(struct stratum_client *client, const struct stratum_client_job *job,
                           uint64_t nonce, const uint8_t mix[32], uint64_t now_us);
void stratum_client_ask(struct stratum_client *client, enum stratum_request_kind kind,
                        uint64_t rate, uint64_t now_us);
/* stratum_client.c: ends the stream. unspoken: perhaps another dialect does. */
void stratum_client_fail(struct stratum_client *client, const char *why, bool unspoken,
                         uint64_t now_us);
/* A new job; its number, name and range are filled in. */
void stratum_client_add_job(struct stratum_client *client, const struct rr_stratum_job *job,
                            const char *name, bool clean, uint64_t now_us);
#endif
