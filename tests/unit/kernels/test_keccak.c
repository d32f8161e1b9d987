/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vectors.h"

#include "kcheck/kcheck.h"
#include "keccak/keccak.h"

static void check_row(char *row)
{
    uint8_t data[1000];
    uint8_t want[64];
    uint8_t got[64];
    size_t len = (size_t)next_u64(&row);
    assert_true(len <= sizeof(data));
    fill_counting(data, len);
    next_hex(&row, want, 32);
    rr_keccak256(got, len == 0 ? NULL : data, len);
    assert_memory_equal(got, want, 32);
    next_hex(&row, want, 64);
    rr_keccak512(got, data, len);
    assert_memory_equal(got, want, 64);
}

static void keccak_equals_the_vectors(void **state)
{
    (void)state;
    assert_int_equal(each_row("keccak.txt", "keccak", check_row), 28);
}

static void output_may_lie_on_the_input(void **state)
{
    (void)state;
    uint8_t data[64];
    uint8_t want[64];
    fill_counting(data, 64);
    rr_keccak512(want, data, 64);
    rr_keccak512(data, data, 64);
    assert_memory_equal(data, want, 64);
}

static void law(uint8_t *out, const uint8_t *in, size_t len)
{
    rr_keccak256(out, in, len);
}

static void pieces(uint8_t *out, const uint8_t *in, size_t len, struct rr_kcheck_random *random)
{
    struct rr_keccak256 hasher;
    rr_keccak256_init(&hasher);
    while (len > 0) {
        size_t take = rr_kcheck_size(random, len);
        rr_keccak256_add(&hasher, in, take);
        in += take;
        len -= take;
    }
    rr_keccak256_final(&hasher, out);
}

static void pieces_give_the_hash_of_the_whole(void **state)
{
    (void)state;
    const struct rr_kcheck check = {.name = "keccak256 in pieces",
                                    .law = law,
                                    .variant = pieces,
                                    .len_max = 3000,
                                    .out_bytes = 32};
    char text[200];
    uint8_t *room = test_malloc(rr_kcheck_room(&check));
    uint64_t seed = test_seed();
    print_message("seed 0x%llx\n", (unsigned long long)seed);
    bool equal = rr_kcheck_run(&check, seed, 3000, room, text);
    test_free(room);
    if (!equal) {
        fail_msg("%s", text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keccak_equals_the_vectors),
        cmocka_unit_test(output_may_lie_on_the_input),
        cmocka_unit_test(pieces_give_the_hash_of_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
