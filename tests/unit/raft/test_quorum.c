/* Goal: committed index, vote result and chart of one and two majorities, as
 * raft-core section 18 says.
 * Method: named cases, and random groups against an implementation that counts
 * instead of sorting. */

#include "tests/lib/cmocka.h"

#include "src/base/buf.h"
#include "src/base/rng.h"
#include "src/raft/quorum.h"

#define VOTERS_MAX 130

/* What the voters 1 ... VOTERS_MAX have stored. */
struct acks {
    bool known[VOTERS_MAX + 1];
    uint64_t index[VOTERS_MAX + 1];
};

static bool acked(const void *ctx, uint64_t id, uint64_t *index)
{
    const struct acks *a = ctx;

    if (!a->known[id]) {
        return false;
    }
    *index = a->index[id];
    return true;
}

static void id_set(struct id_list *s, const uint64_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        id_set_add(s, ids[i]);
    }
}

static void test_id_set(void **state)
{
    struct id_list s = {0};
    struct id_list t = {0};

    (void)state;
    assert_true(id_set_add(&s, 5));
    assert_true(id_set_add(&s, 1));
    assert_true(id_set_add(&s, 3));
    assert_false(id_set_add(&s, 3));
    assert_int_equal(s.n, 3);
    assert_int_equal(s.ids[0], 1);
    assert_int_equal(s.ids[1], 3);
    assert_int_equal(s.ids[2], 5);
    assert_true(id_set_contains(&s, 5));
    assert_false(id_set_contains(&s, 4));
    id_set_copy(&t, &s);
    assert_true(id_set_equal(&s, &t));
    assert_true(id_set_remove(&t, 1));
    assert_false(id_set_remove(&t, 1));
    assert_false(id_set_equal(&s, &t));
    assert_true(id_set_remove(&t, 5));
    assert_true(id_set_remove(&t, 3));
    assert_null(t.ids);
    id_set_add(&t, 4);
    id_set_union(&t, &s);
    assert_int_equal(t.n, 4);
    assert_int_equal(t.ids[2], 4);
    id_set_release(&s);
    id_set_release(&t);
}

static void test_describe(void **state)
{
    static const struct {
        uint64_t index[3]; /* 0: unknown */
        const char *want;
    } cases[] = {
        {{101, 102, 103},
         "       idx\n"
         ">      101    (id=1)\n"
         "x>     102    (id=2)\n"
         "xx>    103    (id=3)\n"},
        {{100, 100, 100},
         "       idx\n"
         ">      100    (id=1)\n"
         ">      100    (id=2)\n"
         ">      100    (id=3)\n"},
        {{100, 102, 102},
         "       idx\n"
         ">      100    (id=1)\n"
         "x>     102    (id=2)\n"
         "x>     102    (id=3)\n"},
        {{101, 0, 103},
         "       idx\n"
         "x>     101    (id=1)\n"
         "?        0    (id=2)\n"
         "xx>    103    (id=3)\n"},
    };
    const uint64_t ids[] = {1, 2, 3};
    struct id_list voters = {0};

    (void)state;
    id_set(&voters, ids, ARRAY_LEN(ids));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct acks a = {0};
        struct buf out;

        for (size_t k = 0; k < 3; k++) {
            a.known[k + 1] = cases[i].index[k] != 0;
            a.index[k + 1] = cases[i].index[k];
        }
        buf_init(&out, BUF_UNLIMITED);
        quorum_majority_describe(&voters, &a, acked, &out);
        assert_string_equal(buf_cstr(&out), cases[i].want);
        buf_release(&out);
    }
    id_set_release(&voters);
}

static void test_empty_majority(void **state)
{
    struct id_list none = {0};
    struct acks a = {0};
    struct buf out;

    (void)state;
    buf_init(&out, BUF_UNLIMITED);
    assert_int_equal(quorum_majority_committed_index(&none, &a, acked),
                     QUORUM_INDEX_MAX);
    quorum_majority_describe(&none, &a, acked, &out);
    quorum_index_string(QUORUM_INDEX_MAX, &out);
    quorum_index_string(17, &out);
    assert_string_equal(buf_cstr(&out), "<empty majority quorum>\xe2\x88\x9e"
                                        "17");
    buf_release(&out);
}

/* The largest index that q voters have reached, found by trying every index
 * that one of them has. */
static uint64_t committed_by_counting(const struct id_list *voters,
                                      const struct acks *a)
{
    uint64_t best = 0;

    if (voters->n == 0) {
        return QUORUM_INDEX_MAX;
    }
    for (size_t i = 0; i < voters->n; i++) {
        uint64_t candidate = a->index[voters->ids[i]];
        size_t reached = 0;

        for (size_t k = 0; k < voters->n; k++) {
            reached += a->index[voters->ids[k]] >= candidate ? 1 : 0;
        }
        if (reached >= voters->n / 2 + 1 && candidate > best) {
            best = candidate;
        }
    }
    return best;
}

/* Unknown ones have index 0. */
static void random_group(struct rng *r, size_t n_max, struct id_list *voters,
                         struct acks *a)
{
    size_t n = (size_t)rng_below(r, n_max + 1);

    *a = (struct acks){0};
    while (voters->n < n) {
        id_set_add(voters, 1 + rng_below(r, VOTERS_MAX));
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t id = voters->ids[i];

        a->known[id] = rng_below(r, 4) != 0;
        a->index[id] = a->known[id] ? rng_below(r, 2 * n_max) : 0;
    }
}

static void test_quick(void **state)
{
    struct rng r;

    (void)state;
    rng_seed(&r, 1);
    for (int i = 0; i < 50000; i++) {
        struct id_list voters = {0};
        struct joint_config joint = {{0}, {0}};
        struct acks a;

        /* Now and then too many for the stack. */
        random_group(&r, i % 100 == 0 ? VOTERS_MAX : 9, &voters, &a);
        assert_int_equal(quorum_majority_committed_index(&voters, &a, acked),
                         committed_by_counting(&voters, &a));
        id_set_copy(&joint.incoming, &voters);
        id_set_add(&joint.outgoing, 1 + rng_below(&r, VOTERS_MAX));
        assert_int_equal(quorum_joint_committed_index(&joint, &a, acked),
                         min_u64(committed_by_counting(&joint.incoming, &a),
                                 committed_by_counting(&joint.outgoing, &a)));
        id_set_release(&joint.incoming);
        id_set_release(&joint.outgoing);
        id_set_release(&voters);
    }
}

/* Votes as text: the i-th letter, 'y', 'n' or '_', is that of voter i. */
static enum vote vote_of(const void *ctx, uint64_t id)
{
    const char *votes = ctx;

    switch (votes[id - 1]) {
    case 'y':
        return VOTE_YES;
    case 'n':
        return VOTE_NO;
    default: /* text, not an enum */
        return VOTE_MISSING;
    }
}

static void test_vote_result(void **state)
{
    static const struct {
        size_t incoming; /* voters 1 ... */
        size_t outgoing; /* how many of the next ones */
        const char *votes;
        const char *want;
    } cases[] = {
        {0, 0, "", "VoteWon"},
        {1, 0, "_", "VotePending"},
        {1, 0, "n", "VoteLost"},
        {1, 0, "y", "VoteWon"},
        {2, 0, "y_", "VotePending"},
        {2, 0, "yn", "VoteLost"},
        {3, 0, "yy_", "VoteWon"},
        {3, 0, "nn_", "VoteLost"},
        {3, 0, "yn_", "VotePending"},
        {4, 0, "yynn", "VoteLost"},
        {4, 0, "yyy_", "VoteWon"},
        /* Both halves have to win; one that lost decides. */
        {3, 3, "yy_yy_", "VoteWon"},
        {3, 3, "yyy___", "VotePending"},
        {3, 3, "___yyy", "VotePending"},
        {3, 3, "yyynn_", "VoteLost"},
        {3, 3, "nn____", "VoteLost"},
        {3, 3, "______", "VotePending"},
        {1, 3, "yyyn", "VoteWon"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct joint_config c = {{0}, {0}};
        enum vote_result got;

        for (size_t k = 0; k < cases[i].incoming; k++) {
            id_set_add(&c.incoming, k + 1);
        }
        for (size_t k = 0; k < cases[i].outgoing; k++) {
            id_set_add(&c.outgoing, cases[i].incoming + k + 1);
        }
        got = quorum_joint_vote_result(&c, cases[i].votes, vote_of);
        assert_string_equal(vote_result_name(got), cases[i].want);
        id_set_release(&c.incoming);
        id_set_release(&c.outgoing);
    }
}

static void test_joint_strings(void **state)
{
    struct joint_config c = {{0}, {0}};
    struct id_list ids = {0};
    struct buf out;

    (void)state;
    buf_init(&out, BUF_UNLIMITED);
    quorum_joint_string(&c, &out);
    id_set_add(&c.incoming, 10);
    id_set_add(&c.incoming, 2);
    quorum_joint_string(&c, &out);
    id_set_add(&c.outgoing, 255);
    quorum_joint_string(&c, &out);
    assert_string_equal(buf_cstr(&out), "()(2 a)(2 a)&&(ff)");
    quorum_joint_ids(&c, &ids);
    assert_int_equal(ids.n, 3);
    assert_int_equal(ids.ids[2], 255);
    assert_true(quorum_joint_contains(&c, 255));
    assert_false(quorum_joint_contains(&c, 3));
    id_set_release(&ids);
    id_set_release(&c.incoming);
    id_set_release(&c.outgoing);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_id_set),
        cmocka_unit_test(test_describe),
        cmocka_unit_test(test_empty_majority),
        cmocka_unit_test(test_quick),
        cmocka_unit_test(test_vote_result),
        cmocka_unit_test(test_joint_strings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
