/* Bits that change on a disk at rest, within the atlas: never on so many disks
 * that an entry could be lost [reliability 7].
 *
 * A machine is switched off, some bits of its files change, and it is switched
 * on again. Then the node refuses to start and changes nothing (F8), or it goes
 * on with exactly what it had: from an older snapshot (F11), or as nobody reads
 * those bits. One that refuses is replaced by the operator, by a member with a
 * new id. What the log has behind its last marker is left alone: changed in the
 * shape of a torn write it would be taken for one, as told in the README. */

#include "src/base/alloc.h"
#include "src/raft/raft_internal.h"
#include "src/server/raftnode_internal.h"
#include "tests/sim/world.h"
#include "wal/record.h"

/* Changes of members that may be under way, each of which may take one voter
 * away. */
#define CHANGES_UNDER_WAY 3

/* Whether this member goes by the last configuration, so that its vote and its
 * disk count in it. */
static bool is_informed(const struct sim *s, const struct machine *m)
{
    const struct tracker *trk;

    if (!machine_is_up(m) || m->is_damaged) {
        return false;
    }
    trk = &m->n.node->raw->raft.trk;
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        if (tracker_is_voter(trk, id) != sim_is_voter(s, id)) {
            return false;
        }
    }
    return true;
}

/* Whether the others can do without this one, too. A majority of them must know
 * what the configuration is: by an older one they may need more. */
static bool is_within_atlas(const struct sim *s, const struct machine *victim)
{
    size_t fewer = s->swarm.member_changes || s->swarm.learners
                       ? 1 + CHANGES_UNDER_WAY
                       : 1;
    size_t n = 0;
    size_t n_damaged = 1;
    size_t n_informed = 0;

    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        const struct machine *m = &s->machines[id];

        if (sim_is_voter(s, id)) {
            n++;
            n_damaged += m != victim && m->is_damaged;
            n_informed += m != victim && is_informed(s, m);
        }
    }
    return n >= fewer && n_damaged <= (n - fewer) / 2 && 2 * n_informed > n;
}

/* --- what may be hit --- */

/* The offset of the last marker of a segment; the end of its records if it has
 * none. */
static size_t last_group(struct bytes segment)
{
    size_t at = 0;
    size_t last = 0;
    struct record rec;

    while (at < segment.len &&
           record_decode((struct bytes){segment.data + at, segment.len - at},
                         &rec) == RECORD_OK) {
        if (record_is_marker(&rec)) {
            last = at;
        }
        at += rec.size;
    }
    return last == 0 ? at : last;
}

static bool ends_with(const char *name, const char *end)
{
    size_t len = strlen(name);

    return len >= strlen(end) && strcmp(name + len - strlen(end), end) == 0;
}

/* A file of the node, and how many of its first bytes may change. */
struct target {
    char *path;
    size_t len;
};

static size_t list_targets(const struct machine *m, const char *dir,
                           const char *end, struct target *out, size_t max)
{
    struct vfs_names names;
    size_t n = 0;

    sim_vfs_names(m->n.disk, dir, &names);
    for (size_t i = 0; i < names.n && n < max; i++) {
        struct target t;
        uint8_t *content;

        if (!ends_with(names.names[i], end)) {
            continue;
        }
        t.path = vfs_join(dir, names.names[i]);
        content = sim_vfs_get(m->n.disk, t.path, &t.len);
        if (strcmp(dir, "wal") == 0) {
            t.len = last_group((struct bytes){content, t.len});
        }
        xfree(content);
        if (t.len > 0) {
            out[n++] = t;
        } else {
            xfree(t.path);
        }
    }
    vfs_names_release(&names);
    return n;
}

/* --- the change --- */

#define TARGETS_MAX 64

static void flip(struct sim *s, struct machine *m, const struct target *t)
{
    uint32_t at = choose(&s->choices, SITE_FAULT, (uint32_t)t->len);
    uint32_t bit = choose(&s->choices, SITE_FAULT, 8);

    fault_note(s, m, "a bit changes at", at);
    sim_vfs_flip(m->n.disk, t->path, at, (uint8_t)(1U << bit));
    m->is_damaged = true;
}

void damage_strike(struct sim *s, struct machine *m)
{
    struct target targets[TARGETS_MAX];
    size_t n;

    ASSERT(!machine_is_up(m));
    if (!is_within_atlas(s, m)) {
        return;
    }
    n = list_targets(m, "wal", ".wal", targets, TARGETS_MAX);
    n += list_targets(m, "snap", ".snap", targets + n, TARGETS_MAX - n);
    for (uint32_t flips = 1 + choose(&s->choices, SITE_FAULT, 3);
         n > 0 && flips > 0; flips--) {
        flip(s, m, &targets[choose(&s->choices, SITE_FAULT, (uint32_t)n)]);
    }
    s->n_damaged += n > 0;
    for (size_t i = 0; i < n; i++) {
        xfree(targets[i].path);
    }
}

/* --- after it --- */

void damage_refused(struct sim *s, struct machine *m, uint32_t wal_before)
{
    if (sim_vfs_hash(m->n.disk, "wal") != wal_before) {
        checker_fail(s->checker, "I15",
                     "node %d refuses its log, and has changed it",
                     (int)m->n.id);
    }
    m->is_gone = true;
    s->n_refused++;
    sim_schedule(s, EVENT_REPLACE, (uint32_t)m->n.id, SIM_S);
}

static struct machine *any_leader(struct sim *s)
{
    struct machine *m = sim_leader(s);

    return m != NULL && s->now >= m->paused_until ? m : NULL;
}

/* The operator removes the member, and then adds another one, trying again
 * until both have been seen to happen. */
void damage_replace(struct sim *s, struct machine *m)
{
    struct machine *at = any_leader(s);
    struct machine *heir = &s->machines[m->replaced_by];

    if (s->is_calm) {
        return;
    }
    if (m->replaced_by != 0 && sim_is_member(s, m->replaced_by)) {
        return;
    }
    sim_schedule(s, EVENT_REPLACE, (uint32_t)m->n.id, SIM_S);
    if (at == NULL) {
        return;
    }
    if (m->replaced_by == 0 && sim_is_member(s, m->n.id)) {
        operator_remove(s, at, m->n.id);
        return;
    }
    for (uint64_t id = 1; id <= SIM_NODES_MAX && m->replaced_by == 0; id++) {
        if (!s->machines[id].is_used) {
            m->replaced_by = id;
            heir = &s->machines[id];
        }
    }
    if (m->replaced_by != 0 && !heir->is_used) {
        operator_add(s, at, m->replaced_by);
    }
}
