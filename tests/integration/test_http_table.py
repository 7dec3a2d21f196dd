"""The table of hostile HTTP, over real sockets, at both ports of a daemon."""

import os
import subprocess
import unittest

from cluster import BINARY, PATIENCE, Cluster

# Built beside the daemon; tests/http has it.
PROGRAM = os.path.join(os.path.dirname(BINARY), "tests", "check_http")


class HttpTable(unittest.TestCase):
    def check(self, what, port, node):
        p = subprocess.run([PROGRAM, what, str(port)], capture_output=True,
                           text=True, timeout=600 * PATIENCE)
        print("    " + p.stdout.splitlines()[-2] if p.returncode == 0 else "")
        self.assertEqual(p.returncode, 0, p.stdout[-4000:] + p.stderr)
        self.assertTrue(node.is_running())
        self.assertLess(node.n_fds(), 64)

    def test_every_case_cut_everywhere(self):
        if not os.access(PROGRAM, os.X_OK):
            self.skipTest("%s is not built: make tests" % PROGRAM)
        with Cluster(1, {"max_value_size": "64B", "client_timeout": "2s"}) as c:
            self.assertEqual(c[1].put("/k", b"v").status, 204)
            self.check("client", c[1].port, c[1])
            self.check("peer", c[1].peer_port, c[1])
            self.assertEqual(c[1].get("/k").status, 200)
