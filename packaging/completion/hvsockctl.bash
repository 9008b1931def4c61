# bash completion for hvsockctl, made by `hvsockctl completion bash`.
# shellcheck shell=bash

# Names, of the daemon that the command line means.
_hvsockctl_ask()
{
    hvsockctl ${_hvsockctl_socket:+--socket "$_hvsockctl_socket"} "$@" -o NAME --no-headings 2>/dev/null
}

# _hvsockctl_offer ACTION...: what compgen makes of it.
_hvsockctl_offer()
{
    mapfile -t COMPREPLY < <(compgen "$@" -- "$cur")
}

_hvsockctl()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} verb='' i word _hvsockctl_socket=''
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
        --socket) _hvsockctl_socket=${COMP_WORDS[++i]} ;;
        --)
            # The command of exec, with its own completion where there is one.
            if declare -F _command_offset >/dev/null; then
                _command_offset $((i + 1))
            else
                _hvsockctl_offer -c -f
            fi
            return
            ;;
        -*) ;;
        *)
            case $verb in
            '') verb=$word ;;
            machine) verb="machine $word" ;;
            esac
            ;;
        esac
    done
    case $verb in
    '')
        case $prev in
        --socket) _hvsockctl_offer -f; return ;;
        esac
        _hvsockctl_offer -W 'apply check completion connect connections diff disable doctor enable exec export guid import list listen log machine metrics register reload schema show status unregister version watch who --help --json --no-color --socket'
        ;;
    machine) _hvsockctl_offer -W 'add remove list run' ;;
    'apply')
        case $prev in
        --set) return ;;
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--set --prune --dry-run --help --json --no-color --socket' ;;
        *) _hvsockctl_offer -f ;;
        esac
        ;;
    'check')
        case $prev in
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--help --json --no-color --socket' ;;
        *) _hvsockctl_offer -f ;;
        esac
        ;;
    'completion')
        case $prev in
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--help --json --no-color --socket' ;;
        *) _hvsockctl_offer -W 'bash zsh fish' ;;
        esac
        ;;
    'connect')
        case $prev in
        --timeout) return ;;
        --retry) return ;;
        --interval) return ;;
        --type) _hvsockctl_offer -W 'stream seqpacket dgram'; return ;;
        --exec) _hvsockctl_offer -c; return ;;
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--timeout --retry --interval --type --exec --pass-fd --progress --help --json --no-color --socket' ;;
        esac
        ;;
    'connections')
        case $prev in
        -o | --columns) return ;;
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--columns --no-headings --help --json --no-color --socket' ;;
        esac
        ;;
    'diff')
        case $prev in
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--help --json --no-color --socket' ;;
        *) _hvsockctl_offer -f ;;
        esac
        ;;
    'disable')
        case $prev in
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--help --json --no-color --socket' ;;
        *) _hvsockctl_offer -W "$(_hvsockctl_ask list)" ;;
        esac
        ;;
    'doctor')
        case $prev in
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--help --json --no-color --socket' ;;
        esac
        ;;
    'enable')
        case $prev in
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--help --json --no-color --socket' ;;
        *) _hvsockctl_offer -W "$(_hvsockctl_ask list)" ;;
        esac
        ;;
    'exec')
        case $prev in
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--inetd --help --json --no-color --socket' ;;
        *) _hvsockctl_offer -W "$(_hvsockctl_ask list)" ;;
        esac
        ;;
    'export')
        case $prev in
        --to) _hvsockctl_offer -W 'cloud-hypervisor env firecracker hcs hyperkit json libkrun openvmm powershell qemu reg systemd yaml'; return ;;
        --from) _hvsockctl_offer -f; return ;;
        --output) _hvsockctl_offer -f; return ;;
        --machine) _hvsockctl_offer -W "$(_hvsockctl_ask machine list)"; return ;;
        --previous) _hvsockctl_offer -f; return ;;
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--to --from --output --machine --previous --prune --help --json --no-color --socket' ;;
        *) _hvsockctl_offer -W "$(_hvsockctl_ask list)" ;;
        esac
        ;;
    'guid')
        case $prev in
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--help --json --no-color --socket' ;;
        esac
        ;;
    'import')
        case $prev in
        --set) return ;;
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--apply --set --in-box --help --json --no-color --socket' ;;
        *) _hvsockctl_offer -f ;;
        esac
        ;;
    'list')
        case $prev in
        -o | --columns) return ;;
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--columns --no-headings --yaml --help --json --no-color --socket' ;;
        esac
        ;;
    'listen')
        case $prev in
        --exec) _hvsockctl_offer -c; return ;;
        --max-connections) return ;;
        --timeout) return ;;
        --retry) return ;;
        --interval) return ;;
        --type) _hvsockctl_offer -W 'stream seqpacket dgram'; return ;;
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--echo --exec --max-connections --keep --timeout --retry --interval --type --progress --help --json --no-color --socket' ;;
        *) _hvsockctl_offer -W "$(_hvsockctl_ask list)" ;;
        esac
        ;;
    'log')
        case $prev in
        --since) return ;;
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--since --follow --help --json --no-color --socket' ;;
        *) _hvsockctl_offer -W "$(_hvsockctl_ask list)" ;;
        esac
        ;;
    'machine add')
        case $prev in
        --pid) _hvsockctl_offer -W "$(cd /proc && echo [1-9]*)"; return ;;
        --cid) return ;;
        --hybrid) _hvsockctl_offer -f; return ;;
        --hyperkit) _hvsockctl_offer -f; return ;;
        --vm-id) return ;;
        --user) _hvsockctl_offer -u; return ;;
        --group) _hvsockctl_offer -g; return ;;
        --label) return ;;
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--ephemeral --pid --cid --hybrid --hyperkit --vm-id --user --group --label --help --json --no-color --socket' ;;
        esac
        ;;
    'machine remove')
        case $prev in
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--help --json --no-color --socket' ;;
        *) _hvsockctl_offer -W "$(_hvsockctl_ask machine list)" ;;
        esac
        ;;
    'machine list')
        case $prev in
        -o | --columns) return ;;
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--columns --no-headings --yaml --help --json --no-color --socket' ;;
        esac
        ;;
    'machine run')
        case $prev in
        --timeout) return ;;
        --cid) return ;;
        --hybrid) _hvsockctl_offer -f; return ;;
        --hyperkit) _hvsockctl_offer -f; return ;;
        --vm-id) return ;;
        --user) _hvsockctl_offer -u; return ;;
        --group) _hvsockctl_offer -g; return ;;
        --label) return ;;
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--timeout --cid --hybrid --hyperkit --vm-id --user --group --label --help --json --no-color --socket' ;;
        esac
        ;;
    'metrics')
        case $prev in
        --output) _hvsockctl_offer -f; return ;;
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--output --http --help --json --no-color --socket' ;;
        esac
        ;;
    'register')
        case $prev in
        --pid) _hvsockctl_offer -W "$(cd /proc && echo [1-9]*)"; return ;;
        --element-name) return ;;
        --port) return ;;
        --guid) return ;;
        --type) _hvsockctl_offer -W 'stream seqpacket dgram'; return ;;
        --listen) return ;;
        --backlog) return ;;
        --socket-user) _hvsockctl_offer -u; return ;;
        --socket-group) _hvsockctl_offer -g; return ;;
        --socket-mode) return ;;
        --handout-user) _hvsockctl_offer -u; return ;;
        --handout-group) _hvsockctl_offer -g; return ;;
        --handout-mode) _hvsockctl_offer -W 'listener connections'; return ;;
        --allow) _hvsockctl_offer -W "$(_hvsockctl_ask machine list)"; return ;;
        --deny) _hvsockctl_offer -W "$(_hvsockctl_ask machine list)"; return ;;
        --peers-max-connections) return ;;
        --peers-max-connections-per-peer) return ;;
        --peers-rate) return ;;
        --activate-mode) _hvsockctl_offer -W 'wait accept'; return ;;
        --activate-exec) return ;;
        --activate-unit) return ;;
        --activate-user) _hvsockctl_offer -u; return ;;
        --activate-group) _hvsockctl_offer -g; return ;;
        --activate-environment) return ;;
        --activate-working-directory) _hvsockctl_offer -f; return ;;
        --activate-umask) return ;;
        --activate-limit) return ;;
        --activate-stop-timeout-seconds) return ;;
        --activate-start-limit) return ;;
        --windows-bind-security-descriptor) return ;;
        --windows-connect-security-descriptor) return ;;
        --label) return ;;
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--ephemeral --pid --element-name --port --auto-port --guid --type --disabled --listen --backlog --socket-user --socket-group --socket-mode --handout-user --handout-group --exclusive --handout-mode --handout-socket --allow --deny --peers-max-connections --peers-max-connections-per-peer --peers-rate --activate-mode --activate-exec --activate-unit --activate-user --activate-group --activate-environment --activate-working-directory --activate-umask --activate-limit --activate-stop-timeout-seconds --activate-start-limit --windows-bind-security-descriptor --windows-connect-security-descriptor --windows-allow-wildcard-binds --label --help --json --no-color --socket' ;;
        esac
        ;;
    'reload')
        case $prev in
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--help --json --no-color --socket' ;;
        esac
        ;;
    'schema')
        case $prev in
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--settings --help --json --no-color --socket' ;;
        esac
        ;;
    'show')
        case $prev in
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--yaml --help --json --no-color --socket' ;;
        *) _hvsockctl_offer -W "$(_hvsockctl_ask list)" ;;
        esac
        ;;
    'status')
        case $prev in
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--help --json --no-color --socket' ;;
        esac
        ;;
    'unregister')
        case $prev in
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--help --json --no-color --socket' ;;
        *) _hvsockctl_offer -W "$(_hvsockctl_ask list)" ;;
        esac
        ;;
    'version')
        case $prev in
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--help --json --no-color --socket' ;;
        esac
        ;;
    'watch')
        case $prev in
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--help --json --no-color --socket' ;;
        esac
        ;;
    'who')
        case $prev in
        --machine) _hvsockctl_offer -W "$(_hvsockctl_ask machine list)"; return ;;
        -o | --columns) return ;;
        --socket) _hvsockctl_offer -f; return ;;
        esac
        case $cur in
        -*) _hvsockctl_offer -W '--machine --columns --no-headings --yaml --help --json --no-color --socket' ;;
        *) _hvsockctl_offer -W "$(_hvsockctl_ask list)" ;;
        esac
        ;;
    esac
}

complete -o default -F _hvsockctl hvsockctl
