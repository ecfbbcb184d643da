//! Reads the definitions of an OpenAPI v3 document of the API server, without their descriptions.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// One entry of `components.schemas`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definition {
    /// `group/version/kind`.
    pub kinds: Vec<String>,
    /// It is of type `object`.
    pub object: bool,
    pub map_type: Option<String>,
    pub required: BTreeSet<String>,
    pub properties: BTreeMap<String, Property>,
}

/// A field with its extensions.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    pub shape: Shape,
    /// `set`, or `map:key,key`; an atomic list has none.
    pub list_type: Option<String>,
    pub map_type: Option<String>,
    pub patch_strategy: Option<String>,
    pub merge_key: Option<String>,
    pub default: Option<Value>,
}

/// A type expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    Scalar(&'static str),
    List(Box<Shape>),
    Map(Box<Shape>),
    Reference(String),
}

/// Adds the definitions of a document.
///
/// # Errors
/// When the document is not what the API server writes, or two documents disagree about a definition.
pub fn read(document: &[u8], into: &mut BTreeMap<String, Definition>) -> Result<()> {
    let document: Value = serde_json::from_slice(document)?;
    let schemas = document.pointer("/components/schemas").and_then(Value::as_object).context("no schemas")?;
    for (name, schema) in schemas {
        let definition = definition(schema).with_context(|| format!("definition {name}"))?;
        if let Some(known) = into.get(name) {
            if *known != definition {
                bail!("definition {name} differs between documents");
            }
            continue;
        }
        into.insert(name.clone(), definition);
    }
    Ok(())
}

fn definition(schema: &Value) -> Result<Definition> {
    let mut definition = Definition {
        object: schema["type"] == "object",
        map_type: text(schema, "x-kubernetes-map-type"),
        ..Definition::default()
    };
    for kind in schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
        let part = |name: &str| kind[name].as_str().unwrap_or_default().to_owned();
        definition.kinds.push(format!("{}/{}/{}", part("group"), part("version"), part("kind")));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        definition.required.extend(name.as_str().map(str::to_owned));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let property = self::property(property).with_context(|| format!("field {name}"))?;
        definition.properties.insert(name.clone(), property);
    }
    Ok(definition)
}

fn property(schema: &Value) -> Result<Property> {
    let keys: Vec<&str> =
        schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let list_type = match schema["x-kubernetes-list-type"].as_str() {
        None | Some("atomic") => None,
        Some("set") => Some("set".to_owned()),
        Some("map") => Some(format!("map:{}", keys.join(","))),
        Some(other) => bail!("list type {other}"),
    };
    Ok(Property {
        shape: shape(schema)?,
        list_type,
        map_type: text(schema, "x-kubernetes-map-type"),
        patch_strategy: text(schema, "x-kubernetes-patch-strategy"),
        merge_key: text(schema, "x-kubernetes-patch-merge-key"),
        default: schema.get("default").cloned(),
    })
}

fn shape(schema: &Value) -> Result<Shape> {
    let reference = schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref")).and_then(Value::as_str);
    if let Some(reference) = reference {
        let name = reference.rsplit('/').next().context("an empty reference")?;
        return Ok(Shape::Reference(name.to_owned()));
    }
    let scalar = match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("string"), None) => "string",
        (Some("string"), Some("byte")) => "bytes",
        (Some("integer"), Some("int32")) => "int32",
        (Some("integer"), Some("int64")) => "int64",
        (Some("number"), Some("double")) => "double",
        (Some("boolean"), None) => "bool",
        (Some("array"), _) => return Ok(Shape::List(Box::new(shape(&schema["items"])?))),
        (Some("object"), _) => return Ok(Shape::Map(Box::new(shape(&schema["additionalProperties"])?))),
        (kind, format) => bail!("type {kind:?} with format {format:?}"),
    };
    Ok(Shape::Scalar(scalar))
}

fn text(schema: &Value, key: &str) -> Option<String> {
    schema.get(key).and_then(Value::as_str).map(str::to_owned)
}
