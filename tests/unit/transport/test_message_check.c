/* Goal: what no raft node sends is kept from the core, and everything that one
 * does send gets in. Method: a good message of each type and a table of single
 * changes to it, each with its verdict; the messages observed between real
 * nodes (optional) are all good. */

#include "transport/message_check.h"

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/entries.h"
#include "tests/lib/jsonl.h"

#define SELF 1
#define PEER 3

/* A message of this type as a leader or follower would send it to SELF. */
static struct raft_message good(uint64_t type)
{
    struct raft_message m = {.type = type, .to = SELF, .from = PEER, .term = 5};

    switch ((enum raft_message_type)type) {
    case RAFT_MSG_PROP:
        m.term = 0;
        raft_entries_take(&m.entries, test_entry_sized(0, 0, 3));
        raft_entries_take(&m.entries, test_entry(0, 0));
        break;
    case RAFT_MSG_READ_INDEX:
        m.term = 0;
        raft_entries_take(&m.entries, test_entry_sized(0, 0, 16));
        break;
    case RAFT_MSG_READ_INDEX_RESP:
        m.index = 7;
        raft_entries_take(&m.entries, test_entry_sized(0, 0, 16));
        break;
    case RAFT_MSG_APP:
        m.log_term = 4;
        m.index = 7;
        m.commit = 6;
        raft_entries_take(&m.entries, test_entry(8, 4));
        raft_entries_take(&m.entries, test_entry(9, 5));
        raft_entries_take(&m.entries, test_entry(10, 5));
        break;
    case RAFT_MSG_VOTE:
    case RAFT_MSG_PRE_VOTE:
        m.log_term = 4;
        m.index = 7;
        break;
    case RAFT_MSG_SNAP:
        m.snapshot = test_snapshot(7, 4);
        id_list_push(&m.snapshot->conf_state.voters, 3);
        break;
    default:
        break;
    }
    return m;
}

static const uint64_t FROM_OUTSIDE[] = {
    RAFT_MSG_PROP,
    RAFT_MSG_APP,
    RAFT_MSG_APP_RESP,
    RAFT_MSG_VOTE,
    RAFT_MSG_VOTE_RESP,
    RAFT_MSG_SNAP,
    RAFT_MSG_HEARTBEAT,
    RAFT_MSG_HEARTBEAT_RESP,
    RAFT_MSG_TRANSFER_LEADER,
    RAFT_MSG_TIMEOUT_NOW,
    RAFT_MSG_READ_INDEX,
    RAFT_MSG_READ_INDEX_RESP,
    RAFT_MSG_PRE_VOTE,
    RAFT_MSG_PRE_VOTE_RESP,
};

static const uint64_t LOCAL[] = {
    RAFT_MSG_HUP,
    RAFT_MSG_BEAT,
    RAFT_MSG_UNREACHABLE,
    RAFT_MSG_SNAP_STATUS,
    RAFT_MSG_CHECK_QUORUM,
    RAFT_MSG_STORAGE_APPEND,
    RAFT_MSG_STORAGE_APPEND_RESP,
    RAFT_MSG_STORAGE_APPLY,
    RAFT_MSG_STORAGE_APPLY_RESP,
    RAFT_MSG_FORGET_LEADER,
};

static void expect(struct raft_message *m, enum message_verdict want,
                   const char *name)
{
    const char *reason = NULL;
    enum message_verdict v = message_check(m, SELF, &reason);

    if (v != want) {
        fail_msg("%s: verdict %d (%s)", name, v, reason ? reason : "good");
    }
    assert_true((reason == NULL) == (v == MESSAGE_GOOD));
    raft_message_release(m);
}

static void test_good_of_each_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(FROM_OUTSIDE); i++) {
        struct raft_message m = good(FROM_OUTSIDE[i]);
        expect(&m, MESSAGE_GOOD, raft_message_type_name(FROM_OUTSIDE[i]));
    }
}

static void test_every_type_is_sorted(void **state)
{
    (void)state;
    assert_int_equal(ARRAY_LEN(FROM_OUTSIDE) + ARRAY_LEN(LOCAL),
                     RAFT_MSG_TYPES);
    for (size_t i = 0; i < ARRAY_LEN(LOCAL); i++) {
        struct raft_message m = good(LOCAL[i]);
        expect(&m, MESSAGE_IGNORED, raft_message_type_name(LOCAL[i]));
    }
    struct raft_message m = good(RAFT_MSG_TYPES);
    expect(&m, MESSAGE_IMPOSSIBLE, "first unknown type");
    m = good(UINT64_MAX);
    expect(&m, MESSAGE_IMPOSSIBLE, "last unknown type");
}

/* An empty body is a MsgHup from 0 to 0; "08 08" is the link heartbeat. */
static void test_harmless_from_nobody(void **state)
{
    (void)state;
    struct raft_message m = {0};
    expect(&m, MESSAGE_IGNORED, "empty message");
    m = (struct raft_message){.type = RAFT_MSG_HEARTBEAT};
    expect(&m, MESSAGE_IGNORED, "link heartbeat");
}

static void test_addresses_of_each_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(FROM_OUTSIDE); i++) {
        uint64_t type = FROM_OUTSIDE[i];
        bool forwarded = type == RAFT_MSG_PROP || type == RAFT_MSG_READ_INDEX ||
                         type == RAFT_MSG_TRANSFER_LEADER;

        struct raft_message m = good(type);
        m.to = 2;
        expect(&m, MESSAGE_MISSENT, "to another node");
        m = good(type);
        m.to = 0;
        expect(&m, MESSAGE_MISSENT, "to nobody");
        m = good(type);
        m.from = 0;
        expect(&m, MESSAGE_IMPOSSIBLE, "from nobody");
        m = good(type);
        m.from = SELF;
        expect(&m, forwarded ? MESSAGE_IGNORED : MESSAGE_IMPOSSIBLE,
               "from its receiver");
        m = good(type);
        m.from = RAFT_LOCAL_APPEND_THREAD;
        expect(&m, MESSAGE_IMPOSSIBLE, "from the append thread");
        m = good(type);
        m.from = RAFT_LOCAL_APPLY_THREAD;
        expect(&m, MESSAGE_IMPOSSIBLE, "from the apply thread");
    }
}

static void test_terms_of_each_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(FROM_OUTSIDE); i++) {
        uint64_t type = FROM_OUTSIDE[i];
        struct raft_message m = good(type);

        if (type == RAFT_MSG_PROP || type == RAFT_MSG_READ_INDEX) {
            m.term = 1;
            expect(&m, MESSAGE_IMPOSSIBLE, "request with a term");
        } else {
            m.term = 0;
            expect(&m, MESSAGE_IGNORED, "no term");
        }
    }
}

static void test_append(void **state)
{
    (void)state;
    struct raft_message m = good(RAFT_MSG_APP);
    m.index = 6;
    expect(&m, MESSAGE_IMPOSSIBLE, "gap behind the position");

    m = good(RAFT_MSG_APP);
    m.index = 8;
    expect(&m, MESSAGE_IMPOSSIBLE, "entry at the position");

    m = good(RAFT_MSG_APP);
    raft_entries_take(&m.entries, test_entry(12, 5));
    expect(&m, MESSAGE_IMPOSSIBLE, "gap inside");

    m = good(RAFT_MSG_APP);
    raft_entries_take(&m.entries, test_entry(10, 5));
    expect(&m, MESSAGE_IMPOSSIBLE, "index twice");

    m = good(RAFT_MSG_APP);
    raft_entries_take(&m.entries, test_entry(11, 4));
    expect(&m, MESSAGE_IMPOSSIBLE, "falling terms");

    m = good(RAFT_MSG_APP);
    raft_entries_take(&m.entries, test_entry(11, 6));
    expect(&m, MESSAGE_IMPOSSIBLE, "entry term above the message's");

    m = good(RAFT_MSG_APP);
    m.log_term = 5;
    expect(&m, MESSAGE_IMPOSSIBLE, "entry term below the position's");

    m = good(RAFT_MSG_APP);
    raft_entries_reset(&m.entries);
    m.log_term = 6;
    expect(&m, MESSAGE_IMPOSSIBLE, "position of a later term");

    m = good(RAFT_MSG_APP);
    raft_entries_reset(&m.entries);
    m.index = 0;
    expect(&m, MESSAGE_IMPOSSIBLE, "a term at index 0");

    m = good(RAFT_MSG_APP);
    raft_entries_reset(&m.entries);
    m.index = UINT64_MAX;
    raft_entries_take(&m.entries, test_entry(0, 5));
    expect(&m, MESSAGE_IMPOSSIBLE, "index overflow");

    m = good(RAFT_MSG_APP);
    raft_entries_reset(&m.entries);
    m.index = m.log_term = 0;
    raft_entries_take(&m.entries, test_entry(1, 0));
    expect(&m, MESSAGE_IMPOSSIBLE, "entry without a term");

    m = good(RAFT_MSG_APP);
    raft_entries_reset(&m.entries);
    m.index = m.log_term = 0;
    raft_entries_take(&m.entries, test_entry(1, 1));
    expect(&m, MESSAGE_GOOD, "the first entry of a log");

    m = good(RAFT_MSG_APP);
    raft_entries_reset(&m.entries);
    m.commit = 1000000;
    expect(&m, MESSAGE_GOOD, "commit far ahead");
}

static void test_append_entry_size(void **state)
{
    (void)state;
    struct raft_message m = good(RAFT_MSG_APP);

    raft_entries_reset(&m.entries);
    raft_entries_take(&m.entries, test_entry_sized(8, 5, PAYLOAD_SIZE_MAX));
    expect(&m, MESSAGE_GOOD, "the largest entry");
    m = good(RAFT_MSG_APP);
    raft_entries_reset(&m.entries);
    raft_entries_take(&m.entries, test_entry_sized(8, 5, ENTRY_SIZE_MAX));
    expect(&m, MESSAGE_IMPOSSIBLE, "an entry that the log cannot read back");
}

static void test_proposal(void **state)
{
    (void)state;
    static const uint8_t ADD_4[] = {0x08, 0x01, 0x10, 0x00, 0x18, 0x04};
    static const uint8_t BAD[] = {0xff};
    static const struct {
        const char *name;
        uint64_t type;
        struct bytes data;
        enum message_verdict want;
    } CASES[] = {
        {"conf change", 1, {ADD_4, sizeof(ADD_4)}, MESSAGE_GOOD},
        {"broken conf change", 1, {BAD, sizeof(BAD)}, MESSAGE_IMPOSSIBLE},
        {"empty conf change v2: leave", 2, {NULL, 0}, MESSAGE_GOOD},
        {"broken conf change v2", 2, {BAD, sizeof(BAD)}, MESSAGE_IMPOSSIBLE},
        {"any normal payload", 0, {BAD, sizeof(BAD)}, MESSAGE_GOOD},
        {"unknown entry type", 3, {BAD, sizeof(BAD)}, MESSAGE_IMPOSSIBLE},
    };

    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct raft_message m = good(RAFT_MSG_PROP);
        raft_entries_take(&m.entries,
                          raft_entry_new(CASES[i].type, CASES[i].data));
        expect(&m, CASES[i].want, CASES[i].name);
    }
    struct raft_message m = good(RAFT_MSG_PROP);
    raft_entries_reset(&m.entries);
    expect(&m, MESSAGE_IMPOSSIBLE, "proposal without entries");
    m = good(RAFT_MSG_PROP);
    raft_entries_take(&m.entries, test_entry_sized(0, 0, PAYLOAD_SIZE_MAX + 1));
    expect(&m, MESSAGE_IMPOSSIBLE, "payload too large");
}

static void test_reads(void **state)
{
    (void)state;
    static const uint64_t TYPES[] = {RAFT_MSG_READ_INDEX,
                                     RAFT_MSG_READ_INDEX_RESP};

    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
        struct raft_message m = good(TYPES[i]);
        raft_entries_reset(&m.entries);
        expect(&m, MESSAGE_IMPOSSIBLE, "no entry");
        m = good(TYPES[i]);
        raft_entries_take(&m.entries, test_entry_sized(0, 0, 8));
        expect(&m, MESSAGE_IMPOSSIBLE, "two entries");
        m = good(TYPES[i]);
        raft_entries_reset(&m.entries);
        raft_entries_take(&m.entries, test_entry(0, 0));
        expect(&m, MESSAGE_IMPOSSIBLE, "empty context");
        m = good(TYPES[i]);
        raft_entries_reset(&m.entries);
        raft_entries_take(&m.entries,
                          test_entry_sized(0, 0, RAFT_CONTEXT_MAX + 1));
        expect(&m, MESSAGE_IMPOSSIBLE, "context too long");
    }
}

static void test_snapshot_message(void **state)
{
    (void)state;
    struct raft_message m = good(RAFT_MSG_SNAP);
    raft_snapshot_unref(m.snapshot);
    m.snapshot = NULL;
    expect(&m, MESSAGE_IMPOSSIBLE, "no snapshot");

    m = good(RAFT_MSG_SNAP);
    m.snapshot->index = 0;
    expect(&m, MESSAGE_IMPOSSIBLE, "empty snapshot");

    m = good(RAFT_MSG_SNAP);
    m.snapshot->term = 0;
    expect(&m, MESSAGE_IMPOSSIBLE, "no snapshot term");

    m = good(RAFT_MSG_SNAP);
    m.snapshot->term = 6;
    expect(&m, MESSAGE_IMPOSSIBLE, "snapshot of a later term");

    m = good(RAFT_MSG_SNAP);
    conf_state_release(&m.snapshot->conf_state);
    expect(&m, MESSAGE_IMPOSSIBLE, "no voters");

    m = good(RAFT_MSG_SNAP);
    id_list_push(&m.snapshot->conf_state.learners, 0);
    expect(&m, MESSAGE_IMPOSSIBLE, "learner 0");

    /* etcd 3.4 sends the ConfState of the snapshot's index: may lack us. */
    m = good(RAFT_MSG_SNAP);
    assert_false(id_list_contains(&m.snapshot->conf_state.voters, SELF));
    expect(&m, MESSAGE_GOOD, "a configuration without us");
}

static void test_votes(void **state)
{
    (void)state;
    static const uint64_t TYPES[] = {RAFT_MSG_VOTE, RAFT_MSG_PRE_VOTE};

    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
        struct raft_message m = good(TYPES[i]);
        m.log_term = 5;
        expect(&m, MESSAGE_IMPOSSIBLE, "log of the term that is asked for");
        m = good(TYPES[i]);
        m.log_term = 6;
        expect(&m, MESSAGE_IMPOSSIBLE, "log of a later term");
        m = good(TYPES[i]);
        m.index = 0;
        expect(&m, MESSAGE_IMPOSSIBLE, "a term at index 0");
        m = good(TYPES[i]);
        m.index = m.log_term = 0;
        expect(&m, MESSAGE_GOOD, "an empty log");
    }
}

static void test_heartbeat_resp_context(void **state)
{
    (void)state;
    static const uint8_t CONTEXT[16];

    for (size_t len = 0; len <= sizeof(CONTEXT); len++) {
        struct raft_message m = good(RAFT_MSG_HEARTBEAT_RESP);
        raft_message_set_context(&m, (struct bytes){CONTEXT, len});
        expect(&m, len > 0 && len < 8 ? MESSAGE_IMPOSSIBLE : MESSAGE_GOOD,
               "context of a heartbeat response");
    }
}

static void test_observed_messages_are_good(void **state)
{
    (void)state;
    static const char *FILES[] = {
        "spec/samples/messages-observed-3.4.23.jsonl",
        "spec/samples/messages-observed-newest.jsonl",
    };

    for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
        struct jsonl *j = jsonl_open_shared(FILES[i]);

        while (j != NULL && jsonl_next(j)) {
            struct raft_message m = {0};
            const char *reason = NULL;
            size_t len;
            uint8_t *bytes = jsonl_get_hex(j, "hex", &len);

            assert_int_equal(
                raft_message_decode((struct bytes){bytes, len}, &m), 0);
            enum message_verdict v = message_check(&m, m.to, &reason);
            assert_int_equal(v, m.from == 0 ? MESSAGE_IGNORED : MESSAGE_GOOD);
            raft_message_release(&m);
            xfree(bytes);
        }
        jsonl_close(j);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_of_each_type),
        cmocka_unit_test(test_every_type_is_sorted),
        cmocka_unit_test(test_harmless_from_nobody),
        cmocka_unit_test(test_addresses_of_each_type),
        cmocka_unit_test(test_terms_of_each_type),
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_append_entry_size),
        cmocka_unit_test(test_proposal),
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_snapshot_message),
        cmocka_unit_test(test_votes),
        cmocka_unit_test(test_heartbeat_resp_context),
        cmocka_unit_test(test_observed_messages_are_good),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
