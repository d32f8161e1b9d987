/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a user says of a ladder beside its rungs: rates, and files. */
#include "transcode/transcode_private.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LADDER_FILE_MAX 65536

/* ---- rates beside the rungs --------------------------------------------------------------------
 */

/* One list into out[]; *out untouched where the text is NULL or empty. "auto" is for the rungs that
 * say nothing themselves: zero there, and not in skip, a bit for each rung. */
static enum rr_err read_rates(uint32_t out[RR_RUNGS_MAX], const char *text, const char *what,
                              unsigned count, unsigned skip, struct rr_fault *fault)
{
    const char *at = text;
    if (text == NULL || text[0] == 0) {
        return RR_OK;
    }
    if (strcmp(text, "auto") == 0) {
        for (unsigned i = 0; i < count; i++) {
            out[i] = out[i] == 0 && (skip >> i & 1) == 0 ? RR_KBPS_AUTO : out[i];
        }
        return RR_OK;
    }
    for (unsigned i = 0; i < count; i++) {
        uint32_t value = 0;
        const char *start = at;
        while (*at >= '0' && *at <= '9' && value <= RR_KBPS_MAX) {
            value = value * 10 + (uint32_t)(*at++ - '0');
        }
        if (at == start || value == 0 || value > RR_KBPS_MAX || *at != (i + 1 < count ? ',' : 0)) {
            return rr_fail(fault, RR_ERR_USAGE,
                           "%s \"%.64s\": \"auto\" or %u number%s of kbit/s, 1 to %u, one for each "
                           "rung, highest first, was expected",
                           what, text, count, count == 1 ? "" : "s", RR_KBPS_MAX);
        }
        out[i] = value;
        at++;
    }
    return RR_OK;
}

enum rr_err rr_ladder_rates(struct rr_ladder *ladder, const char *kbps, const char *max_kbps,
                            struct rr_fault *fault)
{
    struct rr_ladder with = *ladder;
    uint32_t mean[RR_RUNGS_MAX], most[RR_RUNGS_MAX];
    unsigned by_quality = 0;
    bool given = (kbps != NULL && kbps[0] != 0) || (max_kbps != NULL && max_kbps[0] != 0);
    if (!given) {
        return RR_OK;
    }
    if (ladder->automatic) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "ladder \"auto\" chooses its rates itself; name the rungs to give rates");
    }
    if (with.rung_count == 0) {
        transcode_ladder_usual(&with);
    }
    for (unsigned i = 0; i < with.rung_count; i++) {
        mean[i] = with.rates[i].kbps;
        most[i] = with.rates[i].max_kbps;
        by_quality |= with.rates[i].crf != 0 ? 1u << i : 0;
    }
    enum rr_err err = read_rates(mean, kbps, "kbps", with.rung_count, by_quality, fault);
    err = err != RR_OK ? err : read_rates(most, max_kbps, "max-kbps", with.rung_count, 0, fault);
    for (unsigned i = 0; i < with.rung_count && err == RR_OK; i++) {
        if (with.rates[i].crf != 0 && mean[i] != 0) {
            err = rr_fail(fault, RR_ERR_USAGE,
                          "rung %u has crf = %u and a mean rate of %u kbit/s; leave out one of the "
                          "two, or let kbps be \"auto\", which is for rungs without a crf",
                          with.rungs[i], with.rates[i].crf, (unsigned)mean[i]);
        }
        with.rates[i].kbps = mean[i];
        with.rates[i].max_kbps = most[i];
    }
    if (err == RR_OK) {
        *ladder = with;
    }
    return err;
}

/* ---- files -------------------------------------------------------------------------------------
 */

static enum rr_err read_number(const struct rr_config *config, size_t rung, const char *key,
                               uint64_t *out, uint64_t max, struct rr_fault *fault)
{
    char path[48];
    snprintf(path, sizeof path, "rung.%zu.%s", rung, key);
    return rr_config_u64(config, path, out, 1, max, fault);
}

static enum rr_err read_rung(struct rr_ladder *ladder, const struct rr_config *config, size_t at,
                             const char *name, struct rr_fault *fault)
{
    uint64_t side = 0, crf = 0, kbps = 0, most = 0;
    char path[48];
    snprintf(path, sizeof path, "rung.%zu", at);
    unsigned line = rr_config_line(config, path);
    enum rr_err err = read_number(config, at, "side", &side, RR_RUNG_MAX, fault);
    err = err != RR_OK ? err : read_number(config, at, "crf", &crf, 63, fault);
    err = err != RR_OK ? err : read_number(config, at, "kbps", &kbps, RR_KBPS_MAX, fault);
    err = err != RR_OK ? err : read_number(config, at, "max_kbps", &most, RR_KBPS_MAX, fault);
    if (err != RR_OK) {
        return err;
    }
    if (side < RR_RUNG_MIN) {
        return rr_fail(fault, RR_ERR_FORMAT,
                       "%s:%u: a rung with a side of %u; a short side of %d to %d pixels was "
                       "expected",
                       name, line, (unsigned)side, RR_RUNG_MIN, RR_RUNG_MAX);
    }
    if (crf != 0 && kbps != 0) {
        return rr_fail(fault, RR_ERR_FORMAT,
                       "%s:%u: rung %u has crf and kbps; one of the two was expected", name, line,
                       (unsigned)side);
    }
    if (most != 0 && most < kbps) {
        return rr_fail(fault, RR_ERR_FORMAT,
                       "%s:%u: rung %u has kbps = %u above max_kbps = %u; make max_kbps the larger",
                       name, line, (unsigned)side, (unsigned)kbps, (unsigned)most);
    }
    struct rr_rung_rate rate = {
        .crf = (uint16_t)crf, .kbps = (uint32_t)kbps, .max_kbps = (uint32_t)most};
    if (!transcode_ladder_insert(ladder, (uint16_t)side, &rate)) {
        return rr_fail(fault, RR_ERR_FORMAT,
                       "%s:%u: rung %u is there already, or it is one above %d rungs; remove it",
                       name, line, (unsigned)side, RR_RUNGS_MAX);
    }
    return RR_OK;
}

enum rr_err rr_ladder_parse_file(struct rr_ladder *out, struct rr_slice text, const char *name,
                                 struct rr_fault *fault)
{
    struct rr_config *config = NULL;
    struct rr_ladder ladder = {0};
    const char *kbps = NULL, *most = NULL;
    enum rr_err err = rr_config_parse(&config, text, name, fault);
    size_t count = err == RR_OK ? rr_config_count(config, "rung") : 0;
    for (size_t i = 0; i < count && err == RR_OK; i++) {
        err = read_rung(&ladder, config, i, name, fault);
    }
    err = err != RR_OK ? err : rr_config_string(config, "kbps", &kbps, fault);
    err = err != RR_OK ? err : rr_config_string(config, "max_kbps", &most, fault);
    err = err != RR_OK ? err : rr_config_check_unknown(config, fault);
    if (err == RR_OK && count == 0) {
        err = rr_fail(fault, RR_ERR_FORMAT, "%s:1: no [[rung]] with a side = ... in it", name);
    }
    err = err != RR_OK ? err : rr_ladder_rates(&ladder, kbps, most, fault);
    rr_config_free(config);
    if (err == RR_OK) {
        *out = ladder;
    }
    return err;
}

enum rr_err rr_ladder_read(struct rr_ladder *out, const char *words, struct rr_fault *fault)
{
    struct rr_buf text = {0};
    bool rungs = words[0] >= '0' && words[0] <= '9' && strpbrk(words, "./") == NULL;
    if (rungs || words[0] == 0 || strcmp(words, "auto") == 0) {
        return rr_ladder_parse(out, words, fault);
    }
    struct stat facts;
    /* Nobody may ever write into a pipe with a name; one that a shell puts in place is a link. */
    if (lstat(words, &facts) == 0 && !S_ISREG(facts.st_mode) && !S_ISLNK(facts.st_mode)) {
        return rr_fail(fault, RR_ERR_USAGE, "ladder \"%.200s\" is not a regular file; name a file",
                       words);
    }
    enum rr_err err = rr_file_read(&text, words, LADDER_FILE_MAX, fault);
    err = err != RR_OK ? err : rr_ladder_parse_file(out, rr_buf_slice(&text), words, fault);
    rr_buf_clear(&text);
    return err;
}
