# SPDX-License-Identifier: Apache-2.0
"""A daemon of the test's own, in a folder of its own, with all that belongs to it: processes, files, sockets."""

import json
import os
import pathlib
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

from .varlink import Varlink

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("HVSOCK_BUILD") or ROOT / ".build/gcc")
# How long at least is waited for what has to come: with sanitizers, on a machine that does something else meanwhile. Only a test that
# fails waits so long.
PATIENCE_SECONDS = 60

# Becomes the program behind it, which gets the descriptors of those numbers under those names, as from systemd.
GIVE = """
import fcntl, os, sys
names, fds = sys.argv[1], [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 1000) for fd in sys.argv[2].split(",")]
for number, fd in enumerate(fds, 3):
    os.dup2(fd, number, inheritable=True)
    os.close(fd)
os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=names)
os.execv(sys.argv[3], sys.argv[3:])
"""


def wait_for(condition, seconds=0, what=None, every=0.02):
    """Its first true answer."""
    seconds = max(seconds, PATIENCE_SECONDS)
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s still not: {what() if callable(what) else what or condition}")
        time.sleep(every)


def stat_of(pid):
    """proc(5)'s fields from the third on; None: it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def parent_of(pid):
    fields = stat_of(pid)
    return int(fields[1]) if fields else None


def sleeps(pid):
    """It waits for something to happen."""
    fields = stat_of(pid)
    return fields is not None and fields[0] == "S"


class StartFailed(Exception):
    def __init__(self, status, log):
        super().__init__(f"hvsockd ended with {status} before it was ready:\n{log}")
        self.status = status
        self.log = log


class Daemon:
    def __init__(self, settings=None, files=None, uid=None, environment=None, arguments=(), limits=None):
        """settings: text of hvsockd.yaml; files: {name: text} of services.d; limits: {resource: (soft, hard)}."""
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hv-", dir=os.environ.get("HVSOCK_TMP", "/tmp")))
        self.folder.chmod(0o755)
        self.config, self.state, self.runtime = (self.folder / name for name in ("config", "state", "runtime"))
        for folder in (self.config, self.config / "services.d", self.state, self.runtime):
            folder.mkdir()
            if uid is not None:
                os.chown(folder, uid, uid)
        self.socket = self.runtime / "io.hvsock.Registry"
        self.log = self.folder / "log"
        self.uid = uid
        self.arguments = list(arguments)
        self.limits = limits or {}
        self.mark = f"{os.getpid()}-{random.getrandbits(64):x}"
        self.environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HVSOCK_TEST_MARK": self.mark}
        for name, value in os.environ.items():
            if name.startswith(("ASAN_", "UBSAN_", "LSAN_", "GCOV_")):
                self.environment[name] = value
        self.environment.update(environment or {})
        self.passed = []  # (name, socket), as systemd passes them at the start
        self.process = None
        self.statuses = []
        # Ports that nobody else on this machine is likely to use at the same time.
        base = random.randrange(0x20000000, 0x7F000000)
        self.ports = iter(range(base, base + 100000))
        auto = random.randrange(0x10010000, 0x1FFF0000)
        self.settings(settings if settings is not None else "", auto_ports=f"{auto}-{auto + 199}")
        for name, text in (files or {}).items():
            self.file(name, text)

    # ---- what it reads ----

    def settings(self, text, auto_ports=None):
        auto_ports = auto_ports or self.auto_ports
        self.auto_ports = auto_ports
        if text is not None and "autoPorts" not in text:
            text = f'autoPorts: "{auto_ports}"\n' + text
        (self.config / "hvsockd.yaml").write_text(text)

    def file(self, name, text):
        """services.d/NAME.yaml; None removes it."""
        path = self.config / "services.d" / (name + ("" if name.endswith(".yaml") else ".yaml"))
        if text is None:
            path.unlink()
        else:
            path.write_text(text if isinstance(text, str) else json.dumps(text))
        return path

    # ---- its life ----

    def command(self):
        folders = [("--config", self.config), ("--state", self.state), ("--runtime", self.runtime)]
        command = [str(BUILD / "hvsockd"), *(str(word) for option in folders for word in option)]
        if self.passed:
            names, fds = ":".join(name for name, _ in self.passed), ",".join(str(s.fileno()) for _, s in self.passed)
            command = [sys.executable, "-c", GIVE, names, fds, *command]
        return command

    def start(self, wait=True):
        notify_path = self.folder / "notify"
        notify_path.unlink(missing_ok=True)
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(str(notify_path))
        notify_path.chmod(0o777)

        def before():
            import resource

            for name, bounds in self.limits.items():
                resource.setrlimit(name, bounds)
            if self.uid is not None:
                os.setgroups([])
                os.setresgid(self.uid, self.uid, self.uid)
                os.setresuid(self.uid, self.uid, self.uid)

        try:
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    [*self.command(), *self.arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    preexec_fn=before,
                    pass_fds=[passed.fileno() for _, passed in self.passed],
                    env={**self.environment, "NOTIFY_SOCKET": str(notify_path)},
                )
            if wait:
                self.statuses = []
                self._wait_ready(notify)
        finally:
            notify.close()
        return self

    def _wait_ready(self, notify):
        end = time.monotonic() + PATIENCE_SECONDS
        notify.settimeout(0.05)
        while True:
            try:
                lines = notify.recv(65536).decode().split("\n")
                self.statuses += lines
                if "READY=1" in lines:
                    return
            except TimeoutError:
                pass
            status = self.process.poll()
            if status is not None:
                self.process = None
                raise StartFailed(status, self.log_text())
            if time.monotonic() > end:
                raise AssertionError(f"hvsockd was not ready after {PATIENCE_SECONDS} s:\n{self.log_text()}")

    @property
    def pid(self):
        return self.process.pid

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def terminate(self, seconds=PATIENCE_SECONDS):
        """Its exit status after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended(seconds)

    def ended(self, seconds=PATIENCE_SECONDS):
        try:
            return self.process.wait(seconds)
        finally:
            if self.process.poll() is not None:
                self.process = None

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def restart(self, kill=False):
        if kill:
            self.kill()
        else:
            status = self.terminate()
            assert status == 0, f"SIGTERM: exit status {status}\n{self.log_text()}"
        return self.start()

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    # ---- looking at it from outside ----

    def fds(self):
        """What the daemon has open: {number: what it is}."""
        table = {}
        for name in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                table[int(name)] = os.readlink(f"/proc/{self.pid}/fd/{name}")
            except FileNotFoundError:
                pass
        return table

    def processes(self):
        """All that it started and that lives, itself too: by its environment, or its folder on the command line."""
        found = {}
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) == os.getpid():
                continue
            try:
                environment = pathlib.Path(f"/proc/{name}/environ").read_bytes()
                command = pathlib.Path(f"/proc/{name}/cmdline").read_bytes()
            except OSError:
                continue
            if self.mark.encode() in environment or str(self.folder).encode() in command:
                found[int(name)] = command.replace(b"\0", b" ").decode(errors="replace")
        return found

    def keeper(self):
        """The process id of its hvsock-keeper, whose parent is its guard; None: there is none."""
        for pid, command in self.processes().items():
            if "hvsock-keeper " in command and self.guard(pid):
                return pid
        return None

    def guard(self, keeper):
        """The process that ends what programs have started when the keeper is killed; None: that one has gone."""
        parent = parent_of(keeper)
        try:
            name = pathlib.Path(f"/proc/{parent}/comm").read_text().strip()
        except OSError:
            return None
        return parent if name == "hvsock-guard" else None

    def memory_kb(self):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1])
        return 0

    def sockets(self):
        """Paths of sockets that are left in its folder."""
        return [
            pathlib.Path(folder) / name
            for folder, _, names in os.walk(self.folder)
            for name in names
            if name != "notify" and stat.S_ISSOCK(os.lstat(os.path.join(folder, name)).st_mode)
        ]

    def remove(self):
        """Ends whatever lives, and removes the folder."""
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process is not None:
            self.process.wait()
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- talking to it ----

    def client(self, path=None, timeout=PATIENCE_SECONDS):
        return Varlink(path or self.socket, timeout)

    def port(self):
        return next(self.ports)

    def ctl_command(self, *arguments):
        return [str(BUILD / "hvsockctl"), *map(str, arguments)]

    def ctl_environment(self, **more):
        return {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HVSOCK_SOCKET": str(self.socket),
            "HVSOCK_TEST_MARK": self.mark,
            **more,
        }

    def ctl(self, *arguments, expect=0, timeout=PATIENCE_SECONDS, **options):
        """hvsockctl, which has to exit with `expect` (None: with anything): .stdout, .stderr, .returncode, .json()."""
        done = subprocess.run(
            self.ctl_command(*arguments),
            env=self.ctl_environment(),
            text=True,
            timeout=timeout,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **{"stdin": subprocess.DEVNULL, **options},
        )
        if expect is not None and done.returncode != expect:
            raise AssertionError(
                f"hvsockctl {' '.join(map(str, arguments))}: exit {done.returncode}, not {expect}\n"
                f"{done.stdout}{done.stderr}"
            )
        done.json = lambda: json.loads(done.stdout)
        return done
