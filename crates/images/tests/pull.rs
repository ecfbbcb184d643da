//! Images pulled from a real registry (Debian's `docker-registry`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

use common::{
    Place, Steps, Tar,
    registry::{Access, INDEX, Layer, MANIFEST, Registry},
    server::{Reply, Server},
};
use ferroflow_images::{
    core::{
        credentials::Credentials,
        digest::Digest,
        limits::Limits,
        platform::Platform,
        record::NameRecord,
        registries::{Registries, Rule},
    },
    pull::{PullError, Puller, Step},
    registry::{Http, Keyring, RegistryError},
    store::{StoreError, UnpackError},
};

/// A puller that speaks to `plain` without TLS.
fn puller(place: &Place, steps: &Arc<Steps>, plain: &str) -> Puller {
    Puller {
        store: place.store.clone(),
        http: Http::new().unwrap(),
        registries: Registries::default().with_plain_http(plain),
        keyring: Keyring::default(),
        platform: Platform::linux(std::env::consts::ARCH),
        limits: Limits::default(),
        progress: steps.clone(),
    }
}

fn pull(puller: &Puller, image: &str) -> Result<NameRecord, PullError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(puller.pull(&image.parse().unwrap(), 7))
}

fn refused(outcome: Result<NameRecord, PullError>) -> RegistryError {
    match outcome {
        Err(PullError::Registry { source, .. }) => *source,
        other => panic!("{other:?}"),
    }
}

fn tar(name: &str) -> Vec<u8> {
    Tar::default().file(name, name.as_bytes()).done()
}

#[test]
fn layers_of_every_packing_are_pulled_and_shared_ones_only_once() {
    let Some(registry) = Registry::start(Access::Everyone) else { return };
    let (base, own, other) = (tar("base"), tar("own"), tar("other"));
    let digest = registry.push("team/one", "1", &[Layer::gzip(&base), Layer::zstd(&own)]);
    // The same files packed otherwise are the same layer.
    registry.push("two", "latest", &[Layer::plain(&base), Layer::plain(&other)]);
    let (place, steps) = (Place::new(), Steps::shared());
    let puller = puller(&place, &steps, &registry.address);
    let record = pull(&puller, &registry.name("team/one:1")).unwrap();
    assert_eq!((record.target, record.pulled_s), (digest.clone(), 7));
    pull(&puller, &registry.name("two")).unwrap();
    assert_eq!((steps.count(Step::Unpacked), steps.count(Step::Present)), (3, 1));
    for (layer, name) in [(&base, "base"), (&own, "own"), (&other, "other")] {
        assert_eq!(fs::read_to_string(place.path(layer, name)).unwrap(), name);
    }
    pull(&puller, &format!("{}@{digest}", registry.name("team/one"))).unwrap();
    assert_eq!(steps.count(Step::Unpacked), 3, "what is there is not fetched again");
    let names: Vec<String> = place.store.names().unwrap().into_iter().map(|record| record.name).collect();
    assert_eq!(names.len(), 3);
    assert!(names.contains(&format!("{}/two:latest", registry.address)), "{names:?}");
    assert_eq!(fs::read_dir(place.root.path().join("images/partial")).unwrap().count(), 0);
}

#[test]
fn the_image_of_an_index_is_that_of_the_platform() {
    let Some(registry) = Registry::start(Access::Everyone) else { return };
    let mine = registry.push("a", "mine", &[Layer::gzip(&tar("mine"))]);
    let theirs = registry.push("a", "theirs", &[Layer::gzip(&tar("theirs"))]);
    let size = |tag: &str| if tag == "mine" { &mine } else { &theirs };
    let entry = |tag: &str, architecture: &str| {
        let digest = size(tag);
        let length = fs::metadata(registry.blob_file(digest)).unwrap().len();
        format!(
            r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":{length},"platform":{{"os":"linux","architecture":"{architecture}"}}}}"#
        )
    };
    let own = Platform::linux(std::env::consts::ARCH);
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{},{}]}}"#,
        entry("theirs", "s390x"),
        entry("mine", &own.architecture)
    );
    let index = registry.push_manifest("a", "both", INDEX, &index);
    let (place, steps) = (Place::new(), Steps::shared());
    let mut puller = puller(&place, &steps, &registry.address);
    let record = pull(&puller, &registry.name("a:both")).unwrap();
    assert_eq!((record.target, record.manifest), (index, mine));
    puller.platform = "linux/s390x".parse().unwrap();
    assert_eq!(pull(&puller, &registry.name("a:both")).unwrap().manifest, theirs);
    puller.platform = "linux/ppc64le".parse().unwrap();
    let error = pull(&puller, &registry.name("a:both")).unwrap_err();
    assert!(matches!(error, PullError::Document { .. }), "{error:?}");
}

#[test]
fn a_registry_with_a_login_is_told_the_one_that_is_known() {
    let Some(registry) = Registry::start(Access::Login) else { return };
    registry.push("team/private", "1", &[Layer::gzip(&tar("a"))]);
    let image = registry.name("team/private:1");
    let (place, steps) = (Place::new(), Steps::shared());
    let mut puller = puller(&place, &steps, &registry.address);
    let denied = |puller: &Puller| match refused(pull(puller, &image)) {
        RegistryError::Denied { who, .. } => who,
        error => panic!("{error:?}"),
    };
    assert_eq!(denied(&puller), "everyone");
    let given = |password: &str| Credentials::Password { user: "user".into(), password: password.into() };
    puller.keyring = Keyring::default().with_given(&registry.address, given("wrong"));
    assert_eq!(denied(&puller), "the credentials that there are");
    puller.keyring = Keyring::default().with_given("elsewhere.example.com", given("secret"));
    assert_eq!(denied(&puller), "everyone", "another registry's login is not told");
    // The first of these is wrong: the next is tried.
    let secret = format!(
        r#"{{"auths": {{"{0}/team": {{"username": "user", "password": "old"}}, "{0}": {{"auth": "dXNlcjpzZWNyZXQ="}}}}}}"#,
        registry.address
    );
    puller.keyring = Keyring::default().with_secret("regcred", secret.as_bytes()).unwrap();
    pull(&puller, &image).unwrap();
    assert_eq!(steps.count(Step::Unpacked), 1);
}

#[test]
fn docker_s_configuration_and_its_helpers_are_asked() {
    let Some(registry) = Registry::start(Access::Login) else { return };
    registry.push("a", "1", &[Layer::gzip(&tar("a"))]);
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".docker")).unwrap();
    let write = |config: &str| fs::write(home.path().join(".docker/config.json"), config).unwrap();
    write(&format!(r#"{{"auths": {{"{}": {{"auth": "dXNlcjpzZWNyZXQ="}}}}}}"#, registry.address));
    let (place, steps) = (Place::new(), Steps::shared());
    let mut puller = puller(&place, &steps, &registry.address);
    puller.keyring = Keyring::of_user(None, Some(home.path())).unwrap();
    pull(&puller, &registry.name("a:1")).unwrap();
    write(&format!(r#"{{"credHelpers": {{"{}": "no-such-helper-of-ferroflow"}}}}"#, registry.address));
    puller.keyring = Keyring::of_user(Some(&home.path().join(".docker")), None).unwrap();
    let error = format!("{:?}", pull(&puller, &registry.name("a:1")).unwrap_err());
    assert!(error.contains("no-such-helper-of-ferroflow"), "{error}");
    write("{");
    assert!(Keyring::of_user(None, Some(home.path())).is_err());
    assert!(Keyring::of_user(None, Some(place.root.path())).is_ok(), "no file is no login");
}

#[test]
fn mirrors_are_asked_first_and_the_registry_when_they_fail() {
    let Some(registry) = Registry::start(Access::Everyone) else { return };
    registry.push("library/a", "1", &[Layer::gzip(&tar("a"))]);
    let broken = Server::start(|_| Reply::status(404));
    let rules = vec![Rule {
        host: "docker.io".into(),
        mirrors: vec![format!("http://{}", broken.address), format!("http://{}", registry.address)],
        plain_http: false,
    }];
    let (place, steps) = (Place::new(), Steps::shared());
    let mut puller = puller(&place, &steps, "unused.example.com");
    puller.registries = Registries::new(rules).unwrap();
    let record = pull(&puller, "a:1").unwrap();
    assert_eq!(record.name, "docker.io/library/a:1");
    assert!(broken.asked()[0].path.ends_with("/v2/library/a/manifests/1?ns=docker.io"), "{:?}", broken.asked());
}

#[test]
fn what_is_not_what_it_should_be_is_not_taken() {
    let Some(registry) = Registry::start(Access::Everyone) else { return };
    let evil = Tar::default().file("../../evil", b"x").done();
    registry.push("evil", "1", &[Layer::gzip(&evil)]);
    let lie = Layer { diff_id: Digest::of(b"other"), ..Layer::gzip(&tar("lie")) };
    registry.push("lie", "1", &[lie]);
    let layer = Layer::gzip(&tar("damaged"));
    registry.push("damaged", "1", std::slice::from_ref(&layer));
    let file = registry.blob_file(&Digest::of(&layer.bytes));
    let mut bytes = fs::read(&file).unwrap();
    bytes[20] ^= 1;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, bytes).unwrap();
    let (place, steps) = (Place::new(), Steps::shared());
    let puller = puller(&place, &steps, &registry.address);
    let error = pull(&puller, &registry.name("evil:1")).unwrap_err();
    let PullError::Store { source: StoreError::Unpack { source, .. }, .. } = error else { panic!("{error:?}") };
    assert!(matches!(source, UnpackError::Member(_)), "{source:?}");
    let error = pull(&puller, &registry.name("lie:1")).unwrap_err();
    let PullError::Store { source: StoreError::Unpack { source, .. }, .. } = error else { panic!("{error:?}") };
    assert!(matches!(source, UnpackError::Digest { .. }), "{source:?}");
    let error = refused(pull(&puller, &registry.name("damaged:1")));
    assert!(matches!(error, RegistryError::Digest { .. }), "{error:?}");
    let error = refused(pull(&puller, &registry.name("none:1")));
    assert!(matches!(error, RegistryError::Missing { .. }), "{error:?}");
    assert!(place.store.names().unwrap().is_empty() && place.beside().is_empty());
}

#[test]
fn pulls_at_the_same_time_do_the_work_once() {
    let Some(registry) = Registry::start(Access::Everyone) else { return };
    let layers: Vec<Layer> = (0..4).map(|index| Layer::gzip(&tar(&format!("layer-{index}")))).collect();
    registry.push("a", "1", &layers);
    let (place, steps) = (Place::new(), Steps::shared());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| pull(&puller(&place, &steps, &registry.address), &registry.name("a:1")).unwrap());
        }
    });
    assert_eq!((steps.count(Step::Unpacked), steps.count(Step::Present)), (4, 12));
}
