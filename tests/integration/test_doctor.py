# SPDX-License-Identifier: Apache-2.0
"""hvsockctl doctor: what it finds is there, the command that it names mends it, and then it finds it no more."""

import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time

from hv.case import BUILD, GUEST, Case, wait_for

# In mounts of its own: prepares them by a line of sh, and becomes the rest.
PRIVATE = ["unshare", "--mount", "--propagation", "private", "sh", "-ec"]


class Doctor(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon()
        self.c = self.client(self.d)

    def doctor(self, *before, **environment):
        """What it finds; by its exit status it says whether there is anything."""
        command = [*before, str(BUILD / "hvsockctl"), "doctor", "--json"]
        done = subprocess.run(command, env=self.d.ctl_environment(**environment), capture_output=True, text=True, timeout=60)
        self.assertEqual(done.stderr, "")
        found = [one for one in json.loads(done.stdout) if one["what"] != "vsock"]  # this host's transport
        if done.stdout != "[]\n":
            self.assertEqual(done.returncode, 1)
        else:
            self.assertEqual(done.returncode, 0)
        return found

    def mends(self, what, why, *before):
        """It finds this alone; what it says to mend it is run, and then it finds nothing."""
        (found,) = self.doctor(*before)
        self.assertEqual(found["what"], what)
        self.assertIn(why, found["why"])
        self.run_mend(found["mend"])
        wait_for(lambda: not self.doctor(*before), 10, lambda: f"{found['mend']} mends it: {self.doctor(*before)}")
        return found["mend"]

    def run_mend(self, mend, **more):
        environment = self.d.ctl_environment(**more)
        environment["PATH"] = f"{BUILD}:{environment['PATH']}"
        subprocess.run(["sh", "-ec", mend], env=environment, check=True, capture_output=True, timeout=60)

    def machine(self, **fields):
        folder = self.d.folder / "vm"
        folder.mkdir(exist_ok=True)
        self.c.call("AddMachine", machine={"name": "web1", "hybrid": str(folder / "v.sock"), **fields})
        return folder

    def test_healthy(self):
        self.machine()
        self.c.call("Register", service={"name": "a", "port": 99, "listen": ["machine:*"]})
        self.assertEqual(self.doctor(), [])
        done = self.d.ctl("doctor")
        self.assertEqual((done.stdout, done.returncode), ("all is well\n", 0))

    # ---- rights that make rules useless ----

    def vhost(self, mode):
        """This host, with a /dev/vhost-vsock of that mode."""
        made = f"mount -t tmpfs -o mode=755 dev /dev; touch /dev/null /dev/vhost-vsock; chmod {mode} /dev/vhost-vsock; "
        return [*PRIVATE, made + 'exec "$0" "$@"']

    def test_vhost_vsock(self):
        if os.geteuid() != 0:
            self.skipTest("mounts: needs root")
        # Nothing depends on CIDs yet.
        self.assertEqual(self.doctor(*self.vhost("0666")), [])
        self.c.call("AddMachine", machine={"name": "web1", "cid": 42})
        for mode in ("0666", "0602", "0604"):
            (found,) = self.doctor(*self.vhost(mode))
            self.assertEqual((found["what"], found["mend"]), ("/dev/vhost-vsock", "chmod o-rw /dev/vhost-vsock"))
            self.assertIn(f"every user can open it (mode {mode}), take any CID that is free and be that machine", found["why"])
        mended = self.vhost("0666")
        mended[-1] = mended[-1].replace("exec", "chmod o-rw /dev/vhost-vsock; exec")
        self.assertEqual(self.doctor(*mended), [])
        self.assertEqual(self.doctor(*self.vhost("0660")), [])
        # So do rules about CIDs that are no machine's.
        self.c.call("RemoveMachine", name="web1")
        self.assertEqual(self.doctor(*self.vhost("0666")), [])
        self.c.call("Register", service={"name": "a", "port": self.d.port(), "peers": {"allow": ["42"]}})
        self.assertEqual(len(self.doctor(*self.vhost("0666"))), 1)

    def test_vhost_vsock_opened_for_reading(self):
        """... takes a CID as well: so others may not even read it."""
        if not GUEST:
            self.skipTest("needs vhost_vsock: runs in the guest of tests/vm alone")
        code = "import fcntl, os, struct; fcntl.ioctl(os.open('/dev/vhost-vsock', os.O_RDONLY), 0x4008af60, struct.pack('=Q', 4711))"
        subprocess.run(["python3", "-c", code], check=True)

    def test_folder_of_a_machine(self):
        folder = self.machine()
        folder.chmod(0o777)
        mend = self.mends("machine web1", f"every user can write to its folder {folder} (mode 0777)")
        self.assertEqual(mend, f"chmod o-w {folder}")
        self.assertEqual(folder.stat().st_mode & 0o777, 0o775)
        # Nor is one safe in a folder where everybody renames.
        self.c.call("RemoveMachine", name="web1")
        above = self.d.folder / "above"
        (above / "vm").mkdir(parents=True)
        above.chmod(0o777)
        self.c.call("AddMachine", machine={"name": "web2", "hybrid": f"{above}/vm/v.sock"})
        self.mends("machine web2", f"every user can put another folder in the place of {above}/vm: {above} is to be written to by all")
        self.assertEqual(above.stat().st_mode & 0o7777, 0o1777)

    def test_folder_of_a_group(self):
        """Whose members are not told of: everybody in it is that machine."""
        if os.geteuid() != 0:
            self.skipTest("makes folders of others: needs root")
        folder = self.machine(user="12345", group="12346")
        os.chown(folder, 12345, 12346)
        folder.chmod(0o770)
        self.assertEqual(self.doctor(), [])
        os.chown(folder, 12345, 12347)
        mend = self.mends("machine web1", f"the members of group 12347 can write to its folder {folder} (mode 0770), bind there and connect as this")
        self.assertEqual(mend, f"chmod g-w {folder}")
        folder.chmod(0o770)
        self.machine(user="12345", group="12347")
        self.assertEqual(self.doctor(), [])

    def test_folder_like_tmp(self):
        """Nobody wants it to be closed: the machine is in the wrong place."""
        self.machine().chmod(0o1777)
        self.assertEqual(self.mends("machine web1", "it needs a folder of its own"), "hvsockctl machine remove web1")
        self.assertEqual((self.d.folder / "vm").stat().st_mode & 0o7777, 0o1777)

    def test_folder_of_another_user(self):
        if os.geteuid() != 0:
            self.skipTest("makes folders of others: needs root")
        folder = self.machine(user="12345")
        os.chown(folder, 12346, 0)
        for name in "ab":  # which fail for that, and are not told one by one
            self.c.call("Register", service={"name": name, "port": self.d.port(), "listen": ["machine:*"]})
        self.assertEqual(self.state(self.c, "a"), "failed")
        self.mends("machine web1", f"its folder {folder} belongs to uid 12346, and not to 12345, the machine's user")
        self.assertEqual(folder.stat().st_uid, 12345)
        self.assertEqual(self.state(self.c, "a"), "listening")

    def test_folder_of_root(self):
        """Where hvsockd has no right of root's."""
        if os.geteuid() != 0:
            self.skipTest("becomes another user: needs root")
        self.d = self.daemon(uid=12345)
        self.c = self.client(self.d)
        folder = self.d.folder / "of-root"
        folder.mkdir()
        self.c.call("Register", service={"name": "a", "listen": [f"unix://{folder}/a.sock"]})
        self.assertEqual(self.mends("a", "may not write to the folder"), f"chown 12345 {folder} && hvsockctl reload")

    # ---- stale ----

    def test_folder_is_gone(self):
        shutil.rmtree(self.machine())
        self.mends("machine web1", f"its folder {self.d.folder}/vm is not there (any more)")
        self.assertEqual(self.c.list("ListMachines", "machine"), [])

    def test_folder_is_gone_and_services_are_there(self):
        """Told once, and not once a service."""
        folder = self.machine()
        for name in "abc":
            self.c.call("Register", service={"name": name, "port": self.d.port(), "listen": ["machine:*"]})
        shutil.rmtree(folder)
        self.wait_state(self.c, "a", "waiting")
        self.assertEqual(self.mends("machine web1", f"its folder {folder} is not there (any more)"), "hvsockctl machine remove web1")

    def test_folder_of_a_declared_machine_is_gone(self):
        """What a file says is not removed, but made."""
        if os.geteuid() != 0:
            self.skipTest("makes folders of others: needs root")
        folder = self.d.folder / "declared"
        self.d.file("one", f"machines: [{{name: web1, hybrid: {folder}/v.sock, user: 12345}}]\nservices: [{{name: a, port: 99, listen: ['machine:*']}}]\n")
        self.c.call("Reload")
        self.assertEqual(self.mends("machine web1", f"its folder {folder} is not there"), f"install -d -o 12345 {folder}")
        self.wait_state(self.c, "a", "listening")
        self.assertEqual((folder / "v.sock_99").stat().st_uid, 12345)

    def test_stale_path(self):
        path = self.machine() / "v.sock_99"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        self.mends("machine web1", f"{path} is stale: nobody listens on it, and no service is for it")
        self.assertFalse(path.exists())

    def test_stale_path_of_hyperkit(self):
        folder = self.d.folder / "kit"
        folder.mkdir()
        self.c.call("AddMachine", machine={"name": "mac1", "hyperkit": str(folder)})
        self.c.call("Register", service={"name": "a", "port": 98, "listen": ["machine:mac1"]})
        path = folder / "00000002.00000063"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        self.assertEqual(self.mends("machine mac1", f"{path} is stale: nobody listens on it"), f"rm {path}")

    def test_path_that_another_program_listens_on(self):
        """Where a guest would find it, and no service is for it."""
        folder, kit = self.machine(), self.d.folder / "kit"
        kit.mkdir()
        self.c.call("AddMachine", machine={"name": "mac1", "hyperkit": str(kit)})
        guid = "3ad2c7f0-5b12-4a6c-9a00-000000000001"
        program = pathlib.Path("/proc/self/comm").read_text().strip()
        whose = f"by process {os.getpid()} ({program})"
        cases = [
            (folder / "v.sock_99", "machine web1", f"{program}-99 --port 99"),
            (folder / f"v.sock_{guid}", "machine web1", f"{program}-{guid[:8]} --guid {guid}"),
            (kit / "00000002.00000063", "machine mac1", f"{program}-99 --port 99"),
        ]
        for path, what, mend in cases:
            with socket.socket(socket.AF_UNIX) as other:
                other.bind(str(path))
                other.listen()
                self.assertEqual(self.mends(what, f"{path} is listened on {whose}, and no service is for it"), f"hvsockctl register {mend} --listen ''")
                # Whoever asks for that number is told.
                name, _, number = mend.split()
                self.assertIn(name, self.d.ctl("who", number).stdout)
                self.c.call("Unregister", name=name)
                self.assertEqual(len(self.doctor()), 1)
            path.unlink()
        # A program can call itself anything.
        comm = pathlib.Path("/proc/self/comm")
        for name in ("(S d) '$x", "7", "-", "\x1b[2J", ")"):
            with socket.socket(socket.AF_UNIX) as other:
                other.bind(str(folder / "v.sock_99"))
                other.listen()
                comm.write_text(name)
                try:
                    mend = self.mends("machine web1", f"is listened on by process {os.getpid()}")
                finally:
                    comm.write_text(program)
                self.assertRegex(mend, r"\Ahvsockctl register [a-z0-9-]+-99 --port 99 --listen ''\Z")
                self.c.call("Unregister", name=mend.split()[2])
            (folder / "v.sock_99").unlink()
        # What is no number of a service's is nobody's business.
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(folder / "v.sock_control"))
            other.listen()
            self.assertEqual(self.doctor(), [])
        (folder / "v.sock_control").unlink()

    def test_stale_path_with_a_nasty_name(self):
        """A machine's user chooses the names there; who runs the command that is shown removes that file, and nothing else."""
        for name in ("v.sock_; touch hurt", "v.sock_'$(touch hurt)'", "v.sock_\x1b[2J\n\\'x", b"v.sock_\xff\xfe'"):
            path = os.path.join(os.fsencode(self.machine()), os.fsencode(name))
            with socket.socket(socket.AF_UNIX) as left:
                left.bind(path)
            text = self.d.ctl("doctor", expect=1).stdout
            self.assertFalse(any(ord(c) < 0x20 and c != "\n" for c in text), text)
            (found,) = self.doctor()
            subprocess.run(["bash", "-ec", found["mend"]], cwd=self.d.folder, check=True)
            self.assertFalse(os.path.lexists(path))
            self.assertFalse((self.d.folder / "hurt").exists())
            self.assertEqual(self.doctor(), [])

    def test_folder_that_a_service_waits_for(self):
        path = self.d.folder / "not/there"
        self.c.call("Register", service={"name": "a", "listen": [f"unix://{path}/a.sock"]})
        self.mends("a", f"unix://{path}/a.sock is waiting: the folder {path} is not there")

    def test_what_is_in_the_way(self):
        """A file, or a file that should be a folder: kept, out of the way."""
        for what in ("a.sock", "."):
            folder = self.d.folder / f"way{len(what)}"
            path = folder / what
            if what == ".":
                path = folder
            else:
                folder.mkdir()
            path.write_text("dear")
            self.c.call("Register", service={"name": "a", "listen": [f"unix://{folder}/a.sock"]})
            self.assertIn(f"mv {path} {path}.away", self.mends("a", "is a regular file" if what != "." else "is not a folder"))
            self.wait_state(self.c, "a", "listening")
            self.assertEqual(pathlib.Path(f"{path}.away").read_text(), "dear")
            self.c.call("Unregister", name="a")

    def test_folder_that_is_not_to_be_written_to(self):
        if os.geteuid() != 0:
            self.skipTest("makes folders of others: needs root")
        folder = self.machine(user="12345")
        os.chown(folder, 12345, 0)
        folder.chmod(0o500)
        self.c.call("Register", service={"name": "a", "port": 98, "listen": ["machine:web1"]})
        self.assertEqual(self.mends("a", "may not write to the folder"), f"chmod u+wx {folder} && hvsockctl reload")
        self.assertEqual(self.state(self.c, "a"), "listening")

    def test_read_only_file_system(self):
        if os.geteuid() != 0:
            self.skipTest("mounts: needs root")
        disk = self.d.folder / "disk"
        (disk / "a").mkdir(parents=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "disk", disk], capture_output=True, text=True)
        if done.returncode:
            self.skipTest(f"mounts: {done.stderr}")
        self.things.callback(subprocess.run, ["umount", "-l", disk], check=True)
        (disk / "a/b").mkdir(parents=True)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        self.c.call("Register", service={"name": "a", "listen": [f"unix://{disk}/a/b/a.sock"]})
        self.assertEqual(self.mends("a", "is read-only"), f"mount -o remount,rw {disk}")
        self.c.call("Unregister", name="a")

    def test_descriptors(self):
        self.c.call("Status")
        used = len(self.d.fds())
        resource.prlimit(self.d.pid, resource.RLIMIT_NOFILE, (used, 4096))
        self.c.call("Register", service={"name": "a", "listen": [f"unix://{self.d.folder}/{n}.sock" for n in range(30)]})
        found = self.doctor()
        self.assertGreater(len(found), 5)
        self.assertEqual({one["what"] for one in found}, {"a"})
        self.assertIn("no file descriptor left", found[0]["why"])
        self.run_mend(found[0]["mend"])
        self.assertEqual(resource.prlimit(self.d.pid, resource.RLIMIT_NOFILE), (4096, 4096))
        wait_for(lambda: not self.doctor(), 20, self.doctor)

    def test_address_that_is_not_ours(self):
        """No command makes it so: then nobody is to want it."""
        port = self.d.port()
        self.c.call("Register", service={"name": "a", "port": port, "listen": [f"vsock://4711:{port}"]})
        self.assertEqual(self.mends("a", "CID 4711 is not this host's CID"), "hvsockctl disable a")

    def test_machines_that_cannot_take_it(self):
        """One that is not known yet is no trouble; one that is, and has no transport for the service, is."""
        activate = {"mode": "accept", "exec": ["/bin/cat"]}
        for name, more in (("a", {}), ("b", {"activate": activate})):
            service = {"name": name, "port": self.d.port(), "type": "seqpacket", "listen": ["machine:web1"], **more}
            self.c.call("Register", service=service)
        self.c.call("Register", service={"name": "c", "port": self.d.port(), "listen": ["machine:*"]})
        self.assertEqual(self.doctor(), [])
        self.machine()
        found = self.doctor()
        why = "registered: no machine that it listens on has a transport for it"
        self.assertEqual(found, [{"what": name, "why": why, "mend": f"hvsockctl disable {name}"} for name in "ab"])
        for one in found:
            self.run_mend(one["mend"])
        self.assertEqual(self.doctor(), [])

    def test_owner_is_gone(self):
        """hvsockd ends such records itself; one that did not would be told. So a stand-in answers here."""
        with subprocess.Popen(["true"]) as process:
            process.wait()
        runtime = {"state": "registered", "origin": "user:0", "registeredAt": "", "listeners": [], "leases": []}
        service = {"context": {"name": "a"}, "runtime": {**runtime, "ephemeralProcessId": process.pid}}
        alive = {"context": {"name": "b"}, "runtime": {**runtime, "ephemeralProcessId": os.getpid()}}
        machine = {"context": {"name": "web1"}, "origin": "user:0", "registeredAt": "", "ephemeralProcessId": process.pid}
        status = {"version": "1", "processId": os.getpid(), "startedAt": "", "services": 2, "machines": 1, "listeners": 0}
        status |= {"keeperProcessId": os.getpid(), "leases": 0, "errors": [], "draining": [], "configuration": []}
        replies = {"Status": [status], "List": [{"service": service}, {"service": alive}], "ListMachines": [{"machine": machine}]}
        path = str(self.d.folder / "stand-in")
        self.stand_in(path, replies)
        why = f"it was to end with process {process.pid}, which is gone"
        wanted = [
            {"what": "a", "why": why, "mend": "hvsockctl unregister a"},
            {"what": "machine web1", "why": why, "mend": "hvsockctl machine remove web1"},
        ]
        self.assertEqual(self.doctor(HVSOCK_SOCKET=path), wanted)
        # From where hvsockd's own process is not to be seen, others' absence says nothing.
        status["processId"] = process.pid
        self.assertEqual(self.doctor(HVSOCK_SOCKET=path), [])
        # Nor does anybody start programs where no keeper runs; hvsockd tries that again by itself.
        del status["keeperProcessId"]
        (found,) = self.doctor(HVSOCK_SOCKET=path)
        why = "it does not run: what is held would be lost with hvsockd, and no program is started"
        self.assertEqual(found, {"what": "hvsock-keeper", "why": why})

    def stand_in(self, path, replies):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()

        def serve():
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    rest = b""
                    while data := client.recv(65536):
                        *calls, rest = (rest + data).split(b"\0")
                        for call in calls:
                            items = replies[json.loads(call)["method"].rsplit(".", 1)[1]]
                            for i, item in enumerate(items):
                                reply = {"parameters": item, **({"continues": True} if i + 1 < len(items) else {})}
                                client.sendall(json.dumps(reply).encode() + b"\0")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()

        def end():
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(60)
            pathlib.Path(path).unlink()

        self.things.callback(end)

    # ---- what did not load ----

    def test_daemon_that_hangs(self):
        """It is told, and nothing that only looks waits for it without end."""
        looks = {}
        os.kill(self.d.pid, signal.SIGSTOP)
        try:
            for verb in (["doctor", "--json"], ["doctor"], ["version"], ["check"]):
                looks[" ".join(verb)] = self.process(
                    self.d.ctl_command(*verb), env=self.d.ctl_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                )
            said = {name: (*process.communicate(timeout=90), process.returncode) for name, process in looks.items()}
        finally:
            os.kill(self.d.pid, signal.SIGCONT)
        where, why = self.d.ctl_environment()["HVSOCK_SOCKET"], "hvsockd does not answer: it is stopped, or hangs"
        output, errors, status = said["doctor --json"]
        self.assertEqual((json.loads(output), errors, status), ([{"what": where, "why": why}], "", 4))
        self.assertEqual(said["doctor"], (f"{where}: {why}\n", "", 4))
        self.assertEqual(said["version"][1:], ("", 0))
        self.assertRegex(said["version"][0], r"\Ahvsockctl \S+\n\Z")
        self.assertIn("hvsockctl: check: hvsockd does not answer; the system's folders are read in place", said["check"][1])

    def test_files(self):
        path = self.d.file("bad", "services: [{name: a, prot: 1}]\n")
        self.c.refused("Reload")
        (found,) = self.doctor()
        self.assertEqual((found["what"], found["mend"]), ("hvsockd", f"${{EDITOR:-vi}} {path} && hvsockctl check && hvsockctl reload"))
        self.assertIn(f"{path}:1:", found["why"])
        with self.assertRaises(subprocess.CalledProcessError):  # it says once more what is wrong
            self.run_mend(found["mend"], EDITOR="true")
        self.run_mend(found["mend"], EDITOR="sed -i s/prot/port/")
        self.assertEqual(self.doctor(), [])
        self.assertEqual(self.c.call("Describe", name="a")["service"]["context"]["port"], 1)

    def test_files_one_by_one(self):
        """Settings, too; whoever edits them all is done with the last."""
        for name in ("one", "two"):
            self.d.file(name, f"services: [{{name: {name}, prot: {self.d.port()}}}]\n")
        self.d.settings("limitz: {}\n")
        self.c.refused("Reload")
        found = self.doctor()
        self.assertEqual([one["why"].split(":")[0].rsplit("/", 1)[1] for one in found], ["hvsockd.yaml", "one.yaml", "two.yaml"])
        for i, one in enumerate(found):
            try:
                self.run_mend(one["mend"], EDITOR="sed -i s/prot/port/;s/limitz/limits/")
                self.assertEqual(i, 2)
            except subprocess.CalledProcessError:
                self.assertLess(i, 2)
        self.assertEqual(self.doctor(), [])

    def test_files_that_cannot_be_read(self):
        """By the user that hvsockd is: what they are is mended, and not what is in them."""
        if os.geteuid() != 0:
            self.skipTest("becomes another user: needs root")
        self.d = self.daemon(uid=12345)
        self.c = self.client(self.d)
        folder = self.d.config / "services.d"

        def wrong(why, mend):
            self.c.refused("Reload")
            self.assertEqual(self.mends("hvsockd", why), mend)

        path = self.d.file("x", "services: []\n")
        os.chown(path, 0, 0)
        path.chmod(0o600)
        wrong(f"{path}: cannot be read: Permission denied", f"chgrp 12345 {path} && chmod g+r {path} && hvsockctl reload")
        self.assertEqual((path.stat().st_gid, path.stat().st_mode & 0o777), (12345, 0o640))
        path.unlink()
        path.symlink_to("/nowhere")
        wrong(f"{path}: is a link to a file that is not there", f"rm {path} && hvsockctl reload")
        path.mkdir()
        wrong(f"{path}: cannot be read: Is a directory", f"mv {path} {path}.away && hvsockctl reload")
        os.chown(folder, 0, 0)
        folder.chmod(0o700)
        wrong(f"{folder}: the folder cannot be read", f"chgrp 12345 {folder} && chmod g+rx {folder} && hvsockctl reload")
        shutil.rmtree(self.d.config)
        wrong(f"{self.d.config}: the folder of the configuration: No such file", f"mkdir -p {self.d.config} && hvsockctl reload")
        folder.mkdir()

    def test_newer_registry(self):
        self.c.close()
        self.d.terminate()
        with contextlib.closing(sqlite3.connect(self.d.state / "registry.db")) as database:
            database.execute("PRAGMA user_version = 1000")
        self.d.start()
        # The keeper of before may be ending still: then there is another within a second.
        (found,) = wait_for(lambda: [one for one in [self.doctor()] if len(one) == 1], 5)[0]
        self.assertIn("1000", found["why"])
        self.assertNotIn("mend", found)  # no reload mends that
        self.d.leave = True

    def test_keeper_that_cannot_start(self):
        """For want of descriptors: it is said what would be right, once, and tried again ever more seldom."""
        self.d.limits = {resource.RLIMIT_NOFILE: (64, 64)}
        self.c.close()
        begun = time.monotonic()
        self.d.restart()
        self.d.at_start = None
        self.c = self.client(self.d)
        why = "cannot start: RLIMIT_NOFILE (LimitNOFILE=, ulimit -n) is 64, as hvsockd's own; 1024 would be right"
        found = wait_for(lambda: [one for one in self.doctor() if why in one["why"]], what=self.d.log_text)
        self.assertEqual([one["what"] for one in found], ["hvsock-keeper"])
        self.assertEqual(found[0]["mend"], f"prlimit --pid {self.d.pid} --nofile=1024:1024")
        status = self.c.call("Status")
        self.assertIn(f"hvsock-keeper {why}", status["errors"])
        self.assertNotIn("keeperProcessId", status)
        wait_for(lambda: self.d.log_text().count("hvsock-keeper: cannot start: ") >= 8, what=self.d.log_text)
        # 20 ms, 40 ms and so on; a busy machine takes longer.
        self.assertGreater(time.monotonic() - begun, 2.5)
        self.assertEqual(self.d.log_text().count(f"hvsock-keeper {why}"), 1)
        # Not typed: to raise a hard limit takes CAP_SYS_RESOURCE, which root of this machine does not have.

    # ---- programs ----

    def register_program(self, program, mode="accept", **activate):
        path = self.d.folder / "a.sock"
        activate |= {"mode": mode, "exec": [str(program)]}
        self.c.call("Register", service={"name": "a", "listen": [f"unix://{path}"], "activate": activate})
        return path

    def test_program_that_is_not_there(self):
        program = self.d.folder / "program"
        self.register_program(program)
        self.assertEqual(self.mends("a", f"{program}, which is to be started for it, is not there"), "hvsockctl disable a")
        self.c.call("SetEnabled", name="a", enabled=True)
        self.assertEqual(len(self.doctor()), 1)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o644)
        self.assertEqual(self.mends("a", f"{program}, which is to be started for it, cannot be executed"), f"chmod +x {program}")

    def test_user_that_is_not_there(self):
        self.register_program("/bin/true", user="nobody-of-that-name")
        (found,) = self.doctor()
        self.assertEqual((found["what"], found["mend"]), ("a", "useradd --system nobody-of-that-name"))
        self.assertIn("this host has no such user", found["why"])

    def test_program_that_fails(self):
        program = self.d.folder / "program"
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(0o755)
        path = self.register_program(program, "wait", startLimit="2/100s")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            client.connect(str(path))
            self.assertEqual(client.recv(1), b"")
        self.assertEqual(self.mends("a", "failed: its program was started too often: more than 2/100s; "), "hvsockctl enable a")

    def test_program_that_failed_once(self):
        """It is tried again by itself; whoever has mended it need not wait for that."""
        path = self.register_program("/bin/false")

        def found():
            """Of one that failed within a second: where this machine took longer, once more."""
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(60)
                client.connect(str(path))
                self.assertEqual(client.recv(1), b"")
            wait_for(lambda: not self.c.list("ListConnections", "connection") and self.state(self.c, "a") == "listening")
            return self.doctor()

        wait_for(found)
        self.assertEqual(self.mends("a", "listening: "), "hvsockctl enable a")

    # ---- collisions ----

    HOLDER = """
import socket, sys, time
listener = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
listener.bind((socket.VMADDR_CID_ANY, int(sys.argv[1])))
listener.listen()
print(flush=True)
time.sleep(1000)
"""

    def test_file_that_claims_what_is_registered(self):
        """A port, a name, a CID: told with whose it is, and the file is what is to be edited."""
        port, other = self.d.port(), self.d.port()
        self.c.call("Register", service={"name": "a", "port": port})
        self.c.call("AddMachine", machine={"name": "web1", "cid": 4711})
        for text, why, edit in (
            (f"services: [{{name: b, port: {port}}}]\n", f"services[0].port: {port} is held by a already", f"s/{port}/{other}/"),
            (f"services: [{{name: a, port: {other}}}]\n", 'services[0].name: "a" is registered already', "s/a,/b,/"),
            ("machines: [{name: web2, cid: 4711}]\n", "machines[0].cid: 4711 is held by web1 already", "s/4711/4712/"),
        ):
            path = self.d.file("claims", text)
            self.c.refused("Reload")
            (found,) = self.doctor()
            self.assertEqual(found["what"], "hvsockd")
            self.assertIn(why, found["why"])
            self.run_mend(found["mend"], EDITOR=f"sed -i {edit}")
            self.assertEqual(self.doctor(), [])
            path.write_text("services: []\n")
            self.c.call("Reload")

    def holder(self, port):
        process = self.python(self.HOLDER, port, stdout=subprocess.PIPE)
        process.stdout.readline()
        threading.Thread(target=process.wait, daemon=True).start()  # else its socket stays with what is left of it
        return process

    def test_port_of_another_program(self):
        port = self.d.port()
        other = self.holder(port)
        self.c.call("Register", service={"name": "a", "port": port})
        (found,) = self.doctor()
        self.assertEqual(found["what"], "a")
        self.assertIn(f"vsock://:{port} is waiting: port {port} is held by", found["why"])
        if GUEST:  # where the kernel says by which socket
            self.assertIn(f"{other.pid} (python3", found["why"])
            self.assertEqual(found["mend"], f"kill {other.pid}")
            self.run_mend(found["mend"])
            wait_for(lambda: not self.doctor(), 20)
            self.assertEqual(self.state(self.c, "a"), "listening")
            return
        # Where it cannot, there is nothing to be ended; it goes on by itself when that program does.
        self.assertEqual(found["mend"], "hvsockctl disable a")
        other.kill()
        wait_for(lambda: not self.doctor(), 10)

    def test_draining(self):
        port = self.d.port()
        self.c.call("Register", service={"name": "a", "port": port})
        code = (
            "import sys, time\nfrom hv.varlink import Varlink\nclient = Varlink(sys.argv[1])\n"
            "client.call_fds('Acquire', names=['a'])\nprint(flush=True)\ntime.sleep(1000)"
        )
        other = self.python(code, self.d.socket, stdout=subprocess.PIPE)
        other.stdout.readline()
        threading.Thread(target=other.wait, daemon=True).start()
        self.c.call("SetEnabled", name="a", enabled=False)
        self.assertEqual(self.mends("a", f"vsock://:{port} is draining: a process still holds"), f"kill {other.pid}")

    def test_path_of_another_program(self):
        path = self.d.folder / "other.sock"
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            other.listen()
            self.c.call("Register", service={"name": "a", "listen": [f"unix://{path}"]})
            (found,) = self.doctor()
            self.assertIn(f"unix://{path} is waiting: {path} is served by process {os.getpid()}", found["why"])
            self.assertEqual(found["mend"], f"kill {os.getpid()}")
        wait_for(lambda: not self.doctor(), 10)

    def test_path_of_a_program_that_can_be_ended(self):
        path = self.d.folder / "other.sock"
        code = "import socket, sys, time\ns = socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen()\nprint(flush=True)\ntime.sleep(1000)"
        other = self.python(code, path, stdout=subprocess.PIPE)
        other.stdout.readline()
        threading.Thread(target=other.wait, daemon=True).start()
        self.c.call("Register", service={"name": "a", "listen": [f"unix://{path}"]})
        self.assertEqual(self.mends("a", f"{path} is served by process {other.pid}"), f"kill {other.pid}")
        self.assertEqual(self.state(self.c, "a"), "listening")

    def test_listeners_of_other_programs(self):
        """Asked of the host's own daemon; where the kernel has vsock_diag."""
        if not GUEST:
            self.skipTest("needs vsock_diag and the host's own runtime folder: runs in the guest of tests/vm alone")
        subprocess.run(["modprobe", "vsock_diag"], check=True)
        port, ours = self.d.port(), self.d.port()
        self.c.call("Register", service={"name": "ours", "port": ours})
        other = self.holder(port)
        system = [*PRIVATE, f'mkdir -p /run/hvsockd; mount --bind {self.d.runtime} /run/hvsockd; unset HVSOCK_SOCKET; exec "$0" "$@"']
        found = [one for one in self.doctor(*system) if one["what"].startswith("vsock://")]
        name = f"python3-{str(port)[:8]}"
        wanted = {
            "what": f"vsock://:{port}",
            "why": f"is listened on by process {other.pid} (python3), and no service has that port",
            "mend": f"hvsockctl register {name} --port {port} --listen ''",
        }
        self.assertIn(wanted, found)
        self.assertNotIn(f"vsock://:{ours}", [one["what"] for one in found])
        # Not of a daemon in folders of its own: what others do is not its to say.
        self.assertEqual(self.doctor(), [])
        self.run_mend(wanted["mend"])
        self.assertFalse({wanted["what"], name} & {one["what"] for one in self.doctor(*system)})
        self.assertIn(name, self.d.ctl("who", port).stdout)
