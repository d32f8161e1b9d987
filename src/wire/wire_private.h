/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Field codecs that the formats share. */
#ifndef RR_WIRE_PRIVATE_H
#define RR_WIRE_PRIVATE_H
#include "wire/wire.h"

#define WIRE_VERSION        1
#define WIRE_VERSION_TRACKS 2 /* manifests with languages, labels, flags or subtitles */

void wire_write_hash(struct rr_buf *out, const struct rr_hash32 *hash);
void wire_read_hash(struct rr_reader *reader, struct rr_hash32 *out);
void wire_write_key(struct rr_buf *out, const struct rr_pubkey *key);
void wire_read_key(struct rr_reader *reader, struct rr_pubkey *out);
void wire_write_signature(struct rr_buf *out, const struct rr_signature *signature);
void wire_read_signature(struct rr_reader *reader, struct rr_signature *out);
void wire_write_coin(struct rr_buf *out, struct rr_coin coin);
/* An amount over the cap fails the reader. */
void wire_read_coin(struct rr_reader *reader, struct rr_coin *out);
/* 32 bytes, big-endian. */
void wire_write_u256(struct rr_buf *out, struct rr_u256 value);
void wire_read_u256(struct rr_reader *reader, struct rr_u256 *out);
/* u8 length, then the bytes without NUL. `valid` looks at the text; false fails the reader. out
 * holds max + 1. */
void wire_write_text(struct rr_buf *out, const char *text, size_t max);
void wire_read_text(struct rr_reader *reader, char *out, size_t max,
                    bool (*valid)(const char *text, size_t len));
bool wire_name_valid(const char *text, size_t len);   /* 1.. of [a-z0-9-] */
bool wire_codecs_valid(const char *text, size_t len); /* 1.. of [A-Za-z0-9.,_-] */
bool wire_title_valid(const char *text,
                      size_t len); /* UTF-8 without control characters; empty is fine */
bool wire_language_valid(const char *text, size_t len); /* of [A-Za-z0-9-]; empty is fine */
/* Writes depth u8 and siblings; reading checks the limits. */
void wire_write_place(struct rr_buf *out, const struct rr_merkle_proof *place);
void wire_read_place(struct rr_reader *reader, struct rr_merkle_proof *out);
/* Reads the version byte; anything but WIRE_VERSION fails the reader. */
void wire_read_version(struct rr_reader *reader);
/* RR_OK when all was read; else RR_ERR_FORMAT naming the format. */
enum rr_err wire_done(const struct rr_reader *reader, const char *format, struct rr_fault *fault);
/* The parts without version and surroundings, shared by formats. */
void wire_write_voucher(struct rr_buf *out, const struct rr_voucher *voucher, bool with_signature);
void wire_read_voucher(struct rr_reader *reader, struct rr_voucher *out);
void wire_write_tx(struct rr_buf *out, const struct rr_tx *tx, bool with_signature);
void wire_read_tx(struct rr_reader *reader, struct rr_tx *out);
void wire_write_header(struct rr_buf *out, const struct rr_header *header, bool with_work);
void wire_read_header(struct rr_reader *reader, struct rr_header *out);
void wire_write_object(struct rr_buf *out, const struct rr_object *object, bool with_id);
void wire_read_object(struct rr_reader *reader, struct rr_object *out);
void wire_write_certificate(struct rr_buf *out, const struct rr_certificate *certificate,
                            bool with_signature);
void wire_read_certificate(struct rr_reader *reader, struct rr_certificate *out);
/* RR_ERR_TRUST when the puzzle's prefix is not that of the contract's id. */
enum rr_err wire_puzzle_fits(const struct rr_puzzle *puzzle, const struct rr_hash32 *contract_id,
                             struct rr_fault *fault) RR_MUST_USE;
void wire_write_work_chain(struct rr_buf *out, const struct rr_work_chain *chain);
void wire_read_work_chain(struct rr_reader *reader, struct rr_work_chain *out);
/* Fails the reader. */
void wire_refuse(struct rr_reader *reader);

/* ---- text of header fields: each takes its part off the front of *text, or leaves false and *text
 * anywhere -------- */
bool wire_take_word(struct rr_slice *text, const char *word);
/* Decimal without leading zeros, at most max. */
bool wire_take_number(struct rr_slice *text, uint64_t *out, uint64_t max);
/* 2 len lower-case hex digits. */
bool wire_take_hex(struct rr_slice *text, uint8_t *out, size_t len);
void wire_write_hex(struct rr_buf *out, const void *bytes, size_t len);
/* RFC 4648, 4, with padding. */
void wire_write_base64(struct rr_buf *out, struct rr_slice bytes);
/* Appends what the whole of text means; false when it is not the one form of any bytes, out then as
 * it was. */
bool wire_read_base64(struct rr_buf *out, struct rr_slice text);
#endif
