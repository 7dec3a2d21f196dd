/* Goal: every request ends once, with an outcome that is true: what is called
 * not done is in no log, ever [reliability I20]. Method: clients of nodes of a
 * cluster in one process, whose requests are stopped in each stage. */

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/kv/command.h"
#include "src/kv/kvstore.h"
#include "src/raft/entry_queue.h"
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

/* Requests give up before an election timeout: a leader that is cut off does
 * not know it yet. */
#define PATIENCE 4

static struct sim_cluster *impatient(void)
{
    return begin(&(struct sim_options){
        .n = 3, .seed = 7, .request_timeout_ticks = PATIENCE});
}

static uint64_t other_than(uint64_t id)
{
    return id == 1 ? 2 : 1;
}

static struct bytes text(const char *s)
{
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

/* Whether a PUT of this value is in the log of any node that is up. */
static bool in_a_log(const struct sim_cluster *c, const char *value)
{
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        const struct raftnode *node = c->nodes[id].node;
        size_t n = node == NULL ? 0 : entry_queue_len(node->log.ents);

        for (size_t i = 0; i < n; i++) {
            const struct raft_entry *e = entry_queue_at(node->log.ents, i);
            struct kv_command cmd;

            if (e->type == RAFT_ENTRY_NORMAL && e->len > 0 &&
                kv_command_decode(raft_entry_data(e), &cmd) == 0 &&
                cmd.value.len == strlen(value) &&
                memcmp(cmd.value.data, value, cmd.value.len) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void expect_outcome(struct sim_cluster *c, struct sim_op *op, int rc)
{
    assert_true(op->done);
    if (op->rc != rc) {
        fail_msg("outcome %d, %s", op->rc, op->rc < 0 ? err_str(op->rc) : "");
    }
    sim_op_free(c, op);
}

/* --- entries that do not get through, while heartbeats do --- */

static struct {
    struct raftnode_peers real;
    uint64_t to; /* 0: to anybody */
} blocked;

static void send_but_entries(void *ctx, const struct raft_message *messages,
                             size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        if (messages[i].type != RAFT_MSG_APP ||
            (blocked.to != 0 && messages[i].to != blocked.to)) {
            blocked.real.send(blocked.real.ctx, &messages[i], 1);
        }
    }
}

static void block_entries(struct raftnode *leader, uint64_t to)
{
    blocked.real = leader->peers;
    blocked.to = to;
    leader->peers.send = send_but_entries;
}

/* --- the deadline, stage by stage --- */

static void test_without_a_leader_nothing_happened(void **state)
{
    struct sim_cluster *c = impatient();
    struct sim_op *ops[] = {
        sim_put(c, 1, "/a", "never"),
        sim_get(c, 1, "/a"),
        sim_member(c, 1, REQUEST_ADD_MEMBER, 4, c->nodes[4].url),
        sim_member(c, 1, REQUEST_REMOVE_MEMBER, 2, NULL),
    };

    (void)state;
    sim_isolate(c, 1, true);
    assert_int_equal(raftnode_pending(c->nodes[1].node), ARRAY_LEN(ops));
    sim_run(c, PATIENCE - 1);
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        assert_false(ops[i]->done);
    }
    sim_run(c, 1);
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        expect_outcome(c, ops[i], ERR_NO_LEADER);
    }
    assert_int_equal(raftnode_pending(c->nodes[1].node), 0);
    sim_isolate(c, 1, false);
    assert_int_not_equal(sim_elect(c), 0);
    sim_run(c, 5);
    assert_false(in_a_log(c, "never"));
    sim_cluster_release(c);
}

/* In a log, or on its way to one: nobody knows. */
static void test_put_that_was_proposed_is_unknown(void **state)
{
    struct sim_cluster *c = impatient();
    uint64_t leader = sim_elect(c);
    struct sim_op *ops[2];

    (void)state;
    sim_settle(c);
    sim_isolate(c, leader, true);
    ops[0] = sim_put(c, leader, "/a", "leader's");
    ops[1] = sim_put(c, other_than(leader), "/a", "follower's");
    sim_settle(c);
    assert_int_equal(ops[0]->req.stage, REQUEST_PROPOSED);
    assert_int_equal(ops[1]->req.stage, REQUEST_PROPOSED);
    sim_run(c, PATIENCE);
    expect_outcome(c, ops[0], ERR_OUTCOME_UNKNOWN);
    expect_outcome(c, ops[1], ERR_OUTCOME_UNKNOWN);
    sim_cluster_release(c);
}

/* And unknown it is: it may well happen after that. */
static void test_unknown_put_may_still_happen(void **state)
{
    struct sim_cluster *c = impatient();
    uint64_t leader = sim_elect(c);
    struct sim_op *op;

    (void)state;
    sim_settle(c);
    block_entries(c->nodes[leader].node, 0);
    op = sim_put(c, leader, "/a", "late");
    sim_run(c, PATIENCE);
    expect_outcome(c, op, ERR_OUTCOME_UNKNOWN);
    c->nodes[leader].node->peers = blocked.real;
    sim_run(c, 20);
    sim_expect(c, other_than(leader), "/a", "late");
    sim_cluster_release(c);
}

/* The disk of the leader is slow: what came in meanwhile is with raft already,
 * and goes to disk with the next write. */
static void test_put_that_waited_for_the_disk_is_unknown(void **state)
{
    struct sim_cluster *c =
        begin(&(struct sim_options){.n = 1,
                                    .seed = 1,
                                    .late_writes = true,
                                    .request_timeout_ticks = PATIENCE});
    struct raftnode *node = c->nodes[1].node;
    struct sim_op *first;
    struct sim_op *second;

    (void)state;
    assert_int_equal(sim_elect(c), 1);
    sim_settle(c);
    first = sim_put(c, 1, "/a", "first");
    raftnode_process(node);
    assert_int_equal(node->phase, PHASE_WRITING);
    second = sim_put(c, 1, "/a", "second");
    raftnode_process(node);
    assert_int_equal(second->req.stage, REQUEST_PROPOSED);
    for (unsigned i = 0; i < PATIENCE; i++) {
        raftnode_tick(node);
    }
    expect_outcome(c, first, ERR_OUTCOME_UNKNOWN);
    expect_outcome(c, second, ERR_OUTCOME_UNKNOWN);
    sim_run(c, 3);
    assert_true(in_a_log(c, "first"));
    sim_expect(c, 1, "/a", "second");
    sim_cluster_release(c);
}

/* Held back, each kind by itself, they wait in the node; their time runs. */
static void test_held_back_requests_are_sent_later(void **state)
{
    struct sim_cluster *c = impatient();
    uint64_t leader = sim_elect(c);
    struct raftnode *node = c->nodes[leader].node;
    struct sim_op *put;
    struct sim_op *get;
    struct sim_op *late;

    (void)state;
    sim_settle(c);
    raftnode_hold(node, true, true);
    put = sim_put(c, leader, "/a", "held");
    get = sim_get(c, leader, "/a");
    sim_settle(c);
    assert_int_equal(put->req.stage, REQUEST_WAITING);
    assert_int_equal(get->req.stage, REQUEST_READ_QUEUED);
    assert_int_equal(raftnode_puts(node).waiting, 1);
    assert_int_equal(raftnode_reads(node).waiting, 1);
    raftnode_hold(node, true, false);
    sim_settle(c);
    expect_outcome(c, get, ERR_NOT_FOUND);
    assert_int_equal(put->req.stage, REQUEST_WAITING);
    raftnode_hold(node, false, true);
    late = sim_get(c, leader, "/a");
    sim_settle(c);
    expect_outcome(c, put, 0);
    assert_int_equal(late->req.stage, REQUEST_READ_QUEUED);
    sim_run(c, PATIENCE);
    expect_outcome(c, late, ERR_TIMED_OUT);
    sim_cluster_release(c);
}

static void test_read_without_a_majority_times_out(void **state)
{
    struct sim_cluster *c = impatient();
    uint64_t leader = sim_elect(c);
    uint64_t follower = other_than(leader);
    struct sim_op *ops[3];

    (void)state;
    sim_settle(c);
    sim_isolate(c, leader, true);
    ops[0] = sim_get(c, leader, "/a");
    ops[1] = sim_get(c, follower, "/a");
    ops[2] = sim_member(c, leader, REQUEST_ADD_MEMBER, 4, c->nodes[4].url);
    sim_settle(c);
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        assert_int_equal(ops[i]->req.stage, REQUEST_READ_ASKED);
    }
    sim_run(c, PATIENCE);
    expect_outcome(c, ops[0], ERR_TIMED_OUT);
    expect_outcome(c, ops[1], ERR_TIMED_OUT);
    expect_outcome(c, ops[2], ERR_PROPOSAL_DROPPED); /* it was never proposed */
    sim_cluster_release(c);
}

/* The answer is there, the entries up to it are not. */
static void test_confirmed_read_waits_for_its_index(void **state)
{
    struct sim_cluster *c = impatient();
    uint64_t leader = sim_elect(c);
    uint64_t follower = other_than(leader);
    struct sim_op *get;

    (void)state;
    sim_settle(c);
    block_entries(c->nodes[leader].node, follower);
    assert_int_equal(sim_put_now(c, leader, "/a", "1"), 0);
    get = sim_get(c, follower, "/a");
    sim_settle(c);
    assert_int_equal(get->req.stage, REQUEST_READ_CONFIRMED);
    sim_run(c, PATIENCE);
    expect_outcome(c, get, ERR_TIMED_OUT);
    /* Another one is served as soon as they come. */
    get = sim_get(c, follower, "/a");
    sim_settle(c);
    assert_int_equal(get->req.stage, REQUEST_READ_CONFIRMED);
    c->nodes[leader].node->peers = blocked.real;
    sim_run(c, 2);
    assert_true(get->done);
    assert_int_equal(get->value_len, 1);
    expect_outcome(c, get, 0);
    sim_cluster_release(c);
}

/* A change that was proposed, and one that waits for it. */
static void test_membership_changes_by_stage(void **state)
{
    struct sim_cluster *c = impatient();
    uint64_t leader = sim_elect(c);
    struct sim_op *ops[2];

    (void)state;
    sim_settle(c);
    block_entries(c->nodes[leader].node, 0);
    for (uint64_t i = 0; i < ARRAY_LEN(ops); i++) {
        ops[i] = sim_member(c, leader, REQUEST_ADD_MEMBER, 4 + i,
                            c->nodes[4 + i].url);
    }
    sim_settle(c);
    assert_int_equal(ops[0]->req.stage, REQUEST_PROPOSED);
    assert_int_equal(ops[1]->req.stage, REQUEST_WAITING);
    sim_run(c, PATIENCE);
    expect_outcome(c, ops[0], ERR_OUTCOME_UNKNOWN);
    expect_outcome(c, ops[1], ERR_PROPOSAL_DROPPED);
    c->nodes[leader].node->peers = blocked.real;
    sim_run(c, 20);
    assert_true(kvstore_has_member(raftnode_store(c->nodes[leader].node), 4));
    assert_false(kvstore_has_member(raftnode_store(c->nodes[leader].node), 5));
    sim_cluster_release(c);
}

/* --- refusals --- */

/* While leadership is handed over the leader takes no proposals. */
static void test_refused_by_raft_is_said_at_once(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    uint64_t leader = sim_elect(c);
    struct sim_op *op;

    (void)state;
    sim_run(c, 2);
    block_entries(c->nodes[leader].node, 0);
    rawnode_transfer_leader(c->nodes[leader].node->raw, other_than(leader));
    op = sim_put(c, leader, "/a", "refused");
    raftnode_process(c->nodes[leader].node);
    expect_outcome(c, op, ERR_PROPOSAL_DROPPED);
    sim_run(c, 30);
    assert_false(in_a_log(c, "refused"));
    sim_cluster_release(c);
}

/* A request whose callbacks are counted. */
struct counted {
    struct request req;
    unsigned calls;
    int rc;
    struct raftnode *node;
    struct counted *cancels; /* by the callback */
    struct counted *submits;
};

static void on_counted(struct request *req, int rc, struct bytes value)
{
    struct counted *x = container_of(req, struct counted, req);

    (void)value;
    x->calls++;
    x->rc = rc;
    if (x->cancels != NULL) {
        raftnode_cancel(x->node, &x->cancels->req);
    }
    if (x->submits != NULL) {
        raftnode_submit(x->node, &x->submits->req);
    }
}

static void init_counted_put(struct counted *x, struct raftnode *node,
                             const char *value, bool respond_async)
{
    *x = (struct counted){.node = node};
    raftnode_init_put(node, &x->req, text("/c"), text(value), respond_async,
                      on_counted);
}

static void init_counted_get(struct counted *x, struct raftnode *node)
{
    *x = (struct counted){.node = node};
    raftnode_init_get(node, &x->req, text("/c"), on_counted);
}

static void test_async_is_answered_when_handed_over(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    uint64_t leader = sim_elect(c);
    struct raftnode *node = c->nodes[leader].node;
    struct counted x;
    struct counted refused;

    (void)state;
    sim_settle(c);
    sim_isolate(c, leader, true);
    init_counted_put(&x, node, "optimist", true);
    raftnode_submit(node, &x.req);
    assert_int_equal(x.calls, 0); /* not before raft has it */
    raftnode_process(node);
    assert_int_equal(x.calls, 1);
    assert_int_equal(x.rc, 0);
    assert_false(kvstore_get(node->store, text("/c"), &(struct bytes){0}));
    /* What raft refuses is not handed over. */
    rawnode_transfer_leader(node->raw, other_than(leader));
    init_counted_put(&refused, node, "refused", true);
    raftnode_submit(node, &refused.req);
    raftnode_process(node);
    assert_int_equal(refused.calls, 1);
    assert_int_equal(refused.rc, ERR_PROPOSAL_DROPPED);
    assert_true(in_a_log(c, "optimist"));
    assert_false(in_a_log(c, "refused"));
    sim_cluster_release(c);
}

/* As if as many as may wait did. */
static void test_too_many_are_refused(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 1, .seed = 1});
    struct raftnode *node = c->nodes[1].node;
    struct counted put;
    struct counted get;
    struct sim_op *member;

    (void)state;
    assert_int_equal(sim_elect(c), 1);
    node->proposals.n += PENDING_PROPOSALS_MAX;
    node->reads.n += PENDING_READS_MAX;
    init_counted_put(&put, node, "too many", false);
    init_counted_get(&get, node);
    raftnode_submit(node, &put.req);
    raftnode_submit(node, &get.req);
    node->reads.n -= PENDING_READS_MAX;
    assert_int_equal(put.calls, 1);
    assert_int_equal(put.rc, ERR_OVERLOADED);
    assert_int_equal(get.calls, 1);
    assert_int_equal(get.rc, ERR_OVERLOADED);
    /* A membership change asks as far as its read. */
    member = sim_member(c, 1, REQUEST_ADD_MEMBER, 4, c->nodes[4].url);
    sim_settle(c);
    expect_outcome(c, member, ERR_OVERLOADED);
    node->proposals.n -= PENDING_PROPOSALS_MAX;
    sim_run(c, 2);
    assert_false(in_a_log(c, "too many"));
    assert_false(kvstore_has_member(node->store, 4));
    sim_cluster_release(c);
}

/* --- members, against those of now --- */

static void test_member_without_an_address_can_be_given_one(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 1, .seed = 1});
    struct raftnode *node = c->nodes[1].node;
    struct conf_change learner = {.type = CONF_CHANGE_ADD_LEARNER_NODE,
                                  .node_id = 4};
    struct sim_op *op;

    (void)state;
    assert_int_equal(sim_elect(c), 1);
    assert_int_equal(rawnode_propose_conf_change(node->raw, &learner), 0);
    sim_settle(c);
    assert_null(kvstore_member_url(node->store, 4));
    /* Other members than voters do not make it any safer to go. */
    op = sim_member(c, 1, REQUEST_REMOVE_MEMBER, 1, NULL);
    sim_settle(c);
    expect_outcome(c, op, ERR_LAST_VOTER);
    op = sim_member(c, 1, REQUEST_ADD_MEMBER, 4, c->nodes[4].url);
    sim_settle(c);
    expect_outcome(c, op, 0);
    assert_string_equal(kvstore_member_url(node->store, 4), c->nodes[4].url);
    sim_cluster_release(c);
}

static void test_learner_may_leave_the_only_voter(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 1, .seed = 1});
    struct raftnode *node = c->nodes[1].node;
    struct conf_change learner = {.type = CONF_CHANGE_ADD_LEARNER_NODE,
                                  .node_id = 4};
    struct sim_op *op;

    (void)state;
    assert_int_equal(sim_elect(c), 1);
    assert_int_equal(rawnode_propose_conf_change(node->raw, &learner), 0);
    sim_settle(c);
    op = sim_member(c, 1, REQUEST_REMOVE_MEMBER, 4, NULL);
    sim_settle(c);
    expect_outcome(c, op, 0);
    assert_int_equal(kvstore_n_members(node->store), 1);
    /* And does not come back. */
    op = sim_member(c, 1, REQUEST_ADD_MEMBER, 4, c->nodes[4].url);
    sim_settle(c);
    expect_outcome(c, op, ERR_MEMBER_REMOVED);
    sim_cluster_release(c);
}

/* Not the last one: whichever comes first in the list. */
static void test_any_of_several_voters_may_leave(void **state)
{
    (void)state;
    for (uint64_t gone = 1; gone <= 3; gone++) {
        struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
        uint64_t at = 1 + gone % 3;

        assert_int_not_equal(sim_elect(c), 0);
        assert_int_equal(sim_member_now(c, at, REQUEST_REMOVE_MEMBER, gone), 0);
        assert_int_equal(kvstore_n_members(raftnode_store(c->nodes[at].node)),
                         2);
        sim_cluster_release(c);
    }
}

static void test_same_member_again_makes_no_entry(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 1, .seed = 1});
    struct raftnode *node = c->nodes[1].node;
    struct sim_op *op;
    uint64_t applied;

    (void)state;
    assert_int_equal(sim_elect(c), 1);
    sim_settle(c);
    applied = node->applied;
    op = sim_member(c, 1, REQUEST_ADD_MEMBER, 1, c->nodes[1].url);
    sim_settle(c);
    expect_outcome(c, op, 0);
    op = sim_member(c, 1, REQUEST_ADD_MEMBER, 1, "http://10.9.9.9:1");
    sim_settle(c);
    expect_outcome(c, op, ERR_MEMBER_URL_DIFFERS);
    op = sim_member(c, 1, REQUEST_REMOVE_MEMBER, 7, NULL);
    sim_settle(c);
    expect_outcome(c, op, ERR_NO_MEMBER);
    assert_int_equal(node->applied, applied);
    sim_cluster_release(c);
}

/* --- reads --- */

static void test_get_tells_empty_from_absent(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 1, .seed = 1});
    struct sim_op *op;

    (void)state;
    assert_int_equal(sim_elect(c), 1);
    assert_int_equal(sim_put_now(c, 1, "/empty", ""), 0);
    sim_expect(c, 1, "/empty", "");
    op = sim_get(c, 1, "/none");
    sim_settle(c);
    expect_outcome(c, op, ERR_NOT_FOUND);
    sim_cluster_release(c);
}

/* For busy_poll.h. */
static void test_others_are_awaited_while_they_owe_answers(void **state)
{
    struct sim_cluster *c = impatient();
    uint64_t id = sim_elect(c);
    struct raftnode *leader = c->nodes[id].node;
    struct raftnode *follower = c->nodes[other_than(id)].node;
    struct sim_op *op;

    (void)state;
    sim_settle(c);
    assert_false(raftnode_awaits_others(leader));
    assert_false(raftnode_awaits_others(follower));
    for (int i = 0; i < 2; i++) {
        sim_isolate(c, id, true);
        op = i == 0 ? sim_put(c, id, "/a", "1") : sim_get(c, id, "/a");
        sim_settle(c);
        assert_true(raftnode_awaits_others(leader));
        assert_false(raftnode_awaits_others(follower));
        sim_isolate(c, id, false);
        sim_run(c, 2);
        assert_true(op->done);
        assert_int_equal(op->rc, 0);
        assert_false(raftnode_awaits_others(leader));
        assert_false(raftnode_awaits_others(follower));
        sim_op_free(c, op);
    }
    sim_cluster_release(c);
}

/* --- cancelling --- */

static void test_cancelled_in_each_stage_calls_nobody(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    uint64_t leader = sim_elect(c);
    struct raftnode *node = c->nodes[leader].node;
    struct counted puts[3];
    struct counted asks[2];

    (void)state;
    sim_settle(c);
    init_counted_put(&puts[0], node, "not submitted", false);
    raftnode_cancel(node, &puts[0].req);
    init_counted_put(&puts[1], node, "waiting", false);
    raftnode_submit(node, &puts[1].req);
    raftnode_cancel(node, &puts[1].req);
    init_counted_get(&asks[0], node);
    raftnode_submit(node, &asks[0].req);
    raftnode_cancel(node, &asks[0].req);
    init_counted_put(&puts[2], node, "proposed", false);
    init_counted_get(&asks[1], node);
    raftnode_submit(node, &puts[2].req);
    raftnode_submit(node, &asks[1].req);
    raftnode_process(node);
    assert_int_equal(puts[2].req.stage, REQUEST_PROPOSED);
    assert_int_equal(asks[1].req.stage, REQUEST_READ_ASKED);
    raftnode_cancel(node, &puts[2].req);
    raftnode_cancel(node, &asks[1].req);
    assert_int_equal(raftnode_pending(node), 0);
    sim_run(c, 5);
    for (size_t i = 0; i < ARRAY_LEN(puts); i++) {
        assert_int_equal(puts[i].calls, 0);
    }
    assert_int_equal(asks[0].calls, 0);
    assert_int_equal(asks[1].calls, 0);
    assert_false(in_a_log(c, "waiting"));
    sim_expect(c, other_than(leader), "/c", "proposed"); /* all the same */
    sim_cluster_release(c);
}

/* --- stopping --- */

static void test_drain_and_stop_by_stage(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    uint64_t leader = sim_elect(c);
    struct raftnode *node = c->nodes[leader].node;
    struct sim_op *proposed;
    struct sim_op *asked;
    struct sim_op *waiting;

    (void)state;
    sim_settle(c);
    sim_isolate(c, leader, true);
    proposed = sim_put(c, leader, "/a", "proposed");
    asked = sim_get(c, leader, "/a");
    sim_settle(c);
    waiting = sim_put(c, leader, "/a", "waiting");
    raftnode_drain(node);
    expect_outcome(c, asked, ERR_STOPPED);
    expect_outcome(c, waiting, ERR_STOPPED);
    assert_false(proposed->done);
    assert_int_equal(raftnode_pending(node), 1);
    waiting = sim_put(c, leader, "/a", "too late");
    expect_outcome(c, waiting, ERR_STOPPED);
    raftnode_stop(node);
    expect_outcome(c, proposed, ERR_OUTCOME_UNKNOWN);
    assert_int_equal(raftnode_pending(node), 0);
    sim_isolate(c, leader, false);
    sim_run(c, 30);
    assert_false(in_a_log(c, "waiting"));
    assert_false(in_a_log(c, "too late"));
    sim_cluster_release(c);
}

static void test_a_node_that_ended_takes_nothing(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    struct sim_op *waiting = sim_put(c, 1, "/a", "waiting");
    struct sim_op *op;

    (void)state;
    raftnode_fail(c->nodes[1].node, RAFTNODE_REMOVED, "removed");
    op = sim_get(c, 1, "/a");
    expect_outcome(c, op, ERR_SELF_REMOVED);
    raftnode_fail(c->nodes[1].node, RAFTNODE_FAILED, "failed");
    op = sim_put(c, 1, "/a", "1");
    expect_outcome(c, op, ERR_STOPPED);
    /* Those it had end in their time, though it does nothing any more. */
    sim_run(c, 50);
    assert_true(waiting->done);
    assert_int_not_equal(waiting->rc, 0);
    assert_int_not_equal(waiting->rc, ERR_OUTCOME_UNKNOWN);
    sim_op_free(c, waiting);
    assert_false(in_a_log(c, "waiting"));
    sim_cluster_release(c);
}

/* --- callbacks that call back --- */

/* An answer that cannot be written closes its connection, and cancels what else
 * came in on it. */
static void test_callback_that_cancels_another(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    struct raftnode *node = c->nodes[1].node;
    struct counted xs[4];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(xs); i++) {
        init_counted_get(&xs[i], node);
        raftnode_submit(node, &xs[i].req);
    }
    xs[0].cancels = &xs[1];
    xs[2].cancels = &xs[3];
    raftnode_drain(node);
    for (size_t i = 0; i < ARRAY_LEN(xs); i++) {
        assert_int_equal(xs[i].calls, 1 - i % 2);
    }
    assert_int_equal(raftnode_pending(node), 0);
    sim_cluster_release(c);
}

/* The next request of a connection is handed in from inside the answer to the
 * one before. */
static void test_callback_that_submits_another(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 1, .seed = 1});
    struct raftnode *node = c->nodes[1].node;
    struct counted xs[4];

    (void)state;
    assert_int_equal(sim_elect(c), 1);
    for (size_t i = 0; i < ARRAY_LEN(xs); i++) {
        if (i % 2 == 0) {
            init_counted_put(&xs[i], node, "v", false);
        } else {
            init_counted_get(&xs[i], node);
        }
        if (i > 0) {
            xs[i - 1].submits = &xs[i];
        }
    }
    raftnode_submit(node, &xs[0].req);
    sim_settle(c);
    for (size_t i = 0; i < ARRAY_LEN(xs); i++) {
        assert_int_equal(xs[i].calls, 1);
        assert_int_equal(xs[i].rc, 0);
    }
    /* Also where it is refused on the spot. */
    init_counted_get(&xs[0], node);
    init_counted_get(&xs[1], node);
    xs[0].submits = &xs[1];
    raftnode_submit(node, &xs[0].req);
    raftnode_drain(node);
    assert_int_equal(xs[0].rc, ERR_STOPPED);
    assert_int_equal(xs[1].calls, 1);
    assert_int_equal(xs[1].rc, ERR_STOPPED);
    sim_cluster_release(c);
}

/* --- what is called not done is in no log [reliability I20] --- */

#define CHAOS_PUTS 120

static bool is_not_done(int rc)
{
    return rc == ERR_NO_LEADER || rc == ERR_PROPOSAL_DROPPED ||
           rc == ERR_OVERLOADED || rc == ERR_STOPPED || rc == ERR_SELF_REMOVED;
}

/* Cut off, mend, crash, start, hand over: one of them, or none. */
static void disturb(struct sim_cluster *c, struct rng *rng)
{
    uint64_t id = 1 + rng_next(rng) % 3;

    switch (rng_next(rng) % 8) {
    case 0:
        sim_isolate(c, id, true);
        break;
    case 1:
        for (uint64_t i = 1; i <= 3; i++) {
            sim_isolate(c, i, false);
        }
        break;
    case 2:
        if (c->nodes[id].node != NULL) {
            sim_crash(c, id, SIM_CRASH_DROP);
        }
        break;
    case 3:
    case 4:
        if (c->nodes[id].node == NULL) {
            assert_int_equal(sim_start(c, id, false, &(struct errmsg){{0}}), 0);
        }
        break;
    case 5:
        if (c->nodes[id].node != NULL) {
            raftnode_transfer_leadership(c->nodes[id].node);
        }
        break;
    default:
        break;
    }
}

static unsigned run_chaos(uint64_t seed)
{
    struct sim_cluster *c =
        begin(&(struct sim_options){.n = 3,
                                    .seed = seed,
                                    .request_timeout_ticks = 15,
                                    .late_writes = seed % 2 == 0});
    struct sim_op *ops[CHAOS_PUTS] = {NULL};
    unsigned not_done = 0;
    struct rng rng;

    rng_seed(&rng, seed);
    for (unsigned i = 0; i < CHAOS_PUTS; i++) {
        uint64_t id = 1 + rng_next(&rng) % 3;
        char value[16];

        (void)snprintf(value, sizeof(value), "value %u", i);
        if (c->nodes[id].node != NULL) {
            ops[i] = sim_put(c, id, "/chaos", value);
        }
        disturb(c, &rng);
        sim_run(c, 1 + (unsigned)(rng_next(&rng) % 4));
    }
    for (uint64_t id = 1; id <= 3; id++) {
        sim_isolate(c, id, false);
        if (c->nodes[id].node == NULL) {
            assert_int_equal(sim_start(c, id, false, &(struct errmsg){{0}}), 0);
        }
    }
    sim_run(c, 60);
    for (unsigned i = 0; i < CHAOS_PUTS; i++) {
        char value[16];

        if (ops[i] == NULL) {
            continue;
        }
        (void)snprintf(value, sizeof(value), "value %u", i);
        assert_true(ops[i]->done);
        if (is_not_done(ops[i]->rc)) {
            not_done++;
            if (in_a_log(c, value)) {
                fail_msg("seed %d: %s was said, and %s is in a log", (int)seed,
                         err_str(ops[i]->rc), value);
            }
        } else if (ops[i]->rc == 0) {
            assert_true(in_a_log(c, value));
        } else {
            assert_int_equal(ops[i]->rc, ERR_OUTCOME_UNKNOWN);
        }
        sim_op_free(c, ops[i]);
    }
    sim_expect_equal_maps(c);
    sim_cluster_release(c);
    return not_done;
}

static void test_what_is_called_not_done_is_in_no_log(void **state)
{
    unsigned not_done = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        not_done += run_chaos(seed);
    }
    assert_true(not_done > 200); /* or the test says nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_leader_nothing_happened),
        cmocka_unit_test(test_put_that_was_proposed_is_unknown),
        cmocka_unit_test(test_unknown_put_may_still_happen),
        cmocka_unit_test(test_put_that_waited_for_the_disk_is_unknown),
        cmocka_unit_test(test_held_back_requests_are_sent_later),
        cmocka_unit_test(test_read_without_a_majority_times_out),
        cmocka_unit_test(test_confirmed_read_waits_for_its_index),
        cmocka_unit_test(test_membership_changes_by_stage),
        cmocka_unit_test(test_refused_by_raft_is_said_at_once),
        cmocka_unit_test(test_async_is_answered_when_handed_over),
        cmocka_unit_test(test_too_many_are_refused),
        cmocka_unit_test(test_member_without_an_address_can_be_given_one),
        cmocka_unit_test(test_learner_may_leave_the_only_voter),
        cmocka_unit_test(test_any_of_several_voters_may_leave),
        cmocka_unit_test(test_same_member_again_makes_no_entry),
        cmocka_unit_test(test_get_tells_empty_from_absent),
        cmocka_unit_test(test_others_are_awaited_while_they_owe_answers),
        cmocka_unit_test(test_cancelled_in_each_stage_calls_nobody),
        cmocka_unit_test(test_drain_and_stop_by_stage),
        cmocka_unit_test(test_a_node_that_ended_takes_nothing),
        cmocka_unit_test(test_callback_that_submits_another),
        cmocka_unit_test(test_callback_that_cancels_another),
        cmocka_unit_test(test_what_is_called_not_done_is_in_no_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
