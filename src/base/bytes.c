/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN_BYTES = 64, BUF_FIRST_BYTES = 64 };

/* ---- heap -------------------------------------------------------------------------------- */

void *rr_alloc(size_t bytes)
{
    void *ptr = calloc(1, bytes == 0 ? 1 : bytes);
    if (ptr == NULL) {
        RR_BUG("out of memory");
    }
    return ptr;
}

void *rr_alloc_array(size_t count, size_t item_bytes)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, item_bytes, &bytes)) {
        RR_BUG("array larger than the address space");
    }
    return rr_alloc(bytes);
}

void *rr_realloc(void *ptr, size_t bytes)
{
    void *grown = realloc(ptr, bytes == 0 ? 1 : bytes);
    if (grown == NULL) {
        RR_BUG("out of memory");
    }
    return grown;
}

void rr_free(void *ptr)
{
    free(ptr);
}

char *rr_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = rr_alloc(bytes);
    memcpy(copy, text, bytes);
    return copy;
}

void *rr_alloc_aligned(size_t bytes)
{
    if (bytes > SIZE_MAX - ALIGN_BYTES) {
        RR_BUG("buffer larger than the address space");
    }
    /* aligned_alloc wants a multiple of the alignment; a kernel may also read to the end of its
     * vector. */
    size_t padded = (bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
    padded = padded == 0 ? ALIGN_BYTES : padded;
    void *ptr = aligned_alloc(ALIGN_BYTES, padded);
    if (ptr == NULL) {
        RR_BUG("out of memory");
    }
    memset(ptr, 0, padded);
    return ptr;
}

/* ---- views and buffers ------------------------------------------------------------------- */

struct rr_slice rr_slice_of(const void *ptr, size_t len)
{
    return (struct rr_slice){ptr, len};
}

struct rr_slice rr_slice_str(const char *text)
{
    return (struct rr_slice){(const uint8_t *)text, strlen(text)};
}

struct rr_slice rr_buf_slice(const struct rr_buf *buf)
{
    return (struct rr_slice){buf->ptr, buf->len};
}

bool rr_slice_equal(struct rr_slice a, struct rr_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

void rr_buf_clear(struct rr_buf *buf)
{
    free(buf->ptr);
    *buf = (struct rr_buf){0};
}

void rr_buf_reserve(struct rr_buf *buf, size_t extra)
{
    if (buf->cap - buf->len >= extra && buf->ptr != NULL) {
        return;
    }
    size_t need;
    if (__builtin_add_overflow(buf->len, extra, &need)) {
        RR_BUG("buffer larger than the address space");
    }
    size_t cap = buf->cap < BUF_FIRST_BYTES ? BUF_FIRST_BYTES : buf->cap;
    while (cap < need) {
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    }
    buf->ptr = rr_realloc(buf->ptr, cap);
    buf->cap = cap;
}

void rr_buf_append(struct rr_buf *buf, const void *bytes, size_t len)
{
    if (len == 0) {
        return;
    }
    rr_buf_reserve(buf, len);
    memcpy(buf->ptr + buf->len, bytes, len);
    buf->len += len;
}

void rr_buf_format(struct rr_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    RR_CHECK(len >= 0);
    rr_buf_reserve(buf, (size_t)len + 1);
    va_start(args, format);
    vsnprintf((char *)buf->ptr + buf->len, (size_t)len + 1, format, args);
    va_end(args);
    buf->len += (size_t)len;
}

/* ---- hashes and hex ---------------------------------------------------------------------- */

bool rr_hash32_equal(const struct rr_hash32 *a, const struct rr_hash32 *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool rr_hash32_is_zero(const struct rr_hash32 *hash)
{
    uint8_t any = 0;
    for (size_t i = 0; i < sizeof hash->bytes; i++) {
        any |= hash->bytes[i];
    }
    return any == 0;
}

int rr_hash32_compare(const struct rr_hash32 *a, const struct rr_hash32 *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

void rr_hex(char *text, const void *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i++) {
        text[2 * i] = digits[p[i] >> 4];
        text[2 * i + 1] = digits[p[i] & 15];
    }
    text[2 * len] = '\0';
}

static int digit_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool rr_unhex_slice(uint8_t *bytes, size_t len, struct rr_slice text)
{
    if (len > SIZE_MAX / 2 || text.len != 2 * len) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (digit_value(text.ptr[i]) < 0) {
            return false;
        }
    }
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(digit_value(text.ptr[2 * i]) << 4 | digit_value(text.ptr[2 * i + 1]));
    }
    return true;
}

bool rr_unhex(uint8_t *bytes, size_t len, const char *text)
{
    return rr_unhex_slice(bytes, len, rr_slice_str(text));
}

/* ---- reader ------------------------------------------------------------------------------ */

struct rr_reader rr_reader_of(struct rr_slice bytes)
{
    return (struct rr_reader){bytes.ptr, bytes.len, false};
}

/* The next len bytes, or NULL with the reader failed and emptied. */
static const uint8_t *take(struct rr_reader *reader, size_t len)
{
    if (reader->failed || len > reader->len) {
        reader->failed = true;
        reader->len = 0;
        return NULL;
    }
    const uint8_t *at = reader->ptr;
    if (len > 0) {
        reader->ptr += len;
        reader->len -= len;
    }
    return at;
}

static uint64_t read_le(struct rr_reader *reader, size_t len)
{
    const uint8_t *at = take(reader, len);
    uint64_t value = 0;
    for (size_t i = len; at != NULL && i > 0; i--) {
        value = value << 8 | at[i - 1];
    }
    return value;
}

uint8_t rr_read_u8(struct rr_reader *reader)
{
    return (uint8_t)read_le(reader, 1);
}

uint16_t rr_read_u16(struct rr_reader *reader)
{
    return (uint16_t)read_le(reader, 2);
}

uint32_t rr_read_u32(struct rr_reader *reader)
{
    return (uint32_t)read_le(reader, 4);
}

uint64_t rr_read_u64(struct rr_reader *reader)
{
    return read_le(reader, 8);
}

void rr_read_bytes(struct rr_reader *reader, void *out, size_t len)
{
    const uint8_t *at = take(reader, len);
    if (len == 0) {
        return;
    }
    if (at == NULL) {
        memset(out, 0, len);
    } else {
        memcpy(out, at, len);
    }
}

struct rr_slice rr_read_slice(struct rr_reader *reader, size_t len)
{
    const uint8_t *at = take(reader, len);
    return at == NULL ? (struct rr_slice){0} : (struct rr_slice){at, len};
}

static uint32_t read_count(struct rr_reader *reader, size_t bytes, uint64_t max)
{
    uint64_t count = read_le(reader, bytes);
    if (count > max) {
        reader->failed = true;
        reader->len = 0;
        return 0;
    }
    return (uint32_t)count;
}

struct rr_slice rr_read_var16(struct rr_reader *reader, size_t max)
{
    return rr_read_slice(reader, read_count(reader, 2, max));
}

struct rr_slice rr_read_var32(struct rr_reader *reader, size_t max)
{
    return rr_read_slice(reader, read_count(reader, 4, max));
}

uint32_t rr_read_count16(struct rr_reader *reader, uint32_t max)
{
    return read_count(reader, 2, max);
}

uint32_t rr_read_count32(struct rr_reader *reader, uint32_t max)
{
    return read_count(reader, 4, max);
}

bool rr_reader_done(const struct rr_reader *reader)
{
    return !reader->failed && reader->len == 0;
}

/* ---- writer ------------------------------------------------------------------------------ */

static void write_le(struct rr_buf *buf, uint64_t value, size_t len)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(value >> 8 * i);
    }
    rr_buf_append(buf, bytes, len);
}

void rr_write_u8(struct rr_buf *buf, uint8_t value)
{
    write_le(buf, value, 1);
}

void rr_write_u16(struct rr_buf *buf, uint16_t value)
{
    write_le(buf, value, 2);
}

void rr_write_u32(struct rr_buf *buf, uint32_t value)
{
    write_le(buf, value, 4);
}

void rr_write_u64(struct rr_buf *buf, uint64_t value)
{
    write_le(buf, value, 8);
}

void rr_write_var16(struct rr_buf *buf, struct rr_slice bytes)
{
    RR_CHECK(bytes.len <= UINT16_MAX);
    write_le(buf, bytes.len, 2);
    rr_buf_append(buf, bytes.ptr, bytes.len);
}

void rr_write_var32(struct rr_buf *buf, struct rr_slice bytes)
{
    RR_CHECK(bytes.len <= UINT32_MAX);
    write_le(buf, bytes.len, 4);
    rr_buf_append(buf, bytes.ptr, bytes.len);
}

size_t rr_utf8_step(const uint8_t *p, size_t len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0x80             ? 1
               : (p[0] & 0xe0) == 0xc0 ? 2
               : (p[0] & 0xf0) == 0xe0 ? 3
               : (p[0] & 0xf8) == 0xf0 ? 4
                                       : 0;
    if (n == 0 || n > len) {
        return 0;
    }
    uint32_t code = n == 1 ? p[0] : p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
        code = code << 6 | (p[i] & 0x3fu);
    }
    bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    bool surrogate = code >= 0xd800 && code < 0xe000;
    return code < least[n] || control || surrogate || code > 0x10ffff ? 0 : n;
}
