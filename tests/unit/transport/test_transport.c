/* Goal: nodes find each other, exchange messages the right way, and whatever a
 * peer does, down, wrong, silent, greedy or broken, costs no more than its own
 * link. Method: two or three transports in one process over loopback, and raw
 * sockets for peers that misbehave; the links' clock is moved where a test
 * would have to wait. */

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

static struct raft_message message(uint64_t type, uint64_t from, uint64_t to)
{
    return (struct raft_message){
        .type = type, .from = from, .to = to, .term = 1};
}

/* The MsgApp with the one entry `index`, of `len` bytes. */
static struct raft_message append(uint64_t from, uint64_t to, uint64_t index,
                                  size_t len)
{
    struct raft_message m = message(RAFT_MSG_APP, from, to);

    m.index = index - 1;
    m.log_term = index > 1 ? 1 : 0;
    raft_entries_take(&m.entries, test_entry_sized(index, 1, len));
    return m;
}

static struct raft_message snapshot(uint64_t from, uint64_t to, size_t len)
{
    struct raft_message m = message(RAFT_MSG_SNAP, from, to);

    m.snapshot = test_snapshot(5, 1);
    id_list_push(&m.snapshot->conf_state.voters, 1);
    m.snapshot->data = xcalloc(len, 1);
    m.snapshot->len = len;
    return m;
}

static void send_one(uint64_t from, struct raft_message m)
{
    peer_node_send(node(from), &m, 1);
    raft_message_release(&m);
}

static struct peer *peer_of(uint64_t of, uint64_t id)
{
    return transport_find(node(of)->t, id);
}

static bool reads(uint64_t of, uint64_t id, enum stream_kind kind)
{
    return peer_of(of, id)->readers[kind].state == STREAM_READER_OPEN;
}

static bool writes(uint64_t of, uint64_t id, enum stream_kind kind)
{
    return peer_of(of, id)->writers[kind].x != NULL;
}

/* All four streams between two nodes. */
static bool linked(uint64_t a, uint64_t b)
{
    bool all = true;

    for (int k = 0; k < STREAM_KINDS; k++) {
        enum stream_kind kind = (enum stream_kind)k;

        all = all && reads(a, b, kind) && reads(b, a, kind) &&
              writes(a, b, kind) && writes(b, a, kind);
    }
    return all;
}

static void start_linked(uint64_t n)
{
    peer_net_start_all(&net, n);
    for (uint64_t a = 1; a <= n; a++) {
        for (uint64_t b = a + 1; b <= n; b++) {
            RUN_UNTIL(&net, linked(a, b));
        }
    }
}

/* Move the clock of a node's links. */
static void skip_ms(uint64_t of, uint64_t ms)
{
    node(of)->t->now_ms += ms;
}

/* --- when all is well --- */

static void test_streams_come_up(void **state)
{
    (void)state;
    start_linked(3);
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
    start_linked(2);
    for (uint64_t i = 1; i <= 200; i += 4) {
        struct raft_message batch[5];

        for (uint64_t k = 0; k < 4; k++) {
            batch[k] = append(1, 2, i + k, (size_t)(i * 13 % 700));
        }
        batch[4] = message(RAFT_MSG_HEARTBEAT, 1, 2);
        peer_node_send(node(1), batch, 5);
        for (size_t k = 0; k < 5; k++) {
            raft_message_release(&batch[k]);
        }
        send_one(2, message(RAFT_MSG_APP_RESP, 2, 1));
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

/* One call of transport_send, one chunk per stream. */
static void test_batch_is_one_chunk(void **state)
{
    (void)state;
    static const char REQUEST[] =
        "GET /raft/stream/msgapp/2 HTTP/1.1\r\nHost: x\r\n"
        "X-Server-Version: 3.4.23\r\nX-Min-Cluster-Version: 3.0.0\r\n"
        "X-Etcd-Cluster-ID: 1000\r\nX-Raft-To: 1\r\n\r\n";
    struct raft_message batch[3];
    struct buf in;

    buf_init(&in, BUF_UNLIMITED);
    peer_net_start(&net, 1);
    node(2)->port = 1; /* nobody there */
    peer_net_add(&net, 1, 2);
    int fd = raw_connect(node(1)->port);
    raw_puts(&net, fd, REQUEST);
    raw_read_until(&net, fd, &in, "\r\n\r\n");
    buf_reset(&in);

    for (uint64_t i = 0; i < 3; i++) {
        batch[i] = append(1, 2, i + 1, 0);
    }
    peer_node_send(node(1), batch, 3);
    raw_read_until(&net, fd, &in, "\r\n");
    size_t len = strtoul(buf_cstr(&in), NULL, 16);
    while (in.len < len + 6) {
        peer_net_turn(&net);
        assert_true(raw_read(fd, &in));
    }
    const char *body = strstr(buf_cstr(&in), "\r\n") + 2;
    assert_int_equal(body[0], 2); /* a whole message, then two that go on */
    assert_memory_equal(body + len, "\r\n", 2);
    struct msg_writer w;
    size_t want = 0;
    uint8_t scratch[256];
    msg_writer_init(&w, STREAM_MSGAPP);
    for (size_t i = 0; i < 3; i++) {
        want += (size_t)(msg_writer_put(&w, &batch[i], scratch) - scratch);
        raft_message_release(&batch[i]);
    }
    assert_int_equal(len, want);
    close(fd);
    buf_release(&in);
}

static void test_snapshot_goes_by_post(void **state)
{
    (void)state;
    start_linked(2);
    send_one(1, snapshot(1, 2, 3 * MiB));
    RUN_UNTIL(&net, node(1)->snapshots_ok == 1);
    assert_int_equal(node(2)->n_got, 1);
    assert_int_equal(node(2)->got[0].type, RAFT_MSG_SNAP);
    assert_int_equal(node(2)->got[0].snapshot->len, 3 * MiB);
    assert_int_equal(node(1)->snapshots_failed, 0);

    /* A second one over the same connection. */
    send_one(1, snapshot(1, 2, 10));
    RUN_UNTIL(&net, node(1)->snapshots_ok == 2);
}

static void test_one_snapshot_at_a_time(void **state)
{
    (void)state;
    start_linked(2);
    send_one(1, snapshot(1, 2, 3 * MiB));
    send_one(1, snapshot(1, 2, 10));
    RUN_UNTIL(&net, node(1)->snapshots_failed == 1);
    RUN_UNTIL(&net, node(2)->n_got == 1);
    assert_int_equal(node(2)->got[0].snapshot->len, 3 * MiB);
}

static void test_refused_snapshot_is_a_failure(void **state)
{
    (void)state;
    start_linked(2);
    node(2)->process_rc = ERR_STOPPED;
    send_one(1, snapshot(1, 2, 10));
    RUN_UNTIL(&net, node(1)->snapshots_failed == 1);
    assert_int_equal(node(1)->snapshots_ok, 0);
    assert_true(node(1)->unreachable > 0);
    assert_true(linked(1, 2)); /* the streams do not suffer */

    /* The connection ended with the refusal; the next one is dialed. */
    node(2)->process_rc = 0;
    send_one(1, snapshot(1, 2, 10));
    RUN_UNTIL(&net, node(1)->snapshots_ok == 1);
}

/* Largest entry that a client may write: larger than the bound of a queue. */
static void test_message_beyond_the_queue_bound(void **state)
{
    (void)state;
    start_linked(2);
    send_one(1, append(1, 2, 1, PAYLOAD_SIZE_MAX));
    RUN_UNTIL(&net, node(2)->n_got == 1);
    assert_int_equal(node(2)->got[0].entries.items[0]->len, PAYLOAD_SIZE_MAX);
}

static void test_link_heartbeats(void **state)
{
    (void)state;
    start_linked(2);
    uint64_t before = peer_of(2, 1)->readers[STREAM_MSGAPP].codec.n_frames;
    skip_ms(1, LINK_HEARTBEAT_MS);
    RUN_UNTIL(&net,
              peer_of(2, 1)->readers[STREAM_MSGAPP].codec.n_frames > before);
    RUN_UNTIL(&net, peer_of(2, 1)->readers[STREAM_MESSAGE].codec.n_frames > 0);
    assert_int_equal(node(2)->n_got, 0);
}

static void test_probes(void **state)
{
    (void)state;
    start_linked(2);
    struct prober *pr = &peer_of(1, 2)->prober;
    skip_ms(1, PROBING_INTERVAL_MS);
    RUN_UNTIL(&net, pr->client != NULL);
    RUN_UNTIL(&net, pr->client == NULL);
    assert_int_equal(pr->answer.status, 200);
    assert_true(pr->healthy);
    peer_net_stop(&net, 2);
    skip_ms(1, PROBING_INTERVAL_MS);
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
    send_one(1, message(RAFT_MSG_HEARTBEAT, 1, 2));
    RUN_UNTIL(&net, node(2)->n_got == 1);
    RUN_UNTIL(&net, peer_net_logged(&net, "404 error sender not found"));
    assert_false(peer_net_active(&net, 1, 2));

    /* Then it does. */
    peer_net_add(&net, 2, 1);
    RUN_UNTIL(&net, linked(1, 2));
}

static void test_unknown_receivers(void **state)
{
    (void)state;
    start_linked(2);
    send_one(1, message(RAFT_MSG_HEARTBEAT, 1, 0));
    send_one(1, message(RAFT_MSG_HEARTBEAT, 1, 1));
    send_one(1, message(RAFT_MSG_HEARTBEAT, 1, 7));
    send_one(1, message(RAFT_MSG_HEARTBEAT, 1, 2));
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
    RUN_UNTIL(&net, linked(1, 2));
    xfree(url);
}

static void test_wrong_cluster(void **state)
{
    (void)state;
    node(2)->cluster_id = 0x1001;
    peer_net_start_all(&net, 2);
    send_one(1, message(RAFT_MSG_HEARTBEAT, 1, 2));
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
    send_one(1, message(RAFT_MSG_HEARTBEAT, 1, 3));
    RUN_UNTIL(&net, node(1)->unreachable > 0);
    RUN_UNTIL(&net, peer_net_logged(&net, "412 to field mismatch"));
    assert_int_equal(node(2)->n_got, 0);
    node(3)->port = 0;
}

static void test_removed_member_is_told(void **state)
{
    (void)state;
    start_linked(2);
    node(1)->removed_id = 2;
    transport_remove_peer(node(1)->t, 2);
    RUN_UNTIL(&net, node(2)->removed_by == 1);

    /* Nothing of it gets in any more, by whatever way. */
    send_one(2, message(RAFT_MSG_VOTE, 2, 1));
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
        stream_reader_close(&peer_of(2, 1)->readers[k]);
    }
    send_one(2, message(RAFT_MSG_VOTE, 2, 1));
    RUN_UNTIL(&net, node(2)->removed_by == 1);
    assert_int_equal(node(1)->n_got, 0);
}

/* What a removed member left behind with others does not get in. */
static void test_forwarded_from_removed(void **state)
{
    (void)state;
    struct raft_message m = message(RAFT_MSG_PROP, 3, 1);

    start_linked(2);
    node(1)->removed_id = 3;
    m.term = 0;
    raft_entries_take(&m.entries, test_entry_sized(0, 0, 4));
    send_one(2, m);
    send_one(2, message(RAFT_MSG_APP_RESP, 2, 1));
    RUN_UNTIL(&net, node(1)->n_got == 1);
    assert_int_equal(node(1)->got[0].type, RAFT_MSG_APP_RESP);
    assert_int_equal(node(2)->removed_by, 0);
}

/* The message that carries its removal still leaves. */
static void test_removal_lets_the_queue_leave(void **state)
{
    (void)state;
    start_linked(3);
    send_one(1, append(1, 2, 1, 2 * MiB));
    send_one(1, message(RAFT_MSG_HEARTBEAT, 1, 2));
    transport_remove_peer(node(1)->t, 2);
    RUN_UNTIL(&net, node(2)->n_got == 2);

    send_one(1, snapshot(1, 3, 2 * MiB));
    transport_remove_peer(node(1)->t, 3);
    RUN_UNTIL(&net, node(3)->n_got == 1);
    assert_int_equal(node(1)->snapshots_ok, 0); /* nobody asks any more */
}

static void test_removed_may_come_back(void **state)
{
    (void)state;
    start_linked(2);
    transport_remove_peer(node(1)->t, 2);
    peer_net_add(&net, 1, 2);
    RUN_UNTIL(&net, linked(1, 2));
    send_one(1, append(1, 2, 1, 5));
    RUN_UNTIL(&net, node(2)->n_got == 1);
}

/* --- what can go wrong --- */

static void test_peer_down_and_back(void **state)
{
    (void)state;
    start_linked(2);
    peer_net_stop(&net, 2);
    RUN_UNTIL(&net, !peer_net_active(&net, 1, 2));
    size_t before = node(1)->unreachable;
    for (int i = 0; i < 10; i++) {
        send_one(1, message(RAFT_MSG_HEARTBEAT, 1, 2));
        peer_net_turn(&net);
    }
    RUN_UNTIL(&net, node(1)->unreachable > before);

    peer_net_start(&net, 2);
    peer_net_add(&net, 2, 1);
    RUN_UNTIL(&net, linked(1, 2));
    size_t got = node(2)->n_got;
    send_one(1, append(1, 2, 1, 5));
    RUN_UNTIL(&net, node(2)->n_got > got);
}

/* The pause between attempts grows, and a sign of life ends it. */
static void test_back_off(void **state)
{
    (void)state;
    peer_net_start(&net, 1);
    peer_net_start(&net, 2);
    peer_net_stop(&net, 2);
    peer_net_add(&net, 1, 2);
    struct stream_reader *r = &peer_of(1, 2)->readers[STREAM_MESSAGE];
    uint64_t last = 0;
    while (last < BACKOFF_MAX_MS) {
        RUN_UNTIL(&net, r->backoff.delay_ms > last);
        assert_true(
            r->backoff.delay_ms ==
            (last == 0 ? BACKOFF_MIN_MS : min_u64(2 * last, BACKOFF_MAX_MS)));
        last = r->backoff.delay_ms;
        skip_ms(1, last);
    }
    peer_net_start(&net, 2);
    peer_net_add(&net, 2, 1);
    RUN_UNTIL(&net, linked(1, 2)); /* it dialed us, so we dial it */
}

static void test_removed_inside_a_callback(void **state)
{
    (void)state;
    struct raft_message batch[3];

    start_linked(2);
    node(2)->remove_sender_at = 2;
    for (uint64_t i = 0; i < 3; i++) {
        batch[i] = append(1, 2, i + 1, 100);
    }
    peer_node_send(node(1), batch, 3);
    for (size_t i = 0; i < 3; i++) {
        raft_message_release(&batch[i]);
    }
    RUN_UNTIL(&net, node(2)->n_got == 2 && peer_of(2, 1) == NULL);
    RUN_UNTIL(&net, !peer_net_active(&net, 1, 2));
    assert_int_equal(node(2)->n_got, 2); /* the third came too late */
}

static void test_closed_inside_a_report(void **state)
{
    (void)state;
    peer_net_start(&net, 1);
    node(2)->port = 1;
    peer_net_add(&net, 1, 2);
    node(1)->close_on_report = true;
    send_one(1, message(RAFT_MSG_HEARTBEAT, 1, 2));
    RUN_UNTIL(&net, node(1)->t == NULL);
    assert_int_equal(node(1)->unreachable, 1);
}

/* More than the pipeline holds, while no stream is up. */
static void test_pipeline_overflow(void **state)
{
    (void)state;
    uint16_t port;
    int listener = raw_listen(&port);

    peer_net_start(&net, 1);
    node(2)->port = port;
    peer_net_add(&net, 1, 2);
    for (int i = 0; i < PIPELINE_QUEUE_MAX + 1; i++) {
        send_one(1, message(RAFT_MSG_HEARTBEAT, 1, 2));
    }
    assert_int_equal(peer_of(1, 2)->dropped_messages, 0);
    send_one(1, message(RAFT_MSG_HEARTBEAT, 1, 2));
    assert_int_equal(peer_of(1, 2)->dropped_messages, 1);
    RUN_UNTIL(&net, node(1)->unreachable == 1);

    /* It accepts and never answers: given up, queue and all. */
    for (int i = 0; i < PIPELINE_STALL_MS / CLOCK_STEP_MAX_MS + 1; i++) {
        skip_ms(1, CLOCK_STEP_MAX_MS);
        peer_net_turn(&net);
    }
    RUN_UNTIL(&net, node(1)->unreachable == 2);
    assert_int_equal(peer_of(1, 2)->dropped_messages, PIPELINE_QUEUE_MAX + 2);
    assert_true(pipeline_is_idle(&peer_of(1, 2)->pipeline));
    close(listener);
}

static void test_snapshot_that_is_not_taken(void **state)
{
    (void)state;
    uint16_t port;
    int listener = raw_listen(&port);

    peer_net_start(&net, 1);
    node(2)->port = port;
    peer_net_add(&net, 1, 2);
    send_one(1, snapshot(1, 2, 8 * MiB));
    for (int i = 0; i < 5; i++) {
        peer_net_turn(&net);
    }
    assert_int_equal(node(1)->snapshots_failed, 0);
    skip_ms(1, PIPELINE_SNAPSHOT_STALL_MS);
    RUN_UNTIL(&net, node(1)->snapshots_failed == 1);
    close(listener);
}

#define ANSWER_200                                                             \
    "HTTP/1.1 200 OK\r\nX-Etcd-Cluster-Id: 1000\r\n"                           \
    "X-Server-Version: 3.4.23\r\nTransfer-Encoding: chunked\r\n\r\n"

/* Node 1 with a peer 2 that the test plays: it gets the streams' requests. */
struct fake {
    int listener;
    int fds[STREAM_KINDS];
};

static void fake_start(struct fake *f)
{
    struct buf in;
    uint16_t port;

    buf_init(&in, BUF_UNLIMITED);
    f->listener = raw_listen(&port);
    peer_net_start(&net, 1);
    node(2)->port = port;
    peer_net_add(&net, 1, 2);
    for (int i = 0; i < STREAM_KINDS; i++) {
        int fd = raw_accept(&net, f->listener);

        buf_reset(&in);
        raw_read_until(&net, fd, &in, "\r\n\r\n");
        bool msgapp = strstr(buf_cstr(&in), "GET /raft/stream/msgapp/1 ");
        assert_true(msgapp ||
                    strstr(buf_cstr(&in), "GET /raft/stream/message/1 "));
        f->fds[msgapp ? STREAM_MSGAPP : STREAM_MESSAGE] = fd;
    }
    buf_release(&in);
}

static void fake_stop(struct fake *f)
{
    for (int i = 0; i < STREAM_KINDS; i++) {
        close(f->fds[i]);
    }
    close(f->listener);
    node(2)->port = 0;
}

/* The node ends the connection. */
static void expect_end(int fd)
{
    struct buf rest;

    buf_init(&rest, BUF_UNLIMITED);
    raw_read_until(&net, fd, &rest, NULL);
    buf_release(&rest);
}

static void test_request_of_a_stream(void **state)
{
    (void)state;
    static const char *FIELDS[] = {
        "\r\nHost: 127.0.0.1:",
        "\r\nX-Etcd-Cluster-ID: 1000\r\n",
        "\r\nX-Min-Cluster-Version: 3.0.0\r\n",
        "\r\nX-Server-From: 1\r\n",
        "\r\nX-Server-Version: 3.4.23\r\n",
        "\r\nX-Raft-To: 2\r\n",
    };
    struct buf in;
    uint16_t port;
    int listener = raw_listen(&port);

    buf_init(&in, BUF_UNLIMITED);
    peer_net_start(&net, 1);
    node(2)->port = port;
    peer_net_add(&net, 1, 2);
    int fd = raw_accept(&net, listener);
    raw_read_until(&net, fd, &in, "\r\n\r\n");
    for (size_t i = 0; i < ARRAY_LEN(FIELDS); i++) {
        if (strstr(buf_cstr(&in), FIELDS[i]) == NULL) {
            fail_msg("no %s in %s", FIELDS[i], buf_cstr(&in));
        }
    }
    assert_null(strstr(buf_cstr(&in), "PeerURLs"));
    close(fd);
    close(listener);
    node(2)->port = 0;
    buf_release(&in);
}

static void test_bad_answers_to_a_dial(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        const char *logged;
    } CASES[] = {
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
         "server version"},
        {"HTTP/1.1 200 OK\r\nX-Server-Version: 3.4\r\n"
         "Transfer-Encoding: chunked\r\n\r\n",
         "server version"},
        {"HTTP/1.1 200 OK\r\nX-Server-Version: 2.3.8\r\n"
         "Transfer-Encoding: chunked\r\n\r\n",
         "server version"},
        {"HTTP/1.1 503 Busy\r\nContent-Length: 3\r\n\r\na\tb", "503 a?b"},
        {"what is this\r\n\r\n", "cannot be opened"},
    };

    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct fake f;

        fake_start(&f);
        raw_puts(&net, f.fds[STREAM_MESSAGE], CASES[i].answer);
        expect_end(f.fds[STREAM_MESSAGE]);
        assert_true(peer_net_logged(&net, CASES[i].logged));
        assert_false(reads(1, 2, STREAM_MESSAGE));
        buf_reset(&net.lines);
        fake_stop(&f);
        peer_net_stop(&net, 1);
    }
}

/* What comes on a stream, and whether the stream outlives it. */
static void test_frames_on_a_stream(void **state)
{
    (void)state;
#define CHUNK_HEARTBEAT                                                        \
    "12\r\n\0\0\0\0\0\0\0\012\010\010\020\001\030\002\040\002\100\004\r\n"
    static const struct {
        const char *name;
        const char *bytes; /* behind a good heartbeat */
        size_t len;
        bool lives;
    } CASES[] = {
#define BYTES(s) s, sizeof(s) - 1
        {"a local type", BYTES("8\r\n\0\0\0\0\0\0\0\0\r\n"), true},
        {"to another node",
         BYTES("12\r\n\0\0\0\0\0\0\0\012\010\010\020\007"
               "\030\002\040\002\100\004\r\n"),
         true},
        {"unknown type",
         BYTES("12\r\n\0\0\0\0\0\0\0\012\010\143\020\001"
               "\030\002\040\002\100\004\r\n"),
         false},
        {"undecodable", BYTES("a\r\n\0\0\0\0\0\0\0\002\377\377\r\n"), false},
        {"too long", BYTES("8\r\n\377\0\0\0\0\0\0\0\r\n"), false},
        {"bad chunk", BYTES("xyz\r\n"), false},
        {"the end", BYTES("0\r\n\r\n"), false},
#undef BYTES
    };

    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct fake f;
        size_t got = node(1)->n_got;

        fake_start(&f);
        int fd = f.fds[STREAM_MESSAGE];
        raw_puts(&net, fd, ANSWER_200);
        raw_write(&net, fd, CHUNK_HEARTBEAT, sizeof(CHUNK_HEARTBEAT) - 1);
        RUN_UNTIL(&net, node(1)->n_got == got + 1);
        assert_true(reads(1, 2, STREAM_MESSAGE));
        raw_write(&net, fd, CASES[i].bytes, CASES[i].len);
        if (CASES[i].lives) {
            raw_write(&net, fd, CHUNK_HEARTBEAT, sizeof(CHUNK_HEARTBEAT) - 1);
            RUN_UNTIL(&net, node(1)->n_got == got + 2);
        } else {
            expect_end(fd);
            assert_int_equal(node(1)->n_got, got + 1);
        }
        fake_stop(&f);
        peer_net_stop(&net, 1);
    }
}

/* Half-open for ever: given up after 5 s of silence, and dialed again. */
static void test_silent_stream(void **state)
{
    (void)state;
    struct fake f;

    fake_start(&f);
    raw_puts(&net, f.fds[STREAM_MESSAGE], ANSWER_200);
    RUN_UNTIL(&net, reads(1, 2, STREAM_MESSAGE));
    expect_end(f.fds[STREAM_MESSAGE]);
    close(raw_accept(&net, f.listener));
    fake_stop(&f);
}

static int open_stream(uint64_t of, const char *kind, uint64_t as)
{
    char *request =
        xasprintf("GET /raft/stream/%s/%d HTTP/1.1\r\nHost: x\r\n"
                  "X-Server-Version: 3.4.23\r\nX-Min-Cluster-Version: 3.0.0\r\n"
                  "X-Etcd-Cluster-ID: 1000\r\nX-Raft-To: %d\r\n\r\n",
                  kind, (int)as, (int)of);
    struct buf in;
    int fd = raw_connect(node(of)->port);

    buf_init(&in, BUF_UNLIMITED);
    raw_puts(&net, fd, request);
    raw_read_until(&net, fd, &in, "\r\n\r\n");
    assert_memory_equal(in.data, "HTTP/1.1 200 OK\r\n", 17);
    buf_release(&in);
    xfree(request);
    return fd;
}

/* The older of two streams of one kind ends with its last chunk. */
static void test_replaced_stream(void **state)
{
    (void)state;
    struct buf in;

    buf_init(&in, BUF_UNLIMITED);
    peer_net_start(&net, 1);
    node(2)->port = 1;
    peer_net_add(&net, 1, 2);
    int older = open_stream(1, "message", 2);
    int other = open_stream(1, "msgapp", 2);
    int newer = open_stream(1, "message", 2);
    raw_read_until(&net, older, &in, NULL);
    assert_int_equal(in.len, 5);
    assert_memory_equal(in.data, "0\r\n\r\n", 5);

    buf_reset(&in);
    skip_ms(1, LINK_HEARTBEAT_MS);
    raw_read_until(&net, other, &in, "1\r\n");
    buf_reset(&in);
    raw_read_until(&net, newer, &in, "\010\010");
    close(older);
    close(other);
    close(newer);
    buf_release(&in);
}

/* The queue of a peer that takes nothing is bounded; others do not notice. */
static void test_peer_that_never_reads(void **state)
{
    (void)state;
    peer_net_start(&net, 1);
    peer_net_start(&net, 3);
    node(2)->port = 1;
    peer_net_add(&net, 1, 2);
    peer_net_add(&net, 1, 3);
    peer_net_add(&net, 3, 1);
    RUN_UNTIL(&net, linked(1, 3));
    int fd = open_stream(1, "msgapp", 2);
    const struct peer *p = peer_of(1, 2);

    uint64_t index = 0;
    while (p->dropped_messages < 3) {
        send_one(1, append(1, 2, ++index, MiB));
        peer_net_turn(&net);
        assert_true(index < 200);
        assert_true(http_stream_queued(p->writers[STREAM_MSGAPP].x) <=
                    PEER_QUEUE_BYTES_MAX + 4 * KiB);
    }
    RUN_UNTIL(&net, node(1)->unreachable > 0);
    size_t got = node(3)->n_got;
    send_one(1, append(1, 3, 1, 10));
    RUN_UNTIL(&net, node(3)->n_got == got + 1);

    /* It reads again: what it gets is a stream without holes or breaks. */
    struct buf in;
    buf_init(&in, BUF_UNLIMITED);
    RUN_UNTIL(&net, raw_read(fd, &in) &&
                        http_stream_queued(p->writers[STREAM_MSGAPP].x) == 0);
    size_t dropped = p->dropped_messages;
    send_one(1, append(1, 2, 1, MiB));
    assert_int_equal(p->dropped_messages, dropped);
    close(fd);
    buf_release(&in);
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

    start_linked(2);
    for (size_t i = 0; i < ARRAY_LEN(GARBAGE); i++) {
        struct buf in;
        int fd = raw_connect(node(1)->port);

        buf_init(&in, BUF_UNLIMITED);
        raw_puts(&net, fd, GARBAGE[i]);
        raw_read_until(&net, fd, &in, "HTTP/1.1 ");
        raw_read_until(&net, fd, &in, NULL);
        assert_int_equal(in.data[9], i == 1 ? in.data[9] : '4');
        close(fd);
        buf_release(&in);
    }
    assert_true(linked(1, 2));
    send_one(2, message(RAFT_MSG_APP_RESP, 2, 1));
    RUN_UNTIL(&net, node(1)->n_got == 1);
}

/* A message that the other end would refuse does not leave. */
static void test_impossible_message_is_not_sent(void **state)
{
    (void)state;
    start_linked(2);
    struct raft_message m = message(RAFT_MSG_HEARTBEAT_RESP, 1, 2);
    raft_message_set_context(&m, (struct bytes){(const uint8_t *)"abc", 3});
    send_one(1, m);
    send_one(1, message(RAFT_MSG_HUP, 1, 2));
    send_one(1, message(RAFT_MSG_HEARTBEAT_RESP, 1, 2));
    RUN_UNTIL(&net, node(2)->n_got == 1);
    assert_int_equal(node(2)->got[0].context_len, 0);
}

/* A stopped node does not give up its links for the time it was stopped. */
static void test_gap_of_the_clock(void **state)
{
    (void)state;
    start_linked(2);
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
        TEST(test_batch_is_one_chunk),
        TEST(test_snapshot_goes_by_post),
        TEST(test_one_snapshot_at_a_time),
        TEST(test_refused_snapshot_is_a_failure),
        TEST(test_message_beyond_the_queue_bound),
        TEST(test_link_heartbeats),
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
        TEST(test_back_off),
        TEST(test_removed_inside_a_callback),
        TEST(test_closed_inside_a_report),
        TEST(test_pipeline_overflow),
        TEST(test_snapshot_that_is_not_taken),
        TEST(test_request_of_a_stream),
        TEST(test_bad_answers_to_a_dial),
        TEST(test_frames_on_a_stream),
        TEST(test_silent_stream),
        TEST(test_replaced_stream),
        TEST(test_peer_that_never_reads),
        TEST(test_garbage_on_the_port),
        TEST(test_impossible_message_is_not_sent),
        TEST(test_gap_of_the_clock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
