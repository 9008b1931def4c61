# SPDX-License-Identifier: Apache-2.0
"""hvsockd ends, however, and another goes on with what hvsock-keeper holds; the keeper ends, and another is given it."""

import json
import os
import signal
import socket
import struct

from hv.case import Case, wait_for


def connect(path):
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.settimeout(60)
    peer.connect(str(path))
    return peer


def acquire(client, name):
    """Its first listener, which is the test's own to close."""
    _, fds = client.call_fds("Acquire", names=[name])
    return socket.socket(fileno=fds[0])


def serve(client, name):
    _, fds = client.call_fds("Serve", name=name)
    return socket.socket(fileno=fds[0])


def accept(served):
    data, fds, _, _ = socket.recv_fds(served, 65536, 1)
    return json.loads(data), socket.socket(fileno=fds[0])


class Keep(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon()
        self.c = self.client(self.d)

    def keeper(self):
        return wait_for(self.d.keeper)

    def again(self, how="kill"):
        """Another hvsockd in the same folder; the keeper is the same."""
        keeper = self.keeper()
        self.assertTrue(keeper)
        if how == "kill":
            self.d.kill()
        else:
            self.d.arguments = ["--keep"]
            self.assertEqual(self.d.terminate(), 0)
        self.d.start()
        self.c = self.client(self.d)
        if how != "new keeper":
            self.assertEqual(self.keeper(), keeper)

    def path(self, name="s"):
        return self.d.folder / f"{name}.sock"

    def register(self, name, **fields):
        return self.c.call("Register", service={"name": name, "listen": [f"unix://{self.path(name)}"], **fields})

    def inode(self, name):
        return os.stat(self.path(name)).st_ino

    def test_backlog(self):
        """Who waits in the backlog is served by the next hvsockd's server."""
        self.register("s")
        inode = self.inode("s")
        peer = connect(self.path())
        self.things.callback(peer.close)
        peer.sendall(b"early")
        self.again()
        self.assertEqual(self.inode("s"), inode)
        listener = acquire(self.c, "s")
        listener.settimeout(60)
        connection, _ = listener.accept()
        self.assertEqual(connection.recv(5), b"early")
        connection.close()
        listener.close()

    def test_port(self):
        """A listener of AF_VSOCK is the same socket, not one that is bound anew; and free when it is let go of."""
        port = self.d.port()
        self.c.call("Register", service={"name": "v", "port": port})
        listener = acquire(self.c, "v")
        before = os.fstat(listener.fileno()).st_ino
        listener.close()
        self.again()
        listener = acquire(self.c, "v")
        self.assertEqual(os.fstat(listener.fileno()).st_ino, before)
        listener.close()
        for _ in range(20):
            self.c.call("Unregister", name="v")
            service = self.c.call("Register", service={"name": "v", "port": port})["service"]
            self.assertEqual(service["runtime"]["state"], "listening", service)

    def test_stop_and_start(self):
        """--keep: SIGTERM leaves all open."""
        self.d.arguments = ["--keep"]
        self.d.restart()
        self.c = self.client(self.d)
        self.register("s")
        peer = connect(self.path())
        self.things.callback(peer.close)
        inode = self.inode("s")
        self.again("stop")
        self.assertEqual(self.inode("s"), inode)
        listener = acquire(self.c, "s")
        listener.settimeout(60)
        listener.accept()[0].close()
        listener.close()
        self.d.arguments = []
        self.c.call("Unregister", name="s")
        # The one that is looked after at the end ends the keeper too.
        self.d.kill()
        self.d.start()

    def test_lease(self):
        """A lease ends with its process, whichever hvsockd it was made by."""
        self.register("s", handout={"exclusive": True})
        code = """
import sys
from hv.varlink import Varlink
c = Varlink(sys.argv[1]); l = c.call_fds("Acquire", names=["s"]); print("there", flush=True); sys.stdin.read()
"""
        holder = self.python(code, self.d.socket, stdin=-1, stdout=-1)
        self.assertEqual(holder.stdout.readline(), "there\n")
        since = self.c.call("Describe", name="s")["service"]["runtime"]["leases"]
        self.again()
        runtime = self.c.call("Describe", name="s")["service"]["runtime"]
        self.assertEqual(runtime["leases"], since)
        self.assertEqual((runtime["state"], runtime["leases"][0]["processId"]), ("active", holder.pid))
        with self.refuses("Busy"):
            acquire(self.c, "s")
        holder.stdin.close()
        holder.wait()
        self.wait_state(self.c, "s", "listening")
        self.again()
        self.assertEqual(self.c.call("Describe", name="s")["service"]["runtime"]["leases"], [])

    def test_lease_ended_meanwhile(self):
        self.register("s")
        holder = self.python(
            "import sys\nfrom hv.varlink import Varlink\n"
            "c = Varlink(sys.argv[1]); l = c.call_fds('Acquire', names=['s']); print('there', flush=True); sys.stdin.read()",
            self.d.socket,
            stdin=-1,
            stdout=-1,
        )
        self.assertEqual(holder.stdout.readline(), "there\n")
        self.d.kill()
        holder.kill()
        holder.wait()
        self.d.start()
        self.c = self.client(self.d)
        self.assertEqual(self.c.call("Describe", name="s")["service"]["runtime"]["leases"], [])
        self.assertEqual(self.state(self.c, "s"), "listening")

    def test_serve(self):
        """A client of Serve goes on: with what it had not read, and with what comes."""
        self.register("s", peers={"maxConnections": 3})
        served = serve(self.c, "s")
        self.things.callback(served.close)
        served.settimeout(60)
        first = connect(self.path())
        self.things.callback(first.close)
        first.sendall(b"one")
        wait_for(lambda: len(self.c.list("ListConnections", "connection")) == 1)
        self.again()
        second = connect(self.path())
        self.things.callback(second.close)
        second.sendall(b"two")
        for word in (b"one", b"two"):
            connection, fd = accept(served)
            self.assertEqual((connection["service"], fd.recv(3)), ("s", word))
            self.things.callback(fd.close)
        self.assertEqual(len(self.c.list("ListConnections", "connection")), 2)
        # What was accepted before counts still.
        third, fourth = connect(self.path()), connect(self.path())
        self.things.callback(third.close)
        self.things.callback(fourth.close)
        self.assertEqual(fourth.recv(1), b"")
        _, fd = accept(served)
        fd.close()
        third.close()

    def test_serve_client_ends_meanwhile(self):
        """What it left unread goes to the next."""
        self.register("s")
        code = """
import sys
from hv.varlink import Varlink
c = Varlink(sys.argv[1]); s = c.call_fds("Serve", name="s"); print("there", flush=True); sys.stdin.read()
"""
        client = self.python(code, self.d.socket, stdin=-1, stdout=-1)
        self.assertEqual(client.stdout.readline(), "there\n")
        peer = connect(self.path())
        self.things.callback(peer.close)
        peer.sendall(b"x")
        wait_for(lambda: len(self.c.list("ListConnections", "connection")) == 1)
        self.d.kill()
        client.kill()
        client.wait()
        self.d.start()
        self.c = self.client(self.d)
        served = serve(self.c, "s")
        served.settimeout(60)
        _, fd = accept(served)
        self.assertEqual(fd.recv(1), b"x")
        fd.close()
        served.close()

    def test_keeper_ends(self):
        """Another is started within a second, and has all; nobody who waits notices."""
        self.register("s")
        peer = connect(self.path())
        self.things.callback(peer.close)
        peer.sendall(b"early")
        before = self.keeper()
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: self.keeper() not in (None, before))
        # Answered calls are held by the new one: nothing of this is lost with hvsockd.
        self.c.call("Register", service={"name": "t", "listen": [f"unix://{self.path('t')}"]})
        inode = self.inode("t")
        wait_for(lambda: "is given what we hold" in self.d.log_text())
        self.c.call("Status")  # and it has been given it
        self.again()
        self.assertEqual(self.inode("t"), inode)
        listener = acquire(self.c, "s")
        connection, _ = listener.accept()
        self.assertEqual(connection.recv(5), b"early")
        connection.close()
        listener.close()

    def test_keeper_ends_again_and_again(self):
        self.register("s")
        for _ in range(5):
            before = self.keeper()
            os.kill(before, signal.SIGKILL)
            wait_for(lambda: self.keeper() not in (None, before))
        self.assertEqual(self.state(self.c, "s"), "listening")

    def test_keeper_hangs(self):
        """It answers nothing: hvsockd does, and goes on with another."""
        self.register("s")
        self.assertTrue(self.c.call("Status")["keeperProcessId"])
        before = wait_for(self.keeper)
        wait_for(lambda: self.listener() == before, what="it listens in its own name")
        os.kill(before, signal.SIGSTOP)
        self.d.kill()
        self.d.start()
        self.c = self.client(self.d)
        self.assertEqual(self.state(self.c, "s"), "listening")
        self.assertIn(f"(process {before}) does not answer; it is ended", self.d.log_text())
        self.d.leave = True

    def listener(self):
        """The process that listens on the keeper's socket, as the kernel has it: hvsockd, until the keeper has begun."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            probe.connect(str(self.d.runtime / "keeper"))
            return struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]

    def test_both_end(self):
        """Everything is bound anew."""
        self.register("s")
        made = self.path().stat().st_ctime_ns
        keeper = self.keeper()
        os.kill(self.d.pid, signal.SIGSTOP)  # it has no time to start another
        os.kill(keeper, signal.SIGKILL)
        self.d.kill()
        wait_for(lambda: self.d.keeper() is None)
        self.d.start()
        self.c = self.client(self.d)
        self.assertEqual(self.state(self.c, "s"), "listening")
        self.assertNotEqual(self.path().stat().st_ctime_ns, made)
        self.assertIn("is lost", self.d.log_text())

    def test_both_are_killed_and_started_at_once(self):
        """Nobody waits for their end, in which thousands of sockets are closed one by one: whoever is started next does."""
        count = 500
        services = [{"name": f"s{i}", "listen": [f"unix://{self.d.folder}/m{i}.sock"]} for i in range(count)]
        services[0]["handout"] = {"socket": True}
        self.c.call("Apply", services=services)
        for _ in range(3):
            keeper = self.keeper()
            os.kill(self.d.pid, signal.SIGSTOP)  # it does not see the other's end
            os.kill(keeper, signal.SIGKILL)
            self.d.process.kill()
            killed, self.d.process = self.d.process, None
            self.d.start()
            killed.wait()
            self.c = self.client(self.d)
            wait_for(lambda: sum(s["runtime"]["state"] == "listening" for s in self.c.list()) == count, 20)
            self.client(self.d, self.d.runtime / "handout/s0").call("Describe", name="s0")
        self.assertNotIn("another", self.d.log_text())
        self.c.call("Apply", services=[], prune=True)

    def test_changes_while_away(self):
        """Files change while nobody runs: what goes is let go of, what stays is not touched."""
        port = self.d.port()
        self.d.file("a", {"services": [{"name": "gone", "port": port}, {"name": "stays", "listen": [f"unix://{self.path('stays')}"]}]})
        self.c.call("Reload")
        inode = self.inode("stays")
        self.d.kill()
        self.d.file("a", {"services": [{"name": "new", "port": port}, {"name": "stays", "listen": [f"unix://{self.path('stays')}"]}]})
        self.d.start()
        self.c = self.client(self.d)
        self.assertEqual(self.state(self.c, "new"), "listening")
        self.assertEqual(self.inode("stays"), inode)
        self.d.file("a", None)
        self.c.call("Reload")

    def test_path_removed_while_away(self):
        self.register("s")
        self.d.kill()
        self.path().unlink()
        self.d.start()
        self.c = self.client(self.d)
        self.assertEqual(self.state(self.c, "s"), "listening")
        connect(self.path()).close()

    def test_many(self):
        """Thousands come back, and none is refused meanwhile."""
        count = 3000
        services = [{"name": f"s{i}", "listen": [f"unix://{self.d.folder}/m{i}.sock"]} for i in range(count)]
        self.c.call("Apply", services=services)
        inodes = [os.stat(f"{self.d.folder}/m{i}.sock").st_ino for i in range(count)]
        self.again()
        self.assertEqual(inodes, [os.stat(f"{self.d.folder}/m{i}.sock").st_ino for i in range(count)])
        self.assertEqual(self.c.call("Status")["listeners"], count)
        for i in range(0, count, 97):
            connect(f"{self.d.folder}/m{i}.sock").close()
        # Whatever READY was told of is held, from that moment on.
        self.c.close()
        self.d.restart()
        self.d.kill()
        self.d.start()
        self.c = self.client(self.d)
        self.assertIn(f"taken back from hvsock-keeper: {count} listeners", self.d.log_text().split("ended")[-1])
        self.c.call("Apply", services=[], prune=True)

    def test_no_keeper(self):
        d = self.daemon(arguments=["--no-keeper"])
        with d.client() as c:
            c.call("Register", service={"name": "s", "listen": [f"unix://{d.folder}/s.sock"]})
            self.assertEqual(len(d.processes()), 1)
            c.call("Unregister", name="s")
