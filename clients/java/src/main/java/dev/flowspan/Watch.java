package dev.flowspan;

import dev.flowspan.v1.GetRunRequest;
import dev.flowspan.v1.RunServiceGrpc;
import dev.flowspan.v1.SubmitAndWatchRunRequest;
import dev.flowspan.v1.WatchOptions;
import dev.flowspan.v1.WatchRunRequest;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * The results of a run as they become durable, each once, to the run's end. A lost connection is taken up again from the last
 * cursor. To be read by one thread at a time, and in one way: as an iterator, in batches, or as a publisher. {@link #close()} ends
 * it early from any thread; the run goes on.
 */
public final class Watch implements Iterable<ItemResult>, Iterator<ItemResult>, AutoCloseable {
  private record Entry(long seq, ItemResult result) {}

  private final AsyncFlowspanClient client;
  private final Connection connection;
  private final boolean byIndex;
  private final WatchOptions filter;
  private final RunFold fold;
  private final ResumingStream stream;
  private final List<RunFold.Logged> unread = new ArrayList<>();
  private final TreeMap<Long, Entry> held = new TreeMap<>();
  private volatile String runId;
  private long nextIndex;
  private List<Entry> ready = List.of();
  private int given;

  Watch(
      AsyncFlowspanClient client,
      String runId,
      long afterSeq,
      ResultOrder order,
      SubmitAndWatchRunRequest submission,
      WatchOptions filter) {
    this.byIndex = order == ResultOrder.BY_INDEX;
    if (byIndex && afterSeq != 0) {
      throw new FlowspanException(
          Reason.INVALID_ARGUMENT, "a watch by index begins at 0; read behind an index with items().afterItemIndex()");
    }
    this.client = client;
    this.connection = client.connection();
    this.runId = runId;
    this.filter = filter;
    this.fold = new RunFold(afterSeq);
    this.stream =
        new ResumingStream(
            connection, () -> open(submission), () -> this.runId != null, this::isBehindTheEnd, client::maySubmitAgain);
  }

  /** The run; null until the gateway has accepted it. */
  public String runId() {
    return runId;
  }

  /** The run as of what was received, without results. Null before its first event, so always for a watch from a cursor. */
  public RunStatus status() {
    return fold.snapshot();
  }

  /** Give this as {@code afterSeq} to another watch: it hands out everything that this one has not. */
  public long cursor() {
    long first = fold.throughSeq + 1;
    for (int position = given; position < ready.size(); position++) {
      first = Math.min(first, ready.get(position).seq);
    }
    for (RunFold.Logged logged : unread) {
      first = Math.min(first, logged.seq());
    }
    for (Entry entry : held.values()) {
      first = Math.min(first, entry.seq);
    }
    return first - 1;
  }

  /** Whether the run has ended and every result was handed out. */
  public boolean isOver() {
    return (stream.hasEnded() || fold.isTerminal()) && given >= ready.size() && unread.isEmpty();
  }

  /** Whatever has come since the last batch, at least one result; empty when the run is over. */
  public CompletableFuture<List<ItemResult>> nextBatchAsync() {
    Batch batch = new Batch();
    step(batch);
    return batch;
  }

  /** As {@link #nextBatchAsync()}; blocks. */
  public List<ItemResult> nextBatch() {
    return Futures.join(nextBatchAsync());
  }

  @Override
  public Iterator<ItemResult> iterator() {
    return this;
  }

  /** Whether there is another result; waits for it. */
  @Override
  public boolean hasNext() {
    if (given < ready.size()) {
      return true;
    }
    Batch more = new Batch();
    more.isPeek = true;
    step(more);
    Futures.join(more);
    return given < ready.size();
  }

  @Override
  public ItemResult next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    return ready.get(given++).result;
  }

  /** The results as a stream of events, for one subscriber. Cancelling the subscription closes the watch. */
  public Flow.Publisher<ItemResult> publisher() {
    return subscriber -> new Publication(subscriber).start();
  }

  /** Ends the watch. Harmless if repeated; a reader that waits fails with REQUEST_CANCELLED. */
  @Override
  public void close() {
    stream.close();
  }

  private final class Batch extends CompletableFuture<List<ItemResult>> {
    private boolean isPeek;

    @Override
    public boolean cancel(boolean interrupt) {
      boolean cancelled = super.cancel(interrupt);
      // The cursor is untouched: another read would go on.
      stream.hangUp();
      return cancelled;
    }
  }

  private void step(Batch batch) {
    while (!batch.isDone()) {
      if (given < ready.size() || isOver()) {
        batch.complete(batch.isPeek ? List.of() : takeAll());
        return;
      }
      CompletableFuture<Void> filling = fill();
      if (filling.isDone() && !filling.isCompletedExceptionally()) {
        continue;
      }
      filling.whenComplete(
          (done, failure) -> {
            if (failure != null) {
              batch.completeExceptionally(located(FlowspanException.of(failure)));
            } else {
              step(batch);
            }
          });
      return;
    }
  }

  private List<ItemResult> takeAll() {
    List<ItemResult> batch = new ArrayList<>(ready.size() - given);
    for (; given < ready.size(); given++) {
      batch.add(ready.get(given).result);
    }
    return batch;
  }

  /** Receives one message and makes its results ready. */
  private CompletableFuture<Void> fill() {
    if (!unread.isEmpty()) {
      return readPayloads();
    }
    return stream
        .receive()
        .thenCompose(
            piece -> {
              if (piece == null) {
                return CompletableFuture.completedFuture(null);
              }
              takeIn(piece);
              return readPayloads();
            });
  }

  private void takeIn(ResumingStream.Piece piece) {
    if (piece.run() != null) {
      runId = piece.run().getRunId();
    }
    piece.segments().forEach(segment -> fold.apply(segment, unread));
    fold.throughSeq = Math.max(fold.throughSeq, piece.throughSeq());
    if (fold.isTerminal()) {
      stream.hangUp();
    }
  }

  private CompletableFuture<Void> readPayloads() {
    for (int position = 0; position < unread.size(); position++) {
      RunFold.Logged logged = unread.get(position);
      if (logged.isBlob()) {
        int place = position;
        return client
            .getBlob(new String(logged.payload(), StandardCharsets.US_ASCII))
            .thenCompose(
                blob -> {
                  unread.set(
                      place,
                      new RunFold.Logged(logged.seq(), logged.itemIndex(), logged.outcome(), blob.bytes(), false, logged.at()));
                  return readPayloads();
                });
      }
    }
    List<Entry> fresh = new ArrayList<>(unread.size());
    for (RunFold.Logged logged : unread) {
      boolean isBare = filter != null && filter.getOmitPayloads();
      ItemResult result =
          isBare
              ? new ItemResult(logged.itemIndex(), logged.outcome(), null, null, null, logged.at(), null, null)
              : ItemResult.ofPayload(logged.itemIndex(), logged.outcome(), logged.payload(), logged.at());
      fresh.add(new Entry(logged.seq(), result));
    }
    unread.clear();
    ready = byIndex ? inOrder(fresh) : fresh;
    given = 0;
    return CompletableFuture.completedFuture(null);
  }

  private List<Entry> inOrder(List<Entry> fresh) {
    fresh.forEach(entry -> held.put(entry.result.itemIndex(), entry));
    List<Entry> ordered = new ArrayList<>();
    // Items that a cancel kept from starting leave holes.
    while (!held.isEmpty() && (fold.isTerminal() || held.firstKey() == nextIndex)) {
      ordered.add(held.pollFirstEntry().getValue());
      nextIndex++;
    }
    return ordered;
  }

  private PullStream<ResumingStream.Piece> open(SubmitAndWatchRunRequest submission) {
    if (runId == null) {
      return new PullStream<>(
          client.watchChannel(),
          RunServiceGrpc.getSubmitAndWatchRunMethod(),
          submission,
          message ->
              new ResumingStream.Piece(
                  message.getSegmentsList(), message.getThroughSeq(), message.getRunId(), message.hasRun() ? message.getRun() : null));
    }
    WatchRunRequest.Builder request = WatchRunRequest.newBuilder().setRunId(runId).setAfterSeq(fold.throughSeq);
    if (filter != null) {
      request.setOptions(filter);
    }
    return new PullStream<>(
        client.watchChannel(),
        RunServiceGrpc.getWatchRunMethod(),
        request.build(),
        message -> new ResumingStream.Piece(message.getSegmentsList(), message.getThroughSeq(), message.getRunId(), null));
  }

  /** Whether the log ends at the cursor: a watch that begins there gets no event at all, not even the last. */
  private CompletableFuture<Boolean> isBehindTheEnd() {
    if (runId == null) {
      return CompletableFuture.completedFuture(false);
    }
    return client
        .unary(RunServiceGrpc.getGetRunMethod(), GetRunRequest.newBuilder().setRunId(runId).build())
        .thenApply(
            answer ->
                RunState.of(answer.getRun().getStatus()).isTerminal() && answer.getRun().getAsOfSeq() <= fold.throughSeq);
  }

  private FlowspanException located(FlowspanException error) {
    FlowspanException located =
        new FlowspanException(error.reason(), error.getMessage(), error.details(), error.isFromPeer(), error)
            .with("afterSeq", cursor());
    return runId == null ? located : located.with("runId", runId);
  }

  private final class Publication implements Flow.Subscription {
    private final Flow.Subscriber<? super ItemResult> subscriber;
    private final Semaphore demand = new Semaphore(0);
    private final AtomicBoolean isOver = new AtomicBoolean();

    Publication(Flow.Subscriber<? super ItemResult> subscriber) {
      this.subscriber = subscriber;
    }

    void start() {
      subscriber.onSubscribe(this);
      connection.threads().execute(this::publish);
    }

    private void publish() {
      try {
        while (hasNext()) {
          demand.acquire();
          if (isOver.get()) {
            return;
          }
          subscriber.onNext(next());
        }
      } catch (InterruptedException | RuntimeException failure) {
        if (!isOver.getAndSet(true)) {
          close();
          subscriber.onError(failure);
        }
        return;
      }
      if (!isOver.getAndSet(true)) {
        subscriber.onComplete();
      }
    }

    @Override
    public void request(long count) {
      if (count <= 0) {
        if (!isOver.getAndSet(true)) {
          close();
          subscriber.onError(new IllegalArgumentException("a request is for at least one result"));
        }
        demand.release();
        return;
      }
      demand.release((int) Math.min(count, Integer.MAX_VALUE / 4 - Math.min(demand.availablePermits(), Integer.MAX_VALUE / 4)));
    }

    @Override
    public void cancel() {
      isOver.set(true);
      close();
      demand.release();
    }
  }

  static final Comparator<ItemResult> BY_INDEX = Comparator.comparingLong(ItemResult::itemIndex);
}
