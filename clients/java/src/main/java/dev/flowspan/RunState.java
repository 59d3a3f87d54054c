package dev.flowspan;

import java.util.Locale;

/** Where a run stands; final from {@link #SUCCESS} on. */
public enum RunState {
  /** Accepted; no item has started. */
  PENDING,
  /** At least one item has started. */
  RUNNING,
  /** Every item succeeded or was skipped; also a run of no items. */
  SUCCESS,
  /** At least one item failed. */
  FAILED,
  /** The run was cancelled before its end. */
  CANCELLED;

  /** Whether it is the last state. */
  public boolean isTerminal() {
    return compareTo(SUCCESS) >= 0;
  }

  /** The word on the wire. */
  public String word() {
    return name().toLowerCase(Locale.ROOT);
  }

  /** The state of a word on the wire. */
  public static RunState ofWord(String word) {
    for (RunState state : values()) {
      if (state.word().equals(word)) {
        return state;
      }
    }
    throw new FlowspanException(Reason.INVALID_ARGUMENT, "a run is never " + word);
  }

  dev.flowspan.v1.RunStatus.Status message() {
    return dev.flowspan.v1.RunStatus.Status.forNumber(ordinal() + 1);
  }

  static RunState of(dev.flowspan.v1.RunStatus.Status status) {
    int number = status == dev.flowspan.v1.RunStatus.Status.UNRECOGNIZED ? 2 : Math.max(1, status.getNumber());
    return values()[number - 1];
  }
}
