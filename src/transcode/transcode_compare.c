/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two videos side by side, picture by picture. */
#include "transcode/transcode_frames.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENT_BYTES_MAX (1u << 30)
#define TIME_OFF_US       1000

/* Sums over all pictures of one plane; means of pictures are added, for sums of windows of a whole
 * film could overflow. */
struct sums {
    uint64_t sse, samples, worst_sse, worst_sse_frame, worst_ssim_frame;
    int64_t ssim;
    int32_t worst_ssim, worst_tile;
    double mean_off, detail_a, detail_b;
};
struct comparison {
    struct transcode_frames files[2];
    uint8_t *pictures[2];
    int64_t first_pts[2];
    void *room;
    struct sums sums[3];
    uint64_t frames, times_off;
};

static void add_picture(struct comparison *compare, const struct rr_quality found[static 3])
{
    for (unsigned i = 0; i < 3; i++) {
        struct sums *sums = &compare->sums[i];
        const struct rr_quality *one = &found[i];
        int32_t ssim = rr_quality_ssim(one), tile = rr_quality_tile_min(one);
        double off = ((double)one->sum_b - (double)one->sum_a) / (double)one->samples;
        if (compare->frames == 0 || one->sse > sums->worst_sse) {
            sums->worst_sse = one->sse;
            sums->worst_sse_frame = compare->frames;
        }
        if (compare->frames == 0 || ssim < sums->worst_ssim) {
            sums->worst_ssim = ssim;
            sums->worst_ssim_frame = compare->frames;
        }
        if (compare->frames == 0 || tile < sums->worst_tile) {
            sums->worst_tile = tile;
        }
        off = off < 0 ? -off : off;
        sums->mean_off = off > sums->mean_off ? off : sums->mean_off;
        sums->sse += one->sse;
        sums->samples += one->samples;
        sums->ssim += ssim;
        sums->detail_a += (double)one->laplace_a;
        sums->detail_b += (double)one->laplace_b;
    }
}

static int64_t since_first_us(const struct comparison *compare, unsigned file, int64_t pts)
{
    const struct transcode_plan *plan = &compare->files[file].plan;
    return transcode_rescale(pts - compare->first_pts[file], (int64_t)plan->tb_num * 1000000,
                             plan->tb_den);
}

static enum rr_err compare_all(struct comparison *compare, struct rr_fault *fault)
{
    const struct transcode_plan *plan = &compare->files[1].plan;
    struct rr_quality found[3];
    bool end[2] = {false, false};
    enum rr_err err = RR_OK;
    while (err == RR_OK && (!end[0] || !end[1])) {
        int64_t pts[2] = {0};
        for (unsigned i = 0; i < 2 && err == RR_OK; i++) {
            if (!end[i]) {
                err = transcode_frames_next(&compare->files[i], compare->pictures[i], &pts[i],
                                            &end[i], fault);
            }
        }
        if (err != RR_OK || end[0] || end[1]) {
            continue; /* the rest of the longer one is only counted */
        }
        err = transcode_measure(found, plan, &plan->rungs[0], compare->pictures[0],
                                compare->pictures[1], compare->room, fault);
        if (err == RR_OK) {
            for (unsigned i = 0; i < 2 && compare->frames == 0; i++) {
                compare->first_pts[i] = pts[i];
            }
            int64_t off = since_first_us(compare, 1, pts[1]) - since_first_us(compare, 0, pts[0]);
            compare->times_off += off > TIME_OFF_US || off < -TIME_OFF_US ? 1 : 0;
            add_picture(compare, found);
            compare->frames++;
        }
    }
    return err;
}

static void fill_result(struct rr_transcode_comparison *out, const struct comparison *compare)
{
    const struct transcode_plan *plan = &compare->files[1].plan;
    const double one = RR_QUALITY_ONE, frames = (double)compare->frames;
    uint64_t sse = 0, samples = 0;
    *out = (struct rr_transcode_comparison){.width = plan->rungs[0].width,
                                            .height = plan->rungs[0].height,
                                            .depth = plan->ten_bit != 0 ? 10 : 8,
                                            .frames = compare->frames,
                                            .frames_a = compare->files[0].count,
                                            .frames_b = compare->files[1].count,
                                            .times_off = compare->times_off};
    for (unsigned i = 0; i < 3; i++) {
        const struct sums *sums = &compare->sums[i];
        bool equal = sums->sse == 0;
        uint64_t each = sums->samples / compare->frames;
        out->planes[i] = (struct rr_transcode_plane_measure){
            .sse = sums->sse,
            .samples = sums->samples,
            .psnr_db = equal ? HUGE_VAL : rr_quality_psnr_db(sums->sse, sums->samples, out->depth),
            .psnr_worst_db =
                equal ? HUGE_VAL : rr_quality_psnr_db(sums->worst_sse, each, out->depth),
            .psnr_worst_frame = sums->worst_sse_frame,
            .ssim = (double)sums->ssim / frames / one,
            .ssim_worst = sums->worst_ssim / one,
            .ssim_worst_frame = sums->worst_ssim_frame,
            .ssim_tile_worst = sums->worst_tile / one,
            .mean_off = sums->mean_off,
            .detail = sums->detail_a > 0   ? sums->detail_b / sums->detail_a
                      : sums->detail_b > 0 ? HUGE_VAL
                                           : 1};
        sse += sums->sse;
        samples += sums->samples;
    }
    for (unsigned i = 0; i < 3; i++) {
        out->ssim += out->planes[i].ssim * (double)out->planes[i].samples / (double)samples;
    }
    out->ssim = out->ssim > 1 ? 1 : out->ssim; /* shares that add up to a little more */
    out->psnr_db = sse == 0 ? HUGE_VAL : rr_quality_psnr_db(sse, samples, out->depth);
}

enum rr_err rr_transcode_compare(struct rr_transcode_comparison *out, int fd_a, int fd_b,
                                 const struct rr_transcode_options *options,
                                 const atomic_bool *cancel, struct rr_fault *fault)
{
    const struct rr_transcode_options none = {0};
    char program[RR_PATH_BYTES];
    struct comparison *compare = rr_alloc(sizeof *compare);
    struct transcode_frames *a = &compare->files[0], *b = &compare->files[1];
    *a = *b = (struct transcode_frames){.source_fd = -1, .fds = {-1, -1}, .worker = {.socket = -1}};
    enum rr_err err = transcode_worker_find(program, options != NULL ? options : &none, fault);
    err = err != RR_OK ? err : transcode_frames_open(a, program, fd_a, cancel, fault);
    err = err != RR_OK ? err : transcode_frames_open(b, program, fd_b, cancel, fault);
    if (err == RR_OK) {
        a->plan.rungs[0] = b->plan.rungs[0];
        a->plan.ten_bit = b->plan.ten_bit = a->plan.ten_bit != 0 || b->plan.ten_bit != 0;
        size_t bytes = (size_t)transcode_frame_bytes(&b->plan, &b->plan.rungs[0]);
        compare->pictures[0] = rr_alloc_aligned(bytes);
        compare->pictures[1] = rr_alloc_aligned(bytes);
        compare->room = rr_alloc_aligned(transcode_measure_room(&b->plan.rungs[0]));
        err = transcode_frames_start(a, program, fault);
    }
    err = err != RR_OK ? err : transcode_frames_start(b, program, fault);
    err = err != RR_OK ? err : compare_all(compare, fault);
    if (err == RR_OK && compare->frames == 0) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "one of the files shows no picture at all");
    }
    if (err == RR_OK) {
        fill_result(out, compare);
    }
    transcode_frames_close(a);
    transcode_frames_close(b);
    rr_free(compare->pictures[0]);
    rr_free(compare->pictures[1]);
    rr_free(compare->room);
    rr_free(compare);
    return err;
}

/* Appends folder/name to fd; *there false when it does not exist. */
static enum rr_err append_file(int fd, const char *folder, const char *name, bool *there,
                               struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    struct rr_buf bytes = {0};
    enum rr_err err = rr_path(path, fault, "%s/%s", folder, name);
    if (err != RR_OK) {
        return err;
    }
    *there = access(path, F_OK) == 0;
    if (*there) {
        err = rr_file_read(&bytes, path, SEGMENT_BYTES_MAX, fault);
        err = err != RR_OK ? err : rr_write_full(fd, bytes.ptr, bytes.len, fault);
        rr_buf_clear(&bytes);
    }
    return err;
}

static enum rr_err join_segments(int fd, const char *folder, struct rr_fault *fault)
{
    bool there;
    enum rr_err err = append_file(fd, folder, "init.mp4", &there, fault);
    if (err == RR_OK && !there) {
        err =
            rr_fail(fault, RR_ERR_NOTFOUND,
                    "%.200s has no init.mp4: name a video or the folder of one rendition", folder);
    }
    for (unsigned i = 0; err == RR_OK && there; i++) {
        char name[32];
        snprintf(name, sizeof name, "seg_%05u.m4s", i);
        err = append_file(fd, folder, name, &there, fault);
    }
    return err;
}

enum rr_err rr_transcode_open_video(int *out, const char *path, struct rr_fault *fault)
{
    struct stat facts;
    int fd =
        open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a pipe would be waited for */
    if (fd < 0 || fstat(fd, &facts) != 0) {
        enum rr_err err = rr_fail_errno(fault, "%.200s cannot be opened", path);
        if (fd >= 0) {
            close(fd);
        }
        return err;
    }
    if (S_ISDIR(facts.st_mode)) {
        close(fd);
        enum rr_err err = transcode_memfd(&fd, "reelrig-rendition", fault);
        if (err == RR_OK && (err = join_segments(fd, path, fault)) != RR_OK) {
            close(fd);
        }
        if (err != RR_OK) {
            return err;
        }
    } else if (!S_ISREG(facts.st_mode)) {
        close(fd);
        return rr_fail(fault, RR_ERR_USAGE,
                       "%.200s is not a regular file; name a video file or a rendition's folder",
                       path);
    }
    *out = fd;
    return RR_OK;
}
