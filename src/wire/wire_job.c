/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/wire_private.h"

#define JOB_VERSION 3 /* 1 had neither rates nor tone_map, 2 no class */
#define GOP_MS_MIN  100u
#define GOP_MS_MAX  60000u
#define LEAF_BYTES  (2 + 4 + 4 + 4 + 32 + 32 + 8)

void rr_job_spec_encode(struct rr_buf *out, const struct rr_job_spec *spec)
{
    RR_CHECK(spec->rung_count <= RR_RUNGS_MAX);
    rr_write_u8(out, JOB_VERSION);
    rr_write_u32(out, spec->chain_id);
    wire_write_hash(out, &spec->source);
    wire_write_key(out, &spec->owner);
    rr_write_u64(out, spec->created_ms);
    wire_write_text(out, spec->profile, RR_NAME_MAX);
    rr_write_u16(out, spec->crf);
    rr_write_u32(out, spec->gop_ms);
    rr_write_u32(out, spec->audio_bps);
    rr_write_u8(out, spec->rung_count);
    for (uint8_t i = 0; i < spec->rung_count; i++) {
        rr_write_u16(out, spec->rungs[i]);
        rr_write_u16(out, spec->rates[i].crf);
        rr_write_u32(out, spec->rates[i].kbps);
        rr_write_u32(out, spec->rates[i].max_kbps);
    }
    rr_write_u8(out, spec->tone_map);
    rr_write_u16(out, spec->challenges);
    rr_write_u8(out, (uint8_t)spec->exactness);
    wire_write_text(out, spec->maker, RR_NAME_MAX);
}

static bool maker_valid(const char *text, size_t len)
{
    return len == 0 || wire_name_valid(text, len);
}

static void read_class(struct rr_reader *reader, struct rr_job_spec *out)
{
    uint8_t exactness = rr_read_u8(reader);
    wire_read_text(reader, out->maker, RR_NAME_MAX, maker_valid);
    if (exactness > RR_TOLERANT_DEVICE || (exactness == RR_EXACT) != (out->maker[0] == 0)) {
        wire_refuse(reader);
        exactness = RR_EXACT;
    }
    out->exactness = (enum rr_exactness)exactness;
}

static uint32_t read_kbps(struct rr_reader *reader)
{
    uint32_t kbps = rr_read_u32(reader);
    if (kbps > RR_KBPS_MAX && kbps != RR_KBPS_AUTO) {
        wire_refuse(reader);
    }
    return kbps;
}

enum rr_err rr_job_spec_decode(struct rr_job_spec *out, struct rr_slice bytes,
                               struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_job_spec spec = {0};
    if (rr_read_u8(&reader) != JOB_VERSION) {
        wire_refuse(&reader);
    }
    spec.chain_id = rr_read_u32(&reader);
    wire_read_hash(&reader, &spec.source);
    wire_read_key(&reader, &spec.owner);
    spec.created_ms = rr_read_u64(&reader);
    wire_read_text(&reader, spec.profile, RR_NAME_MAX, wire_name_valid);
    spec.crf = rr_read_u16(&reader);
    spec.gop_ms = rr_read_u32(&reader);
    spec.audio_bps = rr_read_u32(&reader);
    spec.rung_count = rr_read_u8(&reader);
    if (spec.rung_count > RR_RUNGS_MAX || spec.gop_ms < GOP_MS_MIN || spec.gop_ms > GOP_MS_MAX) {
        spec.rung_count = 0;
        wire_refuse(&reader);
    }
    for (uint8_t i = 0; i < spec.rung_count; i++) {
        spec.rungs[i] = rr_read_u16(&reader);
        spec.rates[i].crf = rr_read_u16(&reader);
        spec.rates[i].kbps = read_kbps(&reader);
        spec.rates[i].max_kbps = read_kbps(&reader);
    }
    spec.tone_map = rr_read_u8(&reader);
    if (spec.tone_map > 1) {
        wire_refuse(&reader);
    }
    spec.challenges = rr_read_u16(&reader);
    read_class(&reader, &spec);
    enum rr_err err = wire_done(&reader, "job", fault);
    if (err == RR_OK) {
        *out = spec;
    }
    return err;
}

void rr_job_id(struct rr_hash32 *out, const struct rr_job_spec *spec)
{
    struct rr_buf bytes = {0};
    rr_job_spec_encode(&bytes, spec);
    rr_hash(out, "rr.job.v1", rr_buf_slice(&bytes));
    rr_buf_clear(&bytes);
}

/* ---- leaves of the proof
 * ----------------------------------------------------------------------------- */

void rr_pot_leaf_hash(struct rr_hash32 *out, const struct rr_hash32 *job_id,
                      const struct rr_pot_leaf *leaf)
{
    struct rr_buf bytes = {0};
    wire_write_hash(&bytes, job_id);
    rr_write_u16(&bytes, leaf->rendition);
    rr_write_u32(&bytes, leaf->gop);
    wire_write_hash(&bytes, &leaf->source_digest);
    wire_write_hash(&bytes, &leaf->output_digest);
    rr_write_u64(&bytes, leaf->output_bytes);
    rr_hash(out, "rr.pot.leaf", rr_buf_slice(&bytes));
    rr_buf_clear(&bytes);
}

static void write_leaf(struct rr_buf *out, const struct rr_pot_leaf *leaf)
{
    rr_write_u16(out, leaf->rendition);
    rr_write_u32(out, leaf->gop);
    rr_write_u32(out, leaf->source_first);
    rr_write_u32(out, leaf->source_last);
    wire_write_hash(out, &leaf->source_digest);
    wire_write_hash(out, &leaf->output_digest);
    rr_write_u64(out, leaf->output_bytes);
}

static void read_leaf(struct rr_reader *reader, struct rr_pot_leaf *out)
{
    out->rendition = rr_read_u16(reader);
    out->gop = rr_read_u32(reader);
    out->source_first = rr_read_u32(reader);
    out->source_last = rr_read_u32(reader);
    wire_read_hash(reader, &out->source_digest);
    wire_read_hash(reader, &out->output_digest);
    out->output_bytes = rr_read_u64(reader);
    if (out->source_first > out->source_last) {
        wire_refuse(reader);
    }
}

void rr_pot_answer_encode(struct rr_buf *out, const struct rr_pot_answer *answer)
{
    rr_write_u8(out, WIRE_VERSION);
    wire_write_hash(out, &answer->contract_id);
    wire_write_hash(out, &answer->job_id);
    write_leaf(out, &answer->leaf);
    wire_write_place(out, &answer->place);
}

enum rr_err rr_pot_answer_decode(struct rr_pot_answer *out, struct rr_slice bytes,
                                 struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_pot_answer answer;
    wire_read_version(&reader);
    wire_read_hash(&reader, &answer.contract_id);
    wire_read_hash(&reader, &answer.job_id);
    read_leaf(&reader, &answer.leaf);
    wire_read_place(&reader, &answer.place);
    enum rr_err err = wire_done(&reader, "answer to a challenge", fault);
    if (err == RR_OK) {
        *out = answer;
    }
    return err;
}

void rr_pot_leaves_encode(struct rr_buf *out, const struct rr_hash32 *job_id,
                          const struct rr_pot_leaf *leaves, uint32_t count)
{
    RR_CHECK(count <= RR_LEAVES_MAX);
    rr_write_u8(out, WIRE_VERSION);
    wire_write_hash(out, job_id);
    rr_write_u32(out, count);
    for (uint32_t i = 0; i < count; i++) {
        write_leaf(out, &leaves[i]);
    }
}

enum rr_err rr_pot_leaves_decode(struct rr_hash32 *job_id, struct rr_pot_leaf **leaves,
                                 uint32_t *count, struct rr_slice bytes, struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_hash32 id;
    wire_read_version(&reader);
    wire_read_hash(&reader, &id);
    uint32_t n = rr_read_count32(&reader, RR_LEAVES_MAX);
    if (reader.failed || n > reader.len / LEAF_BYTES) {
        wire_refuse(&reader);
        return wire_done(&reader, "list of leaves", fault);
    }
    struct rr_pot_leaf *list = rr_alloc_array(n > 0 ? n : 1, sizeof *list);
    for (uint32_t i = 0; i < n && !reader.failed; i++) {
        read_leaf(&reader, &list[i]);
    }
    enum rr_err err = wire_done(&reader, "list of leaves", fault);
    if (err != RR_OK) {
        rr_free(list);
        return err;
    }
    *job_id = id;
    *leaves = list;
    *count = n;
    return RR_OK;
}
