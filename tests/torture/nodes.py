"""Nodes that can be tortured: each with a disk, a clock and links of its own.

A node is that of the integration tests; what is new is its control file (for
the shim), its own data directory, and a relay for each link to another node.
"""

import json
import mmap
import os
import struct
import subprocess
import sys
import threading

from cluster import ROOT, Closed, Cluster, Node, free_port, http, wait_for

SHIM = os.environ.get("TORTURE_SHIM", os.path.join(ROOT, "build", "tests", "shim.so"))
HERE = os.path.dirname(os.path.abspath(__file__))

ROUTES_MAX = 256


class Control:
    """The numbers of shim.c, struct control."""

    FIELDS = ("sync_errno", "write_errno", "sync_delay_us", "short_writes",
              "clock_percent", "wall_offset_s", "n_syncs", "n_failed")

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as f:
            f.truncate(4 * len(self.FIELDS) + 8 * ROUTES_MAX)
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 0)
        self.n_routes = 0

    def __setitem__(self, field, value):
        struct.pack_into("<i", self.map, 4 * self.FIELDS.index(field), value)

    def __getitem__(self, field):
        return struct.unpack_from("<i", self.map, 4 * self.FIELDS.index(field))[0]

    def route(self, port, to):
        at = 4 * len(self.FIELDS) + 8 * self.n_routes
        # A reader stops at a port that is 0: that comes last.
        struct.pack_into("<i", self.map, at + 4, to)
        struct.pack_into("<i", self.map, at, port)
        self.n_routes += 1

    def heal(self):
        for field in ("sync_errno", "write_errno", "sync_delay_us", "short_writes",
                      "wall_offset_s"):
            self[field] = 0


class TortureNode(Node):
    def __init__(self, cluster, node_id):
        super().__init__(cluster, node_id, free_port(), free_port())
        self.data = os.path.join(cluster.data, "disk%d" % node_id)
        os.mkdir(self.data)
        self.control = Control(os.path.join(cluster.dir, "control%d" % node_id))
        self.busy = False  # some fault has the process in hand
        self.removed = False

    @property
    def wal_dir(self):
        return os.path.join(self.data, "raftexample-%d" % self.id)

    def command(self, **flags):
        return super().command(**dict(flags, data_dir=self.data))

    def start(self, env=None, wait=False, **flags):
        env = {"LD_PRELOAD": SHIM, "TORTURE_CONTROL": self.control.path,
               "ASAN_OPTIONS": "verify_asan_link_order=0", **(env or {})}
        return super().start(env=env, wait=wait, **flags)


class Relay:
    """The process of relay.py."""

    def __init__(self):
        self.lock = threading.Lock()
        self.proc = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "relay.py")], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def tell(self, *words):
        with self.lock:
            self.proc.stdin.write(" ".join(map(str, words)) + "\n")
            self.proc.stdin.flush()
            assert self.proc.stdout.readline() == "ok\n", words

    def close(self):
        self.proc.stdin.close()
        self.proc.wait(30)


class TortureCluster(Cluster):
    def __init__(self, n=3, flags=None):
        super().__init__(0, flags, start=False)
        self.relay = Relay()
        for i in range(1, n + 1):
            self.new_node(i)
        urls = [node.url for node in self.nodes]
        for node in self.nodes:
            node.urls = urls

    def __exit__(self, *why):
        try:
            super().__exit__(*why)
        finally:
            self.relay.close()

    def new_node(self, node_id):
        node = TortureNode(self, node_id)
        for other in self.members():
            for a, b in ((node, other), (other, node)):
                port = free_port()
                self.relay.tell("link", a.id, b.id, port, b.peer_port)
                a.control.route(b.peer_port, port)
        self.nodes = self.nodes + [node]  # readers have the old list or the new
        return node

    def add_node(self, node_id):
        node = self.new_node(node_id)
        urls = {m.id: m.url for m in self.nodes}
        node.urls = [urls.get(i, "http://127.0.0.1:1")
                     for i in range(1, node_id + 1)]
        node.join = True
        return node

    def leader(self):
        """Who says that it leads; nobody waits for a node that is paused."""
        for node in self.members():
            if node.busy or not node.is_running():
                continue
            try:
                r = http(node.peer_port, "GET", "/status", timeout=1)
                if r.status == 200 and json.loads(r.body)["role"] == "leader":
                    return node
            except (OSError, Closed):
                pass
        return None

    def n_said(self, text):
        """Lines of all nodes in all their lives that contain it."""
        n = 0
        for node in self.nodes:
            with open(node.log_path, errors="replace") as f:
                n += sum(text in line for line in f)
        return n

    def members(self):
        return [n for n in self.nodes if not n.removed]

    def serving(self):
        """Whom clients ask: the members, dead or alive."""
        return self.members()

    def wait_answering(self, node, end=60):
        """Until the node, started before, serves a linearizable read."""
        def answers():
            if node.proc.poll() is not None:
                raise AssertionError("node %d ended with %d:\n%s" % (
                    node.id, node.proc.returncode, node.log()[-2000:]))
            try:
                return node.get("/", timeout=5).status in (200, 404)
            except (OSError, Closed):
                return False
        wait_for(answers, "node %d to answer" % node.id, end)
