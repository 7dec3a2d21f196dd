/* Goal: streams carry batches as chunks, and whatever a peer does with them,
 * bad answers, bad frames, silence, reading nothing, ends in a closed
 * connection, a bounded queue and a new attempt. Method: a transport against
 * raw sockets that play the peer, over loopback. */

#include "transport/stream.h"

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

static void test_link_heartbeats(void **state)
{
    (void)state;
    peer_net_start_linked(&net, 2);
    uint64_t before =
        peer_net_peer(&net, 2, 1)->readers[STREAM_MSGAPP].codec.n_frames;
    peer_net_skip(&net, 1, LINK_HEARTBEAT_MS);
    RUN_UNTIL(&net,
              peer_net_peer(&net, 2, 1)->readers[STREAM_MSGAPP].codec.n_frames >
                  before);
    RUN_UNTIL(
        &net,
        peer_net_peer(&net, 2, 1)->readers[STREAM_MESSAGE].codec.n_frames > 0);
    assert_int_equal(node(2)->n_got, 0);
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
    int fd = peer_raw_connect(node(1)->port);
    peer_raw_puts(&net, fd, REQUEST);
    peer_raw_read_until(&net, fd, &in, "\r\n\r\n");
    buf_reset(&in);

    for (uint64_t i = 0; i < 3; i++) {
        batch[i] = peer_append(1, 2, i + 1, 0);
    }
    peer_node_send(node(1), batch, 3);
    peer_raw_read_until(&net, fd, &in, "\r\n");
    size_t len = strtoul(buf_cstr(&in), NULL, 16);
    while (in.len < len + 6) {
        peer_net_turn(&net);
        assert_true(peer_raw_read(fd, &in));
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

/* Small messages share chunks, large ones have their own, and none overtakes
 * another. */
static void test_small_and_large_messages_keep_their_order(void **state)
{
    (void)state;
    static const size_t sizes[] = {1,     100000, 2,      3,     16 * 1024,
                                   70000, 5,      200000, 30000, 7};
    struct raft_message batch[ARRAY_LEN(sizes)];

    peer_net_start_linked(&net, 2);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        batch[i] = peer_append(1, 2, i + 1, sizes[i]);
    }
    peer_node_send(node(1), batch, ARRAY_LEN(sizes));
    RUN_UNTIL(&net, node(2)->n_got == ARRAY_LEN(sizes));
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        const struct raft_message *m = &node(2)->got[i];

        assert_int_equal(m->index, i);
        assert_int_equal(m->entries.items[0]->len, sizes[i]);
        raft_message_release(&batch[i]);
    }
}

/* A MsgApp behind entry `index` that tells a commit index. */
static struct raft_message news(uint64_t index, uint64_t commit)
{
    struct raft_message m = peer_append(1, 2, index + 1, 0);

    raft_entries_reset(&m.entries);
    m.commit = commit;
    return m;
}

static void send_append(uint64_t index, uint64_t commit)
{
    struct raft_message m = peer_append(1, 2, index, 10);

    m.commit = commit;
    peer_net_send(&net, 1, m);
}

static void expect_got(size_t i, size_t n_entries, uint64_t commit)
{
    assert_true(node(2)->n_got > i);
    assert_int_equal(node(2)->got[i].type, RAFT_MSG_APP);
    assert_int_equal(node(2)->got[i].entries.len, n_entries);
    assert_int_equal(node(2)->got[i].commit, commit);
}

/* A commit index alone goes with the next entries, or when it is told to.
 */
static void test_commit_index_waits_for_entries(void **state)
{
    (void)state;
    peer_net_start_linked(&net, 2);
    send_append(1, 0);
    peer_net_send(&net, 1, news(1, 1));
    assert_true(transport_has_news(node(1)->t));
    send_append(2, 1);
    peer_net_send(&net, 1, news(2, 2));
    send_append(3, 2);
    RUN_UNTIL(&net, node(2)->n_got == 3);
    expect_got(0, 1, 0);
    expect_got(1, 1, 1);
    expect_got(2, 1, 2);

    peer_net_send(&net, 1, news(3, 2));
    peer_net_send(&net, 1, news(3, 3));
    transport_send_news(node(1)->t);
    assert_false(transport_has_news(node(1)->t));
    RUN_UNTIL(&net, node(2)->n_got == 4);
    expect_got(3, 0, 3);
    assert_int_equal(node(2)->got[3].index, 3);
    assert_int_equal(node(2)->got[3].log_term, 1);
    assert_int_equal(node(2)->got[3].term, 1);
    assert_int_equal(node(2)->got[3].from, 1);
    assert_int_equal(node(2)->got[3].to, 2);
    transport_send_news(node(1)->t); /* there is none */
    send_append(4, 3);
    RUN_UNTIL(&net, node(2)->n_got == 5);
    expect_got(4, 1, 3);
}

/* What the next message does not tell is not lost with it. */
static void test_commit_index_that_nothing_else_tells(void **state)
{
    (void)state;
    peer_net_start_linked(&net, 2);
    send_append(1, 0);
    peer_net_send(&net, 1, news(1, 1));
    send_append(2, 0);
    RUN_UNTIL(&net, node(2)->n_got == 3);
    expect_got(1, 0, 1);
    expect_got(2, 1, 0);
    /* Behind another entry than the last one sent, it asks whether that one
     * is there: nobody waits for that. */
    peer_net_send(&net, 1, news(1, 1));
    RUN_UNTIL(&net, node(2)->n_got == 4);
    expect_got(3, 0, 1);
    peer_net_send(&net, 1, news(1, 1)); /* goes on behind that, and waits */
    send_append(1, 1);                  /* does not reach as far */
    RUN_UNTIL(&net, node(2)->n_got == 6);
    expect_got(4, 0, 1);
    expect_got(5, 1, 1);
    /* The last thing that a removed member hears. */
    send_append(2, 1);
    peer_net_send(&net, 1, news(2, 2));
    transport_remove_peer(node(1)->t, 2);
    RUN_UNTIL(&net, node(2)->n_got == 8);
    expect_got(7, 0, 2);
}

/* Largest entry that a client may write: larger than the bound of a queue.
 */
static void test_message_beyond_the_queue_bound(void **state)
{
    (void)state;
    peer_net_start_linked(&net, 2);
    peer_net_send(&net, 1, peer_append(1, 2, 1, PAYLOAD_SIZE_MAX));
    RUN_UNTIL(&net, node(2)->n_got == 1);
    assert_int_equal(node(2)->got[0].entries.items[0]->len, PAYLOAD_SIZE_MAX);
}

/* The pause between attempts grows, and a sign of life ends it. */
static void test_back_off(void **state)
{
    (void)state;
    peer_net_start(&net, 1);
    peer_net_start(&net, 2);
    peer_net_stop(&net, 2);
    peer_net_add(&net, 1, 2);
    struct stream_reader *r =
        &peer_net_peer(&net, 1, 2)->readers[STREAM_MESSAGE];
    uint64_t last = 0;
    while (last < BACKOFF_MAX_MS) {
        RUN_UNTIL(&net, r->backoff.delay_ms > last);
        assert_true(
            r->backoff.delay_ms ==
            (last == 0 ? BACKOFF_MIN_MS : min_u64(2 * last, BACKOFF_MAX_MS)));
        last = r->backoff.delay_ms;
        peer_net_skip(&net, 1, last);
    }
    peer_net_start(&net, 2);
    peer_net_add(&net, 2, 1);
    RUN_UNTIL(&net,
              peer_net_linked(&net, 1, 2)); /* it dialed us, so we dial it */
}

static void test_removed_inside_a_callback(void **state)
{
    (void)state;
    struct raft_message batch[3];

    peer_net_start_linked(&net, 2);
    node(2)->remove_sender_at = 2;
    for (uint64_t i = 0; i < 3; i++) {
        batch[i] = peer_append(1, 2, i + 1, 100);
    }
    peer_node_send(node(1), batch, 3);
    for (size_t i = 0; i < 3; i++) {
        raft_message_release(&batch[i]);
    }
    RUN_UNTIL(&net, node(2)->n_got == 2 && peer_net_peer(&net, 2, 1) == NULL);
    RUN_UNTIL(&net, !peer_net_active(&net, 1, 2));
    assert_int_equal(node(2)->n_got, 2); /* the third came too late */
}

#define ANSWER_200                                                             \
    "HTTP/1.1 200 OK\r\nX-Etcd-Cluster-Id: 1000\r\n"                           \
    "X-Server-Version: 3.4.23\r\nTransfer-Encoding: chunked\r\n\r\n"

/* Node 1 with a peer 2 that the test plays: it gets the streams' requests.
 */
struct fake {
    int listener;
    int fds[STREAM_KINDS];
};

static void fake_start(struct fake *f)
{
    struct buf in;
    uint16_t port;

    buf_init(&in, BUF_UNLIMITED);
    f->listener = peer_raw_listen(&port);
    peer_net_start(&net, 1);
    node(2)->port = port;
    peer_net_add(&net, 1, 2);
    for (int i = 0; i < STREAM_KINDS; i++) {
        int fd = peer_raw_accept(&net, f->listener);

        buf_reset(&in);
        peer_raw_read_until(&net, fd, &in, "\r\n\r\n");
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
    peer_raw_read_until(&net, fd, &rest, NULL);
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
        "\r\nX-PeerURLs: http://127.0.0.1:", /* ours; raftexample has none
                                              */
    };
    struct buf in;
    uint16_t port;
    int listener = peer_raw_listen(&port);

    buf_init(&in, BUF_UNLIMITED);
    peer_net_start(&net, 1);
    node(2)->port = port;
    peer_net_add(&net, 1, 2);
    int fd = peer_raw_accept(&net, listener);
    peer_raw_read_until(&net, fd, &in, "\r\n\r\n");
    for (size_t i = 0; i < ARRAY_LEN(FIELDS); i++) {
        if (strstr(buf_cstr(&in), FIELDS[i]) == NULL) {
            fail_msg("no %s in %s", FIELDS[i], buf_cstr(&in));
        }
    }
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
        peer_raw_puts(&net, f.fds[STREAM_MESSAGE], CASES[i].answer);
        expect_end(f.fds[STREAM_MESSAGE]);
        assert_true(peer_net_logged(&net, CASES[i].logged));
        assert_false(peer_net_reads(&net, 1, 2, STREAM_MESSAGE));
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
        peer_raw_puts(&net, fd, ANSWER_200);
        peer_raw_write(&net, fd, CHUNK_HEARTBEAT, sizeof(CHUNK_HEARTBEAT) - 1);
        RUN_UNTIL(&net, node(1)->n_got == got + 1);
        assert_true(peer_net_reads(&net, 1, 2, STREAM_MESSAGE));
        peer_raw_write(&net, fd, CASES[i].bytes, CASES[i].len);
        if (CASES[i].lives) {
            peer_raw_write(&net, fd, CHUNK_HEARTBEAT,
                           sizeof(CHUNK_HEARTBEAT) - 1);
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
    peer_raw_puts(&net, f.fds[STREAM_MESSAGE], ANSWER_200);
    RUN_UNTIL(&net, peer_net_reads(&net, 1, 2, STREAM_MESSAGE));
    expect_end(f.fds[STREAM_MESSAGE]);
    close(peer_raw_accept(&net, f.listener));
    fake_stop(&f);
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
    int older = peer_net_open_stream(&net, 1, "message", 2);
    int other = peer_net_open_stream(&net, 1, "msgapp", 2);
    int newer = peer_net_open_stream(&net, 1, "message", 2);
    peer_raw_read_until(&net, older, &in, NULL);
    assert_int_equal(in.len, 5);
    assert_memory_equal(in.data, "0\r\n\r\n", 5);

    buf_reset(&in);
    peer_net_skip(&net, 1, LINK_HEARTBEAT_MS);
    peer_raw_read_until(&net, other, &in, "1\r\n");
    buf_reset(&in);
    peer_raw_read_until(&net, newer, &in, "\010\010");
    close(older);
    close(other);
    close(newer);
    buf_release(&in);
}

/* The queue of a peer that takes nothing is bounded; others do not notice.
 */
static void test_peer_that_never_reads(void **state)
{
    (void)state;
    peer_net_start(&net, 1);
    peer_net_start(&net, 3);
    node(2)->port = 1;
    peer_net_add(&net, 1, 2);
    peer_net_add(&net, 1, 3);
    peer_net_add(&net, 3, 1);
    RUN_UNTIL(&net, peer_net_linked(&net, 1, 3));
    int fd = peer_net_open_stream(&net, 1, "msgapp", 2);
    const struct peer *p = peer_net_peer(&net, 1, 2);

    uint64_t index = 0;
    while (p->dropped_messages < 3) {
        peer_net_send(&net, 1, peer_append(1, 2, ++index, MiB));
        peer_net_turn(&net);
        assert_true(index < 200);
        assert_true(http_stream_queued(p->writers[STREAM_MSGAPP].x) <=
                    PEER_QUEUE_BYTES_MAX + 4 * KiB);
    }
    RUN_UNTIL(&net, node(1)->unreachable > 0);
    size_t got = node(3)->n_got;
    peer_net_send(&net, 1, peer_append(1, 3, 1, 10));
    RUN_UNTIL(&net, node(3)->n_got == got + 1);

    /* It reads again: what it gets is a stream without holes or breaks. */
    struct buf in;
    buf_init(&in, BUF_UNLIMITED);
    RUN_UNTIL(&net, peer_raw_read(fd, &in) &&
                        http_stream_queued(p->writers[STREAM_MSGAPP].x) == 0);
    size_t dropped = p->dropped_messages;
    peer_net_send(&net, 1, peer_append(1, 2, 1, MiB));
    assert_int_equal(p->dropped_messages, dropped);
    close(fd);
    buf_release(&in);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_link_heartbeats),
        TEST(test_batch_is_one_chunk),
        TEST(test_small_and_large_messages_keep_their_order),

        TEST(test_commit_index_waits_for_entries),
        TEST(test_commit_index_that_nothing_else_tells),
        TEST(test_message_beyond_the_queue_bound),
        TEST(test_back_off),
        TEST(test_removed_inside_a_callback),
        TEST(test_request_of_a_stream),
        TEST(test_bad_answers_to_a_dial),
        TEST(test_frames_on_a_stream),
        TEST(test_silent_stream),
        TEST(test_replaced_stream),
        TEST(test_peer_that_never_reads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
