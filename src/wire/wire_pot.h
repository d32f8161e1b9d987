/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Proof of transcoding on the wire: classes, reasons to refuse, the bytes of a GOP (spec 20, 3-4).
 * Private to wire; enter by wire.h. */
#ifndef RR_WIRE_POT_H
#define RR_WIRE_POT_H
#include "wire/wire_media.h"

/* Why a leaf does not count. The sentence says what is wrong; numbers are final. */
#define RR_POT_REFUSALS(X)                                                                         \
    X(RR_POT_ACCEPTED, 0, "accepted", "the GOP is what the job asks for")                          \
    X(RR_POT_CONTRACT, 1, "contract", "the answer is for another contract or job")                 \
    X(RR_POT_PLACE, 2, "place",                                                                    \
      "the leaf does not stand at the drawn place under the claimed root")                         \
    X(RR_POT_LATE, 3, "late", "the root was claimed when its beacon was known")                    \
    X(RR_POT_SOURCE, 4, "source", "the leaf was made of another source than the stored original")  \
    X(RR_POT_DIGEST, 5, "digest", "the GOP is not, byte for byte, what the profile makes")         \
    X(RR_POT_BYTES, 6, "bytes", "the bytes shown are not those that the leaf committed to")        \
    X(RR_POT_DECODE, 7, "decode", "the GOP does not decode alone and without damage")              \
    X(RR_POT_COUNT, 8, "count", "the GOP has another number of pictures than the source")          \
    X(RR_POT_TIMES, 9, "times", "the pictures' times are not those of the source")                 \
    X(RR_POT_IDR, 10, "idr", "the GOP does not begin with its one IDR picture")                    \
    X(RR_POT_SIZE, 11, "size", "the pictures have another size than the rung")                     \
    X(RR_POT_FORMAT, 12, "format", "the pictures have another sample format than the job")         \
    X(RR_POT_ASPECT, 13, "aspect", "the pictures have another aspect than the rung")               \
    X(RR_POT_COLOUR, 14, "colour", "range, primaries, transfer or matrix are not the job's")       \
    X(RR_POT_CAP, 15, "cap", "the GOP has more bytes than the job allows")                         \
    X(RR_POT_STARVED, 16, "starved", "the GOP has fewer bytes than the job's quality takes")       \
    X(RR_POT_PSNR, 17, "psnr", "its mean PSNR is below that of the reference")                     \
    X(RR_POT_SSIM, 18, "ssim", "its mean SSIM is below that of the reference")                     \
    X(RR_POT_WORST, 19, "worst", "its worst picture has an SSIM below the reference's worst")      \
    X(RR_POT_MEAN, 20, "mean", "a picture is brighter, darker or of another tint than the source") \
    X(RR_POT_DETAIL, 21, "detail", "it has far less or far more fine detail than the reference")   \
    X(RR_POT_TILE, 22, "tile", "a part of a picture is worse than in the reference")
enum rr_pot_refusal {
#define X(id, number, word, sentence) id = (number),
    RR_POT_REFUSALS(X)
#undef X
        RR_POT_REFUSAL_COUNT
};
const char *rr_pot_refusal_text(enum rr_pot_refusal refusal);     /* "psnr"; static */
const char *rr_pot_refusal_sentence(enum rr_pot_refusal refusal); /* static */

/* The elementary stream of one GOP of one rendition, as its encoder gave it. */
#define RR_POT_PACKETS_MAX   2048
#define RR_POT_EXTRADATA_MAX 4096
#define RR_POT_PAYLOAD_MAX   (512u << 20)
struct rr_pot_packet {
    uint32_t bytes; /* >= 1 */
    int64_t pts;    /* output ticks from the GOP's start */
    bool key;
};
struct rr_pot_gop {
    struct rr_buf extradata;       /* parameter sets; owned */
    struct rr_pot_packet *packets; /* in order of decoding; owned */
    uint32_t count;                /* >= 1 */
    struct rr_buf payload;         /* their bytes, one after another; owned */
};
void rr_pot_gop_encode(struct rr_buf *out, const struct rr_pot_gop *gop);
enum rr_err rr_pot_gop_decode(struct rr_pot_gop *out, struct rr_slice bytes,
                              struct rr_fault *fault) RR_MUST_USE;
void rr_pot_gop_clear(struct rr_pot_gop *gop);
/* What a leaf commits to: "rr.es.v1" over parameter sets and packets, and their length. */
void rr_pot_gop_digest(struct rr_hash32 *out, uint64_t *bytes, const struct rr_pot_gop *gop);
#endif
