#!/bin/sh
# The remote shell of mpirun: runs a command line in the pod that a host of the hostfile names.
pod=${1%%.*}
shift
exec kubectl exec "$pod" -- /bin/sh -c "$*"
