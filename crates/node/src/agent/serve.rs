//! What the API server asks of the node: logs, commands, attached streams, ports, usage.

use std::sync::Arc;

use ferroflow_platform::{
    clock::BoxFuture,
    kubelet::{
        AgentError, Connection, ContainerRef, ContainerUsage, ExecOptions, ExecSession, Figures, LogOptions, LogStream,
        NodeAgent,
    },
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::{Node, Shared, dial};
use crate::{
    core::{record::Attempt, spec},
    runtime::{self, Sandbox, logs},
};

impl From<runtime::Error> for AgentError {
    fn from(error: runtime::Error) -> Self {
        Self::Internal(error.to_string())
    }
}

impl Shared {
    fn target(&self, target: &ContainerRef) -> Result<(Arc<Pod>, Arc<dyn Sandbox>), AgentError> {
        let absent =
            || AgentError::NotFound(format!("pod {:?} not found", format!("{}_{}", target.pod, target.namespace)));
        let pod = self.pod(&target.uid).ok_or_else(absent)?;
        let containers = pod.spec.as_ref().map(spec::containers).unwrap_or_default();
        if !target.container.is_empty() && !containers.iter().any(|(_, one)| one.name == target.container) {
            let message = format!("container {} is not valid for pod {}", target.container, target.pod);
            return Err(AgentError::BadRequest(message));
        }
        match self.sandbox(&target.uid) {
            Some(sandbox) => Ok((pod, sandbox)),
            None => Err(AgentError::BadRequest(waiting_message(&pod, target))),
        }
    }

    /// The run of a container that logs are wanted of.
    async fn run_for_logs(
        &self,
        pod: &Pod,
        sandbox: &dyn Sandbox,
        target: &ContainerRef,
        options: &LogOptions,
    ) -> Result<u32, AgentError> {
        let mut runs = runs_of(sandbox, &target.container).await?;
        let last = runs.pop();
        if options.previous {
            // A run that waits to start again is still the one before.
            let waits = status_of(pod, &target.container)
                .is_some_and(|status| status.state.is_some_and(|state| state.waiting.is_some()));
            let previous = if waits { last.filter(|one| !one.is_running()) } else { runs.pop() };
            return previous.map(|attempt| attempt.number).ok_or_else(|| {
                AgentError::BadRequest(format!(
                    "previous terminated container {:?} in pod {:?} not found",
                    target.container, target.pod
                ))
            });
        }
        last.map(|attempt| attempt.number).ok_or_else(|| AgentError::BadRequest(waiting_message(pod, target)))
    }
}

async fn runs_of(sandbox: &dyn Sandbox, container: &str) -> Result<Vec<Attempt>, AgentError> {
    let all = sandbox.attempts().await?;
    Ok(all.into_iter().filter(|attempt| attempt.container == container).collect())
}

fn status_of(pod: &Pod, container: &str) -> Option<ContainerStatus> {
    let status = pod.status.as_ref()?;
    let all = [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    all.into_iter().flatten().flatten().find(|status| status.name == container).cloned()
}

/// Why a container that has not run has no log, in a kubelet's words.
fn waiting_message(pod: &Pod, target: &ContainerRef) -> String {
    let (container, name) = (&target.container, &target.pod);
    let waiting = status_of(pod, container).and_then(|status| status.state?.waiting?.reason);
    let prefix = format!("container {container:?} in pod {name:?} is waiting to start");
    match waiting.as_deref() {
        Some("ErrImagePull") => format!("{prefix}: image can't be pulled"),
        Some("ImagePullBackOff") => format!("{prefix}: trying and failing to pull image"),
        Some(reason) => format!("{prefix}: {reason}"),
        None => format!("{prefix} - no logs yet"),
    }
}

impl NodeAgent for Node {
    fn logs(&self, target: ContainerRef, options: LogOptions) -> BoxFuture<'_, Result<LogStream, AgentError>> {
        Box::pin(async move {
            let (pod, sandbox) = self.shared.target(&target)?;
            let number = self.shared.run_for_logs(&pod, &*sandbox, &target, &options).await?;
            Ok(logs::open(sandbox.log(&target.container, number), options, &self.shared.group))
        })
    }

    fn exec(&self, target: ContainerRef, options: ExecOptions) -> BoxFuture<'_, Result<ExecSession, AgentError>> {
        Box::pin(async move {
            let (_, sandbox) = self.shared.target(&target)?;
            running(&*sandbox, &target).await?;
            Ok(sandbox.exec(target.container, options).await?)
        })
    }

    fn attach(&self, target: ContainerRef, options: ExecOptions) -> BoxFuture<'_, Result<ExecSession, AgentError>> {
        Box::pin(async move {
            let (_, sandbox) = self.shared.target(&target)?;
            running(&*sandbox, &target).await?;
            Ok(sandbox.attach(target.container, options).await?)
        })
    }

    fn connect(&self, target: ContainerRef, port: u16) -> BoxFuture<'_, Result<Box<dyn Connection>, AgentError>> {
        Box::pin(async move {
            self.shared.target(&target)?;
            let address = self.shared.pool.address(&target.uid).unwrap_or_default();
            let stream = dial::forward(self.shared.pod_network.as_ref(), &address, port).await.map_err(|error| {
                AgentError::Internal(format!("failed to connect to port {port} of pod {:?}: {error}", target.pod))
            })?;
            Ok(Box::new(stream) as Box<dyn Connection>)
        })
    }

    fn figures(&self) -> BoxFuture<'_, Figures> {
        Box::pin(async move {
            let node = self.shared.figures.node(&self.shared.config.name);
            Figures { nodes: node.into_iter().collect(), pods: self.shared.figures.pods() }
        })
    }

    fn usage(&self, target: ContainerRef) -> BoxFuture<'_, Result<Vec<ContainerUsage>, AgentError>> {
        Box::pin(async move {
            let (_, sandbox) = self.shared.target(&target)?;
            Ok(sandbox.usage().await?)
        })
    }
}

/// # Errors
/// When the container does not run.
async fn running(sandbox: &dyn Sandbox, target: &ContainerRef) -> Result<(), AgentError> {
    if runs_of(sandbox, &target.container).await?.last().is_some_and(Attempt::is_running) {
        return Ok(());
    }
    Err(AgentError::NotFound(format!("container not found ({:?})", target.container)))
}
