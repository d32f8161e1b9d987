/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kcheck/kcheck.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GUARD     RR_KCHECK_GUARD_BYTES
#define SKEW_MAX  64 /* one cache line */
#define GUARD_XOR 0xa5

/* SplitMix64 (Steele, Lea, Flood 2014): any seed is a good one. */
uint64_t rr_kcheck_u64(struct rr_kcheck_random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

uint64_t rr_kcheck_below(struct rr_kcheck_random *random, uint64_t bound)
{
    return rr_kcheck_u64(random) % bound;
}

size_t rr_kcheck_size(struct rr_kcheck_random *random, size_t max)
{
    size_t size = (size_t)rr_kcheck_below(random, (uint64_t)max + 1);
    switch (rr_kcheck_below(random, 4)) {
    case 0: /* small */
        size %= 300;
        break;
    case 1: { /* beside a multiple of 1, 2, 4 ... 2048 */
        size_t unit = (size_t)1 << rr_kcheck_below(random, 12);
        size = size / unit * unit + (size_t)rr_kcheck_below(random, 3);
        size = size > 0 ? size - 1 : 0;
        break;
    }
    case 2: /* an end of the range */
        size = rr_kcheck_below(random, 2) == 0 ? max : size % 2;
        break;
    default:
        break;
    }
    return size < max ? size : max;
}

/* A buffer between two guard zones, at a skewed address. */
struct area {
    uint8_t *start; /* of the first zone */
    uint8_t *bytes;
    size_t len;
};

static size_t area_bytes(size_t len)
{
    return len + (size_t)2 * GUARD + SKEW_MAX;
}

static void guard_fill(uint8_t *zone)
{
    for (size_t i = 0; i < GUARD; i++) {
        zone[i] = (uint8_t)(i ^ GUARD_XOR);
    }
}

static bool guard_intact(const uint8_t *zone)
{
    for (size_t i = 0; i < GUARD; i++) {
        if (zone[i] != (uint8_t)(i ^ GUARD_XOR)) {
            return false;
        }
    }
    return true;
}

static struct area make_area(uint8_t **room, size_t len, size_t len_max,
                             struct rr_kcheck_random *random)
{
    size_t skew = (size_t)rr_kcheck_below(random, SKEW_MAX);
    struct area area = {*room + skew, *room + skew + GUARD, len};
    *room += area_bytes(len_max);
    guard_fill(area.start);
    guard_fill(area.bytes + len);
    return area;
}

static bool area_intact(const struct area *area)
{
    return guard_intact(area->start) && guard_intact(area->bytes + area->len);
}

static size_t out_len(const struct rr_kcheck *check, size_t len)
{
    size_t chunks =
        check->chunk_bytes == 0 ? 0 : (len + check->chunk_bytes - 1) / check->chunk_bytes;
    return check->out_bytes + chunks * check->out_per_chunk;
}

size_t rr_kcheck_room(const struct rr_kcheck *check)
{
    return area_bytes(check->len_max) + 2 * area_bytes(out_len(check, check->len_max));
}

/* NULL when the case holds, else what is wrong. */
static const char *run_case(const struct rr_kcheck *check, size_t *len_out, uint8_t *room,
                            struct rr_kcheck_random *random)
{
    size_t len = rr_kcheck_size(random, check->len_max);
    size_t made = out_len(check, len);
    size_t made_max = out_len(check, check->len_max);
    *len_out = len;
    struct area in = make_area(&room, len, check->len_max, random);
    struct area law = make_area(&room, made, made_max, random);
    struct area variant = make_area(&room, made, made_max, random);
    struct rr_kcheck_random content = {rr_kcheck_u64(random)};
    struct rr_kcheck_random again = content;
    for (size_t i = 0; i < len; i++) {
        in.bytes[i] = (uint8_t)rr_kcheck_u64(&content);
    }
    memset(law.bytes, 0x11, made); /* unlike, so that bytes nobody wrote differ */
    memset(variant.bytes, 0x22, made);

    check->law(law.bytes, in.bytes, len);
    check->variant(variant.bytes, in.bytes, len, random);

    for (size_t i = 0; i < len; i++) {
        if (in.bytes[i] != (uint8_t)rr_kcheck_u64(&again)) {
            return "the input was changed";
        }
    }
    if (!area_intact(&in) || !area_intact(&law) || !area_intact(&variant)) {
        return "bytes beside a buffer were written";
    }
    if (made > 0 && memcmp(law.bytes, variant.bytes, made) != 0) {
        return "the outputs differ";
    }
    return NULL;
}

bool rr_kcheck_run(const struct rr_kcheck *check, uint64_t seed, unsigned rounds, uint8_t *room,
                   char text[static 200])
{
    for (unsigned i = 0; i < rounds; i++) {
        struct rr_kcheck_random random = {seed};
        size_t len = 0;
        const char *wrong = run_case(check, &len, room, &random);
        if (wrong != NULL) {
            (void)snprintf(text, 200, "%s: %s (seed 0x%016" PRIx64 ", %zu bytes in)", check->name,
                           wrong, seed, len);
            return false;
        }
        seed = rr_kcheck_u64(&random);
    }
    return true;
}
