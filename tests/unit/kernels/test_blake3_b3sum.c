/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Against the program b3sum of BLAKE3's authors, on fresh random files; skipped where it is absent.
 */
#include "vectors.h"

#include "blake3/blake3.h"
#include "kcheck/kcheck.h"

#define FILES     40
#define BYTES_MAX 200000

static char folder[] = "/tmp/rr-b3sum-XXXXXX";

static void hex(char text[static 65], const uint8_t hash[static 32])
{
    for (int i = 0; i < 32; i++) {
        (void)snprintf(text + 2 * (size_t)i, 3, "%02x", hash[i]);
    }
}

static void b3sum_gives_the_same_roots(void **state)
{
    (void)state;
    static uint8_t data[BYTES_MAX];
    struct rr_kcheck_random random = {test_seed()};
    print_message("seed 0x%llx\n", (unsigned long long)random.state);
    char path[100];
    char out_path[100];
    (void)snprintf(path, sizeof(path), "%s/input", folder);
    (void)snprintf(out_path, sizeof(out_path), "%s/output", folder);
    for (int i = 0; i < FILES; i++) {
        size_t len = rr_kcheck_size(&random, BYTES_MAX);
        for (size_t b = 0; b < len; b++) {
            data[b] = (uint8_t)rr_kcheck_u64(&random);
        }
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(data, 1, len, file), len);
        assert_int_equal(fclose(file), 0);

        char *arguments[] = {(char[]){"b3sum"}, (char[]){"--no-names"}, path, NULL};
        assert_int_equal(run_program(arguments, out_path), 0);
        char want[66] = "";
        file = fopen(out_path, "r");
        assert_non_null(file);
        assert_non_null(fgets(want, sizeof(want), file));
        (void)fclose(file);
        want[64] = '\0';

        uint8_t root[32];
        char got[65];
        rr_blake3(root, data, len);
        hex(got, root);
        assert_string_equal(got, want);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(out_path), 0);
}

int main(void)
{
    char *version[] = {(char[]){"b3sum"}, (char[]){"--version"}, NULL};
    if (run_program(version, "/dev/null") != 0) {
        print_message("skipped: no b3sum on PATH\n");
        return 77;
    }
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(b3sum_gives_the_same_roots),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)rmdir(folder);
    return failed;
}
