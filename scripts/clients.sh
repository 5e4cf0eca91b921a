#!/usr/bin/env bash
# Uses a cluster of three nodes through the client libraries that people have: redis-py, ioredis, node-redis, and hiredis by
# redis-cli. (The Rust crate `redis` is tried by tests/clients.rs.) Each one connects, pools, pipelines, sends bytes and large
# values, counts from many connections, speaks RESP3 if it can, is refused what is not offered, and goes on when the node
# that it is connected to is killed; the node is brought back before the next one's turn.
#
# Usage: scripts/clients.sh [--help] [SUITE...]
#
# Suites: redis-cli, redis-py, ioredis, node-redis; without a name all of them. Environment: RINGKV_BIN names a binary to
# try; without it the release build is tried. Missing tools are installed, or named: python3 with venv, node and npm,
# redis-cli. Libraries go into target/. Everything that it starts and writes elsewhere is gone when it ends.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# A suite that hangs ends here; each takes a few seconds.
SUITE_SECONDS_MAX=600
VICTIM=node-2
SUITES=(redis-cli redis-py ioredis node-redis)

DIR='' PORTS=()
FAILED=0

# ---- the cluster ----

# start_cluster BASE_PORT. Any node shows what was written last at any other: R + W > N.
start_cluster() {
    DIR=$TEMP/state
    mapfile -t PORTS < <(seq "$1" $(($1 + 2)))
    printf '[cluster]\nreplication_factor = 3\nwrite_quorum = 2\nread_quorum = 2\nrequest_timeout_ms = 2000\n%s\n' "$(node_tables "$1" 3)" >"$TEMP/cluster.toml"
    attend timeout 120 "$ROOT/scripts/start_cluster.sh" --config "$TEMP/cluster.toml" --dir "$DIR"
}

# Brings the victim back, with everything that it missed.
revive() {
    attend timeout 60 "$ROOT/scripts/start_cluster.sh" --restart "$VICTIM" --dir "$DIR" &>"$TEMP/restart.log" || {
        cat "$TEMP/restart.log"
        die "$VICTIM did not come back, see above"
    }
}

# ---- hiredis, by redis-cli ----

# expect WHAT EXPECTED GOT
expect() {
    if [[ $3 == "$2" ]]; then
        CLI_PASSED=$((CLI_PASSED + 1))
    else
        CLI_FAILED=$((CLI_FAILED + 1))
        printf 'FAILED: %s\n  expected: %q\n  got:      %q\n' "$1" "$2" "$3"
    fi
}

check_cli_values() {
    local first=${PORTS[0]} last=${PORTS[2]} mode
    for mode in -2 -3 -c; do
        expect "SET with redis-cli $mode" OK "$(cli "$first" "$mode" SET "cli:{$mode}" "a value" EX 1000)"
        expect "GET with redis-cli $mode" "a value" "$(cli "$last" "$mode" GET "cli:{$mode}")"
        expect "nil with redis-cli $mode" "" "$(cli "$last" "$mode" GET cli:none)"
        expect "INCR with redis-cli $mode" 1 "$(cli "$first" "$mode" INCR "cli:counter:$mode")"
    done
    expect "a map in RESP3" $'appendonly\nno' "$(cli "$first" -3 CONFIG GET appendonly | tr ' ' '\n')"
    head -c 10485760 /dev/urandom >"$TEMP/large"
    expect "SET of 10 MB" OK "$(timeout 20 redis-cli -p "$first" -x SET cli:large <"$TEMP/large" 2>&1)"
    expect "GET of 10 MB" "$(sha256sum <"$TEMP/large")" "$(timeout 20 redis-cli -p "$last" GET cli:large | head -c 10485760 | sha256sum)"
    expect "MULTI" "ERR unknown command 'MULTI', with args beginning with: " "$(cli "$first" MULTI)"
    expect "SUBSCRIBE" "ERR unknown command 'SUBSCRIBE', with args beginning with: 'c' " "$(cli "$first" SUBSCRIBE c)"
}

check_cli_pipe() {
    local number
    for ((number = 0; number < 10000; number++)); do printf 'SET cli:pipe:%d %d\r\n' "$number" "$number"; done >"$TEMP/pipe"
    expect "redis-cli --pipe" "errors: 0, replies: 10000" \
        "$(timeout 30 redis-cli -p "${PORTS[1]}" --pipe <"$TEMP/pipe" 2>&1 | tail -n 1)"
    expect "a piped key" 7777 "$(cli "${PORTS[2]}" GET cli:pipe:7777)"
    expect "redis-cli --scan" 10000 "$(cli "${PORTS[0]}" --scan --pattern 'cli:pipe:*' | sort -u | wc -l)"
}

# Fifty connections count together.
check_cli_counting() {
    local number pids=()
    for ((number = 0; number < 50; number++)); do
        cli "${PORTS[number % 3]}" -r 20 INCR cli:counter >/dev/null &
        pids+=($!)
    done
    wait "${pids[@]}"
    expect "1000 INCRs from 50 connections" 1000 "$(cli "${PORTS[0]}" GET cli:counter)"
}

check_cli_death() {
    expect "SET before the death" OK "$(cli "${PORTS[1]}" SET cli:death before)"
    signal KILL "$(pid_of "$VICTIM" "$DIR")"
    expect "another node afterwards" before "$(cli "${PORTS[0]}" GET cli:death)"
    expect "a write there" OK "$(cli "${PORTS[2]}" -c SET cli:death after)"
    expect "what was written" after "$(cli "${PORTS[0]}" -c GET cli:death)"
}

play_redis_cli() {
    CLI_PASSED=0 CLI_FAILED=0
    check_cli_values
    check_cli_pipe
    check_cli_counting
    check_cli_death
    say "$(redis-cli --version): $CLI_PASSED passed, $CLI_FAILED failed"
    ((CLI_FAILED == 0))
}

# ---- the other suites ----

# play SUITE: whether it passed.
play() {
    local victim=(--victim-port "${PORTS[1]}" --victim-pid "$(pid_of "$VICTIM" "$DIR")") ports=${PORTS[*]}
    case $1 in
        redis-cli) play_redis_cli ;;
        redis-py)
            attend timeout "$SUITE_SECONDS_MAX" "$PYTHON" "$ROOT/scripts/clients/suite.py" --ports "${PORTS[@]}" "${victim[@]}" ;;
        ioredis)
            attend timeout "$SUITE_SECONDS_MAX" node "$ROOT/target/clients/ioredis.mjs" --ports "${ports// /,}" "${victim[@]}" ;;
        node-redis)
            attend timeout "$SUITE_SECONDS_MAX" node "$ROOT/target/clients/node_redis.mjs" --ports "${ports// /,}" "${victim[@]}" ;;
    esac
}

# run SUITE: plays it, says how long it took, and has the cluster whole again.
run() {
    local begin=$SECONDS status=0
    play "$1" || status=$?
    if ((status != 0)); then
        FAILED=$((FAILED + 1))
        say "FAILED: $1 (exit code $status; 124: out of time)"
    fi
    say "$1: $((SECONDS - begin)) s"
    if ! process_runs "$(pid_of "$VICTIM" "$DIR")"; then revive; fi
}

# last_words STATUS: what the nodes had to say, if a suite failed.
last_words() {
    local log
    (($1)) || return 0
    for log in "$TEMP"/state/*.log; do
        [[ -f $log ]] || continue
        printf -- '---- the end of %s\n' "${log##*/}"
        tail -n 20 "$log"
    done
}

parse_arguments() {
    local suite
    for suite in "$@"; do
        if [[ " ${SUITES[*]} " != *" $suite "* ]]; then read_options -- "$suite"; fi
    done
}

main() {
    local suite
    parse_arguments "$@"
    tidy_up_at_exit
    require_redis
    require_redis_py
    require_node_clients
    find_or_build_binary
    export RINGKV_BIN=$BIN
    unset REDISCLI_AUTH
    TEMP=$(mktemp -d)
    start_on_free_ports 3 start_cluster
    say "three nodes on ports ${PORTS[*]}"
    if (($# == 0)); then set -- "${SUITES[@]}"; fi
    for suite in "$@"; do run "$suite"; done
    say "clients: $(($# - FAILED)) suites passed, $FAILED failed"
    ((FAILED == 0))
}

main "$@"
