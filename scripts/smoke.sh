#!/usr/bin/env bash
# Uses clusters of three and of five nodes as people do: with redis-cli, redis-benchmark and redis-py, each cluster made
# by start_cluster.sh on free ports and ended by stop_cluster.sh. Kills a node of three under load and brings it back.
# Error texts are held against a redis-server beside it. Says of every failure what was expected and what came.
#
# Usage: scripts/smoke.sh [--help]
#
# Environment: RINGKV_BIN names a binary to try; without it the release build is tried. Missing tools are installed, or
# named. Everything that it starts and writes is gone when it ends.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# A reply that other nodes may show a moment later is asked for again until then.
EVENTUALLY_SECONDS_MAX=60
BENCHMARK_REQUESTS=20000

PASSED=0 FAILED=0
# The cluster at hand: its state directory, its ports, and how a check is announced.
DIR='' CLUSTER='' PORTS=()

# ---- checking ----

pass() {
    PASSED=$((PASSED + 1))
}

fail() {
    FAILED=$((FAILED + 1))
    printf 'FAILED (%s): %s\n  expected: %s\n  got:      %s\n' "$CLUSTER" "$1" "$2" "$3"
}

# expect WHAT EXPECTED GOT
expect() {
    if [[ $3 == "$2" ]]; then pass; else fail "$1" "$(printf '%q' "$2")" "$(printf '%q' "$3")"; fi
}

# expect_match WHAT REGEX GOT
expect_match() {
    if [[ $3 =~ $2 ]]; then pass; else fail "$1" "a match of $2" "$(printf '%q' "$3")"; fi
}

# eventually WHAT EXPECTED COMMAND...: for replies that may lag with R = 1, such as a deletion seen from another node.
eventually() {
    local what=$1 expected=$2 got deadline=$((SECONDS + EVENTUALLY_SECONDS_MAX))
    shift 2
    while got=$("$@" || true) && [[ $got != "$expected" ]] && ((SECONDS < deadline)); do sleep 0.05; done
    expect "$what" "$expected" "$got"
}

# ---- clusters ----

# start_cluster COUNT: on free ports, in a directory of its own.
start_cluster() {
    CLUSTER="$1 nodes" DIR=$TEMP/$1
    start_on_free_ports "$1" start_cluster_at "$1"
    say "$CLUSTER on ports ${PORTS[*]}"
}

# start_cluster_at COUNT BASE_PORT
start_cluster_at() {
    mapfile -t PORTS < <(seq "$2" $(($2 + $1 - 1)))
    attend timeout 120 "$ROOT/scripts/start_cluster.sh" --nodes "$1" --base-port "$2" --dir "$DIR"
}

# The last check on a cluster: it goes quickly, cleanly and completely.
check_stopping() {
    local pids pid status=0
    mapfile -t pids < <(cut -f 2 "$DIR/nodes")
    attend timeout 60 "$ROOT/scripts/stop_cluster.sh" --dir "$DIR" &>"$TEMP/stop.log" || status=$?
    expect "stop_cluster.sh exits 0 (it said: $(<"$TEMP/stop.log"))" 0 "$status"
    for pid in "${pids[@]}"; do
        if process_runs "$pid"; then fail "stop_cluster.sh leaves no process" "process $pid gone" "still running"; else pass; fi
    done
}

check_refusals() {
    local status=0 said
    said=$(timeout 60 "$ROOT/scripts/start_cluster.sh" --nodes 1 --base-port "${PORTS[0]}" --dir "$DIR" 2>&1 </dev/null) || status=$?
    expect "a second start in the same directory exits" 1 "$status"
    expect_match "a second start in the same directory says why" 'running already' "$said"
    status=0
    said=$(timeout 60 "$ROOT/scripts/start_cluster.sh" --nodes 1 --base-port "${PORTS[1]}" --dir "$TEMP/taken" 2>&1 </dev/null) || status=$?
    expect "a start on a taken port exits" 1 "$status"
    expect_match "a start on a taken port names it" "port ${PORTS[1]} of node-1 .*in use" "$said"
    status=0
    said=$(timeout 20 "$BIN" --config "$DIR/config.missing" --node node-1 2>&1 </dev/null) || status=$?
    expect_match "a node without its configuration file ends with an error" '^[1-9]' "$status"
    expect_match "and names the file" 'config\.missing' "$said"
}

# ---- redis-cli ----

# Every node takes a write, and every node reads it.
check_each_to_each() {
    local from to
    for from in "${PORTS[@]}"; do
        expect "SET at $from" OK "$(cli "$from" SET "greeting:$from" "hello from $from")"
        for to in "${PORTS[@]}"; do
            expect "GET at $to after SET at $from" "hello from $from" "$(cli "$to" GET "greeting:$from")"
        done
    done
}

check_deleting() {
    local first=${PORTS[0]} last=${PORTS[-1]}
    cli "$first" MSET del:1 a del:2 b del:3 c >/dev/null
    expect "EXISTS counts, repeated keys too" 4 "$(cli "$last" EXISTS del:1 del:2 del:3 del:3 del:none)"
    expect "DEL counts what was there" 2 "$(cli "$last" DEL del:1 del:2 del:none)"
    expect "a second DEL finds nothing" 0 "$(cli "$last" DEL del:1 del:2)"
    expect "UNLINK counts too" 1 "$(cli "$first" UNLINK del:3)"
    eventually "a deleted key is gone everywhere" '' cli "$first" GET del:1
}

check_expiry() {
    local first=${PORTS[0]} last=${PORTS[-1]}
    cli "$first" SET ttl:long v EX 100 >/dev/null
    expect_match "TTL at another node" '^(100|99|9[0-8])$' "$(cli "$last" TTL ttl:long)"
    cli "$first" SET ttl:none v >/dev/null
    expect "TTL of a key without expiry" -1 "$(cli "$last" TTL ttl:none)"
    expect "TTL of no key" -2 "$(cli "$last" TTL ttl:missing)"
    expect "SET with PX" OK "$(cli "$first" SET ttl:short v PX 400)"
    eventually "a key is gone after its time" '' cli "$last" GET ttl:short
}

check_many_keys() {
    local pairs=() keys=() values=() i
    for i in {1..50}; do
        pairs+=("many:$i" "value-$i") keys+=("many:$i") values+=("value-$i")
    done
    expect "MSET of 50 keys" OK "$(cli "${PORTS[0]}" MSET "${pairs[@]}")"
    expect "MGET of 50 keys at another node" "${values[*]}" "$(cli "${PORTS[-1]}" MGET "${keys[@]}" | tr '\n' ' ' | sed 's/ $//')"
}

# All 256 bytes, with line ends and NUL among them, arrive as they were sent.
check_binary() {
    local i
    for i in {0..255}; do printf '%b' "\\x$(printf '%x' "$i")"; done >"$TEMP/binary"
    expect "SET of a binary value" OK "$(timeout 20 redis-cli -p "${PORTS[0]}" -x SET binary <"$TEMP/binary" 2>&1)"
    expect "STRLEN of a binary value" 256 "$(cli "${PORTS[-1]}" STRLEN binary)"
    expect "GET of a binary value" "$(od -An -v -tx1 "$TEMP/binary")" \
        "$(timeout 20 redis-cli -p "${PORTS[-1]}" GET binary | head -c 256 | od -An -v -tx1)"
}

check_modes() {
    local port=${PORTS[-1]} i
    expect "redis-cli -c SET" OK "$(cli "$port" -c SET mode:cluster 1)"
    expect "redis-cli -c GET" 1 "$(cli "${PORTS[0]}" -c GET mode:cluster)"
    expect "redis-cli -3 GET" 1 "$(cli "$port" -3 GET mode:cluster)"
    for i in {1..1000}; do printf 'SET pipe:%d %d\r\n' "$i" "$i"; done >"$TEMP/pipe"
    expect_match "redis-cli --pipe" 'errors: 0, replies: 1000' "$(timeout 30 redis-cli -p "$port" --pipe <"$TEMP/pipe" 2>&1 || true)"
    expect "a piped key" 777 "$(cli "${PORTS[0]}" GET pipe:777)"
    expect_match "INFO names the version that it is compatible with" 'redis_version:7\.0\.15' "$(cli "$port" INFO server)"
}

check_counting() {
    local port
    for port in "${PORTS[@]}"; do expect_match "DBSIZE at $port" '^[1-9][0-9]*$' "$(cli "$port" DBSIZE)"; done
    expect "FLUSHALL" OK "$(cli "${PORTS[0]}" FLUSHALL)"
    for port in "${PORTS[@]}"; do eventually "DBSIZE at $port after FLUSHALL" 0 cli "$port" DBSIZE; done
    eventually "a flushed key" '' cli "${PORTS[-1]}" GET many:1
    cli "${PORTS[0]}" MSET a 1 b 2 c 3 >/dev/null
    for port in "${PORTS[@]}"; do eventually "DBSIZE at $port counts a key once" 3 cli "$port" DBSIZE; done
}

# same_as_redis ARGUMENT...: word for word what redis-server answers.
same_as_redis() {
    expect "the error of '$*' as redis-server has it" "$(cli "$REDIS_PORT" "$@")" "$(cli "${PORTS[0]}" "$@")"
}

check_errors() {
    expect "unknown command" "ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' " "$(cli "${PORTS[0]}" NOSUCH a b)"
    same_as_redis NOSUCH
    same_as_redis nosuch "$(printf 'x%.0s' {1..200})"
    same_as_redis GET
    same_as_redis SET k
    same_as_redis SET k v EX
    same_as_redis SET k v EX ten
    same_as_redis SET k v EX 0
    same_as_redis SET k v EX 10 PX 10
    same_as_redis SET k v FOO
    same_as_redis MSET k
    same_as_redis SELECT 99
    same_as_redis HELLO 9
    same_as_redis CLIENT NOSUCH
    same_as_redis AUTH secret
}

# ---- redis-benchmark ----

# check_benchmark PORT OPTION...: a figure for SET and one for GET, and no word of an error.
check_benchmark() {
    local port=$1 out status=0 name what
    shift
    what="redis-benchmark $*"
    attend timeout 120 redis-benchmark -p "$port" -t set,get -n "$BENCHMARK_REQUESTS" -r 1000 -c 20 --csv "$@" &>"$TEMP/benchmark.log" || status=$?
    out=$(tr '\r' '\n' <"$TEMP/benchmark.log")
    expect "$what exits (it said: $out)" 0 "$status"
    for name in SET GET; do
        expect_match "$what prints the throughput of $name" "\"$name\",\"[1-9][0-9.]*\"" "$out"
    done
    if grep -iqE 'error|warning|could not' <<<"$out"; then fail "$what reports no error" "figures alone" "$out"; else pass; fi
}

check_benchmarks() {
    check_benchmark "${PORTS[0]}"
    check_benchmark "${PORTS[-1]}" -P 16
    check_benchmark "${PORTS[0]}" --cluster
    check_benchmark "${PORTS[-1]}" --cluster -P 16
}

# ---- redis-py ----

# python_checks SECONDS NAME ARGUMENT...: a group of checks in smoke.py, which prints its own failures.
python_checks() {
    local status=0
    attend timeout "$1" "$PYTHON" "$ROOT/scripts/smoke.py" "${@:2}" || status=$?
    expect "smoke.py $2 exits (124: out of time)" 0 "$status"
}

check_kill() {
    python_checks 300 kill --victim node-2 --dir "$DIR" --restart "$ROOT/scripts/start_cluster.sh"
}

# ---- the run ----

check_three() {
    start_cluster 3
    check_refusals
    check_each_to_each
    check_deleting
    check_expiry
    check_many_keys
    check_binary
    check_errors
    check_modes
    check_counting
    check_benchmarks
    python_checks 300 clients --ports "${PORTS[@]}"
    check_kill
    check_stopping
}

# Two of five nodes hold no copy of a key; everything works there the same.
check_five() {
    start_cluster 5
    check_each_to_each
    check_deleting
    check_expiry
    check_many_keys
    check_binary
    check_modes
    check_counting
    check_benchmarks
    python_checks 300 clients --ports "${PORTS[@]}"
    check_stopping
}

# last_words STATUS: what the nodes had to say, if a check failed.
last_words() {
    local log
    (($1)) || return 0
    for log in "$TEMP"/*/*.log; do
        [[ -f $log ]] || continue
        printf -- '---- the end of %s\n' "${log#"$TEMP/"}"
        tail -n 20 "$log"
    done
}

main() {
    read_options -- "$@"
    tidy_up_at_exit
    require_redis
    require_redis_py
    find_or_build_binary
    export RINGKV_BIN=$BIN
    unset REDISCLI_AUTH
    TEMP=$(mktemp -d)
    # The twin that errors are compared with.
    start_redis ''
    check_three
    check_five
    say "smoke: $PASSED passed, $FAILED failed"
    ((FAILED == 0))
}

main "$@"
