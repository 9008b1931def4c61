# SPDX-License-Identifier: Apache-2.0
"""Every example of the manuals, of README and of the shipped files is typed: here, as it stands there but for paths, ports and
users, or where ELSEWHERE says. An example that neither knows fails, and so does one that is in no manual any more."""

import functools
import json
import os
import pwd
import random
import re
import shutil
import socket
import subprocess
import threading
import unittest

from examples import PAGES, README, commands, examples
from hv.case import BUILD, GUEST, vsock_connect, wait_for
from hv.daemon import ROOT
from peers import Peers, read_all

CTL, DAEMON, YAML, LIBRARY = "hvsockctl.1", "hvsockd.8", "hvsockd.yaml.5.in", "libhvsock.3"
RUN_QEMU = "hvsockctl machine run web2 --cid auto -- qemu-system-x86_64 -device vhost-vsock-pci,vhostfd={vhostfd},guest-cid={cid} ..."
PODMAN = (
    "podman run -v /run/hvsockd/handout/guest-log:/run/hvsock/guest-log IMAGE "
    "hvsockctl --socket /run/hvsock/guest-log exec guest-log -- /usr/sbin/guest-log"
)
GO = 'api, _ := net.DialUnix("unix", nil, &net.UnixAddr{Name: os.Getenv("HVSOCK_SOCKET"), Net: "unix"})'
C = r'char call[] = "{\"method\":\"io.hvsock.Registry.Serve\",\"parameters\":{\"name\":\"hello\"}}", text[65536];'
LIFECYCLE, SYSTEM, QEMU = "tests/vm/units/lifecycle", "tests/vm/cases/service", "tests/vm/cases/qemu"
CLIENTS, TEST_PODMAN, GOLDEN = "tests/clients/test_clients.py", "tests/clients/test_podman.py", "tests/golden/export/manual.in"

# What is not typed here: where it is, and what stands there. systemd, Windows, podman and QEMU are not in a folder of the test's own;
# AF_VSOCK is connected in the guest alone, where test_vsock_* of this file run, too.
ELSEWHERE = {
    (CTL, RUN_QEMU): (QEMU, "example_command hvsockctl.1 'hvsockctl machine run web2'"),
    (CTL, "[Service]"): (SYSTEM, "example hvsockctl.1 '[Service]'"),
    (DAEMON, "import os, socket"): (CLIENTS, 'manual_lines("Python")'),
    (DAEMON, GO): (CLIENTS, 'manual_lines("Go")'),
    (DAEMON, C): (CLIENTS, 'manual_lines("C")'),
    (DAEMON, "[Socket]"): ("tests/vm/cases/adopt", "example hvsockd.8 '[Socket]'"),
    (DAEMON, "hvsockctl export --to yaml --output registered.yaml NAME..."): ("tests/integration/test_storage.py", 'self.d.folder / "registered.yaml"'),
    (DAEMON, "systemctl reload hvsockd"): (SYSTEM, "systemctl reload hvsockd"),
    (DAEMON, "systemctl restart hvsockd"): (LIFECYCLE, "systemctl restart hvsockd\n"),
    (DAEMON, "systemctl stop hvsockd"): (LIFECYCLE, "systemctl stop hvsockd\n"),
    (DAEMON, "systemctl stop hvsock-keeper"): (LIFECYCLE, "systemctl stop hvsock-keeper\n"),
    ("hvsock-keeper.8", "systemctl stop hvsock-keeper"): (LIFECYCLE, "systemctl stop hvsock-keeper\n"),
    ("hvsock-keeper.8", "systemctl restart hvsock-keeper"): (LIFECYCLE, "systemctl restart hvsock-keeper\n"),
    ("hvsock-keeper.8", "systemctl reload hvsock-keeper"): (LIFECYCLE, "systemctl reload hvsock-keeper\n"),
    ("hvsock-keeper.8", "systemctl start hvsockd"): (LIFECYCLE, "systemctl start hvsockd\n"),
    (LIBRARY, "cc ... $(pkg-config --cflags --libs hvsock)"): (CLIENTS, '["pkg-config", "--cflags", "--libs", "hvsock"]'),
    (LIBRARY, "#include <hvsock.h>"): (CLIENTS, "test_example_is_the_manuals"),
    (LIBRARY, "#include <errno.h>"): (CLIENTS, "test_example_is_the_manuals"),
    (README, "<!-- recorded: begin -->"): ("packaging/record", "<!-- recorded: begin -->"),
    (README, "<!-- run: windows -->"): (GOLDEN, "for part in windows machines"),
    (README, "<!-- run: machines -->"): (GOLDEN, "for part in windows machines"),
    (README, "<!-- run: wine -->"): ("tests/windows/run", "<!-- run: wine -->"),
    (README, "make run"): ("tests/fresh/run", "'make run'"),
    (README, "make check"): ("tests/fresh/run", "'make check'"),
    (README, RUN_QEMU): (QEMU, "example_command README.md 'hvsockctl machine run web2'"),
    (README, 'handout: {users: ["100000-165535"], socket: true}'): (TEST_PODMAN, "^    handout: "),
    (README, PODMAN): (TEST_PODMAN, "^    (podman run "),
    (README, "systemctl restart hvsockd"): (LIFECYCLE, "systemctl restart hvsockd\n"),
    (README, "systemctl stop hvsockd"): (LIFECYCLE, "systemctl stop hvsockd\n"),
    (README, "systemctl stop hvsock-keeper"): (LIFECYCLE, "systemctl stop hvsock-keeper\n"),
    # It would set the clock; what it is told is looked at there.
    ("config/examples/host-time.yaml", 'date --set "$(socat - VSOCK-CONNECT:2:1037)"'): ("tests/integration/test_examples.py", "def test_host_time"),
    (README, "schema/     what a service is: records, their one table of fields, JSON, Varlink framing; opens nothing, logs nothing"): (
        "tests/lint/house",
        "who may include whom",
    ),
}
TYPED = set()


def typing(page, *names):
    """A test that types these examples of a page: it gets their texts, and has to type all of them."""
    TYPED.update((page, name) for name in names)

    def mark(function):
        @functools.wraps(function)
        def test(self):
            found = examples(page)
            self.assertEqual([name for name in names if name not in found], [], f"{page} has no such example")
            function(self, *(found[name] for name in names))
            self.assertEqual([name for name in names if found[name] not in self.typed], [], "not typed")

        return test

    return mark


def leaves(line):
    """Why this line may not be typed on this machine: it would connect over AF_VSOCK; None: it may."""
    for target in re.findall(r"\bconnect\b((?:\s+\S+)?)", line):
        if not re.fullmatch(r"\s+(?:(?:unix|hybrid|hyperkit)://\S+|[a-z]\w*@web1)", target):
            return f"connects to{target or ' what is not said'}"
    return "connects over AF_VSOCK" if "VSOCK-CONNECT" in line else None


class Manual(Peers):
    RUNS = True

    def setUp(self):
        super().setUp()
        self.c = self.client(self.d)
        self.here = self.d.folder / "here"
        self.here.mkdir(mode=0o755)
        (self.here / "bin").mkdir()
        # Whose a machine or a service is: nobody's, where the test can make it that.
        self.user = pwd.getpwuid(os.geteuid() or 65534)
        self.port = self.d.port()
        self.environment = self.d.ctl_environment(PATH=f"{self.here}/bin:{BUILD}:{os.environ['PATH']}")
        self.typed = set()

    def line(self, text, replace):
        self.typed.add(text)
        for old, new in replace.items():
            self.assertIn(old, text)
            text = text.replace(old, str(new))
        if not GUEST:
            self.assertIsNone(leaves(text.replace("'", "")), text)
        return text

    def type(self, text, replace={}, expect=0, stderr=""):
        """Its standard output; stderr: what it says beside (a regular expression for the whole)."""
        text = self.line(text, replace)
        done = subprocess.run(
            ["bash", "-c", text],
            cwd=self.here,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if expect is not None:
            self.assertEqual(done.returncode, expect, (text, done.stdout, done.stderr))
            self.assertRegex(done.stderr, rf"\A(?:{stderr})\Z")
        return done if expect is None else done.stdout

    def begin(self, text, replace={}, **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **options}
        return self.process(["bash", "-c", "exec " + self.line(text, replace)], cwd=self.here, env=self.environment, **options)

    def program(self, name, text):
        path = self.here / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def machine_folder(self):
        folder = self.here / "web1"
        folder.mkdir()
        os.chown(folder, self.user.pw_uid, self.user.pw_gid)
        return folder

    def needs(self, *programs):
        for program in programs:
            if not shutil.which(program):
                self.skipTest(f"there is no {program}")


class Services(Manual):
    @typing(
        CTL,
        "hvsockctl register guest-log --port 5140 --handout-user syslog",
        "hvsockctl show guest-log",
        "hvsockctl who 5140",
        "hvsockctl guid 5140",
    )
    def test_register(self, register, show, who, guid):
        said = f"guest-log: listening, port {self.port}"
        self.assertEqual(self.type(register, {"5140": self.port, "syslog": self.user.pw_name}), said + "\n")
        shown = self.type(show)
        self.assertRegex(shown, rf"\Aguest-log\n +state: +listening\n(?:.*\n)* +handout.users: +{self.user.pw_name}\n")
        self.assertRegex(shown, rf"\nvsock://:{self.port} +listening *\n\Z")
        self.assertEqual(self.type(who, {"5140": self.port}), f"{said}, of user:{os.geteuid()}\n")
        self.assertEqual(self.type(guid), "00001414-facb-11e6-bd58-64006a7986d3\n")

    @typing(CTL, "hvsockctl exec guest-log -- /usr/libexec/guest-log")
    def test_exec(self, line):
        path = self.d.folder / "s"
        self.c.call("Register", service={"name": "guest-log", "listen": [f"unix://{path}"]})
        (self.here / "serve").write_text("import socket; socket.socket(fileno=3).accept()[0].sendall(b'served')")
        server = self.program("guest-log", f'echo "$LISTEN_FDS $LISTEN_FDNAMES"; exec python3 {self.here}/serve')
        for _ in range(2):  # the client is there first
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(60)
                client.connect(str(path))
                self.assertEqual(self.type(line, {"/usr/libexec/guest-log": server}), "1 guest-log\n")
                self.assertEqual(client.recv(10), b"served")

    @typing(
        CTL,
        "hvsockctl register agent --port 1024 --listen 'machine:*'",
        "hvsockctl machine add web1 --hybrid /run/vms/web1/v.sock --user fc-web1",
    )
    def test_machine(self, register, add):
        folder = self.machine_folder()
        self.assertEqual(self.type(register), "agent: registered, port 1024\n")
        self.type(add, {"/run/vms/web1": folder, "fc-web1": self.user.pw_name})
        self.wait_state(self.c, "agent", "listening")
        self.assertEqual((folder / "v.sock_1024").stat().st_uid, self.user.pw_uid)

    @typing(README, "hvsockctl machine run web1 --hybrid /run/vms/web1/v.sock --user fc-web1 -- firecracker ...")
    def test_machine_run(self, line):
        self.c.call("Register", service={"name": "agent", "port": 1024, "listen": ["machine:*"]})
        folder = self.machine_folder()
        self.program("firecracker", f'echo "$HVSOCK_MACHINE $*"; test -S {folder}/v.sock_1024')
        self.assertEqual(self.type(line, {"/run/vms/web1": folder, "fc-web1": f"{self.user.pw_name} --timeout 60"}), "web1 ...\n")
        wait_for(lambda: not self.c.list("ListMachines", "machine"))

    @typing(CTL, "hvsockctl list --json | jq -r '.[] | select(.runtime.state == \"waiting\") | .context.name'")
    def test_list(self, line):
        self.needs("jq")
        for name, folder, state in (("here", self.here, "listening"), ("not-here", self.here / "none", "waiting")):
            self.c.call("Register", service={"name": name, "listen": [f"unix://{folder}/s"]})
            self.wait_state(self.c, name, state)
        self.assertEqual(self.type(line), "not-here\n")

    @typing(LIBRARY, "port 5140 is held by guest-log (user:1000, since")
    def test_refused(self, text):
        self.c.call("Register", service={"name": "guest-log", "port": self.port})
        self.typed.add(text)
        expected = re.escape(" ".join(text.split())).replace("5140", str(self.port)).replace("user:1000", f"user:{os.geteuid()}")
        expected, count = re.subn(r"2026\S+?Z", r"20[-0-9T:.]+Z", expected)
        self.assertEqual(count, 1)
        self.assertRegex(self.d.ctl("register", "a", "--port", self.port, expect=3).stderr, rf"\Ahvsockctl: a: {expected}\n\Z")


class Told(Manual):
    @typing(README, "hvsockctl watch", "hvsockctl log --since 1d guest-log", "hvsockctl metrics")
    def test_watch(self, watch, log, metrics):
        self.c.call("Register", service={"name": "guest-log", "listen": [f"unix://{self.here}/s"]})
        path = self.here / "events"
        with path.open("wb") as events:
            watcher = self.begin(watch, stdout=events)

        def told():
            for enabled in (False, True):
                self.c.call("SetEnabled", name="guest-log", enabled=enabled)
            return "guest-log" in path.read_text()

        wait_for(told, every=0.2)
        watcher.terminate()
        watcher.wait(60)
        self.wait_state(self.c, "guest-log", "listening")
        self.assertRegex(self.type(log), r"\A20\S+Z \S+ \S+\[\d+\] registered guest-log\n")
        self.assertIn('\nhvsock_services{state="listening"} 1\n', self.type(metrics))

    @typing(CTL, "hvsockctl metrics --output /var/lib/prometheus/node-exporter/hvsock.prom")
    def test_metrics(self, line):
        self.assertEqual(self.type(line, {"/var/lib/prometheus/node-exporter": self.here}), "")
        self.assertIn("\nhvsock_build_info{", (self.here / "hvsock.prom").read_text())

    @typing(
        CTL,
        "systemd-socket-activate --inetd --accept --listen 127.0.0.1:9456 hvsockctl metrics --http",
        "curl http://127.0.0.1:9456/metrics",
    )
    def test_http(self, serve, ask):
        self.needs("systemd-socket-activate", "curl")
        # An address of the loopback's that nobody else is likely to use at the same time.
        there = {"127.0.0.1": "127." + ".".join(str(random.randrange(1, 255)) for _ in range(3))}
        self.begin(serve, {**there, "--inetd": "--inetd -E PATH -E HVSOCK_SOCKET"}, stderr=subprocess.DEVNULL)
        done = wait_for(lambda: next((done for done in [self.type(ask, there, expect=None)] if done.returncode != 7), None))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("\nhvsock_build_info{", done.stdout)


class Files(Manual):
    @typing(CTL, "hvsockctl check services/", "hvsockctl diff services/", "hvsockctl apply services/ --set web --prune")
    def test_apply(self, check, diff, apply):
        (self.here / "services").mkdir()
        (self.here / "services/a.yaml").write_text(f"services: [{{name: a, listen: ['unix://{self.here}/s']}}]\n")
        self.assertEqual(self.type(check), "good: 1 service, 0 machines\n")
        self.assertEqual(self.type(diff, expect=1), "+ a\n")
        self.assertEqual(self.type(apply), "+ a\n")
        self.assertEqual(self.type(diff), "")
        (self.here / "services/a.yaml").write_text("services: []\n")
        self.assertEqual(self.type(apply), "- a\n")

    @typing(
        CTL,
        "hvsockctl export --to reg --previous now.reg --prune --output services.reg",
        "hvsockctl import now.reg > windows.yaml",
        "hvsockctl export --to firecracker --machine web1 --output vsock.json",
    )
    def test_windows(self, export, take, start):
        shutil.copy(ROOT / "tests/golden/import/host-desktop.reg", self.here / "now.reg")
        self.c.call("Register", service={"name": "guest-log", "port": self.port})
        self.c.call("AddMachine", machine={"name": "web1", "hybrid": f"{self.here}/v.sock"})
        self.type(export, stderr="(?:.*warning: .*\n)*")
        self.assertIn(f"\\{self.port:08x}-facb-11e6-bd58-64006a7986d3]\r\n", (self.here / "services.reg").read_bytes().decode("utf-16").lower())
        self.type(take, stderr="(?:.*\n)*")
        self.assertEqual(self.type("hvsockctl check windows.yaml"), "good: 4 services, 0 machines\n")
        self.type(start)
        self.assertEqual(json.loads((self.here / "vsock.json").read_text())["vsock"]["uds_path"], f"{self.here}/v.sock")

    @typing(YAML, "- name: guest-log", "- name: metadata", "- name: session", "administrators: {groups: [libvirt]}")
    def test_yaml(self, *texts):
        """They are good; only users and groups may be missing on this host."""
        counts = ["1 service, 2 machines", "1 service, 0 machines", "1 service, 0 machines", "0 services, 0 machines"]
        for text, count in zip(texts, counts, strict=True):
            self.typed.add(text)
            name = "hvsockd.yaml" if count.startswith("0") else "services.yaml"
            for good in (True, False):
                (self.here / name).write_text(text + ("" if good else "\nnone: such\n"))
                said = r"(?:.*: this host has no .*\n)*" if good else r"(?:.*\n)*.*\bnone\b.*\n(?:.*\n)*"
                output = self.type(f"hvsockctl check {name}", expect=0 if good else 1, stderr=said)
                self.assertRegex(output, rf"\Agood: {count}(, \d warnings?)?\n\Z" if good else r"\A\Z")
        self.daemon(settings=texts[-1])


    def ship(self, name, **replace):
        """A file as the examples have it, in the daemon's folder."""
        text = (ROOT / f"config/examples/{name}.yaml").read_text()
        for old, new in replace.items():
            self.assertIn(old.strip("_"), text)
            text = text.replace(old.strip("_"), str(new))
        self.d.file(name, text)

    @typing("config/examples/guest-log.yaml", "hvsockctl check", "hvsockctl reload", "hvsockctl show guest-log")
    def test_guest_log(self, check, reload, show):
        self.ship("guest-log", _5140=self.port)
        self.assertRegex(self.type(check, stderr="(?:.*: warning: .*\n)*"), r"\Agood: 1 service, 0 machines(, \d warnings?)?\n\Z")
        self.type(reload, stderr="(?:.*: warning: .*\n)*")
        self.wait_state(self.c, "guest-log", "listening")
        self.assertRegex(self.type(show), rf"\Aguest-log\n +state: +listening\n(?:.*\n)* +port: +{self.port}\n")

    @typing(
        "config/examples/windows.yaml",
        "hvsockctl export --to reg --output services.reg",
        "hvsockctl guid 3a9f1c52-0f6e-4a7b-9a50-5d3c1f0b7e61",
    )
    def test_clipboard(self, export, guid):
        self.ship("windows")
        self.c.call("Reload")
        self.type(export)
        self.assertIn("\\3a9f1c52-0f6e-4a7b-9a50-5d3c1f0b7e61]\r\n", (self.here / "services.reg").read_bytes().decode("utf-16").lower())
        self.assertEqual(self.type(guid, expect=1, stderr=".*no vsock port.*\n"), "")


class Ways(Manual):
    """Into a machine, and out of one."""

    def serve(self, kind, address):
        """Hears one connection to its end: what it heard, when it is called."""
        heard = []
        listener = socket.socket(kind)
        listener.settimeout(60)
        listener.bind(address)
        listener.listen()

        def accept():
            with listener, listener.accept()[0] as connection:
                connection.settimeout(60)
                heard.append(read_all(connection))

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()

        def result():
            thread.join(60)
            return heard[0]

        return result

    def log_in(self, register, ssh):
        """A machine whose sshd says who it is, and hangs up."""
        self.needs("ssh")
        heard = []

        def handle(connection):
            stream = connection.makefile("rwb", buffering=0)
            heard.append(stream.readline())
            stream.write(b"OK 1073741824\nSSH-2.0-test\r\n")
            heard.append(stream.readline())

        self.machine_folder()
        path = self.server(handle, name="here/web1/v.sock")
        self.c.call("AddMachine", machine={"name": "web1", "hybrid": path})
        self.assertEqual(self.type(register), "ssh: registered, port 22\n")
        self.type(ssh, expect=255, stderr=r"(?:.*\n)*.*[Cc]onnection .*\n(?:.*\n)*")
        self.assertEqual(heard[0], b"CONNECT 22\n")
        self.assertTrue(heard[1].startswith(b"SSH-2.0-"), heard)

    @typing(CTL, "hvsockctl register ssh --port 22 --listen ''", "ssh -o ProxyCommand='hvsockctl connect ssh@web1' web1")
    def test_ssh(self, register, ssh):
        self.log_in(register, ssh)

    @typing(README, "hvsockctl register ssh --port 22 --listen ''", "ssh -o ProxyCommand='hvsockctl connect ssh@web1' web1")
    def test_ssh_of_readme(self, register, ssh):
        self.log_in(register, ssh)

    @typing("packaging/ssh/ssh_config", "hvsockctl register ssh --port 22 --listen ''")
    def test_ssh_config(self, register):
        self.assertEqual(self.type(register), "ssh: registered, port 22\n")

    @typing(CTL, "hvsockctl listen hybrid:///run/vms/web1/v.sock:9000 > copy")
    def test_copy(self, line):
        folder = self.machine_folder()
        listener = self.begin(line, {"/run/vms/web1": folder})
        client = wait_for(lambda: self.connected(f"{folder}/v.sock_9000"))
        client.sendall(b"a file\n")
        client.close()
        self.assertEqual(listener.wait(60), 0)
        self.assertEqual((self.here / "copy").read_bytes(), b"a file\n")

    def connected(self, path):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(60)
        try:
            client.connect(path)
        except OSError:
            client.close()
            return None
        self.things.callback(client.close)
        return client

    @typing(README, "hvsockctl listen vsock://:5140 --exec 'cat >> log'")
    def test_vsock_listen(self, line):
        path = self.here / "s"
        server = self.begin(line, {} if GUEST else {"vsock://:5140": f"unix://{path}"})

        def connected():
            try:
                return vsock_connect(1, 5140)
            except OSError:
                return None

        for _ in range(2):
            client = wait_for(connected if GUEST else lambda: self.connected(str(path)))
            client.sendall(b"a line\n")
            client.close()
        wait_for(lambda: (self.here / "log").exists() and (self.here / "log").read_bytes() == b"a line\n" * 2)
        server.terminate()
        self.assertEqual(server.wait(60), 0)

    def send(self, line, replace, port):
        if not GUEST:
            self.skipTest("connects AF_VSOCK: runs in the guest of tests/vm alone")
        heard = self.serve(socket.AF_VSOCK, (socket.VMADDR_CID_ANY, port))
        (self.here / "file").write_bytes(b"a file\n")
        self.assertEqual(self.type(line, replace), "")
        self.assertEqual(heard(), b"a file\n")

    @typing(CTL, "hvsockctl connect vsock://host:9000 < file")
    def test_vsock_host(self, line):
        self.send(line, {}, 9000)

    @typing(README, "hvsockctl connect vsock://42:5140 < file")
    def test_vsock_machine(self, line):
        self.send(line, {"42": 1}, 5140)


class Alone(Manual):
    """Programs that are not started by hvsockctl."""

    RUNS = False

    def setUp(self):
        Peers.setUp(self)
        self.here = self.d.folder / "here"
        self.here.mkdir()
        self.environment = {**self.d.environment, "PATH": f"{BUILD}:{os.environ['PATH']}"}
        self.typed = set()

    @typing(
        DAEMON,
        "mkdir conf",
        "hvsockd --config conf --state state --runtime run &",
        "HVSOCK_SOCKET=run/io.hvsock.Registry hvsockctl list",
    )
    def test_daemon(self, make, run, ask):
        self.type(make)
        path = self.here / "told"
        with path.open("wb") as told:
            daemon = self.begin(run, {" &": ""}, stderr=told)
        done = wait_for(lambda: next((done for done in [self.type(ask, expect=None)] if done.returncode != 4), None))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"\A(?:NAME +PORT +STATE.*\n)?\Z")
        daemon.terminate()
        self.assertEqual(daemon.wait(60), 0)
        self.assertNotIn("error", path.read_text())

    @typing(DAEMON, "import json, os, socket, sys")
    def test_python(self, text):
        self.typed.add(text)
        self.d.start()
        path = self.d.folder / "s"
        self.client(self.d).call("Register", service={"name": "a", "listen": [f"unix://{path}"]})
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            client.connect(str(path))
            server = self.python(text, "a", env={"HVSOCK_SOCKET": str(self.d.socket)})
            self.assertEqual(client.recv(100).decode(), f"hello from a at unix://{path}\n")
            self.assertEqual(server.wait(60), 0)

    @typing(LIBRARY, "typedef struct hvsock_listener {", "typedef struct hvsock_connection {")
    def test_structures(self, *texts):
        """They are the header's."""
        compiler = os.environ.get("CC", "cc").split()
        self.needs(compiler[0])
        for text in texts:
            self.typed.add(text)
            name = re.match(r"typedef struct (\w+) {", text)[1]
            fields = re.findall(r"^    \w+ \*?(\w+);", text, re.M)
            self.assertGreater(len(fields), 3)
            same = "".join(
                f"_Static_assert(offsetof({name}, {field}) == offsetof(manual_{name}, {field}) && "
                f'__builtin_types_compatible_p(__typeof__((({name} *)0)->{field}), __typeof__(((manual_{name} *)0)->{field})), "{field}");\n'
                for field in fields
            )
            program = f"#include <hvsock.h>\n#include <stddef.h>\n{text.replace(name, 'manual_' + name)}\n{same}"
            program += f'_Static_assert(sizeof({name}) == sizeof(manual_{name}), "size");\n'
            done = subprocess.run(
                [*compiler, "-x", "c", "-std=gnu17", "-Wall", "-Werror", "-I", ROOT / "ctl/libhvsock", "-fsyntax-only", "-"],
                input=program,
                capture_output=True,
                text=True,
            )
            self.assertEqual((done.returncode, done.stderr), (0, ""))


class Tables(unittest.TestCase):
    maxDiff = None

    def test_all(self):
        """Each example of each page is in one of the tables, and the tables have no others."""
        there = {(page, name) for page in PAGES for name in examples(page)}
        self.assertGreater(len(there), 60)
        new = sorted(there - TYPED - ELSEWHERE.keys())
        self.assertEqual(new, [], "examples that nobody has typed: a test here types them, or ELSEWHERE says where")
        self.assertEqual(sorted((TYPED | ELSEWHERE.keys()) - there), [], "examples that are in no manual any more")
        self.assertEqual(sorted(TYPED & ELSEWHERE.keys()), [], "examples that are typed here, too")

    def test_elsewhere(self):
        for (page, name), (place, text) in ELSEWHERE.items():
            self.assertTrue(text in (ROOT / place).read_text(), f"{page}: {name}: {text!r} is not in {place}")
        self.assertIn("test_manual.Ways.test_vsock", (ROOT / "tests/vm/cases/integration").read_text())

    def test_extraction(self):
        """What a new example would be: found."""
        self.assertEqual(commands("$ a \\\n    b  # c\nd\n$ e#f\n", "$ "), ["a b", "e#f"])
        page = ROOT / "packaging/man" / CTL
        blocks = len(re.findall(r"^\.Bd", page.read_text(), re.M))
        self.assertGreaterEqual(len(examples(CTL)), blocks)
        prompts = re.findall(r"^\$ ", page.read_text(), re.M)
        self.assertEqual(len([name for name in examples(CTL) if not name.startswith("[")]), len(prompts))

    def test_guard(self):
        for line in (
            "hvsockctl connect vsock://1:5140", "hvsockctl connect vsock:1:5140", "hvsockctl connect ssh@local", "hvsockctl connect 22@host",
            "hvsockctl connect ssh@42", "hvsockctl connect --timeout 3 unix:///s", "hvsockctl connect", "socat - VSOCK-CONNECT:2:5140",
            "hvsockctl connect unix:///s; hvsockctl connect log@web2",
        ):  # fmt: skip
            self.assertIsNotNone(leaves(line), line)
        for line in ("hvsockctl connect unix:///s < file", "hvsockctl connect ssh@web1", "hvsockctl connections", "hvsockctl list"):
            self.assertIsNone(leaves(line), line)
