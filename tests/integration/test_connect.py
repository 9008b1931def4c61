# SPDX-License-Identifier: Apache-2.0
"""hvsockctl connect: each form of an address, both directions to their own ends, and peers that do not behave."""

import array
import errno
import hashlib
import os
import pty
import re
import select
import signal
import socket
import subprocess
import threading
import time

from hv.case import wait_for
from peers import Peers, echo, read_all
from vmm import serve as serve_hybrid


class Connect(Peers):
    def connect(self, uri, *options, **more):
        return self.run_ctl("connect", uri, *options, **more)

    # ---- each form ----

    def test_unix(self):
        path = self.server(echo)
        self.assertEqual(self.connect(f"unix://{path}", data=b"hello\0\xff\n"), (b"hello\0\xff\n", ""))
        self.assertEqual(self.connect(f"unix://{path}", data=b""), (b"", ""))

    def test_long_path(self):
        folder = self.d.folder / ("x" * 120)
        folder.mkdir()
        socket_path = folder / "s"
        os.chdir(folder)
        self.addCleanup(os.chdir, "/")
        listener = socket.socket(socket.AF_UNIX)
        self.things.callback(listener.close)
        listener.bind("s")
        listener.listen()
        process = self.start("connect", f"unix://{socket_path}")
        connection = listener.accept()[0]
        connection.sendall(b"here")
        connection.close()
        self.assertEqual(process.communicate(timeout=60)[0], b"here")

    def test_hybrid(self):
        path = self.server(serve_hybrid)
        self.assertEqual(self.connect(f"hybrid://{path}:1024", data=b"hello\n"), (b"hello\n", ""))

    def test_hybrid_bytes(self):
        """What is said first, byte for byte, and that nothing behind the answer is lost or taken for it."""
        guid = "3ad2c7f0-5b12-4a6c-9a00-000000000001"
        said = []
        for number, answer in (("1024", b"OK 1073741824\n"), (guid, b"OK " + guid.encode() + b"\n"), ("7", b"OK 0\n")):

            def handle(connection, answer=answer):
                said.append(connection.recv(100))
                connection.sendall(answer + b"at once\nOK 1\n")
                connection.sendall(read_all(connection))

            path = self.server(handle, name=f"s{number}")
            self.assertEqual(self.connect(f"hybrid://{path}:{number}", data=b"up")[0], b"at once\nOK 1\nup")
        self.assertEqual(said, [b"CONNECT 1024\n", f"CONNECT {guid}\n".encode(), b"CONNECT 7\n"])

    def test_hybrid_in_pieces(self):
        def handle(connection):
            connection.recv(100)
            for byte in b"OK 5\n!":
                connection.sendall(bytes([byte]))
                time.sleep(0.02)

        self.assertEqual(self.connect(f"hybrid://{self.server(handle)}:5")[0], b"!")

    def test_hyperkit(self):
        said = []

        def handle(connection):
            said.append(connection.recv(18, socket.MSG_WAITALL))
            echo(connection)

        (self.d.folder / "hk").mkdir()
        self.server(handle, name="hk/connect")
        self.assertEqual(self.connect(f"hyperkit://:5140/{self.d.folder}/hk", data=b"x" * 100)[0], b"x" * 100)
        self.assertEqual(said, [b"00000003.00001414\n"])

    def test_refused_forms(self):
        """None of these is tried: what would be right is said."""
        for uri, why in (
            ("hvsock://wsl/00001414-facb-11e6-bd58-64006a7986d3", "Linux has no AF_HYPERV sockets; use vsock://CID:5140"),
            ("hvsock:///3ad2c7f0-5b12-4a6c-9a00-000000000001", "no vsock port"),
            ("hvsock:///run/v.sock:5", "hybrid://PATH:PORT would be right"),
            ("vsock://:5140", "nobody has the CID any"),
            ("vsock:any:5140", "nobody has the CID any"),
            ("vsock://2", "no colon before the port"),
            ("hybrid:///run/v.sock", "the port is missing; hybrid://"),
            ("hyperkit:///run", "the port is missing; hyperkit://"),
            ("machine:web1", "SERVICE@MACHINE would be right"),
            ("unix://@abstract", "abstract"),
            ("tcp://localhost:5", "no transport"),
            ("ssh", "it is not said where"),
            ("ssh@", "right after the @"),
            ("@web1", "right before the @"),
            ("SSH@web1", "right before the @"),
            ("4294967295@web1", "is no port"),
            ("22@99999999999", "is no CID"),
            ("22@any", "right after the @"),
        ):
            with self.subTest(uri):
                self.fails(re.escape(why), "connect", uri, expect=2)
        for options, why in (
            (["--type", "raw"], "--type"),
            (["--timeout", "0"], "--timeout: \"0\""),
            (["--timeout", "1.5"], "--timeout"),
            (["--retry", "often"], "--retry"),
            (["--interval", "1"], "--interval"),
            (["--pass-fd"], "--pass-fd: standard output is no unix socket"),
            (["--exec", "true", "--progress"], "go not together"),
        ):
            self.fails(why, "connect", "unix:///none", *options, expect=2)
        self.fails("stream sockets only", "connect", "hybrid:///none:5", "--type", "seqpacket", expect=2)

    def test_unreachable(self):
        self.fails("No such file or directory; start what listens there", "connect", f"unix://{self.path('none')}")
        self.fails("No such file or directory; start the machine", "connect", f"hybrid://{self.path('none')}:5")
        stale = self.path("stale")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(stale)
        self.fails("Connection refused; the socket's file is a left-over", "connect", f"unix://{stale}")
        open(self.path("file"), "w").close()
        self.fails("Connection refused", "connect", f"unix://{self.path('file')}")

    # ---- both directions, each to its own end ----

    def test_half_close_of_ours(self):
        """Our end is told to the peer, who may then take its time."""

        def handle(connection):
            data = read_all(connection)
            time.sleep(0.3)
            connection.sendall(hashlib.sha256(data).hexdigest().encode())

        self.assertEqual(self.connect(f"unix://{self.server(handle)}", data=b"x" * 300000)[0], hashlib.sha256(b"x" * 300000).hexdigest().encode())

    def test_half_close_of_the_peers(self):
        """The peer's end is told to who reads our output; what we send goes on."""
        got = []

        def handle(connection):
            connection.sendall(b"bye")
            connection.shutdown(socket.SHUT_WR)
            got.append(read_all(connection))

        process = self.start("connect", f"unix://{self.server(handle)}")
        self.assertEqual(process.stdout.read(), b"bye")
        time.sleep(0.2)
        self.assertIsNone(process.poll())
        for _ in range(3):
            process.stdin.write(b"still here ")
            process.stdin.flush()
            time.sleep(0.05)
        process.stdin.close()
        self.assertEqual(process.wait(60), 0)
        wait_for(lambda: got == [b"still here " * 3])

    def test_peer_that_goes(self):
        """Who has closed altogether does not keep us waiting for a person who types."""
        process = self.start("connect", f"unix://{self.server(lambda connection: connection.sendall(b'bye'))}")
        self.assertEqual(process.wait(60), 0)
        self.assertEqual(process.stdout.read(), b"bye")

        def in_two_steps(connection):
            connection.shutdown(socket.SHUT_WR)
            time.sleep(0.3)

        process = self.start("connect", f"unix://{self.server(in_two_steps, name='t')}")
        self.assertEqual(process.stdout.read(), b"")
        self.assertEqual((process.wait(60), process.stderr.read()), (0, b""))

    def test_socketpair_as_standard_io(self):
        """One socket as both, as inetd has it: its flags stay as they are, and its ends are told too."""
        ours, theirs = socket.socketpair()
        path = self.server(lambda connection: connection.sendall(read_all(connection)[::-1]))
        process = self.start("connect", f"unix://{path}", stdin=theirs, stdout=theirs)
        self.assertTrue(theirs.getblocking())
        theirs.close()
        ours.sendall(b"abc" * 1000)
        ours.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(ours), b"cba" * 1000)
        self.assertEqual(process.wait(60), 0)
        ours.close()

    # ---- many bytes, each way of moving them ----

    def test_volume_by_pipes(self):
        data = self.volume()
        output, errors = self.connect(f"unix://{self.server(echo)}", data=data)
        self.assertEqual((hashlib.sha256(output).digest(), errors), (hashlib.sha256(data).digest(), ""))

    def test_volume_by_files(self):
        """Spliced through a pipe of its own; a file that is appended to cannot be spliced to: that is copied."""
        data = self.volume()
        with open(self.path("in"), "wb") as file:
            file.write(data)
        uri = f"unix://{self.server(echo)}"
        for flags in (os.O_TRUNC, os.O_APPEND):
            name = self.path(f"out{flags}")
            stdout = os.open(name, os.O_WRONLY | os.O_CREAT | flags, 0o600)
            with open(self.path("in"), "rb") as stdin:
                process = self.start("connect", uri, stdin=stdin, stdout=stdout)
            os.close(stdout)
            self.assertEqual((process.wait(60), process.stderr.read()), (0, b""))
            with open(name, "rb") as file:
                self.assertEqual(hashlib.sha256(file.read()).digest(), hashlib.sha256(data).digest(), flags)

    def test_volume_by_sockets(self):
        """Standard input and output that others share are copied to and from."""
        data = self.volume()
        ours, theirs = socket.socketpair()
        process = self.start("connect", f"unix://{self.server(echo)}", stdin=theirs, stdout=theirs)
        theirs.close()
        got = []
        reader = threading.Thread(target=lambda: got.append(read_all(ours)))
        reader.start()
        ours.sendall(data)
        ours.shutdown(socket.SHUT_WR)
        reader.join(60)
        self.assertEqual(process.wait(60), 0)
        self.assertEqual(hashlib.sha256(got[0]).digest(), hashlib.sha256(data).digest())
        ours.close()

    def test_volume_one_way(self):
        data = self.volume()
        got = []
        path = self.server(lambda connection: got.append(read_all(connection)), name="up")
        with open(self.path("in"), "wb") as file:
            file.write(data)
        with open(self.path("in"), "rb") as stdin:
            process = self.start("connect", f"unix://{path}", stdin=stdin)
        self.assertEqual(process.wait(60), 0)
        wait_for(lambda: got)
        self.assertEqual(hashlib.sha256(got[0]).digest(), hashlib.sha256(data).digest())
        path = self.server(lambda connection: connection.sendall(data), name="down")
        self.assertEqual(hashlib.sha256(self.connect(f"unix://{path}")[0]).digest(), hashlib.sha256(data).digest())

    def test_slow_reader(self):
        """A direction that cannot go on does not hold up the other, and costs no time of the processor."""
        path = self.server(lambda connection: (connection.sendall(b"x" * (8 << 20)), echo(connection)))

        def handle(connection):
            sender = threading.Thread(target=connection.sendall, args=(b"d" * (8 << 20),))
            sender.start()
            got.append(connection.recv(5, socket.MSG_WAITALL))
            sender.join(60)

        got = []
        path = self.server(handle, name="slow")
        process = self.start("connect", f"unix://{path}")
        time.sleep(0.5)
        process.stdin.write(b"hello")
        process.stdin.flush()
        wait_for(lambda: got == [b"hello"])

        def ticks():
            with open(f"/proc/{process.pid}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])

        before = ticks()
        time.sleep(0.5)
        self.assertLess(ticks() - before, 10, "ticks of the processor while nothing could move")
        self.assertEqual(process.stdout.read(), b"d" * (8 << 20))
        self.assertEqual(process.wait(60), 0)

    # ---- messages ----

    def test_seqpacket(self):
        """Each read of standard input is a message, and each message a write."""
        got = []

        def handle(connection):
            while message := connection.recv(1 << 17):
                got.append(message)
                connection.sendall(message.upper())

        path = self.server(handle, kind=socket.SOCK_SEQPACKET)
        for options in ([], ["--type", "seqpacket"]):
            got.clear()
            process = self.start("connect", f"unix://{path}", *options)
            for message in (b"one", b"two", b"x" * 60000):
                process.stdin.write(message)
                process.stdin.flush()
                self.assertEqual(process.stdout.read(len(message)), message.upper())
            process.stdin.close()
            self.assertEqual((process.wait(60), b"".join(got)), (0, b"onetwo" + b"x" * 60000))
            self.assertEqual(got[:2], [b"one", b"two"])
        self.fails("give the --type that listens there", "connect", f"unix://{path}", "--type", "stream")

    def test_seqpacket_half_closed(self):
        """No empty message is sent, which would be an end, while it is waited for more."""
        got = []

        def handle(connection):
            connection.shutdown(socket.SHUT_WR)
            while message := connection.recv(100):
                got.append(message)

        process = self.start("connect", f"unix://{self.server(handle, kind=socket.SOCK_SEQPACKET)}", "--progress")
        self.assertEqual(process.stdout.read(), b"")
        time.sleep(1.3)
        process.stdin.write(b"still here")
        process.stdin.close()
        self.assertEqual(process.wait(60), 0)
        wait_for(lambda: got == [b"still here"])

    def test_dgram(self):
        def handle(server):
            for _ in range(2):
                message, sender = server.recvfrom(1000)
                server.sendto(message[::-1], sender)

        path = self.server(handle, kind=socket.SOCK_DGRAM)
        process = self.start("connect", f"unix://{path}")
        for message in (b"one", b"two"):
            process.stdin.write(message)
            process.stdin.flush()
            self.assertEqual(process.stdout.read(3), message[::-1])
        process.stdin.close()
        self.assertEqual(process.wait(60), 0)

    # ---- peers that do not behave ----

    def test_hybrid_refuses(self):
        self.fails("the VMM hung up: nothing in the machine listens on that port", "connect", f"hybrid://{self.server(lambda c: c.recv(100), name='a')}:5")
        self.fails("hung up: nothing", "connect", f"hybrid://{self.server(lambda c: None, name='b')}:5")

    def answers(self, name, answer, stay=True):
        def handle(connection):
            connection.recv(100)
            try:
                connection.sendall(answer)
            except OSError:
                return
            if stay:
                read_all(connection)

        return f"hybrid://{self.server(handle, name=name)}:5"

    def test_hybrid_answers_nothing(self):
        self.fails("the VMM has not answered; --timeout waits longer", "connect", self.answers("a", b""), "--timeout", "1")
        # What begins has to come within that time.
        self.fails("the VMM has not ended its answer", "connect", self.answers("b", b"OK 1"), "--timeout", "4")

    def test_hybrid_answers_wrong(self):
        for name, answer, why in (
            ("a", b"\n", 'it answered "" instead of OK'),
            ("b", b"OK\n", 'it answered "OK" instead'),
            ("c", b"OK \n", 'answered "OK " instead'),
            ("d", b"NO 5\n", 'answered "NO 5" instead'),
            ("e", b"OK 5\r\n", r'answered "OK 5\?" instead'),
            ("f", b"OK 5\0\n", r'answered "OK 5\?" instead'),
            ("g", b"HTTP/1.1 400 Bad Request\r\n\r\n", 'answered "HTTP/1.1 400 Bad Request'),
            ("h", b"\x1b[31m\xff\n", r'answered "\?\[31m\?"'),
            ("i", b"x" * (1 << 20), 'answered "x{40}" and more, without an end of line'),
        ):
            with self.subTest(answer[:10]):
                self.fails(why, "connect", self.answers(name, answer), timeout=60)
        self.fails("hung up in the middle of its answer", "connect", self.answers("z", b"OK 1", stay=False))

    def test_hybrid_trickles(self):
        """A byte now and then is not time without end."""

        def handle(connection):
            connection.recv(100)
            while True:
                connection.sendall(b"O")
                time.sleep(0.2)

        self.fails("has not ended its answer", "connect", f"hybrid://{self.server(handle)}:5", "--timeout", "4")

    def test_full_backlog(self):
        path = self.full("full")
        self.fails("cannot connect: Connection timed out; --timeout waits longer", "connect", f"unix://{path}", "--timeout", "1")

    def test_daemon_with_a_full_backlog(self):
        """The time is that of asking hvsockd, too, also where that does not even accept."""
        self.fails("hvsockd does not answer; hvsockctl doctor", "--socket", self.full("api"), "connect", "ssh@web1", "--timeout", "1", expect=4)

    def test_stopped_meanwhile(self):
        """Somebody who presses control and Z while it waits, and lets it go on."""
        process = self.start("connect", f"unix://{self.full('full')}", "--timeout", "2")
        wait_for(lambda: self.status(process) == "S")
        process.send_signal(signal.SIGSTOP)
        wait_for(lambda: self.status(process) == "T")
        process.send_signal(signal.SIGCONT)
        self.assertEqual(process.wait(60), 1)
        self.assertIn(b"Connection timed out", process.stderr.read())

    def status(self, process):
        with open(f"/proc/{process.pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0]

    def full(self, name):
        """A listener that takes nobody any more."""
        path = self.path(name)
        listener = self.things.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(path)
        listener.listen(0)
        while True:
            client = self.things.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            if client.connect_ex(path) == errno.EAGAIN:
                return path

    def test_peer_reads_not_all(self):
        def handle(connection):
            connection.recv(10)

        process = self.start("connect", f"unix://{self.server(handle)}")
        _, errors = process.communicate(b"x" * (8 << 20), timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertIn(b"the peer closed the connection without reading all that was sent", errors)

    def test_peer_stops_reading(self):
        """Who does not read any more may still have something to say."""

        def handle(connection):
            connection.recv(10)
            connection.shutdown(socket.SHUT_RD)
            time.sleep(0.3)
            connection.sendall(b"enough")

        process = self.start("connect", f"unix://{self.server(handle)}")
        output, errors = process.communicate(b"x" * (8 << 20), timeout=60)
        self.assertEqual((output, process.returncode), (b"enough", 1))
        self.assertIn(b"without reading all", errors)

    # ---- standard input and output that do not behave ----

    def test_reader_goes(self):
        """As with SIGPIPE, which is not waited for: status 0, no message."""
        path = self.server(lambda connection: connection.sendall(b"y\n" * (16 << 20)))
        process = self.start("connect", f"unix://{path}")
        self.assertEqual(process.stdout.read(4), b"y\ny\n")
        process.stdout.close()
        self.assertEqual((process.wait(60), process.stderr.read()), (0, b""))
        # And where nothing comes that could not be written.
        process = self.start("connect", f"unix://{self.server(read_all, name='quiet')}")
        time.sleep(0.2)
        process.stdout.close()
        self.assertEqual((process.wait(60), process.stderr.read()), (0, b""))

    def test_closed_at_start(self):
        got = []

        def handle(connection):
            connection.sendall(b"hello")
            got.append(read_all(connection))

        path = self.server(handle)
        environment = {**self.d.ctl_environment(), "CTL": self.d.ctl_command()[0], "URI": f"unix://{path}"}
        for redirections, output in (("<&-", b"hello"), (">&-", b""), ("2>&-", b"hello"), ("<&- >&- 2>&-", b"")):
            got.clear()
            done = subprocess.run(["sh", "-c", f'exec "$CTL" connect "$URI" {redirections}'], env=environment, input=b"", capture_output=True, timeout=60)
            self.assertEqual((done.returncode, done.stdout), (0, output), redirections)
            wait_for(lambda: got == [b""])

    def test_unusable_standard_io(self):
        path = self.server(lambda connection: (connection.sendall(b"x" * 5000), read_all(connection)))
        uri = f"unix://{path}"
        folder = os.open("/", os.O_RDONLY)
        process = self.start("connect", uri, stdin=folder)
        os.close(folder)
        self.assertEqual(process.wait(60), 2)
        self.assertEqual(process.stderr.read(), b"hvsockctl: standard input: cannot be read: Is a directory\n")
        with open("/dev/full", "w") as full:
            process = self.start("connect", uri, stdout=full)
        self.assertEqual(process.wait(60), 2)
        self.assertEqual(process.stderr.read(), b"hvsockctl: standard output: cannot be written: No space left on device\n")

    def test_terminal(self):
        ours, theirs = pty.openpty()
        process = self.start("connect", f"unix://{self.server(echo)}", stdin=theirs, stdout=theirs)
        os.close(theirs)
        os.write(ours, b"typed\n")
        output = b""
        while b"typed\r\ntyped" not in output:
            self.assertTrue(select.select([ours], [], [], 10)[0], output)
            output += os.read(ours, 1000)
        os.write(ours, b"\x04")
        self.assertEqual(process.wait(60), 0)
        os.close(ours)

    def test_signals(self):
        process = self.start("connect", f"unix://{self.server(echo)}")
        process.stdin.write(b"x")
        process.stdin.flush()
        self.assertEqual(process.stdout.read(1), b"x")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), -signal.SIGTERM)

    # ---- options ----

    def test_retry(self):
        path = self.path("late")
        began = time.monotonic()
        self.fails("No such file", "connect", f"unix://{path}", "--retry", "2")
        self.assertGreater(time.monotonic() - began, 0.3)
        process = self.start("connect", f"unix://{path}", "--retry", "forever", "--interval", "1")
        time.sleep(0.4)
        self.server(echo, name="late")
        self.assertEqual(process.communicate(b"hello", timeout=60), (b"hello", b""))
        self.assertEqual(process.returncode, 0)
        # A VMM that hangs up, as while its guest boots.
        times = []

        def handle(connection):
            times.append(time.monotonic())
            if len(times) == 3:
                serve_hybrid(connection)

        path = self.server(handle, name="boots")
        self.assertEqual(self.connect(f"hybrid://{path}:5", "--retry", "5", data=b"up\n")[0], b"up\n")
        self.assertGreater(times[2] - times[0], 0.29)
        # What does not get better is told at once.
        self.fails("is no VMM", "connect", self.answers("wrong", b"no\n"), "--retry", "forever")

    def test_progress(self):
        """Once a second, and at the end; standard input that has ended already, or has not."""

        def handle(connection):
            connection.sendall(b"x" * 2048)
            read_all(connection)
            enough.wait(60)

        for ends in (True, False):
            enough = threading.Event()
            process = self.start("connect", f"unix://{self.server(handle, name=f's{ends}')}", "--progress")
            process.stdin.write(b"y" * 100)
            process.stdin.flush()
            if ends:
                process.stdin.close()
            self.assertEqual(process.stdout.read(2048), b"x" * 2048)
            lines = [process.stderr.readline().decode() for _ in range(3)]
            first, _, third = (float(line.split()[-2]) for line in lines)
            self.assertGreater(third - first, 1.5, "no more than one a second")
            process.stdin.close()
            enough.set()
            self.assertEqual(process.wait(60), 0)
            last = process.stderr.read().decode().splitlines(keepends=True)
            self.assertTrue(last, "one at the end")
            for line in [*lines[1:], *last]:
                self.assertRegex(line, r"\Asent 100 B \(.*B/s\), received 2\.0 KiB \(.*B/s\), \d+\.\d s\n\Z")

    def test_exec(self):
        self.assertEqual(self.connect(f"unix://{self.server(echo)}", "--exec", "echo hello; read line; echo \"got $line\" >&2"), (b"", "got hello\n"))
        self.assertEqual(self.connect(f"unix://{self.server(echo, name='t')}", "--exec", "exit 7", expect=7), (b"", ""))

    def test_pass_fd(self):
        """The connection itself comes, as ssh's ProxyUseFdpass has it, after the VMM's answer and blocking."""
        ours, theirs = socket.socketpair()
        path = self.server(serve_hybrid)
        process = self.start("connect", f"hybrid://{path}:5", "--pass-fd", stdout=theirs)
        theirs.close()
        data, fds, _, _ = socket.recv_fds(ours, 10, 2)
        self.assertEqual((data, len(fds), process.wait(60)), (b"\0", 1, 0))
        with socket.socket(fileno=fds[0]) as connection:
            self.assertEqual(os.get_blocking(connection.fileno()), True)
            self.assertEqual(connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16), bytes(16))
            connection.sendall(b"through\n")
            self.assertEqual(connection.recv(100), b"through\n")
        ours.close()

    def test_starts_fast(self):
        """No daemon is asked about a URI, and nothing of its libraries is used."""
        path = self.server(echo)
        done = subprocess.run(["strace", "-f", "-o", self.path("trace"), *self.d.ctl_command("connect", f"unix://{path}")],
                              env=self.d.ctl_environment(), input=b"x", capture_output=True, timeout=60) if os.path.exists("/usr/bin/strace") else None
        if done is None:
            self.skipTest("there is no strace")
        with open(self.path("trace")) as file:
            text = file.read()
        self.assertNotIn("io.hvsock.Registry", text)
        self.assertNotIn("smartcols", text)


class Names(Peers):
    """SERVICE@MACHINE, by a daemon's answers."""

    RUNS = True

    def setUp(self):
        super().setUp()
        self.c = self.client(self.d)
        self.said = []

        def hybrid(connection):
            self.said.append(connection.recv(100))
            connection.sendall(b"OK 1\n")
            echo(connection)

        def hyperkit(connection):
            self.said.append(connection.recv(18, socket.MSG_WAITALL))
            echo(connection)

        for folder in ("hk", "hk1", "hk2", "vm"):
            (self.d.folder / folder).mkdir()
        self.server(hybrid, name="vm/v.sock")
        self.server(hyperkit, name="hk1/connect")
        self.server(hyperkit, name="hk2/connect")
        self.c.call("AddMachine", machine={"name": "web1", "cid": 77, "hybrid": self.path("vm/v.sock"), "hyperkit": self.path("hk")})
        self.c.call("AddMachine", machine={"name": "mac1", "hyperkit": self.path("hk1")})
        self.c.call("AddMachine", machine={"name": "mac2", "cid": 9, "hyperkit": self.path("hk2")})
        self.c.call("AddMachine", machine={"name": "win1", "vmId": "6f9619ff-8b86-d011-b42d-00c04fc964ff"})
        self.c.call("Register", service={"name": "ssh", "port": 22, "listen": []})
        self.c.call("Register", service={"name": "odd", "guid": "3ad2c7f0-5b12-4a6c-9a00-000000000001", "listen": []})
        self.c.call("Register", service={"name": "packets", "port": 23, "type": "seqpacket", "listen": []})

    def test_machines_own_transport(self):
        guid = "3ad2c7f0-5b12-4a6c-9a00-000000000001"
        for operand, said in (
            ("ssh@web1", "CONNECT 22\n"),
            ("5140@web1", "CONNECT 5140\n"),
            ("00001414-FACB-11E6-BD58-64006A7986D3@web1", "CONNECT 5140\n"),
            ("odd@web1", f"CONNECT {guid}\n"),
            (f"{{{guid}}}@web1", f"CONNECT {guid}\n"),
            ("ssh@mac1", "00000003.00000016\n"),
            ("ssh@mac2", "00000009.00000016\n"),
        ):
            with self.subTest(operand):
                self.said.clear()
                self.assertEqual(self.run_ctl("connect", operand, data=b"hello"), (b"hello", ""))
                self.assertEqual(self.said, [said.encode()])

    def test_unknown(self):
        self.fails("there is no service none; name its port", "connect", "none@web1")
        self.fails("there is no machine web9; hvsockctl machine list", "connect", "ssh@web9")
        self.fails("without a port", "connect", "odd@mac1")
        self.c.call("Register", service={"name": "bare", "listen": [f"unix://{self.path('bare')}"]})
        self.fails("the service has no port and no GUID", "connect", "bare@web1")
        self.fails("no transport that this host connects by", "connect", "ssh@win1")
        self.fails("its type is seqpacket, which", "connect", "packets@mac1")
        self.fails("without a port", "connect", "odd@42")
        self.run_ctl("--socket", self.path("nowhere"), "connect", "ssh@web1", expect=4)

    def test_comes_later(self):
        """A machine that is not there yet, and a daemon that is not."""
        process = self.start("connect", "ssh@late", "--retry", "forever", "--interval", "1")
        time.sleep(0.3)
        self.assertIsNone(process.poll())
        self.c.call("RemoveMachine", name="web1")
        self.c.call("AddMachine", machine={"name": "late", "hybrid": self.path("vm/v.sock")})
        self.assertEqual(process.communicate(b"hello", timeout=60), (b"hello", b""))

    def test_daemon_that_hangs(self):
        os.kill(self.d.pid, signal.SIGSTOP)
        try:
            self.fails("hvsockd does not answer", "connect", "ssh@web1", "--timeout", "1", expect=4)
        finally:
            os.kill(self.d.pid, signal.SIGCONT)
