/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tasks and answers as bytes; both come from the network. */
#include "crypto/crypto.h"
#include "dispatch/dispatch.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define TASK_VERSION 1
#define PIECE_BYTES  (1u << 20)

bool rr_dispatch_name_good(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '_';
        if (!good) {
            return false;
        }
    }
    return len > 0 && len <= RR_DISPATCH_NAME_MAX;
}

static bool read_name(struct rr_reader *reader, char out[RR_DISPATCH_NAME_MAX + 1])
{
    struct rr_slice name = rr_read_var16(reader, RR_DISPATCH_NAME_MAX);
    memset(out, 0, RR_DISPATCH_NAME_MAX + 1);
    if (!reader->failed) {
        memcpy(out, name.ptr, name.len);
    }
    return !reader->failed && strlen(out) == name.len && rr_dispatch_name_good(out);
}

void rr_dispatch_task_clear(struct rr_dispatch_task *task)
{
    rr_buf_clear(&task->plan);
}

void rr_dispatch_task_write(struct rr_buf *out, const struct rr_dispatch_task *task)
{
    rr_write_u16(out, TASK_VERSION);
    rr_buf_append(out, task->job.bytes, sizeof task->job.bytes);
    rr_buf_append(out, task->source.bytes, sizeof task->source.bytes);
    rr_write_u64(out, task->source_bytes);
    rr_write_u32(out, task->number);
    rr_write_u32(out, task->revision);
    rr_write_u32(out, task->attempt);
    rr_write_u8(out, task->shard.sound);
    rr_write_u32(out, task->shard.cell_first);
    rr_write_u32(out, task->shard.cell_end);
    rr_write_u32(out, task->shard.packet_first);
    rr_write_u64(out, task->shard.cost);
    rr_write_u8(out, task->avoid_count);
    for (unsigned i = 0; i < task->avoid_count; i++) {
        rr_write_var16(out, rr_slice_str(task->avoid[i]));
    }
    rr_write_var32(out, rr_buf_slice(&task->plan));
}

enum rr_err rr_dispatch_task_read(struct rr_dispatch_task *out, struct rr_slice bytes,
                                  struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_dispatch_task *task = rr_alloc(sizeof *task);
    bool good = rr_read_u16(&reader) == TASK_VERSION;
    rr_read_bytes(&reader, task->job.bytes, sizeof task->job.bytes);
    rr_read_bytes(&reader, task->source.bytes, sizeof task->source.bytes);
    task->source_bytes = rr_read_u64(&reader);
    task->number = rr_read_u32(&reader);
    task->revision = rr_read_u32(&reader);
    task->attempt = rr_read_u32(&reader);
    uint8_t sound = rr_read_u8(&reader);
    task->shard.sound = sound == 1;
    task->shard.cell_first = rr_read_u32(&reader);
    task->shard.cell_end = rr_read_u32(&reader);
    task->shard.packet_first = rr_read_u32(&reader);
    task->shard.cost = rr_read_u64(&reader);
    task->avoid_count = rr_read_u8(&reader);
    good = good && sound <= 1 && task->avoid_count <= RR_DISPATCH_AVOID_MAX;
    for (unsigned i = 0; good && i < task->avoid_count; i++) {
        good = read_name(&reader, task->avoid[i]);
    }
    struct rr_slice plan = rr_read_var32(&reader, RR_DISPATCH_PLAN_BYTES);
    good = good && rr_reader_done(&reader);
    if (good) {
        rr_buf_append(&task->plan, plan.ptr, plan.len);
        *out = *task;
    }
    rr_free(task);
    return good ? RR_OK
                : rr_fail(fault, RR_ERR_FORMAT,
                          "a task of %zu bytes that does not follow its form; all rigs of a rack "
                          "need one version",
                          bytes.len);
}

void rr_dispatch_answer_write(struct rr_buf *out, const struct rr_dispatch_answer *answer)
{
    rr_write_u16(out, TASK_VERSION);
    rr_write_u32(out, answer->number);
    rr_write_u32(out, answer->revision);
    rr_write_u32(out, answer->attempt);
    rr_write_var16(out, rr_slice_str(answer->rig));
    rr_write_u16(out, (uint16_t)answer->code);
    rr_write_var16(out, rr_slice_str(answer->text));
    rr_write_u64(out, answer->bytes);
    rr_buf_append(out, answer->digest.bytes, sizeof answer->digest.bytes);
    rr_write_u32(out, answer->pieces);
}

enum rr_err rr_dispatch_answer_read(struct rr_dispatch_answer *out, struct rr_slice bytes,
                                    struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_dispatch_answer answer = {0};
    bool good = rr_read_u16(&reader) == TASK_VERSION;
    answer.number = rr_read_u32(&reader);
    answer.revision = rr_read_u32(&reader);
    answer.attempt = rr_read_u32(&reader);
    good = read_name(&reader, answer.rig) && good;
    uint16_t code = rr_read_u16(&reader);
    struct rr_slice text = rr_read_var16(&reader, sizeof answer.text - 1);
    answer.bytes = rr_read_u64(&reader);
    rr_read_bytes(&reader, answer.digest.bytes, sizeof answer.digest.bytes);
    answer.pieces = rr_read_u32(&reader);
    good = good && rr_reader_done(&reader) && code <= RR_ERR_UNREACHABLE &&
           answer.bytes <= RR_DISPATCH_PART_BYTES && answer.pieces <= answer.bytes;
    for (size_t i = 0; good && i < text.len;) {
        size_t step = rr_utf8_step(text.ptr + i, text.len - i);
        good = step != 0;
        i += step;
    }
    if (!good) {
        return rr_fail(fault, RR_ERR_FORMAT, "an answer that does not follow its form");
    }
    answer.code = (enum rr_err)code;
    memcpy(answer.text, text.ptr, text.len);
    *out = answer;
    return RR_OK;
}

enum rr_err rr_dispatch_source_digest(struct rr_hash32 *out, uint64_t *bytes, int fd,
                                      const atomic_bool *cancel, struct rr_fault *fault)
{
    struct rr_hasher hasher;
    uint8_t *piece = rr_alloc(PIECE_BYTES);
    uint64_t at = 0;
    enum rr_err err = RR_OK;
    rr_hasher_init(&hasher, "rr.source.v1");
    while (err == RR_OK) {
        ssize_t got = pread(fd, piece, PIECE_BYTES, (off_t)at);
        if (got < 0 && errno != EINTR) {
            err = rr_fail_errno(fault, "the input cannot be read at byte %llu",
                                (unsigned long long)at);
        } else if (got == 0) {
            break;
        } else if (got > 0) {
            rr_hasher_add(&hasher, piece, (size_t)got);
            at += (uint64_t)got;
        }
        if (cancel != NULL && atomic_load(cancel)) {
            err = rr_fail(fault, RR_ERR_CANCELLED, "cancelled");
        }
    }
    rr_free(piece);
    if (err == RR_OK) {
        rr_hasher_final(&hasher, out);
        *bytes = at;
    }
    return err;
}
