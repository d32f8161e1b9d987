/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Many at once, damaged shards, a cache that is too small. */
#include "client.h"

#include <fcntl.h>
#include <pthread.h>

#define SEGMENT_BYTES 150000

static int set_up(void **state)
{
    *state = world_new(2, SEGMENT_BYTES, SEGMENT_BYTES);
    return 0;
}

static int tear_down(void **state)
{
    world_free(*state);
    return 0;
}

static void ask_segment(struct client *client, struct resource *resource, unsigned rendition,
                        unsigned segment)
{
    char text[256];
    snprintf(text, sizeof(text), "GET %s/hls/%s/seg_%05u.m4s HTTP/1.1\r\nHost: a\r\n\r\n",
             resource->path, rendition == 0 ? "720p" : "audio", segment);
    client_text(client, text);
}

/* Spoils shards first and second of the object in the folder of the store. */
static void spoil(struct world *world, const struct rr_object *object, uint8_t first, bool remove)
{
    char path[RR_PATH_BYTES];
    uint8_t byte;
    world_ok(rr_store_shard_path(world->store, path, &object->object_id, first, &fault));
    if (remove) {
        assert_int_equal(unlink(path), 0);
        return;
    }
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    off_t at = lseek(fd, 0, SEEK_END) / 3;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void a_thousand_who_miss_at_once_cost_one_read_a_segment(void **state)
{
    struct world *world = *state;
    enum { CLIENTS = 1000 };
    struct client *clients = rr_alloc_array(CLIENTS, sizeof(*clients));
    struct answer answer = {0};
    struct rr_store_stats before;
    struct rr_store_stats after;
    for (unsigned i = 0; i < WORLD_SEGMENTS; i++) { /* so the store counts its reads for us */
        spoil(world, &world->open.manifest.objects[2 + i], 0, true);
    }
    rr_store_stats(world->store, &before);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = client_open(rr_serve_port(world->serve));
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        ask_segment(&clients[i], &world->open, 0, i % WORLD_SEGMENTS);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        const struct rr_buf *segment = &world->open.segments[0][i % WORLD_SEGMENTS];
        client_read(&clients[i], &answer, false);
        assert_int_equal(answer.status, 200);
        assert_body(&answer, segment->ptr, segment->len);
        client_close(&clients[i]);
    }
    rr_store_stats(world->store, &after);
    world_counted(world, segments, CLIENTS);
    struct rr_serve_stats stats = world_stats(world);
    assert_int_equal(stats.cache_misses, WORLD_SEGMENTS);
    assert_int_equal(stats.cache_hits, CLIENTS - WORLD_SEGMENTS);
    assert_int_equal(after.degraded_reads - before.degraded_reads, WORLD_SEGMENTS);
    answer_clear(&answer);
    rr_free(clients);
}

static void two_bad_shards_of_each_segment_change_no_byte(void **state)
{
    struct world *world = *state;
    struct client client = client_open(rr_serve_port(world->serve));
    struct answer answer = {0};
    struct rr_store_stats stats;
    for (uint32_t i = 1; i < world->open.manifest.object_count; i++) {
        spoil(world, &world->open.manifest.objects[i], (uint8_t)(i % 6), false);
        spoil(world, &world->open.manifest.objects[i], (uint8_t)((i + 1 + i % 3) % 6), i % 2 == 0);
    }
    for (unsigned r = 0; r < 2; r++) {
        for (unsigned i = 0; i < WORLD_SEGMENTS; i++) {
            ask_segment(&client, &world->open, r, i);
            client_read(&client, &answer, false);
            assert_int_equal(answer.status, 200);
            assert_body(&answer, world->open.segments[r][i].ptr, world->open.segments[r][i].len);
        }
    }
    assert_true(rr_store_wait_repaired(world->store, 20000));
    rr_store_stats(world->store, &stats);
    assert_true(stats.shards_repaired > 0);
    client_close(&client);
    answer_clear(&answer);
}

static void a_segment_beyond_repair_is_said_to_be_damaged(void **state)
{
    struct world *world = *state;
    struct answer answer = {0};
    for (uint8_t i = 0; i < 3; i++) {
        spoil(world, &world->open.manifest.objects[2], i, false);
    }
    ask(world, &answer, "GET", world->open.path, "/hls/720p/seg_00000.m4s", "");
    assert_int_equal(answer.status, 500);
    assert_holds(&answer, "\"error\":\"damaged\"");
    ask(world, &answer, "GET", world->open.path, "/hls/720p/seg_00000.m4s", ""); /* not kept */
    assert_int_equal(answer.status, 500);
    ask(world, &answer, "GET", world->open.path, "/hls/720p/seg_00001.m4s", "");
    assert_int_equal(answer.status, 200);
    answer_clear(&answer);
}

static void bytes_that_differ_from_the_manifest_are_not_served(void **state)
{
    struct world *world = *state;
    struct rr_manifest *manifest = &world->open.manifest;
    struct answer answer = {0};
    manifest->renditions[0].segments[1].digest.bytes[31] ^= 1;
    manifest->revision++;
    rr_manifest_sign(manifest, world->rig);
    world_ok(rr_store_put_manifest(world->store, manifest, &fault));
    ask(world, &answer, "GET", world->open.path, "/hls/720p/seg_00001.m4s", "");
    assert_int_equal(answer.status, 500);
    assert_holds(&answer, "\"error\":\"damaged\"");
    answer_clear(&answer);
}

static void a_small_cache_still_serves_everything(void **state)
{
    struct world *world = *state;
    struct answer answer = {0};
    rr_serve_stop(world->serve, 1000);
    world->options.cache_bytes = 4 * SEGMENT_BYTES; /* three segments */
    world_start(world);
    struct client client = client_open(rr_serve_port(world->serve));
    for (unsigned round = 0; round < 60; round++) {
        unsigned segment = round % 3 == 0 ? 0 : round % WORLD_SEGMENTS;
        unsigned rendition = round % 3 == 0 ? 0 : round % 2;
        ask_segment(&client, &world->open, rendition, segment);
        client_read(&client, &answer, false);
        assert_body(&answer, world->open.segments[rendition][segment].ptr,
                    world->open.segments[rendition][segment].len);
    }
    struct rr_serve_stats stats = world_stats(world);
    /* The one that is asked for again and again stays. */
    assert_in_range(stats.cache_misses, 10, 45);
    assert_in_range(stats.cache_hits, 15, 50);
    client_close(&client);
    answer_clear(&answer);
}

struct reader {
    struct world *world;
    unsigned seed;
    unsigned wrong;
};

static void *read_at_random(void *ctx)
{
    struct reader *reader = ctx;
    struct world *world = reader->world;
    struct client client = client_open(rr_serve_port(world->serve));
    struct answer answer = {0};
    struct rr_prng prng;
    rr_prng_seed(&prng, reader->seed);
    for (unsigned i = 0; i < 150; i++) {
        unsigned r = (unsigned)rr_prng_below(&prng, 2);
        unsigned s = (unsigned)rr_prng_below(&prng, WORLD_SEGMENTS);
        const struct rr_buf *segment = &world->open.segments[r][s];
        ask_segment(&client, &world->open, r, s);
        if (rr_prng_below(&prng, 10) == 0) { /* goes away while it is being answered */
            client_close(&client);
            client = client_open(rr_serve_port(world->serve));
            continue;
        }
        client_read(&client, &answer, false);
        reader->wrong += answer.status != 200 || answer.body.len != segment->len ||
                         memcmp(answer.body.ptr, segment->ptr, segment->len) != 0;
        if (i % 20 == 0) {
            rr_serve_forget(world->serve, &world->open.manifest.resource_id);
        }
    }
    client_close(&client);
    answer_clear(&answer);
    return NULL;
}

static void readers_that_come_and_go_get_right_bytes_out_of_a_small_cache(void **state)
{
    struct world *world = *state;
    enum { READERS = 8 };
    struct reader readers[READERS];
    pthread_t threads[READERS];
    rr_serve_stop(world->serve, 1000);
    world->options.cache_bytes = 2 * SEGMENT_BYTES;
    world->options.threads = 3;
    world_start(world);
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){world, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, read_at_random, &readers[i]), 0);
    }
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(readers[i].wrong, 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_thousand_who_miss_at_once_cost_one_read_a_segment),
        TEST(two_bad_shards_of_each_segment_change_no_byte),
        TEST(a_segment_beyond_repair_is_said_to_be_damaged),
        TEST(bytes_that_differ_from_the_manifest_are_not_served),
        TEST(a_small_cache_still_serves_everything),
        TEST(readers_that_come_and_go_get_right_bytes_out_of_a_small_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
