#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for a VMM that speaks hybrid vsock (FACTS: host to guest `CONNECT port`, guest to host PATH_PORT):
vmm.py PATH [PORT [ARGUMENT]...]. Tells one line of JSON about itself, with whether its guest reached the host's PORT, and
echoes what the host sends to any port of its guest, until it is ended."""

import json
import os
import signal
import socket
import sys
import threading


def guest_connects(path, port):
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(f"{path}_{port}")
        except OSError:
            return False
    return True


def serve(connection):
    with connection, connection.makefile("rb") as lines:
        words = lines.readline().split()
        if len(words) != 2 or words[0] != b"CONNECT" or not words[1].isdigit():
            return
        connection.sendall(b"OK 1073741824\n")
        for line in lines:
            connection.sendall(line)


def main(path, port=None, *arguments):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    told = {
        "pid": os.getpid(),
        "uid": os.geteuid(),
        "connected": port is not None and guest_connects(path, port),
        "arguments": list(arguments),
        "environment": {k: v for k, v in os.environ.items() if k.startswith("HVSOCK_") and k not in ("HVSOCK_SOCKET", "HVSOCK_TEST_MARK")},
    }
    print(json.dumps(told), flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
