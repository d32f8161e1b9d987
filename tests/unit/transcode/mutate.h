/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that are nearly what they were: seeds that ffmpeg makes, and ways to spoil them. */
#ifndef RR_TEST_TRANSCODE_MUTATE_H
#define RR_TEST_TRANSCODE_MUTATE_H
#include "kit.h"

#define SEED_VIDEO "-f lavfi -i testsrc2=s=64x48:r=10:d=1.2 "
#define SEED_BOTH  SEED_VIDEO "-f lavfi -i sine=r=44100:d=1.2 "
#define SEED_SOUND "-f lavfi -i sine=r=44100:d=0.6 "
#define SEED_X264  "-c:v libx264 -preset ultrafast -bf 2 -g 6 "

struct seed {
    const char *file, *make;
    struct rr_buf bytes;
};
static struct seed seeds[] = {
    {"a.mp4", SEED_BOTH SEED_X264 "-c:a aac %s/a.mp4", {0}},
    {"b.mp4", SEED_BOTH SEED_X264 "-c:a aac -movflags frag_keyframe+empty_moov %s/b.mp4", {0}},
    {"c.mov", SEED_BOTH "-c:v prores_ks -c:a pcm_s16be -frames:v 3 %s/c.mov", {0}},
    {"d.mp4",
     SEED_VIDEO "-c:v libx265 -preset ultrafast -x265-params log-level=none %s/d.mp4",
     {0}},
    {"e.mkv", SEED_BOTH SEED_X264 "-c:a flac %s/e.mkv", {0}},
    {"f.webm",
     SEED_BOTH "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus %s/f.webm",
     {0}},
    {"g.webm",
     SEED_BOTH "-c:v libvpx -deadline realtime -cpu-used 8 -c:a libvorbis %s/g.webm",
     {0}},
    {"h.ts", SEED_BOTH SEED_X264 "-c:a aac %s/h.ts", {0}},
    {"i.ts", SEED_BOTH "-c:v mpeg2video -c:a ac3 %s/i.ts", {0}},
    {"j.mpg", SEED_BOTH "-r 25 -c:v mpeg1video -c:a mp2 %s/j.mpg", {0}},
    {"k.flv", SEED_BOTH SEED_X264 "-c:a aac %s/k.flv", {0}},
    {"l.flv", SEED_BOTH "-c:v flv1 -c:a libmp3lame %s/l.flv", {0}},
    {"m.avi", SEED_BOTH "-c:v mpeg4 -bf 2 -c:a libmp3lame %s/m.avi", {0}},
    {"n.avi", SEED_BOTH "-c:v mjpeg -c:a pcm_u8 -frames:v 4 %s/n.avi", {0}},
    {"o.ogg", SEED_BOTH "-c:v libtheora -c:a libvorbis %s/o.ogg", {0}},
    {"p.wmv", SEED_BOTH "-c:v wmv2 -c:a wmav2 %s/p.wmv", {0}},
    {"q.nut", SEED_BOTH SEED_X264 "-c:a aac %s/q.nut", {0}},
    {"r.mxf", SEED_VIDEO "-r 25 -c:v mpeg2video -frames:v 5 %s/r.mxf", {0}},
    {"s.gif", SEED_VIDEO "-frames:v 4 %s/s.gif", {0}},
    {"t.h264", SEED_VIDEO SEED_X264 "%s/t.h264", {0}},
    {"u.hevc",
     SEED_VIDEO "-c:v libx265 -preset ultrafast -x265-params log-level=none %s/u.hevc",
     {0}},
    {"v.ivf",
     "-f lavfi -i testsrc2=s=64x64:r=10:d=1.2 -c:v libsvtav1 -preset 12 -frames:v 6 %s/v.ivf",
     {0}},
    {"w.mkv", SEED_VIDEO "-c:v ffv1 -frames:v 3 %s/w.mkv", {0}},
    {"x.wav", SEED_SOUND "-ar 8000 %s/x.wav", {0}},
    {"y.mp3", SEED_SOUND "%s/y.mp3", {0}},
    {"z.aac", SEED_SOUND "%s/z.aac", {0}},
    {"0.flac", SEED_SOUND "%s/0.flac", {0}},
    {"1.caf", SEED_SOUND "-ar 8000 %s/1.caf", {0}},
    {"2.aiff", SEED_SOUND "-ar 8000 %s/2.aiff", {0}},
    {"3.ac3", SEED_SOUND "%s/3.ac3", {0}},
};

/* How many there are: what this ffmpeg can make. */
static inline size_t seeds_make(void)
{
    size_t made = 0;
    for (size_t i = 0; i < RR_COUNT(seeds); i++) {
        if (kit_make(seeds[i].make) &&
            rr_file_read(&seeds[i].bytes, kit_path(seeds[i].file), 1u << 22, NULL) == RR_OK &&
            seeds[i].bytes.len > 0) {
            made++;
        }
        unlink(kit_path(seeds[i].file));
    }
    return made;
}

static inline void seeds_clear(void)
{
    for (size_t i = 0; i < RR_COUNT(seeds); i++) {
        rr_buf_clear(&seeds[i].bytes);
    }
}

static inline size_t pick(struct rr_prng *prng, size_t below)
{
    return below == 0 ? 0 : (size_t)rr_prng_below(prng, below);
}

static inline void put_number(struct rr_buf *bytes, struct rr_prng *prng, size_t at)
{
    static const uint64_t numbers[] = {0,          1,          UINT64_MAX, 0x7fffffff,
                                       0x80000000, 0xffffffff, 0x7fff,     0x8000,
                                       0xffff,     0x40000000, 0x00010000, 0x7fffffffffffffff};
    uint64_t value = numbers[pick(prng, RR_COUNT(numbers))];
    size_t width = (size_t)1 << pick(prng, 4);
    bool big = pick(prng, 2) == 0;
    for (size_t i = 0; i < width && at + i < bytes->len; i++) {
        bytes->ptr[at + i] = (uint8_t)(value >> 8 * (big ? width - 1 - i : i));
    }
}

/* A run of bytes [from, from+len) of `in` into `bytes` at `at`. */
static inline void insert_run(struct rr_buf *bytes, size_t at, const struct rr_buf *in, size_t from,
                              size_t len)
{
    struct rr_buf made = {0};
    rr_buf_append(&made, bytes->ptr, at);
    rr_buf_append(&made, in->ptr + from, len);
    rr_buf_append(&made, bytes->ptr + at, bytes->len - at);
    rr_buf_clear(bytes);
    *bytes = made;
}

static inline void remove_run(struct rr_buf *bytes, size_t at, size_t len)
{
    memmove(bytes->ptr + at, bytes->ptr + at + len, bytes->len - at - len);
    bytes->len -= len;
}

/* The size in front of a box, of an MP4 or of any four letters. */
static inline void spoil_box(struct rr_buf *bytes, struct rr_prng *prng)
{
    size_t start = pick(prng, bytes->len);
    for (size_t i = 0; i + 8 < bytes->len; i++) {
        size_t at = (start + i) % (bytes->len - 8);
        const uint8_t *name = bytes->ptr + at + 4;
        bool letters = true;
        for (size_t j = 0; j < 4; j++) {
            letters &= (name[j] >= 'a' && name[j] <= 'z') || (name[j] >= '0' && name[j] <= '9');
        }
        if (letters) {
            size_t what = pick(prng, 4);
            if (what == 0) {
                put_number(bytes, prng, at);
            } else if (what == 1) {
                bytes->ptr[at + 3] = (uint8_t)(bytes->ptr[at + 3] + pick(prng, 9) - 4);
            } else if (what == 2) {
                put_number(bytes, prng, at + 8 + pick(prng, 24)); /* its first fields */
            } else {                                              /* it twice */
                size_t size = (size_t)bytes->ptr[at + 2] << 8 | bytes->ptr[at + 3];
                size = size > bytes->len - at ? bytes->len - at : size;
                struct rr_buf copy = {0};
                rr_buf_append(&copy, bytes->ptr + at, size);
                insert_run(bytes, at, &copy, 0, size);
                rr_buf_clear(&copy);
            }
            return;
        }
    }
}

/* One change of a kind that is picked. */
static inline void mutate_once(struct rr_buf *bytes, struct rr_prng *prng)
{
    size_t len = bytes->len, at = pick(prng, len), run = 1 + pick(prng, len / 4 + 1);
    size_t head = pick(prng, len < 700 ? len : 700);
    run = run > len - at ? len - at : run;
    const struct rr_buf *other = &seeds[pick(prng, RR_COUNT(seeds))].bytes;
    switch (pick(prng, 11)) {
    case 0:
        for (size_t i = 1 + pick(prng, 20); i > 0; i--) {
            bytes->ptr[pick(prng, len)] ^= (uint8_t)(1u << pick(prng, 8));
        }
        break;
    case 1:
        bytes->len = at + 1;
        break;
    case 2:
        put_number(bytes, prng, at);
        break;
    case 3:
        put_number(bytes, prng, head);
        break;
    case 4:
        bytes->ptr[head] = (uint8_t)pick(prng, 256);
        break;
    case 5:
        remove_run(bytes, at, run);
        break;
    case 6: { /* a run twice, 188 bytes in a row where it is a packet */
        struct rr_buf copy = {0};
        run = pick(prng, 2) == 0 && len > 376 ? 188 : run;
        at = run == 188 ? at / 188 * 188 : at;
        run = run > len - at ? len - at : run;
        rr_buf_append(&copy, bytes->ptr + at, run);
        insert_run(bytes, at, &copy, 0, run);
        rr_buf_clear(&copy);
        break;
    }
    case 7:
        if (other->len > 0) {
            size_t from = pick(prng, other->len);
            size_t most = other->len - from < 4096 ? other->len - from : 4096;
            insert_run(bytes, at, other, from, 1 + pick(prng, most));
        }
        break;
    case 8:
        memset(bytes->ptr + at, (int)(pick(prng, 2) * 255), run);
        break;
    default:
        spoil_box(bytes, prng);
        break;
    }
}

/* The index-th file of a run that began with `seed`: the same wherever the run began. Owned by the
 * caller. */
static inline struct rr_buf mutate_file(uint64_t seed, uint64_t index, size_t *which)
{
    struct rr_prng prng;
    struct rr_buf bytes = {0};
    rr_prng_seed(&prng, seed * 1000003 + index);
    do {
        *which = pick(&prng, RR_COUNT(seeds));
    } while (seeds[*which].bytes.len == 0);
    rr_buf_append(&bytes, seeds[*which].bytes.ptr, seeds[*which].bytes.len);
    for (size_t i = 1 + pick(&prng, 4); i > 0 && bytes.len > 16 && bytes.len < 1u << 20; i--) {
        mutate_once(&bytes, &prng);
    }
    return bytes;
}
#endif
