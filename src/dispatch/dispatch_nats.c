/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connection, streams and registries. */
#include "dispatch/dispatch_nats.h"
#include <stdio.h>
#include <string.h>

#define OPEN_TRIES_US UINT64_C(30000000)
#define ALONE_US      UINT64_C(10000000) /* until a cluster counts as smaller than three */
#define PARTS_BYTES   (INT64_C(64) << 30)
#define DAY_NS        (INT64_C(86400) * 1000000000)
#define MEND_US       UINT64_C(2000000)
#define URLS_MAX      16
#define NO_REPLICAS   10074 /* replicas > 1 not supported in non-clustered mode */
#define NO_PEERS      10005 /* no suitable peers for placement */
#define EXISTS        10058 /* stream name already in use */
#define NOT_FOUND     10037 /* no message found */
#define NO_STREAM     10059 /* stream not found */
#define REMOVE_MAX    4096u

uint64_t nats_now_us(void)
{
    return rr_monotonic_us(rr_clock_system());
}

bool rr_dispatch_nats_built(void)
{
    return true;
}

static bool of_login(natsStatus status)
{
    return status == NATS_NOT_PERMITTED || status == NATS_CONNECTION_AUTH_FAILED;
}

static bool of_tls(natsStatus status)
{
    return status == NATS_SSL_ERROR || status == NATS_SECURE_CONNECTION_WANTED ||
           status == NATS_SECURE_CONNECTION_REQUIRED;
}

enum rr_err nats_fail(struct rr_fault *fault, natsStatus status, int js_error, const char *what)
{
    bool usage = of_login(status) || of_tls(status);
    return rr_fail(fault, usage ? RR_ERR_USAGE : RR_ERR_UNREACHABLE, "%s: NATS says %s (%d); %s",
                   what, natsStatus_GetText(status), js_error,
                   of_login(status) ? "look whether --nats-auth holds what the servers ask for"
                   : of_tls(status) ? "name the certificate authority of the servers with "
                                      "--nats-ca, and the host that their certificate names"
                                    : "look whether the servers run with JetStream, and whether "
                                      "this user may use it");
}

/* ---- connecting ---- */

/* The next line of a text that ends with '\0', without its end; *text goes on behind it. */
static char *next_line(char **text)
{
    char *line = *text;
    size_t len = strcspn(line, "\r\n");
    *text = line + len + strspn(line + len, "\r\n");
    line[len] = '\0';
    return line;
}

static natsStatus set_auth(natsOptions *options, const char *path, struct rr_fault *fault)
{
    struct rr_buf text = {0};
    natsStatus status = NATS_INVALID_ARG;
    if (rr_file_read(&text, path, 65536, fault) != RR_OK) {
        return NATS_ERR;
    }
    rr_write_u8(&text, 0);
    bool credentials = strstr((const char *)text.ptr, "-----BEGIN") != NULL;
    char *rest = (char *)text.ptr, *first = next_line(&rest), *second = next_line(&rest);
    char *colon = strchr(first, ':');
    if (credentials) {
        status = natsOptions_SetUserCredentialsFromFiles(options, path, NULL);
    } else if (first[0] == 'S' && first[1] == 'U' && second[0] == 'U') {
        status = natsOptions_SetNKeyFromSeed(options, second, path);
    } else if (colon != NULL) {
        *colon = '\0';
        status = natsOptions_SetUserInfo(options, first, colon + 1);
    } else {
        rr_fail(fault, RR_ERR_USAGE,
                "%.160s holds neither user:password, nor the two lines of an nkey, nor credentials",
                path);
    }
    explicit_bzero(text.ptr, text.len);
    rr_buf_clear(&text);
    return status;
}

static natsStatus set_urls(natsOptions *options, const char *urls)
{
    char *copy = rr_strdup(urls), *save = NULL;
    const char *list[URLS_MAX];
    int count = 0;
    for (char *one = strtok_r(copy, ", ", &save); one != NULL && count < URLS_MAX;
         one = strtok_r(NULL, ", ", &save)) {
        list[count++] = one;
    }
    natsStatus status =
        count == 0 ? NATS_INVALID_ARG : natsOptions_SetServers(options, list, count);
    rr_free(copy);
    return status;
}

static enum rr_err make_options(struct rr_dispatch_nats *nats,
                                const struct rr_dispatch_nats_options *given,
                                struct rr_fault *fault)
{
    struct rr_fault why = {0};
    natsStatus status = natsOptions_Create(&nats->options);
    status = status != NATS_OK ? status : set_urls(nats->options, given->urls);
    status = status != NATS_OK ? status : natsOptions_SetName(nats->options, "reelrig");
    status = status != NATS_OK ? status : natsOptions_SetTimeout(nats->options, 2000);
    status = status != NATS_OK ? status : natsOptions_SetMaxReconnect(nats->options, -1);
    status = status != NATS_OK ? status : natsOptions_SetReconnectWait(nats->options, 500);
    status = status != NATS_OK ? status : natsOptions_SetPingInterval(nats->options, 5000);
    if (status == NATS_OK && (given->ca_file != NULL || strstr(given->urls, "tls://") != NULL)) {
        status = natsOptions_SetSecure(nats->options, true);
        if (status == NATS_OK && given->ca_file != NULL &&
            natsOptions_LoadCATrustedCertificates(nats->options, given->ca_file) != NATS_OK) {
            return rr_fail(fault, RR_ERR_USAGE, "%.200s holds no certificates in PEM form",
                           given->ca_file);
        }
    }
    if (status == NATS_OK && given->auth_file != NULL) {
        status = set_auth(nats->options, given->auth_file, &why);
    }
    if (why.code != RR_OK) {
        return rr_fail(fault, why.code, "%.220s", why.text);
    }
    return status == NATS_OK
               ? RR_OK
               : rr_fail(fault, RR_ERR_USAGE, "\"%.120s\" with its files: NATS says %s",
                         given->urls, natsStatus_GetText(status));
}

/* ---- streams ---- */

/* A stream that is there is the operator's, with whatever limits. */
static natsStatus add_stream(struct rr_dispatch_nats *nats, jsStreamConfig *config,
                             jsErrCode *error)
{
    jsStreamInfo *there = NULL;
    if (js_GetStreamInfo(&there, nats->js, config->Name, NULL, error) == NATS_OK) {
        jsStreamInfo_Destroy(there);
        return NATS_OK;
    }
    *error = 0;
    config->Replicas = nats->replicas;
    natsStatus status = js_AddStream(NULL, nats->js, config, NULL, error);
    if (status != NATS_OK && *error == EXISTS) {
        return NATS_OK; /* somebody was faster */
    }
    /* Servers of a rack that starts find each other one by one. */
    bool lone = *error == NO_REPLICAS || (*error == NO_PEERS && nats_now_us() > nats->alone_us);
    if (status != NATS_OK && nats->replicas > 1 && lone) {
        if (*error == NO_PEERS) {
            rr_log(RR_LOG_WARN, "dispatch",
                   "the cluster has fewer than three servers with JetStream: one copy of all");
        }
        nats->replicas = 1;
        return add_stream(nats, config, error);
    }
    return status;
}

static natsStatus add_registry(struct rr_dispatch_nats *nats, const char *bucket, int64_t ttl_ns)
{
    kvConfig config;
    kvStore *made = NULL;
    natsStatus status = js_KeyValue(&made, nats->js, bucket);
    if (status == NATS_OK) {
        kvStore_Destroy(made);
        return NATS_OK;
    }
    kvConfig_Init(&config);
    config.Bucket = bucket;
    config.TTL = ttl_ns;
    config.History = 1;
    config.MaxValueSize = 4096;
    config.StorageType = js_MemoryStorage;
    config.Replicas = nats->replicas;
    status = js_CreateKeyValue(&made, nats->js, &config);
    kvStore_Destroy(made);
    return status;
}

static natsStatus add_all(struct rr_dispatch_nats *nats, jsErrCode *error)
{
    jsStreamConfig jobs, parts;
    const char *job_subjects[] = {"rr.job.>"};
    const char *part_subjects[] = {"rr.part.>", "rr.answer.>"};
    jsStreamConfig_Init(&jobs);
    jobs.Name = NATS_JOBS;
    jobs.Subjects = job_subjects;
    jobs.SubjectsLen = 1;
    jobs.Retention = js_WorkQueuePolicy;
    jobs.MaxAge = 7 * DAY_NS;
    jsStreamConfig_Init(&parts);
    parts.Name = NATS_PARTS;
    parts.Subjects = part_subjects;
    parts.SubjectsLen = 2;
    parts.MaxAge = DAY_NS;
    parts.MaxBytes = -1;
    parts.Discard = js_DiscardNew;
    natsStatus status = add_stream(nats, &jobs, error);
    status = status != NATS_OK ? status : add_stream(nats, &parts, error);
    status = status != NATS_OK ? status : add_registry(nats, NATS_RIGS, INT64_C(5000000000));
    return status != NATS_OK ? status : add_registry(nats, NATS_RUNS, INT64_C(60000000000));
}

void nats_mend(struct rr_dispatch_nats *nats)
{
    uint64_t now = nats_now_us(), last = atomic_load(&nats->mended_us);
    jsErrCode error = 0;
    if (now - last > MEND_US && atomic_compare_exchange_strong(&nats->mended_us, &last, now)) {
        (void)add_all(nats, &error);
    }
}

enum rr_err rr_dispatch_nats_open(struct rr_dispatch_nats **out,
                                  const struct rr_dispatch_nats_options *options,
                                  struct rr_fault *fault)
{
    struct rr_dispatch_nats *nats = rr_alloc(sizeof *nats);
    uint64_t until = nats_now_us() + OPEN_TRIES_US;
    natsStatus status = NATS_OK;
    jsErrCode error = 0;
    nats->replicas = 3;
    nats->alone_us = nats_now_us() + ALONE_US;
    enum rr_err err = make_options(nats, options, fault);
    while (err == RR_OK) {
        if (nats->connection == NULL) {
            status = natsConnection_Connect(&nats->connection, nats->options);
        }
        if (nats->connection != NULL && nats->js == NULL) {
            jsOptions asking;
            jsOptions_Init(&asking);
            asking.Wait = 2000; /* a lease is longer */
            status = natsConnection_JetStream(&nats->js, nats->connection, &asking);
        }
        error = 0;
        if (nats->js != NULL && (status = add_all(nats, &error)) == NATS_OK &&
            (status = js_KeyValue(&nats->rigs, nats->js, NATS_RIGS)) == NATS_OK &&
            (status = js_KeyValue(&nats->runs, nats->js, NATS_RUNS)) == NATS_OK) {
            break;
        }
        /* A cluster that just starts has no leader yet; a wrong password stays wrong. */
        if (of_login(status) || of_tls(status) || nats_now_us() > until ||
            (nats->connection == NULL && nats_now_us() + OPEN_TRIES_US / 3 * 2 > until)) {
            err = nats_fail(fault, status, (int)error, options->urls);
            break;
        }
        nats_Sleep(300);
    }
    if (err == RR_OK) {
        *out = nats;
    } else {
        rr_dispatch_nats_close(nats);
    }
    return err;
}

void rr_dispatch_nats_close(struct rr_dispatch_nats *nats)
{
    if (nats == NULL) {
        return;
    }
    kvStore_Destroy(nats->rigs);
    kvStore_Destroy(nats->runs);
    jsCtx_Destroy(nats->js);
    if (nats->connection != NULL) {
        natsConnection_FlushTimeout(nats->connection, 1000);
    }
    natsConnection_Destroy(nats->connection);
    natsOptions_Destroy(nats->options);
    rr_free(nats);
}

/* ---- messages ---- */

enum rr_err nats_store(struct rr_dispatch_nats *nats, const char *subject, struct rr_slice bytes,
                       struct rr_fault *fault)
{
    uint64_t until = nats_now_us() + NATS_PATIENCE_US;
    for (;;) {
        jsErrCode error = 0;
        jsPubOptions options;
        jsPubOptions_Init(&options);
        options.MaxWait = NATS_WAIT_MS;
        natsStatus status =
            js_Publish(NULL, nats->js, subject, bytes.ptr, (int)bytes.len, &options, &error);
        if (status == NATS_OK) {
            return RR_OK;
        }
        if (nats_now_us() > until) {
            return nats_fail(fault, status, (int)error, "a message cannot be stored");
        }
        nats_Sleep(200);
        nats_mend(nats);
    }
}

enum rr_err nats_last(struct rr_dispatch_nats *nats, natsMsg **out, const char *stream,
                      const char *subject, struct rr_fault *fault)
{
    jsOptions options;
    jsErrCode error = 0;
    jsOptions_Init(&options);
    options.Wait = NATS_WAIT_MS;
    *out = NULL;
    natsStatus status = js_GetLastMsg(out, nats->js, stream, subject, &options, &error);
    if (error == NO_STREAM) {
        nats_mend(nats);
    } else if (status == NATS_OK || status == NATS_NOT_FOUND || error == NOT_FOUND) {
        return RR_OK;
    }
    return nats_fail(fault, status, (int)error, "a stored message cannot be read");
}

void nats_purge(struct rr_dispatch_nats *nats, const char *stream, const char *subject)
{
    jsOptions options;
    jsErrCode error = 0;
    jsOptions_Init(&options);
    options.Wait = NATS_WAIT_MS;
    options.Stream.Purge.Subject = subject;
    /* What stays goes by age. */
    (void)js_PurgeStream(nats->js, stream, &options, &error);
}

/* One by one: a purge by subject lets the work queue of nats-server 2.9 forget other tasks. */
void nats_remove(struct rr_dispatch_nats *nats, const char *stream, const char *subject)
{
    for (unsigned i = 0; i < REMOVE_MAX; i++) {
        jsOptions options;
        jsErrCode error = 0;
        natsMsg *message = NULL;
        if (nats_last(nats, &message, stream, subject, NULL) != RR_OK || message == NULL) {
            return;
        }
        jsOptions_Init(&options);
        options.Wait = NATS_WAIT_MS;
        natsStatus status =
            js_DeleteMsg(nats->js, stream, natsMsg_GetSequence(message), &options, &error);
        natsMsg_Destroy(message);
        if (status != NATS_OK) {
            return;
        }
    }
}

/* Not by kvStore_Keys: it makes a consumer, which the servers may put on one that is dead. */
enum rr_err nats_each(struct rr_dispatch_nats *nats, const char *bucket, nats_visit_fn *visit,
                      void *ctx, struct rr_fault *fault)
{
    jsStreamInfo *info = NULL;
    jsOptions options;
    jsErrCode error = 0;
    char stream[64], subjects[64];
    kvStore *store = strcmp(bucket, NATS_RIGS) == 0 ? nats->rigs : nats->runs;
    snprintf(stream, sizeof stream, "KV_%s", bucket);
    snprintf(subjects, sizeof subjects, "$KV.%s.>", bucket);
    jsOptions_Init(&options);
    options.Wait = NATS_WAIT_MS;
    options.Stream.Info.SubjectsFilter = subjects;
    natsStatus status = js_GetStreamInfo(&info, nats->js, stream, &options, &error);
    if (status != NATS_OK) {
        return nats_fail(fault, status, (int)error, "a registry cannot be read");
    }
    const jsStreamStateSubjects *found = info->State.Subjects;
    for (int i = 0; found != NULL && i < found->Count; i++) {
        const char *key = strrchr(found->List[i].Subject, '.');
        kvEntry *entry = NULL;
        if (key != NULL && kvStore_Get(&entry, store, key + 1) == NATS_OK) {
            int len = kvEntry_ValueLen(entry);
            visit(ctx, key + 1, rr_slice_of(kvEntry_Value(entry), len > 0 ? (size_t)len : 0));
            kvEntry_Destroy(entry);
        }
    }
    jsStreamInfo_Destroy(info);
    return RR_OK;
}
