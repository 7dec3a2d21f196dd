"""Snapshots between real nodes: a node that was away for long comes back
through one, and the disk holds a bounded part of history.

DISK_WRITES is the number of writes of the disk test (20000).
"""

import os
import unittest

from cluster import Cluster, KeepAlive, wait_for

DISK_WRITES = int(os.environ.get("DISK_WRITES", "20000"))


def write(node, first, n, n_keys, size=0):
    with KeepAlive(node) as k:
        return k.put_many(("/k%d" % (i % n_keys), (b"%d " % i).ljust(size, b"."))
                          for i in range(first, first + n))


def disk_bytes(*dirs):
    total = 0
    for d in dirs:
        for name in os.listdir(d):
            total += os.stat(os.path.join(d, name)).st_blocks * 512
    return total


class Snapshot(unittest.TestCase):
    def test_node_comes_back_through_a_snapshot(self):
        with Cluster(3, {"snapshot_count": 100,
                         "snapshot_catchup_entries": 50}) as c:
            lead = c.wait_leader()
            gone = c.followers()[0]
            write(lead, 0, 50, 10)
            before = gone.applied()
            gone.kill()
            self.assertEqual(write(lead, 1000, 3000, 100), 3000)
            wait_for(lambda: lead.status()["first_index"] > before + 100,
                     "the log to be compacted")
            gone.start()
            c.wait_caught_up()
            wait_for(lambda: gone.status()["snapshot_index"] > before, "its marker")
            for i in range(100):
                want = b"%d " % (3900 + i)
                self.assertEqual(gone.get_local("/k%d" % i).body, want)
            self.assertTrue(os.listdir(gone.snap_dir))

            # And it still knows everybody after a restart on its own disk.
            gone.stop()
            gone.start()
            c.wait_caught_up()
            self.assertEqual([m["url"] for m in gone.status()["members"]],
                             [n.url for n in c.nodes])
            self.assertEqual(gone.put("/last", "x").status, 204)

    def test_joiner_comes_through_a_snapshot(self):
        with Cluster(3, {"snapshot_count": 100,
                         "snapshot_catchup_entries": 10}) as c:
            self.assertEqual(write(c[1], 0, 1000, 100), 1000)
            four = c.add_node(4)
            self.assertEqual(c[2].http("POST", "/4", four.url).status, 204)
            four.start()
            c.wait_caught_up()
            self.assertEqual(four.get("/k99").body, b"999 ")
            # A member that started from a snapshot knows node 4's URL later.
            self.assertEqual(write(c[1], 1000, 500, 100), 500)
            for node in c.nodes:
                node.kill()
            c.start()
            self.assertEqual(four.get("/k99").body, b"1499 ")
            self.assertEqual([m["id"] for m in c[1].status()["members"]],
                             [1, 2, 3, 4])

    def test_disk_use_and_restart(self):
        with Cluster(1, {"snapshot_count": 10000}) as c:
            done = 0
            while done < DISK_WRITES:
                n = min(10000, DISK_WRITES - done)
                self.assertEqual(write(c[1], done, n, 1000, 100), n)
                done += n
                c[1].wait_snapshots()
                used = disk_bytes(c[1].wal_dir, c[1].snap_dir)
                self.assertLess(used, 400e6)
            c[1].stop()
            c[1].start()
            wait_for(lambda: c[1].get("/k999").status == 200, "the data")
            print("    %d writes, %.0f MB on disk" % (DISK_WRITES, used / 1e6))
