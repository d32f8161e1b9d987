/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A ladder in a folder, without a rig. What is at its place is whole; the master playlist comes
 * last. */
#include "transcode/transcode_private.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool there(const char *folder, const char *name)
{
    char path[RR_PATH_BYTES];
    return rr_path(path, NULL, "%s/%s", folder, name) == RR_OK && access(path, F_OK) == 0;
}

/* Moves *path (owned) to folder/name/file. */
static enum rr_err move(char **path, const char *folder, const char *name, struct rr_fault *fault)
{
    char to[RR_PATH_BYTES];
    const char *file = strrchr(*path, '/');
    enum rr_err err = rr_path(to, fault, "%s/%s/%s", folder, name, file != NULL ? file + 1 : *path);
    if (err == RR_OK && rename(*path, to) != 0) {
        err = rr_fail_errno(fault, "%.200s cannot be put in place", to);
    }
    if (err == RR_OK) {
        rr_free(*path);
        *path = rr_strdup(to);
    }
    return err;
}

/* folder/name/file is not there; one of a run with other lists that was interrupted here goes. */
static enum rr_err leave_out(const char *folder, const char *name, const char *file,
                             struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    enum rr_err err = rr_path(path, fault, "%s/%s/%s", folder, name, file);
    return err != RR_OK || unlink(path) == 0 || errno == ENOENT
               ? err
               : rr_fail_errno(fault, "%.200s cannot be removed", path);
}

/* Puts *path (owned) in place, or leaves it out. */
static enum rr_err place(char **path, bool wanted, const char *folder, const char *name,
                         struct rr_fault *fault)
{
    if (wanted) {
        return move(path, folder, name, fault);
    }
    const char *file = strrchr(*path, '/');
    enum rr_err err = leave_out(folder, name, file != NULL ? file + 1 : *path, fault);
    rr_free(*path);
    *path = NULL;
    return err;
}

static enum rr_err write_media(const struct rr_rendition *shown, const char *folder,
                               struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    struct rr_buf text = {0};
    rr_hls_media(&text, shown);
    enum rr_err err = rr_path(path, fault, "%s/%s/index.m3u8", folder, shown->name);
    err = err != RR_OK ? err : rr_file_write(path, rr_buf_slice(&text), 0644, fault);
    rr_buf_clear(&text);
    return err;
}

/* Text is one file for DASH and segments for HLS. */
static enum rr_err place_rendition(struct rr_transcode_rendition *rendition, const char *folder,
                                   enum rr_transcode_lists lists, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    struct rr_rendition shown = rendition->info;
    bool text = shown.kind == RR_RENDITION_SUBTITLE;
    enum rr_err err = rr_path(path, fault, "%s/%s", folder, shown.name);
    err = err != RR_OK ? err : rr_make_shown_folders(path, fault);
    err = err != RR_OK ? err
                       : place(&rendition->init_path, !text || lists != RR_LISTS_HLS, folder,
                               shown.name, fault);
    shown.segments = rr_alloc_array(rendition->segment_count + 1u, sizeof *shown.segments);
    shown.segment_count = rendition->segment_count;
    for (uint32_t i = 0; i < rendition->segment_count && err == RR_OK; i++) {
        err = place(&rendition->segments[i].path, !text || lists != RR_LISTS_DASH, folder,
                    shown.name, fault);
        shown.segments[i].start = rendition->segments[i].start;
        shown.segments[i].duration = rendition->segments[i].duration;
    }
    if (err == RR_OK) {
        err = lists == RR_LISTS_DASH ? leave_out(folder, shown.name, "index.m3u8", fault)
                                     : write_media(&shown, folder, fault);
    }
    rr_free(shown.segments);
    return err;
}

/* The manifest's view of what was made, with times but no bytes; clear_view frees it. */
static void make_view(struct rr_manifest *view, const struct rr_transcode_result *result)
{
    *view =
        (struct rr_manifest){.kind = RR_RESOURCE_VOD, .rendition_count = result->rendition_count};
    view->renditions = rr_alloc_array(result->rendition_count + 1u, sizeof *view->renditions);
    for (uint32_t i = 0; i < result->rendition_count; i++) {
        const struct rr_transcode_rendition *made = &result->renditions[i];
        struct rr_rendition *shown = &view->renditions[i];
        *shown = made->info;
        shown->segments = rr_alloc_array(made->segment_count + 1u, sizeof *shown->segments);
        shown->segment_count = made->segment_count;
        for (uint32_t j = 0; j < made->segment_count; j++) {
            shown->segments[j].start = made->segments[j].start;
            shown->segments[j].duration = made->segments[j].duration;
        }
    }
}

static void clear_view(struct rr_manifest *view)
{
    for (uint32_t i = 0; i < view->rendition_count; i++) {
        rr_free(view->renditions[i].segments);
    }
    rr_free(view->renditions);
}

static enum rr_err write_text(const char *folder, const char *name, const struct rr_manifest *view,
                              void (*make)(struct rr_buf *out, const struct rr_manifest *manifest),
                              struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    struct rr_buf text = {0};
    make(&text, view);
    enum rr_err err = rr_path(path, fault, "%s/%s", folder, name);
    err = err != RR_OK ? err : rr_file_write(path, rr_buf_slice(&text), 0644, fault);
    rr_buf_clear(&text);
    return err;
}

/* master.m3u8 last, or manifest.mpd where it is alone: it says that the folder is whole. */
static enum rr_err write_master(const struct rr_transcode_result *result, const char *folder,
                                enum rr_transcode_lists lists, struct rr_fault *fault)
{
    struct rr_manifest view;
    make_view(&view, result);
    enum rr_err err = lists == RR_LISTS_DASH  ? leave_out(folder, ".", "master.m3u8", fault)
                      : lists == RR_LISTS_HLS ? leave_out(folder, ".", "manifest.mpd", fault)
                                              : RR_OK;
    if (err == RR_OK && lists != RR_LISTS_HLS) {
        err = write_text(folder, "manifest.mpd", &view, rr_dash_manifest, fault);
    }
    if (err == RR_OK && lists != RR_LISTS_DASH) {
        err = write_text(folder, "master.m3u8", &view, rr_hls_master, fault);
    }
    clear_view(&view);
    return err;
}

enum rr_err rr_transcode_open_input(int *out, const char *path, struct rr_fault *fault)
{
    struct stat facts;
    int fd =
        open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a pipe would be waited for */
    if (fd < 0) {
        return rr_fail_errno(fault, "%.200s cannot be opened", path);
    }
    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        close(fd);
        return rr_fail(fault, RR_ERR_USAGE, "%.200s is not a regular file; name a video file",
                       path);
    }
    *out = fd;
    return RR_OK;
}

/* RR_ERR_STATE when the name now stands for another file than the one that was transcoded. */
static enum rr_err check_in_place(const char *path, int fd, struct rr_fault *fault)
{
    struct stat named, opened;
    if (stat(path, &named) != 0 || fstat(fd, &opened) != 0 ||
        (named.st_ino == opened.st_ino && named.st_dev == opened.st_dev)) {
        return RR_OK; /* one that was removed was whole for us to its end */
    }
    return rr_fail(fault, RR_ERR_STATE,
                   "%.200s was replaced by another file while the job ran; run it again", path);
}

enum rr_err rr_transcode_to_folder(struct rr_transcode_result *out, const char *folder,
                                   const char *in_path, const struct rr_transcode_options *options,
                                   rr_transcode_progress_fn *progress, void *ctx,
                                   const atomic_bool *cancel, struct rr_fault *fault)
{
    struct rr_transcode_options inner = *options;
    struct rr_transcode_result result = {0};
    char work[RR_PATH_BYTES];
    bool fresh = access(folder, F_OK) != 0;
    int fd = -1;
    enum rr_err err = rr_transcode_open_input(&fd, in_path, fault);
    err = err != RR_OK ? err : rr_path(work, fault, "%s/.job", folder);
    if (err == RR_OK && !there(folder, ".job") &&
        (there(folder, "master.m3u8") || there(folder, "manifest.mpd"))) {
        err = rr_fail(fault, RR_ERR_EXISTS,
                      "%.200s holds a ladder already; remove it or name another folder", folder);
    }
    if (err == RR_OK) {
        inner.job_folder = work;
        err = inner.maker == NULL
                  ? rr_transcode_run(&result, fd, &inner, progress, ctx, cancel, fault)
                  : inner.maker(inner.maker_ctx, &result, fd, &inner, progress, ctx, cancel, fault);
        if (err == RR_OK && (err = check_in_place(in_path, fd, fault)) != RR_OK &&
            rr_remove_tree(work, NULL) != RR_OK) {
            rr_log(RR_LOG_WARN, "transcode", "%.200s cannot be removed", work);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    for (uint32_t i = 0; i < result.rendition_count && err == RR_OK; i++) {
        err = place_rendition(&result.renditions[i], folder, options->lists, fault);
    }
    err = err != RR_OK ? err : write_master(&result, folder, options->lists, fault);
    err = err != RR_OK ? err : rr_remove_tree(work, fault);
    if (err == RR_OK && out != NULL) {
        *out = result;
        return RR_OK;
    }
    rr_transcode_result_clear(&result);
    if (fresh) {
        rmdir(folder); /* only an empty one goes: a job that began stays to be gone on with */
    }
    return err;
}

/* A file that came to `to` while the job ran is somebody's: it is kept. */
static enum rr_err put_in_place(const char *from, const char *to, struct rr_fault *fault)
{
    int rc = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    if (rc != 0 && (errno == EINVAL || errno == ENOSYS)) { /* a file system that cannot */
        rc = link(from, to);
        if (rc == 0) {
            unlink(from);
        }
    }
    if (rc == 0) {
        return RR_OK;
    }
    return errno == EEXIST ? rr_fail(fault, RR_ERR_EXISTS,
                                     "%.200s is there already; remove it or name another", to)
                           : rr_fail_errno(fault, "%.200s cannot be put in place", to);
}

enum rr_err rr_transcode_to_file(struct rr_transcode_result *out, const char *path,
                                 const char *in_path, const struct rr_transcode_options *options,
                                 rr_transcode_progress_fn *progress, void *ctx,
                                 const atomic_bool *cancel, struct rr_fault *fault)
{
    struct rr_transcode_options inner = *options;
    struct rr_transcode_result result = {0};
    char work[RR_PATH_BYTES], made[RR_PATH_BYTES];
    int fd = -1;
    enum rr_err err = rr_transcode_open_input(&fd, in_path, fault);
    err = err != RR_OK ? err : rr_path(work, fault, "%s.job", path);
    err = err != RR_OK ? err : rr_path(made, fault, "%s/whole.mp4", work);
    if (err == RR_OK && access(path, F_OK) == 0) {
        err = rr_fail(fault, RR_ERR_EXISTS, "%.200s is there already; remove it or name another",
                      path);
    }
    if (err == RR_OK) {
        inner.job_folder = work;
        inner.mp4_path = made;
        inner.one_rung = true;
        err = inner.maker == NULL
                  ? rr_transcode_run(&result, fd, &inner, progress, ctx, cancel, fault)
                  : inner.maker(inner.maker_ctx, &result, fd, &inner, progress, ctx, cancel, fault);
        err = err != RR_OK ? err : check_in_place(in_path, fd, fault);
    }
    if (fd >= 0) {
        close(fd);
    }
    err = err != RR_OK ? err : put_in_place(made, path, fault);
    err = err != RR_OK ? err : rr_remove_tree(work, fault);
    if (err == RR_OK && out != NULL) {
        *out = result;
        return RR_OK;
    }
    rr_transcode_result_clear(&result);
    return err;
}
