/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Server and client over loopback, plain and with TLS, with a real engine on a tiny Ethash. */
#include "stratum/stratum.h"
#include "stratum/stratum_tls.h"
#include "unit/base/unit.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>

#define WAIT_S 120

static const struct rr_hash_params params = {.cache_items = 127, .dataset_items = 509};
static struct rr_loop *loop;
static struct rr_hash_engine *engine;
static char folder[64], certificate[96], key[96], other_certificate[96], fingerprint[65];

/* ---- a mining pool ----------------------------------------------------------------------- */

struct pool {
    struct rr_stratum_server *server;
    atomic_uint solved;
    atomic_ullong work_id;
};

static enum rr_err verify(void *ctx, struct rr_hash_check *checks, size_t count,
                          struct rr_fault *fault)
{
    (void)ctx;
    return rr_hash_verify(engine, checks, count, fault);
}

static void new_work(struct pool *pool)
{
    struct rr_stratum_work work = {.difficulty = rr_u256_of(30000)};
    work.id = atomic_fetch_add(&pool->work_id, 1) + 1;
    work.height = 1000 + work.id;
    rr_random(work.header_hash, sizeof work.header_hash);
    rr_stratum_server_set_work(pool->server, &work);
}

static bool solved(void *ctx, const struct rr_stratum_solution *solution)
{
    struct pool *pool = ctx;
    if (solution->work_id != atomic_load(&pool->work_id)) {
        return false;
    }
    atomic_fetch_add(&pool->solved, 1);
    new_work(pool);
    return true;
}

static void start_pool(struct pool *pool, uint16_t port, bool tls)
{
    struct rr_fault fault = {0};
    struct rr_stratum_server_options options = {.loop = loop,
                                                .address = "127.0.0.1",
                                                .port = port,
                                                .certificate_path = tls ? certificate : NULL,
                                                .key_path = tls ? key : NULL,
                                                .password = "secret",
                                                .share_difficulty = 2000,
                                                .share_ms = 1000,
                                                .connections_max = 16,
                                                .lines_per_s = 1000,
                                                .verify = verify,
                                                .solved = solved,
                                                .ctx = pool};
    *pool = (struct pool){0};
    if (rr_stratum_server_start(&pool->server, &options, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    new_work(pool);
    new_work(pool);
}

/* ---- a client ---------------------------------------------------------------------------- */

static struct rr_hash_engine *give_engine(void *ctx, const struct rr_stratum_job *job,
                                          struct rr_fault *fault)
{
    (void)ctx;
    (void)fault;
    assert_true(job->number > 0);
    return engine;
}

static struct rr_stratum_client *start_client(const char *const *urls, uint32_t count,
                                              const char *ca, const char *pin)
{
    struct rr_stratum_client *client = NULL;
    struct rr_fault fault = {0};
    struct rr_stratum_client_options options = {.loop = loop,
                                                .url_count = count,
                                                .user = "u.w",
                                                .password = "secret",
                                                .ca_path = ca,
                                                .fingerprint = pin,
                                                .response_ms = 20000,
                                                .work_ms = 60000,
                                                .return_ms = 500,
                                                .engine = give_engine,
                                                .weight = 1};
    for (uint32_t i = 0; i < count; i++) {
        options.urls[i] = urls[i];
    }
    if (rr_stratum_client_start(&client, &options, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    return client;
}

/* ---- the loop runs here until a fact holds ------------------------------------------------ */

struct wait {
    bool (*holds)(void *ctx);
    void *ctx;
    bool held;
    uint64_t until_us;
};

static uint64_t now_us(void)
{
    return rr_monotonic_us(rr_clock_system());
}

static void look(void *ctx)
{
    struct wait *wait = ctx;
    wait->held = wait->holds(wait->ctx);
    if (wait->held || now_us() > wait->until_us) {
        rr_loop_stop(loop);
    }
}

static void wait_for(const char *what, bool (*holds)(void *ctx), void *ctx)
{
    struct wait wait = {holds, ctx, false, now_us() + WAIT_S * UINT64_C(1000000)};
    struct rr_timer *timer = rr_timer_new(loop, 1, 10, look, &wait);
    rr_loop_run(loop);
    rr_timer_free(timer);
    if (!wait.held) {
        fail_msg("not within %d s: %s", WAIT_S, what);
    }
}

struct seen {
    struct pool *pool;
    struct rr_stratum_client *client;
    uint64_t accepted;
    uint32_t solved, index;
};

static bool works(void *ctx)
{
    struct seen *seen = ctx;
    struct rr_stratum_client_stats stats;
    rr_stratum_client_stats(seen->client, &stats);
    return stats.connected && stats.pool_index == seen->index && stats.accepted >= seen->accepted &&
           atomic_load(&seen->pool->solved) >= seen->solved;
}

static bool refused(void *ctx)
{
    struct rr_stratum_client_stats stats;
    rr_stratum_client_stats(ctx, &stats);
    return stats.failures >= 1;
}

static int set_up(void **state)
{
    (void)state;
    loop = rr_loop_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rr_loop_free(loop);
    return 0;
}

/* ---- tests ------------------------------------------------------------------------------- */

static void every_dialect_mines_over_tcp(void **state)
{
    static const char *const schemes[] = {"stratum+tcp", "stratum0+tcp", "stratum1+tcp",
                                          "stratum2+tcp", "stratum3+tcp"};
    (void)state;
    for (size_t i = 0; i < RR_COUNT(schemes); i++) {
        struct pool pool;
        char url[96];
        const char *urls[] = {url};
        start_pool(&pool, 0, false);
        snprintf(url, sizeof url, "%s://localhost:%u", schemes[i],
                 rr_stratum_server_port(pool.server));
        struct rr_stratum_client *client = start_client(urls, 1, NULL, NULL);
        struct seen seen = {&pool, client, 10, 2, 0};
        wait_for("ten shares and two blocks", works, &seen);
        struct rr_stratum_client_stats stats;
        rr_stratum_client_stats(client, &stats);
        assert_int_equal(stats.rejected, 0);
        struct rr_stratum_worker worker;
        assert_int_equal(rr_stratum_server_workers(pool.server, &worker, 1), 1);
        assert_string_equal(worker.name, "u.w");
        assert_true(worker.blocks >= 2);
        rr_stratum_client_stop(client);
        rr_stratum_server_stop(pool.server);
    }
}

static void tls_mines_with_authorities_or_a_fingerprint(void **state)
{
    struct pool pool;
    char url[96];
    const char *urls[] = {url};
    (void)state;
    start_pool(&pool, 0, true);
    snprintf(url, sizeof url, "stratum3+ssl://localhost:%u", rr_stratum_server_port(pool.server));
    for (int pinned = 0; pinned <= 1; pinned++) {
        struct rr_stratum_client *client =
            start_client(urls, 1, pinned ? NULL : certificate, pinned ? fingerprint : NULL);
        struct seen seen = {&pool, client, 5, 1, 0};
        wait_for("five shares over TLS", works, &seen);
        rr_stratum_client_stop(client);
    }
    rr_stratum_server_stop(pool.server);
}

static void a_certificate_that_does_not_hold_is_refused(void **state)
{
    struct pool pool;
    char url[96], name[96], wrong[65];
    const char *urls[] = {url};
    (void)state;
    start_pool(&pool, 0, true);
    uint16_t port = rr_stratum_server_port(pool.server);
    snprintf(url, sizeof url, "stratum3+ssl://localhost:%u", port);
    snprintf(name, sizeof name, "stratum3+ssl://127.0.0.1:%u", port); /* not in the certificate */
    memcpy(wrong, fingerprint, sizeof wrong);
    wrong[0] = wrong[0] == '0' ? '1' : '0';
    const char *const cas[] = {NULL, other_certificate, NULL, certificate};
    const char *const pins[] = {NULL, NULL, wrong, NULL};
    for (size_t i = 0; i < RR_COUNT(cas); i++) {
        urls[0] = i == 3 ? name : url;
        struct rr_stratum_client *client = start_client(urls, 1, cas[i], pins[i]);
        wait_for("the refusal", refused, client);
        struct rr_stratum_client_stats stats;
        rr_stratum_client_stats(client, &stats);
        assert_false(stats.connected);
        assert_true(strstr(stats.why, "certificate") != NULL);
        rr_stratum_client_stop(client);
    }
    struct rr_stratum_server_stats stats;
    rr_stratum_server_stats(pool.server, &stats);
    assert_int_equal(stats.accepted, 0);
    rr_stratum_server_stop(pool.server);
}

static void plain_bytes_on_a_tls_port_end_the_connection(void **state)
{
    struct pool pool;
    char url[96];
    const char *urls[] = {url};
    (void)state;
    start_pool(&pool, 0, true);
    snprintf(url, sizeof url, "stratum3+tcp://localhost:%u", rr_stratum_server_port(pool.server));
    struct rr_stratum_client *client = start_client(urls, 1, NULL, NULL);
    wait_for("the refusal", refused, client);
    rr_stratum_client_stop(client);
    rr_stratum_server_stop(pool.server);
}

static void a_killed_pool_is_left_and_taken_again(void **state)
{
    struct pool first, second;
    char a[96], b[96];
    const char *urls[] = {a, b};
    (void)state;
    start_pool(&first, 0, false);
    start_pool(&second, 0, false);
    uint16_t port = rr_stratum_server_port(first.server);
    snprintf(a, sizeof a, "stratum+tcp://localhost:%u", port);
    snprintf(b, sizeof b, "stratum+tcp://localhost:%u", rr_stratum_server_port(second.server));
    struct rr_stratum_client *client = start_client(urls, 2, NULL, NULL);
    struct seen seen = {&first, client, 3, 1, 0};
    wait_for("work of the first", works, &seen);
    rr_stratum_server_stop(first.server);
    seen = (struct seen){&second, client, 6, 1, 1};
    wait_for("work of the second", works, &seen);
    start_pool(&first, port, false);
    seen = (struct seen){&first, client, 9, 1, 0};
    wait_for("the first again", works, &seen);
    rr_stratum_client_stop(client);
    rr_stratum_server_stop(first.server);
    rr_stratum_server_stop(second.server);
}

static void what_cannot_start_says_why(void **state)
{
    struct rr_stratum_server *server = NULL;
    struct rr_fault fault = {0};
    struct pool pool;
    (void)state;
    start_pool(&pool, 0, false);
    struct rr_stratum_server_options options = {.loop = loop,
                                                .address = "127.0.0.1",
                                                .port = rr_stratum_server_port(pool.server),
                                                .share_ms = 1000,
                                                .connections_max = 16,
                                                .lines_per_s = 10};
    assert_int_equal(rr_stratum_server_start(&server, &options, &fault), RR_ERR_BUSY);
    options.address = "pool.example";
    assert_int_equal(rr_stratum_server_start(&server, &options, &fault), RR_ERR_USAGE);
    options.address = "127.0.0.1";
    options.port = 0;
    options.certificate_path = "/nowhere.pem";
    assert_int_equal(rr_stratum_server_start(&server, &options, &fault), RR_ERR_USAGE);
    options.key_path = key;
    assert_int_equal(rr_stratum_server_start(&server, &options, &fault), RR_ERR_NOTFOUND);
    options.certificate_path = key;
    assert_int_equal(rr_stratum_server_start(&server, &options, &fault), RR_ERR_FORMAT);
    options.certificate_path = other_certificate; /* not of this key */
    assert_int_equal(rr_stratum_server_start(&server, &options, &fault), RR_ERR_FORMAT);
    assert_non_null(strstr(fault.text, "no PEM key of that certificate"));
    rr_stratum_server_stop(pool.server);
    rr_stratum_server_stop(NULL);
    rr_stratum_client_stop(NULL);
}

/* ---- certificates ------------------------------------------------------------------------ */

static void make_certificate(const char *certificate_path, const char *key_path)
{
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    X509 *x509 = X509_new();
    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x509), 86400);
    X509_set_pubkey(x509, pair);
    X509_NAME *name = X509_get_subject_name(x509);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1,
                               0);
    X509_set_issuer_name(x509, name);
    assert_true(X509_sign(x509, pair, EVP_sha256()) > 0);
    FILE *file = fopen(certificate_path, "wb");
    assert_int_equal(PEM_write_X509(file, x509), 1);
    fclose(file);
    if (key_path != NULL) {
        unsigned char digest[32];
        file = fopen(key_path, "wb");
        assert_int_equal(PEM_write_PrivateKey(file, pair, NULL, NULL, 0, NULL, NULL), 1);
        fclose(file);
        assert_int_equal(X509_digest(x509, EVP_sha256(), digest, NULL), 1);
        rr_hex(fingerprint, digest, sizeof digest);
    }
    X509_free(x509);
    EVP_PKEY_free(pair);
}

static int set_up_all(void **state)
{
    struct rr_hash_options options = {.threads = 1, .dataset_bytes_max = 1 << 20, .devices = "cpu"};
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    make_folder(folder);
    snprintf(certificate, sizeof certificate, "%s/certificate.pem", folder);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    snprintf(other_certificate, sizeof other_certificate, "%s/other.pem", folder);
    make_certificate(certificate, key);
    make_certificate(other_certificate, NULL);
    return rr_hash_engine_new(&engine, &params, &options, NULL);
}

static int tear_down_all(void **state)
{
    (void)state;
    rr_hash_engine_free(engine);
    drop_folder(folder);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_dialect_mines_over_tcp),
        TEST(tls_mines_with_authorities_or_a_fingerprint),
        TEST(a_certificate_that_does_not_hold_is_refused),
        TEST(plain_bytes_on_a_tls_port_end_the_connection),
        TEST(a_killed_pool_is_left_and_taken_again),
        TEST(what_cannot_start_says_why),
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
