"""What is measured: the rows, who takes part in which, and their names.

A row is OP/CONNECTIONS/DEPTH/BYTES, as in put/64/1/100: what is asked, over how
many connections, with how many requests sent at once on each, and values of how
many bytes. With the contender behind it ("put/64/1/100 ours") it is what the
argument ONLY is matched against.
"""

import collections
import re

Row = collections.namedtuple("Row", "op conns depth size")

CONNS = (1, 64, 512)
DEPTHS = (1, 16)
SIZES = (100, 1024)

# get is a linearizable read where a contender has one, local is never one. Both
# ask the leader; -follower asks another node. mix is 9 get to 1 put.
OPS = {
    "ours": ("put", "get", "get-follower", "local", "local-follower", "mix"),
    "go": ("put", "get", "mix"),
    "etcd2": ("put", "get", "local", "mix"),
    "etcd3": ("put", "get", "local", "mix"),
    "redis": ("put", "get", "mix"),
    "nginx": ("put", "get"),
}
ORDER = ("put", "get", "get-follower", "local", "local-follower", "mix")

# Throughput: is it the disk that limits?
BIG = Row("put", 64, 1, 65536)

# Beside the rows: the machine (floor.c), and what is measured of ours alone
# (figures.py).
FLOORS = ("disk", "append", "sequential", "loopback")
FIGURES = ("keys", "syncs")


def name(row):
    return "%s/%d/%d/%d" % row


def matrix(op):
    return [Row(op, conns, depth, size)
            for size in SIZES for conns in CONNS for depth in DEPTHS]


def all_of(contender):
    rows = [row for op in OPS[contender] for row in matrix(op)]
    return rows + ([BIG] if contender != "nginx" else [])


def for_acceptance():
    """The names, with contenders, that the acceptance section is made of."""
    pairs = [("put/64/1/100", c) for c in ("ours", "go", "etcd2", "etcd3", "redis")]
    pairs += [("put/1/1/100", c) for c in ("ours", "etcd2", "etcd3")]
    # The Go program's best is one of these.
    pairs += [("put/64/16/100", c) for c in ("ours", "go")]
    pairs += [("put/512/%d/100" % depth, "go") for depth in DEPTHS]
    pairs += [("get/64/1/100", c) for c in ("ours", "go", "nginx")]
    pairs += [("get-follower/64/1/100", "ours"), ("local/64/1/100", "ours")]
    pairs += [(name(BIG), "ours")]
    pairs += [(f, "floor") for f in FLOORS] + [(f, "ours") for f in FIGURES]
    return {"%s %s" % pair for pair in pairs}


class Plan:
    """What of it was asked for."""

    def __init__(self, only):
        self.names = for_acceptance() if only == "acceptance" else None
        self.pattern = re.compile("" if self.names else only)

    def has(self, what, contender):
        label = "%s %s" % (what, contender)
        if self.names is not None:
            return label in self.names
        return self.pattern.search(label) is not None

    def rows(self, contender):
        return [row for row in all_of(contender) if self.has(name(row), contender)]

    def floors(self):
        return [f for f in FLOORS if self.has(f, "floor")]

    def figures(self):
        return [f for f in FIGURES if self.has(f, "ours")]
