#!/bin/sh
# Builds programs of the Kubernetes that go.mod pins, once, and prints the directory that holds them.
#
#   build.sh [PROGRAM…]      all of them where none is named
#
# The directory is named by a digest of what goes into the build, so a change of a pin builds anew and a second run
# of the same tree builds nothing. Each program appears under its name only when it is whole.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
all="kube-apiserver kubectl agnhost ginkgo e2e.test"

fail() { echo "build.sh: $1" >&2; exit 1; }

digest_of_inputs() {
    cat "$here/go.mod" "$here/go.sum" "$here/tools.go" "$here/build.sh" | sha256sum | cut -c1-16
}

build() { # PROGRAM OUTPUT
    case $1 in
    kube-apiserver | kubectl) go build $flags -ldflags "$stamp" -o "$2" "k8s.io/kubernetes/cmd/$1" ;;
    agnhost) go build $flags -ldflags "$stamp" -o "$2" k8s.io/kubernetes/test/images/agnhost ;;
    ginkgo) go build $flags -ldflags "-s -w" -o "$2" github.com/onsi/ginkgo/v2/ginkgo ;;
    e2e.test) go test -c $flags -ldflags "$stamp" -o "$2" k8s.io/kubernetes/test/e2e ;;
    *) fail "no program $1; there are: $all" ;;
    esac
}

target=${XDG_CACHE_HOME:-$HOME/.cache}/ferroflow/kubernetes-$(digest_of_inputs)
[ $# -gt 0 ] || set -- $all
missing=
for program; do
    [ -x "$target/$program" ] || missing="$missing $program"
done
if [ -z "$missing" ]; then
    echo "$target"
    exit
fi

command -v go >/dev/null || fail "go is not on the PATH: install Go 1.24 or newer, or put the programs into $target"
version=$(sed -n 's/^[[:space:]]*k8s.io\/kubernetes \(v[0-9.]*\)$/\1/p' "$here/go.mod")
[ -n "$version" ] || fail "go.mod pins no k8s.io/kubernetes"
stamp="-s -w -X k8s.io/component-base/version.gitVersion=$version -X k8s.io/client-go/pkg/version.gitVersion=$version"
flags="-trimpath -buildvcs=false"
export CGO_ENABLED=0

mkdir -p "$target"
exec 9>"$target/.lock"
if command -v flock >/dev/null; then flock 9; fi
part=$(mktemp -d "$target/.part-XXXXXX")
trap 'rm -rf "$part"' EXIT
trap 'exit 1' HUP INT TERM
cd "$here"
for program in $missing; do
    [ -x "$target/$program" ] && continue
    echo "building $program $version" >&2
    build "$program" "$part/$program"
    mv "$part/$program" "$target/$program"
done
echo "$target"
