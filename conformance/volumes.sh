#!/bin/sh
# Volumes of the class `standard` for the cluster of KUBECONFIG, where it has no such class: directories of its first node, since
# nothing makes volumes there. What was used is not used again.
set -eu

kubectl get storageclass standard >/dev/null 2>&1 && exit
node=$(kubectl get nodes -o 'jsonpath={.items[0].metadata.name}')
{
    printf '%s\n' 'apiVersion: storage.k8s.io/v1' 'kind: StorageClass' 'metadata: {name: standard}' \
        'provisioner: kubernetes.io/no-provisioner' 'reclaimPolicy: Retain'
    number=0
    while [ "$number" -lt 16 ]; do
        printf '%s\n' --- 'apiVersion: v1' 'kind: PersistentVolume' "metadata: {name: \"standard-$$-$number\"}" 'spec:' \
            '  storageClassName: standard' '  capacity: {storage: 1Gi}' '  accessModes: [ReadWriteOnce]' \
            "  hostPath: {path: \"/var/lib/standard-$$-$number\", type: DirectoryOrCreate}" \
            '  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [' \
            "    {key: kubernetes.io/hostname, operator: In, values: [\"$node\"]}]}]}}"
        number=$((number + 1))
    done
} | kubectl apply -f - >/dev/null
