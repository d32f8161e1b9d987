/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One thread looks; what can take long (a restart) runs on a thread of its own, so that one card
 * never keeps the others unwatched. */
#include "daemon/daemon_device_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOK_US      UINT64_C(1000000)
#define BUSY_PERCENT 10 /* of the time, for a rate to be worth judging */

static uint64_t now_us(void)
{
    return rr_monotonic_us(rr_clock_system());
}

static struct daemon_device_row *find(struct daemon_devices *devices, const char *id)
{
    for (size_t i = 0; i < devices->count; i++) {
        if (strcmp(devices->rows[i].status.device.id, id) == 0) {
            return &devices->rows[i];
        }
    }
    return NULL;
}

/* ---- hands --------------------------------------------------------------------------------------
 */
static void *restart(void *argument)
{
    struct daemon_device_row *row = argument;
    struct daemon_devices *all = row->all;
    struct rr_fault fault = {0};
    char id[sizeof(row->status.device.id)];
    pthread_mutex_lock(&all->lock);
    snprintf(id, sizeof id, "%s", row->status.device.id);
    pthread_mutex_unlock(&all->lock);
    enum rr_err err = rr_hash_device_restart(all->rig->engine, id, &fault);
    if (err != RR_OK && err != RR_ERR_CANCELLED) {
        rr_log_fault(RR_LOG_WARN, "devices", &fault);
    }
    pthread_mutex_lock(&all->lock);
    row->restarting = false;
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

/* Lock held; a restart under way is enough. */
static void start_restart(struct daemon_device_row *row)
{
    if (row->restarting) {
        return;
    }
    if (row->joinable) {
        pthread_join(row->restarter, NULL); /* it has done its work: no wait */
        row->joinable = false;
    }
    row->restarting = true;
    if (pthread_create(&row->restarter, NULL, restart, row) != 0) {
        row->restarting = false;
        rr_log(RR_LOG_WARN, "devices", "no thread to restart %s", row->status.device.id);
        return;
    }
    row->joinable = true;
}

/* Lock held. Brings the engine to what guard and user want; asked again at each look, since the
 * engine restarts devices by itself as well. */
static void act(struct daemon_devices *devices, struct daemon_device_row *row)
{
    const struct rr_hash_guard_answer *answer = &row->answer;
    const char *id = row->status.device.id;
    struct rr_fault fault = {0};
    bool held = row->paused_by_user || answer->want == RR_HASH_GUARD_PAUSE ||
                answer->want == RR_HASH_GUARD_OFF;
    if (answer->want == RR_HASH_GUARD_RESTART && !row->paused_by_user) {
        start_restart(row);
    } else if (held && row->status.state == RR_HASH_DEVICE_RUNNING) {
        const char *why = answer->why[0] != '\0' ? answer->why : "by command";
        (void)rr_hash_device_pause(devices->rig->engine, id, why, &fault);
    } else if (!held && row->status.state == RR_HASH_DEVICE_PAUSED) {
        (void)rr_hash_device_pause(devices->rig->engine, id, NULL, &fault);
    }
}

static void tell(const struct daemon_device_row *row)
{
    const struct rr_hash_guard_answer *answer = &row->answer;
    const char *id = row->status.device.id;
    if (answer->said[0] != '\0') {
        rr_log(RR_LOG_WARN, "devices", "%s: %s%s%s", id, answer->said,
               row->sample.trouble[0] != '\0' ? ": " : "", row->sample.trouble);
    }
    if (!answer->changed) {
        return;
    }
    switch (answer->want) {
    case RR_HASH_GUARD_RUN:
        rr_log(RR_LOG_INFO, "devices", "%s goes on", id);
        break;
    case RR_HASH_GUARD_PAUSE:
        rr_log(RR_LOG_WARN, "devices", "%s pauses: %s", id, answer->why);
        break;
    case RR_HASH_GUARD_RESTART:
        rr_log(RR_LOG_WARN, "devices", "%s is restarted: %s", id, answer->why);
        break;
    case RR_HASH_GUARD_OFF:
        rr_log(RR_LOG_ERROR, "devices",
               "%s is off: %s; look at it, then `reelrig gpu restart %s`, or restart the rig", id,
               answer->why, id);
        break;
    }
}

/* ---- eyes ---------------------------------------------------------------------------------------
 */
static struct rr_hash_guard_input input_of(const struct daemon_device_row *row,
                                           const struct rr_hash_device_status *now,
                                           const struct rr_hash_sample *sample, uint64_t passed_us)
{
    struct rr_hash_guard_input in = {
        .temperature_known = rr_hash_sample_has(sample, RR_HASH_READING_TEMPERATURE),
        .temperature_mc = (int32_t)sample->value[RR_HASH_READING_TEMPERATURE],
        .running = now->state == RR_HASH_DEVICE_RUNNING,
        .lost = now->state == RR_HASH_DEVICE_LOST,
        .wrong = now->state == RR_HASH_DEVICE_WRONG,
        .quanta = now->quanta,
        .errors = now->errors + now->failed_checks,
        .in_flight = now->in_flight,
    };
    /* Rate of its busy time. The processor is shared with encoding, which may take it away: its
     * rate says nothing about its health. */
    if (!now->device.processor && strcmp(now->device.backend, "cpu") != 0 &&
        now->quanta > row->status.quanta && now->hashes > row->status.hashes) {
        uint64_t busy_us = (now->quanta - row->status.quanta) * now->last_quantum_us;
        if (busy_us > passed_us * BUSY_PERCENT / 100 && busy_us > 0) {
            in.rate_known = true;
            in.rate = (now->hashes - row->status.hashes) * 1000000 / busy_us;
        }
    }
    return in;
}

/* Lock held. */
static void look_at(struct daemon_devices *devices, const struct rr_hash_device_status *status,
                    const struct rr_hash_sample *sample, uint64_t now)
{
    struct daemon_device_row *row = find(devices, status->device.id);
    if (row == NULL) {
        if (devices->count == RR_HASH_DEVICES_MAX) {
            return;
        }
        row = &devices->rows[devices->count++];
        row->all = devices;
        row->status = *status;
        rr_hash_guard_init(&row->guard, &devices->guards);
    }
    struct rr_hash_guard_input in = input_of(row, status, sample, now - row->looked_us);
    row->looked_us = now;
    row->status = *status;
    row->sample = *sample;
    /* A device that is being prepared is neither well nor ill. */
    row->guarded = devices->rig->engine != NULL &&
                   (status->state != RR_HASH_DEVICE_OFF || row->guard.want == RR_HASH_GUARD_OFF);
    if (row->guarded && status->state != RR_HASH_DEVICE_PREPARING && !row->restarting) {
        row->answer = rr_hash_guard_step(&row->guard, &in, now);
        tell(row);
        act(devices, row);
    }
}

/* Lock held. */
static void look_at_rig(struct daemon_devices *devices)
{
    const struct rr_hash_guard *guards[RR_HASH_DEVICES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < devices->count; i++) {
        if (devices->rows[i].guarded) {
            guards[count++] = &devices->rows[i].guard;
        }
    }
    bool down = rr_hash_guard_all_off(guards, count);
    if (down && !devices->down) {
        rr_log(RR_LOG_ERROR, "devices",
               "no device is left to search: no blocks, puzzles wait; serving goes on");
    }
    devices->down = down;
}

static size_t list(struct daemon_devices *devices)
{
    if (devices->rig->engine != NULL) {
        return rr_hash_engine_devices(devices->rig->engine, devices->seen, RR_HASH_DEVICES_MAX);
    }
    if (devices->count > 0) { /* nobody uses them: what was found at the start stays */
        return devices->count;
    }
    struct rr_hash_device *found = rr_alloc_array(RR_HASH_DEVICES_MAX, sizeof(*found));
    size_t count = rr_hash_devices(found, RR_HASH_DEVICES_MAX);
    for (size_t i = 0; i < count; i++) {
        devices->seen[i] = (struct rr_hash_device_status){.device = found[i]};
        snprintf(devices->seen[i].why, sizeof(devices->seen[i].why), "%s",
                 found[i].why_not[0] != '\0' ? found[i].why_not : "mine.enabled is false");
    }
    rr_free(found);
    return count;
}

static void look(struct daemon_devices *devices)
{
    size_t count = list(devices);
    for (size_t i = 0; i < count; i++) {
        struct rr_hash_sample sample = {0};
        if (devices->seen[i].device.why_not[0] == '\0' || devices->seen[i].device.pci[0] != '\0') {
            rr_hash_telemetry_read(devices->telemetry, &sample, &devices->seen[i].device);
        }
        pthread_mutex_lock(&devices->lock);
        if (!devices->stopping) {
            look_at(devices, &devices->seen[i], &sample, now_us());
        }
        pthread_mutex_unlock(&devices->lock);
    }
    pthread_mutex_lock(&devices->lock);
    look_at_rig(devices);
    pthread_mutex_unlock(&devices->lock);
}

static void *watch(void *argument)
{
    struct daemon_devices *devices = argument;
    pthread_mutex_lock(&devices->lock);
    while (!devices->stopping) {
        pthread_mutex_unlock(&devices->lock);
        look(devices);
        uint64_t until_us = now_us() + LOOK_US;
        struct timespec until = {.tv_sec = (time_t)(until_us / 1000000),
                                 .tv_nsec = (long)(until_us % 1000000) * 1000};
        pthread_mutex_lock(&devices->lock);
        if (!devices->stopping) {
            pthread_cond_timedwait(&devices->wake, &devices->lock, &until);
        }
    }
    pthread_mutex_unlock(&devices->lock);
    return NULL;
}

/* ---- life ---------------------------------------------------------------------------------------
 */
static struct rr_hash_guard_options guard_options(const struct rig_config *config)
{
    struct rr_hash_guard_options options = rr_hash_guard_defaults();
    options.temperature_max_mc = (int32_t)config->temperature_max_c * 1000;
    options.hysteresis_mc = (int32_t)config->temperature_hysteresis_c * 1000;
    options.restarts_max = config->restarts_per_hour;
    options.errors_max = config->errors_per_minute;
    options.rate_percent = config->rate_floor_percent;
    options.rate_us = config->rate_floor_percent == 0 ? 0 : options.rate_us;
    return options;
}

static void free_devices(struct daemon_devices *devices)
{
    rr_hash_telemetry_free(devices->telemetry);
    pthread_cond_destroy(&devices->wake);
    pthread_mutex_destroy(&devices->lock);
    rr_free(devices->rows);
    rr_free(devices->seen);
    rr_free(devices);
}

enum rr_err daemon_devices_start(struct rr_rig *rig, struct rr_fault *fault)
{
    struct daemon_devices *devices = rr_alloc(sizeof(*devices));
    struct rr_hash_telemetry_options options = {.sysfs_root = getenv("REELRIG_SYSFS"),
                                                .nvml_path = getenv("REELRIG_NVML")};
    pthread_condattr_t attr;
    devices->rig = rig;
    devices->guards = guard_options(&rig->config);
    devices->cpu_share = rig->config.mine_share_percent;
    devices->gpu_share = rig->config.gpu_share_percent;
    devices->rows = rr_alloc_array(RR_HASH_DEVICES_MAX, sizeof(*devices->rows));
    devices->seen = rr_alloc_array(RR_HASH_DEVICES_MAX, sizeof(*devices->seen));
    pthread_mutex_init(&devices->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&devices->wake, &attr);
    pthread_condattr_destroy(&attr);
    rr_hash_telemetry_new(&devices->telemetry, &options);
    if (pthread_create(&devices->thread, NULL, watch, devices) != 0) {
        free_devices(devices);
        return rr_fail(fault, RR_ERR_IO,
                       "no thread for watching the hash devices; raise the limit "
                       "of tasks");
    }
    rig->devices = devices;
    return RR_OK;
}

void daemon_devices_stop(struct daemon_devices *devices)
{
    if (devices == NULL) {
        return;
    }
    pthread_mutex_lock(&devices->lock);
    devices->stopping = true;
    pthread_cond_broadcast(&devices->wake);
    pthread_mutex_unlock(&devices->lock);
    pthread_join(devices->thread, NULL);
    for (size_t i = 0; i < devices->count; i++) {
        if (devices->rows[i].joinable) {
            pthread_join(devices->rows[i].restarter, NULL);
        }
    }
    free_devices(devices);
}

/* ---- commands -----------------------------------------------------------------------------------
 */
static enum rr_err tune(struct daemon_devices *devices, const char *id, json_t **out,
                        struct rr_fault *fault)
{
    char text[RR_HASH_TUNING_TEXT] = "";
    enum rr_err err = rr_hash_device_tune(devices->rig->engine, id, text, fault);
    if (err == RR_OK) {
        *out = json_pack("{s:s, s:s}", "id", id, "variant", text);
    }
    return err;
}

static enum rr_err no_engine(struct rr_fault *fault)
{
    return rr_fail(fault, RR_ERR_STATE, "mine.enabled is false: no device is in use");
}

enum rr_err daemon_devices_command(struct daemon_devices *devices, const char *verb, const char *id,
                                   json_t **out, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    if (devices->rig->engine == NULL) {
        return no_engine(fault);
    }
    if (strcmp(verb, "tune") == 0) {
        return tune(devices, id, out, fault);
    }
    pthread_mutex_lock(&devices->lock);
    struct daemon_device_row *row = find(devices, id);
    if (row == NULL) {
        err = rr_fail(fault, RR_ERR_NOTFOUND,
                      "there is no device '%.80s'; `reelrig gpu list` shows them", id);
    } else if (strcmp(verb, "restart") == 0) {
        rr_hash_guard_clear(&row->guard);
        row->paused_by_user = false;
        start_restart(row);
    } else if (strcmp(verb, "pause") == 0 || strcmp(verb, "resume") == 0) {
        row->paused_by_user = verb[0] == 'p';
        pthread_cond_broadcast(&devices->wake); /* the next look does it */
    } else {
        err = rr_fail(fault, RR_ERR_NOTFOUND,
                      "devices/%.40s is no command; pause, resume, restart, tune or share was "
                      "expected",
                      verb);
    }
    pthread_mutex_unlock(&devices->lock);
    if (err == RR_OK) {
        *out = json_pack("{s:s, s:s}", "id", id, "command", verb);
    }
    return err;
}

json_t *daemon_devices_shares(struct daemon_devices *devices)
{
    pthread_mutex_lock(&devices->lock);
    json_t *out =
        json_pack("{s:i, s:i}", "cpu", (int)devices->cpu_share, "gpu", (int)devices->gpu_share);
    pthread_mutex_unlock(&devices->lock);
    return out;
}

enum rr_err daemon_devices_share(struct daemon_devices *devices, uint32_t cpu_percent,
                                 uint32_t gpu_percent, json_t **out, struct rr_fault *fault)
{
    if (devices->rig->engine == NULL) {
        return no_engine(fault);
    }
    pthread_mutex_lock(&devices->lock);
    devices->cpu_share = cpu_percent != 0 ? cpu_percent : devices->cpu_share;
    devices->gpu_share = gpu_percent != 0 ? gpu_percent : devices->gpu_share;
    rr_hash_engine_set_share(devices->rig->engine, devices->cpu_share, devices->gpu_share);
    pthread_mutex_unlock(&devices->lock);
    *out = daemon_devices_shares(devices);
    return RR_OK;
}

void daemon_devices_alarm(struct daemon_devices *devices, char text[static 160])
{
    pthread_mutex_lock(&devices->lock);
    snprintf(text, 160, "%s", devices->down ? "no device is left to search" : "");
    pthread_mutex_unlock(&devices->lock);
}
