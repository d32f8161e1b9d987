/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of the door that is about devices; transcode.h includes it. */
#ifndef RR_TRANSCODE_DEVICES_H
#define RR_TRANSCODE_DEVICES_H
#include "base/base.h"
#include "wire/wire.h"

/* What the pictures are coded in. */
enum rr_codec { RR_CODEC_H264, RR_CODEC_HEVC, RR_CODEC_AV1, RR_CODEC_VP9 };
struct rr_transcode_options;
#define RR_TRANSCODE_DEVICES_MAX 16
#define RR_TRANSCODE_DEVICE_MAX  63
/* exact: the profile pins every byte, and the CPU encodes; tolerant: judged by margins (spec 20,
 * 3), so that a device may scale and encode. */
enum rr_transcode_class { RR_TRANSCODE_EXACT, RR_TRANSCODE_TOLERANT };
/* When a device has no encoder session left. */
enum rr_transcode_policy { RR_TRANSCODE_WAIT, RR_TRANSCODE_CPU };
/* What a device was seen to do: each bit, 1 << enum rr_codec, by a session that was opened and gave
 * the right pictures. */
struct rr_transcode_device {
    char id[RR_TRANSCODE_DEVICE_MAX + 1]; /* "cuda:0", "vaapi:/dev/dri/renderD128" */
    char name[64];                        /* of the card or driver; may be empty */
    uint8_t decodes, decodes_10;          /* in 8 and in 10 bits */
    uint8_t encodes, encodes_10;
    bool scales;
    uint16_t sessions; /* encoders at a time, as a driver's refusal told it; 0: unknown */
    char why_not[224]; /* what it cannot do, and why; empty: nothing is missing that this build has
                          a name for */
};
/* Tries every device of this machine, each in a process of its own, by opening a session per codec;
 * fills at most RR_TRANSCODE_DEVICES_MAX. A device that cannot be used is listed with its why_not;
 * a machine without any gives 0. Only worker_path of the options is read. Blocks some seconds per
 * device, a minute for one that hangs. Any thread. RR_ERR_STATE: no worker program. */
enum rr_err rr_transcode_devices(struct rr_transcode_device out[static RR_TRANSCODE_DEVICES_MAX],
                                 size_t *count, const struct rr_transcode_options *options,
                                 struct rr_fault *fault) RR_MUST_USE;
/* Name of the profile that a device's encoder gives: "nvenc-h264-p4-v1". False: no encoder of this
 * kind of device. Any thread. */
bool rr_transcode_device_profile(char out[static RR_NAME_MAX + 1], const char *device,
                                 enum rr_codec codec) RR_MUST_USE;
#endif
