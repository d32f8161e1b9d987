/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/files.h"

#include "base/rand.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TREE_DEPTH_MAX = 64 }; /* each level of a removal holds one descriptor open */

enum rr_err rr_path(char out[static RR_PATH_BYTES], struct rr_fault *fault, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(out, RR_PATH_BYTES, format, args);
    va_end(args);
    if (len < 0 || len >= RR_PATH_BYTES) {
        return rr_fail(
            fault, RR_ERR_LIMIT,
            "a path of %d bytes is over the limit of %d: \"%.80s...\"; use shorter names", len,
            RR_PATH_BYTES - 1, out);
    }
    return RR_OK;
}

static enum rr_err make_folder(const char *path, mode_t mode, struct rr_fault *fault)
{
    struct stat info;
    if (mkdir(path, mode) == 0) {
        return RR_OK;
    }
    int saved = errno;
    if (saved == EEXIST && stat(path, &info) == 0) {
        if (S_ISDIR(info.st_mode)) {
            return RR_OK;
        }
        return rr_fail(fault, RR_ERR_EXISTS, "%s is a file where a folder is needed; move it away",
                       path);
    }
    errno = saved;
    return rr_fail_errno(fault, "cannot make the folder %s", path);
}

static enum rr_err make_folders(const char *path, mode_t mode, struct rr_fault *fault)
{
    char part[RR_PATH_BYTES];
    enum rr_err err = rr_path(part, fault, "%s", path);
    for (char *at = part; err == RR_OK && *at != '\0'; at++) {
        if (*at == '/' && at > part && at[-1] != '/') {
            *at = '\0';
            err = make_folder(part, mode, fault);
            *at = '/';
        }
    }
    return err == RR_OK ? make_folder(path, mode, fault) : err;
}

enum rr_err rr_make_folders(const char *path, struct rr_fault *fault)
{
    return make_folders(path, 0700, fault);
}

enum rr_err rr_make_shown_folders(const char *path, struct rr_fault *fault)
{
    return make_folders(path, 0777, fault);
}

enum rr_err rr_file_read(struct rr_buf *out, const char *path, size_t max, struct rr_fault *fault)
{
    struct rr_buf bytes = {0};
    enum rr_err err = RR_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return rr_fail_errno(fault, "cannot open %s", path);
    }
    for (;;) {
        enum { STEP_BYTES = 65536 };
        rr_buf_reserve(&bytes, STEP_BYTES);
        ssize_t got = read(fd, bytes.ptr + bytes.len, STEP_BYTES);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            err = rr_fail_errno(fault, "cannot read %s", path);
            break;
        }
        bytes.len += (size_t)got;
        if (bytes.len > max) {
            err = rr_fail(fault, RR_ERR_LIMIT, "%s has more than the %zu bytes that are allowed",
                          path, max);
            break;
        }
        if (got == 0) {
            break;
        }
    }
    close(fd);
    if (err != RR_OK) {
        rr_buf_clear(&bytes);
        return err;
    }
    rr_buf_clear(out);
    *out = bytes;
    return RR_OK;
}

enum rr_err rr_folder_sync(const char *folder, struct rr_fault *fault)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return rr_fail_errno(fault, "cannot open the folder %s", folder);
    }
    enum rr_err err = RR_OK;
    if (fsync(fd) != 0) {
        err = rr_fail_errno(fault, "cannot make the folder %s durable", folder);
    }
    close(fd);
    return err;
}

static enum rr_err sync_parent(const char *path, struct rr_fault *fault)
{
    char folder[RR_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return rr_folder_sync(".", fault);
    }
    if (slash == path) {
        return rr_folder_sync("/", fault);
    }
    enum rr_err err = rr_path(folder, fault, "%.*s", (int)(slash - path), path);
    return err == RR_OK ? rr_folder_sync(folder, fault) : err;
}

/* Writes bytes to a new file beside path and makes its content durable; temporary receives its
 * name. */
static enum rr_err write_beside(char temporary[static RR_PATH_BYTES], const char *path,
                                struct rr_slice bytes, unsigned mode, struct rr_fault *fault)
{
    uint64_t unique;
    rr_random(&unique, sizeof unique);
    enum rr_err err = rr_path(temporary, fault, "%s.%016" PRIx64 ".new", path, unique);
    if (err != RR_OK) {
        return err;
    }
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
    if (fd < 0) {
        return rr_fail_errno(fault, "cannot make %s", temporary);
    }
    err = rr_write_full(fd, bytes.ptr, bytes.len, fault);
    if (err == RR_OK && fdatasync(fd) != 0) {
        err = rr_fail_errno(fault, "cannot make %s durable", temporary);
    }
    if (close(fd) != 0 && err == RR_OK) {
        err = rr_fail_errno(fault, "cannot close %s", temporary);
    }
    if (err != RR_OK) {
        unlink(temporary);
    }
    return err;
}

enum rr_err rr_file_write(const char *path, struct rr_slice bytes, unsigned mode,
                          struct rr_fault *fault)
{
    char temporary[RR_PATH_BYTES];
    enum rr_err err = write_beside(temporary, path, bytes, mode, fault);
    if (err != RR_OK) {
        return err;
    }
    if (rename(temporary, path) != 0) {
        err = rr_fail_errno(fault, "cannot rename %s to %s", temporary, path);
        unlink(temporary);
        return err;
    }
    return sync_parent(path, fault);
}

enum rr_err rr_file_create(const char *path, struct rr_slice bytes, unsigned mode,
                           struct rr_fault *fault)
{
    char temporary[RR_PATH_BYTES];
    enum rr_err err = write_beside(temporary, path, bytes, mode, fault);
    if (err != RR_OK) {
        return err;
    }
    /* link refuses when path is there, which rename does not. */
    if (link(temporary, path) != 0) {
        err = errno == EEXIST
                  ? rr_fail(fault, RR_ERR_EXISTS, "%s is there already and is kept", path)
                  : rr_fail_errno(fault, "cannot make %s", path);
    }
    unlink(temporary);
    return err == RR_OK ? sync_parent(path, fault) : err;
}

enum rr_err rr_pread_full(int fd, void *out, size_t len, uint64_t offset, struct rr_fault *fault)
{
    uint8_t *at = out;
    size_t done = 0;
    while (done < len) {
        ssize_t got = pread(fd, at + done, len - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return rr_fail_errno(fault, "cannot read %zu bytes at %" PRIu64, len, offset);
        }
        if (got == 0) {
            return rr_fail(fault, RR_ERR_DAMAGED,
                           "the file ends at byte %" PRIu64 " where %zu more bytes were expected",
                           offset + done, len - done);
        }
        done += (size_t)got;
    }
    return RR_OK;
}

enum rr_err rr_write_full(int fd, const void *bytes, size_t len, struct rr_fault *fault)
{
    const uint8_t *at = bytes;
    size_t done = 0;
    while (done < len) {
        ssize_t put = write(fd, at + done, len - done);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return rr_fail_errno(fault, "cannot write %zu bytes", len);
        }
        done += (size_t)put;
    }
    return RR_OK;
}

enum rr_err rr_pwrite_full(int fd, const void *bytes, size_t len, uint64_t offset,
                           struct rr_fault *fault)
{
    const uint8_t *at = bytes;
    size_t done = 0;
    while (done < len) {
        ssize_t put = pwrite(fd, at + done, len - done, (off_t)(offset + done));
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return rr_fail_errno(fault, "cannot write %zu bytes at %" PRIu64, len, offset);
        }
        done += (size_t)put;
    }
    return RR_OK;
}

enum rr_err rr_lock_file(int *out_fd, const char *path, struct rr_fault *fault)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return rr_fail_errno(fault, "cannot open the lock %s", path);
    }
    /* flock, not fcntl: it also holds between two openings in one process, and no other close drops
     * it. */
    int rc;
    do {
        rc = flock(fd, LOCK_EX | LOCK_NB);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0) {
        enum rr_err err =
            errno == EWOULDBLOCK
                ? rr_fail(fault, RR_ERR_BUSY,
                          "%s is locked by another process; stop that one first", path)
                : rr_fail_errno(fault, "cannot lock %s", path);
        close(fd);
        return err;
    }
    *out_fd = fd;
    return RR_OK;
}

static enum rr_err remove_below(int parent_fd, const char *name, unsigned depth,
                                struct rr_fault *fault);

/* Empties one folder; *removed counts what went in this pass. */
static enum rr_err remove_entries(DIR *dir, size_t *removed, unsigned depth, struct rr_fault *fault)
{
    struct dirent *entry;
    *removed = 0;
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        enum rr_err err = remove_below(dirfd(dir), entry->d_name, depth + 1, fault);
        if (err != RR_OK) {
            return err;
        }
        *removed += 1;
    }
    return RR_OK;
}

static enum rr_err remove_below(int parent_fd, const char *name, unsigned depth,
                                struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    size_t removed = 0;
    if (depth > TREE_DEPTH_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "folders nest deeper than %d at %s; remove them by hand", TREE_DEPTH_MAX,
                       name);
    }
    /* A link or file is unlinked as it is; only a real folder is entered. */
    if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT) {
        return RR_OK;
    }
    if (errno != EISDIR && errno != EPERM) {
        return rr_fail_errno(fault, "cannot remove %s", name);
    }
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return rr_fail_errno(fault, "cannot open the folder %s to remove it", name);
    }
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        err = rr_fail_errno(fault, "cannot list the folder %s", name);
        close(fd);
        return err;
    }
    /* Removing while listing may skip entries on some file systems: go round until nothing is left.
     */
    do {
        rewinddir(dir);
        err = remove_entries(dir, &removed, depth, fault);
    } while (err == RR_OK && removed > 0);
    closedir(dir);
    if (err == RR_OK && unlinkat(parent_fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
        err = rr_fail_errno(fault, "cannot remove the folder %s", name);
    }
    return err;
}

enum rr_err rr_remove_tree(const char *path, struct rr_fault *fault)
{
    return remove_below(AT_FDCWD, path, 0, fault);
}
