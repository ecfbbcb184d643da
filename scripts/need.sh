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
