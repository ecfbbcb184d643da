//! What every namespace has: the account `default`, the ConfigMap with the cluster's CA; and the tokens
//! in secrets that ask for one.

use std::collections::BTreeMap;
use std::sync::Arc;

use ferroflow_platform::clock::SharedClock;
use ferroflow_platform::controller::{Cache, Caches, Controller, Error, Key, Next, Reconciler};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Preconditions};

use super::execute::{is_code, namespace_ends};

const DEFAULT: &str = "default";
const CA_CONFIG_MAP: &str = "kube-root-ca.crt";
const CA_KEY: &str = "ca.crt";
const CA_DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
                              endpoints such as the internal service IP or kubernetes.default.svc. No other usage is \
                              guaranteed across distributions of Kubernetes clusters.";
const TOKEN_TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

/// Makes the token of a secret: the account, the secret that it is bound to, the time.
pub type Signer = Arc<dyn Fn(&ServiceAccount, &Secret, Timestamp) -> Result<String, String> + Send + Sync>;

/// Starts the controllers; `ca` is the certificate of the cluster's CA as PEM text.
pub fn register(caches: &Caches, clock: &SharedClock, ca: String, signer: Signer) {
    let namespaces: Cache<Namespace> = caches.of();
    let accounts: Cache<ServiceAccount> = caches.of();
    let maps: Cache<ConfigMap> = caches.of();
    let secrets: Cache<Secret> = caches.of();
    let home = |namespace: &Option<String>| vec![Key::new("", namespace.clone().unwrap_or_default())];
    Controller::new("namespace-basics", clock.clone())
        .watch(&namespaces)
        .watch_mapped(&accounts, move |account: &ServiceAccount| match account.metadata.name.as_deref() {
            Some(DEFAULT) => home(&account.metadata.namespace),
            _ => Vec::new(),
        })
        .watch_mapped(&maps, move |map: &ConfigMap| match map.metadata.name.as_deref() {
            Some(CA_CONFIG_MAP) => home(&map.metadata.namespace),
            _ => Vec::new(),
        })
        .run(&caches.group(), Basics { namespaces, accounts: accounts.clone(), maps, ca: ca.clone() });
    let known = secrets.clone();
    Controller::new("service-account-token", clock.clone())
        .watch_mapped(&secrets, |secret: &Secret| token_secret(secret).into_iter().collect())
        .watch_mapped(&accounts, move |account: &ServiceAccount| {
            let all = known.list_in(account.metadata.namespace.as_deref().unwrap_or_default());
            let name = account.metadata.name.as_deref().unwrap_or_default();
            all.iter().filter(|secret| account_name(secret) == name).filter_map(|secret| token_secret(secret)).collect()
        })
        .run(&caches.group(), Tokens { accounts, secrets, ca, signer });
}

struct Basics {
    namespaces: Cache<Namespace>,
    accounts: Cache<ServiceAccount>,
    maps: Cache<ConfigMap>,
    ca: String,
}

impl Reconciler for Basics {
    async fn reconcile(&self, key: Key, _now: Timestamp) -> Result<Next, Error> {
        let Some(namespace) = self.namespaces.get(&key) else { return Ok(Next::Done) };
        if namespace.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Done);
        }
        let ns = key.name;
        let metadata = |name: &str| ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(ns.clone()),
            ..ObjectMeta::default()
        };
        if self.accounts.get(&Key::new(ns.clone(), DEFAULT)).is_none() {
            let account = ServiceAccount { metadata: metadata(DEFAULT), ..ServiceAccount::default() };
            settled(self.accounts.create(&account).await)?;
        }
        let data = BTreeMap::from([(CA_KEY.to_owned(), self.ca.clone())]);
        match self.maps.get(&Key::new(ns.clone(), CA_CONFIG_MAP)) {
            Some(map) if map.data.as_ref() == Some(&data) => {}
            Some(map) => {
                let map = ConfigMap { data: Some(data), ..ConfigMap::clone(&map) };
                settled(self.maps.replace(&map).await)?;
            }
            None => {
                let mut metadata = metadata(CA_CONFIG_MAP);
                let description = ("kubernetes.io/description".to_owned(), CA_DESCRIPTION.to_owned());
                metadata.annotations = Some(BTreeMap::from([description]));
                settled(self.maps.create(&ConfigMap { metadata, data: Some(data), ..ConfigMap::default() }).await)?;
            }
        }
        Ok(Next::Done)
    }
}

/// What somebody else has made, or a namespace that is going, needs nothing more.
fn settled<K>(result: kube::Result<K>) -> Result<(), Error> {
    match result {
        Err(error) if is_code(&error, 404) || namespace_ends(&error) => Ok(()),
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

fn account_name(secret: &Secret) -> &str {
    let annotations = secret.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(ACCOUNT_NAME)).map(String::as_str).unwrap_or_default()
}

/// The key of a secret that asks for a token.
fn token_secret(secret: &Secret) -> Option<Key> {
    let asks = secret.type_.as_deref() == Some(TOKEN_TYPE);
    let metadata = &secret.metadata;
    asks.then(|| Key::new(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default()))
}

struct Tokens {
    accounts: Cache<ServiceAccount>,
    secrets: Cache<Secret>,
    ca: String,
    signer: Signer,
}

impl Reconciler for Tokens {
    async fn reconcile(&self, key: Key, now: Timestamp) -> Result<Next, Error> {
        let Some(secret) = self.secrets.get(&key) else { return Ok(Next::Done) };
        if secret.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Done);
        }
        let account = self.accounts.get(&Key::new(key.namespace.clone(), account_name(&secret)));
        let named_uid = secret.metadata.annotations.as_ref().and_then(|all| all.get(ACCOUNT_UID));
        let account = account.filter(|account| named_uid.is_none_or(|uid| Some(uid) == account.metadata.uid.as_ref()));
        let Some(account) = account else { return self.delete(&key, &secret).await };
        if let Some(filled) = self.filled(&secret, &account, now)? {
            match self.secrets.replace(&filled).await {
                // Another writer was faster: the change wakes this secret again.
                Err(error) if is_code(&error, 409) || is_code(&error, 404) => {}
                other => drop(other?),
            }
        }
        Ok(Next::Done)
    }
}

impl Tokens {
    /// A token of an account that does not exist is of no use.
    async fn delete(&self, key: &Key, secret: &Secret) -> Result<Next, Error> {
        let preconditions = Some(Preconditions { uid: secret.metadata.uid.clone(), resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        match self.secrets.delete_object(key, &params).await {
            Err(error) if !is_code(&error, 409) => Err(error.into()),
            _ => Ok(Next::Done),
        }
    }

    /// The secret with what it lacks; none where it lacks nothing.
    fn filled(&self, secret: &Secret, account: &ServiceAccount, now: Timestamp) -> Result<Option<Secret>, Error> {
        let data = secret.data.as_ref();
        let has = |key: &str| data.and_then(|data| data.get(key)).is_some_and(|bytes| !bytes.0.is_empty());
        let ca_stands = data.and_then(|data| data.get(CA_KEY)).is_some_and(|bytes| bytes.0 == self.ca.as_bytes());
        if ca_stands && has("namespace") && has("token") {
            return Ok(None);
        }
        let mut filled = secret.clone();
        let annotations = filled.metadata.annotations.get_or_insert_default();
        annotations.insert(ACCOUNT_NAME.to_owned(), account.metadata.name.clone().unwrap_or_default());
        annotations.insert(ACCOUNT_UID.to_owned(), account.metadata.uid.clone().unwrap_or_default());
        let data = filled.data.get_or_insert_default();
        data.insert(CA_KEY.to_owned(), ByteString(self.ca.clone().into_bytes()));
        if !has("namespace") {
            let namespace = secret.metadata.namespace.clone().unwrap_or_default();
            data.insert("namespace".to_owned(), ByteString(namespace.into_bytes()));
        }
        if !has("token") {
            let token = (self.signer)(account, secret, now).map_err(Error::Other)?;
            data.insert("token".to_owned(), ByteString(token.into_bytes()));
        }
        Ok(Some(filled))
    }
}
