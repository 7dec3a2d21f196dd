"""What a node cannot do when it is cut off: ours says so, a Go node does not
(deficiency 11). These are the facts that the README tells."""

import unittest

from interop import MixedCluster, wait_for


class Alone(unittest.TestCase):
    def test_node_without_a_majority(self):
        with MixedCluster(("c", "go", "go"), {"request_timeout": "1s"}) as c:
            c[1].put_surely("/k", "old")
            c.read_everywhere({"/k": "old"})
            # Ours, when the Go nodes are away.
            c[2].pause()
            c[3].pause()
            # 504 before it has noticed: that one may happen yet.
            wait_for(lambda: c[1].put("/unknown", "x").status == 503, "a refusal")
            self.assertIn(c[1].get("/k").status, (503, 504))
            r = c[1].get_local("/k")  # on request only
            self.assertEqual((r.status, r.body), (200, b"old"))
            c[2].resume()
            c[3].resume()
            c.settle()
            # A Go node, when the others are away: as if nothing were wrong.
            c[1].pause()
            c[2].pause()
            r = c[3].get("/k")
            self.assertEqual((r.status, r.body), (200, b"old"))
            self.assertEqual(c[3].put("/promised", "x").status, 204)
            c[1].resume()
            c[2].resume()
            c.settle()
            c.read_everywhere({"/k": "old"})

    def test_reads_after_an_answered_write(self):
        """A write that ours has answered is read from every node of ours at
        once, from a Go node when it gets there."""
        stale = {}
        with MixedCluster(("c", "go", "c")) as c:
            c.wait_leader()
            for i in range(100):
                value = b"%d" % i
                c[1].put_surely("/k", value)
                for node in (c[3], c[2]):
                    fresh = node.get("/k").body == value
                    self.assertTrue(fresh or node.kind == "go")
                    stale[node.kind] = stale.get(node.kind, 0) + (not fresh)
            print("    after 100 answered writes: %d stale reads of a Go node, %d of "
                  "ours" % (stale["go"], stale["c"]))
