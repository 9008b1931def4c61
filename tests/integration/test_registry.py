# SPDX-License-Identifier: Apache-2.0
"""Registering, looking up, conflicts, ports that are chosen, services that end with a process, overrides."""

import contextlib
import os
import socket
import subprocess
import time

from hv.case import Case, Varlink, wait_for

GUID_TAIL = "-facb-11e6-bd58-64006a7986d3"


def guid_of(port):
    return f"{port:08x}{GUID_TAIL}"


class Registry(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon()
        self.c = self.client(self.d)

    def register(self, name, ephemeral=None, **fields):
        parameters = {"service": {"name": name, **fields}}
        if ephemeral is not None:
            parameters["ephemeralProcessId"] = ephemeral
        return self.c.call("Register", parameters)["service"]

    def test_register(self):
        port = self.d.port()
        service = self.register("guest-log", port=port, elementName="Guest log \u00e4")
        context, runtime = service["context"], service["runtime"]
        # A context is complete: every default is filled in.
        self.assertEqual(context["name"], "guest-log")
        self.assertEqual(context["elementName"], "Guest log \u00e4")
        self.assertEqual(context["port"], port)
        self.assertEqual(context["guid"], guid_of(port))
        self.assertEqual(context["type"], "stream")
        self.assertEqual(context["listen"], [f"vsock://:{port}"])
        self.assertIs(context["enabled"], True)
        self.assertEqual(runtime["origin"], f"user:{os.getuid()}")
        self.assertEqual(runtime["state"], "listening")
        self.assertEqual(
            [(l["address"], l["state"]) for l in runtime["listeners"]], [(f"vsock://:{port}", "listening")]
        )
        self.assertEqual(runtime["leases"], [])
        self.assertRegex(runtime["registeredAt"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
        self.assertNotIn("ephemeralProcessId", {k for k, v in runtime.items() if v is not None})

        self.assertEqual(self.c.call("Describe", name="guest-log")["service"], service)
        self.assertEqual(self.c.list(), [service])
        # What it gives back is valid input, and the same thing from the same owner changes nothing.
        again = self.c.call("Register", service=context)["service"]
        self.assertEqual(again, service)
        self.c.call("Unregister", name="guest-log")
        self.assertEqual(self.c.list(), [])
        with self.refuses("NoSuchService", name="guest-log"):
            self.c.call("Describe", name="guest-log")
        with self.refuses("NoSuchService", name="guest-log"):
            self.c.call("Unregister", name="guest-log")

    def test_defaults(self):
        context = self.register("plain", port=self.d.port())["context"]
        self.assertEqual(context["elementName"], "plain")
        context = self.register("other", guid="999E53D4-3D5C-4C3E-8779-BED06EC056E2")["context"]
        self.assertEqual(context["guid"], "999e53d4-3d5c-4c3e-8779-bed06ec056e2")
        self.assertEqual(context["listen"], [])
        self.assertNotIn("port", context)
        self.assertEqual(self.state(self.c, "other"), "registered")
        port = self.d.port()
        context = self.register("by-guid", guid="{" + guid_of(port).upper() + "}")["context"]
        self.assertEqual(
            (context["port"], context["guid"], context["listen"]), (port, guid_of(port), [f"vsock://:{port}"])
        )
        context = self.register("path", listen=[f"unix://{self.d.folder}/path.sock"])["context"]
        self.assertNotIn("port", context)
        self.assertNotIn("guid", context)

    def test_lookup(self):
        port = self.d.port()
        one = self.register("one", port=port)
        two = self.register("two", port=port, listen=[f"hybrid://{self.d.folder}/v.sock"])
        three = self.register("three", guid="999e53d4-3d5c-4c3e-8779-bed06ec056e2")
        self.assertEqual(self.c.call("Lookup", name="one")["service"], one)
        self.assertEqual(self.c.call("Lookup", guid="{999E53D4-3D5C-4C3E-8779-BED06EC056E2}")["service"], three)
        self.assertEqual(self.c.call("Lookup", address=f"vsock://:{port}")["service"], one)
        # Two services may have one port in different spaces.
        self.assertEqual(self.c.list("Lookup", port=port), [one, two])
        self.assertEqual(self.c.list("Lookup", guid=guid_of(port)), [one, two])
        self.assertEqual(self.c.refused("Lookup", port=port).name, "org.varlink.service.ExpectedMore")
        # As it is registered and listed, without its number: all that listen in that place. Hyper-V's address is the GUID.
        four = self.register("four", port=1, listen=[f"hybrid://{self.d.folder}/v.sock"])
        self.register("five", port=1, listen=[f"hybrid://{self.d.folder}/w.sock"])
        self.assertEqual(self.c.list("Lookup", address=f"hybrid://{self.d.folder}/v.sock"), [four, two])
        self.assertEqual(self.c.list("Lookup", address=f"hybrid://{self.d.folder}/v.sock:{port}"), [two])
        self.assertEqual(self.c.list("Lookup", address=f"hvsock:///{guid_of(port)}"), [one, two])
        # All of them must fit.
        criteria = {"address": f"hvsock:///{guid_of(port)}", "guid": guid_of(1)}
        self.assertEqual(self.c.refused("Lookup", criteria).short, "NoSuchService")
        self.assertEqual(self.c.call("Lookup", port=port, name="two")["service"], two)
        for criteria in (
            {"name": "none"},
            {"port": self.d.port()},
            {"name": "three", "port": port},
            {"guid": "999e53d4-3d5c-4c3e-8779-bed06ec056e3"},
            {"address": "unix:///nowhere"},
        ):
            self.assertEqual(self.c.refused("Lookup", criteria).short, "NoSuchService", criteria)
        self.assertEqual(self.c.refused("Lookup", {}).name, "org.varlink.service.InvalidParameter")
        for criteria in ({"guid": "x"}, {"address": "nothing"}, {"port": -1}, {"port": 1 << 32}):
            error = self.c.refused("Lookup", criteria)
            self.assertIn(
                error.name, ("org.varlink.service.InvalidParameter", "io.hvsock.Registry.InvalidField"), criteria
            )

    def test_conflicts(self):
        port = self.d.port()
        one = self.register("one", port=port)
        path = f"unix://{self.d.folder}/a.sock"
        self.register("path", listen=[path])
        since, origin = one["runtime"]["registeredAt"], one["runtime"]["origin"]
        with self.refuses("Conflict", field="port", value=str(port), holder="one", origin=origin, since=since):
            self.register("two", port=port)
        with self.refuses("Conflict", holder="one"):
            self.register("two", port=port, type="seqpacket")
        with self.refuses("Conflict", holder="path"):
            self.register("two", listen=[path])
        # A name that is there with something else in it.
        with self.refuses("Conflict", field="name", value="one", holder="one", origin=origin, since=since):
            self.register("one", port=self.d.port())
        # A disabled service conflicts with nothing but its name; enabling it may.
        self.register("two", port=port, enabled=False)
        with self.refuses("Conflict", holder="one"):
            self.c.call("SetEnabled", name="two", enabled=True)
        self.assertEqual(self.state(self.c, "two"), "disabled")
        self.c.call("SetEnabled", name="one", enabled=False)
        self.c.call("SetEnabled", name="two", enabled=True)
        self.assertEqual(self.state(self.c, "two"), "listening")
        with self.refuses("Conflict", holder="two"):
            self.c.call("SetEnabled", name="one", enabled=True)
        self.assertEqual({s["context"]["name"] for s in self.c.list()}, {"one", "two", "path"})

    def test_auto_port(self):
        first = self.register("first", autoPort=True)["context"]
        second = self.register("second", autoPort=True)["context"]
        low, high = map(int, self.d.auto_ports.split("-"))
        self.assertTrue(low <= first["port"] <= high)
        self.assertNotEqual(first["port"], second["port"])
        self.assertIs(first["autoPort"], True)
        self.assertEqual(first["listen"], [f"vsock://:{first['port']}"])
        # It stays with the name: over unregister and register, and over a restart.
        self.c.call("Unregister", name="first")
        third = self.register("third", autoPort=True)["context"]
        self.assertNotIn(third["port"], (first["port"], second["port"]))
        self.c.call("Unregister", name="third")
        self.c.close()
        self.d.restart()
        self.c = self.client(self.d)
        self.assertEqual(self.c.call("Describe", name="second")["service"]["context"]["port"], second["port"])
        self.assertEqual(self.register("first", autoPort=True)["context"]["port"], first["port"])
        self.assertEqual(self.register("third", autoPort=True)["context"]["port"], third["port"])
        # The same again is the same, in either form.
        self.assertEqual(self.register("first", autoPort=True)["context"], first)
        self.assertEqual(self.c.call("Register", service=first)["service"]["context"], first)

    def test_auto_ports_run_out(self):
        low = int(self.d.auto_ports.split("-")[0])
        self.d.settings("", auto_ports=f"{low}-{low + 2}")
        self.c.call("Reload")
        ports = {self.register(f"s{i}", autoPort=True)["context"]["port"] for i in range(3)}
        self.assertEqual(ports, {low, low + 1, low + 2})
        error = self.c.refused("Register", service={"name": "s3", "autoPort": True})
        self.assertIn(error.short, ("LimitReached", "Conflict", "InvalidField"))
        self.assertEqual(len(self.c.list()), 3)

    def test_auto_port_that_others_listen_on(self):
        """What a program that knows nothing of us has is not chosen; what a name has already stays its own."""
        first = int(self.d.auto_ports.split("-")[0])
        self.d.settings("", auto_ports=f"{first}-{first + 3}")
        self.c.call("Reload")
        with contextlib.ExitStack() as held:
            for port in (first, first + 1, first + 3):
                other = held.enter_context(socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM))
                other.bind((socket.VMADDR_CID_ANY, port))
                other.listen()
            service = self.register("a", autoPort=True)
            self.assertEqual((service["context"]["port"], service["runtime"]["state"]), (first + 2, "listening"))
            with self.refuses("LimitReached", limit="autoPorts", value=4):
                self.register("b", autoPort=True)
        self.assertEqual(self.register("b", autoPort=True)["context"]["port"], first + 3)
        self.c.call("Unregister", name="a")
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as other:
            other.bind((socket.VMADDR_CID_ANY, first + 2))
            service = self.register("a", autoPort=True)
            self.assertEqual((service["context"]["port"], service["runtime"]["state"]), (first + 2, "waiting"))
        self.wait_state(self.c, "a", "listening", 10)

    def test_auto_port_of_a_name_that_is_gone(self):
        """Where every port has a name, one whose name is gone is given to another: it stays with that one over a restart,
        and what is only tried gives nothing away."""
        first, last = (int(port) for port in self.d.auto_ports.split("-"))
        self.d.settings("", auto_ports=f"{first}-{first + 1}")
        self.c.call("Reload")

        def register(name):
            return self.c.call("Register", service={"name": name, "autoPort": True})["service"]["context"]["port"]

        self.assertEqual([register("a"), register("b")], [first, first + 1])
        with self.refuses("LimitReached", limit="autoPorts", value=2):
            register("c")
        self.c.call("Unregister", name="a")
        for parameters in ({"dryRun": True}, {}):
            with self.refuses("Conflict") if not parameters else contextlib.nullcontext():
                services = [{"name": "c", "autoPort": True}, {"name": "d", "port": first + 1 + len(parameters) * 50}]
                self.c.call("Apply", services=services, **parameters)
            self.assertEqual(register("a"), first)
            self.c.call("Unregister", name="a")
        self.assertEqual(register("c"), first)
        with self.refuses("LimitReached"):
            register("a")
        self.c.close()
        self.d.kill()
        self.d.start()
        self.c = self.client(self.d)
        self.assertEqual(self.c.call("Describe", name="c")["service"]["context"]["port"], first)
        self.assertEqual(self.state(self.c, "c"), "listening")

    def test_auto_port_beside_what_is_spelled_out(self):
        """Of what is given at once, the ports that are spelled out are not chosen for others."""
        first = int(self.d.auto_ports.split("-")[0])
        services = [{"name": "a", "autoPort": True}, {"name": "b", "port": first}, {"name": "c", "autoPort": True}]
        self.c.call("Apply", services=services)
        ports = {s["context"]["name"]: s["context"]["port"] for s in self.c.list()}
        self.assertEqual(ports, {"a": first + 1, "b": first, "c": first + 2})

    def test_ephemeral(self):
        sleeper = self.process(["sleep", "1000"])
        port = self.d.port()
        service = self.register("short", ephemeral=sleeper.pid, port=port)
        self.assertEqual(service["runtime"]["ephemeralProcessId"], sleeper.pid)
        self.register("long", port=self.d.port())
        self.d.restart()
        self.c = self.client(self.d)
        # It lives in RUNTIME: it outlives the daemon, not the process.
        self.assertEqual({s["context"]["name"] for s in self.c.list()}, {"short", "long"})
        sleeper.kill()
        sleeper.wait()
        wait_for(lambda: [s["context"]["name"] for s in self.c.list()] == ["long"], 5, "short is gone")
        self.register("next", port=port)
        # While the daemon is away, too.
        sleeper = self.process(["sleep", "1000"])
        self.register("short", ephemeral=sleeper.pid, port=self.d.port())
        self.d.kill()
        sleeper.kill()
        sleeper.wait()
        self.d.start()
        self.c = self.client(self.d)
        self.assertEqual({s["context"]["name"] for s in self.c.list()}, {"long", "next"})
        # A process that is not there.
        error = self.c.refused(
            "Register", {"service": {"name": "gone", "port": self.d.port()}, "ephemeralProcessId": sleeper.pid}
        )
        self.assertIn(error.short, ("InvalidField", "InvalidParameter"))
        for bad in (0, -1, 1 << 40):
            error = self.c.refused(
                "Register", {"service": {"name": "gone", "port": self.d.port()}, "ephemeralProcessId": bad}
            )
            self.assertIn(error.short, ("InvalidField", "InvalidParameter"), bad)
        self.assertEqual({s["context"]["name"] for s in self.c.list()}, {"long", "next"})

    def test_ephemeral_of_a_thread(self):
        """A thread has an id as processes have, and no end that could be waited for: refused, and nothing else is given up for it."""
        name = "import threading, time; t = threading.Thread(target=time.sleep, args=(1000,)); t.start(); print(t.native_id, flush=True)"
        process = self.python(name, stdout=subprocess.PIPE)
        thread = int(process.stdout.readline())
        log = len(self.d.log_text())
        for method, removal, field, record in (
            ("Register", "Unregister", "service", {"name": "x", "port": self.d.port()}),
            ("AddMachine", "RemoveMachine", "machine", {"name": "web1", "cid": 4711}),
        ):
            other = {"name": f"beside-{field}", "port": self.d.port()}
            with self.subTest(method=method), self.d.client() as client:
                # Staged in one turn, most often.
                client.send_bytes(
                    Varlink.encode("Register", {"service": other})
                    + Varlink.encode(method, {field: record, "ephemeralProcessId": thread})
                )
                self.assertEqual(client.receive()[0]["service"]["context"]["name"], other["name"])
                with self.refuses("InvalidField", field="ephemeralProcessId") as caught:
                    client.receive()
                self.assertIn("thread", caught.exception.parameters["reason"])
                client.call(method, {field: record, "ephemeralProcessId": process.pid})
                client.call(removal, name=record["name"])
        self.assertNotIn("error:", self.d.log_text()[log:])

    def test_enable(self):
        port = self.d.port()
        self.register("one", port=port)
        service = self.c.call("SetEnabled", name="one", enabled=False)["service"]
        self.assertEqual(service["runtime"]["state"], "disabled")
        self.assertIs(service["runtime"]["overridden"], True)
        self.assertEqual(service["runtime"]["listeners"], [])
        self.register("two", port=port)
        self.c.call("Unregister", name="two")
        self.c.close()
        self.d.restart()
        self.c = self.client(self.d)
        self.assertEqual(self.state(self.c, "one"), "disabled")
        service = self.c.call("SetEnabled", name="one", enabled=True)["service"]
        self.assertEqual(service["runtime"]["state"], "listening")
        with self.refuses("NoSuchService"):
            self.c.call("SetEnabled", name="none", enabled=True)

    def test_survives(self):
        self.register("one", port=self.d.port(), labels={"team": "infra"})
        self.register("two", port=self.d.port(), type="seqpacket", handout={"users": ["root"], "exclusive": True})
        before = self.c.list()
        for kill in (False, True):
            self.c.close()
            self.d.restart(kill=kill)
            self.c = self.client(self.d)
            self.assertEqual(self.c.list(), before)

    def test_watch(self):
        watcher = self.client(self.d)
        watcher.send("Watch", {}, more=True)
        seen = []

        def next_kind(*kinds):
            while True:
                reply, _, continues = watcher.receive()
                self.assertTrue(continues)
                event = reply.get("event")
                if event:
                    if seen:
                        self.assertGreater(event["sequence"], seen[-1]["sequence"])
                    seen.append(event)
                    if event["kind"] in kinds:
                        return event

        self.register("one", port=self.d.port())
        self.assertEqual(next_kind("registered")["service"], "one")
        self.c.call("SetEnabled", name="one", enabled=False)
        self.assertEqual(next_kind("disabled")["service"], "one")
        self.c.call("Unregister", name="one")
        self.assertEqual(next_kind("unregistered")["service"], "one")
        self.c.call("AddMachine", machine={"name": "web1", "cid": 4711})
        self.assertEqual(next_kind("machine-added")["machine"], "web1")
        # Without `more` one reply: the last event.
        self.assertEqual(self.c.call("Watch")["event"], seen[-1])

    def test_status(self):
        before = self.c.call("Status")
        self.assertEqual(before["processId"], self.d.pid)
        self.assertEqual(
            (before["services"], before["machines"], before["listeners"], before["leases"], before["errors"]),
            (0, 0, 0, 0, []),
        )
        self.register("one", port=self.d.port())
        self.register("two", guid="999e53d4-3d5c-4c3e-8779-bed06ec056e2")
        after = self.c.call("Status")
        self.assertEqual((after["services"], after["listeners"]), (2, 1))

    def test_boot_answers_after_plan(self):
        """The first call is answered after boot's plan has run."""
        for i in range(50):
            self.register(f"s{i}", port=self.d.port())
        self.c.close()
        self.d.terminate()
        self.d.start(wait=False)
        client = wait_for(lambda: self._connect())
        self.assertEqual({s["runtime"]["state"] for s in client.list()}, {"listening"})

    def _connect(self):
        try:
            return self.client(self.d)
        except OSError:
            return None

    def test_ctl(self):
        port = self.d.port()
        self.d.ctl("register", "one", "--port", port, "--element-name", "One")
        shown = self.d.ctl("show", "one", "--json").json()
        self.assertEqual(shown["context"]["port"], port)
        self.assertEqual([s["context"]["name"] for s in self.d.ctl("list", "--json").json()], ["one"])
        self.assertIn("one", self.d.ctl("list").stdout)
        for text in ("one", port, guid_of(port), f"vsock://:{port}"):
            self.assertEqual([s["context"]["name"] for s in self.d.ctl("who", text, "--json").json()], ["one"], text)
        self.d.ctl("who", self.d.port(), expect=1)
        refused = self.d.ctl("register", "two", "--port", port, expect=3)
        for word in ("one", str(port), f"user:{os.getuid()}"):
            self.assertIn(word, refused.stderr)
        self.assertEqual(refused.stderr.count("\n"), 1, refused.stderr)
        auto = self.d.ctl("register", "two", "--port", "auto", "--json").json()
        self.assertIsInstance((auto.get("service") or auto)["context"]["port"], int)
        self.d.ctl("disable", "two")
        self.assertEqual(self.d.ctl("show", "two", "--json").json()["runtime"]["state"], "disabled")
        self.d.ctl("enable", "two")
        self.d.ctl("unregister", "one", "two")
        self.assertEqual(self.d.ctl("list", "--json").json(), [])
        self.d.ctl("show", "one", expect=1)
        self.d.ctl("unregister", "one", expect=1)
        self.d.ctl("frobnicate", expect=2)
        self.d.ctl("--socket", "/nonexistent", "list", expect=4)
        self.d.ctl("list", "--socket", "/nonexistent", expect=4)

    def test_ctl_ephemeral(self):
        """The default is the caller's parent."""
        command = " ".join(self.d.ctl_command("register", "short", "--port", self.d.port(), "--ephemeral"))
        shell = self.process(
            ["sh", "-c", f"{command} >&2 && echo done && exec sleep 1000"],
            env=self.d.ctl_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.assertEqual(shell.stdout.readline(), "done\n")
        self.assertEqual(self.c.call("Describe", name="short")["service"]["runtime"]["ephemeralProcessId"], shell.pid)
        time.sleep(0.1)
        self.assertEqual(self.state(self.c, "short"), "listening")
        shell.kill()
        shell.wait()
        wait_for(lambda: not self.c.list(), 5, "short is gone")
