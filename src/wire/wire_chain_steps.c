/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Contract chains: form, and what makes a graph of steps one that can be run. */
#include "wire/wire_private.h"
#include <string.h>

#define GOP_MS_MIN 100u
#define GOP_MS_MAX 60000u

static const struct {
    const char *name;
    unsigned takes; /* bit of each type */
    bool video, audio;
} kinds[] = {
    [RR_WORK_DEMUX] = {"demux", 0, true, true},
    [RR_WORK_DECODE_VIDEO] = {"decode_video", 1u << RR_WORK_VIDEO_PACKETS, true, false},
    [RR_WORK_DECODE_AUDIO] = {"decode_audio", 1u << RR_WORK_AUDIO_PACKETS, false, true},
    [RR_WORK_ENCODE_VIDEO] = {"encode_video", 1u << RR_WORK_PICTURES, true, false},
    [RR_WORK_ENCODE_AUDIO] = {"encode_audio", 1u << RR_WORK_SAMPLES, false, true},
    [RR_WORK_MUX] = {"mux", 1u << RR_WORK_VIDEO_STREAM | 1u << RR_WORK_AUDIO_STREAM, false, false},
};

const char *rr_work_kind_text(enum rr_work_kind kind)
{
    return kinds[kind].name;
}

bool rr_work_kind_parse(enum rr_work_kind *out, const char *text)
{
    for (unsigned i = RR_WORK_DEMUX; i <= RR_WORK_MUX; i++) {
        if (strcmp(kinds[i].name, text) == 0) {
            *out = (enum rr_work_kind)i;
            return true;
        }
    }
    return false;
}

enum rr_work_type rr_work_type_of(enum rr_work_kind kind, bool audio)
{
    switch (kind) {
    case RR_WORK_DEMUX:
        return audio ? RR_WORK_AUDIO_PACKETS : RR_WORK_VIDEO_PACKETS;
    case RR_WORK_DECODE_VIDEO:
        return RR_WORK_PICTURES;
    case RR_WORK_DECODE_AUDIO:
        return RR_WORK_SAMPLES;
    case RR_WORK_ENCODE_VIDEO:
        return RR_WORK_VIDEO_STREAM;
    case RR_WORK_ENCODE_AUDIO:
    case RR_WORK_MUX:
        break;
    }
    return RR_WORK_AUDIO_STREAM;
}

static bool gives(enum rr_work_kind kind, enum rr_work_type type)
{
    return (kinds[kind].video && rr_work_type_of(kind, false) == type) ||
           (kinds[kind].audio && rr_work_type_of(kind, true) == type);
}

/* ---- the graph
 * ------------------------------------------------------------------------------------------- */

static enum rr_err check_inputs(const struct rr_work_chain *chain, uint8_t index, uint32_t *used,
                                struct rr_fault *fault)
{
    const struct rr_work_step *step = &chain->steps[index];
    uint32_t seen = 0;
    bool one = step->kind != RR_WORK_MUX && step->kind != RR_WORK_DEMUX;
    if (step->input_count > RR_WORK_INPUTS_MAX ||
        (step->kind == RR_WORK_DEMUX ? step->input_count != 0 : step->input_count == 0) ||
        (one && step->input_count != 1)) {
        return rr_fail(fault, RR_ERR_FORMAT, "step %u (%s) of the chain has %u inputs", index,
                       kinds[step->kind].name, step->input_count);
    }
    for (uint8_t i = 0; i < step->input_count; i++) {
        const struct rr_work_input *input = &step->inputs[i];
        if (input->step >= index) {
            return rr_fail(fault, RR_ERR_FORMAT,
                           "step %u of the chain takes from step %u; only earlier ones may be "
                           "named",
                           index, input->step);
        }
        enum rr_work_kind from = chain->steps[input->step].kind;
        if (!gives(from, input->type) || (kinds[step->kind].takes & 1u << input->type) == 0 ||
            (seen & 1u << input->step) != 0) {
            return rr_fail(fault, RR_ERR_FORMAT,
                           "input %u of step %u (%s) does not fit what step %u (%s) gives", i,
                           index, kinds[step->kind].name, input->step, kinds[from].name);
        }
        seen |= 1u << input->step;
    }
    *used |= seen;
    return RR_OK;
}

static bool settings_fit(const struct rr_work_step *step)
{
    bool video = step->kind == RR_WORK_ENCODE_VIDEO, audio = step->kind == RR_WORK_ENCODE_AUDIO;
    return (video || audio ? step->profile[0] != '\0' : step->profile[0] == '\0') &&
           (video ? step->rung > 0
                  : step->rung == 0 && step->rate.crf == 0 && step->rate.kbps == 0 &&
                        step->rate.max_kbps == 0) &&
           (audio ? step->bps > 0 : step->bps == 0);
}

static bool rung_repeats(const struct rr_work_chain *chain, uint8_t index)
{
    for (uint8_t i = 0; i < index; i++) {
        if (chain->steps[i].kind == RR_WORK_ENCODE_VIDEO &&
            chain->steps[index].kind == RR_WORK_ENCODE_VIDEO &&
            chain->steps[i].rung == chain->steps[index].rung) {
            return true;
        }
    }
    return false;
}

enum rr_err rr_work_chain_check(const struct rr_work_chain *chain, struct rr_fault *fault)
{
    uint32_t used = 0;
    struct rr_coin sum = RR_COIN_ZERO;
    if (chain->step_count < 4 || chain->step_count > RR_WORK_STEPS_MAX ||
        chain->gop_ms < GOP_MS_MIN || chain->gop_ms > GOP_MS_MAX || chain->challenges == 0) {
        return rr_fail(fault, RR_ERR_FORMAT,
                       "a chain of %u steps, GOPs of %u ms and %u challenges; 4 to %d, %u to %u "
                       "and at least 1 are allowed",
                       chain->step_count, chain->gop_ms, chain->challenges, RR_WORK_STEPS_MAX,
                       GOP_MS_MIN, GOP_MS_MAX);
    }
    for (uint8_t i = 0; i < chain->step_count; i++) {
        const struct rr_work_step *step = &chain->steps[i];
        bool placed = (step->kind == RR_WORK_DEMUX) == (i == 0) &&
                      (step->kind == RR_WORK_MUX) == (i == chain->step_count - 1);
        if (!placed || !settings_fit(step) || rung_repeats(chain, i) ||
            !rr_coin_add(&sum, sum, step->price)) {
            return rr_fail(fault, RR_ERR_FORMAT,
                           "step %u (%s) of the chain does not fit its place, kind or price", i,
                           kinds[step->kind].name);
        }
        enum rr_err err = check_inputs(chain, i, &used, fault);
        if (err != RR_OK) {
            return err;
        }
    }
    for (uint8_t i = 0; i + 1 < chain->step_count; i++) {
        if ((used & 1u << i) == 0) {
            return rr_fail(fault, RR_ERR_FORMAT,
                           "nobody takes what step %u (%s) of the chain gives", i,
                           kinds[chain->steps[i].kind].name);
        }
    }
    return RR_OK;
}

/* ---- form
 * ------------------------------------------------------------------------------------------------
 */

static bool profile_valid(const char *text, size_t len)
{
    return len == 0 || wire_name_valid(text, len);
}

static void write_step(struct rr_buf *out, const struct rr_work_step *step)
{
    rr_write_u8(out, (uint8_t)step->kind);
    rr_write_u8(out, step->input_count);
    for (uint8_t i = 0; i < step->input_count; i++) {
        rr_write_u8(out, step->inputs[i].step);
        rr_write_u8(out, (uint8_t)step->inputs[i].type);
    }
    wire_write_text(out, step->profile, RR_NAME_MAX);
    rr_write_u16(out, step->rung);
    rr_write_u16(out, step->rate.crf);
    rr_write_u32(out, step->rate.kbps);
    rr_write_u32(out, step->rate.max_kbps);
    rr_write_u32(out, step->bps);
    wire_write_coin(out, step->price);
}

static void read_step(struct rr_reader *reader, struct rr_work_step *out)
{
    uint8_t kind = rr_read_u8(reader);
    uint8_t count = rr_read_u8(reader);
    if (kind < RR_WORK_DEMUX || kind > RR_WORK_MUX || count > RR_WORK_INPUTS_MAX) {
        wire_refuse(reader);
        return;
    }
    out->kind = (enum rr_work_kind)kind;
    out->input_count = count;
    for (uint8_t i = 0; i < count; i++) {
        out->inputs[i].step = rr_read_u8(reader);
        uint8_t type = rr_read_u8(reader);
        if (type < RR_WORK_VIDEO_PACKETS || type > RR_WORK_AUDIO_STREAM) {
            wire_refuse(reader);
            return;
        }
        out->inputs[i].type = (enum rr_work_type)type;
    }
    wire_read_text(reader, out->profile, RR_NAME_MAX, profile_valid);
    out->rung = rr_read_u16(reader);
    out->rate.crf = rr_read_u16(reader);
    out->rate.kbps = rr_read_u32(reader);
    out->rate.max_kbps = rr_read_u32(reader);
    out->bps = rr_read_u32(reader);
    wire_read_coin(reader, &out->price);
}

void wire_write_work_chain(struct rr_buf *out, const struct rr_work_chain *chain)
{
    RR_CHECK(chain->step_count <= RR_WORK_STEPS_MAX);
    rr_write_u32(out, chain->chain_id);
    wire_write_hash(out, &chain->source);
    wire_write_key(out, &chain->owner);
    rr_write_u64(out, chain->created_ms);
    rr_write_u32(out, chain->gop_ms);
    rr_write_u16(out, chain->crf);
    rr_write_u8(out, chain->tone_map);
    rr_write_u16(out, chain->challenges);
    rr_write_u8(out, (uint8_t)chain->output);
    rr_write_u8(out, chain->step_count);
    for (uint8_t i = 0; i < chain->step_count; i++) {
        write_step(out, &chain->steps[i]);
    }
}

void wire_read_work_chain(struct rr_reader *reader, struct rr_work_chain *out)
{
    out->chain_id = rr_read_u32(reader);
    wire_read_hash(reader, &out->source);
    wire_read_key(reader, &out->owner);
    out->created_ms = rr_read_u64(reader);
    out->gop_ms = rr_read_u32(reader);
    out->crf = rr_read_u16(reader);
    out->tone_map = rr_read_u8(reader);
    out->challenges = rr_read_u16(reader);
    uint8_t output = rr_read_u8(reader);
    out->output = (enum rr_work_output)output;
    out->step_count = rr_read_u8(reader);
    if (out->step_count > RR_WORK_STEPS_MAX || output < RR_WORK_LADDER || output > RR_WORK_MP4 ||
        out->tone_map > 1) {
        out->step_count = 0;
        wire_refuse(reader);
    }
    for (uint8_t i = 0; i < out->step_count && !reader->failed; i++) {
        read_step(reader, &out->steps[i]);
    }
}

void rr_work_chain_encode(struct rr_buf *out, const struct rr_work_chain *chain)
{
    rr_write_u8(out, WIRE_VERSION);
    wire_write_work_chain(out, chain);
}

enum rr_err rr_work_chain_decode(struct rr_work_chain *out, struct rr_slice bytes,
                                 struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_work_chain *chain = rr_alloc(sizeof *chain);
    wire_read_version(&reader);
    wire_read_work_chain(&reader, chain);
    enum rr_err err = wire_done(&reader, "contract chain", fault);
    err = err != RR_OK ? err : rr_work_chain_check(chain, fault);
    if (err == RR_OK) {
        *out = *chain;
    }
    rr_free(chain);
    return err;
}

void rr_work_chain_id(struct rr_hash32 *out, const struct rr_work_chain *chain)
{
    struct rr_buf bytes = {0};
    rr_work_chain_encode(&bytes, chain);
    rr_hash(out, "rr.work.chain", rr_buf_slice(&bytes));
    rr_buf_clear(&bytes);
}

void rr_work_step_id(struct rr_hash32 *out, const struct rr_hash32 *chain_id, uint8_t step)
{
    struct rr_buf bytes = {0};
    wire_write_hash(&bytes, chain_id);
    rr_write_u8(&bytes, step);
    rr_hash(out, "rr.work.step", rr_buf_slice(&bytes));
    rr_buf_clear(&bytes);
}

struct rr_coin rr_work_chain_price(const struct rr_work_chain *chain)
{
    struct rr_coin sum = RR_COIN_ZERO;
    for (uint8_t i = 0; i < chain->step_count; i++) {
        RR_CHECK(rr_coin_add(&sum, sum, chain->steps[i].price)); /* as checked */
    }
    return sum;
}
