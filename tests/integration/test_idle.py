"""Nodes stay awake while requests come one after the other, and go to sleep when
the last one is answered."""

import time
import unittest

from cluster import Cluster, KeepAlive

REST_S = 2


class Idle(unittest.TestCase):
    def test_nodes_sleep_after_load(self):
        with Cluster(3) as c:
            with KeepAlive(c.wait_leader()) as k:
                for i in range(300):
                    self.assertEqual(k.put("/k", "%d" % i).status, 204)
                    self.assertEqual(k.get("/k").status, 200)
            before = [n.cpu_s() for n in c.nodes]
            time.sleep(REST_S)  # the length of the rest, not a wait for anything
            for node, cpu_s in zip(c.nodes, before):
                # One that does not sleep takes all of it, or what others leave.
                self.assertLess(node.cpu_s() - cpu_s, REST_S / 10)


if __name__ == "__main__":
    unittest.main()
