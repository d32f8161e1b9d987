/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a job has finished, as one file a record: 32 bytes of hash over the rest, u32 length of the
 * body, body, payload. Written beside and renamed; not synced, because a record that a power cut
 * tore fails its hash and is made again. */
#include "blake3/blake3.h"
#include "crypto/crypto.h"
#include "transcode/transcode_private.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_DOMAIN "rr.tjournal.v1"
#define BODY_MAX      (1u << 28) /* the sizes of a day of AAC frames are 16 MiB */
#define HEAD_BYTES    36
#define PIECE_BYTES   (1u << 20)

enum rr_err transcode_journal_key(struct rr_hash32 *out, int source_fd,
                                  const struct transcode_plan *plan, const atomic_bool *cancel,
                                  struct rr_fault *fault)
{
    struct rr_buf bytes = {0};
    struct rr_hasher hasher;
    struct rr_blake3_hasher input; /* several times as fast as the other: inputs are large */
    uint8_t digest[32];
    struct transcode_plan copy = *plan;
    struct transcode_coder coder = {.out = &bytes};
    enum rr_err err = RR_OK;
    uint8_t *piece = rr_alloc(PIECE_BYTES);
    rr_write_u16(&bytes, TRANSCODE_PROTO_VERSION);
    transcode_code_plan(&coder, &copy);
    rr_blake3_init(&input);
    for (off_t at = 0; err == RR_OK;) {
        ssize_t got = pread(source_fd, piece, PIECE_BYTES, at);
        if (got < 0 && errno != EINTR) {
            err = rr_fail_errno(fault, "the input cannot be read at byte %lld", (long long)at);
        } else if (got == 0) {
            break;
        } else if (got > 0) {
            rr_blake3_add(&input, piece, (size_t)got);
            at += got;
        }
        if (cancel != NULL && atomic_load(cancel)) {
            err = rr_fail(fault, RR_ERR_CANCELLED, "cancelled");
        }
    }
    rr_blake3_final(&input, digest);
    rr_hasher_init(&hasher, "rr.tjob.v2");
    rr_hasher_add(&hasher, bytes.ptr, bytes.len);
    rr_hasher_add(&hasher, digest, sizeof digest);
    rr_free(piece);
    rr_buf_clear(&bytes);
    if (err == RR_OK) {
        rr_hasher_final(&hasher, out);
    }
    return err;
}

/* The folder that it stands in is the output, which others are to read; it is not. */
static enum rr_err make_folder(const char *folder, struct rr_fault *fault)
{
    char above[RR_PATH_BYTES];
    const char *slash = strrchr(folder, '/');
    enum rr_err err = RR_OK;
    if (slash != NULL && slash > folder) {
        err = rr_path(above, fault, "%.*s", (int)(slash - folder), folder);
        err = err != RR_OK ? err : rr_make_shown_folders(above, fault);
    }
    return err != RR_OK ? err : rr_make_folders(folder, fault);
}

enum rr_err transcode_journal_open(int *lock_fd, const char *folder, const struct rr_hash32 *key,
                                   struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    struct rr_buf found = {0};
    uint64_t offset = 0, payload = 0;
    int lock = -1;
    enum rr_err err = make_folder(folder, fault);
    if (err == RR_OK && (err = rr_path(path, fault, "%s/lock", folder)) == RR_OK) {
        err = rr_lock_file(&lock, path, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    if (!transcode_journal_get(&found, folder, "job", &offset, &payload)) {
        err = transcode_journal_put(folder, "job", rr_slice_of(key->bytes, sizeof key->bytes), -1,
                                    0, NULL, fault);
    } else if (!rr_slice_equal(rr_buf_slice(&found), rr_slice_of(key->bytes, sizeof key->bytes))) {
        err = rr_fail(fault, RR_ERR_STATE,
                      "%.200s holds a job of another video or other options; remove it or name "
                      "another folder",
                      folder);
    }
    rr_buf_clear(&found);
    if (err != RR_OK) {
        close(lock);
        return err;
    }
    *lock_fd = lock;
    return RR_OK;
}

/* Copies the payload, adding it to the hash. */
static enum rr_err copy_payload(int out, struct rr_hasher *hasher, uint64_t at, int in,
                                uint64_t from, uint64_t len, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    uint8_t *piece = rr_alloc(PIECE_BYTES);
    for (uint64_t done = 0; done < len && err == RR_OK;) {
        size_t now = (size_t)(len - done < PIECE_BYTES ? len - done : PIECE_BYTES);
        err = rr_pread_full(in, piece, now, from + done, fault);
        if (err == RR_OK) {
            rr_hasher_add(hasher, piece, now);
            err = rr_pwrite_full(out, piece, now, at + done, fault);
        }
        done += now;
    }
    rr_free(piece);
    return err;
}

static enum rr_err write_record(int fd, struct rr_slice body, int payload_fd, uint64_t payload_at,
                                uint64_t payload_bytes, struct rr_fault *fault)
{
    struct rr_hasher hasher;
    struct rr_hash32 hash;
    struct rr_buf head = {0};
    rr_write_u32(&head, (uint32_t)body.len);
    rr_hasher_init(&hasher, RECORD_DOMAIN);
    rr_hasher_add(&hasher, head.ptr, head.len);
    rr_hasher_add(&hasher, body.ptr, body.len);
    enum rr_err err = rr_pwrite_full(fd, head.ptr, head.len, sizeof hash.bytes, fault);
    err = err != RR_OK ? err : rr_pwrite_full(fd, body.ptr, body.len, HEAD_BYTES, fault);
    if (err == RR_OK && payload_fd >= 0) {
        err = copy_payload(fd, &hasher, HEAD_BYTES + body.len, payload_fd, payload_at,
                           payload_bytes, fault);
    }
    rr_hasher_final(&hasher, &hash);
    rr_buf_clear(&head);
    return err != RR_OK ? err : rr_pwrite_full(fd, hash.bytes, sizeof hash.bytes, 0, fault);
}

enum rr_err transcode_journal_put(const char *folder, const char *name, struct rr_slice body,
                                  int payload_fd, uint64_t payload_bytes, uint64_t *offset,
                                  struct rr_fault *fault)
{
    enum rr_err err =
        transcode_journal_put_from(folder, name, body, payload_fd, 0, payload_bytes, fault);
    if (err == RR_OK && offset != NULL) {
        *offset = HEAD_BYTES + body.len;
    }
    return err;
}

enum rr_err transcode_journal_put_from(const char *folder, const char *name, struct rr_slice body,
                                       int payload_fd, uint64_t payload_at, uint64_t payload_bytes,
                                       struct rr_fault *fault)
{
    char path[RR_PATH_BYTES], fresh[RR_PATH_BYTES];
    RR_CHECK(body.len <= BODY_MAX);
    enum rr_err err = rr_path(path, fault, "%s/%s", folder, name);
    err = err != RR_OK ? err : rr_path(fresh, fault, "%s/%s.new", folder, name);
    if (err != RR_OK) {
        return err;
    }
    int fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return rr_fail_errno(fault, "%.200s cannot be made", fresh);
    }
    err = write_record(fd, body, payload_fd, payload_at, payload_bytes, fault);
    if (close(fd) != 0 && err == RR_OK) {
        err = rr_fail_errno(fault, "%.200s cannot be written", fresh);
    }
    if (err == RR_OK && rename(fresh, path) != 0) {
        err = rr_fail_errno(fault, "%.200s cannot be put in place", path);
    }
    if (err != RR_OK) {
        unlink(fresh);
    }
    return err;
}

static bool check_record(int fd, uint64_t size, struct rr_buf *body)
{
    struct rr_hasher hasher;
    struct rr_hash32 told, found;
    uint8_t length[4];
    if (size < HEAD_BYTES || rr_pread_full(fd, told.bytes, sizeof told.bytes, 0, NULL) != RR_OK ||
        rr_pread_full(fd, length, sizeof length, sizeof told.bytes, NULL) != RR_OK) {
        return false;
    }
    struct rr_reader reader = rr_reader_of(rr_slice_of(length, sizeof length));
    uint32_t body_bytes = rr_read_u32(&reader);
    if (body_bytes > BODY_MAX || body_bytes > size - HEAD_BYTES) {
        return false;
    }
    rr_hasher_init(&hasher, RECORD_DOMAIN);
    rr_hasher_add(&hasher, length, sizeof length);
    body->len = 0;
    rr_buf_reserve(body, body_bytes);
    if (rr_pread_full(fd, body->ptr, body_bytes, HEAD_BYTES, NULL) != RR_OK) {
        return false;
    }
    body->len = body_bytes;
    rr_hasher_add(&hasher, body->ptr, body->len);
    uint8_t *piece = rr_alloc(PIECE_BYTES);
    bool read = true;
    for (uint64_t at = HEAD_BYTES + body_bytes; at < size && read;) {
        size_t now = (size_t)(size - at < PIECE_BYTES ? size - at : PIECE_BYTES);
        read = rr_pread_full(fd, piece, now, at, NULL) == RR_OK;
        rr_hasher_add(&hasher, piece, now);
        at += now;
    }
    rr_free(piece);
    rr_hasher_final(&hasher, &found);
    return read && rr_hash32_equal(&told, &found);
}

bool transcode_journal_get(struct rr_buf *body, const char *folder, const char *name,
                           uint64_t *offset, uint64_t *payload_bytes)
{
    char path[RR_PATH_BYTES];
    struct stat facts;
    if (rr_path(path, NULL, "%s/%s", folder, name) != RR_OK) {
        return false;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool whole = fstat(fd, &facts) == 0 && check_record(fd, (uint64_t)facts.st_size, body);
    close(fd);
    if (whole) {
        *offset = HEAD_BYTES + body->len;
        *payload_bytes = (uint64_t)facts.st_size - *offset;
    }
    return whole;
}

/* ---- GOP facts
 * ---------------------------------------------------------------------------------------- */

void transcode_gop_keep(struct transcode_gop_facts *out, const struct transcode_gop *gop)
{
    *out = (struct transcode_gop_facts){.cell = gop->cell,
                                        .first = gop->first,
                                        .last = gop->last,
                                        .concealed = gop->concealed,
                                        .count = gop->count,
                                        .unclean = gop->unclean != 0,
                                        .digest = gop->digest,
                                        .end = gop->end};
    out->pts = rr_alloc_array(gop->count + 1u, sizeof *out->pts);
    memcpy(out->pts, gop->pts, sizeof *out->pts * gop->count);
}

void transcode_gop_record(struct rr_buf *out, const struct transcode_gop_facts *gop)
{
    struct transcode_gop *message = rr_alloc(sizeof *message);
    struct transcode_coder coder = {.out = out};
    message->cell = gop->cell;
    message->first = gop->first;
    message->last = gop->last;
    message->concealed = gop->concealed;
    message->count = gop->count;
    message->unclean = gop->unclean;
    message->digest = gop->digest;
    message->end = gop->end;
    memcpy(message->pts, gop->pts, sizeof *gop->pts * gop->count);
    transcode_code_gop(&coder, message);
    rr_free(message);
}

bool transcode_gop_unrecord(struct transcode_gop_facts *out, struct rr_slice body)
{
    struct transcode_gop *message = rr_alloc(sizeof *message);
    bool read = transcode_decode_message(body, gop, message) && message->count > 0;
    if (read) {
        transcode_gop_keep(out, message);
    }
    rr_free(message);
    return read;
}
