/* Goal: every code has its text, and context is added without ever running
 * over the line. Method: the whole table of codes, and texts of all lengths
 * around the size of the line. */

#include "src/base/err.h"

#include <errno.h>

#include "tests/lib/cmocka.h"

static void test_codes_are_distinct_and_negative(void **state)
{
    (void)state;
    static const int codes[] = {
#define X(name, text) name,
        ERR_MAP(X)
#undef X
    };
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        assert_int_equal(codes[i], -10001 - (int)i);
    }
}

static void test_texts(void **state)
{
    (void)state;
    static const struct {
        int rc;
        const char *want;
    } cases[] = {
#define X(name, text) {name, text},
        ERR_MAP(X)
#undef X
            {-ENOENT, "No such file or directory"},
        {-EPERM, "Operation not permitted"},
        {0, "no error"},
        {17, "no error"},
        {-5000, "unknown error"},
        {-1000000, "unknown error"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_string_equal(err_str(cases[i].rc), cases[i].want);
    }
}

static void test_set_text_prefix(void **state)
{
    (void)state;
    struct errmsg em;

    assert_int_equal(errmsg_set(&em, ERR_CRC_MISMATCH, "offset %d", 4096),
                     ERR_CRC_MISMATCH);
    assert_string_equal(em.text, "offset 4096: crc mismatch");
    assert_int_equal(errmsg_prefix(&em, ERR_DAMAGED, "wal/%d.wal", 7),
                     ERR_DAMAGED);
    assert_string_equal(em.text, "wal/7.wal: offset 4096: crc mismatch");
    assert_int_equal(errmsg_text(&em, -EIO, "as it is"), -EIO);
    assert_string_equal(em.text, "as it is");
}

static void test_null_is_accepted(void **state)
{
    (void)state;
    assert_int_equal(errmsg_set(NULL, -EIO, "x"), -EIO);
    assert_int_equal(errmsg_text(NULL, -EIO, "x"), -EIO);
    assert_int_equal(errmsg_prefix(NULL, -EIO, "x"), -EIO);
}

static void test_own_text_as_argument(void **state)
{
    (void)state;
    struct errmsg em;

    (void)errmsg_text(&em, -EIO, "inner");
    (void)errmsg_set(&em, ERR_EOF, "outer (%s)", em.text);
    assert_string_equal(em.text, "outer (inner): end of data");
}

static void test_long_texts_are_cut(void **state)
{
    (void)state;
    char context[600];
    struct errmsg em;

    for (size_t len = 480; len < sizeof(context); len++) {
        memset(context, 'a', len);
        context[len] = '\0';
        (void)errmsg_set(&em, ERR_EOF, "%s", context);
        size_t full = len + strlen(": end of data");
        size_t want = full < sizeof(em.text) ? full : sizeof(em.text) - 1;
        assert_int_equal(strlen(em.text), want);

        (void)errmsg_prefix(&em, ERR_EOF, "p");
        assert_memory_equal(em.text, "p: aaa", 6);
        want = want + 3 < sizeof(em.text) ? want + 3 : sizeof(em.text) - 1;
        assert_int_equal(strlen(em.text), want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes_are_distinct_and_negative),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_set_text_prefix),
        cmocka_unit_test(test_null_is_accepted),
        cmocka_unit_test(test_own_text_as_argument),
        cmocka_unit_test(test_long_texts_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
