//! A real registry, Debian's `docker-registry`, and images of busybox that are pushed to it.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use ferroflow_images::{
    core::{
        digest::Digest,
        layer::{Content, Entry, Layer},
        manifest::{self, Start},
    },
    store::{Image, LayerFile, write_archive, write_layer},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use tempfile::TempDir;

/// `user` with the password `secret`, as htpasswd writes it.
const HTPASSWD: &str = "user:$2y$05$ZsMlQgG97b.MnKx0NJnSa.pl4E84n4B5Ag2.SAfGL6KptlKTdkup6\n";
/// `user:secret` in base64.
const LOGIN: &str = "Authorization: Basic dXNlcjpzZWNyZXQ=\r\n";
const APPLETS: [&str; 7] = ["sh", "cat", "id", "ls", "echo", "sleep", "touch"];

/// A registry that wants the login `user`, `secret`, or none.
pub struct Registry {
    pub address: String,
    root: TempDir,
    child: Child,
}

impl Registry {
    /// Starts one; `None`, with the reason on standard error, where the program is not installed.
    pub fn start(is_private: bool) -> Option<Self> {
        let root = tempfile::tempdir().expect("a temporary directory");
        let shown = root.path().display();
        fs::write(root.path().join("htpasswd"), HTPASSWD).expect("a file");
        let login = format!("auth:\n  htpasswd:\n    realm: test\n    path: {shown}/htpasswd\n");
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {shown}/data\nhttp:\n  addr: 127.0.0.1:0\n{}",
            if is_private { login.as_str() } else { "" }
        );
        fs::write(root.path().join("config.yml"), config).expect("a file");
        Self::run(root)
    }

    fn run(root: TempDir) -> Option<Self> {
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(root.path().join("config.yml")).stdout(Stdio::null()).stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            eprintln!("skipped: docker-registry is not installed (Debian: apt-get install docker-registry)");
            return None;
        };
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let address = lines.find_map(|line| {
            let rest = line.split("listening on ").nth(1)?;
            Some(rest.trim_end_matches('"').split(['"', ' ', ',']).next()?.to_owned())
        });
        let address = address.expect("the registry says where it listens");
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { address, root, child })
    }

    /// The same images once more, behind TLS with a certificate of the authority that it returns.
    pub fn with_tls(&self, name: &str) -> (Self, PathBuf) {
        let root = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| root.path().join(name);
        let key = || KeyPair::generate().expect("a key");
        let (authority_key, key) = (key(), key());
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        fs::write(path("ca.pem"), authority.self_signed(&authority_key).expect("a certificate").pem()).expect("a file");
        let issuer = Issuer::new(authority, authority_key);
        let certificate = CertificateParams::new(vec![name.to_owned()]).expect("a name").signed_by(&key, &issuer);
        fs::write(path("cert.pem"), certificate.expect("a certificate").pem()).expect("a file");
        fs::write(path("key.pem"), key.serialize_pem()).expect("a file");
        let (shown, data) = (root.path().display(), self.root.path().display());
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {data}/data\nhttp:\n  addr: 127.0.0.1:0\n  tls:\n\
             \x20   certificate: {shown}/cert.pem\n    key: {shown}/key.pem\n"
        );
        fs::write(path("config.yml"), config).expect("a file");
        let authority = path("ca.pem");
        (Self::run(root).expect("the program ran before"), authority)
    }

    /// Ends it in the middle of whatever it does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Pushes an image of busybox; its name here, without the tag, and the digest of its manifest.
    pub fn push(&self, repository: &str, tag: &str, start: &Value) -> (String, Digest) {
        let layer = busybox(self.root.path());
        let bytes = fs::read(&layer.path).expect("the layer");
        let mut config = documents(&layer).config;
        let mut text: Value = serde_json::from_slice(&config).expect("JSON");
        text["config"] = start.clone();
        config = serde_json::to_vec(&text).expect("JSON");
        let manifest = manifest::image_manifest(&config, std::slice::from_ref(&layer.descriptor)).expect("JSON");
        for blob in [&bytes, &config] {
            self.push_blob(repository, blob);
        }
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let done = self.request("PUT", &format!("/v2/{repository}/manifests/{tag}"), media_type, &manifest);
        assert!(done.starts_with("HTTP/1.1 201"), "{done}");
        (format!("{}/{repository}", self.address), Digest::of(&manifest))
    }

    fn push_blob(&self, repository: &str, bytes: &[u8]) {
        let begun = self.request("POST", &format!("/v2/{repository}/blobs/uploads/"), "", b"");
        let location = begun.lines().find_map(|line| line.strip_prefix("Location: ")).expect("a location").to_owned();
        let path = location.split_once(&self.address).map_or(location.as_str(), |(_, path)| path);
        let digest = Digest::of(bytes);
        let done = self.request("PUT", &format!("{path}&digest={digest}"), "application/octet-stream", bytes);
        assert!(done.starts_with("HTTP/1.1 201"), "{done}");
    }

    fn request(&self, method: &str, path: &str, media_type: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("the registry listens");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{LOGIN}Connection: close\r\nContent-Type: {media_type}\r\n\
             Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("the registry reads");
        stream.write_all(body).expect("the registry reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the registry answers");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether there is a program to make images of.
pub fn has_busybox() -> bool {
    let found = Path::new(BUSYBOX).exists();
    if !found {
        eprintln!("skipped: {BUSYBOX} is not there (Debian: apt-get install busybox-static)");
    }
    found
}

const BUSYBOX: &str = "/usr/bin/busybox";

/// An archive with an image of busybox.
pub fn archive(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join("archive.tar");
    let start = Start { cmd: vec!["sh".to_owned()], ..Start::default() };
    write_archive(&[Image { names: vec![name.to_owned()], layers: vec![busybox(folder)], start }], &path)
        .expect("an archive");
    path
}

fn busybox(folder: &Path) -> LayerFile {
    let mut layer = Layer::default();
    let file = |content: &[u8], mode| Entry::file(Content::Bytes(content.to_vec()), mode);
    let program = fs::read(BUSYBOX).expect("busybox");
    let users = b"root:x:0:0::/:/bin/sh\napp:x:1234:5678::/srv:/bin/sh\n";
    let mut entries = vec![
        ("bin/busybox".to_owned(), file(&program, 0o755)),
        ("etc/passwd".to_owned(), file(users, 0o644)),
        ("etc/group".to_owned(), file(b"root:x:0:\napp:x:5678:\n", 0o644)),
        ("srv/greeting".to_owned(), file(b"from the image\n", 0o644)),
    ];
    entries.extend(APPLETS.map(|applet| (format!("bin/{applet}"), Entry::symlink("busybox"))));
    for (path, entry) in entries {
        layer.add(&path, entry).expect("a plain path");
    }
    write_layer(&layer, &folder.join("layer.tar")).expect("a layer")
}

fn documents(layer: &LayerFile) -> manifest::Documents {
    let architecture = manifest::architecture(std::env::consts::ARCH);
    manifest::documents(architecture, &Start::default(), std::slice::from_ref(&layer.descriptor)).expect("JSON")
}
