//! Fetches the artifacts that a step reads.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::Path,
};

use crate::{
    control::{Control, Stop, Taken},
    order::{Named, Order},
    tar,
};

/// The content type of a directory.
pub const TAR: &str = "application/x-tar";

/// Makes the directories of an order, and those that its files lie in.
pub fn directories(order: &Order) -> io::Result<()> {
    let mut made = HashSet::new();
    let files = order.parameters.iter().chain(&order.artifacts).chain(&order.inputs).map(|named| &named.path);
    let parents = files.filter_map(|file| Path::new(file).parent());
    for directory in order.directories.iter().map(Path::new).chain(parents) {
        if made.insert(directory) && !directory.as_os_str().is_empty() {
            fs::create_dir_all(directory).map_err(|error| {
                io::Error::new(error.kind(), format!("the directory {} cannot be made: {error}", directory.display()))
            })?;
        }
    }
    Ok(())
}

/// Fetches all inputs. Returns what the control plane said of those of which nothing is stored: a metric, or an artifact
/// whose producer wrote no file, is none the less an artifact.
pub fn fetch(control: &mut Control, inputs: &[Named]) -> Result<Vec<String>, Stop> {
    let mut missing = Vec::new();
    let mut fetched = HashSet::new();
    for input in inputs {
        if !fetched.insert(&input.path) {
            continue;
        }
        let path = Path::new(&input.path);
        match control.get(&format!("artifacts/{}", encoded(&input.name)), |kind, body| {
            if kind == TAR {
                return tar::unpack(body, path);
            }
            let mut file = File::create(path)
                .map_err(|error| Taken::Own(io::Error::new(error.kind(), format!("{}: {error}", path.display()))))?;
            tar::receive(body, &mut file, path, None)
        }) {
            Ok(()) => {}
            Err(Stop::Refused(404, said)) => missing.push(said),
            Err(stop) => return Err(stop),
        }
    }
    Ok(missing)
}

/// Text as a segment of a path.
pub fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_segments_of_paths() {
        assert_eq!(encoded("a-b_c.d~1"), "a-b_c.d~1");
        assert_eq!(encoded("../a b/é?"), "..%2Fa%20b%2F%C3%A9%3F");
    }
}
