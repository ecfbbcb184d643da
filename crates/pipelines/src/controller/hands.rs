//! What an actor does to the cluster: pods made and deleted, claims, logs. Each is tried until it is done or cannot be.

use std::{fmt::Display, io, sync::Arc, time::Duration};

use ferroflow_platform::{blob::StoreError, records, sql};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, LogParams, PostParams},
};
use serde_json::Value;

use super::{
    api::EngineError,
    inbox::{Inbox, Message},
    pods::{ATTEMPT_LABEL, RUN_LABEL, TASK_LABEL},
    reach,
    seen::SeenPod,
    shared::Shared,
};
use crate::{
    core::{
        engine::{Action, Event, Facts, NodeId, sight::Sight},
        ir::Workspace,
        place::IN_WORKSPACE,
        pod::{self, Claim},
        task::TaskError,
        value::{Artifact, Values},
    },
    store,
};

/// The first pause after an API server that cannot answer; it doubles up to [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause: an API server that is back should not be missed for long.
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// The reason of a step that waits for room in a quota.
const QUOTA: &str = "QuotaExceeded";
/// Lines of a log that an error carries.
const TAIL_LINES: usize = 20;
/// Bytes of a log that is fetched from a pod.
const LOG_BYTES: i64 = 16 * 1024 * 1024;

/// How long something is tried that finds no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// Until there is one: what is left in the cluster is nobody else's to remove.
    Answered,
    /// As long as the run is under way.
    Closed,
}

/// One run's way to the cluster. Cheap to clone.
#[derive(Clone)]
pub(super) struct Hands {
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) facts: Facts,
}

impl Hands {
    fn pods(&self) -> Api<SeenPod> {
        Api::namespaced(self.shared.client.clone(), &self.facts.namespace)
    }

    fn claims(&self) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.shared.client.clone(), &self.facts.namespace)
    }

    fn tell(&self, event: Event) {
        self.inbox.push(Message::Event(event));
    }

    fn spawn(&self, what: &str, future: impl Future<Output = ()> + Send + 'static) {
        let name = format!("{what} of run {}", self.inbox.run);
        self.shared.group.spawn(name, ferroflow_platform::task::Kind::Transient, async move {
            future.await;
            Ok::<(), std::convert::Infallible>(())
        });
    }

    /// Tries until the API server has answered one way or the other.
    async fn insist<T, F: Future<Output = kube::Result<T>>>(&self, act: impl Fn() -> F) -> Result<T, kube::Error> {
        self.insist_while(Until::Answered, "the cluster", is_passing, act).await
    }

    /// Tries as long as `passes` says of errors that there may be another answer later.
    async fn insist_while<T, E: Display, F: Future<Output = Result<T, E>>>(
        &self,
        until: Until,
        whom: &str,
        passes: impl Fn(&E) -> bool,
        act: impl Fn() -> F,
    ) -> Result<T, E> {
        let mut pause = FIRST_PAUSE;
        loop {
            match act().await {
                Err(error) if passes(&error) && !(until == Until::Closed && self.inbox.is_closed()) => {
                    tracing::debug!(run = self.inbox.run, %error, ?pause, "{whom} does not answer; trying again");
                    if pause < LAST_PAUSE && pause * 2 >= LAST_PAUSE {
                        tracing::warn!(run = self.inbox.run, %error, "{whom} does not answer; a run waits for it");
                    }
                    self.rest(pause, until).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
                other => return other,
            }
        }
    }

    async fn rest(&self, pause: Duration, until: Until) {
        let pause = self.shared.clock.sleep(pause);
        match until {
            Until::Answered => pause.await,
            Until::Closed => tokio::select! {
                () = pause => {}
                () = self.inbox.closed() => {}
            },
        }
    }

    /// Makes a pod, or adopts the one of its name that was made for the same attempt.
    pub(super) fn launch(&self, node: NodeId, attempt: u32, pod: Pod) {
        let hands = self.clone();
        self.spawn("a pod", async move {
            match hands.make_pod(&pod).await {
                Err(error) if error.reason == QUOTA => hands.tell(Event::Delayed { node, attempt, error }),
                outcome => hands.tell(Event::Launched { node, attempt, outcome }),
            }
        });
    }

    async fn make_pod(&self, pod: &Pod) -> Result<(), TaskError> {
        let made = match self.insist(|| self.create(pod)).await {
            Err(kube::Error::Api(status)) if status.code == 409 && status.reason == "AlreadyExists" => {
                self.adopt(pod).await?
            }
            Err(error) if is_over_quota(&error) => return Err(refused(QUOTA, &error)),
            other => other.map_err(|error| refused("PodRefused", &error))?,
        };
        self.shared.pods.expect(&made);
        Ok(())
    }

    async fn create(&self, pod: &Pod) -> kube::Result<SeenPod> {
        let body = serde_json::to_vec(pod).map_err(kube::Error::SerdeError)?;
        let url = SeenPod::url_path(&(), Some(&self.facts.namespace));
        let request = kube::core::Request::new(url).create(&PostParams::default(), body);
        self.shared.client.request(request.map_err(kube::Error::BuildRequest)?).await
    }

    async fn adopt(&self, pod: &Pod) -> Result<SeenPod, TaskError> {
        let (api, name) = (self.pods(), pod.name_any());
        let found = self.insist(|| api.get(&name)).await.map_err(|error| refused("PodRefused", &error))?;
        let is_ours = [RUN_LABEL, TASK_LABEL, ATTEMPT_LABEL]
            .iter()
            .all(|name| found.labels().get(*name) == pod.labels().get(*name));
        if is_ours {
            return Ok(found);
        }
        let message = format!("pod \"{name}\" exists and belongs to something else; delete it and retry the run");
        Err(TaskError { reason: "PodRefused".to_owned(), message, exit_code: None })
    }

    /// Deletes a pod. That it is gone is told by the watch, or here where it is not there.
    pub(super) fn delete(&self, node: NodeId, attempt: u32, pod: String) {
        let hands = self.clone();
        self.spawn("a deletion", async move {
            let (api, params) = (hands.pods(), DeleteParams::default());
            match hands.insist(|| api.delete(&pod, &params)).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {
                    hands.tell(Event::Seen { node, attempt, sight: Sight::Gone });
                }
                Err(error) => {
                    tracing::warn!(run = hands.inbox.run, pod, %error, "a pod cannot be deleted; it is left alone");
                    hands.tell(Event::Seen { node, attempt, sight: Sight::Gone });
                }
            }
        });
    }

    /// Keeps what a failed pod has printed, and tells its last lines.
    pub(super) fn tail(&self, node: NodeId, attempt: u32, pod: String, key: String) {
        let hands = self.clone();
        self.spawn("a log", async move {
            let params = LogParams { limit_bytes: Some(LOG_BYTES), ..LogParams::default() };
            // Of a pod that never started, or whose node is lost, there is nothing.
            let pods: Api<Pod> = Api::namespaced(hands.shared.client.clone(), &hands.facts.namespace);
            let log = pods.logs(&pod, &params).await.unwrap_or_default();
            let lines = last_lines(&log);
            if !log.is_empty()
                && let Err(error) = hands.shared.blobs.put_bytes(&key, log.into()).await
            {
                tracing::warn!(run = hands.inbox.run, pod, %error, "a log cannot be kept");
            }
            hands.tell(Event::Tailed { node, attempt, lines });
        });
    }

    /// Does what needs no pod.
    pub(super) fn act(&self, node: NodeId, action: Action, workspace: Option<Workspace>) {
        let hands = self.clone();
        self.spawn("an act", async move {
            let outcome = match action {
                Action::Workspace => hands.make_workspace(workspace).await,
                Action::Claim(Claim::Create(claim)) => hands.make_claim(claim).await,
                Action::Claim(Claim::Delete(name)) => hands.delete_claim(&name).await,
                Action::Import { output, artifact, reuse } => hands.import(output, artifact, reuse).await,
            };
            hands.tell(Event::Acted { node, outcome });
        });
    }

    async fn make_workspace(&self, workspace: Option<Workspace>) -> Result<Values, TaskError> {
        let Some(workspace) = workspace else { return Ok(Values::default()) };
        let made = self.make_claim(pod::workspace_claim(&workspace, &self.facts)).await;
        // Of a run that was deleted meanwhile nobody else removes it.
        if self.inbox.is_closed() && matches!(store::runs::get(&self.shared.records, &self.inbox.run).await, Ok(None)) {
            self.drop_workspace();
        }
        made
    }

    async fn make_claim(&self, mut claim: Value) -> Result<Values, TaskError> {
        claim["apiVersion"] = "v1".into();
        claim["kind"] = "PersistentVolumeClaim".into();
        claim["metadata"]["labels"][RUN_LABEL] = self.facts.run_id.clone().into();
        let faulty = |error: serde_json::Error| TaskError {
            reason: "Claim".to_owned(),
            message: format!("the claim of storage cannot be read: {error}"),
            exit_code: None,
        };
        let claim: PersistentVolumeClaim = serde_json::from_value(claim).map_err(faulty)?;
        let (api, name, params) = (self.claims(), claim.name_any(), PostParams::default());
        let passes = |error: &kube::Error| is_passing(error) || is_over_quota(error);
        match self.insist_while(Until::Closed, "the cluster", passes, || api.create(&params, &claim)).await {
            Ok(_) => {}
            // Made before a restart, or by someone: a claim is a claim.
            Err(kube::Error::Api(status)) if status.code == 409 && status.reason == "AlreadyExists" => {}
            Err(error) => return Err(refused("Claim", &error)),
        }
        let parameters = [("name".to_owned(), Value::String(name))].into();
        Ok(Values { parameters, ..Values::default() })
    }

    async fn delete_claim(&self, name: &str) -> Result<Values, TaskError> {
        let (api, params) = (self.claims(), DeleteParams::default());
        match self.insist(|| api.delete(name, &params)).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Values::default()),
            Err(error) => Err(refused("Claim", &error)),
            Ok(_) => Ok(Values::default()),
        }
    }

    /// Deletes a run's workspace.
    pub(super) fn drop_workspace(&self) {
        let hands = self.clone();
        self.spawn("a workspace", async move {
            if let Err(error) = hands.delete_claim(&pod::workspace_name(&hands.facts)).await {
                tracing::warn!(run = hands.inbox.run, error.message, "a run's workspace cannot be deleted; it stays");
            }
        });
    }

    async fn import(&self, output: String, artifact: Artifact, reuse: bool) -> Result<Values, TaskError> {
        let failed = |error: EngineError| TaskError {
            reason: "Importer".to_owned(),
            message: error.to_string(),
            exit_code: None,
        };
        reach::check(&self.shared, &self.facts.namespace, &artifact.uri).await.map_err(failed)?;
        self.in_store(&artifact).await?;
        let found = if reuse { self.imported(&artifact).await? } else { None };
        let artifacts = [(output, vec![found.unwrap_or(artifact)])].into();
        Ok(Values { artifacts, ..Values::default() })
    }

    /// What is to lie in the workspace must be there to be put into it; each step that reads it does that.
    async fn in_store(&self, artifact: &Artifact) -> Result<(), TaskError> {
        let failed = |message: String| TaskError { reason: "Importer".to_owned(), message, exit_code: None };
        if artifact.metadata.get(IN_WORKSPACE) != Some(&Value::Bool(true)) {
            return Ok(());
        }
        let exists = || self.shared.blobs.exists(&artifact.uri);
        match self.insist_while(Until::Closed, "the artifact store", is_blob_passing, exists).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(failed(format!("nothing is stored at {}, so it cannot be put into the workspace", artifact.uri)))
            }
            Err(error) => Err(failed(format!("{} cannot be put into the workspace: {error}", artifact.uri))),
        }
    }

    async fn imported(&self, wanted: &Artifact) -> Result<Option<Artifact>, TaskError> {
        let failed = |error: records::Error| TaskError {
            reason: "Importer".to_owned(),
            message: error.to_string(),
            exit_code: None,
        };
        let pipeline = &self.shared.pipeline_of(&self.inbox.run);
        let read = || async {
            #[cfg(test)]
            self.shared.miss()?;
            store::artifacts::of_uri(&self.shared.records, &self.facts.namespace, pipeline, &wanted.uri).await
        };
        let rows = self.insist_while(Until::Closed, "the record store", is_record_passing, read).await;
        let same = |artifact: &Artifact| {
            (&artifact.schema_title, &artifact.schema_version) == (&wanted.schema_title, &wanted.schema_version)
                && artifact.metadata == wanted.metadata
        };
        let mut found = rows.map_err(failed)?.into_iter().map(|row| row.artifact);
        Ok(found.find(same))
    }
}

/// Whether an API server may answer otherwise a little later.
fn is_passing(error: &kube::Error) -> bool {
    match error {
        // One that is just back does not know its tokens yet.
        kube::Error::Api(status) => status.code >= 500 || matches!(status.code, 401 | 429),
        kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => true,
        _ => false,
    }
}

/// Whether the record store may answer otherwise a little later.
fn is_record_passing(error: &records::Error) -> bool {
    use records::Error::{Away, InDoubt, Sql};
    matches!(error, Away { .. } | InDoubt(_) | Sql(sql::Error::Full))
}

/// Whether the artifact store may answer otherwise a little later: not where it is the name that is wrong.
fn is_blob_passing(error: &StoreError) -> bool {
    if !matches!(error, StoreError::Store(_) | StoreError::Io(_)) {
        return false;
    }
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let mut faults = causes.filter_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind);
    !faults.any(|kind| {
        use io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, PermissionDenied};
        matches!(kind, NotADirectory | InvalidFilename | InvalidInput | PermissionDenied)
    })
}

/// Whether a ResourceQuota has no room for what was asked for.
fn is_over_quota(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403 && status.message.contains("exceeded quota"))
}

fn refused(reason: &str, error: &kube::Error) -> TaskError {
    let message = match error {
        kube::Error::Api(status) => format!("the cluster refuses: {}", status.message),
        other => format!("the cluster cannot be asked: {other}"),
    };
    TaskError { reason: reason.to_owned(), message, exit_code: None }
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_away_is_asked_again_and_a_name_that_is_wrong_is_not() {
        let away = records::Error::Away { waited: LAST_PAUSE, reason: "refused".to_owned() };
        let passing = [away, records::Error::InDoubt("lost".to_owned()), records::Error::Sql(sql::Error::Full)];
        assert!(passing.iter().all(is_record_passing));
        assert!(!is_record_passing(&records::Error::Refused("no such table".to_owned())));
        let io = |kind: io::ErrorKind| StoreError::Io(kind.into());
        assert!(is_blob_passing(&io(io::ErrorKind::ConnectionRefused)));
        assert!(!is_blob_passing(&io(io::ErrorKind::NotADirectory)));
        assert!(!is_blob_passing(&StoreError::Tar("cut short".to_owned())));
    }

    #[test]
    fn a_log_is_told_by_its_last_lines() {
        let log: String = (0..30).map(|number| format!("{number}\n")).collect();
        let lines = last_lines(&log);
        assert_eq!((lines.lines().count(), lines.lines().next()), (20, Some("10")));
        assert_eq!(last_lines(""), "");
    }
}
