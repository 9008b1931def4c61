# SPDX-License-Identifier: Apache-2.0
"""hvsock-keeper starts programs: what they are given and what not, how they end, and what an upgrade of it keeps."""

import contextlib
import ctypes
import os
import pathlib
import platform
import random
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from hv.daemon import BUILD, wait_for
from hv.keeper import (
    CRITICAL, DELETE, DONE, END, ERROR, EXITED, GIVE, INSTANCE, KEY, LIST, NUMBER, PID, PROGRAM, PUT, REEXEC, REFUSED, SIGNAL, START, STARTED, STATUS,
    STOP, TEXT, UID, VALUE, Client, Keeper, field, frame, item, program,
)
from test_keeper import KeeperCase as Base

EPERM, ENOENT, ESRCH, EIO, E2BIG, EAGAIN, EACCES, EBUSY, EEXIST, EINVAL, EMFILE, EPROTO, ETIMEDOUT = 1, 2, 3, 5, 7, 11, 13, 16, 17, 22, 24, 71, 110
ROOT = os.geteuid() == 0
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable  # where every user finds it


def alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def seccomp(number, action, flags=0):
    """A filter for a system call, in this process; the listener, where flags ask for one."""
    code = (
        struct.pack("=HBBI", 0x20, 0, 0, 0)  # its number
        + struct.pack("=HBBI", 0x15, 0, 1, number)
        + struct.pack("=HBBI", 0x06, 0, 0, action)
        + struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)  # anything else is allowed
    )
    buffer = ctypes.create_string_buffer(code)
    return ctypes.CDLL(None).syscall(317, 1, flags, struct.pack("@HP", 4, ctypes.addressof(buffer)))


def children(pid):
    return [int(child) for child in open(f"/proc/{pid}/task/{pid}/children").read().split()]


class ProgramCase(Base):
    def setUp(self):
        self.own = self.keeper()
        self.client = self.own.client()
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="hvk-", dir=os.environ.get("HVSOCK_TMP", "/tmp")))
        self.place.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.place)

    def output(self, *arguments, fds=(), key="p", status=0, **settings):
        """What a program writes to its stdout."""
        reader, writer = os.pipe()
        try:
            message = self.client.start(key, *arguments, fds=[writer, *fds], stdout=0, **settings)
            os.close(writer)
            writer = None
            self.assertNotIn(ERROR, dict(message.fields), message)
            for fd in message.fds:
                os.close(fd)
            with os.fdopen(reader, "rb") as file:
                reader = None
                text = file.read().decode()
            self.assertEqual(os.waitstatus_to_exitcode(self.client.exited(key)), status)
            self.assertEqual(self.client.call(DELETE, field(KEY, key)).type, DONE)
            return text
        finally:
            for fd in (reader, writer):
                if fd is not None:
                    os.close(fd)

    def python(self, script, *arguments, **settings):
        return self.output(PYTHON, "-I", "-S", "-c", script, *arguments, **settings)

    def run_program(self, key, *arguments, **settings):
        """Its pid."""
        message = self.client.start(key, *arguments, **settings)
        self.assertNotIn(ERROR, dict(message.fields), message)
        for fd in message.fds:
            os.close(fd)
        return message[PID]

    def ready(self, key, script, **settings):
        """A shell script that says when it is; its pid."""
        reader, writer = os.pipe()
        pid = self.run_program(key, "/bin/sh", "-c", script, fds=[writer], stdout=0, environment="PATH=" + os.environ["PATH"], **settings)
        os.close(writer)
        with os.fdopen(reader, "rb") as file:
            self.assertEqual(file.read(3), b"up\n")
        return pid

    def fds(self):
        """The keeper's, once it has closed what came with the last message."""
        self.assertEqual(self.client.call(DELETE).type, DONE)
        return self.own.fds()

    def refused(self, *arguments, key="p", fds=(), **settings):
        """(errno, what) of a START that fails; nothing of it is left."""
        before = self.fds()
        message = self.client.start(key, *arguments, fds=fds, **settings)
        self.assertEqual(self.client.list(), {})
        self.assertEqual(self.fds(), before)
        self.assertEqual(children(self.own.pid), [])
        return message[ERROR], message[TEXT].decode()


class Given(ProgramCase):
    def test_environment(self):
        self.assertEqual(self.output("/usr/bin/env"), "")
        self.assertEqual(self.output("/usr/bin/env", environment=["A=b", "C=", "LISTEN_PID=77"]), "A=b\nC=\nLISTEN_PID=77\n")

    def test_arguments(self):
        words = ["-c", 'printf "%s|" "$@"', "sh", "", "ünï", "a b", "x" * 1000, "abc", "abcd"]
        self.assertEqual(self.output("/bin/sh", *words), "".join(word + "|" for word in words[3:]))

    def test_descriptors_given_before(self):
        """More than one message carries come before it, in their order; what does not fit its number starts nothing and is closed."""
        script = "import os\nfor n in range(3, 3 + int(os.environ['LISTEN_FDS'])): print(os.readlink(f'/proc/self/fd/{n}'))"
        fds = self.pipes(600)

        def start(number, own):
            words = program(PYTHON, "-I", "-S", "-c", script, listen=list(range(600)), stdout=600)
            message = self.client.call(START, field(KEY, "p"), words, *([field(NUMBER, number)] if number else []), fds=own)
            self.assertEqual(message.type, STARTED)
            return message

        before = self.fds()
        for at in range(0, 500, 250):
            self.client.send(GIVE, fds=fds[at : at + 250])
        reader, writer = os.pipe()
        message = start(500, [*fds[500:], writer])
        self.assertNotIn(ERROR, dict(message.fields), message)
        os.close(message.fds[0])
        os.close(writer)
        with os.fdopen(reader) as file:
            self.assertEqual(file.read().splitlines(), [os.readlink(f"/proc/self/fd/{fd}") for fd in fds])
        self.assertEqual(self.client.exited("p"), 0)
        self.client.call(DELETE, field(KEY, "p"))
        self.assertEqual(self.fds(), before)
        for given, number in ((0, 500), (250, 500), (250, 249), (250, 0)):
            if given:
                self.client.send(GIVE, fds=fds[:given])
            self.assertIn(start(number, fds[:5])[ERROR], (EMFILE, EINVAL))
            self.assertEqual(self.fds(), before, (given, number))
        # Too many; and those of somebody who has gone.
        for _ in range(4096 // 250 + 1):
            self.client.send(GIVE, fds=fds[:250])
        self.assertEqual(self.fds(), before)
        self.client.send(GIVE, fds=fds[:250])
        self.client.close()
        other = self.own.client()
        self.assertEqual(other.list(), {})
        wait_for(lambda: len(self.own.fds()) <= len(before))

    def test_descriptors(self):
        """0, 1, 2 and those of LISTEN_FDS, each without O_CLOEXEC; no other."""
        script = "import os\nfor n in sorted(os.listdir('/proc/self/fd'), key=int):\n  try: print(n, os.readlink('/proc/self/fd/' + n))\n  except OSError: pass"
        held = self.pipes(50)
        self.client.put("l", b"", held[:8])
        null = [f"{i} /dev/null" for i in (0, 2)]
        lines = self.python(script).splitlines()
        self.assertEqual([line for line in lines if "pipe:" not in line], null)
        self.assertEqual(len(lines), 3)
        for count in (1, 2, 31, 40, 200):  # in slots, and without
            fds = self.pipes(count)
            lines = self.python(
                script + "\nprint(os.environ['LISTEN_FDS'], os.environ['LISTEN_PID'] == str(os.getpid()), os.environ['LISTEN_FDNAMES'])",
                fds=fds, listen=list(range(1, count + 1)), listen_names=":".join(["n"] * count),
                environment=["LISTEN_PID=1", "LISTEN_PIDFDID=7", "LISTEN_FDS=5", "A=b"],
            ).splitlines()
            self.assertEqual(lines[-1], f"{count} True " + ":".join(["n"] * count))
            links = dict(line.split(" ", 1) for line in lines[:-1])
            self.assertEqual(set(links), {str(n) for n in range(count + 3)})
            for i, fd in enumerate(fds):
                self.assertEqual(links[str(3 + i)], os.readlink(f"/proc/self/fd/{fd}"))

    def test_one_descriptor_many_times(self):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self.run_program(
                "p", "/bin/sh", "-c", "read line; echo got $line; echo error >&2; echo three >&3; readlink /proc/self/fd/4",
                fds=[theirs.fileno()], stdin=0, stdout=0, stderr=0, listen=[0, 0], listen_names="connection:x",
                environment="PATH=" + os.environ["PATH"],
            )
            theirs.close()
            ours.sendall(b"hello\n")
            self.assertEqual(self.client.exited("p"), 0)
            text = ours.recv(1000)
        self.assertTrue(text.startswith(b"got hello\nerror\nthree\nsocket:"), text)

    def test_listen_without_names(self):
        self.assertEqual(
            sorted(self.output("/usr/bin/env", fds=self.pipes(1), listen=1).split("=")[0] for _ in (1,)), ["LISTEN_FDS"]
        )
        text = self.output("/usr/bin/env", fds=self.pipes(1), listen=1)
        self.assertEqual([line.split("=")[0] for line in text.splitlines()], ["LISTEN_FDS", "LISTEN_PID"])

    def test_signals(self):
        """Whatever the keeper was started with: nothing is blocked, nothing ignored."""

        def before():
            for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD, signal.SIGUSR1, signal.SIGRTMIN + 3):
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))

        self.own = self.keeper(before=before)
        self.client = self.own.client()
        lines = dict(line.split(":\t") for line in self.output("/bin/cat", "/proc/self/status").splitlines() if "\t" in line)
        for name in ("SigPnd", "ShdPnd", "SigBlk", "SigIgn"):
            self.assertEqual(int(lines[name], 16), 0, name)

    def test_process(self):
        """A session of its own, umask, directory, no_new_privs, and its end with the keeper's."""
        text = self.output("/bin/sh", "-c", "umask; pwd; read a b c d e f g </proc/self/stat; echo $$ $e $f $d; grep NoNewPrivs /proc/self/status")
        mask, folder, numbers, privileges = text.splitlines()
        pid, group, session, parent = numbers.split()
        self.assertEqual((mask, folder, privileges), ("0022", "/", "NoNewPrivs:\t0"))
        self.assertEqual((group, session, parent), (pid, pid, str(self.own.pid)))
        text = self.output("/bin/sh", "-c", "umask; pwd", umask=0o137, directory=str(self.place))
        self.assertEqual(text, f"0137\n{self.place}\n")
        script = "import ctypes\nn=ctypes.c_int()\nctypes.CDLL(None).prctl(2, ctypes.byref(n))\nprint(n.value)"
        self.assertEqual(self.python(script), "9\n")

    @unittest.skipUnless(ROOT, "needs root")
    def test_credentials(self):
        script = "import os; print(os.getresuid(), os.getresgid(), sorted(os.getgroups()))"
        self.assertEqual(self.python(script, uid=1234, gid=2345, group=[7, 8]), "(1234, 1234, 1234) (2345, 2345, 2345) [7, 8]\n")
        self.assertEqual(self.python(script, uid=1234, gid=2345), "(1234, 1234, 1234) (2345, 2345, 2345) []\n")
        status = self.output("/bin/cat", "/proc/self/status", uid=1234, gid=2345)
        self.assertIn("CapEff:\t0000000000000000", status)
        self.assertIn("CapAmb:\t0000000000000000", status)
        # Its end with the keeper is set after the change of credentials, which would undo it.
        script = "import ctypes\nn=ctypes.c_int()\nctypes.CDLL(None).prctl(2, ctypes.byref(n))\nprint(n.value)"
        self.assertEqual(self.python(script, uid=1234, gid=2345), "9\n")
        # The directory is entered as the user.
        self.place.chmod(0o700)
        self.assertEqual(self.refused("/bin/true", uid=1234, gid=1234, directory=str(self.place)), (EACCES, f"chdir {self.place}"))

    @unittest.skipUnless(ROOT, "needs root")
    def test_unprivileged_keeper(self):
        keeper = Keeper(start=False)
        self.addCleanup(keeper.close)
        os.chown(keeper.folder, 1234, 1234)
        keeper.before = lambda: (os.setgroups([1234, 7]), os.setresgid(1234, 1234, 1234), os.setresuid(1234, 1234, 1234))
        self.own = keeper.start()
        self.client = keeper.client()
        script = "import os; print(os.getuid(), os.getgid(), sorted(os.getgroups()))"
        self.assertEqual(self.python(script, uid=1234, gid=1234, group=[7]), "1234 1234 [7, 1234]\n")
        self.assertEqual(self.refused("/bin/true", uid=0), (EPERM, "user"))
        self.assertEqual(self.refused("/bin/true", gid=0), (EPERM, "group"))
        self.assertEqual(self.refused("/bin/true", uid=1234, group=[8]), (EPERM, "groups"))

    def test_limits(self):
        def limit(resource_number, soft, hard):
            return struct.pack("=QQQ", resource_number, soft, hard)

        script = "import resource\nfor r in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE, resource.RLIMIT_FSIZE): print(resource.getrlimit(r))"
        self.own = self.keeper(before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (512, 2000)))
        self.client = self.own.client()
        self.assertEqual(self.python(script).splitlines()[0], "(512, 2000)")  # not what the keeper has raised it to
        limits = [limit(resource.RLIMIT_NOFILE, 16, 32), limit(resource.RLIMIT_CORE, 0, 0), limit(resource.RLIMIT_FSIZE, 2**64 - 1, 2**64 - 1)]
        self.assertEqual(self.python(script, limit=limits), "(16, 32)\n(0, 0)\n(-1, -1)\n")
        self.assertEqual(self.refused("/bin/true", limit=limit(99, 1, 1)), (EINVAL, "program"))
        self.assertEqual(self.refused("/bin/true", limit=limit(resource.RLIMIT_CORE, 2, 1)), (EINVAL, "limits"))

    @unittest.skipUnless(ROOT, "needs root")
    def test_oom_score(self):
        self.own = self.keeper(before=lambda: os.system("echo -500 2>/dev/null >/proc/$PPID/oom_score_adj"))
        self.client = self.own.client()
        if open(f"/proc/{self.own.pid}/oom_score_adj").read() != "-500\n":
            self.skipTest("oom_score_adj cannot be lowered here")
        self.assertEqual(self.output("/bin/cat", "/proc/self/oom_score_adj", uid=1234, gid=1234), "0\n")


class Refused(ProgramCase):
    def test_failures(self):
        script = self.place / "script"
        script.write_text("no interpreter")
        script.chmod(0o755)
        wrong = self.place / "wrong"
        wrong.write_text("#!/nonexistent/interpreter\n")
        wrong.chmod(0o755)
        plain = self.place / "plain"
        plain.write_text("")
        cases = [
            ((ENOENT, "exec /nonexistent/x"), ["/nonexistent/x"], {}),
            ((EACCES, f"exec {plain}"), [str(plain)], {}),
            ((EACCES, "exec /"), ["/"], {}),
            ((8, f"exec {script}"), [str(script)], {}),
            ((ENOENT, f"exec {wrong}"), [str(wrong)], {}),
            ((ENOENT, "chdir /nonexistent"), ["/bin/true"], {"directory": "/nonexistent"}),
            ((20, "chdir /dev/null"), ["/bin/true"], {"directory": "/dev/null"}),
            ((EINVAL, "program"), ["relative"], {}),
            ((EINVAL, "program"), [], {}),
            ((EINVAL, "program"), ["/bin/true"], {"stdin": 0}),
            ((EINVAL, "program"), ["/bin/true"], {"listen": 3}),
            ((EINVAL, "program"), ["/bin/true"], {"umask": 0o1000}),
            ((EINVAL, "program"), ["/bin/true"], {"uid": 2**32 - 1}),
        ]
        for expected, arguments, settings in cases:
            self.assertEqual(self.refused(*arguments, **settings), expected)
        self.assertEqual(self.refused("/bin/true", fds=self.pipes(2), listen=2), (EINVAL, "program"))
        self.assertEqual(self.refused("/nonexistent", fds=self.pipes(200), listen=list(range(200))), (ENOENT, "exec /nonexistent"))
        self.assertEqual(self.output("/bin/echo", "works"), "works\n")

    def test_key_is_taken(self):
        self.client.put("l", b"v")
        message = self.client.start("l", "/bin/true")
        self.assertEqual(message[ERROR], EEXIST)
        self.assertEqual(self.client.list()[b"l"].value, b"v")
        pid = self.run_program("p", "/bin/sleep", "1000")
        self.assertEqual(self.client.start("p", "/bin/true")[ERROR], EEXIST)
        answer = self.client.call(DELETE, field(KEY, "p"))
        self.assertEqual((answer.type, answer[ERROR], answer[KEY]), (REFUSED, EBUSY, b"p"))
        self.assertTrue(alive(pid))
        # A PUT gives it another value, and the program runs on.
        self.assertEqual(self.client.put("p", b"new", self.pipes(1)).type, DONE)
        found = self.client.list()[b"p"]
        self.assertEqual((found.value, found.pid, found.status, len(found.fds)), (b"new", pid, None, 1))
        os.close(found.fds[0])
        self.client.call(STOP, field(KEY, "p"))
        self.client.exited("p")
        self.assertEqual(self.client.list()[b"p"].status, signal.SIGTERM)

    def test_newer_client(self):
        """A field that changes what a program is, and that we do not know: it is not started."""
        fields = field(1 | CRITICAL, "/bin/true") + field(500, "skipped")
        message = self.client.call(START, field(KEY, "p"), field(PROGRAM, fields))
        self.assertEqual(message.type, STARTED)
        self.assertNotIn(ERROR, dict(message.fields))
        self.client.exited("p")
        self.client.call(DELETE, field(KEY, "p"))
        message = self.client.call(START, field(KEY, "p"), field(PROGRAM, fields + field(500 | CRITICAL, "seccomp")))
        self.assertEqual((message.type, message[ERROR], message[KEY]), (REFUSED, EPROTO, b"p"))
        self.assertEqual(self.client.list(), {})

    def test_malformed(self):
        good = field(1 | CRITICAL, "/bin/true")
        for fields in (
            [field(KEY, "p")],
            [field(PROGRAM, good)],
            [field(KEY, "p"), field(PROGRAM, b"garbage!!")],
            [field(KEY, "p"), field(PROGRAM, field(1 | CRITICAL, b"/bin/true\0x"))],
            [field(KEY, "p"), field(PROGRAM, good + field(2 | CRITICAL, b"A=\0"))],
            [field(KEY, "p"), field(PROGRAM, good + field(3 | CRITICAL, b"\1\2\3\4"))],
            [field(KEY, "p"), field(PROGRAM, good + field(8 | CRITICAL, b"x" * 23))],
        ):
            self.client.send(START, *fields, fds=self.pipes(2), request=5)
            self.assertIsNone(self.client.receive())
            self.client = self.own.client()
            self.assertEqual(self.client.list(), {})

    @unittest.skipUnless(ROOT, "needs root")
    def test_no_more_processes(self):
        """RLIMIT_NPROC of the user: execve fails, and says so."""
        limit = struct.pack("=QQQ", resource.RLIMIT_NPROC, 0, 0)
        uid = random.randrange(1 << 20, 1 << 30)  # nobody else's: who it is, and how many, is the whole machine's
        pid = self.run_program("first", "/bin/sleep", "1000", uid=uid, gid=uid)
        message = self.client.start("second", "/bin/sleep", "1000", uid=uid, gid=uid, limit=limit)
        self.assertEqual((message[ERROR], message[TEXT]), (EAGAIN, b"exec /bin/sleep"))
        self.assertTrue(alive(pid))
        # The keeper's own: clone fails.
        keeper = Keeper(start=False)
        self.addCleanup(keeper.close)
        os.chown(keeper.folder, uid + 1, uid + 1)
        keeper.before = lambda: (
            resource.setrlimit(resource.RLIMIT_NPROC, (1, 1)), os.setgroups([]), os.setresgid(*[uid + 1] * 3), os.setresuid(*[uid + 1] * 3))
        self.own, self.client = keeper.start(), keeper.client()
        self.assertEqual(self.refused("/bin/true"), (EAGAIN, "clone"))
        keeper.kill()  # a sanitizer could not look for what it leaves

    @unittest.skipUnless(ROOT and platform.machine() == "x86_64", "needs root, and knows x86-64's system calls")
    def test_file_system_that_does_not_answer(self):
        """chdir waits for ever, as on a dead server: given up after a while, and the keeper goes on."""

        def before():
            listener = seccomp(80, 0x7FC00000, 8)  # chdir: SECCOMP_RET_USER_NOTIF, which nobody answers
            if listener < 0:
                os._exit(77)
            os.dup2(listener, 0)

        self.own = self.keeper(before=before)
        self.client = self.own.client()
        fds = self.fds()
        began = time.monotonic()
        self.client.send(START, field(KEY, "p"), program("/bin/true"), fds=self.pipes(2), request=5)
        self.client.send(PUT, item("l"), request=6)
        message = self.client.answer(5)
        self.assertEqual((message[ERROR], message[TEXT]), (ETIMEDOUT, b"chdir /"))
        self.assertGreater(time.monotonic() - began, 2.5)
        self.assertEqual(self.client.answer(6).type, DONE)
        self.assertEqual(self.keys(self.client), {b"l"})
        wait_for(lambda: children(self.own.pid) == [])
        self.assertEqual(self.fds(), fds)

    def test_no_more_descriptors(self):
        self.own = self.keeper(before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)))
        self.client = self.own.client()
        message = self.client.start("p", "/bin/true", fds=self.pipes(100))
        self.assertEqual((message[ERROR], message[TEXT]), (EMFILE, b"descriptors"))
        self.assertEqual(self.output("/bin/echo", "works"), "works\n")


class End(ProgramCase):
    def test_exits_at_once(self):
        """A thousand times; nothing is left in the keeper, and no zombie."""
        self.run_program("warm", "/bin/true")
        self.client.exited("warm")
        self.client.call(DELETE, field(KEY, "warm"))
        before, memory = self.fds(), self.own.memory_kb()
        pipe = self.pipes(1)
        for start in range(0, 1000, 100):
            for i in range(start, start + 100):
                self.run_program(f"p{i}", "/bin/true" if i % 2 else "/bin/false", fds=pipe * 3, stdin=0, listen=[1, 2])
            for i in range(start, start + 100):
                self.assertEqual(os.waitstatus_to_exitcode(self.client.exited(f"p{i}")), 0 if i % 2 else 1)
        self.assertEqual(self.fds(), before)
        self.assertEqual(children(self.own.pid), [])
        self.assertEqual(len(self.client.list()), 1000)
        self.client.call(DELETE, *(field(KEY, f"p{i}") for i in range(1000)))
        self.assertEqual(self.client.list(), {})
        self.assert_grown_less(self.own, memory, 1000)

    def test_told_once_and_by_list(self):
        pid = self.run_program("p", "/bin/sh", "-c", "kill -9 $$", value=b"value")
        self.assertEqual(self.client.exited("p"), signal.SIGKILL)
        for _ in range(2):
            found = self.client.list()[b"p"]
            self.assertEqual((found.pid, found.status, found.value), (pid, signal.SIGKILL, b"value"))
        self.assertEqual(self.client.waiting, [])
        # While nobody is connected it stays in its item.
        reader, writer = os.pipe()
        pid = self.run_program("q", "/bin/sh", "-c", "read line; exit 5", fds=[reader], stdin=0)
        self.client.close()
        os.close(reader)
        os.close(writer)
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"))  # the keeper knows of it
        self.client = self.own.client()
        wait_for(lambda: self.client.list()[b"q"].status == 5 << 8)
        self.assertEqual(self.client.waiting, [])

    def test_stop(self):
        polite = self.ready("polite", "trap 'exit 3' TERM; echo up; while :; do sleep 0.02; done")
        stubborn = self.ready("stubborn", "trap '' TERM; echo up; while :; do sleep 0.02; done", stop_timeout_us=300000)
        began = time.monotonic()
        self.assertEqual(self.client.call(STOP, field(KEY, "polite")).type, DONE)
        for _ in range(3):  # again does not begin again
            self.assertEqual(self.client.call(STOP, field(KEY, "stubborn")).type, DONE)
        self.assertEqual(os.waitstatus_to_exitcode(self.client.exited("polite")), 3)
        self.assertEqual(self.client.exited("stubborn"), signal.SIGKILL)
        self.assertGreater(time.monotonic() - began, 0.25)
        self.assertFalse(alive(polite) or alive(stubborn))
        answer = self.client.call(STOP, field(KEY, "polite"))
        self.assertEqual((answer.type, answer[ERROR]), (REFUSED, ESRCH))
        self.assertEqual(self.client.call(STOP, field(KEY, "nobody"))[ERROR], ESRCH)

    def test_stop_of_one_that_is_stopped(self):
        pid = self.run_program("p", "/bin/sleep", "1000")
        os.kill(pid, signal.SIGSTOP)
        self.client.call(STOP, field(KEY, "p"))
        self.assertEqual(self.client.exited("p"), signal.SIGTERM)

    def test_signal(self):
        pid = self.ready("p", "trap 'exit 9' USR1; echo up; while :; do sleep 0.02; done")
        self.assertEqual(self.client.call(SIGNAL, field(KEY, "p"), field(NUMBER, 99))[ERROR], EINVAL)
        self.assertEqual(self.client.call(SIGNAL, field(KEY, "p"), field(NUMBER, signal.SIGUSR1)).type, DONE)
        self.assertEqual(os.waitstatus_to_exitcode(self.client.exited("p")), 9)
        self.assertEqual(self.client.call(SIGNAL, field(KEY, "p"), field(NUMBER, signal.SIGUSR1))[ERROR], ESRCH)

    def test_its_group(self):
        """What a program has started goes with it on STOP, also where it ignores SIGTERM; not when it ends by itself."""
        self.ready("p", "(trap '' TERM; echo up; exec sleep 1000) & wait", value=b"")
        child = wait_for(lambda: [pid for group in children(self.own.pid) for pid in children(group)])[0]
        self.client.call(STOP, field(KEY, "p"))
        self.client.exited("p")
        wait_for(lambda: not alive(child))
        wait_for(lambda: children(self.own.pid) == [])

    def test_forks_away(self):
        """A program that leaves another behind has ended. What it left is the keeper's child, waited for, and ends with it."""
        self.run_program("p", "/bin/sh", "-c", "setsid sleep 1000 & exit 0", environment="PATH=" + os.environ["PATH"])
        self.assertEqual(self.client.exited("p"), 0)
        left = wait_for(lambda: children(self.own.pid))
        self.assertEqual(len(left), 1)
        wait_for(lambda: b"sleep" in open(f"/proc/{left[0]}/cmdline", "rb").read())
        self.run_program("q", "/bin/sh", "-c", "setsid sleep 0.05 & exit 0", environment="PATH=" + os.environ["PATH"])
        self.client.exited("q")
        wait_for(lambda: children(self.own.pid) == left)  # no zombie
        self.assertEqual(self.own.end(), 0)
        self.assertFalse(alive(left[0]))

    def test_closes_its_descriptors(self):
        pid = self.run_program("p", "/bin/sh", "-c", "exec 0<&- 1>&- 2>&- 3<&-; kill -STOP $$", fds=self.pipes(1), listen=0)
        wait_for(lambda: open(f"/proc/{pid}/stat").read().split()[2] == "T")
        self.assertEqual(self.client.list()[b"p"].pid, pid)
        self.client.call(STOP, field(KEY, "p"))
        self.client.exited("p")

    def test_keeper_killed(self):
        pids = [self.run_program(f"p{i}", "/bin/sleep", "1000", **({"uid": 1234, "gid": 1234} if ROOT and i else {})) for i in range(2)]
        self.own.kill()
        wait_for(lambda: not any(map(alive, pids)))

    def test_end(self):
        """END: what is held is free at once; who does not end in time is killed, and the connection ends when all is over."""
        stubborn = self.ready("p", "trap '' TERM; echo up; while :; do sleep 0.02; done", stop_timeout_us=4000000)
        other = self.run_program("q", "/bin/sleep", "1000")
        reader, writer = os.pipe()
        self.client.put("l", b"", [writer])
        os.close(writer)
        self.assertEqual(self.client.call(END).type, DONE)
        with os.fdopen(reader, "rb") as file:
            self.assertEqual(file.read(), b"")
        self.assertTrue(alive(stubborn))
        self.assertFalse(self.own.path.exists())
        self.assertEqual(self.client.start("r", "/bin/true")[ERROR], 108)
        self.assertEqual(self.client.put("l")[ERROR], 108)
        self.assertEqual(self.client.exited("p"), signal.SIGKILL)
        while self.client.receive() is not None:
            pass
        self.assertEqual(self.own.process.wait(60), 0)
        self.assertFalse(alive(stubborn) or alive(other))

    def test_sigterm_leaves_nothing(self):
        pids = [self.run_program(f"p{i}", "/bin/sleep", "1000") for i in range(20)]
        self.client.close()
        self.assertEqual(self.own.end(), 0)
        self.assertFalse(any(map(alive, pids)))
        self.assertFalse(self.own.path.exists())
        self.assertEqual(self.own.log.read_text(), "")


class Reexec(ProgramCase):
    def setUp(self):
        super().setUp()
        # A program on disk of its own, which can be replaced.
        self.binary = self.place / "hvsock-keeper"
        shutil.copy(BUILD / "hvsock-keeper", self.binary)
        self.own = Keeper(start=False)
        self.own.binary = self.binary
        self.addCleanup(self.own.close)
        self.own.start()
        self.client = self.own.client()

    def replace(self, content=None):
        new = self.place / "new"
        if content is None:
            shutil.copy(BUILD / "hvsock-keeper", new)
        else:
            new.write_text(content)
            new.chmod(0o755)
        new.rename(self.binary)
        return new.stat().st_ino if new.exists() else self.binary.stat().st_ino

    def is_new(self, inode):
        return lambda: os.stat(f"/proc/{self.own.pid}/exe").st_ino == inode

    def test_keeps_everything(self):
        pipes = self.pipes(10)
        for i in range(5):
            self.client.put(f"l{i}", b"x" * i * 1000, pipes[i * 2 : i * 2 + i % 3])
        running = self.run_program("running", "/bin/sleep", "1000", value=b"v1")
        stopping = self.ready("stopping", "trap '' TERM; echo up; while :; do sleep 0.02; done", stop_timeout_us=6000000)
        self.run_program("ended", "/bin/false")
        self.client.exited("ended")
        before = self.client.list()
        fds = self.fds()
        for round, by in enumerate(("message", "signal", "message")):
            inode = self.replace()
            if round == 2:  # it has its six seconds, whoever looks at the clock
                self.client.call(STOP, field(KEY, "stopping"))
            if by == "message":
                self.assertEqual(self.client.call(REEXEC).type, DONE)
            else:
                os.kill(self.own.pid, signal.SIGHUP)
            # What is asked meanwhile is answered by the one or the other, on the same connection.
            for i in range(20):
                self.assertEqual(self.client.put(f"l{round}-{i}").type, DONE)
            wait_for(self.is_new(inode))
            self.assertEqual(self.client.call(DELETE, *(field(KEY, f"l{round}-{i}") for i in range(20))).type, DONE)
            after = self.client.list()
            self.assertEqual(list(after), list(before))
            for key, found in after.items():
                self.assertEqual(found._replace(fds=None), before[key]._replace(fds=None))
                self.assertEqual([os.fstat(fd).st_ino for fd in found.fds], [os.fstat(fd).st_ino for fd in before[key].fds])
                for fd in found.fds:
                    os.close(fd)
            self.assertEqual(len(self.fds()), len(fds))
            self.assertTrue(alive(running))
        self.assertEqual(self.own.process.poll(), None)
        self.assertEqual(self.client.exited("stopping"), signal.SIGKILL)
        os.kill(running, signal.SIGTERM)
        self.assertEqual(self.client.exited("running"), signal.SIGTERM)
        self.assertFalse(alive(stopping))
        # Programs are given no descriptor of those that were left open for a moment, and the limits of the first.
        self.assertEqual(len(self.output("/bin/ls", "/proc/self/fd").split()), 4)
        self.assertEqual(self.output("/bin/sh", "-c", "ulimit -Sn").strip(), str(resource.getrlimit(resource.RLIMIT_NOFILE)[0]))
        second = self.own.client()
        self.assertEqual(second.hello[INSTANCE], self.client.hello[INSTANCE])
        for found in before.values():
            for fd in found.fds:
                os.close(fd)
        self.assertEqual(self.own.log.read_text(), "")
        self.assertEqual(self.own.end(), 0)
        self.assertFalse(self.own.path.exists())

    def test_cannot_be_executed(self):
        self.client.put("l", b"v", self.pipes(1))
        pid = self.run_program("p", "/bin/sleep", "1000")
        fds = self.fds()
        for content in ("not a program", None):
            if content:
                self.replace(content)
            else:
                self.binary.unlink()
            self.assertEqual(self.client.call(REEXEC).type, DONE)
            self.assertEqual(self.client.put("m").type, DONE)
            wait_for(lambda: "cannot be executed" in self.own.log.read_text())
            self.own.log.write_text("")
            self.assertEqual(self.fds(), fds)
            self.assertEqual(self.keys(self.client), {b"l", b"m", b"p"})
            self.assertTrue(alive(pid))
            self.assertEqual(len(self.output("/bin/ls", "/proc/self/fd", key="q").split()), 4)

    def test_many(self):
        count = min(10000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1000)
        pipes = self.pipes(200)
        for start in range(0, count, 200):
            self.client.send(PUT, *(item(f"l{i}", f"value {i}", 1) for i in range(start, start + 200)), fds=pipes)
        self.client.call(DELETE)
        inode = self.replace()
        self.client.call(REEXEC)
        self.assertEqual(self.client.call(DELETE).type, DONE)
        self.assertTrue(self.is_new(inode)())
        self.assertEqual(len(self.keys(self.client)), (count + 199) // 200 * 200)

    def test_client_that_does_not_read(self):
        """It is waited for a second, and closed then: it connects again, and finds everything."""
        for i in range(0, 2000, 200):
            self.client.send(PUT, *(item(f"l{j}", b"x" * 200) for j in range(i, i + 200)))
        for i in range(5):
            self.client.send(LIST, request=100 + i)
        inode = self.replace()
        os.kill(self.own.pid, signal.SIGHUP)
        wait_for(self.is_new(inode), 5)
        while self.client.receive() is not None:
            pass
        self.assertEqual(len(self.keys(self.own.client())), 2000)

    def resume(self, state, fds):
        """A keeper that finds this state, as if another version had left it."""
        with tempfile.TemporaryFile() as file:
            file.write(state)
            file.flush()
            with self.own.log.open("ab") as log:
                return subprocess.Popen(
                    [self.binary, "--runtime", self.own.folder, f"--resume={file.fileno()}"], pass_fds=[file.fileno(), *fds],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def test_state_of_another_version(self):
        """What it does not know it skips, and what it cannot understand costs nothing else."""
        FD, REMOVES_PATH = 0x100, 0x101
        self.own.end()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(self.own.path))
            listener.listen(5)
            pipes = self.pipes(2)
            head = frame(1, field(FD, listener.fileno()), field(INSTANCE, b"i" * 16), field(REMOVES_PATH, 1), field(0x7777 | CRITICAL, "newer"), version=9)
            items = [
                frame(3, field(KEY, "l"), field(VALUE, "v"), field(FD, pipes[0]), field(0x7777, "newer"), version=9),
                frame(99, field(KEY, "what is this"), version=9),
                frame(3, field(VALUE, "no key")),
                frame(2, field(KEY, "no descriptor")),
                frame(3, field(KEY, "m"), field(FD, pipes[1])),
            ]
            good = head + b"".join(items)
            for tail, known in ((b"", {b"l", b"m"}), (b"garbage" * 10, {b"l", b"m"}), (items[0][:20], {b"l", b"m"})):
                process = self.resume(good + tail, [listener.fileno(), *pipes])
                client = Client(self.own.path)
                self.assertEqual((client.hello[INSTANCE], client.hello[PID]), (b"i" * 16, process.pid))
                self.assertEqual(self.keys(client), known)
                client.call(END)
                self.assertEqual(process.wait(60), 0)
                client.close()
            # Without a listener it cannot go on.
            for state in (b"", b"garbage" * 10, b"".join(items)):
                self.assertEqual(self.resume(state, pipes).wait(60), 1)

    def test_without_a_client(self):
        self.client.put("l", b"v", self.pipes(1))
        self.client.close()
        inode = self.replace()
        os.kill(self.own.pid, signal.SIGHUP)
        wait_for(self.is_new(inode))
        self.assertEqual(self.keys(self.own.client()), {b"l"})

    def test_program_ends_meanwhile(self):
        """Its end is told, whichever of the two versions sees it."""
        for i in range(10):
            self.client.send(START, field(KEY, f"p{i}"), program("/bin/sh", "-c", f"exit {i}"), request=1000 + i)
            if i % 3 == 0:
                self.client.send(REEXEC)
        for i in range(10):
            self.assertEqual(os.waitstatus_to_exitcode(self.client.exited(f"p{i}")), i)


CGROUP_ROOTS = [pathlib.Path(path) for path in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified") if os.path.exists(path + "/cgroup.procs")]


@unittest.skipUnless(ROOT and CGROUP_ROOTS, "needs root, and cgroup v2")
class Cgroup(ProgramCase):
    def setUp(self):
        super().setUp()
        self.unit = CGROUP_ROOTS[0] / f"hvsock-keeper-test-{os.getpid()}"
        try:
            self.unit.mkdir()
        except OSError as error:
            self.skipTest(f"no cgroup can be made: {error}")
        self.addCleanup(self.remove)
        try:
            os.setxattr(self.unit, "user.delegate", b"1")
        except OSError as error:
            self.skipTest(f"user.delegate cannot be set: {error}")
        self.own = self.inside()
        self.client = self.own.client()

    def inside(self):
        """Another keeper, begun in the delegated cgroup."""
        unit = str(self.unit / "cgroup.procs")
        return self.keeper(before=lambda: open(unit, "w").write("0"))

    def remove(self):
        with contextlib.suppress(OSError):
            (self.unit / "cgroup.kill").write_text("1")
        for folder in [*self.unit.glob("*/"), self.unit]:
            wait_for(lambda folder=folder: self.removed(folder))

    def removed(self, folder):
        with contextlib.suppress(FileNotFoundError, OSError):
            folder.rmdir()
        return not folder.exists()

    def cgroups(self):
        return sorted(folder.name for folder in self.unit.glob("program-*"))

    def cgroup_of(self, pid):
        for line in open(f"/proc/{pid}/cgroup"):
            if line.startswith("0::"):
                return line.strip().rsplit("/", 1)[1]

    def test_one_a_program(self):
        self.assertEqual(self.cgroup_of(self.own.pid), "keeper")
        pid = self.run_program("p", "/bin/sleep", "1000", cgroup="guest-log")
        other = self.run_program("q", "/bin/sleep", "1000", cgroup="guest-log")
        odd = self.run_program("r", "/bin/sleep", "1000", cgroup="../a/ü\n" + "x" * 300)
        none = self.run_program("s", "/bin/sleep", "1000")
        self.assertTrue(self.cgroup_of(pid).startswith("program-guest-log-"))
        self.assertEqual(len({self.cgroup_of(each) for each in (pid, other, odd, none)}), 4)
        self.assertEqual(len(self.cgroups()), 4)
        for key in "pqrs":
            self.client.call(STOP, field(KEY, key))
        for key in "pqrs":
            self.client.exited(key)
        wait_for(lambda: self.cgroups() == [])
        self.client.call(DELETE, *(field(KEY, key) for key in "pqrs"))
        self.assertEqual(self.refused("/nonexistent"), (ENOENT, "exec /nonexistent"))
        self.assertEqual(self.cgroups(), [])

    def test_leaves_nothing(self):
        """What forks away is ended with its program, also where that ends by itself."""
        environment = "PATH=" + os.environ["PATH"]
        self.run_program("p", "/bin/sh", "-c", "trap '' TERM; setsid sleep 1000 & exit 0", environment=environment)
        self.client.exited("p")
        wait_for(lambda: self.cgroups() == [])
        wait_for(lambda: children(self.own.pid) == [])
        self.ready("q", "trap '' TERM; setsid sh -c 'trap exit TERM; echo up; while :; do sleep 0.02; done' & wait; while :; do sleep 0.02; done", stop_timeout_us=300000)
        self.assertEqual(self.client.call(STOP, field(KEY, "q")).type, DONE)
        self.assertEqual(self.client.exited("q"), signal.SIGKILL)
        wait_for(lambda: self.cgroups() == [])

    @unittest.skipUnless(platform.machine() == "x86_64", "knows x86-64's system calls")
    def test_without_clone3(self):
        """As under container engines that refuse it: the program moves itself."""
        def before():
            (self.unit / "cgroup.procs").write_text("0")
            if seccomp(435, 0x00050000 | 38) != 0:  # clone3: ENOSYS
                os._exit(77)

        self.own = self.keeper(before=before)
        self.client = self.own.client()
        self.assertEqual(open(f"/proc/{self.own.pid}/status").read().split("Seccomp:\t")[1][0], "2")
        pid = self.run_program("p", "/bin/sleep", "1000", cgroup="x")
        self.assertEqual(self.cgroup_of(pid), self.cgroups()[0])
        self.client.call(STOP, field(KEY, "p"))
        self.client.exited("p")
        wait_for(lambda: self.cgroups() == [])

    def test_cgroups_of_its_own(self):
        """What a program makes below its cgroup goes with it."""
        script = 'cd "$0" && mkdir -p a/b && { sleep 1000 & } && echo $! >a/b/cgroup.procs && echo up && wait'
        reader, writer = os.pipe()
        self.run_program("p", "/bin/sh", "-c", "d=$(sed -n s/^0:://p /proc/self/cgroup); exec sh -c '%s' %s/${d##*/}" % (script, self.unit),
                         fds=[writer], stdout=0, environment="PATH=" + os.environ["PATH"])
        os.close(writer)
        with os.fdopen(reader, "rb") as file:
            self.assertEqual(file.read(3), b"up\n")
        self.client.call(STOP, field(KEY, "p"))
        self.client.exited("p")
        wait_for(lambda: self.cgroups() == [])
        wait_for(lambda: children(self.own.pid) == [])

    def test_keeper_killed(self):
        self.ready("p", "setsid sleep 1000 & echo up; wait")
        left = wait_for(lambda: [int(pid) for pid in (self.unit / self.cgroups()[0] / "cgroup.procs").read_text().split()][1:])
        self.own.kill()
        self.inside()
        wait_for(lambda: self.cgroups() == [])
        wait_for(lambda: not any(map(alive, left)))

    def test_reexec(self):
        pid = self.run_program("p", "/bin/sleep", "1000", cgroup="x")
        self.client.call(REEXEC)
        self.assertEqual(self.client.list()[b"p"].pid, pid)
        self.assertTrue(alive(pid))
        self.assertEqual(self.cgroups(), [self.cgroup_of(pid)])
        self.assertEqual(self.cgroup_of(self.own.pid), "keeper")
        self.client.call(STOP, field(KEY, "p"))
        self.client.exited("p")
        wait_for(lambda: self.cgroups() == [])
        self.assertEqual(self.cgroup_of(self.run_program("q", "/bin/sleep", "1000", cgroup="x"))[:9], "program-x")

    def test_end(self):
        self.run_program("p", "/bin/sh", "-c", "setsid sleep 1000 & wait", environment="PATH=" + os.environ["PATH"])
        self.assertEqual(self.own.end(), 0)
        self.assertEqual(self.cgroups(), [])

    def test_not_ours(self):
        """Not delegated: it is left as it is."""
        os.removexattr(self.unit, "user.delegate")
        own = self.inside()
        self.assertEqual(self.cgroup_of(own.pid), self.unit.name)
        own.client().start("p", "/bin/true")
        self.assertEqual(self.cgroups(), [])


if __name__ == "__main__":
    unittest.main()
