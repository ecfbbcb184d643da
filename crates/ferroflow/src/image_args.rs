//! What can be said of images on the command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use ferroflow_images::core::{platform::Platform, reference::Reference};

use crate::args::Output;

#[derive(Subcommand, Debug)]
pub enum Images {
    /// List the images that are there.
    List(ListImages),
    /// Pull images from their registries.
    Pull(PullImages),
    /// Load images from an archive, as `docker save`, skopeo and podman write it.
    Load(LoadImages),
    /// Remove images, and the layers that no other image needs.
    Remove(RemoveImages),
    /// Remove what is not needed: what no image needs any more, and images as asked.
    Prune(PruneImages),
    /// Write the image of the launcher, which runs in the pods of pipelines' steps, as an archive: for a cluster that is
    /// not Ferroflow's own.
    Launcher(LauncherImage),
    /// Write the image of this program, which `ferroflow install` runs in a cluster, as an archive.
    Server(ServerImage),
}

#[derive(ClapArgs, Debug)]
pub struct ServerImage {
    /// The archive, in the form that skopeo, podman and containerd load.
    #[arg(value_name = "FILE")]
    pub archive: PathBuf,

    /// The image's name; ferroflow and this program's version if none is given.
    #[arg(long, value_name = "IMAGE")]
    pub name: Option<Reference>,
}

#[derive(ClapArgs, Debug)]
pub struct LauncherImage {
    /// The archive, in the form that skopeo, podman and containerd load.
    #[arg(value_name = "FILE")]
    pub archive: PathBuf,

    /// The image's name; ferroflow-launcher and this program's version if none is given.
    #[arg(long, value_name = "IMAGE")]
    pub name: Option<Reference>,
}

#[derive(ClapArgs, Debug)]
pub struct ListImages {
    /// How the list is printed.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(ClapArgs, Debug)]
pub struct PullImages {
    /// The images, as busybox:1.36 or registry.example.com/team/train@sha256:…
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<Reference>,

    /// The platform, where an image is there for several; this machine's if none is given.
    #[arg(long, value_name = "OS/ARCHITECTURE")]
    pub platform: Option<Platform>,

    /// Speak to the images' registries without TLS.
    #[arg(long)]
    pub plain_http: bool,

    /// The user to log in as. Without it, the logins of Docker's configuration are used.
    #[arg(long, value_name = "USER", requires = "password_stdin")]
    pub username: Option<String>,

    /// Read the password from standard input.
    #[arg(long, requires = "username")]
    pub password_stdin: bool,

    /// The images file, whose [[registry]] sections name mirrors and registries without TLS.
    #[arg(long = "images", value_name = "FILE")]
    pub file: Option<PathBuf>,
}

#[derive(ClapArgs, Debug)]
pub struct LoadImages {
    /// The archive; - is standard input.
    #[arg(value_name = "FILE")]
    pub archive: PathBuf,

    /// The name of an image that has none in the archive.
    #[arg(long, value_name = "IMAGE")]
    pub name: Option<Reference>,

    /// The platform, where an image is there for several; this machine's if none is given.
    #[arg(long, value_name = "OS/ARCHITECTURE")]
    pub platform: Option<Platform>,
}

#[derive(ClapArgs, Debug)]
pub struct RemoveImages {
    /// The images.
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<Reference>,
}

#[derive(ClapArgs, Debug)]
pub struct PruneImages {
    /// Remove all images.
    #[arg(long, conflicts_with_all = ["to_size", "to_disk_use"])]
    pub all: bool,

    /// Remove images, those used longest ago first, until layers take no more than this, as 20Gi.
    #[arg(long, value_name = "SIZE", value_parser = size, conflicts_with = "to_disk_use")]
    pub to_size: Option<u64>,

    /// Remove images, those used longest ago first, until the disk is no fuller than this.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub to_disk_use: Option<u8>,
}

/// A number of bytes, with the units that Kubernetes has.
fn size(text: &str) -> Result<u64, String> {
    let fault = || format!("{text:?} is not a size; write one as 500Mi, 20Gi or 10G");
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return Err(fault()),
    };
    let number: u64 = digits.parse().map_err(|_| fault())?;
    number.checked_mul(unit).ok_or_else(fault)
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_the_units_of_kubernetes() {
        for (text, bytes) in [("0", 0), ("5k", 5000), ("20Gi", 20 << 30), ("1T", 1_000_000_000_000)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "Gi", "-1", "1.5G", "1 G", "1GiB", "99999999999Ti"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
