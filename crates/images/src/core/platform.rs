//! Platforms of images, and which image of an index fits one.
//!
//! Rules: <https://github.com/containerd/platforms>, as far as Linux goes. It never asks which machine this is.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::manifest::architecture;

/// An operating system and an architecture.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// A text that is no platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("platform {0:?} is not written OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, as linux/amd64 or linux/arm/v7")]
pub struct PlatformError(String);

impl Platform {
    /// Linux on an architecture as Rust names it (`x86_64`).
    pub fn linux(rust_name: &str) -> Self {
        Self { os: "linux".to_owned(), architecture: architecture(rust_name).to_owned(), variant: None }
    }

    /// How well an image of `offered` runs here: the greater the better, `None` when it does not.
    pub fn fit(&self, offered: &Self) -> Option<u8> {
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        let (own, other) = (self.variant_number(), offered.variant_number());
        match (own, other) {
            (own, other) if own == other => Some(u8::MAX),
            // Later variants run what was made for earlier ones; the nearest is the best.
            (own, other) if other < own => Some(other),
            _ => None,
        }
    }

    /// The number in `v8`; the variant that an architecture without one means.
    fn variant_number(&self) -> u8 {
        let default = match self.architecture.as_str() {
            "arm64" => 8,
            "arm" => 7,
            _ => 1,
        };
        let given = self.variant.as_deref().and_then(|variant| variant.strip_prefix('v'));
        given.and_then(|number| number.split('.').next()?.parse().ok()).unwrap_or(default)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_good = |part: &&str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_'))
        };
        match parts.as_slice() {
            [os, machine, rest @ ..] if rest.len() <= 1 && parts.iter().all(is_good) => Ok(Self {
                os: (*os).to_owned(),
                architecture: architecture(machine).to_owned(),
                variant: rest.first().map(|variant| (*variant).to_owned()),
            }),
            _ => Err(PlatformError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn platforms_are_written_with_slashes() {
        assert_eq!(platform("linux/x86_64").to_string(), "linux/amd64");
        assert_eq!(platform("linux/arm/v7").to_string(), "linux/arm/v7");
        for bad in ["", "linux", "linux/", "linux/arm/v7/x", "linux/a b"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_machine_runs_its_own_variant_best_and_earlier_ones_too() {
        let own = platform("linux/arm/v7");
        assert!(own.fit(&platform("linux/arm/v7")) > own.fit(&platform("linux/arm/v6")));
        assert!(own.fit(&platform("linux/arm/v6")) > own.fit(&platform("linux/arm/v5")));
        assert_eq!(platform("linux/arm/v6").fit(&own), None);
        assert_eq!(platform("linux/arm64").fit(&platform("linux/arm64/v8")), Some(u8::MAX));
        assert_eq!(platform("linux/amd64").fit(&platform("linux/amd64/v3")), None);
        assert_eq!(platform("linux/amd64").fit(&platform("windows/amd64")), None);
    }
}
