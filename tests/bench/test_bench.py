"""The benchmark's own arithmetic: what is chosen, the times wrk tells, medians
and verdicts. No server is started.

    tests/integration/run -d tests/bench
"""

import os
import random
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import clients
import plot
import report
import rows


def corrected(times, expected):
    """What wrk makes of its histogram before it shows it."""
    seen = dict(times)
    for v in range(2 * expected, max(times) + 1):
        n = seen.get(v, 0)
        for shorter in range(v - expected, expected, -expected) if n else ():
            seen[shorter] = seen.get(shorter, 0) + n
    return seen


def a_row(rate=1000.0, cpu_us=10.0, p50_ms=1.0):
    return {"rate": rate, "p50_ms": p50_ms, "p99_ms": 2.0, "p999_ms": 3.0,
            "worst_ms": 4.0, "cpu_us": cpu_us, "client_cpu_us": 1.0,
            "peak_rss_mb": 5.0}


class TestPlan(unittest.TestCase):
    def test_all_rows_have_names_of_their_own(self):
        names = [rows.name(r) for r in rows.all_of("ours")]
        self.assertEqual(len(names), 6 * 12 + 1)
        self.assertEqual(len(set(names)), len(names))

    def test_only(self):
        plan = rows.Plan("put/64")
        self.assertEqual([rows.name(r) for r in plan.rows("redis")],
                         ["put/64/1/100", "put/64/16/100", "put/64/1/1024",
                          "put/64/16/1024", "put/64/1/65536"])
        self.assertEqual(plan.floors() + plan.figures(), [])

    def test_acceptance_is_made_of_rows_that_exist(self):
        known = {"%s %s" % (rows.name(r), c) for c in rows.OPS for r in rows.all_of(c)}
        known |= {f + " floor" for f in rows.FLOORS} | {f + " ours" for f in rows.FIGURES}
        self.assertLessEqual(rows.for_acceptance(), known)


class TestTimes(unittest.TestCase):
    def test_correction_of_wrk_is_taken_out(self):
        rng = random.Random(1)
        for _ in range(50):
            times = {}
            for _ in range(rng.randrange(1, 200)):
                v = rng.choice((rng.randrange(1, 50), rng.randrange(1, 3000)))
                times[v] = times.get(v, 0) + rng.randrange(1, 5)
            count, micros, conns = 1000, rng.randrange(10000, 200000), 10
            seen = corrected(times, micros // (count // conns))
            # wrk shows nothing below the shortest time that there really was.
            shown = [(v, n) for v, n in sorted(seen.items()) if v >= min(times)]
            self.assertEqual(clients.without_correction(shown, micros, count, conns),
                             times)

    def test_quantiles(self):
        times = {v: 1 for v in range(1, 101)}
        self.assertEqual([clients.quantile(times, q) for q in (0.5, 0.99, 1)],
                         [50, 99, 100])
        self.assertEqual(clients.quantile({7: 3}, 0.999), 7)
        self.assertEqual(clients.quantile({}, 0.5), 0)

    def test_one_in_ten_is_a_put(self):
        ops = clients.operations("mix", 100)
        self.assertEqual(ops.count("put"), 10)
        self.assertEqual(clients.operations("local-follower", 2), ["local"] * 2)


class TestReport(unittest.TestCase):
    def setUp(self):
        self.results = report.Results()
        for ours, go in ((4000, 900), (5000, 1000), (9000, 4000)):
            self.results.add(report.PUT, "ours", a_row(ours, 1.0))
            self.results.add(report.PUT, "go", a_row(go, 10.0))

    def verdicts(self):
        return {line["asked"].strip(): report.verdict(line)
                for line in report.accept(self.results, 1000000)}

    def test_medians_and_ratios(self):
        self.assertEqual(self.results(report.PUT, "ours", "rate"), 5000)
        line = report.table(self.results)[2].split()
        self.assertEqual(line[0], "go")
        self.assertEqual(line[-2:], ["5.00", "0.10"])

    def test_medians_of_lists(self):
        self.assertEqual(report.middle([[1, 5], [2, 9], [3, 7]]), [2, 7])

    def test_acceptance(self):
        verdicts = self.verdicts()
        self.assertEqual(verdicts["PUT 64 conns: rate / Go raftexample's"], "holds")
        redis = "PUT 64 conns: rate / redis's with fsync"
        self.assertEqual(verdicts[redis], "not measured")
        self.results.add(report.PUT, "redis", a_row(10000))
        self.assertEqual(self.verdicts()[redis], "DOES NOT HOLD")

    def test_one_of_two_alternatives_is_enough(self):
        self.results.add(report.PUT16, "ours", a_row(150000))
        self.assertEqual(report.PUT16, "put/64/16/100")
        rate = "PUT 64 conns, depth 16: rate, 1000/s"
        self.assertEqual(self.verdicts()[rate], "holds")  # 150 times the Go program
        self.results.add(report.PUT16, "go", a_row(50000))
        self.assertEqual(self.verdicts()[rate], "DOES NOT HOLD")

    def test_plot(self):
        svg = plot.draw(self.results, "<title>")
        self.assertIn("&lt;title&gt;", svg)
        self.assertEqual(svg.count(">go</text>"), 1)


if __name__ == "__main__":
    unittest.main()
