#!/bin/sh
# Writes a kubeconfig of the service account of rights.yaml, for `ferroflow server --kubeconfig` on a machine beside the
# cluster that kubectl leads to.
#
#   kubeconfig.sh FILE [DURATION]      the token is good for DURATION: 8760h (a year), or as long as the cluster allows
#
# A server reads the file when it starts: write it anew, and start the server again, before the token is over.
set -eu
file=$1 duration=${2:-8760h}
umask 077
authority=$(mktemp)
trap 'rm -f "$authority"' EXIT
view() { kubectl config view --raw --flatten --minify --output "jsonpath={.clusters[0].cluster.$1}"; }
server=$(view server)
view certificate-authority-data | base64 --decode >"$authority"
token=$(kubectl --namespace ferroflow create token ferroflow --duration="$duration")
rm -f "$file"
own() { kubectl --kubeconfig "$file" config "$@" >/dev/null; }
if [ -s "$authority" ]; then
    own set-cluster ferroflow --server="$server" --certificate-authority="$authority" --embed-certs=true
else
    own set-cluster ferroflow --server="$server"
fi
own set-credentials ferroflow --token="$token"
own set-context ferroflow --cluster=ferroflow --user=ferroflow --namespace=ferroflow
own use-context ferroflow
