"""Real nodes on free loopback ports, for the tests of this folder.

A Cluster owns a temporary directory, its nodes' processes and their logs, and
stops and removes all of it in the end. Nothing here waits a fixed time: wait_for
has a condition and a generous end. Python's standard library only.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.abspath(os.environ.get("RAFTEXAMPLE_BINARY",
                                        os.path.join(ROOT, "build", "raftexample")))

# Everything is given this much longer on a slow or instrumented build.
PATIENCE = float(os.environ.get("PATIENCE", "1"))

# Ten times faster than the defaults: an election takes 0.2 to 0.4 s.
FAST = {"tick_ms": 20}


# --- waiting -------------------------------------------------------------------

def wait_for(condition, what, end=60):
    """Call `condition` until it gives something true, and return that."""
    deadline = time.monotonic() + end * PATIENCE
    pause = 0.01
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError("waited %g s for: %s" % (end * PATIENCE, what))
        time.sleep(pause)
        pause = min(pause * 1.3, 0.2)


# Those of the Procfile and of the README's fourth node.
PROCFILE_PORTS = [12379, 22379, 32379, 42379, 12380, 22380, 32380, 42380]


def is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def need_ports(test, ports):
    """Skip the test if somebody keeps one of them. An outgoing connection of
    another program may have one, too, and TIME_WAIT keeps it for 60 s more."""
    try:
        wait_for(lambda: all(is_free(p) for p in ports), "ports", end=75)
    except AssertionError:
        test.skipTest("a port of the Procfile is in use")


_given = set(PROCFILE_PORTS)


def free_port():
    """A port that nobody listens on, outside the range of outgoing ports."""
    while True:
        port = random.randrange(13000, 31000)
        if port not in _given and is_free(port):
            _given.add(port)
            return port


# --- HTTP over a raw socket ----------------------------------------------------

class Closed(Exception):
    """The connection ended before a whole answer was there."""


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # lower-case names
        self.body = body

    def __repr__(self):
        return "<%d %r>" % (self.status, self.body[:200])


class Conn:
    """One connection: send any bytes, read answers."""

    def __init__(self, port, timeout=30, host="127.0.0.1"):
        self.sock = socket.create_connection((host, port), timeout * PATIENCE)
        self.sock.settimeout(timeout * PATIENCE)
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def _more(self):
        """Read some bytes; False at the end of the stream."""
        try:
            got = self.sock.recv(65536)
        except ConnectionError:
            return False
        self.data += got
        return bool(got)

    def _line(self):
        while b"\n" not in self.data:
            if not self._more():
                raise Closed(self.data)
        line, self.data = self.data.split(b"\n", 1)
        return line.rstrip(b"\r")

    def _take(self, n):
        while len(self.data) < n:
            if not self._more():
                raise Closed(self.data)
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def response(self, head=False):
        """The next final answer; 1xx are skipped, but remembered."""
        self.interim = []
        while True:
            first = self._line()
            parts = first.split(b" ", 2)
            if len(parts) < 2 or not parts[0].startswith(b"HTTP/1."):
                raise AssertionError("not an HTTP answer: %r" % first)
            status = int(parts[1])
            headers = {}
            while True:
                line = self._line()
                if not line:
                    break
                name, value = line.decode("latin-1").split(":", 1)
                headers[name.strip().lower()] = value.strip()
            if status >= 200:
                break
            self.interim.append(status)
        if head or status in (204, 304):
            body = b""
        elif "chunked" in headers.get("transfer-encoding", ""):
            body = b""
            while True:
                n = int(self._line().split(b";")[0], 16)
                body += self._take(n)
                self._line()
                if n == 0:
                    break
        elif "content-length" in headers:
            body = self._take(int(headers["content-length"]))
        else:
            while self._more():
                pass
            body, self.data = self.data, b""
        return Response(status, headers, body)

    def is_closed(self, end=10):
        """Whether the other side closes, within that many seconds."""
        self.sock.settimeout(end * PATIENCE)
        try:
            while self._more():
                pass
            return True
        except (TimeoutError, socket.timeout):
            return False


def request_bytes(method, target, body=None, headers=None, close=True):
    if isinstance(target, str):
        target = target.encode("latin-1")
    lines = [method.encode() + b" " + target + b" HTTP/1.1", b"Host: test"]
    for name, value in (headers or {}).items():
        lines.append(("%s: %s" % (name, value)).encode("latin-1"))
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    if close:
        lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def http(port, method, target, body=None, headers=None, timeout=30):
    """One request on a connection of its own."""
    if isinstance(body, str):
        body = body.encode()
    with Conn(port, timeout) as c:
        try:
            c.send(request_bytes(method, target, body, headers))
        except ConnectionError:
            pass  # an early answer may stand there all the same
        return c.response(head=method == "HEAD")


# --- nodes -----------------------------------------------------------------------

class Node:
    def __init__(self, cluster, node_id, peer_port, client_port):
        self.cluster = cluster
        self.id = node_id
        self.peer_port = peer_port
        self.port = client_port
        self.log_path = os.path.join(cluster.dir, "node%d.log" % node_id)
        self.proc = None
        self.join = False
        self.urls = None
        self.lives = 0

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.peer_port

    @property
    def wal_dir(self):
        return os.path.join(self.cluster.data, "raftexample-%d" % self.id)

    @property
    def snap_dir(self):
        return self.wal_dir + "-snap"

    def command(self, **flags):
        args = [BINARY, "--id", str(self.id), "--cluster", ",".join(self.urls),
                "--port", str(self.port), "--data-dir", self.cluster.data]
        if self.join:
            args.append("--join")
        for name, value in dict(self.cluster.flags, **flags).items():
            args += ["--" + name.replace("_", "-"), str(value)]
        return args

    def start(self, env=None, wait=True, **flags):
        assert self.proc is None or self.proc.poll() is not None
        # Lines of this life only are looked at by said().
        self.lives += 1
        with open(self.log_path, "ab") as log:
            self.log_start = log.tell()
            self.proc = subprocess.Popen(
                self.command(**flags), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=self.cluster.dir,
                env=dict(os.environ, **(env or {})))
        if wait:
            self.wait_listening()
        return self

    def wait_listening(self):
        def listening():
            if self.proc.poll() is not None:
                raise AssertionError("node %d ended with %s:\n%s" % (
                    self.id, self.proc.returncode, self.log()[-3000:]))
            try:
                Conn(self.port).close()
                return True
            except OSError:
                return False
        wait_for(listening, "node %d to listen" % self.id)

    def log(self):
        """What this life has printed so far."""
        with open(self.log_path, "rb") as f:
            f.seek(self.log_start)
            return f.read().decode("utf-8", "replace")

    def said(self, text):
        return [l for l in self.log().splitlines() if text in l]

    def is_running(self):
        return self.proc is not None and self.proc.poll() is None

    def wait_exit(self, end=30):
        """The exit status; negative for a signal."""
        wait_for(lambda: self.proc.poll() is not None,
                 "node %d to end" % self.id, end)
        return self.proc.returncode

    def signal(self, number):
        self.proc.send_signal(number)

    def stop(self):
        """SIGTERM; returns the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait_exit()

    def kill(self):
        self.signal(signal.SIGKILL)
        self.proc.wait()

    def pause(self):
        """Returns when every thread has left the kernel and stands still: on a
        busy machine they run on for some 20 ms, and would answer who asks."""
        self.signal(signal.SIGSTOP)
        tasks = "/proc/%d/task" % self.proc.pid

        def is_stopped(task):
            with open("%s/%s/stat" % (tasks, task)) as f:
                return f.read().rsplit(")", 1)[1].split()[0] == "T"
        wait_for(lambda: all(map(is_stopped, os.listdir(tasks))),
                 "node %d to stand still" % self.id)

    def resume(self):
        self.signal(signal.SIGCONT)

    def rss(self):
        """Resident memory in bytes."""
        with open("/proc/%d/statm" % self.proc.pid) as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_s(self):
        """Processor time that it took so far, in seconds."""
        with open("/proc/%d/stat" % self.proc.pid) as f:
            user, system = f.read().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def n_fds(self):
        return len(os.listdir("/proc/%d/fd" % self.proc.pid))

    # --- client requests ---

    def http(self, method, target, body=None, headers=None, timeout=30):
        return http(self.port, method, target, body, headers, timeout)

    def put(self, key, value, **kw):
        return self.http("PUT", key, value, **kw)

    def get(self, key, **kw):
        return self.http("GET", key, **kw)

    def get_local(self, key, **kw):
        return self.http("GET", key, headers={"X-Consistency": "local"}, **kw)

    def conn(self, timeout=30):
        return Conn(self.port, timeout)

    def page(self, path):
        """A page of the peer port, or None if it does not answer."""
        try:
            return http(self.peer_port, "GET", path, timeout=10)
        except (OSError, Closed):
            return None

    def status(self):
        r = self.page("/status")
        return json.loads(r.body) if r is not None and r.status == 200 else None

    def applied(self):
        st = self.status()
        return st["applied"] if st else 0

    def wait_snapshots(self):
        """Until none is due or being made, and what they replace is deleted: all
        that happens beside everything else."""
        count = int(self.cluster.flags.get("snapshot_count", 10000))

        def is_over():
            st = self.status()
            return (st["applied"] - st["snapshot_index"] <= count
                    and len(os.listdir(self.snap_dir)) <= 2)
        wait_for(is_over, "the snapshots of node %d" % self.id)


class Cluster:
    """n nodes; use it in a with statement."""

    def __init__(self, n=3, flags=None, start=True):
        self.dir = tempfile.mkdtemp(prefix="raftexample-test-")
        self.data = os.path.join(self.dir, "data")
        os.mkdir(self.data)
        self.flags = dict(FAST, **(flags or {}))
        self.nodes = [Node(self, i, free_port(), free_port())
                      for i in range(1, n + 1)]
        for node in self.nodes:
            node.urls = [m.url for m in self.nodes]
        if start:
            try:
                self.start()
            except BaseException as e:
                self.__exit__(type(e), e, None)
                raise

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for node in self.nodes:
            if node.is_running():
                node.resume()
                node.signal(signal.SIGTERM)
        problems = []
        for node in self.nodes:
            if node.proc is None:
                continue
            try:
                node.proc.wait(20 * PATIENCE)
            except subprocess.TimeoutExpired:
                problems.append("node %d did not end on SIGTERM" % node.id)
                node.kill()
        for node in self.nodes:
            if node.proc is not None:
                problems += self.complaints(node)
        if kind is not None and kind is not unittest.SkipTest or problems:
            for node in self.nodes:
                if node.proc is not None:
                    sys.stdout.write("--- log of node %d (end)\n%s\n" % (
                        node.id, self.tail(node)))
            sys.stdout.flush()
        if os.environ.get("KEEP"):
            print("kept", self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
        if kind is None and problems:
            raise AssertionError("; ".join(problems))

    @staticmethod
    def complaints(node):
        """What no log may contain: sanitizers, broken assertions, leaks."""
        bad = ("assertion failed", "Sanitizer", "runtime error:", "unreachable")
        with open(node.log_path, errors="replace") as f:
            return ["node %d: %s" % (node.id, l.strip()) for l in f
                    if any(b in l for b in bad) and "is not reachable" not in l][:5]

    @staticmethod
    def tail(node):
        with open(node.log_path, errors="replace") as f:
            return "".join(f.readlines()[-40:])

    def start(self):
        for node in self.nodes:
            node.start(wait=False)
        for node in self.nodes:
            node.wait_listening()
        self.wait_leader()

    def __getitem__(self, node_id):
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise KeyError(node_id)

    def add_node(self, node_id):
        """A node that is to join; POST it yourself, then start it."""
        node = Node(self, node_id, free_port(), free_port())
        # The position in the list is the id: unknown ones in between are
        # filled with ports that nobody serves.
        urls = {m.id: m.url for m in self.nodes}
        urls[node_id] = node.url
        node.urls = [urls.get(i, "http://127.0.0.1:1")
                     for i in range(1, node_id + 1)]
        node.join = True
        self.nodes.append(node)
        return node

    def running(self):
        return [n for n in self.nodes if n.is_running()]

    def leader(self):
        """The node that leads, as it says itself and a majority agrees."""
        seen = [(n, n.status()) for n in self.running()]
        seen = [(n, s) for n, s in seen if s]
        for node, st in seen:
            if st["role"] == "leader":
                follow = [1 for _, s in seen
                          if s["leader"] == node.id and s["term"] == st["term"]]
                if 2 * len(follow) > len(seen):
                    return node
        return None

    def wait_leader(self):
        return wait_for(self.leader, "a leader")

    def followers(self):
        lead = self.wait_leader()
        return [n for n in self.running() if n is not lead]

    def wait_caught_up(self, nodes=None):
        """Until every node has applied what the leader has committed."""
        def equal():
            lead = self.leader()
            if lead is None:
                return False
            st = lead.status()
            return st and all(n.applied() >= st["commit"]
                              for n in (nodes or self.running()))
        wait_for(equal, "nodes to catch up", 120)


class Writer(threading.Thread):
    """Writes unique values to one node after the other until stopped, and
    keeps what was answered. One key per write, so that every 204 counts."""

    def __init__(self, cluster, name, value_size=0):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.prefix = "/%s/" % name
        self.value_size = value_size
        self.acked = {}  # key -> value, answered 204
        self.refused = {}  # answered 503: never to be seen
        self.unknown = 0
        self.odd = []  # answers that no rule allows
        self.halt = threading.Event()

    def run(self):
        i = 0
        while not self.halt.is_set():
            nodes = self.cluster.running()
            if not nodes:
                time.sleep(0.01)
                continue
            node = nodes[i % len(nodes)]
            key = "%s%d" % (self.prefix, i)
            value = ("v%d-%s" % (i, self.prefix)).encode()
            value += b"x" * (self.value_size - len(value))
            try:
                r = node.put(key, value, timeout=15)
                if r.status == 204:
                    self.acked[key] = value
                elif r.status == 503:
                    self.refused[key] = value
                elif r.status == 504:
                    self.unknown += 1
                else:
                    self.odd.append((key, r))
            except (OSError, Closed):
                self.unknown += 1
                time.sleep(0.005)
            i += 1

    def stop(self):
        self.halt.set()
        self.join(60 * PATIENCE)
        assert not self.is_alive(), "a request never ended"

    def check(self, nodes):
        """Every acknowledged write is on every node; no refused one is."""
        assert not self.odd, self.odd[:3]
        for node in nodes:
            with KeepAlive(node) as c:
                for key, value in self.acked.items():
                    r = c.get(key)
                    assert r.status == 200 and r.body == value, (
                        "node %d: %s: %r" % (node.id, key, r))
                for key in self.refused:
                    r = c.get(key)
                    assert r.status == 404, (
                        "node %d: refused, but there: %s: %r" % (node.id, key, r))


class KeepAlive:
    """Many requests on one connection to a node."""

    def __init__(self, node):
        self.conn = Conn(node.port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.conn.close()

    def request(self, method, target, body=None, headers=None):
        if isinstance(body, str):
            body = body.encode()
        self.conn.send(request_bytes(method, target, body, headers, close=False))
        return self.conn.response(head=method == "HEAD")

    def get(self, key):
        return self.request("GET", key)

    def put(self, key, value):
        return self.request("PUT", key, value)

    def put_many(self, items):
        """Pipelined PUTs; returns the number of 204s."""
        items = list(items)
        ok = 0
        for at in range(0, len(items), 100):
            part = items[at:at + 100]
            self.conn.send(b"".join(
                request_bytes("PUT", k, v, close=False) for k, v in part))
            ok += sum(self.conn.response().status == 204 for _ in part)
        return ok
