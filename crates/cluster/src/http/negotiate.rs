//! Which representation a client wants, from its `Accept` header.

use http::{HeaderMap, header};

use crate::core::status::{Failure, Outcome};

/// How an object, a list or an event is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// The objects themselves.
    Plain,
    /// `as=Table`, in `meta.k8s.io/v1` or `v1beta1`.
    Table,
    /// `as=PartialObjectMetadata` or its list.
    Metadata,
}

/// How the bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Json,
    Yaml,
}

/// The chosen representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Representation {
    pub form: Form,
    pub encoding: Encoding,
    /// `meta.k8s.io/v1` or `v1beta1` for Tables and metadata.
    pub meta_version: String,
}

impl Default for Representation {
    fn default() -> Self {
        Self { form: Form::Plain, encoding: Encoding::Json, meta_version: "v1".to_owned() }
    }
}

/// One media range of an `Accept` header.
pub struct Range<'a> {
    pub media_type: &'a str,
    pub parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Range<'a> {
    /// The value of a parameter.
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(own, _)| *own == name).map(|(_, value)| *value)
    }
}

/// The ranges of an `Accept` header, in the client's order.
pub fn ranges(accept: &str) -> impl Iterator<Item = Range<'_>> {
    accept.split(',').filter(|range| !range.trim().is_empty()).map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let parameters = parts.filter_map(|part| part.split_once('=')).map(|(name, value)| (name.trim(), value.trim()));
        Range { media_type, parameters: parameters.collect() }
    })
}

/// What a path can be answered with, as its route is registered upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// One object, or the answer to a write.
    Object,
    /// A list, which may be watched.
    Collection,
    /// Anything of a custom resource, which has no route of its own.
    Custom,
}

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const MEDIA_TYPES: [&str; 3] = ["application/json", "application/yaml", PROTOBUF];
const STREAMS: [&str; 2] = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];

/// Chooses a representation: the first range that can be served.
///
/// # Errors
/// 406 when none can. Upstream a route refuses other media types, and what writes the object refuses other forms.
pub fn choose(accept: Option<&str>, route: Route) -> Outcome<Representation> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
        return Ok(Representation::default());
    };
    if let Some(found) = ranges(accept).find_map(|range| representation(&range)) {
        return Ok(found);
    }
    let is_asked = |media_type: &str| ranges(accept).any(|range| range.media_type == media_type);
    if is_asked(PROTOBUF) {
        // Which upstream writes, and this server only reads.
        return Err(Failure::not_acceptable(&MEDIA_TYPES[..2]));
    }
    if route == Route::Custom || MEDIA_TYPES.into_iter().chain(["*/*"]).any(is_asked) {
        return Err(Failure::not_acceptable(&MEDIA_TYPES));
    }
    let streams = if route == Route::Collection { &STREAMS[..] } else { &[] };
    Err(Failure::no_representation(&[&MEDIA_TYPES, streams].concat()))
}

/// Whether a client takes compressed answers: one of its encodings is `gzip`, without a weight, as upstream reads it.
pub fn takes_gzip(headers: &HeaderMap) -> bool {
    let encodings = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    encodings.split(',').any(|encoding| encoding.trim() == "gzip")
}

fn representation(range: &Range<'_>) -> Option<Representation> {
    let encoding = match range.media_type {
        "application/json" | "*/*" | "application/*" => Encoding::Json,
        "application/yaml" => Encoding::Yaml,
        _ => return None,
    };
    let form = match range.parameter("as") {
        None => Form::Plain,
        Some("Table") => Form::Table,
        Some("PartialObjectMetadata" | "PartialObjectMetadataList") => Form::Metadata,
        Some(_) => return None,
    };
    let meta_version = range.parameter("v").unwrap_or("v1");
    let known = form == Form::Plain
        || (range.parameter("g") == Some("meta.k8s.io") && matches!(meta_version, "v1" | "v1beta1"));
    known.then(|| Representation { form, encoding, meta_version: meta_version.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_range_that_can_be_served_wins() {
        let rows = [
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Some(Form::Table)),
            ("application/vnd.kubernetes.protobuf,application/json", Some(Form::Plain)),
            ("application/json;as=Unknown;v=v1;g=meta.k8s.io, */*", Some(Form::Plain)),
            ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", Some(Form::Metadata)),
            ("application/vnd.kubernetes.protobuf", None),
        ];
        for (accept, expect) in rows {
            assert_eq!(choose(Some(accept), Route::Object).ok().map(|chosen| chosen.form), expect, "{accept}");
        }
    }

    #[test]
    fn what_can_be_had_is_said_where_nothing_is_acceptable() {
        let types = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
        let routed = |rest: &str| format!("406: Not Acceptable\n\nAvailable representations: {types}{rest}");
        let streams = ", application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
        let written = format!("only the following media types are accepted: {types}");
        let rows = [
            ("text/html", Route::Object, routed("")),
            ("text/html", Route::Collection, routed(streams)),
            ("text/html", Route::Custom, written.clone()),
            ("application/json;as=Unknown;v=v1;g=meta.k8s.io", Route::Object, written),
        ];
        for (accept, route, expect) in rows {
            let failure = choose(Some(accept), route).unwrap_err();
            assert_eq!((failure.code, failure.message.as_str()), (406, &*expect), "{accept} {route:?}");
        }
    }

    #[test]
    fn gzip_is_taken_where_it_is_named() {
        for (encodings, expect) in [("gzip", true), ("br, gzip", true), ("gzip;q=0", false), ("identity", false)] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, encodings.parse().unwrap())]);
            assert_eq!(takes_gzip(&headers), expect, "{encodings}");
        }
    }
}
