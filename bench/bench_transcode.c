/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Question: how long does the ladder take beside one ffmpeg process that makes the same renditions?
 * Method: 720/480/360, x264 veryfast, CRF 23, closed 2 s GOPs, AAC 128 kb/s on both sides; ours and
 * ffmpeg in turns; wall time and CPU of the children (getrusage). What would make it wrong: other
 * encoder settings, a source in another cache state, one side writing to a slower disk: both write
 * below the same temporary folder. */
#include "bench/bench.h"
#include "bench/bench_rows.h"
#include "transcode/transcode.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAIRS  3
#define LADDER "720,480,360"

extern char **environ;

struct run {
    const char *clip;
    char folder[64], output[96];
    enum rr_err err;
    struct rr_fault fault;
    uint64_t frames;
};

static enum rr_err ffmpeg(const char *const argv[], struct rr_fault *fault)
{
    union {
        const char *const *in;
        char *const *out;
    } arguments = {.in = argv}; /* posix_spawn does not write to them */
    pid_t pid;
    int status, rc = posix_spawnp(&pid, "ffmpeg", NULL, NULL, arguments.out, environ);
    if (rc != 0) {
        return rr_fail(fault, RR_ERR_STATE,
                       "ffmpeg, the peer of this bench, cannot be started; install it (make deps)");
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? RR_OK
               : rr_fail(fault, RR_ERR_STATE, "ffmpeg failed");
}

static void run_peer(void *ctx)
{
    struct run *run = ctx;
    char out[3][128];
    for (int i = 0; i < 3; i++) {
        snprintf(out[i], sizeof out[i], "%s/peer%d.mp4", run->folder, i);
    }
#define X264                                                                                       \
    "-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-force_key_frames",                   \
        "expr:gte(t,n_forced*2)", "-sc_threshold", "0", "-x264-params", "open-gop=0"
    const char *argv[] = {
        "ffmpeg",
        "-v",
        "error",
        "-y",
        "-i",
        run->clip,
        "-filter_complex",
        "[0:v]split=3[a][b][c];[a]scale=-2:720[x];[b]scale=-2:480[y];[c]scale=-2:360[z]",
        "-map",
        "[x]",
        X264,
        "-map",
        "0:a?",
        "-c:a",
        "aac",
        "-ac",
        "2",
        "-b:a",
        "128k",
        out[0],
        "-map",
        "[y]",
        X264,
        out[1],
        "-map",
        "[z]",
        X264,
        out[2],
        NULL};
    run->err = ffmpeg(argv, &run->fault);
}

static void run_ours(void *ctx)
{
    struct run *run = ctx;
    struct rr_transcode_result result = {0};
    struct rr_transcode_options options = {.gop_ms = 2000, .crf = 23, .preset = "veryfast"};
    run->err = rr_ladder_parse(&options.ladder, LADDER, &run->fault);
    if (run->err == RR_OK) {
        run->err = rr_transcode_to_folder(&result, run->output, run->clip, &options, NULL, NULL,
                                          NULL, &run->fault);
    }
    run->frames = 0;
    for (uint32_t i = 0; run->err == RR_OK && i < result.rendition_count; i++) {
        run->frames += result.renditions[i].info.kind == RR_RENDITION_VIDEO
                           ? result.renditions[i].frames_out
                           : 0;
    }
    rr_transcode_result_clear(&result);
}

static double children_cpu(void)
{
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

struct sample {
    double wall[PAIRS], cpu[PAIRS];
};

static enum rr_err measure(struct run *run, struct sample *ours, struct sample *peer)
{
    for (int i = 0; i < PAIRS; i++) {
        double cpu = children_cpu();
        ours->wall[i] = bench_seconds(run_ours, run);
        ours->cpu[i] = children_cpu() - cpu;
        if (run->err != RR_OK || (run->err = rr_remove_tree(run->output, &run->fault)) != RR_OK) {
            return run->err;
        }
        cpu = children_cpu();
        peer->wall[i] = bench_seconds(run_peer, run);
        peer->cpu[i] = children_cpu() - cpu;
        if (run->err != RR_OK) {
            return run->err;
        }
    }
    return RR_OK;
}

static double median(const double *v)
{
    double low = v[0] < v[1] ? v[0] : v[1], high = v[0] < v[1] ? v[1] : v[0];
    return v[2] < low ? low : v[2] > high ? high : v[2];
}

static void report(struct rr_buf *out, bool json, const struct run *run, const struct sample *ours,
                   const struct sample *peer)
{
    double wall[PAIRS], cpu[PAIRS], floor_ratio[PAIRS];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    for (int i = 0; i < PAIRS; i++) {
        wall[i] = ours->wall[i] / peer->wall[i];
        cpu[i] = ours->cpu[i] / peer->cpu[i];
        floor_ratio[i] = ours->cpu[i] / (double)cores / ours->wall[i];
    }
    double fps = (double)run->frames / median(ours->wall);
    if (json) {
        rr_buf_format(out,
                      "{\"question\":\"ladder " LADDER
                      " against one ffmpeg process\",\"clip\":\"%s\",\"cores\":%ld,\"version\":"
                      "\"%s\",\"rows\":[{\"name\":\"ladder_vs_one_ffmpeg\",\"runs\":%d,\"ratio_"
                      "wall\":%.4f,\"ratio_cpu\":%.4f,"
                      "\"fps\":%.2f,\"wall_s\":%.3f,\"peer_wall_s\":%.3f},{\"name\":\"limit\","
                      "\"runs\":%d,\"ratio_wall\":%.4f,"
                      "\"what\":\"CPU of all workers over cores and wall: 1 is no idle core\"}]}",
                      strrchr(run->clip, '/') != NULL ? strrchr(run->clip, '/') + 1 : run->clip,
                      cores, RR_VERSION, PAIRS, median(wall), median(cpu), fps, median(ours->wall),
                      median(peer->wall), PAIRS, median(floor_ratio));
        return;
    }
    rr_buf_format(out,
                  "ladder " LADDER " of %s, %ld cores, %d pairs\n  ladder_vs_one_ffmpeg  wall "
                  "%.3f, CPU %.3f of ffmpeg's; %.1f fps "
                  "of all renditions; %.2f s against %.2f s\n  limit                 cores busy "
                  "%.3f of the time\n",
                  run->clip, cores, PAIRS, median(wall), median(cpu), fps, median(ours->wall),
                  median(peer->wall), median(floor_ratio));
}

enum rr_err rr_bench_transcode(struct rr_buf *out, bool json, const char *clip)
{
    struct run run = {.clip = clip};
    struct sample ours, peer;
    char made[128];
    const char *tmp = getenv("TMPDIR");
    snprintf(run.folder, sizeof run.folder, "%.40s/rr-bench-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(run.folder) == NULL) {
        rr_log(RR_LOG_ERROR, "bench", "cannot make a folder below %s", tmp != NULL ? tmp : "/tmp");
        return RR_ERR_IO;
    }
    snprintf(run.output, sizeof run.output, "%s/ours", run.folder);
    if (clip == NULL) {
        snprintf(made, sizeof made, "%s/clip.mp4", run.folder);
        const char *argv[] = {
            "ffmpeg",  "-v",        "error",    "-y",
            "-f",      "lavfi",     "-i",       "testsrc2=size=1920x1080:rate=24",
            "-f",      "lavfi",     "-i",       "sine=frequency=440:sample_rate=48000",
            "-t",      "10",        "-c:v",     "libx264",
            "-preset", "ultrafast", "-pix_fmt", "yuv420p",
            "-c:a",    "aac",       made,       NULL};
        run.err = ffmpeg(argv, &run.fault);
        run.clip = made;
    }
    if (run.err == RR_OK && (run.err = measure(&run, &ours, &peer)) == RR_OK) {
        report(out, json, &run, &ours, &peer);
    }
    if (run.err != RR_OK) {
        rr_log_fault(RR_LOG_ERROR, "bench", &run.fault);
    }
    struct rr_fault ignored;
    if (rr_remove_tree(run.folder, &ignored) != RR_OK) {
        rr_log_fault(RR_LOG_WARN, "bench", &ignored);
    }
    return run.err;
}
