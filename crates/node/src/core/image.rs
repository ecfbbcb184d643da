//! Which environment stands for an image: a table of rules, first match wins, then the built-in ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The `[[image]]` rules of a configuration file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageTable {
    /// The rules, in the order in which they are tried.
    #[serde(default, rename = "image")]
    pub rules: Vec<Rule>,
}

/// One rule: the images that it is for, and what runs in their place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A pattern over the image's name: `*` stands for any text.
    #[serde(rename = "match")]
    pub pattern: String,
    /// A Python version, as `3.11`; without it the host's programs are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// Python packages, as `pip` takes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<String>,
    /// What an image's ENTRYPOINT is: `command` of a container replaces it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// What an image's CMD is: `args` or `command` of a container replaces it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// What stands on this host for programs of the image, by the path or name that a command says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub programs: BTreeMap<String, String>,
    /// The directory it runs in; relative to the file that the rule is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Variables that the image sets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Variables that are taken from the environment of `ferroflow up`, where they are set there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pass_env: Vec<String>,
}

impl Rule {
    /// A text that is the same for the same environment: the image id in a container's status.
    pub fn id(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        let digest: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{digest}")
    }
}

/// An image's name in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub registry: String,
    pub repository: String,
    pub tag: String,
}

impl Reference {
    /// Reads a name as `docker` does; `None` when it is none.
    pub fn parse(name: &str) -> Option<Self> {
        let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
        if name.is_empty() || !name.chars().all(is_good) {
            return None;
        }
        let (name, digest) = name.split_once('@').map_or((name, None), |(name, digest)| (name, Some(digest)));
        let (path, tag) = match name.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (name, None),
        };
        let (registry, repository) = match path.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
            Some(_) => ("docker.io", path.to_owned()),
            None => ("docker.io", format!("library/{path}")),
        };
        if repository.is_empty() || repository.split('/').any(str::is_empty) {
            return None;
        }
        let tag = tag.or(digest).unwrap_or("latest").to_owned();
        Some(Self { registry: registry.to_owned(), repository, tag })
    }

    /// The name with every part written out.
    pub fn full(&self) -> String {
        let separator = if self.tag.contains(':') { '@' } else { ':' };
        format!("{}/{}{separator}{}", self.registry, self.repository, self.tag)
    }
}

/// Images that the host's own programs stand for, and what they run when nothing is said.
const HOST_IMAGES: [(&str, &[&str]); 8] = [
    ("docker.io/library/busybox", &["sh"]),
    ("docker.io/library/alpine", &["sh"]),
    ("docker.io/library/bash", &["bash"]),
    ("docker.io/library/debian", &["bash"]),
    ("docker.io/library/ubuntu", &["bash"]),
    ("registry.k8s.io/e2e-test-images/busybox", &["sh"]),
    ("registry.k8s.io/busybox", &["sh"]),
    ("registry.k8s.io/pause", &["sleep", "infinity"]),
];

/// The rule for an image.
///
/// # Errors
/// Why there is none, and which setting changes that.
pub fn resolve(table: &ImageTable, image: &str) -> Result<Rule, String> {
    let Some(reference) = Reference::parse(image) else {
        return Err(format!("couldn't parse image name {image:?}: invalid reference format"));
    };
    let full = reference.full();
    let own = table.rules.iter().find(|rule| is_match(&rule.pattern, image) || is_match(&rule.pattern, &full));
    if let Some(rule) = own {
        return Ok(rule.clone());
    }
    built_in(&reference).ok_or_else(|| {
        format!(
            "no environment stands for image {image:?}: pods run as processes here, and images are not pulled. \
             Add a rule to the images table of the configuration (ferroflow up --images FILE), for example: \
             [[image]] match = {image:?}, python = \"3.11\", requirements = [\"numpy\"]"
        )
    })
}

fn built_in(reference: &Reference) -> Option<Rule> {
    let name = format!("{}/{}", reference.registry, reference.repository);
    if name == "docker.io/library/python" {
        let python = python_version(&reference.tag)?;
        return Some(Rule {
            pattern: "python:3.*".to_owned(),
            python: Some(python),
            cmd: vec!["python3".to_owned()],
            ..Rule::default()
        });
    }
    let (_, cmd) = HOST_IMAGES.iter().find(|(image, _)| *image == name)?;
    let cmd = cmd.iter().map(|word| (*word).to_owned()).collect();
    Some(Rule { pattern: format!("{name}:*"), cmd, ..Rule::default() })
}

/// The version in a tag of the Python image: `3.11` of `3.11-slim`, `3` of `latest`.
fn python_version(tag: &str) -> Option<String> {
    let version: String = tag.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    match version.trim_end_matches('.') {
        "" if matches!(tag, "latest" | "slim" | "alpine") => Some("3".to_owned()),
        version if version == "3" || version.starts_with("3.") => Some(version.to_owned()),
        _ => None,
    }
}

/// Whether `*` in the pattern can stand for text such that it reads as `text`.
fn is_match(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// The command line of a container: its own words, or those of the image.
///
/// # Errors
/// When neither says what to run.
pub fn command_line(rule: &Rule, command: &[String], args: &[String]) -> Result<Vec<String>, String> {
    let entrypoint = if command.is_empty() { &rule.entrypoint } else { command };
    let arguments = match (command.is_empty(), args.is_empty()) {
        (_, false) => args,
        (true, true) => &rule.cmd,
        (false, true) => &[],
    };
    let mut line: Vec<String> = entrypoint.iter().chain(arguments).cloned().collect();
    let Some(program) = line.first_mut() else { return Err("no command specified".to_owned()) };
    if let Some(other) = rule.programs.get(program) {
        program.clone_from(other);
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_docker_reads_them() {
        let rows = [
            ("busybox", "docker.io/library/busybox:latest"),
            ("a/b:1", "docker.io/a/b:1"),
            ("localhost:5000/x", "localhost:5000/x:latest"),
            ("ghcr.io/a/b@sha256:00", "ghcr.io/a/b@sha256:00"),
        ];
        for (name, full) in rows {
            assert_eq!(Reference::parse(name).unwrap().full(), full);
        }
        assert_eq!(Reference::parse("bad name"), None);
        assert_eq!(Reference::parse("a//b"), None);
    }

    #[test]
    fn the_first_rule_that_matches_wins_then_the_built_in_ones() {
        let rule = |pattern: &str, python: &str| Rule {
            pattern: pattern.to_owned(),
            python: Some(python.to_owned()),
            ..Rule::default()
        };
        let table =
            ImageTable { rules: vec![rule("me/train:*", "3.1"), rule("docker.io/me/*", "3.2"), rule("me/*", "3.3")] };
        let python = |image: &str| resolve(&table, image).unwrap().python.unwrap_or_default();
        assert_eq!(python("me/train:gpu"), "3.1");
        assert_eq!(python("me/other"), "3.2");
        assert_eq!(python("python:3.11-slim"), "3.11");
        assert_eq!(python("python"), "3");
        assert_eq!(resolve(&table, "busybox:1.36").unwrap().cmd, ["sh"]);
        assert!(resolve(&table, "nginx:1.27").unwrap_err().contains("images table of the configuration"));
        assert!(resolve(&table, "python:2.7").is_err());
    }

    #[test]
    fn commands_and_arguments_replace_those_of_the_image() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let rule = Rule { entrypoint: words("run"), cmd: words("-a"), ..Rule::default() };
        let line = |command: &str, args: &str| command_line(&rule, &words(command), &words(args)).unwrap().join(" ");
        assert_eq!(line("", ""), "run -a");
        assert_eq!(line("", "-b"), "run -b");
        assert_eq!(line("own", ""), "own");
        assert_eq!(line("own", "-b"), "own -b");
        assert!(command_line(&Rule::default(), &[], &[]).is_err());
    }

    #[test]
    fn a_program_of_the_image_is_replaced_by_what_stands_for_it() {
        let programs = BTreeMap::from([("/bin/sh".to_owned(), "/bin/bash".to_owned())]);
        let rule = Rule { programs, ..Rule::default() };
        let line = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            command_line(&rule, &words, &[]).unwrap().join(" ")
        };
        assert_eq!(line(&["/bin/sh", "-c", "/bin/sh"]), "/bin/bash -c /bin/sh");
        assert_eq!(line(&["sh"]), "sh");
    }
}
