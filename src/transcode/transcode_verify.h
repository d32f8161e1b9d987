/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to transcode: what a verification of class tolerant holds. */
#ifndef RR_TRANSCODE_VERIFY_H
#define RR_TRANSCODE_VERIFY_H
#include "transcode/transcode_proto_decode.h"
#include "transcode/transcode_remake.h"
#include "transcode/transcode_verdict.h"

struct transcode_verify {
    struct transcode_remake remake; /* frames_fd: the source's pictures */
    const struct rr_pot_gop *gop;
    unsigned rung;
    int candidate_fd, reference_fd; /* pictures */
    struct transcode_decode *decode;
    struct transcode_decoded *decoded[2]; /* candidate, reference */
    struct rr_transcode_verdict *out;
};
/* Decodes remake.packets' shape of stream: packets in `decode`, bytes in packets_fd, pictures to
 * out_fd, in a worker that ends after it. RR_ERR_DAMAGED: it does not decode, or the worker died.
 */
enum rr_err transcode_verify_decode(struct transcode_verify *verify,
                                    struct transcode_decoded *decoded, int packets_fd, int out_fd,
                                    struct rr_fault *fault) RR_MUST_USE;
/* The GOP with the job's settings, then with other qualities until it has the candidate's bytes:
 * remake.packets and out_fd hold the last one. Fills output_digest, output_bytes, reference_bytes
 * and encodes in. (transcode_reference.c) */
enum rr_err transcode_reference_make(struct transcode_verify *verify,
                                     struct rr_fault *fault) RR_MUST_USE;
#endif
