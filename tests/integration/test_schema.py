# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema against `hvsockctl check`: what check takes, the schema takes, so that no editor marks what is good; and
most of what check refuses for its kind, the schema refuses too. Files are JSON, which is YAML."""

import json
import re
import subprocess

from hv.case import BUILD, Case

VALUES = [None, 5, 5.5, -1, 4294967296, True, False, "", "a", "5", "5.5", "true", "x y", "/a/b", "\u00fc", "a\nb",
          [], [5], ["a"], [None], [True], [5.5], ["a", "a"], {}, {"a": "b"}, {"a": 5}, {"a": None}, {"A": True}]  # fmt: skip
KINDS = {"string": str, "object": dict, "array": list, "boolean": bool, "null": type(None)}


def is_kind(kind, value):
    if kind in ("integer", "number"):
        return type(value) is int or (kind == "number" and type(value) is float)
    return type(value) is KINDS[kind]


def takes(schema, root, value):
    """So much of JSON Schema as ours uses; a key that is not known here is an error."""
    ours = type(value) in (int, float)
    rules = {
        "$ref": lambda ref: takes(root["$defs"][ref.rsplit("/", 1)[1]], root, value),
        "anyOf": lambda any_of: any(takes(one, root, value) for one in any_of),
        "type": lambda kinds: any(is_kind(kind, value) for kind in ([kinds] if isinstance(kinds, str) else kinds)),
        "enum": lambda words: value in words,
        "pattern": lambda pattern: not isinstance(value, str) or re.search(pattern, value) is not None,
        "minLength": lambda least: not isinstance(value, str) or len(value) >= least,
        "maxLength": lambda most: not isinstance(value, str) or len(value) <= most,
        "minimum": lambda least: not ours or value >= least,
        "maximum": lambda most: not ours or value <= most,
        "items": lambda items: not isinstance(value, list) or all(takes(items, root, item) for item in value),
        "minItems": lambda least: not isinstance(value, list) or len(value) >= least,
        "maxItems": lambda most: not isinstance(value, list) or len(value) <= most,
        "minProperties": lambda least: not isinstance(value, dict) or len(value) >= least,
        "maxProperties": lambda most: not isinstance(value, dict) or len(value) <= most,
        "propertyNames": lambda names: not isinstance(value, dict) or all(takes(names, root, name) for name in value),
        "required": lambda names: not isinstance(value, dict) or all(name in value for name in names),
        "properties": lambda known: not isinstance(value, dict)
        or all(takes(known[name], root, value[name]) for name in value if name in known),
        "additionalProperties": lambda more: not isinstance(value, dict)
        or all(more and takes(more, root, value[name]) for name in value if name not in schema.get("properties", {})),
    }
    told = {"$schema", "$id", "$defs", "title", "description", "default", "examples"}
    return all(key in told or rules[key](rule) for key, rule in schema.items())


class Schema(Case):
    def ctl(self, *arguments):
        command = [str(BUILD / "hvsockctl"), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True)

    def records(self, schema, name, base):
        """base with each field of a record at each value, and each field of the records in it."""
        for field, rule in schema["$defs"][name]["properties"].items():
            for value in VALUES:
                yield {**base, field: value}
            nested = rule.get("anyOf", [{}])[0].get("$ref")
            if nested:
                nested = nested.rsplit("/", 1)[1]
                needs = {
                    field: schema["$defs"][nested]["properties"][field]["examples"][0]
                    for field in schema["$defs"][nested].get("required", [])
                }
                if nested == "Activation":
                    needs = {"mode": "accept", "exec": ["/bin/true"]}
                for record in self.records(schema, nested, needs):
                    yield {**base, field: record}

    def compare(self, schema, documents, check):
        """documents: {file: value}; check: those files that check refuses."""
        wrong, strict = [], 0
        for path, value in documents.items():
            good = takes(schema, schema, value)
            if path not in check and not good:
                wrong.append(json.dumps(value))
            strict += path in check and not good
        self.assertEqual(wrong[:9], [], f"check takes {len(wrong)} of {len(documents)} that the schema refuses")
        self.assertGreater(strict, len(check) * 0.7, f"of {len(check)} that check refuses")

    def test_files(self):
        schema = json.loads(self.ctl("schema").stdout)
        folder = self.daemon(start=False).folder / "files"
        folder.mkdir()
        values = [{"services": None}, {"machines": None}, {"services": []}, {}, None]
        for i, record in enumerate(self.records(schema, "ServiceContext", {"name": "s", "port": 1})):
            named = {**record, "name": f"s{i}"} if record["name"] == "s" else record
            if record["port"] == 1 and record.get("listen") is None:
                named = {**named, "port": i + 1000, "guid": None} if "guid" not in record else {**named, "port": None}
            values.append({"services": [named]})
        for i, record in enumerate(self.records(schema, "MachineContext", {"name": "m", "cid": 3})):
            named = {**record, "name": f"m{i}"} if record["name"] == "m" else record
            values.append({"machines": [{**named, "cid": i + 1000} if record["cid"] == 3 else named]})
        documents = {}
        for i, value in enumerate(values):
            path = folder / f"{i:05}.yaml"
            path.write_text("" if value is None else json.dumps(value, ensure_ascii=False))
            documents[str(path)] = value
        refused, paths = set(), list(documents)
        for first in range(0, len(paths), 250):  # so many problems are told, and no more
            told = json.loads(self.ctl("check", *paths[first : first + 250], "--json").stdout)
            refused |= {problem["file"] for problem in told if problem["severity"] == "error"}
        self.assertTrue(200 < len(refused) < len(documents) - 100, f"{len(refused)} of {len(documents)}")
        self.compare(schema, documents, refused)

    def test_settings(self):
        schema = json.loads(self.ctl("schema", "--settings").stdout)
        folder = self.daemon(start=False).folder / "files"
        refused, documents = set(), {}
        records = [{field: value} for field in schema["properties"] for value in VALUES]
        for name, prefix in (("Limits", "limits"), ("Administrators", "administrators")):
            records += [{prefix: record} for record in self.records(schema, name, {})]
        records += [{"delegations": [r]} for r in self.records(schema, "Delegation", {"users": ["a"], "names": "x-*"})]
        (folder / "services.d").mkdir(parents=True)
        path = folder / "hvsockd.yaml"
        for i, record in enumerate(records):
            path.write_text(json.dumps(record, ensure_ascii=False))
            documents[i] = record
            done = subprocess.run([str(BUILD / "hvsockd"), "--check", "--config", str(folder)], capture_output=True)
            if done.returncode:
                refused.add(i)
        self.assertTrue(100 < len(refused) < len(documents) - 50, f"{len(refused)} of {len(documents)}")
        self.compare(schema, documents, refused)
