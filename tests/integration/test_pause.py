"""A process that stood still is not one that nobody talked to: what came in
meanwhile is read first, and all of the gap is one tick."""

import time
import unittest

from cluster import Cluster, wait_for

ELECTION_TICKS = 100
TICK_MS = 20
# Longer than any election timeout, which is below twice the least.
GAP_S = 2.5 * ELECTION_TICKS * TICK_MS / 1000


class Pause(unittest.TestCase):
    def test_follower_back_from_a_pause_does_not_campaign(self):
        with Cluster(3, {"election_ticks": ELECTION_TICKS, "tick_ms": TICK_MS}) as c:
            leader = c.wait_leader()
            self.assertEqual(leader.put("/k", "old").status, 204)
            follower = next(n for n in c.nodes if n is not leader)
            other = next(n for n in c.nodes if n not in (leader, follower))
            before = follower.status()["term"]
            campaigns = len(follower.said("candidate"))

            follower.pause()
            time.sleep(GAP_S)  # the length of the fault, not a wait for anything
            self.assertEqual(other.put("/k", "new").status, 204)
            follower.resume()

            self.assertEqual(follower.get("/k").body, b"new")
            wait_for(lambda: follower.get_local("/k").body == b"new",
                     "the follower to catch up")
            self.assertEqual(len(follower.said("candidate")), campaigns)
            self.assertEqual(follower.status()["term"], before)
            self.assertEqual(c.wait_leader(), leader)


if __name__ == "__main__":
    unittest.main()
