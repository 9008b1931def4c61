# SPDX-License-Identifier: Apache-2.0
"""Acquire and exec: descriptors that are real listeners, leases, exclusive, what drains, nothing lost between two programs."""

import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time

from hv.case import Case, Refused, wait_for
from test_listeners import connect

HOLD = """
import sys
from hv.varlink import Varlink
client = Varlink(sys.argv[1])
reply, fds = client.call_fds("Acquire", names=sys.argv[2:])
print(len(fds), flush=True)
sys.stdin.readline()
"""


class Handout(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon()
        self.c = self.client(self.d)
        self.path = self.d.folder / "a.sock"

    def register(self, name, **fields):
        return self.c.call("Register", service={"name": name, **fields})["service"]

    def acquire(self, *names, client=None):
        """Listeners by address, as sockets."""
        sockets = {}
        for reply, fds in (client or self.c).call_more("Acquire", names=list(names)):
            self.assertLessEqual(len(fds), 128)
            self.assertEqual(len(reply["listeners"]), len(fds))
            self.assertEqual(sorted(l["listenerFileDescriptor"] for l in reply["listeners"]), list(range(len(fds))))
            for listener in reply["listeners"]:
                fd = fds[listener["listenerFileDescriptor"]]
                sockets[listener["service"], listener["address"]] = socket.socket(fileno=fd)
        for listener in sockets.values():
            self.things.callback(listener.close)
        return sockets

    def hold(self, *names):
        """Another process that holds them until it is ended, or told to by a line."""
        holder = self.python(HOLD, self.d.socket, *names, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertTrue(holder.stdout.readline().strip(), "it got them")
        return holder

    def leases(self, name):
        return self.c.call("Describe", name=name)["service"]["runtime"]["leases"]

    def test_real(self):
        port = self.d.port()
        self.register("a", port=port, listen=[f"vsock://:{port}", f"unix://{self.path}"])
        self.register("b", port=self.d.port(), type="seqpacket")
        sockets = self.acquire("a", "b")
        self.assertEqual(len(sockets), 3)
        for (name, address), listener in sockets.items():
            self.assertEqual(listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), 1)
            self.assertTrue(os.get_blocking(listener.fileno()), "listeners are handed out blocking")
            self.assertEqual(listener.type, socket.SOCK_SEQPACKET if name == "b" else socket.SOCK_STREAM)
        vsock = sockets["a", f"vsock://:{port}"]
        self.assertEqual((vsock.family, vsock.getsockname()[1]), (socket.AF_VSOCK, port))
        with connect(self.path) as client:
            connection, _ = sockets["a", f"unix://{self.path}"].accept()
            connection.sendall(b"hello")
            self.assertEqual(client.recv(10), b"hello")
            connection.close()
        service = self.c.call("Describe", name="a")["service"]
        self.assertEqual(service["runtime"]["state"], "active")
        lease = service["runtime"]["leases"][0]
        self.assertEqual((lease["processId"], lease["userId"]), (os.getpid(), os.getuid()))
        self.assertIn("python", lease["program"])
        self.acquire("a")
        self.assertEqual(len(self.leases("a")), 1, "one lease a service and process")

    def test_all_or_none(self):
        self.register("a", port=self.d.port())
        with self.refuses("NoSuchService", name="none"):
            self.acquire("a", "none")
        self.assertEqual(self.leases("a"), [])
        self.register("b", listen=[f"unix://{self.d.folder}/nowhere/b.sock"])
        with self.refuses("NotListening", name="b") as caught:
            self.acquire("a", "b")
        self.assertIn("nowhere", caught.exception.parameters["reason"])
        self.assertEqual(self.leases("a"), [])
        self.register("c", guid="999e53d4-3d5c-4c3e-8779-bed06ec056e2")
        with self.refuses("NotListening", name="c"):
            self.acquire("c")
        self.register("d", port=self.d.port(), enabled=False)
        with self.refuses("NotListening", name="d"):
            self.acquire("d")
        error = self.c.refused("Acquire", names=[])
        self.assertEqual(error.name, "org.varlink.service.InvalidParameter")

    def test_many(self):
        """More than 128: several replies, with `more`; without it, it is said."""
        for i in range(3):
            self.register(f"s{i}", listen=[f"unix://{self.d.folder}/s{i}-{n}.sock" for n in range(100)])
        names = [f"s{i}" for i in range(3)]
        self.assertEqual(self.c.refused("Acquire", names=names).name, "org.varlink.service.ExpectedMore")
        self.assertEqual(self.leases("s0"), [])
        counts = []
        for reply, fds in self.c.call_more("Acquire", names=names):
            counts.append(len(fds))
            for fd in fds:
                os.close(fd)
        self.assertEqual(counts, [128, 128, 44])
        self.assertEqual(len(self.acquire("s1")), 100)

    def test_lease_ends_with_process(self):
        self.register("a", listen=[f"unix://{self.path}"])
        holder = self.hold("a")
        self.assertEqual([l["processId"] for l in self.leases("a")], [holder.pid])
        holder.kill()
        holder.wait()
        wait_for(lambda: self.leases("a") == [], 5, "the lease has ended")
        self.assertEqual(self.state(self.c, "a"), "listening")

    def test_lease_outlives_connection_and_exec(self):
        self.register("a", listen=[f"unix://{self.path}"])
        code = "import os,sys\nfrom hv.varlink import Varlink\nc=Varlink(sys.argv[1])\n_,f=c.call_fds('Acquire',names=['a'])\nc.close()\n" \
               "os.set_inheritable(f[0],True)\nprint('x',flush=True)\nos.execvp('sleep',['sleep','1000'])"
        holder = self.python(code, self.d.socket, stdout=subprocess.PIPE)
        holder.stdout.readline()
        wait_for(lambda: open(f"/proc/{holder.pid}/comm").read() == "sleep\n", 5)
        time.sleep(0.1)
        self.assertEqual([l["processId"] for l in self.leases("a")], [holder.pid])
        self.assertIn("sleep", self.leases("a")[0]["program"])

    def test_exclusive(self):
        self.register("a", listen=[f"unix://{self.path}"], handout={"exclusive": True})
        holder = self.hold("a")
        with self.refuses("Busy", name="a", processId=holder.pid, userId=os.getuid()) as caught:
            self.acquire("a")
        self.assertTrue(caught.exception.parameters["since"])
        refused = self.d.ctl("exec", "a", "--", "true", expect=None)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn(str(holder.pid), refused.stderr)
        # Who has it may have it again.
        holder.kill()
        holder.wait()
        wait_for(lambda: not self.leases("a"), 5)
        self.assertEqual(len(self.acquire("a")), 1)
        self.assertEqual(len(self.acquire("a")), 1)

    def test_shared(self):
        self.register("a", listen=[f"unix://{self.path}"])
        first, second = self.hold("a"), self.hold("a")
        self.assertEqual([l["processId"] for l in self.leases("a")], [first.pid, second.pid])

    def test_nothing_is_lost(self):
        """A connection that waits while nobody holds the listener is served by the next holder."""
        self.register("a", listen=[f"unix://{self.path}"])
        first = self.hold("a")
        served = connect(self.path)
        first.kill()
        first.wait()
        waiting = [connect(self.path) for _ in range(20)]
        for client in [served, *waiting]:
            self.things.callback(client.close)
            client.sendall(b"ping")
        wait_for(lambda: not self.leases("a"), 5)
        listener, = self.acquire("a").values()
        listener.settimeout(5)
        for _ in range(21):
            connection, _ = listener.accept()
            self.assertEqual(connection.recv(4), b"ping")
            connection.sendall(b"pong")
            connection.close()
        for client in [served, *waiting]:
            self.assertEqual(client.recv(4), b"pong")

    def test_follow(self):
        """Later listeners, and withdrawals."""
        folder = self.d.folder / "late"
        early, late = f"unix://{self.d.folder}/early.sock", f"unix://{folder}/late.sock"
        self.register("a", listen=[early, late])
        follower = self.client(self.d)
        follower.send("Acquire", {"names": ["a"], "follow": True}, more=True)

        def receive():
            try:
                reply, fds, continues = follower.receive()
            except Refused as error:
                if error.parameters == {"parameter": "follow"}:
                    self.skipTest("Acquire with follow is an issue of its own")
                raise
            for fd in fds:
                os.close(fd)
            self.assertTrue(continues)
            return [l["address"] for l in reply["listeners"]], reply.get("withdrawn") or []

        self.assertEqual(receive(), ([early], []))
        folder.mkdir()
        self.assertEqual(receive(), ([late], []))
        self.c.call("SetEnabled", name="a", enabled=False)
        withdrawn = []
        while len(withdrawn) < 2:
            withdrawn += receive()[1]
        self.assertEqual(sorted(withdrawn), sorted([early, late]))

    def test_draining(self):
        """A listener that a process holds cannot be taken back: it is draining, and names who holds it."""
        port = self.d.port()
        self.register("a", port=port)
        holder = self.hold("a")
        service = self.c.call("SetEnabled", name="a", enabled=False)["service"]
        self.assertEqual([(l["state"], l["holders"]) for l in service["runtime"]["listeners"]], [("draining", [holder.pid])])
        # Who wants that port waits, and is told for whom.
        self.c.call("Unregister", name="a")
        service = self.register("b", port=port)
        listener, = service["runtime"]["listeners"]
        self.assertEqual((service["runtime"]["state"], listener["state"]), ("waiting", "waiting"))
        self.assertEqual(listener.get("holders"), [holder.pid])
        holder.kill()
        holder.wait()
        self.wait_state(self.c, "b", "listening", 8)

    def test_unix_is_shut_down(self):
        """A unix listener is taken back at once, through every copy."""
        self.register("a", listen=[f"unix://{self.path}"])
        listener, = self.acquire("a").values()
        self.c.call("Unregister", name="a")
        self.assertFalse(self.path.exists())
        with self.assertRaises(OSError):
            listener.accept()
        self.register("a", listen=[f"unix://{self.path}"])
        self.assertEqual(self.state(self.c, "a"), "listening")
        connect(self.path).close()

    def test_restart_with_holder(self):
        """hvsockd goes; who holds a listener serves on. When it comes back, it says who has the port."""
        port = self.d.port()
        self.register("a", port=port)
        holder = self.hold("a")
        self.c.close()
        self.d.kill()
        self.d.start()
        self.c = self.client(self.d)
        service = self.c.call("Describe", name="a")["service"]
        if service["runtime"]["state"] != "active":  # without a keeper
            listener, = service["runtime"]["listeners"]
            self.assertEqual((listener["state"], listener.get("holders")), ("waiting", [holder.pid]))
        holder.kill()
        holder.wait()
        self.wait_state(self.c, "a", "listening", 8)

    def test_mode_connections(self):
        """In connections mode nobody gets the listener, root neither; the answer names Serve."""
        self.register("a", listen=[f"unix://{self.path}"], handout={"mode": "connections"})
        self.register("b", port=self.d.port(), peers={"allow": ["42"]})
        for name in "ab":
            with self.refuses("NotAllowed", name=name) as caught:
                self.acquire(name)
            self.assertIn("Serve", caught.exception.parameters["reason"])

    def test_descriptors_run_out(self):
        """EMFILE at handout: it is said, nothing leaks, and the next one is served."""
        for i in range(4):
            self.register(f"s{i}", listen=[f"unix://{self.d.folder}/s{i}-{n}.sock" for n in range(20)])
        used = len(self.d.fds())
        resource.prlimit(self.d.pid, resource.RLIMIT_NOFILE, (used + 10, 4096))
        for _ in range(3):
            try:
                for _, fds in self.c.call_more("Acquire", names=[f"s{i}" for i in range(4)]):
                    for fd in fds:
                        os.close(fd)
            except Refused as error:
                self.assertIn(error.short, ("LimitReached", "NotListening"))
        self.assertLessEqual(len(self.d.fds()), used + 10)
        resource.prlimit(self.d.pid, resource.RLIMIT_NOFILE, (4096, 4096))
        self.assertEqual(len(self.acquire("s0", "s1")), 40)

    def test_client_that_does_not_take(self):
        """It asks for descriptors and never reads: bounded, and gone when it goes."""
        self.register("a", listen=[f"unix://{self.d.folder}/{n}.sock" for n in range(100)])
        before = len(self.d.fds())
        rude = self.client(self.d)
        rude.socket.setblocking(False)
        try:
            for _ in range(2000):
                rude.send("Acquire", {"names": ["a"]})
        except BlockingIOError:
            pass
        self.assertIn("version", self.c.call("Status"))
        self.assertLess(len(self.d.fds()), before + 7000)
        self.assertEqual(len(self.acquire("a")), 100)
        rude.close()
        wait_for(lambda: len(self.d.fds()) <= before + 1, 5, lambda: f"{len(self.d.fds())} descriptors, before {before}")


SHOW = """
import json, os, socket, sys
fds = {}
for n in range(int(os.environ.get("LISTEN_FDS", 0))):
    s = socket.socket(fileno=3 + n)
    fds[3 + n] = [s.family, str(s.getsockname()), s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)]
    s.detach()
others = [int(n) for n in os.listdir("/proc/self/fd") if int(n) > 2 + len(fds) and os.path.exists("/proc/self/fd/" + n)]
print(json.dumps({"pid": os.getpid(), "fds": list(fds.values()), "arguments": sys.argv[1:], "others": others,
                  "environment": {k: v for k, v in os.environ.items() if k.startswith("LISTEN")}}))
"""


class Exec(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon()
        self.c = self.client(self.d)

    def register(self, name, **fields):
        return self.c.call("Register", service={"name": name, **fields})["service"]

    def exec(self, *arguments, environment=None, expect=0, **options):
        done = subprocess.run(self.d.ctl_command("exec", *arguments), env=self.d.ctl_environment(**(environment or {})), text=True, timeout=30,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        self.assertEqual(done.returncode, expect, done.stderr)
        return done

    def test_one(self):
        port = self.d.port()
        self.register("a", port=port)
        got = json.loads(self.exec("a", "--", sys.executable, "-c", SHOW, "x", "--json", "-o").stdout)
        self.assertEqual(got["arguments"], ["x", "--json", "-o"])
        self.assertEqual(got["environment"], {"LISTEN_PID": str(got["pid"]), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "a"})
        self.assertEqual(got["fds"], [[socket.AF_VSOCK, f"(4294967295, {port})", 1]])
        self.assertEqual([fd for fd in got["others"] if fd != 4], [], "no other descriptor is passed on")

    def test_several(self):
        """Several services, several addresses each: a name a descriptor, NAME@MACHINE of a machine."""
        for name in ("web1", "web2"):
            (self.d.folder / name).mkdir()
            self.c.call("AddMachine", machine={"name": name, "hybrid": f"{self.d.folder}/{name}/v.sock"})
        port = self.d.port()
        self.register("a", port=port, listen=[f"vsock://:{port}", f"unix://{self.d.folder}/a.sock"])
        self.register("b", port=self.d.port(), listen=["machine:*"], handout={"mode": "listener"})
        got = json.loads(self.exec("b", "a", "--", sys.executable, "-c", SHOW, environment={
            "LISTEN_PID": "1", "LISTEN_FDS": "7", "LISTEN_FDNAMES": "x", "LISTEN_PIDFDID": "5"}).stdout)
        names = got["environment"]["LISTEN_FDNAMES"].split(":")
        self.assertEqual(names, ["b@web1", "b@web2", "a", "a"])
        self.assertEqual(got["environment"]["LISTEN_FDS"], "4")
        self.assertNotEqual(got["environment"].get("LISTEN_PIDFDID"), "5")
        self.assertIn("web1/v.sock", got["fds"][0][1])
        self.assertIn("web2/v.sock", got["fds"][1][1])
        self.assertEqual({fd[0] for fd in got["fds"][2:]}, {socket.AF_VSOCK, socket.AF_UNIX})

    def test_exit_codes(self):
        self.register("a", port=self.d.port())
        self.exec("a", "--", "sh", "-c", "exit 42", expect=42)
        self.exec("a", "--", "/nonexistent/program", expect=127)
        self.exec("a", "--", "/dev/null", expect=126)
        self.exec("none", "--", "true", expect=1)
        self.exec("--", "true", expect=2)
        self.exec("a", "--", expect=2)
        self.d.ctl("--socket", "/nonexistent", "exec", "a", "--", "true", expect=4)
        done = subprocess.run(self.d.ctl_command("exec", "a", "--", "sh", "-c", "kill -TERM $$"), env=self.d.ctl_environment(), timeout=30)
        self.assertEqual(done.returncode, -signal.SIGTERM)

    def test_server_is_replaced(self):
        """The main job: a real server on a handed-out socket; kill it, start it again while a client waits; it is served."""
        path = self.d.folder / "a.sock"
        self.register("a", listen=[f"unix://{path}"])
        server = "import socket\ns=socket.socket(fileno=3)\nwhile True:\n c,_=s.accept()\n c.sendall(b'served by '+str(__import__('os').getpid()).encode())\n c.close()"

        def start():
            return self.process(self.d.ctl_command("exec", "a", "--", sys.executable, "-c", server), env=self.d.ctl_environment())

        first = start()
        with connect(path) as client:
            self.assertEqual(client.recv(100), f"served by {first.pid}".encode())
        first.kill()
        first.wait()
        with connect(path) as client:
            self.assertEqual(select.select([client], [], [], 0.2)[0], [])
            second = start()
            self.assertEqual(client.recv(100), f"served by {second.pid}".encode())

    def test_socket_activate_program(self):
        """A program that nobody here wrote reads LISTEN_FDS: systemd's own, where it is installed."""
        path = "/lib/systemd/systemd-stdio-bridge"
        if not os.path.exists("/usr/bin/systemd-socket-activate") or not os.path.exists(path):
            self.skipTest("needs systemd's programs")
        # systemd-socket-activate takes no descriptors over; what it passes on is compared with what we pass on.
        port = self.d.port()
        self.register("a", port=port)
        ours = json.loads(self.exec("a", "--", sys.executable, "-c", SHOW).stdout)["environment"]
        unix = self.d.folder / "b.sock"
        theirs = self.process(["systemd-socket-activate", "-l", str(unix), "--fdname=a", sys.executable, "-c", SHOW], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
        connection = wait_for(lambda: self._try(unix), 5)
        self.things.callback(connection.close)
        theirs = json.loads(theirs.stdout.readline())["environment"]
        self.assertEqual(set(ours), set(theirs) - {"LISTEN_PIDFDID"})
        self.assertEqual((ours["LISTEN_FDS"], ours["LISTEN_FDNAMES"]), (theirs["LISTEN_FDS"], theirs["LISTEN_FDNAMES"]))

    @staticmethod
    def _try(path):
        try:
            return connect(path)
        except OSError:
            return None
