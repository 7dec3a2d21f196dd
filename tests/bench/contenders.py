"""The servers that are measured: how each is started, where its nodes listen,
what a request to it looks like.

Each is started fresh in a directory of its own, listens on 127.0.0.1 only, and
is stopped by its process ids. What is not installed says so: missing().
"""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))

from cluster import Closed, free_port, http, wait_for  # noqa: E402

GOPATH = "/usr/share/gocode"
GO_PACKAGE = "go.etcd.io/etcd/contrib/raftexample"


def which(program):
    """Also where users other than root do not look."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def http_request(method, target, body=None, headers=()):
    lines = ["%s %s HTTP/1.1" % (method, target), "Host: 127.0.0.1"] + list(headers)
    if body is not None:
        lines.append("Content-Length: %d" % len(body))
    return "\r\n".join(lines + ["", ""]).encode() + (body or b"")


def ask(port, method, target, body=None):
    """The answer, or None if there is none."""
    try:
        return http(port, method, target, body, timeout=10)
    except (OSError, Closed):
        return None


class Process:
    """One server process; it dies with this program."""

    def __init__(self, args, directory, log):
        self.args = args
        self.directory = directory
        self.log_path = os.path.join(directory, log)
        with open(self.log_path, "ab") as f:
            self.popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL"] + args, cwd=directory,
                stdin=subprocess.DEVNULL, stdout=f, stderr=f)
        self.pid = self.popen.pid

    def pids(self):
        """Its own and its children's."""
        with open("/proc/%d/task/%d/children" % (self.pid, self.pid)) as f:
            return [self.pid] + [int(p) for p in f.read().split()]

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def story(self):
        """How it ended."""
        return "%s ended with %s:\n%s" % (self.args[0], self.popen.returncode,
                                          self.log()[-2000:])

    def check(self):
        if self.popen.poll() is not None:
            raise RuntimeError(self.story())

    def stop(self):
        self.popen.terminate()
        try:
            self.popen.wait(15)
        except subprocess.TimeoutExpired:
            self.popen.send_signal(signal.SIGKILL)
            self.popen.wait()


class Contender:
    """Use it in a with statement: it runs inside."""

    name = None
    title = None
    protocol = "http"
    n_nodes = 3

    def __init__(self, directory):
        self.directory = os.path.join(directory, self.name)
        self.processes = []

    def __enter__(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        os.makedirs(self.directory)
        self.ports = [free_port() for _ in range(self.n_nodes)]
        self.peer_ports = [free_port() for _ in range(self.n_nodes)]
        try:
            self.start()
            self.wait(self.is_ready, "%s to be ready" % self.name)
        except BaseException as e:
            self.__exit__(type(e))
            raise
        return self

    def __exit__(self, kind=None, *_):
        # A server that ended by itself said why in its log.
        for process in self.processes if kind else ():
            if process.popen.poll() is not None:
                print(process.story(), file=sys.stderr, flush=True)
        for process in self.processes:
            process.stop()
        self.processes = []
        shutil.rmtree(self.directory, ignore_errors=True)

    def spawn(self, args, log):
        process = Process(args, self.directory, log)
        self.processes.append(process)
        return process

    def wait(self, condition, what):
        def checked():
            for process in self.processes:
                process.check()
            return condition()
        return wait_for(checked, what)

    def pids(self):
        return [pid for process in self.processes for pid in process.pids()]

    def peer_url(self, i):
        return "http://127.0.0.1:%d" % self.peer_ports[i]

    def cluster(self):
        return ",".join(self.peer_url(i) for i in range(self.n_nodes))

    def leader(self):
        """Its position among the nodes; waits until there is one."""
        self.wait(self.has_leader, "a leader of " + self.name)
        return self.found

    def has_leader(self):
        self.found = self.find_leader()
        return self.found is not None

    def port(self, op):
        """Whom to ask: the leader, or for -follower another node."""
        leader = self.leader()
        if op.endswith("-follower"):
            return self.ports[(leader + 1) % self.n_nodes]
        return self.ports[leader]

    def is_ready(self):
        return self.has_leader()

    # For each contender: why it cannot take part, or None.
    @classmethod
    def missing(cls, options):
        raise NotImplementedError

    def start(self):
        raise NotImplementedError

    def find_leader(self):
        """The leader's position, or None."""
        return 0

    def request(self, op, key, value):
        """The bytes of a request; op is put, get or local."""
        raise NotImplementedError


class Ours(Contender):
    name = "ours"
    title = "this program, 3 nodes"
    binary = None

    def __init__(self, directory, flags=()):
        super().__init__(directory)
        self.flags = list(flags)
        self.own_flags = {}  # of some nodes

    @classmethod
    def missing(cls, options):
        cls.binary = os.path.abspath(options.binary)
        return None if os.path.exists(cls.binary) else "no " + options.binary

    def start(self):
        for i in range(self.n_nodes):
            self.start_node(i)

    def start_node(self, i, extra=()):
        return self.spawn([self.binary, "--id", str(i + 1), "--cluster", self.cluster(),
                           "--port", str(self.ports[i]), "--data-dir", self.directory]
                          + self.flags + self.own_flags.get(i, []) + list(extra),
                          "node%d.log" % (i + 1))

    def try_status(self, i):
        """None if it does not answer."""
        r = ask(self.peer_ports[i], "GET", "/status")
        return json.loads(r.body) if r is not None and r.status == 200 else None

    def status(self, i):
        return self.wait(lambda: self.try_status(i), "the status of node %d" % (i + 1))

    def find_leader(self):
        for i in range(self.n_nodes):
            st = self.try_status(i)
            if st and st["role"] == "leader":
                return i
        return None

    def is_ready(self):
        return all(getattr(ask(port, "GET", "/health"), "status", 0) == 200
                   for port in self.peer_ports)

    def request(self, op, key, value):
        if op == "put":
            return http_request("PUT", "/" + key, value)
        return http_request("GET", "/" + key, headers=(
            ["X-Consistency: local"] if op == "local" else []))


class Go(Contender):
    name = "go"
    title = "etcd's raftexample in Go, 3 nodes (PUT answered before commit, GET may be stale)"

    @classmethod
    def missing(cls, options):
        if not which("go"):
            return "there is no go"
        source = os.path.join(GOPATH, "src", GO_PACKAGE)
        if not os.path.isdir(source):
            return "there is no %s (package golang-etcd-server-dev)" % source
        cls.binary = os.path.join(os.path.abspath(options.tools), "raftexample-go")
        env = dict(os.environ, GO111MODULE="off", GOPATH=GOPATH, GOFLAGS="",
                   GOCACHE=os.path.join(os.path.dirname(cls.binary), "gocache"))
        built = subprocess.run(["go", "build", "-o", cls.binary, GO_PACKAGE], env=env,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if built.returncode != 0:
            return "it does not build: " + built.stdout.decode(errors="replace")[:500]
        return None

    def start(self):
        for i in range(self.n_nodes):
            self.spawn([self.binary, "--id", str(i + 1), "--cluster", self.cluster(),
                        "--port", str(self.ports[i])], "node%d.log" % (i + 1))

    def find_leader(self):
        # It has no page that tells, but its log does.
        told = [re.findall(r"elected leader (\w+) at term", p.log())
                for p in self.processes]
        return int(told[0][-1], 16) - 1 if all(told) else None

    def request(self, op, key, value):
        if op == "put":
            return http_request("PUT", "/" + key, value)
        return http_request("GET", "/" + key)


class Etcd(Contender):
    """One kind of server with two APIs."""

    @classmethod
    def missing(cls, options):
        cls.binary = which("etcd")
        return None if cls.binary else "there is no etcd (package etcd-server)"

    def start(self):
        names = ",".join("n%d=%s" % (i, self.peer_url(i)) for i in range(self.n_nodes))
        for i in range(self.n_nodes):
            url = "http://127.0.0.1:%d" % self.ports[i]
            self.spawn([
                self.binary, "--name", "n%d" % i, "--data-dir", "n%d" % i,
                "--enable-v2", "--initial-cluster", names,
                "--initial-advertise-peer-urls", self.peer_url(i),
                "--listen-peer-urls", self.peer_url(i),
                "--listen-client-urls", url, "--advertise-client-urls", url,
                # The history of all rounds must fit.
                "--quota-backend-bytes", str(8 << 30),
                "--logger", "zap", "--log-level", "warn"], "node%d.log" % i)

    def find_leader(self):
        for i, port in enumerate(self.ports):
            r = ask(port, "POST", "/v3/maintenance/status", b"{}")
            if r is None or r.status != 200:
                return None
            answer = json.loads(r.body)
            if answer.get("leader") == answer["header"]["member_id"]:
                return i
        return None


class Etcd2(Etcd):
    name = "etcd2"
    title = "etcd, 3 nodes, HTTP v2 keys API"

    def request(self, op, key, value):
        target = "/v2/keys/" + key
        if op == "put":
            return http_request("PUT", target, b"value=" + value, [
                "Content-Type: application/x-www-form-urlencoded"])
        return http_request("GET", target + ("" if op == "local" else "?quorum=true"))


class Etcd3(Etcd):
    name = "etcd3"
    title = "etcd, 3 nodes, v3 over its JSON gateway"

    def request(self, op, key, value):
        body = {"key": base64.b64encode(key.encode()).decode()}
        if op == "put":
            body["value"] = base64.b64encode(value).decode()
        elif op == "local":
            body["serializable"] = True
        target = "/v3/kv/" + ("put" if op == "put" else "range")
        return http_request("POST", target, json.dumps(body).encode(),
                            ["Content-Type: application/json"])


class Redis(Contender):
    name = "redis"
    title = "one redis-server, appendonly yes, appendfsync always (load by our generator)"
    protocol = "resp"
    n_nodes = 1

    @classmethod
    def missing(cls, options):
        cls.binary = which("redis-server")
        return None if cls.binary else "there is no redis-server (package redis-server)"

    def start(self):
        # Never rewritten or saved meanwhile: nothing but the writes themselves.
        self.spawn([self.binary, "--port", str(self.ports[0]), "--bind", "127.0.0.1",
                    "--dir", self.directory, "--appendonly", "yes",
                    "--appendfsync", "always", "--save", "",
                    "--auto-aof-rewrite-percentage", "0"], "node.log")

    def is_ready(self):
        return "Ready to accept connections" in self.processes[0].log()

    def request(self, op, key, value):
        words = [b"SET", key.encode(), value] if op == "put" else [b"GET", key.encode()]
        return b"*%d\r\n" % len(words) + b"".join(
            b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class Nginx(Contender):
    name = "nginx"
    title = "nginx answering 204: the ceiling of HTTP on this machine"
    n_nodes = 1

    CONFIG = """daemon off;
worker_processes auto;
pid nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {
        listen 127.0.0.1:%d backlog=1024;
        location / { return 204; }
    }
}
"""

    @classmethod
    def missing(cls, options):
        cls.binary = which("nginx")
        return None if cls.binary else "there is no nginx (package nginx-light)"

    def start(self):
        with open(os.path.join(self.directory, "nginx.conf"), "w") as f:
            f.write(self.CONFIG % self.ports[0])
        self.spawn([self.binary, "-p", self.directory, "-c", "nginx.conf",
                    "-e", "stderr"], "node.log")

    def is_ready(self):
        return getattr(ask(self.ports[0], "GET", "/"), "status", 0) == 204

    def request(self, op, key, value):
        if op == "put":
            return http_request("PUT", "/" + key, value)
        return http_request("GET", "/" + key)


ALL = (Ours, Go, Etcd2, Etcd3, Redis, Nginx)
