# SPDX-License-Identifier: Apache-2.0
"""serve.py SERVICE: takes connections with Serve, answers each with who it is said to be, and tells when it ends."""
import json
import os
import socket
import sys
import threading


def serve(about, connection):
    who = f"{about.get('machine')} at {about['peer']}"
    try:
        said = connection.recv(200).decode()
        connection.sendall(f"{sys.argv[1]} serves {who}".encode())
        print(f"{said} of {who}", flush=True)
        while connection.recv(200):
            pass
        print(f"ended: {who}", flush=True)
    except OSError as error:
        print(f"ended: {who}: {error}", flush=True)


registry = socket.socket(socket.AF_UNIX)
registry.connect(os.environ["HVSOCK_SOCKET"])
call = {"method": "io.hvsock.Registry.Serve", "parameters": {"name": sys.argv[1]}}
registry.sendall(json.dumps(call).encode() + b"\0")
reply, fds, _, _ = socket.recv_fds(registry, 65536, 1)
assert "error" not in json.loads(reply.rstrip(b"\0")), reply
print("serving", flush=True)
given = socket.socket(fileno=fds[0])
while True:
    message, fds, _, _ = socket.recv_fds(given, 65536, 1)
    if not message:
        break
    threading.Thread(target=serve, args=(json.loads(message), socket.socket(fileno=fds[0])), daemon=True).start()
