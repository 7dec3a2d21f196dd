/* Goal: a proposal enters the log once or not at all, and is settled by its own
 * entry only. Method: the table of proposals over a real rawnode, as the leader
 * of itself, as a follower whose forwarded messages are looked at, and as a
 * node that knows no leader. */

#include "src/server/proposals.h"

#include "proto/raftpb.h"
#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/raft/entry_queue.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/ready_rig.h"

/* --- requests as the node makes them --- */

static struct bytes id_bytes(const struct request *req)
{
    return (struct bytes){(const uint8_t *)&req->id, sizeof(req->id)};
}

/* The payload is the id, so that it can be found again. */
static void init_put(struct request *req, uint64_t id)
{
    *req = (struct request){.kind = REQUEST_PUT, .id = id};
    list_init(&req->link);
    req->entry = raft_entry_new(RAFT_ENTRY_NORMAL, id_bytes(req));
}

/* A large one: its bytes are never looked at, so they are not written. */
static void init_sized(struct request *req, uint64_t id, size_t len)
{
    *req = (struct request){.kind = REQUEST_PUT, .id = id};
    list_init(&req->link);
    req->entry = raft_entry_alloc(RAFT_ENTRY_NORMAL, len);
}

static void init_change(struct request *req, uint64_t id,
                        enum request_kind kind, uint64_t member)
{
    *req = (struct request){.kind = kind, .id = id, .member_id = member};
    list_init(&req->link);
    if (kind == REQUEST_ADD_MEMBER) {
        req->url = xstrdup("http://10.0.0.7:1");
    }
}

static void add(struct proposals *p, struct request *req)
{
    assert_int_equal(proposals_add(p, req), 0);
    assert_int_equal(req->stage, REQUEST_WAITING);
}

static size_t list_len(const struct list *l)
{
    size_t n = 0;

    list_for_each (it, l) {
        n++;
    }
    return n;
}

/* Take what was put on a list of outcomes off it; the number of requests. */
static size_t take_all(struct list *done)
{
    size_t n = 0;
    struct list *it;

    while ((it = list_pop_front(done)) != NULL) {
        assert_int_equal(container_of(it, struct request, link)->stage,
                         REQUEST_IDLE);
        n++;
    }
    return n;
}

struct fixture {
    struct ready_rig rig;
    struct proposals p;
    struct proposals_outcome out;
};

static void begin(struct fixture *f, const struct ready_rig_options *o)
{
    ready_rig_init(&f->rig, o);
    proposals_init(&f->p);
}

static void begin_leader(struct fixture *f)
{
    begin(f, &(struct ready_rig_options){.voters = 1});
    ready_rig_lead(&f->rig);
}

static void begin_follower(struct fixture *f)
{
    begin(f, &(struct ready_rig_options){.voters = 2});
    ready_rig_follow(&f->rig, 2);
}

static void end(struct fixture *f)
{
    assert_int_equal(f->p.n, 0);
    assert_int_equal(f->p.bytes, 0);
    assert_true(list_is_empty(&f->p.puts));
    assert_true(list_is_empty(&f->p.changes));
    assert_true(list_is_empty(&f->p.sent));
    proposals_release(&f->p);
    ready_rig_release(&f->rig);
}

static void expect_load(const struct fixture *f, size_t waiting,
                        size_t under_way)
{
    struct request_load load = proposals_load(&f->p);

    assert_int_equal(load.waiting, waiting);
    assert_int_equal(load.under_way, under_way);
}

static void flush(struct fixture *f)
{
    proposals_flush(&f->p, f->rig.raw, 2, false, &f->out);
    ready_rig_process(&f->rig);
}

static void expect_nothing_done(const struct fixture *f)
{
    assert_true(list_is_empty(&f->out.refused));
    assert_true(list_is_empty(&f->out.handed));
}

/* --- batches --- */

static void test_what_waits_becomes_one_message_in_order(void **state)
{
    struct fixture f;
    struct request puts[3];

    (void)state;
    begin_follower(&f);
    for (uint64_t i = 0; i < ARRAY_LEN(puts); i++) {
        init_put(&puts[i], 10 + i);
        add(&f.p, &puts[i]);
    }
    assert_int_equal(f.p.bytes, 3 * sizeof(uint64_t));
    flush(&f);
    expect_nothing_done(&f);
    assert_int_equal(f.rig.n_sent, 1);
    assert_int_equal(f.rig.sent[0].type, RAFT_MSG_PROP);
    assert_int_equal(f.rig.sent[0].to, 2);
    assert_int_equal(f.rig.sent[0].entries.len, ARRAY_LEN(puts));
    for (size_t i = 0; i < ARRAY_LEN(puts); i++) {
        const struct raft_entry *e = f.rig.sent[0].entries.items[i];

        assert_memory_equal(e->data, &puts[i].id, sizeof(puts[i].id));
        assert_int_equal(puts[i].stage, REQUEST_PROPOSED);
        assert_int_equal(puts[i].term, 2);
        assert_null(puts[i].entry);
    }
    assert_int_equal(f.p.bytes, 0);
    assert_int_equal(f.p.n, 3);
    /* Never proposed again [reliability I19]. */
    flush(&f);
    assert_int_equal(f.rig.n_sent, 1);
    for (size_t i = 0; i < ARRAY_LEN(puts); i++) {
        proposals_remove(&f.p, &puts[i]);
    }
    end(&f);
}

#define CUT_MAX 6

static const struct {
    const char *name;
    size_t kib[CUT_MAX];  /* of the entries; 0 ends the list */
    size_t sent[CUT_MAX]; /* entries per message; 0 ends the list */
} cut_cases[] = {
    {"all fit", {300, 300, 300}, {3}},
    {"exactly full", {512, 512}, {2}},
    {"one more than full", {512, 512, 1}, {2, 1}},
    {"two by two", {400, 400, 400, 400, 400}, {2, 2, 1}},
    {"a large one goes alone", {1, 3072, 1}, {1, 1, 1}},
    {"a large one first", {3072, 1, 1}, {1, 2}},
    {"only large ones", {2048, 2048}, {1, 1}},
};

static void test_messages_are_cut_by_size(void **state)
{
    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(cut_cases); c++) {
        struct fixture f;
        struct request puts[CUT_MAX];
        size_t n = 0;
        size_t n_messages = 0;

        print_message("  %s\n", cut_cases[c].name);
        begin_follower(&f);
        for (; n < CUT_MAX && cut_cases[c].kib[n] > 0; n++) {
            init_sized(&puts[n], n + 1, cut_cases[c].kib[n] * KiB);
            add(&f.p, &puts[n]);
        }
        flush(&f);
        expect_nothing_done(&f);
        for (; cut_cases[c].sent[n_messages] > 0; n_messages++) {
            assert_true(n_messages < f.rig.n_sent);
            assert_int_equal(f.rig.sent[n_messages].entries.len,
                             cut_cases[c].sent[n_messages]);
        }
        assert_int_equal(f.rig.n_sent, n_messages);
        assert_int_equal(list_len(&f.p.sent), n);
        for (size_t i = 0; i < n; i++) {
            proposals_remove(&f.p, &puts[i]);
        }
        end(&f);
    }
}

static void test_nothing_waiting_proposes_nothing(void **state)
{
    struct fixture f;

    (void)state;
    begin_follower(&f);
    flush(&f);
    expect_nothing_done(&f);
    assert_int_equal(f.rig.n_sent, 0);
    end(&f);
}

/* --- refusal --- */

static void test_refused_batch_is_in_no_log(void **state)
{
    struct fixture f;
    struct request reqs[4];

    (void)state;
    begin(&f, &(struct ready_rig_options){.voters = 2}); /* and no leader */
    for (uint64_t i = 0; i < 3; i++) {
        init_put(&reqs[i], 10 + i);
        add(&f.p, &reqs[i]);
    }
    reqs[1].respond_async = true;
    init_change(&reqs[3], 13, REQUEST_REMOVE_MEMBER, 2);
    add(&f.p, &reqs[3]);
    flush(&f);
    assert_true(list_is_empty(&f.out.handed));
    assert_int_equal(take_all(&f.out.refused), ARRAY_LEN(reqs));
    for (size_t i = 0; i < ARRAY_LEN(reqs); i++) {
        assert_false(ready_rig_log_has(&f.rig, id_bytes(&reqs[i])));
        assert_null(proposals_applied(&f.p, reqs[i].id, 9));
    }
    assert_int_equal(memory_storage_last_index(&f.rig.log), 1);
    assert_int_equal(f.rig.n_sent, 0);
    end(&f);
}

/* Two messages' worth, of which raft has room for the first: its requests go
 * on, those of the second did not happen. */
static void test_second_batch_refused_leaves_the_first(void **state)
{
    struct fixture f;
    struct request big;
    struct request small[2];

    (void)state;
    begin(&f, &(struct ready_rig_options){.voters = 1,
                                          .max_uncommitted_len = 1 * MiB});
    ready_rig_lead(&f.rig);
    init_sized(&big, 1, RAFT_MAX_SIZE_PER_MSG);
    add(&f.p, &big);
    for (uint64_t i = 0; i < ARRAY_LEN(small); i++) {
        init_put(&small[i], 10 + i);
        add(&f.p, &small[i]);
    }
    flush(&f);
    assert_int_equal(take_all(&f.out.refused), ARRAY_LEN(small));
    assert_int_equal(big.stage, REQUEST_PROPOSED);
    for (size_t i = 0; i < ARRAY_LEN(small); i++) {
        assert_false(ready_rig_log_has(&f.rig, id_bytes(&small[i])));
    }
    assert_ptr_equal(proposals_applied(&f.p, 1, 2), &big);
    end(&f);
}

/* --- respond-async --- */

static void test_async_is_done_once_handed_over(void **state)
{
    struct fixture f;
    struct request async;
    struct request waits;

    (void)state;
    begin_leader(&f);
    init_put(&async, 1);
    async.respond_async = true;
    init_put(&waits, 2);
    add(&f.p, &async);
    add(&f.p, &waits);
    flush(&f);
    assert_int_equal(list_len(&f.out.handed), 1);
    assert_ptr_equal(f.out.handed.next, &async.link);
    assert_int_equal(take_all(&f.out.handed), 1);
    assert_true(list_is_empty(&f.out.refused));
    assert_true(ready_rig_log_has(&f.rig, id_bytes(&async)));
    /* Its entry settles nobody any more. */
    assert_null(proposals_applied(&f.p, async.id, 2));
    assert_ptr_equal(proposals_applied(&f.p, waits.id, 2), &waits);
    end(&f);
}

/* --- settling --- */

static void test_only_its_own_entry_settles_a_request(void **state)
{
    struct fixture f;
    struct request reqs[2];

    (void)state;
    begin_leader(&f);
    for (uint64_t i = 0; i < ARRAY_LEN(reqs); i++) {
        init_put(&reqs[i], 100 + i);
        add(&f.p, &reqs[i]);
    }
    /* Not before it is proposed, whatever the id. */
    assert_null(proposals_applied(&f.p, 100, 2));
    flush(&f); /* at term 2 */
    assert_null(proposals_applied(&f.p, 99, 2));
    /* An entry of an earlier life with the same id. */
    assert_null(proposals_applied(&f.p, 100, 1));
    assert_int_equal(reqs[0].stage, REQUEST_PROPOSED);
    assert_ptr_equal(proposals_applied(&f.p, 100, 2), &reqs[0]);
    assert_int_equal(reqs[0].stage, REQUEST_IDLE);
    assert_null(proposals_applied(&f.p, 100, 2));
    /* A follower's proposal may get the term of a later leader. */
    assert_ptr_equal(proposals_applied(&f.p, 101, 3), &reqs[1]);
    end(&f);
}

/* --- membership changes --- */

static void test_change_carries_id_member_and_url(void **state)
{
    struct fixture f;
    struct request reqs[2];
    struct conf_change cc;

    (void)state;
    begin_leader(&f);
    init_change(&reqs[0], 5, REQUEST_ADD_MEMBER, 7);
    init_change(&reqs[1], 6, REQUEST_REMOVE_MEMBER, 7);
    for (size_t i = 0; i < ARRAY_LEN(reqs); i++) {
        const struct raft_entry *e;

        add(&f.p, &reqs[i]);
        proposals_flush(&f.p, f.rig.raw, 2, false, &f.out);
        assert_int_equal(reqs[i].stage, REQUEST_PROPOSED);
        /* With a second voter nothing is committed alone: look at the log. */
        ready_rig_process(&f.rig);
        e = entry_queue_at(f.rig.log.ents, entry_queue_len(f.rig.log.ents) - 1);
        assert_int_equal(e->type, RAFT_ENTRY_CONF_CHANGE);
        assert_int_equal(conf_change_decode(raft_entry_data(e), &cc), 0);
        assert_int_equal(cc.id, reqs[i].id);
        assert_int_equal(cc.node_id, 7);
        if (i == 0) {
            assert_int_equal(cc.type, CONF_CHANGE_ADD_NODE);
            assert_int_equal(cc.context.len, strlen(reqs[0].url));
            assert_memory_equal(cc.context.data, reqs[0].url, cc.context.len);
        } else {
            assert_int_equal(cc.type, CONF_CHANGE_REMOVE_NODE);
            assert_int_equal(cc.context.len, 0);
        }
        assert_ptr_equal(proposals_applied(&f.p, reqs[i].id, 2), &reqs[i]);
    }
    xfree(reqs[0].url);
    end(&f);
}

/* For others, to go with them; a change goes alone. */
static void test_puts_can_be_held_back(void **state)
{
    struct fixture f;
    struct request put;
    struct request change;

    (void)state;
    begin_leader(&f);
    init_put(&put, 5);
    init_change(&change, 6, REQUEST_REMOVE_MEMBER, 8);
    add(&f.p, &put);
    add(&f.p, &change);
    expect_load(&f, 2, 0);
    proposals_flush(&f.p, f.rig.raw, 2, true, &f.out);
    expect_nothing_done(&f);
    assert_int_equal(put.stage, REQUEST_WAITING);
    assert_int_equal(change.stage, REQUEST_PROPOSED);
    expect_load(&f, 1, 1);
    proposals_flush(&f.p, f.rig.raw, 2, false, &f.out);
    assert_int_equal(put.stage, REQUEST_PROPOSED);
    expect_load(&f, 0, 2);
    proposals_remove(&f.p, &put);
    proposals_remove(&f.p, &change);
    expect_load(&f, 0, 0);
    end(&f);
}

/* The leader knows when a change is applied, whoever made it. */
static void test_leader_proposes_one_change_at_a_time(void **state)
{
    struct fixture f;
    struct request reqs[2];
    struct request put;

    (void)state;
    begin_leader(&f);
    init_change(&reqs[0], 5, REQUEST_REMOVE_MEMBER, 8);
    init_change(&reqs[1], 6, REQUEST_REMOVE_MEMBER, 9);
    init_put(&put, 7);
    add(&f.p, &reqs[0]);
    add(&f.p, &reqs[1]);
    proposals_flush(&f.p, f.rig.raw, 2, false, &f.out);
    assert_int_equal(reqs[0].stage, REQUEST_PROPOSED);
    assert_int_equal(reqs[1].stage, REQUEST_WAITING);
    /* Gone from the table, but still pending in raft. */
    proposals_remove(&f.p, &reqs[0]);
    assert_true(rawnode_conf_change_pending(f.rig.raw));
    add(&f.p, &put);
    proposals_flush(&f.p, f.rig.raw, 2, false, &f.out);
    assert_int_equal(reqs[1].stage, REQUEST_WAITING);
    assert_int_equal(put.stage, REQUEST_PROPOSED); /* puts do not wait */
    expect_load(&f, 1, 1);
    ready_rig_process(&f.rig);
    assert_false(rawnode_conf_change_pending(f.rig.raw));
    proposals_flush(&f.p, f.rig.raw, 2, false, &f.out);
    assert_int_equal(reqs[1].stage, REQUEST_PROPOSED);
    expect_nothing_done(&f);
    proposals_remove(&f.p, &reqs[1]);
    proposals_remove(&f.p, &put);
    end(&f);
}

/* A follower cannot ask raft; its own change in flight holds back the next. */
static void test_follower_forwards_one_change_at_a_time(void **state)
{
    struct fixture f;
    struct request reqs[2];

    (void)state;
    begin_follower(&f);
    init_change(&reqs[0], 5, REQUEST_REMOVE_MEMBER, 8);
    init_change(&reqs[1], 6, REQUEST_REMOVE_MEMBER, 9);
    add(&f.p, &reqs[0]);
    add(&f.p, &reqs[1]);
    flush(&f);
    flush(&f);
    assert_int_equal(f.rig.n_sent, 1);
    assert_int_equal(reqs[1].stage, REQUEST_WAITING);
    assert_ptr_equal(proposals_applied(&f.p, 5, 2), &reqs[0]);
    flush(&f);
    assert_int_equal(f.rig.n_sent, 2);
    assert_int_equal(reqs[1].stage, REQUEST_PROPOSED);
    proposals_remove(&f.p, &reqs[1]);
    end(&f);
}

/* --- bounds --- */

static void test_too_many_are_not_taken(void **state)
{
    struct fixture f;
    struct request *reqs = xcalloc(PENDING_PROPOSALS_MAX, sizeof(*reqs));
    struct request more;

    (void)state;
    begin_leader(&f);
    for (uint64_t i = 0; i < PENDING_PROPOSALS_MAX; i++) {
        init_change(&reqs[i], i, REQUEST_REMOVE_MEMBER, 9);
        add(&f.p, &reqs[i]);
    }
    init_put(&more, 1);
    assert_int_equal(proposals_add(&f.p, &more), ERR_OVERLOADED);
    assert_int_equal(more.stage, REQUEST_IDLE);
    assert_true(list_is_empty(&more.link));
    assert_int_equal(f.p.n, PENDING_PROPOSALS_MAX);
    assert_int_equal(f.p.bytes, 0);
    /* One less makes room for it. */
    proposals_remove(&f.p, &reqs[77]);
    add(&f.p, &more);
    proposals_remove(&f.p, &more);
    for (size_t i = 0; i < PENDING_PROPOSALS_MAX; i++) {
        if (i != 77) {
            proposals_remove(&f.p, &reqs[i]);
        }
    }
    xfree(reqs);
    end(&f);
}

static void test_too_many_bytes_are_not_taken(void **state)
{
    struct fixture f;
    struct request reqs[5];
    size_t quarter = PENDING_PROPOSAL_BYTES_MAX / 4;

    (void)state;
    begin_leader(&f);
    for (size_t i = 0; i < ARRAY_LEN(reqs); i++) {
        init_sized(&reqs[i], i + 1, quarter);
    }
    for (size_t i = 0; i < 4; i++) {
        add(&f.p, &reqs[i]); /* exactly full */
    }
    assert_int_equal(proposals_add(&f.p, &reqs[4]), ERR_OVERLOADED);
    assert_int_equal(f.p.bytes, PENDING_PROPOSAL_BYTES_MAX);
    proposals_remove(&f.p, &reqs[0]);
    assert_int_equal(f.p.bytes, 3 * quarter);
    add(&f.p, &reqs[4]);
    for (size_t i = 1; i < ARRAY_LEN(reqs); i++) {
        proposals_remove(&f.p, &reqs[i]);
    }
    end(&f);
}

/* What was handed to raft takes no room any more, but is still counted. */
static void test_proposed_bytes_leave_the_account(void **state)
{
    struct fixture f;
    struct request put;

    (void)state;
    begin_leader(&f);
    init_sized(&put, 1, 1000);
    add(&f.p, &put);
    assert_int_equal(f.p.bytes, 1000);
    flush(&f);
    assert_int_equal(f.p.bytes, 0);
    assert_int_equal(f.p.n, 1);
    proposals_remove(&f.p, &put);
    end(&f);
}

/* --- removal --- */

static void test_removed_while_waiting_is_never_proposed(void **state)
{
    struct fixture f;
    struct request reqs[4];

    (void)state;
    begin_leader(&f);
    for (uint64_t i = 0; i < 3; i++) {
        init_put(&reqs[i], 10 + i);
        add(&f.p, &reqs[i]);
    }
    init_change(&reqs[3], 13, REQUEST_REMOVE_MEMBER, 9);
    add(&f.p, &reqs[3]);
    proposals_remove(&f.p, &reqs[1]);
    proposals_remove(&f.p, &reqs[3]);
    assert_int_equal(reqs[1].stage, REQUEST_IDLE);
    assert_null(reqs[1].entry);
    flush(&f);
    assert_true(ready_rig_log_has(&f.rig, id_bytes(&reqs[0])));
    assert_false(ready_rig_log_has(&f.rig, id_bytes(&reqs[1])));
    assert_true(ready_rig_log_has(&f.rig, id_bytes(&reqs[2])));
    assert_int_equal(memory_storage_last_index(&f.rig.log), 1 + 1 + 2);
    proposals_remove(&f.p, &reqs[0]);
    proposals_remove(&f.p, &reqs[2]);
    end(&f);
}

static void test_removed_once_proposed_is_not_settled(void **state)
{
    struct fixture f;
    struct request reqs[2];

    (void)state;
    begin_leader(&f);
    init_put(&reqs[0], 10);
    init_change(&reqs[1], 11, REQUEST_REMOVE_MEMBER, 9);
    add(&f.p, &reqs[0]);
    add(&f.p, &reqs[1]);
    flush(&f);
    for (size_t i = 0; i < ARRAY_LEN(reqs); i++) {
        assert_int_equal(reqs[i].stage, REQUEST_PROPOSED);
        proposals_remove(&f.p, &reqs[i]);
        assert_int_equal(reqs[i].stage, REQUEST_IDLE);
        assert_null(proposals_applied(&f.p, reqs[i].id, 2));
    }
    /* It happens all the same. */
    assert_true(ready_rig_log_has(&f.rig, id_bytes(&reqs[0])));
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_waits_becomes_one_message_in_order),
        cmocka_unit_test(test_messages_are_cut_by_size),
        cmocka_unit_test(test_nothing_waiting_proposes_nothing),
        cmocka_unit_test(test_refused_batch_is_in_no_log),
        cmocka_unit_test(test_second_batch_refused_leaves_the_first),
        cmocka_unit_test(test_async_is_done_once_handed_over),
        cmocka_unit_test(test_only_its_own_entry_settles_a_request),
        cmocka_unit_test(test_change_carries_id_member_and_url),
        cmocka_unit_test(test_puts_can_be_held_back),
        cmocka_unit_test(test_leader_proposes_one_change_at_a_time),
        cmocka_unit_test(test_follower_forwards_one_change_at_a_time),
        cmocka_unit_test(test_too_many_are_not_taken),
        cmocka_unit_test(test_too_many_bytes_are_not_taken),
        cmocka_unit_test(test_proposed_bytes_leave_the_account),
        cmocka_unit_test(test_removed_while_waiting_is_never_proposed),
        cmocka_unit_test(test_removed_once_proposed_is_not_settled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
