//! Kinds of the group `storage.k8s.io`. CSIStorageCapacities are printed plainly.

use serde_json::Value;

use super::column::{AGE, Column, NAME, Printer, boolean, integer, text};
use super::view::View;

const GROUP: &str = "storage.k8s.io";

pub(super) const PRINTERS: &[Printer] = &[
    Printer::new(
        GROUP,
        "StorageClass",
        &[
            NAME,
            text("Provisioner", "Who makes volumes of the class"),
            text("ReclaimPolicy", "What happens to a volume when its claim is gone"),
            text("VolumeBindingMode", "When claims are bound to volumes"),
            text("AllowVolumeExpansion", "Whether volumes may grow"),
            AGE,
        ],
        storage_class,
    ),
    Printer::new(
        GROUP,
        "VolumeAttributesClass",
        &[NAME, text("DriverName", "The driver whose volumes the class is for"), AGE],
        |class| vec![class.name(), Value::from(class.text("/driverName")), class.age()],
    ),
    Printer::new(
        GROUP,
        "VolumeAttachment",
        &[
            NAME,
            Column { format: "name", ..text("Attacher", "The driver that attaches the volume") },
            text("PV", "The volume"),
            text("Node", "The node to which the volume is attached"),
            boolean("Attached", "Whether the volume is attached"),
            AGE,
        ],
        volume_attachment,
    ),
    Printer::new(GROUP, "CSINode", &[NAME, integer("Drivers", "Drivers on the node"), AGE], |node| {
        vec![node.name(), Value::from(node.count("/spec/drivers")), node.age()]
    }),
    Printer::new(
        GROUP,
        "CSIDriver",
        &[
            NAME,
            boolean("AttachRequired", "Whether volumes are attached before they are mounted"),
            boolean("PodInfoOnMount", "Whether the driver is told which pod mounts"),
            boolean("StorageCapacity", "Whether the scheduler looks at the driver's capacity"),
            text("TokenRequests", "Audiences of the tokens that the driver gets"),
            boolean("RequiresRepublish", "Whether volumes are published again from time to time"),
            text("Modes", "Lifecycles of volumes that the driver supports"),
            AGE,
        ],
        csi_driver,
    ),
];

const DEFAULT_CLASS_ANNOTATIONS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

fn storage_class(class: &View<'_>) -> Vec<Value> {
    let default = DEFAULT_CLASS_ANNOTATIONS.iter().any(|name| class.annotation(name) == Some("true"));
    let suffix = if default { " (default)" } else { "" };
    vec![
        Value::from(format!("{}{suffix}", class.text("/metadata/name"))),
        Value::from(class.text("/provisioner")),
        Value::from(class.optional_text("/reclaimPolicy", "Delete")),
        Value::from(class.optional_text("/volumeBindingMode", "Immediate")),
        Value::from(class.boolean("/allowVolumeExpansion")),
        class.age(),
    ]
}

fn volume_attachment(attachment: &View<'_>) -> Vec<Value> {
    vec![
        attachment.name(),
        Value::from(attachment.text("/spec/attacher")),
        Value::from(attachment.text("/spec/source/persistentVolumeName")),
        Value::from(attachment.text("/spec/nodeName")),
        Value::from(attachment.boolean("/status/attached")),
        attachment.age(),
    ]
}

fn csi_driver(driver: &View<'_>) -> Vec<Value> {
    let modes = driver.texts("/spec/volumeLifecycleModes").join(",");
    let audiences: Vec<&str> = driver.parts("/spec/tokenRequests").map(|token| token.text("/audience")).collect();
    let tokens = if driver.has("/spec/tokenRequests") { audiences.join(",") } else { "<unset>".to_owned() };
    let attach = driver.get("/spec/attachRequired").and_then(Value::as_bool).unwrap_or(true);
    vec![
        driver.name(),
        Value::from(attach),
        Value::from(driver.boolean("/spec/podInfoOnMount")),
        Value::from(driver.boolean("/spec/storageCapacity")),
        Value::from(tokens),
        Value::from(driver.boolean("/spec/requiresRepublish")),
        Value::from(if modes.is_empty() { "<none>".to_owned() } else { modes }),
        driver.age(),
    ]
}
