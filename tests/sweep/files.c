/* Damage at rest [reliability L2]: the logs and snapshot files that our program
 * writes, and those that the Go program wrote, where they are there. */

#include <stdio.h>

#include "proto/snappb.h"
#include "snap/snapshotter.h"
#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/crc32c.h"
#include "tests/sweep/sweep.h"

/* --- files of the real file system --- */

static bool ends_in(const char *name, const char *suffix)
{
    size_t n = strlen(name);
    size_t m = strlen(suffix);

    return n > m && strcmp(name + n - m, suffix) == 0;
}

static uint8_t *read_real(const char *dir, const char *name, size_t *len)
{
    char *path = vfs_join(dir, name);
    uint8_t *data;

    ASSERT(vfs_read_file(vfs_posix(), path, MiB, &data, len, NULL) == 0);
    xfree(path);
    return data;
}

/* The segments of a real directory; NULL if it has none that are not packed. */
static struct sim_vfs *load_segments(const char *dir)
{
    struct sim_vfs *v = sim_vfs_new();
    struct vfs_names names;
    size_t n = 0;

    ASSERT(vfs_list_sorted(vfs_posix(), dir, &names) == 0);
    for (size_t i = 0; i < names.n; i++) {
        size_t len;
        uint8_t *data;
        char *to;

        if (!ends_in(names.names[i], ".wal")) {
            continue;
        }
        data = read_real(dir, names.names[i], &len);
        to = vfs_join("wal", names.names[i]);
        sim_vfs_put(v, to, (struct bytes){data, len});
        xfree(to);
        xfree(data);
        n++;
    }
    vfs_names_release(&names);
    if (n == 0) {
        sim_vfs_free(v);
        return NULL;
    }
    return v;
}

/* Call `use` for each directory SAMPLES/X/Y; name is "X/Y". */
typedef void dir_cb(const struct sweep_job *j, const char *path,
                    const char *name, sweep_report_cb *report, void *ctx);

static void each_sample(const struct sweep_job *j, dir_cb *use,
                        sweep_report_cb *report, void *ctx)
{
    struct vfs_names outer;

    if (j->samples == NULL ||
        vfs_list_sorted(vfs_posix(), j->samples, &outer) < 0) {
        return;
    }
    for (size_t i = 0; i < outer.n; i++) {
        char *above = vfs_join(j->samples, outer.names[i]);
        struct vfs_names inner;

        if (vfs_list_sorted(vfs_posix(), above, &inner) == 0) {
            for (size_t k = 0; k < inner.n; k++) {
                char *path = vfs_join(above, inner.names[k]);
                char *name = vfs_join(outer.names[i], inner.names[k]);
                enum vfs_kind kind;

                if (vfs_stat(vfs_posix(), path, &kind) == 0 &&
                    kind == VFS_DIR) {
                    use(j, path, name, report, ctx);
                }
                xfree(path);
                xfree(name);
            }
            vfs_names_release(&inner);
        }
        xfree(above);
    }
    vfs_names_release(&outer);
}

/* --- logs --- */

static void run_log(const struct sweep_job *j, struct wal_sweep *s,
                    const char *name, sweep_report_cb *report, void *ctx)
{
    s->job = j->job;
    s->n_jobs = j->n_jobs;
    wal_sweep_run(s);
    report(ctx, name, &s->counts);
    wal_sweep_release(s);
}

static void sample_log(const struct sweep_job *j, const char *path,
                       const char *name, sweep_report_cb *report, void *ctx)
{
    struct sim_vfs *v = load_segments(path);
    struct wal_sweep s;

    if (v != NULL) {
        wal_sweep_init_foreign(&s, v, 4096);
        run_log(j, &s, name, report, ctx);
    }
}

void sweep_logs(const struct sweep_job *j, sweep_report_cb *report, void *ctx)
{
    size_t n;
    const struct wal_corpus *corpora = wal_corpora(&n);

    for (size_t i = 0; i < n; i++) {
        struct wal_sweep s;

        if (j->quick && corpora[i].size == CORPUS_LARGE) {
            continue;
        }
        wal_sweep_init(&s, &corpora[i]);
        run_log(j, &s, corpora[i].name, report, ctx);
    }
    each_sample(j, sample_log, report, ctx);
}

/* --- snapshot files --- */

/* One file being swept, and what it says. */
struct snap_sweep {
    uint64_t term;
    uint64_t index;
    uint8_t *content;
    size_t len;
    uint8_t *says; /* the snapshot in it, encoded */
    size_t says_len;
    struct sweep_counts counts;
    uint64_t n_faults;
};

static uint8_t *encode(const struct raft_snapshot *s, size_t *len)
{
    uint8_t *p;

    *len = raft_snapshot_size(s);
    p = xmalloc(*len);
    (void)raft_snapshot_encode(s, p);
    return p;
}

static enum sweep_verdict judge(const struct snap_sweep *s, struct bytes file)
{
    struct raft_snapshot *found;
    const char *why;
    enum sweep_verdict verdict;
    size_t len;
    uint8_t *says;

    if (snapshot_file_check(file, s->term, s->index, &found, &why) < 0) {
        return SWEEP_REFUSED;
    }
    says = encode(found, &len);
    verdict = len == s->says_len && memcmp(says, s->says, len) == 0
                  ? SWEEP_SAME
                  : SWEEP_LOST;
    xfree(says);
    raft_snapshot_unref(found);
    return verdict;
}

static void damaged(const struct sweep_job *j, struct snap_sweep *s,
                    struct bytes file)
{
    enum sweep_verdict verdict;

    if (s->n_faults++ % j->n_jobs != j->job) {
        return;
    }
    verdict = judge(s, file);
    if (verdict == SWEEP_LOST) {
        printf("silent loss in a snapshot file\n");
    }
    s->counts.n[verdict]++;
}

static void damage_at(const struct sweep_job *j, struct snap_sweep *s,
                      size_t off)
{
    static const size_t holes[] = {1, 8, 16, 512};
    uint8_t *copy = xmemdup(s->content, s->len);
    struct bytes file = {copy, s->len};

    for (int bit = 0; bit < 8; bit++) {
        copy[off] = (uint8_t)(s->content[off] ^ 1 << bit);
        damaged(j, s, file);
    }
    copy[off] = 0xff;
    damaged(j, s, file);
    for (size_t i = 0; i < ARRAY_LEN(holes); i++) {
        size_t n = s->len - off < holes[i] ? s->len - off : holes[i];

        memcpy(copy, s->content, s->len);
        memset(copy + off, 0, n);
        damaged(j, s, file);
    }
    damaged(j, s, (struct bytes){s->content, off}); /* cut */
    xfree(copy);
}

static void sweep_snapshot(const struct sweep_job *j, uint64_t term,
                           uint64_t index, struct bytes file, const char *name,
                           sweep_report_cb *report, void *ctx)
{
    struct snap_sweep s = {.term = term,
                           .index = index,
                           .content = xmemdup(file.data, file.len),
                           .len = file.len};
    struct raft_snapshot *found;
    const char *why;

    ASSERT(snapshot_file_check(file, term, index, &found, &why) == 0);
    s.says = encode(found, &s.says_len);
    raft_snapshot_unref(found);
    for (size_t off = 0; off < s.len; off++) {
        damage_at(j, &s, off);
    }
    report(ctx, name, &s.counts);
    xfree(s.content);
    xfree(s.says);
}

static void sample_snapshots(const struct sweep_job *j, const char *path,
                             const char *name, sweep_report_cb *report,
                             void *ctx)
{
    struct vfs_names names;

    ASSERT(vfs_list_sorted(vfs_posix(), path, &names) == 0);
    for (size_t i = 0; i < names.n; i++) {
        uint64_t term;
        uint64_t index;
        size_t len;
        uint8_t *data;

        if (snapshot_name_parse(names.names[i], &term, &index)) {
            char *full = xasprintf("%s %s", name, names.names[i]);

            data = read_real(path, names.names[i], &len);
            sweep_snapshot(j, term, index, (struct bytes){data, len}, full,
                           report, ctx);
            xfree(data);
            xfree(full);
        }
    }
    vfs_names_release(&names);
}

/* A file as ours: of a map of `n` keys, with members. */
static void own_snapshot(const struct sweep_job *j, size_t n, const char *name,
                         sweep_report_cb *report, void *ctx)
{
    struct sim_vfs *v = sim_vfs_new();
    struct raft_snapshot *s = raft_snapshot_new();
    struct snapshotter sn;
    size_t len;
    uint8_t *file;

    s->term = 3;
    s->index = 17;
    id_list_push(&s->conf_state.voters, 1);
    id_list_push(&s->conf_state.voters, 2);
    id_list_push(&s->conf_state.learners, 5);
    s->len = 20 * n + 2;
    s->data = xmalloc(s->len);
    memset(s->data, 'v', s->len);
    s->n_members = 1;
    s->members = xcalloc(1, sizeof(*s->members));
    s->members[0] = (struct snapshot_member){2, xstrdup("http://10.0.0.2:1")};
    snapshotter_init(&sn, sim_vfs_base(v), "snap", NULL);
    ASSERT(snapshotter_open(&sn, NULL) == 0);
    ASSERT(snapshotter_save(&sn, s, NULL) == 0);
    file = sim_vfs_get(v, "snap/0000000000000003-0000000000000011.snap", &len);
    ASSERT(file != NULL);
    sweep_snapshot(j, 3, 17, (struct bytes){file, len}, name, report, ctx);
    xfree(file);
    snapshotter_release(&sn);
    raft_snapshot_unref(s);
    sim_vfs_free(v);
}

void sweep_snapshots(const struct sweep_job *j, sweep_report_cb *report,
                     void *ctx)
{
    own_snapshot(j, 0, "snapshot, empty map", report, ctx);
    own_snapshot(j, 100, "snapshot, 100 keys", report, ctx);
    each_sample(j, sample_snapshots, report, ctx);
}
