"""What goes wrong, and when: a thread that breaks things and mends them.

Each fault is begun and ended; several may be there at once, but only one has a
node's process in hand. A node that ends when no fault explains it is a finding.
"""

import errno
import random
import signal
import time

from cluster import Closed, wait_for

MEMBERS_MAX = 5
NODES_MAX = 200  # ids are not used twice


class Fault:
    """One thing that goes wrong: begin() says whether it could be begun."""

    seconds = (0.2, 3)
    victim = None

    def __init__(self, nemesis):
        self.nemesis = nemesis
        self.cluster = nemesis.cluster
        self.rng = nemesis.rng

    def begin(self):
        raise NotImplementedError

    def end(self):
        pass

    def take_victim(self):
        """A running member that no other fault has in hand; often the leader."""
        free = [n for n in self.cluster.members() if not n.busy and n.is_running()]
        leader = self.cluster.leader() if self.rng.randrange(2) else None
        if not free:
            return False
        self.victim = leader if leader in free else self.rng.choice(free)
        self.victim.busy = True
        return True

    def give_back(self):
        self.victim.busy = False


class Kill(Fault):
    def begin(self):
        if not self.take_victim():
            return False
        self.victim.kill()
        return True

    def end(self):
        self.nemesis.restart(self.victim)
        self.give_back()


class KillAll(Fault):
    seconds = (0, 1)

    def begin(self):
        self.victims = [n for n in self.cluster.members() if not n.busy]
        for node in self.victims:
            node.busy = True
        for node in self.victims:
            node.kill()
        return bool(self.victims)

    def end(self):
        self.rng.shuffle(self.victims)
        for node in self.victims:
            self.nemesis.restart(node)
            node.busy = False


class Pause(Fault):
    seconds = (0.01, 6)

    def begin(self):
        if not self.take_victim():
            return False
        self.victim.pause()
        return True

    def end(self):
        self.victim.resume()
        self.give_back()


class HandOver(Fault):
    """SIGTERM: a leader hands its leadership over."""

    def begin(self):
        if not self.take_victim():
            return False
        if not self.victim.said("serves clients"):
            self.give_back()  # it may not have its handler yet
            return False
        self.victim.signal(signal.SIGTERM)
        return True

    def end(self):
        self.nemesis.expect_exit(self.victim, 0)
        self.nemesis.restart(self.victim)
        self.give_back()


class Isolate(Fault):
    """One node, both ways."""

    def begin(self):
        members = self.cluster.members()
        one = self.rng.choice(members)
        leader = self.cluster.leader()
        if leader in members and self.rng.randrange(2):
            one = leader
        for other in members:
            if other is not one:
                self.nemesis.net("block", one, other)
                self.nemesis.net("block", other, one)
        return True

    def end(self):
        self.nemesis.heal_net()


class OneWay(Isolate):
    """One node hears everybody, or is heard by everybody, but not both."""

    def begin(self):
        members = self.cluster.members()
        one = self.rng.choice(members)
        outward = self.rng.randrange(2)
        for other in members:
            if other is not one:
                self.nemesis.net("block", *((one, other) if outward else (other, one)))
        return True


class Split(Isolate):
    """Any links in any direction: bridges, rings, and what has no name."""

    def begin(self):
        members = self.cluster.members()
        for a in members:
            for b in members:
                if a is not b and self.rng.randrange(3) == 0:
                    self.nemesis.net("block", a, b)
        return True


class BadNet(Isolate):
    """Late, in pieces, refused."""

    def begin(self):
        members = self.cluster.members()
        for a in members:
            for b in members:
                rule = self.rng.randrange(6)
                if a is b:
                    continue
                if rule < 3:
                    self.nemesis.net("delay", a, b, self.rng.choice((5, 50, 300)))
                elif rule == 3:
                    self.nemesis.net("split", a, b)
                elif rule == 4:
                    self.nemesis.net("refuse", a, b)
        return True


class Reset(Fault):
    seconds = (0, 0)

    def begin(self):
        members = self.cluster.members()
        for a in members:
            for b in members:
                if a.id < b.id and self.rng.randrange(2):
                    self.nemesis.net("reset", a, b)
        return True


class SlowDisk(Fault):
    def begin(self):
        if not self.take_victim():
            return False
        self.victim.control["sync_delay_us"] = self.rng.choice((5000, 50000, 500000))
        return True

    def end(self):
        self.victim.control["sync_delay_us"] = 0
        self.give_back()


class ShortWrites(Fault):
    """A write that ends early is continued."""

    def begin(self):
        if not self.take_victim():
            return False
        self.victim.control["short_writes"] = 20
        return True

    def end(self):
        self.victim.control["short_writes"] = 0
        self.give_back()


class BadDisk(Fault):
    """A failing or full disk stops the node, and on a good one it starts."""

    seconds = (0.5, 4)
    field = "sync_errno"
    numbers = (errno.EIO,)

    def begin(self):
        if not self.take_victim():
            return False
        self.victim.control[self.field] = self.rng.choice(self.numbers)
        return True

    def end(self):
        node = self.victim
        failed = node.control["n_failed"]
        if failed and node.said("not saved"):
            # One of its own may fail without harm [reliability 3.2].
            time.sleep(0.2)
        elif failed:
            self.nemesis.expect_exit(node, 1)
        node.control[self.field] = 0
        node.control["n_failed"] = 0
        if not node.is_running():
            if node.proc.returncode != 1:
                self.nemesis.expect_exit(node, 1)
            self.nemesis.restart(node)
        self.give_back()


class FullDisk(BadDisk):
    field = "write_errno"
    numbers = (errno.ENOSPC, errno.EIO, errno.EFBIG)


class WallClock(Fault):
    """Years forward or back: nothing but the time in the log changes."""

    def begin(self):
        for node in self.cluster.members():
            node.control["wall_offset_s"] = self.rng.choice((-1, 1)) * 94608000
        return True

    def end(self):
        for node in self.cluster.members():
            node.control["wall_offset_s"] = 0


class AddMember(Fault):
    seconds = (0, 0)

    def begin(self):
        members = self.cluster.members()
        if len(members) >= MEMBERS_MAX or len(self.cluster.nodes) >= NODES_MAX:
            return False
        # No client asks it before it is there.
        node = self.cluster.add_node(max(n.id for n in self.cluster.nodes) + 1)
        node.removed = True
        if not self.nemesis.change("POST", node, node.url.encode()):
            return False
        node.removed = False
        self.nemesis.restart(node)
        return True


class RemoveMember(Fault):
    seconds = (0, 0)

    def begin(self):
        members = self.cluster.members()
        running = [n for n in members if n.is_running() and not n.busy]
        if len(members) <= 3 or not running:
            return False
        node = self.rng.choice(running)
        node.busy = True
        if not self.nemesis.change("DELETE", node):
            node.busy = False
            return False
        node.removed = True
        # It exits once it has heard of it; cut off, it may never hear.
        deadline = time.monotonic() + 10
        while node.is_running() and time.monotonic() < deadline:
            time.sleep(0.05)
        if node.is_running():
            node.kill()
        elif node.proc.returncode != 0:
            self.nemesis.finding(node, "removed, ended with %d" % node.proc.returncode)
        return True


# How often each is drawn.
ALL = {Kill: 4, KillAll: 1, Pause: 3, HandOver: 1, Isolate: 3, OneWay: 2, Split: 2,
       BadNet: 3, Reset: 2, SlowDisk: 2, ShortWrites: 1, BadDisk: 1, FullDisk: 1,
       WallClock: 1, AddMember: 2, RemoveMember: 2}


class Nemesis:
    def __init__(self, cluster, seed, kinds=None):
        self.cluster = cluster
        self.rng = random.Random(seed)
        self.kinds = kinds or ALL
        self.active = []  # (when it ends, fault)
        self.counts = {}
        self.findings = []
        self.n_dropped = 0

    # --- what faults use ---

    def net(self, rule, a, b, *more):
        self.cluster.relay.tell(rule, a.id, b.id, *more)

    def heal_net(self):
        """Ends every rule, also those of other faults: heals are drawn, too."""
        self.cluster.relay.tell("heal")

    def finding(self, node, text):
        self.findings.append("node %d: %s\n%s" % (node.id, text, node.log()[-1500:]))

    def expect_exit(self, node, status, end=20):
        try:
            got = node.wait_exit(end)
        except AssertionError:
            self.finding(node, "did not end")
            node.kill()
            return
        if got != status:
            self.finding(node, "ended with %d, not %d" % (got, status))

    def restart(self, node):
        """Each life has a clock of its own speed."""
        node.control["clock_percent"] = self.rng.choice((100, 100, 100, 50, 80, 150, 200))
        node.start()

    def change(self, method, node, body=None):
        """A membership change, asked for until its outcome is known; whether it
        happened."""
        def settled():
            for asked in self.cluster.running():
                if asked is node or asked.busy:
                    continue
                try:
                    r = asked.http(method, "/%d" % node.id, body, timeout=10)
                except (OSError, Closed):
                    continue
                if r.status == 204 or (method == "DELETE" and r.status == 404):
                    return True
                if r.status not in (503, 504):
                    self.finding(asked, "%s /%d: %r" % (method, node.id, r))
            self.step()  # other faults end meanwhile, or it could never be
            return False
        try:
            return wait_for(settled, "%s /%d" % (method, node.id), 60)
        except AssertionError as e:
            self.finding(node, str(e))
            return False

    # --- the thread's work ---

    def step(self):
        """End what is over; see who ended without a reason."""
        now = time.monotonic()
        for item in [i for i in self.active if i[0] <= now]:
            self.active.remove(item)
            item[1].end()
        self.check()

    def check(self):
        for node in self.cluster.members():
            if not node.busy and not node.is_running() and node.proc is not None:
                self.finding(node, "ended with %d for no reason" % node.proc.returncode)
                self.restart(node)

    def draw(self):
        kinds = list(self.kinds)
        kind = self.rng.choices(kinds, [self.kinds[k] for k in kinds])[0]
        fault = kind(self)
        if not fault.begin():
            return
        self.counts[kind.__name__] = self.counts.get(kind.__name__, 0) + 1
        lo, hi = kind.seconds
        self.active.append((time.monotonic() + self.rng.uniform(lo, hi), fault))

    def run(self, seconds):
        deadline = time.monotonic() + seconds
        following = time.monotonic()
        while time.monotonic() < deadline:
            self.step()
            if time.monotonic() >= following and len(self.active) < 3:
                self.draw()
                following = time.monotonic() + self.rng.uniform(0.1, 1.5)
            time.sleep(0.02)
        self.heal()

    def heal(self):
        while self.active:
            self.active.pop()[1].end()
        self.heal_net()
        for node in self.cluster.members():
            node.control.heal()
        self.check()
