"""What is measured of our cluster alone: many keys, the pause that a snapshot of
them makes, restarting from it, a new node that catches up, and how often the
disk is synced. And the machine beneath (floor.c).
"""

import array
import json
import os
import random
import signal
import subprocess
import time

from clients import Failed, memory, value, write_batches
from contenders import Ours, ask, free_port, which

VALUE_BYTES = 100

# Of the writes that a snapshot may disturb: a steady pace, in requests a second,
# and the connections they come over.
PACE = 2000
CONNS = 64

# Those before a snapshot end so many seconds before it is due: if they go faster
# than they were thought to, half as many.
MARGIN = 2

# A snapshot's end is seen some milliseconds late, and leaves work behind.
AFTER = 0.05

# What a node does by itself; and how often it gives free memory back.
SNAPSHOT_COUNT = 10000
TRIM_SECS = 5

# For writing all keys, while snapshots of them are taken.
FILL_SECS = 120

# Longer than anything here should take.
END = 180

# For counting syncs: writes over 1 connection, each a group of its own, and over
# CONNS of them.
SYNC_WRITES = {1: 500, CONNS: 20000}

# Larger than any index that is reached: no snapshot.
NEVER = 10 ** 9

FLOOR_ARGS = {
    "disk": ["disk", "FILE", "4096"],
    "append": ["append", "FILE", "4096"],
    "sequential": ["append", "FILE", str(1 << 20)],
    "loopback": ["loopback", "100"],
}


def floor(name, tools, directory, secs):
    """One of the raw loops: see floor.c."""
    args = [os.path.join(directory, "floor.bytes") if a == "FILE" else a
            for a in FLOOR_ARGS[name]]
    done = subprocess.run([os.path.join(tools, "floor")] + args + [str(secs)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=secs + END)
    if done.returncode != 0:
        raise Failed("floor: " + done.stderr.decode(errors="replace").strip())
    r = json.loads(done.stdout)
    figures = {"rate": r["count"] / r["seconds"], "p50_us": r["p50"],
               "p99_us": r["p99"], "p999_us": r["p999"]}
    if name == "sequential":
        figures["mb_s"] = figures["rate"] * (1 << 20) / 1e6
    return figures


# --- our cluster ---------------------------------------------------------------

def caught_up(c, i, index):
    """Node i serves, and has applied all up to `index`."""
    st = c.try_status(i)
    return (st is not None and st["applied"] >= index
            and getattr(ask(c.peer_ports[i], "GET", "/health"), "status", 0) == 200)


def wait_all(c):
    """Until every node has applied what is committed now."""
    c.wait(c.is_ready, "the nodes to serve")
    index = c.status(c.leader())["commit"]
    for i in range(c.n_nodes):
        c.wait(lambda i=i: caught_up(c, i, index), "node %d" % (i + 1))


def seconds_until(condition, what):
    """Looked at often: some of these figures are fractions of a second."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > END:
            raise Failed("waited %d s for %s" % (END, what))
        time.sleep(0.005)
    return time.monotonic() - start


def snapshots(c):
    """The snapshot files of each node."""
    found = []
    for i in range(c.n_nodes):
        directory = os.path.join(c.directory, "raftexample-%d-snap" % (i + 1))
        found.append({f for f in os.listdir(directory) if f.endswith(".snap")})
    return found


def is_quiet(c, i):
    """Node i has made every snapshot that was due, so it makes none now."""
    st = c.try_status(i)
    flags = c.own_flags.get(i) or ["--snapshot-count", SNAPSHOT_COUNT]
    return st is not None and st["applied"] - st["snapshot_index"] <= int(flags[1])


def wait_quiet(c):
    """Until snapshots that are due are there: they are made beside everything
    else."""
    seconds_until(lambda: all(is_quiet(c, i) for i in range(c.n_nodes)), "snapshots")


def restart(c, i):
    """Stop node i and start it again; until it has all that is committed."""
    c.processes.pop(i).stop()
    index = c.status(c.leader())["commit"]
    process = c.start_node(i)
    c.processes.insert(i, c.processes.pop())
    took = seconds_until(lambda: caught_up(c, i, index), "the restarted node")
    process.check()
    return took


def join(c):
    """Add an empty node; how long until it has all that is committed, and its
    memory then. It is removed again."""
    c.ports.append(free_port())
    c.peer_ports.append(free_port())
    c.n_nodes = 4
    added = ask(c.ports[c.leader()], "POST", "/4", c.peer_url(3).encode())
    if added is None or added.status != 204:
        raise Failed("the new node was not added")
    index = c.status(c.leader())["commit"]
    process = c.start_node(3, ["--join"])
    took = seconds_until(lambda: caught_up(c, 3, index), "the new node")
    rss = memory(process.pid, "VmRSS") / 1e6
    ask(c.ports[c.leader()], "DELETE", "/4")
    c.processes.pop().stop()
    c.ports.pop()
    c.peer_ports.pop()
    c.n_nodes = 3
    return took, rss


class Keys:
    """The story of a cluster with many keys."""

    def __init__(self, clients, directory, n_keys, secs):
        self.clients = clients
        self.directory = directory
        self.n = n_keys - n_keys % 16
        self.secs = secs
        self.first = os.path.join(directory, "first")
        self.again = os.path.join(directory, "again")
        self.trace = os.path.join(directory, "trace")

    def prepare(self, c):
        """Every key once, and for the running writes some of them at random."""
        if os.path.exists(self.first):
            return
        rest = value(VALUE_BYTES - 7)
        puts = [c.request("put", "%07d" % i, b"%07d" % i + rest)
                for i in range(self.n)]
        write_batches(self.first, puts, 16)
        write_batches(self.again, random.sample(puts, min(4096, self.n)), 1)

    def measure(self):
        with Ours(self.directory) as c:
            self.prepare(c)
            figures = self.fill(c)
            figures["rss_mb"] = self.rss(c, "VmRSS")
            figures["peak_rss_mb"] = self.rss(c, "VmHWM")
            wait_quiet(c)
            time.sleep(2 * TRIM_SECS)
            figures["rest_rss_mb"] = self.rss(c, "VmRSS")
            secs = 2 * self.secs
            due = self.start_again(c, PACE * (secs + MARGIN))
            figures.update(self.pause(c, due, PACE, secs, "paced"))
            figures["restart_s"] = restart(c, (c.leader() + 1) % 3)
            figures["join_s"], figures["join_rss_mb"] = join(c)
            rate = self.load(c, self.again, secs=1)["rate"]
            due = self.start_again(c, int(rate * (self.secs + MARGIN)))
            figures.update(self.pause(c, due, None, self.secs, "full"))
            return figures

    def fill(self, c):
        """With the flags that a node has by itself, so it takes its snapshots
        meanwhile. What was refused is written again. If that does not end in
        time, the rest is filled without snapshots."""
        start = time.monotonic()
        figures = {}
        for secs in (FILL_SECS, FILL_SECS / 2):
            r, _ = self.clients.load("http", c.port("put"), self.first, conns=CONNS,
                                     depth=16, count=self.n, secs=secs)
            figures.setdefault("load_rate", r["count"] / r["seconds"])
            wait_all(c)
            if self.filled(c):
                break
        figures["load_s"] = time.monotonic() - start
        figures["load_ended"] = int(self.filled(c))
        if not figures["load_ended"]:
            self.start_again(c, NEVER)
            self.load(c, self.first, depth=16, count=self.n)
            wait_all(c)
        return figures

    def filled(self, c):
        return all(c.status(i)["keys"] == self.n for i in range(c.n_nodes))

    def start_again(self, c, n):
        """All nodes, so that they take a snapshot after `n` more entries, whatever
        each has done so far; the index at which that will be."""
        wait_all(c)
        wait_quiet(c)
        nodes = [c.status(i) for i in range(c.n_nodes)]
        at = max(st["applied"] for st in nodes) + n
        c.own_flags = {
            i: ["--snapshot-count", "%d" % min(NEVER, at - st["snapshot_index"])]
            for i, st in enumerate(nodes)}
        for process in c.processes:
            process.stop()
        c.processes = []
        c.start()
        wait_all(c)
        return at + 1

    @staticmethod
    def rss(c, field):
        """Of the node that has most."""
        return max(memory(pid, field) for pid in c.pids()) / 1e6

    def load(self, c, batches, **options):
        r, _ = self.clients.load("http", c.port("put"), batches, conns=CONNS, **options)
        if r["errors"]:
            raise Failed("%d of %d writes failed" % (r["errors"], r["count"]))
        return dict(r, rate=r["count"] / r["seconds"])

    def pause(self, c, due, pace, secs, prefix):
        """Writes before a snapshot, and those that run beside it. It begins with
        the entry of index `due`, on all nodes, and ends when the last one has its
        file."""
        options = {"rate": pace} if pace else {}
        # However fast they are, some are left to be written beside it.
        room = due - c.status(c.leader())["applied"] - PACE * MARGIN // 2
        before = self.load(c, self.again, secs=secs, count=max(1, room), **options)
        wait_all(c)
        n_until = due - c.status(c.leader())["applied"]
        if n_until <= 0:
            raise Failed("the snapshot came before its time")
        old = snapshots(c)
        args = self.clients.load_args("http", c.port("put"), self.again, conns=CONNS,
                                      secs=END, trace=self.trace, **options)
        load = subprocess.Popen(args, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            seconds_until(lambda: load.poll() is not None
                          or all(a - b for a, b in zip(snapshots(c), old)), "snapshots")
            end = time.time() + AFTER
            time.sleep(1)
        finally:
            load.send_signal(signal.SIGTERM)
            output, errors = load.communicate(timeout=END)
        if load.returncode != 0:
            raise Failed("the writes beside a snapshot: %s" % errors.decode())
        start, times = self.beside(n_until, end)
        figures = {"rate": before["rate"],
                   "snapshot_s": end - AFTER - start,
                   "beside": len(times),
                   # Refused after they had waited: their times tell, too.
                   "errors": json.loads(output)["errors"],
                   "p99_before_ms": before["p99"] / 1000,
                   "p99_ms": times[(len(times) * 99 + 99) // 100 - 1] / 1e6,
                   "worst_before_ms": before["max"] / 1000,
                   "worst_ms": times[-1] / 1e6}
        return {"%s_%s" % (prefix, k): v for k, v in figures.items()}

    def beside(self, n_until, end):
        """When the entry of number `n_until` was sent, and the sorted times of the
        writes that were on their way between then and `end`."""
        trace = array.array("Q")
        with open(self.trace, "rb") as f:
            trace.frombytes(f.read())
        due, took = trace[0::2], trace[1::2]
        if len(due) < n_until:
            raise Failed("the snapshot came before its time")
        start = due[n_until - 1]
        times = sorted(t for d, t in zip(due, took)
                       if d < end * 1e9 and d + t > start)
        return start / 1e9, times


# --- syncs ---------------------------------------------------------------------

WRITES = ("pwrite64", "pwritev", "pwritev2")
SYNCS = ("fdatasync", "fsync")


def attach(pid, path):
    """strace on all threads of a process."""
    strace = subprocess.Popen(
        ["strace", "-f", "-c", "-e", "trace=%s" % ",".join(SYNCS + WRITES),
         "-o", path, "-p", str(pid)], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def attached():
        if strace.poll() is not None:
            raise Failed("strace: " + strace.stderr.read().decode().strip())
        with open("/proc/%d/status" % pid) as f:
            return "TracerPid:\t%d\n" % strace.pid in f.read()
    seconds_until(attached, "strace")
    return strace


def calls(path):
    """The table of strace -c: how often each call was made."""
    found = {}
    with open(path) as f:
        for line in f:
            words = line.split()
            if len(words) >= 5 and words[-1] in SYNCS + WRITES:
                found[words[-1]] = int(words[3])
    return found


def syncs(clients, directory):
    """How often each node writes to its log and syncs it, for the writes of
    SYNC_WRITES. A log write is a group of entries, and nothing else is written
    at an offset."""
    if not which("strace"):
        raise Failed("there is no strace (package strace)")
    figures = {}
    batches = os.path.join(directory, "syncs")
    with Ours(directory, ["--snapshot-count", "%d" % NEVER]) as c:
        write_batches(batches, [c.request("put", "k%d" % i, value(VALUE_BYTES))
                                for i in range(1000)], 1)
        for conns, count in SYNC_WRITES.items():
            paths = [os.path.join(directory, "strace%d" % i) for i in range(3)]
            straces = [attach(p.pid, path) for p, path in zip(c.processes, paths)]
            try:
                clients.load("http", c.port("put"), batches, conns=conns, count=count)
                wait_all(c)
            finally:
                for strace in straces:
                    strace.send_signal(signal.SIGINT)
                    strace.communicate(timeout=END)
            nodes = [calls(path) for path in paths]
            synced = [sum(n.get(s, 0) for s in SYNCS) for n in nodes]
            groups = [sum(n.get(w, 0) for w in WRITES) for n in nodes]
            figures["syncs_%d" % conns] = [s / count for s in synced]
            figures["groups_%d" % conns] = [g / count for g in groups]
            figures["syncs_per_group_%d" % conns] = max(
                s / g if g else float("inf") for s, g in zip(synced, groups))
    return figures
