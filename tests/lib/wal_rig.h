/* A WAL on a disk in memory, beside an independent model of what it holds.
 *
 * The model keeps the state as of the last completed sync, and every record
 * appended since. After a crash the WAL must come back as that state, or as
 * that state with a prefix of those records: nothing else [reliability I15].
 * A prefix that ends between an entry of a new term and the hard state that
 * announces the term does not count: those records belong together. */

#ifndef TESTS_LIB_WAL_RIG_H
#define TESTS_LIB_WAL_RIG_H

#include "tests/lib/sim_vfs.h"
#include "wal/wal.h"

/* What a log says, seen from its newest snapshot. */
struct wal_state {
    struct hard_state hs;
    struct wal_marker snap;
    struct raft_entries log; /* behind snap */
};

void wal_state_copy(struct wal_state *to, const struct wal_state *from);
void wal_state_release(struct wal_state *s);
bool wal_state_equal(const struct wal_state *a, const struct wal_state *b);
uint64_t wal_state_last(const struct wal_state *s);

enum rig_record_kind {
    RIG_ENTRY,
    RIG_STATE,
    RIG_SNAPSHOT, /* the node's own */
    RIG_RESTORE,  /* the leader's: replaces the log */
};

struct rig_record {
    enum rig_record_kind kind;
    struct raft_entry *entry;
    struct hard_state hs;
    struct wal_marker marker;
};

struct wal_rig {
    struct sim_vfs *v; /* owned */
    struct wal *w;     /* NULL: closed */
    struct wal_options o;
    struct wal_state synced;
    struct rig_record *pending; /* appended since the last sync */
    size_t n_pending;
    struct wal_state now;
    struct errmsg em; /* of the last call that failed */
    uint64_t torn_bytes;
};

/* Nothing there yet. */
void rig_init(struct wal_rig *r, uint64_t segment_bytes);
void rig_release(struct wal_rig *r);

/* Each returns what the WAL returned; the model follows if that is 0. */
int rig_create(struct wal_rig *r);

/* Append entries first.. of `term`, of `size` bytes each with content that
 * tells index and term, and a HardState of that term, with the vote that it
 * has, if any, and `commit`. */
int rig_save(struct wal_rig *r, uint64_t term, uint64_t first, size_t n,
             size_t size, uint64_t commit);
int rig_save_state(struct wal_rig *r, struct hard_state hs);

/* The same with one entry of any type, whose term and index are set; its
 * reference is taken over. */
int rig_save_entry(struct wal_rig *r, struct raft_entry *e, uint64_t commit);
int rig_snapshot(struct wal_rig *r, uint64_t index);
int rig_restore(struct wal_rig *r, uint64_t index, uint64_t term);
int rig_sync(struct wal_rig *r);
int rig_release_to(struct wal_rig *r, uint64_t index);
int rig_close(struct wal_rig *r);

/* What must succeed, or the test fails: a new log; the same log, closed before
 * if it is open; entries of 20 bytes each, synced. */
void rig_must_create(struct wal_rig *r, uint64_t segment_bytes);
void rig_must_reopen(struct wal_rig *r);
void rig_must_save(struct wal_rig *r, uint64_t term, uint64_t first, size_t n,
                   uint64_t commit);

/* Open, start from the newest marker, and take what was found as `now`,
 * synced, without comparing. */
int rig_open(struct wal_rig *r);

/* Whether `now`, as opened, is what the model allows after a crash. Call it
 * with the model as it was before: rig_reopen does both. */
int rig_reopen(struct wal_rig *r, bool *allowed);

/* What a start on another disk finds, in *found; the rig stays as it is. */
int rig_look(const struct wal_rig *r, struct sim_vfs *v,
             struct wal_state *found, struct errmsg *em);

/* Whether a log may come back as `s`: the synced state with a prefix of what
 * was appended since. */
bool rig_allows(const struct wal_rig *r, const struct wal_state *s);

/* The same where `s` need only match such a state as `matches` says. */
typedef bool rig_matches(const struct wal_state *allowed,
                         const struct wal_state *found);
bool rig_allows_as(const struct wal_rig *r, const struct wal_state *s,
                   rig_matches *matches);

/* The model alone, for what is written another way than through `w`: a record
 * was appended (its entry's reference is taken over); all is synced. */
void rig_note(struct wal_rig *r, struct rig_record rec);
void rig_note_sync(struct wal_rig *r);

/* Cut the power and drop the dead WAL. */
void rig_crash(struct wal_rig *r, const struct sim_crash *crash);

/* A copy of the disk and the model, with no WAL open. */
void rig_fork(struct wal_rig *to, const struct wal_rig *from);

/* An entry as rig_save makes it, count 1. */
struct raft_entry *rig_entry(uint64_t term, uint64_t index, size_t size);

/* "wal/SEQ-INDEX.wal" of the newest segment, or the n-th from 0; xfree. */
char *rig_segment(const struct wal_rig *r, size_t n);
char *rig_last_segment(const struct wal_rig *r);
size_t rig_segments(const struct wal_rig *r);

#endif /* TESTS_LIB_WAL_RIG_H */
