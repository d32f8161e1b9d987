/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reelrig puzzle: engagement puzzles of segments and their claims. */
#include "cli/cli_puzzler.h"
#include "cli/cli_viewer.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#define FILE_BYTES_MAX    (1u << 30)
#define GENESIS_BYTES_MAX (1u << 16)
#define CLAIMS_MAX        RR_PROOF_CLAIMS_MAX
#define SECONDS_MAX       86400

struct words {
    const char *url, *manifest, *wallet, *genesis, *segment, *seconds, *share, *data;
    bool json, claims;
    const char *rest[CLAIMS_MAX + 1];
    size_t count;
};

/* What claims are judged by. */
struct context {
    struct cli_http *http;
    struct rr_genesis genesis;
    uint32_t chain_id;
    struct rr_manifest manifest;
    bool has_manifest;
    char folder[RR_PATH_BYTES]; /* of the wallet */
};

/* ---- over HTTP ------------------------------------------------------------------------------- */

static enum rr_err get(struct cli_http *http, struct rr_buf *out, const char *what, const char *url,
                       struct rr_fault *fault)
{
    struct cli_response response = {0};
    struct cli_request request = {.url = url};
    enum rr_err err = cli_http_send(http, &response, &request, fault);
    err = err != RR_OK ? err : cli_response_check(&response, what, fault);
    if (err == RR_OK) {
        rr_buf_append(out, response.body.ptr, response.body.len);
    }
    cli_response_clear(&response);
    return err;
}

/* "http://HOST:PORT" and "http://HOST:PORT/v1/resources/ID" of any address below a resource. */
static enum rr_err split_url(const char *url, char base[static 512], char resource[static 1024],
                             struct rr_fault *fault)
{
    static const char marker[] = "/v1/resources/";
    const char *at = strstr(url, marker);
    struct rr_hash32 id;
    size_t len = at != NULL ? (size_t)(at - url) : 0;
    if (at == NULL || len >= 512 || strlen(at + sizeof marker - 1) < 64 ||
        !rr_unhex_slice(id.bytes, 32, rr_slice_of(at + sizeof marker - 1, 64))) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "'%s' names no resource; http://HOST:PORT/v1/resources/ID was expected",
                       url);
    }
    memcpy(base, url, len);
    base[len] = '\0';
    memcpy(resource, url, len + sizeof marker - 1 + 64);
    resource[len + sizeof marker - 1 + 64] = '\0';
    return RR_OK;
}

static enum rr_err get_manifest(struct cli_http *http, struct rr_manifest *out,
                                const char *resource, struct rr_fault *fault)
{
    char url[1100];
    struct rr_buf bytes = {0};
    snprintf(url, sizeof url, "%s/manifest", resource);
    enum rr_err err = get(http, &bytes, "the manifest", url, fault);
    err = err != RR_OK ? err : rr_manifest_decode(out, rr_buf_slice(&bytes), fault);
    rr_buf_clear(&bytes);
    return err;
}

/* ---- context --------------------------------------------------------------------------------- */

static enum rr_err read_manifest(struct context *context, const struct words *words,
                                 const char *resource, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    if (words->manifest != NULL) {
        struct rr_buf bytes = {0};
        err = rr_file_read(&bytes, words->manifest, RR_MANIFEST_BYTES_MAX, fault);
        err = err != RR_OK ? err
                           : rr_manifest_decode(&context->manifest, rr_buf_slice(&bytes), fault);
        rr_buf_clear(&bytes);
    } else if (words->url != NULL) {
        err = get_manifest(context->http, &context->manifest, resource, fault);
    } else {
        return RR_OK;
    }
    context->has_manifest = err == RR_OK;
    if (err == RR_OK && !rr_manifest_verify(&context->manifest)) {
        err = rr_fail(fault, RR_ERR_TRUST, "the manifest is not signed by its owner");
    }
    return err;
}

/* --genesis, else what the wallet was pinned to, else what the rig says. */
static enum rr_err read_genesis(struct context *context, const struct words *words,
                                const char *base, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    struct rr_buf bytes = {0};
    const char *preset = words->genesis != NULL ? rr_genesis_preset(words->genesis) : NULL;
    if (preset != NULL) {
        return rr_genesis_parse(&context->genesis, rr_slice_str(preset), words->genesis, fault);
    }
    if (words->genesis != NULL) {
        enum rr_err err = rr_file_read(&bytes, words->genesis, GENESIS_BYTES_MAX, fault);
        err = err != RR_OK ? err
                           : rr_genesis_parse(&context->genesis, rr_buf_slice(&bytes),
                                              words->genesis, fault);
        rr_buf_clear(&bytes);
        return err;
    }
    enum rr_err err = rr_path(path, fault, "%s/genesis", context->folder);
    err = err != RR_OK ? err : rr_file_read(&bytes, path, GENESIS_BYTES_MAX, fault);
    if (err == RR_ERR_NOTFOUND && words->url != NULL) {
        char url[600];
        snprintf(url, sizeof url, "%s/v1/ledger/genesis", base);
        err = get(context->http, &bytes, "the network's genesis", url, fault);
    } else if (err == RR_ERR_NOTFOUND) {
        err = rr_fail(fault, RR_ERR_USAGE,
                      "which network? %s has watched nothing yet; name the network with --genesis "
                      "dev, test, main or a file, or a rig with --url",
                      context->folder);
    }
    err = err != RR_OK ? err : rr_genesis_decode(&context->genesis, rr_buf_slice(&bytes), fault);
    rr_buf_clear(&bytes);
    return err;
}

static enum rr_err open_context(struct context *context, const struct words *words,
                                struct rr_fault *fault)
{
    char base[512] = "", resource[1024] = "";
    enum rr_err err = cli_viewer_folder(context->folder, words->wallet, fault);
    if (err == RR_OK && words->url != NULL) {
        err = split_url(words->url, base, resource, fault);
    }
    context->http = cli_http_new();
    if (err != RR_OK || (err = read_manifest(context, words, resource, fault)) != RR_OK ||
        (err = read_genesis(context, words, base, fault)) != RR_OK) {
        return err;
    }
    context->chain_id = rr_genesis_chain_id(&context->genesis);
    if (context->has_manifest && context->manifest.chain_id != context->chain_id) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the manifest is of chain %08x, the network is %s, chain %08x",
                       context->manifest.chain_id, context->genesis.name, context->chain_id);
    }
    return RR_OK;
}

static void close_context(struct context *context)
{
    rr_manifest_clear(&context->manifest);
    cli_http_free(context->http);
}

static struct rr_hash_params params_of(const struct rr_genesis *genesis)
{
    struct rr_hash_params params = {.cache_items = genesis->cache_items,
                                    .dataset_items = genesis->dataset_items};
    memcpy(params.seed, genesis->ethash_seed, sizeof params.seed);
    return params;
}

/* ---- list ------------------------------------------------------------------------------------ */

static void print_puzzle(const json_t *json)
{
    cli_print("  %-6s prize %s coins, difficulty %s, contract %s\n", cli_text(json, "kind"),
              cli_text(json, "prize"), cli_text(json, "difficulty"), cli_text(json, "contract"));
}

static enum rr_err list_segment(json_t **out, struct rr_slice file, struct rr_fault *fault)
{
    struct rr_puzzle_scan scan;
    struct rr_hash32 digest;
    char text[65];
    enum rr_err err = rr_puzzle_scan(&scan, file, fault);
    if (err != RR_OK) {
        return err;
    }
    json_t *list = json_array();
    rr_puzzle_segment_digest(&digest, &scan);
    rr_hex(text, digest.bytes, 32);
    for (uint32_t i = 0; i < scan.count; i++) {
        const struct rr_puzzle_box *box = &scan.boxes[i];
        json_t *puzzle = cli_puzzle_json(&box->puzzle, &box->contract_id);
        bool own = memcmp(box->puzzle.segment, digest.bytes, sizeof box->puzzle.segment) == 0;
        json_object_set_new(puzzle, "segment", json_integer(box->id / RR_PUZZLES_A_SEGMENT));
        json_object_set_new(puzzle, "own", json_boolean(own));
        json_array_append_new(list, puzzle);
    }
    *out = json_pack("{s:s, s:I, s:o}", "segment_digest", text, "unknown", (json_int_t)scan.unknown,
                     "puzzles", list);
    return RR_OK;
}

/* Tags of one playlist. */
static void list_playlist(json_t *list, const char *rendition, struct rr_slice text)
{
    json_int_t segment = 0;
    while (text.len > 0) {
        const uint8_t *end = memchr(text.ptr, '\n', text.len);
        size_t len = end != NULL ? (size_t)(end - text.ptr) : text.len;
        struct rr_slice line = rr_slice_of(text.ptr, len);
        struct rr_hash32 contract;
        struct rr_puzzle puzzle;
        if (rr_puzzle_tag_parse(&contract, &puzzle, line, NULL) == RR_OK) {
            json_t *json = cli_puzzle_json(&puzzle, &contract);
            json_object_set_new(json, "rendition", json_string(rendition));
            json_object_set_new(json, "segment", json_integer(segment));
            json_array_append_new(list, json);
        }
        segment += len > 0 && line.ptr[0] != '#';
        len += end != NULL;
        text = rr_slice_of(text.ptr + len, text.len - len);
    }
}

static enum rr_err list_resource(struct cli_http *http, json_t **out, const char *url,
                                 struct rr_fault *fault)
{
    char base[512], resource[1024], playlist[1200];
    struct rr_manifest manifest = {0};
    enum rr_err err = split_url(url, base, resource, fault);
    err = err != RR_OK ? err : get_manifest(http, &manifest, resource, fault);
    json_t *list = json_array();
    for (uint32_t i = 0; i < manifest.rendition_count && err == RR_OK; i++) {
        struct rr_buf text = {0};
        snprintf(playlist, sizeof playlist, "%s/hls/%s/index.m3u8", resource,
                 manifest.renditions[i].name);
        err = get(http, &text, "a playlist", playlist, fault);
        if (err == RR_OK) {
            list_playlist(list, manifest.renditions[i].name, rr_buf_slice(&text));
        }
        rr_buf_clear(&text);
    }
    rr_manifest_clear(&manifest);
    if (err == RR_OK) {
        *out = json_pack("{s:o}", "puzzles", list);
    } else {
        json_decref(list);
    }
    return err;
}

static enum rr_err list_claims(json_t **out, const struct words *words, struct rr_fault *fault)
{
    char folder[RR_PATH_BYTES], path[RR_PATH_BYTES];
    enum rr_err err = cli_viewer_folder(folder, words->wallet, fault);
    err = err != RR_OK ? err : rr_path(path, fault, "%s/puzzle-claims", folder);
    if (err != RR_OK) {
        return err;
    }
    json_t *list = json_array();
    DIR *entries = opendir(path);
    struct dirent *entry;
    while (entries != NULL && (entry = readdir(entries)) != NULL && err == RR_OK) {
        struct rr_puzzle_claim claim;
        if (strlen(entry->d_name) != 64) {
            continue; /* . and .., and what a kill left behind */
        }
        err = rr_path(path, fault, "%s/puzzle-claims/%s", folder, entry->d_name);
        err = err != RR_OK ? err : cli_claim_read(&claim, path, fault);
        if (err == RR_OK) {
            json_t *json = cli_claim_json(&claim);
            json_object_set_new(json, "file", json_string(path));
            json_array_append_new(list, json);
            if (!words->json) {
                cli_claim_print(&claim);
            }
        }
    }
    if (entries != NULL) {
        closedir(entries);
    }
    if (err == RR_OK) {
        *out = json_pack("{s:o}", "claims", list);
    } else {
        json_decref(list);
    }
    return err;
}

/* Those that a rig has taken. */
static enum rr_err list_taken(json_t **out, const struct words *words, struct rr_fault *fault)
{
    struct cli_rig rig = {0};
    enum rr_err err = cli_rig_open(&rig, words->data, fault);
    if (err == RR_OK) {
        err = cli_rig_call(&rig, out, "puzzle-claims", NULL, fault);
        cli_rig_close(&rig);
    }
    const json_t *claim;
    size_t i;
    json_array_foreach(err == RR_OK ? json_object_get(*out, "claims") : NULL, i, claim)
    {
        if (!words->json) {
            cli_print("  %s  rendition %llu segment %llu, %s, prize %s coins, viewer %s\n",
                      cli_text(claim, "puzzle"), (unsigned long long)cli_number(claim, "rendition"),
                      (unsigned long long)cli_number(claim, "segment"), cli_text(claim, "kind"),
                      cli_text(claim, "prize"), cli_text(claim, "viewer"));
        }
    }
    return err;
}

static bool is_url(const char *text)
{
    return strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0;
}

static enum rr_err list_puzzles(json_t **out, const char *from, struct rr_fault *fault)
{
    size_t len = strlen(from);
    struct rr_buf bytes = {0};
    bool segment = len > 4 && strcmp(from + len - 4, ".m4s") == 0;
    struct cli_http *http = cli_http_new();
    enum rr_err err;
    if (is_url(from) && !segment) {
        err = list_resource(http, out, from, fault);
    } else {
        err = is_url(from) ? get(http, &bytes, "the segment", from, fault)
                           : rr_file_read(&bytes, from, FILE_BYTES_MAX, fault);
        err = err != RR_OK ? err : list_segment(out, rr_buf_slice(&bytes), fault);
    }
    cli_http_free(http);
    rr_buf_clear(&bytes);
    return err;
}

static int list(const struct words *words)
{
    struct rr_fault fault = {0};
    json_t *json = NULL;
    enum rr_err err = !words->claims        ? list_puzzles(&json, words->rest[1], &fault)
                      : words->data != NULL ? list_taken(&json, words, &fault)
                                            : list_claims(&json, words, &fault);
    if (err != RR_OK) {
        return cli_fail(err, &fault, words->json);
    }
    if (words->json) {
        cli_print_json(json);
    } else {
        const json_t *puzzle;
        size_t i;
        json_array_foreach(json_object_get(json, "puzzles"), i, puzzle)
        {
            cli_print("%s%ssegment %llu", cli_text(puzzle, "rendition"),
                      cli_text(puzzle, "rendition")[0] != '\0' ? " " : "",
                      (unsigned long long)cli_number(puzzle, "segment"));
            print_puzzle(puzzle);
        }
    }
    json_decref(json);
    return 0;
}

/* ---- solve ----------------------------------------------------------------------------------- */

/* Where the file stands in the manifest. */
static enum rr_err find_place(struct rr_proof_place *out, const struct context *context,
                              struct rr_slice file, struct rr_fault *fault)
{
    struct rr_hash32 digest;
    rr_segment_digest(&digest, file);
    for (uint32_t r = 0; r < context->manifest.rendition_count; r++) {
        const struct rr_rendition *rendition = &context->manifest.renditions[r];
        for (uint32_t s = 0; s < rendition->segment_count; s++) {
            if (rr_hash32_equal(&rendition->segments[s].digest, &digest)) {
                *out = (struct rr_proof_place){.chain_id = context->chain_id,
                                               .resource_id = context->manifest.resource_id,
                                               .rendition = (uint16_t)r,
                                               .segment = s};
                return RR_OK;
            }
        }
    }
    return rr_fail(fault, RR_ERR_NOTFOUND, "the file is no segment of this resource");
}

static bool read_number(const char *text, uint32_t least, uint32_t most, uint32_t *out)
{
    uint64_t value = 0;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || value > most) {
            return false;
        }
        value = value * 10 + (uint64_t)(*p - '0');
    }
    *out = (uint32_t)value;
    return text[0] != '\0' && value >= least && value <= most;
}

static enum rr_err run_puzzler(json_t **out, const struct context *context,
                               const struct cli_puzzler_options *options, struct rr_slice file,
                               struct rr_fault *fault)
{
    struct rr_proof_place place;
    struct cli_puzzler *puzzler = NULL;
    enum rr_err err = find_place(&place, context, file, fault);
    if (err == RR_OK && (err = cli_puzzler_start(&puzzler, options, fault)) == RR_OK &&
        (err = cli_puzzler_segment(puzzler, &place, file, fault)) == RR_OK &&
        (err = cli_puzzler_finish(puzzler, fault)) == RR_OK) {
        *out = cli_puzzler_json(puzzler);
    }
    cli_puzzler_free(puzzler);
    return err;
}

static enum rr_err solve(json_t **out, const struct words *words, struct rr_fault *fault)
{
    struct context context = {0};
    struct cli_puzzler_options options = {0};
    struct rr_hash_options hash = {.dataset_bytes_max = 64u << 20};
    struct rr_seckey *key = NULL;
    struct rr_buf file = {0};
    char path[RR_PATH_BYTES];
    if (words->url == NULL && words->manifest == NULL) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "of which resource is the segment? --url URL or --manifest FILE tells");
    }
    if (!read_number(words->seconds, 1, SECONDS_MAX, &options.seconds) ||
        !read_number(words->share, 1, 100, &hash.share_percent)) {
        return rr_fail(fault, RR_ERR_USAGE, "--seconds takes 1 to %d, --share 1 to 100 percent",
                       SECONDS_MAX);
    }
    hash.gpu_share_percent = hash.share_percent;
    enum rr_err err = open_context(&context, words, fault);
    if (err == RR_OK &&
        (err = rr_file_read(&file, words->rest[1], FILE_BYTES_MAX, fault)) == RR_OK &&
        (err = rr_path(path, fault, "%s/viewer.key", context.folder)) == RR_OK &&
        (err = rr_seckey_load(&key, path, fault)) == RR_OK) {
        const struct rr_hash_params params = params_of(&context.genesis);
        struct rr_hash_engine *engine = NULL;
        if ((err = rr_hash_engine_new(&engine, &params, &hash, fault)) == RR_OK) {
            options.engine = engine;
            options.key = key;
            options.wallet = context.folder;
            err = run_puzzler(out, &context, &options, rr_buf_slice(&file), fault);
        }
        rr_hash_engine_free(engine);
    }
    rr_seckey_free(key);
    rr_buf_clear(&file);
    close_context(&context);
    return err;
}

static int print_solved(json_t *json, bool as_json)
{
    bool all = cli_number(json, "unsolved") == 0;
    if (as_json) {
        cli_print_json(json);
    } else {
        const json_t *claim;
        size_t i;
        json_array_foreach(json_object_get(json, "claims"), i, claim)
        {
            cli_print("%s  prize %s coins, nonce %s\n", cli_text(claim, "file"),
                      cli_text(claim, "prize"), cli_text(claim, "nonce"));
        }
        cli_print("%llu of %llu puzzles solved, %llu hashes\n",
                  (unsigned long long)cli_number(json, "solved"),
                  (unsigned long long)cli_number(json, "seen"),
                  (unsigned long long)cli_number(json, "hashes"));
    }
    json_decref(json);
    return all ? 0 : 1;
}

/* ---- check ----------------------------------------------------------------------------------- */

static bool work_many(void *ctx, struct rr_proof_work *works, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t mix[32];
        rr_hash_light_compute(ctx, works[i].header_hash, works[i].nonce, mix, works[i].final_be);
    }
    return true;
}

/* Judges the files in their order, as a ledger would; what cannot be read is refused too. */
static enum rr_err judge(json_t *list, uint32_t *refused, const struct context *context,
                         const struct words *words, struct rr_fault *fault)
{
    const struct rr_hash_params params = params_of(&context->genesis);
    size_t count = words->count - 1, good = 0;
    struct rr_puzzle_claim *claims = rr_alloc_array(count, sizeof *claims);
    struct rr_proof_engagement_item *items = rr_alloc_array(count, sizeof *items);
    struct rr_fault *faults = rr_alloc_array(count, sizeof *faults);
    struct rr_hash_light *light = NULL;
    struct rr_buf file = {0};
    const struct rr_proof_engagement_view view = {
        .chain_id = context->chain_id,
        .manifest = context->has_manifest ? &context->manifest : NULL};
    enum rr_err err = rr_file_read(&file, words->segment, FILE_BYTES_MAX, fault);
    err = err != RR_OK ? err : rr_hash_light_new(&light, &params, fault);
    for (size_t i = 0; i < count && err == RR_OK; i++) {
        if (cli_claim_read(&claims[i], words->rest[i + 1], &faults[i]) == RR_OK) {
            items[good++] =
                (struct rr_proof_engagement_item){.claim = &claims[i], .file = rr_buf_slice(&file)};
        }
    }
    err = err != RR_OK ? err
                       : rr_proof_engagement_check_many(&view, items, (uint32_t)good, work_many,
                                                        light, fault);
    for (size_t i = 0, next = 0; i < count && err == RR_OK; i++) {
        bool read = faults[i].code == RR_OK;
        const struct rr_fault *why = read ? &items[next++].fault : &faults[i];
        json_t *json = read ? cli_claim_json(&claims[i]) : json_object();
        json_object_set_new(json, "file", json_string(words->rest[i + 1]));
        json_object_set_new(json, "ok", json_boolean(why->code == RR_OK));
        json_object_set_new(json, "reason",
                            why->code == RR_OK ? json_null() : json_string(why->text));
        json_array_append_new(list, json);
        *refused += why->code != RR_OK;
    }
    rr_hash_light_free(light);
    rr_buf_clear(&file);
    rr_free(faults);
    rr_free(items);
    rr_free(claims);
    return err;
}

static int check(const struct words *words)
{
    struct context context = {0};
    struct rr_fault fault = {0};
    uint32_t refused = 0;
    json_t *list = json_array();
    enum rr_err err = open_context(&context, words, &fault);
    err = err != RR_OK ? err : judge(list, &refused, &context, words, &fault);
    close_context(&context);
    if (err != RR_OK) {
        json_decref(list);
        return cli_fail(err, &fault, words->json);
    }
    if (words->json) {
        json_t *json = json_pack("{s:b, s:I, s:O}", "ok", refused == 0, "refused",
                                 (json_int_t)refused, "claims", list);
        cli_print_json(json);
        json_decref(json);
    } else {
        const json_t *claim;
        size_t i;
        json_array_foreach(list, i, claim)
        {
            bool ok = json_is_true(json_object_get(claim, "ok"));
            cli_print("%s: %s\n", cli_text(claim, "file"),
                      ok ? "counts" : cli_text(claim, "reason"));
        }
    }
    json_decref(list);
    return refused == 0 ? 0 : 1;
}

/* ---- post ------------------------------------------------------------------------------------ */

static enum rr_err post_files(json_t **out, const struct words *words, struct rr_fault *fault)
{
    char base[512], resource[1024];
    uint32_t count = (uint32_t)words->count - 1;
    struct rr_puzzle_claim *claims = rr_alloc_array(count, sizeof *claims);
    enum rr_err err = split_url(words->url, base, resource, fault);
    for (uint32_t i = 0; i < count && err == RR_OK; i++) {
        err = cli_claim_read(&claims[i], words->rest[i + 1], fault);
    }
    if (err == RR_OK) {
        struct cli_http *http = cli_http_new();
        err = cli_claims_post(http, out, base, claims, count, fault);
        cli_http_free(http);
    }
    rr_free(claims);
    return err;
}

static int post(const struct words *words)
{
    struct rr_fault fault = {0};
    json_t *json = NULL;
    enum rr_err err = post_files(&json, words, &fault);
    if (err != RR_OK) {
        return cli_fail(err, &fault, words->json);
    }
    bool all = cli_number(json, "accepted") == words->count - 1;
    const json_t *reason;
    size_t i;
    json_array_foreach(words->json ? NULL : json_object_get(json, "claims"), i, reason)
    {
        const char *why = json_string_value(reason);
        cli_print("%s: %s\n", words->rest[i + 1], why != NULL ? why : "taken");
    }
    if (words->json) {
        cli_print_json(json);
    }
    json_decref(json);
    return all ? 0 : 1;
}

/* ---- the verb -------------------------------------------------------------------------------- */

int cli_puzzle(int argc, char **argv)
{
    struct words words = {.seconds = "60", .share = "50"};
    const struct cli_option options[] = {
        {"url", &words.url, NULL},         {"manifest", &words.manifest, NULL},
        {"wallet", &words.wallet, NULL},   {"genesis", &words.genesis, NULL},
        {"segment", &words.segment, NULL}, {"seconds", &words.seconds, NULL},
        {"share", &words.share, NULL},     {"json", NULL, &words.json},
        {"claims", NULL, &words.claims},   {"data", &words.data, NULL}};
    if (!cli_options(argc, argv, options, RR_COUNT(options), words.rest, RR_COUNT(words.rest),
                     &words.count) ||
        words.count == 0) {
        return cli_usage(argv[0]);
    }
    if (strcmp(words.rest[0], "list") == 0 && words.count == (words.claims ? 1 : 2)) {
        return list(&words);
    }
    if (strcmp(words.rest[0], "solve") == 0 && words.count == 2) {
        struct rr_fault fault = {0};
        json_t *json = NULL;
        enum rr_err err = solve(&json, &words, &fault);
        return err != RR_OK ? cli_fail(err, &fault, words.json) : print_solved(json, words.json);
    }
    if (strcmp(words.rest[0], "post") == 0 && words.count >= 2 && words.url != NULL) {
        return post(&words);
    }
    if (strcmp(words.rest[0], "check") == 0 && words.count >= 2 && words.segment != NULL) {
        return check(&words);
    }
    return cli_usage(argv[0]);
}
