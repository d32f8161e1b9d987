/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hash/hash_tuning.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define FILE_BYTES_MAX (1u << 20)
#define FIRST_LINE     "reelrig-tuning 1"

struct entry {
    char key[RR_HASH_TUNING_KEY];
    char text[RR_HASH_TUNING_TEXT];
};
struct rr_hash_tuning_file {
    char path[RR_PATH_BYTES];
    pthread_mutex_t lock;
    struct entry *entries; /* RR_HASH_TUNING_MAX, oldest first */
    size_t count;
};

/* Printable, not empty, room for the NUL. UTF-8 passes: makers' names have it. */
static bool plain(const uint8_t *text, size_t len, size_t room)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] < 32 || text[i] == 127) {
            return false;
        }
    }
    return len > 0 && len < room && text[0] != '#';
}

static void put(struct rr_hash_tuning_file *file, const uint8_t *key, size_t key_len,
                const uint8_t *text, size_t text_len)
{
    size_t at = 0;
    while (at < file->count && (strlen(file->entries[at].key) != key_len ||
                                memcmp(file->entries[at].key, key, key_len) != 0)) {
        at++;
    }
    if (at == RR_HASH_TUNING_MAX) {
        memmove(file->entries, file->entries + 1, (RR_HASH_TUNING_MAX - 1) * sizeof(struct entry));
        at = --file->count;
    }
    struct entry *entry = &file->entries[at];
    memset(entry, 0, sizeof(*entry));
    memcpy(entry->key, key, key_len);
    memcpy(entry->text, text, text_len);
    file->count += at == file->count ? 1 : 0;
}

/* False: the line is bad. */
static bool take_line(struct rr_hash_tuning_file *file, const uint8_t *line, size_t len)
{
    const uint8_t *tab = len > 0 ? memchr(line, '\t', len) : NULL;
    if (len == 0 || line[0] == '#') {
        return true;
    }
    size_t key_len = tab != NULL ? (size_t)(tab - line) : 0;
    if (tab == NULL || !plain(line, key_len, RR_HASH_TUNING_KEY) ||
        !plain(tab + 1, len - key_len - 1, RR_HASH_TUNING_TEXT)) {
        return false;
    }
    put(file, line, key_len, tab + 1, len - key_len - 1);
    return true;
}

/* Lock held, or nobody else there yet. */
static void read_file(struct rr_hash_tuning_file *file)
{
    struct rr_buf bytes = {0};
    struct rr_fault fault = {0};
    enum rr_err err = rr_file_read(&bytes, file->path, FILE_BYTES_MAX, &fault);
    if (err != RR_OK && err != RR_ERR_NOTFOUND) {
        rr_log_fault(RR_LOG_WARN, "hash", &fault);
    }
    const uint8_t *at = bytes.ptr;
    size_t left = err == RR_OK ? bytes.len : 0;
    unsigned bad = 0, first_bad = 0;
    for (unsigned number = 1; left > 0; number++) {
        const uint8_t *end = memchr(at, '\n', left);
        size_t len = end != NULL ? (size_t)(end - at) : left;
        if (number == 1 && (len != strlen(FIRST_LINE) || memcmp(at, FIRST_LINE, len) != 0)) {
            rr_log(RR_LOG_WARN, "hash",
                   "%s does not start with \"" FIRST_LINE "\"; devices are raced again and it is "
                   "written anew",
                   file->path);
            break;
        }
        if (number > 1 && !take_line(file, at, len)) {
            first_bad = bad++ == 0 ? number : first_bad;
        }
        left -= len + (end != NULL ? 1 : 0);
        at += len + (end != NULL ? 1 : 0);
    }
    if (bad > 0) {
        rr_log(
            RR_LOG_WARN, "hash",
            "%s: %u lines are not \"key TAB text\" and are left out, the first is line %u; their "
            "devices are raced again",
            file->path, bad, first_bad);
    }
    rr_buf_clear(&bytes);
}

void rr_hash_tuning_open(struct rr_hash_tuning_file **out, const char *path)
{
    struct rr_hash_tuning_file *file = rr_alloc(sizeof(*file));
    (void)snprintf(file->path, sizeof(file->path), "%s", path);
    file->entries = rr_alloc_array(RR_HASH_TUNING_MAX, sizeof(*file->entries));
    (void)pthread_mutex_init(&file->lock, NULL);
    read_file(file);
    *out = file;
}

void rr_hash_tuning_close(struct rr_hash_tuning_file *file)
{
    if (file != NULL) {
        (void)pthread_mutex_destroy(&file->lock);
        rr_free(file->entries);
        rr_free(file);
    }
}

bool rr_hash_tuning_load(void *ctx, const char *key, char text[static RR_HASH_TUNING_TEXT])
{
    struct rr_hash_tuning_file *file = ctx;
    bool found = false;
    (void)pthread_mutex_lock(&file->lock);
    for (size_t i = 0; i < file->count && !found; i++) {
        found = strcmp(file->entries[i].key, key) == 0;
        if (found) {
            memcpy(text, file->entries[i].text, RR_HASH_TUNING_TEXT);
        }
    }
    (void)pthread_mutex_unlock(&file->lock);
    return found;
}

void rr_hash_tuning_save(void *ctx, const char *key, const char *text)
{
    struct rr_hash_tuning_file *file = ctx;
    struct rr_buf bytes = {0};
    struct rr_fault fault = {0};
    if (!plain((const uint8_t *)key, strlen(key), RR_HASH_TUNING_KEY) ||
        !plain((const uint8_t *)text, strlen(text), RR_HASH_TUNING_TEXT)) {
        rr_log(RR_LOG_WARN, "hash",
               "the tuning of %.80s cannot be kept: key or text is too long "
               "or has control characters",
               key);
        return;
    }
    (void)pthread_mutex_lock(&file->lock);
    read_file(file);
    put(file, (const uint8_t *)key, strlen(key), (const uint8_t *)text, strlen(text));
    rr_buf_format(&bytes, FIRST_LINE "\n# device, driver, size class TAB variant; made by races, "
                                     "may be deleted\n");
    for (size_t i = 0; i < file->count; i++) {
        rr_buf_format(&bytes, "%s\t%s\n", file->entries[i].key, file->entries[i].text);
    }
    if (rr_file_write(file->path, rr_buf_slice(&bytes), 0644, &fault) != RR_OK) {
        rr_log_fault(RR_LOG_WARN, "hash", &fault);
    }
    (void)pthread_mutex_unlock(&file->lock);
    rr_buf_clear(&bytes);
}
