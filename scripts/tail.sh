#!/usr/bin/env bash
# Measures who waits how long, beside redis-server in the same kind of run: a light client while millions of keys are loaded,
# fifty ordinary clients beside neighbours that are a burden (10 MB values, pipelines of 10,000 requests, one who never
# reads), and writes of a cluster of three of which one replica is stopped or far away. Of the slowest requests during the load
# it tells what was the server's own time, and what neighbours, the kernel and the hypervisor took. The servers share one
# core, the clients another. The tables are printed and written as Markdown.
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

# What the link to the far replica takes longer, in each direction.
DELAY_MS=50
# Small enough that a run reaches it.
HINT_BYTES_MAX=33554432

QUICK='' GATE='' KEYS='' RUN_SECONDS='' ROUNDS='' PART='' OUT=''
COMMAND="scripts/tail.sh${*:+ $*}"
LINK_PID=''

parse_arguments() {
    read_options --quick:QUICK --gate:GATE --keys=KEYS --seconds=RUN_SECONDS --rounds=ROUNDS --part=PART --out=OUT -- "$@"
    KEYS=${KEYS:-$((${QUICK:-0} ? 1000000 : 10000000))}
    RUN_SECONDS=${RUN_SECONDS:-$((${QUICK:-0} ? 3 : 5))}
    ROUNDS=${ROUNDS:-$((${QUICK:-0} ? 1 : 3))}
    number --keys "$KEYS" 1000 100000000
    number --seconds "$RUN_SECONDS" 1 600
    number --rounds "$ROUNDS" 1 100
    case $PART in
        '') OUT=${OUT:-$ROOT/bench/tail.md} ;;
        loading | neighbours | replica) ;;
        *) refuse "--part is loading, neighbours or replica, not '$PART'" ;;
    esac
    if [[ -n $OUT ]]; then OUT=$(results_file "$OUT"); fi
}

# config BASE_PORT COUNT: nodes from this port on.
config() {
    printf '[cluster]\n[server]\nworker_threads = 1\nhint_bytes_max = %d\n' "$HINT_BYTES_MAX"
    node_tables "$1" "$2"
}

# launch NAME: the nodes of $TEMP/NAME.toml, with their state in $TEMP/NAME. They inherit the core from start_cluster.sh.
launch() {
    attend taskset -c "$SERVER_CORE" "$ROOT/scripts/start_cluster.sh" --config "$TEMP/$1.toml" --dir "$TEMP/$1"
}

# start NAME COUNT BASE_PORT
start() {
    config "$3" "$2" >"$TEMP/$1.toml"
    launch "$1"
}

# start_behind NAME DELAY_MS BASE_PORT: three nodes, the last of which the others reach by a link of its own, at the fourth port.
start_behind() {
    config "$3" 3 >"$TEMP/$1.toml"
    printf 'announce = "127.0.0.1:%d"\n' $(($3 + 3)) >>"$TEMP/$1.toml"
    start_link $(($3 + 3)) $(($3 + 2)) "$2"
    if launch "$1"; then return; fi
    stop_link
    return 1
}

# start_link PORT TO_PORT DELAY_MS: carries what goes to that port, so much later.
start_link() {
    taskset -c "$CLIENT_CORE" "$EXAMPLE" slow-link --listen "$1" --port "$2" --delay-ms "$3" \
        </dev/null &>"$TEMP/link-$1.log" &
    LINK_PID=$!
}

stop_link() {
    signal KILL "$LINK_PID"
    wait "$LINK_PID" 2>/dev/null || true
}

# servers NAME: the port of a cluster's first node, then the process ids of all its nodes.
servers() {
    head -n 1 "$TEMP/$1/nodes" | cut -f 4
    cut -f 2 "$TEMP/$1/nodes"
}

measure() {
    local arguments=() one three near far
    if [[ $PART != replica ]]; then
        start_redis "$SERVER_CORE"
        start_on_free_ports 1 start one 1
        mapfile -t one < <(servers one)
        arguments+=(--redis "$REDIS_PORT" "$REDIS_PID" --one "${one[@]}")
    fi
    if [[ -z $PART || $PART == replica ]]; then
        start_on_free_ports 3 start three 3
        start_on_free_ports 4 start_behind near 0
        start_on_free_ports 4 start_behind far "$DELAY_MS"
        mapfile -t three < <(servers three)
        mapfile -t near < <(servers near)
        mapfile -t far < <(servers far)
        arguments+=(--three "${three[@]}" --near "${near[@]}" --far "${far[@]}")
    fi
    attend python3 "$ROOT/scripts/tail.py" --load "$EXAMPLE" --server-core "$SERVER_CORE" --client-core "$CLIENT_CORE" \
        --keys "$KEYS" --seconds "$RUN_SECONDS" --rounds "$ROUNDS" --delay-ms "$DELAY_MS" --hint-bytes-max "$HINT_BYTES_MAX" \
        "${arguments[@]}" ${PART:+--part "$PART"} ${GATE:+--gate} ${OUT:+--out "$OUT"} --command "$COMMAND"
}

main() {
    parse_arguments "$@"
    prepare_to_measure
    build_example tail_load
    choose_cores
    measure
}

main "$@"
