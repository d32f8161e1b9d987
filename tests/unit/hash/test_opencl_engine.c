/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole engine on the OpenCL backend: jobs, checks, epochs, a device that is lost. */
#ifdef RR_WITH_OPENCL
#include "hash/hash_engine.h"
#include "unit/hash/opencl_lab.h"
#include <stdatomic.h>
#include <time.h>

#define JOBS 300

struct outcome {
    atomic_uint calls;
    struct rr_hash_result result;
};

static void keep(void *ctx, const struct rr_hash_result *result)
{
    struct outcome *outcome = ctx;
    outcome->result = *result;
    atomic_fetch_add(&outcome->calls, 1);
}

static void wait_ms(long ms)
{
    struct timespec time = {.tv_nsec = ms * 1000000};
    (void)nanosleep(&time, NULL);
}

/* The winner of a race held before: another one would take its time at each start. */
static bool load_tuning(void *ctx, const char *key, char text[static 96])
{
    (void)ctx;
    assert_non_null(strstr(key, "opencl:"));
    opencl_shape_text(text, opencl_shapes + OPENCL_SHAPES - 1);
    return true;
}

static struct rr_hash_engine *new_engine(const char *devices)
{
    struct rr_hash_engine *engine = NULL;
    struct rr_fault fault = {0};
    const struct rr_hash_options options = {.devices = devices,
                                            .threads = 1,
                                            .dataset_bytes_max = 4 << 20,
                                            .tuning = {.load = load_tuning}};
    /* A compiler at work on a slow, sanitized machine is no hung driver. */
    static const struct hash_backend *const backends[] = {&hash_backend_opencl, &hash_backend_cpu};
    struct hash_kit kit = {.backends = backends,
                           .count = RR_COUNT(backends),
                           .falls_back = true,
                           .times = hash_times_default};
    kit.times.hang_us = UINT64_C(250) * 1000000;
    if (hash_engine_new_with(&engine, &kit, &one_mib, &options, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    return engine;
}

static struct rr_hash_device_status status_of(struct rr_hash_engine *engine, const char *backend)
{
    struct rr_hash_device_status all[RR_HASH_DEVICES_MAX];
    size_t count = rr_hash_engine_devices(engine, all, RR_HASH_DEVICES_MAX);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(all[i].device.backend, backend) == 0) {
            return all[i];
        }
    }
    fail_msg("no device of %s", backend);
    return all[0];
}

/* Jobs of both kinds at once, each compared with the law. */
static void run_jobs(struct rr_hash_engine *engine, const struct lab *lab, struct rr_prng *prng)
{
    struct outcome *outcomes = test_calloc(JOBS, sizeof(*outcomes));
    struct hash_work *works = test_calloc(JOBS, sizeof(*works));
    for (size_t i = 0; i < JOBS; i++) {
        works[i] = random_work(prng, 600);
        uint64_t difficulty = 1 + rr_prng_below(prng, 900);
        rr_u256_to_be(works[i].boundary_be, rr_hash_boundary(rr_u256_of(difficulty)));
        struct rr_hash_job job = {.kind = works[i].kind,
                                  .nonce_start = works[i].nonce,
                                  .nonce_count = works[i].count,
                                  .difficulty = rr_u256_of(difficulty)};
        memcpy(job.header_hash, works[i].header_hash, 32);
        uint64_t id = 0;
        assert_int_equal(rr_hash_submit(engine, &id, &job, keep, &outcomes[i], NULL), RR_OK);
    }
    for (size_t i = 0; i < JOBS; i++) {
        while (atomic_load(&outcomes[i].calls) == 0) {
            wait_ms(1);
        }
        struct hash_candidate want = law_of(lab, &works[i]);
        const struct rr_hash_result *got = &outcomes[i].result;
        assert_int_equal(got->end, want.found ? RR_HASH_FOUND : RR_HASH_NOTHING);
        assert_int_equal(got->found, want.found);
        if (want.found) {
            assert_int_equal(got->nonce, want.nonce);
            assert_memory_equal(got->final_be, want.final_be, 32);
        }
    }
    test_free(works);
    test_free(outcomes);
}

static void check_some(struct rr_hash_engine *engine, const struct lab *lab, struct rr_prng *prng)
{
    struct rr_hash_check checks[200] = {0};
    for (size_t i = 0; i < RR_COUNT(checks); i++) {
        memset(checks[i].header_hash, (int)i, 32);
        checks[i].nonce = rr_prng_u64(prng);
    }
    assert_int_equal(rr_hash_verify(engine, checks, RR_COUNT(checks), NULL), RR_OK);
    for (size_t i = 0; i < RR_COUNT(checks); i++) {
        uint8_t mix[32];
        uint8_t final_be[32];
        law(lab, checks[i].header_hash, checks[i].nonce, mix, final_be);
        assert_memory_equal(checks[i].mix, mix, 32);
        assert_memory_equal(checks[i].final_be, final_be, 32);
    }
}

static void jobs_checks_and_epochs_run_on_opencl_alone(void **state)
{
    (void)state;
    struct rr_prng prng;
    struct lab lab = lab_of(one_mib);
    struct lab next =
        lab_of((struct rr_hash_params){.cache_items = 1031, .dataset_items = 8209, .seed = {9}});
    rr_prng_seed(&prng, test_seed());
    struct rr_hash_engine *engine = new_engine("opencl");
    assert_non_null(strstr(rr_hash_engine_text(engine), "dataset, thread of 128"));
    run_jobs(engine, &lab, &prng);
    check_some(engine, &lab, &prng);
    assert_int_equal(rr_hash_engine_prepare_next(engine, &next.params, NULL), RR_OK);
    while (!rr_hash_engine_next_ready(engine)) {
        wait_ms(5);
    }
    assert_int_equal(rr_hash_engine_switch(engine, &next.params, NULL), RR_OK);
    run_jobs(engine, &next, &prng);
    check_some(engine, &next, &prng);
    struct rr_hash_device_status gpu = status_of(engine, "opencl");
    struct rr_hash_device_status cpu = status_of(engine, "cpu");
    assert_int_equal(gpu.state, RR_HASH_DEVICE_RUNNING);
    assert_int_equal(gpu.failed_checks + gpu.rejected + gpu.errors, 0);
    assert_true(gpu.hashes > JOBS && gpu.accepted > 0);
    assert_int_equal(cpu.state, RR_HASH_DEVICE_OFF);
    assert_int_equal(cpu.hashes, 0);
    rr_hash_engine_free(engine);
    lab_clear(&lab);
    lab_clear(&next);
}

/* ---- a device that is lost ----------------------------------------------------------------------
 */
static const struct opencl_api *real;
static atomic_bool gone;

static cl_int read_while_there(cl_command_queue queue, cl_mem buffer, cl_bool blocking,
                               size_t offset, size_t size, void *out, cl_uint waits,
                               const cl_event *wait, cl_event *event)
{
    if (atomic_load(&gone)) {
        return CL_DEVICE_NOT_AVAILABLE;
    }
    return real->clEnqueueReadBuffer(queue, buffer, blocking, offset, size, out, waits, wait,
                                     event);
}

static void a_lost_device_leaves_its_jobs_to_the_next(void **state)
{
    (void)state;
    char why_not[200];
    struct rr_prng prng;
    struct lab lab = lab_of(one_mib);
    rr_prng_seed(&prng, test_seed());
    real = opencl_api_get(why_not);
    struct opencl_api api = *real;
    api.clEnqueueReadBuffer = read_while_there;
    opencl_api_use(&api);
    struct rr_hash_engine *engine = new_engine("opencl,cpu");
    run_jobs(engine, &lab, &prng);
    atomic_store(&gone, true);
    while (status_of(engine, "opencl").state != RR_HASH_DEVICE_LOST) {
        run_jobs(engine, &lab, &prng); /* none is lost, none is wrong */
    }
    struct rr_hash_device_status lost = status_of(engine, "opencl");
    assert_non_null(strstr(lost.why, "CL_DEVICE_NOT_AVAILABLE"));
    run_jobs(engine, &lab, &prng);
    atomic_store(&gone, false);
    assert_int_equal(rr_hash_device_restart(engine, lost.device.id, NULL), RR_OK);
    assert_int_equal(status_of(engine, "opencl").state, RR_HASH_DEVICE_RUNNING);
    run_jobs(engine, &lab, &prng);
    rr_hash_engine_free(engine);
    opencl_api_use(NULL);
    lab_clear(&lab);
}

int main(void)
{
    struct rr_hash_device which;
    rr_log_set_level((enum rr_log_level)0); /* the lost device is lost on purpose */
    keep_compiled_kernels();
    if (!usable_device(&which)) {
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_checks_and_epochs_run_on_opencl_alone),
        cmocka_unit_test(a_lost_device_leaves_its_jobs_to_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void)
{
    return 77; /* built without the OpenCL headers */
}
#endif
