# SPDX-License-Identifier: Apache-2.0
"""hvsockd runs as a user of its own; hvsock-keeper is root, and binds, changes and removes in folders of machines' users."""

import os
import select
import shutil
import socket
import subprocess
import sys
import time
import unittest

from hv.case import Case, wait_for
from hv.keeper import Keeper
from test_listeners import connect

DAEMON_UID, VMM_UID, OTHER_UID = 64301, 64302, 64303
SWAPS = 100000

# Becomes a VMM's user, and swaps its folder for a link to elsewhere and back, so often, and on until it is told to end.
SWAP = """
import ctypes, itertools, os, select, sys
folder, target, uid, swaps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
os.chdir(os.path.dirname(folder))
name = os.path.basename(folder)
os.symlink(target, "link")
renameat2, here, exchange = ctypes.CDLL(None, use_errno=True).renameat2, -100, 2
names = name.encode(), b"link"
print("begun", flush=True)
for swap in itertools.count(1):
    for _ in range(2):  # there, and back
        if renameat2(here, names[0], here, names[1], exchange) < 0:
            raise OSError(ctypes.get_errno(), "renameat2")
    if swap == swaps:
        print("done", flush=True)
    if swap >= swaps and swap % 100 == 0 and select.select([0], [], [], 0)[0]:
        break
"""


@unittest.skipUnless(os.geteuid() == 0, "starts a root keeper, and becomes other users: needs root")
class KeeperBinds(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon(start=False, uid=DAEMON_UID)
        self.keeper = self.start_keeper()
        self.d.start()
        self.c = self.client(self.d)
        self.port = self.d.port()

    def start_keeper(self):
        keeper = Keeper("--user", str(DAEMON_UID), folder=self.d.runtime)
        self.addCleanup(lambda: keeper.process.poll() is None and keeper.kill())
        return keeper

    def folder(self, name, uid, mode=0o750, gid=None):
        folder = self.d.folder / name
        folder.mkdir()
        os.chown(folder, uid, uid if gid is None else gid)
        folder.chmod(mode)
        return folder

    def register(self, name="s", listen="machine:*", **fields):
        return self.c.call("Register", service={"name": name, "port": self.port, "listen": [listen], **fields})

    def add(self, folder, name="web1", **fields):
        return self.c.call("AddMachine", {"machine": {"name": name, "hybrid": str(folder / "v.sock"), **fields}})["machine"]

    def listener(self, name="web1"):
        return self.c.list("ListMachines", "machine", name=name)[0]["listeners"][0]

    def hold(self, path):
        """So that its inode is not given to another."""
        self.things.callback(os.close, os.open(path, os.O_PATH))

    def owner(self, path):
        status = os.lstat(path)
        return status.st_uid, status.st_gid, oct(status.st_mode & 0o7777)

    def test_in_the_users_folder(self):
        """Where hvsockd may not even look: bound as the machine's user, answered by hvsockd, removed with the machine."""
        self.register()
        folder = self.folder("vm", VMM_UID, 0o700)
        machine = self.add(folder, user=str(VMM_UID))
        self.assertEqual([l["state"] for l in machine["listeners"]], ["listening"], machine)
        path = folder / f"v.sock_{self.port}"
        self.assertEqual(self.owner(path), (VMM_UID, VMM_UID, "0o660"))
        self.as_user(VMM_UID, lambda: connect(path).close())
        self.c.call("RemoveMachine", name="web1")
        self.assertEqual(list(folder.iterdir()), [])

    def test_twenty_in_one_message(self):
        for number in range(60):
            self.c.call("Register", service={"name": f"s{number}", "port": self.port + number, "listen": ["machine:*"]})
        folder = self.folder("vm", VMM_UID, 0o700)
        machine = self.add(folder)
        self.assertEqual({l["state"] for l in machine["listeners"]}, {"listening"})
        self.assertEqual(len(list(folder.iterdir())), 60)
        self.c.call("RemoveMachine", name="web1")
        self.assertEqual(list(folder.iterdir()), [])

    def test_owner_and_mode_change(self):
        folder = self.folder("x", 0, 0o755)
        path = folder / "x.sock"
        file = {"name": "x", "listen": [f"unix://{path}"], "socket": {"user": str(VMM_UID), "mode": "0600"}}
        self.d.file("x", {"services": [file]})
        self.c.call("Reload")
        self.assertEqual(self.owner(path), (VMM_UID, 0, "0o600"))
        inode = os.lstat(path).st_ino
        file["socket"] = {"user": str(OTHER_UID), "group": str(OTHER_UID), "mode": "0666"}
        file["backlog"] = 3
        self.d.file("x", {"services": [file]})
        self.c.call("Reload")
        self.assertEqual(self.owner(path), (OTHER_UID, OTHER_UID, "0o666"))
        self.assertEqual(os.lstat(path).st_ino, inode)
        connect(path).close()
        self.d.file("x", None)
        self.c.call("Reload")
        self.assertFalse(path.exists())

    def test_not_the_machines_own(self):
        """A folder that is another's: the keeper does there what the machine's user may, and that is nothing."""
        self.register()
        folder = self.folder("vm", OTHER_UID, 0o755)
        machine = self.add(folder, user=str(VMM_UID))
        self.assertEqual(machine["listeners"][0]["state"], "failed", machine)
        self.assertIn(f"uid {VMM_UID} may not", machine["listeners"][0]["reason"])
        self.assertEqual(list(folder.iterdir()), [])

    def test_stale_and_served(self):
        """A stale path of the VMM's user is replaced; one that he serves is waited for, and he is named."""
        self.register()
        folder = self.folder("vm", VMM_UID, 0o700)
        path = folder / f"v.sock_{self.port}"

        def leave():
            with socket.socket(socket.AF_UNIX) as left:
                left.bind(str(path))

        self.as_user(VMM_UID, leave)
        self.hold(path)
        inode = os.lstat(path).st_ino
        machine = self.add(folder, user=str(VMM_UID))
        self.assertEqual(machine["listeners"][0]["state"], "listening", machine)
        self.assertNotEqual(os.lstat(path).st_ino, inode)
        self.c.call("RemoveMachine", name="web1")
        served = socket.socket(socket.AF_UNIX)
        self.things.callback(served.close)
        served.bind(str(path))
        served.listen()
        machine = self.add(folder, user=str(VMM_UID))
        self.assertEqual(machine["listeners"][0]["state"], "waiting", machine)
        self.assertIn(f"is served by process {os.getpid()} ", machine["listeners"][0]["reason"])
        served.close()
        wait_for(lambda: self.listener()["state"] == "listening", 10, self.listener)

    def test_another_hvsockd(self):
        """... takes back what is in folders that it may not look into; but not what was removed meanwhile."""
        self.register()
        folders = [self.folder(f"vm{number}", VMM_UID, 0o700) for number in range(3)]
        for number, folder in enumerate(folders):
            self.add(folder, f"web{number}", user=str(VMM_UID))
        paths = [folder / f"v.sock_{self.port}" for folder in folders]
        inodes = [os.lstat(path).st_ino for path in paths]
        self.hold(paths[1])
        self.d.kill()
        paths[1].unlink()
        shutil.rmtree(folders[2])
        self.d.start()
        self.c = self.client(self.d)
        self.assertEqual(os.lstat(paths[0]).st_ino, inodes[0])
        self.assertEqual(self.listener("web0")["state"], "listening")
        self.assertEqual(self.listener("web1")["state"], "listening")
        self.assertNotEqual(os.lstat(paths[1]).st_ino, inodes[1])
        self.assertEqual(self.listener("web2")["state"], "waiting")
        self.as_user(VMM_UID, lambda: [connect(path).close() for path in paths[:2]])

    def test_removed_and_bound_anew(self):
        """What is removed from a folder that hvsockd may not look into is noticed, and so is the folder's end."""
        self.register()
        folder = self.folder("vm", VMM_UID, 0o700)
        self.add(folder, user=str(VMM_UID))
        path = folder / f"v.sock_{self.port}"
        self.hold(path)
        inode = os.lstat(path).st_ino
        path.unlink()
        wait_for(lambda: path.exists() and os.lstat(path).st_ino != inode, what=self.listener)
        self.c.call("Status")  # and it listens there
        self.as_user(VMM_UID, lambda: connect(path).close())
        shutil.rmtree(folder)
        wait_for(lambda: self.listener()["state"] == "waiting", 5, self.listener)
        self.folder("vm", VMM_UID, 0o700)
        wait_for(path.exists, 5, self.listener)
        wait_for(lambda: self.listener()["state"] == "listening", 5, self.listener)

    def test_keeper_ends(self):
        """Without it nothing is bound where hvsockd may not, and that is told; what listens goes on."""
        self.register()
        first = self.folder("first", VMM_UID, 0o700)
        self.add(first, "web0", user=str(VMM_UID))
        self.keeper.kill()
        wait_for(lambda: "keeperProcessId" not in self.c.call("Status"))
        folder = self.folder("vm", VMM_UID, 0o700)
        machine = self.add(folder, user=str(VMM_UID))
        self.assertEqual(machine["listeners"][0]["state"], "failed", machine)
        self.assertIn(f"uid {DAEMON_UID} may not", machine["listeners"][0]["reason"])
        self.as_user(VMM_UID, lambda: connect(first / f"v.sock_{self.port}").close())
        # What it bound there cannot be removed without it: the next one does, or whoever binds there.
        self.c.call("RemoveMachine", name="web0")
        shutil.rmtree(first)

    def test_low_port(self):
        try:
            socket.socket(socket.AF_VSOCK).close()
        except OSError:
            self.skipTest("this kernel has no AF_VSOCK")
        for port in range(700, 1000):
            self.c.call("Register", service={"name": "low", "port": port})
            service = self.c.call("Describe", name="low")["service"]["runtime"]["listeners"][0]
            if "waiting" not in service["state"]:
                break
            self.c.call("Unregister", name="low")
        self.assertEqual(service["state"], "listening", service)

    def test_swapped_for_a_link(self):
        """The VMM's user swaps its folder for a link to root's folder, all the time: nothing is ever made there."""
        for number in range(5):
            self.c.call("Register", service={"name": f"s{number}", "port": self.port + number, "listen": ["machine:*"]})
        above = self.folder("above", VMM_UID, 0o755)
        folder = above / "vm"
        folder.mkdir()
        os.chown(folder, VMM_UID, VMM_UID)
        target = self.folder("target", 0, 0o755)
        victim = socket.socket(socket.AF_UNIX)  # a stale socket of root's, where one of ours would be
        victim.bind(str(target / f"v.sock_{self.port}"))
        victim.close()
        self.things.callback((target / f"v.sock_{self.port}").unlink)
        before = sorted((name, os.lstat(target / name).st_ino, self.owner(target / name)) for name in os.listdir(target))
        swapper = self.process(
            [sys.executable, "-c", SWAP, str(folder), str(target), str(VMM_UID), str(SWAPS)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True
        )
        self.assertEqual(swapper.stdout.readline(), "begun\n")
        met, rounds, end = {}, 0, time.monotonic() + 60

        def met_both():
            return 0 < met.get("listening", 0) < sum(met.values())

        while not (select.select([swapper.stdout], [], [], 0)[0] and (met_both() or time.monotonic() > end)):
            for listener in self.add(folder, user=str(VMM_UID))["listeners"]:
                why = "link" if "symbolic link" in listener.get("reason", "") else listener["state"]
                met[why] = met.get(why, 0) + 1
            self.c.call("RemoveMachine", name="web1")
            rounds += 1
        self.assertEqual(swapper.stdout.readline(), "done\n")
        swapper.stdin.close()
        self.assertEqual(swapper.wait(60), 0)
        after = sorted((name, os.lstat(target / name).st_ino, self.owner(target / name)) for name in os.listdir(target))
        self.assertEqual(after, before)
        self.assertTrue(met_both(), f"the race was not met: {met}")
        sys.stderr.write(f"{SWAPS} swaps, {rounds} rounds: {met}\n")
        # What was found swapped away when the machine went is left in its user's folder, and replaced by the next.
        self.assertEqual({l["state"] for l in self.add(folder, user=str(VMM_UID))["listeners"]}, {"listening"})
