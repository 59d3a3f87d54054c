package dev.flowspan.components;

import dev.flowspan.AsyncFlowspanClient;
import dev.flowspan.Blob;
import dev.flowspan.BlobType;
import dev.flowspan.Futures;
import dev.flowspan.ItemResult;
import dev.flowspan.ResultOrder;
import dev.flowspan.RunStatus;
import dev.flowspan.SubmitOptions;
import dev.flowspan.Watch;
import java.time.Duration;
import java.util.Collection;
import java.util.concurrent.CompletableFuture;

/** The gateway over gRPC, in the name of one execution. */
record WorkerGateway(AsyncFlowspanClient client, Execution execution) implements Gateway {
  @Override
  public CompletableFuture<String> putBlob(Object value, BlobType type) {
    return client.putBlob(value, type);
  }

  @Override
  public CompletableFuture<Blob> getBlob(String blobId) {
    return client.getBlob(blobId);
  }

  @Override
  public CompletableFuture<RunStatus> submitRun(
      String flowId, Collection<?> inputs, SubmitOptions options, boolean wait, Duration timeout) {
    if (wait && timeout == null) {
      // One round trip, and results as they come.
      return client.run(flowId, inputs, options, ResultOrder.BY_INDEX);
    }
    CompletableFuture<RunStatus> submitted = client.submit(flowId, inputs, options);
    return wait
        ? submitted.thenCompose(run -> client.waitForResults(run.runId(), timeout, ResultOrder.BY_INDEX))
        : submitted;
  }

  @Override
  public CompletableFuture<RunStatus> getRun(
      String runId, boolean wait, Duration timeout, boolean includeResults, ResultOrder order) {
    return wait ? client.waitForResults(runId, timeout, order) : client.getRun(runId, includeResults, order);
  }

  @Override
  public CompletableFuture<Void> cancelRun(String runId, String reason) {
    return client.cancelRun(runId, reason).thenApply(status -> null);
  }

  @Override
  public ResultsWatch watchRun(String runId, long afterSeq) {
    return new Results(client.watch(runId, afterSeq, ResultOrder.BY_COMPLETION));
  }

  private final class Results implements ResultsWatch {
    private final Watch watch;
    private RunStatus end;

    Results(Watch watch) {
      this.watch = watch;
    }

    @Override
    public boolean hasNext() {
      execution.beginWait();
      try {
        boolean more = watch.hasNext();
        if (!more && end == null) {
          // A watch from a cursor does not see the run's first event, which the status is made of.
          end = watch.status() == null ? Futures.join(client.getRun(watch.runId())) : watch.status();
        }
        return more;
      } finally {
        execution.endWait();
      }
    }

    @Override
    public ItemResult next() {
      hasNext();
      return watch.next();
    }

    @Override
    public long cursor() {
      return watch.cursor();
    }

    @Override
    public RunStatus status() {
      return end;
    }

    @Override
    public void close() {
      watch.close();
    }
  }
}
