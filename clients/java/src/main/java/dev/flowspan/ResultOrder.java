package dev.flowspan;

/** The order of item results. */
public enum ResultOrder {
  /** By item index, rising. */
  BY_INDEX("byIndex"),
  /** In the order in which the items completed, which is the order of the log. */
  BY_COMPLETION("byCompletion");

  private final String word;

  ResultOrder(String word) {
    this.word = word;
  }

  /** The word on the wire. */
  public String word() {
    return word;
  }

  dev.flowspan.v1.ResultOrder message() {
    return this == BY_INDEX
        ? dev.flowspan.v1.ResultOrder.RESULT_ORDER_BY_INDEX
        : dev.flowspan.v1.ResultOrder.RESULT_ORDER_BY_COMPLETION;
  }
}
