/* Goal: whatever changes of members are proposed, by whom and when, nobody
 * fails, and all who applied the same entries have the same members. Method:
 * clusters in one process that grow, shrink, crash, are cut off and are fed
 * nonsense, from seeds; snapshots are frequent, so that most joiners begin with
 * one. */

#include "src/kv/kvstore.h"
#include "src/server/raftnode_internal.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/sim_feed.h"

#define SEEDS   300
#define STEPS   120
#define OPS_MAX STEPS

struct chaos {
    struct sim_cluster c;
    struct rng rng;
    bool named[SIM_NODES_MAX + 1]; /* by some change: it may be started */
    bool gone[SIM_NODES_MAX + 1];  /* removed: it never comes back */
    struct sim_op *ops[OPS_MAX];
    size_t n_ops;
    uint64_t seed;
};

static uint64_t pick(struct chaos *ch, uint64_t n)
{
    return rng_next(&ch->rng) % n;
}

static void start_all(struct chaos *ch)
{
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        struct errmsg em = {{0}};

        if (ch->c.nodes[id].node == NULL && ch->named[id] && !ch->gone[id] &&
            sim_start(&ch->c, id, id > ch->c.o.n, &em) < 0) {
            fail_msg("seed %d: node %d: %s", (int)ch->seed, (int)id, em.text);
        }
    }
}

static void mend_all(struct chaos *ch)
{
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        sim_isolate(&ch->c, id, false);
    }
}

static bool somebody_removed(const struct chaos *ch, uint64_t id)
{
    for (uint64_t at = 1; at <= SIM_NODES_MAX; at++) {
        const struct raftnode *node = ch->c.nodes[at].node;

        if (at != id && node != NULL && raftnode_was_removed(node, id)) {
            return true;
        }
    }
    return false;
}

/* Nodes that were removed end, by themselves or as their peers tell them. */
static void end_removed(struct chaos *ch)
{
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        struct raftnode *node = ch->c.nodes[id].node;
        const char *why;
        enum raftnode_condition now;

        if (node == NULL) {
            continue;
        }
        now = raftnode_condition(node, &why);
        if (now == RAFTNODE_FAILED) {
            fail_msg("seed %d: node %d: %s", (int)ch->seed, (int)id, why);
        }
        if (now == RAFTNODE_REMOVED || somebody_removed(ch, id)) {
            sim_stop(&ch->c, id);
            ch->gone[id] = true;
        }
    }
}

/* --- what happens --- */

static void add_or_remove(struct chaos *ch, uint64_t at)
{
    uint64_t member = 1 + pick(ch, SIM_NODES_MAX);
    bool add = pick(ch, 2) == 0;

    ch->ops[ch->n_ops++] =
        sim_member(&ch->c, at, add ? REQUEST_ADD_MEMBER : REQUEST_REMOVE_MEMBER,
                   member, add ? ch->c.nodes[member].url : NULL);
    ch->named[member] = ch->named[member] || add;
}

/* As from a node of another make, which checks nothing. */
static void propose_anything(struct chaos *ch, uint64_t at)
{
    struct conf_change cc = {
        .type = pick(ch, 5),
        .node_id = pick(ch, SIM_NODES_MAX + 1),
    };

    if (cc.type == CONF_CHANGE_ADD_NODE && pick(ch, 2) == 0) {
        cc.context = sim_text("junk");
    } else if (cc.type != CONF_CHANGE_REMOVE_NODE && cc.node_id != RAFT_NONE) {
        cc.context = sim_text(ch->c.nodes[cc.node_id].url);
        ch->named[cc.node_id] = true;
    }
    /* Refused is as good as taken. */
    if (rawnode_propose_conf_change(ch->c.nodes[at].node->raw, &cc) < 0) {
        return;
    }
}

static void propose_anything_v2(struct chaos *ch, uint64_t at)
{
    struct conf_change_single changes[3];
    struct conf_change_v2 cc = {
        .transition = pick(ch, 3),
        .changes = changes,
        .n_changes = pick(ch, ARRAY_LEN(changes) + 1),
    };

    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        changes[i].type = pick(ch, 5);
        changes[i].node_id = pick(ch, SIM_NODES_MAX + 1);
    }
    if (rawnode_propose_conf_change_v2(ch->c.nodes[at].node->raw, &cc) < 0) {
        return;
    }
}

static void do_something(struct chaos *ch)
{
    uint64_t id = 1 + pick(ch, SIM_NODES_MAX);
    bool is_up = ch->c.nodes[id].node != NULL;

    switch (pick(ch, 12)) {
    case 0:
        sim_isolate(&ch->c, id, true);
        return;
    case 1:
    case 2:
        mend_all(ch);
        return;
    case 3:
    case 4:
    case 5:
        start_all(ch);
        return;
    default:
        break;
    }
    if (!is_up) {
        return;
    }
    switch (pick(ch, 6)) {
    case 0:
        sim_crash(&ch->c, id, (enum sim_crash_mode)pick(ch, 4));
        break;
    case 1:
        propose_anything(ch, id);
        break;
    case 2:
        propose_anything_v2(ch, id);
        break;
    case 3:
        ch->ops[ch->n_ops++] = sim_put(&ch->c, id, "/a", "1");
        break;
    default:
        add_or_remove(ch, id);
        break;
    }
}

/* --- what must hold --- */

static void expect_same_members(const struct chaos *ch, uint64_t a, uint64_t b)
{
    const struct raftnode *x = ch->c.nodes[a].node;
    const struct raftnode *y = ch->c.nodes[b].node;

    if (x == NULL || y == NULL || x->applied != y->applied) {
        return;
    }
    if (!conf_state_equivalent(&x->conf_state, &y->conf_state) ||
        kvstore_n_members(x->store) != kvstore_n_members(y->store)) {
        fail_msg("seed %d: nodes %d and %d have other members at index %d",
                 (int)ch->seed, (int)a, (int)b, (int)x->applied);
    }
    for (size_t i = 0; i < kvstore_n_members(x->store); i++) {
        assert_int_equal(kvstore_member(x->store, i).id,
                         kvstore_member(y->store, i).id);
    }
}

static void run(struct chaos *ch, uint64_t seed)
{
    *ch = (struct chaos){.seed = seed};
    sim_cluster_init(&ch->c, &(struct sim_options){
                                 .n = 1 + seed % 3,
                                 .seed = seed,
                                 .snapshot_count = 6,
                                 .catchup_entries = seed % 4,
                                 .segment_bytes = 4096,
                                 .request_timeout_ticks = 12,
                                 .late_writes = seed % 2 == 0,
                             });
    rng_seed(&ch->rng, seed);
    sim_start_all(&ch->c);
    for (uint64_t id = 1; id <= ch->c.o.n; id++) {
        ch->named[id] = true;
    }
    for (unsigned i = 0; i < STEPS; i++) {
        do_something(ch);
        sim_run(&ch->c, (unsigned)pick(ch, 4));
        end_removed(ch);
    }
    mend_all(ch);
    start_all(ch);
    for (unsigned i = 0; i < 60; i++) {
        sim_run(&ch->c, 1);
        end_removed(ch);
    }
    for (uint64_t a = 1; a <= SIM_NODES_MAX; a++) {
        for (uint64_t b = 1; b < a; b++) {
            expect_same_members(ch, a, b);
        }
    }
    for (size_t i = 0; i < ch->n_ops; i++) {
        sim_op_free(&ch->c, ch->ops[i]);
    }
    sim_cluster_release(&ch->c);
}

static void test_members_agree_whatever_is_proposed(void **state)
{
    static struct chaos ch;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run(&ch, seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_agree_whatever_is_proposed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
