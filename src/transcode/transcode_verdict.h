/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to transcode: the conditions of class tolerant (spec 20, 3), as integers alone, and the
 * margins with what set them: bench/results/pot-verdicts.txt, remade by
 * tests/tools/pot_verdicts.py.
 */
#ifndef RR_TRANSCODE_VERDICT_H
#define RR_TRANSCODE_VERDICT_H
#include "quality/quality.h"
#include "transcode/transcode_frames.h"

#define TRANSCODE_SSIM(x) ((int32_t)((x) * (double)RR_QUALITY_ONE))
/* The reference has as many bytes as the candidate, within this many percent, where the encoder's
 * steps allow it. [spec 20, 3] */
#define TRANSCODE_REFERENCE_PERCENT 5
#define TRANSCODE_REFERENCE_TRIES   6
/* Mean error beside the reference's: 10^(dB/10), in millionths. [spec 20, 3] for luma and for
 * devices; wider for chroma of other builds, since SVT-AV1's preset 9 gives it 0.51 dB less than
 * preset 10 of as many bytes, and luma 0.2 dB more. */
#define TRANSCODE_PSNR_BUILD        1122018u /* 0.5 dB */
#define TRANSCODE_PSNR_BUILD_CHROMA 1258925u /* 1.0 dB */
#define TRANSCODE_PSNR_DEVICE       1412538u /* 1.5 dB */
#define TRANSCODE_SSIM_BUILD        TRANSCODE_SSIM(0.004)
#define TRANSCODE_SSIM_DEVICE       TRANSCODE_SSIM(0.010)
#define TRANSCODE_WORST             TRANSCODE_SSIM(0.03)
#define TRANSCODE_TILE              TRANSCODE_SSIM(0.05)
/* Mean of each picture: 1.0 code value of 8 bits off the source's [spec 20, 3], or half of one more
 * than the reference is: SVT-AV1's own preset 10 is 1.4 off in a fade. */
#define TRANSCODE_MEAN_MILLI      1000u
#define TRANSCODE_MEAN_MORE_MILLI 500u
/* Thousandths of the reference's Laplacian energy. [spec 20, 3] Asked of planes that have any:
 * rounding to whole code values alone makes 20/12 a sample, and below that the ratio is chance
 * (1.51 between two honest presets at 0.3 a sample). */
#define TRANSCODE_DETAIL_LOW  700u
#define TRANSCODE_DETAIL_HIGH 1400u
#define TRANSCODE_DETAIL_FLAT 2u /* a sample, in code values of 8 bits squared */
/* Bytes beside what the job's own settings make, in percent. Ours: the reference has the
 * candidate's bytes, so that without a floor a GOP of a tenth of them would be as good as its
 * reference. */
#define TRANSCODE_BYTES_LOW  60u
#define TRANSCODE_BYTES_HIGH 180u

/* A GOP's pictures against the source's. */
struct transcode_series {
    uint32_t frames;
    struct rr_transcode_judged planes[3];
    int64_t ssim_sum[3]; /* of means of pictures */
};
/* Adds one picture: a the source's, b the other's. */
void transcode_series_add(struct transcode_series *series, const struct rr_quality found[static 3],
                          unsigned depth);
/* Fills planes[].ssim in, after the last. */
void transcode_series_end(struct transcode_series *series);
/* Bytes, then every measure on every plane: sets failed, refusal, plane and sentence of *verdict,
 * whose candidate, reference, candidate_bytes and output_bytes are there. */
void transcode_verdict_judge(struct rr_transcode_verdict *verdict, enum rr_exactness exactness,
                             unsigned depth);
/* Notes that a condition does not hold; the first one noted is the reason. */
void transcode_verdict_refuse(struct rr_transcode_verdict *verdict, enum rr_pot_refusal refusal,
                              unsigned plane, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
#endif
