/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/base/unit.h"

#include <locale.h>

static void a_decimal_comma_of_the_host_does_not_count(void **state)
{
    (void)state;
    struct rr_config *config = NULL;
    struct rr_fault fault;
    double fraction = 0;
    assert_int_equal(rr_config_parse(&config, rr_slice_str("f = 1.5\n"), "t", &fault), RR_OK);
    assert_int_equal(rr_config_double(config, "f", &fraction, &fault), RR_OK);
    assert_true(fraction == 1.5);
    rr_config_free(config);
}

int main(void)
{
    static const char *const locales[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "nl_NL.UTF-8"};
    bool comma = false;
    for (size_t i = 0; !comma && i < RR_COUNT(locales); i++) {
        comma = setlocale(LC_ALL, locales[i]) != NULL && localeconv()->decimal_point[0] == ',';
    }
    if (!comma) {
        (void)fputs("skipped: this machine has no locale with a decimal comma\n", stderr);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_decimal_comma_of_the_host_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
