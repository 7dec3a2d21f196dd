/* Goal: what goes by POST arrives once or is reported, one snapshot at a time,
 * with a bounded queue and an end to waiting. Method: two transports, or one
 * and a socket that never answers, over loopback. */

#include "transport/pipeline.h"

#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "tests/lib/entries.h"
#include "tests/lib/peer_net.h"
#include "transport/peer.h"
#include "transport/transport_internal.h"

static struct peer_net net;

static int setup(void **state)
{
    (void)state;
    peer_net_init(&net);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    peer_net_release(&net);
    return 0;
}

static struct peer_node *node(uint64_t id)
{
    return &net.nodes[id - 1];
}

static void test_snapshot_goes_by_post(void **state)
{
    (void)state;
    peer_net_start_linked(&net, 2);
    peer_net_send(&net, 1, peer_snapshot(1, 2, 3 * MiB));
    RUN_UNTIL(&net, node(1)->snapshots_ok == 1);
    assert_int_equal(node(2)->n_got, 1);
    assert_int_equal(node(2)->got[0].type, RAFT_MSG_SNAP);
    assert_int_equal(node(2)->got[0].snapshot->len, 3 * MiB);
    assert_int_equal(node(1)->snapshots_failed, 0);

    /* A second one over the same connection. */
    peer_net_send(&net, 1, peer_snapshot(1, 2, 10));
    RUN_UNTIL(&net, node(1)->snapshots_ok == 2);
}

/* An encoded snapshot that is read piece by piece. */
struct memory_source {
    struct raft_snapshot_source base;
    uint8_t *bytes; /* owned */
    size_t pos;
    size_t fail_at; /* reading beyond it fails */
    size_t most;    /* that was asked for at once */
};

static size_t n_open;

static int memory_read(struct raft_snapshot_source *base, uint8_t *p,
                       size_t len, struct errmsg *em)
{
    struct memory_source *s = container_of(base, struct memory_source, base);

    assert_true(len <= base->size - s->pos);
    s->most = len > s->most ? len : s->most;
    if (s->pos + len > s->fail_at) {
        return errmsg_set(em, ERR_DAMAGED, "a file");
    }
    memcpy(p, s->bytes + s->pos, len);
    s->pos += len;
    return 0;
}

static void memory_close(struct raft_snapshot_source *base)
{
    struct memory_source *s = container_of(base, struct memory_source, base);

    assert_true(s->most <= MiB); /* never the whole */
    n_open--;
    xfree(s->bytes);
    xfree(s);
}

static const struct raft_snapshot_source_ops memory_ops = {memory_read,
                                                           memory_close};

/* peer_snapshot, with its content in a source. */
static struct raft_message sourced(uint64_t from, uint64_t to, size_t len,
                                   size_t fail_at)
{
    struct raft_message m = peer_snapshot(from, to, len);
    struct memory_source *s = xcalloc(1, sizeof(*s));
    struct raft_snapshot *head = raft_snapshot_head(m.snapshot);

    for (size_t i = 0; i < len; i++) {
        m.snapshot->data[i] = (uint8_t)(i * 7 >> 3);
    }
    s->base.ops = &memory_ops;
    s->base.size = raft_snapshot_size(m.snapshot);
    s->bytes = xmalloc(s->base.size);
    (void)raft_snapshot_encode(m.snapshot, s->bytes);
    s->fail_at = fail_at;
    head->source = &s->base;
    raft_snapshot_unref(m.snapshot);
    m.snapshot = head;
    m.reject_hint = 77; /* stands behind the snapshot */
    n_open++;
    return m;
}

static void test_snapshot_comes_out_of_its_source(void **state)
{
    static const size_t lens[] = {0, 10, 3 * MiB};

    (void)state;
    peer_net_start_linked(&net, 2);
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        const struct raft_message *got;

        peer_net_send(&net, 1, sourced(1, 2, lens[i], SIZE_MAX));
        RUN_UNTIL(&net, node(1)->snapshots_ok == i + 1);
        assert_int_equal(node(2)->n_got, i + 1);
        got = &node(2)->got[i];
        assert_int_equal(got->reject_hint, 77);
        assert_int_equal(got->snapshot->index, 5);
        assert_int_equal(got->snapshot->len, lens[i]);
        for (size_t k = 0; k < lens[i]; k++) {
            if (got->snapshot->data[k] != (uint8_t)(k * 7 >> 3)) {
                fail_msg("byte %zu", k);
            }
        }
        assert_int_equal(n_open, 0);
    }
}

/* What is found to be damaged in its last piece does not arrive at all. */
static void test_source_that_fails(void **state)
{
    static const size_t fail_at[] = {0, 2 * MiB, 3 * MiB + 5};

    (void)state;
    peer_net_start_linked(&net, 2);
    for (size_t i = 0; i < ARRAY_LEN(fail_at); i++) {
        peer_net_send(&net, 1, sourced(1, 2, 3 * MiB, fail_at[i]));
        RUN_UNTIL(&net, node(1)->snapshots_failed == i + 1);
        assert_int_equal(n_open, 0);
        pipeline_hurry(&peer_net_peer(&net, 1, 2)->pipeline);
    }
    assert_int_equal(node(2)->n_got, 0);
    peer_net_send(&net, 1, sourced(1, 2, 3 * MiB, SIZE_MAX));
    RUN_UNTIL(&net, node(1)->snapshots_ok == 1);
    assert_int_equal(node(2)->n_got, 1);
}

/* Whoever ends the connection closes the file. */
static void test_source_is_closed_with_the_peer(void **state)
{
    uint16_t port;
    int listener = peer_raw_listen(&port);

    (void)state;
    peer_net_start(&net, 1);
    node(2)->port = port;
    peer_net_add(&net, 1, 2);
    peer_net_send(&net, 1, sourced(1, 2, 20 * MiB, SIZE_MAX));
    for (int i = 0; i < 5; i++) {
        peer_net_turn(&net);
    }
    assert_int_equal(n_open, 1);
    peer_net_skip(&net, 1, PIPELINE_SNAPSHOT_STALL_MS);
    RUN_UNTIL(&net, node(1)->snapshots_failed == 1);
    assert_int_equal(n_open, 0);
    close(listener);
}

static void test_one_snapshot_at_a_time(void **state)
{
    (void)state;
    peer_net_start_linked(&net, 2);
    peer_net_send(&net, 1, peer_snapshot(1, 2, 3 * MiB));
    peer_net_send(&net, 1, peer_snapshot(1, 2, 10));
    RUN_UNTIL(&net, node(1)->snapshots_failed == 1);
    RUN_UNTIL(&net, node(2)->n_got == 1);
    assert_int_equal(node(2)->got[0].snapshot->len, 3 * MiB);
}

static void test_refused_snapshot_is_a_failure(void **state)
{
    (void)state;
    peer_net_start_linked(&net, 2);
    node(2)->process_rc = ERR_STOPPED;
    peer_net_send(&net, 1, peer_snapshot(1, 2, 10));
    RUN_UNTIL(&net, node(1)->snapshots_failed == 1);
    assert_int_equal(node(1)->snapshots_ok, 0);
    assert_true(node(1)->unreachable > 0);
    assert_true(peer_net_linked(&net, 1, 2)); /* the streams do not suffer */

    /* The connection ended with the refusal; the next one is dialed. */
    node(2)->process_rc = 0;
    peer_net_send(&net, 1, peer_snapshot(1, 2, 10));
    RUN_UNTIL(&net, node(1)->snapshots_ok == 1);
}

/* More than the pipeline holds, while no stream is up. */
static void test_pipeline_overflow(void **state)
{
    (void)state;
    uint16_t port;
    int listener = peer_raw_listen(&port);

    peer_net_start(&net, 1);
    node(2)->port = port;
    peer_net_add(&net, 1, 2);
    for (int i = 0; i < PIPELINE_QUEUE_MAX + 1; i++) {
        peer_net_send(&net, 1, peer_message(RAFT_MSG_HEARTBEAT, 1, 2));
    }
    assert_int_equal(peer_net_peer(&net, 1, 2)->dropped_messages, 0);
    peer_net_send(&net, 1, peer_message(RAFT_MSG_HEARTBEAT, 1, 2));
    assert_int_equal(peer_net_peer(&net, 1, 2)->dropped_messages, 1);
    RUN_UNTIL(&net, node(1)->unreachable == 1);

    /* It accepts and never answers: given up, queue and all. */
    for (int i = 0; i < PIPELINE_STALL_MS / CLOCK_STEP_MAX_MS + 1; i++) {
        peer_net_skip(&net, 1, CLOCK_STEP_MAX_MS);
        peer_net_turn(&net);
    }
    RUN_UNTIL(&net, node(1)->unreachable == 2);
    assert_int_equal(peer_net_peer(&net, 1, 2)->dropped_messages,
                     PIPELINE_QUEUE_MAX + 2);
    assert_true(pipeline_is_idle(&peer_net_peer(&net, 1, 2)->pipeline));
    close(listener);
}

static void test_snapshot_that_is_not_taken(void **state)
{
    (void)state;
    uint16_t port;
    int listener = peer_raw_listen(&port);

    peer_net_start(&net, 1);
    node(2)->port = port;
    peer_net_add(&net, 1, 2);
    peer_net_send(&net, 1, peer_snapshot(1, 2, 8 * MiB));
    for (int i = 0; i < 5; i++) {
        peer_net_turn(&net);
    }
    assert_int_equal(node(1)->snapshots_failed, 0);
    peer_net_skip(&net, 1, PIPELINE_SNAPSHOT_STALL_MS);
    RUN_UNTIL(&net, node(1)->snapshots_failed == 1);
    close(listener);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_snapshot_goes_by_post),
        TEST(test_snapshot_comes_out_of_its_source),
        TEST(test_source_that_fails),
        TEST(test_source_is_closed_with_the_peer),
        TEST(test_one_snapshot_at_a_time),
        TEST(test_refused_snapshot_is_a_failure),
        TEST(test_pipeline_overflow),
        TEST(test_snapshot_that_is_not_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
