/* See machine.h. */

#include "tests/sweep/machine.h"

#include <errno.h>
#include <stdio.h>

#include "src/base/alloc.h"
#include "src/server/storage.h"

static void watch(const struct machine *m, bool in_program)
{
    if (m->watch != NULL) {
        m->watch(in_program);
    }
}

int machine_open(struct machine *m, struct sim_vfs *v, struct storage **st,
                 struct raftnode_recovered *found, struct errmsg *em)
{
    struct storage_options o = {
        .fs = sim_vfs_base(v),
        .wal_dir = "wal",
        .snap_dir = "snap",
        .segment_bytes = m->segment_bytes,
    };

    int rc;

    *em = (struct errmsg){{0}};
    watch(m, true);
    rc = storage_open(&o, st, found, em);
    watch(m, false);
    return rc;
}

/* --- what was found --- */

static uint64_t term_at(const struct wal_state *s, uint64_t index)
{
    if (index == s->snap.index) {
        return s->snap.term;
    }
    if (index < s->snap.index || index > wal_state_last(s)) {
        return UINT64_MAX;
    }
    return s->log.items[index - s->snap.index - 1]->term;
}

/* Whether a start found `all`, maybe from a later snapshot on. */
static bool matches(const struct wal_state *all, const struct wal_state *found)
{
    if (!hard_state_equal(&all->hs, &found->hs) ||
        wal_state_last(all) != wal_state_last(found) ||
        term_at(all, found->snap.index) != found->snap.term) {
        return false;
    }
    for (size_t i = 0; i < found->log.len; i++) {
        const struct raft_entry *b = found->log.items[i];
        const struct raft_entry *a =
            all->log.items[b->index - all->snap.index - 1];

        if (a->term != b->term || a->type != b->type || a->len != b->len ||
            memcmp(a->data, b->data, a->len) != 0) {
            return false;
        }
    }
    return true;
}

static struct wal_state state_of(const struct raftnode_recovered *f)
{
    struct wal_state s = {.hs = f->hard_state, .log = f->entries};

    if (f->snapshot != NULL) {
        s.snap = (struct wal_marker){f->snapshot->index, f->snapshot->term};
    }
    return s;
}

/* --- the workload --- */

static void on_done(void *arg, int rc, bool fatal, const struct errmsg *em)
{
    int *result = arg;

    (void)em;
    *result = rc < 0 && fatal ? rc : 0;
}

static void on_filed(void *arg, int rc, bool fatal, const struct errmsg *em)
{
    (void)em;
    ASSERT(!fatal);
    *(int *)arg = rc;
}

static int reopen(struct machine *m)
{
    struct raftnode_recovered found;
    struct errmsg em;
    int rc = machine_open(m, m->model.v, &m->st, &found, &em);

    if (rc == 0) {
        struct wal_state s = state_of(&found);

        /* Its process was stopped in order, or never ran. */
        ASSERT(matches(&m->model.synced, &s));
        raftnode_recovered_release(&found);
    }
    return rc;
}

static void note_hard_state(struct machine *m, uint64_t commit)
{
    uint64_t vote = m->term == m->model.now.hs.term ? m->model.now.hs.vote : 2;

    rig_note(&m->model, (struct rig_record){
                            .kind = RIG_STATE,
                            .hs = {m->term, vote,
                                   max_u64(commit, m->model.now.hs.commit)}});
}

static int submit(struct machine *m, struct raftnode_write w)
{
    struct raftnode_storage seam = storage_seam(m->st);
    int rc = -1;

    if (!hard_state_equal(&m->model.now.hs, &m->written)) {
        w.hard_state = m->model.now.hs;
    }
    w.must_sync = true;
    watch(m, true);
    seam.submit(seam.ctx, &w, on_done, &rc);
    watch(m, false);
    if (rc < 0) {
        return rc;
    }
    rig_note_sync(&m->model);
    m->written = m->model.now.hs;
    return m->stop && sim_vfs_has_failed(m->model.v) ? -ECANCELED : 0;
}

/* Entries first.. of the node's term, in one Ready. */
static int put(struct machine *m, uint64_t first, size_t n, size_t size,
               uint64_t type, uint64_t commit)
{
    struct raft_entries es = {0};
    int rc;

    for (size_t i = 0; i < n; i++) {
        struct raft_entry *e = rig_entry(m->term, first + i, size);

        e->type = type;
        raft_entries_take(&es, e);
        rig_note(&m->model, (struct rig_record){.kind = RIG_ENTRY,
                                                .entry = raft_entry_ref(e)});
    }
    note_hard_state(m, commit);
    rc = submit(
        m, (struct raftnode_write){.entries = es.items, .n_entries = es.len});
    raft_entries_release(&es);
    return rc;
}

static struct raft_snapshot *snapshot_at(uint64_t index, uint64_t term)
{
    struct raft_snapshot *s = raft_snapshot_new();

    s->index = index;
    s->term = term;
    id_list_push(&s->conf_state.voters, 1);
    id_list_push(&s->conf_state.voters, 2);
    s->data = xmemdup("{\"a\":\"b\"}", 9);
    s->len = 9;
    return s;
}

/* The content in two pieces. */
static int write_content(void *ctx, int (*sink)(void *arg, struct bytes piece),
                         void *arg)
{
    const struct raft_snapshot *s = ctx;
    int rc = sink(arg, (struct bytes){s->data, 1});

    return rc < 0 ? rc : sink(arg, (struct bytes){s->data + 1, s->len - 1});
}

/* Of its own: the file may fail, and nothing is lost by that [F4]. Else its
 * marker follows, and what it replaces goes. */
static int own_snapshot(struct machine *m, uint64_t index)
{
    struct raftnode_storage seam = storage_seam(m->st);
    struct raft_snapshot *s = snapshot_at(index, term_at(&m->model.now, index));
    struct raft_snapshot *head = raft_snapshot_head(s);
    int rc = -1;

    watch(m, true);
    seam.save_snapshot(seam.ctx, head,
                       &(struct snapshot_content){s, write_content}, on_filed,
                       &rc);
    if (rc < 0) {
        rc = 0;
        goto out;
    }
    seam.submit(seam.ctx, &(struct raftnode_write){.marker = head}, on_done,
                &rc);
    if (rc == 0) {
        rc = -1;
        seam.compact(seam.ctx, on_done, &rc);
    }
out:
    watch(m, false);
    raft_snapshot_unref(head);
    raft_snapshot_unref(s);
    return rc;
}

/* The leader's: it must be saved [F5]. */
static int receive_snapshot(struct machine *m, uint64_t index)
{
    struct raft_snapshot *s = snapshot_at(index, m->term);
    int rc;

    rig_note(&m->model, (struct rig_record){.kind = RIG_RESTORE,
                                            .marker = {index, m->term}});
    note_hard_state(m, index);
    rc = submit(m, (struct raftnode_write){.snapshot = s});
    raft_snapshot_unref(s);
    return rc;
}

static int restart(struct machine *m)
{
    int rc;

    watch(m, true);
    rc = storage_close(m->st, NULL);
    watch(m, false);
    m->st = NULL;
    return rc < 0 ? rc : reopen(m);
}

#define TRY(call)                                                              \
    do {                                                                       \
        int try_rc = (call);                                                   \
        if (try_rc < 0) {                                                      \
            return try_rc;                                                     \
        }                                                                      \
    } while (0)

/* Writes up to index 30, snapshots, a new term whose leader overwrites. */
static int first_half(struct machine *m)
{
    m->term = 1;
    TRY(reopen(m));
    for (uint64_t i = 1; i <= 30; i += 1 + i % 3) {
        TRY(put(m, i, 1 + i % 3, 20 + 40 * (i % 5), RAFT_ENTRY_NORMAL, i - 1));
        if (i % 10 == 0) {
            TRY(own_snapshot(m, i - 2));
        }
    }
    m->term = 3;
    TRY(put(m, 30, 2, 30, RAFT_ENTRY_NORMAL, 29));
    TRY(put(m, 32, 1, 12, RAFT_ENTRY_CONF_CHANGE, 31));
    TRY(put(m, 33, 1, 0, RAFT_ENTRY_CONF_CHANGE_V2, 32));
    return restart(m);
}

/* More writes, the leader's snapshot, its log, and the end. */
static int second_half(struct machine *m)
{
    for (uint64_t i = 34; i <= 60; i++) {
        /* A HardState now and then, so that segments must bring their own. */
        TRY(put(m, i, 1, i == 40 ? 1500 : 60, RAFT_ENTRY_NORMAL,
                i - 1 - i % 8));
    }
    TRY(own_snapshot(m, 44));
    TRY(own_snapshot(m, 54));
    TRY(restart(m));
    m->term = 4;
    TRY(receive_snapshot(m, 90));
    for (uint64_t i = 91; i <= 100; i += 2) {
        TRY(put(m, i, 2, 100, RAFT_ENTRY_NORMAL, i - 1));
    }
    TRY(own_snapshot(m, 98));
    TRY(restart(m));
    return put(m, 101, 1, 10, RAFT_ENTRY_NORMAL, 100);
}

int machine_work(struct machine *m)
{
    TRY(first_half(m));
    return second_half(m);
}

bool machine_run(struct machine *m, struct sim_fault fault)
{
    bool struck;
    int rc;

    rig_init(&m->model, m->segment_bytes);
    sim_vfs_fail(m->model.v, fault);
    rc = machine_work(m);
    struck = sim_vfs_has_failed(m->model.v);
    ASSERT(rc == 0 || struck);
    /* The process ends where it stopped: what it has open says no more. */
    if (m->st != NULL) {
        struct sim_vfs *before = sim_vfs_clone(m->model.v);

        sim_vfs_power_off(m->model.v);
        (void)storage_close(m->st, NULL);
        m->st = NULL;
        sim_vfs_free(m->model.v);
        m->model.v = before;
    }
    sim_vfs_heal(m->model.v);
    return struck;
}

/* --- after the fault --- */

/* Start on the disk `v` as it is: what is found, judged. */
enum sweep_verdict machine_start(struct machine *m, struct sim_vfs *v)
{
    struct raftnode_recovered found;
    struct storage *st;
    struct errmsg em;
    enum sweep_verdict verdict = SWEEP_LOST;

    if (machine_open(m, v, &st, &found, &em) < 0) {
        printf("refused: %s\n", em.text);
        return SWEEP_LOST;
    }
    struct wal_state s = state_of(&found);

    if (matches(&m->model.now, &s)) {
        verdict = SWEEP_SAME;
    } else if (rig_allows_as(&m->model, &s, matches)) {
        verdict = SWEEP_REPAIRED;
    }
    raftnode_recovered_release(&found);
    (void)storage_close(st, NULL);
    return verdict;
}

/* Start on a copy whose power was cut, and once more on what that start made
 * durable: it must find the same. NULL: only the process died. */
void machine_cut(struct machine *m, const struct sim_crash *crash,
                 struct sweep_counts *counts)
{
    struct sim_vfs *v = sim_vfs_clone(m->model.v);
    enum sweep_verdict first;

    if (crash != NULL) {
        sim_vfs_crash_as(v, crash);
    }
    first = machine_start(m, v);
    sim_vfs_crash(v, SIM_CRASH_DROP, NULL);
    if (machine_start(m, v) != first) {
        first = SWEEP_LOST;
    }
    if (first == SWEEP_LOST) {
        sim_vfs_dump(v, stdout);
    }
    counts->n[first]++;
    sim_vfs_free(v);
}
