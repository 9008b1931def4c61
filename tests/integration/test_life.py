# SPDX-License-Identifier: Apache-2.0
"""hvsockd's start and end: readiness, signals, its options, a socket that it is given."""

import signal
import socket
import subprocess

from hv.case import BUILD, Case, Varlink


class Life(Case):
    def test_ready_and_status(self):
        daemon = self.daemon()
        self.assertTrue([line for line in daemon.statuses if line.startswith("STATUS=")], daemon.statuses)

    def test_sigint_and_sigterm(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = self.daemon()
            daemon.process.send_signal(number)
            self.assertEqual(daemon.ended(), 0)
            self.assertEqual(daemon.sockets(), [])

    def test_usage(self):
        for arguments, status in (
            (["--help"], 0),
            (["--version"], 0),
            (["--nonsense"], 2),
            (["--config"], 2),
            (["extra"], 2),
        ):
            done = subprocess.run(
                [BUILD / "hvsockd", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                timeout=60,
            )
            self.assertEqual(done.returncode, status, (arguments, done.stderr))
            self.assertTrue(done.stdout if status == 0 else done.stderr)

    def test_listen_fds(self):
        """Its control socket by LISTEN_FDS, as from a .socket unit."""
        daemon = self.daemon(start=False)
        path = daemon.folder / "given.sock"
        given = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        given.bind(str(path))
        given.listen(50)
        self.things.callback(given.close)
        early = Varlink(path)
        self.things.callback(early.close)
        early.send("Status", {})
        daemon.passed = [("varlink", given)]
        daemon.start()
        self.assertEqual(early.receive()[0]["processId"], daemon.pid)
        self.assertEqual(daemon.terminate(), 0)
        # What it was given is not its own to remove.
        self.assertTrue(path.exists())
        path.unlink()
