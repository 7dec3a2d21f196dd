"""File systems that lose their power: each node's directory on one of its own.

A file system in a file, mounted through a loop device, is shut down by the
ioctl that its own test suite uses: what was synced is there at the next mount,
what was not is gone, and every call until then fails with EIO. Needs root.

A sync must not be under way at that moment: ext4's shutdown lets some of those
succeed whose data is then lost (2 of 40 in a small program of one loop of write
and sync). So the process is stopped between two calls, and the cut comes there;
a power cut inside a sync is the simulator's business.

A thin disk, whose space below runs out, is no test of ours: the loop driver
takes a write that was cut short for done, and then a sync that succeeded has
lost data. (The node notices, when the leader's heartbeat comes: F12.)
"""

import ctypes
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile

from nodes import TortureCluster

libc = ctypes.CDLL(None)

# FS_IOC_SHUTDOWN, and "do not even write the journal"; ext4 and xfs have both
# from here.
SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = struct.pack("I", 2)

# A segment takes 64 MB beforehand, and one more while it is cut.
SIZES = {"ext4": "400M", "xfs": "600M"}
MKFS = {"ext4": ["mkfs.ext4", "-q", "-m0"], "xfs": ["mkfs.xfs", "-q"]}


def write_all(path):
    """Write until there is no space left, and sync that."""
    with open(path, "wb") as f:
        size = 1 << 26
        while size >= 4096:
            try:
                os.posix_fallocate(f.fileno(), os.fstat(f.fileno()).st_size, size)
            except OSError as e:
                if e.errno != errno.ENOSPC:
                    raise
                size //= 2
        os.fsync(f.fileno())
    fd = os.open(os.path.dirname(path), os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def write_back(directory):
    """Write the files' bytes to disk, but not where the new ones are: blocks
    that were in use get their new content, others are lost."""
    for name in os.listdir(directory):
        fd = os.open(os.path.join(directory, name), os.O_RDONLY)
        libc.sync_file_range(fd, ctypes.c_int64(0), ctypes.c_int64(0), 7)
        os.close(fd)


class Disk:
    """A file system of `kind` in the file `image`, mounted."""

    def __init__(self, kind, image, mount_point):
        self.image = image
        self.mount_point = mount_point
        self.hog = os.path.join(mount_point, "hog")
        subprocess.run(["truncate", "-s", SIZES[kind], image], check=True)
        subprocess.run(MKFS[kind] + [image], check=True)
        self.mount()

    def mount(self):
        subprocess.run(["mount", "-o", "loop", self.image, self.mount_point], check=True)

    def cut(self):
        fd = os.open(self.mount_point, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, NO_LOG_FLUSH)
        finally:
            os.close(fd)

    def unmount(self):
        subprocess.run(["umount", self.mount_point], check=True)

    def fill(self):
        write_all(self.hog)

    def empty(self):
        os.unlink(self.hog)


def keeps_what_was_synced(disk):
    """Whether a cut loses what was not synced, and nothing else."""
    names = [os.path.join(disk.mount_point, n) for n in ("synced", "unsynced")]
    for name in names:
        with open(name, "wb") as f:
            f.write(b"x" * 1000)
            if name is names[0]:
                f.flush()
                os.fsync(f.fileno())
                os.sync()
    disk.cut()
    disk.unmount()
    disk.mount()
    return [os.path.exists(n) and os.path.getsize(n) for n in names] == [1000, 0]


def why_not(kind):
    """The reason why there can be no power cuts here, None if there is none."""
    if os.geteuid() != 0:
        return "not root"
    if not shutil.which(MKFS[kind][0]):
        return "there is no " + MKFS[kind][0]
    with tempfile.TemporaryDirectory() as d:
        point = os.path.join(d, "mnt")
        os.mkdir(point)
        try:
            disk = Disk(kind, os.path.join(d, "image"), point)
        except (OSError, subprocess.CalledProcessError) as e:
            return "no loop mount: %s" % e
        try:
            if not keeps_what_was_synced(disk):
                return "a shutdown of the file system keeps what was not synced"
        except OSError as e:
            return "no shutdown of a file system: %s" % e
        finally:
            disk.unmount()
    return None


class PowerCluster(TortureCluster):
    def __init__(self, kind, n=3, flags=None):
        self.kind = kind
        self.disks = {}
        super().__init__(n, flags)

    def new_node(self, node_id):
        node = super().new_node(node_id)
        self.disks[node_id] = Disk(
            self.kind, os.path.join(self.dir, "image%d" % node_id), node.data)
        return node

    def __exit__(self, *why):
        # The directory is removed by the cluster, when nothing is mounted.
        for node in self.nodes:
            if node.is_running():
                node.stop()
        for disk in self.disks.values():
            disk.unmount()
        super().__exit__(*why)

    def break_disk(self, node):
        """From now on every call on it fails."""
        node.pause()
        self.disks[node.id].cut()
        node.resume()

    def mend_disk(self, node):
        self.disks[node.id].unmount()
        self.disks[node.id].mount()

    def cut_power(self, nodes, torn=False):
        """All at one moment: nothing is acknowledged between two of them. With
        `torn`, the kernel had begun to write what was not synced yet."""
        for node in nodes:
            if node.is_running():
                node.pause()
        for node in nodes:
            if torn:
                write_back(node.wal_dir)
            self.disks[node.id].cut()
        for node in nodes:
            node.kill()
            self.mend_disk(node)
