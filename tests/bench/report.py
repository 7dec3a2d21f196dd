"""What was measured, in words: medians of the rounds, the table with its ratios,
and what is asked of this program with the figure that answers it.
"""

import rows
from contenders import ALL
from statistics import median

COLUMNS = (
    # title, figure, format
    ("rate/s", "rate", "%.0f"),
    ("p50 ms", "p50_ms", "%.3f"),
    ("p99 ms", "p99_ms", "%.2f"),
    ("p99.9 ms", "p999_ms", "%.2f"),
    ("CPU us", "cpu_us", "%.1f"),
    ("client us", "client_cpu_us", "%.1f"),
    ("RSS MB", "peak_rss_mb", "%.0f"),
)

LEGEND = """\
A row is OP/connections/pipeline depth/bytes of value. get is linearizable, but
with go (it may be stale), redis and nginx; local may be stale; both ask the leader,
-follower another node; mix is 9 get to 1 put. Times are those of a batch of DEPTH
requests. CPU us: microseconds a request, of all server processes together, user
and system; client us: the same of the load generator. RSS: the peak during the row,
of the process that had most. The last columns divide ours by theirs.
Load: wrk with prepared requests; redis: tests/bench/load.c with the same ones."""


class Missing(Exception):
    """A figure that was not measured."""


def middle(values):
    """The median, of lists item by item; None if any round has none."""
    if isinstance(values[0], list):
        return [median(column) for column in zip(*values)]
    return median(values)


class Results:
    """Rounds of figures, by what was measured and of whom."""

    def __init__(self):
        self.rounds = {}

    def add(self, what, contender, figures):
        self.rounds.setdefault((what, contender), []).append(figures)

    def medians(self, what, contender):
        rounds = self.rounds.get((what, contender))
        if not rounds:
            raise Missing("%s of %s" % (what, contender))
        return {k: middle([r[k] for r in rounds]) for k in rounds[0]}

    def __call__(self, what, contender, figure):
        return self.medians(what, contender)[figure]

    def has(self, what, contender):
        return (what, contender) in self.rounds

    def names(self):
        """Names of rows, in the order of the table, with who was measured."""
        order = {op: i for i, op in enumerate(rows.ORDER)}
        found = {}
        for what, contender in self.rounds:
            if "/" in what:
                found.setdefault(what, []).append(contender)

        def place(what):
            op, conns, depth, size = what.split("/")
            return order[op], int(size), int(conns), int(depth)
        contenders = [c.name for c in ALL]
        return [(what, sorted(found[what], key=contenders.index))
                for what in sorted(found, key=place)]

    def as_json(self):
        return [{"what": what, "contender": contender, "rounds": rounds,
                 "median": self.medians(what, contender)}
                for (what, contender), rounds in self.rounds.items()]


# --- the table -------------------------------------------------------------------

def number(format, v):
    return "-" if v is None else format % v


def ratios(results, what, contender):
    if contender == "ours" or not results.has(what, "ours"):
        return ["", ""]
    return ["%.2f" % (results(what, "ours", figure) / theirs) if theirs else "-"
            for figure in ("rate", "cpu_us")
            for theirs in [results(what, contender, figure)]]


def table(results):
    width = "%-32s" + "%10s" * (len(COLUMNS) + 2)
    lines = [width % (("",) + tuple(c[0] for c in COLUMNS) + ("ours:rate", "ours:CPU"))]
    for what, contenders in results.names():
        for contender in contenders:
            m = results.medians(what, contender)
            title = "%-26s %s" % (what if contender == contenders[0] else "", contender)
            cells = [number(format, m[figure]) for _, figure, format in COLUMNS]
            lines.append((width % tuple([title] + cells
                                        + ratios(results, what, contender))).rstrip())
    return lines


def figure_text(v):
    if isinstance(v, list):
        return "[%s]" % ", ".join(figure_text(x) for x in v)
    return "%.0f" % v if v >= 1000 else "%.4g" % v


def other_figures(results):
    """Floors and what was measured of our cluster alone."""
    lines = []
    for what, contender in sorted(k for k in results.rounds if "/" not in k[0]):
        m = results.medians(what, contender)
        lines.append("%s %s" % (what, "" if contender == "floor" else contender))
        line = "   "
        for k, v in m.items():
            item = " %s=%s" % (k, figure_text(v))
            if len(line) + len(item) > 100:
                lines.append(line)
                line = "   "
            line += item
        lines.append(line)
    return lines


# --- acceptance --------------------------------------------------------------------

PUT = "put/64/1/100"
PUT1 = "put/1/1/100"
PUT16 = "put/64/16/100"
GET = "get/64/1/100"
ETCDS = ("etcd2", "etcd3")


def ratio(results, what, contender, figure, ours=None):
    """Ours over theirs."""
    return (results(ours or what, "ours", figure)
            / results(what, contender, figure))


def best(results, what, contenders, figure, choose):
    """Over those of the contenders that were measured."""
    found = [results(what, c, figure) for c in contenders if results.has(what, c)]
    if not found:
        raise Missing("%s of %s" % (what, " or ".join(contenders)))
    return choose(found)


def etcd_rate(r):
    return r(PUT, "ours", "rate") / best(r, PUT, ETCDS, "rate", max)


def over_floor(r):
    floor = r("disk", "floor", "p50_us") + r("loopback", "floor", "p50_us")
    return r(PUT1, "ours", "p50_ms") * 1000 / floor


def etcd_p50(r):
    return r(PUT1, "ours", "p50_ms") / best(r, PUT1, ETCDS, "p50_ms", min)


def go_best(r):
    names = ["put/%d/%d/100" % (c, d) for c in rows.CONNS for d in rows.DEPTHS]
    found = [r(n, "go", "rate") for n in names if r.has(n, "go")]
    if not found:
        raise Missing("put of go")
    return r(PUT16, "ours", "rate") / max(found)


def big_share(r):
    """All three logs are on the one disk that the raw rate is of."""
    bytes_s = 3 * rows.BIG.size * r(rows.name(rows.BIG), "ours", "rate")
    return bytes_s / 1e6 / r("sequential", "floor", "mb_s")


def raised(figure):
    """By the snapshot: the larger of a steady pace and as fast as can be."""
    def measured(r):
        return max(r("keys", "ours", "%s_%s_ms" % (pace, figure))
                   - r("keys", "ours", "%s_%s_before_ms" % (pace, figure))
                   for pace in ("paced", "full"))
    return measured


def one_sync(r):
    return max(r("syncs", "ours", "syncs_per_group_1"),
               r("syncs", "ours", "syncs_per_group_64"))


def all_syncs(r):
    """Over one connection every write is a group of its own, and two of three
    voters have it on disk before the answer."""
    return sum(r("syncs", "ours", "syncs_1"))


def of_keys(figure):
    return lambda r: r("keys", "ours", figure)


# What is asked, of which figure, and whether more or less is better; values of
# 100 B, 64 connections to the leader where nothing else is said. Lines that share
# a number are alternatives: one of them is enough.
ASKED = (
    (1, "PUT 64 conns: rate / Go raftexample's", ">=", 4,
     lambda r: ratio(r, PUT, "go", "rate")),
    (2, "PUT 64 conns: rate / etcd's better API's", ">=", 6, etcd_rate),
    (3, "PUT 64 conns: CPU per request / Go raftexample's", "<=", 1 / 6,
     lambda r: ratio(r, PUT, "go", "cpu_us")),
    (4, "PUT 64 conns: rate / redis's with fsync", ">=", 0.7,
     lambda r: ratio(r, PUT, "redis", "rate")),
    (5, "PUT 1 conn: p50 / (fdatasync + loopback)", "<=", 1.6, over_floor),
    (6, "PUT 1 conn: p50 / etcd's better API's", "<=", 0.5, etcd_p50),
    (7, "PUT 64 conns, depth 16: rate, 1000/s", ">=", 200,
     lambda r: r(PUT16, "ours", "rate") / 1000),
    (7, "    or: rate / Go raftexample's best PUT", ">=", 12, go_best),
    (8, "GET leader: rate / Go's stale reads", ">=", 1,
     lambda r: ratio(r, GET, "go", "rate")),
    (9, "GET leader: CPU per request / Go's stale reads", "<=", 0.7,
     lambda r: ratio(r, GET, "go", "cpu_us")),
    (10, "GET follower: rate / Go's stale reads", ">=", 1 / 3,
     lambda r: ratio(r, GET, "go", "rate", "get-follower/64/1/100")),
    (11, "GET follower: rate / our leader's", ">=", 1 / 3,
     lambda r: r("get-follower/64/1/100", "ours", "rate") / r(GET, "ours", "rate")),
    (12, "GET local: rate / nginx's", ">=", 0.9,
     lambda r: ratio(r, GET, "nginx", "rate", "local/64/1/100")),
    (13, "1,000,000 keys: RSS of a node, MB", "<=", 260, of_keys("rss_mb")),
    (14, "1,000,000 keys: snapshot raises p99 of PUT, ms", "<", 10, raised("p99")),
    (15, "1,000,000 keys: snapshot raises worst PUT, ms", "<", 50, raised("worst")),
    (16, "1,000,000 keys: restart, s", "<", 2, of_keys("restart_s")),
    (17, "1,000,000 keys: a new node has caught up, s", "<", 5, of_keys("join_s")),
    (18, "PUT of 64 KiB: 3 logs / raw sequential write+sync", ">=", 0.7, big_share),
    (19, "syncs per log write of a group, worst voter", "<=", 1, one_sync),
    (20, "PUT 1 conn: syncs per PUT, of all 3 voters", ">=", 2, all_syncs),
)

COMPARE = {
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    "<": lambda a, b: a < b,
}


def accept(results, n_keys):
    """A dict for each line of ASKED."""
    lines = []
    for n, what, compare, bound, measure in ASKED:
        if n_keys != 1000000 and 13 <= n <= 17:
            measured = None  # asked of a million only
        else:
            try:
                measured = measure(results)
            except Missing:
                measured = None
        lines.append({
            "number": n, "asked": what,
            "bound": "%s %.3g" % (compare, bound), "measured": measured,
            "holds": None if measured is None else COMPARE[compare](measured, bound)})
    held = {line["number"] for line in lines if line["holds"]}
    for line in lines:
        if line["holds"] is False and line["number"] in held:
            line["holds"] = True  # by its alternative
    return lines


def verdict(line):
    if line["holds"] is None:
        return "not measured"
    return "holds" if line["holds"] else "DOES NOT HOLD"


def acceptance(lines, whole):
    """As text; unless it is `whole`, without what was not measured."""
    lines = [line for line in lines if whole or line["holds"] is not None]
    if not lines:
        return []
    text = ["%-52s %8s %9s" % ("asked", "", "measured")]
    for line in lines:
        measured = "-" if line["measured"] is None else figure_text(line["measured"])
        text.append("%-52s %8s %9s  %s" % (line["asked"], line["bound"], measured,
                                           verdict(line)))
    known = [line["holds"] for line in lines if line["holds"] is not None]
    text.append("%d of %d measured lines hold" % (sum(known), len(known)))
    return text
