# shellcheck shell=bash
# What the cases of tests/vm/units share, beside lib.sh: hvsockd as people install it, its units, and unix sockets, for AF_VSOCK
# is not in a namespace.
. ./lib.sh
unset HVSOCK_SOCKET
mkdir -p /etc/hvsockd/services.d /run/vms/web1
# A machine whose VMM runs as another user: its folder is nobody else's.
useradd -r vmm
install -d -o vmm -g vmm -m 0700 /run/vms/web1
# Ports that nobody else on this machine is likely to use, the first of them a privileged one.
low=$((600 + RANDOM % 400)) high=$((0x30000000 + RANDOM * 1000 + RANDOM))
cat >/etc/hvsockd/services.d/case.yaml <<YAML
services:
  - {name: files, listen: ["unix:///run/files.sock"]}
  - {name: agent, port: 1500, listen: ["machine:*"], handout: {mode: listener}}
  - {name: echo, listen: ["unix:///run/echo.sock"], activate: {mode: accept, exec: [/bin/cat], user: vmm}}
  - {name: low, port: $low}
  - {name: high, port: $high}
machines:
  - {name: web1, hybrid: /run/vms/web1/v.sock, user: vmm}
YAML
export agent=/run/vms/web1/v.sock_1500

main_pid() {
    systemctl show -P MainPID "$1"
}
# Which socket listens at a path: its inode.
listener_at() {
    awk -v path="$1" '$4 == "00010000" && $8 == path {print $7}' /proc/net/unix
}
is_up() {
    [ "$(systemctl is-active "$1")" = active ] || { systemctl status --no-pager "$1"; return 1; }
}
is_down() {
    [ "$(systemctl is-active "$1")" != active ]
}
all_listen() {
    local name
    for name in files agent low high; do
        is_state "$name" listening || return 1
    done
}
cat >"$WORK/talk" <<'PYTHON'
import socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    sock.settimeout(120)
    sock.connect(sys.argv[1])
    print("connected", flush=True)
    print(sock.makefile().readline().strip(), flush=True)
PYTHON
cat >"$WORK/serve" <<'PYTHON'
import os, socket, sys
listener = socket.socket(fileno=3)
listener.settimeout(120)
for _ in range(int(sys.argv[1])):
    listener.accept()[0].sendall(f"served by {os.environ['LISTEN_FDNAMES']}\n".encode())
PYTHON
# come PATH NAME: a client that connects now and waits; served NAME SERVICE: it, and nobody else, is served now.
come() {
    python3 "$WORK/talk" "$1" >"$WORK/talked.$2" 2>&1 &
    eval "talk_$2=$!"
    within 10 grep -q connected "$WORK/talked.$2"
}
answered() {
    eval "wait \$talk_$1" || { cat "$WORK/talked.$1"; fail "$1 was not served"; }
    grep -qx "served by $2" "$WORK/talked.$1" || fail "$1: $(cat "$WORK/talked.$1")"
}
serve() {
    hvsockctl exec "$1" -- python3 "$WORK/serve" "$2"
}

# An echo by a program that hvsockd starts: open_echo; echoed WHAT: still the same program, over the same connection.
cat >"$WORK/echo" <<'PYTHON'
import os, socket, sys
work = sys.argv[1]
sock = socket.socket(socket.AF_UNIX)
sock.settimeout(120)
sock.connect("/run/echo.sock")
stream = sock.makefile("rw", buffering=1)
with open(work + "/say") as say, open(work + "/heard", "w", buffering=1) as heard:
    for line in say:
        stream.write(line)
        heard.write(stream.readline() or "nothing more\n")
PYTHON
open_echo() {
    mkfifo "$WORK/say" "$WORK/heard"
    python3 "$WORK/echo" "$WORK" &
    exec 8>"$WORK/say" 9<"$WORK/heard"
}
echoed() {
    local line
    echo "$1" >&8
    read -r -t 120 line <&9 || fail "no echo of: $1"
    [ "$line" = "$1" ] || fail "$1: echo: $line"
}
