/* Calls that wait: what etcd's Node does with blocked goroutines.
 *
 * Goal: the cases of etcd-io/raft's node_test.go about proposals that block,
 * are cancelled or meet a node that stops; here a request waits and its
 * callback tells the outcome. Method: requests at nodes of a cluster in one
 * process that has no leader yet. */

#include <string.h>

#include "tests/lib/cmocka.h"
#include "tests/lib/sim_cluster.h"

static struct sim_cluster cluster;

/* Three nodes of which none has campaigned. */
static struct sim_cluster *leaderless(void)
{
    sim_cluster_init(&cluster, &(struct sim_options){.n = 3, .seed = 7});
    sim_start_all(&cluster);
    return &cluster;
}

static void expect_missing(struct sim_cluster *c, const char *key)
{
    struct sim_op *op = sim_get(c, 2, key);

    sim_run(c, 5);
    assert_true(op->done);
    assert_int_equal(op->rc, ERR_NOT_FOUND);
    sim_op_free(c, op);
}

/* What waits for a leader ends when the node stops, or when its client gives
 * it up, and has not happened then. */
static void test_node_step_unblock(void **state)
{
    struct sim_cluster *c = leaderless();
    struct raftnode *node = c->nodes[1].node;
    struct sim_op *given_up = sim_put(c, 2, "/a", "1");
    struct sim_op *stopped = sim_put(c, 1, "/b", "1");

    (void)state;
    sim_settle(c);
    assert_false(given_up->done);
    assert_false(stopped->done);
    raftnode_cancel(c->nodes[2].node, &given_up->req);
    assert_int_equal(raftnode_pending(c->nodes[2].node), 0);
    raftnode_stop(node);
    assert_true(stopped->done);
    assert_int_equal(stopped->rc, ERR_STOPPED);

    assert_int_not_equal(sim_elect(c), 0);
    sim_run(c, 3);
    assert_false(given_up->done); /* a callback is not owed any more */
    expect_missing(c, "/a");
    expect_missing(c, "/b");
    sim_op_free(c, given_up);
    sim_op_free(c, stopped);
    sim_cluster_release(c);
}

/* A proposal waits for a leader to be known, and is made then. */
static void test_block_proposal(void **state)
{
    struct sim_cluster *c = leaderless();
    struct sim_op *put = sim_put(c, 1, "/a", "1");

    (void)state;
    sim_settle(c);
    assert_int_equal(raftnode_leader(c->nodes[1].node), RAFT_NONE);
    assert_false(put->done);
    assert_int_equal(raftnode_pending(c->nodes[1].node), 1);
    assert_int_not_equal(sim_elect(c), 0);
    sim_run(c, 3);
    assert_true(put->done);
    assert_int_equal(put->rc, 0);
    sim_expect(c, 3, "/a", "1");
    sim_op_free(c, put);
    sim_cluster_release(c);
}

/* Stopping ends all that waits, and can be repeated; a look at the node is
 * possible afterwards, a request is not. */
static void test_node_stop(void **state)
{
    struct sim_cluster *c = leaderless();
    struct raftnode *node = c->nodes[1].node;
    struct sim_op *put = sim_put(c, 1, "/a", "1");
    struct sim_op *get = sim_get(c, 1, "/a");
    struct sim_op *late;
    struct raftnode_status st;

    (void)state;
    sim_settle(c);
    assert_int_equal(raftnode_pending(node), 2);
    for (int i = 0; i < 2; i++) {
        raftnode_stop(node);
        assert_int_equal(raftnode_pending(node), 0);
    }
    assert_int_equal(put->rc, ERR_STOPPED);
    assert_int_equal(get->rc, ERR_STOPPED);
    late = sim_put(c, 1, "/a", "2");
    assert_true(late->done);
    assert_int_equal(late->rc, ERR_STOPPED);
    raftnode_get_status(node, &st);
    assert_int_equal(st.raft.id, 1);
    assert_int_equal(st.pending_proposals, 0);
    assert_int_equal(st.pending_reads, 0);
    raftnode_status_release(&st);
    sim_op_free(c, put);
    sim_op_free(c, get);
    sim_op_free(c, late);
    sim_cluster_release(c);
}

static struct {
    enum log_level level;
    char line[256];
} told; /* the last line about a leader */

static void listen_for_leaders(void *ctx, enum log_level level,
                               const char *line)
{
    (void)ctx;
    if (strstr(line, "leader is ") != NULL ||
        strstr(line, "no leader is known") != NULL) {
        told.level = level;
        (void)snprintf(told.line, sizeof(told.line), "%s", line);
    }
}

/* raft-core ND-8: whom the node follows is worth a line, and no warning. */
static void test_leader_changes_are_told(void **state)
{
    struct sim_cluster *c = leaderless();
    uint64_t leader;

    (void)state;
    c->nodes[2].lg = (struct logger){LOG_DEBUG, listen_for_leaders, NULL};
    leader = sim_elect(c);
    assert_int_not_equal(leader, 0);
    assert_non_null(strstr(told.line, leader == 1   ? "leader is 1 at term"
                                      : leader == 2 ? "leader is 2 at term"
                                                    : "leader is 3 at term"));
    assert_int_equal(told.level, LOG_INFO);
    /* Cut off, it does not know one any more. */
    sim_isolate(c, 2, true);
    sim_run(c, 50);
    assert_non_null(strstr(told.line, "no leader is known"));
    assert_int_equal(told.level, LOG_INFO);
    sim_cluster_release(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_step_unblock),
        cmocka_unit_test(test_block_proposal),
        cmocka_unit_test(test_node_stop),
        cmocka_unit_test(test_leader_changes_are_told),
    };

    return cmocka_run_group_tests_name("node_calls", tests, NULL, NULL);
}
