/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stratum/stratum_text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *stratum_dialect_text(enum stratum_dialect dialect)
{
    switch (dialect) {
    case STRATUM_UNKNOWN:
        break;
    case STRATUM_CLASSIC:
        return "classic";
    case STRATUM_PLAIN:
        return "plain";
    case STRATUM_V1:
        return "EthereumStratum/1.0.0";
    case STRATUM_V2:
        return "EthereumStratum/2.0.0";
    }
    return "unknown";
}

/* ---- lines ------------------------------------------------------------------------------- */

void stratum_lines_clear(struct stratum_lines *lines)
{
    rr_buf_clear(&lines->bytes);
    *lines = (struct stratum_lines){0};
}

void stratum_lines_add(struct stratum_lines *lines, struct rr_slice bytes)
{
    if (lines->at > 0) {
        memmove(lines->bytes.ptr, lines->bytes.ptr + lines->at, lines->bytes.len - lines->at);
        lines->bytes.len -= lines->at;
        lines->at = 0;
    }
    if (!lines->overlong) {
        rr_buf_append(&lines->bytes, bytes.ptr, bytes.len);
    }
}

bool stratum_lines_next(struct stratum_lines *lines, struct rr_slice *line)
{
    size_t rest = lines->bytes.len - lines->at;
    const uint8_t *start = rest > 0 ? lines->bytes.ptr + lines->at : NULL;
    const uint8_t *end = rest > 0 ? memchr(start, '\n', rest) : NULL;
    size_t len = end != NULL ? (size_t)(end - start) : rest;
    if (lines->overlong || len > STRATUM_LINE_MAX) {
        lines->overlong = true;
        return false;
    }
    if (end == NULL) {
        return false;
    }
    lines->at += len + 1;
    *line = rr_slice_of(start, len > 0 && start[len - 1] == '\r' ? len - 1 : len);
    return true;
}

/* ---- JSON -------------------------------------------------------------------------------- */

void stratum_say(struct rr_buf *out, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    RR_CHECK(len > 0 && (size_t)len < sizeof text);
    rr_buf_append(out, text, (size_t)len);
    rr_buf_append(out, "\n", 1);
}

json_t *stratum_parse(struct rr_slice line)
{
    json_error_t error;
    json_t *message = json_loadb((const char *)line.ptr, line.len, JSON_REJECT_DUPLICATES, &error);
    if (message != NULL && !json_is_object(message)) {
        json_decref(message);
        message = NULL;
    }
    return message;
}

bool stratum_id_text(char out[static STRATUM_ID_BYTES], const json_t *id)
{
    if (id != NULL && !json_is_integer(id) && !json_is_string(id) && !json_is_null(id)) {
        return false;
    }
    size_t len =
        id != NULL ? json_dumpb(id, out, STRATUM_ID_BYTES - 1, JSON_ENCODE_ANY | JSON_ENSURE_ASCII)
                   : 0;
    if (id == NULL) {
        memcpy(out, "null", 4);
        len = 4;
    }
    if (len == 0 || len > STRATUM_ID_BYTES - 1) {
        return false;
    }
    out[len] = '\0';
    return true;
}

const char *stratum_param_text(const json_t *params, size_t index)
{
    return json_string_value(json_array_get(params, index));
}

/* ---- numbers ----------------------------------------------------------------------------- */

static const char *skip_0x(const char *text)
{
    return text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? text + 2 : text;
}

bool stratum_read_u256(struct rr_u256 *out, const char *text)
{
    if (text == NULL) {
        return false;
    }
    text = skip_0x(text);
    size_t len = strlen(text);
    if (len == 0 || len > 64) {
        return false;
    }
    char padded[65];
    uint8_t bytes[32];
    memset(padded, '0', 64 - len);
    memcpy(padded + 64 - len, text, len + 1);
    if (!rr_unhex(bytes, sizeof bytes, padded)) {
        return false;
    }
    *out = rr_u256_from_be(bytes);
    return true;
}

bool stratum_read_u64(uint64_t *out, const char *text)
{
    struct rr_u256 value;
    if (text == NULL || strlen(skip_0x(text)) > 16 || !stratum_read_u256(&value, text)) {
        return false;
    }
    *out = value.limb[0];
    return true;
}

bool stratum_read_hash(uint8_t out[static 32], const char *text)
{
    return text != NULL && rr_unhex(out, 32, skip_0x(text));
}

bool stratum_read_name(char out[static STRATUM_NAME_BYTES], const char *text)
{
    size_t len = text != NULL ? strlen(text) : 0;
    if (len == 0 || len >= STRATUM_NAME_BYTES) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\') {
            return false;
        }
    }
    memcpy(out, text, len + 1);
    return true;
}

/* ---- difficulty -------------------------------------------------------------------------- */

#define V1_HASHES (281474976710656.0 / 65535.0) /* 2^48 / 0xffff */

double stratum_v1_of_hashes(uint64_t hashes)
{
    return (double)hashes / V1_HASHES;
}

bool stratum_v1_boundary(struct rr_u256 *out, double difficulty)
{
    if (!isfinite(difficulty) || difficulty <= 0) {
        return false;
    }
    /* 0xffff * 2^208 / difficulty as a 53-bit number and a power of two. */
    int power;
    double fraction = frexp(65535.0 / difficulty, &power);
    uint64_t digits = (uint64_t)ldexp(fraction, 53);
    int shift = 208 + power - 53;
    if (shift > 256 - 53) {
        *out = rr_u256_max();
    } else if (shift >= 0) {
        *out = rr_u256_shl(rr_u256_of(digits), (unsigned)shift);
    } else {
        *out = shift > -64 ? rr_u256_of(digits >> -shift) : rr_u256_of(0);
    }
    return true;
}

uint64_t stratum_hashes_of(struct rr_u256 boundary)
{
    if (rr_u256_is_zero(boundary)) {
        return UINT64_MAX;
    }
    struct rr_u256 rest;
    uint64_t hashes = rr_u256_saturate_u64(rr_u256_div(rr_u256_max(), boundary, &rest));
    struct rr_u256 next = rr_u256_add(rest, rr_u256_of(1), NULL);
    bool exact = rr_u256_compare(next, boundary) == 0; /* it divides 2^256 */
    return exact && hashes < UINT64_MAX ? hashes + 1 : hashes;
}

void stratum_boundary_text(char out[static 65], struct rr_u256 boundary)
{
    uint8_t bytes[32];
    rr_u256_to_be(bytes, boundary);
    rr_hex(out, bytes, sizeof bytes);
}
