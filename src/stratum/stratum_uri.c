/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses of mining pools. */
#include "stratum/stratum_client.h"

#include <string.h>

static const struct {
    const char *name;
    enum stratum_dialect dialect;
} schemes[] = {{"stratum", STRATUM_UNKNOWN},
               {"stratum0", STRATUM_PLAIN},
               {"stratum1", STRATUM_CLASSIC},
               {"stratum2", STRATUM_V1},
               {"stratum3", STRATUM_V2}};
static const struct {
    const char *name;
    bool tls;
} transports[] = {{"tcp", false}, {"ssl", true}, {"tls", true}, {"tls12", true}};

static bool same(const char *text, size_t len, const char *word)
{
    return strlen(word) == len && memcmp(text, word, len) == 0;
}

static enum rr_err read_scheme(struct stratum_pool *out, const char *text, size_t len,
                               struct rr_fault *fault)
{
    const char *plus = memchr(text, '+', len);
    size_t name_len = plus != NULL ? (size_t)(plus - text) : len;
    bool known = false, carried = plus == NULL;
    for (size_t i = 0; i < RR_COUNT(schemes); i++) {
        if (same(text, name_len, schemes[i].name)) {
            out->dialect = schemes[i].dialect;
            known = true;
        }
    }
    for (size_t i = 0; plus != NULL && i < RR_COUNT(transports); i++) {
        if (same(plus + 1, len - name_len - 1, transports[i].name)) {
            out->tls = transports[i].tls;
            carried = true;
        }
    }
    return known && carried
               ? RR_OK
               : rr_fail(fault, RR_ERR_USAGE,
                         "'%.*s' is no way to a mining pool; stratum, stratum1, stratum2 or "
                         "stratum3 with +tcp or +ssl was expected",
                         (int)(len < 40 ? len : 40), text);
}

/* %XX becomes its character; the result must be a name. */
static bool unescape(char out[static STRATUM_NAME_BYTES], const char *text, size_t len)
{
    char plain[STRATUM_NAME_BYTES];
    size_t at = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '%') {
            uint8_t byte;
            if (len - i < 3 || !rr_unhex_slice(&byte, 1, rr_slice_of(text + i + 1, 2))) {
                return false;
            }
            c = (char)byte;
            i += 2;
        }
        if (at + 1 >= sizeof plain || c == '\0') {
            return false;
        }
        plain[at++] = c;
    }
    plain[at] = '\0';
    return stratum_read_name(out, plain);
}

static bool read_login(struct stratum_pool *out, const char *text, size_t len)
{
    const char *colon = memchr(text, ':', len);
    size_t user_len = colon != NULL ? (size_t)(colon - text) : len;
    return unescape(out->user, text, user_len) &&
           (colon == NULL || len - user_len == 1 ||
            unescape(out->password, colon + 1, len - user_len - 1));
}

static bool read_host(struct stratum_pool *out, const char *text, size_t len)
{
    const char *colon = NULL;
    bool bracket = len > 0 && text[0] == '[';
    const char *end = bracket ? memchr(text, ']', len) : NULL;
    for (size_t i = end != NULL ? (size_t)(end - text) : 0; i < len; i++) {
        colon = text[i] == ':' ? text + i : colon;
    }
    if (colon == NULL || (bracket && (end == NULL || colon != end + 1))) {
        return false;
    }
    const char *host = bracket ? text + 1 : text;
    size_t host_len = bracket ? (size_t)(end - host) : (size_t)(colon - text);
    if (host_len == 0 || host_len >= sizeof out->host) {
        return false;
    }
    for (size_t i = 0; i < host_len; i++) {
        char c = host[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '.' || c == '_' || (bracket && c == ':');
        if (!fine) {
            return false;
        }
        out->host[i] = c;
    }
    out->host[host_len] = '\0';
    uint32_t port = 0;
    for (const char *c = colon + 1; c < text + len; c++) {
        if (*c < '0' || *c > '9' || port > 65535) {
            return false;
        }
        port = port * 10 + (uint32_t)(*c - '0');
    }
    out->port = (uint16_t)port;
    return port > 0 && port <= 65535;
}

enum rr_err stratum_pool_parse(struct stratum_pool *out, const char *url, struct rr_fault *fault)
{
    struct stratum_pool read = {0};
    const char *rest = strstr(url, "://");
    if (rest == NULL) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "'%.80s' is no address of a mining pool; one as in "
                       "\"stratum+tcp://user:password@host:port\" was expected",
                       url);
    }
    enum rr_err err = read_scheme(&read, url, (size_t)(rest - url), fault);
    if (err != RR_OK) {
        return err;
    }
    rest += 3;
    size_t len = strcspn(rest, "/");
    const char *at = NULL;
    for (size_t i = 0; i < len; i++) {
        at = rest[i] == '@' ? rest + i : at;
    }
    if (at != NULL && !read_login(&read, rest, (size_t)(at - rest))) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "user and password of '%.80s' do not follow their form; printable ASCII of "
                       "up to %d characters was expected, others as %%XX",
                       url, STRATUM_NAME_BYTES - 1);
    }
    const char *host = at != NULL ? at + 1 : rest;
    if (!read_host(&read, host, len - (size_t)(host - rest)) ||
        (rest[len] == '/' && rest[len + 1] != '\0')) {
        return rr_fail(
            fault, RR_ERR_USAGE,
            "'%.80s' names no host and port of a mining pool; \"host:port\" was expected", url);
    }
    *out = read;
    return RR_OK;
}
