# SPDX-License-Identifier: Apache-2.0
"""A machine's folder that vanishes, is replaced, is moved, becomes read-only or full: what listens there waits or fails with
words, and comes back."""

import shutil
import subprocess

from hv.case import Case, wait_for
from test_listeners import connect


class MachineFolders(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon()
        self.c = self.client(self.d)
        self.ports = [self.d.port(), self.d.port()]
        for port in self.ports:
            self.c.call("Register", service={"name": f"s{port}", "port": port, "listen": ["machine:*"]})
        self.folder = self.d.folder / "vm"

    def add(self, folder=None):
        return self.c.call("AddMachine", {"machine": {"name": "web1", "hybrid": str((folder or self.folder) / "v.sock")}})

    def listeners(self):
        return self.c.list("ListMachines", "machine", name="web1")[0]["listeners"]

    def wait_all(self, state, reason=""):
        def there():
            return all(l["state"] == state and reason in l.get("reason", "") for l in self.listeners())

        wait_for(there, 8, lambda: f"all are {state}: {self.listeners()}")

    def wait_connects(self, folder=None):
        """What was removed a moment ago may not be noticed yet: so it is also looked for."""
        paths = [(folder or self.folder) / f"v.sock_{port}" for port in self.ports]
        wait_for(lambda: all(path.exists() for path in paths), 8, lambda: f"all are there: {self.listeners()}")
        self.wait_all("listening")
        for path in paths:
            connect(path).close()

    def mount(self, *options):
        self.folder.mkdir(exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", ",".join(options), "hvsockd-test", self.folder], stderr=subprocess.PIPE, text=True
        )
        if done.returncode:
            self.skipTest(f"mounts a small file system: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", self.folder], stderr=subprocess.DEVNULL)

    def test_vanishes_and_comes_back(self):
        self.folder.mkdir()
        self.add()
        self.wait_connects()
        for _ in range(3):
            shutil.rmtree(self.folder)
            self.wait_all("waiting", f"the folder {self.folder} is not there")
            self.folder.mkdir()
            self.wait_connects()

    def test_is_removed_with_all_that_is_in_it(self):
        """`rm -rf` while its sockets are listened on comes to its end: nothing comes back before that."""
        for number in range(40):
            self.c.call("Register", service={"name": f"more{number}", "port": self.d.port(), "listen": ["machine:*"]})
        self.folder.mkdir()
        self.add()
        for _ in range(20):
            self.wait_connects()
            done = subprocess.run(["rm", "-rf", self.folder], stderr=subprocess.PIPE, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.folder.mkdir()
        self.wait_connects()
        # One alone that is removed is soon there again, and so it is told.
        path = self.folder / f"v.sock_{self.ports[0]}"
        path.unlink()
        wait_for(path.exists, 5)
        self.wait_connects()
        self.assertIn("waits: its path was removed; it listens anew as soon as the folder has come to rest", self.d.log_text())
        self.c.call("RemoveMachine", name="web1")

    def test_is_replaced_at_once(self):
        """Another folder of that name, with nothing between them."""
        self.folder.mkdir()
        self.add()
        self.wait_connects()
        other, old = self.d.folder / "other", self.d.folder / "old"
        other.mkdir()
        self.folder.rename(old)
        other.rename(self.folder)
        wait_for(lambda: (self.folder / f"v.sock_{self.ports[1]}").exists(), 8, lambda: self.listeners())
        self.wait_connects()
        shutil.rmtree(old)
        self.wait_connects()

    def test_moves_away_and_back(self):
        self.folder.mkdir()
        self.add()
        self.wait_connects()
        old = self.d.folder / "old"
        self.folder.rename(old)
        self.wait_all("waiting", "is not there")
        old.rename(self.folder)
        self.wait_connects()

    def test_two_paths_to_one_folder(self):
        """One of them is given up, and the folder is watched for the other still."""
        self.folder.mkdir()
        link = self.d.folder / "link"
        link.symlink_to(self.folder)
        self.add(link)
        self.wait_connects()
        self.c.call("AddMachine", {"machine": {"name": "web2", "hybrid": str(self.folder / "w.sock")}})
        self.c.call("RemoveMachine", name="web2")
        (self.folder / "something").touch()  # whatever is forgotten is forgotten now
        (self.folder / f"v.sock_{self.ports[0]}").unlink()
        wait_for(lambda: (self.folder / f"v.sock_{self.ports[0]}").exists(), 8, lambda: self.listeners())
        self.wait_connects()

    def test_is_a_file(self):
        self.folder.touch()
        self.add()
        self.wait_all("waiting", "is not a folder")
        self.folder.unlink()
        self.folder.mkdir()
        self.wait_connects()

    def test_read_only(self):
        self.mount("size=64k")
        self.add()
        self.wait_connects()
        self.c.call("RemoveMachine", name="web1")
        # Busy as long as hvsock-keeper has not closed its copy of what was removed.
        wait_for(lambda: subprocess.run(["mount", "-o", "remount,ro", self.folder], stderr=subprocess.DEVNULL).returncode == 0, 5)
        self.add()
        self.wait_all("waiting", "is read-only")
        subprocess.run(["mount", "-o", "remount,rw", self.folder], check=True)
        self.wait_connects()  # looked for by time

    def test_full(self):
        self.mount("size=64k", "nr_inodes=6")
        fillers = [self.folder / f"file{i}" for i in range(4)]
        for filler in fillers:
            filler.touch()
        self.add()
        wait_for(lambda: "waiting" in {l["state"] for l in self.listeners()}, 5, lambda: self.listeners())
        waiting = next(l for l in self.listeners() if l["state"] == "waiting")
        self.assertIn(f"the file system of {self.folder} is full", waiting["reason"])
        for filler in fillers:
            filler.unlink()
        self.wait_connects()  # what frees room is noticed, or looked for by time

    def test_two_machines_claim_one(self):
        """One path, folder or CID is one machine's; in a set they may change places."""
        self.folder.mkdir()
        self.add()
        for fields, field in (
            ({"hybrid": str(self.folder / "v.sock")}, "hybrid"),
            ({"hybrid": f"{self.folder}//v.sock"}, "hybrid"),
        ):
            with self.refuses("Conflict", field=field, holder="web1"):
                self.c.call("AddMachine", {"machine": {"name": "web2", **fields}})
        self.c.call("RemoveMachine", name="web1")

        def apply(*machines):
            return self.c.call("Apply", services=[], machines=[dict(m) for m in machines])["changes"]

        a, b = {"name": "a", "cid": 4711, "hyperkit": "/run/a"}, {"name": "b", "cid": 4712, "hyperkit": "/run/b"}
        apply(a, b)
        with self.refuses("Conflict", field="machines[0].cid", holder="b"):
            apply({**a, "cid": 4712})
        with self.refuses("Conflict", field="machines[0].hyperkit"):
            apply({**a, "hyperkit": "/run/c"}, {**b, "hyperkit": "/run/c"})
        apply({**a, "cid": 4712, "hyperkit": "/run/b"}, {**b, "cid": 4711, "hyperkit": "/run/a"})
        with self.refuses("Conflict", field="cid", holder="b"):
            self.c.call("AddMachine", {"machine": {"name": "web2", "cid": 4711}})
        self.c.call("RemoveMachine", name="b")
        self.c.call("AddMachine", {"machine": {"name": "web2", "cid": 4711}})
        with self.refuses("Conflict", field="cid", holder="a"):
            self.c.call("AddMachine", {"machine": {"name": "web2", "cid": 4712}})
