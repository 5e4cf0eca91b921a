#!/usr/bin/env bash
# Builds ringkv in release mode and starts every node of a cluster on this machine. Comes back once each node answers,
# sees its peers and has caught up; the nodes go on running. Anything that goes wrong before: a message, a non-zero exit,
# and no node left behind. scripts/stop_cluster.sh ends them.
#
# Usage: scripts/start_cluster.sh [--config FILE | --nodes COUNT [--base-port PORT]] [--dir DIR] [--threads COUNT]
#        scripts/start_cluster.sh --restart ID [--dir DIR] [--threads COUNT]
#
#   --config FILE     the cluster to start (default: cluster.toml at the top of the repository)
#   --nodes COUNT     make a configuration instead: node-1 to node-COUNT on 127.0.0.1, three copies of each key (or as
#                     many as there are nodes), writes acknowledged by a majority of them
#   --base-port PORT  port of node-1 with --nodes, the next ones follow (default: 7001)
#   --dir DIR         where process ids and logs go, one directory per running cluster (default: .cluster)
#   --threads COUNT   worker threads of each node (default: what the configuration says, else one per processor)
#   --restart ID      start one node again that died in the running cluster of --dir
#   --help            this text
#
# Environment: RINGKV_BIN names a binary to run; nothing is built then. RUST_LOG and RINGKV_REQUIREPASS reach the nodes.
# RINGKV_PASSWORD is what this script says to them, if it is neither that nor a plain `requirepass` of the configuration.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Longest wait for a node to answer, see its peers and catch up.
READY_SECONDS_MAX=60
LOG_TAIL_LINES=15

CONFIG='' NODES='' BASE_PORT='' THREADS='' RESTART=''
DIR=$ROOT/.cluster
# Parallel lists: the nodes of the configuration, and 0 or the process id of each that runs.
IDS=() HOSTS=() PORTS=() PIDS=()
# What a failure has to take back: the positions of the nodes that this run launched.
LAUNCHED=()

parse_arguments() {
    read_options --config=CONFIG --nodes=NODES --base-port=BASE_PORT --dir=DIR --threads=THREADS --restart=RESTART -- "$@"
    check_arguments
}

check_arguments() {
    [[ -z $CONFIG || -z $NODES$BASE_PORT ]] || refuse "--config already says which nodes there are: leave out --nodes and --base-port"
    [[ -z $RESTART || -z $CONFIG$NODES$BASE_PORT ]] || refuse "--restart takes the configuration of the running cluster: leave out the others"
    if [[ -n $BASE_PORT && -z $NODES ]]; then NODES=3; fi
    if [[ -n $NODES ]]; then
        number --nodes "$NODES" 1 64
        BASE_PORT=${BASE_PORT:-7001}
        number --base-port "$BASE_PORT" 1 $((65536 - NODES))
    fi
    if [[ -n $THREADS ]]; then number --threads "$THREADS" 1 1024; fi
}

# ---- the state directory and the configuration ----

open_state() {
    mkdir -p "$DIR" || die "cannot make the directory $DIR"
    DIR=$(realpath "$DIR")
    lock_state "$DIR"
}

refuse_if_running() {
    local running
    running=$(running_nodes "$DIR")
    [[ -z $running ]] || die "a cluster is running already, with its state in $DIR:"$'\n'"$(describe <<<"$running")"$'\n'"Stop it first: $(stop_command)"
}

# Lines of the `nodes` file as people read them.
describe() {
    local id pid host port
    while IFS=$TAB read -r id pid host port; do
        printf '  %-10s %-21s pid %s\n' "$id" "$host:$port" "$pid"
    done
}

stop_command() {
    if [[ $DIR == "$ROOT/.cluster" ]]; then say "scripts/stop_cluster.sh"; else say "scripts/stop_cluster.sh --dir $DIR"; fi
}

choose_config() {
    if [[ -n $RESTART ]]; then
        [[ -f $DIR/nodes && -f $DIR/config ]] || die "no cluster was started in $DIR, so there is no node to restart"
        CONFIG=$(<"$DIR/config")
    elif [[ -n $NODES ]]; then
        CONFIG=$DIR/generated.toml
        generate_config >"$CONFIG"
    else
        CONFIG=${CONFIG:-$ROOT/cluster.toml}
    fi
    [[ -f $CONFIG ]] || die "there is no file $CONFIG"
    CONFIG=$(realpath "$CONFIG")
}

generate_config() {
    local copies=$((NODES < 3 ? NODES : 3))
    cat <<TOML
# Written by scripts/start_cluster.sh --nodes $NODES --base-port $BASE_PORT.
[cluster]
name = "local-$NODES"
replication_factor = $copies
write_quorum = $((copies / 2 + 1))
read_quorum = 1
TOML
    node_tables "$BASE_PORT" "$NODES"
}

check_config() {
    local complaint
    complaint=$("$BIN" check --config "$CONFIG" </dev/null 2>&1 9>&-) || die "ringkv refuses $CONFIG:"$'\n'"$complaint"
}

# Prints id and address of every [[nodes]] table, separated by a tab. The file has passed `ringkv check`.
nodes_of_config() {
    awk -v tab="$TAB" -v quotes="[\"']" '
        function text(line, quote) {
            match(line, quotes)
            quote = substr(line, RSTART, 1)
            line = substr(line, RSTART + 1)
            return substr(line, 1, index(line, quote) - 1)
        }
        function flush() { if (id != "" && addr != "") print id tab addr; id = addr = "" }
        /^[ \t]*\[/ { flush(); inside = /^[ \t]*\[\[[ \t]*nodes[ \t]*\]\]/ }
        inside && /^[ \t]*id[ \t]*=/ { id = text(substr($0, index($0, "=") + 1)) }
        inside && /^[ \t]*addr[ \t]*=/ { addr = text(substr($0, index($0, "=") + 1)) }
        END { flush() }
    ' "$CONFIG"
}

# Prints `requirepass` of the [server] table, if there is one, as long as it has no escapes.
password_of_config() {
    awk -v quotes="[\"']" '
        /^[ \t]*\[/ { inside = /^[ \t]*\[[ \t]*server[ \t]*\]/ }
        inside && /^[ \t]*requirepass[ \t]*=/ {
            line = substr($0, index($0, "=") + 1)
            match(line, quotes)
            quote = substr(line, RSTART, 1)
            line = substr(line, RSTART + 1)
            print substr(line, 1, index(line, quote) - 1)
        }
    ' "$CONFIG"
}

# The address to reach a node at that listens on this one.
reachable_host() {
    case $1 in
        0.0.0.0 | '') printf '127.0.0.1' ;;
        '[::]') printf '::1' ;;
        '['*']') printf '%s' "${1:1:-1}" ;;
        *) printf '%s' "$1" ;;
    esac
}

read_nodes() {
    local id addr
    # What this script says to the nodes; the nodes themselves read RINGKV_REQUIREPASS.
    export RINGKV_PASSWORD=${RINGKV_PASSWORD:-${RINGKV_REQUIREPASS:-$(password_of_config)}}
    while IFS=$TAB read -r id addr; do
        IDS+=("$id")
        HOSTS+=("$(reachable_host "${addr%:*}")")
        PORTS+=("${addr##*:}")
        PIDS+=(0)
    done < <(nodes_of_config)
    ((${#IDS[@]})) || die "$CONFIG has no [[nodes]] table with id and addr"
}

# ---- launching ----

require_free_ports() {
    local i
    for i in "$@"; do
        if port_open "${HOSTS[i]}" "${PORTS[i]}"; then
            die "port ${PORTS[i]} of ${IDS[i]} (${HOSTS[i]}) is in use; nothing was started"
        fi
    done
}

log_of() {
    printf '%s/%s.log' "$DIR" "${1//\//_}"
}

# launch POSITION: in a session of its own, so that neither the end of this script nor a closed terminal ends the node.
launch() {
    local log
    log=$(log_of "${IDS[$1]}")
    LAUNCHED+=("$1")
    setsid "$BIN" --config "$CONFIG" --node "${IDS[$1]}" ${THREADS:+--threads "$THREADS"} </dev/null >>"$log" 2>&1 9>&- &
    PIDS[$1]=$!
    record
}

# At every launch anew, so that stop_cluster.sh finds each node even if this script is killed. 0: not running.
record() {
    local i
    printf '%s\n' "$CONFIG" >"$DIR/config"
    for i in "${!IDS[@]}"; do
        printf '%s\t%s\t%s\t%s\n' "${IDS[i]}" "${PIDS[i]}" "${HOSTS[i]}" "${PORTS[i]}"
    done >"$DIR/nodes"
}

# On every exit before the cluster is ready, also by a signal: ends what this run launched, and waits for it.
take_back() {
    local status=$? i pids=()
    trap '' INT TERM HUP
    for i in "${LAUNCHED[@]}"; do pids+=("${PIDS[i]}"); PIDS[i]=0; done
    ((${#pids[@]})) || exit "$status"
    signal TERM "${pids[@]}"
    wait_until_gone "$STOP_SECONDS_MAX" "${pids[@]}" || signal KILL "${pids[@]}"
    wait_until_gone "$STOP_SECONDS_MAX" "${pids[@]}" || warn "still there after SIGKILL: ${pids[*]}"
    if [[ -n $RESTART ]]; then record; else rm -f "$DIR/nodes"; fi
    warn "not started; every node that this run launched was stopped again"
    exit "$status"
}

# ---- waiting ----

log_tail() {
    local log
    log=$(log_of "$1")
    printf 'the end of its log (%s):\n' "$log"
    tail -n "$LOG_TAIL_LINES" "$log" | sed 's/^/  | /'
}

require_alive() {
    local i
    for i in "${LAUNCHED[@]}"; do
        process_runs "${PIDS[i]}" || die "${IDS[i]} ended while starting; $(log_tail "${IDS[i]}")"
    done
}

# Peers that a node should see: all others, or after --restart all others that are alive.
peers_expected() {
    local pid running=0
    for pid in "${PIDS[@]}"; do
        if ((pid)); then running=$((running + 1)); fi
    done
    printf '%d' $((running - 1))
}

# shortcoming POSITION PEERS: prints what the node still lacks, nothing once it is ready.
shortcoming() {
    local info id known up syncing others=$((${#IDS[@]} - 1))
    info=$(info_ring "${HOSTS[$1]}" "${PORTS[$1]}") || info=''
    id=$(field node_id "$info") known=$(field peers_known "$info")
    # Peers that are up and count; one that is syncing is no help to a write yet.
    up=$(grep -c '^peer[0-9]*:.*,state=up,' <<<"$info") || up=0
    syncing=$(field slots_syncing "$info")
    if [[ -z $info ]]; then
        say "does not answer INFO at ${HOSTS[$1]}:${PORTS[$1]}"
    elif [[ $id != "${IDS[$1]}" ]]; then
        say "is not who answers at ${HOSTS[$1]}:${PORTS[$1]}: that is '$id'"
    elif [[ $known != "$others" ]]; then
        say "knows of '$known' peers, not $others"
    elif ((up < $2)); then
        say "sees '$up' of $2 peers"
    elif [[ $syncing != 0 ]]; then
        say "is still catching up on '$syncing' slots"
    elif [[ $info == *,state=syncing,* ]]; then
        say "has not heard yet that each peer has caught up"
    fi
}

wait_until_ready() {
    local deadline=$((SECONDS + READY_SECONDS_MAX)) peers i lack
    peers=$(peers_expected)
    for i in "${LAUNCHED[@]}"; do
        while lack=$(shortcoming "$i" "$peers") && [[ -n $lack ]]; do
            require_alive
            ((SECONDS < deadline)) || die "after $READY_SECONDS_MAX s ${IDS[i]} $lack; $(log_tail "${IDS[i]}")"
            sleep 0.1
        done
    done
    require_alive
}

# ---- the two ways to start ----

start_all() {
    local i
    refuse_if_running
    find_or_build_binary
    choose_config
    check_config
    read_nodes
    require_free_ports "${!IDS[@]}"
    trap take_back EXIT
    for i in "${!IDS[@]}"; do
        : >"$(log_of "${IDS[i]}")"
        launch "$i"
    done
    wait_until_ready
}

# Fills in the process ids of the nodes that still run; prints nothing.
recall_running() {
    local id pid rest i
    while IFS=$TAB read -r id pid rest; do
        for i in "${!IDS[@]}"; do
            if [[ ${IDS[i]} == "$id" ]]; then PIDS[i]=$pid; fi
        done
    done < <(running_nodes "$DIR")
}

position_of() {
    local i
    for i in "${!IDS[@]}"; do
        if [[ ${IDS[i]} == "$1" ]]; then
            printf '%d' "$i"
            return
        fi
    done
    die "$CONFIG has no node '$1', only: ${IDS[*]}"
}

restart_one() {
    local i
    choose_config
    find_or_build_binary
    check_config
    read_nodes
    recall_running
    i=$(position_of "$RESTART")
    ((!PIDS[i])) || die "$RESTART is running already, as process ${PIDS[i]}"
    require_free_ports "$i"
    trap take_back EXIT
    launch "$i"
    wait_until_ready
}

report() {
    local first=0 last=$((${#IDS[@]} - 1))
    say "The cluster is up, its logs are in $DIR:"
    running_nodes "$DIR" | describe
    say "Try:   $(cli_command $first) SET greeting hello && $(cli_command $last) GET greeting"
    say "Stop:  $(stop_command)"
}

cli_command() {
    if [[ ${HOSTS[$1]} == 127.0.0.1 ]]; then
        printf 'redis-cli%s -p %s' "${RINGKV_PASSWORD:+ --askpass}" "${PORTS[$1]}"
    else
        printf 'redis-cli%s -h %s -p %s' "${RINGKV_PASSWORD:+ --askpass}" "${HOSTS[$1]}" "${PORTS[$1]}"
    fi
}

main() {
    parse_arguments "$@"
    [[ -r /proc/self/stat ]] || die "this script needs Linux: it tells its nodes from other processes by /proc"
    # Until there are nodes to take back, a build is all that can be under way.
    trap end_children EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    open_state
    if [[ -n $RESTART ]]; then restart_one; else start_all; fi
    trap - EXIT
    report
}

main "$@"
