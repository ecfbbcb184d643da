//! Uploads of pipelines as files: `multipart/form-data` with one file, and refusals in a form of their own.

use bytes::Bytes;
use ferroflow_platform::http::body::Body;
use http::{Response, header};
use http_body_util::BodyDataStream;
use multer::{Constraints, Multipart, SizeLimit};
use serde_json::{Map, Value, json};

use super::{
    call::Call,
    failure::{Code, Failure, Outcome},
    limits, pipelines as catalogue, reply, source,
};
use crate::{
    core::package,
    store::pipelines::{self, Pipeline, Tags, Version},
};

/// The field that holds the file.
const FILE: &str = "uploadfile";

/// `POST /pipelines/upload`: a pipeline with its first version.
pub async fn pipeline(call: Call, body: Body) -> Response<Body> {
    answered(create(call, body).await)
}

/// `POST /pipelines/upload_version`: a version of a pipeline that is there.
pub async fn version(call: Call, body: Body) -> Response<Body> {
    answered(add(call, body).await)
}

/// Uploads tell their failures otherwise than everything else.
fn answered(outcome: Outcome<Response<Body>>) -> Response<Body> {
    outcome.unwrap_or_else(|failure| {
        let body = json!({"error_message": failure.message, "error_details": failure.message});
        reply::written(failure.code.status(), body.to_string())
    })
}

async fn create(call: Call, body: Body) -> Outcome<Response<Body>> {
    let namespace = call.namespace();
    limits::length("namespace", &namespace, limits::NAMESPACE)?;
    call.may("create", "pipelines", &namespace).await?;
    let tags = tags(call.parameter("tags"))?;
    let (file, spec) = spec(content_type(&call), body).await?;
    let mut pipeline = Pipeline {
        pipeline_id: call.api.new_id(),
        namespace,
        name: name(&call, &file),
        display_name: call.parameter("display_name").to_owned(),
        description: call.parameter("description").to_owned(),
        created_ms: call.api.now_ms(),
        tags,
    };
    let mut version = Version {
        pipeline_version_id: call.api.new_id(),
        pipeline_id: pipeline.pipeline_id.clone(),
        display_name: pipeline.display_name.clone(),
        description: pipeline.description.clone(),
        created_ms: pipeline.created_ms,
        code_source_url: call.parameter("code_source_url").to_owned(),
        spec: spec.to_string(),
        ..Version::default()
    };
    catalogue::complete(&mut pipeline, &mut version)?;
    catalogue::record(&call.api, &pipeline, Some(&version)).await?;
    reply::object(&catalogue::show(&pipeline))
}

async fn add(call: Call, body: Body) -> Outcome<Response<Body>> {
    let id = call.parameter("pipelineid").to_owned();
    if id.is_empty() {
        return Err(Failure::invalid("pipelineid: missing; say of which pipeline it is a version"));
    }
    let pipeline = pipelines::get(&call.api.records, &id).await?;
    // As upstream, which answers 400 here.
    let pipeline = pipeline.ok_or_else(|| Failure::invalid(Failure::missing("pipeline", &id).message))?;
    call.may("create", "pipelines/versions", &pipeline.namespace).await?;
    let tags = tags(call.parameter("tags"))?;
    let (file, spec) = spec(content_type(&call), body).await?;
    let name = name(&call, &file);
    limits::name("name", &name, limits::VERSION)?;
    let shown = call.parameter("display_name");
    let version = Version {
        pipeline_version_id: call.api.new_id(),
        pipeline_id: id,
        display_name: if shown.is_empty() { name.clone() } else { shown.to_owned() },
        name,
        description: call.parameter("description").to_owned(),
        created_ms: call.api.now_ms(),
        package_url: String::new(),
        code_source_url: call.parameter("code_source_url").to_owned(),
        tags,
        spec: spec.to_string(),
    };
    catalogue::record_version(&call.api, &version).await?;
    catalogue::answer(&version)
}

/// The name that was given, or that of the file.
fn name(call: &Call, file: &str) -> String {
    let given = [call.parameter("name"), call.parameter("display_name"), file];
    given.into_iter().find(|name| !name.is_empty()).unwrap_or_default().to_owned()
}

fn tags(text: &str) -> Outcome<Tags> {
    if text.is_empty() {
        return Ok(Tags::new());
    }
    let tags: Option<Map<String, Value>> = serde_json::from_str(text).ok();
    let tags = tags.filter(|tags| tags.values().all(Value::is_string));
    let tags = tags.ok_or_else(|| Failure::invalid("tags: expected a JSON object of texts, as {\"team\": \"ml\"}"))?;
    limits::tags(&tags)?;
    Ok(tags)
}

fn content_type(call: &Call) -> String {
    let kind = call.parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.unwrap_or_default().to_owned()
}

/// The name of the file that was uploaded, and the spec in it.
async fn spec(content_type: String, body: Body) -> Outcome<(String, Value)> {
    let (name, bytes) = file(&content_type, body).await?;
    // A pipeline of some megabytes takes a moment to read, in which others are answered.
    let reading = tokio::task::spawn_blocking(move || {
        let text = package::text(&name, &bytes)?;
        source::check(&text).map(|(_, spec)| (name, spec))
    });
    let read = reading.await.map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    Ok(read?)
}

async fn file(content_type: &str, body: Body) -> Outcome<(String, Bytes)> {
    let boundary = multer::parse_boundary(content_type).map_err(|error| {
        Failure::invalid(format!("the body is no multipart/form-data: {error}; send the file as {FILE:?}"))
    })?;
    let limit = u64::try_from(package::LIMIT_BYTES).unwrap_or(u64::MAX);
    let sizes = SizeLimit::new().for_field(FILE, limit).per_field(1 << 20).whole_stream(limit + (4 << 20));
    let constraints = Constraints::new().size_limit(sizes);
    let mut form = Multipart::with_constraints(BodyDataStream::new(body), boundary, constraints);
    while let Some(field) = form.next_field().await.map_err(|error| broken(&error))? {
        if field.name() == Some(FILE) {
            let name = field.file_name().unwrap_or_default().to_owned();
            return Ok((name, field.bytes().await.map_err(|error| broken(&error))?));
        }
    }
    Err(Failure::invalid(format!("{FILE}: missing; send the pipeline's file under this name")))
}

fn broken(error: &multer::Error) -> Failure {
    let hint = match error {
        multer::Error::FieldSizeExceeded { .. } | multer::Error::StreamSizeExceeded { .. } => {
            "; a pipeline has 32 MiB at the most: keep large things in the image or in an artifact"
        }
        _ => "",
    };
    Failure::invalid(format!("{FILE}: cannot be read: {error}{hint}"))
}
