# SPDX-License-Identifier: Apache-2.0
"""README's line for containers, typed to podman as root, and as a user of no rights: with mounts of its own, so that nothing of
this machine's podman is touched, and a seccomp profile that forbids socket(AF_VSOCK), as engines ship it by now (Debian 12's does
not yet)."""

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
USER = ("vmuser", 23456)  # rootless; this machine has no such user

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
tmp_dir = "{run}/podman"
"""
STORAGE = """
[storage]
driver = "vfs"
graphroot = "{run}/storage"
runroot = "{run}/storage-run"
"""
MOUNTS = """
mount -t tmpfs run /run
mkdir /run/hvsockd
mount --bind "$1" /run/hvsockd
[ -e /sys/fs/cgroup/cgroup.controllers ] || { umount -l /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; }
shift
"""
# As an administrator would have prepared it: a user, its range in /etc/subuid and /etc/subgid, and a runtime folder as of a session.
BECOMES = """
user=$1 uid=$2
shift 2
mkdir /run/etc
for name in passwd group subuid subgid; do
    cp /etc/$name /run/etc/
done
echo "$user:x:$uid:$uid::/run/user/$uid:/bin/sh" >>/run/etc/passwd
echo "$user:x:$uid:" >>/run/etc/group
echo "$user:100000:65536" | tee /run/etc/subuid >/run/etc/subgid
for name in passwd group subuid subgid; do
    mount --bind /run/etc/$name /etc/$name
done
install -d /run/user
install -d -o "$uid" -g "$uid" -m 0700 "/run/user/$uid"
cd /
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups env HOME="/run/user/$uid" XDG_RUNTIME_DIR="/run/user/$uid" USER="$user" "$@"
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
    RUN = "/run"

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
        self.prepare()
        process = self.podman("run", "--rootfs", self.root, "/usr/bin/true")
        done = process.communicate(timeout=300)
        if process.returncode != 0:
            self.skipTest(f"podman cannot run a container here: {(done[1] or done[0] or 'it does not say why').strip().splitlines()[-1]}")

    def prepare(self):
        pass

    def write_settings(self):
        profile = json.loads(pathlib.Path(PROFILE).read_text())
        profile["syscalls"] = [rule for rule in profile["syscalls"] if "socket" not in rule["names"]]
        forbids = {"index": 0, "value": AF_VSOCK, "op": "SCMP_CMP_NE"}
        profile["syscalls"].append({"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [forbids]})
        (self.d.folder / "seccomp.json").write_text(json.dumps(profile))
        (self.d.folder / "containers.conf").write_text(SETTINGS.format(folder=self.d.folder, run=self.RUN))
        (self.d.folder / "storage.conf").write_text(STORAGE.format(run=self.RUN))

    def line(self, *words):
        """podman, as root, in mounts of its own."""
        return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", MOUNTS + 'exec "$@"', "sh", self.d.runtime, "podman", *words]

    def podman(self, *words):
        environment = {
            "PATH": os.environ["PATH"],
            "CONTAINERS_CONF": str(self.d.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.d.folder / "storage.conf"),
        }
        return self.process(
            [str(word) for word in self.line(*words)], env=environment, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
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

    def readme_of_user(self):
        """What README says instead for who has no rights."""
        text = re.search(r"`handout: (\{users: \[alice.*?\], socket: true\})`", (ROOT / "README.md").read_text()).group(1)
        return json.loads(re.sub(r"(\w+):", r'"\1":', text).replace("alice", f'"{USER[1]}"'))

    def map_to(self, uid):
        """Options for that; the image is root's there."""
        for path in (self.root, *self.root.rglob("*")):
            os.chown(path, uid, uid, follow_symlinks=False)
        return ["--uidmap", f"0:{uid}:65536", "--gidmap", f"0:{uid}:65536"]

    def serves(self, options, uid, handout=None, inside=0):
        ours, words = self.readme()
        handout = handout or ours
        path = self.d.folder / "log.sock"
        self.c.call("Register", service={"name": "guest-log", "listen": [f"unix://{path}"], "handout": handout})
        image = words.index("IMAGE")
        server = self.podman(*words[:image], *options, "--rootfs", self.root, *words[image + 1 :])
        line = server.stdout.readline()
        self.assertEqual(line, f"uid {inside} fds 1 guest-log\n", line or server.stderr.read())
        (lease,) = self.c.call("Describe", name="guest-log")["service"]["runtime"]["leases"]
        self.assertEqual((lease["userId"], lease["program"].split()[0]), (uid, "guest-log"))
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(300)
            client.connect(str(path))
            self.assertEqual(client.recv(100), b"hello from the container")
        self.assertEqual(server.wait(300), 0)
        wait_for(lambda: self.state(self.c, "guest-log") == "listening", 10)

    def gets_nothing(self, options, uid, handout):
        words = self.readme()[1]
        self.c.call("Register", service={"name": "guest-log", "listen": [f"unix://{self.d.folder}/s"], "handout": handout})
        image = words.index("IMAGE")
        server = self.podman(*words[:image], *options, "--rootfs", self.root, *words[image + 1 :])
        output, errors = server.communicate(timeout=300)
        self.assertEqual((server.returncode, output), (3, ""), errors)
        self.assertIn("guest-log", errors)
        self.assertIn(str(uid), errors)


class Root(Podman):
    def test_root(self):
        self.serves([], 0)

    def test_mapped_users(self):
        """Root of the container is the host's uid 100000, whom handout.users names."""
        self.serves(self.map_to(UID), UID)

    def test_mapped_users_of_nobody(self):
        """... and one whom it does not name gets nothing."""
        self.gets_nothing(self.map_to(400000), 400000, self.readme()[0])


class Rootless(Podman):
    """podman of a user: root of its container is that user, and the rest of it is the user's range in /etc/subuid."""

    RUN = f"/run/user/{USER[1]}"

    def prepare(self):
        if not shutil.which("newuidmap"):
            self.skipTest("needs newuidmap: `make check-clients` installs it")
        for path in (self.root, *self.root.rglob("*")):
            os.chown(path, USER[1], USER[1], follow_symlinks=False)

    def line(self, *words):
        """In a tree of processes of its own, too: podman leaves one behind that keeps the user's namespace."""
        unshare = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
        return [*unshare, "sh", "-ec", MOUNTS + BECOMES, "sh", self.d.runtime, *USER, "podman", *words]

    def test_root_of_it(self):
        self.serves([], USER[1], self.readme_of_user())

    def test_a_user_of_it(self):
        """One of the user's range: uid 1000 there is UID + 999 here."""
        self.serves(["--user", "1000"], UID + 999, self.readme_of_user(), inside=1000)

    def test_not_named(self):
        """Root of the container is no root, and not the range's first: who is not named himself gets nothing."""
        self.gets_nothing([], USER[1], self.readme()[0])

