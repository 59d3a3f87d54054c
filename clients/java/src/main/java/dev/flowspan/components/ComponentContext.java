package dev.flowspan.components;

import dev.flowspan.Blob;
import dev.flowspan.BlobType;
import dev.flowspan.ItemResult;
import dev.flowspan.ResultOrder;
import dev.flowspan.RunStatus;
import dev.flowspan.SubmitOptions;
import java.time.Duration;
import java.util.Collection;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/**
 * What a component may know, tell and ask while it executes. The calls to the gateway block; those that end in Async answer with
 * futures. What the gateway refuses is a {@link dev.flowspan.FlowspanException}.
 */
public interface ComponentContext {
  /** From 1; rises with every repetition of this step of this item. */
  int attempt();

  /** Equal over all attempts of this step of this item: give it to services that recognise repetitions. */
  String idempotencyToken();

  /** Links requests to this execution; sent with all of them. */
  String taskToken();

  /** The run. */
  String runId();

  /** Blob id of its flow. */
  String flowId();

  /** The step. */
  String stepId();

  /** The item of the run; -1 if the gateway does not tell. */
  long itemIndex();

  /** W3C trace context of this execution; null if there is none. */
  String traceparent();

  /** Values of the parameters in the component's path, such as {@code id} of {@code /users/{id}}. */
  Map<String, String> parameters();

  /** Whether the result is not wanted any more: the run was cancelled, the time is over or the gateway is gone. */
  boolean isCancelled();

  /** Completes when {@link #isCancelled()} turns true. */
  CompletableFuture<Void> cancellation();

  /** Tells watchers how far this execution is, 0 to 1. Never blocks; at most 20 a second are sent. */
  void reportProgress(double fraction, String message);

  /** Stores a value: bytes as a binary blob, anything else as JSON. Its id. */
  default String putBlob(Object value) {
    return putBlob(value, value instanceof byte[] ? BlobType.BINARY : BlobType.DATA);
  }

  /** Stores a blob; its id. */
  String putBlob(Object value, BlobType type);

  /** See {@link #putBlob(Object, BlobType)}. */
  CompletableFuture<String> putBlobAsync(Object value, BlobType type);

  /** Reads a blob. */
  Blob getBlob(String blobId);

  /** See {@link #getBlob}. */
  CompletableFuture<Blob> getBlobAsync(String blobId);

  /** Runs a stored flow over inputs, as a sub-run of this execution; answers as soon as the run is durable. */
  RunStatus submitRun(String flowId, Collection<?> inputs, SubmitOptions options);

  /** See {@link #submitRun}. */
  CompletableFuture<RunStatus> submitRunAsync(String flowId, Collection<?> inputs, SubmitOptions options);

  /**
   * As {@link #submitRun}, and waits for the end: the status with results by index. Waiting takes no slot and no time.
   *
   * @param timeout when it is over first, the status as it stands; null: as long as it takes
   */
  RunStatus submitRunAndWait(String flowId, Collection<?> inputs, SubmitOptions options, Duration timeout);

  /** See {@link #submitRunAndWait}. */
  CompletableFuture<RunStatus> submitRunAndWaitAsync(
      String flowId, Collection<?> inputs, SubmitOptions options, Duration timeout);

  /** The status of a run. */
  RunStatus getRun(String runId, boolean includeResults, ResultOrder order);

  /** See {@link #getRun}. */
  CompletableFuture<RunStatus> getRunAsync(String runId, boolean includeResults, ResultOrder order);

  /** Waits for the end of a run: the status with results. A {@code timeout} as in {@link #submitRunAndWait}. */
  RunStatus waitRun(String runId, Duration timeout, ResultOrder order);

  /** See {@link #waitRun}. */
  CompletableFuture<RunStatus> waitRunAsync(String runId, Duration timeout, ResultOrder order);

  /** Follows a run from a cursor, 0 for its beginning. An iterator of {@link ItemResult}. */
  ResultsWatch watchRun(String runId, long afterSeq);

  /** Cancels a run and its sub-runs; durable when this returns. */
  void cancelRun(String runId, String reason);

  /** See {@link #cancelRun}. */
  CompletableFuture<Void> cancelRunAsync(String runId, String reason);
}
