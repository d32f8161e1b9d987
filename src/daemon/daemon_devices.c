/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One thread looks; what can take long (a restart) runs on a thread of its own, so that one card
 * never keeps the others unwatched. */
#include "daemon/daemon_devices.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOK_US      UINT64_C(1000000)
#define BUSY_PERCENT 10 /* of the time, for a rate to be worth judging */

struct row {
    struct rr_hash_device_status status;
    struct rr_hash_sample sample;
    struct rr_hash_guard guard;
    struct rr_hash_guard_answer answer;
    uint64_t looked_us;
    bool guarded;        /* the engine uses it: it counts for the rig */
    bool paused_by_user; /* by command */
    struct daemon_devices *all;
    pthread_t restarter;
    bool restarting, joinable;
};

struct daemon_devices {
    struct rr_rig *rig;
    struct rr_hash_telemetry *telemetry;
    struct rr_hash_guard_options guards;
    pthread_t thread;
    struct rr_hash_device_status *seen; /* of the thread alone */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* below under lock */
    bool stopping, down;
    struct row *rows; /* RR_HASH_DEVICES_MAX; a row keeps its place */
    size_t count;
};

static uint64_t now_us(void)
{
    return rr_monotonic_us(rr_clock_system());
}

static const char *state_text(enum rr_hash_device_state state)
{
    switch (state) {
    case RR_HASH_DEVICE_OFF:
        return "off";
    case RR_HASH_DEVICE_PREPARING:
        return "preparing";
    case RR_HASH_DEVICE_RUNNING:
        return "running";
    case RR_HASH_DEVICE_PAUSED:
        return "paused";
    case RR_HASH_DEVICE_LOST:
        return "lost";
    case RR_HASH_DEVICE_WRONG:
        return "wrong";
    }
    return "off";
}

static struct row *find(struct daemon_devices *devices, const char *id)
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
    struct row *row = argument;
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
static void start_restart(struct row *row)
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
static void act(struct daemon_devices *devices, struct row *row)
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

static void tell(const struct row *row)
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
static struct rr_hash_guard_input input_of(const struct row *row,
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
    struct row *row = find(devices, status->device.id);
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

enum rr_err daemon_devices_command(struct daemon_devices *devices, const char *verb, const char *id,
                                   json_t **out, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    if (devices->rig->engine == NULL) {
        return rr_fail(fault, RR_ERR_STATE, "mine.enabled is false: no device is in use");
    }
    if (strcmp(verb, "tune") == 0) {
        return tune(devices, id, out, fault);
    }
    pthread_mutex_lock(&devices->lock);
    struct row *row = find(devices, id);
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
                      "devices/%.40s is no command; pause, resume, restart or tune was expected",
                      verb);
    }
    pthread_mutex_unlock(&devices->lock);
    if (err == RR_OK) {
        *out = json_pack("{s:s, s:s}", "id", id, "command", verb);
    }
    return err;
}

void daemon_devices_alarm(struct daemon_devices *devices, char text[static 160])
{
    pthread_mutex_lock(&devices->lock);
    snprintf(text, 160, "%s", devices->down ? "no device is left to search" : "");
    pthread_mutex_unlock(&devices->lock);
}

/* ---- views --------------------------------------------------------------------------------------
 */
static void set(json_t *object, const char *key, json_t *value)
{
    RR_CHECK(value != NULL && json_object_set_new(object, key, value) == 0);
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

/* Text from drivers may be no UTF-8. */
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

static json_t *row_json(const struct row *row)
{
    const struct rr_hash_device_status *s = &row->status;
    const struct rr_hash_device *device = &s->device;
    bool off = row->guarded && row->answer.want == RR_HASH_GUARD_OFF;
    json_t *out = json_object();
    set(out, "id", text_json(device->id));
    set(out, "backend", text_json(device->backend));
    set(out, "name", text_json(device->name));
    set(out, "driver", text_json(device->driver));
    set(out, "pci", text_json(device->pci));
    set(out, "memory_bytes", number(device->memory_bytes));
    set(out, "units", number(device->units));
    set(out, "state", json_string(off ? "off" : state_text(s->state)));
    set(out, "why",
        text_json(off                              ? row->answer.why
                  : s->why[0] != '\0'              ? s->why
                  : s->state == RR_HASH_DEVICE_OFF ? device->why_not
                                                   : ""));
    set(out, "variant", text_json(s->text));
    set(out, "hashes_per_s", number(s->rate));
    set(out, "effective_hashes_per_s", number(s->effective_rate));
    set(out, "hashes", number(s->hashes));
    set(out, "quanta", number(s->quanta));
    set(out, "accepted", number(s->accepted));
    set(out, "rejected", number(s->rejected));
    set(out, "failed_checks", number(s->failed_checks));
    set(out, "stale", number(s->stale));
    set(out, "errors", number(s->errors));
    set(out, "restarts", number(s->restarts));
    set(out, "last_quantum_us", number(s->last_quantum_us));
    set(out, "in_flight", number(s->in_flight));
    set(out, "sensors", sensors_json(&row->sample));
    return out;
}

json_t *daemon_devices_view(struct daemon_devices *devices)
{
    json_t *out = json_array();
    pthread_mutex_lock(&devices->lock);
    for (size_t i = 0; i < devices->count; i++) {
        json_array_append_new(out, row_json(&devices->rows[i]));
    }
    pthread_mutex_unlock(&devices->lock);
    return out;
}

/* A label's value, as the text format wants it escaped. */
static void add_label(struct rr_buf *out, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\\' || *p == '"') {
            rr_buf_append(out, "\\", 1);
        }
        if (*p == '\n') {
            rr_buf_append(out, "\\n", 2);
        } else {
            rr_buf_append(out, p, 1);
        }
    }
}

static void add_row(struct rr_buf *out, const char *name, const struct row *row, int64_t value)
{
    rr_buf_format(out, "reelrig_device_%s{device=\"", name);
    add_label(out, row->status.device.id);
    rr_buf_format(out, "\"} %" PRId64 "\n", value);
}

static void add_head(struct rr_buf *out, const char *name, const char *help, const char *type)
{
    rr_buf_format(out, "# HELP reelrig_device_%s %s\n# TYPE reelrig_device_%s %s\n", name, help,
                  name, type);
}

#define FIELD(name, type, help, field)                                                             \
    {                                                                                              \
        name, type, help, offsetof(struct rr_hash_device_status, field)                            \
    }
static const struct {
    const char *name, *type, *help;
    size_t offset; /* of a uint64_t */
} fields[] = {
    FIELD("hashes_total", "counter", "Hashes made", hashes),
    FIELD("quanta_total", "counter", "Runs of the device", quanta),
    FIELD("accepted_total", "counter", "Results that the light law confirmed", accepted),
    FIELD("rejected_total", "counter", "Results that the light law refused", rejected),
    FIELD("failed_checks_total", "counter", "Proofs and samples refused", failed_checks),
    FIELD("stale_total", "counter", "Works ended by a switch of epochs", stale),
    FIELD("errors_total", "counter", "Errors of the device", errors),
    FIELD("restarts_total", "counter", "Times it was opened again", restarts),
    FIELD("hashes_per_second", "gauge", "Hashes per second over the last second", rate),
    FIELD("effective_hashes_per_second", "gauge", "What its accepted results stand for",
          effective_rate),
    FIELD("last_quantum_us", "gauge", "Length of the last run", last_quantum_us),
};
#undef FIELD

static void add_readings(struct daemon_devices *devices, struct rr_buf *out)
{
    for (unsigned reading = 0; reading < RR_HASH_READING_COUNT; reading++) {
        bool head = false;
        for (size_t i = 0; i < devices->count; i++) {
            const struct row *row = &devices->rows[i];
            if (!rr_hash_sample_has(&row->sample, reading)) {
                continue; /* unknown is absent, never 0 */
            }
            if (!head) {
                add_head(out, rr_hash_reading_name(reading), rr_hash_reading_help(reading),
                         "gauge");
                head = true;
            }
            add_row(out, rr_hash_reading_name(reading), row, row->sample.value[reading]);
        }
    }
}

void daemon_devices_metrics(struct daemon_devices *devices, struct rr_buf *out)
{
    pthread_mutex_lock(&devices->lock);
    for (size_t f = 0; f < RR_COUNT(fields) && devices->count > 0; f++) {
        add_head(out, fields[f].name, fields[f].help, fields[f].type);
        for (size_t i = 0; i < devices->count; i++) {
            uint64_t value;
            memcpy(&value, (const char *)&devices->rows[i].status + fields[f].offset,
                   sizeof(value));
            add_row(out, fields[f].name, &devices->rows[i], (int64_t)value);
        }
    }
    if (devices->count > 0) {
        add_head(out, "running", "1: it takes work", "gauge");
    }
    for (size_t i = 0; i < devices->count; i++) {
        add_row(out, "running", &devices->rows[i],
                devices->rows[i].status.state == RR_HASH_DEVICE_RUNNING);
    }
    add_readings(devices, out);
    pthread_mutex_unlock(&devices->lock);
}
