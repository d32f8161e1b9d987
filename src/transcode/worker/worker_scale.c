/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pictures of the source into the rungs' sizes, each rung out of the one above it; that order is
 * part of the profile. Flags with the same result on every SIMD level (measured; swscale's default
 * differs under AVX-512). */
#include "tonemap/tonemap.h"
#include "transcode/worker/worker.h"
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>

#define EXACT_FLAGS (SWS_BICUBIC | SWS_ACCURATE_RND | SWS_BITEXACT)

struct shape {
    int width, height, format, full_range;
};
struct worker_scale {
    struct transcode_plan plan;
    struct SwsContext *sws[RR_RUNGS_MAX];
    struct shape source;                /* what sws[0] is made for */
    uint8_t *scratch[RR_RUNGS_MAX + 2]; /* rungs that nobody wants but later ones need; then before
                                           turning, and before tone mapping */
    struct rr_tonemap *tone;            /* NULL: pictures stay in their range */
};

void worker_picture_layout(uint8_t *planes[4], int strides[4], const struct transcode_plan *plan,
                           const struct transcode_rung *rung, uint8_t *bytes)
{
    strides[0] = (int)transcode_stride(plan, rung->width);
    strides[1] = strides[2] = (int)transcode_stride(plan, rung->width / 2u);
    strides[3] = 0;
    planes[0] = bytes;
    planes[1] = planes[0] + (size_t)strides[0] * rung->height;
    planes[2] = planes[1] + (size_t)strides[1] * (rung->height / 2u);
    planes[3] = NULL;
}

struct worker_scale *worker_scale_new(const struct transcode_plan *plan)
{
    struct worker_scale *scale = rr_alloc(sizeof *scale);
    scale->plan = *plan;
    if (plan->tone.transfer != 0) {
        const struct rr_tonemap_from from = {.transfer = plan->tone.transfer,
                                             .primaries = plan->tone.primaries,
                                             .matrix = plan->tone.matrix,
                                             .full_range = plan->tone.full_range != 0,
                                             .peak_nits = plan->tone.peak_nits};
        scale->tone = rr_alloc(sizeof *scale->tone);
        rr_tonemap_init(scale->tone, &from);
    }
    return scale;
}

void worker_scale_free(struct worker_scale *scale)
{
    if (scale == NULL) {
        return;
    }
    for (unsigned i = 0; i < RR_RUNGS_MAX; i++) {
        sws_freeContext(scale->sws[i]);
    }
    for (size_t i = 0; i < RR_COUNT(scale->scratch); i++) {
        rr_free(scale->scratch[i]);
    }
    rr_free(scale->tone);
    rr_free(scale);
}

static int rung_format(const struct transcode_plan *plan)
{
    return plan->ten_bit != 0 ? AV_PIX_FMT_YUV420P10LE : AV_PIX_FMT_YUV420P;
}

static enum rr_err make_sws(struct SwsContext **out, struct shape from, struct shape to, int matrix,
                            struct rr_fault *fault)
{
    sws_freeContext(*out);
    struct SwsContext *sws = *out = sws_alloc_context();
    if (sws == NULL) {
        return rr_fail(fault, RR_ERR_MEMORY, "no memory for scaling");
    }
    av_opt_set_int(sws, "srcw", from.width, 0);
    av_opt_set_int(sws, "srch", from.height, 0);
    av_opt_set_int(sws, "src_format", from.format, 0);
    av_opt_set_int(sws, "src_range", from.full_range, 0);
    av_opt_set_int(sws, "dstw", to.width, 0);
    av_opt_set_int(sws, "dsth", to.height, 0);
    av_opt_set_int(sws, "dst_format", to.format, 0);
    av_opt_set_int(sws, "dst_range", to.full_range, 0);
    av_opt_set_int(sws, "sws_flags", EXACT_FLAGS, 0);
    av_opt_set_int(sws, "threads", 1, 0);
    int rc = sws_init_context(sws, NULL, NULL);
    if (rc < 0) {
        return worker_fail_av(fault, rc, "pictures of this kind cannot be scaled");
    }
    const AVPixFmtDescriptor *shape = av_pix_fmt_desc_get(from.format);
    if ((shape->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL)) != 0) {
        const int *table =
            sws_getCoefficients(matrix == AVCOL_SPC_BT709 ? SWS_CS_ITU709 : SWS_CS_ITU601);
        sws_setColorspaceDetails(sws, table, 1, table, to.full_range, 0, 1 << 16, 1 << 16);
    }
    return RR_OK;
}

/* The old "J" formats mean full range and are else the plain ones. */
static int plain_format(int format)
{
    switch (format) {
    case AV_PIX_FMT_YUVJ420P:
        return AV_PIX_FMT_YUV420P;
    case AV_PIX_FMT_YUVJ422P:
        return AV_PIX_FMT_YUV422P;
    case AV_PIX_FMT_YUVJ444P:
        return AV_PIX_FMT_YUV444P;
    case AV_PIX_FMT_YUVJ440P:
        return AV_PIX_FMT_YUV440P;
    default:
        return format;
    }
}

/* As the plan, but before tone mapping: 10 bits in the range of the source. */
static struct transcode_plan source_plan(const struct transcode_plan *plan)
{
    struct transcode_plan before = *plan;
    if (plan->tone.transfer != 0) {
        before.ten_bit = 1;
        before.full_range = plan->tone.full_range;
        before.matrix = plan->tone.matrix;
    }
    return before;
}

/* The first rung's size before it is turned. */
static struct transcode_rung flat_rung(const struct transcode_plan *plan)
{
    struct transcode_rung rung = plan->rungs[0];
    if ((plan->orientation & 1) != 0) {
        rung.width = plan->rungs[0].height;
        rung.height = plan->rungs[0].width;
    }
    return rung;
}

/* Sources may change size or format at any picture; the rungs do not. */
static enum rr_err fit_source(struct worker_scale *scale, const AVFrame *frame,
                              struct rr_fault *fault)
{
    const struct transcode_plan before = source_plan(&scale->plan), *plan = &before;
    struct transcode_rung flat = flat_rung(plan);
    struct shape from = {.width = frame->width,
                         .height = frame->height,
                         .format = plain_format(frame->format),
                         .full_range = plan->full_range};
    struct shape to = {.width = flat.width,
                       .height = flat.height,
                       .format = rung_format(plan),
                       .full_range = plan->full_range};
    if (scale->sws[0] != NULL && scale->source.width == from.width &&
        scale->source.height == from.height && scale->source.format == from.format) {
        return RR_OK;
    }
    if (frame->width <= 0 || frame->height <= 0 || frame->width > TRANSCODE_SIDE_MAX ||
        frame->height > TRANSCODE_SIDE_MAX || !sws_isSupportedInput(from.format)) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED, "pictures of %dx%d in %s are not supported",
                       frame->width, frame->height, av_get_pix_fmt_name(frame->format));
    }
    scale->source = from;
    return make_sws(&scale->sws[0], from, to, plan->matrix, fault);
}

static void turn_plane(uint8_t *out, int out_stride, const uint8_t *in, int in_stride,
                       unsigned width, unsigned height, unsigned orientation, unsigned sample_bytes)
{
    for (unsigned row = 0; row < height; row++) {
        unsigned y = (orientation & 4) != 0 ? height - 1 - row : row;
        uint8_t *to = out + (size_t)row * (unsigned)out_stride;
        for (unsigned column = 0; column < width; column++, to += sample_bytes) {
            unsigned x = (orientation & 2) != 0 ? width - 1 - column : column;
            unsigned in_column = (orientation & 1) != 0 ? y : x;
            unsigned in_row = (orientation & 1) != 0 ? x : y;
            const uint8_t *from =
                in + (size_t)in_row * (unsigned)in_stride + (size_t)in_column * sample_bytes;
            to[0] = from[0];
            if (sample_bytes == 2) {
                to[1] = from[1];
            }
        }
    }
}

static void turn(const struct transcode_plan *plan, uint8_t *out, uint8_t *flat)
{
    struct transcode_rung flat_shape = flat_rung(plan);
    uint8_t *to[4], *from[4];
    int to_strides[4], from_strides[4];
    worker_picture_layout(to, to_strides, plan, &plan->rungs[0], out);
    worker_picture_layout(from, from_strides, plan, &flat_shape, flat);
    for (unsigned i = 0; i < 3; i++) {
        unsigned shift = i == 0 ? 0 : 1;
        turn_plane(to[i], to_strides[i], from[i], from_strides[i],
                   (unsigned)plan->rungs[0].width >> shift,
                   (unsigned)plan->rungs[0].height >> shift, plan->orientation,
                   plan->ten_bit != 0 ? 2 : 1);
    }
}

static uint8_t *scratch(struct worker_scale *scale, unsigned index,
                        const struct transcode_plan *plan, const struct transcode_rung *rung)
{
    if (scale->scratch[index] == NULL) {
        scale->scratch[index] = rr_alloc_aligned((size_t)transcode_frame_bytes(plan, rung));
    }
    return scale->scratch[index];
}

static void map_tones(struct worker_scale *scale, const struct transcode_rung *flat, uint8_t *out,
                      uint8_t *in)
{
    struct transcode_plan before = source_plan(&scale->plan);
    uint8_t *to[4], *from[4];
    int to_strides[4], from_strides[4];
    size_t out_strides[3], in_strides[3];
    worker_picture_layout(to, to_strides, &scale->plan, flat, out);
    worker_picture_layout(from, from_strides, &before, flat, in);
    for (unsigned i = 0; i < 3; i++) {
        out_strides[i] = (size_t)to_strides[i];
        in_strides[i] = (size_t)from_strides[i];
    }
    const uint8_t *planes[3] = {from[0], from[1], from[2]};
    rr_tonemap_picture(scale->tone, to, out_strides, planes, in_strides, flat->width, flat->height);
}

static enum rr_err scale_first(struct worker_scale *scale, uint8_t *out, const AVFrame *frame,
                               struct rr_fault *fault)
{
    struct transcode_plan before = source_plan(&scale->plan);
    struct transcode_rung flat = flat_rung(&scale->plan);
    uint8_t *plain =
        scale->plan.orientation != 0 ? scratch(scale, RR_RUNGS_MAX, &scale->plan, &flat) : out;
    uint8_t *to = scale->tone != NULL ? scratch(scale, RR_RUNGS_MAX + 1, &before, &flat) : plain;
    uint8_t *planes[4];
    int strides[4];
    enum rr_err err = fit_source(scale, frame, fault);
    if (err != RR_OK) {
        return err;
    }
    worker_picture_layout(planes, strides, &before, &flat, to);
    int rows = sws_scale(scale->sws[0], (const uint8_t *const *)frame->data, frame->linesize, 0,
                         frame->height, planes, strides);
    if (rows < 0) {
        return worker_fail_av(fault, rows, "scaling failed");
    }
    if (scale->tone != NULL) {
        map_tones(scale, &flat, plain, to);
    }
    if (scale->plan.orientation != 0) {
        turn(&scale->plan, out, plain);
    }
    return RR_OK;
}

static enum rr_err scale_next(struct worker_scale *scale, unsigned index, uint8_t *out,
                              uint8_t *above, struct rr_fault *fault)
{
    const struct transcode_plan *plan = &scale->plan;
    const struct transcode_rung *big = &plan->rungs[index - 1], *rung = &plan->rungs[index];
    uint8_t *from[4], *to[4];
    int from_strides[4], to_strides[4];
    if (scale->sws[index] == NULL) {
        struct shape in = {.width = big->width,
                           .height = big->height,
                           .format = rung_format(plan),
                           .full_range = plan->full_range};
        struct shape made = {.width = rung->width,
                             .height = rung->height,
                             .format = in.format,
                             .full_range = in.full_range};
        enum rr_err err = make_sws(&scale->sws[index], in, made, plan->matrix, fault);
        if (err != RR_OK) {
            return err;
        }
    }
    worker_picture_layout(from, from_strides, plan, big, above);
    worker_picture_layout(to, to_strides, plan, rung, out);
    int rows = sws_scale(scale->sws[index], (const uint8_t *const *)from, from_strides, 0,
                         big->height, to, to_strides);
    return rows < 0 ? worker_fail_av(fault, rows, "scaling failed") : RR_OK;
}

enum rr_err worker_scale_frame(struct worker_scale *scale, uint8_t *const out[RR_RUNGS_MAX],
                               const AVFrame *frame, struct rr_fault *fault)
{
    const struct transcode_plan *plan = &scale->plan;
    unsigned last = 0;
    uint8_t *above = NULL;
    for (unsigned i = 0; i < plan->rung_count; i++) {
        last = out[i] != NULL ? i + 1 : last;
    }
    for (unsigned i = 0; i < last; i++) {
        uint8_t *to = out[i] != NULL ? out[i] : scratch(scale, i, plan, &plan->rungs[i]);
        enum rr_err err =
            i == 0 ? scale_first(scale, to, frame, fault) : scale_next(scale, i, to, above, fault);
        if (err != RR_OK) {
            return err;
        }
        above = to;
    }
    return RR_OK;
}
