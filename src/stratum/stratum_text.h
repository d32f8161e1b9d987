/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to stratum: lines, JSON members and numbers as miners write them. No I/O, no state. */
#ifndef RR_STRATUM_TEXT_H
#define RR_STRATUM_TEXT_H
#include "base/base.h"

#include <jansson.h>

/* The longest line of any dialect is a quarter of a KiB; ours: room for agents and names. */
#define STRATUM_LINE_MAX 16384
/* The id of a request as it goes back, JSON text: miners use numbers, some use strings. */
#define STRATUM_ID_BYTES 72
/* Names of workers, agents, users, passwords. */
#define STRATUM_NAME_BYTES 97

enum stratum_dialect {
    STRATUM_UNKNOWN = 0,
    STRATUM_CLASSIC, /* eth_submitLogin, eth_getWork, eth_submitWork; work is pushed as well */
    STRATUM_PLAIN,   /* mining.subscribe without a version: whole nonce, header and mix */
    STRATUM_V1,      /* EthereumStratum/1.0.0 of NiceHash */
    STRATUM_V2       /* EthereumStratum/2.0.0, EIP-1571 */
};
const char *stratum_dialect_text(enum stratum_dialect dialect);

/* Collects bytes and gives whole lines. */
struct stratum_lines {
    struct rr_buf bytes;
    size_t at;     /* of the first byte not given yet */
    bool overlong; /* a line beyond STRATUM_LINE_MAX came: nothing more is given */
};
void stratum_lines_clear(struct stratum_lines *lines);
/* Keeps at most one unfinished line; bytes beyond the limit set overlong. Every whole line is taken
 * by stratum_lines_next before the next add. */
void stratum_lines_add(struct stratum_lines *lines, struct rr_slice bytes);
/* The next whole line without LF and CR, borrowed until the next add; false: none. */
bool stratum_lines_next(struct stratum_lines *lines, struct rr_slice *line);

/* Appends one line to what goes out. It holds no LF and is shorter than 1 KiB: our own words, and
 * names of at most STRATUM_NAME_BYTES. */
void stratum_say(struct rr_buf *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The object on a line, or NULL. Owned by the caller (json_decref). */
json_t *stratum_parse(struct rr_slice line);
/* Text of an id (integer, short string or null); false for other kinds. */
bool stratum_id_text(char out[static STRATUM_ID_BYTES], const json_t *id);
/* Element or NULL. */
const char *stratum_param_text(const json_t *params, size_t index);

/* 1 to 16 hex digits with or without 0x. */
bool stratum_read_u64(uint64_t *out, const char *text);
/* 64 hex digits with or without 0x. */
bool stratum_read_hash(uint8_t out[static 32], const char *text);
/* 1 to 64 hex digits with or without 0x: a boundary, some pools leave zeros out. */
bool stratum_read_u256(struct rr_u256 *out, const char *text);
/* Printable ASCII without blank, quote and backslash, 1 to STRATUM_NAME_BYTES - 1 long. */
bool stratum_read_name(char out[static STRATUM_NAME_BYTES], const char *text);

/* NiceHash's difficulty: 1 stands for the boundary 0xffff * 2^208, 2^48 / 0xffff hashes. */
double stratum_v1_of_hashes(uint64_t hashes);
/* Its boundary, at most 2^256 - 1; false unless difficulty is finite and > 0. */
bool stratum_v1_boundary(struct rr_u256 *out, double difficulty);
/* Hashes expected for a result at most boundary; saturated; at least 1. */
uint64_t stratum_hashes_of(struct rr_u256 boundary);
/* 64 lower-case digits and NUL. */
void stratum_boundary_text(char out[static 65], struct rr_u256 boundary);
#endif
