//! Base64 as Go's `encoding/base64` reads it: line breaks are skipped, and a fault has a place.
//!
//! Answers the bytes or the place of the fault; which words stand around that place is the caller's.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

/// Go reads bits behind the last byte, and forgets them.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);

/// The standard alphabet, with padding.
pub const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
/// The alphabet of URLs, with padding.
pub const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The bytes of a text.
///
/// # Errors
/// The offset that Go names in `illegal base64 data at input byte`.
pub fn decode(engine: &GeneralPurpose, text: &str) -> Result<Vec<u8>, usize> {
    let plain: Vec<u8> = text.bytes().filter(|byte| !is_break(*byte)).collect();
    engine.decode(plain).map_err(|_| fault(engine, text.as_bytes()))
}

fn is_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Where Go's `decodeQuantum` gives up: four letters at a time, and the last four may end in padding.
fn fault(engine: &GeneralPurpose, text: &[u8]) -> usize {
    let mut next = 0;
    let mut held = 0;
    while let Some(byte) = text.get(next).copied() {
        next += 1;
        if is_letter(engine, byte) {
            held = (held + 1) % 4;
        } else if byte == b'=' && held >= 2 {
            return after_padding(text, next, held);
        } else if !is_break(byte) {
            return next - 1;
        }
    }
    next - held
}

/// The place of a fault behind the first `=`.
fn after_padding(text: &[u8], mut next: usize, held: usize) -> usize {
    let skip_breaks = |next: usize| next + text[next..].iter().take_while(|byte| is_break(**byte)).count();
    if held == 2 {
        next = skip_breaks(next);
        match text.get(next) {
            None => return text.len(),
            Some(b'=') => next += 1,
            Some(_) => return next - 1,
        }
    }
    skip_breaks(next)
}

fn is_letter(engine: &GeneralPurpose, byte: u8) -> bool {
    engine.decode([byte, b'A', b'A', b'A']).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_stand_where_go_finds_them() {
        for (text, expect) in [
            ("abc", 0),
            ("aGVsbG8", 4),
            ("a*bc", 1),
            ("YQ=", 3),
            ("YQ=a", 2),
            ("YQ==YQ==", 4),
            ("YWI=\n=", 5),
            ("=", 0),
            ("aGVs\nbG8", 5),
            ("ab-_", 2),
        ] {
            assert_eq!(decode(&STANDARD, text), Err(expect), "{text:?}");
        }
    }

    #[test]
    fn line_breaks_and_spare_bits_are_no_faults() {
        for (text, expect) in [("YQ==", "a"), ("YR==", "a"), ("aG\r\nVs\n", "hel"), ("", "")] {
            assert_eq!(decode(&STANDARD, text).as_deref(), Ok(expect.as_bytes()), "{text:?}");
        }
        assert_eq!(decode(&URL_SAFE, "_-8="), Ok(vec![0xff, 0xef]));
    }
}
