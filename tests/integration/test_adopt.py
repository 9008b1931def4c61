# SPDX-License-Identifier: Apache-2.0
"""Listeners that are passed at the start under services' names: they become those services' own, and stay who passed
them's own, too; what fits no service is told and closed."""

import os
import pathlib
import socket

from hv.case import Case, wait_for


def inode(thing):
    return os.fstat(thing.fileno()).st_ino


class Adopt(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon(start=False)
        self.place = self.d.folder / "place"
        self.place.mkdir()

    def unix(self, path, kind=socket.SOCK_STREAM, listen=True):
        sock = socket.socket(socket.AF_UNIX, kind)
        self.things.callback(pathlib.Path(path).unlink, missing_ok=True)
        self.things.callback(sock.close)
        sock.bind(str(path))
        if listen:
            sock.listen(7)
        return sock

    def vsock(self, port, cid=socket.VMADDR_CID_ANY):
        sock = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        self.things.callback(sock.close)
        sock.bind((cid, port))
        sock.listen(7)
        return sock

    def connect(self, path):
        client = socket.socket(socket.AF_UNIX)
        self.things.callback(client.close)
        client.settimeout(60)
        client.connect(str(path))
        return client

    def listeners(self, client, name):
        return [(l["address"], l["state"]) for l in client.call("Describe", name=name)["service"]["runtime"]["listeners"]]

    def start(self, *passed):
        self.d.passed = list(passed)
        self.d.start()
        return self.client(self.d)

    def take(self, client, name):
        reply, fds = client.call_fds("Acquire", names=[name])
        taken = [socket.socket(fileno=fd) for fd in fds]
        for sock in taken:
            self.things.callback(sock.close)
        return taken

    def test_adopted(self):
        """A path and a port; who connected before hvsockd was there is served; a restart changes nothing."""
        path, port = self.place / "a.sock", self.d.port()
        unix, vsock = self.unix(path), self.vsock(port)
        early = self.connect(path)
        self.d.file("a", {"services": [{"name": "a", "listen": [f"unix://{path}"], "socket": {"mode": "0600"}},
                                       {"name": "b", "port": port}]})
        mode = path.stat().st_mode
        client = self.start(("a", unix), ("b", vsock))
        self.assertEqual(self.listeners(client, "a"), [(f"unix://{path}", "listening")])
        self.assertEqual(self.listeners(client, "b"), [(f"vsock://:{port}", "listening")])
        self.assertEqual(path.stat().st_mode, mode, "its owner and mode are who passed it's")
        mine = self.take(client, "a")
        self.assertEqual([inode(taken) for taken in mine], [inode(unix)])
        self.assertEqual([inode(taken) for taken in self.take(client, "b")], [inode(vsock)])
        connection, _ = mine[0].accept()
        early.sendall(b"early")
        self.assertEqual(connection.recv(5), b"early")
        connection.close()

        # A reload that changes the service leaves the socket; a connection that waits is still there.
        waiting = self.connect(path)
        self.d.file("a", {"services": [{"name": "a", "elementName": "Another", "backlog": 9, "listen": [f"unix://{path}"]},
                                       {"name": "b", "port": port}]})
        client.call("Reload")
        self.assertEqual([inode(taken) for taken in self.take(client, "a")], [inode(unix)])
        client.close()
        self.d.restart()
        client = self.client(self.d)
        self.assertEqual([inode(taken) for taken in self.take(client, "a")], [inode(unix)])
        mine[0].accept()[0].close()
        self.assertEqual(waiting.recv(1), b"")
        client.close()
        self.assertEqual(self.d.terminate(), 0)
        self.assertTrue(path.exists(), "a path that was passed is not ours to remove")
        self.connect(path)

    def test_machine(self):
        """NAME@MACHINE, and a machine's path under NAME alone: the address tells which it is."""
        port = self.d.port()
        services = [{"name": name, "port": port + at, "listen": ["machine:*"], "handout": {"mode": "listener"}}
                    for at, name in enumerate("ab")]
        machines = [{"name": name, "hybrid": f"{self.place}/{name}"} for name in ("web1", "web2")]
        self.d.file("a", {"services": services, "machines": machines})
        given = [(name, self.unix(f"{self.place}/{machine}_{port + at}"))
                 for at, name, machine in ((0, "a@web2", "web2"), (1, "b", "web1"), (0, "a@web2", "web1"))
                 ]
        client = self.start(*given)
        states = dict(self.listeners(client, "a") + self.listeners(client, "b"))
        self.assertEqual(states[f"hybrid://{self.place}/web2:{port}"], "listening")
        self.assertEqual(states[f"hybrid://{self.place}/web1:{port + 1}"], "listening")
        taken = {inode(sock) for name in "ab" for sock in self.take(client, name)}
        self.assertEqual(taken & {inode(sock) for _, sock in given}, {inode(sock) for _, sock in given[:2]})
        # Passed under another machine's name: told, and not taken.
        self.assertEqual(states[f"hybrid://{self.place}/web1:{port}"], "waiting")
        self.assertIn("hybrid://%s/web2:%d would be right" % (self.place, port), self.d.log_text())

    def test_mismatch(self):
        """What fits no service is told with what would be right, closed, and stops nothing."""
        port = self.d.port()
        own = self.place / "own.sock"
        self.d.file("a", {"services": [
            {"name": "a", "port": port, "listen": [f"unix://{own}"]},
            {"name": "off", "enabled": False, "listen": [f"unix://{self.place}/off"]},
            {"name": "packets", "type": "seqpacket", "listen": [f"unix://{self.place}/packets"]},
        ]})
        pipe = os.fdopen(os.pipe()[0])
        self.things.callback(pipe.close)
        given = [
            ("a", self.unix(self.place / "other")),
            ("a", self.vsock(port)),
            ("nosuch", self.unix(self.place / "nosuch")),
            ("off", self.unix(self.place / "off")),
            ("packets", self.unix(self.place / "packets")),
            ("a", self.unix(self.place / "silent", listen=False)),
            ("a", pipe),
            ("varlink", pipe),
            ("Not A Name@@", self.unix(self.place / "bad")),
        ]
        client = self.start(*given)
        log = self.d.log_text()
        for what in (
            f"it listens on {self.place}/other; unix://{own} would be right",
            f"it listens on vsock://:{port}; unix://{own} would be right",
            "nosuch: the socket that was passed at the start (descriptor 5) is closed: there is no service of this name",
            "off: the socket that was passed at the start (descriptor 6) is closed: the service is disabled",
            "packets: the socket that was passed at the start (descriptor 7) is closed: it is no socket, or one of another type; "
            "a socket of type seqpacket would be right",
            "(descriptor 8) is closed: it does not listen",
            "(descriptor 9) is closed: it is no socket",
            "descriptor 10 of LISTEN_FDS (varlink) is no listening unix stream socket; it is closed",
            "Not A Name: the socket that was passed at the start (descriptor 11) is closed: there is no service of this name",
        ):
            self.assertIn(what, log)
        self.assertEqual(self.listeners(client, "a"), [(f"unix://{own}", "listening")])
        held = {target for target in self.d.fds().values() if target.startswith(("socket:", "pipe:"))}
        for name, sock in given:
            self.assertNotIn(os.readlink(f"/proc/self/fd/{sock.fileno()}"), held, name)
        # Nothing of it is told again.
        client.call("Reload")
        self.assertEqual(self.d.log_text().count("that was passed"), log.count("that was passed"))

    def test_twice(self):
        path = self.place / "a.sock"
        sock = self.unix(path)
        self.d.file("a", {"services": [{"name": "a", "listen": [f"unix://{path}"]}]})
        client = self.start(("a", sock), ("a", sock))
        self.assertIn("(descriptor 4) is closed: it was passed twice", self.d.log_text())
        self.assertEqual(len(self.take(client, "a")), 1)

    def test_disabled(self):
        """Disable closes our copy alone; the address is who passed it's, which is told to who wants it, until that closes it too."""
        path, port = self.place / "a.sock", self.d.port()
        unix, vsock = self.unix(path), self.vsock(port)
        self.d.file("a", {"services": [{"name": "a", "listen": [f"unix://{path}"]}, {"name": "b", "port": port}]})
        client = self.start(("a", unix), ("b", vsock))
        before = self.connect(path)
        for name in "ab":
            client.call("SetEnabled", name=name, enabled=False)
        self.assertTrue(path.exists())
        unix.accept()[0].close()
        self.assertEqual(before.recv(1), b"")
        self.connect(path)
        draining = client.call("Describe", name="b")["service"]["runtime"]["listeners"]
        self.assertEqual([(l["state"], l["holders"]) for l in draining], [("draining", [os.getpid()])])
        self.assertIn("which passed it at the start; stop the unit of that", self.d.log_text())
        client.call("SetEnabled", name="b", enabled=True)
        waiting = client.call("Describe", name="b")["service"]["runtime"]["listeners"]
        self.assertEqual(waiting[0]["state"], "waiting")
        self.assertIn("passed it for b at the start", waiting[0]["reason"])
        vsock.close()
        wait_for(lambda: self.listeners(client, "b") == [(f"vsock://:{port}", "listening")], 10)
        # Passed again at the next start, it is taken again.
        client.call("SetEnabled", name="a", enabled=True)
        client.close()
        self.d.passed = [("a", unix)]
        self.d.restart()
        client = self.client(self.d)
        self.assertEqual([inode(sock) for sock in self.take(client, "a")], [inode(unix)])

    def test_served(self):
        """Serve accepts on it, too."""
        path = self.place / "a.sock"
        unix = self.unix(path)
        self.d.file("a", {"services": [{"name": "a", "listen": [f"unix://{path}"], "handout": {"mode": "connections"}}]})
        client = self.start(("a", unix))
        peer = self.connect(path)
        reply, fds = client.call_fds("Serve", name="a")
        server = socket.socket(fileno=fds[0])
        self.things.callback(server.close)
        server.settimeout(60)
        message, taken, _, _ = socket.recv_fds(server, 65536, 1)
        with socket.socket(fileno=taken[0]) as connection:
            connection.sendall(b"served")
        self.assertEqual(peer.recv(6), b"served")

    def test_no_more(self):
        """Not passed any more: it is a listener like any other, which hvsockd changes as it is told to."""

        def room():
            """How many can wait: one more than the backlog."""
            waiting = []
            try:
                while len(waiting) < 20:
                    client = socket.socket(socket.AF_UNIX)
                    waiting.append(client)
                    client.setblocking(False)
                    client.connect(str(path))
            except BlockingIOError:
                return len(waiting) - 1
            finally:
                for client in waiting:
                    client.close()
                unix.setblocking(False)
                try:
                    while True:
                        unix.accept()[0].close()
                except BlockingIOError:
                    pass

        path = self.place / "a.sock"
        unix = self.unix(path)
        service = {"name": "a", "backlog": 3, "listen": [f"unix://{path}"]}
        self.d.file("a", {"services": [service]})
        client = self.start(("a", unix))
        self.assertEqual(room(), 8)
        self.d.file("a", {"services": [{**service, "backlog": 4}]})
        client.call("Reload")
        self.assertEqual(room(), 8, "who passed it says how many may wait")
        client.close()
        for passed in ([("a", unix)], [], []):
            self.d.passed = passed
            self.d.kill()  # the keeper goes on, and has it
            self.d.start()
            client = self.client(self.d)
            self.assertEqual([inode(taken) for taken in self.take(client, "a")], [inode(unix)])
            client.close()
        self.assertEqual(room(), 8)
        self.d.file("a", {"services": [{**service, "backlog": 5}]})
        client = self.client(self.d)
        client.call("Reload")
        self.assertEqual(room(), 6)

    def test_names_missing(self):
        """Numbers and names that do not go together are told; hvsockd starts."""
        self.d.file("a", {"services": [{"name": "a", "listen": [f"unix://{self.place}/own"]}]})
        client = self.start(("a:b", self.unix(self.place / "a.sock")))
        self.assertIn("do not go together", self.d.log_text())
        self.assertEqual(self.listeners(client, "a"), [(f"unix://{self.place}/own", "listening")])
