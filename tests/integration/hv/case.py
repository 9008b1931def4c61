# SPDX-License-Identifier: Apache-2.0
"""A test case: whatever it started is looked after when it ends. What a daemon had open at its start it must have at
its end, no process, socket or path may be left, and no sanitizer may have complained."""

import contextlib
import functools
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import traceback
import unittest

from .daemon import BUILD, Daemon, StartFailed, wait_for
from .varlink import Hungup, Refused, Varlink

NOBODY = 65534
GUEST = bool(os.environ.get("HVSOCK_GUEST"))


def kinds(fds):
    """How many of each kind, of those that tests can tell."""
    counts = {"socket": 0, "pidfd": 0, "other": 0}
    for target in fds.values():
        counts["socket" if target.startswith("socket:") else "pidfd" if "pidfd" in target else "other"] += 1
    return counts


def vsock_connect(cid, port, timeout=60):
    """Only in our own guest: on this machine it would leave the machine."""
    if not GUEST:
        raise unittest.SkipTest("connects AF_VSOCK: runs in the guest of tests/vm alone")
    connection = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    connection.connect((cid, port))
    return connection


def known(reason):
    """A test of something that is known not to work: it is skipped for that reason, and fails when it works."""

    def mark(function):
        @functools.wraps(function)
        def test(self):
            try:
                function(self)
            except (AssertionError, Refused) as error:
                first = str(error).split("\n")[0]
                self.skipTest(f"known: {reason} ({first})")
            self.fail(f"this works now: take @known off ({reason})")

        return test

    return mark


class Case(unittest.TestCase):
    maxDiff = None

    def run(self, result=None):
        self.result = result
        return super().run(result)

    def setUp(self):
        self.daemons = []
        # Clients and processes of the test: they end before the daemons are looked at.
        self.things = contextlib.ExitStack()
        self.addCleanup(self.things.close)

    # ---- making ----

    def daemon(self, start=True, leave=False, **options):
        """A daemon that is looked after. leave: nothing is asked of it at the end, for the test has broken that."""
        daemon = Daemon(**options)
        daemon.leave = leave
        daemon.at_start = None
        self.daemons.append(daemon)
        self.addCleanup(daemon.remove)
        if start:
            daemon.start()
            daemon.at_start = kinds(daemon.fds())
        return daemon

    def client(self, daemon, *arguments, **options):
        client = daemon.client(*arguments, **options)
        self.things.callback(client.close)
        return client

    def process(self, command, **options):
        """A process that does not outlive the test."""
        process = subprocess.Popen(command, **options)

        def end():
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()

        self.things.callback(end)
        return process

    def python(self, code, *arguments, **options):
        """A Python program with the harness in its path."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(pathlib.Path(__file__).resolve().parents[1]),
            **options.pop("env", {}),
        }
        return self.process([sys.executable, "-c", code, *map(str, arguments)], env=environment, text=True, **options)

    def as_user(self, uid, function, groups=(), gid=None):
        """What function() answers (JSON) in a child that has become this user; what it raises is raised here."""
        if os.geteuid() != 0:
            self.skipTest("becomes another user: needs root")
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(ours)
                os.setgroups(list(groups))
                os.setresgid(*[gid if gid is not None else uid] * 3)
                os.setresuid(uid, uid, uid)
                result = {"result": function()}
                status = 0
            except Refused as error:
                result = {"refused": [error.name, error.parameters]}
            except BaseException:  # noqa: it is told to the parent
                result = {"failed": traceback.format_exc()}
            with os.fdopen(theirs, "w") as pipe:
                json.dump(result, pipe)
            os._exit(status)
        os.close(theirs)
        with os.fdopen(ours) as pipe:
            text = pipe.read()
        os.waitpid(child, 0)
        result = json.loads(text) if text else {"failed": "the child died"}
        if "refused" in result:
            raise Refused(*result["refused"])
        if "failed" in result:
            self.fail(result["failed"])
        return result["result"]

    # ---- asking ----

    @contextlib.contextmanager
    def refuses(self, error_name, /, **parameters):
        """The block ends with this error; given parameters must be in it."""
        with self.assertRaises(Refused) as caught:
            yield caught
        error = caught.exception
        self.assertEqual(error.short, error_name, str(error))
        for field, value in parameters.items():
            self.assertEqual(error.parameters.get(field), value, str(error))

    def state(self, client, name, listener=None):
        """A service's state, or one of its listeners'."""
        runtime = client.call("Describe", name=name)["service"]["runtime"]
        return runtime["state"] if listener is None else runtime["listeners"][listener]["state"]

    def wait_state(self, client, name, state, seconds=0):
        service = {}

        def there():
            service.update(client.call("Describe", name=name)["service"])
            return service["runtime"]["state"] == state

        wait_for(there, seconds, lambda: f"{name} is {state}: {service}")
        return service

    # ---- looking after ----

    def tearDown(self):
        good = getattr(self.result, "status", "ok") != "FAIL"
        try:
            if good:
                good = False
                self.things.close()
                for daemon in self.daemons:
                    self._look_after(daemon)
                good = True
        finally:
            if not good:
                for daemon in self.daemons:
                    sys.stderr.write(
                        f"---- {self.id()}: log of hvsockd in {daemon.folder.name}:\n{daemon.log_text()[-6000:]}----\n"
                    )

    def _look_after(self, daemon):
        if daemon.running:
            if daemon.at_start and not daemon.leave:
                self._empty(daemon)
                self._wait_fds(daemon)
            status = daemon.terminate()
            self.assertEqual(status, 0, f"exit status after SIGTERM; the log ends with:\n{daemon.log_text()[-2000:]}")
            self.assertEqual(daemon.sockets(), [], "sockets that are left behind")
        elif keeper := daemon.keeper():
            # hvsockd was killed: what it left goes when its keeper is told to. (Or it was ended, and its keeper is about to end.)
            with contextlib.suppress(ProcessLookupError):
                os.kill(keeper, signal.SIGTERM)
        wait_for(lambda: not daemon.processes(), what=lambda: f"no process is left: {daemon.processes()}")
        log = daemon.log_text()
        for word in ("AddressSanitizer", "LeakSanitizer", "runtime error:", "Assertion"):
            self.assertNotIn(word, log)

    def _empty(self, daemon):
        """Takes back what the test registered: so it is tried after every test."""
        with daemon.client() as client:
            for service in client.list():
                if not service["runtime"]["origin"].startswith("file:"):
                    client.call("Unregister", name=service["context"]["name"])
            for machine in client.list("ListMachines", "machine"):
                if not machine["origin"].startswith("file:"):
                    client.call("RemoveMachine", name=machine["context"]["name"])

    def _wait_fds(self, daemon):
        def back():
            now = kinds(daemon.fds())
            return (
                all(now[kind] <= daemon.at_start[kind] for kind in ("socket", "pidfd"))
                and now["other"] <= daemon.at_start["other"] + 6
            )

        declared = any((daemon.config / "services.d").iterdir())
        if not declared:
            wait_for(back, what=lambda: f"{daemon.at_start} at the start, {kinds(daemon.fds())} now: {daemon.fds()}")


__all__ = [
    "BUILD",
    "Case",
    "Daemon",
    "GUEST",
    "Hungup",
    "NOBODY",
    "Refused",
    "StartFailed",
    "Varlink",
    "known",
    "signal",
    "vsock_connect",
    "wait_for",
]
