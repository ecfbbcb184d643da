//! Pipelines and their versions.

use ferroflow_api::pipelines as wire;
use ferroflow_platform::{http::body::Body, records};
use http::{Response, StatusCode};

use super::{
    api::Api,
    call::{Call, fields},
    failure::{Code, Failure, Outcome},
    limits, reply, source, splice,
};
use crate::{
    core::{
        query::{PIPELINE, VERSION},
        wire::{Fields, time},
    },
    store::pipelines::{self, Pipeline, Version},
};

/// `POST /pipelines`
///
/// # Errors
/// 400 for a name that is none, 409 for one that is taken.
pub async fn create(call: Call, body: Body) -> Outcome<Response<Body>> {
    let fields = fields(body).await?;
    let pipeline = read(&call.api, fields)?;
    limits::name("name", &pipeline.name, limits::PIPELINE)?;
    call.may("create", "pipelines", &pipeline.namespace).await?;
    record(&call.api, &pipeline, None).await?;
    reply::object(&show(&pipeline))
}

/// `POST /pipelines/create`: a pipeline with its first version.
///
/// # Errors
/// 400 for a spec that is none, 409 for a name that is taken.
pub async fn create_with_version(call: Call, body: Body) -> Outcome<Response<Body>> {
    let mut fields = fields(body).await?;
    let missing = |field: &str| Failure::invalid(format!("{field}: missing"));
    let pipeline = fields.object("pipeline")?.ok_or_else(|| missing("pipeline"))?;
    let version = fields.object("pipeline_version")?.ok_or_else(|| missing("pipeline_version"))?;
    fields.end("pipeline, pipeline_version")?;
    let mut pipeline = read(&call.api, pipeline)?;
    let (mut version, spec_name) = read_version(&call.api, version, &pipeline.pipeline_id)?;
    if pipeline.name.is_empty() {
        pipeline.name = if version.name.is_empty() { spec_name } else { version.name.clone() };
    }
    complete(&mut pipeline, &mut version)?;
    call.may("create", "pipelines", &pipeline.namespace).await?;
    record(&call.api, &pipeline, Some(&version)).await?;
    reply::object(&show(&pipeline))
}

/// Fills in the names that follow from others, and refuses those that are none.
///
/// # Errors
/// 400.
pub fn complete(pipeline: &mut Pipeline, version: &mut Version) -> Outcome<()> {
    if pipeline.display_name.is_empty() {
        pipeline.display_name.clone_from(&pipeline.name);
    }
    if version.name.is_empty() {
        version.name.clone_from(&pipeline.name);
    }
    if version.display_name.is_empty() {
        version.display_name.clone_from(&version.name);
    }
    limits::name("name", &pipeline.name, limits::PIPELINE)?;
    limits::length("display_name", &pipeline.display_name, limits::PIPELINE)?;
    limits::length("pipeline_version.name", &version.name, limits::PIPELINE)
}

/// Records a pipeline, with a version or without.
///
/// # Errors
/// 409 for a name that is taken.
pub async fn record(api: &Api, pipeline: &Pipeline, version: Option<&Version>) -> Outcome<()> {
    let mut write = pipelines::insert(pipeline);
    write.extend(version.map(pipelines::insert_version).unwrap_or_default());
    match api.records.write(write).await {
        Ok(_) => Ok(()),
        Err(records::Error::Duplicate(_)) => {
            let message = format!(
                "pipeline {:?} exists already; take another name, or upload a version of that pipeline",
                pipeline.name
            );
            Err(Failure::new(Code::AlreadyExists, message))
        }
        Err(error) => Err(error.into()),
    }
}

/// Records a version of a pipeline that is there.
///
/// # Errors
/// 409 for a name that is taken, 404 for a pipeline that has gone.
pub async fn record_version(api: &Api, version: &Version) -> Outcome<()> {
    match api.records.write(pipelines::insert_version(version)).await {
        Ok(_) => Ok(()),
        Err(records::Error::Duplicate(_)) => {
            let message = format!("version {:?} of the pipeline exists already; take another name", version.name);
            Err(Failure::new(Code::AlreadyExists, message))
        }
        Err(records::Error::Unchanged(_)) => Err(Failure::missing("pipeline", &version.pipeline_id)),
        Err(error) => Err(error.into()),
    }
}

fn read(api: &Api, mut fields: Fields) -> Outcome<Pipeline> {
    let (name, display_name) = (fields.text("name")?, fields.text("display_name")?);
    let pipeline = Pipeline {
        pipeline_id: api.new_id(),
        namespace: api.namespace_or_default(&fields.text("namespace")?),
        // Clients of before names and shown names were two send the latter alone.
        name: if name.is_empty() { display_name.clone() } else { name.clone() },
        display_name: if display_name.is_empty() { name } else { display_name },
        description: fields.text("description")?,
        created_ms: api.now_ms(),
        tags: fields.texts("tags")?,
    };
    fields.ignore(&["pipeline_id", "created_at", "error"]);
    fields.end("name, display_name, description, namespace, tags")?;
    limits::tags(&pipeline.tags)?;
    limits::length("namespace", &pipeline.namespace, limits::NAMESPACE)?;
    Ok(pipeline)
}

/// Reads a version, and the name that its spec has.
fn read_version(api: &Api, mut fields: Fields, pipeline_id: &str) -> Outcome<(Version, String)> {
    let place = fields.at("package_url");
    let package = fields.map("package_url")?;
    let at = fields.at("pipeline_spec");
    let spec = fields.map("pipeline_spec")?;
    if spec.is_empty() {
        let what = if package.is_empty() { format!("{at}: missing") } else { format!("{place}: is not fetched") };
        let hint = "this server reaches out to no URL; send the pipeline itself as pipeline_spec, or upload its file";
        return Err(Failure::invalid(format!("{what}; {hint}")));
    }
    let (spec_name, spec) = source::check(&serde_json::Value::Object(spec).to_string())?;
    let version = Version {
        pipeline_version_id: api.new_id(),
        pipeline_id: pipeline_id.to_owned(),
        name: fields.text("name")?,
        display_name: fields.text("display_name")?,
        description: fields.text("description")?,
        created_ms: api.now_ms(),
        package_url: String::new(),
        code_source_url: fields.text("code_source_url")?,
        tags: fields.texts("tags")?,
        spec: spec.to_string(),
    };
    fields.ignore(&["pipeline_id", "pipeline_version_id", "created_at", "error"]);
    fields.end("name, display_name, description, pipeline_spec, code_source_url, tags")?;
    limits::tags(&version.tags)?;
    Ok((version, spec_name))
}

/// `GET /pipelines/{id}`
///
/// # Errors
/// 404.
pub async fn get(call: Call) -> Outcome<Response<Body>> {
    reply::object(&show(&find(&call, "get").await?))
}

/// `GET /pipelines/names/{name}`
///
/// # Errors
/// 404.
pub async fn by_name(call: Call) -> Outcome<Response<Body>> {
    let (name, namespace) = (call.argument("name"), call.namespace());
    call.may("get", "pipelines", &namespace).await?;
    let found = pipelines::by_name(&call.api.records, &namespace, name).await?;
    reply::object(&show(&found.ok_or_else(|| Failure::missing("pipeline", name))?))
}

/// `GET /pipelines`
///
/// # Errors
/// 400 for a page that cannot be had.
pub async fn list(call: Call) -> Outcome<Response<Body>> {
    let namespace = call.namespace();
    call.may("list", "pipelines", &namespace).await?;
    let page = call.page(&PIPELINE, "created_at")?;
    let found = pipelines::list(&call.api.records, &namespace, &page).await?;
    reply::object(&wire::Pipelines {
        pipelines: found.rows.iter().map(show).collect(),
        total_size: found.total,
        next_page_token: &found.next,
    })
}

/// `PATCH /pipelines/{id}`: how it is shown, and its tags; what is not given stays.
///
/// # Errors
/// 404; 400 for fields that stay as they are.
pub async fn update(call: Call, body: Body) -> Outcome<Response<Body>> {
    let mut pipeline = find(&call, "update").await?;
    let mut fields = fields(body).await?;
    change(&mut fields, &mut pipeline.display_name, &mut pipeline.description, &mut pipeline.tags)?;
    fields.ignore(&["pipeline_id", "name", "namespace", "created_at", "error"]);
    fields.end("display_name, description, tags")?;
    limits::name("display_name", &pipeline.display_name, limits::PIPELINE)?;
    call.api.records.write(pipelines::update(&pipeline)).await?;
    reply::object(&show(&pipeline))
}

fn change(
    fields: &mut Fields,
    display_name: &mut String,
    description: &mut String,
    tags: &mut pipelines::Tags,
) -> Outcome<()> {
    if fields.has("display_name") {
        *display_name = fields.text("display_name")?;
    }
    if fields.has("description") {
        *description = fields.text("description")?;
    }
    if fields.has("tags") {
        *tags = fields.texts("tags")?;
    }
    limits::tags(tags)
}

/// `DELETE /pipelines/{id}`
///
/// # Errors
/// 404; 400 while it has versions, unless they are to go too.
pub async fn delete(call: Call) -> Outcome<Response<Body>> {
    let pipeline = find(&call, "delete").await?;
    let id = &pipeline.pipeline_id;
    if call.parameter("cascade") == "true" {
        call.api.records.write(pipelines::delete_all(id)).await?;
        return Ok(reply::empty());
    }
    match call.api.records.write(pipelines::delete(id)).await {
        Ok(_) => Ok(reply::empty()),
        Err(records::Error::Unchanged(_)) => {
            let message = format!("pipeline {id} has versions; delete them first, or set cascade=true to delete all");
            Err(Failure::invalid(message))
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /pipelines/{id}/versions`
///
/// # Errors
/// 404; 400 for a spec that is none, 409 for a name that is taken.
pub async fn create_version(call: Call, body: Body) -> Outcome<Response<Body>> {
    let pipeline = find_for(&call, "create", "pipelines/versions").await?;
    let fields = fields(body).await?;
    let (mut version, spec_name) = read_version(&call.api, fields, &pipeline.pipeline_id)?;
    if version.name.is_empty() {
        version.name = if version.display_name.is_empty() { spec_name } else { version.display_name.clone() };
    }
    if version.display_name.is_empty() {
        version.display_name.clone_from(&version.name);
    }
    limits::name("name", &version.name, limits::VERSION)?;
    record_version(&call.api, &version).await?;
    answer(&version)
}

/// `GET /pipelines/{id}/versions/{version}`
///
/// # Errors
/// 404.
pub async fn get_version(call: Call) -> Outcome<Response<Body>> {
    answer(&find_version(&call, "get").await?)
}

/// `GET /pipelines/{id}/versions`
///
/// # Errors
/// 400 for a page that cannot be had.
pub async fn list_versions(call: Call) -> Outcome<Response<Body>> {
    let pipeline = find_for(&call, "list", "pipelines/versions").await?;
    let page = call.page(&VERSION, "created_at")?;
    let found = pipelines::versions(&call.api.records, &pipeline.pipeline_id, &page).await?;
    let json = splice::list("pipeline_versions", &found.rows, write, found.total, &found.next)?;
    Ok(reply::written(StatusCode::OK, json))
}

/// `PATCH /pipelines/{id}/versions/{version}`
///
/// # Errors
/// 404; 400 for fields that stay as they are.
pub async fn update_version(call: Call, body: Body) -> Outcome<Response<Body>> {
    let mut version = find_version(&call, "update").await?;
    let mut fields = fields(body).await?;
    change(&mut fields, &mut version.display_name, &mut version.description, &mut version.tags)?;
    let fixed = ["name", "pipeline_id", "pipeline_version_id", "created_at", "package_url", "code_source_url"];
    fields.ignore(&fixed);
    fields.ignore(&["pipeline_spec", "error"]);
    fields.end("display_name, description, tags")?;
    limits::name("display_name", &version.display_name, limits::VERSION)?;
    call.api.records.write(pipelines::update_version(&version)).await?;
    answer(&version)
}

/// `DELETE /pipelines/{id}/versions/{version}`
///
/// # Errors
/// 404.
pub async fn delete_version(call: Call) -> Outcome<Response<Body>> {
    let version = find_version(&call, "delete").await?;
    call.api.records.write(pipelines::delete_version(&version.pipeline_version_id)).await?;
    Ok(reply::empty())
}

async fn find(call: &Call, verb: &'static str) -> Outcome<Pipeline> {
    find_for(call, verb, "pipelines").await
}

async fn find_for(call: &Call, verb: &'static str, resource: &'static str) -> Outcome<Pipeline> {
    let id = call.argument("pipeline_id");
    let found = pipelines::get(&call.api.records, id).await?;
    let pipeline = found.ok_or_else(|| Failure::missing("pipeline", id))?;
    call.may(verb, resource, &pipeline.namespace).await?;
    Ok(pipeline)
}

async fn find_version(call: &Call, verb: &'static str) -> Outcome<Version> {
    let pipeline = find_for(call, verb, "pipelines/versions").await?;
    let id = call.argument("pipeline_version_id");
    let found = pipelines::version(&call.api.records, id).await?;
    let found = found.filter(|version| version.pipeline_id == pipeline.pipeline_id);
    found.ok_or_else(|| Failure::missing("pipeline version", id))
}

/// A pipeline as clients get it.
pub fn show(pipeline: &Pipeline) -> wire::Pipeline<'_> {
    wire::Pipeline {
        pipeline_id: &pipeline.pipeline_id,
        display_name: &pipeline.display_name,
        name: &pipeline.name,
        description: &pipeline.description,
        created_at: time(pipeline.created_ms),
        namespace: &pipeline.namespace,
        tags: pipeline.tags.clone(),
    }
}

/// A version as an answer.
///
/// # Errors
/// Code 13 for what cannot be written.
pub fn answer(version: &Version) -> Outcome<Response<Body>> {
    Ok(reply::written(StatusCode::OK, splice::alone(|json| write(json, version))?))
}

fn write(json: &mut Vec<u8>, version: &Version) -> Outcome<()> {
    let url = &version.package_url;
    let shown = wire::Version {
        pipeline_id: &version.pipeline_id,
        pipeline_version_id: &version.pipeline_version_id,
        display_name: &version.display_name,
        name: &version.name,
        description: &version.description,
        created_at: time(version.created_ms),
        package_url: (!url.is_empty()).then_some(wire::Url { pipeline_url: url }),
        code_source_url: &version.code_source_url,
        tags: version.tags.clone(),
    };
    splice::object(json, &shown, &[("pipeline_spec", Some(&version.spec))])
}
