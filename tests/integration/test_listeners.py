# SPDX-License-Identifier: Apache-2.0
"""Where a service listens: paths and who owns them, what is stale, what is served, what waits and comes by itself."""

import os
import pwd
import shutil
import socket
import stat

from hv.case import NOBODY, Case, wait_for


def connect(path, timeout=60):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def wait_connect(path):
    """As soon as somebody listens there: a path is there a moment before."""

    def attempt():
        try:
            return connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    return wait_for(attempt, what=f"somebody listens on {path}")


class Listeners(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon()
        self.c = self.client(self.d)
        self.port = self.d.port()
        self.place = self.d.folder / "place"

    def register(self, name, **fields):
        return self.c.call("Register", service={"name": name, **fields})["service"]

    def test_unix(self):
        path = self.d.folder / "a.sock"
        service = self.register("a", listen=[f"unix://{path}"])
        self.assertEqual(
            [(l["address"], l["state"]) for l in service["runtime"]["listeners"]], [(f"unix://{path}", "listening")]
        )
        status = path.stat()
        self.assertEqual(stat.S_IMODE(status.st_mode), 0o660)
        self.assertEqual((status.st_uid, status.st_gid), (self.d.folder.stat().st_uid, self.d.folder.stat().st_gid))
        connect(path).close()
        self.c.call("Unregister", name="a")
        self.assertFalse(path.exists())

    def test_owner_and_mode(self):
        if os.getuid() != 0:
            self.skipTest("gives paths to others: needs root")
        path = self.d.folder / "a.sock"
        nobody = pwd.getpwuid(NOBODY)
        self.register(
            "a", listen=[f"unix://{path}"], socket={"user": nobody.pw_name, "group": str(nobody.pw_gid), "mode": "0600"}
        )
        status = path.stat()
        self.assertEqual((stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid), (0o600, NOBODY, nobody.pw_gid))
        # Without them, the folder's.
        self.place.mkdir()
        os.chown(self.place, NOBODY, nobody.pw_gid)
        self.register("b", listen=[f"unix://{self.place}/b.sock"])
        status = (self.place / "b.sock").stat()
        self.assertEqual((stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid), (0o660, NOBODY, nobody.pw_gid))

    def test_hybrid(self):
        base = self.d.folder / "v.sock"
        self.register("a", port=self.port, listen=[f"hybrid://{base}"])
        self.register("b", guid="999E53D4-3D5C-4C3E-8779-BED06EC056E2", listen=[f"hybrid://{base}"])
        connect(f"{base}_{self.port}").close()
        connect(f"{base}_999e53d4-3d5c-4c3e-8779-bed06ec056e2").close()
        self.assertFalse(base.exists())

    def test_hyperkit(self):
        self.register("a", port=self.port, listen=[f"hyperkit://{self.d.folder}"])
        connect(self.d.folder / f"00000002.{self.port:08x}").close()

    def test_waits_for_folder(self):
        """A folder that is not there is a state, not a failure; it listens as soon as the folder comes."""
        uris = [f"unix://{self.place}/deep/a.sock", f"hybrid://{self.place}/v.sock", f"hyperkit://{self.place}/kit"]
        service = self.register("a", port=self.port, listen=uris)
        self.assertEqual(service["runtime"]["state"], "waiting")
        self.assertEqual({l["state"] for l in service["runtime"]["listeners"]}, {"waiting"})
        for listener in service["runtime"]["listeners"]:
            self.assertIn(str(self.place), listener["reason"])
        self.place.mkdir()
        self.wait_state(self.c, "a", "listening", 5)

        def states():
            there = {
                l["address"].split(":")[0]: l["state"]
                for l in self.c.call("Describe", name="a")["service"]["runtime"]["listeners"]
            }
            return [there[transport] for transport in ("unix", "hybrid", "hyperkit")]

        wait_for(lambda: states() == ["waiting", "listening", "waiting"], 5, states)
        (self.place / "kit").mkdir()
        (self.place / "deep").mkdir()
        wait_for(lambda: states() == ["listening"] * 3, 5, states)
        connect(self.place / "deep/a.sock").close()
        connect(f"{self.place}/v.sock_{self.port}").close()

    def test_path_goes(self):
        """Somebody removes the path of a listener: it listens anew."""
        path = self.d.folder / "a.sock"
        self.register("a", listen=[f"unix://{path}"])
        path.unlink()
        wait_for(lambda: path.exists() and self.c.call("Status") and connect(path), 6, "listens anew").close()

    def test_folder_goes_and_comes(self):
        self.place.mkdir()
        path = self.place / "a.sock"
        self.register("a", listen=[f"unix://{path}"])
        self.place.rename(self.d.folder / "gone")
        self.place.mkdir()
        wait_for(lambda: path.exists() and self.c.call("Status") and connect(path), 6, "listens in the new folder").close()
        shutil.rmtree(self.d.folder / "gone")

    def test_stale(self):
        """A path that nobody listens on is replaced; so are our own left-overs after kill -9."""
        path = self.d.folder / "a.sock"
        left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        left.bind(str(path))
        left.close()
        self.register("a", listen=[f"unix://{path}"])
        self.assertEqual(self.state(self.c, "a"), "listening")
        self.c.close()
        self.d.restart(kill=True)
        self.c = self.client(self.d)
        self.assertEqual(self.state(self.c, "a"), "listening")
        connect(path).close()

    def test_served(self):
        """A path that somebody serves is theirs; it waits, says so, and takes it when they are gone."""
        path = self.d.folder / "a.sock"
        other = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        other.bind(str(path))
        other.listen(5)
        self.d.c = self.c
        try:
            service = self.register("a", listen=[f"unix://{path}"])
            self.assertEqual(service["runtime"]["state"], "waiting")
            self.assertTrue(service["runtime"]["listeners"][0]["reason"])
            connect(path).close()
        finally:
            other.close()
        path.unlink()
        self.wait_state(self.c, "a", "listening", 15)

    def test_not_a_socket(self):
        """A file is never replaced."""
        path = self.d.folder / "a.sock"
        path.write_text("precious")
        service = self.register("a", listen=[f"unix://{path}"])
        self.assertEqual(service["runtime"]["state"], "waiting")
        self.assertIn("regular file", service["runtime"]["reason"])
        self.assertEqual(path.read_text(), "precious")
        self.c.call("Unregister", name="a")
        self.assertEqual(path.read_text(), "precious")
        # Who removes it, as the reason says, is done with it: nothing else is to be called.
        self.register("a", listen=[f"unix://{path}"])
        path.rename(self.d.folder / "aside")
        self.wait_state(self.c, "a", "listening", 2)

    def test_links(self):
        """Nobody leads us elsewhere by a symbolic link."""
        path = self.d.folder / "a.sock"
        path.symlink_to(self.d.folder / "elsewhere.sock")
        self.register("a", listen=[f"unix://{path}"])
        self.assertFalse((self.d.folder / "elsewhere.sock").exists())
        self.assertEqual(self.state(self.c, "a"), "waiting")
        path.unlink()
        self.wait_state(self.c, "a", "listening", 2)

    def test_not_allowed(self):
        """Where it may not bind, it has failed."""
        if os.getuid() != 0:
            self.skipTest("runs hvsockd as nobody: needs root")
        daemon = self.daemon(uid=NOBODY)
        client = self.client(daemon)
        closed = daemon.folder / "closed"
        closed.mkdir(mode=0o700)
        client.call("Register", service={"name": "a", "listen": [f"unix://{closed}/a.sock"]})
        service = client.call("Describe", name="a")["service"]
        self.assertEqual(
            (service["runtime"]["state"], service["runtime"]["listeners"][0]["state"]), ("failed", "failed")
        )
        self.assertTrue(service["runtime"]["listeners"][0]["reason"])
        # Whoever mends it says so: reload tries again.
        client.call("Reload")
        self.assertEqual(self.state(client, "a"), "failed")
        closed.chmod(0o777)
        self.assertEqual(self.state(client, "a"), "failed")
        daemon.ctl("reload")
        self.assertEqual(self.state(client, "a"), "listening")
        connect(closed / "a.sock").close()
        # A low port without the capability: the same.
        service = client.call("Register", service={"name": "low", "port": 1022})["service"]
        self.assertEqual(service["runtime"]["listeners"][0]["state"], "failed")
        self.assertEqual(
            client.call("Register", service={"name": "b", "port": daemon.port()})["service"]["runtime"]["state"],
            "listening",
        )

    def test_port_in_use(self):
        """Somebody else's AF_VSOCK port: waiting, and tried again at least every five seconds."""
        other = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        self.things.callback(other.close)
        other.bind((socket.VMADDR_CID_ANY, self.port))
        service = self.register("a", port=self.port)
        self.assertEqual(service["runtime"]["state"], "waiting")
        self.assertRegex(service["runtime"]["listeners"][0]["reason"], "in use|held by")
        other.close()
        self.wait_state(self.c, "a", "listening", 8)

    def test_transport_that_is_not_there(self):
        """CID 2 before vhost_vsock is loaded."""
        service = self.register("a", port=self.port, listen=[f"vsock://2:{self.port}"])
        try:
            with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as probe:
                probe.bind((2, self.port))
            self.skipTest("this machine has vhost_vsock")
        except OSError:
            pass
        self.assertEqual(service["runtime"]["state"], "waiting")
        self.assertTrue(service["runtime"]["listeners"][0]["reason"])

    def test_any_and_one_cid(self):
        """A bind to any CID conflicts with any CID on the same port."""
        self.register("a", port=self.port)
        with self.refuses("Conflict", holder="a"):
            self.register("b", port=self.port, listen=[f"vsock://2:{self.port}"])

    def test_backlog_survives(self):
        """A connection that waits while a listener is not touched is still there after reloads, and other changes."""
        path = self.d.folder / "a.sock"
        self.register("a", listen=[f"unix://{path}"])
        waiting = connect(path)
        self.things.callback(waiting.close)
        waiting.sendall(b"hello")
        self.register("b", port=self.d.port())
        self.c.call("Reload")
        self.c.call("Apply", services=[{"name": "c", "port": self.d.port()}])
        reply, fds = self.c.call_fds("Acquire", names=["a"])
        listener = socket.socket(fileno=fds[0])
        self.things.callback(listener.close)
        listener.settimeout(60)
        connection, _ = listener.accept()
        self.assertEqual(connection.recv(10), b"hello")
        connection.close()

    def test_over_restart(self):
        """Paths are the same ones after SIGTERM and start; none is left between."""
        path = self.d.folder / "a.sock"
        self.register("a", listen=[f"unix://{path}"])
        self.c.close()
        self.d.terminate()
        self.assertEqual(self.d.sockets(), [])
        self.d.start()
        self.c = self.client(self.d)
        connect(path).close()
