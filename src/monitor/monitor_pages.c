/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "monitor/monitor_private.h"

#include <string.h>

#define PAGE_BYTES_MAX (8u << 20)

static const char *type_of(const char *path)
{
    static const struct {
        const char *suffix, *type;
    } types[] = {{".html", "text/html; charset=utf-8"},
                 {".js", "text/javascript; charset=utf-8"},
                 {".mjs", "text/javascript; charset=utf-8"},
                 {".css", "text/css; charset=utf-8"},
                 {".svg", "image/svg+xml"}};
    size_t len = strlen(path);
    for (size_t i = 0; i < RR_COUNT(types); i++) {
        size_t n = strlen(types[i].suffix);
        if (len > n && strcmp(path + len - n, types[i].suffix) == 0) {
            return types[i].type;
        }
    }
    return "text/plain; charset=utf-8";
}

/* Only plain names: letters, digits, '-', '_', '.', and '/' between them; no part starts with a
 * dot. */
static bool plain(const char *path)
{
    bool start = true;
    for (const char *p = path; *p != '\0'; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                      (*p >= '0' && *p <= '9') || *p == '-' || *p == '_';
        if (*p == '/' ? start : *p == '.' ? start : !letter) {
            return false;
        }
        start = *p == '/';
    }
    return true;
}

enum MHD_Result monitor_send_page(struct rr_monitor *monitor, struct MHD_Connection *connection,
                                  const char *path, bool head)
{
    (void)head; /* the library leaves the body out by itself */
    const char *name = strcmp(path, "/") == 0 ? "index.html" : path + 1;
    const char *folder = monitor->options.web_folder;
    char file[RR_PATH_BYTES];
    struct rr_buf bytes = {0};
    enum MHD_Result result;
    if (folder == NULL || !plain(name) || rr_path(file, NULL, "%s/%s", folder, name) != RR_OK ||
        rr_file_read(&bytes, file, PAGE_BYTES_MAX, NULL) != RR_OK) {
        static const char none[] =
            "No such page. The pages are built by `make web`; --web names their folder.\n";
        result = monitor_send(connection, MHD_HTTP_NOT_FOUND, "text/plain; charset=utf-8",
                              rr_slice_str(none));
    } else {
        result = monitor_send(connection, MHD_HTTP_OK, type_of(name), rr_buf_slice(&bytes));
    }
    rr_buf_clear(&bytes);
    return result;
}

static void add_metric(void *ctx, const char *name, const char *help, bool gauge, uint64_t value)
{
    rr_buf_format(ctx, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name,
                  gauge ? "gauge" : "counter", name, (unsigned long long)value);
}

enum MHD_Result monitor_send_metrics(struct rr_monitor *monitor, struct MHD_Connection *connection)
{
    struct rr_buf text = {0};
    rr_counters_visit(add_metric, &text);
    if (monitor->options.metrics != NULL) {
        monitor->options.metrics(monitor->options.ctx, &text);
    }
    enum MHD_Result result = monitor_send(
        connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", rr_buf_slice(&text));
    rr_buf_clear(&text);
    return result;
}
