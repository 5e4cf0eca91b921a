#!/usr/bin/env bash
# Kills, hangs and cuts nodes of real clusters under load for longer than the tests do (tests/faults.rs), one kind of fault
# after the other: scripts/soak.sh [seconds]
#
# Ten minutes by default. Prints the longest stall and p99 before, during and after the faults; exits with 1 when a write was
# lost, a deleted key came back, or a request failed where none may.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ ${1:-} == -* ]]; then read_options -- "$@"; fi
SECONDS_OF_FAULTS=${1:-600}
number seconds "$SECONDS_OF_FAULTS" 1 86400
require_to_build
cd "$ROOT"
# The faults, and as long again for the build and for reading back.
RINGKV_FAULT_SECONDS=$SECONDS_OF_FAULTS timeout $((2 * SECONDS_OF_FAULTS + 1800)) \
    cargo test --locked --test faults -- --nocapture --test-threads 1 </dev/null
