# SPDX-License-Identifier: Apache-2.0
"""Both sides of a conversation over AF_VSOCK, for the guest only.

vsock.py serve NAME       on the sockets from LISTEN_FDS: answers each connection with NAME, its peer and what it said
vsock.py ask [--seqpacket] CID PORT TEXT    connects, says TEXT, prints `connected` and then the answer
"""
import os
import select
import socket
import sys


def serve(name):
    assert os.environ["LISTEN_PID"] == str(os.getpid()), os.environ
    listeners = [socket.socket(fileno=3 + i) for i in range(int(os.environ["LISTEN_FDS"]))]
    while True:
        for listener in select.select(listeners, [], [])[0]:
            connection, peer = listener.accept()
            said = connection.recv(200).decode()
            connection.sendall(f"{name} heard {said} from CID {peer[0]} by {os.environ['LISTEN_FDNAMES']}".encode())
            connection.close()


def ask(kind, cid, port, text):
    connection = socket.socket(socket.AF_VSOCK, kind)
    connection.connect((int(cid), int(port)))
    print("connected", flush=True)
    connection.sendall(text.encode())
    print(connection.recv(400).decode(), flush=True)


if sys.argv[1] == "serve":
    serve(sys.argv[2])
elif sys.argv[2] == "--seqpacket":
    ask(socket.SOCK_SEQPACKET, *sys.argv[3:])
else:
    ask(socket.SOCK_STREAM, *sys.argv[2:])
