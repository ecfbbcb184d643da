//! `ferroflow images remove` and `prune`

use std::{collections::BTreeSet, path::Path, process::ExitCode};

use anyhow::Context;
use ferroflow_images::{
    core::collect::{self, Goal, Plan},
    store::{Store, Work},
};

use super::{shown, store};
use crate::{
    image_args::{PruneImages, RemoveImages},
    paths,
    problem::{NO_IMAGE, Problem},
};

/// Removes images by name; all of them or, when one is not there, none.
pub fn run(data: &Path, remove: &RemoveImages) -> anyhow::Result<ExitCode> {
    let store = store(data)?;
    let _guard = store.lock(Work::Remove)?;
    let stored = store.stored()?;
    let names: BTreeSet<String> = remove.images.iter().map(ToString::to_string).collect();
    for name in &names {
        if !stored.names.iter().any(|record| record.name == *name) {
            let hint = "see `ferroflow images list`; nothing was removed";
            return Err(Problem::new(format!("there is no image {name}"), hint).code(NO_IMAGE).into());
        }
        if let Some(holder) = stored.holders(name).first() {
            let hint = "delete the pod first, with the cluster up; nothing was removed";
            return Err(Problem::new(format!("image {name} is in use by {holder}"), hint).into());
        }
    }
    carry_out(&store, &collect::plan_removal(&stored, &names))
}

/// Removes what is not needed, and images as far as that is asked for; never those that pods run from.
pub fn prune(data: &Path, prune: &PruneImages) -> anyhow::Result<ExitCode> {
    let store = store(data)?;
    let _guard = store.lock(Work::Remove)?;
    let stored = store.stored()?;
    let goal = match (prune.all, prune.to_size, prune.to_disk_use) {
        (true, ..) => Goal::Unused,
        (_, Some(size_bytes), _) => Goal::AtMost { size_bytes },
        (_, _, Some(percent)) => Goal::AtMost { size_bytes: allowed(data, stored.layers.values().sum(), percent)? },
        _ => Goal::Unnamed,
    };
    carry_out(&store, &collect::plan(&stored, goal, u64::MAX))
}

/// How many bytes layers may take, so that the disk is no fuller than asked.
fn allowed(data: &Path, layers_bytes: u64, percent: u8) -> anyhow::Result<u64> {
    let disk = rustix::fs::statvfs(paths::images(data)).context("the disk of the data directory")?;
    // What only root may use counts as taken, as for those who write here.
    let total_bytes = disk.f_blocks.saturating_mul(disk.f_frsize);
    let used_bytes = total_bytes.saturating_sub(disk.f_bavail.saturating_mul(disk.f_frsize));
    Ok(collect::allowance(total_bytes, used_bytes, layers_bytes, percent))
}

fn carry_out(store: &Store, plan: &Plan) -> anyhow::Result<ExitCode> {
    store.remove(plan)?;
    for name in &plan.names {
        println!("{name}");
    }
    let (images, layers) = (plan.names.len(), plan.layers.len());
    eprintln!("removed {images} images and {layers} layers, {}", shown(plan.freed_bytes));
    Ok(ExitCode::SUCCESS)
}
