"""Members of one kind come to a cluster of the other, and go again."""

import unittest

from interop import MixedCluster, wait_for


class Members(unittest.TestCase):
    def change(self, node, method, target, body=None):
        """Our 204 means applied; a Go node's that it was asked, so the callers
        wait for what follows."""
        r = wait_for(lambda: (lambda r: r.status != 503 and r)(
            node.http(method, target, body)), "an answer")
        self.assertEqual(r.status, 204, r)

    def gone(self, node, words):
        """A Go node that hears of its removal from another one, by a 410, may
        end with that as an error before it has applied it."""
        status = node.wait_exit()
        if node.kind == "go" and node.said("has been permanently removed"):
            self.assertIn(status, (0, 1), node.log()[-2000:])
        else:
            self.assertEqual(status, 0, node.log()[-2000:])
        self.assertTrue(node.said(words), node.log()[-2000:])

    def test_node_of_ours_joins_go_nodes(self):
        with MixedCluster(("go", "go", "go")) as c:
            pairs = {"/k%d" % i: "v%d" % i for i in range(50)}
            c[1].put_surely("/first", "x")
            for i, (key, value) in enumerate(pairs.items()):
                c[i % 3 + 1].put_surely(key, value)
            joiner = c.add_node(4, "c")
            self.change(c[1], "POST", "/4", joiner.url)
            joiner.start()
            c.read_everywhere(pairs)
            joiner.put_surely("/through-4", "x")
            pairs["/through-4"] = "x"
            c.read_everywhere(pairs)
            status = joiner.status()
            self.assertEqual([m["id"] for m in status["members"]], [1, 2, 3, 4])
            # A Go node is removed through ours, then ours through a Go node.
            self.change(joiner, "DELETE", "/3")
            self.gone(c[3], "removed from the cluster")
            joiner.put_surely("/after", "x")
            self.change(c[1], "DELETE", "/4")
            self.gone(joiner, "removed")
            c[2].put_surely("/last", "x")
            c.read_everywhere(dict(pairs, **{"/after": "x", "/last": "x"}))

    def test_go_node_joins_ours(self):
        with MixedCluster(("c", "c", "c")) as c:
            pairs = {"/k%d" % i: "v%d" % i for i in range(50)}
            c.wait_leader()
            for i, (key, value) in enumerate(pairs.items()):
                c[i % 3 + 1].put_surely(key, value)
            joiner = c.add_node(4, "go")
            self.change(c[1], "POST", "/4", joiner.url)
            joiner.start()
            c.read_everywhere(pairs)
            joiner.put_surely("/through-4", "x")
            pairs["/through-4"] = "x"
            c.read_everywhere(pairs)
            # Again through a node of the other kind. A Go node kills itself
            # and all others of its kind if the id is unknown (deficiency 10):
            # ours asks before it proposes.
            self.assertEqual(c[1].http("DELETE", "/9").status, 404)
            c.read_everywhere(pairs)
            self.change(joiner, "DELETE", "/3")
            self.gone(c[3], "removed")
            self.change(c[2], "DELETE", "/4")
            self.gone(joiner, "removed from the cluster")
            c[1].put_surely("/last", "x")
            c.read_everywhere(dict(pairs, **{"/last": "x"}))

    def test_bad_requests_through_ours_do_not_reach_go_nodes(self):
        """Deficiency 9: a bad URL kills every Go node, for good. Ours refuses
        it, so the Go nodes beside it live."""
        with MixedCluster(("c", "go", "go")) as c:
            c.wait_leader()
            for target, body, status in (
                    ("/4", "nonsense", 400), ("/4", "", 400),
                    ("/4", "http://127.0.0.1:1/path", 400),
                    ("/2", "http://127.0.0.1:1", 409), ("/x", c[1].url, 400)):
                r = c[1].http("POST", target, body)
                self.assertEqual(r.status, status, (target, body, r))
            self.assertEqual(c[1].http("DELETE", "/7").status, 404)
            c[1].put_surely("/k", "v")
            c.read_everywhere({"/k": "v"})
            self.assertTrue(all(n.is_running() for n in c.nodes))

    def test_bad_requests_to_a_go_leader_kill_it_alone(self):
        """Deficiencies 9 and 10: it proposes them, and dies of them, at every
        start. For ours they are entries without effect."""
        for method, target, body in (("DELETE", "/9", None), ("POST", "/9", "nonsense")):
            with self.subTest(method), MixedCluster(("c", "go", "c")) as c:
                go = c.move_leader(lambda n: n.kind == "go")
                go.put_surely("/k", "v")
                go.may_panic.append("")
                self.assertEqual(go.http(method, target, body).status, 204)
                self.assertNotEqual(go.wait_exit(), 0)
                for node in c.ours():
                    node.put_surely("/after-%d" % node.id, "x")
                    wait_for(lambda: [l for l in node.log().splitlines()
                                      if " warn " in l and "member" in l], "a warning")
                c.read_everywhere({"/k": "v", "/after-1": "x", "/after-3": "x"})
                # Its directory is of use to ours.
                go.swap()
                go.start()
                c.read_everywhere({"/k": "v", "/after-1": "x", "/after-3": "x"})

    def test_leader_of_ours_refuses_a_bad_url_from_a_go_node(self):
        """So that the Go nodes live (deficiency 9)."""
        with MixedCluster(("c", "go", "c")) as c:
            lead = c.move_leader(lambda n: n.kind == "c")
            c.settle()
            self.assertEqual(c[2].http("POST", "/9", "nonsense").status, 204)
            wait_for(lambda: lead.said("proposal of member 2 refused"), "a warning")
            c[2].put_surely("/k", "v")
            c.read_everywhere({"/k": "v"})
            self.assertTrue(all(n.is_running() for n in c.nodes))
