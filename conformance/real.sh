#!/usr/bin/env bash
# Starts a real cluster, runs suites and examples on it inside of its network, and removes it.
#
#   real.sh                          the clients' suites, the services beside Kubernetes, pipelines, and the examples
#   real.sh [--nodes N] PART…        raw, faults, answers, kubectl, python, model, services, kfp, mnist, replicas, distributed,
#                                    image, kube-rs, kfp-all, mnist-pipeline, install, kfp-installed, mnist-installed, chaos
#
# The last seven are run only where they are named. `services` asks, from within pods, for what stands beside Kubernetes: the
# package index, and S3 and PostgreSQL, which the cluster is given where this part is run. `kfp` is pipelines by
# `ferroflow serve` beside the cluster (beside.sh): some of the cases, and what there is only there; `kfp-all` is all of it.
# `install` puts Ferroflow into the cluster (install.sh), which is given two nodes, S3 and PostgreSQL for it; others leave
# things of Ferroflow behind, so it is best named alone. `kfp-installed` and `mnist-installed` are all of pipelines and the
# example by such servers (installed.sh). `chaos` does so while things go wrong (chaos.sh, whose options are in
# FERROFLOW_CHAOS, as `--short`). `image` runs the release binary in the image that is made of it. Each part prints
# `N passed, N failed, N skipped` or counts as one; the last line sums them up. It fails when one failed, or when this machine
# lacks something for a real cluster, with what that is.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/need.sh
with_uv

suites="raw faults answers kubectl python model services kfp"
examples="mnist replicas distributed image"
named="kube-rs kfp-all mnist-pipeline install kfp-installed mnist-installed chaos"
# Cases that a real node, scheduler or cluster decides, and one or two of everything else.
some="secret config-maps pod-metadata empty-directories claim workspace tolerations no-node timeout-of image-policy task-conf
    resources unknown-image out-of-memory killed-by missing-program python-types artifact-of-directories retry-until
    to-be-terminated exit-handler#failed loop-over-output cache-of-artifacts"
nodes=1
if [ "${1:-}" = --nodes ]; then
    nodes="$2"
    shift 2
fi
[ $# -gt 0 ] || set -- $suites $examples
for part; do
    case " $suites $examples $named " in
    *" $part "*) ;;
    *) echo "real.sh: no part $part; there are: $suites $examples $named" >&2; exit 1 ;;
    esac
done

beside=()
case " $* " in
*" install "* | *installed* | *" chaos "*) beside=(--with s3 --with postgres) nodes=2 ;;
*" services "*) beside=(--with s3 --with postgres) ;;
esac

program="$(xtask_program)"
xtask() { "$program" cluster "$@"; }
lacking="$(xtask lacking "${beside[@]}")" || {
    echo "error: a real cluster cannot be started here; missing: ${lacking//$'\n'/, }" >&2
    exit 1
}
log="$(mktemp)"
finish() {
    status=$?
    rm -f "$log"
    xtask down || status=1
    exit $status
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# There is no way out of the cluster's network, so what suites need is brought beforehand.
for part; do
    [ "$part" != distributed ] || archive="$(xtask images distributed)"
    [ "$part" != kube-rs ] || export FERROFLOW_KUBE_RS="$(conformance/kube_rs_program.sh)"
    [ ! -e "conformance/clients/$part/requirements.txt" ] ||
        conformance/clients/environment.sh "conformance/clients/$part" >/dev/null
    case $part in kfp | kfp-all | mnist-pipeline | *install* | chaos)
        conformance/clients/environment.sh conformance/kfp >/dev/null
        [ -x "${FERROFLOW_BINARY:-${CARGO_TARGET_DIR:-target}/release/ferroflow}" ] ||
            cargo build --quiet --release --package ferroflow
        ;;
    esac
done
PATH="$PATH:$(conformance/kubernetes/build.sh kubectl)"
export PATH
xtask up --nodes "$nodes" --simulate nvidia.com/gpu=4 "${beside[@]}"
[ -z "${archive:-}" ] || xtask load "$archive"

passed=0 failed=0 skipped=0
count() { # LAST-LINE STATUS
    if [[ $1 =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]]; then
        passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2])) skipped=$((skipped + BASH_REMATCH[3]))
        [ "$2" = 0 ] || [ "${BASH_REMATCH[2]}" != 0 ] || failed=$((failed + 1))
    elif [ "$2" = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
}
for part; do
    printf '\n== %s on the real cluster\n' "$part"
    case $part in
    mnist | replicas | distributed) command=("examples/$part/run.sh") ;;
    image | services) command=("conformance/$part.sh") ;;
    install) read -r -a options <<<"${FERROFLOW_INSTALL:-}" && command=(conformance/install.sh "${options[@]}") ;;
    kfp-installed) command=(conformance/installed.sh conformance/kfp.sh cases invalid api commands) ;;
    mnist-installed) command=(conformance/installed.sh examples/mnist-pipeline/run.sh) ;;
    chaos) read -r -a options <<<"${FERROFLOW_CHAOS:-}" && command=(conformance/chaos.sh "${options[@]}") ;;
    kube-rs) command=(conformance/kube_rs.sh) ;;
    kfp) command=(env "FERROFLOW_KFP_WORDS=$some" conformance/beside.sh conformance/kfp.sh cases invalid api commands beside) ;;
    kfp-all) command=(conformance/beside.sh conformance/kfp.sh cases invalid api commands beside) ;;
    mnist-pipeline) command=(conformance/beside.sh examples/mnist-pipeline/run.sh) ;;
    *) command=(conformance/clients.sh "$part") ;;
    esac
    status=0
    xtask exec -- "${command[@]}" 2>&1 | tee "$log" || status=$?
    count "$(tail -1 "$log")" "$status"
done
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
