/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values of the configuration text: strings, numbers, booleans, arrays. */
#include "base/config_tree.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- strings ----------------------------------------------------------------------------- */

static void append_utf8(struct rr_buf *out, uint32_t c)
{
    uint8_t bytes[4];
    size_t len;
    if (c < 0x80) {
        bytes[0] = (uint8_t)c;
        len = 1;
    } else if (c < 0x800) {
        bytes[0] = (uint8_t)(0xc0 | c >> 6);
        len = 2;
    } else if (c < 0x10000) {
        bytes[0] = (uint8_t)(0xe0 | c >> 12);
        len = 3;
    } else {
        bytes[0] = (uint8_t)(0xf0 | c >> 18);
        len = 4;
    }
    for (size_t i = 1; i < len; i++) {
        bytes[i] = (uint8_t)(0x80 | (c >> 6 * (len - 1 - i) & 0x3f));
    }
    rr_buf_append(out, bytes, len);
}

/* \uXXXX and \UXXXXXXXX; `text` stands after the letter. */
static enum rr_err unicode_escape(struct rr_buf *out, struct config_text *text, unsigned digits)
{
    uint32_t c = 0;
    for (unsigned i = 0; i < digits; i++) {
        int d = config_peek(text);
        uint32_t value = d >= '0' && d <= '9'   ? (uint32_t)(d - '0')
                         : d >= 'a' && d <= 'f' ? (uint32_t)(d - 'a' + 10)
                         : d >= 'A' && d <= 'F' ? (uint32_t)(d - 'A' + 10)
                                                : 16;
        if (value == 16) {
            return config_fail(text, "a \\u or \\U escape has fewer than its %u hex digits",
                               digits);
        }
        c = c << 4 | value;
        config_skip(text);
    }
    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        return config_fail(text, "U+%04X is no character that a string may hold", (unsigned)c);
    }
    append_utf8(out, c);
    return RR_OK;
}

static enum rr_err escape(struct rr_buf *out, struct config_text *text)
{
    static const char names[] = "btnfr\"\\";
    static const char values[] = "\b\t\n\f\r\"\\";
    int c = config_peek(text);
    const char *at = c > 0 ? strchr(names, c) : NULL;
    if (at != NULL) {
        rr_buf_append(out, &values[at - names], 1);
        config_skip(text);
        return RR_OK;
    }
    if (c == 'u' || c == 'U') {
        config_skip(text);
        return unicode_escape(out, text, c == 'u' ? 4 : 8);
    }
    return config_fail(
        text, "an unknown escape; \\b \\t \\n \\f \\r \\\" \\\\ \\uXXXX \\UXXXXXXXX are known, "
              "or use a 'literal' string");
}

enum rr_err config_quoted(char **out, struct config_text *text)
{
    struct rr_buf bytes = {0};
    enum rr_err err = RR_OK;
    int quote = config_peek(text);
    config_skip(text);
    if (text->end - text->at >= 2 && text->at[0] == quote && text->at[1] == quote) {
        return config_fail(text, "multi-line strings are not supported; use \\n in a \"string\"");
    }
    for (;;) {
        int c = config_peek(text);
        if (c == quote) {
            config_skip(text);
            break;
        }
        if (c < 0 || c == '\n' || c == '\r') {
            err = config_fail(text, "a string is not closed on its line; close it with %c", quote);
        } else if ((c < 0x20 && c != '\t') || c == 0x7f) {
            err = config_fail(text, "a control character 0x%02x in a string; write it as \\u%04x",
                              (unsigned)c, (unsigned)c);
        } else if (c == '\\' && quote == '"') {
            config_skip(text);
            err = escape(&bytes, text);
        } else {
            uint8_t byte = (uint8_t)c;
            rr_buf_append(&bytes, &byte, 1);
            config_skip(text);
        }
        if (err != RR_OK) {
            rr_buf_clear(&bytes);
            return err;
        }
    }
    rr_write_u8(&bytes, 0);
    *out = (char *)bytes.ptr; /* the buffer's heap block is handed on */
    return RR_OK;
}

/* ---- numbers ----------------------------------------------------------------------------- */

/* Copies the characters of a bare value into word, without underscores, each of which must stand
 * between two digits. */
static enum rr_err take_word(char word[static CONFIG_NUMBER_MAX + 1], struct config_text *text)
{
    size_t len = 0;
    int before = 0;
    for (;;) {
        int c = config_peek(text);
        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        bool digit = c >= '0' && c <= '9';
        if (c < 0 || (!letter && !digit && strchr("+-_.:", c) == NULL)) {
            break;
        }
        if (len == CONFIG_NUMBER_MAX) {
            return config_fail(text,
                               "a value of more than %d characters; quote it if it is a string",
                               CONFIG_NUMBER_MAX);
        }
        config_skip(text);
        if (c == '_') {
            int after = config_peek(text);
            bool between = before != 0 && after > 0 && strchr("0123456789abcdefABCDEF", before) &&
                           strchr("0123456789abcdefABCDEF", after);
            if (!between) {
                return config_fail(text, "an underscore in a number stands between two digits");
            }
        } else {
            word[len++] = (char)c;
        }
        before = c;
    }
    word[len] = '\0';
    return RR_OK;
}

static size_t span_digits(const char *at)
{
    return strspn(at, "0123456789");
}

/* Fills node and returns true when word is a whole integer of this grammar; *over when it passes 64
 * bits. */
static bool parse_integer(struct config_node *node, const char *word, bool *over)
{
    bool hex = strncmp(word, "0x", 2) == 0;
    bool negative = word[0] == '-';
    const char *at = word + (hex ? 2 : word[0] == '-' || word[0] == '+');
    size_t len = hex ? strspn(at, "0123456789abcdefABCDEF") : span_digits(at);
    if (len == 0 || at[len] != '\0' || (!hex && len > 1 && at[0] == '0')) {
        return false;
    }
    uint64_t base = hex ? 16 : 10;
    uint64_t value = 0;
    for (; *at != '\0'; at++) {
        uint64_t digit = *at <= '9' ? (uint64_t)(*at - '0') : (uint64_t)((*at | 0x20) - 'a' + 10);
        if (__builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            *over = true;
            return true;
        }
    }
    node->type = CONFIG_INTEGER;
    node->as.integer.magnitude = value;
    node->as.integer.negative = negative && value != 0;
    return true;
}

static locale_t c_locale;
static void make_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    RR_CHECK(c_locale != (locale_t)0);
}

/* [+-] digits [. digits] [e [+-] digits], with a point or an exponent; the host's locale does not
 * count. */
static bool parse_float(struct config_node *node, const char *word)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const char *at = word + (word[0] == '-' || word[0] == '+');
    size_t whole = span_digits(at);
    if (whole == 0 || (whole > 1 && at[0] == '0')) {
        return false;
    }
    at += whole;
    if (*at == '.') {
        size_t fraction = span_digits(at + 1);
        if (fraction == 0) {
            return false;
        }
        at += 1 + fraction;
    }
    if (*at == 'e' || *at == 'E') {
        at++;
        at += *at == '-' || *at == '+';
        size_t exponent = span_digits(at);
        if (exponent == 0) {
            return false;
        }
        at += exponent;
    }
    if (*at != '\0') {
        return false;
    }
    RR_CHECK(pthread_once(&once, make_locale) == 0);
    double number = strtod_l(word, NULL, c_locale);
    if (!isfinite(number)) {
        return false;
    }
    node->type = CONFIG_FLOAT;
    node->as.number = number;
    return true;
}

static enum rr_err bare_value(struct config_node *node, struct config_text *text)
{
    char word[CONFIG_NUMBER_MAX + 1];
    bool over = false;
    enum rr_err err = take_word(word, text);
    if (err != RR_OK) {
        return err;
    }
    if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0) {
        node->type = CONFIG_BOOLEAN;
        node->as.boolean = word[0] == 't';
        return RR_OK;
    }
    if (parse_integer(node, word, &over)) {
        return over ? config_fail_at(text, node->line, node->column,
                                     "the integer %s does not fit in 64 bits", word)
                    : RR_OK;
    }
    if (parse_float(node, word)) {
        return RR_OK;
    }
    if (word[0] == '\0') {
        return config_fail(text,
                           "a value is missing; expected a string, number, true, false or array");
    }
    return config_fail_at(
        text, node->line, node->column,
        "\"%s\" is no value; expected an integer, a finite number, true or false, or "
        "quotes around a string (dates are not supported)",
        word);
}

/* ---- arrays ------------------------------------------------------------------------------ */

/* Blanks, comments and line ends between the elements of an array. */
static enum rr_err skip_between(struct config_text *text)
{
    for (;;) {
        enum rr_err err = config_skip_comment(text);
        if (err != RR_OK) {
            return err;
        }
        int c = config_peek(text);
        if (c != '\n' && c != '\r') {
            return RR_OK;
        }
        err = config_end_line(text);
        if (err != RR_OK) {
            return err;
        }
    }
}

static enum rr_err array_value(struct config_node *node, struct config_text *text)
{
    node->type = CONFIG_ARRAY;
    config_skip(text);
    for (;;) {
        enum rr_err err = skip_between(text);
        if (err != RR_OK) {
            return err;
        }
        if (config_peek(text) == ']') {
            config_skip(text);
            return RR_OK;
        }
        struct config_node *element = config_add(node, NULL, text);
        err = element == NULL ? RR_ERR_FORMAT : config_value(element, text);
        if (err == RR_OK) {
            err = skip_between(text);
        }
        if (err != RR_OK) {
            return err;
        }
        if (config_peek(text) == ',') {
            config_skip(text);
        } else if (config_peek(text) != ']') {
            return config_fail(text, "expected ',' or ']' in the array that begins at line %u",
                               (unsigned)node->line);
        }
    }
}

enum rr_err config_value(struct config_node *node, struct config_text *text)
{
    switch (config_peek(text)) {
    case '"':
    case '\'': {
        char *string;
        enum rr_err err = config_quoted(&string, text);
        if (err == RR_OK) {
            node->type = CONFIG_STRING;
            node->as.string = string;
        }
        return err;
    }
    case '[':
        return array_value(node, text);
    case '{':
        return config_fail(text, "inline tables are not supported; use a [table] of its own");
    default:
        return bare_value(node, text);
    }
}
