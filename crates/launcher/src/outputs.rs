//! Collects what the program has made: its executor output, the texts of parameters, and where artifacts lie.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    control::{Control, Stop},
    inputs::{TAR, encoded},
    order::{Named, Order},
    report::{Failure, Report},
    walk::{self, Roots},
};

/// Bytes of the executor output: it holds all parameters that a Python step returns, and artifacts' metadata.
const OUTPUT_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of a parameter's file. Parameters are recorded and handed on whole; what is larger is an artifact.
const PARAMETER_BYTES: u64 = 1024 * 1024;
/// Bytes of all parameters' files: what the control plane takes with a report.
const PARAMETERS_BYTES: u64 = 16 * 1024 * 1024;

fn fault(message: impl Into<String>) -> Failure {
    Failure::new("Output", message)
}

/// Reads the executor output and the parameters into the report.
pub fn collect(order: &Order, roots: &Roots, report: &mut Report) -> Result<(), Failure> {
    let path = Path::new(&order.output_file);
    if let Some(text) = read(roots, path, OUTPUT_BYTES).map_err(|why| fault(format!("executor output: {why}")))? {
        let named = |why: String| fault(format!("executor output {}: {why}", path.display()));
        let text = String::from_utf8(text).map_err(|_| named("it is no UTF-8".to_owned()))?;
        if !text.trim().is_empty() {
            let value = RawValue::from_string(text).map_err(|error| named(format!("it is no JSON: {error}")))?;
            report.output = Some(value);
        }
    }
    let mut left = PARAMETERS_BYTES;
    for parameter in &order.parameters {
        let named = |why: String| fault(format!("output parameter \"{}\": {why}", parameter.name));
        let Some(bytes) = read(roots, Path::new(&parameter.path), PARAMETER_BYTES).map_err(named)? else { continue };
        left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            named(format!("all parameters together have more than {PARAMETERS_BYTES} bytes; make it an artifact"))
        })?;
        let text = String::from_utf8(bytes).map_err(|_| named("it is no UTF-8; make it an artifact".to_owned()))?;
        report.parameters.insert(parameter.name.clone(), Value::String(text));
    }
    Ok(())
}

/// The bytes of a file; `None` where there is none.
fn read(roots: &Roots, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, String> {
    let Some(real) = roots.find(path).map_err(|error| error.to_string())? else { return Ok(None) };
    let shown = |error: io::Error| format!("{}: {error}", path.display());
    if !fs::metadata(&real).map_err(shown)?.is_file() {
        return Err(format!("{} is no file", path.display()));
    }
    let mut bytes = Vec::new();
    let file = File::open(&real).map_err(shown)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(shown)?;
    if bytes.len() as u64 > limit {
        return Err(format!("{} has more than {limit} bytes, which is the limit", path.display()));
    }
    Ok(Some(bytes))
}

/// One thing to upload.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    path: PathBuf,
    /// Where, relative to the declared path's directory, where that is elsewhere.
    at: Option<String>,
    /// Whether the program has named the path itself, in which case it may be anywhere.
    is_custom: bool,
}

/// Uploads the artifacts into the store, and what was uploaded into the report.
pub fn upload(control: &mut Control, order: &Order, roots: &Roots, report: &mut Report) -> Result<(), Problem> {
    let said = report.output.as_deref().map(artifacts).unwrap_or_default();
    for declared in &order.artifacts {
        let mut uploaded: Option<Value> = None;
        for piece in pieces(declared, said.get(&declared.name)) {
            if let Some(one) = send(control, &declared.name, &piece, roots)? {
                uploaded = Some(uploaded.map_or(one.clone(), |others| sum(&others, &one)));
            }
        }
        if let Some(uploaded) = uploaded {
            report.artifacts.insert(declared.name.clone(), uploaded);
        }
    }
    Ok(())
}

/// Why artifacts are not all uploaded.
#[derive(Debug)]
pub enum Problem {
    Failure(Failure),
    Stop(Stop),
}

/// A list of artifacts counts as one.
fn sum(one: &Value, other: &Value) -> Value {
    let size = |value: &Value| value["size_bytes"].as_u64().unwrap_or_default();
    json!({"size_bytes": size(one) + size(other), "is_directory": true, "digest": ""})
}

/// What the executor output says of artifacts, by the output's name.
fn artifacts(output: &RawValue) -> BTreeMap<String, Vec<Map<String, Value>>> {
    // What is no such document says nothing of artifacts; the control plane says what is wrong with it.
    let fields: BTreeMap<&str, &RawValue> = serde_json::from_str(output.get()).unwrap_or_default();
    let Some(artifacts) = fields.get("artifacts") else { return BTreeMap::new() };
    let artifacts: Map<String, Value> = serde_json::from_str(artifacts.get()).unwrap_or_default();
    let list = |value: &Value| -> Vec<Map<String, Value>> {
        let items = value.get("artifacts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(|item| item.as_object().cloned()).collect()
    };
    artifacts.iter().map(|(name, value)| (name.clone(), list(value))).collect()
}

/// Where the parts of an output lie: at its declared path, or where the program has said.
fn pieces(declared: &Named, said: Option<&Vec<Map<String, Value>>>) -> Vec<Piece> {
    let path = PathBuf::from(&declared.path);
    let itself = Piece { path: path.clone(), at: None, is_custom: false };
    let Some(said) = said.filter(|said| !said.is_empty()) else { return vec![itself] };
    let mut seen = HashSet::new();
    let pieces = said.iter().filter_map(|artifact| {
        let text = |name: &str| artifact.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let local = text("uri").map_or(path.clone(), local);
        let at = if local == path { None } else { Some(below(path.parent()?, &local)?) };
        let custom = text("custom_path").or_else(|| text("customPath"));
        Some(match custom {
            Some(custom) => Piece { path: PathBuf::from(custom), at, is_custom: true },
            None => Piece { path: local, at, is_custom: false },
        })
    });
    pieces.filter(|piece| seen.insert((piece.path.clone(), piece.at.clone()))).collect()
}

/// The path that a URI has in a step: the client's own rule.
fn local(uri: &str) -> PathBuf {
    let schemes = [("minio://", "/minio/"), ("s3://", "/s3/"), ("gs://", "/gcs/")];
    let mapped = schemes.iter().find_map(|(scheme, root)| Some(format!("{root}{}", uri.strip_prefix(scheme)?)));
    PathBuf::from(mapped.unwrap_or_else(|| uri.to_owned()))
}

fn below(directory: &Path, path: &Path) -> Option<String> {
    let rest = path.strip_prefix(directory).ok()?.to_str()?;
    (!rest.is_empty() && !rest.split('/').any(|part| part == "..")).then(|| rest.to_owned())
}

fn send(control: &mut Control, name: &str, piece: &Piece, roots: &Roots) -> Result<Option<Value>, Problem> {
    let named = |why: String| Problem::Failure(fault(format!("output artifact \"{name}\": {why}")));
    let stop = |stop: Stop| match stop {
        Stop::Own(error) => named(error.to_string()),
        Stop::Refused(413 | 422, said) => named(said),
        stop => Problem::Stop(stop),
    };
    let (real, roots) = if piece.is_custom {
        let real = match fs::canonicalize(&piece.path) {
            Ok(real) => real,
            Err(error) => return Err(named(format!("its path {}: {error}", piece.path.display()))),
        };
        (real.clone(), roots.and(&real))
    } else {
        match roots.find(&piece.path).map_err(|error| named(error.to_string()))? {
            Some(real) => (real, roots.clone()),
            None => return Ok(None),
        }
    };
    let at = piece.at.as_ref().map(|at| format!("?at={}", encoded(at))).unwrap_or_default();
    let path = format!("outputs/{}{at}", encoded(name));
    let data = fs::metadata(&real).map_err(|error| named(error.to_string()))?;
    let answer = if data.is_dir() {
        control.put_stream(&path, TAR, |out| walk::send(&real, &roots, out).map(drop)).map_err(stop)?
    } else if data.is_file() {
        control.put_file(&path, data.len(), || File::open(&real)).map_err(stop)?
    } else {
        return Err(named(format!("{} is neither a file nor a directory", piece.path.display())));
    };
    Ok(Some(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(output: &str) -> Vec<(String, Option<String>, bool)> {
        let output = RawValue::from_string(output.to_owned()).unwrap();
        let declared = Named { name: "model".to_owned(), path: "/minio/b/task/model".to_owned() };
        let said = artifacts(&output);
        let pieces = pieces(&declared, said.get("model"));
        pieces.into_iter().map(|piece| (piece.path.display().to_string(), piece.at, piece.is_custom)).collect()
    }

    #[test]
    fn an_artifact_lies_where_the_program_says() {
        let at = |path: &str, at: Option<&str>, custom: bool| (path.to_owned(), at.map(str::to_owned), custom);
        let itself = vec![at("/minio/b/task/model", None, false)];
        for nothing in ["{}", "[]", r#"{"artifacts": 7}"#, r#"{"artifacts": {"other": {"artifacts": [{}]}}}"#] {
            assert_eq!(of(nothing), itself, "{nothing}");
        }
        let with = |artifacts: &str| of(&format!(r#"{{"artifacts": {{"model": {{"artifacts": [{artifacts}]}}}}}}"#));
        assert_eq!(with(r#"{"uri": "minio://b/task/model", "metadata": {}}"#), itself);
        assert_eq!(with(r#"{"uri": "minio://b/task/best"}"#), [at("/minio/b/task/best", Some("best"), false)]);
        assert_eq!(with(r#"{"custom_path": "/tmp/x"}"#), [at("/tmp/x", None, true)]);
        assert_eq!(with(r#"{"uri": "minio://b/task/model"}, {"uri": "minio://b/task/model"}"#), itself);
        let two = with(r#"{"uri": "minio://b/task/a"}, {"uri": "minio://b/task/sub/b"}"#);
        assert_eq!(two, [at("/minio/b/task/a", Some("a"), false), at("/minio/b/task/sub/b", Some("sub/b"), false)]);
        // What lies elsewhere is not the step's to upload.
        for foreign in ["oci://registry/model", "s3://other/model", "minio://b/task/../x", "minio://b/other"] {
            assert_eq!(with(&format!(r#"{{"uri": "{foreign}"}}"#)), [], "{foreign}");
        }
    }
}
