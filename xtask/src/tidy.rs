//! `cargo xtask tidy`: rules of the house that a machine can hold.
//!
//! It reads files as text. What it finds too large may stand in `tidy.allow`, at the size it has; the
//! list only shrinks, so a smaller file or function must be written down as smaller.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

/// Lines of a file.
const FILE_LINES: usize = 500;
/// Lines of a function.
const FUNCTION_LINES: usize = 70;

/// Which crates of ours a crate may depend on.
const DIRECTIONS: [(&str, &[&str]); 10] = [
    ("api", &[]),
    ("platform", &["ferroflow-api"]),
    ("cluster", &["ferroflow-api", "ferroflow-platform"]),
    ("node", &["ferroflow-api", "ferroflow-platform", "ferroflow-images"]),
    ("images", &[]),
    ("pipelines", &["ferroflow-api", "ferroflow-platform"]),
    ("launcher", &[]),
    ("testkit", &["ferroflow-api", "ferroflow-platform", "ferroflow-cluster", "ferroflow-node"]),
    (
        "ferroflow",
        &[
            "ferroflow-api",
            "ferroflow-platform",
            "ferroflow-cluster",
            "ferroflow-node",
            "ferroflow-images",
            "ferroflow-pipelines",
        ],
    ),
    ("xtask", &["ferroflow-images"]),
];

/// What a `core` module may not name: the world outside of its arguments.
const OUTSIDE: [&str; 12] = [
    "tokio::",
    "use kube",
    "kube::Client",
    "kube::Api",
    "std::fs",
    "std::env",
    "std::net::Tcp",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
];

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault(pub String);

/// Checks the repository at `root` and returns what is wrong, sorted.
///
/// # Errors
/// When a file cannot be read.
pub fn check(root: &Path) -> anyhow::Result<Vec<Fault>> {
    let mut faults = Vec::new();
    let mut sizes = BTreeMap::new();
    for (name, allowed) in DIRECTIONS {
        let directory = if name == "xtask" { root.join(name) } else { root.join("crates").join(name) };
        check_manifest(&directory, name, allowed, &mut faults)?;
        for path in rust_files(&directory)? {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            check_source(&shown, &text, &mut faults, &mut sizes);
        }
    }
    check_sizes(root, &sizes, &mut faults)?;
    faults.sort();
    Ok(faults)
}

/// The present sizes of everything that is too large, as `tidy.allow` lists them.
///
/// # Errors
/// When a file cannot be read.
pub fn sizes(root: &Path) -> anyhow::Result<String> {
    let mut sizes = BTreeMap::new();
    for (name, _) in DIRECTIONS {
        let directory = if name == "xtask" { root.join(name) } else { root.join("crates").join(name) };
        for path in rust_files(&directory)? {
            let text = fs::read_to_string(&path)?;
            let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            check_source(&shown, &text, &mut Vec::new(), &mut sizes);
        }
    }
    Ok(sizes.iter().map(|(what, lines)| format!("{lines} {what}\n")).collect())
}

fn check_manifest(directory: &Path, name: &str, allowed: &[&str], faults: &mut Vec<Fault>) -> anyhow::Result<()> {
    let path = directory.join("Cargo.toml");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
            continue;
        }
        if !section.contains("dependencies") || line.is_empty() || line.starts_with('#') {
            continue;
        }
        let dependency = line.split(['=', '.', ' ']).next().unwrap_or_default();
        if !line.contains("workspace") {
            faults.push(Fault(format!("crates/{name}: dependency {dependency} is not declared in the workspace")));
        }
        let is_ours = dependency.starts_with("ferroflow-");
        let for_tests = section == "[dev-dependencies]" && dependency == "ferroflow-testkit";
        if is_ours && !for_tests && !allowed.contains(&dependency) {
            faults.push(Fault(format!("crates/{name} may not depend on {dependency}: dependencies point one way")));
        }
    }
    Ok(())
}

fn rust_files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn check_source(path: &str, text: &str, faults: &mut Vec<Fault>, sizes: &mut BTreeMap<String, usize>) {
    if !text.starts_with("//!") && !is_test(path) {
        faults.push(Fault(format!("{path}: no //! header that says what the file answers")));
    }
    if path.contains("/src/core/") && !is_test(path) {
        check_purity(path, text, faults);
    }
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("#[ignore") {
            faults.push(Fault(format!("{path}:{}: an ignored test tests nothing", number + 1)));
        }
    }
    let lines = text.lines().count();
    // Tables of facts may be as long as the facts are.
    let is_table = path.ends_with("table.rs") || path.contains("/data/");
    if lines > FILE_LINES && !is_table && !is_test(path) {
        sizes.insert(format!("file {path}"), lines);
    }
    for (name, lines) in functions(text) {
        if lines > FUNCTION_LINES && !is_test(path) {
            let size = sizes.entry(format!("fn {path} {name}")).or_default();
            *size = lines.max(*size);
        }
    }
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("tests.rs")
}

fn check_purity(path: &str, text: &str, faults: &mut Vec<Fault>) {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    for (number, line) in product.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for word in OUTSIDE {
            let found = code.find(word).is_some_and(|at| {
                let before = code[..at].chars().next_back();
                before.is_none_or(|before| !before.is_alphanumeric() && before != '_' && before != ':')
            });
            if found {
                faults.push(Fault(format!("{path}:{}: core may not use {word}; hand it in", number + 1)));
            }
        }
    }
}

/// The functions of a file as rustfmt lays them out, with their lengths in lines.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let Some(name) = function_name(line.trim_start()) else { continue };
        // A trait may only name a function, which then has no body to measure.
        let opening = lines[start..].iter().find(|line| line.trim_end().ends_with(['{', '}', ';']));
        if opening.is_none_or(|line| line.trim_end().ends_with(';')) {
            continue;
        }
        let end = lines[start..].iter().position(|line| {
            line.len() > indent && line.starts_with(&" ".repeat(indent)) && line[indent..].trim_end() == "}"
        });
        if let Some(length) = end {
            found.push((name.to_owned(), length + 1));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let before = ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe", "extern", "\"C\""];
    let word = words.find(|word| !before.contains(word))?;
    (word == "fn").then(|| words.next()).flatten().and_then(|name| name.split(['(', '<']).next())
}

fn check_sizes(root: &Path, sizes: &BTreeMap<String, usize>, faults: &mut Vec<Fault>) -> anyhow::Result<()> {
    let path = root.join("xtask/tidy.allow");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let allowed: BTreeMap<&str, usize> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(lines, what)| Some((what, lines.parse().ok()?)))
        .collect();
    for (what, lines) in sizes {
        match allowed.get(what.as_str()) {
            None => faults.push(Fault(format!("{what}: {lines} lines are too many; split it"))),
            Some(most) if lines > most => {
                faults.push(Fault(format!("{what}: {lines} lines, more than the {most} it had; split it")));
            }
            Some(most) if lines < most => {
                faults.push(Fault(format!("{what}: now {lines} lines; write that into xtask/tidy.allow")));
            }
            Some(_) => {}
        }
    }
    for what in allowed.keys().filter(|what| !sizes.contains_key(**what)) {
        faults.push(Fault(format!("{what}: no longer too large; take it out of xtask/tidy.allow")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let faults = check(root).unwrap();
        assert!(faults.is_empty(), "{}", faults.iter().map(|fault| format!("{}\n", fault.0)).collect::<String>());
    }

    #[test]
    fn a_core_module_that_reaches_outside_is_found() {
        let mut faults = Vec::new();
        let text = "//! x\nuse tokio::sync;\nuse crate::mykube::x;\n// kube::Client is not used\n";
        check_source("crates/x/src/core/y.rs", text, &mut faults, &mut BTreeMap::new());
        assert_eq!(faults, [Fault("crates/x/src/core/y.rs:2: core may not use tokio::; hand it in".to_owned())]);
    }

    #[test]
    fn functions_are_measured_by_their_closing_brace() {
        let text = "impl X {\n    pub async fn a(&self) {\n        if x {\n        }\n    }\n}\nfn b() {\n}\n";
        assert_eq!(functions(text), [("a".to_owned(), 4), ("b".to_owned(), 2)]);
        let text = "trait X {\n    fn a(\n        &self,\n    ) -> u8;\n    fn b(&self) {\n    }\n}\n";
        assert_eq!(functions(text), [("b".to_owned(), 2)]);
    }
}
