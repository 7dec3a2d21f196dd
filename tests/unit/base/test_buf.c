/* Goal: a buffer holds what was appended, never more than its limit, and keeps
 * its content when an append fails. Method: named edge cases, then random
 * operations next to a plain array as the model. */

#include "src/base/buf.h"

#include "src/base/alloc.h"
#include "src/base/err.h"
#include "src/base/rng.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/death.h"

static void test_empty(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);

    assert_int_equal(b.len, 0);
    assert_string_equal(buf_cstr(&b), "");
    assert_int_equal(buf_append(&b, NULL, 0), 0);
    assert_int_equal(b.len, 0);
    assert_string_equal(buf_cstr(&b), "");
    buf_release(&b);
    buf_release(&b);
}

static void test_append_up_to_the_limit(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 5);

    assert_int_equal(buf_append(&b, "abc", 3), 0);
    assert_int_equal(buf_append(&b, "def", 3), ERR_TOO_LARGE);
    assert_true(b.failed);
    assert_int_equal(b.len, 3);
    assert_int_equal(buf_append_str(&b, "de"), 0);
    /* The mark stays until a reset: it speaks of the whole run. */
    assert_true(b.failed);
    /* Full, and there is still room for the 0. */
    assert_string_equal(buf_cstr(&b), "abcde");
    assert_int_equal(buf_append_byte(&b, 'x'), ERR_TOO_LARGE);
    assert_true(b.cap <= 5);
    buf_reset(&b);
    assert_false(b.failed);
    assert_int_equal(buf_append_byte(&b, 'x'), 0);
    assert_string_equal(buf_cstr(&b), "x");
    buf_release(&b);
}

static void test_limit_zero(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);

    assert_non_null(buf_reserve(&b, 0));
    assert_null(buf_reserve(&b, 1));
    assert_int_equal(buf_printf(&b, "%s", ""), 0);
    assert_int_equal(buf_printf(&b, "%d", 1), ERR_TOO_LARGE);
    assert_string_equal(buf_cstr(&b), "");
    buf_release(&b);
}

static void test_reserve_refuses_overflow(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, BUF_UNLIMITED - 2);

    assert_int_equal(buf_append(&b, "abc", 3), 0);
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_null(buf_reserve(&b, SIZE_MAX - 2));
    assert_string_equal(buf_cstr(&b), "abc");
    buf_release(&b);
}

static void test_reserve_and_commit(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, BUF_UNLIMITED);

    uint8_t *p = buf_reserve(&b, 3);
    memcpy(p, "xyz", 3);
    assert_int_equal(b.len, 0);
    buf_commit(&b, 2);
    assert_string_equal(buf_cstr(&b), "xy");
    struct bytes view = buf_bytes(&b);
    assert_int_equal(view.len, 2);
    assert_memory_equal(view.data, "xy", 2);
    buf_release(&b);
}

static void commit_too_much(void *ctx)
{
    struct buf b;

    (void)ctx;
    buf_init(&b, 100);
    (void)buf_reserve(&b, 1);
    buf_commit(&b, b.cap + 1);
}

static void test_commit_beyond_the_reserve_aborts(void **state)
{
    (void)state;
    assert_true(test_aborts(commit_too_much, NULL));
}

static void test_printf(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 11);

    assert_int_equal(buf_printf(&b, "%s=%d;", "a", 1), 0);
    assert_int_equal(buf_printf(&b, "%s", "0123456"), 0);
    assert_string_equal(buf_cstr(&b), "a=1;0123456");
    assert_int_equal(buf_printf(&b, "%c", 'x'), ERR_TOO_LARGE);
    assert_string_equal(buf_cstr(&b), "a=1;0123456");
    buf_release(&b);
}

static void test_consume(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, BUF_UNLIMITED);

    assert_int_equal(buf_append_str(&b, "hello world"), 0);
    buf_consume(&b, 0);
    buf_consume(&b, 6);
    assert_string_equal(buf_cstr(&b), "world");
    buf_consume(&b, 5);
    assert_int_equal(b.len, 0);
    buf_release(&b);
}

static void test_detach(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    size_t len;

    assert_null(buf_detach(&b, &len));
    assert_int_equal(len, 0);
    assert_int_equal(buf_append_str(&b, "kept"), 0);
    uint8_t *data = buf_detach(&b, &len);
    assert_int_equal(len, 4);
    assert_memory_equal(data, "kept", 4);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.limit, 100);
    assert_int_equal(buf_append_str(&b, "new"), 0);
    assert_memory_equal(data, "kept", 4);
    xfree(data);
    buf_release(&b);
}

#define MODEL_LIMIT 700

static void random_step(struct rng *r, struct buf *b, uint8_t *model,
                        size_t *len)
{
    uint8_t bytes[64];
    size_t n = rng_below(r, sizeof(bytes));

    if (rng_below(r, 3) == 0) {
        n = n < *len ? n : *len;
        buf_consume(b, n);
        memmove(model, model + n, *len - n);
        *len -= n;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)rng_next(r);
    }
    bool fits = *len + n <= MODEL_LIMIT;
    assert_int_equal(buf_append(b, bytes, n), fits ? 0 : ERR_TOO_LARGE);
    if (fits) {
        memcpy(model + *len, bytes, n);
        *len += n;
    }
}

static void test_random_operations(void **state)
{
    (void)state;
    uint8_t model[MODEL_LIMIT];
    size_t len = 0;
    struct rng r;
    struct buf b;

    rng_seed(&r, 1);
    buf_init(&b, MODEL_LIMIT);
    for (int i = 0; i < 5000; i++) {
        random_step(&r, &b, model, &len);
        assert_int_equal(b.len, len);
        assert_true(b.cap <= MODEL_LIMIT);
        if (len > 0) {
            assert_memory_equal(b.data, model, len);
        }
    }
    buf_release(&b);
}

static void test_append_json_escapes(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, BUF_UNLIMITED);
    assert_int_equal(buf_append_json(&b, "a\"b\\c\n\x01\xc3\xa9"), 0);
    assert_string_equal(buf_cstr(&b), "\"a\\\"b\\\\c\\u000a\\u0001\xc3\xa9\"");
    buf_release(&b);
    buf_init(&b, 3);
    assert_int_equal(buf_append_json(&b, "abc"), ERR_TOO_LARGE);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_json_escapes),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_append_up_to_the_limit),
        cmocka_unit_test(test_limit_zero),
        cmocka_unit_test(test_reserve_refuses_overflow),
        cmocka_unit_test(test_reserve_and_commit),
        cmocka_unit_test(test_commit_beyond_the_reserve_aborts),
        cmocka_unit_test(test_printf),
        cmocka_unit_test(test_consume),
        cmocka_unit_test(test_detach),
        cmocka_unit_test(test_random_operations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
