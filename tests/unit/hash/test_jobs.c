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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_equal_finals_the_lower_nonce_wins),
        cmocka_unit_test(results_in_any_order_give_the_lowest_solution),
        cmocka_unit_test(the_last_nonce_is_given_out_once),
        cmocka_unit_test(nonces_are_shared_by_weight),
        cmocka_unit_test(heaviest_job_waits_one_quantum_of_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
