# SPDX-License-Identifier: Apache-2.0
"""Activation: programs that are started when a peer connects, by every way that they and their peers can end."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

from hv.case import BUILD, GUEST, NOBODY, Case, vsock_connect, wait_for
from test_listeners import connect

# What a program of accept was started as, to its peer.
TELL = r"""
import json, os, resource, socket, sys
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
mask = os.umask(0)
told = {
    "arguments": sys.argv[1:], "environment": dict(os.environ), "pid": os.getpid(), "directory": os.getcwd(), "umask": mask,
    "uid": os.getuid(), "gid": os.getgid(), "groups": sorted(os.getgroups()),
    "fds": {n: os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")
            or n in ("0", "1", "2", "3")},
    "blocked": status["SigBlk"], "ignored": status["SigIgn"], "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
    "blocking": os.get_blocking(0),
}
os.write(1, json.dumps(told).encode() + b"\n")
"""
ECHO = ["/bin/cat"]
# The same, for other users, who may not reach our Python.
WHO = ["/bin/sh", "-c", "echo $(id -u) $(id -g) $(id -G); env"]


def program(code, *arguments):
    return [sys.executable, "-c", code, *arguments]


class Activation(Case):
    def setUp(self):
        super().setUp()
        if not (BUILD / "hvsock-keeper").exists():
            self.skipTest("hvsock-keeper is not built")
        self.d = self.daemon(**getattr(self, "options", {}))
        self.c = self.client(self.d)
        self.path = self.d.folder / "a.sock"

    def register(self, name="a", exec=ECHO, mode="accept", activate=None, **fields):
        fields.setdefault("listen", [f"unix://{self.path}"])
        service = {"name": name, "activate": {"mode": mode, "exec": exec, **(activate or {})}, **fields}
        return self.c.call("Register", service=service)["service"]

    def connect(self, path=None):
        client = connect(path or self.path)
        self.things.callback(client.close)
        client.settimeout(60)
        return client

    def service(self, name="a"):
        return self.c.call("Describe", name=name)["service"]

    def programs(self, name="a"):
        return self.service(name)["runtime"].get("programs", [])

    def wait_programs(self, count, name="a"):
        def there():
            # One that hvsockd does not yet know to have started is no program, but has its slot.
            return len(self.programs(name)) == count and (count or name not in [c["service"] for c in self.connections()])

        wait_for(there, what=lambda: f"{count} programs: {self.service(name)['runtime']}, {self.connections()}")
        return self.programs(name)

    def connections(self):
        return self.c.list("ListConnections", "connection")

    def few_are_told(self, began):
        """Of those that are refused: ten at once, and one a second."""
        log = self.d.log_text()
        self.assertLess(log.count("is refused"), 10 + 2 + time.monotonic() - began)

    def closed(self, client):
        """It is hung up, without a word."""
        try:
            self.assertEqual(client.recv(1), b"")
        except ConnectionResetError:
            pass
        client.close()

    def echoed(self, client, text=b"hello"):
        client.sendall(text)
        got = b""
        while len(got) < len(text):
            more = client.recv(len(text) - len(got))
            self.assertTrue(more, f"the end, after {got}")
            got += more
        self.assertEqual(got, text)

    def told(self, client):
        data = b""
        while not data.endswith(b"\n"):
            more = client.recv(65536)
            self.assertTrue(more, f"the end: {self.d.log_text()}")
            data += more
        return json.loads(data)


class Accept(Activation):
    def test_one_a_connection(self):
        self.register()
        self.assertEqual(self.state(self.c, "a"), "listening")
        first, second = self.connect(), self.connect()
        self.echoed(first)
        self.echoed(second, b"x" * 100000)
        programs = self.wait_programs(2)
        self.assertEqual(self.state(self.c, "a"), "active")
        self.assertEqual(len({p["processId"] for p in programs}), 2)
        self.assertEqual([p["peer"] for p in programs], [f"uid:{os.getuid()}"] * 2)
        self.assertEqual(self.c.call("Status")["programs"], 2)
        shown = self.connections()
        self.assertEqual([(c["program"], c["holders"]) for c in shown], [("cat", [p["processId"]]) for p in programs])
        first.shutdown(socket.SHUT_WR)
        self.closed(first)
        self.wait_programs(1)
        second.close()
        self.wait_programs(0)
        self.assertEqual(self.state(self.c, "a"), "listening")
        self.assertEqual(self.connections(), [])

    def test_what_it_gets(self):
        self.register(
            exec=program(TELL, "one", ""),
            activate={
                "environment": {"A": "b=c", "HVSOCK_SERVICE": "another"},
                "workingDirectory": "/usr",
                "umask": "0027",
                "limits": {"NOFILE": "100:200"},
            },
        )
        client = self.connect()
        told = self.told(client)
        self.closed(client)
        self.assertEqual(told["arguments"], ["one", ""])
        self.assertEqual((told["directory"], told["umask"], told["nofile"]), ("/usr", 0o27, [100, 200]))
        self.assertEqual((told["uid"], told["gid"]), (os.getuid(), os.getgid()))
        environment = told["environment"]
        self.assertEqual(environment.pop("LISTEN_PID"), str(told["pid"]))
        self.assertTrue(environment.pop("PATH").startswith("/usr/local/sbin:"))
        for name in ("HOME", "LOGNAME", "USER", "SHELL", "LC_CTYPE", "LISTEN_PIDFDID"):
            environment.pop(name, None)
        self.assertEqual(
            environment, {"A": "b=c", "HVSOCK_SERVICE": "a", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "connection"}
        )
        # 0, 1 and 3 are the connection, 2 is where errors go; nothing else is there.
        fds = told["fds"]
        self.assertEqual(len({fds[n] for n in ("0", "1", "3")}), 1, fds)
        self.assertTrue(fds["0"].startswith("socket:"))
        self.assertEqual(fds["2"], str(self.d.log))
        self.assertEqual({n for n in fds if int(n) > 3}, set())
        self.assertTrue(told["blocking"])
        self.assertEqual(int(told["blocked"], 16), 0)
        # Python itself ignores SIGPIPE and SIGXFSZ; 32 and 33 are glibc's, which posix_spawn(3) leaves so.
        self.assertEqual(int(told["ignored"], 16) & ~(1 << 12 | 1 << 24 | 3 << 31), 0)

    def who(self, client):
        """uid, gid, groups, environment."""
        data = b""
        while more := client.recv(65536):
            data += more
        first, *rest = data.decode().splitlines()
        uid, gid, *groups = map(int, first.split())
        return uid, gid, groups, dict(line.split("=", 1) for line in rest)

    def test_as_whom(self):
        if os.getuid() != 0:
            self.skipTest("starts programs as other users: needs root")
        self.register(exec=WHO, activate={"user": "daemon", "groups": ["adm", "12345"]})
        uid, gid, groups, environment = self.who(self.connect())
        self.assertEqual((uid, gid, groups), (1, 4, [4, 12345]))
        self.assertEqual((environment["USER"], environment["HOME"]), ("daemon", "/usr/sbin"))
        # A declared one that names nobody is root's.
        path = self.d.folder / "c.sock"
        self.d.file("c", {"services": [{
            "name": "c", "listen": [f"unix://{path}"], "activate": {"mode": "accept", "exec": WHO},
        }]})
        self.c.call("Reload")
        self.assertEqual(self.who(self.connect(path))[0], 0)

    def test_delegates(self):
        """As themselves, and as nobody else."""
        if os.getuid() != 0:
            self.skipTest("becomes another user: needs root")
        self.d.settings('delegations: [{users: ["12345"], names: "their-*", ports: 50000-50999}]\n')
        self.c.call("Reload")
        vm = self.d.folder / "vm"
        vm.mkdir()
        self.c.call("AddMachine", machine={"name": "web1", "hybrid": f"{vm}/v.sock"})

        def register(**activate):
            with self.d.client() as client:
                return client.call(
                    "Register",
                    service={
                        "name": "their-b", "port": 50001, "listen": ["machine:*"],
                        "activate": {"mode": "accept", "exec": WHO, **activate},
                    },
                )

        for activate in ({"user": "root"}, {"user": "0"}, {"groups": ["root"]}, {"limits": {"NPROC": "infinity"}}):
            with self.refuses("NotAllowed"):
                self.as_user(12345, lambda activate=activate: register(**activate))
        self.as_user(12345, register)
        uid, gid, groups, environment = self.who(self.connect(f"{vm}/v.sock_50001"))
        self.assertEqual((uid, gid, groups), (12345, 12345, [12345]))
        self.assertEqual(environment["HVSOCK_MACHINE"], "web1")
        self.assertNotIn("REMOTE_ADDR", environment)

    def test_over_vsock(self):
        """In the guest: who it is, as systemd says it."""
        if not GUEST:
            self.skipTest("connects AF_VSOCK: runs in the guest of tests/vm alone")
        port = self.d.port()
        self.register(exec=program(TELL), port=port, listen=None)
        client = vsock_connect(1, port)
        self.things.callback(client.close)
        local = client.getsockname()
        environment = self.told(client)["environment"]
        self.assertEqual((environment["REMOTE_ADDR"], environment["REMOTE_PORT"]), ("vsock:1", str(local[1])))

    def test_seqpacket(self):
        self.register(type="seqpacket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.settimeout(60)
            client.connect(str(self.path))
            for text in (b"one", b"three"):
                client.send(text)
                self.assertEqual(client.recv(100), text)

    # ---- who may, and how many ----

    def test_peers(self):
        self.d.folder.chmod(0o755)
        self.register(
            socket={"mode": "0666"}, peers={"allow": [f"uid:{os.getuid()}", "uid:12345"], "deny": [f"uid:{NOBODY}"]}
        )
        self.echoed(self.connect())

        def come():
            client = connect(self.path)
            client.settimeout(60)
            try:
                client.sendall(b"x")
                return client.recv(1).decode()
            except (BrokenPipeError, ConnectionResetError):
                return ""

        self.assertEqual(self.as_user(12345, come), "x")
        for uid in (NOBODY, 12346):
            self.assertEqual(self.as_user(uid, come), "")
        self.assertIn("peers.deny names it", self.d.log_text())
        metrics = self.c.call("Metrics")["text"]
        self.assertIn('hvsock_refused_total{service="a",reason="denied"} 1\n', metrics)

    def test_machines(self):
        port = self.d.port()
        paths = {}
        for i, name in enumerate(("web1", "web2", "web3")):
            folder = self.d.folder / name
            folder.mkdir()
            self.c.call("AddMachine", machine={"name": name, "cid": 1000 + i, "hybrid": f"{folder}/v.sock"})
            paths[name] = f"{folder}/v.sock_{port}"
        self.register(
            exec=program(TELL), port=port, listen=["machine:*"],
            peers={"allow": ["web1", "1000-1002"], "deny": ["1001"], "maxConnectionsPerPeer": 1},
        )
        for name in ("web1", "web3"):
            self.assertEqual(self.told(self.connect(paths[name]))["environment"]["HVSOCK_MACHINE"], name)
        self.closed(self.connect(paths["web2"]))
        self.wait_programs(0)

    def test_bounds(self):
        """Slots are as many as there are, and come back whichever way a program ends."""
        self.register(peers={"maxConnections": 3, "maxConnectionsPerPeer": 2})
        ways = (
            lambda client, program: client.close(),
            lambda client, program: client.shutdown(socket.SHUT_WR),
            lambda client, program: os.kill(program["processId"], signal.SIGKILL),
            lambda client, program: os.kill(program["processId"], signal.SIGTERM),
        )
        for end in ways:
            clients = [self.connect(), self.connect()]
            for client in clients:
                self.echoed(client)
            for _ in range(3):
                self.closed(self.connect())
            programs = self.wait_programs(2)
            end(clients[0], programs[0])
            self.wait_programs(1)
            clients[0] = self.connect()
            self.echoed(clients[0])
            self.closed(self.connect())
            for client in clients:
                client.close()
            self.wait_programs(0)
        self.assertEqual(self.connections(), [])
        metrics = self.c.call("Metrics")["text"]
        self.assertIn('hvsock_refused_total{service="a",reason="max_connections_per_peer"} 16\n', metrics)
        self.assertIn('hvsock_accepted_total{service="a"} 12\n', metrics)

    def test_rate(self):
        self.register(peers={"rate": "3/h"})
        began = time.monotonic()
        for _ in range(3):
            self.echoed(self.connect())
        for _ in range(20):
            self.closed(self.connect())
        self.few_are_told(began)

    def test_serve_comes_first(self):
        """Who serves gets the connections; when nobody does any more, programs are started, also for what was left."""
        self.register()
        self.echoed(self.connect())
        _, fds = self.c.call_fds("Serve", name="a")
        with socket.socket(fileno=fds[0]) as server:
            client = self.connect()
            server.settimeout(60)
            _, got, _, _ = socket.recv_fds(server, 16384, 1)
            with socket.socket(fileno=got[0]) as connection:
                connection.sendall(b"served")
            self.assertEqual(client.recv(6), b"served")
            left = [self.connect() for _ in range(3)]
            wait_for(lambda: len(self.connections()) >= 3, 5)
            server.shutdown(socket.SHUT_RDWR)
            for client in left:
                self.echoed(client)
        self.echoed(self.connect())

    def test_programs_limit(self):
        """Beyond it connections wait, and are served when others have ended."""
        self.d.settings("limits: {programs: 3, programsPerService: 2}\n")
        self.c.call("Reload")
        other = self.d.folder / "b.sock"
        self.register()
        self.register("b", listen=[f"unix://{other}"])
        first = [self.connect() for _ in range(3)]
        self.echoed(first[0])
        self.echoed(first[1])
        second = [self.connect(other) for _ in range(2)]
        self.echoed(second[0])

        def running():
            return {p["processId"] for name in "ab" for p in self.programs(name)}

        wait_for(lambda: (len(self.programs("a")), len(self.programs("b"))) == (2, 1))
        time.sleep(0.2)
        self.assertEqual((len(self.programs("a")), len(self.programs("b"))), (2, 1))
        before = running()
        first[0].close()
        # Two wait for the one slot, and have it one after the other.
        waiting = [first[2], second[1]]
        for client in waiting:
            client.sendall(b"x")
        wait_for(lambda: len(running()) == 3 and running() != before)
        time.sleep(0.2)
        self.assertEqual(self.c.call("Status")["programs"], 3)
        first[1].close()
        for client in waiting:
            self.assertEqual(client.recv(1), b"x")
        # So are they where there is more room than before.
        more = self.connect(other)
        more.sendall(b"x")
        more.settimeout(0.2)
        with self.assertRaises(TimeoutError):
            more.recv(1)
        self.d.settings("limits: {programs: 5, programsPerService: 3}\n")
        self.c.call("Reload")
        more.settimeout(60)
        self.assertEqual(more.recv(1), b"x")

    # ---- what goes wrong ----

    def failing(self, exec, *reasons):
        """Every peer is hung up, at once or after what was waited for; the service says why."""
        self.register(exec=exec)
        for _ in range(8):
            self.closed(self.connect())
        runtime = self.wait_state(self.c, "a", "failed", 5)["runtime"]
        for reason in reasons:
            self.assertIn(reason, runtime["reason"])
        self.closed(self.connect())

    def test_no_program(self):
        missing = self.d.folder / "missing"
        self.failing([str(missing)], str(missing), "No such file or directory", "5 times in a row")
        self.assertEqual(self.programs(), [])
        self.assertRegex(self.c.call("Metrics")["text"], r'hvsock_refused_total{service="a",reason="failed"} [1-9]')
        # It is there now: once somebody says so.
        missing.symlink_to("/bin/cat")
        self.closed(self.connect())
        self.c.call("SetEnabled", name="a", enabled=True)
        self.assertEqual(self.state(self.c, "a"), "listening")
        self.echoed(self.connect())

    def test_cannot_be_executed(self):
        script = self.d.folder / "script"
        script.write_text("#!/no/such/interpreter\n")
        script.chmod(0o755)
        self.failing([str(script)], str(script))
        # Another record is another try.
        self.c.call("Unregister", name="a")
        self.register()
        self.echoed(self.connect())

    def test_failed_outlives_hvsockd(self):
        self.failing(["/no/such/program"], "/no/such/program")
        self.d.restart(kill=True)
        self.c = self.client(self.d)
        self.assertEqual(self.state(self.c, "a"), "failed")
        self.closed(self.connect())
        self.c.call("SetEnabled", name="a", enabled=False)
        self.c.call("SetEnabled", name="a", enabled=True)
        self.assertEqual(self.state(self.c, "a"), "listening")

    def test_failed_and_the_keeper(self):
        """It outlives the keeper, too: who is left gives it to the next. With both it is forgotten, and starts are counted anew."""
        self.failing(["/no/such/program"], "/no/such/program")
        before = wait_for(self.d.keeper)
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: "is given what we hold" in self.d.log_text())
        keeper = wait_for(self.d.keeper)
        self.assertNotEqual(keeper, before)
        self.c.call("Register", service={"name": "b", "listen": [f"unix://{self.d.folder}/b.sock"]})  # and so it has read all before
        self.d.restart(kill=True)
        self.c = self.client(self.d)
        self.assertEqual(self.state(self.c, "a"), "failed")
        os.kill(self.d.pid, signal.SIGSTOP)  # it has no time to give it to another
        os.kill(keeper, signal.SIGKILL)
        self.d.restart(kill=True)
        self.c = self.client(self.d)
        self.assertEqual(self.state(self.c, "a"), "listening")
        self.closed(self.connect())
        self.assertIn("1 of 5 times in a row", self.service()["runtime"]["reason"])

    def test_no_such_user(self):
        self.register(activate={"user": "no-such-user"})
        for _ in range(6):
            self.closed(self.connect())
        self.assertIn("no-such-user", self.wait_state(self.c, "a", "failed", 5)["runtime"]["reason"])

    def test_ends_at_once(self):
        """A thousand times, and every peer sees the end; nothing is left."""
        self.register(exec=["/bin/true"])
        for _ in range(1000):
            client = self.connect()
            self.closed(client)
        self.wait_programs(0)
        self.assertEqual(self.state(self.c, "a"), "listening")
        self.assertEqual(self.connections(), [])

    def test_closes_its_fds(self):
        """It is over for the peer, and the slot is the program's until it ends."""
        self.register(
            exec=program("import os, time; [os.close(n) for n in (0, 1, 3)]; time.sleep(1000)"), peers={"maxConnections": 1}
        )
        self.closed(self.connect())
        self.wait_programs(1)
        self.closed(self.connect())
        os.kill(self.programs()[0]["processId"], signal.SIGKILL)
        self.wait_programs(0)

    def test_says_nothing(self):
        """Peers that only connect hold the slots that are theirs, and all there are together; who comes then is closed at once."""
        port = self.d.port()
        paths = []
        for name in ("web1", "web2", "web3"):
            folder = self.d.folder / name
            folder.mkdir()
            self.c.call("AddMachine", machine={"name": name, "hybrid": f"{folder}/v.sock"})
            paths.append(f"{folder}/v.sock_{port}")
        self.register(port=port, listen=["machine:*"], peers={"maxConnectionsPerPeer": 2, "maxConnections": 3})
        silent = [self.connect(paths[0]), self.connect(paths[0])]
        self.wait_programs(2)
        self.closed(self.connect(paths[0]))
        other = self.connect(paths[1])
        self.echoed(other)
        for path in paths[1:]:
            self.closed(self.connect(path))
        text = self.c.call("Metrics")["text"]
        for reason, count in (("max_connections_per_peer", 1), ("max_connections", 2)):
            self.assertIn(f'hvsock_refused_total{{service="a",reason="{reason}"}} {count}\n', text)
        for client in silent:
            client.close()
        self.wait_programs(1)
        self.echoed(self.connect(paths[2]))
        self.echoed(self.connect(paths[0]))

    def test_connects_and_goes(self):
        """Two thousand connections that are gone before a program has begun."""
        self.register(exec=["/bin/cat"])
        for _ in range(2000):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(self.path))
        wait_for(lambda: self.c.call("Status")["programs"] == 0, 30)
        self.echoed(self.connect())

    def test_ignores_sigterm(self):
        code = "import signal, os, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.write(1, b'x'); time.sleep(1000)"
        self.register(exec=program(code), activate={"stopTimeoutSeconds": 4})
        client = self.connect()
        self.assertEqual(client.recv(1), b"x")
        start = time.monotonic()
        self.c.call("SetEnabled", name="a", enabled=False)
        self.assertEqual(self.state(self.c, "a"), "disabled")
        self.assertEqual(len(self.programs()), 1, "disable never waits")
        self.closed(client)
        self.assertGreater(time.monotonic() - start, 3.9)
        self.wait_programs(0)

    def test_forks_away(self):
        """What it leaves behind has the connection; the slot is free."""
        code = "import os, time\nif os.fork() == 0:\n os.setsid()\n os.write(1, b'x')\n time.sleep(1000)"
        self.register(exec=program(code), peers={"maxConnections": 1})
        for _ in range(3):
            client = self.connect()
            self.assertEqual(client.recv(1), b"x")
            self.wait_programs(0)
        keeper = wait_for(self.d.keeper)
        for pid in self.d.processes():
            if pid not in (self.d.pid, keeper, self.d.guard(keeper)):
                os.kill(pid, signal.SIGKILL)

    # ---- what changes ----

    def test_stopped(self):
        """Disabled, gone, or another: its programs are ended. Another label ends nothing."""

        def apply(label, exec=ECHO):
            service = {
                "name": "b", "listen": [f"unix://{self.path}"], "labels": {"x": label},
                "activate": {"mode": "accept", "exec": exec},
            }
            self.c.call("Apply", services=[service])

        apply("1")
        client = self.connect()
        self.echoed(client)
        apply("2")
        self.echoed(client)
        self.assertEqual(self.c.call("Describe", name="b")["service"]["context"]["labels"], {"x": "2"})
        apply("2", ["/bin/cat", "-"])
        self.closed(client)
        client = self.connect()
        self.echoed(client)
        self.c.call("SetEnabled", name="b", enabled=False)
        self.closed(client)
        self.c.call("SetEnabled", name="b", enabled=True)
        client = self.connect()
        self.echoed(client)
        self.c.call("Unregister", name="b")
        self.closed(client)
        wait_for(lambda: self.c.call("Status")["programs"] == 0, 5)

    def test_restarts(self):
        """hvsockd is killed, and restarted: programs run on, and their slots are theirs."""
        self.register(peers={"maxConnections": 2})
        first = self.connect()
        self.echoed(first)
        before = self.wait_programs(1)
        self.d.kill()
        waiting = self.connect()
        self.echoed(first)
        self.d.start()
        self.c = self.client(self.d)
        self.echoed(waiting)
        self.assertEqual(self.programs()[0], before[0])
        self.echoed(first)
        self.closed(self.connect())
        programs = self.wait_programs(2)  # that it runs is told a moment after it does
        self.assertEqual([c["holders"] for c in self.connections()], [[p["processId"]] for p in programs])
        # One ends while nobody looks.
        self.d.kill()
        first.close()

        def has_ended():
            try:
                with open(f"/proc/{before[0]['processId']}/status") as status:
                    return "zombie" in status.read()
            except (FileNotFoundError, ProcessLookupError):
                return True

        wait_for(has_ended, 5)
        self.d.start()
        self.c = self.client(self.d)
        self.assertEqual(len(self.wait_programs(1)), 1)
        self.echoed(self.connect())

    def test_killed_while_starting(self):
        """What hvsockd has asked for before it is killed is done, and the next one knows of it."""
        self.register(peers={"maxConnections": 1})
        keeper = wait_for(self.d.keeper)
        os.kill(keeper, signal.SIGSTOP)
        try:
            client = self.connect()
            client.sendall(b"x")
            wait_for(lambda: len(self.connections()) == 1, 5)
            self.d.kill()
        finally:
            os.kill(keeper, signal.SIGCONT)
        self.d.start()
        self.c = self.client(self.d)
        self.assertEqual(client.recv(1), b"x")
        self.wait_programs(1)
        self.closed(self.connect())
        client.close()
        self.wait_programs(0)
        self.echoed(self.connect())

    def test_killed_again_and_again(self):
        """Whoever connects meanwhile is served, or sees the end; nobody hangs, and no slot is lost."""
        self.register(peers={"maxConnections": 3})
        served, ended, stop = [], [], threading.Event()

        def come():
            while not stop.is_set():
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(60)
                    client.connect(str(self.path))
                    try:
                        client.sendall(b"x")
                        (served if client.recv(1) == b"x" else ended).append(1)
                    except (BrokenPipeError, ConnectionResetError):
                        ended.append(1)

        def guarded():
            try:
                come()
            except Exception as error:  # noqa: it is told below
                failures.append(error)

        failures = []
        peers = [threading.Thread(target=guarded) for _ in range(3)]
        for peer in peers:
            peer.start()
        try:
            for i in range(200):
                time.sleep(0.05 + i % 12 * 0.01)
                self.d.kill()
                self.d.start()
                if i >= 11 and len(served) > 50:
                    break
        finally:
            stop.set()
            for peer in peers:
                peer.join()
        self.assertEqual(failures, [])
        self.assertGreater(len(served), 50)
        self.c = self.client(self.d)
        # Also those that are on their way.
        wait_for(lambda: self.c.call("Status")["programs"] == 0 and not self.connections(), 20, self.connections)
        clients = [self.connect() for _ in range(3)]
        for client in clients:
            self.echoed(client)
        self.closed(self.connect())

    def test_keeper_ends(self):
        """Programs end with it, and their peers see that; what comes then is served by the next."""
        self.register(peers={"maxConnections": 1})
        client = self.connect()
        self.echoed(client)
        os.kill(wait_for(self.d.keeper), signal.SIGKILL)
        self.closed(client)
        self.wait_programs(0)
        client = self.connect()
        self.echoed(client)

    def test_keeper_executes_itself(self):
        """Its upgrade: programs run on, and who ends or comes meanwhile is accounted for."""
        self.register(peers={"maxConnections": 20})
        clients = [self.connect() for _ in range(6)]
        for client in clients:
            self.echoed(client)
        keeper = wait_for(self.d.keeper)
        for _ in range(5):
            os.kill(keeper, signal.SIGHUP)
            clients.pop(0).close()
            clients.append(self.connect())
            clients.append(self.connect())
            clients.pop(0).close()
            for client in clients:
                self.echoed(client)
        self.assertEqual(wait_for(self.d.keeper), keeper)
        self.wait_programs(6)
        for client in clients:
            client.close()
        self.wait_programs(0)
        self.assertEqual(self.connections(), [])

    def test_denied_ten_thousand_times(self):
        """Every one is counted, few are told, and nothing is left."""
        self.register(peers={"deny": [f"uid:{os.getuid()}"]})
        before = len(self.d.fds())
        began = time.monotonic()
        for _ in range(10000):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(self.path))
        metric = 'hvsock_refused_total{service="a",reason="denied"} 10000\n'
        wait_for(lambda: metric in self.c.call("Metrics")["text"])
        self.few_are_told(began)
        self.assertLessEqual(len(self.d.fds()), before + 2)
        self.assertEqual(self.programs(), [])

    def test_keeper_is_stopped(self):
        """One that does nothing holds up what is to be started, and no call."""
        self.register()
        keeper = wait_for(self.d.keeper)
        os.kill(keeper, signal.SIGSTOP)
        try:
            client = self.connect()
            client.sendall(b"x")
            self.assertEqual(self.c.call("Status")["services"], 1)
        finally:
            os.kill(keeper, signal.SIGCONT)
        self.assertEqual(client.recv(1), b"x")


    def test_processes_run_out(self):
        """Of the program's user: what cannot be started now waits, and is started later, by itself."""
        if os.getuid() != 0:
            self.skipTest("starts programs as other users: needs root")
        # Nobody else's: how many processes a user has is the whole machine's.
        user = str(random.randrange(1 << 20, 1 << 30))
        self.register(activate={"user": user, "limits": {"NPROC": "1"}})
        first, second = self.connect(), self.connect()
        self.echoed(first)
        self.echoed(second)
        third = self.connect()
        third.sendall(b"x")
        third.settimeout(0.5)
        with self.assertRaises(TimeoutError):
            third.recv(1)
        self.assertEqual(self.state(self.c, "a"), "active")
        wait_for(lambda: "Resource temporarily unavailable; tried again in" in self.d.log_text())
        first.close()
        third.settimeout(60)
        self.assertEqual(third.recv(1), b"x")


class Limits(Activation):
    options = {"limits": {7: (700, 3000)}}  # RLIMIT_NOFILE

    def test_limit_of_files(self):
        """hvsockd and the keeper raise theirs, which is not meant for programs."""
        self.register(exec=program(TELL))
        self.assertEqual(self.told(self.connect())["nofile"], [700, 3000])


class Descriptors(Activation):
    options = {"limits": {7: (900, 900)}}  # RLIMIT_NOFILE

    def test_descriptors_run_out(self):
        """What cannot be accepted waits, and is served later, by itself."""
        self.register()
        hoard = [self.d.client() for _ in range(920 - len(self.d.fds()))]
        wait_for(lambda: len(self.d.fds()) >= 900, what=lambda: f"{len(self.d.fds())} are open, not all of 900")
        client = self.connect()
        client.sendall(b"x")
        client.settimeout(0.5)
        with self.assertRaises(TimeoutError):
            client.recv(1)
        for thing in hoard:
            thing.close()
        client.settimeout(60)
        self.assertEqual(client.recv(1), b"x")


class Wait(Activation):
    # Accepts so many, answers each with its pid, its listeners' names and whether they block; then ends.
    SERVER = """
import os, select, socket, sys
names = os.environ["LISTEN_FDNAMES"].split(":")
assert os.environ["LISTEN_FDS"] == str(len(names)) and os.environ["LISTEN_PID"] == str(os.getpid())
listeners = [socket.socket(fileno=3 + i) for i in range(len(names))]
for _ in range(int(sys.argv[1])):
    ready = select.select(listeners, [], [])[0][0]
    connection = ready.accept()[0]
    text = f"{os.getpid()} {names[listeners.index(ready)]} {ready.getblocking()} {os.path.exists('/proc/self/fd/' + str(3 + len(names)))}"
    connection.sendall(text.encode())
    connection.close()
"""

    def register(self, name="a", exec=None, count=1000, **fields):
        return super().register(name, exec or program(self.SERVER, str(count)), mode="wait", **fields)

    def answer(self, client):
        data = b""
        while more := client.recv(1000):
            data += more
        self.assertTrue(data, self.d.log_text())
        return data.decode().split()

    def test_one_for_all(self):
        self.register()
        self.assertEqual(self.state(self.c, "a"), "listening")
        self.assertEqual(self.programs(), [])
        answers = [self.answer(self.connect()) for _ in range(5)]
        self.assertEqual(len({pid for pid, *_ in answers}), 1)
        self.assertEqual(answers[0][1:3], ["a", "True"])
        self.assertEqual([p["processId"] for p in self.programs()], [int(answers[0][0])])
        self.assertEqual(self.state(self.c, "a"), "active")
        self.assertEqual(self.c.call("Status")["programs"], 1)

    def test_again(self):
        """It ends, and what waits starts it again."""
        self.register(count=1, activate={"startLimit": "100/1s"})
        clients = [self.connect() for _ in range(5)]
        self.assertEqual(len({self.answer(client)[0] for client in clients}), 5)
        self.wait_programs(0)
        self.assertEqual(self.state(self.c, "a"), "listening")

    def test_names(self):
        """Of a machine's listeners: NAME@MACHINE."""
        port = self.d.port()
        paths = []
        for name in ("web1", "web2"):
            (self.d.folder / name).mkdir()
            self.c.call("AddMachine", machine={"name": name, "hybrid": f"{self.d.folder}/{name}/v.sock"})
            paths.append(f"{self.d.folder}/{name}/v.sock_{port}")
        self.register(port=port, listen=[f"unix://{self.path}", "machine:*"], handout={"mode": "listener"})
        got = [self.answer(self.connect(path))[1] for path in [self.path, *paths]]
        self.assertEqual(got, ["a", "a@web1", "a@web2"])

    def test_comes_later(self):
        """A listener that comes while the program runs is the next one's; nobody waits there for ever."""
        port = self.d.port()

        def add(name):
            (self.d.folder / name).mkdir()
            self.c.call("AddMachine", machine={"name": name, "hybrid": f"{self.d.folder}/{name}/v.sock"})
            return f"{self.d.folder}/{name}/v.sock_{port}"

        first = add("web1")
        self.register(port=port, listen=["machine:*"], handout={"mode": "listener"})
        pid = self.answer(self.connect(first))[0]
        second = add("web2")
        self.closed(self.connect(second))
        self.d.restart(kill=True)
        self.c = self.client(self.d)
        self.closed(self.connect(second))
        self.assertEqual(self.answer(self.connect(first))[0], pid)
        self.assertIn('hvsock_refused_total{service="a",reason="not_served"} 2\n', self.c.call("Metrics")["text"])
        os.kill(int(pid), signal.SIGTERM)
        self.wait_programs(0)
        self.assertEqual(self.answer(self.connect(second))[1], "a@web2")

    def test_ends_at_once(self):
        """It never accepts: it is started so many times, and no more; then peers are hung up."""
        self.register(exec=["/bin/true"])
        client = self.connect()
        self.closed(client)
        runtime = self.service()["runtime"]
        self.assertEqual(runtime["state"], "failed")
        self.assertIn("more than 5/10s", runtime["reason"])
        self.closed(self.connect())
        metrics = self.c.call("Metrics")["text"]
        self.assertIn('hvsock_started_total{service="a"} 5\n', metrics)
        self.assertIn('hvsock_refused_total{service="a",reason="start_limit"} 2\n', metrics)
        self.d.restart(kill=True)
        self.c = self.client(self.d)
        self.assertEqual(self.state(self.c, "a"), "failed")
        self.c.call("SetEnabled", name="a", enabled=True)
        self.assertEqual(self.state(self.c, "a"), "listening")

    def test_never_accepts(self):
        """What comes waits for it, as it does for every server that is slow; disabling ends it."""
        self.register(exec=["/bin/sleep", "1000"])
        client = self.connect()
        self.wait_programs(1)
        self.assertEqual(self.state(self.c, "a"), "active")
        self.c.call("SetEnabled", name="a", enabled=False)
        self.closed(client)
        self.wait_programs(0)

    def test_cannot_be_executed(self):
        self.register(exec=["/no/such/program"])
        self.closed(self.connect())
        self.assertIn("/no/such/program", self.wait_state(self.c, "a", "failed", 5)["runtime"]["reason"])

    def test_acquire(self):
        """Who has the listeners serves, and nothing is started; when it lets go, it is as before."""
        self.register()
        holder = self.python(
            "import socket, sys, time; from hv.varlink import Varlink\n"
            "_, fds = Varlink(sys.argv[1]).call_fds('Acquire', names=['a']); print('ready', flush=True)\n"
            "time.sleep(1000)", self.d.socket, stdout=subprocess.PIPE)
        self.assertEqual(holder.stdout.readline(), "ready\n")
        # It is stopped, and cannot accept: connections wait.
        holder.send_signal(signal.SIGSTOP)
        client = self.connect()
        time.sleep(0.3)
        self.assertEqual(self.programs(), [])
        self.assertEqual(self.c.call("Status")["programs"], 0)
        holder.kill()
        holder.wait()
        self.assertEqual(self.answer(client)[1], "a")

    def test_restarts(self):
        self.register()
        pid = self.answer(self.connect())[0]
        self.d.kill()
        self.assertEqual(self.answer(self.connect())[0], pid)
        self.d.start()
        self.c = self.client(self.d)
        self.assertEqual(self.answer(self.connect())[0], pid)
        self.assertEqual([p["processId"] for p in self.programs()], [int(pid)])
        os.kill(int(pid), signal.SIGKILL)
        self.assertNotEqual(self.answer(self.connect())[0], pid)

    def test_keeper_ends(self):
        self.register()
        pid = self.answer(self.connect())[0]
        os.kill(wait_for(self.d.keeper), signal.SIGKILL)
        wait_for(lambda: not self.programs(), 5)
        self.assertNotEqual(self.answer(self.connect())[0], pid)

    def test_clock_is_set(self):
        """A day back and forth: neither starts are counted by it, nor does anybody wait for it."""
        if not GUEST:
            self.skipTest("sets the clock: runs in the guest of tests/vm alone")

        def add(seconds):
            time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME) + seconds)

        day = 24 * 3600
        self.register(count=1, activate={"startLimit": "2/20s"})
        try:
            self.answer(self.connect())
            add(-day)
            self.answer(self.connect())
            add(2 * day)
            self.closed(self.connect())
            self.assertIn("more than 2/20s", self.service()["runtime"]["reason"])
            missing = self.d.folder / "b.sock"
            super().register("b", ["/no/such/program"], listen=[f"unix://{missing}"])
            for i in range(5):
                add(-day if i % 2 else day)
                self.closed(self.connect(missing))
            self.wait_state(self.c, "b", "failed", 10)
        finally:
            add(-day)

    def test_very_many_listeners(self):
        """More than one message carries are passed; more than a program can have: said, and not half done."""
        port = self.d.port()
        machines = []
        for i in range(1001):
            folder = self.d.folder / f"m{i}"
            folder.mkdir()
            machines.append({"name": f"m{i}", "hybrid": f"{folder}/v.sock"})

        def begin(count):
            service = {"name": "a", "port": port, "listen": ["machine:*"], "activate": {"mode": "wait", "exec": program(self.SERVER, "1000")}}
            self.c.call("Apply", services=[service], machines=machines[:count], prune=True)

        def come(i):
            return self.connect(f"{machines[i]['hybrid']}_{port}")

        for count in (254, 1000):
            begin(count)
            for i in (count - 1, 0, count // 2):
                self.assertEqual(self.answer(come(i))[1:3], [f"a@m{i}", "True"])
            self.c.call("Apply", services=[], machines=[], prune=True)
            self.assertEqual(self.c.list(), [])
        begin(1001)
        self.closed(come(1000))
        self.assertIn("more than 1000 listeners", self.wait_state(self.c, "a", "failed")["runtime"]["reason"])
        self.c.call("Apply", services=[], machines=[], prune=True)

    def test_datagrams(self):
        code = "import socket; s = socket.socket(fileno=3); d, a = s.recvfrom(100); open(%r, 'wb').write(d)"
        out = self.d.folder / "out"
        self.register(exec=program(code % str(out)), type="dgram")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.connect(str(self.path))
            client.send(b"hello")
            wait_for(lambda: out.exists() and out.read_bytes() == b"hello", 5)

    def test_no_bus(self):
        """A unit is systemd's to start; where there is none, it says so."""
        self.d.terminate()
        self.d.environment["DBUS_SYSTEM_BUS_ADDRESS"] = "unix:path=/no/such/bus"
        self.d.start()
        self.c = self.client(self.d)
        service = {
            "name": "u", "guid": "999e53d4-3d5c-4c3e-8779-bed06ec056e2", "listen": [f"unix://{self.path}"],
            "activate": {"mode": "wait", "unit": "u.service"},
        }
        self.c.call("Register", service=service)
        self.closed(self.connect())
        self.assertIn("u.service", self.wait_state(self.c, "u", "failed", 5)["runtime"]["reason"])


class WithoutKeeper(Activation):
    options = {"arguments": ["--no-keeper"]}

    def test_says_so(self):
        """Peers wait a little for one to come; then they are hung up."""
        self.register()
        client = self.connect()
        self.closed(client)
        runtime = self.service()["runtime"]
        self.assertEqual(runtime["state"], "failed")
        self.assertIn("hvsock-keeper does not run", runtime["reason"])


class AsAnybody(Activation):
    """hvsockd and its keeper as an ordinary user: programs are that user's, too."""

    options = {"uid": 12345}

    def setUp(self):
        if os.getuid() != 0:
            self.skipTest("becomes another user: needs root")
        super().setUp()
        os.chown(self.d.folder, 12345, 12345)

    who = Accept.who

    def test_as_itself(self):
        path = self.d.folder / "b.sock"
        self.d.file("b", {"services": [{
            "name": "b", "listen": [f"unix://{path}"], "activate": {"mode": "accept", "exec": WHO},
        }]})
        self.c.call("Reload")
        uid, gid, groups, environment = self.who(self.connect(path))
        self.assertEqual((uid, gid, environment["HVSOCK_SERVICE"]), (12345, 12345, "b"))

    def test_as_nobody_else(self):
        """It cannot become another: which is told, and costs a peer no more than the end."""
        self.register(exec=WHO, activate={"user": "root"})
        for _ in range(6):
            self.closed(self.connect())
        reason = self.wait_state(self.c, "a", "failed", 5)["runtime"]["reason"]
        self.assertIn("Operation not permitted", reason)
