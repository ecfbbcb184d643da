//! This binary as an image: with the libraries that it is linked to, as this process has them, and with the authorities that
//! this machine trusts.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use ferroflow_images::{
    core::{
        layer::{Content, Entry, Layer},
        manifest::Start,
    },
    store::{Image, write_archive, write_layer},
};

/// The user of images of ours: no root, and the same number as that of other images that have no list of users.
const USER: &str = "65532:65532";
/// The name of the binary in its image.
const NAME: &str = "ferroflow";
/// Where distributions keep the authorities of TLS; the first is where most look.
const AUTHORITIES: [&str; 3] =
    ["etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/cert.pem"];

/// The name of the image of this version.
pub fn image() -> String {
    format!("{NAME}:{}", env!("CARGO_PKG_VERSION"))
}

/// Writes an OCI archive with the image `name`, which runs this binary.
///
/// # Errors
/// When a library cannot be found, or it cannot be written.
pub fn write_image(name: &str, archive: &Path) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("this program cannot find itself")?;
    let mut layer = Layer::default();
    layer.add(NAME, host_file(&program)?)?;
    let maps = fs::read_to_string("/proc/self/maps").context("the libraries of this process cannot be read")?;
    for library in libraries(&maps, &program) {
        layer.add(library.trim_start_matches('/'), host_file(Path::new(&library))?)?;
    }
    if let Some(loader) = loader(&fs::read(&program).context("this program cannot be read")?) {
        layer.add(loader.trim_start_matches('/'), host_file(Path::new(&loader))?)?;
    }
    let found = AUTHORITIES.iter().find(|path| Path::new("/").join(path).is_file());
    match found {
        Some(path) => layer.add(AUTHORITIES[0], host_file(&Path::new("/").join(path))?)?,
        None => {
            eprintln!("warning: this machine has no list of authorities; servers with TLS are not trusted by the image")
        }
    }
    write(name, &layer, &format!("/{NAME}"), archive)
}

/// Writes an OCI archive with an image of one layer, which runs a program of it as nobody in particular.
///
/// # Errors
/// When it cannot be written.
pub fn write(name: &str, layer: &Layer, program: &str, archive: &Path) -> anyhow::Result<()> {
    let mut beside = archive.as_os_str().to_owned();
    beside.push(".layer");
    let layer = write_layer(layer, Path::new(&beside))?;
    let start = Start {
        user: USER.to_owned(),
        entrypoint: vec![program.to_owned()],
        working_dir: "/".to_owned(),
        ..Start::default()
    };
    let written = write_archive(&[Image { names: vec![name.to_owned()], layers: vec![layer], start }], archive);
    fs::remove_file(&beside).with_context(|| Path::new(&beside).display().to_string())?;
    Ok(written?)
}

/// Shared libraries that a process has mapped, as `/proc/PID/maps` tells them.
fn libraries(maps: &str, program: &Path) -> BTreeSet<String> {
    let paths = maps.lines().filter_map(|line| line.split_once('/').map(|(_, path)| format!("/{path}")));
    let is_library = |path: &String| {
        let name = path.rsplit('/').next().unwrap_or_default();
        Path::new(path) != program && (name.ends_with(".so") || name.contains(".so."))
    };
    paths.filter(is_library).collect()
}

/// The loader that an ELF file of 64 bits asks for, in its program header of type `PT_INTERP`: elf(5).
fn loader(program: &[u8]) -> Option<String> {
    const PT_INTERP: usize = 3;
    let number = |at: usize, size: usize| {
        let bytes = program.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0_usize, |number, byte| (number << 8) | usize::from(*byte)))
    };
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let header = (0..count).map(|index| table + index * size).find(|at| number(*at, 4) == Some(PT_INTERP))?;
    let (from, length) = (number(header + 8, 8)?, number(header + 32, 8)?);
    let text = program.get(from..from.checked_add(length)?)?;
    Some(String::from_utf8_lossy(text.strip_suffix(&[0]).unwrap_or(text)).into_owned())
}

/// A file of this machine, as it is behind links, which only root may write.
fn host_file(path: &Path) -> anyhow::Result<Entry> {
    let path: PathBuf = fs::canonicalize(path).with_context(|| path.display().to_string())?;
    let found = fs::metadata(&path)?;
    ensure!(found.is_file(), "{} is no file", path.display());
    let mode = if found.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
    Ok(Entry::file(Content::Host { path, size_bytes: found.len() }, mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_those_of_the_map_but_not_the_program_or_what_is_no_file() {
        let maps = "00200000-0073f000 r--p 00000000 fe:00 12 /opt/ferroflow\n\
                    7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n\
                    7f0000002000-7f0000003000 r-xp 00000000 fe:00 13 /usr/lib/x86_64-linux-gnu/libc.so.6\n\
                    7f0000003000-7f0000004000 r--p 00000000 fe:00 13 /usr/lib/x86_64-linux-gnu/libc.so.6\n\
                    7f0000004000-7f0000005000 r--p 00000000 fe:00 14 /usr/lib64/ld-linux-x86-64.so.2\n\
                    7f0000005000-7f0000006000 r--p 00000000 fe:00 15 /usr/lib/locale/locale-archive\n\
                    7ffc00000000-7ffc00001000 r-xp 00000000 00:00 0 [vdso]\n";
        let found = libraries(maps, Path::new("/opt/ferroflow"));
        let wanted = ["/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(found.into_iter().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn the_loader_is_the_one_that_the_program_asks_for() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        let loader = loader(&own).unwrap();
        assert!(loader.starts_with('/') && Path::new(&loader).exists(), "{loader}");
        assert_eq!(super::loader(b"\x7fELF"), None);
        assert_eq!(super::loader(&[]), None);
    }
}
