/* Random schedules of a whole group of cores: the safety of the algorithm under
 * everything at once.
 *
 * Goal: what no single scenario shows, above all asynchronous storage together
 * with joint configurations, snapshots and crashes. Method: five rawnodes, a
 * bag of messages that are lost, repeated and reordered, disks that lose what
 * was not written, all chosen by a seed. After every step the objects are
 * checked; one leader per term, one vote per term, the same entry everywhere at
 * each index, and reads not older than their request. At the end the faults
 * stop and the group must agree on a new entry. */

#include "tests/lib/rawnode_fixture.h"

#include <string.h>

#include "src/base/alloc.h"

#define PEERS      5
#define MEMBERS_0  3    /* initial members; the others may be added */
#define BAG_MAX    60   /* messages under way; more are lost */
#define INDEX_MAX  8192 /* of the entries of one run */
#define TERM_MAX   4096
#define READS_MAX  4096
#define SEEDS      60
#define STEPS      4000
#define HEAL_STEPS 60000

struct peer {
    struct memory_storage ms; /* what survives a crash */
    struct rawnode *rn;
    struct message_queue appends; /* waiting for the append thread */
    struct message_queue applies;
    uint64_t applied; /* by the state machine; starts at the snapshot */
};

struct chaos {
    uint64_t seed;
    struct rng rng;
    struct node_spec spec; /* the options of this run */
    struct logger lg;
    struct peer peers[PEERS + 1];
    struct message_queue bag;
    struct {
        uint64_t term;
        uint64_t payload; /* 0: none */
    } truth[INDEX_MAX];
    uint64_t leader_of[TERM_MAX];
    uint64_t read_floor[READS_MAX]; /* committed somewhere when it was asked */
    uint64_t n_reads;
    uint64_t n_reads_answered;
    uint64_t n_proposals;
    uint64_t highest_applied;
    bool healed;
};

static bool chance(struct chaos *c, uint64_t percent)
{
    return rng_below(&c->rng, 100) < percent;
}

static struct peer *any_peer(struct chaos *c, uint64_t *id)
{
    *id = 1 + rng_below(&c->rng, PEERS);
    return &c->peers[*id];
}

/* --- life and death of a peer --- */

static void start(struct chaos *c, uint64_t id)
{
    struct peer *p = &c->peers[id];
    struct raft_config cfg = spec_config(&c->spec, &p->ms);

    cfg.id = id;
    cfg.seed = rng_next(&c->rng);
    /* Half of the groups say nothing: what is logged must not matter. */
    c->lg = raft_trap.lg;
    c->lg.level = c->seed % 2 == 0 ? LOG_FATAL : LOG_DEBUG;
    cfg.lg = &c->lg;
    p->applied = p->ms.snapshot->index;
    cfg.applied = p->applied;
    p->rn = rawnode_new(&cfg);
}

static void stop(struct peer *p)
{
    rawnode_free(p->rn);
    p->rn = NULL;
    message_queue_release(&p->appends); /* never written */
    message_queue_release(&p->applies);
}

static void crash(struct chaos *c, uint64_t id)
{
    stop(&c->peers[id]);
    start(c, id);
}

static void chaos_init(struct chaos *c, uint64_t seed)
{
    memset(c, 0, sizeof *c);
    c->seed = seed;
    rng_seed(&c->rng, seed);
    c->spec = (struct node_spec){
        .election = 10,
        .heartbeat = 2,
        .async = chance(c, 50),
        .check_quorum = chance(c, 50),
        .pre_vote = chance(c, 50),
        .step_down_on_removal = true,
        .max_size_per_msg = chance(c, 50) ? 64 : RAFT_NO_LIMIT,
        .max_committed_size_per_ready = chance(c, 50) ? 100 : RAFT_NO_LIMIT,
        .max_inflight_msgs = chance(c, 50) ? 3 : 256,
        .seed = 1,
    };
    for (uint64_t id = 1; id <= PEERS; id++) {
        /* The first members start from a snapshot at index 1, so that newcomers
         * learn of them [raft-core NEW-6]. */
        struct node_spec s = {.voters = IDS(1, 2, 3),
                              .log_first = 2,
                              .log_term0 = 1,
                              .hs = {.term = 1, .commit = 1}};

        if (id > MEMBERS_0) {
            s = (struct node_spec){0};
        }
        storage_fill(&c->peers[id].ms, &s);
        start(c, id);
    }
    c->highest_applied = 1;
}

static void chaos_release(struct chaos *c)
{
    for (uint64_t id = 1; id <= PEERS; id++) {
        stop(&c->peers[id]);
        memory_storage_release(&c->peers[id].ms);
    }
    message_queue_release(&c->bag);
}

/* --- storage --- */

static void write_hard_state(struct peer *p, const struct hard_state *hs)
{
    const struct hard_state *old = &p->ms.hard_state;

    assert_true(hs->term >= old->term);
    assert_true(hs->commit >= old->commit);
    if (hs->term == old->term && old->vote != RAFT_NONE) {
        assert_int_equal(hs->vote, old->vote);
    }
    memory_storage_set_hard_state(&p->ms, hs);
}

static void take_over_snapshot(struct chaos *c, struct peer *p,
                               struct raft_snapshot *s)
{
    assert_int_equal(memory_storage_apply_snapshot(&p->ms, s), 0);
    assert_true(s->index <= c->highest_applied);
    p->applied = max_u64(p->applied, s->index);
}

/* --- the state machine --- */

static uint64_t payload_of(const struct raft_entry *e)
{
    uint64_t v = 0;

    if (e->type == RAFT_ENTRY_NORMAL && e->len == sizeof v) {
        memcpy(&v, e->data, sizeof v);
    }
    return v;
}

static void apply(struct chaos *c, struct peer *p, const struct raft_entry *e)
{
    if (c->spec.async && e->index <= p->applied) {
        return; /* a snapshot overtook the apply thread */
    }
    assert_int_equal(e->index, p->applied + 1);
    assert_in_range(e->index, 1, INDEX_MAX - 1);
    if (e->index > c->highest_applied) {
        c->truth[e->index].term = e->term;
        c->truth[e->index].payload = payload_of(e);
        c->highest_applied = e->index;
    }
    assert_int_equal(c->truth[e->index].term, e->term);
    assert_int_equal(c->truth[e->index].payload, payload_of(e));
    p->applied = e->index;
    if (e->type != RAFT_ENTRY_NORMAL) {
        struct rawnode_env env = {.rn = p->rn};
        struct conf_state cs = {0};

        rawnode_env_apply(&env, e, &cs);
        conf_state_release(&cs);
    }
}

static void apply_all(struct chaos *c, struct peer *p,
                      struct raft_entry *const *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        apply(c, p, items[i]);
    }
}

/* A snapshot newer than `index`, of what is applied now; NULL: there is none,
 * or entries are being applied, and the ConfState would not be of its index. */
static struct raft_snapshot *new_snapshot(struct chaos *c, struct peer *p,
                                          uint64_t index)
{
    struct raft_snapshot *s;

    if (p->applied <= index || p->rn->raft.log.applied != p->applied) {
        return NULL;
    }
    s = test_snapshot(p->applied, c->truth[p->applied].term);
    rawnode_conf_state(p->rn, &s->conf_state);
    return s;
}

/* Make a snapshot and forget most of the log. It must not be ahead of the
 * stored commit index, which with asynchronous writes may lag. */
static void snapshot_and_compact(struct chaos *c, struct peer *p)
{
    uint64_t keep = rng_below(&c->rng, 5);
    struct raft_snapshot *s;

    if (p->ms.hard_state.commit < p->applied) {
        return;
    }
    s = new_snapshot(c, p, p->ms.snapshot->index);
    if (s == NULL) {
        return;
    }
    assert_int_equal(memory_storage_create_snapshot(&p->ms, s), 0);
    raft_snapshot_unref(s);
    if (p->applied > keep) {
        int rc = memory_storage_compact(&p->ms, p->applied - keep);

        assert_true(rc == 0 || rc == ERR_COMPACTED);
    }
}

/* --- messages --- */

/* A snapshot is sent as of now: an older one may not have its receiver as a
 * member, who would refuse it [raft-core SNAP-3]. */
static void freshen(struct chaos *c, struct raft_message *m)
{
    struct raft_snapshot *s =
        new_snapshot(c, &c->peers[m->from], m->snapshot->index);

    if (s != NULL) {
        raft_snapshot_unref(m->snapshot);
        m->snapshot = s;
    }
}

static void post(struct chaos *c, const struct raft_message *m)
{
    struct raft_message *slot;

    if (m->to < 1 || m->to > PEERS || c->bag.len == BAG_MAX) {
        return;
    }
    slot = message_queue_push_copy(&c->bag, m);
    if (m->type == RAFT_MSG_SNAP) {
        freshen(c, slot);
    }
}

/* The sender hears what became of its snapshot, one way or the other. */
static void report_snapshot(struct chaos *c, const struct raft_message *m,
                            enum snapshot_status status)
{
    if (m->type == RAFT_MSG_SNAP) {
        rawnode_report_snapshot(c->peers[m->from].rn, m->to, status);
    }
}

/* Take a random message out of the bag: deliver it, lose it, or deliver a copy
 * and leave it there. */
static void deliver(struct chaos *c)
{
    struct raft_message m = {0};
    size_t i;

    if (c->bag.len == 0) {
        return;
    }
    i = (size_t)rng_below(&c->rng, c->bag.len);
    raft_message_copy(&m, &c->bag.items[i]);
    if (c->healed || !chance(c, 5)) {
        struct raft_message last = c->bag.items[c->bag.len - 1];

        c->bag.items[c->bag.len - 1] = c->bag.items[i];
        c->bag.items[i] = last;
        last = c->bag.items[--c->bag.len];
        c->bag.items[c->bag.len] = (struct raft_message){0};
        raft_message_release(&last);
    }
    if (!c->healed && chance(c, 8)) {
        report_snapshot(c, &m, SNAPSHOT_FAILURE);
    } else {
        (void)!rawnode_step(c->peers[m.to].rn, &m);
        report_snapshot(c, &m, SNAPSHOT_FINISH);
    }
    raft_message_release(&m);
}

/* --- Readys --- */

static void take_reads(struct chaos *c, const struct raft_ready *rd)
{
    for (size_t i = 0; i < rd->n_read_states; i++) {
        uint64_t n;

        assert_int_equal(rd->read_states[i].ctx_len, sizeof n);
        memcpy(&n, rd->read_states[i].ctx, sizeof n);
        assert_true(rd->read_states[i].index >= c->read_floor[n]);
        c->n_reads_answered++;
    }
}

static void work_sync(struct chaos *c, struct peer *p,
                      const struct raft_ready *rd)
{
    if (rd->snapshot != NULL) {
        take_over_snapshot(c, p, rd->snapshot);
    }
    if (rd->hard_state != NULL) {
        write_hard_state(p, rd->hard_state);
    }
    memory_storage_append(&p->ms, rd->entries, rd->n_entries);
    for (size_t i = 0; i < rd->n_messages; i++) {
        post(c, &rd->messages[i]);
    }
    apply_all(c, p, rd->committed_entries, rd->n_committed_entries);
    rawnode_advance(p->rn);
}

/* A vote request waits for the write of its own Ready, behind which it is
 * queued (raft.h says why). */
static void work_async(struct chaos *c, struct peer *p,
                       const struct raft_ready *rd)
{
    for (size_t i = 0; i < rd->n_messages; i++) {
        struct raft_message *m = &rd->messages[i];

        if (m->to == RAFT_LOCAL_APPEND_THREAD) {
            raft_message_copy(message_queue_push(&p->appends), m);
        } else if (m->to == RAFT_LOCAL_APPLY_THREAD) {
            raft_message_copy(message_queue_push(&p->applies), m);
        } else if (m->type != RAFT_MSG_VOTE) {
            post(c, m);
        }
    }
    for (size_t i = 0; i < rd->n_messages; i++) {
        if (rd->messages[i].type == RAFT_MSG_VOTE) {
            raft_message_copy(message_queue_push(&p->appends),
                              &rd->messages[i]);
        }
    }
}

static void work(struct chaos *c, uint64_t id)
{
    struct peer *p = &c->peers[id];
    struct raft_ready rd;

    if (!rawnode_has_ready(p->rn)) {
        return;
    }
    rawnode_ready(p->rn, &rd);
    take_reads(c, &rd);
    if (c->spec.async) {
        work_async(c, p, &rd);
    } else if (!c->healed && chance(c, 2)) {
        crash(c, id); /* before anything of it was written */
    } else {
        work_sync(c, p, &rd);
    }
}

/* Take the first message of a thread's queue, so that order is kept. */
static bool pop(struct message_queue *q, struct raft_message *m)
{
    if (q->len == 0) {
        return false;
    }
    *m = q->items[0];
    memmove(q->items, q->items + 1, (q->len - 1) * sizeof *q->items);
    q->items[--q->len] = (struct raft_message){0};
    return true;
}

static void respond(struct chaos *c, uint64_t id, const struct raft_message *m)
{
    for (size_t i = 0; i < m->n_responses; i++) {
        if (m->responses[i].to == id) {
            (void)!rawnode_step(c->peers[id].rn, &m->responses[i]);
        } else {
            post(c, &m->responses[i]);
        }
    }
}

static void write_and_respond(struct chaos *c, uint64_t id,
                              const struct raft_message *m)
{
    struct peer *p = &c->peers[id];
    struct hard_state hs = {m->term, m->vote, m->commit};

    if (m->snapshot != NULL) {
        take_over_snapshot(c, p, m->snapshot);
    }
    if (!hard_state_is_empty(&hs)) {
        write_hard_state(p, &hs);
    }
    memory_storage_append(&p->ms, m->entries.items, m->entries.len);
    respond(c, id, m);
}

static void append_thread(struct chaos *c, uint64_t id)
{
    struct raft_message m;

    if (!pop(&c->peers[id].appends, &m)) {
        return;
    }
    if (m.type == RAFT_MSG_VOTE) {
        post(c, &m);
    } else {
        write_and_respond(c, id, &m);
    }
    raft_message_release(&m);
}

static void apply_thread(struct chaos *c, uint64_t id)
{
    struct raft_message m;

    /* A snapshot has changed the members already: what came before it must not
     * be applied on top. */
    if (raft_log_has_next_or_in_progress_snapshot(&c->peers[id].rn->raft.log)) {
        return;
    }
    if (pop(&c->peers[id].applies, &m)) {
        apply_all(c, &c->peers[id], m.entries.items, m.entries.len);
        respond(c, id, &m);
        raft_message_release(&m);
    }
}

/* --- clients and operators --- */

static void propose(struct chaos *c, uint64_t id)
{
    uint64_t payload = ++c->n_proposals;
    struct bytes data = {(const uint8_t *)&payload, sizeof payload};

    (void)!rawnode_propose(c->peers[id].rn,
                           raft_entry_new(RAFT_ENTRY_NORMAL, data));
}

static void read_index(struct chaos *c, uint64_t id)
{
    uint64_t n = c->n_reads;
    uint64_t floor = 0;

    if (n == READS_MAX) {
        return;
    }
    for (uint64_t i = 1; i <= PEERS; i++) {
        floor = max_u64(floor, c->peers[i].rn->raft.log.committed);
    }
    c->read_floor[n] = floor;
    c->n_reads++;
    rawnode_read_index(c->peers[id].rn,
                       (struct bytes){(const uint8_t *)&n, sizeof n});
}

/* How many voters are left when `cc` is made. */
static size_t voters_after(const struct tracker_config *cfg,
                           const struct conf_change_v2 *cc)
{
    struct id_list voters = {0};
    size_t n;

    id_set_copy(&voters, &cfg->voters.incoming);
    for (size_t i = 0; i < cc->n_changes; i++) {
        if (cc->changes[i].type == CONF_CHANGE_ADD_NODE) {
            (void)id_set_add(&voters, cc->changes[i].node_id);
        } else {
            (void)id_set_remove(&voters, cc->changes[i].node_id);
        }
    }
    n = voters.n;
    id_set_release(&voters);
    return n;
}

/* Add or demote one, maybe remove another. Neither the leader itself nor many
 * voters at once: that leaves gaps of liveness which the algorithm does not
 * close [raft-core PF-33, PF-35]. */
static void change_members(struct chaos *c, uint64_t id)
{
    struct rawnode *rn = c->peers[id].rn;
    const struct tracker_config *cfg = &rn->raft.trk.config;
    struct conf_change_single changes[2];
    struct conf_change_v2 cc = {.changes = changes};
    uint64_t add = 1 + rng_below(&c->rng, PEERS);
    uint64_t other = 1 + rng_below(&c->rng, PEERS);

    if (rn->raft.role != RAFT_LEADER || add == id || other == id) {
        return;
    }
    if (tracker_config_is_joint(cfg)) {
        (void)!rawnode_propose_conf_change_v2(rn, &cc); /* leave it */
        return;
    }
    changes[cc.n_changes++] = (struct conf_change_single){
        chance(c, 75) ? CONF_CHANGE_ADD_NODE : CONF_CHANGE_ADD_LEARNER_NODE,
        add};
    if (chance(c, 60) && other != add) {
        changes[cc.n_changes++] =
            (struct conf_change_single){CONF_CHANGE_REMOVE_NODE, other};
        cc.transition = rng_below(&c->rng, 3);
    }
    if (voters_after(cfg, &cc) >= MEMBERS_0) {
        (void)!rawnode_propose_conf_change_v2(rn, &cc);
    }
}

/* --- the run --- */

static void check(struct chaos *c)
{
    for (uint64_t id = 1; id <= PEERS; id++) {
        const struct raft *r = &c->peers[id].rn->raft;

        raft_check(r);
        if (r->role == RAFT_LEADER) {
            assert_in_range(r->term, 1, TERM_MAX - 1);
            if (c->leader_of[r->term] == 0) {
                c->leader_of[r->term] = id;
            }
            assert_int_equal(c->leader_of[r->term], id);
        }
    }
}

static void step(struct chaos *c)
{
    uint64_t id;
    struct peer *p = any_peer(c, &id);
    uint64_t dice = rng_below(&c->rng, 1000);

    if (dice < 450) {
        deliver(c);
    } else if (dice < 740) {
        work(c, id);
    } else if (dice < 790) {
        append_thread(c, id);
    } else if (dice < 840) {
        apply_thread(c, id);
    } else if (dice < 885) {
        rawnode_tick(p->rn);
    } else if (c->healed) {
        return;
    } else if (dice < 925) {
        propose(c, id);
    } else if (dice < 945) {
        read_index(c, id);
    } else if (dice < 955) {
        change_members(c, id);
    } else if (dice < 958) {
        rawnode_transfer_leader(p->rn, 1 + rng_below(&c->rng, PEERS));
    } else if (dice < 966) {
        snapshot_and_compact(c, p);
    } else if (dice < 968) {
        crash(c, id);
    } else if (dice < 971) {
        rawnode_report_unreachable(p->rn, 1 + rng_below(&c->rng, PEERS));
    } else if (dice < 972) {
        (void)rawnode_forget_leader(p->rn);
    } else if (dice < 973) {
        (void)rawnode_campaign(p->rn);
    }
}

static struct peer *leader(struct chaos *c)
{
    for (uint64_t id = 1; id <= PEERS; id++) {
        if (c->peers[id].rn->raft.role == RAFT_LEADER) {
            return &c->peers[id];
        }
    }
    return NULL;
}

static void print_state(struct chaos *c)
{
    for (uint64_t id = 1; id <= PEERS; id++) {
        const struct raft *r = &c->peers[id].rn->raft;
        struct buf b;

        buf_init(&b, BUF_UNLIMITED);
        tracker_config_string(&r->trk.config, &b);
        (void)buf_append_str(&b, "\n");
        progress_map_string(&r->trk.progress, &b);
        print_message(
            "%d: %s term %d vote %d lead %d commit %d applied %d last %d "
            "pending conf %d transferee %d\n%s",
            (int)id, raft_role_name(r->role), (int)r->term, (int)r->vote,
            (int)r->lead, (int)r->log.committed, (int)r->log.applied,
            (int)raft_log_last_index(&r->log), (int)r->pending_conf_index,
            (int)r->lead_transferee, buf_cstr(&b));
        buf_release(&b);
    }
}

/* Without faults a new entry must be committed and applied. */
static void heal(struct chaos *c)
{
    uint64_t before = c->highest_applied;

    c->healed = true;
    for (int i = 0; i < HEAL_STEPS && c->highest_applied < before + 5; i++) {
        struct peer *p = leader(c);

        step(c);
        if (i % 200 == 0 && p != NULL) {
            propose(c, p->rn->raft.id);
        }
        if (i % 50 == 0) {
            check(c);
        }
    }
    if (c->highest_applied < before + 5) {
        print_message("seed %d: async %d, check_quorum %d, pre_vote %d\n",
                      (int)c->seed, c->spec.async, c->spec.check_quorum,
                      c->spec.pre_vote);
        print_state(c);
        fail_msg("no progress after the faults stopped");
    }
}

static void test_random_schedules(void **state)
{
    struct chaos *c = xmalloc(sizeof *c);
    uint64_t applied = 0;
    uint64_t reads = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        chaos_init(c, seed);
        for (int i = 0; i < STEPS; i++) {
            step(c);
            check(c);
        }
        heal(c);
        applied += c->highest_applied;
        reads += c->n_reads_answered;
        chaos_release(c);
    }
    /* The schedules did something. */
    assert_true(applied > SEEDS * 15);
    assert_true(reads > SEEDS * 5);
    xfree(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_schedules),
    };

    return cmocka_run_group_tests_name("raft_chaos", tests, NULL, NULL);
}
