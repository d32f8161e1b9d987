/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verifier's own encode of as many bytes as the candidate has. Bytes fall with the quality
 * number in a way that is close to straight in the logarithm, so few tries serve; integers alone,
 * for every verifier must come to the same reference. */
#include "transcode/transcode_verify.h"

#define OCTAVE 65536 /* log2 in units of 2^-16 */

/* floor(65536 log2 value), value > 0: sixteen squarings of the fraction. */
static int64_t log2_of(uint64_t value)
{
    int64_t whole = 63 - __builtin_clzll(value);
    uint64_t fraction = whole >= 31 ? value >> (whole - 31) : value << (31 - whole);
    int64_t bits = 0;
    for (unsigned i = 0; i < 16; i++) { /* fraction in [2^31, 2^32) stands for [1, 2) */
        fraction = fraction * fraction >> 31;
        bits <<= 1;
        if (fraction >> 32 != 0) {
            fraction >>= 1;
            bits |= 1;
        }
    }
    return whole * OCTAVE + bits;
}

/* Hundredths of the quality number that halve the bytes: x264's and x265's crf by its definition,
 * the others as measured on animation and camera. */
static int64_t usual_slope(uint8_t codec)
{
    return codec == RR_CODEC_AV1 || codec == RR_CODEC_VP9 ? 1100 : 600;
}

static uint32_t clamp_quality(int64_t quality, uint8_t codec)
{
    bool coarse = codec == RR_CODEC_AV1 || codec == RR_CODEC_VP9;
    int64_t most = coarse ? 6300 : 5100;
    quality = coarse ? (quality + 50) / 100 * 100 : quality;
    return (uint32_t)(quality < 100 ? 100 : quality > most ? most : quality);
}

static bool near_enough(uint64_t bytes, uint64_t want)
{
    uint64_t off = bytes > want ? bytes - want : want - bytes;
    return off * 100 <= want * TRANSCODE_REFERENCE_PERCENT;
}

struct
try {
    uint32_t quality;
    uint64_t bytes;
    int64_t log2;
};

static int64_t distance(const struct try *try, int64_t want)
{
    return try->log2 > want ? try->log2 - want : want - try->log2;
}

static enum rr_err encode(struct transcode_verify *verify, struct try *try, uint32_t quality,
                          struct transcode_coded *coded, struct rr_fault *fault)
{
    enum rr_err err = transcode_remake_encode(&verify->remake, coded, verify->rung, quality, fault);
    *try = (struct try){.quality = quality, .bytes = coded->bytes, .log2 = log2_of(coded->bytes)};
    verify->out->encodes++;
    return err;
}

/* The next quality by the line through the last two tries, or the usual slope. */
static uint32_t next_quality(const struct try *tries, unsigned count, int64_t want, uint8_t codec)
{
    const struct try *last = &tries[count - 1];
    int64_t slope = usual_slope(codec);
    if (count > 1 && tries[count - 2].log2 != last->log2) {
        int64_t found = ((int64_t)last->quality - tries[count - 2].quality) * OCTAVE /
                        (tries[count - 2].log2 - last->log2);
        slope = found < slope / 4 ? slope / 4 : found > slope * 4 ? slope * 4 : found;
    }
    int64_t move = (last->log2 - want) * slope / OCTAVE;
    if (move == 0) {
        move = last->log2 > want ? 1 : -1;
    }
    if (codec == RR_CODEC_AV1 || codec == RR_CODEC_VP9) {
        move = move > -100 && move < 0 ? -100 : move > 0 && move < 100 ? 100 : move;
    }
    return clamp_quality((int64_t)last->quality + move, codec);
}

static bool tried(const struct try *tries, unsigned count, uint32_t quality)
{
    for (unsigned i = 0; i < count; i++) {
        if (tries[i].quality == quality) {
            return true;
        }
    }
    return false;
}

enum rr_err transcode_reference_make(struct transcode_verify *verify, struct rr_fault *fault)
{
    const struct transcode_plan *plan = &verify->remake.job.plan;
    struct try tries[TRANSCODE_REFERENCE_TRIES];
    struct transcode_coded coded = {0};
    int64_t want = log2_of(verify->out->candidate_bytes);
    unsigned count = 0, best = 0;
    enum rr_err err = encode(verify, &tries[count++], 0, &coded, fault);
    if (err != RR_OK) {
        return err;
    }
    verify->out->output_digest = coded.digest;
    verify->out->output_bytes = coded.bytes;
    tries[0].quality = plan->rungs[verify->rung].rate.crf * 100u;
    while (!near_enough(tries[count - 1].bytes, verify->out->candidate_bytes) &&
           count < TRANSCODE_REFERENCE_TRIES) {
        uint32_t quality = next_quality(tries, count, want, plan->codec);
        if (tried(tries, count, quality)) {
            break;
        }
        err = encode(verify, &tries[count], quality, &coded, fault);
        if (err != RR_OK) {
            return err;
        }
        best = distance(&tries[count], want) < distance(&tries[best], want) ? count : best;
        count++;
    }
    if (best != count - 1) { /* the nearest one again */
        err = encode(verify, &tries[count - 1], best == 0 ? 0 : tries[best].quality, &coded, fault);
    }
    verify->out->reference_bytes = coded.bytes;
    return err;
}
