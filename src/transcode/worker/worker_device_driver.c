/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real drivers, by way of libav: CUDA with NVDEC and NVENC, VAAPI, QSV. libav opens their
 * libraries at run time, so nothing of them is needed to build or to start. */
#include "transcode/worker/worker_device.h"
#include <dlfcn.h>
#include <errno.h>
#include <libavutil/opt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CARDS_MAX    8
#define RENDER_FIRST 128
#define RENDER_MAX   8

/* ---- settings
 * ---------------------------------------------------------------------------------------- */

/* A mean rate, or a quality under a limit; both of one second. */
static void set_rate(AVCodecContext *codec, const struct rr_rung_rate *rate)
{
    codec->bit_rate = (int64_t)rate->kbps * 1000;
    codec->rc_max_rate = (int64_t)rate->max_kbps * 1000;
    codec->rc_buffer_size = (int)(rate->max_kbps < INT_MAX / 1000 ? rate->max_kbps * 1000 : 0);
}

/* Constant quality unless a rate is asked for; B-frames only where every generation has them, none
 * of another GOP. */
static int set_nvenc(AVCodecContext *codec, const struct transcode_plan *plan,
                     const struct rr_rung_rate *rate)
{
    void *own = codec->priv_data;
    set_rate(codec, rate);
    codec->max_b_frames = plan->codec == RR_CODEC_H264 ? 2 : 0;
    int rc = av_opt_set(own, "preset", "p4", 0);
    rc = rc < 0 ? rc : av_opt_set(own, "tune", "hq", 0);
    rc = rc < 0 ? rc : av_opt_set(own, "rc", "vbr", 0);
    if (rate->kbps == 0) {
        rc = rc < 0 ? rc : av_opt_set_double(own, "cq", rate->crf, 0);
    }
    rc = rc < 0 ? rc : av_opt_set_int(own, "no-scenecut", 1, 0);
    rc = rc < 0 ? rc : av_opt_set_int(own, "forced-idr", 1, 0);
    rc = rc < 0 ? rc : av_opt_set_int(own, "strict_gop", 1, 0);
    rc = rc < 0 ? rc : av_opt_set(own, "b_ref_mode", "disabled", 0);
    rc = rc < 0 ? rc : av_opt_set_int(own, "a53cc", 0, 0);
    const char *profile = plan->codec == RR_CODEC_H264 ? "high"
                          : plan->ten_bit != 0         ? "main10"
                                                       : "main";
    return rc < 0 ? rc : av_opt_set(own, "profile", profile, 0);
}

/* Drivers differ in what they can pack: no B-frames, no SEI of their own. */
static int set_vaapi(AVCodecContext *codec, const struct transcode_plan *plan,
                     const struct rr_rung_rate *rate)
{
    void *own = codec->priv_data;
    codec->max_b_frames = 0;
    int rc;
    if (rate->kbps == 0) { /* few drivers keep a limit beside a quality */
        codec->global_quality = plan->codec == RR_CODEC_VP9 ? rate->crf * 4 : rate->crf;
        rc = av_opt_set(own, "rc_mode", "CQP", 0);
    } else {
        set_rate(codec, rate);
        rc = av_opt_set(own, "rc_mode", "VBR", 0);
    }
    rc = rc < 0 ? rc : av_opt_set_int(own, "idr_interval", 0, 0);
    if (rc >= 0 && plan->codec != RR_CODEC_VP9) {
        rc = av_opt_set(own, "sei", "0", 0);
        rc = rc < 0 || rate->kbps != 0 ? rc : av_opt_set_int(own, "qp", rate->crf, 0);
    }
    if (plan->codec == RR_CODEC_H264) {
        codec->profile = FF_PROFILE_H264_HIGH;
    } else if (plan->codec == RR_CODEC_HEVC) {
        codec->profile = plan->ten_bit ? FF_PROFILE_HEVC_MAIN_10 : FF_PROFILE_HEVC_MAIN;
    }
    return rc;
}

static int set_qsv(AVCodecContext *codec, const struct transcode_plan *plan,
                   const struct rr_rung_rate *rate)
{
    void *own = codec->priv_data;
    codec->max_b_frames = 0;
    if (rate->kbps == 0) {
        codec->global_quality = rate->crf;
    } else {
        set_rate(codec, rate);
    }
    int rc = av_opt_set(own, "preset", "medium", 0);
    rc = rc < 0 ? rc : av_opt_set_int(own, "idr_interval", 0, 0);
    return rc < 0 || plan->codec == RR_CODEC_VP9 ? rc : av_opt_set_int(own, "forced_idr", 1, 0);
}

static const struct worker_device_kind kinds[] = {
    {.prefix = "cuda:",
     .type = AV_HWDEVICE_TYPE_CUDA,
     .format = AV_PIX_FMT_CUDA,
     .encoders = {[RR_CODEC_H264] = "h264_nvenc",
                  [RR_CODEC_HEVC] = "hevc_nvenc",
                  [RR_CODEC_AV1] = "av1_nvenc"},
     .scaler = "scale_cuda",
     .scaler_words = "interp_algo=bicubic:passthrough=0:format=",
     .decodes = true,
     .settings = set_nvenc},
    {.prefix = "vaapi:",
     .type = AV_HWDEVICE_TYPE_VAAPI,
     .format = AV_PIX_FMT_VAAPI,
     .encoders = {[RR_CODEC_H264] = "h264_vaapi",
                  [RR_CODEC_HEVC] = "hevc_vaapi",
                  [RR_CODEC_VP9] = "vp9_vaapi"},
     .scaler = "scale_vaapi",
     .scaler_words = "mode=hq:format=",
     .pool = 32,
     .decodes = true,
     .settings = set_vaapi},
    /* Decodes and scales by the VAAPI device of the same node. */
    {.prefix = "qsv:",
     .type = AV_HWDEVICE_TYPE_QSV,
     .format = AV_PIX_FMT_QSV,
     .encoders =
         {[RR_CODEC_H264] = "h264_qsv", [RR_CODEC_HEVC] = "hevc_qsv", [RR_CODEC_VP9] = "vp9_qsv"},
     .pool = 64,
     .settings = set_qsv},
};

static const struct worker_device_kind *kind(const char *id)
{
    for (size_t i = 0; i < RR_COUNT(kinds); i++) {
        if (strncmp(id, kinds[i].prefix, strlen(kinds[i].prefix)) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

/* ---- nodes
 * ------------------------------------------------------------------------------------------- */

/* Cards by the order of their bus, as they are listed; no file of a cache. */
static void early(void)
{
    setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID", 1);
    setenv("CUDA_CACHE_DISABLE", "1", 1);
}

static bool node(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISCHR(facts.st_mode);
}

static void vendor_of(char out[static 8], unsigned render)
{
    char path[96];
    struct rr_buf text = {0};
    snprintf(path, sizeof path, "/sys/class/drm/renderD%u/device/vendor", render);
    out[0] = 0;
    if (rr_file_read(&text, path, 64, NULL) == RR_OK && text.len >= 6) {
        snprintf(out, 8, "%.6s", (const char *)text.ptr);
    }
    rr_buf_clear(&text);
}

static void add(struct transcode_device_names *out, const char *prefix, const char *rest)
{
    if (out->count < RR_TRANSCODE_DEVICES_MAX) {
        snprintf(out->names[out->count++], sizeof out->names[0], "%s%s", prefix, rest);
    }
}

static void list(struct transcode_device_names *out)
{
    char path[40], number[16];
    unsigned cards = 0;
    for (unsigned i = 0; i < 32 && cards < CARDS_MAX; i++) {
        snprintf(path, sizeof path, "/dev/nvidia%u", i);
        cards += node(path) ? 1 : 0;
    }
    cards = cards == 0 && node("/dev/dxg") ? 1 : cards; /* Linux inside Windows */
    for (unsigned i = 0; i < cards; i++) {
        snprintf(number, sizeof number, "%u", i);
        add(out, "cuda:", number);
    }
    for (unsigned i = RENDER_FIRST; i < RENDER_FIRST + RENDER_MAX; i++) {
        char vendor[8];
        snprintf(path, sizeof path, "/dev/dri/renderD%u", i);
        if (!node(path)) {
            continue;
        }
        vendor_of(vendor, i);
        if (cards > 0 && strcmp(vendor, "0x10de") == 0) {
            continue; /* the same card as cuda:N, whose driver has no VAAPI */
        }
        add(out, "vaapi:", path);
        if (strcmp(vendor, "0x8086") == 0) {
            add(out, "qsv:", path);
        }
    }
}

/* ---- open
 * -------------------------------------------------------------------------------------------- */

static int open_node(AVBufferRef **out, enum AVHWDeviceType type, const char *path)
{
    AVDictionary *words = NULL;
    int rc;
    if (access(path, R_OK | W_OK) != 0) {
        int saved = errno;
        av_log(NULL, AV_LOG_ERROR,
               saved == EACCES || saved == EPERM
                   ? "no right to read and write %s; add the user to its group, render or video"
                   : "%s is not there",
               path);
        return AVERROR(saved);
    }
    if (type == AV_HWDEVICE_TYPE_QSV) {
        av_dict_set(&words, "child_device", path, 0);
        rc = av_hwdevice_ctx_create(out, type, "hw", words, 0);
    } else {
        av_dict_set(&words, "connection_type", "drm", 0);
        rc = av_hwdevice_ctx_create(out, type, path, words, 0);
    }
    av_dict_free(&words);
    return rc;
}

static int open_device(AVBufferRef **out, const struct worker_device_kind *of, const char *id)
{
    const char *rest = id + strlen(of->prefix);
    if (of->type != AV_HWDEVICE_TYPE_CUDA) {
        return open_node(out, of->type, rest);
    }
    if (rest[0] < '0' || rest[0] > '9' || strlen(rest) > 2) {
        av_log(NULL, AV_LOG_ERROR, "cuda:%s: a card's number was expected", rest);
        return AVERROR(EINVAL);
    }
    return av_hwdevice_ctx_create(out, of->type, rest, NULL, 0);
}

/* CUDA's own names, of the library that libav has opened. */
static bool cuda_name(char out[static 64], int ordinal)
{
    int (*get)(int *, int) = NULL;
    int (*name)(char *, int, int) = NULL;
    int device = 0;
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    if (library == NULL) {
        return false;
    }
    void *symbols[2] = {dlsym(library, "cuDeviceGet"), dlsym(library, "cuDeviceGetName")};
    memcpy(&get, &symbols[0], sizeof get);
    memcpy(&name, &symbols[1], sizeof name);
    bool done =
        get != NULL && name != NULL && get(&device, ordinal) == 0 && name(out, 63, device) == 0;
    dlclose(library);
    return done;
}

static void name_of(char out[static 64], const AVBufferRef *device, const char *id)
{
    const char *path = strstr(id, "/dev/dri/renderD");
    (void)device;
    out[0] = 0;
    if (path == NULL) {
        int ordinal = (int)strtol(id + strlen("cuda:"), NULL, 10);
        out[63] = 0;
        if (!cuda_name(out, ordinal)) {
            out[0] = 0;
        }
    } else {
        char vendor[8];
        vendor_of(vendor, (unsigned)strtoul(path + strlen("/dev/dri/renderD"), NULL, 10));
        const char *maker = strcmp(vendor, "0x8086") == 0   ? "Intel"
                            : strcmp(vendor, "0x1002") == 0 ? "AMD"
                            : strcmp(vendor, "0x10de") == 0 ? "NVIDIA"
                                                            : vendor;
        snprintf(out, 64, "%s", maker);
    }
    for (char *p = out; *p != 0; p++) {
        *p = *p < 0x20 || *p > 0x7e ? '?' : *p;
    }
}

static int event(enum worker_device_event what, enum AVCodecID codec)
{
    (void)what;
    (void)codec;
    return 0;
}

const struct worker_driver worker_driver = {.early = early,
                                            .list = list,
                                            .kind = kind,
                                            .open = open_device,
                                            .name = name_of,
                                            .event = event};
