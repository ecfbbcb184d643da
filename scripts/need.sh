# Sourced by the other scripts: checks for programs and says how to get those that are missing.
need() { # PROGRAM HOW
    command -v "$1" >/dev/null 2>&1 && return
    echo "error: $1 is needed and not on the PATH; $2" >&2
    exit 1
}
need_all() {
    need cargo "install Rust 1.95 with rustup (https://rustup.rs)"
    need cc "install a C compiler (Debian: apt-get install gcc)"
    need python3 "install Python 3.10 or newer"
    need npm "install Node.js"
    need kubectl "install it (https://kubernetes.io/docs/tasks/tools), or run conformance/kubernetes/build.sh kubectl and add its folder to PATH"
}

# uv makes the Python environments of pods; where it is not installed, its wheel gives it to a folder of our own.
with_uv() {
    command -v uv >/dev/null 2>&1 && return
    tools="${XDG_CACHE_HOME:-$HOME/.cache}/ferroflow/tools"
    if [ ! -x "$tools/bin/uv" ]; then
        python3 -m venv "$tools" && "$tools/bin/pip" install --quiet uv || {
            echo "error: uv could not be installed into $tools; install it (pip install uv)" >&2
            exit 1
        }
    fi
    PATH="$PATH:$tools/bin"
    export PATH
}

# A registry to pull images from: Debian's program, taken out of its package into a folder of our own, since the
# package itself would start a server of the whole machine. Without it the tests that need one say that they are skipped.
with_registry() {
    command -v docker-registry >/dev/null 2>&1 && return
    registry="${XDG_CACHE_HOME:-$HOME/.cache}/ferroflow/docker-registry"
    if [ ! -x "$registry/usr/bin/docker-registry" ]; then
        mkdir -p "$registry"
        (cd "$registry" && apt-get download -q docker-registry && dpkg-deb -x docker-registry_*.deb . \
            && rm docker-registry_*.deb) >&2 || {
            echo "note: there is no docker-registry here (a package of Debian); pulling from one is not tested" >&2
            return 0
        }
    fi
    PATH="$PATH:$registry/usr/bin"
    export PATH
}

# PostgreSQL, which tests of the record store start on data of their own: Debian's package, installed without the server for
# the whole machine that it would make and start. Without it the tests that need one say that they are skipped.
with_postgres() {
    ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 && return
    local settings=/etc/postgresql-common/createcluster.conf
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "note: there is no PostgreSQL here (the package postgresql); records are tested on SQLite alone" >&2
        return 0
    fi
    {
        { apt-get install -y -q --no-install-recommends postgresql-common || {
            apt-get update -q && apt-get install -y -q --no-install-recommends postgresql-common; }; } \
            && cp "$settings" "$settings.before" \
            && echo 'create_main_cluster = false' >> "$settings" \
            && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends postgresql
        [ ! -e "$settings.before" ] || mv "$settings.before" "$settings"
    } >&2
    ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 \
        || echo "note: PostgreSQL could not be installed; records are tested on SQLite alone" >&2
}

# newuidmap and newgidmap, by which an ordinary user's pods have many user ids: Debian's programs, taken out of their package
# into a folder of our own, as above. Says where they are; nothing where there are none.
uidmap_programs() {
    local folder="${XDG_CACHE_HOME:-$HOME/.cache}/ferroflow/uidmap"
    if command -v newuidmap >/dev/null 2>&1; then
        dirname "$(command -v newuidmap)"
        return
    fi
    if [ ! -x "$folder/usr/bin/newuidmap" ]; then
        mkdir -p "$folder"
        (cd "$folder" && apt-get download -q uidmap && dpkg-deb -x uidmap_*.deb . && rm uidmap_*.deb) >&2 || return 0
    fi
    echo "$folder/usr/bin"
}

# The program of `cargo xtask`: FERROFLOW_XTASK names one that is built already.
xtask_program() {
    if [ -z "${FERROFLOW_XTASK:-}" ]; then
        cargo build --quiet --bin xtask >&2
        FERROFLOW_XTASK="${CARGO_TARGET_DIR:-$PWD/target}/debug/xtask"
    fi
    echo "$FERROFLOW_XTASK"
}
