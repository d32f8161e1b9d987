/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much one input may ask for, before decoding and while it runs (spec 20, 2). */
#ifndef RR_TRANSCODE_LIMITS_H
#define RR_TRANSCODE_LIMITS_H
#include <stdint.h>

#define TRANSCODE_SIDE_MAX       16384
#define TRANSCODE_PIXELS_MAX     (UINT64_C(8192) * 4608)
#define TRANSCODE_STREAMS_MAX    64
#define TRANSCODE_DURATION_MAX_S 86400
#define TRANSCODE_SAMPLES_MAX    (1 << 22) /* of one packet of sound */
#define TRANSCODE_WORK_MAX                                                                         \
    (UINT64_C(3840) * 2160 * 60 * 86400) /* pixels x frames: a day of 2160p60 */
#endif
