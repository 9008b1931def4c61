# SPDX-License-Identifier: Apache-2.0
"""hvsock-keeper by itself, spoken to in its own frames: what it holds, whom it lets in, what it makes of garbage."""

import contextlib
import fcntl
import os
import random
import resource
import select
import signal
import socket
import stat
import struct
import subprocess
import threading
import time
import unittest

from hv.daemon import BUILD, wait_for
from hv.keeper import (
    BEGUN, BEGUN_UNKNOWN, BELL, BIND, CRITICAL, DELETE, DONE, END, ERROR, FDS, HELLO, INSTANCE, ITEM, KEY, LIST, PID, PROGRAM, PUT,
    REEXEC, REFUSED, START, TEXT, UID, VALUE, VERSION, Client, Keeper, field, fields_of, frame, item,
    program,
)

NOBODY = 65534
EBUSY, EMFILE, EINVAL, ENAMETOOLONG, EMSGSIZE, EPROTO, EOPNOTSUPP = 16, 24, 22, 36, 90, 71, 95


def inode(fd):
    return os.fstat(fd).st_ino


class KeeperCase(unittest.TestCase):
    def keeper(self, *arguments, **options):
        keeper = Keeper(*arguments, **options)
        self.addCleanup(keeper.close)
        return keeper

    def pipes(self, count):
        fds = []
        for _ in range(count):
            reader, writer = os.pipe()
            os.close(writer)
            fds.append(reader)
            self.addCleanup(self.close_quietly, reader)
        return fds

    def assert_grown_less(self, keeper, before_kb, kb):
        if "sanitize" not in BUILD.name:  # which keeps what is freed
            self.assertLess(keeper.memory_kb() - before_kb, kb)

    def close_quietly(self, fd):
        try:
            os.close(fd)
        except OSError:
            pass

    def keys(self, client):
        items = client.list()
        for found in items.values():
            for fd in found.fds:
                os.close(fd)
        return set(items)


class Items(KeeperCase):
    def test_round_trip(self):
        keeper = self.keeper()
        client = keeper.client()
        self.assertEqual((client.hello[VERSION], client.hello[PID], client.hello[UID]), (1, keeper.pid, os.geteuid()))
        self.assertEqual(len(client.hello[INSTANCE]), 16)
        before = keeper.fds()
        values = {
            b"lone": (b"value", 1),
            b"l\0with NUL": (b"", 8),
            b"a": (b"x" * 16384, 0),
            b"s" * 5120: (b"\0\1\2", 2),
            "ünïcode".encode(): (b"x", 1),
        }
        fds = {}
        for key, (value, count) in values.items():
            fds[key] = self.pipes(count)
            self.assertEqual(client.put(key, value, fds[key]).type, DONE)
        for _ in range(2):
            items = client.list()
            self.assertEqual(list(items), list(values))
            for key, (value, count) in values.items():
                self.assertEqual(items[key].value, value)
                self.assertEqual([inode(fd) for fd in items[key].fds], [inode(fd) for fd in fds[key]])
                for fd in items[key].fds:
                    os.close(fd)
        self.assertEqual(len(keeper.fds()), len(before) + sum(count for _, count in values.values()))
        # One replaces another, and what that held is closed.
        new = self.pipes(3)
        self.assertEqual(client.put(b"lone", b"new", new).type, DONE)
        items = client.list()
        self.assertEqual(items[b"lone"].value, b"new")
        self.assertEqual([inode(fd) for fd in items[b"lone"].fds], [inode(fd) for fd in new])
        for found in items.values():
            for fd in found.fds:
                os.close(fd)
        self.assertEqual(client.call(DELETE, *(field(KEY, key) for key in values), field(KEY, "never there")).type, DONE)
        self.assertEqual(client.list(), {})
        self.assertEqual(keeper.fds(), before)

    def test_many_of_a_frame(self):
        client = self.keeper().client()
        fds = self.pipes(253)
        frames = [item(f"l{i}", str(i), i % 3) for i in range(200)]
        count = sum(i % 3 for i in range(200))
        self.assertEqual(client.call(PUT, *frames, fds=fds[:count]).type, DONE)
        items = client.list()
        used = 0
        for i in range(200):
            own = items[f"l{i}".encode()].fds
            self.assertEqual([inode(fd) for fd in own], [inode(fd) for fd in fds[used : used + i % 3]])
            used += i % 3
            for fd in own:
                os.close(fd)

    def test_no_answer_is_wanted(self):
        client = self.keeper().client()
        client.send(PUT, item("l1", "v"))
        client.send(PUT, item("l2", "v"))
        client.send(DELETE, field(KEY, "l1"))
        self.assertEqual(self.keys(client), {b"l2"})
        self.assertEqual(client.waiting, [])

    def client_with_bell(self, keeper, bell):
        """It has said HELLO, and what it sends from now on is read when the bell is rung."""
        client = keeper.client(hello=False)
        self.assertEqual(client.call(HELLO, field(VERSION, 1), field(BELL, 1), fds=[bell]).type, HELLO)
        keeper.wait_idle()  # until then it may read on
        return client

    def test_read_when_the_bell_is_rung(self):
        keeper = self.keeper()
        bell = os.eventfd(0)
        self.addCleanup(os.close, bell)
        client = self.client_with_bell(keeper, bell)
        before = keeper.fds()
        for key in ("l1", "l2"):
            client.send(PUT, item(key, "v", 1), fds=self.pipes(1))
        time.sleep(0.1)
        self.assertEqual(keeper.fds(), before)
        os.eventfd_write(bell, 1)
        wait_for(lambda: len(keeper.fds()) == len(before) + 2)
        # More than it reads in a turn, and more answers than wait at a time.
        for i in range(400):
            client.send(PUT, item(f"x{i}", "v"), request=1000 + i)
            if i % 50 == 0:
                os.eventfd_write(bell, 1)
        os.eventfd_write(bell, 1)
        self.assertEqual([client.answer(1000 + i).type for i in range(400)], [DONE] * 400)

    def test_kept_without_the_bell(self):
        keeper = self.keeper()
        bell = os.eventfd(0)
        self.addCleanup(os.close, bell)
        client = self.client_with_bell(keeper, bell)
        pipe = self.pipes(1)
        client.send(PUT, item("l1", "v", 1), fds=pipe)
        client.close()
        items = keeper.client().list()
        self.assertEqual([inode(fd) for fd in items[b"l1"].fds], [inode(pipe[0])])
        self.close_quietly(items[b"l1"].fds[0])

    def test_bell_that_is_none(self):
        keeper = self.keeper()
        with open("/dev/null") as null:
            client = self.client_with_bell(keeper, null.fileno())
        self.assertEqual(client.put(b"l1").type, DONE)
        client = keeper.client(hello=False)
        self.assertEqual(client.call(HELLO, field(VERSION, 1), field(BELL, 1)).type, HELLO)
        self.assertEqual(self.keys(client), {b"l1"})

    def test_bell_of_one_that_is_gone(self):
        """It is watched no more, though its owner has it still and rings."""
        keeper = self.keeper()
        bell = os.eventfd(0)
        self.addCleanup(os.close, bell)

        def is_epoll(number):
            with contextlib.suppress(FileNotFoundError):  # it has just been closed
                return os.readlink(f"/proc/{keeper.pid}/fd/{number}") == "anon_inode:[eventpoll]"

        (epoll,) = filter(is_epoll, keeper.fds())

        def watched():
            with open(f"/proc/{keeper.pid}/fdinfo/{epoll}") as file:
                return sum(line.startswith("tfd:") for line in file)

        before = watched()
        client = self.client_with_bell(keeper, bell)
        client.send(HELLO, field(BELL, 1), request=7, fds=[bell])
        os.eventfd_write(bell, 1)
        self.assertEqual(client.answer(7).type, HELLO)
        self.assertEqual(watched(), before + 2)
        client.close()
        wait_for(lambda: watched() == before, what=lambda: f"{watched()} are watched, which were {before}")
        last = keeper.client()
        for i in range(20):
            os.eventfd_write(bell, 1)
            self.assertEqual(last.put(f"l{i}").type, DONE)

    def begun(self, seals=fcntl.F_SEAL_SHRINK, size=8):
        fd = os.memfd_create("begun", os.MFD_ALLOW_SEALING)
        self.addCleanup(os.close, fd)
        os.write(fd, struct.pack("Q", BEGUN_UNKNOWN)[:size])
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        return fd, lambda: struct.unpack("Q", os.pread(fd, 8, 0))[0]

    def test_counts_what_it_has_begun_with(self):
        keeper = self.keeper()
        client = keeper.client(hello=False)
        fd, count = self.begun()
        self.assertEqual(client.call(HELLO, field(VERSION, 1), field(BEGUN, 1), fds=[fd]).type, HELLO)
        self.assertEqual(count(), 0)
        for i in range(1, 4):
            client.put(f"l{i}")
            self.assertEqual(count(), i)
        # Stopped, it has begun with nothing more; and so it is when it is killed.
        os.kill(keeper.pid, signal.SIGSTOP)
        for i in range(5):
            client.send(PUT, item(f"x{i}"))
        keeper.kill()
        self.assertEqual(count(), 3)

    def test_counts_no_more_once_it_is_executed_anew(self):
        keeper = self.keeper()
        client = keeper.client(hello=False)
        fd, count = self.begun()
        client.call(HELLO, field(VERSION, 1), field(BEGUN, 1), fds=[fd])
        self.assertEqual(client.call(REEXEC).type, DONE)
        self.assertEqual(client.put("l1").type, DONE)
        self.assertEqual(count(), BEGUN_UNKNOWN)

    def test_counts_nowhere_where_it_could_be_ended(self):
        """Memory that can be taken away under it, too little of it, or none."""
        keeper = self.keeper()
        for seals, size in ((0, 8), (fcntl.F_SEAL_SHRINK, 7), (fcntl.F_SEAL_SHRINK, 0)):
            client = keeper.client(hello=False)
            fd, _ = self.begun(seals, size)
            self.assertEqual(client.call(HELLO, field(VERSION, 1), field(BEGUN, 1), fds=[fd]).type, HELLO)
            if not seals:
                os.truncate(fd, 0)
            self.assertEqual(client.put("l").type, DONE)
        with open("/dev/zero") as other:
            client = keeper.client(hello=False)
            self.assertEqual(client.call(HELLO, field(VERSION, 1), field(BEGUN, 1), fds=[other.fileno()]).type, HELLO)
            self.assertEqual(client.put("l").type, DONE)
        client = keeper.client(hello=False)
        self.assertEqual(client.call(HELLO, field(VERSION, 1), field(BEGUN, 1)).type, HELLO)
        self.assertEqual(client.put("l").type, DONE)

    def test_refused(self):
        client = self.keeper().client()
        pipe = self.pipes(9)
        cases = [
            (ENAMETOOLONG, item("l" * 5121), ()),
            (EMSGSIZE, item("l", b"x" * 16385), ()),
            (EMSGSIZE, item("l", b"", 9), pipe),
            (EINVAL, item(""), ()),
            (EINVAL, field(ITEM, b""), ()),
            (EPROTO, item("l", b"", 1, field(77 | CRITICAL, "newer")), pipe[:1]),
        ]
        for error, fields, fds in cases:
            answer = client.call(PUT, fields, item("good"), fds=fds)
            self.assertEqual((answer.type, answer[ERROR]), (REFUSED, error))
            self.assertTrue(answer[TEXT])
            if len(answer.get(KEY, b"")) > 1:
                self.assertEqual(answer[KEY], b"l")
            # The others of the frame are kept.
            self.assertEqual(self.keys(client), {b"good"})
            client.call(DELETE, field(KEY, "good"))

    def test_ten_thousand_listeners(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 11000:
            self.skipTest("RLIMIT_NOFILE is too low")
        keeper = self.keeper()
        client = keeper.client()
        memory = keeper.memory_kb()
        base = random.randrange(0x20000000, 0x7F000000)
        for start in range(0, 10000, 200):
            sockets = []
            for i in range(start, start + 200):
                listener = socket.socket(socket.AF_UNIX)
                listener.bind(f"\0hvsock-keeper-test-{base}-{i}")
                listener.listen(1)
                sockets.append(listener)
            client.send(PUT, *(item(f"l{i}", f"value of {i}" * 5, 1) for i in range(start, start + 200)), fds=[s.fileno() for s in sockets])
            for listener in sockets:
                listener.close()
        client.requests += 1
        client.send(LIST, request=client.requests)
        count = fds = 0
        while (message := client.answer(client.requests)).type != DONE:
            count += len(message.fields)
            fds += len(message.fds)
            for fd in message.fds:
                os.close(fd)
        self.assertEqual((count, fds), (10000, 10000))
        self.assert_grown_less(keeper, memory, 6000)
        self.assertGreater(len(keeper.fds()), 10000)
        # They listen on, whoever has bound them.
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(f"\0hvsock-keeper-test-{base}-9999")

    def test_hundred_thousand_items(self):
        keeper = self.keeper()
        client = keeper.client()
        memory = keeper.memory_kb()
        value = b"v" * 100
        for start in range(0, 100000, 200):
            client.send(PUT, *(item(f"s/service-{i}", value) for i in range(start, start + 200)))
        self.assertEqual(client.call(DELETE).type, DONE)
        self.assert_grown_less(keeper, memory, 30000)
        for start in range(0, 100000, 200):
            client.send(DELETE, *(field(KEY, f"s/service-{i}") for i in range(start, start + 200) if i != 5))
        self.assertEqual(self.keys(client), {b"s/service-5"})

    def test_as_many_descriptors_as_may_be(self):
        keeper = self.keeper(before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (700, 700)))
        client = keeper.client()
        pipes = self.pipes(250)
        kept = 0
        refused = None
        for i in range(4):
            message = client.call(PUT, *(item(f"l{i}-{j}", b"", 1) for j in range(250)), fds=pipes)
            if message.type == REFUSED:
                refused = refused or message
                while (more := client.call(DELETE)).type != DONE:
                    pass
                client.waiting.clear()
        self.assertEqual(refused[ERROR], EMFILE)
        self.assertIn(b"RLIMIT_NOFILE", refused[TEXT])
        self.assertEqual(refused[KEY][:2], b"l1")
        kept = len(self.keys(client))
        self.assertTrue(350 <= kept < 500, kept)
        # What it holds is as it was, and there is room again after a DELETE.
        client.call(DELETE, *(field(KEY, f"l0-{j}") for j in range(250)))
        self.assertEqual(client.put("new", b"", pipes[:8]).type, DONE)

    def test_too_few_descriptors_to_receive(self):
        """So few that a frame's cannot even be received: they are refused with their keys, the rest is kept."""
        keeper = self.keeper(before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)))
        client = keeper.client()
        client.send(PUT, item("l1", b"", 100), item("l2"), fds=self.pipes(100), request=77)
        answer = client.answer(77)
        self.assertEqual((answer.type, answer[ERROR], answer[KEY]), (REFUSED, EMFILE, b"l1"))
        self.assertEqual(self.keys(client), {b"l2"})
        # So many connections that none can be accepted: it neither spins nor ends.
        for i in range(6):
            client.put(f"m{i}", b"", self.pipes(8))
        probes = []
        for _ in range(14):
            probes.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            probes[-1].connect(str(keeper.path))
        before = sum(os.times()[:2]), open(f"/proc/{keeper.pid}/stat").read().split()[13:15]
        time.sleep(0.2)
        after = open(f"/proc/{keeper.pid}/stat").read().split()[13:15]
        self.assertLess(sum(map(int, after)) - sum(map(int, before[1])), 10)
        for probe in probes:
            probe.close()
        self.assertEqual(len(self.keys(client)), 7)


class Clients(KeeperCase):
    def test_killed_client(self):
        """What it had sent is held, though it read no answer and was killed at once."""
        keeper = self.keeper()
        for round in range(5):
            child = os.fork()
            if child == 0:
                try:
                    client = Client(keeper.path)
                    reader, writer = os.pipe()
                    for i in range(50):
                        client.send(PUT, item(f"l{round}-{i}", b"x" * 100, 1), fds=[reader], request=i + 1)
                finally:
                    os.kill(os.getpid(), signal.SIGKILL)
            os.waitpid(child, 0)
            self.assertEqual(len(self.keys(keeper.client())), 50 * (round + 1))

    def test_many_unread_answers(self):
        """Whoever asks and does not read is not read from any more; nothing of what was sent and answered is lost."""
        keeper = self.keeper()
        for closes in (False, True):
            client = keeper.client()
            client.socket.settimeout(0.5)
            sent = 0
            with self.assertRaises(TimeoutError):
                while sent < 10000:
                    client.send(PUT, item(f"{closes}-{sent}"), request=100 + sent)
                    sent += 1
            self.assertGreater(sent, 64)
            if closes:
                client.close()
            else:
                for i in range(sent):
                    self.assertEqual(client.receive().request, 100 + i)
            self.assertEqual(len([key for key in self.keys(keeper.client()) if key.startswith(str(closes).encode())]), sent)

    def test_the_last_hello(self):
        keeper = self.keeper()
        first = keeper.client()
        silent = Client(keeper.path, hello=False)
        self.assertEqual(first.put("l1").type, DONE)
        for i in range(20):
            first.send(PUT, item(f"m{i}"))
        second = keeper.client()
        self.assertIsNone(first.receive())
        self.assertEqual(second.hello[INSTANCE], first.hello[INSTANCE])
        self.assertEqual(len(self.keys(second)), 21)
        # The same says it again; another becomes the client later.
        self.assertEqual(second.call(HELLO).type, HELLO)
        self.assertEqual(silent.call(HELLO).type, HELLO)
        self.assertIsNone(second.receive())
        silent.close()

    def test_the_last_hello_comes_after_many_starts(self):
        """More than answers may wait, and a LIST among them, whose answer nobody wants."""
        keeper = self.keeper()
        bell = os.eventfd(0)
        self.addCleanup(os.close, bell)
        first = keeper.client(hello=False)
        self.assertEqual(first.call(HELLO, field(VERSION, 1), field(BELL, 1), fds=[bell]).type, HELLO)
        keeper.wait_idle()  # until then it may read on
        first.socket.setblocking(False)  # with a timeout it waits until three quarters of the buffer are free
        for i in range(100):
            first.send(START, field(KEY, f"p{i}"), program("/bin/true"))
            if i == 50:
                first.send(LIST, request=50)
        second = keeper.client()
        self.assertEqual(self.keys(second), {f"p{i}".encode() for i in range(100)})

    def test_without_hello(self):
        keeper = self.keeper()
        client = keeper.client()
        for type in (PUT, LIST, END, 999):
            other = Client(keeper.path, hello=False)
            other.send(type, request=1)
            self.assertIsNone(other.receive())
            other.close()
        self.assertEqual(client.put("l").type, DONE)

    def test_many_that_say_nothing(self):
        keeper = self.keeper()
        client = keeper.client()
        silent = [Client(keeper.path, hello=False) for _ in range(200)]
        self.assertEqual(client.put("l").type, DONE)
        self.assertLess(len(keeper.fds()), 70)
        for other in silent:
            other.close()

    def test_foreign_uid(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")

        def connect_as(uid, path):
            """True: it is let in."""
            child = os.fork()
            if child == 0:
                code = 2
                try:
                    os.setgroups([])
                    os.setresgid(uid, uid, uid)
                    os.setresuid(uid, uid, uid)
                    try:
                        Client(path).close()
                        code = 0
                    except (OSError, EOFError):
                        code = 1
                finally:
                    os._exit(code)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

        keeper = self.keeper("--user", "12345")
        self.assertEqual(stat.S_IMODE(keeper.path.stat().st_mode), 0o600)
        self.assertEqual(keeper.path.stat().st_uid, 12345)
        client = keeper.client()
        client.put("l", b"", self.pipes(1))
        self.assertFalse(connect_as(NOBODY, keeper.path))
        keeper.path.chmod(0o666)
        self.assertFalse(connect_as(NOBODY, keeper.path))
        self.assertEqual(self.keys(client), {b"l"})
        self.assertTrue(connect_as(12345, keeper.path))
        self.assertIsNone(client.receive())
        # One that runs as nobody lets nobody in, and root.
        mine = Keeper(start=False)
        self.addCleanup(mine.close)
        os.chown(mine.folder, NOBODY, NOBODY)
        mine.before = lambda: (os.setgroups([]), os.setresgid(NOBODY, NOBODY, NOBODY), os.setresuid(NOBODY, NOBODY, NOBODY))
        mine.start()
        self.assertEqual(mine.client().hello[UID], NOBODY)
        self.assertTrue(connect_as(NOBODY, mine.path))
        mine.path.chmod(0o666)
        self.assertFalse(connect_as(12345, mine.path))

    def test_one_that_does_not_read(self):
        """It blocks itself: the keeper neither waits for it nor grows."""
        keeper = self.keeper()
        client = keeper.client()
        for start in range(0, 2000, 200):
            client.send(PUT, *(item(f"l{i}", b"x" * 200) for i in range(start, start + 200)))
        self.assertEqual(client.call(DELETE).type, DONE)
        memory = keeper.memory_kb()
        client.socket.settimeout(0.2)
        sent = 0
        with self.assertRaises(TimeoutError):
            while sent < 100000:
                client.send(LIST, request=1000 + sent)
                sent += 1
        self.assert_grown_less(keeper, memory, 2000)
        # Another is served meanwhile, and what the first asked for is given up.
        self.assertEqual(len(self.keys(keeper.client())), 2000)
        # One that asks, and reads only then, gets everything.
        patient = keeper.client()
        for i in range(50):
            patient.send(LIST, request=1 + i)
        done = 0
        while done < 50:
            message = patient.receive()
            done += message.type == DONE
        self.assertEqual(message.request, 50)


class Versions(KeeperCase):
    """A client that is older, or newer."""

    def test_older(self):
        client = Client(self.keeper().path, version=0)
        self.assertEqual(client.call(PUT, field(ITEM, field(KEY, "l") + field(VALUE, "v")), version=0).type, DONE)
        self.assertEqual(self.keys(client), {b"l"})
        client.close()

    def test_newer(self):
        client = Client(self.keeper().path, version=9)
        answer = client.call(PUT, field(999, "what is this"), item("l", "v", 0, field(998, "and this")), version=9)
        self.assertEqual(answer.type, DONE)
        self.assertEqual(client.list()[b"l"].value, b"v")
        for type in (20, 63, DONE, 0xFFFF):
            answer = client.call(type, field(KEY, "l"), fds=self.pipes(2), version=9)
            self.assertEqual((answer.type, answer[ERROR]), (REFUSED, EOPNOTSUPP))
        for type in (PUT, DELETE, LIST, END):
            answer = client.call(type, field(KEY, "l"), field(999 | CRITICAL, "matters"), item("m"), version=9)
            self.assertEqual((answer.type, answer[ERROR]), (REFUSED, EPROTO))
        self.assertEqual(self.keys(client), {b"l"})
        client.close()


class Garbage(KeeperCase):
    GOOD = frame(PUT, item("k", b"value", 0), request=5)

    def malformed(self):
        good = self.GOOD
        yield b"\0"
        yield b"x" * 16
        yield b"x" * 65536
        for size in range(1, len(good)):
            yield good[:size]
        yield good + b"\0\0\0\0"
        yield b"HVSK" + good[4:]
        yield good[:12] + struct.pack("=I", 0xFFFFFFFF) + good[16:]
        yield frame(PUT, field(ITEM, b"garbage!!"))
        yield frame(PUT, field(ITEM, field(KEY, "k") + b"\1\2\3\4"))
        yield frame(PUT, item("k", b"v", 1))  # descriptors that are not there
        yield frame(PUT, item("k", b"v", 1 << 40))
        yield frame(PUT, field(ITEM, field(KEY, "k") + field(FDS, b"\1")))

    def test_malformed(self):
        keeper = self.keeper()
        client = keeper.client()
        client.put("l", b"held", self.pipes(2))
        before = len(keeper.fds())
        fds = self.pipes(3)
        for bytes in self.malformed():
            client.send_raw(bytes, fds if len(bytes) % 2 else ())
            while client.receive() is not None:
                pass
            client.close()
            client = keeper.client()
        # More descriptors than the items say.
        client.send(PUT, item("k", b"v", 1), fds=fds)
        self.assertIsNone(client.receive())
        client = keeper.client()
        self.assertEqual(self.keys(client), {b"l"})
        wait_for(lambda: len(keeper.fds()) == before, what=keeper.fds)

    def test_larger_than_a_frame(self):
        keeper = self.keeper()
        client = keeper.client()
        client.send_raw(b"x" * 65537, self.pipes(3))
        self.assertIsNone(client.receive())
        self.assertEqual(self.keys(keeper.client()), set())

    def test_random(self):
        """Any bytes, and good frames with some of them changed: whoever sends them, what is held stays."""
        keeper = self.keeper()
        client = keeper.client()
        held = b"no change of the frames below makes this key"  # else DELETE of k becomes one of l, now and then
        client.put(held, b"held", self.pipes(2))
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        good = [
            frame(PUT, item("k", b"value", 1), request=3),
            frame(DELETE, field(KEY, "k")),
            frame(HELLO, field(VERSION, 1)),
            frame(5, field(KEY, "p"), field(VALUE, "v"), field(PROGRAM, field(1 | CRITICAL, "/nonexistent/x"))),
            frame(6, field(KEY, "p"), field(9, 15), request=1),
            frame(7, field(KEY, "p"), request=1),
        ]
        fds = self.pipes(3)
        before = len(keeper.fds())
        end = time.monotonic() + 2
        while time.monotonic() < end:
            bytes = bytearray(chance.choice(good))
            for _ in range(chance.choice((0, 1, 1, 2, 8))):
                bytes[chance.randrange(len(bytes))] = chance.choice((0, 1, 4, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            if bytes[6] in (8, 11) or chance.random() < 0.1:  # not END, nor REEXEC
                bytes = bytearray(chance.randbytes(chance.randrange(1, 200)))
            # It never reads an answer, and now and then a HELLO of it names one of fds as its bell, which it does not ring: who is not
            # read from any more goes, and what it has sent is read then.
            client.socket.setblocking(False)
            try:
                client.send_raw(bytes, fds[: chance.choice((0, 0, 1, 2))])
            except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                client.close()
                client = keeper.client()
        client.close()
        client = keeper.client()
        found = client.list()
        self.assertEqual(found[held].value, b"held", seed)
        self.assertEqual(len(found[held].fds), 2, seed)
        client.call(DELETE, *(field(KEY, key) for key in found if key != held))
        wait_for(lambda: len(keeper.fds()) == before, what=lambda: (seed, keeper.fds()))


class Life(KeeperCase):
    def test_end(self):
        keeper = self.keeper()
        client = keeper.client()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("\0hvsock-keeper-end-%d" % keeper.pid)
            listener.listen(1)
            client.put("l", b"", [listener.fileno()])
        self.assertEqual(client.call(END).type, DONE)
        # It is free at once.
        with socket.socket(socket.AF_UNIX) as again:
            again.bind("\0hvsock-keeper-end-%d" % keeper.pid)
        self.assertIsNone(client.receive())
        self.assertEqual(keeper.process.wait(60), 0)
        self.assertFalse(keeper.path.exists())
        self.assertEqual(keeper.log.read_text(), "")

    def test_sigterm(self):
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            keeper = self.keeper()
            keeper.client().put("l", b"", self.pipes(1))
            keeper.process.send_signal(signal_number)
            self.assertEqual(keeper.process.wait(60), 0)
            self.assertFalse(keeper.path.exists())

    def test_sigterm_while_it_lists(self):
        """What has not been listed yet is let go of; what still runs is."""
        keeper = self.keeper()
        client = keeper.client()
        for i in range(2000):
            client.send(PUT, item(f"l{i}", b"x" * 2000))
        script = "trap '' TERM; echo up; while :; do sleep 1; done"
        reader, writer = os.pipe()
        started = client.start("p", "/bin/sh", "-c", script, fds=[writer], stdout=0, environment="PATH=" + os.environ["PATH"])
        os.close(writer)
        with os.fdopen(reader, "rb") as file:
            self.assertEqual(file.read(3), b"up\n")
        for i in range(2000):
            client.send(PUT, item(f"m{i}", b"x" * 2000))
        self.assertEqual(client.put("last").type, DONE)
        client.send(LIST, request=7)
        select.select([client.socket], [], [])
        keeper.wait_idle()  # nobody reads
        keeper.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not keeper.path.exists(), what="it ends")
        keys = []
        while (message := client.answer(7)).type != DONE:
            keys += [dict(fields_of(data))[KEY] for tag, data in message.fields if tag == ITEM]
        self.assertIn(b"p", keys)
        self.assertNotIn(b"last", keys)
        os.kill(started[PID], signal.SIGKILL)
        self.assertEqual(client.exited("p"), signal.SIGKILL)
        self.assertEqual(keeper.process.wait(60), 0)

    def test_stale_path(self):
        keeper = self.keeper()
        keeper.kill()
        self.assertTrue(keeper.path.exists())
        keeper.start()
        keeper.client()
        # A second one in the same folder does not start.
        second = subprocess.run([BUILD / "hvsock-keeper", "--runtime", keeper.folder], capture_output=True, text=True, timeout=60)
        self.assertEqual(second.returncode, 1)
        self.assertIn("another hvsock-keeper", second.stderr)
        # One whose path is another's leaves it alone.
        keeper.path.unlink()
        other = self.keeper(folder=keeper.folder)
        keeper.end()
        other.client()

    def test_not_a_socket(self):
        keeper = Keeper(start=False)
        self.addCleanup(keeper.folder.rmdir)
        keeper.path.write_text("")
        done = subprocess.run([BUILD / "hvsock-keeper", "--runtime", keeper.folder], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, keeper.path.read_text()), (1, ""))
        keeper.path.unlink()

    def inherit(self, keeper, *arguments, listener, pid=None):
        def before():
            os.dup2(os.dup(listener.fileno()), 3, inheritable=True)

        environment = {"LISTEN_FDS": "1"}
        if pid:
            environment["LISTEN_PID"] = pid
        with keeper.log.open("ab") as log:
            keeper.process = subprocess.Popen(
                [BUILD / "hvsock-keeper", "--runtime", keeper.folder, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment, preexec_fn=before, close_fds=False,
            )
        keeper.pid = keeper.process.pid

    def test_inherited(self):
        keeper = Keeper(start=False)
        self.addCleanup(keeper.close)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(keeper.path))
            listener.listen(5)
            client = Client(keeper.path, hello=False)  # it waits for whoever listens
            client.send(HELLO, request=1)
            client.send(PUT, item("l"), request=2)
            self.inherit(keeper, "--private", listener=listener)
            self.assertEqual(client.answer(2).type, DONE)
            client.close()
        # Of hvsockd's the path is removed, of systemd's not.
        self.assertEqual(keeper.end(), 0)
        self.assertFalse(keeper.path.exists())
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(keeper.path))
            listener.listen(5)
            self.inherit(keeper, listener=listener)
            Client(keeper.path).close()
            self.assertEqual(keeper.end(), 0)
            self.assertTrue(keeper.path.exists())

    def test_inherited_is_wrong(self):
        keeper = Keeper(start=False)
        self.addCleanup(keeper.close)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(keeper.path))
            listener.listen(5)
            self.inherit(keeper, listener=listener)
            self.assertEqual(keeper.process.wait(60), 1)
        self.assertIn("seqpacket", keeper.log.read_text())

    def test_arguments(self):
        for arguments, status in ((["--help"], 0), (["--version"], 0), (["--nope"], 2), (["word"], 2), (["--user", "no-such-user"], 1)):
            done = subprocess.run([BUILD / "hvsock-keeper", *arguments], capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, status, arguments)

    def test_ready(self):
        keeper = Keeper(start=False)
        self.addCleanup(keeper.close)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind("\0hvsock-keeper-notify-%d" % os.getpid())
            notify.settimeout(60)
            keeper.environment["NOTIFY_SOCKET"] = "@hvsock-keeper-notify-%d" % os.getpid()
            keeper.start()
            self.assertEqual(notify.recv(100), b"READY=1")
            keeper.end()
            self.assertEqual(notify.recv(100), b"STOPPING=1")

    def test_watchdog(self):
        """It is heard of in half the time that was asked for, as long as it goes on; also once it has executed itself anew."""
        keeper = Keeper(start=False)
        self.addCleanup(keeper.close)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind("\0hvsock-keeper-notify-%d" % os.getpid())
            notify.settimeout(60)
            keeper.environment |= {"NOTIFY_SOCKET": "@hvsock-keeper-notify-%d" % os.getpid(), "WATCHDOG_USEC": "200000"}
            keeper.start()
            self.assertEqual([notify.recv(100) for _ in range(4)], [b"READY=1"] + [b"WATCHDOG=1"] * 3)
            self.assertEqual(keeper.client().call(REEXEC).type, DONE)
            while notify.recv(100) != b"READY=1":
                pass
            self.assertEqual([notify.recv(100) for _ in range(2)], [b"WATCHDOG=1"] * 2)
            os.kill(keeper.pid, signal.SIGSTOP)
            # What it had sent before is there still.
            notify.settimeout(1)
            with self.assertRaises(TimeoutError):
                while True:
                    notify.recv(100)
            os.kill(keeper.pid, signal.SIGCONT)
            notify.settimeout(60)
            self.assertEqual(notify.recv(100), b"WATCHDOG=1")

    def test_watchdog_of_another(self):
        """What is meant for another process, or is no time, is not answered."""
        for pid, usec in ((str(os.getpid()), "100000"), (None, "x"), (None, "0")):
            keeper = Keeper(start=False)
            self.addCleanup(keeper.close)
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.bind("\0hvsock-keeper-notify-%d" % os.getpid())
                keeper.environment |= {"NOTIFY_SOCKET": "@hvsock-keeper-notify-%d" % os.getpid(), "WATCHDOG_USEC": usec}
                if pid:
                    keeper.environment["WATCHDOG_PID"] = pid
                keeper.start()
                notify.settimeout(60)
                self.assertEqual(notify.recv(100), b"READY=1")
                notify.settimeout(0.3)
                with self.assertRaises(TimeoutError):
                    notify.recv(100)
                keeper.end()

    def test_private_folder_is_gone(self):
        """What a killed test leaves in a folder that is removed ends by itself."""
        keeper = self.keeper("--private")
        client = keeper.client()
        keeper.path.unlink()
        time.sleep(0.2)
        self.assertEqual(client.put("l").type, DONE)  # somebody is there
        client.close()
        self.assertEqual(keeper.process.wait(60), 0)
        # Without --private it stays.
        keeper = self.keeper()
        keeper.path.unlink()
        with self.assertRaises(subprocess.TimeoutExpired):
            keeper.process.wait(0.3)


if __name__ == "__main__":
    unittest.main()
