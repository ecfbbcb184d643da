//! Artifacts: what they are, and their bytes.
//!
//! What users made must not act with the rights of who looks at it. So bytes go out with a content policy that makes a page
//! an origin of its own, without scripts, forms and windows; with a type from a short list, which nothing may guess at; as a
//! download where they are no such thing as people look at; and never with a cookie.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use ferroflow_platform::{
    blob::{Content, Flow, StoreError},
    http::body::{self, Body},
};
use futures::{StreamExt, TryStreamExt};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::{
    call::Call,
    failure::{Code, Failure, Outcome},
    reply, runs, show, splice, tasks,
};
use crate::{
    core::query::ARTIFACT,
    store::{
        artifacts::{self, ArtifactRow},
        query::{self, Selected},
    },
};

/// `GET /artifacts/{id}`
///
/// # Errors
/// 404.
pub async fn get(call: Call) -> Outcome<Response<Body>> {
    reply::object(&show::artifact_row(&find(&call, "get").await?))
}

/// `GET /artifacts`
///
/// # Errors
/// 400 for a page that cannot be had.
pub async fn list(call: Call) -> Outcome<Response<Body>> {
    let namespace = call.namespace();
    call.may("list", "artifacts", &namespace).await?;
    let page = call.page(&ARTIFACT, "created_at")?;
    let selected = Selected { columns: artifacts::COLUMNS, joined: ("", "") };
    let scope = [("namespace", namespace)];
    let found = query::list(&call.api.records, &ARTIFACT, &scope, &page, selected, artifacts::artifact).await?;
    let write = |json: &mut Vec<u8>, row: &ArtifactRow| splice::object(json, &show::artifact_row(row), &[]);
    let json = splice::list("artifacts", &found.rows, write, found.total, &found.next)?;
    Ok(reply::written(StatusCode::OK, json))
}

async fn find(call: &Call, verb: &'static str) -> Outcome<ArtifactRow> {
    let id = call.argument("artifact_id");
    let found = call.api.engine.artifact(id).await.map_err(runs::failure)?;
    let row = found.ok_or_else(|| Failure::missing("artifact", id))?;
    call.may(verb, "artifacts", &row.namespace).await?;
    Ok(row)
}

/// `GET /artifacts/{id}:download`: a file as it is, a directory as a tar.
///
/// # Errors
/// 404 for an artifact that is not there, or whose bytes are not; 403 for one that lies in what is another namespace's.
pub async fn download(call: Call) -> Outcome<Response<Body>> {
    let row = find(&call, "get").await?;
    let content = open(&call, &row.namespace, &row.artifact.uri).await?;
    let (size, flow, kind) = match content {
        Content::File(blob) => (Some(blob.size), blob.flow, kind_of(&row)),
        Content::Directory(flow) => {
            (None, flow, Kind { mime: "application/x-tar", is_shown: false, extension: ".tar" })
        }
    };
    let is_shown = kind.is_shown && call.parameter("download") != "true";
    let disposition = if is_shown { "inline" } else { "attachment" };
    let mut response = Response::new(body::stream(flow));
    let name = safe_name(&row.artifact.name);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind.mime));
    if let Some(size) = size {
        headers.insert(header::CONTENT_LENGTH, size.into());
    }
    for (name, value) in GUARDS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let disposition = format!("{disposition}; filename=\"{name}{}\"", kind.extension);
    reply::set(&mut response, header::CONTENT_DISPOSITION, &disposition);
    Ok(response)
}

/// Sandboxed without any allowance: an origin of its own, no scripts, no forms, no windows, nothing from elsewhere.
const GUARDS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'self'",
    ),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "private, no-store"),
];

/// What an artifact's bytes are sent as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    mime: &'static str,
    /// Whether people look at it in a browser.
    is_shown: bool,
    extension: &'static str,
}

/// What it is told to be by its schema, never by its bytes or its name.
fn kind_of(row: &ArtifactRow) -> Kind {
    let (mime, is_shown, extension) = match row.artifact.schema_title.as_str() {
        "system.HTML" => ("text/html; charset=utf-8", true, ".html"),
        // A browser that is told that it is Markdown downloads it.
        "system.Markdown" => ("text/plain; charset=utf-8", true, ".md"),
        "system.Metrics" | "system.ClassificationMetrics" | "system.SlicedClassificationMetrics" => {
            ("application/json", false, ".json")
        }
        _ => ("application/octet-stream", false, ""),
    };
    Kind { mime, is_shown, extension }
}

/// A name without what a header or a file system would take for something else.
fn safe_name(name: &str) -> String {
    let safe = |letter: char| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '_' };
    let name: String = name.chars().take(100).map(safe).collect();
    let name = name.trim_start_matches('.').to_owned();
    if name.is_empty() { "artifact".to_owned() } else { name }
}

/// What lies at a URI, where that is no other namespace's: a record may say what nobody has looked at.
async fn open(call: &Call, namespace: &str, uri: &str) -> Outcome<Content> {
    call.api.engine.reach(namespace, uri).await.map_err(runs::failure)?;
    match call.api.blobs.open(uri).await {
        Ok(Some(content)) => Ok(content),
        Ok(None) => {
            let message = format!("nothing is stored at {uri}: the step wrote nothing there, or it has been removed");
            Err(Failure::new(Code::NotFound, message))
        }
        Err(error) => Err(stored(&error, uri)),
    }
}

fn stored(error: &StoreError, uri: &str) -> Failure {
    tracing::warn!(%error, uri, "an artifact cannot be read");
    Failure::new(Code::FailedPrecondition, format!("{uri} cannot be read by this server: {error}"))
}

/// `GET /apis/v1alpha1/runs/{run}/nodes/{node}/artifacts/{name}:read`: base64 in JSON, as older clients have it.
///
/// # Errors
/// As [`download`].
pub async fn read(call: Call) -> Outcome<Response<Body>> {
    let run = runs::find(&call, "readArtifact").await?;
    let task = tasks::find(&call, &run.run_id, call.argument("task_id")).await?;
    let name = call.argument("name");
    let artifact = task.outputs.artifacts.get(name).and_then(|all| all.first());
    let artifact = artifact.ok_or_else(|| Failure::missing("artifact", name))?;
    let flow = match open(&call, &run.namespace, &artifact.uri).await? {
        Content::File(blob) => blob.flow,
        Content::Directory(flow) => flow,
    };
    let ends =
        |text: &'static str| futures::stream::iter([Ok::<Bytes, StoreError>(Bytes::from_static(text.as_bytes()))]);
    let pieces = ends("{\"data\":\"").chain(encoded(flow)).chain(ends("\"}"));
    let mut response = reply::written(StatusCode::OK, "");
    *response.body_mut() = body::stream(pieces);
    Ok(response)
}

/// A flow as base64, piece by piece: three bytes make four letters, and what is over waits for the next piece.
fn encoded(flow: Flow) -> impl futures::Stream<Item = Result<Bytes, StoreError>> + Send {
    let pieces = flow.map_ok(Some).chain(futures::stream::iter([Ok(None)]));
    let mut over: Vec<u8> = Vec::new();
    pieces.map_ok(move |piece| match piece {
        Some(piece) => {
            over.extend_from_slice(&piece);
            let rest = over.split_off(over.len() / 3 * 3);
            Bytes::from(BASE64.encode(std::mem::replace(&mut over, rest)))
        }
        None => Bytes::from(BASE64.encode(std::mem::take(&mut over))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn base64_does_not_depend_on_where_a_flow_is_cut() {
        let text: Vec<u8> = (0..100).collect();
        for size in [1, 2, 3, 7, 100] {
            let pieces: Vec<Result<Bytes, StoreError>> =
                text.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            let pieces: Vec<Bytes> = encoded(futures::stream::iter(pieces).boxed()).try_collect().await.unwrap();
            assert_eq!(pieces.concat(), BASE64.encode(&text).as_bytes(), "{size}");
        }
    }

    #[test]
    fn a_name_cannot_say_more_than_a_name() {
        let rows = [
            ("model", "model"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("a\"; filename=\"b.exe", "a___filename__b.exe"),
            ("", "artifact"),
            ("..", "artifact"),
            ("é\r\n", "___"),
        ];
        for (name, expect) in rows {
            assert_eq!(safe_name(name), expect, "{name}");
        }
    }
}
