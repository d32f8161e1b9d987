/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reelrigd: builds the house bottom-up, runs until told to stop, takes it down in reverse. */
#include "daemon/daemon_rig.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] =
    "usage: reelrigd [--data FOLDER] [--config FILE] [--web FOLDER] [--serve-port N] "
    "[--control-port N]\n"
    "                [--check-config] [--verbose] [--version]\n"
    "  --data FOLDER     everything the rig keeps (default /var/lib/reelrig)\n"
    "  --config FILE     settings; without it the built-in development settings\n"
    "  --web FOLDER      the pages of the control port\n"
    "  --check-config    reads the settings, says whether they hold, ends\n";

static void say(int fd, const char *text)
{
    struct rr_slice bytes = rr_slice_str(text);
    struct rr_fault ignored;
    if (rr_write_full(fd, bytes.ptr, bytes.len, &ignored) != RR_OK) {
        _exit(1);
    }
}

static bool read_port(int *out, const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    bool good = text[0] >= '0' && text[0] <= '9' && *end == '\0' && value <= 65535;
    *out = good ? (int)value : *out;
    return good;
}

/* Exit status, or -1 to go on. */
static int read_arguments(struct rig_arguments *out, bool *check_only, int argc, char **argv)
{
    static const struct option options[] = {
        {"data", required_argument, NULL, 'd'},
        {"config", required_argument, NULL, 'c'},
        {"web", required_argument, NULL, 'w'},
        {"serve-port", required_argument, NULL, 's'},
        {"control-port", required_argument, NULL, 'p'},
        {"check-config", no_argument, NULL, 'k'},
        {"verbose", no_argument, NULL, 'v'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        bool good = true;
        switch (option) {
        case 'd':
            out->data = optarg;
            break;
        case 'c':
            out->config_path = optarg;
            break;
        case 'w':
            out->web_folder = optarg;
            break;
        case 's':
            good = read_port(&out->serve_port, optarg);
            break;
        case 'p':
            good = read_port(&out->control_port, optarg);
            break;
        case 'k':
            *check_only = true;
            break;
        case 'v':
            rr_log_set_level(RR_LOG_DEBUG);
            break;
        case 'V':
            say(STDOUT_FILENO, "reelrigd " RR_VERSION "\n");
            return 0;
        case 'h':
            say(STDOUT_FILENO, usage);
            return 0;
        default:
            good = false;
        }
        if (!good) {
            say(STDERR_FILENO, usage);
            return 2;
        }
    }
    if (optind != argc) {
        say(STDERR_FILENO, usage);
        return 2;
    }
    return -1;
}

static void stop_on_signal(void *ctx, int signum)
{
    rr_log(RR_LOG_INFO, "reelrigd", "signal %d, stopping", signum);
    rr_loop_stop(ctx);
}

int main(int argc, char **argv)
{
    struct rig_arguments arguments = {
        .data = "/var/lib/reelrig", .serve_port = -1, .control_port = -1};
    struct rr_fault fault = {0};
    bool check_only = false;
    int status = read_arguments(&arguments, &check_only, argc, argv);
    if (status >= 0) {
        return status;
    }
    signal(SIGPIPE, SIG_IGN);
    rr_crypto_init();
    if (check_only) {
        struct rig_config config;
        enum rr_err err = daemon_config_load(&config, arguments.config_path, &fault);
        say(err == RR_OK ? STDOUT_FILENO : STDERR_FILENO,
            err == RR_OK ? "the settings hold" : fault.text);
        say(err == RR_OK ? STDOUT_FILENO : STDERR_FILENO, "\n");
        return rr_err_exit_status(err);
    }
    struct rr_loop *loop = rr_loop_new();
    struct rr_rig *rig = NULL;
    rr_loop_on_signals(loop, stop_on_signal, loop);
    enum rr_err err = daemon_rig_open(&rig, loop, &arguments, &fault);
    if (err == RR_OK) {
        rr_log(RR_LOG_INFO, "reelrigd",
               "ready: segments on port %u, control on port %u, data in %s",
               rr_serve_port(rig->serve), rr_monitor_port(rig->monitor), rig->data);
        rr_loop_run(loop);
        daemon_rig_close(rig);
    } else {
        rr_log_fault(RR_LOG_ERROR, "reelrigd", &fault);
    }
    rr_loop_free(loop);
    return rr_err_exit_status(err);
}
