package dev.flowspan;

import dev.flowspan.v1.Segment;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.function.Supplier;

/** The messages of a watch over any number of connections, for as long as that makes sense. One reader at a time. */
final class ResumingStream {
  /** A message of a watch, of either kind. */
  record Piece(List<Segment> segments, long throughSeq, String runId, dev.flowspan.v1.RunStatus run) {}

  private final Connection connection;
  private final Supplier<PullStream<Piece>> open;
  private final Supplier<Boolean> isAccepted;
  private final Supplier<CompletableFuture<Boolean>> isBehindTheEnd;
  private final Function<FlowspanException, Boolean> maySubmitAgain;

  private PullStream<Piece> stream;
  private int retry;
  private long lostAt;
  private volatile boolean ended;
  private volatile boolean closed;

  /**
   * @param open begins at the cursor that the owner keeps
   * @param isAccepted whether the run is known to exist; before, the rules of a unary call hold
   * @param isBehindTheEnd whether nothing can come any more; asked when a stream ends before its run did
   */
  ResumingStream(
      Connection connection,
      Supplier<PullStream<Piece>> open,
      Supplier<Boolean> isAccepted,
      Supplier<CompletableFuture<Boolean>> isBehindTheEnd,
      Function<FlowspanException, Boolean> maySubmitAgain) {
    this.connection = connection;
    this.open = open;
    this.isAccepted = isAccepted;
    this.isBehindTheEnd = isBehindTheEnd;
    this.maySubmitAgain = maySubmitAgain;
  }

  boolean hasEnded() {
    return ended;
  }

  boolean isClosed() {
    return closed;
  }

  /** The next message; null where the stream was lost and is to be asked again, or where it has ended. */
  CompletableFuture<Piece> receive() {
    PullStream<Piece> current;
    try {
      synchronized (this) {
        if (closed) {
          throw new FlowspanException(Reason.REQUEST_CANCELLED, "the watch was closed");
        }
        stream = stream == null ? open.get() : stream;
        current = stream;
      }
    } catch (RuntimeException failure) {
      return Futures.failed(failure);
    }
    return current
        .read()
        .handle(
            (piece, failure) -> {
              if (failure != null) {
                return recover(FlowspanException.of(failure));
              }
              if (piece != null) {
                retry = 0;
                lostAt = 0;
                return CompletableFuture.completedFuture(piece);
              }
              return endOrLoss();
            })
        .thenCompose(Function.identity());
  }

  private CompletableFuture<Piece> endOrLoss() {
    return isBehindTheEnd
        .get()
        .handle(
            (isOver, failure) -> {
              if (failure != null) {
                return recover(FlowspanException.of(failure));
              }
              if (isOver) {
                ended = true;
                return CompletableFuture.<Piece>completedFuture(null);
              }
              return recover(new FlowspanException(Reason.UNAVAILABLE, "the stream ended before the run did"));
            })
        .thenCompose(Function.identity());
  }

  private CompletableFuture<Piece> recover(FlowspanException error) {
    hangUp();
    long now = System.nanoTime();
    lostAt = lostAt == 0 ? now : lostAt;
    long delay = connection.policy.delayMillis(retry, error);
    if (closed || !mayGoOn(error, now + TimeUnit.MILLISECONDS.toNanos(delay) - lostAt)) {
      return CompletableFuture.failedFuture(error);
    }
    retry++;
    connection.hurry();
    return connection.sleep(delay).thenApply(slept -> null);
  }

  private boolean mayGoOn(FlowspanException error, long lostNanos) {
    if (connection.isClosed()) {
      return false;
    }
    RetryPolicy policy = connection.policy;
    if (!isAccepted.get()) {
      return maySubmitAgain.apply(error) && retry < policy.maxRetries();
    }
    return error.isResumable() && (policy.giveUpAfter() == null || lostNanos <= policy.giveUpAfter().toNanos());
  }

  /** Ends the stream of now; the next {@link #receive} would begin another. */
  void hangUp() {
    PullStream<Piece> former;
    synchronized (this) {
      former = stream;
      stream = null;
    }
    if (former != null) {
      former.cancel();
    }
  }

  void close() {
    closed = true;
    hangUp();
  }
}
