//! `--records`: where `serve` keeps what it records.

use std::{fs, path::Path, path::PathBuf};

use anyhow::Context;
use clap::Args as ClapArgs;
use ferroflow_pipelines::core::token::KEY_BYTES;
use ferroflow_platform::records::{Records, Statement, Value};
use rand::RngExt;

use crate::{gateway, problem::Problem};

/// The variables that say where records are kept, or which file says it.
const VARIABLE: &str = "FERROFLOW_RECORDS";
pub const FILE_VARIABLE: &str = "FERROFLOW_RECORDS_FILE";

/// What the command line says of records.
#[derive(ClapArgs, Debug, Clone, Default)]
pub struct RecordsPlace {
    /// The database of records, as postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full. Without it that of
    /// FERROFLOW_RECORDS, or a file of the data directory. Several servers share a database: all answer, and one leads.
    #[arg(long, value_name = "URL")]
    pub records: Option<String>,

    /// A file with that URL, as a Secret is mounted. Without it that of FERROFLOW_RECORDS_FILE.
    #[arg(long, value_name = "FILE", conflicts_with = "records")]
    pub records_file: Option<PathBuf>,
}

/// An open store.
pub enum Store {
    /// In the data directory, whose lock this process holds: nobody else writes to it.
    Own(Records),
    /// In a database, beside other replicas.
    Shared(Records),
}

/// Opens the store.
///
/// # Errors
/// What is in the way, with what to do.
pub async fn open(data: &Path, place: &RecordsPlace) -> anyhow::Result<Store> {
    let Some(url) = url(place, &|name| std::env::var(name).ok())? else {
        return Ok(Store::Own(gateway::records(data)?));
    };
    let hint = "see that the server runs and lets this user in; the URL is postgres://USER:PASSWORD@HOST/DATABASE";
    let records = Records::connect(&url).await.map_err(|error| Problem::new(error.to_string(), hint))?;
    Ok(Store::Shared(records))
}

/// Whether they are in a database, and not in the data directory.
///
/// # Errors
/// What is wrong with the place, with what to do.
pub fn is_shared(place: &RecordsPlace) -> Result<bool, Problem> {
    Ok(url(place, &|name| std::env::var(name).ok())?.is_some())
}

/// The store in words, without a password: `the database db.example.com/ferroflow`, or the data directory.
///
/// # Errors
/// What is wrong with the place, with what to do.
pub fn described(data: &Path, place: &RecordsPlace) -> Result<String, Problem> {
    Ok(match url(place, &|name| std::env::var(name).ok())? {
        Some(url) => format!("the database {}", without_password(&url)),
        None => format!("\"{}\"", data.display()),
    })
}

/// Host and database of a URL.
fn without_password(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    // A password may hold an @ itself.
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    rest.split('?').next().unwrap_or_default()
}

fn url(place: &RecordsPlace, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>, Problem> {
    let given = |name: &str| variable(name).filter(|value| !value.is_empty());
    let (file, said) = match &place.records_file {
        Some(file) => (file.clone(), "--records-file"),
        None => match place.records.clone().filter(|url| !url.is_empty()).or_else(|| given(VARIABLE)) {
            Some(url) => return Ok(Some(url)),
            None => match given(FILE_VARIABLE) {
                Some(file) => (PathBuf::from(file), FILE_VARIABLE),
                None => return Ok(None),
            },
        },
    };
    let shown = file.display();
    let hint = "name a file that holds postgres://USER:PASSWORD@HOST/DATABASE and nothing else";
    let text = fs::read_to_string(&file)
        .map_err(|error| Problem::new(format!("{said} \"{shown}\" cannot be read: {error}"), hint))?;
    match text.trim() {
        "" => Err(Problem::new(format!("{said} \"{shown}\" is empty"), hint)),
        url => Ok(Some(url.to_owned())),
    }
}

const KEYS: &[&[&str]] = &[&["CREATE TABLE ferroflow_keys (name TEXT PRIMARY KEY, value BYTEA NOT NULL)"]];

/// The key of step tokens, which all replicas share: the first makes it.
///
/// # Errors
/// When it cannot be read or written.
pub async fn token_key(records: &Records) -> anyhow::Result<Vec<u8>> {
    let failed = "the key of step tokens cannot be recorded";
    records.migrate("ferroflow_keys", KEYS).await.context(failed)?;
    let key: [u8; KEY_BYTES] = rand::rng().random();
    let sql = "INSERT INTO ferroflow_keys (name, value) VALUES ('step-token', $1) ON CONFLICT (name) DO NOTHING";
    records.write(vec![Statement::new(sql, [key.to_vec().into()])]).await.context(failed)?;
    let sql = "SELECT value FROM ferroflow_keys WHERE name = 'step-token'";
    let rows = records.read(Statement::new(sql, [])).await.context(failed)?;
    match rows.first().context(failed)?.value(0)? {
        Value::Bytes(key) => Ok(key.clone()),
        _ => Err(anyhow::anyhow!("the recorded key of step tokens is damaged")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_described_without_its_password() {
        for (url, shown) in [
            ("postgres://ferroflow:p%40ss@db:5432/f?sslmode=disable", "db:5432/f"),
            ("postgresql://u:a@b@db/f", "db/f"),
            ("postgres:///f", "/f"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn the_url_is_that_of_the_file_then_the_word_then_the_variable() {
        let directory = tempfile::tempdir().unwrap();
        let (file, empty) = (directory.path().join("url"), directory.path().join("empty"));
        fs::write(&file, "postgres://a@b/c\n").unwrap();
        fs::write(&empty, "\n").unwrap();
        let place = |word: Option<&str>, file: Option<&Path>| RecordsPlace {
            records: word.map(str::to_owned),
            records_file: file.map(Path::to_owned),
        };
        let variable = |name: &str| (name == VARIABLE).then(|| "v".to_owned());
        let in_file = |name: &str| (name == FILE_VARIABLE).then(|| file.to_str().unwrap().to_owned());
        let of = |place: &RecordsPlace, variable: &dyn Fn(&str) -> Option<String>| url(place, variable).unwrap();
        assert_eq!(of(&place(None, Some(&file)), &variable).as_deref(), Some("postgres://a@b/c"));
        assert_eq!(of(&place(Some("w"), None), &variable).as_deref(), Some("w"));
        assert_eq!(of(&place(Some("w"), None), &in_file).as_deref(), Some("w"));
        assert_eq!(of(&place(None, None), &variable).as_deref(), Some("v"));
        assert_eq!(of(&place(None, None), &in_file).as_deref(), Some("postgres://a@b/c"));
        assert_eq!(of(&place(None, None), &|_| Some(String::new())), None);
        for (file, told) in [(empty.as_path(), "is empty"), (Path::new("/nonexistent"), "cannot be read")] {
            assert!(url(&place(None, Some(file)), &|_| None).unwrap_err().what.contains(told));
        }
    }
}
