/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RR_MONITOR_PRIVATE_H
#define RR_MONITOR_PRIVATE_H
#include "monitor/monitor.h"
#include <microhttpd.h>
#include <pthread.h>

/* The newest event, shared by all streams: a reader that is behind skips to it. */
struct monitor_event {
    char *text; /* whole "data: ...\n\n" block */
    size_t len;
    unsigned readers;
    bool current;
};
struct monitor_stream {
    struct rr_monitor *monitor;
    struct MHD_Connection *connection;
    struct monitor_event *event; /* being sent, or NULL */
    size_t sent;
    uint64_t seen; /* number of the last event taken */
    bool suspended;
    struct monitor_stream *next;
};
struct rr_monitor {
    struct rr_monitor_options options;
    struct MHD_Daemon *mhd;
    char token[65];
    uint16_t port;
    pthread_mutex_t lock; /* guards the three below */
    struct monitor_event *newest;
    uint64_t event_number;
    struct monitor_stream *streams;
    bool stopping;
};

/* Queues a response of its own copy of `bytes`; loop of the http library only. */
enum MHD_Result monitor_send(struct MHD_Connection *connection, unsigned status, const char *type,
                             struct rr_slice bytes);
/* A page or asset below web_folder; 404 when there is none. */
enum MHD_Result monitor_send_page(struct rr_monitor *monitor, struct MHD_Connection *connection,
                                  const char *path, bool head);
/* Opens an event stream on this connection. */
enum MHD_Result monitor_open_stream(struct rr_monitor *monitor, struct MHD_Connection *connection);
/* Wakes and ends all streams. */
void monitor_end_streams(struct rr_monitor *monitor);
/* All counters in Prometheus text form. */
enum MHD_Result monitor_send_metrics(struct rr_monitor *monitor, struct MHD_Connection *connection);
#endif
