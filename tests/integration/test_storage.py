# SPDX-License-Identifier: Apache-2.0
"""registry.db: kill -9 at any moment, truncated, zeroed, read-only, newer, on a full disk; recovery."""

import contextlib
import os
import random
import re
import shutil
import sqlite3
import subprocess
import threading
import time

from hv.case import Case, Hungup, NOBODY, StartFailed, Varlink, wait_for


class Storage(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon()
        self.c = self.client(self.d)
        self.db = self.d.state / "registry.db"

    def fill(self, count=20):
        for i in range(count):
            self.c.call("Register", service={"name": f"s{i:03}", "port": self.d.port(), "labels": {"a": "x" * 300}})

    def names(self):
        return [s["context"]["name"] for s in self.c.list()]

    def again(self):
        self.c = self.client(self.d)

    def test_kill_at_any_moment(self):
        """1,000 registers and a SIGKILL: what was answered is there afterwards."""
        answered = set()
        for i in range(4):
            calls = [
                Varlink.encode(
                    "Register", {"service": {"name": f"k{i}-{n}", "guid": f"999e53d4-3d5c-4c3e-{i:04x}-{n:012x}"}}
                )
                for n in range(1000)
            ]
            # Three clients at once, each with some calls ahead of their answers.
            threads = [
                threading.Thread(target=self._register, args=(self.d.client(), i, calls, first, answered))
                for first in range(3)
            ]
            for thread in threads:
                thread.start()
            if i == 0:
                wait_for(lambda: len(answered) > 10)
            time.sleep(random.Random(i).uniform(0.005, 0.25))
            self.d.kill()
            for thread in threads:
                thread.join()
            self.d.start()
            self.again()
            there = set(self.names())
            self.assertEqual(answered - there, set(), "registers that were answered and are gone")
        self.assertGreater(len(answered), 10)
        check = sqlite3.connect(f"file:{self.db}?mode=ro", uri=True)
        self.assertEqual(check.execute("PRAGMA integrity_check").fetchone()[0], "ok")
        check.close()
        with self.d.client() as client:
            client.send_bytes(
                b"".join(Varlink.encode("Unregister", {"name": name}, oneway=True) for name in sorted(there))
            )
            client.call("Status")

    @staticmethod
    def _register(client, i, calls, first, answered):
        mine = list(range(first, 1000, 3))
        ahead = 10
        try:
            for at in range(0, len(mine), ahead):
                client.send_bytes(b"".join(calls[n] for n in mine[at : at + ahead]))
                for n in mine[at : at + ahead]:
                    if "error" not in client.receive_message().json:
                        answered.add(f"k{i}-{n}")
        except (Hungup, OSError):
            pass
        finally:
            client.close()

    def unsound(self, spoil):
        """hvsockd changes nothing, names --recover, and exits 1; with --recover it comes back with what can be read."""
        self.fill()
        self.c.close()
        self.d.terminate()
        for name in os.listdir(self.d.state):
            if name.startswith("registry.db-"):
                os.unlink(self.d.state / name)
        spoil()
        before = self.db.read_bytes()
        with self.assertRaises(StartFailed) as failed:
            self.d.start()
        self.assertEqual(failed.exception.status, 1)
        self.assertIn("--recover", failed.exception.log)
        self.assertIn(str(self.db), failed.exception.log)
        self.assertEqual(self.db.read_bytes(), before)
        self.assertEqual(self.d.sockets(), [])
        done = subprocess.run(
            [*self.d.command(), "--recover"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        kept = [name for name in os.listdir(self.d.state) if name.startswith("registry.db.")]
        self.assertTrue(
            [name for name in kept if (self.d.state / name).read_bytes() == before],
            f"the bad file is kept aside: {kept}",
        )
        self.d.start()
        self.again()
        return done.stdout

    def test_folders_that_are_none(self):
        """A start that cannot be says which folder it is, why, and what would be right."""
        starts = (
            ("state", "/dev/null", "/dev/null/lock: Not a directory; --state names a folder that hvsockd may write to"),
            ("state", "/proc/none", "/proc/none: the folder is not there and cannot be made: "),
            ("runtime", "/dev/null", "/dev/null: Not a directory; hvsockd needs this folder, or another given with --runtime"),
            ("runtime", "/proc/none", "/proc/none: No such file or directory; hvsockd needs this folder, or another given with --runtime"),
        )
        for option, path, told in starts:
            daemon = self.daemon(start=False)
            daemon.arguments = [f"--{option}", path]
            with self.subTest(option=option, path=path), self.assertRaises(StartFailed) as failed:
                daemon.start()
            self.assertIn(f"hvsockd: error: {told}", str(failed.exception))
            self.assertIn("ended with 1", str(failed.exception))

    def test_zeroed(self):
        self.unsound(lambda: self.db.write_bytes(bytes(self.db.stat().st_size)))
        self.assertEqual(self.names(), [])

    def test_not_a_database(self):
        self.unsound(lambda: self.db.write_bytes(b"services:\n  - a\n" * 1000))
        self.assertEqual(self.names(), [])

    def test_truncated(self):
        report = self.unsound(lambda: os.truncate(self.db, self.db.stat().st_size // 2))
        self.assertTrue(report.strip(), "it says what was lost")
        self.assertLessEqual(set(self.names()), {f"s{i:03}" for i in range(20)})
        self.c.call("Register", service={"name": "after", "port": self.d.port()})

    def test_spoiled_page(self):
        """One page in the middle: the rest is kept."""

        def spoil():
            data = bytearray(self.db.read_bytes())
            size = int.from_bytes(data[16:18], "big")
            at = [m.start() for m in re.finditer(b'"s010"|s010', data)]
            page = at[0] // size
            self.assertGreater(page, 0)
            data[page * size : (page + 1) * size] = os.urandom(size)
            self.db.write_bytes(data)

        self.unsound(spoil)
        self.c.call("Status")

    def test_emptied(self):
        """SQLite would take a file of no bytes for a new database; but where we left one, something has gone wrong."""
        self.unsound(lambda: self.db.write_bytes(b""))
        self.assertEqual(self.names(), [])

    def test_lost_port(self):
        """The row of an automatic port is lost: the service has another, and keeps that."""
        self.c.call("Register", service={"name": "auto", "autoPort": True})
        self.c.call("SetEnabled", name="auto", enabled=False)
        self.c.close()
        self.d.kill()
        with contextlib.closing(sqlite3.connect(self.db)) as database, database:
            database.execute("DELETE FROM auto_ports")
        self.d.start()
        self.c = self.client(self.d)
        shown = self.c.call("Describe", name="auto")["service"]
        port = shown["context"]["port"]
        self.assertEqual(shown["runtime"]["state"], "disabled")
        self.c.call("SetEnabled", name="auto", enabled=True)
        self.assertEqual(self.state(self.c, "auto"), "listening")
        self.c.close()
        self.d.kill()
        with contextlib.closing(sqlite3.connect(self.db)) as database:
            self.assertEqual(database.execute("SELECT name, port FROM auto_ports").fetchall(), [("auto", port)])

    def test_newer(self):
        """Of a newer version: it serves what is declared and held, refuses changes, and status names the version."""
        self.fill(2)
        self.d.file("a", "services:\n  - {name: declared, port: %d}\n" % self.d.port())
        self.c.close()
        self.d.terminate()
        database = sqlite3.connect(self.db)
        database.execute("PRAGMA user_version = 1000")
        database.commit()
        database.close()
        self.d.start()
        self.again()
        self.assertIn("declared", self.names())
        self.assertEqual(self.state(self.c, "declared"), "listening")
        with self.refuses("StorageFailed") as caught:
            self.c.call("Register", service={"name": "new", "port": self.d.port()})
        self.assertIn("1000", caught.exception.parameters["reason"])
        self.assertIn("1000", " ".join(self.c.call("Status")["errors"]))
        self.assertNotIn("new", self.names())
        self.assertIn("RECOVERY", caught.exception.parameters["reason"])
        before = self.c.list()
        # What hvsockd(8) says under RECOVERY. The file is not touched.
        registered = self.d.folder / "registered.yaml"
        done = self.d.ctl("export", "--to", "yaml", "--output", str(registered), "s000", "s001")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.c.close()
        self.d.terminate()
        newer = self.d.state / "newer"
        newer.mkdir()
        for path in self.d.state.glob("registry.db*"):
            path.rename(newer / path.name)
        with contextlib.closing(sqlite3.connect(newer / "registry.db")) as database:
            self.assertEqual(database.execute("PRAGMA user_version").fetchone()[0], 1000)
        self.d.start()
        self.again()
        self.assertEqual(self.names(), ["declared"])
        done = self.d.ctl("apply", str(registered))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual([s["context"] for s in self.c.list()], [s["context"] for s in before])
        self.assertEqual(self.c.call("Status")["errors"], [])

    def test_read_only(self):
        """A file that cannot be written: as user nobody, since root writes everything."""
        if os.getuid() != 0:
            self.skipTest("runs hvsockd as nobody: needs root")
        daemon = self.daemon(uid=NOBODY, leave=True)
        client = self.client(daemon)
        client.call("Register", service={"name": "a", "port": daemon.port()})
        client.close()
        daemon.terminate()
        for path in [daemon.state, *daemon.state.iterdir()]:
            os.chown(path, 0, 0)
            path.chmod(0o755 if path.is_dir() else 0o644)
        try:
            daemon.start()
        except StartFailed as failed:
            self.fail(str(failed))
        client = self.client(daemon)
        self.assertEqual([s["context"]["name"] for s in client.list()], ["a"])
        with self.refuses("StorageFailed"):
            client.call("Register", service={"name": "b", "port": daemon.port()})
        self.assertEqual([s["context"]["name"] for s in client.list()], ["a"])
        self.assertTrue(client.call("Status")["errors"])

    @contextlib.contextmanager
    def on_small_disk(self):
        """A hvsockd whose STATE has two megabytes of its own."""
        if os.getuid() != 0:
            self.skipTest("mounts a small file system: needs root")
        daemon = self.daemon(start=False, leave=True)
        (daemon.config / "hvsockd.yaml").unlink()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m,mode=755", "tmpfs", daemon.state], stderr=subprocess.PIPE, text=True
        )
        if done.returncode != 0:
            self.skipTest(f"mount: {done.stderr.strip()}")
        try:
            daemon.start()
            yield daemon
        finally:
            if daemon.running:
                daemon.kill()
            subprocess.run(["umount", "-l", daemon.state])

    def test_full_disk(self):
        """A tmpfs that is full: refused, nothing is half done, and it goes on when there is room."""
        with self.on_small_disk() as daemon:
            client = daemon.client()
            answered = []
            refused = None
            for i in range(2000):
                try:
                    client.call(
                        "Register",
                        service={
                            "name": f"f{i}",
                            "guid": f"999e53d4-3d5c-4c3e-8779-{i:012x}",
                            "labels": {"a": "x" * 1000, "b": "y" * 1000},
                        },
                    )
                    answered.append(f"f{i}")
                except Exception as error:  # noqa: told below
                    refused = error
                    break
            self.assertEqual(getattr(refused, "short", refused), "StorageFailed")
            self.assertTrue(answered)
            names = [s["context"]["name"] for s in client.list()]
            self.assertEqual(sorted(names), sorted(answered))
            # A reload that could not be kept changed nothing, settings included.
            for count in (1, 2):
                text = "x" * 1000
                daemon.file(
                    "a", {"services": [{"name": f"d{i}", "listen": [], "port": i, "labels": {"a": text}} for i in range(60)]}
                )
                daemon.settings(f"limits: {{servicesPerUser: {count}}}\nadministrators: {{users: [65534]}}\n")
                with self.refuses("StorageFailed"):
                    client.call("Reload")
                with self.refuses("NotAllowed"):
                    self.as_user(65534, lambda: daemon.client().call("RemoveMachine", name="none"))
            daemon.file("a", None)
            (daemon.config / "hvsockd.yaml").unlink()
            # Reads go on, and a restart finds all that was answered.
            client.close()
            daemon.kill()
            daemon.start()
            client = daemon.client()
            self.assertLessEqual(set(answered), {s["context"]["name"] for s in client.list()})
            subprocess.run(["mount", "-o", "remount,size=16m", daemon.state], check=True)
            client.call("Register", service={"name": "roomy", "guid": "999e53d4-3d5c-4c3e-8779-bed06ec056e2"})
            client.close()
            daemon.terminate()

    def test_full_disk_changes_nothing_outside(self):
        """What could not be committed is not told, ends no lease, and makes and removes no entry."""
        with self.on_small_disk() as daemon:
            client, watcher, holder = (self.client(daemon) for _ in range(3))
            for name in ("held", "served"):
                client.call("Register", service={"name": name, "port": daemon.port(), "handout": {"socket": True}})
            fds = holder.call_fds("Acquire", names=["held"])[1] + holder.call_fds("Serve", name="served")[1]
            for fd in fds:
                self.things.callback(os.close, fd)
            watcher.send("Watch", {}, more=True)
            fill = daemon.state / "fill"
            with contextlib.suppress(OSError), fill.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            before = [client.call("Describe", name=name) for name in ("held", "served")]
            self.assertEqual([len(shown["service"]["runtime"]["leases"]) for shown in before], [1, 1])
            sockets = sum(target.startswith("socket:") for target in daemon.fds().values())
            for i in range(5):
                with self.refuses("StorageFailed"):
                    client.call("Register", service={"name": f"new{i}", "port": daemon.port(), "handout": {"socket": True}})
            for name in ("held", "served"):
                with self.refuses("StorageFailed"):
                    client.call("SetEnabled", name=name, enabled=False)
                with self.refuses("StorageFailed"):
                    client.call("Unregister", name=name)
            self.assertEqual([client.call("Describe", name=name) for name in ("held", "served")], before)
            self.assertEqual(sorted(os.listdir(daemon.runtime / "handout")), ["held", "served"])
            self.assertEqual(sum(target.startswith("socket:") for target in daemon.fds().values()), sockets)
            with daemon.client(daemon.runtime / "handout" / "held") as entry:
                entry.call("Describe", name="held")
            fill.unlink()
            client.call("Unregister", name="held")
            told = []
            while ("unregistered", "held") not in told:
                event = watcher.receive()[0]["event"]
                told.append((event["kind"], event.get("service")))
            self.assertEqual(told, [("released", "held"), ("unregistered", "held")], "nothing of what was refused")
            self.assertEqual(os.listdir(daemon.runtime / "handout"), ["served"])

    def test_folder_that_is_not_there(self):
        """No state folder: it is made, or the answer says which folder is missing."""
        self.c.close()
        self.d.terminate()
        shutil.rmtree(self.d.state)
        try:
            self.d.start()
        except StartFailed as failed:
            self.assertIn(str(self.d.state), failed.log)
            self.d.state.mkdir()
            self.d.start()

    def test_two_daemons(self):
        """A second one in the same folders does not harm the first."""
        self.fill(3)
        done = subprocess.run(
            self.d.command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        self.assertNotEqual(done.returncode, 0)
        self.assertTrue(done.stdout.strip())
        self.assertEqual(len(self.names()), 3)
        with self.d.client() as client:
            client.call("Register", service={"name": "more", "port": self.d.port()})
