#!/usr/bin/env bash
# Measures ringkv beside redis-server in the same run: throughput, latency, and processor time per operation of all server
# processes together. All servers share one core, redis-benchmark has another. The runs alternate (redis-server, ringkv,
# redis-server, ...), and what counts is the median of the pairs' ratios. The table is printed and written as Markdown.
#
# Usage: scripts/bench.sh [--quick] [--gate] [--pairs COUNT] [--threads COUNT] [--out FILE]
#
#   --quick          three pairs of short runs instead of five long ones
#   --gate           exit 1 when a median misses its floor
#   --pairs COUNT    this many pairs per row
#   --threads COUNT  worker threads of each ringkv node (default: 1, as they share a core)
#   --out FILE       where the Markdown goes (default: bench/results.md)
#   --help           this text
#
# Environment: RINGKV_BIN names a binary to measure; without it the release build is measured.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

READY_SECONDS_MAX=20

QUICK='' GATE='' PAIRS='' THREADS=1 OUT=$ROOT/bench/results.md
COMMAND="scripts/bench.sh${*:+ $*}"
TEMP='' REDIS_PID='' REDIS_PORT='' CHILD=''
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
            --pairs | --threads | --out)
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
}

set_option() {
    case $1 in
        --pairs) PAIRS=$2 ;;
        --threads) THREADS=$2 ;;
        --out) OUT=$(realpath -m "$2") ;;
    esac
}

# The first two cores that this process may use.
choose_cores() {
    local cores
    mapfile -t cores < <(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)), sep="\n")')
    ((${#cores[@]} >= 2)) || die "needs two cores, one for the servers and one for redis-benchmark; there is only one"
    SERVER_CORE=${cores[0]} CLIENT_CORE=${cores[1]}
}

start_redis() {
    local deadline=$((SECONDS + READY_SECONDS_MAX))
    REDIS_PORT=$(free_base_port 1)
    taskset -c "$SERVER_CORE" redis-server --port "$REDIS_PORT" --bind 127.0.0.1 --save '' --appendonly no --dir "$TEMP" \
        </dev/null &>"$TEMP/redis.log" &
    REDIS_PID=$!
    until [[ $(timeout 5 redis-cli -p "$REDIS_PORT" PING 2>/dev/null) == PONG ]]; do
        if ! process_runs "$REDIS_PID" || ((SECONDS >= deadline)); then
            cat "$TEMP/redis.log"
            die "redis-server did not start, see above"
        fi
        sleep 0.05
    done
}

# start_ringkv COUNT: the nodes inherit the core from start_cluster.sh.
start_ringkv() {
    attend taskset -c "$SERVER_CORE" "$ROOT/scripts/start_cluster.sh" --nodes "$1" --base-port "$(free_base_port "$1")" \
        --threads "$THREADS" --dir "$TEMP/$1" &>"$TEMP/start.log" && return
    cat "$TEMP/start.log"
    die "start_cluster.sh --nodes $1 failed, see above"
}

# servers COUNT: the port of a cluster's first node, then the process ids of all its nodes.
servers() {
    head -n 1 "$TEMP/$1/nodes" | cut -f 4
    cut -f 2 "$TEMP/$1/nodes"
}

measure() {
    local one three
    mapfile -t one < <(servers 1)
    mapfile -t three < <(servers 3)
    attend python3 "$ROOT/scripts/bench.py" --client-core "$CLIENT_CORE" --threads "$THREADS" \
        --redis "$REDIS_PORT" "$REDIS_PID" --one "${one[@]}" --three "${three[@]}" \
        ${QUICK:+--quick} ${GATE:+--gate} ${PAIRS:+--pairs "$PAIRS"} --out "$OUT" --command "$COMMAND"
}

clean_up() {
    local status=$? state
    trap '' INT TERM HUP
    if [[ -n $CHILD ]]; then signal TERM "$CHILD"; wait "$CHILD" 2>/dev/null || true; fi
    for state in "$TEMP"/*/nodes; do
        if [[ -f $state ]]; then "$ROOT/scripts/stop_cluster.sh" --dir "$(dirname "$state")" >/dev/null || true; fi
    done
    if [[ -n $REDIS_PID ]]; then signal KILL "$REDIS_PID"; wait "$REDIS_PID" 2>/dev/null || true; fi
    rm -rf "$TEMP"
    exit "$status"
}

main() {
    parse_arguments "$@"
    require_redis
    require_tool python3 python3
    choose_cores
    find_or_build_binary
    export RINGKV_BIN=$BIN
    unset REDISCLI_AUTH
    TEMP=$(mktemp -d)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    start_redis
    start_ringkv 1
    start_ringkv 3
    measure
}

main "$@"
