//! Which representation a client wants, from its `Accept` header.

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

const SUPPORTED: [&str; 2] = ["application/json", "application/yaml"];

/// Chooses a representation: the first range that can be served.
///
/// # Errors
/// 406 when none can.
pub fn choose(accept: Option<&str>) -> Outcome<Representation> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
        return Ok(Representation::default());
    };
    ranges(accept).find_map(|range| representation(&range)).ok_or_else(|| Failure::not_acceptable(&SUPPORTED))
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
            assert_eq!(choose(Some(accept)).ok().map(|chosen| chosen.form), expect, "{accept}");
        }
    }
}
