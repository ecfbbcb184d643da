//! Which environment stands for an image: a table of rules, first match wins, then the built-in ones.

use std::collections::BTreeMap;

use ferroflow_images::core::{
    reference::Reference,
    run::{self, Run},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Where programs are looked for in an image that says nothing of it, as other runtimes have it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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
    /// Further files and directories of the host that its programs may read: absolute paths, or `$NAME` for the path in a
    /// variable of `env` or `pass_env`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

impl Rule {
    /// A text that is the same for the same environment: the image id in a container's status.
    pub fn id(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        let digest: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{digest}")
    }
}

/// What a container has from its image, or from what stands for it, where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    /// What stands on this host for programs of the image.
    pub programs: BTreeMap<String, String>,
    pub env: BTreeMap<String, String>,
    pub workdir: Option<String>,
    /// `user`, `user:group`, by name or by number; empty for root.
    pub user: String,
    pub stop_signal: Option<i32>,
    /// Directories whose content belongs to no image.
    pub volumes: Vec<String>,
}

impl From<Run> for Defaults {
    fn from(image: Run) -> Self {
        let mut env = BTreeMap::from([("PATH".to_owned(), DEFAULT_PATH.to_owned())]);
        env.extend(image.env);
        Self {
            entrypoint: image.entrypoint,
            cmd: image.cmd,
            programs: BTreeMap::new(),
            env,
            workdir: Some(image.workdir).filter(|path| !path.is_empty()),
            stop_signal: run::signal(&image.stop_signal),
            user: image.user,
            volumes: image.volumes,
        }
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

/// The rule that a table has for an image, whose name in full is `reference`.
pub fn explicit(table: &ImageTable, image: &str, reference: &Reference) -> Option<Rule> {
    let full = reference.to_string();
    let own = table.rules.iter().find(|rule| is_match(&rule.pattern, image) || is_match(&rule.pattern, &full));
    own.cloned()
}

/// What is told of an image that nothing stands for, on a node of a level that runs no images, for this reason.
pub fn nothing_stands_for(image: &str, level: &str, why: &str) -> String {
    let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
    format!(
        "no environment stands for image {image:?}: pods run as processes here, and images are not pulled, since this \
         node has isolation level {level:?}{why}. Add a rule to the images table of the configuration (ferroflow up \
         --images FILE), for example: [[image]] match = {image:?}, python = \"3.11\", requirements = [\"numpy\"]"
    )
}

/// The rule that is built in for an image.
pub fn built_in(reference: &Reference) -> Option<Rule> {
    let name = format!("{}/{}", reference.registry, reference.repository);
    if let Some(python) = python_of(&name, reference.tag.as_deref().unwrap_or("latest")) {
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

/// The version of an image that is a Python and nothing else: the official one, its mirror, and those of Red Hat, which have
/// it in their names (`ubi9/python-311`).
fn python_of(name: &str, tag: &str) -> Option<String> {
    if matches!(name, "docker.io/library/python" | "public.ecr.aws/docker/library/python") {
        return python_version(tag);
    }
    let image = ["8", "9", "10"].into_iter().find_map(|release| {
        name.strip_prefix("registry.access.redhat.com/ubi")?.strip_prefix(release)?.strip_prefix("/python-3")
    });
    image
        .filter(|minor| !minor.is_empty() && minor.chars().all(|c| c.is_ascii_digit()))
        .map(|minor| format!("3.{minor}"))
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
pub fn command_line(image: &Defaults, command: &[String], args: &[String]) -> Result<Vec<String>, String> {
    let entrypoint = if command.is_empty() { &image.entrypoint } else { command };
    let arguments = match (command.is_empty(), args.is_empty()) {
        (_, false) => args,
        (true, true) => &image.cmd,
        (false, true) => &[],
    };
    let mut line: Vec<String> = entrypoint.iter().chain(arguments).cloned().collect();
    let Some(program) = line.first_mut() else { return Err("no command specified".to_owned()) };
    if let Some(other) = image.programs.get(program) {
        program.clone_from(other);
    }
    Ok(line)
}

/// A volume of an image as a path that can be mounted at; `None` for one that leads nowhere or upwards.
pub fn volume_path(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.strip_prefix('/')?.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    (!parts.is_empty() && !parts.contains(&"..")).then(|| format!("/{}", parts.join("/")))
}

/// Checks that an image's user is not root, as far as that is known before its files are read.
///
/// # Errors
/// When it is root, or has only a name.
pub fn check_non_root(user: &str) -> Result<(), String> {
    let name = user.split(':').next().unwrap_or_default();
    match name.parse::<u32>() {
        Ok(0) => Err("container has runAsNonRoot and image will run as root".to_owned()),
        Ok(_) => Ok(()),
        Err(_) if name.is_empty() => Err("container has runAsNonRoot and image will run as root".to_owned()),
        Err(_) => {
            let why = "cannot verify user is non-root";
            Err(format!("container has runAsNonRoot and image has non-numeric user ({name}), {why}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(table: &ImageTable, image: &str) -> Option<Rule> {
        let reference = image.parse().unwrap();
        explicit(table, image, &reference).or_else(|| built_in(&reference))
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
        assert_eq!(python("public.ecr.aws/docker/library/python:3.12"), "3.12");
        assert_eq!(python("registry.access.redhat.com/ubi9/python-311:latest"), "3.11");
        assert_eq!(resolve(&table, "registry.access.redhat.com/ubi9/python-3x"), None);
        assert_eq!(resolve(&table, "busybox:1.36").unwrap().cmd, ["sh"]);
        assert_eq!(resolve(&table, "nginx:1.27"), None);
        assert_eq!(resolve(&table, "python:2.7"), None);
        let told = nothing_stands_for("nginx:1.27", "bare", "it was chosen");
        assert!(told.contains("level \"bare\" (it was chosen). Add a rule to the images table of the configuration"));
    }

    #[test]
    fn commands_and_arguments_replace_those_of_the_image() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let image = Defaults { entrypoint: words("run"), cmd: words("-a"), ..Defaults::default() };
        let line = |command: &str, args: &str| command_line(&image, &words(command), &words(args)).unwrap().join(" ");
        assert_eq!(line("", ""), "run -a");
        assert_eq!(line("", "-b"), "run -b");
        assert_eq!(line("own", ""), "own");
        assert_eq!(line("own", "-b"), "own -b");
        assert!(command_line(&Defaults::default(), &[], &[]) == Err("no command specified".to_owned()));
    }

    #[test]
    fn an_image_says_how_its_containers_start() {
        let run = Run {
            env: vec![("A".to_owned(), "1".to_owned()), ("A".to_owned(), "2".to_owned())],
            stop_signal: "SIGQUIT".to_owned(),
            user: "app".to_owned(),
            ..Run::default()
        };
        let image = Defaults::from(run);
        assert_eq!((image.env["A"].as_str(), image.env["PATH"].as_str()), ("2", DEFAULT_PATH));
        assert_eq!((image.stop_signal, image.user.as_str(), image.workdir), (Some(3), "app", None));
        let own = Run { env: vec![("PATH".to_owned(), "/opt".to_owned())], ..Run::default() };
        assert_eq!(Defaults::from(own).env["PATH"], "/opt");
    }

    #[test]
    fn what_must_not_run_as_root_does_not() {
        for (user, told) in [
            ("", Some("will run as root")),
            ("0:7", Some("will run as root")),
            ("65532:65532", None),
            ("app:app", Some("non-numeric user (app)")),
        ] {
            let checked = check_non_root(user).err();
            assert_eq!(checked.is_some(), told.is_some(), "{user}");
            assert!(told.is_none_or(|told| checked.unwrap_or_default().contains(told)), "{user}");
        }
    }

    #[test]
    fn volumes_of_an_image_lie_in_it() {
        for (path, found) in
            [("/data/", Some("/data")), ("/a//./b", Some("/a/b")), ("/", None), ("data", None), ("/a/../..", None)]
        {
            assert_eq!(volume_path(path).as_deref(), found, "{path}");
        }
    }

    #[test]
    fn a_program_of_the_image_is_replaced_by_what_stands_for_it() {
        let programs = BTreeMap::from([("/bin/sh".to_owned(), "/bin/bash".to_owned())]);
        let image = Defaults { programs, ..Defaults::default() };
        let line = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            command_line(&image, &words, &[]).unwrap().join(" ")
        };
        assert_eq!(line(&["/bin/sh", "-c", "/bin/sh"]), "/bin/bash -c /bin/sh");
        assert_eq!(line(&["sh"]), "sh");
    }
}
