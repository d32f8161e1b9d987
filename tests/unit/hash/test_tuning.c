/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "hash/hash.h"

static char folder[] = "/tmp/reelrig-tuning-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/tuning.txt", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rr_remove_tree(folder, NULL) == RR_OK ? 0 : 1;
}

static void write_text(const void *text, size_t len)
{
    assert_int_equal(rr_file_write(path, rr_slice_of(text, len), 0644, NULL), RR_OK);
}

static bool holds(const char *key, const char *want)
{
    struct rr_hash_tuning_file *file = NULL;
    char text[RR_HASH_TUNING_TEXT] = "";
    rr_hash_tuning_open(&file, path);
    bool found = rr_hash_tuning_load(file, key, text);
    rr_hash_tuning_close(file);
    return found && strcmp(text, want) == 0;
}

static void what_is_saved_is_there_after_the_next_start(void **state)
{
    (void)state;
    struct rr_hash_tuning_file *file = NULL;
    char text[RR_HASH_TUNING_TEXT];
    (void)unlink(path);
    rr_hash_tuning_open(&file, path);
    assert_false(rr_hash_tuning_load(file, "cuda:GPU-1|550.54|4", text));
    rr_hash_tuning_save(file, "cuda:GPU-1|550.54|4", "variant=lanes8 rows=4");
    rr_hash_tuning_save(file, "opencl:AMD \xc3\xa9/0|3 4|1", "variant=lanes4");
    rr_hash_tuning_save(file, "cuda:GPU-1|550.54|4", "variant=bulk");
    assert_true(rr_hash_tuning_load(file, "cuda:GPU-1|550.54|4", text));
    assert_string_equal(text, "variant=bulk");
    assert_false(rr_hash_tuning_load(file, "cuda:GPU-1|550.54|5", text));
    rr_hash_tuning_close(file);
    assert_true(holds("cuda:GPU-1|550.54|4", "variant=bulk"));
    assert_true(holds("opencl:AMD \xc3\xa9/0|3 4|1", "variant=lanes4"));
}

static void bad_lines_are_left_out_and_good_ones_kept(void **state)
{
    (void)state;
    char long_key[400];
    memset(long_key, 'k', sizeof(long_key));
    struct rr_buf text = {0};
    rr_buf_format(&text, "reelrig-tuning 1\n# words\n\ngood\tone\nno tab\n\tno key\nno text\t\n");
    rr_buf_append(&text, long_key, sizeof(long_key));
    rr_buf_format(&text, "\tx\nbell\t\a\n");
    rr_buf_append(&text, "nul\0\tx\n", 7);
    rr_buf_format(&text, "last\twithout end");
    write_text(text.ptr, text.len);
    rr_buf_clear(&text);
    assert_true(holds("good", "one"));
    assert_true(holds("last", "without end"));
    assert_false(holds("no text", ""));
    assert_false(holds("bell", "\a"));
    assert_false(holds("nul", "x"));
}

static void another_version_counts_as_empty_and_is_written_anew(void **state)
{
    (void)state;
    static const char *const texts[] = {"reelrig-tuning 2\nkey\told\n", "key\told\n", "", "\n",
                                        "reelrig-tuning 1 \nkey\told\n"};
    for (size_t i = 0; i < RR_COUNT(texts); i++) {
        struct rr_hash_tuning_file *file = NULL;
        write_text(texts[i], strlen(texts[i]));
        assert_false(holds("key", "old"));
        rr_hash_tuning_open(&file, path);
        rr_hash_tuning_save(file, "key", "new");
        rr_hash_tuning_close(file);
        assert_true(holds("key", "new"));
    }
}

static void every_prefix_of_a_file_gives_only_what_it_says(void **state)
{
    (void)state;
    static const char whole[] = "reelrig-tuning 1\na\tone\nb\ttwo\n";
    for (size_t len = 0; len < sizeof(whole); len++) {
        write_text(whole, len);
        assert_int_equal(holds("a", "one"), len >= strlen("reelrig-tuning 1\na\tone"));
        assert_int_equal(holds("b", "two"), len >= sizeof(whole) - 2);
    }
}

static void random_bytes_are_no_danger(void **state)
{
    (void)state;
    struct rr_prng prng;
    rr_prng_seed(&prng, 7);
    for (unsigned i = 0; i < 200; i++) {
        char bytes[600] = "reelrig-tuning 1\n";
        for (size_t k = 17; k < sizeof(bytes); k++) {
            bytes[k] = "\t\n\t\nabc#\xff\x01"[rr_prng_below(&prng, 10)];
        }
        write_text(bytes, sizeof(bytes));
        struct rr_hash_tuning_file *file = NULL;
        rr_hash_tuning_open(&file, path);
        rr_hash_tuning_save(file, "key", "text");
        rr_hash_tuning_close(file);
        assert_true(holds("key", "text"));
    }
}

static void what_would_break_the_file_is_not_saved(void **state)
{
    (void)state;
    struct rr_hash_tuning_file *file = NULL;
    char text[RR_HASH_TUNING_TEXT], long_text[200];
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    (void)unlink(path);
    rr_hash_tuning_open(&file, path);
    rr_hash_tuning_save(file, "a\tb", "x");
    rr_hash_tuning_save(file, "a\nb", "x");
    rr_hash_tuning_save(file, "#a", "x");
    rr_hash_tuning_save(file, "", "x");
    rr_hash_tuning_save(file, "a", "");
    rr_hash_tuning_save(file, "a", "x\ny");
    rr_hash_tuning_save(file, "a", long_text);
    assert_false(rr_hash_tuning_load(file, "a", text));
    rr_hash_tuning_close(file);
    assert_int_equal(access(path, F_OK), -1);
}

static void two_programs_keep_what_the_other_wrote(void **state)
{
    (void)state;
    struct rr_hash_tuning_file *one = NULL, *two = NULL;
    (void)unlink(path);
    rr_hash_tuning_open(&one, path);
    rr_hash_tuning_open(&two, path);
    rr_hash_tuning_save(one, "a", "1");
    rr_hash_tuning_save(two, "b", "2");
    rr_hash_tuning_save(one, "c", "3");
    rr_hash_tuning_close(one);
    rr_hash_tuning_close(two);
    assert_true(holds("a", "1") && holds("b", "2") && holds("c", "3"));
}

static void the_oldest_entry_goes_when_there_are_too_many(void **state)
{
    (void)state;
    struct rr_buf text = {0};
    struct rr_hash_tuning_file *file = NULL;
    rr_buf_format(&text, "reelrig-tuning 1\n");
    for (unsigned i = 0; i < RR_HASH_TUNING_MAX; i++) {
        rr_buf_format(&text, "key%u\tt%u\n", i, i);
    }
    write_text(text.ptr, text.len);
    rr_buf_clear(&text);
    rr_hash_tuning_open(&file, path);
    rr_hash_tuning_save(file, "another", "one");
    rr_hash_tuning_close(file);
    assert_false(holds("key0", "t0"));
    assert_true(holds("key1", "t1") && holds("key511", "t511") && holds("another", "one"));
}

static void a_folder_that_is_gone_costs_only_the_memory(void **state)
{
    (void)state;
    struct rr_hash_tuning_file *file = NULL;
    char text[RR_HASH_TUNING_TEXT];
    rr_hash_tuning_open(&file, "/nowhere/at/all/tuning.txt");
    rr_hash_tuning_save(file, "a", "1");
    assert_true(rr_hash_tuning_load(file, "a", text));
    assert_string_equal(text, "1");
    rr_hash_tuning_close(file);
    rr_hash_tuning_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_saved_is_there_after_the_next_start),
        cmocka_unit_test(bad_lines_are_left_out_and_good_ones_kept),
        cmocka_unit_test(another_version_counts_as_empty_and_is_written_anew),
        cmocka_unit_test(every_prefix_of_a_file_gives_only_what_it_says),
        cmocka_unit_test(random_bytes_are_no_danger),
        cmocka_unit_test(what_would_break_the_file_is_not_saved),
        cmocka_unit_test(two_programs_keep_what_the_other_wrote),
        cmocka_unit_test(the_oldest_entry_goes_when_there_are_too_many),
        cmocka_unit_test(a_folder_that_is_gone_costs_only_the_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
