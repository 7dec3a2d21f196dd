"""Clients and peers that mean no good: the cluster goes on serving, memory
stays bounded, and the log says once what happened."""

import os
import resource
import socket
import struct
import threading
import unittest

from cluster import (BINARY, PATIENCE, Closed, Cluster, Conn, KeepAlive,
                     request_bytes, wait_for)

MiB = 1024 * 1024


def raise_fd_limit(want):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < want:
        raise unittest.SkipTest("only %d descriptors are allowed" % hard)
    if soft != resource.RLIM_INFINITY and soft < want:
        resource.setrlimit(resource.RLIMIT_NOFILE, (want, hard))


def is_instrumented():
    with open(BINARY, "rb") as f:
        return b"__asan_init" in f.read()


class Hostile(unittest.TestCase):
    def check_serves(self, c):
        for node in c.running():
            self.assertEqual(node.put("/alive", "%d" % node.id).status, 204)
            self.assertEqual(node.get("/alive").body, b"%d" % node.id)

    def check_rss(self, node, before, allowed):
        if not is_instrumented():
            self.assertLess(node.rss() - before, allowed)

    def test_request_bigger_than_the_limit(self):
        with Cluster(3) as c:
            self.check_serves(c)
            before = c[1].rss()
            for length in (b"1572865", b"4000000000", b"18446744073709551615"):
                with c[1].conn() as conn:
                    try:
                        conn.send(b"PUT /big HTTP/1.1\r\nHost: t\r\nContent-Length: "
                                  + length + b"\r\n\r\n" + b"x" * MiB)
                    except ConnectionError:
                        pass
                    try:
                        r = conn.response()
                        self.assertIn(r.status, (400, 413))
                    except (ConnectionError, Closed):
                        # Our bytes were thrown away with the answer in flight.
                        pass
            self.check_rss(c[1], before, 16 * MiB)
            self.check_serves(c)

    def test_slow_clients_are_closed(self):
        """One byte a second, header or body, and silence; a deadline counts
        from the first byte, progress or not."""
        with Cluster(3, {"client_timeout": "1s"}) as c:
            head = b"PUT /slow HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n"
            # What is sent at once, and what then comes byte by byte.
            clients = [(b"", head), (head, b"x" * 90), (b"GET /sl", b"")]
            ended = [False] * len(clients)

            def drip(i, at_once, slowly):
                with c[1].conn(60) as conn:
                    conn.send(at_once)
                    for k in range(1000):
                        try:
                            conn.send(slowly[k:k + 1])
                        except ConnectionError:
                            break
                        if conn.is_closed(0.3 / PATIENCE):
                            break
                    else:
                        return
                    ended[i] = True
            for i, client in enumerate(clients):
                threading.Thread(target=drip, args=(i,) + client, daemon=True).start()
            for i in range(len(clients)):
                wait_for(lambda: ended[i], "slow client %d to be closed" % i)
                self.check_serves(c)
            self.assertEqual(c[1].get("/slow").status, 404)

    def test_2000_idle_connections(self):
        raise_fd_limit(4096)
        with Cluster(3) as c:
            self.check_serves(c)
            node = c[1]
            before = node.rss()
            fds = node.n_fds()
            conns = [Conn(node.port) for _ in range(2000)]
            try:
                wait_for(lambda: node.n_fds() >= fds + 2000, "all to be accepted")
                # Half of them have begun a request.
                for conn in conns[::2]:
                    conn.send(b"PUT /idle HTTP/1.1\r\nHost: t\r\n")
                self.check_serves(c)
                self.check_rss(node, before, 64 * MiB)
            finally:
                for conn in conns:
                    conn.close()
            wait_for(lambda: node.n_fds() <= fds + 20, "all to be freed")
            self.check_serves(c)

    def test_clients_that_never_read(self):
        with Cluster(3) as c:
            node = c[1]
            value = os.urandom(MiB)
            self.assertEqual(node.put("/big", value).status, 204)
            self.check_serves(c)
            before = node.rss()
            conns = [Conn(node.port) for _ in range(4)]
            for conn in conns:
                conn.sock.settimeout(0.5)
                try:
                    conn.send(request_bytes("GET", "/big", close=False) * 1000)
                except (TimeoutError, socket.timeout, ConnectionError):
                    pass
            self.check_serves(c)
            self.check_rss(node, before, 64 * MiB)
            for conn in conns:
                conn.close()
            self.check_serves(c)

    def test_garbage_on_the_peer_port(self):
        garbage = {
            "bytes": os.urandom(100000),
            "zeros": bytes(100000),
            "a long line": b"G" * 100000,
            "pipeline": b"POST /raft HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\ngarbage!!",
            "a whole identity, then garbage":
                b"POST /raft HTTP/1.1\r\nHost: t\r\nX-Etcd-Cluster-Id: 1000\r\n"
                b"X-Raft-To: 1\r\nX-Server-From: 2\r\nX-Server-Version: 3.4.23\r\n"
                b"X-Min-Cluster-Version: 3.0.0\r\nContent-Type: application/protobuf\r\n"
                b"Content-Length: 9\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            "a length of 2^63":
                b"POST /raft/snapshot HTTP/1.1\r\nHost: t\r\nX-Etcd-Cluster-Id: 1000\r\n"
                b"X-Raft-To: 1\r\nX-Server-From: 2\r\nX-Server-Version: 3.4.23\r\n"
                b"X-Min-Cluster-Version: 3.0.0\r\nContent-Length: 20\r\n\r\n"
                + struct.pack(">Q", 1 << 63) + b"x" * 12,
            "another cluster":
                b"GET /raft/stream/message/2 HTTP/1.1\r\nHost: t\r\n"
                b"X-Etcd-Cluster-Id: dead\r\nX-Raft-To: 1\r\nX-Server-From: 2\r\n"
                b"X-Server-Version: 3.4.23\r\nX-Min-Cluster-Version: 3.0.0\r\n\r\n",
            "a stranger":
                b"GET /raft/stream/message/99 HTTP/1.1\r\nHost: t\r\n"
                b"X-Etcd-Cluster-Id: 1000\r\nX-Raft-To: 1\r\nX-Server-From: 99\r\n"
                b"X-Server-Version: 3.4.23\r\nX-Min-Cluster-Version: 3.0.0\r\n\r\n",
        }
        with Cluster(3) as c:
            self.check_serves(c)
            term = c.wait_leader().status()["term"]
            before = {n: n.rss() for n in c.nodes}
            for name, data in garbage.items():
                for node in c.nodes:
                    for _ in range(20):
                        with Conn(node.peer_port) as conn:
                            try:
                                conn.send(data)
                                conn.sock.shutdown(socket.SHUT_WR)
                                conn.is_closed(5)
                            except (ConnectionError, OSError):
                                pass
                self.check_serves(c)
            self.assertEqual(c.wait_leader().status()["term"], term)
            for node in c.nodes:
                self.check_rss(node, before[node], 32 * MiB)
                # Said, but not 160 times.
                warnings = [l for l in node.log().splitlines() if " warn " in l]
                self.assertGreaterEqual(len(warnings), 1)
                self.assertLess(len(warnings), 80, "\n".join(warnings[:80]))

    def test_peer_that_accepts_and_never_answers(self):
        """Node 3 is a listener that reads nothing: the others go on."""
        with Cluster(3, start=False) as c:
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(("127.0.0.1", c[3].peer_port))
                s.listen(5)
                c[1].start(wait=False)
                c[2].start(wait=False)
                c[1].wait_listening()
                c[2].wait_listening()
                c.wait_leader()
                before = c[1].rss()
                with KeepAlive(c[1]) as k:
                    self.assertEqual(k.put_many(
                        ("/k%d" % i, b"x" * 10000) for i in range(500)), 500)
                self.check_serves(c)
                self.check_rss(c[1], before, 128 * MiB)

    def test_descriptor_limit(self):
        """At the limit new clients wait; peers and files do not."""
        with Cluster(3, start=False) as c:
            for node in c.nodes:
                node.start(wait=False)
            for node in c.nodes:
                node.wait_listening()
            c.wait_leader()
            node = c[1]
            node.stop()
            # Set by the shell: the node raises its soft limit to the hard one.
            real = node.command
            node.command = lambda **f: ["sh", "-c", "ulimit -n 128; exec \"$@\"", "sh"] + real(**f)
            node.start()
            c.wait_leader()
            conns = [Conn(node.port, 5) for _ in range(300)]
            try:
                for conn in conns[:30]:
                    conn.send(request_bytes("GET", "/none", close=False))
                    self.assertEqual(conn.response().status, 404)
                late = conns[299]
                late.send(request_bytes("GET", "/none", close=False))
                self.assertEqual(c[2].put("/k", "v").status, 204)
                wait_for(lambda: node.applied() >= c[2].applied(), "it to follow")
            finally:
                for conn in conns[:298]:
                    conn.close()
            late.sock.settimeout(60)
            self.assertEqual(late.response().status, 404)
            for conn in conns[298:]:
                conn.close()
            self.assertEqual(node.put("/k", "w").status, 204)

    def test_connect_and_close(self):
        with Cluster(3) as c:
            self.check_serves(c)
            node = c[1]
            fds = node.n_fds()
            for i in range(3000):
                conn = Conn(node.port if i % 4 else node.peer_port)
                if i % 3 == 0:
                    conn.send(b"PUT /k HTTP/1.1\r\n")
                if i % 5 == 0:  # a reset instead of an end
                    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                         struct.pack("ii", 1, 0))
                conn.close()
            wait_for(lambda: node.n_fds() <= fds + 5, "descriptors to be freed")
            self.check_serves(c)

    def test_client_leaves_before_the_answer(self):
        with Cluster(3) as c:
            for i in range(300):
                with c.nodes[i % 3].conn() as conn:
                    conn.send(request_bytes("PUT", "/k%d" % i, b"v", close=False) * 5)
            self.check_serves(c)
            wait_for(lambda: all(n.status()["pending_proposals"] == 0
                                 for n in c.nodes), "nothing pending")
