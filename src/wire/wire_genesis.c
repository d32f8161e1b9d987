/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One table of fields serves the encoding, the decoder's limits and the TOML file. */
#include "wire/wire_private.h"

#include <string.h>

#define NAME_MAX_BYTES 32

enum kind {
    KIND_NAME,
    KIND_FLAG,
    KIND_U32,
    KIND_U64,
    KIND_COIN,
    KIND_SEED,
    KIND_U256,
    KIND_BINDING
};

struct field {
    const char *key; /* in the file; as the member is called */
    enum kind kind;
    size_t offset;
    uint64_t min, max; /* of KIND_U32 and KIND_U64 */
};

#define FIELD(kind, member, min, max)                                                              \
    {                                                                                              \
#member, kind, offsetof(struct rr_genesis, member), min, max                               \
    }

/* In the order of the encoding. Limits: what a later computation divides by is at least 1; products
 * of block counts and block times stay far inside 64 bits; Ethash sizes as the hash engine takes
 * them. */
static const struct field fields[] = {
    FIELD(KIND_NAME, name, 0, 0),
    FIELD(KIND_FLAG, test_addresses, 0, 0),
    FIELD(KIND_U64, time_ms, 0, INT64_MAX),
    FIELD(KIND_U32, block_ms, 100, 600000),
    FIELD(KIND_U32, cache_items, 1, 67106813),
    FIELD(KIND_U32, dataset_items, 1, INT32_MAX),
    FIELD(KIND_SEED, ethash_seed, 0, 0),
    FIELD(KIND_U256, difficulty, 0, 0),
    FIELD(KIND_U64, halflife_ms, 1, UINT64_C(31536000000)), /* a year */
    FIELD(KIND_COIN, base_reward, 0, 0),
    FIELD(KIND_U32, checkpoint_blocks, 1, 1u << 20),
    FIELD(KIND_U32, puzzle_blocks, 1, 1u << 16),
    FIELD(KIND_U32, certificate_hashes_per_s, 1, UINT32_MAX),
    FIELD(KIND_U32, reputation_num, 0, UINT32_MAX),
    FIELD(KIND_U32, reputation_den, 1, UINT32_MAX),
    FIELD(KIND_U32, window_blocks, 1, 1u << 24),
    FIELD(KIND_U32, certificates_per_block, 0, RR_HEADER_SETS_MAX *RR_CERTIFICATE_SET_MAX),
    FIELD(KIND_BINDING, certificate_binding, 0, 0),
    FIELD(KIND_U64, credit_units_per_ms, 1, RR_COIN_MAX_UNITS),
    FIELD(KIND_COIN, fee_base, 0, 0),
    FIELD(KIND_U64, fee_units_per_byte, 0, RR_COIN_MAX_UNITS),
    FIELD(KIND_U32, pool_blocks_min, 1, UINT32_MAX),
    FIELD(KIND_U32, pool_blocks_max, 1, UINT32_MAX),
    FIELD(KIND_U32, block_bytes_max, RR_TX_BYTES_MAX, 16u << 20),
};

static const void *member_of(const struct rr_genesis *genesis, const struct field *field)
{
    return (const char *)genesis + field->offset;
}

static uint64_t number_of(const struct rr_genesis *genesis, const struct field *field)
{
    uint32_t narrow;
    uint64_t wide;
    if (field->kind == KIND_U32) {
        memcpy(&narrow, member_of(genesis, field), sizeof narrow);
        return narrow;
    }
    memcpy(&wide, member_of(genesis, field), sizeof wide);
    return wide;
}

static void set_number(struct rr_genesis *genesis, const struct field *field, uint64_t value)
{
    uint32_t narrow = (uint32_t)value;
    char *member = (char *)genesis + field->offset;
    if (field->kind == KIND_U32) {
        memcpy(member, &narrow, sizeof narrow);
    } else {
        memcpy(member, &value, sizeof value);
    }
}

/* ---- bytes
 * ------------------------------------------------------------------------------------------- */

static void write_field(struct rr_buf *out, const struct rr_genesis *genesis,
                        const struct field *field)
{
    struct rr_coin coin;
    switch (field->kind) {
    case KIND_NAME:
        wire_write_text(out, genesis->name, NAME_MAX_BYTES);
        return;
    case KIND_FLAG:
        rr_write_u8(out, genesis->test_addresses ? 1 : 0);
        return;
    case KIND_U32:
        rr_write_u32(out, (uint32_t)number_of(genesis, field));
        return;
    case KIND_U64:
        rr_write_u64(out, number_of(genesis, field));
        return;
    case KIND_COIN:
        memcpy(&coin, member_of(genesis, field), sizeof coin);
        wire_write_coin(out, coin);
        return;
    case KIND_SEED:
        rr_buf_append(out, genesis->ethash_seed, sizeof genesis->ethash_seed);
        return;
    case KIND_U256:
        wire_write_u256(out, genesis->difficulty);
        return;
    case KIND_BINDING:
        rr_write_u8(out, (uint8_t)genesis->certificate_binding);
        return;
    }
}

void rr_genesis_encode(struct rr_buf *out, const struct rr_genesis *genesis)
{
    rr_write_u8(out, WIRE_VERSION);
    for (size_t i = 0; i < RR_COUNT(fields); i++) {
        write_field(out, genesis, &fields[i]);
    }
}

static uint8_t read_flag(struct rr_reader *reader)
{
    uint8_t value = rr_read_u8(reader);
    if (value > 1) {
        wire_refuse(reader);
    }
    return value;
}

static void read_number(struct rr_reader *reader, struct rr_genesis *out, const struct field *field)
{
    uint64_t value = field->kind == KIND_U32 ? rr_read_u32(reader) : rr_read_u64(reader);
    if (value < field->min || value > field->max) {
        wire_refuse(reader);
        return;
    }
    set_number(out, field, value);
}

static void read_field(struct rr_reader *reader, struct rr_genesis *out, const struct field *field)
{
    struct rr_coin coin;
    switch (field->kind) {
    case KIND_NAME:
        wire_read_text(reader, out->name, NAME_MAX_BYTES, wire_name_valid);
        return;
    case KIND_FLAG:
        out->test_addresses = read_flag(reader) == 1;
        return;
    case KIND_U32:
    case KIND_U64:
        read_number(reader, out, field);
        return;
    case KIND_COIN:
        wire_read_coin(reader, &coin);
        memcpy((char *)out + field->offset, &coin, sizeof coin);
        return;
    case KIND_SEED:
        rr_read_bytes(reader, out->ethash_seed, sizeof out->ethash_seed);
        return;
    case KIND_U256:
        wire_read_u256(reader, &out->difficulty);
        return;
    case KIND_BINDING:
        out->certificate_binding = read_flag(reader) == 1 ? RR_BINDING_POOL : RR_BINDING_NONE;
        return;
    }
}

/* What binds fields to each other; the sentence for the first that does not hold, else NULL. */
static const char *conflict(const struct rr_genesis *genesis)
{
    if (rr_u256_is_zero(genesis->difficulty) ||
        !rr_u256_is_zero(rr_u256_shr(genesis->difficulty, 224))) {
        return "difficulty is 1 to 2^224 - 1";
    }
    if (genesis->pool_blocks_min > genesis->pool_blocks_max) {
        return "pool_blocks_min is at most pool_blocks_max";
    }
    return NULL;
}

enum rr_err rr_genesis_decode(struct rr_genesis *out, struct rr_slice bytes, struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_genesis genesis = {0};
    wire_read_version(&reader);
    for (size_t i = 0; i < RR_COUNT(fields); i++) {
        read_field(&reader, &genesis, &fields[i]);
    }
    if (!reader.failed && conflict(&genesis) != NULL) {
        wire_refuse(&reader);
    }
    enum rr_err err = wire_done(&reader, "genesis", fault);
    if (err == RR_OK) {
        *out = genesis;
    }
    return err;
}

/* ---- file
 * ---------------------------------------------------------------------------------------------- */

struct source {
    const struct rr_config *config;
    const char *name; /* of the file, for errors */
};

static enum rr_err missing(const struct source *source, const char *key, struct rr_fault *fault)
{
    return rr_fail(fault, RR_ERR_FORMAT, "%s: no \"%s\"; a genesis states every parameter",
                   source->name, key);
}

static enum rr_err parse_number(struct rr_genesis *out, const struct source *source,
                                const struct field *field, struct rr_fault *fault)
{
    uint64_t value = UINT64_MAX; /* above every limit: still there when the key is absent */
    enum rr_err err =
        rr_config_u64(source->config, field->key, &value, field->min, field->max, fault);
    if (err != RR_OK) {
        return err;
    }
    if (value > field->max) {
        return missing(source, field->key, fault);
    }
    set_number(out, field, value);
    return RR_OK;
}

static enum rr_err parse_difficulty(struct rr_genesis *out, const struct source *source,
                                    const struct field *field, struct rr_fault *fault)
{
    uint64_t value = 0;
    enum rr_err err = rr_config_u64(source->config, field->key, &value, 1, UINT64_MAX, fault);
    if (err == RR_OK && value == 0) {
        err = missing(source, field->key, fault);
    }
    out->difficulty = rr_u256_of(value);
    return err;
}

static enum rr_err parse_flag(struct rr_genesis *out, const struct source *source,
                              const struct field *field, struct rr_fault *fault)
{
    bool from_false = false, from_true = true; /* equal after reading, unless the key is absent */
    enum rr_err err = rr_config_bool(source->config, field->key, &from_false, fault);
    if (err == RR_OK) {
        err = rr_config_bool(source->config, field->key, &from_true, fault);
    }
    if (err == RR_OK && from_false != from_true) {
        err = missing(source, field->key, fault);
    }
    out->test_addresses = from_true;
    return err;
}

static bool take_text(struct rr_genesis *out, const struct field *field, const char *text)
{
    struct rr_coin coin;
    size_t len = strlen(text);
    struct rr_slice hex = rr_slice_of(text, len);
    switch (field->kind) {
    case KIND_NAME:
        if (len > NAME_MAX_BYTES || !wire_name_valid(text, len)) {
            return false;
        }
        memcpy(out->name, text, len + 1);
        return true;
    case KIND_COIN:
        if (!rr_coin_parse(&coin, text)) {
            return false;
        }
        memcpy((char *)out + field->offset, &coin, sizeof coin);
        return true;
    case KIND_SEED:
        return wire_take_hex(&hex, out->ethash_seed, sizeof out->ethash_seed) && hex.len == 0;
    case KIND_BINDING:
        out->certificate_binding = strcmp(text, "pool") == 0 ? RR_BINDING_POOL : RR_BINDING_NONE;
        return strcmp(text, "pool") == 0 || strcmp(text, "none") == 0;
    case KIND_FLAG:
    case KIND_U32:
    case KIND_U64:
    case KIND_U256:
        break;
    }
    RR_BUG("a field that is no text");
}

static enum rr_err parse_text(struct rr_genesis *out, const struct source *source,
                              const struct field *field, struct rr_fault *fault)
{
    const char *text = NULL;
    enum rr_err err = rr_config_string(source->config, field->key, &text, fault);
    if (err != RR_OK) {
        return err;
    }
    if (text == NULL) {
        return missing(source, field->key, fault);
    }
    if (!take_text(out, field, text)) {
        const char *expected = field->kind == KIND_NAME   ? "1 to 32 of a-z, 0-9, -"
                               : field->kind == KIND_COIN ? "coins as \"50\" or \"0.0001\""
                               : field->kind == KIND_SEED ? "64 lower-case hex digits"
                                                          : "\"pool\" or \"none\"";
        return rr_fail(fault, RR_ERR_FORMAT, "%s: \"%s\" is \"%.80s\", expected %s", source->name,
                       field->key, text, expected);
    }
    return RR_OK;
}

static enum rr_err parse_field(struct rr_genesis *out, const struct source *source,
                               const struct field *field, struct rr_fault *fault)
{
    switch (field->kind) {
    case KIND_U32:
    case KIND_U64:
        return parse_number(out, source, field, fault);
    case KIND_FLAG:
        return parse_flag(out, source, field, fault);
    case KIND_U256:
        return parse_difficulty(out, source, field, fault);
    case KIND_NAME:
    case KIND_COIN:
    case KIND_SEED:
    case KIND_BINDING:
        return parse_text(out, source, field, fault);
    }
    RR_BUG("a field of no kind");
}

enum rr_err rr_genesis_parse(struct rr_genesis *out, struct rr_slice toml, const char *name,
                             struct rr_fault *fault)
{
    struct rr_config *config = NULL;
    struct rr_genesis genesis = {0};
    enum rr_err err = rr_config_parse(&config, toml, name, fault);
    if (err != RR_OK) {
        return err;
    }
    struct source source = {.config = config, .name = name};
    for (size_t i = 0; i < RR_COUNT(fields) && err == RR_OK; i++) {
        err = parse_field(&genesis, &source, &fields[i], fault);
    }
    if (err == RR_OK) {
        err = rr_config_check_unknown(config, fault);
    }
    if (err == RR_OK && conflict(&genesis) != NULL) {
        err = rr_fail(fault, RR_ERR_FORMAT, "%s: %s", name, conflict(&genesis));
    }
    if (err == RR_OK) {
        *out = genesis;
    }
    rr_config_free(config);
    return err;
}

/* ---- presets, hash
 * ---------------------------------------------------------------------------------------- */

extern const char wire_genesis_dev[], wire_genesis_test[],
    wire_genesis_main[]; /* made from genesis/ at build */

const char *rr_genesis_preset(const char *name)
{
    static const struct {
        const char *name, *text;
    } presets[] = {
        {"dev", wire_genesis_dev}, {"test", wire_genesis_test}, {"main", wire_genesis_main}};
    for (size_t i = 0; i < RR_COUNT(presets); i++) {
        if (strcmp(name, presets[i].name) == 0) {
            return presets[i].text;
        }
    }
    return NULL;
}

void rr_genesis_hash(struct rr_hash32 *out, const struct rr_genesis *genesis)
{
    struct rr_buf bytes = {0};
    rr_genesis_encode(&bytes, genesis);
    rr_hash(out, "rr.genesis", rr_buf_slice(&bytes));
    rr_buf_clear(&bytes);
}

uint32_t rr_genesis_chain_id(const struct rr_genesis *genesis)
{
    struct rr_hash32 hash;
    rr_genesis_hash(&hash, genesis);
    return (uint32_t)hash.bytes[0] | (uint32_t)hash.bytes[1] << 8 | (uint32_t)hash.bytes[2] << 16 |
           (uint32_t)hash.bytes[3] << 24;
}
