/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A driver of devices that are not there, for reelrig-worker-double: software codecs in their
 * place, and every way in which a card refuses, lies, hangs or goes away. What there is stands in
 * devices.conf beside the program, a device a line:
 *   cuda:0 name=GeForce dec=h264,hevc dec10=hevc enc=h264 enc10= sessions=3 scale=1 ...
 * What all workers share (sessions, counts) stands in devices.state beside it: a session is a lock
 * of a byte, so that the kernel gives it back when a worker is killed, as a driver does. */
#include "transcode/worker/worker_device.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SESSIONS_MAX 32
#define LINE_MAX_    512

struct shared {
    atomic_uint pictures, coded; /* of one device, by all workers */
};
static struct {
    char lines[RR_TRANSCODE_DEVICES_MAX][LINE_MAX_];
    unsigned count, current;
    int fd;
    struct shared *shared;
    bool held[SESSIONS_MAX];
} world = {.fd = -1};

/* ---- words of a line ---- */
static const char *value(const char *key)
{
    static char text[128];
    const char *at = world.lines[world.current];
    size_t len = strlen(key);
    while ((at = strchr(at, ' ')) != NULL) {
        at++;
        if (strncmp(at, key, len) == 0 && at[len] == '=') {
            size_t end = strcspn(at + len + 1, " ");
            snprintf(text, sizeof text, "%.*s", (int)end, at + len + 1);
            return text;
        }
    }
    return NULL;
}

static unsigned number(const char *key)
{
    const char *text = value(key);
    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : 0;
}

static bool lists(const char *key, const char *word)
{
    const char *text = value(key);
    size_t len = strlen(word);
    for (const char *at = text; at != NULL && *at != 0; at += strcspn(at, ",")) {
        at += *at == ',' ? 1 : 0;
        if (strncmp(at, word, len) == 0 && (at[len] == ',' || at[len] == 0)) {
            return true;
        }
    }
    return false;
}

/* ---- the world ---- */
static void early(void)
{
    char path[RR_PATH_BYTES];
    struct rr_buf text = {0};
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 32);
    path[len > 0 ? len : 0] = 0;
    char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return;
    }
    memcpy(slash, "/devices.conf", sizeof "/devices.conf");
    if (rr_file_read(&text, path, 1u << 16, NULL) == RR_OK) {
        rr_write_u8(&text, 0);
        char *rest = (char *)text.ptr;
        for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
            if (line[0] != 0 && world.count < RR_TRANSCODE_DEVICES_MAX) {
                snprintf(world.lines[world.count++], LINE_MAX_, "%s", line);
            }
        }
    }
    rr_buf_clear(&text);
    memcpy(slash, "/devices.state", sizeof "/devices.state");
    world.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (world.fd >= 0 && ftruncate(world.fd, 8192) == 0) {
        void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, world.fd, 0);
        world.shared = at != MAP_FAILED ? at : NULL;
    }
}

static void list(struct transcode_device_names *out)
{
    out->count = (uint8_t)world.count;
    for (unsigned i = 0; i < world.count; i++) {
        snprintf(out->names[i], sizeof out->names[i], "%.*s",
                 (int)strcspn(world.lines[i], " ") & 63, world.lines[i]);
    }
}

static int settings(AVCodecContext *codec, const struct transcode_plan *plan,
                    const struct rr_rung_rate *rate)
{
    char params[160];
    (void)plan;
    codec->max_b_frames = 0;
    snprintf(params, sizeof params, "keyint=%u:scenecut=0:open-gop=0:annexb=1%s",
             number("lie_encode") != 0 ? 4u : 4096u, number("sets") != 0 ? ":ref=2" : ":ref=1");
    int rc = av_opt_set(codec->priv_data, "preset", "ultrafast", 0);
    rc = rc < 0 ? rc : av_opt_set_double(codec->priv_data, "crf", rate->crf, 0);
    return rc < 0 ? rc : av_opt_set(codec->priv_data, "x264-params", params, 0);
}

static const struct worker_device_kind *kind(const char *id)
{
    static const struct worker_device_kind cards[] = {
        {.prefix = "cuda:",
         .format = AV_PIX_FMT_NONE,
         .encoders = {[RR_CODEC_H264] = "libx264"},
         .scaler = "scale",
         .scaler_words = "flags=bilinear",
         .decodes = true,
         .settings = settings},
        {.prefix = "vaapi:",
         .format = AV_PIX_FMT_NONE,
         .encoders = {[RR_CODEC_H264] = "libx264"},
         .scaler = "scale",
         .scaler_words = "flags=bilinear",
         .decodes = true,
         .settings = settings},
        {.prefix = "qsv:",
         .format = AV_PIX_FMT_NONE,
         .encoders = {[RR_CODEC_H264] = "libx264"},
         .settings = settings},
    };
    for (size_t i = 0; i < RR_COUNT(cards); i++) {
        if (strncmp(id, cards[i].prefix, strlen(cards[i].prefix)) == 0) {
            return &cards[i];
        }
    }
    return NULL;
}

static void hang(void)
{
    struct timespec long_time = {.tv_sec = 3600};
    nanosleep(&long_time, NULL);
}

static bool gone(void)
{
    unsigned after = number("gone_encode");
    return after != 0 && atomic_load(&world.shared[world.current].coded) >= after;
}

static int open_device(AVBufferRef **out, const struct worker_device_kind *of, const char *id)
{
    (void)out;
    (void)of;
    for (world.current = 0; world.current < world.count; world.current++) {
        const char *line = world.lines[world.current];
        size_t len = strcspn(line, " ");
        if (strlen(id) == len && memcmp(id, line, len) == 0) {
            break;
        }
    }
    if (world.current == world.count || world.shared == NULL) {
        world.current = 0;
        av_log(NULL, AV_LOG_ERROR, "no such device");
        return AVERROR(ENODEV);
    }
    if (number("denied") != 0) {
        av_log(NULL, AV_LOG_ERROR, "no right to read and write %s", id);
        return AVERROR(EACCES);
    }
    if (number("old") != 0) {
        av_log(NULL, AV_LOG_ERROR,
               "Driver does not support the required nvenc API version. Required: 11.1 Found: 9.0");
        return AVERROR(ENOSYS);
    }
    if (number("hang") != 0) {
        hang();
    }
    return gone() ? AVERROR(EIO) : 0;
}

static void name(char out[static 64], const AVBufferRef *device, const char *id)
{
    const char *text = value("name");
    (void)device;
    snprintf(out, 64, "%s", text != NULL ? text : id);
}

/* ---- events ---- */
static const char *word_of(enum AVCodecID codec)
{
    return avcodec_get_name(codec);
}

static off_t place(unsigned session)
{
    return (off_t)(4096 + world.current * SESSIONS_MAX + session);
}

static bool lock(unsigned session, short what)
{
    struct flock range = {
        .l_type = what, .l_whence = SEEK_SET, .l_start = place(session), .l_len = 1};
    return fcntl(world.fd, F_SETLK, &range) == 0;
}

static int take_session(void)
{
    unsigned limit = number("sessions");
    for (unsigned i = 0; i < (limit != 0 ? limit : SESSIONS_MAX); i++) {
        if (!world.held[i] && lock(i, F_WRLCK)) {
            world.held[i] = true;
            return 0;
        }
    }
    av_log(NULL, AV_LOG_ERROR, "OpenEncodeSessionEx failed: out of memory (10): (no details)");
    return AVERROR(ENOMEM);
}

static void give_session(void)
{
    for (unsigned i = SESSIONS_MAX; i-- > 0;) {
        if (world.held[i]) {
            world.held[i] = false;
            (void)lock(i, F_UNLCK);
            return;
        }
    }
}

static int event(enum worker_device_event what, enum AVCodecID codec)
{
    struct shared *shared = &world.shared[world.current];
    unsigned count;
    if (what == WORKER_DEVICE_CLOSED) {
        give_session();
        return 0;
    }
    if (gone()) {
        return AVERROR(EIO);
    }
    switch (what) {
    case WORKER_DEVICE_DECODER:
        return lists("dec", word_of(codec)) ? 0 : AVERROR(ENOSYS);
    case WORKER_DEVICE_PICTURE:
        count = atomic_fetch_add(&shared->pictures, 1) + 1;
        if (number("die_decode") == count) {
            _exit(1);
        }
        return number("fail_decode") == count ? AVERROR(EIO) : 0;
    case WORKER_DEVICE_ENCODER:
        if (!lists("enc", word_of(codec))) {
            av_log(NULL, AV_LOG_ERROR, "OpenEncodeSessionEx failed: unsupported device (2)");
            return AVERROR(ENOSYS);
        }
        return take_session();
    case WORKER_DEVICE_ENCODED:
        count = atomic_fetch_add(&shared->coded, 1) + 1;
        if (number("die_encode") == count) {
            _exit(1);
        }
        if (number("hang_encode") == count) {
            hang();
        }
        if (number("slow_ms") != 0) {
            struct timespec pause = {.tv_nsec = (long)number("slow_ms") * 1000000};
            nanosleep(&pause, NULL);
        }
        return gone() ? AVERROR(EIO) : 0;
    case WORKER_DEVICE_CLOSED:
        break;
    }
    return 0;
}

static void spoil(AVFrame *frame)
{
    if (number("lie_decode") != 0) {
        frame->data[0][frame->linesize[0] + 1] ^= 1;
    }
}

const struct worker_driver worker_driver = {.early = early,
                                            .list = list,
                                            .kind = kind,
                                            .open = open_device,
                                            .name = name,
                                            .event = event,
                                            .spoil = spoil};
