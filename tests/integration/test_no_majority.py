"""Without a majority: honest answers in time, stale reads on request, and
everything again as soon as a majority is back, with no restart."""

import threading
import unittest

from cluster import Closed, Cluster, wait_for


class NoMajority(unittest.TestCase):
    def test_honest_answers_and_recovery(self):
        with Cluster(3, {"request_timeout": "1s"}) as c:
            self.assertEqual(c[1].put("/k", "old").status, 204)
            for survivor in c.nodes:
                self.assertEqual(survivor.get("/k").body, b"old")
            survivor = c.wait_leader()
            others = [n for n in c.nodes if n is not survivor]
            for node in others:
                node.kill()

            # A leader that has just lost its followers may still propose:
            # unknown. Once it knows, nothing is proposed any more.
            r = survivor.put("/k", "unknown")
            self.assertIn(r.status, (503, 504))
            wait_for(lambda: survivor.put("/k", "unknown").status == 503,
                     "the leader to step down")
            r = survivor.put("/refused", "x")
            self.assertEqual(r.status, 503)
            self.assertEqual(r.headers.get("retry-after"), "1")
            self.assertEqual(r.headers.get("content-type", "").split(";")[0],
                             "text/plain")
            self.assertIn(survivor.get("/k").status, (503, 504))
            self.assertIn(survivor.http("HEAD", "/k").status, (503, 504))
            self.assertIn(survivor.http("POST", "/9", "http://127.0.0.1:1").status,
                          (503, 504))
            self.assertIn(survivor.http("DELETE", "/2").status, (503, 504))
            r = survivor.put("/async", "x", headers={"Prefer": "respond-async"})
            self.assertIn(r.status, (202, 503))

            r = survivor.get_local("/k")
            self.assertEqual((r.status, r.body), (200, b"old"))
            self.assertEqual(survivor.get_local("/none").status, 404)
            r = survivor.page("/health")
            self.assertEqual(r.status, 503)
            self.assertIn(b'"false"', r.body)
            self.assertEqual(survivor.page("/status").status, 200)

            others[0].start()
            wait_for(lambda: survivor.put("/k", "new").status == 204, "a write")
            self.assertEqual(others[0].get("/k").body, b"new")
            self.assertEqual(survivor.get("/refused").status, 404)
            self.assertEqual(survivor.page("/health").status, 200)
            others[1].start()
            c.wait_caught_up()
            self.assertEqual(others[1].get("/k").body, b"new")
            self.assertEqual(others[1].get("/refused").status, 404)

    def test_proposed_but_not_applied_in_time_is_504(self):
        """The leader does not know yet that it is alone: it has proposed."""
        with Cluster(3, {"request_timeout": "500ms", "election_ticks": 100}) as c:
            lead = c.wait_leader()
            self.assertEqual(lead.put("/k", "old").status, 204)
            others = [n for n in c.nodes if n is not lead]
            for node in others:
                node.pause()
            r = lead.put("/k", "late")
            self.assertEqual(r.status, 504, r)
            self.assertNotIn("retry-after", r.headers)
            self.assertIn(lead.get("/k").status, (503, 504))
            for node in others:
                node.resume()
            # It was unknown; here it turns out to have happened.
            wait_for(lambda: lead.get("/k").body == b"late", "the write")

    def test_paused_majority(self):
        with Cluster(3, {"request_timeout": "1s"}) as c:
            lead = c.wait_leader()
            self.assertEqual(lead.put("/k", "old").status, 204)
            others = [n for n in c.nodes if n is not lead]
            for node in others:
                node.pause()
            wait_for(lambda: lead.put("/k", "x").status == 503, "no leader")
            self.assertIn(lead.get("/k").status, (503, 504))
            for node in others:
                node.resume()
            wait_for(lambda: lead.put("/k", "new").status == 204, "a write")
            for node in c.nodes:
                self.assertEqual(node.get("/k").body, b"new")

    def test_paused_leader_serves_nothing_stale(self):
        """A leader that slept through its own end answers no read with what
        was true before."""
        with Cluster(3, {"request_timeout": "2s"}) as c:
            old = c.wait_leader()
            self.assertEqual(old.put("/k", "old").status, 204)
            others = [n for n in c.nodes if n is not old]
            old.pause()
            answers = []

            def read():
                try:
                    answers.append(old.get("/k", timeout=60))
                except (OSError, Closed):
                    pass
            # Asked while it sleeps.
            threads = [threading.Thread(target=read) for _ in range(5)]
            for t in threads:
                t.start()
            wait_for(lambda: others[0].put("/k", "new").status == 204, "a new leader")
            old.resume()
            for t in threads:
                t.join()
            self.assertEqual(len(answers), 5)
            for r in answers:
                self.assertIn(r.status, (200, 503, 504))
                if r.status == 200:
                    self.assertEqual(r.body, b"new")
            wait_for(lambda: old.get("/k").body == b"new", "it to follow")
