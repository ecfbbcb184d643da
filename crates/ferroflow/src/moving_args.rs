//! What can be said on the command line of moving from one store to another.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args as ClapArgs;

use crate::{artifacts::Artifacts, records::RecordsPlace};

#[derive(ClapArgs, Debug)]
pub struct Export {
    /// The file, a tar archive that only its owner may read; - is standard output.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Only what is in this namespace; may be given several times.
    #[arg(long, value_name = "NAMESPACE")]
    pub namespace: Vec<String>,

    /// Leave the bytes of artifacts and logs out, where they are in a bucket that the other store has too.
    #[arg(long)]
    pub without_objects: bool,

    /// Replace the file if there is one.
    #[arg(long)]
    pub force: bool,

    #[command(flatten)]
    pub records: RecordsPlace,

    #[command(flatten)]
    pub artifacts: Artifacts,
}

#[derive(ClapArgs, Debug)]
pub struct Import {
    /// The file that `export` has written; - is standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The namespace that all of it goes to, or OLD=NEW for what is in one of its namespaces; may be given several times.
    /// Without it, everything keeps its own.
    #[arg(long, value_name = "NAMESPACE|OLD=NEW")]
    pub namespace: Vec<String>,

    /// What is added to the name of a pipeline's version where there is another one of that name already.
    #[arg(long, value_name = "SUFFIX", allow_hyphen_values = true)]
    pub suffix: Option<String>,

    /// Let recurring runs go on that were enabled. Without it they rest, since those of the old store may still be at work.
    #[arg(long)]
    pub enable_schedules: bool,

    #[command(flatten)]
    pub records: RecordsPlace,

    #[command(flatten)]
    pub artifacts: Artifacts,
}

impl Import {
    /// Namespaces by their old names, and the one for all others.
    ///
    /// # Errors
    /// What is wrong with `--namespace`.
    pub fn namespaces(&self) -> Result<(BTreeMap<String, String>, Option<String>), String> {
        let (mut by_name, mut all) = (BTreeMap::new(), None);
        for given in &self.namespace {
            let (old, new) = given.split_once('=').map_or((None, given.as_str()), |(old, new)| (Some(old), new));
            if !is_label(new) || old == Some("") {
                return Err(format!("--namespace {given:?} is neither a namespace nor OLD=NEW"));
            }
            let before = match old {
                Some(old) => by_name.insert(old.to_owned(), new.to_owned()),
                None => all.replace(new.to_owned()),
            };
            if before.is_some_and(|before| before != new) {
                return Err(format!("--namespace {given:?} was said to be another one before"));
            }
        }
        Ok((by_name, all))
    }
}

/// Whether a text can name a namespace: RFC 1123.
fn is_label(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(is_part) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    fn namespaces(words: &[&str]) -> Result<(BTreeMap<String, String>, Option<String>), String> {
        let words = ["ferroflow", "import", "-"].into_iter().chain(words.iter().copied());
        match Args::parse_from(words).command {
            Command::Import(import) => import.namespaces(),
            _ => unreachable!("it is another command"),
        }
    }

    #[test]
    fn one_namespace_is_for_all_and_pairs_are_for_their_own() {
        let (pairs, all) = namespaces(&["--namespace=a=team-a", "--namespace", "rest"]).unwrap();
        assert_eq!(pairs, BTreeMap::from([("a".to_owned(), "team-a".to_owned())]));
        assert_eq!(all.as_deref(), Some("rest"));
        assert_eq!(namespaces(&[]).unwrap(), (BTreeMap::new(), None));
        for bad in
            [&["--namespace=A"][..], &["--namespace=a="], &["--namespace==b"], &["--namespace=a", "--namespace=b"]]
        {
            assert!(namespaces(bad).is_err(), "{bad:?}");
        }
    }
}
