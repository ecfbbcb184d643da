//! Writes `crates/cluster/data/schema.txt` from the sources of a Kubernetes release.
//!
//! Shapes come from the OpenAPI documents of the served group versions, protobuf numbers and the treatment of
//! zero values from the tags of the Go types that these documents were made from. Descriptions are left out.
//! The file's form is told at its top and read by `core::schema::load`. This module judges nothing: what
//! upstream says stands in the file.

mod go;
mod openapi;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use go::{GoField, GoTypes};
use openapi::{Definition, Property, Shape};

/// The OpenAPI documents that are read, by the name of their file without `_openapi.json`.
const DOCUMENTS: &[&str] = &[
    "api__v1",
    "apis__admissionregistration.k8s.io__v1",
    "apis__apiextensions.k8s.io__v1",
    "apis__apiregistration.k8s.io__v1",
    "apis__apps__v1",
    "apis__authentication.k8s.io__v1",
    "apis__authorization.k8s.io__v1",
    "apis__autoscaling__v1",
    "apis__autoscaling__v2",
    "apis__batch__v1",
    "apis__certificates.k8s.io__v1",
    "apis__coordination.k8s.io__v1",
    "apis__discovery.k8s.io__v1",
    "apis__events.k8s.io__v1",
    "apis__flowcontrol.apiserver.k8s.io__v1",
    "apis__networking.k8s.io__v1",
    "apis__node.k8s.io__v1",
    "apis__policy__v1",
    "apis__rbac.authorization.k8s.io__v1",
    "apis__scheduling.k8s.io__v1",
    "apis__storage.k8s.io__v1",
];

const HEADER: &str = "\
# The shape of every built-in kind of Kubernetes 1.34, written by `cargo xtask generate`; do not edit.
#
# `= NAME [hidden] [map=atomic]` opens a definition. `hidden` ones are inlined in JSON and stand alone in protobuf only.
# `k GROUP/VERSION/KIND` names a kind of the definition, `s TYPE` says that it is a scalar or free-form,
# `i NUMBER NAME` a message of another definition whose fields lie in the same JSON object.
# Other lines are fields: `NAME TYPE [ATTRIBUTES]`. Types: string int32 int64 double bool bytes any, `[]T`, `{}T`,
# `.Name` of the same package or a full name. Attributes: `#N` protobuf number, `!` required, presence of zero
# values (`o` left out, `a` always written, `n` written as null, else as set), `list=set`, `list=map:KEY,KEY`,
# `map=atomic|granular`, `patch=STRATEGY`, `key=MERGE_KEY`, `go=TYPE`, `pb=TYPE`, `enum=JSON`, `default=JSON` (last).
";

/// Where the Go sources of one release lie.
struct Sources {
    kubernetes: PathBuf,
    api: PathBuf,
}

/// Reads the release under `kubernetes` (module `k8s.io/kubernetes`) and `api` (module `k8s.io/api`), and the modules
/// that lie beside `api` in the module cache, and writes the schema text to the file `out`.
///
/// # Errors
/// When a source is missing, or a definition has a form that the text cannot express.
pub fn run(kubernetes: &Path, api: &Path, out: &Path) -> Result<()> {
    let sources = Sources { kubernetes: kubernetes.to_owned(), api: api.to_owned() };
    let definitions = read_definitions(&sources)?;
    let mut packages = BTreeMap::new();
    for name in definitions.keys() {
        let package = package_of(name);
        if let Some(folder) = folder_of(&sources, package)?
            && !packages.contains_key(package)
        {
            packages.insert(package.to_owned(), GoTypes::read(&folder)?);
        }
    }
    let text = render(&definitions, &packages)?;
    std::fs::write(out, text).with_context(|| format!("write {}", out.display()))
}

fn read_definitions(sources: &Sources) -> Result<BTreeMap<String, Definition>> {
    let mut definitions = BTreeMap::new();
    for document in DOCUMENTS {
        let path = sources.kubernetes.join("api/openapi-spec/v3").join(format!("{document}_openapi.json"));
        let text = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        openapi::read(&text, &mut definitions).with_context(|| format!("parse {}", path.display()))?;
    }
    Ok(definitions)
}

/// `io.k8s.api.core.v1` of `io.k8s.api.core.v1.Pod`.
fn package_of(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(package, _)| package)
}

/// The folder of a package's Go types; none for packages of which every type is a scalar of its own.
fn folder_of(sources: &Sources, package: &str) -> Result<Option<PathBuf>> {
    let sibling = |module: &str| -> Result<PathBuf> {
        let folder = sources.api.file_name().and_then(|name| name.to_str()).context("the api module has no name")?;
        let version = folder.split_once('@').map_or("", |(_, version)| version);
        let name = if version.is_empty() { module.to_owned() } else { format!("{module}@{version}") };
        Ok(sources.api.with_file_name(name))
    };
    for (prefix, module, inside) in [
        ("io.k8s.apimachinery.pkg.apis.", "apimachinery", "pkg/apis"),
        ("io.k8s.apiextensions-apiserver.pkg.apis.", "apiextensions-apiserver", "pkg/apis"),
        ("io.k8s.kube-aggregator.pkg.apis.", "kube-aggregator", "pkg/apis"),
    ] {
        if let Some(rest) = package.strip_prefix(prefix) {
            return Ok(Some(sibling(module)?.join(inside).join(rest.replace('.', "/"))));
        }
    }
    match package.strip_prefix("io.k8s.api.") {
        Some(rest) => Ok(Some(sources.api.join(rest.replace('.', "/")))),
        None if package.starts_with("io.k8s.apimachinery.pkg.") => Ok(None),
        None => bail!("package {package} is not known to the generator"),
    }
}

fn render(definitions: &BTreeMap<String, Definition>, packages: &BTreeMap<String, GoTypes>) -> Result<String> {
    let mut text = HEADER.to_owned();
    let mut hidden: BTreeMap<String, Definition> = BTreeMap::new();
    for (name, definition) in definitions {
        let go = packages.get(package_of(name));
        for (inlined, properties) in inlined_types(name, definition, go, definitions) {
            hidden.insert(inlined, properties);
        }
    }
    let mut all: BTreeMap<&String, (&Definition, bool)> =
        hidden.iter().map(|(name, definition)| (name, (definition, true))).collect();
    all.extend(definitions.iter().map(|(name, definition)| (name, (definition, false))));
    for (name, (definition, is_hidden)) in all {
        write_definition(&mut text, name, definition, is_hidden, definitions, packages)
            .with_context(|| format!("definition {name}"))?;
    }
    Ok(text)
}

/// Types that are inlined into `definition` and are not published themselves, with the properties that they own.
fn inlined_types(
    name: &str,
    definition: &Definition,
    go: Option<&GoTypes>,
    definitions: &BTreeMap<String, Definition>,
) -> Vec<(String, Definition)> {
    let Some(go) = go else { return Vec::new() };
    let package = package_of(name);
    let own = name.rsplit('.').next().unwrap_or_default();
    let mut found = Vec::new();
    let mut open: Vec<String> = go.inlined(own).into_iter().map(|(_, inlined)| inlined).collect();
    while let Some(inlined) = open.pop() {
        open.extend(go.inlined(&inlined).into_iter().map(|(_, deeper)| deeper));
        let full = format!("{package}.{inlined}");
        if definitions.contains_key(&full) {
            continue;
        }
        let fields = go.json_fields(&inlined);
        let properties = definition
            .properties
            .iter()
            .filter(|(property, _)| fields.contains_key(property.as_str()))
            .map(|(property, shape)| (property.clone(), shape.clone()))
            .collect();
        found.push((full, Definition { object: true, properties, ..Definition::default() }));
    }
    found
}

fn write_definition(
    text: &mut String,
    name: &str,
    definition: &Definition,
    is_hidden: bool,
    definitions: &BTreeMap<String, Definition>,
    packages: &BTreeMap<String, GoTypes>,
) -> Result<()> {
    let package = package_of(name);
    let go = packages.get(package);
    let own = name.rsplit('.').next().unwrap_or_default();
    write!(text, "= {name}")?;
    if is_hidden {
        text.push_str(" hidden");
    }
    if let Some(map_type) = &definition.map_type {
        write!(text, " map={map_type}")?;
    }
    text.push('\n');
    for kind in &definition.kinds {
        writeln!(text, "k {kind}")?;
    }
    if let Some(scalar) = scalar_of(name, definition) {
        writeln!(text, "s {scalar}")?;
        return Ok(());
    }
    let fields = go.map(|go| go.json_fields(own)).unwrap_or_default();
    for (number, inlined) in go.map(|go| go.inlined(own)).unwrap_or_default() {
        writeln!(text, "i {number} {package}.{inlined}")?;
    }
    for (property, shape) in &definition.properties {
        let field = fields.get(property.as_str());
        if field.is_none() && go.is_some() {
            bail!("field {property} is not in the Go type");
        }
        let required = definition.required.contains(property);
        write!(text, "{property} ")?;
        write_field(text, package, shape, required, field, definitions, packages)?;
    }
    Ok(())
}

/// Definitions whose JSON is no object with named fields.
fn scalar_of(name: &str, definition: &Definition) -> Option<&'static str> {
    match name.rsplit('.').next().unwrap_or_default() {
        "Quantity" => Some("quantity"),
        "IntOrString" => Some("int-or-string"),
        "Time" => Some("time"),
        "MicroTime" => Some("micro-time"),
        "Duration" => Some("duration"),
        "FieldsV1" | "RawExtension" | "Patch" => Some("any"),
        _ if !definition.object => Some("any"),
        _ => None,
    }
}

fn write_field(
    text: &mut String,
    package: &str,
    shape: &Property,
    required: bool,
    field: Option<&GoField>,
    definitions: &BTreeMap<String, Definition>,
    packages: &BTreeMap<String, GoTypes>,
) -> Result<()> {
    text.push_str(&type_text(package, &shape.shape));
    if let Some(field) = field {
        if field.number != 0 && !field.inlined {
            write!(text, " #{}", field.number)?;
        }
        if required {
            text.push_str(" !");
        }
        if let Some(letter) = presence(shape, field, definitions) {
            write!(text, " {letter}")?;
        }
    } else if required {
        text.push_str(" !");
    }
    for (attribute, value) in [("list", &shape.list_type), ("map", &shape.map_type), ("patch", &shape.patch_strategy)] {
        if let Some(value) = value {
            write!(text, " {attribute}={value}")?;
        }
    }
    if let Some(key) = &shape.merge_key {
        write!(text, " key={key}")?;
    }
    if let Some(field) = field
        && let Some(go_type) = go_type(shape, field)
    {
        write!(text, " go={go_type}")?;
    }
    if let Some(special) = protobuf_type(&shape.shape, field) {
        write!(text, " pb={special}")?;
    }
    if let Some(values) = field.and_then(|field| enumeration(package, field, packages)) {
        write!(text, " enum={}", serde_json::to_string(values)?)?;
    }
    if let Some(default) = &shape.default {
        write!(text, " default={default}")?;
    }
    text.push('\n');
    Ok(())
}

fn type_text(package: &str, shape: &Shape) -> String {
    match shape {
        Shape::Scalar(name) => (*name).to_owned(),
        Shape::List(items) => format!("[]{}", type_text(package, items)),
        Shape::Map(values) => format!("{{}}{}", type_text(package, values)),
        Shape::Reference(name) => match name.strip_prefix(package).and_then(|rest| rest.strip_prefix('.')) {
            Some(short) if !short.contains('.') => format!(".{short}"),
            _ => name.clone(),
        },
    }
}

/// The letter for what Go writes where the field has its zero value; none where a set value stands as it is.
fn presence(shape: &Property, field: &GoField, definitions: &BTreeMap<String, Definition>) -> Option<char> {
    let pointer = field.go_type.starts_with('*');
    if field.omit_zero {
        return Some('o');
    }
    match (&shape.shape, pointer) {
        (_, true) => (!field.omit_empty).then_some('n'),
        (Shape::List(_) | Shape::Map(_) | Shape::Scalar("bytes"), false) => {
            Some(if field.omit_empty { 'o' } else { 'n' })
        }
        (Shape::Scalar(_), false) => Some(if field.omit_empty { 'o' } else { 'a' }),
        (Shape::Reference(name), false) => {
            let nullable =
                ["Time", "MicroTime", "RawExtension", "JSON"].contains(&name.rsplit('.').next().unwrap_or(""));
            let known = definitions.contains_key(name);
            Some(if nullable || !known { 'n' } else { 'a' })
        }
    }
}

/// The values of a field whose type is an enumeration, of its own package or of the core types.
fn enumeration<'a>(
    package: &str,
    field: &GoField,
    packages: &'a BTreeMap<String, GoTypes>,
) -> Option<&'a BTreeSet<String>> {
    let (package, name) = match field.leaf_type().split_once('.') {
        Some((_, name)) => ("io.k8s.api.core.v1", name),
        None => (package, field.leaf_type()),
    };
    packages.get(package)?.enumeration(name)
}

/// The Go type as decoding errors print it, where it differs from what the shape tells.
fn go_type(shape: &Property, field: &GoField) -> Option<String> {
    let printed = field.printed_type();
    (printed != expected_go_type(&shape.shape)).then_some(printed)
}

fn expected_go_type(shape: &Shape) -> String {
    match shape {
        Shape::Scalar("double") => "float64".to_owned(),
        Shape::Scalar("bytes") => "[]uint8".to_owned(),
        Shape::Scalar(name) => (*name).to_owned(),
        Shape::List(items) => format!("[]{}", expected_go_type(items)),
        Shape::Map(values) => format!("map[string]{}", expected_go_type(values)),
        Shape::Reference(name) => {
            let mut parts = name.rsplit('.');
            let kind = parts.next().unwrap_or_default();
            format!("{}.{kind}", parts.next().unwrap_or_default())
        }
    }
}

/// Protobuf forms that neither the JSON shape nor a scalar's name tells.
fn protobuf_type(shape: &Shape, field: Option<&GoField>) -> Option<String> {
    match shape {
        Shape::List(items) | Shape::Map(items) => match (&**items, field) {
            (Shape::List(_), _) => Some("items".to_owned()),
            (inner, _) => protobuf_type(inner, None),
        },
        Shape::Reference(name) => {
            let own = name.rsplit('.').next().unwrap_or_default();
            let special = ["JSON", "JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool", "JSONSchemaPropsOrStringArray"];
            let raw = ["FieldsV1", "RawExtension"];
            (special.contains(&own) || raw.contains(&own)).then(|| own.to_owned())
        }
        Shape::Scalar(_) => None,
    }
}
