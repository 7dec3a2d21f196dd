"""Clients that write and read, and remember what they were told.

Every value is unique, and within its key so is its length, so that a HEAD tells
which one it saw. Keys live for a short time (reliability 8): the search for an
order of one key stays small. What is recorded, and as what, is the table of
reliability 8; the file is that of tests/lib/history.h.
"""

import collections
import random
import threading
import time

from cluster import Closed, Conn, request_bytes

KEY_SECONDS = 2.0
KEYS_AT_ONCE = 4
CLIENTS = 8

# In thousands of bytes.
SIZES = (0,) * 20 + (1, 8, 60)

# A key's first value has about the length of its last one, so that the nodes'
# memory can be compared from the first minute on: what grows is not the state.
FIRST_BYTES = 200


class Values:
    """What was ever written: names, bytes, and whether it was refused."""

    def __init__(self):
        self.lock = threading.Lock()
        self.by_length = collections.defaultdict(dict)  # key -> length -> name
        self.refused = set()
        self.n = 0

    def new(self, key, rng, sizes, more=0):
        """A name and its bytes, `more` of them than it takes to be unique."""
        with self.lock:
            self.n += 1
            name = "v%d" % self.n
            lengths = self.by_length[key]
            # Below 1,000 is this value's own part.
            length = 16 + more + len(lengths) + 1000 * rng.choice(sizes)
            while length in lengths:
                length += 1
            lengths[length] = name
        return name, self.bytes(name, length)

    @staticmethod
    def bytes(name, length):
        """All byte values occur, and each depends on its place."""
        text = name.encode() + b" "
        n = int(name[1:])
        fill = bytes((n + 7 * i) & 0xff for i in range(256))
        return (text + fill * (length // 256 + 1))[:length]

    def of_length(self, key, length):
        with self.lock:
            return self.by_length[key].get(length)

    def of_bytes(self, key, body):
        """The name of what was read; None if nobody ever wrote that."""
        name = self.of_length(key, len(body))
        return name if name and self.bytes(name, len(body)) == body else None


class Record:
    """The events of a run in their order, and the counts."""

    def __init__(self):
        # Appending to a list is atomic, and its order is one of real time: an
        # event that ended before another began stands before it.
        self.events = []
        self.answers = collections.Counter()  # by status; 0: none came
        self.odd = []  # what no rule allows
        self.on_write = None  # a function told of each 204: when it was asked for
        self.began = time.monotonic()

    def write_files(self, path, local_path):
        """The history, and the one in which local reads pass for others."""
        with open(path, "w") as f, open(local_path, "w") as g:
            for is_local, line in self.events:
                g.write(line)
                if not is_local:
                    f.write(line)

    def n_answered(self):
        return self.n_with(200, 202, 204, 404)

    def n_with(self, *statuses):
        return sum(n for s, n in list(self.answers.items()) if s in statuses)


class Gone(Exception):
    """There was no connection, so nothing was asked."""


class Links:
    """A client's connections that are kept alive, one for each node."""

    def __init__(self):
        self.open = {}

    def ask(self, node, data, head=False, timeout=8):
        """One request; OSError or Closed if it is unknown what became of it."""
        conn = self.open.get(node.id)
        if conn is None or conn.life != node.lives:
            life = node.lives
            try:
                conn = Conn(node.port, timeout)
            except OSError:
                raise Gone()
            if node.lives != life:
                conn.close()
                raise Gone()
            conn.life = life
            self.open[node.id] = conn
        try:
            conn.send(data)
            response = conn.response(head=head)
            if response.headers.get("connection", "") == "close":
                self.drop(node)
            return response
        except BaseException:
            self.drop(node)
            raise

    def drop(self, node):
        conn = self.open.pop(node.id, None)
        if conn:
            conn.close()


class Load:
    """Shared by the clients of one run."""

    def __init__(self, cluster, seed):
        self.cluster = cluster
        self.seed = seed
        self.values = Values()
        self.record = Record()
        self.keys = set()
        self.halt = threading.Event()
        self.clients = [Client(self, i) for i in range(CLIENTS)]
        self.clients.append(LocalReader(self, CLIENTS))

    def start(self, seconds=0):
        """`seconds`: for about so long. The keys of that time get a value before
        anything else."""
        for c in self.clients:
            c.n_epochs = int(seconds / KEY_SECONDS)
            c.start()

    def stop(self):
        self.halt.set()
        for c in self.clients:
            c.join(60)
            assert not c.is_alive(), "a request never ended"
        for name in self.values.refused & self.clients[-1].names:
            self.odd("local GET saw %s, which was refused" % name)

    def epoch(self):
        return int((time.monotonic() - self.record.began) / KEY_SECONDS)

    def key(self, epoch, number):
        key = "/t%d/%d" % (epoch, number)
        self.keys.add(key)
        return key

    def odd(self, text):
        self.record.odd.append(text)


class Client(threading.Thread):
    def __init__(self, load, number):
        super().__init__(daemon=True)
        self.load = load
        self.number = number
        self.rng = random.Random(load.seed * 1000 + number)
        self.links = Links()
        self.n_epochs = 0
        self.over = collections.deque()  # epochs whose key is not small yet

    def event(self, text, is_local=False):
        self.load.record.events.append((is_local, "%d %s\n" % (self.number, text)))

    def fill(self):
        node = self.load.cluster.serving()[0]
        for epoch in range(self.n_epochs):
            try:
                self.put(node, self.load.key(epoch, self.number), sizes=(0,),
                         more=FIRST_BYTES)
            except Gone:
                pass  # it stays as small as it is

    def run(self):
        try:
            self.work()
        except Exception as e:
            self.load.odd("client %d ended with %r" % (self.number, e))
            raise

    def work(self):
        if self.number < KEYS_AT_ONCE:
            self.fill()
        last = 0
        while not self.load.halt.is_set():
            node = self.rng.choice(self.load.cluster.serving())
            epoch = self.load.epoch()
            try:
                if self.number < KEYS_AT_ONCE:
                    # Also those of the time that a request took.
                    self.over.extend(range(max(0, last - 1), epoch - 1))
                last = max(last, epoch)
                self.shrink(node)
                self.step(node, self.load.key(epoch, self.rng.randrange(KEYS_AT_ONCE)))
            except Gone:
                time.sleep(0.005)

    def shrink(self, node):
        """Leave a small value in the keys whose time is over, so that the nodes'
        memory can be compared over hours; one client for each key, and until it
        is known to be there."""
        while self.over and self.put(node, self.load.key(self.over[0], self.number),
                                     sizes=(0,)):
            self.over.popleft()

    def step(self, node, key):
        what = self.rng.randrange(10)
        if what < 4:
            self.put(node, key)
        elif what < 5:
            self.put(node, key, {"Prefer": "respond-async"})
        elif what < 9:
            self.get(node, key)
        else:
            self.get(node, key, "HEAD")

    def ask(self, node, method, key, body=None, headers=None):
        """The answer, or None if it is unknown."""
        data = request_bytes(method, key, body, headers, close=False)
        try:
            r = self.links.ask(node, data, head=method == "HEAD")
        except (OSError, Closed):
            self.count(0)
            return None
        self.count(r.status)
        return r

    def count(self, status):
        with self.load.values.lock:
            self.load.record.answers[status] += 1

    def put(self, node, key, headers=None, sizes=SIZES, more=0):
        """Whether it is known to be done."""
        name, body = self.load.values.new(key, self.rng, sizes, more)
        # What is not recorded was not sent: the event comes first, and is
        # taken back by "fail" if there was no connection.
        self.event("invoke put %s %s" % (key, name))
        began = time.monotonic()
        try:
            r = self.ask(node, "PUT", key, body, headers)
        except Gone:
            self.load.values.refused.add(name)
            self.event("fail put")
            raise
        if r is not None and r.status == 204:
            self.event("ok put")
            if self.load.record.on_write:
                self.load.record.on_write(began)
        elif r is not None and r.status in (503, 400, 413, 431):
            self.load.values.refused.add(name)
            self.event("fail put")
        else:
            self.event("info put")
        if r is not None and r.status not in (202, 204, 503, 504):
            self.load.odd("PUT %s on node %d: %r" % (key, node.id, r))
        return r is not None and r.status == 204

    def seen(self, node, key, method, r):
        """The word of the history for a read's answer, None if it says nothing."""
        if r is None or r.status in (503, 504):
            return None
        if r.status == 404:
            return "nil"
        if r.status != 200:
            self.load.odd("%s %s on node %d: %r" % (method, key, node.id, r))
            return None
        if method == "HEAD":
            length = int(r.headers.get("content-length", "-1"))
            name = self.load.values.of_length(key, length)
        else:
            length = len(r.body)
            name = self.load.values.of_bytes(key, r.body)
        if name is None:
            self.load.odd("%s %s on node %d: %d bytes that nobody wrote" % (
                method, key, node.id, length))
        return name or "never-written"

    def get(self, node, key, method="GET"):
        self.event("invoke get %s" % key)
        try:
            r = self.ask(node, method, key)
        except Gone:
            self.event("fail get")
            raise
        name = self.seen(node, key, method, r)
        self.event("ok get " + name if name else "fail get")


class LocalReader(Client):
    """Reads each node's own map: may be stale, but never goes back."""

    def __init__(self, load, number):
        super().__init__(load, number)
        self.n = 0
        self.names = set()
        self.past = {}  # (node, life, key) -> names seen, in their order

    def step(self, node, key):
        life = node.lives
        self.event("invoke get %s" % key, True)
        try:
            r = self.ask(node, "GET", key, headers={"X-Consistency": "local"})
        except Gone:
            self.event("fail get", True)
            raise
        name = self.seen(node, key, "local GET", r)
        self.event("ok get " + name if name else "fail get", True)
        if name and node.lives == life:
            self.check(node, life, key, name)
        time.sleep(0.003)

    def count(self, status):
        pass  # only what is in the history counts

    def check(self, node, life, key, name):
        self.n += 1
        self.names.add(name)
        past = self.past.setdefault((node.id, life, key), ["nil"])
        if name in past[:-1]:
            self.load.odd("local GET %s on node %d went back from %s to %s" % (
                key, node.id, past[-1], name))
        if name != past[-1]:
            past.append(name)
