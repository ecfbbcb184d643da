//! Ferroflow in a cluster: what is installed there, how it is applied and removed, and whether it is well.

pub mod apply;
pub mod check;
pub mod found;
pub mod objects;
pub mod plan;

#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::Context;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::install_args::ClusterPlace;

/// The cluster that the command line means.
///
/// # Errors
/// When there is no kubeconfig, or it cannot be used.
pub async fn client(place: &ClusterPlace) -> anyhow::Result<Client> {
    Client::try_from(config(place).await?).context("there is no way to the cluster")
}

/// The same, for who wants the first answer, whatever it is: one of 503 is what was asked for.
///
/// # Errors
/// As [`client`].
pub async fn asking(place: &ClusterPlace) -> anyhow::Result<Client> {
    let mut config = config(place).await?;
    config.default_retry = false;
    Client::try_from(config).context("there is no way to the cluster")
}

async fn config(place: &ClusterPlace) -> anyhow::Result<Config> {
    let options = KubeConfigOptions { context: place.context.clone(), ..KubeConfigOptions::default() };
    Ok(match &place.kubeconfig {
        Some(path) => of_file(path, &options).await?,
        None if options.context.is_some() => {
            let config = Config::from_kubeconfig(&options).await;
            config.with_context(|| {
                format!("context {:?} cannot be used", options.context.as_deref().unwrap_or_default())
            })?
        }
        None => Config::infer().await.context("there is no kubeconfig; give one with --kubeconfig")?,
    })
}

/// What a kubeconfig leads to.
///
/// # Errors
/// When it cannot be read or used.
pub async fn of_file(path: &Path, options: &KubeConfigOptions) -> anyhow::Result<Config> {
    let file = Kubeconfig::read_from(path);
    let file = file.with_context(|| format!("kubeconfig \"{}\" cannot be read", path.display()))?;
    let config = Config::from_custom_kubeconfig(file, options).await;
    config.with_context(|| format!("kubeconfig \"{}\" cannot be used", path.display()))
}
