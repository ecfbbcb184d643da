//! What is installed: the choices of a person, checked.

use std::{fs, path::Path};

use ferroflow_platform::http::tls::{self, Issued};

use super::objects;
use crate::{args::Install, problem::Problem};

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// In SQLite on a volume, with the artifacts that are in no bucket.
    Volume,
    /// In PostgreSQL, under this URL.
    Database(String),
}

/// A bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// `s3://BUCKET/PREFIX`
    pub place: String,
    /// Empty for Amazon's.
    pub endpoint: String,
    pub region: String,
    /// The text of a file as `~/.aws/credentials`.
    pub credentials: Option<String>,
}

/// An installation.
#[derive(Debug)]
pub struct Plan {
    pub namespace: String,
    /// The namespace of runs that name none.
    pub runs: String,
    pub image: String,
    pub launcher_image: String,
    pub replicas: u32,
    pub records: Records,
    pub artifacts: Option<Bucket>,
    pub storage_class: Option<String>,
    pub size: String,
    /// A certificate that was made for it; `None` for the one that is there, or one of each replica's own.
    pub certificate: Option<Issued>,
}

/// What an earlier installation has, which is not to be said again.
#[derive(Debug, Default)]
pub struct Found {
    /// The URL of its database.
    pub records: Option<String>,
    pub artifacts: Option<Bucket>,
    pub has_volume: bool,
}

impl Plan {
    /// What the command line asks for, and what it does not say as it was found.
    ///
    /// # Errors
    /// What does not go together, with what to do.
    pub fn of(install: &Install, found: Found) -> anyhow::Result<Self> {
        let records = match install.records.clone().filter(|url| !url.is_empty()).or(found.records) {
            Some(_) if found.has_volume => {
                let hint = "leave --records out to go on with the volume, or `ferroflow uninstall --delete-data` first";
                let what = "the records of this installation are on its volume, and would be left behind";
                return Err(Problem::new(what, hint).into());
            }
            Some(url) if ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) => {
                Records::Database(url)
            }
            Some(_) => {
                let hint = "give postgres://USER:PASSWORD@HOST/DATABASE, or leave --records out for SQLite on a volume";
                return Err(Problem::new("--records is no URL of PostgreSQL", hint).into());
            }
            None => Records::Volume,
        };
        let given = install.artifacts.as_ref().map(|place| bucket(place, install)).transpose()?;
        let artifacts = given.or(found.artifacts);
        let replicas = install.replicas.unwrap_or(if records == Records::Volume { 1 } else { 2 });
        if records == Records::Volume && replicas > 1 {
            let hint = "give --records postgres://… and --artifacts s3://…, which several servers share";
            return Err(Problem::new(format!("{replicas} replicas cannot share one volume"), hint).into());
        }
        if records != Records::Volume && artifacts.is_none() {
            let hint = "give --artifacts s3://BUCKET/PREFIX: with records in a database no volume is kept";
            return Err(Problem::new("--records without --artifacts leaves artifacts without a place", hint).into());
        }
        let (image, launcher_image) = objects::images();
        Ok(Self {
            namespace: install.place.namespace.clone(),
            runs: install.runs_namespace.clone(),
            image: install.image.clone().unwrap_or(image),
            launcher_image: install.launcher_image.clone().unwrap_or(launcher_image),
            replicas,
            records,
            artifacts,
            storage_class: install.storage_class.clone(),
            size: install.size.clone(),
            certificate: None,
        })
    }

    /// The same with a certificate of its own.
    ///
    /// # Errors
    /// When the namespaces make no host names.
    pub fn with_certificate(mut self) -> anyhow::Result<Self> {
        let mut names = objects::names(&self);
        names.extend(["localhost".to_owned(), "127.0.0.1".to_owned()]);
        let hint = "give a --namespace of lower-case letters, digits and dashes";
        self.certificate = Some(tls::issue(&names).map_err(|fault| Problem::new(fault, hint))?);
        Ok(self)
    }
}

fn bucket(place: &str, install: &Install) -> anyhow::Result<Bucket> {
    if !place.starts_with("s3://") || place.len() <= "s3://".len() {
        let hint = "give s3://BUCKET or s3://BUCKET/PREFIX";
        return Err(Problem::new(format!("--artifacts {place:?} names no bucket"), hint).into());
    }
    let credentials = install.s3_credentials.as_deref().map(read).transpose()?;
    Ok(Bucket {
        place: place.to_owned(),
        endpoint: install.s3_endpoint.clone().unwrap_or_default(),
        region: install.s3_region.clone(),
        credentials,
    })
}

fn read(file: &Path) -> anyhow::Result<String> {
    let hint = "name a file as ~/.aws/credentials, with aws_access_key_id and aws_secret_access_key";
    let text = fs::read_to_string(file).map_err(|error| {
        Problem::new(format!("--s3-credentials \"{}\" cannot be read: {error}", file.display()), hint)
    })?;
    if !text.contains("aws_access_key_id") {
        return Err(Problem::new(format!("\"{}\" holds no aws_access_key_id", file.display()), hint).into());
    }
    Ok(text)
}
