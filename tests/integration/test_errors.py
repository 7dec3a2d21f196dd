"""Every row of the tables of the client API, over a real socket: what is
right, what is wrong with what, and what happens to the connection."""

import unittest

from cluster import Closed, Cluster, Conn, KeepAlive, request_bytes, wait_for

MAX_VALUE = 64 * 1024  # --max-value-size of these tests


class Rows(unittest.TestCase):
    """Three nodes shared by all rows; nothing here ends a node."""

    @classmethod
    def setUpClass(cls):
        cls.c = Cluster(3, {"max_value_size": "64KiB"})

    @classmethod
    def tearDownClass(cls):
        cls.c.__exit__(None, None, None)

    def setUp(self):
        self.node = self.c[1]

    def check_error(self, r, status, secret=None):
        """An error's body is one line of plain text without the value."""
        self.assertEqual(r.status, status, r)
        self.assertEqual(r.headers.get("content-type", "").split(";")[0],
                         "text/plain", r.headers)
        self.assertTrue(r.body.endswith(b"\n"), r)
        self.assertEqual(r.body.count(b"\n"), 1, r)
        self.assertGreater(len(r.body), 4, r)
        if secret is not None:
            self.assertNotIn(secret, r.body)

    def check_raw(self, data, status, closed=True, head=False):
        """Bytes on a connection of their own; then whether it is closed, and
        that the node goes on."""
        with self.node.conn() as c:
            try:
                c.send(data)
            except ConnectionError:
                pass
            r = c.response(head)
            self.assertEqual(r.status, status, (data[:80], r))
            if status >= 400 and not head:
                self.check_error(r, status)
            if closed:
                self.assertTrue(c.is_closed(), data[:80])
        return r

    # --- requests that are right ---

    def test_put_and_get(self):
        r = self.node.put("/put", "value")
        self.assertEqual((r.status, r.body), (204, b""))
        for node in self.c.nodes:
            r = node.get("/put")
            self.assertEqual((r.status, r.body), (200, b"value"))
            self.assertEqual(r.headers["content-type"], "application/octet-stream")
            self.assertEqual(r.headers["content-length"], "5")

    def test_put_respond_async(self):
        r = self.node.put("/async", "value", headers={"Prefer": "respond-async"})
        self.assertEqual(r.status, 202)
        for node in self.c.nodes:
            wait_for(lambda: node.get("/async").body == b"value", "the value")

    def test_get_missing(self):
        for node in self.c.nodes:
            self.check_error(node.get("/missing"), 404)

    def test_get_local(self):
        self.assertEqual(self.node.put("/local", "value").status, 204)
        r = self.node.get_local("/local")
        self.assertEqual((r.status, r.body), (200, b"value"))
        self.check_error(self.node.get_local("/missing"), 404)

    def test_head(self):
        self.assertEqual(self.node.put("/head", "value").status, 204)
        with KeepAlive(self.node) as k:
            r = k.request("HEAD", "/head")
            self.assertEqual((r.status, r.headers["content-length"]), (200, "5"))
            r = k.request("HEAD", "/missing")
            self.assertEqual(r.status, 404)
            self.assertEqual(k.get("/head").body, b"value")  # nothing between

    def test_keys_are_targets_as_sent(self):
        keys = ["/", "//", "/?", "/%00", "/a%20b", "/../x", "/a?x=1", "/a",
                "/A", "/\xe4\xff", "/" + "k" * 8000]
        for i, key in enumerate(keys):
            self.assertEqual(self.node.put(key, "%d" % i).status, 204, key[:20])
        for i, key in enumerate(keys):
            self.assertEqual(self.c[2].get(key).body, b"%d" % i, key[:20])

    def test_value_at_the_limit(self):
        for size in (0, 1, MAX_VALUE):
            value = bytes(i % 251 for i in range(size))
            self.assertEqual(self.node.put("/size", value).status, 204)
            self.assertEqual(self.c[3].get("/size").body, value)

    # --- malformed HTTP: 400, closed ---

    def test_malformed(self):
        put = b"PUT /k HTTP/1.1\r\nHost: t\r\n"
        get = b"GET /k HTTP/1.1\r\nHost: t\r\n"
        rows = {
            "garbage": b"\x00\x01\x02\x03\r\n\r\n",
            "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 60,
            "no version": b"PUT /k FOO/1.1\r\n\r\n",
            "Content-Length twice": put + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
            "Content-Length twice, differing":
                put + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "Content-Length list": put + b"Content-Length: 4, 4\r\n\r\nabcd",
            "Content-Length negative": put + b"Content-Length: -1\r\n\r\n",
            "Content-Length with plus": put + b"Content-Length: +4\r\n\r\nabcd",
            "Content-Length hex": put + b"Content-Length: 0x4\r\n\r\nabcd",
            "Content-Length with blank": put + b"Content-Length: 1 3\r\n\r\nabcd",
            "Content-Length empty": put + b"Content-Length:\r\n\r\n",
            "Content-Length 004": put + b"Content-Length: 004\r\n\r\nabcd",
            "Content-Length 2^64": put + b"Content-Length: 18446744073709551616\r\n\r\n",
            "CL and TE": put + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "TE and CL": put + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
            "TE identity": put + b"Transfer-Encoding: identity\r\n\r\n",
            "TE xchunked": put + b"Transfer-Encoding: xchunked\r\n\r\n",
            "TE chunked, gzip": put + b"Transfer-Encoding: chunked, gzip\r\n\r\n",
            "TE twice": put + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "TE in HTTP/1.0": b"PUT /k HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "chunk size 0x1": put + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
            "chunk size -1": put + b"Transfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n",
            "chunk size of 17 digits":
                put + b"Transfer-Encoding: chunked\r\n\r\n11111111111111111\r\na",
            "chunk longer than said":
                put + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
            "folded header": get + b"X: a\r\n b\r\n\r\n",
            "space before colon": get + b"X : a\r\n\r\n",
            "NUL in a value": get + b"X: a\0b\r\n\r\n",
            "control byte in the target": b"GET /k\x01 HTTP/1.1\r\nHost: t\r\n\r\n",
            "no colon": get + b"Xab\r\n\r\n",
            "empty name": get + b": a\r\n\r\n",
            "name with a separator": get + b"X(a): b\r\n\r\n",
            "no Host": b"GET /k HTTP/1.1\r\n\r\n",
            "two Hosts": get + b"Host: u\r\n\r\n",
            "absolute target": b"GET http://t/k HTTP/1.1\r\nHost: t\r\n\r\n",
            "asterisk": b"GET * HTTP/1.1\r\nHost: t\r\n\r\n",
        }
        for name, data in rows.items():
            with self.subTest(name):
                self.check_raw(data, 400)

    def test_other_versions(self):
        rows = [b"GET /k HTTP/%s\r\nHost: t\r\n\r\n" % v
                for v in (b"2.0", b"1.2", b"9.9")]
        for data in rows + [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]:
            with self.subTest(data):
                self.check_raw(data, 505)

    def test_encoding_we_do_not_have(self):
        with self.node.conn() as c:
            c.send(b"PUT /k HTTP/1.1\r\nHost: t\r\n"
                   b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
            self.assertEqual(c.response().status, 501)
            self.assertTrue(c.is_closed())

    # --- too long: 414, 431, 413, closed ---

    def test_request_line_over_8_kib(self):
        self.check_raw(b"GET /" + b"k" * 8192 + b" HTTP/1.1\r\nHost: t\r\n\r\n", 414)

    def test_request_line_that_never_ends(self):
        self.check_raw(b"GET /" + b"k" * 20000, 414)

    def test_headers_over_16_kib(self):
        self.check_raw(b"GET /k HTTP/1.1\r\nHost: t\r\nX: " + b"x" * 16384 + b"\r\n\r\n",
                       431)

    def test_header_that_never_ends(self):
        self.check_raw(b"GET /k HTTP/1.1\r\nHost: t\r\nX: " + b"x" * 40000, 431)

    def test_over_100_fields(self):
        fields = b"".join(b"X%d: y\r\n" % i for i in range(100))
        self.check_raw(b"GET /k HTTP/1.1\r\nHost: t\r\n" + fields + b"\r\n", 431)

    def test_body_over_the_limit_is_refused_before_it_is_read(self):
        self.check_raw(b"PUT /k HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n"
                       % (MAX_VALUE + 1), 413)

    def test_body_over_the_limit_is_not_asked_for(self):
        with self.node.conn() as c:
            c.send(b"PUT /k HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n"
                   b"Content-Length: %d\r\n\r\n" % (MAX_VALUE + 1))
            r = c.response()
            self.check_error(r, 413)
            self.assertEqual(c.interim, [])
            self.assertTrue(c.is_closed())

    def test_chunks_that_add_up_over_the_limit(self):
        chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
        self.check_raw(b"PUT /big HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
                       + chunk * 2 + b"1\r\nx\r\n", 413)
        self.assertEqual(self.node.get("/big").status, 404)

    def test_error_does_not_repeat_the_value(self):
        r = self.node.http("POST", "/7", "my-secret-value")
        self.check_error(r, 400, b"my-secret-value")

    # --- members ---

    def test_bad_ids(self):
        for target in ("/", "/0", "/-1", "/+4", "/04", "/4/", "/4?x", "/x", "/0x",
                       "/1x", "/1_0", "/0b1", "/0o7", "/0x0", "/%31", "//4",
                       "/18446744073709551616", "/0x10000000000000000"):
            with self.subTest(target):
                self.check_error(self.node.http("POST", target, "http://127.0.0.1:1"), 400)
                self.check_error(self.node.http("DELETE", target), 400)

    def test_bad_urls(self):
        for url in ("", "nonsense", "127.0.0.1:1", "http://", "http://127.0.0.1",
                    "https://127.0.0.1:1", "http://127.0.0.1:1/", "http://127.0.0.1:1/x",
                    "http://127.0.0.1:99999", "http://127.0.0.1:0", "http://:1",
                    "http://u@127.0.0.1:1", "http://127.0.0.1:1?x", "http://a b:1",
                    "http://127.0.0.1:1,http://127.0.0.1:2", "x" * 1000):
            with self.subTest(url[:40]):
                self.check_error(self.node.http("POST", "/7", url), 400)
        self.check_error(self.node.http("POST", "/7", "x" * 2000), 400)
        self.check_error(self.node.http("POST", "/7", "x" * 1000000), 413)
        self.assertEqual([m["id"] for m in self.node.status()["members"]], [1, 2, 3])

    def test_post_of_a_member_with_its_url_changes_nothing(self):
        before = self.c.wait_leader().status()["last_index"]
        for target in ("/2", "/0x2"):
            r = self.node.http("POST", target, " %s \n" % self.c[2].url)
            self.assertEqual(r.status, 204)
        lead = self.c.wait_leader()
        self.assertEqual(lead.status()["last_index"], before)

    def test_post_of_a_member_with_another_url(self):
        self.check_error(self.node.http("POST", "/2", "http://127.0.0.1:1"), 409)

    def test_delete_of_no_member(self):
        for target in ("/9", "/0xff", "/18446744073709551615"):
            self.check_error(self.node.http("DELETE", target), 404)

    # --- other methods: 405 ---

    def test_other_methods(self):
        for method in ("PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "FOO"):
            with self.subTest(method):
                with self.node.conn() as c:
                    c.send(request_bytes(method, "/k"))
                    r = c.response()
                    self.check_error(r, 405)
                    self.assertEqual(r.headers.get("allow"),
                                     "GET, HEAD, PUT, POST, DELETE")

    # --- connections ---

    def test_keep_alive(self):
        with KeepAlive(self.node) as k:
            for i in range(100):
                self.assertEqual(k.put("/ka", b"%d" % i).status, 204)
                self.assertEqual(k.get("/ka").body, b"%d" % i)
            self.assertEqual(k.get("/missing").status, 404)
            self.assertEqual(k.get("/ka").body, b"99")

    def test_pipelining_answers_in_order(self):
        with self.node.conn() as c:
            c.send(b"".join(request_bytes("PUT", "/p%d" % i, b"%d" % i, close=False)
                            for i in range(100)))
            for i in range(100):
                self.assertEqual(c.response().status, 204)
            c.send(b"".join(request_bytes("GET", "/p%d" % i, close=False)
                            for i in range(100)))
            for i in range(100):
                self.assertEqual(c.response().body, b"%d" % i)
            # 100 writes of one key: the last one wins.
            c.send(b"".join(request_bytes("PUT", "/same", b"%d" % i, close=False)
                            for i in range(100)) +
                   request_bytes("GET", "/same", close=False))
            for i in range(100):
                self.assertEqual(c.response().status, 204)
            c.response()
            c.send(request_bytes("GET", "/same"))
            self.assertEqual(c.response().body, b"99")

    def test_chunked_body(self):
        with self.node.conn() as c:
            c.send(b"PUT /chunked HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
                   b"5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: x\r\n\r\n")
            self.assertEqual(c.response().status, 204)
            c.send(request_bytes("GET", "/chunked"))
            self.assertEqual(c.response().body, b"hello world")

    def test_expect_100_continue(self):
        with self.node.conn() as c:
            c.send(b"PUT /expect HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n"
                   b"Content-Length: 5\r\n\r\n")
            while b"\r\n\r\n" not in c.data:
                self.assertTrue(c._more())
            self.assertTrue(c.data.startswith(b"HTTP/1.1 100 "), c.data)
            c.send(b"hello")
            self.assertEqual(c.response().status, 204)
        self.assertEqual(self.node.get("/expect").body, b"hello")

    def test_http_1_0(self):
        with self.node.conn() as c:
            c.send(b"PUT /old HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc")
            self.assertEqual(c.response().status, 204)
            self.assertTrue(c.is_closed())
        with self.node.conn() as c:
            c.send(b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            self.assertEqual(c.response().body, b"abc")

    def test_connection_close_ends_the_pipeline(self):
        with self.node.conn() as c:
            c.send(request_bytes("PUT", "/close", b"1") + request_bytes("PUT", "/close", b"2"))
            self.assertEqual(c.response().status, 204)
            self.assertTrue(c.is_closed())
        self.assertEqual(self.node.get("/close").body, b"1")

    def test_blank_lines_before_the_request(self):
        with self.node.conn() as c:
            c.send(b"\r\n\r\n" + request_bytes("GET", "/missing"))
            self.assertEqual(c.response().status, 404)

    def test_upgrade_is_ignored(self):
        with self.node.conn() as c:
            c.send(b"GET /missing HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\n"
                   b"Upgrade: websocket\r\n\r\n")
            self.assertEqual(c.response().status, 404)
            c.send(request_bytes("GET", "/missing"))
            self.assertEqual(c.response().status, 404)

    def test_body_cut_short_changes_nothing(self):
        with self.node.conn() as c:
            c.send(b"PUT /short HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc")
        self.assertEqual(self.node.get("/short").status, 404)

    def test_one_byte_at_a_time(self):
        with self.node.conn() as c:
            for b in request_bytes("PUT", "/slow", b"value"):
                c.send(bytes([b]))
            self.assertEqual(c.response().status, 204)
        self.assertEqual(self.node.get("/slow").body, b"value")

    # --- the peer port's pages ---

    def test_pages(self):
        r = self.node.page("/health")
        self.assertEqual((r.status, r.body.strip()), (200, b'{"health":"true"}'))
        st = self.node.status()
        for name in ("id", "name", "version", "role", "term", "vote", "leader",
                     "commit", "applied", "first_index", "last_index",
                     "snapshot_index", "members", "pending_proposals"):
            self.assertIn(name, st)
        self.assertEqual(self.node.page("/members").status, 200)
        self.assertEqual(self.node.page("/version").status, 200)
        self.assertEqual(self.node.page("/none").status, 404)
        lead = self.c.wait_leader().status()
        self.assertEqual(sorted(lead["progress"]), ["1", "2", "3"])


class Removal(unittest.TestCase):
    def test_the_only_voter_stays(self):
        with Cluster(1) as c:
            r = c[1].http("DELETE", "/1")
            self.assertEqual(r.status, 409)
            self.assertEqual(c[1].put("/k", "v").status, 204)

    def test_a_removed_id_is_gone(self):
        with Cluster(3) as c:
            self.assertEqual(c[1].http("DELETE", "/3").status, 204)
            self.assertEqual(c[3].wait_exit(), 0)
            for node in c.running():
                wait_for(lambda: node.http("DELETE", "/3").status == 404, "404")
                r = node.http("POST", "/3", c[3].url)
                self.assertEqual(r.status, 410, r)


    def test_503_of_a_removed_node(self):
        with Cluster(3) as c:
            self.assertEqual(c[3].put("/k", "v").status, 204)
            later = c[3].conn()
            r = c[3].http("DELETE", "/3")
            self.assertEqual(r.status, 204)
            try:
                later.send(request_bytes("GET", "/k"))
                r = later.response()
                self.assertEqual(r.status, 503, r)
            except (ConnectionError, Closed):
                pass  # it was faster than we
            self.assertEqual(c[3].wait_exit(), 0)


class Shutdown(unittest.TestCase):
    def test_503_while_shutting_down(self):
        """A write that cannot be decided holds the node for a moment."""
        with Cluster(3) as c:
            node = c[1]
            idle = node.conn()
            self.assertEqual(node.put("/k", "v").status, 204)
            c[2].kill()
            c[3].kill()
            waiting = node.conn()
            waiting.send(request_bytes("PUT", "/k", b"w"))
            wait_for(lambda: node.status()["pending_proposals"] > 0 or
                     node.status()["role"] != "leader", "the write to wait")
            node.signal(15)
            wait_for(lambda: node.said("SIGTERM") or not node.is_running(),
                     "the signal to arrive")
            try:
                idle.send(request_bytes("GET", "/k", close=False,
                                        headers={"X-Consistency": "local"}))
                r = idle.response()
                self.assertEqual(r.status, 503, r)
                self.assertTrue(idle.is_closed())
            except (ConnectionError, Closed):
                pass  # it was faster than we
            try:
                self.assertIn(waiting.response().status, (503, 504))
            except (ConnectionError, Closed):
                pass
            self.assertEqual(node.wait_exit(), 0)
