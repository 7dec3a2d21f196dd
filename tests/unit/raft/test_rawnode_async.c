/* The door with asynchronous storage, and paging of what is handed out.
 *
 * Goal: raft-core 22.4 and the budgets of section 25. Method: the test plays
 * the append and the apply thread and decides when they answer; A1, A8 and 10.3
 * of raft-tests, and the paging tests of etcd-io/raft node_test.go and
 * rawnode_test.go. */

#include "tests/lib/rawnode_fixture.h"

#include <string.h>

/* The message of this type in `rd`; NULL: none. */
static const struct raft_message *find(const struct raft_ready *rd,
                                       enum raft_message_type type)
{
    for (size_t i = 0; i < rd->n_messages; i++) {
        if (rd->messages[i].type == type) {
            return &rd->messages[i];
        }
    }
    return NULL;
}

/* Take a Ready and keep a copy of its message of this type: what a Ready points
 * to ends with the next one. */
static struct raft_message take(struct rawnode_env *env,
                                enum raft_message_type type)
{
    struct raft_ready rd;
    struct raft_message m = {0};
    const struct raft_message *found;

    rawnode_ready(env->rn, &rd);
    found = find(&rd, type);
    assert_non_null(found);
    raft_message_copy(&m, found);
    return m;
}

static void do_append(struct rawnode_env *env, struct raft_message m)
{
    storage_thread_write(env, &m);
    storage_thread_respond(env, &m);
    raft_message_release(&m);
}

/* A1 */
static void test_unstable_entries_are_not_handed_out(void **state)
{
    (void)state;
    for (int async = 0; async < 2; async++) {
        struct rawnode_env env;
        struct raft_ready rd;

        rawnode_env_init(
            &env, &(struct node_spec){.voters = IDS(1, 2, 3), .async = async});
        assert_int_equal(
            rawnode_env_step(
                &env, with_entries(MSG(APP, 2, 1, .term = 1, .commit = 1),
                                   ATS({1, 1}))),
            0);
        rawnode_ready(env.rn, &rd);
        assert_int_equal(rd.n_entries, 1);
        assert_int_equal(rd.n_committed_entries, async ? 0 : 1);
        assert_int_equal(rd.n_messages, 1);
        assert_int_equal(rd.messages[0].type,
                         async ? RAFT_MSG_STORAGE_APPEND : RAFT_MSG_APP_RESP);
        if (async) {
            struct raft_message m = {0};

            raft_message_copy(&m, &rd.messages[0]);
            do_append(&env, m);
            rawnode_ready(env.rn, &rd);
            assert_int_equal(rd.n_committed_entries, 1);
            assert_int_equal(rd.n_messages, 1);
            assert_int_equal(rd.messages[0].type, RAFT_MSG_STORAGE_APPLY);
        }
        rawnode_env_release(&env);
    }
}

/* The unstable part as offset and length. */
static void assert_unstable(const struct rawnode_env *env, uint64_t offset,
                            size_t len)
{
    assert_int_equal(env->rn->raft.log.unstable.offset, offset);
    assert_int_equal(unstable_len(&env->rn->raft.log.unstable), len);
}

/* 10.3 and A8: an entry is replaced and put back by later leaders; only the
 * last write may release it. */
static void test_append_aba_race(void **state)
{
    struct rawnode_env env;
    struct raft_message a;
    struct raft_message b;
    struct raft_message c;

    (void)state;
    rawnode_env_init(
        &env, &(struct node_spec){.voters = IDS(1, 2, 3), .async = true});
    assert_int_equal(
        rawnode_env_step(&env,
                         with_entries(MSG(APP, 2, 1, .term = 1), ATS({1, 1}))),
        0);
    a = take(&env, RAFT_MSG_STORAGE_APPEND);
    assert_int_equal(
        rawnode_env_step(&env,
                         with_entries(MSG(APP, 3, 1, .term = 2), ATS({1, 2}))),
        0);
    b = take(&env, RAFT_MSG_STORAGE_APPEND);
    assert_int_equal(
        rawnode_env_step(&env,
                         with_entries(MSG(APP, 2, 1, .term = 3), ATS({1, 1}))),
        0);
    c = take(&env, RAFT_MSG_STORAGE_APPEND);
    assert_int_equal(a.responses[a.n_responses - 1].term, 1);
    assert_int_equal(a.responses[a.n_responses - 1].log_term, 1);
    assert_int_equal(b.responses[b.n_responses - 1].term, 2);
    assert_int_equal(b.responses[b.n_responses - 1].log_term, 2);
    assert_int_equal(c.responses[c.n_responses - 1].term, 3);
    assert_int_equal(c.responses[c.n_responses - 1].log_term, 1);

    do_append(&env, a);
    assert_unstable(&env, 1, 1);
    do_append(&env, b);
    assert_unstable(&env, 1, 1);
    do_append(&env, c);
    assert_unstable(&env, 2, 0);
    rawnode_env_release(&env);
}

/* AS-5, PF-2: a write without entries still acknowledges what is unstable. */
static void test_ack_is_attached_while_anything_is_unstable(void **state)
{
    struct rawnode_env env;
    struct raft_message a;
    struct raft_message b;

    (void)state;
    rawnode_env_init(
        &env, &(struct node_spec){.voters = IDS(1, 2, 3), .async = true});
    assert_int_equal(
        rawnode_env_step(&env,
                         with_entries(MSG(APP, 2, 1, .term = 1), ATS({1, 1}))),
        0);
    a = take(&env, RAFT_MSG_STORAGE_APPEND);
    assert_int_equal(rawnode_env_step(&env, MSG(HEARTBEAT, 3, 1, .term = 2)),
                     0);
    b = take(&env, RAFT_MSG_STORAGE_APPEND);
    assert_int_equal(b.entries.len, 0);
    assert_int_equal(b.term, 2);
    assert_int_equal(b.responses[b.n_responses - 1].type,
                     RAFT_MSG_STORAGE_APPEND_RESP);
    do_append(&env, a);
    assert_unstable(&env, 1, 1);
    do_append(&env, b);
    assert_unstable(&env, 2, 0);
    rawnode_env_release(&env);
}

/* The example at the end of 22.4. */
static void test_async_leader_example(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;
    const struct raft_message *m;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2, 3),
                                               .log_first = 11,
                                               .log_term0 = 1,
                                               .hs = {.term = 0, .commit = 10},
                                               .async = true});
    assert_int_equal(rawnode_campaign(env.rn), 0);
    /* The vote is durable, and 2 gives its own. */
    do_append(&env, take(&env, RAFT_MSG_STORAGE_APPEND));
    assert_int_equal(rawnode_env_step(&env, MSG(VOTE_RESP, 2, 1, .term = 1)),
                     0);
    rawnode_ready(env.rn, &rd);
    assert_int_equal(rd.n_messages, 3);
    assert_int_equal(rd.messages[0].type, RAFT_MSG_APP);
    assert_int_equal(rd.messages[0].to, 2);
    assert_int_equal(rd.messages[1].type, RAFT_MSG_APP);
    assert_int_equal(rd.messages[1].to, 3);
    m = &rd.messages[2];
    assert_int_equal(m->type, RAFT_MSG_STORAGE_APPEND);
    assert_int_equal(m->to, RAFT_LOCAL_APPEND_THREAD);
    assert_int_equal(m->entries.len, 1);
    assert_int_equal(m->entries.items[0]->index, 11);
    assert_int_equal(m->term, 0); /* no HardState in it */
    assert_int_equal(m->n_responses, 2);
    assert_int_equal(m->responses[0].type, RAFT_MSG_APP_RESP);
    assert_int_equal(m->responses[0].to, 1);
    assert_int_equal(m->responses[0].index, 11);
    assert_int_equal(m->responses[1].type, RAFT_MSG_STORAGE_APPEND_RESP);
    assert_int_equal(m->responses[1].from, RAFT_LOCAL_APPEND_THREAD);
    assert_int_equal(m->responses[1].term, 1);
    assert_int_equal(m->responses[1].index, 11);
    assert_int_equal(m->responses[1].log_term, 1);
    rawnode_env_release(&env);
}

static void test_async_snapshot(void **state)
{
    struct rawnode_env env;
    struct raft_snapshot *s =
        member_snapshot(5, 1, IDS(1, 2), (struct id_list){NULL, 0});
    struct raft_message m;

    (void)state;
    rawnode_env_init(&env,
                     &(struct node_spec){.voters = IDS(1, 2), .async = true});
    assert_int_equal(
        rawnode_env_step(&env, with_snapshot(MSG(SNAP, 2, 1, .term = 1), s)),
        0);
    m = take(&env, RAFT_MSG_STORAGE_APPEND);
    assert_ptr_equal(m.snapshot, s);
    assert_int_equal(m.commit, 5);
    /* The answer to the leader first, then the acknowledgement. */
    assert_int_equal(m.n_responses, 2);
    assert_int_equal(m.responses[0].type, RAFT_MSG_APP_RESP);
    assert_int_equal(m.responses[0].to, 2);
    assert_int_equal(m.responses[1].type, RAFT_MSG_STORAGE_APPEND_RESP);
    assert_ptr_equal(m.responses[1].snapshot, s);
    assert_int_equal(env.rn->raft.log.applied, 0);
    do_append(&env, m);
    assert_int_equal(env.rn->raft.log.applied, 5);
    assert_false(rawnode_has_ready(env.rn));
    raft_snapshot_unref(s);
    rawnode_env_release(&env);
}

static void test_advance_with_async_is_fatal(void **state)
{
    struct rawnode_env env;

    (void)state;
    rawnode_env_init(&env,
                     &(struct node_spec){.voters = IDS(1), .async = true});
    assert_fatal(&raft_trap, rawnode_advance(env.rn));
    rawnode_env_release(&env);
}

/* Group of one, asynchronous: elected and the empty entry applied. */
static void async_lead(struct rawnode_env *env)
{
    assert_int_equal(rawnode_campaign(env->rn), 0);
    while (rawnode_has_ready(env->rn)) {
        struct raft_ready rd;
        struct message_queue q = {0};

        rawnode_ready(env->rn, &rd);
        for (size_t i = 0; i < rd.n_messages; i++) {
            raft_message_copy(message_queue_push(&q), &rd.messages[i]);
        }
        for (size_t i = 0; i < q.len; i++) {
            storage_thread_write(env, &q.items[i]);
            storage_thread_respond(env, &q.items[i]);
        }
        message_queue_release(&q);
    }
    assert_int_equal(env->rn->raft.role, RAFT_LEADER);
}

static void propose_sized(struct rawnode_env *env, size_t len)
{
    assert_int_equal(rawnode_propose(env->rn, test_entry_sized(0, 0, len)), 0);
}

/* AS-9: the budget spans all outstanding MsgStorageApply. */
static void test_commit_pagination_with_async_storage_writes(void **state)
{
    struct rawnode_env env;
    struct raft_message apply[2];
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env,
                     &(struct node_spec){.voters = IDS(1),
                                         .async = true,
                                         .max_committed_size_per_ready = 2048});
    async_lead(&env);
    /* Three entries that do not fit together, each made durable at once. */
    for (int i = 0; i < 3; i++) {
        propose_sized(&env, 1024);
        do_append(&env, take(&env, RAFT_MSG_STORAGE_APPEND));
        if (i < 2) {
            apply[i] = take(&env, RAFT_MSG_STORAGE_APPLY);
            assert_int_equal(apply[i].entries.len, 1);
        }
    }
    /* All committed, but the third is withheld. */
    rawnode_ready(env.rn, &rd);
    assert_null(find(&rd, RAFT_MSG_STORAGE_APPLY));
    assert_int_equal(env.rn->raft.log.committed, 4);
    storage_thread_respond(&env, &apply[0]);
    raft_message_release(&apply[0]);
    apply[0] = take(&env, RAFT_MSG_STORAGE_APPLY);
    assert_int_equal(apply[0].entries.len, 1);
    assert_int_equal(apply[0].entries.items[0]->index, 4);
    storage_thread_respond(&env, &apply[1]);
    storage_thread_respond(&env, &apply[0]);
    assert_int_equal(env.rn->raft.log.applied, 4);
    raft_message_release(&apply[0]);
    raft_message_release(&apply[1]);
    rawnode_env_release(&env);
}

/* --- paging, synchronous --- */

static void test_commit_pagination(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env,
                     &(struct node_spec){.voters = IDS(1),
                                         .max_committed_size_per_ready = 2048});
    rawnode_env_lead(&env);
    for (int i = 0; i < 3; i++) {
        propose_sized(&env, 1000);
    }
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.n_committed_entries, 0);
    rawnode_advance(env.rn);
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.n_committed_entries, 2);
    rawnode_advance(env.rn);
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.n_committed_entries, 1);
    rawnode_advance(env.rn);
    rawnode_env_release(&env);
}

/* A storage that returns more than it is asked for. */
struct generous {
    struct raft_storage base;
    struct raft_storage *inner;
};

static int generous_initial_state(struct raft_storage *s, struct hard_state *hs,
                                  struct conf_state *cs)
{
    struct generous *g = (struct generous *)(void *)s;

    return g->inner->ops->initial_state(g->inner, hs, cs);
}

static int generous_entries(struct raft_storage *s, uint64_t lo, uint64_t hi,
                            uint64_t max_size, struct raft_entries *out)
{
    struct generous *g = (struct generous *)(void *)s;

    (void)max_size;
    return g->inner->ops->entries(g->inner, lo, hi, RAFT_NO_LIMIT, out);
}

static int generous_term(struct raft_storage *s, uint64_t i, uint64_t *term)
{
    struct generous *g = (struct generous *)(void *)s;

    return g->inner->ops->term(g->inner, i, term);
}

static int generous_last(struct raft_storage *s, uint64_t *index)
{
    struct generous *g = (struct generous *)(void *)s;

    return g->inner->ops->last_index(g->inner, index);
}

static int generous_first(struct raft_storage *s, uint64_t *index)
{
    struct generous *g = (struct generous *)(void *)s;

    return g->inner->ops->first_index(g->inner, index);
}

static int generous_snapshot(struct raft_storage *s, struct raft_snapshot **out)
{
    struct generous *g = (struct generous *)(void *)s;

    return g->inner->ops->snapshot(g->inner, out);
}

static const struct raft_storage_ops generous_ops = {
    .initial_state = generous_initial_state,
    .entries = generous_entries,
    .term = generous_term,
    .last_index = generous_last,
    .first_index = generous_first,
    .snapshot = generous_snapshot,
};

/* PF-4: nothing is skipped, and the commit index does not fall, whatever the
 * storage makes of the size it is given. */
static void test_raw_node_commit_pagination_after_restart(void **state)
{
    struct memory_storage ms;
    struct generous g = {.base = {&generous_ops}, .inner = &ms.base};
    struct node_spec spec = {.voters = IDS(1, 2, 3),
                             .hs = {.term = 1, .vote = 1, .commit = 10}};
    struct raft_config cfg = spec_config(&spec, &ms);
    struct rawnode *rn;
    uint64_t size = 0;
    uint64_t highest = 0;

    (void)state;
    spec.hs = (struct hard_state){0};
    storage_fill(&ms, &spec);
    for (uint64_t i = 1; i <= 10; i++) {
        struct raft_entry *e = test_entry_sized(i, 1, 1);

        size += raft_entry_size(e);
        memory_storage_append(&ms, &e, 1);
        raft_entry_unref(e);
    }
    memory_storage_set_hard_state(&ms, &(struct hard_state){1, 1, 10});
    cfg.storage = &g.base;
    /* One byte less than all of them, and the storage gives all. */
    cfg.max_size_per_msg = size - 1;
    rn = rawnode_new(&cfg);
    for (uint64_t i = 11; i <= 12; i++) {
        struct raft_message m = MSG(APP, 2, 1, .term = 1, .index = i - 1,
                                    .log_term = 1, .commit = 11);

        m = with_entries(m, ATS({i, 1}));
        assert_int_equal(rawnode_step(rn, &m), 0);
        raft_message_release(&m);
    }
    while (rawnode_has_ready(rn)) {
        struct raft_ready rd;

        rawnode_ready(rn, &rd);
        memory_storage_append(&ms, rd.entries, rd.n_entries);
        if (rd.hard_state != NULL) {
            assert_true(rd.hard_state->commit >= 10);
        }
        for (size_t i = 0; i < rd.n_committed_entries; i++) {
            assert_int_equal(rd.committed_entries[i]->index, highest + 1);
            highest++;
        }
        rawnode_advance(rn);
    }
    assert_int_equal(highest, 11);
    rawnode_free(rn);
    memory_storage_release(&ms);
}

static void test_raw_node_bounded_log_growth_with_partition(void **state)
{
    const uint64_t max_entries = 16;
    struct rawnode_env env;
    struct raft *r;
    uint64_t dropped = 0;

    (void)state;
    rawnode_env_init(&env,
                     &(struct node_spec){.voters = IDS(1),
                                         .max_uncommitted_entries_size =
                                             max_entries * strlen("testdata")});
    rawnode_env_lead(&env);
    r = &env.rn->raft;
    for (int i = 0; i < 1024; i++) {
        dropped += rawnode_env_propose(&env, "testdata") != 0;
    }
    assert_int_equal(dropped, 1024 - max_entries);
    assert_int_equal(r->uncommitted_size, max_entries * strlen("testdata"));
    {
        struct raft_ready rd;

        rawnode_env_ready(&env, &rd);
        assert_int_equal(rd.n_entries, max_entries);
        rawnode_advance(env.rn);
        /* Committed, not yet applied. */
        assert_int_equal(r->uncommitted_size, max_entries * strlen("testdata"));
        rawnode_env_ready(&env, &rd);
        assert_int_equal(rd.n_committed_entries, max_entries);
        rawnode_advance(env.rn);
    }
    assert_int_equal(r->uncommitted_size, 0);
    rawnode_env_release(&env);
}

static bool check_append_size(void *ctx, const struct raft_message *m)
{
    bool *seen_full = ctx;

    if (m->type == RAFT_MSG_APP) {
        uint64_t size = raft_payloads_size(m->entries.items, m->entries.len);

        assert_true(size <= 2048);
        *seen_full |= size > 1024;
    }
    return true;
}

static void test_append_pagination(void **state)
{
    struct network nt;
    bool seen_full = false;
    char blob[1001];

    (void)state;
    memset(blob, 'a', 1000);
    blob[1000] = '\0';
    network_init_spec(&nt, &(struct node_spec){.max_size_per_msg = 2048}, 3);
    nt.hook = check_append_size;
    nt.hook_ctx = &seen_full;
    network_hup(&nt, 1);
    /* A backlog for one of them. */
    network_isolate(&nt, 1);
    for (int i = 0; i < 5; i++) {
        network_propose(&nt, 1, blob);
    }
    network_recover(&nt);
    network_beat(&nt, 1);
    assert_true(seen_full);
    assert_int_equal(nt.nodes[2]->r.log.committed, 6);
    network_release(&nt);
}

/* Ready, queue and entry vectors keep their memory. */
static void test_steady_state_reuses_memory(void **state)
{
    struct rawnode_env env;
    size_t slots = 0;
    struct raft_entry **entries = NULL;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1)});
    rawnode_env_lead(&env);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(rawnode_env_propose(&env, "x"), 0);
        rawnode_env_drain(&env);
        if (i == 10) {
            slots = env.rn->steps_on_advance.cap;
            entries = env.rn->entries.items;
        }
    }
    assert_int_equal(env.rn->steps_on_advance.cap, slots);
    assert_ptr_equal(env.rn->entries.items, entries);
    rawnode_env_release(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unstable_entries_are_not_handed_out),
        cmocka_unit_test(test_append_aba_race),
        cmocka_unit_test(test_ack_is_attached_while_anything_is_unstable),
        cmocka_unit_test(test_async_leader_example),
        cmocka_unit_test(test_async_snapshot),
        cmocka_unit_test(test_advance_with_async_is_fatal),
        cmocka_unit_test(test_commit_pagination_with_async_storage_writes),
        cmocka_unit_test(test_commit_pagination),
        cmocka_unit_test(test_raw_node_commit_pagination_after_restart),
        cmocka_unit_test(test_raw_node_bounded_log_growth_with_partition),
        cmocka_unit_test(test_append_pagination),
        cmocka_unit_test(test_steady_state_reuses_memory),
    };

    return cmocka_run_group_tests_name("rawnode_async", tests, NULL, NULL);
}
