//! `copy FROM TO`: a directory of an image to one that other containers of the pod see, as an init container of that image
//! does. So models come from images that need hold nothing else, not even a shell.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path, process::ExitCode};

/// Directories within directories.
const DEPTH: usize = 64;

/// Copies `from` to `to`, and says what went wrong.
pub fn main(from: &Path, to: &Path) -> ExitCode {
    match checked(from).and_then(|()| copy(from, to, 0)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ferroflow-launcher: {} cannot be copied to {}: {error}", from.display(), to.display());
            ExitCode::FAILURE
        }
    }
}

/// As upstream: what is no directory, or has nothing in it, is no model.
fn checked(from: &Path) -> io::Result<()> {
    match fs::read_dir(from).map(|mut entries| entries.next()) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(io::Error::other("the image has nothing in it")),
        Err(error) => Err(io::Error::new(error.kind(), format!("the image has no such directory ({error})"))),
    }
}

/// Links stay links. Everybody may read what comes out, since the step's user is not that of the image.
fn copy(from: &Path, to: &Path, depth: usize) -> io::Result<()> {
    let told = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", from.display()));
    let metadata = fs::symlink_metadata(from).map_err(told)?;
    let readable = |more: u32| fs::Permissions::from_mode(metadata.permissions().mode() & 0o777 | more);
    if metadata.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from).map_err(told)?, to).map_err(told);
    }
    if metadata.is_file() {
        fs::copy(from, to).map_err(told)?;
        return fs::set_permissions(to, readable(0o444)).map_err(told);
    }
    if !metadata.is_dir() {
        return Err(io::Error::other(format!("{} is neither file nor directory nor link", from.display())));
    }
    if depth == DEPTH {
        return Err(io::Error::other(format!("{} is more than {DEPTH} directories deep", from.display())));
    }
    fs::create_dir_all(to).map_err(told)?;
    for entry in fs::read_dir(from).map_err(told)? {
        let name = entry.map_err(told)?.file_name();
        copy(&from.join(&name), &to.join(&name), depth + 1)?;
    }
    fs::set_permissions(to, readable(0o555)).map_err(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_comes_out_as_it_was_and_can_be_read() {
        let work = std::env::temp_dir().join(format!("ferroflow-copy-{}", std::process::id()));
        let (from, to) = (work.join("models"), work.join("out/models"));
        fs::create_dir_all(from.join("deep")).unwrap();
        fs::write(from.join("deep/weights"), b"1234").unwrap();
        fs::set_permissions(from.join("deep/weights"), fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink("deep/weights", from.join("latest")).unwrap();
        checked(&from).unwrap();
        copy(&from, &to, 0).unwrap();
        assert_eq!(fs::read(to.join("latest")).unwrap(), b"1234");
        assert_eq!(fs::symlink_metadata(to.join("deep/weights")).unwrap().permissions().mode() & 0o777, 0o644);
        fs::create_dir_all(work.join("empty")).unwrap();
        for none in ["empty", "missing"] {
            assert!(checked(&work.join(none)).is_err(), "{none}");
        }
        fs::remove_dir_all(work).unwrap();
    }
}
