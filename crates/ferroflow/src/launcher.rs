//! The launcher that is a part of this binary: as a file for nodes of ours, and as an image for others.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process,
};

use anyhow::Context;
use ferroflow_images::core::{
    digest::Digest,
    layer::{Content, Entry, Layer},
};

use crate::own_image;

/// The launcher's program, linked statically.
const PROGRAM: &[u8] = include_bytes!(env!("FERROFLOW_LAUNCHER"));
/// Its name.
pub const NAME: &str = "ferroflow-launcher";

/// Writes the launcher to the data directory, unless it is there, and returns the directory that it lies in, which holds
/// nothing else. The directory's name follows from the program, so that steps of an older server go on with their own.
///
/// # Errors
/// When it cannot be written.
pub fn place(data: &Path) -> anyhow::Result<PathBuf> {
    let directory = data.join("launcher").join(&Digest::of(PROGRAM).hex()[..32]);
    let program = directory.join(NAME);
    if fs::metadata(&program).is_ok_and(|found| found.len() == PROGRAM.len() as u64) {
        return Ok(directory);
    }
    let write = || {
        fs::create_dir_all(&directory)?;
        let partial = directory.join(format!(".{NAME}.{}", process::id()));
        let mut file = fs::File::create(&partial)?;
        file.write_all(PROGRAM)?;
        file.set_permissions(fs::Permissions::from_mode(0o755))?;
        file.sync_all()?;
        drop(file);
        fs::rename(partial, &program)
    };
    write().with_context(|| format!("the launcher cannot be written to {}", program.display()))?;
    Ok(directory)
}

/// The name of the image of this version's launcher.
pub fn image() -> String {
    format!("{NAME}:{}", env!("CARGO_PKG_VERSION"))
}

/// Writes an OCI archive with the image `name`, which holds the launcher alone. It is the same each time.
///
/// # Errors
/// When it cannot be written.
pub fn write_image(name: &str, archive: &Path) -> anyhow::Result<()> {
    let mut layer = Layer::default();
    layer.add(NAME, Entry::file(Content::Bytes(PROGRAM.to_vec()), 0o755))?;
    own_image::write(name, &layer, &format!("/{NAME}"), archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether an ELF file of 64 bits has a program header of type `PT_INTERP`.
    fn asks_for_a_loader(program: &[u8]) -> bool {
        const PT_INTERP: u32 = 3;
        let number = |at: usize, size: usize| {
            program[at..at + size].iter().rev().fold(0_usize, |number, byte| (number << 8) | usize::from(*byte))
        };
        let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
        (0..count).any(|header| number(table + header * size, 4) == PT_INTERP as usize)
    }

    #[test]
    fn the_launcher_is_placed_once_and_runs_by_itself() {
        let data = tempfile::tempdir().unwrap();
        let directory = place(data.path()).unwrap();
        let program = directory.join(NAME);
        let first = fs::metadata(&program).unwrap().modified().unwrap();
        assert_eq!(place(data.path()).unwrap(), directory);
        assert_eq!(fs::metadata(&program).unwrap().modified().unwrap(), first);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        // Nothing of it needs a loader or library of the image that it runs in.
        let output = process::Command::new(&program).arg("--version").env_clear().output().unwrap();
        assert!(String::from_utf8(output.stdout).unwrap().starts_with("ferroflow-launcher 0."));
        assert!(!asks_for_a_loader(PROGRAM));
        let installed = data.path().join("bin");
        let status = process::Command::new(&program).arg("install").arg(&installed).status().unwrap();
        assert!(status.success());
        assert_eq!(fs::read(installed.join(NAME)).unwrap(), PROGRAM);
    }

    #[test]
    fn the_image_is_the_same_each_time() {
        let data = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| {
            let path = data.path().join(name);
            write_image("ferroflow-launcher:test", &path).unwrap();
            fs::read(path).unwrap()
        });
        assert_eq!(one, two);
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 2);
    }
}
