"""Volumes, claims, classes and what drivers write down."""

from ..asking import Thing, merged
from .pods import LABELS

GROUP = "storage.k8s.io/v1"
HOST = {"capacity": {"storage": "1024Mi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/a"}}
ZONES = {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}]}}
VOLUMES = {
    "nfs": {"server": "s", "path": "/p"}, "local": {"path": "/l"}, "csi": {"driver": "d.example.org", "volumeHandle": "h", "volumeAttributes": {"a": "b"}, "controllerExpandSecretRef": {"name": "s", "namespace": "n"}},
    "iscsi": {"targetPortal": "1.1.1.1:3260", "iqn": "iqn.2001-04.com.example:a", "lun": 0}, "fc": {"wwids": ["w"]}, "rbd": {"monitors": ["m"], "image": "i"}, "azureDisk": {"diskName": "d", "diskURI": "https://d"},
    "azureFile": {"secretName": "s", "shareName": "h"}, "scaleIO": {"gateway": "g", "system": "s", "volumeName": "v", "secretRef": {"name": "x"}}, "awsElasticBlockStore": {"volumeID": "v"},
    "cephfs": {"monitors": ["m"]}, "glusterfs": {"endpoints": "e", "path": "p"}, "flexVolume": {"driver": "a/b"}, "gcePersistentDisk": {"pdName": "p"}, "vsphereVolume": {"volumePath": "p"},
}


def volumes():
    variants = {"minimal": {"spec": HOST}}
    for kind, source in VOLUMES.items():
        affinity = {"nodeAffinity": ZONES} if kind == "local" else {}
        variants[kind] = {"spec": {"capacity": {"storage": "1.5Gi"}, "accessModes": ["ReadOnlyMany", "ReadWriteOnce"], kind: source, **affinity}}
    rich = {**HOST, "hostPath": {"path": "/a", "type": "Directory"}, "accessModes": ["ReadWriteMany", "ReadWriteOncePod"], "persistentVolumeReclaimPolicy": "Delete", "storageClassName": "x", "volumeMode": "Block", "mountOptions": ["ro"], "nodeAffinity": ZONES}
    variants["rich"] = {"spec": {**rich, "accessModes": ["ReadWriteOncePod"], "claimRef": {"namespace": "n", "name": "c"}}, "status": {"phase": "Bound"}, "metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "y"}}}
    variants["csi of a class"] = merged(variants["csi"], {"spec": {"volumeAttributesClassName": "v"}})
    return Thing("v1", "persistentvolumes", "PersistentVolume", variants, {"spec": {"persistentVolumeReclaimPolicy": "Delete"}}, scope="cluster", kept="moves")


def claims():
    plain = {"accessModes": ["ReadWriteOnce"], "storageClassName": "none.example.org", "resources": {"requests": {"storage": "1.5Gi"}}}
    variants = {
        "minimal": {"spec": plain},
        "rich": {"spec": {**plain, "accessModes": ["ReadWriteMany", "ReadOnlyMany"], "volumeMode": "Block", "volumeName": "none", "selector": {"matchLabels": LABELS}, "resources": {"requests": {"storage": "0.5"}, "limits": {"storage": "2Gi"}}, "volumeAttributesClassName": "v"}},
        "from a snapshot": {"spec": {**plain, "dataSource": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"}}},
        "from another claim": {"spec": {**plain, "dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "s"}}},
        "from what nobody knows": {"spec": {**plain, "dataSource": {"apiGroup": "x.org", "kind": "K", "name": "s"}}},
        "a class in an annotation": {"spec": {**plain, "storageClassName": None}, "metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "y"}}},
    }
    return Thing("v1", "persistentvolumeclaims", "PersistentVolumeClaim", variants, {"metadata": {"labels": LABELS}, "spec": {"resources": {"requests": {"storage": "1.5Gi"}}}})


def classes():
    variants = {
        "minimal": {"provisioner": "example.org/p"},
        "rich": {"provisioner": "example.org/p", "parameters": {"a": "b"}, "reclaimPolicy": "Retain", "allowVolumeExpansion": True, "mountOptions": ["ro"], "volumeBindingMode": "WaitForFirstConsumer", "allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": ["b", "a"]}]}]},
        "the default one": {"provisioner": "example.org/p", "allowVolumeExpansion": False, "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}},
    }
    return Thing(GROUP, "storageclasses", "StorageClass", variants, {"allowVolumeExpansion": True}, scope="cluster")


def things(_):
    drivers = {
        "minimal": {"spec": {}},
        "rich": {"spec": {"attachRequired": False, "podInfoOnMount": True, "volumeLifecycleModes": ["Ephemeral", "Persistent"], "storageCapacity": True, "fsGroupPolicy": "File", "tokenRequests": [{"audience": "a", "expirationSeconds": 700}, {"audience": ""}], "requiresRepublish": True, "seLinuxMount": True, "nodeAllocatableUpdatePeriodSeconds": 20}},
    }
    nodes = {"minimal": {"spec": {"drivers": []}}, "rich": {"spec": {"drivers": [{"name": "d.example.org", "nodeID": "n", "topologyKeys": ["zone", "a"], "allocatable": {"count": 3}}, {"name": "e.example.org", "nodeID": "m"}]}}}
    capacities = {"minimal": {"storageClassName": "x"}, "rich": {"storageClassName": "x", "nodeTopology": {"matchLabels": LABELS}, "capacity": "1024Mi", "maximumVolumeSize": "1.5Gi"}}
    attachment = {"attacher": "none.example.org", "nodeName": "none", "source": {"persistentVolumeName": "none"}}
    inline = {**attachment, "source": {"inlineVolumeSpec": {"accessModes": ["ReadWriteOnce"], "csi": {"driver": "d.example.org", "volumeHandle": "h"}}}}
    attachments = {"minimal": {"spec": attachment}, "inline": {"spec": inline}, "with a status": {"spec": attachment, "status": {"attached": True}}}
    attributes = {"minimal": {"driverName": "d.example.org", "parameters": {"a": "b"}}, "rich": {"driverName": "d.example.org", "parameters": {"b": "", "a": "c"}}}
    return [
        volumes(), claims(), classes(),
        Thing(GROUP, "csidrivers", "CSIDriver", drivers, {"spec": {"podInfoOnMount": True, "requiresRepublish": True}}, scope="cluster"),
        Thing(GROUP, "csinodes", "CSINode", nodes, {"metadata": {"labels": LABELS}}, scope="cluster"),
        Thing(GROUP, "csistoragecapacities", "CSIStorageCapacity", capacities, {"capacity": "2048Mi"}),
        Thing(GROUP, "volumeattachments", "VolumeAttachment", attachments, {"metadata": {"labels": LABELS}}, scope="cluster", kept="never"),
        Thing(GROUP, "volumeattributesclasses", "VolumeAttributesClass", attributes, {"metadata": {"labels": LABELS}}, scope="cluster"),
    ]
