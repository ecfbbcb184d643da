//! Kinds of the core group that have no file of their own.

use serde_json::Value;

use super::column::{AGE, CONTAINERS, IMAGES, NAME, Printer, SELECTOR, integer, text, wide};
use super::view::{View, plain};

pub(super) const PRINTERS: &[Printer] = &[
    Printer::new("", "Namespace", &[NAME, text("Status", "Phase of the namespace"), AGE], |namespace| {
        vec![namespace.name(), Value::from(namespace.text("/status/phase")), namespace.age()]
    }),
    Printer::new(
        "",
        "Secret",
        &[NAME, text("Type", "What the secret is for"), text("Data", "Number of entries"), AGE],
        |secret| {
            let kind = Value::from(secret.text("/type"));
            vec![secret.name(), kind, Value::from(secret.count("/data")), secret.age()]
        },
    ),
    Printer::new("", "ConfigMap", &[NAME, text("Data", "Number of entries"), AGE], |map| {
        vec![map.name(), Value::from(map.count("/data") + map.count("/binaryData")), map.age()]
    }),
    Printer::new("", "ServiceAccount", &[NAME, text("Secrets", "Number of secrets"), AGE], |account| {
        vec![account.name(), Value::from(account.count("/secrets")), account.age()]
    }),
    Printer::new(
        "",
        "ReplicationController",
        &[
            NAME,
            integer("Desired", "Pods that there should be"),
            integer("Current", "Pods that there are"),
            integer("Ready", "Pods that are ready"),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        replication_controller,
    ),
    Printer::new(
        "",
        "PodTemplate",
        &[
            NAME,
            text("Containers", "Names of the containers in the template"),
            text("Images", "Images of the containers in the template"),
            text("Pod Labels", "Labels of the template"),
        ],
        pod_template,
    ),
    Printer::new(
        "",
        "ResourceQuota",
        &[
            NAME,
            text("Request", "What is used of each resource, and how much may be"),
            text("Limit", "What is used of each limit, and how much may be"),
            AGE,
        ],
        resource_quota,
    ),
    Printer::new(
        "",
        "PersistentVolume",
        &[
            NAME,
            text("Capacity", "Size of the volume"),
            text("Access Modes", "How the volume can be mounted"),
            text("Reclaim Policy", "What happens to the volume when its claim is gone"),
            text("Status", "Phase of the volume"),
            text("Claim", "The claim to which the volume is bound"),
            text("StorageClass", "Class of the volume"),
            text("VolumeAttributesClass", "Attributes class of the volume"),
            text("Reason", "Why the volume is in this phase"),
            AGE,
            wide("VolumeMode", "File system or block device"),
        ],
        persistent_volume,
    ),
    Printer::new(
        "",
        "PersistentVolumeClaim",
        &[
            NAME,
            text("Status", "Phase of the claim"),
            text("Volume", "The volume to which the claim is bound"),
            text("Capacity", "Size of the volume"),
            text("Access Modes", "How the volume can be mounted"),
            text("StorageClass", "Class of the claim"),
            text("VolumeAttributesClass", "Attributes class of the claim"),
            AGE,
            wide("VolumeMode", "File system or block device"),
        ],
        persistent_volume_claim,
    ),
    Printer::new(
        "",
        "ComponentStatus",
        &[
            NAME,
            text("Status", "Whether the component is healthy"),
            text("Message", "What the component says"),
            text("Error", "What is wrong with the component"),
        ],
        component_status,
    ),
];

fn replication_controller(controller: &View<'_>) -> Vec<Value> {
    let mut cells = vec![
        controller.name(),
        Value::from(controller.integer("/spec/replicas")),
        Value::from(controller.integer("/status/replicas")),
        Value::from(controller.integer("/status/readyReplicas")),
        controller.age(),
    ];
    cells.extend(controller.containers("/spec/template/spec/containers"));
    cells.push(Value::from(controller.labels("/spec/selector")));
    cells
}

fn pod_template(template: &View<'_>) -> Vec<Value> {
    let [names, images] = template.containers("/template/spec/containers");
    vec![template.name(), names, images, Value::from(template.labels("/template/metadata/labels"))]
}

fn resource_quota(quota: &View<'_>) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (name, hard) in quota.members("/status/hard") {
        let used = quota.quantity("/status/used", name);
        let column = if name.starts_with("limits.") { &mut limits } else { &mut requests };
        column.push(format!("{name}: {used}/{}", plain(hard)));
    }
    vec![quota.name(), Value::from(requests.join(", ")), Value::from(limits.join(", ")), quota.age()]
}

fn persistent_volume(volume: &View<'_>) -> Vec<Value> {
    let claim = match volume.has("/spec/claimRef") {
        true => format!("{}/{}", volume.text("/spec/claimRef/namespace"), volume.text("/spec/claimRef/name")),
        false => String::new(),
    };
    vec![
        volume.name(),
        Value::from(volume.quantity("/spec/capacity", "storage")),
        Value::from(access_modes(volume, "/spec/accessModes")),
        Value::from(volume.text("/spec/persistentVolumeReclaimPolicy")),
        phase(volume),
        Value::from(claim),
        class(volume),
        attributes_class(volume),
        Value::from(volume.text("/status/reason")),
        volume.age(),
        Value::from(volume.optional_text("/spec/volumeMode", "<unset>")),
    ]
}

fn persistent_volume_claim(claim: &View<'_>) -> Vec<Value> {
    let volume = claim.text("/spec/volumeName");
    let (capacity, modes) = match volume {
        "" => (String::new(), String::new()),
        _ => (claim.quantity("/status/capacity", "storage"), access_modes(claim, "/status/accessModes")),
    };
    vec![
        claim.name(),
        phase(claim),
        Value::from(volume),
        Value::from(capacity),
        Value::from(modes),
        class(claim),
        attributes_class(claim),
        claim.age(),
        Value::from(claim.optional_text("/spec/volumeMode", "<unset>")),
    ]
}

fn phase(object: &View<'_>) -> Value {
    Value::from(if object.deleted() { "Terminating" } else { object.text("/status/phase") })
}

fn class(object: &View<'_>) -> Value {
    let annotation = object.annotation("volume.beta.kubernetes.io/storage-class");
    Value::from(annotation.unwrap_or_else(|| object.text("/spec/storageClassName")))
}

fn attributes_class(object: &View<'_>) -> Value {
    Value::from(object.optional_text("/spec/volumeAttributesClassName", "<unset>"))
}

fn access_modes(object: &View<'_>, path: &str) -> String {
    let modes = object.texts(path);
    let short =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let listed: Vec<&str> = short.iter().filter(|(mode, _)| modes.contains(mode)).map(|(_, short)| *short).collect();
    listed.join(",")
}

fn component_status(component: &View<'_>) -> Vec<Value> {
    let healthy = component.condition("/conditions", "Healthy");
    let status = match healthy.map(|condition| condition.text("/status")) {
        Some("True") => "Healthy",
        Some(_) => "Unhealthy",
        None => "Unknown",
    };
    let told = |path: &str| Value::from(healthy.map_or("", |condition| condition.text(path)));
    vec![component.name(), Value::from(status), told("/message"), told("/error")]
}
