# SPDX-License-Identifier: Apache-2.0
"""The shipped examples whose programs are on this machine, as they are: only where they listen is another, for AF_VSOCK is not
connected here."""

import json
import os
import pathlib
import re

from hv.case import GUEST, vsock_connect
from test_activate import Activation

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "config/examples"


class Examples(Activation):
    def run_example(self, name):
        text = (EXAMPLES / f"{name}.yaml").read_text()
        for program in re.findall(r"exec: \[([^,\]]+)", text):
            if not os.access(program, os.X_OK):
                self.skipTest(f"there is no {program}")
        port = self.d.port()
        text, count = re.subn(r'port: \d+\n    listen: \["vsock://:\d+"\]',
                              f'port: {port}\n    listen: ["{f"vsock://:{port}" if GUEST else f"unix://{self.path}"}"]', text)
        self.assertEqual(count, 1)
        self.d.file(name, text)
        self.c.call("Reload")
        if not GUEST:
            return self.connect()
        client = vsock_connect(1, port)
        self.things.callback(client.close)
        return client

    def test_host_time(self):
        client = self.run_example("host-time")
        data = b""
        while more := client.recv(100):
            data += more
        self.assertRegex(data.decode(), r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00\n$")

    def test_guest_agent(self):
        client = self.run_example("guest-agent")
        for _ in range(2):
            client.sendall(b'{"execute": "guest-ping"}\n')
            data = b""
            while not data.endswith(b"\n"):
                more = client.recv(1000)
                self.assertTrue(more, self.d.log_text())
                data += more
            self.assertEqual(json.loads(data), {"return": {}})
        self.assertEqual(self.state(self.c, "guest-agent"), "active")
