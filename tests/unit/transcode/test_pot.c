/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every cheat of spec 20, 4 and honest makers of other kinds, on real clips, in both classes.
 * RR_FULL=1: all clips, rungs and codecs, and the table into RR_POT_TABLE (a path without
 * extension). RR_ONLY=pattern: those tests alone. */
#include "kit.h"
#include <time.h>

#define MAKER_FOLDER "makers"

enum wanted { CAUGHT, HONEST, JUDGED }; /* JUDGED: the margins decide, the table tells */
struct maker {
    const char *name, *words; /* words: what the worker program is called; NULL: by hand */
    enum wanted wanted;
    enum rr_pot_refusal
        first; /* the reason in class tolerant, where it is always this one; 0: any */
};
static const struct maker h264_makers[] = {
    {"black pictures", "black", CAUGHT, 0},
    {"frozen picture", "frozen", CAUGHT, 0},
    {"half frame rate", "half", CAUGHT, 0},
    {"one picture late", "shift", CAUGHT, 0},
    {"upscaled from half", "upscale", CAUGHT, 0},
    {"grey chroma", "grey", CAUGHT, 0},
    {"watermark", "watermark", CAUGHT, 0},
    {"brighter by 3", "bright", CAUGHT, 0},
    {"crf 40", "crf=4000", CAUGHT, RR_POT_STARVED},
    {"another source", NULL, CAUGHT, 0},
    {"answers swapped", NULL, CAUGHT, RR_POT_BYTES},
    {"GOPs swapped", NULL, CAUGHT, 0},
    {"source tampered with", NULL, CAUGHT, RR_POT_SOURCE},
    {"ultrafast, same bytes", "preset=ultrafast,same", CAUGHT, 0},
    {"superfast, same bytes", "preset=superfast,same", JUDGED, 0},
    {"the job's own", "honest", HONEST, 0},
    {"other SIMD level", "simd", HONEST, 0},
    {"preset faster", "preset=faster", HONEST, 0},
    {"preset medium", "preset=medium", HONEST, 0},
    {"scaler lanczos", "scaler=lanczos", JUDGED, 0},
    {"scaler bilinear", "scaler=bilinear", JUDGED, 0},
};
static const struct maker hevc_makers[] = {
    {"the job's own", "honest", HONEST, 0},
    {"preset veryfast", "preset=veryfast", HONEST, 0},
    {"preset medium", "preset=medium", HONEST, 0},
    {"frozen picture", "frozen", CAUGHT, 0},
    {"upscaled from half", "upscale", CAUGHT, 0},
    {"crf 40", "crf=4000", CAUGHT, RR_POT_STARVED},
};
static const struct maker av1_makers[] = {
    {"the job's own", "honest", HONEST, 0},       {"preset 9", "preset=9", HONEST, 0},
    {"preset 8", "preset=8", HONEST, 0},          {"frozen picture", "frozen", CAUGHT, 0},
    {"upscaled from half", "upscale", CAUGHT, 0}, {"crf 60", "crf=6000", CAUGHT, RR_POT_STARVED},
};
static const struct maker vp9_makers[] = {
    {"the job's own", "honest", HONEST, 0},         {"speed 4", "preset=4", HONEST, 0},
    {"frozen picture", "frozen", CAUGHT, 0},        {"upscaled from half", "upscale", CAUGHT, 0},
    {"crf 60", "crf=6000", CAUGHT, RR_POT_STARVED},
};

struct table {
    struct rr_buf text, json;
    unsigned rows, wrong;
};
static struct table table;

/* ---- makers ------------------------------------------------------------------------------------
 */

static const char *maker_program(const char *words)
{
    char name[160];
    snprintf(name, sizeof name, "cheat-%s", words);
    char *path = kit_path(name);
    if (access(path, X_OK) != 0 && link(RR_TESTS_DIR "/cheating-worker", path) != 0) {
        char *printed = NULL; /* another file system */
        const char *argv[] = {"cp", RR_TESTS_DIR "/cheating-worker", path, NULL};
        assert_int_equal(kit_run(&printed, argv), 0);
        rr_free(printed);
    }
    return path;
}

static void cut(const char *to, const char *from, const char *start)
{
    char *printed = NULL;
    const char *argv[] = {
        "ffmpeg", "-v",   "error",   "-y",      "-ss",
        start,    "-i",   from,      "-t",      getenv("RR_FULL") != NULL ? "4" : "2",
        "-an",    "-c:v", "libx264", "-preset", "veryfast",
        "-crf",   "12",   "-g",      "24",      to,
        NULL};
    assert_int_equal(kit_run(&printed, argv), 0);
    rr_free(printed);
}

struct made {
    struct rr_transcode_result result;
    char folder[RR_PATH_BYTES];
};

static void make(struct made *made, const char *clip, const char *name,
                 const struct rr_transcode_options *options)
{
    struct rr_fault fault = {0};
    memset(made, 0, sizeof *made);
    if (kit_job(&made->result, clip, name, options, &fault) != RR_OK) {
        fail_msg("%s: %s", name, fault.text);
    }
    snprintf(made->folder, sizeof made->folder, "%s", kit_path(name));
}

static void drop(struct made *made)
{
    rr_transcode_result_clear(&made->result);
    assert_int_equal(rr_remove_tree(made->folder, NULL), RR_OK);
}

static uint64_t bytes_of(const struct made *made)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < made->result.leaf_count; i++) {
        bytes += made->result.leaves[i].output_bytes;
    }
    return bytes;
}

/* The cheaper preset with the quality that gives the honest bytes: a cheat that shows in no size.
 */
static void make_same_bytes(struct made *made, const char *clip, const char *words,
                            struct rr_transcode_options *options, uint64_t want)
{
    uint32_t low = 1600, high = 3800;
    for (unsigned i = 0; i < 7; i++) {
        char named[160];
        uint32_t crf = (low + high) / 2;
        snprintf(named, sizeof named, "%.*s,crf=%u", (int)strcspn(words, ","), words,
                 (unsigned)crf);
        options->worker_path = maker_program(named);
        make(made, clip, "same", options);
        if (i == 6) {
            return;
        }
        if (bytes_of(made) > want) {
            low = crf;
        } else {
            high = crf;
        }
        drop(made);
    }
}

/* ---- rows ---------------------------------------------------------------------------------------
 */

struct row {
    const char *clip, *codec, *rung, *class;
    const struct maker *maker;
    uint32_t gop;
    struct rr_transcode_verdict verdict;
};

static double fraction(int32_t ssim)
{
    return ssim / (double)(1 << 30);
}

static void add_judged(struct rr_buf *text, const char *name,
                       const struct rr_transcode_judged *planes)
{
    rr_buf_format(text, ",\"%s\":[", name);
    for (unsigned i = 0; i < 3; i++) {
        const struct rr_transcode_judged *p = &planes[i];
        rr_buf_format(text,
                      "%s{\"sse\":%llu,\"samples\":%llu,\"ssim\":%.5f,\"ssim_worst\":%.5f,"
                      "\"tile_worst\":%.5f,\"mean_off\":%.3f,\"detail\":%llu}",
                      i > 0 ? "," : "", (unsigned long long)p->sse, (unsigned long long)p->samples,
                      fraction(p->ssim), fraction(p->ssim_worst), fraction(p->tile_worst),
                      p->mean_off / 1000.0, (unsigned long long)p->detail);
    }
    rr_buf_format(text, "]");
}

static void add_row(const struct row *row)
{
    const struct rr_transcode_verdict *v = &row->verdict;
    static const char *const wanted[] = {"caught", "accepted", "judged"};
    char failed[200] = "";
    for (unsigned i = 1; i < RR_POT_REFUSAL_COUNT; i++) {
        if ((v->failed >> i & 1) != 0) {
            size_t used = strlen(failed);
            snprintf(failed + used, sizeof failed - used, "%s%s", used > 0 ? " " : "",
                     rr_pot_refusal_text((enum rr_pot_refusal)i));
        }
    }
    bool accepted = v->refusal == RR_POT_ACCEPTED;
    bool right = row->maker->wanted == JUDGED || accepted == (row->maker->wanted == HONEST);
    if (strcmp(row->class, "exact") == 0) {
        /* x264 may give the same bytes at another SIMD level, and a rung of the source's size is
         * not scaled. */
        right = accepted == (strcmp(row->maker->name, "the job's own") == 0) ||
                strcmp(row->maker->name, "other SIMD level") == 0 ||
                strncmp(row->maker->name, "scaler", 6) == 0;
    } else if (!accepted && row->maker->first != 0) {
        right = right && v->refusal == row->maker->first;
    } else if (strcmp(row->class, "device") == 0 &&
               strstr(row->maker->name, "same bytes") != NULL) {
        right = true; /* 1.5 dB is what hardware loses too */
    }
    table.rows++;
    table.wrong += right ? 0 : 1;
    rr_buf_format(&table.text, "%-12s %-5s %-5s %-8s %-23s %3u  %-8s %5.2f %2u", row->clip,
                  row->codec, row->rung, row->class, row->maker->name, (unsigned)row->gop,
                  accepted ? "accepted" : "refused",
                  v->reference_bytes > 0 ? (double)v->candidate_bytes / (double)v->reference_bytes
                                         : 0,
                  (unsigned)v->encodes);
    for (unsigned i = 0; i < 3; i++) {
        const struct rr_transcode_judged *c = &v->candidate[i], *r = &v->reference[i];
        if (v->frames == 0) {
            break;
        }
        double psnr = c->sse > 0 && r->sse > 0
                          ? 4.342944819 * __builtin_log((double)r->sse / (double)c->sse)
                          : 0;
        rr_buf_format(&table.text, "  %+5.2f %+.4f %+.4f %+.4f %4.2f %4.2f", psnr,
                      fraction(c->ssim) - fraction(r->ssim),
                      fraction(c->ssim_worst) - fraction(r->ssim_worst),
                      fraction(c->tile_worst) - fraction(r->tile_worst), c->mean_off / 1000.0,
                      r->detail > 0 ? (double)c->detail / (double)r->detail : 0);
    }
    rr_buf_format(&table.text, "  %s%s\n", failed, right ? "" : "  NOT AS EXPECTED");
    rr_buf_format(&table.json,
                  "%s{\"clip\":\"%s\",\"codec\":\"%s\",\"rung\":\"%s\",\"class\":\"%s\",\"maker\":"
                  "\"%s\",\"expected\":\"%s\",\"gop\":%u,\"accepted\":%s,\"refusals\":\"%s\","
                  "\"sentence\":\"%s\",\"bytes\":%llu,\"reference_bytes\":%llu,\"job_bytes\":%llu,"
                  "\"encodes\":%u,\"seconds\":%.3f",
                  table.rows > 1 ? ",\n" : "", row->clip, row->codec, row->rung, row->class,
                  row->maker->name, wanted[row->maker->wanted], (unsigned)row->gop,
                  accepted ? "true" : "false", failed, v->sentence,
                  (unsigned long long)v->candidate_bytes, (unsigned long long)v->reference_bytes,
                  (unsigned long long)v->output_bytes, (unsigned)v->encodes, v->seconds);
    if (v->frames > 0) {
        add_judged(&table.json, "candidate", v->candidate);
        add_judged(&table.json, "reference", v->reference);
    }
    rr_buf_format(&table.json, "}");
    if (!right) {
        print_message("not as expected: %s %s %s %s, %s: %s\n", row->clip, row->codec, row->rung,
                      row->class, row->maker->name, v->sentence);
    }
}

struct stage {
    const char *clip_name, *clip, *other, *ladder;
    struct rr_transcode_options honest;
    struct made own, foreign; /* the job as it should be; the same of another source */
    int fd;
    bool full, first; /* all rows; the clip that is also played in class exact */
};

static void judge(const struct stage *stage, const struct maker *maker, const struct made *made,
                  uint32_t leaf_index, uint32_t bytes_index, enum rr_exactness exactness)
{
    const struct made *own = &stage->own;
    struct row row = {.clip = stage->clip_name,
                      .codec = rr_codec_text(stage->honest.codec),
                      .class = exactness == RR_EXACT            ? "exact"
                               : exactness == RR_TOLERANT_BUILD ? "build"
                                                                : "device",
                      .maker = maker};
    struct rr_pot_leaf leaf = own->result.leaves[leaf_index];
    struct rr_pot_gop gop = {0};
    struct rr_fault fault = {0};
    int fd = stage->fd;
    row.rung = own->result.renditions[leaf.rendition].info.name;
    row.gop = leaf.gop;
    assert_int_equal(
        rr_transcode_gop_read(&gop, made->folder, made->result.leaves, bytes_index, &fault), RR_OK);
    /* What a maker commits to: the source it was given, and the bytes that it made. */
    rr_pot_gop_digest(&leaf.output_digest, &leaf.output_bytes, &gop);
    if (strcmp(maker->name, "answers swapped") == 0) { /* committed rightly, shown another */
        leaf = own->result.leaves[leaf_index];
        if (exactness == RR_EXACT) { /* shows no bytes: it reveals the other leaf's digest */
            leaf.output_digest = made->result.leaves[bytes_index].output_digest;
        }
    }
    if (strcmp(maker->name, "source tampered with") == 0) { /* made of what it calls the source */
        leaf = made->result.leaves[leaf_index];
    }
    if (rr_transcode_verify(&row.verdict, fd, &stage->honest, exactness, &leaf,
                            exactness == RR_EXACT ? NULL : &gop, NULL, &fault) != RR_OK) {
        fail_msg("%s %s: %s", stage->clip_name, maker->name, fault.text);
    }
    add_row(&row);
    rr_pot_gop_clear(&gop);
}

static void judge_maker(struct stage *stage, const struct maker *maker, const struct made *made)
{
    uint32_t leaves = stage->own.result.leaf_count, gops = stage->own.result.gops;
    bool swapped = strstr(maker->name, "swapped") != NULL;
    for (uint32_t i = 0; i < leaves; i++) {
        uint32_t gop = i % gops;
        if (!stage->full && gop != 0) {
            continue;
        }
        uint32_t from = swapped ? i - gop + (gop + 1) % gops : i;
        judge(stage, maker, made, i, from, RR_TOLERANT_BUILD);
        if (gop == 0 && (stage->full || stage->first)) {
            judge(stage, maker, made, i, from, RR_EXACT);
        }
        if (stage->full && maker->wanted != HONEST) {
            judge(stage, maker, made, i, from, RR_TOLERANT_DEVICE);
        }
    }
}

static void run_makers(struct stage *stage, const struct maker *makers, size_t count)
{
    uint64_t honest_bytes = bytes_of(&stage->own);
    for (size_t i = 0; i < count; i++) {
        const struct maker *maker = &makers[i];
        struct rr_transcode_options options = stage->honest;
        struct made made;
        bool few =
            !stage->full &&
            (!stage->first || getenv("RR_SHORT") != NULL); /* each other one, and the job's own */
        if (few && (maker->wanted == JUDGED || (i % 2 == 1 && i > 0))) {
            continue;
        }
        if (maker->words == NULL) {
            bool own = strstr(maker->name, "swapped") != NULL;
            judge_maker(stage, maker, own ? &stage->own : &stage->foreign);
            continue;
        }
        if (strstr(maker->words, ",same") != NULL) {
            make_same_bytes(&made, stage->clip, maker->words, &options, honest_bytes);
        } else {
            options.worker_path = maker_program(maker->words);
            make(&made, stage->clip, "maker", &options);
        }
        judge_maker(stage, maker, &made);
        drop(&made);
    }
}

static void play(const char *clip_name, const char *start, const char *other_start,
                 const char *ladder, enum rr_codec codec, const struct maker *makers, size_t count)
{
    const char *clip = kit_clip(clip_name);
    if (clip == NULL) {
        skip();
    }
    kit_need_ffmpeg();
    struct stage stage = {.clip_name = clip_name,
                          .clip = kit_path("source.mp4"),
                          .other = kit_path("other.mp4"),
                          .full = getenv("RR_FULL") != NULL,
                          .first = clip_name[0] == 'b' && codec == RR_CODEC_H264};
    char short_name[16], source[RR_PATH_BYTES], other[RR_PATH_BYTES];
    snprintf(short_name, sizeof short_name, "%.*s", (int)strcspn(clip_name, "_.-"), clip_name);
    snprintf(source, sizeof source, "%s", stage.clip); /* kit_path's answers do not last */
    snprintf(other, sizeof other, "%s", stage.other);
    stage.clip_name = short_name;
    stage.clip = source;
    cut(source, clip, start);
    cut(other, clip, other_start);
    stage.honest = kit_options(ladder, 2);
    stage.honest.codec = codec;
    stage.honest.gop_ms = stage.full ? 2000 : 1000; /* two GOPs */
    make(&stage.own, source, "own", &stage.honest);
    make(&stage.foreign, other, "foreign", &stage.honest);
    stage.fd = open(source, O_RDONLY | O_CLOEXEC);
    assert_true(stage.fd >= 0);
    run_makers(&stage, makers, count);
    close(stage.fd);
    drop(&stage.own);
    drop(&stage.foreign);
}

#define PLAY(clip, start, other, ladder, codec, makers)                                            \
    play(clip, start, other, ladder, codec, makers, RR_COUNT(makers))

static void cheats_are_caught_and_honest_makers_accepted_on_animation(void **state)
{
    (void)state;
    PLAY("bbb_480p24_h264_aac_30s.mp4", "2", "12", getenv("RR_FULL") != NULL ? "480,240" : "144",
         RR_CODEC_H264, h264_makers);
}

static void cheats_are_caught_and_honest_makers_accepted_on_a_camera(void **state)
{
    (void)state;
    PLAY("car-detection.mp4", "4", "14", getenv("RR_FULL") != NULL ? "432,240" : "144",
         RR_CODEC_H264, h264_makers);
}

static void other_codecs_are_judged_by_references_of_their_own(void **state)
{
    (void)state;
    static const struct {
        const char *clip, *start, *other;
    } clips[] = {{"bbb_480p24_h264_aac_30s.mp4", "2", "12"}, {"car-detection.mp4", "4", "14"}};
    bool full = getenv("RR_FULL") != NULL;
    if (getenv("RR_SHORT") != NULL) {
        skip(); /* x265 and SVT-AV1 take minutes under sanitizers */
    }
    for (size_t i = 0; i < (full ? RR_COUNT(clips) : 1); i++) {
        const char *ladder = full ? "240" : "144";
        PLAY(clips[i].clip, clips[i].start, clips[i].other, ladder, RR_CODEC_HEVC, hevc_makers);
        PLAY(clips[i].clip, clips[i].start, clips[i].other, ladder, RR_CODEC_AV1, av1_makers);
        PLAY(clips[i].clip, clips[i].start, clips[i].other, ladder, RR_CODEC_VP9, vp9_makers);
    }
}

static void the_table_is_as_expected(void **state)
{
    (void)state;
    assert_int_equal(table.wrong, 0);
}

static int write_table(void **state)
{
    const char *to = getenv("RR_POT_TABLE");
    if (to != NULL && table.rows > 0) {
        char path[RR_PATH_BYTES];
        struct rr_buf all = {0};
        rr_buf_format(
            &all,
            "Verdicts on GOPs of 2 s; made by: RR_FULL=1 RR_POT_TABLE=bench/results/"
            "pot-verdicts BUILD/tests/transcode_test_pot\n"
            "bytes: of the candidate over those of its reference; n: encodes by the "
            "verifier; then for Y, Cb, Cr: PSNR (dB), SSIM, worst picture, worst tile, each "
            "beside the reference's; largest difference of means; detail over the "
            "reference's\n\n%-12s %-5s %-5s %-8s %-23s %3s  %-8s %5s %2s\n",
            "clip", "codec", "rung", "class", "maker", "GOP", "verdict", "bytes", "n");
        rr_buf_append(&all, table.text.ptr, table.text.len);
        rr_buf_format(&all, "\n%u rows, %u not as expected\n", table.rows, table.wrong);
        assert_int_equal(rr_path(path, NULL, "%s.txt", to), RR_OK);
        assert_int_equal(rr_file_write(path, rr_buf_slice(&all), 0644, NULL), RR_OK);
        rr_buf_clear(&all);
        rr_buf_format(&all, "{\"rows\":[\n");
        rr_buf_append(&all, table.json.ptr, table.json.len);
        rr_buf_format(&all, "\n]}\n");
        assert_int_equal(rr_path(path, NULL, "%s.json", to), RR_OK);
        assert_int_equal(rr_file_write(path, rr_buf_slice(&all), 0644, NULL), RR_OK);
        rr_buf_clear(&all);
    }
    rr_buf_clear(&table.text);
    rr_buf_clear(&table.json);
    return kit_end(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cheats_are_caught_and_honest_makers_accepted_on_animation),
        cmocka_unit_test(cheats_are_caught_and_honest_makers_accepted_on_a_camera),
        cmocka_unit_test(other_codecs_are_judged_by_references_of_their_own),
        cmocka_unit_test(the_table_is_as_expected),
    };
    cmocka_set_test_filter(getenv("RR_ONLY"));
    return cmocka_run_group_tests_name("pot", tests, kit_begin, write_table);
}
