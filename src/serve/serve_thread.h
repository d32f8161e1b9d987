/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to serve: an epoll thread, its connections and its timer wheel. Everything here but done
 * is touched by that thread alone. */
#ifndef RR_SERVE_THREAD_H
#define RR_SERVE_THREAD_H
#include "serve/serve_private.h"

/* All ours; the first three are what nginx and Apache settled on within a factor of two. */
#define SERVE_HEAD_MS       10000 /* from the first byte of a head to its end */
#define SERVE_IDLE_MS       30000 /* between requests */
#define SERVE_STALL_MS      30000 /* to take SERVE_STALL_BYTES of a reply */
#define SERVE_STALL_BYTES   65536
#define SERVE_BODY_BPS      8192 /* a body comes at least this fast, after SERVE_HEAD_MS of grace */
#define SERVE_WAIT_MS       60000 /* for store, ledger or till */
#define SERVE_LINGER_MS     2000  /* for a refused client to read why */
#define SERVE_SLOW_MS       500   /* a reply that takes longer gets a small kernel buffer */
#define SERVE_NOTSENT_BYTES 262144
#define SERVE_REQUESTS_MAX  100000 /* on one connection */
#define SERVE_READ_BYTES    16384

#define SERVE_TICK_MS     100
#define SERVE_WHEEL_SLOTS 256

enum serve_conn_state {
    SERVE_READING,
    SERVE_WAITING,
    SERVE_WRITING,
    SERVE_LINGERING,
    SERVE_CLOSED
};
struct serve_conn {
    struct serve_thread *thread;
    struct serve_conn *next, *previous; /* in its slot of the wheel */
    uint64_t deadline_ms, slot;
    uint64_t began_ms;       /* of the body or reply */
    uint64_t sent, progress; /* of head and body; at the last look */
    int fd;
    uint8_t state;
    bool readable, writable, ended, continued, slow;
    uint32_t served;
    struct serve_http1 parser;
    struct rr_buf input; /* read, but not parsed: a later request of a pipeline */
    size_t input_at;
    struct serve_request *request;
};
struct serve_thread {
    struct rr_serve *serve;
    unsigned index;
    pthread_t id;
    int epoll, wake, listener;
    bool listens, draining;
    uint64_t now_ms, accept_after_ms, renew_ms;
    uint64_t tick; /* all slots up to it are done */
    struct serve_conn *slots[SERVE_WHEEL_SLOTS];
    uint32_t connections, requests; /* alive */
    uint64_t date_second;
    char date[SERVE_DATE_BYTES];
    pthread_mutex_t done_lock;
    struct serve_request *done; /* woken, newest first; under done_lock */
    uint8_t scratch[SERVE_READ_BYTES];
};
/* The value of Date. */
const char *serve_thread_date(struct serve_thread *thread);

/* ---- wheel ---------------------------------------------------------------------------- */
void serve_wheel_add(struct serve_conn *conn, uint64_t deadline_ms);
void serve_wheel_remove(struct serve_conn *conn);
/* Later: costs nothing now. Earlier: moves it. */
void serve_wheel_move(struct serve_conn *conn, uint64_t deadline_ms);
/* Calls expired for each connection whose time has come; it may remove that one. */
void serve_wheel_turn(struct serve_thread *thread, void (*expired)(struct serve_conn *conn));
/* Calls visit for each; it may remove that one. */
void serve_wheel_visit(struct serve_thread *thread, void (*visit)(struct serve_conn *conn));

/* ---- connections ---------------------------------------------------------------------- */
void serve_conn_accept(struct serve_thread *thread, int fd); /* takes fd */
void serve_conn_event(struct serve_conn *conn, uint32_t events);
/* Goes on as far as it can; may destroy conn. */
void serve_conn_run(struct serve_conn *conn);
void serve_conn_expired(struct serve_conn *conn);
void serve_conn_drain(struct serve_conn *conn); /* closes it when nothing is going on */
void serve_conn_destroy(struct serve_conn *conn);
#endif
