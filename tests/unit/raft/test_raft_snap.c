/* Snapshots: taken over by a follower, sent by a leader, and what becomes of
 * the member's progress.
 *
 * Goal: raft-core section 17. Method: a snapshot at index 11, term 11, restored
 * into single nodes; names and scenarios of etcd-io/raft raft_snap_test.go and
 * raft_test.go. */

#include "tests/lib/raft_fixture.h"

/* Restore, with the storage's part done: raft_restore alone leaves the snapshot
 * unstable. */
static bool restore(struct node *n, struct raft_snapshot *s)
{
    bool restored = raft_restore(&n->r, s);

    raft_snapshot_unref(s);
    return restored;
}

/* --- taking over --- */

static void test_restore(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2));

    (void)state;
    assert_true(restore(n, member_snapshot(11, 11, IDS(1, 2, 3), NO_IDS)));
    assert_int_equal(raft_log_last_index(&n->r.log), 11);
    assert_int_equal(raft_log_zero_term_on_out_of_bounds(&n->r.log, 11), 11);
    assert_voters(n, IDS(1, 2, 3));
    assert_false(restore(n, member_snapshot(11, 11, IDS(1, 2, 3), NO_IDS)));
    /* Not promotable while the snapshot is unstable (PF-24). */
    node_uncheck(n);
    for (int i = 0; i < 2 * n->r.randomized_election_timeout; i++) {
        n->r.tick(&n->r);
    }
    assert_int_equal(n->r.role, RAFT_FOLLOWER);
    node_free(n);
}

static void test_restore_with_learner(void **state)
{
    struct node *n =
        NODE(.id = 3, .voters = IDS(1, 2), .learners = IDS(3), .heartbeat = 2);

    (void)state;
    assert_true(restore(n, member_snapshot(11, 11, IDS(1, 2), IDS(3))));
    assert_voters(n, IDS(1, 2));
    assert_learners(n, IDS(3));
    assert_false(pr_of(n, 1)->is_learner);
    assert_false(pr_of(n, 2)->is_learner);
    assert_true(pr_of(n, 3)->is_learner);
    assert_true(n->r.is_learner);
    assert_false(restore(n, member_snapshot(11, 11, IDS(1, 2), IDS(3))));
    node_free(n);
}

static void test_restore_with_voters_outgoing(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2));
    struct raft_snapshot *s = member_snapshot(11, 11, IDS(2, 3, 4), NO_IDS);

    (void)state;
    for (uint64_t id = 1; id <= 3; id++) {
        id_list_push(&s->conf_state.voters_outgoing, id);
    }
    raft_snapshot_ref(s);
    assert_true(restore(n, s));
    assert_int_equal(raft_log_last_index(&n->r.log), 11);
    assert_voters(n, IDS(1, 2, 3, 4));
    assert_false(restore(n, s));
    for (int i = 0; i < n->r.randomized_election_timeout; i++) {
        n->r.tick(&n->r);
    }
    assert_int_equal(n->r.role, RAFT_FOLLOWER);
    node_free(n);
}

static void test_restore_voter_to_learner(void **state)
{
    struct node *n = NODE(.id = 3, .voters = IDS(1, 2, 3));

    (void)state;
    assert_false(n->r.is_learner);
    assert_true(restore(n, member_snapshot(11, 11, IDS(1, 2), IDS(3))));
    assert_true(n->r.is_learner);
    node_free(n);
}

static void test_restore_learner_promotion(void **state)
{
    struct node *n = NODE(.id = 3, .voters = IDS(1, 2), .learners = IDS(3));

    (void)state;
    assert_true(n->r.is_learner);
    assert_true(restore(n, member_snapshot(11, 11, IDS(1, 2, 3), NO_IDS)));
    assert_false(n->r.is_learner);
    node_free(n);
}

static void test_restore_ignore_snapshot(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2), .log = TERMS(1, 1, 1));

    (void)state;
    raft_log_commit_to(&n->r.log, 1);
    assert_false(restore(n, member_snapshot(1, 1, IDS(1, 2), NO_IDS)));
    assert_int_equal(n->r.log.committed, 1);
    /* Of an entry in the log: only the commit index moves. */
    assert_false(restore(n, member_snapshot(2, 1, IDS(1, 2), NO_IDS)));
    assert_int_equal(n->r.log.committed, 2);
    assert_int_equal(raft_log_last_index(&n->r.log), 3);
    node_free(n);
}

static void test_restore_without_self_is_refused(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2));

    (void)state;
    assert_false(restore(n, member_snapshot(11, 11, IDS(2, 3), NO_IDS)));
    assert_int_equal(raft_log_last_index(&n->r.log), 0);
    node_free(n);
}

/* PF-44: learners and no voters cannot be a configuration. */
static void test_restore_of_impossible_members_is_refused(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2));

    (void)state;
    assert_false(restore(n, member_snapshot(11, 11, NO_IDS, IDS(1, 2))));
    assert_int_equal(raft_log_last_index(&n->r.log), 0);
    assert_voters(n, IDS(1, 2));
    node_free(n);
}

static void test_restore_from_snap_msg(void **state)
{
    struct node *n = NODE(.id = 2, .voters = IDS(1, 2));
    struct raft_snapshot *s = member_snapshot(11, 2, IDS(1, 2), NO_IDS);
    struct message_queue q;

    (void)state;
    node_step(n, with_snapshot(MSG(SNAP, 1, 2, .term = 2), s));
    raft_snapshot_unref(s);
    assert_int_equal(n->r.lead, 1);
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].type, RAFT_MSG_APP_RESP);
    assert_int_equal(q.items[0].index, 11);
    message_queue_release(&q);
    /* A missing one counts as empty, and is answered with the commit. */
    node_step(n, MSG(SNAP, 1, 2, .term = 2));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].index, n->r.log.committed);
    message_queue_release(&q);
    node_free(n);
}

/* SNAP-9: acknowledged in a later term, it counts all the same. */
static void test_snapshot_ack_of_older_term(void **state)
{
    struct node *n = NODE(.id = 2, .voters = IDS(1, 2), .async = true);
    struct raft_snapshot *s = member_snapshot(11, 2, IDS(1, 2), NO_IDS);

    (void)state;
    node_step(n, with_snapshot(MSG(SNAP, 1, 2, .term = 2), s));
    drop_messages(&n->r);
    assert_int_equal(n->r.log.applied, 0);
    node_step(n, MSG(HEARTBEAT, 1, 2, .term = 3));
    drop_messages(&n->r);
    assert_false(raft_promotable(&n->r));
    assert_int_equal(memory_storage_apply_snapshot(&n->ms, s), 0);
    node_step(n, with_snapshot(MSG(STORAGE_APPEND_RESP,
                                   RAFT_LOCAL_APPEND_THREAD, 2, .term = 2),
                               s));
    assert_int_equal(n->r.log.applied, 11);
    assert_true(raft_promotable(&n->r));
    raft_snapshot_unref(s);
    node_free(n);
}

/* A snapshot from before the log begins: its term is not known any more, and
 * it must not start the log again [raft-core SNAP-7]. */
static void test_snapshot_before_the_log_is_ignored(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2), .log_first = 6, .log_term0 = 2,
             .log = TERMS(2, 2, 2), .hs = {.term = 2, .commit = 6});
    struct raft_snapshot *s = member_snapshot(3, 1, IDS(1, 2), NO_IDS);

    (void)state;
    assert_false(raft_restore(&n->r, s));
    assert_int_equal(n->r.log.committed, 6);
    assert_int_equal(raft_log_first_index(&n->r.log), 6);
    /* The answer is what is known to agree, not the end of the log: that was
     * not compared [raft-core SNAP-6]. */
    node_step(n, with_snapshot(MSG(SNAP, 2, 1, .term = 2), s));
    assert_int_equal(n->r.msgs_after_append.len, 1);
    assert_int_equal(n->r.msgs_after_append.items[0].index, 6);
    assert_int_equal(raft_log_last_index(&n->r.log), 8);
    raft_snapshot_unref(s);
    node_free(n);
}

/* A snapshot's acknowledgement that comes twice, or after that of a newer one,
 * takes applied nowhere [raft-core SNAP-9]. */
static void test_late_snapshot_acknowledgement(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2), .async = true);
    struct raft_snapshot *old = member_snapshot(3, 1, IDS(1, 2), NO_IDS);
    struct raft_snapshot *new = member_snapshot(7, 1, IDS(1, 2), NO_IDS);

    (void)state;
    node_step(n, with_snapshot(MSG(SNAP, 2, 1, .term = 1), old));
    node_step(n, with_snapshot(MSG(SNAP, 2, 1, .term = 1), new));
    assert_int_equal(memory_storage_apply_snapshot(&n->ms, new), 0);
    for (int i = 0; i < 2; i++) {
        raft_applied_snap(&n->r, new);
        assert_int_equal(n->r.log.applied, 7);
        raft_applied_snap(&n->r, old);
        assert_int_equal(n->r.log.applied, 7);
    }
    assert_false(raft_log_has_next_or_in_progress_snapshot(&n->r.log));
    raft_snapshot_unref(old);
    raft_snapshot_unref(new);
    node_free(n);
}

/* --- sending --- */

/* A leader of {1, 2} whose log starts after 11/11. */
static struct node *snapshot_leader(void)
{
    struct node *n = NODE(.voters = IDS(1, 2), .log_first = 12, .log_term0 = 11,
                          .hs = {.term = 11, .commit = 11});

    node_become_leader(n);
    drop_messages(&n->r);
    return n;
}

static void test_sending_snapshot_set_pending_snapshot(void **state)
{
    struct node *n = snapshot_leader();

    (void)state;
    /* 2 has nothing: what it needs is compacted away. */
    pr_of(n, 2)->next = raft_log_first_index(&n->r.log);
    node_step(
        n, MSG(APP_RESP, 2, 1, .index = pr_of(n, 2)->next - 1, .reject = true));
    assert_int_equal(pr_of(n, 2)->pending_snapshot, 11);
    assert_int_equal(pr_of(n, 2)->state, PROGRESS_SNAPSHOT);
    node_free(n);
}

static void test_pending_snapshot_pause_replication(void **state)
{
    struct node *n = snapshot_leader();

    (void)state;
    progress_become_snapshot(pr_of(n, 2), 11);
    node_propose(n, "somedata");
    assert_int_equal(drop_messages(&n->r), 0);
    node_free(n);
}

static void test_snapshot_failure(void **state)
{
    struct node *n = snapshot_leader();

    (void)state;
    pr_of(n, 2)->next = 1;
    progress_become_snapshot(pr_of(n, 2), 11);
    node_step(n, MSG(SNAP_STATUS, 2, 1, .reject = true));
    assert_int_equal(pr_of(n, 2)->pending_snapshot, 0);
    assert_int_equal(pr_of(n, 2)->next, 1);
    assert_true(pr_of(n, 2)->msg_app_flow_paused);
    node_free(n);
}

static void test_snapshot_succeed(void **state)
{
    struct node *n = snapshot_leader();

    (void)state;
    pr_of(n, 2)->next = 1;
    progress_become_snapshot(pr_of(n, 2), 11);
    node_step(n, MSG(SNAP_STATUS, 2, 1));
    assert_int_equal(pr_of(n, 2)->pending_snapshot, 0);
    assert_int_equal(pr_of(n, 2)->next, 12);
    assert_true(pr_of(n, 2)->msg_app_flow_paused);
    node_free(n);
}

static void test_snapshot_abort(void **state)
{
    struct node *n = snapshot_leader();

    (void)state;
    pr_of(n, 2)->next = 1;
    progress_become_snapshot(pr_of(n, 2), 11);
    /* An acknowledgement that reaches our log ends the state. */
    node_step(n, MSG(APP_RESP, 2, 1, .index = 11));
    assert_int_equal(pr_of(n, 2)->pending_snapshot, 0);
    assert_int_equal(pr_of(n, 2)->next, 13);
    assert_int_equal(pr_of(n, 2)->inflights.count, 1);
    node_free(n);
}

/* PF-15: an acknowledgement that reaches our log ends the state, though it is
 * below the snapshot that is under way. */
static void test_snapshot_abort_below_pending_snapshot(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2), .log_first = 6, .log_term0 = 5,
             .log = TERMS(5, 5, 5, 5, 5), .hs = {.term = 5, .commit = 10});

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    progress_become_snapshot(pr_of(n, 2), 10);
    /* 4 is still before the log, 7 is not. */
    node_step(n, MSG(APP_RESP, 2, 1, .index = 4));
    assert_int_equal(pr_of(n, 2)->state, PROGRESS_SNAPSHOT);
    node_step(n, MSG(APP_RESP, 2, 1, .index = 7));
    assert_int_equal(pr_of(n, 2)->state, PROGRESS_REPLICATE);
    assert_int_equal(pr_of(n, 2)->match, 7);
    drop_messages(&n->r);
    node_free(n);
}

/* A late answer to a probe does not move what stands behind the snapshot. */
static void test_rejection_during_snapshot_is_ignored(void **state)
{
    struct node *n = snapshot_leader();

    (void)state;
    progress_become_snapshot(pr_of(n, 2), 11);
    node_step(n, MSG(APP_RESP, 2, 1, .index = 11, .reject = true));
    assert_int_equal(pr_of(n, 2)->next, 12);
    assert_int_equal(drop_messages(&n->r), 0);
    node_free(n);
}

static int snapshot_rc; /* what the storage answers */

static int failing_snapshot(struct raft_storage *s, struct raft_snapshot **out)
{
    (void)s;
    *out = raft_snapshot_new();
    if (snapshot_rc < 0) {
        raft_snapshot_unref(*out);
        *out = NULL;
    }
    return snapshot_rc;
}

static void need_snapshot(struct node *n)
{
    pr_of(n, 2)->next = raft_log_first_index(&n->r.log) - 1;
    pr_of(n, 2)->recent_active = true;
    raft_send_append(&n->r, 2);
}

/* SNAP-1: later is legal, a failure or an empty snapshot is not. */
static void test_storage_without_snapshot(void **state)
{
    struct node *n = snapshot_leader();
    struct raft_storage_ops ops = *n->ms.base.ops;

    (void)state;
    ops.snapshot = failing_snapshot;
    n->ms.base.ops = &ops;
    snapshot_rc = ERR_SNAPSHOT_TEMPORARILY_UNAVAILABLE;
    need_snapshot(n);
    assert_int_equal(drop_messages(&n->r), 0);
    assert_int_equal(pr_of(n, 2)->state, PROGRESS_PROBE);
    snapshot_rc = ERR_UNAVAILABLE;
    assert_fatal(&raft_trap, need_snapshot(n));
    node_free(n);
}

/* A leader sends until nothing more is to be sent; that a snapshot comes later
 * ends this, too [raft-core PR-14, SNAP-1]. */
static void test_ack_while_the_snapshot_is_unavailable(void **state)
{
    struct node *n = snapshot_leader();
    struct raft_storage_ops ops = *n->ms.base.ops;

    (void)state;
    ops.snapshot = failing_snapshot;
    n->ms.base.ops = &ops;
    snapshot_rc = ERR_SNAPSHOT_TEMPORARILY_UNAVAILABLE;
    node_step(n, MSG(APP_RESP, 2, 1, .term = n->r.term, .index = 5));
    assert_int_equal(pr_of(n, 2)->match, 5);
    assert_int_equal(drop_messages(&n->r), 0);
    node_free(n);
}

/* In any other state a report says nothing. */
static void test_snapshot_status_in_other_states(void **state)
{
    struct node *n = snapshot_leader();

    (void)state;
    progress_become_replicate(pr_of(n, 2));
    node_step(n, MSG(SNAP_STATUS, 2, 1, .reject = true));
    assert_int_equal(pr_of(n, 2)->state, PROGRESS_REPLICATE);
    assert_false(pr_of(n, 2)->msg_app_flow_paused);
    node_free(n);
}

static void test_provide_snap(void **state)
{
    struct node *n = snapshot_leader();
    struct message_queue q;

    (void)state;
    pr_of(n, 2)->next = raft_log_first_index(&n->r.log);
    node_step(
        n, MSG(APP_RESP, 2, 1, .index = pr_of(n, 2)->next - 1, .reject = true));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].type, RAFT_MSG_SNAP);
    assert_int_equal(q.items[0].snapshot->index, 11);
    message_queue_release(&q);
    node_free(n);
}

static void test_ignore_providing_snap(void **state)
{
    struct node *n = snapshot_leader();

    (void)state;
    pr_of(n, 2)->next = raft_log_first_index(&n->r.log) - 1;
    pr_of(n, 2)->recent_active = false;
    node_propose(n, "somedata");
    assert_int_equal(drop_messages(&n->r), 0);
    node_free(n);
}

/* A leader whose log begins behind index 5. */
static struct node *compacted_leader(size_t max_inflight_msgs)
{
    struct node *n = NODE(.voters = IDS(1, 2), .log_first = 6, .log_term0 = 5,
                          .log = TERMS(5, 5, 5, 5, 5),
                          .max_inflight_msgs = max_inflight_msgs,
                          .hs = {.term = 5, .commit = 10});

    node_become_leader(n);
    drop_messages(&n->r);
    pr_of(n, 2)->recent_active = true;
    return n;
}

/* [raft-core PR-14]: an acknowledgement that our log does not reach leaves the
 * member waiting for its snapshot; it is not sent another one. */
static void test_ack_below_the_log_sends_no_second_snapshot(void **state)
{
    struct node *n = compacted_leader(256);

    (void)state;
    progress_become_snapshot(pr_of(n, 2), 10);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 6, .index = 4));
    assert_int_equal(pr_of(n, 2)->state, PROGRESS_SNAPSHOT);
    assert_int_equal(pr_of(n, 2)->pending_snapshot, 10);
    assert_int_equal(drop_messages(&n->r), 0);
    node_free(n);
}

/* [raft-core PF-12]: a full window whose first message was lost, and whose
 * entries are compacted by now. An append without entries would name an entry
 * whose term is not known. */
static void test_full_window_over_compacted_entries(void **state)
{
    struct node *n = compacted_leader(1);
    struct progress *pr = pr_of(n, 2);

    (void)state;
    progress_become_replicate(pr);
    pr->next = 2;
    progress_sent_entries(pr, 1, 0);
    assert_true(inflights_full(&pr->inflights));
    node_step(n, MSG(HEARTBEAT_RESP, 2, 1, .term = 6));
    assert_int_equal(n->r.msgs.len, 1);
    assert_int_equal(n->r.msgs.items[0].type, RAFT_MSG_SNAP);
    assert_int_equal(pr->state, PROGRESS_SNAPSHOT);
    node_free(n);
}

/* --- through a network --- */

static void compact_at_applied(struct node *n)
{
    uint64_t applied = n->r.log.applied;
    struct raft_snapshot *s = test_snapshot(
        applied, raft_log_zero_term_on_out_of_bounds(&n->r.log, applied));

    tracker_conf_state(&n->r.trk, &s->conf_state);
    assert_int_equal(memory_storage_create_snapshot(&n->ms, s), 0);
    assert_int_equal(memory_storage_compact(&n->ms, applied), 0);
    raft_snapshot_unref(s);
}

static void test_slow_node_restore(void **state)
{
    struct network nt;
    struct node *lead;
    struct node *slow;

    (void)state;
    NETWORK(&nt, NULL, NULL, NULL);
    network_hup(&nt, 1);
    network_isolate(&nt, 3);
    for (int i = 0; i <= 100; i++) {
        network_send(&nt, with_data(MSG(PROP, 1, 1), NULL));
    }
    lead = nt.nodes[1];
    slow = nt.nodes[3];
    next_ents(lead, NULL);
    compact_at_applied(lead);

    network_recover(&nt);
    for (int i = 0; i < 10 && !pr_of(lead, 3)->recent_active; i++) {
        network_beat(&nt, 1);
    }
    network_send(&nt, with_data(MSG(PROP, 1, 1), NULL)); /* the snapshot */
    network_send(&nt, with_data(MSG(PROP, 1, 1), NULL)); /* and a commit */
    assert_int_equal(slow->r.log.committed, lead->r.log.committed);
    network_release(&nt);
}

static void test_learner_receive_snapshot(void **state)
{
    struct node *n1 = NODE(.id = 1, .voters = IDS(1), .learners = IDS(2));
    struct node *n2 = NODE(.id = 2, .voters = IDS(1), .learners = IDS(2));
    struct network nt;

    (void)state;
    assert_true(restore(n1, member_snapshot(11, 11, IDS(1), IDS(2))));
    n1->r.term = 11;
    {
        struct raft_snapshot *s =
            raft_snapshot_ref(raft_log_next_unstable_snapshot(&n1->r.log));

        assert_int_equal(memory_storage_apply_snapshot(&n1->ms, s), 0);
        raft_applied_snap(&n1->r, s);
        raft_snapshot_unref(s);
    }
    NETWORK(&nt, n1, n2);
    n1->r.randomized_election_timeout = n1->r.election_timeout;
    for (int i = 0; i < n1->r.election_timeout; i++) {
        n1->r.tick(&n1->r);
    }
    network_flush(&nt, 1);
    assert_int_equal(n1->r.role, RAFT_LEADER);
    network_beat(&nt, 1);
    assert_int_equal(n2->r.log.committed, n1->r.log.committed);
    assert_true(n2->r.log.committed >= 11);
    network_release(&nt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restore),
        cmocka_unit_test(test_restore_with_learner),
        cmocka_unit_test(test_restore_with_voters_outgoing),
        cmocka_unit_test(test_restore_voter_to_learner),
        cmocka_unit_test(test_restore_learner_promotion),
        cmocka_unit_test(test_restore_ignore_snapshot),
        cmocka_unit_test(test_restore_without_self_is_refused),
        cmocka_unit_test(test_restore_of_impossible_members_is_refused),
        cmocka_unit_test(test_restore_from_snap_msg),
        cmocka_unit_test(test_snapshot_ack_of_older_term),
        cmocka_unit_test(test_snapshot_before_the_log_is_ignored),
        cmocka_unit_test(test_late_snapshot_acknowledgement),
        cmocka_unit_test(test_sending_snapshot_set_pending_snapshot),
        cmocka_unit_test(test_pending_snapshot_pause_replication),
        cmocka_unit_test(test_snapshot_failure),
        cmocka_unit_test(test_snapshot_succeed),
        cmocka_unit_test(test_snapshot_abort),
        cmocka_unit_test(test_snapshot_status_in_other_states),
        cmocka_unit_test(test_provide_snap),
        cmocka_unit_test(test_ignore_providing_snap),
        cmocka_unit_test(test_ack_below_the_log_sends_no_second_snapshot),
        cmocka_unit_test(test_full_window_over_compacted_entries),
        cmocka_unit_test(test_slow_node_restore),
        cmocka_unit_test(test_learner_receive_snapshot),
        cmocka_unit_test(test_snapshot_abort_below_pending_snapshot),
        cmocka_unit_test(test_rejection_during_snapshot_is_ignored),
        cmocka_unit_test(test_storage_without_snapshot),
        cmocka_unit_test(test_ack_while_the_snapshot_is_unavailable),
    };

    return cmocka_run_group_tests_name("raft_snap", tests, NULL, NULL);
}
