/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reelrig gpu bench and tune: engines of this process, a device each. */
#include "cli/cli_gpu.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define EPOCH_OF_GPUS       390          /* 4.08 GiB: beyond the caches of any card */
#define BENCH_CACHE_ITEMS   16381        /* 1 MiB, prime */
#define BENCH_DATASET_ITEMS 524287       /* 64 MiB, prime: beyond most caches, made in seconds */
#define HASH_BYTES          8192.0       /* read by a hash: 64 rows of 128 bytes */
#define TUNING_FILE         "tuning.txt" /* in the data folder */

/* ---- engines of this process --------------------------------------------------------------------
 */
static enum rr_err params_for(struct rr_hash_params *out, const struct cli_gpu *gpu,
                              const struct rr_hash_device *device, struct rr_fault *fault)
{
    bool processor = device->processor || strcmp(device->backend, "cpu") == 0;
    if (gpu->epoch_text == NULL && processor) {
        *out = (struct rr_hash_params){.cache_items = BENCH_CACHE_ITEMS,
                                       .dataset_items = BENCH_DATASET_ITEMS};
        return RR_OK;
    }
    return rr_hash_params_epoch(out, gpu->epoch_text != NULL ? gpu->epoch : EPOCH_OF_GPUS,
                                RR_HASH_ETHASH_BLOCKS, fault);
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

enum rr_err cli_gpu_search(struct rr_hash_engine *engine, struct rr_hash_result *out,
                           const struct rr_hash_job *job, struct rr_fault *fault)
{
    struct waiting waiting = {.lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};
    uint64_t id;
    enum rr_err err = rr_hash_submit(engine, &id, job, job_ended, &waiting, fault);
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
    *out = waiting.result;
    return RR_OK;
}

static enum rr_err bench_one(const struct cli_gpu *gpu, const struct rr_hash_device *device,
                             json_t *row, struct rr_fault *fault)
{
    struct rr_hash_params params;
    struct rr_hash_device_status status;
    struct rr_hash_engine *engine = NULL;
    struct rr_hash_sample sample;
    struct rr_hash_tuning_file *tuning = NULL;
    char path[RR_PATH_BYTES];
    struct rr_hash_result result;
    uint64_t start_us = rr_monotonic_us(rr_clock_system());
    enum rr_err err = params_for(&params, gpu, device, fault);
    if (err == RR_OK && tuning_path(path, gpu->data)) {
        rr_hash_tuning_open(&tuning, path); /* raced once, not at each bench */
    }
    if (err != RR_OK ||
        (err = open_alone(&engine, &status, device, &params, tuning, fault)) != RR_OK) {
        rr_hash_tuning_close(tuning);
        return err;
    }
    uint64_t ready_us = rr_monotonic_us(rr_clock_system());
    struct rr_hash_job job = {.kind = RR_HASH_ARGMIN,
                              .header_hash = {1},
                              .deadline_us = ready_us + gpu->seconds * UINT64_C(1000000)};
    err = cli_gpu_search(engine, &result, &job, fault);
    double took_s = (double)(rr_monotonic_us(rr_clock_system()) - ready_us) / 1e6;
    if (err == RR_OK) {
        struct rr_hash_telemetry *telemetry = cli_gpu_telemetry();
        rr_hash_telemetry_read(telemetry, &sample, device);
        rr_hash_telemetry_free(telemetry);
        double rate = (double)result.hashes / took_s;
        cli_json_set(row, "state", json_string("running"));
        cli_json_set(row, "variant", cli_json_text(status.text));
        cli_json_set(row, "dataset_bytes", json_integer((json_int_t)params.dataset_items * 128));
        cli_json_set(row, "ready_s", json_real((double)(ready_us - start_us) / 1e6));
        cli_json_set(row, "seconds", json_real(took_s));
        cli_json_set(row, "hashes", json_integer((json_int_t)result.hashes));
        cli_json_set(row, "hashes_per_s", json_integer((json_int_t)rate));
        cli_json_set(row, "gb_per_s", json_real(rate * HASH_BYTES / 1e9));
        cli_json_set(row, "sensors", cli_gpu_sensors(&sample));
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
static enum rr_err tune_one(const struct cli_gpu *gpu, const struct rr_hash_device *device,
                            json_t *row, struct rr_fault *fault)
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
        cli_json_set(row, "state", json_string("tuned"));
        cli_json_set(row, "variant", cli_json_text(text));
        cli_json_set(row, "kept", kept ? json_string(path) : json_null());
    }
    return err;
}

static enum rr_err tune_by_rig(const struct cli_gpu *gpu, json_t *rows, struct rr_fault *fault)
{
    json_t *devices = NULL, *device;
    size_t i;
    bool found = gpu->id == NULL;
    enum rr_err err = cli_gpu_ask(gpu, "devices", NULL, &devices, fault);
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
        cli_json_set(row, "id", json_string(id));
        if (cli_gpu_ask(gpu, "devices/tune", text, &answer, &why) == RR_OK) {
            cli_json_set(row, "state", json_string("tuned"));
            cli_json_set(row, "variant", json_string(cli_text(answer, "variant")));
            cli_json_set(row, "kept", json_string(TUNING_FILE " of the rig"));
        } else {
            cli_json_set(row, "state", json_string("off"));
            cli_json_set(row, "why", cli_json_text(why.text));
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
static enum rr_err each_device(const struct cli_gpu *gpu, json_t *rows,
                               enum rr_err (*run)(const struct cli_gpu *gpu,
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
        json_t *row = cli_gpu_device(&devices[i]);
        found++;
        cli_progress("%s ...", devices[i].id);
        if (devices[i].why_not[0] == '\0') {
            if (run(gpu, &devices[i], row, &why) == RR_OK) {
                *good += 1;
            } else {
                cli_json_set(row, "why", cli_json_text(why.text));
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
static int report(const struct cli_gpu *gpu, json_t *rows, size_t good,
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

int cli_gpu_bench(const struct cli_gpu *gpu)
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

int cli_gpu_tune(const struct cli_gpu *gpu)
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
