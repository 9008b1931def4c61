# SPDX-License-Identifier: Apache-2.0
"""The log: who did what, that it is bounded and outlives kill -9, and that no call fails for it."""

import json
import os
import subprocess
import sys
import time

from hv.case import BUILD, GUEST, NOBODY, Case, Varlink, signal, wait_for
from test_listeners import connect


class Log(Case):
    def setUp(self):
        super().setUp()
        self.start()

    def start(self, **options):
        self.d = self.daemon(**options)
        self.c = self.client(self.d)

    def log(self, client=None, **parameters):
        return (client or self.c).list("ReadLog", "entry", **parameters)

    def told(self, **parameters):
        """Action and name of each entry."""
        return [(e["action"], e.get("service", e.get("machine"))) for e in self.log(**parameters)]

    def register(self, name="a", client=None, **fields):
        fields.setdefault("listen", [f"unix://{self.d.folder}/{name}.sock"])
        return (client or self.c).call("Register", service={"name": name, **fields})

    def size(self):
        return sum(file.stat().st_size for file in (self.d.state / "log").iterdir())

    def test_who(self):
        self.register()
        self.register()  # the same again: nothing is done
        self.c.call("Acquire", names=["a"])
        self.c.call("Acquire", names=["a"])  # it has it already
        _, fds = self.c.call_fds("Serve", name="a")
        os.close(fds[0])
        entries = self.log()
        self.assertEqual(
            [(e["action"], e.get("service")) for e in entries],
            [("started", None), ("registered", "a"), ("acquired", "a"), ("served", "a")],
        )
        for entry in entries[1:]:
            self.assertEqual((entry["userId"], entry["processId"]), (os.getuid(), os.getpid()))
            self.assertEqual(entry["program"], open("/proc/self/comm").read().strip())
            self.assertRegex(entry["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual([e["sequence"] for e in entries], [1, 2, 3, 4])
        self.assertEqual(entries[0]["processId"], self.d.pid)
        self.assertEqual(self.told(name="a")[0], ("registered", "a"))
        self.assertEqual(self.told(since=entries[-1]["time"])[-1], ("served", "a"))
        self.assertEqual(self.log(since="2999-01-01T00:00:00Z"), [])
        self.assertEqual(self.c.refused("ReadLog", since="x").parameters, {"parameter": "since"})
        self.assertEqual(self.c.refused("ReadLog").short, "ExpectedMore")
        self.assertEqual(self.c.call("ReadLog", name="nobody"), {})
        for file in (self.d.state / "log").iterdir():
            self.assertEqual(file.stat().st_mode & 0o777, 0o600)

    def test_programs(self):
        """What was started for whom; what could not be."""
        if not (BUILD / "hvsock-keeper").exists():
            self.skipTest("hvsock-keeper is not built")
        self.register(activate={"mode": "accept", "exec": ["/bin/cat"]})
        self.register("w", activate={"mode": "wait", "exec": ["/bin/sh", "-c", "exit 3"]})
        self.register("n", activate={"mode": "accept", "exec": ["/nowhere/x"]})
        with connect(self.d.folder / "a.sock") as client:
            client.sendall(b"x")
            self.assertEqual(client.recv(1), b"x")
            wait_for(lambda: self.told(name="a")[-1] == ("activated", "a"), 5, self.told)
            entry = self.log(name="a")[-1]
            self.assertEqual((entry["action"], entry["processId"], entry["program"]), ("activated", self.d.pid, "hvsockd"))
            self.assertRegex(entry["text"], rf"^process \d+ for uid:{os.getuid()}$")
            metrics = self.c.call("Metrics")["text"]
            for line in (
                "hvsock_programs 1",
                'hvsock_started_total{service="a"} 1',
                'hvsock_accepted_total{service="a"} 1',
                "hvsock_spawn_seconds_count 1",
            ):
                self.assertIn(f"\n{line}\n", metrics)
        for name in ("w", "n"):
            for _ in range(3):
                connect(self.d.folder / f"{name}.sock").close()
        wait_for(lambda: ("ended", "w") in self.told() and {("failed", "n"), ("start-failed", "n")} & set(self.told()), 10, self.told)
        text = [e["text"] for e in self.log(name="w") if e["action"] == "ended"][0]
        self.assertRegex(text, r"^process \d+: exit status 3 after \d+\.\d+ s$")
        # That of the connection, too; and whose it was.
        wait_for(lambda: ("ended", "a") in self.told(), 10, self.told)
        text = [e["text"] for e in self.log(name="a") if e["action"] == "ended"][0]
        self.assertRegex(text, rf"^process \d+: exit status 0 after \d+\.\d+ s for uid:{os.getuid()}$")
        self.assertTrue((self.d.state / "log/activations").stat().st_size > 0)

    def test_reload(self):
        self.d.file("x", {"services": [{"name": "x", "listen": [], "port": self.d.port()}]})
        os.kill(self.d.pid, signal.SIGHUP)
        wait_for(lambda: ("reloaded", None) in self.told(), 5)
        self.assertEqual(self.told()[1:], [("registered", "x"), ("reloaded", None)])
        self.assertEqual(self.log()[-1]["text"], "SIGHUP: 1 added, 0 changed, 0 removed")
        self.d.file("x", "services: [{name: x}, {name: Y}]")
        with self.refuses("InvalidConfiguration"):
            self.c.call("Reload")
        self.assertEqual(self.told()[3:], [("reload-failed", None)])
        self.d.file("x", None)
        self.c.call("Reload")
        self.assertEqual(self.told()[4:], [("unregistered", "x"), ("reloaded", None)])

    def test_many_of_one_call(self):
        services = [{"name": f"s{i}", "listen": [], "port": self.d.port()} for i in range(3000)]
        self.c.call("Apply", services=services)
        entries = self.log()
        self.assertEqual([e["action"] for e in entries], ["started"] + ["registered"] * 1000 + ["applied"])
        self.assertEqual(entries[-1]["text"], "default: 3000 added, 0 changed, 0 removed; 1000 of them are told one by one")
        self.c.call("Apply", services=services, dryRun=True)
        self.c.call("Apply", services=services)
        self.assertEqual(len(self.log()), len(entries))
        self.c.call("Apply", services=[], prune=True)

    def test_outlives_kill(self):
        self.register()
        before = self.log()
        self.d.restart(kill=True)
        # A line that was being written.
        with (self.d.state / "log/changes").open("a") as file:
            file.write('{"sequence":1000,"time":"2026')
        self.d.restart(kill=True)
        self.c = self.client(self.d)
        self.c.call("Unregister", name="a")
        entries = self.log()
        self.assertEqual(entries[: len(before)], before)
        self.assertEqual(
            [e["action"] for e in entries], ["started", "registered", "started", "started", "unregistered"]
        )
        self.assertEqual([e["sequence"] for e in entries], [1, 2, 3, 4, 5])

    def test_is_there_when_answered(self):
        """Killed right after an answer: what was answered as done is in the log."""
        for i in range(10):
            self.register(f"a{i}")
            self.d.kill()
            lines = (self.d.state / "log/changes").read_text().splitlines()
            self.assertEqual(json.loads(lines[-1]).get("service"), f"a{i}")
            self.d.start()
            self.c = self.client(self.d)

    def test_bounds(self):
        self.d.settings("limits: {logBytes: 8192}")
        self.c.call("Reload")
        self.register("kept")
        self.c.call("Acquire", names=["kept"])
        for i in range(150):
            client = self.client(self.d)
            client.call("Register", service={"name": "e", "listen": [], "port": 5}, ephemeralProcessId=os.getpid())
            client.call("Unregister", name="e")
            client.close()
        self.assertIn(("registered", "kept"), self.told())
        self.assertIn(("acquired", "kept"), self.told())
        self.assertLess(len(self.told(name="e")), 300)
        self.assertGreater(len(self.told(name="e")), 40)
        self.assertEqual(self.told(name="e")[-1], ("unregistered", "e"))
        for i in range(150):
            self.register("b", listen=[], port=7)
            self.c.call("Unregister", name="b")
        self.assertLess(self.size(), 5 * 2 * 8192)
        numbers = [e["sequence"] for e in self.log()]
        self.assertEqual(numbers, sorted(set(numbers)))

    def test_refused(self):
        self.d.folder.chmod(0o755)
        self.register()

        def flood():
            client = Varlink(self.d.socket)
            for i in range(300):
                client.refused("Unregister", name="a")
            client.send("Unregister", {"name": "a"}, oneway=True)
            return client.refused("Metrics").short

        began = time.monotonic()
        self.assertEqual(self.as_user(NOBODY, flood), "NotAllowed")
        entries = [e for e in self.log() if e["action"] == "refused"]
        self.assertEqual({e["userId"] for e in entries}, {NOBODY})
        self.assertLessEqual(len(entries), 20 + time.monotonic() - began + 1)
        self.assertTrue(entries[0]["text"].startswith("Unregister: changes are for root"), entries[0])
        self.assertGreaterEqual(len(entries), 20)
        self.assertEqual(self.told(name="a")[0], ("registered", "a"))
        wait_for(lambda: self.as_user(NOBODY, lambda: Varlink(self.d.socket).refused("ReadLog").short) and "more before it" in self.log()[-1]["text"], 10, every=1)

    def test_disk_trouble(self):
        """A file where the folder should be: everything is done all the same, it is told once, and mends itself."""
        self.c.close()
        self.d.terminate()
        log = self.d.state / "log"
        log.rename(self.d.state / "log-before")
        log.write_text("")
        self.d.start()
        self.c = self.client(self.d)
        for i in range(20):
            self.register(f"a{i}")
        self.assertEqual(self.log(), [])
        self.assertEqual(self.d.log_text().count("entries of the log are lost"), 1)
        self.assertIn("entries of the log are lost", self.c.call("Status")["errors"][0])
        self.assertIn("hvsock_log_entries_lost_total 21\n", self.c.call("Metrics")["text"])
        log.unlink()
        time.sleep(1.1)  # it is not tried all the time
        self.register("b")
        self.assertEqual(self.told(), [("registered", "b")])
        self.assertEqual(self.c.call("Status")["errors"], [])
        self.assertEqual(self.d.log_text().count("are written again"), 1)

    def test_follow(self):
        self.register()
        reader = self.client(self.d)
        reader.send("ReadLog", {"follow": True}, more=True)
        entries = [reader.receive()[0]["entry"]["action"] for _ in range(2)]
        self.c.call("Acquire", names=["a"])
        entries.append(reader.receive()[0]["entry"]["action"])
        with self.refuses("NoSuchService"):
            self.c.call("Unregister", name="b")
        self.c.call("Unregister", name="a")
        entries += [reader.receive()[0]["entry"]["action"] for _ in range(2)]
        self.assertEqual(entries, ["started", "registered", "acquired", "released", "unregistered"])
        verb = self.process(
            self.d.ctl_command("log", "--follow", "--since", "0s", "c"),
            env=self.d.ctl_environment(), stdout=subprocess.PIPE, text=True,
        )
        wait_for(lambda: "hvsock_watchers 2\n" in self.c.call("Metrics")["text"], 5)
        self.register("c")
        self.assertIn(" registered c\n", verb.stdout.readline())

    def test_ended(self):
        """Whether it was asked to end, or was killed."""
        for kill in (False, True):
            self.c.close()
            self.d.restart(kill=kill)
            self.c = self.client(self.d)
        self.assertEqual([e["action"] for e in self.log()], ["started", "stopped", "started", "started"])

    def test_clock_is_set(self):
        """A day back, over a restart, too: entries stay in their order, and what comes is told."""
        if not GUEST:
            self.skipTest("sets the clock: runs in the guest of tests/vm alone")

        def add(seconds):
            time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME) + seconds)

        follower = self.client(self.d)
        follower.send("ReadLog", {"follow": True}, more=True)
        self.register("before")
        add(-24 * 3600)
        try:
            self.register("after")
            told = [follower.receive()[0]["entry"].get("service") for _ in range(3)]
            self.assertEqual(told, [None, "before", "after"])
            follower.close()
            self.c.close()
            self.d.restart(kill=True)
            self.c = self.client(self.d)
            self.register("last")
            entries = self.log()
            self.assertEqual([e.get("service") for e in entries], [None, "before", "after", None, "last"])
            self.assertEqual([e["sequence"] for e in entries], [1, 2, 3, 4, 5])
            self.assertLess(entries[-1]["time"], entries[1]["time"])
            self.assertIn("last", self.d.ctl("log", "--since", "1min").stdout)
        finally:
            add(24 * 3600)
        self.assertEqual(self.log(since=entries[1]["time"])[0]["service"], "before")

    def test_large(self):
        """Many entries to readers at their own speed: what there is is read whole, and takes no memory."""
        self.d.settings("limits: {logBytes: 4000000}")
        self.c.call("Reload")
        line = '{"sequence":%d,"time":"2026-01-01T00:00:00.000Z","userId":0,"processId":1,"action":"registered","service":"s%d"}\n'
        self.d.kill()
        (self.d.state / "log/changes").write_text("".join(line % (i, i) for i in range(1, 30001)))
        self.d.start()
        self.c = self.client(self.d)
        self.c.call("Status")
        before = self.d.memory_kb()
        slow = [self.client(self.d) for _ in range(20)]
        for client in slow:
            client.send("ReadLog", {}, more=True)
        numbers = [e["sequence"] for e in self.log()]
        self.assertEqual(numbers, list(range(1, 30002)))
        self.assertEqual(len(self.log(name="s77")), 1)
        if "sanitize" not in BUILD.name:
            self.assertLess(self.d.memory_kb() - before, 8000)
        for client in slow:
            client.receive()
