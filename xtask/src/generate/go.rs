//! Reads struct types of a Go package: fields, types and the `json` and `protobuf` tags.
//!
//! It understands the flat, gofmt-formatted declarations of the Kubernetes API packages and nothing beyond them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Context as _, Result};

/// A field as it is declared.
#[derive(Clone, Debug)]
pub struct GoField {
    pub json_name: String,
    /// As written, with a leading `*` for a pointer.
    pub go_type: String,
    pub omit_empty: bool,
    pub omit_zero: bool,
    /// The protobuf number; 0 without one.
    pub number: u32,
    /// The field came from an inlined type; if it has a number, that counts in the inlined message.
    pub inlined: bool,
    package: String,
}

struct GoStruct {
    fields: Vec<GoField>,
    /// Embedded types with the number of their message.
    inlined: Vec<(u32, String)>,
}

/// The types of one package.
pub struct GoTypes {
    structs: HashMap<String, GoStruct>,
    /// Values of the string types that are marked as enumerations, sorted.
    enums: BTreeMap<String, BTreeSet<String>>,
}

impl GoTypes {
    /// Reads every hand-written file of a package folder.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn read(folder: &Path) -> Result<Self> {
        let package = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let mut structs = HashMap::new();
        let mut enums = BTreeMap::new();
        for entry in std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let generated = name.starts_with("zz_") || name.ends_with(".pb.go") || name.ends_with("_test.go");
            if generated || !name.ends_with(".go") {
                continue;
            }
            let source = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            read_structs(&source, &package, &mut structs);
            read_enums(&source, &mut enums);
        }
        Ok(Self { structs, enums })
    }

    /// The values of an enumeration of this package.
    pub fn enumeration(&self, name: &str) -> Option<&BTreeSet<String>> {
        self.enums.get(name).filter(|values| !values.is_empty())
    }

    /// The fields that the JSON object of a type has, those of inlined types included.
    pub fn json_fields(&self, name: &str) -> BTreeMap<String, GoField> {
        let mut fields = BTreeMap::new();
        // These hold TypeMeta, which lives in another package and has no numbers.
        for name in ["apiVersion", "kind"] {
            fields.insert(
                name.to_owned(),
                GoField {
                    json_name: name.to_owned(),
                    go_type: "string".to_owned(),
                    omit_empty: true,
                    omit_zero: false,
                    number: 0,
                    inlined: false,
                    package: "v1".to_owned(),
                },
            );
        }
        let Some(found) = self.structs.get(name) else { return fields };
        for (_, inlined) in &found.inlined {
            for (name, mut field) in self.json_fields(inlined) {
                // Without a number the type is not in the message at all (`TypeMeta`).
                field.inlined = true;
                fields.insert(name, field);
            }
        }
        for field in &found.fields {
            fields.insert(field.json_name.clone(), field.clone());
        }
        fields
    }

    /// Numbers and names of the types that a type embeds as messages of their own.
    pub fn inlined(&self, name: &str) -> Vec<(u32, String)> {
        let found = self.structs.get(name).map(|found| found.inlined.clone()).unwrap_or_default();
        found.into_iter().filter(|(number, _)| *number != 0).collect()
    }
}

impl GoField {
    /// The innermost type: without pointers, lists and maps.
    pub fn leaf_type(&self) -> &str {
        let mut text = self.go_type.trim_start_matches('*');
        loop {
            let inner =
                text.strip_prefix("[]").or_else(|| text.strip_prefix("map[")?.split_once(']').map(|(_, rest)| rest));
            match inner {
                Some(inner) => text = inner.trim_start_matches('*'),
                None => return text,
            }
        }
    }

    /// The type as Go prints it in an error: without the pointer, with the package's real name.
    pub fn printed_type(&self) -> String {
        print_type(self.go_type.trim_start_matches('*'), &self.package)
    }
}

fn print_type(text: &str, package: &str) -> String {
    if let Some(items) = text.strip_prefix("[]") {
        return format!("[]{}", print_type(items, package));
    }
    if let Some(rest) = text.strip_prefix("map[")
        && let Some((key, values)) = rest.split_once(']')
    {
        return format!("map[{}]{}", print_type(key, package), print_type(values, package));
    }
    match text.split_once('.') {
        Some((alias, name)) => format!("{}.{name}", real_package(alias)),
        None if text == "byte" => "uint8".to_owned(),
        None if text.starts_with(char::is_uppercase) => format!("{package}.{text}"),
        None => text.to_owned(),
    }
}

/// `metav1` and `corev1` are import names of packages called `v1`.
fn real_package(alias: &str) -> &str {
    match alias.rfind('v') {
        Some(at) if alias[at + 1..].starts_with(|c: char| c.is_ascii_digit()) => &alias[at..],
        _ => alias,
    }
}

fn read_structs(source: &str, package: &str, structs: &mut HashMap<String, GoStruct>) {
    let mut open: Option<(String, GoStruct)> = None;
    for line in source.lines() {
        match &mut open {
            None => {
                let name = line.strip_prefix("type ").and_then(|rest| rest.strip_suffix(" struct {"));
                open = name.map(|name| (name.to_owned(), GoStruct { fields: Vec::new(), inlined: Vec::new() }));
            }
            Some(_) if line == "}" => {
                if let Some((name, found)) = open.take() {
                    structs.insert(name, found);
                }
            }
            Some((_, found)) => read_field(line.trim(), package, found),
        }
    }
}

/// Types marked `+enum`, and the constants that are declared with them.
fn read_enums(source: &str, enums: &mut BTreeMap<String, BTreeSet<String>>) {
    let mut marked = false;
    for line in source.lines() {
        if let Some(comment) = line.strip_prefix("//") {
            marked |= comment.trim() == "+enum";
            continue;
        }
        if let Some(name) = line.strip_prefix("type ").and_then(|rest| rest.strip_suffix(" string"))
            && marked
        {
            enums.entry(name.to_owned()).or_default();
        }
        marked = false;
    }
    for line in source.lines() {
        let Some((declaration, value)) = line.trim().trim_start_matches("const ").split_once(" = ") else { continue };
        let words: Vec<&str> = declaration.split_whitespace().collect();
        let (name, value) = match (&words[..], value.split_once('(')) {
            ([_, name], _) => (*name, value),
            ([_], Some((name, value))) => (name, value),
            _ => continue,
        };
        let Some(values) = enums.get_mut(name) else { continue };
        match value.strip_prefix('"').and_then(|value| value.split_once('"')) {
            Some((value, _)) => {
                values.insert(value.to_owned());
            }
            // A constant of another package: the values that are known would not be all.
            None => {
                enums.remove(name);
            }
        }
    }
}

fn read_field(line: &str, package: &str, found: &mut GoStruct) {
    if line.starts_with("//") {
        return;
    }
    let Some((declaration, tags)) = line.split_once('`') else { return };
    let json = tag(tags, "json").unwrap_or_default();
    let protobuf = tag(tags, "protobuf").unwrap_or_default();
    let number = protobuf.split(',').nth(1).and_then(|number| number.parse().ok()).unwrap_or(0);
    let words: Vec<&str> = declaration.split_whitespace().collect();
    let mut parts = json.split(',');
    let json_name = parts.next().unwrap_or_default();
    let options: Vec<&str> = parts.collect();
    if options.contains(&"inline") {
        if let Some(name) = words.last() {
            found.inlined.push((number, (*name).to_owned()));
        }
        return;
    }
    let Some(go_type) = words.last() else { return };
    if json_name.is_empty() || json_name == "-" {
        return;
    }
    found.fields.push(GoField {
        json_name: json_name.to_owned(),
        go_type: (*go_type).to_owned(),
        omit_empty: options.contains(&"omitempty"),
        omit_zero: options.contains(&"omitzero"),
        number,
        inlined: false,
        package: package.to_owned(),
    });
}

fn tag<'a>(tags: &'a str, name: &str) -> Option<&'a str> {
    let at = tags.find(&format!("{name}:\""))?;
    let rest = &tags[at + name.len() + 2..];
    rest.split('"').next()
}
