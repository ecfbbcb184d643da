//! The programs that stand before `python3` and `pip` in containers of a requirement set: names of one small program, which
//! answers a `pip install` that has nothing to do, and hands everything else to the next program on the path.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// What it stands before.
const NAMES: [&str; 4] = ["python", "python3", "pip", "pip3"];

/// A directory below `directory` in which `program` has these names. Containers of an earlier server go on with theirs, so
/// each program has a directory of its own.
///
/// # Errors
/// When it cannot be made.
pub fn place(program: &Path, directory: &Path) -> io::Result<PathBuf> {
    let digest: String = Sha256::digest(fs::read(program)?).iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let place = directory.join(digest);
    if NAMES.iter().all(|name| place.join(name).is_file()) {
        return Ok(place);
    }
    fs::create_dir_all(&place)?;
    let own = place.join(".program");
    fs::copy(program, &own)?;
    fs::set_permissions(&own, fs::Permissions::from_mode(0o755))?;
    for name in NAMES {
        let partial = place.join(format!(".{name}"));
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::hard_link(&own, &partial)?,
        }
        fs::rename(&partial, place.join(name))?;
    }
    fs::remove_file(&own)?;
    Ok(place)
}

/// Removes the directories of other programs.
pub fn forget_others(directory: &Path, current: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path() != current {
            // What stays is a few hundred kilobytes, and goes with the next start.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_program_has_all_the_names() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("launcher");
        fs::write(&program, "one").unwrap();
        let first = place(&program, &dir.path().join("front")).unwrap();
        assert_eq!(place(&program, &dir.path().join("front")).unwrap(), first);
        fs::write(&program, "two").unwrap();
        let second = place(&program, &dir.path().join("front")).unwrap();
        assert_ne!(first, second);
        assert_eq!(fs::read_to_string(first.join("pip3")).unwrap(), "one");
        assert_eq!(fs::metadata(second.join("python3")).unwrap().permissions().mode() & 0o777, 0o755);
        forget_others(&dir.path().join("front"), &second);
        assert!(!first.exists() && second.exists());
    }
}
