# SPDX-License-Identifier: Apache-2.0
"""Who may what: by the kernel's credentials, tried as another user."""

import os
import random

from hv.case import Case, NOBODY, wait_for

OTHER = 1234
GROUP = 4321


class Access(Case):
    def setUp(self):
        super().setUp()
        if os.getuid() != 0:
            self.skipTest("becomes other users: needs root")

    def begin(self, settings="", **options):
        self.d = self.daemon(settings=settings, **options)
        self.c = self.client(self.d)

    def call(self, uid, method, parameters=None, path=None, groups=(), **fields):
        def run():
            with self.d.client(path) as client:
                return client.call(method, parameters, **fields)

        return self.as_user(uid, run, groups)

    def allowed(self, uid, method, parameters=None, path=None, groups=(), **fields):
        return self.call(uid, method, parameters, path, groups, **fields)

    def denied(self, uid, method, parameters=None, path=None, groups=(), **fields):
        with self.refuses("NotAllowed") as caught:
            self.call(uid, method, parameters, path, groups, **fields)
        self.assertTrue(caught.exception.parameters["reason"])

    def test_anybody(self):
        """Who reaches the socket reads context and state, without environment; nothing else."""
        self.begin()
        service = {
            "name": "a",
            "port": self.d.port(),
            "activate": {"mode": "accept", "exec": ["/bin/cat"], "environment": {"SECRET": "x"}},
        }
        self.c.call("Register", service=service)
        self.c.call("AddMachine", machine={"name": "web1", "cid": 4711})
        shown = self.allowed(NOBODY, "Describe", name="a")["service"]
        self.assertNotIn("SECRET", str(shown))
        self.assertIn("SECRET", str(self.c.call("Describe", name="a")["service"]))
        self.assertNotIn("SECRET", str(self.allowed(NOBODY, "List")))
        self.assertNotIn("SECRET", str(self.allowed(NOBODY, "Lookup", name="a")))
        self.allowed(NOBODY, "Status")
        self.allowed(NOBODY, "ListMachines")
        self.allowed(NOBODY, "org.varlink.service.GetInfo")
        other = {"name": "b", "port": self.d.port()}
        for method, parameters in (
            ("Register", {"service": other}),
            ("Unregister", {"name": "a"}),
            ("SetEnabled", {"name": "a", "enabled": False}),
            ("Apply", {"services": [other]}),
            ("AddMachine", {"machine": {"name": "web2", "cid": 4712}}),
            ("RemoveMachine", {"name": "web1"}),
            ("Reload", {}),
            ("Acquire", {"names": ["a"]}),
        ):
            with self.subTest(method=method):
                self.denied(NOBODY, method, parameters)
        self.assertEqual(len(self.c.list()), 1)

    def test_rights_before_parameters(self):
        """Who may not is told so, and learns nothing from what its parameters would have met."""
        self.begin()
        self.c.call("Register", service={"name": "a", "port": self.d.port()})
        self.denied(NOBODY, "Register", {"service": {"name": "a", "port": self.d.port()}})
        self.denied(NOBODY, "Reload")

    def test_own_user(self):
        """The user that the daemon runs as, and root."""
        self.begin(uid=NOBODY)
        self.allowed(NOBODY, "Register", service={"name": "a", "port": self.d.port()})
        self.assertEqual(self.c.call("Describe", name="a")["service"]["runtime"]["origin"], f"user:{NOBODY}")
        self.c.call("Register", service={"name": "b", "port": self.d.port()})
        self.denied(OTHER, "Register", service={"name": "c", "port": self.d.port()})
        self.allowed(NOBODY, "Unregister", name="b")

    def test_administrators(self):
        self.begin(f"administrators: {{users: [{OTHER}], groups: [{GROUP}]}}\n")
        self.allowed(OTHER, "Register", service={"name": "a", "port": self.d.port()})
        self.denied(NOBODY, "Unregister", name="a")
        # A supplementary group counts.
        self.allowed(NOBODY, "Unregister", name="a", groups=[GROUP])
        self.allowed(NOBODY, "AddMachine", machine={"name": "web1", "cid": 4711}, groups=[GROUP])
        self.allowed(OTHER, "Reload")

    def test_delegation(self):
        first = random.randrange(0x10010000, 0x1FFF0000)
        self.begin(
            f'delegations:\n  - {{users: [{OTHER}, 100000-165535], names: "podman-*", ports: {first}-{first + 99}}}\n'
            f'  - {{groups: [{GROUP}], names: "g-*"}}\n'
        )
        for uid in (OTHER, 100000, 165535):
            self.allowed(uid, "Register", service={"name": f"podman-{uid}", "port": first + uid % 7})
            self.allowed(uid, "Acquire", names=[f"podman-{uid}"])
        self.denied(165536, "Register", service={"name": "podman-x", "port": first + 50})
        self.denied(OTHER, "Register", service={"name": "other", "port": first + 50})
        self.denied(OTHER, "Register", service={"name": "podman-x", "port": first + 100})
        self.denied(OTHER, "Register", service={"name": "podman-x", "port": self.d.port()})
        self.denied(OTHER, "AddMachine", machine={"name": "web1", "cid": 4711})
        self.denied(OTHER, "Reload")
        # What they own they change; what others own, though the name fits, they do not.
        self.allowed(OTHER, "SetEnabled", name=f"podman-{OTHER}", enabled=False)
        self.allowed(OTHER, "SetEnabled", name=f"podman-{OTHER}", enabled=True)
        self.denied(OTHER, "SetEnabled", name="podman-100000", enabled=False)
        self.denied(OTHER, "Unregister", name="podman-100000")
        self.c.call("Register", service={"name": "podman-root", "port": first + 60})
        self.denied(OTHER, "Unregister", name="podman-root")
        # Activation only as themselves.
        activate = {"mode": "accept", "exec": ["/bin/cat"]}
        self.denied(
            OTHER,
            "Register",
            service={"name": "podman-y", "port": first + 51, "activate": {**activate, "user": "root"}},
        )
        self.allowed(OTHER, "Register", service={"name": "podman-y", "port": first + 51, "activate": activate})
        # Without ports, only services without one; the group counts.
        self.denied(NOBODY, "Register", service={"name": "g-a", "port": first}, groups=[GROUP])
        self.allowed(
            NOBODY, "Register", service={"name": "g-a", "guid": "999e53d4-3d5c-4c3e-8779-bed06ec056e2"}, groups=[GROUP]
        )
        # Apply, and a set is its uid's.
        self.allowed(OTHER, "Apply", {"services": [{"name": "podman-z", "port": first + 52}], "set": "mine"})
        self.denied(100000, "Apply", {"services": [{"name": "podman-w", "port": first + 53}], "set": "mine"})
        self.denied(
            OTHER,
            "Apply",
            {
                "services": [{"name": "podman-v", "port": first + 54}, {"name": "other", "port": first + 55}],
                "set": "mine",
            },
        )
        self.assertNotIn("podman-v", {s["context"]["name"] for s in self.c.list()})
        self.allowed(OTHER, "Unregister", name=f"podman-{OTHER}")

    def test_handout(self):
        self.begin()
        self.c.call(
            "Register",
            service={"name": "a", "port": self.d.port(), "handout": {"users": [str(OTHER)], "groups": [str(GROUP)]}},
        )
        self.allowed(OTHER, "Acquire", names=["a"])
        self.allowed(NOBODY, "Acquire", names=["a"], groups=[GROUP])
        self.denied(NOBODY, "Acquire", names=["a"])
        self.denied(OTHER, "SetEnabled", name="a", enabled=False)
        self.c.call("Register", service={"name": "b", "port": self.d.port()})
        self.denied(OTHER, "Acquire", names=["a", "b"])

    def test_handout_socket(self):
        """An entry to one service alone, which can be mounted into a container."""
        self.begin()
        entry = self.d.runtime / "handout" / "a"
        port = self.d.port()
        service = {"name": "a", "port": port, "handout": {"users": [str(OTHER)], "socket": True}}
        self.c.call("Register", service=service)
        self.c.call("Register", service={"name": "b", "port": self.d.port(), "handout": {"users": [str(OTHER)]}})
        wait_for(entry.exists)
        self.c.call("Status")  # and it is done with it
        self.assertEqual(entry.stat().st_mode & 0o777, 0o666)
        self.allowed(OTHER, "Acquire", names=["a"], path=entry)
        self.denied(NOBODY, "Acquire", names=["a"], path=entry)
        self.assertEqual(self.allowed(OTHER, "Describe", name="a", path=entry)["service"]["context"]["port"], port)
        self.allowed(OTHER, "Lookup", port=port, path=entry)
        self.allowed(OTHER, "org.varlink.service.GetInfo", path=entry)
        # Nothing of others, and nothing else, for root neither.
        for uid in (OTHER, 0):
            for method, parameters in (
                ("Acquire", {"names": ["b"]}),
                ("Acquire", {"names": ["a", "b"]}),
                ("Describe", {"name": "b"}),
                ("Lookup", {"name": "b"}),
                ("List", {}),
                ("Status", {}),
                ("Reload", {}),
                ("Unregister", {"name": "a"}),
                ("Register", {"service": {"name": "c", "port": self.d.port()}}),
                ("Watch", {}),
            ):
                with self.subTest(uid=uid, method=method, parameters=parameters):

                    def run():
                        with self.d.client(entry) as client:
                            error = client.refused(method, parameters)
                            return error.short

                    self.assertIn(
                        self.as_user(uid, run), ("NotAllowed", "NoSuchService", "MethodNotFound", "PermissionDenied")
                    )
        # It is there after a restart, and goes with the service.
        self.c.close()
        self.d.restart()
        self.c = self.client(self.d)
        self.allowed(OTHER, "Acquire", names=["a"], path=entry)
        self.c.call("Unregister", name="a")
        wait_for(lambda: not entry.exists(), 5)

    def test_ctl_as_another(self):
        self.begin()
        self.c.call("Register", service={"name": "a", "port": self.d.port()})

        def run():
            done = self.d.ctl("unregister", "a", expect=3)
            return done.stderr

        self.assertIn("not allowed", self.as_user(NOBODY, run).lower())
        self.assertIn('"a"', self.as_user(NOBODY, lambda: self.d.ctl("list", "--json").stdout))

    def test_socket_is_for_all(self):
        self.begin()
        self.assertEqual(self.d.socket.stat().st_mode & 0o777, 0o666)
        # What is not for others to see is not.
        self.assertFalse((self.d.state / "registry.db").stat().st_mode & 0o077)

    def test_limit_of_services(self):
        first = random.randrange(0x10010000, 0x1FFF0000)
        self.begin(
            f'delegations:\n  - {{users: [{OTHER}], names: "p-*", ports: {first}-{first + 99}}}\n'
            "limits: {servicesPerUser: 3}\n"
        )
        for i in range(3):
            self.allowed(OTHER, "Register", service={"name": f"p-{i}", "port": first + i})
        with self.refuses("LimitReached", limit="servicesPerUser", value=3):
            self.call(OTHER, "Register", service={"name": "p-3", "port": first + 3})
        for i in range(5):
            self.c.call("Register", service={"name": f"r-{i}", "port": self.d.port()})

        # Apply is no way around it; replacing counts for nothing.
        services = [{"name": f"p-{i}", "port": first + i} for i in range(10, 12)]
        with self.refuses("LimitReached", limit="servicesPerUser", value=3):
            self.call(OTHER, "Apply", services=services)
        for name in ("p-0", "p-1"):
            self.allowed(OTHER, "Unregister", name=name)
        self.allowed(OTHER, "Apply", services=services)
        self.allowed(OTHER, "Apply", services=[{**service, "backlog": 1} for service in services])
        with self.refuses("LimitReached", limit="servicesPerUser", value=3):
            self.call(OTHER, "Apply", services=[{"name": "p-12", "port": first + 12}], set="another")
        self.allowed(OTHER, "Apply", services=[{"name": "p-12", "port": first + 12}, services[0]], prune=True)

    def test_auto_ports_of_a_delegation(self):
        """autoPort chooses what the delegation has, also for many at once, and nothing else."""
        self.begin()
        first = int(self.d.auto_ports.split("-")[0])
        self.d.settings(
            f'delegations:\n  - {{users: [{OTHER}], names: "p-*", ports: {first + 5}-{first + 6}}}\n'
            f'  - {{users: [{OTHER}], names: "q-*", ports: {first - 10}-{first - 1}}}\n'
        )
        self.c.call("Reload")
        self.assertEqual(self.c.call("Register", service={"name": "p-0", "autoPort": True})["service"]["context"]["port"], first)
        self.c.call("Unregister", name="p-0")
        # Also where autoPorts has none of them.
        outside = self.allowed(OTHER, "Register", service={"name": "q-a", "autoPort": True})["service"]
        self.assertEqual(outside["context"]["port"], first - 10)
        self.allowed(OTHER, "Unregister", name="q-a")
        services = [{"name": f"p-{i}", "autoPort": True} for i in range(3)]
        with self.refuses("LimitReached", limit="autoPorts"):
            self.call(OTHER, "Apply", services=services)
        self.assertEqual(self.c.list(), [])
        self.allowed(OTHER, "Apply", services=services[:2])
        self.assertEqual([s["context"]["port"] for s in self.c.list()], [first + 5, first + 6])

    def test_limit_of_leases(self):
        self.begin("limits: {leasesPerUser: 2}\n")
        for i in range(3):
            self.c.call(
                "Register", service={"name": f"s{i}", "port": self.d.port(), "handout": {"users": [str(OTHER)]}}
            )

        def run():
            with self.d.client() as client:
                client.call("Acquire", names=["s0"])
                client.call("Acquire", names=["s1"])
                client.call("Acquire", names=["s0", "s1"])
                return client.refused("Acquire", names=["s2"]).short

        self.assertEqual(self.as_user(OTHER, run), "LimitReached")
