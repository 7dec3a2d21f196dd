/* See entries.h. */

#include "tests/lib/entries.h"

#include <string.h>

#include "tests/lib/cmocka.h"

struct raft_entry *test_entry(uint64_t index, uint64_t term)
{
    struct raft_entry *e =
        raft_entry_new(RAFT_ENTRY_NORMAL, (struct bytes){NULL, 0});

    e->index = index;
    e->term = term;
    return e;
}

struct raft_entry *test_entry_sized(uint64_t index, uint64_t term, size_t len)
{
    struct raft_entry *e = raft_entry_alloc(RAFT_ENTRY_NORMAL, len);

    memset(e->data, 'a', len);
    e->index = index;
    e->term = term;
    return e;
}

void test_entries(struct raft_entries *v, const struct at ids[AT_MAX])
{
    for (size_t i = 0; i < AT_MAX && ids[i].index != 0; i++) {
        raft_entries_take(v, test_entry(ids[i].index, ids[i].term));
    }
}

void test_entries_range(struct raft_entries *v, uint64_t lo, uint64_t hi)
{
    for (uint64_t i = lo; i < hi; i++) {
        raft_entries_take(v, test_entry(i, i));
    }
}

void assert_entries(struct raft_entry *const *items, size_t n,
                    const struct at ids[AT_MAX])
{
    size_t want = 0;

    while (want < AT_MAX && ids[want].index != 0) {
        want++;
    }
    assert_int_equal(n, want);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(items[i]->index, ids[i].index);
        assert_int_equal(items[i]->term, ids[i].term);
    }
}

struct raft_snapshot *test_snapshot(uint64_t index, uint64_t term)
{
    struct raft_snapshot *s = raft_snapshot_new();

    s->index = index;
    s->term = term;
    return s;
}
