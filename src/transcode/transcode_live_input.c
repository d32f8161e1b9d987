/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where live bytes come from: reelrig-ingest fills a spool in memory, or a file grows. Either way
 * readers follow a file: at its end they wait for a byte in their pipe, and a closed pipe is the
 * end. */
#include "transcode/transcode_live_private.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define INGEST_NAME   "reelrig-ingest"
#define START_MS      20000
#define PUNCH_BYTES   (UINT64_C(1) << 20)
#define PROBE_SECONDS 120

/* ---- addresses ------------------------------------------------------------------------ */

static bool copy_text(char to[static INGEST_TEXT_MAX + 1], const char *from, size_t len)
{
    if (len > INGEST_TEXT_MAX) {
        return false;
    }
    memcpy(to, from, len);
    to[len] = 0;
    return true;
}

static bool read_port(uint16_t *out, const char *text, size_t len)
{
    unsigned value = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || i > 4) {
            return false;
        }
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    *out = (uint16_t)value;
    return len > 0 && value <= UINT16_MAX;
}

/* "0.0.0.0:1935" or "[::1]:1935". */
static bool read_place(struct transcode_ingest *out, const char *text, size_t len)
{
    size_t colon = len;
    while (colon > 0 && text[colon - 1] != ':') {
        colon--;
    }
    if (colon == 0 || !read_port(&out->port, text + colon, len - colon)) {
        return false;
    }
    size_t end = colon - 1;
    bool six = end > 1 && text[0] == '[' && text[end - 1] == ']';
    return end > 0 && copy_text(out->address, text + (six ? 1 : 0), six ? end - 2 : end);
}

static bool read_srt_options(struct transcode_ingest *out, const char *text)
{
    while (*text != 0) {
        size_t len = strcspn(text, "&");
        const char *value = memchr(text, '=', len);
        size_t name = value != NULL ? (size_t)(value - text) : len;
        size_t rest = value != NULL ? len - name - 1 : 0;
        bool good = false;
        if (name == 10 && memcmp(text, "passphrase", 10) == 0) {
            good = rest >= 10 && rest <= 79 && copy_text(out->key, value + 1, rest);
        } else if (name == 8 && memcmp(text, "streamid", 8) == 0) {
            good = rest > 0 && copy_text(out->name, value + 1, rest);
        } else if (name == 7 && memcmp(text, "latency", 7) == 0) {
            uint16_t ms = 0;
            good = rest > 0 && read_port(&ms, value + 1, rest) && ms <= 10000;
            out->latency_ms = ms;
        } else if (name == 4 && memcmp(text, "mode", 4) == 0) {
            good = rest == 8 && memcmp(value + 1, "listener", 8) == 0;
        }
        if (!good) {
            return false;
        }
        text += len + (text[len] == '&' ? 1 : 0);
    }
    return true;
}

/* RR_OK with scheme 0: a file. */
static enum rr_err read_address(struct transcode_ingest *out, const char *text,
                                struct rr_fault *fault)
{
    *out = (struct transcode_ingest){.latency_ms = 120};
    if (strncmp(text, "srt://", 6) == 0) {
        const char *place = text + 6;
        size_t len = strcspn(place, "?/");
        const char *options = place + len + (place[len] == '/' ? 1 : 0);
        out->scheme = INGEST_SRT;
        if (!read_place(out, place, len) ||
            !(*options == 0 || (*options == '?' && read_srt_options(out, options + 1)))) {
            return rr_fail(fault, RR_ERR_USAGE,
                           "an SRT input is srt://ADDRESS:PORT, then ?passphrase= of 10 to 79 "
                           "characters, &streamid= and &latency= of at most 10000 ms as wanted");
        }
    } else if (strncmp(text, "rtmp://", 7) == 0) {
        const char *place = text + 7;
        size_t len = strcspn(place, "/");
        const char *app = place + len + (place[len] == '/' ? 1 : 0);
        const char *slash = strrchr(app, '/');
        out->scheme = INGEST_RTMP;
        if (!read_place(out, place, len) || slash == NULL || slash == app || slash[1] == 0 ||
            !copy_text(out->name, app, (size_t)(slash - app)) ||
            !copy_text(out->key, slash + 1, strlen(slash + 1))) {
            return rr_fail(fault, RR_ERR_USAGE,
                           "an RTMP input is rtmp://ADDRESS:PORT/APP/KEY: who does not know APP "
                           "and KEY may not publish");
        }
    } else if (strstr(text, "://") != NULL) {
        return rr_fail(fault, RR_ERR_USAGE, "%.64s: srt://, rtmp:// and files are known", text);
    }
    return RR_OK;
}

/* ---- the ingest process --------------------------------------------------------------- */

static enum rr_err find_ingest(char out[static RR_PATH_BYTES], const struct live *live,
                               struct rr_fault *fault)
{
    char own[RR_PATH_BYTES];
    const char *named =
        live->given->ingest_path != NULL ? live->given->ingest_path : getenv("RR_INGEST");
    ssize_t len = readlink("/proc/self/exe", own, sizeof own - 1);
    own[len > 0 ? len : 0] = 0;
    char *slash = strrchr(own, '/');
    if (slash != NULL) {
        *slash = 0;
    }
    enum rr_err err = named != NULL ? rr_path(out, fault, "%s", named)
                                    : rr_path(out, fault, "%s/" INGEST_NAME, own);
    if (err == RR_OK && access(out, X_OK) != 0) {
        err = rr_fail(fault, RR_ERR_STATE,
                      "no program at %.200s; install " INGEST_NAME " there or set RR_INGEST", out);
    }
    return err;
}

static enum rr_err launch(struct live *live, struct rr_fault *fault)
{
    struct live_input *input = &live->input;
    char path[RR_PATH_BYTES], name[] = INGEST_NAME;
    char *const arguments[] = {name, NULL};
    char *environment[3] = {NULL}, options[2][256];
    static const char *const kept[] = {"ASAN_OPTIONS", "UBSAN_OPTIONS"};
    posix_spawn_file_actions_t actions;
    int pair[2];
    size_t used = 0;
    enum rr_err err = find_ingest(path, live, fault);
    if (err != RR_OK) {
        return err;
    }
    for (size_t i = 0; i < RR_COUNT(kept); i++) {
        const char *value = getenv(kept[i]);
        if (value != NULL &&
            snprintf(options[used], sizeof options[0], "%s=%s", kept[i], value) < 256) {
            environment[used] = options[used];
            used++;
        }
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return rr_fail_errno(fault, "no socket for %s", INGEST_NAME);
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pair[1], TRANSCODE_SOCKET_FD);
    int rc = posix_spawn(&input->pid, path, &actions, NULL, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    close(pair[1]);
    if (rc != 0) {
        close(pair[0]);
        input->pid = 0;
        errno = rc;
        return rr_fail_errno(fault, "%.200s does not start", path);
    }
    input->control = pair[0];
    return RR_OK;
}

static enum rr_err hear(struct live_input *input, uint8_t *kind, struct transcode_ingest_said *said,
                        struct rr_fault *fault)
{
    int fds[TRANSCODE_FDS_MAX];
    size_t count = 0;
    int got = transcode_receive(input->control, &input->message, fds, &count);
    for (size_t i = 0; i < count; i++) {
        close(fds[i]);
    }
    if (got <= 0) {
        return rr_fail(fault, RR_ERR_UNREACHABLE, "%s ended", INGEST_NAME);
    }
    *kind = input->message.ptr[0];
    struct rr_slice body = rr_slice_of(input->message.ptr + 1, input->message.len - 1);
    return transcode_decode_message(body, ingest_said, said)
               ? RR_OK
               : rr_fail(fault, RR_ERR_DAMAGED, "%s speaks another form", INGEST_NAME);
}

static enum rr_err start_ingest(struct live *live, struct transcode_ingest *config,
                                struct rr_fault *fault)
{
    struct live_input *input = &live->input;
    struct transcode_ingest_said said = {0};
    struct rr_buf message = {0};
    uint8_t kind = 0;
    enum rr_err err = launch(live, fault);
    if (err != RR_OK) {
        return err;
    }
    transcode_encode_message(&message, INGEST_START, ingest, config);
    bool sent = transcode_send(input->control, rr_buf_slice(&message), NULL, 0);
    rr_buf_clear(&message);
    struct pollfd ready = {.fd = input->control, .events = POLLIN};
    if (!sent || poll(&ready, 1, START_MS) <= 0) {
        return rr_fail(fault, RR_ERR_STATE, "%s does not answer", INGEST_NAME);
    }
    err = hear(input, &kind, &said, fault);
    if (err == RR_OK && kind == INGEST_FAILED) {
        err = rr_fail(fault, RR_ERR_BUSY, "%s", said.text);
    } else if (err == RR_OK && kind != INGEST_HELLO) {
        err = rr_fail(fault, RR_ERR_STATE, "%s speaks another version", INGEST_NAME);
    }
    if (err == RR_OK) {
        live->sink->listening(live->sink->ctx, said.port);
    }
    return err;
}

/* ---- open, close ---------------------------------------------------------------------- */

static enum rr_err open_file(struct live_input *input, const char *path, struct rr_fault *fault)
{
    struct stat facts;
    input->spool = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (input->spool < 0) {
        return rr_fail_errno(fault, "%.200s cannot be opened", path);
    }
    if (fstat(input->spool, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        return rr_fail(fault, RR_ERR_USAGE, "%.200s is not a regular file", path);
    }
    return RR_OK;
}

enum rr_err live_input_open(struct live *live, struct rr_fault *fault)
{
    struct live_input *input = &live->input;
    struct transcode_ingest config;
    *input =
        (struct live_input){.control = -1, .spool = -1, .wakes = {-1, -1}, .readers = {-1, -1}};
    enum rr_err err = read_address(&config, live->given->input, fault);
    if (err == RR_OK) {
        input->network = config.scheme != 0;
        err = input->network ? start_ingest(live, &config, fault)
                             : open_file(input, live->given->input, fault);
    }
    explicit_bzero(&config, sizeof config);
    return err;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

void live_input_close(struct live_input *input)
{
    if (input->pid > 0) {
        kill(input->pid, SIGKILL);
        while (waitpid(input->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        input->pid = 0;
    }
    close_fd(&input->control);
    close_fd(&input->spool);
    for (unsigned i = 0; i < 2; i++) {
        close_fd(&input->wakes[i]);
        close_fd(&input->readers[i]);
    }
    rr_buf_clear(&input->message);
}

enum rr_err live_input_arm(struct live *live, struct rr_fault *fault)
{
    struct live_input *input = &live->input;
    struct rr_buf message = {0};
    struct transcode_ingest_said none = {0};
    for (unsigned i = 0; i < 2; i++) {
        int ends[2];
        close_fd(&input->wakes[i]);
        close_fd(&input->readers[i]);
        if (pipe2(ends, O_CLOEXEC) != 0) {
            return rr_fail_errno(fault, "no pipe for a live input");
        }
        input->readers[i] = ends[0];
        input->wakes[i] = ends[1];
        fcntl(ends[1], F_SETFL, O_NONBLOCK);
        input->read[i] = 0;
        input->listens[i] = false;
    }
    input->state = LIVE_INPUT_IDLE;
    input->punched = 0;
    if (!input->network) {
        input->state = LIVE_INPUT_BEGAN;
        input->grown_us = rr_monotonic_us(rr_clock_system());
        return RR_OK;
    }
    close_fd(&input->spool);
    enum rr_err err = transcode_memfd(&input->spool, "reelrig-spool", fault);
    if (err != RR_OK) {
        return err;
    }
    int fds[3] = {input->spool, input->wakes[0], input->wakes[1]};
    transcode_encode_message(&message, INGEST_ARM, ingest_said, &none);
    bool sent = transcode_send(input->control, rr_buf_slice(&message), fds, 3);
    rr_buf_clear(&message);
    /* The ingest alone writes and ends them. */
    close_fd(&input->wakes[0]);
    close_fd(&input->wakes[1]);
    return sent ? RR_OK : rr_fail(fault, RR_ERR_UNREACHABLE, "%s ended", INGEST_NAME);
}

/* ---- what happens --------------------------------------------------------------------- */

enum rr_err live_input_hear(struct live *live, struct rr_fault *fault)
{
    struct live_input *input = &live->input;
    struct transcode_ingest_said said = {0};
    uint8_t kind = 0;
    enum rr_err err = hear(input, &kind, &said, fault);
    if (err != RR_OK) {
        return err;
    }
    switch (kind) {
    case INGEST_BEGAN:
        input->state = LIVE_INPUT_BEGAN;
        live_say(live, RR_LIVE_CAME, "%s", said.text);
        return RR_OK;
    case INGEST_ENDED:
        input->state = LIVE_INPUT_ENDED;
        live_say(live, RR_LIVE_WENT, "%s", said.text);
        return RR_OK;
    case INGEST_REFUSED:
        live_say(live, RR_LIVE_REFUSED, "%s", said.text);
        return RR_OK;
    default:
        return rr_fail(fault, RR_ERR_DAMAGED, "%s sent message %u", INGEST_NAME, kind);
    }
}

static void wake(struct live_input *input)
{
    for (unsigned i = 0; i < 2; i++) {
        static const uint8_t byte = 0;
        if (input->wakes[i] >= 0) {
            (void)!write(input->wakes[i], &byte, 1); /* full: there is a byte to wake by */
        }
    }
}

void live_input_look(struct live *live)
{
    struct live_input *input = &live->input;
    struct stat facts;
    uint64_t now_us = rr_monotonic_us(rr_clock_system());
    if (input->network || input->state != LIVE_INPUT_BEGAN || fstat(input->spool, &facts) != 0) {
        return;
    }
    if ((uint64_t)facts.st_size > input->size) {
        input->size = (uint64_t)facts.st_size;
        input->grown_us = now_us;
        wake(input);
    } else if (now_us - input->grown_us > live->quiet_ms * UINT64_C(1000)) {
        live_input_end(live);
        live_say(live, RR_LIVE_WENT, "the file does not grow any more");
    }
}

void live_input_read(struct live_input *input, unsigned reader, uint64_t offset)
{
    input->read[reader] = offset;
    uint64_t done = UINT64_MAX;
    for (unsigned i = 0; i < 2; i++) {
        if (input->listens[i] && input->read[i] < done) {
            done = input->read[i];
        }
    }
    if (input->network && done != UINT64_MAX && done >= input->punched + PUNCH_BYTES) {
        done -= done % PUNCH_BYTES;
        if (fallocate(input->spool, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                      (off_t)input->punched, (off_t)(done - input->punched)) == 0) {
            input->punched = done;
        }
    }
}

uint64_t live_input_waiting(const struct live_input *input)
{
    struct stat facts;
    return fstat(input->spool, &facts) == 0 && (uint64_t)facts.st_size > input->read[0]
               ? (uint64_t)facts.st_size - input->read[0]
               : 0;
}

void live_input_end(struct live *live)
{
    struct live_input *input = &live->input;
    struct transcode_ingest_said none = {0};
    struct rr_buf message = {0};
    if (input->network) {
        transcode_encode_message(&message, INGEST_DROP, ingest_said, &none);
        (void)!transcode_send(input->control, rr_buf_slice(&message), NULL, 0);
        rr_buf_clear(&message);
        return;
    }
    input->state = LIVE_INPUT_ENDED;
    for (unsigned i = 0; i < 2; i++) {
        close_fd(&input->wakes[i]);
    }
}

/* ---- the first look ------------------------------------------------------------------- */

/* Whoever waits for the answer must see to the input meanwhile. */
static enum rr_err wait_facts(struct live *live, struct transcode_worker *worker,
                              struct rr_fault *fault)
{
    for (;;) {
        struct pollfd ready[2] = {{.fd = worker->socket, .events = POLLIN},
                                  {.fd = live->input.control, .events = POLLIN}};
        if (atomic_load(live->stop)) {
            live_input_end(live);
            return rr_fail(fault, RR_ERR_CANCELLED, "stopped");
        }
        if (rr_monotonic_us(rr_clock_system()) > worker->deadline_us) {
            return rr_fail(fault, RR_ERR_TIMEOUT, "nothing that can be shown came within %u s",
                           worker->seconds);
        }
        if (poll(ready, 2, 20) < 0 && errno != EINTR) {
            return rr_fail_errno(fault, "waiting for a worker failed");
        }
        live_input_look(live);
        live->sink->tick(live->sink->ctx);
        if (ready[1].revents != 0) {
            enum rr_err err = live_input_hear(live, fault);
            if (err != RR_OK) {
                return err;
            }
        }
        if (ready[0].revents != 0) {
            return transcode_worker_wait(worker, TRANSCODE_FACTS, NULL, fault);
        }
    }
}

enum rr_err live_probe(struct live *live, struct transcode_facts *out, struct rr_fault *fault)
{
    struct transcode_worker worker = {.socket = -1};
    struct transcode_probe ask = {0};
    struct rr_buf message = {0};
    int fds[2] = {live->input.spool, live->input.readers[0]};
    enum rr_err err = transcode_worker_start(&worker, live->program, false, fault);
    if (err != RR_OK) {
        return err;
    }
    transcode_encode_message(&message, TRANSCODE_PROBE, probe, &ask);
    err = transcode_worker_ask(&worker, &message, fds, 2, PROBE_SECONDS, fault);
    err = err != RR_OK ? err : wait_facts(live, &worker, fault);
    if (err == RR_OK && !transcode_decode_message(transcode_worker_body(&worker), facts, out)) {
        err = rr_fail(fault, RR_ERR_FORMAT, "the worker's account does not follow its form");
    }
    transcode_worker_stop(&worker);
    if (err == RR_ERR_UNREACHABLE) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the worker that looked into the stream died");
    }
    return err;
}
