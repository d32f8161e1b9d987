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
/* ours: the slowest that any codec of speech has is 8000, archives hold 4000 and 5512; at one
 * sample a second each byte would be a second to code */
#define TRANSCODE_SAMPLE_RATE_MIN 2000
/* Silence filled in where time stamps leave room, in seconds of a whole track: half an hour, and
 * one more for each so many bytes of the file. Ours: three gaps of ten minutes cost nothing; a day
 * of speech one twentieth of the time, which is little, has 40 bytes for each of its silent
 * seconds. */
#define TRANSCODE_SILENCE_FREE_S      1800
#define TRANSCODE_SILENCE_BYTES_PER_S 16
#define TRANSCODE_WORK_MAX                                                                         \
    (UINT64_C(3840) * 2160 * 60 * 86400) /* pixels x frames: a day of 2160p60 */
#endif
