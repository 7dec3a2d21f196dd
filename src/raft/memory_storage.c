/* See memory_storage.h. The rule numbers are those of raft-core 15.2. */

#include "src/raft/memory_storage.h"
#include "src/base/alloc.h"
#include "src/base/log.h"
#include "src/raft/entry_queue.h"

static struct memory_storage *self(struct raft_storage *s)
{
    return container_of(s, struct memory_storage, base);
}

/* What it takes in memory. */
static uint64_t size_of(const struct raft_entry *e)
{
    return sizeof(*e) + e->len;
}

static uint64_t size_of_all(struct raft_entry *const *items, size_t n)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < n; i++) {
        bytes += size_of(items[i]);
    }
    return bytes;
}

static uint64_t dummy_index(const struct memory_storage *ms)
{
    return entry_queue_at(ms->ents, 0)->index;
}

/* The entry before the first one: a position without content. */
static struct raft_entry *dummy_new(uint64_t index, uint64_t term)
{
    struct raft_entry *e =
        raft_entry_new(RAFT_ENTRY_NORMAL, (struct bytes){NULL, 0});

    e->index = index;
    e->term = term;
    return e;
}

uint64_t memory_storage_first_index(const struct memory_storage *ms)
{
    return dummy_index(ms) + 1;
}

uint64_t memory_storage_last_index(const struct memory_storage *ms)
{
    return dummy_index(ms) + entry_queue_len(ms->ents) - 1;
}

uint64_t memory_storage_bytes(const struct memory_storage *ms)
{
    return ms->bytes;
}

/* --- what raft calls --- */

static int initial_state(struct raft_storage *s, struct hard_state *hs,
                         struct conf_state *cs)
{
    *hs = self(s)->hard_state;
    *cs = (struct conf_state){0};
    conf_state_copy(cs, &self(s)->snapshot->conf_state);
    return 0;
}

static int entries(struct raft_storage *s, uint64_t lo, uint64_t hi,
                   uint64_t max_size, struct raft_entries *out)
{
    const struct memory_storage *ms = self(s);
    struct raft_entry *const *items;

    ASSERT(lo <= hi);
    if (lo <= dummy_index(ms)) {
        return ERR_COMPACTED;
    }
    if (hi > memory_storage_last_index(ms) + 1) {
        log_fatal(ms->lg,
                  "stored entries up to %" PRIu64
                  " wanted, the last one is %" PRIu64,
                  hi, memory_storage_last_index(ms));
    }
    if (entry_queue_len(ms->ents) == 1) {
        return ERR_UNAVAILABLE;
    }
    items = entry_queue_items(ms->ents) + (lo - dummy_index(ms));
    raft_entries_append(out, items,
                        raft_entries_limit(items, hi - lo, max_size));
    return 0;
}

static int term(struct raft_storage *s, uint64_t i, uint64_t *out)
{
    const struct memory_storage *ms = self(s);

    if (i < dummy_index(ms)) {
        return ERR_COMPACTED;
    }
    if (i > memory_storage_last_index(ms)) {
        return ERR_UNAVAILABLE;
    }
    *out = entry_queue_at(ms->ents, i - dummy_index(ms))->term;
    return 0;
}

static int last_index(struct raft_storage *s, uint64_t *index)
{
    *index = memory_storage_last_index(self(s));
    return 0;
}

static int first_index(struct raft_storage *s, uint64_t *index)
{
    *index = memory_storage_first_index(self(s));
    return 0;
}

static int snapshot(struct raft_storage *s, struct raft_snapshot **out)
{
    *out = raft_snapshot_ref(self(s)->snapshot);
    return 0;
}

static const struct raft_storage_ops memory_storage_ops = {
    .initial_state = initial_state,
    .entries = entries,
    .term = term,
    .last_index = last_index,
    .first_index = first_index,
    .snapshot = snapshot,
};

/* --- what the application calls --- */

static void restart_at(struct memory_storage *ms, uint64_t index, uint64_t t)
{
    struct raft_entry *dummy = dummy_new(index, t);

    entry_queue_reset(ms->ents);
    entry_queue_append(ms->ents, &dummy, 1);
    raft_entry_unref(dummy);
    ms->bytes = 0;
}

void memory_storage_init(struct memory_storage *ms, const struct logger *lg)
{
    *ms = (struct memory_storage){
        .base = {.ops = &memory_storage_ops},
        .lg = lg,
        .snapshot = raft_snapshot_new(),
        .ents = xcalloc(1, sizeof(*ms->ents)),
    };
    restart_at(ms, 0, 0);
}

void memory_storage_release(struct memory_storage *ms)
{
    raft_snapshot_unref(ms->snapshot);
    ms->snapshot = NULL;
    entry_queue_release(ms->ents);
    xfree(ms->ents);
    ms->ents = NULL;
}

void memory_storage_set_hard_state(struct memory_storage *ms,
                                   const struct hard_state *hs)
{
    ms->hard_state = *hs;
}

static void set_snapshot(struct memory_storage *ms, struct raft_snapshot *snap)
{
    struct raft_snapshot *old = ms->snapshot;

    ms->snapshot = raft_snapshot_ref(snap);
    raft_snapshot_unref(old);
}

/* A fresh storage takes a snapshot of index 0, too: it only sets the
 * configuration [PF-10]. */
int memory_storage_apply_snapshot(struct memory_storage *ms,
                                  struct raft_snapshot *snap)
{
    ASSERT(snap != NULL);
    if (ms->snapshot->index != 0 && ms->snapshot->index >= snap->index) {
        return ERR_SNAP_OUT_OF_DATE;
    }
    set_snapshot(ms, snap);
    restart_at(ms, snap->index, snap->term);
    return 0;
}

int memory_storage_create_snapshot(struct memory_storage *ms,
                                   struct raft_snapshot *snap)
{
    uint64_t t;
    int rc;

    ASSERT(snap != NULL);
    if (snap->index <= ms->snapshot->index) {
        return ERR_SNAP_OUT_OF_DATE;
    }
    if (snap->index > memory_storage_last_index(ms)) {
        log_fatal(ms->lg,
                  "snapshot at %" PRIu64 " is beyond the last index %" PRIu64,
                  snap->index, memory_storage_last_index(ms));
    }
    rc = term(&ms->base, snap->index, &t);
    ASSERT(rc == 0);
    ASSERT(t == snap->term);
    set_snapshot(ms, snap);
    return 0;
}

uint64_t memory_storage_compact_point(const struct memory_storage *ms,
                                      uint64_t index, uint64_t limit,
                                      uint64_t bytes_max)
{
    uint64_t bytes = ms->bytes;
    uint64_t i = dummy_index(ms);

    ASSERT(limit <= memory_storage_last_index(ms));
    while (i < limit && (i < index || bytes > bytes_max)) {
        i++;
        bytes -= size_of(entry_queue_at(ms->ents, i - dummy_index(ms)));
    }
    return i;
}

/* Whoever holds an entry that goes keeps it: only our references are dropped.
 */
int memory_storage_compact(struct memory_storage *ms, uint64_t index)
{
    uint64_t t;

    if (index <= dummy_index(ms)) {
        return ERR_COMPACTED;
    }
    if (index > memory_storage_last_index(ms)) {
        log_fatal(ms->lg,
                  "compaction to %" PRIu64 " is beyond the last index %" PRIu64,
                  index, memory_storage_last_index(ms));
    }
    t = entry_queue_at(ms->ents, index - dummy_index(ms))->term;
    ms->bytes -=
        size_of_all(entry_queue_items(ms->ents) + 1, index - dummy_index(ms));
    entry_queue_drop_front(ms->ents, index - dummy_index(ms));
    entry_queue_replace_front(ms->ents, dummy_new(index, t));
    return 0;
}

void memory_storage_append(struct memory_storage *ms,
                           struct raft_entry *const *items, size_t n)
{
    uint64_t first = memory_storage_first_index(ms);
    size_t at;

    if (n == 0 || items[0]->index + n - 1 < first) {
        return; /* nothing, or all of it is compacted */
    }
    if (items[0]->index < first) {
        size_t cut = first - items[0]->index;

        items += cut;
        n -= cut;
    }
    at = items[0]->index - dummy_index(ms);
    if (at > entry_queue_len(ms->ents)) {
        log_fatal(ms->lg,
                  "append from index %" PRIu64
                  " leaves a gap after the last index %" PRIu64,
                  items[0]->index, memory_storage_last_index(ms));
    }
    ms->bytes -= size_of_all(entry_queue_items(ms->ents) + at,
                             entry_queue_len(ms->ents) - at);
    entry_queue_truncate(ms->ents, at);
    entry_queue_append(ms->ents, items, n);
    ms->bytes += size_of_all(items, n);
}
