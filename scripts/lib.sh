# shellcheck shell=bash
# What the scripts beside this file share: messages, finding the binary, ports, asking a node how it is, the state
# directory of a running cluster, and installing the tools that the tests need. Sourced, never run.
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
# shellcheck disable=SC2034 # for the scripts that source this
STOP_SECONDS_MAX=10

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

# usage FILE: prints the comment that FILE opens with.
usage() {
    sed -n -e '1d' -e '/^#/!q' -e 's/^# \{0,1\}//p' "$1"
}

# number NAME VALUE LOW HIGH: refuses a value that is not a whole number in that range.
number() {
    if ! [[ $2 =~ ^[1-9][0-9]{0,8}$ ]] || (($2 < $3 || $2 > $4)); then
        die "$1 must be a whole number from $3 to $4, not '$2'"
    fi
}

# require_value OPTION [VALUE]: refuses an option at the end of the line, or with nothing in it.
require_value() {
    [[ -n ${2:-} ]] || die "$1 needs a value; see --help"
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
    require_cargo
    (cd "$ROOT" && cargo build --release --locked </dev/null 9>&-) || die "the build failed, see above"
    BIN=$(release_binary)
    [[ -x $BIN ]] || die "the build left no binary at $BIN"
}

# build_example NAME: sets EXAMPLE to the program of that name below examples/, built in release mode.
build_example() {
    require_cargo
    (cd "$ROOT" && cargo build --release --locked --example "$1" </dev/null 9>&-) || die "the build failed, see above"
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

# ---- measuring ----

# Sets SERVER_CORE and CLIENT_CORE: the first two cores that this process may use.
choose_cores() {
    local cores
    mapfile -t cores < <(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)), sep="\n")')
    ((${#cores[@]} >= 2)) || die "needs two cores, one for the servers and one for the load; there is only one"
    # shellcheck disable=SC2034 # for the scripts that source this
    SERVER_CORE=${cores[0]} CLIENT_CORE=${cores[1]}
}

# stop_measured DIR: stops what scripts/measure/servers.py left running below DIR: nothing, unless it was killed.
stop_measured() {
    local file pid
    for file in "$1"/*/nodes; do
        if [[ -f $file ]]; then "$ROOT/scripts/stop_cluster.sh" --dir "$(dirname "$file")" >/dev/null || true; fi
    done
    for file in "$1"/*/pid; do
        [[ -f $file ]] || continue
        pid=$(<"$file")
        if [[ $(cat "/proc/$pid/comm" 2>/dev/null) == redis-server ]]; then signal KILL "$pid"; fi
    done
}

# ---- the state directory ----

# lock_state DIR: makes it if need be and holds its lock until this shell ends. Descriptor 9 must not reach a node.
lock_state() {
    exec 9>"$1/lock" || die "cannot write to $1"
    flock -n 9 || die "another start_cluster.sh or stop_cluster.sh is at work in $1"
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

# attend COMMAND...: runs it in the background and waits, so that Ctrl-C is heeded at once; CHILD is its process meanwhile.
attend() {
    local status=0
    "$@" </dev/null &
    CHILD=$!
    wait "$CHILD" || status=$?
    CHILD=''
    return "$status"
}
