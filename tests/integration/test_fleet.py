# SPDX-License-Identifier: Apache-2.0
"""400 machines with 20 services on each, each VMM a process under its own uid, while others start and end, 20 a second.
FLEET_SECONDS: for how long (10)."""

import collections
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time

from hv.case import Case, wait_for

HERE = pathlib.Path(__file__).resolve().parent
SECONDS = float(os.environ.get("FLEET_SECONDS") or 10)
MACHINES = int(os.environ.get("FLEET_MACHINES") or 400)
SERVICES = 20
A_SECOND = 20
LIVES_SECONDS = 1
FIRST_UID = 60000


class Fleet(Case):
    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("each VMM has a uid of its own: needs root")
        self.d = self.daemon()
        self.c = self.client(self.d, timeout=60)
        # Where every uid can read it: a clone in root's home is none of theirs.
        self.vmm = self.d.folder / "vmm.py"
        self.vmm.write_text((HERE / "vmm.py").read_text())
        self.vmm.chmod(0o644)
        self.ports = [self.d.port() for _ in range(SERVICES)]
        for i, port in enumerate(self.ports):
            self.c.call("Register", service={"name": f"every-{i:02}", "port": port, "listen": ["machine:*"]})

    def folder(self, name, uid):
        folder = self.d.folder / name
        folder.mkdir()
        os.chown(folder, uid, uid)
        return folder

    def resident(self, number):
        """A VMM that stays: a child that is that user, has its own socket, and waits."""
        name, uid = f"vm-{number:03}", FIRST_UID + number
        path = self.folder(name, uid) / "v.sock"
        pid = os.fork()
        if pid == 0:
            try:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                for fd in range(3, 64):
                    try:
                        os.close(fd)
                    except OSError:
                        pass
                listener = socket.socket(socket.AF_UNIX)
                listener.bind(str(path))
                listener.listen()
                while True:
                    signal.pause()
            finally:
                os._exit(1)
        self.children[pid] = path
        self.c.call("AddMachine", {"machine": {"name": name, "hybrid": str(path)}, "ephemeralProcessId": pid})

    def end_residents(self):
        for pid in self.children:
            os.kill(pid, signal.SIGKILL)
        for pid, path in self.children.items():
            os.waitpid(pid, 0)
            path.unlink(missing_ok=True)  # the VMM's own, which was killed
        self.children = {}

    def start(self, number):
        name, uid = f"short-{number}", FIRST_UID + MACHINES + number
        path = self.folder(name, uid) / "v.sock"
        become = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", sys.executable, "-S", "-E"]
        process = subprocess.Popen(
            self.d.ctl_command("machine", "run", name, "--hybrid", path, "--user", uid, "--group", uid, "--",
                               *become, self.vmm, path, self.ports[number % SERVICES]),
            env=self.d.ctl_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        return process, path, time.monotonic()

    def end(self, process, path):
        """It was started, found its services, and is killed; what it says of itself."""
        line = process.stdout.readline()
        process.kill()
        _, wrong = process.communicate()
        self.assertEqual(wrong, "")
        told = json.loads(line)
        self.assertTrue(told["connected"], path)
        self.assertNotEqual(told["uid"], 0)
        path.unlink()
        self.folders.append(path.parent)

    def sockets_in(self, folder):
        return [p.name for p in folder.iterdir()]

    def test_fleet(self):
        self.children, self.folders = {}, []
        self.addCleanup(self.end_residents)
        # One that will never listen: nobody else waits for it.
        self.c.call("AddMachine", {"machine": {"name": "stuck", "hybrid": "/nowhere/v.sock"}})
        for number in range(MACHINES):
            self.resident(number)
        status = self.c.call("Status")
        self.assertEqual((status["machines"], status["listeners"]), (MACHINES + 1, (MACHINES + 1) * SERVICES))

        alive, number = collections.deque(), 0
        began = time.monotonic()
        while time.monotonic() < began + SECONDS:
            alive.append(self.start(number))
            number += 1
            while alive and time.monotonic() > alive[0][2] + LIVES_SECONDS:
                self.end(*alive.popleft()[:2])
            time.sleep(max(0, began + number / A_SECOND - time.monotonic()))
        while alive:
            process, path, _ = alive.popleft()
            self.end(process, path)
        self.assertGreater(number, 5, "they were started")

        wait_for(
            lambda: self.c.call("Status")["machines"] == MACHINES + 1, 20, lambda: f"{self.c.call('Status')} has no short ones"
        )
        status = self.c.call("Status")
        self.assertEqual((status["listeners"], status["leases"]), ((MACHINES + 1) * SERVICES, 0))
        self.assertEqual(status["draining"], [])
        for folder in self.folders:
            self.assertEqual(self.sockets_in(folder), [])
        # The others were not touched by all that.
        for pid, path in list(self.children.items())[:: MACHINES // 20 or 1]:
            for port in self.ports:
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(f"{path}_{port}")
        folders = [path.parent for path in self.children.values()]
        self.end_residents()
        self.c.call("RemoveMachine", name="stuck")
        wait_for(lambda: self.c.call("Status")["machines"] == 0, 20, lambda: self.c.call("Status"))
        wait_for(lambda: self.c.call("Status")["listeners"] == 0, 5, lambda: self.c.call("Status"))
        for folder in folders:
            self.assertEqual(self.sockets_in(folder), [])
        self.assertEqual(self.c.list("ListMachines", "machine"), [])
        # Not even the folders are watched any more.
        def watched():
            total = 0
            for fd, target in self.d.fds().items():
                if "inotify" in target:
                    text = pathlib.Path(f"/proc/{self.d.pid}/fdinfo/{fd}").read_text()
                    total += text.count("inotify wd:")
            return total

        for folder in folders:
            shutil.rmtree(folder)
        wait_for(lambda: watched() <= 1, 5, lambda: f"{watched()} folders are watched")
        self.c.close()
        self.d.terminate()
        database = sqlite3.connect(self.d.runtime / "ephemeral.db")
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%machine%'"):
            self.assertEqual(database.execute(f"SELECT count(*) FROM {table}").fetchone(), (0,))
        database.close()
