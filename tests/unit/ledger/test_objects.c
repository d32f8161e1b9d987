/* SPDX-License-Identifier: GPL-2.0-or-later */
/* No floating point in the ledger, nor in the arithmetic that it takes from kernels and base: read
 * off the machine code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Scalar and packed arithmetic, comparisons and conversions of SSE and AVX ("v" before them), x87,
 * and arm64. Moves are not here: they carry integers too. */
static const char *const FLOATING[] = {
    "addsd",  "addss",  "addpd",  "addps", "subsd",  "subss",  "subpd",   "subps",   "mulsd",
    "mulss",  "mulpd",  "mulps",  "divsd", "divss",  "divpd",  "divps",   "sqrtsd",  "sqrtss",
    "sqrtpd", "sqrtps", "minsd",  "maxsd", "comisd", "comiss", "ucomisd", "ucomiss", "fld",
    "fldl",   "flds",   "fldt",   "fild",  "fildl",  "fildll", "fadd",    "faddp",   "fmul",
    "fmulp",  "fdiv",   "fdivp",  "fsub",  "fsubp",  "fistp",  "fistpll", "fmadd",   "scvtf",
    "ucvtf",  "fcvtzs", "fcvtzu", "fcmp",
};

static int is_floating(const char *mnemonic)
{
    const char *plain = mnemonic[0] == 'v' ? mnemonic + 1 : mnemonic;
    if (strncmp(plain, "cvt", 3) == 0 || strncmp(plain, "fmadd", 5) == 0) {
        return 1;
    }
    for (size_t i = 0; i < sizeof FLOATING / sizeof FLOATING[0]; i++) {
        if (strcmp(plain, FLOATING[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Counts instructions of an object or archive, and fails on a floating one. -1: objdump is not
 * here. */
static long scan(const char *path)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        execlp("objdump", "objdump", "-d", "--no-show-raw-insn", path, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *in = fdopen(ends[0], "r");
    assert_non_null(in);
    char line[1024];
    char where[512] = "";
    long count = 0;
    while (fgets(line, sizeof line, in) != NULL) {
        char mnemonic[32];
        if (line[0] != ' ') {
            snprintf(where, sizeof where, "%.500s", line);
        } else if (sscanf(line, " %*[0-9a-f]: %31s", mnemonic) == 1) {
            count++;
            if (is_floating(mnemonic)) {
                fail_msg("floating point: %s in %s", line, where);
            }
        }
    }
    fclose(in);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        return -1;
    }
    assert_int_equal(status, 0);
    return count;
}

static long found;

static void the_ledger_has_no_floating_point(void **state)
{
    (void)state;
    found = scan(RR_BIN_DIR "/../src/ledger/librr_ledger.a");
    if (found >= 0) {
        assert_true(found > 5000); /* it did read the module */
        long kernel =
            scan(RR_BIN_DIR "/../kernels/CMakeFiles/rr_kernels.dir/reputation/reputation_ref.c.o");
        assert_true(kernel > 100);
        long u256 = scan(RR_BIN_DIR "/../src/base/CMakeFiles/rr_base.dir/u256.c.o");
        assert_true(u256 > 100);
    }
}

static void a_floating_instruction_would_be_seen(void **state)
{
    (void)state;
    assert_true(is_floating("addsd") && is_floating("vmulpd") && is_floating("cvttsd2si") &&
                is_floating("vcvtsi2sd"));
    assert_false(is_floating("movdqa") || is_floating("paddw") || is_floating("vpaddw") ||
                 is_floating("pxor"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_floating_instruction_would_be_seen),
        cmocka_unit_test(the_ledger_has_no_floating_point),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed == 0 && found < 0 ? 77 : failed;
}
