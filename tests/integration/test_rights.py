# SPDX-License-Identifier: Apache-2.0
"""What delegates may not, limits at their edges, and what only administrators are shown."""

import os
import random
import subprocess

from hv.case import Case, NOBODY, wait_for

OTHER, THIRD = 1234, 1235
GROUP = 4321
# Others on this machine run these tests too.
FIRST = random.randrange(0x10010000, 0x1FFF0000)
LAST = FIRST + 9


def delegation(users=f"{OTHER}", names="p-*", ports=f"{FIRST}-{LAST}"):
    return f'  - {{users: [{users}], names: "{names}"{f", ports: {ports}" if ports else ""}}}\n'


class Rights(Case):
    def setUp(self):
        super().setUp()
        if os.getuid() != 0:
            self.skipTest("becomes other users: needs root")

    def begin(self, delegations="", settings=""):
        self.d = self.daemon(settings=("delegations:\n" + delegations if delegations else "") + settings)
        self.c = self.client(self.d)

    def call(self, uid, method, parameters=None, groups=(), **fields):
        def run():
            with self.d.client() as client:
                return client.call(method, parameters, **fields)

        return self.as_user(uid, run, groups)

    def denied(self, uid, method, word, **fields):
        with self.refuses("NotAllowed") as caught:
            self.call(uid, method, **fields)
        self.assertIn(word, caught.exception.parameters["reason"])

    def limited(self, uid, limit, method, **fields):
        with self.refuses("LimitReached", limit=limit):
            self.call(uid, method, **fields)

    def auto(self, uid, name, **fields):
        """The port that a service with autoPort is given."""
        service = {"name": name, "autoPort": True, **fields}
        return self.call(uid, "Register", service=service)["service"]["context"]["port"]

    # ---- autoPort ----

    def test_auto_port_of_a_delegate(self):
        """Comes out of the delegation, stays with the name, and ends where the delegation does."""
        self.begin(delegation())
        ports = [self.auto(OTHER, f"p-{i}") for i in range(10)]
        self.assertEqual(sorted(ports), list(range(FIRST, LAST + 1)))
        self.limited(OTHER, "autoPorts", "Register", service={"name": "p-10", "autoPort": True})
        # Its name's again, also where others have gone.
        for i in (3, 4):
            self.call(OTHER, "Unregister", name=f"p-{i}")
        self.assertEqual(self.auto(OTHER, "p-4"), ports[4])
        # One whose name is gone is another's in the end.
        self.assertEqual(self.auto(OTHER, "p-11"), ports[3])
        self.c.close()
        self.d.restart()
        self.c = self.client(self.d)
        self.assertEqual(self.c.call("Describe", name="p-11")["service"]["context"]["port"], ports[3])
        first, last = map(int, self.d.auto_ports.split("-"))
        self.assertIn(self.auto(0, "p-root"), range(first, last + 1))

    def test_auto_port_of_a_name_that_others_had(self):
        """A port that the name had from an administrator is no delegate's."""
        self.begin(delegation())
        self.auto(0, "p-a")
        self.call(0, "Unregister", name="p-a")
        self.assertEqual(self.auto(OTHER, "p-a"), FIRST)

    def test_auto_ports_of_several_delegations(self):
        self.begin(
            delegation(ports=f"{FIRST}-{FIRST}")
            + delegation(users=f"{OTHER}-{THIRD}", ports=f"{FIRST + 20}-{FIRST + 20}")
            + delegation(users=OTHER, names="q-*", ports=f"{FIRST + 30}-{FIRST + 39}")
            + delegation(users=OTHER, names="n-*", ports=None)
        )
        self.assertEqual([self.auto(OTHER, "p-a"), self.auto(OTHER, "p-b")], [FIRST, FIRST + 20])
        self.assertEqual(self.auto(OTHER, "q-a"), FIRST + 30)
        self.limited(THIRD, "autoPorts", "Register", service={"name": "p-c", "autoPort": True})
        self.denied(OTHER, "Register", "has no ports", service={"name": "n-a", "autoPort": True})
        self.denied(OTHER, "Register", "does not have the name", service={"name": "x", "autoPort": True})
        self.denied(NOBODY, "Register", "delegations", service={"name": "p-x", "autoPort": True})

    def test_auto_port_applied(self):
        self.begin(delegation())
        services = [{"name": f"p-{i}", "autoPort": True} for i in range(10)]
        self.call(OTHER, "Apply", services=services[:9])
        self.assertEqual({s["context"]["port"] for s in self.c.list()}, set(range(FIRST, FIRST + 9)))
        self.assertEqual(self.call(OTHER, "Apply", services=services[:9])["changes"], [])
        more = {"name": "p-x", "autoPort": True}
        self.limited(OTHER, "autoPorts", "Apply", services=[*services, more])
        self.assertEqual(len(self.c.list()), 9)
        # What was only tried keeps no port.
        self.call(OTHER, "Apply", services=[more])

    # ---- what they may not ----

    def test_activation_as_others(self):
        """In Register and in Apply: only as oneself."""
        self.begin(delegation())
        port = FIRST
        for word, more in (
            ("activate.user", {"user": "root"}),
            ("activate.user", {"user": "0"}),
            ("activate.user", {"user": str(THIRD)}),
            ("activate.groups", {"groups": ["root"]}),
            ("activate.groups", {"groups": [str(OTHER), "adm"]}),
            ("activate.limits", {"limits": {"NOFILE": "1000000"}}),
        ):
            service = {
                "name": "p-a",
                "port": port,
                "activate": {"mode": "accept", "exec": ["/bin/cat"], **more},
            }
            with self.subTest(more=more):
                self.denied(OTHER, "Register", word, service=service)
                self.denied(OTHER, "Apply", word, services=[service])
        unit = {"name": "p-a", "port": port, "activate": {"mode": "wait", "unit": "a.service"}}
        self.denied(OTHER, "Register", "activate.unit", service=unit)
        for own in ({"user": str(OTHER)}, {"groups": [str(OTHER), str(GROUP)]}):
            service = {"name": "p-a", "port": port, "activate": {"mode": "accept", "exec": ["/bin/cat"], **own}}
            self.call(OTHER, "Register", service=service, groups=[GROUP])
            self.call(OTHER, "Unregister", name="p-a")
        self.assertEqual(self.c.list(), [])

    def test_paths_and_owners(self):
        """The keeper would make them with rights that a delegate has not."""
        self.begin(delegation())
        for uri in ("unix:///etc/passwd.sock", "hybrid:///run/v.sock", "hyperkit:///run"):
            self.denied(OTHER, "Register", "administrators", service={"name": "p-a", "port": FIRST, "listen": [uri]})
        for socket in ({"user": "root"}, {"group": "root"}):
            service = {"name": "p-a", "port": FIRST, "listen": ["machine:*"], "socket": socket}
            self.denied(OTHER, "Register", "socket.", service=service)
        self.call(OTHER, "Register", service={"name": "p-a", "port": FIRST, "listen": ["machine:*"]})

    def test_guids_of_others(self):
        """No delegation names GUIDs: machine:NAME of one does not take a machine from another's machine:*, as a port's would."""
        self.begin(delegation(), f"administrators: {{users: [{THIRD}]}}\n")
        guid = "999e53d4-3d5c-4c3e-8779-bed06ec056e1"
        for name in ("web1", "web2"):
            (self.d.folder / name).mkdir()
            self.c.call("AddMachine", machine={"name": name, "hybrid": f"{self.d.folder}/{name}/v.sock"})
        self.c.call("Register", service={"name": "session", "guid": guid, "listen": ["machine:*"]})
        mine = {"name": "p-session", "guid": guid, "listen": ["machine:web1"]}
        for method, fields in (("Register", {"service": mine}), ("Apply", {"services": [mine]})):
            with self.subTest(method=method), self.refuses("Conflict", value="machine:web1", holder="session"):
                self.call(OTHER, method, **fields)
        self.call(OTHER, "Register", service={**mine, "enabled": False})
        with self.refuses("Conflict", value="machine:web1", holder="session"):
            self.call(OTHER, "SetEnabled", name="p-session", enabled=True)
        self.assertEqual(len(self.c.call("Describe", name="session")["service"]["runtime"]["listeners"]), 2)
        # Whoever may change everything may do that too, ...
        self.call(THIRD, "Register", service={**mine, "name": "third"})
        self.c.call("Unregister", name="third")
        # ... and a delegate with what is its own, was its first, or has a port of its.
        self.c.call("Unregister", name="session")
        self.call(OTHER, "SetEnabled", name="p-session", enabled=True)
        self.call(OTHER, "Register", service={"name": "p-all", "guid": guid, "listen": ["machine:*"]})
        self.call(OTHER, "Unregister", name="p-session")
        self.call(OTHER, "Apply", services=[mine])
        self.call(OTHER, "Unregister", name="p-all")
        self.c.call("Register", service={"name": "session", "guid": guid, "listen": ["machine:*"]})
        self.call(OTHER, "Apply", services=[{**mine, "elementName": "Session"}])
        self.c.call("Register", service={"name": "port", "port": FIRST, "listen": ["machine:*"]})
        self.call(OTHER, "Register", service={"name": "p-port", "port": FIRST, "listen": ["machine:web1"]})

    def test_services_of_others(self):
        """A delegate takes what its names and ports are, whoever's, and changes its own; nothing else is its."""
        self.begin(delegation(users=f"{OTHER}, {THIRD}"))
        outside = self.d.port()
        self.c.call("Register", service={"name": "x", "port": self.d.port()})
        self.c.call("Register", service={"name": "p-outside", "port": outside})
        self.d.file("one", f"services: [{{name: p-file, port: {FIRST + 5}}}]")
        self.c.call("Reload")
        self.call(THIRD, "Register", service={"name": "p-third", "port": FIRST + 1})
        for name in ("x", "p-outside"):
            for method, fields in (
                ("Acquire", {"names": [name]}),
                ("Serve", {"name": name}),
                ("Unregister", {"name": name}),
                ("SetEnabled", {"name": name, "enabled": False}),
            ):
                with self.subTest(name=name, method=method):
                    self.denied(OTHER, method, "", **fields)
        self.call(OTHER, "Acquire", names=["p-third", "p-file"])
        self.call(OTHER, "Serve", name="p-third")
        # One that is not its, and one that is: neither.
        self.denied(OTHER, "Acquire", "", names=["p-third", "x"])
        for name in ("p-third", "p-file"):
            self.denied(OTHER, "SetEnabled", "another's", name=name, enabled=False)
        self.denied(OTHER, "Unregister", "another's", name="p-third")
        with self.refuses("Declared"):
            self.call(OTHER, "Unregister", name="p-file")
        # Neither is it theirs to replace, by another set or by the same name.
        with self.refuses("Conflict"):
            self.call(OTHER, "Apply", services=[{"name": "p-third", "port": FIRST + 2}])
        with self.refuses("Conflict"):
            self.call(OTHER, "Register", service={"name": "p-third", "port": FIRST + 2})
        self.denied(OTHER, "Apply", "machines are", services=[], machines=[{"name": "web1", "cid": 4711}])
        # hvsockctl names it once.
        told = self.as_user(OTHER, lambda: self.d.ctl("unregister", "p-third", expect=3).stderr)
        self.assertRegex(told, "^hvsockctl: p-third: not allowed: .*another's")
        for method, fields in (("Reload", {}), ("RemoveMachine", {"name": "web1"})):
            error = self.as_user(OTHER, lambda: self.refusal(method, fields))
            self.assertIn(error, ("NotAllowed", "NoSuchMachine"))

    def refusal(self, method, fields):
        with self.d.client() as client:
            return client.refused(method, fields).short

    def test_delegation_that_goes(self):
        """What was registered stays; who is no delegate any more changes nothing, not even its own."""
        self.begin(delegation())
        self.call(OTHER, "Register", service={"name": "p-a", "port": FIRST})
        self.d.settings("")
        self.c.call("Reload")
        self.assertEqual(self.state(self.c, "p-a"), "listening")
        self.denied(OTHER, "Unregister", "delegations", name="p-a")
        self.denied(OTHER, "Acquire", "names neither", names=["p-a"])

    # ---- limits ----

    def test_services_per_user(self):
        """Registered and applied ones together; what goes makes room; others, and administrators, are not concerned."""
        self.begin(delegation(users=f"{OTHER}, {THIRD}"), "limits: {servicesPerUser: 3}\n")

        def services(*numbers):
            return [{"name": f"p-{number}", "port": FIRST + number} for number in numbers]

        self.call(OTHER, "Register", service=services(0)[0])
        self.limited(OTHER, "servicesPerUser", "Apply", services=services(1, 2, 3))
        self.call(OTHER, "Apply", services=services(1), set="one")
        self.call(OTHER, "Apply", services=services(2), set="two")
        self.limited(OTHER, "servicesPerUser", "Register", service=services(3)[0])
        self.limited(OTHER, "servicesPerUser", "Apply", services=services(3), set="three")
        # At its limit it may still change, and exchange, what it has.
        self.call(OTHER, "Apply", services=[{**services(1)[0], "elementName": "One"}], set="one")
        self.call(OTHER, "Apply", services=services(3), set="one", prune=True)
        self.assertEqual({s["context"]["name"] for s in self.c.list()}, {"p-0", "p-2", "p-3"})
        self.limited(OTHER, "servicesPerUser", "Apply", services=services(3, 4), set="one", prune=True)
        self.call(THIRD, "Register", service=services(5)[0])
        for number in range(5):
            self.c.call("Register", service={"name": f"r-{number}", "port": self.d.port()})
        self.call(OTHER, "Unregister", name="p-0")
        self.call(OTHER, "Register", service=services(6)[0])

    def test_services_in_all(self):
        self.begin(settings="limits: {services: 2}\n")
        services = [{"name": f"s-{number}", "port": self.d.port()} for number in range(3)]
        self.limited(0, "services", "Apply", services=services)
        self.call(0, "Apply", services=services[:2])
        self.limited(0, "services", "Register", service=services[2])
        self.call(0, "Apply", services=[{**services[0], "elementName": "S"}])
        self.call(0, "Apply", services=[services[2], services[0]], prune=True)

    def test_machines_in_all(self):
        self.begin(settings="limits: {machines: 1}\n")
        self.c.call("AddMachine", machine={"name": "web1", "cid": 4711})
        self.limited(0, "machines", "AddMachine", machine={"name": "web2", "cid": 4712})
        self.limited(0, "machines", "Apply", services=[], machines=[{"name": "web2", "cid": 4712}])
        self.c.call("AddMachine", machine={"name": "web1", "cid": 4713})
        self.c.call("RemoveMachine", name="web1")
        self.c.call("AddMachine", machine={"name": "web2", "cid": 4712})

    def test_machines_per_user(self):
        """Of each administrator, root too; added and applied ones together; what goes, or ends, makes room."""
        self.begin(settings=f"administrators: {{users: [{OTHER}, {THIRD}]}}\nlimits: {{machinesPerUser: 2}}\n")

        def machine(number):
            return {"name": f"web{number}", "cid": 4000 + number}

        for uid in (OTHER, 0):
            base = 10 * (uid + 1)
            self.call(uid, "AddMachine", machine=machine(base))
            self.limited(uid, "machinesPerUser", "Apply", services=[], machines=[machine(base + 1), machine(base + 2)])
            self.call(uid, "Apply", services=[], machines=[machine(base + 1)], set=f"of-{uid}")
            self.limited(uid, "machinesPerUser", "AddMachine", machine=machine(base + 2))
            self.limited(uid, "machinesPerUser", "Apply", services=[], machines=[machine(base + 2)], set=f"of-{uid}-too")
            # At its limit it may still change, and exchange, what it has.
            self.call(uid, "AddMachine", machine={**machine(base), "labels": {"a": "b"}})
            self.call(uid, "Apply", services=[], machines=[machine(base + 2)], set=f"of-{uid}", prune=True)
            self.call(uid, "RemoveMachine", name=f"web{base}")
        self.assertEqual(len(self.c.list("ListMachines", "machine")), 2)

        def ends_with_a_process():
            sleeper = subprocess.Popen(["sleep", "1000"])
            with self.d.client() as client:
                client.call("AddMachine", {"machine": machine(1), "ephemeralProcessId": sleeper.pid})
                refused = client.refused("AddMachine", {"machine": machine(2)}).short
                sleeper.kill()
                sleeper.wait()
                wait_for(lambda: all(m["context"]["name"] != "web1" for m in client.list("ListMachines", "machine")), 20)
                client.call("AddMachine", {"machine": machine(2)})
                client.call("RemoveMachine", name="web2")
            return refused

        self.assertEqual(self.as_user(OTHER, ends_with_a_process), "LimitReached")
        self.call(THIRD, "AddMachine", machine=machine(9))

    def test_connections_per_user(self):
        """One more is closed at once; who leaves makes room; others are not concerned."""
        self.begin(settings="limits: {connectionsPerUser: 3}\n")

        def run():
            clients = [self.d.client() for _ in range(3)]
            try:
                for client in clients:
                    client.call("Status")
                try:
                    with self.d.client() as one_more:
                        one_more.call("Status")
                    return "one more was served"
                except (OSError, EOFError, AssertionError, Exception) as error:  # noqa: however it is closed
                    refused = type(error).__name__
                clients.pop().close()

                def again():
                    try:
                        with self.d.client() as client:
                            return bool(client.call("Status"))
                    except Exception:  # noqa
                        return False

                wait_for(again, 5)
                return refused
            finally:
                for client in clients:
                    client.close()

        self.assertIn(self.as_user(OTHER, run), ("Hungup", "ConnectionResetError", "BrokenPipeError"))
        self.call(THIRD, "Status")

    def test_leases_per_user(self):
        """In all processes of the uid; one that ends makes room, one service taken twice is one."""
        self.begin(settings="limits: {leasesPerUser: 2}\n")
        for number in range(3):
            service = {"name": f"s{number}", "port": self.d.port(), "handout": {"users": [str(OTHER), str(THIRD)]}}
            self.c.call("Register", service=service)

        def run():
            with self.d.client() as client:
                client.call("Acquire", names=["s0"])
                client.call("Acquire", names=["s0"])
                # Neither of two where there is room for one.
                first = client.refused("Acquire", names=["s1", "s2"]).short
                client.call("Acquire", names=["s1"])
                return [first, client.refused("Acquire", names=["s2"]).short]

        self.assertEqual(self.as_user(OTHER, run), ["LimitReached"] * 2)
        self.wait_state(self.c, "s0", "listening")
        self.assertEqual(self.as_user(OTHER, run), ["LimitReached"] * 2)
        self.call(THIRD, "Acquire", names=["s2"])

    # ---- what is shown ----

    def test_environment(self):
        """Of programs: to administrators alone, whoever registered it and however it is asked for."""
        self.begin(delegation(), f"administrators: {{groups: [{GROUP}]}}\n")
        activate = {"mode": "accept", "exec": ["/bin/cat"], "environment": {"TOKEN": "secret"}}
        service = {"name": "p-a", "port": FIRST, "activate": activate, "handout": {"socket": True}}
        self.assertNotIn("secret", str(self.call(OTHER, "Register", service=service)))
        for uid, groups, shown in ((OTHER, (), False), (NOBODY, (), False), (NOBODY, (GROUP,), True), (0, (), True)):

            def run():
                with self.d.client() as client:
                    return [
                        str(client.call("Describe", name="p-a")),
                        str(client.list()),
                        str(client.call("Lookup", name="p-a")),
                    ]

            for text in self.as_user(uid, run, groups):
                self.assertEqual("secret" in text, shown, (uid, groups, text))

            def through_entry():
                with self.d.client(self.d.runtime / "handout" / "p-a") as client:
                    return str(client.call("Describe", name="p-a"))

            self.assertNotIn("secret", self.as_user(uid, through_entry, groups))
            for words in (("show", "p-a", "--json"), ("list", "--json"), ("show", "p-a")):
                done = self.as_user(uid, lambda: self.d.ctl(*words).stdout, groups)
                self.assertEqual("secret" in done, shown, (uid, words, done))
