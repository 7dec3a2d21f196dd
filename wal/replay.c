/* Replay: what a run of records means.
 *
 * Counterpart: etcd server/storage/wal ReadAll, ValidSnapshotEntries. */

#include "wal/replay.h"

#include "src/base/alloc.h"
#include "src/base/bounds.h"

/* A log with more than this is one that nobody compacts, such as a Go node's:
 * its old entries are not worth the memory. */
#define REPLAY_BYTES_MAX (256 * MiB)
/* What an entry costs beside its payload. */
#define ENTRY_OVERHEAD (sizeof(struct raft_entry) + 2 * sizeof(void *))

static int refuse(const char **why, const char *text)
{
    *why = text;
    return ERR_DAMAGED;
}

void replay_init(struct replay *r, uint64_t first_index)
{
    *r = (struct replay){.bytes_max = REPLAY_BYTES_MAX};
    r->base.index = first_index == 0 ? 0 : first_index - 1;
}

void replay_release(struct replay *r)
{
    raft_entries_release(&r->entries);
    raft_entries_release(&r->undo);
    xfree(r->markers);
    *r = (struct replay){0};
}

uint64_t replay_last_index(const struct replay *r)
{
    return r->base.index + r->entries.len;
}

/* The term of the entry at `index`, which the log must hold; 0: not known. */
static uint64_t term_at(const struct replay *r, uint64_t index)
{
    ASSERT(index >= r->base.index);
    ASSERT(index <= replay_last_index(r));
    return index == r->base.index
               ? r->base.term
               : r->entries.items[index - r->base.index - 1]->term;
}

static uint64_t last_term(const struct replay *r)
{
    return term_at(r, replay_last_index(r));
}

/* --- entries ahead of the hard state --- */

/* Entries [lo, ahead_index) are older than those that are ahead, and about to
 * be dropped: keep them before what was kept so far. */
static void keep_for_undo(struct replay *r, uint64_t lo)
{
    struct raft_entries kept = {0};
    size_t from = (size_t)(lo - r->base.index - 1);
    size_t n = (size_t)(r->ahead_index - lo);

    ASSERT(lo > r->base.index);
    ASSERT(from + n <= r->entries.len);
    raft_entries_append(&kept, r->entries.items + from, n);
    raft_entries_append(&kept, r->undo.items, r->undo.len);
    raft_entries_release(&r->undo);
    r->undo = kept;
}

/* Drop what stands at or behind `index`. */
static void drop_from(struct replay *r, uint64_t index)
{
    uint64_t lo = max_u64(index, r->base.index + 1);

    if (r->ahead && lo < r->ahead_index) {
        keep_for_undo(r, lo);
        r->ahead_index = lo;
    }
    raft_entries_truncate(&r->entries, (size_t)(lo - r->base.index - 1));
    while (r->n_markers > 0 && r->markers[r->n_markers - 1].index >= index) {
        r->n_markers--;
    }
    if (index <= r->base.index) {
        /* Older segments are released, and this leader's log differs from
         * before the point where ours begins: what comes before `index` is in
         * none of our files. */
        r->base = (struct replay_pos){.index = index - 1};
        r->ahead_index = index;
    }
}

static void begin_ahead(struct replay *r)
{
    ASSERT(!r->ahead);
    ASSERT(r->undo.len == 0);
    r->ahead = true;
    r->ahead_index = replay_last_index(r) + 1;
    r->undo_base = r->base;
}

static void end_ahead(struct replay *r)
{
    r->ahead = false;
    raft_entries_reset(&r->undo);
}

void replay_roll_back(struct replay *r)
{
    uint64_t first = r->undo_base.index + 1;

    ASSERT(r->ahead);
    raft_entries_truncate(&r->entries, r->ahead_index > first
                                           ? (size_t)(r->ahead_index - first)
                                           : 0);
    r->base = r->undo_base;
    raft_entries_append(&r->entries, r->undo.items, r->undo.len);
    end_ahead(r);
}

/* --- records --- */

static int check_entry(const struct replay *r, const struct raft_entry *e,
                       const char **why)
{
    if (e->index == 0 || e->term == 0) {
        return refuse(why, "an entry without index or term");
    }
    if (e->index <= r->hs.commit) {
        return refuse(why, "an entry at or below the commit index");
    }
    if (e->index > replay_last_index(r) + 1) {
        return refuse(why, "a gap before the entry");
    }
    if (e->index > r->base.index && e->term < term_at(r, e->index - 1)) {
        return refuse(why, "an entry with a lower term than the one before it");
    }
    return 0;
}

int replay_entry(struct replay *r, struct raft_entry *e, const char **why)
{
    int rc = check_entry(r, e, why);

    if (rc < 0) {
        raft_entry_unref(e);
        return rc;
    }
    if (e->term > r->hs.term && !r->ahead) {
        begin_ahead(r);
    }
    if (e->index <= replay_last_index(r)) {
        drop_from(r, e->index);
    }
    r->bytes += e->len + ENTRY_OVERHEAD;
    raft_entries_take(&r->entries, e);
    ASSERT(replay_last_index(r) == e->index);
    return 0;
}

int replay_state(struct replay *r, const struct hard_state *hs,
                 const char **why)
{
    if (hs->term < r->hs.term) {
        return refuse(why, "the term of the hard state falls");
    }
    if (hs->term == r->hs.term && r->hs.vote != 0 && hs->vote != r->hs.vote) {
        return refuse(why, "the vote changes within a term");
    }
    if (hs->commit < r->hs.commit) {
        return refuse(why, "the commit index falls");
    }
    if (hs->term < last_term(r)) {
        return refuse(why, "the last entry has a term above the hard state's");
    }
    r->hs = *hs;
    r->raised = false;
    end_ahead(r);
    return 0;
}

int replay_group(const struct replay *r, const char **why)
{
    if (r->ahead) {
        return refuse(why, "the last entry has a term above the hard state's");
    }
    return 0;
}

int replay_end(const struct replay *r, const char **why)
{
    ASSERT(!r->ahead);
    if (r->hs.commit > replay_last_index(r)) {
        return refuse(why, "the commit index is beyond the last entry");
    }
    return 0;
}

static void push_marker(struct replay *r, struct wal_marker m)
{
    size_t at = r->n_markers;

    while (at > 0 && r->markers[at - 1].index > m.index) {
        at--;
    }
    if (at > 0 && r->markers[at - 1].index == m.index) {
        return; /* written again after a restart */
    }
    if (r->n_markers == r->markers_cap) {
        r->markers_cap = grow_cap(r->markers_cap, r->n_markers + 1);
        r->markers =
            xrealloc_array(r->markers, r->markers_cap, sizeof(r->markers[0]));
    }
    memmove(r->markers + at + 1, r->markers + at,
            (r->n_markers - at) * sizeof(r->markers[0]));
    r->markers[at] = m;
    r->n_markers++;
}

/* The leader's snapshot replaced the log. */
static void restore(struct replay *r, struct wal_marker m)
{
    raft_entries_reset(&r->entries);
    r->base = (struct replay_pos){m.index, m.term};
    r->n_markers = 0;
    push_marker(r, m);
    if (r->hs.term < m.term) {
        /* No vote can have left in a term that was never written. */
        r->hs.term = m.term;
        r->hs.vote = 0;
        r->raised = true;
    }
    if (r->hs.commit < m.index) {
        r->hs.commit = m.index;
        r->raised = true;
    }
}

/* Drop what two usable markers make unnecessary, if it is worth it. */
static void maybe_drop_front(struct replay *r)
{
    size_t n;
    const struct wal_marker *m = replay_usable(r, &n);

    if (r->bytes <= r->bytes_max || n < SNAPSHOTS_KEPT) {
        return;
    }
    struct wal_marker keep = m[n - SNAPSHOTS_KEPT];
    raft_entries_drop_front(&r->entries, (size_t)(keep.index - r->base.index));
    r->base = (struct replay_pos){keep.index, keep.term};
    r->n_markers -= n - SNAPSHOTS_KEPT;
    memmove(r->markers, r->markers + (n - SNAPSHOTS_KEPT),
            r->n_markers * sizeof(r->markers[0]));
    r->bytes = 0;
}

int replay_marker(struct replay *r, struct wal_marker m, const char **why)
{
    if (r->ahead) {
        return refuse(why, "a snapshot marker inside a group of entries");
    }
    if (m.index == 0) {
        return m.term == 0 ? 0 : refuse(why, "a term for the empty snapshot");
    }
    if (m.term == 0) {
        return refuse(why, "a snapshot marker without term");
    }
    if (m.index < r->base.index) {
        return 0; /* older than all we have: says nothing */
    }
    if (m.index <= replay_last_index(r)) {
        uint64_t term = term_at(r, m.index);

        if (term != 0 && term != m.term && m.index <= r->hs.commit) {
            return refuse(why, "a snapshot marker contradicts a committed "
                               "entry");
        }
        if (term == 0) {
            r->base.term = m.term;
            term = m.term;
        }
        if (term == m.term) {
            push_marker(r, m);
            maybe_drop_front(r);
            return 0;
        }
    }
    restore(r, m);
    return 0;
}

/* --- the result --- */

const struct wal_marker *replay_usable(const struct replay *r, size_t *n)
{
    *n = r->n_markers;
    while (*n > 0 && r->markers[*n - 1].index > r->hs.commit) {
        (*n)--;
    }
    return r->markers;
}

static bool is_usable(const struct replay *r, struct wal_marker start)
{
    size_t n;
    const struct wal_marker *m = replay_usable(r, &n);

    for (size_t i = 0; i < n; i++) {
        if (m[i].index == start.index && m[i].term == start.term) {
            return true;
        }
    }
    return false;
}

int replay_take(struct replay *r, struct wal_marker start,
                struct wal_contents *out)
{
    ASSERT(!r->ahead);
    if (start.index > 0 && !is_usable(r, start)) {
        return ERR_SNAPSHOT_MISMATCH;
    }
    if (start.index < r->base.index) {
        return ERR_DAMAGED;
    }
    ASSERT(r->hs.commit <= replay_last_index(r));
    ASSERT(start.index <= replay_last_index(r));
    raft_entries_drop_front(&r->entries, (size_t)(start.index - r->base.index));
    *out = (struct wal_contents){.hard_state = r->hs, .entries = r->entries};
    r->entries = (struct raft_entries){0};
    return 0;
}
