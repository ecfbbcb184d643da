//! Step tokens: what lets one launcher, of one attempt of one task, in.
//!
//! A token is `CLAIMS.SIGNATURE`, both base64url without padding: the claims as JSON, and their HMAC-SHA256 under the
//! control plane's key. It is no JWT, since it is read by nobody else, and there is no algorithm to choose.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;

use super::step::{AUDIENCE, StepClaims};

/// Bytes of a key: as many as the digest has.
pub const KEY_BYTES: usize = 32;
/// Bytes of a token: claims of about 250, and room for longer names.
const LONGEST: usize = 4096;
/// What is signed begins with this, so that a signature made with the same key for another purpose is none here.
const PURPOSE: &[u8] = b"ferroflow.dev/step-token/1\0";

/// Why a token does not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the token is not one that this control plane has signed")]
    Forged,
    #[error("the token is for another audience than \"{AUDIENCE}\"")]
    Audience,
    #[error("the token has expired")]
    Expired,
}

/// Signs and checks tokens.
#[derive(Clone, Debug)]
pub struct TokenKey(hmac::Key);

impl TokenKey {
    /// From [`KEY_BYTES`] random bytes that stay the same over restarts.
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The token of `claims`.
    pub fn sign(&self, claims: &StepClaims) -> String {
        // Strings and numbers always have a form in JSON.
        let claims = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).unwrap_or_default());
        let signature = hmac::sign(&self.0, &signed(&claims));
        format!("{claims}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    /// What a token says, at `now` in seconds since 1970.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str, now: i64) -> Result<StepClaims, TokenError> {
        if token.len() > LONGEST {
            return Err(TokenError::Forged);
        }
        let (claims, signature) = token.split_once('.').ok_or(TokenError::Forged)?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Forged)?;
        hmac::verify(&self.0, &signed(claims), &signature).map_err(|_| TokenError::Forged)?;
        let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).map_err(|_| TokenError::Forged)?;
        let claims: StepClaims = serde_json::from_slice(&claims).map_err(|_| TokenError::Forged)?;
        if claims.aud != AUDIENCE {
            return Err(TokenError::Audience);
        }
        if claims.exp <= now { Err(TokenError::Expired) } else { Ok(claims) }
    }
}

fn signed(claims: &str) -> Vec<u8> {
    [PURPOSE, claims.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> StepClaims {
        StepClaims { aud: AUDIENCE.to_owned(), run: "r".to_owned(), task: "t".to_owned(), attempt: 2, exp: 1000 }
    }

    #[test]
    fn a_token_says_what_was_signed_until_it_expires() {
        let key = TokenKey::new(&[7; KEY_BYTES]);
        let token = key.sign(&claims());
        assert_eq!(key.verify(&token, 999), Ok(claims()));
        assert_eq!(key.verify(&token, 1000), Err(TokenError::Expired));
    }

    #[test]
    fn a_token_for_another_audience_does_not_let_in() {
        let key = TokenKey::new(&[7; KEY_BYTES]);
        let other = StepClaims { aud: "kubernetes".to_owned(), ..claims() };
        assert_eq!(key.verify(&key.sign(&other), 0), Err(TokenError::Audience));
    }

    #[test]
    fn a_changed_token_does_not_let_in() {
        let key = TokenKey::new(&[7; KEY_BYTES]);
        let token = key.sign(&claims());
        let (mine, signature) = token.split_once('.').unwrap();
        let later = TokenKey::new(&[8; KEY_BYTES]).sign(&StepClaims { exp: 2000, ..claims() });
        let (theirs, other) = later.split_once('.').unwrap();
        for forged in [
            String::new(),
            mine.to_owned(),
            format!("{mine}."),
            format!("{mine}.{other}"),
            format!("{theirs}.{signature}"),
            format!("{theirs}.{other}"),
            format!("{mine}.{signature}A"),
            format!("{mine}.{}", &signature[..signature.len() - 2]),
            "a".repeat(10_000),
        ] {
            assert_eq!(key.verify(&forged, 0), Err(TokenError::Forged), "{forged}");
        }
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'B' { b'C' } else { b'B' };
            assert!(key.verify(&String::from_utf8(bytes).unwrap(), 0).is_err(), "{at}");
        }
    }
}
