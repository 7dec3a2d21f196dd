/* Operators: members come and go, as voters or as learners.
 *
 * The client API knows voters only. What is said of learners goes in where the
 * node hands its proposals to raft, as an operator's tool might: the entry is
 * the one that another program of this protocol would send. */

#include "src/raft/raft_internal.h"
#include "src/server/raftnode_internal.h"
#include "tests/sim/world.h"

/* --- who is one --- */

void members_look(struct sim *s, const struct machine *m)
{
    const struct tracker *trk = &m->n.node->raw->raft.trk;

    if (m->n.node->applied <= s->members_as_of) {
        return;
    }
    s->members_as_of = m->n.node->applied;
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        s->machines[id].is_member = tracker_progress(trk, id) != NULL;
        s->machines[id].is_used_again |= s->machines[id].left &&
                                         !s->machines[id].is_voter &&
                                         tracker_is_voter(trk, id);
        s->machines[id].is_voter = tracker_is_voter(trk, id);
    }
}

bool sim_is_member(const struct sim *s, uint64_t id)
{
    return s->machines[id].is_member;
}

bool sim_is_voter(const struct sim *s, uint64_t id)
{
    return s->machines[id].is_voter;
}

static int count_change(void *ctx, struct raft_entry *const *items, size_t n)
{
    size_t *changes = ctx;

    for (size_t i = 0; i < n; i++) {
        *changes += items[i]->type != RAFT_ENTRY_NORMAL;
    }
    return 0;
}

/* In this log, and not in force here, though maybe elsewhere: of two members
 * both are needed until the second one knows that there is a third. */
static size_t changes_in_log(const struct machine *m)
{
    const struct raft_log *l = &m->n.node->raw->raft.log;
    uint64_t from = max_u64(m->n.node->applied + 1, raft_log_first_index(l));
    uint64_t end = raft_log_last_index(l) + 1;
    size_t n = 0;

    if (from < end) {
        ASSERT(raft_log_scan(l, from, end, UINT64_MAX, &n, count_change) == 0);
    }
    return n;
}

/* Asked for and not proposed, or passed on to the leader and kept there. */
static size_t changes_asked_for(const struct machine *m)
{
    size_t n = m->n.node->n_parked;

    list_for_each (it, &m->n.node->due) {
        const struct request *r = container_of(it, struct request, due_link);

        n += r->kind == REQUEST_ADD_MEMBER || r->kind == REQUEST_REMOVE_MEMBER;
    }
    return n;
}

/* Changes of members that may still come into force, at most. */
static size_t changes_under_way(const struct sim *s)
{
    size_t n = 0;
    size_t logged = 0;

    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        const struct machine *m = &s->machines[id];

        if (machine_is_up(m)) {
            n += changes_asked_for(m);
            logged = max_u64(logged, changes_in_log(m));
        }
    }
    for (size_t i = 0; i < s->n_events; i++) {
        const struct packet *p = s->heap[i].packet;

        n += p != NULL && p->type == RAFT_MSG_PROP;
    }
    return n + logged;
}

size_t members_spare(const struct sim *s)
{
    size_t fewer = 1 + changes_under_way(s);
    size_t n = 0;

    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        n += sim_is_voter(s, id);
    }
    return n < fewer ? 0 : (n - fewer) / 2;
}

/* --- voters --- */

/* Of two members, each asks for the removal of the other. */
static bool duel(struct sim *s)
{
    struct machine *members[2] = {NULL, NULL};
    size_t n = 0;

    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        if (sim_is_voter(s, id)) {
            members[n++ % 2] = &s->machines[id];
        }
    }
    if (n != 2 || !machine_is_up(members[0]) || !machine_is_up(members[1]) ||
        choose(&s->choices, SITE_FAULT, 4) != 3) {
        return false;
    }
    fault_note(s, NULL, "two members remove each other", 0);
    operator_remove(s, members[0], members[1]->n.id);
    operator_remove(s, members[1], members[0]->n.id);
    return true;
}

static uint64_t any_id(struct sim *s)
{
    return 1 + choose(&s->choices, SITE_FAULT, SIM_NODES_MAX);
}

/* Whether a member is down for good: then it is replaced before anything else
 * is changed. */
static bool one_is_gone(const struct sim *s)
{
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        if (s->machines[id].is_damaged && sim_is_member(s, id)) {
            return true;
        }
    }
    return false;
}

void members_change(struct sim *s, struct machine *m)
{
    uint64_t id = any_id(s);

    if (one_is_gone(s) || duel(s)) {
        return;
    }
    /* A new member gets a new id and an empty directory [README]. */
    if (choose(&s->choices, SITE_FAULT, 2) == 0 && !s->machines[id].is_used) {
        operator_add(s, m, id);
    } else {
        operator_remove(s, m, id);
    }
}

/* --- learners --- */

static bool propose(struct sim *s, struct machine *at,
                    enum conf_change_type type, uint64_t id)
{
    struct conf_change cc = {.type = type, .node_id = id};
    char url[64];
    int rc;

    if (rawnode_conf_change_pending(at->n.node->raw)) {
        return false;
    }
    sim_node_url(id, url);
    cc.context = (struct bytes){(uint8_t *)url, strlen(url)};
    rc = rawnode_propose_conf_change(at->n.node->raw, &cc);
    machine_wake(s, at);
    return rc == 0;
}

/* The change may happen, now or later: the machine is there for it. */
static void add_learner(struct sim *s, struct machine *at, uint64_t id)
{
    struct machine *m = &s->machines[id];

    fault_note(s, at, "adds a learner", id);
    if (propose(s, at, CONF_CHANGE_ADD_LEARNER_NODE, id)) {
        m->joins = true;
        m->is_used = true;
        sim_schedule(s, EVENT_RESTART, (uint32_t)id, SIM_MS);
    }
}

void members_change_learner(struct sim *s, struct machine *m)
{
    uint64_t id = any_id(s);

    /* Who was removed and has left does not come back under its id [README]. */
    if (one_is_gone(s) || s->machines[id].left) {
        return;
    }
    if (!s->machines[id].is_used) {
        add_learner(s, m, id);
    } else if (sim_is_voter(s, id)) {
        fault_note(s, m, "makes a learner of", id);
        (void)propose(s, m, CONF_CHANGE_ADD_LEARNER_NODE, id);
    } else if (sim_is_member(s, id)) {
        fault_note(s, m, "makes a voter of", id);
        (void)propose(s, m, CONF_CHANGE_ADD_NODE, id);
    }
}

void members_found_learners(struct sim *s)
{
    struct machine *l = sim_leader(s);
    uint32_t *left = &s->swarm.founding_learners;
    uint64_t id;

    if (*left == 0 || l == NULL || one_is_gone(s)) {
        return;
    }
    id = s->swarm.n_founders - *left + 1;
    if (sim_is_voter(s, id)) {
        (void)propose(s, l, CONF_CHANGE_ADD_LEARNER_NODE, id);
    } else {
        --*left;
    }
}
