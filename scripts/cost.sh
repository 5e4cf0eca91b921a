#!/usr/bin/env bash
# Measures what the work in the background costs that keeps replicas equal: the processor time of an idle cluster of three
# nodes with a million keys, throughput and processor time of SET with that work and without, and how soon a node that was
# killed holds its million keys again while clients are served. The table is printed and written as Markdown.
#
# Usage: scripts/cost.sh [--quick] [--keys COUNT] [--pairs COUNT] [--out FILE]
#
#   --quick        100,000 keys, and shorter runs
#   --keys COUNT   this many keys (default: 1000000)
#   --pairs COUNT  pairs of runs, with and without the work (default: 5)
#   --out FILE     where the Markdown goes (default: bench/cost.md)
#   --help         this text
#
# Environment: RINGKV_BIN names a binary to measure; without it the release build is measured.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

START_TRIES=5
# What switches the work off.
OFF_CLUSTER='read_repair_chance = 0'
OFF_SERVER=$'anti_entropy_interval_ms = 0\nhint_bytes_max = 0'

QUICK='' KEYS='' PAIRS='' OUT=$ROOT/bench/cost.md
COMMAND="scripts/cost.sh${*:+ $*}"
TEMP='' CHILD=''

parse_arguments() {
    while (($#)); do
        case $1 in
            --help | -h)
                usage "${BASH_SOURCE[0]}"
                exit 0
                ;;
            --quick) QUICK=1 ;;
            --keys | --pairs | --out)
                require_value "$1" "${2:-}"
                set_option "$1" "$2"
                shift
                ;;
            *) die "unknown argument '$1'; see --help" ;;
        esac
        shift
    done
    KEYS=${KEYS:-$((${QUICK:-0} ? 100000 : 1000000))}
    PAIRS=${PAIRS:-$((${QUICK:-0} ? 2 : 5))}
    number --keys "$KEYS" 1000 100000000
    number --pairs "$PAIRS" 1 100
}

set_option() {
    case $1 in
        --keys) KEYS=$2 ;;
        --pairs) PAIRS=$2 ;;
        --out) OUT=$(realpath -m "$2") ;;
    esac
}

# config BASE_PORT CLUSTER_LINES SERVER_LINES
config() {
    local i
    printf '[cluster]\n%s\n[server]\nworker_threads = 1\n%s\n' "$2" "$3"
    for i in 0 1 2; do
        printf '[[nodes]]\nid = "node-%d"\naddr = "127.0.0.1:%d"\n' $((i + 1)) $(($1 + i))
    done
}

# start NAME CLUSTER_LINES SERVER_LINES: a cluster with its state in $TEMP/NAME. Somebody else may take a port between the
# look and the start.
start() {
    local try
    mkdir -p "$TEMP/$1"
    for ((try = 0; try < START_TRIES; try++)); do
        config "$(free_base_port 3)" "$2" "$3" >"$TEMP/$1.toml"
        if attend "$ROOT/scripts/start_cluster.sh" --config "$TEMP/$1.toml" --dir "$TEMP/$1" &>"$TEMP/start.log"; then
            return
        fi
        grep -q 'in use' "$TEMP/start.log" || break
    done
    cat "$TEMP/start.log"
    die "start_cluster.sh failed, see above"
}

clean_up() {
    local status=$? name
    trap '' INT TERM HUP
    if [[ -n $CHILD ]]; then signal TERM "$CHILD"; wait "$CHILD" 2>/dev/null || true; fi
    for name in on off; do
        if [[ -f $TEMP/$name/nodes ]]; then "$ROOT/scripts/stop_cluster.sh" --dir "$TEMP/$name" >/dev/null || true; fi
    done
    rm -rf "$TEMP"
    exit "$status"
}

main() {
    parse_arguments "$@"
    require_redis
    require_tool python3 python3
    find_or_build_binary
    export RINGKV_BIN=$BIN
    unset REDISCLI_AUTH
    TEMP=$(mktemp -d)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    start on '' ''
    start off "$OFF_CLUSTER" "$OFF_SERVER"
    attend python3 "$ROOT/scripts/cost.py" --on "$TEMP/on" --off "$TEMP/off" --keys "$KEYS" --pairs "$PAIRS" \
        ${QUICK:+--quick} --restart "$ROOT/scripts/start_cluster.sh" --out "$OUT" --command "$COMMAND"
}

main "$@"
