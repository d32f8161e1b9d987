/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reelrig-ingest: started by the job of a live input, talks to it over one socket. Not for people
 * to start. */
#include "transcode/ingest/ingest.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

void ingest_tell(struct ingest *ingest, uint8_t kind, uint16_t port, const char *format, ...)
{
    struct transcode_ingest_said said = {.port = port};
    struct rr_buf message = {0};
    va_list list;
    va_start(list, format);
    vsnprintf(said.text, sizeof said.text, format, list);
    va_end(list);
    transcode_encode_message(&message, kind, ingest_said, &said);
    if (!transcode_send(ingest->control, rr_buf_slice(&message), NULL, 0)) {
        _exit(0);
    }
    rr_buf_clear(&message);
}

static void close_spool(struct ingest *ingest)
{
    int *fds[3] = {&ingest->spool, &ingest->wakes[0], &ingest->wakes[1]};
    for (unsigned i = 0; i < 3; i++) {
        if (*fds[i] >= 0) {
            close(*fds[i]);
        }
        *fds[i] = -1;
    }
    ingest->armed = false;
}

static bool receive(struct ingest *ingest, int fds[static TRANSCODE_FDS_MAX], size_t *count)
{
    int got = transcode_receive(ingest->control, &ingest->message, fds, count);
    if (got <= 0) {
        _exit(0); /* the job is gone */
    }
    return true;
}

void ingest_hear(struct ingest *ingest)
{
    struct pollfd ready = {.fd = ingest->control, .events = POLLIN};
    while (poll(&ready, 1, 0) > 0) {
        int fds[TRANSCODE_FDS_MAX];
        size_t count = 0;
        receive(ingest, fds, &count);
        uint8_t kind = ingest->message.ptr[0];
        if (kind == INGEST_ARM && count == 3) {
            close_spool(ingest);
            ingest->spool = fds[0];
            ingest->wakes[0] = fds[1];
            ingest->wakes[1] = fds[2];
            ingest->armed = true;
            continue;
        }
        ingest->drop |= kind == INGEST_DROP && ingest->active;
        for (size_t i = 0; i < count; i++) {
            close(fds[i]);
        }
    }
}

bool ingest_free(const struct ingest *ingest)
{
    return ingest->armed && !ingest->active;
}

void ingest_began(struct ingest *ingest, const char *who)
{
    ingest->active = true;
    ingest->drop = ingest->spool_bad = false;
    ingest_tell(ingest, INGEST_BEGAN, 0, "%s", who);
}

bool ingest_room(const struct ingest *ingest)
{
    struct stat facts;
    return fstat(ingest->spool, &facts) != 0 ||
           (uint64_t)facts.st_blocks * 512 < INGEST_SPOOL_BYTES;
}

void ingest_write(struct ingest *ingest, struct rr_slice bytes)
{
    static const uint8_t byte = 0;
    size_t done = 0;
    while (done < bytes.len) {
        ssize_t put = write(ingest->spool, bytes.ptr + done, bytes.len - done);
        if (put < 0 && errno != EINTR) {
            ingest->spool_bad = true;
            return;
        }
        done += put > 0 ? (size_t)put : 0;
    }
    for (unsigned i = 0; i < 2 && bytes.len > 0; i++) {
        (void)!write(ingest->wakes[i], &byte, 1); /* full: there is a byte to wake by */
    }
}

void ingest_ended(struct ingest *ingest, const char *why)
{
    close_spool(ingest);
    ingest->active = ingest->drop = false;
    ingest_tell(ingest, INGEST_ENDED, 0, "%s", why);
}

int main(void)
{
    struct ingest ingest = {.control = TRANSCODE_SOCKET_FD, .spool = -1, .wakes = {-1, -1}};
    int fds[TRANSCODE_FDS_MAX];
    size_t count = 0;
    struct stat facts;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    signal(SIGPIPE, SIG_IGN);
    if (fstat(TRANSCODE_SOCKET_FD, &facts) != 0 || !S_ISSOCK(facts.st_mode)) {
        static const char usage[] = "reelrig-ingest is started by reelrig live\n";
        return write(STDERR_FILENO, usage, sizeof usage - 1) > 0 ? 2 : 1;
    }
    receive(&ingest, fds, &count);
    struct rr_slice body = rr_slice_of(ingest.message.ptr + 1, ingest.message.len - 1);
    if (ingest.message.ptr[0] != INGEST_START ||
        !transcode_decode_message(body, ingest, &ingest.config)) {
        return 2;
    }
    explicit_bzero(ingest.message.ptr, ingest.message.len);
    if (ingest.config.scheme == INGEST_SRT) {
        ingest_srt(&ingest);
    }
    ingest_rtmp(&ingest);
}
