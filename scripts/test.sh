#!/usr/bin/env bash
# The gate, for people and for CI: format, lints, documentation, every Rust test, the release build, the smoke test with
# redis-cli, redis-benchmark and redis-py (scripts/smoke.sh), client libraries (scripts/clients.sh), and the budget of
# instructions per operation (scripts/budget.sh). Stops at the first stage that fails.
#
# Usage: scripts/test.sh [--help]
#
# Beyond the Rust toolchain it needs gcc, make, redis-tools, redis-server, python3 with venv, node, npm and valgrind. As root on a
# Debian it installs what is missing; elsewhere it names it and fails before anything else is done. redis-py goes into target/venv,
# ioredis and node-redis into target/clients. It can run from any directory, without standard input, and several times at once.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# A stage that hangs ends here. Far above what a cold build on two cores takes.
STAGE_SECONDS_MAX=1800

# What a failed assertion says is not to be lost among the frames that follow it.
export RUST_BACKTRACE=0

STAGE=''
TIMES=()

# stage NAME COMMAND...: a heading, the command, and the time it took.
stage() {
    local status=0 begin=$SECONDS
    STAGE=$1
    shift
    printf '\n==== %s: %s\n' "$STAGE" "$*"
    attend timeout "$STAGE_SECONDS_MAX" "$@" || status=$?
    TIMES+=("$(printf '%5d s  %s' $((SECONDS - begin)) "$STAGE")")
    if ((status == 124)); then die "$STAGE took longer than $STAGE_SECONDS_MAX s and was ended"; fi
    ((status == 0)) || die "$STAGE failed (exit code $status), see above"
    printf '==== %s: passed in %d s\n' "$STAGE" $((SECONDS - begin))
}

require_components() {
    require_to_build
    cargo fmt --version >/dev/null 2>&1 || die "rustfmt is missing: rustup component add rustfmt"
    cargo clippy --version >/dev/null 2>&1 || die "clippy is missing: rustup component add clippy"
}

main() {
    read_options -- "$@"
    tidy_up_at_exit
    cd "$ROOT"
    require_components
    require_redis
    require_valgrind
    require_redis_py
    require_node_clients
    stage format cargo fmt --check
    stage lints cargo clippy --all-targets --locked -- -D warnings
    stage 'lints of broken rules' cargo clippy --all-targets --features mutations --locked -- -D warnings
    stage documentation env RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --locked
    stage tests cargo test --locked
    stage release cargo build --release --locked
    RINGKV_BIN=$(release_binary)
    export RINGKV_BIN
    stage smoke "$ROOT/scripts/smoke.sh"
    stage clients "$ROOT/scripts/clients.sh"
    stage budget "$ROOT/scripts/budget.sh"
    printf '\n==== all stages passed\n'
    printf '%s\n' "${TIMES[@]}"
}

main "$@"
