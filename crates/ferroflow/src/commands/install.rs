//! `ferroflow install` and `ferroflow uninstall`: into a cluster, and out of it.

use std::process::ExitCode;

use anyhow::Context;
use serde_json::{Value, json};

use crate::{
    args::{Install, Uninstall},
    deploy::{
        self,
        apply::{self, Done},
        check,
        objects::{self, NAME, PIPELINES, TLS},
        plan::{Found, Plan, Records},
    },
    problem::Problem,
};

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime can be made")
}

/// Installs, or prints what it would apply.
pub fn run(install: &Install) -> anyhow::Result<ExitCode> {
    if install.print {
        let plan = Plan::of(install, Found::default())?;
        let text = serde_saphyr::to_string_multiple(&objects::all(&plan)).context("the objects cannot be written")?;
        print!("{text}");
        return Ok(ExitCode::SUCCESS);
    }
    runtime()?.block_on(async {
        let client = deploy::client(&install.place.cluster).await?;
        let found = apply::found(&client, &install.place.namespace).await?;
        let plan = Plan::of(install, found)?.with_certificate()?;
        for object in objects::all(&plan) {
            let done = apply::apply(&client, &object).await?;
            println!("{:<14}{}", done.word(), apply::called(&object));
        }
        eprintln!("waiting until the servers answer, for up to {} s", apply::PATIENCE.as_secs());
        if !apply::wait(&client, &plan.namespace).await? {
            let findings = check::all(&client, &plan.namespace, &plan.runs).await?;
            let faults = super::doctor::print(&findings);
            let what =
                format!("not all servers answer after {} s; {faults} faults are above", apply::PATIENCE.as_secs());
            return Err(Problem::new(what, "mend them; the servers start by themselves then, or install again").into());
        }
        println!("{}", welcome(&plan));
        Ok(ExitCode::SUCCESS)
    })
}

fn welcome(plan: &Plan) -> String {
    let (namespace, runs) = (&plan.namespace, &plan.runs);
    format!(
        "ferroflow {} serves pipelines in namespace {namespace}\n  in the cluster  http://{NAME}.{namespace}:8800/pipeline, \
         http://{PIPELINES}.{runs}:8888 and https://{NAME}.{namespace}\n  from here       kubectl -n {namespace} port-forward \
         service/{NAME} 8800\n  token           kubectl -n {runs} create token SERVICEACCOUNT, of one that may edit in {runs}",
        env!("CARGO_PKG_VERSION")
    )
}

/// Removes what was installed; what was recorded stays where it is not to go.
pub fn remove(uninstall: &Uninstall) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        let client = deploy::client(&uninstall.place.cluster).await?;
        let namespace = &uninstall.place.namespace;
        let mut removed = 0;
        for object in doomed(namespace, &uninstall.runs_namespace, uninstall.delete_data) {
            let done = apply::remove(&client, &object).await?;
            removed += usize::from(done == Done::Removed);
            if done != Done::Missing {
                println!("{:<14}{}", done.word(), apply::called(&object));
            }
        }
        if removed == 0 {
            println!("nothing was installed in namespace {namespace}");
        } else if !uninstall.delete_data {
            println!("Secrets, the volume and both namespaces stay; --delete-data removes them");
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// What is removed, in this order. Of any form of installation.
fn doomed(namespace: &str, runs: &str, with_data: bool) -> Vec<Value> {
    let plan = |records| Plan {
        namespace: namespace.to_owned(),
        runs: runs.to_owned(),
        image: String::new(),
        launcher_image: String::new(),
        replicas: 2,
        records,
        artifacts: None,
        storage_class: None,
        size: String::new(),
        certificate: None,
    };
    let mut all = objects::all(&plan(Records::Database(String::new())));
    all.extend(objects::all(&plan(Records::Volume)).into_iter().filter(|one| one["kind"] == "PersistentVolumeClaim"));
    let meta = json!({"name": TLS, "namespace": namespace});
    all.push(json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta}));
    let meta = json!({"name": NAME, "namespace": namespace});
    all.push(json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta}));
    let is_data = |one: &Value| matches!(one["kind"].as_str(), Some("Secret" | "PersistentVolumeClaim" | "Namespace"));
    all.retain(|one| with_data || !is_data(one));
    // Servers first, which hold the Lease and use the rest; then what was applied last; volumes and namespaces last of all.
    all.reverse();
    all.sort_by_key(|one| match one["kind"].as_str() {
        Some("Deployment") => 0,
        Some("Namespace") => 3,
        Some("Secret" | "PersistentVolumeClaim") => 2,
        _ => 1,
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_stays_unless_it_is_to_go_and_servers_go_first() {
        let kinds = |with_data| -> Vec<String> {
            doomed("ferroflow", "kubeflow", with_data).iter().map(apply::called).collect()
        };
        let kept = kinds(false);
        for data in ["secret/", "persistentvolumeclaim/", "namespace/"] {
            assert!(!kept.iter().any(|one| one.starts_with(data)), "{kept:?}");
        }
        let all = kinds(true);
        let place = |name: &str| all.iter().position(|one| one == name).unwrap_or_else(|| panic!("{name}: {all:?}"));
        assert_eq!(place("deployment/ferroflow in ferroflow"), 0);
        assert!(place("deployment/ferroflow in ferroflow") < place("lease/ferroflow in ferroflow"));
        assert!(place("serviceaccount/ferroflow in ferroflow") < place("persistentvolumeclaim/ferroflow in ferroflow"));
        assert!(place("secret/ferroflow-tls in ferroflow") < place("namespace/ferroflow"));
        assert_eq!(all.len(), kept.len() + 5);
    }
}
