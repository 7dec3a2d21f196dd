/* Goal: the storage in memory is an array of entries behind a position. Method:
 * random appends, compactions and snapshots, of which some are refused, against
 * a plain array indexed by log index; after every step every question that raft
 * can ask is answered by looking it up. */

#include "src/raft/memory_storage.h"
#include "tests/lib/entries.h"
#include "tests/lib/property.h"

#define STEPS_MAX 30
#define BATCH_MAX 6
#define JUMP_MAX  5
#define INDEX_MAX (STEPS_MAX * (BATCH_MAX + JUMP_MAX))

/* The entries (base, last]; term[base] is known, too. */
struct model {
    struct raft_entry *e[INDEX_MAX + 1];
    uint64_t term[INDEX_MAX + 1];
    uint64_t base;
    uint64_t last;
    uint64_t snap_index;
};

static void cut_after(struct model *m, uint64_t index)
{
    while (m->last > index) {
        raft_entry_unref(m->e[m->last--]);
    }
}

static void drop_up_to(struct model *m, uint64_t index)
{
    while (m->base < index) {
        raft_entry_unref(m->e[++m->base]);
    }
}

/* --- asking --- */

static void check_terms(struct property *p, struct memory_storage *ms,
                        const struct model *m)
{
    struct raft_storage *s = &ms->base;
    uint64_t index;

    PROPERTY_OK(p, s->ops->first_index(s, &index));
    PROPERTY_EQ(p, index, m->base + 1);
    PROPERTY_OK(p, s->ops->last_index(s, &index));
    PROPERTY_EQ(p, index, m->last);
    for (uint64_t i = m->base == 0 ? 0 : m->base - 1; i <= m->last + 1; i++) {
        uint64_t term;
        int rc = s->ops->term(s, i, &term);

        if (i < m->base) {
            PROPERTY_CHECK(p, rc == ERR_COMPACTED);
        } else if (i > m->last) {
            PROPERTY_CHECK(p, rc == ERR_UNAVAILABLE);
        } else {
            PROPERTY_OK(p, rc);
            PROPERTY_EQ(p, term, m->term[i]);
        }
    }
}

/* As many as fit, but one in any case; appended to what is there. */
static void check_entries(struct property *p, struct memory_storage *ms,
                          const struct model *m)
{
    uint64_t lo = property_between(p, m->base, m->last);
    uint64_t hi = property_between(p, lo, m->last + 1);
    uint64_t max = property_below(p, 100);
    struct raft_entries got = {0};
    uint64_t size = 0;
    size_t n = 0;
    int rc = ms->base.ops->entries(&ms->base, lo, hi, max, &got);

    if (lo == m->base) {
        PROPERTY_CHECK(p, rc == ERR_COMPACTED);
        PROPERTY_EQ(p, got.len, 0);
        return;
    }
    PROPERTY_OK(p, rc);
    while (lo + n < hi) {
        size += raft_entry_size(m->e[lo + n]);
        if (n > 0 && size > max) {
            break;
        }
        PROPERTY_CHECK(p, n < got.len && got.items[n] == m->e[lo + n]);
        n++;
    }
    PROPERTY_EQ(p, got.len, n);
    raft_entries_release(&got);
}

static uint64_t bytes_of(const struct model *m, uint64_t from)
{
    uint64_t bytes = 0;

    for (uint64_t i = from; i <= m->last; i++) {
        bytes += sizeof(*m->e[i]) + m->e[i]->len;
    }
    return bytes;
}

/* The first place that leaves no more than so many bytes. */
static void check_bytes(struct property *p, struct memory_storage *ms,
                        const struct model *m)
{
    uint64_t limit = property_between(p, m->base, m->last);
    uint64_t index = property_between(p, 0, m->last + 1);
    uint64_t max = property_below(p, 2000);
    uint64_t want = m->base;

    while (want < limit && (want < index || bytes_of(m, want + 1) > max)) {
        want++;
    }
    PROPERTY_EQ(p, memory_storage_bytes(ms), bytes_of(m, m->base + 1));
    PROPERTY_EQ(p, memory_storage_compact_point(ms, index, limit, max), want);
}

static void check_snapshot(struct property *p, struct memory_storage *ms,
                           const struct model *m)
{
    struct raft_snapshot *snap = NULL;

    PROPERTY_OK(p, ms->base.ops->snapshot(&ms->base, &snap));
    PROPERTY_EQ(p, snap->index, m->snap_index);
    raft_snapshot_unref(snap);
}

/* --- doing --- */

/* Some of what is appended may be there already, or be compacted. */
static void do_append(struct property *p, struct memory_storage *ms,
                      struct model *m)
{
    uint64_t from =
        property_between(p, m->base < 3 ? 1 : m->base - 2, m->last + 1);
    uint64_t term = property_below(p, 5);
    struct raft_entries v = {0};

    if (property_chance(p, 50)) {
        from = m->last + 1;
    }
    for (uint64_t n = property_below(p, BATCH_MAX + 1); n > 0; n--) {
        raft_entries_take(
            &v, test_entry_sized(from + v.len, term, property_below(p, 9)));
    }
    property_note(p, "append %zu from %" PRIu64, v.len, from);
    memory_storage_append(ms, v.items, v.len);
    for (size_t i = 0; i < v.len; i++) {
        uint64_t index = v.items[i]->index;

        if (index <= m->base) {
            continue;
        }
        cut_after(m, index - 1);
        m->last = index;
        m->e[index] = raft_entry_ref(v.items[i]);
        m->term[index] = term;
    }
    raft_entries_release(&v);
}

static void do_compact(struct property *p, struct memory_storage *ms,
                       struct model *m)
{
    uint64_t index = property_between(p, 0, m->last);
    int rc;

    property_note(p, "compact to %" PRIu64, index);
    rc = memory_storage_compact(ms, index);
    if (index <= m->base) {
        PROPERTY_CHECK(p, rc == ERR_COMPACTED);
        return;
    }
    PROPERTY_OK(p, rc);
    drop_up_to(m, index);
}

/* Of the own log, so with the term that the log has. */
static void do_create_snapshot(struct property *p, struct memory_storage *ms,
                               struct model *m)
{
    uint64_t index = property_between(p, m->base, m->last);
    struct raft_snapshot *snap = test_snapshot(index, m->term[index]);
    int rc;

    property_note(p, "create snapshot %" PRIu64, index);
    rc = memory_storage_create_snapshot(ms, snap);
    raft_snapshot_unref(snap);
    if (index <= m->snap_index) {
        PROPERTY_CHECK(p, rc == ERR_SNAP_OUT_OF_DATE);
        return;
    }
    PROPERTY_OK(p, rc);
    m->snap_index = index;
}

/* Of another log: it takes the place of all. */
static void do_apply_snapshot(struct property *p, struct memory_storage *ms,
                              struct model *m)
{
    uint64_t index = property_between(p, 0, m->last + JUMP_MAX);
    struct raft_snapshot *snap = test_snapshot(index, property_below(p, 5));
    int rc;

    property_note(p, "apply snapshot %" PRIu64, index);
    rc = memory_storage_apply_snapshot(ms, snap);
    if (m->snap_index > 0 && index <= m->snap_index) {
        PROPERTY_CHECK(p, rc == ERR_SNAP_OUT_OF_DATE);
    } else {
        PROPERTY_OK(p, rc);
        cut_after(m, m->base);
        m->base = m->last = m->snap_index = index;
        m->term[index] = snap->term;
    }
    raft_snapshot_unref(snap);
}

static void do_something(struct property *p, struct memory_storage *ms,
                         struct model *m)
{
    uint64_t what = property_below(p, 100);

    if (what < 65) {
        do_append(p, ms, m);
    } else if (what < 80) {
        do_compact(p, ms, m);
    } else if (what < 95) {
        do_create_snapshot(p, ms, m);
    } else {
        do_apply_snapshot(p, ms, m);
    }
}

static void storage_is_an_array(struct property *p)
{
    struct memory_storage ms;
    struct model m;

    m.base = m.last = m.snap_index = m.term[0] = 0;
    memory_storage_init(&ms, &p->lg);
    for (uint64_t n = property_between(p, 1, STEPS_MAX); n > 0; n--) {
        do_something(p, &ms, &m);
        check_terms(p, &ms, &m);
        check_entries(p, &ms, &m);
        check_bytes(p, &ms, &m);
        check_snapshot(p, &ms, &m);
    }
    cut_after(&m, m.base);
    memory_storage_release(&ms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        property_test(storage_is_an_array),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
