# SPDX-License-Identifier: Apache-2.0
"""For test_connect and test_listen: the other end of a connection, and hvsockctl between pipes."""

import os
import socket
import subprocess
import threading

from hv.case import Case


def read_all(connection):
    pieces = []
    while piece := connection.recv(1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


def echo(connection):
    while piece := connection.recv(1 << 16):
        connection.sendall(piece)


class Peers(Case):
    """What hvsockctl does, without a daemon that runs, unless RUNS."""

    RUNS = False

    def setUp(self):
        super().setUp()
        self.d = self.daemon(start=self.RUNS)

    def path(self, name):
        return str(self.d.folder / name)

    def server(self, handle, name="s", kind=socket.SOCK_STREAM):
        """handle(connection) for each that comes to this path, one after the other; returns the path."""
        path = self.path(name)
        listener = socket.socket(socket.AF_UNIX, kind)
        listener.bind(path)
        if kind != socket.SOCK_DGRAM:
            listener.listen()

        def serve():
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                with connection:
                    try:
                        connection.settimeout(60)
                        handle(connection)
                    except OSError:
                        pass

        target, arguments = (handle, (listener,)) if kind == socket.SOCK_DGRAM else (serve, ())
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        thread.start()

        def end():
            if kind != socket.SOCK_DGRAM:
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(60)
            os.unlink(path)

        self.things.callback(end)
        return path

    def start(self, *arguments, **options):
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return self.process(self.d.ctl_command(*arguments), env=self.d.ctl_environment(), **options)

    def run_ctl(self, *arguments, data=b"", expect=0, timeout=60):
        """Its standard output and error."""
        process = self.start(*arguments)
        output, errors = process.communicate(data, timeout=timeout)
        self.assertEqual(process.returncode, expect, (arguments, errors))
        return output, errors.decode()

    def fails(self, why, *arguments, expect=1, **options):
        """With exactly one line of this end, after `hvsockctl: `."""
        output, errors = self.run_ctl(*arguments, expect=expect, **options)
        self.assertEqual(output, b"")
        self.assertRegex(errors, rf"\Ahvsockctl: [^\n]*{why}[^\n]*\n\Z")
        return errors

    def volume(self, size=64 << 20):
        """Bytes that no way of moving them may change."""
        block = os.urandom(1 << 20)
        return b"".join(bytes([i & 255]) + block[1:] for i in range(size >> 20))
