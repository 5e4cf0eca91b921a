#!/usr/bin/env bash
# Kills a node with kill -9 at full load, in ringkv and in Redis Cluster, and tells what clients notice: for how long a key
# could not be written, which requests failed, and which acknowledged writes are gone afterwards. The same program
# (examples/failover_load.rs) writes to both. The table is printed and written as Markdown.
#
# ringkv: three nodes, N=3 W=2. Redis Cluster: three primaries with a replica each, once with the default
# cluster-node-timeout of 15000 ms and once with 5000 ms. Each round has a fresh cluster; the killed node is started again
# and has caught up before the keys are read back.
#
# Usage: scripts/failover_bench.sh [--quick] [--rounds COUNT] [--out FILE]
#
#   --quick         one round of each instead of three
#   --rounds COUNT  this many rounds of each
#   --out FILE      where the Markdown goes (default: bench/failover.md)
#   --help          this text
#
# Environment: RINGKV_BIN names a binary to measure; without it the release build is measured.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

READY_SECONDS_MAX=40
# Longest time for the load of one round.
LOAD_SECONDS_MAX=150

ROUNDS='' QUICK='' OUT=$ROOT/bench/failover.md
COMMAND="scripts/failover_bench.sh${*:+ $*}"
# The Redis processes of the present round, by position.
REDIS_PIDS=() REDIS_PORTS=()

parse_arguments() {
    read_options --quick:QUICK --rounds=ROUNDS --out=OUT -- "$@"
    ROUNDS=${ROUNDS:-$((${QUICK:-0} ? 1 : 3))}
    number --rounds "$ROUNDS" 1 100
    OUT=$(results_file "$OUT")
}

# load NAME ROUND VICTIM PORT...: the load with its kill, its figures in $TEMP/NAME.ROUND.
load() {
    local name=$1 round=$2 victim=$3 ports
    shift 3
    ports=$(IFS=,; printf '%s' "$*")
    attend timeout "$LOAD_SECONDS_MAX" "$EXAMPLE" write --ports "$ports" ${CLUSTER_FLAG:+"$CLUSTER_FLAG"} --victim "$victim" \
        --acknowledged "$TEMP/acknowledged" >"$TEMP/$name.$round" || die "the load failed for $name"
}

# read_back NAME ROUND PORT...: how much of what was acknowledged is gone.
read_back() {
    local name=$1 round=$2 ports
    shift 2
    ports=$(IFS=,; printf '%s' "$*")
    attend timeout "$LOAD_SECONDS_MAX" "$EXAMPLE" check --ports "$ports" ${CLUSTER_FLAG:+"$CLUSTER_FLAG"} \
        --acknowledged "$TEMP/acknowledged" >>"$TEMP/$name.$round" || die "reading back failed for $name"
    say "$name, round $round: $(tr '\n' ' ' <"$TEMP/$name.$round")"
}

# ---- ringkv ----

# start_ringkv BASE_PORT
start_ringkv() {
    printf '[cluster]\nreplication_factor = 3\nwrite_quorum = 2\nread_quorum = 2\n[server]\nworker_threads = 1\n%s\n' \
        "$(node_tables "$1" 3)" >"$TEMP/cluster.toml"
    attend "$ROOT/scripts/start_cluster.sh" --config "$TEMP/cluster.toml" --dir "$TEMP/ringkv"
}

round_of_ringkv() {
    local ports pids
    start_on_free_ports 3 start_ringkv
    mapfile -t pids < <(cut -f 2 "$TEMP/ringkv/nodes")
    mapfile -t ports < <(cut -f 4 "$TEMP/ringkv/nodes")
    CLUSTER_FLAG='' load "$1" "$2" "${pids[0]}" "${ports[@]}"
    attend "$ROOT/scripts/start_cluster.sh" --restart node-1 --dir "$TEMP/ringkv" &>"$TEMP/start.log" \
        || die "node-1 did not come back: $(<"$TEMP/start.log")"
    CLUSTER_FLAG='' read_back "$1" "$2" "${ports[@]}"
    stop_servers_below "$TEMP"
}

# ---- Redis Cluster ----

# start_redis_node POSITION TIMEOUT_MS
start_redis_node() {
    local port=${REDIS_PORTS[$1]} dir=$TEMP/redis.${REDIS_PORTS[$1]}
    mkdir -p "$dir"
    # In a subshell, or this one would announce on the terminal that it was killed.
    (
        cd "$dir"
        redis-server --port "$port" --bind 127.0.0.1 --cluster-enabled yes --cluster-port $((port + 6)) \
            --cluster-node-timeout "$2" --save '' --appendonly no </dev/null &>>log &
        printf '%s' $! >pid
    )
    REDIS_PIDS[$1]=$(<"$dir/pid")
}

# until_redis WHAT COMMAND...: bounded waiting.
until_redis() {
    local what=$1 deadline=$((SECONDS + READY_SECONDS_MAX))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || die "after $READY_SECONDS_MAX s, still not: $what"
        sleep 0.1
    done
}

all_answer() {
    local i port
    for i in "${!REDIS_PORTS[@]}"; do
        port=${REDIS_PORTS[i]}
        process_runs "${REDIS_PIDS[i]}" || die "redis-server ended: $(<"$TEMP/redis.$port/log")"
        [[ $(cli "$port" PING) == PONG ]] || return 1
    done
}

all_agree() {
    local port
    for port in "${REDIS_PORTS[@]}"; do [[ $(cli "$port" CLUSTER INFO) == *cluster_state:ok* ]] || return 1; done
}

# are_replicated POSITION...: these are primaries with a replica in step, or replicas in step themselves.
are_replicated() {
    local i said
    for i in "$@"; do
        said=$(cli "${REDIS_PORTS[i]}" INFO replication)
        [[ $said == *state=online* || $said == *master_link_status:up* ]] || return 1
    done
}

start_redis_cluster() {
    local base i addresses=()
    base=$(free_base_port 12)
    REDIS_PORTS=() REDIS_PIDS=()
    for i in 0 1 2 3 4 5; do
        REDIS_PORTS+=($((base + i)))
        addresses+=("127.0.0.1:$((base + i))")
    done
    for i in 0 1 2 3 4 5; do start_redis_node "$i" "$1"; done
    until_redis "six redis-servers that answer" all_answer
    attend timeout 60 redis-cli --cluster create "${addresses[@]}" --cluster-replicas 1 --cluster-yes &>"$TEMP/create.log" \
        || die "redis-cli --cluster create failed: $(<"$TEMP/create.log")"
    until_redis "a Redis Cluster in agreement" all_agree
    until_redis "a replica in step with each primary" are_replicated 0 1 2 3 4 5
}

round_of_redis() {
    start_redis_cluster "$3"
    CLUSTER_FLAG=--redis-cluster load "$1" "$2" "${REDIS_PIDS[0]}" "${REDIS_PORTS[@]}"
    start_redis_node 0 "$3"
    until_redis "a Redis Cluster in agreement" all_agree
    until_redis "the killed node back in step" are_replicated 0
    CLUSTER_FLAG=--redis-cluster read_back "$1" "$2" "${REDIS_PORTS[@]}"
    stop_servers_below "$TEMP"
    rm -r "$TEMP"/redis.*/
}

# ---- the run ----

main() {
    local round
    parse_arguments "$@"
    prepare_to_measure
    build_example failover_load
    for ((round = 1; round <= ROUNDS; round++)); do
        round_of_ringkv ringkv "$round"
        round_of_redis redis-15000 "$round" 15000
        round_of_redis redis-5000 "$round" 5000
    done
    attend python3 "$ROOT/scripts/failover_bench.py" --figures "$TEMP" --out "$OUT" --command "$COMMAND"
}

main "$@"
