#!/bin/sh
# Builds programs of the Kubernetes that go.mod pins, and what goes with it from modules of its own, once, and prints the
# directory of each module that holds them, a line each.
#
#   build.sh [PROGRAM…]      those that the suites need where none is named
#
# A directory is named by a digest of what pins its module, so a change of a pin builds anew, a second run of the same
# tree builds nothing, and a further program costs no other. Each program appears under its name only when it is whole.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
suites="kube-apiserver kubectl agnhost ginkgo e2e.test"
cluster="kube-controller-manager kube-scheduler kubelet kube-proxy"
# Programs that have a module of their own, of the same name.
modules="etcd coredns versitygw sample-apiserver nnp"

fail() { echo "build.sh: $1" >&2; exit 1; }

module_of() { # PROGRAM
    case " $modules " in *" $1 "*) echo "$1" && return ;; esac
    case " $suites $cluster " in
    *" $1 "*) echo kubernetes ;;
    *) fail "no program $1; there are: $suites $cluster $modules" ;;
    esac
}

source_of() { # MODULE
    case $1 in kubernetes) echo "$here" ;; *) echo "$here/$1" ;; esac
}

target_of() { # MODULE
    source=$(source_of "$1")
    digest=$(cat "$source/go.mod" "$source/go.sum" "$source"/main.go 2>/dev/null | sha256sum | cut -c1-16)
    echo "${XDG_CACHE_HOME:-$HOME/.cache}/ferroflow/$1-$digest"
}

build() { # PROGRAM OUTPUT
    case $1 in
    agnhost) go build $flags -ldflags "$stamp" -o "$2" k8s.io/kubernetes/test/images/agnhost ;;
    ginkgo) go build $flags -ldflags "-s -w" -o "$2" github.com/onsi/ginkgo/v2/ginkgo ;;
    # Vetting it would read all packages below it once more, and they are not ours.
    e2e.test) go test -c -vet=off $flags -ldflags "$stamp" -o "$2" k8s.io/kubernetes/test/e2e ;;
    etcd) go build $flags -ldflags "-s -w" -o "$2" go.etcd.io/etcd/server/v3 ;;
    versitygw) go build $flags -ldflags "-s -w" -o "$2" github.com/versity/versitygw/cmd/versitygw ;;
    sample-apiserver) go build $flags -ldflags "-s -w" -o "$2" k8s.io/sample-apiserver ;;
    coredns | nnp) go build $flags -ldflags "-s -w" -o "$2" . ;;
    *) go build $flags -ldflags "$stamp" -o "$2" "k8s.io/kubernetes/cmd/$1" ;;
    esac
}

build_missing() ( # MODULE PROGRAM…
    module=$1 target=$(target_of "$1")
    shift
    missing=
    for program; do
        [ -x "$target/$program" ] || missing="$missing $program"
    done
    [ -n "$missing" ] || exit 0
    command -v go >/dev/null || fail "go is not on the PATH: install Go 1.24 or newer, or put$missing into $target"
    mkdir -p "$target"
    exec 9>"$target/.lock"
    if command -v flock >/dev/null; then flock 9; fi
    part=$(mktemp -d "$target/.part-XXXXXX")
    trap 'rm -rf "$part"' EXIT
    trap 'exit 1' HUP INT TERM
    cd "$(source_of "$module")"
    for program in $missing; do
        [ -x "$target/$program" ] && continue
        echo "building $program" >&2
        build "$program" "$part/$program"
        mv "$part/$program" "$target/$program"
    done
)

version=$(sed -n 's/^[[:space:]]*k8s.io\/kubernetes \(v[0-9.]*\)$/\1/p' "$here/go.mod")
[ -n "$version" ] || fail "go.mod pins no k8s.io/kubernetes"
stamp="-s -w -X k8s.io/component-base/version.gitVersion=$version -X k8s.io/client-go/pkg/version.gitVersion=$version"
flags="-trimpath -buildvcs=false"
export CGO_ENABLED=0

[ $# -gt 0 ] || set -- $suites
wanted=
for program; do
    wanted="$wanted $(module_of "$program"):$program"
done
for module in kubernetes $modules; do
    programs=
    for one in $wanted; do
        [ "${one%%:*}" != "$module" ] || programs="$programs ${one#*:}"
    done
    [ -n "$programs" ] || continue
    build_missing "$module" $programs
    target_of "$module"
done
