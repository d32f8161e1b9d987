/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plane out of rows of blocks. Squared error and sums come out of the same block sums as SSIM:
 * sum (p - q)^2 = sum (p^2 + q^2) - 2 sum p q. */
#include "cpu/cpu.h"
#include "quality/quality_kernel.h"
#include <math.h>
#include <string.h>

const struct quality_kernel *quality_kernel(void)
{
#if defined(__x86_64__)
    if ((rr_cpu_features() & RR_CPU_AVX2) != 0) {
        return &quality_avx2;
    }
#endif
    return &quality_ref;
}

size_t rr_quality_room(uint32_t width)
{
    return sizeof(uint32_t) * ((size_t)width / 4 + 1) * 9; /* two rows of four sums, and windows */
}

static uint32_t sample(const uint8_t *row, uint32_t x, unsigned depth)
{
    uint16_t value;
    if (depth == 8) {
        return row[x];
    }
    memcpy(&value, row + (size_t)2 * x, 2);
    return value;
}

/* Samples that are in no block: right of the last one, below the last row of them. */
static void add_rest(struct rr_quality *out, const uint8_t *a, const uint8_t *b, uint32_t from,
                     uint32_t width, unsigned depth)
{
    for (uint32_t x = from; x < width; x++) {
        uint32_t p = sample(a, x, depth), q = sample(b, x, depth);
        out->sum_a += p;
        out->sum_b += q;
        out->sse += (uint64_t)((int64_t)p - q) * (uint64_t)((int64_t)p - q);
    }
}

static void add_blocks(struct rr_quality *out, const struct quality_sums *sums, uint32_t count)
{
    uint64_t squares = 0, products = 0;
    for (uint32_t i = 0; i < count; i++) {
        out->sum_a += sums->a[i];
        out->sum_b += sums->b[i];
        squares += sums->squares[i];
        products += sums->products[i];
    }
    out->sse += squares - 2 * products;
}

static void add_windows(struct rr_quality *out, const int32_t *values, uint32_t count, uint32_t row,
                        uint32_t rows)
{
    unsigned first = (unsigned)((uint64_t)row * RR_QUALITY_TILES / rows) * RR_QUALITY_TILES;
    uint32_t done = 0;
    for (unsigned tile = 0; tile < RR_QUALITY_TILES; tile++) {
        /* The first window that is no longer in this tile. */
        uint32_t end =
            (uint32_t)(((uint64_t)(tile + 1) * count + RR_QUALITY_TILES - 1) / RR_QUALITY_TILES);
        int64_t sum = 0;
        out->tile_windows[first + tile] += end - done;
        for (; done < end; done++) {
            sum += values[done];
            out->window_min = values[done] < out->window_min ? values[done] : out->window_min;
        }
        out->tile_sum[first + tile] += sum;
        out->ssim_sum += sum;
    }
    out->windows += count;
}

static void compare_blocks(struct rr_quality *out, const uint8_t *a, size_t a_stride,
                           const uint8_t *b, size_t b_stride, const struct rr_quality_shape *shape,
                           uint32_t *room)
{
    const struct quality_kernel *kernel = quality_kernel();
    const uint64_t max = (1u << shape->depth) - 1;
    const uint32_t c1 = (uint32_t)((max * max * 64 + 5000) / 10000);
    const uint32_t c2 = (uint32_t)((9 * max * max * 64 * 63 + 5000) / 10000);
    const uint32_t columns = shape->width / 4, rows = shape->height / 4;
    struct quality_sums sums[2];
    for (unsigned i = 0; i < 2; i++, room += (size_t)4 * columns) {
        sums[i] = (struct quality_sums){.a = room,
                                        .b = room + columns,
                                        .squares = room + (size_t)2 * columns,
                                        .products = room + (size_t)3 * columns};
    }
    int32_t *values = (int32_t *)room;
    for (uint32_t row = 0; row < rows; row++) {
        const struct quality_sums *now = &sums[row % 2], *above = &sums[(row + 1) % 2];
        (shape->depth == 8 ? kernel->blocks8 : kernel->blocks16)(
            now, a + 4 * row * a_stride, a_stride, b + 4 * row * b_stride, b_stride, columns);
        add_blocks(out, now, columns);
        if (row > 0 && columns > 1) {
            kernel->windows(values, above, now, columns - 1, c1, c2);
            add_windows(out, values, columns - 1, row - 1, rows - 1);
        }
    }
}

static uint64_t laplace(const uint8_t *plane, size_t stride, const struct rr_quality_shape *shape)
{
    const struct quality_kernel *kernel = quality_kernel();
    uint64_t energy = 0;
    for (uint32_t y = 1; y + 1 < shape->height && shape->width >= 3; y++) {
        const uint8_t *row = plane + y * stride;
        energy += (shape->depth == 8 ? kernel->laplace8 : kernel->laplace16)(
            row - stride, row, row + stride, shape->width);
    }
    return energy;
}

void rr_quality_plane(struct rr_quality *out, const uint8_t *a, size_t a_stride, const uint8_t *b,
                      size_t b_stride, const struct rr_quality_shape *shape, void *room)
{
    uint32_t blocks_wide = shape->width / 4 * 4, blocks_high = shape->height / 4 * 4;
    *out = (struct rr_quality){.samples = (uint64_t)shape->width * shape->height,
                               .window_min = RR_QUALITY_ONE};
    compare_blocks(out, a, a_stride, b, b_stride, shape, room);
    for (uint32_t y = 0; y < shape->height; y++) {
        add_rest(out, a + y * a_stride, b + y * b_stride, y < blocks_high ? blocks_wide : 0,
                 shape->width, shape->depth);
    }
    out->laplace_a = laplace(a, a_stride, shape);
    out->laplace_b = laplace(b, b_stride, shape);
}

int32_t rr_quality_ssim(const struct rr_quality *one)
{
    return one->windows == 0 ? RR_QUALITY_ONE : (int32_t)(one->ssim_sum / (int64_t)one->windows);
}

int32_t rr_quality_tile_min(const struct rr_quality *one)
{
    int32_t least = RR_QUALITY_ONE;
    for (unsigned i = 0; i < RR_QUALITY_TILES * RR_QUALITY_TILES; i++) {
        if (one->tile_windows[i] > 0) {
            int32_t mean = (int32_t)(one->tile_sum[i] / (int64_t)one->tile_windows[i]);
            least = mean < least ? mean : least;
        }
    }
    return least;
}

double rr_quality_psnr_db(uint64_t sse, uint64_t samples, unsigned depth)
{
    double max = (double)((1u << depth) - 1);
    double db = sse == 0 ? 100 : 10 * log10(max * max * (double)samples / (double)sse);
    return db < 100 ? db : 100;
}
