//! What is installed: the choices of a person, checked, and what was found where he has not chosen.

use ferroflow_platform::http::tls::{self, Issued};

use super::{
    found::{Found, Servers},
    objects,
};
use crate::{artifacts, gateway, install_args::Install, problem::Problem};

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

/// The claim of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// As Kubernetes writes it: `20Gi`.
    pub size: String,
    /// `None` for the cluster's own choice.
    pub class: Option<String>,
}

/// The gateway's certificate.
#[derive(Debug)]
pub enum Certificate {
    /// Each server makes one.
    Own,
    /// The one of the Secret that is there.
    Kept,
    /// One that was made now; where there is one already, that stays.
    Made(Issued),
}

/// Steps that have a pod at the same time; `None` for what servers say by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub steps: Option<usize>,
    pub steps_per_namespace: Option<usize>,
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
    /// The claim to apply; `None` where none is wanted, or the one that is there stays as it is.
    pub volume: Option<Volume>,
    /// Host names from outside of the cluster.
    pub names: Vec<String>,
    pub limits: Limits,
    pub certificate: Certificate,
}

const SIZE: &str = "20Gi";

impl Plan {
    /// What the command line asks for, and what it does not say as it was found.
    ///
    /// # Errors
    /// What does not go together, with what to do.
    pub fn of(install: &Install, found: Found) -> anyhow::Result<Self> {
        let servers = found.servers.clone().unwrap_or_default();
        let records = records(install, &found)?;
        let artifacts = bucket(install, &found, &servers)?;
        let was = found.servers.as_ref().map(|servers| servers.replicas.max(1));
        let usual = if records == Records::Volume { 1 } else { 2 };
        let replicas = install.replicas.or(was).unwrap_or(usual);
        if records == Records::Volume && replicas > 1 {
            let hint = "give --records postgres://… and --artifacts s3://…, which several servers share";
            return Err(Problem::new(format!("{replicas} replicas cannot share one volume"), hint).into());
        }
        if records != Records::Volume && artifacts.is_none() {
            let hint = "give --artifacts s3://BUCKET/PREFIX: with records in a database no volume is kept";
            return Err(Problem::new("--records without --artifacts leaves artifacts without a place", hint).into());
        }
        let (image, launcher_image) = objects::images();
        let runs = install.runs_namespace.clone().or(servers.flag("namespace").map(str::to_owned));
        let count = |given: Option<usize>, flag: &str| given.or(servers.flag(flag).and_then(|text| text.parse().ok()));
        let mut plan = Self {
            namespace: install.place.namespace.clone(),
            runs: runs.unwrap_or_else(|| gateway::NAMESPACE.to_owned()),
            image: chosen(install.image.as_deref(), Some(&servers.image), image),
            launcher_image: chosen(install.launcher_image.as_deref(), servers.flag("launcher-image"), launcher_image),
            replicas,
            volume: if records == Records::Volume { volume(install, found.volume)? } else { None },
            records,
            artifacts,
            names: install.names.clone(),
            limits: Limits {
                steps: count(install.running_steps, "running-steps"),
                steps_per_namespace: count(install.running_steps_per_namespace, "running-steps-per-namespace"),
            },
            certificate: match servers.flag("tls-certificate") {
                Some(_) => Certificate::Kept,
                None => Certificate::Own,
            },
        };
        if plan.names.is_empty() {
            let before = servers.flag("namespace").unwrap_or(&plan.runs);
            let inside = objects::names(&plan.namespace, before);
            let outside = servers.flags("name").filter(|name| !inside.iter().any(|known| known == name));
            plan.names = outside.map(str::to_owned).collect();
        }
        Ok(plan)
    }

    /// The same with a certificate of its own.
    ///
    /// # Errors
    /// When the namespaces or names make no host names.
    pub fn with_certificate(mut self) -> anyhow::Result<Self> {
        let mut names = objects::names(&self.namespace, &self.runs);
        names.extend(["localhost".to_owned(), "127.0.0.1".to_owned()]);
        names.extend(self.names.iter().cloned());
        let hint = "give a --namespace of lower-case letters, digits and dashes, and host names with --name";
        self.certificate = Certificate::Made(tls::issue(&names).map_err(|fault| Problem::new(fault, hint))?);
        Ok(self)
    }
}

fn records(install: &Install, found: &Found) -> anyhow::Result<Records> {
    let given = install.records.clone().filter(|url| !url.is_empty());
    match given.or_else(|| found.records.clone()) {
        Some(_) if found.volume.is_some() => {
            let hint = "leave --records out (and FERROFLOW_RECORDS unset) to go on with the volume, or `ferroflow uninstall \
                        --delete-data` first";
            let what = "the records of this installation are on its volume, and would be left behind";
            Err(Problem::new(what, hint).into())
        }
        Some(url) if ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) => {
            Ok(Records::Database(url))
        }
        Some(_) => {
            let hint = "give postgres://USER:PASSWORD@HOST/DATABASE, or leave --records out for SQLite on a volume";
            Err(Problem::new("--records is no URL of PostgreSQL", hint).into())
        }
        None => Ok(Records::Volume),
    }
}

/// An image: the given one; else the one that is there, unless it is that of another version under its usual name; else our
/// own.
fn chosen(given: Option<&str>, found: Option<&str>, own: String) -> String {
    let found = found.filter(|found| !found.is_empty() && repository(found) != repository(&own));
    given.or(found).map_or(own, str::to_owned)
}

/// An image's name without its tag and digest.
fn repository(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or_default();
    match name.rsplit_once(':') {
        // A colon before a slash is that of a registry's port.
        Some((before, tag)) if !tag.contains('/') => before,
        Some(_) | None => name,
    }
}

fn bucket(install: &Install, found: &Found, servers: &Servers) -> anyhow::Result<Option<Bucket>> {
    let before = found.artifacts.clone();
    let Some(place) = install.artifacts.clone().or_else(|| before.as_ref().map(|before| before.place.clone())) else {
        let given = [
            ("--s3-endpoint", install.s3_endpoint.is_some()),
            ("--s3-region", install.s3_region.is_some()),
            ("--s3-credentials", install.s3_credentials.is_some()),
        ];
        return match given.into_iter().find(|(_, is_given)| *is_given) {
            None => Ok(None),
            Some((flag, _)) => {
                let hint = "give --artifacts s3://BUCKET/PREFIX as well";
                Err(Problem::new(format!("{flag} belongs to a bucket, and there is none"), hint).into())
            }
        };
    };
    artifacts::bucket(&place)?;
    let before = before.unwrap_or_default();
    let endpoint = install.s3_endpoint.clone().unwrap_or(before.endpoint);
    artifacts::check_endpoint(&endpoint)?;
    let region = install.s3_region.clone().or(Some(before.region).filter(|region| !region.is_empty()));
    let credentials = match &install.s3_credentials {
        Some(file) => Some(artifacts::own_profile(file, &|name| std::env::var(name).ok())?),
        None => before.credentials,
    };
    if credentials.is_none() && !servers.has_variable("AWS_ACCESS_KEY_ID") {
        let hint = "give --s3-credentials FILE, with aws_access_key_id and aws_secret_access_key";
        return Err(Problem::new(format!("there are no credentials for the bucket of {place}"), hint).into());
    }
    let region = region.unwrap_or_else(|| artifacts::REGION.to_owned());
    Ok(Some(Bucket { place, endpoint, region, credentials }))
}

/// The claim to apply: none where one is there and nothing is said of it.
fn volume(install: &Install, found: Option<Volume>) -> anyhow::Result<Option<Volume>> {
    let Some(found) = found else {
        let size = install.size.clone().unwrap_or_else(|| SIZE.to_owned());
        return Ok(Some(Volume { size, class: install.storage_class.clone() }));
    };
    if let Some(class) = &install.storage_class
        && found.class.as_ref() != Some(class)
    {
        let what =
            format!("the volume that is there is of class {:?}, and not {class:?}", found.class.unwrap_or_default());
        let hint =
            "leave --storage-class out: a volume keeps its class; `ferroflow export` and `import` move what is on it";
        return Err(Problem::new(what, hint).into());
    }
    Ok(install.size.clone().map(|size| Volume { size, class: found.class }))
}
