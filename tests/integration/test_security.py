# SPDX-License-Identifier: Apache-2.0
"""Sentences of hvsockd(8)'s security section that are no other test's: what the units may do, who is as good as root."""

import ctypes
import errno
import json
import os
import pathlib
import re
import socket
import stat
import subprocess
import unittest

from hv.case import BUILD, NOBODY, Case, wait_for
from hv.daemon import ROOT
from hv.varlink import Varlink

ADMINISTRATOR = 20001
GROUP = 20100
# What everybody who reaches the socket may ask; all else is refused.
READING = {"List", "Describe", "Lookup", "ListMachines", "Watch", "Status"}
METHODS = {
    "Register": {"service": {"name": "b", "port": 1}},
    "Unregister": {"name": "a"},
    "SetEnabled": {"name": "a", "enabled": False},
    "Describe": {"name": "a"},
    "Lookup": {"name": "a"},
    "Apply": {"services": []},
    "Acquire": {"names": ["a"]},
    "Serve": {"name": "a"},
    "AddMachine": {"machine": {"name": "web2", "cid": 4712}},
    "RemoveMachine": {"name": "web1"},
}


def open_of_another(pid, number):
    """What another process has open, by pidfd_getfd(2); None where it has closed that meanwhile."""
    pidfd = os.pidfd_open(pid)
    fd = ctypes.CDLL(None, use_errno=True).syscall(438, pidfd, number, 0)
    error = ctypes.get_errno()
    os.close(pidfd)
    if fd < 0 and error in (errno.EPERM, errno.ENOSYS):
        raise unittest.SkipTest("pidfd_getfd(2) is refused here")
    return None if fd < 0 else fd


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
                client.settimeout(60)
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
                client.settimeout(60)
                try:
                    client.connect(str(path))
                    return client.recv(100).decode()
                except OSError as error:
                    return type(error).__name__

        self.assertIn(self.as_user(NOBODY, ask), ("", "ConnectionResetError", "ConnectionRefusedError"))
        self.assertTrue(pathlib.Path(f"/proc/{d.client().call('Status')['keeperProcessId']}").exists())

    # ---- who can do what ----

    def nobody_asks(self, d, uid=NOBODY):
        """Each method of the interface, as this user: the error, or None."""
        text = self.client(d).call("org.varlink.service.GetInterfaceDescription", interface="io.hvsock.Registry")["description"]
        methods = re.findall(r"^method (\w+)\(", text, re.MULTILINE)
        self.assertGreater(len(methods), 15)

        def ask():
            answers = {}
            for method in methods:
                with d.client() as client:
                    client.send(method, METHODS.get(method, {}))
                    error = client.receive_message().json.get("error")
                    answers[method] = None if error == "org.varlink.service.ExpectedMore" else error
            return answers

        return self.as_user(uid, ask)

    def with_something(self, **options):
        d = self.daemon(**options)
        with d.client() as client:
            activate = {"mode": "accept", "exec": ["/bin/cat"], "environment": {"TOKEN": "secret"}}
            client.call("Register", service={"name": "a", "listen": [f"unix://{d.folder}/a"], "activate": activate, "handout": {"users": ["65534"]}})
            client.call("AddMachine", machine={"name": "web1", "cid": 4711})
        return d

    def test_everybody_reads_and_changes_nothing(self):
        """Of all methods, also of those to come."""
        if os.geteuid() != 0:
            self.skipTest("asks as another user: needs root")
        d = self.with_something()
        before = json.dumps(self.client(d).list()), json.dumps(self.client(d).list("ListMachines", "machine"))
        answers = self.nobody_asks(d, uid=20003)
        self.assertEqual({method for method, error in answers.items() if not error}, READING)
        self.assertEqual({error for error in answers.values() if error}, {"io.hvsock.Registry.NotAllowed"})
        self.assertEqual((json.dumps(self.client(d).list()), json.dumps(self.client(d).list("ListMachines", "machine"))), before)

    def test_without_a_place_in_the_user_namespace(self):
        """hvsockd in a namespace that has root alone: who else comes is uid 65534 for it, as whoever else would be."""
        if os.geteuid() != 0:
            self.skipTest("asks as another user: needs root")
        done = subprocess.run(["unshare", "--user", "--map-root-user", "true"], capture_output=True, text=True)
        if done.returncode:  # as in a chroot
            self.skipTest(f"no user namespace here: {done.stderr.strip()}")
        settings = 'administrators: {users: ["65534"]}\ndelegations: [{users: ["65534"], names: "*"}]\n'
        d = self.daemon(settings=settings, start=False)
        command = d.command()
        d.command = lambda: ["unshare", "--user", "--map-root-user", *command]
        d.start()
        with d.client() as client:
            client.call("Register", service={"name": "a", "listen": [f"unix://{d.folder}/a"], "handout": {"users": ["65534"]}})
            client.call("AddMachine", machine={"name": "web1", "cid": 4711})
        answers = self.nobody_asks(d, uid=20003)
        self.assertEqual({method for method, error in answers.items() if not error}, READING)

    def test_groups_that_are_joined_later(self):
        """Count with new connections, and not with those of before."""
        if os.geteuid() != 0:
            self.skipTest("becomes another user: needs root")
        d = self.daemon(settings=f"administrators: {{groups: [{GROUP}]}}\n")

        def connect(groups):
            os.setgroups(groups)
            os.setegid(NOBODY)
            os.seteuid(NOBODY)
            client = d.client()
            os.seteuid(0)
            return client

        def run():
            with connect([]) as before, connect([GROUP]) as after:
                return [before.refused("Reload").short, after.call("Reload")["changes"], before.refused("Reload").short]

        self.assertEqual(self.as_user(0, run), ["NotAllowed", [], "NotAllowed"])

    def test_guests_do_not_reach_the_api(self):
        """Neither hvsockd nor its keeper has a socket that is not a unix one, or the kernel's, but for services' sake."""
        if os.geteuid() != 0:
            self.skipTest("looks at sockets of others: needs root")
        d = self.daemon()
        with d.client() as client:
            client.call("Register", service={"name": "a", "listen": [f"unix://{d.folder}/a"], "activate": {"mode": "accept", "exec": ["/bin/cat"]}})
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(60)
                peer.connect(f"{d.folder}/a")
                peer.sendall(b"x")
                self.assertEqual(peer.recv(1), b"x")
                for pid in (d.pid, wait_for(d.keeper)):
                    families = self.families_of(pid)
                    self.assertIn(socket.AF_UNIX, families)
                    self.assertLessEqual(families, {socket.AF_UNIX, socket.AF_NETLINK})

    def families_of(self, pid):
        families = set()
        for number in os.listdir(f"/proc/{pid}/fd"):
            one = open_of_another(pid, int(number))
            if one is None:
                continue
            if stat.S_ISSOCK(os.fstat(one).st_mode):
                with socket.socket(fileno=one) as copy:
                    families.add(copy.family)
            else:
                os.close(one)
        return families

    def test_users_of_machines(self):
        """One of them removes what is there and answers in its place: that is told, and no other machine's."""
        if os.geteuid() != 0:
            self.skipTest("becomes another user: needs root")
        d = self.daemon()
        client = d.client()
        self.things.callback(client.close)
        for name, uid in (("web1", 20011), ("web2", 20012)):
            folder = d.folder / name
            folder.mkdir(mode=0o700)
            os.chown(folder, uid, uid)
            client.call("AddMachine", machine={"name": name, "hybrid": str(folder / "v.sock"), "user": str(uid)})
        client.call("Register", service={"name": "a", "port": 99, "listen": ["machine:*"]})
        path = d.folder / "web1/v.sock_99"
        code = f"""
import os, socket, time
os.setgroups([]); os.setresgid(20011, 20011, 20011); os.setresuid(20011, 20011, 20011)
try:
    os.unlink({str(d.folder / "web2/v.sock_99")!r})
except PermissionError:
    pass
listener = socket.socket(socket.AF_UNIX)
while True:
    os.unlink({str(path)!r})
    try:
        listener.bind({str(path)!r})
        break
    except OSError:
        pass  # hvsockd was faster
listener.listen()
print(flush=True)
while True:
    listener.accept()[0].sendall(b"theirs")
"""
        other = self.python(code, stdout=subprocess.PIPE)
        self.assertEqual(other.stdout.readline(), "\n")

        def states():
            listeners = client.call("Describe", name="a")["service"]["runtime"]["listeners"]
            return {l["machine"]: (l["state"], l.get("reason", "")) for l in listeners}

        wait_for(lambda: f"served by process {other.pid}" in states()["web1"][1], 20, states)
        self.assertEqual(states()["web2"], ("listening", ""))
        with socket.socket(socket.AF_UNIX) as guest:
            guest.settimeout(60)
            guest.connect(str(path))
            self.assertEqual(guest.recv(10), b"theirs")
        other.kill()
        other.wait()
        wait_for(lambda: states()["web1"][0] == "listening", 20, states)

    def test_default_rules(self):
        """They are for who accepts: a service that hands out connections by them alone can be told otherwise, and then has none."""
        d = self.daemon(settings="peers: {allow: [web1]}\n")
        with d.client() as client:
            for name, more, mode in (
                ("a", {}, "connections"),
                ("b", {"handout": {"mode": "listener"}}, "listener"),
                ("c", {"activate": {"mode": "wait", "exec": ["/bin/cat"]}}, "connections"),
            ):
                service = client.call("Register", service={"name": name, "listen": [f"unix://{d.folder}/{name}"], **more})["service"]
                self.assertEqual(service["context"]["handout"]["mode"], mode)
            self.assertEqual(client.refused("Acquire", names=["a"]).short, "NotAllowed")
            client.call("Acquire", names=["b"])
            rules = {"peers": {"allow": ["uid:1"]}}
            for more in ({"handout": {"mode": "listener"}}, {"activate": {"mode": "wait", "exec": ["/bin/cat"]}}):
                service = {"name": "d", "listen": [f"unix://{d.folder}/d"], **rules, **more}
                self.assertEqual(client.refused("Register", service=service).short, "InvalidField")
            path = f"{d.folder}/c"
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(60)
            peer.connect(path)
            # Its program is started for a peer that the rule does not let in.
            with d.client() as client:
                wait_for(lambda: 'hvsock_started_total{service="c"} ' in client.call("Metrics")["text"], 20)

    def test_hvsockctl_has_no_rights_of_its_own(self):
        """Nor has any other program, as it is built and as it is installed."""
        for name in ("hvsockctl", "hvsockd", "hvsock-keeper"):
            self.assertFalse((BUILD / name).stat().st_mode & (stat.S_ISUID | stat.S_ISGID), name)
            self.assertNotIn("security.capability", os.listxattr(BUILD / name))
        for path in [ROOT / "Makefile", *(ROOT / "packaging").rglob("*")]:
            if path.is_file():
                self.assertNotRegex(path.read_text(errors="replace"), r"setcap |chmod u\+s|-m *0?[2467]7[0-7][0-7]\b", str(path))
