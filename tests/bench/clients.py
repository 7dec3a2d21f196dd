"""Measuring one row: the prepared requests, the load, and what it cost.

HTTP is spoken by wrk (wrk.lua), redis's protocol by our own load (load.c); both
send the same kind of file of prepared batches, keep DEPTH requests in flight on
each connection, and take the time of a batch from sending it to its last answer.
"""

import json
import os
import random
import resource
import string
import struct
import subprocess

# Keys of each value size, all there before the first read.
KEYS = 1000

# Prepared requests of a row; they are sent again and again.
REQUESTS = 4096
REQUESTS_BYTES = 4 << 20

TICKS = os.sysconf("SC_CLK_TCK")

# What starting and ending a client may take beyond the time it was given.
GRACE = 120

# An answer that takes longer is an error.
PATIENCE = 30


class Failed(Exception):
    """A row that could not be measured."""


def key(i, size):
    return "k%d-%d" % (size, i)


def value(size):
    """Nothing that any of the APIs would escape."""
    return "".join(random.choices(string.ascii_letters, k=size)).encode()


def write_batches(path, requests, depth):
    with open(path, "wb") as f:
        for at in range(0, len(requests) - depth + 1, depth):
            batch = b"".join(requests[at:at + depth])
            f.write(struct.pack("<I", len(batch)) + batch)


def operations(op, n):
    """n of put, get or local; for mix one in ten is a put."""
    if op != "mix":
        return [op.replace("-follower", "")] * n
    ops = []
    while len(ops) < n:
        ten = ["put"] + ["get"] * 9
        random.shuffle(ten)
        ops += ten
    return ops[:n]


def prepare(contender, row, path):
    """The file of batches for `row`."""
    n = max(row.depth, min(REQUESTS, REQUESTS_BYTES // row.size))
    requests = [contender.request(op, key(random.randrange(KEYS), row.size),
                                  value(row.size))
                for op in operations(row.op, n)]
    write_batches(path, requests, row.depth)


class Usage:
    """CPU time and memory of processes, from when it was made."""

    def __init__(self, pids):
        self.pids = pids
        for pid in pids:
            with open("/proc/%d/clear_refs" % pid, "w") as f:
                f.write("5")  # the peak begins anew
        self.before = self.ticks()

    def ticks(self):
        """User and system time of all their threads, ended ones too."""
        total = 0
        for pid in self.pids:
            with open("/proc/%d/stat" % pid) as f:
                fields = f.read().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total

    def cpu_seconds(self):
        return (self.ticks() - self.before) / TICKS

    def peak_bytes(self):
        """Of the process that had most."""
        return max(memory(pid, "VmHWM") for pid in self.pids)


def memory(pid, field):
    """A line of /proc/PID/status, in bytes."""
    with open("/proc/%d/status" % pid) as f:
        for line in f:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise Failed("no %s of process %d" % (field, pid))


def without_correction(histogram, micros, count, conns):
    """wrk's times as they were: it adds to its histogram what it believes that
    slow answers kept from being sent, with the time between requests as it was
    on average; with batches that is not even right. What it added to a time can
    be told from the longer ones, so it is taken out again from the longest on.
    Counterpart: wrk stats.c, stats_correct()."""
    times = {v: n for v, n in histogram}
    if count < conns:
        return times
    expected = micros // (count // conns)
    added = {}
    for v in sorted(times, reverse=True):
        times[v] -= added.get(v, 0)
        if times[v] and v >= 2 * expected:
            for shorter in range(v - expected, expected, -expected):
                added[shorter] = added.get(shorter, 0) + times[v]
    return {v: n for v, n in times.items() if n}


def quantile(times, share):
    """The smallest time that `share` of all do not exceed."""
    rank = share * sum(times.values())
    for v in sorted(times):
        rank -= times[v]
        if rank <= 1e-9:
            return v
    return 0


class Clients:
    def __init__(self, tools, directory):
        self.tools = tools
        self.batches = os.path.join(directory, "batches")

    def run(self, args, secs):
        """A client's output, and the CPU seconds it took."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        try:
            done = subprocess.run(args, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  timeout=secs + GRACE)
        except subprocess.TimeoutExpired:
            raise Failed("%s did not end" % args[0])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != 0:
            raise Failed("%s: %s" % (os.path.basename(args[0]),
                                     done.stderr.decode(errors="replace").strip()))
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return done.stdout.decode().splitlines()[-1], cpu

    def load_args(self, protocol, port, batches, **options):
        args = [os.path.join(self.tools, "load"), "--" + protocol, "--port", str(port)]
        for name, v in options.items():
            args += ["--" + name, str(v)]
        return args + [batches]

    def load(self, *args, **options):
        """Our own generator; see load.c for the options."""
        line, cpu = self.run(self.load_args(*args, **options), options.get("secs", 600))
        return json.loads(line), cpu

    def wrk(self, port, conns, depth, secs):
        threads = min(conns, 2)
        line, cpu = self.run(["wrk", "-t%d" % threads, "-c%d" % conns, "-d%gs" % secs,
                              "--timeout", "%ds" % PATIENCE, "-s",
                              os.path.join(os.path.dirname(__file__), "wrk.lua"),
                              "http://127.0.0.1:%d" % port, "--", self.batches], secs)
        r = json.loads(line)
        times = without_correction(r["histogram"], r["micros"], r["count"], conns)
        if abs(sum(times.values()) * depth - r["count"]) > conns * depth:
            raise Failed("wrk's times are not those of its requests")
        return {"count": r["count"], "seconds": r["micros"] / 1e6,
                "errors": r["errors"], "p50": quantile(times, 0.5),
                "p99": quantile(times, 0.99), "p999": quantile(times, 0.999),
                "max": max(times, default=0)}, cpu

    def fill(self, contender, sizes):
        """Every key that rows with values of these sizes will ask for."""
        for size in sizes:
            requests = [contender.request("put", key(i, size), value(size))
                        for i in range(KEYS)]
            write_batches(self.batches, requests, 1)
            r, _ = self.load(contender.protocol, contender.port("put"), self.batches,
                             conns=16, count=len(requests))
            if r["errors"]:
                raise Failed("%d of the first writes failed" % r["errors"])

    def measure(self, contender, row, secs):
        """One row: the figures of one round."""
        prepare(contender, row, self.batches)
        port = contender.port(row.op)
        # Of many batches at a slow server none may end in time.
        for longer in (1, 10):
            m = self.attempt(contender, row, port, longer * secs)
            if m:
                return m
        raise Failed("no batch ended in %d s" % (10 * secs))

    def attempt(self, contender, row, port, secs):
        """None if not even one batch ended."""
        usage = Usage(contender.pids())
        if contender.protocol == "http":
            r, client_cpu = self.wrk(port, row.conns, row.depth, secs)
        else:
            r, client_cpu = self.load(contender.protocol, port, self.batches, secs=secs,
                                      conns=row.conns, depth=row.depth)
        cpu = usage.cpu_seconds()
        if r["errors"]:
            raise Failed("%d requests, %d errors" % (r["count"], r["errors"]))
        if not r["max"]:
            return None
        return {"rate": r["count"] / r["seconds"],
                "p50_ms": r["p50"] / 1000, "p99_ms": r["p99"] / 1000,
                "p999_ms": r["p999"] / 1000, "worst_ms": r["max"] / 1000,
                "cpu_us": cpu * 1e6 / r["count"],
                "client_cpu_us": client_cpu * 1e6 / r["count"],
                "peak_rss_mb": usage.peak_bytes() / 1e6}
