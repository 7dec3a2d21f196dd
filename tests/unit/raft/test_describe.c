/* Goal: the texts are the reference's, byte for byte (raft-tests.md 5).
 * Method: samples of that document, and the corners of quoting. */

#include "tests/lib/cmocka.h"
#include "tests/lib/entries.h"

#include "src/base/alloc.h"
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

static struct bytes bytes_of(const char *s, size_t len)
{
    return (struct bytes){(const uint8_t *)s, len};
}

/* What was appended is exactly `want`; start anew. */
static void assert_text(const char *want)
{
    assert_string_equal(buf_cstr(&out), want);
    buf_reset(&out);
}

static struct raft_entry *entry_with_data(uint64_t type, uint64_t term,
                                          uint64_t index, struct bytes data)
{
    struct raft_entry *e = raft_entry_new(type, data);

    e->term = term;
    e->index = index;
    return e;
}

static void test_quoted(void **state)
{
    static const struct {
        const char *in;
        size_t len;
        const char *want;
    } cases[] = {
        {"", 0, "\"\""},
        {"foo", 3, "\"foo\""},
        {"\"foo\"", 5, "\"\\\"foo\\\"\""},
        {"\a\b\f\n\r\t\v\\", 8, "\"\\a\\b\\f\\n\\r\\t\\v\\\\\""},
        {"\0\x1f\x7f", 3, "\"\\x00\\x1f\\x7f\""},
        {"\xc3\xa9", 2, "\"\xc3\xa9\""},                     /* e acute */
        {"\xc3", 1, "\"\\xc3\""},                            /* cut short */
        {"\xff\xfe", 2, "\"\\xff\\xfe\""},                   /* never valid */
        {"\xc0\x80", 2, "\"\\xc0\\x80\""},                   /* overlong */
        {"\xed\xa0\x80", 3, "\"\\xed\\xa0\\x80\""},          /* surrogate */
        {"\xf4\x90\x80\x80", 4, "\"\\xf4\\x90\\x80\\x80\""}, /* too large */
        {"\xc2\x80", 2, "\"\\u0080\""},                      /* control */
        {"\xe2\x80\x8b", 3, "\"\\u200b\""},                  /* zero width */
        {"\xf3\xb0\x80\x80", 4, "\"\\U000f0000\""},          /* private use */
        {"\xf0\x9f\x98\x80", 4, "\"\xf0\x9f\x98\x80\""},     /* an emoji */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        describe_quoted(bytes_of(cases[i].in, cases[i].len), &out);
        assert_text(cases[i].want);
    }
}

static void upper_formatter(struct bytes data, struct buf *to)
{
    for (size_t i = 0; i < data.len; i++) {
        buf_append_byte(to, (uint8_t)(data.data[i] & ~0x20));
    }
}

static void test_describe_entry(void **state)
{
    struct raft_entry *e =
        entry_with_data(RAFT_ENTRY_NORMAL, 1, 2, bytes_of("hello\0world", 11));
    struct raft_entry *abc =
        entry_with_data(RAFT_ENTRY_NORMAL, 1, 2, bytes_of("abc", 3));
    struct raft_entry *empty = test_entry(3, 1);

    (void)state;
    describe_entry(e, NULL, &out);
    assert_text("1/2 EntryNormal \"hello\\x00world\"");
    describe_entry(abc, upper_formatter, &out);
    assert_text("1/2 EntryNormal ABC");
    describe_entry(empty, NULL, &out);
    assert_text("1/3 EntryNormal \"\"");
    describe_entry(empty, upper_formatter, &out);
    assert_text("1/3 EntryNormal");
    raft_entry_unref(e);
    raft_entry_unref(abc);
    raft_entry_unref(empty);
}

static void test_describe_conf_change_entries(void **state)
{
    struct conf_change_single ccs[] = {
        {CONF_CHANGE_ADD_NODE, 2},
        {CONF_CHANGE_REMOVE_NODE, 3},
        {CONF_CHANGE_ADD_LEARNER_NODE, 300},
        {CONF_CHANGE_UPDATE_NODE, 4},
    };
    struct conf_change_v2 v2 = {.changes = ccs, .n_changes = ARRAY_LEN(ccs)};
    struct conf_change v1 = {
        .id = 1, .type = CONF_CHANGE_REMOVE_NODE, .node_id = 1};
    struct raft_entry *e[4];
    struct buf data;

    (void)state;
    buf_init(&data, BUF_UNLIMITED);
    assert_int_equal(conf_change_v2_encode(&v2, &data), 0);
    e[0] = entry_with_data(RAFT_ENTRY_CONF_CHANGE_V2, 1, 4, buf_bytes(&data));
    buf_reset(&data);
    assert_int_equal(conf_change_encode(&v1, &data), 0);
    e[1] = entry_with_data(RAFT_ENTRY_CONF_CHANGE, 1, 5, buf_bytes(&data));
    buf_release(&data);
    e[2] = entry_with_data(RAFT_ENTRY_CONF_CHANGE_V2, 1, 6, bytes_of(NULL, 0));
    e[3] = entry_with_data(RAFT_ENTRY_CONF_CHANGE, 1, 7, bytes_of("\xff", 1));
    describe_entries(e, ARRAY_LEN(e), NULL, &out);
    assert_text("1/4 EntryConfChangeV2 v2 r3 l300 u4\n"
                "1/5 EntryConfChange r1\n"
                "1/6 EntryConfChangeV2\n"
                "1/7 EntryConfChange malformed data\n");
    for (size_t i = 0; i < ARRAY_LEN(e); i++) {
        raft_entry_unref(e[i]);
    }
}

static void test_describe_small(void **state)
{
    struct conf_change_single one = {CONF_CHANGE_ADD_NODE, 3};
    struct conf_change_v2 cc = {.changes = &one, .n_changes = 1};

    (void)state;
    describe_hard_state(&(struct hard_state){1, 2, 3}, &out);
    assert_text("Term:1 Vote:2 Commit:3");
    describe_hard_state(&(struct hard_state){1, 0, 0}, &out);
    assert_text("Term:1 Commit:0");
    describe_soft_state(&(struct soft_state){31, RAFT_PRE_CANDIDATE}, &out);
    assert_text("Lead:31 State:StatePreCandidate");
    describe_target(RAFT_NONE, &out);
    describe_target(0x1f, &out);
    describe_target(RAFT_LOCAL_APPEND_THREAD, &out);
    describe_target(RAFT_LOCAL_APPLY_THREAD, &out);
    assert_text("None1fAppendThreadApplyThread");
    describe_conf_change(&cc, &out);
    assert_text("transition:ConfChangeTransitionAuto "
                "changes:{type:ConfChangeAddNode node_id:3}");
    cc.context = bytes_of("x", 1);
    cc.transition = CONF_CHANGE_TRANSITION_JOINT_EXPLICIT;
    cc.n_changes = 0;
    describe_conf_change(&cc, &out);
    assert_text("transition:ConfChangeTransitionJointExplicit context:\"x\"");
}

static void test_describe_snapshot(void **state)
{
    struct raft_snapshot *s = test_snapshot(5, 2);

    (void)state;
    id_list_push(&s->conf_state.voters, 1);
    id_list_push(&s->conf_state.voters, 20);
    id_list_push(&s->conf_state.voters_outgoing, 3);
    id_list_push(&s->conf_state.learners, 4);
    id_list_push(&s->conf_state.learners_next, 5);
    s->conf_state.auto_leave = true;
    describe_snapshot(s, &out);
    assert_text("Index:5 Term:2 ConfState:Voters:[1 20] VotersOutgoing:[3] "
                "Learners:[4] LearnersNext:[5] AutoLeave:true");
    raft_snapshot_unref(s);
}

static void test_describe_message_plain(void **state)
{
    struct raft_message m = {.type = RAFT_MSG_APP,
                             .from = 1,
                             .to = 2,
                             .term = 1,
                             .log_term = 1,
                             .index = 10,
                             .commit = 9};

    (void)state;
    describe_message(&m, NULL, &out);
    assert_text("1->2 MsgApp Term:1 Log:1/10 Commit:9");
    raft_entries_take(&m.entries,
                      entry_with_data(0, 1, 11, bytes_of("foo", 3)));
    describe_message(&m, NULL, &out);
    assert_text("1->2 MsgApp Term:1 Log:1/10 Commit:9 "
                "Entries:[1/11 EntryNormal \"foo\"]");
    raft_message_release(&m);
}

/* The sample of raft-tests.md 5.3, with everything in one message. */
static void test_describe_message_full(void **state)
{
    struct raft_message m = {.type = RAFT_MSG_STORAGE_APPEND,
                             .from = 0x1f,
                             .to = RAFT_LOCAL_APPEND_THREAD};
    struct raft_entry *e =
        entry_with_data(0, 1, 1, bytes_of("a\n\"\0\xc3\xa9\xff", 7));

    (void)state;
    raft_entries_take(&m.entries, e);
    raft_entries_take(&m.entries, test_entry(0, 0));
    m.snapshot = test_snapshot(4, 2);
    id_list_push(&m.snapshot->conf_state.voters, 1);
    id_list_push(&m.snapshot->conf_state.voters, 20);
    m.responses = xcalloc(1, sizeof *m.responses);
    m.n_responses = 1;
    m.responses[0].type = RAFT_MSG_READ_INDEX;
    m.responses[0].reject = true;
    m.responses[0].reject_hint = 3;
    describe_message(&m, NULL, &out);
    assert_text("1f->AppendThread MsgStorageAppend Term:0 Log:0/0 Entries:[\n"
                "  1/1 EntryNormal \"a\\n\\\"\\x00\xc3\xa9\\xff\"\n"
                "  0/0 EntryNormal \"\"\n"
                "]\n"
                "  Snapshot: Index:4 Term:2 ConfState:Voters:[1 20] "
                "VotersOutgoing:[] Learners:[] LearnersNext:[] "
                "AutoLeave:false Responses:[\n"
                "  None->None MsgReadIndex Term:0 Log:0/0 "
                "Rejected (Hint: 3)\n"
                "]");
    raft_message_release(&m);
}

static void test_describe_ready_empty(void **state)
{
    struct raft_ready rd = {0};

    (void)state;
    describe_ready(&rd, NULL, &out);
    assert_text("<empty Ready>");
}

static void test_describe_ready_full(void **state)
{
    struct soft_state ss = {1, RAFT_LEADER};
    struct hard_state hs = {2, 1, 7};
    struct read_state rs[2] = {{11, {99, 116, 120}, 3}, {12, {0}, 0}};
    struct raft_entry *e[2] = {test_entry(8, 2), test_entry(9, 2)};
    struct raft_snapshot *s = test_snapshot(4, 1);
    struct raft_message m = {
        .type = RAFT_MSG_HEARTBEAT, .from = 1, .to = 3, .term = 2};
    struct raft_ready rd = {
        .soft_state = &ss,
        .hard_state = &hs,
        .read_states = rs,
        .n_read_states = 2,
        .entries = e,
        .n_entries = 2,
        .snapshot = s,
        .committed_entries = e,
        .n_committed_entries = 1,
        .messages = &m,
        .n_messages = 1,
        .must_sync = true,
    };

    (void)state;
    describe_ready(&rd, NULL, &out);
    assert_text("Ready MustSync=true:\n"
                "Lead:1 State:StateLeader\n"
                "HardState Term:2 Vote:1 Commit:7\n"
                "ReadStates [{11 [99 116 120]} {12 []}]\n"
                "Entries:\n"
                "2/8 EntryNormal \"\"\n"
                "2/9 EntryNormal \"\"\n"
                "Snapshot Index:4 Term:1 ConfState:Voters:[] "
                "VotersOutgoing:[] Learners:[] LearnersNext:[] "
                "AutoLeave:false\n"
                "CommittedEntries:\n"
                "2/8 EntryNormal \"\"\n"
                "Messages:\n"
                "1->3 MsgHeartbeat Term:2 Log:0/0\n");
    raft_entry_unref(e[0]);
    raft_entry_unref(e[1]);
    raft_snapshot_unref(s);
}

static void test_describe_log(void **state)
{
    struct raft_log l = {.committed = 5, .applied = 3, .applying = 4};

    (void)state;
    unstable_init(&l.unstable, 6, NULL);
    l.unstable.offset_in_progress = 7;
    describe_log(&l, &out);
    assert_text("committed=5, applied=3, applying=4, unstable.offset=6, "
                "unstable.offsetInProgress=7, len(unstable.Entries)=0");
}

/* ST-5 */
static void test_describe_status(void **state)
{
    struct raft_progress_status members[] = {
        {.id = 1, .match = 7, .next = 8, .state = "StateReplicate"},
        {.id = 0x1f, .match = 0, .next = 3, .state = "StateProbe"},
    };
    struct raft_status st = {
        .id = 0x1f,
        .hard_state = {.term = 12, .vote = 0x2a, .commit = 10},
        .soft_state = {.lead = 0x2a, .role = RAFT_FOLLOWER},
        .applied = 9,
    };

    (void)state;
    describe_status(&st, &out);
    assert_text("{\"id\":\"1f\",\"term\":12,\"vote\":\"2a\",\"commit\":10,"
                "\"lead\":\"2a\",\"raftState\":\"StateFollower\","
                "\"applied\":9,\"progress\":{},\"leadtransferee\":\"0\"}");
    st.soft_state = (struct soft_state){0x1f, RAFT_LEADER};
    st.progress = members;
    st.n_progress = 2;
    st.lead_transferee = 11;
    describe_status(&st, &out);
    assert_text("{\"id\":\"1f\",\"term\":12,\"vote\":\"2a\",\"commit\":10,"
                "\"lead\":\"1f\",\"raftState\":\"StateLeader\",\"applied\":9,"
                "\"progress\":{"
                "\"1\":{\"match\":7,\"next\":8,\"state\":\"StateReplicate\"},"
                "\"1f\":{\"match\":0,\"next\":3,\"state\":\"StateProbe\"}},"
                "\"leadtransferee\":\"b\"}");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_quoted),
        TEST(test_describe_entry),
        TEST(test_describe_conf_change_entries),
        TEST(test_describe_small),
        TEST(test_describe_snapshot),
        TEST(test_describe_message_plain),
        TEST(test_describe_message_full),
        TEST(test_describe_ready_empty),
        TEST(test_describe_ready_full),
        TEST(test_describe_status),
        TEST(test_describe_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
