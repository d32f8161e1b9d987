/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What devices this machine has, as workers in the wider sandbox tell it. */
#include "transcode/transcode_device.h"
#include <stdio.h>
#include <string.h>

#define LIST_SECONDS  20
#define PROBE_SECONDS 60
#define OPEN_SECONDS  30

static const struct {
    const char *prefix, *profile; /* "%s" is the codec */
    uint8_t codecs;
} kinds[] = {
    {"cuda:", "nvenc-%s-p4-v1", 1u << RR_CODEC_H264 | 1u << RR_CODEC_HEVC | 1u << RR_CODEC_AV1},
    {"vaapi:", "vaapi-%s-cqp-v1", 1u << RR_CODEC_H264 | 1u << RR_CODEC_HEVC | 1u << RR_CODEC_VP9},
    {"qsv:", "qsv-%s-medium-v1", 1u << RR_CODEC_H264 | 1u << RR_CODEC_HEVC | 1u << RR_CODEC_VP9},
};

bool transcode_device_kind_known(const char *id)
{
    for (size_t i = 0; i < RR_COUNT(kinds); i++) {
        if (strncmp(id, kinds[i].prefix, strlen(kinds[i].prefix)) == 0) {
            return true;
        }
    }
    return false;
}

bool rr_transcode_device_profile(char out[static RR_NAME_MAX + 1], const char *device,
                                 enum rr_codec codec)
{
    for (size_t i = 0; i < RR_COUNT(kinds); i++) {
        if (strncmp(device, kinds[i].prefix, strlen(kinds[i].prefix)) == 0 &&
            (kinds[i].codecs >> codec & 1) != 0) {
            const char *gap = strstr(kinds[i].profile, "%s");
            snprintf(out, RR_NAME_MAX + 1, "%.*s%s%s", (int)(gap - kinds[i].profile),
                     kinds[i].profile, rr_codec_text(codec), gap + 2);
            return true;
        }
    }
    return false;
}

enum rr_err transcode_device_worker(struct transcode_worker *worker, const char *program,
                                    const char *id, bool exact, struct rr_fault *fault)
{
    struct transcode_use ask = {.exact = exact ? 1 : 0};
    struct rr_buf message = {0};
    snprintf(ask.device, sizeof ask.device, "%.63s", id);
    enum rr_err err = transcode_worker_start_device(worker, program, fault);
    if (err == RR_OK) {
        transcode_encode_message(&message, TRANSCODE_USE, use, &ask);
        err = transcode_worker_ask(worker, &message, NULL, 0, OPEN_SECONDS, fault);
    }
    err = err != RR_OK ? err : transcode_worker_wait(worker, TRANSCODE_USED, NULL, fault);
    if (err != RR_OK) {
        transcode_worker_stop(worker);
    }
    return err;
}

static enum rr_err list(struct transcode_device_names *out, const char *program,
                        struct rr_fault *fault)
{
    struct transcode_worker worker = {.socket = -1};
    struct rr_buf message = {0};
    enum rr_err err = transcode_worker_start_device(&worker, program, fault);
    if (err == RR_OK) {
        rr_write_u8(&message, TRANSCODE_DEVICES);
        err = transcode_worker_ask(&worker, &message, NULL, 0, LIST_SECONDS, fault);
    }
    err = err != RR_OK ? err : transcode_worker_wait(&worker, TRANSCODE_DEVICE_NAMES, NULL, fault);
    if (err == RR_OK &&
        !transcode_decode_message(transcode_worker_body(&worker), device_names, out)) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the list of devices does not follow its form");
    }
    transcode_worker_stop(&worker);
    return err;
}

/* A process for each device: a driver that hangs or crashes takes nothing else with it. */
static void probe(struct rr_transcode_device *out, const char *program, const char *id)
{
    struct transcode_worker worker = {.socket = -1};
    struct transcode_device_ask ask;
    struct rr_buf message = {0};
    struct rr_fault fault = {0};
    snprintf(ask.name, sizeof ask.name, "%.63s", id);
    enum rr_err err = transcode_worker_start_device(&worker, program, &fault);
    if (err == RR_OK) {
        transcode_encode_message(&message, TRANSCODE_DEVICE, device_ask, &ask);
        err = transcode_worker_ask(&worker, &message, NULL, 0, PROBE_SECONDS, &fault);
    }
    err = err != RR_OK ? err : transcode_worker_wait(&worker, TRANSCODE_DEVICE_FACTS, NULL, &fault);
    if (err == RR_OK &&
        (!transcode_decode_message(transcode_worker_body(&worker), device_facts, out) ||
         strcmp(out->id, id) != 0)) {
        err = rr_fail(&fault, RR_ERR_DAMAGED, "its worker's answer does not follow its form");
    }
    if (err != RR_OK) {
        *out = (struct rr_transcode_device){0};
        snprintf(out->id, sizeof out->id, "%.63s", id);
        snprintf(out->why_not, sizeof out->why_not, "%.220s", fault.text);
    }
    transcode_worker_stop(&worker);
}

static bool listed(const char *wanted, const char *name)
{
    size_t len = strlen(name);
    bool found = wanted == NULL;
    for (const char *at = wanted; !found && at != NULL && *at != 0;) {
        size_t word = strcspn(at, ",");
        found = word == len && memcmp(at, name, len) == 0;
        at += word + (at[word] == ',' ? 1 : 0);
    }
    return found;
}

enum rr_err rr_transcode_devices(struct rr_transcode_device out[static RR_TRANSCODE_DEVICES_MAX],
                                 size_t *count, const struct rr_transcode_options *options,
                                 struct rr_fault *fault)
{
    return transcode_devices_find(out, count, options, NULL, fault);
}

enum rr_err transcode_devices_find(struct rr_transcode_device out[static RR_TRANSCODE_DEVICES_MAX],
                                   size_t *count, const struct rr_transcode_options *options,
                                   const char *wanted, struct rr_fault *fault)
{
    size_t used = 0;
    char program[RR_PATH_BYTES];
    struct transcode_device_names *names = rr_alloc(sizeof *names);
    enum rr_err err = transcode_worker_find(program, options, fault);
    err = err != RR_OK ? err : list(names, program, fault);
    for (unsigned i = 0; i < names->count && err == RR_OK; i++) {
        if (listed(wanted, names->names[i])) {
            probe(&out[used++], program, names->names[i]);
        }
    }
    if (err == RR_OK) {
        *count = used;
    }
    rr_free(names);
    return err;
}
