/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Consensus arithmetic must not depend on who compiled it: gcc and clang, -O0 and -O3, print the
 * same digest. Also: no floating point in what they made. Skipped where one of the compilers is
 * absent. */
#include "vectors.h"

static char folder[] = "/tmp/rr-reputation-XXXXXX";

static const char *const compilers[] = {"gcc", "clang"};
static const char *const levels[] = {"-O0", "-O3"};

static void first_line(char *out, size_t size, const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(out, (int)size, file));
    (void)fclose(file);
}

static void build(const char *compiler, const char *level, char *program, const char *count,
                  char *digest)
{
    char *const words[] = {strdup(compiler),
                           strdup(level),
                           strdup("-std=c17"),
                           strdup("-D_GNU_SOURCE"),
                           strdup("-fno-strict-aliasing"),
                           strdup("-I" RR_SOURCE_DIR "/kernels"),
                           strdup("-o"),
                           program,
                           strdup(RR_SOURCE_DIR "/tests/tools/reputation_digest.c"),
                           strdup(RR_SOURCE_DIR "/kernels/reputation/reputation_ref.c"),
                           strdup(RR_SOURCE_DIR "/kernels/kcheck/kcheck.c"),
                           NULL};
    assert_int_equal(run_program(words, NULL), 0);
    for (int i = 0; words[i] != NULL; i++) {
        if (words[i] != program) {
            free(words[i]);
        }
    }
    char out[100];
    char *counted = strdup(count);
    char *const run[] = {program, counted, NULL};
    (void)snprintf(out, sizeof(out), "%s/out", folder);
    assert_int_equal(run_program(run, out), 0);
    first_line(digest, 20, out);
    free(counted);
    assert_int_equal(unlink(out), 0);
    assert_int_equal(unlink(program), 0);
}

static void every_compiler_gives_the_same_values(void **state)
{
    (void)state;
    /* All of a release's 10^7 values: RR_REPUTATION_COUNT=10000000. */
    const char *count = getenv("RR_REPUTATION_COUNT");
    char first[20] = "";
    for (size_t c = 0; c < 2; c++) {
        for (size_t l = 0; l < 2; l++) {
            char program[100];
            char digest[20] = "";
            (void)snprintf(program, sizeof(program), "%s/digest", folder);
            build(compilers[c], levels[l], program, count != NULL ? count : "200000", digest);
            print_message("%s %s: %s", compilers[c], levels[l], digest);
            if (first[0] == '\0') {
                memcpy(first, digest, sizeof(first));
            }
            assert_string_equal(digest, first);
        }
    }
}

/* Without SSE and x87 the compiler refuses any floating-point operation of the source. */
static void the_source_needs_no_floating_point(void **state)
{
    (void)state;
    char *out = NULL;
    assert_true(asprintf(&out, "%s/object.o", folder) > 0);
    char *const words[] = {strdup("gcc"),
                           strdup("-std=c17"),
                           strdup("-mgeneral-regs-only"),
                           strdup("-O3"),
                           strdup("-I" RR_SOURCE_DIR "/kernels"),
                           strdup("-c"),
                           strdup("-o"),
                           out,
                           strdup(RR_SOURCE_DIR "/kernels/reputation/reputation_ref.c"),
                           NULL};
    assert_int_equal(run_program(words, NULL), 0);
    assert_int_equal(unlink(out), 0);
    for (int i = 0; words[i] != NULL; i++) {
        free(words[i]);
    }
}

int main(void)
{
    for (size_t c = 0; c < 2; c++) {
        char *const version[] = {strdup(compilers[c]), strdup("--version"), NULL};
        int status = run_program(version, "/dev/null");
        free(version[0]);
        free(version[1]);
        if (status != 0) {
            print_message("skipped: no %s on PATH\n", compilers[c]);
            return 77;
        }
    }
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_compiler_gives_the_same_values),
        cmocka_unit_test(the_source_needs_no_floating_point),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)rmdir(folder);
    return failed;
}
