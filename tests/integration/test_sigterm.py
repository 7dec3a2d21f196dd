"""SIGTERM and SIGINT: finish or refuse what is pending, hand leadership over,
sync, status 0; a second signal ends at once; SIGHUP is ignored."""

import signal
import unittest

from cluster import Cluster, Writer, wait_for


class Sigterm(unittest.TestCase):
    def test_under_load(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number), Cluster(3) as c:
                writers = [Writer(c, "w%d" % i, 1000) for i in range(4)]
                for w in writers:
                    w.start()
                wait_for(lambda: sum(len(w.acked) for w in writers) > 50, "writes")
                lead = c.wait_leader()
                lead.signal(number)
                # 5 s are promised; PATIENCE stretches it for slow builds.
                self.assertEqual(lead.wait_exit(5), 0)
                done = sum(len(w.acked) for w in writers)
                wait_for(lambda: sum(len(w.acked) for w in writers) > done + 50,
                         "the others to go on")
                lead.start()
                # A clean end leaves no torn tail.
                self.assertFalse(lead.said("torn"), lead.log())
                for w in writers:
                    w.stop()
                c.wait_leader()
                for w in writers:
                    w.check(c.nodes)

    def test_leadership_is_handed_over(self):
        with Cluster(3, {"tick_ms": 100, "election_ticks": 50}) as c:
            lead = c.wait_leader()
            others = [n for n in c.nodes if n is not lead]
            self.assertEqual(lead.stop(), 0)
            # Elections take 5 s at least with these flags; the transfer does
            # not wait for one.
            self.assertTrue(any(n.said("transfer") or n.status()["leader"] not in
                                (0, lead.id) for n in others))

    def test_without_majority(self):
        with Cluster(3) as c:
            c[2].kill()
            c[3].kill()
            c[1].signal(signal.SIGTERM)
            self.assertEqual(c[1].wait_exit(5), 0)

    def test_second_signal_ends_at_once(self):
        with Cluster(3) as c:
            lead = c.wait_leader()
            others = [n for n in c.nodes if n is not lead]
            # A write that cannot be committed: there is something to wait for.
            for n in others:
                n.pause()
            with lead.conn() as conn:
                conn.send(b"PUT /k HTTP/1.1\r\nHost: t\r\n"
                          b"Content-Length: 1\r\n\r\nw")
                wait_for(lambda: lead.status()["pending_proposals"] == 1, "the write")
                # Both arrive together.
                lead.pause()
                lead.signal(signal.SIGTERM)
                lead.signal(signal.SIGINT)
                lead.resume()
                status = lead.wait_exit(5)
            self.assertIn(status, (128 + signal.SIGTERM, 128 + signal.SIGINT))
            for n in others:
                n.resume()
            lead.start()
            c.wait_leader()
            self.assertEqual(lead.put("/k", "v").status, 204)

    def test_during_start(self):
        with Cluster(1) as c:
            self.assertEqual(c[1].put("/k", "v").status, 204)
            c[1].stop()
            for _ in range(5):
                c[1].start(wait=False)
                c[1].signal(signal.SIGTERM)
                self.assertIn(c[1].wait_exit(), (0, -signal.SIGTERM))
            c[1].start()
            wait_for(lambda: c[1].get("/k").body == b"v", "the value")

    def test_sighup_is_ignored(self):
        with Cluster(1) as c:
            c[1].signal(signal.SIGHUP)
            self.assertEqual(c[1].put("/k", "v").status, 204)
