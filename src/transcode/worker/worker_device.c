/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What makes a worker one of a device: its messages, and its part in decoding and encoding tasks.
 */
#include "transcode/worker/worker_device.h"
#include <libavutil/log.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- what libav says
 * --------------------------------------------------------------------------------- */

static char said[160];

/* Keeps errors until they are asked for, the first above all: drivers tell by it alone why they
 * refuse. Printable ASCII, since it goes into sentences. Codecs' complaints about what they decode
 * never come here. */
__attribute__((format(printf, 3, 0))) static void hear(void *ctx, int level, const char *format,
                                                       va_list args)
{
    char line[sizeof said];
    const AVClass *kind = ctx != NULL ? *(AVClass **)ctx : NULL;
    if (level > AV_LOG_ERROR) {
        return;
    }
    int len = vsnprintf(line, sizeof line, format, args);
    if (len <= 0 || (kind != NULL && kind->category == AV_CLASS_CATEGORY_DEMUXER)) {
        return;
    }
    size_t used = strlen(said);
    if (used > 0 && used + 2 < sizeof said) {
        said[used++] = ';';
        said[used++] = ' ';
    }
    for (size_t i = 0; line[i] != 0 && used + 1 < sizeof said; i++) {
        if (line[i] >= 0x20 && line[i] <= 0x7e) {
            said[used++] = line[i];
        }
    }
    said[used] = 0;
}

void worker_device_listen(void)
{
    av_log_set_level(AV_LOG_ERROR);
    av_log_set_callback(hear);
}

const char *worker_device_said(void)
{
    return said;
}

void worker_device_forget(void)
{
    said[0] = 0;
}

/* Consumer cards: OUT_OF_MEMORY of older drivers and INCOMPATIBLE_CLIENT_KEY of newer ones both
 * mean that the last session that the driver allows is taken. */
static bool no_session_left(int averror)
{
    bool opening = strstr(said, "OpenEncodeSessionEx failed") != NULL;
    return averror == AVERROR(EBUSY) ||
           (opening && (strstr(said, "out of memory") != NULL ||
                        strstr(said, "incompatible client key") != NULL));
}

static bool no_encoder(void)
{
    return strstr(said, "no encode device") != NULL || strstr(said, "unsupported device") != NULL ||
           strstr(said, "No capable devices found") != NULL ||
           strstr(said, "No usable encoding entrypoint") != NULL ||
           strstr(said, "No usable encoding profile") != NULL;
}

enum rr_err worker_device_fail(struct rr_fault *fault, int averror, const char *what)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(averror, text, sizeof text);
    enum rr_err code = no_session_left(averror) ? RR_ERR_BUSY
                       : no_encoder()           ? RR_ERR_UNSUPPORTED
                                                : RR_ERR_IO;
    enum rr_err err = said[0] != 0 ? rr_fail(fault, code, "%s: %s (%s)", what, said, text)
                                   : rr_fail(fault, code, "%s: %s", what, text);
    worker_device_forget();
    return err;
}

/* ---- open
 * -------------------------------------------------------------------------------------------- */

enum rr_err worker_device_open(struct worker_device **out, const char *id, bool exact,
                               struct rr_fault *fault)
{
    const struct worker_device_kind *kind = worker_driver.kind(id);
    if (kind == NULL) {
        return rr_fail(
            fault, RR_ERR_USAGE,
            "device \"%.63s\": cuda:N, vaapi:/dev/dri/renderDN and qsv:/dev/dri/renderDN "
            "are known",
            id);
    }
    struct worker_device *device = rr_alloc(sizeof *device);
    snprintf(device->id, sizeof device->id, "%.63s", id);
    device->kind = kind;
    device->exact = exact;
    worker_device_forget();
    int rc = worker_driver.open(&device->ref, kind, id);
    if (rc < 0) {
        enum rr_err err = worker_device_fail(fault, rc, "the device cannot be opened");
        rr_free(device);
        return err;
    }
    *out = device;
    return RR_OK;
}

void worker_device_close(struct worker_device *device)
{
    if (device == NULL) {
        return;
    }
    for (unsigned i = 0; i < RR_RUNGS_MAX; i++) {
        worker_device_encoder_free(device->encoders[i]);
    }
    worker_device_unscale(device);
    av_buffer_unref(&device->ref);
    rr_free(device);
}

/* ---- tasks
 * ------------------------------------------------------------------------------------------- */

static enum rr_err use(struct worker *worker, struct rr_fault *fault)
{
    struct transcode_use ask;
    struct rr_buf message = {0};
    if (!transcode_decode_message(worker_body(worker), use, &ask) || worker->device != NULL) {
        return rr_fail(fault, RR_ERR_USAGE, "a device that does not follow its form");
    }
    enum rr_err err = worker_device_open(&worker->device, ask.device, ask.exact != 0, fault);
    if (err == RR_OK) {
        rr_write_u8(&message, TRANSCODE_USED);
        worker_send(worker, &message);
    }
    return err;
}

static enum rr_err names(struct worker *worker)
{
    struct transcode_device_names *found = rr_alloc(sizeof *found);
    struct rr_buf message = {0};
    worker_driver.list(found);
    transcode_encode_message(&message, TRANSCODE_DEVICE_NAMES, device_names, found);
    worker_send(worker, &message);
    rr_free(found);
    return RR_OK;
}

static enum rr_err facts(struct worker *worker, struct rr_fault *fault)
{
    struct transcode_device_ask ask;
    struct rr_transcode_device found = {0};
    struct rr_buf message = {0};
    if (!transcode_decode_message(worker_body(worker), device_ask, &ask)) {
        return rr_fail(fault, RR_ERR_USAGE, "a device that does not follow its form");
    }
    worker_device_probe(&found, ask.name);
    transcode_encode_message(&message, TRANSCODE_DEVICE_FACTS, device_facts, &found);
    worker_send(worker, &message);
    return RR_OK;
}

static enum rr_err task(struct worker *worker, struct rr_fault *fault)
{
    switch (worker_kind(worker)) {
    case TRANSCODE_DEVICES:
        return names(worker);
    case TRANSCODE_DEVICE:
        return facts(worker, fault);
    case TRANSCODE_USE:
        return use(worker, fault);
    default:
        return rr_fail(fault, RR_ERR_USAGE, "message kind %u is not a task", worker_kind(worker));
    }
}

/* ---- its part in a source task
 * ----------------------------------------------------------------------- */

static uint8_t gop_begin(struct worker_device *device, const struct transcode_plan *plan,
                         uint8_t wanted)
{
    uint8_t taken = 0;
    for (unsigned i = 0; i < plan->rung_count; i++) {
        worker_device_encoder_free(device->encoders[i]);
        device->encoders[i] = NULL;
    }
    if (worker_device_scales(device, plan)) {
        taken = wanted;
    }
    return taken;
}

/* Opens the encoders with the first picture, when its place on the device is known. A rung whose
 * session the driver refuses stays a rung of raw pictures. */
static enum rr_err open_encoders(struct worker_device *device, const struct transcode_plan *plan,
                                 uint8_t *coded, struct rr_fault *fault)
{
    for (unsigned i = 0; i < plan->rung_count; i++) {
        if ((*coded >> i & 1) == 0) {
            continue;
        }
        enum rr_err err = worker_device_encoder_open(&device->encoders[i], device, plan, i,
                                                     device->scaled[i]->hw_frames_ctx, fault);
        if (err == RR_ERR_BUSY) {
            *coded &= (uint8_t) ~(1u << i);
        } else if (err != RR_OK) {
            return err;
        }
    }
    return RR_OK;
}

static enum rr_err picture(struct worker_device *device, const struct transcode_plan *plan,
                           uint8_t *coded, bool first, AVFrame *frame, int64_t pts,
                           struct rr_fault *fault)
{
    enum rr_err err = worker_device_scale(device, plan, frame, fault);
    if (err == RR_OK && first) {
        err = open_encoders(device, plan, coded, fault);
    }
    for (unsigned i = 0; i < plan->rung_count && err == RR_OK; i++) {
        if (device->encoders[i] != NULL) {
            err = worker_device_encoder_add(device->encoders[i], device->scaled[i], pts, fault);
        }
    }
    return err;
}

static enum rr_err store(struct worker_device *device, const struct transcode_plan *plan,
                         uint8_t *const out[RR_RUNGS_MAX], struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    for (unsigned i = 0; i < plan->rung_count && err == RR_OK; i++) {
        if (out[i] != NULL) {
            err = worker_device_store(plan, i, out[i], device->scaled[i], fault);
        }
    }
    return err;
}

static enum rr_err gop_end(struct worker_device *device, unsigned rung, int fd,
                           struct transcode_packets *answer, struct rr_fault *fault)
{
    enum rr_err err = worker_device_encoder_end(device->encoders[rung], fd, answer, fault);
    worker_device_encoder_free(device->encoders[rung]);
    device->encoders[rung] = NULL;
    return err;
}

/* ---- its part in an encode task
 * ------------------------------------------------------------------ */

static enum rr_err encode(struct worker_device *device, const struct transcode_encode *ask,
                          const int fds[2], struct transcode_packets *answer,
                          struct rr_fault *fault)
{
    uint64_t frame_bytes = transcode_frame_bytes(&ask->plan, &ask->plan.rungs[ask->rung]);
    size_t bytes = (size_t)(frame_bytes * ask->count);
    struct worker_device_encoder *encoder = NULL;
    uint8_t *pictures = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fds[0], 0);
    if (pictures == MAP_FAILED) {
        return rr_fail_errno(fault, "%zu bytes of pictures cannot be mapped", bytes);
    }
    enum rr_err err =
        worker_device_encoder_open(&encoder, device, &ask->plan, ask->rung, NULL, fault);
    for (uint32_t i = 0; i < ask->count && err == RR_OK; i++) {
        err = worker_device_encoder_upload(encoder, pictures + i * frame_bytes, ask->pts[i], fault);
    }
    err = err != RR_OK ? err : worker_device_encoder_end(encoder, fds[1], answer, fault);
    worker_device_encoder_free(encoder);
    munmap(pictures, bytes);
    return err;
}

static void warm(void)
{
    worker_device_listen();
    worker_driver.early();
}

const struct worker_profile worker_profile = {.lock_down = worker_device_lock_down,
                                              .self_test = worker_device_self_test,
                                              .warm = warm,
                                              .task = task,
                                              .decoder = worker_device_decoder,
                                              .scales = worker_device_scales,
                                              .gop_begin = gop_begin,
                                              .picture = picture,
                                              .store = store,
                                              .gop_end = gop_end,
                                              .plain = worker_device_plain,
                                              .encode = encode};
