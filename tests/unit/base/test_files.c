/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/base/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

static char folder[64];
static char path[RR_PATH_BYTES];
static struct rr_fault fault;

static int set_up(void **state)
{
    (void)state;
    make_folder(folder);
    assert_int_equal(rr_path(path, &fault, "%s/file", folder), RR_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    drop_folder(folder);
    return 0;
}

static unsigned entries(void)
{
    unsigned count = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count - 2; /* . and .. */
}

static void assert_content(const char *expected)
{
    struct rr_buf bytes = {0};
    assert_int_equal(rr_file_read(&bytes, path, 100, &fault), RR_OK);
    assert_true(rr_slice_equal(rr_buf_slice(&bytes), rr_slice_str(expected)));
    rr_buf_clear(&bytes);
}

static void a_written_file_is_replaced_whole_and_leaves_nothing_beside(void **state)
{
    (void)state;
    struct stat info;
    assert_int_equal(rr_file_write(path, rr_slice_str("first"), 0600, &fault), RR_OK);
    assert_content("first");
    assert_int_equal(rr_file_write(path, rr_slice_str("2"), 0600, &fault), RR_OK);
    assert_content("2");
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(entries(), 1);
}

static void creating_keeps_what_is_there(void **state)
{
    (void)state;
    assert_int_equal(rr_file_create(path, rr_slice_str("mine"), 0600, &fault), RR_OK);
    assert_int_equal(rr_file_create(path, rr_slice_str("other"), 0600, &fault), RR_ERR_EXISTS);
    assert_content("mine");
    assert_int_equal(entries(), 1);
}

static void reading_says_absent_and_too_long(void **state)
{
    (void)state;
    struct rr_buf bytes = {0};
    rr_write_u8(&bytes, 'k');
    assert_int_equal(rr_file_read(&bytes, path, 100, &fault), RR_ERR_NOTFOUND);
    assert_int_equal(rr_file_write(path, rr_slice_str("12345"), 0600, &fault), RR_OK);
    assert_int_equal(rr_file_read(&bytes, path, 4, &fault), RR_ERR_LIMIT);
    assert_true(rr_slice_equal(rr_buf_slice(&bytes), rr_slice_str("k"))); /* untouched */
    assert_int_equal(rr_file_read(&bytes, path, 5, &fault), RR_OK);
    assert_int_equal(bytes.len, 5);
    rr_buf_clear(&bytes);
}

static void writing_into_no_folder_is_told(void **state)
{
    (void)state;
    char deep[RR_PATH_BYTES];
    assert_int_equal(rr_path(deep, &fault, "%s/none/file", folder), RR_OK);
    assert_int_equal(rr_file_write(deep, rr_slice_str("x"), 0600, &fault), RR_ERR_NOTFOUND);
    assert_non_null(strstr(fault.text, "none/file"));
    assert_non_null(strstr(fault.text, "No such file"));
    assert_int_equal(rr_folder_sync(deep, &fault), RR_ERR_NOTFOUND);
}

static void whole_reads_and_writes_at_offsets(void **state)
{
    (void)state;
    char got[6] = {0};
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(rr_write_full(fd, "abc", 3, &fault), RR_OK);
    assert_int_equal(rr_pwrite_full(fd, "xyz", 3, 2, &fault), RR_OK);
    assert_int_equal(rr_pread_full(fd, got, 5, 0, &fault), RR_OK);
    assert_string_equal(got, "abxyz");
    assert_int_equal(rr_pread_full(fd, got, 5, 1, &fault), RR_ERR_DAMAGED);
    assert_non_null(strstr(fault.text, "byte 5"));
    close(fd);
    assert_int_equal(rr_pread_full(fd, got, 1, 0, &fault), RR_ERR_IO);
}

static void short_writes_into_a_pipe_are_finished(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        static char from[777];
        size_t total = 0;
        close(ends[1]);
        for (ssize_t n = 1; n > 0; total += (size_t)n) {
            n = read(ends[0], from, sizeof from);
        }
        _exit(total == BYTES ? 0 : 1);
    }
    close(ends[0]);
    uint8_t *bytes = rr_alloc(BYTES);
    assert_int_equal(rr_write_full(ends[1], bytes, BYTES, &fault), RR_OK);
    rr_free(bytes);
    close(ends[1]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void lock_in_child(void)
{
    struct rr_fault own;
    int fd;
    _exit(rr_lock_file(&fd, path, &own) == RR_ERR_BUSY ? 42 : 0);
}

static void a_lock_keeps_others_out_until_it_is_closed(void **state)
{
    (void)state;
    int fd;
    int second;
    assert_int_equal(rr_lock_file(&fd, path, &fault), RR_OK);
    assert_int_equal(WEXITSTATUS(in_child(lock_in_child)), 42);
    assert_int_equal(rr_lock_file(&second, path, &fault), RR_ERR_BUSY);
    close(fd);
    assert_int_equal(WEXITSTATUS(in_child(lock_in_child)), 0);
    assert_int_equal(rr_lock_file(&second, path, &fault), RR_OK);
    close(second);
}

static void folders_are_made_all_the_way(void **state)
{
    (void)state;
    char deep[RR_PATH_BYTES];
    struct stat info;
    assert_int_equal(rr_path(deep, &fault, "%s/a//b/c/", folder), RR_OK);
    assert_int_equal(rr_make_folders(deep, &fault), RR_OK);
    assert_int_equal(rr_make_folders(deep, &fault), RR_OK);
    assert_int_equal(stat(deep, &info), 0);
    assert_true(S_ISDIR(info.st_mode));
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_int_equal(rr_file_write(path, rr_slice_str("x"), 0600, &fault), RR_OK);
    assert_int_equal(rr_path(deep, &fault, "%s/file/below", folder), RR_OK);
    assert_int_equal(rr_make_folders(deep, &fault), RR_ERR_EXISTS);
    assert_int_equal(rr_make_folders(path, &fault), RR_ERR_EXISTS);
}

/* The outputs of `transcode` were 0700 while the files in them were 0644: no web server could read
 * them. */
static void shown_folders_follow_the_umask(void **state)
{
    (void)state;
    char deep[RR_PATH_BYTES];
    struct stat info;
    mode_t kept = umask(022);
    assert_int_equal(rr_path(deep, &fault, "%s/shown/deep", folder), RR_OK);
    assert_int_equal(rr_make_shown_folders(deep, &fault), RR_OK);
    assert_int_equal(stat(deep, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0755);
    umask(027);
    assert_int_equal(rr_path(deep, &fault, "%s/shown/group", folder), RR_OK);
    assert_int_equal(rr_make_shown_folders(deep, &fault), RR_OK);
    umask(kept);
    assert_int_equal(stat(deep, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0750);
}

static void removing_a_tree_spares_what_links_point_to(void **state)
{
    (void)state;
    char tree[RR_PATH_BYTES];
    char inner[RR_PATH_BYTES];
    assert_int_equal(rr_file_write(path, rr_slice_str("kept"), 0600, &fault), RR_OK);
    assert_int_equal(rr_path(tree, &fault, "%s/tree", folder), RR_OK);
    assert_int_equal(rr_path(inner, &fault, "%s/tree/x/y", folder), RR_OK);
    assert_int_equal(rr_make_folders(inner, &fault), RR_OK);
    for (unsigned i = 0; i < 300; i++) {
        assert_int_equal(rr_path(inner, &fault, "%s/tree/x/%u", folder, i), RR_OK);
        int fd = open(inner, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        close(fd);
    }
    assert_int_equal(rr_path(inner, &fault, "%s/tree/link", folder), RR_OK);
    assert_int_equal(symlink(folder, inner), 0);
    assert_int_equal(rr_remove_tree(tree, &fault), RR_OK);
    assert_int_not_equal(access(tree, F_OK), 0);
    assert_content("kept");
    assert_int_equal(symlink(folder, tree), 0);
    assert_int_equal(rr_remove_tree(tree, &fault), RR_OK);
    assert_content("kept");
    assert_int_equal(rr_remove_tree(tree, &fault), RR_OK); /* absent is fine */
}

static void a_path_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static char name[RR_PATH_BYTES];
    char out[RR_PATH_BYTES];
    memset(name, 'n', sizeof name - 1);
    assert_int_equal(rr_path(out, &fault, "%s", name), RR_OK);
    assert_int_equal(rr_path(out, &fault, "/%s", name), RR_ERR_LIMIT);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_written_file_is_replaced_whole_and_leaves_nothing_beside),
        T(creating_keeps_what_is_there),
        T(reading_says_absent_and_too_long),
        T(writing_into_no_folder_is_told),
        T(whole_reads_and_writes_at_offsets),
        T(short_writes_into_a_pipe_are_finished),
        T(a_lock_keeps_others_out_until_it_is_closed),
        T(folders_are_made_all_the_way),
        T(shown_folders_follow_the_umask),
        T(removing_a_tree_spares_what_links_point_to),
        T(a_path_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
