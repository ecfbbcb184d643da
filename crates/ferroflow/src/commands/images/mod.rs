//! `ferroflow images`: one file a command. They work on the data directory, whether a server runs or not.

mod list;
mod load;
mod progress;
mod pull;
mod remove;

use std::{path::Path, process::ExitCode};

use anyhow::Context;
use ferroflow_images::{
    core::document::DocumentError,
    load::LoadError,
    pull::PullError,
    registry::RegistryError,
    store::{Store, StoreError, UnpackError},
};
use ferroflow_platform::clock::{Clock, SystemClock};

use crate::{image_args::Images, launcher, own_image, paths};

/// Runs the command that was given.
pub fn run(data: &Path, images: Images) -> anyhow::Result<ExitCode> {
    match images {
        Images::List(list) => list::run(data, &list),
        Images::Pull(pull) => pull::run(data, &pull),
        Images::Load(load) => load::run(data, &load),
        Images::Remove(remove) => remove::run(data, &remove),
        Images::Prune(prune) => remove::prune(data, &prune),
        Images::Launcher(image) => {
            let name = image.name.map_or_else(launcher::image, |name| name.to_string());
            launcher::write_image(&name, &image.archive)?;
            println!("{name}");
            Ok(ExitCode::SUCCESS)
        }
        Images::Server(image) => {
            let name = image.name.map_or_else(own_image::image, |name| name.to_string());
            own_image::write_image(&name, &image.archive)?;
            println!("{name}");
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What to do about an image that could not be had.
pub fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        if let Some(PullError::Registry { image, source, .. }) = cause.downcast_ref() {
            return registry_hint(source, &image.registry);
        }
        if let Some(LoadError::NoName) = cause.downcast_ref() {
            return Some("give it one with --name".to_owned());
        }
        if let Some(DocumentError::Platform { .. }) = cause.downcast_ref() {
            return Some("choose one with --platform".to_owned());
        }
        match cause.downcast_ref()? {
            StoreError::Unpack { source: UnpackError::Write { .. }, .. } => {
                Some("look at the disk of the data directory: `ferroflow images prune` makes room".to_owned())
            }
            StoreError::Unpack { .. } => Some("nothing of the layer was kept; ask who made the image".to_owned()),
            _ => None,
        }
    })
}

fn registry_hint(error: &RegistryError, registry: &str) -> Option<String> {
    match error {
        RegistryError::Denied { .. } => Some(format!(
            "log in with `docker login {registry}`, or give --username and --password-stdin; a repository that is not \
             there looks the same"
        )),
        RegistryError::Missing { .. } => Some("check the name and the tag".to_owned()),
        RegistryError::Connect { .. } => Some(format!(
            "check the name; if {registry} speaks no TLS, give --plain-http, or write plain_http = true for it into \
             the images file"
        )),
        error if error.is_passing() => Some("try again; what was downloaded is kept".to_owned()),
        _ => None,
    }
}

fn store(data: &Path) -> anyhow::Result<Store> {
    Store::open(&paths::images(data)).context("the images of the data directory")
}

/// Seconds since 1970.
fn now_s() -> u64 {
    u64::try_from(SystemClock.now().as_second()).unwrap_or_default()
}

/// Bytes as people read them.
pub fn shown(size_bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, bits)| size_bytes >> bits > 0) {
        Some((unit, bits)) => {
            let tenths = (u128::from(size_bytes) * 10) >> bits;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{size_bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 30, "3.0 GiB")] {
            assert_eq!(shown(bytes), text);
        }
    }
}
