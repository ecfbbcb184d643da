//! The platform document, of which Kubernetes is the platform that is known: each field by a table, as the proto has it.
//!
//! Executors' settings stay JSON, checked and in camelCase; `resolve` and `pod` make something of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Platform, Workspace, component, node::Node};
use crate::core::fault::Fault;

/// What a field of `KubernetesExecutorConfig` holds.
enum Shape {
    Text,
    Bool,
    /// An integer, which may be text.
    Integer,
    /// A map of text.
    TextMap,
    /// A `TaskInputsSpec.InputParameterSpec`.
    Input,
    /// Where a parameter comes from, in the deprecated way of `pvcMount`.
    OldOutput,
    Message(&'static [(&'static str, Shape)]),
    List(&'static Shape),
}

use Shape::{Bool, Input, Integer, List, Message, OldOutput, Text, TextMap};

const TEXTS: Shape = List(&Text);
const PAIR_OF_SECRET: Shape = Message(&[("secretKey", Text), ("envVar", Text)]);
const PAIR_OF_CONFIG: Shape = Message(&[("configMapKey", Text), ("envVar", Text)]);
const METADATA: &[(&str, Shape)] = &[("labels", TextMap), ("annotations", TextMap)];
const REQUIREMENT: Shape = Message(&[("key", Text), ("operator", Text), ("values", TEXTS)]);

/// `kubernetes_platform/proto/kubernetes_executor_config.proto`
const EXECUTOR: &[(&str, Shape)] = &[
    (
        "secretAsVolume",
        List(&Message(&[
            ("secretName", Text),
            ("mountPath", Text),
            ("optional", Bool),
            ("secretNameParameter", Input),
        ])),
    ),
    (
        "secretAsEnv",
        List(&Message(&[
            ("secretName", Text),
            ("keyToEnv", List(&PAIR_OF_SECRET)),
            ("optional", Bool),
            ("secretNameParameter", Input),
        ])),
    ),
    (
        "pvcMount",
        List(&Message(&[
            ("taskOutputParameter", OldOutput),
            ("constant", Text),
            ("componentInputParameter", Text),
            ("mountPath", Text),
            ("pvcNameParameter", Input),
            ("subPath", Text),
        ])),
    ),
    ("nodeSelector", Message(&[("labels", TextMap), ("nodeSelectorJson", Input)])),
    ("podMetadata", Message(METADATA)),
    ("imagePullSecret", List(&Message(&[("secretName", Text), ("secretNameParameter", Input)]))),
    ("imagePullPolicy", Text),
    (
        "configMapAsVolume",
        List(&Message(&[
            ("configMapName", Text),
            ("mountPath", Text),
            ("optional", Bool),
            ("configMapNameParameter", Input),
        ])),
    ),
    (
        "configMapAsEnv",
        List(&Message(&[
            ("configMapName", Text),
            ("keyToEnv", List(&PAIR_OF_CONFIG)),
            ("configMapNameParameter", Input),
            ("optional", Bool),
        ])),
    ),
    ("activeDeadlineSeconds", Integer),
    ("fieldPathAsEnv", List(&Message(&[("name", Text), ("fieldPath", Text)]))),
    (
        "tolerations",
        List(&Message(&[
            ("key", Text),
            ("operator", Text),
            ("value", Text),
            ("effect", Text),
            ("tolerationSeconds", Integer),
            ("tolerationJson", Input),
        ])),
    ),
    (
        "genericEphemeralVolume",
        List(&Message(&[
            ("volumeName", Text),
            ("mountPath", Text),
            ("accessModes", TEXTS),
            ("size", Text),
            ("defaultStorageClass", Bool),
            ("storageClassName", Text),
            ("metadata", Message(METADATA)),
        ])),
    ),
    (
        "nodeAffinity",
        List(&Message(&[
            ("matchExpressions", List(&REQUIREMENT)),
            ("matchFields", List(&REQUIREMENT)),
            ("weight", Integer),
            ("nodeAffinityJson", Input),
        ])),
    ),
    (
        "podAffinity",
        List(&Message(&[
            ("matchPodExpressions", List(&REQUIREMENT)),
            ("matchPodLabels", TextMap),
            ("topologyKey", Text),
            ("namespaces", TEXTS),
            ("matchNamespaceExpressions", List(&REQUIREMENT)),
            ("matchNamespaceLabels", TextMap),
            ("weight", Integer),
            ("anti", Bool),
        ])),
    ),
    ("enabledSharedMemory", Message(&[("volumeName", Text), ("size", Text)])),
    (
        "emptyDirMounts",
        List(&Message(&[("volumeName", Text), ("mountPath", Text), ("medium", Text), ("sizeLimit", Text)])),
    ),
    ("securityContext", Message(&[("runAsUser", Integer), ("runAsGroup", Integer), ("runAsNonRoot", Bool)])),
    (
        "initContainers",
        List(&Message(&[
            ("name", Text),
            ("image", Text),
            ("command", TEXTS),
            ("args", TEXTS),
            ("env", List(&Message(&[("name", Text), ("value", Text)]))),
            ("volumeMounts", List(&Message(&[("volumeName", Text), ("mountPath", Text)]))),
            ("restartPolicy", Text),
            ("resources", Message(&[("requests", TextMap), ("limits", TextMap)])),
        ])),
    ),
];

/// Reads `{"platforms": {"kubernetes": {…}}}`.
///
/// # Errors
/// The first fault and its place, also where another platform is named.
pub fn read(node: &Node<'_>) -> Result<Platform, Fault> {
    let mut platform = Platform::default();
    for (name, node) in node.fields(&["platforms"])?.members("platforms")? {
        if name != "kubernetes" {
            return Err(node.fault("is no platform that is known; known is kubernetes"));
        }
        let fields = node.fields(&["deploymentSpec", "platform", "config", "pipelineConfig"])?;
        if let Some(node) = fields.get("config")
            && !node.map()?.is_empty()
        {
            return Err(node.fault("is not supported"));
        }
        if let Some(node) = fields.get("deploymentSpec") {
            platform.executors = read_executors(&node)?;
        }
        if let Some(node) = fields.get("pipelineConfig") {
            read_config(&node, &mut platform)?;
        }
    }
    Ok(platform)
}

fn read_executors(node: &Node<'_>) -> Result<BTreeMap<String, Map<String, Value>>, Fault> {
    let mut executors = BTreeMap::new();
    for (label, node) in node.fields(&["executors"])?.members("executors")? {
        let fields = message(&node, EXECUTOR)?;
        if let Some(policy) = fields.get("imagePullPolicy")
            && !["Always", "Never", "IfNotPresent"].iter().any(|known| policy == known)
        {
            let at = format!("{}.imagePullPolicy", node.at);
            return Err(Fault::new(at, format!("must be Always, Never or IfNotPresent, not {policy}")));
        }
        executors.insert(label.to_owned(), fields);
    }
    Ok(executors)
}

/// A message with its fields in camelCase and unset ones left out.
fn message(node: &Node<'_>, table: &[(&str, Shape)]) -> Result<Map<String, Value>, Fault> {
    let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
    let fields = node.fields(&names)?;
    let mut message = Map::new();
    for (name, shape) in table {
        if let Some(node) = fields.get(name) {
            message.insert((*name).to_owned(), normal(&node, shape)?);
        }
    }
    Ok(message)
}

fn normal(node: &Node<'_>, shape: &Shape) -> Result<Value, Fault> {
    Ok(match shape {
        Text => node.text()?.into(),
        Bool => node.bool()?.into(),
        Integer => node.integer(i64::MIN, i64::MAX)?.into(),
        TextMap => {
            let mut map = Map::new();
            for (name, node) in node.members()? {
                map.insert(name.to_owned(), node.text()?.into());
            }
            map.into()
        }
        Input => {
            component::read_parameter_source(node)?;
            node.json()
        }
        OldOutput => {
            let fields = node.fields(&["producerTask", "outputParameterKey"])?;
            fields.need_text("producerTask")?;
            fields.need_text("outputParameterKey")?;
            node.json()
        }
        Message(table) => message(node, table)?.into(),
        List(shape) => {
            let items = node.items()?;
            items.iter().map(|item| normal(item, shape)).collect::<Result<Vec<_>, _>>()?.into()
        }
    })
}

fn read_config(node: &Node<'_>, platform: &mut Platform) -> Result<(), Fault> {
    let fields = node.fields(&[
        "resourceTtlOnCompletion",
        "workspace",
        "resourceTtlOnSuccess",
        "resourceTtlOnFailure",
        "activeDeadlineSeconds",
    ])?;
    let seconds = |name: &str| -> Result<Option<u64>, Fault> {
        let value = fields.get(name).map_or(Ok(0), |node| node.integer(0, i64::from(i32::MAX)))?;
        Ok(u64::try_from(value).ok().filter(|value| *value > 0))
    };
    platform.resource_ttl_s = seconds("resourceTtlOnCompletion")?;
    platform.ttl_on_success_s = seconds("resourceTtlOnSuccess")?;
    platform.ttl_on_failure_s = seconds("resourceTtlOnFailure")?;
    platform.deadline_s = seconds("activeDeadlineSeconds")?;
    if let Some(node) = fields.get("workspace") {
        let fields = node.fields(&["size", "kubernetes"])?;
        let claim_patch = match fields.get("kubernetes") {
            Some(node) => match node.fields(&["pvcSpecPatch"])?.get("pvcSpecPatch") {
                Some(node) => node.object()?,
                None => Map::new(),
            },
            None => Map::new(),
        };
        platform.workspace = Some(Workspace { size: fields.need_text("size")?, claim_patch });
    }
    Ok(())
}
