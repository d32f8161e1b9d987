/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Contract chains as people write them; docs/offers.md. */
#include "wire/wire_private.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define CHAIN_JSON_MAX 16384
#define WHOLE_CHAIN    SIZE_MAX /* no step */

static bool take_number(const json_t *object, const char *key, uint64_t max, uint64_t *out)
{
    const json_t *value = json_object_get(object, key);
    if (value == NULL) {
        return true; /* what is absent keeps what it is */
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > max) {
        return false;
    }
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static bool take_text(const json_t *object, const char *key, char *out, size_t room)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    if (value != NULL && (text == NULL || strlen(text) >= room)) {
        return false;
    }
    snprintf(out, room, "%s", text != NULL ? text : "");
    return true;
}

/* Of what kind the input is follows from who gives and who takes it. */
static bool take_inputs(const struct rr_work_chain *chain, struct rr_work_step *step,
                        const json_t *from)
{
    size_t count = json_array_size(from);
    if ((from != NULL && !json_is_array(from)) || count > RR_WORK_INPUTS_MAX) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(from, i);
        if (!json_is_integer(value) || json_integer_value(value) < 0 ||
            json_integer_value(value) >= chain->step_count) {
            return false;
        }
        uint8_t at = (uint8_t)json_integer_value(value);
        enum rr_work_kind giver = chain->steps[at].kind;
        bool audio = giver == RR_WORK_DECODE_AUDIO || giver == RR_WORK_ENCODE_AUDIO ||
                     (giver == RR_WORK_DEMUX && step->kind == RR_WORK_DECODE_AUDIO);
        step->inputs[step->input_count++] = (struct rr_work_input){
            .step = at,
            .type =
                giver == RR_WORK_DECODE_AUDIO ? RR_WORK_SAMPLES : rr_work_type_of(giver, audio)};
    }
    return true;
}

static bool known_keys(json_t *object, const char *const *keys, size_t count)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        size_t i = 0;
        while (i < count && strcmp(keys[i], key) != 0) {
            i++;
        }
        if (i == count) {
            return false;
        }
    }
    return json_is_object(object);
}

/* Names the value that is wrong, as it was written. */
static enum rr_err wrong(struct rr_fault *fault, const json_t *object, size_t step, const char *key,
                         const char *expected)
{
    json_free_t release;
    char where[48] = "the chain";
    const json_t *value = json_object_get(object, key);
    char *text = value != NULL ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (step != WHOLE_CHAIN) {
        snprintf(where, sizeof where, "step %zu of the chain", step);
    }
    enum rr_err err = rr_fail(fault, RR_ERR_FORMAT, "%s: %s is %.60s%s; %s was expected", where,
                              key, text != NULL ? text : "missing",
                              text != NULL && strlen(text) > 60 ? "..." : "", expected);
    json_get_alloc_funcs(NULL, &release);
    release(text);
    return err;
}

static enum rr_err take_numbers(struct rr_work_step *step, const json_t *object, size_t index,
                                struct rr_fault *fault)
{
    struct {
        const char *key;
        uint64_t max, value;
        const char *expected;
    } numbers[] = {{"rung", UINT16_MAX, 0, "a height of at most 65535"},
                   {"crf", 63, 0, "a whole number of 0 to 63"},
                   {"kbps", UINT32_MAX, 0, "a whole number"},
                   {"max_kbps", UINT32_MAX, 0, "a whole number"},
                   {"bps", UINT32_MAX, 0, "a whole number"}};
    for (size_t i = 0; i < RR_COUNT(numbers); i++) {
        if (!take_number(object, numbers[i].key, numbers[i].max, &numbers[i].value)) {
            return wrong(fault, object, index, numbers[i].key, numbers[i].expected);
        }
    }
    step->rung = (uint16_t)numbers[0].value;
    step->rate = (struct rr_rung_rate){.crf = (uint16_t)numbers[1].value,
                                       .kbps = (uint32_t)numbers[2].value,
                                       .max_kbps = (uint32_t)numbers[3].value};
    step->bps = (uint32_t)numbers[4].value;
    return RR_OK;
}

static enum rr_err take_step(struct rr_work_chain *chain, json_t *object, size_t index,
                             struct rr_fault *fault)
{
    static const char *const keys[] = {"kind", "from", "profile",  "rung", "crf",
                                       "kbps", "bps",  "max_kbps", "price"};
    struct rr_work_step step = {.kind = RR_WORK_DEMUX};
    const char *kind = json_string_value(json_object_get(object, "kind"));
    char price[RR_COIN_TEXT_BYTES];
    if (!known_keys(object, keys, RR_COUNT(keys)) || chain->step_count == RR_WORK_STEPS_MAX) {
        return rr_fail(fault, RR_ERR_FORMAT,
                       "step %zu of the chain: kind, from (numbers of earlier steps), profile, "
                       "rung, crf, kbps, max_kbps, bps and price are known; %d steps are allowed",
                       index, RR_WORK_STEPS_MAX);
    }
    if (kind == NULL || !rr_work_kind_parse(&step.kind, kind)) {
        return wrong(fault, object, index, "kind",
                     "demux, decode_video, encode_video, decode_audio, encode_audio or mux");
    }
    if (!take_inputs(chain, &step, json_object_get(object, "from"))) {
        return wrong(fault, object, index, "from", "a list of numbers of earlier steps");
    }
    if (!take_text(object, "profile", step.profile, sizeof step.profile) ||
        (step.profile[0] != '\0' && !wire_name_valid(step.profile, strlen(step.profile)))) {
        return wrong(fault, object, index, "profile", "a name as in x264-164-fast-v1");
    }
    if (!take_text(object, "price", price, sizeof price) ||
        !rr_coin_parse(&step.price, price[0] != '\0' ? price : "0")) {
        return wrong(fault, object, index, "price", "coins as in \"0.01\"");
    }
    enum rr_err err = take_numbers(&step, object, index, fault);
    if (err == RR_OK) {
        chain->steps[chain->step_count++] = step;
    }
    return err;
}

enum rr_err rr_work_chain_parse(struct rr_work_chain *out, struct rr_slice json,
                                struct rr_fault *fault)
{
    static const char *const keys[] = {"gop_ms",   "crf",    "challenges",
                                       "tone_map", "output", "steps"};
    struct rr_work_chain *chain = rr_alloc(sizeof *chain);
    uint64_t gop_ms = 2000, crf = 0, challenges = 1;
    char output[16];
    json_error_t error = {.line = 0};
    json_t *object = NULL;
    enum rr_err err = RR_OK;
    if (json.len > 0 && json.len <= CHAIN_JSON_MAX) {
        object = json_loadb((const char *)json.ptr, json.len, JSON_REJECT_DUPLICATES, &error);
    }
    if (!known_keys(object, keys, RR_COUNT(keys))) {
        err = rr_fail(fault, RR_ERR_FORMAT,
                      "a chain is a JSON object of gop_ms, crf, tone_map, challenges, output and "
                      "steps%s%.100s",
                      error.text[0] != '\0' ? ": " : "", error.text);
        goto out;
    }
    const char *bad = !take_number(object, "gop_ms", UINT32_MAX, &gop_ms)           ? "gop_ms"
                      : !take_number(object, "crf", 63, &crf)                       ? "crf"
                      : !take_number(object, "challenges", UINT16_MAX, &challenges) ? "challenges"
                                                                                    : NULL;
    if (bad != NULL) {
        err = wrong(fault, object, WHOLE_CHAIN, bad, "a whole number in its range");
        goto out;
    }
    if (!take_text(object, "output", output, sizeof output) ||
        (output[0] != '\0' && strcmp(output, "mp4") != 0 && strcmp(output, "ladder") != 0)) {
        err = wrong(fault, object, WHOLE_CHAIN, "output", "\"ladder\" or \"mp4\"");
        goto out;
    }
    chain->gop_ms = (uint32_t)gop_ms;
    chain->crf = (uint16_t)crf;
    chain->tone_map = json_is_true(json_object_get(object, "tone_map")) ? 1 : 0;
    chain->challenges = (uint16_t)challenges;
    chain->output = strcmp(output, "mp4") == 0 ? RR_WORK_MP4 : RR_WORK_LADDER;
    const json_t *steps = json_object_get(object, "steps");
    for (size_t i = 0; i < json_array_size(steps) && err == RR_OK; i++) {
        err = take_step(chain, json_array_get(steps, i), i, fault);
    }
    err = err != RR_OK ? err : rr_work_chain_check(chain, fault);
    if (err == RR_OK) {
        *out = *chain;
    }
out:
    json_decref(object);
    rr_free(chain);
    return err;
}

/* ---- the way back
 * ---------------------------------------------------------------------------------------- */

static int append(const char *bytes, size_t len, void *ctx)
{
    rr_buf_append(ctx, bytes, len);
    return 0;
}

/* Zeros and empty texts are what is meant where a key is absent. */
static void put_number(json_t *object, const char *key, uint64_t value)
{
    if (value != 0) {
        RR_CHECK(json_object_set_new(object, key, json_integer((json_int_t)value)) == 0);
    }
}

static json_t *step_json(const struct rr_work_step *step)
{
    char price[RR_COIN_TEXT_BYTES];
    json_t *from = json_array();
    for (uint8_t i = 0; i < step->input_count; i++) {
        RR_CHECK(json_array_append_new(from, json_integer(step->inputs[i].step)) == 0);
    }
    rr_coin_text(price, step->price);
    json_t *object = json_pack("{s:s, s:o, s:s}", "kind", rr_work_kind_text(step->kind), "from",
                               from, "price", price);
    RR_CHECK(object != NULL);
    if (step->profile[0] != '\0') {
        RR_CHECK(json_object_set_new(object, "profile", json_string(step->profile)) == 0);
    }
    put_number(object, "rung", step->rung);
    put_number(object, "crf", step->rate.crf);
    put_number(object, "kbps", step->rate.kbps);
    put_number(object, "max_kbps", step->rate.max_kbps);
    put_number(object, "bps", step->bps);
    return object;
}

void rr_work_chain_json(struct rr_buf *out, const struct rr_work_chain *chain)
{
    json_t *steps = json_array();
    for (uint8_t i = 0; i < chain->step_count; i++) {
        RR_CHECK(json_array_append_new(steps, step_json(&chain->steps[i])) == 0);
    }
    json_t *object = json_pack("{s:I, s:i, s:i, s:b, s:s, s:o}", "gop_ms",
                               (json_int_t)chain->gop_ms, "crf", (int)chain->crf, "challenges",
                               (int)chain->challenges, "tone_map", (int)chain->tone_map, "output",
                               chain->output == RR_WORK_MP4 ? "mp4" : "ladder", "steps", steps);
    RR_CHECK(object != NULL && json_dump_callback(object, append, out, JSON_COMPACT) == 0);
    json_decref(object);
}
