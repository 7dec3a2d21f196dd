/* Goal: a snapshot is saved whole or not at all, and only a whole one is
 * loaded. Method: real files in a temporary directory, every cut and flip of a
 * file, foreign names beside ours. */

#include "snap/snapshotter.h"

#include <errno.h>
#include <unistd.h>

#include "proto/snappb.h"
#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/buf.h"
#include "src/base/crc32c.h"
#include "src/base/log.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/hex.h"
#include "tests/lib/jsonl.h"

struct fixture {
    struct vfs *fs;
    char root[32];
    char *dir; /* root/snap */
    struct snapshotter s;
    struct logger lg;
    size_t n_errors; /* lines at ERROR */
    char last_error[512];
};

static void sink(void *ctx, enum log_level level, const char *line)
{
    struct fixture *f = ctx;

    if (level >= LOG_ERROR) {
        f->n_errors++;
        snprintf(f->last_error, sizeof(f->last_error), "%s", line);
    }
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    f->fs = vfs_posix();
    snprintf(f->root, sizeof(f->root), "/tmp/test-snap-XXXXXX");
    assert_non_null(mkdtemp(f->root));
    f->dir = vfs_join(f->root, "snap");
    f->lg = (struct logger){LOG_DEBUG, sink, f};
    snapshotter_init(&f->s, f->fs, f->dir, &f->lg);
    assert_int_equal(snapshotter_open(&f->s, NULL), 0);
    *state = f;
    return 0;
}

static void list_names(struct fixture *f, struct vfs_names *names)
{
    assert_int_equal(vfs_list_sorted(f->fs, f->dir, names), 0);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct vfs_names names;

    list_names(f, &names);
    for (size_t i = 0; i < names.n; i++) {
        char *path = vfs_join(f->dir, names.names[i]);
        if (vfs_unlink(f->fs, path) < 0) {
            assert_int_equal(vfs_rmdir(f->fs, path), 0);
        }
        xfree(path);
    }
    vfs_names_release(&names);
    assert_int_equal(vfs_rmdir(f->fs, f->dir), 0);
    assert_int_equal(vfs_rmdir(f->fs, f->root), 0);
    snapshotter_release(&f->s);
    xfree(f->dir);
    xfree(f);
    return 0;
}

/* The names in the directory, with a blank between them. */
static void assert_names(struct fixture *f, const char *want)
{
    struct vfs_names names;
    char got[2048] = "";
    size_t at = 0;

    list_names(f, &names);
    for (size_t i = 0; i < names.n; i++) {
        at += (size_t)snprintf(got + at, sizeof(got) - at, "%s%s",
                               i == 0 ? "" : " ", names.names[i]);
    }
    vfs_names_release(&names);
    assert_string_equal(got, want);
}

static struct raft_snapshot *make_snapshot(uint64_t term, uint64_t index,
                                           const void *data, size_t len)
{
    struct raft_snapshot *snap = raft_snapshot_new();

    snap->term = term;
    snap->index = index;
    snap->data = xmemdup(data, len);
    snap->len = len;
    id_list_push(&snap->conf_state.voters, 1);
    return snap;
}

static void save(struct fixture *f, uint64_t term, uint64_t index,
                 const char *json)
{
    struct raft_snapshot *snap = make_snapshot(term, index, json, strlen(json));

    assert_int_equal(snapshotter_save(&f->s, snap, NULL), 0);
    raft_snapshot_unref(snap);
}

static void write_file(struct fixture *f, const char *name, const void *data,
                       size_t len)
{
    char *path = vfs_join(f->dir, name);
    struct vfs_file *file;

    assert_int_equal(
        vfs_open(f->fs, path, VFS_WRITE | VFS_CREATE | VFS_TRUNC, &file), 0);
    assert_int_equal(vfs_pwrite(file, data, len, 0), 0);
    assert_int_equal(vfs_close(file), 0);
    xfree(path);
}

static uint8_t *read_file(struct fixture *f, const char *name, size_t *len)
{
    char *path = vfs_join(f->dir, name);
    uint8_t *data;

    assert_int_equal(vfs_read_file(f->fs, path, SIZE_MAX / 2, &data, len, NULL),
                     0);
    xfree(path);
    return data;
}

/* --- opening --- */

static void test_open_makes_directory_once(void **state)
{
    struct fixture *f = *state;

    assert_names(f, "");
    assert_int_equal(snapshotter_open(&f->s, NULL), 0);
    assert_names(f, "");
}

static void test_open_refuses_a_file_in_its_place(void **state)
{
    struct fixture *f = *state;
    struct snapshotter other;
    struct errmsg em;
    char *path = vfs_join(f->dir, "file");

    write_file(f, "file", "x", 1);
    snapshotter_init(&other, f->fs, path, &f->lg);
    assert_int_equal(snapshotter_open(&other, &em), -ENOTDIR);
    assert_non_null(strstr(em.text, path));
    snapshotter_release(&other);
    xfree(path);
}

static void test_open_without_parent_fails(void **state)
{
    struct fixture *f = *state;
    struct snapshotter other;
    char *path = vfs_join(f->dir, "a/b");

    snapshotter_init(&other, f->fs, path, &f->lg);
    assert_int_equal(snapshotter_open(&other, NULL), -ENOENT);
    snapshotter_release(&other);
    xfree(path);
}

static void test_open_removes_only_our_temporary_files(void **state)
{
    struct fixture *f = *state;

    write_file(f, "0000000000000001-0000000000000002.snap.tmp", "x", 1);
    write_file(f, "0000000000000001-0000000000000002.snap.broken", "x", 1);
    write_file(f, "notes.snap.tmp", "x", 1);
    assert_int_equal(snapshotter_open(&f->s, NULL), 0);
    assert_names(f, "0000000000000001-0000000000000002.snap.broken "
                    "notes.snap.tmp");
}

/* --- saving and loading --- */

static void test_save_then_load(void **state)
{
    struct fixture *f = *state;
    static const char data[] = "{\"/k\":\"\xff\\u0000\"}";
    struct raft_snapshot *snap =
        make_snapshot(2, UINT64_MAX, data, sizeof(data) - 1);
    struct raft_snapshot *back;

    snap->members = xcalloc(2, sizeof(*snap->members));
    snap->members[0] = (struct snapshot_member){1, xstrdup("http://a:1")};
    snap->members[1] = (struct snapshot_member){9, xstrdup("http://b:2")};
    snap->n_members = 2;
    assert_int_equal(snapshotter_save(&f->s, snap, NULL), 0);
    assert_names(f, "0000000000000002-ffffffffffffffff.snap");
    assert_int_equal(snapshotter_load(&f->s, 2, UINT64_MAX, &back, NULL), 0);
    assert_true(back->term == 2);
    assert_true(back->index == UINT64_MAX);
    assert_int_equal(back->refs, 1);
    assert_int_equal(back->len, snap->len);
    assert_memory_equal(back->data, data, back->len);
    assert_true(conf_state_equivalent(&back->conf_state, &snap->conf_state));
    assert_int_equal(back->n_members, 2);
    assert_string_equal(back->members[1].url, "http://b:2");
    raft_snapshot_unref(back);
    raft_snapshot_unref(snap);
}

static void test_save_writes_etcd_bytes(void **state)
{
    struct fixture *f = *state;
    size_t want_len;
    uint8_t *want = hex_decode("08c7e3a983051225"
                               "0a177b222f6b31223a227631222c222f6b32223a22"
                               "7632227d120a0a040801280010041802",
                               &want_len);
    size_t len;

    save(f, 2, 4, "{\"/k1\":\"v1\",\"/k2\":\"v2\"}");
    uint8_t *got = read_file(f, "0000000000000002-0000000000000004.snap", &len);
    assert_int_equal(len, want_len);
    assert_memory_equal(got, want, len);
    xfree(got);
    xfree(want);
}

static void test_save_twice_replaces(void **state)
{
    struct fixture *f = *state;
    struct raft_snapshot *back;

    save(f, 1, 5, "{\"/long\":\"first content\"}");
    save(f, 1, 5, "{}");
    assert_names(f, "0000000000000001-0000000000000005.snap");
    assert_int_equal(snapshotter_load(&f->s, 1, 5, &back, NULL), 0);
    assert_int_equal(back->len, 2);
    raft_snapshot_unref(back);
}

static void test_save_into_missing_directory_fails(void **state)
{
    struct fixture *f = *state;
    struct raft_snapshot *snap = make_snapshot(1, 5, "{}", 2);
    struct errmsg em;

    assert_int_equal(vfs_rmdir(f->fs, f->dir), 0);
    assert_int_equal(snapshotter_save(&f->s, snap, &em), -ENOENT);
    assert_non_null(strstr(em.text, "create"));
    assert_non_null(strstr(em.text, f->dir));
    raft_snapshot_unref(snap);
    assert_int_equal(snapshotter_open(&f->s, NULL), 0);
}

static void test_load_says_there_is_none(void **state)
{
    struct fixture *f = *state;
    struct raft_snapshot *back = NULL;
    struct errmsg em;

    save(f, 1, 5, "{}");
    assert_int_equal(snapshotter_load(&f->s, 2, 5, &back, &em),
                     ERR_NO_SNAPSHOT);
    assert_int_equal(snapshotter_load(&f->s, 1, 6, &back, &em),
                     ERR_NO_SNAPSHOT);
    assert_null(back);
    assert_int_equal(f->n_errors, 0);
    assert_names(f, "0000000000000001-0000000000000005.snap");
}

/* Data whose CRC in the file is `want`: the CRC is affine in the four bytes at
 * the end of the data, so 32 probes give a linear system. */
static uint32_t crc_of(const struct raft_snapshot *snap)
{
    size_t len = raft_snapshot_size(snap);
    uint8_t *p = xmalloc(len);

    (void)raft_snapshot_encode(snap, p);
    uint32_t crc = crc32c(0, p, len);
    xfree(p);
    return crc;
}

static void force_crc(struct raft_snapshot *snap, uint32_t want)
{
    uint8_t *free_bytes = snap->data + snap->len - 4;
    uint32_t effect[32]; /* of each bit on the CRC */
    uint32_t bits[32];   /* which bits make that effect */
    uint32_t solution = 0;

    memset(free_bytes, 0, 4);
    uint32_t base = crc_of(snap);
    for (size_t i = 0; i < 32; i++) {
        free_bytes[i / 8] = (uint8_t)(1u << i % 8);
        effect[i] = crc_of(snap) ^ base;
        bits[i] = UINT32_C(1) << i;
        free_bytes[i / 8] = 0;
    }
    uint32_t rest = base ^ want;
    for (size_t i = 0; i < 32; i++) {
        assert_int_not_equal(effect[i], 0); /* one to one */
        uint32_t top = UINT32_C(1) << (31 - __builtin_clz(effect[i]));
        for (size_t k = i + 1; k < 32; k++) {
            if ((effect[k] & top) != 0) {
                effect[k] ^= effect[i];
                bits[k] ^= bits[i];
            }
        }
        /* Keep earlier rows free of this bit too, so that each row decides
         * one bit of the rest. */
        for (size_t k = 0; k < i; k++) {
            if ((effect[k] & top) != 0) {
                effect[k] ^= effect[i];
                bits[k] ^= bits[i];
            }
        }
    }
    for (size_t i = 0; i < 32; i++) {
        if ((rest & effect[i]) != 0) {
            solution ^= bits[i];
        }
    }
    for (size_t i = 0; i < 32; i++) {
        free_bytes[i / 8] |= (uint8_t)((solution >> i & 1) << i % 8);
    }
    assert_int_equal(crc_of(snap), want);
}

/* A CRC of 0 reads as "no CRC", in Go too. */
static void test_save_avoids_crc_zero(void **state)
{
    struct fixture *f = *state;
    struct raft_snapshot *snap = make_snapshot(1, 5, "{\"/k\":\"0000", 11);
    struct raft_snapshot *back;
    struct snappb_snapshot outer;
    size_t len;

    force_crc(snap, 0);
    assert_int_equal(snapshotter_save(&f->s, snap, NULL), 0);
    uint8_t *file =
        read_file(f, "0000000000000001-0000000000000005.snap", &len);
    assert_int_equal(snappb_decode((struct bytes){file, len}, &outer), 0);
    assert_int_not_equal(outer.crc, 0);
    assert_int_equal(snapshotter_load(&f->s, 1, 5, &back, NULL), 0);
    assert_int_equal(snap->len, 11); /* the caller's is as it was */
    assert_int_equal(back->len, 12);
    assert_memory_equal(back->data, snap->data, 11);
    assert_int_equal(back->data[11], ' ');
    raft_snapshot_unref(back);
    raft_snapshot_unref(snap);
    xfree(file);
}

/* --- content that is made while it is written --- */

struct made {
    struct bytes data;
    size_t piece;  /* bytes in each */
    size_t n_runs; /* how often all of it was asked for */
};

static int write_made(void *ctx,
                      int (*sink_piece)(void *arg, struct bytes piece),
                      void *arg)
{
    struct made *m = ctx;

    m->n_runs++;
    for (size_t at = 0; at < m->data.len; at += m->piece) {
        size_t left = m->data.len - at;
        int rc =
            sink_piece(arg, (struct bytes){m->data.data + at,
                                           left < m->piece ? left : m->piece});
        if (rc < 0) {
            return rc;
        }
    }
    return sink_piece(arg, (struct bytes){m->data.data, 0});
}

/* The same bytes as from memory, whatever the pieces. */
static void assert_same_file(struct fixture *f, struct raft_snapshot *snap,
                             size_t piece)
{
    static const char name[] = "0000000000000001-0000000000000005.snap";
    struct made made = {.data = {snap->data, snap->len}, .piece = piece};
    const struct snapshot_content content = {&made, write_made};
    struct raft_snapshot *head = raft_snapshot_head(snap);
    size_t len;
    size_t want_len;

    assert_int_equal(snapshotter_save(&f->s, snap, NULL), 0);
    uint8_t *want = read_file(f, name, &want_len);
    assert_int_equal(snapshotter_save_content(&f->s, head, &content, NULL), 0);
    uint8_t *got = read_file(f, name, &len);
    assert_int_equal(made.n_runs, 2);
    assert_int_equal(len, want_len);
    assert_memory_equal(got, want, len);
    xfree(got);
    xfree(want);
    raft_snapshot_unref(head);
}

static void test_content_makes_the_same_file(void **state)
{
    static const size_t lens[] = {1, 127, 128, 16384, 3000000};
    static const size_t pieces[] = {1, 7, 4096, 300000};
    uint8_t *data = xmalloc(3000000);

    for (size_t i = 0; i < 3000000; i++) {
        data[i] = (uint8_t)(i * i >> 5);
    }
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
            if (lens[i] / pieces[k] < 20000) {
                struct raft_snapshot *snap = make_snapshot(1, 5, data, lens[i]);

                assert_same_file(*state, snap, pieces[k]);
                raft_snapshot_unref(snap);
            }
        }
    }
    xfree(data);
}

static void test_content_avoids_crc_zero(void **state)
{
    struct raft_snapshot *snap = make_snapshot(1, 5, "{\"/k\":\"0000", 11);

    force_crc(snap, 0);
    assert_same_file(*state, snap, 4);
    raft_snapshot_unref(snap);
}

static int stop(void *ctx, int (*sink_piece)(void *arg, struct bytes piece),
                void *arg)
{
    (void)ctx;
    (void)sink_piece;
    (void)arg;
    return ERR_STOPPED;
}

static int endless(void *ctx, int (*sink_piece)(void *arg, struct bytes piece),
                   void *arg)
{
    int rc = 0;

    while (rc == 0) {
        rc = sink_piece(arg, *(const struct bytes *)ctx);
    }
    return rc;
}

/* Content that ends early, or not at all, leaves nothing. */
static void test_content_may_fail(void **state)
{
    struct fixture *f = *state;
    struct raft_snapshot *snap = make_snapshot(1, 5, "", 0);
    struct raft_snapshot *head = raft_snapshot_head(snap);
    struct bytes piece = {xcalloc(1 << 20, 1), 1 << 20};
    struct snapshot_content content = {&piece, endless};

    assert_int_equal(snapshotter_save_content(&f->s, head, &content, NULL),
                     ERR_TOO_LARGE);
    content.write = stop;
    assert_int_equal(snapshotter_save_content(&f->s, head, &content, NULL),
                     ERR_STOPPED);
    assert_names(f, "");
    xfree((void *)(uintptr_t)piece.data);
    raft_snapshot_unref(head);
    raft_snapshot_unref(snap);
}

/* --- reading in pieces --- */

/* Read all of the file's source, `piece` bytes at a time, into `out`. */
static int read_source(struct fixture *f, size_t piece, struct buf *out)
{
    struct raft_snapshot_source *s;
    int rc = snapshotter_open_source(&f->s, 1, 5, &s, NULL);

    if (rc < 0) {
        return rc;
    }
    while (rc == 0 && out->len < s->size) {
        size_t left = s->size - out->len;
        size_t n = left < piece ? left : piece;

        rc = s->ops->read(s, buf_reserve(out, n), n, NULL);
        if (rc == 0) {
            buf_commit(out, n);
        }
    }
    s->ops->close(s);
    return rc;
}

static void test_source_gives_what_was_saved(void **state)
{
    static const size_t pieces[] = {1, 5, 64, 4096};
    struct fixture *f = *state;
    struct raft_snapshot *snap = make_snapshot(1, 5, "{\"/a\":\"1\"}", 10);
    size_t len = raft_snapshot_size(snap);
    uint8_t *want = xmalloc(len);
    struct buf got;

    (void)raft_snapshot_encode(snap, want);
    assert_int_equal(snapshotter_save(&f->s, snap, NULL), 0);
    buf_init(&got, BUF_UNLIMITED);
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        buf_reset(&got);
        assert_int_equal(read_source(f, pieces[i], &got), 0);
        assert_int_equal(got.len, len);
        assert_memory_equal(got.data, want, len);
    }
    buf_release(&got);
    raft_snapshot_unref(snap);
    xfree(want);
}

static void test_source_outlives_its_name(void **state)
{
    struct fixture *f = *state;
    struct raft_snapshot_source *source;
    struct raft_snapshot *head;
    struct raft_snapshot *back;

    save(f, 1, 5, "{\"/a\":\"1\"}");
    assert_int_equal(snapshotter_open_source(&f->s, 1, 5, &source, NULL), 0);
    snapshotter_purge(&f->s, 5, 0, (struct vfs_rest){0});
    assert_names(f, "");
    head = raft_snapshot_new();
    head->source = source;
    assert_int_equal(raft_snapshot_size(head), source->size);
    assert_int_equal(raft_snapshot_load(head, &back, NULL), 0);
    assert_int_equal(back->index, 5);
    assert_memory_equal(back->data, "{\"/a\":\"1\"}", 9);
    raft_snapshot_unref(back);
    raft_snapshot_unref(head); /* closes it */
    assert_int_equal(snapshotter_open_source(&f->s, 1, 5, &source, NULL),
                     ERR_NO_SNAPSHOT);
}

/* Whatever is changed or missing: the last piece is not given away. */
static void test_source_of_a_damaged_file(void **state)
{
    static const char name[] = "0000000000000001-0000000000000005.snap";
    struct fixture *f = *state;
    struct buf got;
    size_t len;

    save(f, 1, 5, "{\"/a\":\"1\"}");
    uint8_t *file = read_file(f, name, &len);
    buf_init(&got, BUF_UNLIMITED);
    for (size_t i = 0; i < len; i++) {
        file[i] ^= 0x10;
        write_file(f, name, file, len);
        file[i] ^= 0x10;
        buf_reset(&got);
        assert_int_equal(read_source(f, 4, &got), ERR_DAMAGED);
    }
    for (size_t cut = 0; cut < len; cut++) {
        write_file(f, name, file, cut);
        buf_reset(&got);
        assert_int_equal(read_source(f, 4, &got), ERR_DAMAGED);
    }
    buf_release(&got);
    xfree(file);
}

/* --- damage --- */

#define NAME   "0000000000000003-0000000000000007.snap"
#define BROKEN NAME ".broken"

static void assert_damaged(struct fixture *f, const char *what)
{
    struct raft_snapshot *back = NULL;
    struct errmsg em;
    size_t n_errors = f->n_errors;
    int rc = snapshotter_load(&f->s, 3, 7, &back, &em);

    if (rc != ERR_DAMAGED) {
        fail_msg("%s: %d", what, rc);
    }
    assert_null(back);
    assert_non_null(strstr(em.text, NAME));
    assert_int_equal(f->n_errors, n_errors + 1);
    assert_non_null(strstr(f->last_error, BROKEN));
    assert_names(f, BROKEN);
    /* And it is gone for good. */
    assert_int_equal(snapshotter_load(&f->s, 3, 7, &back, &em),
                     ERR_NO_SNAPSHOT);
    char *path = vfs_join(f->dir, BROKEN);
    assert_int_equal(vfs_unlink(f->fs, path), 0);
    xfree(path);
}

static uint8_t *good_file(struct fixture *f, size_t *len)
{
    save(f, 3, 7, "{\"/k\":\"v\"}");
    return read_file(f, NAME, len);
}

static void test_load_refuses_every_cut(void **state)
{
    struct fixture *f = *state;
    size_t len;
    uint8_t *data = good_file(f, &len);

    for (size_t cut = 0; cut < len; cut++) {
        write_file(f, NAME, data, cut);
        assert_damaged(f, "cut");
    }
    xfree(data);
}

static void test_load_refuses_every_flipped_bit(void **state)
{
    struct fixture *f = *state;
    size_t len;
    uint8_t *data = good_file(f, &len);

    for (size_t bit = 0; bit < len * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        write_file(f, NAME, data, len);
        assert_damaged(f, "bit");
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    xfree(data);
}

static void test_load_compares_name_and_content(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint64_t term;
        uint64_t index;
    } others[] = {{3, 8}, {2, 7}, {7, 3}};

    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        char name[64];
        size_t len;

        snprintf(name, sizeof(name), "%016x-%016x.snap",
                 (unsigned)others[i].term, (unsigned)others[i].index);
        save(f, others[i].term, others[i].index, "{}");
        uint8_t *data = read_file(f, name, &len);
        char *path = vfs_join(f->dir, name);
        assert_int_equal(vfs_unlink(f->fs, path), 0);
        xfree(path);
        write_file(f, NAME, data, len);
        assert_damaged(f, name);
        xfree(data);
    }
}

static const struct {
    const char *name;
    const char *hex;
} bad_files[] = {
    {"empty", ""},
    {"crc 0", "0800120a0a022d7d12041007 1803"},
    {"no data", "08c7e3a983051200"},
    {"no crc", "12080a027b7d12021007"},
    {"zeros", "0000000000000000"},
    {"text", "68656c6c6f0a"},
};

static void test_load_refuses_bad_files(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(bad_files); i++) {
        size_t len;
        uint8_t *data = hex_decode(bad_files[i].hex, &len);

        write_file(f, NAME, data, len);
        assert_damaged(f, bad_files[i].name);
        xfree(data);
    }
}

/* The inner message is wrong though the CRC of it is right. */
static void test_load_refuses_unparsable_content(void **state)
{
    struct fixture *f = *state;
    static const uint8_t inner[] = {0x0a, 0x7f, '{', '}'};
    uint8_t file[SNAPPB_HEAD_MAX + sizeof(inner)];
    uint8_t *p = snappb_head_encode(file, crc32c(0, inner, sizeof(inner)),
                                    sizeof(inner));

    memcpy(p, inner, sizeof(inner));
    write_file(f, NAME, file, (size_t)(p - file) + sizeof(inner));
    assert_damaged(f, "inner");
}

/* What cannot be read is not known to be bad: it stays where it is. */
static void test_load_leaves_unreadable_alone(void **state)
{
    struct fixture *f = *state;
    struct raft_snapshot *back = NULL;
    char *path = vfs_join(f->dir, NAME);

    assert_int_equal(vfs_mkdir(f->fs, path), 0);
    assert_int_equal(snapshotter_load(&f->s, 3, 7, &back, NULL), -EISDIR);
    assert_names(f, NAME);
    xfree(path);
}

/* --- purging --- */

static void save_five(struct fixture *f)
{
    save(f, 1, 10, "{}");
    save(f, 1, 20, "{}");
    save(f, 2, 15, "{}");
    save(f, 2, 30, "{}");
    save(f, 3, 40, "{}");
}

static void test_purge_keeps_the_newest(void **state)
{
    struct fixture *f = *state;

    save_five(f);
    snapshotter_purge(&f->s, 40, 2, (struct vfs_rest){0});
    assert_names(f, "0000000000000002-000000000000001e.snap "
                    "0000000000000003-0000000000000028.snap");
    snapshotter_purge(&f->s, 40, 2, (struct vfs_rest){0});
    assert_names(f, "0000000000000002-000000000000001e.snap "
                    "0000000000000003-0000000000000028.snap");
    snapshotter_purge(&f->s, 40, 0, (struct vfs_rest){0});
    assert_names(f, "");
    assert_int_equal(f->n_errors, 0);
}

static void count(void *ctx)
{
    ++*(size_t *)ctx;
}

/* The size of a file that was purged, by another name of it. */
static int64_t size_when_purged(struct fixture *f, size_t len, size_t *rests)
{
    static const char name[] = "0000000000000001-0000000000000005.snap";
    uint8_t *data = xcalloc(len, 1);
    char *path = vfs_join(f->dir, name);
    char *other = vfs_join(f->dir, "other");
    struct vfs_file *file;
    int64_t size;

    *rests = 0;
    write_file(f, name, data, len);
    assert_int_equal(link(path, other), 0);
    snapshotter_purge(&f->s, 5, 0, (struct vfs_rest){count, rests});
    assert_names(f, "other");
    assert_int_equal(vfs_open(f->fs, other, VFS_READ, &file), 0);
    size = vfs_size(file);
    assert_int_equal(vfs_close(file), 0);
    assert_int_equal(vfs_unlink(f->fs, other), 0);
    xfree(other);
    xfree(path);
    xfree(data);
    return size;
}

/* Others' syncs would wait for a file system that frees much at once. */
static void test_purge_gives_space_back_bit_by_bit(void **state)
{
    struct fixture *f = *state;
    size_t rests;

    assert_int_equal(size_when_purged(f, 5 * MiB + 1, &rests), 0);
    assert_int_equal(rests, 6);
    assert_int_equal(size_when_purged(f, 1, &rests), 0);
    assert_int_equal(rests, 1);
}

static void test_purge_leaves_a_source_its_bytes(void **state)
{
    struct fixture *f = *state;
    struct raft_snapshot_source *source;
    char *path;
    size_t rests;

    save(f, 1, 6, "{}");
    assert_int_equal(snapshotter_open_source(&f->s, 1, 6, &source, NULL), 0);
    path = vfs_join(f->dir, "0000000000000001-0000000000000006.snap");
    assert_int_equal(vfs_unlink(f->fs, path), 0);
    xfree(path);
    assert_int_equal(size_when_purged(f, 5 * MiB, &rests), 5 * MiB);
    assert_int_equal(rests, 0);
    source->ops->close(source);
    assert_int_equal(size_when_purged(f, 5 * MiB, &rests), 0);
}

/* A file above `index` has no marker yet: not counted, not touched. */
static void test_purge_ignores_what_is_above(void **state)
{
    struct fixture *f = *state;

    save_five(f);
    snapshotter_purge(&f->s, 29, 1, (struct vfs_rest){0});
    assert_names(f, "0000000000000002-000000000000000f.snap "
                    "0000000000000002-000000000000001e.snap "
                    "0000000000000003-0000000000000028.snap");
}

static void test_purge_ignores_foreign_names(void **state)
{
    static const char *const foreign[] = {
        "0000000000000001-0000000000000001.snap.broken",
        "0000000000000001-0000000000000001.snap.db",
        "0000000000000001-00000000000000A1.snap",
        "0000000000000001_0000000000000001.snap",
        "1-1.snap",
        "zz.snap",
    };
    struct fixture *f = *state;
    char want[512] = "";
    size_t at = 0;

    for (size_t i = 0; i < ARRAY_LEN(foreign); i++) {
        write_file(f, foreign[i], "x", 1);
        at += (size_t)snprintf(want + at, sizeof(want) - at, "%s%s",
                               i == 0 ? "" : " ", foreign[i]);
    }
    save(f, 1, 1, "{}");
    snapshotter_purge(&f->s, UINT64_MAX, 0, (struct vfs_rest){0});
    assert_names(f, want);
}

static void test_purge_without_directory_only_logs(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(vfs_rmdir(f->fs, f->dir), 0);
    snapshotter_purge(&f->s, 1, 1, (struct vfs_rest){0});
    assert_int_equal(snapshotter_open(&f->s, NULL), 0);
}

/* --- directories that Go wrote --- */

static void check_go_directory(struct fixture *f, const char *relative)
{
    char *dir = shared_path(relative);
    struct vfs_names names;
    size_t n = 0;

    if (vfs_list_sorted(f->fs, dir, &names) < 0) {
        print_message("skipped: no %s\n", dir);
        xfree(dir);
        return;
    }
    for (size_t i = 0; i < names.n; i++) {
        unsigned long long term;
        unsigned long long index;
        char *path = vfs_join(dir, names.names[i]);
        struct raft_snapshot *back;
        uint8_t *data;
        size_t len;
        int end = 0;

        if (sscanf(names.names[i], "%llx-%llx.snap%n", &term, &index, &end) ==
                2 &&
            names.names[i][end] == '\0') {
            assert_int_equal(
                vfs_read_file(f->fs, path, SIZE_MAX / 2, &data, &len, NULL), 0);
            write_file(f, names.names[i], data, len);
            assert_int_equal(snapshotter_load(&f->s, term, index, &back, NULL),
                             0);
            raft_snapshot_unref(back);
            xfree(data);
            n++;
        }
        xfree(path);
    }
    assert_true(n > 0);
    vfs_names_release(&names);
    xfree(dir);
}

static void test_load_files_of_go(void **state)
{
    struct fixture *f = *state;

    check_go_directory(
        f, "spec/samples/data/3.4.23-default-segment/raftexample-1-snap");
    check_go_directory(
        f, "spec/samples/data/newest-default-segment/raftexample-1-snap");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_open_makes_directory_once),
        TEST(test_open_refuses_a_file_in_its_place),
        TEST(test_open_without_parent_fails),
        TEST(test_open_removes_only_our_temporary_files),
        TEST(test_save_then_load),
        TEST(test_save_writes_etcd_bytes),
        TEST(test_save_twice_replaces),
        TEST(test_save_into_missing_directory_fails),
        TEST(test_load_says_there_is_none),
        TEST(test_save_avoids_crc_zero),
        TEST(test_content_makes_the_same_file),
        TEST(test_content_avoids_crc_zero),
        TEST(test_content_may_fail),
        TEST(test_source_gives_what_was_saved),
        TEST(test_source_outlives_its_name),
        TEST(test_source_of_a_damaged_file),
        TEST(test_load_refuses_every_cut),
        TEST(test_load_refuses_every_flipped_bit),
        TEST(test_load_compares_name_and_content),
        TEST(test_load_refuses_bad_files),
        TEST(test_load_refuses_unparsable_content),
        TEST(test_load_leaves_unreadable_alone),
        TEST(test_purge_keeps_the_newest),
        TEST(test_purge_gives_space_back_bit_by_bit),
        TEST(test_purge_leaves_a_source_its_bytes),
        TEST(test_purge_ignores_what_is_above),
        TEST(test_purge_ignores_foreign_names),
        TEST(test_purge_without_directory_only_logs),
        TEST(test_load_files_of_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
