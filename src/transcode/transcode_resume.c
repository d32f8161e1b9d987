/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a job has and what it still misses, told by its journal when it goes on. */
#include "transcode/transcode_private.h"
#include <stdio.h>
#include <string.h>

void transcode_job_room(struct transcode_job *job, uint32_t gop)
{
    if (gop < job->gop_room) {
        return;
    }
    uint32_t room = job->gop_room == 0 ? 64 : job->gop_room * 2;
    job->gops = rr_realloc(job->gops, sizeof *job->gops * room);
    memset(job->gops + job->gop_room, 0, sizeof *job->gops * (room - job->gop_room));
    for (uint32_t i = job->gop_room; i < room; i++) {
        for (unsigned rung = 0; rung < RR_RUNGS_MAX; rung++) {
            job->gops[i].frames[rung] = -1;
        }
    }
    job->gop_room = room;
}

/* Parameter sets of all GOPs of a rendition must be one. */
enum rr_err transcode_job_extradata(struct transcode_job *job, unsigned rung, uint32_t gop,
                                    const struct transcode_packets *packets, struct rr_fault *fault)
{
    struct rr_slice found = rr_slice_of(packets->extradata, packets->extradata_bytes);
    if (job->extradata[rung].len == 0) {
        rr_buf_append(&job->extradata[rung], found.ptr, found.len);
    } else if (!rr_slice_equal(found, rr_buf_slice(&job->extradata[rung]))) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "the parameter sets of GOP %u, rung %u, are not those of the GOPs before",
                       (unsigned)gop, rung);
    }
    return RR_OK;
}

/* How many places a picture is decoded after its turn to be shown, at most. */
void transcode_job_reorder(struct transcode_job *job, uint32_t gop,
                           const struct transcode_packets *packets)
{
    const struct transcode_gop_facts *facts = &job->gops[gop].facts;
    for (uint32_t i = 0; i < packets->count; i++) {
        uint32_t late = 0;
        while (late < i &&
               (facts->pts[i - late] - facts->pts[0]) * job->plan.ticks > packets->packets[i].pts) {
            late++;
        }
        job->reorder = late > job->reorder ? late : job->reorder;
    }
}

/* A record of an encoded GOP: PACKETS body, then digest and bytes. */
static void load_coded(struct transcode_job *job, struct transcode_packets *scratch, uint32_t gop,
                       unsigned rung)
{
    struct transcode_coded *coded = &job->gops[gop].coded[rung];
    struct rr_buf body = {0};
    char name[64];
    uint64_t offset = 0, payload = 0;
    snprintf(name, sizeof name, TRANSCODE_CODED_RECORD, rung, (unsigned)gop);
    if (transcode_journal_get(&body, job->options.job_folder, name, &offset, &payload) &&
        body.len > 40) {
        struct rr_slice packets = rr_slice_of(body.ptr, body.len - 40);
        struct rr_reader tail = rr_reader_of(rr_slice_of(body.ptr + packets.len, 40));
        rr_read_bytes(&tail, coded->digest.bytes, sizeof coded->digest.bytes);
        coded->bytes = rr_read_u64(&tail);
        coded->payload_offset = offset;
        coded->done = transcode_decode_message(packets, packets, scratch) &&
                      scratch->count == job->gops[gop].facts.count && payload == scratch->bytes &&
                      transcode_job_extradata(job, rung, gop, scratch, NULL) == RR_OK;
        if (coded->done) {
            transcode_job_reorder(job, gop, scratch);
            job->resumed++;
        }
    }
    rr_buf_clear(&body);
}

static void load_sound(struct transcode_job *job, unsigned track)
{
    struct transcode_job_sound *sound = &job->sounds[track];
    struct rr_buf body = {0};
    char name[64];
    uint64_t payload = 0;
    snprintf(name, sizeof name, TRANSCODE_SOUND_RECORD, track);
    if (transcode_journal_get(&body, job->options.job_folder, name, &sound->offset, &payload)) {
        struct rr_reader reader = rr_reader_of(rr_buf_slice(&body));
        struct rr_slice facts = rr_read_var32(&reader, TRANSCODE_MESSAGE_MAX);
        sound->done = !reader.failed && transcode_decode_message(facts, sound, &sound->facts) &&
                      reader.len == (size_t)sound->facts.count * 4 && payload == sound->facts.bytes;
        if (sound->done) {
            rr_buf_append(&sound->sizes, reader.ptr, reader.len);
            job->resumed++;
        }
    }
    rr_buf_clear(&body);
}

static void load_text(struct transcode_job *job, unsigned track)
{
    struct transcode_job_text *text = &job->texts[track];
    struct rr_buf body = {0};
    char name[64];
    uint64_t offset = 0, payload = 0;
    snprintf(name, sizeof name, TRANSCODE_TEXT_RECORD, track);
    if (transcode_journal_get(&body, job->options.job_folder, name, &offset, &payload)) {
        struct rr_reader reader = rr_reader_of(rr_buf_slice(&body));
        struct rr_slice facts = rr_read_var32(&reader, TRANSCODE_MESSAGE_MAX);
        text->done =
            !reader.failed && transcode_decode_message(facts, cues, &text->facts) &&
            transcode_cues_check(&text->facts, rr_slice_of(reader.ptr, reader.len), NULL) == RR_OK;
        if (text->done) {
            rr_buf_append(&text->cues, reader.ptr, reader.len);
            job->resumed++;
        }
    }
    rr_buf_clear(&body);
}

void transcode_track_record(char out[static 64], const struct transcode_plan *plan, unsigned index)
{
    bool sound = index < plan->audio_count;
    snprintf(out, 64, sound ? TRANSCODE_SOUND_RECORD : TRANSCODE_TEXT_RECORD,
             sound ? index : index - plan->audio_count);
}

bool transcode_job_tracks_done(const struct transcode_job *job, unsigned *rung)
{
    for (unsigned track = 0; track < job->plan.audio_count; track++) {
        if (!job->sounds[track].done) {
            *rung = TRANSCODE_AUDIO_RUNG + track;
            return false;
        }
    }
    for (unsigned track = 0; track < job->plan.subtitle_count; track++) {
        if (!job->texts[track].done) {
            *rung = TRANSCODE_SUBTITLE_RUNG + track;
            return false;
        }
    }
    return true;
}

void transcode_job_load(struct transcode_job *job, struct transcode_packets *scratch)
{
    struct rr_buf body = {0};
    char name[64];
    uint64_t offset = 0, payload = 0;
    for (uint32_t gop = 0;; gop++) {
        snprintf(name, sizeof name, TRANSCODE_GOP_RECORD, (unsigned)gop);
        transcode_job_room(job, gop);
        if (!transcode_journal_get(&body, job->options.job_folder, name, &offset, &payload) ||
            !transcode_gop_unrecord(&job->gops[gop].facts, rr_buf_slice(&body))) {
            break;
        }
        job->gops[gop].known = true;
        job->gop_count = gop + 1;
        for (unsigned rung = 0; rung < job->plan.rung_count; rung++) {
            load_coded(job, scratch, gop, rung);
        }
    }
    if (transcode_journal_get(&body, job->options.job_folder, TRANSCODE_END_RECORD, &offset,
                              &payload) &&
        body.len == 4) {
        struct rr_reader reader = rr_reader_of(rr_buf_slice(&body));
        job->source_done = rr_read_u32(&reader) == job->gop_count;
    }
    for (unsigned track = 0; track < job->plan.audio_count; track++) {
        load_sound(job, track);
    }
    for (unsigned track = 0; track < job->plan.subtitle_count; track++) {
        load_text(job, track);
    }
    rr_buf_clear(&body);
}

static bool gop_whole(const struct transcode_job *job, uint32_t gop)
{
    for (unsigned rung = 0; rung < job->plan.rung_count; rung++) {
        if (!job->gops[gop].known || !job->gops[gop].coded[rung].done) {
            return false;
        }
    }
    return true;
}

/* The first GOP that something is missing of; the source starts there or just before. */
uint32_t transcode_job_missing(const struct transcode_job *job)
{
    uint32_t gop = 0;
    while (gop < job->gop_count && gop_whole(job, gop)) {
        gop++;
    }
    return gop;
}
