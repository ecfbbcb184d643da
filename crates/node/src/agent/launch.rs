//! Turns a container's specification into a [`Launch`] and starts it.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use ferroflow_platform::controller::EventKind;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::{
    Shared, objects,
    prepare::{self, Prepared},
    volumes,
};
use crate::{
    core::{
        device, env, etc, image,
        plan::{self, Trouble},
        quantity,
        record::Attempt,
        spec::Role,
    },
    image::Environment,
    runtime::{Isolation, Launch, Mount},
    services::RESOLV_CONF,
};

/// A container that is to be started.
pub struct Order {
    pub shared: Arc<Shared>,
    pub pod: Arc<Pod>,
    pub prepared: Prepared,
    pub container: Container,
    pub role: Role,
    pub number: u32,
    pub backoff_s: u32,
    /// How often an image could not be had in a row.
    pub failures: u32,
}

/// Why a container was not started, in the spelling of `state.waiting`.
struct Refused {
    reason: &'static str,
    message: String,
}

/// A missing object is looked for again after this time, if it does not show itself before.
const RETRY_S: i64 = 10;

impl Order {
    /// Starts the container.
    ///
    /// # Errors
    /// The [`Trouble`] that it waits with.
    pub async fn carry_out(&self) -> Result<Attempt, Trouble> {
        self.start().await.map_err(|refused| {
            let image = refused.reason == "ErrImagePull";
            let wait = if image { plan::BACKOFF_FIRST_S << self.failures.min(5) } else { 0 };
            let seconds = if image { i64::from(wait.min(plan::BACKOFF_LAST_S)) } else { RETRY_S };
            let now = self.shared.clock.now();
            let retry_at = now.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(now);
            self.event(
                EventKind::Warning,
                "Failed",
                format!("Error: {}", if image { refused.reason } else { &refused.message }),
            );
            Trouble { reason: refused.reason.to_owned(), message: refused.message, retry_at }
        })
    }

    async fn start(&self) -> Result<Attempt, Refused> {
        let name = self.container.image.clone().unwrap_or_default();
        let (rule, environment) = self.environment(&name).await?;
        let config = |message: String| Refused { reason: "CreateContainerConfigError", message };
        let variables = self.variables().await.map_err(config)?;
        let words = |list: &Option<Vec<String>>| {
            let expanded = list.iter().flatten().map(|word| env::expand(word, |name| variables.get(name).cloned()));
            expanded.collect::<Vec<_>>()
        };
        let argv = image::command_line(&rule, &words(&self.container.command), &words(&self.container.args))
            .map_err(|message| Refused { reason: "CreateContainerError", message })?;
        let mounts = self.mounts(&variables).map_err(config)?;
        let (user, group) = self.user().map_err(config)?;
        let container = &self.container;
        let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        let mut all = environment.env;
        all.extend(self.host_variables(limits));
        all.extend(variables);
        let launch = Launch {
            container: container.name.clone(),
            number: self.number,
            backoff_s: self.backoff_s,
            image: name,
            image_id: rule.id(),
            argv,
            env: all,
            path_first: environment.path_first,
            working_dir: container.working_dir.clone().filter(|path| !path.is_empty()).or(environment.workdir),
            mounts,
            tty: container.tty.unwrap_or(false),
            stdin: container.stdin.unwrap_or(false),
            stdin_once: container.stdin_once.unwrap_or(false),
            termination_path: container
                .termination_message_path
                .clone()
                .unwrap_or_else(|| "/dev/termination-log".to_owned()),
            message_from_log: container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError"),
            memory_limit_bytes: quantity::whole_of(limits, "memory").filter(|bytes| *bytes > 0),
            user,
            group,
        };
        if self.shared.leaving.load(Ordering::Acquire) {
            return Err(Refused { reason: "RunContainerError", message: "the node is going down".to_owned() });
        }
        let started = self.prepared.sandbox.start(launch).await;
        started.map_err(|error| Refused { reason: "RunContainerError", message: error.to_string() })
    }

    /// The environment that stands for the image; events tell what a kubelet's would.
    async fn environment(&self, name: &str) -> Result<(image::Rule, Environment), Refused> {
        let environments = &self.shared.environments;
        let failed = |message: String| {
            self.event(EventKind::Warning, "Failed", format!("Failed to pull image {name:?}: {message}"));
            Refused { reason: "ErrImagePull", message }
        };
        if image::Reference::parse(name).is_none() {
            let message = format!(
                "Failed to apply default image tag {name:?}: couldn't parse image name {name:?}: invalid reference format"
            );
            self.event(EventKind::Warning, "InspectFailed", message.clone());
            return Err(Refused { reason: "InvalidImageName", message });
        }
        let rule = environments.rule(name).map_err(|message| {
            self.event(EventKind::Normal, "Pulling", format!("Pulling image {name:?}"));
            failed(message)
        })?;
        let present = environments.is_ready(&rule);
        if !present && self.container.image_pull_policy.as_deref() == Some("Never") {
            let message = format!("Container image {name:?} is not present with pull policy of Never");
            self.event(EventKind::Warning, "ErrImageNeverPull", message.clone());
            return Err(Refused { reason: "ErrImageNeverPull", message });
        }
        if !present {
            self.event(EventKind::Normal, "Pulling", format!("Pulling image {name:?}"));
        }
        let begun = self.shared.clock.instant();
        let environment = environments.ensure(&rule).await.map_err(failed)?;
        if present {
            self.event(EventKind::Normal, "Pulled", format!("Container image {name:?} already present on machine"));
        } else {
            let took = format!("{:.3}s", (self.shared.clock.instant() - begun).as_secs_f64());
            let message = format!("Successfully pulled image {name:?} in {took} ({took} including waiting)");
            self.event(EventKind::Normal, "Pulled", message);
        }
        if let Some(warning) = environment.warning.clone().filter(|_| self.number == 0) {
            self.event(EventKind::Warning, "ImageApproximated", format!("{warning}, for image {name:?}"));
        }
        Ok((rule, environment))
    }

    async fn variables(&self) -> Result<BTreeMap<String, String>, String> {
        let namespace = self.pod.metadata.namespace.clone().unwrap_or_default();
        let links = self.pod.spec.as_ref().and_then(|spec| spec.enable_service_links).unwrap_or(true);
        self.shared.services.current().await.map_err(|error| error.to_string())?;
        let services = self.shared.services.list();
        let services = env::service_variables(services.iter().map(AsRef::as_ref), &namespace, links);
        let facts = prepare::facts(&self.shared, &self.prepared.share);
        let resolve = |sources| env::resolve(&self.pod, &self.container, &services, sources, &facts);
        // The first start uses what was fetched for the volumes a moment ago, if all of it was there.
        if self.number == 0
            && let Ok(variables) = resolve(&self.prepared.sources)
        {
            return Ok(variables);
        }
        let mut wanted = env::References::default();
        env::references(&self.container, &mut wanted);
        let sources = objects::fetch(&self.shared.client, &namespace, &wanted).await;
        resolve(&sources.map_err(|error| error.to_string())?)
    }

    /// Variables that a program on a shared host needs and a container would not.
    fn host_variables(
        &self,
        limits: Option<&BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>,
    ) -> BTreeMap<String, String> {
        let spec = self.pod.spec.as_ref();
        let hostname = spec.and_then(|spec| spec.hostname.clone()).or_else(|| self.pod.metadata.name.clone());
        let mut variables = BTreeMap::from([("HOSTNAME".to_owned(), hostname.unwrap_or_default())]);
        let on_host = spec.is_some_and(|spec| spec.host_network == Some(true));
        if self.shared.pod_network.is_some() && !on_host {
            variables.extend(env::interface_variables());
        }
        if self.shared.network.is_some() && self.shared.runtime.isolation() == Isolation::Bare {
            let host = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
            let names = etc::variables(&self.pod, &host).into_iter();
            variables.extend(names.map(|(name, value)| (name.to_owned(), value)));
        }
        if let Some(cores) = quantity::whole_of(limits, "cpu").filter(|cores| *cores > 0) {
            for name in
                ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "GOMAXPROCS"]
            {
                variables.insert(name.to_owned(), cores.to_string());
            }
        }
        let gpus = self.shared.pool.capacity().contains_key(device::NVIDIA_GPU);
        let none = device::Devices::new();
        let devices = self.prepared.share.devices.get(&self.container.name).unwrap_or(&none);
        variables.extend(device::variables(devices, gpus));
        variables
    }

    fn mounts(&self, variables: &BTreeMap<String, String>) -> Result<Vec<Mount>, String> {
        let name = &self.container.name;
        let mut mounts = Vec::new();
        for mount in self.container.volume_mounts.iter().flatten() {
            let root = self.prepared.volumes.get(&mount.name);
            let root =
                root.ok_or_else(|| format!("cannot find volume {:?} to mount into container {name:?}", mount.name))?;
            let expression = mount.sub_path_expr.as_deref().filter(|text| !text.is_empty());
            let sub = match expression {
                Some(expression) => sub_path_of(expression, variables)?,
                None => mount.sub_path.clone().unwrap_or_default(),
            };
            let source = if sub.is_empty() {
                root.clone()
            } else {
                volumes::sub_path(root, &sub).map_err(|error| {
                    format!("failed to prepare subPath for volumeMount {:?} of container {name:?}: {error}", mount.name)
                })?
            };
            let read_only = mount.read_only.unwrap_or(false);
            mounts.push(Mount { source, target: mount.mount_path.clone(), read_only });
        }
        Ok(mounts)
    }

    /// The user and group that the container asks for, where they are others than this program's.
    fn user(&self) -> Result<(Option<u32>, Option<u32>), String> {
        let own = self.container.security_context.as_ref();
        let pod = self.pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
        let id = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
        let user = id(own.and_then(|one| one.run_as_user).or(pod.and_then(|one| one.run_as_user)));
        let group = id(own.and_then(|one| one.run_as_group).or(pod.and_then(|one| one.run_as_group)));
        let non_root = own.and_then(|one| one.run_as_non_root).or(pod.and_then(|one| one.run_as_non_root));
        let this = rustix::process::geteuid();
        if non_root == Some(true) && user.unwrap_or(this.as_raw()) == 0 {
            return Err(if user.is_some() {
                "container's runAsUser breaks non-root policy".to_owned()
            } else {
                "container has runAsNonRoot and image will run as root".to_owned()
            });
        }
        if !this.is_root() {
            // Only root may become another; the pod's event names the field.
            return Ok((None, None));
        }
        Ok((user.filter(|user| *user != 0), group.or(user).filter(|group| *group != 0)))
    }

    fn event(&self, kind: EventKind, reason: &str, message: String) {
        self.shared.container_event(&self.pod, self.role, &self.container.name, kind, reason, message);
    }
}

/// Expands a mount's `subPathExpr`.
fn sub_path_of(expression: &str, variables: &BTreeMap<String, String>) -> Result<String, String> {
    let missing = std::cell::Cell::new(false);
    let expanded = env::expand(expression, |name| {
        let value = variables.get(name).cloned();
        missing.set(missing.get() || value.is_none());
        value
    });
    if missing.get() {
        return Err(format!("missing value for {expression:?}"));
    }
    Ok(expanded)
}
