#!/usr/bin/env bash
# Runs the simulation with many seeds, in a release build: scripts/sim.sh [seeds] [first seed]
#
# Prints the first seed that fails, with its list of operations, and exits with 1. Replay one seed with
#   RINGKV_SIM_SEED=n cargo test --test simulation promises
set -euo pipefail

case "${1:-}" in
    -h | --help)
        sed -n '2,5s/^# \{0,1\}//p' "$0"
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

workers=$(getconf _NPROCESSORS_ONLN)
share=$(((seeds + workers - 1) / workers))
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
echo "sim.sh: seeds $first to $((first + seeds - 1)), $workers at a time"

pids=()
for ((worker = 0; worker < workers; worker++)); do
    from=$((first + worker * share))
    count=$((first + seeds - from < share ? first + seeds - from : share))
    if ((count <= 0)); then
        break
    fi
    RINGKV_SIM_FIRST=$from RINGKV_SIM_SEEDS=$count RUST_BACKTRACE=0 \
        cargo test --quiet --release --test simulation promises >"$logs/$worker" 2>&1 &
    pids+=($!)
done

failed=
for worker in "${!pids[@]}"; do
    if ! wait "${pids[$worker]}" && [[ -z $failed ]]; then
        failed=$logs/$worker
    fi
done
if [[ -n $failed ]]; then
    cat "$failed"
    exit 1
fi
echo "sim.sh: all $seeds seeds hold"
