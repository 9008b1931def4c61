# SPDX-License-Identifier: Apache-2.0
"""Activation: programs that are started when a peer connects, by every way that they and their peers can end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

from hv.case import BUILD, GUEST, NOBODY, Case, vsock_connect, wait_for
from test_listeners import connect

# What a program of accept was started as, to its peer.
TELL = """
import json, os, resource, socket, sys
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
mask = os.umask(0)
told = {
    "arguments": sys.argv[1:], "environment": dict(os.environ), "pid": os.getpid(), "directory": os.getcwd(), "umask": mask,
    "uid": os.getuid(), "gid": os.getgid(), "groups": sorted(os.getgroups()),
    "fds": {n: os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")},
    "blocked": status["SigBlk"], "ignored": status["SigIgn"], "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
    "blocking": os.get_blocking(0),
}
os.write(1, json.dumps(told).encode() + b"\n")
"""

ECHO = ["/bin/cat"]


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
        client.settimeout(10)
        return client

    def service(self, name="a"):
        return self.c.call("Describe", name=name)["service"]

    def programs(self, name="a"):
        return self.service(name)["runtime"].get("programs", [])

    def wait_programs(self, count, name="a"):
        wait_for(lambda: len(self.programs(name)) == count, 5, lambda: f"{count} programs: {self.service(name)['runtime']}")
        return self.programs(name)

    def connections(self):
        return self.c.list("ListConnections", "connection")

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
