# SPDX-License-Identifier: Apache-2.0
"""Sentences of hvsockd(8)'s security section that are no other test's: what the units may do, who is as good as root."""

import os
import pathlib
import re
import socket

from hv.case import BUILD, NOBODY, Case, wait_for
from hv.daemon import ROOT
from hv.varlink import Varlink

ADMINISTRATOR = 20001


class Security(Case):
    def page(self):
        text = (ROOT / "packaging/man/hvsockd.8").read_text()
        return text[text.index(".Sh SECURITY CONSIDERATIONS") :]

    def test_unit_is_as_the_page_says(self):
        part = self.page()
        part = part[part.index(".It Pa hvsockd.service") : part.index(".It Pa hvsock-keeper.service")]
        told = re.findall(r"^\.(?:Pq )?Ql ([A-Z][A-Za-z]+=.*?)(?: ,)?$", part, re.MULTILINE)
        unit = (ROOT / "packaging/systemd/hvsockd.service.in").read_text().splitlines()
        self.assertEqual(
            sorted(line.split("=")[0] for line in told),
            ["CapabilityBoundingSet", "NoNewPrivileges", "PrivateDevices", "ProtectSystem", "RestrictAddressFamilies", "User"],
        )
        for line in told:
            self.assertIn(line, unit)
        self.assertFalse([line for line in unit if line.startswith(("ReadWritePaths=", "BindPaths=", "DeviceAllow="))])
        # Nor could a program be started in it that is more than itself.
        self.assertFalse([line for line in unit if re.match("AmbientCapabilities=.", line)])
        keeper = (ROOT / "packaging/systemd/hvsock-keeper.service.in").read_text()
        self.assertNotRegex(keeper, "(?m)^(User|Protect|Private|Restrict|CapabilityBoundingSet|NoNewPrivileges)")

    def test_keeper_has_no_parsers(self):
        """What it is linked with: libc alone."""
        if not (BUILD / "hvsock-keeper").exists():
            self.skipTest("hvsock-keeper is not built")
        import subprocess

        done = subprocess.run(["ldd", BUILD / "hvsock-keeper"], capture_output=True, text=True, check=True)
        names = {line.split()[0].rsplit("/", 1)[-1].split(".")[0] for line in done.stdout.splitlines()}
        sanitizers = {"libgcc_s", "libm", "libasan", "libubsan", "libstdc++"} if "sanitize" in BUILD.name else set()
        self.assertLessEqual(names, {"linux-vdso", "libc", "ld-linux-x86-64", "ld-linux-aarch64"} | sanitizers)

    def test_reported_to_somebody(self):
        self.assertIn("Maintainer", self.page())
        self.assertRegex((ROOT / "packaging/debian/control").read_text(), r"(?m)^Maintainer: \S")

    def test_administrators_are_root(self):
        """... where the keeper is; delegates' programs are themselves, and others start none."""
        if os.geteuid() != 0:
            self.skipTest("programs become other users: needs root")
        settings = f'administrators: {{users: ["{ADMINISTRATOR}"]}}\ndelegations: [{{users: ["20002"], names: "mine-*"}}]\n'
        d = self.daemon(settings=settings)
        vm = d.folder / "vm"
        vm.mkdir()

        def register(name, port, user):
            service = {"name": name, "port": port, "listen": ["machine:web1"], "activate": {"mode": "accept", "exec": ["/usr/bin/id", "-u"]}}
            service["activate"]["user"] = user
            with Varlink(d.socket) as client:
                client.call("Register", service=service)

        def ask(port):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(20)
                client.connect(f"{vm}/v.sock_{port}")
                return client.makefile().read().strip()

        def add():
            with Varlink(d.socket) as client:
                client.call("AddMachine", machine={"name": "web1", "hybrid": str(vm / "v.sock")})

        self.as_user(ADMINISTRATOR, add)
        self.as_user(ADMINISTRATOR, lambda: register("any", 1, "root"))
        wait_for((vm / "v.sock_1").exists, 5)
        self.assertEqual(ask(1), "0")
        with self.refuses("NotAllowed"):
            self.as_user(20002, add)
        for user in ("root", str(ADMINISTRATOR)):
            with self.refuses("NotAllowed"):
                self.as_user(20002, lambda user=user: register("mine-1", 2, user))
        with self.refuses("NotAllowed"):
            self.as_user(NOBODY, lambda: register("other", 3, str(NOBODY)))

    def test_keeper_obeys_nobody_else(self):
        if os.geteuid() != 0:
            self.skipTest("asks as another user: needs root")
        d = self.daemon()
        path = d.runtime / "keeper"
        if not path.exists():
            self.skipTest("no keeper runs")
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        path.chmod(0o666)  # a slip of somebody's: the kernel's credentials are asked all the same

        def ask():
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                client.settimeout(10)
                try:
                    client.connect(str(path))
                    return client.recv(100).decode()
                except OSError as error:
                    return type(error).__name__

        self.assertIn(self.as_user(NOBODY, ask), ("", "ConnectionResetError", "ConnectionRefusedError"))
        self.assertTrue(pathlib.Path(f"/proc/{d.client().call('Status')['keeperProcessId']}").exists())
