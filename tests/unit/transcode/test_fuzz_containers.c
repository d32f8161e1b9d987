/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Thousands of spoiled files through the sandboxed worker: all end within their limits, in a result
 * or in a sentence, and leave nothing in this process. A worker looks into one file after another,
 * as none of them may harm the next.
 * RR_FULL=1: 12000 files, else RR_FUZZ_FILES, else 500. RR_FUZZ_SEED begins another run. */
#include "mutate.h"
#include "transcode/transcode_private.h"
#include <dirent.h>
#include <errno.h>
#include <sys/resource.h>

#define ASK_SECONDS 60
#define GOPS_MAX    400
#define WHOLE_EVERY 100

enum outcome {
    MADE,      /* every task was answered */
    REFUSED,   /* by the probe, with a sentence */
    FAILED,    /* later, with a sentence */
    FORBIDDEN, /* the sandbox ended the worker */
    CRASHED,   /* any other death */
    HUNG,      /* ended by the wall limit */
    OUTCOMES
};
static const char *const outcome_names[OUTCOMES] = {"made",      "refused", "failed",
                                                    "forbidden", "crashed", "hung"};
static unsigned table[RR_COUNT(seeds)][OUTCOMES];
static struct transcode_worker worker = {.socket = -1};
static unsigned long long peak_kib;
static unsigned starts;

static unsigned open_fds(void)
{
    unsigned count = 0;
    DIR *all = opendir("/proc/self/fd");
    assert_non_null(all);
    for (const struct dirent *entry; (entry = readdir(all)) != NULL;) {
        count += entry->d_name[0] != '.' ? 1 : 0;
    }
    closedir(all);
    return count;
}

static unsigned files_in(const char *folder)
{
    unsigned count = 0;
    DIR *all = opendir(folder);
    assert_non_null(all);
    for (const struct dirent *entry; (entry = readdir(all)) != NULL;) {
        count += entry->d_name[0] != '.' ? 1 : 0;
    }
    closedir(all);
    return count;
}

/* How much memory the worker ever had. */
static void look_at_memory(void)
{
    char path[64];
    struct rr_buf text = {0};
    snprintf(path, sizeof path, "/proc/%d/status", worker.pid);
    if (worker.pid > 0 && rr_file_read(&text, path, 1u << 16, NULL) == RR_OK) {
        rr_write_u8(&text, 0);
        const char *peak = strstr((char *)text.ptr, "VmHWM:");
        unsigned long long kib = peak != NULL ? strtoull(peak + 6, NULL, 10) : 0;
        peak_kib = kib > peak_kib ? kib : peak_kib;
    }
    rr_buf_clear(&text);
}

static enum outcome outcome_of(enum rr_err err, const struct rr_fault *fault, enum outcome said)
{
    if (err == RR_OK) {
        return MADE;
    }
    assert_true(fault->text[0] != 0);
    if (err == RR_ERR_TIMEOUT) {
        return HUNG;
    }
    if (err == RR_ERR_UNREACHABLE) {
        return strstr(fault->text, "sandbox") != NULL ? FORBIDDEN : CRASHED;
    }
    return said;
}

static enum rr_err ask(struct rr_buf *message, const int *fds, size_t count, uint8_t *kind,
                       struct rr_fault *fault)
{
    enum rr_err err = transcode_worker_ask(&worker, message, fds, count, ASK_SECONDS, fault);
    return err != RR_OK ? err : transcode_worker_wait_any(&worker, kind, NULL, fault);
}

static enum rr_err look(struct transcode_facts *facts, int fd, struct rr_fault *fault)
{
    struct rr_buf message = {0};
    uint8_t kind = 0;
    struct transcode_probe task = {0};
    transcode_encode_message(&message, TRANSCODE_PROBE, probe, &task);
    enum rr_err err = ask(&message, &fd, 1, &kind, fault);
    if (err == RR_OK) {
        assert_int_equal(kind, TRANSCODE_FACTS);
        if (!transcode_decode_message(transcode_worker_body(&worker), facts, facts)) {
            err = rr_fail(fault, RR_ERR_FORMAT, "facts that do not follow their form");
        }
    }
    return err;
}

/* All pictures into one rung. */
static enum rr_err decode(const struct transcode_plan *plan, int fd, struct rr_fault *fault)
{
    struct transcode_source *task = rr_alloc(sizeof *task);
    struct transcode_grant grant = {.rungs = 1};
    struct rr_buf message = {0};
    uint8_t kind = TRANSCODE_GOP;
    int pictures = -1;
    task->plan = *plan;
    transcode_encode_message(&message, TRANSCODE_SOURCE, source, task);
    rr_free(task);
    enum rr_err err = transcode_worker_ask(&worker, &message, &fd, 1, ASK_SECONDS, fault);
    for (unsigned gops = 0; err == RR_OK && kind == TRANSCODE_GOP; gops++) {
        assert_int_equal(transcode_memfd(&pictures, "pictures", NULL), RR_OK);
        transcode_encode_message(&message, TRANSCODE_GRANT, grant, &grant);
        err = ask(&message, &pictures, 1, &kind, fault);
        close(pictures);
        if (gops == GOPS_MAX) {
            transcode_worker_stop(&worker); /* it waits for a grant */
            break;
        }
    }
    if (err == RR_OK && kind == TRANSCODE_END) { /* the last grant is left, which is no task */
        struct rr_fault none = {0};
        worker.deadline_us = rr_monotonic_us(rr_clock_system()) + ASK_SECONDS * UINT64_C(1000000);
        err = transcode_worker_wait_any(&worker, &kind, NULL, &none);
        assert_int_equal(err, RR_ERR_USAGE);
        err = RR_OK;
    }
    return err;
}

static enum rr_err listen_to(const struct transcode_plan *plan, int fd, struct rr_fault *fault)
{
    struct transcode_audio *task = rr_alloc(sizeof *task);
    struct rr_buf message = {0};
    uint8_t kind = 0;
    int fds[3] = {fd, -1, -1};
    task->plan = *plan;
    transcode_encode_message(&message, TRANSCODE_AUDIO, audio, task);
    rr_free(task);
    assert_int_equal(transcode_memfd(&fds[1], "sound", NULL), RR_OK);
    assert_int_equal(transcode_memfd(&fds[2], "sizes", NULL), RR_OK);
    enum rr_err err = ask(&message, fds, 3, &kind, fault);
    close(fds[1]);
    close(fds[2]);
    return err;
}

static enum outcome try_file(const struct rr_transcode_options *options, int fd, char why[160])
{
    struct transcode_facts facts;
    struct transcode_plan plan;
    struct rr_fault fault = {0};
    struct rr_transcode_options fit;
    if (worker.pid == 0) {
        starts++;
        assert_int_equal(transcode_worker_start(&worker, KIT_WORKER, false, NULL), RR_OK);
    }
    enum rr_err err = look(&facts, fd, &fault);
    enum outcome outcome = outcome_of(err, &fault, REFUSED);
    if (err == RR_OK) {
        assert_int_equal(transcode_options_fit(&fit, options, NULL), RR_OK);
        err = transcode_plan_make(&plan, &facts, &fit, &fault);
        err = err == RR_OK && plan.video_stream >= 0 ? decode(&plan, fd, &fault) : err;
        if (err == RR_OK && plan.audio_count > 0 && worker.pid > 0) {
            err = listen_to(&plan, fd, &fault);
        }
        outcome = outcome_of(err, &fault, FAILED);
    }
    snprintf(why, 160, "%.150s", fault.text);
    look_at_memory();
    if (outcome == FAILED) { /* it may still wait for a grant */
        transcode_worker_stop(&worker);
    }
    return outcome;
}

/* The same file through all of a job: in the parent too nothing may be upset. */
static void whole_job(const struct rr_transcode_options *options, const char *path)
{
    struct rr_fault fault = {0};
    enum rr_err err =
        rr_transcode_to_folder(NULL, kit_path("ladder"), path, options, NULL, NULL, NULL, &fault);
    bool whole = access(kit_path("ladder/master.m3u8"), F_OK) == 0;
    assert_true(err == RR_OK ? whole : !whole && fault.text[0] != 0);
    assert_int_equal(rr_remove_tree(kit_path("ladder"), NULL), RR_OK);
}

static void print_table(uint64_t seed, unsigned files)
{
    print_message("%u files of seed %llu, %u workers, at most %llu MiB in one\n", files,
                  (unsigned long long)seed, starts, peak_kib / 1024);
    print_message("%-8s", "seed");
    for (size_t j = 0; j < OUTCOMES; j++) {
        print_message(" %9s", outcome_names[j]);
    }
    unsigned sums[OUTCOMES] = {0};
    for (size_t i = 0; i < RR_COUNT(seeds); i++) {
        print_message("\n%-8s", seeds[i].file);
        for (size_t j = 0; j < OUTCOMES; j++) {
            print_message(" %9u", table[i][j]);
            sums[j] += table[i][j];
        }
    }
    print_message("\n%-8s", "all");
    for (size_t j = 0; j < OUTCOMES; j++) {
        print_message(" %9u", sums[j]);
    }
    print_message("\n");
}

static uint64_t number_of(const char *name, uint64_t usual)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : usual;
}

static void spoiled_files_end_in_a_result_or_a_sentence(void **state)
{
    (void)state;
    bool full = getenv("RR_FULL") != NULL;
    uint64_t seed = number_of("RR_FUZZ_SEED", 1);
    uint64_t files = number_of("RR_FUZZ_FILES", full ? 12000 : getenv("RR_SHORT") ? 60 : 500);
    uint64_t first = number_of("RR_FUZZ_FIRST", 0);
    struct rr_transcode_options options = kit_options("16", 1);
    unsigned lost = 0, made = 0;
    char path[RR_PATH_BYTES], why[160];
    options.preset = "ultrafast";
    kit_need_ffmpeg();
    assert_true(seeds_make() > RR_COUNT(seeds) / 2);
    snprintf(path, sizeof path, "%s", kit_path("spoiled"));
    unlink(kit_path("printed"));
    unsigned fds = open_fds();
    for (uint64_t i = first; i < first + files; i++) {
        size_t which = 0;
        struct rr_buf bytes = mutate_file(seed, i, &which);
        assert_int_equal(rr_file_write(path, rr_buf_slice(&bytes), 0600, NULL), RR_OK);
        rr_buf_clear(&bytes);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        enum outcome outcome = try_file(&options, fd, why);
        close(fd);
        table[which][outcome]++;
        if (outcome >= FORBIDDEN) {
            print_message("file %llu of seed %llu (%s): %s: %s\n", (unsigned long long)i,
                          (unsigned long long)seed, seeds[which].file, outcome_names[outcome], why);
            lost++;
        }
        if (i % WHOLE_EVERY == 7) {
            whole_job(&options, path);
        }
        if (i % 1000 == 999) {
            transcode_worker_stop(&worker);
            assert_int_equal(open_fds(), fds);
        }
    }
    transcode_worker_stop(&worker);
    seeds_clear();
    print_table(seed, (unsigned)files);
    assert_int_equal(open_fds(), fds);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    assert_int_equal(files_in(kit_folder), 1); /* the last one spoiled */
    assert_true(peak_kib < 8ull << 20);
    for (size_t i = 0; i < RR_COUNT(seeds); i++) {
        made += table[i][MADE];
    }
    assert_true(made * 4 > files);    /* most spoiled files still hold something */
    assert_true(lost * 100 <= files); /* the libraries' own faults, kept in the worker */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spoiled_files_end_in_a_result_or_a_sentence),
    };
    return cmocka_run_group_tests(tests, kit_begin, kit_end);
}
