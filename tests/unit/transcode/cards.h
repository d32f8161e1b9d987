/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cards that are not there: a folder with the plain worker and the double of the devices' one. */
#ifndef RR_TEST_TRANSCODE_CARDS_H
#define RR_TEST_TRANSCODE_CARDS_H
#include "kit.h"

#define CARDS_ALL "dec=h264,hevc,av1,vp9"

/* Lays out the folder; returns the worker's path. lines: tests/fake/transcode_devices.c. */
static inline const char *cards(const char *lines)
{
    static char worker[RR_PATH_BYTES];
    struct rr_buf program = {0};
    const char *folder = kit_path("cards");
    assert_int_equal(rr_remove_tree(folder, NULL), RR_OK);
    assert_int_equal(mkdir(folder, 0700), 0);
    snprintf(worker, sizeof worker, "%s", kit_path("cards/reelrig-worker"));
    assert_int_equal(symlink(KIT_WORKER, worker), 0);
    assert_int_equal(rr_file_read(&program, RR_TESTS_DIR "/reelrig-worker-double", 1u << 30, NULL),
                     RR_OK);
    const char *double_path = kit_path("cards/reelrig-worker-device");
    assert_int_equal(rr_file_write(double_path, rr_buf_slice(&program), 0700, NULL), RR_OK);
    rr_buf_clear(&program);
    assert_int_equal(rr_file_write(kit_path("cards/devices.conf"),
                                   rr_slice_of(lines, strlen(lines)), 0600, NULL),
                     RR_OK);
    return worker;
}
#endif
