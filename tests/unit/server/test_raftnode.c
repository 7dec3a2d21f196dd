/* Goal: three whole nodes in one process elect, replicate, read, change their
 * members, crash and come back without losing what they answered. Method:
 * tests/lib/sim_cluster.h, with faults put in by hand. */

#include "src/server/raftnode.h"

#include <errno.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/kv/kvstore.h"
#include "src/server/raftnode_internal.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/sim_cluster.h"

static struct sim_cluster cluster;

static struct sim_cluster *begin(const struct sim_options *o)
{
    sim_cluster_init(&cluster, o);
    sim_start_all(&cluster);
    return &cluster;
}

static struct sim_cluster *three(void)
{
    return begin(&(struct sim_options){.n = 3, .seed = 7});
}

static uint64_t other_than(uint64_t id)
{
    return id == 1 ? 2 : 1;
}

static void put_many(struct sim_cluster *c, uint64_t at, unsigned n,
                     const char *value)
{
    for (unsigned i = 0; i < n; i++) {
        char key[32];

        (void)snprintf(key, sizeof(key), "/k%u", i % 50);
        assert_int_equal(sim_put_now(c, at, key, value), 0);
    }
}

static void test_three_nodes_elect_one_leader(void **state)
{
    struct sim_cluster *c = three();

    (void)state;
    assert_int_not_equal(sim_elect(c), 0);
    sim_cluster_release(c);
}

static void test_one_node_is_its_own_majority(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 1, .seed = 1});

    (void)state;
    assert_int_equal(sim_elect(c), 1);
    assert_int_equal(sim_put_now(c, 1, "/a", "1"), 0);
    sim_expect(c, 1, "/a", "1");
    sim_cluster_release(c);
}

static void test_put_on_any_node_is_read_on_every_node(void **state)
{
    struct sim_cluster *c = three();

    (void)state;
    assert_int_not_equal(sim_elect(c), 0);
    for (uint64_t at = 1; at <= 3; at++) {
        char value[8];

        (void)snprintf(value, sizeof(value), "v%d", (int)at);
        assert_int_equal(sim_put_now(c, at, "/foo", value), 0);
        for (uint64_t from = 1; from <= 3; from++) {
            sim_expect(c, from, "/foo", value);
        }
    }
    sim_expect_equal_maps(c);
    sim_cluster_release(c);
}

static void test_missing_key_is_not_found(void **state)
{
    struct sim_cluster *c = three();
    struct sim_op *op;

    (void)state;
    assert_int_not_equal(sim_elect(c), 0);
    op = sim_get(c, 1, "/none");
    sim_run(c, 5);
    assert_true(op->done);
    assert_int_equal(op->rc, ERR_NOT_FOUND);
    sim_op_free(c, op);
    sim_cluster_release(c);
}

static void test_requests_before_the_first_leader_wait_for_it(void **state)
{
    struct sim_cluster *c = three();
    struct sim_op *put = sim_put(c, 1, "/early", "yes");
    struct sim_op *get = sim_get(c, 2, "/early");

    (void)state;
    sim_settle(c);
    assert_false(put->done);
    assert_false(get->done);
    assert_int_not_equal(sim_elect(c), 0);
    sim_run(c, 3);
    assert_true(put->done);
    assert_int_equal(put->rc, 0);
    assert_true(get->done);
    sim_op_free(c, put);
    sim_op_free(c, get);
    sim_cluster_release(c);
}

static void test_without_a_majority_requests_end_in_time(void **state)
{
    struct sim_cluster *c = three();
    struct sim_op *put;
    struct sim_op *get;
    uint64_t leader;

    (void)state;
    leader = sim_elect(c);
    assert_int_equal(sim_put_now(c, leader, "/a", "1"), 0);
    for (uint64_t id = 1; id <= 3; id++) {
        if (id != leader) {
            sim_stop(c, id);
        }
    }
    /* Still taken by the leader, which does not know yet: unknown. */
    put = sim_put(c, leader, "/a", "2");
    sim_run(c, 51);
    assert_true(put->done);
    assert_int_equal(put->rc, ERR_OUTCOME_UNKNOWN);
    sim_op_free(c, put);
    /* By now it has stepped down. */
    put = sim_put(c, leader, "/a", "3");
    get = sim_get(c, leader, "/a");
    sim_run(c, 51);
    assert_int_equal(put->rc, ERR_NO_LEADER);
    assert_int_equal(get->rc, ERR_NO_LEADER);
    sim_op_free(c, put);
    sim_op_free(c, get);
    /* And all is well again once a majority is back. */
    for (uint64_t id = 1; id <= 3; id++) {
        struct errmsg em = {{0}};

        if (id != leader) {
            assert_int_equal(sim_start(c, id, false, &em), 0);
        }
    }
    assert_int_not_equal(sim_elect(c), 0);
    assert_int_equal(sim_put_now(c, leader, "/a", "4"), 0);
    sim_expect(c, other_than(leader), "/a", "4");
    sim_cluster_release(c);
}

static void test_cut_off_leader_serves_no_read(void **state)
{
    struct sim_cluster *c = begin(
        &(struct sim_options){.n = 3, .seed = 7, .request_timeout_ticks = 500});
    struct sim_op *get;
    uint64_t old;
    uint64_t leader;

    (void)state;
    old = sim_elect(c);
    assert_int_equal(sim_put_now(c, old, "/a", "old"), 0);
    sim_isolate(c, old, true);
    get = sim_get(c, old, "/a");
    sim_run(c, 5);
    assert_false(get->done);
    leader = sim_elect(c);
    assert_int_not_equal(leader, 0);
    assert_int_not_equal(leader, old);
    assert_int_equal(sim_put_now(c, leader, "/a", "new"), 0);
    /* Mended, the same read is asked again and sees the new value. */
    sim_isolate(c, old, false);
    sim_run(c, 20);
    assert_true(get->done);
    assert_int_equal(get->rc, 0);
    assert_int_equal(get->value_len, 3);
    assert_memory_equal(get->value, "new", 3);
    sim_op_free(c, get);
    sim_cluster_release(c);
}

static void test_cut_off_node_does_not_disturb_on_return(void **state)
{
    struct sim_cluster *c = three();
    struct raftnode_status st;
    uint64_t leader;
    uint64_t term;
    uint64_t lonely;

    (void)state;
    leader = sim_elect(c);
    lonely = other_than(leader);
    raftnode_get_status(c->nodes[leader].node, &st);
    term = st.raft.hard_state.term;
    raftnode_status_release(&st);
    sim_isolate(c, lonely, true);
    sim_run(c, 100);
    sim_isolate(c, lonely, false);
    sim_run(c, 30);
    assert_int_equal(sim_elect(c), leader);
    raftnode_get_status(c->nodes[leader].node, &st);
    assert_int_equal(st.raft.hard_state.term, term);
    raftnode_status_release(&st);
    sim_cluster_release(c);
}

static void test_stopped_node_catches_up(void **state)
{
    struct sim_cluster *c = three();
    struct errmsg em = {{0}};
    uint64_t leader;
    uint64_t away;

    (void)state;
    leader = sim_elect(c);
    away = other_than(leader);
    sim_stop(c, away);
    put_many(c, leader, 100, "while away");
    assert_int_equal(sim_start(c, away, false, &em), 0);
    sim_run(c, 20);
    sim_expect(c, away, "/k7", "while away");
    sim_expect_equal_maps(c);
    sim_cluster_release(c);
}

static void test_all_stop_and_start_and_everything_is_there(void **state)
{
    struct sim_cluster *c = three();

    (void)state;
    put_many(c, sim_elect(c), 120, "kept");
    for (uint64_t id = 1; id <= 3; id++) {
        sim_stop(c, id);
    }
    sim_start_all(c);
    assert_int_not_equal(sim_elect(c), 0);
    for (uint64_t id = 1; id <= 3; id++) {
        sim_expect(c, id, "/k49", "kept");
    }
    sim_cluster_release(c);
}

/* Every crash mode, all nodes at once, while a write is on its way. */
static void test_crash_of_all_loses_nothing_answered(void **state)
{
    static const enum sim_crash_mode modes[] = {
        SIM_CRASH_DROP, SIM_CRASH_KEEP, SIM_CRASH_TORN, SIM_CRASH_SECTORS};

    (void)state;
    for (unsigned round = 0; round < 40; round++) {
        struct sim_cluster *c = begin(&(struct sim_options){
            .n = 3,
            .seed = 100 + round,
            .snapshot_count = round % 2 == 0 ? 20 : 0,
            .segment_bytes = 4096,
        });
        enum sim_crash_mode mode = modes[round % ARRAY_LEN(modes)];
        struct sim_op *flying;
        uint64_t leader = sim_elect(c);
        char value[16];

        (void)snprintf(value, sizeof(value), "round %u", round);
        put_many(c, leader, 60, value);
        flying = sim_put(c, leader, "/flying", "maybe");
        raftnode_process(c->nodes[leader].node);
        for (uint64_t id = 1; id <= 3; id++) {
            sim_crash(c, id, mode);
        }
        assert_true(flying->done);
        sim_op_free(c, flying);
        sim_start_all(c);
        assert_int_not_equal(sim_elect(c), 0);
        for (uint64_t id = 1; id <= 3; id++) {
            sim_expect(c, id, "/k9", value);
            sim_expect(c, id, "/k49", value);
        }
        sim_expect_equal_maps(c);
        sim_cluster_release(c);
    }
}

static void test_lagging_node_comes_back_through_a_snapshot(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){
        .n = 3, .seed = 3, .snapshot_count = 30, .catchup_entries = 5});
    struct raftnode_status st;
    struct errmsg em = {{0}};
    uint64_t leader;
    uint64_t away;

    (void)state;
    leader = sim_elect(c);
    away = other_than(leader);
    put_many(c, leader, 10, "before");
    sim_stop(c, away);
    put_many(c, leader, 200, "after");
    assert_int_equal(sim_start(c, away, false, &em), 0);
    sim_run(c, 30);
    sim_expect(c, away, "/k3", "after");
    raftnode_get_status(c->nodes[away].node, &st);
    assert_true(st.snapshot_index > 100);
    raftnode_status_release(&st);
    sim_expect_equal_maps(c);
    /* And it starts again from what it received. */
    sim_crash(c, away, SIM_CRASH_DROP);
    assert_int_equal(sim_start(c, away, false, &em), 0);
    sim_run(c, 30);
    sim_expect(c, away, "/k3", "after");
    sim_cluster_release(c);
}

/* Entries are bounded in number by two flags, and in bytes always. */
static void test_log_in_memory_is_bounded_in_bytes(void **state)
{
    const size_t value_len = 4 * MiB;
    struct sim_cluster *c = begin(&(struct sim_options){
        .n = 1, .seed = 3, .snapshot_count = 10000, .catchup_entries = 10000});
    char *value = xmalloc(value_len + 1);
    struct raftnode_status st;
    uint64_t leader = sim_elect(c);
    size_t n = LOG_BYTES_MAX / value_len;

    (void)state;
    memset(value, 'v', value_len);
    value[value_len] = '\0';
    for (size_t i = 0; i < n; i++) {
        raftnode_get_status(c->nodes[leader].node, &st);
        assert_int_equal(st.snapshot_index, 0);
        raftnode_status_release(&st);
        assert_int_equal(sim_put_now(c, leader, "/k", value), 0);
    }
    sim_run(c, 5);
    raftnode_get_status(c->nodes[leader].node, &st);
    assert_true(st.snapshot_index >= n);
    /* The last snapshot's size more are taken before the next one. */
    for (size_t i = 0; i < 3 * n; i++) {
        assert_int_equal(sim_put_now(c, leader, "/k", value), 0);
        raftnode_status_release(&st);
        raftnode_get_status(c->nodes[leader].node, &st);
        assert_true(st.log_bytes <=
                    LOG_BYTES_MAX + CATCHUP_BYTES_MAX + 3 * value_len);
    }
    raftnode_status_release(&st);
    xfree(value);
    sim_cluster_release(c);
}

/* Of a large value there is one copy, in its entry. */
static void test_large_value_outlives_the_log(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){
        .n = 3, .seed = 5, .snapshot_count = 20, .catchup_entries = 1});
    const size_t len = KV_APART_MIN;
    char *value = xcalloc(1, len + 1);
    uint64_t leader = sim_elect(c);
    struct raftnode_status st;

    (void)state;
    for (char i = 'a'; i <= 'c'; i++) {
        memset(value, i, len);
        assert_int_equal(sim_put_now(c, leader, "/large", value), 0);
        raftnode_get_status(c->nodes[leader].node, &st);
        uint64_t index = st.raft.applied;
        raftnode_status_release(&st);
        put_many(c, leader, 60, "small");
        sim_run(c, 5);
        raftnode_get_status(c->nodes[leader].node, &st);
        assert_true(st.raft.first_index > index);
        raftnode_status_release(&st);
        for (uint64_t id = 1; id <= 3; id++) {
            sim_expect(c, id, "/large", value);
        }
    }
    assert_int_equal(sim_put_now(c, leader, "/large", "small"), 0);
    sim_expect(c, leader, "/large", "small");
    sim_expect_equal_maps(c);
    xfree(value);
    sim_cluster_release(c);
}

static void test_member_added_with_join_reads_the_data(void **state)
{
    struct sim_cluster *c = three();
    struct errmsg em = {{0}};

    (void)state;
    put_many(c, sim_elect(c), 20, "data");
    assert_int_equal(sim_member_now(c, 2, REQUEST_ADD_MEMBER, 4), 0);
    assert_int_equal(sim_start(c, 4, true, &em), 0);
    sim_run(c, 30);
    sim_expect(c, 4, "/k3", "data");
    assert_int_equal(sim_put_now(c, 4, "/from4", "x"), 0);
    sim_expect(c, 1, "/from4", "x");
    assert_string_equal(kvstore_member_url(raftnode_store(c->nodes[1].node), 4),
                        c->nodes[4].url);
    sim_cluster_release(c);
}

static void test_joiner_gets_members_with_a_snapshot(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){
        .n = 3, .seed = 5, .snapshot_count = 20, .catchup_entries = 2});
    struct errmsg em = {{0}};

    (void)state;
    put_many(c, sim_elect(c), 100, "data");
    assert_int_equal(sim_member_now(c, 1, REQUEST_ADD_MEMBER, 4), 0);
    assert_int_equal(sim_start(c, 4, true, &em), 0);
    sim_run(c, 40);
    sim_expect(c, 4, "/k3", "data");
    for (uint64_t id = 1; id <= 4; id++) {
        assert_string_equal(
            kvstore_member_url(raftnode_store(c->nodes[4].node), id),
            c->nodes[id].url);
    }
    sim_cluster_release(c);
}

static void test_membership_outcomes(void **state)
{
    struct sim_cluster *c = three();
    struct sim_op *op;

    (void)state;
    assert_int_not_equal(sim_elect(c), 0);
    /* The same again is fine, another URL is not. */
    assert_int_equal(sim_member_now(c, 1, REQUEST_ADD_MEMBER, 2), 0);
    op = sim_member(c, 1, REQUEST_ADD_MEMBER, 2, "http://10.0.0.9:1");
    sim_run(c, 5);
    assert_int_equal(op->rc, ERR_MEMBER_URL_DIFFERS);
    sim_op_free(c, op);
    assert_int_equal(sim_member_now(c, 1, REQUEST_REMOVE_MEMBER, 7),
                     ERR_NO_MEMBER);
    assert_int_equal(sim_member_now(c, 1, REQUEST_ADD_MEMBER, 4), 0);
    assert_int_equal(sim_member_now(c, 2, REQUEST_REMOVE_MEMBER, 4), 0);
    assert_int_equal(sim_member_now(c, 3, REQUEST_REMOVE_MEMBER, 4),
                     ERR_NO_MEMBER);
    assert_int_equal(sim_member_now(c, 3, REQUEST_ADD_MEMBER, 4),
                     ERR_MEMBER_REMOVED);
    sim_cluster_release(c);
}

static void test_only_voter_cannot_be_removed(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 1, .seed = 1});

    (void)state;
    assert_int_equal(sim_elect(c), 1);
    assert_int_equal(sim_member_now(c, 1, REQUEST_REMOVE_MEMBER, 1),
                     ERR_LAST_VOTER);
    sim_cluster_release(c);
}

/* Changes through all nodes at once: each happens, one after the other. */
static void test_concurrent_changes_wait_for_each_other(void **state)
{
    struct sim_cluster *c = three();
    struct sim_op *ops[4];

    (void)state;
    assert_int_not_equal(sim_elect(c), 0);
    for (uint64_t i = 0; i < 3; i++) {
        ops[i] = sim_member(c, i + 1, REQUEST_ADD_MEMBER, 4 + i,
                            c->nodes[4 + i].url);
    }
    ops[3] = sim_member(c, 1, REQUEST_ADD_MEMBER, 7, c->nodes[7].url);
    sim_run(c, 3);
    for (uint64_t i = 4; i <= 5; i++) {
        struct errmsg em = {{0}};

        /* Four founders and two of the new ones are needed for a majority. */
        assert_int_equal(sim_start(c, i, true, &em), 0);
    }
    sim_run(c, 40);
    for (unsigned i = 0; i < ARRAY_LEN(ops); i++) {
        assert_true(ops[i]->done);
        assert_int_equal(ops[i]->rc, 0);
        sim_op_free(c, ops[i]);
    }
    assert_int_equal(kvstore_n_members(raftnode_store(c->nodes[1].node)), 7);
    sim_cluster_release(c);
}

/* Takes the place of the network, and lets only entries leave. */
static void expect_entries_only(void *ctx, const struct raft_message *messages,
                                size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(messages[i].type, RAFT_MSG_APP);
    }
}

/* The storage interface is submit, later done: nothing that rests on the write
 * may leave or be answered in between, whatever comes in meanwhile. A leader's
 * entries may leave. */
static void test_writes_that_complete_later(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){
        .n = 3, .seed = 17, .snapshot_count = 25, .late_writes = true});
    struct sim_op *op;
    struct errmsg em = {{0}};
    uint64_t leader;

    (void)state;
    leader = sim_elect(c);
    put_many(c, leader, 80, "late");
    c->nodes[leader].node->peers.send = expect_entries_only;
    op = sim_put(c, leader, "/open", "write");
    raftnode_process(c->nodes[leader].node);
    raftnode_process(c->nodes[leader].node);
    assert_false(op->done);
    sim_crash(c, leader, SIM_CRASH_DROP);
    sim_op_free(c, op);
    assert_int_equal(sim_start(c, leader, false, &em), 0);
    assert_int_not_equal(sim_elect(c), 0);
    sim_expect(c, leader, "/k9", "late");
    sim_expect_equal_maps(c);
    sim_cluster_release(c);
}

static void test_removed_node_knows_it(void **state)
{
    struct sim_cluster *c = three();
    struct errmsg em = {{0}};
    struct sim_op *op;
    const char *why;
    uint64_t leader;
    uint64_t gone;

    (void)state;
    leader = sim_elect(c);
    gone = other_than(leader);
    assert_int_equal(sim_member_now(c, leader, REQUEST_REMOVE_MEMBER, gone), 0);
    sim_run(c, 5);
    assert_int_equal(raftnode_condition(c->nodes[gone].node, &why),
                     RAFTNODE_REMOVED);
    op = sim_put(c, gone, "/a", "1");
    assert_true(op->done);
    assert_int_equal(op->rc, ERR_SELF_REMOVED);
    sim_op_free(c, op);
    /* Started again it still knows, and the others do not notice. */
    sim_stop(c, gone);
    assert_int_equal(sim_start(c, gone, false, &em), 0);
    sim_run(c, 40);
    assert_int_equal(raftnode_condition(c->nodes[gone].node, &why),
                     RAFTNODE_REMOVED);
    assert_int_equal(raftnode_leader(c->nodes[leader].node), leader);
    sim_cluster_release(c);
}

static void test_removed_leader_answers_and_leaves(void **state)
{
    struct sim_cluster *c = three();
    const char *why;
    uint64_t leader;

    (void)state;
    leader = sim_elect(c);
    assert_int_equal(sim_member_now(c, leader, REQUEST_REMOVE_MEMBER, leader),
                     0);
    sim_run(c, 5);
    assert_int_equal(raftnode_condition(c->nodes[leader].node, &why),
                     RAFTNODE_REMOVED);
    sim_stop(c, leader);
    assert_int_not_equal(sim_elect(c), 0);
    assert_int_equal(sim_put_now(c, other_than(leader), "/a", "1"), 0);
    sim_cluster_release(c);
}

/* Of two members the leader is removed, and the other one does not hear that
 * this is committed: by its configuration it needs both to find out. So the
 * removed one stays until it has [reliability F41]. */
static void test_removed_leader_waits_until_the_other_knows(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 2, .seed = 5});
    struct sim_op *op;
    const char *why;
    uint64_t leader;
    uint64_t other;

    (void)state;
    leader = sim_elect(c);
    other = 3 - leader;
    op = sim_member(c, leader, REQUEST_REMOVE_MEMBER, leader, NULL);
    for (unsigned i = 0; i < 100; i++) {
        raftnode_process(c->nodes[leader].node);
        if (op->done) {
            break;
        }
        (void)sim_round(c);
    }
    assert_int_equal(op->rc, 0);
    sim_op_free(c, op);
    sim_isolate(c, leader, true); /* what it has just sent is lost */
    sim_run(c, 100);
    assert_int_equal(raftnode_condition(c->nodes[leader].node, &why),
                     RAFTNODE_RUNNING);
    assert_int_equal(c->nodes[other].node->conf_state.voters.n, 2);

    sim_isolate(c, leader, false);
    sim_run(c, 60);
    assert_int_equal(raftnode_condition(c->nodes[leader].node, &why),
                     RAFTNODE_REMOVED);
    sim_stop(c, leader);
    assert_int_equal(sim_elect(c), other);
    assert_int_equal(sim_put_now(c, other, "/a", "1"), 0);
    sim_cluster_release(c);
}

/* That a member was removed survives a power cut before anybody is told: else
 * the node would need the vote of one that left. */
static void test_removal_is_durable_before_it_is_told(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 2, .seed = 6});
    struct errmsg em = {{0}};
    const char *why;
    uint64_t leader;
    uint64_t gone;

    (void)state;
    leader = sim_elect(c);
    gone = 3 - leader;
    assert_int_equal(sim_member_now(c, leader, REQUEST_REMOVE_MEMBER, gone), 0);
    sim_run(c, 5);
    assert_int_equal(raftnode_condition(c->nodes[gone].node, &why),
                     RAFTNODE_REMOVED);
    sim_stop(c, gone);
    sim_crash(c, leader, SIM_CRASH_DROP);
    assert_int_equal(sim_start(c, leader, false, &em), 0);
    assert_int_equal(sim_elect(c), leader);
    assert_int_equal(sim_put_now(c, leader, "/a", "1"), 0);
    sim_cluster_release(c);
}

static void test_members_survive_restart_behind_a_snapshot(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){
        .n = 3, .seed = 11, .snapshot_count = 10, .catchup_entries = 0});
    struct errmsg em = {{0}};

    (void)state;
    assert_int_not_equal(sim_elect(c), 0);
    assert_int_equal(sim_member_now(c, 1, REQUEST_ADD_MEMBER, 4), 0);
    assert_int_equal(sim_start(c, 4, true, &em), 0);
    put_many(c, 1, 60, "data");
    sim_stop(c, 1);
    assert_int_equal(sim_start(c, 1, false, &em), 0);
    assert_string_equal(kvstore_member_url(raftnode_store(c->nodes[1].node), 4),
                        c->nodes[4].url);
    assert_true(c->nodes[1].peers[4]);
    sim_run(c, 30);
    sim_expect(c, 1, "/k3", "data");
    sim_cluster_release(c);
}

static void test_failed_sync_stops_the_node(void **state)
{
    struct sim_cluster *c = three();
    struct errmsg em = {{0}};
    struct sim_op *op;
    const char *why;
    uint64_t leader;

    (void)state;
    leader = sim_elect(c);
    assert_int_equal(sim_put_now(c, leader, "/a", "1"), 0);
    sim_vfs_fail_from(c->nodes[leader].disk, 1, -EIO);
    op = sim_put(c, leader, "/a", "2");
    sim_run(c, 3);
    assert_int_equal(raftnode_condition(c->nodes[leader].node, &why),
                     RAFTNODE_FAILED);
    assert_true(strlen(why) > 0);
    assert_false(op->done);
    sim_stop(c, leader);
    assert_true(op->done);
    assert_int_equal(op->rc, ERR_OUTCOME_UNKNOWN);
    sim_op_free(c, op);
    /* The others go on, and on a healthy disk the node has everything. */
    assert_int_not_equal(sim_elect(c), 0);
    assert_int_equal(sim_put_now(c, other_than(leader), "/b", "3"), 0);
    sim_vfs_heal(c->nodes[leader].disk);
    sim_vfs_crash(c->nodes[leader].disk, SIM_CRASH_DROP, &c->rng);
    assert_int_equal(sim_start(c, leader, false, &em), 0);
    sim_run(c, 20);
    sim_expect(c, leader, "/b", "3");
    sim_cluster_release(c);
}

static void test_lost_disk_is_noticed(void **state)
{
    struct sim_cluster *c = three();
    struct errmsg em = {{0}};
    const char *why;
    uint64_t leader;
    uint64_t victim;

    (void)state;
    leader = sim_elect(c);
    victim = other_than(leader);
    put_many(c, leader, 10, "x");
    sim_stop(c, victim);
    sim_vfs_free(c->nodes[victim].disk);
    c->nodes[victim].disk = sim_vfs_new();
    assert_int_equal(sim_start(c, victim, false, &em), 0);
    sim_run(c, 5);
    assert_int_equal(raftnode_condition(c->nodes[victim].node, &why),
                     RAFTNODE_FAILED);
    assert_non_null(strstr(why, "this disk lost data"));
    sim_cluster_release(c);
}

static void test_drain_refuses_and_finishes(void **state)
{
    struct sim_cluster *c = three();
    struct sim_op *sent;
    struct sim_op *late;
    uint64_t leader;

    (void)state;
    leader = sim_elect(c);
    sent = sim_put(c, leader, "/a", "1");
    raftnode_process(c->nodes[leader].node);
    raftnode_drain(c->nodes[leader].node);
    late = sim_put(c, leader, "/a", "2");
    assert_true(late->done);
    assert_int_equal(late->rc, ERR_STOPPED);
    sim_run(c, 2);
    assert_true(sent->done);
    assert_int_equal(sent->rc, 0);
    sim_op_free(c, sent);
    sim_op_free(c, late);
    sim_cluster_release(c);
}

static void test_leadership_is_handed_over(void **state)
{
    struct sim_cluster *c = three();
    uint64_t leader;

    (void)state;
    leader = sim_elect(c);
    sim_run(c, 2);
    raftnode_transfer_leadership(c->nodes[leader].node);
    sim_run(c, 2);
    assert_int_not_equal(raftnode_leader(c->nodes[leader].node), leader);
    assert_int_not_equal(sim_elect(c), leader);
    sim_cluster_release(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_nodes_elect_one_leader),
        cmocka_unit_test(test_one_node_is_its_own_majority),
        cmocka_unit_test(test_put_on_any_node_is_read_on_every_node),
        cmocka_unit_test(test_missing_key_is_not_found),
        cmocka_unit_test(test_requests_before_the_first_leader_wait_for_it),
        cmocka_unit_test(test_without_a_majority_requests_end_in_time),
        cmocka_unit_test(test_cut_off_leader_serves_no_read),
        cmocka_unit_test(test_cut_off_node_does_not_disturb_on_return),
        cmocka_unit_test(test_stopped_node_catches_up),
        cmocka_unit_test(test_all_stop_and_start_and_everything_is_there),
        cmocka_unit_test(test_crash_of_all_loses_nothing_answered),
        cmocka_unit_test(test_lagging_node_comes_back_through_a_snapshot),
        cmocka_unit_test(test_log_in_memory_is_bounded_in_bytes),
        cmocka_unit_test(test_large_value_outlives_the_log),
        cmocka_unit_test(test_member_added_with_join_reads_the_data),
        cmocka_unit_test(test_joiner_gets_members_with_a_snapshot),
        cmocka_unit_test(test_membership_outcomes),
        cmocka_unit_test(test_only_voter_cannot_be_removed),
        cmocka_unit_test(test_concurrent_changes_wait_for_each_other),
        cmocka_unit_test(test_writes_that_complete_later),
        cmocka_unit_test(test_removed_node_knows_it),
        cmocka_unit_test(test_removed_leader_answers_and_leaves),
        cmocka_unit_test(test_removed_leader_waits_until_the_other_knows),
        cmocka_unit_test(test_removal_is_durable_before_it_is_told),
        cmocka_unit_test(test_members_survive_restart_behind_a_snapshot),
        cmocka_unit_test(test_failed_sync_stops_the_node),
        cmocka_unit_test(test_lost_disk_is_noticed),
        cmocka_unit_test(test_drain_refuses_and_finishes),
        cmocka_unit_test(test_leadership_is_handed_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
