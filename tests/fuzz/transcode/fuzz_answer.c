/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker's answers, which the parent takes for hostile: whatever is read is written again to the
 * same bytes, text is printable, counts stay within their tables. First byte: which message. */
#include "transcode/transcode_private.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TRY(name)                                                                                  \
    do {                                                                                           \
        struct transcode_##name *m_ = rr_alloc(sizeof *m_);                                        \
        struct rr_buf again_ = {0};                                                                \
        struct transcode_coder write_ = {.out = &again_};                                          \
        if (transcode_decode_message(body, name, m_)) {                                            \
            transcode_code_##name(&write_, m_);                                                    \
            RR_CHECK(rr_slice_equal(body, rr_buf_slice(&again_)));                                 \
            after_##name(m_);                                                                      \
        }                                                                                          \
        rr_buf_clear(&again_);                                                                     \
        rr_free(m_);                                                                               \
    } while (0)

static void after_hello(const struct transcode_hello *m)
{
    RR_CHECK(m->namespaces <= 1 && m->seccomp <= 1);
}

static void after_failed(const struct transcode_failed *m)
{
    RR_CHECK(m->code != RR_OK && strlen(m->text) < sizeof m->text);
}

static void after_facts(const struct transcode_facts *m)
{
    struct rr_transcode_options given = {0}, options;
    struct transcode_plan plan;
    struct rr_fault fault;
    RR_CHECK(transcode_options_fit(&options, &given, &fault) == RR_OK);
    if (transcode_plan_make(&plan, m, &options, &fault) == RR_OK && m->video_stream >= 0) {
        RR_CHECK(plan.rung_count >= 1 && plan.rung_count <= RR_RUNGS_MAX &&
                 plan.timescale >= 10000);
        for (unsigned i = 0; i < plan.rung_count; i++) {
            RR_CHECK(plan.rungs[i].width >= 2 && plan.rungs[i].width % 2 == 0 &&
                     plan.rungs[i].sar_num > 0);
            RR_CHECK(plan.rungs[i].height >= 2 && plan.rungs[i].height % 2 == 0 &&
                     plan.rungs[i].sar_den > 0);
        }
        (void)transcode_cell(&plan, m->first_pts);
    }
}

static void after_gop(const struct transcode_gop *m)
{
    struct transcode_gop_facts kept, again = {0};
    struct rr_buf record = {0};
    RR_CHECK(m->count <= TRANSCODE_FRAMES_MAX);
    transcode_gop_keep(&kept, m);
    transcode_gop_record(&record, &kept);
    RR_CHECK(transcode_gop_unrecord(&again, rr_buf_slice(&record)) == (m->count > 0));
    rr_free(again.pts);
    rr_free(kept.pts);
    rr_buf_clear(&record);
}

static void after_packets(const struct transcode_packets *m)
{
    struct transcode_encode *asked = rr_alloc(sizeof *asked);
    char name[RR_NAME_MAX + 1];
    struct rr_fault fault;
    asked->count = m->count;
    (void)!transcode_check_packets(m, asked, &fault);
    for (uint8_t codec = RR_CODEC_H264; codec <= RR_CODEC_VP9; codec++) {
        struct transcode_plan plan = {.codec = codec, .rung_count = 1, .fps_num = 1, .fps_den = 1};
        if (transcode_codec_name(name, &plan, 0, rr_slice_of(m->extradata, m->extradata_bytes),
                                 &fault) == RR_OK) {
            RR_CHECK(strnlen(name, sizeof name) <= RR_NAME_MAX);
        }
    }
    rr_free(asked);
}

static void after_end(const struct transcode_end *m)
{
    RR_CHECK(m->frames <= UINT32_MAX);
}

static void after_sound(const struct transcode_sound *m)
{
    RR_CHECK(m->extradata_bytes <= TRANSCODE_EXTRADATA_MAX);
}

static void after_cues(const struct transcode_cues *m)
{
    RR_CHECK(m->count <= TRANSCODE_CUES_MAX && m->bytes <= TRANSCODE_TEXT_BYTES_MAX);
}

static void after_file_made(const struct transcode_file_made *m)
{
    RR_CHECK(m->count <= TRANSCODE_EXTENTS_MAX);
}

static void after_segment_made(const struct transcode_segment_made *m)
{
    RR_CHECK(m->bytes <= UINT32_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct rr_slice body = rr_slice_of(data + 1, size - 1);
    switch (data[0]) {
    case TRANSCODE_HELLO:
        TRY(hello);
        break;
    case TRANSCODE_FAILED:
        TRY(failed);
        break;
    case TRANSCODE_FACTS:
        TRY(facts);
        break;
    case TRANSCODE_GOP:
        TRY(gop);
        break;
    case TRANSCODE_END:
        TRY(end);
        break;
    case TRANSCODE_PACKETS:
        TRY(packets);
        break;
    case TRANSCODE_SOUND:
        TRY(sound);
        break;
    case TRANSCODE_CUES:
        TRY(cues);
        break;
    case TRANSCODE_FILE_MADE:
        TRY(file_made);
        break;
    case TRANSCODE_SEGMENT_MADE:
        TRY(segment_made);
        break;
    default:
        break;
    }
    return 0;
}
