# SPDX-License-Identifier: Apache-2.0
"""hvsockctl's ways to serve: exec --inetd, listen; and what connections shows of them."""

import datetime
import json
import os
import signal
import socket
import subprocess

from hv.case import Case, wait_for
from test_listeners import connect

# Nothing that makes the shell open files of its own.
SHOW = (
    'echo "$HVSOCK_SERVICE ${HVSOCK_MACHINE-none} ${REMOTE_ADDR-none} $LISTEN_FDS $LISTEN_FDNAMES"; '
    'test "$LISTEN_PID" = $$ && test /proc/$$/fd/0 -ef /proc/$$/fd/3 && echo same; '
    "for n in 0 1 2 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$n && echo $n; done"
)


class Inetd(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon()
        self.c = self.client(self.d)
        self.path = self.d.folder / "a.sock"
        self.c.call("Register", service={"name": "a", "listen": [f"unix://{self.path}"], "peers": {"maxConnections": 9}})

    def ctl(self, *arguments):
        process = self.process(
            self.d.ctl_command(*map(str, arguments)),
            env=self.d.ctl_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return process

    def connect(self, path=None):
        client = connect(path or self.path)
        self.things.callback(client.close)
        client.settimeout(60)
        return client

    def ask(self, text=b"hello", path=None):
        """What is sent back, until the end."""
        client = self.connect(path)
        if text:  # who is only asked for a word may have ended already
            client.sendall(text)
            client.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        client.close()
        return answer

    def children(self, process):
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            return file.read().split()

    def ends(self, process, status, stderr=""):
        self.assertEqual(process.wait(60), status)
        self.assertEqual(process.stderr.read(), stderr)

    def test_inetd(self):
        """A service whose listener nobody is given; each connection is a process, and none is left as a zombie."""
        (self.d.folder / "vm").mkdir()
        self.c.call("AddMachine", machine={"name": "web1", "hybrid": f"{self.d.folder}/vm/v.sock"})
        port = self.d.port()
        self.c.call("Register", service={"name": "b", "port": port, "listen": ["machine:web1"]})
        server = self.ctl("exec", "--inetd", "a", "b", "--", "sh", "-c", SHOW)
        expected = "none 1 connection\nsame\n0\n1\n2\n3\n"
        self.assertEqual(self.ask(b"").decode(), f"a none {expected}")
        self.assertEqual(self.ask(b"", f"{self.d.folder}/vm/v.sock_{port}").decode(), f"b web1 {expected}")
        for _ in range(20):
            self.ask(b"")
        wait_for(lambda: not self.children(server), 5)
        server.terminate()
        self.ends(server, 0)

    def test_goes_on(self):
        """What was started outlives SIGTERM; who comes next is served by another."""
        server = self.ctl("exec", "--inetd", "a", "--", "cat")
        client = self.connect()
        client.sendall(b"one")
        self.assertEqual(client.recv(10), b"one")
        server.send_signal(signal.SIGINT)
        self.assertEqual(server.wait(60), 0)
        client.sendall(b"two")
        self.assertEqual(client.recv(10), b"two")
        other = self.ctl("listen", "a", "--echo")
        self.assertEqual(self.ask(), b"hello")
        client.close()
        other.terminate()
        self.ends(other, 0)

    def test_ends(self):
        """With the service, and with the daemon: it is said why."""
        server = self.ctl("listen", "a", "--exec", "tr a-z A-Z")
        self.assertEqual(self.ask(), b"HELLO")
        self.c.call("SetEnabled", name="a", enabled=False)
        self.ends(server, 3, "hvsockctl: a: a has nothing to hand out: it is disabled; enable it first; `hvsockctl show a` shows its listeners\n")
        self.c.call("SetEnabled", name="a", enabled=True)
        server = self.ctl("listen", "a", "--echo")
        self.assertEqual(self.ask(b"x" * 50000), b"x" * 50000)
        self.c.close()
        self.d.terminate()
        self.assertEqual(server.wait(60), 4)
        self.assertIn("hvsockd went away", server.stderr.read())

    def test_usage(self):
        for arguments in (["listen", "a", "--echo", "--exec", "true"], ["listen", "a", "b", "--echo"]):
            self.assertEqual(self.d.ctl(*arguments, expect=None).returncode, 2)
        self.assertEqual(self.d.ctl("listen", "none", "--echo", expect=None).returncode, 1)
        self.assertEqual(self.d.ctl("exec", "--inetd", "none", "--", "true", expect=None).returncode, 1)

    def test_connections(self):
        self.assertEqual(self.d.ctl("connections", "--json").stdout, "")
        server = self.ctl("exec", "--inetd", "a", "--", "cat")
        clients = [self.connect() for _ in range(2)]
        for client in clients:
            client.sendall(b"x")
            self.assertEqual(client.recv(1), b"x")
        children = sorted(int(child) for child in self.children(server))

        def shown():
            return [json.loads(line) for line in self.d.ctl("connections", "--json").stdout.splitlines()]

        # Its own copy it may close a moment after that who was started has answered.
        wait_for(lambda: sorted(o["holders"] for o in shown()) == [[child] for child in children], what=shown)
        objects = shown()
        self.assertEqual({(o["service"], o["program"], o["processId"]) for o in objects}, {("a", "cat", os.getpid())})
        lines = self.d.ctl("connections", "-o", "SERVICE,MACHINE,PEER,PROGRAM,ADDRESS").stdout.splitlines()
        self.assertEqual(lines[0].split(), ["SERVICE", "MACHINE", "PEER", "PROGRAM", "ADDRESS"])
        self.assertEqual(lines[1].split()[:4], ["a", "-", f"uid:{os.getuid()}", "cat"])
        self.assertEqual(len(lines), 3)
        for client in clients:
            client.close()
        wait_for(lambda: self.d.ctl("connections", "--json").stdout == "", 5)

    def test_connections_of_a_machine(self):
        """As they are shown when nothing else is asked for: service, machine, CID, port, peer, program, since."""
        folder = self.d.folder / "vm"
        folder.mkdir()
        self.c.call("AddMachine", machine={"name": "web1", "hybrid": str(folder / "v.sock")})
        self.c.call("Register", service={"name": "b", "port": 5141, "listen": ["machine:web1"]})
        before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
        server = self.ctl("exec", "--inetd", "b", "--", "cat")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            client.connect(f"{folder}/v.sock_5141")
            client.sendall(b"x")
            self.assertEqual(client.recv(1), b"x")
            (child,) = self.children(server)
            wait_for(lambda: json.loads(self.d.ctl("connections", "--json").stdout)["holders"] == [int(child)])
            heading, row = [line.split() for line in self.d.ctl("connections").stdout.splitlines()]
            self.assertEqual(heading, ["SERVICE", "MACHINE", "CID", "PORT", "PEER", "PROGRAM", "SINCE"])
            self.assertEqual(row[:7], ["b", "web1", "-", "5141", f"uid:{os.getuid()}", "cat", f"({child})"])
            self.assertTrue(before <= datetime.datetime.fromisoformat(row[7].replace("Z", "+00:00")) <= before + datetime.timedelta(hours=1), row)
        self.assertEqual(self.d.ctl("connections", "-o", "NOTHING", expect=2).stdout, "")
