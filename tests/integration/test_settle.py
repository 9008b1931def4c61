# SPDX-License-Identifier: Apache-2.0
"""packaging/settle, which make install ends with: what it asks of a host that runs, by programs that only write it down."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

SETTLE = pathlib.Path(__file__).resolve().parents[2] / "packaging/settle"
PROGRAMS = ("ldconfig", "systemd-sysusers", "systemd-tmpfiles", "systemctl")


class Settle(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="hv-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.folder.chmod(0o755)
        # Where every user finds it: a clone in root's home is nobody else's.
        self.settle_path = self.folder / "settle"
        shutil.copy(SETTLE, self.settle_path)
        self.settle_path.chmod(0o755)
        for name in PROGRAMS:
            program = self.folder / name
            program.write_text(f'#!/bin/sh\necho {name} "$@"\n[ {name} != "${{FAILS:-}}" ]\n')
            program.chmod(0o755)

    def settle(self, *become, runs=True, fails="", expect=0):
        environment = {
            "PATH": f"{self.folder}:/usr/bin:/bin",
            "SYSTEMD_RUNS": str(self.folder if runs else self.folder / "none"),
            "FAILS": fails,
        }
        done = subprocess.run([*become, self.settle_path, "/p/sysusers", "/p/tmpfiles"], env=environment, capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (expect, ""))
        return done.stdout.splitlines()

    @unittest.skipIf(os.geteuid() != 0, "installs as root")
    def test_what_it_does(self):
        """The user before the folders that are its own; what cannot be done ends it, and is told."""
        everything = ["ldconfig", "systemd-sysusers /p/sysusers", "systemd-tmpfiles --create /p/tmpfiles", "systemctl daemon-reload"]
        self.assertEqual(self.settle(), everything)
        self.assertEqual(self.settle(runs=False), everything[:1])
        self.assertEqual(self.settle(fails="systemd-sysusers", expect=1), everything[:2])
        self.assertEqual(self.settle("setpriv", "--reuid=65534", "--clear-groups"), [])
