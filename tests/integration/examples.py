# SPDX-License-Identifier: Apache-2.0
"""The examples of the manuals, of README and of the shipped files, taken from their sources: for test_manual."""

import re

from hv.daemon import ROOT

MAN = ROOT / "packaging/man"
README = "README.md"
# Their comments have commands in them.
SHIPPED = {str(path.relative_to(ROOT)) for path in [*(ROOT / "config/examples").rglob("*.yaml"), ROOT / "packaging/ssh/ssh_config"]}
PAGES = sorted(path.name for path in MAN.iterdir() if re.search(r"\.\d(\.in)?$", path.name)) + [README, *sorted(SHIPPED)]
# Fenced blocks of README that are run as a whole, or were recorded as one: one example each, by the comment before them.
MARK = re.compile(r"<!-- (?:run: \w+|recorded: begin) -->")


def unescape(text):
    """mdoc's text as it is shown."""
    return text.replace(r"\&", "").replace(r"\-", "-").replace(r"\e", "\\")


def commands(text, prompt=""):
    """The command lines of a block: those with the prompt; each is one line, and has no comment at its end."""
    joined = re.sub(r" *\\\n *", " ", text)
    lines = [line[len(prompt) :] for line in joined.split("\n") if line and line.startswith(prompt)]
    return [re.sub(r"\s+# .*$", "", line) for line in lines]


def name_of(text):
    """What a block that is no command is called: its first line that tells something."""
    return next(line.strip() for line in text.split("\n") if line not in ("", "services:"))


def manual_examples(source):
    """{name or command: its text} of each literal block, displayed line and command in a list's tag."""
    found = {}
    text = re.sub(r"^\.Bd -literal[^\n]*\n(.*?)\n\.Ed$", lambda block: found.update(block_examples(unescape(block[1]))) or "", source, flags=re.M | re.S)
    for line in re.findall(r"^\.(?:Dl|It Ic) (.*)$", text, re.M):
        found[unescape(line)] = unescape(line)
    return found


def block_examples(text):
    return {line: line for line in commands(text, "$ ")} if text.startswith("$ ") else {name_of(text): text}


def readme_examples(source):
    """Likewise of each fenced and each indented block; only those whose first word is a key or a folder are no commands."""
    found = {}

    def fenced(block):
        mark = MARK.search(block[1] or "")
        text = block[2]
        found.update({mark[0]: text} if mark else {line: line for line in commands(text)})
        return "\n"

    rest = re.sub(r"(<!--[^\n]*-->\s*)?^```\w*\n(.*?)\n```$", fenced, source, flags=re.M | re.S)
    for block in re.findall(r"\n\n((?:    [^\n]*\n)(?:(?:    [^\n]*)?\n)*)", rest):
        text = re.sub("^    ", "", block, flags=re.M).strip("\n")
        found.update({name_of(text): text} if re.match(r"\S+[:/]\s", text) else {line: line for line in commands(text)})
    return found


def comment_examples(source):
    """Likewise of a comment's lines that are indented; what follows after two blanks tells of the command."""
    return {line: line for line in (re.sub(r"\s\s.*", "", text) for text in re.findall(r"^#     (\S.*)$", source, re.M))}


def examples(page):
    if page in SHIPPED:
        return comment_examples((ROOT / page).read_text())
    if page == README:
        return readme_examples((ROOT / README).read_text())
    return manual_examples((MAN / page).read_text())
