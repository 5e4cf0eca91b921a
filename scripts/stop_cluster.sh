#!/usr/bin/env bash
# Stops the cluster that scripts/start_cluster.sh started: SIGTERM to each of its nodes, and a wait of up to 10 s. A node
# that does not end by then is named and killed, and the exit is non-zero. Other processes are never touched. Where
# nothing runs it says so and exits 0.
#
# Usage: scripts/stop_cluster.sh [--dir DIR]
#
#   --dir DIR   the state directory given to start_cluster.sh (default: .cluster)
#   --help      this text
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

DIR=$ROOT/.cluster

# Names the recorded nodes that are not among the running ones.
name_the_dead() {
    local id pid rest
    while IFS=$TAB read -r id pid rest; do
        [[ $1 == *"$id$TAB$pid$TAB"* ]] || say "$id had ended before"
    done < <(recorded_nodes "$DIR")
}

# Those that outlived SIGTERM, after another look whether they are still ours.
kill_the_rest() {
    local id pid rest
    while IFS=$TAB read -r id pid rest; do
        warn "$id (process $pid) did not stop within $STOP_SECONDS_MAX s and is killed"
        signal KILL "$pid"
        wait_until_gone "$STOP_SECONDS_MAX" "$pid" || warn "process $pid is still there after SIGKILL"
    done < <(running_nodes "$DIR")
}

# stop LINES: false when a node had to be killed.
stop() {
    local pids
    mapfile -t pids < <(cut -f 2 <<<"$1")
    signal TERM "${pids[@]}"
    wait_until_gone "$STOP_SECONDS_MAX" "${pids[@]}" && return
    kill_the_rest
    return 1
}

main() {
    local running status=0
    read_options --dir=DIR -- "$@"
    if [[ ! -f $DIR/nodes ]]; then
        say "no cluster is running in $DIR"
        exit 0
    fi
    DIR=$(realpath "$DIR")
    lock_state "$DIR"
    running=$(running_nodes "$DIR")
    name_the_dead "$running"
    if [[ -z $running ]]; then
        say "no cluster is running in $DIR"
    else
        stop "$running" || status=1
        say "stopped $(wc -l <<<"$running") nodes: $(cut -f 1 <<<"$running" | paste -s -d ' ')"
    fi
    rm -f "$DIR/nodes"
    exit "$status"
}

main "$@"
