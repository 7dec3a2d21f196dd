/* Goal: a snapshot of our own stops nothing, counts once its file, the commit
 * index and its marker are on disk in this order, and what is sent has the
 * members of now in it. Method: node 1 of three as a follower of node 2, or the
 * leader of one, whose disk's two lanes are driven by hand. */

#include <errno.h>

#include "src/base/alloc.h"
#include "src/raft/raft_internal.h"
#include "src/server/raftnode_internal.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/sim_feed.h"

static struct sim_cluster cluster;
static struct sim_node *machine;
static struct raftnode *node;

/* The last MsgSnap that left, its content loaded. */
static struct {
    struct raft_snapshot *snap;
    uint64_t to;
    size_t n;
} sent;

static void note_sent(void *ctx, const struct raft_message *messages, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        if (messages[i].type == RAFT_MSG_SNAP) {
            raft_snapshot_unref(sent.snap);
            assert_int_equal(
                raft_snapshot_load(messages[i].snapshot, &sent.snap, NULL), 0);
            sent.to = messages[i].to;
            sent.n++;
        }
    }
}

static int begin_with(size_t n, uint64_t snapshot_count)
{
    sim_cluster_init(&cluster,
                     &(struct sim_options){.n = n,
                                           .seed = 7,
                                           .late_writes = true,
                                           .snapshot_count = snapshot_count});
    sim_start_all(&cluster);
    machine = &cluster.nodes[1];
    node = machine->node;
    sim_settle(&cluster);
    return 0;
}

/* One that has written down all that its start brought: 3 founding entries. */
static int begin(void **state)
{
    (void)state;
    return begin_with(3, 4);
}

/* A leader with a snapshot of entry 5 or later, and no change of members. */
static int begin_leader(void **state)
{
    (void)state;
    (void)begin_with(1, 4);
    assert_int_equal(sim_elect(&cluster), 1);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(sim_put_now(&cluster, 1, "/a", "1"), 0);
    }
    sim_settle(&cluster);
    assert_true(node->snapshot_index >= 5);
    node->snapshot_count = 1000;
    node->peers.send = note_sent;
    return 0;
}

static int end(void **state)
{
    (void)state;
    raft_snapshot_unref(sent.snap);
    memset(&sent, 0, sizeof(sent));
    sim_cluster_release(&cluster);
    return 0;
}

/* Entries prev+1.. of `term` from node 2, with its commit index, and a turn. */
static void receive_as(uint64_t term, uint64_t prev, size_t n, uint64_t commit)
{
    struct raft_message m = {.type = RAFT_MSG_APP,
                             .to = 1,
                             .from = 2,
                             .term = term,
                             .index = prev,
                             .log_term = prev == 3 ? 1 : 5,
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

static void receive(uint64_t prev, size_t n, uint64_t commit)
{
    receive_as(5, prev, n, commit);
}

/* What the log's lane does is done, and the loop turns. */
static void write_now(void)
{
    assert_true(sim_node_write(machine));
    sim_node_tell(machine);
    raftnode_process(node);
}

/* The same for the other lane. */
static void file_now(void)
{
    assert_true(sim_node_file(machine));
    sim_node_tell_filed(machine);
    raftnode_process(node);
}

/* Entries 4 to 8 are there and applied: the file of a snapshot is asked for,
 * and a write with the commit index is under way. */
static void make_one_due(void)
{
    receive(3, 5, 3);
    write_now();
    receive(8, 0, 8);
    assert_int_equal(node->applied, 8);
    assert_non_null(machine->held_file.own);
    assert_int_equal(machine->held_file.own->index, 8);
    assert_int_equal(machine->held.w.hard_state.commit, 8);
}

static void test_file_then_commit_then_marker(void **state)
{
    (void)state;
    make_one_due();
    file_now();
    assert_int_equal(node->own.state, OWN_FILED);
    assert_null(machine->held.w.marker);
    assert_int_equal(node->snapshot_index, 0);
    write_now();
    /* Nothing else has to be written: the marker goes alone. */
    assert_non_null(machine->held.w.marker);
    assert_int_equal(machine->held.w.marker->index, 8);
    assert_int_equal(machine->held.w.n_entries, 0);
    assert_int_equal(node->snapshot_index, 0);
    assert_int_equal(memory_storage_first_index(&node->log), 1);
    write_now();
    assert_int_equal(node->snapshot_index, 8);
    assert_int_equal(memory_storage_first_index(&node->log), 9);
    assert_null(node->log.snapshot->data);
    /* The other lane cleans up. */
    assert_non_null(machine->held_file.done);
    assert_null(machine->held_file.own);
    file_now();
    assert_int_equal(node->own.state, OWN_NONE);
    assert_null(machine->held.done);
}

static void test_nothing_waits_for_the_file(void **state)
{
    struct bytes value;

    (void)state;
    make_one_due();
    write_now();
    for (uint64_t i = 8; i < 40; i++) {
        receive(i, 1, i);
        write_now();
        assert_int_equal(node->applied, i);
    }
    assert_true(kvstore_get(node->store, sim_text("/k"), &value));
    assert_int_equal(node->own.state, OWN_FILING);
    assert_int_equal(node->own.snap->index, 8);
    for (unsigned i = 0; i < 100; i++) {
        raftnode_tick(node);
        assert_false(raftnode_is_stuck(node));
    }
    file_now();
    write_now(); /* of what the ticks brought, or of the marker */
    while (machine->held.done != NULL) {
        write_now();
    }
    assert_int_equal(node->snapshot_index, 8);
}

static void test_marker_goes_with_entries(void **state)
{
    (void)state;
    make_one_due();
    file_now();
    receive(8, 2, 8);
    write_now();
    assert_int_equal(machine->held.w.n_entries, 2);
    assert_non_null(machine->held.w.marker);
    write_now();
    assert_int_equal(node->snapshot_index, 8);
    assert_int_equal(memory_storage_last_index(&node->log), 10);
}

/* The commit index comes with a later leader's entries, which wait for those
 * that they replace to be written: the marker waits, too. */
static void test_marker_waits_for_the_commit_index(void **state)
{
    (void)state;
    receive(3, 5, 3);
    write_now();
    receive(8, 1, 3);
    receive(9, 2, 3);
    receive_as(6, 9, 1, 8);
    assert_int_equal(node->applied, 8);
    file_now();
    assert_int_equal(node->own.state, OWN_FILED);
    write_now();
    assert_int_equal(machine->held.w.n_entries, 2);
    assert_int_equal(machine->held.w.hard_state.commit, 0);
    assert_null(machine->held.w.marker);
    write_now();
    assert_int_equal(machine->held.w.hard_state.commit, 8);
    assert_non_null(machine->held.w.marker);
    write_now();
    assert_int_equal(node->snapshot_index, 8);
}

/* [reliability 3.2, F4] */
static void test_failed_file_is_no_snapshot(void **state)
{
    (void)state;
    make_one_due();
    sim_vfs_fail(machine->disk,
                 (struct sim_fault){.ops = SIM_CALL_WRITE, .rc = -ENOSPC});
    file_now();
    assert_non_null(strstr(machine->last_error, "not saved"));
    assert_int_equal(node->own.state, OWN_NONE);
    write_now();
    assert_int_equal(node->snapshot_index, 0);
    assert_int_equal(memory_storage_first_index(&node->log), 1);
    /* Not at once again, but after as many entries more. */
    receive(8, 3, 8);
    write_now();
    receive(11, 0, 11);
    write_now();
    assert_null(machine->held_file.done);
    receive(11, 1, 11);
    write_now();
    receive(12, 0, 12);
    assert_non_null(machine->held_file.own);
    assert_int_equal(machine->held_file.own->index, 12);
}

/* The leader's replaces the map that one of our own is made of: it waits. */
static void test_leaders_snapshot_waits(void **state)
{
    (void)state;
    make_one_due();
    assert_int_equal(sim_feed_snapshot(&cluster, sim_snapshot(20, 5, "{}", 3)),
                     0);
    write_now();
    assert_null(machine->held.done);
    assert_int_equal(node->applied, 8);
    file_now();
    assert_non_null(machine->held.w.marker);
    assert_null(machine->held.w.snapshot);
    write_now();
    assert_int_equal(node->snapshot_index, 8);
    assert_non_null(machine->held.w.snapshot);
    write_now();
    assert_int_equal(node->snapshot_index, 20);
    assert_int_equal(node->applied, 20);
    assert_int_equal(kvstore_len(node->store), 0);
    file_now();
    assert_int_equal(node->own.state, OWN_NONE);
}

/* And none of our own begins while that one is on its way to the disk. */
static void test_none_begins_under_the_leaders(void **state)
{
    (void)state;
    receive(3, 5, 3);
    write_now();
    assert_int_equal(sim_feed_snapshot(&cluster, sim_snapshot(20, 5, "{}", 3)),
                     0);
    node->snapshot_count = 1;
    raftnode_process(node);
    assert_non_null(machine->held.w.snapshot);
    assert_null(machine->held_file.done);
    write_now();
    assert_int_equal(node->snapshot_index, 20);
    assert_null(machine->held_file.done);
}

/* What cannot be deleted says that the disk cannot be trusted. */
static void test_failed_deletion_stops_the_node(void **state)
{
    const char *why;

    (void)state;
    make_one_due();
    file_now();
    write_now();
    write_now();
    machine->held_file.done(machine->held_file.arg, -EIO, true,
                            &(struct errmsg){"remove x: no"});
    machine->held_file.done = NULL;
    assert_int_equal(raftnode_condition(node, &why), RAFTNODE_FAILED);
    assert_string_equal(why, "remove x: no");
}

/* A node may end in every state, with what it has frozen. */
static void test_end_in_the_middle(void **state)
{
    (void)state;
    make_one_due();
    receive(8, 1, 8);
}

/* --- those that are sent --- */

static struct raft_message snap_to(uint64_t to)
{
    return (struct raft_message){
        .type = RAFT_MSG_SNAP,
        .to = to,
        .from = 1,
        .term = node->term,
        .snapshot = raft_snapshot_ref(node->log.snapshot),
    };
}

/* Raft waits for what becomes of the snapshot to member 4. */
static struct progress *expect_snapshot_state(void)
{
    struct progress *p = tracker_progress(&node->raw->raft.trk, 4);

    assert_non_null(p);
    progress_become_snapshot(p, node->snapshot_index);
    return p;
}

static void test_newest_is_sent_from_its_file(void **state)
{
    struct raft_message m = snap_to(4);

    (void)state;
    assert_int_equal(sim_put_now(&cluster, 1, "/b", "2"), 0);
    assert_true(node->applied > node->snapshot_index);
    snapshots_hold(node, &m);
    snapshots_send_held(node);
    assert_int_equal(sent.n, 1);
    assert_int_equal(sent.to, 4);
    assert_int_equal(sent.snap->index, node->snapshot_index);
    assert_int_equal(sent.snap->len, strlen("{\"/a\":\"1\"}"));
    assert_memory_equal(sent.snap->data, "{\"/a\":\"1\"}", sent.snap->len);
    assert_false(raftnode_owes_snapshot(node));
}

/* A member that was added since the snapshot gets one that has it: not the old
 * one under new names. */
static void test_members_have_changed_since(void **state)
{
    struct raft_message m = snap_to(4);
    uint64_t old = node->snapshot_index;

    (void)state;
    sim_change_alone(&cluster, CONF_CHANGE_ADD_LEARNER_NODE, 4,
                     "http://10.9.9.4:1");
    assert_null(machine->held_file.done);
    snapshots_hold(node, &m);
    snapshots_send_held(node);
    assert_int_equal(sent.n, 0);
    assert_true(raftnode_owes_snapshot(node));
    raftnode_process(node);
    assert_non_null(machine->held_file.own); /* due at once */
    sim_settle(&cluster);
    assert_int_equal(sent.n, 1);
    assert_true(sent.snap->index > old);
    assert_int_equal(sent.snap->index, node->snapshot_index);
    assert_true(id_list_contains(&sent.snap->conf_state.learners, 4));
    assert_int_equal(sent.snap->n_members, 2);
    assert_string_equal(sent.snap->members[1].url, "http://10.9.9.4:1");
    assert_int_equal(sent.snap->len, strlen("{\"/a\":\"1\"}"));
    assert_false(raftnode_owes_snapshot(node));
}

static void write_all(void)
{
    raftnode_process(node);
    while (machine->held.done != NULL) {
        write_now();
    }
}

/* One that is under way was begun before the change: another one follows. */
static void test_members_change_while_one_is_made(void **state)
{
    const struct conf_change cc = {.type = CONF_CHANGE_ADD_LEARNER_NODE,
                                   .node_id = 4,
                                   .context = sim_text("http://10.9.9.4:1")};
    struct raft_message m = snap_to(4);
    struct raft_message again = snap_to(4);
    struct sim_op *op = sim_put(&cluster, 1, "/b", "2");
    uint64_t first;

    (void)state;
    node->snapshot_count = 0;
    write_all();
    assert_int_equal(node->own.state, OWN_FILING);
    first = node->own.snap->index;
    node->snapshot_count = 1000;
    assert_int_equal(rawnode_propose(node->raw, sim_change_entry(&cc)), 0);
    write_all();
    snapshots_hold(node, &m);
    snapshots_hold(node, &again); /* replaces the first */
    raftnode_process(node);
    assert_int_equal(node->own.snap->index, first);
    sim_settle(&cluster);
    assert_int_equal(sent.n, 1);
    assert_true(sent.snap->index > first);
    assert_true(id_list_contains(&sent.snap->conf_state.learners, 4));
    assert_false(raftnode_owes_snapshot(node));
    sim_op_free(&cluster, op);
}

static void test_failed_one_is_reported(void **state)
{
    struct raft_message m = snap_to(4);
    struct progress *p;

    (void)state;
    sim_change_alone(&cluster, CONF_CHANGE_ADD_LEARNER_NODE, 4,
                     "http://10.9.9.4:1");
    p = expect_snapshot_state();
    snapshots_hold(node, &m);
    raftnode_process(node);
    assert_non_null(machine->held_file.own);
    sim_vfs_fail(machine->disk,
                 (struct sim_fault){.ops = SIM_CALL_SYNC, .rc = -EIO});
    file_now();
    assert_int_equal(sent.n, 0);
    assert_false(raftnode_owes_snapshot(node));
    assert_int_equal(p->state, PROGRESS_PROBE);
    /* Asked for again at once, it fails at once; later it is made. */
    m = snap_to(4);
    p = expect_snapshot_state();
    snapshots_hold(node, &m);
    raftnode_process(node);
    assert_null(machine->held_file.done);
    assert_int_equal(p->state, PROGRESS_PROBE);
    for (unsigned i = 0; i < 20; i++) {
        raftnode_tick(node);
    }
    m = snap_to(4);
    snapshots_hold(node, &m);
    sim_settle(&cluster);
    assert_int_equal(sent.n, 1);
}

static void test_missing_file_is_reported(void **state)
{
    struct raft_message m;
    struct progress *p;
    struct vfs_names names;

    (void)state;
    sim_change_alone(&cluster, CONF_CHANGE_ADD_LEARNER_NODE, 4,
                     "http://10.9.9.4:1");
    m = snap_to(4);
    snapshots_hold(node, &m);
    sim_settle(&cluster);
    assert_int_equal(sent.n, 1);
    p = expect_snapshot_state();
    sim_vfs_names(machine->disk, "snap", &names);
    for (size_t i = 0; i < names.n; i++) {
        char *path = vfs_join("snap", names.names[i]);

        sim_vfs_remove(machine->disk, path);
        xfree(path);
    }
    vfs_names_release(&names);
    m = snap_to(4);
    snapshots_hold(node, &m);
    snapshots_send_held(node);
    assert_int_equal(sent.n, 1);
    assert_int_equal(p->state, PROGRESS_PROBE);
    assert_non_null(strstr(machine->last_error, "cannot be sent"));
}

/* What raft wanted as the leader of another term is nobody's business. */
static void test_message_of_another_term_is_dropped(void **state)
{
    struct raft_message m = snap_to(4);

    (void)state;
    m.term--;
    snapshots_hold(node, &m);
    snapshots_send_held(node);
    assert_int_equal(sent.n, 0);
    assert_false(raftnode_owes_snapshot(node));
}

int main(void)
{
#define TEST(f, b) cmocka_unit_test_setup_teardown(f, b, end)
    const struct CMUnitTest tests[] = {
        TEST(test_file_then_commit_then_marker, begin),
        TEST(test_nothing_waits_for_the_file, begin),
        TEST(test_marker_goes_with_entries, begin),
        TEST(test_marker_waits_for_the_commit_index, begin),
        TEST(test_failed_file_is_no_snapshot, begin),
        TEST(test_leaders_snapshot_waits, begin),
        TEST(test_none_begins_under_the_leaders, begin),
        TEST(test_failed_deletion_stops_the_node, begin),
        TEST(test_end_in_the_middle, begin),
        TEST(test_newest_is_sent_from_its_file, begin_leader),
        TEST(test_members_have_changed_since, begin_leader),
        TEST(test_members_change_while_one_is_made, begin_leader),
        TEST(test_failed_one_is_reported, begin_leader),
        TEST(test_missing_file_is_reported, begin_leader),
        TEST(test_message_of_another_term_is_dropped, begin_leader),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
