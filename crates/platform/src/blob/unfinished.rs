//! What writes have left that a kill has ended: files beside the objects that they were to become.

use std::{fs, io, path::Path, time::SystemTime};

/// The letter before the number of such a file, which no object has in its name.
const MARK: char = '#';

/// Removes them below `root`, but for those that somebody has written to since `before`. Returns how many there were.
pub fn remove(root: &Path, before: SystemTime) -> io::Result<usize> {
    let (mut open, mut count) = (vec![root.to_owned()], 0);
    while let Some(directory) = open.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            // Its last object was removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                open.push(entry.path());
            } else if is_unfinished(&entry.file_name().to_string_lossy()) && metadata.modified()? < before {
                fs::remove_file(entry.path())?;
                count += 1;
            }
        }
    }
    Ok(count)
}

fn is_unfinished(name: &str) -> bool {
    let number = name.rsplit_once(MARK).map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}
