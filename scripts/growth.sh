#!/usr/bin/env bash
# Shows how cost grows with the number of nodes and with the number of keys: processor time per operation and memory per
# key of 3, 5 and 9 nodes on this machine, and of one node with 10^4 to 10^7 keys, beside one redis-server in the same run;
# and what rings of up to a thousand nodes come to (ringkv ring --simulate). All servers share one core, the load
# (examples/load.rs) has another. The tables are printed and written as Markdown.
#
# Usage: scripts/growth.sh [--quick] [--pairs COUNT] [--out FILE]
#
#   --quick        fewer and shorter runs, and no 10^7 keys: about two minutes instead of ten
#   --pairs COUNT  this many pairs of runs per figure
#   --out FILE     where the Markdown goes (default: bench/growth.md)
#   --help         this text
#
# Environment: RINGKV_BIN names a binary to measure; without it the release build is measured.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

QUICK='' PAIRS='' OUT=$ROOT/bench/growth.md
COMMAND="scripts/growth.sh${*:+ $*}"

parse_arguments() {
    read_options --quick:QUICK --pairs=PAIRS --out=OUT -- "$@"
    if [[ -n $PAIRS ]]; then number --pairs "$PAIRS" 1 100; fi
    OUT=$(results_file "$OUT")
}

main() {
    parse_arguments "$@"
    prepare_to_measure
    build_example load
    choose_cores
    attend python3 "$ROOT/scripts/growth.py" --ringkv "$BIN" --load "$EXAMPLE" --directory "$TEMP" \
        --server-core "$SERVER_CORE" --client-core "$CLIENT_CORE" --command "$COMMAND" \
        ${QUICK:+--quick} ${PAIRS:+--pairs "$PAIRS"} --out "$OUT"
}

main "$@"
