//! What must be there before a pod's first container: its share of the node, its sandbox, its volumes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ferroflow_platform::controller::EventKind;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Volume};
use tokio::sync::mpsc;

use super::{
    Shared, objects,
    pool::Share,
    volumes::{self, Content, Grouping, Made},
};
use crate::{
    core::{
        env::{self, References, Sources},
        fields::Facts,
        ownership, spec,
        volume::{self, Giving, Inputs, TokenRequest},
    },
    runtime::{Event, PodRecord, Sandbox},
};

/// How much of a pod is prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Everything that containers need.
    Whole,
    /// Only what an earlier agent left: for logs, and to end what runs.
    Leftovers,
}

/// A pod that is ready for its containers.
#[derive(Clone)]
pub struct Prepared {
    pub sandbox: Arc<dyn Sandbox>,
    pub share: Share,
    pub volumes: BTreeMap<String, Made>,
    /// The objects that containers and volumes refer to, as they were.
    pub sources: Sources,
    /// When tokens must be renewed.
    pub renew_at: Option<Timestamp>,
}

/// Why a pod cannot be prepared now.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub reason: &'static str,
    pub message: String,
}

/// A pod whose ports or devices are taken looks again this often, for the host's own programs tell nobody
/// when they end.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Prepares a pod. Waits as long as something it needs is held by another.
///
/// # Errors
/// [`Refusal`], to be shown and tried again.
pub async fn prepare(
    shared: &Shared,
    pod: &Pod,
    uid: &str,
    extent: Extent,
    events: mpsc::Sender<Event>,
) -> Result<Prepared, Refusal> {
    let share = match extent {
        Extent::Whole => take_share(shared, pod, uid).await,
        Extent::Leftovers => Share::default(),
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let record = PodRecord {
        version: 1,
        namespace: text(&pod.metadata.namespace),
        name: text(&pod.metadata.name),
        uid: uid.to_owned(),
        address: share.address.clone(),
        devices: share.devices.clone(),
    };
    let failed = |message: String| Refusal {
        reason: "FailedCreatePodSandBox",
        message: format!("Failed to create pod sandbox: {message}"),
    };
    let sandbox = async {
        if extent == Extent::Whole {
            objects::check_runtime_class(&shared.client, pod).await.map_err(failed)?;
        }
        let opened = shared.runtime.open(record, events).await.map_err(|error| failed(error.to_string()))?;
        if extent == Extent::Whole {
            opened.check().map_err(|error| failed(error.to_string()))?;
        }
        Ok(opened)
    };
    if extent == Extent::Leftovers {
        let sandbox = sandbox.await?;
        let (volumes, sources) = (BTreeMap::new(), Sources::default());
        return Ok(Prepared { sandbox, share, volumes, sources, renew_at: None });
    }
    let (sandbox, material) = futures::try_join!(sandbox, fetch(shared, pod))?;
    let volumes = make_volumes(shared, pod, &share, &*sandbox, &material, Pass::First).await?;
    let renew_at = renewal(pod, shared.clock.now());
    Ok(Prepared { sandbox, share, volumes, sources: material.sources, renew_at })
}

async fn take_share(shared: &Shared, pod: &Pod, uid: &str) -> Share {
    let mut told = String::new();
    loop {
        match shared.pool.take(pod, uid) {
            Ok(share) => return share,
            Err((reason, message)) => {
                if told != message {
                    shared.recorder.event(pod, EventKind::Warning, reason, message.clone());
                    told = message;
                }
            }
        }
        tokio::select! {
            () = shared.pool.released() => {}
            () = shared.clock.sleep(LOOK_AGAIN) => {}
        }
    }
}

/// What volumes and variables are made from.
struct Material {
    sources: Sources,
    tokens: BTreeMap<TokenRequest, String>,
}

async fn fetch(shared: &Shared, pod: &Pod) -> Result<Material, Refusal> {
    let failed =
        |error: kube::Error| Refusal { reason: "FailedMount", message: format!("MountVolume.SetUp failed: {error}") };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let tokens = volumes_of(pod).flat_map(volume::token_requests).collect();
    let wanted = references(pod);
    let (sources, tokens) = futures::try_join!(
        objects::fetch(&shared.client, namespace, &wanted),
        objects::tokens(&shared.client, pod, tokens),
    )
    .map_err(failed)?;
    Ok(Material { sources, tokens })
}

/// The objects that a pod's volumes and containers refer to.
pub fn references(pod: &Pod) -> References {
    let mut found = References::default();
    for volume in volumes_of(pod) {
        volume::references(volume, &mut found);
    }
    for (_, container) in pod.spec.as_ref().map(spec::containers).unwrap_or_default() {
        env::references(&container, &mut found);
    }
    found
}

fn volumes_of(pod: &Pod) -> impl Iterator<Item = &Volume> {
    pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten())
}

/// Tokens are renewed after four fifths of their time, as a kubelet does.
fn renewal(pod: &Pod, now: Timestamp) -> Option<Timestamp> {
    let shortest = volumes_of(pod).flat_map(volume::token_requests).map(|request| request.expiration_s).min()?;
    now.checked_add(jiff::SignedDuration::from_secs(shortest / 5 * 4)).ok()
}

/// What the downward API says of a pod.
pub fn facts(shared: &Shared, share: &Share) -> Facts {
    Facts {
        pod_address: share.address.clone(),
        host_address: shared.config.address.clone(),
        allocatable: shared.allocatable.clone(),
    }
}

/// Which volumes are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// All of them.
    First,
    /// Those made from objects, which may have changed.
    Again,
}

async fn make_volumes(
    shared: &Shared,
    pod: &Pod,
    share: &Share,
    sandbox: &dyn Sandbox,
    material: &Material,
    pass: Pass,
) -> Result<BTreeMap<String, Made>, Refusal> {
    let directory = sandbox.directory().join("volumes");
    let facts = facts(shared, share);
    let giving = if rustix::process::geteuid().is_root() { Giving::Possible } else { Giving::Impossible };
    let group = ownership::fs_group(pod).filter(|_| giving == Giving::Possible);
    let grouping = group.map(|group| Grouping { group, policy: ownership::change_policy(pod) });
    let memory_bytes = shared.memory_bytes();
    let mut made = BTreeMap::new();
    for volume in volumes_of(pod) {
        let failed = |message: String| Refusal {
            reason: "FailedMount",
            message: format!("MountVolume.SetUp failed for volume {:?} : {message}", volume.name),
        };
        let inputs = Inputs { pod, sources: &material.sources, tokens: &material.tokens, facts: &facts, giving };
        let content = match volume::files(volume, inputs).map_err(failed)? {
            Some(files) => Content::Files(files),
            None if pass == Pass::Again => continue,
            None => match volumes::plain_content(pod, volume, memory_bytes).map_err(failed)? {
                Some(content) => content,
                None => claimed(shared, pod, volume).await.map_err(failed)?,
            },
        };
        let (directory, name, now) = (directory.clone(), volume.name.clone(), shared.clock.now());
        // A claim may hold many files, each of which gets its group.
        let making =
            tokio::task::spawn_blocking(move || volumes::make(&directory, &name, &content, grouping, now)).await;
        let one = making.unwrap_or_else(|error| Err(error.to_string())).map_err(failed)?;
        made.insert(volume.name.clone(), one);
    }
    Ok(made)
}

async fn claimed(shared: &Shared, pod: &Pod, volume: &Volume) -> Result<Content, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let own = || format!("{}-{}", pod.metadata.name.as_deref().unwrap_or_default(), volume.name);
    let name = volume.persistent_volume_claim.as_ref().map_or_else(own, |claim| claim.claim_name.clone());
    let claimed = objects::claim(&shared.client, namespace, &name).await?;
    Ok(if claimed.is_ours { Content::Claimed(claimed.source) } else { Content::Host(claimed.source) })
}

/// Writes the files of a pod's volumes again where what they are made from has changed. Returns when
/// tokens must be renewed.
///
/// # Errors
/// [`Refusal`]; the files stay as they were.
pub async fn refresh(shared: &Shared, pod: &Pod, prepared: &Prepared) -> Result<Option<Timestamp>, Refusal> {
    let material = fetch(shared, pod).await?;
    make_volumes(shared, pod, &prepared.share, &*prepared.sandbox, &material, Pass::Again).await?;
    Ok(renewal(pod, shared.clock.now()))
}
