//! Directories as tar streams: what is written for a file, and how what comes is unpacked.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use crate::{client::PIECE, control::Taken};

/// Bytes of a block.
const BLOCK: usize = 512;
/// Bytes of the entry that holds a longer name: as the control plane.
const LONGEST_EXTENSION: u64 = 64 * 1024;

/// Bytes that fill the last block of a file.
fn padding(size: u64) -> usize {
    let over = (size % BLOCK as u64) as usize;
    if over == 0 { 0 } else { BLOCK - over }
}

/// Writes one file, which is `size` bytes of `content`.
pub fn write(out: &mut dyn Write, name: &Path, size: u64, content: &mut dyn Read) -> io::Result<()> {
    let name = name.as_os_str().as_bytes();
    if name.len() > 100 || size >= 1 << 33 {
        let mut records = record("path", name);
        records.extend(record("size", size.to_string().as_bytes()));
        out.write_all(&header(b"pax", b'x', records.len() as u64))?;
        out.write_all(&records)?;
        out.write_all(&vec![0; padding(records.len() as u64)])?;
    }
    out.write_all(&header(&name[..name.len().min(100)], b'0', size))?;
    let copied = copy(&mut content.take(size), out)?;
    if copied < size {
        let name = String::from_utf8_lossy(name);
        return Err(io::Error::other(format!("the file \"{name}\" became shorter while it was read")));
    }
    out.write_all(&vec![0; padding(size)])
}

/// Writes the end of a stream.
pub fn finish(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&[0; 2 * BLOCK])
}

fn copy(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<u64> {
    let mut piece = vec![0; PIECE];
    let mut copied = 0;
    loop {
        let count = from.read(&mut piece)?;
        if count == 0 {
            return Ok(copied);
        }
        to.write_all(&piece[..count])?;
        copied += count as u64;
    }
}

fn header(name: &[u8], kind: u8, size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..name.len()].copy_from_slice(name);
    block[100..108].copy_from_slice(b"0000644\0");
    block[108..116].copy_from_slice(b"0000000\0");
    block[116..124].copy_from_slice(b"0000000\0");
    // A size that needs more than eleven octal digits stands in the record before it, which takes precedence.
    let octal = format!("{:011o}\0", if size < 1 << 33 { size } else { 0 });
    block[124..136].copy_from_slice(octal.as_bytes());
    block[136..148].copy_from_slice(b"00000000000\0");
    block[148..156].copy_from_slice(b"        ");
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum = format!("{:06o}\0 ", sum(&block));
    block[148..156].copy_from_slice(sum.as_bytes());
    block
}

fn sum(block: &[u8; BLOCK]) -> u32 {
    let value = |(at, byte): (usize, &u8)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) };
    block.iter().enumerate().map(value).sum()
}

/// `LENGTH key=value\n`, where the length counts itself.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut bytes = format!("{length} {key}=").into_bytes();
    bytes.extend(value);
    bytes.push(b'\n');
    bytes
}

/// Name and size of the file that follows, where its own header has no place for them.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Extension {
    fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut found = Self::default();
        while !bytes.is_empty() {
            let space = bytes.iter().position(|byte| *byte == b' ')?;
            let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
            let line = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
            let equals = line.iter().position(|byte| *byte == b'=')?;
            let value = &line[equals + 1..];
            match &line[..equals] {
                b"path" => found.path = Some(value.to_vec()),
                b"size" => found.size = Some(std::str::from_utf8(value).ok()?.parse().ok()?),
                _ => {}
            }
            bytes = &bytes[length..];
        }
        Some(found)
    }
}

/// Unpacks the files of a stream below `directory`.
pub fn unpack(from: &mut dyn Read, directory: &Path) -> Result<(), Taken> {
    fs::create_dir_all(directory).map_err(Taken::Own)?;
    let mut extension = Extension::default();
    let mut block = [0; BLOCK];
    loop {
        from.read_exact(&mut block).map_err(Taken::Connection)?;
        if block.iter().all(|byte| *byte == 0) {
            io::copy(from, &mut io::sink()).map_err(Taken::Connection)?;
            return Ok(());
        }
        let size = entry_size(&block).ok_or_else(|| broken("a header"))?;
        match block[156] {
            b'x' if size <= LONGEST_EXTENSION => {
                let mut records = vec![0; size as usize + padding(size)];
                from.read_exact(&mut records).map_err(Taken::Connection)?;
                extension = Extension::read(&records[..size as usize]).ok_or_else(|| broken("a longer name"))?;
            }
            b'0' => {
                let size = extension.size.unwrap_or(size);
                let end = block[..100].iter().position(|byte| *byte == 0).unwrap_or(100);
                let name = extension.path.take().unwrap_or_else(|| block[..end].to_vec());
                extension = Extension::default();
                file(from, &place(directory, &name)?, size)?;
                let mut rest = [0; BLOCK];
                from.read_exact(&mut rest[..padding(size)]).map_err(Taken::Connection)?;
            }
            _ => return Err(broken("something that is no file")),
        }
    }
}

fn broken(what: &str) -> Taken {
    Taken::Own(io::Error::other(format!("the stream of the directory has {what} that cannot be used")))
}

fn entry_size(block: &[u8; BLOCK]) -> Option<u64> {
    let octal = |field: &[u8]| {
        let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
        u64::from_str_radix(text, 8).ok()
    };
    if octal(&block[148..156])? != u64::from(sum(block)) {
        return None;
    }
    if block[124] & 0x80 == 0 {
        return octal(&block[124..136]);
    }
    // What is too large for octal digits may be binary.
    let bytes: [u8; 8] = block[128..136].try_into().ok()?;
    Some(u64::from_be_bytes(bytes))
}

fn place(directory: &Path, name: &[u8]) -> Result<PathBuf, Taken> {
    let name = Path::new(std::ffi::OsStr::from_bytes(name));
    let inside = name.components().all(|part| matches!(part, Component::Normal(_)));
    if name.as_os_str().is_empty() || !inside { Err(broken("a name")) } else { Ok(directory.join(name)) }
}

fn file(from: &mut dyn Read, path: &Path, size: u64) -> Result<(), Taken> {
    let create = || {
        path.parent().map(fs::create_dir_all).transpose()?;
        File::create(path)
    };
    let mut file = create().map_err(|error| named(path, &error))?;
    receive(&mut from.take(size), &mut file, path, Some(size))
}

fn named(path: &Path, error: &io::Error) -> Taken {
    Taken::Own(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Writes what comes to `file`, which is at `path`.
pub fn receive(from: &mut dyn Read, file: &mut File, path: &Path, size: Option<u64>) -> Result<(), Taken> {
    let mut piece = vec![0; PIECE.min(size.map_or(PIECE, |size| size as usize + 1))];
    let mut received = 0;
    loop {
        let count = from.read(&mut piece).map_err(Taken::Connection)?;
        if count == 0 {
            break;
        }
        file.write_all(&piece[..count]).map_err(|error| named(path, &error))?;
        received += count as u64;
    }
    match size {
        Some(size) if received < size => Err(Taken::Connection(io::ErrorKind::UnexpectedEof.into())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ferroflow-launcher-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn files_are_unpacked_as_they_were_packed() {
        let files = [("a", 0), ("sub/b", 511), ("sub/c", 512), ("d", 300_000)];
        let long = format!("{}/{}", "x".repeat(120), "é".repeat(60));
        let mut bytes = Vec::new();
        for (name, size) in files.into_iter().chain([(long.as_str(), 7)]) {
            write(&mut bytes, Path::new(name), size, &mut io::repeat(7)).unwrap();
        }
        finish(&mut bytes).unwrap();
        let directory = temporary("tar");
        unpack(&mut bytes.as_slice(), &directory).ok().unwrap();
        for (name, size) in files.into_iter().chain([(long.as_str(), 7)]) {
            assert_eq!(fs::read(directory.join(name)).unwrap(), vec![7; size as usize], "{name}");
        }
        assert!(matches!(unpack(&mut &bytes[..2000], &directory), Err(Taken::Connection(_))));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn nothing_is_unpacked_beside_the_directory() {
        let directory = temporary("tar-out");
        for name in ["../up", "/etc/ferroflow-test", "a/../../b", ""] {
            let mut bytes = Vec::new();
            write(&mut bytes, Path::new(name), 1, &mut io::repeat(7)).unwrap();
            assert!(matches!(unpack(&mut bytes.as_slice(), &directory), Err(Taken::Own(_))), "{name}");
        }
        let link = header(b"l", b'2', 0);
        assert!(unpack(&mut link.as_slice(), &directory).is_err());
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_file_that_shrinks_ends_the_stream() {
        assert!(write(&mut Vec::new(), Path::new("a"), 10, &mut &b"short"[..]).is_err());
    }
}
