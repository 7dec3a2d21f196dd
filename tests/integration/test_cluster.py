"""scripts/cluster as a newcomer runs it: three nodes up, one Ctrl-C, all gone."""

import os
import re
import signal
import socket
import subprocess
import tempfile
import unittest

from cluster import (BINARY, PATIENCE, PROCFILE_PORTS, ROOT, Closed, http, is_free,
                     need_ports, wait_for)

# Without those of the README's fourth node, which are in the range of outgoing
# connections: anybody's may have one of them.
PORTS = [p for p in PROCFILE_PORTS if p < 40000]
CLIENT_PORTS = [p for p in PORTS if p % 10000 == 2380]


def ask(port, method, target, body=None):
    """The answer, or None as long as there is none."""
    try:
        r = http(port, method, target, body)
    except (OSError, Closed):
        return None
    return None if r.status in (503, 504) else r


class ClusterScript(unittest.TestCase):
    def setUp(self):
        need_ports(self, PORTS)
        if BINARY != os.path.join(ROOT, "build", "raftexample"):
            self.skipTest("the script runs what make builds, not %s" % BINARY)
        self.dir = tempfile.TemporaryDirectory(prefix="raftexample-cluster-")
        self.out = os.path.join(self.dir.name, "out")
        self.proc = None

    def tearDown(self):
        if not hasattr(self, "dir"):
            return
        if self.proc is not None and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            self.proc.wait(30 * PATIENCE)
        self.dir.cleanup()

    def start(self, **env):
        with open(self.out, "wb") as out:
            self.proc = subprocess.Popen(
                [os.path.join(ROOT, "scripts", "cluster")], cwd=self.dir.name,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env=dict(os.environ, RUNNER="builtin",
                         RAFTEXAMPLE_DATA_DIR=os.path.join(self.dir.name, "data"),
                         **env))

    def said(self):
        with open(self.out, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_for(self, condition, what):
        def alive():
            self.assertIsNone(self.proc.poll(), self.said())
            return condition()
        return wait_for(alive, what, 300)

    def put_then_get(self, key, value):
        r = self.wait_for(lambda: ask(CLIENT_PORTS[0], "PUT", key, value), "a PUT")
        self.assertEqual(r.status, 204, r)
        for port in CLIENT_PORTS:
            r = self.wait_for(lambda: ask(port, "GET", key), "a GET")
            self.assertEqual((r.status, r.body), (200, value), port)

    def stop(self, number):
        self.proc.send_signal(number)
        self.assertEqual(self.proc.wait(60 * PATIENCE), 0, self.said())
        for port in PORTS:
            self.assertTrue(is_free(port), "port %d is still taken" % port)

    def test_runs_three_nodes_and_stops_them(self):
        self.start()
        self.put_then_get("/my-key", b"hello")
        self.stop(signal.SIGINT)
        # What was written is there when it runs again.
        self.start()
        for port in CLIENT_PORTS:
            r = self.wait_for(lambda: ask(port, "GET", "/my-key"), "a GET")
            self.assertEqual((r.status, r.body), (200, b"hello"), port)
        self.stop(signal.SIGTERM)

    def test_says_which_node_ended_and_goes_on(self):
        self.start()
        self.put_then_get("/a", b"1")
        # The process that serves the second client port, by its command line.
        victim = [int(d) for d in os.listdir("/proc") if d.isdigit() and
                  self.command_of(d).find("--port %d" % CLIENT_PORTS[1]) >= 0]
        self.assertEqual(len(victim), 1)
        os.kill(victim[0], signal.SIGKILL)
        self.wait_for(lambda: "raftexample2 ended" in self.said(), "the line")
        again = re.findall(r"^scripts/cluster: +(\./raftexample --id 2 .*)$",
                           self.said(), re.M)
        self.assertEqual(len(again), 1, self.said())
        r = self.wait_for(lambda: ask(CLIENT_PORTS[0], "PUT", "/b", b"2"), "a PUT")
        self.assertEqual(r.status, 204, r)
        self.stop(signal.SIGINT)

    def command_of(self, pid):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                return f.read().replace(b"\0", b" ").decode("latin-1")
        except OSError:
            return ""

    def test_busy_port_is_a_clear_line(self):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", CLIENT_PORTS[2]))
            s.listen()
            self.start()
            self.assertEqual(self.proc.wait(300 * PATIENCE), 1, self.said())
        self.assertIn("port %d of raftexample3 is in use" % CLIENT_PORTS[2],
                      self.said())

    def test_unknown_runner_is_a_clear_line(self):
        with open(self.out, "wb") as out:
            self.proc = subprocess.Popen(
                [os.path.join(ROOT, "scripts", "cluster")], stdout=out, stderr=out,
                stdin=subprocess.DEVNULL, env=dict(os.environ, RUNNER="nothing"))
        self.assertEqual(self.proc.wait(300 * PATIENCE), 2)
        self.assertIn("RUNNER=nothing is not a runner", self.said())
