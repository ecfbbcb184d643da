//! Runs while the store is away, and pods that are not what their labels say.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;

use super::*;

on_each_store!(
    a_pod_of_another_namespace_or_name_says_nothing_of_a_step,
);

/// Makes a pod that says that it is the failed one of a step.
async fn forge(bed: &Bed, claims: &StepClaims, namespace: &str) {
    let labels: BTreeMap<&str, String> = [
        (RUN_LABEL, claims.run.clone()),
        (TASK_LABEL, claims.task.clone()),
        (ATTEMPT_LABEL, claims.attempt.to_string()),
    ]
    .into();
    let pods: Api<Pod> = Api::namespaced(bed.cluster.client(), namespace);
    let pod = json!({
        "metadata": {"name": "forged", "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "busybox"}]},
    });
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    let failed = Patch::Merge(json!({"status": {"phase": "Failed"}}));
    pods.patch_status("forged", &PatchParams::default(), &failed).await.unwrap();
    let known = async {
        let is_failed = |sight| matches!(sight, Some(crate::core::engine::sight::Sight::Failed(_)));
        while !is_failed(bed.engine.shared.pods.sight(namespace, "forged")) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    eventually("the forged pod is seen", known).await;
}

async fn a_pod_of_another_namespace_or_name_says_nothing_of_a_step(store: Store) {
    let bed = Bed::new(store).await;
    let namespaces: Api<Namespace> = Api::all(bed.cluster.client());
    let other = serde_json::from_value(json!({"metadata": {"name": "team-b"}})).unwrap();
    namespaces.create(&PostParams::default(), &other).await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(bed.cluster.client(), "team-b");
    until(&accounts, "default", "is made", |_| true).await;
    let run = bed.submit(&plain()).await;
    let claims = bed.step(&run, "make").await;
    forge(&bed, &claims, "team-b").await;
    forge(&bed, &claims, "default").await;
    bed.engine.finish(&claims, report(&[("out", "x")])).await.unwrap();
    bed.succeed(&run, "take", &[]).await;
    bed.until_run(&run, RunState::Succeeded).await;
}
