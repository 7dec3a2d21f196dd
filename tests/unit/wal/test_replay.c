/* Goal: what a run of records means, and which runs raft cannot have written.
 * Method: short scripts of records in a table, each with the log that comes
 * out or the reason for which it is refused. */

#include "wal/replay.h"

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "tests/lib/cmocka.h"

/* A script: E term index, S term vote commit, M index term, C (crc record);
 * "E1:1-3" is three entries. The result is read after the end. */
static const struct {
    const char *name;
    const char *script;
    uint64_t first;   /* index in the first segment's name */
    const char *says; /* NULL: accepted */
    const char *log;  /* terms of the entries behind base */
    uint64_t base;
    struct hard_state hs;
    uint64_t marker; /* newest usable, 0: none */
    size_t n_markers;
} CASES[] = {
    {"nothing", "M0:0", 0, NULL, "", 0, {0, 0, 0}, 0, 0},
    {"entries and state",
     "M0:0 E1:1-3 S1:0:3",
     0,
     NULL,
     "111",
     0,
     {1, 0, 3},
     0,
     0},
    {"groups",
     "C E1:1-1 S1:0:0 C E1:2-3 S1:0:1 C",
     0,
     NULL,
     "111",
     0,
     {1, 0, 1},
     0,
     0},
    {"overwritten",
     "E1:1-5 S1:0:2 E2:4-4 S2:0:2",
     0,
     NULL,
     "1112",
     0,
     {2, 0, 2},
     0,
     0},
    {"overwritten by a lower term",
     "E1:1-2 S1:0:0 E3:3-3 S3:0:2 E2:3-3 S4:0:2",
     0,
     NULL,
     "112",
     0,
     {4, 0, 2},
     0,
     0},
    {"vote", "S1:2:0 S1:2:0 S2:3:0", 0, NULL, "", 0, {2, 3, 0}, 0, 0},

    /* Refused. */
    {"index 0", "E1:0-0", 0, "without index", "", 0, {0, 0, 0}, 0, 0},
    {"term 0", "E0:1-1", 0, "without index", "", 0, {0, 0, 0}, 0, 0},
    {"gap", "E1:1-2 E1:4-4", 0, "gap", "", 0, {0, 0, 0}, 0, 0},
    {"term falls",
     "E2:1-1 S2:0:0 E1:2-2",
     0,
     "lower term",
     "",
     0,
     {0, 0, 0},
     0,
     0},
    {"rewind to commit",
     "E1:1-5 S1:0:3 E2:3-3",
     0,
     "at or below the commit",
     "",
     0,
     {0, 0, 0},
     0,
     0},
    {"state's term falls",
     "S2:0:0 S1:0:0",
     0,
     "term of the hard state falls",
     "",
     0,
     {0, 0, 0},
     0,
     0},
    {"commit falls",
     "E1:1-2 S1:0:2 S1:0:1",
     0,
     "commit index falls",
     "",
     0,
     {0, 0, 0},
     0,
     0},
    {"vote changes",
     "S1:2:0 S1:3:0",
     0,
     "vote changes",
     "",
     0,
     {0, 0, 0},
     0,
     0},
    {"vote is taken back",
     "S1:2:0 S1:0:0",
     0,
     "vote changes",
     "",
     0,
     {0, 0, 0},
     0,
     0},
    {"commit beyond the end",
     "E1:1-2 S1:0:3",
     0,
     "beyond the last entry",
     "",
     0,
     {0, 0, 0},
     0,
     0},
    {"state below the last entry's term",
     "E2:1-1 S1:0:0",
     0,
     "above the hard state's",
     "",
     0,
     {0, 0, 0},
     0,
     0},
    {"group ends above the state's term",
     "S1:0:0 E2:1-1 C",
     0,
     "above the hard state's",
     "",
     0,
     {0, 0, 0},
     0,
     0},
    {"marker above the state's term",
     "S1:0:0 E2:1-1 M1:2",
     0,
     "inside a group",
     "",
     0,
     {0, 0, 0},
     0,
     0},
    {"marker contradicts",
     "E1:1-5 S2:0:5 M4:2",
     0,
     "contradicts",
     "",
     0,
     {0, 0, 0},
     0,
     0},
    {"empty marker with a term",
     "M0:1",
     0,
     "empty snapshot",
     "",
     0,
     {0, 0, 0},
     0,
     0},
    {"marker without term", "M5:0", 0, "without term", "", 0, {0, 0, 0}, 0, 0},

    /* A save that was torn before its state. */
    {"rolled back", "E1:1-3 S1:0:2 E2:4-5", 0, NULL, "111", 0, {1, 0, 2}, 0, 0},
    {"rolled back to what was overwritten",
     "E1:1-5 S1:0:2 E2:4-6",
     0,
     NULL,
     "11111",
     0,
     {1, 0, 2},
     0,
     0},
    {"overwritten twice before the state",
     "E1:1-6 S1:0:2 E2:5-7 E3:3-3",
     0,
     NULL,
     "111111",
     0,
     {1, 0, 2},
     0,
     0},
    {"overwritten twice, higher",
     "E1:1-6 S1:0:2 E2:3-7 E3:6-6",
     0,
     NULL,
     "111111",
     0,
     {1, 0, 2},
     0,
     0},
    {"rolled back to nothing", "M0:0 E1:1-3", 0, NULL, "", 0, {0, 0, 0}, 0, 0},
    {"rolled back behind a snapshot",
     "M9:3 E4:10-10",
     0,
     NULL,
     "",
     9,
     {3, 0, 9},
     9,
     1},
    {"below where the files begin",
     "S1:0:4 E1:8-9 S1:0:4 E2:6-6",
     8,
     NULL,
     "11",
     7,
     {1, 0, 4},
     0,
     0},
    {"below where the files begin, twice",
     "S1:0:4 E1:8-9 S1:0:4 E2:6-8 E3:6-6 E3:5-6",
     8,
     NULL,
     "11",
     7,
     {1, 0, 4},
     0,
     0},

    /* Snapshots. */
    {"own snapshot",
     "E1:1-5 S1:0:4 M3:1",
     0,
     NULL,
     "11111",
     0,
     {1, 0, 4},
     3,
     1},
    {"two of them",
     "E1:1-5 S1:0:4 M2:1 M4:1",
     0,
     NULL,
     "11111",
     0,
     {1, 0, 4},
     4,
     2},
    {"written twice",
     "E1:1-5 S1:0:4 M2:1 M2:1",
     0,
     NULL,
     "11111",
     0,
     {1, 0, 4},
     2,
     1},
    {"not covered by commit",
     "E1:1-5 S1:0:2 M4:1",
     0,
     NULL,
     "11111",
     0,
     {1, 0, 2},
     0,
     0},
    {"covered later",
     "E1:1-5 S1:0:2 M4:1 S1:0:4",
     0,
     NULL,
     "11111",
     0,
     {1, 0, 4},
     4,
     1},
    {"overwritten before it was covered",
     "E1:1-5 S1:0:2 M4:1 E2:3-6 S2:0:6",
     0,
     NULL,
     "112222",
     0,
     {2, 0, 6},
     0,
     0},
    {"received",
     "E1:1-5 S1:0:4 M9:3 S3:0:9 E3:10-10 S3:0:9",
     0,
     NULL,
     "3",
     9,
     {3, 0, 9},
     9,
     1},
    {"received, then the power went",
     "E1:1-5 S1:2:4 M9:3",
     0,
     NULL,
     "",
     9,
     {3, 0, 9},
     9,
     1},
    {"received in the same term",
     "E1:1-5 S3:2:4 M9:3",
     0,
     NULL,
     "",
     9,
     {3, 2, 9},
     9,
     1},
    {"received, other term",
     "E1:1-9 S1:0:4 M6:2 S2:0:6",
     0,
     NULL,
     "",
     6,
     {2, 0, 6},
     6,
     1},
    {"received, drops older markers",
     "E1:1-5 S1:0:4 M3:1 M9:3 S3:0:9",
     0,
     NULL,
     "",
     9,
     {3, 0, 9},
     9,
     1},
    {"received, state first (etcd 3.4)",
     "S2:0:0 S2:0:26 M26:2 E2:27-28 S2:0:28",
     0,
     NULL,
     "22",
     26,
     {2, 0, 28},
     26,
     1},
    {"state, but its marker never came",
     "S2:0:0 S2:0:26",
     0,
     "beyond the last entry",
     "",
     0,
     {0, 0, 0},
     0,
     0},
    {"dead tail below a snapshot (etcd 22442)",
     "E1:1-10 S1:0:2 E2:8-8 S2:0:8 M8:2",
     0,
     NULL,
     "11111112",
     0,
     {2, 0, 8},
     8,
     1},

    /* Older segments are gone. */
    {"released",
     "C S1:0:6 E1:8-9 S1:0:8 M8:1",
     8,
     NULL,
     "11",
     7,
     {1, 0, 8},
     8,
     1},
    {"released, older marker says nothing",
     "S1:0:6 M5:1 E1:8-9 S1:0:8",
     8,
     NULL,
     "11",
     7,
     {1, 0, 8},
     0,
     0},
    {"released, marker at the border",
     "S1:0:7 M7:1 E1:8-9 S1:0:8",
     8,
     NULL,
     "11",
     7,
     {1, 0, 8},
     7,
     1},
    {"released, entries overwritten before the name",
     "S1:0:4 E2:6-9 S2:0:8 M8:2",
     8,
     NULL,
     "2222",
     5,
     {2, 0, 8},
     8,
     1},
    {"released, gap", "S1:0:4 E2:10-10", 8, "gap", "", 0, {0, 0, 0}, 0, 0},
};

static uint64_t number(const char **p)
{
    char *end;
    uint64_t v = strtoull(*p, &end, 10);

    ASSERT(end != *p);
    *p = *end == ':' || *end == '-' ? end + 1 : end;
    return v;
}

static int feed_entries(struct replay *r, uint64_t term, uint64_t from,
                        uint64_t to, const char **why)
{
    int rc = 0;

    for (uint64_t i = from; i <= to && rc == 0; i++) {
        struct raft_entry *e =
            raft_entry_new(RAFT_ENTRY_NORMAL, (struct bytes){0});

        e->term = term;
        e->index = i;
        rc = replay_entry(r, e, why);
    }
    return rc;
}

static int feed(struct replay *r, const char **p, const char **why)
{
    char kind = *(*p)++;
    uint64_t a;
    uint64_t b;

    if (kind == 'C') {
        return replay_group(r, why);
    }
    a = number(p);
    b = number(p);
    switch (kind) {
    case 'E':
        return feed_entries(r, a, b, number(p), why);
    case 'M':
        return replay_marker(r, (struct wal_marker){a, b}, why);
    case 'S':
        return replay_state(r, &(struct hard_state){a, b, number(p)}, why);
    }
    UNREACHABLE();
}

static int run(struct replay *r, const char *script, const char **why)
{
    int rc = 0;

    while (rc == 0 && *script != '\0') {
        rc = feed(r, &script, why);
        script += strspn(script, " ");
    }
    if (rc == 0 && r->ahead) {
        replay_roll_back(r);
    }
    return rc == 0 ? replay_end(r, why) : rc;
}

static void check_result(struct replay *r, size_t i)
{
    char log[64];
    size_t n;
    const struct wal_marker *m = replay_usable(r, &n);

    for (size_t k = 0; k < r->entries.len; k++) {
        assert_int_equal(r->entries.items[k]->index, r->base.index + 1 + k);
        log[k] = (char)('0' + r->entries.items[k]->term);
    }
    log[r->entries.len] = '\0';
    assert_string_equal(log, CASES[i].log);
    assert_int_equal(r->base.index, CASES[i].base);
    assert_true(hard_state_equal(&r->hs, &CASES[i].hs));
    assert_int_equal(n, CASES[i].n_markers);
    assert_int_equal(n > 0 ? m[n - 1].index : 0, CASES[i].marker);
    assert_int_equal(r->undo.len, 0);
}

static void test_scripts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct replay r;
        const char *why = NULL;
        int rc;

        replay_init(&r, CASES[i].first);
        rc = run(&r, CASES[i].script, &why);
        if ((rc < 0) != (CASES[i].says != NULL)) {
            print_message("%s: %s\n", CASES[i].name, rc < 0 ? why : "accepted");
        }
        if (CASES[i].says != NULL) {
            assert_int_equal(rc, ERR_DAMAGED);
            assert_non_null(strstr(why, CASES[i].says));
        } else {
            assert_int_equal(rc, 0);
            check_result(&r, i);
        }
        replay_release(&r);
    }
}

static void test_take(void **state)
{
    struct replay r;
    struct wal_contents c;
    const char *why;

    (void)state;
    replay_init(&r, 0);
    assert_int_equal(run(&r, "E1:1-9 S1:0:8 M3:1 M6:1", &why), 0);
    assert_int_equal(replay_take(&r, (struct wal_marker){5, 1}, &c),
                     ERR_SNAPSHOT_MISMATCH);
    assert_int_equal(replay_take(&r, (struct wal_marker){6, 2}, &c),
                     ERR_SNAPSHOT_MISMATCH);
    assert_int_equal(replay_take(&r, (struct wal_marker){3, 1}, &c), 0);
    assert_int_equal(c.entries.len, 6);
    assert_int_equal(c.entries.items[0]->index, 4);
    assert_int_equal(c.hard_state.commit, 8);
    wal_contents_release(&c);
    replay_release(&r);
}

/* A node that starts from the older snapshot writes its marker again. */
static void test_markers_are_kept_in_order(void **state)
{
    struct replay r;
    const char *why;
    size_t n;
    const struct wal_marker *m;

    (void)state;
    replay_init(&r, 0);
    assert_int_equal(run(&r, "E1:1-9 S1:0:8 M6:1 M3:1 M6:1", &why), 0);
    m = replay_usable(&r, &n);
    assert_int_equal(n, 2);
    assert_int_equal(m[0].index, 3);
    assert_int_equal(m[1].index, 6);
    replay_release(&r);
}

/* Entries below the snapshot have overwritten those behind it: a start from the
 * snapshot must not bring these back [reliability 3.3, etcd #22442]. */
static void test_take_behind_what_was_overwritten(void **state)
{
    struct replay r;
    struct wal_contents c;
    const char *why;

    (void)state;
    replay_init(&r, 0);
    assert_int_equal(run(&r, "E1:1-9 S1:0:2 E2:4-6 S2:0:6 M6:2", &why), 0);
    assert_int_equal(replay_take(&r, (struct wal_marker){6, 2}, &c), 0);
    assert_int_equal(c.entries.len, 0);
    wal_contents_release(&c);
    replay_release(&r);
}

static void test_take_from_the_beginning(void **state)
{
    struct replay r;
    struct wal_contents c;
    const char *why;

    (void)state;
    replay_init(&r, 4);
    assert_int_equal(run(&r, "E1:4-9 S1:0:8", &why), 0);
    assert_int_equal(replay_take(&r, (struct wal_marker){0, 0}, &c),
                     ERR_DAMAGED);
    replay_release(&r);
    replay_init(&r, 0);
    assert_int_equal(run(&r, "E1:1-9 S1:0:8", &why), 0);
    assert_int_equal(replay_take(&r, (struct wal_marker){0, 0}, &c), 0);
    assert_int_equal(c.entries.len, 9);
    wal_contents_release(&c);
    replay_release(&r);
}

/* A log that nobody compacts keeps what two snapshots need, no more. */
static void test_memory_is_bounded(void **state)
{
    struct replay r;
    const char *why;
    size_t n;
    const struct wal_marker *m;

    (void)state;
    replay_init(&r, 0);
    r.bytes_max = 1000;
    for (uint64_t i = 1; i <= 5000; i++) {
        assert_int_equal(feed_entries(&r, 1, i, i, &why), 0);
        assert_int_equal(replay_state(&r, &(struct hard_state){1, 0, i}, &why),
                         0);
        if (i % 100 == 0) {
            assert_int_equal(replay_marker(&r, (struct wal_marker){i, 1}, &why),
                             0);
            assert_in_range(r.entries.len, 0, 200);
        }
    }
    assert_int_equal(replay_last_index(&r), 5000);
    m = replay_usable(&r, &n);
    assert_int_equal(n, SNAPSHOTS_KEPT);
    assert_int_equal(m[0].index, 4900);
    assert_int_equal(r.base.index, 4900);
    replay_release(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripts),
        cmocka_unit_test(test_take),
        cmocka_unit_test(test_markers_are_kept_in_order),
        cmocka_unit_test(test_take_behind_what_was_overwritten),
        cmocka_unit_test(test_take_from_the_beginning),
        cmocka_unit_test(test_memory_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
