"""The cases in which the Go program loses data or never starts again
(reliability 1, 3.3): ours refuses, or repairs and says so, or stops."""

import glob
import hashlib
import os
import shutil
import subprocess
import unittest

from cluster import Closed, Cluster, KeepAlive, wait_for

SHIM = r"""
/* Fails calls on files while the file named by FAIL_FLAG exists; its content
   says what: "fdatasync EIO" or "write ENOSPC". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

static int fails(const char *call)
{
    char text[64] = "";
    const char *path = getenv("FAIL_FLAG");
    FILE *f = path ? fopen(path, "r") : NULL;
    if (!f)
        return 0;
    if (!fgets(text, sizeof(text), f))
        text[0] = 0;
    fclose(f);
    if (strncmp(text, call, strlen(call)))
        return 0;
    errno = strstr(text, "ENOSPC") ? ENOSPC : EIO;
    return 1;
}

static int is_file(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fdatasync(int fd) { return fails("fdatasync") ? -1 : REAL(fdatasync)(fd); }
int fsync(int fd) { return fails("fdatasync") ? -1 : REAL(fsync)(fd); }
ssize_t pwrite(int fd, const void *p, size_t n, off_t o)
{
    return is_file(fd) && fails("write") ? -1 : REAL(pwrite)(fd, p, n, o);
}
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t o)
{
    return is_file(fd) && fails("write") ? -1 : REAL(pwrite64)(fd, p, n, o);
}
ssize_t pwritev(int fd, const struct iovec *v, int n, off_t o)
{
    return is_file(fd) && fails("write") ? -1 : REAL(pwritev)(fd, v, n, o);
}
ssize_t pwritev64(int fd, const struct iovec *v, int n, off64_t o)
{
    return is_file(fd) && fails("write") ? -1 : REAL(pwritev64)(fd, v, n, o);
}
"""


def segments(node):
    return sorted(glob.glob(os.path.join(node.wal_dir, "*.wal")))


def used_bytes(path):
    """Where the zeros begin that preallocation left."""
    with open(path, "rb") as f:
        return len(f.read().rstrip(b"\0"))


def digest(directory):
    h = hashlib.sha256()
    for path in sorted(glob.glob(os.path.join(directory, "*"))):
        h.update(os.path.basename(path).encode())
        with open(path, "rb") as f:
            h.update(f.read())
    return h.hexdigest()


class Damage(unittest.TestCase):
    def one_node_with_100_keys(self, **flags):
        c = Cluster(1, flags)
        with KeepAlive(c[1]) as k:
            for i in range(100):  # one by one: a sync group each
                self.assertEqual(k.put("/k%d" % i, "value %d" % i).status, 204)
        return c

    def check_all(self, node, n=100):
        with KeepAlive(node) as k:
            for i in range(n):
                self.assertEqual(k.get("/k%d" % i).body, b"value %d" % i)

    def refuses(self, node, *words):
        """Exit 1, one line that contains all the words, nothing changed."""
        before = digest(node.wal_dir) if os.path.isdir(node.wal_dir) else None
        node.start(wait=False)
        self.assertEqual(node.wait_exit(), 1)
        lines = [l for l in node.log().splitlines() if all(w in l for w in words)]
        self.assertTrue(lines, "%r not in:\n%s" % (words, node.log()))
        after = digest(node.wal_dir) if os.path.isdir(node.wal_dir) else None
        self.assertEqual(before, after, "something was changed on disk")

    def test_hole_in_mid_log_is_refused(self):
        for size in (8, 64, 512, 1024):
            with self.subTest(size), self.one_node_with_100_keys() as c:
                node = c[1]
                node.kill()
                path = segments(node)[-1]
                at = used_bytes(path) // 2 // 512 * 512
                with open(path, "r+b") as f:
                    f.seek(at)
                    kept = f.read(size)
                    self.assertTrue(kept.strip(b"\0"))
                    f.seek(at)
                    f.write(bytes(size))
                self.refuses(node, os.path.basename(path), "offset")
                with open(path, "r+b") as f:
                    f.seek(at)
                    f.write(kept)
                node.start()
                self.check_all(node)

    def test_flipped_bits_are_refused(self):
        with self.one_node_with_100_keys() as c:
            node = c[1]
            node.kill()
            path = segments(node)[-1]
            used = used_bytes(path)
            for at in range(used // 10, used * 9 // 10, used // 10):
                with open(path, "r+b") as f:
                    f.seek(at)
                    byte = f.read(1)[0]
                    f.seek(at)
                    f.write(bytes([byte ^ 0x10]))
                self.refuses(node, os.path.basename(path), "offset")
                with open(path, "r+b") as f:
                    f.seek(at)
                    f.write(bytes([byte]))
            node.start()
            self.check_all(node)

    def test_file_cut_inside_its_last_record_starts(self):
        with self.one_node_with_100_keys() as c:
            node = c[1]
            node.kill()
            path = segments(node)[-1]
            os.truncate(path, used_bytes(path) - 5)
            node.start()
            self.check_all(node, 99)  # the last one was in the record
            self.assertTrue(glob.glob(path + "*.broken"), os.listdir(node.wal_dir))
            self.assertTrue([l for l in node.said(os.path.basename(path))
                             if "offset" in l])
            self.assertEqual(node.put("/after", "x").status, 204)
            node.kill()
            node.start()
            self.check_all(node, 99)
            self.assertEqual(node.get("/after").body, b"x")

    def test_missing_wal_directory_is_refused(self):
        with self.one_node_with_100_keys() as c:
            node = c[1]
            node.kill()
            shutil.rmtree(node.wal_dir)
            self.refuses(node, node.wal_dir)
            self.assertFalse(os.path.exists(node.wal_dir))

    def test_damaged_snapshot_falls_back(self):
        with self.one_node_with_100_keys(snapshot_count=30,
                                         snapshot_catchup_entries=1000) as c:
            node = c[1]
            # A file counts when the log has its marker; that one comes later.
            wait_for(lambda: len(node.said("snapshot saved")) == 3, "3 snapshots")
            node.kill()
            snaps = sorted(glob.glob(os.path.join(node.snap_dir, "*.snap")))
            self.assertGreaterEqual(len(snaps), 2)
            with open(snaps[-1], "r+b") as f:
                f.seek(30)
                byte = f.read(1)[0]
                f.seek(30)
                f.write(bytes([byte ^ 1]))
            node.start()
            self.check_all(node)
            self.assertTrue(os.path.exists(snaps[-1] + ".broken"))
            self.assertTrue(node.said(os.path.basename(snaps[-1])))


class Faults(unittest.TestCase):
    """Errors of system calls, by a library that is loaded before libc."""

    @classmethod
    def setUpClass(cls):
        cc = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
        if not cc:
            raise unittest.SkipTest("there is no C compiler")
        cls.cluster = Cluster(0, start=False)  # for its directory
        cls.shim = os.path.join(cls.cluster.dir, "shim.so")
        source = os.path.join(cls.cluster.dir, "shim.c")
        with open(source, "w") as f:
            f.write(SHIM)
        subprocess.run(cc.split() + ["-shared", "-fPIC", "-o", cls.shim, source, "-ldl"],
                       check=True)

    @classmethod
    def tearDownClass(cls):
        cls.cluster.__exit__(None, None, None)

    def env(self, c):
        self.flag = os.path.join(c.dir, "fail")
        return {"LD_PRELOAD": self.shim, "FAIL_FLAG": self.flag,
                # The library cannot come before a sanitizer's.
                "ASAN_OPTIONS": "verify_asan_link_order=0"}

    def fail(self, text):
        with open(self.flag, "w") as f:
            f.write(text)

    def stops(self, node, word):
        """Writes until the node ends: never 204; status 1; one ERROR line."""
        answers = []
        for i in range(20):
            try:
                answers.append(node.put("/bad%d" % i, "x", timeout=10).status)
            except (OSError, Closed):
                pass
            if not node.is_running():
                break
        self.assertNotIn(204, answers)
        self.assertEqual(node.wait_exit(), 1)
        lines = [l for l in node.said("error") if node.wal_dir in l and word in l]
        self.assertTrue(lines, node.log())

    def check_case(self, what, word):
        with Cluster(1, start=False) as c:
            node = c[1].start(env=self.env(c))
            wait_for(lambda: node.put("/k", "kept").status == 204, "a leader")
            self.fail(what)
            self.stops(node, word)
            os.unlink(self.flag)
            node.start()
            wait_for(lambda: node.get("/k").status == 200, "a leader")
            self.assertEqual(node.get("/k").body, b"kept")
            wait_for(lambda: node.put("/k", "new").status == 204, "a write")

    def test_sync_that_fails_stops_the_node(self):
        self.check_case("fdatasync EIO", "sync")

    def test_full_disk_stops_the_node(self):
        self.check_case("write ENOSPC", "No space left")

    def test_others_go_on_when_one_disk_fails(self):
        with Cluster(3, start=False) as c:
            env = self.env(c)
            bad = c[1].start(env=env, wait=False)
            c[2].start(wait=False)
            c[3].start(wait=False)
            for node in c.nodes:
                node.wait_listening()
            c.wait_leader()
            wait_for(lambda: c[1].put("/k", "v").status == 204, "a write")
            self.fail("fdatasync EIO")
            self.assertEqual(wait_for(
                lambda: c[2].put("/k", "w").status == 204 and 204, "a write"), 204)
            self.assertEqual(bad.wait_exit(), 1)
            self.assertEqual(c[3].get("/k").body, b"w")
            os.unlink(self.flag)
            bad.start()
            c.wait_caught_up()
            self.assertEqual(bad.get("/k").body, b"w")

    def test_full_disk_at_start_leaves_nothing_half_made(self):
        with Cluster(1, start=False) as c:
            env = self.env(c)
            self.fail("write ENOSPC")
            c[1].start(env=env, wait=False)
            self.assertEqual(c[1].wait_exit(), 1)
            os.unlink(self.flag)
            c[1].start()
            wait_for(lambda: c[1].put("/k", "v").status == 204, "a write")
