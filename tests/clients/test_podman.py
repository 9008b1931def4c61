# SPDX-License-Identifier: Apache-2.0
"""README's line for containers, typed to podman as root: with mounts of its own, so that nothing of this machine's podman is
touched, and a seccomp profile that forbids socket(AF_VSOCK), as engines ship it by now (Debian 12's does not yet)."""

import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess

from hv.case import BUILD, Case, wait_for
from hv.daemon import ROOT

PROFILE = "/usr/share/containers/seccomp.json"
AF_VSOCK = 40
UID = 100000  # README's

# This machine's own programs are the image's. Limits that podman would raise are kept, for root of a container may not.
SETTINGS = """
[containers]
cgroups = "disabled"
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
netns = "none"
seccomp_profile = "{folder}/seccomp.json"
volumes = ["/usr/bin:/usr/bin:ro", "/usr/lib:/usr/lib:ro", "/usr/lib64:/usr/lib64:ro"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
tmp_dir = "/run/podman"
"""
STORAGE = """
[storage]
driver = "vfs"
graphroot = "/run/storage"
runroot = "/run/storage-run"
"""
MOUNTS = """
mount -t tmpfs run /run
mkdir /run/hvsockd
mount --bind "$1" /run/hvsockd
[ -e /sys/fs/cgroup/cgroup.controllers ] || { umount -l /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; }
shift
exec "$@"
"""
SERVER = """#!/usr/bin/python3
import os, socket
try:
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    print("socket(AF_VSOCK) is not forbidden", flush=True)
except OSError:
    print("uid", os.getuid(), "fds", os.environ["LISTEN_FDS"], os.environ["LISTEN_FDNAMES"], flush=True)
listener = socket.socket(fileno=3)
connection, _ = listener.accept()
connection.sendall(b"hello from the container")
connection.close()
"""


class Podman(Case):
    def setUp(self):
        super().setUp()
        if not shutil.which("podman") or not os.path.exists(PROFILE):
            self.skipTest("needs podman: `make check-clients` installs it")
        if os.geteuid() != 0:
            self.skipTest("mounts, and starts podman as root")
        self.d = self.daemon()
        self.c = self.client(self.d)
        self.root = self.d.folder / "image"
        for name in ("usr/sbin", "usr/local/bin", "etc", "proc", "sys", "dev", "run", "tmp"):
            (self.root / name).mkdir(parents=True)
        for name in ("bin", "lib", "lib64"):
            (self.root / name).symlink_to(f"usr/{name}")
        shutil.copy(BUILD / "hvsockctl", self.root / "usr/local/bin")
        program = self.root / "usr/sbin/guest-log"
        program.write_text(SERVER)
        program.chmod(0o755)
        self.write_settings()
        done = self.podman("run", "--rootfs", self.root, "/usr/bin/true").communicate(timeout=60)
        if any(done):
            self.skipTest(f"podman cannot run a container here: {(done[1] or done[0]).strip().splitlines()[-1]}")

    def write_settings(self):
        profile = json.loads(pathlib.Path(PROFILE).read_text())
        profile["syscalls"] = [rule for rule in profile["syscalls"] if "socket" not in rule["names"]]
        forbids = {"index": 0, "value": AF_VSOCK, "op": "SCMP_CMP_NE"}
        profile["syscalls"].append({"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [forbids]})
        (self.d.folder / "seccomp.json").write_text(json.dumps(profile))
        (self.d.folder / "containers.conf").write_text(SETTINGS.format(folder=self.d.folder))
        (self.d.folder / "storage.conf").write_text(STORAGE)

    def podman(self, *words):
        environment = {
            "PATH": os.environ["PATH"],
            "CONTAINERS_CONF": str(self.d.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.d.folder / "storage.conf"),
        }
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", MOUNTS, "sh", self.d.runtime, "podman", *words]
        return self.process(
            [str(word) for word in command], env=environment, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip

    def readme(self):
        """The service's line, and the words to type."""
        text = (ROOT / "README.md").read_text()
        handout = re.search(r"^    handout: (\{users: .*, socket: true\})$", text, re.MULTILINE).group(1)
        line = re.search(r"^    (podman run .*?[^\\])$", text, re.MULTILINE | re.DOTALL).group(1)
        words = shlex.split(line.replace("\\\n", " "))
        self.assertEqual((words[:2], words.count("IMAGE")), (["podman", "run"], 1))
        return json.loads(re.sub(r"(\w+):", r'"\1":', handout)), words[1:]

    def map_to(self, uid):
        """Options for that; the image is root's there."""
        for path in (self.root, *self.root.rglob("*")):
            os.chown(path, uid, uid, follow_symlinks=False)
        return ["--uidmap", f"0:{uid}:65536", "--gidmap", f"0:{uid}:65536"]

    def serves(self, options, uid):
        handout, words = self.readme()
        path = self.d.folder / "log.sock"
        self.c.call("Register", service={"name": "guest-log", "listen": [f"unix://{path}"], "handout": handout})
        image = words.index("IMAGE")
        server = self.podman(*words[:image], *options, "--rootfs", self.root, *words[image + 1 :])
        line = server.stdout.readline()
        self.assertEqual(line, "uid 0 fds 1 guest-log\n", line or server.stderr.read())
        (lease,) = self.c.call("Describe", name="guest-log")["service"]["runtime"]["leases"]
        self.assertEqual((lease["userId"], lease["program"].split()[0]), (uid, "guest-log"))
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(path))
            self.assertEqual(client.recv(100), b"hello from the container")
        self.assertEqual(server.wait(60), 0)
        wait_for(lambda: self.state(self.c, "guest-log") == "listening", 10)

    def test_root(self):
        self.serves([], 0)

    def test_mapped_users(self):
        """Root of the container is the host's uid 100000, whom handout.users names."""
        self.serves(self.map_to(UID), UID)

    def test_mapped_users_of_nobody(self):
        """... and one whom it does not name gets nothing."""
        handout, words = self.readme()
        self.c.call("Register", service={"name": "guest-log", "listen": [f"unix://{self.d.folder}/s"], "handout": handout})
        image = words.index("IMAGE")
        server = self.podman(*words[:image], *self.map_to(400000), "--rootfs", self.root, *words[image + 1 :])
        output, errors = server.communicate(timeout=60)
        self.assertEqual((server.returncode, output), (3, ""), errors)
        self.assertIn("guest-log", errors)
        self.assertIn("400000", errors)
