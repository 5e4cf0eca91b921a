#!/usr/bin/env bash
# Breaks the rules of src/mutation.rs one at a time and shows which seed of the simulation notices, and by which check:
# scripts/mutations.sh [seeds]
#
# Tries up to so many seeds for each (3000 if not said). Exits with 1 if one goes unnoticed, or if a seed that noticed one
# fails although nothing is broken. RINGKV_MUTATION=Name tries that one alone; see what its seed did with
#   RINGKV_MUTATION=Name RINGKV_SIM_SEED=n cargo test --features mutations --test simulation promises
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ ${1:-} == -* ]]; then read_options -- "$@"; fi

seeds=${1:-3000}
[[ $seeds =~ ^[0-9]+$ ]] || refuse "'$seeds' is not a number of seeds"
# Far above what it takes; nothing may run for ever.
SECONDS_MAX=3600

cd "$ROOT"
cargo test --quiet --features mutations --test simulation --no-run
export RINGKV_SIM_SEEDS=$seeds RUST_BACKTRACE=0
timeout "$SECONDS_MAX" cargo test --quiet --features mutations --test simulation every_mutation
