#!/usr/bin/env bash
# Measures ringkv beside redis-server in the same run: throughput, latency, and processor time per operation of all server
# processes together. All servers share one core, the load (examples/load.rs) has another. The runs alternate
# (redis-server, ringkv, ringkv, redis-server, ...), and what counts is the median of the pairs' ratios. The tables are
# printed and written as Markdown, with a picture of the ratios (SVG) beside it.
#
# Usage: scripts/bench.sh [--quick] [--gate] [--rows PATTERN] [--list] [--pairs COUNT] [--threads COUNT] [--out FILE]
#
#   --quick          three pairs of short runs instead of five long ones: about five minutes instead of fifteen
#   --gate           exit 1 when a median misses its floor
#   --rows PATTERN   only rows whose name matches this regular expression, in whatever case
#   --list           print the names of the rows (that match), and measure nothing
#   --pairs COUNT    this many pairs per row
#   --threads COUNT  worker threads of each ringkv node (default: 1, as they share a core)
#   --out FILE       where the Markdown goes (default: bench/results.md, but nowhere with --rows); the picture goes
#                    beside it
#   --help           this text
#
# Environment: RINGKV_BIN names a binary to measure; without it the release build is measured.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

QUICK='' GATE='' ROWS='' LIST='' PAIRS='' THREADS=1 OUT=''
COMMAND="scripts/bench.sh${*:+ $*}"
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
            --gate) GATE=1 ;;
            --list) LIST=1 ;;
            --rows | --pairs | --threads | --out)
                require_value "$1" "${2:-}"
                set_option "$1" "$2"
                shift
                ;;
            *) die "unknown argument '$1'; see --help" ;;
        esac
        shift
    done
    if [[ -n $PAIRS ]]; then number --pairs "$PAIRS" 1 100; fi
    number --threads "$THREADS" 1 64
    if [[ -z $OUT && -z $ROWS ]]; then OUT=$ROOT/bench/results.md; fi
}

set_option() {
    case $1 in
        --rows) ROWS=$2 ;;
        --pairs) PAIRS=$2 ;;
        --threads) THREADS=$2 ;;
        --out) OUT=$(realpath -m "$2") ;;
    esac
}

measure() {
    attend python3 "$ROOT/scripts/bench.py" --load "$EXAMPLE" --directory "$TEMP" --server-core "$SERVER_CORE" \
        --client-core "$CLIENT_CORE" --threads "$THREADS" --command "$COMMAND" ${ROWS:+--rows "$ROWS"} \
        ${QUICK:+--quick} ${GATE:+--gate} ${PAIRS:+--pairs "$PAIRS"} ${OUT:+--out "$OUT"}
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
    require_tool python3 python3
    if [[ -n $LIST ]]; then
        python3 "$ROOT/scripts/bench.py" --list ${ROWS:+--rows "$ROWS"}
        return
    fi
    require_redis
    choose_cores
    find_or_build_binary
    build_example load
    export RINGKV_BIN=$BIN
    unset REDISCLI_AUTH
    TEMP=$(mktemp -d)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    measure
}

main "$@"
