# SPDX-License-Identifier: Apache-2.0
"""Machines: records, machine:NAME and machine:*, and machines that come, change and go."""

import json
import os
import socket

from hv.case import GUEST, Case, vsock_connect, wait_for
from hv.varlink import Varlink
from test_listeners import connect


class Machines(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon()
        self.c = self.client(self.d)
        self.port = self.d.port()

    def machine(self, name, **fields):
        return self.c.call("AddMachine", {"machine": {"name": name, **fields}})["machine"]

    def listeners(self, name):
        return {
            (l.get("machine"), l["address"], l["state"])
            for l in self.c.call("Describe", name=name)["service"]["runtime"]["listeners"]
        }

    def hybrid(self, name):
        """A machine with a folder of its own; its listener of our port as it is told."""
        folder = self.d.folder / name
        folder.mkdir(exist_ok=True)
        self.machine(name, hybrid=str(folder / "v.sock"))
        return folder / f"v.sock_{self.port}"

    def test_add_list_remove(self):
        machine = self.machine("web1", cid=4711, vmId="{6F9619FF-8B86-D011-B42D-00C04FC964FF}", labels={"rack": "a3"})
        self.assertEqual(machine["context"]["cid"], 4711)
        self.assertEqual(machine["context"]["vmId"], "6f9619ff-8b86-d011-b42d-00c04fc964ff")
        self.assertEqual(machine["origin"], f"user:{os.getuid()}")
        self.assertEqual(self.c.list("ListMachines", "machine"), [machine])
        # One of that name and owner is replaced; a CID or path is one machine's.
        self.assertEqual(self.machine("web1", cid=4712)["context"], {"name": "web1", "cid": 4712})
        with self.refuses("Conflict", field="cid", value="4712", holder="web1"):
            self.machine("web2", cid=4712)
        self.machine("web2", hybrid="/run/vms/v.sock")
        with self.refuses("Conflict", holder="web2"):
            self.machine("web3", hybrid="/run/vms/v.sock")
        self.c.close()
        self.d.restart()
        self.c = self.client(self.d)
        self.assertEqual([m["context"]["name"] for m in self.c.list("ListMachines", "machine")], ["web1", "web2"])
        self.c.call("RemoveMachine", name="web1")
        with self.refuses("NoSuchMachine", name="web1"):
            self.c.call("RemoveMachine", name="web1")

    def test_anothers_name_beside_what_is_planned_again(self):
        """The conflict is told of its own record, also where the call makes others be planned again."""
        guid = "999e53d4-3d5c-4c3e-8779-bed06ec056e1"
        for name in ("web1", "web2"):
            (self.d.folder / name).mkdir()
            self.c.call("AddMachine", machine={"name": name, "hybrid": f"{self.d.folder}/{name}/v.sock"})
        self.c.call("Register", service={"name": "every", "guid": guid, "listen": ["machine:*"]})
        self.c.call("Register", service={"name": "taken", "guid": guid, "listen": ["machine:web2"]})
        for count in (1, 3, 7, 15, 31):
            services = [{"name": f"s{i}", "listen": [], "port": i} for i in range(count)]
            services.append({"name": "taken", "guid": guid, "listen": ["machine:web1"]})
            with self.subTest(count=count), self.refuses("Conflict", field=f"services[{count}].name", value="taken"):
                self.c.call("Apply", services=services)

    def test_anothers_name(self):
        """A machine is replaced by its owner alone; who else may change machines can remove it."""
        other = 64000
        self.d.settings(f"administrators: {{users: ['{other}']}}\n")
        self.c.call("Reload")
        self.d.folder.chmod(0o755)

        def add(**fields):
            with Varlink(self.d.socket) as client:
                return client.call("AddMachine", machine={"name": "web1", **fields})["machine"]

        self.assertEqual(self.as_user(other, lambda: add(cid=4711))["origin"], f"user:{other}")
        with self.refuses("Conflict", field="name", value="web1", holder="web1", origin=f"user:{other}"):
            self.machine("web1", cid=4712)
        done = self.d.ctl("machine", "run", "web1", "--cid", 4711, "--", "true", expect=3)
        self.assertIn(f"name web1 is held by web1 (user:{other}", done.stderr)
        self.assertEqual(self.as_user(other, lambda: add(cid=4713))["context"]["cid"], 4713)
        self.c.call("RemoveMachine", name="web1")
        self.machine("web1", cid=4712)
        with self.refuses("Conflict", holder="web1"):
            self.as_user(other, lambda: add(cid=4713))

    def test_machine_name(self):
        """machine:NAME: that machine's own transport; one that is not there is refused, or waits."""
        path = self.hybrid("web1")
        service = self.c.call("Register", service={"name": "a", "port": self.port, "listen": ["machine:web1"]})[
            "service"
        ]
        self.assertEqual(service["context"]["handout"]["mode"], "listener")
        self.assertEqual(
            self.listeners("a"), {("web1", f"hybrid://{self.d.folder}/web1/v.sock:{self.port}", "listening")}
        )
        self.assertTrue(path.exists())
        self.c.call("Unregister", name="a")
        self.assertFalse(path.exists())

    def test_nothing_to_listen_on(self):
        """Why nothing is held, as machines come, change and go."""
        self.c.call("Register", service={"name": "a", "port": self.port, "type": "seqpacket", "listen": ["machine:web1"]})
        self.c.call("Register", service={"name": "b", "port": self.d.port(), "type": "seqpacket", "listen": ["machine:*"]})

        def why():
            services = [self.c.call("Describe", name=name)["service"] for name in "ab"]
            listed = self.c.list("List", "service")
            self.assertEqual(listed, services)
            self.assertEqual({s["runtime"]["state"] for s in services}, {"registered"})
            return [s["runtime"].get("reason") for s in services]

        unknown, unfit = "no machine that it listens on is known yet", "no machine that it listens on has a transport for it"
        self.assertEqual(why(), [unknown, None])
        self.machine("web2", vmId="6f9619ff-8b86-d011-b42d-00c04fc964ff")
        self.assertEqual(why(), [unknown, unfit])
        self.machine("web1", hybrid=str(self.d.folder / "v.sock"))
        self.assertEqual(why(), [unfit, unfit])
        for name in ("web1", "web2"):
            self.c.call("RemoveMachine", name=name)
        self.assertEqual(why(), [unknown, None])
        self.machine("web1", cid=4711)
        self.assertEqual(self.listeners("a"), {(None, f"vsock://:{self.port}", "listening")})

    def test_every_machine(self):
        """machine:*: also machines that come later; and it goes with them."""
        first = self.hybrid("web1")
        self.c.call("Register", service={"name": "a", "port": self.port, "listen": ["machine:*"]})
        self.assertTrue(first.exists())
        second = self.hybrid("web2")
        self.assertTrue(second.exists())
        self.assertEqual(len(self.listeners("a")), 2)
        self.c.call("RemoveMachine", name="web1")
        self.assertFalse(first.exists())
        self.assertEqual({l[0] for l in self.listeners("a")}, {"web2"})

    def test_one_beats_every(self):
        first, second = self.hybrid("web1"), self.hybrid("web2")
        self.c.call("Register", service={"name": "all", "port": self.port, "listen": ["machine:*"]})
        self.c.call("Register", service={"name": "one", "port": self.port, "listen": ["machine:web1"]})
        self.assertEqual({l[0] for l in self.listeners("all")}, {"web2"})
        self.assertEqual({l[0] for l in self.listeners("one")}, {"web1"})
        self.assertTrue(first.exists() and second.exists())
        self.c.call("Unregister", name="one")
        wait_for(lambda: {l[0] for l in self.listeners("all")} == {"web1", "web2"}, 5, lambda: self.listeners("all"))
        with self.refuses("Conflict", holder="all"):
            self.c.call("Register", service={"name": "both", "port": self.port, "listen": ["machine:*"]})

    def test_one_beats_every_on_machines_that_come(self):
        """Also on machines that come later, change and go, whatever transport they have; and so at the next start."""

        def held():
            return {name: {l[0] for l in self.listeners(name)} for name in ("all", "one")}

        self.c.call("Register", service={"name": "all", "port": self.port, "listen": ["machine:*"]})
        self.c.call("Register", service={"name": "one", "port": self.port, "listen": ["machine:web1"]})
        self.hybrid("web1")
        self.assertEqual(held(), {"all": set(), "one": {"web1"}})
        self.hybrid("web2")
        self.assertEqual(held(), {"all": {"web2"}, "one": {"web1"}})
        self.machine("web3", cid=4711)  # all machines are looked at anew for it
        self.assertEqual(held(), {"all": {"web2", None}, "one": {"web1"}})
        self.c.call("RemoveMachine", name="web3")
        self.assertEqual(held(), {"all": {"web2"}, "one": {"web1"}})
        self.machine("web1", hybrid=str(self.d.folder / "web1/other.sock"))
        self.assertEqual(held(), {"all": {"web2"}, "one": {"web1"}})
        self.c.call("SetEnabled", name="one", enabled=False)
        self.assertEqual(held(), {"all": {"web1", "web2"}, "one": set()})
        self.c.call("SetEnabled", name="one", enabled=True)
        self.assertEqual(held(), {"all": {"web2"}, "one": {"web1"}})
        self.c.call("RemoveMachine", name="web1")
        self.assertEqual(held(), {"all": {"web2"}, "one": set()})
        self.c.call("Apply", services=[], machines=[{"name": "web1", "hyperkit": str(self.d.folder / "web1")}])
        self.assertEqual(held(), {"all": {"web2"}, "one": {"web1"}})
        # Where both would be on the host's one AF_VSOCK, nobody beats anybody.
        with self.refuses("Conflict", field="port", value=str(self.port)):
            self.c.call("Apply", services=[], machines=[{"name": "web3", "cid": 4711}, {"name": "web1", "cid": 4712}])

    def test_vsock_machine(self):
        """A machine on vsock has no socket of its own: the one shared address, and peers.allow of it."""
        self.machine("web1", cid=4711)
        self.machine("web2", cid=4712)
        self.c.call("Register", service={"name": "a", "port": self.port, "listen": ["machine:*"]})
        self.assertEqual({l[1:] for l in self.listeners("a")}, {(f"vsock://:{self.port}", "listening")})
        with self.refuses("NotAllowed"):
            self.c.call("Acquire", names=["a"])

    def test_vsock_forbids_bare_listeners(self):
        """Of several that do not go together all are told, or how many more there are; where the machine is new, of its cid."""
        self.machine("web1", cid=4711)
        self.machine("web2", cid=4712)
        bare = {"name": "a", "port": self.port, "listen": ["machine:*"], "handout": {"mode": "listener"}}
        refused = self.c.refused("Register", service=bare)
        self.assertEqual((refused.short, refused.parameters["field"]), ("InvalidField", "handout.mode"))
        self.assertIn("the service a means the machine web1 and 1 more, which are reached on vsock", refused.parameters["reason"])
        waits = {"name": "b", "port": self.d.port(), "listen": ["machine:web2"], "activate": {"mode": "wait", "exec": ["/x"]}}
        refused = self.c.refused("Apply", services=[{"name": "c", "port": self.d.port()}, bare, waits])
        self.assertEqual((refused.short, refused.parameters["field"]), ("InvalidField", "services[1].handout.mode"))
        self.assertIn("(and 1 more)", refused.parameters["reason"])
        self.d.file("s", json.dumps({"services": [bare, waits]}))
        messages = self.c.refused("Reload").parameters["messages"]
        self.assertEqual(len(messages), 2, messages)
        self.assertIn("services[0].handout.mode", messages[0])
        self.assertIn("services[1].activate.mode", messages[1])
        self.d.file("s", None)
        for name in ("web1", "web2"):
            self.c.call("RemoveMachine", name=name)
        self.c.call("Apply", services=[bare, waits])
        refused = self.c.refused("AddMachine", machine={"name": "web2", "cid": 4711})
        self.assertEqual((refused.short, refused.parameters["field"]), ("InvalidField", "cid"))
        self.assertIn("(and 1 more)", refused.parameters["reason"])
        self.assertIn("hybrid or hyperkit would be right", refused.parameters["hint"])
        self.machine("web2", cid=4711, hybrid=str(self.d.folder / "v.sock"))

    def test_machine_with_folder_that_comes(self):
        self.c.call("Register", service={"name": "a", "port": self.port, "listen": ["machine:*"]})
        self.assertIn(self.state(self.c, "a"), ("waiting", "registered"))
        folder = self.d.folder / "late"
        self.machine("late", hyperkit=str(folder))
        self.assertEqual({l[2] for l in self.listeners("a")}, {"waiting"})
        folder.mkdir()
        wait_for(lambda: {l[2] for l in self.listeners("a")} == {"listening"}, 5, lambda: self.listeners("a"))
        connect(folder / f"00000002.{self.port:08x}").close()

    def test_follow_machines(self):
        """Acquire with follow: more listeners than a reply carries, then those of machines that come, change and go."""
        self.c.call(
            "Register",
            service={"name": "a", "port": self.port, "listen": ["machine:*"], "handout": {"mode": "listener"}},
        )
        for i in range(300):
            self.hybrid(f"vm-{i:03}")
        follower = self.client(self.d)
        follower.send("Acquire", {"names": ["a"], "follow": True}, more=True)
        held, gone, machines = {}, [], set()

        def receive(count=0, withdrawn=0):
            """Until so many are held and so many were withdrawn."""
            while len(held) != count or len(gone) != withdrawn:
                reply, fds, continues = follower.receive()
                self.assertTrue(continues)
                self.assertLessEqual(len(fds), 253)
                self.assertEqual(len(fds), len(reply["listeners"]))
                for address in reply.get("withdrawn") or []:
                    gone.append(address)
                    held.pop(address).close()
                for listener in reply["listeners"]:
                    held[listener["address"]] = socket.socket(fileno=fds[listener["listenerFileDescriptor"]])
                    machines.add(listener["machine"])

        try:
            receive(300)
            self.assertEqual(machines, {f"vm-{i:03}" for i in range(300)})
            path = self.hybrid("late")
            receive(301)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                held[f"hybrid://{self.d.folder}/late/v.sock:{self.port}"].accept()[0].close()
            self.c.call("RemoveMachine", name="vm-007")
            receive(300, 1)
            self.assertEqual(gone, [f"hybrid://{self.d.folder}/vm-007/v.sock:{self.port}"])
            self.machine("vm-008", hybrid=str(self.d.folder / "late/other.sock"))
            receive(300, 2)
        finally:
            for one in held.values():
                one.close()
        # hvsockctl exec takes as many, and names each.
        names = self.d.ctl("exec", "a", "--", "sh", "-c", "echo $LISTEN_FDS; echo $LISTEN_FDNAMES").stdout.split()
        self.assertEqual(names[0], "300")
        self.assertEqual(sorted(names[1].split(":"))[:2], ["a@late", "a@vm-000"])

    def test_ephemeral(self):
        sleeper = self.process(["sleep", "1000"])
        self.c.call("AddMachine", {"machine": {"name": "web1", "cid": 4711}, "ephemeralProcessId": sleeper.pid})
        self.assertEqual(self.c.list("ListMachines", "machine")[0]["ephemeralProcessId"], sleeper.pid)
        sleeper.kill()
        sleeper.wait()
        wait_for(lambda: not self.c.list("ListMachines", "machine"), 5, "it is gone")

    def test_ctl(self):
        self.d.ctl("machine", "add", "web1", "--cid", "4711")
        self.assertEqual([m["context"]["cid"] for m in self.d.ctl("machine", "list", "--json").json()], [4711])
        self.assertIn("web1", self.d.ctl("machine", "list").stdout)
        self.d.ctl("machine", "remove", "web1")
        self.d.ctl("machine", "remove", "web1", expect=1)

    def test_over_vsock(self):
        """In the guest: a real connection over loopback."""
        if not GUEST:
            self.skipTest("connects AF_VSOCK: runs in the guest of tests/vm alone")
        self.c.call("Register", service={"name": "a", "port": self.port})
        _, fds = self.c.call_fds("Acquire", names=["a"])
        listener = socket.socket(fileno=fds[0])
        self.things.callback(listener.close)
        with vsock_connect(1, self.port) as connection:
            accepted, peer = listener.accept()
            accepted.sendall(b"hello")
            self.assertEqual(connection.recv(10), b"hello")
            accepted.close()
        self.assertEqual(peer[0], 1)
