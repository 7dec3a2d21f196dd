/* Goal: nodes find each other, exchange messages the right way, and tell those
 * who are no members; a wrong, broken or dead peer costs no more than its own
 * link. Method: two or three transports in one process over loopback; the
 * links' clock is moved where a test would have to wait. */

#include "transport/transport.h"

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

/* --- when all is well --- */

static void test_streams_come_up(void **state)
{
    (void)state;
    peer_net_start_linked(&net, 3);
    for (uint64_t a = 1; a <= 3; a++) {
        for (uint64_t b = 1; b <= 3; b++) {
            assert_true(a == b || peer_net_active(&net, a, b));
        }
    }
    struct transport_peer_status st;
    assert_true(transport_peer_status(node(1)->t, 2, &st));
    assert_int_equal(st.id, 2);
    assert_non_null(strstr(st.url, "http://127.0.0.1:"));
    assert_false(transport_peer_status(node(1)->t, 1, &st));
    assert_false(transport_peer_status(node(1)->t, 4, &st));
}

static void test_messages_flow_both_ways(void **state)
{
    (void)state;
    peer_net_start_linked(&net, 2);
    for (uint64_t i = 1; i <= 200; i += 4) {
        struct raft_message batch[5];

        for (uint64_t k = 0; k < 4; k++) {
            batch[k] = peer_append(1, 2, i + k, (size_t)(i * 13 % 700));
        }
        batch[4] = peer_message(RAFT_MSG_HEARTBEAT, 1, 2);
        peer_node_send(node(1), batch, 5);
        for (size_t k = 0; k < 5; k++) {
            raft_message_release(&batch[k]);
        }
        peer_net_send(&net, 2, peer_message(RAFT_MSG_APP_RESP, 2, 1));
    }
    RUN_UNTIL(&net, node(2)->n_got == 250 && node(1)->n_got == 50);

    /* Each stream keeps its order. */
    uint64_t index = 0;
    for (size_t i = 0; i < 250; i++) {
        const struct raft_message *m = &node(2)->got[i];

        assert_int_equal(m->from, 1);
        assert_int_equal(m->to, 2);
        if (m->type == RAFT_MSG_APP) {
            assert_int_equal(m->index, index++);
            assert_int_equal(m->entries.len, 1);
        } else {
            assert_int_equal(m->type, RAFT_MSG_HEARTBEAT);
        }
    }
    assert_int_equal(index, 200);
    assert_int_equal(node(1)->unreachable + node(2)->unreachable, 0);

    struct transport_peer_status st;
    assert_true(transport_peer_status(node(1)->t, 2, &st));
    assert_true(st.sent_bytes > 0 && st.received_bytes > 0);
    assert_int_equal(st.dropped_messages, 0);
}

static void test_probes(void **state)
{
    (void)state;
    peer_net_start_linked(&net, 2);
    struct prober *pr = &peer_net_peer(&net, 1, 2)->prober;
    peer_net_skip(&net, 1, PROBING_INTERVAL_MS);
    RUN_UNTIL(&net, pr->client != NULL);
    RUN_UNTIL(&net, pr->client == NULL);
    assert_int_equal(pr->answer.status, 200);
    assert_true(pr->healthy);
    peer_net_stop(&net, 2);
    peer_net_skip(&net, 1, PROBING_INTERVAL_MS);
    RUN_UNTIL(&net, !pr->healthy);
}

/* --- who is a peer --- */

/* Node 2 does not know node 1 yet: posts are taken, streams are not given. */
static void test_newcomer(void **state)
{
    (void)state;
    peer_net_start(&net, 1);
    peer_net_start(&net, 2);
    peer_net_add(&net, 1, 2);
    peer_net_send(&net, 1, peer_message(RAFT_MSG_HEARTBEAT, 1, 2));
    RUN_UNTIL(&net, node(2)->n_got == 1);
    RUN_UNTIL(&net, peer_net_logged(&net, "404 error sender not found"));
    assert_false(peer_net_active(&net, 1, 2));

    /* Then it does. */
    peer_net_add(&net, 2, 1);
    RUN_UNTIL(&net, peer_net_linked(&net, 1, 2));
}

static void test_unknown_receivers(void **state)
{
    (void)state;
    peer_net_start_linked(&net, 2);
    peer_net_send(&net, 1, peer_message(RAFT_MSG_HEARTBEAT, 1, 0));
    peer_net_send(&net, 1, peer_message(RAFT_MSG_HEARTBEAT, 1, 1));
    peer_net_send(&net, 1, peer_message(RAFT_MSG_HEARTBEAT, 1, 7));
    peer_net_send(&net, 1, peer_message(RAFT_MSG_HEARTBEAT, 1, 2));
    RUN_UNTIL(&net, node(2)->n_got == 1);
    assert_int_equal(node(1)->n_got, 0);
    assert_int_equal(node(1)->unreachable, 0);
}

static void test_add_and_update_urls(void **state)
{
    (void)state;
    static const char *BAD[] = {"",
                                "127.0.0.1:1",
                                "http://127.0.0.1",
                                "https://127.0.0.1:1",
                                "http://127.0.0.1:1/x",
                                "http://127.0.0.1:99999"};
    struct transport_peer_status st;
    struct transport *t = peer_net_start(&net, 1)->t;

    for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
        assert_int_equal(transport_add_peer(t, 2, BAD[i]), ERR_INVALID);
        assert_int_equal(transport_update_peer(t, 2, BAD[i]), ERR_INVALID);
    }
    assert_false(transport_peer_status(t, 2, &st));
    assert_int_equal(transport_add_peer(t, 0, "http://127.0.0.1:1"),
                     ERR_INVALID);
    assert_int_equal(transport_add_peer(t, 1, "http://127.0.0.1:1"), 0);
    assert_false(transport_peer_status(t, 1, &st));

    /* Adding again changes nothing, updating does; an unknown one is added. */
    assert_int_equal(transport_add_peer(t, 2, "http://127.0.0.1:1"), 0);
    assert_int_equal(transport_add_peer(t, 2, "http://127.0.0.1:2"), 0);
    assert_true(transport_peer_status(t, 2, &st));
    assert_string_equal(st.url, "http://127.0.0.1:1");
    assert_int_equal(transport_update_peer(t, 2, "http://127.0.0.1:2"), 0);
    assert_true(transport_peer_status(t, 2, &st));
    assert_string_equal(st.url, "http://127.0.0.1:2");
    assert_int_equal(transport_update_peer(t, 3, "http://127.0.0.1:3"), 0);
    assert_true(transport_peer_status(t, 3, &st));
    transport_remove_peer(t, 4);
}

static void test_update_moves_the_links(void **state)
{
    (void)state;
    peer_net_start(&net, 1);
    peer_net_start(&net, 2);
    peer_net_add(&net, 2, 1);
    char *url = xasprintf("http://127.0.0.1:%d", node(2)->port);
    assert_int_equal(transport_add_peer(node(1)->t, 2, "http://127.0.0.1:1"),
                     0);
    RUN_UNTIL(&net, peer_net_logged(&net, "cannot be opened"));
    assert_int_equal(transport_update_peer(node(1)->t, 2, url), 0);
    RUN_UNTIL(&net, peer_net_linked(&net, 1, 2));
    xfree(url);
}

static void test_wrong_cluster(void **state)
{
    (void)state;
    node(2)->cluster_id = 0x1001;
    peer_net_start_all(&net, 2);
    peer_net_send(&net, 1, peer_message(RAFT_MSG_HEARTBEAT, 1, 2));
    RUN_UNTIL(&net, node(1)->unreachable > 0);
    RUN_UNTIL(&net, peer_net_logged(&net, "412 cluster ID mismatch"));
    assert_false(peer_net_active(&net, 1, 2));
    assert_int_equal(node(2)->n_got, 0);
}

/* The address list of node 1 says that node 3 is where node 2 is. */
static void test_wrong_node(void **state)
{
    (void)state;
    peer_net_start(&net, 1);
    peer_net_start(&net, 2);
    peer_net_add(&net, 2, 1);
    node(3)->port = node(2)->port;
    peer_net_add(&net, 1, 3);
    peer_net_send(&net, 1, peer_message(RAFT_MSG_HEARTBEAT, 1, 3));
    RUN_UNTIL(&net, node(1)->unreachable > 0);
    RUN_UNTIL(&net, peer_net_logged(&net, "412 to field mismatch"));
    assert_int_equal(node(2)->n_got, 0);
    node(3)->port = 0;
}

static void test_removed_member_is_told(void **state)
{
    (void)state;
    peer_net_start_linked(&net, 2);
    node(1)->removed_id = 2;
    transport_remove_peer(node(1)->t, 2);
    RUN_UNTIL(&net, node(2)->removed_by == 1);

    /* Nothing of it gets in any more, by whatever way. */
    peer_net_send(&net, 2, peer_message(RAFT_MSG_VOTE, 2, 1));
    RUN_UNTIL(&net, node(2)->unreachable > 0);
    assert_int_equal(node(1)->n_got, 0);
}

/* A post alone tells it, too: it may never have had a stream. */
static void test_removed_member_is_told_by_post(void **state)
{
    (void)state;
    peer_net_start_all(&net, 2);
    node(1)->removed_id = 2;
    transport_remove_peer(node(1)->t, 2);
    for (int k = 0; k < STREAM_KINDS; k++) {
        stream_reader_close(&peer_net_peer(&net, 2, 1)->readers[k]);
    }
    peer_net_send(&net, 2, peer_message(RAFT_MSG_VOTE, 2, 1));
    RUN_UNTIL(&net, node(2)->removed_by == 1);
    assert_int_equal(node(1)->n_got, 0);
}

/* What a removed member left behind with others does not get in. */
static void test_forwarded_from_removed(void **state)
{
    (void)state;
    struct raft_message m = peer_message(RAFT_MSG_PROP, 3, 1);

    peer_net_start_linked(&net, 2);
    node(1)->removed_id = 3;
    m.term = 0;
    raft_entries_take(&m.entries, test_entry_sized(0, 0, 4));
    peer_net_send(&net, 2, m);
    peer_net_send(&net, 2, peer_message(RAFT_MSG_APP_RESP, 2, 1));
    RUN_UNTIL(&net, node(1)->n_got == 1);
    assert_int_equal(node(1)->got[0].type, RAFT_MSG_APP_RESP);
    assert_int_equal(node(2)->removed_by, 0);
}

/* The message that carries its removal still leaves. */
static void test_removal_lets_the_queue_leave(void **state)
{
    (void)state;
    peer_net_start_linked(&net, 3);
    peer_net_send(&net, 1, peer_append(1, 2, 1, 2 * MiB));
    peer_net_send(&net, 1, peer_message(RAFT_MSG_HEARTBEAT, 1, 2));
    transport_remove_peer(node(1)->t, 2);
    RUN_UNTIL(&net, node(2)->n_got == 2);

    peer_net_send(&net, 1, peer_snapshot(1, 3, 2 * MiB));
    transport_remove_peer(node(1)->t, 3);
    RUN_UNTIL(&net, node(3)->n_got == 1);
    assert_int_equal(node(1)->snapshots_ok, 0); /* nobody asks any more */
}

static void test_removed_may_come_back(void **state)
{
    (void)state;
    peer_net_start_linked(&net, 2);
    transport_remove_peer(node(1)->t, 2);
    peer_net_add(&net, 1, 2);
    RUN_UNTIL(&net, peer_net_linked(&net, 1, 2));
    peer_net_send(&net, 1, peer_append(1, 2, 1, 5));
    RUN_UNTIL(&net, node(2)->n_got == 1);
}

/* --- what can go wrong --- */

static void test_peer_down_and_back(void **state)
{
    (void)state;
    peer_net_start_linked(&net, 2);
    peer_net_stop(&net, 2);
    RUN_UNTIL(&net, !peer_net_active(&net, 1, 2));
    size_t before = node(1)->unreachable;
    for (int i = 0; i < 10; i++) {
        peer_net_send(&net, 1, peer_message(RAFT_MSG_HEARTBEAT, 1, 2));
        peer_net_turn(&net);
    }
    RUN_UNTIL(&net, node(1)->unreachable > before);

    peer_net_start(&net, 2);
    peer_net_add(&net, 2, 1);
    RUN_UNTIL(&net, peer_net_linked(&net, 1, 2));
    size_t got = node(2)->n_got;
    peer_net_send(&net, 1, peer_append(1, 2, 1, 5));
    RUN_UNTIL(&net, node(2)->n_got > got);
}

static void test_closed_inside_a_report(void **state)
{
    (void)state;
    peer_net_start(&net, 1);
    node(2)->port = 1;
    peer_net_add(&net, 1, 2);
    node(1)->close_on_report = true;
    peer_net_send(&net, 1, peer_message(RAFT_MSG_HEARTBEAT, 1, 2));
    RUN_UNTIL(&net, node(1)->t == NULL);
    assert_int_equal(node(1)->unreachable, 1);
}

static void test_garbage_on_the_port(void **state)
{
    (void)state;
    static const char *GARBAGE[] = {
        "\x16\x03\x01\x02\x00\x01",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /raft/stream/msgapp/2\r\n\r\n",
        "POST /raft HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n"
        "X-Server-Version: 3.4.23\r\nX-Min-Cluster-Version: 3.0.0\r\n"
        "X-Etcd-Cluster-ID: 1000\r\n\r\n",
        "POST /raft HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
        "X-Server-Version: 3.4.23\r\nX-Min-Cluster-Version: 3.0.0\r\n"
        "X-Etcd-Cluster-ID: 1000\r\n\r\n\377\377",
    };

    peer_net_start_linked(&net, 2);
    for (size_t i = 0; i < ARRAY_LEN(GARBAGE); i++) {
        struct buf in;
        int fd = peer_raw_connect(node(1)->port);

        buf_init(&in, BUF_UNLIMITED);
        peer_raw_puts(&net, fd, GARBAGE[i]);
        peer_raw_read_until(&net, fd, &in, "HTTP/1.1 ");
        peer_raw_read_until(&net, fd, &in, NULL);
        assert_int_equal(in.data[9], i == 1 ? in.data[9] : '4');
        close(fd);
        buf_release(&in);
    }
    assert_true(peer_net_linked(&net, 1, 2));
    peer_net_send(&net, 2, peer_message(RAFT_MSG_APP_RESP, 2, 1));
    RUN_UNTIL(&net, node(1)->n_got == 1);
}

/* A message that the other end would refuse does not leave. */
static void test_impossible_message_is_not_sent(void **state)
{
    (void)state;
    peer_net_start_linked(&net, 2);
    struct raft_message m = peer_message(RAFT_MSG_HEARTBEAT_RESP, 1, 2);
    raft_message_set_context(&m, (struct bytes){(const uint8_t *)"abc", 3});
    peer_net_send(&net, 1, m);
    peer_net_send(&net, 1, peer_message(RAFT_MSG_HUP, 1, 2));
    peer_net_send(&net, 1, peer_message(RAFT_MSG_HEARTBEAT_RESP, 1, 2));
    RUN_UNTIL(&net, node(2)->n_got == 1);
    assert_int_equal(node(2)->got[0].context_len, 0);
}

/* A stopped node does not give up its links for the time it was stopped. */
static void test_gap_of_the_clock(void **state)
{
    (void)state;
    peer_net_start_linked(&net, 2);
    struct transport *t = node(1)->t;
    uint64_t before = t->now_ms;
    t->net_ms -= 60000;
    transport_tick(t);
    assert_int_equal(t->now_ms, before + CLOCK_STEP_MAX_MS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_streams_come_up),
        TEST(test_messages_flow_both_ways),
        TEST(test_probes),
        TEST(test_newcomer),
        TEST(test_unknown_receivers),
        TEST(test_add_and_update_urls),
        TEST(test_update_moves_the_links),
        TEST(test_wrong_cluster),
        TEST(test_wrong_node),
        TEST(test_removed_member_is_told),
        TEST(test_removed_member_is_told_by_post),
        TEST(test_forwarded_from_removed),
        TEST(test_removal_lets_the_queue_leave),
        TEST(test_removed_may_come_back),
        TEST(test_peer_down_and_back),
        TEST(test_closed_inside_a_report),
        TEST(test_garbage_on_the_port),
        TEST(test_impossible_message_is_not_sent),
        TEST(test_gap_of_the_clock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
