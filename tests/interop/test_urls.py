"""X-PeerURLs, which a Go raftexample takes but never sends: ours sends it, so
that a node of either kind that does not know us yet can answer. Shown with a
member that came while that node was away, and from a raw socket."""

import socket
import unittest

from interop import MixedCluster, free_port, wait_for
from cluster import Conn, request_bytes

GOOD = {"X-Server-Version": "3.4.23", "X-Min-Cluster-Version": "3.0.0",
        "X-Etcd-Cluster-ID": "1000"}

STRANGER = 9
# MsgPreVote of the stranger in term 1, which is over: refused with an answer.
PRE_VOTE = bytes([0x08, 17, 0x18, STRANGER, 0x20, 1, 0x28, 0, 0x30, 0, 0x10])


def taken_request(listener):
    """Head and body of the one POST that comes, which gets its 204."""
    conn, _ = listener.accept()
    with conn:
        data = b""
        conn.settimeout(30)
        while b"\r\n\r\n" not in data:
            data += conn.recv(65536)
        head, body = data.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        fields = {l.split(":", 1)[0].lower(): l.split(":", 1)[1].strip()
                  for l in lines[1:]}
        while len(body) < int(fields["content-length"]):
            body += conn.recv(65536)
        conn.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    return lines[0], fields, body


class Urls(unittest.TestCase):
    def change(self, node, method, target, body=None):
        wait_for(lambda: node.http(method, target, body).status in (204, 404),
                 "%s %s" % (method, target))

    def test_stranger_is_answered_where_it_says(self):
        with MixedCluster(("c", "go", "c")) as c:
            c[1].put_surely("/k", "v")
            for node in (c[1], c[2]):
                with self.subTest(node.kind), socket.socket() as listener:
                    listener.bind(("127.0.0.1", free_port()))
                    listener.listen()
                    listener.settimeout(30)
                    url = "http://127.0.0.1:%d" % listener.getsockname()[1]
                    with Conn(node.peer_port) as conn:
                        conn.send(request_bytes(
                            "POST", "/raft", PRE_VOTE + bytes([node.id]),
                            dict(GOOD, **{"X-Server-From": "%x" % STRANGER,
                                          "X-PeerURLs": url})))
                        self.assertEqual(conn.response().status, 204)
                    line, fields, body = taken_request(listener)
                    self.assertEqual(line, "POST /raft HTTP/1.1")
                    self.assertEqual(fields["x-server-from"], "%x" % node.id)
                    self.assertEqual(body[:2], bytes([0x08, 18]))  # MsgPreVoteResp
                    self.assertEqual(fields.get("x-peerurls"),
                                     node.url if node.kind == "c" else None)
            c[1].put_surely("/k", "w")
            c.read_everywhere({"/k": "w"})

    def test_stranger_of_ours_with_go_nodes(self):
        """Its streams are refused until it is a member; they carry the field
        ten times a second, and a malformed one would make them panic."""
        with MixedCluster(("go", "go", "go")) as c:
            c.wait_leader()
            stranger = c.add_node(4, "c").start()
            wait_for(lambda: stranger.said("error sender not found"), "a refusal")
            c[1].put_surely("/k", "v")
            self.assertEqual(c[1].http("POST", "/4", stranger.url).status, 204)
            stranger.put_surely("/through-4", "x")
            c.read_everywhere({"/k": "v", "/through-4": "x"})
            for node in c.nodes:
                if node.kind == "go":
                    self.assertFalse(node.said("panic"), node.log())

    def test_member_that_came_while_a_node_was_away(self):
        """All others go, too: the two that are left never met. Without the
        field they wait for each other for ever."""
        for away in ("go", "c"):
            with self.subTest(away), MixedCluster(("c", "c", away)) as c:
                c[1].put_surely("/before", "x")
                c.settle()
                c[3].kill()
                newer = c.add_node(4, "c")
                self.change(c[1], "POST", "/4", newer.url)
                newer.start()
                self.change(c[2], "DELETE", "/1")
                self.change(newer, "DELETE", "/2")
                wait_for(lambda: [m["id"] for m in newer.status()["members"]]
                         == [3, 4], "the others to be gone")
                for gone in (c[1], c[2]):
                    if gone.is_running():
                        gone.kill()  # waits to tell the one that is away
                c[3].start()
                newer.put_surely("/after", "x")
                c.read_everywhere({"/before": "x", "/after": "x"})
