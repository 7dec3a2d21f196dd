/* Goal: a dump says everything that is on disk, of a damaged directory as much
 * as can be read and where it stops, and changes nothing. Method: directories
 * made by our own WAL and snapshotter on a disk in memory, damaged at known
 * places; the expected text stands here. */

#include "src/dump/dump.h"

#include <errno.h>
#include <inttypes.h>

#include "snap/snapshotter.h"
#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "src/kv/command.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/sim_vfs.h"
#include "wal/wal.h"

#define WAL_DIR  "data/raftexample-1"
#define SNAP_DIR WAL_DIR "-snap"
#define SEGMENT  WAL_DIR "/0000000000000000-0000000000000000.wal"
#define SNAPSHOT SNAP_DIR "/0000000000000002-0000000000000003.snap"

struct fixture {
    struct sim_vfs *v;
    struct vfs *fs;
    struct buf out;
    struct errmsg em;
};

static void capture(void *ctx, struct bytes text)
{
    struct fixture *f = ctx;

    assert_true(text.len == 0 || text.data[text.len - 1] == '\n');
    (void)buf_append(&f->out, text.data, text.len);
}

static int dump(struct fixture *f, const char *path, bool json)
{
    struct dump_options o = {f->fs, path, json, capture, f};

    buf_reset(&f->out);
    f->em.text[0] = '\0';
    return dump_run(&o, &f->em);
}

static const char *text(struct fixture *f)
{
    return buf_cstr(&f->out);
}

static void assert_says(struct fixture *f, const char *what)
{
    if (strstr(text(f), what) == NULL) {
        print_error("not in the dump: %s\n%s", what, text(f));
        fail();
    }
}

static void assert_says_not(struct fixture *f, const char *what)
{
    if (strstr(text(f), what) != NULL) {
        print_error("in the dump: %s\n%s", what, text(f));
        fail();
    }
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    f->v = sim_vfs_new();
    f->fs = sim_vfs_base(f->v);
    buf_init(&f->out, BUF_UNLIMITED);
    assert_int_equal(vfs_mkdir(f->fs, "data"), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    sim_vfs_free(f->v);
    buf_release(&f->out);
    xfree(f);
    return 0;
}

/* --- what is on the disk --- */

static struct bytes str(const char *s)
{
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static struct raft_entry *entry(uint64_t type, struct bytes data, uint64_t term,
                                uint64_t index)
{
    struct raft_entry *e = raft_entry_new(type, data);

    e->term = term;
    e->index = index;
    return e;
}

static struct raft_entry *put_entry(struct kv_command c, uint64_t index)
{
    size_t n = kv_command_size(&c);
    uint8_t *p = xmalloc(n);
    struct raft_entry *e;

    (void)kv_command_encode(&c, p);
    e = entry(RAFT_ENTRY_NORMAL, (struct bytes){p, n}, 2, index);
    xfree(p);
    return e;
}

static struct raft_entry *change_entry(uint64_t index)
{
    struct conf_change cc = {.id = 7,
                             .type = CONF_CHANGE_ADD_NODE,
                             .node_id = 4,
                             .context = str("http://127.0.0.1:4000")};
    struct raft_entry *e;
    struct buf b;

    buf_init(&b, BUF_UNLIMITED);
    assert_int_equal(conf_change_encode(&cc, &b), 0);
    e = entry(RAFT_ENTRY_CONF_CHANGE, buf_bytes(&b), 2, index);
    buf_release(&b);
    return e;
}

static void save(struct wal *w, struct raft_entry *e, uint64_t commit)
{
    struct hard_state hs = {2, 1, commit};

    assert_int_equal(wal_save(w, &hs, &e, e != NULL, NULL), 0);
    assert_int_equal(wal_sync(w, NULL), 0);
    raft_entry_unref(e);
}

static void save_snapshot(struct fixture *f, struct wal *w, const char *image)
{
    struct snapshotter s;
    struct raft_snapshot *snap = raft_snapshot_new();
    struct walpb_snapshot marker = {3, 2, &snap->conf_state};

    snap->index = 3;
    snap->term = 2;
    snap->data = xmemdup(image, strlen(image));
    snap->len = strlen(image);
    id_list_push(&snap->conf_state.voters, 1);
    id_list_push(&snap->conf_state.learners, 2);
    snap->members = xcalloc(1, sizeof(snap->members[0]));
    snap->members[0] =
        (struct snapshot_member){1, xstrdup("http://127.0.0.1:1000")};
    snap->n_members = 1;
    snapshotter_init(&s, f->fs, SNAP_DIR, NULL);
    assert_int_equal(snapshotter_open(&s, NULL), 0);
    assert_int_equal(snapshotter_save(&s, snap, NULL), 0);
    snapshotter_release(&s);
    assert_int_equal(wal_save_snapshot(w, &marker, NULL), 0);
    assert_int_equal(wal_sync(w, NULL), 0);
    raft_snapshot_unref(snap);
}

static struct wal *create(struct fixture *f, uint64_t segment_bytes)
{
    struct wal_options o = {
        .fs = f->fs, .dir = WAL_DIR, .segment_bytes = segment_bytes};
    struct wal *w;

    assert_int_equal(wal_create(&o, &w, NULL), 0);
    return w;
}

/* One of every kind of record and payload. */
static void make_member(struct fixture *f)
{
    struct wal *w = create(f, 4096);

    save(w, entry(RAFT_ENTRY_NORMAL, (struct bytes){0}, 2, 1), 0);
    save(w, put_entry((struct kv_command){str("/k"), str("v\n"), 0x1f}, 2), 1);
    save(w, put_entry((struct kv_command){str("/\xff"), str("\x80"), 0}, 3), 3);
    save_snapshot(f, w, "{\"/k\":\"v\\n\",\"/\xff\":\"\x80\"}");
    save(w, change_entry(4), 3);
    save(w, entry(RAFT_ENTRY_NORMAL, str("junk"), 2, 5), 4);
    assert_int_equal(wal_close(w, NULL), 0);
}

/* The offset of the record that holds `what`, as the dump says. */
static uint64_t offset_of(struct fixture *f, const char *what)
{
    const char *line;

    assert_int_equal(dump(f, WAL_DIR, false), 0);
    line = strstr(text(f), what);
    assert_non_null(line);
    while (line[-1] != '\n') {
        line--;
    }
    return strtoull(line, NULL, 10);
}

/* --- tests --- */

static void test_text(void **state)
{
    struct fixture *f = *state;
    static const char *const lines[] = {
        "log: data/raftexample-1\nsnapshots: data/raftexample-1-snap\n",
        "segment 0000000000000000-0000000000000000.wal, 4096 bytes\n",
        "         0       16  00000000  ok        crc\n",
        "        16       16  00000000  ok        metadata\n",
        "        32       24  81e6d9a0  ok        snapshot 0, term 0\n",
        "        56       24  81e6d9a0  ok        crc, seals all since the "
        "last one\n",
        "  ok        entry 1, term 2: empty\n",
        "  ok        hard state: term 2, vote 1, commit 1\n",
        "entry 2, term 2: put \"/k\" = \"v\\n\" (request 000000000000001f)\n",
        "entry 3, term 2: put \"/\\xff\" = \"\\x80\"\n",
        "  ok        snapshot 3, term 2\n",
        "entry 4, term 2: conf_change add_node 4 \"http://127.0.0.1:4000\" "
        "(request 0000000000000007)\n",
        "entry 5, term 2: unknown payload of type 0: \"junk\"\n",
        " end of the log\n\n"
        "hard state: term 2, vote 1, commit 4\n"
        "log in force: 5 entries, 1 to 5\n"
        "snapshot that the log vouches for: 3, term 2\n\n"
        "snapshot 0000000000000002-0000000000000003.snap, ",
        " bytes: index 3, term 2, 2 keys, voters 1, learners 2\n"
        "  member 1: \"http://127.0.0.1:1000\"\n"
        "  \"/k\" = \"v\\n\"\n"
        "  \"/\\xff\" = \"\\x80\"\n\n"
        "a node would start from the snapshot at index 3, term 2\n",
    };

    make_member(f);
    assert_int_equal(dump(f, "data", false), 0);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        assert_says(f, lines[i]);
    }
}

static void test_json(void **state)
{
    struct fixture *f = *state;
    static const char *const lines[] = {
        "{\"kind\":\"member\",\"wal\":\"data/raftexample-1\","
        "\"snap\":\"data/raftexample-1-snap\"}\n",
        "{\"kind\":\"segment\",\"file\":\"0000000000000000-"
        "0000000000000000.wal\",\"size\":4096}\n",
        "{\"kind\":\"record\",\"offset\":32,\"size\":24,\"crc\":\"81e6d9a0\","
        "\"crc_state\":\"ok\",\"record\":\"snapshot\",\"index\":0,"
        "\"term\":0}\n",
        "\"crc_state\":\"ok\",\"record\":\"crc\",\"seals\":\"",
        "\"record\":\"entry\",\"entry\":{\"kind\":\"entry\",\"index\":1,"
        "\"term\":2,\"type\":\"empty\"}}\n",
        "\"record\":\"state\",\"term\":2,\"vote\":1,\"commit\":3}\n",
        "{\"kind\":\"end\",\"file\":\"0000000000000000-0000000000000000.wal\","
        "\"offset\":",
        "\"state\":\"clean\"}\n"
        "{\"kind\":\"hard_state\",\"term\":2,\"vote\":1,\"commit\":4}\n"
        "{\"kind\":\"log\",\"base_index\":0,\"base_term\":0,"
        "\"last_index\":5}\n"
        "{\"kind\":\"entry\",\"index\":1,\"term\":2,\"type\":\"empty\"}\n"
        "{\"kind\":\"entry\",\"index\":2,\"term\":2,\"type\":\"put\","
        "\"id\":\"000000000000001f\",\"key\":\"/k\",\"value\":\"v\\n\"}\n"
        "{\"kind\":\"entry\",\"index\":3,\"term\":2,\"type\":\"put\","
        "\"key_hex\":\"2fff\",\"value_hex\":\"80\"}\n"
        "{\"kind\":\"entry\",\"index\":4,\"term\":2,\"type\":\"conf_change\","
        "\"id\":\"0000000000000007\",\"change\":\"add_node\",\"node\":4,"
        "\"context\":\"http://127.0.0.1:4000\"}\n"
        "{\"kind\":\"entry\",\"index\":5,\"term\":2,\"type\":\"unknown\","
        "\"entry_type\":0,\"data_hex\":\"6a756e6b\"}\n"
        "{\"kind\":\"marker\",\"index\":3,\"term\":2}\n"
        "{\"kind\":\"snapshot\",\"file\":\"0000000000000002-"
        "0000000000000003.snap\",\"size\":",
        "\"state\":\"ok\",\"index\":3,\"term\":2,\"voters\":[1],"
        "\"learners\":[2],\"voters_outgoing\":[],\"learners_next\":[],"
        "\"auto_leave\":false,\"keys\":2,\"members\":[{\"id\":1,"
        "\"url\":\"http://127.0.0.1:1000\"}]}\n"
        "{\"kind\":\"pair\",\"key\":\"/k\",\"value\":\"v\\n\"}\n"
        "{\"kind\":\"pair\",\"key_hex\":\"2fff\",\"value_hex\":\"80\"}\n"
        "{\"kind\":\"start\",\"index\":3,\"term\":2}\n",
    };

    make_member(f);
    assert_int_equal(dump(f, "data", true), 0);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        assert_says(f, lines[i]);
    }
}

static void test_utf8_or_hex(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *value;
        bool is_text;
    } cases[] = {
        {"plain", true},
        {"", true},
        {"\x7f", true},
        {"\xc3\xa9", true},          /* U+00E9 */
        {"\xe2\x82\xac", true},      /* U+20AC */
        {"\xf0\x9f\x98\x80", true},  /* U+1F600 */
        {"\xf4\x8f\xbf\xbf", true},  /* U+10FFFF */
        {"\xf4\x90\x80\x80", false}, /* beyond it */
        {"\xf5\x80\x80\x80", false}, /* no such start */
        {"\xc1\xbf", false},         /* longer than needed */
        {"\xe0\x9f\xbf", false},     /* the same, of three */
        {"\xf0\x8f\xbf\xbf", false}, /* the same, of four */
        {"\xed\xa0\x80", false},     /* a surrogate */
        {"\xe2\x82", false},         /* cut short */
        {"\x80", false},             /* no start at all */
        {"ok\xe2\x28\xa1", false},   /* a bad second byte */
        {"\xe2\x82\x28", false},     /* a bad third byte */
    };
    struct wal *w = create(f, 65536);

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        save(w,
             put_entry((struct kv_command){str("/k"), str(cases[i].value), 0},
                       i + 1),
             i);
    }
    assert_int_equal(wal_close(w, NULL), 0);
    assert_int_equal(dump(f, WAL_DIR, true), 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *line = xasprintf("{\"kind\":\"entry\",\"index\":%zu,\"term\":2,"
                               "\"type\":\"put\",\"key\":\"/k\",\"value%s\":",
                               i + 1, cases[i].is_text ? "" : "_hex");

        assert_says(f, line);
        xfree(line);
    }
}

static void test_long_values_are_cut_in_text_only(void **state)
{
    struct fixture *f = *state;
    struct wal *w = create(f, 65536);
    uint8_t value[1000];

    memset(value, 'x', sizeof(value));
    save(
        w,
        put_entry((struct kv_command){str("/k"), {value, sizeof(value)}, 0}, 1),
        0);
    assert_int_equal(wal_close(w, NULL), 0);
    assert_int_equal(dump(f, WAL_DIR, false), 0);
    assert_says(f, "xxx\"... (1000 bytes)\n");
    assert_true(f->out.len < 3000);
    assert_int_equal(dump(f, WAL_DIR, true), 0);
    assert_true(f->out.len > 2000); /* in its record, and in the log */
}

static void test_directories(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *path;
        int rc;
        const char *says;
    } cases[] = {
        {"data", 0, "log: data/raftexample-1\nsnapshots: data/"},
        {"data/", 0, "log: data/raftexample-1\nsnapshots: data/"},
        {WAL_DIR "//", 0, "snapshots: " SNAP_DIR "\n"},
        {SNAP_DIR, 0, "log: none\nsnapshots: " SNAP_DIR "\n"},
        {"nowhere", -ENOENT, NULL},
        {"empty", ERR_NOT_FOUND, NULL},
        {"data/raftexample-2", ERR_WAL_NOT_FOUND, "STOPS HERE"},
    };

    make_member(f);
    assert_int_equal(vfs_mkdir(f->fs, "empty"), 0);
    assert_int_equal(vfs_mkdir(f->fs, "empty/raftexample-x"), 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (i == ARRAY_LEN(cases) - 1) {
            assert_int_equal(vfs_mkdir(f->fs, cases[i].path), 0);
        }
        assert_int_equal(dump(f, cases[i].path, false), cases[i].rc);
        assert_int_equal(f->em.text[0] == '\0', cases[i].rc == 0);
        if (cases[i].says != NULL) {
            assert_says(f, cases[i].says);
        } else {
            assert_string_equal(text(f), "");
        }
    }
}

/* Every member is printed, also behind one that is damaged, also one whose log
 * is lost. */
static void test_all_members(void **state)
{
    struct fixture *f = *state;

    make_member(f);
    sim_vfs_put(f->v,
                "data/raftexample-2-snap/0000000000000002-"
                "0000000000000009.snap",
                str("junk"));
    sim_vfs_put(f->v,
                "data/raftexample-3/0000000000000000-"
                "0000000000000000.wal",
                str("junk"));
    assert_int_equal(dump(f, "data", false), ERR_DAMAGED);
    assert_says(f, "log: data/raftexample-1\n");
    assert_says(f, "a node would start from the snapshot");
    assert_says(f, "log: none\nsnapshots: data/raftexample-2-snap\n");
    assert_says(f, "DAMAGED: ");
    assert_says(f, "log: data/raftexample-3\nsnapshots: none\n");
    assert_says(f, "STOPS HERE: data/raftexample-3/");
}

static void test_damage_stops_it_there(void **state)
{
    struct fixture *f = *state;
    uint64_t off;
    char *where;

    make_member(f);
    off = offset_of(f, "entry 3, term 2");
    sim_vfs_flip(f->v, SEGMENT, off + 30, 0x10);
    assert_int_equal(dump(f, WAL_DIR, false), ERR_DAMAGED);
    assert_says(f, "  WRONG     entry 3, term 2");
    assert_says_not(f, "entry 4, term 2");
    assert_says(f, "log in force: 2 entries, 1 to 2\n");
    assert_says_not(f, "a node would start");
    /* The snapshot is there all the same. */
    assert_says(f, "index 3, term 2, 2 keys");
    where = xasprintf("%10" PRIu64 " STOPS HERE: " SEGMENT ": offset %" PRIu64
                      ": record ",
                      off, off);
    assert_says(f, where);
    xfree(where);
    where = xasprintf("\"offset\":%" PRIu64 ",\"state\":\"damaged\",\"why\":\"",
                      off);
    assert_int_equal(dump(f, WAL_DIR, true), ERR_DAMAGED);
    assert_says(f, where);
    assert_says(f, "\"crc_state\":\"wrong\"");
    xfree(where);
}

/* A change that only the seal of the group sees. */
static void test_broken_seal(void **state)
{
    struct fixture *f = *state;
    uint64_t off;

    make_member(f);
    off = offset_of(f, "entry 2, term 2");
    sim_vfs_flip(f->v, SEGMENT, off + 9, 0x01); /* its type: now a state */
    assert_int_equal(dump(f, WAL_DIR, false), ERR_DAMAGED);
    assert_says(f, "STOPS HERE");
}

static void test_torn_tail_is_no_damage(void **state)
{
    struct fixture *f = *state;
    uint64_t off;

    make_member(f);
    off = offset_of(f, "entry 5, term 2");
    sim_vfs_zero(f->v, SEGMENT, off + 16, 4096 - off - 16);
    assert_int_equal(dump(f, WAL_DIR, false), 0);
    assert_says(f, " torn: everything ends inside it; ");
    assert_says(f, "log in force: 4 entries, 1 to 4\n");
    assert_int_equal(dump(f, WAL_DIR, true), 0);
    assert_says(f, "\"state\":\"torn\",\"bytes\":");
}

static void test_missing_segment(void **state)
{
    struct fixture *f = *state;
    struct wal *w = create(f, 512);
    struct vfs_names names;
    char *second;

    for (uint64_t i = 1; i <= 20; i++) {
        save(w, put_entry((struct kv_command){str("/k"), str("v"), 0}, i),
             i - 1);
    }
    assert_int_equal(wal_close(w, NULL), 0);
    sim_vfs_names(f->v, WAL_DIR, &names);
    assert_true(names.n >= 4);
    second = vfs_join(WAL_DIR, names.names[1]);
    sim_vfs_remove(f->v, second);
    assert_int_equal(dump(f, WAL_DIR, false), ERR_DAMAGED);
    assert_says(f, "entry 1, term 2");
    assert_says(f,
                "STOPS HERE: " WAL_DIR ": segment 0000000000000001 is missing");
    assert_says(f, "log in force: ");
    vfs_names_release(&names);
    xfree(second);
}

static void test_released_beginning(void **state)
{
    struct fixture *f = *state;
    struct wal *w = create(f, 512);
    struct vfs_names names;
    char *first;

    for (uint64_t i = 1; i <= 3; i++) {
        save(w, put_entry((struct kv_command){str("/k"), str("v"), 0}, i), i);
    }
    save_snapshot(f, w, "{}");
    for (uint64_t i = 4; i <= 20; i++) {
        save(w, put_entry((struct kv_command){str("/k"), str("v"), 0}, i), i);
    }
    assert_int_equal(wal_close(w, NULL), 0);
    sim_vfs_names(f->v, WAL_DIR, &names);
    first = vfs_join(WAL_DIR, names.names[0]);
    sim_vfs_remove(f->v, first);
    assert_int_equal(dump(f, WAL_DIR, false), 0);
    assert_says(f, "  taken     crc");
    assert_says(f, ", behind index ");
    vfs_names_release(&names);
    xfree(first);
}

static void test_damaged_snapshot(void **state)
{
    struct fixture *f = *state;
    int64_t size;

    make_member(f);
    size = sim_vfs_size(f->v, SNAPSHOT);
    assert_true(size > 0);
    for (int64_t at = 0; at < size; at++) {
        sim_vfs_flip(f->v, SNAPSHOT, (uint64_t)at, 0x04);
        assert_int_equal(dump(f, WAL_DIR, false), ERR_DAMAGED);
        assert_says(f, "DAMAGED: ");
        assert_says(f, "a node would start from the beginning");
        sim_vfs_flip(f->v, SNAPSHOT, (uint64_t)at, 0x04);
    }
    assert_int_equal(dump(f, WAL_DIR, true), 0);
}

static void test_snapshot_that_is_no_object(void **state)
{
    struct fixture *f = *state;
    struct wal *w = create(f, 4096);

    for (uint64_t i = 1; i <= 3; i++) {
        save(w, put_entry((struct kv_command){str("/k"), str("v"), 0}, i), i);
    }
    save_snapshot(f, w, "{\"/k\":1}");
    assert_int_equal(wal_close(w, NULL), 0);
    assert_int_equal(dump(f, WAL_DIR, true), ERR_DAMAGED);
    assert_says(f, "\"state\":\"damaged\",\"why\":\"");
    assert_says_not(f, "\"kind\":\"pair\"");
    assert_says(f, "{\"kind\":\"start\",\"index\":0,\"term\":0}\n");
}

/* Not a name, not a byte, no lock, whatever is damaged. */
static void test_never_writes(void **state)
{
    struct fixture *f = *state;
    uint32_t before;

    make_member(f);
    sim_vfs_remove(f->v, WAL_DIR "/lock");
    for (uint64_t at = 0; at < 1000; at += 7) {
        uint64_t calls = sim_vfs_calls(
            f->v, (SIM_CALLS_CHANGE & ~SIM_CALL_OPEN) | SIM_CALL_LOCK);

        sim_vfs_flip(f->v, SEGMENT, at, 0x10);
        sim_vfs_flip(f->v, SNAPSHOT, at % 50, 0x10);
        before = sim_vfs_hash(f->v, "data");
        (void)!dump(f, "data", (at & 1) != 0);
        assert_int_equal(sim_vfs_hash(f->v, "data"), before);
        assert_int_equal(
            sim_vfs_calls(f->v,
                          (SIM_CALLS_CHANGE & ~SIM_CALL_OPEN) | SIM_CALL_LOCK),
            calls);
        sim_vfs_flip(f->v, SEGMENT, at, 0x10);
        sim_vfs_flip(f->v, SNAPSHOT, at % 50, 0x10);
    }
}

/* A node has the directory: its locks do not matter, nor does its open group.
 */
static void test_directory_in_use(void **state)
{
    struct fixture *f = *state;
    struct wal *w = create(f, 4096);

    save(w, put_entry((struct kv_command){str("/k"), str("v"), 0}, 1), 1);
    assert_int_equal(dump(f, "data", false), 0);
    assert_says(f, "log in force: 1 entries, 1 to 1\n");
    save(w, put_entry((struct kv_command){str("/k"), str("w"), 0}, 2), 2);
    assert_int_equal(dump(f, "data", false), 0);
    assert_says(f, "log in force: 2 entries, 1 to 2\n");
    assert_int_equal(wal_close(w, NULL), 0);
}

static void test_every_call_may_fail(void **state)
{
    struct fixture *f = *state;
    uint64_t calls;

    make_member(f);
    calls = sim_vfs_calls(f->v, SIM_CALLS_ALL);
    assert_int_equal(dump(f, "data", false), 0);
    calls = sim_vfs_calls(f->v, SIM_CALLS_ALL) - calls;
    for (uint64_t k = 1; k <= calls; k++) {
        int rc;

        sim_vfs_fail_once(f->v, k, -EIO);
        rc = dump(f, "data", false);
        assert_true(sim_vfs_has_failed(f->v));
        sim_vfs_heal(f->v);
        /* What cannot be looked at counts as there: reading it will tell. */
        if (rc == 0) {
            assert_says(f, "log in force: 5 entries");
            assert_says(f, "2 keys");
        } else {
            assert_string_not_equal(f->em.text, "");
        }
    }
}

static void test_usage(void **state)
{
    (void)state;
    assert_non_null(strstr(dump_usage(), "raftexample-dump [--json] DIR"));
    for (const char *p = dump_usage(); *p != '\0'; p = strchr(p, '\n') + 1) {
        assert_true(strcspn(p, "\n") <= 80);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_utf8_or_hex, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_values_are_cut_in_text_only,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_directories, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_members, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_stops_it_there, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_broken_seal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn_tail_is_no_damage, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_missing_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_released_beginning, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_damaged_snapshot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_snapshot_that_is_no_object, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_never_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_directory_in_use, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_call_may_fail, setup,
                                        teardown),
        cmocka_unit_test(test_usage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
