package dev.flowspan;

import java.time.Duration;
import java.util.List;
import java.util.Map;

/** What else may be said about a run. What is not set is left to the gateway. */
public final class SubmitOptions {
  Long maxConcurrency;
  Object overrides;
  Object variables;
  String label;
  Map<String, String> metadata = Map.of();
  List<String> itemLabels = List.of();
  Duration deadline;
  boolean detached;
  String requestId;
  String taskToken;
  String traceparent;

  /** Bound on items running at once, at least 1; default 10. */
  public SubmitOptions maxConcurrency(long maxConcurrency) {
    this.maxConcurrency = maxConcurrency;
    return this;
  }

  /** Changes of the flow for this run: a JSON object. */
  public SubmitOptions overrides(Object overrides) {
    this.overrides = overrides;
    return this;
  }

  /** Values of the flow's variables: a JSON object. */
  public SubmitOptions variables(Object variables) {
    this.variables = variables;
    return this;
  }

  /** Comes back as {@link RunStatus#flowLabel()}. */
  public SubmitOptions label(String label) {
    this.label = label;
    return this;
  }

  /** Free; a filter of {@link ListOptions}. */
  public SubmitOptions metadata(Map<String, String> metadata) {
    this.metadata = Map.copyOf(metadata);
    return this;
  }

  /** One per input. */
  public SubmitOptions itemLabels(List<String> itemLabels) {
    this.itemLabels = List.copyOf(itemLabels);
    return this;
  }

  /** The run is cancelled when it has not ended by then. */
  public SubmitOptions deadline(Duration deadline) {
    this.deadline = deadline;
    return this;
  }

  /** A sub-run that goes on when its parent is cancelled. */
  public SubmitOptions detached() {
    this.detached = true;
    return this;
  }

  /** Makes the call safe to repeat by you; default: a new one for each call, for the client's own retries. */
  public SubmitOptions requestId(String requestId) {
    this.requestId = requestId;
    return this;
  }

  /** The execution that submits the run. */
  public SubmitOptions taskToken(String taskToken) {
    this.taskToken = taskToken;
    return this;
  }

  /** W3C trace context. */
  public SubmitOptions traceparent(String traceparent) {
    this.traceparent = traceparent;
    return this;
  }

  /** The values, for other wires. */
  public Long maxConcurrency() {
    return maxConcurrency;
  }

  /** See {@link #overrides(Object)}. */
  public Object overrides() {
    return overrides;
  }

  /** See {@link #variables(Object)}. */
  public Object variables() {
    return variables;
  }

  /** See {@link #label(String)}. */
  public String label() {
    return label;
  }

  /** See {@link #metadata(Map)}. */
  public Map<String, String> metadata() {
    return metadata;
  }

  /** See {@link #itemLabels(List)}. */
  public List<String> itemLabels() {
    return itemLabels;
  }

  /** See {@link #deadline(Duration)}. */
  public Duration deadline() {
    return deadline;
  }

  /** See {@link #detached()}. */
  public boolean isDetached() {
    return detached;
  }

  /** See {@link #requestId(String)}. */
  public String requestId() {
    return requestId;
  }

  /** The same, with a trace context unless there is one. */
  public SubmitOptions withTraceparent(String context) {
    SubmitOptions copy = new SubmitOptions();
    copy.maxConcurrency = maxConcurrency;
    copy.overrides = overrides;
    copy.variables = variables;
    copy.label = label;
    copy.metadata = metadata;
    copy.itemLabels = itemLabels;
    copy.deadline = deadline;
    copy.detached = detached;
    copy.requestId = requestId;
    copy.taskToken = taskToken;
    copy.traceparent = traceparent == null ? context : traceparent;
    return copy;
  }
}
