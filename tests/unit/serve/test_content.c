/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Free content from a real store, asked as players ask. */
#include "client.h"

#include <fcntl.h>
#include <sys/wait.h>

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

static void playlists_manifest_and_segments_come_as_published(void **state)
{
    struct world *world = *state;
    struct resource *open = &world->open;
    struct answer answer = {0};
    struct rr_manifest manifest;
    struct rr_buf text = {0};
    ask(world, &answer, "GET", open->path, "/manifest", "");
    assert_int_equal(answer.status, 200);
    assert_field(&answer, "Content-Type", "application/octet-stream");
    assert_field(&answer, "Vary", "Accept");
    world_ok(rr_manifest_decode(&manifest, rr_buf_slice(&answer.body), &fault));
    assert_true(rr_manifest_verify(&manifest));
    rr_manifest_clear(&manifest);
    ask(world, &answer, "GET", open->path, "/manifest",
        "Accept: text/html;q=0.5, Application/JSON;q=1\r\n");
    assert_field(&answer, "Content-Type", "application/json");
    assert_holds(&answer, "\"title\":\"title 1\"");
    assert_holds(&answer, "\"duration_ms\":10000");
    assert_holds(&answer, "\"renditions\":[{\"name\":\"720p\"");
    ask(world, &answer, "GET", open->path, "/hls/master.m3u8", "");
    rr_hls_master(&text, &open->manifest);
    assert_field(&answer, "Content-Type", "application/vnd.apple.mpegurl");
    assert_field(&answer, "Cache-Control", "max-age=5");
    assert_body(&answer, text.ptr, text.len);
    text.len = 0;
    for (unsigned i = 0; i < 2; i++) { /* the same files under both names */
        ask(world, &answer, "GET", open->path, i == 0 ? "/dash/manifest.mpd" : "/hls/manifest.mpd",
            "");
        text.len = 0;
        rr_dash_manifest(&text, &open->manifest);
        assert_field(&answer, "Content-Type", "application/dash+xml");
        assert_body(&answer, text.ptr, text.len);
    }
    text.len = 0;
    ask(world, &answer, "GET", open->path, "/dash/audio/index.m3u8", "");
    rr_hls_media(&text, &open->manifest.renditions[1]);
    assert_body(&answer, text.ptr, text.len);
    text.len = 0;
    ask(world, &answer, "GET", open->path, "/hls/audio/index.m3u8", "");
    rr_hls_media(&text, &open->manifest.renditions[1]);
    assert_body(&answer, text.ptr, text.len);
    assert_holds(&answer, "seg_00004.m4s");
    ask(world, &answer, "GET", open->path, "/hls/720p/init.mp4", "");
    assert_field(&answer, "Content-Type", "video/mp4");
    assert_body(&answer, open->init[0].ptr, open->init[0].len);
    for (unsigned i = 0; i < WORLD_SEGMENTS; i++) {
        char path[64];
        snprintf(path, sizeof(path), "/hls/audio/seg_%05u.m4s", i);
        ask(world, &answer, "GET", open->path, path, "");
        assert_int_equal(answer.status, 200);
        assert_field(&answer, "Content-Type", "video/iso.segment");
        assert_field(&answer, "Cache-Control", "public, max-age=31536000, immutable");
        assert_field(&answer, "Access-Control-Allow-Origin", "*");
        assert_field(&answer, "X-Content-Type-Options", "nosniff");
        assert_non_null(answer_field(&answer, "Date"));
        assert_non_null(answer_field(&answer, "Last-Modified"));
        assert_body(&answer, open->segments[1][i].ptr, open->segments[1][i].len);
    }
    rr_buf_clear(&text);
    answer_clear(&answer);
}

static void a_segment_carries_the_puzzle_of_the_last_puzzle_height(void **state)
{
    struct world *world = *state;
    struct answer answer = {0};
    struct rr_puzzle_offer puzzle;
    struct rr_hash32 hash;
    world_mine(world, world->rig, 3); /* height 5, d 2 */
    for (int i = 0;; i++) {
        ask(world, &answer, "GET", world->open.path, "/hls/720p/seg_00000.m4s",
            "Range: bytes=0-0\r\n");
        const char *text = answer_field(&answer, "Reelrig-Puzzle");
        assert_non_null(text);
        world_ok(rr_puzzle_offer_parse(&puzzle, rr_slice_str(text), &fault));
        if (puzzle.block_height == 4) {
            break;
        }
        assert_true(puzzle.block_height == 2 && i < 100);
        usleep(20000);
    }
    world_ok(rr_chain_block_hash(world->chain, 4, &hash, &fault));
    assert_memory_equal(&hash, &puzzle.block_hash, sizeof(hash));
    assert_int_equal(puzzle.s, 4);
    assert_int_equal(puzzle.d, 2);
    answer_clear(&answer);
}

static void ranges_are_cut_exactly(void **state)
{
    struct world *world = *state;
    const struct rr_buf *segment = &world->open.segments[0][1];
    struct client client = client_open(rr_serve_port(world->serve));
    struct answer answer = {0};
    char fields[128];
    char expected[64];
    unsigned long len = segment->len;
    const struct {
        const char *range;
        unsigned long first, last;
    } rows[] = {{"0-0", 0, 0},
                {"0-", 0, len - 1},
                {"100-199", 100, 199},
                {"-1", len - 1, len - 1},
                {"65536-131071", 65536, 131071},
                {"100000-999999999", 100000, len - 1},
                {"5-6,7-9", 5, 9}};
    for (size_t i = 0; i < RR_COUNT(rows); i++) {
        snprintf(fields, sizeof(fields), "Range: bytes=%s\r\n", rows[i].range);
        snprintf(expected, sizeof(expected), "bytes %lu-%lu/%lu", rows[i].first, rows[i].last, len);
        client_ask(&client, &answer, "GET", world->open.path, "/hls/720p/seg_00001.m4s", fields);
        assert_int_equal(answer.status, 206);
        assert_field(&answer, "Content-Range", expected);
        assert_body(&answer, segment->ptr + rows[i].first, rows[i].last - rows[i].first + 1);
    }
    snprintf(expected, sizeof(expected), "bytes */%lu", len);
    snprintf(fields, sizeof(fields), "Range: bytes=%lu-\r\n", len);
    client_ask(&client, &answer, "GET", world->open.path, "/hls/720p/seg_00001.m4s", fields);
    assert_int_equal(answer.status, 416);
    assert_field(&answer, "Content-Range", expected);
    client_ask(&client, &answer, "GET", world->open.path, "/hls/720p/seg_00001.m4s",
               "Range: bytes=0-1,5-6\r\n");
    assert_int_equal(answer.status, 200);
    assert_body(&answer, segment->ptr, len);
    client_ask(&client, &answer, "HEAD", world->open.path, "/hls/720p/seg_00001.m4s",
               "Range: bytes=0-1\r\n");
    assert_int_equal(answer.status, 200);
    client_ask(&client, &answer, "GET", world->open.path, "/hls/master.m3u8",
               "Range: bytes=0-6\r\n");
    assert_int_equal(answer.status, 206);
    assert_body(&answer, "#EXTM3U", 7);
    answer_clear(&answer);
    client_close(&client);
}

static void conditions_are_kept(void **state)
{
    struct world *world = *state;
    static const char path[] = "/hls/720p/seg_00002.m4s";
    const struct rr_segment *segment = &world->open.manifest.renditions[0].segments[2];
    struct client client = client_open(rr_serve_port(world->serve));
    struct answer answer = {0};
    char hex[65];
    char tag[80];
    char date[64];
    char fields[256];
    rr_hex(hex, segment->digest.bytes, 32);
    snprintf(tag, sizeof(tag), "\"%s\"", hex);
    client_ask(&client, &answer, "HEAD", world->open.path, path, "");
    assert_int_equal(answer.status, 200);
    assert_field(&answer, "ETag", tag);
    assert_field(&answer, "Accept-Ranges", "bytes");
    snprintf(date, sizeof(date), "%.40s", answer_field(&answer, "Last-Modified"));
    const struct {
        const char *format, *value;
        unsigned status;
    } rows[] = {
        {"If-None-Match: %s\r\n", tag, 304},
        {"If-None-Match: \"x\", W/%s\r\n", tag, 304},
        {"If-None-Match: *%s\r\n", "", 304},
        {"If-None-Match: \"x%s\"\r\n", "", 200},
        {"If-Modified-Since: %s\r\n", date, 304},
        {"If-Modified-Since: %s\r\n", "Thu, 01 Jan 1970 00:00:00 GMT", 200},
        {"If-None-Match: \"x\"\r\nIf-Modified-Since: %s\r\n", date, 200},
        {"If-Range: %s\r\nRange: bytes=1-2\r\n", tag, 206},
        {"If-Range: \"x%s\"\r\nRange: bytes=1-2\r\n", "", 200},
        {"If-Range: W/%s\r\nRange: bytes=1-2\r\n", tag, 200},
        {"If-Range: %s\r\nRange: bytes=1-2\r\n", date, 206},
        {"If-Range: %s\r\nRange: bytes=1-2\r\n", "Thu, 01 Jan 1970 00:00:00 GMT", 200},
        {"If-None-Match: %s\r\nRange: bytes=999999999-\r\n", tag, 304},
    };
    for (size_t i = 0; i < RR_COUNT(rows); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(fields, sizeof(fields), rows[i].format, rows[i].value);
#pragma GCC diagnostic pop
        client_ask(&client, &answer, "GET", world->open.path, path, fields);
        if (answer.status != rows[i].status) {
            fail_msg("%u, not %u, for %s", answer.status, rows[i].status, fields);
        }
        assert_field(&answer, "ETag", tag);
        if (answer.status == 304) {
            assert_int_equal(answer.body.len, 0);
        }
    }
    answer_clear(&answer);
    client_close(&client);
}

static void methods_and_paths_that_are_not_there_are_named(void **state)
{
    struct world *world = *state;
    struct client client = client_open(rr_serve_port(world->serve));
    struct answer answer = {0};
    static const char *const missing[] = {
        "/",
        "/v1",
        "/v1/resources/",
        "/v1/resources/00",
        "/v1/resources/zz00000000000000000000000000000000000000000000000000000000000000/manifest",
        "/v1/resources/0000000000000000000000000000000000000000000000000000000000000000/manifest",
        "/v1/resources/0000000000000000000000000000000000000000000000000000000000000000/hls/a",
        "/v1/ledger/",
        "/v1/ledger/pools/00",
        "/v1/ledger/account/",
        "/v1/sessions/",
    };
    for (size_t i = 0; i < RR_COUNT(missing); i++) {
        client_ask(&client, &answer, "GET", "", missing[i], "");
        assert_int_equal(answer.status, 404);
        assert_field(&answer, "Content-Type", "application/json");
        assert_holds(&answer, "\"error\":\"not_found\"");
    }
    static const char *const inside[] = {"/hls/",
                                         "/hls/720p",
                                         "/hls/720p/seg_00005.m4s",
                                         "/hls/720p/seg_0.m4s",
                                         "/hls/360p/index.m3u8",
                                         "/nothing"};
    for (size_t i = 0; i < RR_COUNT(inside); i++) {
        client_ask(&client, &answer, "GET", world->open.path, inside[i], "");
        assert_int_equal(answer.status, 404);
    }
    client_ask(&client, &answer, "POST", "", "/healthz", "Content-Length: 0\r\n");
    assert_int_equal(answer.status, 405);
    assert_field(&answer, "Allow", "GET, HEAD, OPTIONS");
    client_ask(&client, &answer, "GET", "", "/v1/sessions", "");
    assert_int_equal(answer.status, 405);
    assert_field(&answer, "Allow", "POST, OPTIONS");
    client_ask(&client, &answer, "DELETE", "", "/healthz", "");
    assert_int_equal(answer.status, 405);
    client_ask(&client, &answer, "BREW", "", "/healthz", "");
    assert_int_equal(answer.status, 501);
    client_ask(&client, &answer, "OPTIONS", world->paid.path, "/hls/720p/seg_00000.m4s",
               "Origin: http://a\r\nAccess-Control-Request-Headers: reelrig-payment\r\n");
    assert_int_equal(answer.status, 204);
    assert_non_null(
        strstr(answer_field(&answer, "Access-Control-Allow-Headers"), "Reelrig-Payment"));
    assert_field(&answer, "Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS");
    client_ask(&client, &answer, "GET", "", "/healthz", "");
    assert_int_equal(answer.status, 200);
    client_ask(&client, &answer, "GET", "", "/v1/resources", "");
    assert_holds(&answer, "\"title\":\"title 1\"");
    assert_holds(&answer, "\"slice_price\":\"0.01\"");
    struct rr_serve_stats stats = world_stats(world);
    assert_int_equal(stats.not_found, RR_COUNT(missing) + RR_COUNT(inside));
    assert_int_equal(stats.connections, 1);
    answer_clear(&answer);
    client_close(&client);
}

static void a_pipeline_is_answered_in_its_order(void **state)
{
    struct world *world = *state;
    struct client client = client_open(rr_serve_port(world->serve));
    struct answer answer = {0};
    struct rr_buf text = {0};
    struct rr_prng prng;
    enum { ASKED = 300 };
    unsigned firsts[ASKED];
    rr_prng_seed(&prng, 5);
    for (unsigned i = 0; i < ASKED; i++) {
        firsts[i] = (unsigned)rr_prng_below(&prng, SEGMENT_BYTES - 1000);
        rr_buf_format(&text, "GET %s/hls/%s/seg_%05u.m4s HTTP/1.1\r\nHost: a\r\n", world->open.path,
                      i % 2 == 0 ? "720p" : "audio", i % WORLD_SEGMENTS);
        rr_buf_format(&text, "Range: bytes=%u-%u\r\n\r\n", firsts[i], firsts[i] + i);
        if (i % 7 == 0) {
            rr_buf_format(&text, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
        }
    }
    client_write(&client, text.ptr, text.len);
    shutdown(client.fd, SHUT_WR); /* what was asked is still answered */
    for (unsigned i = 0; i < ASKED; i++) {
        const struct rr_buf *segment = &world->open.segments[i % 2][i % WORLD_SEGMENTS];
        client_read(&client, &answer, false);
        assert_int_equal(answer.status, 206);
        assert_body(&answer, segment->ptr + firsts[i], i + 1);
        if (i % 7 == 0) {
            client_read(&client, &answer, false);
            assert_holds(&answer, "ok");
        }
    }
    assert_true(client_ends(&client, CLIENT_WAIT_MS));
    rr_buf_clear(&text);
    answer_clear(&answer);
    client_close(&client);
}

static void requests_in_single_bytes_are_understood(void **state)
{
    struct world *world = *state;
    struct client client = client_open(rr_serve_port(world->serve));
    struct answer answer = {0};
    static const char text[] = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    int one = 1;
    setsockopt(client.fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof(one));
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof(text) - 1; i++) {
            client_write(&client, text + i, 1);
        }
        client_read(&client, &answer, false);
        assert_int_equal(answer.status, 200);
    }
    client_text(&client, "GET /healthz HTTP/1.0\r\n\r\n");
    client_read(&client, &answer, false);
    assert_field(&answer, "Connection", "close");
    assert_true(client_ends(&client, CLIENT_WAIT_MS));
    answer_clear(&answer);
    client_close(&client);
}

static void delivered_segments_and_bytes_are_counted(void **state)
{
    struct world *world = *state;
    struct client client = client_open(rr_serve_port(world->serve));
    struct answer answer = {0};
    const char *path = world->open.path;
    uint64_t len = world->open.segments[0][0].len;
    client_ask(&client, &answer, "GET", path, "/hls/720p/seg_00000.m4s", "");
    client_ask(&client, &answer, "GET", path, "/hls/720p/seg_00000.m4s",
               "Range: bytes=0-99999\r\n");
    client_ask(&client, &answer, "GET", path, "/hls/720p/seg_00000.m4s",
               "Range: bytes=100000-\r\n");
    client_ask(&client, &answer, "HEAD", path, "/hls/720p/seg_00000.m4s", "");
    client_ask(&client, &answer, "GET", path, "/hls/720p/init.mp4", "");
    world_counted(world, bytes, 2 * len + world->open.init[0].len);
    struct rr_serve_stats stats = world_stats(world);
    assert_int_equal(stats.segments, 2);
    assert_int_equal(stats.requests, 5);
    assert_int_equal(stats.cache_misses, 2);
    assert_int_equal(stats.cache_hits, 2);
    answer_clear(&answer);
    client_close(&client);
}

static void a_new_revision_is_served_once_the_old_is_forgotten(void **state)
{
    struct world *world = *state;
    struct rr_manifest *manifest = &world->open.manifest;
    struct answer answer = {0};
    ask(world, &answer, "GET", world->open.path, "/manifest", "Accept: application/json\r\n");
    assert_holds(&answer, "\"revision\":1");
    manifest->revision = 2;
    rr_manifest_sign(manifest, world->rig);
    world_ok(rr_store_put_manifest(world->store, manifest, &fault));
    rr_serve_forget(world->serve, &manifest->resource_id);
    ask(world, &answer, "GET", world->open.path, "/manifest", "Accept: application/json\r\n");
    assert_holds(&answer, "\"revision\":2");
    answer_clear(&answer);
}

/* Output of the curl program, an independent client. False: there is none on this machine. */
static bool curl(struct rr_buf *out, const char *const arguments[])
{
    int pipes[2];
    uint8_t bytes[4096];
    ssize_t n;
    int status = 0;
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(pipes[1], 1);
        execvp("curl", (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    close(pipes[1]);
    while ((n = read(pipes[0], bytes, sizeof(bytes))) > 0) {
        rr_buf_append(out, bytes, (size_t)n);
    }
    close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 127);
    return WEXITSTATUS(status) == 0;
}

static void curl_gets_the_same_bytes(void **state)
{
    struct world *world = *state;
    char url[256];
    struct rr_buf out = {0};
    snprintf(url, sizeof(url), "http://127.0.0.1:%u%s/hls/720p/seg_0000[0-4].m4s",
             rr_serve_port(world->serve), world->open.path);
    const char *const whole[] = {"curl", "-sSf", url, NULL};
    if (!curl(&out, whole)) {
        skip();
    }
    size_t at = 0;
    for (unsigned i = 0; i < WORLD_SEGMENTS; i++) {
        const struct rr_buf *segment = &world->open.segments[0][i];
        assert_true(at + segment->len <= out.len);
        assert_memory_equal(out.ptr + at, segment->ptr, segment->len);
        at += segment->len;
    }
    assert_int_equal(at, out.len);
    out.len = 0;
    const char *const part[] = {"curl", "-sSf", "-r", "70000-", "-w", "%{http_code}", url, NULL};
    snprintf(url, sizeof(url), "http://127.0.0.1:%u%s/hls/720p/seg_00003.m4s",
             rr_serve_port(world->serve), world->open.path);
    assert_true(curl(&out, part));
    const struct rr_buf *segment = &world->open.segments[0][3];
    assert_int_equal(out.len, segment->len - 70000 + 3);
    assert_memory_equal(out.ptr, segment->ptr + 70000, segment->len - 70000);
    assert_memory_equal(out.ptr + out.len - 3, "206", 3);
    rr_buf_clear(&out);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(playlists_manifest_and_segments_come_as_published),
        TEST(a_segment_carries_the_puzzle_of_the_last_puzzle_height),
        TEST(ranges_are_cut_exactly),
        TEST(conditions_are_kept),
        TEST(methods_and_paths_that_are_not_there_are_named),
        TEST(a_pipeline_is_answered_in_its_order),
        TEST(requests_in_single_bytes_are_understood),
        TEST(delivered_segments_and_bytes_are_counted),
        TEST(a_new_revision_is_served_once_the_old_is_forgotten),
        TEST(curl_gets_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
