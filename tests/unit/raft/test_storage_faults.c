/* Goal: a storage that fails, or that contradicts itself, stops the node where
 * going on would need a guess, and nowhere else [raft-core 2.3, LOG-4, LOG-22].
 * Method: a memory storage of which one answer at a time is replaced. */

#include <string.h>

#include "tests/lib/rawnode_fixture.h"

/* What the replaced operations answer. */
static int fault_rc;

static int faulty_index(struct raft_storage *s, uint64_t *index)
{
    (void)s;
    *index = 1;
    return fault_rc;
}

static int faulty_term(struct raft_storage *s, uint64_t i, uint64_t *term)
{
    (void)s;
    (void)i;
    *term = 0;
    return fault_rc;
}

/* Success without an entry is what a storage must not answer. */
static int faulty_entries(struct raft_storage *s, uint64_t lo, uint64_t hi,
                          uint64_t max_size, struct raft_entries *out)
{
    (void)s;
    (void)lo;
    (void)hi;
    (void)max_size;
    (void)out;
    return fault_rc;
}

/* Operations of `ms` that can be replaced. */
static struct raft_storage_ops *open_ops(struct memory_storage *ms)
{
    static struct raft_storage_ops ops;

    ops = *ms->base.ops;
    ms->base.ops = &ops;
    fault_rc = ERR_STOPPED;
    return &ops;
}

/* A node over the entries 1@1 2@1 3@1, all of them committed. */
static struct node *node_with_log(void)
{
    return NODE(.voters = IDS(1, 2), .log = TERMS(1, 1, 1),
                .hs = {.term = 1, .commit = 3});
}

/* --- where the log begins and ends --- */

static void test_no_log_without_its_bounds(void **state)
{
    struct node *n = node_with_log();
    struct raft_storage_ops *ops = open_ops(&n->ms);
    struct raft_log l;

    (void)state;
    ops->first_index = faulty_index;
    assert_fatal(&raft_trap, raft_log_init(&l, &n->ms.base, 1, &raft_trap.lg));
    assert_non_null(strstr(raft_trap.text, "bounds"));
    ops = open_ops(&n->ms);
    ops->last_index = faulty_index;
    assert_fatal(&raft_trap, raft_log_init(&l, &n->ms.base, 1, &raft_trap.lg));
    assert_non_null(strstr(raft_trap.text, "bounds"));
    node_free(n);
}

static void test_bounds_lost_later(void **state)
{
    struct node *n = node_with_log();
    struct raft_storage_ops *ops = open_ops(&n->ms);

    (void)state;
    ops->first_index = faulty_index;
    ops->last_index = faulty_index;
    assert_fatal(&raft_trap, raft_log_first_index(&n->r.log));
    assert_non_null(strstr(raft_trap.text, "first index"));
    assert_fatal(&raft_trap, raft_log_last_index(&n->r.log));
    assert_non_null(strstr(raft_trap.text, "last index"));
    node_free(n);
}

/* That an old entry is compacted is an answer; of the last one it is not. */
static void test_last_term_must_be_known(void **state)
{
    struct node *n = node_with_log();

    (void)state;
    open_ops(&n->ms)->term = faulty_term;
    fault_rc = ERR_COMPACTED;
    assert_fatal(&raft_trap, raft_log_last_entry_id(&n->r.log));
    assert_non_null(strstr(raft_trap.text, "last entry, index 3"));
    node_free(n);
}

/* --- entries that must be there --- */

static void test_entries_lost(void **state)
{
    struct node *n = node_with_log();
    struct raft_entries out = {0};

    (void)state;
    open_ops(&n->ms)->entries = faulty_entries;
    fault_rc = ERR_COMPACTED;
    assert_fatal(&raft_trap, raft_log_all_entries(&n->r.log, &out));
    assert_non_null(strstr(raft_trap.text, "all entries"));
    assert_fatal(&raft_trap,
                 raft_log_next_committed_ents(&n->r.log, true, &out));
    assert_non_null(strstr(raft_trap.text, "committed entries from index 1"));
    assert_int_equal(out.len, 0);
    node_free(n);
}

static int count_pages(void *ctx, struct raft_entry *const *items, size_t n)
{
    (void)items;
    assert_true(n > 0);
    ++*(int *)ctx;
    return 0;
}

/* A scan of a storage that gives nothing must end. */
static void test_scan_without_progress_ends(void **state)
{
    struct node *n = node_with_log();
    int pages = 0;

    (void)state;
    open_ops(&n->ms)->entries = faulty_entries;
    fault_rc = 0;
    assert_int_equal(raft_log_scan(&n->r.log, 1, 4, 1, &pages, count_pages),
                     ERR_UNAVAILABLE);
    assert_int_equal(pages, 0);
    node_free(n);
}

/* --- a leader and its followers --- */

static struct node *leader_over_snapshot(void)
{
    struct node *n = NODE(.voters = IDS(1, 2), .log_first = 4, .log_term0 = 1,
                          .log = TERMS(1, 1), .hs = {.term = 1, .commit = 5});

    node_become_leader(n);
    node_step(n, MSG(APP_RESP, 2, 1, .term = n->r.term, .index = 4));
    drop_messages(&n->r);
    assert_int_equal(pr_of(n, 2)->match, 4);
    return n;
}

/* The term before the entries is known, but they are compacted by now: the
 * follower gets the snapshot [raft-core SNAP-1]. */
static void test_entries_gone_are_replaced_by_a_snapshot(void **state)
{
    struct node *n = leader_over_snapshot();
    struct message_queue q;

    (void)state;
    open_ops(&n->ms)->entries = faulty_entries;
    fault_rc = ERR_COMPACTED;
    /* What was under way is lost: probe from the entry 5@1 on. */
    node_step(n, MSG(UNREACHABLE, 2, 1));
    assert_true(raft_maybe_send_append(&n->r, 2, true));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].type, RAFT_MSG_SNAP);
    assert_int_equal(q.items[0].snapshot->index, 3);
    assert_int_equal(pr_of(n, 2)->state, PROGRESS_SNAPSHOT);
    message_queue_release(&q);
    node_free(n);
}

/* A log that is compacted has a snapshot; the application forgot to make it. */
static void test_compacted_without_a_snapshot(void **state)
{
    struct node *n = node_with_log();

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    assert_int_equal(memory_storage_compact(&n->ms, 3), 0);
    pr_of(n, 2)->recent_active = true;
    pr_of(n, 2)->next = 2;
    assert_fatal(&raft_trap, raft_send_append(&n->r, 2));
    assert_non_null(strstr(raft_trap.text, "it is empty"));
    raft_snapshot_unref(n->ms.snapshot); /* as the send was left half done */
    node_free(n);
}

/* --- the door --- */

/* Nothing is done yet, so this one failure may go back to the caller. */
static void test_bootstrap_over_a_failing_storage(void **state)
{
    struct raft_peer peers[] = {{.id = 1}};
    struct rawnode_env env;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){0});
    open_ops(&env.ms)->last_index = faulty_index;
    assert_int_equal(rawnode_bootstrap(env.rn, peers, 1), ERR_STOPPED);
    assert_false(rawnode_has_ready(env.rn));
    rawnode_env_release(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_log_without_its_bounds),
        cmocka_unit_test(test_bounds_lost_later),
        cmocka_unit_test(test_last_term_must_be_known),
        cmocka_unit_test(test_entries_lost),
        cmocka_unit_test(test_scan_without_progress_ends),
        cmocka_unit_test(test_entries_gone_are_replaced_by_a_snapshot),
        cmocka_unit_test(test_compacted_without_a_snapshot),
        cmocka_unit_test(test_bootstrap_over_a_failing_storage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
