//! Claims of storage that runs make, and what becomes of them when runs end.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, ResourceQuota};
use kube::api::PostParams;

use super::*;

on_each_store!(
    a_run_whose_workspace_is_gone_is_not_retried,
    a_claim_that_a_quota_has_no_room_for_is_not_made_after_its_run,
    a_workspace_that_was_left_goes_with_its_run,
);

fn claims(bed: &Bed) -> Api<PersistentVolumeClaim> {
    Api::namespaced(bed.cluster.client(), "default")
}

/// A pipeline with a workspace, and more fields of its configuration.
fn with_workspace(more: Value) -> Value {
    let mut config = json!({"workspace": {"size": "1Mi"}});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"pipeline_spec": plain(), "platform_spec": {"platforms": {"kubernetes": {"pipelineConfig": config}}}})
}

async fn workspace(bed: &Bed, run: &str) -> String {
    let row = bed.engine.run(run).await.unwrap().unwrap();
    crate::controller::load::workspace_name(&row)
}

/// Begins a run with a workspace, and waits until that was made.
async fn begun(bed: &Bed, spec: &Value) -> String {
    let run = bed.submit(spec).await;
    let looked = async {
        while bed.engine.tasks(&run).await.unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    eventually("the run has tasks", looked).await;
    run
}

async fn until_no_claim(bed: &Bed, name: &str) {
    let gone = async {
        while claims(bed).get_opt(name).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    eventually("the workspace is gone", gone).await;
}

async fn a_run_whose_workspace_is_gone_is_not_retried(store: Store) {
    let bed = Bed::new(store).await;
    for ttl in [json!({"resourceTtlOnFailure": 1}), json!({})] {
        let goes = ttl != json!({});
        let run = begun(&bed, &with_workspace(ttl)).await;
        bed.fail(&run, "make").await;
        bed.until_run(&run, RunState::Failed).await;
        let name = workspace(&bed, &run).await;
        if !goes {
            bed.engine.retry(&run).await.unwrap();
            bed.until_task(&run, "make", "runs again", |task| task.attempt == 1).await;
            continue;
        }
        until_no_claim(&bed, &name).await;
        for _ in 0..2 {
            let told = bed.engine.retry(&run).await;
            assert!(matches!(told, Err(EngineError::NoWorkspace { .. })), "{told:?}");
        }
        assert_eq!(bed.engine.run(&run).await.unwrap().unwrap().state, RunState::Failed);
    }
}

async fn a_claim_that_a_quota_has_no_room_for_is_not_made_after_its_run(store: Store) {
    let bed = Bed::new(store).await;
    let quotas: Api<ResourceQuota> = Api::namespaced(bed.cluster.client(), "default");
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {"persistentvolumeclaims": "0"}}});
    quotas.create(&PostParams::default(), &serde_json::from_value(quota).unwrap()).await.unwrap();
    until(&quotas, "none", "counts", |quota| quota.status.as_ref().is_some_and(|status| status.used.is_some())).await;
    let run = bed.submit(&with_workspace(json!({}))).await;
    let inbox = bed.engine.shared.inbox(&run).expect("it is under way");
    bed.engine.terminate(&run).await.unwrap();
    bed.until_run(&run, RunState::Failed).await;
    let idle = async {
        // What is about to make the claim has it too.
        while std::sync::Arc::strong_count(&inbox) > 1 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    eventually("nobody makes the claim any more", idle).await;
    assert!(claims(&bed).get_opt(&workspace(&bed, &run).await).await.unwrap().is_none());
}

async fn a_workspace_that_was_left_goes_with_its_run(store: Store) {
    let bed = Bed::new(store).await;
    let run = begun(&bed, &with_workspace(json!({}))).await;
    bed.succeed(&run, "make", &[("out", "x")]).await;
    let name = workspace(&bed, &run).await;
    let mut left = claims(&bed).get(&name).await.unwrap();
    bed.succeed(&run, "take", &[]).await;
    bed.until_run(&run, RunState::Succeeded).await;
    until_no_claim(&bed, &name).await;
    // As if the server had been killed before it could remove it.
    left.metadata.resource_version = None;
    left.metadata.uid = None;
    left.metadata.finalizers = None;
    claims(&bed).create(&PostParams::default(), &left).await.unwrap();
    bed.engine.delete(&run).await.unwrap();
    until_no_claim(&bed, &name).await;
}
