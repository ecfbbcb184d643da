//! Turns a container's specification into a [`Launch`] and starts it.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ferroflow_images::core::{retry, run};
use ferroflow_platform::controller::EventKind;
use k8s_openapi::api::core::v1::{Container, Pod};
use tokio_util::sync::CancellationToken;

use super::{
    Shared, contain, gpu, image_volumes,
    images::Ready,
    objects,
    prepare::{self, Prepared},
    volumes,
};
use crate::{
    core::{
        device, env, etc, image, oom,
        plan::{self, Trouble},
        quantity,
        record::Attempt,
        spec::Role,
    },
    runtime::{Etc, Isolation, Launch, Mount, Root, Security},
    services::{PodPlace, RESOLV_CONF},
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
    /// The pod ends: its images are not waited for any more.
    pub ending: CancellationToken,
}

/// Why a container was not started, in the spelling of `state.waiting`.
pub(super) struct Refused {
    pub reason: &'static str,
    pub message: String,
}

/// Processes and threads of one pod: more than a data loader or a build starts, fewer than take a machine down.
const PIDS_LIMIT: u64 = 4096;
/// A missing object is looked for again after this time, if it does not show itself before.
const RETRY: Duration = Duration::from_secs(10);

impl Order {
    /// Starts the container.
    ///
    /// # Errors
    /// The [`Trouble`] that it waits with.
    pub async fn carry_out(&self) -> Result<Attempt, Trouble> {
        self.start().await.map_err(|refused| {
            let image = refused.reason == plan::NOT_PULLED;
            let wait = if image { retry::pull_wait(self.failures + 1) } else { RETRY };
            let now = self.shared.clock.now();
            let retry_at = now.saturating_add(wait).unwrap_or(now);
            if !self.ending.is_cancelled() {
                let told = if refused.reason.contains("Image") { refused.reason } else { &refused.message };
                self.event(EventKind::Warning, "Failed", format!("Error: {told}"));
            }
            Trouble { reason: refused.reason.to_owned(), message: refused.message, retry_at }
        })
    }

    async fn start(&self) -> Result<Attempt, Refused> {
        let name = self.container.image.clone().unwrap_or_default();
        let Ready { id: image_id, defaults, path_first, python, root } = self.ready(&name).await?;
        let config = |message: String| Refused { reason: "CreateContainerConfigError", message };
        let variables = self.variables().await.map_err(config)?;
        let words = |list: &Option<Vec<String>>| {
            let expanded = list.iter().flatten().map(|word| env::expand(word, |name| variables.get(name).cloned()));
            expanded.collect::<Vec<_>>()
        };
        let argv = image::command_line(&defaults, &words(&self.container.command), &words(&self.container.args))
            .map_err(|message| Refused { reason: "CreateContainerError", message })?;
        let mut mounts = self.mounts(&variables).map_err(config)?;
        mounts.extend(self.image_volumes(&root, &defaults.volumes, &mounts).map_err(config)?);
        let is_image = matches!(root, Root::Image { .. });
        let (user, group) = self.user(is_image.then_some(defaults.user.as_str())).map_err(config)?;
        let container = &self.container;
        let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        let mut all = defaults.env;
        all.extend(self.host_variables(limits.filter(|_| !is_image)));
        all.extend(variables);
        let mut launch = Launch {
            root,
            hostname: etc::machine_name(&self.pod).map_err(config)?,
            etc: self.etc(),
            container: container.name.clone(),
            number: self.number,
            backoff_s: self.backoff_s,
            image: name,
            image_id,
            argv,
            env: all,
            path_first,
            python,
            working_dir: container.working_dir.clone().filter(|path| !path.is_empty()).or(defaults.workdir),
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
            pids_limit: Some(PIDS_LIMIT),
            stop_signal: stop_signal(container).or(defaults.stop_signal),
            oom_score_adj: oom::score(&self.pod, container, self.shared.memory_bytes()),
            security: Security { user, group, image_user: defaults.user, ..Security::default() },
            ..Launch::default()
        };
        contain::fill(&mut launch, &self.pod, container);
        if contain::has_network(self.shared.pod_network_kind, &self.pod) {
            contain::fill_network(&mut launch, &self.pod);
        }
        gpu::give(&mut launch, self.prepared.share.devices.get(&container.name)).await;
        if self.shared.leaving.load(Ordering::Acquire) {
            return Err(Refused { reason: "RunContainerError", message: "the node is going down".to_owned() });
        }
        let started = self.prepared.sandbox.start(launch).await;
        started.map_err(|error| Refused { reason: "RunContainerError", message: error.to_string() })
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

    /// The container's `/etc/hosts` and `/etc/resolv.conf`.
    fn etc(&self) -> Etc {
        // A host without these files has no names to give.
        let of_host = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let hosts = etc::hosts(&self.pod, &self.prepared.share.address, &of_host("/etc/hosts"));
        let resolver = of_host(RESOLV_CONF);
        let Some(network) = &self.shared.network else { return Etc { hosts, resolv_conf: resolver } };
        let place = match self.pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true)) {
            true => PodPlace::HostNetwork,
            false => PodPlace::OwnNetwork,
        };
        let resolved = etc::resolv_conf(&self.pod, network.name_server(place), &resolver);
        for omitted in resolved.omitted.into_iter().filter(|_| self.number == 0) {
            self.shared.recorder.event(&*self.pod, EventKind::Warning, "DNSConfigForming", omitted);
        }
        Etc { hosts, resolv_conf: resolved.text }
    }

    /// Variables that a program on a shared host needs and a container would not.
    fn host_variables(
        &self,
        limits: Option<&BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>,
    ) -> BTreeMap<String, String> {
        let spec = self.pod.spec.as_ref();
        let hostname = spec.and_then(|spec| spec.hostname.clone()).or_else(|| self.pod.metadata.name.clone());
        let mut variables = BTreeMap::from([("HOSTNAME".to_owned(), hostname.unwrap_or_default())]);
        if self.shared.network.is_some() && self.shared.runtime.isolation() == Isolation::Bare {
            let host = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
            let names = etc::variables(&self.pod, &host).into_iter();
            variables.extend(names.map(|(name, value)| (name.to_owned(), value)));
        }
        let on_host = spec.is_some_and(|spec| spec.host_network == Some(true));
        if self.shared.network.is_some() && !on_host {
            variables.extend(env::interface_variables(self.shared.pod_network_kind.interface()));
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
        let bare = self.shared.runtime.isolation() == Isolation::Bare;
        let sight = if bare { device::Sight::All } else { device::Sight::Own };
        variables.extend(device::variables(devices, gpus, sight));
        variables
    }

    fn mounts(&self, variables: &BTreeMap<String, String>) -> Result<Vec<Mount>, String> {
        let name = &self.container.name;
        let is_bare = self.shared.runtime.isolation() == Isolation::Bare;
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
            // What is in memory is mounted where the container runs: its parts are looked for there.
            let tmpfs = root.memory.filter(|_| !is_bare);
            let mut source = root.path.clone();
            if !sub.is_empty() && tmpfs.is_none() {
                let found = volumes::sub_path(&root.path, &sub).map_err(|error| {
                    format!("failed to prepare subPath for volumeMount {:?} of container {name:?}: {error}", mount.name)
                })?;
                // Where it is mounted it is looked for again, and not by its name.
                source = if is_bare { found } else { source };
            }
            let sub_path = if is_bare { String::new() } else { sub };
            let (target, read_only) = (mount.mount_path.clone(), mount.read_only.unwrap_or(false));
            mounts.push(Mount { source, sub_path, target, read_only, tmpfs, group: root.group });
        }
        Ok(mounts)
    }

    fn image_volumes(&self, root: &Root, paths: &[String], mounts: &[Mount]) -> Result<Vec<Mount>, String> {
        let Root::Image { layers } = root else { return Ok(Vec::new()) };
        let security = self.container.security_context.as_ref();
        let place = self.prepared.sandbox.directory().join("image-volumes").join(&self.container.name);
        image_volumes::make(&image_volumes::Volumes {
            layers,
            paths,
            read_only_root: security.and_then(|one| one.read_only_root_filesystem) == Some(true),
            mounts,
            place,
            number: self.number,
        })
    }

    /// The user and group that the container asks for, where they are others than this program's; `image` is what its
    /// image says of it.
    fn user(&self, image: Option<&str>) -> Result<(Option<u32>, Option<u32>), String> {
        let own = self.container.security_context.as_ref();
        let pod = self.pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
        let id = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
        let user = id(own.and_then(|one| one.run_as_user).or(pod.and_then(|one| one.run_as_user)));
        let group = id(own.and_then(|one| one.run_as_group).or(pod.and_then(|one| one.run_as_group)));
        let non_root = own.and_then(|one| one.run_as_non_root).or(pod.and_then(|one| one.run_as_non_root));
        let this = rustix::process::geteuid();
        let is_bare = self.shared.runtime.isolation() == Isolation::Bare;
        let usual = if is_bare { this.as_raw() } else { 0 };
        if let Some(image) = image.filter(|_| non_root == Some(true) && user.is_none()) {
            image::check_non_root(image)?;
        } else if non_root == Some(true) && user.unwrap_or(usual) == 0 {
            return Err(if user.is_some() {
                "container's runAsUser breaks non-root policy".to_owned()
            } else {
                "container has runAsNonRoot and image will run as root".to_owned()
            });
        }
        if !is_bare {
            return Ok((user, group));
        }
        if !this.is_root() {
            // Only root may become another; the pod's event names the field.
            return Ok((None, None));
        }
        Ok((user.filter(|user| *user != 0), group.or(user).filter(|group| *group != 0)))
    }

    pub(super) fn event(&self, kind: EventKind, reason: &str, message: String) {
        self.shared.container_event(&self.pod, self.role, &self.container.name, kind, reason, message);
    }
}

/// The signal that the pod itself names, which counts before its image's. An API server keeps the field only where its gate
/// `ContainerStopSignals` is on.
fn stop_signal(container: &Container) -> Option<i32> {
    run::signal(container.lifecycle.as_ref()?.stop_signal.as_deref()?)
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
