//! Whether and when a lost stream is taken up again.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::Error;
use crate::retry::{self, RetryPolicy};

pub(crate) struct Resumption {
    policy: RetryPolicy,
    retry: u32,
    lost_at: Option<Instant>,
}

impl Resumption {
    pub fn new(policy: RetryPolicy) -> Resumption {
        Resumption { policy, retry: 0, lost_at: None }
    }

    /// A message came.
    pub fn succeeded(&mut self) {
        self.retry = 0;
        self.lost_at = None;
    }

    /// How long to wait; None: the stream cannot go on. `is_accepted`: whether the run is known to exist; before, the rules of a
    /// unary call hold.
    pub fn next_delay(&mut self, error: &Error, is_accepted: bool) -> Option<Duration> {
        let now = Instant::now();
        let lost_at = *self.lost_at.get_or_insert(now);
        let delay = self.policy.delay(self.retry, retry::dice(), error);
        let may_go_on = if is_accepted {
            let lost = now + delay - lost_at;
            retry::may_resume(error) && self.policy.give_up_after.is_none_or(|bound| lost <= bound)
        } else {
            error.retryable() && self.retry < self.policy.max_retries
        };
        self.retry += 1;
        may_go_on.then_some(delay)
    }
}
