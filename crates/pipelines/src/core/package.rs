//! The file that a pipeline is uploaded as: YAML or JSON as it is, or the one pipeline in a zip or tar.gz archive.

use std::io::{Cursor, Read};

use flate2::read::GzDecoder;

use super::fault::Fault;

/// Bytes of a file, packed or not, as upstream.
pub const LIMIT_BYTES: usize = 32 << 20;
/// Entries of an archive that are looked at for `pipeline.yaml`; upstream's own archives have one.
const ENTRIES: usize = 1000;

/// The name that is looked for in archives; else their first file is taken.
const PIPELINE: &str = "pipeline.yaml";

/// The text of the pipeline in a file of a name.
///
/// # Errors
/// [`Fault`] that says what the file is not.
pub fn text(name: &str, bytes: &[u8]) -> Result<String, Fault> {
    let unpacked = match bytes {
        _ if is_text(name) => bytes.to_vec(),
        [b'P', b'K', _, ..] => from_zip(bytes)?,
        [0x1f, 0x8b, _, ..] => from_tar(bytes)?,
        _ => {
            let what =
                format!("{name:?} is no pipeline; upload .yaml, .yml or .json, or one of these in .zip or .tar.gz");
            return Err(Fault::new("uploadfile", what));
        }
    };
    if unpacked.len() > LIMIT_BYTES {
        return Err(too_long());
    }
    String::from_utf8(unpacked).map_err(|_| Fault::new("uploadfile", format!("{name:?} is no UTF-8 text")))
}

fn is_text(name: &str) -> bool {
    is_yaml(name) || name.ends_with(".json")
}

fn is_yaml(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml")
}

fn too_long() -> Fault {
    let hint = "keep large things in the image or in an artifact, not in the pipeline";
    Fault::new("uploadfile", format!("longer than {} MiB; {hint}", LIMIT_BYTES >> 20))
}

fn archive(what: impl std::fmt::Display) -> Fault {
    Fault::new("uploadfile", format!("the archive cannot be read: {what}; pack it anew, with a {PIPELINE} in it"))
}

fn empty() -> Fault {
    Fault::new("uploadfile", format!("the archive is empty; put a {PIPELINE} into it"))
}

fn not_yaml(name: &str) -> Fault {
    Fault::new("uploadfile", format!("the archive has no {PIPELINE}, and its first file {name:?} is no .yaml"))
}

fn bounded(reader: impl Read) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(LIMIT_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(limit).read_to_end(&mut bytes).map_err(archive)?;
    if bytes.len() > LIMIT_BYTES { Err(too_long()) } else { Ok(bytes) }
}

fn from_zip(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).map_err(archive)?;
    let names: Result<Vec<String>, _> =
        zip.file_names().take(ENTRIES).map(|name| name.map(std::borrow::Cow::into_owned)).collect();
    let names = names.map_err(archive)?;
    let number = names.iter().position(|name| name == PIPELINE).unwrap_or_default();
    let Some(name) = names.get(number) else { return Err(empty()) };
    if !is_yaml(name) {
        return Err(not_yaml(name));
    }
    bounded(zip.by_index(number).map_err(archive)?)
}

fn from_tar(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    // What is passed over is unpacked too, so that is bounded as well.
    let limit = u64::try_from(LIMIT_BYTES).unwrap_or(u64::MAX).saturating_mul(2);
    let mut tar = tar::Archive::new(GzDecoder::new(bytes).take(limit));
    let mut first = None;
    for entry in tar.entries().map_err(archive)?.take(ENTRIES) {
        let entry = entry.map_err(archive)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if name == PIPELINE {
            return bounded(entry);
        }
        if first.is_none() {
            first = Some(if is_yaml(&name) { Ok(bounded(entry)?) } else { Err(not_yaml(&name)) });
        }
    }
    first.unwrap_or_else(|| Err(empty()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn zip(files: &[(&str, &str)]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in files {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn tar(files: &[(&str, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(u64::try_from(text.len()).unwrap());
            header.set_mode(0o644);
            tar.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn a_pipeline_is_found_in_every_kind_of_file() {
        let (one, two) = ([("a.yaml", "a")], [("first.txt", "x"), ("pipeline.yaml", "b")]);
        let rows = [
            ("p.yaml", b"text".to_vec(), "text"),
            ("p.json", b"{}".to_vec(), "{}"),
            ("p.zip", zip(&one), "a"),
            ("p.zip", zip(&two), "b"),
            ("p.tar.gz", tar(&one), "a"),
            ("p.tgz", tar(&two), "b"),
        ];
        for (name, bytes, expect) in rows {
            assert_eq!(text(name, &bytes).as_deref(), Ok(expect), "{name}");
        }
    }

    #[test]
    fn what_is_no_pipeline_is_refused_by_name() {
        let rows = [
            ("p.png", vec![0x89, b'P', b'N', b'G'], "is no pipeline"),
            ("p.zip", zip(&[]), "the archive is empty"),
            ("p.zip", b"PK\x03\x04 nonsense".to_vec(), "the archive cannot be read"),
            ("p.zip", zip(&[("a.txt", "")]), "its first file \"a.txt\" is no .yaml"),
            ("p.tar.gz", tar(&[]), "the archive is empty"),
            ("p.tar.gz", tar(&[("a.txt", "")]), "its first file \"a.txt\" is no .yaml"),
            ("p.tar.gz", vec![0x1f, 0x8b, 8, 0, 1], "the archive cannot be read"),
            ("p.yaml", vec![0xff, 0xfe], "is no UTF-8"),
        ];
        for (name, bytes, expect) in rows {
            let fault = text(name, &bytes).unwrap_err().to_string();
            assert!(fault.contains(expect), "{name}: {fault}");
        }
    }

    #[test]
    fn an_archive_that_swells_is_refused() {
        let long = "x".repeat(LIMIT_BYTES + 1);
        for bytes in [zip(&[("pipeline.yaml", &long)]), tar(&[("pipeline.yaml", &long)])] {
            assert!(bytes.len() < 1 << 20);
            assert!(text("p.gz", &bytes).unwrap_err().to_string().contains("longer than 32 MiB"));
        }
    }
}
