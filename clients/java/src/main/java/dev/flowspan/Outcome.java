package dev.flowspan;

import java.util.Locale;

/** How an item ended. */
public enum Outcome {
  /** It has a value. */
  SUCCESS,
  /** It has an error. */
  FAILED,
  /** The flow skipped it; that counts as a success. */
  SKIPPED,
  /** A cancel ended it after it had started. */
  CANCELLED;

  /** The word on the wire. */
  public String word() {
    return name().toLowerCase(Locale.ROOT);
  }

  dev.flowspan.v1.Outcome message() {
    return dev.flowspan.v1.Outcome.forNumber(ordinal() + 1);
  }

  static Outcome of(dev.flowspan.v1.Outcome outcome) {
    int number = outcome == dev.flowspan.v1.Outcome.UNRECOGNIZED ? 2 : Math.max(1, outcome.getNumber());
    return values()[number - 1];
  }
}
