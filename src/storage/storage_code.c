/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage/storage_private.h"

#include "blake3/blake3.h"

#include <isa-l/erasure_code.h>
#include <string.h>

#define CHUNKS_PER_STRIP (RR_STRIP_BYTES / RR_BLAKE3_CHUNK_BYTES)

/* ---- Reed-Solomon [VC 7.1] ---------------------------------------------------------------------
 */

static struct storage_code *make_code(uint8_t k, uint8_t m)
{
    struct storage_code *code = rr_alloc(sizeof *code);
    code->k = k;
    code->m = m;
    code->matrix = rr_alloc((size_t)(k + m) * k);
    gf_gen_cauchy1_matrix(code->matrix, k + m, k);
    if (m > 0) {
        code->tables = rr_alloc((size_t)32 * k * m);
        ec_init_tables(k, m, code->matrix + (size_t)k * k, code->tables);
    }
    return code;
}

const struct storage_code *storage_code_get(uint8_t k, uint8_t m)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct storage_code *codes[256][RR_PARITY_MAX + 1];
    RR_CHECK(k >= 1 && m <= RR_PARITY_MAX && k + m <= RR_SHARDS_MAX);
    pthread_mutex_lock(&lock);
    if (codes[k][m] == NULL) {
        codes[k][m] = make_code(k, m);
    }
    const struct storage_code *code = codes[k][m];
    pthread_mutex_unlock(&lock);
    return code;
}

void storage_code_encode(const struct storage_code *code, uint8_t *const data[],
                         uint8_t *const parity[], size_t bytes)
{
    uint8_t *in[RR_SHARDS_MAX], *out[RR_PARITY_MAX];
    if (code->m > 0) {
        memcpy(in, data, code->k * sizeof *in);
        memcpy(out, parity, code->m * sizeof *out);
        ec_encode_data((int)bytes, code->k, code->m, code->tables, in, out);
    }
}

/* inverse: of the k x k rows named by from. */
static bool invert(const struct storage_code *code, uint8_t *inverse, const uint8_t from[])
{
    size_t k = code->k;
    uint8_t *rows = rr_alloc(k * k);
    for (size_t i = 0; i < k; i++) {
        memcpy(rows + i * k, code->matrix + from[i] * k, k);
    }
    bool good = gf_invert_matrix(rows, inverse, (int)k) == 0;
    rr_free(rows);
    return good;
}

bool storage_code_decoder(const struct storage_code *code, uint8_t *tables, const uint8_t from[],
                          uint8_t lost)
{
    size_t k = code->k;
    uint8_t *inverse = rr_alloc(k * k), row[RR_SHARDS_MAX] = {0};
    bool good = invert(code, inverse, from);
    for (size_t i = 0; good && i < k; i++) {
        /* Row `lost` of the matrix times the inverse; for a data shard that is a row of the
         * inverse. */
        for (size_t j = 0; j < k; j++) {
            row[i] ^= gf_mul(code->matrix[lost * k + j], inverse[j * k + i]);
        }
    }
    if (good) {
        ec_init_tables((int)k, 1, row, tables);
    }
    rr_free(inverse);
    return good;
}

void storage_code_decode(const struct storage_code *code, const uint8_t *tables,
                         uint8_t *const from[], uint8_t *out, size_t bytes)
{
    uint8_t *in[RR_SHARDS_MAX], *outs[1] = {out};
    union {
        const uint8_t *given;
        uint8_t *passed;
    } view = {.given = tables}; /* ISA-L only reads them */
    memcpy(in, from, code->k * sizeof *in);
    ec_encode_data((int)bytes, code->k, 1, view.passed, in, outs);
}

/* ---- nodes of the shard's tree
 * ---------------------------------------------------------------------- */

void storage_strip_node(struct rr_hash32 *out, const uint8_t *strip, uint64_t index)
{
    uint8_t nodes[CHUNKS_PER_STRIP][32];
    rr_blake3_chunk_cvs(nodes[0], strip, RR_STRIP_BYTES, index * CHUNKS_PER_STRIP, NULL);
    for (size_t count = CHUNKS_PER_STRIP; count > 1; count /= 2) {
        rr_blake3_parent_cvs(nodes[0], nodes[0], count / 2, NULL);
    }
    memcpy(out->bytes, nodes[0], 32);
}

static uint64_t left_size(uint64_t count)
{
    uint64_t left = 1;
    while (left * 2 < count) {
        left *= 2;
    }
    return left;
}

static void subtree(uint8_t out[32], const struct rr_hash32 *nodes, uint64_t count)
{
    if (count == 1) {
        memcpy(out, nodes[0].bytes, 32);
        return;
    }
    uint8_t left[32], right[32];
    uint64_t n = left_size(count);
    subtree(left, nodes, n);
    subtree(right, nodes + n, count - n);
    rr_blake3_parent_cv(out, left, right, NULL);
}

void storage_shard_root(struct rr_hash32 *out, const struct rr_hash32 *nodes, uint64_t count,
                        const uint8_t *only_strip)
{
    if (count == 1) {
        rr_blake3(out->bytes, only_strip, RR_STRIP_BYTES);
        return;
    }
    uint8_t left[32], right[32];
    uint64_t n = left_size(count);
    subtree(left, nodes, n);
    subtree(right, nodes + n, count - n);
    rr_blake3_parent_root(out->bytes, left, right, NULL);
}

/* ---- for benches
 * ------------------------------------------------------------------------------------------ */

static void point(uint8_t *to[], const uint8_t *const from[], size_t count, size_t at)
{
    union {
        const uint8_t *given;
        uint8_t *passed;
    } view; /* ISA-L only reads data */
    for (size_t i = 0; i < count; i++) {
        view.given = from[i] + at;
        to[i] = view.passed;
    }
}

void rr_store_encode_raw(uint8_t k, uint8_t m, const uint8_t *const data[], uint8_t *const parity[],
                         size_t bytes)
{
    uint8_t *in[RR_SHARDS_MAX];
    RR_CHECK(bytes % 32 == 0 && bytes <= INT32_MAX);
    point(in, data, k, 0);
    storage_code_encode(storage_code_get(k, m), in, parity, bytes);
}

void rr_store_encode_hashed(uint8_t k, uint8_t m, const uint8_t *const data[],
                            uint8_t *const parity[], size_t bytes, struct rr_hash32 roots[])
{
    const struct storage_code *code = storage_code_get(k, m);
    uint64_t strips = bytes / RR_STRIP_BYTES;
    size_t shards = (size_t)k + m;
    RR_CHECK(bytes > 0 && bytes % RR_STRIP_BYTES == 0);
    struct rr_hash32 *nodes = rr_alloc_array(shards * strips, sizeof *nodes);
    for (uint64_t s = 0; s < strips; s++) {
        uint8_t *in[RR_SHARDS_MAX], *out[RR_PARITY_MAX];
        size_t at = s * RR_STRIP_BYTES;
        point(in, data, k, at);
        for (size_t j = 0; j < m; j++) {
            out[j] = parity[j] + at;
        }
        storage_code_encode(code, in, out, RR_STRIP_BYTES);
        for (size_t j = 0; j < shards; j++) {
            storage_strip_node(&nodes[j * strips + s], j < k ? in[j] : out[j - k], s);
        }
    }
    for (size_t j = 0; j < shards; j++) {
        storage_shard_root(&roots[j], nodes + j * strips, strips, j < k ? data[j] : parity[j - k]);
    }
    rr_free(nodes);
}
