"""Data directories change hands: one program stops, the other one starts on
what it left, with no other change. Before each start, etcd's own packages and
raftexample-dump must find the same in the directory.

There are fewer than 10,000 entries: a Go node that starts with a snapshot never
opens its client port (deficiency 2)."""

import glob
import os
import unittest

from interop import MixedCluster, check_directory, dump


class Swaps(unittest.TestCase):
    def swap(self, node, kill):
        """The other program on this node's directory; how many lines the two
        dumps agreed on."""
        node.kill() if kill else node.stop()
        n = check_directory(node.wal_dir, node.snap_dir)
        node.swap()
        return n

    def test_ten_swaps_in_a_running_cluster(self):
        with MixedCluster(("c", "go", "go")) as c:
            c.wait_leader()
            pairs = {"/fixed": "x", "/empty": "", "/utf8": "ключ".encode()}
            for key, value in pairs.items():
                c[1].put_surely(key, value)
            for i in range(10):
                node = c.nodes[i % 3]
                n = self.swap(node, kill=i % 2 == 0)
                self.assertGreater(n, len(pairs))
                others = [m for m in c.nodes if m is not node]
                key = "/while-%d-is-away" % i
                others[0].put_surely(key, "x")
                pairs[key] = "x"
                node.start()
                node.put_surely("/through-swapped-%d" % i, "v%d" % i)
                pairs["/through-swapped-%d" % i] = "v%d" % i
                c.check_all(pairs)
            self.assertEqual([n.kind for n in c.nodes], ["c", "c", "c"])

    def test_whole_cluster_at_once(self):
        """All of ours to all of the Go program's and back, over a change of the
        segment on the way: 64 MB."""
        with MixedCluster(("c", "c", "c")) as c:
            c.wait_leader()
            pairs = {}
            for round in range(4):
                for node in c.nodes:
                    for i in range(10):
                        key = "/%d/%d/%d" % (round, node.id, i)
                        node.put_surely(key, key * 3)
                        pairs[key] = key * 3
                if round in (0, 1):
                    # Round 0: a segment begun and filled by ours, continued by
                    # the Go program, which cuts it in round 1.
                    big = b"%d" % round * (1 << 20)
                    for i in range(34):
                        c.nodes[0].put_surely("/big", big)
                    pairs["/big"] = big
                c.check_all(pairs)
                for i, node in enumerate(c.nodes):
                    node.kill() if i == round % 3 else node.stop()
                # One is enough: they are long, and equal but for elections.
                node = c.nodes[round % 3]
                if round > 1:
                    self.assertEqual(len(glob.glob(node.wal_dir + "/*.wal")), 2)
                self.assertGreater(check_directory(node.wal_dir, node.snap_dir), 30)
                for node in c.nodes:
                    node.swap()
                c.start()
                c.check_all(pairs)


class Damage(unittest.TestCase):
    def test_damage_where_a_go_node_went_on_is_refused(self):
        """A Go node writes no markers. What it put behind our last one is many
        groups, not one: a hole in it is no torn write."""
        with MixedCluster(("c",)) as c:
            node = c[1]
            for kind in ("c", "go"):
                for i in range(20):
                    node.put_surely("/%s%d" % (kind, i), "x")
                node.kill()
                if kind == "c":
                    node.swap()
                    node.start()
            records = [l for l in dump(node.wal_dir) if l["kind"] == "record"]
            at = [l["offset"] for l in records
                  if l.get("entry", {}).get("key") == "/go5"][0]
            path = os.path.join(node.wal_dir, "0" * 16 + "-" + "0" * 16 + ".wal")
            with open(path, "r+b") as f:
                f.seek(at)
                kept = f.read(8)
                f.seek(at)
                f.write(bytes(8))
            node.swap()
            node.start(wait=False)
            self.assertEqual(node.wait_exit(), 1)
            self.assertTrue(node.said("offset %d" % at), node.log())
            with open(path, "r+b") as f:
                f.seek(at)
                f.write(kept)
            node.start()
            c.check_all({"/%s%d" % (kind, i): "x"
                         for kind in ("c", "go") for i in range(20)})
