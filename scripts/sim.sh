#!/usr/bin/env bash
# Runs the simulation with many seeds on all cores, in an optimised build: scripts/sim.sh [seeds] [first seed]
#
# Shows how far it has come, prints the first seed that fails with everything that happened in it, and exits with 1.
# Replay one seed with
#   RINGKV_SIM_SEED=n cargo test --test simulation promises
set -euo pipefail

case "${1:-}" in
    -h | --help)
        sed -n '2,6s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
esac

seeds=${1:-5000}
first=${2:-0}
for number in "$seeds" "$first"; do
    if ! [[ $number =~ ^[0-9]+$ ]]; then
        echo "sim.sh: '$number' is not a number of seeds" >&2
        exit 2
    fi
done

cd "$(dirname "$0")/.."
# Optimised like a release, but with its assertions, and linked quickly.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true
cargo test --quiet --release --test simulation --no-run

echo "sim.sh: seeds $first to $((first + seeds - 1))"
export RINGKV_SIM_FIRST=$first RINGKV_SIM_SEEDS=$seeds RUST_BACKTRACE=0
if ! cargo test --quiet --release --test simulation promises; then
    exit 1
fi
echo "sim.sh: all $seeds seeds hold"
