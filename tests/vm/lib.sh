# shellcheck shell=bash
# What the cases share. WORK is a fresh folder of the case.
set -eu
[ "${HVSOCK_GUEST-}${HVSOCK_NAMESPACES-}" = 1 ] || {
    echo "connects AF_VSOCK, or needs a systemd of its own: only in a guest, or in namespaces"
    exit 77
}
export HVSOCK_SOCKET=$WORK/run/io.hvsock.Registry
export tests=$PWD

fail() {
    echo "FAIL: $*"
    exit 1
}
# within SECONDS COMMAND...: tries until it succeeds. It should be no more than so many; a machine that does something else
# meanwhile has more.
within() {
    local end=$((SECONDS + ($1 > 120 ? $1 : 120)))
    shift
    until "$@" >"$WORK/within" 2>&1; do
        if [ "$SECONDS" -ge "$end" ]; then
            cat "$WORK/within"
            fail "never came: $*"
        fi
        sleep 0.1
    done
}
# daemon_start YAML: hvsockd in a folder of the case.
daemon_start() {
    mkdir -p "$WORK"/{etc/services.d,state,run}
    echo "$1" >"$WORK/etc/services.d/case.yaml"
    hvsockd --config "$WORK/etc" --state "$WORK/state" --runtime "$WORK/run" 2>"$WORK/hvsockd.log" &
    daemon=$!
    within 20 hvsockctl status
}
daemon_stop() {
    kill "$daemon"
    wait "$daemon" || { cat "$WORK/hvsockd.log"; fail "hvsockd ended with $?"; }
}
# example PAGE FIRST: the block of a manual that begins with this line; example_command FILE FIRST: the command that begins so, as one line.
example() {
    awk -v first="$2" '$0 == first {on = 1} /^[.]Ed$/ {on = 0} on' "$tests/../../packaging/man/$1" | sed 's/\\e/\\/g'
}
example_command() {
    local file=$tests/../../packaging/man/$1
    [ -e "$file" ] || file=$tests/../../$1
    sed 's/^\$ //; s/\\e$/\\/' "$file" | awk -v first="$2" 'index($0, first) == 1 {on = 1}
        on {more = sub(/ *\\$/, ""); sub(/^ +/, " "); printf "%s", $0; if (!more) exit}'
}
# state NAME: what the service is said to be; reason NAME: why its first listener is not.
state() {
    hvsockctl show "$1" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["runtime"]["state"])'
}
is_state() {
    local is
    is=$(state "$1")
    [ "$is" = "$2" ] || { echo "$1 is $is"; hvsockctl show "$1"; return 1; }
}
