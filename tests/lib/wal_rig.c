/* A WAL on a disk in memory, beside an independent model of what it holds. */

#include "tests/lib/wal_rig.h"

#include <errno.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"

/* --- states --- */

void wal_state_copy(struct wal_state *to, const struct wal_state *from)
{
    to->hs = from->hs;
    to->snap = from->snap;
    to->log = (struct raft_entries){0};
    raft_entries_append(&to->log, from->log.items, from->log.len);
}

void wal_state_release(struct wal_state *s)
{
    raft_entries_release(&s->log);
    *s = (struct wal_state){0};
}

uint64_t wal_state_last(const struct wal_state *s)
{
    return s->snap.index + s->log.len;
}

static bool entry_equal(const struct raft_entry *a, const struct raft_entry *b)
{
    return a->type == b->type && a->term == b->term && a->index == b->index &&
           a->has_data == b->has_data && a->len == b->len &&
           memcmp(a->data, b->data, a->len) == 0;
}

bool wal_state_equal(const struct wal_state *a, const struct wal_state *b)
{
    if (!hard_state_equal(&a->hs, &b->hs) || a->snap.index != b->snap.index ||
        a->snap.term != b->snap.term || a->log.len != b->log.len) {
        return false;
    }
    for (size_t i = 0; i < a->log.len; i++) {
        if (!entry_equal(a->log.items[i], b->log.items[i])) {
            return false;
        }
    }
    return true;
}

static void apply(struct wal_state *s, const struct rig_record *rec)
{
    const struct wal_marker *m = &rec->marker;

    switch (rec->kind) {
    case RIG_ENTRY:
        ASSERT(rec->entry->index > s->snap.index);
        raft_entries_truncate(&s->log,
                              (size_t)(rec->entry->index - s->snap.index - 1));
        raft_entries_push(&s->log, rec->entry);
        return;
    case RIG_STATE:
        s->hs = rec->hs;
        return;
    case RIG_SNAPSHOT:
        raft_entries_drop_front(&s->log, (size_t)(m->index - s->snap.index));
        s->snap = *m;
        return;
    case RIG_RESTORE:
        raft_entries_reset(&s->log);
        s->snap = *m;
        s->hs.commit = m->index;
        if (s->hs.term < m->term) {
            s->hs.term = m->term;
            s->hs.vote = 0;
        }
        return;
    }
    UNREACHABLE();
}

/* --- the model --- */

void rig_note(struct wal_rig *r, struct rig_record rec)
{
    r->pending =
        xrealloc_array(r->pending, r->n_pending + 1, sizeof(r->pending[0]));
    r->pending[r->n_pending++] = rec;
    apply(&r->now, &rec);
}

static void forget_pending(struct wal_rig *r)
{
    for (size_t i = 0; i < r->n_pending; i++) {
        raft_entry_unref(r->pending[i].entry);
    }
    xfree(r->pending);
    r->pending = NULL;
    r->n_pending = 0;
}

void rig_note_sync(struct wal_rig *r)
{
    forget_pending(r);
    wal_state_release(&r->synced);
    wal_state_copy(&r->synced, &r->now);
}

static bool is_covered(const struct wal_state *s)
{
    size_t n = s->log.len;

    return n == 0 || s->log.items[n - 1]->term <= s->hs.term;
}

bool rig_allows(const struct wal_rig *r, const struct wal_state *s)
{
    return rig_allows_as(r, s, wal_state_equal);
}

bool rig_allows_as(const struct wal_rig *r, const struct wal_state *s,
                   rig_matches *matches)
{
    struct wal_state at;
    bool ok = false;

    wal_state_copy(&at, &r->synced);
    for (size_t i = 0; !ok; i++) {
        ok = is_covered(&at) && matches(&at, s);
        if (i == r->n_pending) {
            break;
        }
        apply(&at, &r->pending[i]);
    }
    wal_state_release(&at);
    return ok;
}

/* --- life cycle --- */

void rig_init(struct wal_rig *r, uint64_t segment_bytes)
{
    *r = (struct wal_rig){.v = sim_vfs_new()};
    r->o = (struct wal_options){
        .fs = sim_vfs_base(r->v), .dir = "wal", .segment_bytes = segment_bytes};
}

void rig_release(struct wal_rig *r)
{
    (void)wal_close(r->w, NULL);
    sim_vfs_free(r->v);
    forget_pending(r);
    wal_state_release(&r->synced);
    wal_state_release(&r->now);
    *r = (struct wal_rig){0};
}

void rig_fork(struct wal_rig *to, const struct wal_rig *from)
{
    *to = (struct wal_rig){.v = sim_vfs_clone(from->v), .o = from->o};
    to->o.fs = sim_vfs_base(to->v);
    wal_state_copy(&to->synced, &from->synced);
    wal_state_copy(&to->now, &from->now);
    for (size_t i = 0; i < from->n_pending; i++) {
        struct rig_record rec = from->pending[i];

        if (rec.entry != NULL) {
            raft_entry_ref(rec.entry);
        }
        to->pending = xrealloc_array(to->pending, to->n_pending + 1,
                                     sizeof(to->pending[0]));
        to->pending[to->n_pending++] = rec;
    }
}

/* --- calls --- */

int rig_create(struct wal_rig *r)
{
    return wal_create(&r->o, &r->w, &r->em);
}

struct raft_entry *rig_entry(uint64_t term, uint64_t index, size_t size)
{
    struct raft_entry *e = raft_entry_alloc(RAFT_ENTRY_NORMAL, size);

    e->term = term;
    e->index = index;
    for (size_t i = 0; i < size; i++) {
        /* No zeros: a hole in the file must not look like data. */
        e->data[i] = (uint8_t)((index * 31 + term * 7 + i) % 255 + 1);
    }
    return e;
}

static int save(struct wal_rig *r, const struct hard_state *hs,
                const struct raft_entries *es)
{
    int rc = wal_save(r->w, hs, es->items, es->len, &r->em);

    /* What a call that failed appended may be on the disk all the same. */
    for (size_t i = 0; i < es->len; i++) {
        rig_note(r, (struct rig_record){.kind = RIG_ENTRY,
                                        .entry = raft_entry_ref(es->items[i])});
    }
    rig_note(r, (struct rig_record){.kind = RIG_STATE, .hs = *hs});
    return rc;
}

int rig_save(struct wal_rig *r, uint64_t term, uint64_t first, size_t n,
             size_t size, uint64_t commit)
{
    uint64_t vote = term == r->now.hs.term ? r->now.hs.vote : 0;
    struct hard_state hs = {term, vote, commit};
    struct raft_entries es = {0};
    int rc;

    for (size_t i = 0; i < n; i++) {
        raft_entries_take(&es, rig_entry(term, first + i, size));
    }
    rc = save(r, &hs, &es);
    raft_entries_release(&es);
    return rc;
}

int rig_save_state(struct wal_rig *r, struct hard_state hs)
{
    return save(r, &hs, &(struct raft_entries){0});
}

int rig_save_entry(struct wal_rig *r, struct raft_entry *e, uint64_t commit)
{
    uint64_t vote = e->term == r->now.hs.term ? r->now.hs.vote : 0;
    struct hard_state hs = {e->term, vote, commit};
    struct raft_entries es = {0};
    int rc;

    raft_entries_take(&es, e);
    rc = save(r, &hs, &es);
    raft_entries_release(&es);
    return rc;
}

static int save_marker(struct wal_rig *r, enum rig_record_kind kind,
                       struct wal_marker m)
{
    uint64_t ids[] = {1, 2, 3};
    struct conf_state cs = {.voters = {ids, ARRAY_LEN(ids)}};
    struct walpb_snapshot s = {m.index, m.term, &cs};
    int rc = wal_save_snapshot(r->w, &s, &r->em);

    rig_note(r, (struct rig_record){.kind = kind, .marker = m});
    return rc;
}

int rig_snapshot(struct wal_rig *r, uint64_t index)
{
    const struct wal_state *s = &r->now;

    ASSERT(index > s->snap.index && index <= s->hs.commit);
    return save_marker(
        r, RIG_SNAPSHOT,
        (struct wal_marker){index,
                            s->log.items[index - s->snap.index - 1]->term});
}

int rig_restore(struct wal_rig *r, uint64_t index, uint64_t term)
{
    return save_marker(r, RIG_RESTORE, (struct wal_marker){index, term});
}

int rig_sync(struct wal_rig *r)
{
    int rc = wal_sync(r->w, &r->em);

    if (rc == 0) {
        rig_note_sync(r);
    }
    return rc;
}

int rig_release_to(struct wal_rig *r, uint64_t index)
{
    struct wal_released *released;
    int rc = wal_release_to(r->w, index, &released, &r->em);

    if (rc == 0) {
        rc = wal_released_delete(released, (struct vfs_rest){0}, &r->em);
        wal_release_end(r->w, released);
    }
    return rc;
}

int rig_close(struct wal_rig *r)
{
    int rc = wal_close(r->w, &r->em);

    r->w = NULL;
    if (rc == 0) {
        rig_note_sync(r);
    }
    return rc;
}

/* Open into *found. */
static int open_newest(struct wal_rig *r, struct wal_state *found)
{
    struct wal_contents c;
    struct wal_marker start = {0};
    const struct wal_marker *m;
    size_t n;
    int rc = wal_open(&r->o, &r->w, &r->em);

    if (rc < 0) {
        return rc;
    }
    m = wal_markers(r->w, &n);
    if (n > 0) {
        start = m[n - 1];
    }
    rc = wal_start(r->w, start, &c, &r->em);
    if (rc < 0) {
        (void)wal_close(r->w, NULL);
        r->w = NULL;
        return rc;
    }
    *found = (struct wal_state){c.hard_state, start, c.entries};
    r->torn_bytes = c.torn_bytes;
    return 0;
}

static void adopt(struct wal_rig *r, struct wal_state *found)
{
    wal_state_release(&r->now);
    r->now = *found;
    rig_note_sync(r);
}

int rig_open(struct wal_rig *r)
{
    struct wal_state found;
    int rc = open_newest(r, &found);

    if (rc == 0) {
        adopt(r, &found);
    }
    return rc;
}

int rig_reopen(struct wal_rig *r, bool *allowed)
{
    struct wal_state found;
    int rc = open_newest(r, &found);

    *allowed = false;
    if (rc == 0) {
        *allowed = rig_allows(r, &found);
        adopt(r, &found);
    }
    return rc;
}

int rig_look(const struct wal_rig *r, struct sim_vfs *v,
             struct wal_state *found, struct errmsg *em)
{
    struct wal_rig other = {.v = v, .o = r->o};
    int rc;

    other.o.fs = sim_vfs_base(v);
    rc = open_newest(&other, found);
    (void)wal_close(other.w, NULL);
    *em = other.em;
    return rc;
}

void rig_crash(struct wal_rig *r, const struct sim_crash *crash)
{
    sim_vfs_crash_as(r->v, crash);
    (void)wal_close(r->w, NULL);
    r->w = NULL;
}

/* --- files --- */

static bool is_segment(const char *name)
{
    size_t n = strlen(name);

    return n > 4 && strcmp(name + n - 4, ".wal") == 0;
}

size_t rig_segments(const struct wal_rig *r)
{
    struct vfs_names names;
    size_t n = 0;

    sim_vfs_names(r->v, r->o.dir, &names);
    for (size_t i = 0; i < names.n; i++) {
        n += is_segment(names.names[i]) ? 1 : 0;
    }
    vfs_names_release(&names);
    return n;
}

char *rig_segment(const struct wal_rig *r, size_t n)
{
    struct vfs_names names;
    char *path = NULL;

    sim_vfs_names(r->v, r->o.dir, &names);
    for (size_t i = 0; i < names.n && path == NULL; i++) {
        if (is_segment(names.names[i]) && n-- == 0) {
            path = vfs_join(r->o.dir, names.names[i]);
        }
    }
    vfs_names_release(&names);
    ASSERT(path != NULL);
    return path;
}

char *rig_last_segment(const struct wal_rig *r)
{
    return rig_segment(r, rig_segments(r) - 1);
}

void rig_must_create(struct wal_rig *r, uint64_t segment_bytes)
{
    int rc;

    rig_init(r, segment_bytes);
    rc = rig_create(r);
    ASSERT(rc == 0);
}

void rig_must_reopen(struct wal_rig *r)
{
    bool allowed = false;
    int rc = r->w != NULL ? rig_close(r) : 0;

    ASSERT(rc == 0);
    rc = rig_reopen(r, &allowed);
    ASSERT(rc == 0 && allowed);
}

void rig_must_save(struct wal_rig *r, uint64_t term, uint64_t first, size_t n,
                   uint64_t commit)
{
    int rc = rig_save(r, term, first, n, 20, commit);

    ASSERT(rc == 0);
    rc = rig_sync(r);
    ASSERT(rc == 0);
}
