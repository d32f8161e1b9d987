/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Contract chains, and work for hire: offers, orders, quotes, commitments ([VC 8], spec 20, 5-6).
 * Enter by wire.h. */
#ifndef RR_WIRE_WORK_H
#define RR_WIRE_WORK_H
#include "wire/wire_media.h"

/* ---- contract chains
 * ------------------------------------------------------------------------------------ */
/* A job as a graph of steps; each may be another rig's. Inputs name earlier steps only, so that no
 * chain has a circle and each has one encoding. */
enum rr_work_kind {
    RR_WORK_DEMUX = 1,        /* step 0, and it alone; the source in, packets out */
    RR_WORK_DECODE_VIDEO = 2, /* video packets in, pictures out */
    RR_WORK_DECODE_AUDIO = 3, /* audio packets in, samples out */
    RR_WORK_ENCODE_VIDEO = 4, /* pictures in, one rendition's stream out */
    RR_WORK_ENCODE_AUDIO = 5, /* samples in, a stream out */
    RR_WORK_MUX = 6           /* the last step, and it alone; streams in, the output out */
};
enum rr_work_type { /* of what goes from one step to another */
                    RR_WORK_VIDEO_PACKETS = 1,
                    RR_WORK_AUDIO_PACKETS = 2,
                    RR_WORK_PICTURES = 3,
                    RR_WORK_SAMPLES = 4,
                    RR_WORK_VIDEO_STREAM = 5,
                    RR_WORK_AUDIO_STREAM = 6
};
enum rr_work_output { RR_WORK_LADDER = 1, RR_WORK_MP4 = 2 }; /* CMAF for HLS and DASH; one file */
#define RR_WORK_STEPS_MAX  24
#define RR_WORK_INPUTS_MAX 16
struct rr_work_input {
    uint8_t step; /* below the step that takes it */
    enum rr_work_type type;
};
struct rr_work_step {
    enum rr_work_kind kind;
    uint8_t input_count;
    struct rr_work_input inputs[RR_WORK_INPUTS_MAX];
    char profile[RR_NAME_MAX + 1]; /* of encoders: as in rr_job_spec; "aac" for sound; else "" */
    uint16_t rung;                 /* of RR_WORK_ENCODE_VIDEO, else 0 */
    struct rr_rung_rate rate;      /* beside it */
    uint32_t bps;                  /* of RR_WORK_ENCODE_AUDIO, else 0 */
    struct rr_coin price;          /* for all of it; its contract holds it */
};
struct rr_work_chain {
    uint32_t chain_id;
    struct rr_hash32 source; /* "rr.work.source" over the original; its object where it is stored */
    struct rr_pubkey owner;
    uint64_t created_ms;
    uint32_t gop_ms;
    uint16_t crf;        /* of renditions whose rate gives none */
    uint8_t tone_map;    /* as in rr_job_spec */
    uint16_t challenges; /* of each step's contract */
    enum rr_work_output output;
    uint8_t step_count;
    struct rr_work_step steps[RR_WORK_STEPS_MAX];
};
#define RR_WORK_CHAIN_BYTES_MAX 4096
void rr_work_chain_encode(struct rr_buf *out, const struct rr_work_chain *chain);
/* Checks the graph too, as rr_work_chain_check. */
enum rr_err rr_work_chain_decode(struct rr_work_chain *out, struct rr_slice bytes,
                                 struct rr_fault *fault) RR_MUST_USE;
/* RR_ERR_FORMAT with the step and what is wrong: an input from no earlier step or of another type
 * than that step gives or this one takes, a step that nobody uses, two renditions of one rung,
 * prices beyond the cap. */
enum rr_err rr_work_chain_check(const struct rr_work_chain *chain,
                                struct rr_fault *fault) RR_MUST_USE;
/* The form for people, JSON: gop_ms (2000), crf, tone_map, challenges (1), output ("ladder" or
 * "mp4") and steps, each of kind, from (numbers of earlier steps), profile, rung, crf, kbps,
 * max_kbps, bps and price; docs/offers.md. chain_id, source, owner and created_ms stay zero.
 * RR_ERR_FORMAT. */
enum rr_err rr_work_chain_parse(struct rr_work_chain *out, struct rr_slice json,
                                struct rr_fault *fault) RR_MUST_USE;
/* The words that rr_work_chain_parse makes the same steps of, appended. */
void rr_work_chain_json(struct rr_buf *out, const struct rr_work_chain *chain);
void rr_work_chain_id(struct rr_hash32 *out, const struct rr_work_chain *chain); /* rr.work.chain */
/* Names one step on the ledger: the job of its contract. "rr.work.step" over chain id and number.
 */
void rr_work_step_id(struct rr_hash32 *out, const struct rr_hash32 *chain_id, uint8_t step);
struct rr_coin rr_work_chain_price(const struct rr_work_chain *chain); /* sum of all steps */
const char *rr_work_kind_text(enum rr_work_kind kind);                 /* "encode_video"; static */
bool rr_work_kind_parse(enum rr_work_kind *out, const char *text) RR_MUST_USE;
enum rr_work_type rr_work_type_of(enum rr_work_kind kind, bool audio); /* what it gives */

/* ---- offers: GET /v1/offers
 * --------------------------------------------------------------------------------- */
#define RR_WORK_CODECS_MAX 8
struct rr_work_codec {
    char codec[9];        /* "h264" */
    struct rr_coin price; /* of a million pictures' points encoded (megapixel-frame) */
    uint32_t rate;        /* megapixel-frames a second, as measured or set; for estimates */
};
struct rr_work_offer {
    uint32_t chain_id;
    struct rr_pubkey rig;
    uint64_t created_ms, expires_ms;
    uint32_t kinds; /* bit 1 << rr_work_kind for each kind of step that it takes */
    uint8_t codec_count;
    struct rr_work_codec codecs[RR_WORK_CODECS_MAX]; /* sorted by name */
    bool exact, tolerant;                            /* classes (spec 20, 3) */
    char device[RR_NAME_MAX + 1];                    /* "cpu" */
    struct rr_coin demux_price;                      /* a second of source */
    struct rr_coin decode_price;                     /* a megapixel-frame of source */
    struct rr_coin audio_price, mux_price;           /* a second */
    struct rr_coin unit_price;                       /* what a payword is worth */
    uint16_t rung_min, rung_max;
    uint32_t gop_ms_min, gop_ms_max;
    uint64_t source_bytes_max;
    uint64_t points_max; /* width x height of the source */
    uint16_t jobs_max, jobs_now;
    struct rr_coin unpaid_max; /* work that it does ahead of payment */
    uint32_t pool_blocks_min, margin_blocks;
    struct rr_signature signature; /* of rig, over "rr.work.offer" of all before it */
};
#define RR_WORK_OFFER_BYTES_MAX 2048
void rr_work_offer_encode(struct rr_buf *out, const struct rr_work_offer *offer);
enum rr_err rr_work_offer_decode(struct rr_work_offer *out, struct rr_slice bytes,
                                 struct rr_fault *fault) RR_MUST_USE;
void rr_work_offer_sign(struct rr_work_offer *offer, const struct rr_seckey *key); /* sets rig */
bool rr_work_offer_verify(const struct rr_work_offer *offer) RR_MUST_USE;

/* A view of it as one compact JSON object; docs/offers.md. */
void rr_work_offer_json(struct rr_buf *out, const struct rr_work_offer *offer);

/* ---- orders and quotes: POST /v1/jobs
 * -------------------------------------------------------------------- */
struct rr_work_facts { /* of the source, as its owner says; the rig looks for itself before it works
                        */
    uint16_t width, height;
    uint32_t fps_num, fps_den;
    uint64_t duration_ms, bytes;
    bool has_audio;
};
struct rr_work_order {
    struct rr_pubkey rig; /* that it is for */
    uint64_t created_ms;
    uint64_t deadline_ms; /* for the whole chain, from now on; 0: none */
    struct rr_work_facts facts;
    uint32_t steps; /* bit 1 << index for each step that this rig is to take */
    struct rr_work_chain chain;
    struct rr_signature signature; /* of chain.owner, over "rr.work.order" of all before it */
};
#define RR_WORK_ORDER_BYTES_MAX (RR_WORK_CHAIN_BYTES_MAX + 256)
void rr_work_order_encode(struct rr_buf *out, const struct rr_work_order *order);
enum rr_err rr_work_order_decode(struct rr_work_order *out, struct rr_slice bytes,
                                 struct rr_fault *fault) RR_MUST_USE;
void rr_work_order_sign(struct rr_work_order *order, const struct rr_seckey *key);
bool rr_work_order_verify(const struct rr_work_order *order) RR_MUST_USE;
void rr_work_order_id(struct rr_hash32 *out, const struct rr_work_order *order);

/* Binding until it expires. Pictures are paid by the GOP, all renditions of it at once; sound as
 * one. */
struct rr_work_quote {
    uint32_t chain_id;
    struct rr_pubkey rig, publisher;
    struct rr_hash32 order_id;
    struct rr_hash32 handle; /* names the job in requests; who knows it may send them */
    uint64_t created_ms, expires_ms;
    struct rr_coin unit_price;
    uint32_t gop_units, audio_units; /* of unit_price; 0: not taken */
    uint32_t unpaid_units;           /* worked ahead of payment at most, beyond one batch */
    uint32_t gops;                   /* in the source, at most */
    uint64_t work_ms;                /* what the rig expects to need for all of it */
    uint8_t step_count;
    struct rr_coin prices[RR_WORK_STEPS_MAX]; /* what each step is of it; 0: not taken */
    struct rr_signature signature;            /* of rig, over "rr.work.quote" of all before it */
};
#define RR_WORK_QUOTE_BYTES_MAX 1024
void rr_work_quote_encode(struct rr_buf *out, const struct rr_work_quote *quote);
enum rr_err rr_work_quote_decode(struct rr_work_quote *out, struct rr_slice bytes,
                                 struct rr_fault *fault) RR_MUST_USE;
void rr_work_quote_sign(struct rr_work_quote *quote, const struct rr_seckey *key);
bool rr_work_quote_verify(const struct rr_work_quote *quote) RR_MUST_USE;
/* The resource of the pool that pays it. */
void rr_work_quote_id(struct rr_hash32 *out, const struct rr_work_quote *quote);
/* Fills prices, unit_price, gop_units, audio_units, gops and work_ms as the offer says for the
 * steps of the order. Encoding is priced by the rendition's points, which follow from the rung. One
 * rule on both sides: a quote above it is refused. RR_ERR_UNSUPPORTED: a step that the offer does
 * not take; RR_ERR_LIMIT. */
enum rr_err rr_work_quote_price(struct rr_work_quote *quote, const struct rr_work_offer *offer,
                                const struct rr_work_order *order,
                                struct rr_fault *fault) RR_MUST_USE;
/* What all of it costs. */
struct rr_coin rr_work_quote_total(const struct rr_work_quote *quote);

/* ---- commitments
 * ---------------------------------------------------------------------------------------- */
/* The rig stands by one shard of the job, as it gives it to the publisher: whoever shows it with a
 * shard that another rig makes otherwise has shown a wrong answer. */
struct rr_work_commit {
    struct rr_hash32 quote_id;
    uint32_t shard, gops;          /* its number; GOPs in it, 0 for the sound */
    uint64_t bytes;                /* of the shard's file */
    struct rr_hash32 digest;       /* "rr.work.shard" over them */
    struct rr_signature signature; /* of the rig, over "rr.work.commit" of all before it */
};
void rr_work_commit_encode(struct rr_buf *out, const struct rr_work_commit *commit);
enum rr_err rr_work_commit_decode(struct rr_work_commit *out, struct rr_slice bytes,
                                  struct rr_fault *fault) RR_MUST_USE;
void rr_work_commit_sign(struct rr_work_commit *commit, const struct rr_seckey *key);
bool rr_work_commit_verify(const struct rr_work_commit *commit,
                           const struct rr_pubkey *rig) RR_MUST_USE;
#endif
