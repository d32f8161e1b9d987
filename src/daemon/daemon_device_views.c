/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices as JSON and as metrics with labels. */
#include "daemon/daemon_device_rows.h"

#include <inttypes.h>
#include <string.h>

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

static json_t *row_json(const struct daemon_device_row *row)
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

static void add_row(struct rr_buf *out, const char *name, const struct daemon_device_row *row,
                    int64_t value)
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
            const struct daemon_device_row *row = &devices->rows[i];
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
