#!/usr/bin/env bash
# Runs the simulation with many seeds on all cores, in an optimised build: scripts/sim.sh [seeds] [first seed]
#
# Shows how far it has come, prints the first seed that fails with everything that happened in it, and exits with 1.
# Replay one seed with
#   RINGKV_SIM_SEED=n cargo test --test simulation promises
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ ${1:-} == -* ]]; then read_options -- "$@"; fi

seeds=${1:-5000}
first=${2:-0}
for number in "$seeds" "$first"; do
    [[ $number =~ ^[0-9]+$ ]] || refuse "'$number' is not a number of seeds"
done

cd "$ROOT"
# Optimised like a release, but with its assertions, and linked quickly.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true
cargo test --quiet --release --test simulation --no-run

say "sim.sh: seeds $first to $((first + seeds - 1))"
export RINGKV_SIM_FIRST=$first RINGKV_SIM_SEEDS=$seeds RUST_BACKTRACE=0
if ! cargo test --quiet --release --test simulation promises; then
    exit 1
fi
say "sim.sh: all $seeds seeds hold"
