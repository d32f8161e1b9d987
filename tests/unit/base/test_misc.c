/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Errors, log, clock, counters, random numbers. */
#include "unit/base/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <time.h>

RR_COUNTER(test_hits, "reelrig_test_hits_total", "Hits of this test.")
RR_GAUGE(test_level, "reelrig_test_level", "Level of this test.")

static void a_fault_carries_code_place_and_sentence(void **state)
{
    (void)state;
    struct rr_fault fault;
    assert_int_equal(rr_fail(&fault, RR_ERR_TRUST, "found %d", 7), RR_ERR_TRUST);
    assert_int_equal(fault.code, RR_ERR_TRUST);
    assert_string_equal(fault.text, "found 7");
    assert_non_null(strstr(fault.where, "test_misc.c:"));
    assert_int_equal(rr_fail(NULL, RR_ERR_BUSY, "nobody listens"), RR_ERR_BUSY);
    static const struct {
        int number;
        enum rr_err code;
    } cases[] = {{ENOSPC, RR_ERR_FULL},     {EDQUOT, RR_ERR_FULL}, {ENOMEM, RR_ERR_MEMORY},
                 {ENOENT, RR_ERR_NOTFOUND}, {EIO, RR_ERR_IO},      {EACCES, RR_ERR_IO}};
    for (size_t i = 0; i < RR_COUNT(cases); i++) {
        errno = cases[i].number;
        assert_int_equal(rr_fail_errno(&fault, "cannot"), cases[i].code);
        assert_int_equal(fault.sys_errno, cases[i].number);
        assert_non_null(strstr(fault.text, strerror(cases[i].number)));
    }
    char longer[1000];
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    (void)rr_fail(&fault, RR_ERR_IO, "%s", longer);
    assert_int_equal(strlen(fault.text), sizeof fault.text - 1);
}

static void each_code_has_a_text_and_an_exit_status(void **state)
{
    (void)state;
    assert_int_equal(rr_err_exit_status(RR_OK), 0);
    assert_int_equal(rr_err_exit_status(RR_ERR_USAGE), 2);
    assert_int_equal(rr_err_exit_status(RR_ERR_DAMAGED), 3);
    assert_int_equal(rr_err_exit_status(RR_ERR_UNREACHABLE), 4);
    for (int code = RR_OK; code <= RR_ERR_UNREACHABLE; code++) {
        assert_true(strlen(rr_err_text((enum rr_err)code)) > 1);
        assert_true(code == RR_OK || rr_err_exit_status((enum rr_err)code) > 0);
    }
    assert_string_equal(rr_err_text((enum rr_err)999), "unknown error");
    assert_int_equal(rr_err_exit_status((enum rr_err)999), 1);
}

/* What body writes to stderr, NUL-terminated. */
static void capture(char *out, size_t cap, void (*body)(void))
{
    char name[] = "/tmp/rr-unit-log-XXXXXX";
    int file = mkstemp(name);
    int kept = dup(STDERR_FILENO);
    assert_true(file >= 0 && kept >= 0);
    assert_true(dup2(file, STDERR_FILENO) >= 0);
    body();
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    close(kept);
    ssize_t len = pread(file, out, cap - 1, 0);
    assert_true(len >= 0);
    out[len] = '\0';
    close(file);
    unlink(name);
}

static void log_controls(void)
{
    rr_log(RR_LOG_WARN, "mod", "a\nb\x1b[31m\x7f\xc2\x9b \xc3\xa4 %d", 5);
    rr_log(RR_LOG_DEBUG, "mod", "not shown");
}

static void log_to_journal(void)
{
    struct rr_fault fault;
    (void)rr_fail(&fault, RR_ERR_IO, "it failed");
    setenv("JOURNAL_STREAM", "1:2", 1);
    rr_log_fault(RR_LOG_ERROR, "mod", &fault);
    rr_log_set_level(RR_LOG_DEBUG);
    rr_log(RR_LOG_DEBUG, "mod", "shown");
    rr_log_set_level(RR_LOG_INFO);
    unsetenv("JOURNAL_STREAM");
}

static void log_longest(void)
{
    static char text[9000];
    memset(text, 1, sizeof text - 1);
    rr_log(RR_LOG_ERROR, text, "%s", text);
}

static void a_line_is_one_line_and_shows_control_characters(void **state)
{
    (void)state;
    static char out[16384];
    unsetenv("JOURNAL_STREAM");
    capture(out, sizeof out, log_controls);
    assert_non_null(strstr(out, " warn mod: a\\x0ab\\x1b[31m\\x7f\\xc2\\x9b \xc3\xa4 5\n"));
    assert_null(strstr(out, "not shown"));
    assert_int_equal(out[10], 'T');
    assert_int_equal(out[23], 'Z');
    capture(out, sizeof out, log_to_journal);
    assert_ptr_equal(strstr(out, "<3>mod: it failed ["), out);
    assert_non_null(strstr(out, "\n<7>mod: shown\n"));
    capture(out, sizeof out, log_longest);
    assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
    assert_non_null(strstr(out, "...\n"));
}

static void *log_many(void *arg)
{
    for (int i = 0; i < 500; i++) {
        rr_log(RR_LOG_INFO, "t", "%s", (const char *)arg);
    }
    return NULL;
}

static void log_from_threads(void)
{
    static char texts[4][201];
    pthread_t ids[4];
    for (int i = 0; i < 4; i++) {
        memset(texts[i], 'a' + i, 200);
        assert_int_equal(pthread_create(&ids[i], NULL, log_many, texts[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(ids[i], NULL), 0);
    }
}

static void lines_of_threads_never_mix(void **state)
{
    (void)state;
    enum { CAP = 1 << 20 };
    char *out = rr_alloc(CAP);
    unsigned lines = 0;
    setenv("JOURNAL_STREAM", "1:2", 1);
    capture(out, CAP, log_from_threads);
    unsetenv("JOURNAL_STREAM");
    for (char *line = out; *line != '\0'; lines++) {
        char *end = strchr(line, '\n');
        assert_non_null(end);
        assert_int_equal(strncmp(line, "<6>t: ", 6), 0);
        assert_int_equal(end - line, 206);
        assert_true(strspn(line + 6, (char[]){line[6], '\0'}) == 200);
        line = end + 1;
    }
    assert_int_equal(lines, 2000);
    rr_free(out);
}

static uint64_t fixed(void *ctx)
{
    return *(uint64_t *)ctx;
}

static void clocks_can_be_given(void **state)
{
    (void)state;
    uint64_t now = 12345;
    struct rr_clock clock = {fixed, fixed, &now};
    assert_true(rr_wall_ms(&clock) == 12345 && rr_monotonic_us(&clock) == 12345);
    uint64_t before = rr_monotonic_us(rr_clock_system());
    usleep(2000);
    uint64_t after = rr_monotonic_us(rr_clock_system());
    assert_true(after >= before + 2000);
    assert_true(rr_wall_ms(rr_clock_system()) / 1000 - (uint64_t)time(NULL) + 1 <= 2);
}

struct seen {
    unsigned count;
    unsigned hits_at;
    unsigned level_at;
    uint64_t hits;
};

static void see(void *ctx, const char *name, const char *help, bool gauge, uint64_t value)
{
    struct seen *seen = ctx;
    assert_non_null(help);
    seen->count++;
    if (strcmp(name, "reelrig_test_hits_total") == 0) {
        assert_false(gauge);
        seen->hits_at = seen->count;
        seen->hits = value;
    }
    if (strcmp(name, "reelrig_test_level") == 0) {
        assert_true(gauge);
        assert_true(value == 9);
        seen->level_at = seen->count;
    }
}

static struct rr_counter many[64];
static void *register_many(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < RR_COUNT(many); i++) {
        rr_counter_register(&many[i]);
        rr_counter_add(&many[i], 1);
        rr_counter_add(&test_hits, 1);
    }
    return NULL;
}

static void counters_register_once_and_are_visited_in_order(void **state)
{
    (void)state;
    struct seen before = {0};
    struct seen after = {0};
    pthread_t ids[8];
    rr_gauge_set(&test_level, 5);
    rr_gauge_set(&test_level, 9);
    rr_counters_visit(see, &before);
    assert_true(before.hits_at > 0 && before.level_at > before.hits_at);
    for (size_t i = 0; i < RR_COUNT(many); i++) {
        many[i].name = "reelrig_test_many_total";
        many[i].help = "One of many.";
    }
    for (size_t i = 0; i < RR_COUNT(ids); i++) {
        assert_int_equal(pthread_create(&ids[i], NULL, register_many, NULL), 0);
    }
    for (size_t i = 0; i < RR_COUNT(ids); i++) {
        assert_int_equal(pthread_join(ids[i], NULL), 0);
    }
    rr_counters_visit(see, &after);
    assert_int_equal(after.count, before.count + RR_COUNT(many));
    assert_true(after.hits == before.hits + RR_COUNT(many) * RR_COUNT(ids));
}

static void the_generator_repeats_and_is_even(void **state)
{
    (void)state;
    struct rr_prng a;
    struct rr_prng b;
    unsigned counts[7] = {0};
    /* The published algorithm from the state 1, 2, 3, 4: rotl(2 * 5, 7) * 9 = 11520, then 0. */
    a = (struct rr_prng){{1, 2, 3, 4}};
    assert_true(rr_prng_u64(&a) == 11520);
    assert_true(rr_prng_u64(&a) == 0);
    assert_true(rr_prng_u64(&a) == 1509978240);
    rr_prng_seed(&a, 42);
    rr_prng_seed(&b, 42);
    for (int i = 0; i < 70000; i++) {
        uint64_t x = rr_prng_below(&a, 7);
        assert_true(x < 7 && x == rr_prng_below(&b, 7));
        counts[x]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(counts[i], 9600, 10400); /* 4.3 sigma of 92.6 */
    }
    uint8_t bytes[13];
    rr_prng_seed(&a, 1);
    rr_prng_seed(&b, 1);
    rr_prng_bytes(&a, bytes, sizeof bytes);
    assert_true(rr_load_u64le(bytes) == rr_prng_u64(&b));
    uint64_t tail = rr_prng_u64(&b);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(bytes[8 + i], tail >> 8 * i & 0xff);
    }
}

static void the_kernel_fills_all_that_was_asked(void **state)
{
    (void)state;
    enum { BYTES = 100000 }; /* more than one getrandom gives unbroken */
    uint8_t *bytes = rr_alloc(BYTES);
    unsigned counts[256] = {0};
    rr_random(bytes, BYTES);
    for (size_t i = 0; i < BYTES; i++) {
        counts[bytes[i]]++;
    }
    for (int i = 0; i < 256; i++) {
        assert_in_range(counts[i], 190, 600); /* 390 expected, sigma 20 */
    }
    rr_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_carries_code_place_and_sentence),
        cmocka_unit_test(each_code_has_a_text_and_an_exit_status),
        cmocka_unit_test(a_line_is_one_line_and_shows_control_characters),
        cmocka_unit_test(lines_of_threads_never_mix),
        cmocka_unit_test(clocks_can_be_given),
        cmocka_unit_test(counters_register_once_and_are_visited_in_order),
        cmocka_unit_test(the_generator_repeats_and_is_even),
        cmocka_unit_test(the_kernel_fills_all_that_was_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
