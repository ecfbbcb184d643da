//! Who holds a bearer token, and what they may do: asked of the Kubernetes API by `TokenReview` and `SubjectAccessReview`.
//!
//! So an embedded cluster and any other one are asked alike. Answers are kept for a moment: a right that was taken away, or
//! a token that is no longer good, counts for [`KEPT`] more.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec, UserInfo},
    authorization::v1::{NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{Api, Client, api::PostParams};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::{
    clock::SharedClock,
    identity::{Identity, MASTERS},
};

/// How long an answer counts, as long as a kube-apiserver keeps what a webhook says of a token.
const KEPT: Duration = Duration::from_secs(10);
/// Answers that are kept of each kind: more callers than one control plane serves in ten seconds, in under a megabyte.
const ANSWERS: usize = 4096;

/// The cluster could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("the cluster cannot be asked who you are and what you may do; try again")]
pub struct Error(#[source] pub kube::Error);

/// What somebody wants to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Asked {
    /// `get`, `list`, `create` …
    pub verb: &'static str,
    /// `pipelines.kubeflow.org`
    pub group: &'static str,
    /// `runs`
    pub resource: &'static str,
    pub subresource: &'static str,
    pub namespace: String,
    /// Empty for all. Where there is no resource, a path.
    pub name: String,
}

impl Asked {
    /// To read what is at a path, as `/metrics`.
    pub fn path(path: &str) -> Self {
        Self { verb: "get", name: path.to_owned(), ..Self::default() }
    }
}

/// Asks and remembers. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    inner: Arc<Inner>,
}

/// A user, the groups that count, and what is asked for.
type Right = (String, Vec<String>, Asked);

struct Inner {
    client: Client,
    clock: SharedClock,
    audience: String,
    administrator: Option<[u8; 32]>,
    tokens: Mutex<Answers<[u8; 32], Option<Identity>>>,
    rights: Mutex<Answers<Right, bool>>,
}

impl Access {
    /// Asks through `client`, which must be allowed to create both reviews. Tokens are taken that are for the API server
    /// or for `audience`.
    pub fn new(client: Client, clock: SharedClock, audience: impl Into<String>) -> Self {
        let (tokens, rights) = (Mutex::default(), Mutex::default());
        let audience = audience.into();
        Self { inner: Arc::new(Inner { client, clock, audience, administrator: None, tokens, rights }) }
    }

    /// The same, with a token that stands for the administrator without being asked about.
    #[must_use]
    pub fn with_administrator(self, token: &str) -> Self {
        let old = &self.inner;
        let inner = Inner {
            client: old.client.clone(),
            clock: old.clock.clone(),
            audience: old.audience.clone(),
            administrator: Some(digest(token)),
            tokens: Mutex::default(),
            rights: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The clock by which answers count.
    pub fn clock(&self) -> &SharedClock {
        &self.inner.clock
    }

    /// Who holds a token; `None` where it is not good.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn identify(&self, token: &str) -> Result<Option<Identity>, Error> {
        let inner = &*self.inner;
        let digest = digest(token);
        // What is compared is a digest, so that the time it takes tells nothing of the token.
        if inner.administrator == Some(digest) {
            return Ok(Some(Identity::administrator()));
        }
        if let Some(known) = lock(&inner.tokens).get(&digest, inner.clock.instant()) {
            return Ok(known);
        }
        let mut found = inner.review(token, None).await?;
        if found.is_none() {
            found = inner.review(token, Some(vec![inner.audience.clone()])).await?;
        }
        lock(&inner.tokens).put(digest, found.clone(), inner.clock.instant());
        Ok(found)
    }

    /// Whether `identity` may do it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn may(&self, identity: &Identity, asked: Asked) -> Result<bool, Error> {
        if identity.in_group(MASTERS) {
            return Ok(true);
        }
        let inner = &*self.inner;
        let key = (identity.name.clone(), identity.groups.clone(), asked);
        if let Some(known) = lock(&inner.rights).get(&key, inner.clock.instant()) {
            return Ok(known);
        }
        let allowed = inner.allowed(identity, &key.2).await?;
        lock(&inner.rights).put(key, allowed, inner.clock.instant());
        Ok(allowed)
    }
}

impl Inner {
    async fn review(&self, token: &str, audiences: Option<Vec<String>>) -> Result<Option<Identity>, Error> {
        let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences };
        let review = TokenReview { spec, ..TokenReview::default() };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await.map_err(Error)?;
        let status = answer.status.filter(|status| status.authenticated == Some(true));
        Ok(status.and_then(|status| status.user).map(identity))
    }

    async fn allowed(&self, identity: &Identity, asked: &Asked) -> Result<bool, Error> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let is_path = asked.resource.is_empty();
        let non_resource_attributes =
            is_path.then(|| NonResourceAttributes { verb: some(asked.verb), path: some(&asked.name) });
        let attributes = ResourceAttributes {
            verb: some(asked.verb),
            group: some(asked.group),
            resource: some(asked.resource),
            subresource: some(asked.subresource),
            namespace: some(&asked.namespace),
            name: some(&asked.name),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some(identity.name.clone()),
            groups: Some(identity.groups.clone()),
            uid: some(&identity.uid),
            extra: (!identity.extra.is_empty()).then(|| identity.extra.clone()),
            resource_attributes: (!is_path).then_some(attributes),
            non_resource_attributes,
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await.map_err(Error)?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}

fn identity(user: UserInfo) -> Identity {
    Identity {
        name: user.username.unwrap_or_default(),
        uid: user.uid.unwrap_or_default(),
        groups: user.groups.unwrap_or_default(),
        extra: user.extra.unwrap_or_default(),
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers with the time until which they count.
struct Answers<K, V>(HashMap<K, (V, Instant)>);

impl<K, V> Default for Answers<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, V: Clone> Answers<K, V> {
    fn get(&self, key: &K, now: Instant) -> Option<V> {
        self.0.get(key).filter(|(_, until)| *until > now).map(|(value, _)| value.clone())
    }

    fn put(&mut self, key: K, value: V, now: Instant) {
        if self.0.len() >= ANSWERS {
            self.0.retain(|_, (_, until)| *until > now);
        }
        if self.0.len() >= ANSWERS {
            self.0.clear();
        }
        self.0.insert(key, (value, now + KEPT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_count_for_a_moment_and_are_bounded() {
        let (mut answers, now) = (Answers::default(), Instant::now());
        answers.put(1, "one", now);
        assert_eq!(answers.get(&1, now), Some("one"));
        assert_eq!(answers.get(&1, now + KEPT), None);
        for key in 0..2 * ANSWERS {
            answers.put(key, "many", now);
        }
        assert!(answers.0.len() <= ANSWERS);
    }
}
