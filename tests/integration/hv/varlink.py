# SPDX-License-Identifier: Apache-2.0
"""A raw Varlink client: JSON and NUL over a unix socket, descriptors by SCM_RIGHTS. It knows nothing of hvsockd, and
says what came, byte for byte, so that tests can be rude with it."""

import collections
import json
import os
import socket

INTERFACE = "io.hvsock.Registry"


class Refused(Exception):
    """The daemon answered an error."""

    def __init__(self, name, parameters):
        super().__init__(f"{name} {json.dumps(parameters)}")
        self.name = name
        self.short = name.rsplit(".", 1)[-1]
        self.parameters = parameters

    def __getattr__(self, field):
        if field.startswith("__"):
            raise AttributeError(field)
        return self.parameters[field]


class Hungup(Exception):
    """The daemon closed the connection; `rest` is what came of a message that did not end."""

    def __init__(self, rest=b""):
        super().__init__(f"the daemon hung up, with {len(rest)} bytes of a message")
        self.rest = rest


Message = collections.namedtuple("Message", "json fds")


class Varlink:
    def __init__(self, path, timeout=60):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self.input = bytearray()
        self.messages = collections.deque()

    def close(self):
        self.socket.close()
        for message in self.messages:
            for fd in message.fds:
                os.close(fd)
        self.messages.clear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- sending ----

    def send_bytes(self, data, fds=()):
        if fds:
            sent = socket.send_fds(self.socket, [data], list(fds))
            data = data[sent:]
        if data:
            self.socket.sendall(data)

    @staticmethod
    def encode(method, parameters=None, **flags):
        call = {"method": method if "." in method else f"{INTERFACE}.{method}"}
        if parameters is not None:
            call["parameters"] = parameters
        call.update(flags)
        return json.dumps(call, ensure_ascii=False).encode() + b"\0"

    def send(self, method, parameters=None, **flags):
        self.send_bytes(self.encode(method, parameters, **flags))

    # ---- receiving ----

    def receive_message(self):
        """The next message with its descriptors."""
        while not self.messages:
            data, fds, flags, _ = socket.recv_fds(self.socket, 1 << 18, 253, socket.MSG_CMSG_CLOEXEC)
            assert not flags & socket.MSG_CTRUNC, "descriptors were cut off"
            if not data:
                raise Hungup(bytes(self.input))
            # They are of the last message that begins in these bytes.
            begins = not self.input
            *whole, rest = (bytes(self.input) + data).split(b"\0")
            self.input = bytearray(rest)
            for text in whole:
                self.messages.append(Message(json.loads(text), []))
            if fds:
                assert begins or len(whole) > 0, "descriptors in the middle of a message"
                assert not rest, "a message with descriptors did not come whole"
                self.messages[-1].fds.extend(fds)
        return self.messages.popleft()

    def receive(self):
        """The next reply: its parameters, its descriptors, and whether more follow. An error is raised."""
        message = self.receive_message()
        unknown = set(message.json) - {"parameters", "continues", "error"}
        assert not unknown, f"fields that no reply has: {unknown}"
        if "error" in message.json:
            for fd in message.fds:
                os.close(fd)
            assert not message.json.get("continues")
            raise Refused(message.json["error"], message.json.get("parameters") or {})
        return message.json.get("parameters") or {}, message.fds, message.json.get("continues", False)

    # ---- calling ----

    def call(self, method, parameters=None, /, **fields):
        """One call, one reply: its parameters. Descriptors that come are closed."""
        reply, fds = self.call_fds(method, parameters, **fields)
        for fd in fds:
            os.close(fd)
        return reply

    def call_fds(self, method, parameters=None, /, **fields):
        self.send(method, parameters if parameters is not None else fields)
        reply, fds, continues = self.receive()
        assert not continues, "`continues` in a reply to a call without `more`"
        return reply, fds

    def call_more(self, method, parameters=None, /, **fields):
        """Each reply's parameters and descriptors, which the caller closes."""
        self.send(method, parameters if parameters is not None else fields, more=True)
        continues = True
        while continues:
            reply, fds, continues = self.receive()
            yield reply, fds

    def list(self, method="List", field="service", **fields):
        """All items of a method that gives one a reply."""
        items = []
        for reply, _ in self.call_more(method, **fields):
            if reply.get(field) is not None:
                items.append(reply[field])
        return items

    def refused(self, method, parameters=None, /, **fields):
        """The error that a call is answered with."""
        try:
            reply = self.call(method, parameters, **fields)
        except Refused as error:
            return error
        raise AssertionError(f"{method} was not refused: {reply}")
