/* Goal: what rests on a write waits for it, what does not leaves at once, and
 * all that waits for the disk becomes one write. Method: node 1 of three, whose
 * writes are done by hand, as a follower of node 2, and what it sends. */

#include "src/base/alloc.h"
#include "src/server/raftnode_internal.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/sim_feed.h"

#define SENT_MAX 64

static struct sim_cluster cluster;
static struct sim_node *machine;
static struct raftnode *node;

/* What left, oldest first. */
static struct {
    uint64_t types[SENT_MAX];
    uint64_t indexes[SENT_MAX];
    size_t n;
} sent;

static void note_sent(void *ctx, const struct raft_message *messages, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        assert_true(sent.n < SENT_MAX);
        sent.types[sent.n] = messages[i].type;
        sent.indexes[sent.n++] = messages[i].index;
    }
}

static size_t sent_of(uint64_t type)
{
    size_t n = 0;

    for (size_t i = 0; i < sent.n; i++) {
        n += sent.types[i] == type;
    }
    return n;
}

/* One that has written down all that its start brought: 3 founding entries. */
static int begin(void **state)
{
    (void)state;
    sim_cluster_init(&cluster, &(struct sim_options){
                                   .n = 3, .seed = 7, .late_writes = true});
    sim_start_all(&cluster);
    machine = &cluster.nodes[1];
    node = machine->node;
    sim_settle(&cluster);
    node->peers.send = note_sent;
    sent.n = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    sim_cluster_release(&cluster);
    return 0;
}

/* `n` entries of `term` from node 2, behind entry `prev` of term `prev_term`,
 * and a turn of the loop. */
static void receive(uint64_t term, uint64_t prev, uint64_t prev_term, size_t n,
                    uint64_t commit)
{
    struct raft_message m = {.type = RAFT_MSG_APP,
                             .to = 1,
                             .from = 2,
                             .term = term,
                             .index = prev,
                             .log_term = prev_term,
                             .commit = commit};

    for (size_t i = 0; i < n; i++) {
        struct raft_entry *e = sim_put_entry("/k", "v", 0);

        e->index = prev + 1 + i;
        e->term = term;
        raft_entries_take(&m.entries, e);
    }
    assert_int_equal(raftnode_step(node, &m), 0);
    raft_message_release(&m);
    raftnode_process(node);
}

/* The write that is under way is done, and the loop turns. */
static void write_now(void)
{
    assert_true(sim_node_write(machine));
    sim_node_tell(machine);
    raftnode_process(node);
}

static void expect_write(uint64_t first, size_t n)
{
    const struct raftnode_write *w = &machine->held.w;

    assert_non_null(machine->held.done);
    assert_int_equal(w->n_entries, n);
    assert_int_equal(w->entries[0]->index, first);
    assert_int_equal(w->entries[n - 1]->index, first + n - 1);
}

static void test_answer_waits_for_its_write(void **state)
{
    (void)state;
    receive(5, 3, 1, 1, 3);
    expect_write(4, 1);
    raftnode_process(node);
    assert_int_equal(sent.n, 0);
    write_now();
    assert_int_equal(sent_of(RAFT_MSG_APP_RESP), 1);
    assert_int_equal(sent.indexes[0], 4);
}

static void test_what_comes_meanwhile_is_one_write(void **state)
{
    (void)state;
    receive(5, 3, 1, 1, 3);
    receive(5, 4, 5, 2, 3);
    receive(5, 6, 5, 1, 3);
    expect_write(4, 1);
    write_now();
    assert_int_equal(sent.n, 1);
    expect_write(5, 3);
    write_now();
    assert_int_equal(sent.n, 3);
    assert_int_equal(sent.indexes[1], 6);
    assert_int_equal(sent.indexes[2], 7);
    assert_null(machine->held.done);
}

/* A later leader overwrites what still waits: it is written all the same, as
 * the one before is told that it is there. */
static void test_what_overwrites_is_a_write_of_its_own(void **state)
{
    (void)state;
    receive(5, 3, 1, 1, 3);
    receive(5, 4, 5, 4, 3); /* 5 to 8 */
    receive(6, 5, 5, 2, 3); /* 6 and 7 */
    write_now();
    expect_write(5, 4);
    assert_int_equal(machine->held.w.hard_state.term, 0);
    write_now();
    assert_int_equal(memory_storage_last_index(&node->log), 8);
    assert_int_equal(sent.indexes[sent.n - 1], 8);
    expect_write(6, 2);
    assert_int_equal(machine->held.w.hard_state.term, 6);
    write_now();
    assert_int_equal(memory_storage_last_index(&node->log), 7);
}

/* The one that is under way cannot be called back: the next one replaces it. */
static void test_write_under_way_is_overwritten_on_disk(void **state)
{
    (void)state;
    receive(5, 3, 1, 4, 3); /* 4 to 7 */
    receive(6, 4, 5, 1, 3); /* 5 */
    write_now();
    assert_int_equal(memory_storage_last_index(&node->log), 7);
    expect_write(5, 1);
    write_now();
    assert_int_equal(memory_storage_last_index(&node->log), 5);
}

static void step_vote(uint64_t type)
{
    struct raft_message m = {.type = type, .to = 1, .from = 2, .term = 2};

    assert_int_equal(raftnode_step(node, &m), 0);
    raftnode_process(node);
}

/* Node 1 leads term 2, and its first entry is not on disk. */
static void elect(void)
{
    for (unsigned i = 0; sent_of(RAFT_MSG_PRE_VOTE) == 0; i++) {
        assert_true(i < 100);
        raftnode_tick(node);
        raftnode_process(node);
    }
    step_vote(RAFT_MSG_PRE_VOTE_RESP);
    assert_non_null(machine->held.done);
    assert_int_equal(sent_of(RAFT_MSG_VOTE), 0);
    write_now();
    assert_int_equal(sent_of(RAFT_MSG_VOTE), 2);
    step_vote(RAFT_MSG_VOTE_RESP);
    assert_true(raftnode_is_leader(node));
    assert_non_null(machine->held.done);
}

/* A leader's entries go to the others while its own disk works; a candidate's
 * requests for votes do not [raft.h]. */
static void test_entries_leave_before_the_write_and_votes_after(void **state)
{
    struct sim_op *op;

    (void)state;
    elect();
    assert_int_equal(sent_of(RAFT_MSG_APP), 2); /* its first entry */
    op = sim_put(&cluster, 1, "/a", "1");
    raftnode_process(node);
    assert_false(op->done);
    sim_op_free(&cluster, op);
}

/* Whose disk hangs is silent after an election timeout, so that another one can
 * lead; it goes on when the disk does [reliability F6]. */
static void test_leader_with_a_stuck_disk_is_silent(void **state)
{
    size_t n;

    (void)state;
    elect();
    n = sent_of(RAFT_MSG_HEARTBEAT);
    for (unsigned i = 0; i < 10; i++) {
        raftnode_tick(node);
        raftnode_process(node);
    }
    assert_true(sent_of(RAFT_MSG_HEARTBEAT) > n);
    assert_false(raftnode_is_stuck(node));
    raftnode_tick(node);
    assert_true(raftnode_is_stuck(node));
    sent.n = 0;
    for (unsigned i = 0; i < 30; i++) {
        raftnode_tick(node);
        raftnode_process(node);
    }
    assert_int_equal(sent.n, 0);
    write_now();
    assert_false(raftnode_is_stuck(node));
    for (unsigned i = 0; sent.n == 0; i++) {
        assert_true(i < 100);
        raftnode_tick(node);
        raftnode_process(node);
    }
}

/* Nodes 2 and 3 have what node 1 leads with up to `index`. */
static void acknowledge(uint64_t index)
{
    for (uint64_t id = 2; id <= 3; id++) {
        struct raft_message m = {.type = RAFT_MSG_APP_RESP,
                                 .to = 1,
                                 .from = id,
                                 .term = 2,
                                 .index = index};

        assert_int_equal(raftnode_step(node, &m), 0);
    }
    raftnode_process(node);
}

/* The others may have applied what their leader, whose disk is slow, has still
 * to write, its own removal included: that does not make the outcome unknown to
 * who asked for it. */
static void test_removed_leader_answers_when_its_disk_does(void **state)
{
    struct sim_op *op;
    const char *why;

    (void)state;
    elect();
    write_now();
    acknowledge(4);
    write_now();
    op = sim_put(&cluster, 1, "/a", "1");
    raftnode_process(node);
    expect_write(5, 1);
    acknowledge(5);
    raftnode_report_removed(node, 2);
    raftnode_report_removed(node, 3);
    raftnode_process(node);
    assert_false(op->done);
    write_now();
    assert_true(op->done);
    assert_int_equal(op->rc, 0);
    raftnode_tick(node);
    assert_int_equal(raftnode_condition(node, &why), RAFTNODE_REMOVED);
    sim_op_free(&cluster, op);
}

/* A change of members is told to others once it is applied; that it is
 * committed is on disk before. Until then no snapshot may put later members
 * under it. */
static void test_change_is_applied_behind_its_write(void **state)
{
    struct conf_change cc = {.type = CONF_CHANGE_REMOVE_NODE, .node_id = 3};
    struct raft_message m = {.type = RAFT_MSG_APP,
                             .to = 1,
                             .from = 2,
                             .term = 5,
                             .index = 3,
                             .log_term = 1,
                             .commit = 3};
    struct raft_entry *e = sim_change_entry(&cc);

    (void)state;
    e->index = 4;
    e->term = 5;
    raft_entries_take(&m.entries, e);
    assert_int_equal(raftnode_step(node, &m), 0);
    raft_message_release(&m);
    raftnode_process(node);
    write_now();
    receive(5, 4, 5, 0, 4);
    assert_non_null(machine->held.done);
    assert_true(machine->held.w.must_sync);
    assert_int_equal(node->applied, 3);
    assert_int_equal(sim_feed_snapshot(&cluster, sim_snapshot(9, 5, "{}", 2)),
                     0);
    assert_int_equal(node->applied, 3);
    assert_false(raftnode_was_removed(node, 3));
    write_now();
    assert_int_equal(node->applied, 4);
    assert_true(raftnode_was_removed(node, 3));
    assert_int_equal(node->conf_state.voters.n, 2);
}

/* A snapshot begins a write, with what comes behind it in the next one. */
static void test_snapshot_is_a_write_of_its_own(void **state)
{
    (void)state;
    receive(5, 3, 1, 1, 3);
    receive(5, 4, 5, 1, 3);
    assert_int_equal(sim_feed_snapshot(&cluster, sim_snapshot(9, 5, "{}", 3)),
                     0);
    receive(5, 9, 5, 1, 9);
    expect_write(4, 1);
    write_now();
    expect_write(5, 1);
    assert_null(machine->held.w.snapshot);
    write_now();
    assert_non_null(machine->held.w.snapshot);
    assert_int_equal(machine->held.w.n_entries, 0);
    assert_int_equal(node->applied, 3);
    write_now();
    assert_int_equal(node->applied, 9);
    expect_write(10, 1);
    write_now();
    assert_int_equal(memory_storage_last_index(&node->log), 10);
}

/* A node that ends keeps nothing of what was under way. */
static void on_read(struct request *req, int rc, struct bytes value)
{
    (void)req;
    (void)rc;
    (void)value;
}

/* A write is not to hold up the loop while a read waits for it. */
static void test_write_says_whether_others_wait(void **state)
{
    struct request read;

    (void)state;
    receive(5, 3, 1, 1, 3);
    assert_false(machine->held.w.others_wait);
    write_now();
    raftnode_init_get(node, &read, (struct bytes){(const uint8_t *)"/k", 2},
                      on_read);
    raftnode_submit(node, &read);
    receive(5, 4, 5, 1, 3);
    assert_true(machine->held.w.others_wait);
    raftnode_cancel(node, &read);
    write_now();
    receive(5, 5, 5, 1, 3);
    assert_false(machine->held.w.others_wait);
}

static void test_end_in_the_middle(void **state)
{
    (void)state;
    receive(5, 3, 1, 2, 3);
    receive(5, 5, 5, 2, 5);
    assert_non_null(machine->held.done);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(test_answer_waits_for_its_write),
        TEST(test_what_comes_meanwhile_is_one_write),
        TEST(test_what_overwrites_is_a_write_of_its_own),
        TEST(test_write_under_way_is_overwritten_on_disk),
        TEST(test_entries_leave_before_the_write_and_votes_after),
        TEST(test_leader_with_a_stuck_disk_is_silent),
        TEST(test_removed_leader_answers_when_its_disk_does),
        TEST(test_change_is_applied_behind_its_write),
        TEST(test_snapshot_is_a_write_of_its_own),
        TEST(test_write_says_whether_others_wait),
        TEST(test_end_in_the_middle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
