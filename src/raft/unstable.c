/* See unstable.h. The rule numbers are those of raft-core section 14. */

#include "src/raft/unstable.h"

void unstable_init(struct unstable *u, uint64_t offset, const struct logger *lg)
{
    *u = (struct unstable){
        .offset = offset,
        .offset_in_progress = offset,
        .lg = lg,
    };
}

void unstable_release(struct unstable *u)
{
    raft_snapshot_unref(u->snapshot);
    u->snapshot = NULL;
    entry_queue_release(&u->entries);
}

bool unstable_maybe_first_index(const struct unstable *u, uint64_t *index)
{
    if (u->snapshot == NULL) {
        return false;
    }
    *index = u->snapshot->index + 1;
    return true;
}

bool unstable_maybe_last_index(const struct unstable *u, uint64_t *index)
{
    size_t n = unstable_len(u);

    if (n > 0) {
        *index = u->offset + n - 1;
        return true;
    }
    if (u->snapshot != NULL) {
        *index = u->snapshot->index;
        return true;
    }
    return false;
}

bool unstable_maybe_term(const struct unstable *u, uint64_t index,
                         uint64_t *term)
{
    if (index < u->offset) {
        if (u->snapshot == NULL || u->snapshot->index != index) {
            return false;
        }
        *term = u->snapshot->term;
        return true;
    }
    if (index - u->offset >= unstable_len(u)) {
        return false;
    }
    *term = entry_queue_at(&u->entries, index - u->offset)->term;
    return true;
}

size_t unstable_next_entries(const struct unstable *u,
                             struct raft_entry *const **items)
{
    size_t in_progress = u->offset_in_progress - u->offset;

    ASSERT(u->offset <= u->offset_in_progress);
    ASSERT(in_progress <= unstable_len(u));
    if (in_progress == unstable_len(u)) {
        *items = NULL;
        return 0;
    }
    *items = entry_queue_items(&u->entries) + in_progress;
    return unstable_len(u) - in_progress;
}

struct raft_snapshot *unstable_next_snapshot(const struct unstable *u)
{
    return u->snapshot_in_progress ? NULL : u->snapshot;
}

void unstable_accept_in_progress(struct unstable *u)
{
    if (unstable_len(u) > 0) {
        u->offset_in_progress = u->offset + unstable_len(u);
    }
    if (u->snapshot != NULL) {
        u->snapshot_in_progress = true;
    }
}

/* With writes in flight a late acknowledgement is normal: the entry it names
 * may have been replaced by one of another term, or be gone with an earlier
 * acknowledgement. So none of the refusals here is more than a note [UN-6]. */
void unstable_stable_to(struct unstable *u, struct entry_id id)
{
    uint64_t term;

    if (!unstable_maybe_term(u, id.index, &term)) {
        log_debug(u->lg, "entry at index %" PRIu64 " is not unstable, ignored",
                  id.index);
        return;
    }
    if (id.index < u->offset) {
        log_debug(u->lg,
                  "index %" PRIu64 " is that of the unstable snapshot, ignored",
                  id.index);
        return;
    }
    if (term != id.term) {
        log_debug(u->lg,
                  "entry at index %" PRIu64 " was stable at term %" PRIu64
                  ", is at term %" PRIu64 " by now, ignored",
                  id.index, id.term, term);
        return;
    }
    entry_queue_drop_front(&u->entries, id.index + 1 - u->offset);
    u->offset = id.index + 1;
    u->offset_in_progress = max_u64(u->offset_in_progress, u->offset);
}

void unstable_stable_snap_to(struct unstable *u, uint64_t index)
{
    if (u->snapshot == NULL || u->snapshot->index != index) {
        return;
    }
    raft_snapshot_unref(u->snapshot);
    u->snapshot = NULL;
    u->snapshot_in_progress = false;
}

void unstable_restore(struct unstable *u, struct raft_snapshot *snap)
{
    struct raft_snapshot *old = u->snapshot;

    ASSERT(snap != NULL);
    u->snapshot = raft_snapshot_ref(snap);
    raft_snapshot_unref(old);
    u->snapshot_in_progress = false;
    entry_queue_reset(&u->entries);
    u->offset = snap->index + 1;
    u->offset_in_progress = u->offset;
}

/* A write that is in flight keeps its claim on the entries before the first
 * new one only: what it wrote beyond will be overwritten [UN-9]. */
void unstable_truncate_and_append(struct unstable *u,
                                  struct raft_entry *const *items, size_t n)
{
    uint64_t from;

    ASSERT(n > 0);
    from = items[0]->index;
    ASSERT(from > 0);
    if (from == u->offset + unstable_len(u)) {
        entry_queue_append(&u->entries, items, n);
        return;
    }
    if (from <= u->offset) {
        log_debug(u->lg, "replace the unstable entries from index %" PRIu64,
                  from);
        entry_queue_reset(&u->entries);
        u->offset = from;
        u->offset_in_progress = from;
    } else {
        log_debug(u->lg, "truncate the unstable entries before index %" PRIu64,
                  from);
        ASSERT(from < u->offset + unstable_len(u));
        entry_queue_truncate(&u->entries, from - u->offset);
        u->offset_in_progress = min_u64(u->offset_in_progress, from);
    }
    entry_queue_append(&u->entries, items, n);
}

struct raft_entry *const *unstable_slice(const struct unstable *u, uint64_t lo,
                                         uint64_t hi)
{
    if (lo > hi) {
        log_fatal(u->lg, "unstable slice from %" PRIu64 " back to %" PRIu64, lo,
                  hi);
    }
    if (lo < u->offset || hi > u->offset + unstable_len(u)) {
        log_fatal(u->lg,
                  "unstable slice [%" PRIu64 ",%" PRIu64
                  ") out of bounds [%" PRIu64 ",%" PRIu64 "]",
                  lo, hi, u->offset, u->offset + unstable_len(u));
    }
    return lo == hi ? NULL : entry_queue_items(&u->entries) + (lo - u->offset);
}

void unstable_check(const struct unstable *u)
{
    size_t n = unstable_len(u);

    ASSERT(u->offset <= u->offset_in_progress);
    ASSERT(u->offset_in_progress <= u->offset + n);
    if (u->snapshot == NULL) {
        ASSERT(!u->snapshot_in_progress);
    } else {
        ASSERT(u->offset > u->snapshot->index);
    }
    for (size_t i = 0; i < n; i++) {
        const struct raft_entry *e = entry_queue_at(&u->entries, i);

        ASSERT(e->index == u->offset + i);
        if (i > 0) {
            ASSERT(e->term >= entry_queue_at(&u->entries, i - 1)->term);
        }
    }
}
