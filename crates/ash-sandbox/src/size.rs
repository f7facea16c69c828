//! Sizes as people write them: `512m`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::SandboxError;

/// A number of bytes above zero, written as a whole number and a unit (`b`, `k`, `m`, `g`; powers of
/// 1024).
///
/// The unit is required: a bare `512` would be bytes to one reader and megabytes to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

/// From large to small, so that the first that divides a size is how it is written.
const UNITS: [(char, u64); 4] = [('g', 1 << 30), ('m', 1 << 20), ('k', 1 << 10), ('b', 1)];

impl Size {
    /// Makes a size of that many mebibytes.
    ///
    /// # Panics
    /// Panics on zero, and on more than 64 bits hold.
    pub const fn mebibytes(count: u64) -> Self {
        assert!(count > 0, "a size is above zero");
        match count.checked_mul(1 << 20) {
            Some(bytes) => Self(bytes),
            None => panic!("a size fits into 64 bits"),
        }
    }

    /// Returns the number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = SandboxError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let unit = text.chars().next_back()?;
            let (_, factor) = UNITS
                .into_iter()
                .find(|(name, _)| *name == unit.to_ascii_lowercase())?;
            let digits = &text[..text.len() - 1];
            // `parse` alone would take "+5".
            if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let count: u64 = digits.parse().ok()?;
            count
                .checked_mul(factor)
                .filter(|bytes| *bytes > 0)
                .map(Self)
        };
        parse().ok_or_else(|| SandboxError::Size(text.to_owned()))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS
            .into_iter()
            .find(|(_, factor)| self.0.is_multiple_of(*factor))
            .expect("every size is a multiple of one byte");
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_size_is_a_whole_number_and_a_unit() {
        for (text, bytes) in [
            ("1b", 1),
            ("4k", 4096),
            ("512m", 512 << 20),
            ("512M", 512 << 20),
            ("2g", 2 << 30),
            ("007k", 7 << 10),
        ] {
            assert_eq!(text.parse::<Size>().unwrap().bytes(), bytes, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_and_quoted() {
        for text in [
            "",
            "m",
            "512",
            "0m",
            "-1m",
            "+1m",
            "1.5g",
            "1 m",
            " 1m",
            "1m ",
            "1mb",
            "1mib",
            "1t",
            "٣m",
            "1µ",
            "17179869184g",
        ] {
            let error = text.parse::<Size>().unwrap_err();
            assert_eq!(error, SandboxError::Size(text.to_owned()));
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes in 1u64..) {
            let size = Size(bytes);
            prop_assert_eq!(size.to_string().parse::<Size>(), Ok(size));
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = text.parse::<Size>();
        }
    }
}
