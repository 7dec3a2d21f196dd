"""File systems that lose their power: each node's directory on one of its own.

A file system in a file, mounted through a loop device, is shut down by the
ioctl that its own test suite uses: what was synced is there at the next mount,
what was not is gone, and every call until then fails. Needs root.
"""

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile

from nodes import TortureCluster

# FS_IOC_SHUTDOWN, and "do not even write the journal"; ext4 and xfs have both
# from here.
SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = struct.pack("I", 2)

# A segment takes 64 MB beforehand, and one more while it is cut.
SIZES = {"ext4": "400M", "xfs": "600M"}
MKFS = {"ext4": ["mkfs.ext4", "-q", "-m0"], "xfs": ["mkfs.xfs", "-q"]}


class Disk:
    def __init__(self, kind, image, mount_point):
        self.image = image
        self.mount_point = mount_point
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
            disk.cut()
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

    def cut_power(self, nodes):
        """The disks first: from then on nothing can be acknowledged."""
        for node in nodes:
            self.disks[node.id].cut()
        for node in nodes:
            node.kill()
            self.disks[node.id].unmount()
            self.disks[node.id].mount()
