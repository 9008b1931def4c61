# SPDX-License-Identifier: Apache-2.0
"""The protocol: org.varlink.service, framing, order, `more`, `oneway`, exact names of errors."""

import json
import socket

from hv.case import Case, Varlink
from hv.daemon import ROOT

SERVICE = "org.varlink.service"


class Protocol(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon()
        self.c = self.client(self.d)

    def test_get_info(self):
        info = self.c.call(f"{SERVICE}.GetInfo")
        self.assertEqual(set(info["interfaces"]), {SERVICE, "io.hvsock.Registry"})
        for field in ("vendor", "product", "version", "url"):
            self.assertIsInstance(info[field], str)

    def test_get_interface_description(self):
        text = self.c.call(f"{SERVICE}.GetInterfaceDescription", interface="io.hvsock.Registry")["description"]
        self.assertEqual(text, (ROOT / "schema/varlink/io.hvsock.Registry.varlink").read_text())
        text = self.c.call(f"{SERVICE}.GetInterfaceDescription", interface=SERVICE)["description"]
        self.assertIn("interface org.varlink.service", text)
        self.assertIn("method GetInterfaceDescription", text)
        error = self.c.refused(f"{SERVICE}.GetInterfaceDescription", interface="a.b")
        self.assertEqual((error.name, error.parameters), (f"{SERVICE}.InterfaceNotFound", {"interface": "a.b"}))
        error = self.c.refused(f"{SERVICE}.GetInterfaceDescription")
        self.assertEqual((error.name, error.parameters), (f"{SERVICE}.InvalidParameter", {"parameter": "interface"}))

    def test_errors(self):
        table = [
            ("a.b.C", {}, "InterfaceNotFound", {"interface": "a.b"}),
            ("io.hvsock.Registry.Nothing", {}, "MethodNotFound", {"method": "io.hvsock.Registry.Nothing"}),
            (f"{SERVICE}.Nothing", {}, "MethodNotFound", {"method": f"{SERVICE}.Nothing"}),
            ("Describe", {}, "InvalidParameter", {"parameter": "name"}),
            ("Describe", {"name": 1}, "InvalidParameter", {"parameter": "name"}),
            ("Describe", {"name": None}, "InvalidParameter", {"parameter": "name"}),
            ("Describe", {"name": "a", "more": 1}, "InvalidParameter", {"parameter": "more"}),
            ("List", {"x": 1}, "InvalidParameter", {"parameter": "x"}),
            ("Status", {"x": None}, "InvalidParameter", {"parameter": "x"}),
            ("SetEnabled", {"name": "a", "enabled": "yes"}, "InvalidParameter", {"parameter": "enabled"}),
            ("Register", {"service": []}, "InvalidParameter", {"parameter": "service"}),
            (
                "Register",
                {"service": {"name": "a"}, "ephemeralProcessId": "1"},
                "InvalidParameter",
                {"parameter": "ephemeralProcessId"},
            ),
            ("Acquire", {"names": "a"}, "InvalidParameter", {"parameter": "names"}),
            ("Acquire", {"names": [1]}, "InvalidParameter", None),
            ("Watch", {"x": 1}, "InvalidParameter", {"parameter": "x"}),
        ]
        for method, parameters, name, wanted in table:
            with self.subTest(method=method, parameters=parameters):
                error = self.c.refused(method, parameters)
                self.assertEqual(error.name, f"{SERVICE}.{name}")
                if wanted is not None:
                    self.assertEqual(error.parameters, wanted)

    def test_parameters_absent(self):
        """No parameters, null and {} are the same."""
        for parameters in ({}, {"parameters": None}, {"parameters": {}}):
            self.c.send_bytes(json.dumps({"method": "io.hvsock.Registry.Status", **parameters}).encode() + b"\0")
            self.assertIn("version", self.c.receive()[0])

    def test_null_is_absent(self):
        service = self.c.call(
            "Register",
            {
                "service": {"name": "a", "port": self.d.port(), "labels": None, "peers": None},
                "ephemeralProcessId": None,
            },
        )
        self.assertEqual(service["service"]["context"]["name"], "a")
        self.assertEqual(self.c.call("Lookup", name="a", port=None, guid=None)["service"]["context"]["name"], "a")

    def test_more(self):
        """Of a sequence the last item's reply has no `continues`; nothing found is one reply without the item."""
        self.assertEqual(list(self.c.call_more("List")), [({}, [])])
        self.assertEqual(self.c.call("List"), {})
        for name in ("a", "b", "c"):
            self.c.call("Register", service={"name": name, "port": self.d.port()})
        replies = list(self.c.call_more("List"))
        self.assertEqual([reply["service"]["context"]["name"] for reply, _ in replies], ["a", "b", "c"])
        self.assertEqual(self.c.refused("List").name, f"{SERVICE}.ExpectedMore")
        # Where there is one, it needs no `more`.
        self.c.call("Unregister", name="a")
        self.c.call("Unregister", name="b")
        self.assertEqual(self.c.call("List")["service"]["context"]["name"], "c")
        # `more` on a call with one reply is answered once.
        self.assertEqual(len(list(self.c.call_more("Status"))), 1)

    def test_pipelined(self):
        """10,000 calls without waiting: answered in order."""
        count = 10000
        self.c.call("Register", service={"name": "a", "port": self.d.port()})
        calls = b"".join(Varlink.encode("Lookup", {"name": "a" if i % 3 else f"none-{i}"}) for i in range(count))
        self.c.socket.setblocking(False)
        sent = 0
        got = 0
        import select

        while got < count:
            _, writable, _ = select.select([self.c.socket], [self.c.socket] if sent < len(calls) else [], [], 20)
            if writable:
                try:
                    sent += self.c.socket.send(calls[sent : sent + 65536])
                except BlockingIOError:
                    pass
            while got < count:
                try:
                    message = self.c.receive_message().json
                except BlockingIOError:
                    break
                if got % 3:
                    self.assertEqual(message["parameters"]["service"]["context"]["name"], "a")
                else:
                    self.assertEqual(message["parameters"]["name"], f"none-{got}")
                got += 1
        self.c.socket.settimeout(60)
        self.assertIn("version", self.c.call("Status"))

    def test_pipelined_changes(self):
        """Writes and reads in one go: each call sees what those before it did."""
        port = self.d.port()
        calls = b""
        for i in range(200):
            calls += Varlink.encode("Register", {"service": {"name": f"s{i}", "port": port + i}})
            calls += Varlink.encode("Describe", {"name": f"s{i}"})
            calls += Varlink.encode("Unregister", {"name": f"s{i}"})
            calls += Varlink.encode("Describe", {"name": f"s{i}"})
        import threading

        thread = threading.Thread(target=self.c.send_bytes, args=(calls,))
        thread.start()
        for i in range(200):
            first, second, third, fourth = (self.c.receive_message().json for _ in range(4))
            self.assertNotIn("error", first)
            self.assertEqual(second["parameters"]["service"]["context"]["name"], f"s{i}")
            self.assertNotIn("error", third)
            self.assertEqual(fourth["error"], "io.hvsock.Registry.NoSuchService")
        thread.join()

    def test_as_many_writes_as_may_be(self):
        """Just as many calls in one go as may be in flight; then the next."""
        self.d.settings("limits: {callsInFlight: 4}\n")
        self.c.call("Reload")
        client = self.client(self.d, timeout=60)
        port = self.d.port()
        for flags in ({}, {"oneway": True}):
            for method in ("Register", "Unregister"):
                calls = []
                for name in "abcd":
                    service = (
                        {"service": {"name": name, "port": port + ord(name)}}
                        if method == "Register"
                        else {"name": name}
                    )
                    calls.append(Varlink.encode(method, service, **flags))
                client.send_bytes(b"".join(calls))
                for _ in [] if flags else calls:
                    client.receive()
                self.assertEqual(client.call("Status")["services"], 4 if method == "Register" else 0)

    def test_oneway(self):
        """No reply, not even an error; it is done all the same."""
        self.c.send("Register", {"service": {"name": "a", "port": self.d.port()}}, oneway=True)
        self.c.send("Describe", {"name": "none"}, oneway=True)
        self.c.send("a.b.C", {}, oneway=True)
        self.c.send("List", {}, oneway=True)
        self.assertEqual(self.c.call("Describe", name="a")["service"]["context"]["name"], "a")
        self.c.send("Status", {}, oneway=False)
        self.assertIn("version", self.c.receive()[0])

    def test_split(self):
        """One byte at a time, and two calls with what is between them in one."""
        call = Varlink.encode("Status", {})
        for byte in call:
            self.c.send_bytes(bytes([byte]))
        self.assertIn("version", self.c.receive()[0])
        self.c.send_bytes(call + call[:10])
        self.assertIn("version", self.c.receive()[0])
        self.c.send_bytes(call[10:])
        self.assertIn("version", self.c.receive()[0])

    def test_half_closed(self):
        """Who has said all it will say is still answered."""
        self.c.send("Status", {})
        self.c.send("Status", {})
        self.c.socket.shutdown(socket.SHUT_WR)
        self.assertIn("version", self.c.receive()[0])
        self.assertIn("version", self.c.receive()[0])
        self.assertEqual(self.c.socket.recv(10), b"")

    def test_unicode(self):
        name = "G\u00e4ste \U0001f5a5 \u4e16\u754c"
        self.c.call("Register", service={"name": "a", "port": self.d.port(), "elementName": name})
        self.assertEqual(self.c.call("Describe", name="a")["service"]["context"]["elementName"], name)
        self.assertEqual(self.d.ctl("show", "a", "--json").json()["context"]["elementName"], name)
