#!/usr/bin/env bash
# Counts what a node executes per operation, in instructions under callgrind, and compares it with bench/budget.txt: fails
# when a measure is more than 5 % above its budget, and says so when one is more than 5 % below. Takes a quarter of a minute,
# and other work on the machine does not change the figures. What exactly is counted stands at the top of scripts/budget.py.
#
# Usage: scripts/budget.sh [--update] [--profile MEASURE] [--rows COUNT] [--keep DIR]
#
#   --update           write what was measured into bench/budget.txt; the reasons there are yours to edit
#   --profile MEASURE  measure this one alone and print the functions that it is spent in; never fails
#   --rows COUNT       that many functions (default: 40)
#   --keep DIR         leave callgrind's files there, for callgrind_annotate or kcachegrind
#   --help             this text
#
# Measures: decode-set, decode-get, local-set, local-get, coordinator-set.
# Environment: RINGKV_BIN names a binary to measure; without it the release build is measured.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

UPDATE='' PROFILE='' ROWS=40 KEEP=''

parse_arguments() {
    read_options --update:UPDATE --profile=PROFILE --rows=ROWS --keep=KEEP -- "$@"
    number --rows "$ROWS" 1 100000
}

main() {
    parse_arguments "$@"
    tidy_up_at_exit
    require_valgrind
    require_tool python3 python3
    find_or_build_binary
    TEMP=$(mktemp -d)
    attend python3 "$ROOT/scripts/budget.py" --binary "$BIN" --budget "$ROOT/bench/budget.txt" --directory "$TEMP" --rows "$ROWS" \
        ${UPDATE:+--update} ${PROFILE:+--profile "$PROFILE"} ${KEEP:+--keep "$KEEP"}
}

main "$@"
