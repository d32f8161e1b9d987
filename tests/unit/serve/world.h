/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A real rig without its daemon: store, chain with real Ethash work on a tiny cache, till, server
 * on a free port; a published resource of random bytes; and a client of plain sockets. */
#ifndef RR_TEST_SERVE_WORLD_H
#define RR_TEST_SERVE_WORLD_H
#include "ethash/ethash.h"
#include "serve/serve.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* after its own needs */
#include <cmocka.h>

#define WORLD_CACHE    251
#define WORLD_DATASET  509
#define WORLD_PRICE    1000000u /* 0.01 coins a slice */
#define WORLD_SEGMENTS 5        /* of each of two renditions */
#define WORLD_SLICE    65536u

struct resource {
    struct rr_manifest manifest;
    struct rr_buf init[2], segments[2][WORLD_SEGMENTS];
    char path[128]; /* "/v1/resources/{id}" */
};
struct world {
    char folder[64];
    struct rr_genesis genesis;
    struct rr_ethash_node cache[WORLD_CACHE];
    _Atomic uint64_t now_ms, later_us; /* later: added to the monotonic clock */
    struct rr_clock clock;
    struct rr_seckey *rig, *viewer;
    struct rr_pubkey rig_public, viewer_public;
    struct rr_store *store;
    struct rr_chain *chain;
    struct rr_till *till;
    struct rr_serve_options options;
    struct rr_serve *serve;
    struct resource open, paid;
};

#define world_ok(call)                                                                             \
    do {                                                                                           \
        struct rr_fault fault = {0};                                                               \
        enum rr_err world_err = (call);                                                            \
        if (world_err != RR_OK) {                                                                  \
            fail_msg("%s: %s [%s]", rr_err_text(world_err), fault.text, fault.where);              \
        }                                                                                          \
    } while (0)

static inline struct rr_coin coins(uint64_t units)
{
    struct rr_coin coin = {0};
    assert_true(rr_coin_of_units(&coin, units));
    return coin;
}

static inline uint64_t world_wall(void *ctx)
{
    struct world *world = ctx;
    return atomic_load(&world->now_ms);
}

static inline uint64_t world_monotonic(void *ctx)
{
    struct world *world = ctx;
    return rr_monotonic_us(rr_clock_system()) + atomic_load(&world->later_us);
}

static inline bool world_work(void *ctx, const uint8_t header_hash[32], uint64_t nonce,
                              uint8_t mix[32], uint8_t final_be[32])
{
    struct world *world = ctx;
    rr_ethash_light(mix, final_be, world->cache, WORLD_CACHE, WORLD_DATASET, header_hash, nonce);
    return true;
}

/* ---- chain ---------------------------------------------------------------------------- */
static inline void world_make_genesis(struct world *world)
{
    struct rr_genesis *genesis = &world->genesis;
    world_ok(rr_genesis_parse(genesis, rr_slice_str(rr_genesis_preset("dev")), "dev", &fault));
    genesis->cache_items = WORLD_CACHE;
    genesis->dataset_items = WORLD_DATASET;
    genesis->difficulty = rr_u256_of(1);
    genesis->base_reward = coins(1000 * RR_COIN_UNITS_PER_COIN);
    genesis->pool_blocks_min = 2;
    genesis->pool_blocks_max = 10000;
    genesis->puzzle_blocks = 2;
    genesis->certificate_hashes_per_s = 4;
    genesis->checkpoint_blocks = 4;
    rr_ethash_cache(world->cache, WORLD_CACHE, genesis->ethash_seed);
    atomic_init(&world->now_ms, genesis->time_ms);
}

static inline void world_mine(struct world *world, const struct rr_seckey *miner, int blocks)
{
    for (int i = 0; i < blocks; i++) {
        struct rr_block_template made;
        struct rr_pubkey key;
        uint8_t final_be[32];
        uint64_t nonce = 0;
        rr_seckey_public(miner, &key);
        atomic_fetch_add(&world->now_ms, world->genesis.block_ms);
        world_ok(rr_chain_template(world->chain, &made, &key, NULL, 0, &fault));
        do {
            nonce++;
            assert_true(nonce < 10000);
            world_work(world, made.work_hash, nonce, made.block.header.mix.bytes, final_be);
        } while (!rr_rule_solves(final_be, made.block.header.difficulty));
        made.block.header.nonce = nonce;
        world_ok(rr_chain_append(world->chain, &made.block, &fault));
        rr_block_clear(&made.block);
    }
}

/* ---- resources ------------------------------------------------------------------------ */
static inline void world_put(struct world *world, struct rr_manifest *manifest,
                             struct rr_segment *segment, struct rr_buf *bytes, uint32_t len,
                             struct rr_prng *prng)
{
    bytes->ptr = rr_alloc(len);
    bytes->len = bytes->cap = len;
    rr_prng_bytes(prng, bytes->ptr, len);
    struct rr_object *object = &manifest->objects[manifest->object_count];
    world_ok(rr_store_put(world->store, object, rr_buf_slice(bytes), 4, 2, &fault));
    segment->object = manifest->object_count++;
    segment->offset = 0;
    segment->bytes = len;
    rr_segment_digest(&segment->digest, rr_buf_slice(bytes));
}

static inline void world_describe(struct rr_rendition *rendition, bool video)
{
    rendition->kind = video ? RR_RENDITION_VIDEO : RR_RENDITION_AUDIO;
    snprintf(rendition->name, sizeof(rendition->name), "%s", video ? "720p" : "audio");
    snprintf(rendition->codecs, sizeof(rendition->codecs), "%s",
             video ? "avc1.64001f" : "mp4a.40.2");
    rendition->width = video ? 1280 : 0;
    rendition->height = video ? 720 : 0;
    rendition->sar_num = rendition->sar_den = video ? 1 : 0;
    rendition->fps_num = video ? 24 : 0;
    rendition->fps_den = 1;
    rendition->channels = video ? 0 : 2;
    rendition->sample_rate = video ? 0 : 48000;
    rendition->peak_bps = 3000000;
    rendition->mean_bps = 2000000;
    rendition->timescale = video ? 24000 : 48000;
}

/* Segments of about `bytes` each, all of different length; the very first of `first` bytes. */
static inline void world_publish(struct world *world, struct resource *out, uint64_t price,
                                 uint32_t first, uint32_t bytes, uint64_t seed)
{
    struct rr_manifest *manifest = &out->manifest;
    struct rr_buf original = {0};
    struct rr_segment unused;
    struct rr_prng prng;
    char id[65];
    rr_prng_seed(&prng, seed);
    manifest->chain_id = rr_genesis_chain_id(&world->genesis);
    manifest->created_ms = world->genesis.time_ms + seed * 1000;
    manifest->kind = RR_RESOURCE_VOD;
    manifest->revision = 1;
    snprintf(manifest->title, sizeof(manifest->title), "title %u", (unsigned)seed);
    manifest->slice_price = coins(price);
    manifest->slice_bytes = WORLD_SLICE;
    manifest->objects = rr_alloc_array(3 + 2 * WORLD_SEGMENTS, sizeof(struct rr_object));
    manifest->renditions = rr_alloc_array(2, sizeof(struct rr_rendition));
    manifest->rendition_count = 2;
    world_put(world, manifest, &unused, &original, 5000, &prng);
    for (unsigned r = 0; r < 2; r++) {
        struct rr_rendition *rendition = &manifest->renditions[r];
        world_describe(rendition, r == 0);
        rendition->segments = rr_alloc_array(WORLD_SEGMENTS, sizeof(struct rr_segment));
        rendition->segment_count = WORLD_SEGMENTS;
        world_put(world, manifest, &rendition->init, &out->init[r], 700 + r, &prng);
        for (uint32_t i = 0; i < WORLD_SEGMENTS; i++) {
            struct rr_segment *segment = &rendition->segments[i];
            segment->start = (uint64_t)i * 2 * rendition->timescale;
            segment->duration = 2 * rendition->timescale;
            uint32_t len = r == 0 && i == 0 ? first : bytes + i * 777 + r;
            world_put(world, manifest, segment, &out->segments[r][i], len, &prng);
        }
    }
    rr_buf_clear(&original);
    rr_seckey_public(world->rig, &manifest->owner);
    rr_resource_id(&manifest->resource_id, manifest->chain_id, &manifest->owner,
                   &manifest->objects[0].object_id, manifest->created_ms, manifest->kind);
    rr_manifest_sign(manifest, world->rig);
    world_ok(rr_store_put_manifest(world->store, manifest, &fault));
    rr_hex(id, manifest->resource_id.bytes, 32);
    snprintf(out->path, sizeof(out->path), "/v1/resources/%s", id);
}

static inline void resource_clear(struct resource *resource)
{
    for (unsigned r = 0; r < 2; r++) {
        rr_buf_clear(&resource->init[r]);
        for (unsigned i = 0; i < WORLD_SEGMENTS; i++) {
            rr_buf_clear(&resource->segments[r][i]);
        }
    }
    rr_manifest_clear(&resource->manifest);
}

/* ---- the rig -------------------------------------------------------------------------- */
static inline void world_open_till(struct world *world)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/till", world->folder);
    struct rr_till_options options = {
        .folder = path,
        .chain = world->chain,
        .genesis = &world->genesis,
        .key = world->rig,
        .clock = &world->clock,
        .risk_limit = coins(1000 * (uint64_t)WORLD_PRICE),
        .settle_amount = coins(500 * (uint64_t)WORLD_PRICE),
        .settle_age_ms = 60000,
        .margin_blocks = 3,
        .commit_ms = 2,
    };
    world_ok(rr_till_open(&world->till, &options, &fault));
    rr_till_set_work(world->till, world_work, world);
}

static inline void world_open_parts(struct world *world)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/chain", world->folder);
    struct rr_chain_options chain = {.folder = path,
                                     .genesis = &world->genesis,
                                     .clock = &world->clock,
                                     .work = world_work,
                                     .work_ctx = world};
    world_ok(rr_chain_open(&world->chain, &chain, &fault));
    snprintf(path, sizeof(path), "%s/store", world->folder);
    struct rr_store_options store = {.folder = path};
    world_ok(rr_store_open(&world->store, &store, &fault));
    world_open_till(world);
}

static inline void world_start(struct world *world)
{
    world->options.store = world->store;
    world->options.chain = world->chain;
    world->options.till = world->till;
    world_ok(rr_serve_start(&world->serve, &world->options, &fault));
}

/* segment_bytes: about the length of all segments, but first_bytes of the first one. */
static inline struct world *world_new(unsigned threads, uint32_t first_bytes,
                                      uint32_t segment_bytes)
{
    struct world *world = rr_alloc(sizeof(*world));
    uint8_t bytes[32] = {7};
    rr_crypto_init();
    rr_log_set_level(RR_LOG_ERROR);
    const char *base = getenv("TMPDIR");
    int wrote = snprintf(world->folder, sizeof(world->folder), "%s/rr-serve-XXXXXX",
                         base != NULL && strlen(base) < 40 ? base : "/tmp");
    assert_true(wrote > 0 && (size_t)wrote < sizeof(world->folder));
    assert_non_null(mkdtemp(world->folder));
    world_make_genesis(world);
    world->clock = (struct rr_clock){world_wall, world_monotonic, world};
    world->rig = rr_seckey_from_bytes(bytes);
    bytes[0] = 11;
    world->viewer = rr_seckey_from_bytes(bytes);
    rr_seckey_public(world->rig, &world->rig_public);
    rr_seckey_public(world->viewer, &world->viewer_public);
    world_open_parts(world);
    world_mine(world, world->viewer, 2);
    world_publish(world, &world->open, 0, first_bytes, segment_bytes, 1);
    world_publish(world, &world->paid, WORLD_PRICE, segment_bytes, segment_bytes, 2);
    world->options = (struct rr_serve_options){
        .address = "127.0.0.1",
        .threads = threads,
        .cache_bytes = 64u << 20,
        .connections_max = 5000,
        .genesis = &world->genesis,
        .key = world->rig_public,
        .margin_blocks = 3,
        .clock = &world->clock,
    };
    world_start(world);
    return world;
}

static inline void world_free(struct world *world)
{
    struct rr_fault fault = {0};
    rr_serve_stop(world->serve, 1000);
    rr_till_close(world->till);
    rr_store_close(world->store);
    rr_chain_close(world->chain);
    rr_seckey_free(world->rig);
    rr_seckey_free(world->viewer);
    resource_clear(&world->open);
    resource_clear(&world->paid);
    assert_int_equal(rr_remove_tree(world->folder, &fault), RR_OK);
    rr_free(world);
}

static inline struct rr_serve_stats world_stats(struct world *world)
{
    struct rr_serve_stats stats;
    rr_serve_stats(world->serve, &stats);
    return stats;
}

/* What is sent is counted a moment after the client may have it: until `member` is `count`. */
#define world_counted(world, member, count)                                                        \
    do {                                                                                           \
        for (int try_ = 0; try_ < 400 && world_stats(world).member < (count); try_++) {            \
            usleep(5000);                                                                          \
        }                                                                                          \
        assert_int_equal(world_stats(world).member, count);                                        \
    } while (0)

/* ---- client --------------------------------------------------------------------------- */
#define CLIENT_WAIT_MS 20000
struct client {
    int fd;
    struct rr_buf in; /* received, not taken */
};
struct answer {
    unsigned status;
    struct rr_buf head, body; /* head with a NUL */
};

static inline struct client client_open(uint16_t port)
{
    struct client client = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(client.fd >= 0);
    assert_int_equal(connect(client.fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return client;
}

static inline void client_close(struct client *client)
{
    close(client->fd);
    rr_buf_clear(&client->in);
}

static inline void client_write(struct client *client, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    while (len > 0) {
        ssize_t n = send(client->fd, at, len, MSG_NOSIGNAL);
        assert_true(n > 0);
        at += n;
        len -= (size_t)n;
    }
}

static inline void client_text(struct client *client, const char *text)
{
    client_write(client, text, strlen(text));
}

/* False: nothing within the time, or the end. *ended then tells which; a reset is an end. */
static inline bool client_more(struct client *client, int wait_ms, bool *ended)
{
    uint8_t bytes[65536];
    struct pollfd one = {client->fd, POLLIN, 0};
    *ended = false;
    if (poll(&one, 1, wait_ms) == 0) {
        return false;
    }
    ssize_t n = recv(client->fd, bytes, sizeof(bytes), 0);
    if (n <= 0) {
        *ended = true;
        return false;
    }
    rr_buf_append(&client->in, bytes, (size_t)n);
    return true;
}

static inline bool client_ends(struct client *client, int wait_ms)
{
    bool ended = false;
    while (client_more(client, wait_ms, &ended)) {
    }
    return ended;
}

static inline void answer_clear(struct answer *answer)
{
    rr_buf_clear(&answer->head);
    rr_buf_clear(&answer->body);
}

/* Value of a header, NULL when absent; good until the next call. */
static inline const char *answer_field(const struct answer *answer, const char *name)
{
    static _Thread_local char value[512];
    const char *at = (const char *)answer->head.ptr;
    size_t len = strlen(name);
    while ((at = strstr(at, "\r\n")) != NULL) {
        at += 2;
        if (strncmp(at, name, len) == 0 && at[len] == ':' && at[len + 1] == ' ') {
            const char *end = strstr(at, "\r\n");
            snprintf(value, sizeof(value), "%.*s", (int)(end - at - (long)len - 2), at + len + 2);
            return value;
        }
    }
    return NULL;
}

#define assert_field(answer, name, expected)                                                       \
    do {                                                                                           \
        const char *found_ = answer_field(answer, name);                                           \
        assert_non_null(found_);                                                                   \
        assert_string_equal(found_, expected);                                                     \
    } while (0)

/* One reply; head_only: of a HEAD request. Cleared first. */
static inline void client_read(struct client *client, struct answer *out, bool head_only)
{
    bool ended;
    const uint8_t *end;
    answer_clear(out);
    while ((end = client->in.len == 0
                      ? NULL
                      : memmem(client->in.ptr, client->in.len, "\r\n\r\n", 4)) == NULL) {
        if (!client_more(client, CLIENT_WAIT_MS, &ended)) {
            fail_msg("no reply (%s)", ended ? "closed" : "silence");
        }
    }
    size_t head = (size_t)(end - client->in.ptr) + 4;
    rr_buf_append(&out->head, client->in.ptr, head);
    rr_buf_append(&out->head, "", 1);
    assert_memory_equal(out->head.ptr, "HTTP/1.1 ", 9);
    out->status = (unsigned)strtoul((const char *)out->head.ptr + 9, NULL, 10);
    const char *length = answer_field(out, "Content-Length");
    size_t len = length == NULL || head_only ? 0 : strtoul(length, NULL, 10);
    assert_true(length != NULL || out->status == 304 || out->status == 204 || out->status == 100);
    while (client->in.len < head + len) {
        if (!client_more(client, CLIENT_WAIT_MS, &ended)) {
            fail_msg("%zu of %zu body bytes (%s)", client->in.len - head, len,
                     ended ? "closed" : "silence");
        }
    }
    rr_buf_append(&out->body, client->in.ptr + head, len);
    memmove(client->in.ptr, client->in.ptr + head + len, client->in.len - head - len);
    client->in.len -= head + len;
}

/* method, path after prefix, extra header lines ("A: b\r\n"). */
static inline void client_ask(struct client *client, struct answer *out, const char *method,
                              const char *prefix, const char *path, const char *fields)
{
    struct rr_buf text = {0};
    rr_buf_format(&text, "%s %s%s HTTP/1.1\r\nHost: rig\r\n%s\r\n", method, prefix, path, fields);
    client_write(client, text.ptr, text.len);
    rr_buf_clear(&text);
    client_read(client, out, strcmp(method, "HEAD") == 0);
}

static inline void client_post(struct client *client, struct answer *out, const char *path,
                               const struct rr_buf *body)
{
    struct rr_buf text = {0};
    rr_buf_format(&text, "POST %s HTTP/1.1\r\nHost: rig\r\nContent-Length: %zu\r\n\r\n", path,
                  body->len);
    rr_buf_append(&text, body->ptr, body->len);
    client_write(client, text.ptr, text.len);
    rr_buf_clear(&text);
    client_read(client, out, false);
}

/* One request on a connection of its own. */
static inline void ask(struct world *world, struct answer *out, const char *method,
                       const char *prefix, const char *path, const char *fields)
{
    struct client client = client_open(rr_serve_port(world->serve));
    client_ask(&client, out, method, prefix, path, fields);
    client_close(&client);
}

static inline void assert_body(const struct answer *answer, const void *bytes, size_t len)
{
    assert_int_equal(answer->body.len, len);
    assert_memory_equal(answer->body.ptr, bytes, len);
}

/* The body has `text` somewhere. */
static inline void assert_holds(const struct answer *answer, const char *text)
{
    if (answer->body.len == 0 ||
        memmem(answer->body.ptr, answer->body.len, text, strlen(text)) == NULL) {
        fail_msg("no '%s' in '%.*s'", text, (int)answer->body.len, (char *)answer->body.ptr);
    }
}
#endif
