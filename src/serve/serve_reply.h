/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to serve: how a reply is put together. All run on the request's thread but the JSON
 * views, which run anywhere. */
#ifndef RR_SERVE_REPLY_H
#define RR_SERVE_REPLY_H
#include "serve/serve_private.h"

/* ---- replies -------------------------------------------------------------------------- */
void serve_reply_begin(struct serve_request *request, uint16_t status);
void serve_reply_field(struct serve_request *request, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Ends the head; takes the blob's reference (NULL: no body). */
void serve_reply_end(struct serve_request *request, struct serve_blob *body, uint64_t first,
                     uint64_t len);
/* A whole reply; bytes are taken. cache: value of Cache-Control. */
void serve_reply_bytes(struct serve_request *request, uint16_t status, const char *type,
                       const char *cache, struct rr_buf *bytes);
/* {"error":code,"message":sentence}. */
void serve_reply_error(struct serve_request *request, uint16_t status, const char *code,
                       const char *message);
/* The same from a fault, with the status that its code has in HTTP. */
void serve_reply_fault(struct serve_request *request, enum rr_err err,
                       const struct rr_fault *fault);
/* What work on the request left in it, not to be kept by anybody: its fault, or its blob. */
void serve_reply_made(struct serve_request *request, uint16_t status, const char *type);
void serve_reply_made_json(struct serve_request *request); /* 200 */
void serve_reply_made_wire(struct serve_request *request);
/* The offer of request->resource: with 402 and the reason when status is that, else plain. */
void serve_reply_offer(struct serve_request *request, uint16_t status, const char *reason);
/* A text with validators: 304, range and HEAD are seen to. Takes the blob's reference. modified_ms
 * 0: no date. */
struct serve_entity {
    const char *type, *cache, *vary; /* vary may be NULL */
    char etag[SERVE_ETAG_BYTES];
    uint64_t modified_ms;
    uint64_t size;
};
void serve_reply_entity(struct serve_request *request, const struct serve_entity *entity,
                        struct serve_blob *blob);
/* Conditions and range of the request against an entity: true when the reply is finished (304,
 * 416), else request->range and request->partial are set. */
bool serve_reply_settled(struct serve_request *request, const struct serve_entity *entity);
/* Status line and fields of 200 or 206 by request->range; serve_reply_end is to follow. */
void serve_reply_entity_begin(struct serve_request *request, const struct serve_entity *entity);

/* ---- JSON views; they append to out --------------------------------------------------- */
void serve_json_manifest(struct rr_buf *out, const struct serve_resource *resource);
/* {"accepted", "claims": null or a reason each}. */
void serve_json_claims(struct rr_buf *out, const struct rr_fault *faults, uint32_t count);
void serve_json_error(struct rr_buf *out, const char *code, const char *message);
/* Blocks: reads what is not at hand. */
enum rr_err serve_json_resources(struct rr_buf *out, struct rr_serve *serve,
                                 struct rr_fault *fault) RR_MUST_USE;
struct serve_number {
    const char *name;
    const char *text; /* NULL: the number is meant */
    uint64_t number;
};
/* One flat object. */
void serve_json_flat(struct rr_buf *out, const struct serve_number *members, size_t count);
#endif
