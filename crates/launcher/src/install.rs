//! `install DIR`: the program as a file of a directory that others see.

use std::{env, fs, io, os::unix::fs::PermissionsExt, path::Path, process::ExitCode};

/// The file's name.
const NAME: &str = "ferroflow-launcher";

/// Copies this program to `directory`, and says what went wrong.
pub fn main(directory: &Path) -> ExitCode {
    match install(directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ferroflow-launcher: cannot be copied to {}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}

/// The file appears whole or not at all.
fn install(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let partial = directory.join(format!(".{NAME}.partial"));
    fs::copy(env::current_exe()?, &partial)?;
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o755))?;
    fs::rename(partial, directory.join(NAME))
}
