/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RR_BASE_BYTES_H
#define RR_BASE_BYTES_H
#include "base/err.h"

/* A borrowed view. */
struct rr_slice {
    const uint8_t *ptr;
    size_t len;
};

/* Owned and growing; {0} is a valid empty one. Growth failure aborts: counts are limited before. */
struct rr_buf {
    uint8_t *ptr;
    size_t len;
    size_t cap;
};

struct rr_hash32 {
    uint8_t bytes[32];
};

/* The only doors to the heap; abort when memory is out. rr_alloc zeroes. rr_free(NULL) is fine. */
void *rr_alloc(size_t bytes) __attribute__((malloc, returns_nonnull));
void *rr_alloc_array(size_t count, size_t item_bytes) __attribute__((malloc, returns_nonnull));
void *rr_realloc(void *ptr, size_t bytes) __attribute__((returns_nonnull));
void rr_free(void *ptr);
char *rr_strdup(const char *text) __attribute__((malloc, returns_nonnull));
/* 64-byte aligned and zeroed, for buffers that kernels read; freed by rr_free. */
void *rr_alloc_aligned(size_t bytes) __attribute__((malloc, returns_nonnull));

struct rr_slice rr_slice_of(const void *ptr, size_t len);
struct rr_slice rr_slice_str(const char *text); /* without the NUL */
struct rr_slice rr_buf_slice(const struct rr_buf *buf);
bool rr_slice_equal(struct rr_slice a, struct rr_slice b);

void rr_buf_clear(struct rr_buf *buf); /* frees; back to {0} */
void rr_buf_reserve(struct rr_buf *buf, size_t extra);
void rr_buf_append(struct rr_buf *buf, const void *bytes, size_t len);
void rr_buf_format(struct rr_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* appends text, no NUL */

bool rr_hash32_equal(const struct rr_hash32 *a, const struct rr_hash32 *b);
bool rr_hash32_is_zero(const struct rr_hash32 *hash);
int rr_hash32_compare(const struct rr_hash32 *a, const struct rr_hash32 *b); /* as memcmp */

/* Lower-case hex, NUL-terminated; text holds 2 len + 1 bytes. */
void rr_hex(char *text, const void *bytes, size_t len);
/* Exactly 2 len hex digits (any case), then NUL; false otherwise. */
bool rr_unhex(uint8_t *bytes, size_t len, const char *text);
/* As rr_unhex on a view. */
bool rr_unhex_slice(uint8_t *bytes, size_t len, struct rr_slice text);
/* Bytes of the UTF-8 character at p, len > 0; 0 when it is none or a control. Shortest form only,
 * no surrogates. [RFC 3629, 3] */
size_t rr_utf8_step(const uint8_t *p, size_t len);

/* ---- canonical little-endian encoding ---------------------------------------------------- */

/* Reads out of a borrowed view. A read past the end sets `failed` and yields zeros from then on. */
struct rr_reader {
    const uint8_t *ptr;
    size_t len;
    bool failed;
};
struct rr_reader rr_reader_of(struct rr_slice bytes);
uint8_t rr_read_u8(struct rr_reader *reader);
uint16_t rr_read_u16(struct rr_reader *reader);
uint32_t rr_read_u32(struct rr_reader *reader);
uint64_t rr_read_u64(struct rr_reader *reader);
void rr_read_bytes(struct rr_reader *reader, void *out, size_t len);
/* A view of the next len bytes, {NULL,0} on failure. */
struct rr_slice rr_read_slice(struct rr_reader *reader, size_t len);
/* u16 or u32 length, at most max, then the bytes; longer sets `failed`. */
struct rr_slice rr_read_var16(struct rr_reader *reader, size_t max);
struct rr_slice rr_read_var32(struct rr_reader *reader, size_t max);
/* A count of items, at most max. */
uint32_t rr_read_count16(struct rr_reader *reader, uint32_t max);
uint32_t rr_read_count32(struct rr_reader *reader, uint32_t max);
/* True when nothing failed and nothing is left: trailing bytes are an error. */
bool rr_reader_done(const struct rr_reader *reader) RR_MUST_USE;

void rr_write_u8(struct rr_buf *buf, uint8_t value);
void rr_write_u16(struct rr_buf *buf, uint16_t value);
void rr_write_u32(struct rr_buf *buf, uint32_t value);
void rr_write_u64(struct rr_buf *buf, uint64_t value);
void rr_write_var16(struct rr_buf *buf, struct rr_slice bytes);
void rr_write_var32(struct rr_buf *buf, struct rr_slice bytes);

static inline uint64_t rr_load_u64le(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) {
        v = v << 8 | p[i];
    }
    return v;
}

#endif
