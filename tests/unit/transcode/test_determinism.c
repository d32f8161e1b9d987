/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The same bytes of every GOP whatever the SIMD level, the number of workers and the run. The level
 * is taken from a worker by a library that is put in front of it (tests/fake/simd.c): no product
 * knows of it. RR_FULL=1: all levels, 1, 2 and 4 workers, every one twice. */
#include "kit.h"
#include <sys/resource.h>

struct level {
    const char *name, *vpx; /* vpx: bits of vpx_ports/x86.h */
};
static const struct level levels[] = {{"all", ""}, {"none", "0"}, {"sse2", "7"}, {"avx2", "0xff"}};
static char source[RR_PATH_BYTES];

/* A worker of that level: a script, since the environment of workers is not the parent's. */
static const char *worker_of(const struct level *level)
{
    static char path[RR_PATH_BYTES];
    struct rr_buf text = {0};
    snprintf(path, sizeof path, "%.2000s/worker-%s", kit_folder, level->name);
    rr_buf_format(&text,
                  "#!/bin/sh\nRR_SIMD=%s LD_PRELOAD=%s/libfake_simd.so %s%s %s exec %s \"$@\"\n",
                  level->name, RR_TESTS_DIR, level->vpx[0] != 0 ? "VPX_SIMD_CAPS=" : "", level->vpx,
                  "", KIT_WORKER);
    assert_int_equal(rr_file_write(path, rr_buf_slice(&text), 0755, NULL), RR_OK);
    rr_buf_clear(&text);
    return path;
}

/* Of all workers so far: that a level was taken away shows in it. */
static double cpu_seconds(void)
{
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static struct rr_hash32 digest_of(enum rr_codec codec, const struct level *level, unsigned workers)
{
    struct rr_transcode_options options = kit_options("120,64", workers);
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    options.codec = codec;
    options.gop_ms = 500;
    options.worker_path = worker_of(level);
    if (kit_job(&result, source, "job", &options, &fault) != RR_OK) {
        fail_msg("%s, %s, %u workers: %s", rr_codec_text(codec), level->name, workers, fault.text);
    }
    struct rr_hash32 digest = kit_digest(&result);
    rr_transcode_result_clear(&result);
    assert_int_equal(rr_remove_tree(kit_path("job"), NULL), RR_OK);
    return digest;
}

static void no_level_number_or_run_changes_a_byte(void **state)
{
    (void)state;
    static const enum rr_codec codecs[] = {RR_CODEC_H264, RR_CODEC_HEVC, RR_CODEC_AV1,
                                           RR_CODEC_VP9};
    bool full = getenv("RR_FULL") != NULL;
    unsigned wrong = 0, jobs = 0;
    kit_need_ffmpeg();
    assert_true(kit_make("-f lavfi -i testsrc2=s=214x120:r=25:d=1 -f lavfi -i sine=r=48000:d=1 "
                         "-c:v libx264 -preset ultrafast -c:a aac %s/d.mp4"));
    snprintf(source, sizeof source, "%s", kit_path("d.mp4"));
    for (size_t i = 0; i < RR_COUNT(codecs); i++) {
        struct rr_hash32 first = digest_of(codecs[i], &levels[0], 2);
        jobs++;
        for (size_t j = full ? 0 : 1; j < (full ? RR_COUNT(levels) : 2); j++) {
            for (unsigned workers = full ? 1 : 3; workers <= 4; workers *= 2) {
                for (unsigned run = 0; run < (full ? 2 : 1); run++) {
                    double before = cpu_seconds();
                    struct rr_hash32 digest = digest_of(codecs[i], &levels[j], workers);
                    bool same = rr_hash32_equal(&first, &digest);
                    jobs++;
                    wrong += same ? 0 : 1;
                    print_message("%-5s %-5s %u workers, run %u: %-11s %5.2f s of CPU\n",
                                  rr_codec_text(codecs[i]), levels[j].name, workers, run + 1,
                                  same ? "same" : "OTHER BYTES", cpu_seconds() - before);
                }
            }
        }
    }
    print_message("%u jobs, %u with other bytes\n", jobs, wrong);
    assert_int_equal(wrong, 0);
}

int main(void)
{
#ifdef RR_SANITIZED
    (void)no_level_number_or_run_changes_a_byte;
    return 77; /* a sanitizer must be the first library of a program */
#else
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_level_number_or_run_changes_a_byte),
    };
    return cmocka_run_group_tests(tests, kit_begin, kit_end);
#endif
}
