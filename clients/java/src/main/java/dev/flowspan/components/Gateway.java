package dev.flowspan.components;

import dev.flowspan.Blob;
import dev.flowspan.BlobType;
import dev.flowspan.ResultOrder;
import dev.flowspan.RunStatus;
import dev.flowspan.SubmitOptions;
import java.time.Duration;
import java.util.Collection;
import java.util.concurrent.CompletableFuture;

/** The gateway as one execution sees it, on whatever wire. */
interface Gateway {
  CompletableFuture<String> putBlob(Object value, BlobType type);

  CompletableFuture<Blob> getBlob(String blobId);

  CompletableFuture<RunStatus> submitRun(
      String flowId, Collection<?> inputs, SubmitOptions options, boolean wait, Duration timeout);

  CompletableFuture<RunStatus> getRun(String runId, boolean wait, Duration timeout, boolean includeResults, ResultOrder order);

  CompletableFuture<Void> cancelRun(String runId, String reason);

  ResultsWatch watchRun(String runId, long afterSeq);
}
