package dev.flowspan;

import java.time.Instant;
import java.util.List;
import java.util.Map;

/**
 * The state of a run as of event {@code asOfSeq}. What is not there is null.
 *
 * @param results null if they were not asked for
 * @param progress the only part that is not durable fact
 */
public record RunStatus(
    String runId,
    String flowId,
    String flowName,
    String flowLabel,
    RunState status,
    ItemCounts items,
    Instant createdAt,
    Instant completedAt,
    List<ItemResult> results,
    ResultsOmitted resultsOmitted,
    long asOfSeq,
    String rootRunId,
    String parentRunId,
    String sourceRunId,
    Map<String, String> metadata,
    long effectiveMaxConcurrency,
    String cancelReason,
    RunProgress progress) {

  /** Whether the run has ended. */
  public boolean isTerminal() {
    return status.isTerminal();
  }

  /** The same with other results, all of them. */
  public RunStatus withResults(List<ItemResult> all) {
    return new RunStatus(
        runId, flowId, flowName, flowLabel, status, items, createdAt, completedAt, all, null, asOfSeq, rootRunId, parentRunId,
        sourceRunId, metadata, effectiveMaxConcurrency, cancelReason, progress);
  }

  /**
   * This status, if no item failed and the run was not cancelled.
   *
   * @throws FlowspanException COMPONENT_FAILED or CANCELLED, with the first failure where results are here
   */
  public RunStatus throwForFailures() {
    if (status == RunState.CANCELLED) {
      throw new FlowspanException(
              Reason.CANCELLED, "run " + runId + " was cancelled" + (cancelReason == null ? "" : ": " + cancelReason))
          .with("runId", runId);
    }
    if (items.failed() == 0 && status != RunState.FAILED) {
      return this;
    }
    StringBuilder message = new StringBuilder(items.failed() + " of " + items.total() + " items of run " + runId + " failed");
    if (results != null) {
      results.stream()
          .filter(item -> item.outcome() == Outcome.FAILED)
          .findFirst()
          .ifPresent(item -> message.append("; item " + item.itemIndex() + ": " + item.error().code() + ": " + item.error().message()));
    }
    throw new FlowspanException(Reason.COMPONENT_FAILED, message.toString()).with("runId", runId).with("failed", items.failed());
  }
}
