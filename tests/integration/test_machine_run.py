# SPDX-License-Identifier: Apache-2.0
"""hvsockctl machine run: the record, the wait, and the VMM that it becomes."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

from hv.case import GUEST, Case, wait_for

VMM = str(pathlib.Path(__file__).resolve().parent / "vmm.py")


class MachineRun(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon()
        self.c = self.client(self.d)
        self.port = self.d.port()
        self.folder = self.d.folder / "web1"
        self.folder.mkdir()

    def run_machine(self, *arguments, **options):
        return self.process(
            self.d.ctl_command("machine", "run", *arguments),
            env=self.d.ctl_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def register(self, name="a", port=None, listen="machine:*"):
        self.c.call("Register", service={"name": name, "port": port or self.port, "listen": [listen]})

    def machines(self, **parameters):
        return self.c.list("ListMachines", "machine", **parameters)

    def test_becomes_the_vmm(self):
        """The process itself is the VMM, finds everything listening, and takes the record with it."""
        self.register()
        self.register("b", self.d.port())
        path = self.folder / "v.sock"
        vmm = self.run_machine(
            "web1", "--hybrid", path, "--cid", 4711, "--label", "rack=a3", "--", sys.executable, VMM, path, self.port, "cid={cid}"
        )
        told = json.loads(vmm.stdout.readline())
        self.assertEqual(told["pid"], vmm.pid)
        self.assertEqual(told["environment"], {"HVSOCK_MACHINE": "web1", "HVSOCK_CID": "4711"})
        self.assertEqual(told["arguments"], ["cid=4711"])
        self.assertTrue(told["connected"])  # from its first moment on
        machine = self.machines()[0]
        self.assertEqual(machine["ephemeralProcessId"], vmm.pid)
        self.assertEqual(machine["context"]["labels"], {"rack": "a3"})
        self.assertEqual(
            {(l["service"], l["machine"], l["state"]) for l in machine["listeners"]},
            {("a", "web1", "listening"), ("b", "web1", "listening")},
        )
        vmm.kill()
        vmm.wait()
        wait_for(lambda: not self.machines(), 5, "the record ends with the process")
        self.assertEqual([p.name for p in self.folder.iterdir()], ["v.sock"])  # the VMM's own, which was killed
        path.unlink()

    def test_exit_status(self):
        for command, status in ((["sh", "-c", "exit 42"], 42), (["/nowhere/vmm"], 127), ([str(self.folder)], 126)):
            with self.subTest(command):
                done = self.d.ctl("machine", "run", "web1", "--cid", 4711, "--", *command, expect=status)
                self.assertEqual("cannot be started" in done.stderr, status != 42)
                wait_for(lambda: not self.machines(), 5, "the record is gone")

    def test_waits_says_why_and_goes_on(self):
        self.register()
        late = self.d.folder / "late"
        process = self.run_machine("web1", "--hybrid", late / "v.sock", "--", "echo", "started")
        line = process.stderr.readline()
        self.assertIn(f"web1: a on hybrid://{late}/v.sock:{self.port} is waiting: the folder {late} is not there", line)
        self.assertIsNone(process.poll())
        late.mkdir()
        self.assertEqual(process.communicate(timeout=60)[0], "started\n")
        self.assertEqual(process.returncode, 0)

    def test_daemon_is_restarted_meanwhile(self):
        """The record, and the wait, outlive a restart of hvsockd."""
        self.register()
        late = self.d.folder / "late"
        process = self.run_machine("web1", "--hybrid", late / "v.sock", "--", "echo", "started")
        self.assertIn("the folder", process.stderr.readline())
        self.d.kill()
        self.assertIn("web1: hvsockd went away; the VMM starts when it is back", process.stderr.readline())
        self.d.start()
        self.c = self.client(self.d)
        self.assertEqual([m["ephemeralProcessId"] for m in self.machines()], [process.pid])
        late.mkdir()
        self.assertEqual(process.communicate(timeout=60)[0], "started\n")
        self.assertEqual(process.returncode, 0)

    def test_daemon_does_not_come_back(self):
        self.register()
        process = self.run_machine("web1", "--hybrid", "/nowhere/v.sock", "--timeout", 6, "--", "echo", "started")
        self.assertIn("the folder", process.stderr.readline())
        self.d.kill()
        output, errors = process.communicate(timeout=60)
        self.assertEqual((process.returncode, output), (4, ""))
        self.assertIn("hvsockd went away; the VMM starts when it is back", errors)
        self.assertIn("no hvsockd answers there", errors)
        self.d.start()

    def test_timeout(self):
        self.register()
        began = time.monotonic()
        done = self.d.ctl(
            "machine", "run", "web1", "--hybrid", "/nowhere/v.sock", "--timeout", 1, "--", "echo", "x", expect=1
        )
        self.assertGreaterEqual(time.monotonic() - began, 1)
        self.assertEqual(done.stdout, "")
        self.assertIn("the folder /nowhere is not there", done.stderr)
        done = self.d.ctl("machine", "run", "w", "--hybrid", "/nowhere/w", "--timeout", 0, "--", "echo", "x", expect=1)
        wait_for(lambda: not self.machines(), 5, "the records are gone")
        self.d.ctl("machine", "run", "web1", "--timeout", "-1", "--", "true", expect=2)
        self.d.ctl("machine", "run", "web1", "--cid", "x", "--", "true", expect=2)
        self.d.ctl("machine", "run", "web1", expect=2)

    def test_many_wait(self):
        """What is told stays readable, however many wait: the reasons, and the first listeners of each."""
        ports = [self.d.port() for _ in range(8)]
        for port in ports:
            self.register(f"s{port}", port)
        nowhere = self.d.folder / "nowhere"
        done = self.d.ctl("machine", "run", "web1", "--hybrid", nowhere / "v.sock", "--timeout", 0, "--", "true", expect=1)
        one = rf"s(\d+) on hybrid://{nowhere}/v.sock:\1"
        three = one + ", " + one.replace(r"\1", r"\2") + ", " + one.replace(r"\1", r"\3")
        self.assertRegex(
            done.stderr,
            f"^hvsockctl: web1: {three} and 5 more are waiting: the folder {nowhere} is not there; "
            "the VMM is not started; mend that, or give a longer --timeout\n$",
        )
        for port in ports[:5]:
            (self.folder / f"v.sock_{port}").touch()
        done = self.d.ctl("machine", "run", "web2", "--hybrid", self.folder / "v.sock", "--timeout", 0, "--", "true", expect=1)
        self.assertEqual(done.stderr.count("is a regular file"), 3, done.stderr)
        self.assertIn("; for other reasons 2 more; the VMM is not started", done.stderr)
        for port in ports[:5]:
            (self.folder / f"v.sock_{port}").unlink()

    def test_many_wait_for_room(self):
        """One reason is told once, also where each path is named with it."""
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=16k,ro", "hvsockd-test", self.folder], stderr=subprocess.PIPE, text=True
        )
        if done.returncode:
            self.skipTest(f"mounts a small file system: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", self.folder], stderr=subprocess.DEVNULL)
        for _ in range(5):
            port = self.d.port()
            self.register(f"s{port}", port)
        done = self.d.ctl("machine", "run", "web1", "--hybrid", self.folder / "v.sock", "--timeout", 0, "--", "true", expect=1)
        self.assertEqual(done.stderr.count("read-only"), 1, done.stderr)
        self.assertIn(f" and 2 more are waiting: cannot be bound: the file system of {self.folder} is read-only", done.stderr)

    def test_known_by_nothing(self):
        """No guest is ever taken for such a machine: it is not made."""
        for arguments in (["add", "web1"], ["add", "web1", "--user", "0"], ["run", "web1", "--label", "a=b", "--", "true"]):
            done = self.d.ctl("machine", *arguments, expect=2)
            self.assertIn("web1: nothing says what its guest is known by; give --cid, --hybrid, --hyperkit or --vm-id", done.stderr)
        self.assertEqual(self.machines(), [])

    def test_only_its_own_listeners(self):
        """Another machine's trouble is none of ours, nor that of services that are not on machines."""
        self.register()
        self.c.call("AddMachine", {"machine": {"name": "web2", "hybrid": "/nowhere/v.sock"}})
        self.c.call("Register", service={"name": "u", "listen": ["unix:///nowhere/u"]})
        self.d.ctl("machine", "run", "web1", "--hybrid", self.folder / "v.sock", "--timeout", 60, "--", "true")

    def test_shared_vsock(self):
        """On vsock the one shared socket is this machine's too."""
        holder = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        self.things.callback(holder.close)
        holder.bind((socket.VMADDR_CID_ANY, self.port))
        holder.listen()
        self.register(listen="machine:web1")
        done = self.d.ctl("machine", "run", "web1", "--cid", 4711, "--timeout", 1, "--", "true", expect=1)
        self.assertIn(f"a on vsock://:{self.port} is waiting", done.stderr)
        # A machine that it is not for does not wait for it.
        self.d.ctl("machine", "run", "web2", "--cid", 4712, "--timeout", 60, "--", "true")
        holder.close()
        self.d.ctl("machine", "run", "web1", "--cid", 4711, "--timeout", 60, "--", "true")

    def test_removed_or_replaced_while_it_waits(self):
        self.register()
        first = self.run_machine("web1", "--hybrid", "/nowhere/v.sock", "--", "true")
        wait_for(self.machines, 5, "it is known")
        self.c.call("RemoveMachine", name="web1")
        self.assertIn("was removed", first.communicate(timeout=60)[1])
        self.assertEqual(first.returncode, 1)
        first = self.run_machine("web1", "--hybrid", "/nowhere/v.sock", "--", "true")
        wait_for(self.machines, 5, "it is known")
        self.d.ctl("machine", "run", "web1", "--cid", 4711, "--", "true")
        self.assertIn("was re", first.communicate(timeout=60)[1])
        self.assertEqual(first.returncode, 1)

    def test_refused(self):
        self.c.call("AddMachine", {"machine": {"name": "web2", "cid": 4711}})
        done = self.d.ctl("machine", "run", "web1", "--cid", 4711, "--", "echo", "x", expect=3)
        self.assertEqual(done.stdout, "")
        self.assertIn("web2", done.stderr)
        self.d.ctl("machine", "run", "4711", "--", "true", expect=2)
        if not os.path.exists("/dev/vhost-vsock"):
            done = self.d.ctl("machine", "run", "web1", "--cid", "auto", "--", "true", expect=1)
            self.assertIn("modprobe vhost_vsock", done.stderr)

    def test_another_cid_rules_follow(self):
        """The same name with another CID, while another machine takes the old one."""
        self.register(listen="machine:web1")
        first = self.run_machine("web1", "--cid", 4711, "--", "sleep", "100")
        wait_for(lambda: self.machines(name="web1"), 5, "it is known")
        with self.refuses("Conflict", field="cid", holder="web1"):
            self.c.call("AddMachine", {"machine": {"name": "web2", "cid": 4711}})
        first.kill()
        first.wait()
        wait_for(lambda: not self.machines(), 5, "it is gone")
        second = self.run_machine("web1", "--cid", 4712, "--", "sleep", "100")
        wait_for(lambda: self.machines(name="web1"), 5, "it is known")
        self.c.call("AddMachine", {"machine": {"name": "web2", "cid": 4711}})
        self.assertEqual([l["service"] for l in self.machines(name="web1")[0]["listeners"]], ["a"])
        self.assertEqual(self.machines(name="web2")[0]["listeners"], [])
        self.assertEqual(self.machines(name="web3"), [])
        second.send_signal(signal.SIGTERM)
        second.wait()

    def test_cid_auto(self):
        """In the guest: the device is held open with the CID, and nobody else gets that."""
        if not GUEST:
            self.skipTest("takes CIDs of a real /dev/vhost-vsock: runs in the guest of tests/vm alone")
        self.c.call("AddMachine", {"machine": {"name": "known", "cid": 3}})
        told = []
        for name in ("web1", "web2"):
            vmm = self.run_machine(
                name, "--cid", "auto", "--", "sh", "-c",
                "echo {cid} $HVSOCK_CID {vhostfd} $HVSOCK_VHOSTFD $(readlink /proc/self/fd/{vhostfd}); exec sleep 100",
            )  # fmt: skip
            told.append(vmm.stdout.readline().split())
        self.assertEqual([t[0] for t in told], ["4", "5"])
        for cid, variable, fd, fd_variable, path in told:
            self.assertEqual((cid, fd, path), (variable, fd_variable, "/dev/vhost-vsock"))
        self.assertEqual([m["context"]["cid"] for m in self.machines()], [3, 4, 5])

    def test_reused_pid(self):
        """A record whose pid is another process's by now does not come back with the daemon."""
        sleeper = self.process(["sleep", "1000"])
        self.c.call("AddMachine", {"machine": {"name": "web1", "cid": 4711}, "ephemeralProcessId": sleeper.pid})
        self.c.close()
        self.d.terminate()
        # As if that pid's process had begun at another time.
        import sqlite3

        database = sqlite3.connect(self.d.runtime / "ephemeral.db")
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        table = next(t for t in tables if "machine" in t)
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        column = next(c for c in columns if "start" in c)
        self.assertEqual(database.execute(f"UPDATE {table} SET {column} = {column} - 1").rowcount, 1)
        database.commit()
        database.close()
        self.d.start()
        self.c = self.client(self.d)
        self.assertEqual(self.machines(), [])
