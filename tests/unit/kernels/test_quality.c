/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --bench prints megapixels a second of each variant. */
#include "vectors.h"

#include "cpu/cpu.h"
#include "kcheck/kcheck.h"
#include "quality/quality.h"

#include <math.h>
#include <time.h>

#define SIDE_MAX 300
static uint32_t room[9 * (1920 / 4 + 1)];
static uint32_t features; /* of the variant that is looked at */

/* The definition once more, window by window, without blocks. */
static uint32_t at(const uint8_t *plane, size_t stride, unsigned depth, uint32_t x, uint32_t y)
{
    uint16_t wide;
    if (depth == 8) {
        return plane[y * stride + x];
    }
    memcpy(&wide, plane + y * stride + (size_t)2 * x, 2);
    return wide;
}

static double plain_ssim(const uint8_t *a, const uint8_t *b, size_t stride,
                         const struct rr_quality_shape *shape)
{
    double sum = 0, count = 0, max = (1u << shape->depth) - 1;
    double c1 = 0.0001 * max * max / 64, c2 = 0.0009 * max * max;
    for (uint32_t y = 0; y + 8 <= shape->height / 4 * 4; y += 4) {
        for (uint32_t x = 0; x + 8 <= shape->width / 4 * 4; x += 4, count++) {
            double ma = 0, mb = 0, va = 0, vb = 0, cov = 0;
            for (uint32_t i = 0; i < 64; i++) {
                ma += at(a, stride, shape->depth, x + i % 8, y + i / 8) / 64.0;
                mb += at(b, stride, shape->depth, x + i % 8, y + i / 8) / 64.0;
            }
            for (uint32_t i = 0; i < 64; i++) {
                double p = at(a, stride, shape->depth, x + i % 8, y + i / 8) - ma;
                double q = at(b, stride, shape->depth, x + i % 8, y + i / 8) - mb;
                va += p * p / 63;
                vb += q * q / 63;
                cov += p * q / 63;
            }
            sum +=
                (2 * ma * mb + c1) * (2 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2));
        }
    }
    return count > 0 ? sum / count : 1;
}

static uint8_t planes[2][SIDE_MAX * SIDE_MAX * 2];

static void fill(struct rr_kcheck_random *random, const struct rr_quality_shape *shape, int noise)
{
    for (size_t i = 0; i < (size_t)shape->width * shape->height; i++) {
        uint32_t max = (1u << shape->depth) - 1;
        uint32_t x = (uint32_t)(i % shape->width), y = (uint32_t)(i / shape->width);
        uint32_t p = (x * 3 + y * 2 + (uint32_t)rr_kcheck_below(random, 30)) % (max + 1);
        uint32_t q = (p + (uint32_t)rr_kcheck_below(random, (uint64_t)noise + 1)) % (max + 1);
        for (unsigned k = 0; k < 2; k++) {
            uint16_t value = (uint16_t)(k == 0 ? p : q);
            if (shape->depth == 8) {
                planes[k][i] = (uint8_t)value;
            } else {
                memcpy(&planes[k][2 * i], &value, 2);
            }
        }
    }
}

static void measures_are_those_of_their_definitions(void **state)
{
    (void)state;
    struct rr_kcheck_random random = {11};
    for (unsigned round = 0; round < 60; round++) {
        struct rr_quality_shape shape = {.width = 1 + (uint32_t)rr_kcheck_below(&random, 90),
                                         .height = 1 + (uint32_t)rr_kcheck_below(&random, 90),
                                         .depth = round % 2 ? 10 : 8};
        size_t stride = (size_t)shape.width * (shape.depth == 8 ? 1 : 2);
        struct rr_quality got;
        uint64_t sse = 0, sums[2] = {0}, energy = 0;
        fill(&random, &shape, 1 + (int)(round * round / 8));
        rr_quality_plane(&got, planes[0], stride, planes[1], stride, &shape, room);
        for (uint32_t y = 0; y < shape.height; y++) {
            for (uint32_t x = 0; x < shape.width; x++) {
                int64_t p = at(planes[0], stride, shape.depth, x, y);
                int64_t q = at(planes[1], stride, shape.depth, x, y);
                sse += (uint64_t)((p - q) * (p - q));
                sums[0] += (uint64_t)p;
                sums[1] += (uint64_t)q;
                if (x > 0 && y > 0 && x + 1 < shape.width && y + 1 < shape.height) {
                    int64_t value = 4 * p - at(planes[0], stride, shape.depth, x - 1, y) -
                                    at(planes[0], stride, shape.depth, x + 1, y) -
                                    at(planes[0], stride, shape.depth, x, y - 1) -
                                    at(planes[0], stride, shape.depth, x, y + 1);
                    energy += (uint64_t)(value * value);
                }
            }
        }
        assert_int_equal(got.samples, (uint64_t)shape.width * shape.height);
        assert_int_equal(got.sse, sse);
        assert_int_equal(got.sum_a, sums[0]);
        assert_int_equal(got.sum_b, sums[1]);
        assert_int_equal(got.laplace_a, energy);
        double ssim = rr_quality_ssim(&got) / (double)RR_QUALITY_ONE;
        assert_true(fabs(ssim - plain_ssim(planes[0], planes[1], stride, &shape)) < 2e-5);
        assert_true(rr_quality_tile_min(&got) >= got.window_min);
        assert_true(rr_quality_tile_min(&got) <= rr_quality_ssim(&got) + 1);
    }
}

static void equal_planes_are_perfect_and_tiles_hold_each_window_once(void **state)
{
    (void)state;
    struct rr_kcheck_random random = {5};
    for (uint32_t side = 1; side < SIDE_MAX; side += 7) {
        struct rr_quality_shape shape = {.width = side, .height = SIDE_MAX - side, .depth = 8};
        struct rr_quality one;
        uint64_t windows = 0;
        fill(&random, &shape, 9);
        rr_quality_plane(&one, planes[0], side, planes[0], side, &shape, room);
        assert_int_equal(one.sse, 0);
        assert_int_equal(rr_quality_ssim(&one), RR_QUALITY_ONE);
        assert_int_equal(rr_quality_tile_min(&one), RR_QUALITY_ONE);
        assert_int_equal(one.window_min, RR_QUALITY_ONE);
        for (unsigned i = 0; i < RR_QUALITY_TILES * RR_QUALITY_TILES; i++) {
            windows += one.tile_windows[i];
        }
        assert_int_equal(windows, one.windows);
    }
    assert_true(fabs(rr_quality_psnr_db(65025, 1, 8)) < 1e-9);
    assert_true(fabs(rr_quality_psnr_db(1, 1, 10) - 60.1975) < 1e-3);
    assert_true(fabs(rr_quality_psnr_db(0, 1, 8) - 100) < 1e-9);
}

/* Input: width, skews and depth out of the first bytes, samples out of the rest. */
static void measure(uint8_t *out, const uint8_t *in, size_t len)
{
    static uint8_t own[2][65536];
    struct rr_quality result;
    memset(&result, 0, sizeof result);
    if (len < 8) {
        memset(out, 0, sizeof result);
        return;
    }
    struct rr_quality_shape shape = {.depth = in[0] % 2 ? 8 : 9 + in[0] / 2 % 2};
    size_t bytes = shape.depth == 8 ? 1 : 2, samples = (len - 4) / 2 / bytes;
    shape.width = 1 + (uint32_t)((in[1] | (uint32_t)in[2] << 8) % samples % 1300);
    shape.height = (uint32_t)(samples / shape.width);
    size_t stride = shape.width * bytes, size = stride * shape.height;
    unsigned skew = in[3] % 8;
    bool extreme = in[3] >= 224; /* whole plane of ends: the largest sums there are */
    for (unsigned k = 0; k < 2; k++) {
        memcpy(own[k] + skew, in + 4 + k * size, size);
        for (size_t i = 0; i < size; i++) {
            uint8_t *sample = own[k] + skew + i;
            *sample = extreme ? (uint8_t) - (in[4 + k * size + i / bytes] % 2) : *sample;
            if (bytes == 2 && i % 2 == 1) {
                *sample &= (uint8_t)((1u << (shape.depth - 8)) - 1);
            }
        }
    }
    rr_quality_plane(&result, own[0] + skew, stride, own[1] + skew, stride, &shape, room);
    memcpy(out, &result, sizeof result);
}

static void law(uint8_t *out, const uint8_t *in, size_t len)
{
    rr_cpu_narrow(0);
    measure(out, in, len);
    rr_cpu_narrow(features);
}

static void variant(uint8_t *out, const uint8_t *in, size_t len, struct rr_kcheck_random *random)
{
    (void)random;
    measure(out, in, len);
}

static void variants_give_the_bits_of_the_law(void **state)
{
    (void)state;
    const uint32_t masks[] = {RR_CPU_AVX2, RR_CPU_ALL};
    struct rr_kcheck check = {.name = "quality",
                              .law = law,
                              .variant = variant,
                              .len_max = 60000,
                              .out_bytes = sizeof(struct rr_quality)};
    uint8_t *work = test_malloc(rr_kcheck_room(&check));
    char text[200];
    for (unsigned i = 0; i < 2; i++) {
        features = masks[i];
        rr_cpu_narrow(features);
        if (!rr_kcheck_run(&check, 41 + i, getenv("RR_SHORT") != NULL ? 60 : 600, work, text)) {
            fail_msg("%s", text);
        }
    }
    rr_cpu_narrow(RR_CPU_ALL);
    test_free(work);
}

static int bench(void)
{
    const struct rr_quality_shape shapes[] = {{1920, 1080, 8}, {1920, 1080, 10}, {640, 360, 8}};
    const uint32_t masks[] = {0, RR_CPU_AVX2};
    uint8_t *a = test_malloc((size_t)1920 * 1080 * 4), *b = a + (size_t)1920 * 1080 * 2;
    for (size_t i = 0; i < (size_t)1920 * 1080 * 4; i++) {
        a[i] = (uint8_t)((i * 2654435761u >> 13) & (i % 2 ? 3 : 255));
    }
    for (unsigned i = 0; i < 6; i++) {
        const struct rr_quality_shape *shape = &shapes[i / 2];
        size_t stride = (size_t)shape->width * (shape->depth == 8 ? 1 : 2);
        struct rr_quality out;
        double best = 1e9;
        rr_cpu_narrow(masks[i % 2]);
        for (unsigned round = 0; round < 40; round++) {
            struct timespec t0, t1;
            clock_gettime(CLOCK_MONOTONIC, &t0);
            rr_quality_plane(&out, a, stride, b, stride, shape, room);
            clock_gettime(CLOCK_MONOTONIC, &t1);
            double s = (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9;
            best = s < best ? s : best;
        }
        print_message("%ux%u %2u bits %-5s %8.1f Mpixel/s, %.2f ms a plane\n", shape->width,
                      shape->height, shape->depth, rr_cpu_text(), (double)out.samples / best / 1e6,
                      best * 1e3);
    }
    test_free(a);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measures_are_those_of_their_definitions),
        cmocka_unit_test(equal_planes_are_perfect_and_tiles_hold_each_window_once),
        cmocka_unit_test(variants_give_the_bits_of_the_law),
    };
    if (argc == 2 && strcmp(argv[1], "--bench") == 0) {
        return bench();
    }
    return cmocka_run_group_tests_name("quality", tests, NULL, NULL);
}
