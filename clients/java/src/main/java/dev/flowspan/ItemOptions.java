package dev.flowspan;

import java.util.Collection;
import java.util.List;

/** Which results a list of items shows. */
public final class ItemOptions {
  List<Outcome> outcomes = List.of();
  ResultOrder order = ResultOrder.BY_INDEX;
  Long afterItemIndex;
  boolean merged;
  int pageSize = 10_000;

  /** Only these. */
  public ItemOptions outcomes(Collection<Outcome> outcomes) {
    this.outcomes = List.copyOf(outcomes);
    return this;
  }

  /** By index unless set. */
  public ItemOptions order(ResultOrder order) {
    this.order = order;
    return this;
  }

  /** Only items behind this index (by index). */
  public ItemOptions afterItemIndex(long afterItemIndex) {
    this.afterItemIndex = afterItemIndex;
    return this;
  }

  /** With retries of this run: the newest result of each item. */
  public ItemOptions merged() {
    this.merged = true;
    return this;
  }

  /** Results per page, at most; 10,000 unless set. */
  public ItemOptions pageSize(int pageSize) {
    this.pageSize = pageSize;
    return this;
  }
}
