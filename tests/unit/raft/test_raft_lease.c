/* Leaders that lose their quorum, voters that keep their lease, and clusters
 * that change over to pre-votes.
 *
 * Goal: raft-core 9.5 and 9.6. Method: networks of three in which links are cut
 * and clocks are ticked by hand; names and scenarios of etcd-io/raft
 * raft_test.go. */

#include "tests/lib/raft_fixture.h"

/* --- CheckQuorum and leases --- */

static void test_leader_stepdown_when_quorum_active(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2, 3), .election = 5, .check_quorum = true);

    (void)state;
    node_become_leader(n);
    for (int i = 0; i < n->r.election_timeout + 1; i++) {
        node_step(n, MSG(HEARTBEAT_RESP, 2, 1, .term = n->r.term));
        n->r.tick(&n->r);
    }
    assert_int_equal(n->r.role, RAFT_LEADER);
    node_free(n);
}

static void test_leader_stepdown_when_quorum_lost(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2, 3), .election = 5, .check_quorum = true);

    (void)state;
    node_become_leader(n);
    for (int i = 0; i < n->r.election_timeout + 1; i++) {
        n->r.tick(&n->r);
    }
    assert_int_equal(n->r.role, RAFT_FOLLOWER);
    node_free(n);
}

/* [raft-core EL-23]: with followers active at the start, two periods. */
static void test_check_quorum_tick_pattern(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2, 3), .election = 3, .check_quorum = true);
    size_t rounds = 0;

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    pr_of(n, 2)->recent_active = true;
    pr_of(n, 3)->recent_active = true;
    for (int tick = 1; tick <= 6; tick++) {
        n->r.tick(&n->r);
        rounds += drop_messages(&n->r) / 2;
        assert_int_equal(n->r.role, tick < 6 ? RAFT_LEADER : RAFT_FOLLOWER);
    }
    assert_int_equal(rounds, 5);
    node_free(n);
}

static struct network *check_quorum_net(struct network *nt, bool pre_vote)
{
    NETWORK(nt, NODE(.check_quorum = true, .pre_vote = pre_vote),
            NODE(.check_quorum = true, .pre_vote = pre_vote),
            NODE(.check_quorum = true, .pre_vote = pre_vote));
    return nt;
}

static void test_leader_superseding_with_check_quorum(void **state)
{
    struct network nt;
    struct node *b;

    (void)state;
    check_quorum_net(&nt, false);
    b = nt.nodes[2];
    b->r.randomized_election_timeout = b->r.election_timeout + 1;
    for (int i = 0; i < b->r.election_timeout; i++) {
        b->r.tick(&b->r);
    }
    network_hup(&nt, 1);
    assert_int_equal(nt.nodes[1]->r.role, RAFT_LEADER);
    assert_int_equal(nt.nodes[3]->r.role, RAFT_FOLLOWER);
    /* 2 heard of the leader just now: it lets nobody disturb. */
    network_hup(&nt, 3);
    assert_int_equal(nt.nodes[3]->r.role, RAFT_CANDIDATE);
    for (int i = 0; i < b->r.election_timeout; i++) {
        b->r.tick(&b->r);
    }
    network_hup(&nt, 3);
    assert_int_equal(nt.nodes[3]->r.role, RAFT_LEADER);
    network_release(&nt);
}

static void test_leader_election_with_check_quorum(void **state)
{
    struct network nt;
    struct node *a;
    struct node *b;

    (void)state;
    check_quorum_net(&nt, false);
    a = nt.nodes[1];
    b = nt.nodes[2];
    a->r.randomized_election_timeout = a->r.election_timeout + 1;
    b->r.randomized_election_timeout = b->r.election_timeout + 2;
    /* Nobody has heard of a leader: votes are given at once. */
    network_hup(&nt, 1);
    assert_int_equal(a->r.role, RAFT_LEADER);
    assert_int_equal(nt.nodes[3]->r.role, RAFT_FOLLOWER);
    /* becoming leader and follower drew new timeouts */
    a->r.randomized_election_timeout = a->r.election_timeout + 1;
    b->r.randomized_election_timeout = b->r.election_timeout + 2;
    for (int i = 0; i < a->r.election_timeout; i++) {
        a->r.tick(&a->r);
    }
    for (int i = 0; i < b->r.election_timeout; i++) {
        b->r.tick(&b->r);
    }
    network_hup(&nt, 3);
    assert_int_equal(a->r.role, RAFT_FOLLOWER);
    assert_int_equal(nt.nodes[3]->r.role, RAFT_LEADER);
    network_release(&nt);
}

static void test_free_stuck_candidate_with_check_quorum(void **state)
{
    struct network nt;
    struct node *a;
    struct node *b;
    struct node *c;

    (void)state;
    check_quorum_net(&nt, false);
    a = nt.nodes[1];
    b = nt.nodes[2];
    c = nt.nodes[3];
    b->r.randomized_election_timeout = b->r.election_timeout + 1;
    for (int i = 0; i < b->r.election_timeout; i++) {
        b->r.tick(&b->r);
    }
    network_hup(&nt, 1);
    network_isolate(&nt, 1);
    network_hup(&nt, 3);
    assert_role(b, RAFT_FOLLOWER, 1);
    assert_role(c, RAFT_CANDIDATE, b->r.term + 1);
    network_hup(&nt, 3);
    assert_role(b, RAFT_FOLLOWER, 1);
    assert_role(c, RAFT_CANDIDATE, b->r.term + 2);

    network_recover(&nt);
    network_send(&nt, MSG(HEARTBEAT, 1, 3, .term = a->r.term));
    /* The stuck node deposed the leader: both are in one term again. */
    assert_int_equal(a->r.role, RAFT_FOLLOWER);
    assert_int_equal(c->r.term, a->r.term);
    network_hup(&nt, 3);
    assert_int_equal(c->r.role, RAFT_LEADER);
    network_release(&nt);
}

static void test_non_promotable_voter_with_check_quorum(void **state)
{
    struct node *a = NODE(.id = 1, .voters = IDS(1, 2), .check_quorum = true);
    struct node *b = NODE(.id = 2, .voters = IDS(1), .check_quorum = true);
    struct network nt;

    (void)state;
    NETWORK(&nt, a, b);
    b->r.randomized_election_timeout = b->r.election_timeout + 1;
    node_apply(b, CONF_CHANGE_REMOVE_NODE, 2);
    assert_false(raft_promotable(&b->r));
    for (int i = 0; i < b->r.election_timeout; i++) {
        b->r.tick(&b->r);
    }
    network_hup(&nt, 1);
    assert_int_equal(a->r.role, RAFT_LEADER);
    assert_int_equal(b->r.role, RAFT_FOLLOWER);
    assert_int_equal(b->r.lead, 1);
    network_release(&nt);
}

static void test_disruptive_follower(void **state)
{
    struct network nt;
    struct node *c;

    (void)state;
    check_quorum_net(&nt, false);
    for (uint64_t i = 1; i <= 3; i++) {
        raft_become_follower(&nt.nodes[i]->r, 1, RAFT_NONE);
    }
    network_hup(&nt, 1);
    c = nt.nodes[3];
    assert_role(nt.nodes[1], RAFT_LEADER, 2);
    /* 3 does not hear the leader in time. */
    c->r.randomized_election_timeout = c->r.election_timeout + 2;
    for (int i = 0; i < c->r.randomized_election_timeout; i++) {
        c->r.tick(&c->r);
    }
    advance_messages_after_append(&c->r);
    assert_role(nt.nodes[1], RAFT_LEADER, 2);
    assert_role(nt.nodes[2], RAFT_FOLLOWER, 2);
    assert_role(c, RAFT_CANDIDATE, 3);
    /* Its answer to the late heartbeat carries the higher term. */
    network_send(&nt, MSG(HEARTBEAT, 1, 3, .term = 2));
    assert_role(nt.nodes[1], RAFT_FOLLOWER, 3);
    assert_role(nt.nodes[2], RAFT_FOLLOWER, 2);
    assert_role(c, RAFT_CANDIDATE, 3);
    network_release(&nt);
}

static void test_disruptive_follower_pre_vote(void **state)
{
    struct network nt;

    (void)state;
    check_quorum_net(&nt, false);
    for (uint64_t i = 1; i <= 3; i++) {
        raft_become_follower(&nt.nodes[i]->r, 1, RAFT_NONE);
    }
    network_hup(&nt, 1);
    network_isolate(&nt, 3);
    for (int i = 0; i < 3; i++) {
        network_propose(&nt, 1, "somedata");
    }
    for (uint64_t i = 1; i <= 3; i++) {
        nt.nodes[i]->r.pre_vote = true;
    }
    network_recover(&nt);
    network_hup(&nt, 3);
    assert_role(nt.nodes[1], RAFT_LEADER, 2);
    assert_role(nt.nodes[2], RAFT_FOLLOWER, 2);
    assert_role(nt.nodes[3], RAFT_PRE_CANDIDATE, 2);
    network_send(&nt, MSG(HEARTBEAT, 1, 3, .term = 2));
    assert_int_equal(nt.nodes[1]->r.role, RAFT_LEADER);
    network_release(&nt);
}

static void test_add_node_check_quorum(void **state)
{
    struct node *n = NODE(.voters = IDS(1), .check_quorum = true);

    (void)state;
    node_become_leader(n);
    for (int i = 0; i < n->r.election_timeout - 1; i++) {
        n->r.tick(&n->r);
    }
    node_apply(n, CONF_CHANGE_ADD_NODE, 2);
    /* A new member counts as active, so that it does not depose us. */
    n->r.tick(&n->r);
    assert_int_equal(n->r.role, RAFT_LEADER);
    for (int i = 0; i < n->r.election_timeout; i++) {
        n->r.tick(&n->r);
    }
    assert_int_equal(n->r.role, RAFT_FOLLOWER);
    node_free(n);
}

/* One of two followers and the leader itself are a majority, for as many
 * periods as the follower answers. The leader proposes nothing, so no
 * acknowledgement of its own shows that it is there. */
static void test_leader_counts_itself_in_every_period(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .check_quorum = true);

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    for (int period = 0; period < 4; period++) {
        node_step(n, MSG(HEARTBEAT_RESP, 2, 1, .term = 1));
        node_tick(n, n->r.election_timeout);
        drop_messages(&n->r);
        assert_int_equal(n->r.role, RAFT_LEADER);
    }
    node_free(n);
}

/* The quorum is checked once in an election timeout, not at each tick after
 * the first one [raft-core TICK-2]. */
static void test_quorum_is_checked_once_in_a_period(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .check_quorum = true);

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    node_step(n, MSG(HEARTBEAT_RESP, 2, 1, .term = 1));
    node_tick(n, n->r.election_timeout);
    assert_int_equal(n->r.role, RAFT_LEADER);
    node_tick(n, n->r.election_timeout - 1);
    assert_int_equal(n->r.role, RAFT_LEADER);
    node_tick(n, 1);
    assert_int_equal(n->r.role, RAFT_FOLLOWER);
    node_free(n);
}

/* Learners that answer do not make up for voters that do not. */
static void test_learners_make_no_quorum(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .learners = IDS(4, 5, 6),
                          .check_quorum = true);

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    for (uint64_t id = 4; id <= 6; id++) {
        node_step(n, MSG(HEARTBEAT_RESP, id, 1, .term = 1));
    }
    node_tick(n, n->r.election_timeout);
    assert_int_equal(n->r.role, RAFT_FOLLOWER);
    node_free(n);
}

/* In a joint configuration a leader needs both majorities [Raft 6]: it
 * steps down when 2, of the incoming, or 3, of the outgoing half, is silent,
 * and stays when neither is. */
static void test_joint_quorum_needs_both_halves(void **state)
{
    (void)state;
    for (uint64_t silent = 2; silent <= 4; silent++) {
        struct node *n = NODE(.voters = IDS(1, 2), .voters_outgoing = IDS(1, 3),
                              .check_quorum = true);

        node_become_leader(n);
        drop_messages(&n->r);
        for (uint64_t id = 2; id <= 3; id++) {
            if (id != silent) {
                node_step(n, MSG(HEARTBEAT_RESP, id, 1, .term = 1));
            }
        }
        node_tick(n, n->r.election_timeout);
        assert_int_equal(n->r.role, silent <= 3 ? RAFT_FOLLOWER : RAFT_LEADER);
        node_free(n);
    }
}

/* An answer of a higher term deposes a leader, whatever it answers
 * [raft-core 7.2, EL-20]. */
static void test_answer_of_a_higher_term_deposes(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .check_quorum = true);

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 5));
    assert_role(n, RAFT_FOLLOWER, 5);
    assert_int_equal(n->r.lead, RAFT_NONE);
    node_free(n);
}

/* --- PreVote --- */

static void test_node_with_smaller_term_can_complete_election(void **state)
{
    struct network nt;

    (void)state;
    NETWORK(&nt, NODE(.pre_vote = true), NODE(.pre_vote = true),
            NODE(.pre_vote = true));
    for (uint64_t i = 1; i <= 3; i++) {
        raft_become_follower(&nt.nodes[i]->r, 1, RAFT_NONE);
    }
    network_cut(&nt, 1, 3);
    network_cut(&nt, 2, 3);
    network_hup(&nt, 1);
    assert_role(nt.nodes[1], RAFT_LEADER, 2);
    assert_role(nt.nodes[2], RAFT_FOLLOWER, 2);
    network_hup(&nt, 3);
    assert_role(nt.nodes[3], RAFT_PRE_CANDIDATE, 1);
    network_hup(&nt, 2);
    assert_role(nt.nodes[1], RAFT_FOLLOWER, 3);
    assert_role(nt.nodes[2], RAFT_LEADER, 3);
    assert_role(nt.nodes[3], RAFT_PRE_CANDIDATE, 1);

    network_recover(&nt);
    network_cut(&nt, 2, 1);
    network_cut(&nt, 2, 3);
    network_hup(&nt, 3);
    network_hup(&nt, 1);
    assert_true(nt.nodes[1]->r.role == RAFT_LEADER ||
                nt.nodes[3]->r.role == RAFT_LEADER);
    network_release(&nt);
}

static void test_pre_vote_with_split_vote(void **state)
{
    struct network nt;
    struct message_queue both = {0};

    (void)state;
    NETWORK(&nt, NODE(.pre_vote = true), NODE(.pre_vote = true),
            NODE(.pre_vote = true));
    for (uint64_t i = 1; i <= 3; i++) {
        raft_become_follower(&nt.nodes[i]->r, 1, RAFT_NONE);
    }
    network_hup(&nt, 1);
    /* The leader goes away; both others ask at the same time. */
    network_isolate(&nt, 1);
    *message_queue_push(&both) = MSG(HUP, 2, 2);
    *message_queue_push(&both) = MSG(HUP, 3, 3);
    network_send_all(&nt, &both);
    assert_role(nt.nodes[2], RAFT_CANDIDATE, 3);
    assert_role(nt.nodes[3], RAFT_CANDIDATE, 3);
    network_hup(&nt, 2);
    assert_role(nt.nodes[2], RAFT_LEADER, 4);
    assert_role(nt.nodes[3], RAFT_FOLLOWER, 4);
    network_release(&nt);
}

static void test_pre_vote_with_check_quorum(void **state)
{
    struct network nt;

    (void)state;
    check_quorum_net(&nt, true);
    for (uint64_t i = 1; i <= 3; i++) {
        raft_become_follower(&nt.nodes[i]->r, 1, RAFT_NONE);
    }
    network_hup(&nt, 1);
    network_isolate(&nt, 1);
    assert_int_equal(nt.nodes[1]->r.role, RAFT_LEADER);
    assert_int_equal(nt.nodes[2]->r.role, RAFT_FOLLOWER);
    assert_int_equal(nt.nodes[3]->r.role, RAFT_FOLLOWER);
    /* 2 is within its lease and ignores 3; having lost the leader itself it
     * forgets it, and may be elected. */
    network_hup(&nt, 3);
    network_hup(&nt, 2);
    assert_true(nt.nodes[2]->r.role == RAFT_LEADER ||
                nt.nodes[3]->r.role == RAFT_FOLLOWER);
    network_release(&nt);
}

/* Three nodes switch to pre-votes one after the other; 3 is at term 4, with a
 * shorter log than the leader 1 of term 2. */
static void pre_vote_migration_cluster(struct network *nt)
{
    NETWORK(nt, NODE(.pre_vote = true), NODE(.pre_vote = true), NULL);
    for (uint64_t i = 1; i <= 3; i++) {
        raft_become_follower(&nt->nodes[i]->r, 1, RAFT_NONE);
    }
    network_hup(nt, 1);
    network_isolate(nt, 3);
    network_propose(nt, 1, "some data");
    network_hup(nt, 3);
    network_hup(nt, 3);
    assert_role(nt->nodes[1], RAFT_LEADER, 2);
    assert_role(nt->nodes[2], RAFT_FOLLOWER, 2);
    assert_role(nt->nodes[3], RAFT_CANDIDATE, 4);
    nt->nodes[3]->r.pre_vote = true;
    network_recover(nt);
}

static void test_pre_vote_migration_can_complete_election(void **state)
{
    struct network nt;

    (void)state;
    pre_vote_migration_cluster(&nt);
    network_isolate(&nt, 1);
    for (int i = 0; i < 2; i++) {
        network_hup(&nt, 3);
        network_hup(&nt, 2);
    }
    assert_true(nt.nodes[2]->r.role == RAFT_LEADER ||
                nt.nodes[3]->r.role == RAFT_LEADER);
    network_release(&nt);
}

static void test_pre_vote_migration_with_free_stuck_pre_candidate(void **state)
{
    struct network nt;

    (void)state;
    pre_vote_migration_cluster(&nt);
    for (int i = 0; i < 2; i++) {
        network_hup(&nt, 3);
        assert_int_equal(nt.nodes[1]->r.role, RAFT_LEADER);
        assert_int_equal(nt.nodes[2]->r.role, RAFT_FOLLOWER);
        assert_int_equal(nt.nodes[3]->r.role, RAFT_PRE_CANDIDATE);
    }
    network_send(&nt, MSG(HEARTBEAT, 1, 3, .term = nt.nodes[1]->r.term));
    assert_int_equal(nt.nodes[1]->r.role, RAFT_FOLLOWER);
    assert_int_equal(nt.nodes[3]->r.term, nt.nodes[1]->r.term);
    network_release(&nt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leader_stepdown_when_quorum_active),
        cmocka_unit_test(test_leader_stepdown_when_quorum_lost),
        cmocka_unit_test(test_check_quorum_tick_pattern),
        cmocka_unit_test(test_leader_superseding_with_check_quorum),
        cmocka_unit_test(test_leader_election_with_check_quorum),
        cmocka_unit_test(test_free_stuck_candidate_with_check_quorum),
        cmocka_unit_test(test_non_promotable_voter_with_check_quorum),
        cmocka_unit_test(test_disruptive_follower),
        cmocka_unit_test(test_disruptive_follower_pre_vote),
        cmocka_unit_test(test_add_node_check_quorum),
        cmocka_unit_test(test_leader_counts_itself_in_every_period),
        cmocka_unit_test(test_quorum_is_checked_once_in_a_period),
        cmocka_unit_test(test_learners_make_no_quorum),
        cmocka_unit_test(test_joint_quorum_needs_both_halves),
        cmocka_unit_test(test_answer_of_a_higher_term_deposes),
        cmocka_unit_test(test_node_with_smaller_term_can_complete_election),
        cmocka_unit_test(test_pre_vote_with_split_vote),
        cmocka_unit_test(test_pre_vote_with_check_quorum),
        cmocka_unit_test(test_pre_vote_migration_can_complete_election),
        cmocka_unit_test(test_pre_vote_migration_with_free_stuck_pre_candidate),
    };

    return cmocka_run_group_tests_name("raft_lease", tests, NULL, NULL);
}
