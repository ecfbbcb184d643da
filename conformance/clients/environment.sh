#!/bin/sh
# Makes the Python environment of a folder's requirements.txt once, outside the tree, and prints its interpreter.
#
#   environment.sh FOLDER
#
# The environment is named by a digest of the requirements; `uv` makes it where there is one, else `venv` and `pip`.
set -eu

requirements=$1/requirements.txt
digest=$(sha256sum <"$requirements" | cut -c1-16)
target=${XDG_CACHE_HOME:-$HOME/.cache}/ferroflow/clients-$digest
if [ ! -x "$target/bin/python" ]; then
    mkdir -p "$(dirname "$target")"
    part=$(mktemp -d "$target.part-XXXXXX")
    trap 'rm -rf "$part"' EXIT
    trap 'exit 1' HUP INT TERM
    # Only its interpreter is called, so it can be made beside its place and moved there whole.
    if command -v uv >/dev/null; then
        uv venv -q --relocatable "$part/env" >&2
        uv pip install -q --python "$part/env/bin/python" -r "$requirements" >&2
    else
        python3 -m venv "$part/env"
        "$part/env/bin/python" -m pip install -q -r "$requirements" >&2
    fi
    mv -T "$part/env" "$target" 2>/dev/null || [ -x "$target/bin/python" ]
fi
echo "$target/bin/python"
