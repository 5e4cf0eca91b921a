#!/usr/bin/env bash
# Measures ringkv beside redis-server in the same run: throughput, latency, and processor time per operation of all server
# processes together. All servers share one core, the load (examples/load.rs) has another. The runs alternate
# (redis-server, ringkv, ringkv, redis-server, ...), and what counts is the median of the pairs' ratios. The tables are
# printed and written as Markdown, with a picture of the ratios (SVG) beside it.
#
# Usage: scripts/bench.sh [--quick] [--gate] [--rows PATTERN] [--list] [--pairs COUNT] [--threads COUNT] [--out FILE]
#
#   --quick          three pairs of short runs instead of nine longer ones: about five minutes instead of seventeen
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

parse_arguments() {
    read_options --quick:QUICK --gate:GATE --list:LIST --rows=ROWS --pairs=PAIRS --threads=THREADS --out=OUT -- "$@"
    if [[ -n $PAIRS ]]; then number --pairs "$PAIRS" 1 100; fi
    number --threads "$THREADS" 1 64
    if [[ -z $OUT && -z $ROWS ]]; then OUT=$ROOT/bench/results.md; fi
    if [[ -n $OUT ]]; then OUT=$(results_file "$OUT"); fi
}

measure() {
    attend python3 "$ROOT/scripts/bench.py" --load "$EXAMPLE" --directory "$TEMP" --server-core "$SERVER_CORE" \
        --client-core "$CLIENT_CORE" --threads "$THREADS" --command "$COMMAND" ${ROWS:+--rows "$ROWS"} \
        ${QUICK:+--quick} ${GATE:+--gate} ${PAIRS:+--pairs "$PAIRS"} ${OUT:+--out "$OUT"}
}

main() {
    parse_arguments "$@"
    if [[ -n $LIST ]]; then
        require_tool python3 python3
        python3 "$ROOT/scripts/bench.py" --list ${ROWS:+--rows "$ROWS"}
        return
    fi
    prepare_to_measure
    build_example load
    choose_cores
    measure
}

main "$@"
