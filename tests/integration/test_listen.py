# SPDX-License-Identifier: Apache-2.0
"""hvsockctl listen: by itself at a URI, and at a service of the daemon's; standard input and output, an echo, a command."""

import contextlib
import errno
import hashlib
import os
import resource
import signal
import socket
import stat
import subprocess
import threading
import time

from hv.case import wait_for
from peers import Peers, read_all


class Listen(Peers):
    def there(self, path):
        """Once somebody listens there; not by connecting, which would be a connection."""

        def listening():
            with open("/proc/net/unix") as table:
                return any(line.split()[3] == "00010000" and line.endswith(f" {path}\n") for line in table)

        wait_for(listening, 10, f"{path} is listened on")

    def dial(self, path, kind=socket.SOCK_STREAM):
        client = socket.socket(socket.AF_UNIX, kind)
        self.things.callback(client.close)
        client.settimeout(60)
        client.connect(path)
        return client

    def ask(self, path, data=b"hello"):
        client = self.dial(path)
        if data:  # who is only asked for a word may have ended already
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        answer = read_all(client)
        client.close()
        return answer

    def sockets(self, process):
        count = 0
        for fd in os.listdir(f"/proc/{process.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                count += os.readlink(f"/proc/{process.pid}/fd/{fd}").startswith("socket:")
        return count

    def listen(self, uri, *options, path=None, **more):
        process = self.start("listen", uri, *options, **more)
        self.there(path or uri.removeprefix("unix://"))
        return process

    def ends(self, process, status=0, errors=b""):
        self.assertEqual((process.wait(60), process.stderr.read()), (status, errors))

    # ---- each form ----

    def test_unix(self):
        path = self.path("l")
        process = self.listen(f"unix://{path}")
        client = self.dial(path)
        client.sendall(b"up\0")
        self.assertEqual(process.stdout.read(3), b"up\0")
        self.assertFalse(os.path.exists(path), "nobody else is waited for")
        process.stdin.write(b"down")
        process.stdin.close()
        self.assertEqual(read_all(client), b"down")
        client.close()
        self.ends(process)

    def test_hybrid(self):
        """What a VMM connects to when its guest does."""
        guid = "3ad2c7f0-5b12-4a6c-9a00-000000000001"
        for number in ("5140", guid):
            process = self.listen(f"hybrid://{self.path('v.sock')}:{number}", path=self.path(f"v.sock_{number}"), stdin=subprocess.DEVNULL)
            client = self.dial(self.path(f"v.sock_{number}"))
            client.sendall(b"hello")
            client.close()
            self.assertEqual(process.stdout.read(), b"hello")
            self.ends(process)

    def test_hyperkit(self):
        process = self.listen(f"hyperkit://:5140/{self.d.folder}", "--echo", path=self.path("00000002.00001414"))
        self.assertEqual(self.ask(self.path("00000002.00001414")), b"hello")
        process.terminate()
        self.ends(process)
        self.assertFalse(os.path.exists(self.path("00000002.00001414")))

    def test_vsock(self):
        """Bound and taken; connections are made in the guest alone."""
        port = self.d.port()
        for uri in (f"vsock://:{port}", f"vsock:any:{port}"):
            process = self.start("listen", uri, "--retry", "forever", "--interval", "1")  # is_bound may have it just then
            wait_for(lambda: self.is_bound(port))
            self.fails("cannot listen: Address already in use; hvsockctl who", "listen", uri)
            process.terminate()
            self.ends(process)
            self.fails(f"{uri}: nobody connected; --timeout waits longer", "listen", uri, "--timeout", "1")

    def is_bound(self, port):
        with socket.socket(socket.AF_VSOCK) as other:
            try:
                other.bind((socket.VMADDR_CID_ANY, port))
            except OSError as error:
                self.assertEqual(error.errno, errno.EADDRINUSE)
                return True
        return False

    def test_refused_forms(self):
        for uri, why in (
            ("hvsock:///00001414-facb-11e6-bd58-64006a7986d3", "Linux has no AF_HYPERV sockets; use vsock://:5140, also in a guest of Hyper-V, or a service's name"),
            ("hvsock:///3ad2c7f0-5b12-4a6c-9a00-000000000001", "no vsock port, so that only hybrid://PATH:GUID"),
            ("machine:web1", "hvsockctl register NAME --listen machine:NAME"),
            ("hybrid:///run/v.sock", "the port is missing"),
            ("vsock://5140", "no colon"),
            ("nonsense://", "no transport"),
        ):
            self.fails(why, "listen", uri, expect=2)
        for options, why in (
            (["--echo", "--exec", "true"], "go not together"),
            (["--echo", "--keep"], "for standard input and output"),
            (["--exec", "true", "--progress"], "for standard input and output"),
            (["--max-connections", "2"], "goes with --echo and --exec"),
            (["--echo", "--max-connections", "0"], "1 to 4096"),
            (["--type", "dgram", "--keep"], "dgram has no connections"),
            (["--type", "raw"], "--type"),
        ):
            self.fails(why, "listen", f"unix://{self.path('l')}", *options, expect=2)
        self.fails("are for a URI", "listen", "a", "--type", "stream", expect=2)

    # ---- paths ----

    def test_stale(self):
        path = self.path("l")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
        process = self.listen(f"unix://{path}", "--echo")
        self.assertEqual(self.ask(path), b"hello")
        # Killed, it leaves the next one something to replace.
        process.kill()
        process.wait()
        self.assertTrue(os.path.exists(path))
        process = self.listen(f"unix://{path}", "--echo")
        self.assertEqual(self.ask(path), b"hello")
        process.terminate()
        self.ends(process)

    def test_taken(self):
        path = self.path("l")
        process = self.listen(f"unix://{path}", "--echo")
        self.fails(rf"hvsockctl \(process {process.pid}\) listens on {path}; hvsockctl who", "listen", f"unix://{path}")
        self.assertEqual(self.ask(path), b"hello")
        open(self.path("file"), "w").close()
        self.fails("is there already, and is no socket", "listen", f"unix://{self.path('file')}", "--retry", "forever")
        self.assertTrue(os.path.exists(self.path("file")))
        self.fails("No such file or directory; make its folder first", "listen", f"unix://{self.path('none/l')}")
        later = self.start("listen", f"unix://{path}", "--retry", "forever", "--interval", "1")
        time.sleep(0.3)
        process.terminate()
        process.wait()
        self.there(path)
        later.terminate()
        self.ends(later)

    def test_at_one_moment(self):
        """Several find one left-over: one of them listens in its place, and is not pushed out by the others."""
        path = self.path("l")
        for _ in range(3):
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
            processes = [self.start("listen", f"unix://{path}", "--echo") for _ in range(4)]
            wait_for(lambda: sum(one.poll() is None for one in processes) == 1, 60, "one is left")
            (winner,) = (one for one in processes if one.poll() is None)
            for one in processes:
                if one is not winner:
                    self.assertEqual(one.returncode, 1)
                    self.assertIn(f"listens on {path}; ", one.stderr.read().decode())
            self.there(path)
            self.assertEqual(self.ask(path), b"hello")
            winner.terminate()
            self.ends(winner)
            self.assertEqual([name for name in os.listdir(self.d.folder) if name == "l" or name.startswith(".hvsockd-stale")], [])

    def test_path_of_others(self):
        """What has taken our path's place meanwhile is not ours to remove."""
        path = self.path("l")
        process = self.listen(f"unix://{path}", "--echo")
        os.unlink(path)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(path)
            process.terminate()
            self.ends(process)
            self.assertTrue(os.path.exists(path))

    def test_long_path(self):
        folder = self.d.folder / ("y" * 120)
        folder.mkdir()
        process = self.start("listen", f"unix://{folder}/l", "--echo")
        wait_for(lambda: (folder / "l").exists())
        self.assertEqual(self.run_ctl("connect", f"unix://{folder}/l", "--retry", "3", data=b"hello")[0], b"hello")
        process.terminate()
        self.ends(process)
        self.assertFalse((folder / "l").exists())

    # ---- standard input and output ----

    def test_signals(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            path = self.path("l")
            process = self.listen(f"unix://{path}")
            process.send_signal(number)
            self.ends(process)
            self.assertFalse(os.path.exists(path))
            process = self.listen(f"unix://{path}", "--keep")
            client = self.dial(path)
            client.sendall(b"x")
            self.assertEqual(process.stdout.read(1), b"x")
            process.send_signal(number)
            self.ends(process)
            self.assertFalse(os.path.exists(path))

    def test_signal_between_tries(self):
        path = self.path("l")
        process = self.listen(f"unix://{path}", "--echo")
        for options in ([], ["--echo"]):
            other = self.start("listen", f"unix://{path}", "--retry", "forever", *options)
            time.sleep(0.3)
            other.terminate()
            self.assertEqual(other.wait(60), -signal.SIGTERM)
        process.terminate()
        self.ends(process)

    def test_keep(self):
        path = self.path("l")
        process = self.listen(f"unix://{path}", "--keep")
        process.stdin.write(b"first")
        process.stdin.flush()
        client = self.dial(path)
        client.sendall(b"one ")
        self.assertEqual(client.recv(5), b"first")
        client.close()
        self.assertEqual(process.stdout.read(4), b"one ")
        wait_for(lambda: self.sockets(process) == 1, 5, "it is done with the first")
        client = self.dial(path)
        process.stdin.write(b"second")
        process.stdin.close()
        self.assertEqual(read_all(client), b"second")
        client.sendall(b"two ")
        client.close()
        # Standard input has ended: the third is told so at once.
        client = self.dial(path)
        self.assertEqual(read_all(client), b"")
        client.sendall(b"three")
        client.close()
        self.assertEqual(process.stdout.read(9), b"two three")
        process.terminate()
        self.ends(process)

    def test_half_close(self):
        path = self.path("l")
        process = self.listen(f"unix://{path}")
        client = self.dial(path)
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(process.stdout.read(), b"question")
        time.sleep(0.2)
        self.assertIsNone(process.poll())
        process.stdin.write(b"answer")
        process.stdin.close()
        self.assertEqual(read_all(client), b"answer")
        self.ends(process)

    def test_volume(self):
        data = self.volume()
        path = self.path("l")
        process = self.listen(f"unix://{path}", "--echo")
        output, errors = self.run_ctl("connect", f"unix://{path}", data=data)
        self.assertEqual((hashlib.sha256(output).digest(), errors), (hashlib.sha256(data).digest(), ""))
        process.terminate()
        self.ends(process)

    def test_timeout(self):
        self.fails("nobody connected; --timeout waits longer", "listen", f"unix://{self.path('l')}", "--timeout", "1")
        self.assertFalse(os.path.exists(self.path("l")))

    def test_progress(self):
        path = self.path("l")
        process = self.listen(f"unix://{path}", "--progress")
        client = self.dial(path)
        client.sendall(b"x" * 10)
        client.close()
        process.stdin.close()
        self.assertEqual(process.wait(60), 0)
        self.assertRegex(process.stderr.read().decode(), r"\A(sent .*\n)*sent 0 B \(0 B/s\), received 10 B \(.*/s\), \d+\.\d s\n\Z")

    def test_messages(self):
        path = self.path("l")
        process = self.start("listen", f"unix://{path}", "--type", "seqpacket", "--echo")
        self.there(path)
        client = self.dial(path, socket.SOCK_SEQPACKET)
        for message in (b"one", b"x" * 50000, b"three"):
            client.sendall(message)
        self.assertEqual([client.recv(1 << 17) for _ in range(3)], [b"one", b"x" * 50000, b"three"])
        client.close()
        process.terminate()
        self.ends(process)
        process = self.start("listen", f"unix://{path}", "--type", "dgram")
        wait_for(lambda: os.path.exists(path))
        client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        client.settimeout(60)
        client.bind(self.path("client"))
        client.sendto(b"one", path)
        self.assertEqual(process.stdout.read(3), b"one")
        process.stdin.write(b"answer")
        process.stdin.close()
        self.assertEqual(client.recv(100), b"answer")
        client.close()
        self.ends(process)

    # ---- a process a connection ----

    def children(self, process):
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            return file.read().split()

    def test_exec(self):
        path = self.path("l")
        show = 'echo "${HVSOCK_SERVICE-none} ${REMOTE_ADDR-none} $LISTEN_FDS $LISTEN_FDNAMES"; for n in 0 1 2 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$n && echo $n; done'
        process = self.listen(f"unix://{path}", "--exec", show)
        self.assertEqual(self.ask(path, b""), b"none none 1 connection\n0\n1\n2\n3\n")
        for _ in range(30):
            self.ask(path, b"")
        wait_for(lambda: not self.children(process), 5)
        process.terminate()
        self.ends(process)
        self.assertFalse(os.path.exists(path))

    def test_command_dies_of_sigpipe(self):
        """What is started finds signals as they were."""
        path = self.path("l")
        process = self.listen(f"unix://{path}", "--exec", f"grep -E '^Sig(Blk|Ign)' /proc/self/status")
        for line in self.ask(path, b"").decode().splitlines():
            name, bits = line.split(":\t")
            # Those that were blocked and ignored where the test began are so here: of ours is SIGPIPE, and those we wait for.
            self.assertFalse(int(bits, 16) & sum(1 << (n - 1) for n in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGTERM)), name)
        process.terminate()
        self.ends(process)

    def test_bounded(self):
        """No more than so many at a time; who comes then waits."""
        path = self.path("l")
        process = self.listen(f"unix://{path}", "--echo", "--max-connections", "2")
        clients = [self.dial(path) for _ in range(5)]
        for client in clients:
            client.sendall(b"x")
        self.assertEqual(clients[0].recv(1) + clients[1].recv(1), b"xx")
        time.sleep(0.3)
        self.assertEqual(len(self.children(process)), 2)
        for client in clients[2:]:
            client.setblocking(False)
            self.assertRaises(BlockingIOError, client.recv, 1)
            client.settimeout(60)
        clients[0].close()
        self.assertEqual(clients[2].recv(1), b"x")
        clients[1].close()
        clients[2].close()
        self.assertEqual(clients[3].recv(1) + clients[4].recv(1), b"xx")
        clients[3].close()
        clients[4].close()
        process.terminate()
        self.ends(process)

    def test_goes_on(self):
        path = self.path("l")
        process = self.listen(f"unix://{path}", "--echo")
        client = self.dial(path)
        client.sendall(b"one")
        self.assertEqual(client.recv(3), b"one")
        process.terminate()
        self.assertEqual(process.wait(60), 0)
        client.sendall(b"two")
        self.assertEqual(client.recv(3), b"two")
        client.close()

    def test_no_descriptors(self):
        """Connections wait until there is one; it is told once."""
        path = self.path("l")
        process = self.listen(f"unix://{path}", "--echo", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
        free = len(os.listdir(f"/proc/{process.pid}/fd"))
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (free, 64))
        client = self.dial(path)
        client.sendall(b"x")
        why = f"hvsockctl: unix://{path}: connections wait: Too many open files; raise RLIMIT_NOFILE\n"
        self.assertEqual(process.stderr.readline().decode(), why)
        time.sleep(0.7)  # it is tried again meanwhile
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (64, 64))
        self.assertEqual(client.recv(1), b"x")
        client.close()
        process.terminate()
        self.ends(process)


class Services(Peers):
    """listen NAME: the daemon accepts and checks."""

    RUNS = True

    def setUp(self):
        super().setUp()
        self.c = self.client(self.d)
        self.c.call("Register", service={"name": "a", "listen": [f"unix://{self.path('a.sock')}"], "peers": {"maxConnections": 9}})

    def test_standard_io(self):
        data = self.volume(8 << 20)
        for options, clients in (([], 1), (["--keep"], 3)):
            process = self.start("listen", "a", *options)
            for _ in range(clients):
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(60)
                    client.connect(self.path("a.sock"))
                    sender = threading.Thread(target=lambda c=client: (c.sendall(data), c.shutdown(socket.SHUT_WR)))
                    sender.start()
                    received = b""
                    while len(received) < len(data):
                        piece = os.read(process.stdout.fileno(), 1 << 20)
                        self.assertTrue(piece)
                        received += piece
                    self.assertEqual(hashlib.sha256(received).digest(), hashlib.sha256(data).digest())
                    sender.join(60)
                    if not options:
                        process.stdin.write(b"answer")
                        process.stdin.close()
                        self.assertEqual(read_all(client), b"answer")
            if options:
                process.terminate()
            self.assertEqual((process.wait(60), process.stderr.read()), (0, b""))

    def test_max_connections(self):
        process = self.start("listen", "a", "--echo", "--max-connections", "1")
        with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
            for client in (first, second):
                client.settimeout(60)
                client.connect(self.path("a.sock"))
                client.sendall(b"x")
            self.assertEqual(first.recv(1), b"x")
            second.settimeout(0.3)
            self.assertRaises(TimeoutError, second.recv, 1)
            second.settimeout(60)
            first.close()
            self.assertEqual(second.recv(1), b"x")
        process.terminate()
        self.assertEqual((process.wait(60), process.stderr.read()), (0, b""))
