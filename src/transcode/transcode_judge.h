/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verdicts and measures. Private to transcode; enter by transcode.h. */
#ifndef RR_TRANSCODE_JUDGE_H
#define RR_TRANSCODE_JUDGE_H
#include "transcode/transcode.h"

/* ---- verdicts on GOPs that others made (spec 20, 3-4)
 * ------------------------------------------------------ */
/* One plane of a GOP against the source's pictures in the rung's size. SSIM in units of 2^-30,
 * means in thousandths of a code value of 8 bits. */
struct rr_transcode_judged {
    uint64_t sse, samples;
    int32_t ssim, ssim_worst, tile_worst;
    uint32_t mean_off; /* largest difference of a picture's mean */
    uint64_t detail;   /* Laplacian energy */
};
struct rr_transcode_verdict {
    enum rr_pot_refusal refusal; /* the first condition that does not hold */
    uint32_t failed;             /* a bit, 1 << refusal, for each that does not */
    unsigned plane;              /* of refusal: 0 Y, 1 Cb, 2 Cr */
    char sentence[240];          /* what was found and what was due; "" when accepted */
    uint32_t source_first, source_last;
    struct rr_hash32 source_digest, output_digest; /* as the job's profile makes it */
    uint64_t output_bytes;
    /* Class tolerant; zero where an earlier condition ended the check. */
    uint64_t candidate_bytes, reference_bytes;
    uint32_t frames, encodes; /* encodes of the GOP that the verifier made */
    struct rr_transcode_judged candidate[3], reference[3];
    double seconds;
};
/* Judges the GOP of `leaf` by its class. Decodes the leaf's range of the original, checks its
 * digest, encodes with the job's profile; class exact compares digests. Class tolerant takes the
 * bytes shown (gop, borrowed), checks that the leaf commits to them, decodes them in a worker of
 * their own, makes a reference of as many bytes, and asks all conditions of transcode_verdict.c.
 * Sound is judged as exact in every class. gop: not read in class exact; NULL: it
 * was not shown, which is refused in the others. What a cheat could cause is a
 * verdict; an error is the verifier's own trouble, or a source that no longer decodes. Otherwise as
 * rr_transcode_remake. The same verdict and figures on every machine with the job's profile. */
enum rr_err rr_transcode_verify(struct rr_transcode_verdict *out, int source_fd,
                                const struct rr_transcode_options *options,
                                enum rr_exactness exactness, const struct rr_pot_leaf *leaf,
                                const struct rr_pot_gop *gop, const atomic_bool *cancel,
                                struct rr_fault *fault) RR_MUST_USE;
/* The bytes of leaves[index] out of a finished job's folder, to answer with. *out owned by the
 * caller: rr_pot_gop_clear. RR_ERR_NOTFOUND: the folder no longer has them, or it is sound. */
enum rr_err rr_transcode_gop_read(struct rr_pot_gop *out, const char *job_folder,
                                  const struct rr_pot_leaf *leaves, uint32_t index,
                                  struct rr_fault *fault) RR_MUST_USE;

/* ---- one file beside another
 * -------------------------------------------------------------------------- */
/* SSIM and what is made of it by kernels/quality, as fractions of 1 here. Planes Y, Cb, Cr. */
struct rr_transcode_plane_measure {
    uint64_t sse, samples;
    double psnr_db;       /* of all samples, at most 100; INFINITY: equal */
    double psnr_worst_db; /* of the worst picture */
    double ssim, ssim_worst;
    uint64_t psnr_worst_frame, ssim_worst_frame; /* from 0 */
    double ssim_tile_worst;                      /* least mean of a tile of 8 x 8 a picture */
    double mean_off; /* largest difference of a picture's mean, in code values */
    double detail; /* Laplacian energy of b over that of a; 1: neither has any, INFINITY: only b */
};
struct rr_transcode_comparison {
    uint32_t width, height;
    unsigned depth;              /* 8 or 10 */
    uint64_t frames;             /* that were compared */
    uint64_t frames_a, frames_b; /* that the files show */
    uint64_t times_off;          /* pictures whose time since the first differs by over 1 ms */
    struct rr_transcode_plane_measure planes[3];
    double psnr_db, ssim; /* of all samples; of planes by their samples, as ffmpeg's "All" */
};
/* Decodes both videos in sandboxed workers and measures picture n of b against picture n of a, in
 * order of presentation. Where sizes differ, a's pictures are scaled to b's as a job's would be;
 * where depths differ, the deeper one counts. options: worker_path alone is used; may be NULL.
 * cancel may be NULL. fds as for rr_transcode_probe. A different number of pictures is no error.
 * Errors as rr_transcode_probe. Blocks; its thread as for rr_transcode_probe. */
enum rr_err rr_transcode_compare(struct rr_transcode_comparison *out, int fd_a, int fd_b,
                                 const struct rr_transcode_options *options,
                                 const atomic_bool *cancel, struct rr_fault *fault) RR_MUST_USE;
/* Opens a video: a file, or a folder of a rendition (init.mp4 and seg_*.m4s), which becomes one
 * memory file. The caller closes *out. */
enum rr_err rr_transcode_open_video(int *out, const char *path, struct rr_fault *fault) RR_MUST_USE;
#endif
