/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The runs: ours, ffmpeg's, the one-process loop, spot checks. Each counts wall time and the CPU of
 * all processes that worked for it. */
#include "bench/bench_rows.h"
#include "bench/bench_transcode.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 160
#define PROCESSES_MAX (BENCH_RUNGS_MAX + 1)

extern char **environ;

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* Of this process and of all children that were waited for. */
static double cpu_now(void)
{
    struct rusage own, children;
    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &children);
    return seconds_of(own.ru_utime) + seconds_of(own.ru_stime) + seconds_of(children.ru_utime) +
           seconds_of(children.ru_stime);
}

static double wall_now(void)
{
    return (double)rr_monotonic_us(rr_clock_system()) / 1e6;
}

/* ---- programs ----------------------------------------------------------------------------------
 */

static pid_t start(const char *const argv[], const char *out_path, const char *err_path)
{
    union {
        const char *const *in;
        char *const *out;
    } arguments = {.in = argv}; /* posix_spawn does not write to them */
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (out_path != NULL) {
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out_path,
                                         O_WRONLY | O_CREAT | O_TRUNC, 0600);
    }
    if (err_path != NULL) {
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err_path,
                                         O_WRONLY | O_CREAT | O_TRUNC, 0600);
    }
    int rc = posix_spawnp(&pid, argv[0], &actions, NULL, arguments.out, environ);
    posix_spawn_file_actions_destroy(&actions);
    return rc == 0 ? pid : -1;
}

static enum rr_err end(pid_t pid, const char *name, struct rr_fault *fault)
{
    int status = 0;
    if (pid < 0) {
        return rr_fail(fault, RR_ERR_STATE, "%s, which this bench needs, cannot be started", name);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? RR_OK
               : rr_fail(fault, RR_ERR_STATE, "%s ended with status %d", name, status);
}

enum rr_err bench_spawn(const char *const argv[], const char *out_path, const char *err_path,
                        struct rr_fault *fault)
{
    return end(start(argv, out_path, err_path), argv[0], fault);
}

/* ---- the clip ----------------------------------------------------------------------------------
 */

static enum rr_err look(struct bench_clip *clip, struct rr_fault *fault)
{
    static const uint16_t ladder[BENCH_RUNGS_MAX] = {1080, 720, 480, 360};
    struct rr_transcode_facts facts;
    struct rr_transcode_options options = {0};
    int fd = open(clip->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return rr_fail_errno(fault, "%.100s cannot be opened", clip->path);
    }
    enum rr_err err = rr_transcode_probe(&facts, fd, &options, fault);
    close(fd);
    if (err != RR_OK) {
        return err;
    }
    if (!facts.has_video || facts.width < facts.height) {
        return rr_fail(fault, RR_ERR_USAGE, "the bench needs a video that is wider than high");
    }
    clip->width = facts.width;
    clip->height = facts.height;
    clip->fps_num = facts.fps_num;
    clip->fps_den = facts.fps_den;
    for (unsigned i = 0; i < BENCH_RUNGS_MAX; i++) {
        if (ladder[i] <= facts.height) {
            clip->rungs[clip->rung_count++] = ladder[i];
        }
    }
    return clip->rung_count > 0
               ? RR_OK
               : rr_fail(fault, RR_ERR_USAGE, "the bench needs a video of 360 lines or more");
}

enum rr_err bench_clip_make(struct bench_clip *clip, const char *path, unsigned seconds,
                            struct rr_fault *fault)
{
    char length[16];
    snprintf(length, sizeof length, "%u", seconds);
    snprintf(clip->path, sizeof clip->path, "%s/clip.mkv", clip->folder);
    snprintf(clip->mute, sizeof clip->mute, "%s/mute.mkv", clip->folder);
    snprintf(clip->even, sizeof clip->even, "%s/even.mkv", clip->folder);
    snprintf(clip->brief, sizeof clip->brief, "%s/brief.mkv", clip->folder);
    const char *cut[] = {"ffmpeg", "-v",   "error",    "-y",    "-i",   path != NULL ? path : "",
                         "-t",     length, "-map",     "0:v:0", "-map", "0:a:0?",
                         "-c",     "copy", clip->path, NULL};
    const char *draw[] = {"ffmpeg",   "-v",        "error", "-y",
                          "-f",       "lavfi",     "-i",    "mandelbrot=size=1920x1080:rate=24",
                          "-f",       "lavfi",     "-i",    "sine=frequency=440:sample_rate=48000",
                          "-t",       length,      "-c:v",  "libx264",
                          "-preset",  "ultrafast", "-crf",  "12",
                          "-pix_fmt", "yuv420p",   "-c:a",  "aac",
                          clip->path, NULL};
    const char *mute[] = {"ffmpeg", "-v", "error", "-y",       "-i", clip->path,
                          "-an",    "-c", "copy",  clip->mute, NULL};
    const char *brief[] = {"ffmpeg", "-v", "error", "-y",   "-i",        clip->mute,
                           "-t",     "8",  "-c",    "copy", clip->brief, NULL};
    const char *even[] = {"ffmpeg",
                          "-v",
                          "error",
                          "-y",
                          "-i",
                          clip->mute,
                          "-c:v",
                          "libx264",
                          "-preset",
                          "veryfast",
                          "-crf",
                          "14",
                          "-force_key_frames",
                          "expr:gte(t,n_forced*2)",
                          "-sc_threshold",
                          "0",
                          clip->even,
                          NULL};
    enum rr_err err = bench_spawn(path != NULL ? cut : draw, NULL, NULL, fault);
    err = err != RR_OK ? err : bench_spawn(mute, NULL, NULL, fault);
    err = err != RR_OK ? err : bench_spawn(brief, NULL, NULL, fault);
    err = err != RR_OK ? err : bench_spawn(even, NULL, NULL, fault);
    return err != RR_OK ? err : look(clip, fault);
}

/* ---- ours --------------------------------------------------------------------------------------
 */

static void options_of(struct rr_transcode_options *out, const uint16_t *rungs, unsigned rung_count,
                       const char *preset, uint16_t crf)
{
    *out = (struct rr_transcode_options){.gop_ms = 2000, .crf = crf, .preset = preset};
    out->ladder.rung_count = (uint8_t)rung_count;
    for (unsigned i = 0; i < rung_count; i++) {
        out->ladder.rungs[i] = rungs[i];
    }
}

/* Elementary bytes, without containers, so that they compare with a raw stream. */
static void count(struct bench_cost *out, const struct rr_transcode_result *result)
{
    for (uint32_t i = 0; i < result->rendition_count; i++) {
        const struct rr_transcode_rendition *made = &result->renditions[i];
        out->frames += made->info.kind == RR_RENDITION_VIDEO ? made->frames_out : 0;
    }
    for (uint32_t i = 0; i < result->leaf_count; i++) {
        if (result->renditions[result->leaves[i].rendition].info.kind == RR_RENDITION_VIDEO) {
            out->bytes += result->leaves[i].output_bytes;
        }
    }
}

enum rr_err bench_ours(struct bench_cost *out, const struct bench_clip *clip, const char *in,
                       const uint16_t *rungs, unsigned rung_count, const char *preset, uint16_t crf,
                       struct rr_fault *fault)
{
    char folder[128];
    struct rr_transcode_options options;
    struct rr_transcode_result result = {0};
    snprintf(folder, sizeof folder, "%s/ours", clip->folder);
    options_of(&options, rungs, rung_count, preset, crf);
    *out = (struct bench_cost){0};
    enum rr_err err = access(folder, F_OK) == 0 ? rr_remove_tree(folder, fault) : RR_OK;
    double cpu = cpu_now(), wall = wall_now();
    err = err != RR_OK
              ? err
              : rr_transcode_to_folder(&result, folder, in, &options, NULL, NULL, NULL, fault);
    out->wall_s = wall_now() - wall;
    out->cpu_s = cpu_now() - cpu;
    count(out, &result);
    rr_transcode_result_clear(&result);
    return err;
}

enum rr_err bench_spot_check(double *price, uint32_t *leaves, const struct bench_clip *clip,
                             const char *in, unsigned rung_count, struct rr_fault *fault)
{
    char folder[128];
    struct rr_transcode_options options;
    struct rr_transcode_result result = {0};
    uint32_t checked = 0;
    int fd = open(in, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return rr_fail_errno(fault, "%.100s cannot be opened", in);
    }
    snprintf(folder, sizeof folder, "%s/job", clip->folder);
    options_of(&options, clip->rungs, rung_count, "veryfast", 23);
    options.job_folder = folder;
    double cpu = cpu_now();
    enum rr_err err = rr_transcode_run(&result, fd, &options, NULL, NULL, NULL, fault);
    double job_s = cpu_now() - cpu;
    cpu = cpu_now();
    for (uint32_t i = 0; i < result.leaf_count && err == RR_OK; i++) {
        const struct rr_pot_leaf *leaf = &result.leaves[i];
        struct rr_transcode_remade made;
        err = rr_transcode_remake(&made, fd, &options, leaf, NULL, fault);
        if (err == RR_OK && !rr_hash32_equal(&made.output_digest, &leaf->output_digest)) {
            err = rr_fail(fault, RR_ERR_DAMAGED, "GOP %u of rendition %u is not the same again",
                          (unsigned)leaf->gop, leaf->rendition);
        }
        checked++;
    }
    if (err == RR_OK) {
        *price = (cpu_now() - cpu) / job_s;
        *leaves = checked;
    }
    rr_transcode_result_clear(&result);
    close(fd);
    enum rr_err removed = rr_remove_tree(folder, err == RR_OK ? fault : NULL);
    return err != RR_OK ? err : removed;
}

/* ---- ffmpeg ------------------------------------------------------------------------------------
 */

struct command {
    const char *argv[ARGUMENTS_MAX];
    size_t count;
    struct rr_buf texts; /* NUL-terminated; argv points into it once it is whole */
};

static void add(struct command *command, const char *text)
{
    RR_CHECK(command->count + 1 < ARGUMENTS_MAX);
    command->argv[command->count++] = text;
}

static void add_encoder(struct command *command, const char *preset, const char *crf)
{
    static const char *const closed[] = {"-force_key_frames", "expr:gte(t,n_forced*2)",
                                         "-sc_threshold",     "0",
                                         "-x264-params",      "open-gop=0"};
    add(command, "-c:v");
    add(command, "libx264");
    add(command, "-preset");
    add(command, preset);
    add(command, "-crf");
    add(command, crf);
    for (size_t i = 0; i < RR_COUNT(closed); i++) {
        add(command, closed[i]);
    }
}

static void add_sound(struct command *command)
{
    static const char *const sound[] = {"-map", "0:a?", "-c:a", "aac", "-ac", "2", "-b:a", "128k"};
    for (size_t i = 0; i < RR_COUNT(sound); i++) {
        add(command, sound[i]);
    }
}

static uint64_t size_of(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 ? (uint64_t)facts.st_size : 0;
}

/* The filter of one process: split, and scale what is not the source's own size. */
static void graph(char *out, size_t room, const struct bench_clip *clip, const uint16_t *rungs,
                  unsigned rung_count)
{
    int used = snprintf(out, room, "[0:v]split=%u", rung_count);
    for (unsigned i = 0; i < rung_count; i++) {
        used += snprintf(out + used, room - (size_t)used, "[s%u]", i);
    }
    for (unsigned i = 0; i < rung_count; i++) {
        if (rungs[i] == clip->height) {
            used += snprintf(out + used, room - (size_t)used, ";[s%u]null[v%u]", i, i);
        } else {
            used +=
                snprintf(out + used, room - (size_t)used, ";[s%u]scale=-2:%u[v%u]", i, rungs[i], i);
        }
    }
}

enum rr_err bench_ffmpeg(struct bench_cost *out, const struct bench_clip *clip,
                         const uint16_t *rungs, unsigned rung_count, const char *preset,
                         uint16_t crf, bool each, struct rr_fault *fault)
{
    struct command commands[PROCESSES_MAX] = {0};
    char paths[BENCH_RUNGS_MAX][128], maps[BENCH_RUNGS_MAX][16], filters[PROCESSES_MAX][512];
    char quality[8];
    pid_t pids[PROCESSES_MAX];
    unsigned processes = each ? rung_count : 1;
    enum rr_err err = RR_OK;
    snprintf(quality, sizeof quality, "%u", crf);
    for (unsigned p = 0; p < processes; p++) {
        struct command *command = &commands[p];
        const char *const head[] = {"ffmpeg", "-v", "error", "-y", "-i", clip->path};
        graph(filters[p], sizeof filters[p], clip, each ? rungs + p : rungs, each ? 1 : rung_count);
        for (size_t i = 0; i < RR_COUNT(head); i++) {
            add(command, head[i]);
        }
        add(command, "-filter_complex");
        add(command, filters[p]);
        for (unsigned i = each ? p : 0; i < (each ? p + 1 : rung_count); i++) {
            snprintf(paths[i], sizeof paths[i], "%s/peer%u.mp4", clip->folder, i);
            snprintf(maps[i], sizeof maps[i], "[v%u]", each ? 0 : i);
            add(command, "-map");
            add(command, maps[i]);
            add(command, "-fps_mode"); /* the source's pictures, none twice */
            add(command, "passthrough");
            add_encoder(command, preset, quality);
            if (i == 0) {
                add_sound(command);
            }
            add(command, paths[i]);
        }
    }
    *out = (struct bench_cost){0};
    double cpu = cpu_now(), wall = wall_now();
    for (unsigned p = 0; p < processes; p++) {
        pids[p] = start(commands[p].argv, NULL, NULL);
    }
    for (unsigned p = 0; p < processes; p++) {
        enum rr_err ended = end(pids[p], "ffmpeg", err == RR_OK ? fault : NULL);
        err = err != RR_OK ? err : ended;
    }
    out->wall_s = wall_now() - wall;
    out->cpu_s = cpu_now() - cpu;
    for (unsigned i = 0; i < rung_count && err == RR_OK; i++) {
        out->bytes += size_of(paths[i]);
    }
    return err;
}

enum rr_err bench_continuous(const struct bench_clip *clip, uint16_t rung, const char *preset,
                             uint16_t crf, const char *out_path, struct rr_fault *fault)
{
    struct command command = {0};
    char filter[128], quality[8];
    const char *const head[] = {"ffmpeg", "-v", "error", "-y", "-i", clip->brief, "-vf"};
    snprintf(filter, sizeof filter, "scale=-2:%u:flags=bicubic+accurate_rnd+bitexact", rung);
    snprintf(quality, sizeof quality, "%u", crf);
    for (size_t i = 0; i < RR_COUNT(head); i++) {
        add(&command, head[i]);
    }
    add(&command, filter);
    add_encoder(&command, preset, quality);
    add(&command, "-threads");
    add(&command, "1");
    add(&command, "-f");
    add(&command, "h264");
    add(&command, out_path);
    return bench_spawn(command.argv, NULL, NULL, fault);
}

/* ---- the loop in one process -------------------------------------------------------------------
 */

static enum rr_err read_floor(struct bench_floor *out, const char *path, struct rr_fault *fault)
{
    json_error_t why;
    json_t *root = json_load_file(path, 0, &why), *task;
    struct bench_floor floor = {0};
    size_t i;
    const json_t *tasks = json_object_get(root, "tasks");
    if (!json_is_array(tasks) || json_array_size(tasks) == 0 ||
        json_array_size(tasks) > BENCH_TASKS_MAX) {
        json_decref(root);
        return rr_fail(fault, RR_ERR_STATE, "reelrig-floor told nothing");
    }
    floor.source_s = json_number_value(json_object_get(root, "source_s"));
    floor.cpu_s = json_number_value(json_object_get(root, "cpu_s"));
    floor.tasks = rr_alloc_array(json_array_size(tasks), sizeof *floor.tasks);
    json_array_foreach(tasks, i, task)
    {
        floor.tasks[floor.task_count++] =
            (struct bench_task){.gop = (uint32_t)json_integer_value(json_object_get(task, "gop")),
                                .rung = (unsigned)json_integer_value(json_object_get(task, "rung")),
                                .cpu_s = json_number_value(json_object_get(task, "cpu_s"))};
    }
    json_decref(root);
    rr_free(out->tasks);
    *out = floor;
    return RR_OK;
}

/* reelrig-floor stands beside the running program, or beside the worker that RR_WORKER names. */
static void find_floor(char *out, size_t room)
{
    char own[RR_PATH_BYTES];
    const char *worker = getenv("RR_WORKER");
    ssize_t len = readlink("/proc/self/exe", own, sizeof own - 1);
    own[len > 0 ? len : 0] = 0;
    if (worker != NULL) {
        snprintf(own, sizeof own, "%s", worker);
    }
    char *slash = strrchr(own, '/');
    if (slash != NULL) {
        *slash = 0;
    }
    snprintf(out, room, "%s/reelrig-floor", own);
}

enum rr_err bench_floor_run(struct bench_floor *out, const struct bench_clip *clip,
                            const char *preset, uint16_t crf, struct rr_fault *fault)
{
    char program[RR_PATH_BYTES + 16], ladder[64], quality[8], told[128];
    int used = 0;
    for (unsigned i = 0; i < clip->rung_count; i++) {
        used += snprintf(ladder + used, sizeof ladder - (size_t)used, "%s%u", i > 0 ? "," : "",
                         clip->rungs[i]);
    }
    snprintf(quality, sizeof quality, "%u", crf);
    snprintf(told, sizeof told, "%s/floor.json", clip->folder);
    find_floor(program, sizeof program);
    const char *argv[] = {program, clip->mute, ladder, "h264", preset, quality, "2000", NULL};
    /* As a job runs: with all cores at work. */
    pid_t others[PROCESSES_MAX];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned count = 0;
    while (count < PROCESSES_MAX && count + 1 < cores) {
        others[count++] = start(argv, "/dev/null", NULL);
    }
    enum rr_err err = bench_spawn(argv, told, NULL, fault);
    for (unsigned i = 0; i < count; i++) {
        enum rr_err ended = end(others[i], program, err == RR_OK ? fault : NULL);
        err = err != RR_OK ? err : ended;
    }
    return err != RR_OK ? err : read_floor(out, told, fault);
}
