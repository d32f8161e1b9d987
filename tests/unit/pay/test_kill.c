/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SIGKILL at random moments: what was acknowledged is in the book, and nothing is in it twice.
 * RR_KILLS: how often. */
#include "payer.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#define VIEWERS 3
#define UNITS   300000
#define PRICE   100000
#define DEPOSIT ((UNITS + 1) * (uint64_t)PRICE)

/* One line of the child's report: this many units of this viewer are sent, or acknowledged. */
struct report {
    uint32_t viewer;
    uint32_t depth;
    uint32_t acknowledged;
};

struct child_charge {
    int fd;
    struct report report;
    _Atomic int *in_flight;
};

static void report(int fd, const struct report *line)
{
    if (write(fd, line, sizeof(*line)) != sizeof(*line)) {
        _exit(3);
    }
}

static void acknowledged(void *ctx, enum rr_err result)
{
    struct child_charge *charge = ctx;
    if (result != RR_OK) {
        _exit(4);
    }
    struct report line = charge->report;
    line.acknowledged = 1;
    report(charge->fd, &line);
    atomic_fetch_sub(charge->in_flight, 1);
    rr_free(charge);
}

/* Settles and mines as fast as it can, beside the charges. */
static void *settle_and_mine(void *ctx)
{
    struct world *world = ctx;
    for (;;) {
        uint32_t submitted;
        struct rr_fault fault = {0};
        if (rr_till_settle(world->till, true, &submitted, &fault) != RR_OK) {
            _exit(7);
        }
        world_mine(world, 1);
    }
}

/* Opens everything as a daemon would, and charges until it is killed: one unit and one new slice at
 * a time. */
static _Noreturn void child(struct world *world, struct rr_purse **purses, int fd, bool settling)
{
    pthread_t settler;
    _Atomic int in_flight = 0;
    struct rr_session_answer sessions[VIEWERS];
    world_open_chain(world);
    world_open_till(world);
    for (int i = 0; i < VIEWERS; i++) {
        struct rr_session_request request = world_request(world, i, rr_purse_voucher(purses[i]));
        struct rr_fault fault = {0};
        if (rr_till_open_session(world->till, &sessions[i], &request, &world->manifest, &fault) !=
            RR_OK) {
            _exit(5);
        }
        rr_purse_resume(purses[i], sessions[i].accepted_depth);
    }
    if (settling && pthread_create(&settler, NULL, settle_and_mine, world) != 0) {
        _exit(8);
    }
    for (uint32_t turn = 0;; turn++) {
        int viewer = (int)(turn % VIEWERS);
        struct rr_payment_header header = {.has_preimage = true};
        struct child_charge *charge = rr_alloc(sizeof(*charge));
        memcpy(header.session_id, sessions[viewer].session_id, sizeof(header.session_id));
        if (rr_purse_pay(purses[viewer], 1, &header.depth, &header.preimage, NULL) != RR_OK) {
            _exit(6);
        }
        *charge = (struct child_charge){
            .fd = fd, .report = {(uint32_t)viewer, header.depth, 0}, .in_flight = &in_flight};
        struct report line = charge->report;
        report(fd, &line);
        uint64_t key = header.depth;
        atomic_fetch_add(&in_flight, 1);
        rr_till_charge(world->till, &header, &world->manifest.resource_id, &key, 1, acknowledged,
                       charge);
        while (atomic_load(&in_flight) >= 8) {
            usleep(50);
        }
    }
}

static void read_reports(int fd, uint32_t sent[VIEWERS], uint32_t acked[VIEWERS], uint64_t *count)
{
    struct report line;
    ssize_t got;
    while ((got = read(fd, &line, sizeof(line))) == (ssize_t)sizeof(line)) {
        uint32_t *best = line.acknowledged ? acked : sent;
        best[line.viewer] = line.depth > best[line.viewer] ? line.depth : best[line.viewer];
        *count += line.acknowledged;
    }
    assert_true(got >= 0);
}

static void kill_one(struct world *world, struct rr_purse **purses, uint32_t wait_us, bool settling,
                     uint32_t sent[VIEWERS], uint32_t acked[VIEWERS], uint64_t *count)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        child(world, purses, ends[1], settling);
    }
    close(ends[1]);
    /* Reads while it runs: the pipe must not stop the child. */
    int flags = fcntl(ends[0], F_GETFL);
    assert_int_equal(fcntl(ends[0], F_SETFL, flags | O_NONBLOCK), 0);
    struct timespec from;
    struct timespec now;
    uint64_t before = *count;
    /* Every other one is killed while it works, however slow the machine; the rest at any time. */
    bool waits = wait_us % 2 == 0;
    clock_gettime(CLOCK_MONOTONIC, &from);
    do {
        struct report line;
        while (read(ends[0], &line, sizeof(line)) == (ssize_t)sizeof(line)) {
            uint32_t *best = line.acknowledged ? acked : sent;
            best[line.viewer] = line.depth > best[line.viewer] ? line.depth : best[line.viewer];
            *count += line.acknowledged;
        }
        usleep(200);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (waits && *count > before) {
            waits = false;
            from = now;
        }
    } while ((now.tv_sec - from.tv_sec) * 1000000 + (now.tv_nsec - from.tv_nsec) / 1000 <
             (waits ? 60000000L : (long)wait_us));
    assert_int_equal(kill(pid, SIGKILL), 0);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status)); /* not one that left by itself */
    assert_int_equal(WTERMSIG(status), SIGKILL);
    assert_int_equal(fcntl(ends[0], F_SETFL, flags), 0);
    read_reports(ends[0], sent, acked, count);
    close(ends[0]);
}

/* The book holds at least what was acknowledged and at most what was sent; each such slice is paid,
 * no other is. */
static uint64_t check_book(struct world *world, struct rr_purse **purses,
                           const uint32_t sent[VIEWERS], uint32_t acked[VIEWERS])
{
    uint64_t total = 0;
    struct rr_chain_tip tip;
    world_open_chain(world);
    world_open_till(world);
    rr_chain_tip(world->chain, &tip);
    if (tip.time_ms > atomic_load(&world->now_ms)) {
        atomic_store(&world->now_ms, tip.time_ms); /* the child's clock went on */
    }
    for (int i = 0; i < VIEWERS; i++) {
        struct rr_session_request request = world_request(world, i, rr_purse_voucher(purses[i]));
        struct rr_session_answer answer;
        world_ok(rr_till_open_session(world->till, &answer, &request, &world->manifest, &fault));
        assert_true(answer.accepted_depth >= acked[i]);
        assert_true(answer.accepted_depth <= sent[i]);
        uint32_t depth = answer.accepted_depth;
        for (uint32_t key = depth > 50 ? depth - 50 : 1; key <= depth; key++) {
            assert_int_equal(world_charge(world, &answer, purses[i], 0, key), RR_OK);
        }
        assert_int_equal(world_charge(world, &answer, purses[i], 0, depth + 1), RR_ERR_FUNDS);
        acked[i] = depth; /* the child goes on from here */
        total += depth;
    }
    struct rr_till_stats stats;
    rr_till_stats(world->till, &stats);
    assert_int_equal(stats.paid_units, total);
    assert_int_equal(stats.sessions, VIEWERS);
    assert_true(stats.settled_units <= stats.paid_units);
    rr_till_close(world->till);
    rr_chain_close(world->chain);
    world->till = NULL;
    world->chain = NULL;
    return stats.settled_units;
}

static void kill_often(bool settling, long kills)
{
    struct world *world = world_new();
    struct rr_purse *purses[VIEWERS];
    world->manifest.slice_price = coins(PRICE);
    world->options.risk_limit = coins(DEPOSIT);
    world->options.settle_amount = coins(DEPOSIT);
    rr_till_close(world->till);
    world_open_till(world);
    uint32_t sent[VIEWERS] = {0};
    uint32_t acked[VIEWERS] = {0};
    for (int i = 0; i < VIEWERS; i++) {
        world->pools[i] = world_make_pool(world, i, DEPOSIT, 10000);
        purses[i] = world_purse(world, i, &world->pools[i], UNITS);
    }
    rr_till_close(world->till);
    rr_chain_close(world->chain);
    struct rr_prng prng;
    rr_prng_seed(&prng, 20);
    uint64_t count = 0;
    uint64_t settled = 0;
    long with_progress = 0;
    for (long i = 0; i < kills; i++) {
        uint64_t before = count;
        uint32_t wait_us = (uint32_t)rr_prng_below(&prng, settling ? 80000 : 40000);
        kill_one(world, purses, wait_us, settling, sent, acked, &count);
        with_progress += count > before ? 1 : 0;
        settled = check_book(world, purses, sent, acked);
    }
    assert_true(settling ? settled > 0 : settled == 0);
    print_message("%ld kills, %ld of them with units acknowledged, %llu units, 0 lost\n", kills,
                  with_progress, (unsigned long long)count);
    assert_true(with_progress > kills / 4);

    /* And all of it reaches the chain, once. */
    struct rr_till_stats stats;
    uint64_t total = 0;
    world_open_chain(world);
    world_open_till(world);
    for (int i = 0; i < 3; i++) {
        uint32_t submitted;
        world_ok(rr_till_settle(world->till, true, &submitted, &fault));
        world_mine(world, 1);
    }
    uint32_t submitted;
    world_ok(rr_till_settle(world->till, true, &submitted, &fault));
    rr_till_stats(world->till, &stats);
    for (int i = 0; i < VIEWERS; i++) {
        struct rr_pool_target target;
        struct rr_address rig;
        rr_address_of(&rig, &world->rig_public);
        world_ok(rr_chain_pool_target(world->chain, &world->pools[i], &rig, &target, &fault));
        assert_int_equal(rr_coin_units(target.settled), acked[i] * (uint64_t)PRICE);
        total += acked[i];
        rr_purse_free(purses[i]);
    }
    assert_int_equal(stats.settled_units, total);
    assert_int_equal(stats.paid_units, total);
    assert_int_equal(rr_coin_units(stats.settled), total * PRICE);
    world_free(world);
}

static long kills_wanted(void)
{
    const char *wish = getenv("RR_KILLS");
    long kills = wish == NULL ? 100 : strtol(wish, NULL, 10);
    assert_true(kills > 0);
    return kills;
}

static void acknowledged_units_are_never_lost_and_never_counted_twice(void **state)
{
    (void)state;
    kill_often(false, kills_wanted());
}

static void nor_while_they_are_being_settled(void **state)
{
    (void)state;
    kill_often(true, (kills_wanted() + 2) / 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acknowledged_units_are_never_lost_and_never_counted_twice),
        cmocka_unit_test(nor_while_they_are_being_settled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
