/* Goal: who is no peer is answered where X-PeerURLs says, and such a sender
 * costs no more than its place: bounded, gone when it becomes a peer or was
 * removed, never made of a request that is refused or malformed. Method: two
 * transports of which one does not know the other, and requests over a raw
 * socket. */

#include "transport/remotes.h"

#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "tests/lib/entries.h"
#include "tests/lib/peer_net.h"
#include "transport/peer.h"
#include "transport/transport_internal.h"

static struct peer_net net;

/* Nodes 1 and 2; 1 knows 2, 2 does not know 1; 8 was removed. */
static int setup(void **state)
{
    (void)state;
    peer_net_init(&net);
    peer_net_start(&net, 1);
    peer_net_start(&net, 2);
    net.nodes[1].removed_id = 8;
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

/* What node 2 knows of `id`; using it is part of the question. */
static struct peer *remote(uint64_t id)
{
    return remotes_use(node(2)->t, id);
}

static size_t n_remotes(void)
{
    size_t n = 0;

    list_for_each (it, &node(2)->t->remotes) {
        n++;
    }
    assert_int_equal(n, node(2)->t->n_remotes);
    return n;
}

/* --- requests over a raw socket --- */

#define GOOD                                                                   \
    "X-Server-Version: 3.4.23\r\nX-Min-Cluster-Version: 3.0.0\r\n"             \
    "X-Etcd-Cluster-ID: 1000\r\n"
#define URL  "http://127.0.0.1:1"
#define URLS "X-PeerURLs: " URL "\r\n"

/* The status of the answer; the connection is closed then. */
static int ask(const char *request)
{
    struct buf in;
    int fd = peer_raw_connect(node(2)->port);

    buf_init(&in, BUF_UNLIMITED);
    peer_raw_puts(&net, fd, request);
    peer_raw_read_until(&net, fd, &in, "\r\n\r\n");
    int status = (int)strtol(buf_cstr(&in) + 9, NULL, 10);
    close(fd);
    buf_release(&in);
    return status;
}

/* `from` is the field's text, or NULL. */
static int post(const char *from, const char *fields)
{
    char *request = xasprintf(
        "POST /raft HTTP/1.1\r\nHost: x\r\n%s%s%s%s"
        "Content-Length: 0\r\n\r\n",
        from == NULL ? "" : "X-Server-From: ", from == NULL ? "" : from,
        from == NULL ? "" : "\r\n", fields);
    int status = ask(request);

    xfree(request);
    return status;
}

static int stream(const char *from, const char *fields)
{
    char *request = xasprintf("GET /raft/stream/message/%s HTTP/1.1\r\n"
                              "Host: x\r\nX-Raft-To: 2\r\n%s\r\n",
                              from, fields);
    int status = ask(request);

    xfree(request);
    return status;
}

static void post_as(uint64_t id, const char *url)
{
    char from[HEX_ID_SIZE];
    char *fields = xasprintf(GOOD "X-PeerURLs: %s\r\n", url);

    hex_id_print(id, from);
    assert_int_equal(post(from, fields), 204);
    xfree(fields);
}

/* --- what it is for --- */

static void test_answer_to_a_post(void **state)
{
    (void)state;
    peer_net_send(&net, 2, peer_message(RAFT_MSG_APP_RESP, 2, 1));
    peer_net_add(&net, 1, 2);
    peer_net_send(&net, 1, peer_message(RAFT_MSG_HEARTBEAT, 1, 2));
    RUN_UNTIL(&net, node(2)->n_got == 1);
    peer_net_send(&net, 2, peer_message(RAFT_MSG_HEARTBEAT_RESP, 2, 1));
    RUN_UNTIL(&net, node(1)->n_got == 1); /* and not what came before */
    assert_int_equal(node(1)->got[0].type, RAFT_MSG_HEARTBEAT_RESP);

    /* It is no peer: it has no stream, and none is dialed. */
    struct transport_peer_status st;
    assert_false(transport_peer_status(node(2)->t, 1, &st));
    assert_true(peer_net_logged(&net, "404 error sender not found"));
    for (int k = 0; k < STREAM_KINDS; k++) {
        assert_int_equal(remote(1)->readers[k].state, STREAM_READER_CLOSED);
    }
    peer_net_skip(&net, 2, PROBING_INTERVAL_MS);
    transport_tick(node(2)->t);
    assert_null(remote(1)->prober.client);
}

/* A stream that is refused is enough. */
static void test_answer_to_a_stream_request(void **state)
{
    (void)state;
    peer_net_add(&net, 1, 2);
    RUN_UNTIL(&net, remote(1) != NULL);
    peer_net_send(&net, 2, peer_append(2, 1, 1, 100));
    RUN_UNTIL(&net, node(1)->n_got == 1);
}

static void test_snapshot_to_a_remote(void **state)
{
    (void)state;
    peer_net_add(&net, 1, 2);
    RUN_UNTIL(&net, remote(1) != NULL);
    peer_net_send(&net, 2, peer_snapshot(2, 1, MiB));
    RUN_UNTIL(&net, node(2)->snapshots_ok == 1);
    assert_int_equal(node(1)->got[0].snapshot->len, MiB);
}

static void test_remote_that_is_not_there(void **state)
{
    (void)state;
    post_as(7, URL);
    peer_net_send(&net, 2, peer_message(RAFT_MSG_VOTE_RESP, 2, 7));
    RUN_UNTIL(&net, node(2)->unreachable == 1);
    peer_net_send(&net, 2, peer_message(RAFT_MSG_VOTE_RESP, 2, 7));
    RUN_UNTIL(&net, node(2)->unreachable == 2); /* during the pause */

    /* A sign of life ends the pause. */
    uint64_t at_ms = remote(7)->pipeline.lanes[LANE_MESSAGES].backoff.at_ms;
    assert_true(at_ms > 0);
    post_as(7, URL);
    assert_int_equal(remote(7)->pipeline.lanes[LANE_MESSAGES].backoff.at_ms, 0);
}

/* Where it was last, for it may have moved. */
static void test_another_url(void **state)
{
    (void)state;
    post_as(1, URL);
    post_as(1, node(1)->url);
    assert_int_equal(n_remotes(), 1);
    peer_net_send(&net, 2, peer_message(RAFT_MSG_VOTE_RESP, 2, 1));
    RUN_UNTIL(&net, node(1)->n_got == 1);
}

static void test_first_of_several_urls(void **state)
{
    (void)state;
    char *urls = xasprintf("%s, " URL ",http://[::1]:2", node(1)->url);

    post_as(1, urls);
    peer_net_send(&net, 2, peer_message(RAFT_MSG_VOTE_RESP, 2, 1));
    RUN_UNTIL(&net, node(1)->n_got == 1);
    xfree(urls);
}

/* --- how it ends --- */

static void test_remote_becomes_a_peer(void **state)
{
    (void)state;
    peer_net_add(&net, 1, 2);
    RUN_UNTIL(&net, remote(1) != NULL);
    peer_net_send(&net, 2, peer_append(2, 1, 1, 2 * MiB)); /* still leaves */
    peer_net_add(&net, 2, 1);
    assert_null(remote(1));
    assert_int_equal(n_remotes(), 0);
    RUN_UNTIL(&net, peer_net_linked(&net, 1, 2) && node(1)->n_got == 1);

    /* What it says of itself counts no more. */
    post_as(1, URL);
    assert_int_equal(n_remotes(), 0);
    peer_net_send(&net, 2, peer_append(2, 1, 2, 5));
    RUN_UNTIL(&net, node(1)->n_got == 2);
    RUN_UNTIL(&net, list_is_empty(&node(2)->t->leaving));
}

static void test_remote_is_removed(void **state)
{
    (void)state;
    post_as(1, node(1)->url);
    post_as(7, URL);
    transport_remove_peer(node(2)->t, 1);
    assert_int_equal(n_remotes(), 1);
    peer_net_send(&net, 2, peer_message(RAFT_MSG_VOTE_RESP, 2, 1));

    /* Nor is one used whose removal nobody told the transport of. */
    node(2)->removed_id = 7;
    peer_net_send(&net, 2, peer_message(RAFT_MSG_VOTE_RESP, 2, 7));
    assert_int_equal(n_remotes(), 0);
    RUN_UNTIL(&net, list_is_empty(&node(2)->t->leaving));
    assert_int_equal(node(1)->n_got, 0);
    assert_int_equal(node(2)->unreachable, 0);
}

/* All clusters of raftexample have one id, so a remote may be a node of
 * another, where our id was removed. */
static void test_remote_cannot_tell_of_removal(void **state)
{
    (void)state;
    node(1)->removed_id = 2;
    post_as(1, node(1)->url);
    peer_net_send(&net, 2, peer_message(RAFT_MSG_VOTE_RESP, 2, 1));
    RUN_UNTIL(&net, node(2)->unreachable == 1);
    assert_true(peer_net_logged(&net, "410 removed member"));
    assert_int_equal(node(2)->removed_by, 0);
}

static void test_remotes_are_bounded(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < PEER_REMOTES_MAX; i++) {
        post_as(100 + i, URL);
    }
    assert_int_equal(n_remotes(), PEER_REMOTES_MAX);
    assert_non_null(remote(100)); /* used: 101 is the longest unused now */
    post_as(102, URL);            /* came again: then 103 */
    post_as(200, URL);
    post_as(201, URL);
    assert_int_equal(n_remotes(), PEER_REMOTES_MAX);
    assert_null(remote(101));
    assert_null(remote(103));
    assert_non_null(remote(100));
    assert_non_null(remote(102));
    assert_non_null(remote(200));
}

/* One with something on its way stays before those that have nothing. */
static void test_busy_remotes_stay(void **state)
{
    (void)state;
    uint16_t port;
    int listener = peer_raw_listen(&port);
    char *url = xasprintf("http://127.0.0.1:%d", port);

    post_as(100, url);
    peer_net_send(&net, 2, peer_message(RAFT_MSG_VOTE_RESP, 2, 100));
    int fd = peer_raw_accept(&net, listener); /* it gets no answer */
    for (uint64_t i = 1; i <= PEER_REMOTES_MAX; i++) {
        post_as(100 + i, URL);
    }
    assert_null(remote(101));
    assert_non_null(remote(100));

    /* If all of them have, the first goes all the same. */
    for (uint64_t i = 2; i <= PEER_REMOTES_MAX; i++) {
        post_as(100 + i, url);
        peer_net_send(&net, 2, peer_message(RAFT_MSG_VOTE_RESP, 2, 100 + i));
    }
    post_as(200, url);
    assert_null(remote(100));
    assert_non_null(remote(200));
    assert_int_equal(n_remotes(), PEER_REMOTES_MAX);
    close(fd);
    close(listener);
    xfree(url);
}

/* --- of whom none is made --- */

static void test_malformed_urls(void **state)
{
    (void)state;
    static const char *BAD[] = {
        "nonsense",
        ",",
        "127.0.0.1:1",
        "http://127.0.0.1",
        "http://:1",
        "http://",
        "https://127.0.0.1:1",
        "http://127.0.0.1:1/",
        "http://127.0.0.1:1/raft",
        "http://127.0.0.1:65536",
        "http://[::1:1",
        "http://u@127.0.0.1:1",
        "http://127.0.0.1:1?x",
        URL ",",
        "," URL,
        URL "," URL "/x," URL,
        URL ";" URL,
        "http://\xff:1",
    };

    for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
        char *fields = xasprintf(GOOD "X-PeerURLs: %s\r\n", BAD[i]);

        if (post("7", fields) != 400 || stream("7", fields) != 400) {
            fail_msg("taken: %s", BAD[i]);
        }
        xfree(fields);
    }
    assert_int_equal(n_remotes(), 0);
}

static void test_who_becomes_no_remote(void **state)
{
    (void)state;
#define OLD  "X-Server-Version: 2.3.0\r\nX-Etcd-Cluster-ID: 1000\r\n"
#define ELSE "X-Server-Version: 3.4.23\r\nX-Etcd-Cluster-ID: 1001\r\n"
#define BAD  "X-PeerURLs: nonsense\r\n"
    static const struct {
        const char *name;
        const char *from;
        const char *fields;
        int posted;
        int streamed;
    } CASES[] = {
        {"another version", "7", OLD URLS, 412, 412},
        {"another cluster", "7", ELSE URLS, 412, 412},
        {"refused before it is malformed", "7", ELSE BAD, 412, 412},
        {"removed", "8", GOOD URLS, 410, 410},
        {"removed before it is malformed", "8", GOOD BAD, 410, 410},
        {"ourselves", "2", GOOD URLS, 204, 404},
        {"nobody", "0", GOOD URLS, 204, 404},
        {"no id", "x", GOOD URLS, 204, 404},
        {"nothing said", "7", GOOD, 204, 404},
        {"nothing in it", "7", GOOD "X-PeerURLs: \r\n", 204, 404},
        {"a peer", "3", GOOD URLS, 204, 200},
        {"a peer, of which it is not asked", "3", GOOD BAD, 204, 200},
    };

    assert_int_equal(transport_add_peer(node(2)->t, 3, URL), 0);
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        if (post(CASES[i].from, CASES[i].fields) != CASES[i].posted ||
            stream(CASES[i].from, CASES[i].fields) != CASES[i].streamed ||
            n_remotes() != 0) {
            fail_msg("%s", CASES[i].name);
        }
    }
    assert_int_equal(post(NULL, GOOD URLS), 204);
    assert_int_equal(n_remotes(), 0);
}

/* --- what is told of ourselves --- */

/* The request of a stream or of a POST that node 1 sends. */
static void request_of(uint64_t index, struct buf *in)
{
    uint16_t port;
    int listener = peer_raw_listen(&port);
    int fd;

    node(3)->port = port;
    peer_net_add(&net, 1, 3);
    buf_reset(in);
    fd = peer_raw_accept(&net, listener);
    if (index > 0) { /* behind the two streams comes the POST */
        close(fd);
        close(peer_raw_accept(&net, listener));
        peer_net_send(&net, 1, peer_append(1, 3, index, 5));
        do {
            fd = peer_raw_accept(&net, listener);
            buf_reset(in);
            peer_raw_read_until(&net, fd, in, "\r\n\r\n");
            close(fd);
        } while (strncmp(buf_cstr(in), "POST /raft ", 11) != 0);
    } else {
        peer_raw_read_until(&net, fd, in, "\r\n\r\n");
        close(fd);
    }
    transport_remove_peer(node(1)->t, 3);
    close(listener);
    node(3)->port = 0;
}

static void test_own_url(void **state)
{
    (void)state;
    struct buf in;
    char *line = xasprintf("\r\nX-PeerURLs: %s\r\n", node(1)->url);

    buf_init(&in, BUF_UNLIMITED);
    request_of(0, &in);
    assert_non_null(strstr(buf_cstr(&in), line));
    request_of(1, &in);
    assert_non_null(strstr(buf_cstr(&in), line));

    /* Asked for each request; what no Go node would take is not sent. */
    static const char *NONE[] = {"", "http://0.0.0.0:1", URL "/x", "nonsense"};
    for (size_t i = 0; i < ARRAY_LEN(NONE); i++) {
        (void)snprintf(node(1)->url, sizeof(node(1)->url), "%s", NONE[i]);
        request_of(i % 2, &in);
        assert_null(strcasestr(buf_cstr(&in), "PeerURLs"));
    }
    xfree(line);
    buf_release(&in);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_answer_to_a_post),
        TEST(test_answer_to_a_stream_request),
        TEST(test_snapshot_to_a_remote),
        TEST(test_remote_that_is_not_there),
        TEST(test_another_url),
        TEST(test_first_of_several_urls),
        TEST(test_remote_becomes_a_peer),
        TEST(test_remote_is_removed),
        TEST(test_remote_cannot_tell_of_removal),
        TEST(test_remotes_are_bounded),
        TEST(test_busy_remotes_stay),
        TEST(test_malformed_urls),
        TEST(test_who_becomes_no_remote),
        TEST(test_own_url),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
