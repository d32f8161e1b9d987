/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How each encoder is told to give the same bytes on every machine: one thread's result, no scene
 * cuts, one key picture in front, nothing of its own build in the stream. What was measured stands
 * beside each setting. */
#include "transcode/worker/worker.h"
#include <libavutil/opt.h>
#include <string.h>

/* Above any GOP: the only key picture is the first. */
#define KEYINT_TEXT "4096"
#define KEYINT      4096

static const struct encoder {
    const char *name;
    enum AVCodecID id;
} encoders[] = {
    [RR_CODEC_H264] = {"libx264", AV_CODEC_ID_H264},
    [RR_CODEC_HEVC] = {"libx265", AV_CODEC_ID_HEVC},
    [RR_CODEC_AV1] = {"libsvtav1", AV_CODEC_ID_AV1},
    [RR_CODEC_VP9] = {"libvpx-vp9", AV_CODEC_ID_VP9},
};

void worker_encoders_warm(void)
{
    for (size_t i = 0; i < RR_COUNT(encoders); i++) {
        (void)avcodec_find_encoder_by_name(encoders[i].name);
    }
}

const char *worker_encoder_name(const struct transcode_plan *plan)
{
    return encoders[plan->codec].name;
}

enum AVCodecID worker_codec_id(const struct transcode_plan *plan)
{
    return encoders[plan->codec].id;
}

/* Mastering display and light levels, as x264 and x265 read them. */
static void hdr_params(struct rr_buf *text, const struct transcode_hdr *hdr, const char *display,
                       const char *light)
{
    if (hdr->has_mastering) {
        rr_buf_format(text, ":%s=G(%u,%u)B(%u,%u)R(%u,%u)WP(%u,%u)L(%u,%u)", display,
                      hdr->primaries[0][0], hdr->primaries[0][1], hdr->primaries[1][0],
                      hdr->primaries[1][1], hdr->primaries[2][0], hdr->primaries[2][1],
                      hdr->white[0], hdr->white[1], (unsigned)hdr->luminance_max,
                      (unsigned)hdr->luminance_min);
    }
    if (hdr->has_light) {
        rr_buf_format(text, ":%s=%u,%u", light, hdr->light_max, hdr->light_mean);
    }
}

/* The same in SVT-AV1's form: decimals. */
static void hdr_params_av1(struct rr_buf *text, const struct transcode_hdr *hdr)
{
    if (hdr->has_mastering) {
        rr_buf_format(
            text,
            ":mastering-display=G(%.5f,%.5f)B(%.5f,%.5f)R(%.5f,%.5f)WP(%.5f,%.5f)L(%.4f,%.4f)",
            hdr->primaries[0][0] / 50000.0, hdr->primaries[0][1] / 50000.0,
            hdr->primaries[1][0] / 50000.0, hdr->primaries[1][1] / 50000.0,
            hdr->primaries[2][0] / 50000.0, hdr->primaries[2][1] / 50000.0, hdr->white[0] / 50000.0,
            hdr->white[1] / 50000.0, hdr->luminance_max / 10000.0, hdr->luminance_min / 10000.0);
    }
    if (hdr->has_light) {
        rr_buf_format(text, ":content-light=%u,%u", hdr->light_max, hdr->light_mean);
    }
}

static int set_params(AVCodecContext *codec, const char *option, struct rr_buf *params)
{
    rr_write_u8(params, 0);
    int rc = av_opt_set(codec->priv_data, option, (const char *)params->ptr, 0);
    rr_buf_clear(params);
    return rc;
}

/* A mean rate and a limit, as x264 and x265 read them. */
static void rate_params(struct rr_buf *text, const struct rr_rung_rate *rate,
                        const struct transcode_vbv *vbv)
{
    if (rate->kbps > 0) {
        rr_buf_format(text, ":bitrate=%u", (unsigned)rate->kbps);
    }
    if (rate->max_kbps > 0) {
        rr_buf_format(text, ":vbv-maxrate=%u:vbv-bufsize=%u:vbv-init=%u.%03u",
                      (unsigned)vbv->rate_kbps, (unsigned)vbv->buffer_kbit,
                      vbv->start_permille / 1000u, vbv->start_permille % 1000u);
    }
}

/* cpu-independent: the same bytes on every SIMD level. stitchable: parameter sets that do not
 * depend on the quality, which the tries of a limited GOP change. */
static int set_x264(AVCodecContext *codec, const struct transcode_plan *plan,
                    const struct rr_rung_rate *rate, const struct transcode_vbv *vbv)
{
    struct rr_buf params = {0};
    rr_buf_format(&params,
                  "cpu-independent=1:keyint=" KEYINT_TEXT
                  ":min-keyint=2048:scenecut=0:open-gop=0:annexb=1%s",
                  rate->max_kbps > 0 ? ":stitchable=1" : "");
    rate_params(&params, rate, vbv);
    hdr_params(&params, &plan->hdr, "mastering-display", "cll");
    return set_params(codec, "x264-params", &params);
}

/* Frame threads and wavefronts change the bytes, SIMD levels do not. No pool: the one thread that
 * is left is the frame encoder's own. info: its build and options as SEI. */
static int set_x265(AVCodecContext *codec, const struct transcode_plan *plan,
                    const struct rr_rung_rate *rate, const struct transcode_vbv *vbv)
{
    struct rr_buf params = {0};
    rr_buf_format(&params,
                  "log-level=none:info=0:frame-threads=1:pools=none:wpp=0:keyint=" KEYINT_TEXT
                  ":min-keyint=2048:scenecut=0:open-gop=0:annexb=1:repeat-headers=0");
    rate_params(&params, rate, vbv);
    if (plan->hdr.has_mastering || plan->hdr.has_light) {
        rr_buf_format(&params, ":hdr10=1");
    }
    hdr_params(&params, &plan->hdr, "master-display", "max-cll");
    return set_params(codec, "x265-params", &params);
}

/* Neither threads nor SIMD levels change its bytes under constant quality; under a mean rate one
 * logical processor gives the same bytes again. Its own limits are loose and refused beside a mean
 * near them, so the tries alone keep them. */
static int set_svtav1(AVCodecContext *codec, const struct transcode_plan *plan,
                      const struct rr_rung_rate *rate)
{
    struct rr_buf params = {0};
    rr_buf_format(&params, "lp=1:scd=0:irefresh-type=2");
    hdr_params_av1(&params, &plan->hdr);
    codec->gop_size = KEYINT;
    codec->bit_rate = (int64_t)rate->kbps * 1000;
    return set_params(codec, "svtav1-params", &params);
}

/* Rows of tiles in threads change the bytes; nothing else does. */
static int set_vpx(AVCodecContext *codec, const struct transcode_plan *plan,
                   const struct rr_rung_rate *rate, const struct transcode_vbv *vbv)
{
    void *own = codec->priv_data;
    codec->gop_size = KEYINT;
    codec->bit_rate = (int64_t)rate->kbps * 1000;
    if (rate->kbps > 0) { /* constant quality has no limit of its own: the tries keep it */
        codec->rc_max_rate = (int64_t)vbv->rate_kbps * 1000;
        codec->rc_buffer_size = (int)(vbv->buffer_kbit * UINT64_C(1000));
        codec->rc_initial_buffer_occupancy = (int)(vbv->buffer_kbit * vbv->start_permille);
    }
    codec->profile = plan->ten_bit ? FF_PROFILE_VP9_2 : FF_PROFILE_VP9_0;
    int rc = av_opt_set_int(own, "row-mt", 0, 0);
    rc = rc < 0 ? rc : av_opt_set(own, "deadline", "good", 0);
    rc = rc < 0 ? rc : av_opt_set(own, "cpu-used", plan->preset, 0);
    rc = rc < 0 ? rc : av_opt_set_int(own, "auto-alt-ref", 1, 0);
    rc = rc < 0 ? rc : av_opt_set_int(own, "lag-in-frames", 25, 0);
    return rc < 0 ? rc : av_opt_set_int(own, "frame-parallel", 0, 0);
}

int worker_codec_settings(AVCodecContext *codec, const struct transcode_encode *ask,
                          const struct rr_rung_rate *rate)
{
    const struct transcode_plan *plan = &ask->plan;
    struct transcode_vbv vbv;
    int rc = 0;
    transcode_vbv(&vbv, ask);
    if (plan->codec != RR_CODEC_VP9) {
        rc = av_opt_set(codec->priv_data, "preset", plan->preset, 0);
    }
    if (rate->kbps > 0) {
        /* a mean rate and no quality */
    } else if (plan->codec == RR_CODEC_AV1 || plan->codec == RR_CODEC_VP9) {
        rc = rc < 0 ? rc : av_opt_set_int(codec->priv_data, "crf", rate->crf, 0);
    } else {
        rc = rc < 0 ? rc : av_opt_set_double(codec->priv_data, "crf", rate->crf, 0);
    }
    if (rc < 0) {
        return rc;
    }
    switch ((enum rr_codec)plan->codec) {
    case RR_CODEC_H264:
        return set_x264(codec, plan, rate, &vbv);
    case RR_CODEC_HEVC:
        return set_x265(codec, plan, rate, &vbv);
    case RR_CODEC_AV1:
        return set_svtav1(codec, plan, rate);
    case RR_CODEC_VP9:
        return set_vpx(codec, plan, rate, &vbv);
    }
    return AVERROR(EINVAL);
}
