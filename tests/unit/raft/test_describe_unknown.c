/* Goal: what a newer or a broken peer sends has no name here, and is to be seen
 * in a text all the same; what says nothing leaves no trace. Method: values
 * just outside of the enums, and data that does not decode. */

#include "tests/lib/cmocka.h"
#include "tests/lib/entries.h"

#include "src/base/buf.h"
#include "src/raft/describe.h"

static struct buf out;

static int set_up(void **state)
{
    (void)state;
    buf_init(&out, BUF_UNLIMITED);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_release(&out);
    return 0;
}

/* What was appended is exactly `want`; start anew. */
static void assert_text(const char *want)
{
    assert_string_equal(buf_cstr(&out), want);
    buf_reset(&out);
}

static void assert_entry_text(uint64_t type, const char *data, const char *want)
{
    struct raft_entry *e =
        raft_entry_new(type, (struct bytes){(const uint8_t *)data, 1});

    e->term = 1;
    e->index = 2;
    describe_entry(e, NULL, &out);
    raft_entry_unref(e);
    assert_text(want);
}

static void test_unknown_entry_types(void **state)
{
    (void)state;
    assert_entry_text(RAFT_ENTRY_CONF_CHANGE_V2 + 1, "x",
                      "1/2 EntryUnknown \"x\"");
    assert_entry_text(UINT64_MAX, "x", "1/2 EntryUnknown \"x\"");
}

static void test_changes_that_do_not_decode(void **state)
{
    (void)state;
    assert_entry_text(RAFT_ENTRY_CONF_CHANGE, "\xff",
                      "1/2 EntryConfChange malformed data");
    assert_entry_text(RAFT_ENTRY_CONF_CHANGE_V2, "\xff",
                      "1/2 EntryConfChangeV2 malformed data");
}

static void test_unknown_changes(void **state)
{
    struct conf_change_single ccs[] = {
        {CONF_CHANGE_ADD_NODE, 3},
        {CONF_CHANGE_ADD_LEARNER_NODE + 1, 4},
    };
    struct conf_change_v2 cc = {
        .transition = CONF_CHANGE_TRANSITION_JOINT_EXPLICIT + 1,
        .changes = ccs,
        .n_changes = 2,
    };

    (void)state;
    describe_conf_changes(ccs, 2, &out);
    assert_text("v3 ?4");
    describe_conf_change(&cc, &out);
    assert_text("transition:ConfChangeTransitionUnknown "
                "changes:{type:ConfChangeAddNode node_id:3} "
                "changes:{type:ConfChangeUnknown node_id:4}");
}

static void test_transitions(void **state)
{
    static const struct {
        uint64_t transition;
        const char *want;
    } cases[] = {
        {CONF_CHANGE_TRANSITION_AUTO, "transition:ConfChangeTransitionAuto"},
        {CONF_CHANGE_TRANSITION_JOINT_IMPLICIT,
         "transition:ConfChangeTransitionJointImplicit"},
        {CONF_CHANGE_TRANSITION_JOINT_EXPLICIT,
         "transition:ConfChangeTransitionJointExplicit"},
        {UINT64_MAX, "transition:ConfChangeTransitionUnknown"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct conf_change_v2 cc = {.transition = cases[i].transition};

        describe_conf_change(&cc, &out);
        assert_text(cases[i].want);
    }
}

/* A HardState of which nothing is set says nothing. */
static void test_ready_with_empty_hard_state(void **state)
{
    struct soft_state ss = {0, RAFT_FOLLOWER};
    struct hard_state hs = {0};
    struct raft_ready rd = {.soft_state = &ss, .hard_state = &hs};

    (void)state;
    describe_ready(&rd, NULL, &out);
    assert_text("Ready MustSync=false:\n"
                "Lead:0 State:StateFollower\n");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_unknown_entry_types),
        TEST(test_changes_that_do_not_decode),
        TEST(test_unknown_changes),
        TEST(test_transitions),
        TEST(test_ready_with_empty_hard_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
