/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of kernels share: rows of vector files, hex, programs. */
#ifndef TEST_KERNELS_VECTORS_H
#define TEST_KERNELS_VECTORS_H
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Visits each row whose first word is `kind` with the rest of it; returns how many there were. */
static inline unsigned each_row(const char *file, const char *kind, void (*visit)(char *row))
{
    char path[512];
    static char line[4096];
    unsigned rows = 0;
    assert_true(snprintf(path, sizeof(path), RR_SOURCE_DIR "/tests/vectors/%s", file) < 512);
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    size_t len = strlen(kind);
    while (fgets(line, sizeof(line), in) != NULL) {
        if (strncmp(line, kind, len) == 0 && line[len] == ' ') {
            line[strcspn(line, "\r\n")] = '\0';
            visit(line + len + 1);
            rows++;
        }
    }
    (void)fclose(in);
    return rows;
}

static inline const char *next_word(char **row)
{
    char *word = strsep(row, " ");
    assert_non_null(word);
    return word;
}

static inline uint64_t next_u64(char **row)
{
    char *end = NULL;
    const char *word = next_word(row);
    uint64_t value = strtoull(word, &end, 10);
    assert_true(*word != '\0' && *end == '\0');
    return value;
}

static inline void next_hex(char **row, uint8_t *out, size_t len)
{
    const char *word = next_word(row);
    assert_int_equal(strlen(word), 2 * len);
    for (size_t i = 0; i < len; i++) {
        unsigned value = 0;
        assert_int_equal(sscanf(word + 2 * i, "%2x", &value), 1);
        out[i] = (uint8_t)value;
    }
}

/* Exit status of a program found on PATH, 127 when it is not there; its output goes to `out_path`
 * unless that is NULL. */
static inline int run_program(char *const arguments[], const char *out_path)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (out_path != NULL && freopen(out_path, "w", stdout) == NULL) {
            _exit(126);
        }
        execvp(arguments[0], arguments);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* i mod 251, as the vector files say. */
static inline void fill_counting(uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)(i % 251);
    }
}

/* Seed of this run: RR_SEED, or one that differs from run to run. */
static inline uint64_t test_seed(void)
{
    const char *text = getenv("RR_SEED");
    return text != NULL ? strtoull(text, NULL, 0) : (uint64_t)getpid() * 0x9e3779b97f4a7c15;
}
#endif
