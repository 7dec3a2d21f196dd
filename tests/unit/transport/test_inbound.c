/* Goal: the peer port answers as the protocol says, every check in its order.
 * Method: a request over a raw socket and the exact answer, status, fields and
 * text; then the requests recorded against a real node (optional) with the
 * answers that it gave. */

#include <unistd.h>

#include "src/base/alloc.h"
#include "tests/lib/hex.h"
#include "tests/lib/jsonl.h"
#include "tests/lib/peer_net.h"
#include "transport/transport_internal.h"

static struct peer_net net;

/* Node 1 with the one peer 2, of which nothing is running; 8 was removed. */
static int setup(void **state)
{
    (void)state;
    peer_net_init(&net);
    struct peer_node *n = peer_net_start(&net, 1);
    n->removed_id = 8;
    assert_int_equal(transport_add_peer(n->t, 2, "http://127.0.0.1:1"), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    peer_net_release(&net);
    return 0;
}

/* --- an answer --- */

#define FIELDS_MAX 16

struct answer {
    struct buf raw;
    int status;
    char *fields[FIELDS_MAX]; /* into raw; without Date and Connection */
    size_t n_fields;
    struct bytes body; /* what Content-Length counts, or what came so far */
    bool closed;
};

static bool is_framing(const char *line)
{
    return strncasecmp(line, "Date:", 5) == 0 ||
           strncasecmp(line, "Connection:", 11) == 0;
}

static void split_fields(struct answer *a, char *head)
{
    char *save = NULL;

    (void)strtok_r(head, "\r\n", &save);
    for (char *line; (line = strtok_r(NULL, "\r\n", &save)) != NULL;) {
        if (!is_framing(line)) {
            assert_true(a->n_fields < FIELDS_MAX);
            a->fields[a->n_fields++] = line;
        }
    }
}

static const char *field(const struct answer *a, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < a->n_fields; i++) {
        if (strncasecmp(a->fields[i], name, len) == 0 &&
            a->fields[i][len] == ':') {
            return a->fields[i] + len + 2;
        }
    }
    return NULL;
}

/* Ask node 1 and take the first answer whole. `eof`: end our side then. */
static void ask(struct bytes request, bool is_head, struct answer *a)
{
    *a = (struct answer){0};
    buf_init(&a->raw, BUF_UNLIMITED);
    int fd = peer_raw_connect(net.nodes[0].port);
    peer_raw_write(&net, fd, request.data, request.len);
    peer_raw_read_until(&net, fd, &a->raw, "\r\n\r\n");

    size_t head = (size_t)(strstr(buf_cstr(&a->raw), "\r\n\r\n") + 4 -
                           (const char *)a->raw.data);
    const char *length = strcasestr(buf_cstr(&a->raw), "Content-Length: ");
    size_t want = length != NULL && !is_head
                      ? strtoul(length + strlen("Content-Length: "), NULL, 10)
                      : 0;
    bool open = true;
    while (open && a->raw.len < head + want) {
        peer_net_turn(&net);
        open = peer_raw_read(fd, &a->raw);
    }
    a->raw.data[head - 2] = '\0';
    assert_memory_equal(a->raw.data, "HTTP/1.", 7);
    a->status = (int)strtol((char *)a->raw.data + 9, NULL, 10);
    split_fields(a, (char *)a->raw.data);
    a->body = (struct bytes){a->raw.data + head, a->raw.len - head};
    close(fd);
}

static void ask_text(const char *request, struct answer *a)
{
    ask((struct bytes){(const uint8_t *)request, strlen(request)},
        strncmp(request, "HEAD", 4) == 0, a);
}

static void release(struct answer *a)
{
    buf_release(&a->raw);
}

/* --- the checks, one by one --- */

#define VERSIONS "X-Server-Version: 3.4.23\r\nX-Min-Cluster-Version: 3.0.0\r\n"
#define CLUSTER  "X-Etcd-Cluster-ID: 1000\r\n"
#define HEAD_OK  "Host: x\r\nX-Server-From: 2\r\n" VERSIONS CLUSTER
#define TO_1     "X-Raft-To: 1\r\n"
#define NO_BODY  "Content-Length: 0\r\n\r\n"

/* What an error says beside its text: of POST, and of a stream. */
#define ID      "X-Etcd-Cluster-Id: 1000"
#define VERSION "X-Server-Version: 3.4.23"

struct example {
    const char *name;
    const char *request;
    int status;
    const char *text;      /* the body; NULL: none is sent */
    const char *fields[4]; /* beside type, length and nosniff of errors */
};

static void check_example(const struct example *e)
{
    struct answer a;
    size_t n = 0;

    ask_text(e->request, &a);
    if (a.status != e->status) {
        fail_msg("%s: %d %.*s", e->name, a.status, (int)a.body.len,
                 (const char *)a.body.data);
    }
    for (; n < ARRAY_LEN(e->fields) && e->fields[n] != NULL; n++) {
        char *name = xstrdup(e->fields[n]);
        char *value = strchr(name, ':');

        *value = '\0';
        const char *got = field(&a, name);
        if (got == NULL || strcmp(got, value + 2) != 0) {
            fail_msg("%s: %s is %s", e->name, name, got ? got : "absent");
        }
        xfree(name);
    }
    if (e->text != NULL) {
        n += 2; /* type and length */
        if (e->status >= 400) {
            assert_string_equal(field(&a, "Content-Type"),
                                "text/plain; charset=utf-8");
            assert_string_equal(field(&a, "X-Content-Type-Options"), "nosniff");
            n++;
        }
        assert_int_equal(a.body.len, strlen(e->text));
        assert_memory_equal(a.body.data, e->text, a.body.len);
    }
    if (n != a.n_fields) {
        fail_msg("%s: %zu fields, not %zu", e->name, a.n_fields, n);
    }
    release(&a);
}

static void check_examples(const struct example *e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        check_example(&e[i]);
    }
}

static void test_post(void **state)
{
    (void)state;
    static const struct example EXAMPLES[] = {
        {"method comes first",
         "GET /raft HTTP/1.1\r\nHost: x\r\n\r\n",
         405,
         "Method Not Allowed\n",
         {"Allow: POST"}},
        {"then the version",
         "POST /raft HTTP/1.1\r\nHost: x\r\n" NO_BODY,
         412,
         "incompatible version\n",
         {ID}},
        {"version too old",
         "POST /raft HTTP/1.1\r\nHost: x\r\nX-Server-Version: 2.3.0\r\n"
         "X-Min-Cluster-Version: 3.0.0\r\n" NO_BODY,
         412,
         "incompatible version\n",
         {ID}},
        {"our version too old for it",
         "POST /raft HTTP/1.1\r\nHost: x\r\nX-Server-Version: 3.9.0\r\n"
         "X-Min-Cluster-Version: 3.9.0\r\n" CLUSTER NO_BODY,
         412,
         "incompatible version\n",
         {ID}},
        {"malformed version",
         "POST /raft HTTP/1.1\r\nHost: x\r\nX-Server-Version: v3.4.23\r\n"
         "X-Min-Cluster-Version: 3.0.0\r\n" CLUSTER NO_BODY,
         412,
         "incompatible version\n",
         {ID}},
        {"two parts of a version",
         "POST /raft HTTP/1.1\r\nHost: x\r\nX-Server-Version: 3.4\r\n"
         "X-Min-Cluster-Version: 3.0.0\r\n" CLUSTER NO_BODY,
         412,
         "incompatible version\n",
         {ID}},
        {"then the cluster",
         "POST /raft HTTP/1.1\r\nHost: x\r\n" VERSIONS
         "X-Server-From: 8\r\n" NO_BODY,
         412,
         "cluster ID mismatch\n",
         {ID}},
        {"cluster as a string",
         "POST /raft HTTP/1.1\r\nHost: x\r\n" VERSIONS
         "X-Etcd-Cluster-ID: 0x1000\r\n" NO_BODY,
         412,
         "cluster ID mismatch\n",
         {ID}},
        {"a removed member",
         "POST /raft HTTP/1.1\r\nHost: x\r\n" VERSIONS CLUSTER
         "X-Server-From: 8\r\n" NO_BODY,
         410,
         "removed member\n",
         {ID}},
        {"garbage",
         "POST /raft HTTP/1.1\r\n" HEAD_OK "Content-Length: 2\r\n\r\n\xff\xff",
         400,
         "error unmarshalling raft message\n",
         {ID}},
        {"empty body",
         "POST /raft HTTP/1.1\r\n" HEAD_OK NO_BODY,
         204,
         NULL,
         {ID}},
        {"a query",
         "POST /raft?x=1 HTTP/1.1\r\n" HEAD_OK NO_BODY,
         204,
         NULL,
         {ID}},
        {"link heartbeat",
         "POST /raft HTTP/1.1\r\n" HEAD_OK "Content-Length: 2\r\n\r\n\x08\x08",
         204,
         NULL,
         {ID}},
        {"without X-Server-From",
         "POST /raft HTTP/1.1\r\nHost: x\r\n" VERSIONS CLUSTER NO_BODY,
         204,
         NULL,
         {ID}},
        {"a later version with suffixes",
         "POST /raft HTTP/1.1\r\nHost: x\r\nx-server-version: 3.9.0-alpha+x\r\n"
         "x-min-cluster-version: 3.0.0\r\nx-etcd-cluster-id: 1000\r\n" NO_BODY,
         204,
         NULL,
         {ID}},
        {"trailing slash",
         "POST /raft/ HTTP/1.1\r\n" HEAD_OK NO_BODY,
         404,
         "404 page not found\n",
         {NULL}},
    };

    check_examples(EXAMPLES, ARRAY_LEN(EXAMPLES));
    assert_int_equal(net.nodes[0].n_got, 0);
}

static void test_stream(void **state)
{
    (void)state;
#define STREAM(path, head) "GET /raft/stream" path " HTTP/1.1\r\n" head "\r\n"
    static const struct example EXAMPLES[] = {
        {"method comes first",
         "POST /raft/stream/message/2 HTTP/1.1\r\nHost: x\r\n" NO_BODY,
         405,
         "Method Not Allowed\n",
         {"Allow: GET"}},
        {"then the version",
         STREAM("/message/2", "Host: x\r\n"),
         412,
         "incompatible version\n",
         {ID, VERSION}},
        {"then the cluster",
         STREAM("/foo/2", "Host: x\r\n" VERSIONS "X-Etcd-Cluster-ID: 1001\r\n"),
         412,
         "cluster ID mismatch\n",
         {ID, VERSION}},
        {"then the path",
         STREAM("/foo/zz", HEAD_OK),
         404,
         "invalid path\n",
         {ID, VERSION}},
        {"no path", STREAM("/", HEAD_OK), 404, "invalid path\n", {ID, VERSION}},
        {"no id",
         STREAM("/message", HEAD_OK),
         404,
         "invalid path\n",
         {ID, VERSION}},
        {"path too long",
         STREAM("/message/2/", HEAD_OK TO_1),
         404,
         "invalid path\n",
         {ID, VERSION}},
        {"then the id",
         STREAM("/message/zz", HEAD_OK),
         404,
         "invalid from\n",
         {ID, VERSION}},
        {"empty id",
         STREAM("/message/", HEAD_OK),
         404,
         "invalid from\n",
         {ID, VERSION}},
        {"id over 64 bit",
         STREAM("/message/10000000000000000", HEAD_OK),
         404,
         "invalid from\n",
         {ID, VERSION}},
        {"then removed ids",
         STREAM("/message/8", HEAD_OK),
         410,
         "removed member\n",
         {ID, VERSION}},
        {"then unknown ids",
         STREAM("/message/7", HEAD_OK),
         404,
         "error sender not found\n",
         {ID, VERSION}},
        {"our own id",
         STREAM("/message/1", HEAD_OK TO_1),
         404,
         "error sender not found\n",
         {ID, VERSION}},
        {"then the receiver",
         STREAM("/message/2", HEAD_OK),
         412,
         "to field mismatch\n",
         {ID, VERSION}},
        {"another receiver",
         STREAM("/msgapp/2", HEAD_OK "X-Raft-To: 2\r\n"),
         412,
         "to field mismatch\n",
         {ID, VERSION}},
        {"the receiver as a string",
         STREAM("/msgapp/2", HEAD_OK "X-Raft-To: 01\r\n"),
         412,
         "to field mismatch\n",
         {ID, VERSION}},
        {"a message stream",
         STREAM("/message/2", HEAD_OK TO_1),
         200,
         NULL,
         {ID, VERSION, "Transfer-Encoding: chunked"}},
        {"a msgapp stream",
         STREAM("/msgapp/2", HEAD_OK TO_1),
         200,
         NULL,
         {ID, VERSION, "Transfer-Encoding: chunked"}},
        {"leading zero, query, another X-Server-From",
         STREAM("/msgapp/02?x",
                "Host: x\r\nX-Server-From: 5\r\n" VERSIONS CLUSTER TO_1),
         200,
         NULL,
         {ID, VERSION, "Transfer-Encoding: chunked"}},
        {"no slash",
         STREAM("", HEAD_OK),
         301,
         "<a href=\"/raft/stream/\">Moved Permanently</a>.\n\n",
         {"Location: /raft/stream/"}},
    };

    check_examples(EXAMPLES, ARRAY_LEN(EXAMPLES));
}

static void test_pages(void **state)
{
    (void)state;
#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"
    static const struct example EXAMPLES[] = {
        {"a page", GET("/health"), 200, "{\"health\":\"true\"}", {NULL}},
        {"a page with a query",
         GET("/health?x"),
         200,
         "{\"health\":\"true\"}",
         {NULL}},
        {"HEAD of a page",
         "HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n",
         200,
         "",
         {NULL}},
        {"POST to a page",
         "POST /health HTTP/1.1\r\nHost: x\r\n" NO_BODY,
         405,
         "Method Not Allowed\n",
         {"Allow: GET, HEAD"}},
        {"root", GET("/"), 404, "404 page not found\n", {NULL}},
        {"raftx", GET("/raftx"), 404, "404 page not found\n", {NULL}},
        {"below raft", GET("/raft/x"), 404, "404 page not found\n", {NULL}},
        {"DELETE",
         "DELETE / HTTP/1.1\r\nHost: x\r\n\r\n",
         404,
         "404 page not found\n",
         {NULL}},
        {"snapshot, GET",
         GET("/raft/snapshot"),
         405,
         "Method Not Allowed\n",
         {"Allow: POST"}},
        {"snapshot, POST",
         "POST /raft/snapshot HTTP/1.1\r\n" HEAD_OK NO_BODY,
         501,
         "snapshots come by POST /raft\n",
         {NULL}},
        {"slashes",
         "POST ///raft HTTP/1.1\r\n" HEAD_OK NO_BODY,
         301,
         "",
         {"Location: /raft"}},
    };

    for (size_t i = 0; i < ARRAY_LEN(EXAMPLES); i++) {
        struct example e = EXAMPLES[i];

        if (e.status == 301) {
            e.text = NULL; /* an empty body has no type */
            e.fields[1] = "Content-Length: 0";
        }
        check_example(&e);
    }
}

static void test_probing(void **state)
{
    (void)state;
    static const char *METHODS[] = {"GET", "HEAD", "PUT"};

    for (size_t i = 0; i < ARRAY_LEN(METHODS); i++) {
        char *request = xasprintf(
            "%s /raft/probing HTTP/1.1\r\nHost: x\r\n\r\n", METHODS[i]);
        struct answer a;
        int year, month, day;
        char end[16] = "";

        ask_text(request, &a);
        assert_int_equal(a.status, 200);
        assert_string_equal(field(&a, "Content-Type"),
                            "text/plain; charset=utf-8");
        if (i != 1) {
            char *text = xasprintf("%.*s", (int)a.body.len, a.body.data);
            assert_int_equal(
                sscanf(text,
                       "{\"OK\":true,\"Now\":\"%d-%d-%dT%*d:%*d:%*fZ\"%15s",
                       &year, &month, &day, end),
                4);
            assert_string_equal(end, "}");
            assert_int_equal(text[a.body.len - 1], '\n');
            assert_true(year >= 2020 && month >= 1 && month <= 12);
            xfree(text);
        } else {
            assert_int_equal(a.body.len, 0);
        }
        release(&a);
        xfree(request);
    }
}

/* --- messages in a POST --- */

static void test_posted_messages(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *hex;
        int rc; /* of the handler */
        int status;
        const char *text;
        size_t got;
    } CASES[] = {
        {"heartbeat", "08081001180220024004", 0, 204, "", 1},
        {"from a newcomer", "08081001180720024004", 0, 204, "", 1},
        {"without a term", "080810011802200028003000400050005800", 0, 204, "",
         0},
        {"local type", "080a10011802", 0, 204, "", 0},
        {"from a removed member", "08081001180820024004", 0, 204, "", 0},
        {"to another node", "08081003180220024004", 0, 412,
         "to field mismatch\n", 0},
        {"unknown type", "086310011802", 0, 400, "unknown type\n", 0},
        {"gap", "08031001180220022801300340033a0608001002180a", 0, 400,
         "gap in the entries\n", 0},
        {"proposal without entries", "080210011802", 0, 400,
         "proposal without entries\n", 0},
        {"raft refuses", "08081001180220024004", ERR_STOPPED, 500,
         "error processing raft message\n", 1},
    };

    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        static const char HEAD[] = "POST /raft HTTP/1.1\r\n" HEAD_OK
                                   "Transfer-Encoding: chunked\r\n\r\n";
        struct peer_node *n = &net.nodes[0];
        size_t before = n->n_got;
        struct buf request;
        struct answer a;
        size_t len;
        uint8_t *body = hex_decode(CASES[i].hex, &len);

        n->process_rc = CASES[i].rc;
        buf_init(&request, BUF_UNLIMITED);
        (void)buf_append_str(&request, HEAD);
        (void)buf_printf(&request, "%zx\r\n", len);
        (void)buf_append(&request, body, len);
        (void)buf_append_str(&request, "\r\n0\r\n\r\n");
        ask(buf_bytes(&request), false, &a);
        if (a.status != CASES[i].status ||
            a.body.len != strlen(CASES[i].text) ||
            memcmp(a.body.data, CASES[i].text, a.body.len) != 0) {
            fail_msg("%s: %d %.*s", CASES[i].name, a.status, (int)a.body.len,
                     (const char *)a.body.data);
        }
        assert_int_equal(n->n_got - before, CASES[i].got);
        release(&a);
        buf_release(&request);
        xfree(body);
    }
}

/* Over the limit: refused before the body comes. */
static void test_oversized_post(void **state)
{
    (void)state;
    struct answer a;

    ask_text("POST /raft HTTP/1.1\r\n" HEAD_OK
             "Content-Length: 536870913\r\n\r\n",
             &a);
    assert_int_equal(a.status, 413);
    release(&a);
}

/* --- the answers of a real node --- */

/* Undo Python's notation of bytes, from behind the quote to the next one. */
static void parse_python(const char *p, char quote, struct buf *out)
{
    for (; *p != quote; p++) {
        ASSERT(*p != '\0');
        if (*p != '\\') {
            (void)buf_append_byte(out, (uint8_t)*p);
            continue;
        }
        p++;
        if (*p == 'x') {
            const char digits[3] = {p[1], p[2], '\0'};

            (void)buf_append_byte(out, (uint8_t)strtoul(digits, NULL, 16));
            p += 2;
        } else {
            (void)buf_append_byte(out, (uint8_t)(*p == 'r'   ? '\r'
                                                 : *p == 'n' ? '\n'
                                                 : *p == 't' ? '\t'
                                                             : *p));
        }
    }
}

/* Where we differ on purpose: malformed versions and X-PeerURLs get an answer,
 * /raft/snapshot is not offered. */
static bool differs(const char *title)
{
    static const char *TITLES[] = {
        "POST /raft version abc",     "POST /raft version 3.4",
        "POST /raft version v3.4.23", "POST /raft peerurls bad",
        "snapshot POST wrong type",   "snapshot POST short",
        "snapshot POST MsgSnap",      "garbage request",
    };

    for (size_t i = 0; i < ARRAY_LEN(TITLES); i++) {
        if (strcmp(title, TITLES[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void compare(const char *title, const struct answer *a,
                    const struct buf *want)
{
    static const char *NAMES[] = {"Content-Type",
                                  "X-Content-Type-Options",
                                  "X-Etcd-Cluster-Id",
                                  "X-Server-Version",
                                  "Allow",
                                  "Location"};
    struct answer w = {.raw = *want};
    char *copy = xmemdup(want->data, want->len + 1);
    char *end = strstr(copy, "\r\n\r\n");

    assert_non_null(end);
    *end = '\0';
    w.status = (int)strtol(copy + 9, NULL, 10);
    split_fields(&w, copy);
    if (a->status != w.status) {
        fail_msg("%s: %d, not %d", title, a->status, w.status);
    }
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
        const char *have = field(a, NAMES[i]);
        const char *wants = field(&w, NAMES[i]);

        if ((have == NULL) != (wants == NULL) ||
            (have != NULL && strcmp(have, wants) != 0)) {
            fail_msg("%s: %s is %s, not %s", title, NAMES[i],
                     have ? have : "absent", wants ? wants : "absent");
        }
    }
    if (w.status != 200) {
        assert_string_equal((const char *)a->body.data, end + 4);
    }
    xfree(copy);
}

static void replay(const char *title, const char *request_line,
                   const char *answer_line)
{
    struct buf request, want;
    struct answer a;

    buf_init(&request, BUF_UNLIMITED);
    buf_init(&want, BUF_UNLIMITED);
    parse_python(request_line + 2, request_line[1], &request);
    parse_python(answer_line + 2, answer_line[1], &want);
    char *tag = strchr(buf_cstr(&want), '<');
    while (tag != NULL && strncmp(tag, "<OPEN>", 6) != 0 &&
           strncmp(tag, "<CLOSED>", 8) != 0) {
        tag = strchr(tag + 1, '<');
    }
    if (tag != NULL) {
        want.len = (size_t)(tag - (char *)want.data);
    }
    (void)buf_cstr(&want);
    ask(buf_bytes(&request), strncmp((char *)request.data, "HEAD", 4) == 0, &a);
    (void)buf_cstr(&a.raw);
    compare(title, &a, &want);
    release(&a);
    buf_release(&request);
    buf_release(&want);
}

static void test_recorded_answers(void **state)
{
    (void)state;
    char *path = shared_path("spec/samples/http-transcripts-3.4.23.txt");
    FILE *f = fopen(path, "r");
    char title[128] = "";
    char lines[2][4096] = {"", ""};
    int n = 0;
    size_t replayed = 0;

    if (f == NULL) {
        print_message("skipped: no %s\n", path);
        xfree(path);
        return;
    }
    for (char line[4096]; fgets(line, sizeof(line), f) != NULL;) {
        if (strncmp(line, "alive", 5) == 0) {
            break; /* from here on it is the client port */
        }
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "## ", 3) == 0) {
            (void)snprintf(title, sizeof(title), "%.100s", line + 3);
            n = 0;
        } else if (strncmp(line, "    b", 5) == 0 && n < 2) {
            (void)snprintf(lines[n++], sizeof(lines[0]), "%s", line + 4);
        }
        if (n == 2 && !differs(title)) {
            replay(title, lines[0], lines[1]);
            replayed++;
            n = 0;
        }
    }
    assert_true(replayed > 30);
    fclose(f);
    xfree(path);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_post),
        TEST(test_stream),
        TEST(test_pages),
        TEST(test_probing),
        TEST(test_posted_messages),
        TEST(test_oversized_post),
        TEST(test_recorded_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
