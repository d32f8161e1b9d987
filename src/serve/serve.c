/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proof/proof.h"
#include "serve/serve_private.h"
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 64
#define BACKLOG     4096
/* Blocking calls at the same time: disks like a few, and sessions share one group commit. Ours. */
#define WORKERS 8
#define POLL_MS 5

/* ---- what the chain says -------------------------------------------------------------- */
static enum rr_err read_view(struct rr_serve *serve, struct serve_view *out, struct rr_fault *fault)
{
    const struct rr_genesis *genesis = serve->options.genesis;
    struct rr_chain *chain = serve->options.chain;
    if (chain == NULL) {
        return RR_OK;
    }
    struct serve_view view = {.checkpoint_height = 0};
    struct rr_puzzle_offer offer = {.s = genesis->certificate_hashes_per_s,
                                    .d = genesis->puzzle_blocks};
    rr_chain_tip(chain, &view.tip);
    offer.block_height = rr_proof_puzzle_height(genesis, view.tip.height);
    view.checkpoint_height = view.tip.height - view.tip.height % genesis->checkpoint_blocks;
    enum rr_err err = rr_chain_block_hash(chain, offer.block_height, &offer.block_hash, fault);
    if (err == RR_OK) {
        err = rr_chain_block_hash(chain, view.checkpoint_height, &view.checkpoint_hash, fault);
    }
    if (err == RR_OK) {
        rr_puzzle_offer_text(view.puzzle, &offer);
        *out = view;
    }
    return err;
}

static void renew_view(struct serve_job *job)
{
    struct rr_serve *serve = (struct rr_serve *)((char *)job - offsetof(struct rr_serve, view_job));
    struct rr_chain_tip tip;
    struct serve_view view;
    struct rr_fault fault;
    rr_chain_tip(serve->options.chain, &tip);
    pthread_mutex_lock(&serve->view_lock);
    bool same = rr_hash32_equal(&tip.hash, &serve->view.tip.hash);
    pthread_mutex_unlock(&serve->view_lock);
    if (!same &&
        read_view(serve, &view, &fault) == RR_OK) { /* else a block was taken back: next time */
        pthread_mutex_lock(&serve->view_lock);
        serve->view = view;
        pthread_mutex_unlock(&serve->view_lock);
    }
    atomic_store(&serve->view_busy, false);
}

void serve_view_get(struct rr_serve *serve, struct serve_view *out)
{
    pthread_mutex_lock(&serve->view_lock);
    *out = serve->view;
    pthread_mutex_unlock(&serve->view_lock);
}

void serve_view_renew(struct rr_serve *serve)
{
    if (serve->options.chain != NULL && !atomic_exchange(&serve->view_busy, true)) {
        serve->view_job.work = renew_view;
        if (!serve_workers_submit(serve->workers, &serve->view_job)) {
            atomic_store(&serve->view_busy, false);
        }
    }
}

/* ---- sockets -------------------------------------------------------------------------- */
static enum rr_err bind_fault(struct rr_fault *fault, const struct rr_serve_options *options,
                              unsigned port)
{
    if (errno == EADDRINUSE) {
        return rr_fail(
            fault, RR_ERR_BUSY,
            "%s port %u is in use by another program; stop it, or set another serve.port",
            options->address, port);
    }
    if (errno == EACCES) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED,
                       "%s port %u may not be opened by this user; set a serve.port above 1023",
                       options->address, port);
    }
    return rr_fail_errno(fault,
                         "cannot listen on %s port %u; set serve.address to one of this machine",
                         options->address, port);
}

/* A bound socket; shared: with SO_REUSEPORT, so that others of ours can bind it too. */
static enum rr_err open_socket(int *out, const struct rr_serve_options *options, uint16_t port,
                               bool shared, struct rr_fault *fault)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char service[8];
    int one = 1;
    snprintf(service, sizeof(service), "%u", port);
    if (getaddrinfo(options->address, service, &hints, &found) != 0) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "'%s' is not an IP address; serve.address takes one, as 127.0.0.1 or ::1",
                       options->address);
    }
    enum rr_err err = RR_OK;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0) ||
        bind(fd, found->ai_addr, found->ai_addrlen) != 0) {
        err = bind_fault(fault, options, port);
        if (fd >= 0) {
            close(fd);
        }
    } else {
        *out = fd;
    }
    freeaddrinfo(found);
    return err;
}

static enum rr_err port_of(int fd, uint16_t *out, struct rr_fault *fault)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    char service[8];
    uint64_t port;
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0 ||
        getnameinfo((struct sockaddr *)&address, len, NULL, 0, service, sizeof(service),
                    NI_NUMERICSERV) != 0 ||
        !serve_text_number(&port, rr_slice_str(service), UINT16_MAX)) {
        return rr_fail_errno(fault, "cannot read the port of a listening socket");
    }
    *out = (uint16_t)port;
    return RR_OK;
}

static void close_all(int *listeners, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (listeners[i] >= 0) {
            close(listeners[i]);
            listeners[i] = -1;
        }
    }
}

/* Another process of this user could share a port through SO_REUSEPORT unseen; a socket that
 * listens without it, for a moment, finds out. */
static enum rr_err check_unused(const struct rr_serve_options *options, struct rr_fault *fault)
{
    int fd;
    if (options->port == 0) {
        return RR_OK;
    }
    enum rr_err err = open_socket(&fd, options, options->port, false, fault);
    if (err == RR_OK) {
        close(fd);
    }
    return err;
}

static enum rr_err listen_all(struct rr_serve *serve, int *listeners, struct rr_fault *fault)
{
    const struct rr_serve_options *options = &serve->options;
    serve->port = options->port;
    enum rr_err err = check_unused(options, fault);
    for (unsigned i = 0; i < options->threads && err == RR_OK; i++) {
        err = open_socket(&listeners[i], options, serve->port, options->threads > 1, fault);
        if (err == RR_OK && i == 0) {
            err = port_of(listeners[0], &serve->port, fault);
        }
        if (err == RR_OK && listen(listeners[i], BACKLOG) != 0) {
            err = bind_fault(fault, options, serve->port);
        }
    }
    return err;
}

/* ---- start and stop ------------------------------------------------------------------- */
static enum rr_err start_threads(struct rr_serve *serve, struct rr_fault *fault)
{
    int listeners[THREADS_MAX];
    unsigned started = 0;
    for (unsigned i = 0; i < THREADS_MAX; i++) {
        listeners[i] = -1;
    }
    enum rr_err err = listen_all(serve, listeners, fault);
    while (err == RR_OK && started < serve->options.threads) {
        serve->threads[started] = serve_thread_start(serve, started, listeners[started]);
        if (serve->threads[started] == NULL) {
            err = rr_fail(fault, RR_ERR_MEMORY,
                          "cannot start serving thread %u; see ulimit -u and -n", started);
        } else {
            listeners[started++] = -1; /* the thread's from now on */
        }
    }
    close_all(listeners, THREADS_MAX);
    return err;
}

static void clear(struct rr_serve *serve)
{
    serve_workers_free(serve->workers);
    serve_cache_free(serve->cache);
    serve_resources_free(serve->resources);
    serve_blob_unref(serve->genesis);
    pthread_mutex_destroy(&serve->view_lock);
    rr_free(serve->threads);
    rr_free(serve);
}

enum rr_err rr_serve_start(struct rr_serve **out, const struct rr_serve_options *options,
                           struct rr_fault *fault)
{
    struct rr_buf genesis = {0};
    if (options->threads < 1 || options->threads > THREADS_MAX) {
        return rr_fail(fault, RR_ERR_USAGE, "serve.threads is %u; 1 to %d are possible",
                       options->threads, THREADS_MAX);
    }
    struct rr_serve *serve = rr_alloc(sizeof(*serve));
    serve->options = *options;
    serve->threads = rr_alloc_array(options->threads, sizeof(struct serve_thread *));
    if (options->genesis != NULL) {
        rr_genesis_hash(&serve->genesis_hash, options->genesis);
        serve->chain_id = rr_genesis_chain_id(options->genesis);
        rr_genesis_encode(&genesis, options->genesis);
    }
    serve->genesis = serve_blob_new(&genesis);
    RR_CHECK(pthread_mutex_init(&serve->view_lock, NULL) == 0);
    serve->resources = serve_resources_new(&serve->options);
    serve->workers = serve_workers_new(WORKERS);
    enum rr_err err = RR_OK;
    if (serve->workers == NULL) {
        err = rr_fail(fault, RR_ERR_MEMORY, "cannot start threads for serving; see ulimit -u");
    } else {
        serve->cache = serve_cache_new(options->store, serve->workers, options->cache_bytes);
        err = read_view(serve, &serve->view, fault);
    }
    if (err == RR_OK) {
        err = start_threads(serve, fault);
    }
    if (err != RR_OK) {
        rr_serve_stop(serve, 0);
        return err;
    }
    *out = serve;
    return RR_OK;
}

static void wait_drained(struct rr_serve *serve, uint64_t drain_ms)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000};
    uint64_t until_us = rr_monotonic_us(rr_clock_system()) + drain_ms * 1000;
    while (atomic_load(&serve->counts.connections) > 0 &&
           rr_monotonic_us(rr_clock_system()) < until_us) {
        nanosleep(&pause, NULL);
    }
}

void rr_serve_stop(struct rr_serve *serve, uint64_t drain_ms)
{
    if (serve == NULL) {
        return;
    }
    atomic_store(&serve->stopping, true);
    if (serve->options.live != NULL) {
        serve_live_stop(serve->options.live);
    }
    for (unsigned i = 0; i < serve->options.threads && serve->threads[i] != NULL; i++) {
        serve_thread_nudge(serve->threads[i]);
    }
    wait_drained(serve, drain_ms);
    atomic_store(&serve->force, true);
    for (unsigned i = 0; i < serve->options.threads && serve->threads[i] != NULL; i++) {
        serve_thread_nudge(serve->threads[i]);
        serve_thread_join(serve->threads[i]);
    }
    clear(serve);
}

/* ---- the rest of the door ------------------------------------------------------------- */
uint16_t rr_serve_port(const struct rr_serve *serve)
{
    return serve->port;
}

void rr_serve_forget(struct rr_serve *serve, const struct rr_hash32 *resource_id)
{
    serve_resources_forget(serve->resources, resource_id);
}

void rr_serve_stats(struct rr_serve *serve, struct rr_serve_stats *out)
{
    const struct serve_counts *counts = &serve->counts;
    *out = (struct rr_serve_stats){
        .requests = atomic_load(&counts->requests),
        .bytes = atomic_load(&counts->bytes),
        .segments = atomic_load(&counts->segments),
        .connections = atomic_load(&counts->connections),
        .not_found = atomic_load(&counts->not_found),
        .payment_required = atomic_load(&counts->payment_required),
        .bad_requests = atomic_load(&counts->bad_requests),
    };
    serve_cache_stats(serve->cache, &out->cache_hits, &out->cache_misses);
}
