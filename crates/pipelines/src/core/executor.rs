//! What a step is handed: the executor input, and the work order of its launcher.
//!
//! Shapes are those of section "Executor contract" of upstream's `ExecutorInput` and `driver.go`; the structures
//! `Concat` and `IfPresent` follow `sdk/python/kfp/local/placeholder_utils.py`.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    fault::Fault,
    ir::{Component, Container, ImportUri, Importer, ParameterType, Schema},
    place::{IMAGE_SCHEME, IN_WORKSPACE, Place},
    placeholder::{self, Field, Placeholder},
    pod,
    resolve::{self, Facts},
    step::{InputFile, OutputFile, OutputParameter, WORK, WorkOrder},
    value::{Artifact, Parameters, Values},
};

/// One attempt of one step.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    pub component: &'a Component,
    pub container: &'a Container,
    /// As [`resolve::inputs`] gave them.
    pub inputs: &'a Values,
    /// The executor's settings of the platform document, as [`pod::settings`] gave them.
    pub platform: &'a Map<String, Value>,
    pub facts: &'a Facts,
    /// The task's key.
    pub key: &'a str,
    pub task_id: &'a str,
    /// Where outputs go: `minio://mlpipeline/v2/artifacts/<pipeline>/<run>/<task>/<attempt>`, without a slash at the end.
    pub uri: &'a str,
    /// [`Begin::root`](super::step::Begin::root)
    pub root: Option<&'a str>,
}

impl Step<'_> {
    /// Where its directories are.
    pub fn place(&self) -> Place<'_> {
        Place { root: self.root }
    }

    /// The URI of an output artifact.
    pub fn output_uri(&self, name: &str) -> String {
        format!("{}/{name}", self.uri)
    }

    /// Where the text of an output parameter may be left.
    pub fn parameter_path(&self, name: &str) -> String {
        format!("{}/outputs/{name}", self.root.unwrap_or(WORK).trim_end_matches('/'))
    }

    /// Where the executor output may be left: beside the artifacts, since `dsl.get_uri` looks there for their directory.
    ///
    /// # Errors
    /// Where the pipeline root is of no store.
    pub fn output_file(&self) -> Result<String, Fault> {
        let path = self.place().path(self.uri).ok_or_else(|| {
            let what = format!("{:?} is no place for outputs; it must begin with minio://, s3:// or gs://", self.uri);
            Fault::new("pipeline_root", what)
        })?;
        Ok(format!("{path}/output_metadata.json"))
    }

    /// Its parameters with the component's defaults, and the task config where one is wanted; none is `null`.
    ///
    /// # Errors
    /// Where a default or the task config does not fit.
    pub fn parameters(&self) -> Result<Parameters, Fault> {
        let given = &self.inputs.parameters;
        let mut parameters: Parameters = given
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        for (name, declared) in &self.component.inputs.parameters {
            if parameters.contains_key(name) {
                continue;
            }
            if declared.kind == ParameterType::TaskConfig {
                parameters.insert(name.clone(), pod::task_config(self)?);
            } else if let Some(default) = &declared.default {
                let default = placeholder::expand_value(default, &|found| self.given(found));
                parameters.insert(name.clone(), resolve::typed(name, declared, default)?);
            }
        }
        Ok(parameters)
    }

    /// Text of a container beside its command with placeholders replaced: an image, a quantity.
    pub fn expand(&self, text: &str) -> String {
        placeholder::expand(text, &|found| match found {
            Placeholder::InputParameter(name) => {
                let declared = self.component.inputs.parameters.get(*name);
                let default = || declared.and_then(|declared| declared.default.clone());
                let given = self.given(found).filter(|value| !value.is_null());
                given.or_else(default).or_else(|| declared.map(|_| Value::Null))
            }
            found => self.given(found),
        })
    }

    /// A placeholder that needs no executor input: facts, and inputs as they were given.
    fn given(&self, placeholder: &Placeholder<'_>) -> Option<Value> {
        match placeholder {
            Placeholder::Fact(name) => resolve::fact(name, self.facts, self.key, self.task_id),
            Placeholder::InputParameter(name) => self.inputs.parameters.get(*name).cloned(),
            _ => None,
        }
    }
}

/// The executor input.
///
/// # Errors
/// Where a default does not fit, or the pipeline root is of no store.
pub fn input(step: &Step<'_>) -> Result<Value, Fault> {
    let place = step.place();
    let mut inputs = Map::new();
    let parameters: Map<String, Value> = step.parameters()?.into_iter().collect();
    if !parameters.is_empty() {
        inputs.insert("parameterValues".to_owned(), parameters.into());
    }
    let artifacts: Map<String, Value> = step
        .inputs
        .artifacts
        .iter()
        .map(|(name, list)| {
            let list: Vec<Value> =
                list.iter().map(|artifact| runtime_artifact(&artifact.id, artifact, place)).collect();
            (name.clone(), json!({"artifacts": list}))
        })
        .collect();
    if !artifacts.is_empty() {
        inputs.insert("artifacts".to_owned(), artifacts.into());
    }
    let mut outputs = Map::new();
    let files = step.component.outputs.parameters.keys();
    let files: Map<_, _> = files.map(|name| (name.clone(), json!({"outputFile": step.parameter_path(name)}))).collect();
    if !files.is_empty() {
        outputs.insert("parameters".to_owned(), files.into());
    }
    let artifacts: Map<String, Value> = step
        .component
        .outputs
        .artifacts
        .keys()
        .map(|name| {
            let artifact = output_artifact(step, name);
            (name.clone(), json!({"artifacts": [runtime_artifact(name, &artifact, place)]}))
        })
        .collect();
    if !artifacts.is_empty() {
        outputs.insert("artifacts".to_owned(), artifacts.into());
    }
    outputs.insert("outputFile".to_owned(), step.output_file()?.into());
    Ok(json!({"inputs": inputs, "outputs": outputs}))
}

/// An output artifact before anything is known of it: its place, its type and the metadata that the component declares.
pub fn output_artifact(step: &Step<'_>, name: &str) -> Artifact {
    let declared = step.component.outputs.artifacts.get(name);
    let (schema, metadata) =
        declared.map(|output| (output.schema.clone(), output.metadata.clone())).unwrap_or_default();
    let Schema { title, version } = schema;
    Artifact {
        id: String::new(),
        name: name.to_owned(),
        schema_title: title,
        schema_version: version,
        uri: step.output_uri(name),
        metadata,
    }
}

/// A `RuntimeArtifact`.
fn runtime_artifact(name: &str, artifact: &Artifact, place: Place<'_>) -> Value {
    let mut kind = Map::new();
    for (field, text) in [("schemaTitle", &artifact.schema_title), ("schemaVersion", &artifact.schema_version)] {
        if !text.is_empty() {
            kind.insert(field.to_owned(), text.clone().into());
        }
    }
    json!({"name": name, "type": kind, "uri": place.shown(&artifact.uri), "metadata": artifact.metadata})
}

/// What the step's launcher is to do.
///
/// # Errors
/// Where there is no command, or a path cannot be made of an input's or output's URI.
pub fn order(step: &Step<'_>) -> Result<WorkOrder, Fault> {
    let input = input(step)?;
    let mut order = WorkOrder { command: command(step, &input), ..WorkOrder::default() };
    if order.command.is_empty() {
        let what = "has neither command nor args; what an image runs by itself is not known before it is pulled";
        return Err(Fault::new("container.command", what));
    }
    if step.root.is_some() && pod::uses_workspace(step) {
        let what = "is at /kfp-workspace for all steps, and nothing can be mounted here; it needs a node with the isolation \
                    environment or container";
        return Err(Fault::new("workspace", what));
    }
    let mut directories = BTreeSet::new();
    let place = step.place();
    for artifact in step.inputs.artifacts.values().flatten() {
        if artifact.uri.starts_with(IMAGE_SCHEME) {
            // It is there: the pod has brought it along.
            if place.root.is_some() {
                let what = format!("{} is a model in an image, which needs the isolation container", artifact.uri);
                return Err(Fault::new(format!("inputs.artifacts.{}", artifact.name), what));
            }
            continue;
        }
        let Some(path) = place.artifact_path(artifact) else { continue };
        let file = InputFile { artifact: artifact.id.clone(), path };
        // The same artifact may be several inputs, in one place.
        if !order.inputs.iter().any(|other| other.path == file.path) {
            directories.extend(parent(&file.path));
            order.inputs.push(file);
        }
    }
    order.output_file = step.output_file()?;
    // Its name is chosen for this attempt, so that a program that was not told it does not write it: most have no use for it.
    directories
        .extend(parent(&order.output_file).filter(|parent| order.command.iter().any(|word| word.contains(parent))));
    for name in step.component.outputs.parameters.keys() {
        let path = step.parameter_path(name);
        directories.extend(parent(&path));
        order.parameters.push(OutputParameter { name: name.clone(), path });
    }
    for name in step.component.outputs.artifacts.keys() {
        let path = place.path(&step.output_uri(name)).ok_or_else(|| {
            Fault::new(format!("outputDefinitions.artifacts.{name}"), "has a name that makes no path")
        })?;
        directories.extend(parent(&path));
        order.artifacts.push(OutputFile { name: name.clone(), path });
    }
    order.directories = directories.into_iter().collect();
    Ok(order)
}

fn parent(path: &str) -> Option<String> {
    path.trim_end_matches('/').rsplit_once('/').map(|(parent, _)| parent.to_owned()).filter(|parent| !parent.is_empty())
}

/// The command and its arguments: structures resolved first, then placeholders, each once.
pub fn command(step: &Step<'_>, input: &Value) -> Vec<String> {
    let mut words = Vec::new();
    for word in step.container.command.iter().chain(&step.container.args) {
        structure(word, input, &mut words);
    }
    words.iter().map(|word| placeholder::expand(word, &|found| lookup(step, input, found))).collect()
}

/// Resolves `Concat` and `IfPresent` to words: any number of them, for a word that is a list.
fn structure(word: &Value, input: &Value, words: &mut Vec<String>) {
    match word {
        Value::String(text) => words.push(text.clone()),
        Value::Array(parts) => parts.iter().for_each(|part| structure(part, input, words)),
        Value::Object(fields) => {
            if let Some(parts) = fields.get("Concat") {
                let mut joined = Vec::new();
                structure(parts, input, &mut joined);
                words.push(joined.concat());
            } else if let Some(choice) = fields.get("IfPresent") {
                let is_present = choice["InputName"].as_str().is_some_and(|name| is_present(name, input));
                structure(&choice[if is_present { "Then" } else { "Else" }], input, words);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_present(name: &str, input: &Value) -> bool {
    !input["inputs"]["parameterValues"][name].is_null() || !input["inputs"]["artifacts"][name].is_null()
}

fn lookup(step: &Step<'_>, input: &Value, placeholder: &Placeholder<'_>) -> Option<Value> {
    match placeholder {
        Placeholder::Whole => Some(input.clone()),
        Placeholder::Fact("outputs.output_file" | "outputMetadataUri") => Some(input["outputs"]["outputFile"].clone()),
        Placeholder::Fact(name) => resolve::fact(name, step.facts, step.key, step.task_id),
        Placeholder::InputParameter(name) => {
            let is_declared = || step.component.inputs.parameters.contains_key(*name);
            let found = input["inputs"]["parameterValues"].get(*name).cloned();
            found.or_else(|| is_declared().then_some(Value::Null))
        }
        Placeholder::OutputFile(name) => input["outputs"]["parameters"].get(*name)?.get("outputFile").cloned(),
        Placeholder::InputArtifact(name, field) => {
            let declared = step.component.inputs.artifacts.get(*name);
            let is_declared = || declared.is_some();
            let given = step.inputs.artifacts.get(*name);
            // A list is a list, as container components of upstream's SDK read it; parts are those of its first.
            if *field == Field::Whole && declared.is_some_and(|declared| declared.is_list) {
                let items = given.into_iter().flatten();
                return Some(items.map(|artifact| runtime_artifact(&artifact.id, artifact, step.place())).collect());
            }
            match given.and_then(|list| list.first()) {
                Some(artifact) => artifact_field(step, &artifact.id, artifact, *field),
                None => is_declared().then_some(Value::Null),
            }
        }
        Placeholder::OutputArtifact(name, field) => {
            step.component.outputs.artifacts.get(*name)?;
            artifact_field(step, name, &output_artifact(step, name), *field)
        }
    }
}

fn artifact_field(step: &Step<'_>, name: &str, artifact: &Artifact, field: Field<'_>) -> Option<Value> {
    let place = step.place();
    Some(match field {
        Field::Whole => runtime_artifact(name, artifact, place),
        Field::Name => name.into(),
        Field::Uri => place.shown(&artifact.uri).into(),
        Field::Path => place.artifact_path(artifact).unwrap_or_else(|| artifact.uri.clone()).into(),
        Field::Metadata => artifact.metadata.clone().into(),
        Field::MetadataKey(key) => artifact.metadata.get(key).cloned().unwrap_or(Value::Null),
    })
}

/// The artifact that an importer names, without an id and a name. Placeholders in its URI and its metadata, keys
/// included, are replaced. A path for a URI, as a step without mounts below one of `roots` is told, is that URI.
///
/// # Errors
/// Where the URI is missing or none.
pub fn import(
    importer: &Importer,
    component: &Component,
    inputs: &Values,
    facts: &Facts,
    key: &str,
    task_id: &str,
    roots: &[&str],
) -> Result<Artifact, Fault> {
    let parameter = |name: &str| {
        let default = || component.inputs.parameters.get(name).and_then(|declared| declared.default.clone());
        inputs.parameters.get(name).filter(|value| !value.is_null()).cloned().or_else(default)
    };
    let lookup = |placeholder: &Placeholder<'_>| match placeholder {
        Placeholder::Fact(name) => resolve::fact(name, facts, key, task_id),
        Placeholder::InputParameter(name) => {
            parameter(name).or_else(|| component.inputs.parameters.contains_key(*name).then_some(Value::Null))
        }
        _ => None,
    };
    let uri = match &importer.uri {
        ImportUri::Constant(uri) => placeholder::expand(uri, &lookup),
        ImportUri::Parameter(name) => match parameter(name) {
            Some(Value::String(uri)) => uri,
            Some(other) => {
                let what = format!("must be a string, not {}", super::value::describe(&other));
                return Err(Fault::new(format!("inputs.parameters.{name}"), what));
            }
            None => {
                return Err(Fault::new(
                    format!("inputs.parameters.{name}"),
                    "has no value, and it is the URI to import",
                ));
            }
        },
    };
    if uri.is_empty() {
        return Err(Fault::new("importer.artifactUri", "is empty"));
    }
    let places = roots.iter().map(|root| Place { root: Some(root) }).chain([Place::default()]);
    let uri = places.map(|place| place.uri(&uri)).find(|found| *found != uri).unwrap_or(uri);
    super::uri::check("importer.artifactUri", &uri)?;
    if uri.starts_with(IMAGE_SCHEME) && importer.download_to_workspace {
        return Err(Fault::new("importer.downloadToWorkspace", "is not for images (oci://); leave it out"));
    }
    if uri.starts_with(IMAGE_SCHEME) && importer.schema.title != "system.Model" {
        let what = format!("is {:?}; an image (oci://) is imported as system.Model only", importer.schema.title);
        return Err(Fault::new("importer.typeSchema", what));
    }
    let metadata = placeholder::expand_value(&importer.metadata.clone().into(), &lookup);
    let mut metadata = metadata.as_object().cloned().unwrap_or_default();
    if importer.download_to_workspace {
        metadata.insert(IN_WORKSPACE.to_owned(), true.into());
    }
    Ok(Artifact {
        id: String::new(),
        name: String::new(),
        schema_title: importer.schema.title.clone(),
        schema_version: importer.schema.version.clone(),
        uri,
        metadata,
    })
}

#[cfg(test)]
pub(crate) mod tests;
