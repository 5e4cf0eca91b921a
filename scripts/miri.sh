#!/usr/bin/env bash
# Runs the tests of the only file with `unsafe` code, and of what uses it, under Miri, which finds undefined behaviour.
#
# Usage: scripts/miri.sh
#
# Needs rustup; installs the nightly toolchain with the component miri if it is missing.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

read_options -- "$@"
command -v rustup >/dev/null || die "needs rustup to install Miri; see https://rustup.rs"
cd "$ROOT"
if ! cargo +nightly miri --version &>/dev/null; then
    rustup toolchain install nightly --profile minimal --component miri,rust-src
fi
# The clock and the seed of the tables are taken from the machine; proptest is to write no files.
export MIRIFLAGS=-Zmiri-disable-isolation PROPTEST_CASES=4 PROPTEST_FAILURE_PERSISTENCE=none
cargo +nightly miri test --lib --target-dir target/miri -- prefetch store::table store::warm
