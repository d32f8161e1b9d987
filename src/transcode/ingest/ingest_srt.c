/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The SRT door: libsrt listens, one publisher at a time, MPEG-TS inside as it comes. */
#include "transcode/ingest/ingest.h"
#include <netdb.h>
#include <srt/access_control.h>
#include <srt/srt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG     4
#define READ_BYTES  1500 /* a message of live mode */
#define KEY_BYTES   16
#define SMOOTH_MS   20
#define WRITE_BYTES 65536

static uint64_t now_ms(void)
{
    return rr_monotonic_us(rr_clock_system()) / 1000;
}

static void fail(struct ingest *ingest, const char *what)
{
    ingest_tell(ingest, INGEST_FAILED, 0, "%s %.100s port %u: %.100s", what, ingest->config.address,
                ingest->config.port, srt_getlasterror_str());
    _exit(1);
}

/* On libsrt's thread, before a stranger is answered. A right passphrase is seen to by libsrt. */
static int judge(void *ctx, SRTSOCKET socket, int version, const struct sockaddr *peer,
                 const char *stream_id)
{
    const struct ingest *ingest = ctx;
    (void)version;
    (void)peer;
    if (ingest->config.name[0] != 0 && strcmp(ingest->config.name, stream_id) != 0) {
        srt_setrejectreason(socket, SRT_REJX_FORBIDDEN);
        return -1;
    }
    return 0;
}

static SRTSOCKET open_listener(struct ingest *ingest, uint16_t *port)
{
    const struct transcode_ingest *config = &ingest->config;
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                             .ai_socktype = SOCK_DGRAM};
    struct addrinfo *found = NULL;
    struct sockaddr_storage bound;
    int len = sizeof bound, key_len = KEY_BYTES, latency = (int)config->latency_ms;
    bool yes = true, no = false;
    char service[8];
    snprintf(service, sizeof service, "%u", config->port);
    if (getaddrinfo(config->address, service, &hints, &found) != 0) {
        ingest_tell(ingest, INGEST_FAILED, 0, "'%.100s' is not an IP address", config->address);
        _exit(1);
    }
    SRTSOCKET listener = srt_create_socket();
    if (listener == SRT_INVALID_SOCK ||
        srt_setsockflag(listener, SRTO_LATENCY, &latency, sizeof latency) != 0 ||
        srt_setsockflag(listener, SRTO_RCVSYN, &no, sizeof no) != 0 ||
        srt_setsockflag(listener, SRTO_ENFORCEDENCRYPTION, &yes, sizeof yes) != 0) {
        fail(ingest, "SRT cannot be set up at");
    }
    if (config->key[0] != 0 &&
        (srt_setsockflag(listener, SRTO_PBKEYLEN, &key_len, sizeof key_len) != 0 ||
         srt_setsockflag(listener, SRTO_PASSPHRASE, config->key, (int)strlen(config->key)) != 0)) {
        fail(ingest, "SRT does not take the passphrase at");
    }
    if (srt_bind(listener, found->ai_addr, (int)found->ai_addrlen) != 0 ||
        srt_listen_callback(listener, judge, ingest) != 0 || srt_listen(listener, BACKLOG) != 0 ||
        srt_getsockname(listener, (struct sockaddr *)&bound, &len) != 0 ||
        getnameinfo((struct sockaddr *)&bound, (socklen_t)len, NULL, 0, service, sizeof service,
                    NI_NUMERICSERV) != 0) {
        fail(ingest, "UDP cannot be listened at");
    }
    unsigned value = 0;
    for (const char *p = service; *p != 0; p++) {
        value = value * 10 + (unsigned)(*p - '0');
    }
    *port = (uint16_t)value;
    freeaddrinfo(found);
    return listener;
}

struct door {
    struct ingest *ingest;
    SRTSOCKET listener, peer; /* SRT_INVALID_SOCK: nobody */
    int epoll;
    bool began;
    uint64_t heard_ms;
    char who[80];
};

static void drop(struct door *door, const char *why)
{
    srt_close(door->peer);
    door->peer = SRT_INVALID_SOCK;
    if (door->began) {
        ingest_ended(door->ingest, why);
    } else {
        ingest_tell(door->ingest, INGEST_REFUSED, 0, "%s: %s", door->who, why);
    }
    door->began = false;
}

static void let_in(struct door *door)
{
    struct sockaddr_storage from;
    int len = sizeof from, events = SRT_EPOLL_IN | SRT_EPOLL_ERR;
    char host[64] = "?", service[8] = "?";
    SRTSOCKET peer = srt_accept(door->listener, (struct sockaddr *)&from, &len);
    if (peer == SRT_INVALID_SOCK) {
        return;
    }
    (void)getnameinfo((struct sockaddr *)&from, (socklen_t)len, host, sizeof host, service,
                      sizeof service, NI_NUMERICHOST | NI_NUMERICSERV);
    if (door->peer != SRT_INVALID_SOCK) {
        ingest_tell(door->ingest, INGEST_REFUSED, 0, "%s port %s: somebody publishes already", host,
                    service);
        srt_close(peer);
        return;
    }
    door->peer = peer;
    door->began = false;
    door->heard_ms = now_ms();
    snprintf(door->who, sizeof door->who, "%s port %s", host, service);
    srt_epoll_add_usock(door->epoll, peer, &events);
}

/* All that is there, up to a limit. */
static void take(struct door *door)
{
    static uint8_t bytes[WRITE_BYTES];
    size_t used = 0;
    int got = 0;
    while (used + READ_BYTES <= sizeof bytes) {
        got = srt_recvmsg(door->peer, (char *)bytes + used, READ_BYTES);
        if (got <= 0) {
            break;
        }
        used += (size_t)got;
    }
    if (used > 0) {
        door->heard_ms = now_ms();
        if (!door->began) {
            door->began = true;
            ingest_began(door->ingest, door->who);
        }
        ingest_write(door->ingest, rr_slice_of(bytes, used));
    }
    if (got == 0 || (got < 0 && srt_getlasterror(NULL) != SRT_EASYNCRCV)) {
        drop(door, "the connection ended");
    }
}

void ingest_srt(struct ingest *ingest)
{
    struct door door = {.ingest = ingest, .peer = SRT_INVALID_SOCK};
    uint16_t port = 0;
    int events = SRT_EPOLL_IN | SRT_EPOLL_ERR;
    srt_startup();
    srt_setloglevel(0);
    door.listener = open_listener(ingest, &port);
    door.epoll = srt_epoll_create();
    srt_epoll_add_usock(door.epoll, door.listener, &events);
    ingest_lock_down();
    ingest_tell(ingest, INGEST_HELLO, port, "SRT");
    for (;;) {
        SRT_EPOLL_EVENT ready[4];
        int count = srt_epoll_uwait(door.epoll, ready, 4, SMOOTH_MS);
        ingest_hear(ingest);
        for (int i = 0; i < count; i++) {
            if (ready[i].fd == door.listener) {
                let_in(&door);
            }
        }
        if (door.peer == SRT_INVALID_SOCK) {
            continue;
        }
        if (ingest->drop || ingest->spool_bad) {
            drop(&door, ingest->drop ? "it was ended here" : "the spool takes no more");
        } else if (now_ms() - door.heard_ms > INGEST_MEDIA_MS) {
            drop(&door, door.began ? "it sends nothing any more" : "it sent nothing");
        } else if (door.began ? ingest_room(ingest) : ingest_free(ingest)) {
            take(&door);
        } else {
            door.heard_ms = now_ms(); /* it is we who wait */
            usleep(SMOOTH_MS * 1000);
        }
    }
}
