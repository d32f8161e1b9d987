/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests below /live/: what is there is sent, what comes next is waited for, what is absurd is
 * refused at once (RFC 8216bis, 6.2.5.2). */
#include "serve/serve_live_private.h"
#include "serve/serve_reply.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HLS_TYPE    "application/vnd.apple.mpegurl"
#define PART_MAX    100000 /* a number above it is no guess at what comes */
#define MEDIA_CACHE "public, max-age=600"
#define SEGMENT_MAX (UINT64_C(256) << 20)

static void reply_none(struct serve_request *request)
{
    serve_reply_error(request, 404, "not_found", "There is no such playlist, segment or part.");
}

static void reply_absurd(struct serve_request *request, const char *text)
{
    serve_reply_error(request, 400, "hls", text);
}

/* ---- what is asked -------------------------------------------------------------------- */

static bool find_rendition(const struct rr_serve_live *live, struct rr_slice name, uint32_t *out)
{
    for (uint32_t i = 0; i < live->count; i++) {
        if (rr_slice_equal(name, rr_slice_str(live->renditions[i].info.name))) {
            *out = i;
            return true;
        }
    }
    return false;
}

/* With the lock. */
static bool read_path(const struct rr_serve_live *live, struct serve_live_ask *ask,
                      struct rr_slice path)
{
    struct rr_llhls_ref ref;
    if (rr_slice_equal(path, rr_slice_str("master.m3u8"))) {
        ask->kind = SERVE_LIVE_MASTER;
        return true;
    }
    const uint8_t *slash = path.len > 0 ? memchr(path.ptr, '/', path.len) : NULL;
    if (slash == NULL ||
        !find_rendition(live, rr_slice_of(path.ptr, (size_t)(slash - path.ptr)), &ask->rendition)) {
        return false;
    }
    struct rr_slice file = rr_slice_of(slash + 1, path.len - (size_t)(slash - path.ptr) - 1);
    if (rr_slice_equal(file, rr_slice_str("index.m3u8"))) {
        ask->kind = SERVE_LIVE_PLAYLIST;
        return true;
    }
    if (rr_slice_equal(file, rr_slice_str("init.mp4"))) {
        ask->kind = SERVE_LIVE_INIT;
        return true;
    }
    if (!rr_llhls_find(&ref, file)) {
        return false;
    }
    ask->kind = ref.part ? SERVE_LIVE_PART : SERVE_LIVE_SEGMENT;
    ask->segment = ref.segment;
    ask->part = ref.number;
    return true;
}

/* With the lock. False: answered. */
static bool read_query(const struct rr_serve_live *live, struct serve_request *request)
{
    struct rr_slice query = serve_span_of(&request->bytes, request->head.query);
    struct rr_slice segment = serve_text_query(query, "_HLS_msn");
    struct rr_slice part = serve_text_query(query, "_HLS_part");
    struct serve_live_ask *ask = &request->live;
    uint64_t number = 0;
    if (ask->kind != SERVE_LIVE_PLAYLIST || (segment.ptr == NULL && part.ptr == NULL)) {
        return true;
    }
    const struct live_rendition *r = &live->renditions[ask->rendition];
    if (segment.ptr == NULL) {
        reply_absurd(request, "_HLS_part without _HLS_msn names nothing.");
        return false;
    }
    if (!serve_text_number(&ask->segment, segment, UINT64_MAX / 2) ||
        (part.ptr != NULL && !serve_text_number(&number, part, PART_MAX))) {
        reply_absurd(request, "_HLS_msn and _HLS_part are numbers of what comes next.");
        return false;
    }
    uint64_t last = r->next > 0 ? r->next - 1 : 0;
    if (!live->ended && ask->segment > last + 2) {
        reply_absurd(request, "_HLS_msn is more than two segments ahead.");
        return false;
    }
    ask->blocks = true;
    ask->with_part = part.ptr != NULL;
    ask->part = (uint32_t)number;
    return true;
}

/* With the lock: what may be waited for is what comes next, and no more. */
static bool may_wait(const struct rr_serve_live *live, const struct serve_live_ask *ask)
{
    if (ask->kind == SERVE_LIVE_MASTER || ask->kind == SERVE_LIVE_PLAYLIST ||
        ask->kind == SERVE_LIVE_INIT) {
        return true;
    }
    const struct live_rendition *r = &live->renditions[ask->rendition];
    const struct live_segment *last = r->count > 0 ? &r->segments[r->count - 1] : NULL;
    bool open = last != NULL && !last->whole;
    if (ask->kind == SERVE_LIVE_SEGMENT) {
        return open && ask->segment == last->number;
    }
    return open ? ask->segment == last->number && ask->part == last->part_count
                : ask->segment == r->next && ask->part == 0;
}

/* ---- answers; with the lock ----------------------------------------------------------- */

static struct serve_blob *playlist(struct rr_serve_live *live, struct live_rendition *r,
                                   uint32_t rendition)
{
    if (r->text == NULL || r->text_version != live->version) {
        struct rr_buf text = {0};
        serve_live_text(live, &text, rendition, true);
        serve_etag_make(r->text_etag, rr_buf_slice(&text));
        serve_blob_unref(r->text);
        r->text = serve_blob_new(&text);
        r->text_version = live->version;
    }
    return serve_blob_ref(r->text);
}

static struct serve_blob *find_blob(struct rr_serve_live *live, const struct serve_live_ask *ask,
                                    char etag[static SERVE_ETAG_BYTES])
{
    struct live_rendition *r = &live->renditions[ask->rendition];
    const struct live_segment *segment = serve_live_segment(r, ask->segment);
    struct serve_blob *blob = NULL;
    const char *tag = "";
    switch (ask->kind) {
    case SERVE_LIVE_INIT:
        blob = r->init;
        tag = r->init_etag;
        break;
    case SERVE_LIVE_SEGMENT:
        blob = segment != NULL && segment->whole ? segment->bytes : NULL;
        tag = segment != NULL ? segment->etag : "";
        break;
    case SERVE_LIVE_PART:
        if (segment != NULL && ask->part < segment->part_count) {
            blob = segment->parts[ask->part].blob;
            tag = segment->parts[ask->part].etag;
        }
        break;
    case SERVE_LIVE_MASTER:
    case SERVE_LIVE_PLAYLIST:
        break;
    }
    if (blob == NULL) {
        return NULL;
    }
    memcpy(etag, tag, SERVE_ETAG_BYTES);
    return serve_blob_ref(blob);
}

/* ---- old segments, out of the folder -------------------------------------------------- */

static enum rr_err read_file(struct serve_request *request, struct rr_buf *out)
{
    const struct rr_serve_live *live = request->serve->options.live;
    char path[RR_PATH_BYTES];
    struct stat facts;
    enum rr_err err = rr_path(path, &request->fault, "%s/%s/seg_%05llu.m4s", live->folder,
                              live->renditions[request->live.rendition].info.name,
                              (unsigned long long)request->live.segment);
    int fd = err == RR_OK ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0 || fstat(fd, &facts) != 0 || facts.st_size <= 0 ||
        (uint64_t)facts.st_size > SEGMENT_MAX) {
        err = RR_ERR_NOTFOUND;
    } else {
        rr_buf_reserve(out, (size_t)facts.st_size);
        err = rr_pread_full(fd, out->ptr, (size_t)facts.st_size, 0, &request->fault);
        out->len = err == RR_OK ? (size_t)facts.st_size : 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    return err;
}

static void load(struct serve_request *request)
{
    struct rr_buf bytes = {0};
    request->err = read_file(request, &bytes);
    if (request->err == RR_OK) {
        request->blob = serve_blob_new(&bytes);
    } else {
        rr_buf_clear(&bytes);
    }
}

static void reply_media(struct serve_request *request, struct serve_blob *blob, const char *etag)
{
    bool init = request->live.kind == SERVE_LIVE_INIT;
    struct serve_entity entity = {
        .type = init ? "video/mp4" : "video/iso.segment", .cache = MEDIA_CACHE, .size = blob->len};
    memcpy(entity.etag, etag, SERVE_ETAG_BYTES);
    request->reply.segment = request->live.kind == SERVE_LIVE_SEGMENT;
    serve_reply_entity(request, &entity, blob);
}

static void loaded(struct serve_request *request)
{
    char etag[SERVE_ETAG_BYTES];
    if (request->err != RR_OK) {
        reply_none(request);
        return;
    }
    struct serve_blob *blob = request->blob;
    request->blob = NULL;
    serve_etag_make(etag, rr_slice_of(blob->bytes, blob->len));
    reply_media(request, blob, etag);
}

/* ---- the way of a request ------------------------------------------------------------- */

static void reply_text(struct serve_request *request, struct serve_blob *blob, const char *etag,
                       uint32_t cache_s)
{
    char cache[32];
    struct serve_entity entity = {.type = HLS_TYPE, .cache = cache, .size = blob->len};
    snprintf(cache, sizeof(cache), "max-age=%u", (unsigned)cache_s);
    memcpy(entity.etag, etag, SERVE_ETAG_BYTES);
    serve_reply_entity(request, &entity, blob);
}

static void reply_master(struct serve_request *request, struct rr_serve_live *live)
{
    struct rr_buf text = {0};
    char etag[SERVE_ETAG_BYTES];
    rr_serve_live_master(live, &text);
    serve_etag_make(etag, rr_buf_slice(&text));
    reply_text(request, serve_blob_new(&text), etag, 1);
}

static void answer(struct serve_request *request);

/* Takes the lock; what is to be sent leaves it before it is. */
static void answer(struct serve_request *request)
{
    struct rr_serve_live *live = request->serve->options.live;
    struct serve_live_ask *ask = &request->live;
    char etag[SERVE_ETAG_BYTES] = "";
    struct serve_blob *blob = NULL;
    bool in_folder = false, waits = false;
    pthread_mutex_lock(&live->lock);
    bool ready = serve_live_ready(live, ask);
    bool allowed = !ask->late && !live->stopped && may_wait(live, ask);
    uint32_t cache_s = ask->blocks ? 6 * live->target_s : live->target_s / 2;
    if (!ready && allowed) {
        request->resume = answer;
        waits = serve_live_wait(live, request);
    } else if (ready && ask->kind == SERVE_LIVE_PLAYLIST) {
        struct live_rendition *r = &live->renditions[ask->rendition];
        blob = playlist(live, r, ask->rendition);
        memcpy(etag, r->text_etag, SERVE_ETAG_BYTES);
    } else if (ready && ask->kind != SERVE_LIVE_MASTER) {
        const struct live_segment *segment =
            serve_live_segment(&live->renditions[ask->rendition], ask->segment);
        blob = find_blob(live, ask, etag);
        in_folder = blob == NULL && ask->kind == SERVE_LIVE_SEGMENT && live->all &&
                    live->folder != NULL && segment != NULL && segment->whole && !segment->gap;
    }
    pthread_mutex_unlock(&live->lock);
    if (waits) {
        return;
    }
    if (in_folder) {
        serve_request_block(request, load, loaded);
    } else if (ready && ask->kind == SERVE_LIVE_MASTER) {
        reply_master(request, live);
    } else if (blob != NULL && ask->kind == SERVE_LIVE_PLAYLIST) {
        reply_text(request, blob, etag, cache_s > 0 ? cache_s : 1);
    } else if (blob != NULL) {
        reply_media(request, blob, etag);
    } else if (!ready && (ask->late || live->stopped)) {
        serve_reply_error(request, 503, "late", "It did not come in time; ask again.");
    } else {
        reply_none(request);
    }
}

void serve_live_run(struct serve_request *request)
{
    struct rr_serve_live *live = request->serve->options.live;
    if (live == NULL) {
        reply_none(request);
        return;
    }
    pthread_mutex_lock(&live->lock);
    bool found = read_path(live, &request->live, request->rest);
    bool good = found && read_query(live, request);
    pthread_mutex_unlock(&live->lock);
    if (!found) {
        reply_none(request);
    } else if (good) {
        answer(request);
    }
}
