//! One image out of an archive of many: as an archive of its own, and as the layout that other programs read.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use serde_json::Value;
use tempfile::TempDir;

/// Where an archive and a layout say what an image is called.
const NAME: &str = "io.containerd.image.name";
const REFERENCE: &str = "org.opencontainers.image.ref.name";
/// The image's name in the layout: other programs allow no slashes.
pub const TAG: &str = "bench";

/// An image by itself; dropping it removes its files.
pub struct Alone {
    pub archive: PathBuf,
    /// The same as a folder, with the tag [`TAG`].
    pub layout: PathBuf,
    _directory: TempDir,
}

impl Alone {
    /// Takes `image`, by its full name, out of an archive of OCI's form.
    ///
    /// # Errors
    /// When the archive does not have it.
    pub fn of(archive: &Path, image: &str) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("ferroflow-bench-").tempdir()?;
        let layout = directory.path().join("layout");
        fs::create_dir(&layout)?;
        tar(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(&layout))?;
        let mut index = read(&layout.join("index.json"))?;
        let listed = index["manifests"].as_array().into_iter().flatten();
        let named = listed.into_iter().find(|one| one["annotations"][NAME] == image).cloned();
        let mut descriptor = named.with_context(|| format!("{} has no image {image}", archive.display()))?;
        let mut files = vec!["oci-layout".to_owned(), "index.json".to_owned(), blob(&descriptor)?];
        let manifest = read(&layout.join(blob(&descriptor)?))?;
        files.push(blob(&manifest["config"])?);
        for layer in manifest["layers"].as_array().into_iter().flatten() {
            files.push(blob(layer)?);
        }
        for entry in fs::read_dir(layout.join("blobs/sha256"))? {
            let path = entry?.path();
            if !files.iter().any(|file| path.ends_with(file)) {
                fs::remove_file(path)?;
            }
        }
        index["manifests"] = vec![descriptor.clone()].into();
        fs::write(layout.join("index.json"), index.to_string())?;
        let alone = directory.path().join("image.tar");
        tar(Command::new("tar").arg("-cf").arg(&alone).arg("-C").arg(&layout).args(&files))?;
        descriptor["annotations"][REFERENCE] = TAG.into();
        index["manifests"] = vec![descriptor].into();
        fs::write(layout.join("index.json"), index.to_string())?;
        Ok(Self { archive: alone, layout, _directory: directory })
    }
}

fn tar(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().context("tar")?;
    ensure!(output.status.success(), "tar: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Value> {
    serde_json::from_slice(&fs::read(path).with_context(|| path.display().to_string())?)
        .with_context(|| path.display().to_string())
}

/// The file of what a descriptor describes.
fn blob(descriptor: &Value) -> anyhow::Result<String> {
    let digest = descriptor["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:"));
    digest.map(|digest| format!("blobs/sha256/{digest}")).context("a descriptor without a digest of sha256")
}
