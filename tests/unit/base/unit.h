/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the unit tests of the lower floors share. */
#ifndef UNIT_BASE_UNIT_H
#define UNIT_BASE_UNIT_H
#include "base/base.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A fresh folder; the caller removes it with drop_folder. */
static inline void make_folder(char path[static 64])
{
    memcpy(path, "/tmp/rr-unit-XXXXXX", sizeof "/tmp/rr-unit-XXXXXX");
    assert_non_null(mkdtemp(path));
}

static inline void drop_folder(const char *path)
{
    struct rr_fault fault;
    assert_int_equal(rr_remove_tree(path, &fault), RR_OK);
    assert_int_not_equal(access(path, F_OK), 0);
}

/* Runs body in a child; its wait status. */
static inline int in_child(void (*body)(void))
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(STDERR_FILENO);
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* body ends in RR_BUG. */
static inline void assert_aborts(void (*body)(void))
{
    int status = in_child(body);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

#endif
