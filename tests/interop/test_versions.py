"""Who may talk to whom: the checks on headers, seen from a raw socket and
compared with the Go program's own answers, and what a Go node that is refused
says about it."""

import os
import unittest

from interop import GO_PROGRAMS, Closed, MixedCluster, wait_for
from cluster import Conn

GOOD = {"X-Server-From": "3", "X-Server-Version": "3.4.23",
        "X-Min-Cluster-Version": "3.0.0", "X-Etcd-Cluster-ID": "1000"}


class Answers(unittest.TestCase):
    def ask(self, node, method, path, headers, body=b""):
        """Status and text, or None: closed without an answer."""
        lines = ["%s %s HTTP/1.1" % (method, path), "Host: x", "Connection: close",
                 "Content-Length: %d" % len(body)]
        lines += ["%s: %s" % h for h in headers.items()]
        with Conn(node.peer_port) as c:
            c.send("\r\n".join(lines + ["", ""]).encode() + body)
            try:
                first = c._line().split()
            except (OSError, Closed):
                return None, {}
            status = int(first[1])
            found = {}
            while True:
                line = c._line()
                if not line:
                    break
                name, value = line.decode().split(":", 1)
                found[name.lower()] = value.strip()
            if status == 200 or "content-length" not in found:
                return (status, ""), found  # a stream never ends
            text = c._take(int(found["content-length"])).decode().strip()
            return (status, text), found

    def check(self, nodes, cases):
        for name, method, path, changes, expected in cases:
            for node in nodes:
                with self.subTest("%s: %s" % (node.kind, name)):
                    headers = dict(GOOD, **{"X-Raft-To": "%x" % node.id})
                    for key, value in changes.items():
                        headers.pop(key)
                        if value is not None:
                            headers[key] = value
                    got, found = self.ask(node, method, path, headers)
                    self.assertEqual(got, expected)
                    if expected[0] not in (204, 405):
                        self.assertEqual(found["x-etcd-cluster-id"], "1000")
                    if expected[0] != 405 and "stream" in path:
                        self.assertEqual(found["x-server-version"], "3.4.23")

    def test_streams_and_posts_are_checked_alike(self):
        version = (412, "incompatible version")
        cluster = (412, "cluster ID mismatch")
        both = [  # the same for a stream and for a message
            ("no versions", {"X-Server-Version": None,
                             "X-Min-Cluster-Version": None}, version),
            ("server too old", {"X-Server-Version": "2.3.0"}, version),
            ("server without version", {"X-Server-Version": None}, version),
            ("wants newer", {"X-Min-Cluster-Version": "3.9.0"}, version),
            ("wants version 9", {"X-Min-Cluster-Version": "9.0.0"}, version),
            ("other cluster", {"X-Etcd-Cluster-ID": "1001"}, cluster),
            ("cluster with zero", {"X-Etcd-Cluster-ID": "01000"}, cluster),
            ("no cluster", {"X-Etcd-Cluster-ID": None}, cluster),
            ("version before cluster", {"X-Etcd-Cluster-ID": "1",
                                        "X-Server-Version": "2.0.0"}, version),
        ]
        fine = [
            ("oldest", {"X-Server-Version": "3.0.0"}),
            ("newest", {"X-Server-Version": "3.8.0-alpha.0"}),
            ("no minimum", {"X-Min-Cluster-Version": None}),
        ]
        stream = "/raft/stream/%s/3"
        cases = []
        for kind in ("msgapp", "message"):
            cases += [(n, "GET", stream % kind, h, e) for n, h, e in both]
            cases += [(n, "GET", stream % kind, h, (200, "")) for n, h in fine]
        cases += [(n, "POST", "/raft", h, e) for n, h, e in both]
        cases += [(n, "POST", "/raft", h, (204, "")) for n, h in fine]
        to = (412, "to field mismatch")
        cases += [
            ("unknown sender", "GET", "/raft/stream/msgapp/9", {},
             (404, "error sender not found")),
            ("sender in capitals", "GET", "/raft/stream/msgapp/AB", {},
             (404, "error sender not found")),
            ("sender with zero", "GET", "/raft/stream/msgapp/03", {}, (200, "")),
            ("sender no number", "GET", "/raft/stream/msgapp/x", {},
             (404, "invalid from")),
            ("no such stream", "GET", "/raft/stream/other/3", {},
             (404, "invalid path")),
            ("to another", "GET", stream % "message", {"X-Raft-To": "7"}, to),
            ("to nobody", "GET", stream % "message", {"X-Raft-To": None}, to),
            ("unknown before to", "GET", "/raft/stream/message/9",
             {"X-Raft-To": "7"}, (404, "error sender not found")),
            ("method of a stream", "POST", stream % "msgapp", {},
             (405, "Method Not Allowed")),
            ("method of a message", "GET", "/raft", {}, (405, "Method Not Allowed")),
        ]
        # The third node is away, so that nothing but us speaks in its name.
        with MixedCluster(("c", "go", "c")) as c:
            c.wait_leader()
            c[3].stop()
            self.check([c[1], c[2]], cases)
            for node in (c[1], c[2]):
                # One that is no version at all ends the connection of a Go
                # node's handler, which panics; ours says what is wrong.
                headers = dict(GOOD, **{"X-Raft-To": "%x" % node.id,
                                        "X-Server-Version": "3.4"})
                got, _ = self.ask(node, "GET", stream % "msgapp", headers)
                self.assertEqual(got, None if node.kind == "go" else
                                 (412, "incompatible version"))
                got, _ = self.ask(node, "POST", "/raft", dict(GOOD), b"\xff")
                self.assertEqual(got, (400, "error unmarshalling raft message"))
            c[3].start()
            c.settle()
            # Removed: ours says so (410), as etcd does; the Go program never
            # asks whether an id was removed (404).
            c[3].stop()
            self.assertEqual(c[1].http("DELETE", "/3").status, 204)
            self.check([c[1]], [("removed", "GET", "/raft/stream/msgapp/3", {},
                                 (410, "removed member"))])
            unknown = [("removed", "GET", "/raft/stream/msgapp/3", {},
                        (404, "error sender not found"))]
            wait_for(lambda: self.ask(c[2], "GET", "/raft/stream/msgapp/3", dict(
                GOOD, **{"X-Raft-To": "2"}))[0][0] == 404, "the Go node to apply it")
            self.check([c[2]], unknown)


class Refused(unittest.TestCase):
    """Two of ours refuse a Go node, which says why as it would of its own."""

    def says(self, node, words):
        wait_for(lambda: node.said(words), "%r: %s" % (node, words))

    def refused(self, program, words):
        with MixedCluster(("c", "c", "go"), start=False) as c:
            c[3].program = os.path.join(GO_PROGRAMS, program)
            for node in c.nodes:
                node.start(wait=False)
            c[1].wait_listening()
            c[1].put_surely("/k", "v")  # the two go on without it
            self.says(c[3], words)
            self.assertTrue(c[3].is_running())
            for node in (c[1], c[2]):
                self.assertEqual(node.value("/k"), b"v")

    def test_newer_version(self):
        self.refused("raftexample-newer", "server version incompatib")

    def test_other_cluster(self):
        self.refused("raftexample-other", "cluster ID mismatch")

    def test_unknown_node(self):
        with MixedCluster(("c", "c", "c")) as c:
            c.wait_leader()
            stranger = c.add_node(4, "go").start()
            self.says(stranger, "failed to find local node 4")
            self.assertTrue(stranger.is_running())
            # Once it is a member, it is let in, without a restart.
            self.assertEqual(c[1].http("POST", "/4", stranger.url).status, 204)
            c[1].put_surely("/k", "v")
            c.read_everywhere({"/k": "v"})

    def test_removed_node(self):
        with MixedCluster(("c", "c", "go")) as c:
            c[1].put_surely("/k", "v")
            c.settle()
            c[3].kill()
            wait_for(lambda: c[1].http("DELETE", "/3").status == 204, "the removal")
            c[3].start(wait=False)
            self.assertEqual(c[3].wait_exit(), 1)
            self.says(c[3], "the member has been permanently removed")
