use std::convert::Infallible;

use super::{super::S3Fault, *};

fn chunks(bytes: &[u8]) -> impl Stream<Item = Result<Bytes, Infallible>> + use<> {
    let chunks: Vec<_> = bytes.chunks(7000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    stream::iter(chunks)
}

async fn gathered(flow: Flow) -> Vec<u8> {
    flow.try_fold(Vec::new(), |mut all, chunk| async move {
        all.extend_from_slice(&chunk);
        Ok(all)
    })
    .await
    .unwrap()
}

async fn file(blobs: &Blobs, place: &str) -> Option<Vec<u8>> {
    match blobs.open(place).await.unwrap() {
        Some(Content::File(blob)) => Some(gathered(blob.flow).await),
        _ => None,
    }
}

/// The files of a tar stream, sorted.
fn files_of(bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut archive = ::tar::Archive::new(bytes);
    let mut files: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path_bytes().into_owned();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            (name, content)
        })
        .collect();
    files.sort();
    files
}

fn archive(files: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in files {
        bytes.extend(super::super::tar::head(name, content.len() as u64));
        bytes.extend(content);
        bytes.resize(bytes.len() + super::super::tar::padding(content.len() as u64), 0);
    }
    bytes.extend(super::super::tar::END);
    bytes
}

/// What any store must do.
async fn behaves(blobs: &Blobs) {
    let large: Vec<u8> = (0..20_000_000_u32).map(|at| (at / 7) as u8).collect();
    for content in [&b""[..], b"hello", &large] {
        let stored = blobs.put("minio://b/run/out", chunks(content)).await.unwrap();
        assert_eq!(stored.size, content.len() as u64);
        assert_eq!(file(blobs, "minio://b/run/out").await.unwrap(), content);
    }
    let hello = blobs.put("minio://b/run/out", chunks(b"hello")).await.unwrap();
    assert_eq!(hello.digest, "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");

    let broken = stream::iter([Ok(Bytes::from(large.clone())), Err(std::io::Error::other("gone"))]);
    assert!(matches!(blobs.put("minio://b/run/out", broken).await, Err(StoreError::Source(_))));
    assert_eq!(file(blobs, "minio://b/run/out").await.unwrap(), b"hello");
    assert!(matches!(blobs.read("minio://b/run/out", 4).await, Err(StoreError::TooLarge { size: 5, .. })));
    assert_eq!(blobs.read("minio://b/run/out", 5).await.unwrap().unwrap(), "hello");

    let mut files = vec![
        (b"a.txt".to_vec(), b"a".to_vec()),
        (b"empty".to_vec(), Vec::new()),
        (b"part#1".to_vec(), b"not a file that is being written".to_vec()),
        (b"sub/100%/\xc3\xa9 [x]?.bin".to_vec(), large.clone()),
        ([&b"deep/"[..], &[b'n'; 200]].concat(), vec![1; 512]),
    ];
    files.sort();
    let stored = blobs.put_tar("minio://b/run/tree", chunks(&archive(&files))).await.unwrap();
    assert_eq!(stored.size, files.iter().map(|(_, content)| content.len() as u64).sum::<u64>());
    let Some(Content::Directory(flow)) = blobs.open("minio://b/run/tree").await.unwrap() else { panic!() };
    assert_eq!(files_of(&gathered(flow).await), files);
    assert_eq!(file(blobs, "minio://b/run/tree/a.txt").await.unwrap(), b"a");

    let cut = &archive(&files)[..10_000];
    assert!(blobs.put_tar("minio://b/run/cut", chunks(cut)).await.is_err());
    blobs.put_tar("minio://b/run/none", chunks(&archive(&[]))).await.unwrap();
    let Some(Content::Directory(flow)) = blobs.open("minio://b/run/none").await.unwrap() else { panic!() };
    assert!(files_of(&gathered(flow).await).is_empty());

    for name in ["kept", "keptish", "going/deep", "top"] {
        blobs.put_bytes(&format!("minio://b/swept/{name}"), Bytes::from_static(b"x")).await.unwrap();
    }
    blobs
        .delete_below("minio://b/swept", &["minio://b/swept/kept".to_owned(), "https://no/place".to_owned()])
        .await
        .unwrap();
    for (name, stays) in [("kept", true), ("keptish", false), ("going", false), ("top", false)] {
        assert_eq!(blobs.exists(&format!("minio://b/swept/{name}")).await.unwrap(), stays, "{name}");
    }
    blobs.delete_below("minio://b/swept", &[]).await.unwrap();
    assert!(!blobs.exists("minio://b/swept").await.unwrap());

    assert!(blobs.exists("minio://b/run").await.unwrap());
    for place in ["minio://b/run/out", "minio://b/run/tree", "minio://b/run/none"] {
        assert!(blobs.exists(place).await.unwrap(), "{place}");
        blobs.delete(place).await.unwrap();
        assert!(!blobs.exists(place).await.unwrap(), "{place}");
        assert!(blobs.open(place).await.unwrap().is_none());
    }
    blobs.delete("minio://b/run").await.unwrap();
    blobs.put_bytes("s3://b/last", Bytes::from_static(b"x")).await.unwrap();
    assert!(!blobs.exists("minio://b/last").await.unwrap());
}

/// The S3 server that `conformance/kubernetes/build.sh versitygw` builds.
fn server() -> Option<std::path::PathBuf> {
    let named = std::env::var_os("FERROFLOW_VERSITYGW").map(std::path::PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| FilePath::new(&home).join(".cache"));
    let cache = || std::env::var_os("XDG_CACHE_HOME").map(std::path::PathBuf::from).or_else(home);
    let built = || {
        let entries = std::fs::read_dir(cache()?.join("ferroflow")).ok()?;
        let mut found = entries.filter_map(Result::ok).filter(|entry| {
            entry.file_name().to_string_lossy().starts_with("versitygw-") && entry.path().join("versitygw").is_file()
        });
        found.next().map(|entry| entry.path().join("versitygw"))
    };
    named.or_else(built)
}

struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_bucket_keeps_files_and_trees() {
    let Some(program) = server() else {
        eprintln!("skipped: no S3 server is built; conformance/kubernetes/build.sh versitygw builds one");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(directory.path().join("s3/bucket")).unwrap();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = std::process::Command::new(program);
    command.args(["--port", &address.to_string(), "--quiet", "posix"]).arg(directory.path().join("s3"));
    command.env("ROOT_ACCESS_KEY_ID", "user").env("ROOT_SECRET_ACCESS_KEY", "password");
    command.stdout(std::process::Stdio::null());
    let _running = Running(command.spawn().unwrap());
    let whole = S3 {
        endpoint: format!("http://{address}"),
        region: "us-east-1".to_owned(),
        bucket: "bucket".to_owned(),
        access_key: "user".to_owned(),
        secret_key: "password".to_owned(),
        ..S3::default()
    };
    let part = S3 { prefix: "team/a".to_owned(), ..whole.clone() };
    for options in [&whole, &part] {
        options.check().await.unwrap();
        behaves(&Blobs::s3(options).unwrap()).await;
    }
    let (whole_blobs, part_blobs) = (Blobs::s3(&whole).unwrap(), Blobs::s3(&part).unwrap());
    part_blobs.put("s3://bucket/data/x", chunks(b"by its own name")).await.unwrap();
    assert_eq!(file(&whole_blobs, "s3://bucket/data/x").await.unwrap(), b"by its own name");

    let refused = S3 { secret_key: "x".to_owned(), ..whole.clone() };
    assert!(matches!(refused.check().await, Err(S3Fault::Refused(_))));
    assert!(Blobs::s3(&refused).unwrap().exists("minio://b/k").await.is_err());
    let missing = S3 { bucket: "other".to_owned(), ..whole.clone() };
    assert!(matches!(missing.check().await, Err(S3Fault::NoBucket(bucket)) if bucket == "other"));
}

#[tokio::test]
async fn a_directory_keeps_files_and_trees() {
    let directory = tempfile::tempdir().unwrap();
    behaves(&Blobs::local(directory.path()).unwrap()).await;
}

#[tokio::test]
async fn objects_go_from_one_store_to_another_by_their_names() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, to) = (Blobs::local(here.path()).unwrap(), Blobs::local(there.path()).unwrap());
    from.put("minio://b/run/out", chunks(b"file")).await.unwrap();
    let tree = [(b"a/x%#".to_vec(), b"1".to_vec()), (vec![0xff], b"22".to_vec())];
    from.put_tar("minio://b/run/tree", chunks(&archive(&tree))).await.unwrap();
    from.put("minio://b/running", chunks(b"other")).await.unwrap();
    let all: Vec<super::super::Named> = from.named("minio://b/run").await.unwrap().try_collect().await.unwrap();
    let mut names: Vec<_> = all.iter().map(|one| (one.name.as_str(), one.size)).collect();
    names.sort_unstable();
    let expected = [("minio/b/run/out", 4), ("minio/b/run/tree/%FF", 2), ("minio/b/run/tree/a/x%25%23", 1)];
    assert_eq!(names, expected);
    for (name, _) in names {
        assert!(!to.has_named(name).await.unwrap());
        to.put_named(name, from.get_named(name).await.unwrap().unwrap().flow).await.unwrap();
        assert!(to.has_named(name).await.unwrap());
    }
    assert_eq!(file(&to, "minio://b/run/out").await.unwrap(), b"file");
    let Some(Content::Directory(moved)) = to.open("minio://b/run/tree").await.unwrap() else { panic!("no directory") };
    let mut tree = tree.to_vec();
    tree.sort();
    assert_eq!(files_of(&gathered(moved).await), tree);
    let one: Vec<_> = from.named("minio://b/run/out").await.unwrap().try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(one.len(), 1);
}

#[tokio::test]
async fn a_tree_replaces_what_was_there() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = Blobs::local(directory.path()).unwrap();
    blobs.put("s3://b/x", chunks(b"file")).await.unwrap();
    let one = archive(&[(b"one".to_vec(), b"1".to_vec())]);
    let two = archive(&[(b"two".to_vec(), b"2".to_vec())]);
    for tree in [&one, &two] {
        blobs.put_tar("s3://b/x", chunks(tree)).await.unwrap();
        let Some(Content::Directory(flow)) = blobs.open("s3://b/x").await.unwrap() else { panic!() };
        assert_eq!(files_of(&gathered(flow).await), files_of(tree));
    }
}

#[tokio::test]
async fn what_a_kill_has_left_half_written_is_removed_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = Blobs::local(directory.path()).unwrap();
    for place in ["s3://b/a#1", "s3://b/deep/er/b"] {
        blobs.put_bytes(place, Bytes::from_static(b"whole")).await.unwrap();
    }
    for left in ["s3/b/out#1", "s3/b/deep/out#12"] {
        std::fs::write(directory.path().join(left), b"half").unwrap();
    }
    assert_eq!(blobs.remove_unfinished(SystemTime::UNIX_EPOCH).await.unwrap(), 0, "somebody may write to them");
    let later = SystemTime::now() + std::time::Duration::from_secs(1);
    assert_eq!(blobs.remove_unfinished(later).await.unwrap(), 2);
    for place in ["s3://b/a#1", "s3://b/deep/er/b"] {
        assert_eq!(file(&blobs, place).await.unwrap(), b"whole", "{place}");
    }
}

/// Ends in the middle of an upload, as a connection does that is cut.
#[tokio::test]
async fn an_upload_that_nobody_waits_for_any_more_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = Blobs::local(directory.path()).unwrap();
    let (told, hears) = tokio::sync::oneshot::channel();
    let mut told = Some(told);
    let bytes = stream::iter(0..5).map(|_| Ok::<_, Infallible>(Bytes::from(vec![7; 1024 * 1024])));
    let stuck = stream::once(async move {
        told.take().unwrap().send(()).unwrap();
        std::future::pending().await
    });
    let upload = blobs.put("s3://b/large", bytes.chain(stuck));
    tokio::select! {
        _ = upload => panic!("it does not end"),
        heard = hears => heard.unwrap(),
    }
    let gone = async {
        while std::fs::read_dir(directory.path().join("s3/b")).is_ok_and(|mut entries| entries.next().is_some()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), gone).await.unwrap();
}
