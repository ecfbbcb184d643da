//! Runs against the in-process cluster, with launchers that the tests play.

mod claims;
mod clearing;
mod faults;
mod life;
mod many;
mod tenants;

use std::time::Duration;

use ferroflow_platform::{blob::Blobs, clock::SystemClock, records::Records, task::Group};
use ferroflow_testkit::{
    TestCluster, on_each_store,
    records::{Store, TestRecords},
    wait::{eventually, until},
};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    pods::{ATTEMPT_LABEL, RUN_LABEL, TASK_LABEL},
    *,
};
use crate::{
    core::{
        run::RunState,
        step::{AUDIENCE, Begin, Report, StepClaims},
        task::{TaskRow, TaskState},
    },
    store::runs::RunRow,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// A cluster, a store, and an engine that can be ended and started again.
struct Bed {
    cluster: TestCluster,
    records: Records,
    blobs: Blobs,
    config: EngineConfig,
    group: Group,
    engine: Engine,
    _directory: TempDir,
    _opened: TestRecords,
}

impl Bed {
    async fn new(store: Store) -> Self {
        Self::with(store, Self::config()).await
    }

    fn config() -> EngineConfig {
        EngineConfig {
            namespace: "default".to_owned(),
            endpoint: "http://10.96.0.9:8888/pipeline".to_owned(),
            launcher: LauncherSource::HostPath("/opt/ferroflow".to_owned()),
            token_key: vec![7; 32],
            ..EngineConfig::default()
        }
    }

    async fn with(store: Store, config: EngineConfig) -> Self {
        let cluster = TestCluster::start().await;
        let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client(), "default");
        until(&accounts, "default", "is made", |_| true).await;
        let directory = tempfile::tempdir().unwrap();
        let opened = store.open().await;
        let records = opened.records.clone();
        let blobs = Blobs::local(&directory.path().join("blobs")).unwrap();
        let group = Group::new();
        let engine = Engine::start(
            config.clone(),
            records.clone(),
            blobs.clone(),
            cluster.client(),
            SystemClock::shared(),
            group.clone(),
        );
        let engine = engine.await.unwrap();
        Self { records, blobs, config, group, engine, cluster, _directory: directory, _opened: opened }
    }

    /// Ends the engine as it stands, and starts another one on the same store.
    async fn restart(&mut self) {
        self.group.stop(PATIENCE).await.unwrap();
        self.group = Group::new();
        let (records, blobs, clock) = (self.records.clone(), self.blobs.clone(), SystemClock::shared());
        let engine =
            Engine::start(self.config.clone(), records, blobs, self.cluster.client(), clock, self.group.clone());
        self.engine = engine.await.unwrap();
    }

    async fn submit(&self, spec: &Value) -> String {
        let run = RunRow { display_name: "a run".to_owned(), ..RunRow::default() };
        let run = self.engine.submit(run, spec.clone()).await.unwrap();
        assert_eq!(run.state, RunState::Pending);
        run.run_id
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.client(), "default")
    }

    async fn pod_names(&self, run: &str) -> Vec<String> {
        let params = ListParams::default().labels(&format!("{RUN_LABEL}={run}"));
        self.pods().list(&params).await.unwrap().items.iter().map(ResourceExt::name_any).collect()
    }

    async fn task(&self, run: &str, path: &str) -> TaskRow {
        let tasks = self.engine.tasks(run).await.unwrap();
        tasks.into_iter().find(|task| task.path == format!("root/{path}")).unwrap_or_else(|| panic!("no task {path}"))
    }

    /// Looks at a task until it is as it should be.
    async fn until_task(&self, run: &str, path: &str, what: &str, holds: impl Fn(&TaskRow) -> bool) -> TaskRow {
        let looked = async {
            loop {
                let task = self.task(run, path).await;
                if holds(&task) {
                    return task;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        eventually(&format!("task {path} {what}"), looked).await
    }

    /// Waits for the pod of a task's current attempt; what its token would say.
    async fn step(&self, run: &str, path: &str) -> StepClaims {
        let task = self.until_task(run, path, "has a pod", |task| task.pod_name.is_some()).await;
        let pod = until(&self.pods(), task.pod_name.as_ref().unwrap(), "is made", |_| true).await;
        let label = |name: &str| pod.labels()[name].clone();
        assert_eq!((label(RUN_LABEL), label(TASK_LABEL)), (run.to_owned(), task.task_id));
        StepClaims {
            aud: AUDIENCE.to_owned(),
            run: run.to_owned(),
            task: label(TASK_LABEL),
            attempt: label(ATTEMPT_LABEL).parse().unwrap(),
            exp: i64::MAX,
        }
    }

    /// Plays the launcher of a task that leaves `outputs` as texts of its parameters.
    async fn succeed(&self, run: &str, path: &str, outputs: &[(&str, &str)]) {
        let claims = self.step(run, path).await;
        self.engine.begin(&claims, Begin::default()).await.unwrap();
        let verdict = self.engine.finish(&claims, report(outputs)).await.unwrap();
        assert_eq!(verdict.exit_code, 0);
        self.pod_ends(run, path, json!({"phase": "Succeeded"})).await;
    }

    async fn fail(&self, run: &str, path: &str) {
        let claims = self.step(run, path).await;
        let report = Report { exit_code: Some(3), message: "last words".to_owned(), ..Report::default() };
        assert_eq!(self.engine.finish(&claims, report).await.unwrap().exit_code, 3);
        self.pod_ends(run, path, json!({"phase": "Failed"})).await;
    }

    /// Plays the node: the pod of a task gets a status.
    async fn pod_ends(&self, run: &str, path: &str, status: Value) {
        let params = ListParams::default().labels(&format!("{RUN_LABEL}={run}"));
        let task = self.task(run, path).await;
        let pods = self.pods().list(&params).await.unwrap().items;
        let pod = pods.into_iter().rfind(|pod| pod.labels()[TASK_LABEL] == task.task_id).expect("a pod");
        let patch = Patch::Merge(json!({"status": status}));
        self.pods().patch_status(&pod.name_any(), &PatchParams::default(), &patch).await.unwrap();
    }

    async fn until_run(&self, run: &str, state: RunState) -> RunRow {
        let looked = async {
            loop {
                let row = self.engine.run(run).await.unwrap().expect("a run");
                if row.state == state {
                    return row;
                }
                assert!(!row.state.is_final(), "the run is {:?}: {:?}", row.state, row.error);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        eventually(&format!("run is {state:?}"), looked).await
    }
}

fn report(outputs: &[(&str, &str)]) -> Report {
    let parameters = outputs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    Report { exit_code: Some(0), parameters, ..Report::default() }
}

/// A pipeline `make` → `take`, whose output and input is text; with more fields of tasks.
fn chain(make: Value, take: Value) -> Value {
    let mut spec = json!({
        "pipelineInfo": {"name": "chain"}, "schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.0",
        "deploymentSpec": {"executors": {
            "make": {"container": {"image": "busybox", "command": ["echo", "make"]}},
            "take": {"container": {"image": "busybox", "command": ["echo", "{{$.inputs.parameters['in']}}"]}},
        }},
        "components": {
            "make": {"executorLabel": "make", "outputDefinitions": {"parameters": {"out": {"parameterType": "STRING"}}}},
            "take": {"executorLabel": "take", "inputDefinitions": {"parameters": {"in": {"parameterType": "STRING"}}}},
        },
        "root": {"dag": {"tasks": {
            "make": {"taskInfo": {"name": "make"}, "componentRef": {"name": "make"}, "cachingOptions": {}},
            "take": {
                "taskInfo": {"name": "take"}, "componentRef": {"name": "take"}, "cachingOptions": {},
                "dependentTasks": ["make"],
                "inputs": {"parameters": {"in": {"taskOutputParameter": {
                    "producerTask": "make", "outputParameterKey": "out"}}}},
            },
        }}},
    });
    for (task, more) in [("make", make), ("take", take)] {
        let fields = spec["root"]["dag"]["tasks"][task].as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
    }
    spec
}

fn plain() -> Value {
    chain(json!({}), json!({}))
}
