//! Idempotency tokens: what makes a repeated execution recognisable. Gateways and component servers derive the same.

use sha2::{Digest, Sha256};

const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const TOKEN_DIGITS: usize = 26;

/// The token of one step of one item: the same for each attempt, also after a restart.
///
/// The first 26 digits of the lower-case base32 of a SHA-256 over run id, item index and step id, each as text with its length in
/// bytes and a colon before it, so that no two triples run together.
pub fn idempotency_token(run_id: &str, item_index: u64, step_id: &str) -> String {
    let item = item_index.to_string();
    let mut hash = Sha256::new();
    for part in [run_id, &item, step_id] {
        hash.update(part.len().to_string());
        hash.update(b":");
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut token = String::with_capacity(TOKEN_DIGITS);
    let (mut bits, mut count) = (0u32, 0);
    for byte in digest {
        bits = bits << 8 | u32::from(byte);
        count += 8;
        while count >= 5 && token.len() < TOKEN_DIGITS {
            count -= 5;
            token.push(DIGITS[(bits >> count & 31) as usize] as char);
        }
    }
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_gateways() {
        // The first is in docs/protocol/stdio.md.
        assert_eq!(idempotency_token("01a20405-1cb2-7994-b237-b12c826b5016", 0, "all"), "662gikzkpxm6pbnlgmaotghac6");
        assert_eq!(idempotency_token("01a20405-1cb6-703f-8446-651016d593e2", 1, "one"), "3vwdvlmtt3wmgeh4wroe5nr52n");
    }
}
