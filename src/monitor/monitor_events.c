/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "monitor/monitor_private.h"

#include <string.h>

static void release(struct monitor_event *event)
{
    if (event != NULL && --event->readers == 0 && !event->current) {
        rr_free(event->text);
        rr_free(event);
    }
}

/* Called by the library for more bytes of a stream; -1 ends it, 0 only after a suspend. */
static ssize_t read_stream(void *ctx, uint64_t position, char *out, size_t max)
{
    struct monitor_stream *stream = ctx;
    struct rr_monitor *monitor = stream->monitor;
    (void)position;
    ssize_t result = 0;
    pthread_mutex_lock(&monitor->lock);
    if (monitor->stopping) {
        result = MHD_CONTENT_READER_END_OF_STREAM;
        goto out;
    }
    if (stream->event == NULL && stream->seen != monitor->event_number) {
        stream->event = monitor->newest;
        stream->event->readers++;
        stream->seen = monitor->event_number;
        stream->sent = 0;
    }
    if (stream->event == NULL) {
        stream->suspended = true;
        MHD_suspend_connection(stream->connection);
        goto out;
    }
    size_t n = stream->event->len - stream->sent;
    n = n < max ? n : max;
    memcpy(out, stream->event->text + stream->sent, n);
    stream->sent += n;
    if (stream->sent == stream->event->len) {
        release(stream->event);
        stream->event = NULL;
    }
    result = (ssize_t)n;
out:
    pthread_mutex_unlock(&monitor->lock);
    return result;
}

static void close_stream(void *ctx)
{
    struct monitor_stream *stream = ctx;
    struct rr_monitor *monitor = stream->monitor;
    pthread_mutex_lock(&monitor->lock);
    struct monitor_stream **at = &monitor->streams;
    while (*at != stream) {
        at = &(*at)->next;
    }
    *at = stream->next;
    release(stream->event);
    pthread_mutex_unlock(&monitor->lock);
    rr_free(stream);
}

enum MHD_Result monitor_open_stream(struct rr_monitor *monitor, struct MHD_Connection *connection)
{
    struct monitor_stream *stream = rr_alloc(sizeof *stream);
    stream->monitor = monitor;
    stream->connection = connection;
    pthread_mutex_lock(&monitor->lock);
    stream->next = monitor->streams;
    monitor->streams = stream;
    pthread_mutex_unlock(&monitor->lock);
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, 65536, read_stream, stream, close_stream);
    RR_CHECK(response != NULL);
    MHD_add_response_header(response, "Content-Type", "text/event-stream");
    MHD_add_response_header(response, "Cache-Control", "no-store");
    enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

static void resume_all(struct rr_monitor *monitor)
{
    for (struct monitor_stream *s = monitor->streams; s != NULL; s = s->next) {
        if (s->suspended) {
            s->suspended = false;
            MHD_resume_connection(s->connection);
        }
    }
}

void monitor_end_streams(struct rr_monitor *monitor)
{
    pthread_mutex_lock(&monitor->lock);
    monitor->stopping = true;
    resume_all(monitor);
    pthread_mutex_unlock(&monitor->lock);
}

void rr_monitor_publish(struct rr_monitor *monitor, struct rr_slice json)
{
    struct rr_buf text = {0};
    rr_buf_append(&text, "data: ", 6);
    rr_buf_append(&text, json.ptr, json.len);
    rr_buf_append(&text, "\n\n", 2);
    struct monitor_event *event = rr_alloc(sizeof *event);
    event->text = (char *)text.ptr;
    event->len = text.len;
    event->current = true;
    pthread_mutex_lock(&monitor->lock);
    struct monitor_event *old = monitor->newest;
    monitor->newest = event;
    monitor->event_number++;
    if (old != NULL) {
        old->current = false;
        old->readers++;
        release(old);
    }
    resume_all(monitor);
    pthread_mutex_unlock(&monitor->lock);
}
