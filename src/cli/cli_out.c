/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A pipe that nobody reads any more ends the program quietly; a full disk is told. */
static void output_failed(void)
{
    struct rr_fault fault = {0};
    if (errno != EPIPE) {
        (void)rr_fail_errno(&fault, "standard output cannot be written");
        fprintf(stderr, "reelrig: %s\n", fault.text);
    }
    exit(1);
}

void cli_print(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vprintf(format, args);
    va_end(args);
    if (n < 0 || fflush(stdout) != 0) {
        output_failed();
    }
}

void cli_print_json(const json_t *json)
{
    if (json_dumpf(json, stdout, JSON_COMPACT) != 0 || printf("\n") < 0 || fflush(stdout) != 0) {
        output_failed();
    }
}

void cli_progress(const char *format, ...)
{
    static bool shown;
    char line[256];
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (line[0] != '\0' || shown) {
        fprintf(stderr, "\r\x1b[K%s", line);
        fflush(stderr);
    }
    shown = line[0] != '\0';
}

int cli_fail(enum rr_err code, const struct rr_fault *fault, bool json)
{
    cli_progress("%s", "");
    const char *text = fault->text[0] != '\0' ? fault->text : rr_err_text(code);
    fprintf(stderr, "reelrig: %s\n", text);
    if (json) {
        json_t *out =
            json_pack("{s:s, s:o}", "error", rr_err_text(code), "message", cli_json_text(text));
        cli_print_json(out);
        json_decref(out);
    }
    return rr_err_exit_status(code);
}

const char *cli_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

void cli_json_set(json_t *object, const char *key, json_t *value)
{
    RR_CHECK(value != NULL && json_object_set_new(object, key, value) == 0);
}

/* Bytes of the character that text begins with; 0: they are none. [RFC 3629, 4] */
static size_t character(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t len = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    len = at[0] > 0xf4 ? 0 : len;
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool wrong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
                 (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f);
    return wrong ? 0 : len;
}

json_t *cli_json_text(const char *text)
{
    struct rr_buf good = {0};
    for (const char *at = text; *at != '\0';) {
        size_t len = character(at);
        rr_buf_append(&good, len > 0 ? at : "\xef\xbf\xbd", len > 0 ? len : 3); /* U+FFFD */
        at += len > 0 ? len : 1;
    }
    json_t *json = json_stringn(good.len > 0 ? (const char *)good.ptr : "", good.len);
    RR_CHECK(json != NULL);
    rr_buf_clear(&good);
    return json;
}

uint64_t cli_number(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

double cli_real(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static char complaint[256];

static void complain(const char *verb, const char *before, const char *word, const char *after)
{
    snprintf(complaint, sizeof complaint, "%s'%.100s'%s", before, word, after);
    fprintf(stderr, "reelrig %s: %s\n", verb, complaint);
}

const char *cli_complaint(void)
{
    return complaint;
}

static const struct cli_option *find(const struct cli_option *options, size_t count,
                                     const char *name, size_t len)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0) {
            return &options[i];
        }
    }
    return NULL;
}

static bool take_option(int argc, char **argv, int *at, const struct cli_option *options,
                        size_t option_count)
{
    const char *name = argv[*at][1] == '-' ? argv[*at] + 2 : argv[*at] + 1;
    const char *equals = strchr(name, '=');
    size_t len = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const struct cli_option *option = find(options, option_count, name, len);
    if (option == NULL || (option->value == NULL && equals != NULL)) {
        complain(argv[0], "there is no option ", argv[*at], "");
        return false;
    }
    if (option->flag != NULL) {
        *option->flag = true;
    }
    if (option->value == NULL) {
        return true;
    }
    if (equals == NULL && *at + 1 >= argc) {
        complain(argv[0], "option ", argv[*at], " needs a value");
        return false;
    }
    *option->value = equals != NULL ? equals + 1 : argv[++*at];
    return true;
}

bool cli_options(int argc, char **argv, const struct cli_option *options, size_t option_count,
                 const char **positional, size_t positional_max, size_t *positional_count)
{
    bool only_words = false;
    *positional_count = 0;
    for (int i = 1; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0') {
            if (!take_option(argc, argv, &i, options, option_count)) {
                return false;
            }
        } else if (*positional_count == positional_max) {
            complain(argv[0], "", argv[i], " is one word too many");
            return false;
        } else {
            positional[(*positional_count)++] = argv[i];
        }
    }
    return true;
}

bool cli_read_number(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || (value = value * 10 + (uint64_t)(*p - '0')) > max) {
            return false;
        }
    }
    *out = value;
    return text[0] != '\0';
}
