/* Goal: the log over a storage, with its unstable tail, its snapshot and its
 * marks, is one plain array of entries. Method: a random run of what leaders,
 * followers and disks do to a log, with writes and applications that finish
 * late, against an array that knows nothing of where an entry is kept; after
 * every step all questions are answered by looking through the array.
 *
 * Entries are compared by address: an entry that is there already must stay,
 * not be replaced by its equal.
 *
 * Counterpart: the reference has examples only (log_test.go,
 * log_unstable_test.go). */

#include "src/raft/log.h"
#include "src/raft/memory_storage.h"
#include "tests/lib/entries.h"
#include "tests/lib/property.h"

#define STEPS_MAX 60
#define BATCH_MAX 5 /* entries added at once */
#define JUMP_MAX  6 /* a snapshot beyond the last index */
#define START_MAX 6 /* first snapshot of the storage */
#define INDEX_MAX (START_MAX + STEPS_MAX * (BATCH_MAX + JUMP_MAX))

/* What was handed out to be written. */
struct pending_write {
    struct raft_snapshot *snap; /* NULL: none */
    struct raft_entries ents;
};

/* A write that is done and not yet known to the log. */
struct pending_ack {
    uint64_t snap_index; /* 0: none */
    struct entry_id last;
};

struct pending_apply {
    uint64_t index;
    uint64_t size;
};

/* All of them first in, first out: `done` of `n` have left. */
struct queues {
    struct pending_write writes[STEPS_MAX];
    size_t n_writes, writes_done;
    struct pending_ack acks[STEPS_MAX];
    size_t n_acks, acks_done;
    struct pending_apply applies[STEPS_MAX];
    size_t n_applies, applies_done;
};

struct model {
    /* The entries (base.index, last]; nothing else is looked at. */
    struct raft_entry *e[INDEX_MAX + 1];
    struct entry_id base; /* the position before the first entry */
    uint64_t last;
    uint64_t top_term; /* no entry has a higher one */
    uint64_t committed;
    uint64_t applying;
    uint64_t applied;
    uint64_t stable;            /* entries up to here are known to be written */
    uint64_t handed;            /* and up to here handed out */
    struct raft_snapshot *snap; /* not known to be written; NULL: none */
    bool snap_handed;
    uint64_t budget; /* of bytes being applied, and what is used of it */
    uint64_t used;
    bool paused;
    bool allow_unstable; /* may be applied before it is written */
};

/* One case: the real ones, the model, and what is under way. */
struct run {
    struct property *p;
    struct memory_storage ms;
    struct raft_log log;
    struct model m;
    struct queues q;
};

/* --- the array --- */

static bool known(const struct model *m, uint64_t index)
{
    return index >= m->base.index && index <= m->last;
}

static uint64_t term_at(const struct model *m, uint64_t index)
{
    ASSERT(known(m, index));
    return index == m->base.index ? m->base.term : m->e[index]->term;
}

static bool holds(const struct model *m, struct entry_id id)
{
    return known(m, id.index) && term_at(m, id.index) == id.term;
}

static void cut_after(struct model *m, uint64_t index)
{
    while (m->last > index) {
        raft_entry_unref(m->e[m->last--]);
    }
    m->stable = min_u64(m->stable, index);
    m->handed = min_u64(m->handed, index);
}

static void put(struct model *m, struct raft_entry *const *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (items[i]->index <= m->last) {
            cut_after(m, items[i]->index - 1);
        }
        m->e[++m->last] = raft_entry_ref(items[i]);
    }
}

/* Entries up to `index` belong to the base by now. */
static void drop_up_to(struct model *m, struct entry_id id)
{
    for (uint64_t i = m->base.index + 1; i <= min_u64(id.index, m->last); i++) {
        raft_entry_unref(m->e[i]);
    }
    m->base = id;
    m->last = max_u64(m->last, id.index);
}

/* How many entries from `lo` on, below `hi`, fit into `max` bytes; the first
 * always does. */
static uint64_t end_of_fitting(const struct model *m, uint64_t lo, uint64_t hi,
                               uint64_t max)
{
    uint64_t size = 0;

    for (uint64_t i = lo; i < hi; i++) {
        size += raft_entry_size(m->e[i]);
        if (size > max && i > lo) {
            return i;
        }
    }
    return hi;
}

static uint64_t size_of(const struct model *m, uint64_t lo, uint64_t hi)
{
    uint64_t size = 0;

    for (uint64_t i = lo; i < hi; i++) {
        size += raft_entry_size(m->e[i]);
    }
    return size;
}

static uint64_t appliable(const struct model *m)
{
    return m->allow_unstable ? m->committed : min_u64(m->committed, m->stable);
}

/* --- asking --- */

static void check_entries(struct run *r, const struct raft_entries *got,
                          uint64_t lo, uint64_t hi)
{
    PROPERTY_EQ(r->p, got->len, hi - lo);
    for (size_t i = 0; i < got->len; i++) {
        PROPERTY_CHECK(r->p, got->items[i] == r->m.e[lo + i]);
    }
}

static void check_marks(struct run *r)
{
    const struct model *m = &r->m;
    const struct raft_log *l = &r->log;

    raft_log_check(l);
    PROPERTY_EQ(r->p, raft_log_first_index(l), m->base.index + 1);
    PROPERTY_EQ(r->p, raft_log_last_index(l), m->last);
    PROPERTY_CHECK(
        r->p, entry_id_equal(raft_log_last_entry_id(l),
                             (struct entry_id){term_at(m, m->last), m->last}));
    PROPERTY_EQ(r->p, l->committed, m->committed);
    PROPERTY_EQ(r->p, l->applying, m->applying);
    PROPERTY_EQ(r->p, l->applied, m->applied);
    PROPERTY_EQ(r->p, l->unstable.offset, m->stable + 1);
    PROPERTY_EQ(r->p, l->unstable.offset_in_progress, m->handed + 1);
    PROPERTY_EQ(r->p, l->applying_ents_size, m->used);
    PROPERTY_EQ(r->p, l->applying_ents_paused, m->paused);
    PROPERTY_EQ(r->p, raft_log_max_appliable_index(l, m->allow_unstable),
                appliable(m));
}

static void check_terms(struct run *r)
{
    const struct model *m = &r->m;
    uint64_t lo = m->base.index < 2 ? 0 : m->base.index - 2;

    for (uint64_t i = lo; i <= m->last + 2; i++) {
        uint64_t term;
        int rc = raft_log_term(&r->log, i, &term);

        if (known(m, i)) {
            PROPERTY_OK(r->p, rc);
            PROPERTY_EQ(r->p, term, term_at(m, i));
        } else {
            PROPERTY_EQ(r->p, term, 0);
            PROPERTY_CHECK(
                r->p, rc == (i > m->last ? ERR_UNAVAILABLE : ERR_COMPACTED));
        }
    }
}

static void check_unstable(struct run *r)
{
    const struct model *m = &r->m;
    struct raft_entries got = {0};

    raft_log_next_unstable_ents(&r->log, &got);
    check_entries(r, &got, m->handed + 1, m->last + 1);
    raft_entries_release(&got);
    PROPERTY_EQ(r->p, raft_log_has_next_unstable_ents(&r->log),
                m->handed < m->last);
    PROPERTY_EQ(r->p, raft_log_has_next_or_in_progress_unstable_ents(&r->log),
                m->stable < m->last);
    PROPERTY_CHECK(r->p, raft_log_next_unstable_snapshot(&r->log) ==
                             (m->snap_handed ? NULL : m->snap));
    PROPERTY_EQ(r->p, raft_log_has_next_unstable_snapshot(&r->log),
                m->snap != NULL && !m->snap_handed);
    PROPERTY_EQ(r->p, raft_log_has_next_or_in_progress_snapshot(&r->log),
                m->snap != NULL);
}

static void check_slices(struct run *r)
{
    const struct model *m = &r->m;
    struct raft_entries got = {0};
    uint64_t lo = property_between(r->p, m->base.index, m->last + 1);
    uint64_t hi = property_between(r->p, lo, m->last + 1);
    uint64_t max = property_below(r->p, 120);
    int rc = raft_log_slice(&r->log, lo, hi, max, &got);

    if (lo == m->base.index) {
        PROPERTY_CHECK(r->p, rc == ERR_COMPACTED);
        PROPERTY_EQ(r->p, got.len, 0);
        raft_entries_release(&got);
        return;
    }
    PROPERTY_OK(r->p, rc);
    check_entries(r, &got, lo, end_of_fitting(m, lo, hi, max));
    raft_entries_reset(&got);
    PROPERTY_OK(r->p, raft_log_entries(&r->log, lo, max, &got));
    check_entries(r, &got, lo, end_of_fitting(m, lo, m->last + 1, max));
    raft_entries_reset(&got);
    raft_log_all_entries(&r->log, &got);
    check_entries(r, &got, m->base.index + 1, m->last + 1);
    raft_entries_release(&got);
}

/* Where a walk down from the hint stops: at a term that is not above the
 * hint's, or where no term is known. */
static struct entry_id naive_meeting(const struct model *m,
                                     struct entry_id hint)
{
    uint64_t i = hint.index;

    while (known(m, i) && term_at(m, i) > hint.term && i > 0) {
        i--;
    }
    return (struct entry_id){known(m, i) && i > 0 ? term_at(m, i) : 0, i};
}

static struct entry_id draw_id(struct run *r)
{
    return (struct entry_id){property_below(r->p, r->m.top_term + 2),
                             property_below(r->p, r->m.last + 3)};
}

static void check_comparisons(struct run *r)
{
    const struct model *m = &r->m;
    struct entry_id id = draw_id(r);
    uint64_t own_term = term_at(m, m->last);
    bool ahead = id.term != own_term ? id.term > own_term : id.index >= m->last;

    PROPERTY_EQ(r->p, raft_log_match_term(&r->log, id), holds(m, id));
    PROPERTY_EQ(r->p, raft_log_zero_term_on_out_of_bounds(&r->log, id.index),
                known(m, id.index) ? term_at(m, id.index) : 0);
    PROPERTY_EQ(r->p, raft_log_is_up_to_date(&r->log, id), ahead);
    PROPERTY_CHECK(r->p,
                   entry_id_equal(raft_log_find_conflict_by_term(&r->log, id),
                                  naive_meeting(m, id)));
}

static void check_committed_ents(struct run *r)
{
    const struct model *m = &r->m;
    struct raft_entries got = {0};
    uint64_t lo = m->applying + 1;
    uint64_t hi = lo;

    if (!m->paused && m->snap == NULL && m->applying < appliable(m)) {
        hi = end_of_fitting(m, lo, appliable(m) + 1, m->budget - m->used);
    }
    PROPERTY_EQ(r->p,
                raft_log_has_next_committed_ents(&r->log, m->allow_unstable),
                hi > lo);
    raft_log_next_committed_ents(&r->log, m->allow_unstable, &got);
    check_entries(r, &got, lo, hi);
    raft_entries_release(&got);
}

/* The pages of a scan, one after the other, are the range. */
struct scan {
    struct run *r;
    uint64_t next;
    uint64_t hi;
    uint64_t page_size;
};

static int on_page(void *ctx, struct raft_entry *const *items, size_t n)
{
    struct scan *s = ctx;
    uint64_t end = end_of_fitting(&s->r->m, s->next, s->hi, s->page_size);

    PROPERTY_EQ(s->r->p, n, end - s->next);
    for (size_t i = 0; i < n; i++) {
        PROPERTY_CHECK(s->r->p, items[i] == s->r->m.e[s->next + i]);
    }
    s->next += n;
    return 0;
}

static void check_scan(struct run *r)
{
    uint64_t lo = property_between(r->p, r->m.base.index + 1, r->m.last + 1);
    uint64_t hi = property_between(r->p, lo, r->m.last + 1);
    struct scan s = {r, lo, hi, property_below(r->p, 120)};

    PROPERTY_OK(r->p, raft_log_scan(&r->log, lo, hi, s.page_size, &s, on_page));
    PROPERTY_EQ(r->p, s.next, hi);
}

/* --- doing --- */

static void draw_entries(struct run *r, struct raft_entries *v, uint64_t from,
                         size_t n)
{
    for (size_t i = 0; i < n; i++) {
        raft_entries_take(v, test_entry_sized(from + i, r->m.top_term,
                                              property_below(r->p, 12)));
    }
}

/* A leader appends at the end; a rare one of a new term before it. */
static void do_append(struct run *r)
{
    struct model *m = &r->m;
    struct raft_entries v = {0};
    uint64_t from = m->last + 1;
    size_t n = property_below(r->p, BATCH_MAX + 1);

    if (property_chance(r->p, 20)) {
        from = property_between(r->p, m->committed + 1, m->last + 1);
    }
    m->top_term += from <= m->last || property_chance(r->p, 20);
    property_note(r->p, "append %zu from %" PRIu64 " at term %" PRIu64, n, from,
                  m->top_term);
    draw_entries(r, &v, from, n);
    put(m, v.items, n);
    PROPERTY_EQ(r->p, raft_log_append(&r->log, v.items, n), m->last);
    raft_entries_release(&v);
}

/* Entries after `prev` as another log may have them: equal to ours for a
 * while, different from a point beyond committed on. */
static void draw_other_log(struct run *r, struct raft_entries *v, uint64_t prev)
{
    const struct model *m = &r->m;
    uint64_t i = prev + 1;
    size_t n = property_below(r->p, BATCH_MAX + 1);

    while (n > 0 && i > m->base.index && i <= m->last &&
           (i <= m->committed || property_chance(r->p, 70))) {
        raft_entries_take(v, raft_entry_with(m->e[i], m->e[i]->term, i));
        i++;
        n--;
    }
    r->m.top_term += n > 0 && i <= m->last;
    draw_entries(r, v, i, n);
}

/* The index of the first entry that the array does not hold; 0: none. */
static uint64_t naive_conflict(const struct model *m,
                               const struct raft_entries *v)
{
    for (size_t i = 0; i < v->len; i++) {
        if (!holds(m, entry_id_of(v->items[i]))) {
            return v->items[i]->index;
        }
    }
    return 0;
}

/* A follower gets a MsgApp. */
static void do_maybe_append(struct run *r)
{
    struct model *m = &r->m;
    struct entry_id prev = {0, property_between(r->p, 0, m->last + 1)};
    uint64_t commit = property_below(r->p, m->last + 4);
    struct raft_entries v = {0};
    struct log_slice s;
    uint64_t last_new = 0;
    uint64_t conflict;

    if (property_chance(r->p, 80)) {
        prev.index = property_between(r->p, m->base.index, m->last);
    }
    prev.term = known(m, prev.index) ? term_at(m, prev.index) : m->top_term;
    prev.term += property_chance(r->p, 10);
    draw_other_log(r, &v, prev.index);
    s = (struct log_slice){m->top_term + 1, prev, v.items, v.len};
    conflict = naive_conflict(m, &v);
    property_note(r->p,
                  "maybe append %zu after %" PRIu64 "@%" PRIu64
                  ", conflict %" PRIu64 ", commit %" PRIu64,
                  v.len, prev.index, prev.term, conflict, commit);
    PROPERTY_EQ(r->p, raft_log_find_conflict(&r->log, v.items, v.len),
                conflict);
    PROPERTY_EQ(r->p, raft_log_maybe_append(&r->log, &s, commit, &last_new),
                holds(m, prev));
    if (holds(m, prev)) {
        PROPERTY_CHECK(r->p, log_slice_is_valid(&s));
        PROPERTY_EQ(r->p, last_new, prev.index + v.len);
        if (conflict != 0) {
            put(m, v.items + (conflict - prev.index - 1),
                last_new + 1 - conflict);
        }
        m->committed = max_u64(m->committed, min_u64(commit, last_new));
    }
    raft_entries_release(&v);
}

static void do_commit(struct run *r)
{
    struct model *m = &r->m;
    struct entry_id id = draw_id(r);

    if (property_chance(r->p, 40)) {
        id.index = property_between(r->p, 0, m->last);
        property_note(r->p, "commit to %" PRIu64, id.index);
        raft_log_commit_to(&r->log, id.index);
        m->committed = max_u64(m->committed, id.index);
        return;
    }
    if (known(m, id.index) && property_chance(r->p, 70)) {
        id.term = term_at(m, id.index);
    }
    property_note(r->p, "maybe commit %" PRIu64 "@%" PRIu64, id.index, id.term);
    if (id.term > 0 && id.index > m->committed && holds(m, id)) {
        PROPERTY_CHECK(r->p, raft_log_maybe_commit(&r->log, id));
        m->committed = id.index;
    } else {
        PROPERTY_CHECK(r->p, !raft_log_maybe_commit(&r->log, id));
    }
}

/* A snapshot takes the place of the whole log. */
static void do_restore(struct run *r)
{
    struct model *m = &r->m;
    uint64_t index =
        property_between(r->p, m->committed + 1, m->last + JUMP_MAX);
    struct raft_snapshot *snap = test_snapshot(index, ++m->top_term);

    property_note(r->p, "restore snapshot %" PRIu64, index);
    raft_log_restore(&r->log, snap);
    raft_snapshot_unref(m->snap);
    m->snap = snap;
    m->snap_handed = false;
    cut_after(m, m->base.index);
    drop_up_to(m, (struct entry_id){snap->term, index});
    m->committed = index;
    m->stable = index;
    m->handed = index;
}

/* What a Ready does: all that is new goes to be written. */
static void do_hand_out(struct run *r)
{
    struct model *m = &r->m;
    struct pending_write *w = &r->q.writes[r->q.n_writes];

    if (m->handed == m->last && (m->snap == NULL || m->snap_handed)) {
        return;
    }
    property_note(r->p, "hand out (%" PRIu64 ", %" PRIu64 "]", m->handed,
                  m->last);
    *w = (struct pending_write){0};
    raft_log_next_unstable_ents(&r->log, &w->ents);
    if (m->snap != NULL && !m->snap_handed) {
        w->snap = raft_snapshot_ref(m->snap);
    }
    raft_log_accept_unstable(&r->log);
    r->q.n_writes++;
    m->handed = m->last;
    m->snap_handed = m->snap != NULL;
}

/* The oldest write is done. */
static void do_write(struct run *r)
{
    struct pending_write *w = &r->q.writes[r->q.writes_done];
    struct pending_ack *a = &r->q.acks[r->q.n_acks];

    if (r->q.writes_done == r->q.n_writes) {
        return;
    }
    property_note(r->p, "a write of %zu entries%s is done", w->ents.len,
                  w->snap != NULL ? " and a snapshot" : "");
    *a = (struct pending_ack){0};
    if (w->snap != NULL) {
        PROPERTY_OK(r->p, memory_storage_apply_snapshot(&r->ms, w->snap));
        a->snap_index = w->snap->index;
    }
    memory_storage_append(&r->ms, w->ents.items, w->ents.len);
    if (w->ents.len > 0) {
        a->last = entry_id_of(w->ents.items[w->ents.len - 1]);
    }
    r->q.n_acks++;
    r->q.writes_done++;
    raft_snapshot_unref(w->snap);
    raft_entries_release(&w->ents);
}

/* The log hears of the oldest write that is done; by then it may have been
 * overwritten. */
static void do_ack(struct run *r)
{
    struct model *m = &r->m;
    const struct pending_ack *a = &r->q.acks[r->q.acks_done];

    if (r->q.acks_done == r->q.n_acks) {
        return;
    }
    r->q.acks_done++;
    property_note(r->p, "stable to %" PRIu64 "@%" PRIu64 ", snapshot %" PRIu64,
                  a->last.index, a->last.term, a->snap_index);
    raft_log_stable_to(&r->log, a->last);
    if (a->last.index > m->stable && holds(m, a->last)) {
        m->stable = a->last.index;
    }
    if (a->snap_index == 0) {
        return;
    }
    raft_log_stable_snap_to(&r->log, a->snap_index);
    if (m->snap != NULL && m->snap->index == a->snap_index) {
        raft_snapshot_unref(m->snap);
        m->snap = NULL;
        m->snap_handed = false;
    }
    m->applied = max_u64(m->applied, a->snap_index);
    m->applying = max_u64(m->applying, m->applied);
    m->paused = m->used >= m->budget;
    raft_log_applied_to(&r->log, m->applied, 0);
}

static void do_apply(struct run *r)
{
    struct model *m = &r->m;
    struct pending_apply *a = &r->q.applies[r->q.n_applies];
    uint64_t hi;

    if (m->paused || m->snap != NULL || m->applying >= appliable(m)) {
        return;
    }
    hi = end_of_fitting(m, m->applying + 1, appliable(m) + 1,
                        m->budget - m->used);
    *a = (struct pending_apply){hi - 1, size_of(m, m->applying + 1, hi)};
    property_note(r->p, "hand out to apply up to %" PRIu64, a->index);
    raft_log_accept_applying(&r->log, a->index, a->size, m->allow_unstable);
    r->q.n_applies++;
    m->applying = a->index;
    m->used += a->size;
    m->paused = m->used >= m->budget || m->applying < appliable(m);
}

static void do_applied(struct run *r)
{
    struct model *m = &r->m;
    const struct pending_apply *a = &r->q.applies[r->q.applies_done];

    if (r->q.applies_done == r->q.n_applies) {
        return;
    }
    r->q.applies_done++;
    m->applied = max_u64(m->applied, a->index); /* a snapshot may be ahead */
    m->used -= a->size;
    m->paused = m->used >= m->budget;
    property_note(r->p, "applied up to %" PRIu64, m->applied);
    raft_log_applied_to(&r->log, m->applied, a->size);
}

/* What is applied and written may go from the storage. */
static void do_compact(struct run *r)
{
    struct model *m = &r->m;
    uint64_t end = min_u64(m->applied, m->stable);
    uint64_t index;

    if (m->snap != NULL || end <= m->base.index) {
        return;
    }
    index = property_between(r->p, m->base.index + 1, end);
    property_note(r->p, "compact to %" PRIu64, index);
    PROPERTY_OK(r->p, memory_storage_compact(&r->ms, index));
    drop_up_to(m, (struct entry_id){term_at(m, index), index});
}

static void do_something(struct run *r)
{
    static const struct {
        unsigned weight;
        void (*fn)(struct run *r);
    } ops[] = {{10, do_append}, {7, do_maybe_append}, {8, do_commit},
               {2, do_restore}, {15, do_hand_out},    {15, do_write},
               {15, do_ack},    {12, do_apply},       {10, do_applied},
               {6, do_compact}};
    uint64_t what = property_below(r->p, 100);

    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (what < ops[i].weight) {
            ops[i].fn(r);
            return;
        }
        what -= ops[i].weight;
    }
}

/* --- one case --- */

static void start(struct run *r, struct property *p)
{
    struct model *m = &r->m;
    uint64_t index = property_below(p, START_MAX + 1);
    struct raft_snapshot *snap = test_snapshot(index, index > 0);

    r->p = p;
    memory_storage_init(&r->ms, &p->lg);
    PROPERTY_OK(p, memory_storage_apply_snapshot(&r->ms, snap));
    m->base = (struct entry_id){snap->term, index};
    raft_snapshot_unref(snap);
    m->last = m->committed = m->applying = m->applied = index;
    m->stable = m->handed = index;
    m->top_term = 1;
    m->budget = max_u64(property_below(p, 100), 1);
    m->allow_unstable = property_chance(p, 50);
    raft_log_init(&r->log, &r->ms.base, m->budget, &p->lg);
}

static void check_all(struct run *r)
{
    check_marks(r);
    check_terms(r);
    check_unstable(r);
    check_slices(r);
    check_comparisons(r);
    check_committed_ents(r);
}

static void finish(struct run *r)
{
    while (r->q.writes_done < r->q.n_writes) {
        do_write(r);
    }
    cut_after(&r->m, r->m.base.index);
    raft_snapshot_unref(r->m.snap);
    raft_log_release(&r->log);
    memory_storage_release(&r->ms);
}

static void log_is_an_array(struct property *p)
{
    static struct run r; /* too large for a stack under sanitizers */

    r.m = (struct model){0};
    r.q.n_writes = r.q.writes_done = 0;
    r.q.n_acks = r.q.acks_done = 0;
    r.q.n_applies = r.q.applies_done = 0;
    start(&r, p);
    for (uint64_t n = property_between(p, 1, STEPS_MAX); n > 0; n--) {
        do_something(&r);
        check_all(&r);
    }
    check_scan(&r);
    finish(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        property_test(log_is_an_array),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
