/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/wire_private.h"

#include <string.h>

static void step(struct rr_slice *text, size_t len)
{
    text->ptr += len;
    text->len -= len;
}

bool wire_take_word(struct rr_slice *text, const char *word)
{
    size_t len = strlen(word);
    if (text->len < len || memcmp(text->ptr, word, len) != 0) {
        return false;
    }
    step(text, len);
    return true;
}

bool wire_take_number(struct rr_slice *text, uint64_t *out, uint64_t max)
{
    uint64_t value = 0;
    size_t len = 0;
    while (len < text->len && text->ptr[len] >= '0' && text->ptr[len] <= '9') {
        uint64_t digit = (uint64_t)(text->ptr[len] - '0');
        if (value > (max - digit) / 10 || digit > max || (len == 1 && text->ptr[0] == '0')) {
            return false;
        }
        value = value * 10 + digit;
        len++;
    }
    if (len == 0) {
        return false;
    }
    step(text, len);
    *out = value;
    return true;
}

bool wire_take_hex(struct rr_slice *text, uint8_t *out, size_t len)
{
    if (text->len < 2 * len) {
        return false;
    }
    for (size_t i = 0; i < 2 * len; i++) {
        if (text->ptr[i] >= 'A' && text->ptr[i] <= 'F') {
            return false;
        }
    }
    if (!rr_unhex_slice(out, len, rr_slice_of(text->ptr, 2 * len))) {
        return false;
    }
    step(text, 2 * len);
    return true;
}

void wire_write_hex(struct rr_buf *out, const void *bytes, size_t len)
{
    char pair[3];
    for (size_t i = 0; i < len; i++) {
        rr_hex(pair, (const uint8_t *)bytes + i, 1);
        rr_buf_append(out, pair, 2);
    }
}

/* ---- base64 [RFC 4648, 4] -----------------------------------------------------------------------
 */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void wire_write_base64(struct rr_buf *out, struct rr_slice bytes)
{
    for (size_t at = 0; at < bytes.len; at += 3) {
        size_t n = bytes.len - at < 3 ? bytes.len - at : 3;
        uint32_t group = 0;
        char text[4];
        for (size_t i = 0; i < 3; i++) {
            group = group << 8 | (i < n ? bytes.ptr[at + i] : 0u);
        }
        for (size_t i = 0; i < 4; i++) {
            text[i] = i <= n ? digits[group >> (18 - 6 * i) & 63] : '=';
        }
        rr_buf_append(out, text, sizeof text);
    }
}

static uint32_t value_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return (uint32_t)(c - 'A');
    }
    if (c >= 'a' && c <= 'z') {
        return (uint32_t)(c - 'a') + 26;
    }
    if (c >= '0' && c <= '9') {
        return (uint32_t)(c - '0') + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

bool wire_read_base64(struct rr_buf *out, struct rr_slice text)
{
    size_t before = out->len;
    bool fits = text.len % 4 == 0;
    for (size_t at = 0; fits && at < text.len; at += 4) {
        const uint8_t *p = text.ptr + at;
        bool last = at + 4 == text.len;
        size_t n = last && p[3] == '=' ? (p[2] == '=' ? 1 : 2) : 3; /* bytes of this group */
        uint32_t group = 0;
        for (size_t i = 0; i < 4; i++) {
            uint32_t value = i <= n ? value_of(p[i]) : 0;
            fits = fits && value < 64;
            group = group << 6 | (value & 63);
        }
        uint8_t bytes[3] = {(uint8_t)(group >> 16), (uint8_t)(group >> 8), (uint8_t)group};
        /* Bits that no byte holds are zero: else two texts would mean the same. */
        fits = fits && (group & ((1u << 8 * (3 - n)) - 1)) == 0;
        rr_buf_append(out, bytes, n);
    }
    if (!fits) {
        out->len = before;
    }
    return fits;
}
