/* Goal: the window of messages in flight counts right, in messages and bytes,
 * while its ring grows, wraps and empties [raft-core 12.2].
 * Method: the cases of the reference's inflights_test.go; message i ends in
 * index i and has 100+i bytes. */

#include "tests/lib/cmocka.h"
#include "tests/lib/fatal.h"

#include "src/raft/inflights.h"

static struct fatal_trap trap;

static void add_range(struct inflights *in, uint64_t lo, uint64_t hi)
{
    for (uint64_t i = lo; i < hi; i++) {
        inflights_add(in, i, 100 + i);
        inflights_check(in);
    }
}

/* The oldest message, and how much is in flight. */
static void assert_window(const struct inflights *in, size_t start,
                          size_t count, uint64_t bytes)
{
    inflights_check(in);
    assert_int_equal(in->start, start);
    assert_int_equal(in->count, count);
    assert_int_equal(in->bytes, bytes);
}

static void test_inflights_add(void **state)
{
    struct inflights in;

    (void)state;
    inflights_init(&in, 10, 0, &trap.lg);
    add_range(&in, 0, 5);
    assert_window(&in, 0, 5, 510);
    add_range(&in, 5, 10);
    assert_window(&in, 0, 10, 1045);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(in.buffer[i].index, i);
        assert_int_equal(in.buffer[i].bytes, 100 + i);
    }

    /* Five more over the end of the ring. */
    inflights_free_le(&in, 4);
    add_range(&in, 10, 15);
    assert_window(&in, 5, 10,
                  105 + 106 + 107 + 108 + 109 + 110 + 111 + 112 + 113 + 114);
    assert_int_equal(in.buffer[0].index, 10);
    assert_int_equal(in.buffer[4].index, 14);
    assert_int_equal(in.buffer[5].index, 5);
    inflights_release(&in);
}

static void test_inflight_free_to(void **state)
{
    struct inflights in;

    (void)state;
    inflights_init(&in, 10, 0, &trap.lg);
    inflights_free_le(&in, 5); /* of nothing */
    add_range(&in, 0, 10);
    inflights_free_le(&in, 0);
    assert_window(&in, 1, 9, 945);
    inflights_free_le(&in, 4);
    assert_window(&in, 5, 5, 535);
    inflights_free_le(&in, 3); /* left of the window */
    assert_window(&in, 5, 5, 535);
    inflights_free_le(&in, 8);
    assert_window(&in, 9, 1, 109);
    add_range(&in, 10, 15);
    inflights_free_le(&in, 12);
    assert_window(&in, 3, 2, 227);
    inflights_free_le(&in, 14);
    assert_window(&in, 0, 0, 0);
    inflights_release(&in);
}

static void add_until_full(struct inflights *in, uint64_t lo, uint64_t hi)
{
    for (uint64_t i = lo; i < hi; i++) {
        assert_false(inflights_full(in));
        add_range(in, i, i + 1);
    }
    assert_true(inflights_full(in));
}

struct full_case {
    const char *name;
    size_t size;
    uint64_t max_bytes;
    uint64_t full_at;
    uint64_t free_le;
    uint64_t again_at;
};

static void run_full(const struct full_case *c)
{
    struct inflights in;

    inflights_init(&in, c->size, c->max_bytes, &trap.lg);
    add_until_full(&in, 0, c->full_at);
    inflights_free_le(&in, c->free_le);
    add_until_full(&in, c->full_at, c->again_at);
    assert_fatal(&trap, inflights_add(&in, 100, 1024));
    inflights_release(&in);
}

static void test_inflights_full(void **state)
{
    static const struct full_case cases[] = {
        {"always full", 0, 0, 0, 0, 0},
        {"single entry", 1, 0, 1, 1, 2},
        {"single entry overflow", 1, 10, 1, 1, 2},
        {"multi entry", 15, 0, 15, 6, 22},
        {"slight overflow", 8, 400, 4, 2, 7},
        {"exact max bytes", 8, 406, 4, 3, 8},
        {"larger overflow", 15, 408, 5, 1, 6},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        run_full(&cases[i]);
    }
}

static void test_inflights_reset(void **state)
{
    struct inflights in;
    uint64_t index = 0;

    (void)state;
    inflights_init(&in, 10, 1000, &trap.lg);
    for (int round = 0; round < 100; round++) {
        inflights_reset(&in);
        for (int i = 0; i < 5; i++) {
            assert_false(inflights_full(&in));
            inflights_add(&in, ++index, 16);
        }
        inflights_free_le(&in, index - 2);
        assert_false(inflights_full(&in));
        assert_int_equal(in.count, 2);
        assert_int_equal(in.bytes, 32);
    }
    inflights_release(&in);
}

static void test_inflights_copy_is_deep(void **state)
{
    struct inflights in;
    struct inflights copy = {0};

    (void)state;
    inflights_init(&in, 4, 0, &trap.lg);
    add_range(&in, 0, 4);
    inflights_free_le(&in, 2);
    add_range(&in, 4, 6);
    inflights_copy(&copy, &in);
    inflights_free_le(&in, 9);
    assert_window(&copy, 0, 3, 103 + 104 + 105);
    add_range(&copy, 6, 7);
    assert_true(inflights_full(&copy));
    inflights_release(&in);
    inflights_release(&copy);
}

/* A huge limit costs nothing while few messages are in flight, however many
 * pass through. */
static void test_inflights_memory_follows_use(void **state)
{
    struct inflights in;

    (void)state;
    inflights_init(&in, (size_t)INT32_MAX, 0, &trap.lg);
    for (uint64_t i = 1; i <= 1000; i++) {
        inflights_add(&in, i, 1);
        if (i > 5) {
            inflights_free_le(&in, i - 5);
        }
    }
    assert_int_equal(in.count, 5);
    assert_true(in.cap <= 8);
    inflights_release(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inflights_add),
        cmocka_unit_test(test_inflight_free_to),
        cmocka_unit_test(test_inflights_full),
        cmocka_unit_test(test_inflights_reset),
        cmocka_unit_test(test_inflights_copy_is_deep),
        cmocka_unit_test(test_inflights_memory_follows_use),
    };

    fatal_trap_init(&trap);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
