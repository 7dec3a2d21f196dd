/* See log.h. The rule numbers are those of raft-core section 13. */

#include "src/raft/log.h"

bool log_slice_is_valid(const struct log_slice *s)
{
    struct entry_id prev = s->prev;

    for (size_t i = 0; i < s->n; i++) {
        struct entry_id id = entry_id_of(s->entries[i]);

        if (id.index != prev.index + 1 || id.term < prev.term) {
            return false;
        }
        prev = id;
    }
    return prev.term <= s->term;
}

/* A budget of 0 could never hand out anything; as a size limit of 0 means "one
 * entry" everywhere else, it does so here, by a budget that any entry uses up
 * [PF-20]. */
void raft_log_init(struct raft_log *l, struct raft_storage *storage,
                   uint64_t max_applying_ents_size, const struct logger *lg)
{
    uint64_t first;
    uint64_t last;
    int rc = storage->ops->first_index(storage, &first);

    if (rc == 0) {
        rc = storage->ops->last_index(storage, &last);
    }
    if (rc != 0) {
        log_fatal(lg, "bounds of the stored log: %s", err_str(rc));
    }
    ASSERT(first > 0);
    ASSERT(first <= last + 1);
    *l = (struct raft_log){
        .storage = storage,
        .committed = first - 1,
        .applying = first - 1,
        .applied = first - 1,
        .max_applying_ents_size = max_u64(max_applying_ents_size, 1),
        .lg = lg,
    };
    unstable_init(&l->unstable, last + 1, lg);
}

void raft_log_release(struct raft_log *l)
{
    unstable_release(&l->unstable);
}

/* --- reading --- */

uint64_t raft_log_first_index(const struct raft_log *l)
{
    uint64_t index;
    int rc;

    if (unstable_maybe_first_index(&l->unstable, &index)) {
        return index;
    }
    rc = l->storage->ops->first_index(l->storage, &index);
    if (rc < 0) {
        log_fatal(l->lg, "first index of the stored log: %s", err_str(rc));
    }
    return index;
}

uint64_t raft_log_last_index(const struct raft_log *l)
{
    uint64_t index;
    int rc;

    if (unstable_maybe_last_index(&l->unstable, &index)) {
        return index;
    }
    rc = l->storage->ops->last_index(l->storage, &index);
    if (rc < 0) {
        log_fatal(l->lg, "last index of the stored log: %s", err_str(rc));
    }
    return index;
}

struct entry_id raft_log_last_entry_id(const struct raft_log *l)
{
    struct entry_id id = {.index = raft_log_last_index(l)};
    int rc = raft_log_term(l, id.index, &id.term);

    if (rc < 0) {
        log_fatal(l->lg, "term of the last entry, index %" PRIu64 ": %s",
                  id.index, err_str(rc));
    }
    return id;
}

/* The storage is asked only for what it must know: it may still hold entries
 * before an unstable snapshot, and those are gone for us [LOG-4]. */
int raft_log_term(const struct raft_log *l, uint64_t index, uint64_t *term)
{
    int rc;

    if (unstable_maybe_term(&l->unstable, index, term)) {
        return 0;
    }
    *term = 0;
    if (index + 1 < raft_log_first_index(l)) {
        return ERR_COMPACTED;
    }
    if (index > raft_log_last_index(l)) {
        return ERR_UNAVAILABLE;
    }
    rc = l->storage->ops->term(l->storage, index, term);
    if (rc == ERR_COMPACTED || rc == ERR_UNAVAILABLE) {
        *term = 0;
    } else if (rc < 0) {
        log_fatal(l->lg, "term of stored entry %" PRIu64 ": %s", index,
                  err_str(rc));
    }
    return rc;
}

uint64_t raft_log_zero_term_on_out_of_bounds(const struct raft_log *l,
                                             uint64_t index)
{
    uint64_t term;

    return raft_log_term(l, index, &term) == 0 ? term : 0;
}

bool raft_log_match_term(const struct raft_log *l, struct entry_id id)
{
    uint64_t term;

    return raft_log_term(l, id.index, &term) == 0 && term == id.term;
}

/* Whether a log that ends in `last` is at least as up to date as one that ends
 * in `own` [Raft 5.4.1]. */
static bool reaches(struct entry_id last, struct entry_id own)
{
    return last.term > own.term ||
           (last.term == own.term && last.index >= own.index);
}

bool raft_log_is_up_to_date(const struct raft_log *l, struct entry_id last)
{
    return reaches(last, raft_log_last_entry_id(l));
}

bool raft_log_is_committed_within(const struct raft_log *l,
                                  struct entry_id last)
{
    struct entry_id own = {.index = l->committed};
    int rc = raft_log_term(l, own.index, &own.term);

    ASSERT(rc == 0); /* the log begins right behind a committed entry */
    return reaches(last, own);
}

/* A range beyond the log is a mistake of ours; one that is compacted can
 * happen to anybody. */
static int must_check_out_of_bounds(const struct raft_log *l, uint64_t lo,
                                    uint64_t hi)
{
    if (lo > hi) {
        log_fatal(l->lg, "log slice from %" PRIu64 " back to %" PRIu64, lo, hi);
    }
    if (lo < raft_log_first_index(l)) {
        return ERR_COMPACTED;
    }
    if (hi > raft_log_last_index(l) + 1) {
        log_fatal(l->lg,
                  "log slice [%" PRIu64 ",%" PRIu64 ") out of bounds [%" PRIu64
                  ",%" PRIu64 "]",
                  lo, hi, raft_log_first_index(l), raft_log_last_index(l));
    }
    return 0;
}

/* [lo, hi) of the stable part, as much as the storage gives. */
static int slice_stored(const struct raft_log *l, uint64_t lo, uint64_t hi,
                        uint64_t max_size, struct raft_entries *out)
{
    size_t before = out->len;
    int rc = l->storage->ops->entries(l->storage, lo, hi, max_size, out);

    if (rc == 0) {
        ASSERT(out->len - before <= hi - lo);
        return 0;
    }
    raft_entries_truncate(out, before);
    if (rc == ERR_COMPACTED) {
        return rc;
    }
    log_fatal(l->lg, "stored entries [%" PRIu64 ",%" PRIu64 "): %s", lo, hi,
              err_str(rc));
}

/* Append [lo, hi) of the unstable part to `out`, within `max_size` minus what
 * is there already from `before` on. The first entry of all goes in whatever
 * its size is, later ones must fit [LOG-18]. */
static void slice_unstable(const struct raft_log *l, uint64_t lo, uint64_t hi,
                           uint64_t max_size, size_t before,
                           struct raft_entries *out)
{
    struct raft_entry *const *items = unstable_slice(&l->unstable, lo, hi);
    size_t have = out->len - before;
    uint64_t size = 0;
    size_t n;

    if (have > 0) {
        size = raft_entries_size(out->items + before, have);
        if (size >= max_size) {
            return;
        }
    }
    n = raft_entries_limit(items, hi - lo, max_size - size);
    if (have > 0 && n == 1 && raft_entry_size(items[0]) > max_size - size) {
        return;
    }
    raft_entries_append(out, items, n);
}

int raft_log_slice(const struct raft_log *l, uint64_t lo, uint64_t hi,
                   uint64_t max_size, struct raft_entries *out)
{
    uint64_t offset = l->unstable.offset;
    size_t before = out->len;
    int rc = must_check_out_of_bounds(l, lo, hi);

    if (rc < 0) {
        return rc;
    }
    if (lo < hi && lo < offset) {
        uint64_t cut = min_u64(hi, offset);

        rc = slice_stored(l, lo, cut, max_size, out);
        if (rc < 0) {
            return rc;
        }
        if (out->len - before < cut - lo) {
            return 0; /* the limit was reached within the stable part */
        }
        lo = cut;
    }
    if (lo < hi) {
        slice_unstable(l, lo, hi, max_size, before, out);
    }
    return 0;
}

int raft_log_entries(const struct raft_log *l, uint64_t index,
                     uint64_t max_size, struct raft_entries *out)
{
    uint64_t last = raft_log_last_index(l);

    if (index > last) {
        return 0;
    }
    return raft_log_slice(l, index, last + 1, max_size, out);
}

/* One thread: nothing can be compacted between the two calls, so there is no
 * retry as in the reference [LOG-22]. */
void raft_log_all_entries(const struct raft_log *l, struct raft_entries *out)
{
    int rc = raft_log_entries(l, raft_log_first_index(l), UINT64_MAX, out);

    if (rc < 0) {
        log_fatal(l->lg, "all entries of the log: %s", err_str(rc));
    }
}

int raft_log_scan(const struct raft_log *l, uint64_t lo, uint64_t hi,
                  uint64_t page_size, void *ctx, raft_log_scan_fn *scan_cb)
{
    struct raft_entries page = {0};
    int rc = 0;

    while (rc == 0 && lo < hi) {
        raft_entries_reset(&page);
        rc = raft_log_slice(l, lo, hi, page_size, &page);
        if (rc == 0 && page.len == 0) {
            rc = ERR_UNAVAILABLE;
        }
        if (rc == 0) {
            rc = scan_cb(ctx, page.items, page.len);
        }
        lo += page.len;
    }
    raft_entries_release(&page);
    return rc;
}

int raft_log_snapshot(const struct raft_log *l, struct raft_snapshot **out)
{
    if (l->unstable.snapshot != NULL) {
        *out = raft_snapshot_ref(l->unstable.snapshot);
        return 0;
    }
    return l->storage->ops->snapshot(l->storage, out);
}

/* --- appending --- */

bool raft_log_maybe_append(struct raft_log *l, const struct log_slice *s,
                           uint64_t committed, uint64_t *last_new)
{
    uint64_t conflict;

    if (!raft_log_match_term(l, s->prev)) {
        return false;
    }
    *last_new = log_slice_last_index(s);
    conflict = raft_log_find_conflict(l, s->entries, s->n);
    if (conflict != 0) {
        if (conflict <= l->committed) {
            log_fatal(l->lg,
                      "entry %" PRIu64
                      " conflicts with an entry committed up to %" PRIu64,
                      conflict, l->committed);
        }
        ASSERT(conflict > s->prev.index);
        ASSERT(conflict <= *last_new);
        raft_log_append(l, s->entries + (conflict - s->prev.index - 1),
                        *last_new + 1 - conflict);
    }
    /* Entries beyond the slice may be of another leader: they stay where they
     * are, but this leader's commit does not vouch for them [Raft 5.3]. */
    raft_log_commit_to(l, min_u64(committed, *last_new));
    return true;
}

uint64_t raft_log_append(struct raft_log *l, struct raft_entry *const *items,
                         size_t n)
{
    if (n == 0) {
        return raft_log_last_index(l);
    }
    if (items[0]->index <= l->committed) {
        log_fatal(l->lg,
                  "append from index %" PRIu64 " would replace entries "
                  "committed up to %" PRIu64,
                  items[0]->index, l->committed);
    }
    ASSERT(items[0]->index <= raft_log_last_index(l) + 1);
    unstable_truncate_and_append(&l->unstable, items, n);
    return raft_log_last_index(l);
}

uint64_t raft_log_find_conflict(const struct raft_log *l,
                                struct raft_entry *const *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct entry_id id = entry_id_of(items[i]);

        if (raft_log_match_term(l, id)) {
            continue;
        }
        if (id.index <= raft_log_last_index(l)) {
            log_info(l->lg,
                     "conflict at index %" PRIu64 ": term %" PRIu64
                     " here, term %" PRIu64 " from the leader",
                     id.index, raft_log_zero_term_on_out_of_bounds(l, id.index),
                     id.term);
        }
        return id.index;
    }
    return 0;
}

/* An entry of a term above the hint's cannot be in the other log at or before
 * the hint, so one probe skips a whole term [raft-core FO-4]. */
struct entry_id raft_log_find_conflict_by_term(const struct raft_log *l,
                                               struct entry_id hint)
{
    for (uint64_t index = hint.index; index > 0; index--) {
        uint64_t term;

        if (raft_log_term(l, index, &term) < 0) {
            return (struct entry_id){.term = 0, .index = index};
        }
        if (term <= hint.term) {
            return (struct entry_id){.term = term, .index = index};
        }
    }
    return (struct entry_id){0};
}

void raft_log_restore(struct raft_log *l, struct raft_snapshot *snap)
{
    ASSERT(snap->index >= l->committed);
    log_info(l->lg,
             "log starts again after the snapshot at index %" PRIu64
             ", term %" PRIu64,
             snap->index, snap->term);
    l->committed = snap->index;
    unstable_restore(&l->unstable, snap);
}

/* --- committing --- */

void raft_log_commit_to(struct raft_log *l, uint64_t index)
{
    if (index <= l->committed) {
        return;
    }
    if (index > raft_log_last_index(l)) {
        log_fatal(l->lg,
                  "commit %" PRIu64 " is beyond the last index %" PRIu64
                  ": was the log damaged, truncated or lost?",
                  index, raft_log_last_index(l));
    }
    l->committed = index;
}

bool raft_log_maybe_commit(struct raft_log *l, struct entry_id id)
{
    if (id.term == 0 || id.index <= l->committed ||
        !raft_log_match_term(l, id)) {
        return false;
    }
    raft_log_commit_to(l, id.index);
    return true;
}

/* --- handing out to be made stable --- */

void raft_log_next_unstable_ents(const struct raft_log *l,
                                 struct raft_entries *out)
{
    struct raft_entry *const *items;
    size_t n = unstable_next_entries(&l->unstable, &items);

    if (n > 0) {
        raft_entries_append(out, items, n);
    }
}

bool raft_log_has_next_unstable_ents(const struct raft_log *l)
{
    struct raft_entry *const *items;

    return unstable_next_entries(&l->unstable, &items) > 0;
}

bool raft_log_has_next_or_in_progress_unstable_ents(const struct raft_log *l)
{
    return unstable_len(&l->unstable) > 0;
}

struct raft_snapshot *raft_log_next_unstable_snapshot(const struct raft_log *l)
{
    return unstable_next_snapshot(&l->unstable);
}

bool raft_log_has_next_unstable_snapshot(const struct raft_log *l)
{
    return unstable_next_snapshot(&l->unstable) != NULL;
}

bool raft_log_has_next_or_in_progress_snapshot(const struct raft_log *l)
{
    return l->unstable.snapshot != NULL;
}

void raft_log_accept_unstable(struct raft_log *l)
{
    unstable_accept_in_progress(&l->unstable);
}

void raft_log_stable_to(struct raft_log *l, struct entry_id id)
{
    unstable_stable_to(&l->unstable, id);
}

void raft_log_stable_snap_to(struct raft_log *l, uint64_t index)
{
    unstable_stable_snap_to(&l->unstable, index);
}

/* --- handing out to be applied --- */

uint64_t raft_log_max_appliable_index(const struct raft_log *l,
                                      bool allow_unstable)
{
    if (allow_unstable) {
        return l->committed;
    }
    return min_u64(l->committed, l->unstable.offset - 1);
}

void raft_log_next_committed_ents(const struct raft_log *l, bool allow_unstable,
                                  struct raft_entries *out)
{
    int rc;

    if (!raft_log_has_next_committed_ents(l, allow_unstable)) {
        return;
    }
    ASSERT(l->applying_ents_size < l->max_applying_ents_size);
    rc = raft_log_slice(l, l->applying + 1,
                        raft_log_max_appliable_index(l, allow_unstable) + 1,
                        l->max_applying_ents_size - l->applying_ents_size, out);
    if (rc < 0) {
        log_fatal(l->lg, "committed entries from index %" PRIu64 ": %s",
                  l->applying + 1, err_str(rc));
    }
}

/* A snapshot that is being stored moves the state machine first [PF-6]. */
bool raft_log_has_next_committed_ents(const struct raft_log *l,
                                      bool allow_unstable)
{
    if (l->applying_ents_paused ||
        raft_log_has_next_or_in_progress_snapshot(l)) {
        return false;
    }
    return l->applying < raft_log_max_appliable_index(l, allow_unstable);
}

/* Pause when the budget is used up, but also when the list was cut before: the
 * next entry would not have fitted, and handing it out alone would let it slip
 * past the budget as the one entry that is always given [LOG-14]. */
void raft_log_accept_applying(struct raft_log *l, uint64_t index, uint64_t size,
                              bool allow_unstable)
{
    if (index > l->committed) {
        log_fatal(l->lg,
                  "entry %" PRIu64 " handed out beyond committed %" PRIu64,
                  index, l->committed);
    }
    ASSERT(index >= l->applying);
    l->applying = index;
    l->applying_ents_size += size;
    l->applying_ents_paused =
        l->applying_ents_size >= l->max_applying_ents_size ||
        index < raft_log_max_appliable_index(l, allow_unstable);
}

void raft_log_applied_to(struct raft_log *l, uint64_t index, uint64_t size)
{
    if (index < l->applied || index > l->committed) {
        log_fatal(l->lg,
                  "applied %" PRIu64 " is outside of [applied %" PRIu64
                  ", committed %" PRIu64 "]",
                  index, l->applied, l->committed);
    }
    l->applied = index;
    l->applying = max_u64(l->applying, index);
    l->applying_ents_size -= min_u64(size, l->applying_ents_size);
    l->applying_ents_paused =
        l->applying_ents_size >= l->max_applying_ents_size;
}

/* --- */

uint64_t raft_payloads_size(struct raft_entry *const *items, size_t n)
{
    uint64_t size = 0;

    for (size_t i = 0; i < n; i++) {
        size += items[i]->len;
    }
    return size;
}

void raft_log_check(const struct raft_log *l)
{
    ASSERT(l->applied <= l->applying);
    ASSERT(l->applying <= l->committed);
    ASSERT(l->committed <= raft_log_last_index(l));
    ASSERT(l->committed + 1 >= raft_log_first_index(l));
    unstable_check(&l->unstable);
}
