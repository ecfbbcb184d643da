//! Which `pip install` lines a node installs ahead of a container's command, and which it leaves to the command.
//!
//! The annotation is whatever a user wrote, and what it asks for is installed by the server itself, outside of any
//! container. So nothing is taken that could run code of others there, or read this machine: names and versions only, from
//! indexes elsewhere, as wheels. Whatever is not taken the command's own `pip` installs, inside of the container.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Lines of one container.
const LINES: usize = 16;
/// Words of one line: more than a project has direct requirements.
const WORDS: usize = 256;
/// Bytes of one word: the longest of real ones name a dozen bounds and a marker.
const WORD_BYTES: usize = 512;
/// Options that change what `pip` says, and nothing else.
const TALK: [&str; 6] =
    ["-q", "--quiet", "--no-warn-script-location", "--disable-pip-version-check", "--no-input", "--no-cache-dir"];

/// What one line installs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Install {
    pub requirements: Vec<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_deps: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_url: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_index_urls: Vec<String>,
    /// Part of what is asked for; certificates are checked all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_hosts: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// What a node makes of an annotation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// In the order of the lines.
    pub installs: Vec<Install>,
    /// Why lines were left to the command.
    pub left: Vec<String>,
}

/// Reads the annotation's value for one container.
pub fn wanted(value: Option<&str>, container: &str) -> Wanted {
    let Some(value) = value else { return Wanted::default() };
    let lines: BTreeMap<String, Vec<Vec<String>>> = match serde_json::from_str(value) {
        Ok(lines) => lines,
        Err(error) => {
            let left = vec![format!("the annotation is not an object of lists of words: {error}")];
            return Wanted { installs: Vec::new(), left };
        }
    };
    let mut wanted = Wanted::default();
    for (number, words) in lines.get(container).into_iter().flatten().enumerate() {
        match read(words) {
            _ if number >= LINES => wanted.left.push(format!("there are more than {LINES} lines")),
            Ok(install) => wanted.installs.push(install),
            Err(why) => wanted.left.push(why),
        }
    }
    wanted
}

/// Reads the words of a line after `install`.
fn read(words: &[String]) -> Result<Install, String> {
    if words.len() > WORDS {
        return Err(format!("it has more than {WORDS} words"));
    }
    let mut install = Install::default();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (word, None),
        };
        let mut url = || value.or_else(|| words.next()).ok_or_else(|| format!("{name} has no value"));
        match name {
            _ if TALK.contains(&word) => {}
            "--no-deps" if value.is_none() => install.no_deps = true,
            "--index-url" | "-i" => install.index_url = Some(index(url()?)?),
            "--extra-index-url" => install.extra_index_urls.push(index(url()?)?),
            "--trusted-host" => install.trusted_hosts.push(url()?.to_owned()),
            _ if name.starts_with('-') => return Err(format!("it has the option {name}")),
            _ => install.requirements.push(requirement(word)?),
        }
    }
    if install.requirements.is_empty() {
        return Err("it names no package".to_owned());
    }
    Ok(install)
}

/// A name with versions, extras and markers: neither a path, nor a URL, nor an archive.
fn requirement(word: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " _-.[],<>=!~;\"'()*+".contains(c);
    let is_name = word.starts_with(|c: char| c.is_ascii_alphanumeric()) && word.chars().all(is_plain);
    let archives = [".whl", ".zip", ".gz", ".bz2", ".xz", ".tgz", ".tar", ".txt", ".toml"];
    if word.len() > WORD_BYTES || !is_name || archives.iter().any(|end| word.ends_with(end)) {
        let shown: String = word.chars().take(80).collect();
        return Err(format!("{shown:?} is no name of a package with versions"));
    }
    Ok(word.to_owned())
}

/// An index of packages that this server may ask: none that only this machine has, and none with a password, which would
/// open its packages to others through what is kept of them.
fn index(url: &str) -> Result<String, String> {
    let refuse = |why: &str| Err(format!("the index {why}"));
    let Ok(parsed) = url.parse::<http::Uri>() else { return refuse("is no URL") };
    let (Some("http" | "https"), Some(host)) = (parsed.scheme_str(), parsed.host()) else {
        return refuse("is no http or https URL");
    };
    if parsed.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return refuse("has a password in its URL");
    }
    let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    let is_own = match host.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(ip)) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        Ok(std::net::IpAddr::V6(ip)) => {
            let is_mapped = ip.to_ipv4_mapped().is_some();
            ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified() || is_mapped
        }
        // Other spellings of addresses are names to this reader, and addresses to others.
        Err(_) => {
            host == "localhost" || host.ends_with(".localhost") || !host.contains(|c: char| c.is_ascii_alphabetic())
        }
    };
    if is_own || url.len() > WORD_BYTES || url.starts_with('-') {
        refuse("is on this machine")
    } else {
        Ok(url.to_owned())
    }
}

impl Install {
    /// The words that `uv pip install` takes: wheels alone, of all indexes the best version, as `pip` chooses.
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> =
            ["--only-binary", ":all:", "--index-strategy", "unsafe-best-match"].map(str::to_owned).to_vec();
        if self.no_deps {
            words.push("--no-deps".to_owned());
        }
        if let Some(url) = &self.index_url {
            words.extend(["--default-index".to_owned(), url.clone()]);
        }
        for url in &self.extra_index_urls {
            words.extend(["--index".to_owned(), url.clone()]);
        }
        words.push("--".to_owned());
        words.extend(self.requirements.iter().cloned());
        words
    }

    /// Whether it asks indexes of its own.
    pub fn has_index(&self) -> bool {
        self.index_url.is_some() || !self.extra_index_urls.is_empty()
    }

    /// Whether it names the client of pipelines, whose older versions are not to be had as wheels.
    pub fn names_kfp(&self) -> bool {
        self.requirements.iter().any(|word| {
            word.strip_prefix("kfp")
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || "-_.".contains(c)))
        })
    }
}

/// A name for an environment: the same for the same base and the same installs in the same order.
pub fn digest(base: &str, installs: &[Install]) -> String {
    let text = serde_json::to_string(installs).unwrap_or_default();
    Sha256::digest(format!("{base}\n{text}")).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &[&str]) -> Result<Install, String> {
        let words: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
        read(&words)
    }

    #[test]
    fn the_lines_of_lightweight_components_are_taken() {
        let marker = "typing-extensions>=3.7.4,<5; python_version<\"3.9\"";
        let install = of(&["--quiet", "--no-warn-script-location", "kfp==2.14.3", "--no-deps", marker]).unwrap();
        assert_eq!(
            (install.requirements.as_slice(), install.no_deps),
            (&["kfp==2.14.3".to_owned(), marker.to_owned()][..], true)
        );
        let url = "https://pypi.org/simple";
        let install =
            of(&["--index-url", url, "--extra-index-url=http://b/", "--trusted-host", url, "a[x]~=1.0"]).unwrap();
        assert_eq!((install.index_url.as_deref(), install.extra_index_urls[0].as_str()), (Some(url), "http://b/"));
        let words = install.words().join(" ");
        assert!(words.ends_with("--default-index https://pypi.org/simple --index http://b/ -- a[x]~=1.0"), "{words}");
        assert!(!words.contains("trusted") && words.starts_with("--only-binary :all:"), "{words}");
    }

    #[test]
    fn what_could_run_code_or_read_this_machine_is_left_to_the_container() {
        for (line, why) in [
            (&["./package"][..], "no name"),
            (&["/etc"], "no name"),
            (&["a@https://x/a.whl"], "no name"),
            (&["git+https://github.com/x/y"], "no name"),
            (&["a.whl"], "no name"),
            (&["ö"], "no name"),
            (&["-e", "a"], "option -e"),
            (&["-r", "list"], "option -r"),
            (&["--find-links=/x", "a"], "option --find-links"),
            (&["--no-deps=1", "a"], "option --no-deps"),
            (&["--upgrade", "a"], "option --upgrade"),
            (&["--quiet"], "names no package"),
            (&["a", "--index-url"], "no value"),
            (&["-i", "ftp://x/", "a"], "no http or https"),
            (&["-i", "file:///x", "a"], "no URL"),
            (&["-i", "https://u:p@x/simple", "a"], "password"),
            (&["-i", "http://127.0.0.1:80/", "a"], "this machine"),
            (&["-i", "http://169.254.169.254/", "a"], "this machine"),
            (&["-i", "http://[::1]/", "a"], "this machine"),
            (&["-i", "http://[::ffff:127.0.0.1]/", "a"], "this machine"),
            (&["-i", "http://2130706433/", "a"], "this machine"),
            (&["-i", "http://localhost./", "a"], "this machine"),
        ] {
            let told = of(line).unwrap_err();
            assert!(told.contains(why), "{line:?}: {told}");
        }
        assert!(of(&["a".repeat(WORD_BYTES + 1).as_str()]).is_err() && of(&["a"; WORDS + 1]).is_err());
    }

    #[test]
    fn an_annotation_speaks_for_each_container_and_bad_ones_for_none() {
        let value = r#"{"main": [["a"], ["-e", "."], ["b"]], "other": [["c"]]}"#;
        let wanted_of = |container: &str| wanted(Some(value), container);
        let main = wanted_of("main");
        assert_eq!(main.installs.iter().map(|one| one.requirements.join("")).collect::<String>(), "ab");
        assert_eq!(main.left, ["it has the option -e"]);
        assert_eq!(wanted_of("none"), Wanted::default());
        assert_eq!(wanted(None, "main"), Wanted::default());
        assert_eq!(wanted(Some("[]"), "main").left.len(), 1);
        let many = format!("{{\"main\": [{}]}}", vec![r#"["a"]"#; LINES + 1].join(","));
        assert_eq!((wanted(Some(&many), "main").installs.len(), wanted(Some(&many), "main").left.len()), (LINES, 1));
    }

    #[test]
    fn the_client_of_pipelines_is_known_by_its_name() {
        for (word, is_one) in
            [("kfp==2.1.3", true), ("kfp", true), ("kfp[all]", true), ("kfp-kubernetes==1", false), ("kfpx", false)]
        {
            assert_eq!(of(&[word]).unwrap().names_kfp(), is_one, "{word}");
        }
    }

    #[test]
    fn other_installs_have_another_name() {
        let (a, b) = (of(&["a"]).unwrap(), of(&["b"]).unwrap());
        let sets = [("3.11", vec![a.clone()]), ("3.12", vec![a.clone()]), ("3.11", vec![a.clone(), b.clone()])];
        let all = sets.into_iter().chain([("3.11", vec![b, a])]).map(|(base, installs)| digest(base, &installs));
        assert_eq!(all.collect::<std::collections::BTreeSet<_>>().len(), 4);
    }
}
