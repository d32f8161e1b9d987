/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A live ladder in a folder: playlists without parts, as any file server can give them. */
#ifndef RR_CLI_LIVE_H
#define RR_CLI_LIVE_H
#include "cli/cli.h"
#include "serve/serve.h"
#include "transcode/transcode.h"

struct live_folder_segment {
    uint64_t start_us, duration_us, bytes;
    bool gap;
};
struct live_folder_rendition {
    struct rr_rendition info;
    struct rr_buf bytes;                  /* of the open segment */
    struct live_folder_segment *segments; /* owned; kept ladders only */
    uint64_t count, room;
};
struct live_folder {
    const char *path;
    bool keep;
    bool made; /* the folder was not there before */
    uint32_t window;
    struct rr_serve_live *live; /* its playlists */
    struct live_folder_rendition renditions[RR_RUNGS_MAX + 1];
    uint32_t count;
    struct rr_buf master; /* what master.m3u8 holds */
    bool holes, too_many; /* segments are missing; more than a manifest may have */
    int proofs;           /* gops.jsonl; -1: none */
    bool failed;
    struct rr_fault fault; /* of the first write that failed */
};
/* Makes the folder; one that holds a ladder is RR_ERR_EXISTS, one that another live stream is
 * written into RR_ERR_BUSY. */
enum rr_err live_folder_open(struct live_folder *folder, struct rr_fault *fault) RR_MUST_USE;
void live_folder_begin(struct live_folder *folder, const struct rr_rendition *renditions,
                       uint32_t count);
void live_folder_init(struct live_folder *folder, uint32_t rendition, const char *codecs,
                      struct rr_slice bytes);
void live_folder_part(struct live_folder *folder, uint32_t rendition, struct rr_slice bytes);
/* The open segment as a file. False: it could not be written, and is a gap. */
bool live_folder_put(struct live_folder *folder, uint32_t rendition, uint64_t number);
/* After the playlists got the segment. */
void live_folder_close(struct live_folder *folder, uint32_t rendition,
                       const struct rr_live_segment *segment);
/* After the playlists got their end. Of a kept ladder without manifest.mpd, holes and too_many say
 * why. */
void live_folder_end(struct live_folder *folder);
/* Leaves nothing behind where no stream began. */
void live_folder_clear(struct live_folder *folder);
#endif
