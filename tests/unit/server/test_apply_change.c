/* Goal: membership changes reach the members, the transport and whoever asked
 * for them; what says nothing sensible changes nothing. Method: nodes of a
 * cluster in one process, and changes as a Go node, an operator's tool or two
 * clients at once could have put them into the log. */

#include "src/kv/kvstore.h"
#include "src/server/raftnode_internal.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/sim_feed.h"

static struct sim_cluster cluster;

static struct sim_cluster *begin(const struct sim_options *o)
{
    sim_cluster_init(&cluster, o);
    sim_start_all(&cluster);
    return &cluster;
}

/* --- changes that make no sense, as a Go node would propose them --- */

static const struct {
    const char *name;
    uint64_t type;
    uint64_t id;
    const char *context;
} senseless[] = {
    {"url without scheme", CONF_CHANGE_ADD_NODE, 4, "10.0.0.4:2380"},
    {"url of nothing", CONF_CHANGE_ADD_NODE, 4, "junk"},
    {"learner with a bad url", CONF_CHANGE_ADD_LEARNER_NODE, 4, "junk"},
    {"update with a bad url", CONF_CHANGE_UPDATE_NODE, 1, "junk"},
    {"removal of an unknown id", CONF_CHANGE_REMOVE_NODE, 9, NULL},
    {"removal of nobody", CONF_CHANGE_REMOVE_NODE, 0, NULL},
    {"addition of nobody", CONF_CHANGE_ADD_NODE, 0, "http://10.0.0.4:2380"},
    {"removal of the only voter", CONF_CHANGE_REMOVE_NODE, 1, NULL},
    {"the only voter as learner", CONF_CHANGE_ADD_LEARNER_NODE, 1, NULL},
    {"unknown kind", 9, 1, NULL},
};

static void test_senseless_change_is_a_noop_with_a_warning(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(senseless); i++) {
        struct sim_cluster *c = sim_alone(&cluster);
        struct raftnode *node = c->nodes[1].node;
        uint64_t before = node->applied;

        print_message("  %s\n", senseless[i].name);
        sim_change_alone(c, senseless[i].type, senseless[i].id,
                         senseless[i].context);
        sim_expect_running(c, 1);
        assert_int_equal(node->applied, before + 1);
        assert_non_null(strstr(c->nodes[1].last_error, "nothing is changed"));
        assert_int_equal(kvstore_n_members(raftnode_store(node)), 1);
        assert_string_equal(sim_member_url(c, 1, 1), c->nodes[1].url);
        assert_int_equal(node->conf_state.voters.n, 1);
        assert_int_equal(node->conf_state.learners.n, 0);
        /* And it goes on, through a restart as well. */
        assert_int_equal(sim_put_now(c, 1, "/a", "1"), 0);
        sim_stop(c, 1);
        assert_int_equal(sim_start(c, 1, false, &(struct errmsg){{0}}), 0);
        assert_int_equal(sim_elect(c), 1);
        sim_expect(c, 1, "/a", "1");
        sim_cluster_release(c);
    }
}

/* The same in the newer form, which an operator's tool may propose. */
static void test_senseless_change_v2_is_a_noop(void **state)
{
    static struct conf_change_single all[] = {{CONF_CHANGE_REMOVE_NODE, 1}};
    static struct conf_change_single none_left[] = {
        {CONF_CHANGE_ADD_LEARNER_NODE, 2}, {CONF_CHANGE_REMOVE_NODE, 1}};
    static struct conf_change_single nobody[] = {{CONF_CHANGE_ADD_NODE, 0},
                                                 {CONF_CHANGE_REMOVE_NODE, 1}};
    static struct conf_change_single kind[] = {{9, 1}};
    static const struct {
        const char *name;
        struct conf_change_v2 cc;
    } cases[] = {
        {"removal of the only voter", {.changes = all, .n_changes = 1}},
        {"a learner for the only voter",
         {.changes = none_left, .n_changes = 2}},
        {"nobody for the only voter", {.changes = nobody, .n_changes = 2}},
        {"unknown kind", {.changes = kind, .n_changes = 1}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sim_cluster *c = sim_alone(&cluster);

        print_message("  %s\n", cases[i].name);
        sim_commit_alone(c, sim_change_v2_entry(&cases[i].cc));
        sim_expect_running(c, 1);
        assert_non_null(strstr(c->nodes[1].last_error, "nothing is changed"));
        assert_int_equal(c->nodes[1].node->conf_state.voters.n, 1);
        assert_int_equal(kvstore_n_members(raftnode_store(c->nodes[1].node)),
                         1);
        assert_int_equal(sim_put_now(c, 1, "/a", "1"), 0);
        sim_cluster_release(c);
    }
}

/* A joint configuration can only be left, and only once. */
static void test_senseless_change_while_joint_is_a_noop(void **state)
{
    struct conf_change_single swap[] = {{CONF_CHANGE_ADD_NODE, 4},
                                        {CONF_CHANGE_REMOVE_NODE, 3}};
    const struct conf_change_v2 enter = {
        .transition = CONF_CHANGE_TRANSITION_JOINT_EXPLICIT,
        .changes = swap,
        .n_changes = ARRAY_LEN(swap)};
    const struct conf_change_v2 leave = {0};
    const struct conf_change simple = {.type = CONF_CHANGE_ADD_NODE,
                                       .node_id = 5};
    const struct {
        struct raft_entry *e;
        bool sane;
        size_t outgoing; /* voters, afterwards */
    } steps[] = {
        {sim_change_v2_entry(&leave), false, 0},
        {sim_change_v2_entry(&enter), true, 3},
        {sim_change_v2_entry(&enter), false, 3},
        {sim_change_entry(&simple), false, 3},
        {sim_change_v2_entry(&leave), true, 0},
        {sim_change_v2_entry(&leave), false, 0},
    };
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct raft_entry *e = steps[i].e;

        c->nodes[1].last_error[0] = '\0';
        sim_feed(c, &e, 1);
        sim_expect_running(c, 1);
        assert_int_equal(strstr(c->nodes[1].last_error, "nothing is changed") ==
                             NULL,
                         steps[i].sane);
        assert_int_equal(c->nodes[1].node->conf_state.voters_outgoing.n,
                         steps[i].outgoing);
    }
    assert_false(kvstore_has_member(raftnode_store(c->nodes[1].node), 5));
    sim_cluster_release(c);
}

/* Both members of a cluster of two remove each other at the same moment:
 * each is right when it is asked, the second is not any more when its turn
 * comes. */
static void test_two_members_that_remove_each_other(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 2, .seed = 3});
    struct sim_op *ops[2];
    uint64_t leader = sim_elect(c);
    uint64_t other = 3 - leader;

    (void)state;
    ops[0] = sim_member(c, leader, REQUEST_REMOVE_MEMBER, other, NULL);
    ops[1] = sim_member(c, other, REQUEST_REMOVE_MEMBER, leader, NULL);
    sim_run(c, 20);
    sim_expect_running(c, leader);
    assert_int_equal(ops[0]->rc, 0);
    sim_stop(c, other);
    assert_int_equal(sim_put_now(c, leader, "/a", "1"), 0);
    assert_int_equal(kvstore_n_members(raftnode_store(c->nodes[leader].node)),
                     1);
    /* And through a restart: the log has both. */
    sim_stop(c, leader);
    assert_int_equal(sim_start(c, leader, false, &(struct errmsg){{0}}), 0);
    assert_int_equal(sim_elect(c), leader);
    sim_expect(c, leader, "/a", "1");
    sim_op_free(c, ops[0]);
    sim_op_free(c, ops[1]);
    sim_cluster_release(c);
}

/* A change that was a no-op when it was applied, as there was one voter only,
 * must not come to life on a node that is brought up by a later snapshot: it
 * would be a cluster of its own. */
static void test_joiner_does_not_revive_a_senseless_change(void **state)
{
    struct sim_cluster *c =
        begin(&(struct sim_options){.n = 1, .seed = 1, .snapshot_count = 10});
    struct raftnode *node = c->nodes[1].node;

    (void)state;
    assert_int_equal(sim_elect(c), 1);
    while (node->snapshot_index == 0) {
        assert_int_equal(sim_put_now(c, 1, "/a", "1"), 0);
    }
    sim_change_alone(c, CONF_CHANGE_REMOVE_NODE, 1, NULL);
    assert_non_null(strstr(c->nodes[1].last_error, "nothing is changed"));
    assert_int_equal(sim_member_now(c, 1, REQUEST_ADD_MEMBER, 2), 0);
    assert_int_equal(sim_start(c, 2, true, &(struct errmsg){{0}}), 0);
    sim_run(c, 40);
    assert_int_equal(c->nodes[2].node->applied, node->applied);
    assert_int_equal(c->nodes[2].node->conf_state.voters.n, 2);
    assert_true(kvstore_has_member(raftnode_store(c->nodes[2].node), 1));
    assert_int_equal(raftnode_leader(c->nodes[2].node), 1);
    sim_cluster_release(c);
}

/* --- changes that do --- */

static void test_changes_reach_members_and_transport(void **state)
{
    static const struct {
        uint64_t type;
        uint64_t id;
        const char *context;
        const char *told;
        const char *url; /* afterwards; NULL: unknown, or no member */
        bool member;
    } steps[] = {
        /* A learner, so that the one voter still commits alone. */
        {CONF_CHANGE_ADD_LEARNER_NODE, 4, "http://10.9.9.4:1",
         "add 4 http://10.9.9.4:1\n", "http://10.9.9.4:1", true},
        /* Of a member: no URL is changed, as in etcd. */
        {CONF_CHANGE_ADD_LEARNER_NODE, 4, "http://10.9.9.5:1", "",
         "http://10.9.9.4:1", true},
        {CONF_CHANGE_UPDATE_NODE, 4, "http://10.9.9.6:1",
         "update 4 http://10.9.9.6:1\n", "http://10.9.9.6:1", true},
        {CONF_CHANGE_UPDATE_NODE, 4, NULL, "", "http://10.9.9.6:1", true},
        /* Of no member: it does not become one. */
        {CONF_CHANGE_UPDATE_NODE, 5, "http://10.9.9.7:1", "", NULL, false},
        {CONF_CHANGE_REMOVE_NODE, 4, NULL, "remove 4\n", NULL, false},
        /* Without an address: that of --cluster, here none. */
        {CONF_CHANGE_ADD_LEARNER_NODE, 6, NULL, "", NULL, true},
        {CONF_CHANGE_ADD_LEARNER_NODE, 6, "http://10.9.9.8:1",
         "add 6 http://10.9.9.8:1\n", "http://10.9.9.8:1", true},
        /* Its own address may change too; nobody dials himself. */
        {CONF_CHANGE_UPDATE_NODE, 1, "http://10.9.9.1:1", "",
         "http://10.9.9.1:1", true},
    };
    struct sim_cluster *c = sim_alone(&cluster);
    struct raftnode *node = c->nodes[1].node;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct sim_told t;

        sim_listen(c, 1, &t);
        sim_change_alone(c, steps[i].type, steps[i].id, steps[i].context);
        sim_expect_running(c, 1);
        assert_string_equal(t.lines, steps[i].told);
        assert_int_equal(kvstore_has_member(node->store, steps[i].id),
                         steps[i].member);
        if (steps[i].url == NULL) {
            assert_null(sim_member_url(c, 1, steps[i].id));
        } else {
            assert_string_equal(sim_member_url(c, 1, steps[i].id),
                                steps[i].url);
        }
        assert_string_equal(c->nodes[1].last_error, "");
    }
    assert_int_equal(node->conf_state.learners.n, 1);
    assert_true(kvstore_was_removed(node->store, 4));
    sim_cluster_release(c);
}

/* Founders have no address in the log: theirs is that of --cluster. */
static void test_founders_have_the_addresses_of_the_list(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});

    (void)state;
    sim_settle(c);
    for (uint64_t at = 1; at <= 3; at++) {
        for (uint64_t id = 1; id <= 3; id++) {
            assert_string_equal(sim_member_url(c, at, id), c->nodes[id].url);
        }
    }
    sim_cluster_release(c);
}

/* Through a joint configuration and out of it. */
static void test_change_of_several_members_at_once(void **state)
{
    struct conf_change_single add[] = {{CONF_CHANGE_ADD_LEARNER_NODE, 7},
                                       {CONF_CHANGE_ADD_LEARNER_NODE, 8}};
    struct conf_change_single swap[] = {{CONF_CHANGE_REMOVE_NODE, 7},
                                        {CONF_CHANGE_REMOVE_NODE, 8}};
    struct sim_cluster *c = sim_alone(&cluster);
    struct raftnode *node = c->nodes[1].node;

    (void)state;
    sim_commit_alone(c, sim_change_v2_entry(&(struct conf_change_v2){
                            .changes = add, .n_changes = ARRAY_LEN(add)}));
    assert_int_equal(node->conf_state.learners.n, 2);
    assert_int_equal(node->conf_state.voters_outgoing.n, 0); /* left again */
    assert_int_equal(kvstore_n_members(node->store), 3);
    sim_commit_alone(c, sim_change_v2_entry(&(struct conf_change_v2){
                            .changes = swap, .n_changes = ARRAY_LEN(swap)}));
    assert_int_equal(node->conf_state.learners.n, 0);
    assert_int_equal(kvstore_n_members(node->store), 1);
    sim_expect_running(c, 1);
    assert_int_equal(sim_put_now(c, 1, "/a", "1"), 0);
    sim_cluster_release(c);
}

/* A voter that is replaced votes until the joint configuration is left, and
 * is a member until then. */
static void
test_replaced_voter_leaves_with_the_joint_configuration(void **state)
{
    struct conf_change_single swap[] = {{CONF_CHANGE_ADD_LEARNER_NODE, 4},
                                        {CONF_CHANGE_REMOVE_NODE, 3},
                                        {CONF_CHANGE_REMOVE_NODE, 9}};
    struct raft_entry *enter = sim_change_v2_entry(&(struct conf_change_v2){
        .changes = swap, .n_changes = ARRAY_LEN(swap)});
    struct raft_entry *leave = sim_change_v2_entry(&(struct conf_change_v2){0});
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    const struct kvstore *store = raftnode_store(c->nodes[1].node);
    struct sim_told t;

    (void)state;
    sim_settle(c);
    sim_listen(c, 1, &t);
    sim_feed(c, &enter, 1);
    assert_true(kvstore_has_member(store, 3));
    assert_true(kvstore_has_member(store, 4));
    assert_string_equal(t.lines, "");
    sim_feed(c, &leave, 1);
    assert_false(kvstore_has_member(store, 3));
    assert_true(kvstore_was_removed(store, 3));
    assert_int_equal(kvstore_n_members(store), 3);
    assert_string_equal(t.lines, "remove 3\n");
    assert_false(kvstore_was_removed(store, 9)); /* never was a member */
    sim_expect_running(c, 1);
    sim_cluster_release(c);
}

static void test_node_that_is_replaced_stops(void **state)
{
    struct conf_change_single swap[] = {{CONF_CHANGE_ADD_NODE, 4},
                                        {CONF_CHANGE_REMOVE_NODE, 1}};
    struct raft_entry *entries[] = {
        sim_change_v2_entry(&(struct conf_change_v2){
            .changes = swap, .n_changes = ARRAY_LEN(swap)}),
        sim_change_v2_entry(&(struct conf_change_v2){0}),
    };
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    const char *why;

    (void)state;
    sim_feed(c, &entries[0], 1);
    sim_expect_running(c, 1);
    sim_feed(c, &entries[1], 1);
    sim_expect_running(c, 1); /* until two of the other three know */
    raftnode_report_removed(c->nodes[1].node, 2);
    raftnode_report_removed(c->nodes[1].node, 4);
    assert_int_equal(raftnode_condition(c->nodes[1].node, &why),
                     RAFTNODE_REMOVED);
    sim_cluster_release(c);
}

/* --- the answer to a change --- */

/* Each was right when it was checked; what the log made of it counts. */
static void test_change_overtaken_by_another_is_not_called_done(void **state)
{
    static const struct {
        const char *name;
        enum request_kind kind;
        const char *urls[2]; /* at node 1, at node 2 */
        int outcomes[2];     /* of the first and the second in the log */
    } cases[] = {
        {"two addresses",
         REQUEST_ADD_MEMBER,
         {"http://10.9.9.1:1", "http://10.9.9.2:1"},
         {0, ERR_MEMBER_URL_DIFFERS}},
        {"one address twice",
         REQUEST_ADD_MEMBER,
         {"http://10.9.9.1:1", "http://10.9.9.1:1"},
         {0, 0}},
        {"removed twice",
         REQUEST_REMOVE_MEMBER,
         {NULL, NULL},
         {0, ERR_NO_MEMBER}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
        struct sim_op *ops[2];
        bool first;

        print_message("  %s\n", cases[i].name);
        assert_int_not_equal(sim_elect(c), 0);
        if (cases[i].kind == REQUEST_REMOVE_MEMBER) {
            assert_int_equal(sim_member_now(c, 1, REQUEST_ADD_MEMBER, 4), 0);
        }
        for (uint64_t at = 1; at <= 2; at++) {
            ops[at - 1] =
                sim_member(c, at, cases[i].kind, 4, cases[i].urls[at - 1]);
        }
        sim_run(c, 10);
        assert_true(ops[0]->done);
        assert_true(ops[1]->done);
        first = ops[0]->rc != cases[i].outcomes[0];
        assert_int_equal(ops[first]->rc, cases[i].outcomes[0]);
        assert_int_equal(ops[!first]->rc, cases[i].outcomes[1]);
        for (uint64_t at = 1; at <= 3; at++) {
            if (cases[i].kind == REQUEST_ADD_MEMBER) {
                assert_string_equal(sim_member_url(c, at, 4),
                                    cases[i].urls[first]);
            }
            sim_expect_running(c, at);
        }
        sim_op_free(c, ops[0]);
        sim_op_free(c, ops[1]);
        sim_cluster_release(c);
    }
}

static void test_second_of_two_removals_would_leave_no_voter(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 2, .seed = 3});
    uint64_t leader = sim_elect(c);
    struct sim_op *ops[2];

    (void)state;
    ops[0] = sim_member(c, leader, REQUEST_REMOVE_MEMBER, 3 - leader, NULL);
    ops[1] = sim_member(c, leader, REQUEST_REMOVE_MEMBER, leader, NULL);
    sim_run(c, 5);
    assert_true(ops[0]->done);
    assert_int_equal(ops[0]->rc, 0);
    assert_true(ops[1]->done);
    assert_int_equal(ops[1]->rc, ERR_LAST_VOTER);
    sim_expect_running(c, leader);
    sim_op_free(c, ops[0]);
    sim_op_free(c, ops[1]);
    sim_cluster_release(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_senseless_change_is_a_noop_with_a_warning),
        cmocka_unit_test(test_senseless_change_v2_is_a_noop),
        cmocka_unit_test(test_senseless_change_while_joint_is_a_noop),
        cmocka_unit_test(test_two_members_that_remove_each_other),
        cmocka_unit_test(test_joiner_does_not_revive_a_senseless_change),
        cmocka_unit_test(test_changes_reach_members_and_transport),
        cmocka_unit_test(test_founders_have_the_addresses_of_the_list),
        cmocka_unit_test(test_change_of_several_members_at_once),
        cmocka_unit_test(
            test_replaced_voter_leaves_with_the_joint_configuration),
        cmocka_unit_test(test_node_that_is_replaced_stops),
        cmocka_unit_test(test_change_overtaken_by_another_is_not_called_done),
        cmocka_unit_test(test_second_of_two_removals_would_leave_no_voter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
