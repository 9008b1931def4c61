# SPDX-License-Identifier: Apache-2.0
"""Metrics: Prometheus' text format by a strict reader, what is counted, and that counters outlive kill -9."""

import json
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import time
import urllib.request

from hv.case import BUILD, NOBODY, Case, Varlink, signal, wait_for
from test_listeners import connect

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
VALUE = re.compile(r"[+-]?(\d+(\.\d*)?([eE][+-]?\d+)?|Inf|NaN)")


def parse(text):
    """{(name, ((label, value), ...)): number}, or AssertionError where the text is not what its specification wants."""
    assert text.endswith("\n"), "the last line has no end"
    samples, types, helps, family, closed = {}, {}, {}, None, set()
    for line in text[:-1].split("\n"):
        if line.startswith("# "):
            _, word, name, rest = line.split(" ", 3)
            assert word in ("HELP", "TYPE") and re.fullmatch(NAME, name), line
            table = helps if word == "HELP" else types
            assert name not in table, f"twice: {line}"
            table[name] = rest
            if word == "HELP":
                assert name not in closed, f"two groups of {name}"
                if family:
                    closed.add(family)
                family = name
                assert "\\" not in re.sub(r"\\\\|\\n", "", rest), line
            else:
                assert name == family, f"TYPE of {name} among {family}"
                assert rest in ("counter", "gauge", "histogram"), line
            continue
        match = SAMPLE.fullmatch(line)
        assert match, f"no sample: {line!r}"
        name, labels, value = match.groups()
        base = re.sub(r"_(bucket|sum|count)$", "", name) if types.get(family) == "histogram" else name
        assert base == family and base in types and base in helps, f"{line!r} stands among {family}"
        assert types[base] != "counter" or name.endswith("_total"), f"a counter's name: {name}"
        pairs = []
        if labels is not None:
            at = 0
            while at < len(labels):
                label = LABEL.match(labels, at)
                assert label, f"labels of {line!r}"
                unescaped = re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), label[2])
                pairs.append((label[1], unescaped))
                at = label.end()
                assert at == len(labels) or labels[at] == ",", line
                at += 1
        assert len({key for key, _ in pairs}) == len(pairs), line
        assert VALUE.fullmatch(value), line
        key = (name, tuple(pairs))
        assert key not in samples, f"twice: {line}"
        samples[key] = float(value)
    for name, kind in types.items():
        if kind != "histogram":
            continue
        buckets = [(float(dict(k[1])["le"].replace("+Inf", "inf")), v) for k, v in samples.items() if k[0] == name + "_bucket"]
        assert buckets == sorted(buckets) and buckets[-1][0] == float("inf"), f"buckets of {name}: {buckets}"
        assert [v for _, v in buckets] == sorted(v for _, v in buckets), f"buckets of {name} sink"
        assert buckets[-1][1] == samples[(name + "_count", ())] and (name + "_sum", ()) in samples, name
    return samples


PYTHON = "/usr/bin/python3"
READ = """
import json, sys
from prometheus_client.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(sys.stdin.read()))
assert all(family.documentation and family.type in ("counter", "gauge", "histogram") for family in families), families
print(json.dumps([[s.name, list(s.labels.items()), s.value] for family in families for s in family.samples]))
"""


class Metrics(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon()
        self.c = self.client(self.d)

    def metrics(self):
        return parse(self.client(self.d).call("Metrics")["text"])

    def value(self, name, /, **labels):
        return self.metrics().get((name, tuple(labels.items())))

    def serve(self, name):
        _, fds = self.c.call_fds("Serve", name=name)
        server = socket.socket(fileno=fds[0])
        self.things.callback(server.close)
        return server

    def connect(self, path, times):
        for _ in range(times):
            connect(path).close()

    def test_states(self):
        path = self.d.folder
        for name, fields in (
            ("up", {}),
            ("off", {"enabled": False}),
            ("late", {"listen": [f"unix://{path}/none/late"]}),
            ("bare", {"listen": [], "port": self.d.port()}),
            ("taken", {}),
        ):
            self.c.call("Register", service={"name": name, "listen": [f"unix://{path}/{name}.sock"], **fields})
        self.c.call("Acquire", names=["taken"])
        samples = self.metrics()

        def states(name):
            return {dict(k[1])["state"]: int(v) for k, v in samples.items() if k[0] == name and v}

        self.assertEqual(
            states("hvsock_services"), {"listening": 1, "disabled": 1, "waiting": 1, "registered": 1, "active": 1}
        )
        self.assertEqual(states("hvsock_listeners"), {"listening": 2, "waiting": 1})
        self.assertEqual(samples[("hvsock_leases", ())], 1)
        self.assertEqual(samples[("hvsock_calls_total", (("method", "io.hvsock.Registry.Register"),))], 5)
        self.assertAlmostEqual(samples[("hvsock_start_time_seconds", ())], time.time(), delta=600)
        self.assertEqual(samples[("hvsock_descriptors", ())], len(self.d.fds()))
        self.assertGreater(samples[("hvsock_resident_bytes", ())], 1 << 20)

    def test_manual(self):
        """Each stands in hvsockd(8), METRICS, with its labels, and none that is not there."""
        manual = pathlib.Path(__file__).resolve().parents[2] / "packaging/man/hvsockd.8"
        if not manual.exists():
            self.skipTest("there are no sources here")
        section = manual.read_text().split(".Sh METRICS\n")[1].split("\n.Sh ")[0]
        items = " ".join(line[len(".It Li ") :] for line in section.splitlines() if line.startswith(".It Li "))
        told = {name: labels for name, labels in re.findall(r"(hvsock_\w+)(?:\{([a-z,]+)\})?", items)}
        self.c.call("Register", service={"name": "a", "listen": [f"unix://{self.d.folder}/a.sock"], "peers": {"deny": [f"uid:{os.getuid()}"]}})
        self.serve("a")
        self.connect(self.d.folder / "a.sock", 1)
        wait_for(lambda: self.value("hvsock_refused_total", service="a", reason="denied") == 1)
        text = self.client(self.d).call("Metrics")["text"]
        self.assertEqual(set(told), set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)))
        for (name, labels), _ in parse(text).items():
            base = re.sub(r"_(bucket|sum|count)$", "", name) if name.startswith("hvsock_spawn_seconds") else name
            self.assertEqual(",".join(key for key, _ in labels if key != "le"), told[base], name)

    def test_prometheus_reads_it(self):
        """Prometheus' own reader for Python, which is the system's Python's, says the same as ours."""
        if subprocess.run([PYTHON, "-c", "import prometheus_client"], stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest(f"{PYTHON} has no prometheus_client")
        self.c.call("Register", service={"name": "a", "listen": [f"unix://{self.d.folder}/a.sock"], "peers": {"deny": ["uid:0"]}})
        self.serve("a")
        self.connect(self.d.folder / "a.sock", 3)
        wait_for(lambda: self.value("hvsock_refused_total", service="a", reason="denied") == 3)
        text = self.c.call("Metrics")["text"]
        done = subprocess.run([PYTHON, "-c", READ], input=text, text=True, capture_output=True)
        self.assertEqual(done.stderr, "")
        theirs = {(name, tuple(map(tuple, labels))): value for name, labels, value in json.loads(done.stdout)}
        self.assertEqual(theirs, parse(text))

    def test_counts_outlive_kill(self):
        path = self.d.folder / "a.sock"
        self.c.call(
            "Register", service={"name": "a", "listen": [f"unix://{path}"], "peers": {"rate": "3/h", "deny": ["uid:77"]}}
        )
        server = self.serve("a")
        self.connect(path, 5)
        wait_for(lambda: self.value("hvsock_refused_total", service="a", reason="rate") == 2)
        self.assertEqual(self.value("hvsock_accepted_total", service="a"), 3)
        self.assertEqual(self.value("hvsock_starts_total"), 1)
        commits = self.value("hvsock_commits_total")
        self.assertGreaterEqual(commits, 1)
        server.close()
        self.c.close()
        self.d.restart(kill=True)
        self.c = self.client(self.d)
        self.assertEqual(self.value("hvsock_accepted_total", service="a"), 3)
        self.assertEqual(self.value("hvsock_refused_total", service="a", reason="rate"), 2)
        self.assertEqual(self.value("hvsock_starts_total"), 2)
        if (BUILD / "hvsock-keeper").exists():
            self.assertEqual(self.value("hvsock_keeper_starts_total"), 1)
            before = self.d.log_text().count("runs again")
            os.kill(wait_for(self.d.keeper), signal.SIGKILL)
            wait_for(lambda: self.value("hvsock_keeper_starts_total") == 2, 5)
            self.assertEqual(self.d.log_text().count("runs again"), before + 1)
        self.assertEqual(self.value("hvsock_commits_total"), commits)
        # What is gone is summed, so that sums do not sink.
        self.c.call("Unregister", name="a")
        self.assertIsNone(self.value("hvsock_accepted_total", service="a"))
        self.assertEqual(self.value("hvsock_accepted_total", service="(others)"), 3)

    def test_without_a_file(self):
        """A folder where the file should be: counted in memory, and said once."""
        self.c.close()
        self.d.terminate()
        (self.d.runtime / "counters").unlink()
        (self.d.runtime / "counters").mkdir()
        self.d.start()
        self.c = self.client(self.d)
        self.assertEqual(self.value("hvsock_starts_total"), 1)
        self.assertEqual(self.d.log_text().count("counters begin at zero"), 1)
        self.assertIn("counters begin at zero", self.c.call("Status")["errors"][0])
        (self.d.runtime / "counters").rmdir()

    def test_rights(self):
        self.d.folder.chmod(0o755)
        with self.refuses("NotAllowed"):
            self.as_user(NOBODY, lambda: Varlink(self.d.socket).call("Metrics"))

    def test_verb(self):
        text = self.d.ctl("metrics").stdout
        self.assertIn(("hvsock_machines", ()), parse(text))
        self.assertIn("# HELP", self.d.ctl("metrics", "--json").json()["text"])
        output = self.d.folder / "hvsock.prom"
        output.write_text("old")
        self.d.ctl("metrics", "--output", output)
        parse(output.read_text())
        self.assertEqual(output.stat().st_mode & 0o777, 0o644)
        self.assertIn("/nowhere/x: No such", self.d.ctl("metrics", "--output", "/nowhere/x", expect=2).stderr)
        self.d.ctl("metrics", "--http", "--json", expect=2)

    def free_port(self):
        """Not one of those that are given to whoever wants any: who connects there too early could meet himself."""
        for _ in range(100):
            port = random.randrange(20000, 30000)
            try:
                socket.create_server(("127.0.0.1", port)).close()
                return port
            except OSError:
                pass
        self.skipTest("there is no free port")

    def test_http(self):
        """hvsockctl(1), EXAMPLES: a socket unit, here by systemd-socket-activate."""
        if not shutil.which("systemd-socket-activate"):
            self.skipTest("there is no systemd-socket-activate")
        port = self.free_port()
        server = self.process(
            ["systemd-socket-activate", "--inetd", "--accept", "-E", "HVSOCK_SOCKET", "--listen", f"127.0.0.1:{port}"]
            + self.d.ctl_command("metrics", "--http"),
            env=self.d.ctl_environment(),
            stderr=subprocess.DEVNULL,
        )

        def ask():
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60)
            except urllib.error.HTTPError as error:
                return error
            except OSError:
                return None

        with wait_for(ask) as reply:
            self.assertEqual(reply.status, 200)
            self.assertTrue(reply.headers["Content-Type"].startswith("text/plain; version=0.0.4"))
            self.assertIn(("hvsock_machines", ()), parse(reply.read().decode()))
        self.c.close()
        self.d.terminate()
        with wait_for(ask) as reply:
            self.assertEqual(reply.status, 503)
        self.d.start()
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"nonsense\r\n\r\n")
            self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 400 "))
        server.kill()
