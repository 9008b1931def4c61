# SPDX-License-Identifier: Apache-2.0
"""handout.socket mounted into a container: what it takes there works, although it may not make such a socket itself."""

import json
import os
import pathlib
import socket
import subprocess

from hv import container
from hv.case import BUILD, Case, GUEST, vsock_connect, wait_for

UID = 300000  # root of the container
ENTRY = "/run/hvsock/a"

SERVER = """
import errno, json, os, socket, sys
try:
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    sys.exit("socket(AF_VSOCK) is not forbidden")
except PermissionError:
    pass
registry = socket.socket(socket.AF_UNIX)
registry.connect(sys.argv[1])
def call(method, **parameters):
    registry.sendall(json.dumps({"method": "io.hvsock.Registry." + method, "parameters": parameters}).encode() + b"\\0")
    reply, fds, _, _ = socket.recv_fds(registry, 65536, 128)
    return json.loads(reply.rstrip(b"\\0")), fds
reply, fds = call("Acquire", names=["b"])
assert "error" in reply and not fds, reply
reply, fds = call("List")
assert "error" in reply, reply
reply, fds = call("Acquire", names=["a"])
assert "error" not in reply, reply
print("pid", os.getpid(), "uid", os.getuid(), flush=True)
for listener in reply["parameters"]["listeners"]:
    print("serving", listener["address"], flush=True)
    listening = socket.socket(fileno=fds[listener["listenerFileDescriptor"]])
    for _ in range(int(sys.argv[2])):
        connection, peer = listening.accept()
        connection.sendall(b"hello from the container to " + connection.recv(100))
        connection.close()
"""


class Container(Case):
    def setUp(self):
        super().setUp()
        why = container.runs_here()
        if why:
            self.skipTest(why)
        self.d = self.daemon()
        self.c = self.client(self.d)
        self.root = self.d.folder / "root"
        self.root.mkdir()

    def register(self, **fields):
        handout = {"users": [f"{UID}-{UID + 65535}"], "socket": True}
        self.c.call("Register", service={"name": "a", "handout": handout, **fields})
        self.c.call("Register", service={"name": "b", "port": self.d.port(), "handout": handout})
        self.entry = self.d.runtime / "handout" / "a"
        wait_for(self.entry.exists)
        self.c.call("Status")  # and it is done with it

    def container(self, *command, uid=UID, mounts=(), **options):
        line = container.command_in(self.root, uid, [(self.entry, ENTRY), *mounts], command)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HVSOCK")}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return self.process(line, text=True, env=environment, **pipes, **options)

    def server(self, count=1, **options):
        process = self.container("/usr/bin/python3", "-c", SERVER, ENTRY, str(count), **options)
        line = process.stdout.readline()
        self.assertEqual(line, "pid 1 uid 0\n", line + (process.stderr.read() if not line else ""))
        return process

    def test_unix(self):
        """Accepts there, over unix; the lease is the host's process and uid, and ends with the container."""
        path = self.d.folder / "a.sock"
        self.register(listen=[f"unix://{path}"])
        server = self.server()
        self.assertIn("serving", server.stdout.readline())
        (lease,) = self.c.call("Describe", name="a")["service"]["runtime"]["leases"]
        self.assertEqual(lease["userId"], UID)
        self.assertIn(b"python3", pathlib.Path(f"/proc/{lease['processId']}/cmdline").read_bytes())
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            client.connect(str(path))
            client.sendall(b"one")
            self.assertEqual(client.recv(100), b"hello from the container to one")
        self.assertEqual(server.wait(60), 0, server.stderr.read())
        self.wait_state(self.c, "a", "listening")

    def test_vsock_listener(self):
        """An AF_VSOCK listener is handed out to who could not make one; in the guest, connections are served too."""
        port = self.d.port()
        self.register(port=port)
        server = self.server(2 if GUEST else 0)
        self.assertEqual(server.stdout.readline(), f"serving vsock://:{port}\n")
        for text in (b"one", b"two") if GUEST else ():
            with vsock_connect(1, port) as client:
                client.sendall(text)
                self.assertEqual(client.recv(100), b"hello from the container to " + text)
        self.assertEqual(server.wait(60), 0, server.stderr.read())

    def test_ctl_exec(self):
        """hvsockctl in the container: LISTEN_PID is what the program sees itself as."""
        self.register(listen=[f"unix://{self.d.folder}/a.sock"])
        code = "import os; print(os.environ['LISTEN_PID'] == str(os.getpid()), os.environ['LISTEN_FDNAMES'])"
        done = self.container(
            "/tool/hvsockctl", "--socket", ENTRY, "exec", "a", "--", "/usr/bin/python3", "-c", code,
            mounts=[(BUILD / "hvsockctl", "/tool/hvsockctl")],
        )  # fmt: skip
        output, errors = done.communicate(timeout=60)
        self.assertEqual((done.returncode, output), (0, "True a\n"), errors)

    def test_root_there_is_nobody_here(self):
        """Root of a user namespace is the uid that it is mapped to: of another range, it is let take nothing."""
        self.register(listen=[f"unix://{self.d.folder}/a.sock"])
        ask = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
            "s.sendall(b'{\"method\":\"io.hvsock.Registry.Acquire\",\"parameters\":{\"names\":[\"a\"]}}\\0');"
            "print(s.recv(4096).rstrip(b'\\0').decode())"
        )
        done = self.container("/usr/bin/python3", "-c", ask, ENTRY, uid=UID + 65536)
        output, errors = done.communicate(timeout=60)
        reply = json.loads(output or "{}")
        self.assertEqual(reply.get("error"), "io.hvsock.Registry.NotAllowed", output + errors)
        self.assertIn(str(UID + 65536), reply["parameters"]["reason"])

    ASK_AGAIN = """
import json, socket, sys
def ask():
    registry = socket.socket(socket.AF_UNIX)
    registry.connect("/run/hvsock/handout/a")
    registry.sendall(b'{"method":"io.hvsock.Registry.Acquire","parameters":{"names":["a"]}}\\0')
    reply, fds, _, _ = socket.recv_fds(registry, 65536, 128)
    return len(fds), json.loads(reply.rstrip(b"\\0")).get("error")
print(*ask(), flush=True)
sys.stdin.readline()
print(*ask(), flush=True)
"""

    def test_folder_outlives_a_restart(self):
        """Where the folder of entries is mounted, what is asked for after a restart of hvsockd is had, too."""
        self.register(listen=[f"unix://{self.d.folder}/a.sock"])
        for kill in (False, True):
            server = self.container(
                "/usr/bin/python3", "-c", self.ASK_AGAIN, stdin=subprocess.PIPE, mounts=[(self.entry.parent, "/run/hvsock/handout")]
            )
            self.assertEqual(server.stdout.readline(), "1 None\n")
            self.c.close()
            self.d.restart(kill=kill)
            self.c = self.client(self.d)
            wait_for(self.entry.exists)
            output, errors = server.communicate("\n", timeout=60)
            self.assertEqual((output, server.returncode), ("1 None\n", 0), errors)
