/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets of the RTMP door: a few strangers at a time, one publisher. */
#include "transcode/ingest/ingest.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEERS_MAX  16
#define READ_BYTES 65536
#define REPLY_MAX  65536
#define GREET_MS   15000 /* from connecting to publishing */
#define LEAVE_MS   2000

struct peer {
    int fd; /* -1: none */
    struct rtmp *rtmp;
    struct rr_buf reply;
    uint64_t deadline_ms;
    bool publishes;
    bool asks;   /* waits to be let in */
    bool leaves; /* has ended its stream */
    char who[80];
};

static uint64_t now_ms(void)
{
    return rr_monotonic_us(rr_clock_system()) / 1000;
}

static int open_listener(struct ingest *ingest, uint16_t *port)
{
    const struct transcode_ingest *config = &ingest->config;
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    char service[8];
    int one = 1;
    snprintf(service, sizeof service, "%u", config->port);
    if (getaddrinfo(config->address, service, &hints, &found) != 0) {
        ingest_tell(ingest, INGEST_FAILED, 0, "'%.100s' is not an IP address", config->address);
        _exit(1);
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, PEERS_MAX) != 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &len) != 0 ||
        getnameinfo((struct sockaddr *)&bound, len, NULL, 0, service, sizeof service,
                    NI_NUMERICSERV) != 0) {
        ingest_tell(ingest, INGEST_FAILED, 0, "TCP %.100s port %u cannot be listened at: %s",
                    config->address, config->port, strerror(errno));
        _exit(1);
    }
    unsigned value = 0;
    for (const char *p = service; *p != 0; p++) {
        value = value * 10 + (unsigned)(*p - '0');
    }
    *port = (uint16_t)value;
    freeaddrinfo(found);
    return fd;
}

static void drop(struct ingest *ingest, struct peer *peer, const char *why)
{
    if (peer->publishes) {
        ingest_ended(ingest, why);
    } else if (why[0] != 0) {
        ingest_tell(ingest, INGEST_REFUSED, 0, "%s: %s", peer->who, why);
    }
    /* What is said last should arrive; nobody waits for it. */
    (void)!send(peer->fd, peer->reply.ptr, peer->reply.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(peer->fd, SHUT_WR);
    close(peer->fd);
    rtmp_free(peer->rtmp);
    rr_buf_clear(&peer->reply);
    *peer = (struct peer){.fd = -1};
}

/* A free place; when there is none, that of whoever has tried longest to become a publisher, so
 * that idle connections keep nobody out. NULL: all have the key and wait to publish. */
static struct peer *find_place(struct ingest *ingest, struct peer *peers)
{
    struct peer *oldest = NULL;
    for (unsigned i = 0; i < PEERS_MAX; i++) {
        if (peers[i].fd < 0) {
            return &peers[i];
        }
        if (!peers[i].publishes && !peers[i].asks &&
            (oldest == NULL || peers[i].deadline_ms < oldest->deadline_ms)) {
            oldest = &peers[i];
        }
    }
    if (oldest != NULL) {
        drop(ingest, oldest, oldest->leaves ? "" : "it did not publish, and others want its place");
    }
    return oldest;
}

static void let_in(struct ingest *ingest, struct peer *peers, int listener)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    char host[64] = "?", service[8] = "?";
    int one = 1;
    int fd = accept4(listener, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    (void)getnameinfo((struct sockaddr *)&from, len, host, sizeof host, service, sizeof service,
                      NI_NUMERICHOST | NI_NUMERICSERV);
    struct peer *peer = find_place(ingest, peers);
    if (peer == NULL) {
        ingest_tell(ingest, INGEST_REFUSED, 0, "%s port %s: too many connections", host, service);
        close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    peer->fd = fd;
    peer->rtmp = rtmp_new(ingest->config.name, ingest->config.key);
    peer->deadline_ms = now_ms() + GREET_MS;
    snprintf(peer->who, sizeof peer->who, "%s port %s", host, service);
}

/* Whoever comes while the job still finishes what the one before sent waits for it. */
static enum rtmp_state admit(struct ingest *ingest, struct peer *peer, struct rr_buf *media)
{
    peer->asks = !ingest->active && !ingest->armed;
    if (peer->asks) {
        return RTMP_ASKS;
    }
    bool yes = ingest_free(ingest);
    rtmp_admit(peer->rtmp, yes, &peer->reply, media);
    if (yes) {
        peer->publishes = true;
        ingest_began(ingest, peer->who);
    }
    return rtmp_feed(peer->rtmp, rr_slice_of("", 0), &peer->reply, media);
}

static void settle(struct ingest *ingest, struct peer *peer, enum rtmp_state state,
                   struct rr_buf *media)
{
    state = state == RTMP_ASKS ? admit(ingest, peer, media) : state;
    if (peer->publishes && media->len > 0) {
        ingest_write(ingest, rr_buf_slice(media));
        peer->deadline_ms = now_ms() + INGEST_MEDIA_MS;
    }
    if (state == RTMP_BROKEN) {
        drop(ingest, peer, rtmp_why(peer->rtmp));
    } else if (state == RTMP_ENDED && peer->publishes) {
        /* It closes when it is done; till then it is heard, so that nothing of ours is reset. */
        ingest_ended(ingest, "it ended the stream");
        peer->publishes = false;
        peer->deadline_ms = now_ms() + LEAVE_MS;
        peer->leaves = true;
    } else if (peer->reply.len > REPLY_MAX) {
        drop(ingest, peer, "it does not read what it is answered");
    }
}

static void take(struct ingest *ingest, struct peer *peer)
{
    static uint8_t bytes[READ_BYTES];
    struct rr_buf media = {0};
    ssize_t len = recv(peer->fd, bytes, sizeof bytes, 0);
    if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (len <= 0) {
        drop(ingest, peer, peer->publishes ? "the connection ended" : "");
        return;
    }
    if (peer->leaves) {
        return;
    }
    settle(ingest, peer,
           rtmp_feed(peer->rtmp, rr_slice_of(bytes, (size_t)len), &peer->reply, &media), &media);
    rr_buf_clear(&media);
}

static void answer(struct peer *peer)
{
    ssize_t sent = send(peer->fd, peer->reply.ptr, peer->reply.len, MSG_NOSIGNAL);
    if (sent > 0) {
        peer->reply.len -= (size_t)sent;
        memmove(peer->reply.ptr, peer->reply.ptr + sent, peer->reply.len);
    }
}

static void check(struct ingest *ingest, struct peer *peer)
{
    if (peer->fd >= 0 && peer->publishes && (ingest->drop || ingest->spool_bad)) {
        drop(ingest, peer, ingest->drop ? "it was ended here" : "the spool takes no more");
    } else if (peer->fd >= 0 && now_ms() > peer->deadline_ms) {
        drop(ingest, peer,
             peer->publishes ? "it sends nothing any more"
             : peer->leaves  ? ""
                             : "it did not publish");
    } else if (peer->fd >= 0 && peer->asks && (ingest->armed || ingest->active)) {
        struct rr_buf media = {0};
        settle(ingest, peer, RTMP_ASKS, &media);
        rr_buf_clear(&media);
    }
}

void ingest_rtmp(struct ingest *ingest)
{
    static struct peer peers[PEERS_MAX];
    uint16_t port = 0;
    int listener = open_listener(ingest, &port);
    for (unsigned i = 0; i < PEERS_MAX; i++) {
        peers[i].fd = -1;
    }
    ingest_lock_down();
    ingest_tell(ingest, INGEST_HELLO, port, "RTMP");
    for (;;) {
        struct pollfd ready[2 + PEERS_MAX] = {{.fd = ingest->control, .events = POLLIN},
                                              {.fd = listener, .events = POLLIN}};
        for (unsigned i = 0; i < PEERS_MAX; i++) {
            bool reads = !peers[i].asks && (!peers[i].publishes || ingest_room(ingest));
            ready[2 + i] = (struct pollfd){
                .fd = peers[i].fd,
                .events = (short)((reads ? POLLIN : 0) | (peers[i].reply.len > 0 ? POLLOUT : 0))};
        }
        (void)poll(ready, 2 + PEERS_MAX, 50);
        ingest_hear(ingest);
        for (unsigned i = 0; i < PEERS_MAX; i++) {
            if (ready[2 + i].fd >= 0 && (ready[2 + i].revents & ~POLLOUT) != 0) {
                take(ingest, &peers[i]);
            }
            if (peers[i].fd >= 0 && peers[i].reply.len > 0) {
                answer(&peers[i]);
            }
            check(ingest, &peers[i]);
        }
        /* Last: a place that changes hands has nothing of this poll. */
        if (ready[1].revents != 0) {
            let_in(ingest, peers, listener);
        }
    }
}
