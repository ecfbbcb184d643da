//! What the engine is started with.

use std::sync::Arc;

pub use crate::core::pod::LauncherSource;

/// What names of images stand for where steps run.
pub trait ImageDigests: std::fmt::Debug + Send + Sync {
    /// The digest, `sha256:…`, that a step from an image of this name would run from; `None` where that is not known. It may
    /// wait for a disk.
    fn digest(&self, image: &str) -> Option<String>;
}

/// Settings of the engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The namespace of runs that name none.
    pub namespace: String,
    /// Where launchers reach the control plane: `http://10.96.12.7:8888/pipeline`.
    pub endpoint: String,
    pub launcher: LauncherSource,
    /// Where artifacts go when neither run nor pipeline says: `minio://mlpipeline/v2/artifacts`.
    pub pipeline_root: String,
    /// Steps that have a pod at the same time, in all namespaces together.
    pub running_steps: usize,
    /// Steps that have a pod at the same time in one namespace.
    pub running_steps_per_namespace: usize,
    /// Whether the node is ours: pods then carry annotations by which it gives Python steps an environment, and writes fewer
    /// statuses.
    pub annotates: bool,
    /// Signs step tokens: 32 bytes that stay the same over restarts.
    pub token_key: Vec<u8>,
    /// What the names of images stand for; `None` where nobody can tell before a step runs.
    pub images: Option<Arc<dyn ImageDigests>>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            namespace: "kubeflow".to_owned(),
            endpoint: String::new(),
            launcher: LauncherSource::HostPath(String::new()),
            pipeline_root: "minio://mlpipeline/v2/artifacts".to_owned(),
            // A kubelet takes 110 pods by default, and the embedded node is one.
            running_steps: 100,
            running_steps_per_namespace: 100,
            annotates: true,
            token_key: Vec::new(),
            images: None,
        }
    }
}
