"""Pods with a volume of each type."""

from ..asking import Thing
from .pods import CONTAINER, pod

TOKEN = {"serviceAccountToken": {"path": "t"}}
VOLUMES = {
    "emptyDir": [{}, {"medium": "Memory", "sizeLimit": "1024Mi"}],
    "hostPath": [{"path": "/a"}, {"path": "/a", "type": "DirectoryOrCreate"}],
    "configMap": [{"name": "m"}, {"name": "m", "items": [{"key": "k", "path": "p/q", "mode": 256}], "defaultMode": 292, "optional": True}],
    "secret": [{"secretName": "s"}, {"secretName": "s", "items": [{"key": "k", "path": "p"}], "defaultMode": 256, "optional": False}],
    "downwardAPI": [{"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}, {"path": "c", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}, "mode": 256}]}],
    "projected": [
        {"sources": [TOKEN, {"configMap": {"name": "m"}}, {"secret": {"name": "s", "optional": True}}, {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}]},
        {"defaultMode": 256, "sources": [{"serviceAccountToken": {"path": "u", "audience": "a", "expirationSeconds": 700}}, {"clusterTrustBundle": {"name": "x", "path": "b"}}]},
    ],
    "persistentVolumeClaim": [{"claimName": "c"}, {"claimName": "c", "readOnly": True}],
    "ephemeral": [{"volumeClaimTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}}}],
    "csi": [{"driver": "d.example.org"}, {"driver": "d.example.org", "readOnly": True, "fsType": "ext4", "volumeAttributes": {"a": "b"}, "nodePublishSecretRef": {"name": "s"}}],
    "nfs": [{"server": "s", "path": "/p"}],
    "iscsi": [{"targetPortal": "1.1.1.1:3260", "iqn": "iqn.2001-04.com.example:a", "lun": 0}],
    "fc": [{"targetWWNs": ["1"], "lun": 2}],
    "rbd": [{"monitors": ["m"], "image": "i"}],
    "cephfs": [{"monitors": ["m"]}],
    "glusterfs": [{"endpoints": "e", "path": "p"}],
    "flexVolume": [{"driver": "a/b", "options": {"x": "y"}}],
    "azureDisk": [{"diskName": "d", "diskURI": "https://d"}],
    "azureFile": [{"secretName": "s", "shareName": "h"}],
    "awsElasticBlockStore": [{"volumeID": "v"}],
    "gcePersistentDisk": [{"pdName": "d"}],
    "cinder": [{"volumeID": "v"}],
    "vsphereVolume": [{"volumePath": "p"}],
    "photonPersistentDisk": [{"pdID": "d"}],
    "portworxVolume": [{"volumeID": "v"}],
    "quobyte": [{"registry": "r:1", "volume": "v"}],
    "scaleIO": [{"gateway": "g", "system": "s", "volumeName": "v", "secretRef": {"name": "x"}}],
    "storageos": [{"volumeName": "v"}],
    "flocker": [{"datasetName": "d"}],
    "gitRepo": [{"repository": "r"}],
    "image": [{"reference": "r"}],
}
MOUNTS = [
    {"name": "v0", "mountPath": "/a"}, {"name": "v0", "mountPath": "/b", "readOnly": True, "subPath": "x", "recursiveReadOnly": "IfPossible"},
    {"name": "v0", "mountPath": "/c", "subPathExpr": "$(A)", "mountPropagation": "HostToContainer"},
]


def things(_):
    container = {**CONTAINER, "env": [{"name": "A", "value": "a"}], "volumeMounts": MOUNTS}
    block = {**CONTAINER, "volumeDevices": [{"name": "v0", "devicePath": "/dev/x"}]}
    variants = {}
    for kind, sources in VOLUMES.items():
        held = block if kind == "persistentVolumeClaim" else container
        variants[f"volume {kind}"] = pod(held, volumes=[{"name": f"v{index}", kind: source} for index, source in enumerate(sources)])
    variants["volume without a type"] = pod(container, volumes=[{"name": "v0"}])
    return [Thing("v1", "pods", "Pod", variants, kept="never")]
