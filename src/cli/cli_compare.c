/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reelrig compare: how far one video is from another. */
#include "cli/cli.h"
#include "transcode/transcode.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROWS_MAX 32

static const char *const plane_names[3] = {"Y", "Cb", "Cr"};

/* null: equal pictures, or detail where A has none. */
static json_t *real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *plane_json(const struct rr_transcode_plane_measure *plane, unsigned i)
{
    return json_pack("{s:s, s:o, s:o, s:I, s:f, s:f, s:I, s:f, s:f, s:o}", "plane", plane_names[i],
                     "psnr_db", real(plane->psnr_db), "psnr_worst_db", real(plane->psnr_worst_db),
                     "psnr_worst_frame", (json_int_t)plane->psnr_worst_frame, "ssim", plane->ssim,
                     "ssim_worst", plane->ssim_worst, "ssim_worst_frame",
                     (json_int_t)plane->ssim_worst_frame, "ssim_tile_worst", plane->ssim_tile_worst,
                     "mean_off", plane->mean_off, "detail", real(plane->detail));
}

static json_t *row_json(const struct rr_transcode_comparison *found, const char *name)
{
    json_t *planes = json_array();
    for (unsigned i = 0; i < 3; i++) {
        json_array_append_new(planes, plane_json(&found->planes[i], i));
    }
    return json_pack("{s:o, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:o, s:f, s:o}", "name",
                     cli_json_text(name), "width", (int)found->width, "height", (int)found->height,
                     "depth", (int)found->depth, "frames", (json_int_t)found->frames, "frames_a",
                     (json_int_t)found->frames_a, "frames_b", (json_int_t)found->frames_b,
                     "times_off", (json_int_t)found->times_off, "psnr_db", real(found->psnr_db),
                     "ssim", found->ssim, "planes", planes);
}

static void print_row(const struct rr_transcode_comparison *found, const char *name)
{
    cli_print("%s: %ux%u, %u bits, %llu pictures", name, (unsigned)found->width,
              (unsigned)found->height, found->depth, (unsigned long long)found->frames);
    if (found->frames_a != found->frames_b) {
        cli_print(" (A shows %llu, B %llu)", (unsigned long long)found->frames_a,
                  (unsigned long long)found->frames_b);
    }
    cli_print("; PSNR %.3f dB, SSIM %.6f\n", found->psnr_db, found->ssim);
    if (found->times_off > 0) {
        cli_print("  %llu pictures stand at other times\n", (unsigned long long)found->times_off);
    }
    for (unsigned i = 0; i < 3; i++) {
        const struct rr_transcode_plane_measure *plane = &found->planes[i];
        cli_print("  %-2s PSNR %7.3f dB (worst %7.3f, picture %llu)  SSIM %.6f (worst %.6f, "
                  "picture %llu; tile %.4f)  mean off %.3f  detail %.3f\n",
                  plane_names[i], plane->psnr_db, plane->psnr_worst_db,
                  (unsigned long long)plane->psnr_worst_frame, plane->ssim, plane->ssim_worst,
                  (unsigned long long)plane->ssim_worst_frame, plane->ssim_tile_worst,
                  plane->mean_off, plane->detail);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* By the names that a job gives: audio, audio-2 ..., subtitle, subtitle-2 ... */
static bool shows_pictures(const char *name)
{
    static const char *const others[] = {"audio", "subtitle"};
    for (size_t i = 0; i < RR_COUNT(others); i++) {
        size_t len = strlen(others[i]);
        if (strncmp(name, others[i], len) == 0 && (name[len] == '\0' || name[len] == '-')) {
            return false;
        }
    }
    return true;
}

/* Names of the renditions with pictures of a ladder's folder, sorted; 0 when it is none. */
static unsigned list_ladder(char names[static ROWS_MAX][RR_NAME_MAX + 1], const char *folder)
{
    char path[RR_PATH_BYTES];
    unsigned count = 0;
    const struct dirent *entry;
    DIR *dir = opendir(folder);
    while (dir != NULL && count < ROWS_MAX && (entry = readdir(dir)) != NULL) {
        size_t len = strlen(entry->d_name);
        if (entry->d_name[0] != '.' && len <= RR_NAME_MAX && shows_pictures(entry->d_name) &&
            rr_path(path, NULL, "%s/%s/init.mp4", folder, entry->d_name) == RR_OK &&
            access(path, F_OK) == 0) {
            memcpy(names[count++], entry->d_name, len + 1);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    qsort(names, count, sizeof names[0], by_name);
    return count;
}

static enum rr_err compare_one(json_t *rows, const char *a, const char *b, const char *name,
                               bool json, struct rr_fault *fault)
{
    struct rr_transcode_comparison found;
    int fds[2] = {-1, -1};
    enum rr_err err = rr_transcode_open_video(&fds[0], a, fault);
    err = err != RR_OK ? err : rr_transcode_open_video(&fds[1], b, fault);
    err = err != RR_OK ? err : rr_transcode_compare(&found, fds[0], fds[1], NULL, NULL, fault);
    for (unsigned i = 0; i < 2; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    if (err == RR_OK) {
        json_array_append_new(rows, row_json(&found, name));
    }
    if (err == RR_OK && !json) {
        print_row(&found, name);
    }
    return err;
}

/* Each rendition of ladder b with the same of a, or with the whole of a when that is no ladder. */
static enum rr_err compare_ladder(json_t *rows, const char *a, const char *b,
                                  char names[static ROWS_MAX][RR_NAME_MAX + 1], unsigned count,
                                  bool json, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    for (unsigned i = 0; i < count && err == RR_OK; i++) {
        char from[RR_PATH_BYTES], to[RR_PATH_BYTES], mark[RR_PATH_BYTES];
        err = rr_path(to, fault, "%s/%s", b, names[i]);
        err = err != RR_OK ? err : rr_path(mark, fault, "%s/%s/init.mp4", a, names[i]);
        if (err == RR_OK) {
            err = access(mark, F_OK) == 0 ? rr_path(from, fault, "%s/%s", a, names[i])
                                          : rr_path(from, fault, "%s", a);
        }
        err = err != RR_OK ? err : compare_one(rows, from, to, names[i], json, fault);
    }
    return err;
}

int cli_compare(int argc, char **argv)
{
    const char *files[2] = {NULL};
    bool json = false;
    size_t count;
    const struct cli_option options[] = {{"json", NULL, &json}};
    if (!cli_options(argc, argv, options, RR_COUNT(options), files, 2, &count) || count != 2) {
        return cli_usage(argv[0]);
    }
    struct rr_fault fault = {0};
    char names[ROWS_MAX][RR_NAME_MAX + 1];
    json_t *rows = json_array();
    unsigned rungs = list_ladder(names, files[1]);
    enum rr_err err = rungs > 0
                          ? compare_ladder(rows, files[0], files[1], names, rungs, json, &fault)
                          : compare_one(rows, files[0], files[1], files[1], json, &fault);
    if (err == RR_OK && json) {
        json_t *out = json_pack("{s:s, s:O}", "event", "compared", "rows", rows);
        cli_print_json(out);
        json_decref(out);
    }
    json_decref(rows);
    return err != RR_OK ? cli_fail(err, &fault, json) : 0;
}
