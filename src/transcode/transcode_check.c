/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a worker says of its work is checked here before it counts. */
#include "crypto/crypto.h"
#include "transcode/transcode_private.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare_times(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

enum rr_err transcode_check_packets(const struct transcode_packets *packets,
                                    const struct transcode_encode *asked, struct rr_fault *fault)
{
    int64_t *times = rr_alloc_array(TRANSCODE_FRAMES_MAX, sizeof *times);
    uint64_t bytes = 0;
    enum rr_err err = RR_OK;
    for (uint32_t i = 0; i < packets->count; i++) {
        times[i] = packets->packets[i].pts;
        bytes += packets->packets[i].bytes;
        if ((packets->packets[i].key != 0) != (i == 0)) {
            err = rr_fail(fault, RR_ERR_DAMAGED, "packet %u of the GOP is %sa key picture",
                          (unsigned)i, i == 0 ? "not " : "");
        }
    }
    qsort(times, packets->count, sizeof *times, compare_times);
    if (packets->count != asked->count) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "%u pictures went in and %u came out",
                      (unsigned)asked->count, (unsigned)packets->count);
    } else if (memcmp(times, asked->pts, sizeof *times * asked->count) != 0) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the pictures' times are not those that went in");
    } else if (bytes != packets->bytes) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "packets of %llu bytes in a stream of %llu",
                      (unsigned long long)bytes, (unsigned long long)packets->bytes);
    }
    rr_free(times);
    return err;
}

static enum rr_err digest(struct transcode_coded *out, struct rr_slice head, uint64_t bytes, int fd,
                          uint64_t offset, struct rr_fault *fault)
{
    struct rr_hasher hasher;
    enum rr_err err = RR_OK;
    size_t room = 1u << 20;
    uint8_t *piece = rr_alloc(room);
    rr_hasher_init(&hasher, "rr.es.v1");
    rr_hasher_add(&hasher, head.ptr, head.len);
    for (uint64_t done = 0; done < bytes && err == RR_OK;) {
        size_t now = (size_t)(bytes - done < room ? bytes - done : room);
        err = rr_pread_full(fd, piece, now, offset + done, fault);
        rr_hasher_add(&hasher, piece, now);
        done += now;
    }
    rr_free(piece);
    if (err == RR_OK) {
        out->bytes = head.len + bytes;
        rr_hasher_final(&hasher, &out->digest);
    }
    return err;
}

enum rr_err transcode_es_digest(struct transcode_coded *out,
                                const struct transcode_packets *packets, int fd, uint64_t offset,
                                struct rr_fault *fault)
{
    return digest(out, rr_slice_of(packets->extradata, packets->extradata_bytes), packets->bytes,
                  fd, offset, fault);
}

enum rr_err transcode_sound_digest(struct transcode_coded *out, const struct transcode_sound *sound,
                                   int fd, uint64_t offset, struct rr_fault *fault)
{
    return digest(out, rr_slice_of(sound->extradata, sound->extradata_bytes), sound->bytes, fd,
                  offset, fault);
}

void transcode_encode_task(struct transcode_encode *out, const struct transcode_plan *plan,
                           unsigned rung, const int64_t *pts, uint32_t count)
{
    out->plan = *plan;
    out->rung = (uint8_t)rung;
    out->count = count;
    for (uint32_t i = 0; i < count; i++) {
        /* From the GOP's own start: a place in the film must not reach the encoder. */
        out->pts[i] = (pts[i] - pts[0]) * plan->ticks;
    }
}

unsigned transcode_patience(const struct transcode_plan *plan, uint32_t frames)
{
    uint64_t pixels = 0;
    for (unsigned i = 0; i < plan->rung_count; i++) {
        pixels += (uint64_t)plan->rungs[i].width * plan->rungs[i].height;
    }
    /* x264 veryslow does some 2 Mpixel/s a core; a quarter of that on a loaded machine. */
    return (unsigned)(120 + pixels * frames / 500000);
}
