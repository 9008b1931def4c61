# SPDX-License-Identifier: Apache-2.0
"""A real ssh by ProxyCommand `hvsockctl connect`, as packaging/ssh/ssh_config has it, into a machine whose sshd is a real one."""

import os
import pathlib
import pwd
import shutil
import subprocess
import unittest

from hv.daemon import ROOT
from peers import Peers

CONFIG = ROOT / "packaging/ssh/ssh_config"
# Debian's package starts a server where it is installed; tests/vm/setup takes the program alone out of it.
UNPACKED = ROOT / ".build/vm/cache/sshd"

# In namespaces of its own: the user and the folder that sshd wants, whatever this machine has.
SERVER = """
mount --bind {folder}/passwd /etc/passwd && mount --bind {folder}/shadow /etc/shadow && mount -t tmpfs tmpfs /run &&
mkdir -p /run/sshd && exec {sshd} -i -f {folder}/sshd_config 2>>{folder}/log
"""


def find_sshd():
    for path in (pathlib.Path("/usr/sbin/sshd"), UNPACKED / "usr/sbin/sshd"):
        if path.exists():
            return path
    return None


@unittest.skipUnless(shutil.which("ssh"), "there is no ssh")
class Ssh(Peers):
    RUNS = True

    def setUp(self):
        super().setUp()
        self.c = self.client(self.d)
        self.environment = {**self.d.ctl_environment(), "HOME": str(self.d.folder)}
        self.environment["PATH"] = f"{os.path.dirname(self.d.ctl_command()[0])}:{self.environment['PATH']}"

    def run_ssh(self, *arguments, program="ssh", data=b"", expect=0, **options):
        done = subprocess.run(
            [program, "-o", "BatchMode=yes", "-o", f"IdentityFile={self.path('key')}", "-o", "IdentitiesOnly=yes",
             "-o", f"UserKnownHostsFile={self.path('known_hosts')}", "-o", "ConnectTimeout=30", *arguments],
            env=self.environment, input=data, capture_output=True, timeout=60, **options)
        self.assertEqual(done.returncode, expect, done.stderr.decode() + self.log())
        return done.stdout

    def log(self):
        path = self.d.folder / "log"
        return path.read_text(errors="replace")[-2000:] if path.exists() else ""

    def test_example_is_read(self):
        text = subprocess.run(["ssh", "-G", "-F", CONFIG, "web1.hvsock"], env=self.environment, capture_output=True, text=True, check=True).stdout
        self.assertIn("proxyusefdpass yes\n", text)
        self.assertIn('exec hvsockctl connect --pass-fd "ssh@${1%%.hvsock}"\' - %h', text)
        text = subprocess.run(["ssh", "-G", "-F", CONFIG, "web1"], env=self.environment, capture_output=True, text=True, check=True).stdout
        self.assertNotIn("hvsockctl", text)

    def test_no_machine(self):
        """What hvsockctl says is what the person reads."""
        self.c.call("Register", service={"name": "ssh", "port": 22, "listen": []})
        done = subprocess.run(["ssh", "-F", CONFIG, "-o", "BatchMode=yes", "web9.hvsock", "true"], env=self.environment, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 255)
        self.assertIn("hvsockctl: ssh@web9: there is no machine web9; hvsockctl machine list", done.stderr)

    def make_server(self):
        """What a connection of sshd's is started with."""
        sshd, folder = find_sshd(), self.d.folder
        if not sshd:
            self.skipTest("there is no sshd; tests/vm/setup fetches one")
        if os.getuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
            self.skipTest("gives sshd a user and folders of its own: needs root and mount namespaces")
        for name in ("key", "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.path(name)], check=True, env=self.environment)
        shutil.copy(self.path("key.pub"), self.path("authorized_keys"))
        (folder / "known_hosts").write_text("web1,web1.hvsock " + (folder / "host_key.pub").read_text())
        root = pwd.getpwuid(0)
        (folder / "passwd").write_text(f"root:x:0:0:root:{folder}:{root.pw_shell}\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n")
        (folder / "shadow").write_text("root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n")
        (folder / "sshd_config").write_text(
            f"HostKey {folder}/host_key\nAuthorizedKeysFile {folder}/authorized_keys\nUsePAM no\nStrictModes no\nPidFile none\n"
            "PermitRootLogin yes\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n")
        return ["unshare", "-m", "sh", "-c", SERVER.format(folder=folder, sshd=sshd)]

    def test_login(self):
        server = self.make_server()
        library = next(UNPACKED.glob("usr/lib/*"), "")

        def handle(connection):
            line = b""
            while not line.endswith(b"\n"):
                line += connection.recv(1)
            if line != b"CONNECT 22\n":
                return
            connection.sendall(b"OK 1073741824\n")
            connection.setblocking(True)
            subprocess.run(server, stdin=connection, stdout=connection, stderr=subprocess.DEVNULL, env={**os.environ, "LD_LIBRARY_PATH": str(library)})

        (self.d.folder / "vm").mkdir()
        path = self.server(handle, name="vm/v.sock")
        self.c.call("AddMachine", machine={"name": "web1", "hybrid": path})
        self.c.call("Register", service={"name": "ssh", "port": 22, "listen": []})
        proxy = ["-F", "/dev/null", "-o", "ProxyCommand=hvsockctl connect ssh@web1", "root@web1"]
        example = ["-F", str(CONFIG), "root@web1.hvsock"]
        for options in (proxy, example):
            with self.subTest(options[1]):
                self.assertEqual(self.run_ssh(*options, "tr a-z A-Z; exit 0", data=b"hello\n" * 50000), b"HELLO\n" * 50000)
                self.run_ssh(*options, "exit 7", expect=7)
        data = self.volume(8 << 20)
        (self.d.folder / "file").write_bytes(data)
        for config, host in ((["-F", "/dev/null", "-o", "ProxyCommand=hvsockctl connect ssh@web1"], "web1"), (["-F", str(CONFIG)], "web1.hvsock")):
            (self.d.folder / "copy").unlink(missing_ok=True)
            self.run_ssh(*config, self.path("file"), f"root@{host}:{self.path('copy')}", program="scp")
            self.assertTrue((self.d.folder / "copy").read_bytes() == data, config)
