//! `ferroflow images pull`

use std::{
    io::{self, Read},
    path::Path,
    process::ExitCode,
};

use anyhow::Context;
use ferroflow_images::{
    core::{credentials::Credentials, limits::Limits, platform::Platform, registries::Registries},
    pull::Puller,
    registry::{Http, Keyring},
};

use super::{now_s, progress::progress, store};
use crate::{image_args::PullImages, images_file::ImagesFile, paths};

/// Bytes of a password; tokens of clouds have some thousands.
const MOST_PASSWORD: u64 = 64 << 10;

/// Pulls one image after the other and prints the digest of each.
pub fn run(data: &Path, pull: &PullImages) -> anyhow::Result<ExitCode> {
    let puller = Puller {
        store: store(data)?,
        http: Http::new()?,
        registries: registries(pull)?,
        keyring: keyring(pull)?,
        platform: pull.platform.clone().unwrap_or_else(|| Platform::linux(std::env::consts::ARCH)),
        limits: Limits::default(),
        progress: progress(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no threads can be made")?;
    for image in &pull.images {
        let record = runtime.block_on(puller.pull(image, now_s()))?;
        println!("{}@{}", record.name.split('@').next().unwrap_or_default(), record.target);
    }
    Ok(ExitCode::SUCCESS)
}

fn registries(pull: &PullImages) -> anyhow::Result<Registries> {
    let mut registries = match &pull.file {
        Some(file) => ImagesFile::read(file)?.registries()?,
        None => Registries::default(),
    };
    for image in pull.images.iter().filter(|_| pull.plain_http) {
        registries = registries.with_plain_http(&image.registry);
    }
    Ok(registries)
}

fn keyring(pull: &PullImages) -> anyhow::Result<Keyring> {
    let (docker_config, home) = (paths::variable("DOCKER_CONFIG"), paths::variable("HOME"));
    let keyring = Keyring::of_user(docker_config.as_deref(), home.as_deref())?;
    let (Some(user), Some(image)) = (&pull.username, pull.images.first()) else { return Ok(keyring) };
    let mut password = String::new();
    let read = io::stdin().take(MOST_PASSWORD).read_to_string(&mut password);
    read.context("the password cannot be read from standard input")?;
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    let given = Credentials::Password { user: user.clone(), password };
    // They are for the registry of the first image; another one is not told them.
    Ok(keyring.with_given(&image.registry, given))
}
