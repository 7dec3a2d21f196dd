/* Goal: our decoder takes the messages that live Go nodes have sent apart as an
 * independent decoder did. Method: the listings beside the recorded bytes,
 * field by field; a few of them stand here, the rest is read where the samples
 * lie beside the project. */

#include "proto/raftpb.h"

#include <inttypes.h>

#include "src/base/alloc.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/hex.h"
#include "tests/lib/jsonl.h"

/* The number behind the first `name=` at the outermost level of the listing; 0
 * where it is left out, as the newest encoder leaves out zeros. */
static uint64_t listed(const char *listing, const char *name)
{
    size_t len = strlen(name);
    int depth = 0;

    for (const char *p = listing; *p != '\0'; p++) {
        depth += *p == '{' ? 1 : *p == '}' ? -1 : 0;
        if (depth == 0 && (p == listing || p[-1] == ' ') &&
            strncmp(p, name, len) == 0 && p[len] == '=') {
            return strtoull(p + len + 1, NULL, 10);
        }
    }
    return 0;
}

static size_t count(const char *listing, const char *what)
{
    size_t n = 0;

    for (const char *p = listing; (p = strstr(p, what)) != NULL; p++) {
        n++;
    }
    return n;
}

/* Each entry stands in the listing as "Term=2 Index=5", its data behind that as
 * "Data=h" and hexadecimal digits. */
static void check_entries(const struct raft_message *m, const char *listing)
{
    assert_int_equal(m->entries.len, count(listing, "entries{"));
    for (size_t i = 0; i < m->entries.len; i++) {
        const struct raft_entry *e = m->entries.items[i];
        char *where =
            xasprintf("Term=%" PRIu64 " Index=%" PRIu64, e->term, e->index);

        if (e->term > 0) {
            assert_non_null(strstr(listing, where));
        }
        if (e->len > 0) {
            char *hex = hex_encode(raft_entry_data(e));
            char *data = xasprintf("Data=h%s", hex);

            assert_non_null(strstr(listing, data));
            xfree(data);
            xfree(hex);
        }
        xfree(where);
    }
}

static void check_message(const char *hex, const char *listing)
{
    struct raft_message m = {0};
    size_t len;
    uint8_t *in = hex_decode(hex, &len);
    const char *type = strstr(listing, "type=");

    assert_int_equal(raft_message_decode((struct bytes){in, len}, &m), 0);
    if (type != NULL) {
        const char *name = raft_message_type_name(m.type);

        assert_memory_equal(type + 5, name, strlen(name));
    }
    assert_int_equal(m.to, listed(listing, "to"));
    assert_int_equal(m.from, listed(listing, "from"));
    assert_int_equal(m.term, listed(listing, "term"));
    assert_int_equal(m.log_term, listed(listing, "logTerm"));
    assert_int_equal(m.index, listed(listing, "index"));
    assert_int_equal(m.commit, listed(listing, "commit"));
    assert_int_equal(m.reject, listed(listing, "reject"));
    assert_int_equal(m.reject_hint, listed(listing, "rejectHint"));
    check_entries(&m, listing);
    raft_message_release(&m);
    xfree(in);
}

static void test_messages_kept_here(void **state)
{
    static const struct {
        const char *hex;
        const char *listing;
    } cases[] = {
        {"0803100218032002280130033a06080010021804400350005800",
         "type=MsgApp to=2 from=3 term=2 logTerm=1 index=3 "
         "entries{Type=EntryNormal Term=2 Index=4} commit=3 reject=0 "
         "rejectHint=0"},
        {"08041003180220022800300440004a0a12080a0228001000180050005800",
         "type=MsgAppResp to=3 from=2 term=2 logTerm=0 index=4 commit=0 "
         "snapshot{metadata{conf_state{auto_leave=0} index=0 term=0}} "
         "reject=0 rejectHint=0"},
        {"0804100118022005300750015806",
         "type=MsgAppResp to=1 from=2 term=5 index=7 reject=1 rejectHint=6"},
        {"08081001180320024004",
         "type=MsgHeartbeat to=1 from=3 term=2 commit=4"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        check_message(cases[i].hex, cases[i].listing);
    }
}

static void check_samples(const char *relative)
{
    struct jsonl *j = jsonl_open_shared(relative);
    size_t n = 0;

    if (j == NULL) {
        return; /* it has said so */
    }
    for (; jsonl_next(j); n++) {
        check_message(jsonl_get(j, "hex"), jsonl_get(j, "decoded"));
    }
    assert_true(n > 5);
    jsonl_close(j);
}

static void test_messages_of_live_nodes(void **state)
{
    (void)state;
    check_samples("spec/samples/messages-observed-3.4.23.jsonl");
    check_samples("spec/samples/messages-observed-newest.jsonl");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_kept_here),
        cmocka_unit_test(test_messages_of_live_nodes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
