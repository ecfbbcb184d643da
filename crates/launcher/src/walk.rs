//! Where an output really lies, and the files of a directory: never beyond the step's own directories by a link.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::tar;

/// Directories within directories.
const DEPTH: usize = 64;

/// The directories that a step's outputs may lie in, as they were before its program ran.
#[derive(Clone, Debug, Default)]
pub struct Roots(Vec<PathBuf>);

impl Roots {
    /// Of directories that exist.
    pub fn new<'a>(directories: impl Iterator<Item = &'a Path>) -> Self {
        let mut roots: Vec<PathBuf> = directories.filter_map(|path| fs::canonicalize(path).ok()).collect();
        roots.sort();
        roots.dedup();
        Self(roots)
    }

    /// These and one more, which the program has named itself.
    pub fn and(&self, path: &Path) -> Self {
        Self(self.0.iter().cloned().chain([path.to_owned()]).collect())
    }

    fn hold(&self, path: &Path) -> bool {
        self.0.iter().any(|root| path.starts_with(root))
    }

    /// Where `path` really is; `None` where nothing is.
    ///
    /// # Errors
    /// When that is outside of these directories.
    pub fn find(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        match fs::canonicalize(path) {
            Ok(real) if self.hold(&real) => Ok(Some(real)),
            Ok(real) => Err(io::Error::other(format!(
                "{} leads to {}, which is outside of the step's directories; write a file instead of a link",
                path.display(),
                real.display()
            ))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
        }
    }
}

/// Writes the files below `root`, which is a real path, as a tar stream. Returns how many.
pub fn send(root: &Path, roots: &Roots, out: &mut dyn Write) -> io::Result<u64> {
    let mut walk = Walk { roots, out, chain: vec![root.to_owned()], files: 0 };
    walk.directory(root, Path::new(""))?;
    let files = walk.files;
    tar::finish(out)?;
    Ok(files)
}

struct Walk<'a> {
    roots: &'a Roots,
    out: &'a mut dyn Write,
    /// The real paths of the directories that are being walked, each within the one before or linked from it.
    chain: Vec<PathBuf>,
    files: u64,
}

impl Walk<'_> {
    fn directory(&mut self, real: &Path, shown: &Path) -> io::Result<()> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", real.display()));
        let names = fs::read_dir(real).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
        let mut names: Vec<_> = names.map_err(named)?;
        names.sort();
        for name in names {
            let shown = shown.join(&name);
            // A link that leads nowhere is as nothing.
            let Some(path) = self.roots.find(&real.join(&name))? else { continue };
            let kind = fs::metadata(&path).map_err(named)?.file_type();
            if kind.is_dir() {
                self.enter(path, &shown)?;
            } else if kind.is_file() {
                let mut file = File::open(&path)
                    .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
                let size = file.metadata()?.len();
                tar::write(self.out, &shown, size, &mut file)?;
                self.files += 1;
            } else {
                eprintln!("ferroflow-launcher: {} is left out: it is no file", path.display());
            }
        }
        Ok(())
    }

    fn enter(&mut self, real: PathBuf, shown: &Path) -> io::Result<()> {
        let fault = |why: &str| Err(io::Error::other(format!("{} {why}", shown.display())));
        if self.chain.contains(&real) {
            return fault("is a link to a directory that it lies in; remove it, or write a file instead");
        }
        if self.chain.len() >= DEPTH {
            return fault("lies in more than 64 directories; pack them into one file");
        }
        self.chain.push(real.clone());
        self.directory(&real, shown)?;
        self.chain.pop();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn place(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ferroflow-walk-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("out/sub")).unwrap();
        fs::canonicalize(path).unwrap()
    }

    #[test]
    fn links_within_are_followed_and_links_out_are_refused() {
        let place = place("links");
        let out = place.join("out");
        fs::write(out.join("sub/file"), "text").unwrap();
        fs::write(place.join("beside"), "beside").unwrap();
        symlink("sub/file", out.join("link")).unwrap();
        symlink("nowhere", out.join("dangling")).unwrap();
        symlink("../sub", out.join("sub/again")).unwrap_or(());
        let roots = Roots::new([out.as_path()].into_iter());

        fs::remove_file(out.join("sub/again")).unwrap();
        let mut bytes = Vec::new();
        assert_eq!(send(&out, &roots, &mut bytes).unwrap(), 2);
        let copy = place.join("copy");
        tar::unpack(&mut bytes.as_slice(), &copy).ok().unwrap();
        assert_eq!(fs::read_to_string(copy.join("link")).unwrap(), "text");
        assert!(!copy.join("dangling").exists());

        symlink("../beside", out.join("outside")).unwrap();
        let error = send(&out, &roots, &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("outside of the step's directories"), "{error}");
        assert!(roots.find(&out.join("outside")).is_err());
        assert_eq!(roots.find(&out.join("none")).unwrap(), None);
        fs::remove_file(out.join("outside")).unwrap();

        symlink("..", out.join("sub/up")).unwrap();
        let error = send(&out, &roots, &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("that it lies in"), "{error}");
        fs::remove_dir_all(place).unwrap();
    }
}
