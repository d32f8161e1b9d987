/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transcode/transcode_private.h"
#include <stdio.h>
#include <unistd.h>

#define PROBE_SECONDS 60

static enum rr_err probe_once(struct transcode_facts *out, struct transcode_worker *keep,
                              const char *program, int source_fd, uint8_t video,
                              const atomic_bool *cancel, struct rr_fault *fault)
{
    struct transcode_worker worker = {.socket = -1};
    struct transcode_facts facts = {0};
    struct transcode_probe ask = {.video = video};
    struct rr_buf message = {0};
    enum rr_err err = transcode_worker_start(&worker, program, false, fault);
    if (err != RR_OK) {
        return err;
    }
    transcode_encode_message(&message, TRANSCODE_PROBE, probe, &ask);
    err = transcode_worker_ask(&worker, &message, &source_fd, 1, PROBE_SECONDS, fault);
    if (err == RR_OK) {
        err = transcode_worker_wait(&worker, TRANSCODE_FACTS, cancel, fault);
    }
    if (err == RR_OK && !transcode_decode_message(transcode_worker_body(&worker), facts, &facts)) {
        err = rr_fail(fault, RR_ERR_FORMAT,
                      "the worker's account of the file does not follow its form");
    }
    if (err == RR_OK && keep != NULL) {
        *keep = worker;
    } else {
        transcode_worker_stop(&worker);
    }
    if (err == RR_OK) {
        *out = facts;
    }
    return err;
}

enum rr_err transcode_probe_with(struct transcode_facts *out, struct transcode_worker *keep,
                                 const char *program, int source_fd, uint8_t video,
                                 const atomic_bool *cancel, struct rr_fault *fault)
{
    enum rr_err err = RR_ERR_UNREACHABLE;
    for (unsigned i = 0; i < TRANSCODE_DEATHS_MAX && err == RR_ERR_UNREACHABLE; i++) {
        err = probe_once(out, keep, program, source_fd, video, cancel, fault);
    }
    if (err == RR_ERR_UNREACHABLE || err == RR_ERR_TIMEOUT) {
        char why[160];
        snprintf(why, sizeof why, "%.150s", fault != NULL ? fault->text : "");
        err = rr_fail(fault, RR_ERR_DAMAGED, "the file cannot be looked into: %s", why);
    }
    return err;
}

enum rr_err rr_transcode_probe(struct rr_transcode_facts *out, int source_fd,
                               const struct rr_transcode_options *options, struct rr_fault *fault)
{
    char program[RR_PATH_BYTES];
    struct transcode_facts facts;
    int fd = -1;
    enum rr_err err = transcode_worker_find(program, options, fault);
    if (err == RR_OK) {
        err = transcode_source_fd(&fd, source_fd, fault);
    }
    if (err == RR_OK) {
        err = transcode_probe_with(&facts, NULL, program, fd, options->video, NULL, fault);
        close(fd);
    }
    if (err == RR_OK) {
        *out = facts.shown;
    }
    return err;
}
