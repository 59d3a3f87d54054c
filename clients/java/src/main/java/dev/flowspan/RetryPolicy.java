package dev.flowspan;

import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Which failures are worth another try, and when.
 *
 * @param maxRetries tries after the first one of a unary call
 * @param firstDelay bound of the wait before the first of them; doubles with each
 * @param longestDelay where the doubling ends
 * @param giveUpAfter how long a watch tries to resume without receiving anything; null: for ever
 */
public record RetryPolicy(int maxRetries, Duration firstDelay, Duration longestDelay, Duration giveUpAfter) {
  /** Two retries; watches resume for a minute. */
  public static final RetryPolicy DEFAULT =
      new RetryPolicy(2, Duration.ofMillis(200), Duration.ofSeconds(5), Duration.ofSeconds(60));

  /** How long to wait before a retry, counted from 0: with jitter, so that clients do not come back together. */
  long delayMillis(int retry, FlowspanException error) {
    double dice = ThreadLocalRandom.current().nextDouble();
    if (error.retryAfter().isPresent()) {
      return (long) (error.retryAfter().get().toMillis() * (1 + dice / 4));
    }
    double ceiling = Math.min(longestDelay.toMillis(), firstDelay.toMillis() * Math.pow(2, Math.min(retry, 30)));
    return (long) (ceiling * (0.5 + dice / 2));
  }
}
