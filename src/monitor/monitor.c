/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "monitor/monitor_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define API_PREFIX "/api/v1/"

/* A request between its first line and its answer: the body goes to a file, never into memory. */
struct exchange {
    int fd;
    char path[RR_PATH_BYTES];
    uint64_t bytes;
    bool too_large, failed, authorized;
    struct rr_fault fault;
};

enum MHD_Result monitor_send(struct MHD_Connection *connection, unsigned status, const char *type,
                             struct rr_slice bytes)
{
    union {
        const void *in;
        void *out;
    } body = {.in = bytes.ptr}; /* MHD_RESPMEM_MUST_COPY only reads it */
    struct MHD_Response *response = MHD_create_response_from_buffer(
        bytes.len, bytes.len == 0 ? NULL : body.out, MHD_RESPMEM_MUST_COPY);
    RR_CHECK(response != NULL);
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    /* Segments come from the serving port, another origin of the same rig. */
    MHD_add_response_header(
        response, "Content-Security-Policy",
        "default-src 'self'; connect-src 'self' http: https:; media-src 'self' blob:; "
        "worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'");
    if (status == MHD_HTTP_UNAUTHORIZED) {
        MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    }
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static unsigned status_of(enum rr_err code)
{
    switch (code) {
    case RR_OK:
        return MHD_HTTP_OK;
    case RR_ERR_USAGE:
    case RR_ERR_FORMAT:
    case RR_ERR_TRUST:
    case RR_ERR_UNSUPPORTED:
        return MHD_HTTP_BAD_REQUEST;
    case RR_ERR_NOTFOUND:
        return MHD_HTTP_NOT_FOUND;
    case RR_ERR_STATE:
    case RR_ERR_EXISTS:
    case RR_ERR_BUSY:
    case RR_ERR_CANCELLED:
        return MHD_HTTP_CONFLICT;
    case RR_ERR_FUNDS:
        return MHD_HTTP_PAYMENT_REQUIRED;
    case RR_ERR_LIMIT:
        return MHD_HTTP_CONTENT_TOO_LARGE;
    case RR_ERR_FULL:
        return MHD_HTTP_INSUFFICIENT_STORAGE;
    case RR_ERR_IO:
    case RR_ERR_MEMORY:
    case RR_ERR_TIMEOUT:
    case RR_ERR_DAMAGED:
    case RR_ERR_UNREACHABLE:
        return MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
    return MHD_HTTP_INTERNAL_SERVER_ERROR;
}

/* What is no UTF-8 becomes the replacement character: JSON stays JSON. */
static void append_json_text(struct rr_buf *out, const char *text)
{
    rr_buf_append(out, "\"", 1);
    for (const char *p = text; *p != '\0';) {
        size_t n = rr_utf8_step((const uint8_t *)p, strlen(p));
        if (*p == '"' || *p == '\\') {
            rr_buf_format(out, "\\%c", *p);
        } else if (n > 0) {
            rr_buf_append(out, p, n);
        } else if ((unsigned char)*p < 0x80) {
            rr_buf_format(out, "\\u%04x", (unsigned)*p);
        } else {
            rr_buf_format(out, "\\ufffd");
        }
        p += n > 0 ? n : 1;
    }
    rr_buf_append(out, "\"", 1);
}

static enum MHD_Result send_fault(struct MHD_Connection *connection, const struct rr_fault *fault)
{
    struct rr_buf json = {0};
    rr_buf_format(&json, "{\"error\":");
    append_json_text(&json, rr_err_text(fault->code));
    rr_buf_format(&json, ",\"code\":%d,\"message\":", (int)fault->code);
    append_json_text(&json, fault->text);
    rr_buf_append(&json, "}\n", 2);
    enum MHD_Result result =
        monitor_send(connection, status_of(fault->code), "application/json", rr_buf_slice(&json));
    rr_buf_clear(&json);
    return result;
}

static bool same_token(const struct rr_monitor *monitor, const char *given)
{
    size_t len = strlen(monitor->token);
    if (given == NULL || strncmp(given, "Bearer ", 7) != 0 || strlen(given + 7) != len) {
        return false;
    }
    unsigned differ = 0;
    for (size_t i = 0; i < len; i++) {
        differ |=
            (unsigned)(unsigned char)given[7 + i] ^ (unsigned)(unsigned char)monitor->token[i];
    }
    return differ == 0;
}

static const char *argument(const struct rr_monitor_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

static void take_body(struct rr_monitor *monitor, struct exchange *exchange, const char *data,
                      size_t len)
{
    if (exchange->failed || !exchange->authorized) {
        return;
    }
    if (exchange->bytes + len > monitor->options.upload_bytes_max) {
        exchange->failed = true;
        rr_fail(&exchange->fault, RR_ERR_LIMIT,
                "the body is longer than %llu bytes, the most this rig takes",
                (unsigned long long)monitor->options.upload_bytes_max);
        return;
    }
    if (exchange->fd < 0) {
        if (rr_path(exchange->path, &exchange->fault, "%s/upload-XXXXXX",
                    monitor->options.upload_folder) != RR_OK) {
            exchange->failed = true;
            return;
        }
        exchange->fd = mkostemp(exchange->path, O_CLOEXEC);
        if (exchange->fd < 0) {
            exchange->failed = true;
            rr_fail_errno(&exchange->fault, "cannot make an upload file in %s",
                          monitor->options.upload_folder);
            return;
        }
    }
    if (rr_write_full(exchange->fd, data, len, &exchange->fault) != RR_OK) {
        exchange->failed = true;
    }
    exchange->bytes += len;
}

static enum MHD_Result answer_api(struct rr_monitor *monitor, struct MHD_Connection *connection,
                                  const char *method, const char *path, struct exchange *exchange)
{
    struct rr_fault fault = {0};
    if (exchange->failed) {
        return send_fault(connection, &exchange->fault);
    }
    if (exchange->fd >= 0 && fdatasync(exchange->fd) != 0) {
        rr_fail_errno(&fault, "cannot keep the upload");
        return send_fault(connection, &fault);
    }
    struct rr_monitor_request request = {
        .method = method,
        .path = path,
        .argument = argument,
        .body_path = exchange->fd >= 0 ? exchange->path : NULL,
        .body_bytes = exchange->bytes,
        .connection = connection,
    };
    struct rr_buf json = {0};
    enum rr_err err = monitor->options.answer(monitor->options.ctx, &request, &json, &fault);
    enum MHD_Result result;
    if (err != RR_OK) {
        fault.code = err;
        result = send_fault(connection, &fault);
    } else {
        rr_buf_append(&json, "\n", 1);
        result = monitor_send(connection, MHD_HTTP_OK, "application/json", rr_buf_slice(&json));
    }
    rr_buf_clear(&json);
    return result;
}

static enum MHD_Result route(struct rr_monitor *monitor, struct MHD_Connection *connection,
                             const char *url, const char *method, struct exchange *exchange)
{
    bool get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    bool api = strncmp(url, API_PREFIX, sizeof API_PREFIX - 1) == 0;
    bool metrics = strcmp(url, "/metrics") == 0;
    if (!get && !(api && strcmp(method, "POST") == 0)) {
        return monitor_send(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain",
                            rr_slice_str("method not allowed\n"));
    }
    if (!api && !metrics) {
        return monitor_send_page(monitor, connection, url, strcmp(method, "HEAD") == 0);
    }
    if (!exchange->authorized) {
        return monitor_send(
            connection, MHD_HTTP_UNAUTHORIZED, "application/json",
            rr_slice_str("{\"error\":\"unauthorized\",\"message\":\"send the rig's token as "
                         "'Authorization: Bearer TOKEN'; it stands in control.json of the data "
                         "folder\"}\n"));
    }
    if (metrics) {
        return monitor_send_metrics(monitor, connection);
    }
    const char *path = url + sizeof API_PREFIX - 1;
    if (get && strcmp(path, "events") == 0) {
        return monitor_open_stream(monitor, connection);
    }
    return answer_api(monitor, connection, get ? "GET" : "POST", path, exchange);
}

static enum MHD_Result handle(void *ctx, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *data_len, void **state)
{
    struct rr_monitor *monitor = ctx;
    (void)version;
    if (*state == NULL) {
        struct exchange *exchange = rr_alloc(sizeof *exchange);
        exchange->fd = -1;
        exchange->authorized = same_token(
            monitor, MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization"));
        *state = exchange;
        return MHD_YES;
    }
    struct exchange *exchange = *state;
    if (*data_len > 0) {
        take_body(monitor, exchange, data, *data_len);
        *data_len = 0;
        return MHD_YES;
    }
    return route(monitor, connection, url, method, exchange);
}

static void finish(void *ctx, struct MHD_Connection *connection, void **state,
                   enum MHD_RequestTerminationCode why)
{
    (void)ctx, (void)connection, (void)why;
    struct exchange *exchange = *state;
    if (exchange != NULL) {
        if (exchange->fd >= 0) {
            close(exchange->fd);
            unlink(exchange->path); /* gone already when the callee took it */
        }
        rr_free(exchange);
        *state = NULL;
    }
}

static void __attribute__((format(printf, 2, 0)))
log_library(void *ctx, const char *format, va_list args)
{
    char line[256];
    (void)ctx;
    if (vsnprintf(line, sizeof line, format, args) > 0) {
        rr_log(RR_LOG_DEBUG, "monitor", "%s", line);
    }
}

enum rr_err rr_monitor_start(struct rr_monitor **out, const struct rr_monitor_options *options,
                             struct rr_fault *fault)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(options->port)};
    if (inet_pton(AF_INET, options->address, &address.sin_addr) != 1) {
        return rr_fail(fault, RR_ERR_USAGE, "control.address '%s' is not an IPv4 address",
                       options->address);
    }
    struct rr_monitor *monitor = rr_alloc(sizeof *monitor);
    monitor->options = *options;
    int n = snprintf(monitor->token, sizeof monitor->token, "%s", options->token);
    RR_CHECK(n > 0 && (size_t)n < sizeof monitor->token);
    pthread_mutex_init(&monitor->lock, NULL);
    errno = 0;
    monitor->mhd = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        handle, monitor, MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL, MHD_OPTION_SOCK_ADDR,
        &address, MHD_OPTION_CONNECTION_LIMIT, 256u, MHD_OPTION_CONNECTION_TIMEOUT, 60u,
        MHD_OPTION_NOTIFY_COMPLETED, finish, monitor, MHD_OPTION_END);
    if (monitor->mhd == NULL) {
        bool taken = errno == EADDRINUSE;
        rr_free(monitor);
        if (taken) {
            return rr_fail(fault, RR_ERR_BUSY,
                           "port %u of %s is taken by another program; stop it or set control.port",
                           options->port, options->address);
        }
        return rr_fail_errno(fault, "cannot open the control port %u of %s", options->port,
                             options->address);
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(monitor->mhd, MHD_DAEMON_INFO_BIND_PORT);
    monitor->port = info != NULL ? info->port : options->port;
    *out = monitor;
    return RR_OK;
}

void rr_monitor_stop(struct rr_monitor *monitor)
{
    if (monitor == NULL) {
        return;
    }
    monitor_end_streams(monitor);
    MHD_stop_daemon(monitor->mhd);
    if (monitor->newest != NULL) {
        rr_free(monitor->newest->text);
        rr_free(monitor->newest);
    }
    pthread_mutex_destroy(&monitor->lock);
    rr_free(monitor);
}

uint16_t rr_monitor_port(const struct rr_monitor *monitor)
{
    return monitor->port;
}
