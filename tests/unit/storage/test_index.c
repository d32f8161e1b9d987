/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records, quota, manifests: what the index says, through restarts. */
#include "shelf.h"

static bool count_object(void *ctx, const struct rr_object *object)
{
    (void)object;
    ++*(unsigned *)ctx;
    return true;
}

static bool count_two(void *ctx, const struct rr_object *object)
{
    (void)object;
    return ++*(unsigned *)ctx < 2;
}

static void the_same_bytes_are_one_object_and_cost_no_space(void **state)
{
    (void)state;
    struct shelf shelf;
    enum { LEN = 100000 };
    uint8_t *bytes = shelf_bytes(LEN);
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    struct rr_object one = shelf_put(&shelf, bytes, LEN, 4, 2);
    struct rr_store_stats before = shelf_stats(&shelf);
    struct rr_object two = shelf_put(&shelf, bytes, LEN, 4, 2);
    struct rr_store_stats after = shelf_stats(&shelf);
    assert_memory_equal(&one, &two, sizeof one);
    assert_int_equal(before.bytes, after.bytes);
    assert_int_equal(after.objects, 1);
    assert_int_equal(after.shards, 6);
    assert_int_equal(after.bytes, 6 * rr_object_shard_bytes(&one));
    /* Another code is another object. */
    struct rr_object other = shelf_put(&shelf, bytes, LEN, 8, 3);
    assert_false(rr_hash32_equal(&one.object_id, &other.object_id));
    shelf_expect_clean(&shelf, 2, 17);
    shelf_clear(&shelf);
    rr_free(bytes);
}

static void removed_is_gone_with_its_files_and_its_quota(void **state)
{
    (void)state;
    struct shelf shelf;
    struct rr_fault fault = {0};
    struct rr_object found;
    struct stat info;
    char path[RR_PATH_BYTES];
    unsigned count = 0;
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    struct rr_object kept = shelf_put(&shelf, "kept", 4, 4, 2);
    struct rr_object gone = shelf_put(&shelf, "gone", 4, 4, 2);
    shelf_path(&shelf, path, &gone, 5);
    assert_int_equal(stat(path, &info), 0);
    shelf_ok(rr_store_remove(shelf.store, &gone.object_id, &fault), &fault);
    shelf_ok(rr_store_remove(shelf.store, &gone.object_id, &fault), &fault); /* absent is fine */
    assert_int_equal(stat(path, &info), -1);
    assert_int_equal(rr_store_object(shelf.store, &gone.object_id, &found, &fault),
                     RR_ERR_NOTFOUND);
    assert_true(strlen(fault.text) > 0);
    assert_int_equal(shelf_stats(&shelf).bytes, 6 * RR_STRIP_BYTES);
    shelf_expect_clean(&shelf, 1, 6);
    rr_store_close(shelf.store);
    shelf_open(&shelf);
    assert_int_equal(shelf_stats(&shelf).objects, 1);
    shelf_ok(rr_store_visit(shelf.store, count_object, &count, &fault), &fault);
    assert_int_equal(count, 1);
    shelf_expect(&shelf, &kept, 0, (const uint8_t *)"kept", 4);
    gone = shelf_put(&shelf, "gone", 4, 4, 2);
    shelf_expect(&shelf, &gone, 0, (const uint8_t *)"gone", 4);
    count = 0;
    shelf_ok(rr_store_visit(shelf.store, count_two, &count, &fault), &fault);
    assert_int_equal(count, 2);
    shelf_clear(&shelf);
}

static void the_quota_is_exact_and_comes_back_with_the_space(void **state)
{
    (void)state;
    struct shelf shelf;
    struct rr_fault fault = {0};
    struct rr_object object;
    enum { LEN = 4 * RR_STRIP_BYTES, COST = 6 * RR_STRIP_BYTES };
    uint8_t *bytes = shelf_bytes(LEN + 10);
    shelf_init(&shelf, true);
    shelf_ok(shelf_try_open(&shelf, 3 * COST, 0, &fault), &fault);
    shelf_put(&shelf, bytes, LEN, 4, 2);
    shelf_put(&shelf, bytes + 1, LEN, 4, 2);
    object = shelf_put(&shelf, bytes + 2, LEN, 4, 2); /* the last byte of it */
    rr_store_close(shelf.store);
    shelf_ok(shelf_try_open(&shelf, 3 * COST, 0, &fault), &fault);
    assert_int_equal(shelf_stats(&shelf).quota_bytes, 3 * COST);
    assert_int_equal(shelf_stats(&shelf).bytes, 3 * COST);
    struct rr_object refused = {.length = 77};
    assert_int_equal(rr_store_put(shelf.store, &refused, rr_slice_of(bytes + 3, 1), 4, 2, &fault),
                     RR_ERR_FULL);
    assert_int_equal(refused.length, 77);
    assert_int_equal(fault.code, RR_ERR_FULL);
    shelf_expect_clean(&shelf, 3, 18);
    shelf_ok(rr_store_remove(shelf.store, &object.object_id, &fault), &fault);
    shelf_put(&shelf, bytes + 3, LEN, 4, 2);
    shelf_expect_clean(&shelf, 3, 18);
    shelf_clear(&shelf);
    rr_free(bytes);
}

static void headroom_is_refused_before_anything_is_written(void **state)
{
    (void)state;
    struct shelf shelf;
    struct rr_fault fault = {0};
    struct rr_object object;
    shelf_init(&shelf, true);
    shelf_ok(shelf_try_open(&shelf, 0, UINT64_MAX, &fault), &fault);
    assert_int_equal(rr_store_put(shelf.store, &object, rr_slice_str("x"), 4, 2, &fault),
                     RR_ERR_FULL);
    shelf_expect_clean(&shelf, 0, 0);
    rr_store_close(shelf.store);
    shelf_open(&shelf);
    uint64_t free_bytes = shelf_stats(&shelf).free_bytes;
    assert_true(free_bytes > 0);
    rr_store_close(shelf.store);
    shelf_ok(shelf_try_open(&shelf, 0, free_bytes / 2, &fault), &fault);
    shelf_put(&shelf, "x", 1, 4, 2);
    shelf_expect_clean(&shelf, 1, 6);
    shelf_clear(&shelf);
}

static void a_second_opener_is_refused_and_harms_nothing(void **state)
{
    (void)state;
    struct shelf shelf;
    struct rr_fault fault = {0};
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    struct rr_object object = shelf_put(&shelf, "held", 4, 4, 2);
    struct shelf second = shelf;
    second.store = NULL;
    assert_int_equal(shelf_try_open(&second, 0, 0, &fault), RR_ERR_BUSY);
    assert_null(second.store);
    shelf_expect(&shelf, &object, 0, (const uint8_t *)"held", 4);
    shelf_expect_clean(&shelf, 1, 6);
    shelf_clear(&shelf);
}

static void ranges_beyond_the_object_are_refused(void **state)
{
    (void)state;
    struct shelf shelf;
    uint8_t out[16];
    struct rr_fault fault = {0};
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    struct rr_object object = shelf_put(&shelf, "0123456789", 10, 4, 2);
    shelf_expect(&shelf, &object, 10, (const uint8_t *)"", 0);
    shelf_expect(&shelf, &object, 9, (const uint8_t *)"9", 1);
    assert_int_not_equal(rr_store_read(shelf.store, &object, 10, out, 1, &fault), RR_OK);
    assert_int_not_equal(rr_store_read(shelf.store, &object, 0, out, 11, &fault), RR_OK);
    assert_int_not_equal(rr_store_read(shelf.store, &object, UINT64_MAX, out, 2, &fault), RR_OK);
    assert_int_equal(shelf_stats(&shelf).degraded_reads, 0);
    shelf_clear(&shelf);
}

static void fsck_tells_each_kind_of_harm(void **state)
{
    (void)state;
    struct shelf shelf;
    struct rr_fault fault = {0};
    struct rr_store_check check;
    char path[RR_PATH_BYTES];
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    struct rr_object object = shelf_put(&shelf, "some bytes", 10, 4, 2);
    shelf_put(&shelf, "other bytes", 11, 8, 3);
    shelf_delete(&shelf, &object, 4);
    shelf_flip(&shelf, &object, 1, 12345, true);
    shelf_path(&shelf, path, &object, 4);
    char *name = strrchr(path, '/') + 1;
    name[0] = name[0] == 'f' ? 'e' : 'f'; /* still in the folder, but of no object */
    shelf_ok(rr_file_write(path, rr_slice_str("orphan"), 0600, &fault), &fault);
    shelf_ok(rr_store_fsck(shelf.store, &check, &fault), &fault);
    assert_int_equal(check.objects, 2);
    assert_int_equal(check.shards_bad, 1);
    assert_int_equal(check.shards_missing, 1);
    assert_int_equal(check.shards_good, 15);
    assert_int_equal(check.orphans, 1);
    assert_int_equal(check.quota_drift_bytes, 0);
    shelf_clear(&shelf);
}

static struct rr_manifest make_manifest(const struct rr_seckey *key, uint64_t created,
                                        uint32_t revision, struct rr_object *object)
{
    struct rr_manifest manifest = {.chain_id = 7,
                                   .created_ms = created,
                                   .kind = RR_RESOURCE_FILE,
                                   .revision = revision,
                                   .slice_bytes = 65536,
                                   .objects = object,
                                   .object_count = 1};
    snprintf(manifest.title, sizeof manifest.title, "revision %u", revision);
    rr_seckey_public(key, &manifest.owner);
    rr_resource_id(&manifest.resource_id, manifest.chain_id, &manifest.owner, &object->object_id,
                   created, manifest.kind);
    rr_manifest_sign(&manifest, key);
    return manifest;
}

static bool note_id(void *ctx, const struct rr_hash32 *id)
{
    rr_buf_append(ctx, id->bytes, 32);
    return true;
}

static void of_two_revisions_the_later_is_kept_in_any_order(void **state)
{
    (void)state;
    struct shelf shelf;
    struct rr_fault fault = {0};
    struct rr_manifest found;
    struct rr_buf ids = {0};
    uint8_t secret[32] = {1};
    struct rr_seckey *key = rr_seckey_from_bytes(secret);
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    struct rr_object object = shelf_put(&shelf, "original", 8, 4, 2);
    struct rr_manifest first = make_manifest(key, 1000, 1, &object);
    struct rr_manifest second = make_manifest(key, 1000, 2, &object);
    struct rr_manifest other = make_manifest(key, 2000, 1, &object);
    assert_int_equal(rr_store_manifest(shelf.store, &found, &first.resource_id, &fault),
                     RR_ERR_NOTFOUND);
    shelf_ok(rr_store_put_manifest(shelf.store, &first, &fault), &fault);
    shelf_ok(rr_store_put_manifest(shelf.store, &second, &fault), &fault);
    enum rr_err late = rr_store_put_manifest(shelf.store, &first, &fault);
    assert_true(late == RR_OK || late == RR_ERR_EXISTS);
    shelf_ok(rr_store_put_manifest(shelf.store, &other, &fault), &fault);
    rr_store_close(shelf.store);
    shelf_open(&shelf);
    shelf_ok(rr_store_manifest(shelf.store, &found, &first.resource_id, &fault), &fault);
    assert_int_equal(found.revision, 2);
    assert_string_equal(found.title, "revision 2");
    assert_true(rr_manifest_verify(&found));
    assert_memory_equal(&found.objects[0], &object, sizeof object);
    rr_manifest_clear(&found);
    shelf_ok(rr_store_visit_manifests(shelf.store, note_id, &ids, &fault), &fault);
    assert_int_equal(ids.len, 64);
    rr_buf_clear(&ids);
    shelf_clear(&shelf);
    rr_seckey_free(key);
}

int main(void)
{
    shelf_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_bytes_are_one_object_and_cost_no_space),
        cmocka_unit_test(removed_is_gone_with_its_files_and_its_quota),
        cmocka_unit_test(the_quota_is_exact_and_comes_back_with_the_space),
        cmocka_unit_test(headroom_is_refused_before_anything_is_written),
        cmocka_unit_test(a_second_opener_is_refused_and_harms_nothing),
        cmocka_unit_test(ranges_beyond_the_object_are_refused),
        cmocka_unit_test(fsck_tells_each_kind_of_harm),
        cmocka_unit_test(of_two_revisions_the_later_is_kept_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
