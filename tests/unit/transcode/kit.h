/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of transcode share: clips, folders, and programs run without a shell. */
#ifndef RR_TEST_TRANSCODE_KIT_H
#define RR_TEST_TRANSCODE_KIT_H
#include "crypto/crypto.h"
#include "transcode/transcode.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
/* after setjmp and stdarg */
#include <cmocka.h>

extern char **environ;

/* RR_WORKER: another build's, to compare. */
static inline const char *kit_worker(void)
{
    const char *named = getenv("RR_WORKER");
    return named != NULL ? named : RR_BIN_DIR "/reelrig-worker";
}
#define KIT_WORKER kit_worker()

static char kit_folder[RR_PATH_BYTES];

/* Path of a real clip, or NULL when this machine has none. */
static inline const char *kit_clip(const char *name)
{
    static char path[RR_PATH_BYTES];
    const char *folder = getenv("RR_MEDIA_DIR");
    snprintf(path, sizeof path, "%s/%s", folder != NULL ? folder : RR_SOURCE_DIR "/../shared/media",
             name);
    return access(path, R_OK) == 0 ? path : NULL;
}

static inline int kit_begin(void **state)
{
    (void)state;
    rr_crypto_init();
    rr_log_set_level(RR_LOG_ERROR);
    snprintf(kit_folder, sizeof kit_folder, "/tmp/rr-transcode-XXXXXX");
    return mkdtemp(kit_folder) != NULL ? 0 : 1;
}

static inline int kit_end(void **state)
{
    (void)state;
    return rr_remove_tree(kit_folder, NULL) == RR_OK ? 0 : 1;
}

static inline char *kit_path(const char *name)
{
    static char paths[8][RR_PATH_BYTES];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, RR_PATH_BYTES, "%.2000s/%.2000s", kit_folder, name);
    return path;
}

static inline struct rr_transcode_options kit_options(const char *ladder, unsigned workers)
{
    struct rr_transcode_options options = {.worker_path = KIT_WORKER, .workers = workers};
    assert_int_equal(rr_ladder_parse(&options.ladder, ladder, NULL), RR_OK);
    return options;
}

/* Starts a program with both outputs in a file; the caller waits. */
static inline pid_t kit_spawn(const char *out_path, const char *const argv[])
{
    pid_t pid = 0;
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, out_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    union {
        const char *const *given;
        char *const *taken; /* posix_spawn's prototype is older than const */
    } words = {.given = argv};
    int rc = posix_spawnp(&pid, argv[0], &files, NULL, words.taken, environ);
    posix_spawn_file_actions_destroy(&files);
    return rc == 0 ? pid : -1;
}

/* Runs it and gives what it printed (owned by the caller, NUL-terminated). Returns its wait status,
 * -1: not there. */
static inline int kit_run(char **printed, const char *const argv[])
{
    const char *path = kit_path("printed");
    struct rr_buf text = {0};
    int status = 0;
    pid_t pid = kit_spawn(path, argv);
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        return -1;
    }
    assert_int_equal(rr_file_read(&text, path, 64u << 20, NULL), RR_OK);
    rr_write_u8(&text, 0);
    *printed = (char *)text.ptr;
    return status;
}

/* One program with its arguments in one text, parted by single spaces. */
static inline int kit_ffmpeg(const char *arguments)
{
    const char *argv[256] = {"ffmpeg", "-nostdin", "-v", "error", "-y", "-threads", "1"};
    size_t count = 7;
    char *words = rr_strdup(arguments), *rest = words, *printed = NULL;
    for (char *word; (word = strsep(&rest, " ")) != NULL;) {
        if (*word != 0 && count + 1 < RR_COUNT(argv)) {
            argv[count++] = word;
        }
    }
    int status = kit_run(&printed, argv);
    if (status != 0 && strstr(printed, "Unknown encoder") == NULL) {
        print_message("ffmpeg %s\n%s\n", arguments, printed);
    }
    rr_free(printed);
    rr_free(words);
    return status;
}

/* Runs "a | b" with %s replaced by the folder; false when an encoder is lacking here. */
static inline bool kit_make(const char *text)
{
    struct rr_buf whole = {0};
    for (const char *at = text; *at != 0; at++) {
        if (at[0] == '%' && at[1] == 's') {
            rr_buf_append(&whole, kit_folder, strlen(kit_folder));
            at++;
        } else {
            rr_buf_append(&whole, at, 1);
        }
    }
    rr_write_u8(&whole, 0);
    bool good = true;
    char *start = (char *)whole.ptr;
    while (good && start != NULL) {
        char *next = strstr(start, " | ");
        if (next != NULL) {
            *next = 0;
            next += 3;
        }
        good = kit_ffmpeg(start) == 0;
        start = next;
    }
    rr_buf_clear(&whole);
    return good;
}

/* Skips a test when the machine lacks ffmpeg or ffprobe. */
static inline void kit_need_ffmpeg(void)
{
    char *printed = NULL;
    const char *argv[] = {"ffprobe", "-version", NULL};
    int status = kit_run(&printed, argv);
    rr_free(printed);
    if (status == -1 || WEXITSTATUS(status) == 127) {
        skip();
    }
}

/* One file of an initialization segment and all segments of a rendition. */
static inline void kit_join(const char *to, const struct rr_transcode_rendition *rendition)
{
    struct rr_buf all = {0}, part = {0};
    assert_int_equal(rr_file_read(&all, rendition->init_path, 1u << 30, NULL), RR_OK);
    assert_int_equal(all.len, rendition->init_bytes);
    for (uint32_t i = 0; i < rendition->segment_count; i++) {
        assert_int_equal(rr_file_read(&part, rendition->segments[i].path, 1u << 30, NULL), RR_OK);
        assert_int_equal(part.len, rendition->segments[i].bytes);
        rr_buf_append(&all, part.ptr, part.len);
    }
    assert_int_equal(rr_file_write(to, rr_buf_slice(&all), 0600, NULL), RR_OK);
    rr_buf_clear(&all);
    rr_buf_clear(&part);
}

/* "rr.test" over all that a job gave: leaves and the bytes of every file. */
static inline struct rr_hash32 kit_digest(const struct rr_transcode_result *result)
{
    struct rr_hasher hasher;
    struct rr_hash32 digest;
    struct rr_buf file = {0};
    rr_hasher_init(&hasher, "rr.test");
    for (uint32_t i = 0; i < result->leaf_count; i++) {
        const struct rr_pot_leaf *leaf = &result->leaves[i];
        uint64_t numbers[] = {leaf->rendition, leaf->gop, leaf->source_first, leaf->source_last,
                              leaf->output_bytes};
        rr_hasher_add(&hasher, numbers, sizeof numbers);
        rr_hasher_add(&hasher, leaf->source_digest.bytes, 32);
        rr_hasher_add(&hasher, leaf->output_digest.bytes, 32);
    }
    for (uint32_t i = 0; i < result->rendition_count; i++) {
        for (uint32_t j = 0; j <= result->renditions[i].segment_count; j++) {
            const char *path = j == 0 ? result->renditions[i].init_path
                                      : result->renditions[i].segments[j - 1].path;
            assert_int_equal(rr_file_read(&file, path, 1u << 30, NULL), RR_OK);
            rr_hasher_add(&hasher, file.ptr, file.len);
        }
    }
    rr_buf_clear(&file);
    rr_hasher_final(&hasher, &digest);
    return digest;
}

/* Runs the job of one file in kit_folder/name. */
static inline enum rr_err kit_job(struct rr_transcode_result *out, const char *in_path,
                                  const char *name, const struct rr_transcode_options *options,
                                  struct rr_fault *fault)
{
    struct rr_transcode_options with = *options;
    int fd = open(in_path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    with.job_folder = kit_path(name);
    enum rr_err err = rr_transcode_run(out, fd, &with, NULL, NULL, NULL, fault);
    close(fd);
    return err;
}
#endif
