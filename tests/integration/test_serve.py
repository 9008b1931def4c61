# SPDX-License-Identifier: Apache-2.0
"""Serve: who is let in, what a full socket holds back, and that nothing is lost when clients come and go."""

import json
import os
import socket
import subprocess
import time

from hv.case import GUEST, NOBODY, Case, vsock_connect, wait_for
from hv.varlink import Refused, Varlink
from test_listeners import connect

# Takes so many connections, greets each, tells them by line, and then does nothing until it is ended.
SERVER = """
import json, os, socket, sys, time
from hv.varlink import Varlink
client = Varlink(sys.argv[1])
_, fds = client.call_fds("Serve", name=sys.argv[2])
server = socket.socket(fileno=fds[0])
print("ready", flush=True)
for _ in range(int(sys.argv[3])):
    text, fds, flags, _ = socket.recv_fds(server, 16384, 1)
    if not text:
        break
    connection = socket.socket(fileno=fds[0])
    connection.sendall(b"hello from %d" % os.getpid())
    connection.close()
    print(text.decode(), flush=True)
if len(sys.argv) > 4:
    server.close()
    print("closed", flush=True)
time.sleep(1000)
"""


class Serve(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon()
        self.c = self.client(self.d)
        self.path = self.d.folder / "a.sock"

    def register(self, name="a", **fields):
        fields.setdefault("listen", [f"unix://{self.path}"])
        return self.c.call("Register", service={"name": name, **fields})["service"]

    def serve(self, name="a", client=None, path=None):
        """A socket of Serve, of this process."""
        if path:
            client = self.client(self.d, path)
        reply, fds = (client or self.c).call_fds("Serve", name=name)
        self.assertEqual((reply, len(fds)), ({"connectionSocketFileDescriptor": 0}, 1))
        server = socket.socket(fileno=fds[0])
        server.settimeout(60)
        self.things.callback(server.close)
        return server

    def take(self, server):
        """The next connection: what it says, and its socket."""
        text, fds, flags, _ = socket.recv_fds(server, 16384, 4)
        self.assertTrue(text, "the end")
        self.assertEqual((len(fds), flags & socket.MSG_CTRUNC), (1, 0))
        connection = socket.socket(fileno=fds[0])
        self.assertEqual(connection.type, socket.SOCK_STREAM)
        self.assertTrue(os.get_blocking(connection.fileno()), "connections are handed over blocking")
        self.things.callback(connection.close)
        return json.loads(text), connection

    def has_message(self, server):
        server.setblocking(False)
        try:
            return bool(server.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False
        finally:
            server.settimeout(60)

    def nothing(self, server):
        server.settimeout(0.1)
        with self.assertRaises(TimeoutError):
            server.recv(1, socket.MSG_PEEK)
        server.settimeout(60)

    def connect(self, path=None):
        client = connect(path or self.path)
        self.things.callback(client.close)
        client.settimeout(60)
        return client

    def refused(self, client):
        """It is hung up, without a word."""
        try:
            self.assertEqual(client.recv(1), b"")
        except ConnectionResetError:
            pass
        client.close()

    def served(self, server, client):
        """It is this one that comes next."""
        text, connection = self.take(server)
        connection.sendall(b"x")
        self.assertEqual(client.recv(1), b"x")
        return text, connection

    def server(self, count=1000, name="a", closes=False):
        process = self.python(
            SERVER, self.d.socket, name, count, *(["closes"] if closes else []), stdout=subprocess.PIPE
        )
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def fill(self, clients):
        """So many that a socket of Serve is full, and some more wait to be accepted."""
        for _ in range(40):
            clients.append(self.connect())
        return clients

    def leases(self, name="a"):
        return self.c.call("Describe", name=name)["service"]["runtime"]["leases"]

    def listens(self, name):
        return [l["state"] for l in self.c.call("Describe", name=name)["service"]["runtime"]["listeners"]] == ["listening"]

    def connections(self, client=None):
        return (client or self.c).list("ListConnections", "connection")

    # ---- what it is ----

    def test_message(self):
        self.register()
        server = self.serve()
        self.assertEqual((server.family, server.type), (socket.AF_UNIX, socket.SOCK_SEQPACKET))
        client = self.connect()
        text, connection = self.served(server, client)
        self.assertRegex(text.pop("since"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(
            text,
            {"service": "a", "address": f"unix://{self.path}", "peer": f"uid:{os.getuid()}", "processId": os.getpid()},
        )
        # The daemon keeps no copy: when the server hangs up, the client sees it.
        connection.close()
        self.assertEqual(client.recv(1), b"")
        self.assertEqual([l["processId"] for l in self.leases()], [os.getpid()])
        self.assertEqual(self.state(self.c, "a"), "active")
        server.close()

    def test_modes(self):
        """In both modes; a service that only waits; not one that is disabled or holds nothing."""
        for name, fields in (
            ("listener", {"handout": {"mode": "listener"}}),
            ("connections", {"handout": {"mode": "connections"}}),
            ("peers", {"peers": {"allow": [f"uid:{os.getuid()}"]}}),
        ):
            path = self.d.folder / f"{name}.sock"
            self.register(name, listen=[f"unix://{path}"], **fields)
            self.served(self.serve(name), self.connect(path))
        folder = self.d.folder / "late"
        self.register("late", listen=[f"unix://{folder}/late.sock"])
        server = self.serve("late")
        folder.mkdir()
        wait_for(lambda: self.state(self.c, "late") == "active" and self.listens("late"), 5)
        self.served(server, self.connect(folder / "late.sock"))
        self.register("datagrams", type="dgram", listen=[f"unix://{self.d.folder}/datagrams.sock"])
        with self.refuses("NotAllowed", name="datagrams"):
            self.c.call("Serve", name="datagrams")
        self.register("many", port=self.d.port(), listen=["machine:*"])
        self.serve("many")
        self.register("off", listen=[f"unix://{self.d.folder}/off.sock"], enabled=False)
        self.register("none", guid="999e53d4-3d5c-4c3e-8779-bed06ec056e2", listen=None)
        self.assertEqual(self.c.refused("Serve", name="off").short, "NotListening")
        self.assertEqual(self.c.refused("Serve", name="none").short, "NotListening")
        self.assertEqual(self.c.refused("Serve", name="nobody").short, "NoSuchService")

    def test_rights(self):
        self.register(handout={"users": [str(NOBODY)], "socket": True})
        self.register("b", listen=[f"unix://{self.d.folder}/b.sock"])
        entry = self.d.runtime / "handout/a"

        def ask(path, name):
            with Varlink(path) as client:
                return client.call("Serve", name=name)

        self.d.folder.chmod(0o755)
        for path in (self.d.socket, entry):
            self.as_user(NOBODY, lambda path=path: ask(path, "a"))
            with self.refuses("NotAllowed"):
                self.as_user(NOBODY, lambda path=path: ask(path, "b"))
        with self.refuses("NotAllowed"):
            self.as_user(12345, lambda: ask(entry, "a"))
        with self.refuses("NotAllowed"):
            self.as_user(12345, lambda: Varlink(self.d.socket).call("ListConnections"))

    def test_exclusive(self):
        self.register(handout={"exclusive": True})
        holder = self.server()
        with self.refuses("Busy", name="a", processId=holder.pid):
            self.c.call("Serve", name="a")
        holder.kill()
        holder.wait()
        wait_for(lambda: not self.leases(), 5)
        self.serve()

    # ---- who may ----

    def test_uids(self):
        self.d.folder.chmod(0o755)
        self.register(
            socket={"mode": "0666"}, peers={"allow": ["uid:0", "uid:12345"], "deny": [f"uid:{NOBODY}"]}
        )
        server = self.serve()
        self.served(server, self.connect())

        def come():
            client = connect(self.path)
            client.settimeout(60)
            return client.recv(1).decode()

        watcher = self.client(self.d)

        def watcher_began():
            self.c.call("SetEnabled", name="other", enabled=True)
            self.c.call("SetEnabled", name="other", enabled=False)
            watcher.socket.settimeout(0.1)
            try:
                return watcher.receive()
            except TimeoutError:
                return None
            finally:
                watcher.socket.settimeout(60)

        self.register("other", listen=[f"unix://{self.d.folder}/other.sock"], enabled=False)
        watcher.send("Watch", {}, more=True)
        wait_for(lambda: watcher_began(), 5)
        for uid in (NOBODY, 12346):
            self.assertEqual(self.as_user(uid, come), "")
        self.nothing(server)
        texts = []
        while len(texts) < 2:
            event = watcher.receive()[0]["event"]
            if event["kind"] == "refused":
                texts.append(event["text"])
        self.assertIn(f"uid:{NOBODY} is refused by a: peers.deny", texts[0])
        self.assertIn("uid:12346 is refused by a: it is not in peers.allow", texts[1])
        self.assertIn("peers.deny names it", self.d.log_text())

    def test_machines(self):
        """On a machine's own path a connection is that machine's, if it is its user who comes."""
        port = self.d.port()
        vms = {name: self.d.folder / name / "v.sock" for name in ("web1", "web2", "web3")}
        for i, (name, path) in enumerate(vms.items()):
            path.parent.mkdir()
            machine = {"name": name, "cid": 1000 + i, "hybrid": str(path)}
            if name == "web3":
                machine["user"] = "12345"
            self.c.call("AddMachine", machine=machine)
        self.register("a", port=port, listen=["machine:*"], peers={"allow": ["web1", "1002"]})
        server = self.serve()
        paths = {name: f"{path}_{port}" for name, path in vms.items()}
        text, _ = self.served(server, self.connect(paths["web1"]))
        self.assertEqual((text["machine"], text["address"]), ("web1", f"hybrid://{vms['web1']}:{port}"))
        self.refused(self.connect(paths["web2"]))
        # It is allowed by its CID; but it is not its user.
        self.refused(self.connect(paths["web3"]))
        self.assertIn("it is not the user that its machine runs as", self.d.log_text())
        self.c.call("AddMachine", machine={"name": "web3", "cid": 1002, "hybrid": str(vms["web3"])})
        self.assertEqual(self.served(server, self.connect(paths["web3"]))[0]["machine"], "web3")
        # The CID passes to another machine, and what was allowed by it with it.
        self.c.call("RemoveMachine", name="web3")
        self.c.call("AddMachine", machine={"name": "web2", "cid": 1002, "hybrid": str(vms["web2"])})
        self.assertEqual(self.served(server, self.connect(paths["web2"]))[0]["machine"], "web2")
        # A machine that comes later is served too.
        path = self.d.folder / "web4" / "v.sock"
        path.parent.mkdir()
        self.c.call("Unregister", name="a")
        self.register("a", port=port, listen=["machine:*"])
        server = self.serve()
        self.c.call("AddMachine", machine={"name": "web4", "hybrid": str(path)})
        self.assertEqual(self.served(server, self.connect(f"{path}_{port}"))[0]["machine"], "web4")

    def test_over_vsock(self):
        """In the guest: peers are known by their CID, which over loopback is 1; slots, and what the kernel knows."""
        if not GUEST:
            self.skipTest("connects AF_VSOCK: runs in the guest of tests/vm alone")
        port, other, named, acquired = self.d.port(), self.d.port(), self.d.port(), self.d.port()

        def come(to):
            client = vsock_connect(1, to)
            self.things.callback(client.close)
            return client

        self.register("a", port=port, listen=None, peers={"allow": ["1"], "maxConnectionsPerPeer": 1})
        server = self.serve()
        for _ in range(3):
            client = come(port)
            text, connection = self.served(server, client)
            self.assertEqual((text["address"], "processId" in text), (f"vsock://:{port}", False))
            self.assertRegex(text["peer"], r"^vsock:1:\d+$")
            self.assertEqual([c["peer"] for c in self.connections()], [text["peer"]])
            self.refused(come(port))
            connection.close()
            client.close()
        self.register("b", port=other, listen=None, peers={"deny": ["0-9"]})
        self.serve("b")
        self.refused(come(other))
        # machine:NAME there is the shared port, and lets in that machine alone.
        self.c.call("AddMachine", machine={"name": "web1", "cid": 42})
        self.register("c", port=named, listen=["machine:web1"])
        self.serve("c")
        self.refused(come(named))
        # What a program accepts itself is known to the kernel (vsock_diag), and whose it is.
        self.register("d", port=acquired, listen=None)
        _, fds = self.c.call_fds("Acquire", names=["d"])
        with socket.socket(fileno=fds[0]) as listener:
            come(acquired)
            accepted, peer = listener.accept()
            with accepted:
                (shown,) = self.connections()
                self.assertEqual((shown["service"], shown["address"]), ("d", f"vsock://:{acquired}"))
                self.assertEqual((shown["peer"], shown["holders"]), (f"vsock:{peer[0]}:{peer[1]}", [os.getpid()]))
                row = self.d.ctl("connections").stdout.splitlines()[1].split()
                self.assertEqual(row[:5], ["d", "-", "1", str(acquired), shown["peer"]])

    def test_default_peers(self):
        self.register()
        server = self.serve()
        self.served(server, self.connect())
        self.d.settings(f'peers: {{deny: ["uid:{os.getuid()}"]}}\n')
        self.c.call("Reload")
        self.refused(self.connect())
        self.c.call("Unregister", name="a")
        self.register(peers={"maxConnections": 100})
        server = self.serve()
        self.served(server, self.connect())

    def test_max_connections(self):
        self.register(peers={"maxConnections": 2})
        server = self.serve()
        first, one = self.connect(), None
        _, one = self.served(server, first)
        self.served(server, self.connect())
        self.refused(self.connect())
        self.assertIn("peers.maxConnections are open", self.d.log_text())
        one.close()
        self.served(server, self.connect())
        self.refused(self.connect())
        # One after the other is never too many.
        self.c.call("Unregister", name="a")
        self.register(peers={"maxConnectionsPerPeer": 1})
        server = self.serve()
        for _ in range(8):  # each is a look for what has ended, which has its bounds, too
            client = self.connect()
            _, connection = self.served(server, client)
            connection.close()
            client.close()
        _, connection = self.served(server, self.connect())
        self.refused(self.connect())
        self.assertIn("peers.maxConnectionsPerPeer of it are open", self.d.log_text())
        # It outlives the client that took it, as the connection does.
        server.close()
        server = self.serve()
        self.refused(self.connect())
        connection.close()
        self.served(server, self.connect())

    def test_rate(self):
        began = time.monotonic()
        self.register(peers={"rate": "3/h"})
        server = self.serve()
        for _ in range(3):
            self.served(server, self.connect())
        for _ in range(30):
            self.refused(self.connect())
        log = self.d.log_text()
        self.assertIn("it comes more often than peers.rate", log)
        self.assertLess(log.count("is refused"), 10 + 2 + time.monotonic() - began, "at most so many lines a second")
        self.c.call("Unregister", name="a")
        self.register(peers={"rate": "10/s"})
        server = self.serve()
        for _ in range(10):
            self.served(server, self.connect())
        time.sleep(0.25)
        self.served(server, self.connect())

    # ---- credit ----

    def test_full(self):
        """Nothing is accepted that nobody has room for; it waits where it is."""
        self.register()
        before = len(self.d.fds())
        server = self.serve()
        clients = self.fill([])
        wait_for(lambda: len(self.connections()) >= 2, 10, "some are accepted")
        for _ in range(50):
            self.c.call("Status")  # turns of its loop in which it could accept
        # What was accepted is on its way in the socket; the rest waits in the listener.
        accepted = self.connections()
        self.assertTrue(2 <= len(accepted) <= 16, len(accepted))
        self.assertLessEqual(len(self.d.fds()), before + 6)
        taken = [self.take(server) for _ in clients]
        for client, (_, connection) in zip(clients, taken):
            connection.sendall(b"x")
            self.assertEqual(client.recv(1), b"x")
        self.nothing(server)

    def test_never_reads(self):
        """Another one does; what the first one has is its own until it ends."""
        self.register()
        lazy = self.server(0)
        clients = self.fill([])
        wait_for(self.connections, 10, "it is given some")
        server = self.serve()
        taken = 0

        def all_are_accepted():
            nonlocal taken
            while self.has_message(server):
                self.take(server)
                taken += 1
            return len(self.connections()) == len(clients)

        wait_for(all_are_accepted, 20, lambda: f"{taken} were taken, {len(self.connections())} are accepted")
        while self.has_message(server):
            self.take(server)
            taken += 1
        self.assertTrue(20 <= taken < 40, taken)
        lazy.kill()
        lazy.wait()
        for _ in range(40 - taken):
            self.take(server)
        self.nothing(server)
        self.assertEqual(len(clients), 40)

    def test_round_robin(self):
        self.register()
        servers = [self.serve(), self.serve()]
        for _ in range(4):
            self.connect()
        for server in servers:
            for _ in range(2):
                self.take(server)
            self.nothing(server)
        self.assertEqual(len(self.leases()), 1)

    # ---- clients that end ----

    def test_killed_with_unread(self):
        """SIGKILL with messages unread: the next one gets them, or the one that comes next."""
        self.register()
        for others in (True, False):
            lazy = self.server(0)
            clients = [self.connect() for _ in range(5)]
            wait_for(lambda: len(self.connections()) == 5, 5)
            server = self.serve() if others else None
            lazy.kill()
            lazy.wait()
            wait_for(lambda: lazy.pid not in [l["processId"] for l in self.leases()], 5)
            server = server or self.serve()
            for client in clients:
                _, connection = self.served(server, client)
                # Nobody else has a copy of it: neither hvsockd, nor, soon, its keeper.
                connection.close()
                self.assertEqual(client.recv(1), b"")
            self.nothing(server)
            server.close()
            for client in clients:
                client.close()
            # An own end that is closed is found by what is left unread in it, or by the process's end.
            self.c.call("Unregister", name="a")
            self.register()

    def test_killed_half_way(self):
        """Many clients that are killed as they serve: every connection is served."""
        self.register(backlog=500)
        clients = [self.connect() for _ in range(120)]
        for client in clients:
            client.settimeout(60)
        for count in (10, 20, 30):
            server = self.server(count)
            for _ in range(count):
                self.assertIn('"service":"a"', server.stdout.readline())
            server.kill()
            server.wait()
        server = self.server()
        pids = [client.recv(100) for client in clients]
        self.assertTrue(all(pid.startswith(b"hello from ") for pid in pids), pids)

    def test_closed_without_dying(self):
        self.register()
        closer = self.server(0, closes=True)
        self.assertEqual(closer.stdout.readline(), "closed\n")
        clients = [self.connect() for _ in range(3)]
        server = self.serve()
        # In whatever order: the last of them may have been handed to the new one at once.
        for _ in clients:
            self.take(server)[1].sendall(b"x")
        for client in clients:
            self.assertEqual(client.recv(1), b"x")
        self.assertEqual([l["processId"] for l in self.leases()], [os.getpid()])

    def test_sends_back(self):
        """Who sends something on it is let go of; what came with it is closed, what it left unread goes to others."""
        self.register()
        before = self.d.fds()
        rude = self.serve()
        clients = [self.connect() for _ in range(3)]
        wait_for(lambda: len(self.connections()) == 3, 5)
        ends = os.pipe()
        socket.send_fds(rude, [b"here"], [ends[0], rude.fileno()])
        os.close(ends[0])
        wait_for(lambda: not self.leases(), 5)
        # Nobody has the pipe's other end any more: not the daemon either, nor, soon, its keeper.

        def is_broken():
            try:
                os.write(ends[1], b"x")
                return False
            except BrokenPipeError:
                return True

        wait_for(is_broken)
        os.close(ends[1])
        rude.close()
        server = self.serve()
        for client in clients:
            self.served(server, client)
        self.assertLessEqual(len(self.d.fds()), len(before) + 5)

    def test_shuts_down(self):
        self.register()
        rude = self.serve()
        clients = [self.connect() for _ in range(3)]
        wait_for(lambda: len(self.connections()) == 3, 5)
        rude.shutdown(socket.SHUT_RDWR)
        wait_for(lambda: not self.leases(), 5)
        server = self.serve()
        for client in clients:
            self.served(server, client)

    # ---- what changes meanwhile ----

    def test_disabled(self):
        """What is in the socket is still the client's; then it reads the end. What waits elsewhere is closed."""
        self.register()
        server = self.serve()
        clients = [self.connect() for _ in range(3)]
        wait_for(lambda: len(self.connections()) == 3, 5)
        self.c.call("SetEnabled", name="a", enabled=False)
        self.assertEqual(self.leases(), [])
        for client in clients:
            self.served(server, client)
        self.assertEqual(server.recv(1), b"")
        self.c.call("SetEnabled", name="a", enabled=True)
        lazy = self.server(0)
        clients = [self.connect() for _ in range(3)]
        self.c.call("Unregister", name="a")
        lazy.kill()
        for client in clients:
            self.refused(client)

    def test_changed(self):
        """Other addresses and rules: the clients stay."""
        other = self.d.folder / "other.sock"
        self.d.file("s", f"services: [{{name: s, listen: ['unix://{self.path}']}}]")
        self.c.call("Reload")
        server = self.serve("s")
        self.served(server, self.connect())
        self.d.file("s", f"services: [{{name: s, listen: ['unix://{other}'], peers: {{maxConnections: 2}}}}]")
        self.c.call("Reload")
        self.assertFalse(self.path.exists())
        self.served(server, self.connect(other))
        self.refused(self.connect(other))
        self.d.file("s", f"services: [{{name: s, listen: ['unix://{other}'], peers: {{deny: ['uid:{os.getuid()}']}}}}]")
        self.c.call("Reload")
        self.refused(self.connect(other))
        self.d.file("s", None)
        self.c.call("Reload")
        self.assertEqual(server.recv(1), b"")

    def test_path_is_removed(self):
        """It listens anew, and is served as before."""
        self.register()
        server = self.serve()
        self.path.unlink()
        wait_for(lambda: self.path.exists() and self.listens("a"), 5)
        self.served(server, self.connect())

    def test_acquire_and_serve(self):
        """While somebody has the listener, the daemon does not accept on it; and then it does again."""
        self.register()
        server = self.serve()
        holder = self.python(
            "import sys, socket\n"
            "from hv.varlink import Varlink\n"
            "_, fds = Varlink(sys.argv[1]).call_fds('Acquire', names=['a'])\n"
            "listener = socket.socket(fileno=fds[0])\n"
            "print(listener.getblocking(), flush=True)\n"
            "for _ in range(2):\n"
            "    sys.stdin.readline()\n"
            "    connection, _ = listener.accept()\n"
            "    connection.sendall(b'y')\n"
            "sys.stdin.readline()\n",
            self.d.socket,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.assertEqual(holder.stdout.readline(), "True\n")
        self.assertEqual(len(self.leases()), 2)
        clients = [self.connect() for _ in range(3)]
        self.nothing(server)
        holder.stdin.write("\n\n")
        holder.stdin.flush()
        for client in clients[:2]:
            self.assertEqual(client.recv(1), b"y")
        holder.kill()
        holder.wait()
        self.served(server, clients[2])
        # One process has both.
        _, fds = self.c.call_fds("Acquire", names=["a"])
        self.assertEqual(len(self.leases()), 1)
        client = self.connect()
        self.nothing(server)
        with socket.socket(fileno=fds[0]) as listener:
            listener.settimeout(60)
            listener.accept()[0].close()
        self.assertEqual(client.recv(1), b"")

    # ---- bounds ----

    def test_limits(self):
        self.d.settings("limits: {leasesPerUser: 3}\n")
        self.c.call("Reload")
        self.register()
        before = len(self.d.fds())
        servers = [self.serve() for _ in range(3)]
        self.assertEqual(self.c.refused("Serve", name="a").short, "LimitReached")
        for server in servers:
            server.close()
        # What this process has closed is found to be so, and makes room.
        wait_for(self.serves_again, 20, "there is room again")
        wait_for(lambda: len(self.d.fds()) <= before + 5, 20, lambda: f"{len(self.d.fds())} descriptors, {before} before")

    def serves_again(self):
        try:
            _, fds = self.c.call_fds("Serve", name="a")
        except Refused as error:
            self.assertIn(error.short, ("LimitReached", "Busy"))
            return False
        os.close(fds[0])
        return True

    def test_exclusive_and_closed(self):
        """Who has closed its socket has it no more, though it lives."""
        self.register(handout={"exclusive": True})
        holder = self.server(0, closes=True)
        self.assertEqual(holder.stdout.readline(), "closed\n")
        wait_for(self.serves_again, 20, "it is free")
        self.assertIsNone(holder.poll())

    def test_reply_is_not_read_yet(self):
        """A socket that is on its way to its client was not closed, however slow that is."""
        self.register()
        for _ in range(5):
            late, began = self.client(self.d), time.monotonic()
            late.send("Serve", {"name": "a"})
            wait_for(self.leases, 10, "it was answered")
            client = self.connect()
            wait_for(self.connections, 10, "it was accepted")
            time.sleep(1.6)  # three looks
            _, fds, _ = late.receive()
            server = socket.socket(fileno=fds[0])
            self.things.callback(server.close)
            server.settimeout(60)
            if time.monotonic() > began + 4:  # too slow a machine to tell; once more, and nobody else serves
                server.close()
                client.close()
                wait_for(lambda: not self.leases())
                continue
            self.served(server, client)
            break

    def test_descriptors_run_out(self):
        """EMFILE at accept: connections wait, and come when there is room again."""
        import resource

        self.register()
        server = self.serve()
        resource.prlimit(self.d.pid, resource.RLIMIT_NOFILE, (3, 4096))
        clients = [self.connect() for _ in range(3)]
        wait_for(lambda: "connections wait: Too many open files" in self.d.log_text())
        self.nothing(server)
        resource.prlimit(self.d.pid, resource.RLIMIT_NOFILE, (4096, 4096))
        for client in clients:
            self.served(server, client)

    def test_connections(self):
        """Who is connected to what, and who serves it."""
        self.assertEqual(self.connections(), [])
        self.register()
        holder = self.python(SERVER.replace("connection.close()", "keep = connection"), self.d.socket, "a", 1, stdout=subprocess.PIPE)
        holder.stdout.readline()
        client = self.connect()
        self.assertTrue(client.recv(100))
        (connection,) = self.connections()
        self.assertEqual(
            (connection["service"], connection["processId"], connection["holders"]), ("a", os.getpid(), [holder.pid])
        )
        self.assertIn("python", connection["program"])
        holder.kill()
        holder.wait()
        self.assertEqual(self.connections(), [])
        self.assertEqual(self.c.call("ListConnections"), {})
