//! The program as it is called by another name.

use std::ffi::OsStr;

/// Whether this name, the last part of `argv[0]`, is one that the program answers to by another role than that of a
/// step's launcher.
pub fn is_front(name: &OsStr) -> bool {
    let _ = name;
    false
}

/// Plays that role, for [`is_front`] names. Returns the exit code.
pub fn run() -> i32 {
    0
}
