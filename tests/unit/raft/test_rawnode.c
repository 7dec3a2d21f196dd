/* The door with a synchronous application: Ready, its work, Advance.
 *
 * Goal: raft-core sections 4 and 22. Method: a node over memory storage whose
 * Readys are looked at one by one; names and scenarios of etcd-io/raft
 * rawnode_test.go and node_test.go, as far as they are not about goroutines. */

#include "tests/lib/rawnode_fixture.h"

#include <string.h>

/* --- what may come in --- */

static void test_raw_node_step(void **state)
{
    (void)state;
    for (uint64_t type = 0; type < RAFT_MSG_TYPES; type++) {
        struct rawnode_env env;
        int rc;

        rawnode_env_init(&env,
                         &(struct node_spec){.voters = IDS(1),
                                             .log = TERMS(1),
                                             .hs = {.term = 1, .commit = 1}});
        rc = rawnode_env_step(&env, (struct raft_message){.type = type});
        if (raft_message_is_local(type)) {
            assert_int_equal(rc, ERR_STEP_LOCAL_MSG);
        } else if (raft_message_is_response(type)) {
            assert_int_equal(rc, ERR_STEP_PEER_NOT_FOUND);
        }
        rawnode_env_release(&env);
    }
}

static void test_step_screens_implausible_messages(void **state)
{
    const struct {
        const char *name;
        struct raft_message m;
    } cases[] = {
        {"unknown type", {.type = 99, .from = 2, .to = 1, .term = 9}},
        {"next type", {.type = RAFT_MSG_TYPES, .from = 2, .to = 1, .term = 9}},
        {"no term", MSG(HEARTBEAT, 2, 1, .commit = 1)},
        {"no sender", MSG(HEARTBEAT, 0, 1, .term = 9)},
        {"from ourselves", MSG(HEARTBEAT, 1, 1, .term = 9)},
        {"response from ourselves", MSG(APP_RESP, 1, 1, .term = 9)},
        {"read without a context", MSG(READ_INDEX, 2, 1)},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rawnode_env env;

        rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2)});
        assert_int_equal(rawnode_env_step(&env, cases[i].m), 0);
        assert_false(rawnode_has_ready(env.rn));
        assert_int_equal(env.rn->raft.term, 0);
        rawnode_env_release(&env);
    }
}

/* What followers pass on may come without a term [raft-core SND-2], and a
 * proposal of nothing is no reason to stop. */
static void test_step_takes_requests_without_term(void **state)
{
    struct rawnode_env env;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2)});
    raft_become_candidate(&env.rn->raft);
    raft_become_leader(&env.rn->raft);
    assert_int_equal(rawnode_env_step(&env, MSG(PROP, 2, 1)),
                     ERR_PROPOSAL_DROPPED);
    assert_int_equal(rawnode_env_step(&env, MSG(TRANSFER_LEADER, 2, 1)), 0);
    assert_int_equal(env.rn->raft.lead_transferee, 2);
    rawnode_env_release(&env);
}

static void test_step_refuses_storage_messages_without_async(void **state)
{
    struct rawnode_env env;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2)});
    assert_int_equal(
        rawnode_env_step(&env, MSG(STORAGE_APPEND_RESP,
                                   RAFT_LOCAL_APPEND_THREAD, 1, .index = 1)),
        ERR_STEP_LOCAL_MSG);
    rawnode_env_release(&env);
}

static void test_snapshot_beyond_its_senders_term_is_screened(void **state)
{
    struct rawnode_env env;
    struct raft_snapshot *s =
        member_snapshot(5, 9, IDS(1, 2), (struct id_list){NULL, 0});

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2)});
    assert_int_equal(
        rawnode_env_step(&env, with_snapshot(MSG(SNAP, 2, 1, .term = 3), s)),
        0);
    assert_false(rawnode_has_ready(env.rn));
    raft_snapshot_unref(s);
    rawnode_env_release(&env);
}

/* A forwarded proposal is numbered in a copy, our own in place. */
static void test_proposals_and_their_entries(void **state)
{
    struct rawnode_env env;
    struct raft_message m = with_data(MSG(PROP, 2, 1), "theirs");
    struct raft_entry *own = raft_entry_new(
        RAFT_ENTRY_NORMAL, (struct bytes){(const uint8_t *)"o", 1});
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1)});
    rawnode_env_lead(&env);
    assert_int_equal(rawnode_step(env.rn, &m), 0);
    assert_int_equal(m.entries.items[0]->index, 0);
    assert_int_equal(m.entries.items[0]->term, 0);
    assert_int_equal(rawnode_propose(env.rn, own), 0);
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.n_entries, 2);
    assert_ptr_not_equal(rd.entries[0], m.entries.items[0]);
    assert_memory_equal(rd.entries[0]->data, "theirs", 6);
    assert_ptr_equal(rd.entries[1], own);
    assert_int_equal(own->index, 3);
    raft_message_release(&m);
    rawnode_advance(env.rn);

    /* One that is held elsewhere is copied as well. */
    own = raft_entry_ref(
        raft_entry_new(RAFT_ENTRY_NORMAL, (struct bytes){NULL, 0}));
    assert_int_equal(rawnode_propose(env.rn, own), 0);
    assert_int_equal(own->refs, 1);
    assert_int_equal(own->index, 0);
    raft_entry_unref(own);
    rawnode_env_release(&env);
}

static void test_node_propose_wait_dropped(void **state)
{
    struct rawnode_env env;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2)});
    assert_int_equal(rawnode_env_propose(&env, "x"), ERR_PROPOSAL_DROPPED);
    assert_int_equal(rawnode_env_step(&env, MSG(PROP, 2, 1)),
                     ERR_PROPOSAL_DROPPED);
    assert_false(rawnode_has_ready(env.rn));
    rawnode_env_release(&env);
}

static void test_propose_batch(void **state)
{
    struct rawnode_env env;
    struct raft_entry *batch[3];
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1)});
    rawnode_env_lead(&env);
    for (size_t i = 0; i < 3; i++) {
        batch[i] = test_entry_sized(0, 0, i);
    }
    assert_int_equal(rawnode_propose_batch(env.rn, batch, 3), 0);
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.n_entries, 3);
    assert_true(rd.must_sync);
    assert_int_equal(rd.n_committed_entries, 0);
    rawnode_advance(env.rn);
    /* Durable, so a group of one has committed them. */
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.n_committed_entries, 3);
    assert_false(rd.must_sync);
    rawnode_advance(env.rn);
    rawnode_env_release(&env);
}

static void test_disable_proposal_forwarding(void **state)
{
    (void)state;
    for (int disabled = 0; disabled < 2; disabled++) {
        struct rawnode_env env;
        struct raft_ready rd;

        rawnode_env_init(
            &env, &(struct node_spec){.id = 2,
                                      .voters = IDS(1, 2, 3),
                                      .disable_proposal_forwarding = disabled});
        assert_int_equal(
            rawnode_env_step(&env, MSG(HEARTBEAT, 1, 2, .term = 1)), 0);
        rawnode_env_drain(&env);
        assert_int_equal(rawnode_env_propose(&env, "testdata"),
                         disabled ? ERR_PROPOSAL_DROPPED : 0);
        assert_int_equal(rawnode_has_ready(env.rn), !disabled);
        if (!disabled) {
            rawnode_env_ready(&env, &rd);
            assert_int_equal(rd.n_messages, 1);
            assert_int_equal(rd.messages[0].type, RAFT_MSG_PROP);
            assert_int_equal(rd.messages[0].to, 1);
            assert_int_equal(rd.messages[0].from, 2);
            assert_int_equal(rd.messages[0].term, 0);
            rawnode_advance(env.rn);
        }
        rawnode_env_release(&env);
    }
}

/* Followers forward reads without a term; a leader deposed meanwhile forwards
 * again, in the name of who asked first. */
static void test_node_read_index_to_old_leader(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env,
                     &(struct node_spec){.id = 2, .voters = IDS(1, 2, 3)});
    raft_become_candidate(&env.rn->raft);
    raft_become_leader(&env.rn->raft);
    assert_int_equal(rawnode_env_step(&env, MSG(HEARTBEAT, 1, 2, .term = 2)),
                     0);
    rawnode_env_drain(&env);
    rawnode_read_index(env.rn, (struct bytes){(const uint8_t *)"own", 3});
    assert_int_equal(
        rawnode_env_step(&env, with_data(MSG(READ_INDEX, 3, 2), "theirs")), 0);
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.n_messages, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(rd.messages[i].type, RAFT_MSG_READ_INDEX);
        assert_int_equal(rd.messages[i].to, 1);
        assert_int_equal(rd.messages[i].term, 0);
        assert_int_equal(rd.messages[i].from, i == 0 ? 2 : 3);
        assert_int_equal(rd.messages[i].entries.len, 1);
    }
    rawnode_advance(env.rn);
    rawnode_env_release(&env);
}

static void test_node_tick(void **state)
{
    struct rawnode_env env;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1)});
    rawnode_tick(env.rn);
    assert_int_equal(env.rn->raft.election_elapsed, 1);
    rawnode_env_release(&env);
}

/* --- start and restart --- */

static void test_bootstrap(void **state)
{
    const struct raft_peer peers[] = {
        {1, {(const uint8_t *)"a", 1}}, {2, {NULL, 0}}, {3, {NULL, 0}}};
    struct rawnode_env env;
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.id = 1});
    assert_int_equal(rawnode_bootstrap(env.rn, NULL, 0),
                     ERR_BOOTSTRAP_NO_PEERS);
    assert_int_equal(rawnode_bootstrap(env.rn, peers, 3), 0);
    /* NEW-5 */
    for (size_t i = 0; i < 3; i++) {
        const struct progress *pr = &env.rn->raft.trk.progress.items[i];

        assert_int_equal(pr->state, PROGRESS_PROBE);
        assert_int_equal(pr->match, 0);
        assert_int_equal(pr->next, 3);
    }
    rawnode_env_ready(&env, &rd);
    assert_true(rd.must_sync);
    assert_null(rd.soft_state);
    assert_non_null(rd.hard_state);
    assert_int_equal(rd.hard_state->term, 1);
    assert_int_equal(rd.hard_state->vote, 0);
    assert_int_equal(rd.hard_state->commit, 3);
    assert_int_equal(rd.n_entries, 3);
    assert_int_equal(rd.n_committed_entries, 3);
    for (size_t i = 0; i < 3; i++) {
        struct conf_state cs = {0};
        struct conf_change cc;

        assert_int_equal(rd.entries[i]->index, i + 1);
        assert_int_equal(rd.entries[i]->term, 1);
        assert_int_equal(rd.entries[i]->type, RAFT_ENTRY_CONF_CHANGE);
        assert_ptr_equal(rd.entries[i], rd.committed_entries[i]);
        assert_int_equal(
            conf_change_decode(raft_entry_data(rd.entries[i]), &cc), 0);
        assert_int_equal(cc.node_id, i + 1);
        assert_int_equal(cc.context.len, i == 0 ? 1 : 0);
        rawnode_env_apply(&env, rd.committed_entries[i], &cs);
        assert_ids(&cs.voters, IDS(1, 2, 3));
        conf_state_release(&cs);
    }
    rawnode_advance(env.rn);
    assert_false(rawnode_has_ready(env.rn));
    assert_int_equal(rawnode_bootstrap(env.rn, peers, 3),
                     ERR_BOOTSTRAP_NONEMPTY);
    rawnode_env_release(&env);
}

static void test_node_start(void **state)
{
    const struct raft_peer peer = {1, {NULL, 0}};
    struct rawnode_env env;
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.id = 1});
    assert_int_equal(rawnode_bootstrap(env.rn, &peer, 1), 0);
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.hard_state->term, 1);
    assert_int_equal(rd.hard_state->commit, 1);
    assert_int_equal(rd.n_entries, 1);
    assert_int_equal(rd.n_committed_entries, 1);
    assert_true(rd.must_sync);
    rawnode_advance(env.rn);

    assert_int_equal(rawnode_campaign(env.rn), 0);
    for (int i = 0; i < 2; i++) { /* the vote, the empty entry */
        rawnode_env_ready(&env, &rd);
        assert_int_equal(rd.n_entries, i);
        rawnode_advance(env.rn);
    }
    assert_int_equal(rawnode_env_propose(&env, "foo"), 0);
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.hard_state->term, 2);
    assert_int_equal(rd.hard_state->vote, 1);
    assert_int_equal(rd.hard_state->commit, 2);
    assert_int_equal(rd.n_committed_entries, 1);
    assert_int_equal(rd.committed_entries[0]->index, 2);
    assert_int_equal(rd.n_entries, 1);
    assert_int_equal(rd.entries[0]->index, 3);
    assert_int_equal(rd.entries[0]->term, 2);
    assert_true(rd.must_sync);
    rawnode_advance(env.rn);
    /* Not committed before the Ready that shows it is done [PF-7]. */
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.hard_state->term, 2);
    assert_int_equal(rd.hard_state->vote, 1);
    assert_int_equal(rd.hard_state->commit, 3);
    assert_int_equal(rd.n_committed_entries, 1);
    assert_int_equal(rd.n_entries, 0);
    assert_false(rd.must_sync);
    rawnode_advance(env.rn);
    assert_false(rawnode_has_ready(env.rn));
    rawnode_env_release(&env);
}

/* NEW-6: members from a snapshot instead of conf changes in the log. */
static void test_raw_node_start(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1),
                                               .log_first = 2,
                                               .hs = {.commit = 1}});
    assert_false(rawnode_has_ready(env.rn));
    assert_int_equal(rawnode_campaign(env.rn), 0);
    rawnode_env_ready(&env, &rd);
    assert_true(rd.must_sync); /* the own vote */
    rawnode_advance(env.rn);
    assert_int_equal(rawnode_env_propose(&env, "foo"), 0);
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.soft_state->role, RAFT_LEADER);
    assert_int_equal(rd.n_entries, 2);
    assert_true(rd.must_sync);
    rawnode_advance(env.rn);
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.hard_state->term, 1);
    assert_int_equal(rd.hard_state->vote, 1);
    assert_int_equal(rd.hard_state->commit, 3);
    assert_int_equal(rd.n_committed_entries, 2);
    assert_false(rd.must_sync);
    rawnode_advance(env.rn);
    assert_false(rawnode_has_ready(env.rn));
    rawnode_env_release(&env);
}

static void test_raw_node_restart(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1),
                                               .log = TERMS(1, 1),
                                               .hs = {.term = 1, .commit = 1}});
    rawnode_env_ready(&env, &rd);
    assert_null(rd.hard_state); /* commit only goes up */
    assert_null(rd.soft_state);
    assert_int_equal(rd.n_entries, 0);
    assert_int_equal(rd.n_messages, 0);
    assert_int_equal(rd.n_committed_entries, 1);
    assert_false(rd.must_sync);
    rawnode_advance(env.rn);
    assert_false(rawnode_has_ready(env.rn));
    rawnode_env_release(&env);
}

static void test_raw_node_restart_from_snapshot(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2),
                                               .log_first = 3,
                                               .log_term0 = 1,
                                               .log = TERMS(1),
                                               .hs = {.term = 1, .commit = 3}});
    rawnode_env_ready(&env, &rd);
    assert_null(rd.hard_state);
    assert_null(rd.snapshot);
    assert_int_equal(rd.n_committed_entries, 1);
    assert_int_equal(rd.committed_entries[0]->index, 3);
    assert_false(rd.must_sync);
    rawnode_advance(env.rn);
    assert_false(rawnode_has_ready(env.rn));
    rawnode_env_release(&env);
}

/* --- Ready and Advance --- */

static void test_raw_node_consume_ready(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;
    struct raft *r;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2)});
    r = &env.rn->raft;
    raft_send(r, RAFT_MSG_HEARTBEAT, 2)->context_len = 0;
    assert_true(rawnode_has_ready(env.rn));
    assert_int_equal(r->msgs.len, 1); /* asking consumes nothing */
    rawnode_ready(env.rn, &rd);
    assert_int_equal(rd.n_messages, 1);
    assert_int_equal(r->msgs.len, 0);
    /* What comes up in between stays for the next one. */
    raft_send(r, RAFT_MSG_TIMEOUT_NOW, 2);
    rawnode_advance(env.rn);
    assert_int_equal(r->msgs.len, 1);
    rawnode_ready(env.rn, &rd);
    assert_int_equal(rd.n_messages, 1);
    assert_int_equal(rd.messages[0].type, RAFT_MSG_TIMEOUT_NOW);
    rawnode_advance(env.rn);
    rawnode_env_release(&env);
}

static void test_second_ready_without_advance_is_fatal(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1)});
    assert_int_equal(rawnode_campaign(env.rn), 0);
    rawnode_ready(env.rn, &rd);
    assert_fatal(&raft_trap, rawnode_ready(env.rn, &rd));
    rawnode_env_release(&env);
}

/* A follower hands out in one Ready what it is to write and to apply; its
 * answer is among the messages, to be sent after the sync. */
static void test_follower_ready(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2, 3)});
    assert_int_equal(
        rawnode_env_step(
            &env,
            with_entries(MSG(APP, 2, 1, .term = 1, .commit = 1), ATS({1, 1}))),
        0);
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.soft_state->lead, 2);
    assert_int_equal(rd.n_entries, 1);
    assert_int_equal(rd.n_committed_entries, 1);
    assert_int_equal(rd.n_messages, 1);
    assert_int_equal(rd.messages[0].type, RAFT_MSG_APP_RESP);
    assert_int_equal(rd.messages[0].to, 2);
    assert_true(rd.must_sync);
    rawnode_advance(env.rn);
    assert_int_equal(env.rn->raft.log.applied, 1);
    assert_int_equal(unstable_len(&env.rn->raft.log.unstable), 0);
    assert_false(rawnode_has_ready(env.rn));
    rawnode_env_release(&env);
}

/* RD-9: the term changes while a Ready is in hand. */
static void test_term_change_between_ready_and_advance(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2, 3)});
    assert_int_equal(
        rawnode_env_step(&env,
                         with_entries(MSG(APP, 2, 1, .term = 1), ATS({1, 1}))),
        0);
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rawnode_env_step(&env, MSG(HEARTBEAT, 3, 1, .term = 2)),
                     0);
    rawnode_advance(env.rn);
    /* The acknowledgement of the old term is void ... */
    assert_int_equal(unstable_len(&env.rn->raft.log.unstable), 1);
    /* ... and the next one releases the entry. */
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.n_entries, 0);
    assert_int_equal(rd.hard_state->term, 2);
    rawnode_advance(env.rn);
    assert_int_equal(unstable_len(&env.rn->raft.log.unstable), 0);
    rawnode_env_release(&env);
}

/* RD-6, SNAP-11: entries may follow a snapshot in one Ready. */
static void test_snapshot_and_entries_in_one_ready(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;
    struct raft_snapshot *s =
        member_snapshot(5, 1, IDS(1, 2, 3), (struct id_list){NULL, 0});

    (void)state;
    rawnode_env_init(
        &env, &(struct node_spec){.voters = IDS(1, 2, 3), .hs = {.term = 1}});
    assert_int_equal(
        rawnode_env_step(&env, with_snapshot(MSG(SNAP, 2, 1, .term = 1), s)),
        0);
    assert_int_equal(
        rawnode_env_step(&env,
                         with_entries(MSG(APP, 2, 1, .term = 1, .index = 5,
                                          .log_term = 1, .commit = 6),
                                      ATS({6, 1}))),
        0);
    rawnode_env_ready(&env, &rd);
    assert_ptr_equal(rd.snapshot, s);
    assert_int_equal(rd.n_entries, 1);
    assert_int_equal(rd.entries[0]->index, 6);
    assert_int_equal(rd.n_committed_entries, 0); /* RD-4 */
    assert_int_equal(rd.hard_state->commit, 6);
    rawnode_advance(env.rn);
    assert_int_equal(env.rn->raft.log.applied, 5);
    rawnode_env_ready(&env, &rd);
    assert_null(rd.snapshot);
    assert_int_equal(rd.n_committed_entries, 1);
    rawnode_advance(env.rn);
    assert_int_equal(env.rn->raft.log.applied, 6);
    raft_snapshot_unref(s);
    rawnode_env_release(&env);
}

/* A snapshot alone need not be synced by the HardState's rule. */
static void test_must_sync_of_a_snapshot_and_of_a_commit(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;
    struct raft_snapshot *s =
        member_snapshot(5, 1, IDS(1, 2, 3), (struct id_list){NULL, 0});

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2, 3),
                                               .log = TERMS(1),
                                               .hs = {.term = 1}});
    assert_int_equal(
        rawnode_env_step(&env, MSG(HEARTBEAT, 2, 1, .term = 1, .commit = 1)),
        0);
    rawnode_env_ready(&env, &rd);
    assert_non_null(rd.hard_state);
    assert_false(rd.must_sync);
    rawnode_advance(env.rn);
    assert_int_equal(
        rawnode_env_step(&env, with_snapshot(MSG(SNAP, 2, 1, .term = 1), s)),
        0);
    rawnode_env_ready(&env, &rd);
    assert_non_null(rd.snapshot);
    assert_false(rd.must_sync);
    rawnode_advance(env.rn);
    raft_snapshot_unref(s);
    rawnode_env_release(&env);
}

/* A vote must be on disk before it is answered, though the term is old. */
static void test_must_sync_of_a_vote(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(
        &env, &(struct node_spec){.voters = IDS(1, 2, 3), .hs = {.term = 1}});
    assert_int_equal(rawnode_env_step(&env, MSG(VOTE, 2, 1, .term = 1)), 0);
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.hard_state->vote, 2);
    assert_true(rd.must_sync);
    rawnode_advance(env.rn);
    rawnode_env_release(&env);
}

static void test_is_hard_state_equal(void **state)
{
    const struct hard_state zero = {0};
    const struct hard_state differs[] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};

    (void)state;
    assert_true(hard_state_equal(&zero, &zero));
    assert_true(hard_state_is_empty(&zero));
    for (size_t i = 0; i < ARRAY_LEN(differs); i++) {
        assert_false(hard_state_equal(&zero, &differs[i]));
        assert_false(hard_state_is_empty(&differs[i]));
    }
}

/* --- reads --- */

static void test_raw_node_read_index(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1)});
    rawnode_env_lead(&env);
    for (int i = 0; i < 3; i++) { /* the buffers change places */
        rawnode_read_index(env.rn, (struct bytes){(const uint8_t *)"ctx", 3});
        assert_true(rawnode_has_ready(env.rn));
        rawnode_env_ready(&env, &rd);
        assert_int_equal(rd.n_read_states, 1);
        assert_int_equal(rd.read_states[0].index, 1);
        assert_int_equal(rd.read_states[0].ctx_len, 3);
        assert_memory_equal(rd.read_states[0].ctx, "ctx", 3);
        rawnode_advance(env.rn);
        assert_false(rawnode_has_ready(env.rn));
    }
    rawnode_env_release(&env);
}

/* --- reports --- */

static void test_reports_reach_the_progress(void **state)
{
    struct rawnode_env env;
    struct progress *pr;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2)});
    raft_become_candidate(&env.rn->raft);
    raft_become_leader(&env.rn->raft);
    pr = tracker_progress(&env.rn->raft.trk, 2);
    progress_become_replicate(pr);
    rawnode_report_unreachable(env.rn, 2);
    rawnode_report_unreachable(env.rn, 77);
    assert_int_equal(pr->state, PROGRESS_PROBE);
    progress_become_snapshot(pr, 1);
    rawnode_report_snapshot(env.rn, 2, SNAPSHOT_FAILURE);
    assert_int_equal(pr->state, PROGRESS_PROBE);
    assert_int_equal(pr->next, 1);
    progress_become_snapshot(pr, 1);
    rawnode_report_snapshot(env.rn, 2, SNAPSHOT_FINISH);
    assert_int_equal(pr->next, 2);
    rawnode_transfer_leader(env.rn, 2);
    assert_int_equal(env.rn->raft.lead_transferee, 2);
    rawnode_env_release(&env);

    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2)});
    assert_int_equal(rawnode_env_step(&env, MSG(HEARTBEAT, 2, 1, .term = 1)),
                     0);
    assert_int_equal(rawnode_forget_leader(env.rn), 0);
    assert_int_equal(env.rn->raft.lead, RAFT_NONE);
    rawnode_env_release(&env);
}

static void test_raw_node_status(void **state)
{
    struct rawnode_env env;
    struct raft_status st;
    struct soft_state soft;
    struct hard_state hard;
    struct conf_state cs;
    uint64_t applied;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1)});
    rawnode_status(env.rn, &st);
    assert_null(st.progress);
    raft_status_release(&st);
    rawnode_env_lead(&env);
    rawnode_status(env.rn, &st);
    assert_int_equal(st.id, 1);
    assert_int_equal(st.soft_state.lead, 1);
    assert_int_equal(st.soft_state.role, RAFT_LEADER);
    assert_int_equal(st.hard_state.term, 1);
    assert_int_equal(st.first_index, 1);
    assert_int_equal(st.last_index, 1);
    assert_int_equal(st.n_progress, 1);
    assert_int_equal(st.progress[0].id, 1);
    assert_int_equal(st.progress[0].match, 1);
    assert_int_equal(st.progress[0].next, 2);
    assert_string_equal(st.progress[0].state, "StateReplicate");
    raft_status_release(&st);
    rawnode_basic_status(env.rn, &soft, &hard, &applied);
    assert_int_equal(soft.lead, 1);
    assert_int_equal(hard.commit, 1);
    assert_int_equal(applied, 1);
    rawnode_conf_state(env.rn, &cs);
    assert_ids(&cs.voters, IDS(1));
    conf_state_release(&cs);
    rawnode_env_release(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_raw_node_step),
        cmocka_unit_test(test_step_screens_implausible_messages),
        cmocka_unit_test(test_step_takes_requests_without_term),
        cmocka_unit_test(test_step_refuses_storage_messages_without_async),
        cmocka_unit_test(test_snapshot_beyond_its_senders_term_is_screened),
        cmocka_unit_test(test_proposals_and_their_entries),
        cmocka_unit_test(test_node_propose_wait_dropped),
        cmocka_unit_test(test_propose_batch),
        cmocka_unit_test(test_disable_proposal_forwarding),
        cmocka_unit_test(test_node_read_index_to_old_leader),
        cmocka_unit_test(test_node_tick),
        cmocka_unit_test(test_bootstrap),
        cmocka_unit_test(test_node_start),
        cmocka_unit_test(test_raw_node_start),
        cmocka_unit_test(test_raw_node_restart),
        cmocka_unit_test(test_raw_node_restart_from_snapshot),
        cmocka_unit_test(test_raw_node_consume_ready),
        cmocka_unit_test(test_second_ready_without_advance_is_fatal),
        cmocka_unit_test(test_follower_ready),
        cmocka_unit_test(test_term_change_between_ready_and_advance),
        cmocka_unit_test(test_snapshot_and_entries_in_one_ready),
        cmocka_unit_test(test_must_sync_of_a_snapshot_and_of_a_commit),
        cmocka_unit_test(test_is_hard_state_equal),
        cmocka_unit_test(test_raw_node_read_index),
        cmocka_unit_test(test_reports_reach_the_progress),
        cmocka_unit_test(test_raw_node_status),
        cmocka_unit_test(test_must_sync_of_a_vote),
    };

    return cmocka_run_group_tests_name("rawnode", tests, NULL, NULL);
}
