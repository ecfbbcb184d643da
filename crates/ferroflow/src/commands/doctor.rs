//! `ferroflow doctor`: whether an installation is well.

use std::process::ExitCode;

use anyhow::Context;

use crate::{
    deploy::{
        self,
        check::{self, Finding},
        found,
    },
    gateway,
    install_args::Doctor,
};

/// Looks, and prints what it finds. The exit code is 1 where there is a fault.
pub fn run(doctor: &Doctor) -> anyhow::Result<ExitCode> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime can be made")?;
    runtime.block_on(async {
        let client = deploy::asking(&doctor.place.cluster).await?;
        let namespace = &doctor.place.namespace;
        let servers = found::servers(&client, namespace).await?.unwrap_or_default();
        let runs = doctor.runs_namespace.as_deref().or(servers.flag("namespace")).unwrap_or(gateway::NAMESPACE);
        let looked = check::all(&client, namespace, runs).await;
        let findings = looked.context("the cluster does not answer; see kubectl get nodes")?;
        let faults = print(&findings);
        println!("{}", if faults == 0 { "no fault".to_owned() } else { format!("{faults} faults") });
        Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Prints a line for each finding, and says how many are faults.
pub fn print(findings: &[Finding]) -> usize {
    for finding in findings {
        match &finding.fault {
            None => println!("ok     {}", finding.what),
            Some((why, hint)) => println!("FAULT  {}: {why}\n       {hint}", finding.what),
        }
    }
    findings.iter().filter(|finding| finding.fault.is_some()).count()
}
