package dev.flowspan;

import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/** From futures to calls that block. */
public final class Futures {
  private Futures() {}

  /**
   * What a future comes to. An interrupt cancels it.
   *
   * @throws FlowspanException as the future failed; REQUEST_CANCELLED if it was cancelled or this thread was interrupted
   */
  public static <T> T join(CompletableFuture<T> future) {
    try {
      return future.get();
    } catch (InterruptedException interrupted) {
      future.cancel(true);
      Thread.currentThread().interrupt();
      throw new FlowspanException(Reason.REQUEST_CANCELLED, "interrupted", interrupted);
    } catch (CancellationException cancelled) {
      throw new FlowspanException(Reason.REQUEST_CANCELLED, "cancelled", cancelled);
    } catch (ExecutionException failure) {
      FlowspanException cause = FlowspanException.of(failure);
      // The stack of the caller says more than that of the wire's thread; a copy is safe to throw twice.
      FlowspanException error =
          new FlowspanException(cause.reason(), cause.getMessage(), cause.details(), cause.isFromPeer(), cause);
      throw error;
    }
  }

  static <T> CompletableFuture<T> failed(Throwable failure) {
    return CompletableFuture.failedFuture(FlowspanException.of(failure));
  }
}
