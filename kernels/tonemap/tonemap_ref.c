/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tonemap/tonemap.h"

#include <string.h>

__extension__ typedef unsigned __int128 wide;
__extension__ typedef __int128 swide;

#define ONE (UINT64_C(1) << 32) /* Q32 */

/* ---- powers in Q32 -----------------------------------------------------------------------------
 */

/* log2 of x > 0 by squaring: each square gives the next bit. */
static int64_t log2_q32(uint64_t x)
{
    int top = 63 - __builtin_clzll(x);
    uint64_t m = top > 62 ? x >> (top - 62) : x << (62 - top); /* [1, 2) in Q62 */
    int64_t log = (int64_t)(top - 32) * (int64_t)ONE;
    for (int bit = 31; bit >= 0; bit--) {
        m = (uint64_t)((wide)m * m >> 62);
        if (m >> 63 != 0) {
            m >>= 1;
            log += INT64_C(1) << bit;
        }
    }
    return log;
}

/* 2^(1/2), 2^(1/4) .. in Q62: each the whole part of the root of the one before. */
static const uint64_t roots[32] = {
    UINT64_C(0x5a827999fcef3242), UINT64_C(0x4c1bf828c6dc54b7), UINT64_C(0x45cae0f1f545eb73),
    UINT64_C(0x42d561b3e6243d8a), UINT64_C(0x4166c34c5615d0eb), UINT64_C(0x40b268f9de0183b9),
    UINT64_C(0x4058f6a7ecccd5b5), UINT64_C(0x402c6be96af2fb57), UINT64_C(0x4016321b687027a7),
    UINT64_C(0x400b18178ba33b13), UINT64_C(0x40058bce410147e7), UINT64_C(0x4002c5d7bff71dad),
    UINT64_C(0x400162e807ee7e5a), UINT64_C(0x4000b1730df6a523), UINT64_C(0x400058b9497b8151),
    UINT64_C(0x40002c5c955dd700), UINT64_C(0x4000162e46d6f26b), UINT64_C(0x40000b1722757b1a),
    UINT64_C(0x4000058b90fd3e0b), UINT64_C(0x400002c5c86f3f25), UINT64_C(0x40000162e433c79a),
    UINT64_C(0x400000b17218edcf), UINT64_C(0x40000058b90c3968), UINT64_C(0x4000002c5c860d54),
    UINT64_C(0x400000162e4302d2), UINT64_C(0x4000000b17218073), UINT64_C(0x400000058b90bffc),
    UINT64_C(0x40000002c5c85fee), UINT64_C(0x4000000162e42ff3), UINT64_C(0x40000000b17217f8),
    UINT64_C(0x4000000058b90bfb), UINT64_C(0x400000002c5c85fd)};

/* 2^y, saturated. */
static uint64_t exp2_q32(int64_t y)
{
    int64_t whole = y >> 32;
    uint64_t product = UINT64_C(1) << 62;
    for (unsigned i = 0; i < 32; i++) {
        if ((y >> (31 - i) & 1) != 0) {
            product = (uint64_t)((wide)product * roots[i] >> 62);
        }
    }
    if (whole >= 31) {
        return UINT64_MAX;
    }
    int64_t shift = 30 - whole;
    return shift > 63 ? 0 : product >> shift;
}

/* x^(num/den) for x in Q32. */
static uint64_t power(uint64_t x, int64_t num, int64_t den)
{
    return x == 0 ? 0 : exp2_q32((int64_t)((swide)log2_q32(x) * num / den));
}

/* ---- PQ, its constants as fractions [BT.2100, table 4]
 * ---------------------------------------------------------- */

uint64_t rr_tonemap_pq_light(uint64_t signal_q32)
{
    uint64_t p = power(signal_q32, 32, 2523);
    uint64_t c1 = ONE / 4096 * 3424;
    if (p <= c1) {
        return 0;
    }
    uint64_t num = p - c1;
    uint64_t den = ONE / 128 * 2413 - (uint64_t)((wide)p * 2392 / 128);
    return power((uint64_t)(((wide)num << 32) / den), 16384, 2610);
}

uint64_t rr_tonemap_pq_signal(uint64_t light_q32)
{
    uint64_t p = power(light_q32, 2610, 16384);
    uint64_t num = ONE / 4096 * 3424 + (uint64_t)((wide)p * 2413 / 128);
    uint64_t den = ONE + (uint64_t)((wide)p * 2392 / 128);
    return power((uint64_t)(((wide)num << 32) / den), 2523, 32);
}

/* ---- HLG [BT.2100, table 5] --------------------------------------------------------------------
 */

#define HLG_A  UINT64_C(768080899)  /* 0.17883277 */
#define HLG_B  UINT64_C(1222643702) /* 0.28466892 */
#define HLG_C  UINT64_C(2404798274) /* 0.55991073 */
#define LOG2_E INT64_C(6196328019)  /* 1.4426950409 */

static uint64_t hlg_light(uint64_t signal_q32)
{
    if (signal_q32 <= ONE / 2) {
        return (uint64_t)((wide)signal_q32 * signal_q32 / 3 >> 32);
    }
    int64_t x = (int64_t)(((swide)signal_q32 - (swide)HLG_C) * LOG2_E / (swide)HLG_A);
    return (exp2_q32(x) + HLG_B) / 12;
}

/* ---- steps of light ----------------------------------------------------------------------------
 */

static uint32_t step_of(uint32_t light_q24)
{
    if (light_q24 < 2048) {
        return light_q24;
    }
    uint32_t top = 31u - (uint32_t)__builtin_clz(light_q24);
    uint32_t step = 2048 + ((top - 11) << 10) + ((light_q24 >> (top - 10)) - 1024);
    return step < RR_TONEMAP_STEPS ? step : RR_TONEMAP_STEPS - 1;
}

/* The middle of a step, Q25 so that it is whole. */
static uint64_t middle_q25(uint32_t step)
{
    if (step < 2048) {
        return 2 * (uint64_t)step;
    }
    uint32_t octave = (step - 2048) >> 10, part = (step - 2048) & 1023;
    return ((uint64_t)(2 * (1024 + part) + 1)) << (octave + 1);
}

/* ---- tables ------------------------------------------------------------------------------------
 */

/* E1 to E2 of BT.2390: straight to the knee, then a Hermite spline to most; all Q32. */
static uint64_t knee(uint64_t e1, uint64_t most)
{
    int64_t ks = (int64_t)(most + most / 2) - (int64_t)(ONE / 2);
    int64_t one = (int64_t)ONE;
    if ((int64_t)e1 < ks) {
        return e1;
    }
    int64_t t = (int64_t)(((swide)((int64_t)e1 - ks) << 32) / (one - ks));
    int64_t t2 = (int64_t)((swide)t * t >> 32), t3 = (int64_t)((swide)t2 * t >> 32);
    swide sum = (swide)(2 * t3 - 3 * t2 + one) * ks + (swide)(t3 - 2 * t2 + t) * (one - ks) +
                (swide)(3 * t2 - 2 * t3) * (int64_t)most;
    return (uint64_t)(sum >> 32);
}

static void fill_curve(struct rr_tonemap *map, uint32_t peak_nits)
{
    uint64_t peak = rr_tonemap_pq_signal(ONE * peak_nits / 10000);
    uint64_t white = rr_tonemap_pq_signal(ONE * RR_TONEMAP_WHITE_NITS / 10000);
    uint64_t most = (uint64_t)(((wide)white << 32) / peak);
    map->gain[0] = 65536;
    map->code[0] = 0;
    for (uint32_t step = 1; step < RR_TONEMAP_STEPS; step++) {
        uint64_t mid = middle_q25(step);
        uint64_t light = (uint64_t)((wide)mid * 128 * RR_TONEMAP_WHITE_NITS / 10000);
        uint64_t signal = rr_tonemap_pq_signal(light > ONE ? ONE : light);
        uint64_t e1 = (uint64_t)(((wide)signal << 32) / peak);
        uint64_t e2 = knee(e1 > ONE ? ONE : e1, most);
        uint64_t gain = 65536;
        if (e1 > ONE || e2 < e1) {
            uint64_t shown = rr_tonemap_pq_light((uint64_t)((wide)e2 * peak >> 32));
            gain = (uint64_t)(((wide)shown << 16) / light);
        }
        map->gain[step] = (uint32_t)(gain > 65536 ? 65536 : gain);
        uint64_t code = mid >= UINT64_C(1) << 25 ? 65535 : power(mid << 7, 5, 12) >> 16;
        map->code[step] = (uint16_t)(code > 65535 ? 65535 : code);
    }
}

static void fill_light(struct rr_tonemap *map)
{
    for (uint32_t code = 0; code < RR_TONEMAP_CODES; code++) {
        uint64_t signal = ONE * code / (RR_TONEMAP_CODES - 1);
        if (map->scene) {
            uint64_t light = hlg_light(signal) >> 8;
            map->light[code] = (uint32_t)(light > 1u << 24 ? 1u << 24 : light);
        } else {
            wide light = (wide)rr_tonemap_pq_light(signal) * 10000 / RR_TONEMAP_WHITE_NITS;
            map->light[code] = (uint32_t)(light >> 8);
        }
    }
}

static void fill_shown(struct rr_tonemap *map, uint32_t peak_nits)
{
    for (uint32_t step = 0; step < RR_TONEMAP_STEPS; step++) {
        uint64_t mid = middle_q25(step > 0 ? step : 1);
        wide gain = (wide)power(mid << 7, 1, 5) * peak_nits / RR_TONEMAP_WHITE_NITS;
        map->shown[step] = (uint32_t)(gain >> 12);
    }
}

void rr_tonemap_init(struct rr_tonemap *map, const struct rr_tonemap_from *from)
{
    /* Q16. Rows sum to 1: white stays white. */
    static const int32_t bt2020[9] = {108822, -38512, -4774, -8163, 74246,
                                      -547,   -1190,  -6591, 73317};
    static const int32_t p3[9] = {80278, -14742, 0, -2756, 68292, 0, -1287, -5153, 71976};
    static const int32_t same[9] = {65536, 0, 0, 0, 65536, 0, 0, 0, 65536};
    static const int32_t wide_chroma[4] = {96639, -10784, -37444, 123299}; /* BT.2020: Cr to R, Cb
                                                                 and Cr to G, Cb to B */
    static const int32_t old_chroma[4] = {103206, -12276, -30679, 121609}; /* BT.709 */
    memset(map, 0, sizeof *map);
    map->scene = from->transfer == 18;
    map->black = from->full_range ? 0 : 64;
    map->luma =
        (int32_t)(((int64_t)(RR_TONEMAP_CODES - 1) << 14) / (from->full_range ? 1023 : 876));
    const int32_t *chroma = from->matrix == 9 || from->matrix == 10 ? wide_chroma : old_chroma;
    for (int i = 0; i < 4; i++) {
        map->chroma[i] = (int32_t)((int64_t)chroma[i] * (RR_TONEMAP_CODES - 1) / 4 /
                                   (from->full_range ? 1023 : 896));
    }
    memcpy(map->gamut,
           from->primaries == 9    ? bt2020
           : from->primaries == 12 ? p3
                                   : same,
           sizeof map->gamut);
    fill_light(map);
    fill_curve(map, from->peak_nits);
    if (map->scene) {
        fill_shown(map, from->peak_nits);
    }
}

/* ---- pictures ----------------------------------------------------------------------------------
 */

static int32_t clamp(int32_t value, int32_t most)
{
    return value < 0 ? 0 : value > most ? most : value;
}

static uint32_t max3(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t most = a > b ? a : b;
    return most > c ? most : c;
}

/* R'G'B' of BT.709, 0..65535, of one pixel; red, green, blue: what the chroma adds, Q14. */
static void map_pixel(const struct rr_tonemap *map, int32_t out[3], int32_t luma, int32_t red,
                      int32_t green, int32_t blue)
{
    int32_t y = (luma - map->black) * map->luma + 8192;
    uint32_t light[3] = {map->light[clamp((y + red) >> 14, RR_TONEMAP_CODES - 1)],
                         map->light[clamp((y + green) >> 14, RR_TONEMAP_CODES - 1)],
                         map->light[clamp((y + blue) >> 14, RR_TONEMAP_CODES - 1)]};
    if (map->scene) {
        /* BT.2020's weights, Q16. */
        uint64_t mean =
            (UINT64_C(17216) * light[0] + UINT64_C(44434) * light[1] + UINT64_C(3886) * light[2]) >>
            16;
        uint64_t gain = map->shown[step_of((uint32_t)mean)];
        for (int i = 0; i < 3; i++) {
            light[i] = (uint32_t)(light[i] * gain >> 20);
        }
    }
    uint64_t gain = map->gain[step_of(max3(light[0], light[1], light[2]))];
    int64_t soft[3];
    for (int i = 0; i < 3; i++) {
        soft[i] = (int64_t)(light[i] * gain >> 16);
    }
    for (int i = 0; i < 3; i++) {
        const int32_t *row = &map->gamut[(size_t)i * 3];
        int64_t mixed = (row[0] * soft[0] + row[1] * soft[1] + row[2] * soft[2]) >> 16;
        mixed = mixed < 0 ? 0 : mixed > 1 << 24 ? 1 << 24 : mixed;
        out[i] = map->code[step_of((uint32_t)mixed)];
    }
}

/* Y' of R'G'B' 0..65535 in BT.709's weights, Q16 of the same scale. */
static int64_t luma_of(const int32_t rgb[3])
{
    return INT64_C(13933) * rgb[0] + INT64_C(46871) * rgb[1] + INT64_C(4732) * rgb[2];
}

static uint16_t code_at(const uint8_t *row, uint32_t x)
{
    uint16_t code;
    memcpy(&code, row + (size_t)2 * x, sizeof code);
    return code > 1023 ? 1023 : code;
}

/* Two by two pixels that share one chroma sample. */
static void map_block(const struct rr_tonemap *map, uint8_t *const luma[2], uint8_t *cb,
                      uint8_t *cr, const uint8_t *const rows[2], int32_t u, int32_t v, uint32_t x)
{
    int32_t red = map->chroma[0] * v, blue = map->chroma[3] * u;
    int32_t green = map->chroma[1] * u + map->chroma[2] * v;
    int32_t sum[3] = {0};
    for (uint32_t i = 0; i < 4; i++) {
        int32_t rgb[3];
        map_pixel(map, rgb, code_at(rows[i / 2], x + i % 2), red, green, blue);
        luma[i / 2][x + i % 2] = (uint8_t)(16 + ((luma_of(rgb) >> 16) * 219 + 32767) / 65535);
        for (int c = 0; c < 3; c++) {
            sum[c] += rgb[c];
        }
    }
    int64_t y = luma_of(sum) >> 16;
    /* 224 / (4 * 65535 * 1.8556) and 1.5748, times 2^32. */
    int64_t blue_step = ((sum[2] - y) * INT64_C(1977836) + (INT64_C(1) << 31)) >> 32;
    int64_t red_step = ((sum[0] - y) * INT64_C(2330500) + (INT64_C(1) << 31)) >> 32;
    *cb = (uint8_t)(128 + blue_step);
    *cr = (uint8_t)(128 + red_step);
}

void rr_tonemap_picture(const struct rr_tonemap *map, uint8_t *const out[static 3],
                        const size_t out_strides[static 3], const uint8_t *const in[static 3],
                        const size_t in_strides[static 3], uint32_t width, uint32_t height)
{
    for (uint32_t row = 0; row + 1 < height; row += 2) {
        uint8_t *luma[2] = {out[0] + row * out_strides[0], out[0] + (row + 1) * out_strides[0]};
        const uint8_t *rows[2] = {in[0] + row * in_strides[0], in[0] + (row + 1) * in_strides[0]};
        const uint8_t *us = in[1] + row / 2 * in_strides[1], *vs = in[2] + row / 2 * in_strides[2];
        uint8_t *cb = out[1] + row / 2 * out_strides[1], *cr = out[2] + row / 2 * out_strides[2];
        for (uint32_t x = 0; x + 1 < width; x += 2) {
            map_block(map, luma, &cb[x / 2], &cr[x / 2], rows, (int32_t)code_at(us, x / 2) - 512,
                      (int32_t)code_at(vs, x / 2) - 512, x);
        }
    }
}
