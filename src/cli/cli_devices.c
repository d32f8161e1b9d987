/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli_devices.h"
#include <string.h>

static json_t *codecs(uint8_t bits)
{
    json_t *out = json_array();
    for (unsigned codec = 0; codec < 4; codec++) {
        if ((bits >> codec & 1) != 0) {
            json_array_append_new(out, json_string(rr_codec_text((enum rr_codec)codec)));
        }
    }
    return out;
}

json_t *cli_devices_list(struct rr_fault *fault)
{
    struct rr_transcode_device *found = rr_alloc_array(RR_TRANSCODE_DEVICES_MAX, sizeof *found);
    const struct rr_transcode_options options = {0};
    size_t count = 0;
    json_t *out = NULL;
    if (rr_transcode_devices(found, &count, &options, fault) == RR_OK) {
        out = json_array();
    }
    for (size_t i = 0; out != NULL && i < count; i++) {
        json_t *device = json_object();
        cli_json_set(device, "device", json_string(found[i].id));
        cli_json_set(device, "name", json_string(found[i].name));
        cli_json_set(device, "dec", codecs(found[i].decodes));
        cli_json_set(device, "dec10", codecs(found[i].decodes_10));
        cli_json_set(device, "enc", codecs(found[i].encodes));
        cli_json_set(device, "enc10", codecs(found[i].encodes_10));
        cli_json_set(device, "scale", json_boolean(found[i].scales));
        cli_json_set(device, "sessions",
                     found[i].sessions != 0 ? json_integer(found[i].sessions) : json_null());
        cli_json_set(device, "why_not", json_string(found[i].why_not));
        json_array_append_new(out, device);
    }
    rr_free(found);
    return out;
}

static void print_codecs(const json_t *device, const char *key, const char *what)
{
    const json_t *list = json_object_get(device, key), *codec;
    size_t i;
    if (json_array_size(list) == 0) {
        cli_print("  %s -", what);
        return;
    }
    cli_print("  %s ", what);
    json_array_foreach(list, i, codec)
    {
        cli_print("%s%s", i > 0 ? "," : "", json_string_value(codec));
    }
}

void cli_devices_print(const json_t *devices)
{
    const json_t *device;
    size_t i;
    if (json_array_size(devices) == 0) {
        cli_print("  no device; the CPU does all\n");
    }
    json_array_foreach(devices, i, device)
    {
        const char *why = cli_text(device, "why_not");
        cli_print("  %s %s", cli_text(device, "device"), cli_text(device, "name"));
        print_codecs(device, "dec", "decodes");
        print_codecs(device, "enc", "encodes");
        cli_print("  %s", json_is_true(json_object_get(device, "scale")) ? "scales" : "no scaling");
        if (json_is_integer(json_object_get(device, "sessions"))) {
            cli_print("  %llu sessions", (unsigned long long)cli_number(device, "sessions"));
        }
        cli_print("%s%s\n", why[0] != '\0' ? "\n      " : "", why);
    }
}

int cli_devices(bool json)
{
    struct rr_fault fault = {0};
    json_t *devices = cli_devices_list(&fault);
    if (devices == NULL) {
        return cli_fail(fault.code, &fault, json);
    }
    if (json) {
        json_t *out = json_object();
        cli_json_set(out, "devices", devices);
        cli_print_json(out);
        json_decref(out);
    } else {
        cli_devices_print(devices);
        json_decref(devices);
    }
    return 0;
}

enum rr_err cli_devices_options(struct rr_transcode_options *job, const char *class,
                                const char *busy, struct rr_fault *fault)
{
    bool tolerant = strcmp(class, "tolerant") == 0, cpu = strcmp(busy, "cpu") == 0;
    if (!tolerant && strcmp(class, "exact") != 0) {
        return rr_fail(fault, RR_ERR_USAGE, "class \"%.32s\": exact or tolerant was expected",
                       class);
    }
    if (!cpu && strcmp(busy, "wait") != 0) {
        return rr_fail(fault, RR_ERR_USAGE, "when-busy \"%.32s\": wait or cpu was expected", busy);
    }
    job->class = tolerant ? RR_TRANSCODE_TOLERANT : RR_TRANSCODE_EXACT;
    job->policy = cpu ? RR_TRANSCODE_CPU : RR_TRANSCODE_WAIT;
    return RR_OK;
}
