/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reelrig gpu: the devices that hash. A running rig is asked; without one they are opened here. */
#include "cli/cli_gpu.h"
#include "cli/cli_devices.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX 60

/* ---- JSON of what is opened here ----------------------------------------------------------------
 */
json_t *cli_gpu_sensors(const struct rr_hash_sample *sample)
{
    json_t *out = json_object();
    cli_json_set(out, "source", cli_json_text(sample->source));
    cli_json_set(out, "trouble", cli_json_text(sample->trouble));
    for (unsigned i = 0; i < RR_HASH_READING_COUNT; i++) {
        cli_json_set(out, rr_hash_reading_name(i),
                     rr_hash_sample_has(sample, i) ? json_integer(sample->value[i]) : json_null());
    }
    return out;
}

json_t *cli_gpu_device(const struct rr_hash_device *device)
{
    json_t *out = json_object();
    cli_json_set(out, "id", cli_json_text(device->id));
    cli_json_set(out, "backend", cli_json_text(device->backend));
    cli_json_set(out, "name", cli_json_text(device->name));
    cli_json_set(out, "driver", cli_json_text(device->driver));
    cli_json_set(out, "pci", cli_json_text(device->pci));
    cli_json_set(out, "memory_bytes", json_integer((json_int_t)device->memory_bytes));
    cli_json_set(out, "units", json_integer(device->units));
    cli_json_set(out, "state", json_string("off"));
    cli_json_set(out, "why", cli_json_text(device->why_not));
    return out;
}

struct rr_hash_telemetry *cli_gpu_telemetry(void)
{
    struct rr_hash_telemetry *telemetry;
    struct rr_hash_telemetry_options options = {.sysfs_root = getenv("REELRIG_SYSFS"),
                                                .nvml_path = getenv("REELRIG_NVML")};
    rr_hash_telemetry_new(&telemetry, &options);
    return telemetry;
}

/* ---- list ---------------------------------------------------------------------------------------
 */
static const char *reading(char text[static 24], const json_t *device, const char *key,
                           double scale, const char *unit)
{
    const json_t *value = json_object_get(json_object_get(device, "sensors"), key);
    if (!json_is_integer(value)) {
        snprintf(text, 24, "-"); /* unknown */
    } else {
        snprintf(text, 24, "%.0f%s", (double)json_integer_value(value) / scale, unit);
    }
    return text;
}

void cli_gpu_print(const json_t *devices)
{
    const json_t *device;
    size_t i;
    json_array_foreach(devices, i, device)
    {
        char heat[24], power[24], core[24], memory[24], rate[32] = "-";
        const char *why = cli_text(device, "why"), *variant = cli_text(device, "variant");
        if (json_is_integer(json_object_get(device, "hashes_per_s"))) {
            snprintf(rate, sizeof rate, "%" PRIu64 " H/s", cli_number(device, "hashes_per_s"));
        }
        cli_print("  %-10s %-12s %5s %6s %8s %8s  %s, %s%s%s%s%s\n", cli_text(device, "state"),
                  rate, reading(heat, device, "temperature_mc", 1000, " C"),
                  reading(power, device, "power_mw", 1000, " W"),
                  reading(core, device, "core_mhz", 1, " MHz"),
                  reading(memory, device, "memory_mhz", 1, " MHz"), cli_text(device, "id"),
                  cli_text(device, "name"), variant[0] != '\0' ? ", " : "", variant,
                  why[0] != '\0' ? ": " : "", why);
    }
}

static json_t *list_here(void)
{
    struct rr_hash_device *devices = rr_alloc_array(RR_HASH_DEVICES_MAX, sizeof(*devices));
    struct rr_hash_telemetry *telemetry = cli_gpu_telemetry();
    json_t *out = json_array();
    size_t count = rr_hash_devices(devices, RR_HASH_DEVICES_MAX);
    for (size_t i = 0; i < count; i++) {
        struct rr_hash_sample sample = {0};
        json_t *device = cli_gpu_device(&devices[i]);
        if (devices[i].why_not[0] == '\0' || devices[i].pci[0] != '\0') {
            rr_hash_telemetry_read(telemetry, &sample, &devices[i]);
        }
        cli_json_set(device, "sensors", cli_gpu_sensors(&sample));
        if (devices[i].why_not[0] == '\0') {
            cli_json_set(device, "state", json_string("usable"));
        }
        json_array_append_new(out, device);
    }
    rr_hash_telemetry_free(telemetry);
    rr_free(devices);
    return out;
}

enum rr_err cli_gpu_ask(const struct cli_gpu *gpu, const char *path, const char *body, json_t **out,
                        struct rr_fault *fault)
{
    struct cli_rig rig = {0};
    enum rr_err err = cli_rig_open(&rig, gpu->data, fault);
    if (err == RR_OK) {
        err = cli_rig_call(&rig, out, path, body, fault);
        cli_rig_close(&rig);
    }
    return err;
}

static int list(const struct cli_gpu *gpu)
{
    struct rr_fault fault = {0};
    json_t *json = NULL;
    enum rr_err err = cli_gpu_ask(gpu, "devices", NULL, &json, &fault);
    if (err == RR_ERR_UNREACHABLE) {
        json = json_object();
        cli_json_set(json, "rig", json_false());
        cli_json_set(json, "devices", list_here());
    } else if (err != RR_OK) {
        return cli_fail(err, &fault, gpu->json);
    } else {
        cli_json_set(json, "rig", json_true());
    }
    json_t *video = cli_devices_list(NULL); /* nothing when there is no worker program */
    if (video != NULL) {
        cli_json_set(json, "video", video);
    }
    if (gpu->json) {
        cli_print_json(json);
    } else {
        cli_print("  %-10s %-12s %5s %6s %8s %8s  %s\n", "state", "rate", "heat", "power", "core",
                  "memory", "device");
        cli_gpu_print(json_object_get(json, "devices"));
        cli_print("video:\n");
        cli_devices_print(json_object_get(json, "video"));
    }
    json_decref(json);
    return 0;
}

/* ---- words of the command line ------------------------------------------------------------------
 */
/* pause, resume, restart, share: of a rig only. Takes body; what: the line that tells it is done.
 */
static int command(const struct cli_gpu *gpu, const char *verb, json_t *body, const char *what)
{
    struct rr_fault fault = {0};
    char path[64];
    json_t *answer = NULL;
    char *text = json_dumps(body, JSON_COMPACT);
    json_free_t release;
    json_get_alloc_funcs(NULL, &release);
    snprintf(path, sizeof path, "devices/%s", verb);
    enum rr_err err = cli_gpu_ask(gpu, path, text, &answer, &fault);
    int status = err == RR_OK ? 0 : cli_fail(err, &fault, gpu->json);
    if (err == RR_OK && gpu->json) {
        cli_print_json(answer);
    } else if (err == RR_OK) {
        cli_print("%s: %s\n", what, verb);
    }
    release(text);
    json_decref(body);
    json_decref(answer);
    return status;
}

static bool small_number(unsigned *out, const char *text, unsigned min, unsigned max,
                         const char *option)
{
    char *end;
    unsigned long value = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : ULONG_MAX;
    if (value < min || value > max || *end != '\0') {
        fprintf(stderr, "reelrig gpu: --%s is '%s'; %u to %u was expected\n", option, text, min,
                max);
        return false;
    }
    *out = (unsigned)value;
    return true;
}

/* Shares of time from now on, until the rig's end. */
static int share(const struct cli_gpu *gpu)
{
    const char *texts[] = {gpu->cpu_text, gpu->gpu_text}, *names[] = {"cpu", "gpu"};
    char what[48] = "";
    json_t *body = json_object();
    for (size_t i = 0; i < RR_COUNT(texts); i++) {
        unsigned percent = 0;
        size_t used = strlen(what);
        if (texts[i] == NULL) {
            continue;
        }
        if (!small_number(&percent, texts[i], 1, 100, names[i])) {
            json_decref(body);
            return 2;
        }
        cli_json_set(body, names[i], json_integer(percent));
        snprintf(what + used, sizeof what - used, "%s%s %u %%", used > 0 ? ", " : "", names[i],
                 percent);
    }
    return command(gpu, "share", body, what);
}

int cli_gpu(int argc, char **argv)
{
    struct cli_gpu gpu = {.seconds = 3};
    const char *words[2] = {NULL, NULL};
    size_t count;
    const struct cli_option options[] = {
        {"data", &gpu.data, NULL},        {"seconds", &gpu.seconds_text, NULL},
        {"epoch", &gpu.epoch_text, NULL}, {"cpu", &gpu.cpu_text, NULL},
        {"gpu", &gpu.gpu_text, NULL},     {"json", NULL, &gpu.json}};
    if (!cli_options(argc, argv, options, RR_COUNT(options), words, RR_COUNT(words), &count) ||
        count < 1) {
        return cli_usage(argv[0]);
    }
    if ((gpu.seconds_text != NULL &&
         !small_number(&gpu.seconds, gpu.seconds_text, 1, SECONDS_MAX, "seconds")) ||
        (gpu.epoch_text != NULL && !small_number(&gpu.epoch, gpu.epoch_text, 0, 32639, "epoch"))) {
        return 2;
    }
    const char *verb = words[0];
    gpu.id = words[1];
    if (strcmp(verb, "list") == 0 && count == 1) {
        return list(&gpu);
    }
    if (strcmp(verb, "bench") == 0) {
        return cli_gpu_bench(&gpu);
    }
    if (strcmp(verb, "tune") == 0) {
        return cli_gpu_tune(&gpu);
    }
    if (count == 2 && (strcmp(verb, "pause") == 0 || strcmp(verb, "resume") == 0 ||
                       strcmp(verb, "restart") == 0)) {
        return command(&gpu, verb, json_pack("{s:s}", "id", gpu.id), gpu.id);
    }
    if (count == 1 && strcmp(verb, "share") == 0 &&
        (gpu.cpu_text != NULL || gpu.gpu_text != NULL)) {
        return share(&gpu);
    }
    return cli_usage(argv[0]);
}
