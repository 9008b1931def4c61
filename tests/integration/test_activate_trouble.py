# SPDX-License-Identifier: Apache-2.0
"""What an administrator sees of a program that does not start, or ends badly, before its service is given up."""

import os
import re
import signal
import time

from hv.case import wait_for
from test_activate import Activation

TIME = r"\d{4}-\d\d-\d\dT[\d:.]+Z"


class Trouble(Activation):
    def reason(self):
        return self.service()["runtime"].get("reason", "")

    def wait_reason(self, pattern):
        wait_for(lambda: re.search(pattern, self.reason()), 10, lambda: f"{pattern}: {self.reason()!r}")
        return self.reason()

    def wait_ended_at_once(self, pattern):
        """Which is within a second: where this machine took longer, once more."""

        def told():
            self.closed(self.connect())
            self.wait_programs(0)
            return re.search(pattern, self.reason())

        wait_for(told, what=lambda: f"{pattern}: {self.reason()!r}")

    def test_start(self):
        """The first failure is told, where one looks; the program that starts takes it away."""
        missing = self.d.folder / "missing"
        self.register(exec=[str(missing)])
        self.assertEqual(self.reason(), "")
        self.closed(self.connect())
        reason = self.wait_reason(f"^its program cannot be started: exec .*missing: No such file or directory .at {TIME}, 1 of 5 times")
        self.assertEqual(self.state(self.c, "a"), "listening")
        self.assertIn(reason, self.d.ctl("show", "a").stdout)
        self.assertIn(reason, self.d.ctl("list", "-o", "name,reason").stdout)
        self.closed(self.connect())
        self.wait_reason("2 of 5 times in a row")
        # It outlives hvsockd.
        self.d.restart(kill=True)
        self.c = self.client(self.d)
        self.wait_reason("2 of 5 times in a row")
        missing.symlink_to("/bin/cat")
        self.echoed(self.connect())
        wait_for(lambda: self.reason() == "")

    def test_ways(self):
        """Whatever is wrong with it."""
        for activate, pattern in (
            ({"user": "no-such-user"}, "this host has no user no-such-user"),
            ({"workingDirectory": "/no/such/folder"}, "chdir /no/such/folder: No such file or directory"),
            ({"exec": ["/etc/passwd"]}, "exec /etc/passwd: Permission denied"),
        ):
            with self.subTest(activate):
                self.register(**{"exec": ["/bin/cat"], **activate} if "exec" in activate else {"activate": activate})
                self.closed(self.connect())
                self.wait_reason(pattern)
                # Who says that it is mended is believed.
                self.c.call("SetEnabled", name="a", enabled=False)
                self.c.call("SetEnabled", name="a", enabled=True)
                self.assertEqual(self.reason(), "")
                self.c.call("Unregister", name="a")

    def test_ends_at_once(self):
        for exec, how in (
            (["/bin/sh", "-c", "exit 3"], "exit status 3"),
            (["/bin/sh", "-c", "kill -SEGV $$"], f"killed by signal {int(signal.SIGSEGV)}"),
        ):
            self.register(exec=exec)
            self.wait_ended_at_once(rf"^its program ended at once: {how} \(process \d+, at {TIME}\)$")
            self.assertEqual(self.state(self.c, "a"), "listening")
            self.assertIn(self.reason(), self.d.ctl("doctor", expect=1).stdout)
            self.c.call("Unregister", name="a")
        # One that does well takes it away.
        flag = self.d.folder / "flag"
        self.register(exec=["/bin/sh", "-c", f"test -e {flag} || exit 1; cat"])
        self.wait_ended_at_once("exit status 1")
        flag.touch()
        client = self.connect()
        self.echoed(client)
        self.assertIn("exit status 1", self.reason())
        client.close()
        wait_for(lambda: self.reason() == "")

    def test_no_trouble(self):
        """A peer that leaves, a stop that was asked for, and the end of a program that has lived."""
        self.register(exec=["/bin/sh", "-c", "sleep 0.1; while echo x; do :; done"])
        self.connect().close()
        wait_for(lambda: not self.programs() and not self.connections())
        self.c.call("Unregister", name="a")
        self.register()
        client = self.connect()
        self.echoed(client)
        self.c.call("SetEnabled", name="a", enabled=False)
        self.closed(client)
        self.c.call("SetEnabled", name="a", enabled=True)
        wait_for(lambda: not self.programs())
        client = self.connect()
        self.echoed(client)
        self.wait_programs(1)
        time.sleep(1.1)  # longer than at once
        os.kill(self.programs()[0]["processId"], signal.SIGKILL)
        self.closed(client)
        wait_for(lambda: not self.programs())
        self.assertEqual(self.reason(), "")

    def test_wait(self):
        """Why it was started too often is told with it."""
        self.register(exec=["/bin/sh", "-c", "exit 4"], mode="wait")
        for _ in range(10):
            self.closed(self.connect())
            reason = self.wait_state(self.c, "a", "failed")["runtime"]["reason"]
            if "at once" in reason:
                break
            self.c.call("SetEnabled", name="a", enabled=True)  # it took this machine more than a second
        self.assertRegex(reason, "^its program was started too often: more than 5/10s; its program ended at once: exit status 4 ")


class Told(Activation):
    def test_watch(self):
        """The start and the end of each program, with its machine; those of wait in the same words."""
        vm = self.d.folder / "vm"
        vm.mkdir()
        port = self.d.port()
        self.c.call("AddMachine", machine={"name": "web1", "hybrid": f"{vm}/v.sock"})
        self.register(port=port, listen=["machine:*"])
        watcher = self.client(self.d)
        watcher.send("Watch", {}, more=True)

        def event(*kinds):
            while True:
                event = watcher.receive()[0].get("event")
                if event and event["kind"] in kinds:
                    return event

        client = self.connect(f"{vm}/v.sock_{port}")
        self.echoed(client)
        told = event("started")
        self.assertEqual((told["service"], told["machine"]), ("a", "web1"))
        self.assertRegex(told["text"], rf"^a is served by process \d+, which was started for uid:{os.getuid()}$")
        client.close()
        told = event("ended")
        self.assertEqual((told["service"], told["machine"]), ("a", "web1"))
        self.assertRegex(told["text"], r"^process \d+ of a has ended: exit status 0 after \d+\.\d+ s$")
        self.c.call("Unregister", name="a")
        self.register(exec=["/bin/sh", "-c", "exit 7"], mode="wait")
        self.connect().close()
        told = [event("started", "ended") for _ in range(2)]
        self.assertEqual([t["kind"] for t in told], ["started", "ended"])
        self.assertRegex(told[0]["text"], r"^a is served by process \d+, which was started for it$")
        self.assertRegex(told[1]["text"], r": exit status 7 after ")
