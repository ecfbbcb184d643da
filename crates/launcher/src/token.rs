//! When a step's token expires; the control plane alone knows whether it is genuine.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// Seconds since 1970 at which the token is void; `None` where it cannot be read.
pub fn expiry(token: &str) -> Option<u64> {
    let claims: Value = serde_json::from_slice(&base64url(token.split('.').next()?)?).ok()?;
    claims.get("exp")?.as_u64()
}

/// Whether that has come.
pub fn has_come(expiry: Option<u64>) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    expiry.is_some_and(|expiry| expiry <= now)
}

fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.bytes() {
        let six = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_when_it_expires() {
        // {"aud":"ferroflow.dev/step","exp":1700000000}
        let token = "eyJhdWQiOiJmZXJyb2Zsb3cuZGV2L3N0ZXAiLCJleHAiOjE3MDAwMDAwMDB9.c2lnbmF0dXJl";
        assert_eq!(expiry(token), Some(1_700_000_000));
        for broken in ["", ".", "a.b", "e30.x", "!!!"] {
            assert_eq!(expiry(broken), None, "{broken}");
        }
        assert!(has_come(Some(1)) && !has_come(Some(u64::MAX)) && !has_come(None));
    }
}
