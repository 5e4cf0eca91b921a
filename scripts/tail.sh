#!/usr/bin/env bash
# Measures who waits how long, beside redis-server in the same kind of run: a light client while millions of keys are loaded,
# fifty ordinary clients beside neighbours that are a burden (10 MB values, pipelines of 10,000 requests, one who never
# reads), and writes of a cluster of three of which one replica is stopped or far away. The servers share one core, the
# clients another. The tables are printed and written as Markdown.
#
# Usage: scripts/tail.sh [--quick] [--keys COUNT] [--seconds COUNT] [--rounds COUNT] [--part NAME] [--gate] [--out FILE]
#
#   --quick          a million keys instead of ten, and one round of short runs
#   --keys COUNT     this many keys are loaded
#   --seconds COUNT  each run of the ordinary clients takes so long (default: 5)
#   --rounds COUNT   so many rounds; medians count (default: 3)
#   --part NAME      loading, neighbours or replica alone; then nothing is written unless there is --out
#   --gate           exit 1 when a goal is missed
#   --out FILE       where the Markdown goes (default: bench/tail.md)
#   --help           this text
#
# Environment: RINGKV_BIN names a binary to measure; without it the release build is measured.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

READY_SECONDS_MAX=20
START_TRIES=5
# What the link to the far replica takes longer, in each direction.
DELAY_MS=50
# Small enough that a run reaches it.
HINT_BYTES_MAX=33554432

QUICK='' GATE='' KEYS='' RUN_SECONDS='' ROUNDS='' PART='' OUT=''
COMMAND="scripts/tail.sh${*:+ $*}"
TEMP='' REDIS_PID='' REDIS_PORT='' LINK_PID='' CHILD='' LOAD=''
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
            --keys | --seconds | --rounds | --part | --out)
                require_value "$1" "${2:-}"
                set_option "$1" "$2"
                shift
                ;;
            *) die "unknown argument '$1'; see --help" ;;
        esac
        shift
    done
    KEYS=${KEYS:-$((${QUICK:-0} ? 1000000 : 10000000))}
    RUN_SECONDS=${RUN_SECONDS:-$((${QUICK:-0} ? 3 : 5))}
    ROUNDS=${ROUNDS:-$((${QUICK:-0} ? 1 : 3))}
    number --keys "$KEYS" 1000 100000000
    number --seconds "$RUN_SECONDS" 1 600
    number --rounds "$ROUNDS" 1 100
    case $PART in
        '') OUT=${OUT:-$ROOT/bench/tail.md} ;;
        loading | neighbours | replica) ;;
        *) die "--part is loading, neighbours or replica, not '$PART'" ;;
    esac
}

set_option() {
    case $1 in
        --keys) KEYS=$2 ;;
        --seconds) RUN_SECONDS=$2 ;;
        --rounds) ROUNDS=$2 ;;
        --part) PART=$2 ;;
        --out) OUT=$(realpath -m "$2") ;;
    esac
}

# The first two cores that this process may use.
choose_cores() {
    local cores
    mapfile -t cores < <(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)), sep="\n")')
    ((${#cores[@]} >= 2)) || die "needs two cores, one for the servers and one for the clients; there is only one"
    SERVER_CORE=${cores[0]} CLIENT_CORE=${cores[1]}
}

build_load() {
    require_cargo
    (cd "$ROOT" && cargo build --release --locked --example tail_load </dev/null) || die "the build failed, see above"
    LOAD=$(dirname "$(release_binary)")/examples/tail_load
    [[ -x $LOAD ]] || die "the build left no program at $LOAD"
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

# config BASE_PORT COUNT [LINK_PORT]: nodes from this port on; with a link, it is where the others reach the last one.
config() {
    local i
    printf '[cluster]\n[server]\nworker_threads = 1\nhint_bytes_max = %d\n' "$HINT_BYTES_MAX"
    for ((i = 0; i < $2; i++)); do
        printf '[[nodes]]\nid = "node-%d"\naddr = "127.0.0.1:%d"\n' $((i + 1)) $(($1 + i))
        if [[ -n ${3:-} ]] && ((i == $2 - 1)); then printf 'announce = "127.0.0.1:%d"\n' "$3"; fi
    done
}

# start NAME COUNT [far]: a cluster with its state in $TEMP/NAME; the last node may be far away. The nodes inherit the core
# from start_cluster.sh. Somebody else may take a port between the look and the start.
start() {
    local try base link=''
    mkdir -p "$TEMP/$1"
    for ((try = 0; try < START_TRIES; try++)); do
        base=$(free_base_port $(($2 + 1)))
        if [[ -n ${3:-} ]]; then
            link=$((base + $2))
            start_link "$link" $((link - 1))
        fi
        config "$base" "$2" "$link" >"$TEMP/$1.toml"
        if attend taskset -c "$SERVER_CORE" "$ROOT/scripts/start_cluster.sh" --config "$TEMP/$1.toml" --dir "$TEMP/$1" \
            &>"$TEMP/start.log"; then
            return
        fi
        stop_link
        grep -q 'in use' "$TEMP/start.log" || break
    done
    cat "$TEMP/start.log"
    die "start_cluster.sh failed, see above"
}

# start_link PORT TO_PORT: carries what goes to that port, later.
start_link() {
    taskset -c "$CLIENT_CORE" "$LOAD" slow-link --listen "$1" --port "$2" --delay-ms "$DELAY_MS" </dev/null &>"$TEMP/link.log" &
    LINK_PID=$!
}

stop_link() {
    if [[ -n $LINK_PID ]]; then signal KILL "$LINK_PID"; wait "$LINK_PID" 2>/dev/null || true; fi
    LINK_PID=''
}

# servers NAME: the port of a cluster's first node, then the process ids of all its nodes.
servers() {
    head -n 1 "$TEMP/$1/nodes" | cut -f 4
    cut -f 2 "$TEMP/$1/nodes"
}

measure() {
    local arguments=() one three far
    if [[ $PART != replica ]]; then
        start_redis
        start one 1
        mapfile -t one < <(servers one)
        arguments+=(--redis "$REDIS_PORT" "$REDIS_PID" --one "${one[@]}")
    fi
    if [[ -z $PART || $PART == replica ]]; then
        start three 3
        start far 3 far
        mapfile -t three < <(servers three)
        mapfile -t far < <(servers far)
        arguments+=(--three "${three[@]}" --far "${far[@]}")
    fi
    attend python3 "$ROOT/scripts/tail.py" --load "$LOAD" --server-core "$SERVER_CORE" --client-core "$CLIENT_CORE" \
        --keys "$KEYS" --seconds "$RUN_SECONDS" --rounds "$ROUNDS" --delay-ms "$DELAY_MS" --hint-bytes-max "$HINT_BYTES_MAX" \
        "${arguments[@]}" ${PART:+--part "$PART"} ${GATE:+--gate} ${OUT:+--out "$OUT"} --command "$COMMAND"
}

clean_up() {
    local status=$? state
    trap '' INT TERM HUP
    if [[ -n $CHILD ]]; then signal TERM "$CHILD"; wait "$CHILD" 2>/dev/null || true; fi
    for state in "$TEMP"/*/nodes; do
        if [[ -f $state ]]; then "$ROOT/scripts/stop_cluster.sh" --dir "$(dirname "$state")" >/dev/null || true; fi
    done
    stop_link
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
    build_load
    unset REDISCLI_AUTH
    TEMP=$(mktemp -d)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    measure
}

main "$@"
