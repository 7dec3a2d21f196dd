"""The README's tour: as a story on free ports, and its commands as printed."""

import os
import re
import shlex
import signal
import subprocess
import tempfile
import unittest

from cluster import (BINARY, PATIENCE, PROCFILE_PORTS, ROOT, Cluster, KeepAlive,
                     need_ports, wait_for)


class Tour(unittest.TestCase):
    def test_put_is_read_at_once_on_every_node(self):
        with Cluster(3) as c:
            for i in range(50):
                writer = c.nodes[i % 3]
                value = b"value %d" % i
                self.assertEqual(writer.put("/key", value).status, 204)
                for node in c.nodes:
                    r = node.get("/key")
                    self.assertEqual((r.status, r.body), (200, value))

    def test_member_joins_and_leaves(self):
        with Cluster(3) as c:
            for i in range(20):
                self.assertEqual(c[1].put("/k%d" % i, "v%d" % i).status, 204)
            four = c.add_node(4)
            self.assertEqual(c[1].http("POST", "/4", four.url).status, 204)
            four.start()
            for i in range(20):
                wait_for(lambda: four.get("/k%d" % i).body == b"v%d" % i,
                         "node 4 to have the data")
            self.assertEqual(four.put("/from-four", "4").status, 204)
            self.assertEqual(c[2].get("/from-four").body, b"4")
            members = [m["id"] for m in four.status()["members"]]
            self.assertEqual(members, [1, 2, 3, 4])

            self.assertEqual(c[2].http("DELETE", "/4").status, 204)
            self.assertEqual(four.wait_exit(), 0)
            self.assertTrue(four.said("removed"), four.log())
            self.assertEqual(c[3].put("/after", "x").status, 204)

            # Started again it says so and disturbs nobody.
            term = c.wait_leader().status()["term"]
            four.start(wait=False)
            four.wait_exit()
            self.assertTrue(four.said("removed"), four.log())
            self.assertEqual(c.wait_leader().status()["term"], term)

    def test_removed_leader_leaves(self):
        with Cluster(3) as c:
            lead = c.wait_leader()
            others = [n for n in c.nodes if n is not lead]
            r = lead.http("DELETE", "/%d" % lead.id)
            self.assertEqual(r.status, 204)
            self.assertEqual(lead.wait_exit(), 0)
            wait_for(lambda: others[0].put("/k", "v").status == 204,
                     "the others to go on")
            self.assertEqual(others[1].get("/k").body, b"v")

    def test_stopped_node_catches_up(self):
        for how in ("stop", "kill"):
            with self.subTest(how), Cluster(3) as c:
                self.assertEqual(c[1].put("/a", "1").status, 204)
                lead = c.wait_leader()
                gone = c.followers()[0]
                getattr(gone, how)()
                for i in range(200):
                    self.assertEqual(lead.put("/k%d" % (i % 20), "%d" % i).status, 204)
                gone.start()
                wait_for(lambda: gone.get("/k19").body == b"199", "the last write")
                c.wait_caught_up()
                for i in range(180, 200):
                    r = gone.get_local("/k%d" % (i % 20))
                    self.assertEqual(r.body, b"%d" % i)

    def test_stop_and_start_all(self):
        with Cluster(3) as c:
            with KeepAlive(c[1]) as k:
                self.assertEqual(k.put_many(
                    ("/k%d" % i, b"v%d" % i) for i in range(300)), 300)
            for node in c.nodes:
                node.signal(signal.SIGTERM)
            for node in c.nodes:
                self.assertEqual(node.wait_exit(), 0)
            c.start()
            for node in c.nodes:
                with KeepAlive(node) as k:
                    for i in range(300):
                        self.assertEqual(k.get("/k%d" % i).body, b"v%d" % i)

    def test_binary_values_survive_everything(self):
        """Every byte, empty values and odd keys, through log and snapshot."""
        values = {"/all": bytes(range(256)), "/empty": b"",
                  "/crlf": b"\r\n" * 5000, "/a?b=c&d": b"query",
                  "/%00": b"percent", "//": b"slashes", "/../x": b"dots",
                  "/\xff\xfe": b"not text", "/" + "k" * 8000: b"long key",
                  "/big": os.urandom(1024 * 1024)}
        with Cluster(3, {"snapshot_count": 5, "snapshot_catchup_entries": 5}) as c:
            def check():
                for node in c.nodes:
                    for key, value in values.items():
                        r = node.get(key)
                        self.assertEqual(r.status, 200, (key[:20], r))
                        self.assertEqual(r.body, value, key[:20])
                        self.assertEqual(r.headers.get("content-type"),
                                         "application/octet-stream")
                        r = node.http("HEAD", key)
                        self.assertEqual(int(r.headers["content-length"]), len(value))
            for key, value in values.items():
                self.assertEqual(c[1].put(key, value).status, 204)
            check()
            for node in c.nodes:
                node.kill()
            c.start()
            check()


class Readme(unittest.TestCase):
    """The lines of the README's shell blocks, in order, with the nodes of the
    Procfile running in a directory of their own."""

    def setUp(self):
        self.procs = []
        need_ports(self, PROCFILE_PORTS)
        self.dir = tempfile.TemporaryDirectory(prefix="raftexample-readme-")
        os.symlink(BINARY, os.path.join(self.dir.name, "raftexample"))

    def tearDown(self):
        for p in self.procs:
            if p.poll() is None:
                p.terminate()
                p.wait(20 * PATIENCE)
        if hasattr(self, "dir"):
            self.dir.cleanup()

    def start(self, command):
        with open(self.log(len(self.procs)), "wb") as log:
            self.procs.append(subprocess.Popen(
                shlex.split(command), cwd=self.dir.name,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def log(self, i):
        return os.path.join(self.dir.name, "node%d.log" % (i + 1))

    def said(self, i):
        with open(self.log(i)) as f:
            return f.read()

    def curl(self, command):
        """Run it until it gets an answer that is no 5xx."""
        def answer():
            p = subprocess.run(command + " -sS --max-time 20", shell=True,
                               cwd=self.dir.name, capture_output=True)
            out = p.stdout.decode("latin-1")
            if p.returncode != 0 or re.match(r"HTTP/1.1 5|no leader", out):
                return None
            return out or " "
        return wait_for(answer, command).strip()

    def test_commands_as_printed(self):
        try:
            self.follow()
        except AssertionError as e:
            logs = ["--- node %d\n%s" % (i + 1, self.said(i)[-4000:])
                    for i in range(len(self.procs))]
            raise AssertionError("%s\n%s" % (e, "\n".join(logs)))

    def follow(self):
        with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
            blocks = re.findall(r"```sh\n(.*?)```", f.read(), re.S)
        lines = [l for b in blocks for l in b.splitlines() if l.strip()]
        with open(os.path.join(ROOT, "Procfile")) as f:
            nodes = [l.split(":", 1)[1].strip() for l in f if ":" in l]
        self.assertEqual(len(nodes), 3)
        for command in nodes:
            self.start(command)
        ran = 0
        for line in lines:
            command, _, comment = line.partition("#")
            command, comment = command.strip(), comment.strip()
            want = comment.split(":")[0]
            if command.startswith("curl"):
                if "42380" in command:
                    out = wait_for(lambda: "hello" in self.curl(command) and "hello",
                                   command)
                else:
                    out = self.curl(command)
                if want.isdigit():
                    self.assertIn("HTTP/1.1 %s" % want, out, command)
                elif want == "hello":
                    self.assertEqual(out, want, command)
                elif "DELETE" in command or "POST" in command:
                    self.assertIn("HTTP/1.1 204", out, command)
                elif re.search(r":\d+/(health|status|members|version)", command):
                    self.assertTrue(out.startswith(("{", "[")), (command, out))
                ran += 1
            elif command.startswith("./raftexample --id"):
                self.start(command)
                ran += 1
        self.assertGreaterEqual(ran, 8, "the README has lost its tour")
        # Node 4 was deleted: it says so and ends by itself.
        self.assertEqual(self.procs[3].wait(30 * PATIENCE), 0)
        self.assertIn("removed", self.said(3))
