"""The command line: flags, environment, exit statuses, and that a node which
cannot start says why in one line and leaves nothing behind."""

import os
import shutil
import socket
import subprocess
import tempfile
import unittest

from cluster import BINARY, Cluster, Node, free_port, wait_for


def run(*args, env=None, cwd=None):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RAFTEXAMPLE_")}
    return subprocess.run([BINARY] + list(args), capture_output=True, text=True,
                          timeout=60, env=dict(clean, **(env or {})), cwd=cwd,
                          stdin=subprocess.DEVNULL)


class Usage(unittest.TestCase):
    def test_help_and_version(self):
        for flag in ("--help", "-help"):
            p = run(flag)
            self.assertEqual(p.returncode, 0)
            self.assertLessEqual(len(p.stdout.splitlines()), 40)
            for name in ("id", "cluster", "port", "join", "host", "data-dir",
                         "snapshot-count", "snapshot-catchup-entries", "tick-ms",
                         "election-ticks", "heartbeat-ticks", "request-timeout",
                         "client-timeout", "max-value-size", "log-level",
                         "log-format", "version", "help"):
                self.assertIn("--" + name, p.stdout)
        p = run("--version")
        self.assertEqual(p.returncode, 0)
        self.assertRegex(p.stdout, r"^raftexample \d+\.\d+\.\d+\n$")

    def test_bad_flags(self):
        """Status 2 and one line that names the flag; nothing on disk."""
        rows = {
            ("--nonsense",): "nonsense",
            ("--id",): "id",
            ("--id", "0"): "id",
            ("--id", "2"): "id",
            ("--id", "x"): "id",
            ("--id", "-1"): "id",
            ("--id", ""): "id",
            ("--port", "0x"): "port",
            ("--port", "70000"): "port",
            ("--port=-1",): "port",
            ("--cluster", ""): "cluster",
            ("--cluster", "nonsense"): "cluster",
            ("--cluster", "http://127.0.0.1:1/x"): "cluster",
            ("--cluster", "http://127.0.0.1:1,"): "cluster",
            ("--cluster", "http://127.0.0.1:1,http://127.0.0.1:1"): "cluster",
            ("--tick-ms", "0"): "tick-ms",
            ("--election-ticks", "1"): "election-ticks",
            ("--heartbeat-ticks", "10"): "heartbeat-ticks",
            ("--request-timeout", "5"): "request-timeout",
            ("--request-timeout", "5 parsecs"): "request-timeout",
            ("--client-timeout", "-1s"): "client-timeout",
            ("--max-value-size", "1XB"): "max-value-size",
            ("--max-value-size", "1TiB"): "max-value-size",
            ("--snapshot-count", "many"): "snapshot-count",
            ("--log-level", "loud"): "log-level",
            ("--log-format", "xml"): "log-format",
            ("stray",): "stray",
        }
        for args, word in rows.items():
            with self.subTest(args), tempfile.TemporaryDirectory() as d:
                p = run(*args, cwd=d)
                self.assertEqual(p.returncode, 2, p.stderr)
                self.assertIn(word, p.stderr)
                self.assertEqual(len(p.stderr.splitlines()), 1, p.stderr)
                self.assertEqual(os.listdir(d), [])

    def test_bad_environment(self):
        with tempfile.TemporaryDirectory() as d:
            p = run(env={"RAFTEXAMPLE_SNAPSHOT_COUNT": "many"}, cwd=d)
            self.assertEqual(p.returncode, 2)
            self.assertIn("RAFTEXAMPLE_SNAPSHOT_COUNT", p.stderr)
            self.assertEqual(os.listdir(d), [])


class Start(unittest.TestCase):
    def test_forms_of_flags(self):
        """One dash or two, with = or without; the command line wins."""
        with Cluster(1, start=False) as c:
            node = c[1]
            port = node.port
            node.command = lambda **_: [
                BINARY, "-id=1", "--cluster=" + node.url, "-port", str(port),
                "-data-dir", c.data, "--tick-ms=20", "-join=false"]
            node.start(env={"RAFTEXAMPLE_PORT": str(free_port()),
                            "RAFTEXAMPLE_DATA_DIR": "/nonexistent"})
            wait_for(lambda: node.put("/k", "v").status == 204, "a write")

    def test_environment(self):
        with Cluster(1, start=False) as c:
            node = c[1]
            node.command = lambda **_: [BINARY]
            node.start(env={
                "RAFTEXAMPLE_ID": "1", "RAFTEXAMPLE_CLUSTER": node.url,
                "RAFTEXAMPLE_PORT": str(node.port), "RAFTEXAMPLE_DATA_DIR": c.data,
                "RAFTEXAMPLE_TICK_MS": "20", "RAFTEXAMPLE_MAX_VALUE_SIZE": "1KiB"})
            wait_for(lambda: node.put("/k", "v").status == 204, "a write")
            self.assertEqual(node.put("/k", "v" * 1025).status, 413)
            self.assertTrue(os.path.isdir(node.wal_dir))

    def test_log_levels_and_formats(self):
        import json
        with Cluster(1, {"log_level": "error"}) as c:
            self.assertEqual(c[1].log(), "")
        with Cluster(1, {"log_format": "json", "log_level": "debug"}) as c:
            c[1].put("/k", "v")
            lines = c[1].log().splitlines()
            self.assertTrue(lines)
            for line in lines:
                self.assertIn("level", json.loads(line))

    def test_host(self):
        with Cluster(1, {"host": "0.0.0.0"}) as c:
            self.assertEqual(c[1].put("/k", "v").status, 204)

    def test_modes_of_files(self):
        with Cluster(1, {"snapshot_count": 5}) as c:
            for i in range(20):
                self.assertEqual(c[1].put("/k", "v").status, 204)
            c[1].wait_snapshots()
            for d in (c[1].wal_dir, c[1].snap_dir):
                self.assertEqual(os.stat(d).st_mode & 0o777, 0o700)
                for name in os.listdir(d):
                    mode = os.stat(os.path.join(d, name)).st_mode & 0o777
                    self.assertEqual(mode, 0o600, name)

    def refused(self, node, *words, env=None):
        node.start(wait=False, env=env)
        self.assertEqual(node.wait_exit(), 1)
        errors = [l for l in node.log().splitlines() if " error " in l]
        self.assertEqual(len(errors), 1, node.log())
        for word in words:
            self.assertIn(word, errors[0])

    def test_ports_in_use(self):
        for which in ("port", "peer_port"):
            with self.subTest(which), Cluster(1, start=False) as c:
                with socket.socket() as s:
                    s.bind(("127.0.0.1", getattr(c[1], which)))
                    s.listen(1)
                    self.refused(c[1], str(getattr(c[1], which)))
                    self.assertEqual(os.listdir(c.data), [])

    def test_directory_locked_by_another_process(self):
        with Cluster(1) as c:
            first = c[1]
            second = Node(c, 1, free_port(), free_port())
            second.urls = [second.url]
            second.log_path += ".second"
            self.refused(second, "lock")
            self.assertEqual(first.put("/k", "v").status, 204)

    def test_directory_that_is_not_there(self):
        with Cluster(1, start=False) as c:
            os.rmdir(c.data)
            self.refused(c[1], c.data)
            self.assertFalse(os.path.exists(c.data))
            os.mkdir(c.data)

    def test_directory_that_cannot_be_written(self):
        with Cluster(1, start=False) as c:
            if os.getuid() == 0:
                if not shutil.which("setpriv"):
                    self.skipTest("root writes everywhere, and there is no setpriv")
                real = c[1].command
                c[1].command = lambda **f: ["setpriv", "--reuid=65534", "--regid=65534",
                                            "--clear-groups"] + real(**f)
                os.chmod(c.dir, 0o755)
                if subprocess.run(["setpriv", "--reuid=65534", "--regid=65534",
                                   "--clear-groups", BINARY, "--version"],
                                  capture_output=True).returncode != 0:
                    self.skipTest("user nobody cannot run the program")
            os.chmod(c.data, 0o555)
            self.refused(c[1], c.data)
            self.assertEqual(os.listdir(c.data), [])

    def test_file_in_place_of_a_directory(self):
        with Cluster(1, start=False) as c:
            with open(c[1].wal_dir, "w"):
                pass
            self.refused(c[1], c[1].wal_dir)

    def test_hardening(self):
        """The flags of the release build, read back from the program."""
        if not shutil.which("readelf"):
            self.skipTest("there is no readelf")
        with open(BINARY, "rb") as f:
            if b"__asan_init" in f.read():
                self.skipTest("an instrumented build")

        def readelf(flag):
            return subprocess.run(["readelf", flag, "-W", BINARY],
                                  capture_output=True, text=True).stdout
        segments = readelf("-l")
        self.assertIn("GNU_RELRO", segments)
        stack = [l for l in segments.splitlines() if "GNU_STACK" in l]
        self.assertNotIn("E", stack[0].split()[-2])
        dynamic = readelf("-d")
        self.assertRegex(dynamic, r"BIND_NOW|FLAGS_1.*NOW")
        self.assertRegex(dynamic, r"FLAGS_1.*PIE")
