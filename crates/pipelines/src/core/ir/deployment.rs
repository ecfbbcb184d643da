//! Executors, from `PipelineDeploymentConfig`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Container, Executor, ImportUri, Importer, Resources, Schema, component, node::Node};
use crate::core::{fault::Fault, value};

/// Reads `deploymentSpec`.
///
/// # Errors
/// The first fault and its place.
pub fn read(node: &Node<'_>) -> Result<BTreeMap<String, Executor>, Fault> {
    let mut executors = BTreeMap::new();
    for (label, node) in node.fields(&["executors"])?.members("executors")? {
        let kinds = ["container", "importer", "resolver", "customJob"];
        let executor = match node.fields(&kinds)?.choice(&kinds)? {
            ("container", node) => Executor::Container(Box::new(read_container(&node)?)),
            ("importer", node) => Executor::Importer(Box::new(read_importer(&node)?)),
            (_, node) => return Err(node.fault("is not supported; use a container or an importer")),
        };
        executors.insert(label.to_owned(), executor);
    }
    Ok(executors)
}

fn read_container(node: &Node<'_>) -> Result<Container, Fault> {
    let fields = node.fields(&["image", "command", "args", "lifecycle", "resources", "env"])?;
    // Upstream ignores `lifecycle`; its shape is looked at all the same.
    if let Some(node) = fields.get("lifecycle")
        && let Some(node) = node.fields(&["preCacheCheck"])?.get("preCacheCheck")
    {
        let fields = node.fields(&["command", "args"])?;
        words(&fields.items("command")?)?;
        words(&fields.items("args")?)?;
    }
    let mut env = Vec::new();
    for node in fields.items("env")? {
        let fields = node.fields(&["name", "value"])?;
        env.push((fields.need_text("name")?, fields.text("value")?));
    }
    Ok(Container {
        image: fields.need_text("image")?,
        command: words(&fields.items("command")?)?,
        args: words(&fields.items("args")?)?,
        env,
        resources: fields.get("resources").map_or_else(|| Ok(Resources::default()), |node| read_resources(&node))?,
    })
}

/// Words of a command: text, or the objects `Concat` and `IfPresent`, also as their JSON text.
fn words(nodes: &[Node<'_>]) -> Result<Vec<Value>, Fault> {
    let mut words = Vec::with_capacity(nodes.len());
    for node in nodes {
        let word = match node.value {
            Value::Object(_) => node.json(),
            _ => structure(node.text()?),
        };
        check_word(&node.at, &word, 0)?;
        words.push(word);
    }
    Ok(words)
}

/// The object that a word is the JSON text of, as SDKs write them; any other word as it is.
fn structure(word: &str) -> Value {
    let looks = ["{\"Concat\"", "{\"IfPresent\""].iter().any(|start| word.starts_with(start));
    match serde_json::from_str(word) {
        Ok(object @ Value::Object(_)) if looks => object,
        _ => word.into(),
    }
}

/// Nested words are not deeper than this: whoever reads them is recursive.
const MAX_DEPTH: usize = 64;

fn check_word(at: &str, word: &Value, depth: usize) -> Result<(), Fault> {
    let fault = |what: &str| Err(Fault::new(at, what));
    if depth > MAX_DEPTH {
        return fault("is nested more than 64 deep");
    }
    let Value::Object(fields) = word else {
        return if word.is_string() { Ok(()) } else { fault("must be text, Concat or IfPresent") };
    };
    let node = Node::new(word, at);
    node.fields(&["Concat", "IfPresent"])?.choice(&["Concat", "IfPresent"])?;
    if let Some(parts) = fields.get("Concat") {
        let Value::Array(parts) = parts else { return fault("Concat must be a list") };
        return parts.iter().try_for_each(|part| check_word(at, part, depth + 1));
    }
    let inner = node.fields(&["IfPresent"])?.need("IfPresent")?;
    let inner = inner.fields(&["InputName", "Then", "Else"])?;
    inner.need_text("InputName")?;
    inner.need("Then")?;
    for name in ["Then", "Else"] {
        match inner.get(name).map(|node| node.value) {
            Some(Value::Array(parts)) => parts.iter().try_for_each(|part| check_word(at, part, depth + 1))?,
            Some(part) => check_word(at, part, depth + 1)?,
            None => {}
        }
    }
    Ok(())
}

fn read_resources(node: &Node<'_>) -> Result<Resources, Fault> {
    let fields = node.fields(&[
        "cpuLimit",
        "memoryLimit",
        "cpuRequest",
        "memoryRequest",
        "resourceCpuLimit",
        "resourceMemoryLimit",
        "resourceCpuRequest",
        "resourceMemoryRequest",
        "accelerator",
    ])?;
    // The text wins over the deprecated number, of which memory is in units of 10^9 bytes.
    let quantity = |text: &str, number: &str, unit: &str| -> Result<Option<String>, Fault> {
        let text = fields.text(text)?;
        let number = fields.get(number).map_or(Ok(0.0), |node| node.double())?;
        if !text.is_empty() {
            return Ok(Some(text));
        }
        Ok((number != 0.0).then(|| format!("{}{unit}", value::text(&value::integral(number.into())))))
    };
    let mut resources = Resources {
        cpu_limit: quantity("resourceCpuLimit", "cpuLimit", "")?,
        cpu_request: quantity("resourceCpuRequest", "cpuRequest", "")?,
        memory_limit: quantity("resourceMemoryLimit", "memoryLimit", "G")?,
        memory_request: quantity("resourceMemoryRequest", "memoryRequest", "G")?,
        accelerator_type: None,
        accelerator_count: None,
    };
    if let Some(node) = fields.get("accelerator") {
        let fields = node.fields(&["type", "count", "resourceType", "resourceCount"])?;
        let old_count = fields.get("count").map_or(Ok(0), |node| node.integer(0, i64::MAX))?;
        let kinds = [fields.text("resourceType")?, fields.text("type")?];
        let counts =
            [fields.text("resourceCount")?, if old_count == 0 { String::new() } else { old_count.to_string() }];
        resources.accelerator_type = kinds.into_iter().find(|kind| !kind.is_empty());
        resources.accelerator_count = counts.into_iter().find(|count| !count.is_empty());
    }
    Ok(resources)
}

fn read_importer(node: &Node<'_>) -> Result<Importer, Fault> {
    let fields = node.fields(&[
        "artifactUri",
        "typeSchema",
        "properties",
        "customProperties",
        "reimport",
        "metadata",
        "downloadToWorkspace",
    ])?;
    component::refuse_properties(&fields)?;
    let kinds = ["constant", "runtimeParameter", "constantValue"];
    let uri = match fields.need("artifactUri")?.fields(&kinds)?.choice(&kinds)? {
        ("constant", node) => ImportUri::Constant(node.text()?.to_owned()),
        ("runtimeParameter", node) => ImportUri::Parameter(node.text()?.to_owned()),
        (_, node) => ImportUri::Constant(node.fields(&["stringValue"])?.need_text("stringValue")?),
    };
    Ok(Importer {
        uri,
        schema: fields.get("typeSchema").map_or_else(|| Ok(Schema::default()), |node| component::read_schema(&node))?,
        metadata: fields.get("metadata").map_or_else(|| Ok(Map::new()), |node| node.object())?,
        reimport: fields.bool("reimport")?,
        download_to_workspace: fields.bool("downloadToWorkspace")?,
    })
}
