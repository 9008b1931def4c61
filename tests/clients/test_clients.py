# SPDX-License-Identifier: Apache-2.0
"""Programs that use hvsockd in other ways than ours: the manuals' examples, and clients that nobody here wrote."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys

from hv.case import BUILD, Case, wait_for
from hv.daemon import ROOT

HERE = ROOT / "tests/clients"
MADE = ROOT / ".build/clients" / f"made-{BUILD.name}"
GO = {
    "GOPATH": "/usr/share/gocode",
    "GO111MODULE": "off",
    "GOFLAGS": "",
    "GOPROXY": "off",
    "GOTOOLCHAIN": "local",
    "CGO_ENABLED": "0",
    "GOCACHE": str(ROOT / ".build/gocache"),
}


class Clients(Case):
    def begin(self):
        self.d = self.daemon()
        self.c = self.client(self.d)
        self.path = self.d.folder / "hello.sock"
        self.c.call("Register", service={"name": "hello", "listen": [f"unix://{self.path}"]})

    def run_client(self, *command, expect=0, **environment):
        done = subprocess.run(
            [str(word) for word in command],
            env=self.d.ctl_environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
        )
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def greet(self, *command, **environment):
        """A server that is started while its client waits already."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(300)
            client.connect(str(self.path))
            self.run_client(*command, **environment)
            self.assertEqual(client.recv(1000).decode(), f"hello from hello at unix://{self.path}\n")

    def build_c(self, name="hello"):
        installed, folder = os.environ.get("HVSOCK_INSTALLED"), os.environ.get("HVSOCK_PKGCONFIGDIR")
        if not installed:
            self.skipTest("needs what is installed: `make check-clients`")
        environment = {**os.environ, "PKG_CONFIG_PATH": installed + folder, "PKG_CONFIG_SYSROOT_DIR": installed}
        flags = subprocess.run(
            ["pkg-config", "--cflags", "--libs", "hvsock"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        MADE.mkdir(parents=True, exist_ok=True)
        program = MADE / name
        subprocess.run(
            [
                *os.environ.get("CC", "cc").split(),
                "-std=c99",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-D_GNU_SOURCE",
                *os.environ.get("CLIENT_CFLAGS", "").split(),
                "-o",
                str(program),
                str(HERE / f"c/{name}.c"),
                *flags.stdout.split(),
            ],
            check=True,
        )
        library = next(word[2:] for word in flags.stdout.split() if word.startswith("-L"))
        return program, library

    def test_c(self):
        program, library = self.build_c()
        linked = subprocess.run(
            ["ldd", program],
            env={"LD_LIBRARY_PATH": library, "PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.assertIn("libhvsock.so.0 =>", linked.stdout)
        self.begin()
        self.greet(program, "hello", LD_LIBRARY_PATH=library)
        done = self.run_client(program, "none", LD_LIBRARY_PATH=library, expect=1)
        self.assertEqual(done.stderr, "hello: no service is called none; `hvsockctl list` shows those there are\n")
        self.c.close()
        self.d.terminate()
        done = self.run_client(program, LD_LIBRARY_PATH=library, expect=1)
        self.assertEqual(done.stderr, "hello: no hvsockd: No such file or directory\n")

    def test_c_serves(self):
        program, library = self.build_c("serve")
        self.begin()
        done = self.run_client(program, "none", LD_LIBRARY_PATH=library, expect=1)
        self.assertEqual(done.stderr, "serve: no service is called none; `hvsockctl list` shows those there are\n")
        server = self.process([program], env=self.d.ctl_environment(LD_LIBRARY_PATH=library), stdin=subprocess.DEVNULL)
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(300)
                client.connect(str(self.path))
                self.assertEqual(client.makefile().readline(), f"hello, uid:{os.getuid()}, at unix://{self.path}\n")
        self.c.call("Unregister", name="hello")
        self.assertEqual(server.wait(300), 0)

    def test_header(self):
        """It compiles alone, as C99 and as C++."""
        for language, standard in (("c", "c99"), ("c++", "c++11")):
            done = subprocess.run(
                [
                    *os.environ.get("CC", "cc").split(),
                    "-x",
                    language,
                    f"-std={standard}",
                    "-Wall",
                    "-Wextra",
                    "-Wpedantic",
                    "-Werror",
                    "-Ictl/libhvsock",
                    "-fsyntax-only",
                    "-",
                ],
                cwd=ROOT,
                input="#include <hvsock.h>\n",
                stderr=subprocess.PIPE,
                text=True,
            )
            if "cc1plus" in done.stderr:
                self.skipTest("needs a C++ compiler for its second half")
            self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_python(self):
        self.begin()
        self.greet(sys.executable, HERE / "python/hello.py", "hello")

    def go(self, name):
        if not shutil.which("go") or not os.path.isdir("/usr/share/gocode/src/github.com/varlink/go"):
            self.skipTest("needs golang-go and golang-github-varlink-go-dev: `make check-clients` installs them")
        MADE.mkdir(parents=True, exist_ok=True)
        program = MADE / name
        source = HERE / f"go/{name}.go"
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["go", "build", "-o", program, source], check=True, env={"PATH": os.environ["PATH"], **GO})
        return program

    def test_go(self):
        program = self.go("lookup")
        self.begin()
        port = self.d.port()
        self.c.call("Register", service={"name": "numbered", "port": port})
        self.assertEqual(
            self.run_client(program, "numbered").stdout, f"numbered {port:08x}-facb-11e6-bd58-64006a7986d3 <nil>\n"
        )
        self.assertEqual(self.run_client(program, "none").stdout, "<nil> <nil> io.hvsock.Registry.NoSuchService\n")

    def serve(self, command):
        """Two clients that are greeted by a program that serves `hello`; it ends when the service does."""
        self.begin()
        server = self.process(command, env=self.d.ctl_environment(), stdin=subprocess.DEVNULL)
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(300)
                client.connect(str(self.path))
                text = client.makefile().readline()
                self.assertTrue(text.startswith("hello, {"), text)
                self.assertEqual(json.loads(text[len("hello, ") :])["peer"], f"uid:{os.getuid()}")
        self.c.call("Unregister", name="hello")
        self.assertEqual(server.wait(300), 0)

    def manual_lines(self, language):
        """The program that stands in hvsockd(8), of at most ten lines, a closing brace not counted."""
        page = (ROOT / "packaging/man/hvsockd.8").read_text()
        found = re.search(rf"^In {language}\b.*?\n\.Bd [^\n]*\n(.*?)\n\.Ed", page, re.DOTALL | re.MULTILINE).group(1)
        lines = found.replace("\\e", "\\").split("\n")
        self.assertLessEqual(len([line for line in lines if line != "}"]), 10)
        return lines

    def test_serve_python(self):
        self.serve([sys.executable, "-c", "\n".join(self.manual_lines("Python"))])

    def test_serve_c(self):
        MADE.mkdir(parents=True, exist_ok=True)
        source, program = MADE / "serve.c", MADE / "serve-c"
        names = ("stdio.h", "stdlib.h", "string.h", "unistd.h", "sys/socket.h", "sys/un.h")
        body = "".join(f"    {line}\n" for line in self.manual_lines("C"))
        includes = "".join(f"#include <{name}>\n" for name in names)
        source.write_text(f"#define _GNU_SOURCE\n{includes}\nint main(void)\n{{\n{body}}}\n")
        compiler = os.environ.get("CC", "cc").split()
        subprocess.run([*compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", "-o", program, source], check=True)
        self.serve([program])

    def test_serve_go(self):
        if not shutil.which("go"):
            self.skipTest("needs golang-go: `make check-clients` installs it")
        MADE.mkdir(parents=True, exist_ok=True)
        source, program = MADE / "serve.go", MADE / "serve-go"
        body = "".join(f"\t{line}\n" for line in self.manual_lines("Go"))
        text = f'package main\n\nimport (\n\t"net"\n\t"os"\n\t"syscall"\n)\n\nfunc main() {{\n{body}}}\n'
        if not program.exists() or not source.exists() or source.read_text() != text:
            source.write_text(text)
            subprocess.run(["go", "build", "-o", program, source], check=True, env={"PATH": os.environ["PATH"], **GO})
        self.serve([program])

    def test_varlink_go(self):
        program = self.go("certify")
        self.begin()
        self.c.call("Register", service={"name": "again", "port": self.d.port()})
        lines = self.run_client(program).stdout.splitlines()
        self.assertEqual(
            sorted(line for line in lines if line.startswith("service:")), ["service: again", "service: hello"]
        )
        interface = next(line for line in lines if line.startswith("interface: io.hvsock.Registry"))
        text = (ROOT / "schema/varlink/io.hvsock.Registry.varlink").read_text()
        count = [len(re.findall(f"^{word} ", text, re.MULTILINE)) for word in ("method", "error")]
        self.assertEqual([int(word) for word in interface.split()[2:]], count)
        self.assertEqual(
            lines[-3:],
            ["error: io.hvsock.Registry.NoSuchService none", "MethodNotFound: true", "InvalidParameter: true"],
        )

    def test_qemu_guest_agent(self):
        """qemu-ga takes LISTEN_FDS; it is ended, and started again while a client waits."""
        program = shutil.which("qemu-ga") or "/usr/sbin/qemu-ga"
        if not os.path.exists(program):
            self.skipTest("needs qemu-guest-agent: `make check-clients` installs it")
        self.begin()

        def start():
            return self.process(
                self.d.ctl_command(
                    "exec",
                    "hello",
                    "--",
                    program,
                    "-m",
                    "unix-listen",
                    "-p",
                    self.path,
                    "-t",
                    self.d.folder,
                    "-f",
                    self.d.folder / "ga.pid",
                ),
                env=self.d.ctl_environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

        def ping(client, number):
            client.sendall(json.dumps({"execute": "guest-sync", "arguments": {"id": number}}).encode() + b"\n")
            text = b""
            while not text.endswith(b"\n"):
                text += client.recv(1000)
            self.assertEqual(json.loads(text), {"return": number})

        agent = start()
        for number in (1, 2):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(300)
                client.connect(str(self.path))
                if number == 2:
                    wait_for(lambda: not self.c.call("Describe", name="hello")["service"]["runtime"]["leases"], 5)
                    agent = start()
                ping(client, number)
            agent.kill()
            agent.wait()

    def test_systemd_socket_activate(self):
        """hvsockd itself, started by systemd-socket-activate on the first connection."""
        if not shutil.which("systemd-socket-activate"):
            self.skipTest("needs systemd-socket-activate")
        d = self.daemon(start=False)
        path = d.folder / "api.sock"
        process = self.process(
            [
                "systemd-socket-activate",
                "-l",
                str(path),
                "--",
                str(BUILD / "hvsockd"),
                "--config",
                str(d.config),
                "--state",
                str(d.state),
                "--runtime",
                str(d.runtime),
            ],
            env=d.environment,
            stdin=subprocess.DEVNULL,
            stdout=d.log.open("ab"),
            stderr=subprocess.STDOUT,
        )
        wait_for(path.exists, 10)
        client = self.client(d, path)
        self.assertEqual(client.call("Status")["processId"], process.pid)
        client.call("Register", service={"name": "a", "port": d.port()})
        client.call("Unregister", name="a")
        client.close()
        process.terminate()
        self.assertEqual(process.wait(300), 0)
        path.unlink(missing_ok=True)


class Manual(Case):
    def test_example_is_the_manuals(self):
        """The programs of libhvsock(3) are those that are tested here."""
        page = (ROOT / "packaging/man/libhvsock.3").read_text()
        examples = re.findall(r"\.Bd -literal[^\n]*\n(#include <.*?)\n\.Ed", page, re.DOTALL)
        self.assertEqual(len(examples), 2)
        for example, name in zip(examples, ("hello", "serve")):
            program = pathlib.Path(HERE / f"c/{name}.c").read_text()
            self.assertEqual(example.replace("\\e", "\\") + "\n", program[program.index("#include") :])
