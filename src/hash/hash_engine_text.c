/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the engine says of itself as a whole: which devices search, how fast, at which share. */
#include "hash/hash_engine.h"
#include <stdio.h>
#include <string.h>

/* clang-format off */
static RR_GAUGE(rate_gauge, "reelrig_hash_rate", "Hashes per second over the last second")
    /* clang-format on */

    struct hash_text {
    struct hash_text *next;
    char text[512];
};

void hash_engine_retext(struct rr_hash_engine *engine)
{
    struct hash_text text = {0};
    size_t len = 0;
    for (uint32_t i = 0; i < engine->device_count; i++) {
        const struct hash_device *device = &engine->devices[i];
        if (device->run != NULL && device->run->now != NULL && len < sizeof text.text) {
            len += (size_t)snprintf(text.text + len, sizeof text.text - len, "%s%s, %s",
                                    len > 0 ? "; " : "", device->backend->name,
                                    device->run->now->text);
        }
    }
    if (len == 0) {
        (void)snprintf(text.text, sizeof text.text, "no device searches");
    }
    struct hash_text *known = engine->texts;
    while (known != NULL && strcmp(known->text, text.text) != 0) {
        known = known->next;
    }
    if (known == NULL) { /* there are few different ones; each is kept, for those who hold it */
        known = rr_alloc(sizeof(*known));
        *known = text;
        known->next = engine->texts;
        engine->texts = known;
    }
    atomic_store(&engine->text, known->text);
}

const char *rr_hash_engine_text(const struct rr_hash_engine *engine)
{
    return atomic_load(&engine->text);
}

uint64_t rr_hash_engine_rate(struct rr_hash_engine *engine)
{
    uint64_t rate = 0;
    (void)pthread_mutex_lock(&engine->lock);
    uint64_t now = hash_now_us();
    for (uint32_t i = 0; i < engine->device_count; i++) {
        rate += hash_device_rate(&engine->devices[i], now);
    }
    (void)pthread_mutex_unlock(&engine->lock);
    rr_gauge_set(&rate_gauge, rate);
    return rate;
}

void rr_hash_engine_set_share(struct rr_hash_engine *engine, uint32_t cpu_percent,
                              uint32_t gpu_percent)
{
    (void)pthread_mutex_lock(&engine->lock);
    engine->cpu_percent = cpu_percent == 0 || cpu_percent > 100 ? 100 : cpu_percent;
    engine->gpu_percent = gpu_percent == 0 || gpu_percent > 100 ? 100 : gpu_percent;
    hash_stir(engine);
    (void)pthread_mutex_unlock(&engine->lock);
}

void hash_texts_clear(struct rr_hash_engine *engine)
{
    while (engine->texts != NULL) {
        struct hash_text *text = engine->texts;
        engine->texts = text->next;
        rr_free(text);
    }
}
