//! What an earlier installation has, which is not to be said again.

use anyhow::Context;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, PersistentVolumeClaim, Secret},
    rbac::v1::ClusterRoleBinding,
};
use kube::{Api, Client, ResourceExt};

use super::{
    objects::{CREDENTIALS, MANAGED, NAME, RECORDS},
    plan::{Bucket, Volume},
};

/// An installation as it is found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The URL of its database.
    pub records: Option<String>,
    pub artifacts: Option<Bucket>,
    pub volume: Option<Volume>,
    pub servers: Option<Servers>,
}

/// Servers as their Deployment has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Servers {
    pub image: String,
    pub replicas: u32,
    /// Arguments, as `--name=HOST`.
    pub words: Vec<String>,
    /// Names of variables of the environment.
    pub variables: Vec<String>,
}

impl Servers {
    /// What the Deployment says of its first container.
    pub fn of(deployment: &Deployment) -> Self {
        let spec = deployment.spec.as_ref();
        let pod = spec.and_then(|spec| spec.template.spec.as_ref());
        let Some(container) = pod.and_then(|pod| pod.containers.first()) else { return Self::default() };
        Self {
            image: container.image.clone().unwrap_or_default(),
            replicas: spec.and_then(|spec| spec.replicas).and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
            words: container.args.clone().unwrap_or_default(),
            variables: container.env.iter().flatten().map(|variable| variable.name.clone()).collect(),
        }
    }

    /// The values of a flag, as `name` for `--name=VALUE`.
    pub fn flags(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.words.iter().filter_map(|word| word.strip_prefix("--")?.split_once('='));
        values.filter_map(move |(known, value)| (known == name).then_some(value))
    }

    /// The value of a flag that is given once.
    pub fn flag(&self, name: &str) -> Option<&str> {
        self.flags(name).last()
    }

    /// Whether a variable of the environment is set.
    pub fn has_variable(&self, name: &str) -> bool {
        self.variables.iter().any(|variable| variable == name)
    }
}

/// The installation in a namespace.
///
/// # Errors
/// When it may not be seen.
pub async fn found(client: &Client, namespace: &str) -> anyhow::Result<Found> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = secrets.get_opt(NAME).await.context("the Secret of an earlier installation cannot be looked for")?;
    let text = |key: &str| {
        let value = secret.as_ref()?.data.as_ref()?.get(key)?;
        String::from_utf8(value.0.clone()).ok().filter(|text| !text.is_empty())
    };
    let settings: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let settings =
        settings.get_opt(NAME).await.context("the ConfigMap of an earlier installation cannot be looked for")?;
    let settings = settings.and_then(|map| map.data).unwrap_or_default();
    let setting = |key: &str| settings.get(key).cloned().unwrap_or_default();
    let bucket = Bucket {
        place: setting("artifacts"),
        endpoint: setting("s3-endpoint"),
        region: setting("s3-region"),
        credentials: text(CREDENTIALS),
    };
    Ok(Found {
        records: text(RECORDS),
        artifacts: (!bucket.place.is_empty()).then_some(bucket),
        volume: volume(client, namespace).await?,
        servers: servers(client, namespace).await?,
    })
}

async fn volume(client: &Client, namespace: &str) -> anyhow::Result<Option<Volume>> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let claim = claims.get_opt(NAME).await.context("the volume of an earlier installation cannot be looked for")?;
    let Some(spec) = claim.map(|claim| claim.spec.unwrap_or_default()) else { return Ok(None) };
    let requests = spec.resources.and_then(|resources| resources.requests).unwrap_or_default();
    let size = requests.get("storage").map(|size| size.0.clone()).unwrap_or_default();
    Ok(Some(Volume { size, class: spec.storage_class_name }))
}

/// The servers in a namespace.
///
/// # Errors
/// When they may not be seen.
pub async fn servers(client: &Client, namespace: &str) -> anyhow::Result<Option<Servers>> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let found = deployments.get_opt(NAME).await.context("the servers cannot be looked for")?;
    Ok(found.as_ref().map(Servers::of))
}

/// The other namespace that Ferroflow is installed in: its rights in the cluster have one name, so that there is one
/// installation in a cluster.
///
/// # Errors
/// When it may not be seen.
pub async fn elsewhere(client: &Client, namespace: &str) -> anyhow::Result<Option<String>> {
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    let found = bindings.get_opt(NAME).await.context("the ClusterRoleBinding of the servers cannot be looked for")?;
    let Some(binding) = found.filter(|one| one.labels().get(MANAGED.0).map(String::as_str) == Some(MANAGED.1)) else {
        return Ok(None);
    };
    let mut places = binding.subjects.into_iter().flatten().filter_map(|subject| subject.namespace);
    Ok(places.next().filter(|place| place != namespace))
}
