# SPDX-License-Identifier: Apache-2.0
"""Who may connect, against a model: 10,000 random pairs of a service's rules and a peer that really comes, of many uids,
over a machine's path or a plain one, decided by the daemon (served or hung up) as by the plain table here. The table is
written from the manuals' words alone. MODEL_SEED: what a failure told."""

import contextlib
import json
import os
import random
import socket
import subprocess

from hv.case import GUEST, Case

SERVICES, MACHINES, PLAIN = 500, 16, 4  # each service is tried on each machine's path, and so often on a plain one
UIDS = [0, 65534, *range(20001, 20009)]
NAMES = {"root": 0, "nobody": 65534}  # of users, where rules name them

# Serves every service it is told, and answers each connection with the message that came with it.
SERVER = """
import json, select, socket, sys
from hv.varlink import Varlink
client = Varlink(sys.argv[1])
poll, servers = select.epoll(), {}
for name in json.load(sys.stdin):
    _, (fd,) = client.call_fds("Serve", name=name)
    servers[fd] = socket.socket(fileno=fd)
    poll.register(fd, select.EPOLLIN)
print("ready", flush=True)
while True:
    for fd, _ in poll.poll():
        text, fds, _, _ = socket.recv_fds(servers[fd], 65536, 1)
        if not text:
            poll.unregister(fd)
            continue
        with socket.socket(fileno=fds[0]) as connection:
            connection.sendall(text)
"""


def fits(rule, peer):
    """A number or name is the machine; a range is of such numbers; uid: is the user who comes."""
    if rule.startswith("uid:"):
        who = rule[len("uid:") :]
        return peer["uid"] is not None and peer["uid"] == (NAMES[who] if who in NAMES else int(who))
    if rule[0].isdigit():
        first, _, last = rule.partition("-")
        return peer["cid"] is not None and int(first) <= peer["cid"] <= int(last or first)
    return peer["machine"] == rule


def may(service, defaults, machines, peer):
    """peer: the machine by whose path it comes (None), its CID, its uid."""
    machine = machines.get(peer["machine"])
    if machine and machine.get("user") and peer["uid"] is not None and int(machine["user"]) != peer["uid"]:
        return False
    rules = service.get("peers", defaults)
    if any(fits(rule, peer) for rule in rules.get("deny", [])):
        return False
    return "allow" not in rules or any(fits(rule, peer) for rule in rules["allow"])


class Model(Case):
    def setUp(self):
        super().setUp()
        self.seed = int(os.environ.get("MODEL_SEED") or random.SystemRandom().randrange(1 << 32))
        self.random = random.Random(self.seed)

    def number(self):
        return self.random.randrange(3, 40)

    def rule(self):
        first = self.number()
        return self.random.choice(
            [
                str(first),
                f"{first}-{first + self.random.randrange(20)}",
                f"m{self.random.randrange(MACHINES + 4)}",  # some are not there
                f"uid:{self.random.choice(UIDS)}",
                f"uid:{self.random.choice(list(NAMES))}",
            ]
        )

    def rules(self, most=6):
        return [self.rule() for _ in range(self.random.randrange(most))]

    def peers(self):
        """What a service says; None: nothing."""
        kind = self.random.randrange(10)
        if kind == 0:
            return None
        peers = {}
        if kind != 1:
            peers["allow"] = self.rules(10)
        if kind > 4 or kind == 1:
            peers["deny"] = self.rules(4)
        return peers

    def serve(self, names):
        server = self.python(SERVER, self.d.socket, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        json.dump(names, server.stdin)
        server.stdin.close()
        self.assertEqual(server.stdout.readline(), "ready\n")
        return server

    def tell(self, pairs, told, counts):
        """pairs: [(service, peer, path)]; told: what came back, None where it was hung up."""
        wrong = []
        for (service, peer, path), text in zip(pairs, told, strict=True):
            expected = may(service, self.defaults, self.machines, peer)
            counts[expected] += 1
            if expected != (text is not None):
                wrong.append(f"{service} {peer} {path}: {'in' if text else 'out'}, and not so in the model")
            elif text:
                message = json.loads(text)
                self.assertEqual((message["service"], message.get("machine")), (service["name"], peer["machine"]))
                if peer["uid"] is not None:
                    self.assertEqual((message["peer"], message["processId"] > 0), (f"uid:{peer['uid']}", True))
        self.assertEqual(wrong[:3], [], f"{len(wrong)} of {len(pairs)}; MODEL_SEED={self.seed}, {self.machines}")

    def test_paths(self):
        """Unix paths: each machine's own, and plain ones."""
        if os.geteuid() != 0:
            self.skipTest("connects as many users: needs root")
        self.defaults = {"deny": ["uid:20001", "m1", "17"], "allow": ["3-25", "m2", "uid:20002", "uid:0"]}
        self.d = self.daemon(settings=f"peers: {json.dumps(self.defaults)}\nlimits: {{leasesPerUser: {SERVICES}}}\n")
        cids = self.random.sample(range(3, 40), MACHINES)
        self.machines = {}
        for i, cid in enumerate(cids):
            folder = self.d.folder / f"m{i}"
            folder.mkdir()
            machine = {"name": f"m{i}", "hybrid": str(folder / "v")}
            if i % 4:
                machine["cid"] = cid
            if i % 3 == 0:
                machine["user"] = str(self.random.choice(UIDS))
                os.chown(folder, int(machine["user"]), -1)
            self.machines[machine["name"]] = machine
        services = []
        for i in range(SERVICES):
            port = self.d.port()
            service = {
                "name": f"s{i}",
                "port": port,
                "listen": ["machine:*", f"unix://{self.d.folder}/s{i}"],
                "handout": {"mode": "connections"},
                "socket": {"mode": "0666"},
                "peers": self.peers(),
            }
            services.append({field: value for field, value in service.items() if value is not None})
        client = self.client(self.d, timeout=60)
        client.call("Apply", services=services, machines=list(self.machines.values()))
        self.assertEqual(client.call("Status")["listeners"], SERVICES * (MACHINES + 1))
        server = self.serve([service["name"] for service in services])

        of_uid = {uid: [] for uid in UIDS}
        for service in services:
            for machine in self.machines.values():
                uid = self.random.choice(UIDS)
                if "user" in machine and self.random.random() < 0.6:
                    uid = int(machine["user"])
                peer = {"machine": machine["name"], "cid": machine.get("cid"), "uid": uid}
                of_uid[uid].append((service, peer, f"{machine['hybrid']}_{service['port']}"))
            for uid in self.random.sample(UIDS, PLAIN):
                of_uid[uid].append((service, {"machine": None, "cid": None, "uid": uid}, f"{self.d.folder}/{service['name']}"))

        def come(pairs):
            return [answer(socket.AF_UNIX, path) for _, _, path in pairs]

        counts = {True: 0, False: 0}
        for uid, pairs in of_uid.items():
            self.tell(pairs, self.as_user(uid, lambda pairs=pairs: come(pairs)), counts)
        self.assertEqual(sum(counts.values()), SERVICES * (MACHINES + PLAIN))
        self.assertGreater(min(counts.values()), 2000, "the model has seen both")
        self.assertEqual(client.call("Status")["leases"], SERVICES)
        server.kill()

    def test_ranges(self):
        """Ranges that overlap, touch, lie in each other or are there twice; those that run backwards are none."""
        self.d = self.daemon()
        client = self.client(self.d)
        for rule in ("9-3", "5-4", "3-", "-3", "3-5-7", "3 - 5", "03-5", "3-4294967295", "any"):
            for side in ("allow", "deny"):
                service = {"name": "a", "listen": ["machine:*"], "port": 1, "peers": {side: ["42", rule]}}
                error = client.refused("Register", service=service)
                self.assertEqual((error.short, error.parameters["field"]), ("InvalidField", f"peers.{side}[1]"), rule)
                self.assertIn(rule, error.parameters["reason"])
        self.machines = {f"m{cid}": {"name": f"m{cid}", "cid": cid, "hybrid": f"{self.d.folder}/m{cid}/v"} for cid in range(3, 40)}
        for name in self.machines:
            (self.d.folder / name).mkdir()
        client.call("Apply", services=[], machines=list(self.machines.values()))
        self.defaults = {}
        lists = [
            ["10-20", "15-25"], ["15-25", "10-20"], ["10-20", "21-30"], ["10-30", "15-16"], ["15-16", "10-30"], ["12", "12", "10-20"],
            ["10-20", "10-20"], ["20-20", "19-21", "3"], ["3-3", "39-4294967294"], ["0-4294967294"], ["30", "20", "10", "9-11"],
        ]  # fmt: skip
        pairs = [(allow, deny) for allow in lists for deny in [[], *lists[::3]]]
        services = [
            {"name": f"s{i}", "port": 1000 + i, "listen": ["machine:*"], "peers": {"allow": allow, "deny": deny}}
            for i, (allow, deny) in enumerate(pairs)
        ]
        client.call("Apply", services=services)
        server = self.serve([service["name"] for service in services])
        counts, tries = {True: 0, False: 0}, []
        for service in services:
            for machine in self.machines.values():
                peer = {"machine": machine["name"], "cid": machine["cid"], "uid": os.getuid()}
                tries.append((service, peer, f"{machine['hybrid']}_{service['port']}"))
        self.tell(tries, [answer(socket.AF_UNIX, path) for _, _, path in tries], counts)
        self.assertGreater(min(counts.values()), 200)
        server.kill()

    def test_over_vsock(self):
        """In the guest: peers over loopback have the CID 1, and are no machine."""
        if not GUEST:
            self.skipTest("connects AF_VSOCK: runs in the guest of tests/vm alone")
        self.defaults = {"deny": ["2-40"]}
        self.number = lambda: self.random.randrange(0, 4)
        self.d = self.daemon(settings=f"peers: {json.dumps(self.defaults)}\nlimits: {{leasesPerUser: {SERVICES}}}\n")
        self.machines = {f"m{i}": {"name": f"m{i}", "cid": 100 + i} for i in range(MACHINES)}
        services = []
        for i in range(SERVICES):
            service = {"name": f"s{i}", "port": self.d.port(), "handout": {"mode": "connections"}, "peers": self.peers()}
            services.append({field: value for field, value in service.items() if value is not None})
            if i % 8 == 0:
                services[-1]["listen"] = ["machine:m3"]
        client = self.client(self.d, timeout=60)
        client.call("Apply", services=services, machines=list(self.machines.values()))
        server = self.serve([service["name"] for service in services])
        counts, pairs = {True: 0, False: 0}, []
        for service in services:
            # machine: there is the shared port, and lets in that machine beside whom it allows.
            if "listen" in service:
                peers = service.get("peers", self.defaults)
                service = {**service, "peers": {**peers, "allow": [*peers.get("allow", []), "m3"]}}
            pairs.append((service, {"machine": None, "cid": 1, "uid": None}, service["port"]))
        self.tell(pairs, [answer(socket.AF_VSOCK, (1, port)) for _, _, port in pairs], counts)
        self.assertGreater(min(counts.values()), 80, "the model has seen both")
        server.kill()


def answer(family, path):
    """What a server answers; None: it was hung up."""
    with socket.socket(family) as client:
        client.settimeout(60)
        client.connect(path)
        text = b""
        with contextlib.suppress(ConnectionResetError):
            while part := client.recv(65536):
                text += part
        return text.decode() or None
