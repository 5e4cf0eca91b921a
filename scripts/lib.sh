# shellcheck shell=bash
# What the scripts beside this file share: messages, the command line, leaving nothing behind, finding the binary, ports,
# starting what is measured or tried, asking a node how it is, the state directory of a running cluster, and installing
# the tools that the tests need. Sourced, never run.
#
# The state directory (--dir) of a cluster holds
#   config          the path of the configuration that its nodes run with
#   nodes           a line per node: id, process id, host, port, separated by tabs; present while the cluster runs
#   ID.log          what that node logged
#   generated.toml  the configuration, where start_cluster.sh made it (--nodes)
#   lock            held while a script changes any of this

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TAB=$'\t'
# Longest wait for a node to end after SIGTERM.
STOP_SECONDS_MAX=10
# The same for a program that stops nodes of its own first.
CHILD_SECONDS_MAX=60
# Longest wait for a redis-server to answer.
REDIS_SECONDS_MAX=20
# Somebody else may take a port between the look and the start.
START_TRIES=5
# Where a script keeps what it needs while it runs; see tidy_up.
TEMP=''

say() {
    printf '%s\n' "$*"
}

warn() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
}

die() {
    warn "$@"
    exit 1
}

# ---- the command line ----

# Prints the comment that the script opens with.
usage() {
    sed -n -e '1d' -e '/^#/!q' -e 's/^# \{0,1\}//p' "$0"
}

# refuse MESSAGE...: ends a script whose command line makes no sense.
refuse() {
    warn "$@"
    exit 2
}

# read_options SPEC... -- ARGUMENT...: sets variables by a script's options. A SPEC is --name:VARIABLE for an option that stands
# alone, which sets the variable to 1, or --name=VARIABLE for one that a value follows. --help prints the usage and ends
# the script; so does anything that is no option of the script, as an error.
read_options() {
    local -A alone=() valued=()
    local option
    while [[ $1 != -- ]]; do
        if [[ $1 == *=* ]]; then valued[${1%%=*}]=${1#*=}; else alone[${1%%:*}]=${1#*:}; fi
        shift
    done
    shift
    while (($#)); do
        # An empty word is no option either, and no index.
        option=${1:-"''"}
        if [[ $option == --help || $option == -h ]]; then
            usage
            exit 0
        elif [[ -n ${alone[$option]:-} ]]; then
            printf -v "${alone[$option]}" 1
        elif [[ -n ${valued[$option]:-} ]]; then
            [[ -n ${2:-} ]] || refuse "$option needs a value; see --help"
            printf -v "${valued[$option]}" %s "$2"
            shift
        else
            warn "unknown argument '$option'"
            usage >&2
            exit 2
        fi
        shift
    done
}

# number NAME VALUE LOW HIGH: refuses a value that is not a whole number in that range.
number() {
    if ! [[ $2 =~ ^[1-9][0-9]{0,8}$ ]] || (($2 < $3 || $2 > $4)); then
        refuse "$1 must be a whole number from $3 to $4, not '$2'"
    fi
}

# results_file FILE: prints its full path, and refuses one that could not be written when the measuring is over.
results_file() {
    local file directory
    file=$(realpath -m "$1")
    directory=$(dirname "$file")
    if ! mkdir -p "$directory" 2>/dev/null || [[ ! -w $directory || -d $file ]]; then refuse "cannot write results to $file"; fi
    printf '%s' "$file"
}

# ---- leaving nothing behind ----

# attend COMMAND...: runs it in the background and waits, so that a signal is heeded at once, and tidy_up ends the command.
attend() {
    local status=0
    "$@" </dev/null &
    wait "$!" || status=$?
    return "$status"
}

# Ends what this script has in the background: SIGTERM, and SIGKILL to whoever does not heed it.
end_children() {
    local children
    mapfile -t children < <(jobs -p)
    ((${#children[@]})) || return 0
    signal TERM "${children[@]}"
    wait_until_gone "$CHILD_SECONDS_MAX" "${children[@]}" || signal KILL "${children[@]}"
    # Takes note of their ends, or the shell would announce them.
    wait "${children[@]}" 2>/dev/null || true
}

# stop_servers_below DIR: stops every cluster with its state in DIR/*, and every redis-server that works in DIR/* and has its
# process id in the file `pid` there.
stop_servers_below() {
    local dir pid
    for dir in "$1"/*/; do
        # Whoever is just starting nodes there comes to an end first.
        if [[ -f $dir/lock ]]; then flock -w "$CHILD_SECONDS_MAX" "$dir/lock" true || true; fi
        if [[ -f $dir/nodes ]]; then "$ROOT/scripts/stop_cluster.sh" --dir "$dir" >/dev/null || true; fi
        [[ -f $dir/pid ]] || continue
        pid=$(<"$dir/pid")
        # The number may be another process' by now.
        if [[ /proc/$pid/cwd -ef $dir ]]; then
            signal KILL "$pid"
            wait_until_gone "$STOP_SECONDS_MAX" "$pid" || warn "redis-server (process $pid) is still there after SIGKILL"
        fi
    done
}

# However the script ends: stops what it has started, and removes TEMP. If the script has a function `last_words STATUS`, that
# speaks first.
tidy_up() {
    local status=$?
    trap '' INT TERM HUP
    end_children
    if [[ -n $TEMP ]]; then
        if declare -F last_words >/dev/null; then last_words "$status"; fi
        stop_servers_below "$TEMP"
        rm -rf "$TEMP"
    fi
    exit "$status"
}

# From here on the script tidies up when it ends, and a signal ends it.
tidy_up_at_exit() {
    trap tidy_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

# ---- the binary ----

# Puts cargo on the PATH if it stands where rustup leaves it, else says how to get it.
require_cargo() {
    local home=${CARGO_HOME:-${HOME:-}/.cargo}
    if ! command -v cargo >/dev/null && [[ -x $home/bin/cargo ]]; then
        PATH=$home/bin:$PATH
    fi
    command -v cargo >/dev/null || die "cargo is missing: install the Rust toolchain with rustup (https://rustup.rs)" \
        "or set RINGKV_BIN to a ringkv binary that is built already"
}

# What a build needs: cargo, and a C compiler and make for the allocator.
require_to_build() {
    require_cargo
    require_tool cc gcc
    require_tool make make
}

# Where cargo leaves the release binary.
release_binary() {
    local target
    target=$(cd "$ROOT" && cargo metadata --no-deps --format-version 1 --locked \
        | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
    printf '%s/release/ringkv' "${target:-$ROOT/target}"
}

# Sets BIN: RINGKV_BIN as it is, otherwise a fresh release build.
find_or_build_binary() {
    if [[ -n ${RINGKV_BIN:-} ]]; then
        [[ -f $RINGKV_BIN && -x $RINGKV_BIN ]] || die "RINGKV_BIN is '$RINGKV_BIN', which is no executable file"
        BIN=$(realpath "$RINGKV_BIN")
        return
    fi
    require_to_build
    attend env -C "$ROOT" cargo build --release --locked 9>&- || die "the build failed, see above"
    BIN=$(release_binary)
    [[ -x $BIN ]] || die "the build left no binary at $BIN"
}

# build_example NAME: sets EXAMPLE to the program of that name below examples/, built in release mode.
build_example() {
    require_to_build
    attend env -C "$ROOT" cargo build --release --locked --example "$1" || die "the build failed, see above"
    EXAMPLE=$(dirname "$(release_binary)")/examples/$1
    [[ -x $EXAMPLE ]] || die "the build left no program at $EXAMPLE"
}

# ---- ports, and asking a node ----

# port_open HOST PORT: whether someone listens there.
port_open() {
    # shellcheck disable=SC2016 # the inner shell expands these
    timeout 2 bash -c 'exec 3<>"/dev/tcp/$1/$2"' _ "$1" "$2" 2>/dev/null
}

# any_port_open HOST FIRST COUNT: whether one of these COUNT ports is taken.
any_port_open() {
    local port
    for ((port = $2; port < $2 + $3; port++)); do
        if port_open "$1" "$port"; then return 0; fi
    done
    return 1
}

# free_base_port COUNT: prints the first of COUNT neighbouring free ports of 127.0.0.1. Chosen at random below the range
# of outgoing connections, so that two runs at once rarely meet; whoever loses the race is refused at start and may ask again.
free_base_port() {
    local base tries
    for ((tries = 0; tries < 50; tries++)); do
        base=$((12000 + RANDOM % 20000))
        if ! any_port_open 127.0.0.1 "$base" "$1"; then
            printf '%s' "$base"
            return
        fi
    done
    die "found no $1 neighbouring free ports"
}

# Runs in a shell of its own, under `timeout`. Sends `INFO ring`, prints the text of the bulk reply. Lengths are in bytes.
ask_info_ring() {
    local header LC_ALL=C
    exec 3<>"/dev/tcp/$1/$2" || return 1
    if [[ -n ${RINGKV_PASSWORD:-} ]]; then
        # shellcheck disable=SC2016 # a dollar sign is RESP's mark of a bulk string
        printf '*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n' "${#RINGKV_PASSWORD}" "$RINGKV_PASSWORD" >&3
        IFS= read -r header <&3
    fi
    # shellcheck disable=SC2016 # a dollar sign is RESP's mark of a bulk string
    printf '*2\r\n$4\r\nINFO\r\n$4\r\nring\r\n' >&3
    IFS= read -r header <&3
    [[ $header == '$'* ]] || return 1
    header=${header#?}
    head -c "${header%$'\r'}" <&3 | tr -d '\r'
}

# info_ring HOST PORT: the node's `INFO ring`, or failure when it does not answer within two seconds.
info_ring() {
    timeout 2 bash -c "$(declare -f ask_info_ring); ask_info_ring \"\$@\"" _ "$1" "$2" 2>/dev/null
}

# cli PORT ARGUMENT...: what redis-cli prints, errors too.
cli() {
    local port=$1
    shift
    timeout 20 redis-cli -p "$port" "$@" 2>&1 </dev/null || true
}

# field NAME TEXT: the value of the line `NAME:value`.
field() {
    sed -n "s/^$1://p" <<<"$2" | head -n 1
}

# ---- processes ----

# process_runs PID: exists and is no zombie.
process_runs() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    stat=${stat##*) }
    [[ -n $stat && $stat != [ZX]* ]]
}

# node_runs ID PID CONFIG: whether PID is still that node and not a stranger who was given the number later.
node_runs() {
    local args
    args=$(tr '\0' '\n' 2>/dev/null <"/proc/$2/cmdline") || return 1
    [[ $args$'\n' == *$'\n--config\n'"$3"$'\n--node\n'"$1"$'\n'* ]]
}

# wait_until_gone SECONDS PID...: true once none of them runs.
wait_until_gone() {
    local deadline=$((SECONDS + $1)) pid
    shift
    for pid in "$@"; do
        while process_runs "$pid"; do
            ((SECONDS < deadline)) || return 1
            sleep 0.05
        done
    done
}

# signal NAME PID...: sends it to those that are still there.
signal() {
    local name=$1 pid
    shift
    for pid in "$@"; do
        kill -s "$name" "$pid" 2>/dev/null || true
    done
}

# ---- starting ----

# node_tables BASE_PORT COUNT: the [[nodes]] tables of node-1 to node-COUNT on 127.0.0.1, from this port on.
node_tables() {
    local i
    for ((i = 0; i < $2; i++)); do
        printf '\n[[nodes]]\nid = "node-%d"\naddr = "127.0.0.1:%d"\n' $((i + 1)) $(($1 + i))
    done
}

# start_on_free_ports COUNT COMMAND...: runs `COMMAND... BASE_PORT`, which starts a cluster by start_cluster.sh, with the first of
# COUNT free ports, and with others if somebody has taken one meanwhile.
start_on_free_ports() {
    local count=$1 try base
    shift
    for ((try = 0; try < START_TRIES; try++)); do
        base=$(free_base_port "$count")
        if "$@" "$base" &>"$TEMP/start.log"; then return; fi
        grep -q 'in use' "$TEMP/start.log" || break
    done
    cat "$TEMP/start.log" >&2
    die "start_cluster.sh failed, see above"
}

# start_redis CORE: a redis-server without persistence on a free port, and on that core unless it is ''. Sets REDIS_PORT and
# REDIS_PID.
start_redis() {
    local try deadline
    for ((try = 0; try < START_TRIES; try++)); do
        REDIS_PORT=$(free_base_port 1)
        ${1:+taskset -c "$1"} redis-server --port "$REDIS_PORT" --bind 127.0.0.1 --save '' --appendonly no --dir "$TEMP" \
            </dev/null &>"$TEMP/redis.log" &
        REDIS_PID=$!
        deadline=$((SECONDS + REDIS_SECONDS_MAX))
        while process_runs "$REDIS_PID" && ((SECONDS < deadline)); do
            # It may be a stranger who answers.
            if [[ $(cli "$REDIS_PORT" INFO server) == *"process_id:$REDIS_PID"$'\r'* ]]; then return; fi
            sleep 0.05
        done
        grep -q 'in use' "$TEMP/redis.log" || break
    done
    cat "$TEMP/redis.log" >&2
    die "redis-server did not start, see above"
}

# ---- measuring ----

# Sets SERVER_CORE and CLIENT_CORE: the first two cores that this process may use.
choose_cores() {
    local cores
    mapfile -t cores < <(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)), sep="\n")')
    ((${#cores[@]} >= 2)) || die "needs two cores, one for the servers and one for the load; there is only one"
    # shellcheck disable=SC2034 # for the scripts that source this
    SERVER_CORE=${cores[0]} CLIENT_CORE=${cores[1]}
}

# What each measuring script begins with: the tools are there, BIN and RINGKV_BIN name the binary, and TEMP is made.
prepare_to_measure() {
    tidy_up_at_exit
    require_redis
    require_tool python3 python3
    find_or_build_binary
    export RINGKV_BIN=$BIN
    unset REDISCLI_AUTH
    TEMP=$(mktemp -d)
}

# ---- the state directory ----

# lock_state DIR: makes it if need be and holds its lock until this shell ends. Descriptor 9 must not reach a node.
lock_state() {
    exec 9>"$1/lock" || die "cannot write to $1"
    flock -n 9 || die "another start_cluster.sh or stop_cluster.sh is at work in $1"
}

# pid_of ID DIR: the process id of a recorded node.
pid_of() {
    awk -v id="$1" '$1 == id { print $2 }' "$2/nodes"
}

# recorded_nodes DIR: the lines of its `nodes` file, none if no cluster was started there.
recorded_nodes() {
    if [[ -f $1/nodes ]]; then cat "$1/nodes"; fi
}

# running_nodes DIR: those lines whose process still is that node.
running_nodes() {
    local config id pid host port
    config=$(cat "$1/config" 2>/dev/null) || return 0
    while IFS=$TAB read -r id pid host port; do
        if node_runs "$id" "$pid" "$config"; then printf '%s\t%s\t%s\t%s\n' "$id" "$pid" "$host" "$port"; fi
    done < <(recorded_nodes "$1")
}

# ---- tools that the tests need beyond the Rust toolchain ----

# apt_install PACKAGE...: as root on a Debian. The lock serves two runs at once, which apt itself would turn away.
apt_install() {
    say "installing $* with apt-get"
    (
        exec 8</etc/apt && flock -w 600 8 || exit 1
        export DEBIAN_FRONTEND=noninteractive
        timeout 600 apt-get -qq update </dev/null 8<&- || true
        timeout 600 apt-get -qq install -y --no-install-recommends "$@" </dev/null 8<&- >/dev/null
    ) || die "apt-get could not install $*"
}

can_apt_install() {
    [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null
}

# require_tool COMMAND PACKAGE: the command is there afterwards, or the script has ended with what is missing.
require_tool() {
    command -v "$1" >/dev/null && return
    can_apt_install || die "$1 is missing: install it (on Debian: apt-get install $2)"
    apt_install "$2"
    command -v "$1" >/dev/null || die "$1 is still missing after installing $2"
}

# require_redis: redis-cli and redis-benchmark, and redis-server to compare with.
require_redis() {
    require_tool redis-cli redis-tools
    require_tool redis-benchmark redis-tools
    require_tool redis-server redis-server
}

# require_valgrind: valgrind with callgrind, and vgdb to talk to it.
require_valgrind() {
    require_tool valgrind valgrind
    require_tool vgdb valgrind
}

# A python3 that can make virtual environments.
require_python_venv() {
    require_tool python3 python3
    python3 -c 'import ensurepip, venv' 2>/dev/null && return
    can_apt_install || die "python3 lacks the venv module: install it (on Debian: apt-get install python3-venv)"
    apt_install python3-venv
}

# make_venv DIR: fills it with what scripts/requirements.txt lists.
make_venv() {
    require_python_venv
    rm -rf "$1"
    python3 -m venv "$1" </dev/null || die "python3 -m venv $1 failed, see above"
    timeout 300 "$1/bin/python" -m pip install --quiet --disable-pip-version-check -r "$ROOT/scripts/requirements.txt" </dev/null \
        || die "pip could not install what scripts/requirements.txt lists, see above"
    cp "$ROOT/scripts/requirements.txt" "$1/installed.txt"
}

# Sets PYTHON: one with redis-py, in target/venv. Made once, under a lock, and again when the requirements change.
require_redis_py() {
    local venv=$ROOT/target/venv
    PYTHON=$venv/bin/python
    mkdir -p "$ROOT/target"
    exec 7>"$ROOT/target/venv.lock"
    flock -w 600 7 || die "waited 10 minutes for $ROOT/target/venv.lock"
    if ! cmp -s "$ROOT/scripts/requirements.txt" "$venv/installed.txt" || ! "$PYTHON" -c 'import redis' 2>/dev/null; then
        say "installing redis-py from PyPI into target/venv"
        make_venv "$venv" 7<&-
    fi
    exec 7>&-
}

# Puts the Node.js clients that scripts/clients/package.json lists into target/clients, beside the suites that use them. Made
# once, under a lock, and again when the list changes.
require_node_clients() {
    local dir=$ROOT/target/clients
    require_tool node nodejs
    require_tool npm npm
    node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' \
        || die "the Node.js clients need Node.js 20 or later, and this is $(node --version)"
    mkdir -p "$dir"
    exec 7>"$ROOT/target/clients.lock"
    flock -w 600 7 || die "waited 10 minutes for $ROOT/target/clients.lock"
    if ! cmp -s "$ROOT/scripts/clients/package-lock.json" "$dir/installed.json"; then
        say "installing ioredis and node-redis with npm into target/clients"
        cp "$ROOT"/scripts/clients/package*.json "$dir"
        (cd "$dir" && timeout 300 npm ci --no-audit --no-fund --ignore-scripts --loglevel=error </dev/null 7<&-) \
            || die "npm could not install what scripts/clients/package-lock.json lists, see above"
        cp "$dir/package-lock.json" "$dir/installed.json"
    fi
    exec 7>&-
    # A module is looked for beside the file that imports it.
    cp "$ROOT"/scripts/clients/*.mjs "$dir"
}
