/* Goal: a queue of entries keeps order and references while it grows at its end
 * and shrinks from both ends.
 * Method: one entry per index, compared with two numbers: the first index and
 * the next one. */

#include "tests/lib/cmocka.h"
#include "tests/lib/entries.h"

#include "src/raft/entry_queue.h"

/* A queue that must hold the entries [first, next). */
struct model {
    struct entry_queue q;
    uint64_t first;
    uint64_t next;
};

static void push(struct model *m)
{
    struct raft_entry *e = test_entry(m->next++, 1);

    entry_queue_append(&m->q, &e, 1);
    raft_entry_unref(e);
}

static void assert_holds(const struct model *m)
{
    assert_int_equal(entry_queue_len(&m->q), m->next - m->first);
    for (uint64_t i = m->first; i < m->next; i++) {
        const struct raft_entry *e = entry_queue_at(&m->q, i - m->first);

        assert_int_equal(e->index, i);
        assert_int_equal(e->refs, 1);
        assert_ptr_equal(entry_queue_items(&m->q)[i - m->first], e);
    }
}

static void test_rolls_on(void **state)
{
    struct model m = {.first = 1, .next = 1};

    (void)state;
    for (size_t round = 0; round < 300; round++) {
        for (size_t i = 0; i < 5; i++) {
            push(&m);
        }
        entry_queue_drop_front(&m.q, round % 11 < 10 ? 4 : 9);
        m.first += round % 11 < 10 ? 4 : 9;
        assert_holds(&m);
        /* Dropped places do not pile up. */
        assert_true(m.q.head <= 32 + entry_queue_len(&m.q));
    }
    entry_queue_release(&m.q);
}

static void test_truncate_after_drop(void **state)
{
    struct model m = {.first = 1, .next = 1};

    (void)state;
    while (m.next <= 20) {
        push(&m);
    }
    entry_queue_drop_front(&m.q, 7);
    m.first += 7;
    entry_queue_truncate(&m.q, 5);
    m.next = m.first + 5;
    assert_holds(&m);
    push(&m);
    assert_holds(&m);
    entry_queue_truncate(&m.q, 0);
    assert_int_equal(entry_queue_len(&m.q), 0);
    assert_int_equal(m.q.head, 0);
    entry_queue_release(&m.q);
}

static void test_replace_front(void **state)
{
    struct model m = {.first = 1, .next = 1};

    (void)state;
    push(&m);
    push(&m);
    push(&m);
    entry_queue_drop_front(&m.q, 1);
    entry_queue_replace_front(&m.q, test_entry(77, 7));
    assert_int_equal(entry_queue_at(&m.q, 0)->index, 77);
    assert_int_equal(entry_queue_at(&m.q, 1)->index, 3);
    entry_queue_release(&m.q);
    assert_null(entry_queue_items(&m.q));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rolls_on),
        cmocka_unit_test(test_truncate_after_drop),
        cmocka_unit_test(test_replace_front),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
