/* What the Readys of raft ask for: messages, writes, entries to apply.
 *
 * Storage writes are asynchronous (raft.h): a Ready is over once its parts are
 * in their queues. Messages that rest on nothing leave at once, so a leader's
 * own write and those of its followers go on side by side. All appends that
 * came while the disk was busy become one write and one sync. What rests on a
 * write (responses, a candidate's requests for votes) waits in its append; what
 * is committed waits for nothing but the write that makes it certain
 * [reliability 3.1].
 *
 * Counterpart: etcd-io/raft doc.go, "Usage with Asynchronous Storage Writes".
 * Differs: appends are joined, and requests for votes wait (raft.h). */

#include "src/base/alloc.h"
#include "src/server/raftnode_internal.h"

/* The contents of `m`, which is empty then. */
static struct raft_message take_message(struct raft_message *m)
{
    struct raft_message taken = *m;

    *m = (struct raft_message){0};
    return taken;
}

static void free_append(struct append *a)
{
    for (size_t i = 0; i < a->n_held; i++) {
        raft_message_release(&a->held[i]);
    }
    xfree(a->held);
    raft_message_release(&a->m);
    xfree(a);
}

static void free_appends(struct list *l)
{
    list_for_each_safe (it, l) {
        list_remove(it);
        free_append(container_of(it, struct append, link));
    }
}

static void free_apply(struct apply *p)
{
    list_remove(&p->link);
    raft_message_release(&p->m);
    xfree(p);
}

void ready_release(struct raftnode *rn)
{
    free_appends(&rn->appends);
    free_appends(&rn->writing);
    list_for_each_safe (it, &rn->applies) {
        free_apply(container_of(it, struct apply, link));
    }
    raft_entries_release(&rn->writing_entries);
}

/* --- taking one --- */

/* That a member was removed is told to it once it is applied here, and then it
 * is gone. So the commit index, which raft does not ask to be synced, is made
 * durable before: after a crash this node must not need the vote of a member
 * that left in the belief that it is known to be removed. */
static bool commits_conf_change(const struct raft_ready *rd)
{
    for (size_t i = 0; i < rd->n_committed_entries; i++) {
        if (rd->committed_entries[i]->type != RAFT_ENTRY_NORMAL) {
            return true;
        }
    }
    return false;
}

static struct append *queue_append(struct raftnode *rn, struct raft_message *m,
                                   bool must_sync)
{
    struct append *a = xcalloc(1, sizeof(*a));

    a->seq = ++rn->append_seq;
    a->must_sync = must_sync;
    if (m != NULL) {
        a->m = take_message(m);
    }
    list_push_back(&rn->appends, &a->link);
    return a;
}

static void queue_apply(struct raftnode *rn, struct raft_message *m,
                        uint64_t after)
{
    struct apply *p = xcalloc(1, sizeof(*p));

    p->after = after;
    p->m = take_message(m);
    list_push_back(&rn->applies, &p->link);
}

/* The last of the messages, if it is of `type`: local ones stand at the end. */
static struct raft_message *pop_local(struct raft_ready *rd,
                                      enum raft_message_type type)
{
    if (rd->n_messages == 0 ||
        rd->messages[rd->n_messages - 1].type != (uint64_t)type) {
        return NULL;
    }
    return &rd->messages[--rd->n_messages];
}

/* A candidate must have its own term and vote on disk before it asks others: it
 * could ask again after a crash, in the same term with a shorter log (raft.h).
 * The others move up. */
static void hold_votes(struct raft_ready *rd, struct append *a)
{
    size_t n = 0;

    for (size_t i = 0; i < rd->n_messages; i++) {
        struct raft_message *m = &rd->messages[i];

        if (m->type == RAFT_MSG_VOTE) {
            ASSERT(a != NULL);
            if (a->held == NULL) {
                a->held = xcalloc(rd->n_messages, sizeof(*a->held));
            }
            a->held[a->n_held++] = take_message(m);
        } else {
            struct raft_message moved = take_message(m);

            rd->messages[n++] = moved;
        }
    }
    rd->n_messages = n;
}

/* The messages that rest on nothing. A MsgSnap has no content yet, and goes its
 * own way (snapshots.c). */
static void send_now(struct raftnode *rn, struct raft_ready *rd)
{
    size_t n = 0;

    for (size_t i = 0; i < rd->n_messages; i++) {
        struct raft_message *m = &rd->messages[i];

        if (m->type == RAFT_MSG_SNAP) {
            snapshots_hold(rn, m);
        } else {
            struct raft_message moved = take_message(m);

            rd->messages[n++] = moved;
        }
    }
    rd->n_messages = n;
    if (n > 0) {
        rn->peers.send(rn->peers.ctx, rd->messages, n);
    }
}

void ready_take(struct raftnode *rn)
{
    struct append *a = NULL;
    struct raft_message *apply;
    struct raft_message *append;
    struct raft_ready rd;
    bool changes_members;

    rawnode_ready(rn->raw, &rd);
    changes_members = commits_conf_change(&rd);
    apply = pop_local(&rd, RAFT_MSG_STORAGE_APPLY);
    append = pop_local(&rd, RAFT_MSG_STORAGE_APPEND);
    if (append != NULL || changes_members) {
        a = queue_append(rn, append, rd.must_sync || changes_members);
    }
    if (apply != NULL) {
        queue_apply(rn, apply, changes_members ? a->seq : 0);
    }
    hold_votes(&rd, a);
    send_now(rn, &rd);
    for (size_t i = 0; i < rd.n_read_states; i++) {
        reads_confirmed(&rn->reads, &rd.read_states[i]);
    }
    snapshots_send_held(rn);
}

/* --- writing --- */

/* Whether `a` can be part of the write. A snapshot replaces the log, and
 * entries of a later leader those before them: what was promised of these must
 * be on disk first. It also replaces the map, which one of our own may be made
 * of. */
static bool can_join(const struct raftnode *rn, const struct append *a)
{
    const struct raft_entries *v = &rn->writing_entries;

    if (list_is_empty(&rn->writing)) {
        return raft_snapshot_is_empty(a->m.snapshot) ||
               !snapshots_hold_back_others(rn);
    }
    return a->m.snapshot == NULL &&
           (a->m.entries.len == 0 || v->len == 0 ||
            a->m.entries.items[0]->index == v->items[0]->index + v->len);
}

static void join(struct raftnode *rn, struct raftnode_write *w,
                 const struct append *a)
{
    struct hard_state hs = {
        .term = a->m.term, .vote = a->m.vote, .commit = a->m.commit};

    if (!hard_state_is_empty(&hs)) {
        w->hard_state = hs;
    }
    raft_entries_append(&rn->writing_entries, a->m.entries.items,
                        a->m.entries.len);
    w->must_sync = w->must_sync || a->must_sync;
    if (!raft_snapshot_is_empty(a->m.snapshot)) {
        w->snapshot = a->m.snapshot;
    }
}

static void on_written(void *arg, int rc, bool fatal, const struct errmsg *em)
{
    struct raftnode *rn = arg;

    ASSERT(rn->phase == PHASE_WRITING);
    ASSERT(rc == 0 || fatal);
    if (rc < 0) {
        raftnode_fail(rn, RAFTNODE_FAILED, "%s", em->text);
        return;
    }
    rn->phase = PHASE_WRITTEN;
}

/* All that can be one write, in *w. */
static void join_appends(struct raftnode *rn, struct raftnode_write *w)
{
    *w = (struct raftnode_write){0};
    raft_entries_reset(&rn->writing_entries);
    while (!list_is_empty(&rn->appends) && w->snapshot == NULL) {
        struct append *a = container_of(rn->appends.next, struct append, link);

        if (!can_join(rn, a)) {
            break;
        }
        list_remove(&a->link);
        list_push_back(&rn->writing, &a->link);
        join(rn, w, a);
    }
    w->others_wait = rn->reads.n > 0;
    w->entries = rn->writing_entries.items;
    w->n_entries = rn->writing_entries.len;
    w->marker = snapshots_marker(rn, w->hard_state.commit);
}

static bool is_nothing(const struct raftnode_write *w)
{
    return w->n_entries == 0 && w->snapshot == NULL && w->marker == NULL &&
           !w->must_sync && hard_state_is_empty(&w->hard_state);
}

bool ready_begin_write(struct raftnode *rn)
{
    struct raftnode_write *w = &rn->write;

    ASSERT(rn->phase == PHASE_IDLE && list_is_empty(&rn->writing));
    join_appends(rn, w);
    if (is_nothing(w)) {
        if (list_is_empty(&rn->writing)) {
            return false;
        }
        rn->phase = PHASE_WRITTEN; /* responses that rest on earlier writes */
        return true;
    }
    if (w->marker != NULL) {
        rn->own.state = OWN_MARKING;
    }
    rn->phase = PHASE_WRITING;
    rn->busy_since = rn->now;
    rn->disk.submit(rn->disk.ctx, w, on_written, rn);
    return true;
}

/* What is durable becomes readable. */
static int store(struct raftnode *rn)
{
    const struct raftnode_write *w = &rn->write;
    struct errmsg em = {{0}};
    int rc;

    if (w->snapshot != NULL) {
        rc = apply_snapshot(rn, w->snapshot, &em);
        if (rc < 0) {
            raftnode_fail(rn, RAFTNODE_FAILED,
                          "snapshot at index %" PRIu64 ": %s",
                          w->snapshot->index, em.text);
            return rc;
        }
        log_info(rn->lg, "restored from a snapshot at index %" PRIu64,
                 w->snapshot->index);
    }
    if (!hard_state_is_empty(&w->hard_state)) {
        memory_storage_set_hard_state(&rn->log, &w->hard_state);
    }
    memory_storage_append(&rn->log, w->entries, w->n_entries);
    return 0;
}

/* Ours to raft, in their order, and those of others to the network. */
static void deliver(struct raftnode *rn, const struct raft_message *m, size_t n)
{
    size_t i = 0;

    while (i < n) {
        size_t from = i;

        for (; i < n && m[i].to != rn->id; i++) {
        }
        if (i > from) {
            rn->peers.send(rn->peers.ctx, &m[from], i - from);
        }
        for (; i < n && m[i].to == rn->id; i++) {
            int rc = rawnode_step(rn->raw, &m[i]);

            /* Our own promise, when we are no member any more. */
            ASSERT(rc == 0 || rc == ERR_STEP_PEER_NOT_FOUND);
        }
    }
}

void ready_finish_write(struct raftnode *rn)
{
    ASSERT(rn->phase == PHASE_WRITTEN);
    if (store(rn) < 0) {
        return;
    }
    rn->phase = PHASE_IDLE;
    list_for_each_safe (it, &rn->writing) {
        struct append *a = container_of(it, struct append, link);

        rn->written_seq = a->seq;
        list_remove(it);
        deliver(rn, a->held, a->n_held);
        deliver(rn, a->m.responses, a->m.n_responses);
        free_append(a);
    }
    raft_entries_reset(&rn->writing_entries);
    if (rn->write.marker != NULL) {
        snapshots_marked(rn);
    }
    rn->write = (struct raftnode_write){0};
}

/* --- applying --- */

bool ready_apply(struct raftnode *rn)
{
    struct apply *p;

    if (list_is_empty(&rn->applies)) {
        return false;
    }
    p = container_of(rn->applies.next, struct apply, link);
    if (p->after > rn->written_seq) {
        return false;
    }
    apply_entries(rn, p->m.entries.items, p->m.entries.len);
    if (rn->condition == RAFTNODE_FAILED) {
        return false;
    }
    deliver(rn, p->m.responses, p->m.n_responses);
    free_apply(p);
    rn->stuck_since = rn->now;
    return true;
}
