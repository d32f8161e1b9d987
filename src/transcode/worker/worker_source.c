/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One demux and one decode of the whole input, cut by presentation time into GOPs of scaled
 * pictures. The same code, begun at a later packet, makes one GOP again for a spot check or goes on
 * after an interruption; so nothing here may depend on where it began. What is bad is therefore
 * kept by packet number, never by time of discovery. */
#include "crypto/crypto.h"
#include "transcode/worker/worker.h"
#include "transcode/worker/worker_live.h"
#include <libavutil/opt.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define GOP_BYTES_MAX (UINT64_C(8) << 30) /* of one rung: 2160p60 in 10 bits for 5 s */
#define NOT_BAD       UINT32_MAX

struct note {
    struct rr_hash32 digest;
    int64_t pts;
    bool key;
};
/* A GOP's pictures in a rung's memfd. The parent hands the same few memfds out again and again:
 * their mappings stay, since touching each page anew costs a tenth of the decode (measured). */
struct room {
    int fd; /* -1: the rung is not wanted */
    ino_t inode;
    uint8_t *bytes;
    uint64_t size;
    uint64_t used; /* number of the GOP that had it last */
};
#define ROOMS_MAX 32
struct source {
    struct worker *worker;
    struct transcode_source ask;
    struct worker_input input;
    AVCodecContext *decoder;
    AVPacket *packet;
    AVFrame *frame;
    struct worker_scale *scale;
    struct note *notes; /* of packets first_packet .. */
    uint32_t note_count, note_room;
    uint32_t bad_from; /* lowest packet number with damage */
    bool flowing;      /* the first picture that is wanted has come */
    bool open;         /* a GOP is being filled */
    bool tell;         /* its pictures one by one */
    struct transcode_gop gop;
    uint32_t lowest;                  /* packet of its pictures */
    struct room *rooms[RR_RUNGS_MAX]; /* of the open GOP; NULL: the rung is not wanted */
    struct room kept[ROOMS_MAX];
    uint64_t gops_opened;
    int64_t last_pts, last_duration;
    uint32_t lost; /* packets that gave no picture but an error, not told yet */
    uint64_t work; /* pixels decoded */
    struct transcode_end end;
    bool done;
};

/* ---- packets
 * ------------------------------------------------------------------------------------------ */

static uint32_t packets_seen(const struct source *source)
{
    return source->ask.first_packet + source->note_count;
}

/* A device conceals damage in its own way, and not always aloud: what is known to be damaged is for
 * the CPU. */
static enum rr_err refuse_damage(const struct source *source, struct rr_fault *fault)
{
    return source->worker->device == NULL || source->bad_from == NOT_BAD
               ? RR_OK
               : rr_fail(fault, RR_ERR_UNSUPPORTED,
                         "packet %u is damaged, and damage is concealed on the CPU alone",
                         (unsigned)source->bad_from);
}

static void mark_bad(struct source *source, uint32_t packet)
{
    if ((source->flowing || source->worker->device != NULL) && packet < source->bad_from) {
        source->bad_from = packet;
    }
}

void worker_packet_digest(struct rr_hash32 *out, const AVPacket *packet)
{
    struct rr_hasher hasher;
    uint8_t head[20];
    uint64_t values[2] = {(uint64_t)packet->pts, (uint64_t)packet->dts};
    for (unsigned i = 0; i < 4; i++) {
        head[i] = (uint8_t)((uint32_t)packet->size >> 8 * i);
    }
    for (unsigned i = 0; i < 16; i++) {
        head[4 + i] = (uint8_t)(values[i / 8] >> 8 * (i % 8));
    }
    rr_hasher_init(&hasher, "rr.packet.v1");
    rr_hasher_add(&hasher, head, sizeof head);
    rr_hasher_add(&hasher, packet->data, (size_t)packet->size);
    rr_hasher_final(&hasher, out);
}

static void note_packet(struct source *source)
{
    if (source->note_count == source->note_room) {
        source->note_room = source->note_room != 0 ? source->note_room * 2 : 1024;
        source->notes = rr_realloc(source->notes, sizeof *source->notes * source->note_room);
    }
    struct note *note = &source->notes[source->note_count++];
    worker_packet_digest(&note->digest, source->packet);
    note->pts = source->packet->pts;
    note->key = (source->packet->flags & AV_PKT_FLAG_KEY) != 0;
}

/* Where decoding must begin for the open GOP: the last random access point that no picture of it
 * precedes, neither in presentation nor in decoding order. Leading pictures of an open GOP precede
 * it in presentation: they belong to an earlier GOP of ours or are decoded by way of an earlier
 * point. */
static uint32_t lead_in(const struct source *source)
{
    if (source->bad_from <= source->gop.last) {
        return 0;
    }
    for (uint32_t i = source->note_count; i-- > 0;) {
        const struct note *note = &source->notes[i];
        uint32_t number = source->ask.first_packet + i;
        if (note->key && note->pts != AV_NOPTS_VALUE && note->pts <= source->gop.pts[0] &&
            number <= source->lowest) {
            return number;
        }
    }
    return source->ask.first_packet;
}

static void hash_range(const struct source *source, struct rr_hash32 *out, uint32_t first,
                       uint32_t last)
{
    struct rr_hasher hasher;
    rr_hasher_init(&hasher, "rr.src.v1");
    for (uint32_t i = first; i <= last; i++) {
        rr_hasher_add(&hasher, source->notes[i - source->ask.first_packet].digest.bytes, 32);
    }
    rr_hasher_final(&hasher, out);
}

/* ---- GOPs
 * --------------------------------------------------------------------------------------------- */

static void drop_room(struct room *room)
{
    if (room->bytes != NULL) {
        munmap(room->bytes, room->size);
    }
    if (room->fd >= 0) {
        close(room->fd);
    }
    *room = (struct room){.fd = -1};
}

static void close_rooms(struct source *source)
{
    for (unsigned i = 0; i < RR_RUNGS_MAX; i++) {
        if (source->rooms[i] != NULL) {
            close(source->rooms[i]->fd);
            source->rooms[i]->fd = -1;
        }
        source->rooms[i] = NULL;
    }
}

/* The mapping that this memfd has already, or an empty one in place of the longest unused. */
static enum rr_err take_room(struct source *source, unsigned rung, int fd, struct rr_fault *fault)
{
    struct stat facts;
    struct room *room = NULL;
    if (fstat(fd, &facts) != 0) {
        close(fd);
        return rr_fail_errno(fault, "memory for pictures");
    }
    for (unsigned i = 0; i < ROOMS_MAX && room == NULL; i++) {
        struct room *kept = &source->kept[i];
        room = kept->bytes != NULL && kept->fd < 0 && kept->inode == facts.st_ino ? kept : NULL;
    }
    for (unsigned i = 0; i < ROOMS_MAX && (room == NULL || room->inode != facts.st_ino); i++) {
        struct room *kept = &source->kept[i];
        if (kept->fd < 0 && (room == NULL || kept->used < room->used)) {
            room = kept;
        }
    }
    RR_CHECK(room != NULL); /* more places than rungs */
    if (room->inode != facts.st_ino || room->size > (uint64_t)facts.st_size) {
        drop_room(room);
    }
    room->fd = fd;
    room->inode = facts.st_ino;
    room->used = source->gops_opened;
    source->rooms[rung] = room;
    return RR_OK;
}

static bool scales(const struct source *source)
{
    const struct worker *worker = source->worker;
    return worker->device != NULL && worker_profile.scales(worker->device, &source->ask.plan);
}

static enum rr_err open_gop(struct source *source, uint32_t cell, struct rr_fault *fault)
{
    struct worker *worker = source->worker;
    struct transcode_grant grant = {0};
    if (!worker_receive(worker)) {
        _exit(0);
    }
    if (worker_kind(worker) != TRANSCODE_GRANT ||
        !transcode_decode_message(worker_body(worker), grant, &grant) ||
        (size_t)__builtin_popcount(grant.rungs) != worker->fd_count) {
        return rr_fail(fault, RR_ERR_USAGE, "a grant that does not follow its form");
    }
    size_t used = 0, given = worker->fd_count;
    enum rr_err err = RR_OK;
    worker->fd_count = 0; /* taken */
    source->gops_opened++;
    for (unsigned i = 0; i < RR_RUNGS_MAX && used < given; i++) {
        if ((grant.rungs >> i & 1) == 0) {
            continue;
        }
        if (err == RR_OK) {
            err = take_room(source, i, worker->fds[used++], fault);
        } else {
            close(worker->fds[used++]);
        }
    }
    if (err != RR_OK) {
        return err;
    }
    source->open = true;
    source->tell = worker_follow_on() || grant.tell != 0;
    source->gop.cell = cell;
    source->gop.count = 0;
    source->gop.concealed = 0;
    source->gop.last = 0;
    source->gop.coded = scales(source) ? worker_profile.gop_begin(worker->device, &source->ask.plan,
                                                                  grant.coded & grant.rungs)
                                       : 0;
    source->lowest = UINT32_MAX;
    return RR_OK;
}

/* A live input has no end, so what no later GOP can begin at is dropped. */
static void forget_notes(struct source *source)
{
    uint32_t gone = source->gop.first - source->ask.first_packet;
    source->note_count -= gone;
    memmove(source->notes, source->notes + gone, sizeof *source->notes * source->note_count);
    source->ask.first_packet = source->gop.first;
}

static void tell_lost(struct source *source)
{
    struct transcode_gop *gop = &source->gop;
    uint32_t room = TRANSCODE_FRAMES_MAX - gop->concealed;
    uint32_t now = source->lost < room ? source->lost : room;
    gop->concealed += now;
    source->end.concealed += now;
    source->lost = 0;
}

/* Ends what the device encoded; the messages go out behind the GOP's own. */
static enum rr_err end_coded(struct source *source, struct rr_buf messages[RR_RUNGS_MAX],
                             struct rr_fault *fault)
{
    struct transcode_packets *answer = rr_alloc(sizeof *answer);
    enum rr_err err = RR_OK;
    for (unsigned i = 0; i < RR_RUNGS_MAX && err == RR_OK; i++) {
        if ((source->gop.coded >> i & 1) != 0) {
            err = worker_profile.gop_end(source->worker->device, i, source->rooms[i]->fd, answer,
                                         fault);
            transcode_encode_message(&messages[i], TRANSCODE_PACKETS, packets, answer);
        }
    }
    rr_free(answer);
    return err;
}

static enum rr_err close_gop(struct source *source, int64_t end, struct rr_fault *fault)
{
    struct rr_buf message = {0}, coded[RR_RUNGS_MAX] = {{0}};
    struct transcode_gop *gop = &source->gop;
    enum rr_err err = gop->coded != 0 ? end_coded(source, coded, fault) : RR_OK;
    gop->end = end;
    gop->first = lead_in(source);
    tell_lost(source);
    gop->unclean = source->bad_from <= gop->last;
    if (gop->first < source->ask.first_packet) {
        gop->first = source->ask.first_packet;
    }
    hash_range(source, &gop->digest, gop->first, gop->last);
    transcode_encode_message(&message, TRANSCODE_GOP, gop, gop);
    close_rooms(source);
    if (err == RR_OK) {
        worker_send(source->worker, &message);
    }
    for (unsigned i = 0; i < RR_RUNGS_MAX; i++) {
        if (err == RR_OK && (gop->coded >> i & 1) != 0) {
            worker_send(source->worker, &coded[i]);
        }
        rr_buf_clear(&coded[i]);
    }
    rr_buf_clear(&message);
    source->open = false;
    source->done = source->ask.one != 0;
    if (worker_follow_on()) {
        forget_notes(source);
    }
    return err;
}

/* Maps `size` bytes or more of a room's memfd. */
static enum rr_err map_room(const struct source *source, struct room *room, uint64_t size,
                            struct rr_fault *fault)
{
    struct stat facts;
    if (fstat(room->fd, &facts) != 0 ||
        (facts.st_size < (int64_t)size && ftruncate(room->fd, (off_t)size) != 0)) {
        return rr_fail_errno(fault, "memory for the pictures of GOP %u",
                             (unsigned)source->gop.cell);
    }
    size = facts.st_size > (int64_t)size ? (uint64_t)facts.st_size : size;
    if (room->bytes != NULL) {
        munmap(room->bytes, room->size);
    }
    room->bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, room->fd, 0);
    if (room->bytes == MAP_FAILED) {
        room->bytes = NULL;
        return rr_fail_errno(fault, "memory for the pictures of GOP %u",
                             (unsigned)source->gop.cell);
    }
    room->size = size;
    return RR_OK;
}

/* Room for one picture more in each rung that is wanted; at first for as many as a GOP should
 * have. */
static enum rr_err grow(struct source *source, uint8_t *out[RR_RUNGS_MAX], struct rr_fault *fault)
{
    const struct transcode_plan *plan = &source->ask.plan;
    uint64_t usual = (uint64_t)plan->fps_num * plan->gop_ms / ((uint64_t)plan->fps_den * 1000) + 2u;
    for (unsigned i = 0; i < plan->rung_count; i++) {
        struct room *room = source->rooms[i];
        uint64_t frame = transcode_frame_bytes(plan, &plan->rungs[i]);
        uint64_t need = frame * (source->gop.count + 1u);
        if (room == NULL || (source->gop.coded >> i & 1) != 0) {
            continue;
        }
        if (need > GOP_BYTES_MAX) {
            return rr_fail(fault, RR_ERR_LIMIT,
                           "GOP %u has more than %llu MiB of pictures; take a shorter GOP",
                           (unsigned)source->gop.cell, (unsigned long long)(GOP_BYTES_MAX >> 20));
        }
        if (need > room->size) {
            uint64_t count = source->gop.count + 16u + source->gop.count / 2;
            count = count < usual && usual < TRANSCODE_FRAMES_MAX ? usual : count;
            uint64_t size = frame * count < GOP_BYTES_MAX ? frame * count : GOP_BYTES_MAX;
            enum rr_err err = map_room(source, room, size, fault);
            if (err != RR_OK) {
                return err;
            }
        }
        out[i] = room->bytes + frame * source->gop.count;
    }
    return RR_OK;
}

/* Room is made when it is known which rungs the device encodes itself. */
static enum rr_err on_device(struct source *source, uint8_t *out[RR_RUNGS_MAX], int64_t pts,
                             struct rr_fault *fault)
{
    struct worker_device *device = source->worker->device;
    const struct transcode_plan *plan = &source->ask.plan;
    struct transcode_gop *gop = &source->gop;
    int64_t start = gop->count > 0 ? gop->pts[0] : pts;
    enum rr_err err =
        scales(source) ? worker_profile.picture(device, plan, &gop->coded, gop->count == 0,
                                                source->frame, (pts - start) * plan->ticks, fault)
                       : worker_profile.plain(device, source->frame, fault);
    err = err != RR_OK ? err : grow(source, out, fault);
    return err == RR_OK && scales(source) ? worker_profile.store(device, plan, out, fault) : err;
}

static enum rr_err add_frame(struct source *source, uint32_t packet, int64_t pts, bool damaged,
                             struct rr_fault *fault)
{
    struct transcode_gop *gop = &source->gop;
    uint8_t *out[RR_RUNGS_MAX] = {0};
    if (gop->count == TRANSCODE_FRAMES_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "more than %d pictures in GOP %u; take a shorter GOP",
                       TRANSCODE_FRAMES_MAX, (unsigned)gop->cell);
    }
    enum rr_err err = source->worker->device != NULL ? on_device(source, out, pts, fault)
                                                     : grow(source, out, fault);
    if (err == RR_OK && !scales(source)) {
        err = worker_scale_frame(source->scale, out, source->frame, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    gop->pts[gop->count++] = pts;
    gop->last = packet > gop->last ? packet : gop->last;
    source->lowest = packet < source->lowest ? packet : source->lowest;
    gop->concealed += damaged && gop->concealed < TRANSCODE_FRAMES_MAX ? 1 : 0;
    source->end.frames++;
    source->end.concealed += damaged ? 1 : 0;
    if (source->tell) {
        worker_live_picture(source->worker, gop);
    }
    return RR_OK;
}

/* ---- pictures
 * ----------------------------------------------------------------------------------------- */

static int64_t frame_duration(const struct source *source)
{
    const struct transcode_plan *plan = &source->ask.plan;
    if (source->frame->pkt_duration > 0) {
        return source->frame->pkt_duration;
    }
    int64_t ticks = transcode_rescale((int64_t)plan->tb_den * plan->fps_den, 1,
                                      (int64_t)plan->tb_num * plan->fps_num);
    return ticks > 0 ? ticks : 1;
}

/* Work is bounded while it runs too: few bytes can hold many pictures, and what a container says
 * of itself is only its word. */
static enum rr_err check_work(struct source *source, int64_t pts, struct rr_fault *fault)
{
    const struct transcode_plan *plan = &source->ask.plan;
    uint64_t most = source->ask.work_max != 0 ? source->ask.work_max : TRANSCODE_WORK_MAX;
    if (worker_follow_on()) {
        return RR_OK; /* a live input may go on for ever; its owner ends it */
    }
    source->work += (uint64_t)source->frame->width * (uint64_t)source->frame->height;
    if (source->work > most) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "the pictures up to GOP %u have more than %llu pixels in all, the limit of "
                       "one job",
                       (unsigned)transcode_cell(plan, pts), (unsigned long long)most);
    }
    if (transcode_rescale(pts - plan->first_pts, plan->tb_num, plan->tb_den) >
        TRANSCODE_DURATION_MAX_S) {
        return rr_fail(fault, RR_ERR_LIMIT, "more than %d s long, the limit of one job",
                       TRANSCODE_DURATION_MAX_S);
    }
    return RR_OK;
}

static enum rr_err take_frame(struct source *source, struct rr_fault *fault)
{
    const AVFrame *frame = source->frame;
    bool damaged = frame->decode_error_flags != 0 || (frame->flags & AV_FRAME_FLAG_CORRUPT) != 0;
    uint32_t packet = (uint32_t)frame->reordered_opaque;
    int64_t pts = frame->pts != AV_NOPTS_VALUE ? frame->pts : frame->best_effort_timestamp;
    if (source->flowing) {
        pts = worker_live_time(&source->ask.plan, pts, source->last_pts, source->last_duration);
    }
    if (packet < source->ask.first_packet || packet >= packets_seen(source)) {
        packet = packets_seen(source) - 1;
    }
    bool timed = frame->pts != AV_NOPTS_VALUE;
    if (pts == AV_NOPTS_VALUE || (source->flowing && pts <= source->last_pts)) {
        timed = false;
        pts = source->flowing
                  ? source->last_pts + (pts == AV_NOPTS_VALUE ? source->last_duration : 1)
                  : source->ask.plan.first_pts;
    }
    enum rr_err err = check_work(source, pts, fault);
    if (err != RR_OK) {
        return err;
    }
    uint32_t cell = transcode_cell(&source->ask.plan, pts);
    /* Begun at the first packet, everything is judged as by the whole job, wanted or not. */
    if (pts < source->ask.plan.first_pts ||
        (source->ask.first_packet > 0 && cell < source->ask.first_cell)) {
        return RR_OK; /* of the lead-in */
    }
    source->flowing = true;
    if (damaged || !timed) {
        mark_bad(source, packet);
    }
    if (source->open && cell != source->gop.cell) {
        err = close_gop(source, pts, fault);
    }
    source->last_pts = pts;
    source->last_duration = frame_duration(source);
    source->done |= source->ask.end_cell != 0 && cell >= source->ask.end_cell;
    if (err != RR_OK || source->done || cell < source->ask.first_cell) {
        source->lost = 0; /* of GOPs that others tell */
        return err;
    }
    if (source->ask.one != 0 && cell != source->ask.first_cell) {
        return rr_fail(fault, RR_ERR_NOTFOUND, "no picture of the source falls into GOP %u",
                       (unsigned)source->ask.first_cell);
    }
    err = source->open ? RR_OK : open_gop(source, cell, fault);
    return err != RR_OK ? err : add_frame(source, packet, pts, damaged, fault);
}

/* NULL packet: the end. */
static enum rr_err decode(struct source *source, const AVPacket *packet, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    int rc = avcodec_send_packet(source->decoder, packet);
    if (rc < 0 && packet != NULL) {
        mark_bad(source, packets_seen(source) - 1);
        source->lost += source->flowing ? 1 : 0;
    }
    while (err == RR_OK && !source->done &&
           (rc = avcodec_receive_frame(source->decoder, source->frame)) >= 0) {
        err = take_frame(source, fault);
        av_frame_unref(source->frame);
    }
    if (rc == AVERROR(ENOMEM)) {
        return rr_fail(fault, RR_ERR_MEMORY, "the decoder has no memory left");
    }
    if (rc < 0 && rc != AVERROR(EAGAIN) && rc != AVERROR_EOF && source->note_count > 0) {
        mark_bad(source, packets_seen(source) - 1);
    }
    return err;
}

/* TRANSCODE_QUICK: of the lead-in, what others refer to. */
static void choose_pictures(struct source *source)
{
    const struct transcode_plan *plan = &source->ask.plan;
    int64_t pts = source->packet->pts;
    bool before = source->ask.one == TRANSCODE_QUICK && source->ask.first_packet > 0 &&
                  pts != AV_NOPTS_VALUE && pts >= plan->first_pts &&
                  transcode_cell(plan, pts) < source->ask.first_cell;
    source->decoder->skip_frame = before ? AVDISCARD_NONREF : AVDISCARD_DEFAULT;
}

static enum rr_err read_all(struct source *source, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    uint32_t skipped = 0;
    while (err == RR_OK && !source->done &&
           worker_input_read(&source->input, source->packet) >= 0) {
        if (source->packet->stream_index != source->ask.plan.video_stream) {
            /* audio has a pass of its own */
        } else if (!worker_follow_on() && skipped < source->ask.first_packet) {
            skipped++;
        } else {
            source->decoder->reordered_opaque = packets_seen(source);
            note_packet(source);
            if ((source->packet->flags & AV_PKT_FLAG_CORRUPT) != 0) {
                mark_bad(source, packets_seen(source) - 1);
            }
            choose_pictures(source);
            err = decode(source, source->packet, fault);
            err = err != RR_OK ? err : refuse_damage(source, fault);
        }
        av_packet_unref(source->packet);
    }
    if (err == RR_OK && !source->done) {
        err = decode(source, NULL, fault);
        err = err != RR_OK ? err : refuse_damage(source, fault);
    }
    if (err == RR_OK && source->worker->device != NULL && source->end.frames == 0 &&
        source->ask.one == 0 && source->note_count > 0) {
        err = rr_fail(fault, RR_ERR_UNSUPPORTED, "the device decodes not one picture");
    }
    if (err == RR_OK && source->open && !source->done) {
        err = close_gop(source, source->last_pts + source->last_duration, fault);
    }
    return err;
}

static enum rr_err run(struct source *source, struct rr_fault *fault)
{
    struct rr_buf message = {0};
    enum rr_err err = worker_input_open(&source->input, source->worker->fds[0], fault);
    if (err != RR_OK) {
        return err;
    }
    int stream = source->ask.plan.video_stream;
    if (stream < 0 || stream >= (int)source->input.format->nb_streams) {
        err = rr_fail(fault, RR_ERR_USAGE, "the plan names stream %d of %u", stream,
                      source->input.format->nb_streams);
    } else {
        const AVStream *from = source->input.format->streams[stream];
        err = source->worker->device != NULL
                  ? worker_profile.decoder(source->worker->device, &source->decoder, from, fault)
                  : worker_decoder_open(&source->decoder, from, fault);
    }
    source->packet = av_packet_alloc();
    source->frame = av_frame_alloc();
    source->scale = worker_scale_new(&source->ask.plan);
    if (err == RR_OK && (source->packet == NULL || source->frame == NULL)) {
        err = rr_fail(fault, RR_ERR_MEMORY, "no memory for packets");
    }
    if (err == RR_OK) {
        err = read_all(source, fault);
    }
    if (err == RR_OK && source->ask.one != 0 && !source->done && source->end.frames == 0) {
        err = rr_fail(fault, RR_ERR_NOTFOUND, "no picture of the source falls into GOP %u",
                      (unsigned)source->ask.first_cell);
    }
    if (err == RR_OK) {
        source->end.packets = packets_seen(source);
        source->end.bad_from = source->bad_from;
        transcode_encode_message(&message, TRANSCODE_END, end, &source->end);
        worker_send(source->worker, &message);
    }
    return err;
}

enum rr_err worker_source(struct worker *worker, struct rr_fault *fault)
{
    struct source *source = rr_alloc(sizeof *source);
    enum rr_err err;
    int fd = -1;
    source->worker = worker;
    source->bad_from = NOT_BAD;
    for (unsigned i = 0; i < ROOMS_MAX; i++) {
        source->kept[i].fd = -1;
    }
    if (!worker_follow_take(worker, 1, true) ||
        !transcode_decode_message(worker_body(worker), source, &source->ask)) {
        err = rr_fail(fault, RR_ERR_USAGE, "a source task that does not follow its form");
    } else {
        fd = worker->fds[0];
        worker->fd_count = 0; /* taken: later messages must not close it */
        err = run(source, fault);
    }
    close_rooms(source);
    for (unsigned i = 0; i < ROOMS_MAX; i++) {
        drop_room(&source->kept[i]);
    }
    av_packet_free(&source->packet);
    av_frame_free(&source->frame);
    avcodec_free_context(&source->decoder);
    worker_input_close(&source->input);
    worker_scale_free(source->scale);
    if (fd >= 0) {
        close(fd);
    }
    rr_free(source->notes);
    rr_free(source);
    return err;
}
