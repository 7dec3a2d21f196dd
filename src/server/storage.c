/* The durable side of one node. storage.h has the rules.
 *
 * Opening, the happy path: lock and read the log, take the newest snapshot that
 * it vouches for and whose file loads, take the entries behind it.
 *   neither directory        a new node: the log first, then the snapshots
 *   snapshots but no log     refuse: it would vote again without its memory
 *   a snapshot does not load the next older marked one, as long as the log
 *                            reaches back to it; else refuse
 *
 * A failed write ends the use of the log: wal.c keeps the error and gives it
 * back for ever, and raftnode stops at the first one. */

#include "src/server/storage.h"

#include "snap/snapshotter.h"
#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/log.h"
#include "src/os/vfs.h"
#include "wal/wal.h"

/* A longer write takes time of its own, beside that of its sync. */
#define BRIEF_WRITE_BYTES (16 * KiB)

/* What is asked of a worker. Nobody but it looks at the job, or at what the job
 * is about, before it is done. */
struct job {
    raftnode_written_cb *done; /* NULL: there is no job */
    void *arg;
    int rc;
    bool fatal;
    struct errmsg em;

    const struct raftnode_write *write; /* of the WAL's worker; borrowed */

    /* Of the snapshots' worker: a file to make, or else what is to go. */
    const struct raft_snapshot *own; /* borrowed */
    struct snapshot_content content;
    uint64_t purge_to;
    struct wal_released *released; /* NULL: no segment. Owned */
};

struct storage {
    const struct logger *lg;
    struct storage_worker worker;
    struct storage_worker snapshot_worker;
    struct job job;          /* of the first */
    struct job snapshot_job; /* of the second */
    /* Segments that could not be deleted: the WAL is told when nobody uses it
     * any more. NULL: none. */
    struct wal_released *undeleted;
    struct wal *wal;
    struct snapshotter snapshotter;
    /* Indexes of the newest snapshots, newest first; 0: none. The log is kept
     * from the oldest of them on. */
    uint64_t kept[SNAPSHOTS_KEPT];
};

static void remember_snapshot(struct storage *st, uint64_t index)
{
    for (size_t i = SNAPSHOTS_KEPT - 1; i > 0; i--) {
        st->kept[i] = st->kept[i - 1];
    }
    st->kept[0] = index;
}

/* The newest marked snapshot whose file is whole; index 0 in *start if the log
 * itself begins at the beginning. */
static int choose_snapshot(struct storage *st, struct raft_snapshot **out,
                           struct wal_marker *start, struct errmsg *em)
{
    size_t n;
    const struct wal_marker *markers = wal_markers(st->wal, &n);

    *out = NULL;
    *start = (struct wal_marker){0};
    while (n > 0) {
        const struct wal_marker *m = &markers[--n];
        struct errmsg why = {{0}};
        int rc;

        rc = snapshotter_load(&st->snapshotter, m->term, m->index, out, &why);
        if (rc == 0) {
            *start = *m;
            return 0;
        }
        if (rc != ERR_NO_SNAPSHOT && rc != ERR_DAMAGED) {
            return errmsg_text(em, rc, "%s", why.text);
        }
        log_error(st->lg, "snapshot at index %" PRIu64 " is not usable: %s",
                  m->index, why.text);
    }
    if (wal_reaches_beginning(st->wal)) {
        return 0;
    }
    return errmsg_text(
        em, ERR_DAMAGED,
        "%s: no snapshot that the log needs can be read; remove this member "
        "with DELETE and add a new id with an empty directory, or restore both "
        "directories from a backup",
        st->snapshotter.dir);
}

static int recover(struct storage *st, struct raftnode_recovered *found,
                   struct errmsg *em)
{
    struct wal_contents contents = {0};
    struct wal_marker start;
    int rc;

    rc = choose_snapshot(st, &found->snapshot, &start, em);
    if (rc < 0) {
        return rc;
    }
    rc = wal_start(st->wal, start, &contents, em);
    if (rc < 0) {
        raft_snapshot_unref(found->snapshot);
        found->snapshot = NULL;
        return rc;
    }
    remember_snapshot(st, start.index);
    found->hard_state = contents.hard_state;
    found->entries = contents.entries;
    found->is_new = found->snapshot == NULL && contents.entries.len == 0 &&
                    hard_state_is_empty(&contents.hard_state);
    contents.entries = (struct raft_entries){0};
    wal_contents_release(&contents);
    return 0;
}

static int open_wal(struct storage *st, const struct storage_options *o,
                    bool *created, struct errmsg *em)
{
    struct wal_options wo = {
        .fs = o->fs,
        .lg = o->lg,
        .dir = o->wal_dir,
        .segment_bytes = o->segment_bytes,
    };

    *created = !wal_exists(o->fs, o->wal_dir);
    if (!*created) {
        return wal_open(&wo, &st->wal, em);
    }
    if (vfs_exists(o->fs, o->snap_dir)) {
        return errmsg_text(
            em, ERR_DAMAGED,
            "%s is there but the log %s is not: this member lost its log and "
            "must not vote; remove it with DELETE and add a new id with an "
            "empty directory, or restore the directory from a backup",
            o->snap_dir, o->wal_dir);
    }
    return wal_create(&wo, &st->wal, em);
}

/* A process that died while it made the log may have left names that are not
 * durable. They must be before the snapshot directory is: that one without a
 * log is what a member leaves that lost it [reliability 3.3]. */
static int make_names_durable(const struct storage_options *o,
                              struct errmsg *em)
{
    int rc;

    if (vfs_exists(o->fs, o->snap_dir)) {
        return 0;
    }
    rc = vfs_sync_dir(o->fs, o->wal_dir);
    if (rc < 0) {
        return errmsg_set(em, rc, "sync %s", o->wal_dir);
    }
    return vfs_sync_parent(o->fs, o->wal_dir, em);
}

int storage_open(const struct storage_options *o, struct storage **out,
                 struct raftnode_recovered *found, struct errmsg *em)
{
    struct storage *st = xcalloc(1, sizeof(*st));
    bool created;
    int rc;

    *found = (struct raftnode_recovered){0};
    st->lg = o->lg;
    st->worker = o->worker;
    st->snapshot_worker = o->snapshot_worker;
    snapshotter_init(&st->snapshotter, o->fs, o->snap_dir, o->lg);
    rc = open_wal(st, o, &created, em);
    if (rc < 0) {
        goto err_free;
    }
    rc = created ? 0 : make_names_durable(o, em);
    if (rc == 0) {
        rc = snapshotter_open(&st->snapshotter, em);
    }
    if (rc < 0) {
        goto err_wal;
    }
    if (created) {
        found->is_new = true;
    } else {
        rc = recover(st, found, em);
        if (rc < 0) {
            goto err_wal;
        }
    }
    *out = st;
    return 0;

err_wal:
    (void)wal_close(st->wal, NULL);
err_free:
    snapshotter_release(&st->snapshotter);
    xfree(st);
    return rc;
}

int storage_close(struct storage *st, struct errmsg *em)
{
    int rc;

    if (st == NULL) {
        return 0;
    }
    ASSERT(st->job.done == NULL);
    ASSERT(st->snapshot_job.done == NULL);
    if (st->undeleted != NULL) {
        wal_release_end(st->wal, st->undeleted);
    }
    rc = wal_close(st->wal, em);
    snapshotter_release(&st->snapshotter);
    xfree(st);
    return rc;
}

/* File, then marker: a marker without a file would be a snapshot that nobody
 * can load [reliability 3.1]. */
static int append_marker(struct storage *st, const struct raft_snapshot *snap,
                         struct errmsg *em)
{
    struct walpb_snapshot marker = {
        .index = snap->index,
        .term = snap->term,
        .conf_state = &snap->conf_state,
    };

    return wal_save_snapshot(st->wal, &marker, em);
}

/* On the WAL's worker. */
static void write_group(void *arg)
{
    struct storage *st = arg;
    const struct raftnode_write *w = st->job.write;
    struct errmsg *em = &st->job.em;
    int rc = 0;

    ASSERT(w->snapshot == NULL || w->marker == NULL);
    if (w->snapshot != NULL) {
        rc = snapshotter_save(&st->snapshotter, w->snapshot, em);
        if (rc == 0) {
            rc = append_marker(st, w->snapshot, em);
        }
    }
    if (rc == 0) {
        rc = wal_save(st->wal, &w->hard_state, w->entries, w->n_entries, em);
    }
    if (rc == 0 && w->marker != NULL) {
        rc = append_marker(st, w->marker, em);
    }
    if (rc == 0 && (w->must_sync || w->snapshot != NULL || w->marker != NULL)) {
        rc = wal_sync(st->wal, em);
    }
    st->job.rc = rc;
    st->job.fatal = rc < 0;
}

static void finish_group(void *arg)
{
    struct storage *st = arg;
    struct job job = st->job;
    const struct raft_snapshot *snap =
        job.write->snapshot != NULL ? job.write->snapshot : job.write->marker;

    if (job.rc == 0 && snap != NULL) {
        remember_snapshot(st, snap->index);
    }
    st->job = (struct job){0};
    job.done(job.arg, job.rc, job.fatal, &job.em);
}

/* The content of a snapshot, with a rest after each piece. */
struct rested {
    struct storage *st;
    int (*sink)(void *arg, struct bytes piece);
    void *arg;
};

static int take_and_rest(void *arg, struct bytes piece)
{
    struct rested *r = arg;
    const struct storage_worker *w = &r->st->snapshot_worker;
    int rc = piece.len == 0 ? 0 : r->sink(r->arg, piece);

    if (w->rest != NULL) {
        w->rest(w->ctx);
    }
    return rc;
}

static int write_rested(void *ctx, int (*sink)(void *arg, struct bytes piece),
                        void *arg)
{
    struct storage *st = ctx;
    const struct snapshot_content *content = &st->snapshot_job.content;
    struct rested r = {st, sink, arg};

    return content->write(content->ctx, take_and_rest, &r);
}

/* On the snapshots' worker. */
static void do_snapshot_job(void *arg)
{
    struct storage *st = arg;
    struct job *job = &st->snapshot_job;
    const struct vfs_rest rest = {st->snapshot_worker.rest,
                                  st->snapshot_worker.ctx};

    if (job->own != NULL) {
        /* If it fails, everything else is as before. */
        job->rc = snapshotter_save_content(
            &st->snapshotter, job->own,
            &(struct snapshot_content){st, write_rested}, &job->em);
        return;
    }
    snapshotter_purge(&st->snapshotter, job->purge_to, SNAPSHOTS_KEPT, rest);
    if (job->released != NULL) {
        job->rc = wal_released_delete(job->released, rest, &job->em);
        job->fatal = job->rc < 0;
    }
}

static void finish_snapshot_job(void *arg)
{
    struct storage *st = arg;
    struct job job = st->snapshot_job;

    st->snapshot_job = (struct job){0};
    if (job.released != NULL && job.rc < 0) {
        st->undeleted = job.released;
    } else if (job.released != NULL) {
        wal_release_end(st->wal, job.released);
    }
    job.done(job.arg, job.rc, job.fatal, &job.em);
}

/* Whether a write is little more than its sync. */
static bool is_brief(const struct raftnode_write *w)
{
    size_t bytes = 0;

    for (size_t i = 0; i < w->n_entries && bytes <= BRIEF_WRITE_BYTES; i++) {
        bytes += w->entries[i]->len;
    }
    return w->snapshot == NULL && bytes <= BRIEF_WRITE_BYTES && !w->others_wait;
}

static void begin(struct storage *st, const struct storage_worker *worker,
                  bool brief, void (*work)(void *arg), void (*done)(void *arg))
{
    if (worker->run == NULL) {
        work(st);
        done(st);
    } else {
        worker->run(worker->ctx, brief, work, done, st);
    }
}

static void submit(void *ctx, const struct raftnode_write *w,
                   raftnode_written_cb *done, void *arg)
{
    struct storage *st = ctx;

    ASSERT(st->job.done == NULL);
    st->job = (struct job){.write = w, .done = done, .arg = arg};
    begin(st, &st->worker, is_brief(w), write_group, finish_group);
}

static void save_snapshot(void *ctx, const struct raft_snapshot *snap,
                          const struct snapshot_content *content,
                          raftnode_written_cb *done, void *arg)
{
    struct storage *st = ctx;

    ASSERT(st->snapshot_job.done == NULL);
    st->snapshot_job = (struct job){
        .own = snap, .content = *content, .done = done, .arg = arg};
    begin(st, &st->snapshot_worker, false, do_snapshot_job,
          finish_snapshot_job);
}

static void compact(void *ctx, raftnode_written_cb *done, void *arg)
{
    struct storage *st = ctx;
    struct job *job = &st->snapshot_job;
    uint64_t oldest = st->kept[SNAPSHOTS_KEPT - 1];

    ASSERT(st->job.done == NULL); /* the WAL is ours */
    ASSERT(job->done == NULL && st->undeleted == NULL);
    *job = (struct job){.purge_to = st->kept[0], .done = done, .arg = arg};
    if (oldest > 0) {
        job->rc = wal_release_to(st->wal, oldest, &job->released, &job->em);
        job->fatal = job->rc < 0;
    }
    begin(st, &st->snapshot_worker, false, do_snapshot_job,
          finish_snapshot_job);
}

static int open_snapshot(void *ctx, uint64_t term, uint64_t index,
                         struct raft_snapshot_source **out, struct errmsg *em)
{
    struct storage *st = ctx;

    return snapshotter_open_source(&st->snapshotter, term, index, out, em);
}

struct raftnode_storage storage_seam(struct storage *st)
{
    return (struct raftnode_storage){
        .ctx = st,
        .submit = submit,
        .save_snapshot = save_snapshot,
        .compact = compact,
        .open_snapshot = open_snapshot,
    };
}
