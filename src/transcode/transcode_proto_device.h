/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages about devices; transcode_proto.h includes it. */
#ifndef RR_TRANSCODE_PROTO_DEVICE_H
#define RR_TRANSCODE_PROTO_DEVICE_H
#include "transcode/transcode_devices.h"

struct transcode_coder;
/* Beside those of enum transcode_kind. */
enum transcode_device_kind {
    TRANSCODE_DEVICES = 64, /* asks for names */
    TRANSCODE_DEVICE_NAMES,
    TRANSCODE_DEVICE, /* asks what one can do */
    TRANSCODE_DEVICE_FACTS,
    TRANSCODE_USE, /* a device from now on */
    TRANSCODE_USED,
};
/* Devices as their nodes stand there, before any driver is asked. */
struct transcode_device_names {
    uint8_t count;
    char names[RR_TRANSCODE_DEVICES_MAX][RR_TRANSCODE_DEVICE_MAX + 1];
};
struct transcode_device_ask {
    char name[RR_TRANSCODE_DEVICE_MAX + 1];
};
struct transcode_use {
    char device[RR_TRANSCODE_DEVICE_MAX + 1];
    uint8_t
        exact; /* pictures leave the device as they were decoded; no scaling or encoding there */
};

void transcode_code_device_names(struct transcode_coder *coder, struct transcode_device_names *m);
void transcode_code_device_ask(struct transcode_coder *coder, struct transcode_device_ask *m);
void transcode_code_device_facts(struct transcode_coder *coder, struct rr_transcode_device *m);
void transcode_code_use(struct transcode_coder *coder, struct transcode_use *m);
#endif
