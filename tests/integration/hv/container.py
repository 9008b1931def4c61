# SPDX-License-Identifier: Apache-2.0
"""A container as engines make them: namespaces of mounts, processes and users (root in it is another uid of the host),
a root of its own, and a seccomp filter that forbids socket(AF_VSOCK). For tests that run as root."""

import ctypes
import errno
import os
import platform
import socket
import struct
import subprocess
import sys
import traceback

libc = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUSER, NEWPID = 0x20000, 0x10000000, 0x20000000
BIND, REC, PRIVATE, DETACH = 0x1000, 0x4000, 0x40000, 2
SYSTEM = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}  # AUDIT_ARCH_*, __NR_socket


def check(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno(), what)


def mount(source, target, kind=None, flags=0):
    encoded = [text.encode() if text else None for text in (source, target, kind)]
    check(libc.mount(*encoded, ctypes.c_ulong(flags), None), f"mount {source} {target}")


def forbid_vsock():
    """seccomp(2), seccomp_data: nr at 0, arch at 4, args[0] at 16."""
    architecture, socket_number = SYSTEM[platform.machine()]
    code = [
        (0x20, 0, 0, 4),  # load arch
        (0x15, 0, 5, architecture),  # another: allow
        (0x20, 0, 0, 0),  # load nr
        (0x15, 0, 3, socket_number),
        (0x20, 0, 0, 16),  # load the family
        (0x15, 0, 1, socket.AF_VSOCK),
        (0x06, 0, 0, 0x00050000 | errno.EPERM),
        (0x06, 0, 0, 0x7FFF0000),  # allow
    ]
    text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(text)))
    check(libc.prctl(38, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
    check(libc.prctl(22, 2, program, 0, 0), "PR_SET_SECCOMP")


def build_root(root, mounts):
    mount("root", root, "tmpfs")
    for name in ("usr", "proc", "tmp", "run", "old", "dev"):
        os.mkdir(f"{root}/{name}")
    mount("/usr", f"{root}/usr", flags=BIND | REC)
    for name in ("bin", "sbin", "lib", "lib64"):
        if os.path.islink(f"/{name}"):
            os.symlink(f"usr/{name}", f"{root}/{name}")
    for source, target in [("/dev/null", "/dev/null"), *mounts]:
        target = root + target
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.mkdir(target) if os.path.isdir(source) else os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
        mount(str(source), target, flags=BIND)


def inside(root, mounts, ready, go, command):
    """Process 1 of the container, before it is one."""
    check(libc.unshare(NEWNS), "unshare")
    mount(None, "/", flags=REC | PRIVATE)
    build_root(root, mounts)
    mount("proc", f"{root}/proc", "proc")
    check(libc.pivot_root(root.encode(), f"{root}/old".encode()), "pivot_root")
    os.chdir("/")
    check(libc.umount2(b"/old", DETACH), "umount /old")
    check(libc.unshare(NEWUSER), "unshare")
    os.write(ready, b"x")
    os.read(go, 1)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    forbid_vsock()
    os.execv(command[0], command)


def main(root, uid, *arguments):
    """container.py ROOT UID SOURCE=TARGET... -- COMMAND..."""
    split = arguments.index("--")
    mounts = [pair.split("=", 1) for pair in arguments[:split]]
    check(libc.unshare(NEWPID), "unshare")
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        check(libc.prctl(1, 9, 0, 0, 0), "PR_SET_PDEATHSIG")
        try:
            os.close(ready[0])
            os.close(go[1])
            inside(root, mounts, ready[1], go[0], list(arguments[split + 1 :]))
        except BaseException:  # noqa: it is told, and nothing of the parent's is run
            traceback.print_exc()
        os._exit(99)
    os.close(ready[1])
    if os.read(ready[0], 1):
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{child}/{name}", "w") as file:
                file.write(f"0 {uid} 65536\n")
        os.write(go[1], b"x")
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def command_in(root, uid, mounts, command):
    """The command line that runs `command` in a container: root in it is uid of the host. mounts: [(source, target)]."""
    pairs = [f"{source}={target}" for source, target in mounts]
    return [sys.executable, "-B", __file__, str(root), str(uid), *pairs, "--", *map(str, command)]


def runs_here():
    """None; else why no container can be made."""
    if os.geteuid() != 0 or platform.machine() not in SYSTEM:
        return "makes namespaces and maps users: needs root"
    done = subprocess.run(["unshare", "--mount", "--pid", "--user", "--fork", "true"], capture_output=True, text=True)
    return None if done.returncode == 0 else f"no namespaces here: {done.stderr.strip()}"


if __name__ == "__main__":
    main(*sys.argv[1:])
