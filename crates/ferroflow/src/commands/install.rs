//! `ferroflow install` and `ferroflow uninstall`: into a cluster, and out of it.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use ferroflow_platform::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::{
    deploy::{
        self,
        apply::{self, Done},
        check,
        found::{self, Found, Servers},
        objects::{self, NAME, PIPELINES, TLS},
        plan::{Certificate, Limits, Plan, Records, Volume},
    },
    gateway,
    install_args::{Install, Uninstall},
    problem::Problem,
};

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime can be made")
}

/// Installs, or prints what it would apply.
pub fn run(install: &Install) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        if install.print {
            return print(install).await;
        }
        let client = deploy::client(&install.place.cluster).await?;
        let namespace = &install.place.namespace;
        if let Some(other) = found::elsewhere(&client, namespace).await? {
            return Err(there_already(&other, namespace));
        }
        let found = found::found(&client, namespace).await?;
        let before = found.servers.clone().unwrap_or_default();
        let plan = Plan::of(install, found)?.with_certificate()?;
        let mut is_stale = false;
        for object in objects::all(&plan) {
            let done = apply::apply(&client, &object).await?;
            println!("{:<14}{}", done.word(), apply::called(&object));
            is_stale |= done == Done::Changed && objects::is_read_at_start(&object);
        }
        for object in objects::unwanted(&plan, before.flag("namespace")) {
            let done = apply::remove(&client, &object).await?;
            if done == Done::Removed {
                println!("{:<14}{}", done.word(), apply::called(&object));
            }
        }
        notes(install, &plan, &before);
        if is_stale && !before.image.is_empty() {
            apply::restart(&client, &plan.namespace).await?;
            eprintln!("the servers start anew, with what has changed of their settings");
        }
        eprintln!("waiting until the servers answer, for up to {} s", apply::PATIENCE.as_secs());
        if !apply::wait(&client, &plan.namespace).await? {
            let client = deploy::asking(&install.place.cluster).await?;
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

/// How long a cluster may take to say what is installed there, when objects are printed.
const ANSWER: Duration = Duration::from_secs(10);

/// Prints what would be applied, with what is there where that can be seen.
async fn print(install: &Install) -> anyhow::Result<ExitCode> {
    let look = async {
        let client = deploy::client(&install.place.cluster).await?;
        found::found(&client, &install.place.namespace).await
    };
    let found = tokio::select! {
        found = look => found,
        () = SystemClock.sleep(ANSWER) => Err(anyhow::anyhow!("the cluster does not answer")),
    };
    let found = found.unwrap_or_else(|error| {
        eprintln!(
            "note: what is installed cannot be seen ({error:#}); this is a first installation: give all flags again \
             that another one was made with"
        );
        Found::default()
    });
    let plan = Plan::of(install, found)?;
    let text = serde_saphyr::to_string_multiple(&objects::all(&plan)).context("the objects cannot be written")?;
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

fn there_already(other: &str, namespace: &str) -> anyhow::Error {
    let what = format!("Ferroflow is installed in namespace {other}, and not in {namespace}; a cluster has one");
    Problem::new(what, format!("say --namespace {other}, or uninstall that one first")).into()
}

/// What stays although somebody may think that it does not.
fn notes(install: &Install, plan: &Plan, before: &Servers) {
    let own = objects::images();
    for (flag, given, image, own) in [
        ("--image", &install.image, &plan.image, own.0),
        ("--launcher-image", &install.launcher_image, &plan.launcher_image, own.1),
    ] {
        if given.is_none() && *image != own {
            eprintln!("note: the image {image} stays; {flag} names another");
        }
    }
    let lacking: Vec<&String> =
        plan.names.iter().filter(|name| !before.flags("name").any(|known| known == *name)).collect();
    if !before.image.is_empty() && !lacking.is_empty() {
        eprintln!(
            "note: the certificate in Secret {TLS} stays; if it is not good for {lacking:?}, put one there that is, or remove \
             the Secret and install again"
        );
    }
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
        if let Some(other) = found::elsewhere(&client, namespace).await? {
            return Err(there_already(&other, namespace));
        }
        let before = found::servers(&client, namespace).await?.unwrap_or_default();
        let runs = uninstall.runs_namespace.as_deref().or(before.flag("namespace")).unwrap_or(gateway::NAMESPACE);
        let mut removed = 0;
        for object in doomed(namespace, runs, uninstall.delete_data) {
            let done = apply::remove(&client, &object).await?;
            removed += usize::from(done == Done::Removed);
            if done != Done::Missing {
                println!("{:<14}{}", done.word(), apply::called(&object));
            }
        }
        if removed == 0 {
            println!("nothing was installed in namespace {namespace}");
        } else if !uninstall.delete_data {
            println!(
                "Secrets, the volume, the Service {NAME}, which steps under way call, and both namespaces stay; --delete-data \
                 removes them"
            );
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// What is removed, in this order. Of any form of installation.
fn doomed(namespace: &str, runs: &str, with_data: bool) -> Vec<Value> {
    let plan = |records, volume| Plan {
        namespace: namespace.to_owned(),
        runs: runs.to_owned(),
        image: String::new(),
        launcher_image: String::new(),
        replicas: 2,
        records,
        artifacts: None,
        volume,
        names: Vec::new(),
        limits: Limits::default(),
        certificate: Certificate::Own,
    };
    let mut all = objects::all(&plan(Records::Database(String::new()), None));
    let volume = Some(Volume { size: String::new(), class: None });
    let on_volume = objects::all(&plan(Records::Volume, volume));
    all.extend(on_volume.into_iter().filter(|one| one["kind"] == "PersistentVolumeClaim"));
    let meta = json!({"name": TLS, "namespace": namespace});
    all.push(json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta}));
    let meta = json!({"name": NAME, "namespace": namespace});
    all.push(json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta}));
    // The address of the servers' Service is what steps under way call: the next servers have the same.
    let is_data = |one: &Value| match one["kind"].as_str() {
        Some("Secret" | "PersistentVolumeClaim" | "Namespace") => true,
        Some("Service") => one["metadata"]["name"] == NAME,
        _ => false,
    };
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
        for data in ["secret/", "persistentvolumeclaim/", "namespace/", "service/ferroflow in ferroflow"] {
            assert!(!kept.iter().any(|one| one.starts_with(data)), "{kept:?}");
        }
        let all = kinds(true);
        let place = |name: &str| all.iter().position(|one| one == name).unwrap_or_else(|| panic!("{name}: {all:?}"));
        assert_eq!(place("deployment/ferroflow in ferroflow"), 0);
        assert!(place("deployment/ferroflow in ferroflow") < place("lease/ferroflow in ferroflow"));
        assert!(place("serviceaccount/ferroflow in ferroflow") < place("persistentvolumeclaim/ferroflow in ferroflow"));
        assert!(place("secret/ferroflow-tls in ferroflow") < place("namespace/ferroflow"));
        assert_eq!(all.len(), kept.len() + 6);
    }
}
