# SPDX-License-Identifier: Apache-2.0
"""hvsockd, hvsock-keeper and both killed in every state of a connection: what was waiting is served, what was running runs
on (with the keeper it ends, and the peer sees a clean end), and nobody hangs. Over unix sockets, and in the guest over vsock."""

import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import threading
import time

from hv.case import BUILD, GUEST, Case, vsock_connect, wait_for
from hv.daemon import stat_of
from test_listeners import connect

# The guest is emulated; what is sanitized starts slowly.
SLOW = 10 if GUEST else 3 if "sanitize" in BUILD.name else 1
LOAD = BUILD / "tests/vm/load"

# accept: tells its pid and what it hears. Each start leaves a line.
ECHO = ["/bin/sh", "-c", 'echo $$ >>"$0"; echo $$; exec cat']
# wait: the same on the listener, and a line for each connection.
LISTEN = """
import os, socket, sys, threading
listener = socket.socket(fileno=3)
open(sys.argv[1], "a").write(f"{os.getpid()}\\n")
def serve(connection):
    connection.sendall(f"{os.getpid()}\\n".encode())
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.close()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


def process(pid):
    """Its state and its parent; None: there is none. One that is dead has closed what it had."""
    try:
        state, parent = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else (state, int(parent))


class Peer:
    """Its own side of a connection to one of the programs above."""

    def __init__(self, connection):
        self.connection = connection
        self.read = b""
        connection.settimeout(60)

    def line(self):
        while b"\n" not in self.read:
            data = self.connection.recv(4096)
            if not data:
                raise ConnectionResetError(f"the end, after {self.read}")
            self.read += data
        line, self.read = self.read.split(b"\n", 1)
        return line.decode()

    def pid(self):
        return int(self.line())

    def talk(self, text):
        self.connection.sendall(text.encode() + b"\n")
        answer = self.line()
        assert answer == text, (answer, text)

    def ends(self):
        """It comes to an end by itself, and does not hang."""
        try:
            while self.connection.recv(4096):
                pass
        except ConnectionError:
            pass


class Killed(Case):
    def setUp(self):
        super().setUp()
        # The last one is not the one whose descriptors were counted at the start.
        self.d = self.daemon(leave=True)
        self.c = self.client(self.d)
        self.starts = self.d.folder / "starts"
        self.starts.touch()
        self.stopped = set()
        self.addCleanup(lambda: [self.go_on(pid) for pid in list(self.stopped)])

    def place(self):
        """Where the service listens, in its record; and how to get there."""
        path = self.d.folder / "a.sock"
        return {"listen": [f"unix://{path}"]}, lambda: connect(path), str(path)

    def register(self, mode="accept", **fields):
        where, self.come, self.address = self.place()
        command = [sys.executable, "-c", LISTEN, str(self.starts)] if mode == "wait" else [*ECHO, str(self.starts)]
        service = {"name": "a", "activate": {"mode": mode, "exec": command}, **where, **fields}
        self.c.call("Register", service=service)

    def peer(self):
        peer = Peer(self.come())
        self.things.callback(peer.connection.close)
        return peer

    # ---- the two, and what is done to them ----

    def keeper(self):
        return wait_for(self.d.keeper, what=lambda: f"a keeper: {self.d.processes()}")

    def hold_still(self, pid):
        os.kill(pid, signal.SIGSTOP)
        self.stopped.add(pid)

    def go_on(self, pid):
        self.stopped.discard(pid)
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass

    def kill(self, pid):
        os.kill(pid, signal.SIGKILL)
        self.stopped.discard(pid)
        wait_for(lambda: process(pid) is None, what="its end")

    def kill_daemon(self):
        self.stopped.discard(self.d.pid)
        self.c.close()
        self.d.kill()

    def start_daemon(self):
        self.d.start()
        self.c = self.client(self.d)

    def service(self):
        return self.c.call("Describe", name="a")["service"]

    def programs(self):
        return [program["processId"] for program in self.service()["runtime"].get("programs") or []]

    def wait_programs(self, pids):
        wait_for(lambda: sorted(self.programs()) == sorted(pids), what=lambda: f"programs {pids}: {self.service()}")

    def started(self):
        return [int(line) for line in self.starts.read_text().split()]

    def all_is_well(self):
        """Somebody who comes now is served, and nothing is left of who came before."""
        peer = self.peer()
        peer.pid()
        peer.talk("and now?")
        peer.connection.close()
        if self.service()["context"]["activate"]["mode"] == "accept":
            self.nothing_is_left()

    def nothing_is_left(self):
        wait_for(lambda: not self.programs() and not self.connections(), what=lambda: f"{self.connections()}, {self.service()}")

    def connections(self):
        return [c for c in self.c.list("ListConnections", "connection") if c["service"] == "a"]


class KilledOverUnix(Killed):
    # ---- waiting in the backlog ----

    def waiting(self, mode, kill, served=True):
        self.register(mode)
        self.hold_still(self.d.pid)
        peers = [self.peer() for _ in range(3)]
        kill()
        for number, peer in enumerate(peers):
            if served:
                peer.pid()
                peer.talk(f"I am {number}")
            else:
                peer.ends()
            peer.connection.close()
        self.all_is_well()
        self.assertEqual(len(self.started()), {"accept": 4 if served else 1, "wait": 1}[mode])

    def daemon_killed(self):
        self.kill_daemon()
        self.start_daemon()

    def keeper_killed(self):
        before = self.d.log_text().count("runs again")
        self.kill(self.keeper())
        self.go_on(self.d.pid)
        # Until then hvsockd alone holds everything.
        wait_for(lambda: self.d.log_text().count("runs again") > before, what="another keeper")

    def both_killed(self):
        """At once: hvsockd has no time to start another."""
        keeper = self.keeper()
        self.hold_still(self.d.pid)
        self.kill(keeper)
        self.kill_daemon()
        self.start_daemon()
        self.assertRegex(self.d.log_text(), "what hvsock-keeper held is lost.* 1 listeners, which are bound anew")

    def test_waiting_accept_daemon(self):
        self.waiting("accept", self.daemon_killed)

    def test_waiting_accept_keeper(self):
        self.waiting("accept", self.keeper_killed)

    def test_waiting_accept_both(self):
        self.waiting("accept", self.both_killed, served=False)

    def test_waiting_wait_daemon(self):
        self.waiting("wait", self.daemon_killed)

    def test_waiting_wait_keeper(self):
        self.waiting("wait", self.keeper_killed)

    def test_waiting_wait_both(self):
        self.waiting("wait", self.both_killed, served=False)

    # ---- the program is about to start: hvsockd has accepted and asked, the keeper has not done it yet ----

    def starting(self, mode, registered=False):
        if not registered:
            self.register(mode)
        self.hold_still(self.keeper())
        peer = self.peer()
        wait_for(self.connections if mode == "accept" else lambda: self.service()["runtime"]["state"] == "active", what=self.service)
        time.sleep(0.3)
        self.assertEqual(self.started(), [])
        return peer

    def test_starting_accept_daemon(self):
        peer = self.starting("accept")
        self.kill_daemon()
        self.go_on(self.keeper())
        self.start_daemon()
        pid = peer.pid()
        peer.talk("late, but here")
        self.wait_programs([pid])
        peer.connection.close()
        self.all_is_well()
        self.assertEqual(len(self.started()), 2)

    def test_starting_wait_daemon(self):
        peer = self.starting("wait")
        self.kill_daemon()
        self.go_on(self.keeper())
        self.start_daemon()
        pid = peer.pid()
        peer.talk("late, but here")
        self.wait_programs([pid])
        self.assertEqual(len(self.started()), 1)

    def test_starting_accept_keeper(self):
        """The keeper had not come to it, which is known: so the next one starts a program for it."""
        self.register()
        self.all_is_well()  # it has said HELLO, too
        self.starts.write_text("")
        peer = self.starting("accept", registered=True)
        peer.connection.sendall(b"early\n")
        self.kill(self.keeper())
        peer.pid()
        self.assertEqual(peer.line(), "early")
        peer.talk("by another")
        peer.connection.close()
        self.all_is_well()
        self.assertEqual(len(self.started()), 2)
        self.assertNotIn("and with it 1 program", self.d.log_text())

    def test_starting_accept_keeper_anew(self):
        """One that has executed itself anew does not say what it has begun with: a program that ran could have read something, and
        another would begin in the middle. So it is hung up."""
        self.register()
        self.all_is_well()
        keeper = self.keeper()
        os.kill(keeper, signal.SIGHUP)
        wait_for(lambda: "--resume" in self.d.processes().get(keeper, ""), what="its new program")
        self.starts.write_text("")
        peer = self.starting("accept", registered=True)
        self.kill(keeper)
        peer.ends()
        self.all_is_well()
        self.assertEqual(len(self.started()), 1)

    def test_starting_wait_keeper(self):
        """It is still in the listener's queue: so it is served."""
        peer = self.starting("wait")
        self.kill(self.keeper())
        peer.pid()
        peer.talk("by another")
        self.all_is_well()
        self.assertEqual(len(self.started()), 1)

    def test_starting_both(self):
        for mode in ("accept", "wait"):
            peer = self.starting(mode)
            keeper = self.keeper()
            self.hold_still(self.d.pid)
            self.kill(keeper)
            self.kill_daemon()
            peer.ends()
            self.start_daemon()
            self.all_is_well()
            self.c.call("Unregister", name="a")
            self.starts.write_text("")

    def test_slow_keeper(self):
        """One that has much to do, on a machine that hardly lets it, is no one that hangs: it is waited for, and has kept all."""
        self.register()
        self.all_is_well()
        keeper = self.keeper()
        self.hold_still(keeper)
        peers = [self.peer() for _ in range(50)]
        time.sleep(0.3)
        self.kill_daemon()

        def let_it_hardly():
            for _ in range(10):  # then it may: in the end an answer is wanted
                if over.is_set():
                    break
                self.go_on(keeper)
                time.sleep(0.0005)
                self.hold_still(keeper)
                over.wait(0.4)
            self.go_on(keeper)

        over = threading.Event()
        slow = threading.Thread(target=let_it_hardly)
        slow.start()
        try:
            began = time.monotonic()
            self.start_daemon()
            took = time.monotonic() - began
        finally:
            over.set()
            slow.join()
        if took < 2.5:
            print(f"{self.id()}: only {took:.1f} s: it was not slow enough to be taken for dead", file=sys.stderr)
        self.assertEqual(self.keeper(), keeper)
        self.wait_programs([peer.pid() for peer in peers])

    # ---- the program runs ----

    def test_running_accept_daemon(self):
        self.register(peers={"maxConnections": 2})
        peer, other = self.peer(), self.peer()
        pids = [peer.pid(), other.pid()]
        peer.talk("before")
        self.kill_daemon()
        peer.talk("alone")
        late = self.peer()
        other.connection.close()
        wait_for(lambda: process(pids[1]) is None)
        self.start_daemon()
        peer.talk("after")
        # The one that ended meanwhile gave its place to who came meanwhile; and now it is full.
        late_pid = late.pid()
        self.wait_programs([pids[0], late_pid])
        shown = self.connections()
        self.assertEqual(sorted(pid for c in shown for pid in c["holders"]), sorted([pids[0], late_pid]), shown)
        self.peer().ends()
        peer.talk("still")
        for one in (peer, late):
            one.connection.close()
        self.wait_programs([])
        self.all_is_well()
        self.assertEqual(len(self.started()), 4)

    def test_running_accept_keeper(self):
        self.register()
        peer = self.peer()
        pid = peer.pid()
        peer.talk("before")
        self.kill(self.keeper())
        peer.ends()
        wait_for(lambda: process(pid) is None)
        self.all_is_well()

    # A child that the program waits for, and one that has left its process group: both have the connection.
    CHILDREN = ["/bin/sh", "-c", 'echo $$; setsid tail -f "$0" & cat; exit']

    def running_children(self, kill):
        self.register(activate={"mode": "accept", "exec": [*self.CHILDREN, str(self.starts)]})

        def child():
            return [pid for pid, command in self.d.processes().items() if command.startswith("tail -f")]

        peer = self.peer()
        peer.pid()
        peer.talk("before")
        wait_for(child, what="the child")
        kill()
        peer.ends()
        wait_for(lambda: not child(), what="its end")

    def test_running_children_keeper(self):
        self.running_children(self.keeper_killed)
        self.all_is_well()

    def test_running_children_both(self):
        """There is nobody else to end them: the keeper's guard does, also where nobody starts another."""

        def both():
            self.kill(self.keeper())
            self.kill_daemon()

        self.running_children(both)
        self.start_daemon()
        self.all_is_well()

    def test_guard_ends_late(self):
        """After the next keeper has been started: it is waited for all the same."""
        keeper = self.keeper()
        guard = self.d.guard(keeper)
        self.hold_still(guard)
        self.keeper_killed()
        self.go_on(guard)
        wait_for(lambda: stat_of(guard) is None, what=lambda: f"the guard's end: {stat_of(guard)}")

    def test_guard_killed(self):
        """The keeper goes on without; and the next one has a guard again."""
        self.register()
        peer = self.peer()
        pid = peer.pid()
        keeper = self.keeper()
        self.kill(self.d.guard(keeper))
        peer.talk("before")
        self.kill_daemon()
        self.start_daemon()
        peer.talk("after")
        self.wait_programs([pid])
        self.assertEqual(self.c.call("Status")["keeperProcessId"], keeper)
        self.kill(keeper)
        peer.ends()
        self.assertTrue(self.d.guard(self.keeper()))
        self.all_is_well()

    def test_running_accept_both(self):
        self.register()
        peer = self.peer()
        peer.pid()
        wait_for(lambda: len(self.programs()) == 1)
        self.both_killed()
        self.assertIn("0 leases; 1 programs", self.d.log_text())
        peer.ends()
        self.all_is_well()

    def test_running_wait_daemon(self):
        self.register("wait")
        peer = self.peer()
        pid = peer.pid()
        self.kill_daemon()
        peer.talk("alone")
        self.assertEqual(self.peer().pid(), pid)
        self.start_daemon()
        peer.talk("after")
        self.assertEqual(self.peer().pid(), pid)
        self.wait_programs([pid])
        # It ends: who comes then gets another, of the hvsockd that did not start the first.
        self.kill(pid)
        peer.ends()
        self.assertNotEqual(self.peer().pid(), pid)

    def test_running_wait_keeper(self):
        self.register("wait")
        peer = self.peer()
        pid = peer.pid()
        self.kill(self.keeper())
        peer.ends()
        self.assertNotEqual(self.peer().pid(), pid)
        self.all_is_well()

    def test_running_wait_both(self):
        self.register("wait")
        peer = self.peer()
        pid = peer.pid()
        self.both_killed()
        peer.ends()
        self.assertNotEqual(self.peer().pid(), pid)

    # ---- at any moment, being accepted among them ----

    def under_load(self, count, at_once, victims):
        if not LOAD.exists():
            self.skipTest(f"{LOAD} is not built")
        where, self.come, self.address = self.place()
        tally = self.d.folder / "tally"
        tally.touch()
        service = {"name": "a", "backlog": 512, "activate": {"mode": "accept", "exec": [str(LOAD), "answer", str(tally)]}, **where}
        self.c.call("Register", service=service)
        command = [str(LOAD), "ask", "--cut", self.address, str(count), str(at_once), "7"]
        load = self.process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        kills = 0
        while kills == 0 or load.poll() is None:
            time.sleep(random.uniform(0.05, 0.4))
            victims[kills % len(victims)]()
            kills += 1
        output, errors = load.communicate()
        self.assertEqual(load.returncode, 0, output + errors + self.d.log_text()[-2000:])
        cut = int(output.split(" cut")[0].split()[-1])
        print(f"{self.id()}: {kills} kills: {output.strip()}", file=sys.stderr)
        self.nothing_is_left()
        # Each program saw its own conversation from its first byte.
        self.assertNotIn("wrong", set(tally.read_text().split()))
        return kills, cut

    def test_any_moment_daemon(self):
        """What a program has is untouched; only who was just being accepted can be hung up."""
        kills, cut = self.under_load(1500 // SLOW, 20, [self.daemon_killed])
        self.assertLessEqual(cut, kills * 20)

    def test_any_moment_keeper(self):
        self.under_load(1500 // SLOW, 20, [self.keeper_killed])

    def test_any_moment_either(self):
        self.under_load(1500 // SLOW, 20, [self.keeper_killed, self.daemon_killed])


if GUEST:  # elsewhere it would leave the machine

    class KilledOverVsock(KilledOverUnix):
        # What is the same over every transport is left out: emulation makes it long.
        test_slow_keeper = test_any_moment_either = test_starting_wait_daemon = test_starting_wait_keeper = None

        def place(self):
            port = self.d.port()
            return {"port": port}, lambda: vsock_connect(1, port), f"vsock:1:{port}"
