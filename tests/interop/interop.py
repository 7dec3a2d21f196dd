"""Clusters of our nodes and of nodes of etcd's raftexample.

A node has a kind, "c" or "go", and may change it while it is stopped: flags and
directories are the same. What the Go program cannot do is worked around here or
in the tests, each with a comment that names the deficiency by its number in
formats-raftexample.md, section 7; nothing is asked less of ours.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile

import cluster
from cluster import BINARY, Closed, Cluster, KeepAlive, Node, Writer, wait_for

GO_PROGRAMS = os.environ["GO_PROGRAMS"]
DUMP = os.path.join(os.path.dirname(BINARY), "raftexample-dump")
GODUMP = os.path.join(GO_PROGRAMS, "godump")

# Ours tick as the Go program does, so that either may win an election.
TICKS = {"tick_ms": 100}


# Files of tests that run at the same time have disjoint ports: the port of a node
# that is stopped looks free.
PORT_SLOTS = 16
PORT_SLOT = int(os.environ.get("PORT_SLOT", "0"))


def free_port():
    while True:
        port = cluster.free_port()
        if port % PORT_SLOTS == PORT_SLOT:
            return port


class MixedNode(Node):
    def __init__(self, cluster, node_id, kind):
        super().__init__(cluster, node_id, free_port(), free_port())
        self.kind = kind
        self.paused = False
        self.may_panic = ["no peers given"]  # deficiency 1
        self.program = os.path.join(GO_PROGRAMS, "raftexample")

    def __repr__(self):
        return "node %d (%s)" % (self.id, self.kind)

    # Two logs, as what is an error in one kind's is not in the other's.
    @property
    def log_path(self):
        return os.path.join(self.cluster.dir, "node%d-%s.log" % (self.id, self.kind))

    @log_path.setter
    def log_path(self, _):
        pass

    def command(self, **flags):
        if self.kind == "c":
            return super().command(**flags)
        args = [self.program, "--id", str(self.id), "--cluster",
                ",".join(self.urls), "--port", str(self.port)]
        return args + (["--join"] if self.join else [])

    def start(self, env=None, wait=True, **flags):
        if self.kind == "go" and self.join and not os.path.exists(self.wal_dir):
            # Deficiency 1: the first start with --join panics and leaves a
            # fresh log behind, with which the second one works.
            super().start(env, wait=False, **flags)
            assert self.wait_exit() == 2, self.log()
            assert self.said("no peers given"), self.log()
        return super().start(env, wait, **flags)

    def swap(self):
        """The other program takes over the directory as it is."""
        assert not self.is_running()
        self.kind = "go" if self.kind == "c" else "c"

    def stop(self):
        """SIGTERM. The Go program has no handler: it dies where it is."""
        status = super().stop()
        assert status == (0 if self.kind == "c" else -15), (self, status)

    def pause(self):
        self.paused = True
        super().pause()

    def resume(self):
        super().resume()
        self.paused = False

    def leader_and_term(self):
        """Whom this node follows, (0, term) for nobody, or None: no answer. The
        Go program says it in its log only."""
        if self.kind == "c":
            st = self.status()
            return st and (st["leader"], st["term"])
        found = re.findall(r"INFO: raft\.node: %x (?:(lost) leader [0-9a-f]+|elected leader "
                           r"([0-9a-f]+)|changed leader from [0-9a-f]+ to ([0-9a-f]+))"
                           r" at term (\d+)" % self.id, self.log())
        if not found:
            return None
        lost, elected, changed, term = found[-1]
        return (0 if lost else int(elected or changed, 16)), int(term)

    # --- keys ---

    def value(self, key):
        """What a GET says, or None: no such key, no answer."""
        try:
            r = self.get(key, timeout=10)
        except (OSError, Closed):
            return None
        return r.body if r.status == 200 else None

    def try_put(self, key, value, timeout):
        try:
            return self.put(key, value, timeout=timeout).status == 204
        except (OSError, Closed):
            return False

    def put_surely(self, key, value):
        """Until it is committed and can be read here. Our 204 says so. A Go
        node answers before it knows, and forgets the write at a change of the
        leader (deficiency 11): ask it again and again."""
        value = value if isinstance(value, bytes) else value.encode()

        def done():
            if not self.try_put(key, value, 10):
                return False
            if self.kind == "c":
                return True
            try:
                wait_for(lambda: self.value(key) == value, "a write", 3)
                return True
            except AssertionError:
                return False
        wait_for(done, "a PUT of %s at %r" % (key, self), 90)


class MixedCluster(Cluster):
    """`kinds` from node 1 on, as in ("c", "go", "go")."""

    def __init__(self, kinds, flags=None, start=True):
        super().__init__(0, dict(TICKS, **(flags or {})), start=False)
        # The Go program's directories stand in the working directory.
        os.rmdir(self.data)
        self.data = self.dir
        self.nodes = [MixedNode(self, i + 1, kind) for i, kind in enumerate(kinds)]
        for node in self.nodes:
            node.urls = [m.url for m in self.nodes]
        if start:
            try:
                self.start()
            except BaseException as e:
                self.__exit__(type(e), e, None)
                raise

    def __exit__(self, kind, error, trace):
        for node in self.nodes:
            if node.is_running():
                node.resume()
        super().__exit__(kind, error, trace)

    @staticmethod
    def complaints(node):
        if node.kind == "c":
            return Cluster.complaints(node)
        with open(node.log_path, errors="replace") as f:
            return ["%r: %s" % (node, l.strip()) for l in f
                    if l.startswith("panic: ")
                    and not any(words in l for words in node.may_panic)]

    def start(self):
        for node in self.nodes:
            node.start(wait=False)
        for node in self.nodes:
            node.wait_listening()

    def add_node(self, node_id, kind):
        node = MixedNode(self, node_id, kind)
        node.urls = [m.url for m in self.nodes] + [node.url]
        assert len(node.urls) == node_id
        node.join = True
        self.nodes.append(node)
        return node

    def running(self):
        return [n for n in self.nodes if n.is_running() and not n.paused]

    def ours(self):
        return [n for n in self.running() if n.kind == "c"]

    def leader(self):
        """The leader that all nodes follow in one term."""
        named = {n.leader_and_term() for n in self.running()}
        if len(named) != 1 or None in named:
            return None
        lead = [n for n in self.running() if n.id == list(named)[0][0]]
        return lead[0] if lead else None

    def move_leader(self, wanted):
        """Pause whoever leads until `wanted(node)` does."""
        for _ in range(40):
            lead = self.wait_leader()
            if wanted(lead):
                return lead
            lead.pause()
            try:
                wait_for(self.leader, "a leader other than %r" % lead)
            finally:
                lead.resume()
        raise AssertionError("the leader that was wanted never won")

    def read_everywhere(self, pairs, nodes=None):
        """Every node has all of these pairs; a Go node reads locally, so it
        may need a moment (deficiency 11)."""
        for node in nodes or self.running():
            for key, value in pairs.items():
                value = value if isinstance(value, bytes) else value.encode()
                if node.kind == "c":
                    def there():
                        r = node.get(key)
                        return r.status != 503 and r  # no leader yet
                    r = wait_for(there, "an answer of %r" % node)
                    assert r.status == 200 and r.body == value, (
                        "%r: %s: %r instead of %r" % (node, key, r, value[:200]))
                else:
                    wait_for(lambda: node.value(key) == value,
                             "%s at %r" % (key, node))

    def settle(self):
        """Every node has applied all that is committed now."""
        self.marks = getattr(self, "marks", 0) + 1
        key = "/settled/%d" % self.marks
        # Through ours, where there is one: its answer means committed.
        (self.ours() + self.running())[0].put_surely(key, "x")
        self.read_everywhere({key: "x"})

    def check_all(self, pairs, nodes=None):
        """All pairs, over one connection, after settling."""
        self.settle()
        for node in nodes or self.running():
            with KeepAlive(node) as k:
                for key, value in pairs.items():
                    value = value if isinstance(value, bytes) else value.encode()
                    r = k.get(key)
                    assert r.status == 200 and r.body == value, (
                        "%r: %s: %r instead of %r" % (node, key, r, value[:200]))


class MixedWriter(Writer):
    """Writes to the nodes of one kind while others come and go. Slowly: a Go
    node that has made a snapshot, after 10,000 entries, never serves clients
    again once it was restarted (deficiency 2)."""

    def __init__(self, cluster, kind, name):
        super().__init__(self, name)
        self.mixed = cluster
        self.only = kind

    def running(self):
        self.halt.wait(0.01)
        return [n for n in self.mixed.running() if n.kind == self.only]


# --- directories -----------------------------------------------------------------

# What the Go test program prints, too.
COMMON = ("hard_state", "log", "entry", "marker", "snapshot", "pair", "start")


def dump(directory):
    r = subprocess.run([DUMP, "--json", directory], stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=120)
    assert r.returncode == 0, r.stderr
    return [json.loads(l) for l in r.stdout.splitlines()]


def godump(wal_dir, snap_dir):
    """What etcd's packages find. They may rename a snapshot: give them a copy
    of those."""
    with tempfile.TemporaryDirectory() as copy:
        if os.path.isdir(snap_dir):
            snap_dir = shutil.copytree(snap_dir, os.path.join(copy, "snap"))
        r = subprocess.run([GODUMP, wal_dir, snap_dir], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=120)
    assert r.returncode == 0, r.stderr
    return [json.loads(l) for l in r.stdout.splitlines()]


def check_directory(wal_dir, snap_dir):
    """Both programs find the same in it; returns how many lines."""
    ours = []
    for line in dump(wal_dir):
        if line["kind"] in COMMON:
            line.pop("size", None)
            line.pop("members", None)  # etcd skips that field
            if line["kind"] == "pair":
                # Deficiency 12: bytes that are not text are lost on it.
                for name in ("key", "value"):
                    if name + "_hex" in line:
                        raw = bytes.fromhex(line.pop(name + "_hex"))
                        line[name] = raw.decode("utf-8", "replace")
            ours.append(line)
    theirs = godump(wal_dir, snap_dir)
    # Where the first segments were deleted, etcd starts at a marker; ours shows
    # the entries before it, too.
    base = [l for l in theirs if l["kind"] == "log"][0]
    first = [l for l in ours if l["kind"] == "log"][0]["base_index"]
    if first > 0:
        # A marker comes behind entries that are later than its snapshot; so it
        # may stand in a segment that does not reach back to it any more. etcd
        # lists it all the same, ours what a node could start from.
        theirs = [l for l in theirs if l["kind"] != "marker" or l["index"] >= first]
        ours = [base if l["kind"] == "log" and l["last_index"] == base["last_index"]
                else l for l in ours
                if l["kind"] != "entry" or l["index"] > base["base_index"]]
    for a, b in zip(ours, theirs):
        assert a == b, "%s: ours: %s, etcd's: %s" % (
            wal_dir, str(a)[:300], str(b)[:300])
    assert len(ours) == len(theirs), (wal_dir, len(ours), len(theirs))
    return len(ours)
