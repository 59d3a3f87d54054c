//! Which failures are worth another try, and when.

use std::time::Duration;

use crate::error::Error;

/// How often and how far apart.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Tries after the first one of a unary call.
    pub max_retries: u32,
    /// Bound of the wait before the first of them; doubles with each.
    pub first_delay: Duration,
    /// Where the doubling ends.
    pub longest_delay: Duration,
    /// How long a watch tries to resume without receiving anything; None: for ever.
    pub give_up_after: Option<Duration>,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            max_retries: 2,
            first_delay: Duration::from_millis(200),
            longest_delay: Duration::from_secs(5),
            give_up_after: Some(Duration::from_secs(60)),
        }
    }
}

impl RetryPolicy {
    /// How long to wait before retry number `retry` (from 0). `dice`: 0 to 1, so that clients do not come back together. A time
    /// that the peer named is kept, and up to a quarter more is added to it.
    pub(crate) fn delay(&self, retry: u32, dice: f64, error: &Error) -> Duration {
        match error.retry_after() {
            Some(named) => named.mul_f64(1.0 + dice / 4.0),
            None => back_off(self.first_delay, self.longest_delay, retry, dice),
        }
    }
}

/// Half to the whole of a bound that doubles from `first` to `longest`.
pub(crate) fn back_off(first: Duration, longest: Duration, retry: u32, dice: f64) -> Duration {
    let bound = first.saturating_mul(1 << retry.min(20)).min(longest);
    bound.mul_f64(0.5 + dice / 2.0)
}

/// Whether a watch goes on from its cursor: as for a call, and where the stream was cut rather than refused.
pub(crate) fn may_resume(error: &Error) -> bool {
    error.retryable() || error.reason().grpc_code() == tonic::Code::Aborted
}

/// A number from 0 to 1, for jitter.
pub(crate) fn dice() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

/// A random UUID (version 4).
pub(crate) fn new_id() -> String {
    let mut bytes = [0u8; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // Without a source of randomness: the time and the process are as good as it gets.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        bytes = (now.as_nanos() ^ u128::from(std::process::id()) << 96).to_be_bytes();
    }
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Reason;

    #[test]
    fn delays_double_to_their_bound_and_hints_are_kept() {
        let policy = RetryPolicy::default();
        let plain = Error::new(Reason::Unavailable, "");
        assert_eq!(policy.delay(0, 1.0, &plain), Duration::from_millis(200));
        assert_eq!(policy.delay(1, 0.0, &plain), Duration::from_millis(200));
        assert_eq!(policy.delay(30, 1.0, &plain), Duration::from_secs(5));
        let hinted = Error::new(Reason::Overloaded, "").with("retryAfterMs", 1000);
        assert_eq!(policy.delay(7, 1.0, &hinted), Duration::from_millis(1250));
    }

    #[test]
    fn a_cut_stream_goes_on_and_a_refused_one_does_not() {
        assert!(may_resume(&Error::new(Reason::Fenced, "")));
        assert!(!may_resume(&Error::new(Reason::Internal, "")));
        assert!(!may_resume(&Error::new(Reason::RunNotFound, "")));
    }

    #[test]
    fn ids_are_uuids_and_differ() {
        let (one, other) = (new_id(), new_id());
        assert_ne!(one, other);
        assert_eq!((one.len(), &one[14..15]), (36, "4"));
    }
}
