/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/wire_private.h"

#include <string.h>

void wire_refuse(struct rr_reader *reader)
{
    reader->failed = true;
}

void wire_write_hash(struct rr_buf *out, const struct rr_hash32 *hash)
{
    rr_buf_append(out, hash->bytes, sizeof hash->bytes);
}

void wire_read_hash(struct rr_reader *reader, struct rr_hash32 *out)
{
    rr_read_bytes(reader, out->bytes, sizeof out->bytes);
}

void wire_write_key(struct rr_buf *out, const struct rr_pubkey *key)
{
    rr_buf_append(out, key->bytes, sizeof key->bytes);
}

void wire_read_key(struct rr_reader *reader, struct rr_pubkey *out)
{
    rr_read_bytes(reader, out->bytes, sizeof out->bytes);
}

void wire_write_signature(struct rr_buf *out, const struct rr_signature *signature)
{
    rr_buf_append(out, signature->bytes, sizeof signature->bytes);
}

void wire_read_signature(struct rr_reader *reader, struct rr_signature *out)
{
    rr_read_bytes(reader, out->bytes, sizeof out->bytes);
}

void wire_write_coin(struct rr_buf *out, struct rr_coin coin)
{
    rr_write_u64(out, rr_coin_units(coin));
}

void wire_read_coin(struct rr_reader *reader, struct rr_coin *out)
{
    if (!rr_coin_of_units(out, rr_read_u64(reader))) {
        *out = RR_COIN_ZERO;
        wire_refuse(reader);
    }
}

void wire_write_u256(struct rr_buf *out, struct rr_u256 value)
{
    uint8_t bytes[32];
    rr_u256_to_be(bytes, value);
    rr_buf_append(out, bytes, sizeof bytes);
}

void wire_read_u256(struct rr_reader *reader, struct rr_u256 *out)
{
    uint8_t bytes[32];
    rr_read_bytes(reader, bytes, sizeof bytes);
    *out = rr_u256_from_be(bytes);
}

void wire_write_text(struct rr_buf *out, const char *text, size_t max)
{
    size_t len = strlen(text);
    RR_CHECK(len <= max && max <= UINT8_MAX);
    rr_write_u8(out, (uint8_t)len);
    rr_buf_append(out, text, len);
}

void wire_read_text(struct rr_reader *reader, char *out, size_t max,
                    bool (*valid)(const char *text, size_t len))
{
    size_t len = rr_read_u8(reader);
    memset(out, 0, max + 1);
    if (len > max) {
        wire_refuse(reader);
        return;
    }
    rr_read_bytes(reader, out, len);
    if (!reader->failed && !valid(out, len)) {
        memset(out, 0, max + 1);
        wire_refuse(reader);
    }
}

bool wire_name_valid(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) {
            return false;
        }
    }
    return len > 0;
}

bool wire_codecs_valid(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != ',' && c != '_' && c != '-') {
            return false;
        }
    }
    return len > 0;
}

bool wire_language_valid(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool letter = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z');
        bool digit = text[i] >= '0' && text[i] <= '9';
        if (!letter && !digit && (text[i] != '-' || i == 0 || i + 1 == len)) {
            return false;
        }
    }
    return true;
}

bool wire_title_valid(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = rr_utf8_step((const uint8_t *)text + i, len - i);
        if (n == 0) {
            return false;
        }
        i += n;
    }
    return true;
}

void wire_write_place(struct rr_buf *out, const struct rr_merkle_proof *place)
{
    RR_CHECK(place->depth <= RR_MERKLE_MAX_DEPTH);
    rr_write_u32(out, place->index);
    rr_write_u32(out, place->count);
    rr_write_u8(out, (uint8_t)place->depth);
    for (uint32_t i = 0; i < place->depth; i++) {
        wire_write_hash(out, &place->siblings[i]);
    }
}

void wire_read_place(struct rr_reader *reader, struct rr_merkle_proof *out)
{
    *out = (struct rr_merkle_proof){0};
    out->index = rr_read_u32(reader);
    out->count = rr_read_u32(reader);
    out->depth = rr_read_u8(reader);
    if (out->depth > RR_MERKLE_MAX_DEPTH || out->index >= out->count) {
        out->depth = 0;
        wire_refuse(reader);
        return;
    }
    for (uint32_t i = 0; i < out->depth; i++) {
        wire_read_hash(reader, &out->siblings[i]);
    }
}

void wire_read_version(struct rr_reader *reader)
{
    if (rr_read_u8(reader) != WIRE_VERSION) {
        wire_refuse(reader);
    }
}

enum rr_err wire_done(const struct rr_reader *reader, const char *format, struct rr_fault *fault)
{
    return rr_reader_done(reader)
               ? RR_OK
               : rr_fail(fault, RR_ERR_FORMAT, "bytes that are not a %s of version %d", format,
                         WIRE_VERSION);
}
