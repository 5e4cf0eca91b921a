#!/usr/bin/env bash
# Shows how cost grows with the number of nodes and with the number of keys: processor time per operation and memory per
# key of 3, 5 and 9 nodes on this machine, and of one node with 10^4 to 10^7 keys, beside one redis-server in the same run;
# and what rings of up to a thousand nodes come to (ringkv ring --simulate). All servers share one core, the load
# (examples/load.rs) has another. The tables are printed and written as Markdown.
#
# Usage: scripts/growth.sh [--quick] [--pairs COUNT] [--out FILE]
#
#   --quick        fewer and shorter runs, and no 10^7 keys: about two minutes instead of ten
#   --pairs COUNT  this many pairs of runs per figure
#   --out FILE     where the Markdown goes (default: bench/growth.md)
#   --help         this text
#
# Environment: RINGKV_BIN names a binary to measure; without it the release build is measured.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

QUICK='' PAIRS='' OUT=$ROOT/bench/growth.md
COMMAND="scripts/growth.sh${*:+ $*}"
TEMP='' CHILD='' EXAMPLE=''
SERVER_CORE='' CLIENT_CORE=''

parse_arguments() {
    while (($#)); do
        case $1 in
            --help | -h)
                usage "${BASH_SOURCE[0]}"
                exit 0
                ;;
            --quick) QUICK=1 ;;
            --pairs | --out)
                require_value "$1" "${2:-}"
                set_option "$1" "$2"
                shift
                ;;
            *) die "unknown argument '$1'; see --help" ;;
        esac
        shift
    done
    if [[ -n $PAIRS ]]; then number --pairs "$PAIRS" 1 100; fi
}

set_option() {
    case $1 in
        --pairs) PAIRS=$2 ;;
        --out) OUT=$(realpath -m "$2") ;;
    esac
}

clean_up() {
    local status=$?
    trap '' INT TERM HUP
    if [[ -n $CHILD ]]; then signal TERM "$CHILD"; wait "$CHILD" 2>/dev/null || true; fi
    stop_measured "$TEMP"
    rm -rf "$TEMP"
    exit "$status"
}

main() {
    parse_arguments "$@"
    require_redis
    require_tool python3 python3
    choose_cores
    find_or_build_binary
    build_example load
    export RINGKV_BIN=$BIN
    unset REDISCLI_AUTH
    TEMP=$(mktemp -d)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    attend python3 "$ROOT/scripts/growth.py" --ringkv "$BIN" --load "$EXAMPLE" --directory "$TEMP" \
        --server-core "$SERVER_CORE" --client-core "$CLIENT_CORE" --command "$COMMAND" \
        ${QUICK:+--quick} ${PAIRS:+--pairs "$PAIRS"} --out "$OUT"
}

main "$@"
