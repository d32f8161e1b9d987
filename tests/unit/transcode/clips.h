/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a ladder of a real clip must be, whatever it is coded in. */
#ifndef RR_TEST_TRANSCODE_CLIPS_H
#define RR_TEST_TRANSCODE_CLIPS_H
#include "kit.h"
#include <math.h>

struct clip {
    const char *name, *stream;             /* of the source, as ffprobe names it */
    unsigned frames, rungs, width, height; /* width 0: any */
    bool damaged;
    const char *format,
        *colour; /* what ffprobe shows of the output: pix_fmt, and range,space,transfer,primaries */
};

#define PLAIN "unknown,unknown,unknown,unknown"

/* Text of one ffprobe question about one stream, errors of damaged sources left out. */
static inline char *probe(const char *path, const char *stream, const char *entries)
{
    char *printed = NULL;
    const char *argv[] = {
        "ffprobe", "-v", "quiet", "-select_streams", stream, "-show_entries", entries, "-of",
        "csv=p=0", path, NULL};
    assert_int_equal(kit_run(&printed, argv), 0);
    return printed;
}

/* Times of the shown pictures; returns how many. */
static inline size_t times_of(const char *path, const char *stream, double *times, size_t room)
{
    char *text = probe(path, stream, "frame=pts_time");
    size_t count = 0;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char *end = NULL;
        double time = strtod(line, &end);
        if (end != line && count < room) {
            times[count++] = time;
        }
    }
    rr_free(text);
    return count;
}

static inline void decodes_without_a_word(const char *path)
{
    char *printed = NULL;
    const char *argv[] = {"ffmpeg", "-nostdin", "-v",   "warning", "-xerror", "-i",
                          path,     "-f",       "null", "-",       NULL};
    int status = kit_run(&printed, argv);
    if (status != 0 || printed[0] != 0) {
        fail_msg("ffmpeg on %s: status %d, says: %s", path, status, printed);
    }
    rr_free(printed);
}

static inline void check_times(const struct clip *clip, const char *source, const char *made,
                               const char *name)
{
    static double in[1024], out[1024];
    size_t shown = times_of(source, clip->stream, in, RR_COUNT(in));
    size_t count = times_of(made, "v:0", out, RR_COUNT(out));
    assert_int_equal(shown, clip->frames);
    assert_int_equal(count, clip->frames);
    for (size_t i = 0; i < count; i++) {
        if (fabs((out[i] - out[0]) - (in[i] - in[0])) > 1e-5) {
            fail_msg("%s %s: picture %zu at %f s, in the source at %f s (from the first on)",
                     clip->name, name, i, out[i] - out[0], in[i] - in[0]);
        }
    }
}

static inline void check_shape(const struct clip *clip, const char *made,
                               const struct rr_transcode_rendition *rendition)
{
    char want[160];
    char *shape = probe(made, "v:0",
                        "stream=width,height,sample_aspect_ratio,pix_fmt,color_range,color_space,"
                        "color_transfer,color_primaries");
    snprintf(want, sizeof want, "%u,%u,1:1,%s,%s\n", rendition->info.width, rendition->info.height,
             clip->format, clip->colour);
    if (strncmp(shape, want, strlen(want) - 1) != 0) {
        fail_msg("%s: ffprobe shows %s, not %s", clip->name, shape, want);
    }
    rr_free(shape);
}

static inline void check_rendition(const struct clip *clip, const char *source,
                                   const struct rr_transcode_result *result,
                                   const struct rr_transcode_rendition *rendition)
{
    const char *made = kit_path("joined.mp4");
    uint64_t at = rendition->segments[0].start;
    if (rendition->info.kind != RR_RENDITION_SUBTITLE) {
        kit_join(made, rendition);
        decodes_without_a_word(made);
    }
    for (uint32_t i = 0; i < rendition->segment_count; i++) {
        assert_int_equal(rendition->segments[i].start, at);
        at += rendition->segments[i].duration;
    }
    if (rendition->info.kind == RR_RENDITION_VIDEO) {
        assert_int_equal(rendition->frames_out, clip->frames);
        assert_int_equal(rendition->segment_count, result->gops);
        check_times(clip, source, made, rendition->info.name);
        check_shape(clip, made, rendition);
    }
    assert_true(rendition->info.peak_bps >= rendition->info.mean_bps &&
                rendition->info.mean_bps > 0);
}

/* Of the leaves a few, spread; each must come out the same when it is made alone. */
static inline void check_leaves(const struct rr_transcode_result *result, const char *source,
                                const struct rr_transcode_options *options, uint32_t step)
{
    int fd = open(source, O_RDONLY | O_CLOEXEC);
    for (uint32_t i = step / 2; i < result->leaf_count; i += step) {
        const struct rr_pot_leaf *leaf = &result->leaves[i];
        struct rr_transcode_remade made;
        struct rr_fault fault = {0};
        if (rr_transcode_remake(&made, fd, options, leaf, NULL, &fault) != RR_OK) {
            fail_msg("leaf %u: %s", (unsigned)i, fault.text);
        }
        assert_int_equal(made.source_first, leaf->source_first);
        assert_int_equal(made.source_last, leaf->source_last);
        assert_int_equal(made.output_bytes, leaf->output_bytes);
        assert_memory_equal(&made.source_digest, &leaf->source_digest, 32);
        assert_memory_equal(&made.output_digest, &leaf->output_digest, 32);
    }
    close(fd);
}

/* Makes a ladder of the clip in a folder and looks at all of it. */
static inline void run_clip(const struct clip *clip, enum rr_codec codec, const char *ladder)
{
    const char *found = kit_clip(clip->name);
    struct rr_transcode_options options = kit_options(ladder, 0);
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    char source[RR_PATH_BYTES];
    if (found == NULL) {
        skip();
    }
    kit_need_ffmpeg();
    assert_int_equal(rr_remove_tree(kit_path("out"), NULL), RR_OK); /* of a test that failed */
    options.codec = codec;
    snprintf(source, sizeof source, "%s", found);
    if (rr_transcode_to_folder(&result, kit_path("out"), source, &options, NULL, NULL, NULL,
                               &fault) != RR_OK) {
        fail_msg("%s: %s", clip->name, fault.text);
    }
    assert_true(result.frames_out_ok);
    assert_int_equal(result.frames_in, clip->frames);
    if (clip->width != 0) {
        assert_int_equal(result.renditions[0].info.width, clip->width);
        assert_int_equal(result.renditions[0].info.height, clip->height);
    }
    assert_int_equal(result.renditions[clip->rungs - 1].info.kind, RR_RENDITION_VIDEO);
    assert_int_equal(result.concealed > 0, clip->damaged);
    assert_int_not_equal(access(kit_path("out/.job"), F_OK), 0);
    for (uint32_t i = 0; i < result.rendition_count; i++) {
        check_rendition(clip, source, &result, &result.renditions[i]);
    }
    if (result.facts.subtitle_count == 0) { /* ffmpeg 5.1 says that it reads no subtitles of HLS */
        decodes_without_a_word(kit_path("out/master.m3u8"));
    }
    decodes_without_a_word(kit_path("out/manifest.mpd"));
    check_leaves(&result, source, &options, result.leaf_count / 3 + 1);
    rr_transcode_result_clear(&result);
    assert_int_equal(rr_remove_tree(kit_path("out"), NULL), RR_OK);
}
#endif
