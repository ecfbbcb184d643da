//! Service-account tokens: signed with ES256, in the claims that Kubernetes uses.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ferroflow_platform::identity::Identity;
use jiff::Timestamp;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey},
};
use serde_json::{Value, json};

use super::Error;

/// Who signs, and the audience of a token that names none.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// What a token is bound to beside its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// `Pod` or `Secret`.
    pub kind: String,
    pub name: String,
    pub uid: String,
    /// Name and uid of the node that the pod is on.
    pub node: Option<(String, String)>,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    pub namespace: String,
    pub account: String,
    pub account_uid: String,
    pub audiences: Vec<String>,
    pub bound: Option<Bound>,
    pub id: String,
    /// `None` for a token that lies in a Secret and lives as long as that.
    pub expires: Option<Timestamp>,
}

impl Claims {
    /// The user that the token stands for.
    pub fn identity(&self) -> Identity {
        let mut identity = Identity::service_account(&self.namespace, &self.account, &self.account_uid);
        let mut extra = |name: &str, value: &str| {
            identity.extra.insert(format!("authentication.kubernetes.io/{name}"), vec![value.to_owned()]);
        };
        extra("credential-id", &format!("JTI={}", self.id));
        if let Some(bound) = self.bound.as_ref().filter(|bound| bound.kind == "Pod") {
            extra("pod-name", &bound.name);
            extra("pod-uid", &bound.uid);
            if let Some((name, uid)) = &bound.node {
                extra("node-name", name);
                extra("node-uid", uid);
            }
        }
        identity
    }

    fn to_json(&self, now: Timestamp) -> Value {
        let mut private = json!({
            "namespace": self.namespace,
            "serviceaccount": {"name": self.account, "uid": self.account_uid},
        });
        if let Some(bound) = &self.bound {
            private[bound.kind.to_lowercase()] = json!({"name": bound.name, "uid": bound.uid});
            if let Some((name, uid)) = &bound.node {
                private["node"] = json!({"name": name, "uid": uid});
            }
        }
        let mut claims = json!({
            "aud": self.audiences,
            "iat": now.as_second(),
            "iss": ISSUER,
            "jti": self.id,
            "kubernetes.io": private,
            "nbf": now.as_second(),
            "sub": format!("system:serviceaccount:{}:{}", self.namespace, self.account),
        });
        if let Some(expires) = self.expires {
            claims["exp"] = expires.as_second().into();
        }
        claims
    }

    fn from_json(claims: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let private = &claims["kubernetes.io"];
        let bound = [("Pod", "pod"), ("Secret", "secret")].into_iter().find_map(|(kind, field)| {
            let name = text(&private[field]["name"])?;
            let node = text(&private["node"]["name"]).zip(text(&private["node"]["uid"]));
            Some(Bound { kind: kind.to_owned(), name, uid: text(&private[field]["uid"])?, node })
        });
        Some(Self {
            namespace: text(&private["namespace"])?,
            account: text(&private["serviceaccount"]["name"])?,
            account_uid: text(&private["serviceaccount"]["uid"])?,
            audiences: claims["aud"].as_array()?.iter().filter_map(text).collect(),
            bound,
            id: text(&claims["jti"]).unwrap_or_default(),
            expires: claims["exp"].as_i64().and_then(|second| Timestamp::from_second(second).ok()),
        })
    }
}

/// The key that signs and verifies.
pub struct TokenKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl TokenKey {
    /// A new key, as PKCS #8.
    ///
    /// # Errors
    /// [`Error::Make`] when the system has no randomness.
    pub fn generate() -> Result<Vec<u8>, Error> {
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map(|document| document.as_ref().to_vec())
            .map_err(|error| Error::Make(error.to_string()))
    }

    /// The key of a PKCS #8 document.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, Error> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document, &random)
            .map_err(|_| Error::Damaged("service-account.key"))?;
        Ok(Self { pair, random })
    }

    /// Signs claims.
    ///
    /// # Errors
    /// [`Error::Make`] when the system has no randomness.
    pub fn sign(&self, claims: &Claims, now: Timestamp) -> Result<String, Error> {
        let header = json!({"alg": "ES256", "kid": self.id(), "typ": "JWT"});
        let text = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_json(now).to_string()));
        let signature =
            self.pair.sign(&self.random, text.as_bytes()).map_err(|error| Error::Make(error.to_string()))?;
        Ok(format!("{text}.{}", BASE64.encode(signature)))
    }

    /// The claims of a token that this key has signed and that has not expired.
    pub fn verify(&self, token: &str, now: Timestamp) -> Option<Claims> {
        let (text, signature) = token.rsplit_once('.')?;
        let (_, payload) = text.split_once('.')?;
        let signature = BASE64.decode(signature).ok()?;
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref());
        key.verify(text.as_bytes(), &signature).ok()?;
        let claims = Claims::from_json(&serde_json::from_slice(&BASE64.decode(payload).ok()?).ok()?)?;
        claims.expires.is_none_or(|expires| expires > now).then_some(claims)
    }

    /// Names the key: the start of its public half.
    fn id(&self) -> String {
        BASE64.encode(self.pair.public_key().as_ref().get(1..25).unwrap_or_default())
    }

    /// The public key as a JSON Web Key Set.
    pub fn key_set(&self) -> Value {
        // An uncompressed point: 4, then two coordinates of 32 bytes.
        let point = self.pair.public_key().as_ref();
        let (x, y) = (point.get(1..33).unwrap_or_default(), point.get(33..65).unwrap_or_default());
        json!({"keys": [{
            "use": "sig", "kty": "EC", "kid": self.id(), "crv": "P-256", "alg": "ES256",
            "x": BASE64.encode(x), "y": BASE64.encode(y),
        }]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(expires: Timestamp) -> Claims {
        Claims {
            namespace: "a".to_owned(),
            account: "b".to_owned(),
            account_uid: "u".to_owned(),
            audiences: vec![ISSUER.to_owned()],
            bound: Some(Bound {
                kind: "Pod".to_owned(),
                name: "p".to_owned(),
                uid: "v".to_owned(),
                node: Some(("n".to_owned(), "w".to_owned())),
            }),
            id: "i".to_owned(),
            expires: Some(expires),
        }
    }

    #[test]
    fn a_token_says_what_was_signed_until_it_expires() {
        let key = TokenKey::from_pkcs8(&TokenKey::generate().unwrap()).unwrap();
        let now = Timestamp::from_second(1_000_000).unwrap();
        let later = Timestamp::from_second(1_000_600).unwrap();
        let token = key.sign(&claims(later), now).unwrap();
        assert_eq!(key.verify(&token, now), Some(claims(later)));
        assert_eq!(key.verify(&token, later), None);
        assert_eq!(key.verify(&token.replace('.', ".x"), now), None);
    }
}
