//! Where artifacts are kept: the data directory, or a bucket that the command line names.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args as ClapArgs;
use ferroflow_platform::blob::{Blobs, S3, S3Fault};

use crate::{paths, problem::Problem};

/// What the command line says of artifacts.
#[derive(ClapArgs, Debug, Clone, Default)]
pub struct Artifacts {
    /// Where artifacts and logs of pipelines' steps are kept: s3://BUCKET or s3://BUCKET/PREFIX. Without it, in the data
    /// directory. Credentials are those of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or of a file.
    #[arg(long, value_name = "s3://BUCKET/PREFIX", env = "FERROFLOW_ARTIFACTS")]
    pub artifacts: Option<String>,

    /// The S3 server, as http://127.0.0.1:9000. Without it AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or Amazon's own.
    #[arg(long, value_name = "URL", requires = "artifacts")]
    pub s3_endpoint: Option<String>,

    /// The region of the bucket. Without it AWS_REGION, AWS_DEFAULT_REGION, or us-east-1.
    #[arg(long, value_name = "REGION", requires = "artifacts")]
    pub s3_region: Option<String>,

    /// A file of credentials, as ~/.aws/credentials, of which the profile AWS_PROFILE or default is taken. Without it the
    /// environment's credentials, or the file that AWS_SHARED_CREDENTIALS_FILE names.
    #[arg(long, value_name = "FILE", requires = "artifacts")]
    pub s3_credentials: Option<PathBuf>,
}

impl Artifacts {
    /// The words that say the same to another process, files by their whole path.
    pub fn words(&self) -> Vec<std::ffi::OsString> {
        let file = self.s3_credentials.as_ref().map(|file| std::path::absolute(file).unwrap_or_else(|_| file.clone()));
        let given: [(&str, Option<std::ffi::OsString>); 4] = [
            ("--artifacts", self.artifacts.clone().map(Into::into)),
            ("--s3-endpoint", self.s3_endpoint.clone().map(Into::into)),
            ("--s3-region", self.s3_region.clone().map(Into::into)),
            ("--s3-credentials", file.map(Into::into)),
        ];
        let given = given.into_iter().filter_map(|(flag, value)| Some([flag.into(), value?]));
        given.flatten().collect()
    }
}

/// The place that was chosen.
pub struct Kept {
    pub blobs: Blobs,
    /// Where runs put their artifacts that say nothing else; `None` for what upstream says.
    pub root: Option<String>,
}

/// Opens the place of artifacts; a bucket is asked whether it can be used.
///
/// # Errors
/// What is wrong with the place, with what to do.
pub async fn open(data: &Path, artifacts: &Artifacts) -> anyhow::Result<Kept> {
    let Some(place) = artifacts.artifacts.as_ref().filter(|place| !place.is_empty()) else {
        let blobs = Blobs::local(&paths::artifacts(data)).context("the directory of artifacts cannot be made")?;
        return Ok(Kept { blobs, root: None });
    };
    let options = options(place, artifacts, &|name| std::env::var(name).ok().filter(|value| !value.is_empty()))?;
    options.check().await.map_err(|fault| unusable(place, &options, &fault))?;
    let parts = ["s3:/", &options.bucket, &options.prefix, "artifacts"];
    let root = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    Ok(Kept { blobs: Blobs::s3(&options).context("the client of S3 cannot be made")?, root: Some(root) })
}

fn unusable(place: &str, options: &S3, fault: &S3Fault) -> Problem {
    let server = if options.endpoint.is_empty() { "Amazon S3" } else { options.endpoint.as_str() };
    let hint = match fault {
        S3Fault::NoBucket(bucket) => format!("make the bucket {bucket:?}, or name another with --artifacts"),
        S3Fault::Refused(_) => {
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or the file of --s3-credentials; they must \
             be allowed to put, get, list and delete objects there"
                .to_owned()
        }
        S3Fault::Unreachable(_) | S3Fault::Other => {
            "start the server or name another with --s3-endpoint; without --artifacts \
             they are kept in the data directory"
                .to_owned()
        }
    };
    Problem::new(format!("--artifacts {place}: {server}: {fault}"), hint)
}

pub type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

fn options(place: &str, artifacts: &Artifacts, variable: Variable<'_>) -> Result<S3, Problem> {
    let (bucket, prefix) = bucket(place)?;
    let first = |names: &[&str]| names.iter().find_map(|name| variable(name));
    let endpoint = artifacts.s3_endpoint.clone().or_else(|| first(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]));
    let endpoint = endpoint.unwrap_or_default();
    check_endpoint(&endpoint)?;
    let region = artifacts.s3_region.clone().or_else(|| first(&["AWS_REGION", "AWS_DEFAULT_REGION"]));
    let [access_key, secret_key, session_token] = credentials(artifacts, variable)?;
    let region = region.unwrap_or_else(|| REGION.to_owned());
    Ok(S3 { endpoint, region, bucket, prefix, access_key, secret_key, session_token })
}

/// The region where none is said.
pub const REGION: &str = "us-east-1";

/// Whether a server of S3 is none (Amazon's own) or a URL.
///
/// # Errors
/// For anything else.
pub fn check_endpoint(endpoint: &str) -> Result<(), Problem> {
    if endpoint.is_empty() || ["http://", "https://"].iter().any(|scheme| endpoint.starts_with(scheme)) {
        return Ok(());
    }
    let hint = "give one that begins with http:// or https://, as http://127.0.0.1:9000";
    Err(Problem::new(format!("--s3-endpoint {endpoint:?} is no URL"), hint))
}

/// The bucket and the prefix of `s3://BUCKET/PREFIX`.
///
/// # Errors
/// What is wrong with it.
pub fn bucket(place: &str) -> Result<(String, String), Problem> {
    let fault = |why: &str| {
        Problem::new(format!("--artifacts {place:?} {why}"), "give s3://BUCKET or s3://BUCKET/PREFIX, or leave it out")
    };
    let rest = place.strip_prefix("s3://").ok_or_else(|| fault("does not begin with s3://"))?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if bucket.is_empty() || !bucket.bytes().all(is_plain) {
        return Err(fault("names no bucket"));
    }
    let is_part = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(is_plain);
    if !prefix.is_empty() && !prefix.split('/').all(is_part) {
        return Err(fault(
            "has a prefix that is not of letters, digits, \"-\", \".\" and \"_\" between single slashes",
        ));
    }
    Ok((bucket.to_owned(), prefix.to_owned()))
}

/// The variables of credentials, which are also their names in a file, in lower case.
const NAMES: [&str; 3] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

/// Access key, secret key and session token: of the file that is named, of the environment, or of the environment's file.
fn credentials(artifacts: &Artifacts, variable: Variable<'_>) -> Result<[String; 3], Problem> {
    let own = NAMES.map(|name| variable(name).unwrap_or_default());
    let file = match &artifacts.s3_credentials {
        Some(file) => Some(file.clone()),
        None if !own[0].is_empty() && !own[1].is_empty() => return Ok(own),
        None => variable("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from),
    };
    match file {
        Some(file) => of_file(&file, variable),
        None => Err(Problem::new("--artifacts: there are no credentials for S3", CREDENTIALS_HINT)),
    }
}

const CREDENTIALS_HINT: &str =
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a file that has them with --s3-credentials";

/// Those of a file, of the profile AWS_PROFILE or default.
fn of_file(file: &Path, variable: Variable<'_>) -> Result<[String; 3], Problem> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| {
        Problem::new(format!("the credentials of S3, \"{shown}\", cannot be read: {error}"), CREDENTIALS_HINT)
    })?;
    let profile = variable("AWS_PROFILE").filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned());
    let found = NAMES.map(|name| of_profile(&text, &profile, &name.to_lowercase()).unwrap_or_default());
    if found[0].is_empty() || found[1].is_empty() {
        let what = format!(
            "the credentials of S3, \"{shown}\", have no aws_access_key_id and aws_secret_access_key in [{profile}]"
        );
        return Err(Problem::new(what, "add them, or name another profile with AWS_PROFILE"));
    }
    Ok(found)
}

/// The text of a file that has nothing but the profile that AWS_PROFILE names, or default, as its default.
///
/// # Errors
/// When the file cannot be read, or that profile has no keys.
pub fn own_profile(file: &Path, variable: Variable<'_>) -> Result<String, Problem> {
    let found = of_file(file, variable)?;
    let lines = NAMES.iter().zip(&found).filter(|(_, value)| !value.is_empty());
    let lines = lines.map(|(name, value)| format!("{} = {value}\n", name.to_lowercase()));
    Ok(format!("[default]\n{}", lines.collect::<String>()))
}

/// A value of a section.
fn of_profile(text: &str, profile: &str, name: &str) -> Option<String> {
    let mut is_in = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            is_in = section.trim_end_matches(']').trim() == profile;
        } else if let Some((_, value)) = line.split_once('=').filter(|(key, _)| is_in && key.trim() == name) {
            return Some(value.trim().to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn given(artifacts: &Artifacts, variables: &[(&str, &str)]) -> Result<S3, Problem> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        let place = artifacts.artifacts.clone().unwrap_or_default();
        options(&place, artifacts, &|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    fn at(place: &str) -> Artifacts {
        Artifacts { artifacts: Some(place.to_owned()), ..Artifacts::default() }
    }

    const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")];

    #[test]
    fn a_place_is_a_bucket_with_or_without_a_prefix() {
        for (place, bucket, prefix) in
            [("s3://b", "b", ""), ("s3://b/", "b", ""), ("s3://b/team/a", "b", "team/a"), ("s3://b/team/", "b", "team")]
        {
            let found = given(&at(place), &KEYS).unwrap();
            assert_eq!((found.bucket.as_str(), found.prefix.as_str()), (bucket, prefix), "{place}");
            assert_eq!((found.region.as_str(), found.endpoint.as_str()), ("us-east-1", ""), "{place}");
        }
        for place in ["", "/tmp", "minio://b", "s3://", "s3:///x", "s3://b//x", "s3://b/../x", "s3://b/a b"] {
            assert!(given(&at(place), &KEYS).unwrap_err().what.starts_with("--artifacts"), "{place}");
        }
        let wrong = Artifacts { s3_endpoint: Some("127.0.0.1:9000".to_owned()), ..at("s3://b") };
        assert!(given(&wrong, &KEYS).unwrap_err().what.starts_with("--s3-endpoint"));
    }

    #[test]
    fn credentials_are_of_the_file_that_is_named_then_of_the_environment_then_of_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        let text = "# keys\n[default]\naws_access_key_id = file\naws_secret_access_key=s\n\n[other]\naws_access_key_id=o\n\
                    aws_secret_access_key = p = q\naws_session_token = t\n[half]\naws_access_key_id = x\n";
        std::fs::write(&path, text).unwrap();
        let shared = path.to_str().unwrap();
        let named = Artifacts { s3_credentials: Some(path.clone()), ..at("s3://b") };
        let with =
            |variables: &[(&'static str, &'static str)]| KEYS.iter().chain(variables).copied().collect::<Vec<_>>();
        let keys = |found: S3| (found.access_key, found.secret_key, found.session_token);
        let text = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(keys(given(&named, &KEYS).unwrap()), text("file", "s", ""));
        assert_eq!(keys(given(&named, &[("AWS_PROFILE", "other")]).unwrap()), text("o", "p = q", "t"));
        assert_eq!(
            keys(given(&at("s3://b"), &with(&[("AWS_SESSION_TOKEN", "t")])).unwrap()),
            text("id", "secret", "t")
        );
        let from_shared = given(&at("s3://b"), &[("AWS_SHARED_CREDENTIALS_FILE", shared)]).unwrap();
        assert_eq!(keys(from_shared), text("file", "s", ""));
        for variables in [&[][..], &[("AWS_ACCESS_KEY_ID", "id")], &[("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")]] {
            assert!(given(&at("s3://b"), variables).unwrap_err().what.contains("credentials"), "{variables:?}");
        }
        assert!(given(&named, &[("AWS_PROFILE", "half")]).unwrap_err().what.contains("[half]"));
        let other = own_profile(&path, &|_| Some("other".to_owned())).unwrap();
        let expected = "[default]\naws_access_key_id = o\naws_secret_access_key = p = q\naws_session_token = t\n";
        assert_eq!(other, expected);
    }

    #[test]
    fn a_detached_server_is_told_the_same() {
        let artifacts = Artifacts { s3_credentials: Some("keys".into()), ..at("s3://b/p") };
        let words: Vec<String> = artifacts.words().iter().map(|word| word.to_str().unwrap().to_owned()).collect();
        assert_eq!(words[..3], ["--artifacts", "s3://b/p", "--s3-credentials"]);
        assert!(words[3].starts_with('/') && words[3].ends_with("/keys"));
        assert!(Artifacts::default().words().is_empty());
    }
}
