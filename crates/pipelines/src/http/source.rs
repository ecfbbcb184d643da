//! Where a run's pipeline comes from: a spec, a version, or the newest version of a pipeline.

use ferroflow_platform::records::Records;
use serde_json::{Map, Value, json};

use super::{
    call::Call,
    failure::{Failure, Outcome},
};
use crate::{
    core::{fault::Fault, ir, wire::Fields},
    store::pipelines,
};

/// What a request names.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    Spec(Value),
    /// A version; of the pipeline, where that is named too.
    Version {
        pipeline_id: String,
        version_id: String,
    },
    /// The newest version of a pipeline.
    Latest {
        pipeline_id: String,
    },
}

/// A spec, and where it is from.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    pub pipeline_id: Option<String>,
    pub version_id: Option<String>,
    /// Of the pipeline.
    pub namespace: Option<String>,
    pub spec: Value,
}

/// Reads the fields of a run or recurring run that name its pipeline.
///
/// # Errors
/// 400 where they name none or several.
pub fn read(fields: &mut Fields) -> Result<Source, Fault> {
    let at = fields.at("pipeline_spec");
    let spec = fields.map("pipeline_spec")?;
    let mut reference = fields.object("pipeline_version_reference")?;
    let old = fields.text("pipeline_version_id")?;
    let (mut pipeline_id, mut version_id) = (String::new(), old);
    if let Some(mut reference) = reference.take() {
        pipeline_id = reference.text("pipeline_id")?;
        let named = reference.text("pipeline_version_id")?;
        reference.end("pipeline_id, pipeline_version_id")?;
        version_id = if named.is_empty() { version_id } else { named };
    }
    let several = || Fault::new(&at, "a spec and a version; give one of them");
    match (spec.is_empty(), pipeline_id.is_empty(), version_id.is_empty()) {
        (false, true, true) => Ok(Source::Spec(Value::Object(spec))),
        (false, _, _) => Err(several()),
        (true, _, false) => Ok(Source::Version { pipeline_id, version_id }),
        (true, false, true) => Ok(Source::Latest { pipeline_id }),
        (true, true, true) => {
            Err(Fault::new(&at, "no pipeline; give pipeline_spec, or pipeline_version_reference with an id"))
        }
    }
}

/// Finds the spec for who calls.
///
/// # Errors
/// 404 for a pipeline or version that is not there, 403 for one that may not be read.
pub async fn resolve_for(call: &Call, source: &Source) -> Outcome<Resolved> {
    let resolved = resolve(&call.api.records, source).await?;
    if let Some(namespace) = &resolved.namespace {
        call.may("get", "pipelines", namespace).await?;
    }
    Ok(resolved)
}

/// Finds the spec.
///
/// # Errors
/// 404 for a pipeline or version that is not there.
pub async fn resolve(records: &Records, source: &Source) -> Outcome<Resolved> {
    let (pipeline_id, version) = match source {
        Source::Spec(spec) => return Ok(Resolved { spec: spec.clone(), ..Resolved::default() }),
        Source::Version { pipeline_id, version_id } => {
            let version = pipelines::version(records, version_id).await?;
            let fits = |version: &pipelines::Version| pipeline_id.is_empty() || version.pipeline_id == *pipeline_id;
            let version = version.filter(fits).ok_or_else(|| Failure::missing("pipeline version", version_id))?;
            (version.pipeline_id.clone(), version)
        }
        Source::Latest { pipeline_id } => {
            let latest = pipelines::latest(records, pipeline_id).await?;
            let missing = || Failure::missing("a version of pipeline", pipeline_id);
            (pipeline_id.clone(), latest.ok_or_else(missing)?)
        }
    };
    let pipeline = pipelines::get(records, &pipeline_id).await?;
    let pipeline = pipeline.ok_or_else(|| Failure::missing("pipeline", &pipeline_id))?;
    let spec = stored(&version.spec)?;
    let version_id = Some(version.pipeline_version_id);
    Ok(Resolved { pipeline_id: Some(pipeline_id), version_id, namespace: Some(pipeline.namespace), spec })
}

/// A stored spec.
///
/// # Errors
/// Code 13 for one that is damaged.
pub fn stored(text: &str) -> Outcome<Value> {
    serde_json::from_str(text).map_err(|error| {
        Failure::new(super::failure::Code::Internal, format!("a stored pipeline is damaged: {error}; upload it again"))
    })
}

/// Reads the text of a pipeline and checks it: its name, and the spec as clients get it.
///
/// # Errors
/// [`Fault`] that names what is wrong and where.
pub fn check(text: &str) -> Result<(String, Value), Fault> {
    let document = ir::read::yaml(text)?;
    let pipeline = ir::read::pipeline(&document)?;
    Ok((pipeline.name, shown(document)))
}

/// A document as clients get it: the bare IR where there is nothing else.
pub fn shown(document: Value) -> Value {
    let Value::Object(mut fields) = document else { return document };
    let has_platform = fields.get("platform_spec").is_some_and(|platform| !platform.is_null());
    match fields.remove("pipeline_spec") {
        Some(spec) if !has_platform => spec,
        Some(spec) => {
            fields.insert("pipeline_spec".to_owned(), spec);
            Value::Object(fields)
        }
        None => Value::Object(fields),
    }
}

/// Reads `runtime_config`: as it is stored, with nothing that is empty.
///
/// # Errors
/// [`Fault`].
pub fn runtime_config(fields: &mut Fields) -> Result<Value, Fault> {
    let Some(mut config) = fields.object("runtime_config")? else { return Ok(json!({})) };
    let (parameters, root) = (config.map("parameters")?, config.text("pipeline_root")?);
    config.end("parameters, pipeline_root")?;
    let mut stored = Map::new();
    if !parameters.is_empty() {
        stored.insert("parameters".to_owned(), Value::Object(parameters));
    }
    if !root.is_empty() {
        stored.insert("pipeline_root".to_owned(), root.into());
    }
    Ok(Value::Object(stored))
}

/// Refuses input for plugins, of which there are none.
///
/// # Errors
/// [`Fault`].
pub fn no_plugins(fields: &mut Fields) -> Result<(), Fault> {
    let place = fields.at("plugins_input");
    match fields.map("plugins_input")?.keys().next() {
        Some(plugin) => Err(Fault::new(place, format!("there is no plugin {plugin:?} here; leave it out"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_named_in_one_way() {
        let read = |value: Value| read(&mut Fields::of("", value).unwrap()).map_err(|fault| fault.to_string());
        let version = |pipeline: &str, version: &str| Source::Version {
            pipeline_id: pipeline.to_owned(),
            version_id: version.to_owned(),
        };
        let reference = |pipeline: &str, version: &str| json!({"pipelineVersionReference": {"pipeline_id": pipeline, "pipelineVersionId": version}});
        assert_eq!(read(json!({"pipeline_spec": {"a": 1}})), Ok(Source::Spec(json!({"a": 1}))));
        assert_eq!(read(json!({"pipeline_version_id": "v"})), Ok(version("", "v")));
        assert_eq!(read(reference("p", "v")), Ok(version("p", "v")));
        assert_eq!(read(reference("p", "")), Ok(Source::Latest { pipeline_id: "p".to_owned() }));
        assert!(read(json!({})).unwrap_err().contains("no pipeline"));
        let both = json!({"pipeline_spec": {"a": 1}, "pipeline_version_id": "v"});
        assert!(read(both).unwrap_err().contains("give one of them"));
    }

    #[test]
    fn a_document_without_a_platform_is_shown_bare() {
        assert_eq!(shown(json!({"pipeline_spec": {"root": 1}})), json!({"root": 1}));
        let both = json!({"pipeline_spec": {"root": 1}, "platform_spec": {"platforms": {}}});
        assert_eq!(shown(both.clone()), both);
    }
}
