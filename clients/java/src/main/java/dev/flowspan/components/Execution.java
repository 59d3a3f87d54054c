package dev.flowspan.components;

import dev.flowspan.Blob;
import dev.flowspan.BlobType;
import dev.flowspan.FlowspanException;
import dev.flowspan.Futures;
import dev.flowspan.IdempotencyToken;
import dev.flowspan.RawJson;
import dev.flowspan.Reason;
import dev.flowspan.ResultOrder;
import dev.flowspan.RunStatus;
import dev.flowspan.SubmitOptions;
import java.time.Duration;
import java.util.Collection;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;

/** One execution of one item, and what its component may do. */
final class Execution implements ComponentContext {
  /** What the executions of one step of one run share, or what came with a single one. */
  static final class Origin {
    String runId;
    String flowId;
    String stepId;
    String traceId;
    String flags = "01";
    String tokenPrefix;
    String spanPrefix;

    // Of a single one.
    String taskToken;
    String idempotencyToken;
    String traceparent;
    RawJson observability;
  }

  enum State {
    HELD,
    BEGUN,
    DROPPED
  }

  private static final long PROGRESS_INTERVAL_NANOS = 50_000_000;

  final Engine engine;
  final Registry.Component component;
  final Map<String, String> parameters;
  final Origin origin;
  final long number;

  /** The id as JSON, where it is no whole number. */
  final String otherId;

  final boolean inBulk;
  final long itemIndex;
  final int attempt;
  final RawJson input;
  final long timeoutNanos;

  // Of the engine's lock.
  State state = State.HELD;
  boolean answered;
  boolean toldBegun;
  long beganAt;
  long timedOutAt;
  private int waits;
  private long waitingSince;
  private long waitedNanos;

  private final CompletableFuture<Void> cancellation = new CompletableFuture<>();
  private volatile Failure stop;
  private Thread thread;
  private Future<?> pending;
  private long progressAt;

  Execution(
      Engine engine,
      Registry.Found found,
      Origin origin,
      long number,
      String otherId,
      boolean inBulk,
      long itemIndex,
      int attempt,
      RawJson input,
      long timeoutNanos) {
    this.engine = engine;
    this.component = found == null ? null : found.component();
    this.parameters = found == null ? Map.of() : found.parameters();
    this.origin = origin;
    this.number = number;
    this.otherId = otherId;
    this.inBulk = inBulk;
    this.itemIndex = itemIndex;
    this.attempt = attempt;
    this.input = input;
    this.timeoutNanos = timeoutNanos;
  }

  Object key() {
    return otherId == null ? (Object) number : otherId;
  }

  String idText() {
    return otherId == null ? Long.toString(number) : otherId;
  }

  // --- for the engine

  /** Whether it is to end early, and with which answer. */
  Failure stopped() {
    return stop;
  }

  /** The result is not wanted any more: the code is told, and its thread interrupted. */
  void end(Failure why) {
    Future<?> running;
    synchronized (this) {
      if (stop != null) {
        return;
      }
      stop = why;
      if (thread != null) {
        thread.interrupt();
      }
      running = pending;
    }
    if (running != null) {
      running.cancel(true);
    }
    cancellation.complete(null);
  }

  /** From here on this thread may be interrupted on behalf of the execution. */
  synchronized void enter() {
    thread = Thread.currentThread();
    if (stop != null) {
      thread.interrupt();
    }
  }

  synchronized void leave() {
    thread = null;
    // An interrupt that came late belongs to nobody.
    Thread.interrupted();
  }

  void adopt(Future<?> future) {
    synchronized (this) {
      pending = future;
      if (stop == null) {
        return;
      }
    }
    future.cancel(true);
  }

  /** When its time is over, as of now; under the engine's lock. */
  long deadline(long now) {
    if (timeoutNanos <= 0 || waits > 0) {
      return Long.MAX_VALUE;
    }
    long deadline = beganAt + timeoutNanos + waitedNanos;
    return deadline < beganAt ? Long.MAX_VALUE : deadline;
  }

  void beginWait() {
    synchronized (engine) {
      if (waits++ == 0) {
        waitingSince = engine.now();
      }
    }
    engine.threads.beginWait();
  }

  void endWait() {
    engine.threads.endWait();
    synchronized (engine) {
      if (--waits == 0) {
        waitedNanos += engine.now() - waitingSince;
      }
    }
    engine.sweepSoon();
  }

  String spanId() {
    return origin.spanPrefix == null ? null : origin.spanPrefix + String.format("%010x", number);
  }

  // --- for the component

  @Override
  public int attempt() {
    return attempt;
  }

  @Override
  public String idempotencyToken() {
    if (origin.idempotencyToken != null) {
      return origin.idempotencyToken;
    }
    return origin.runId == null || origin.stepId == null || itemIndex < 0
        ? null
        : IdempotencyToken.of(origin.runId, itemIndex, origin.stepId);
  }

  @Override
  public String taskToken() {
    return origin.tokenPrefix == null ? origin.taskToken : origin.tokenPrefix + Long.toHexString(number);
  }

  @Override
  public String runId() {
    return origin.runId;
  }

  @Override
  public String flowId() {
    return origin.flowId;
  }

  @Override
  public String stepId() {
    return origin.stepId;
  }

  @Override
  public long itemIndex() {
    return itemIndex;
  }

  @Override
  public String traceparent() {
    return origin.spanPrefix == null ? origin.traceparent : "00-" + origin.traceId + "-" + spanId() + "-" + origin.flags;
  }

  @Override
  public Map<String, String> parameters() {
    return parameters;
  }

  @Override
  public boolean isCancelled() {
    return stop != null;
  }

  @Override
  public CompletableFuture<Void> cancellation() {
    return cancellation;
  }

  @Override
  public void reportProgress(double fraction, String message) {
    if (!(fraction >= 0 && fraction <= 1)) {
      throw new FlowspanException(Reason.INVALID_ARGUMENT, "progress is 0 to 1, not " + fraction);
    }
    synchronized (this) {
      long now = engine.now();
      if (stop != null || (now - progressAt < PROGRESS_INTERVAL_NANOS && progressAt != 0 && fraction < 1)) {
        return;
      }
      progressAt = now;
    }
    engine.transport().progress(this, fraction, message);
  }

  private Gateway gateway() {
    return engine.transport().gateway(this);
  }

  private <T> CompletableFuture<T> waiting(CompletableFuture<T> call) {
    beginWait();
    return call.whenComplete((value, failure) -> endWait());
  }

  /** Blocks; a call that is cancelled here is given up on the wire, too. */
  private <T> T waitFor(CompletableFuture<T> call) {
    beginWait();
    try {
      return Futures.join(call);
    } finally {
      endWait();
    }
  }

  @Override
  public String putBlob(Object value, BlobType type) {
    return Futures.join(putBlobAsync(value, type));
  }

  @Override
  public CompletableFuture<String> putBlobAsync(Object value, BlobType type) {
    return gateway().putBlob(value, type);
  }

  @Override
  public Blob getBlob(String blobId) {
    return Futures.join(getBlobAsync(blobId));
  }

  @Override
  public CompletableFuture<Blob> getBlobAsync(String blobId) {
    return gateway().getBlob(blobId);
  }

  @Override
  public RunStatus submitRun(String flowId, Collection<?> inputs, SubmitOptions options) {
    return Futures.join(submitRunAsync(flowId, inputs, options));
  }

  @Override
  public CompletableFuture<RunStatus> submitRunAsync(String flowId, Collection<?> inputs, SubmitOptions options) {
    return gateway().submitRun(flowId, inputs, options.withTraceparent(traceparent()), false, null);
  }

  @Override
  public RunStatus submitRunAndWait(String flowId, Collection<?> inputs, SubmitOptions options, Duration timeout) {
    return waitFor(gateway().submitRun(flowId, inputs, options.withTraceparent(traceparent()), true, timeout));
  }

  @Override
  public CompletableFuture<RunStatus> submitRunAndWaitAsync(
      String flowId, Collection<?> inputs, SubmitOptions options, Duration timeout) {
    return waiting(gateway().submitRun(flowId, inputs, options.withTraceparent(traceparent()), true, timeout));
  }

  @Override
  public RunStatus getRun(String runId, boolean includeResults, ResultOrder order) {
    return Futures.join(getRunAsync(runId, includeResults, order));
  }

  @Override
  public CompletableFuture<RunStatus> getRunAsync(String runId, boolean includeResults, ResultOrder order) {
    return gateway().getRun(runId, false, null, includeResults, order);
  }

  @Override
  public RunStatus waitRun(String runId, Duration timeout, ResultOrder order) {
    return waitFor(gateway().getRun(runId, true, timeout, true, order));
  }

  @Override
  public CompletableFuture<RunStatus> waitRunAsync(String runId, Duration timeout, ResultOrder order) {
    return waiting(gateway().getRun(runId, true, timeout, true, order));
  }

  @Override
  public ResultsWatch watchRun(String runId, long afterSeq) {
    return gateway().watchRun(runId, afterSeq);
  }

  @Override
  public void cancelRun(String runId, String reason) {
    Futures.join(cancelRunAsync(runId, reason));
  }

  @Override
  public CompletableFuture<Void> cancelRunAsync(String runId, String reason) {
    return gateway().cancelRun(runId, reason);
  }
}
