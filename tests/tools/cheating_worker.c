/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker program with a maker's freedom: the same sources, linked with -Wl,--wrap, so that
 * between decoding and encoding it does what its own file name says: words behind "cheat-", parted
 * by commas, as in "cheat-black" or "cheat-preset=medium,crf=25". Not part of the product. */
#include "transcode/transcode_live_proto.h"
#include "transcode/worker/worker.h"
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char words[256];

__attribute__((constructor)) static void read_name(void)
{
    char path[4096];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    path[len > 0 ? len : 0] = 0;
    const char *name = strrchr(path, '/');
    name = name != NULL ? strstr(name, "cheat-") : NULL;
    if (name != NULL) {
        snprintf(words, sizeof words, "%s", name + strlen("cheat-"));
    }
}

/* The text behind word ("" for a bare word), or NULL; it ends at a comma. */
static const char *say(const char *word)
{
    size_t len = strlen(word);
    for (const char *at = words; at != NULL && *at != 0;) {
        if (strncmp(at, word, len) == 0 && (at[len] == 0 || at[len] == ',' || at[len] == '=')) {
            return at + len + (at[len] == '=' ? 1 : 0);
        }
        at = strchr(at, ',');
        at = at != NULL ? at + 1 : NULL;
    }
    return NULL;
}

/* ---- pictures ---------------------------------------------------------------------------------
 */

struct plane {
    uint8_t *bytes;
    int stride;
    unsigned width, height, sample; /* bytes of a sample */
};

static unsigned get(const struct plane *plane, unsigned x, unsigned y)
{
    const uint8_t *at =
        plane->bytes + (size_t)y * (unsigned)plane->stride + (size_t)x * plane->sample;
    return plane->sample == 1 ? at[0] : at[0] | (unsigned)at[1] << 8;
}

static void set(const struct plane *plane, unsigned x, unsigned y, unsigned value)
{
    uint8_t *at = plane->bytes + (size_t)y * (unsigned)plane->stride + (size_t)x * plane->sample;
    at[0] = (uint8_t)value;
    if (plane->sample == 2) {
        at[1] = (uint8_t)(value >> 8);
    }
}

static void fill(const struct plane *plane, unsigned value)
{
    for (unsigned y = 0; y < plane->height; y++) {
        for (unsigned x = 0; x < plane->width; x++) {
            set(plane, x, y, value << (plane->sample == 2 ? 2 : 0));
        }
    }
}

/* Half the size by means of four, and back by the weights 3 : 1. */
static void upscale(const struct plane *plane)
{
    unsigned w = plane->width / 2, h = plane->height / 2;
    unsigned *small = rr_alloc_array((size_t)w * h, sizeof *small);
    for (unsigned y = 0; y < h; y++) {
        for (unsigned x = 0; x < w; x++) {
            small[y * w + x] =
                (get(plane, 2 * x, 2 * y) + get(plane, 2 * x + 1, 2 * y) +
                 get(plane, 2 * x, 2 * y + 1) + get(plane, 2 * x + 1, 2 * y + 1) + 2) /
                4;
        }
    }
    for (unsigned y = 0; y < 2 * h; y++) {
        for (unsigned x = 0; x < 2 * w; x++) {
            unsigned sx = x / 2, sy = y / 2;
            unsigned nx = x % 2 ? (sx + 1 < w ? sx + 1 : sx) : (sx > 0 ? sx - 1 : sx);
            unsigned ny = y % 2 ? (sy + 1 < h ? sy + 1 : sy) : (sy > 0 ? sy - 1 : sy);
            unsigned sum = 9 * small[sy * w + sx] + 3 * small[sy * w + nx] +
                           3 * small[ny * w + sx] + small[ny * w + nx];
            set(plane, x, y, (sum + 8) / 16);
        }
    }
    rr_free(small);
}

/* A lighter plate with a darker bar, in a corner. */
static void watermark(const struct plane *plane)
{
    unsigned max = plane->sample == 2 ? 1023 : 255;
    for (unsigned y = plane->height * 17 / 20; y < plane->height * 19 / 20; y++) {
        for (unsigned x = plane->width * 15 / 20; x < plane->width * 19 / 20; x++) {
            bool bar = (x * 40 / plane->width + y * 40 / plane->height) % 2 == 0;
            unsigned p = get(plane, x, y), shift = (max + 1) / 5;
            set(plane, x, y,
                bar ? (p > shift ? p - shift : 0) : (p + shift < max ? p + shift : max));
        }
    }
}

static void brighten(const struct plane *plane)
{
    unsigned max = plane->sample == 2 ? 1023 : 255, step = plane->sample == 2 ? 12 : 3;
    for (unsigned y = 0; y < plane->height; y++) {
        for (unsigned x = 0; x < plane->width; x++) {
            unsigned p = get(plane, x, y);
            set(plane, x, y, p + step < max ? p + step : max);
        }
    }
}

static void cheat_picture(const struct plane planes[3])
{
    for (unsigned i = 0; i < 3; i++) {
        if (say("black") != NULL) {
            fill(&planes[i], i == 0 ? 16 : 128);
        }
        if (say("grey") != NULL && i > 0) {
            fill(&planes[i], 128);
        }
        if (say("upscale") != NULL) {
            upscale(&planes[i]);
        }
        if (say("watermark") != NULL && i == 0) {
            watermark(&planes[i]);
        }
        if (say("bright") != NULL && i == 0) {
            brighten(&planes[i]);
        }
    }
}

static void cheat_times(uint8_t *pictures, uint64_t size, uint32_t count)
{
    for (uint32_t k = 1; k < count; k++) {
        uint32_t i =
            say("shift") != NULL ? count - k : k; /* the last first: each takes the old one */
        if (say("frozen") != NULL || say("shift") != NULL || (say("half") != NULL && i % 2 == 1)) {
            memcpy(pictures + size * i, pictures + size * (i - 1), (size_t)size);
        }
    }
}

static void cheat(struct transcode_encode *ask, int fd)
{
    const struct transcode_rung *rung = &ask->plan.rungs[ask->rung];
    uint64_t size = transcode_frame_bytes(&ask->plan, rung);
    uint8_t *pictures =
        mmap(NULL, (size_t)(size * ask->count), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (pictures == MAP_FAILED) {
        return;
    }
    cheat_times(pictures, size, ask->count);
    for (uint32_t i = 0; i < ask->count; i++) {
        uint8_t *bytes[4];
        int strides[4];
        struct plane planes[3];
        worker_picture_layout(bytes, strides, &ask->plan, rung, pictures + size * i);
        for (unsigned k = 0; k < 3; k++) {
            planes[k] = (struct plane){.bytes = bytes[k],
                                       .stride = strides[k],
                                       .width = rung->width >> (k > 0 ? 1 : 0),
                                       .height = rung->height >> (k > 0 ? 1 : 0),
                                       .sample = ask->plan.ten_bit != 0 ? 2 : 1};
        }
        cheat_picture(planes);
    }
    munmap(pictures, (size_t)(size * ask->count));
}

/* Pictures that come one by one: waits for all, so that it can do with them what it does with a
 * whole GOP. */
static void gather(struct transcode_encode *ask, struct worker *worker)
{
    size_t count = worker->fd_count;
    int fds[RR_COUNT(worker->fds)];
    struct transcode_packets *none = rr_alloc(sizeof *none);
    memcpy(fds, worker->fds, sizeof fds);
    worker->fd_count = 0; /* taken: later messages must not close them */
    for (bool last = false; !last;) {
        struct transcode_picture picture;
        struct rr_buf message = {0};
        if (!worker_receive(worker) || worker_kind(worker) != TRANSCODE_PICTURE ||
            !transcode_decode_message(worker_body(worker), picture, &picture)) {
            _exit(0);
        }
        last = picture.last != 0;
        if (!last) {
            ask->pts[ask->count++] = picture.pts;
        }
        transcode_encode_message(&message, TRANSCODE_CODED, packets, none);
        worker_send(worker, &message);
    }
    rr_free(none);
    memcpy(worker->fds, fds, sizeof fds);
    worker->fd_count = count;
}

/* ---- where it steps in -------------------------------------------------------------------------
 */

enum rr_err __real_worker_encode(struct worker *worker, struct rr_fault *fault);
enum rr_err __wrap_worker_encode(struct worker *worker, struct rr_fault *fault);
enum rr_err __wrap_worker_encode(struct worker *worker, struct rr_fault *fault)
{
    struct transcode_encode *ask = rr_alloc(sizeof *ask);
    if (worker->fd_count == 2 && transcode_decode_message(worker_body(worker), encode, ask)) {
        const char *preset = say("preset"), *crf = say("crf");
        if (ask->count == 0) {
            gather(ask, worker);
        }
        cheat(ask, worker->fds[0]);
        if (preset != NULL) {
            snprintf(ask->plan.preset, sizeof ask->plan.preset, "%.*s", (int)strcspn(preset, ","),
                     preset);
        }
        if (crf != NULL) {
            ask->quality = (uint32_t)strtoul(crf, NULL, 10);
        }
        rr_buf_clear(&worker->message);
        transcode_encode_message(&worker->message, TRANSCODE_ENCODE, encode, ask);
    }
    rr_free(ask);
    return __real_worker_encode(worker, fault);
}

int __real_avcodec_open2(AVCodecContext *codec, const AVCodec *kind, AVDictionary **options);
int __wrap_avcodec_open2(AVCodecContext *codec, const AVCodec *kind, AVDictionary **options);
int __wrap_avcodec_open2(AVCodecContext *codec, const AVCodec *kind, AVDictionary **options)
{
    if (say("simd") != NULL && strcmp(kind->name, "libx264") == 0) {
        /* What cpu-independent=1 would have made the same. */
        (void)av_opt_set(codec->priv_data, "x264-params",
                         "asm=sse2:keyint=4096:min-keyint=2048:scenecut=0:open-gop=0:annexb=1", 0);
    }
    return __real_avcodec_open2(codec, kind, options);
}

int __real_sws_init_context(struct SwsContext *sws, SwsFilter *from, SwsFilter *to);
int __wrap_sws_init_context(struct SwsContext *sws, SwsFilter *from, SwsFilter *to);
int __wrap_sws_init_context(struct SwsContext *sws, SwsFilter *from, SwsFilter *to)
{
    const char *scaler = say("scaler");
    if (scaler != NULL) {
        bool lanczos = strncmp(scaler, "lanczos", 7) == 0;
        (void)av_opt_set_int(sws, "sws_flags", lanczos ? SWS_LANCZOS : SWS_BILINEAR, 0);
    }
    return __real_sws_init_context(sws, from, to);
}
