/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "serve/serve_text.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

bool serve_text_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

bool serve_text_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static bool alpha(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool one_of(uint8_t c, const char *set)
{
    return c != 0 && strchr(set, c) != NULL;
}

bool serve_text_token(uint8_t c)
{
    return alpha(c) || serve_text_digit(c) || one_of(c, "!#$%&'*+-.^_`|~");
}

bool serve_text_uri(uint8_t c)
{
    return alpha(c) || serve_text_digit(c) || one_of(c, "-._~:/?[]@!$&'()*+,;=%");
}

bool serve_text_host(uint8_t c)
{
    return alpha(c) || serve_text_digit(c) || one_of(c, "-._~:[]!$&'()*+;=%");
}

static uint8_t lower_of(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

bool serve_text_is(struct rr_slice text, const char *lower)
{
    if (text.len != strlen(lower)) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (lower_of(text.ptr[i]) != (uint8_t)lower[i]) {
            return false;
        }
    }
    return true;
}

bool serve_text_number(uint64_t *out, struct rr_slice text, uint64_t max)
{
    uint64_t value = 0;
    if (text.len == 0) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = text.ptr[i] - (unsigned)'0';
        if (digit > 9 || digit > max || value > (max - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

struct rr_slice serve_text_trim(struct rr_slice text)
{
    while (text.len > 0 && serve_text_blank(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && serve_text_blank(text.ptr[text.len - 1])) {
        text.len--;
    }
    return text;
}

bool serve_text_item(struct rr_slice *item, struct rr_slice *list)
{
    while (list->len > 0) {
        size_t len = 0;
        bool quoted = false;
        while (len < list->len && (quoted || list->ptr[len] != ',')) {
            quoted = list->ptr[len] == '"' ? !quoted : quoted;
            len++;
        }
        *item = serve_text_trim(rr_slice_of(list->ptr, len));
        size_t skip = len < list->len ? len + 1 : len;
        list->ptr += skip;
        list->len -= skip;
        if (item->len > 0) {
            return true;
        }
    }
    return false;
}

struct rr_slice serve_text_query(struct rr_slice query, const char *name)
{
    size_t name_len = strlen(name);
    while (query.len > 0) {
        const uint8_t *amp = memchr(query.ptr, '&', query.len);
        size_t len = amp != NULL ? (size_t)(amp - query.ptr) : query.len;
        if (len > name_len && memcmp(query.ptr, name, name_len) == 0 &&
            query.ptr[name_len] == '=') {
            return rr_slice_of(query.ptr + name_len + 1, len - name_len - 1);
        }
        size_t skip = amp != NULL ? len + 1 : len;
        query.ptr += skip;
        query.len -= skip;
    }
    return (struct rr_slice){NULL, 0};
}

/* ---- dates ---------------------------------------------------------------------------- */
static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

void serve_date_text(char text[static SERVE_DATE_BYTES], uint64_t seconds)
{
    struct tm tm;
    const uint64_t last = UINT64_C(253402300799); /* the end of 9999 */
    time_t time = (time_t)(seconds < last ? seconds : last);
    RR_CHECK(gmtime_r(&time, &tm) != NULL);
    char full[80];
    int len = snprintf(full, sizeof(full), "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday],
                       tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                       tm.tm_sec);
    RR_CHECK(len == SERVE_DATE_BYTES - 1);
    memcpy(text, full, SERVE_DATE_BYTES);
}

static bool number_at(int *out, struct rr_slice text, size_t at, size_t len, int max)
{
    uint64_t value;
    if (!serve_text_number(&value, rr_slice_of(text.ptr + at, len), (uint64_t)max)) {
        return false;
    }
    *out = (int)value;
    return true;
}

bool serve_date_parse(uint64_t *seconds, struct rr_slice text)
{
    struct tm tm = {0};
    char again[SERVE_DATE_BYTES];
    int year;
    if (text.len != SERVE_DATE_BYTES - 1 || !number_at(&tm.tm_mday, text, 5, 2, 31) ||
        !number_at(&year, text, 12, 4, 9999) || !number_at(&tm.tm_hour, text, 17, 2, 23) ||
        !number_at(&tm.tm_min, text, 20, 2, 59) || !number_at(&tm.tm_sec, text, 23, 2, 59)) {
        return false;
    }
    tm.tm_mon = -1;
    for (int i = 0; i < 12; i++) {
        tm.tm_mon = memcmp(text.ptr + 8, months[i], 3) == 0 ? i : tm.tm_mon;
    }
    tm.tm_year = year - 1900;
    if (tm.tm_mon < 0 || year < 1970) {
        return false;
    }
    uint64_t value = (uint64_t)timegm(&tm);
    serve_date_text(again,
                    value); /* all else that could be wrong: day names, separators, 31 February */
    if (memcmp(again, text.ptr, text.len) != 0) {
        return false;
    }
    *seconds = value;
    return true;
}

/* ---- ranges --------------------------------------------------------------------------- */
/* One of "a-b", "a-", "-n". *empty: well formed, but nothing of it is inside. False: malformed. */
static bool one_range(struct serve_range *out, bool *empty, struct rr_slice item, uint64_t size)
{
    const uint8_t *dash = memchr(item.ptr, '-', item.len);
    if (dash == NULL) {
        return false;
    }
    struct rr_slice from = rr_slice_of(item.ptr, (size_t)(dash - item.ptr));
    struct rr_slice to = rr_slice_of(dash + 1, item.len - from.len - 1);
    uint64_t first = 0;
    uint64_t last = UINT64_MAX;
    if ((from.len > 0 && !serve_text_number(&first, from, UINT64_MAX)) ||
        (to.len > 0 && !serve_text_number(&last, to, UINT64_MAX)) ||
        (from.len == 0 && to.len == 0)) {
        return false;
    }
    if (from.len == 0) {
        *empty = last == 0 || size == 0;
        *out = (struct serve_range){last < size ? size - last : 0, size - 1};
        return true;
    }
    if (first > last) {
        return false;
    }
    *empty = first >= size;
    *out = (struct serve_range){first, last < size ? last : size - 1};
    return true;
}

/* Keeps out[] ascending and apart. */
static void join(struct serve_range out[], unsigned *count, struct serve_range range)
{
    unsigned kept = 0;
    unsigned at = 0;
    for (unsigned i = 0; i < *count; i++) {
        if (out[i].first <= range.last + 1 && range.first <= out[i].last + 1) {
            range.first = out[i].first < range.first ? out[i].first : range.first;
            range.last = out[i].last > range.last ? out[i].last : range.last;
        } else {
            out[kept++] = out[i];
            at = out[i].first < range.first ? kept : at;
        }
    }
    memmove(out + at + 1, out + at, (kept - at) * sizeof(out[0]));
    out[at] = range;
    *count = kept + 1;
}

enum serve_range_result serve_range_parse(struct serve_range out[static SERVE_RANGES_MAX],
                                          unsigned *count, struct rr_slice text, uint64_t size)
{
    struct serve_range found[SERVE_RANGES_MAX + 1];
    struct rr_slice item;
    unsigned asked = 0;
    *count = 0;
    if (text.len < 6 || !serve_text_is(rr_slice_of(text.ptr, 6), "bytes=")) {
        return SERVE_RANGE_NONE;
    }
    text.ptr += 6;
    text.len -= 6;
    while (serve_text_item(&item, &text)) {
        bool empty = false;
        struct serve_range range;
        if (++asked > SERVE_RANGES_MAX || !one_range(&range, &empty, item, size)) {
            *count = 0;
            return SERVE_RANGE_NONE;
        }
        if (!empty) {
            join(found, count, range);
        }
    }
    memcpy(out, found, *count * sizeof(out[0]));
    if (*count == 0) {
        return asked == 0 ? SERVE_RANGE_NONE : SERVE_RANGE_OUTSIDE;
    }
    return *count == 1 ? SERVE_RANGE_ONE : SERVE_RANGE_MANY;
}

bool serve_etag_listed(struct rr_slice list, struct rr_slice tag)
{
    struct rr_slice item;
    if (serve_text_is(serve_text_trim(list), "*")) {
        return true;
    }
    while (serve_text_item(&item, &list)) {
        if (item.len > 2 && item.ptr[0] == 'W' && item.ptr[1] == '/') {
            item.ptr += 2;
            item.len -= 2;
        }
        if (rr_slice_equal(item, tag)) {
            return true;
        }
    }
    return false;
}
