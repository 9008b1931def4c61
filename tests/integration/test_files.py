# SPDX-License-Identifier: Apache-2.0
"""Declared services: files, reload, a file that is bad, masks and order; the last good set."""

import json
import os
import signal
import subprocess
import uuid

from hv.case import NOBODY, Case, StartFailed, wait_for


class Files(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon(start=False)
        self.port, self.other = self.d.port(), self.d.port()

    def start(self):
        self.d.start()
        self.c = self.client(self.d)

    def names(self):
        return sorted(service["context"]["name"] for service in self.c.list())

    def inode(self, name):
        """Of all sockets of the daemon: a listener is the same one where its inode is."""
        self.c.call("Describe", name=name)
        return {target for target in self.d.fds().values() if target.startswith("socket:")}

    def test_declared(self):
        path = self.d.file(
            "10-a", f"services:\n  - name: guest-log\n    port: {self.port}\n    elementName: Guest log\n"
        )
        self.start()
        service = self.c.call("Describe", name="guest-log")["service"]
        self.assertEqual(service["context"]["elementName"], "Guest log")
        self.assertEqual(service["runtime"]["origin"], f"file:{path}")
        self.assertEqual(service["runtime"]["state"], "listening")
        # To be changed there; enable and disable work on all.
        with self.refuses("Declared", name="guest-log", origin=f"file:{path}"):
            self.c.call("Register", service=service["context"])
        with self.refuses("Declared", name="guest-log"):
            self.c.call("Unregister", name="guest-log")
        with self.refuses("Declared", name="guest-log"):
            self.c.call("Apply", services=[service["context"]])
        self.c.call("SetEnabled", name="guest-log", enabled=False)
        self.assertEqual(self.state(self.c, "guest-log"), "disabled")
        self.c.call("Reload")
        self.assertEqual(self.state(self.c, "guest-log"), "disabled")
        # The override lasts until the entry changes.
        self.d.file("10-a", f"services:\n  - name: guest-log\n    port: {self.port}\n    elementName: Another\n")
        self.c.call("Reload")
        self.assertEqual(self.state(self.c, "guest-log"), "listening")
        with self.refuses("Conflict", field="port", holder="guest-log", origin=f"file:{path}"):
            self.c.call("Register", service={"name": "other", "port": self.port})

    def test_declared_of_many(self):
        """Apply tells all that files declare, and hvsockctl where each stands in the file that was applied."""
        names = [f"s{i:03}" for i in range(120)]
        services = "".join(f"  - {{name: {name}, guid: 9a5b7b00-0000-4000-8000-{name[1:]:0>12}, listen: []}}\n" for name in names)
        path = self.d.file("a", f"services:\n{services}machines:\n  - {{name: web1, cid: 4711}}\n")
        self.start()
        applied = self.d.folder / "applied.yaml"
        applied.write_text(
            f"services:\n  - {{name: s000, port: {self.port}}}\n  - {{name: new, port: {self.other}, listen: []}}\n"
            f"  - {{name: s007, port: {self.other}, listen: []}}\nmachines:\n  - {{name: web1, cid: 4712}}\n"
        )
        told = self.d.ctl("apply", applied, expect=3).stderr
        for place, field, name in (("2:12", "services[0]", "s000"), ("4:12", "services[2]", "s007"), ("6:12", "machines[0]", "web1")):
            self.assertIn(f"{applied}:{place}: {field}.name: {name} is declared in a file (file:{path}); ", told)
        self.assertNotIn("new", told)
        with self.refuses("Declared", name="s000") as caught:
            self.c.call("Apply", services=[{"name": name, "guid": str(uuid.uuid4()), "listen": []} for name in names])
        self.assertEqual([other["name"] for other in caught.exception.parameters["others"]], names[1:100])
        self.assertEqual(self.names(), names, "nothing was changed")

    def test_reload(self):
        self.d.file("a", f"services:\n  - {{name: a, port: {self.port}}}\n")
        self.d.file("b", f"services:\n  - {{name: b, port: {self.other}}}\nmachines:\n  - {{name: web1, cid: 4711}}\n")
        self.start()
        self.assertEqual(self.names(), ["a", "b"])
        before = self.inode("a")
        self.assertEqual(self.c.call("Reload")["changes"], [])
        self.assertEqual(self.inode("a"), before)
        self.d.file("b", f"services:\n  - {{name: b, port: {self.other}, elementName: B}}\n")
        self.d.file("c", f"services:\n  - {{name: c, port: {self.d.port()}}}\n")
        changes = self.c.call("Reload")["changes"]
        self.assertEqual(
            sorted((c["kind"], c["object"], c["name"]) for c in changes),
            [("add", "service", "c"), ("change", "service", "b"), ("remove", "machine", "web1")],
        )
        self.assertEqual([c["fields"] for c in changes if c["name"] == "b"], [["elementName"]])
        # What did not change was not touched.
        self.assertEqual(len(self.inode("a") & before), len(before))
        self.d.file("a", None)
        self.d.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.names() == ["b", "c"], 5, "SIGHUP reloads")

    def test_bad_file(self):
        self.d.file("a", f"services:\n  - {{name: a, port: {self.port}}}\n")
        self.start()
        bad = self.d.file(
            "b", f"services:\n  - name: b\n    port: {self.other}\n    colour: red\n  - name: c\n    port: x\n"
        )
        with self.refuses("InvalidConfiguration") as caught:
            self.c.call("Reload")
        messages = caught.exception.parameters["messages"]
        self.assertEqual(len(messages), 2, messages)
        self.assertTrue(messages[0].startswith(f"{bad}:4:5: "), messages[0])
        self.assertIn("colour", messages[0])
        self.assertTrue(messages[1].startswith(f"{bad}:6:11: "), messages[1])
        self.assertIn("port", messages[1])
        # Nothing of it is applied; status lists the errors; SIGHUP does no other.
        self.assertEqual(self.names(), ["a"])
        self.assertEqual(self.c.call("Status")["errors"], messages)
        self.d.process.send_signal(signal.SIGHUP)
        self.assertEqual(self.names(), ["a"])
        # A start runs the last good set, also where its own files are those that changed.
        self.d.file("a", "services: [\n")
        self.c.close()
        self.d.restart()
        self.c = self.client(self.d)
        self.assertEqual(self.names(), ["a"])
        self.assertEqual(self.state(self.c, "a"), "listening")
        errors = self.c.call("Status")["errors"]
        self.assertEqual(len([e for e in errors if e.startswith(str(bad))]), 2, errors)
        self.assertGreaterEqual(len(errors), 3)
        self.assertIn(str(bad), self.d.ctl("status").stdout)
        # And is well again when the files are.
        self.d.file("a", f"services:\n  - {{name: a2, port: {self.port}}}\n")
        self.d.file("b", None)
        self.c.call("Reload")
        self.assertEqual(self.names(), ["a2"])
        self.assertEqual(self.c.call("Status")["errors"], [])

    def test_conflict_between_files(self):
        self.d.file("a", f"services:\n  - {{name: a, port: {self.port}}}\n")
        self.start()
        self.d.file("b", f"services:\n  - {{name: b, port: {self.port}}}\n")
        with self.refuses("InvalidConfiguration") as caught:
            self.c.call("Reload")
        self.assertRegex(caught.exception.parameters["messages"][0], "b.yaml:2:.*a")
        self.d.file("b", f"services:\n  - {{name: a, port: {self.other}}}\n")
        with self.refuses("InvalidConfiguration"):
            self.c.call("Reload")
        self.assertEqual(self.names(), ["a"])

    def test_conflict_with_registered(self):
        self.start()
        self.c.call("Register", service={"name": "mine", "port": self.port})
        self.d.file("a", f"services:\n  - {{name: a, port: {self.port}}}\n")
        with self.refuses("InvalidConfiguration") as caught:
            self.c.call("Reload")
        self.assertIn("mine", caught.exception.parameters["messages"][0])
        # Every one is told: a name that is another's does not hide whose a port is.
        self.d.file("b", f"services:\n  - {{name: mine, port: {self.other}}}\n")
        with self.refuses("InvalidConfiguration") as caught:
            self.c.call("Reload")
        messages = caught.exception.parameters["messages"]
        self.assertIn("a.yaml:2:", messages[0])
        self.assertIn("b.yaml:2:", messages[1])
        self.assertEqual(self.names(), ["mine"])

    def test_folder_that_is_not_there(self):
        """A folder that is not mounted yet is not an empty one: it is told, and what was declared there runs on."""
        self.d.file("a", f"services: [{{name: a, port: {self.port}}}]")
        self.start()
        aside = self.d.folder / "aside"
        self.d.config.rename(aside)
        why = f"{self.d.config}: the folder of the configuration: No such file or directory; make it, or name another"
        with self.refuses("InvalidConfiguration", messages=[why]):
            self.c.call("Reload")
        self.assertEqual(self.state(self.c, "a"), "listening")
        done = subprocess.run([*self.d.command(), "--check"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (1, f"{why}\n"))
        self.c.close()
        self.d.restart()
        self.c = self.client(self.d)
        self.assertEqual(self.c.call("Status")["errors"], [why])
        self.assertEqual(self.state(self.c, "a"), "listening")
        self.assertIn(why, self.d.ctl("doctor", expect=1).stdout)
        aside.rename(self.d.config)
        self.c.call("Reload")
        self.assertEqual(self.c.call("Status")["errors"], [])

    def test_bad_at_first_start(self):
        """There is no last good set: it starts, holds nothing of the file, and says so."""
        bad = self.d.file("a", "services:\n  - {name: a, prot: 1}\n")
        try:
            self.start()
        except StartFailed as failed:
            self.fail(str(failed))
        self.assertEqual(self.names(), [])
        self.assertTrue(self.c.call("Status")["errors"][0].startswith(f"{bad}:2:"))

    def test_bad_settings(self):
        self.d.file("a", f"services:\n  - {{name: a, port: {self.port}}}\n")
        self.start()
        (self.d.config / "hvsockd.yaml").write_text("administrators: {user: [x]}\n")
        with self.refuses("InvalidConfiguration") as caught:
            self.c.call("Reload")
        self.assertIn("hvsockd.yaml:1:", caught.exception.parameters["messages"][0])
        self.c.close()
        self.d.restart()
        self.c = self.client(self.d)
        self.assertEqual(self.names(), ["a"])
        self.assertTrue(self.c.call("Status")["errors"])

    def test_settings_and_files(self):
        """Services are judged by the settings that come with them; settings that came with a bad file are not in force."""
        self.start()
        first = self.d.port()
        self.d.settings(f"autoPorts: {first}-{first + 9}\nlimits: {{machines: 1}}\n")
        bad = self.d.file("a", f"services:\n  - {{name: a, autoPort: true}}\n  - {{name: b, port: {self.port}}}\n")
        self.c.call("Register", service={"name": "mine", "port": self.port})
        with self.refuses("InvalidConfiguration"):
            self.c.call("Reload")
        self.c.call("AddMachine", machine={"name": "web1", "cid": 4711})
        self.c.call("AddMachine", machine={"name": "web2", "cid": 4712})
        port = self.c.call("Register", service={"name": "auto", "autoPort": True})["service"]["context"]["port"]
        self.assertNotIn(port, range(first, first + 10))
        bad.write_text("services:\n  - {name: a, autoPort: true}\n")
        self.c.call("Reload")
        self.assertIn(self.c.call("Describe", name="a")["service"]["context"]["port"], range(first, first + 10))
        with self.refuses("LimitReached"):
            self.c.call("AddMachine", machine={"name": "web3", "cid": 4713})

    def test_mask_and_names(self):
        """A link to /dev/null masks; what does not end in .yaml, and what begins with a dot, is not read."""
        services = self.d.config / "services.d"
        self.d.file("a", f"services:\n  - {{name: a, port: {self.port}}}\n")
        (services / "b.yaml").symlink_to("/dev/null")
        (services / "c.yml").write_text("nonsense: [")
        (services / ".d.yaml").write_text("nonsense: [")
        (services / "e.yaml~").write_text("nonsense: [")
        (services / "f.yaml").write_text("")
        (services / "g.yaml.d").mkdir()
        self.start()
        self.assertEqual(self.names(), ["a"])
        self.assertEqual(self.c.call("Status")["errors"], [])

    def test_many(self):
        """Thousands of files: a reload of them touches what changed alone."""
        for i in range(500):
            self.d.file(f"s{i:04}", f"services:\n  - {{name: s{i:04}, port: {self.d.port()}}}\n")
        self.start()
        self.assertEqual(self.c.call("Status")["listeners"], 500)
        before = {target for target in self.d.fds().values() if target.startswith("socket:")}
        self.d.file("s0123", f"services:\n  - {{name: s0123, port: {self.d.port()}}}\n")
        self.assertEqual(len(self.c.call("Reload")["changes"]), 1)
        after = {target for target in self.d.fds().values() if target.startswith("socket:")}
        self.assertEqual((len(before - after), len(after - before)), (1, 1))

    def test_check_and_diff(self):
        """check needs no daemon; diff compares with what runs."""
        a = self.d.file("a", f"services:\n  - {{name: a, port: {self.port}}}\n")
        self.start()
        self.d.ctl("check", a)
        self.d.ctl("diff", a)
        b = self.d.file("b", f"services:\n  - {{name: b, prot: {self.other}}}\n")
        done = self.d.ctl("check", b, expect=1)
        self.assertIn(f"{b}:2:15: ", done.stdout + done.stderr)
        self.assertIn("prot", done.stdout + done.stderr)
        self.d.ctl("diff", b, expect=2)
        b.write_text(f"services:\n  - {{name: b, port: {self.other}}}\n")
        done = self.d.ctl("diff", b, "--json", expect=1)
        changes = done.json()
        changes = changes["changes"] if isinstance(changes, dict) else changes
        self.assertEqual([(c["kind"], c["name"]) for c in changes], [("add", "b")])
        self.d.ctl("reload")
        self.d.ctl("diff", b)
        bad = self.d.file("c", "services: 1\n")
        done = self.d.ctl("reload", expect=None)
        self.assertIn(done.returncode, (1, 3))
        self.assertIn(str(bad), done.stderr)

    def test_check_of_an_ordinary_users_daemon(self):
        """Which cannot start a program as anybody else: check, which asks who starts them, and hvsockd --check warn of that."""
        if os.geteuid() != 0:
            self.skipTest("becomes another user: needs root")
        self.d = self.daemon(start=False, uid=NOBODY)
        service = {"name": "a", "listen": [f"unix://{self.d.folder}/a"], "activate": {"mode": "accept", "exec": ["/bin/true"], "user": "root"}}
        path = self.d.file("a", {"services": [service]})
        become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]

        def check(*command, **environment):
            done = subprocess.run([*become, *command], env={**self.d.ctl_environment(), **environment}, capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stderr

        why = rf"\A{path}:\d+:\d+: warning: services\[0\].activate.user: [^\n]* is uid {NOBODY} here, and cannot become root; [^\n]*\n\Z"
        self.assertRegex(check(*self.d.command(), "--check"), why)
        self.assertRegex(check(*self.d.ctl_command("check", path)), why)  # this user's own is to come
        self.assertEqual(check(*self.d.ctl_command("check", path), HVSOCK_SOCKET=""), "")  # anybody's
        self.start()
        self.assertRegex(check(*self.d.ctl_command("check", path)), why)
        self.assertRegex(check(*self.d.ctl_command("check")), why)
        # root's check is of what root's daemon would do.
        self.assertEqual(self.d.ctl("check", path).stderr, "")


class Apply(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon()
        self.c = self.client(self.d)
        self.ports = {name: self.d.port() for name in "abcdef"}

    def context(self, name, **fields):
        return {"name": name, "port": self.ports[name], **fields}

    def apply(self, names, **parameters):
        services = [self.context(n) if isinstance(n, str) else n for n in names]
        changes = self.c.call("Apply", {"services": services, **parameters})["changes"]
        return sorted((c["kind"], c["name"]) for c in changes)

    def origins(self):
        return {s["context"]["name"]: s["runtime"]["origin"] for s in self.c.list()}

    def test_apply(self):
        self.assertEqual(self.apply("ab"), [("add", "a"), ("add", "b")])
        self.assertEqual(self.origins(), {"a": "apply:default", "b": "apply:default"})
        self.assertEqual(self.apply("ab"), [])
        # What is given is replaced whole; what is not stays.
        self.assertEqual(self.apply([self.context("a", elementName="A")]), [("change", "a")])
        self.assertEqual(self.apply([self.context("a")]), [("change", "a")])
        self.assertEqual(self.c.call("Describe", name="a")["service"]["context"]["elementName"], "a")
        self.assertEqual(self.apply("c"), [("add", "c")])
        # With prune, what this set applied goes.
        self.assertEqual(self.apply("d", prune=True), [("add", "d"), ("remove", "a"), ("remove", "b"), ("remove", "c")])
        self.assertEqual(self.origins(), {"d": "apply:default"})

    def test_sets(self):
        self.apply("ab", set="one")
        self.apply("c", set="two")
        self.c.call("Register", service=self.context("d"))
        self.assertEqual(
            self.origins(), {"a": "apply:one", "b": "apply:one", "c": "apply:two", "d": f"user:{os.getuid()}"}
        )
        self.assertEqual(self.apply("", set="one", prune=True), [("remove", "a"), ("remove", "b")])
        self.assertEqual(self.origins(), {"c": "apply:two", "d": f"user:{os.getuid()}"})
        # A name that is another set's, or that was registered, is somebody else's.
        with self.refuses("Conflict", holder="c", origin="apply:two"):
            self.apply("c", set="one")
        with self.refuses("Conflict", holder="d"):
            self.apply("d", set="one")
        self.c.close()
        self.d.restart()
        self.c = self.client(self.d)
        self.assertEqual(self.origins(), {"c": "apply:two", "d": f"user:{os.getuid()}"})
        self.assertEqual(self.apply("", set="two", prune=True), [("remove", "c")])

    def test_all_or_nothing(self):
        self.apply("a")
        before = self.c.list()
        with self.refuses("InvalidField", field="services[1].port"):
            self.apply(["b", self.context("c", port="x")])
        with self.refuses("InvalidField") as caught:
            self.apply(["b", self.context("c", colour="red")])
        self.assertIn("services[1]", caught.exception.parameters["field"])
        with self.refuses("Conflict"):
            self.apply(["b", self.context("c", port=self.ports["b"])], prune=True)
        with self.refuses("Conflict", holder="a"):
            self.apply(["b", self.context("c", port=self.ports["a"])])
        self.assertEqual(self.c.list(), before)
        # All of them are told at once, names of others among them.
        others = [{"name": f"o{i}", "port": self.d.port()} for i in range(4)]
        self.c.call("Apply", services=others, set="others")
        mine = [{"name": f"m{i}", "port": other["port"]} for i, other in enumerate(others)]
        with self.refuses("Conflict", field="services[4].name", holder="o3", origin="apply:others") as caught:
            self.apply([*mine, {"name": "o3", "port": self.d.port()}])
        told = caught.exception.parameters["others"]
        self.assertEqual([(one["field"], one["value"], one["holder"]) for one in told], [
            (f"services[{i}].port", str(other["port"]), other["name"]) for i, other in enumerate(others[:3])])  # fmt: skip
        self.assertEqual({tuple(sorted(one)) for one in told}, {("field", "holder", "origin", "since", "value")})
        with self.refuses("Conflict") as caught:
            self.apply([{"name": f"n{i}", "port": others[0]["port"]} for i in range(300)])
        self.assertEqual(len(caught.exception.parameters["others"]), 99)
        path = self.d.folder / "conflicts.yaml"
        path.write_text("".join(json.dumps({"services": [one]}) + "\n---\n" for one in mine))
        lines = self.d.ctl("apply", path, expect=3).stderr.splitlines()
        self.assertEqual([line.split(":")[:2] for line in lines[:4]], [[str(path), str(i)] for i in (1, 3, 5, 7)])
        self.assertIn(f"services[0].port: {others[0]['port']} is held by o0 (apply:others, since ", lines[0])
        self.assertEqual(lines[4:], ["hvsockctl: apply: the daemon refused it, nothing was changed; mend it and apply again"])
        self.c.call("Apply", services=[], set="others", prune=True)
        # Ports may change hands within one Apply.
        self.apply("b")
        self.assertEqual(
            self.apply([self.context("a", port=self.ports["b"]), self.context("b", port=self.ports["a"])]),
            [("change", "a"), ("change", "b")],
        )
        self.assertEqual({s["runtime"]["state"] for s in self.c.list()}, {"listening"})

    def test_dry_run(self):
        self.apply("ab")
        before = self.c.list()
        self.assertEqual(self.apply("c", prune=True, dryRun=True), [("add", "c"), ("remove", "a"), ("remove", "b")])
        self.assertEqual(self.c.list(), before)
        with self.refuses("Conflict", holder="a"):
            self.apply([self.context("c", port=self.ports["a"])], dryRun=True)

    def test_machines(self):
        self.c.call("Apply", services=[], machines=[{"name": "web1", "cid": 4711}, {"name": "web2", "cid": 4712}])
        self.assertEqual(
            [(m["context"]["name"], m["origin"]) for m in self.c.list("ListMachines", "machine")],
            [("web1", "apply:default"), ("web2", "apply:default")],
        )
        changes = self.c.call("Apply", services=[], machines=[{"name": "web1", "cid": 4713}], prune=True)["changes"]
        self.assertEqual(
            sorted((c["kind"], c["object"], c["name"]) for c in changes),
            [("change", "machine", "web1"), ("remove", "machine", "web2")],
        )
        # Machines that are not spoken of stay, with prune too.
        self.apply("a", prune=True)
        self.assertEqual(len(self.c.list("ListMachines", "machine")), 1)

    def test_ctl(self):
        a = self.d.folder / "a.yaml"
        a.write_text(f"services:\n  - {{name: a, port: {self.ports['a']}}}\n  - {{name: b, port: {self.ports['b']}}}\n")
        self.d.ctl("apply", a, "--dry-run")
        self.assertEqual(self.c.list(), [])
        self.d.ctl("apply", a, "--set", "web")
        self.assertEqual(self.origins(), {"a": "apply:web", "b": "apply:web"})
        a.write_text(f"services:\n  - {{name: a, port: {self.ports['a']}}}\n")
        self.d.ctl("apply", a, "--set", "web", "--prune")
        self.assertEqual(self.origins(), {"a": "apply:web"})
        a.write_text("services:\n  - {name: a, prot: 1}\n")
        self.assertIn(f"{a}:2:", self.d.ctl("apply", a, expect=1).stderr)
        # What one gets is valid input.
        text = self.d.ctl("list", "--yaml").stdout
        a.write_text(text)
        self.d.ctl("check", a)
        self.d.ctl("diff", a)
        self.assertIn("services", text)
        a.write_text(json.dumps({"services": []}))
        self.d.ctl("apply", a, "--set", "web", "--prune")
