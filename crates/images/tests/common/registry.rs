//! A real registry: Debian's `docker-registry`, on a port that the system chooses, and a way to push to it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use ferroflow_images::core::digest::Digest;
use tempfile::TempDir;

/// `user` with the password `secret`, as htpasswd writes it.
const HTPASSWD: &str = "user:$2y$05$ZsMlQgG97b.MnKx0NJnSa.pl4E84n4B5Ag2.SAfGL6KptlKTdkup6\n";
/// `user:secret` in base64.
const LOGIN: &str = "Authorization: Basic dXNlcjpzZWNyZXQ=\r\n";

pub struct Registry {
    pub address: String,
    pub root: TempDir,
    child: Child,
}

/// Whether a login is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Everyone,
    Login,
}

impl Registry {
    /// Starts one; `None`, with the reason on standard error, where the program is not installed.
    pub fn start(access: Access) -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        let shown = root.path().display();
        fs::write(root.path().join("htpasswd"), HTPASSWD).unwrap();
        let login = match access {
            Access::Everyone => String::new(),
            Access::Login => format!("auth:\n  htpasswd:\n    realm: test\n    path: {shown}/htpasswd\n"),
        };
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {shown}/data\nhttp:\n  addr: 127.0.0.1:0\n{login}"
        );
        fs::write(root.path().join("config.yml"), config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(root.path().join("config.yml")).stdout(Stdio::null()).stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            eprintln!("skipped: docker-registry is not installed (Debian: apt-get install docker-registry)");
            return None;
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| {
            let rest = line.split("listening on ").nth(1)?;
            Some(rest.trim_end_matches('"').split(['"', ' ', ',']).next()?.to_owned())
        });
        let address = address.expect("the registry says where it listens");
        // Read on, so that the registry never waits for a reader of its log.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { address, root, child })
    }

    /// The name of an image here.
    pub fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// Pushes a blob.
    pub fn push_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let begun = self.request("POST", &format!("/v2/{repository}/blobs/uploads/"), "", b"");
        let location = begun.lines().find_map(|line| line.strip_prefix("Location: ")).expect(&begun).to_owned();
        let path = location.split_once(&self.address).map_or(location.as_str(), |(_, path)| path);
        let done = self.request("PUT", &format!("{path}&digest={digest}"), "application/octet-stream", bytes);
        assert!(done.starts_with("HTTP/1.1 201"), "{done}");
        digest
    }

    /// Pushes an image of layers, each with its packing and its plain tar file; returns the manifest's digest.
    pub fn push(&self, repository: &str, tag: &str, layers: &[Layer]) -> Digest {
        let diff_ids: Vec<String> = layers.iter().map(|layer| format!("\"{}\"", layer.diff_id)).collect();
        let config = format!(
            r#"{{"architecture":"{}","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
            ferroflow_images::core::manifest::architecture(std::env::consts::ARCH),
            diff_ids.join(",")
        );
        let config_digest = self.push_blob(repository, config.as_bytes());
        let layers: Vec<String> = layers
            .iter()
            .map(|layer| {
                let digest = self.push_blob(repository, &layer.bytes);
                format!(r#"{{"mediaType":"{}","digest":"{digest}","size":{}}}"#, layer.media_type, layer.bytes.len())
            })
            .collect();
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config_digest}","size":{}}},"layers":[{}]}}"#,
            config.len(),
            layers.join(",")
        );
        self.push_manifest(repository, tag, MANIFEST, &manifest)
    }

    pub fn push_manifest(&self, repository: &str, tag: &str, media_type: &str, manifest: &str) -> Digest {
        let done = self.request("PUT", &format!("/v2/{repository}/manifests/{tag}"), media_type, manifest.as_bytes());
        assert!(done.starts_with("HTTP/1.1 201"), "{done}");
        Digest::of(manifest.as_bytes())
    }

    /// The file of a blob, to damage it.
    pub fn blob_file(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.path().join("data/docker/registry/v2/blobs/sha256").join(&hex[..2]).join(hex).join("data")
    }

    fn request(&self, method: &str, path: &str, media_type: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{LOGIN}Connection: close\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A layer to push.
#[derive(Clone)]
pub struct Layer {
    pub bytes: Vec<u8>,
    pub media_type: &'static str,
    pub diff_id: Digest,
}

impl Layer {
    pub fn gzip(tar: &[u8]) -> Self {
        let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
        Self { bytes: super::gzip(tar), media_type, diff_id: Digest::of(tar) }
    }

    pub fn zstd(tar: &[u8]) -> Self {
        let media_type = "application/vnd.oci.image.layer.v1.tar+zstd";
        Self { bytes: zstd::encode_all(tar, 1).unwrap(), media_type, diff_id: Digest::of(tar) }
    }

    pub fn plain(tar: &[u8]) -> Self {
        let media_type = "application/vnd.oci.image.layer.v1.tar";
        Self { bytes: tar.to_vec(), media_type, diff_id: Digest::of(tar) }
    }
}
