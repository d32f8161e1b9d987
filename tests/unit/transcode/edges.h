/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A clip that a test makes itself, through the whole transcoder, beside what ffprobe says of it.
 * Small and short: what is looked at is time, not beauty. */
#ifndef RR_TEST_TRANSCODE_EDGES_H
#define RR_TEST_TRANSCODE_EDGES_H
#include "clips.h"

#define EDGE_VIDEO      "-f lavfi -i testsrc2=s=160x90:r=25:d=3 "
#define EDGE_SOUND      "-f lavfi -i sine=440:r=48000:d=3 "
#define EDGE_X264       "-c:v libx264 -preset ultrafast "
#define EDGE_FRAMES_MAX 2048

struct edge {
    const char *name;
    const char *make; /* ffmpeg's arguments; %s: this test's folder; " | " between two runs */
    const char *file; /* what it made */
    const char *ladder, *shape; /* default "90,60"; shape: of the first rung, as ffprobe prints
                                   width,height,sample_aspect_ratio,pix_fmt; NULL: any */
    uint32_t frames;            /* 0: as ffprobe says */
    double tolerance_s;         /* of a time; 0: ffprobe's own rounding */
    bool damaged, jumbled; /* jumbled: times so close that ffmpeg's own clock cannot hold them */
    unsigned rate; /* of a container without times: that many pictures a second; 0: ask ffprobe */
};

/* best_effort: of streams without stamps too. */
static inline size_t edge_times(const char *path, const char *stream, double *times)
{
    char *text = probe(path, stream, "frame=best_effort_timestamp_time");
    size_t count = 0;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char *end = NULL;
        double time = strtod(line, &end);
        if (end != line && count < EDGE_FRAMES_MAX) {
            times[count++] = time;
        }
    }
    rr_free(text);
    return count;
}

struct edge_times {
    double at[EDGE_FRAMES_MAX];
    size_t count;
};

/* Ours: a picture that is not later than the one before it is shown one tick after it. */
static inline void edge_rise(struct edge_times *times, double tick_s)
{
    for (size_t i = 1; i < times->count; i++) {
        if (times->at[i] <= times->at[i - 1]) {
            times->at[i] = times->at[i - 1] + tick_s;
        }
    }
}

static inline void edge_compare(const struct edge *edge, const struct edge_times *want,
                                const char *made, const char *name)
{
    static struct edge_times got;
    double tolerance = edge->tolerance_s > 0 ? edge->tolerance_s : 2e-6;
    got.count = edge_times(made, "v:0", got.at);
    if (got.count != want->count) {
        fail_msg("%s %s: %zu pictures, the source shows %zu", edge->name, name, got.count,
                 want->count);
    }
    for (size_t i = 0; i < got.count; i++) {
        double a = got.at[i] - got.at[0], b = want->at[i] - want->at[0];
        if (fabs(a - b) > tolerance) {
            fail_msg("%s %s: picture %zu at %f s, in the source at %f s", edge->name, name, i, a,
                     b);
        }
    }
}

/* Segments one after another, and those of all video renditions at the same times. */
static inline void edge_borders(const struct edge *edge, const struct rr_transcode_result *result,
                                const struct edge_times *want)
{
    const struct rr_transcode_rendition *first = &result->renditions[0];
    double longest = 0.04;
    for (size_t i = 1; i < want->count; i++) {
        double step = want->at[i] - want->at[i - 1];
        longest = step > longest ? step : longest;
    }
    for (uint32_t i = 0; i < result->rendition_count; i++) {
        const struct rr_transcode_rendition *to = &result->renditions[i];
        if (to->info.kind != RR_RENDITION_VIDEO) {
            continue;
        }
        assert_int_equal(to->segment_count, result->gops);
        uint64_t at = first->segments[0].start;
        for (uint32_t j = 0; j < to->segment_count; j++) {
            assert_int_equal(to->segments[j].start, at);
            assert_int_equal(to->segments[j].duration, first->segments[j].duration);
            at += to->segments[j].duration;
        }
        double seconds = (double)(at - first->segments[0].start) / to->info.timescale;
        double shown = want->at[want->count - 1] - want->at[0];
        if (seconds < shown - 1e-4 || seconds > shown + longest * 1.5 + edge->tolerance_s + 1e-4) {
            fail_msg("%s: %f s long, the source's last picture is at %f s", edge->name, seconds,
                     shown);
        }
    }
}

/* The first, a middle and the last GOP of the highest rendition. Of the middle one nothing but its
 * place is told, so that it is made with its whole lead-in; the last one is made quickly. */
static inline void edge_spot_checks(const struct edge *edge,
                                    const struct rr_transcode_result *result, const char *source,
                                    const struct rr_transcode_options *options)
{
    uint32_t picks[3] = {0, result->gops / 2, result->gops - 1};
    int fd = open(source, O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < RR_COUNT(picks); i++) {
        const struct rr_pot_leaf *leaf = &result->leaves[picks[i]];
        const struct rr_pot_leaf bare = {
            .rendition = leaf->rendition, .gop = leaf->gop, .source_first = leaf->source_first};
        struct rr_transcode_remade made;
        struct rr_fault fault = {0};
        if (i > 0 && picks[i] == picks[i - 1]) {
            continue;
        }
        if (rr_transcode_remake(&made, fd, options, i == 1 ? &bare : leaf, NULL, &fault) != RR_OK) {
            fail_msg("%s: GOP %u again: %s", edge->name, (unsigned)leaf->gop, fault.text);
        }
        if (memcmp(&made.output_digest, &leaf->output_digest, 32) != 0 ||
            memcmp(&made.source_digest, &leaf->source_digest, 32) != 0 ||
            made.source_last != leaf->source_last || made.output_bytes != leaf->output_bytes) {
            fail_msg("%s: GOP %u made alone is another: packets %u..%u for %u..%u, %llu bytes for "
                     "%llu, source %s, pictures %s",
                     edge->name, (unsigned)leaf->gop, (unsigned)made.source_first,
                     (unsigned)made.source_last, (unsigned)leaf->source_first,
                     (unsigned)leaf->source_last, (unsigned long long)made.output_bytes,
                     (unsigned long long)leaf->output_bytes,
                     memcmp(&made.source_digest, &leaf->source_digest, 32) == 0 ? "same" : "other",
                     memcmp(&made.output_digest, &leaf->output_digest, 32) == 0 ? "same" : "other");
        }
    }
    close(fd);
}

static inline void edge_options(struct rr_transcode_options *options, const struct edge *edge)
{
    *options = kit_options(edge->ladder != NULL ? edge->ladder : "90,60", 2);
    options->gop_ms = 1000;
    options->preset = "ultrafast";
}

/* `want`: the times that must come out. The result is the caller's. */
static inline void edge_run(const struct edge *edge, const char *source,
                            const struct edge_times *want, struct rr_transcode_result *result)
{
    struct rr_transcode_options options;
    struct rr_fault fault = {0};
    const char *made = kit_path("joined.mp4");
    edge_options(&options, edge);
    assert_int_equal(rr_remove_tree(kit_path("out"), NULL), RR_OK);
    if (rr_transcode_to_folder(result, kit_path("out"), source, &options, NULL, NULL, NULL,
                               &fault) != RR_OK) {
        fail_msg("%s: %s", edge->name, fault.text);
    }
    assert_true(result->frames_out_ok);
    if (result->frames_in != want->count) {
        fail_msg("%s: %llu pictures in, the source shows %zu", edge->name,
                 (unsigned long long)result->frames_in, want->count);
    }
    if ((result->concealed > 0) != edge->damaged) {
        fail_msg("%s: %llu pictures are called damaged", edge->name,
                 (unsigned long long)result->concealed);
    }
    for (uint32_t i = 0; i < result->rendition_count; i++) {
        if (result->renditions[i].info.kind == RR_RENDITION_VIDEO) {
            kit_join(made, &result->renditions[i]);
            edge_compare(edge, want, made, result->renditions[i].info.name);
        }
    }
    edge_borders(edge, result, want);
    if (!edge->jumbled) {
        decodes_without_a_word(kit_path("out/master.m3u8"));
    }
    if (edge->shape != NULL) {
        kit_join(made, &result->renditions[0]);
        char *shape = probe(made, "v:0", "stream=width,height,sample_aspect_ratio,pix_fmt");
        if (strncmp(shape, edge->shape, strlen(edge->shape)) != 0) {
            fail_msg("%s: ffprobe shows %s, not %s", edge->name, shape, edge->shape);
        }
        rr_free(shape);
    }
    edge_spot_checks(edge, result, source, &options);
}

/* A row of a table: cmocka hands it over as the state. */
static inline void edge_case(void **state)
{
    const struct edge *edge = *state;
    static struct edge_times want;
    struct rr_transcode_result result = {0};
    char source[RR_PATH_BYTES];
    kit_need_ffmpeg();
    if (!kit_make(edge->make)) {
        skip();
    }
    snprintf(source, sizeof source, "%s", kit_path(edge->file));
    want.count = edge_times(source, "v:0", want.at);
    for (uint32_t i = 0; edge->rate != 0 && i < edge->frames; i++) {
        want.at[i] = (double)i / edge->rate;
        want.count = edge->frames;
    }
    if (edge->frames != 0) {
        assert_int_equal(want.count, edge->frames);
    }
    edge_run(edge, source, &want, &result);
    rr_transcode_result_clear(&result);
}

static inline struct CMUnitTest edge_test(const struct edge *edge)
{
    union {
        const struct edge *in;
        void *out;
    } state = {.in = edge};
    return (struct CMUnitTest){edge->name, edge_case, NULL, NULL, state.out};
}
#endif
