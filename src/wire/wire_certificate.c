/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/wire_private.h"

#include "keccak/keccak.h"

#include <string.h>

#define CERTIFICATE_BYTES (1 + 4 + 32 + 32 + 8 + 32 + 8 + 64)
#define ENTRY_BYTES       (CERTIFICATE_BYTES + 32 + 8)

/* ---- one certificate
 * ------------------------------------------------------------------------------ */

void wire_write_certificate(struct rr_buf *out, const struct rr_certificate *certificate,
                            bool with_signature)
{
    rr_write_u8(out, WIRE_VERSION);
    rr_write_u32(out, certificate->chain_id);
    wire_write_key(out, &certificate->cacher);
    wire_write_key(out, &certificate->viewer);
    rr_write_u64(out, certificate->block_height);
    wire_write_hash(out, &certificate->block_hash);
    rr_write_u64(out, certificate->nonce);
    if (with_signature) {
        wire_write_signature(out, &certificate->signature);
    }
}

void wire_read_certificate(struct rr_reader *reader, struct rr_certificate *out)
{
    wire_read_version(reader);
    out->chain_id = rr_read_u32(reader);
    wire_read_key(reader, &out->cacher);
    wire_read_key(reader, &out->viewer);
    out->block_height = rr_read_u64(reader);
    wire_read_hash(reader, &out->block_hash);
    out->nonce = rr_read_u64(reader);
    wire_read_signature(reader, &out->signature);
}

void rr_certificate_encode(struct rr_buf *out, const struct rr_certificate *certificate)
{
    wire_write_certificate(out, certificate, true);
}

enum rr_err rr_certificate_decode(struct rr_certificate *out, struct rr_slice bytes,
                                  struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_certificate certificate;
    wire_read_certificate(&reader, &certificate);
    enum rr_err err = wire_done(&reader, "service certificate", fault);
    if (err == RR_OK) {
        *out = certificate;
    }
    return err;
}

void rr_certificate_digest(struct rr_hash32 *out, const struct rr_certificate *certificate)
{
    struct rr_buf bytes = {0};
    wire_write_certificate(&bytes, certificate, false);
    rr_hash(out, "rr.cert.v1", rr_buf_slice(&bytes));
    rr_buf_clear(&bytes);
}

void rr_certificate_sign(struct rr_certificate *certificate, const struct rr_seckey *viewer)
{
    struct rr_hash32 digest;
    rr_seckey_public(viewer, &certificate->viewer);
    rr_certificate_digest(&digest, certificate);
    rr_sign(&certificate->signature, viewer, &digest);
}

void rr_certificate_work_hash(struct rr_hash32 *out, const struct rr_certificate *certificate)
{
    static const char domain[] = "reelrig/sc";
    struct rr_buf bytes = {0};
    rr_buf_append(&bytes, domain, sizeof domain - 1);
    rr_write_u32(&bytes, certificate->chain_id);
    wire_write_key(&bytes, &certificate->cacher);
    wire_write_key(&bytes, &certificate->viewer);
    wire_write_hash(&bytes, &certificate->block_hash);
    rr_keccak256(out->bytes, bytes.ptr, bytes.len);
    rr_buf_clear(&bytes);
}

/* ---- many, as they are posted
 * ---------------------------------------------------------------------- */

void rr_certificates_encode(struct rr_buf *out, const struct rr_certificate *certificates,
                            uint32_t count)
{
    RR_CHECK(count <= RR_CERTIFICATES_POST_MAX);
    rr_write_u8(out, WIRE_VERSION);
    rr_write_u16(out, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++) {
        wire_write_certificate(out, &certificates[i], true);
    }
}

enum rr_err rr_certificates_decode(struct rr_certificate **out, uint32_t *count,
                                   struct rr_slice bytes, struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    wire_read_version(&reader);
    uint32_t n = rr_read_count16(&reader, RR_CERTIFICATES_POST_MAX);
    if (reader.failed || reader.len != (size_t)n * CERTIFICATE_BYTES) {
        wire_refuse(&reader);
        return wire_done(&reader, "list of certificates", fault);
    }
    struct rr_certificate *list = rr_alloc_array(n > 0 ? n : 1, sizeof *list);
    for (uint32_t i = 0; i < n; i++) {
        wire_read_certificate(&reader, &list[i]);
    }
    enum rr_err err = wire_done(&reader, "list of certificates", fault);
    if (err != RR_OK) {
        rr_free(list);
        return err;
    }
    *out = list;
    *count = n;
    return RR_OK;
}

/* ---- sets
 * ------------------------------------------------------------------------------------------- */

/* Order of a set: by viewer, then by block. */
static int compare(const struct rr_certificate *a, const struct rr_certificate *b)
{
    int order = memcmp(a->viewer.bytes, b->viewer.bytes, sizeof a->viewer.bytes);
    return order != 0 ? order
                      : (a->block_height > b->block_height) - (a->block_height < b->block_height);
}

void rr_certificate_set_encode(struct rr_buf *out, const struct rr_certificate_set *set)
{
    RR_CHECK(set->count <= RR_CERTIFICATE_SET_MAX);
    rr_write_u8(out, WIRE_VERSION);
    rr_write_u16(out, (uint16_t)set->count);
    for (uint32_t i = 0; i < set->count; i++) {
        wire_write_certificate(out, &set->entries[i].certificate, true);
        wire_write_hash(out, &set->entries[i].pool_id);
        rr_write_u64(out, set->entries[i].credit_ms);
    }
}

enum rr_err rr_certificate_set_decode(struct rr_certificate_set *out, struct rr_slice bytes,
                                      struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_certificate_set set = {0};
    wire_read_version(&reader);
    uint32_t count = rr_read_count16(&reader, RR_CERTIFICATE_SET_MAX);
    if (reader.failed || reader.len != (size_t)count * ENTRY_BYTES) {
        wire_refuse(&reader);
        return wire_done(&reader, "set of certificates", fault);
    }
    set.entries = count > 0 ? rr_alloc_array(count, sizeof *set.entries) : NULL;
    set.count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct rr_certificate_entry *entry = &set.entries[i];
        wire_read_certificate(&reader, &entry->certificate);
        wire_read_hash(&reader, &entry->pool_id);
        entry->credit_ms = rr_read_u64(&reader);
        if (i > 0 && compare(&set.entries[i - 1].certificate, &entry->certificate) >= 0) {
            wire_refuse(&reader);
        }
    }
    enum rr_err err = wire_done(&reader, "set of certificates", fault);
    if (err == RR_OK) {
        *out = set;
    } else {
        rr_certificate_set_clear(&set);
    }
    return err;
}

void rr_certificate_set_clear(struct rr_certificate_set *set)
{
    rr_free(set->entries);
    *set = (struct rr_certificate_set){0};
}

uint64_t rr_certificate_set_ms(const struct rr_certificate_set *set)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        uint64_t credit = set->entries[i].credit_ms;
        sum = credit > UINT64_MAX - sum ? UINT64_MAX : sum + credit;
    }
    return sum;
}

static void write_place(struct rr_buf *out, const struct rr_certificate_set *set, uint32_t index)
{
    static const struct rr_certificate none;
    const struct rr_certificate *certificate =
        index < set->count ? &set->entries[index].certificate : &none;
    wire_write_key(out, &certificate->viewer);
    rr_write_u64(out, certificate->block_height);
}

void rr_certificate_set_leaf(struct rr_hash32 *out, uint16_t index,
                             const struct rr_certificate_set *set)
{
    struct rr_buf bytes = {0};
    struct rr_hash32 digest;
    rr_certificate_set_encode(&bytes, set);
    rr_hash(&digest, "rr.certs.v1", rr_buf_slice(&bytes));
    bytes.len = 0;
    rr_write_u16(&bytes, index);
    write_place(&bytes, set, 0);
    write_place(&bytes, set, set->count > 0 ? set->count - 1 : 0);
    rr_write_u32(&bytes, set->count);
    rr_write_u64(&bytes, rr_certificate_set_ms(set));
    wire_write_hash(&bytes, &digest);
    rr_hash(out, "rr.certset.v1", rr_buf_slice(&bytes));
    rr_buf_clear(&bytes);
}

/* ---- the puzzle as a response header
 * --------------------------------------------------------------------- */

void rr_puzzle_offer_text(char text[static RR_PUZZLE_TEXT_BYTES],
                          const struct rr_puzzle_offer *offer)
{
    struct rr_buf out = {0};
    rr_buf_format(&out, "height=%llu, block=", (unsigned long long)offer->block_height);
    wire_write_hex(&out, offer->block_hash.bytes, sizeof offer->block_hash.bytes);
    rr_buf_format(&out, ", s=%u, d=%u", offer->s, offer->d);
    RR_CHECK(out.len < RR_PUZZLE_TEXT_BYTES);
    memcpy(text, out.ptr, out.len);
    text[out.len] = '\0';
    rr_buf_clear(&out);
}

enum rr_err rr_puzzle_offer_parse(struct rr_puzzle_offer *out, struct rr_slice text,
                                  struct rr_fault *fault)
{
    struct rr_puzzle_offer offer = {0};
    uint64_t s = 0, d = 0;
    bool fits = wire_take_word(&text, "height=") &&
                wire_take_number(&text, &offer.block_height, UINT64_MAX) &&
                wire_take_word(&text, ", block=") &&
                wire_take_hex(&text, offer.block_hash.bytes, sizeof offer.block_hash.bytes) &&
                wire_take_word(&text, ", s=") && wire_take_number(&text, &s, UINT32_MAX) &&
                wire_take_word(&text, ", d=") && wire_take_number(&text, &d, UINT32_MAX) &&
                text.len == 0;
    if (!fits) {
        return rr_fail(fault, RR_ERR_FORMAT,
                       "a puzzle that is not 'height=H, block=HEX, s=N, d=N'");
    }
    offer.s = (uint32_t)s;
    offer.d = (uint32_t)d;
    *out = offer;
    return RR_OK;
}
