# SPDX-License-Identifier: Apache-2.0
"""Watch: everybody is told everything in its order, or how much he missed; and who does not read costs the others nothing."""

import pathlib
import re

from hv.case import BUILD, Case, Varlink, wait_for

RING = 4096  # EVENTS_MAX


class Watch(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon()
        self.c = self.client(self.d)
        self.c.call("Status")

    def watcher(self):
        client = self.client(self.d)
        client.send("Watch", {}, more=True)
        return client

    def watchers(self, count):
        clients = [self.watcher() for _ in range(count)]
        wait_for(lambda: self.metric("hvsock_watchers") == count, 10)
        return clients

    def metric(self, name):
        return int(re.search(rf"^{name} (\d+)$", self.c.call("Metrics")["text"], re.MULTILINE)[1])

    def churn(self, events, names=32):
        """So many events, as fast as can be: services come and go, many in one commit."""
        client = self.client(self.d)
        calls = b"".join(
            [client.encode("Register", {"service": {"name": f"c{i}", "port": i, "listen": []}}) for i in range(names)]
            + [client.encode("Unregister", {"name": f"c{i}"}) for i in range(names)]
        )
        for _ in range(events // (2 * names)):
            client.send_bytes(calls)
            for _ in range(2 * names):
                client.receive()
        client.close()

    def read_to(self, client, last):
        """Its events up to that sequence; [(sequence, kind, how many were missed before it)]."""
        events, missed = [], 0
        while not events or events[-1][0] < last:
            event = client.receive()[0]["event"]
            if event["kind"] == "missed":
                missed += int(event["text"].split()[0])
                continue
            events.append((event["sequence"], event["kind"], missed))
            missed = 0
        return events

    def check_continuous(self, events, first):
        """Every number was told, or counted as missed."""
        for sequence, _, missed in events:
            self.assertEqual(sequence, first + missed)
            first = sequence + 1

    def test_everything_in_order(self):
        clients = self.watchers(3)
        first = self.metric("hvsock_events_total")
        self.churn(640)
        last = self.metric("hvsock_events_total") - 1
        for client in clients:
            events = self.read_to(client, last)
            self.assertEqual(len(events), 640)
            self.check_continuous(events, first)
            self.assertEqual([kind for _, kind, _ in events[:4]], ["registered"] * 4)

    def test_500_that_never_read(self):
        """Bounded memory, also in the kernel; nobody else is slower; each is told what it missed when it reads at last."""
        self.churn(RING + 512)  # the ring is full, and what commits need is there
        before_kb = self.d.memory_kb()
        self.c.call("Status")

        def ticks():
            """Of the processor, whatever else this machine does."""
            fields = pathlib.Path(f"/proc/{self.d.pid}/stat").read_text().rsplit(")", 1)[1].split()
            before = int(fields[11]) + int(fields[12])
            self.churn(400, 1)
            fields = pathlib.Path(f"/proc/{self.d.pid}/stat").read_text().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12]) - before

        alone = min(ticks() for _ in range(3))
        clients = self.watchers(500)
        first = self.metric("hvsock_events_total")
        self.churn(RING + 1024)
        stuck = min(ticks() for _ in range(3))
        grown_kb = self.d.memory_kb() - before_kb
        print(
            f"500 watchers that do not read: {grown_kb} kB more; 400 changes in {alone} ticks alone, {stuck} with them"
        )
        if "sanitize" not in BUILD.name:
            self.assertLess(grown_kb, 500 * 16)
        self.assertLess(stuck, 2 * alone + 20)
        # One who reads is told all of it meanwhile.
        reader = self.watcher()
        wait_for(lambda: self.metric("hvsock_watchers") == 501, 5)
        begin = self.metric("hvsock_events_total")
        self.churn(512)
        last = self.metric("hvsock_events_total") - 1
        self.check_continuous(self.read_to(reader, last), begin)
        # They read at last.
        missed = self.metric("hvsock_events_missed_total")
        for client in clients[:5]:
            events = self.read_to(client, last)
            self.check_continuous(events, first)
            self.assertGreater(sum(count for _, _, count in events), 500)
            missed += sum(count for _, _, count in events)
        self.assertEqual(self.metric("hvsock_events_missed_total"), missed)
        for client in clients:
            client.close()
        wait_for(lambda: self.metric("hvsock_watchers") == 1, 10)
        if "sanitize" not in BUILD.name:
            wait_for(lambda: self.d.memory_kb() - before_kb < 6000, 5, lambda: f"{self.d.memory_kb() - before_kb} kB more")

    def test_slow_reader(self):
        """A little slower than what happens: told in order, or that it missed some."""
        client = self.watchers(1)[0]
        first = self.metric("hvsock_events_total")
        told = []
        for _ in range(12):
            self.churn(RING // 4)
            for _ in range(200):
                event = client.receive()[0]["event"]
                told.append(event)
        events = self.read_to(client, self.metric("hvsock_events_total") - 1)
        early, missed = [], 0
        for event in told:
            if event["kind"] == "missed":
                missed += int(event["text"].split()[0])
            else:
                early.append((event["sequence"], event["kind"], missed))
                missed = 0
        if missed:
            events[0] = (*events[0][:2], events[0][2] + missed)
        self.check_continuous(early + events, first)

    def test_kinds_are_in_the_manual(self):
        """Those in the sources, and no others."""
        root = pathlib.Path(__file__).resolve().parents[2]
        manual = root / "packaging/man/hvsockd.8"
        if not manual.exists():
            self.skipTest("there are no sources here")
        source = "".join(path.read_text() for room in ("manager", "api") for path in sorted((root / "daemon" / room).glob("*.c")))
        calls = re.findall(r'(?:manager_event|event_put)\([^,"]+,([^,]*),', source) + re.findall(r'\.kind = ([^,]*),', source)
        kinds = {kind for call in calls for kind in re.findall(r'"([a-z-]+)"', call)}
        self.assertTrue({"registered", "changed", "listening", "refused", "missed", "ended"} <= kinds, kinds)
        section = manual.read_text().split(".Sh EVENTS\n")[1].split("\n.Sh ")[0]
        words = re.findall(r"^\.Cm ([a-z ,;-]+)$", section, re.MULTILINE)[1:]  # the first is the verb
        told = {word for line in words for word in re.findall(r"[a-z-]+", line)} - {"wait", "accept"}
        self.assertEqual(told, kinds)

    def test_limit(self):
        self.d.settings("limits: {watchers: 3}")
        self.c.call("Reload")
        clients = self.watchers(3)
        self.assertEqual(self.one_too_many(), "LimitReached")
        clients.pop().close()
        wait_for(lambda: self.metric("hvsock_watchers") == 2, 5)
        self.watcher()
        wait_for(lambda: self.metric("hvsock_watchers") == 3, 5)

    def one_too_many(self):
        from hv.varlink import Refused

        client = self.watcher()
        try:
            return client.receive()[0]
        except Refused as error:
            self.assertEqual(error.parameters, {"limit": "watchers", "value": 3})
            return error.short
