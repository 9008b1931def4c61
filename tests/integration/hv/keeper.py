# SPDX-License-Identifier: Apache-2.0
"""A hvsock-keeper of the test's own, and its client's side in plain Python (schema/wire/frame.h, keeper.h)."""

import array
import collections
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

from .daemon import BUILD, PATIENCE_SECONDS, sleeps, wait_for

MAGIC = 0x6B737668
CRITICAL = 0x8000
HELLO, PUT, DELETE, LIST, START, SIGNAL, STOP, END, BIND, HOLDERS, REEXEC = range(1, 12)
GIVE = 13
DONE, REFUSED, LISTED, STARTED, EXITED, BOUND = range(64, 70)
VERSION, PID, UID, INSTANCE, ITEM, KEY, VALUE, FDS, NUMBER, ERROR, TEXT, STATUS, REQUEST, RESULT = range(1, 15)
PROGRAM = 15 | CRITICAL
BELL, BEGUN = 16, 17
BEGUN_UNKNOWN = 2**64 - 1
PROGRAM_TAGS = {
    name: tag | CRITICAL
    for tag, name in enumerate(
        "argument environment uid gid group directory umask limit stdin stdout stderr listen listen_names stop_timeout_us".split(), 1
    )
} | {"cgroup": 15}
NUMBERS = {VERSION, PID, UID, FDS, NUMBER, ERROR, STATUS}


def field(tag, data):
    if isinstance(data, int):
        data = struct.pack("=Q", data)
    elif isinstance(data, str):
        data = data.encode()
    return struct.pack("=HHI", tag, 0, len(data)) + data + b"\0" * (-len(data) % 4)


def frame(type, *fields, request=0, version=1):
    body = b"".join(fields)
    return struct.pack("=IHHII", MAGIC, version, type, request, 16 + len(body)) + body


def item(key, value=b"", fds=0, *more):
    return field(ITEM, field(KEY, key) + field(VALUE, value) + field(FDS, fds) + b"".join(more))


def program(*arguments, **settings):
    """A list gives its field again and again."""
    fields = [field(PROGRAM_TAGS["argument"], argument) for argument in arguments]
    for name, values in settings.items():
        fields += [field(PROGRAM_TAGS[name], value) for value in (values if isinstance(values, list) else [values])]
    return field(PROGRAM, b"".join(fields))


def fields_of(data):
    at = 0
    while at < len(data):
        tag, zero, size = struct.unpack_from("=HHI", data, at)
        assert zero == 0 and size <= len(data) - at - 8
        yield tag, data[at + 8 : at + 8 + size]
        at += 8 + (size + 3) // 4 * 4
    assert at == len(data)


class Message:
    def __init__(self, data, fds):
        magic, self.version, self.type, self.request, size = struct.unpack_from("=IHHII", data)
        assert magic == MAGIC and size == len(data)
        self.fields = list(fields_of(data[16:]))
        self.fds = list(fds)

    def __getitem__(self, tag):
        for found, data in self.fields:
            if found == tag:
                return struct.unpack("=Q", data)[0] if tag in NUMBERS else data
        raise KeyError(tag)

    def get(self, tag, default=None):
        return self[tag] if any(found == tag for found, _ in self.fields) else default

    def __repr__(self):
        return f"<{self.type} #{self.request} {self.fields} {self.fds}>"


Item = collections.namedtuple("Item", "key value fds pid status")


class Client:
    def __init__(self, path, hello=True, version=1):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.connect(str(path))
        self.socket.settimeout(PATIENCE_SECONDS)
        self.requests = 0
        self.waiting = []  # what came while another answer was waited for
        if hello:
            self.hello = self.call(HELLO, field(VERSION, version), version=version)

    def close(self):
        self.socket.close()

    def send(self, type, *fields, fds=(), request=0, version=1):
        self.send_raw(frame(type, *fields, request=request, version=version), fds)

    def send_raw(self, data, fds=()):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if len(fds) else []
        self.socket.sendmsg([data], rights)

    def receive(self, timeout=PATIENCE_SECONDS):
        """The next message; None: the connection has ended."""
        if self.waiting:
            return self.waiting.pop(0)
        return self._receive(timeout)

    def _receive(self, timeout):
        self.socket.settimeout(timeout)
        try:
            data, control, flags, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(253 * 4))
        except ConnectionResetError:
            return None
        assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
        fds = array.array("i")
        for level, type, rights in control:
            if (level, type) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(rights)
        return Message(data, fds) if data else None

    def call(self, type, *fields, fds=(), version=1, timeout=PATIENCE_SECONDS):
        self.requests += 1
        self.send(type, *fields, fds=fds, request=self.requests, version=version)
        return self.answer(self.requests, timeout)

    def answer(self, request, timeout=PATIENCE_SECONDS):
        while True:
            message = self._receive(timeout)
            if message is None:
                raise EOFError("the keeper has closed")
            if message.request == request:
                return message
            self.waiting.append(message)

    def put(self, key, value=b"", fds=()):
        return self.call(PUT, item(key, value, len(fds)), fds=fds)

    def list(self):
        """{key: Item}; the descriptors are the caller's."""
        self.requests += 1
        self.send(LIST, request=self.requests)
        items = {}
        while True:
            message = self.answer(self.requests)
            if message.type == DONE:
                return items
            assert message.type == LISTED, message
            fds = message.fds
            for tag, data in message.fields:
                assert tag == ITEM
                values = dict(fields_of(data))
                number = {tag: struct.unpack("=Q", values[tag])[0] for tag in (FDS, PID, STATUS) if tag in values}
                own, fds = fds[: number[FDS]], fds[number[FDS] :]
                items[values[KEY]] = Item(values[KEY], values[VALUE], own, number.get(PID), number.get(STATUS))
            assert not fds

    def start(self, key, *arguments, value=b"", fds=(), **settings):
        message = self.call(START, field(KEY, key), field(VALUE, value), program(*arguments, **settings), fds=fds)
        assert message.type == STARTED, message
        return message

    def exited(self, key=None, timeout=PATIENCE_SECONDS):
        """Waits for EXITED of a key (else any): its wait status."""
        key = key.encode() if isinstance(key, str) else key
        for message in self.waiting:
            if message.type == EXITED and key in (None, message[KEY]):
                self.waiting.remove(message)
                return message[NUMBER]
        end = time.monotonic() + timeout
        while True:
            message = self._receive(max(0.01, end - time.monotonic()))
            if message is None:
                raise EOFError("the keeper has closed")
            if message.type == EXITED and key in (None, message[KEY]):
                return message[NUMBER]
            self.waiting.append(message)


class Keeper:
    def __init__(self, *arguments, folder=None, start=True, before=None, environment=None):
        self.arguments = arguments
        self.before = before
        self.environment = environment or {}
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="hvk-", dir=os.environ.get("HVSOCK_TMP", "/tmp")))
        self.folder.chmod(0o755)
        self.path = self.folder / "keeper"
        self.log = self.folder / "log"
        self.clients = []
        self.process = None
        self.binary = BUILD / "hvsock-keeper"
        if start:
            self.start()

    def start(self):
        environment = {"PATH": os.environ["PATH"], **self.environment}
        environment.update((name, value) for name, value in os.environ.items() if name.startswith(("ASAN_", "UBSAN_", "GCOV_")))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.binary), "--runtime", str(self.folder), *self.arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=environment, preexec_fn=self.before,
            )
        self.pid = self.process.pid
        wait_for(lambda: self.process.poll() is not None or self.answers(), what=self.log.read_text)
        if self.process.poll() is not None:
            raise AssertionError(f"hvsock-keeper ended with {self.process.returncode}: {self.log.read_text()}")
        self.wait_idle()  # what asked it whether it is there is closed
        return self

    def wait_idle(self):
        """It sleeps: it has done what it was asked until now."""
        wait_for(lambda: sleeps(self.pid), what="it has nothing to do")

    def answers(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            try:
                probe.connect(str(self.path))
                return True
            except OSError:
                return False

    def client(self, **options):
        client = Client(self.path, **options)
        self.clients.append(client)
        return client

    def fds(self):
        return sorted(int(name) for name in os.listdir(f"/proc/{self.pid}/fd"))

    def memory_kb(self):
        for line in open(f"/proc/{self.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1])

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self, seconds=PATIENCE_SECONDS):
        self.process.terminate()
        return self.process.wait(seconds)

    def close(self):
        """Ends it as an administrator would, so that a sanitizer sees what it has left."""
        for client in self.clients:
            client.close()
        try:
            if self.process and self.process.poll() is None and (status := self.end()) != 0:
                raise AssertionError(f"hvsock-keeper ended with {status}: {self.log.read_text()}")
        finally:
            if self.process and self.process.poll() is None:
                self.kill()
            shutil.rmtree(self.folder, ignore_errors=True)
