# SPDX-License-Identifier: Apache-2.0
"""Who gets which address, against a model: services and machines come, change and go in random order (by the same seeds each
time), by Register, Apply, AddMachine, SetEnabled and Reload, over restarts; after each step every service has what the plain
rules here say, and was refused only what two would have held."""

import copy
import random

from hv.case import Case, Refused

SERVICES, MACHINES, MORE = ("a", "b", "c", "d"), ("w1", "w2", "w3", "w4"), ("x", "y")
STEPS = 90


def address(machine, port):
    """Its own transport, the first that it has; by its CID alone it is reached on the shared one."""
    if "hybrid" in machine:
        return f"hybrid://{machine['hybrid']}:{port}"
    if "hyperkit" in machine:
        return f"hyperkit://:{port}{machine['hyperkit']}"
    return f"vsock://:{port}"


class Desired:
    """name -> (context, origin, enabled) of services, name -> (context, origin) of machines."""

    def __init__(self):
        self.services, self.machines = {}, {}

    def names_machine(self, name, port, but):
        return any(
            enabled and service != but and context["port"] == port and f"machine:{name}" in context.get("listen", ())
            for service, (context, _, enabled) in self.services.items()
        )

    def wanted(self, name):
        context, _, enabled = self.services[name]
        port, wanted = context["port"], set()
        for listen in context.get("listen", [f"vsock://:{port}"]) if enabled else []:
            if listen == "machine:*":
                for machine, (known, _) in self.machines.items():
                    where = address(known, port)
                    if where.startswith("vsock:") or not self.names_machine(machine, port, name):
                        wanted.add(where)
            elif not listen.startswith("machine:"):
                wanted.add(listen)
            elif listen[len("machine:") :] in self.machines:
                wanted.add(address(self.machines[listen[len("machine:") :]][0], port))
        return wanted

    def is_sound(self):
        """No address is wanted by two, no machine of one port is meant by two, no two machines are known by the same."""
        claims = [where for name in self.services for where in self.wanted(name)]
        claims += [
            (listen, context["port"])
            for context, _, enabled in self.services.values()
            for listen in context.get("listen", ())
            if enabled and listen.startswith("machine:")
        ]
        for field in ("cid", "hybrid", "hyperkit"):
            claims += [(field, context[field]) for context, _ in self.machines.values() if field in context]
        return len(claims) == len(set(claims))


class Claims(Case):
    def setUp(self):
        super().setUp()
        self.d = self.daemon()
        self.c = self.client(self.d)
        self.ports = [self.d.port() for _ in range(3)]
        for number in range(4):
            (self.d.folder / f"vm{number}").mkdir()
        self.desired = Desired()
        self.files = ([], [])

    # ---- what is tried ----

    def service(self, name):
        port = self.random.choice(self.ports)
        listens = ["machine:*"] * 4 + [f"machine:{machine}" for machine in MACHINES]
        listens += [f"vsock://:{port}", f"unix://{self.d.folder}/{self.random.choice('uv')}.sock"]
        service = {"name": name, "port": port}
        if self.random.random() < 0.8:
            service["listen"] = list(dict.fromkeys(self.random.choice(listens) for _ in range(self.random.randint(1, 3))))
        return service

    def machine(self, name):
        folder, cid = self.d.folder / f"vm{self.random.randrange(4)}", 4711 + self.random.randrange(3)
        known = ({"cid": cid}, {"hybrid": f"{folder}/v.sock"}, {"hyperkit": str(folder)}, {"cid": cid, "hybrid": f"{folder}/v.sock"})
        return {"name": name, **self.random.choice(known)}

    def some(self, names, most=3):
        return self.random.sample(sorted(names), min(len(names), self.random.randint(0, most)))

    def of(self, origin, records):
        return [name for name in records if records[name][1] == origin]

    def tries(self, after, *call, **parameters):
        """It is done where the model says so, and refused with nothing changed where not."""
        error = None
        try:
            self.c.call(*call, **parameters)
        except Refused as refused:
            error = refused
            self.assertIn(refused.short, ("Conflict", "InvalidConfiguration"), f"{self.told}: {refused}")
        self.assertEqual(error is None, after.is_sound(), f"{self.told}: {call} {parameters}: {error}")
        if not error:
            self.desired = after

    def register(self, after):
        name = self.random.choice(SERVICES)
        if name not in after.services:
            service = self.service(name)
            after.services[name] = (service, "user", True)
            self.tries(after, "Register", service=service)

    def unregister(self, after):
        for name in self.some(self.of("user", after.services), 1):
            self.c.call("Unregister", name=name)
            del self.desired.services[name]

    def set_enabled(self, after):
        for name in self.some(after.services, 1):
            enabled = self.random.random() < 0.6
            after.services[name] = (*after.services[name][:2], enabled)
            self.tries(after, "SetEnabled", name=name, enabled=enabled)

    def add_machine(self, after):
        name = self.random.choice(MACHINES)
        if name not in after.machines or after.machines[name][1] == "user":
            machine = self.machine(name)
            after.machines[name] = (machine, "user")
            self.tries(after, "AddMachine", machine=machine)

    def remove_machine(self, after):
        for name in self.some(self.of("user", after.machines), 1):
            self.c.call("RemoveMachine", name=name)
            del self.desired.machines[name]

    def put(self, after, origin, services, machines):
        """An override is kept as long as the entry does not change."""
        for service in services:
            old = self.desired.services.get(service["name"])
            same = old and old[:2] == (service, origin)
            after.services[service["name"]] = (service, origin, old[2] if same else True)
        for machine in machines:
            after.machines[machine["name"]] = (machine, origin)

    def apply(self, after):
        def free(records, names):
            return [name for name in names if name not in records or records[name][1] == "apply"]

        services = [self.service(name) for name in self.some(free(after.services, SERVICES + MORE))]
        machines = [self.machine(name) for name in self.some(free(after.machines, MACHINES + MORE))]
        prune = self.random.random() < 0.3
        for records in (after.services, after.machines) if prune else ():
            for name in self.of("apply", records):
                del records[name]
        self.put(after, "apply", services, machines)
        self.tries(after, "Apply", services=services, machines=machines, prune=prune)

    def without_files(self, after):
        for records in (after.services, after.machines):
            for name in self.of("file", records):
                del records[name]

    def reload(self, after):
        self.without_files(after)
        services = [self.service(name) for name in self.some(set(SERVICES + MORE) - set(after.services))]
        machines = [self.machine(name) for name in self.some(set(MACHINES + MORE) - set(after.machines))]
        # Often some of what was there before, as it was.
        for known, records, made in ((self.desired.services, after.services, services), (self.desired.machines, after.machines, machines)):
            for name in self.some(self.of("file", known)):
                made[:] = [record for record in made if record["name"] != name] + [known[name][0]]
        self.d.file("a", {"services": services})
        self.d.file("b", {"machines": machines})
        self.files = (services, machines)
        self.put(after, "file", services, machines)
        self.tries(after, "Reload")
        self.assertEqual(self.c.call("Status")["errors"] == [], self.desired is after, self.told)

    def restart(self, after):
        """What was wrong with the files may be right by now; where it is not, those of before are good still."""
        self.without_files(after)
        services, machines = self.files
        taken = [r for r in services if r["name"] in after.services] + [r for r in machines if r["name"] in after.machines]
        self.put(after, "file", services, machines)
        if not taken and after.is_sound():
            self.desired = after
        self.c.close()
        self.d.restart(kill=self.random.random() < 0.5)
        self.c = self.client(self.d)

    # ---- what has come of it ----

    def holds(self):
        there = {service["context"]["name"]: service["runtime"]["listeners"] for service in self.c.list()}
        self.assertEqual(set(there), set(self.desired.services), self.told)
        for name, listeners in there.items():
            self.assertEqual({l["address"] for l in listeners}, self.desired.wanted(name), f"{self.told}: {name}")
            self.assertEqual({l["state"] for l in listeners} - {"listening"}, set(), f"{self.told}: {name}: {listeners}")

    def run_seed(self, seed):
        self.random = random.Random(seed)
        steps = [self.register, self.set_enabled, self.add_machine, self.apply, self.reload] * 3
        steps += [self.unregister, self.remove_machine, self.restart]
        for step in range(STEPS):
            act = self.random.choice(steps)
            self.told = f"seed {seed}, step {step}, {act.__name__}"
            act(copy.deepcopy(self.desired))
            self.holds()
        # Nothing of it is left where machines are.
        for name in ("a", "b"):
            if (self.d.config / f"services.d/{name}.yaml").exists():
                self.d.file(name, None)
        self.c.call("Reload")
        for name in list(self.of("apply", self.desired.services)) + self.of("user", self.desired.services):
            self.c.call("Unregister", name=name)
        for number in range(4):
            self.assertEqual(list((self.d.folder / f"vm{number}").iterdir()), [])

    def test_first(self):
        self.run_seed(1)

    def test_second(self):
        self.run_seed(2)

    def test_third(self):
        self.run_seed(3)
