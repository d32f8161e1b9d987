/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Scaling on a device, in the order of the CPU's cascade. Its arithmetic is the driver's, so this
 * is for class tolerant only. */
#include "transcode/worker/worker_device.h"
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <string.h>

bool worker_device_scales(const struct worker_device *device, const struct transcode_plan *plan)
{
    return !device->exact && device->kind->scaler != NULL && plan->orientation == 0 &&
           plan->tone.transfer == 0;
}

void worker_device_unscale(struct worker_device *device)
{
    for (unsigned i = 0; i < RR_RUNGS_MAX; i++) {
        av_frame_free(&device->scaled[i]);
        device->out[i] = NULL;
    }
    avfilter_graph_free(&device->graph);
    device->in = NULL;
}

static int add(AVFilterContext **out, AVFilterGraph *graph, const char *name, const char *words)
{
    const AVFilter *filter = avfilter_get_by_name(name);
    return filter == NULL ? AVERROR_FILTER_NOT_FOUND
                          : avfilter_graph_create_filter(out, filter, NULL, words, NULL, graph);
}

static int add_source(struct worker_device *device, const AVFrame *frame)
{
    AVBufferSrcParameters *facts = av_buffersrc_parameters_alloc();
    device->in =
        avfilter_graph_alloc_filter(device->graph, avfilter_get_by_name("buffer"), "source");
    int rc = facts == NULL || device->in == NULL ? AVERROR(ENOMEM) : 0;
    if (rc == 0) {
        facts->format = frame->format;
        facts->width = frame->width;
        facts->height = frame->height;
        facts->time_base = (AVRational){1, 90000};
        facts->sample_aspect_ratio = (AVRational){1, 1};
        facts->hw_frames_ctx = frame->hw_frames_ctx; /* a reference of its own is taken */
        rc = av_buffersrc_parameters_set(device->in, facts);
        rc = rc < 0 ? rc : avfilter_init_str(device->in, NULL);
    }
    av_free(facts);
    return rc;
}

/* One rung behind `*last`, which becomes where the next one hangs on. */
static int add_rung(struct worker_device *device, const struct transcode_plan *plan, unsigned rung,
                    AVFilterContext **last, unsigned *pad)
{
    char words[160];
    const char *format = plan->ten_bit != 0 ? "p010" : "nv12";
    AVFilterContext *scale = NULL, *split = NULL, *end = NULL;
    snprintf(words, sizeof words, "w=%u:h=%u:%s%s", plan->rungs[rung].width,
             plan->rungs[rung].height, device->kind->scaler_words,
             device->kind->format == AV_PIX_FMT_NONE ? "" : format);
    int rc = add(&scale, device->graph, device->kind->scaler, words);
    rc = rc < 0 ? rc : avfilter_link(*last, *pad, scale, 0);
    end = scale;
    if (rc >= 0 && device->kind->format == AV_PIX_FMT_NONE) {
        rc = add(&end, device->graph, "format", format);
        rc = rc < 0 ? rc : avfilter_link(scale, 0, end, 0);
    }
    *pad = 0;
    if (rc >= 0 && rung + 1 < plan->rung_count) {
        rc = add(&split, device->graph, "split", "2");
        rc = rc < 0 ? rc : avfilter_link(end, 0, split, 0);
        end = split;
        *pad = 1;
    }
    rc = rc < 0 ? rc : add(&device->out[rung], device->graph, "buffersink", NULL);
    rc = rc < 0 ? rc : avfilter_link(end, 0, device->out[rung], 0);
    *last = end;
    return rc;
}

static int make_graph(struct worker_device *device, const struct transcode_plan *plan,
                      const AVFrame *frame)
{
    unsigned pad = 0;
    worker_device_unscale(device);
    device->graph = avfilter_graph_alloc();
    if (device->graph == NULL) {
        return AVERROR(ENOMEM);
    }
    device->graph->nb_threads = 1;
    int rc = add_source(device, frame);
    AVFilterContext *last = device->in;
    for (unsigned rung = 0; rung < plan->rung_count && rc >= 0; rung++) {
        device->scaled[rung] = av_frame_alloc();
        rc = device->scaled[rung] == NULL ? AVERROR(ENOMEM)
                                          : add_rung(device, plan, rung, &last, &pad);
    }
    rc = rc < 0 ? rc : avfilter_graph_config(device->graph, NULL);
    if (rc >= 0) {
        device->width = frame->width;
        device->height = frame->height;
        device->format = frame->format;
        device->frames = frame->hw_frames_ctx != NULL ? frame->hw_frames_ctx->data : NULL;
    } else {
        worker_device_unscale(device);
    }
    return rc;
}

enum rr_err worker_device_scale(struct worker_device *device, const struct transcode_plan *plan,
                                const AVFrame *frame, struct rr_fault *fault)
{
    uint8_t *frames = frame->hw_frames_ctx != NULL ? frame->hw_frames_ctx->data : NULL;
    int rc = worker_driver.event(WORKER_DEVICE_PICTURE, AV_CODEC_ID_NONE);
    if (rc < 0) {
        return worker_device_fail(fault, rc, "the device's decoder failed");
    }
    if (frame->crop_left != 0 || frame->crop_top != 0) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED, "%s cannot cut pictures on the left or above",
                       device->id);
    }
    if (device->graph == NULL || device->width != frame->width || device->height != frame->height ||
        device->format != frame->format || device->frames != frames) {
        for (unsigned i = 0; i < plan->rung_count; i++) {
            if (device->encoders[i] != NULL && device->graph != NULL) {
                return rr_fail(fault, RR_ERR_UNSUPPORTED,
                               "pictures change their size or kind within a GOP");
            }
        }
        rc = make_graph(device, plan, frame);
        if (rc < 0) {
            return worker_device_fail(fault, rc, "the device does not scale");
        }
    }
    AVFrame *given = av_frame_clone(frame);
    if (given == NULL) {
        return rr_fail(fault, RR_ERR_MEMORY, "no memory for a picture");
    }
    rc = av_buffersrc_add_frame(device->in, given);
    av_frame_free(&given);
    for (unsigned rung = 0; rung < plan->rung_count && rc >= 0; rung++) {
        av_frame_unref(device->scaled[rung]);
        rc = av_buffersink_get_frame(device->out[rung], device->scaled[rung]);
    }
    return rc < 0 ? worker_device_fail(fault, rc, "scaling on the device failed") : RR_OK;
}
