/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tone mapping against the formulas of the recommendations in floating point, and against itself:
 * its tables are pinned, because jobs that were made with them are made again elsewhere. */
#include "tonemap/tonemap.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
/* after setjmp and stdarg */
#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
static struct rr_tonemap map_room, *const map = &map_room;

static double pq_light(double signal)
{
    double p = pow(signal, 1 / 78.84375), num = fmax(p - 0.8359375, 0);
    return pow(num / (18.8515625 - 18.6875 * p), 1 / 0.1593017578125);
}

static double pq_signal(double light)
{
    double p = pow(light, 0.1593017578125);
    return pow((0.8359375 + 18.8515625 * p) / (1 + 18.6875 * p), 78.84375);
}

static void the_powers_of_pq_are_those_of_bt2100(void **state)
{
    (void)state;
    for (unsigned code = 0; code <= 1023; code++) {
        uint64_t signal = ((uint64_t)code << 32) / 1023;
        double light = (double)rr_tonemap_pq_light(signal) / 4294967296.0;
        assert_true(fabs(light - pq_light(code / 1023.0)) < 1e-8 + 2e-6 * light);
        double back = (double)rr_tonemap_pq_signal(signal) / 4294967296.0;
        assert_true(fabs(back - pq_signal(code / 1023.0)) < 1e-6);
    }
}

/* What one pixel becomes, by the formulas. */
static void expected(double out[3], const struct rr_tonemap_from *from, const double code[3])
{
    double span = from->full_range ? 1023 : 876, chroma = from->full_range ? 1023 : 896;
    double y = (code[0] - (from->full_range ? 0 : 64)) / span;
    double u = (code[1] - 512) / chroma, v = (code[2] - 512) / chroma;
    double rgb[3] = {y + 1.4746 * v, y - 0.164553 * u - 0.571353 * v, y + 1.8814 * u};
    double most = 0;
    for (int i = 0; i < 3; i++) {
        double s = fmin(fmax(rgb[i], 0), 1);
        double hlg = s <= 0.5 ? s * s / 3 : (exp((s - 0.55991073) / 0.17883277) + 0.28466892) / 12;
        rgb[i] = from->transfer == 18 ? hlg : pq_light(s) * 10000;
    }
    if (from->transfer == 18) {
        double mean = 0.2627 * rgb[0] + 0.6780 * rgb[1] + 0.0593 * rgb[2];
        for (int i = 0; i < 3; i++) {
            rgb[i] *= mean > 0 ? 1000 * pow(mean, 0.2) : 0;
        }
    }
    most = fmax(fmax(rgb[0], rgb[1]), rgb[2]);
    double peak = pq_signal(from->peak_nits / 10000.0), top = pq_signal(203 / 10000.0) / peak;
    double e = fmin(pq_signal(most / 10000) / peak, 1), ks = 1.5 * top - 0.5;
    if (e > ks) {
        double t = (e - ks) / (1 - ks);
        e = (2 * t * t * t - 3 * t * t + 1) * ks + (t * t * t - 2 * t * t + t) * (1 - ks) +
            (3 * t * t - 2 * t * t * t) * top;
    }
    double gain = most > 0 ? pq_light(e * peak) * 10000 / most : 1, soft[3], code709[3];
    static const double gamut[9] = {1.660491,  -0.587641, -0.072850, -0.124550, 1.132900,
                                    -0.008349, -0.018151, -0.100579, 1.118730};
    for (int i = 0; i < 3; i++) {
        soft[i] = rgb[i] * fmin(gain, 1) / 203;
    }
    for (size_t i = 0; i < 3; i++) {
        double mixed =
            gamut[3 * i] * soft[0] + gamut[3 * i + 1] * soft[1] + gamut[3 * i + 2] * soft[2];
        code709[i] = pow(fmin(fmax(mixed, 0), 1), 1 / 2.4);
    }
    double luma = 0.2126 * code709[0] + 0.7152 * code709[1] + 0.0722 * code709[2];
    out[0] = 16 + 219 * luma;
    out[1] = 128 + 224 * (code709[2] - luma) / 1.8556;
    out[2] = 128 + 224 * (code709[0] - luma) / 1.5748;
}

static void check_colours(const struct rr_tonemap_from *from)
{
    double worst = 0, sum = 0, count = 0;
    rr_tonemap_init(map, from);
    for (unsigned y = 64; y <= 940; y += 12) {
        for (unsigned u = 352; u <= 672; u += 40) {
            for (unsigned v = 352; v <= 672; v += 40) {
                uint16_t in[3][4] = {{(uint16_t)y, (uint16_t)y, (uint16_t)y, (uint16_t)y},
                                     {(uint16_t)u},
                                     {(uint16_t)v}};
                uint8_t out[3][4] = {0}, *to[3] = {out[0], out[1], out[2]};
                const uint8_t *planes[3] = {(const uint8_t *)in[0], (const uint8_t *)in[1],
                                            (const uint8_t *)in[2]};
                size_t from_strides[3] = {4, 2, 2}, strides[3] = {2, 1, 1};
                double want[3], code[3] = {y, u, v};
                rr_tonemap_picture(map, to, strides, planes, from_strides, 2, 2);
                expected(want, from, code);
                for (int i = 0; i < 3; i++) {
                    worst = fmax(worst, fabs(out[i][0] - want[i]));
                    sum += fabs(out[i][0] - want[i]);
                    count++;
                }
                assert_int_equal(out[0][0], out[0][3]);
            }
        }
    }
    print_message("transfer %u, peak %u: %.3f codes off, at most %.3f\n", from->transfer,
                  from->peak_nits, sum / count, worst);
    /* Half a code is rounding; at the gamut's edge dark colours are differences of large numbers.
     */
    assert_true(worst < 2.5 && sum / count < 0.3);
}

static void pictures_are_within_a_code_of_the_formulas(void **state)
{
    (void)state;
    static const struct rr_tonemap_from kinds[] = {
        {16, 9, 9, false, 1000}, {16, 9, 9, false, 4000}, {16, 9, 9, false, 10000},
        {16, 9, 9, false, 250},  {16, 9, 9, true, 1000},  {18, 9, 9, false, 1000}};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        check_colours(&kinds[i]);
    }
}

static void grey_stays_grey_and_rises_with_the_signal(void **state)
{
    (void)state;
    static const struct rr_tonemap_from kinds[] = {{16, 9, 9, false, 1000},
                                                   {18, 9, 9, false, 1000}};
    for (size_t k = 0; k < COUNT(kinds); k++) {
        uint8_t last = 0;
        rr_tonemap_init(map, &kinds[k]);
        for (unsigned y = 0; y < 1024; y++) {
            uint16_t in[3][4] = {
                {(uint16_t)y, (uint16_t)y, (uint16_t)y, (uint16_t)y}, {512}, {512}};
            uint8_t out[3][4] = {0}, *to[3] = {out[0], out[1], out[2]};
            const uint8_t *planes[3] = {(const uint8_t *)in[0], (const uint8_t *)in[1],
                                        (const uint8_t *)in[2]};
            size_t from_strides[3] = {4, 2, 2}, strides[3] = {2, 1, 1};
            rr_tonemap_picture(map, to, strides, planes, from_strides, 2, 2);
            assert_true(out[0][0] >= last && out[0][0] >= 16 && out[0][0] <= 235);
            assert_int_equal(out[1][0], 128);
            assert_int_equal(out[2][0], 128);
            last = out[0][0];
        }
        assert_int_equal(last, 235); /* the peak is white */
    }
}

/* FNV-1a over numbers, lowest byte first. */
static uint64_t fnv(uint64_t hash, const uint32_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (unsigned byte = 0; byte < 4; byte++) {
            hash = (hash ^ (numbers[i] >> 8 * byte & 0xff)) * UINT64_C(0x100000001b3);
        }
    }
    return hash;
}

static void the_tables_are_the_same_everywhere(void **state)
{
    (void)state;
    static const struct rr_tonemap_from kinds[] = {{16, 9, 9, false, 1000},
                                                   {18, 9, 9, false, 1000}};
    static const uint64_t digests[] = {UINT64_C(0x12bf04cd943525ec), UINT64_C(0x25922e6918073fcc)};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        uint64_t hash = fnv(UINT64_C(0xcbf29ce484222325), NULL, 0);
        rr_tonemap_init(map, &kinds[i]);
        hash = fnv(hash, map->light, COUNT(map->light));
        hash = fnv(hash, map->shown, COUNT(map->shown));
        hash = fnv(hash, map->gain, COUNT(map->gain));
        for (size_t step = 0; step < COUNT(map->code); step++) {
            uint32_t code = map->code[step];
            hash = fnv(hash, &code, 1);
        }
        print_message("tables %zu: %016llx\n", i, (unsigned long long)hash);
        assert_true(hash == digests[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_powers_of_pq_are_those_of_bt2100),
        cmocka_unit_test(pictures_are_within_a_code_of_the_formulas),
        cmocka_unit_test(grey_stays_grey_and_rises_with_the_signal),
        cmocka_unit_test(the_tables_are_the_same_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
