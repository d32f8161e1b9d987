/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of one task: a GOP as encoded, into pictures. */
#ifndef RR_TRANSCODE_PROTO_DECODE_H
#define RR_TRANSCODE_PROTO_DECODE_H
#include "transcode/transcode_proto.h"

/* Pictures out of one GOP of one rung; packets in the first memfd, pictures into the second. */
struct transcode_decode {
    struct transcode_plan plan;
    uint8_t rung;
    struct transcode_packets packets;
};
struct transcode_decoded {
    uint32_t width, height; /* as the stream has them; pictures of another size are not written */
    uint8_t format;         /* 1: planar 4:2:0 of the plan's depth; 0: another, and no pictures */
    uint32_t sar_num, sar_den; /* 0: not said */
    uint8_t full_range, primaries, transfer, matrix;
    uint8_t idr;      /* 1: the first packet is an IDR and no other is */
    uint32_t damaged; /* pictures that the decoder had to conceal something in */
    uint32_t count;
    int64_t pts[TRANSCODE_FRAMES_MAX];
};
void transcode_code_decode(struct transcode_coder *coder, struct transcode_decode *m);
void transcode_code_decoded(struct transcode_coder *coder, struct transcode_decoded *m);
#endif
