/* Handing the lead to another node, and giving that up.
 *
 * Goal: raft-core 20.1. Method: networks of three; names and scenarios of
 * etcd-io/raft raft_test.go, plus A4 of raft-tests. */

#include "tests/lib/raft_fixture.h"

static void assert_transferred(struct node *n, enum raft_role role,
                               uint64_t lead)
{
    assert_int_equal(n->r.role, role);
    assert_int_equal(n->r.lead, lead);
    assert_int_equal(n->r.lead_transferee, RAFT_NONE);
}

static void test_leader_transfer_to_up_to_date_node(void **state)
{
    struct network nt;

    (void)state;
    NETWORK(&nt, NULL, NULL, NULL);
    network_hup(&nt, 1);
    network_transfer(&nt, 1, 2);
    assert_transferred(nt.nodes[1], RAFT_FOLLOWER, 2);
    /* And back, after some replication. */
    network_propose(&nt, 1, "somedata");
    network_transfer(&nt, 2, 1);
    assert_transferred(nt.nodes[1], RAFT_LEADER, 1);
    network_release(&nt);
}

static void test_leader_transfer_to_up_to_date_node_from_follower(void **state)
{
    struct network nt;

    (void)state;
    NETWORK(&nt, NULL, NULL, NULL);
    network_hup(&nt, 1);
    network_transfer(&nt, 2, 2);
    assert_transferred(nt.nodes[1], RAFT_FOLLOWER, 2);
    network_propose(&nt, 1, "somedata");
    network_transfer(&nt, 1, 1);
    assert_transferred(nt.nodes[1], RAFT_LEADER, 1);
    network_release(&nt);
}

static void test_leader_transfer_with_check_quorum(void **state)
{
    struct network nt;

    (void)state;
    network_init_spec(&nt, &(struct node_spec){.check_quorum = true}, 3);
    for (uint64_t i = 1; i <= 3; i++) {
        struct raft *r = &nt.nodes[i]->r;

        r->randomized_election_timeout = r->election_timeout + (int)i - 1;
    }
    network_hup(&nt, 1);
    /* 2 is within its lease, and must answer all the same. */
    network_transfer(&nt, 1, 2);
    assert_transferred(nt.nodes[1], RAFT_FOLLOWER, 2);
    network_propose(&nt, 1, "somedata");
    network_transfer(&nt, 2, 1);
    assert_transferred(nt.nodes[1], RAFT_LEADER, 1);
    network_release(&nt);
}

/* A transfer never asks for pre-votes: voters in a lease would not give any. */
static void test_transfer_skips_pre_vote(void **state)
{
    struct node *n = NODE(.id = 2, .voters = IDS(1, 2, 3), .pre_vote = true,
                          .hs = {.term = 1});
    struct message_queue q;

    (void)state;
    node_step(n, MSG(TIMEOUT_NOW, 1, 2, .term = 1));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 2);
    for (size_t i = 0; i < q.len; i++) {
        assert_int_equal(q.items[i].type, RAFT_MSG_VOTE);
        assert_int_equal(q.items[i].term, 2);
        assert_int_equal(q.items[i].context_len, 16);
        assert_memory_equal(q.items[i].context, "CampaignTransfer", 16);
    }
    message_queue_release(&q);
    node_free(n);
}

static void test_leader_transfer_to_slow_follower(void **state)
{
    struct network nt;

    (void)state;
    NETWORK(&nt, NULL, NULL, NULL);
    network_hup(&nt, 1);
    network_isolate(&nt, 3);
    network_propose(&nt, 1, "somedata");
    network_recover(&nt);
    assert_int_equal(pr_of(nt.nodes[1], 3)->match, 1);
    network_transfer(&nt, 1, 3);
    assert_transferred(nt.nodes[1], RAFT_FOLLOWER, 3);
    network_release(&nt);
}

static bool drop_acks_of_3(void *ctx, const struct raft_message *m)
{
    struct raft_message *kept = ctx;

    if (m->type != RAFT_MSG_APP_RESP || m->from != 3 || m->reject) {
        return true;
    }
    raft_message_release(kept);
    raft_message_copy(kept, m);
    return false;
}

static void snapshot_and_compact(struct node *n)
{
    struct raft_snapshot *s;
    uint64_t applied;

    next_ents(n, NULL);
    applied = n->r.log.applied;
    s = test_snapshot(applied,
                      raft_log_zero_term_on_out_of_bounds(&n->r.log, applied));
    tracker_conf_state(&n->r.trk, &s->conf_state);
    assert_int_equal(memory_storage_create_snapshot(&n->ms, s), 0);
    assert_int_equal(memory_storage_compact(&n->ms, applied), 0);
    raft_snapshot_unref(s);
}

static void test_leader_transfer_after_snapshot(void **state)
{
    struct network nt;
    struct raft_message kept = {0};

    (void)state;
    NETWORK(&nt, NULL, NULL, NULL);
    network_hup(&nt, 1);
    network_isolate(&nt, 3);
    network_propose(&nt, 1, "somedata");
    snapshot_and_compact(nt.nodes[1]);
    network_recover(&nt);
    assert_int_equal(pr_of(nt.nodes[1], 3)->match, 1);

    /* The snapshot arrives, its acknowledgement has to wait. */
    nt.hook = drop_acks_of_3;
    nt.hook_ctx = &kept;
    network_transfer(&nt, 1, 3);
    assert_int_equal(nt.nodes[1]->r.lead_transferee, 3);
    assert_int_equal(nt.nodes[1]->r.role, RAFT_LEADER);
    assert_int_equal(kept.type, RAFT_MSG_APP_RESP);

    /* Applied and acknowledged: the transfer goes on. */
    nt.hook = NULL;
    {
        struct raft *r = &nt.nodes[3]->r;
        struct raft_snapshot *s =
            raft_snapshot_ref(raft_log_next_unstable_snapshot(&r->log));

        assert_int_equal(memory_storage_apply_snapshot(&nt.nodes[3]->ms, s), 0);
        raft_applied_snap(r, s);
        raft_snapshot_unref(s);
    }
    network_send(&nt, kept);
    assert_transferred(nt.nodes[1], RAFT_FOLLOWER, 3);
    network_release(&nt);
}

static void test_leader_transfer_to_self(void **state)
{
    struct network nt;

    (void)state;
    NETWORK(&nt, NULL, NULL, NULL);
    network_hup(&nt, 1);
    network_transfer(&nt, 1, 1);
    assert_transferred(nt.nodes[1], RAFT_LEADER, 1);
    network_release(&nt);
}

static void test_leader_transfer_to_non_existing_node(void **state)
{
    struct network nt;

    (void)state;
    NETWORK(&nt, NULL, NULL, NULL);
    network_hup(&nt, 1);
    network_transfer(&nt, 1, 4);
    assert_transferred(nt.nodes[1], RAFT_LEADER, 1);
    network_release(&nt);
}

static void test_leader_transfer_to_learner_is_ignored(void **state)
{
    struct node *n = NODE(.voters = IDS(1), .learners = IDS(2));

    (void)state;
    node_become_leader(n);
    node_step(n, MSG(TRANSFER_LEADER, 2, 1));
    assert_transferred(n, RAFT_LEADER, 1);
    node_free(n);
}

/* A group of three led by 1, with 3 cut off. */
static struct node *isolated_third(struct network *nt)
{
    NETWORK(nt, NULL, NULL, NULL);
    network_hup(nt, 1);
    network_isolate(nt, 3);
    return nt->nodes[1];
}

static void test_leader_transfer_timeout(void **state)
{
    struct network nt;
    struct node *lead = isolated_third(&nt);

    (void)state;
    network_transfer(&nt, 1, 3);
    assert_int_equal(lead->r.lead_transferee, 3);
    node_tick(lead, lead->r.heartbeat_timeout);
    assert_int_equal(lead->r.lead_transferee, 3);
    node_tick(lead, lead->r.election_timeout - lead->r.heartbeat_timeout);
    assert_transferred(lead, RAFT_LEADER, 1);
    network_release(&nt);
}

/* A4: the deadline counts from the request. */
static void test_transfer_restarts_the_election_timer(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    node_become_leader(n);
    node_tick(n, 9);
    node_step(n, MSG(TRANSFER_LEADER, 2, 1));
    node_tick(n, 1);
    assert_int_equal(n->r.lead_transferee, 2);
    node_tick(n, 8);
    assert_int_equal(n->r.lead_transferee, 2);
    node_tick(n, 1);
    assert_transferred(n, RAFT_LEADER, 1);
    node_free(n);
}

static void test_leader_transfer_ignore_proposal(void **state)
{
    struct network nt;
    struct node *lead = isolated_third(&nt);
    uint64_t last = raft_log_last_index(&lead->r.log);

    (void)state;
    network_transfer(&nt, 1, 3);
    assert_int_equal(lead->r.lead_transferee, 3);
    network_propose(&nt, 1, "x");
    assert_int_equal(node_step_rc(lead, with_data(MSG(PROP, 1, 1), "x")),
                     ERR_PROPOSAL_DROPPED);
    assert_int_equal(raft_log_last_index(&lead->r.log), last);
    network_release(&nt);
}

static void test_leader_transfer_receive_higher_term_vote(void **state)
{
    struct network nt;
    struct node *lead = isolated_third(&nt);

    (void)state;
    network_transfer(&nt, 1, 3);
    assert_int_equal(lead->r.lead_transferee, 3);
    network_send(&nt, MSG(HUP, 2, 2, .index = 1, .term = 2));
    assert_transferred(lead, RAFT_FOLLOWER, 2);
    network_release(&nt);
}

static void test_leader_transfer_remove_node(void **state)
{
    struct network nt;
    struct node *lead;

    (void)state;
    NETWORK(&nt, NULL, NULL, NULL);
    network_hup(&nt, 1);
    network_ignore(&nt, RAFT_MSG_TIMEOUT_NOW);
    lead = nt.nodes[1];
    network_transfer(&nt, 1, 3);
    assert_int_equal(lead->r.lead_transferee, 3);
    node_apply(lead, CONF_CHANGE_REMOVE_NODE, 3);
    assert_transferred(lead, RAFT_LEADER, 1);
    network_release(&nt);
}

static void test_leader_transfer_demote_node(void **state)
{
    struct conf_change_single changes[] = {
        {CONF_CHANGE_REMOVE_NODE, 3},
        {CONF_CHANGE_ADD_LEARNER_NODE, 3},
    };
    struct conf_change_v2 enter = {.changes = changes, .n_changes = 2};
    struct conf_change_v2 leave = {0};
    struct network nt;
    struct node *lead;

    (void)state;
    NETWORK(&nt, NULL, NULL, NULL);
    network_hup(&nt, 1);
    network_ignore(&nt, RAFT_MSG_TIMEOUT_NOW);
    lead = nt.nodes[1];
    network_transfer(&nt, 1, 3);
    assert_int_equal(lead->r.lead_transferee, 3);
    raft_apply_conf_change(&lead->r, &enter);
    /* It still votes, as one of the outgoing half. */
    assert_int_equal(lead->r.lead_transferee, 3);
    raft_apply_conf_change(&lead->r, &leave);
    assert_transferred(lead, RAFT_LEADER, 1);
    network_release(&nt);
}

static void test_leader_transfer_back(void **state)
{
    struct network nt;
    struct node *lead = isolated_third(&nt);

    (void)state;
    network_transfer(&nt, 1, 3);
    assert_int_equal(lead->r.lead_transferee, 3);
    network_transfer(&nt, 1, 1);
    assert_transferred(lead, RAFT_LEADER, 1);
    network_release(&nt);
}

static void test_leader_transfer_second_transfer_to_another_node(void **state)
{
    struct network nt;
    struct node *lead = isolated_third(&nt);

    (void)state;
    network_transfer(&nt, 1, 3);
    assert_int_equal(lead->r.lead_transferee, 3);
    network_transfer(&nt, 1, 2);
    assert_transferred(lead, RAFT_FOLLOWER, 2);
    network_release(&nt);
}

static void test_leader_transfer_second_transfer_to_same_node(void **state)
{
    struct network nt;
    struct node *lead = isolated_third(&nt);

    (void)state;
    network_transfer(&nt, 1, 3);
    assert_int_equal(lead->r.lead_transferee, 3);
    node_tick(lead, lead->r.heartbeat_timeout);
    network_transfer(&nt, 1, 3); /* does not extend the deadline */
    node_tick(lead, lead->r.election_timeout - lead->r.heartbeat_timeout);
    assert_transferred(lead, RAFT_LEADER, 1);
    network_release(&nt);
}

/* LT-8: nobody to forward it to. */
static void test_transfer_without_leader_is_dropped(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    node_step(n, MSG(TRANSFER_LEADER, 2, 1));
    assert_int_equal(drop_messages(&n->r), 0);
    node_free(n);
}

/* The target must have all of the log, not only what is committed. */
static void test_transfer_waits_for_the_end_of_the_log(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    node_become_leader(n);
    node_propose(n, "a");
    node_propose(n, "b"); /* 1 is the empty entry, 2 and 3 these */
    drop_messages(&n->r);
    node_step(n, MSG(APP_RESP, 3, 1, .term = 1, .index = 1));
    assert_int_equal(n->r.log.committed, 1);
    node_step(n, MSG(TRANSFER_LEADER, 2, 1));
    assert_int_equal(drop_messages_of(&n->r, RAFT_MSG_TIMEOUT_NOW), 0);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 2));
    assert_int_equal(n->r.log.committed, 2);
    assert_int_equal(drop_messages_of(&n->r, RAFT_MSG_TIMEOUT_NOW), 0);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 3));
    assert_int_equal(drop_messages_of(&n->r, RAFT_MSG_TIMEOUT_NOW), 1);
    node_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leader_transfer_to_up_to_date_node),
        cmocka_unit_test(test_leader_transfer_to_up_to_date_node_from_follower),
        cmocka_unit_test(test_leader_transfer_with_check_quorum),
        cmocka_unit_test(test_transfer_skips_pre_vote),
        cmocka_unit_test(test_leader_transfer_to_slow_follower),
        cmocka_unit_test(test_leader_transfer_after_snapshot),
        cmocka_unit_test(test_leader_transfer_to_self),
        cmocka_unit_test(test_leader_transfer_to_non_existing_node),
        cmocka_unit_test(test_leader_transfer_to_learner_is_ignored),
        cmocka_unit_test(test_leader_transfer_timeout),
        cmocka_unit_test(test_transfer_restarts_the_election_timer),
        cmocka_unit_test(test_leader_transfer_ignore_proposal),
        cmocka_unit_test(test_leader_transfer_receive_higher_term_vote),
        cmocka_unit_test(test_leader_transfer_remove_node),
        cmocka_unit_test(test_leader_transfer_demote_node),
        cmocka_unit_test(test_leader_transfer_back),
        cmocka_unit_test(test_leader_transfer_second_transfer_to_another_node),
        cmocka_unit_test(test_leader_transfer_second_transfer_to_same_node),
        cmocka_unit_test(test_transfer_without_leader_is_dropped),
        cmocka_unit_test(test_transfer_waits_for_the_end_of_the_log),
    };

    return cmocka_run_group_tests_name("raft_transfer", tests, NULL, NULL);
}
