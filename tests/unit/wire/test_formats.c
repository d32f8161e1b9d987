/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What holds for every format: round trip, truncation, bit flips, limits, the checked-in vectors.
 * `wire_test_formats --write-vectors` writes tests/vectors/wire and the seeds of the fuzz corpora
 * anew: for a change of a format only, which is a new version. RR_SEED=N repeats a run. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "formats.h"

#define ROUNDS      300
#define FLIP_ROUNDS 2

static uint64_t seed;

static struct source source_of(const struct format *format, uint64_t round)
{
    struct source s = {0};
    rr_prng_seed(&s.prng, seed ^ (uint64_t)(format - formats) << 32 ^ round);
    return s;
}

/* Fails the test with the name of the format, unless err is expected. */
static void expect(bool holds, const struct format *format, const char *what, size_t at)
{
    if (!holds) {
        fail_msg("%s: %s (at %zu, RR_SEED=%" PRIu64 ")", format->name, what, at, seed);
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    for (size_t f = 0; f < RR_COUNT(formats); f++) {
        for (uint64_t round = 0; round < ROUNDS; round++) {
            struct source s = source_of(&formats[f], round);
            struct rr_buf bytes = {0}, again = {0};
            struct rr_fault fault = {0};
            formats[f].write(&s, &bytes);
            enum rr_err err = formats[f].recode(&again, rr_buf_slice(&bytes), &fault);
            expect(err == RR_OK, &formats[f], fault.text, round);
            expect(rr_slice_equal(rr_buf_slice(&bytes), rr_buf_slice(&again)), &formats[f],
                   "other bytes", round);
            rr_buf_clear(&bytes);
            rr_buf_clear(&again);
        }
    }
}

/* Refused, or (only if `may`) accepted as the one encoding of some value. */
static void try_bytes(const struct format *format, const uint8_t *bytes, size_t len, bool may,
                      size_t at)
{
    struct rr_buf again = {0};
    struct rr_fault fault = {0};
    /* On the heap, so that a sanitizer sees a read beyond the end. */
    uint8_t *copy = rr_alloc(len > 0 ? len : 1);
    memcpy(copy, bytes, len);
    enum rr_err err = format->recode(&again, rr_slice_of(copy, len), &fault);
    if (err == RR_OK) {
        expect(may, format, "accepted", at);
        expect(rr_slice_equal(rr_buf_slice(&again), rr_slice_of(copy, len)), format,
               "two encodings of a value", at);
    } else {
        bool code = err == RR_ERR_FORMAT || err == RR_ERR_TRUST || err == RR_ERR_LIMIT;
        expect(code && fault.code == err && fault.text[0] != '\0', format,
               "a refusal without its reason", at);
    }
    rr_free(copy);
    rr_buf_clear(&again);
}

static void test_truncation(void **state)
{
    (void)state;
    for (size_t f = 0; f < RR_COUNT(formats); f++) {
        struct source s = source_of(&formats[f], 0);
        struct rr_buf bytes = {0};
        formats[f].write(&s, &bytes);
        for (size_t len = 0; len < bytes.len; len++) {
            try_bytes(&formats[f], bytes.ptr, len, formats[f].text, len);
        }
        rr_buf_clear(&bytes);
    }
}

static void test_trailing_bytes(void **state)
{
    (void)state;
    for (size_t f = 0; f < RR_COUNT(formats); f++) {
        for (unsigned last = 0; last < 256; last++) {
            struct source s = source_of(&formats[f], last);
            struct rr_buf bytes = {0};
            formats[f].write(&s, &bytes);
            rr_write_u8(&bytes, (uint8_t)last);
            try_bytes(&formats[f], bytes.ptr, bytes.len, formats[f].text, last);
            rr_buf_clear(&bytes);
        }
    }
}

static void test_bit_flips(void **state)
{
    (void)state;
    for (size_t f = 0; f < RR_COUNT(formats); f++) {
        for (uint64_t round = 0; round < FLIP_ROUNDS; round++) {
            struct source s = source_of(&formats[f], round);
            struct rr_buf bytes = {0};
            formats[f].write(&s, &bytes);
            for (size_t bit = 0; bit < 8 * bytes.len; bit++) {
                bytes.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
                try_bytes(&formats[f], bytes.ptr, bytes.len, true, bit);
                bytes.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
            }
            rr_buf_clear(&bytes);
        }
    }
}

static void test_versions(void **state)
{
    (void)state;
    for (size_t f = 0; f < RR_COUNT(formats); f++) {
        struct source s = source_of(&formats[f], 0);
        struct rr_buf bytes = {0};
        formats[f].write(&s, &bytes);
        unsigned known = strcmp(formats[f].name, "job_spec") == 0          ? 3
                         : strcmp(formats[f].name, "manifest_tracks") == 0 ? 2
                                                                           : 1;
        for (unsigned version = 0; version < 256 && !formats[f].text; version++) {
            bytes.ptr[formats[f].version_at] = (uint8_t)version;
            try_bytes(&formats[f], bytes.ptr, bytes.len, version == known, version);
        }
        rr_buf_clear(&bytes);
    }
}

/* ---- limits
 * ----------------------------------------------------------------------------------------------------
 */

struct counted {
    const char *name; /* of the format */
    size_t offset;    /* of the count in the fixed vector, from its start */
    unsigned bytes;   /* of the count */
    uint32_t limit, now;
};
/* From docs/formats.md; `now` is what the vector holds there, so that a moved field is noticed. */
static const struct counted counted[] = {
    {"header", 181, 2, RR_HEADER_SETS_MAX, 2},
    {"block", 1 + 379, 4, RR_BLOCK_TXS_MAX, 2},
    {"object", 1 + 32 + 8, 1, RR_SHARDS_MAX, 3},
    {"object", 1 + 32 + 8 + 1, 1, RR_PARITY_MAX, 2},
    {"pot_leaves", 33, 4, RR_LEAVES_MAX, 2},
    {"pot_gop", 1 + 2 + 3, 2, RR_POT_PACKETS_MAX, 2},
    {"certificates", 1, 2, RR_CERTIFICATES_POST_MAX, 2},
    {"certificate_set", 1, 2, RR_CERTIFICATE_SET_MAX, 3},
    {"session_request", 1 + 32 + 32 + 189, 4, RR_SESSION_REQUEST_MAX, 5},
    {"job_spec", 1 + 4 + 32 + 32 + 8 + 5 + 2 + 4 + 4, 1, RR_RUNGS_MAX, 3},
    {"manifest", 1 + 4 + 32 + 32 + 8 + 1 + 4 + 5 + 8 + 4 + 32 + 32 + 4, 4, RR_OBJECTS_MAX, 2},
    {"work_chain", 1 + 4 + 32 + 32 + 8 + 4 + 2 + 1 + 2 + 1, 1, RR_WORK_STEPS_MAX, 7},
    {"work_offer", 1 + 4 + 32 + 8 + 8 + 4, 1, RR_WORK_CODECS_MAX, 2},
    {"work_quote", 1 + 4 + 4 * 32 + 8 + 8 + 8 + 4 * 4 + 8, 1, RR_WORK_STEPS_MAX, 3},
    {"puzzle_claims", 1, 2, RR_PUZZLE_CLAIMS_POST_MAX, 2},
    {"puzzle_list", 1 + 32, 4, RR_PUZZLES_MAX, 3},
};

static const struct format *find(const char *name)
{
    for (size_t f = 0; f < RR_COUNT(formats); f++) {
        if (strcmp(formats[f].name, name) == 0) {
            return &formats[f];
        }
    }
    RR_BUG("no such format");
}

static void set_count(uint8_t *at, unsigned bytes, uint64_t value)
{
    for (unsigned i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(value >> 8 * i);
    }
}

static void try_counts(void)
{
    for (size_t i = 0; i < RR_COUNT(counted); i++) {
        const struct format *format = find(counted[i].name);
        struct source s = {.fixed = true};
        struct rr_buf bytes = {0};
        format->write(&s, &bytes);
        uint8_t *at = bytes.ptr + counted[i].offset;
        uint64_t most = (UINT64_C(1) << 8 * counted[i].bytes) - 1, now = 0;
        for (unsigned b = counted[i].bytes; b-- > 0;) {
            now = now << 8 | at[b];
        }
        RR_CHECK(now == counted[i].now);
        uint64_t wrong[] = {(uint64_t)counted[i].limit + 1, counted[i].limit, most, most / 2,
                            now + 1};
        for (size_t w = 0; w < RR_COUNT(wrong); w++) {
            if (wrong[w] <= most) {
                struct rr_buf again = {0};
                set_count(at, counted[i].bytes, wrong[w]);
                RR_CHECK(format->recode(&again, rr_buf_slice(&bytes), NULL) != RR_OK);
            }
        }
        rr_buf_clear(&bytes);
    }
}

#ifndef RR_SANITIZED
/* This process cannot map more than `more` bytes beyond what it has. */
static void limit_memory(size_t more)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    RR_CHECK(file != NULL && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    rlim_t most = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + more;
    struct rlimit limit = {.rlim_cur = most, .rlim_max = most};
    RR_CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
}
#endif

static void test_counts(void **state)
{
    (void)state;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
#ifndef RR_SANITIZED            /* its shadow memory needs the address space */
        limit_memory(8u << 20); /* what a lying count asked for would end the child */
#endif
        try_counts();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- vectors
 * ---------------------------------------------------------------------------------------------------
 */

static void hex_line(struct rr_buf *out, const struct format *format)
{
    struct source s = {.fixed = true};
    struct rr_buf bytes = {0};
    char pair[3];
    format->write(&s, &bytes);
    for (size_t i = 0; i < bytes.len; i++) {
        rr_hex(pair, bytes.ptr + i, 1);
        rr_buf_append(out, pair, 2);
    }
    rr_write_u8(out, '\n');
    rr_buf_clear(&bytes);
}

static void vector_path(char *path, size_t room, const struct format *format)
{
    RR_CHECK(snprintf(path, room, RR_SOURCE_DIR "/tests/vectors/wire/%s.hex", format->name) <
             (int)room);
}

static void test_vectors(void **state)
{
    (void)state;
    for (size_t f = 0; f < RR_COUNT(formats); f++) {
        char path[512];
        struct rr_buf ours = {0}, kept = {0};
        struct rr_fault fault = {0};
        vector_path(path, sizeof path, &formats[f]);
        expect(rr_file_read(&kept, path, 1 << 20, &fault) == RR_OK, &formats[f], fault.text, 0);
        hex_line(&ours, &formats[f]);
        expect(rr_slice_equal(rr_buf_slice(&ours), rr_buf_slice(&kept)), &formats[f],
               "not the checked-in vector", 0);
        rr_buf_clear(&ours);
        rr_buf_clear(&kept);
    }
}

static void put_file(const char *path, const struct rr_buf *bytes)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes->ptr, 1, bytes->len, file) != bytes->len ||
        fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static int write_vectors(void)
{
    for (size_t f = 0; f < RR_COUNT(formats); f++) {
        struct rr_buf hex = {0};
        char path[512];
        vector_path(path, sizeof path, &formats[f]);
        hex_line(&hex, &formats[f]);
        put_file(path, &hex);
        rr_buf_clear(&hex);
        for (uint64_t i = 0; i < 3; i++) { /* the vector, and two random values */
            struct source s = {.fixed = i == 0};
            struct rr_buf bytes = {0};
            rr_prng_seed(&s.prng, i);
            formats[f].write(&s, &bytes);
            RR_CHECK(snprintf(path, sizeof path,
                              RR_SOURCE_DIR "/tests/fuzz/wire/corpus_%s/%s-%" PRIu64,
                              formats[f].corpus, formats[f].name, i) < (int)sizeof path);
            put_file(path, &bytes);
            rr_buf_clear(&bytes);
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    rr_crypto_init();
    if (argc > 1 && strcmp(argv[1], "--write-vectors") == 0) {
        return write_vectors();
    }
    const char *given = getenv("RR_SEED");
    if (given != NULL) {
        seed = strtoull(given, NULL, 10);
    } else {
        rr_random(&seed, sizeof seed);
    }
    print_message("RR_SEED=%" PRIu64 "\n", seed);
    const struct CMUnitTest tests[] = {
        {"every format gives back the bytes of a random value", test_round_trip, NULL, NULL, NULL},
        {"every format cut at any byte is refused", test_truncation, NULL, NULL, NULL},
        {"a byte too many is refused", test_trailing_bytes, NULL, NULL, NULL},
        {"a flipped bit is refused or is another value's only encoding", test_bit_flips, NULL, NULL,
         NULL},
        {"only one version of each is known", test_versions, NULL, NULL, NULL},
        {"a lying count is refused before memory is taken for it", test_counts, NULL, NULL, NULL},
        {"the fixed values have the checked-in bytes", test_vectors, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests_name("wire formats", tests, NULL, NULL);
}
