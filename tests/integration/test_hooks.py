# SPDX-License-Identifier: Apache-2.0
"""packaging/hooks: libvirt's hook with domains' XML as libvirt passes it, and the jailer's wrapper with a stand-in jailer."""

import json
import os
import pathlib
import subprocess

from hv.case import BUILD, Case, wait_for
from hv.varlink import Varlink

HERE = pathlib.Path(__file__).resolve().parent
HOOKS = HERE.parents[1] / "packaging/hooks"

DOMAIN = """<domain type='kvm' id='3' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>
  <memory unit='KiB'>219136</memory>
  <currentMemory unit='KiB'>219136</currentMemory>
  <vcpu placement='static'>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <boot dev='hd'/>
  </os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='pci' index='0' model='pcie-root'/>
    {vsock}
    <memballoon model='none'/>
  </devices>
  <seclabel type='dynamic' model='apparmor' relabel='yes'><label>libvirt-c7a5fdbd</label></seclabel>
  {label}
</domain>
"""
FIXED = "<vsock model='virtio'><cid auto='no' address='{}'/></vsock>"
AUTO = "<vsock model='virtio'><cid auto='yes'/></vsock>"
GIVEN = "<vsock model='virtio'><cid auto='yes' address='{}'/><alias name='vsock0'/></vsock>"
LABEL = "<seclabel type='dynamic' model='dac' relabel='yes'><label>+64055:+108</label><imagelabel>+64055:+108</imagelabel></seclabel>"


class Hook(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon()
        self.c = self.client(self.d)
        self.environment = self.d.ctl_environment(
            HVSOCKCTL=str(BUILD / "hvsockctl"), HVSOCK_LIBVIRT_PIDS=str(self.d.folder)
        )

    def machines(self):
        return {m["context"]["name"]: m for m in self.c.list("ListMachines", "machine")}


class Libvirt(Hook):
    def hook(self, operation, vsock="", name="web1", label="", expect=0, xml=None):
        done = subprocess.run(
            [HOOKS / "libvirt-qemu", name, *operation.split(), "-"],
            input=xml or DOMAIN.format(name=name, vsock=vsock, label=label),
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=60,
        )
        self.assertEqual(done.returncode, expect, done.stderr)
        self.assertEqual(done.stdout, "")  # libvirt would take it for XML
        return done.stderr

    def test_fixed_cid(self):
        self.hook("prepare begin", FIXED.format(4711))
        machine = self.machines()["web1"]
        self.assertEqual(
            machine["context"],
            {"name": "web1", "cid": 4711, "labels": {"libvirt": "c7a5fdbd-edaf-9455-926a-d65c16db1809"}},
        )
        self.assertEqual(machine["ephemeralProcessId"], os.getpid())  # who called the hook
        qemu = self.process(["sleep", "1000"])
        (self.d.folder / "web1.pid").write_text(f"{qemu.pid}\n")
        self.hook("start begin", FIXED.format(4711), label=LABEL)
        # Whatever that pid file is of, it is of no QEMU of this start.
        self.assertEqual(self.machines()["web1"]["ephemeralProcessId"], os.getpid())
        self.hook("started begin", FIXED.format(4711), label=LABEL)
        machine = self.machines()["web1"]
        self.assertEqual((machine["context"]["user"], machine["context"]["group"]), ("64055", "108"))
        self.assertEqual(machine["ephemeralProcessId"], qemu.pid)
        self.hook("stopped end", FIXED.format(4711))
        self.assertIn("web1", self.machines())
        self.hook("release end", FIXED.format(4711))
        self.assertEqual(self.machines(), {})
        self.hook("release end", FIXED.format(4711))  # once more does no harm

    def test_auto_cid(self):
        self.hook("prepare begin", AUTO)
        self.assertEqual(self.machines(), {})
        self.hook("start begin", GIVEN.format(4712))
        self.assertEqual(self.machines()["web1"]["context"]["cid"], 4712)
        self.hook("started begin", GIVEN.format(4712))
        self.hook("release end", GIVEN.format(4712))
        self.assertEqual(self.machines(), {})
        # What libvirt has let go of the CID of is removed as well.
        self.hook("start begin", GIVEN.format(4713))
        self.hook("release end", AUTO)
        self.assertEqual(self.machines(), {})

    def test_ends_with_qemu(self):
        qemu = self.process(["sleep", "1000"])
        (self.d.folder / "web1.pid").write_text(str(qemu.pid))
        self.hook("reconnect begin", GIVEN.format(4711))
        qemu.kill()
        qemu.wait()
        wait_for(lambda: not self.machines(), 5, "it ends with QEMU")

    def test_names(self):
        for domain, name in (
            ("Windows 11", "vm-windows-11-c7a5fdbd"),
            ("42", "vm-42-c7a5fdbd"),
            ("host", "vm-host-c7a5fdbd"),
            ("b" * 80, "vm-" + "b" * 52 + "-c7a5fdbd"),
            ("a.b_c-1", "a.b_c-1"),
        ):
            with self.subTest(domain):
                self.hook("start begin", FIXED.format(4711), name=domain)
                self.assertEqual(list(self.machines()), [name])
                self.hook("release end", FIXED.format(4711), name=domain)
                self.assertEqual(self.machines(), {})

    def test_nothing_to_do(self):
        self.hook("start begin", "")
        self.hook("migrate begin", FIXED.format(4711))
        self.hook("attach begin", xml="<networkport/>")
        self.hook("start begin", xml="<network><name>x</name></network>")
        self.assertEqual(self.machines(), {})

    def test_refused_does_not_start(self):
        self.c.call("AddMachine", {"machine": {"name": "other", "cid": 4711}})
        self.assertIn("other", self.hook("prepare begin", FIXED.format(4711), expect=1))
        self.hook("start begin", FIXED.format("many"), expect=1)
        self.hook("start begin", xml="<domain>", expect=1)
        self.assertEqual(list(self.machines()), ["other"])

    def test_refused_leaves_anothers_machine(self):
        """libvirt calls `release` of what did not start, too."""
        if os.geteuid() != 0:
            self.skipTest("becomes another user: needs root")
        self.d.settings("administrators: {users: ['64000']}\n")
        self.c.call("Reload")
        self.d.folder.chmod(0o755)

        def add():
            with Varlink(self.d.socket) as client:
                return client.call("AddMachine", machine={"name": "web1", "cid": 4711})

        self.as_user(64000, add)
        self.assertIn("name web1 is held by web1 (user:64000", self.hook("prepare begin", FIXED.format(4712), expect=1))
        self.hook("release end", FIXED.format(4712))
        self.assertEqual(list(self.machines()), ["web1"])

    def test_without_daemon(self):
        self.environment["HVSOCK_SOCKET"] = str(self.d.folder / "nowhere")
        self.assertIn("no hvsockd answers there", self.hook("start begin", FIXED.format(4711)))
        self.environment["HVSOCKCTL"] = "/nowhere/hvsockctl"
        self.assertIn("/nowhere/hvsockctl", self.hook("start begin", FIXED.format(4711)))


# Makes the chroot, leaves a pid file where it forks, changes root's part of the path and user, and becomes the VMM.
JAILER = """#!/usr/bin/python3
import os, sys, time
own, vmm = sys.argv[1:sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1:]
value = lambda name, default=None: own[own.index(name) + 1] if name in own else default
name = os.path.basename(value("--exec-file"))
root = os.path.join(value("--chroot-base-dir", "/srv/jailer"), name, value("--id"), "root")
os.makedirs(root, exist_ok=True)
uid, gid = int(value("--uid")), int(value("--gid"))
os.chown(root, uid, gid)
if "--daemonize" in own:
    if os.fork():
        sys.exit(0)
    os.setsid()
    time.sleep(0.2) # its parent has ended when it is written
    open(os.path.join(root, name + ".pid"), "w").write(str(os.getpid()))
os.chdir(root)
os.setgroups([]); os.setresgid(gid, gid, gid); os.setresuid(uid, uid, uid)
os.execv(value("--exec-file"), [name, *vmm])
"""


class Jailer(Hook):
    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("gives folders to another user: needs root")
        self.port = self.d.port()
        self.c.call("Register", service={"name": "a", "port": self.port, "listen": ["machine:*"]})
        self.jailer = self.d.folder / "jailer"
        self.jailer.write_text(JAILER)
        self.jailer.chmod(0o755)
        self.vmm = self.d.folder / "firecracker"
        self.vmm.write_text((HERE / "vmm.py").read_text())
        self.vmm.chmod(0o755)
        self.root = self.d.folder / "srv/firecracker/web1/root"

    def start(self, *options, jailer=(), port=None):
        return self.process(
            [HOOKS / "hvsock-jailer", *options, "--", self.jailer, "--id", "web1", "--exec-file", self.vmm, "--uid", "64042",
             "--gid", "64043", "--chroot-base-dir", self.d.folder / "srv", *jailer, "--", "v.sock", str(port or self.port)],
            env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def test_jailed(self):
        vmm = self.start("--label", "rack=a3")
        told = json.loads(vmm.stdout.readline() or vmm.stderr.read())
        self.assertEqual((told["pid"], told["uid"], told["connected"]), (vmm.pid, 64042, True))
        machine = self.machines()["web1"]
        self.assertEqual(
            machine["context"],
            {"name": "web1", "hybrid": f"{self.root}/v.sock", "user": "64042", "group": "64043", "labels": {"rack": "a3"}},
        )
        status = (self.root / f"v.sock_{self.port}").stat()
        self.assertEqual((status.st_uid, status.st_gid, status.st_mode & 0o777), (64042, 64043, 0o660))
        vmm.kill()
        vmm.wait()
        wait_for(lambda: not self.machines(), 5, "it ends with the VMM")
        self.assertEqual([p.name for p in self.root.iterdir()], ["v.sock"])
        (self.root / "v.sock").unlink()

    def test_daemonized(self):
        self.root.mkdir(parents=True)
        (self.root / "firecracker.pid").write_text(str(os.getpid()))  # left by an earlier start
        starter = self.start("--name", "other", "--vsock", "/./v.sock", jailer=["--daemonize"])
        told = json.loads(starter.stdout.readline() or starter.stderr.read())
        self.assertTrue(told["connected"])
        self.assertEqual(starter.wait(60), 0)
        self.assertNotEqual(told["pid"], starter.pid)
        self.assertEqual(self.machines()["other"]["ephemeralProcessId"], told["pid"])
        self.assertEqual(self.machines()["other"]["listeners"][0]["state"], "listening")
        os.kill(told["pid"], 9)
        wait_for(lambda: not self.machines(), 5, "it ends with the VMM")
        (self.root / "v.sock").unlink()

    def test_wrong(self):
        for arguments in ([], ["--"], ["--", "jailer"], ["--", "jailer", "--id", "x"], ["--bogus", "--", "jailer"]):
            with self.subTest(arguments):
                done = subprocess.run(
                    [HOOKS / "hvsock-jailer", *arguments], env=self.environment, stderr=subprocess.PIPE, text=True
                )
                self.assertNotEqual(done.returncode, 0)
                self.assertTrue(done.stderr)
        self.jailer.unlink()
        vmm = self.start()
        self.assertEqual(vmm.wait(60), 127)
        wait_for(lambda: not self.machines(), 5, "nothing is left")
