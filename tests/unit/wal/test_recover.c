/* Goal: what no checksum can object to is refused all the same: records that
 * do not decode, or stand where they cannot. Method: segments made by hand,
 * with every checksum right. */

#include "wal/recover.h"

#include <errno.h>

#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/hex.h"
#include "tests/lib/sim_vfs.h"

#define SIZE 4096

/* A script of records: c crc, k marker, m metadata, s the empty snapshot, and
 * e, h, n an entry, a hard state, a snapshot marker with the bytes in hex that
 * follow. "|" begins the next segment. */
struct maker {
    struct sim_vfs *v;
    struct buf b;
    struct record_chain chain;
    struct segment_name name;
};

static void flush_segment(struct maker *m)
{
    char *path = segment_path("wal", m->name);

    sim_vfs_put(m->v, path, buf_bytes(&m->b));
    xfree(path);
    buf_reset(&m->b);
}

static void add_hex(struct maker *m, enum walpb_record_type type,
                    const char *hex, size_t n)
{
    char *text = xasprintf("%.*s", (int)n, hex);
    size_t len;
    uint8_t *p = hex_decode(text, &len);

    record_append(&m->b, type, (struct bytes){p, len}, &m->chain);
    xfree(p);
    xfree(text);
}

static void add(struct maker *m, const char *word, size_t n)
{
    switch (word[0]) {
    case 'c':
        record_append_crc(&m->b, &m->chain);
        return;
    case 'k':
        record_append_marker(&m->b, &m->chain);
        return;
    case 'm':
        record_append(&m->b, WALPB_METADATA, (struct bytes){0}, &m->chain);
        return;
    case 's':
        add_hex(m, WALPB_SNAPSHOT, "08001000", 8);
        return;
    case 'e':
        add_hex(m, WALPB_ENTRY, word + 1, n - 1);
        return;
    case 'h':
        add_hex(m, WALPB_STATE, word + 1, n - 1);
        return;
    case 'n':
        add_hex(m, WALPB_SNAPSHOT, word + 1, n - 1);
        return;
    case '|':
        flush_segment(m);
        m->name.seq++;
        m->name.index = strtoull(word + 1, NULL, 10);
        return;
    }
    UNREACHABLE();
}

static void make(struct sim_vfs *v, const char *script)
{
    struct maker m = {.v = v};
    char *path;

    buf_init(&m.b, BUF_UNLIMITED);
    while (*script != '\0') {
        size_t n = strcspn(script, " ");

        add(&m, script, n);
        script += n + strspn(script + n, " ");
    }
    path = segment_path("wal", m.name);
    flush_segment(&m);
    sim_vfs_cut(v, path, SIZE);
    xfree(path);
    buf_release(&m.b);
}

#define ENTRY_1 "e080010011801" /* term 1 */
#define ENTRY_2 "e080010011802"
#define STATE_2 "h080110001802" /* term 1, commit 2 */

static const struct {
    const char *name;
    const char *script;
    const char *says; /* NULL: accepted */
    uint64_t last;
} CASES[] = {
    {"plain", "c m s k " ENTRY_1 " " ENTRY_2 " " STATE_2, NULL, 2},
    {"without markers", "c m s " ENTRY_1 " " ENTRY_2 " " STATE_2, NULL, 2},
    {"fields missing are zero", "c m s k e10011801 h0801", NULL, 1},
    {"two segments",
     "c m s k " ENTRY_1 " " ENTRY_2 " " STATE_2 " |3 k m h080110001802", NULL,
     2},
    {"another writer counts its names otherwise",
     "c m s k " ENTRY_1 " " ENTRY_2 " " STATE_2 " |1 c m h080110001802", NULL,
     2},
    {"entry that is none", "c m s k eff", "record 5: an entry that cannot", 0},
    {"hard state that is none", "c m s k hff",
     "record 5: a hard state that cannot", 0},
    {"marker that is none", "c m s k nff",
     "record 5: a snapshot marker that cannot", 0},
    {"marker of the empty snapshot with a term", "c m s k n08001001",
     "record 5: a term for the empty snapshot", 0},
    {"no metadata", "c s " ENTRY_1, "record 2: a segment does not begin", 0},
    {"no crc", "m s " ENTRY_1, "record 1: a segment does not begin", 0},
    {"no empty snapshot", "c m " ENTRY_1, "record 3: a segment does not begin",
     0},
    {"nothing but a crc", "c", "record 2: the head", 0},
    {"later segment without metadata",
     "c m s k " ENTRY_1 " h080110001801 |2 k " ENTRY_2,
     "record 2: a segment does not begin", 0},
    {"our name does not go on",
     "c m s k " ENTRY_1 " h080110001801 |3 k m h080110001801",
     "name does not continue", 0},
    {"commit beyond the end", "c m s k " ENTRY_1 " " STATE_2,
     "beyond the last entry", 0},
    {"two markers in a row", "c m s k " ENTRY_1 " h0801 k k", NULL, 1},
};

static void test_scripts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct sim_vfs *v = sim_vfs_new();
        struct wal_options o = {.fs = sim_vfs_base(v), .dir = "wal"};
        struct recovery rec;
        struct errmsg em = {{0}};
        int rc;

        make(v, CASES[i].script);
        rc = recovery_run(&o, &rec, &em);
        if ((rc < 0) != (CASES[i].says != NULL)) {
            print_message("%s: %s\n", CASES[i].name, em.text);
        }
        if (CASES[i].says != NULL) {
            assert_int_equal(rc, ERR_DAMAGED);
            assert_non_null(strstr(em.text, CASES[i].says));
            assert_non_null(strstr(em.text, "last good index"));
            assert_non_null(strstr(em.text, "DELETE"));
        } else {
            assert_int_equal(rc, 0);
            assert_false(rec.torn);
            assert_int_equal(replay_last_index(&rec.replay), CASES[i].last);
        }
        recovery_release(&rec);
        sim_vfs_free(v);
    }
}

/* A record whose type was changed passes the format's own checksum; the marker
 * behind it tells. */
static void test_changed_type(void **state)
{
    static const char path[] = "wal/0000000000000000-0000000000000000.wal";
    struct sim_vfs *v = sim_vfs_new();
    struct wal_options o = {.fs = sim_vfs_base(v), .dir = "wal"};
    struct recovery rec;
    struct errmsg em;

    (void)state;
    /* As a hard state the entry says term 1, vote 1, commit 1. */
    make(v, "c m s k e080110011801 h080110011801 k");
    assert_int_equal(recovery_run(&o, &rec, &em), 0);
    recovery_release(&rec);
    sim_vfs_flip(v, path, 80 + 9, WALPB_ENTRY ^ WALPB_STATE);
    assert_int_equal(recovery_run(&o, &rec, &em), ERR_DAMAGED);
    assert_non_null(strstr(em.text, "bytes before it have changed"));
    sim_vfs_free(v);
}

/* Whoever does not ask for the text gets the number. */
static void test_without_a_message(void **state)
{
    struct sim_vfs *v = sim_vfs_new();
    struct wal_options o = {.fs = sim_vfs_base(v), .dir = "wal"};
    struct recovery rec;

    (void)state;
    make(v, "c m s k " ENTRY_1 " h080110001801 |2 k m |2 k m");
    sim_vfs_remove(v, "wal/0000000000000001-0000000000000002.wal");
    assert_int_equal(recovery_run(&o, &rec, NULL), ERR_DAMAGED);
    make(v, "c m s k eff");
    sim_vfs_remove(v, "wal/0000000000000002-0000000000000002.wal");
    assert_int_equal(recovery_run(&o, &rec, NULL), ERR_DAMAGED);
    sim_vfs_free(v);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripts),
        cmocka_unit_test(test_changed_type),
        cmocka_unit_test(test_without_a_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
