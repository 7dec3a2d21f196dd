/* The raft log: stable storage below, the unstable tail above, and the marks
 * that move over both.
 *
 *   applied <= applying <= committed <= last index
 *
 *   committed  the highest index known to be stored on a quorum
 *   applying   the highest index handed out to be applied
 *   applied    the highest index known to be applied
 *
 * Functions that give entries append them to a vector of the caller, who keeps
 * it between calls: in steady use nothing is allocated. Entries are immutable,
 * so a vector filled earlier stays valid whatever happens to the log.
 *
 * Counterpart: etcd-io/raft log.go, and entryID and logSlice of types.go.
 * Differs: results go to the caller's vector instead of shared slices. */

#ifndef SRC_RAFT_LOG_H
#define SRC_RAFT_LOG_H

#include "src/raft/storage.h"
#include "src/raft/unstable.h"

/* A run of entries as a leader sent it: `n` entries right after `prev`, from
 * the log of the leader of `term`. Borrows the entries. */
struct log_slice {
    uint64_t term;        /* of the leader that has this slice */
    struct entry_id prev; /* the entry before the first one */
    struct raft_entry *const *entries;
    size_t n;
};

static inline uint64_t log_slice_last_index(const struct log_slice *s)
{
    return s->prev.index + s->n;
}

static inline struct entry_id log_slice_last_entry_id(const struct log_slice *s)
{
    return s->n == 0 ? s->prev : entry_id_of(s->entries[s->n - 1]);
}

/* Whether indexes run on from prev, terms never decrease, and none exceeds the
 * term of the slice [raft-core 1.4]. */
bool log_slice_is_valid(const struct log_slice *s);

struct raft_log {
    struct raft_storage *storage; /* borrowed */
    struct unstable unstable;
    uint64_t committed;
    uint64_t applying;
    uint64_t applied;

    /* Flow control of what is handed out to be applied, in encoded bytes. */
    uint64_t max_applying_ents_size; /* the budget */
    uint64_t applying_ents_size;     /* handed out, not yet acknowledged */
    bool applying_ents_paused;       /* nothing more fits before an ack */

    const struct logger *lg; /* borrowed; may be NULL */
};

/* The log over `storage` as it is now: committed, applying and applied stand
 * just before its first index. `max_applying_ents_size` is in encoded bytes; 0
 * hands out one entry at a time [PF-20]. A storage that fails is fatal. */
void raft_log_init(struct raft_log *l, struct raft_storage *storage,
                   uint64_t max_applying_ents_size, const struct logger *lg);
void raft_log_release(struct raft_log *l);

/* --- reading --- */

/* An empty log has first == last + 1. */
uint64_t raft_log_first_index(const struct raft_log *l);
uint64_t raft_log_last_index(const struct raft_log *l);

/* Id of the last entry; of the snapshot position if there is none. */
struct entry_id raft_log_last_entry_id(const struct raft_log *l);

/* The term of entry `index`, known for [first - 1, last].
 *   ERR_COMPACTED    it lies below
 *   ERR_UNAVAILABLE  it lies beyond
 * On an error *term is 0. */
MUST_CHECK int raft_log_term(const struct raft_log *l, uint64_t index,
                             uint64_t *term);

/* The same, with 0 for an entry whose term is not known. */
uint64_t raft_log_zero_term_on_out_of_bounds(const struct raft_log *l,
                                             uint64_t index);

/* Whether the log holds exactly this entry; false when that is not known. */
bool raft_log_match_term(const struct raft_log *l, struct entry_id id);

/* Whether a log that ends in `last` may lead us [Raft 5.4.1]. */
bool raft_log_is_up_to_date(const struct raft_log *l, struct entry_id last);

/* The same of the committed part of the log only. */
bool raft_log_is_committed_within(const struct raft_log *l,
                                  struct entry_id last);

/* Append to `out` the entries [lo, hi), limited to `max_size` encoded bytes,
 * but at least one if any.
 *   ERR_COMPACTED  lo is below the first index; `out` is unchanged
 * Fatal: lo > hi, or hi beyond last + 1. */
MUST_CHECK int raft_log_slice(const struct raft_log *l, uint64_t lo,
                              uint64_t hi, uint64_t max_size,
                              struct raft_entries *out);

/* The same for [index, last]; nothing if `index` is beyond the last one. */
MUST_CHECK int raft_log_entries(const struct raft_log *l, uint64_t index,
                                uint64_t max_size, struct raft_entries *out);

/* The whole log, appended to `out`. */
void raft_log_all_entries(const struct raft_log *l, struct raft_entries *out);

/* Pages of `n` entries, borrowed for the call. Not 0: stop, the scan returns
 * this value. */
typedef int raft_log_scan_fn(void *ctx, struct raft_entry *const *items,
                             size_t n);

/* Visit the entries [lo, hi) in order, in pages of at most `page_size` encoded
 * bytes or of one entry.
 *   ERR_COMPACTED    lo is below the first index
 *   ERR_UNAVAILABLE  a page came back empty */
MUST_CHECK int raft_log_scan(const struct raft_log *l, uint64_t lo, uint64_t hi,
                             uint64_t page_size, void *ctx,
                             raft_log_scan_fn *scan_cb);

/* The snapshot to send to a member that is too far behind: the unstable one if
 * present, else that of the storage. One reference for the caller.
 *   ERR_SNAPSHOT_TEMPORARILY_UNAVAILABLE, or what the storage returns */
MUST_CHECK int raft_log_snapshot(const struct raft_log *l,
                                 struct raft_snapshot **out);

/* --- appending --- */

/* Follower: take over what a leader sent. False, with nothing changed, if the
 * log does not contain s->prev. Otherwise conflicting entries are replaced,
 * missing ones appended, committed is raised to min(committed, last of the
 * slice), and *last_new is the last index of the slice [Raft figure 2].
 * A conflict at or below committed is fatal. */
bool raft_log_maybe_append(struct raft_log *l, const struct log_slice *s,
                           uint64_t committed, uint64_t *last_new);

/* Append consecutive entries, replacing what is at or beyond the first one.
 * Takes a reference to each; returns the new last index. Fatal if that would
 * replace a committed entry. */
uint64_t raft_log_append(struct raft_log *l, struct raft_entry *const *items,
                         size_t n);

/* The index of the first of the entries that the log does not hold: it either
 * conflicts or is new. 0: it holds them all. */
uint64_t raft_log_find_conflict(const struct raft_log *l,
                                struct raft_entry *const *items, size_t n);

/* The best guess where a log that ends in `hint` meets this one: the largest
 * index <= hint.index whose term here is <= hint.term, with that term; term 0
 * where it is not known [raft-core LOG-9]. */
struct entry_id raft_log_find_conflict_by_term(const struct raft_log *l,
                                               struct entry_id hint);

/* Become the position of the snapshot: committed is its index. applying and
 * applied follow when it is acknowledged. Takes another reference. */
void raft_log_restore(struct raft_log *l, struct raft_snapshot *snap);

/* --- committing --- */

/* Raise committed; a lower index is ignored. Fatal beyond the last index: the
 * log lost entries it had acknowledged. */
void raft_log_commit_to(struct raft_log *l, uint64_t index);

/* Leader: commit up to id.index if that moves committed and the entry there has
 * id.term, the leader's own (not 0) [Raft 5.4.2]. */
bool raft_log_maybe_commit(struct raft_log *l, struct entry_id id);

/* --- handing out to be made stable --- */

/* Append the unstable entries not yet handed out to `out`. */
void raft_log_next_unstable_ents(const struct raft_log *l,
                                 struct raft_entries *out);
bool raft_log_has_next_unstable_ents(const struct raft_log *l);
bool raft_log_has_next_or_in_progress_unstable_ents(const struct raft_log *l);

/* The snapshot not yet handed out, borrowed; NULL: none. */
struct raft_snapshot *raft_log_next_unstable_snapshot(const struct raft_log *l);
bool raft_log_has_next_unstable_snapshot(const struct raft_log *l);
bool raft_log_has_next_or_in_progress_snapshot(const struct raft_log *l);

/* All unstable content has been handed out. */
void raft_log_accept_unstable(struct raft_log *l);

/* The write that ended in `id` / the snapshot at `index` is durable
 * (unstable.h). */
void raft_log_stable_to(struct raft_log *l, struct entry_id id);
void raft_log_stable_snap_to(struct raft_log *l, uint64_t index);

/* --- handing out to be applied --- */

/* The highest index that may be applied now: committed, and below the unstable
 * entries unless those are allowed (they are without asynchronous writes, where
 * the application makes them stable first). */
uint64_t raft_log_max_appliable_index(const struct raft_log *l,
                                      bool allow_unstable);

/* Append to `out` the committed entries to hand out next, as far as the budget
 * allows. None while paused, or while a snapshot waits to be applied. */
void raft_log_next_committed_ents(const struct raft_log *l, bool allow_unstable,
                                  struct raft_entries *out);
bool raft_log_has_next_committed_ents(const struct raft_log *l,
                                      bool allow_unstable);

/* Entries up to `index`, of `size` encoded bytes, have been handed out. */
void raft_log_accept_applying(struct raft_log *l, uint64_t index, uint64_t size,
                              bool allow_unstable);

/* Entries up to `index` have been applied, and `size` encoded bytes are given
 * back to the budget. Fatal unless applied <= index <= committed. */
void raft_log_applied_to(struct raft_log *l, uint64_t index, uint64_t size);

/* --- */

/* The sum of the payload bytes, the Data alone [raft-core 25]. */
uint64_t raft_payloads_size(struct raft_entry *const *items, size_t n);

/* ASSERT the invariants above and those of the unstable part. */
void raft_log_check(const struct raft_log *l);

#endif /* SRC_RAFT_LOG_H */
