/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to serve: the small grammar that header values and targets are made of (RFC 9110, RFC
 * 3986). */
#ifndef RR_SERVE_TEXT_H
#define RR_SERVE_TEXT_H
#include "base/base.h"

bool serve_text_digit(uint8_t c);
bool serve_text_blank(uint8_t c); /* space or tab */
bool serve_text_token(uint8_t c); /* tchar */
bool serve_text_uri(uint8_t c);   /* may stand in a target; '%' too */
bool serve_text_host(uint8_t c);  /* may stand in host:port */
/* Equal without regard to ASCII case; `lower` is lower-case. */
bool serve_text_is(struct rr_slice text, const char *lower);
/* Decimal digits only, at least one, at most max. */
bool serve_text_number(uint64_t *out, struct rr_slice text, uint64_t max) RR_MUST_USE;
/* Without blanks at both ends. */
struct rr_slice serve_text_trim(struct rr_slice text);
/* Takes the next item off a comma-separated list, trimmed; empty ones are skipped. False at the
 * end. Commas inside quotes do not part. */
bool serve_text_item(struct rr_slice *item, struct rr_slice *list);
/* Value of "name=value" in a query; {NULL, 0} when absent. */
struct rr_slice serve_text_query(struct rr_slice query, const char *name);

#define SERVE_DATE_BYTES 30
/* "Sun, 06 Nov 1994 08:49:37 GMT"; seconds since 1970, up to the year 9999. */
void serve_date_text(char text[static SERVE_DATE_BYTES], uint64_t seconds);
/* That form only; the two obsolete ones are not read (a condition with them is ignored). */
bool serve_date_parse(uint64_t *seconds, struct rr_slice text) RR_MUST_USE;

/* ---- ranges and conditions (RFC 9110, 13 and 14) -------------------------------------- */
#define SERVE_RANGES_MAX 16 /* ours: more in one request are answered with the whole */
struct serve_range {
    uint64_t first, last; /* inclusive */
};
enum serve_range_result {
    SERVE_RANGE_NONE,   /* not one that is understood: the whole is the answer */
    SERVE_RANGE_ONE,    /* 206 */
    SERVE_RANGE_MANY,   /* several that do not join to one */
    SERVE_RANGE_OUTSIDE /* 416 */
};
/* Value of Range against a body of `size` bytes. Overlapping and adjoining ranges are joined, out[]
 * ascending; *count of them, 1 for SERVE_RANGE_ONE. */
enum serve_range_result serve_range_parse(struct serve_range out[static SERVE_RANGES_MAX],
                                          unsigned *count, struct rr_slice text, uint64_t size);
/* Whether a list of entity tags holds `tag` (with its quotes), compared weakly, or is "*". */
bool serve_etag_listed(struct rr_slice list, struct rr_slice tag);
#endif
