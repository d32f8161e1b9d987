/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reelrig-worker: locks itself in, then serves its parent's socket until that closes. Not for
 * people to start. */
#include "crypto/crypto.h"
#include "transcode/worker/worker.h"
#include <errno.h>
#include <iconv.h>
#include <libavutil/cpu.h>
#include <libavutil/log.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

/* libav's own callback asks the terminal for colours by ioctl, which the sandbox answers with
 * death; and its lines quote foreign bytes. What matters comes back as an error. */
static void drop_line(void *ctx, int level, const char *format, va_list args)
{
    (void)ctx;
    (void)level;
    (void)format;
    (void)args;
}

/* Stands before libc's: that one opens conversion tables, and libavformat asks for it only for
 * names of TV stations. */
RR_API iconv_t iconv_open(const char *to, const char *from);
RR_API iconv_t iconv_open(const char *to, const char *from)
{
    (void)to;
    (void)from;
    errno = EINVAL;
    return (iconv_t)-1; /* the documented answer for an unknown encoding */
}

static enum rr_err serve_one(struct worker *worker, struct rr_fault *fault)
{
    switch (worker_kind(worker)) {
    case TRANSCODE_PROBE:
        return worker_probe(worker, fault);
    case TRANSCODE_SOURCE:
        return worker_source(worker, fault);
    case TRANSCODE_SCAN:
        return worker_scan(worker, fault);
    case TRANSCODE_MEASURE:
        return worker_measure(worker, fault);
    case TRANSCODE_ENCODE:
        return worker_encode(worker, fault);
    case TRANSCODE_DECODE:
        return worker_decode(worker, fault);
    case TRANSCODE_AUDIO:
        return worker_audio(worker, fault);
    case TRANSCODE_SUBTITLE:
        return worker_subtitle(worker, fault);
    case TRANSCODE_FILE:
    case TRANSCODE_FILE_TRACK:
    case TRANSCODE_FILE_PIECE:
    case TRANSCODE_FILE_END:
        return worker_file(worker, fault);
    case TRANSCODE_MUX:
        return worker_mux(worker, fault);
    case TRANSCODE_SEGMENT:
        return worker_segment(worker, fault);
    default:
        return worker_profile.task != NULL
                   ? worker_profile.task(worker, fault)
                   : rr_fail(fault, RR_ERR_USAGE, "message kind %u is not a task",
                             worker_kind(worker));
    }
}

static void serve(struct worker *worker)
{
    while (worker_receive(worker)) {
        struct rr_fault fault = {0};
        enum rr_err err = serve_one(worker, &fault);
        if (err != RR_OK) {
            struct rr_buf message = {0};
            struct transcode_failed failed = {.code = err};
            memcpy(failed.text, fault.text, sizeof failed.text - 1);
            transcode_encode_message(&message, TRANSCODE_FAILED, failed, &failed);
            worker_send(worker, &message);
        }
    }
}

/* What libraries look up once and keep, while that still works. */
static void warm_up(void)
{
    worker_keep_memory();
    setenv("TZ", "UTC0", 1); /* else each look at the calendar opens a file */
    tzset();
    setenv("SVT_LOG", "-1", 1); /* SVT-AV1 would tell its settings to stderr */
    av_log_set_callback(drop_line);
    rr_crypto_init();
    av_get_cpu_flags();
    av_cpu_count();
    worker_encoders_warm();
    avcodec_find_encoder(AV_CODEC_ID_AAC);
    avcodec_find_encoder_by_name("libopus");
    av_guess_format("mp4", NULL, NULL);
    if (worker_profile.warm != NULL) {
        worker_profile.warm();
    }
}

int main(int argc, char **argv)
{
    struct transcode_hello hello = {.version = TRANSCODE_PROTO_VERSION};
    struct worker worker = {.socket = TRANSCODE_SOCKET_FD};
    struct rr_buf message = {0};
    bool threads = argc == 3 && strcmp(argv[1], "--self-test-threads") == 0;
    bool testing = threads || (argc == 3 && strcmp(argv[1], "--self-test") == 0);
    if (argc != 3) {
        static const char usage[] = "reelrig-worker is started by reelrig and reelrigd\n";
        return write(STDERR_FILENO, usage, sizeof usage - 1) > 0 ? 2 : 1;
    }
    prctl(PR_SET_PDEATHSIG, 9);
    warm_up();
    if (testing) {
        worker_profile.lock_down(&hello, 0, threads);
        _exit(worker_profile.self_test(argv[2]));
    }
    hello.namespaces = argv[1][0] == '1';
    if (worker_profile.task != NULL && strchr(argv[1], 'u') != NULL) {
        hello.unlocked = 1; /* for measurements: the parent was told to, and says so */
    } else {
        worker_profile.lock_down(&hello, strtoull(argv[2], NULL, 10),
                                 argv[1][0] != '\0' && argv[1][1] == 't');
    }
    transcode_encode_message(&message, TRANSCODE_HELLO, hello, &hello);
    worker_send(&worker, &message);
    serve(&worker);
    _exit(0);
}
