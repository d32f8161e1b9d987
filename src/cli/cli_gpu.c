/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reelrig gpu: the devices that hash. A running rig is asked; without one they are opened here. */
#include "cli/cli.h"
#include "hash/hash.h"

#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define EPOCH_OF_GPUS       390    /* 4.08 GiB: beyond the caches of any card */
#define BENCH_CACHE_ITEMS   16381  /* 1 MiB, prime */
#define BENCH_DATASET_ITEMS 524287 /* 64 MiB, prime: beyond most caches, made in seconds */
#define HASH_BYTES          8192.0 /* read by a hash: 64 rows of 128 bytes */
#define SECONDS_MAX         60
#define TUNING_FILE         "tuning.txt" /* in the data folder */

struct gpu {
    const char *data, *seconds_text, *epoch_text, *id;
    bool json;
    unsigned seconds, epoch;
};

/* ---- JSON of what is opened here ----------------------------------------------------------------
 */
static void set(json_t *object, const char *key, json_t *value)
{
    RR_CHECK(value != NULL && json_object_set_new(object, key, value) == 0);
}

static json_t *text_json(const char *text)
{
    json_t *json = json_string(text);
    return json != NULL ? json : json_string("?");
}

static json_t *sensors_json(const struct rr_hash_sample *sample)
{
    json_t *out = json_object();
    set(out, "source", text_json(sample->source));
    set(out, "trouble", text_json(sample->trouble));
    for (unsigned i = 0; i < RR_HASH_READING_COUNT; i++) {
        set(out, rr_hash_reading_name(i),
            rr_hash_sample_has(sample, i) ? json_integer(sample->value[i]) : json_null());
    }
    return out;
}

static json_t *device_json(const struct rr_hash_device *device)
{
    json_t *out = json_object();
    set(out, "id", text_json(device->id));
    set(out, "backend", text_json(device->backend));
    set(out, "name", text_json(device->name));
    set(out, "driver", text_json(device->driver));
    set(out, "pci", text_json(device->pci));
    set(out, "memory_bytes", json_integer((json_int_t)device->memory_bytes));
    set(out, "units", json_integer(device->units));
    set(out, "state", json_string("off"));
    set(out, "why", text_json(device->why_not));
    return out;
}

static struct rr_hash_telemetry *open_telemetry(void)
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
    struct rr_hash_telemetry *telemetry = open_telemetry();
    json_t *out = json_array();
    size_t count = rr_hash_devices(devices, RR_HASH_DEVICES_MAX);
    for (size_t i = 0; i < count; i++) {
        struct rr_hash_sample sample = {0};
        json_t *device = device_json(&devices[i]);
        if (devices[i].why_not[0] == '\0' || devices[i].pci[0] != '\0') {
            rr_hash_telemetry_read(telemetry, &sample, &devices[i]);
        }
        set(device, "sensors", sensors_json(&sample));
        if (devices[i].why_not[0] == '\0') {
            set(device, "state", json_string("usable"));
        }
        json_array_append_new(out, device);
    }
    rr_hash_telemetry_free(telemetry);
    rr_free(devices);
    return out;
}

/* The rig's answer; RR_ERR_UNREACHABLE when none runs. */
static enum rr_err ask_rig(const struct gpu *gpu, const char *path, const char *body, json_t **out,
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

static int list(const struct gpu *gpu)
{
    struct rr_fault fault = {0};
    json_t *json = NULL;
    enum rr_err err = ask_rig(gpu, "devices", NULL, &json, &fault);
    if (err == RR_ERR_UNREACHABLE) {
        json = json_object();
        set(json, "rig", json_false());
        set(json, "devices", list_here());
    } else if (err != RR_OK) {
        return cli_fail(err, &fault, gpu->json);
    } else {
        set(json, "rig", json_true());
    }
    if (gpu->json) {
        cli_print_json(json);
    } else {
        cli_print("  %-10s %-12s %5s %6s %8s %8s  %s\n", "state", "rate", "heat", "power", "core",
                  "memory", "device");
        cli_gpu_print(json_object_get(json, "devices"));
    }
    json_decref(json);
    return 0;
}

/* ---- engines of this process --------------------------------------------------------------------
 */
static enum rr_err params_for(struct rr_hash_params *out, const struct gpu *gpu,
                              const struct rr_hash_device *device, struct rr_fault *fault)
{
    bool processor = device->processor || strcmp(device->backend, "cpu") == 0;
    if (gpu->epoch_text == NULL && processor) {
        *out = (struct rr_hash_params){.cache_items = BENCH_CACHE_ITEMS,
                                       .dataset_items = BENCH_DATASET_ITEMS};
        return RR_OK;
    }
    return rr_hash_params_epoch(out, gpu->epoch_text != NULL ? gpu->epoch : EPOCH_OF_GPUS, fault);
}

/* An engine on this device alone; its state then, or why it does not run. */
static enum rr_err open_alone(struct rr_hash_engine **out, struct rr_hash_device_status *status,
                              const struct rr_hash_device *device,
                              const struct rr_hash_params *params,
                              struct rr_hash_tuning_file *tuning, struct rr_fault *fault)
{
    struct rr_hash_engine *engine = NULL;
    struct rr_hash_options options = {.dataset_bytes_max = UINT64_MAX, .devices = device->id};
    if (tuning != NULL) {
        options.tuning = (struct rr_hash_tuning_store){
            .load = rr_hash_tuning_load, .save = rr_hash_tuning_save, .ctx = tuning};
    }
    enum rr_err err = rr_hash_engine_new(&engine, params, &options, fault);
    if (err != RR_OK) {
        return err;
    }
    struct rr_hash_device_status *all = rr_alloc_array(RR_HASH_DEVICES_MAX, sizeof(*all));
    size_t count = rr_hash_engine_devices(engine, all, RR_HASH_DEVICES_MAX);
    err = rr_fail(fault, RR_ERR_UNSUPPORTED, "%.80s is not among the engine's devices", device->id);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(all[i].device.id, device->id) == 0) {
            *status = all[i];
            err = all[i].state == RR_HASH_DEVICE_RUNNING
                      ? RR_OK
                      : rr_fail(fault, RR_ERR_UNSUPPORTED, "%.80s does not run: %s", device->id,
                                all[i].why);
        }
    }
    rr_free(all);
    if (err != RR_OK) {
        rr_hash_engine_free(engine);
        return err;
    }
    *out = engine;
    return RR_OK;
}

/* Folder of the rig's data: as cli_rig_open looks for it. False: there is none. */
static bool tuning_path(char path[static RR_PATH_BYTES], const char *data)
{
    const char *folders[] = {data, getenv("REELRIG_DATA"), "run", "/var/lib/reelrig"};
    struct stat st;
    for (size_t i = 0; i < RR_COUNT(folders); i++) {
        if (folders[i] != NULL && stat(folders[i], &st) == 0 && S_ISDIR(st.st_mode)) {
            return rr_path(path, NULL, "%s/" TUNING_FILE, folders[i]) == RR_OK;
        }
        if (folders[i] != NULL && i == 0) {
            break; /* the named one or none */
        }
    }
    return false;
}

struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool over;
    struct rr_hash_result result;
};

static void job_ended(void *ctx, const struct rr_hash_result *result)
{
    struct waiting *waiting = ctx;
    pthread_mutex_lock(&waiting->lock);
    waiting->result = *result;
    waiting->over = true;
    pthread_cond_signal(&waiting->ended);
    pthread_mutex_unlock(&waiting->lock);
}

static enum rr_err search(struct rr_hash_engine *engine, unsigned seconds, uint64_t *hashes,
                          double *took_s, struct rr_fault *fault)
{
    struct waiting waiting = {.lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};
    uint64_t start_us = rr_monotonic_us(rr_clock_system()), id;
    struct rr_hash_job job = {.kind = RR_HASH_ARGMIN,
                              .header_hash = {1},
                              .deadline_us = start_us + seconds * UINT64_C(1000000)};
    enum rr_err err = rr_hash_submit(engine, &id, &job, job_ended, &waiting, fault);
    if (err != RR_OK) {
        return err;
    }
    pthread_mutex_lock(&waiting.lock);
    while (!waiting.over) {
        pthread_cond_wait(&waiting.ended, &waiting.lock);
    }
    pthread_mutex_unlock(&waiting.lock);
    if (!waiting.result.found) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "the search ended without a result that the light "
                       "law confirms; the log above says why");
    }
    *hashes = waiting.result.hashes;
    *took_s = (double)(rr_monotonic_us(rr_clock_system()) - start_us) / 1e6;
    return RR_OK;
}

static enum rr_err bench_one(const struct gpu *gpu, const struct rr_hash_device *device,
                             json_t *row, struct rr_fault *fault)
{
    struct rr_hash_params params;
    struct rr_hash_device_status status;
    struct rr_hash_engine *engine = NULL;
    struct rr_hash_sample sample;
    struct rr_hash_tuning_file *tuning = NULL;
    char path[RR_PATH_BYTES];
    uint64_t hashes = 0, start_us = rr_monotonic_us(rr_clock_system());
    double took_s = 0;
    enum rr_err err = params_for(&params, gpu, device, fault);
    if (err == RR_OK && tuning_path(path, gpu->data)) {
        rr_hash_tuning_open(&tuning, path); /* raced once, not at each bench */
    }
    if (err != RR_OK ||
        (err = open_alone(&engine, &status, device, &params, tuning, fault)) != RR_OK) {
        rr_hash_tuning_close(tuning);
        return err;
    }
    double ready_s = (double)(rr_monotonic_us(rr_clock_system()) - start_us) / 1e6;
    err = search(engine, gpu->seconds, &hashes, &took_s, fault);
    if (err == RR_OK) {
        struct rr_hash_telemetry *telemetry = open_telemetry();
        rr_hash_telemetry_read(telemetry, &sample, device);
        rr_hash_telemetry_free(telemetry);
        double rate = (double)hashes / took_s;
        set(row, "state", json_string("running"));
        set(row, "variant", text_json(status.text));
        set(row, "dataset_bytes", json_integer((json_int_t)params.dataset_items * 128));
        set(row, "ready_s", json_real(ready_s));
        set(row, "seconds", json_real(took_s));
        set(row, "hashes", json_integer((json_int_t)hashes));
        set(row, "hashes_per_s", json_integer((json_int_t)rate));
        set(row, "gb_per_s", json_real(rate * HASH_BYTES / 1e9));
        set(row, "sensors", sensors_json(&sample));
    }
    rr_hash_engine_free(engine);
    rr_hash_tuning_close(tuning);
    return err;
}

static void print_bench(const json_t *row)
{
    if (cli_text(row, "why")[0] != '\0') {
        cli_print("  %-24s %s\n", cli_text(row, "id"), cli_text(row, "why"));
        return;
    }
    cli_print(
        "  %-24s %12" PRIu64 " H/s  %8.2f GB/s  dataset %" PRIu64 " MiB, ready in %.1f s, %s\n",
        cli_text(row, "id"), cli_number(row, "hashes_per_s"), cli_real(row, "gb_per_s"),
        cli_number(row, "dataset_bytes") >> 20, cli_real(row, "ready_s"), cli_text(row, "variant"));
}

/* ---- tune ---------------------------------------------------------------------------------------
 */
static enum rr_err tune_one(const struct gpu *gpu, const struct rr_hash_device *device, json_t *row,
                            struct rr_fault *fault)
{
    char path[RR_PATH_BYTES], text[RR_HASH_TUNING_TEXT] = "";
    struct rr_hash_params params;
    struct rr_hash_device_status status;
    struct rr_hash_engine *engine = NULL;
    struct rr_hash_tuning_file *tuning = NULL;
    enum rr_err err = params_for(&params, gpu, device, fault);
    if (err != RR_OK) {
        return err;
    }
    bool kept = tuning_path(path, gpu->data);
    if (kept) {
        rr_hash_tuning_open(&tuning, path);
    }
    err = open_alone(&engine, &status, device, &params, tuning, fault);
    if (err == RR_OK) {
        err = rr_hash_device_tune(engine, device->id, text, fault);
    }
    rr_hash_engine_free(engine);
    rr_hash_tuning_close(tuning);
    if (err == RR_OK) {
        set(row, "state", json_string("tuned"));
        set(row, "variant", text_json(text));
        set(row, "kept", kept ? json_string(path) : json_null());
    }
    return err;
}

static enum rr_err tune_by_rig(const struct gpu *gpu, json_t *rows, struct rr_fault *fault)
{
    json_t *devices = NULL, *device;
    size_t i;
    bool found = gpu->id == NULL;
    enum rr_err err = ask_rig(gpu, "devices", NULL, &devices, fault);
    json_array_foreach(json_object_get(devices, "devices"), i, device)
    {
        struct rr_fault why = {0};
        const char *id = cli_text(device, "id");
        if (gpu->id != NULL ? strcmp(gpu->id, id) != 0
                            : strcmp(cli_text(device, "state"), "running") != 0) {
            continue;
        }
        json_t *body = json_pack("{s:s}", "id", id), *answer = NULL, *row = json_object();
        char *text = json_dumps(body, JSON_COMPACT);
        json_free_t release;
        json_get_alloc_funcs(NULL, &release);
        found = true;
        set(row, "id", json_string(id));
        if (ask_rig(gpu, "devices/tune", text, &answer, &why) == RR_OK) {
            set(row, "state", json_string("tuned"));
            set(row, "variant", json_string(cli_text(answer, "variant")));
            set(row, "kept", json_string(TUNING_FILE " of the rig"));
        } else {
            set(row, "state", json_string("off"));
            set(row, "why", text_json(why.text));
        }
        json_array_append_new(rows, row);
        release(text);
        json_decref(body);
        json_decref(answer);
    }
    json_decref(devices);
    return err == RR_OK && !found
               ? rr_fail(fault, RR_ERR_NOTFOUND, "there is no device '%.80s'", gpu->id)
               : err;
}

static void print_tuned(const json_t *row)
{
    const char *why = cli_text(row, "why"), *kept = cli_text(row, "kept");
    cli_print("  %-24s %s%s%s\n", cli_text(row, "id"),
              why[0] != '\0' ? why : cli_text(row, "variant"), kept[0] != '\0' ? ", kept in " : "",
              kept);
}

/* ---- bench and tune over devices ----------------------------------------------------------------
 */
/* Runs each usable device (or the named one, or those of a backend); a device that fails says so in
 * its row. */
static enum rr_err each_device(const struct gpu *gpu, json_t *rows,
                               enum rr_err (*run)(const struct gpu *gpu,
                                                  const struct rr_hash_device *device, json_t *row,
                                                  struct rr_fault *fault),
                               size_t *good, struct rr_fault *fault)
{
    struct rr_hash_device *devices = rr_alloc_array(RR_HASH_DEVICES_MAX, sizeof(*devices));
    size_t count = rr_hash_devices(devices, RR_HASH_DEVICES_MAX), found = 0;
    for (size_t i = 0; i < count; i++) {
        struct rr_fault why = {0};
        bool named = gpu->id != NULL && (strcmp(gpu->id, devices[i].id) == 0 ||
                                         strcmp(gpu->id, devices[i].backend) == 0);
        if (gpu->id != NULL ? !named : devices[i].why_not[0] != '\0') {
            continue;
        }
        json_t *row = device_json(&devices[i]);
        found++;
        cli_progress("%s ...", devices[i].id);
        if (devices[i].why_not[0] == '\0') {
            if (run(gpu, &devices[i], row, &why) == RR_OK) {
                *good += 1;
            } else {
                set(row, "why", text_json(why.text));
            }
        }
        json_array_append_new(rows, row);
    }
    cli_progress("%s", "");
    rr_free(devices);
    return found > 0 ? RR_OK
                     : rr_fail(fault, RR_ERR_NOTFOUND,
                               "there is no device '%.80s'; `reelrig gpu list` shows them",
                               gpu->id != NULL ? gpu->id : "");
}

/* Exit status 0 when a device did it, 1 when none did. */
static int report(const struct gpu *gpu, json_t *rows, size_t good,
                  void (*print)(const json_t *row))
{
    if (gpu->json) {
        json_t *out = json_pack("{s:O}", "devices", rows);
        cli_print_json(out);
        json_decref(out);
    } else {
        const json_t *row;
        size_t i;
        json_array_foreach(rows, i, row)
        {
            print(row);
        }
    }
    return good > 0 ? 0 : 1;
}

static int bench(const struct gpu *gpu)
{
    struct rr_fault fault = {0};
    json_t *rows = json_array();
    size_t good = 0;
    enum rr_err err = each_device(gpu, rows, bench_one, &good, &fault);
    int status =
        err == RR_OK ? report(gpu, rows, good, print_bench) : cli_fail(err, &fault, gpu->json);
    json_decref(rows);
    return status;
}

static int tune(const struct gpu *gpu)
{
    struct rr_fault fault = {0};
    json_t *rows = json_array(), *row;
    size_t good = 0, i;
    enum rr_err err = tune_by_rig(gpu, rows, &fault);
    if (err == RR_ERR_UNREACHABLE) {
        err = each_device(gpu, rows, tune_one, &good, &fault);
    }
    json_array_foreach(rows, i, row)
    {
        good += strcmp(cli_text(row, "state"), "tuned") == 0 ? 1 : 0;
    }
    int status =
        err == RR_OK ? report(gpu, rows, good, print_tuned) : cli_fail(err, &fault, gpu->json);
    json_decref(rows);
    return status;
}

/* pause, resume, restart: of a rig only. */
static int command(const struct gpu *gpu, const char *verb)
{
    struct rr_fault fault = {0};
    char path[64];
    json_t *answer = NULL, *body = json_pack("{s:s}", "id", gpu->id);
    char *text = json_dumps(body, JSON_COMPACT);
    json_free_t release;
    json_get_alloc_funcs(NULL, &release);
    snprintf(path, sizeof path, "devices/%s", verb);
    enum rr_err err = ask_rig(gpu, path, text, &answer, &fault);
    int status = err == RR_OK ? 0 : cli_fail(err, &fault, gpu->json);
    if (err == RR_OK && gpu->json) {
        cli_print_json(answer);
    } else if (err == RR_OK) {
        cli_print("%s: %s\n", gpu->id, verb);
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

int cli_gpu(int argc, char **argv)
{
    struct gpu gpu = {.seconds = 3};
    const char *words[2] = {NULL, NULL};
    size_t count;
    const struct cli_option options[] = {{"data", &gpu.data, NULL},
                                         {"seconds", &gpu.seconds_text, NULL},
                                         {"epoch", &gpu.epoch_text, NULL},
                                         {"json", NULL, &gpu.json}};
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
        return bench(&gpu);
    }
    if (strcmp(verb, "tune") == 0) {
        return tune(&gpu);
    }
    if (count == 2 && (strcmp(verb, "pause") == 0 || strcmp(verb, "resume") == 0 ||
                       strcmp(verb, "restart") == 0)) {
        return command(&gpu, verb);
    }
    return cli_usage(argv[0]);
}
