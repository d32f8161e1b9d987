/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Objects, manifests, jobs and the leaves of proof of transcoding (spec 20, 30). Enter by wire.h.
 */
#ifndef RR_WIRE_MEDIA_H
#define RR_WIRE_MEDIA_H
#include "crypto/crypto.h"

/* ---- objects (spec 30, 1) ---------------------------------------------------------------------
 */
#define RR_STRIP_BYTES 16384
#define RR_SHARDS_MAX  255
#define RR_PARITY_MAX  64
enum rr_object_class { RR_CLASS_LOCAL = 1, RR_CLASS_RELAY = 2 };
struct rr_object {
    struct rr_hash32 object_id; /* "rr.object.v1" over all fields below */
    uint64_t length;            /* true bytes; shards are zero padded */
    uint8_t k, m;               /* k >= 1, m <= 64, k + m <= 255 */
    uint32_t strip;             /* RR_STRIP_BYTES */
    enum rr_object_class class;
    struct rr_hash32 key_id;               /* zero: stored plain */
    struct rr_hash32 roots[RR_SHARDS_MAX]; /* BLAKE3 of each shard; unused ones zero */
};
/* Length of each of its k+m shards: ceil(length / (k strip)) strips, at least one. */
uint64_t rr_object_shard_bytes(const struct rr_object *object);
void rr_object_set_id(struct rr_object *object);
void rr_object_encode(struct rr_buf *out, const struct rr_object *object);
/* Checks ranges and that object_id fits the rest (RR_ERR_TRUST). */
enum rr_err rr_object_decode(struct rr_object *out, struct rr_slice bytes,
                             struct rr_fault *fault) RR_MUST_USE;

/* ---- manifest: owner-signed, versioned; a later revision replaces an earlier one ----------------
 */
enum rr_resource_kind { RR_RESOURCE_VOD = 1, RR_RESOURCE_LIVE = 2, RR_RESOURCE_FILE = 3 };
enum rr_rendition_kind {
    RR_RENDITION_VIDEO = 1,
    RR_RENDITION_AUDIO = 2,
    RR_RENDITION_SUBTITLE = 3, /* segments are WebVTT; init is the whole track as TTML */
};
#define RR_RENDITIONS_MAX    32
#define RR_LANGUAGE_MAX      35    /* RFC 5646, 4.4.1 */
#define RR_RENDITION_DEFAULT 1u    /* what plays when nobody chooses */
#define RR_RENDITION_FORCED  2u    /* subtitles that are shown even to those who want none */
#define RR_SEGMENTS_MAX      65536 /* of one rendition */
#define RR_OBJECTS_MAX       65536 /* of 8 KiB each in memory */
#define RR_NAME_MAX          64
struct rr_segment {
    uint32_t object; /* index into objects */
    uint64_t offset; /* inside the object */
    uint32_t bytes;
    uint64_t start;          /* presentation time, in the rendition's timescale */
    uint32_t duration;       /* same unit */
    struct rr_hash32 digest; /* "rr.segment.v1" over its bytes; also its ETag */
};
struct rr_rendition {
    enum rr_rendition_kind kind;
    char name[RR_NAME_MAX + 1];   /* [a-z0-9-]: "720p", "audio" */
    char codecs[RR_NAME_MAX + 1]; /* RFC 6381; "wvtt" for subtitles */
    uint16_t width, height;       /* 0 but for video */
    uint16_t sar_num, sar_den;
    uint32_t fps_num, fps_den; /* mean; 0/1 for audio */
    uint8_t video_range;       /* 0 SDR, 1 PQ, 2 HLG */
    uint16_t channels;         /* audio */
    uint32_t sample_rate;
    uint32_t peak_bps, mean_bps;
    uint32_t timescale;
    char language[RR_LANGUAGE_MAX + 1]; /* RFC 5646: "en"; empty: not known */
    char label[RR_NAME_MAX + 1];        /* for people; UTF-8, no control characters; may be empty */
    uint8_t flags;                      /* RR_RENDITION_DEFAULT, RR_RENDITION_FORCED */
    struct rr_segment init;             /* start and duration 0 */
    struct rr_segment *segments;        /* owned */
    uint32_t segment_count;
};
struct rr_manifest {
    uint32_t chain_id;
    struct rr_hash32 resource_id;
    struct rr_pubkey owner;
    uint64_t created_ms;
    enum rr_resource_kind kind;
    uint32_t revision;                   /* 1, 2, ... */
    char title[RR_NAME_MAX + 1];         /* UTF-8, no control characters */
    struct rr_coin slice_price;          /* 0: free */
    uint32_t slice_bytes;                /* 4 KiB .. 16 MiB */
    struct rr_hash32 job_id, proof_root; /* zero when not transcoded here */
    uint32_t original;                   /* index of the original's object; 0 for live */
    struct rr_object *objects;           /* owned */
    uint32_t object_count;
    struct rr_rendition *renditions; /* owned */
    uint32_t rendition_count;
    struct rr_signature signature; /* of owner, over "rr.manifest.v1" of all before it */
};
#define RR_MANIFEST_BYTES_MAX (64u << 20)
/* BLAKE2b-256("rr.resource", chain_id, owner, object_id of the original (zero for live),
 * created_ms, kind). */
void rr_resource_id(struct rr_hash32 *out, uint32_t chain_id, const struct rr_pubkey *owner,
                    const struct rr_hash32 *original, uint64_t created_ms,
                    enum rr_resource_kind kind);
/* Sets the title to as many whole characters of NUL-terminated text as fit; bytes that are no
 * UTF-8, and control characters, become '?'. A title cut elsewhere makes a manifest that no decoder
 * takes. */
void rr_manifest_set_title(struct rr_manifest *manifest, const char *text);
/* Version 2 when a rendition is a subtitle or has a language, label or flag, else version 1: one
 * form for each value, and the signatures of manifests without them stay good. */
void rr_manifest_encode(struct rr_buf *out, const struct rr_manifest *manifest);
/* Checks every range and index, names, and resource_id; not the signature. */
enum rr_err rr_manifest_decode(struct rr_manifest *out, struct rr_slice bytes,
                               struct rr_fault *fault) RR_MUST_USE;
void rr_manifest_sign(struct rr_manifest *manifest,
                      const struct rr_seckey *key); /* sets owner too */
bool rr_manifest_verify(const struct rr_manifest *manifest) RR_MUST_USE;
void rr_manifest_clear(struct rr_manifest *manifest);
/* "rr.segment.v1" over the bytes. */
void rr_segment_digest(struct rr_hash32 *out, struct rr_slice bytes);

/* ---- transcoding jobs and their proof (spec 20, 3-4) --------------------------------------------
 */
#define RR_RUNGS_MAX 8
/* How many bits the pictures of a rung may take. All 0: the job's crf, no limit. */
struct rr_rung_rate {
    uint16_t crf;      /* 0: the job's */
    uint32_t kbps;     /* not 0: this mean rate in place of a quality */
    uint32_t max_kbps; /* not 0: no segment above it */
};
#define RR_KBPS_MAX  1000000u
#define RR_KBPS_AUTO UINT32_MAX /* of a rate: by the rule for the codec, size and frame rate */
/* How a GOP is judged (spec 20, 3): byte for byte, or by margins beside a reference that the
 * verifier makes; those for hardware encoders are wider than those for other software. Sound is
 * always exact. */
enum rr_exactness { RR_EXACT = 0, RR_TOLERANT_BUILD = 1, RR_TOLERANT_DEVICE = 2 };
struct rr_job_spec {
    uint32_t chain_id;
    struct rr_hash32 source; /* object_id of the original */
    struct rr_pubkey owner;
    uint64_t created_ms;
    char
        profile[RR_NAME_MAX + 1]; /* pins encoder build and settings, e.g. "x264-164-veryfast-v1" */
    uint16_t crf;
    uint32_t gop_ms;
    uint32_t audio_bps;
    uint8_t rung_count;
    uint16_t rungs[RR_RUNGS_MAX];
    struct rr_rung_rate rates[RR_RUNGS_MAX]; /* beside them */
    uint8_t tone_map;                        /* 0 as the source, 1 HDR becomes BT.709 */
    uint16_t challenges;                     /* c */
    enum rr_exactness exactness;
    char maker[RR_NAME_MAX +
               1]; /* profile of another build or of a device that encodes; "": exact */
};
void rr_job_spec_encode(struct rr_buf *out, const struct rr_job_spec *spec);
enum rr_err rr_job_spec_decode(struct rr_job_spec *out, struct rr_slice bytes,
                               struct rr_fault *fault) RR_MUST_USE;
void rr_job_id(struct rr_hash32 *out, const struct rr_job_spec *spec); /* "rr.job.v1" */

struct rr_pot_leaf {
    uint16_t rendition;
    uint32_t gop;
    uint32_t source_first,
        source_last; /* packets of the video stream in demux order, lead-in included */
    struct rr_hash32 source_digest, output_digest;
    uint64_t output_bytes;
};
/* "rr.pot.leaf" over job_id, rendition u16, gop u32, source_digest, output_digest, output_bytes
 * u64. */
void rr_pot_leaf_hash(struct rr_hash32 *out, const struct rr_hash32 *job_id,
                      const struct rr_pot_leaf *leaf);
/* Answer to one challenge. */
struct rr_pot_answer {
    struct rr_hash32 contract_id;
    struct rr_hash32 job_id;
    struct rr_pot_leaf leaf;
    struct rr_merkle_proof place;
};
void rr_pot_answer_encode(struct rr_buf *out, const struct rr_pot_answer *answer);
enum rr_err rr_pot_answer_decode(struct rr_pot_answer *out, struct rr_slice bytes,
                                 struct rr_fault *fault) RR_MUST_USE;
/* All leaves of a job, as kept and revealed: job_id, count u32, leaves. */
#define RR_LEAVES_MAX (1u << 20)
void rr_pot_leaves_encode(struct rr_buf *out, const struct rr_hash32 *job_id,
                          const struct rr_pot_leaf *leaves, uint32_t count);
/* *leaves owned by the caller (rr_free). */
enum rr_err rr_pot_leaves_decode(struct rr_hash32 *job_id, struct rr_pot_leaf **leaves,
                                 uint32_t *count, struct rr_slice bytes,
                                 struct rr_fault *fault) RR_MUST_USE;
#endif
