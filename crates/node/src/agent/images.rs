//! Gets what a container runs from, and tells of it in a kubelet's words (`pkg/kubelet/images/image_manager.go`).
//!
//! An explicit rule of the images table comes first. Then, where containers can be made, the image itself is taken
//! from the store or pulled; elsewhere a built-in rule stands for it, or nothing does.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ferroflow_api::names::PYTHON_INSTALLS_ANNOTATION;
use ferroflow_images::core::{record::NameRecord, reference::Reference};
use ferroflow_platform::controller::EventKind;
use k8s_openapi::api::core::v1::Secret;

use super::{
    contain,
    launch::{Order, Refused},
    objects,
};
use crate::{
    core::{
        env::References,
        image::{self, Defaults, Rule},
        requirement::{self, Wanted},
        stored::{self, Policy},
    },
    image::{Environment, Making, User, Wish, store::Login},
    runtime::{Isolation, Root},
};

/// What a container can be made from.
#[derive(Default)]
pub struct Ready {
    /// What the status shows as the image's id.
    pub id: String,
    pub defaults: Defaults,
    /// Directories that come first in `PATH`.
    pub path_first: Vec<PathBuf>,
    /// The Python environment among them.
    pub python: Option<PathBuf>,
    /// The image, or what stands for it.
    pub root: Root,
}

/// An image that was removed between its pull and its use is pulled again so often.
const TRIES: usize = 3;
/// Packages of a command are waited for so long: two gigabytes over a line of 20 Mbit/s. Then it installs them itself.
const INSTALL: Duration = Duration::from_secs(900);

impl Order {
    /// What stands for the container's image, or the image itself.
    ///
    /// # Errors
    /// The reason that the container waits with.
    pub(super) async fn ready(&self, name: &str) -> Result<Ready, Refused> {
        let Ok(reference) = name.parse::<Reference>() else {
            let message = stored::invalid_name(name);
            self.event(EventKind::Warning, "InspectFailed", message.clone());
            return Err(Refused { reason: "InvalidImageName", message });
        };
        let level = self.shared.runtime.isolation();
        if let Some(rule) = self.shared.environments.rule(name, &reference) {
            return self.environment(name, rule).await;
        }
        if level == Isolation::Container {
            return self.image(name, &reference).await;
        }
        let Some(rule) = image::built_in(&reference) else {
            self.event(EventKind::Normal, "Pulling", format!("Pulling image {name:?}"));
            return Err(
                self.not_pulled(name, image::nothing_stands_for(name, level.as_str(), &self.shared.level.reason))
            );
        };
        self.environment(name, rule).await
    }

    fn not_pulled(&self, name: &str, message: String) -> Refused {
        self.event(EventKind::Warning, "Failed", format!("Failed to pull image {name:?}: {message}"));
        Refused { reason: "ErrImagePull", message }
    }

    fn never_pulled(&self, name: &str) -> Refused {
        let message = format!("Container image {name:?} is not present with pull policy of Never");
        self.event(EventKind::Warning, "ErrImageNeverPull", message.clone());
        Refused { reason: "ErrImageNeverPull", message }
    }

    fn present(&self, name: &str) {
        self.event(EventKind::Normal, "Pulled", format!("Container image {name:?} already present on machine"));
    }

    /// The environment that stands for an image.
    async fn environment(&self, name: &str, rule: Rule) -> Result<Ready, Refused> {
        let environment = match self.with_installs(&rule).await? {
            Some(environment) => {
                self.present(name);
                environment
            }
            None => self.without_installs(name, &rule).await?,
        };
        let root = contain::root(self.shared.runtime.isolation(), &rule, &environment);
        let path_first = environment.path_first();
        if let Some(warning) = environment.warning.filter(|_| self.number == 0) {
            self.event(EventKind::Warning, "ImageApproximated", format!("{warning}, for image {name:?}"));
        }
        let defaults = Defaults {
            env: environment.env,
            workdir: environment.workdir,
            entrypoint: rule.entrypoint.clone(),
            cmd: rule.cmd.clone(),
            programs: rule.programs.clone(),
            ..Defaults::default()
        };
        Ok(Ready { id: rule.id(), defaults, path_first, python: environment.python, root })
    }

    async fn without_installs(&self, name: &str, rule: &Rule) -> Result<Environment, Refused> {
        let environments = &self.shared.environments;
        let present = environments.is_ready(rule);
        if !present && Policy::of(&self.container) == Policy::Never {
            return Err(self.never_pulled(name));
        }
        if !present {
            self.event(EventKind::Normal, "Pulling", format!("Pulling image {name:?}"));
        }
        let begun = self.shared.clock.instant();
        let environment = environments.ensure(rule).await.map_err(|message| self.not_pulled(name, message))?;
        if present {
            self.present(name);
        } else {
            let took = format!("{:.3}s", (self.shared.clock.instant() - begun).as_secs_f64());
            let message = format!("Successfully pulled image {name:?} in {took} ({took} including waiting)");
            self.event(EventKind::Normal, "Pulled", message);
        }
        Ok(environment)
    }

    /// The environment in which the installs of the container's command have been done; `None` where there are none, or
    /// they cannot be had: then its own `pip` does them, or says better why not.
    async fn with_installs(&self, rule: &Rule) -> Result<Option<Environment>, Refused> {
        let annotations = self.pod.metadata.annotations.as_ref().filter(|_| rule.python.is_some());
        let value = annotations.and_then(|all| all.get(PYTHON_INSTALLS_ANNOTATION)).map(String::as_str);
        let Wanted { installs, left } = requirement::wanted(value, &self.container.name);
        if !left.is_empty() && self.number == 0 {
            self.left(&left.join("; "));
        }
        if installs.is_empty() {
            return Ok(None);
        }
        let uid = self.pod.metadata.uid.as_deref().unwrap_or_default();
        let key = format!("{uid}/{}", self.container.name);
        let user = User { key, directory: self.prepared.sandbox.directory() };
        let wish = Wish { rule, installs: &installs, user, now_s: self.shared.clock.now().as_second() };
        let begun = self.shared.clock.instant();
        let furnished = tokio::select! {
            furnished = self.shared.environments.ensure_set(wish) => furnished,
            () = self.shared.clock.sleep(INSTALL) => Err(format!("it takes longer than {} s", INSTALL.as_secs())),
            () = self.ending.cancelled() => {
                let message = "the pod ends before its packages are there".to_owned();
                return Err(Refused { reason: "ErrImagePull", message });
            }
        };
        match furnished {
            Ok((environment, Making::Found)) => Ok(Some(environment)),
            Ok((environment, Making::Made)) => {
                let took_s = (self.shared.clock.instant() - begun).as_secs_f64();
                let message = format!("packages of container {} were installed in {took_s:.3}s", self.container.name);
                self.event(EventKind::Normal, "RequirementsInstalled", message);
                Ok(Some(environment))
            }
            Err(why) => {
                self.left(&why);
                Ok(None)
            }
        }
    }

    fn left(&self, why: &str) {
        let message = format!("a pip install of container {} is left to its command: {why}", self.container.name);
        self.event(EventKind::Normal, "RequirementsLeft", message);
    }

    /// The image itself, from the store or from its registry.
    async fn image(&self, name: &str, reference: &Reference) -> Result<Ready, Refused> {
        let policy = Policy::of(&self.container);
        for _ in 0..TRIES {
            let found = self.shared.images.find(reference).map_err(|message| self.not_pulled(name, message))?;
            let record = match (policy, found) {
                (Policy::IfNotPresent | Policy::Never, Some(record)) => {
                    self.present(name);
                    record
                }
                (Policy::Never, None) => return Err(self.never_pulled(name)),
                (Policy::IfNotPresent, None) | (Policy::Always, _) => self.pull(name, reference).await?,
            };
            if let Some(ready) = self.take(reference, record).await? {
                return Ok(ready);
            }
        }
        Err(self.not_pulled(name, "another program removes it as soon as it is there; let it stay".to_owned()))
    }

    async fn pull(&self, name: &str, reference: &Reference) -> Result<NameRecord, Refused> {
        let logins = self.logins().await;
        self.event(EventKind::Normal, "Pulling", format!("Pulling image {name:?}"));
        let begun = self.shared.clock.instant();
        let pulled = tokio::select! {
            pulled = self.shared.images.pull(reference, logins) => pulled,
            () = self.ending.cancelled() => {
                let message = "the pod ends before its image is there".to_owned();
                return Err(Refused { reason: "ErrImagePull", message });
            }
        };
        let pulled = pulled.map_err(|message| self.not_pulled(name, message))?;
        let waited = self.shared.clock.instant() - begun;
        let size_bytes = self.shared.images.size_bytes(&pulled.record);
        // Who joined a pull late has waited for less than all of it.
        let message = stored::pulled(name, pulled.took.min(waited), waited, size_bytes);
        self.event(EventKind::Normal, "Pulled", message);
        Ok(pulled.record.clone())
    }

    /// Takes the image into use for as long as the pod's directory is there.
    async fn take(&self, reference: &Reference, record: NameRecord) -> Result<Option<Ready>, Refused> {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let meta = &self.pod.metadata;
        let key = format!("{}/{}", text(&meta.uid), self.container.name);
        let holder = format!("pod {}/{}", text(&meta.namespace), text(&meta.name));
        let directory = self.prepared.sandbox.directory();
        let images = self.shared.images.clone();
        let taken = tokio::task::spawn_blocking(move || images.take(&record, &key, &holder, &directory)).await;
        let taken = taken.unwrap_or_else(|_| Err("the work was cut off".to_owned()));
        let failed = |message| Refused { reason: "CreateContainerError", message };
        let Some(taken) = taken.map_err(failed)? else { return Ok(None) };
        Ok(Some(Ready {
            id: stored::image_id(reference, &taken.record.target),
            defaults: taken.run.into(),
            path_first: Vec::new(),
            python: None,
            root: Root::Image { layers: taken.layers },
        }))
    }

    /// The logins of the pod's pull secrets, in their order; those that are not there are told of, once a try.
    async fn logins(&self) -> Vec<Login> {
        let names = pull_secrets(&self.pod);
        if names.is_empty() {
            return Vec::new();
        }
        let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
        let wanted = References { secrets: names.iter().cloned().collect(), ..References::default() };
        let secrets = objects::fetch(&self.shared.client, namespace, &wanted).await.unwrap_or_else(|error| {
            tracing::warn!(namespace, %error, "cannot read the pull secrets of a pod");
            Default::default()
        });
        let missing: Vec<&str> =
            names.iter().filter(|name| !secrets.secrets.contains_key(*name)).map(String::as_str).collect();
        if !missing.is_empty() {
            let message = format!(
                "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                missing.join(", ")
            );
            let reason = "FailedToRetrieveImagePullSecret";
            self.shared.recorder.event(&*self.pod, EventKind::Warning, reason, message);
        }
        names.iter().filter_map(|name| login(name, secrets.secrets.get(name)?)).collect()
    }
}

/// The names of a pod's pull secrets.
pub fn pull_secrets(pod: &k8s_openapi::api::core::v1::Pod) -> Vec<String> {
    let spec = pod.spec.as_ref();
    let secrets = spec.and_then(|spec| spec.image_pull_secrets.as_ref()).into_iter().flatten();
    secrets.map(|secret| secret.name.clone()).filter(|name| !name.is_empty()).collect()
}

/// The login in a secret; `None` where it is of another type or has no value.
fn login(name: &str, secret: &Secret) -> Option<Login> {
    let name = name.to_owned();
    let text = |key: &str| secret.data.as_ref()?.get(key).map(|value| value.0.clone()).filter(|text| !text.is_empty());
    match secret.type_.as_deref()? {
        "kubernetes.io/dockerconfigjson" => Some(Login::Config { name, text: text(".dockerconfigjson")? }),
        "kubernetes.io/dockercfg" => Some(Login::Old { name, text: text(".dockercfg")? }),
        _ => None,
    }
}

/// The store as workers share it.
pub type Images = Arc<crate::image::store::ImageStore>;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn logins_are_those_of_secrets_of_their_two_types() {
        let secret = |kind: &str, key: &str, value: &str| -> Secret {
            serde_json::from_value(json!({"type": kind, "data": {key: value}})).unwrap()
        };
        for (kind, key, value, is_one) in [
            ("kubernetes.io/dockerconfigjson", ".dockerconfigjson", "e30=", true),
            ("kubernetes.io/dockercfg", ".dockercfg", "e30=", true),
            ("kubernetes.io/dockercfg", ".dockerconfigjson", "e30=", false),
            ("kubernetes.io/dockerconfigjson", ".dockerconfigjson", "", false),
            ("Opaque", ".dockerconfigjson", "e30=", false),
        ] {
            assert_eq!(login("s", &secret(kind, key, value)).is_some(), is_one, "{kind} {key}");
        }
    }
}
