"""kill -9 under load, again and again: what was answered 204 is there.

KILL9_CYCLES is the number of rounds (5): one node, sometimes all at once.
"""

import os
import random
import unittest

from cluster import Cluster, Writer, wait_for

CYCLES = int(os.environ.get("KILL9_CYCLES", "5"))


class Kill9(unittest.TestCase):
    def test_no_acknowledged_write_is_lost(self):
        seed = int(os.environ.get("KILL9_SEED", random.randrange(1 << 30)))
        rng = random.Random(seed)
        with Cluster(3, {"request_timeout": "2s", "snapshot_count": 500,
                         "snapshot_catchup_entries": 100}) as c:
            writers = [Writer(c, "w%d" % i) for i in range(3)]
            for w in writers:
                w.start()

            def acked():
                return sum(len(w.acked) for w in writers)

            def progress(n):
                goal = acked() + n
                wait_for(lambda: acked() >= goal, "%d more writes" % n, 120)

            for cycle in range(CYCLES):
                progress(30)
                if rng.randrange(5) == 0:
                    victims = list(c.nodes)
                elif rng.randrange(2) == 0:
                    victims = [c.leader() or c.nodes[0]]
                else:
                    victims = [rng.choice(c.nodes)]
                for node in victims:
                    node.kill()
                if len(victims) == 1:
                    progress(10)  # the others go on
                for node in victims:
                    node.start()
            progress(30)
            for w in writers:
                w.stop()
            c.wait_leader()
            for w in writers:
                try:
                    w.check(c.nodes)
                except AssertionError as e:
                    raise AssertionError("KILL9_SEED=%d: %s" % (seed, e))
            print("    %d cycles, %d writes acknowledged, %d refused, %d unknown" % (
                CYCLES, acked(), sum(len(w.refused) for w in writers),
                sum(w.unknown for w in writers)))
