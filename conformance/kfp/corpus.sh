#!/bin/sh
# Brings the corpus of kubeflow/pipelines that corpus.toml is about, once, outside of the tree, and prints its folder.
# FERROFLOW_KFP_CORPUS names a checkout of that repository that is here already.
set -eu

commit=7b70c7b95f6832772efd6fd0029a4024491a0f44
within=test_data/sdk_compiled_pipelines
if [ -n "${FERROFLOW_KFP_CORPUS:-}" ]; then
    [ -d "$FERROFLOW_KFP_CORPUS/$within" ] || { echo "corpus.sh: $FERROFLOW_KFP_CORPUS has no $within" >&2; exit 1; }
    echo "$FERROFLOW_KFP_CORPUS/$within"
    exit
fi
target=${XDG_CACHE_HOME:-$HOME/.cache}/ferroflow/kfp-corpus-$commit
if [ ! -d "$target/$within" ]; then
    mkdir -p "$(dirname "$target")"
    part=$(mktemp -d "$target.part-XXXXXX")
    trap 'rm -rf "$part"' EXIT
    trap 'exit 1' HUP INT TERM
    git -C "$part" init -q
    git -C "$part" fetch -q --depth 1 --filter=blob:none https://github.com/kubeflow/pipelines "$commit" >&2 || {
        echo "corpus.sh: the corpus cannot be fetched; FERROFLOW_KFP_CORPUS names a checkout that is here" >&2
        exit 1
    }
    git -C "$part" sparse-checkout set "$within"
    git -C "$part" checkout -q FETCH_HEAD >&2
    rm -rf "$part/.git"
    mv -T "$part" "$target" 2>/dev/null || [ -d "$target/$within" ]
fi
echo "$target/$within"
