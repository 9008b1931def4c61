# SPDX-License-Identifier: Apache-2.0
"""The words of ExecStart= and Environment= of a unit, by the rules of systemd.syntax(7), systemd.service(5) and systemd.unit(5):
quotes, C's escapes, %% is %, and with a colon before the command a $ is a $."""

import re
import sys

ESCAPE = re.compile(r'\\(?:x([0-9a-f]{2})|(.))')


def words(value):
    found = re.findall(r'"((?:[^"\\]|\\.)*)"(?: |$)', value)
    assert "".join(f'"{word}" ' for word in found).strip() == value, value
    plain = [ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else m[2], word) for word in found]
    for word in plain:
        assert not re.search(r"(?<!%)(?:%%)*%(?!%)", word), word
    return [word.replace("%%", "%") for word in plain]


for line in open(sys.argv[1], encoding="utf-8"):
    key, _, value = line.rstrip("\n").partition("=")
    if key == "ExecStart":
        assert value[0] == ":"
        print(key, words(value[1:]))
    elif key == "Environment":
        print(key, words(value))
