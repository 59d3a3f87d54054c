package dev.flowspan;

import java.time.Instant;
import java.util.Collection;
import java.util.List;
import java.util.Map;

/** Which runs a list shows: those that match all that is set. */
public final class ListOptions {
  List<RunState> statuses = List.of();
  String flowId = "";
  String label = "";
  Map<String, String> metadata = Map.of();
  Instant createdAfter;
  Instant createdBefore;
  String parentRunId = "";
  String rootRunId = "";
  int pageSize;

  /** Any of these. */
  public ListOptions statuses(Collection<RunState> statuses) {
    this.statuses = List.copyOf(statuses);
    return this;
  }

  /** Runs of this flow. */
  public ListOptions flowId(String flowId) {
    this.flowId = flowId;
    return this;
  }

  /** Runs with this label. */
  public ListOptions label(String label) {
    this.label = label;
    return this;
  }

  /** Runs with all of these. */
  public ListOptions metadata(Map<String, String> metadata) {
    this.metadata = Map.copyOf(metadata);
    return this;
  }

  /** Runs created at or after this moment. */
  public ListOptions createdAfter(Instant createdAfter) {
    this.createdAfter = createdAfter;
    return this;
  }

  /** Runs created before this moment. */
  public ListOptions createdBefore(Instant createdBefore) {
    this.createdBefore = createdBefore;
    return this;
  }

  /** Sub-runs of this run. */
  public ListOptions parentRunId(String parentRunId) {
    this.parentRunId = parentRunId;
    return this;
  }

  /** Runs of this tree. */
  public ListOptions rootRunId(String rootRunId) {
    this.rootRunId = rootRunId;
    return this;
  }

  /** Runs per page; default: the gateway's choice. */
  public ListOptions pageSize(int pageSize) {
    this.pageSize = pageSize;
    return this;
  }
}
