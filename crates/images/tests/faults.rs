//! Registries on a bad day: tokens, redirects, breaks in the middle, answers that are too long.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use common::{
    Place, Steps, Tar, gzip,
    registry::MANIFEST,
    server::{Asked, Reply, Server},
};
use ferroflow_images::{
    core::{
        credentials::Credentials, digest::Digest, limits::Limits, platform::Platform, record::NameRecord,
        registries::Registries,
    },
    pull::{PullError, Puller},
    registry::{Http, Keyring, RegistryError},
};

/// An image of one layer, as a registry has it.
#[derive(Clone)]
struct Image {
    tar: Vec<u8>,
    layer: Vec<u8>,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

impl Image {
    fn new() -> Self {
        let tar = Tar::default().file("a", &b"some content".repeat(5000)).done();
        let layer = gzip(&tar);
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
            Digest::of(&tar)
        );
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"x","digest":"{}","size":{}}},
               "layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{}","size":{}}}]}}"#,
            Digest::of(config.as_bytes()),
            config.len(),
            Digest::of(&layer),
            layer.len()
        );
        Self { tar, layer, config: config.into_bytes(), manifest: manifest.into_bytes() }
    }

    fn is_layer(&self, asked: &Asked) -> bool {
        asked.path.ends_with(&Digest::of(&self.layer).to_string())
    }

    fn reply(&self, asked: &Asked) -> Reply {
        let what = asked.path.rsplit('/').next().unwrap_or_default();
        match what {
            "1" => Reply::ok(self.manifest.clone()),
            digest if digest == Digest::of(&self.config).to_string() => Reply::ok(self.config.clone()),
            _ if self.is_layer(asked) => Reply::ok(self.layer.clone()),
            _ => Reply::status(404),
        }
    }
}

fn pull(place: &Place, server: &Server, keyring: Keyring) -> Result<NameRecord, PullError> {
    let puller = Puller {
        store: place.store.clone(),
        http: Http::new().unwrap(),
        registries: Registries::default().with_plain_http(&server.address),
        keyring,
        platform: Platform::linux(std::env::consts::ARCH),
        limits: Limits::default(),
        progress: Steps::shared(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(puller.pull(&format!("{}/a:1", server.address).parse().unwrap(), 7))
}

fn refused(outcome: Result<NameRecord, PullError>) -> RegistryError {
    match outcome {
        Err(PullError::Registry { source, .. }) => *source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_is_had_with_the_login_and_told_to_the_registry_alone() {
    let image = Image::new();
    let tokens = Server::start(|asked| match asked.header("authorization") {
        Some("Basic dXNlcjpzZWNyZXQ=") => Reply::ok(r#"{"token":"good","expires_in":60}"#),
        _ => Reply::status(401),
    });
    let blobs = image.clone();
    let store = Server::start(move |asked| match asked.header("authorization") {
        None => Reply::ok(blobs.layer.clone()),
        Some(_) => Reply::status(400),
    });
    let (realm, to) = (tokens.address.clone(), store.address.clone());
    let own = image.clone();
    let server = Server::start(move |asked| match asked.header("authorization") {
        Some("Bearer good") if own.is_layer(asked) => {
            Reply::status(307).header(format!("Location: http://{to}/bucket/layer?key=k"))
        }
        Some("Bearer good") => own.reply(asked),
        _ => Reply::status(401)
            .header(format!("WWW-Authenticate: Bearer realm=\"http://{realm}/token\",service=\"reg\"")),
    });
    let place = Place::new();
    let login = |password: &str| {
        let given = Credentials::Password { user: "user".into(), password: password.into() };
        Keyring::default().with_given(&server.address, given)
    };
    assert!(matches!(
        refused(pull(&place, &server, Keyring::default())),
        RegistryError::Denied { who: "everyone", .. }
    ));
    assert!(matches!(refused(pull(&place, &server, login("wrong"))), RegistryError::Denied { .. }));
    pull(&place, &server, login("secret")).unwrap();
    assert!(place.path(&image.tar, "a").exists());
    let asked = tokens.asked();
    assert!(asked.iter().all(|one| one.path == "/token?service=reg&scope=repository:a:pull"), "{asked:?}");
    assert_eq!(store.asked().len(), 1, "the object store is asked without the registry's token");
}

#[test]
fn a_download_that_breaks_goes_on_where_it_broke() {
    let image = Image::new();
    let (own, count) = (image.clone(), Arc::new(AtomicUsize::new(0)));
    let half = image.layer.len() / 2;
    let server = Server::start(move |asked| {
        if !own.is_layer(asked) {
            return own.reply(asked);
        }
        match (count.fetch_add(1, Ordering::Relaxed), asked.header("range")) {
            (0, None) => Reply { break_after: Some(half), ..own.reply(asked) },
            (1, _) => Reply::status(503).header("Retry-After: 0".to_owned()),
            (_, Some(range)) => {
                let from: usize = range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
                Reply { status: 206, body: own.layer[from..].to_vec(), ..Reply::default() }
            }
            (_, None) => Reply::status(500),
        }
    });
    let place = Place::new();
    pull(&place, &server, Keyring::default()).unwrap();
    let ranges: Vec<Option<String>> = server
        .asked()
        .iter()
        .filter(|asked| image.is_layer(asked))
        .map(|asked| asked.header("range").map(str::to_owned))
        .collect();
    assert_eq!(ranges[0], None);
    assert_eq!(ranges.last().unwrap().as_deref(), Some(format!("bytes={half}-").as_str()));
}

#[test]
fn what_an_earlier_attempt_left_is_checked_and_if_need_be_fetched_anew() {
    let image = Image::new();
    for (left, range) in [(image.layer[..100].to_vec(), true), (vec![0; 100], true), (vec![0; 1 << 20], false)] {
        let own = image.clone();
        let server = Server::start(move |asked| match asked.header("range").filter(|_| own.is_layer(asked)) {
            Some(range) => {
                let from: usize = range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
                Reply { status: 206, body: own.layer[from..].to_vec(), ..Reply::default() }
            }
            None => own.reply(asked),
        });
        let place = Place::new();
        let partial = place.store.partial(&Digest::of(&image.layer), &Digest::of(&image.tar));
        fs::write(&partial, &left).unwrap();
        pull(&place, &server, Keyring::default()).unwrap();
        assert!(!partial.exists());
        assert_eq!(server.asked().iter().any(|asked| asked.header("range").is_some()), range);
    }
}

#[test]
fn answers_beyond_their_bounds_are_not_read() {
    let image = Image::new();
    let own = image.clone();
    let server = Server::start(move |asked| match own.is_layer(asked) {
        true => Reply::ok([own.layer.clone(), vec![0; 1 << 20]].concat()),
        false => own.reply(asked),
    });
    assert!(matches!(refused(pull(&Place::new(), &server, Keyring::default())), RegistryError::Large { .. }));
    let server = Server::start(|_| Reply::ok(vec![b' '; 5 << 20]));
    assert!(matches!(refused(pull(&Place::new(), &server, Keyring::default())), RegistryError::Large { .. }));
    let server = Server::start(|asked| Reply::status(302).header(format!("Location: {}x", asked.path)));
    assert!(matches!(refused(pull(&Place::new(), &server, Keyring::default())), RegistryError::Redirect { .. }));
}

#[test]
fn an_identity_token_is_given_for_another_and_never_to_the_registry_itself() {
    let image = Image::new();
    let answering = image.clone();
    let server = Server::start(move |asked| {
        if asked.path == "/token" {
            let wanted =
                ["grant_type=refresh_token", "service=reg", "refresh_token=identity/token", "scope=repository"];
            let is_good = wanted.iter().all(|part| asked.body.contains(part));
            return if is_good { Reply::ok(r#"{"access_token":"given"}"#) } else { Reply::status(401) };
        }
        if asked.header("authorization") == Some("Bearer given") {
            return answering.reply(asked);
        }
        let realm = format!("http://{}/token", asked.header("host").unwrap_or_default());
        Reply::status(401).header(format!(r#"WWW-Authenticate: Bearer realm="{realm}",service="reg""#))
    });
    let place = Place::new();
    let identity = Credentials::Identity { token: "identity/token".to_owned() };
    let keyring = Keyring::default().with_given(&server.address, identity);
    let record = pull(&place, &server, keyring).unwrap();
    assert!(place.store.is_whole(&record));
    let asked = server.asked();
    assert_eq!(asked.iter().filter(|asked| asked.path == "/token").count(), 1, "one token serves the whole pull");
    assert!(asked.iter().all(|asked| !asked.header("authorization").unwrap_or_default().contains("identity")));
}
