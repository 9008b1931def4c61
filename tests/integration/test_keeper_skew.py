# SPDX-License-Identifier: Apache-2.0
"""hvsockd beside a keeper that is older or newer, or none of ours at all: it starts, says what it could not read, and serves."""

import os
import random
import socket
import struct
import threading

from hv.case import Case
from hv.keeper import (
    DONE, END, ERROR, HELLO, INSTANCE, KEY, LIST, LISTED, PID, REFUSED, START, TEXT, UID, VERSION, Message, field, frame, item,
)

EPROTO = 71

# Of values of listeners; daemon/manager/kept.h
CLAIM, TYPE, BACKLOG, FLAGS, PATH, DEVICE, INODE = 1, 2, 3, 4, 8, 9, 10


class Fake:
    """Answers on RUNTIME/keeper as it is told: {type: function(fake, message)}."""

    def __init__(self, folder, answers, version=1):
        self.path = str(folder / "keeper")
        self.answers = answers
        self.version = version
        self.seen = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path)
        self.listener.listen(4)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            self.peer, _ = self.listener.accept()
            while True:
                data, fds, _, _ = socket.recv_fds(self.peer, 65536, 253)
                if not data:
                    return
                message = Message(data, fds)
                self.seen.append(message)
                answer = self.answers.get(message.type)
                if answer:
                    answer(self, message)
                elif message.request:
                    self.send(DONE, request=message.request)
        except OSError:
            pass

    def send(self, type, *fields, request=0, fds=()):
        self.send_raw(frame(type, *fields, request=request, version=self.version), fds)

    def send_raw(self, data, fds=()):
        socket.send_fds(self.peer, [data], list(fds))

    def hello(self, message, *more):
        self.send(
            HELLO,
            *more,
            field(VERSION, self.version),
            field(PID, os.getpid()),
            field(UID, os.geteuid()),
            field(INSTANCE, b"i" * 16),
            request=message.request,
        )

    def end(self, message):
        self.send(DONE, request=message.request)
        os.unlink(self.path)
        self.peer.close()

    def close(self):
        for end in (getattr(self, "peer", None), self.listener):
            if end and end.fileno() >= 0:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                end.close()
        self.thread.join(60)


class Skew(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon(start=False)
        self.path = self.d.folder / "s.sock"
        self.d.file("a", {"services": [{"name": "s", "listen": [f"unix://{self.path}"]}]})
        self.d.start()
        self.assertEqual(self.d.terminate(), 0)

    def fake(self, answers, version=1):
        answers = {HELLO: Fake.hello, END: Fake.end, **answers}
        fake = Fake(self.d.runtime, answers, version)
        self.things.callback(fake.close)
        return fake

    def listener(self):
        """As another hvsockd had left it."""
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.bind(str(self.path))
        made.listen(5)
        self.things.callback(made.close)
        status = os.stat(self.path)
        value = (
            field(CLAIM, f"path:{self.path}")
            + field(TYPE, 1)
            + field(BACKLOG, 128)
            + field(FLAGS, 0)
            + field(PATH, str(self.path))
            + field(DEVICE, status.st_dev)
            + field(INODE, status.st_ino)
        )
        return made, b"ls\0" + f"unix://{self.path}".encode() + b"\0", value, status.st_ino

    def serves(self):
        with self.d.client() as c:
            self.assertEqual(self.state(c, "s"), "listening")

    def test_newer(self):
        """Fields, items and messages that nobody knows yet are skipped; what is known is taken back."""
        made, key, value, inode = self.listener()

        def hello(fake, message):
            fake.hello(message, field(77, b"new"), field(78, 5))
            fake.send(200, field(6, b"what is this"))

        def listed(fake, message):
            fake.send(201, field(1, b"x"), request=message.request)
            fake.send(
                LISTED,
                item(b"zsomething\0", field(99, b"?"), 1),
                item(key, value + field(99, b"more"), 1, field(98, b"even more")),
                field(97, b"beside"),
                request=message.request,
                fds=[made.fileno(), made.fileno()],
            )
            fake.send(DONE, field(96, 1), request=message.request)

        fake = self.fake({HELLO: hello, LIST: listed}, version=2)
        self.d.start()
        self.serves()
        self.assertEqual(os.stat(self.path).st_ino, inode)
        self.assertNotIn(3, [message.type for message in fake.seen if message.get(6, b"").startswith(b"z")], "it is kept")
        self.d.leave = True

    def test_older(self):
        """It knows little, and says so."""

        def refuse(fake, message):
            if message.request:
                fake.send(65, field(10, 95), request=message.request)

        self.fake({LIST: refuse, 2: refuse, 3: refuse})
        self.d.start()
        self.serves()
        self.d.leave = True

    def test_older_does_not_know_a_program(self):
        """It refuses to start it: who came is hung up, and does not wait for ever."""
        self.d.file("a", {"services": [{"name": "s", "listen": [f"unix://{self.path}"], "activate": {"mode": "accept", "exec": ["/bin/cat"]}}]})

        def refuse(fake, message):
            for fd in message.fds:
                os.close(fd)
            fake.send(REFUSED, field(ERROR, EPROTO), field(TEXT, "it does not know all"), field(KEY, message[KEY]))

        self.fake({START: refuse})
        self.d.start()
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(60)
            peer.connect(str(self.path))
            self.assertEqual(peer.recv(1), b"")
        with self.d.client() as c:
            self.assertIn("it does not know all", c.call("Describe", name="s")["service"]["runtime"]["reason"])
        self.d.leave = True

    def test_answer_that_came_too_late(self):
        """One to what was asked before does not end the list."""
        made, key, value, inode = self.listener()

        def listed(fake, message):
            fake.send(LISTED, item(b"zsomething\0"), request=message.request)
            fake.send(DONE, request=message.request + 1000)
            fake.send(LISTED, item(key, value, 1), request=message.request, fds=[made.fileno()])
            fake.send(DONE, request=message.request)

        self.fake({LIST: listed})
        self.d.start()
        self.serves()
        self.assertEqual(os.stat(self.path).st_ino, inode)
        self.d.leave = True

    def test_items_that_are_wrong(self):
        """Each is let go of; none brings hvsockd down, or becomes a listener."""
        made, key, value, inode = self.listener()
        reader, writer = os.pipe()
        self.things.callback(os.close, reader)
        self.things.callback(os.close, writer)
        cases = [
            (key, value, []),  # no descriptor
            (key, value, [reader]),  # no socket
            (key, b"", [made.fileno()]),
            (key, value.replace(field(TYPE, 1), field(TYPE, 77)), [made.fileno()]),
            (key, value[:8] + b"\xff" * (len(value) - 8), [made.fileno()]),
            (b"l", value, [made.fileno()]),
            (b"ls", value, [made.fileno()]),
            (b"ss\0" b"1\0", b"", []),
            (b"ss\0" b"99999999999\0", b"", [reader]),
            (b"ss\0" b"-1\0", b"", [reader]),
            (b"cs\0" b"1\0", b"", [reader]),
            (b"cs\0" b"x\0", b"", [reader, writer]),
            (b"ns\0" b"1\0", b"", []),
            (b"ws\0" b"1\0", b"", [reader]),
            (b"ps\0" b"1\0", b"\1", []),
            (b"as\0", b"\1\2\3", []),
            (b"", b"", []),
        ]

        def listed(fake, message):
            for name, data, fds in cases:
                fake.send(LISTED, item(name, data, len(fds)), request=message.request, fds=fds)
            fake.send(DONE, request=message.request)

        self.fake({LIST: listed})
        self.d.start()
        with self.d.client() as c:
            runtime = c.call("Describe", name="s")["service"]["runtime"]
            # The socket is the fake's still: whoever serves it is named, and waited for.
            self.assertEqual(runtime["listeners"][0]["state"], "waiting", runtime)
            self.assertEqual(runtime["leases"], [])
        self.d.leave = True
        self.path.unlink()

    def test_frames_that_are_wrong(self):
        """What is no frame of ours: it is let go of, and everything is made without it."""
        whole = frame(LISTED, item(b"l", b""), request=7)
        chance = random.Random(7)
        for garbage in (
            b"x",
            whole[:-1],
            whole + b"more",
            whole[:15],
            struct.pack("=IHHII", 0, 1, 66, 1, 16),
            chance.randbytes(60000),
            frame(LISTED, field(5, b"\0\0\0\0\xff\xff\xff\xff")),
            b"",
        ):
            with self.subTest(garbage=garbage[:20]):
                fake = self.fake({LIST: lambda fake, message: fake.send_raw(garbage) if garbage else fake.peer.shutdown(2)})
                self.d.start()
                self.serves()
                with self.d.client() as c:
                    self.assertEqual(len(c.list()), 1)
                self.assertEqual(self.d.terminate(), 0)
                fake.close()
                if os.path.exists(fake.path):
                    os.unlink(fake.path)

    def test_foreign(self):
        """A socket that another user has put there gets nothing."""
        if os.geteuid() != 0:
            self.skipTest("becomes another user: needs root")
        self.d.runtime.chmod(0o777)
        code = """
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.bind(sys.argv[1]); s.listen(5); print("there", flush=True)
try:
    p, _ = s.accept(); p.settimeout(60); print(p.recv(65536))
except OSError as e: print(e)
"""
        foreign = self.process(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "python3", "-c", code, str(self.d.runtime / "keeper")],
            stdout=-1,
            text=True,
        )
        self.assertEqual(foreign.stdout.readline(), "there\n")
        self.d.start()
        self.serves()
        self.assertEqual(foreign.stdout.readline(), "b''\n")
        self.assertIn("neither root nor us", self.d.log_text())
        self.d.leave = True
