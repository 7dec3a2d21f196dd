"""A node that was away while a member came and all others went: it knows
neither the member nor its URL, and the member cannot go on without it."""

import unittest

from cluster import Cluster, wait_for


class NewerMember(unittest.TestCase):
    def change(self, node, method, target, body=None):
        wait_for(lambda: node.http(method, target, body).status in (204, 404),
                 "%s %s" % (method, target))

    def test_two_that_never_met_go_on_together(self):
        with Cluster(3) as c:
            self.assertEqual(c[1].put("/before", "x").status, 204)
            c.wait_caught_up()
            c[3].kill()
            newer = c.add_node(4)
            self.change(c[1], "POST", "/4", newer.url)
            newer.start()
            self.change(c[2], "DELETE", "/1")
            self.change(newer, "DELETE", "/2")
            wait_for(lambda: [m["id"] for m in newer.status()["members"]] == [3, 4],
                     "the member to be left with the one that is away")
            for gone in (c[1], c[2]):
                if gone.is_running():
                    gone.kill()  # it waits to tell the others of its removal
            c[3].start()
            wait_for(lambda: newer.put("/after", "x").status == 204, "a write")
            self.assertEqual(c[3].get("/before").body, b"x")
            self.assertEqual(c[3].get("/after").body, b"x")
            self.assertEqual([m["id"] for m in c[3].status()["members"]], [3, 4])

