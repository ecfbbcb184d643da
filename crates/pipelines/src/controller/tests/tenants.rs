//! Artifacts of one namespace, from another one: by an importer, a claim, a launcher, and over HTTP.

use std::sync::Arc;

use ferroflow_platform::{access::Access, gateway::Service, http::body, identity::Identity, records::Statement};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;

use super::*;
use crate::{
    core::token::TokenKey,
    http::{api::Api as Rest, launcher::Launchers},
    store::catalogue,
};

/// What the other namespace has, and nobody else may see.
const SECRET: &[u8] = b"bsown";

fn schema() -> Value {
    json!({"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"})
}

/// An importer, and where `reads` is wanted a step that takes what it has imported.
fn importer(uri: &str, reads: bool) -> Value {
    let artifact = json!({"artifactType": schema()});
    let mut spec = json!({
        "pipelineInfo": {"name": "imports"}, "schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.0",
        "deploymentSpec": {"executors": {
            "load": {"importer": {"artifactUri": {"constant": uri}, "typeSchema": schema()}},
            "take": {"container": {"image": "busybox", "command": ["echo"]}},
        }},
        "components": {
            "load": {"executorLabel": "load", "outputDefinitions": {"artifacts": {"artifact": artifact}}},
            "take": {"executorLabel": "take", "inputDefinitions": {"artifacts": {"in": artifact}}},
        },
        "root": {"dag": {"tasks": {
            "load": {"taskInfo": {"name": "load"}, "componentRef": {"name": "load"}, "cachingOptions": {}},
            "take": {
                "taskInfo": {"name": "take"}, "componentRef": {"name": "take"}, "cachingOptions": {},
                "dependentTasks": ["load"],
                "inputs": {"artifacts": {"in": {"taskOutputArtifact": {
                    "producerTask": "load", "outputArtifactKey": "artifact"}}}},
            },
        }}},
    });
    if !reads {
        spec["root"]["dag"]["tasks"].as_object_mut().unwrap().remove("take");
    }
    spec
}

/// A step `make` that writes the artifact `data`.
fn writes() -> Value {
    json!({
        "pipelineInfo": {"name": "writes"}, "schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.0",
        "deploymentSpec": {"executors": {"make": {"container": {"image": "busybox", "command": ["echo"]}}}},
        "components": {"make": {"executorLabel": "make", "outputDefinitions": {"artifacts": {
            "data": {"artifactType": schema()}}}}},
        "root": {"dag": {"tasks": {"make": {
            "taskInfo": {"name": "make"}, "componentRef": {"name": "make"}, "cachingOptions": {}}}}},
    })
}

impl Bed {
    async fn submit_in(&self, namespace: &str, root: &str, spec: &Value) -> Result<String, EngineError> {
        let runtime_config = if root.is_empty() { json!({}) } else { json!({"pipeline_root": root}) };
        let run = RunRow { namespace: namespace.to_owned(), runtime_config, ..RunRow::default() };
        Ok(self.engine.submit(run, spec.clone()).await?.run_id)
    }

    /// A run of namespace `b` below `root`, and the URI of what it has written. It needs no pod.
    async fn of_another(&self, root: &str) -> (String, String) {
        let run = self.submit_in("b", root, &importer("gs://public/data", false)).await.unwrap();
        self.until_run(&run, RunState::Succeeded).await;
        let root = if root.is_empty() { &self.config.pipeline_root } else { root };
        let uri = format!("{root}/imports/{run}/make/0/data");
        self.blobs.put_bytes(&uri, SECRET.into()).await.unwrap();
        let log = format!("pipelines/logs/{run}/task/0");
        self.blobs.put_bytes(&log, SECRET.into()).await.unwrap();
        (run, uri)
    }

    /// What becomes of a run that imports `uri`: the artifact, or why not.
    async fn imports(&self, uri: &str) -> Result<crate::core::value::Artifact, String> {
        let run = self.submit(&importer(uri, false)).await;
        let ended = async {
            loop {
                let row = self.engine.run(&run).await.unwrap().unwrap();
                if row.state.is_final() {
                    return row.state;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let state = eventually("the run has ended", ended).await;
        let task = self.task(&run, "load").await;
        match state {
            RunState::Succeeded => Ok(task.outputs.artifacts["artifact"][0].clone()),
            _ => Err(task.error.map(|error| error.message).unwrap_or_default()),
        }
    }

    /// What becomes of a step that says that its output lies at `uri`.
    async fn claims(&self, root: &str, uri: &str) -> (String, i32) {
        let run = self.submit_in("default", root, &writes()).await.unwrap();
        let claims = self.step(&run, "make").await;
        let output = Some(json!({"artifacts": {"data": {"artifacts": [{"name": "data", "uri": uri}]}}}));
        let report = Report { exit_code: Some(0), output, ..Report::default() };
        let code = self.engine.finish(&claims, report).await.unwrap().exit_code;
        self.pod_ends(&run, "make", json!({"phase": if code == 0 { "Succeeded" } else { "Failed" }})).await;
        (run, code)
    }

    /// Asks as one who may do everything in the namespace of what is asked for.
    async fn get(&self, path: &str) -> (StatusCode, Vec<u8>) {
        catalogue::migrate(&self.records).await.unwrap();
        let (client, clock) = (self.cluster.client(), SystemClock::shared());
        let launchers = Launchers::new(self.engine.clone(), self.blobs.clone(), TokenKey::new(&[7; 32]), clock.clone());
        let api = Rest {
            records: self.records.clone(),
            blobs: self.blobs.clone(),
            engine: self.engine.clone(),
            launchers,
            access: Access::new(client, clock.clone(), "a"),
            clock,
            namespace: "default".to_owned(),
            schedules: Arc::default(),
        };
        let request = Request::get(path).body(body::full("")).unwrap();
        let response: Response<_> = Arc::new(api).answer(request, Identity::administrator()).await;
        let status = response.status();
        (status, response.into_body().collect().await.unwrap().to_bytes().to_vec())
    }

    /// Lets an artifact lie elsewhere than it was found to.
    async fn moved(&self, artifact: &str, uri: &str) {
        let sql = "UPDATE pipelines_artifacts SET uri = $2 WHERE artifact_id = $1";
        self.records.write(vec![Statement::new(sql, [artifact.into(), uri.into()]).must_change()]).await.unwrap();
    }
}

/// URIs that lead to what is not of the namespace, given one of another's artifacts and its run.
fn foreign(run: &str, uri: &str) -> Vec<String> {
    let directory = uri.split("/make/").next().unwrap();
    let above = directory.strip_suffix(run).unwrap().trim_end_matches('/');
    let root = above.strip_suffix("/imports").unwrap();
    let mut all = vec!["pipelines/logs".to_owned(), format!("pipelines/logs/{run}/task/0"), "/etc/passwd".to_owned()];
    all.extend([uri, directory, above, root].map(str::to_owned));
    all.extend([format!("{uri}/"), format!("{root}/"), root.rsplit_once('/').unwrap().0.to_owned()]);
    all.extend([format!("{root}/../artifacts"), format!("{root}//imports"), uri.replace("/make/", "/./make/")]);
    all
}

on_each_store!(
    an_importer_reaches_nothing_of_another_namespace,
    an_importer_reaches_what_is_everybodys_or_of_its_own_namespace,
    a_step_cannot_claim_what_is_another_namespaces,
    a_launcher_is_not_given_what_has_become_another_namespaces,
    what_an_old_record_says_is_not_sent_where_it_is_another_namespaces,
    a_run_does_not_write_where_another_namespaces_runs_do,
    what_was_recorded_before_places_were_is_held_as_well,
    what_is_left_of_a_removed_run_stays_with_its_namespace,
);

async fn an_importer_reaches_nothing_of_another_namespace(store: Store) {
    let bed = Bed::new(store).await;
    for root in ["", "gs://shared/of/b"] {
        let (run, uri) = bed.of_another(root).await;
        for uri in foreign(&run, &uri) {
            let why = bed.imports(&uri).await.expect_err(&uri);
            assert!(why.contains(&uri), "{uri}: {why}");
        }
    }
    let nobodys = "minio://mlpipeline/v2/artifacts/imports/data";
    assert!(bed.imports(nobodys).await.unwrap_err().contains("import what a run of namespace \"default\" has made"));
    let (run, _) = bed.of_another("").await;
    let deep = format!("gs://shared/copied/{run}/x");
    assert!(bed.imports(&deep).await.unwrap_err().contains("belongs to a run of another namespace"));
}

async fn an_importer_reaches_what_is_everybodys_or_of_its_own_namespace(store: Store) {
    let bed = Bed::new(store).await;
    bed.of_another("gs://shared/of/b").await;
    let run = bed.submit(&writes()).await;
    let claims = bed.step(&run, "make").await;
    let own = bed.engine.output(&claims, "data").await.unwrap();
    bed.blobs.put_bytes(&own, "mine".into()).await.unwrap();
    let above = own.split(&run).next().unwrap().to_owned() + &run;
    for uri in [
        "gs://bucket/data",
        "gs://shared/of/everybody",
        "gs://shared/of/b/data.csv",
        "s3://datasets/a%2Fb/",
        "https://example.com/a//b?c=../d",
        &own,
        &above,
    ] {
        let artifact = bed.imports(uri).await.unwrap_or_else(|why| panic!("{uri}: {why}"));
        assert_eq!(artifact.uri, uri);
    }
    let artifact = bed.imports(&own).await.unwrap();
    let (status, bytes) = bed.get(&format!("/apis/v2beta1/artifacts/{}:download", artifact.id)).await;
    assert_eq!((status, bytes.as_slice()), (StatusCode::OK, &b"mine"[..]));
}

async fn a_step_cannot_claim_what_is_another_namespaces(store: Store) {
    let bed = Bed::new(store).await;
    let (run, uri) = bed.of_another("").await;
    let (shared, elsewhere) = bed.of_another("gs://shared/of/b").await;
    let all = foreign(&run, &uri).into_iter().chain(foreign(&shared, &elsewhere));
    for uri in all {
        // Below a root of its own, too, the default one is not its own.
        for root in ["", "gs://mine/root"] {
            let (run, code) = bed.claims(root, &uri).await;
            assert_eq!(code, 1, "{uri}");
            let error = bed.until_run(&run, RunState::Failed).await.error.unwrap().message;
            assert!(error.contains(&uri), "{uri}: {error}");
        }
    }
    for uri in ["gs://bucket/data", "oci://registry/model:1", "https://example.com/x"] {
        assert_eq!(bed.claims("", uri).await.1, 0, "{uri}");
    }
    let (own, _) = bed.claims("", "").await;
    let of_the_same = format!("minio://mlpipeline/v2/artifacts/writes/{own}/make/0/data");
    assert_eq!(bed.claims("gs://mine/root", &of_the_same).await.1, 0);
}

async fn a_launcher_is_not_given_what_has_become_another_namespaces(store: Store) {
    let bed = Bed::new(store).await;
    let run = bed.submit(&importer("gs://shared/of/b", true)).await;
    let claims = bed.step(&run, "take").await;
    let artifact = bed.task(&run, "take").await.inputs.artifacts["in"][0].clone();
    assert_eq!(bed.engine.input(&claims, &artifact.id).await.unwrap().uri, "gs://shared/of/b");
    bed.of_another("gs://shared/of/b").await;
    let refused = bed.engine.input(&claims, &artifact.id).await.unwrap_err();
    assert!(matches!(&refused, StepError::Fault(fault) if fault.what.contains("gs://shared/of/b")), "{refused}");
}

async fn what_an_old_record_says_is_not_sent_where_it_is_another_namespaces(store: Store) {
    let bed = Bed::new(store).await;
    let (run, uri) = bed.of_another("").await;
    let artifact = bed.imports("gs://bucket/data").await.unwrap().id;
    for uri in foreign(&run, &uri) {
        bed.moved(&artifact, &uri).await;
        let (status, bytes) = bed.get(&format!("/apis/v2beta1/artifacts/{artifact}:download")).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{uri}");
        assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET), "{uri}");
    }
    let (own, _) = bed.claims("", "gs://bucket/data").await;
    let task = bed.task(&own, "make").await.task_id;
    let sql = "UPDATE pipelines_tasks SET outputs = REPLACE(outputs, 'gs://bucket/data', $2) WHERE task_id = $1";
    let path = format!("/apis/v1alpha1/runs/{own}/nodes/{task}/artifacts/data:read");
    bed.records.write(vec![Statement::new(sql, [task.into(), uri.into()])]).await.unwrap();
    assert_eq!(bed.get(&path).await.0, StatusCode::FORBIDDEN);
}

async fn a_run_does_not_write_where_another_namespaces_runs_do(store: Store) {
    let bed = Bed::new(store).await;
    for root in ["", "gs://shared/of/b"] {
        let (_, uri) = bed.of_another(root).await;
        for root in [&uri, uri.split("/make/").next().unwrap()] {
            let refused = bed.submit_in("default", root, &writes()).await.unwrap_err().to_string();
            assert!(refused.starts_with("pipeline_root: ") && refused.contains(root), "{refused}");
        }
    }
    for root in ["pipelines/logs", "gs://b/../c"] {
        let refused = bed.submit_in("default", root, &writes()).await.unwrap_err().to_string();
        assert!(refused.starts_with("pipeline_root: ") && refused.contains(root), "{refused}");
    }
    // Beside them is nobody's.
    bed.submit_in("default", "gs://shared/of/b", &writes()).await.unwrap();
}

async fn what_was_recorded_before_places_were_is_held_as_well(store: Store) {
    let mut bed = Bed::new(store).await;
    let (run, uri) = bed.of_another("gs://shared/of/b").await;
    let artifact = bed.task(&run, "load").await.outputs.artifacts["artifact"][0].clone();
    bed.moved(&artifact.id, &uri).await;
    let forget = Statement::new("DELETE FROM pipelines_places", []);
    let before = Statement::new("INSERT INTO pipelines_unplaced (run_id) SELECT run_id FROM pipelines_artifacts", []);
    bed.records.write(vec![forget, before]).await.unwrap();
    assert!(bed.imports("gs://shared/of").await.is_ok());
    bed.restart().await;
    assert!(bed.imports("gs://shared/of").await.unwrap_err().contains("gs://shared/of"));
    let left = bed.records.read(Statement::new("SELECT run_id FROM pipelines_unplaced", [])).await.unwrap();
    assert!(left.is_empty());
}

async fn what_is_left_of_a_removed_run_stays_with_its_namespace(store: Store) {
    let bed = Bed::new(store).await;
    let run = bed.submit(&writes()).await;
    let claims = bed.step(&run, "make").await;
    let uri = bed.engine.output(&claims, "data").await.unwrap();
    bed.blobs.put_bytes(&uri, "mine".into()).await.unwrap();
    bed.engine.finish(&claims, report(&[])).await.unwrap();
    bed.pod_ends(&run, "make", json!({"phase": "Succeeded"})).await;
    bed.until_run(&run, RunState::Succeeded).await;
    let taken = bed.submit(&importer(&uri, false)).await;
    bed.until_run(&taken, RunState::Succeeded).await;
    let artifact = bed.task(&run, "make").await.outputs.artifacts["data"][0].id.clone();
    let path = format!("/apis/v2beta1/artifacts/{artifact}:download");
    let used = crate::store::removal::use_artifact(&artifact, &taken);
    bed.records.write(vec![used]).await.unwrap();
    bed.engine.delete(&run).await.unwrap();
    assert_eq!(bed.get(&path).await, (StatusCode::OK, b"mine".to_vec()));
    let other = bed.submit_in("b", "", &importer(&uri, false)).await.unwrap();
    assert!(bed.until_run(&other, RunState::Failed).await.error.unwrap().message.contains(&uri));
}
