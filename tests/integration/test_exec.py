# SPDX-License-Identifier: Apache-2.0
"""hvsockctl exec: what a program finds in its environment and at its descriptors; servers that replace each other."""

import json
import select
import shutil
import signal
import socket
import subprocess
import sys

from hv.case import Case, wait_for
from test_listeners import connect

SERVER = """
import os, socket
listener = socket.socket(fileno=3)
while True:
    connection, _ = listener.accept()
    connection.sendall(b"served by %d" % os.getpid())
    connection.close()
"""

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
        done = subprocess.run(
            self.d.ctl_command("exec", *arguments),
            env=self.d.ctl_environment(**(environment or {})),
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )
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
        got = json.loads(
            self.exec(
                "b",
                "a",
                "--",
                sys.executable,
                "-c",
                SHOW,
                environment={"LISTEN_PID": "1", "LISTEN_FDS": "7", "LISTEN_FDNAMES": "x", "LISTEN_PIDFDID": "5"},
            ).stdout
        )
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
        done = subprocess.run(
            self.d.ctl_command("exec", "a", "--", "sh", "-c", "kill -TERM $$"), env=self.d.ctl_environment(), timeout=60
        )
        self.assertEqual(done.returncode, -signal.SIGTERM)

    def test_server_is_replaced(self):
        """The main job: a server is killed, and started again while a client waits, who is served."""
        path = self.d.folder / "a.sock"
        self.register("a", listen=[f"unix://{path}"])

        def start():
            return self.process(
                self.d.ctl_command("exec", "a", "--", sys.executable, "-c", SERVER), env=self.d.ctl_environment()
            )

        first = start()
        with connect(path) as client:
            self.assertEqual(client.recv(100), f"served by {first.pid}".encode())
        first.kill()
        first.wait()
        with connect(path) as client:
            self.assertEqual(select.select([client], [], [], 0.2)[0], [])
            second = start()
            self.assertEqual(client.recv(100), f"served by {second.pid}".encode())

    def test_as_systemd_does(self):
        """What we pass on is what systemd-socket-activate passes on."""
        if not shutil.which("systemd-socket-activate"):
            self.skipTest("needs systemd-socket-activate")
        port = self.d.port()
        self.register("a", port=port)
        ours = json.loads(self.exec("a", "--", sys.executable, "-c", SHOW).stdout)["environment"]
        unix = self.d.folder / "b.sock"
        theirs = self.process(
            ["systemd-socket-activate", "-l", str(unix), "--fdname=a", sys.executable, "-c", SHOW],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        connection = wait_for(lambda: self._try(unix), 5)
        unix.unlink()
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
