# SPDX-License-Identifier: Apache-2.0
"""Acquire: descriptors that are real listeners, leases, exclusive, what drains, nothing lost between two programs."""

import os
import random
import resource
import socket
import subprocess
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

# The lease outlives the connection, and what the process becomes.
TAKE_AND_SLEEP = """
import os, sys
from hv.varlink import Varlink
with Varlink(sys.argv[1]) as client:
    _, fds = client.call_fds("Acquire", names=["a"])
os.set_inheritable(fds[0], True)
print("taken", flush=True)
os.execvp("sleep", ["sleep", "1000"])
"""


# Follows, tells what it hears, and lives on with nothing.
FOLLOW = """
import os, sys
from hv.varlink import Varlink
client = Varlink(sys.argv[1], timeout=60)
client.send("Acquire", {"names": ["a"], "follow": True}, more=True)
for _ in range(2):
    reply, fds, _ = client.receive()
    for fd in fds:
        os.close(fd)
    print([l["address"] for l in reply["listeners"]], reply.get("withdrawn"), flush=True)
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
        holder = self.python(TAKE_AND_SLEEP, self.d.socket, stdout=subprocess.PIPE)
        holder.stdout.readline()
        wait_for(lambda: open(f"/proc/{holder.pid}/comm").read() == "sleep\n", 5)
        time.sleep(0.1)
        self.assertEqual([l["processId"] for l in self.leases("a")], [holder.pid])
        wait_for(lambda: "sleep" in self.leases("a")[0]["program"])

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
        (listener,) = self.acquire("a").values()
        listener.settimeout(60)
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
            reply, fds, continues = follower.receive()
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

    def test_follower_that_has_nothing_left(self):
        """A lease ends with its process, not with what was withdrawn from it: nobody else accepts for the service until then."""
        early, late = f"unix://{self.path}", f"unix://{self.d.folder}/late.sock"

        def apply(address, mode):
            self.c.call("Apply", services=[{"name": "a", "listen": [address], "handout": {"mode": mode}}])

        apply(early, "listener")
        follower = self.python(FOLLOW, self.d.socket, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(follower.stdout.readline(), f"['{early}'] None\n")
        apply(late, "connections")
        self.assertEqual(follower.stdout.readline(), f"[] ['{early}']\n")
        _, (fd,) = self.c.call_fds("Serve", name="a")
        server = socket.socket(fileno=fd)
        self.things.callback(server.close)
        client = connect(self.d.folder / "late.sock")
        self.things.callback(client.close)
        client.sendall(b"hello")
        leases = self.c.call("Describe", name="a")["service"]["runtime"]["leases"]
        self.assertEqual({one["processId"] for one in leases}, {follower.pid, os.getpid()})
        with self.assertRaises(BlockingIOError):
            server.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
        follower.stdin.close()  # it ends, and who waited is served
        server.settimeout(60)
        _, fds, _, _ = socket.recv_fds(server, 16384, 1)
        with socket.socket(fileno=fds[0]) as connection:
            connection.settimeout(60)
            self.assertEqual(connection.recv(5), b"hello")

    def test_follow_without_descriptors(self):
        """It ends with LimitReached: what was handed out is not withdrawn, for it is there still."""
        self.register("a", listen=[f"unix://{self.d.folder}/{n}.sock" for n in range(40)])
        used = len(self.d.fds())
        follower = self.client(self.d)
        follower.send("Acquire", {"names": ["a"], "follow": True}, more=True)
        reply, fds, _ = follower.receive()
        self.assertEqual(len(reply["listeners"]), 40)
        held = [socket.socket(fileno=fd) for fd in fds]
        for one in held:
            self.things.callback(one.close)
        resource.prlimit(self.d.pid, resource.RLIMIT_NOFILE, (used + 20, 4096))
        (self.d.folder / "7.sock").unlink()  # which is noticed, and made anew
        with self.refuses("LimitReached", limit="descriptors"):
            while True:
                reply, fds, _ = follower.receive()
                for fd in fds:
                    os.close(fd)
                self.assertLessEqual(len(reply.get("withdrawn") or []), 1)
        resource.prlimit(self.d.pid, resource.RLIMIT_NOFILE, (4096, 4096))
        wait_for(lambda: self.ready("a") == 40, 20)
        self.assertEqual(len(self.acquire("a", client=follower)), 40)
        connect(self.d.folder / "3.sock").close()
        held[[one.getsockname() for one in held].index(f"{self.d.folder}/3.sock")].accept()[0].close()

    def test_follow_machines_that_come_and_go(self):
        """Faster than the client reads, and more than a message carries: in the end it has those that there are, and each works."""
        port = self.d.port()
        self.register("a", port=port, listen=["machine:*"], handout={"mode": "listener"})

        def add(name):
            folder = self.d.folder / name
            folder.mkdir(exist_ok=True)
            self.c.call("AddMachine", machine={"name": name, "hybrid": str(folder / "v.sock")})

        for i in range(260):
            add(f"vm-{i:03}")
        follower = self.client(self.d)
        follower.send("Acquire", {"names": ["a"], "follow": True}, more=True)
        held = {}

        def receive():
            reply, fds, continues = follower.receive()
            self.assertTrue(continues)
            for address in reply.get("withdrawn") or []:
                held.pop(address)[1].close()
            for listener in reply["listeners"]:
                self.assertNotIn(listener["address"], held)
                held[listener["address"]] = listener["machine"], socket.socket(fileno=fds[listener["listenerFileDescriptor"]])

        def machines():
            return {machine for machine, _ in held.values()}

        try:
            while len(held) < 260:
                receive()
            chosen, there = random.Random(4), machines()
            for number in range(300):
                name = f"vm-{chosen.randrange(300):03}"
                if name in there:
                    self.c.call("RemoveMachine", name=name)
                    there.discard(name)
                if number % 3:  # back at once, or a new one: the same path, another socket
                    add(name)
                    there.add(name)
                if number % 50 == 0:
                    receive()
            add("last")
            there.add("last")
            while machines() != there:
                receive()
            self.assertEqual(len(held), len(there))
            for address, (machine, listener) in held.items():
                self.assertEqual(address, f"hybrid://{self.d.folder}/{machine}/v.sock:{port}")
                listener.settimeout(60)
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(f"{self.d.folder}/{machine}/v.sock_{port}")
                    listener.accept()[0].close()
        finally:
            for _, one in held.values():
                one.close()

    def ready(self, name):
        return [l["state"] for l in self.c.call("Describe", name=name)["service"]["runtime"]["listeners"]].count("listening")

    def test_exclusive_with_children(self):
        """Who has it may give it to children, ask again, and follow."""
        folder = self.d.folder / "late"
        self.register("a", listen=[f"unix://{self.path}", f"unix://{folder}/late.sock"], handout={"exclusive": True})
        (listener,) = self.acquire("a").values()
        self.process(["sleep", "1000"], pass_fds=[listener.fileno()])
        self.assertEqual(len(self.acquire("a")), 1)
        follower = self.client(self.d)
        follower.send("Acquire", {"names": ["a"], "follow": True}, more=True)
        addresses = []
        for number in range(2):
            reply, fds, _ = follower.receive()
            addresses += [l["address"] for l in reply["listeners"]]
            for fd in fds:
                os.close(fd)
            self.assertFalse(reply.get("withdrawn"))
            if number == 0:
                folder.mkdir()
        self.assertEqual(addresses, [f"unix://{self.path}", f"unix://{folder}/late.sock"])

    def test_draining(self):
        """A listener that a process holds cannot be taken back: it is draining, and names who holds it."""
        port = self.d.port()
        self.register("a", port=port)
        holder = self.hold("a")
        service = self.c.call("SetEnabled", name="a", enabled=False)["service"]
        self.assertEqual(
            [(l["state"], l["holders"]) for l in service["runtime"]["listeners"]], [("draining", [holder.pid])]
        )
        # Who wants that port waits until it is free.
        self.c.call("Unregister", name="a")
        service = self.register("b", port=port)
        self.assertEqual(
            (service["runtime"]["state"], service["runtime"]["listeners"][0]["state"]), ("waiting", "waiting")
        )
        holder.kill()
        holder.wait()
        self.wait_state(self.c, "b", "listening", 8)

    def test_draining_is_told_to_who_waits(self):
        port = self.d.port()
        self.register("a", port=port)
        holder = self.hold("a")
        self.c.call("Unregister", name="a")
        (listener,) = self.register("b", port=port)["runtime"]["listeners"]
        self.assertEqual((listener["state"], listener.get("holders")), ("waiting", [holder.pid]))

    def test_all_or_none_at_the_limit(self):
        """A limit that is met at the second name leaves no lease on the first."""
        self.d.settings("limits: {leasesPerUser: 1}\n")
        self.c.call("Reload")
        self.register("a", port=self.d.port())
        self.register("b", port=self.d.port())
        with self.refuses("LimitReached"):
            self.acquire("a", "b")
        self.assertEqual((self.leases("a"), self.leases("b")), ([], []))

    def test_unix_is_shut_down(self):
        """A unix listener is taken back at once, through every copy."""
        self.register("a", listen=[f"unix://{self.path}"])
        (listener,) = self.acquire("a").values()
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
            (listener,) = service["runtime"]["listeners"]
            self.assertEqual(listener["state"], "waiting")
            if "vsock_diag" not in listener["reason"]:  # without that module nobody can tell
                self.assertEqual(listener.get("holders"), [holder.pid])
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
        wait_for(
            lambda: len(self.d.fds()) <= before + 1, 5, lambda: f"{len(self.d.fds())} descriptors, before {before}"
        )
