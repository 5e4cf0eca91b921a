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

# What switches the work off.
OFF_CLUSTER='read_repair_chance = 0'
OFF_SERVER=$'anti_entropy_interval_ms = 0\nhint_bytes_max = 0'

QUICK='' KEYS='' PAIRS='' OUT=$ROOT/bench/cost.md
COMMAND="scripts/cost.sh${*:+ $*}"

parse_arguments() {
    read_options --quick:QUICK --keys=KEYS --pairs=PAIRS --out=OUT -- "$@"
    KEYS=${KEYS:-$((${QUICK:-0} ? 100000 : 1000000))}
    PAIRS=${PAIRS:-$((${QUICK:-0} ? 2 : 5))}
    number --keys "$KEYS" 1000 100000000
    number --pairs "$PAIRS" 1 100
    OUT=$(results_file "$OUT")
}

# start NAME CLUSTER_LINES SERVER_LINES BASE_PORT: a cluster with its state in $TEMP/NAME.
start() {
    printf '[cluster]\n%s\n[server]\nworker_threads = 1\n%s\n%s\n' "$2" "$3" "$(node_tables "$4" 3)" >"$TEMP/$1.toml"
    attend "$ROOT/scripts/start_cluster.sh" --config "$TEMP/$1.toml" --dir "$TEMP/$1"
}

main() {
    parse_arguments "$@"
    prepare_to_measure
    start_on_free_ports 3 start on '' ''
    start_on_free_ports 3 start off "$OFF_CLUSTER" "$OFF_SERVER"
    attend python3 "$ROOT/scripts/cost.py" --on "$TEMP/on" --off "$TEMP/off" --keys "$KEYS" --pairs "$PAIRS" \
        ${QUICK:+--quick} --restart "$ROOT/scripts/start_cluster.sh" --out "$OUT" --command "$COMMAND"
}

main "$@"
