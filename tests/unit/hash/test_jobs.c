/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of jobs without threads: who gets nonces, and which result wins. */
#include "unit/kernels/vectors.h"

#include "hash/hash_jobs.h"

static struct hash_jobs jobs;

static struct hash_job make_job(uint64_t first, uint64_t last, uint32_t weight,
                                enum rr_hash_kind kind)
{
    struct hash_job job = {.next = first, .last = last};
    job.spec.nonce_start = first;
    job.spec.weight = weight;
    job.spec.kind = kind;
    return job;
}

static void of_equal_finals_the_lower_nonce_wins(void **state)
{
    (void)state;
    for (int kind = RR_HASH_TARGET; kind <= RR_HASH_ARGMIN; kind++) {
        struct hash_candidate none = {0};
        struct hash_candidate low = {.found = true, .nonce = 10};
        struct hash_candidate high = {.found = true, .nonce = 11};
        assert_true(hash_candidate_replaces(&none, &high, (enum rr_hash_kind)kind));
        assert_false(hash_candidate_replaces(&high, &none, (enum rr_hash_kind)kind));
        assert_false(hash_candidate_replaces(&none, &none, (enum rr_hash_kind)kind));
        assert_true(hash_candidate_replaces(&high, &low, (enum rr_hash_kind)kind));
        assert_false(hash_candidate_replaces(&low, &high, (enum rr_hash_kind)kind));
        assert_false(hash_candidate_replaces(&low, &low, (enum rr_hash_kind)kind));
    }
    /* A target takes the lower nonce whatever its hash, argmin the lower hash whatever its nonce.
     */
    struct hash_candidate small = {.found = true, .nonce = 9};
    struct hash_candidate large = {.found = true, .nonce = 5, .final_be = {[31] = 1}};
    assert_true(hash_candidate_replaces(&small, &large, RR_HASH_TARGET));
    assert_false(hash_candidate_replaces(&small, &large, RR_HASH_ARGMIN));
    assert_true(hash_candidate_replaces(&large, &small, RR_HASH_ARGMIN));
}

static void results_in_any_order_give_the_lowest_solution(void **state)
{
    (void)state;
    struct hash_work work;
    hash_jobs_init(&jobs);
    struct hash_job job = make_job(0, 99, 1, RR_HASH_TARGET);
    hash_jobs_add(&jobs, &job);
    const struct hash_source source = {.device = 0, .life = 1};
    struct hash_work works[3];
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(hash_jobs_take(&jobs, &works[i], 10, 10, 1), &job);
        assert_int_equal(works[i].nonce, 10 * i);
        assert_int_equal(works[i].count, 10);
    }
    const struct hash_candidate third = {.found = true, .done = 3, .nonce = 22};
    const struct hash_candidate second = {.found = false, .done = 10};
    const struct hash_candidate first = {.found = true, .done = 8, .nonce = 7};
    hash_jobs_return(&jobs, &job, &works[2], source, &third);
    assert_false(hash_job_ready(&job));
    assert_null(hash_jobs_take(&jobs, &work, 10, 10, 1));
    hash_jobs_return(&jobs, &job, &works[1], source, &second);
    hash_jobs_return(&jobs, &job, &works[0], source, &first);
    assert_true(hash_job_ready(&job));
    assert_int_equal(job.best.nonce, 7);
    assert_int_equal(job.hashes, 21);
    hash_jobs_remove(&jobs, &job);
    assert_null(hash_jobs_find(&jobs, job.id));
}

static void the_last_nonce_is_given_out_once(void **state)
{
    (void)state;
    struct hash_work work;
    hash_jobs_init(&jobs);
    struct hash_job job = make_job(UINT64_MAX - 4, UINT64_MAX, 1, RR_HASH_ARGMIN);
    hash_jobs_add(&jobs, &job);
    assert_non_null(hash_jobs_take(&jobs, &work, 3, 100, 1));
    assert_int_equal(work.nonce, UINT64_MAX - 4);
    assert_int_equal(work.count, 3);
    assert_non_null(hash_jobs_take(&jobs, &work, 3, 100, 1));
    assert_int_equal(work.nonce, UINT64_MAX - 1);
    assert_int_equal(work.count, 2);
    assert_null(hash_jobs_take(&jobs, &work, 3, 100, 1));
    struct hash_job all = make_job(0, UINT64_MAX, 1, RR_HASH_ARGMIN);
    hash_jobs_add(&jobs, &all);
    assert_ptr_equal(hash_jobs_take(&jobs, &work, UINT32_MAX, UINT32_MAX, 1), &all);
    assert_int_equal(work.count, UINT32_MAX);
    assert_int_equal(all.next, UINT32_MAX);
}

static void share(uint32_t quantum, uint32_t room, const uint32_t *weights, size_t count,
                  uint64_t total)
{
    static struct hash_job of[8];
    uint64_t got[8] = {0};
    uint64_t sum = 0;
    hash_jobs_init(&jobs);
    for (size_t i = 0; i < count; i++) {
        of[i] = make_job(0, UINT64_MAX, weights[i], RR_HASH_ARGMIN);
        hash_jobs_add(&jobs, &of[i]);
        sum += weights[i];
    }
    for (uint64_t given = 0; given < total;) {
        struct hash_work work;
        struct hash_job *job = hash_jobs_take(&jobs, &work, quantum, room, 1);
        assert_non_null(job);
        assert_true(work.count >= 1 && work.count <= room && work.count <= quantum + 1);
        assert_int_equal(work.nonce, got[job - of]); /* in order, without gaps */
        got[job - of] += work.count;
        given += work.count;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t fair = total * weights[i] / sum;
        assert_in_range(got[i], fair - fair / 20 - 2 * quantum, fair + fair / 20 + 2 * quantum);
    }
}

static void nonces_are_shared_by_weight(void **state)
{
    (void)state;
    const uint32_t mixed[] = {1, 2, 4, 64, 9};
    const uint32_t same[] = {3, 3, 3};
    share(1, 1, mixed, 5, 200000);
    share(50, 50, mixed, 5, 2000000);
    share(4096, 100, mixed, 5, 40000000);
    share(1, 16, same, 3, 30000);
    share(100, 100, same, 3, 300000);
}

static void heaviest_job_waits_one_quantum_of_another(void **state)
{
    (void)state;
    struct hash_work work;
    hash_jobs_init(&jobs);
    struct hash_job light = make_job(0, UINT64_MAX, 1, RR_HASH_ARGMIN);
    hash_jobs_add(&jobs, &light);
    assert_ptr_equal(hash_jobs_take(&jobs, &work, 100, 100, 1), &light);
    struct hash_job heavy = make_job(0, UINT64_MAX, 64, RR_HASH_ARGMIN);
    hash_jobs_add(&jobs, &heavy);
    uint64_t others = 0;
    while (hash_jobs_take(&jobs, &work, 100, 100, 1) != &heavy) {
        others += work.count;
    }
    assert_true(others <= 100);
}

/* ---- given back and undone ---------------------------------------------------------------------
 */
static void what_is_given_back_goes_out_again_lowest_first(void **state)
{
    (void)state;
    struct hash_work works[4];
    struct hash_work again;
    const struct hash_source source = {.device = 0, .life = 1};
    hash_jobs_init(&jobs);
    struct hash_job job = make_job(0, 39, 1, RR_HASH_ARGMIN);
    hash_jobs_add(&jobs, &job);
    for (int i = 0; i < 4; i++) {
        assert_ptr_equal(hash_jobs_take(&jobs, &works[i], 10, 10, 1), &job);
    }
    assert_null(hash_jobs_take(&jobs, &again, 10, 10, 1)); /* all is out */
    hash_jobs_give_back(&jobs, &job, &works[2]);
    hash_jobs_give_back(&jobs, &job, &works[0]);
    assert_ptr_equal(hash_jobs_take(&jobs, &again, 4, 4, 1), &job);
    assert_int_equal(again.nonce, 0);
    assert_int_equal(again.count, 4);
    const struct hash_candidate done = {.done = 4};
    hash_jobs_return(&jobs, &job, &again, source, &done);
    assert_ptr_equal(hash_jobs_take(&jobs, &again, 40, 40, 1), &job);
    assert_int_equal(again.nonce, 4); /* to the end of that range, not over the gap */
    assert_int_equal(again.count, 6);
    hash_jobs_give_back(&jobs, &job, &again);
    hash_jobs_stop(&jobs, &job); /* ended: takes nothing back any more */
    assert_null(hash_jobs_take(&jobs, &again, 40, 40, 1));
    hash_jobs_give_back(&jobs, &job, &works[1]);
    hash_jobs_give_back(&jobs, &job, &works[3]);
    assert_null(hash_jobs_take(&jobs, &again, 40, 40, 1));
    assert_true(hash_job_ready(&job));
    assert_int_equal(job.hashes, 4);
    hash_jobs_remove(&jobs, &job);
    hash_jobs_clear(&jobs);
}

static void lower_nonces_of_a_solved_target_still_go_out(void **state)
{
    (void)state;
    struct hash_work works[3];
    struct hash_work again;
    const struct hash_source source = {.device = 0, .life = 1};
    hash_jobs_init(&jobs);
    struct hash_job job = make_job(0, 999, 1, RR_HASH_TARGET);
    hash_jobs_add(&jobs, &job);
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(hash_jobs_take(&jobs, &works[i], 10, 10, 1), &job);
    }
    const struct hash_candidate found = {.found = true, .done = 5, .nonce = 14};
    hash_jobs_return(&jobs, &job, &works[1], source, &found);
    assert_null(hash_jobs_take(&jobs, &again, 10, 10, 1));
    hash_jobs_give_back(&jobs, &job, &works[2]); /* above the solution: nobody needs it */
    assert_null(hash_jobs_take(&jobs, &again, 10, 10, 1));
    hash_jobs_give_back(&jobs, &job, &works[0]);
    assert_ptr_equal(hash_jobs_take(&jobs, &again, 10, 10, 1), &job);
    assert_int_equal(again.nonce, 0);
    assert_false(hash_job_ready(&job));
    const struct hash_candidate none = {.done = 10};
    hash_jobs_return(&jobs, &job, &again, source, &none);
    assert_true(hash_job_ready(&job));

    /* The solution was false: the rest goes out, what was above it included. */
    assert_true(hash_jobs_undo(&jobs, &job, 0, 1));
    assert_false(job.best.found);
    assert_int_equal(job.hashes, 0);
    uint64_t next = 0;
    while (next < 1000) {
        assert_ptr_equal(hash_jobs_take(&jobs, &again, 100, 100, 1), &job);
        assert_int_equal(again.nonce, next);
        next += again.count;
    }
    assert_null(hash_jobs_take(&jobs, &again, 100, 100, 1));
    hash_jobs_remove(&jobs, &job);
    hash_jobs_clear(&jobs);
}

static void only_the_wrong_lives_of_a_device_are_undone(void **state)
{
    (void)state;
    struct hash_work work;
    const struct hash_source sources[4] = {{.device = 0, .life = 1},
                                           {.device = 1, .life = 1},
                                           {.device = 0, .life = 2},
                                           {.device = 1, .life = 2}};
    hash_jobs_init(&jobs);
    struct hash_job job = make_job(0, 39, 1, RR_HASH_ARGMIN);
    hash_jobs_add(&jobs, &job);
    for (uint8_t i = 0; i < 4; i++) {
        const struct hash_candidate found = {
            .found = true, .done = 10, .nonce = 10 * i, .final_be = {i}};
        assert_ptr_equal(hash_jobs_take(&jobs, &work, 10, 10, 1), &job);
        hash_jobs_return(&jobs, &job, &work, sources[i], &found);
    }
    assert_int_equal(job.best.nonce, 0);
    assert_int_equal(job.hashes, 40);
    assert_false(hash_jobs_undo(&jobs, &job, 2, 9));
    assert_false(hash_jobs_undo(&jobs, &job, 0, 0));
    assert_true(hash_jobs_undo(&jobs, &job, 0, 1));
    assert_int_equal(job.best.nonce, 10);
    assert_int_equal(job.hashes, 30);
    assert_true(hash_jobs_undo(&jobs, &job, 1, 2));
    assert_int_equal(job.best.nonce, 20);
    assert_int_equal(job.best_of.life, 2);
    assert_ptr_equal(hash_jobs_take(&jobs, &work, 99, 99, 1), &job);
    assert_int_equal(work.nonce, 0);
    assert_int_equal(work.count, 20); /* two works that touch */
    assert_ptr_equal(hash_jobs_take(&jobs, &work, 99, 99, 1), &job);
    assert_int_equal(work.nonce, 30);
    hash_jobs_remove(&jobs, &job);
    hash_jobs_clear(&jobs);
}

/* Against a bitmap: nothing that was added is ever missing, and below the limit nothing else is
 * there. */
static void ranges_hold_what_was_added(void **state)
{
    (void)state;
    enum { NONCES = 400 };
    struct rr_prng prng;
    rr_prng_seed(&prng, test_seed());
    for (int round = 0; round < 300; round++) {
        bool want[NONCES] = {false};
        uint32_t most = round % 3 == 0 ? UINT32_MAX : 1 + (uint32_t)rr_prng_below(&prng, 8);
        struct hash_ranges ranges = {0};
        bool merged = false;
        for (int i = 0; i < 40; i++) {
            uint64_t first = rr_prng_below(&prng, NONCES);
            uint64_t last = first + rr_prng_below(&prng, 12);
            last = last < NONCES ? last : NONCES - 1;
            uint32_t before = ranges.count;
            hash_ranges_add(&ranges, (struct hash_range){.first = first, .last = last}, most);
            merged = merged || before == most;
            memset(want + first, true, last - first + 1);
        }
        assert_true(ranges.count <= most);
        size_t at = 0;
        for (uint64_t n = 0; n < NONCES; n++) {
            while (at < ranges.count && ranges.at[at].last < n) {
                at++;
            }
            bool has = at < ranges.count && ranges.at[at].first <= n;
            assert_true(has || !want[n]);
            assert_true(merged || has == want[n]);
        }
        for (uint32_t i = 1; i < ranges.count; i++) {
            assert_true(ranges.at[i].first > ranges.at[i - 1].last + 1); /* apart and rising */
        }
        rr_free(ranges.at);
    }
    struct hash_ranges ranges = {0};
    hash_ranges_add(&ranges, (struct hash_range){UINT64_MAX - 3, UINT64_MAX}, 9);
    hash_ranges_add(&ranges, (struct hash_range){0, 3}, 9);
    assert_int_equal(ranges.count, 2); /* the ends of the number line do not touch */
    rr_free(ranges.at);
}

static void runs_are_multiples_of_the_step_but_at_a_range_s_end(void **state)
{
    (void)state;
    struct hash_work work;
    hash_jobs_init(&jobs);
    struct hash_job job = make_job(0, 999, 1, RR_HASH_ARGMIN);
    hash_jobs_add(&jobs, &job);
    uint64_t next = 0;
    while (next < 1000) {
        assert_null(hash_jobs_take(&jobs, &work, 300, 100, 128)); /* too little room */
        assert_ptr_equal(hash_jobs_take(&jobs, &work, 300, 200, 128), &job);
        assert_int_equal(work.nonce, next);
        next += work.count;
        assert_true(next == 1000 ? work.count == 104 : work.count == 128);
    }
    assert_int_equal(next, 1000);
    hash_jobs_clear(&jobs);
}

static void first_turns_go_by_deadline(void **state)
{
    (void)state;
    enum { JOBS = 200 };
    static struct hash_job many[JOBS];
    struct rr_prng prng;
    struct hash_work work;
    rr_prng_seed(&prng, test_seed());
    hash_jobs_init(&jobs);
    for (size_t i = 0; i < JOBS; i++) {
        many[i] = make_job(0, UINT64_MAX, 1, RR_HASH_ARGMIN);
        many[i].spec.deadline_us = i % 4 == 0 ? 0 : 1 + rr_prng_below(&prng, 1000);
        hash_jobs_add(&jobs, &many[i]);
    }
    for (size_t i = 1; i < JOBS; i += 7) { /* some end before their turn */
        hash_jobs_stop(&jobs, &many[i]);
    }
    uint64_t before_us = 0;
    size_t urgent = 0;
    struct hash_job *job = hash_jobs_take(&jobs, &work, 10, 10, 1);
    while (job->spec.deadline_us != 0) {
        assert_false(job->ended);
        assert_true(job->spec.deadline_us >= before_us);
        before_us = job->spec.deadline_us;
        urgent++;
        job = hash_jobs_take(&jobs, &work, 10, 10, 1);
    }
    size_t want = 0;
    for (size_t i = 0; i < JOBS; i++) {
        want += many[i].spec.deadline_us != 0 && !many[i].ended;
    }
    assert_int_equal(urgent, want); /* each one turn, then the ring's order */
    uint64_t last_us = 0;
    for (struct hash_job *first = NULL; hash_jobs_first_deadline(&jobs, &first) != UINT64_MAX;) {
        assert_true(first->spec.deadline_us >= last_us);
        last_us = first->spec.deadline_us;
        hash_jobs_stop(&jobs, first);
        want--;
    }
    assert_int_equal(want, 0);
    hash_jobs_clear(&jobs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_equal_finals_the_lower_nonce_wins),
        cmocka_unit_test(results_in_any_order_give_the_lowest_solution),
        cmocka_unit_test(the_last_nonce_is_given_out_once),
        cmocka_unit_test(nonces_are_shared_by_weight),
        cmocka_unit_test(heaviest_job_waits_one_quantum_of_another),
        cmocka_unit_test(what_is_given_back_goes_out_again_lowest_first),
        cmocka_unit_test(lower_nonces_of_a_solved_target_still_go_out),
        cmocka_unit_test(only_the_wrong_lives_of_a_device_are_undone),
        cmocka_unit_test(ranges_hold_what_was_added),
        cmocka_unit_test(runs_are_multiples_of_the_step_but_at_a_range_s_end),
        cmocka_unit_test(first_turns_go_by_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
