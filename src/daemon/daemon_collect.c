/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gives back the space of objects that nothing names any more: those of jobs that failed after they
 * had stored something. */
#include "daemon/daemon_job.h"

#include <stdlib.h>
#include <string.h>

/* 32-byte ids one after another. */
struct ids {
    struct rr_buf bytes;
};

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

static bool add_manifest(void *ctx, const struct rr_hash32 *resource_id)
{
    struct ids *ids = ctx;
    rr_buf_append(&ids->bytes, resource_id->bytes, 32);
    return true;
}

static bool add_object(void *ctx, const struct rr_object *object)
{
    struct ids *ids = ctx;
    rr_buf_append(&ids->bytes, object->object_id.bytes, 32);
    return true;
}

/* Objects that a manifest names. One that cannot be read ends the whole: what it names is not
 * known. */
static enum rr_err name_published(struct rr_store *store, struct rr_buf *named,
                                  struct rr_fault *fault)
{
    struct ids resources = {0};
    enum rr_err err = rr_store_visit_manifests(store, add_manifest, &resources, fault);
    for (size_t at = 0; at < resources.bytes.len && err == RR_OK; at += 32) {
        struct rr_manifest manifest;
        struct rr_hash32 id;
        memcpy(id.bytes, resources.bytes.ptr + at, 32);
        err = rr_store_manifest(store, &manifest, &id, fault);
        if (err == RR_OK) {
            for (uint32_t i = 0; i < manifest.object_count; i++) {
                rr_buf_append(named, manifest.objects[i].object_id.bytes, 32);
            }
            rr_manifest_clear(&manifest);
        }
    }
    rr_buf_clear(&resources.bytes);
    return err;
}

static void name_originals(struct rr_rig *rig, struct rr_buf *named)
{
    pthread_mutex_lock(&rig->lock);
    for (const struct daemon_job *job = rig->jobs; job != NULL; job = job->next) {
        if (job->stage != JOB_FAILED) {
            rr_buf_append(named, job->spec.source.bytes, 32);
        }
    }
    pthread_mutex_unlock(&rig->lock);
}

static enum rr_err collect(struct rr_rig *rig, uint64_t *removed, struct rr_fault *fault)
{
    struct ids objects = {0};
    struct rr_buf named = {0};
    enum rr_err err = rr_store_visit(rig->store, add_object, &objects, fault);
    if (err == RR_OK && (err = name_published(rig->store, &named, fault)) == RR_OK) {
        name_originals(rig, &named);
        if (named.len > 0) {
            qsort(named.ptr, named.len / 32, 32, compare);
        }
    }
    for (size_t at = 0; at < objects.bytes.len && err == RR_OK; at += 32) {
        struct rr_hash32 id;
        memcpy(id.bytes, objects.bytes.ptr + at, 32);
        if (named.len == 0 || bsearch(id.bytes, named.ptr, named.len / 32, 32, compare) == NULL) {
            err = rr_store_remove(rig->store, &id, fault);
            *removed += err == RR_OK ? 1 : 0;
        }
    }
    rr_buf_clear(&objects.bytes);
    rr_buf_clear(&named);
    return err;
}

void daemon_collect(void *ctx)
{
    struct rr_rig *rig = ctx;
    struct rr_fault fault = {0};
    uint64_t removed = 0;
    if (rig->job_records_unread || atomic_load(&rig->stopping)) {
        return; /* what an unread record names is not known */
    }
    if (collect(rig, &removed, &fault) != RR_OK) {
        rr_log_fault(RR_LOG_WARN, "store", &fault);
    }
    if (removed > 0) {
        rr_log(RR_LOG_INFO, "store", "removed %llu objects that no resource and no job names",
               (unsigned long long)removed);
    }
}
