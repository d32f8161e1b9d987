/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* HLS playlists (RFC 8216bis, version 7, fMP4) and the DASH manifest as views of a manifest. Enter
 * by wire.h. */
#ifndef RR_WIRE_HLS_H
#define RR_WIRE_HLS_H
#include "wire/wire_puzzle.h"

/* Appends the multivariant playlist: video renditions highest first with BANDWIDTH,
 * AVERAGE-BANDWIDTH, CODECS (video and audio), RESOLUTION, FRAME-RATE, VIDEO-RANGE; audio and
 * subtitles as groups; audio only works. URIs are "<name>/index.m3u8". */
void rr_hls_master(struct rr_buf *out, const struct rr_manifest *manifest);
/* Appends the media playlist of one rendition: EXT-X-MAP "init.mp4", segments "seg_%05u.m4s", VOD,
 * ENDLIST; of subtitles no map, and segments "seg_%05u.vtt". */
void rr_hls_media(struct rr_buf *out, const struct rr_rendition *rendition);
/* The same with a tag before each segment that carries puzzles. entries: of this rendition alone,
 * rising by segment; those of segments that do not exist are left out. */
void rr_hls_media_puzzles(struct rr_buf *out, const struct rr_rendition *rendition,
                          const struct rr_puzzle_entry *entries, uint32_t count);
/* Appends the DASH manifest (static, live profile, a timeline per representation) of the same
 * segments; URIs as in the playlists: "<name>/init.mp4", "<name>/seg_%05d.m4s". Each audio track is
 * a set of its own; subtitles are whole files, "<name>/all.ttml". [ISO/IEC 23009-1] */
void rr_dash_manifest(struct rr_buf *out, const struct rr_manifest *manifest);
/* Splits "master.m3u8", "manifest.mpd", "<name>/index.m3u8", "<name>/init.mp4",
 * "<name>/seg_NNNNN.m4s"; of subtitles "<name>/all.ttml" and "<name>/seg_NNNNN.vtt". */
enum rr_hls_kind { RR_HLS_MASTER, RR_HLS_DASH, RR_HLS_MEDIA, RR_HLS_INIT, RR_HLS_SEGMENT };
struct rr_hls_ref {
    enum rr_hls_kind kind;
    uint32_t rendition, segment;
};
/* False when the path names nothing in the manifest. */
bool rr_hls_find(struct rr_hls_ref *out, const struct rr_manifest *manifest,
                 struct rr_slice path) RR_MUST_USE;
#endif
