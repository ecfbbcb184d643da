//! A compiled pipeline from text: YAML or JSON, one document or two, read strictly.
//!
//! What upstream takes is taken, and what it skips in silence is refused with the field and its place. References are
//! looked at in `check`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Body, Pipeline, Platform, check, component, deployment, node::Node, platform, quoted};
use crate::core::{fault::Fault, value};

/// The schema that all SDKs of version 2 write, and the only one that upstream takes.
pub const SCHEMA_VERSION: &str = "2.1.0";

const TOP: [&str; 7] =
    ["pipelineInfo", "deploymentSpec", "sdkVersion", "schemaVersion", "components", "root", "defaultPipelineRoot"];
const WRAPPED: [&str; 2] = ["pipeline_spec", "platform_spec"];

/// Reads a stream of YAML (or JSON) documents into `{"pipeline_spec": …[, "platform_spec": …]}`, and checks it.
///
/// Integral numbers become integers; apart from that the specs stand as they were written.
///
/// # Errors
/// The first fault, with its place: in YAML, in the number of documents, or as [`pipeline`] says.
pub fn yaml(text: &str) -> Result<Value, Fault> {
    let document = assemble(&documents(text)?)?;
    pipeline(&document)?;
    Ok(document)
}

fn documents(text: &str) -> Result<Vec<Value>, Fault> {
    let documents: Vec<Value> = if text.trim_start().starts_with('{') {
        // JSON that is not YAML's kind of JSON (tabs, say) is JSON nevertheless.
        match serde_json::from_str(text) {
            Ok(document) => vec![document],
            Err(json) => from_multiple(text).map_err(|_| Fault::new("", format!("not JSON: {json}")))?,
        }
    } else {
        block_style(text)?
    };
    Ok(documents.into_iter().filter(|document| !document.is_null()).map(value::integral).collect())
}

/// YAML 1.2 knows two words for booleans. The compiler's writer leaves `y` and `n`, names of parameters often enough,
/// without quotes.
fn from_multiple(text: &str) -> Result<Vec<Value>, serde_saphyr::Error> {
    serde_saphyr::from_multiple_with_options(text, serde_saphyr::options! { strict_booleans: true })
}

fn block_style(text: &str) -> Result<Vec<Value>, Fault> {
    let error = match from_multiple(text) {
        Ok(documents) => return Ok(documents),
        Err(error) => one_line(&error),
    };
    if error.contains("multiline quoted scalar")
        && let Ok(documents) = from_multiple(&quoted::indent(text))
    {
        return Ok(documents);
    }
    Err(Fault::new("", format!("not YAML: {error}")))
}

fn one_line(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Puts the documents of one file together.
fn assemble(documents: &[Value]) -> Result<Value, Fault> {
    let mut spec = None;
    let mut platform = None;
    for (index, document) in documents.iter().enumerate() {
        let place = if documents.len() == 1 { String::new() } else { format!("document {}", index + 1) };
        let node = Node::new(document, place);
        let fields = node.map()?;
        if WRAPPED.iter().any(|name| fields.contains_key(*name)) {
            if documents.len() > 1 {
                return Err(node.fault("holds pipeline_spec itself, so it must be the only document"));
            }
            return Ok(document.clone());
        }
        let slot = if fields.contains_key("platforms") {
            &mut platform
        } else {
            is_pipeline(&node)?;
            &mut spec
        };
        if slot.replace(document.clone()).is_some() {
            let what = if fields.contains_key("platforms") { "platform" } else { "pipeline" };
            return Err(node.fault(format!("multiple {what} specs provided; a file holds one")));
        }
    }
    let Some(spec) = spec else {
        return Err(Fault::new(
            "",
            "no pipeline spec is provided: the file holds no document with pipelineInfo and root",
        ));
    };
    Ok(match platform {
        Some(platform) => json!({"pipeline_spec": spec, "platform_spec": platform}),
        None => json!({"pipeline_spec": spec}),
    })
}

/// Whether a document means to be a pipeline; others are told what they are.
fn is_pipeline(node: &Node<'_>) -> Result<(), Fault> {
    let fields = node.map()?;
    let has = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    if has("apiVersion").starts_with("argoproj.io/") {
        return Err(node.fault(format!(
            "is a {} of Argo, as version 1 of the SDK wrote it; compile the pipeline with kfp 2",
            if has("kind").is_empty() { "Workflow" } else { has("kind") }
        )));
    }
    // One known name will do: then the unknown ones are named.
    let is = fields.keys().any(|name| Node::new(&json!({name: 0}), "").fields(&TOP).is_ok());
    if is { Ok(()) } else { Err(node.fault("is no pipeline: it has neither pipelineInfo nor root, nor platforms")) }
}

/// Reads and checks a pipeline: `{"pipeline_spec": {…}[, "platform_spec": {…}]}`, or the bare spec.
///
/// # Errors
/// The first fault, with its place: an unknown field, a wrong type, a reference that leads nowhere, a cycle.
pub fn pipeline(document: &Value) -> Result<Pipeline, Fault> {
    let node = Node::new(document, "");
    let fields = node.map()?;
    if !fields.contains_key(WRAPPED[0]) && !fields.contains_key(WRAPPED[1]) {
        is_pipeline(&node)?;
        return read(&node, None);
    }
    if let Some(name) = fields.keys().find(|name| !WRAPPED.contains(&name.as_str())) {
        return Err(node.fault(format!("unknown field {name:?} beside pipeline_spec; known is platform_spec")));
    }
    let Some(spec) = fields.get(WRAPPED[0]).filter(|spec| !spec.is_null()) else {
        return Err(Fault::new(WRAPPED[0], "no pipeline spec is provided"));
    };
    let platform = fields.get(WRAPPED[1]).filter(|platform| !is_empty(platform));
    read(&Node::new(spec, ""), platform.map(|platform| Node::new(platform, "")).as_ref())
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty)
}

fn read(spec: &Node<'_>, platform: Option<&Node<'_>>) -> Result<Pipeline, Fault> {
    let fields = spec.fields(&TOP)?;
    let schema_version = fields.need_text("schemaVersion")?;
    if schema_version != SCHEMA_VERSION {
        let what = format!("is {schema_version:?}, and only {SCHEMA_VERSION} is known; compile with kfp 2");
        return Err(Fault::new("schemaVersion", what));
    }
    let info = fields.need("pipelineInfo")?.fields(&["name", "displayName", "description"])?;
    let name = info.need_text("name")?;
    check_name(&name)?;
    let mut components = BTreeMap::new();
    for (name, node) in fields.members("components")? {
        components.insert(name.to_owned(), component::read(&node)?);
    }
    let executors = match fields.get("deploymentSpec") {
        Some(node) => deployment::read(&node)?,
        None => BTreeMap::new(),
    };
    let root = component::read(&fields.need("root")?)?;
    if !matches!(root.body, Body::Dag(_)) {
        return Err(Fault::new("root", "must have a dag, not an executorLabel; a pipeline's root is made of tasks"));
    }
    let mut pipeline = Pipeline {
        name,
        display_name: info.text("displayName")?,
        description: info.text("description")?,
        sdk_version: fields.text("sdkVersion")?,
        schema_version,
        default_root: Some(fields.text("defaultPipelineRoot")?).filter(|root| !root.is_empty()),
        root,
        components,
        executors,
        platform: Platform::default(),
    };
    if let Some(platform) = platform {
        pipeline.platform = platform::read(platform)?;
    }
    check::pipeline(&mut pipeline)?;
    Ok(pipeline)
}

/// Names become parts of pods' names and of paths. Upstream's expression is not anchored, so that it takes nearly
/// anything; what is refused here could not be a part of a path.
fn check_name(name: &str) -> Result<(), Fault> {
    let has_letter = name.bytes().any(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_plain = !name.contains(['/', '\\', '\0', '\n']) && name != "." && name != "..";
    if has_letter && is_plain && name.len() <= 128 {
        return Ok(());
    }
    let rule = "must have a lower-case letter or a digit, no slash, and at most 128 characters";
    Err(Fault::new("pipelineInfo.name", format!("{rule}; it is {name:?}")))
}

#[cfg(test)]
mod tests;
