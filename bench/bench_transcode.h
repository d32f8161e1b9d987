/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files of the transcoder's bench. One thread. */
#ifndef RR_BENCH_TRANSCODE_H
#define RR_BENCH_TRANSCODE_H
#include "bench/bench_bd.h"
#include "transcode/transcode.h"

#define BENCH_RUNGS_MAX 4
#define BENCH_TASKS_MAX 4096
/* What is measured against what. */
struct bench_clip {
    char folder[64]; /* of the bench; all files are below it */
    char path[128];  /* with sound */
    char mute[128];  /* the same video alone */
    char brief[128]; /* its beginning, for BD-rates, which take eight encodes each */
    char even[128];  /* the same pictures with a keyframe every 2 s, alone */
    uint32_t width, height, fps_num, fps_den;
    uint16_t rungs[BENCH_RUNGS_MAX];
    unsigned rung_count;
};
struct bench_cost {
    double wall_s, cpu_s; /* CPU: user and system, of all processes that worked */
    uint64_t frames;      /* of all renditions; 0: not counted */
    uint64_t bytes;
};
/* One encode task of the one-process loop. */
struct bench_task {
    uint32_t gop;
    unsigned rung;
    double cpu_s;
};
struct bench_floor {
    double source_s, cpu_s;
    struct bench_task *tasks; /* owned: rr_free */
    size_t task_count;
};

/* ---- runs (bench_transcode_run.c); RR_ERR_STATE where a program is not there ---- */
/* Starts a program by its name and path list and waits. Its stdout goes to out_path and its stderr
 * to err_path, where they are not NULL. */
enum rr_err bench_spawn(const char *const argv[], const char *out_path, const char *err_path,
                        struct rr_fault *fault) RR_MUST_USE;
/* Cuts `seconds` of the clip (NULL: of a picture that ffmpeg draws) into clip->folder. */
enum rr_err bench_clip_make(struct bench_clip *clip, const char *path, unsigned seconds,
                            struct rr_fault *fault) RR_MUST_USE;
/* Ours: the first `rungs` of the ladder, into a folder that is removed before and left after. */
enum rr_err bench_ours(struct bench_cost *out, const struct bench_clip *clip, const char *in,
                       const uint16_t *rungs, unsigned rung_count, const char *preset, uint16_t crf,
                       struct rr_fault *fault) RR_MUST_USE;
/* ffmpeg: one process for all rungs, or (each) one process for each, all at once. */
enum rr_err bench_ffmpeg(struct bench_cost *out, const struct bench_clip *clip,
                         const uint16_t *rungs, unsigned rung_count, const char *preset,
                         uint16_t crf, bool each, struct rr_fault *fault) RR_MUST_USE;
/* ffmpeg, one thread of one encoder that goes through clip->brief: a raw stream at `out_path`. */
enum rr_err bench_continuous(const struct bench_clip *clip, uint16_t rung, const char *preset,
                             uint16_t crf, const char *out_path,
                             struct rr_fault *fault) RR_MUST_USE;
enum rr_err bench_floor_run(struct bench_floor *out, const struct bench_clip *clip,
                            const char *preset, uint16_t crf, struct rr_fault *fault) RR_MUST_USE;
/* The job of `in` made once, then each of its video leaves again, alone: the mean cost of a leaf
 * over the job's cost by leaf. */
enum rr_err bench_spot_check(double *price, uint32_t *leaves, const struct bench_clip *clip,
                             const char *in, unsigned rung_count,
                             struct rr_fault *fault) RR_MUST_USE;

/* ---- quality (bench_transcode_quality.c) ---- */
struct bench_quality {
    double psnr_db, ssim; /* mean over pictures, all planes as ffmpeg weighs them */
};
/* ffmpeg's psnr and ssim filters: the video at `path` against the one at `source`, scaled (bicubic)
 * to it. */
enum rr_err bench_quality_of(struct bench_quality *out, const struct bench_clip *clip,
                             const char *path, const char *source, uint16_t rung,
                             struct rr_fault *fault) RR_MUST_USE;
/* Ours of clip->brief against one continuous encode with the same closed GOPs, at one rung: BD-rate
 * in percent by PSNR and by SSIM. */
enum rr_err bench_gop_price(double *psnr_percent, double *ssim_percent,
                            const struct bench_clip *clip, uint16_t rung, const char *preset,
                            struct rr_fault *fault) RR_MUST_USE;
#endif
