/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client of plain sockets, so that tests send exactly the bytes that they mean to. */
#ifndef RR_TEST_SERVE_CLIENT_H
#define RR_TEST_SERVE_CLIENT_H
#include "world.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

/* ---- client --------------------------------------------------------------------------- */
#define CLIENT_WAIT_MS 20000
struct client {
    int fd;
    struct rr_buf in; /* received, not taken */
};
struct answer {
    unsigned status;
    struct rr_buf head, body; /* head with a NUL */
};

static inline struct client client_open(uint16_t port)
{
    struct client client = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(client.fd >= 0);
    assert_int_equal(connect(client.fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return client;
}

static inline void client_close(struct client *client)
{
    close(client->fd);
    rr_buf_clear(&client->in);
}

static inline void client_write(struct client *client, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    while (len > 0) {
        ssize_t n = send(client->fd, at, len, MSG_NOSIGNAL);
        assert_true(n > 0);
        at += n;
        len -= (size_t)n;
    }
}

static inline void client_text(struct client *client, const char *text)
{
    client_write(client, text, strlen(text));
}

/* False: nothing within the time, or the end. *ended then tells which; a reset is an end. */
static inline bool client_more(struct client *client, int wait_ms, bool *ended)
{
    uint8_t bytes[65536];
    struct pollfd one = {client->fd, POLLIN, 0};
    *ended = false;
    if (poll(&one, 1, wait_ms) == 0) {
        return false;
    }
    ssize_t n = recv(client->fd, bytes, sizeof(bytes), 0);
    if (n <= 0) {
        *ended = true;
        return false;
    }
    rr_buf_append(&client->in, bytes, (size_t)n);
    return true;
}

static inline bool client_ends(struct client *client, int wait_ms)
{
    bool ended = false;
    while (client_more(client, wait_ms, &ended)) {
    }
    return ended;
}

static inline void answer_clear(struct answer *answer)
{
    rr_buf_clear(&answer->head);
    rr_buf_clear(&answer->body);
}

/* Value of a header, NULL when absent; good until the next call. */
static inline const char *answer_field(const struct answer *answer, const char *name)
{
    static _Thread_local char value[512];
    const char *at = (const char *)answer->head.ptr;
    size_t len = strlen(name);
    while ((at = strstr(at, "\r\n")) != NULL) {
        at += 2;
        if (strncmp(at, name, len) == 0 && at[len] == ':' && at[len + 1] == ' ') {
            const char *end = strstr(at, "\r\n");
            snprintf(value, sizeof(value), "%.*s", (int)(end - at - (long)len - 2), at + len + 2);
            return value;
        }
    }
    return NULL;
}

#define assert_field(answer, name, expected)                                                       \
    do {                                                                                           \
        const char *found_ = answer_field(answer, name);                                           \
        assert_non_null(found_);                                                                   \
        assert_string_equal(found_, expected);                                                     \
    } while (0)

/* One reply; head_only: of a HEAD request. Cleared first. */
static inline void client_read(struct client *client, struct answer *out, bool head_only)
{
    bool ended;
    const uint8_t *end;
    answer_clear(out);
    while ((end = client->in.len == 0
                      ? NULL
                      : memmem(client->in.ptr, client->in.len, "\r\n\r\n", 4)) == NULL) {
        if (!client_more(client, CLIENT_WAIT_MS, &ended)) {
            fail_msg("no reply (%s)", ended ? "closed" : "silence");
        }
    }
    size_t head = (size_t)(end - client->in.ptr) + 4;
    rr_buf_append(&out->head, client->in.ptr, head);
    rr_buf_append(&out->head, "", 1);
    assert_memory_equal(out->head.ptr, "HTTP/1.1 ", 9);
    out->status = (unsigned)strtoul((const char *)out->head.ptr + 9, NULL, 10);
    const char *length = answer_field(out, "Content-Length");
    size_t len = length == NULL || head_only ? 0 : strtoul(length, NULL, 10);
    assert_true(length != NULL || out->status == 304 || out->status == 204 || out->status == 100);
    while (client->in.len < head + len) {
        if (!client_more(client, CLIENT_WAIT_MS, &ended)) {
            fail_msg("%zu of %zu body bytes (%s)", client->in.len - head, len,
                     ended ? "closed" : "silence");
        }
    }
    rr_buf_append(&out->body, client->in.ptr + head, len);
    memmove(client->in.ptr, client->in.ptr + head + len, client->in.len - head - len);
    client->in.len -= head + len;
}

/* method, path after prefix, extra header lines ("A: b\r\n"). */
static inline void client_ask(struct client *client, struct answer *out, const char *method,
                              const char *prefix, const char *path, const char *fields)
{
    struct rr_buf text = {0};
    rr_buf_format(&text, "%s %s%s HTTP/1.1\r\nHost: rig\r\n%s\r\n", method, prefix, path, fields);
    client_write(client, text.ptr, text.len);
    rr_buf_clear(&text);
    client_read(client, out, strcmp(method, "HEAD") == 0);
}

static inline void client_post(struct client *client, struct answer *out, const char *path,
                               const struct rr_buf *body)
{
    struct rr_buf text = {0};
    rr_buf_format(&text, "POST %s HTTP/1.1\r\nHost: rig\r\nContent-Length: %zu\r\n\r\n", path,
                  body->len);
    rr_buf_append(&text, body->ptr, body->len);
    client_write(client, text.ptr, text.len);
    rr_buf_clear(&text);
    client_read(client, out, false);
}

/* One request on a connection of its own. */
static inline void ask(struct world *world, struct answer *out, const char *method,
                       const char *prefix, const char *path, const char *fields)
{
    struct client client = client_open(rr_serve_port(world->serve));
    client_ask(&client, out, method, prefix, path, fields);
    client_close(&client);
}

static inline void assert_body(const struct answer *answer, const void *bytes, size_t len)
{
    assert_int_equal(answer->body.len, len);
    assert_memory_equal(answer->body.ptr, bytes, len);
}

/* The body has `text` somewhere. */
static inline void assert_holds(const struct answer *answer, const char *text)
{
    if (answer->body.len == 0 ||
        memmem(answer->body.ptr, answer->body.len, text, strlen(text)) == NULL) {
        fail_msg("no '%s' in '%.*s'", text, (int)answer->body.len, (char *)answer->body.ptr);
    }
}
#endif
