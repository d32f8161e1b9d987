/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sources that a rig keeps, as files named by their digest, the longest unused leaving first. */
#include "crypto/crypto.h"
#include "dispatch/dispatch.h"
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rr_dispatch_cache {
    pthread_mutex_t lock; /* held while one thread fetches: the others want the same file */
    char folder[RR_PATH_BYTES];
    uint64_t bytes_max;
    int lock_fd;
};

enum rr_err rr_dispatch_cache_open(struct rr_dispatch_cache **out, const char *folder,
                                   uint64_t bytes_max, struct rr_fault *fault)
{
    struct rr_dispatch_cache *cache = rr_alloc(sizeof *cache);
    char path[RR_PATH_BYTES];
    cache->bytes_max = bytes_max;
    cache->lock_fd = -1;
    enum rr_err err = rr_path(cache->folder, fault, "%s", folder);
    err = err != RR_OK ? err : rr_make_folders(folder, fault);
    err = err != RR_OK ? err : rr_path(path, fault, "%s/lock", folder);
    err = err != RR_OK ? err : rr_lock_file(&cache->lock_fd, path, fault);
    if (err != RR_OK) {
        rr_free(cache);
        return err;
    }
    pthread_mutex_init(&cache->lock, NULL);
    *out = cache;
    return RR_OK;
}

void rr_dispatch_cache_close(struct rr_dispatch_cache *cache)
{
    if (cache != NULL) {
        pthread_mutex_destroy(&cache->lock);
        close(cache->lock_fd);
        rr_free(cache);
    }
}

/* Removes the longest unused until `need` bytes more fit. What is open elsewhere stays readable. */
static void make_room(struct rr_dispatch_cache *cache, uint64_t need)
{
    for (;;) {
        char path[RR_PATH_BYTES], oldest[RR_PATH_BYTES] = "";
        struct stat facts;
        struct timespec least = {0};
        uint64_t used = 0;
        DIR *folder = opendir(cache->folder);
        const struct dirent *entry;
        while (folder != NULL && (entry = readdir(folder)) != NULL) {
            if (strlen(entry->d_name) < 64 ||
                rr_path(path, NULL, "%s/%s", cache->folder, entry->d_name) != RR_OK ||
                lstat(path, &facts) != 0 || !S_ISREG(facts.st_mode)) {
                continue;
            }
            used += (uint64_t)facts.st_size;
            if (oldest[0] == '\0' || facts.st_mtim.tv_sec < least.tv_sec ||
                (facts.st_mtim.tv_sec == least.tv_sec && facts.st_mtim.tv_nsec < least.tv_nsec)) {
                least = facts.st_mtim;
                memcpy(oldest, path, sizeof oldest);
            }
        }
        if (folder != NULL) {
            closedir(folder);
        }
        if (oldest[0] == '\0' || used + need <= cache->bytes_max || unlink(oldest) != 0) {
            return;
        }
    }
}

static bool have(int *fd, const char *path, const struct rr_hash32 *digest, uint64_t bytes)
{
    struct rr_hash32 found;
    uint64_t size = 0;
    const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    int open_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (open_fd < 0) {
        return false;
    }
    if (rr_dispatch_source_digest(&found, &size, open_fd, NULL, NULL) != RR_OK || size != bytes ||
        !rr_hash32_equal(&found, digest)) {
        close(open_fd);
        unlink(path); /* a disk that lies, or a file that was cut short */
        return false;
    }
    futimens(open_fd, now);
    *fd = open_fd;
    return true;
}

static enum rr_err fetch_all(int fd, const struct rr_hash32 *digest, uint64_t bytes, size_t piece,
                             rr_dispatch_fetch_fn *fetch, void *ctx, const atomic_bool *cancel,
                             struct rr_fault *fault)
{
    struct rr_hasher hasher;
    struct rr_hash32 found;
    uint8_t *room = rr_alloc(piece);
    enum rr_err err = RR_OK;
    rr_hasher_init(&hasher, "rr.source.v1");
    for (uint64_t at = 0; at < bytes && err == RR_OK;) {
        size_t now = (size_t)(bytes - at < piece ? bytes - at : piece);
        if (cancel != NULL && atomic_load(cancel)) {
            err = rr_fail(fault, RR_ERR_CANCELLED, "cancelled");
            break;
        }
        err = fetch(ctx, room, at, now, fault);
        if (err == RR_OK) {
            rr_hasher_add(&hasher, room, now);
            err = rr_pwrite_full(fd, room, now, at, fault);
        }
        at += now;
    }
    rr_free(room);
    rr_hasher_final(&hasher, &found);
    if (err == RR_OK && !rr_hash32_equal(&found, digest)) {
        err = rr_fail(fault, RR_ERR_TRUST,
                      "the source's %llu bytes do not have the digest that the job names",
                      (unsigned long long)bytes);
    }
    return err;
}

static enum rr_err get(struct rr_dispatch_cache *cache, int *fd, const struct rr_hash32 *digest,
                       uint64_t bytes, size_t piece, rr_dispatch_fetch_fn *fetch, void *ctx,
                       const atomic_bool *cancel, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES], fresh[RR_PATH_BYTES], name[65];
    rr_hex(name, digest->bytes, sizeof digest->bytes);
    enum rr_err err = rr_path(path, fault, "%s/%s", cache->folder, name);
    err = err != RR_OK ? err : rr_path(fresh, fault, "%s/%s.new", cache->folder, name);
    if (err != RR_OK || have(fd, path, digest, bytes)) {
        return err;
    }
    if (bytes > cache->bytes_max) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "a source of %llu MiB, and the cache holds %llu MiB; give it more room",
                       (unsigned long long)(bytes >> 20),
                       (unsigned long long)(cache->bytes_max >> 20));
    }
    make_room(cache, bytes);
    int open_fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (open_fd < 0) {
        return rr_fail_errno(fault, "%.200s cannot be made", fresh);
    }
    err = fetch_all(open_fd, digest, bytes, piece, fetch, ctx, cancel, fault);
    if (err == RR_OK && rename(fresh, path) != 0) {
        err = rr_fail_errno(fault, "%.200s cannot be put in place", path);
    }
    if (err != RR_OK) {
        close(open_fd);
        unlink(fresh);
        return err;
    }
    *fd = open_fd;
    return RR_OK;
}

enum rr_err rr_dispatch_cache_get(struct rr_dispatch_cache *cache, int *fd,
                                  const struct rr_hash32 *digest, uint64_t bytes, size_t piece,
                                  rr_dispatch_fetch_fn *fetch, void *ctx, const atomic_bool *cancel,
                                  struct rr_fault *fault)
{
    pthread_mutex_lock(&cache->lock);
    enum rr_err err = get(cache, fd, digest, bytes, piece, fetch, ctx, cancel, fault);
    pthread_mutex_unlock(&cache->lock);
    return err;
}
