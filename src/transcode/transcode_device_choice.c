/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which device does what: pure, no process and no clock of its own. */
#include "transcode/transcode_device.h"
#include <string.h>

static bool usable(const struct rr_transcode_device *device)
{
    return device->decodes != 0 || device->encodes != 0 || device->scales;
}

static const struct rr_transcode_device *find(const struct rr_transcode_device *found, size_t count,
                                              struct rr_slice id)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(found[i].id) == id.len && memcmp(found[i].id, id.ptr, id.len) == 0) {
            return &found[i];
        }
    }
    return NULL;
}

static enum rr_err add_named(struct transcode_devices *out, const struct rr_transcode_device *found,
                             size_t count, struct rr_slice id, struct rr_fault *fault)
{
    char name[RR_TRANSCODE_DEVICE_MAX + 1] = "";
    memcpy(name, id.ptr, id.len < sizeof name ? id.len : sizeof name - 1);
    if (id.len >= sizeof name || !transcode_device_kind_known(name)) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "device \"%.63s\": auto, cpu, cuda:N, vaapi:/dev/dri/renderDN and "
                       "qsv:/dev/dri/renderDN are known",
                       name);
    }
    const struct rr_transcode_device *device = find(found, count, id);
    if (device == NULL || !usable(device)) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED,
                       "device %s: %.180s; take --device auto or cpu, or see --devices", name,
                       device == NULL ? "not on this machine" : device->why_not);
    }
    if (out->count < RR_TRANSCODE_DEVICES_MAX) {
        out->list[out->count].facts = *device;
        out->list[out->count++].sessions = device->sessions;
    }
    return RR_OK;
}

enum rr_err transcode_devices_pick(struct transcode_devices *out,
                                   const struct rr_transcode_device *found, size_t count,
                                   const char *wanted, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    *out = (struct transcode_devices){.source = TRANSCODE_CPU};
    for (unsigned i = 0; i < RR_RUNGS_MAX; i++) {
        out->maker[i] = TRANSCODE_CPU;
    }
    if (strcmp(wanted, "auto") == 0) {
        for (size_t i = 0; i < count; i++) {
            if (usable(&found[i])) {
                out->list[out->count].facts = found[i];
                out->list[out->count++].sessions = found[i].sessions;
            }
        }
        return RR_OK;
    }
    for (const char *at = wanted; err == RR_OK && *at != 0;) {
        size_t len = strcspn(at, ",");
        if (len != 3 || memcmp(at, "cpu", 3) != 0) {
            err = add_named(out, found, count, rr_slice_of(at, len), fault);
        }
        at += len + (at[len] == ',' ? 1 : 0);
    }
    return err;
}

static bool encodes(const struct transcode_device_state *device, const struct transcode_plan *plan)
{
    uint8_t able = plan->ten_bit != 0 ? device->facts.encodes_10 : device->facts.encodes;
    return !device->lost && (able >> plan->codec & 1) != 0;
}

void transcode_devices_assign(struct transcode_devices *devices, const struct transcode_plan *plan,
                              const struct rr_transcode_facts *facts, bool exact)
{
    enum rr_codec codec;
    uint64_t load[RR_TRANSCODE_DEVICES_MAX] = {0};
    bool known = rr_codec_parse(&codec, facts->video_codec);
    devices->source = TRANSCODE_CPU;
    for (unsigned i = 0; known && i < devices->count && devices->source < 0; i++) {
        const struct rr_transcode_device *device = &devices->list[i].facts;
        uint8_t able = facts->bit_depth > 8 ? device->decodes_10 : device->decodes;
        if ((able >> codec & 1) != 0 && facts->bit_depth <= 10) {
            devices->source = (int)i;
            devices->of = codec;
        }
    }
    for (unsigned rung = 0; rung < plan->rung_count; rung++) {
        devices->maker[rung] = TRANSCODE_CPU;
        for (unsigned i = 0; i < devices->count && !exact; i++) {
            int best = devices->maker[rung];
            if (encodes(&devices->list[i], plan) && (best < 0 || load[i] < load[best])) {
                devices->maker[rung] = (int)i;
            }
        }
        if (devices->maker[rung] >= 0) {
            load[devices->maker[rung]] +=
                (uint64_t)plan->rungs[rung].width * plan->rungs[rung].height;
        }
    }
}

bool transcode_device_may(const struct transcode_device_state *device, unsigned busy,
                          uint64_t now_us)
{
    if (device->lost) {
        return false;
    }
    if (device->none_us != 0 || (device->sessions != 0 && busy >= device->sessions)) {
        return now_us >= device->retry_us;
    }
    return true;
}

void transcode_device_refused(struct transcode_device_state *device, unsigned busy, uint64_t now_us)
{
    device->sessions = busy;
    if (busy == 0) {
        device->none_us = device->none_us == 0 ? now_us : device->none_us;
        device->retry_us = now_us + TRANSCODE_SESSION_NONE_US;
    } else {
        device->none_us = 0;
        device->retry_us = now_us + TRANSCODE_SESSION_RETRY_US;
    }
}

void transcode_device_gave(struct transcode_device_state *device, unsigned busy)
{
    device->strikes = 0;
    device->none_us = 0;
    if (device->sessions != 0 && busy > device->sessions) {
        device->sessions = busy; /* another program gave one back */
    }
}

int transcode_device_other(const struct transcode_devices *devices,
                           const struct transcode_plan *plan, int from)
{
    char want[RR_NAME_MAX + 1] = "", has[RR_NAME_MAX + 1] = "";
    int found = TRANSCODE_CPU;
    if (from >= 0) {
        (void)!rr_transcode_device_profile(want, devices->list[from].facts.id,
                                           (enum rr_codec)plan->codec);
    }
    for (unsigned i = 0; i < devices->count; i++) {
        if ((int)i == from || !encodes(&devices->list[i], plan)) {
            continue;
        }
        bool same = rr_transcode_device_profile(has, devices->list[i].facts.id,
                                                (enum rr_codec)plan->codec) &&
                    strcmp(has, want) == 0;
        if (found < 0 || same) {
            found = (int)i;
        }
        if (same) {
            break;
        }
    }
    return found;
}
