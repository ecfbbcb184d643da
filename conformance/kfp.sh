#!/bin/sh
# Pipelines, by the unmodified kfp client: on the cluster of KUBECONFIG, else on an embedded one of its own.
#
#   kfp.sh [PART…]     names, cases, invalid, api, commands, upstream, beside, corpus; all but the last two where none is
#                      named
#
#   names     the harness finds what it should, and the tables say something of every file and of no other
#   cases     a pipeline for every construct, compiled here and compared with cases.toml
#   invalid   what must be refused with its reason
#   api       what the API does besides: experiments, versions, lists, recurring runs, who may ask
#   commands  the command line, where there is a gateway
#   upstream  what is handed to a step compared with what upstream's own code makes of it, and pipelines with faults planted
#   beside    what there is only where `ferroflow serve` runs beside another cluster (beside.sh)
#   corpus    upstream's own test data, which is fetched (kfp/corpus.sh), compared with corpus.toml
#
# FERROFLOW_GATEWAY and FERROFLOW_TOKEN say where the API is, as `ferroflow env` prints them; without them it is asked
# through the API server, as `kfp.Client()` does by itself. FERROFLOW_KFP_HAS names what is here beyond the usual, with
# spaces between (kfp/kit/table.py). FERROFLOW_KFP_WORDS names cases of `cases` and files of `corpus`, by words of their
# names. Each part prints `N passed, N failed, N skipped`; the last line sums them up.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
all="names cases invalid api commands upstream"
[ $# -gt 0 ] || set -- $all
for part; do
    case " $all beside corpus " in *" $part "*) ;; *) echo "kfp.sh: no part $part; there are: $all beside corpus" >&2; exit 1 ;; esac
done
if [ -z "${KUBECONFIG:-}" ] && [ "$*" != names ]; then
    case " $* " in *" corpus "*)
        # Its archive is read before the cluster is up, and removed with the machine's other temporary files.
        busybox=${TMPDIR:-/tmp}/ferroflow-kfp-busybox-$(id -u).tar
        if python3 "$here/kfp/busybox.py" "$busybox"; then
            export FERROFLOW_LOAD="${FERROFLOW_LOAD:-} $busybox" FERROFLOW_KFP_HAS="${FERROFLOW_KFP_HAS:-gpu} busybox"
        fi
        ;;
    esac
    exec "$here/embedded.sh" exec --simulate nvidia.com/gpu=1 --images "$here/kfp/images.toml" -- "$0" "$@"
fi
# An embedded cluster's gateway is in its record; cases then go through the API server, and the others by the gateway. Where
# the gateway is told, everything goes by it.
beside=${FERROFLOW_GATEWAY:-}
record=$(dirname "${KUBECONFIG:-none}")/server.json
if [ -z "${FERROFLOW_GATEWAY:-}" ] && [ -e "$record" ]; then
    FERROFLOW_GATEWAY=http://$(sed -n 's/.*"gateway": "\([^"]*\)".*/\1/p' "$record")
    FERROFLOW_TOKEN=$(cat "$(dirname "$KUBECONFIG")/admin.token")
    FERROFLOW_KFP_HAS=${FERROFLOW_KFP_HAS:-gpu}
fi
python=$("$here/clients/environment.sh" "$here/kfp")
results=$(mktemp "${TMPDIR:-/tmp}/ferroflow-kfp-XXXXXX")
trap 'rm -f "$results" "$results".*' EXIT
trap 'exit 1' HUP INT TERM
export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 KFP_TOKEN="${FERROFLOW_TOKEN:-}"
gateway=
[ -z "${FERROFLOW_GATEWAY:-}" ] || gateway="--host $FERROFLOW_GATEWAY/pipeline"
has=
for one in ${FERROFLOW_KFP_HAS:-}; do has="$has --has $one"; done
[ -z "${FERROFLOW_KFP_NAMESPACE:-}" ] || has="$has --namespace $FERROFLOW_KFP_NAMESPACE"

harness() { # FOLDER TABLE [OPTION…]
    folder=$1 table=$2
    shift 2
    "$python" -W ignore "$here/kfp/run.py" "$folder" "$here/kfp/$table" "$@"
}
run_part() {
    case $1 in
    names)
        (cd "$here/kfp" && "$python" -m unittest -q kit.test) &&
            harness "$here/kfp/cases" cases.toml --compile --names-only && harness "$here/kfp/invalid" invalid-own.toml --names-only
        ;;
    cases)
        through=
        [ -z "$beside" ] || through="$gateway --timeout 300"
        harness "$here/kfp/cases" cases.toml --compile --objects "$here/kfp/objects.yaml" $through $has ${FERROFLOW_KFP_WORDS:-}
        ;;
    invalid) harness "$here/kfp/invalid" invalid-own.toml $gateway ;;
    api) "$python" -W ignore "$here/kfp/behaviour.py" $gateway ;;
    commands)
        [ -n "$gateway" ] || { echo "there is no gateway here"; echo "0 passed, 0 failed, 1 skipped"; return; }
        binary=${FERROFLOW_BINARY:-${CARGO_TARGET_DIR:-$(dirname "$here")/target}/release/ferroflow}
        # Beside a cluster there may be no way to a package index, by which `ferroflow run` has its own Python.
        own=
        [ -z "$beside" ] || own="--python $python"
        "$python" -W ignore "$here/kfp/commands.py" --binary "$binary" --gateway "$FERROFLOW_GATEWAY" $own
        ;;
    beside)
        [ -n "$beside" ] || { echo "ferroflow serve does not run here (beside.sh)"; echo "0 passed, 0 failed, 1 skipped"; return; }
        "$python" -W ignore "$here/kfp/behaviour.py" --part beside --parallel 1 $gateway
        ;;
    upstream)
        "$python" -W ignore "$here/kfp/differential.py" $gateway
        ;;
    corpus)
        corpus=$("$here/kfp/corpus.sh")
        harness "$corpus/valid" corpus.toml --objects "$here/kfp/corpus-objects.yaml" $gateway $has ${FERROFLOW_KFP_WORDS:-}
        harness "$corpus/invalid" invalid.toml $gateway
        ;;
    esac
}

status=0
for part; do
    echo "== $part =="
    run_part "$part" >"$results.$part" 2>&1 || status=1
    cat "$results.$part"
    grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$results.$part" >>"$results" || echo "0 passed, 1 failed, 0 skipped" >>"$results"
done
awk '{ p += $1; f += $3; s += $5 } END { printf "%d passed, %d failed, %d skipped\n", p, f, s }' "$results"
exit $status
