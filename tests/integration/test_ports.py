# SPDX-License-Identifier: Apache-2.0
"""Numbers at their edges, each with the right answer for its transport; GUIDs and ports that disagree."""

import socket

from hv.case import Case
from test_registry import guid_of

EDGES = (0, 1, 1023, 1024, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


class Ports(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon()
        self.c = self.client(self.d)

    def answer(self, **fields):
        """The listeners' states, or the error with its field."""
        self.c.send("Register", {"service": {"name": "a", **fields}})
        message = self.c.receive_message().json
        if "error" in message:
            return message["error"].rsplit(".", 1)[1], message["parameters"].get("field") or message["parameters"].get(
                "parameter"
            )
        service = message["parameters"]["service"]
        self.assertEqual(service["context"]["port"], fields["port"])
        self.assertEqual(service["context"]["guid"], guid_of(fields["port"]))
        self.c.call("Unregister", name="a")
        return [listener["state"] for listener in service["runtime"]["listeners"]]

    def test_edges_hybrid(self):
        """A hybrid port is text in a path: all but PORT_ANY."""
        for port in EDGES:
            with self.subTest(port=port):
                expected = ["listening"] if port != 0xFFFFFFFF else ("InvalidField", "port")
                self.assertEqual(self.answer(port=port, listen=[f"hybrid://{self.d.folder}/v.sock"]), expected)

    def test_edges_hyperkit(self):
        for port in EDGES:
            with self.subTest(port=port):
                expected = ["listening"] if port != 0xFFFFFFFF else ("InvalidField", "port")
                self.assertEqual(self.answer(port=port, listen=[f"hyperkit://{self.d.folder}"]), expected)

    def test_edges_vsock(self):
        """What the kernel binds is listening; PORT_ANY is no port."""
        for port in EDGES:
            with self.subTest(port=port):
                answer = self.answer(port=port, listen=[f"vsock://:{port}"])
                if port == 0xFFFFFFFF:
                    self.assertEqual(answer, ("InvalidField", "port"))
                else:
                    try:
                        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as probe:
                            probe.bind((socket.VMADDR_CID_ANY, port))
                        self.assertEqual(answer, ["listening"])
                    except OSError:
                        self.assertIn(answer, (["waiting"], ["failed"]))

    def test_no_numbers(self):
        for port in (-1, 1 << 32, 1 << 62, 1.5, "5140", True, [], {}):
            with self.subTest(port=port):
                answer = self.answer(port=port)
                self.assertIn(answer, (("InvalidField", "port"), ("InvalidParameter", "service")))

    def test_guid_and_port_disagree(self):
        port = self.d.port()
        for guid in (guid_of(port + 1), "999e53d4-3d5c-4c3e-8779-bed06ec056e2"):
            error = self.c.refused("Register", service={"name": "a", "port": port, "guid": guid})
            self.assertEqual(error.short, "InvalidField")
            self.assertIn(error.parameters["field"], ("guid", "port"))
        self.assertEqual(self.answer(port=port, guid=guid_of(port)), ["listening"])
        for guid in (
            "",
            "x",
            guid_of(port)[:-1],
            "{" + guid_of(port),
            guid_of(port) + "}",
            guid_of(port).replace("-", ""),
        ):
            error = self.c.refused("Register", service={"name": "a", "guid": guid})
            self.assertEqual((error.short, error.parameters["field"]), ("InvalidField", "guid"), guid)

    def test_number_of_address_is_the_services(self):
        port = self.d.port()
        for uri in (
            f"vsock://:{port + 1}",
            f"hybrid://{self.d.folder}/v.sock:{port + 1}",
            f"hyperkit://:{port + 1}{self.d.folder}",
        ):
            error = self.c.refused("Register", service={"name": "a", "port": port, "listen": [uri]})
            self.assertEqual((error.short, error.parameters["field"]), ("InvalidField", "listen[0]"), uri)
        self.assertEqual(self.answer(port=port, listen=[f"hybrid://{self.d.folder}/v.sock:{port}"]), ["listening"])

    def test_addresses_that_are_none(self):
        port = self.d.port()
        for uri in (
            "",
            "x",
            "vsock:",
            "unix://",
            "unix://relative",
            "http://a",
            "machine:",
            "machine:any",
            "machine:42",
            f"hvsock:///{self.d.folder}/v.sock:{port}",
            "hybrid://relative",
        ):
            with self.subTest(uri=uri):
                error = self.c.refused("Register", service={"name": "a", "port": port, "listen": [uri]})
                self.assertEqual((error.short, error.parameters["field"]), ("InvalidField", "listen[0]"))

    def test_path_that_is_too_long(self):
        """For a socket's address; which is told at once or when it is bound."""
        self.c.send("Register", {"service": {"name": "a", "listen": [f"unix://{self.d.folder}/{'x' * 200}"]}})
        message = self.c.receive_message().json
        if "error" not in message:
            runtime = message["parameters"]["service"]["runtime"]
            self.assertEqual(runtime["state"], "failed")
            self.assertIn("too long", runtime["listeners"][0]["reason"])

    def test_cid_of_another(self):
        """A CID can become this host's: it waits, and says what is wrong with it."""
        service = self.c.call(
            "Register", service={"name": "a", "port": self.d.port(), "listen": [f"vsock://99:{next(self.d.ports) - 1}"]}
        )["service"]
        self.assertEqual(service["runtime"]["state"], "waiting")
        self.assertIn("99", service["runtime"]["listeners"][0]["reason"])

    def test_types(self):
        port = self.d.port()
        self.assertEqual(self.answer(port=port, type="seqpacket"), ["listening"])
        for uri in (f"hybrid://{self.d.folder}/v.sock", f"hyperkit://{self.d.folder}"):
            for kind in ("seqpacket", "dgram"):
                error = self.c.refused("Register", service={"name": "a", "port": port, "type": kind, "listen": [uri]})
                self.assertEqual(error.short, "InvalidField")
        self.assertIn(self.answer(port=port, type="dgram"), (["waiting"], ["failed"], ["listening"]))
        error = self.c.refused("Register", service={"name": "a", "port": port, "type": "packet"})
        self.assertEqual((error.short, error.parameters["field"]), ("InvalidField", "type"))

    def test_names_of_machines(self):
        """Names that look like numbers, ranges or CID words are none."""
        for name in ("42", "1-2", "any", "local", "host", "hypervisor", "", "A", "a b", "a" * 65, "-a", "web/1"):
            with self.subTest(name=name):
                error = self.c.refused("AddMachine", machine={"name": name, "cid": 1000})
                self.assertEqual((error.short, error.parameters["field"]), ("InvalidField", "name"))
        for cid in (0, 1, 2, 0xFFFFFFFF, 1 << 32, -1):
            with self.subTest(cid=cid):
                error = self.c.refused("AddMachine", machine={"name": "web1", "cid": cid})
                self.assertEqual((error.short, error.parameters["field"]), ("InvalidField", "cid"))
