/* Goal: memory is never NULL, copies are copies, and sizes that overflow abort
 * instead of wrapping. Method: each function at its edges, sizes 0 and
 * SIZE_MAX; what must abort runs in a child process. */

#include "src/base/alloc.h"

#include "tests/lib/cmocka.h"
#include "tests/lib/death.h"

static void test_zero_sizes_give_pointers(void **state)
{
    (void)state;
    void *p[] = {xmalloc(0), xcalloc(0, 8), xcalloc(8, 0),
                 xrealloc_array(NULL, 0, 8), xmemdup(NULL, 0)};

    for (size_t i = 0; i < ARRAY_LEN(p); i++) {
        assert_non_null(p[i]);
        xfree(p[i]);
    }
    xfree(NULL);
}

static void test_calloc_is_zero(void **state)
{
    (void)state;
    static const uint8_t zeros[64];
    uint8_t *p = xcalloc(8, 8);

    assert_memory_equal(p, zeros, sizeof(zeros));
    xfree(p);
}

static void test_realloc_keeps_content(void **state)
{
    (void)state;
    uint32_t *p = xrealloc_array(NULL, 2, sizeof(*p));

    p[0] = 7;
    p[1] = 9;
    p = xrealloc_array(p, 1000, sizeof(*p));
    assert_int_equal(p[0], 7);
    assert_int_equal(p[1], 9);
    p = xrealloc_array(p, 0, sizeof(*p));
    assert_non_null(p);
    xfree(p);
}

static void test_copies(void **state)
{
    (void)state;
    char *s = xstrdup("abc");
    char *m = xmemdup("a\0b", 3);
    char *f = xasprintf("%s-%d", "x", 42);

    assert_string_equal(s, "abc");
    assert_memory_equal(m, "a\0b", 3);
    assert_string_equal(f, "x-42");
    assert_null(xstrdup(NULL));
    xfree(s);
    xfree(m);
    xfree(f);
}

static void overflow_realloc(void *ctx)
{
    (void)ctx;
    (void)xrealloc_array(NULL, SIZE_MAX / 2, 4);
}

static void overflow_calloc(void *ctx)
{
    volatile size_t n = SIZE_MAX / 2; /* hidden from the compiler's warning */

    (void)ctx;
    (void)xcalloc(n, 4);
}

static void test_overflow_aborts(void **state)
{
    (void)state;
    assert_true(test_aborts(overflow_realloc, NULL));
    assert_true(test_aborts(overflow_calloc, NULL));
}

static void test_grow_cap(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t cap;
        size_t need;
        size_t want;
    } cases[] = {
        {"a start is not tiny", 0, 1, 16},
        {"doubles", 16, 17, 32},
        {"as much as is needed", 16, 100, 100},
        {"a product that would overflow", SIZE_MAX / 2 + 1, SIZE_MAX / 2 + 2,
         SIZE_MAX},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("  %s\n", cases[i].name);
        assert_true(grow_cap(cases[i].cap, cases[i].need) == cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero_sizes_give_pointers),
        cmocka_unit_test(test_calloc_is_zero),
        cmocka_unit_test(test_realloc_keeps_content),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_overflow_aborts),
        cmocka_unit_test(test_grow_cap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
