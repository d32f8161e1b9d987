/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many bits a picture group may take: what is usual for a size, what a limit means for one GOP
 * that an encoder sees alone, and how an encode over its limit is done again. Whole numbers only;
 * parent and workers get the same. */
#include "transcode/transcode_rate.h"

/* ---- the usual rate ----------------------------------------------------------------------------
 */

/* H.264 at 30 pictures a second, by the pixels of a 16:9 picture of that side (ours, within what
 * streaming services ask of uploads to be served: 800 at 360, 5000 at 1080). */
static const struct {
    uint32_t pixels, kbps;
} usual[] = {{0, 100},
             {426 * 240, 400},
             {640 * 360, 800},
             {854 * 480, 1400},
             {1280 * 720, 2800},
             {1920 * 1080, 5000},
             {2560 * 1440, 9000},
             {3840 * 2160, 16000},
             {7680 * 4320, 40000}};
/* Of H.264's, in percent, at the same PSNR on film and animation (measured, rounded up). */
static const uint8_t codec_percent[] = {
    [RR_CODEC_H264] = 100, [RR_CODEC_HEVC] = 65, [RR_CODEC_AV1] = 55, [RR_CODEC_VP9] = 75};

/* What PQ and HLG in 10 bits take of SDR's rate. ours, measured: the same 3 s of three clips at
 * 640x360 in HEVC, as SDR and as its twin in PQ and HLG with white at 203 nits; bytes at equal PSNR
 * after the way back to SDR: 3 to 48 % more in 13 pairs, 19 % in the middle. */
#define HDR_PERCENT 120

unsigned transcode_rate_percent(uint8_t codec)
{
    return codec_percent[codec];
}

uint32_t transcode_rate_usual(uint8_t codec, uint32_t width, uint32_t height, uint32_t fps_num,
                              uint32_t fps_den)
{
    uint64_t pixels = (uint64_t)width * height;
    size_t i = 1;
    while (i + 1 < RR_COUNT(usual) && pixels > usual[i].pixels) {
        i++;
    }
    uint64_t from = usual[i - 1].pixels, step = usual[i].pixels - from;
    uint64_t over = (pixels < usual[i].pixels ? pixels : usual[i].pixels) - from;
    uint64_t kbps = usual[i - 1].kbps + over * (usual[i].kbps - usual[i - 1].kbps) / step;
    /* Twice the pictures are half as much again: neighbours are more alike. From 5 to 120. */
    uint64_t centi = fps_den > 0 ? (uint64_t)fps_num * 100 / fps_den : 3000;
    centi = centi < 500 ? 500 : centi > 12000 ? 12000 : centi;
    kbps = kbps * (centi + 3000) / 6000 * codec_percent[codec] / 100;
    return (uint32_t)(kbps < 50 ? 50 : kbps);
}

void transcode_rates_fit(struct transcode_plan *plan, uint16_t crf)
{
    bool hdr = plan->transfer == TRANSCODE_PQ || plan->transfer == TRANSCODE_HLG;
    for (unsigned i = 0; i < plan->rung_count; i++) {
        struct transcode_rung *rung = &plan->rungs[i];
        struct rr_rung_rate *rate = &rung->rate;
        uint32_t by_rule = transcode_rate_usual(plan->codec, rung->width, rung->height,
                                                plan->fps_num, plan->fps_den);
        by_rule = hdr ? by_rule * HDR_PERCENT / 100 : by_rule;
        if (rate->kbps == RR_KBPS_AUTO) {
            bool within =
                rate->max_kbps == 0 || rate->max_kbps == RR_KBPS_AUTO || rate->max_kbps > by_rule;
            rate->kbps = within ? by_rule : rate->max_kbps;
        }
        if (rate->max_kbps == RR_KBPS_AUTO || (rate->max_kbps == 0 && rate->kbps > 0)) {
            /* Half above the mean is what players' buffers are made for. */
            uint64_t above = (rate->kbps > 0 ? rate->kbps : by_rule) * UINT64_C(3) / 2;
            rate->max_kbps = (uint32_t)(above > RR_KBPS_MAX ? RR_KBPS_MAX : above);
        }
        rate->crf = rate->crf != 0 ? rate->crf : crf;
    }
}

/* ---- one GOP -----------------------------------------------------------------------------------
 */

/* Ticks of the GOP: to its last picture, and that one's mean length. */
static uint64_t gop_ticks(const struct transcode_encode *ask)
{
    const struct transcode_plan *plan = &ask->plan;
    uint64_t last = ask->count > 0 ? (uint64_t)(ask->pts[ask->count - 1] - ask->pts[0]) : 0;
    uint64_t one = (uint64_t)plan->timescale * plan->fps_den / (plan->fps_num | 1u);
    return last + (one > 0 ? one : 1);
}

/* A player fetches a GOP whole, so what must not pass the limit is the GOP, and each one's buffer
 * begins anew. Bits that leave an encoder's buffer in a time T are at most start + rate T. So:
 * rate = 3/4 limit, start = a quarter of limit T, and their sum is limit T: the first picture may
 * take up to a quarter of the GOP, and no order of easy and hard pictures passes the limit. The
 * buffer itself is so long that it starts nine tenths full, x264's and x265's own habit; a shorter
 * last GOP starts it emptier, because its size may stand in the parameter sets and so must not
 * change. */
void transcode_vbv(struct transcode_vbv *out, const struct transcode_encode *ask)
{
    const struct transcode_plan *plan = &ask->plan;
    uint64_t limit = plan->rungs[ask->rung].rate.max_kbps;
    uint64_t ticks = gop_ticks(ask);
    uint64_t whole = (uint64_t)plan->gop_ms * plan->timescale / 1000;
    uint64_t permille = whole > 0 ? 900 * ticks / whole : 900;
    uint64_t buffer = limit * plan->gop_ms / 1000 * 5 / 18;
    uint64_t bytes = limit * 125 * ticks / (plan->timescale | 1u);
    /* What the container adds: its boxes, and 16 bytes a picture. */
    uint64_t boxes = 256 + UINT64_C(16) * ask->count;
    *out = (struct transcode_vbv){.rate_kbps = (uint32_t)(limit * 3 / 4 > 0 ? limit * 3 / 4 : 1),
                                  .buffer_kbit = (uint32_t)(buffer > 0 ? buffer : 1),
                                  .start_permille = (uint16_t)(permille > 1000 ? 1000
                                                               : permille < 1  ? 1
                                                                               : permille),
                                  .bytes_mean = plan->rungs[ask->rung].rate.kbps * UINT64_C(125) *
                                                ticks / (plan->timescale | 1u),
                                  .bytes_max = limit == 0          ? UINT64_MAX
                                               : bytes > 2 * boxes ? bytes - boxes
                                                                   : boxes};
}

/* value num / den, at most twice and at least a quarter of it: one try tells only so much. */
static uint32_t step_kbps(uint32_t value, uint64_t num, uint64_t den)
{
    uint64_t next = value * num / (den > 0 ? den : 1);
    next = next > value * UINT64_C(2) ? value * UINT64_C(2) : next;
    next = next < value / 4 ? value / 4 : next;
    return (uint32_t)(next < 1 ? 1 : next > RR_KBPS_MAX ? RR_KBPS_MAX : next);
}

/* x264 and x265 keep the limit themselves, so that to ask them for more than it gives nothing;
 * the others fall short of any mean in a GOP alone. */
static uint32_t most_kbps(const struct rr_rung_rate *rate, uint8_t codec)
{
    return codec == RR_CODEC_AV1 || codec == RR_CODEC_VP9 ? 3 * rate->max_kbps : rate->max_kbps;
}

static bool again_mean(struct rr_rung_rate *rate, uint8_t codec, const struct transcode_vbv *vbv,
                       uint64_t bytes, unsigned tries)
{
    uint32_t next = rate->kbps;
    if (bytes > vbv->bytes_max) {
        next = step_kbps(rate->kbps, vbv->bytes_max * 95 / 100, bytes);
    } else if (bytes < vbv->bytes_mean * 85 / 100 && tries < TRANSCODE_RAISES_MAX &&
               rate->kbps < most_kbps(rate, codec)) {
        uint32_t most = most_kbps(rate, codec);
        next = step_kbps(rate->kbps, vbv->bytes_mean, bytes);
        next = next > most ? most : next;
    }
    bool other = next != rate->kbps;
    rate->kbps = next;
    return other;
}

bool transcode_rate_again(struct rr_rung_rate *rate, uint8_t codec, const struct transcode_vbv *vbv,
                          uint64_t bytes, unsigned tries)
{
    if (tries >= TRANSCODE_TRIES_MAX) {
        return false;
    }
    if (rate->kbps > 0) {
        return again_mean(rate, codec, vbv, bytes, tries);
    }
    if (bytes <= vbv->bytes_max || rate->crf >= TRANSCODE_CRF_MAX(codec)) {
        return false;
    }
    /* Six steps of quality halve the bytes, more or less: as many as the excess asks for. */
    uint64_t reach = vbv->bytes_max;
    do {
        rate->crf++;
        reach = reach * 1122 / 1000;
    } while (reach < bytes && rate->crf < TRANSCODE_CRF_MAX(codec));
    return true;
}

/* ---- VP9 has no place for its level; names and containers need one ---- */

/* Levels by pictures' samples and samples a second. [VP9 bitstream, annex A] */
unsigned transcode_level_vp9(const struct transcode_plan *plan, const struct transcode_rung *rung)
{
    static const struct {
        uint8_t level;
        uint32_t size;
        uint64_t rate;
    } levels[] = {{10, 36864, 829440},        {11, 73728, 2764800},      {20, 122880, 4608000},
                  {21, 245760, 9216000},      {30, 552960, 20736000},    {31, 983040, 36864000},
                  {40, 2228224, 83558400},    {41, 2228224, 160432128},  {50, 8912896, 311951360},
                  {51, 8912896, 588251136},   {52, 8912896, 1176502272}, {60, 35651584, 1176502272},
                  {61, 35651584, 2353004544}, {62, 35651584, 4706009088}};
    uint64_t size = (uint64_t)rung->width * rung->height;
    uint64_t rate = size * plan->fps_num / plan->fps_den;
    size_t i = 0;
    while (i + 1 < RR_COUNT(levels) && (size > levels[i].size || rate > levels[i].rate)) {
        i++;
    }
    return levels[i].level;
}
