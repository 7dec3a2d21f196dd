"""raftexample-dump beside a node: what it prints of a directory in use, of a
damaged one and of none, with what status, and that it leaves all as it was."""

import glob
import gzip
import json
import os
import subprocess
import tempfile
import unittest

from cluster import BINARY, ROOT, Cluster, KeepAlive

DUMP = os.path.join(os.path.dirname(BINARY), "raftexample-dump")


def dump(*args, **kw):
    return subprocess.run([DUMP] + list(args), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=60, **kw)


def everything(directory):
    """Names, sizes, times and bytes of all files below."""
    found = {}
    for root, dirs, files in os.walk(directory):
        for name in dirs + files:
            path = os.path.join(root, name)
            st = os.stat(path)
            content = open(path, "rb").read() if name in files else None
            found[path] = (st.st_mode, st.st_size, st.st_mtime_ns, content)
    return found


class Dump(unittest.TestCase):
    def lines(self, *args, status=0):
        r = dump("--json", *args)
        self.assertEqual(r.returncode, status, r.stderr)
        return [json.loads(l) for l in r.stdout.decode().splitlines()]

    def test_directory_of_a_running_node_and_after_kill9(self):
        with Cluster(1, {"snapshot_count": 20}) as c:
            with KeepAlive(c[1]) as k:
                for i in range(50):
                    self.assertEqual(k.put("/k%d" % i, b"v\xff%d" % i).status, 204)
            c[1].wait_snapshots()
            for _ in range(2):
                lines = self.lines(c.data)
                puts = [l for l in lines if l["kind"] == "entry" and l["type"] == "put"]
                self.assertEqual([l["key"] for l in puts],
                                 ["/k%d" % i for i in range(50)])
                self.assertEqual([bytes.fromhex(l["value_hex"]) for l in puts],
                                 [b"v\xff%d" % i for i in range(50)])
                snaps = [l for l in lines if l["kind"] == "snapshot"]
                self.assertTrue(snaps)
                self.assertEqual(snaps[-1]["members"], [{"id": 1, "url": c[1].url}])
                self.assertEqual(lines[-1]["kind"], "start")
                self.assertEqual(lines[-1]["index"], snaps[-1]["index"])
                if c[1].is_running():
                    c[1].kill()
            before = everything(c.data)
            self.assertEqual(dump(c.data).returncode, 0)
            self.assertEqual(dump(c[1].wal_dir).returncode, 0)
            self.assertEqual(everything(c.data), before)

    def test_damage_has_a_line_and_status_1(self):
        with Cluster(1) as c:
            for i in range(5):
                self.assertEqual(c[1].put("/k%d" % i, "v").status, 204)
            c[1].kill()
            entries = [l for l in self.lines(c.data) if l["kind"] == "record"
                       and l.get("entry", {}).get("key") == "/k2"]
            path = os.path.join(c[1].wal_dir, "0" * 16 + "-" + "0" * 16 + ".wal")
            with open(path, "r+b") as f:
                f.seek(entries[0]["offset"] + 30)
                byte = f.read(1)[0]
                f.seek(entries[0]["offset"] + 30)
                f.write(bytes([byte ^ 1]))
            before = everything(c.data)
            lines = self.lines(c.data, status=1)
            ends = [l for l in lines if l["kind"] == "end"]
            self.assertEqual([(e["state"], e["offset"]) for e in ends],
                             [("damaged", entries[0]["offset"])])
            r = dump(c.data)
            self.assertEqual(r.returncode, 1)
            self.assertIn(b"STOPS HERE", r.stdout)
            self.assertIn(os.path.basename(path).encode(), r.stderr)
            self.assertEqual(everything(c.data), before)
            # The daemon refuses it, in the same words.
            c[1].start(wait=False)
            self.assertEqual(c[1].wait_exit(), 1)
            self.assertTrue(c[1].said(ends[0]["why"].split(": ", 1)[1]), c[1].log())

    def test_damaged_logs_of_the_go_program(self):
        shared = os.environ.get("RAFTEXAMPLE_SHARED", os.path.join(ROOT, "..", "shared"))
        cases = sorted(glob.glob(os.path.join(shared, "spec/samples/wal-cases/*/")))
        if not cases:
            raise unittest.SkipTest("there are no samples in %s" % shared)
        seen = set()
        for case in cases:
            with self.subTest(case), tempfile.TemporaryDirectory() as copy:
                wal = os.path.join(copy, "raftexample-1")
                os.mkdir(wal)
                for path in glob.glob(case + "**/*.gz", recursive=True):
                    with gzip.open(path) as f:
                        name = os.path.basename(path)[:-3]
                        with open(os.path.join(wal, name), "wb") as to:
                            to.write(f.read())
                before = everything(copy)
                r = dump("--json", wal)
                self.assertIn(r.returncode, (0, 1), r.stderr)
                lines = [json.loads(l) for l in r.stdout.splitlines()]
                ends = [l["state"] for l in lines if l["kind"] == "end"]
                self.assertEqual(len(ends), 1)
                seen.update(ends)
                self.assertEqual(ends[0] == "damaged", r.returncode == 1)
                self.assertEqual(everything(copy), before)
        self.assertEqual(seen, {"clean", "torn", "damaged"})

    def test_usage_and_output(self):
        for args, status in (((), 2), (("--nope", "."), 2), ((".", "."), 2),
                             (("--help",), 0), (("--version",), 0),
                             (("/nonexistent",), 1)):
            r = dump(*args)
            self.assertEqual(r.returncode, status, args)
            self.assertEqual(bool(r.stderr), status != 0, args)
        with Cluster(1) as c:
            c[1].put("/k", "v")
            with open("/dev/full", "w") as full:
                r = subprocess.run([DUMP, c.data], stdout=full, stderr=subprocess.PIPE)
            self.assertEqual(r.returncode, 1)
            self.assertIn(b"could not be written", r.stderr)
