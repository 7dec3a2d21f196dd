/* Log entries for tests, written as the pairs index@term. */

#ifndef TESTS_LIB_ENTRIES_H
#define TESTS_LIB_ENTRIES_H

#include "proto/raftpb.h"

/* index@term. In a table of a fixed length, index 0 ends the list. */
struct at {
    uint64_t index;
    uint64_t term;
};

#define AT_MAX 8 /* entries of one case of a table */

/* A normal entry without Data, one reference for the caller. */
struct raft_entry *test_entry(uint64_t index, uint64_t term);

/* The same with `len` bytes of Data. */
struct raft_entry *test_entry_sized(uint64_t index, uint64_t term, size_t len);

/* Append the entries of a table; `v` is all zero or a vector in use. */
void test_entries(struct raft_entries *v, const struct at ids[AT_MAX]);

/* Append the entries lo@lo ... (hi-1)@(hi-1). */
void test_entries_range(struct raft_entries *v, uint64_t lo, uint64_t hi);

/* Fail the test unless `items` are exactly the entries of the table. */
void assert_entries(struct raft_entry *const *items, size_t n,
                    const struct at ids[AT_MAX]);

/* A snapshot at index@term, one reference for the caller. */
struct raft_snapshot *test_snapshot(uint64_t index, uint64_t term);

#endif /* TESTS_LIB_ENTRIES_H */
