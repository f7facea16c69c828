//! Proofs of origin: what a server made itself, it knows again, even after a restart.

use base64::{Engine, prelude::BASE64_STANDARD};

/// Signs what `model` said, so that a change of either shows.
pub(crate) fn sign(model: &str, said: &str) -> String {
    let proof = format!("ash-testkit {:016x}", hash(&format!("{model}\n{said}")));
    BASE64_STANDARD.encode(proof)
}

/// Hashes by FNV-1a: stable between builds, which the standard library's hasher is not.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
