/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/base/unit.h"

static struct rr_fault fault;

static struct rr_config *parse(const char *text)
{
    struct rr_config *config = NULL;
    enum rr_err err = rr_config_parse(&config, rr_slice_str(text), "t", &fault);
    if (err != RR_OK) {
        fail_msg("%s", fault.text);
    }
    return config;
}

/* text is refused at "t:<place>: ". */
static void refuse(const char *text, size_t len, const char *place)
{
    struct rr_config *config = NULL;
    char start[32];
    snprintf(start, sizeof start, "t:%s: ", place);
    if (rr_config_parse(&config, rr_slice_of(text, len), "t", &fault) != RR_ERR_FORMAT) {
        fail_msg("accepted: %s", text);
    }
    assert_null(config);
    if (strncmp(fault.text, start, strlen(start)) != 0) {
        fail_msg("%s: expected the place %s, found %s", text, place, fault.text);
    }
    assert_int_equal(rr_config_parse(&config, rr_slice_of(text, len), "t", NULL), RR_ERR_FORMAT);
}

static uint64_t number(const struct rr_config *config, const char *path)
{
    uint64_t out = 777;
    assert_int_equal(rr_config_u64(config, path, &out, 0, UINT64_MAX, &fault), RR_OK);
    return out;
}

static double fraction(const struct rr_config *config, const char *path)
{
    double out = 777;
    assert_int_equal(rr_config_double(config, path, &out, &fault), RR_OK);
    return out;
}

static const char *string(const struct rr_config *config, const char *path)
{
    const char *out = "absent";
    assert_int_equal(rr_config_string(config, path, &out, &fault), RR_OK);
    return out;
}

static void every_kind_of_value_is_read(void **state)
{
    (void)state;
    struct rr_config *config = parse("\xef\xbb\xbf# a comment with \xc3\xa4\r\n"
                                     "zero = 0\r\n"
                                     "most = 18_446_744_073_709_551_615\n"
                                     "hex = 0xFf_0\n"
                                     "plus = +7\n"
                                     "on = true # yes\n"
                                     "off=false\n"
                                     "half = -0.5\n"
                                     "big = 1_0e2\n"
                                     "tiny = 2.5E-3\n"
                                     "text = \"a\\t\\\"\\\\\\u00e4\\U0001F600\\n#\"\n"
                                     "raw = 'C:\\n \"x\"'\n"
                                     "none = ''\n"
                                     "\"quoted key\" = 1\n"
                                     "'' = 2");
    bool on = false;
    bool off = true;
    assert_true(number(config, "zero") == 0);
    assert_true(number(config, "most") == UINT64_MAX);
    assert_true(number(config, "hex") == 0xff0);
    assert_true(number(config, "plus") == 7);
    assert_int_equal(rr_config_bool(config, "on", &on, &fault), RR_OK);
    assert_int_equal(rr_config_bool(config, "off", &off, &fault), RR_OK);
    assert_true(on && !off);
    assert_true(fraction(config, "half") == -0.5 && fraction(config, "big") == 1000);
    assert_true(fraction(config, "tiny") == 2.5e-3 && fraction(config, "plus") == 7);
    assert_string_equal(string(config, "text"), "a\t\"\\\xc3\xa4\xf0\x9f\x98\x80\n#");
    assert_string_equal(string(config, "raw"), "C:\\n \"x\"");
    assert_string_equal(string(config, "none"), "");
    assert_true(number(config, "quoted key") == 1);
    rr_config_free(config);
}

static void tables_and_arrays_are_reached_by_dotted_paths(void **state)
{
    (void)state;
    struct rr_config *config = parse("top = 1\n"
                                     "[serve.tls]\n"
                                     "port = 443\n"
                                     "[serve]\n"
                                     "port = 80\n"
                                     "limits.rate = 5\n"
                                     "limits.burst = 6\n"
                                     "[[node]]\n"
                                     "name = 'a'\n"
                                     "[node.disk]\n"
                                     "size = 1\n"
                                     "[[node]]\n"
                                     "name = 'b'\n"
                                     "[node.disk]\n"
                                     "size = 2\n"
                                     "[list]\n"
                                     "values = [ 1, # one\n  'two',\r\n\n [3, 4], ]\n"
                                     "empty = []\n");
    assert_true(number(config, "serve.tls.port") == 443 && number(config, "serve.port") == 80);
    assert_true(number(config, "serve.limits.rate") == 5);
    assert_true(number(config, "serve.limits.burst") == 6);
    assert_int_equal(rr_config_count(config, "node"), 2);
    assert_string_equal(string(config, "node.0.name"), "a");
    assert_string_equal(string(config, "node.1.name"), "b");
    assert_true(number(config, "node.0.disk.size") == 1 && number(config, "node.1.disk.size") == 2);
    assert_int_equal(rr_config_count(config, "list.values"), 3);
    assert_string_equal(string(config, "list.values.1"), "two");
    assert_true(number(config, "list.values.2.1") == 4);
    assert_int_equal(rr_config_count(config, "list.empty"), 0);
    assert_int_equal(rr_config_check_unknown(config, &fault), RR_ERR_FORMAT);
    assert_true(number(config, "top") == 1);
    assert_int_equal(rr_config_check_unknown(config, &fault), RR_OK);
    assert_true(number(config, "node.2.name") == 777 && number(config, "node.00.name") == 777);
    assert_true(number(config, "absent") == 777 && number(config, "serve.absent.too") == 777);
    assert_true(number(config, "list.values.99999999999999999999999") == 777);
    rr_config_free(config);
}

static void wrong_types_and_ranges_name_their_place(void **state)
{
    (void)state;
    struct rr_config *config = parse("a = 5\n  b = 'x'\nneg = -3\n[[n]]\nf = 1.5\n");
    uint64_t out = 777;
    double real = 777;
    bool flag = true;
    const char *text = "kept";
    assert_int_equal(rr_config_u64(config, "a", &out, 6, 9, &fault), RR_ERR_FORMAT);
    assert_string_equal(fault.text, "t:1:1: \"a\" is 5, expected 6 to 9");
    assert_int_equal(rr_config_u64(config, "a", &out, 0, 4, &fault), RR_ERR_FORMAT);
    assert_int_equal(rr_config_u64(config, "b", &out, 0, 9, &fault), RR_ERR_FORMAT);
    assert_string_equal(fault.text, "t:2:3: \"b\" is a string, expected an integer");
    assert_int_equal(rr_config_u64(config, "neg", &out, 0, 9, &fault), RR_ERR_FORMAT);
    assert_string_equal(fault.text, "t:3:1: \"neg\" is -3, expected 0 to 9");
    assert_true(fraction(config, "neg") == -3);
    assert_int_equal(rr_config_u64(config, "n.0.f", &out, 0, 9, &fault), RR_ERR_FORMAT);
    assert_int_equal(rr_config_double(config, "b", &real, &fault), RR_ERR_FORMAT);
    assert_int_equal(rr_config_bool(config, "a", &flag, &fault), RR_ERR_FORMAT);
    assert_int_equal(rr_config_string(config, "a", &text, &fault), RR_ERR_FORMAT);
    assert_int_equal(rr_config_u64(config, "a.b", &out, 0, 9, &fault), RR_ERR_FORMAT);
    assert_int_equal(rr_config_u64(config, "n.f", &out, 0, 9, &fault), RR_ERR_FORMAT);
    assert_true(out == 777 && real == 777 && flag);
    assert_string_equal(text, "kept");
    rr_config_free(config);
}

static void a_key_that_nobody_asked_for_is_told(void **state)
{
    (void)state;
    struct rr_config *config = parse("[serve]\nport = 1\nprot = 2\n[empty]\n[[n]]\nx = 1\ny = 2\n");
    assert_true(number(config, "serve.port") == 1);
    assert_int_equal(rr_config_check_unknown(config, &fault), RR_ERR_FORMAT);
    assert_ptr_equal(strstr(fault.text, "t:3:1: \"prot\""), fault.text);
    (void)number(config, "serve.prot");
    assert_int_equal(rr_config_check_unknown(config, &fault), RR_ERR_FORMAT);
    assert_non_null(strstr(fault.text, "\"empty\""));
    (void)number(config, "empty.key"); /* [empty] is asked for, though its key is absent */
    assert_int_equal(rr_config_check_unknown(config, &fault), RR_ERR_FORMAT);
    assert_non_null(strstr(fault.text, "\"n\""));
    assert_int_equal(rr_config_count(config, "n"), 1);
    (void)number(config, "n.0.x");
    assert_int_equal(rr_config_check_unknown(config, &fault), RR_ERR_FORMAT);
    assert_ptr_equal(strstr(fault.text, "t:7:1: \"y\""), fault.text);
    (void)number(config, "n.0.y");
    assert_int_equal(rr_config_check_unknown(config, &fault), RR_OK);
    rr_config_free(config);
    config = parse("[n]\nx = 1\n"); /* where [[n]] was meant */
    assert_int_equal(rr_config_count(config, "n"), 0);
    assert_int_equal(rr_config_check_unknown(config, &fault), RR_ERR_FORMAT);
    rr_config_free(config);
}

static void what_is_not_of_the_subset_is_refused_at_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *place;
    } cases[] = {
        {"a = 1\na = 2\n", "2:3"},
        {"[a]\nb = 1\n\n[a]\n", "4:3"},
        {"a = 1\n[a]\n", "2:3"},
        {"a = 1\n[a.b]\n", "2:4"},
        {"a = []\n[[a]]\n", "2:4"},
        {"[[a]]\n[a]\n", "2:3"},
        {"[a]\n[[a]]\n", "2:4"},
        {"[a.b.c]\nz = 9\n[a]\nb.c.t = 1\n", "4:3"},
        {"a.b = 1\n[a]\n", "2:3"},
        {"a = 1\na.b = 2\n", "2:3"},
        {"a\n", "1:2"},
        {"a =\n", "1:4"},
        {"= 1\n", "1:1"},
        {"a = 1 b = 2\n", "1:7"},
        {"[a\n", "1:3"},
        {"[[a]\n", "1:5"},
        {"[]\n", "1:2"},
        {"a. = 1\n", "1:4"},
        {"a = 007\n", "1:5"},
        {"a = 1__0\n", "1:7"},
        {"a = 1_\n", "1:7"},
        {"a = _1\n", "1:6"},
        {"a = 0x\n", "1:5"},
        {"a = -0x1\n", "1:5"},
        {"a = 0o7\n", "1:5"},
        {"a = 1.\n", "1:5"},
        {"a = .5\n", "1:5"},
        {"a = 1e\n", "1:5"},
        {"a = 1e999\n", "1:5"},
        {"a = inf\n", "1:5"},
        {"a = nan\n", "1:5"},
        {"a = True\n", "1:5"},
        {"a = 18446744073709551616\n", "1:5"},
        {"a = 1979-05-27\n", "1:5"},
        {"a = {b = 1}\n", "1:5"},
        {"a = \"\"\"x\"\"\"\n", "1:6"},
        {"a = \"x\n", "1:7"},
        {"a = 'x", "1:7"},
        {"a = \"\\q\"\n", "1:7"},
        {"a = \"\\u12\"\n", "1:10"},
        {"a = \"\\u0000\"\n", "1:12"},
        {"a = \"\\ud800\"\n", "1:12"},
        {"a = \"\\U00110000\"\n", "1:16"},
        {"a = \"\x01\"\n", "1:6"},
        {"# \x01\n", "1:3"},
        {"a = 1\rb = 2\n", "1:6"},
        {"a = [1 2]\n", "1:8"},
        {"a = [1,\n\n", "3:1"},
        {"a = [,]\n", "1:6"},
        {"\xc3\xa4 = 1\n", "1:1"},
        {"a = '\xc3\xa4' x\n", "1:9"}, /* columns count characters */
        {"a = '\xc0\x80'\n", "1:6"},
        {"a = '\xed\xa0\x80'\n", "1:6"},
        {"a = '\xf4\x90\x80\x80'\n", "1:6"},
        {"a = '\xe0\x80\x80'\n", "1:6"},
        {"\n\na = '\xc3", "3:6"},
        {"a = 11111111111111111111111111111111111111111111111111111111111111111\n", "1:69"},
    };
    for (size_t i = 0; i < RR_COUNT(cases); i++) {
        refuse(cases[i].text, strlen(cases[i].text), cases[i].place);
    }
    refuse("a = 1\n\0", 7, "2:1");
}

static void every_truncation_parses_or_is_refused(void **state)
{
    (void)state;
    static const char text[] =
        "# c\r\n[a.\"b c\"]\nx = [1, 'y', \"z\\u00e4\"]\n[[n]]\nf = -1.5e3\no.p = true\n";
    unsigned accepted = 0;
    for (size_t len = 0; len < sizeof text; len++) {
        char *copy = rr_alloc(len);
        struct rr_config *config = NULL;
        memcpy(copy, text, len);
        if (rr_config_parse(&config, rr_slice_of(copy, len), "t", &fault) == RR_OK) {
            accepted++;
        }
        rr_config_free(config);
        rr_free(copy);
    }
    assert_in_range(accepted, 5, 40);
}

static void format_repeated(struct rr_buf *text, const char *line, unsigned count)
{
    rr_buf_clear(text);
    for (unsigned i = 0; i < count; i++) {
        rr_buf_format(text, "k%u%s", i, line);
    }
}

static void limits_hold_exactly(void **state)
{
    (void)state;
    struct rr_buf text = {0};
    struct rr_config *config = NULL;
    format_repeated(&text, " = 1\n", 4096);
    assert_int_equal(rr_config_parse(&config, rr_buf_slice(&text), "t", &fault), RR_OK);
    assert_true(number(config, "k4095") == 1);
    rr_config_free(config);
    format_repeated(&text, " = 1\n", 4097);
    assert_int_equal(rr_config_parse(&config, rr_buf_slice(&text), "t", &fault), RR_ERR_FORMAT);
    rr_config_free(parse("[a.b.c.d.e.f.g]\nh = 1\n"));
    refuse("[a.b.c.d.e.f.g]\nh.i = 1\n", 24, "2:7");
    rr_config_free(parse("a = [[[[[[[1]]]]]]]\n"));
    refuse("a = [[[[[[[[1]]]]]]]]\n", 22, "1:13");
    rr_buf_clear(&text);
    while (text.len < 1 << 20) {
        rr_buf_append(&text, "#\n", 2);
    }
    assert_int_equal(rr_config_parse(&config, rr_buf_slice(&text), "t", &fault), RR_OK);
    rr_config_free(config);
    rr_buf_append(&text, "\n", 1);
    assert_int_equal(rr_config_parse(&config, rr_buf_slice(&text), "t", &fault), RR_ERR_LIMIT);
    rr_buf_clear(&text);
    rr_buf_format(&text, "a = [");
    for (unsigned i = 0; i < 65537; i++) {
        rr_buf_format(&text, "1,");
    }
    rr_buf_format(&text, "]\n");
    assert_int_equal(rr_config_parse(&config, rr_buf_slice(&text), "t", &fault), RR_ERR_FORMAT);
    rr_buf_clear(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_value_is_read),
        cmocka_unit_test(tables_and_arrays_are_reached_by_dotted_paths),
        cmocka_unit_test(wrong_types_and_ranges_name_their_place),
        cmocka_unit_test(a_key_that_nobody_asked_for_is_told),
        cmocka_unit_test(what_is_not_of_the_subset_is_refused_at_its_place),
        cmocka_unit_test(every_truncation_parses_or_is_refused),
        cmocka_unit_test(limits_hold_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
