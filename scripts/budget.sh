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

ARGUMENTS=()
CHILD=''

parse_arguments() {
    while (($#)); do
        case $1 in
            --help | -h)
                usage "${BASH_SOURCE[0]}"
                exit 0
                ;;
            --update) ARGUMENTS+=("$1") ;;
            --profile | --rows | --keep)
                require_value "$1" "${2:-}"
                if [[ $1 == --rows ]]; then number --rows "$2" 1 100000; fi
                ARGUMENTS+=("$1" "$2")
                shift
                ;;
            *) die "unknown argument '$1'; see --help" ;;
        esac
        shift
    done
}

clean_up() {
    local status=$?
    trap '' INT TERM HUP
    if [[ -n $CHILD ]]; then signal TERM "$CHILD"; wait "$CHILD" 2>/dev/null || true; fi
    exit "$status"
}

main() {
    parse_arguments "$@"
    require_valgrind
    require_tool python3 python3
    find_or_build_binary
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    attend python3 "$ROOT/scripts/budget.py" --binary "$BIN" --budget "$ROOT/bench/budget.txt" ${ARGUMENTS[@]+"${ARGUMENTS[@]}"}
}

main "$@"
