/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RR_BASE_FILES_H
#define RR_BASE_FILES_H
#include "base/bytes.h"

/* All block; any thread. Paths are borrowed. */

/* mkdir -p, mode 0700 for what is made. */
enum rr_err rr_make_folders(const char *path, struct rr_fault *fault) RR_MUST_USE;
/* The same for what others are to read, a web server among them: mode 0777 less the umask. */
enum rr_err rr_make_shown_folders(const char *path, struct rr_fault *fault) RR_MUST_USE;
/* Whole file into out (cleared first); longer than max is RR_ERR_LIMIT, absent RR_ERR_NOTFOUND. */
enum rr_err rr_file_read(struct rr_buf *out, const char *path, size_t max,
                         struct rr_fault *fault) RR_MUST_USE;
/* Durable replace: temporary beside it, write, fdatasync, rename, fsync of the folder. mode as for
 * open. */
enum rr_err rr_file_write(const char *path, struct rr_slice bytes, unsigned mode,
                          struct rr_fault *fault) RR_MUST_USE;
/* As rr_file_write, but a file that is there already is kept: RR_ERR_EXISTS. Of several that try,
 * one wins. */
enum rr_err rr_file_create(const char *path, struct rr_slice bytes, unsigned mode,
                           struct rr_fault *fault) RR_MUST_USE;
/* fsync of the folder. */
enum rr_err rr_folder_sync(const char *folder, struct rr_fault *fault) RR_MUST_USE;
/* Exactly len bytes at offset, retrying short transfers and EINTR; short file is RR_ERR_DAMAGED. */
enum rr_err rr_pread_full(int fd, void *out, size_t len, uint64_t offset,
                          struct rr_fault *fault) RR_MUST_USE;
enum rr_err rr_write_full(int fd, const void *bytes, size_t len,
                          struct rr_fault *fault) RR_MUST_USE;
enum rr_err rr_pwrite_full(int fd, const void *bytes, size_t len, uint64_t offset,
                           struct rr_fault *fault) RR_MUST_USE;
/* Takes an exclusive lock on path (made when absent), held until the fd is closed; taken by another
 * process is RR_ERR_BUSY. */
enum rr_err rr_lock_file(int *out_fd, const char *path, struct rr_fault *fault) RR_MUST_USE;
#define RR_PATH_BYTES 4096
/* Formats a path; too long is RR_ERR_LIMIT. */
enum rr_err rr_path(char out[static RR_PATH_BYTES], struct rr_fault *fault, const char *format, ...)
    __attribute__((format(printf, 3, 4))) RR_MUST_USE;
/* Removes a folder and all below it; absent is fine. Never follows links. */
enum rr_err rr_remove_tree(const char *path, struct rr_fault *fault) RR_MUST_USE;
#endif
