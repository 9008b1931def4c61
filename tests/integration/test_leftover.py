# SPDX-License-Identifier: Apache-2.0
"""hvsockd and hvsock-keeper are both killed, and what they held is not wanted any more at the next start: sockets' files that
nobody listens on are removed, and nothing else is."""

import os
import select
import signal
import socket

from hv.case import Case, wait_for


class Leftover(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon(start=False)

    def path(self, name):
        return self.d.folder / name

    def kill_both(self):
        keeper = wait_for(self.d.keeper, 20, "the keeper is there")
        self.d.kill()
        pidfd = os.pidfd_open(keeper)
        self.things.callback(os.close, pidfd)
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        self.assertTrue(select.select([pidfd], [], [], 20)[0], "the keeper is gone")

    def test_files(self):
        folder = self.path("vm")
        folder.mkdir()
        stays = f"services:\n  - {{name: stays, listen: ['unix://{self.path('stays')}']}}\n"
        goes = "".join(f"  - {{name: {name}, listen: ['unix://{self.path(name)}']}}\n" for name in ("gone", "served", "file", "never"))
        machine = f"  - {{name: m, port: 99, listen: ['machine:*']}}\nmachines:\n  - {{name: web1, hybrid: {folder}/v.sock}}\n"
        self.d.file("a", stays + goes + machine)
        self.d.start()
        guest = folder / "v.sock_99"
        self.assertTrue(guest.is_socket())
        self.kill_both()
        self.assertTrue(self.path("gone").is_socket() and guest.is_socket(), "a killed keeper leaves its files")
        # Others have come meanwhile.
        self.path("served").unlink()
        other = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.things.callback(other.close)
        other.bind(str(self.path("served")))
        other.listen()
        self.path("file").unlink()
        self.path("file").write_text("somebody's")
        self.path("never").unlink()
        self.d.file("a", stays)
        self.d.start()
        self.assertFalse(self.path("gone").exists() or guest.exists() or self.path("never").exists())
        self.assertTrue(self.path("stays").is_socket() and self.path("served").is_socket())
        self.assertEqual(self.path("file").read_text(), "somebody's")
        self.assertIn("gone: unix://", self.d.log_text())
        self.path("served").unlink()
        self.path("file").unlink()

    def test_another_takes_it(self):
        """The same path under another name: it is bound, and stays."""
        self.d.file("a", f"services:\n  - {{name: a, listen: ['unix://{self.path('s')}']}}\n")
        self.d.start()
        self.kill_both()
        self.d.file("a", f"services:\n  - {{name: b, listen: ['unix://{self.path('s')}']}}\n")
        self.d.start()
        self.assertEqual(self.state(self.client(self.d), "b"), "listening")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.connect(str(self.path("s")))

    def test_ephemeral(self):
        """What was to end with a process that has ended meanwhile; what is tied to one that lives stays."""
        self.d.start()
        client = self.client(self.d)
        folders = {name: self.path(name) for name in ("web1", "web2")}
        client.call("Register", service={"name": "all", "port": 99, "listen": ["machine:*"]})
        sleepers = {name: self.process(["sleep", "600"]) for name in folders}
        for name, folder in folders.items():
            folder.mkdir()
            machine = {"name": name, "hybrid": f"{folder}/v.sock"}
            client.call("AddMachine", machine=machine, ephemeralProcessId=sleepers[name].pid)
            service = {"name": f"of-{name}", "listen": [f"unix://{folder}/s"]}
            client.call("Register", service=service, ephemeralProcessId=sleepers[name].pid)
        self.kill_both()
        self.assertEqual(sorted(os.listdir(folders["web1"])), ["s", "v.sock_99"])
        sleepers["web1"].kill()
        sleepers["web1"].wait()
        self.d.start()
        client = self.client(self.d)
        self.assertEqual(os.listdir(folders["web1"]), [])
        self.assertEqual(sorted(os.listdir(folders["web2"])), ["s", "v.sock_99"])
        self.assertEqual(sorted(s["context"]["name"] for s in client.list()), ["all", "of-web2"])
        self.assertEqual(self.state(client, "of-web2"), "listening")
        sleepers["web2"].kill()
        sleepers["web2"].wait()
        wait_for(lambda: os.listdir(folders["web2"]) == [], 10, "the other ends with its process, too")
