/* Goal: a read is served from an index that was confirmed for this very
 * attempt, and not before that index is applied. Method: the batches of reads
 * over a real rawnode, as the leader of itself (whose answers come at once) and
 * as a follower (whose answers the test gives, late or twice). */

#include "src/server/reads.h"

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/raft/rawnode.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/ready_rig.h"

#define NODE_ID   UINT64_C(0x0102030405060708)
#define FIRST_SEQ UINT64_C(0xa0b0c0d0e0f00000)

struct fixture {
    struct ready_rig rig;
    struct reads r;
};

static void begin_with(struct fixture *f, size_t voters)
{
    ready_rig_init(&f->rig, &(struct ready_rig_options){.voters = voters});
    reads_init(&f->r, NODE_ID, FIRST_SEQ);
}

static void begin_leader(struct fixture *f)
{
    begin_with(f, 1);
    ready_rig_lead(&f->rig);
}

static void begin_follower(struct fixture *f)
{
    begin_with(f, 2);
    ready_rig_follow(&f->rig, 2);
}

static void end(struct fixture *f)
{
    assert_int_equal(f->r.n, 0);
    reads_release(&f->r);
    ready_rig_release(&f->rig);
}

static void add(struct fixture *f, struct request *req)
{
    *req = (struct request){.kind = REQUEST_GET};
    list_init(&req->link);
    assert_int_equal(reads_add(&f->r, req), 0);
    assert_int_equal(req->stage, REQUEST_READ_QUEUED);
}

static void flush(struct fixture *f, uint64_t now)
{
    reads_flush(&f->r, f->rig.raw, now);
    ready_rig_process(&f->rig);
}

static void expect_load(const struct fixture *f, size_t waiting,
                        size_t under_way)
{
    struct request_load load = reads_load(&f->r);

    assert_int_equal(load.waiting, waiting);
    assert_int_equal(load.under_way, under_way);
}

/* The context that the follower forwarded with its n-th question. */
static struct bytes asked(const struct fixture *f, size_t n)
{
    const struct raft_message *m = &f->rig.sent[n];

    assert_true(n < f->rig.n_sent);
    assert_int_equal(m->type, RAFT_MSG_READ_INDEX);
    assert_int_equal(m->entries.len, 1);
    return raft_entry_data(m->entries.items[0]);
}

/* The leader answers the n-th question; what raft makes of it goes on. */
static void answer(struct fixture *f, size_t n, uint64_t index)
{
    struct raft_message m = {
        .type = RAFT_MSG_READ_INDEX_RESP,
        .to = 1,
        .from = 2,
        .term = 1,
        .index = index,
    };
    size_t before = f->rig.n_reads;

    raft_entries_take(&m.entries,
                      raft_entry_new(RAFT_ENTRY_NORMAL, asked(f, n)));
    assert_int_equal(rawnode_step(f->rig.raw, &m), 0);
    raft_message_release(&m);
    ready_rig_process(&f->rig);
    assert_int_equal(f->rig.n_reads, before + 1);
    reads_confirmed(&f->r, &f->rig.reads[before]);
}

/* --- asking --- */

static void test_all_that_is_queued_shares_one_context(void **state)
{
    static const uint8_t ctx[16] = {1,    2,    3,    4,    5,    6,    7, 8,
                                    0xa0, 0xb0, 0xc0, 0xd0, 0xe0, 0xf0, 0, 0};
    struct fixture f;
    struct request reqs[3];

    (void)state;
    begin_leader(&f);
    for (size_t i = 0; i < ARRAY_LEN(reqs); i++) {
        add(&f, &reqs[i]);
    }
    flush(&f, 0);
    assert_int_equal(f.rig.n_reads, 1);
    assert_int_equal(f.rig.reads[0].ctx_len, sizeof(ctx));
    assert_memory_equal(f.rig.reads[0].ctx, ctx, sizeof(ctx));
    for (size_t i = 0; i < ARRAY_LEN(reqs); i++) {
        assert_int_equal(reqs[i].stage, REQUEST_READ_ASKED);
    }
    reads_confirmed(&f.r, &f.rig.reads[0]);
    for (size_t i = 0; i < ARRAY_LEN(reqs); i++) {
        assert_int_equal(reqs[i].stage, REQUEST_READ_CONFIRMED);
    }
    for (size_t i = 0; i < ARRAY_LEN(reqs); i++) {
        assert_ptr_equal(reads_applied(&f.r, f.rig.reads[0].index), &reqs[i]);
        assert_int_equal(reqs[i].stage, REQUEST_IDLE);
    }
    assert_null(reads_applied(&f.r, UINT64_MAX));
    end(&f);
}

static void test_nothing_queued_asks_nothing(void **state)
{
    struct fixture f;

    (void)state;
    begin_leader(&f);
    flush(&f, 0);
    assert_int_equal(f.rig.n_reads, 0);
    assert_null(reads_applied(&f.r, UINT64_MAX));
    end(&f);
}

static void test_each_flush_has_a_context_of_its_own(void **state)
{
    struct fixture f;
    struct request reqs[3];

    (void)state;
    begin_follower(&f);
    for (size_t i = 0; i < ARRAY_LEN(reqs); i++) {
        add(&f, &reqs[i]);
        flush(&f, i);
    }
    assert_int_equal(f.rig.n_sent, 3);
    for (size_t i = 1; i < ARRAY_LEN(reqs); i++) {
        assert_int_equal(asked(&f, i).len, asked(&f, 0).len);
        for (size_t j = 0; j < i; j++) {
            assert_memory_not_equal(asked(&f, i).data, asked(&f, j).data,
                                    asked(&f, i).len);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(reqs); i++) {
        reads_remove(&f.r, &reqs[i]);
    }
    end(&f);
}

/* --- attempts that end [reliability I21] --- */

static void test_restart_asks_under_a_new_context(void **state)
{
    struct fixture f;
    struct request req;

    (void)state;
    begin_follower(&f);
    add(&f, &req);
    flush(&f, 0);
    reads_restart(&f.r, UINT64_MAX);
    assert_int_equal(req.stage, REQUEST_READ_QUEUED);
    flush(&f, 1);
    assert_int_equal(req.stage, REQUEST_READ_ASKED);
    assert_int_equal(f.rig.n_sent, 2);
    assert_memory_not_equal(asked(&f, 0).data, asked(&f, 1).data,
                            asked(&f, 0).len);
    /* The answer of the attempt that ended comes late: an index of another
     * leader's time. */
    answer(&f, 0, 1);
    assert_int_equal(req.stage, REQUEST_READ_ASKED);
    assert_null(reads_applied(&f.r, UINT64_MAX));
    answer(&f, 1, 5);
    assert_int_equal(req.stage, REQUEST_READ_CONFIRMED);
    assert_null(reads_applied(&f.r, 4));
    assert_ptr_equal(reads_applied(&f.r, 5), &req);
    end(&f);
}

static void test_late_answer_while_queued_again_is_ignored(void **state)
{
    struct fixture f;
    struct request req;

    (void)state;
    begin_follower(&f);
    add(&f, &req);
    flush(&f, 0);
    reads_restart(&f.r, UINT64_MAX);
    answer(&f, 0, 1);
    assert_int_equal(req.stage, REQUEST_READ_QUEUED);
    assert_null(reads_applied(&f.r, UINT64_MAX));
    reads_remove(&f.r, &req);
    end(&f);
}

static void test_only_attempts_before_the_tick_are_restarted(void **state)
{
    struct fixture f;
    struct request reqs[3];

    (void)state;
    begin_follower(&f);
    for (size_t i = 0; i < ARRAY_LEN(reqs); i++) {
        add(&f, &reqs[i]);
        flush(&f, 10 + i);
    }
    reads_restart(&f.r, 10);
    assert_int_equal(reqs[0].stage, REQUEST_READ_ASKED);
    reads_restart(&f.r, 12);
    assert_int_equal(reqs[0].stage, REQUEST_READ_QUEUED);
    assert_int_equal(reqs[1].stage, REQUEST_READ_QUEUED);
    assert_int_equal(reqs[2].stage, REQUEST_READ_ASKED);
    answer(&f, 2, 1);
    assert_ptr_equal(reads_applied(&f.r, 1), &reqs[2]);
    expect_load(&f, 2, 0);
    reads_remove(&f.r, &reqs[0]);
    expect_load(&f, 1, 0);
    reads_remove(&f.r, &reqs[1]);
    expect_load(&f, 0, 0);
    end(&f);
}

/* What is confirmed has its index, which stays a legal one. */
static void test_confirmed_reads_are_not_asked_again(void **state)
{
    struct fixture f;
    struct request req;

    (void)state;
    begin_follower(&f);
    add(&f, &req);
    flush(&f, 0);
    answer(&f, 0, 7);
    reads_restart(&f.r, UINT64_MAX);
    assert_int_equal(req.stage, REQUEST_READ_CONFIRMED);
    flush(&f, 1);
    assert_int_equal(f.rig.n_sent, 1);
    assert_ptr_equal(reads_applied(&f.r, 7), &req);
    end(&f);
}

/* Restarted ones are older than what is queued, and share its next context. */
static void test_order_survives_a_restart(void **state)
{
    struct fixture f;
    struct request reqs[4];

    (void)state;
    begin_follower(&f);
    add(&f, &reqs[0]);
    add(&f, &reqs[1]);
    flush(&f, 0);
    add(&f, &reqs[2]);
    flush(&f, 0);
    add(&f, &reqs[3]);
    expect_load(&f, 1, 3);
    reads_restart(&f.r, UINT64_MAX);
    expect_load(&f, 4, 0);
    flush(&f, 1);
    expect_load(&f, 0, 4);
    assert_int_equal(f.rig.n_sent, 3);
    answer(&f, 2, 1);
    for (size_t i = 0; i < ARRAY_LEN(reqs); i++) {
        assert_ptr_equal(reads_applied(&f.r, 1), &reqs[i]);
    }
    end(&f);
}

/* --- answers --- */

static void test_answers_of_nobody_are_ignored(void **state)
{
    struct fixture f;
    struct request req;
    struct read_state rs = {.index = 1};

    (void)state;
    begin_follower(&f);
    add(&f, &req);
    flush(&f, 0);
    rs.ctx_len = (uint8_t)asked(&f, 0).len;
    memcpy(rs.ctx, asked(&f, 0).data, rs.ctx_len);
    rs.ctx[0] ^= 1; /* another node's */
    reads_confirmed(&f.r, &rs);
    rs.ctx[0] ^= 1;
    rs.ctx_len--;
    reads_confirmed(&f.r, &rs);
    rs.ctx_len += 2;
    reads_confirmed(&f.r, &rs);
    rs.ctx_len = 0;
    reads_confirmed(&f.r, &rs);
    assert_int_equal(req.stage, REQUEST_READ_ASKED);
    reads_remove(&f.r, &req);
    end(&f);
}

/* A doubled message must not confirm what was asked later, nor move an index
 * back. */
static void test_doubled_answer_is_ignored(void **state)
{
    struct fixture f;
    struct request reqs[2];

    (void)state;
    begin_follower(&f);
    add(&f, &reqs[0]);
    flush(&f, 0);
    add(&f, &reqs[1]);
    flush(&f, 0);
    answer(&f, 0, 5);
    answer(&f, 0, 3);
    assert_int_equal(reqs[1].stage, REQUEST_READ_ASKED);
    assert_null(reads_applied(&f.r, 4));
    assert_ptr_equal(reads_applied(&f.r, 5), &reqs[0]);
    answer(&f, 0, 5);
    assert_null(reads_applied(&f.r, UINT64_MAX));
    reads_remove(&f.r, &reqs[1]);
    end(&f);
}

static void test_served_once_applied_reaches_the_index(void **state)
{
    struct fixture f;
    struct request reqs[3];

    (void)state;
    begin_follower(&f);
    for (size_t i = 0; i < ARRAY_LEN(reqs); i++) {
        add(&f, &reqs[i]);
        flush(&f, 0);
    }
    /* Answers may come in any order. */
    answer(&f, 2, 20);
    answer(&f, 0, 10);
    assert_null(reads_applied(&f.r, 0));
    assert_null(reads_applied(&f.r, 9));
    assert_ptr_equal(reads_applied(&f.r, 10), &reqs[0]);
    assert_null(reads_applied(&f.r, 19));
    answer(&f, 1, 15);
    assert_ptr_equal(reads_applied(&f.r, 15), &reqs[1]);
    assert_ptr_equal(reads_applied(&f.r, 99), &reqs[2]);
    assert_null(reads_applied(&f.r, UINT64_MAX));
    end(&f);
}

/* --- removal --- */

static void test_cancelled_in_each_stage(void **state)
{
    struct fixture f;
    struct request reqs[6];

    (void)state;
    begin_follower(&f);
    add(&f, &reqs[0]); /* asked and confirmed */
    add(&f, &reqs[1]);
    flush(&f, 0);
    answer(&f, 0, 1);
    add(&f, &reqs[2]); /* asked */
    add(&f, &reqs[3]);
    flush(&f, 0);
    add(&f, &reqs[4]); /* queued */
    add(&f, &reqs[5]);
    for (size_t i = 0; i < ARRAY_LEN(reqs); i += 2) {
        reads_remove(&f.r, &reqs[i]);
        assert_int_equal(reqs[i].stage, REQUEST_IDLE);
        assert_true(list_is_empty(&reqs[i].link));
    }
    assert_int_equal(f.r.n, 3);
    flush(&f, 0);
    answer(&f, 1, 1);
    answer(&f, 2, 1);
    for (size_t i = 1; i < ARRAY_LEN(reqs); i += 2) {
        assert_ptr_equal(reads_applied(&f.r, 1), &reqs[i]);
    }
    assert_null(reads_applied(&f.r, 1));
    end(&f);
}

/* A batch without requests: its answer, its restart and the end of the node
 * find nobody. */
static void test_attempt_that_lost_its_requests(void **state)
{
    struct fixture f;
    struct request reqs[4];

    (void)state;
    begin_follower(&f);
    for (size_t i = 0; i < ARRAY_LEN(reqs); i++) {
        add(&f, &reqs[i]);
        flush(&f, i);
    }
    answer(&f, 1, 1);
    for (size_t i = 0; i < ARRAY_LEN(reqs); i++) {
        reads_remove(&f.r, &reqs[i]);
    }
    reads_restart(&f.r, 1); /* the first */
    answer(&f, 2, 9);
    assert_null(reads_applied(&f.r, 1)); /* the second ends here */
    flush(&f, 9);
    assert_int_equal(f.rig.n_sent, ARRAY_LEN(reqs)); /* nothing asked again */
    end(&f); /* the third, confirmed; the fourth, asked */
}

/* --- bounds --- */

static void test_too_many_are_not_taken(void **state)
{
    struct fixture f;
    struct request *reqs = xcalloc(PENDING_READS_MAX, sizeof(*reqs));
    struct request more = {.kind = REQUEST_GET};

    (void)state;
    begin_leader(&f);
    list_init(&more.link);
    for (size_t i = 0; i < PENDING_READS_MAX; i++) {
        if (i == PENDING_READS_MAX / 2) {
            flush(&f, 0); /* in whatever stage */
        }
        add(&f, &reqs[i]);
    }
    assert_int_equal(reads_add(&f.r, &more), ERR_OVERLOADED);
    assert_int_equal(more.stage, REQUEST_IDLE);
    assert_true(list_is_empty(&more.link));
    assert_int_equal(f.r.n, PENDING_READS_MAX);
    reads_confirmed(&f.r, &f.rig.reads[0]);
    assert_ptr_equal(reads_applied(&f.r, UINT64_MAX), &reqs[0]);
    assert_int_equal(reads_add(&f.r, &more), 0);
    reads_remove(&f.r, &more);
    for (size_t i = 1; i < PENDING_READS_MAX; i++) {
        reads_remove(&f.r, &reqs[i]);
    }
    xfree(reqs);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_that_is_queued_shares_one_context),
        cmocka_unit_test(test_nothing_queued_asks_nothing),
        cmocka_unit_test(test_each_flush_has_a_context_of_its_own),
        cmocka_unit_test(test_restart_asks_under_a_new_context),
        cmocka_unit_test(test_late_answer_while_queued_again_is_ignored),
        cmocka_unit_test(test_only_attempts_before_the_tick_are_restarted),
        cmocka_unit_test(test_confirmed_reads_are_not_asked_again),
        cmocka_unit_test(test_order_survives_a_restart),
        cmocka_unit_test(test_answers_of_nobody_are_ignored),
        cmocka_unit_test(test_doubled_answer_is_ignored),
        cmocka_unit_test(test_served_once_applied_reaches_the_index),
        cmocka_unit_test(test_cancelled_in_each_stage),
        cmocka_unit_test(test_attempt_that_lost_its_requests),
        cmocka_unit_test(test_too_many_are_not_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
