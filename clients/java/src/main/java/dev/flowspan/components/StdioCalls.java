package dev.flowspan.components;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.util.RawValue;
import dev.flowspan.Blob;
import dev.flowspan.BlobRef;
import dev.flowspan.BlobType;
import dev.flowspan.FlowError;
import dev.flowspan.FlowspanException;
import dev.flowspan.Futures;
import dev.flowspan.ItemCounts;
import dev.flowspan.ItemResult;
import dev.flowspan.Json;
import dev.flowspan.Outcome;
import dev.flowspan.RawJson;
import dev.flowspan.Reason;
import dev.flowspan.ResultOrder;
import dev.flowspan.ResultsOmitted;
import dev.flowspan.RunProgress;
import dev.flowspan.RunState;
import dev.flowspan.RunStatus;
import dev.flowspan.SubmitOptions;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/** Requests of this side to the gateway, over JSON-RPC. */
final class StdioCalls {
  private static final System.Logger LOG = System.getLogger("flowspan.components");
  private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

  /** Requests that may be open at once, waits on runs not counted; a gateway refuses more. */
  private static final int WINDOW = 1_024;

  private static final long TIMEOUT_MILLIS = 60_000;

  /** How long a request is repeated while the gateway says that it is overloaded. */
  private static final long MAX_OVERLOAD_NANOS = TimeUnit.SECONDS.toNanos(60);

  /** A wait that the gateway bounds is given up here only so much later. */
  private static final long WAIT_MARGIN_MILLIS = 30_000;

  /** A reader that is so far behind makes its watch pause: it is cancelled and opened again behind its cursor. */
  private static final int MAX_HELD_ITEMS = 10_000;

  private final StdioServer server;
  private final AtomicLong last = new AtomicLong();
  private final Semaphore window = new Semaphore(WINDOW);
  private final Map<String, CompletableFuture<byte[]>> open = new ConcurrentHashMap<>();
  private final Map<String, StdioWatch> watches = new ConcurrentHashMap<>();
  private volatile boolean closed;

  /** What follows an answer runs here: the thread that reads must never wait for it. */
  private final ExecutorService followers =
      Executors.newCachedThreadPool(
          task -> {
            Thread thread = new Thread(task, "flowspan-calls");
            thread.setDaemon(true);
            return thread;
          });

  StdioCalls(StdioServer server) {
    this.server = server;
  }

  /** Every open request fails: the gateway is gone. */
  void close() {
    closed = true;
    open.values().forEach(call -> call.completeExceptionally(gone()));
    followers.shutdown();
  }

  private static FlowspanException gone() {
    return new FlowspanException(Reason.UNAVAILABLE, "the connection to the gateway is closed");
  }

  /** An answer of the gateway. */
  void take(byte[] id, byte[] result, byte[] error) {
    CompletableFuture<byte[]> call = id == null ? null : open.remove(Json.decode(id).asText());
    if (call == null) {
      return;
    }
    followers.execute(
        () -> {
          if (error != null) {
            call.completeExceptionally(errorOf(Json.decode(error)));
          } else {
            call.complete(result);
          }
        });
  }

  static FlowspanException errorOf(JsonNode wire) {
    Map<String, JsonNode> details = new LinkedHashMap<>();
    JsonNode data = wire.path("data");
    if (data.isObject()) {
      data.properties().forEach(entry -> details.put(entry.getKey(), entry.getValue()));
    } else if (!data.isMissingNode() && !data.isNull()) {
      details.put("data", data);
    }
    JsonNode named = details.remove("reason");
    details.remove("domain");
    int code = wire.path("code").asInt();
    Reason reason = named == null ? null : Reason.ofName(named.asText());
    if (reason == null || reason.jsonRpcCode() != code) {
      reason = Reason.ofJsonRpcCode(code);
    }
    if (reason == null) {
      reason = Reason.COMPONENT_FAILED;
      details.put("code", wire.path("code"));
    }
    return new FlowspanException(reason, wire.path("message").asText(), details, true, null);
  }

  /** Asks, and asks again for a while where the gateway is too busy. {@code millis} 0: waits for a run, and takes no place. */
  private CompletableFuture<JsonNode> request(String method, ObjectNode params, long millis) {
    CompletableFuture<JsonNode> result = new CompletableFuture<>();
    attempt(method, Json.encode(params), millis, System.nanoTime() + MAX_OVERLOAD_NANOS, result);
    return result;
  }

  private void attempt(String method, byte[] params, long millis, long giveUp, CompletableFuture<JsonNode> result) {
    CompletableFuture<byte[]> call = ask(method, params, millis, null);
    // Who gives the result up gives the call up.
    result.whenComplete((value, failure) -> call.cancel(true));
    call.whenComplete(
        (answer, failure) -> {
          if (failure == null) {
            try {
              result.complete(Json.decode(answer));
            } catch (RuntimeException unreadable) {
              result.completeExceptionally(unreadable);
            }
            return;
          }
          FlowspanException error = FlowspanException.of(failure);
          long pause =
              (long) (error.retryAfter().orElse(Duration.ofMillis(100)).toMillis() * (1 + ThreadLocalRandom.current().nextDouble() / 4));
          if (error.reason() != Reason.OVERLOADED || System.nanoTime() + pause * 1_000_000 > giveUp || result.isDone()) {
            result.completeExceptionally(error);
            return;
          }
          CompletableFuture.delayedExecutor(pause, TimeUnit.MILLISECONDS, followers)
              .execute(() -> attempt(method, params, millis, giveUp, result));
        });
  }

  /** One request. A watch is known by its id before anything can be answered. */
  private CompletableFuture<byte[]> ask(String method, byte[] params, long millis, StdioWatch watch) {
    CompletableFuture<byte[]> call = new CompletableFuture<>();
    boolean counted = millis > 0 && watch == null;
    try {
      if (counted && !window.tryAcquire(TIMEOUT_MILLIS, TimeUnit.MILLISECONDS)) {
        call.completeExceptionally(new FlowspanException(Reason.TIMEOUT, "too many requests to the gateway are open"));
        return call;
      }
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      call.completeExceptionally(new FlowspanException(Reason.REQUEST_CANCELLED, "interrupted", interrupted));
      return call;
    }
    String id = "j-" + last.incrementAndGet();
    open.put(id, call);
    if (watch != null) {
      watches.put(id, watch);
    }
    if (closed) {
      call.completeExceptionally(gone());
    } else {
      server.ask(id, method, params);
    }
    if (millis > 0) {
      call.orTimeout(millis, TimeUnit.MILLISECONDS);
    }
    call.whenComplete(
        (answer, failure) -> {
          if (counted) {
            window.release();
          }
          watches.remove(id);
          if (open.remove(id) != null && !closed) {
            // Given up on this side: the gateway need not go on.
            server.tell("$/cancelRequest", NODES.objectNode().put("id", id));
          }
        });
    return call;
  }

  /** A runs/event. One of a watch that is no more is dropped. */
  void takeEvent(byte[] params) {
    JsonNode event = Json.decode(params);
    StdioWatch watch = watches.get(event.path("watchId").asText());
    if (watch != null) {
      watch.take(event);
    }
  }

  Gateway gateway(Execution execution) {
    return new StdioGateway(execution);
  }

  // --- values

  /** A result, whose value may still be in a blob. */
  private record Found(ItemResult item, String blobId) {}

  private static String text(JsonNode object, String name) {
    return object.hasNonNull(name) ? object.get(name).asText() : null;
  }

  private static Instant instant(JsonNode object, String name) {
    return object.hasNonNull(name) ? Instant.parse(object.get(name).asText()) : null;
  }

  private static Found item(JsonNode wire) {
    JsonNode result = wire.path("result");
    FlowError error = result.hasNonNull("error") ? FlowError.of(result.get("error")) : null;
    Outcome outcome =
        switch (result.path("outcome").asText()) {
          case "success" -> Outcome.SUCCESS;
          case "skipped" -> Outcome.SKIPPED;
          default -> error != null && error.code().equals("CANCELLED") ? Outcome.CANCELLED : Outcome.FAILED;
        };
    ItemResult item =
        new ItemResult(
            wire.path("itemIndex").asLong(),
            outcome,
            result.has("value") ? RawJson.of(Json.encode(result.get("value"))) : null,
            error,
            text(result, "reason"),
            instant(wire, "completedAt"),
            text(wire, "itemLabel"),
            wire.hasNonNull("sourceItemIndex") ? wire.get("sourceItemIndex").asLong() : null);
    return new Found(item, text(result, "blobId"));
  }

  private static RunStatus status(JsonNode wire, List<ItemResult> results) {
    JsonNode items = wire.path("items");
    JsonNode omitted = wire.path("resultsOmitted");
    JsonNode progress = wire.path("progress");
    Map<String, String> metadata = new LinkedHashMap<>();
    wire.path("metadata").properties().forEach(entry -> metadata.put(entry.getKey(), entry.getValue().asText()));
    List<String> waitingFor = new ArrayList<>();
    progress.path("waitingFor").forEach(why -> waitingFor.add(why.asText()));
    return new RunStatus(
        text(wire, "runId"),
        text(wire, "flowId"),
        text(wire, "flowName"),
        text(wire, "flowLabel"),
        RunState.ofWord(wire.path("status").asText()),
        new ItemCounts(
            items.path("total").asLong(),
            items.path("pending").asLong(),
            items.path("running").asLong(),
            items.path("success").asLong(),
            items.path("failed").asLong(),
            items.path("cancelled").asLong()),
        instant(wire, "createdAt"),
        instant(wire, "completedAt"),
        results,
        omitted.isObject()
            ? new ResultsOmitted(
                omitted.path("count").asLong(),
                omitted.path("bytes").asLong(),
                omitted.path("limit").asLong(),
                omitted.path("next").asLong())
            : null,
        wire.path("asOfSeq").asLong(),
        text(wire, "rootRunId"),
        text(wire, "parentRunId"),
        text(wire, "sourceRunId"),
        metadata,
        wire.path("effectiveMaxConcurrency").asLong(),
        text(wire, "cancelReason"),
        progress.isObject()
            ? new RunProgress(
                progress.path("ratePerSecond").asDouble(),
                progress.hasNonNull("etaSeconds") ? progress.get("etaSeconds").asDouble() : null,
                waitingFor)
            : null);
  }

  // --- the gateway in the name of one execution

  private final class StdioGateway implements Gateway {
    private final Execution execution;

    StdioGateway(Execution execution) {
      this.execution = execution;
    }

    private ObjectNode params() {
      ObjectNode params = NODES.objectNode();
      if (execution.taskToken() != null) {
        params.put("taskToken", execution.taskToken());
      }
      Execution.Origin origin = execution.origin;
      if (origin.observability != null) {
        params.set("observability", origin.observability.decode());
      } else if (origin.spanPrefix != null) {
        params
            .putObject("observability")
            .put("trace_id", origin.traceId)
            .put("span_id", execution.spanId())
            .put("run_id", origin.runId)
            .put("flow_id", origin.flowId)
            .put("step_id", origin.stepId)
            .put("traceparent", execution.traceparent());
      }
      return params;
    }

    @Override
    public CompletableFuture<String> putBlob(Object value, BlobType type) {
      ObjectNode params = params().put("blob_type", type.word());
      try {
        byte[] data = value instanceof byte[] bytes ? bytes : Json.encode(value);
        if (type == BlobType.BINARY) {
          params.put("data", Base64.getEncoder().encodeToString(data));
        } else {
          params.putRawValue("data", new RawValue(RawJson.of(data)));
        }
      } catch (RuntimeException unwritable) {
        return CompletableFuture.failedFuture(unwritable);
      }
      return request("blobs/put", params, TIMEOUT_MILLIS).thenApply(answer -> answer.path("blob_id").asText());
    }

    @Override
    public CompletableFuture<Blob> getBlob(String blobId) {
      return request("blobs/get", params().put("blob_id", blobId), TIMEOUT_MILLIS)
          .thenApply(
              answer -> {
                BlobType type = BlobType.ofWord(answer.path("blob_type").asText("data"));
                byte[] data =
                    type == BlobType.BINARY
                        ? Base64.getDecoder().decode(answer.path("data").asText())
                        : Json.encode(answer.path("data"));
                return new Blob(blobId, type, data);
              });
    }

    @Override
    public CompletableFuture<RunStatus> submitRun(
        String flowId, Collection<?> inputs, SubmitOptions options, boolean wait, Duration timeout) {
      ObjectNode params = params().put("flowId", flowId);
      ArrayNode values = params.putArray("inputs");
      try {
        for (Object input : inputs) {
          if (input instanceof BlobRef) {
            throw new FlowspanException(Reason.INVALID_ARGUMENT, "on stdio an input is a value, not a BlobRef");
          }
          values.addRawValue(new RawValue(RawJson.of(Json.encode(input))));
        }
        if (options.maxConcurrency() != null) {
          params.put("maxConcurrency", options.maxConcurrency());
        }
        if (options.overrides() != null) {
          params.set("overrides", Json.nodeOf(options.overrides()));
        }
        if (options.variables() != null) {
          params.set("variables", Json.nodeOf(options.variables()));
        }
      } catch (RuntimeException unwritable) {
        return CompletableFuture.failedFuture(unwritable);
      }
      if (options.label() != null) {
        params.put("flowLabel", options.label());
      }
      if (!options.metadata().isEmpty()) {
        params.set("metadata", Json.nodeOf(options.metadata()));
      }
      if (!options.itemLabels().isEmpty()) {
        params.set("itemLabels", Json.nodeOf(options.itemLabels()));
      }
      if (options.deadline() != null) {
        params.put("deadlineSecs", options.deadline().toNanos() / 1e9);
      }
      if (options.isDetached()) {
        params.put("detached", true);
      }
      if (options.requestId() != null) {
        params.put("requestId", options.requestId());
      }
      return askForRun("runs/submit", params, wait, timeout, ResultOrder.BY_INDEX);
    }

    @Override
    public CompletableFuture<RunStatus> getRun(
        String runId, boolean wait, Duration timeout, boolean includeResults, ResultOrder order) {
      ObjectNode params = params().put("runId", runId).put("includeResults", includeResults).put("resultOrder", order.word());
      return askForRun("runs/get", params, wait, timeout, order);
    }

    @Override
    public CompletableFuture<Void> cancelRun(String runId, String reason) {
      ObjectNode params = params().put("runId", runId);
      if (reason != null) {
        params.put("reason", reason);
      }
      return request("runs/cancel", params, TIMEOUT_MILLIS).thenApply(answer -> null);
    }

    @Override
    public ResultsWatch watchRun(String runId, long afterSeq) {
      return new StdioWatch(this, runId, afterSeq);
    }

    private CompletableFuture<RunStatus> askForRun(
        String method, ObjectNode params, boolean wait, Duration timeout, ResultOrder order) {
      long millis = TIMEOUT_MILLIS;
      if (wait) {
        params.put("wait", true);
        millis = 0;
        if (timeout != null) {
          params.put("timeoutSecs", timeout.toNanos() / 1e9);
          millis = timeout.toMillis() + WAIT_MARGIN_MILLIS;
        }
      }
      CompletableFuture<JsonNode> asked = request(method, params, millis);
      CompletableFuture<RunStatus> result =
          asked.thenCompose(
              wire ->
                  results(wire)
                      .thenCompose(
                          results -> {
                            RunStatus status = status(wire, results);
                            return status.resultsOmitted() == null
                                ? CompletableFuture.completedFuture(status)
                                : withAllResults(status, order);
                          }));
      return cancelling(result, asked);
    }

    /** Who cancels what follows from a call cancels the call. */
    private <T> CompletableFuture<T> cancelling(CompletableFuture<T> result, CompletableFuture<?> call) {
      result.whenComplete(
          (value, failure) -> {
            if (result.isCancelled()) {
              call.cancel(true);
            }
          });
      return result;
    }

    /** Null where there are none. */
    private CompletableFuture<List<ItemResult>> results(JsonNode wire) {
      if (!wire.hasNonNull("results")) {
        return CompletableFuture.completedFuture(null);
      }
      CompletableFuture<List<ItemResult>> all = CompletableFuture.completedFuture(new ArrayList<>());
      for (JsonNode one : wire.get("results")) {
        Found found = StdioCalls.item(one);
        all =
            all.thenCompose(
                list ->
                    complete(found)
                        .thenApply(
                            item -> {
                              list.add(item);
                              return list;
                            }));
      }
      return all;
    }

    CompletableFuture<ItemResult> complete(Found found) {
      if (found.blobId == null) {
        return CompletableFuture.completedFuture(found.item);
      }
      ItemResult item = found.item;
      return getBlob(found.blobId)
          .thenApply(
              blob ->
                  new ItemResult(
                      item.itemIndex(), item.outcome(), blob.raw(), item.error(), item.reason(), item.completedAt(),
                      item.itemLabel(), item.sourceItemIndex()));
    }

    /** Results that did not fit, in pages by index. */
    private CompletableFuture<RunStatus> withAllResults(RunStatus status, ResultOrder order) {
      List<ItemResult> results = new ArrayList<>();
      long after = -1;
      if (order == ResultOrder.BY_INDEX && status.results() != null && !status.results().isEmpty()) {
        results.addAll(status.results());
        after = status.resultsOmitted().next() - 1;
      }
      return nextPage(status, results, after, Math.max(1, status.resultsOmitted().count()))
          .thenApply(
              all -> {
                if (order == ResultOrder.BY_COMPLETION) {
                  all.sort(Comparator.comparing(ItemResult::completedAt));
                }
                return status.withResults(all);
              });
    }

    private CompletableFuture<List<ItemResult>> nextPage(RunStatus status, List<ItemResult> results, long after, long limit) {
      ObjectNode params =
          params()
              .put("runId", status.runId())
              .put("includeResults", true)
              .put("resultOrder", "byIndex")
              .put("afterItemIndex", after)
              .put("limit", limit);
      return request("runs/get", params, TIMEOUT_MILLIS)
          .thenCompose(
              wire ->
                  results(wire)
                      .thenCompose(
                          page -> {
                            results.addAll(page == null ? List.of() : page);
                            ResultsOmitted omitted = status(wire, null).resultsOmitted();
                            if (omitted == null) {
                              return CompletableFuture.completedFuture(results);
                            }
                            if (omitted.next() - 1 <= after) {
                              throw new FlowspanException(Reason.PARSE_ERROR, "the gateway's pages of results do not advance");
                            }
                            return nextPage(status, results, omitted.next() - 1, Math.max(1, omitted.count()));
                          }));
    }
  }

  /** Follows a run: results come as notifications, the answer at the run's end. */
  private final class StdioWatch implements ResultsWatch {
    private final StdioGateway gateway;
    private final String runId;
    private final ArrayDeque<Found> held = new ArrayDeque<>();

    /** Behind each notification of results that are held: how many are left of it, and its cursor. */
    private final ArrayDeque<long[]> batches = new ArrayDeque<>();

    private long taken;
    private long given;
    private boolean isPaused;
    private CompletableFuture<byte[]> call;
    private RunStatus end;
    private boolean closed;

    StdioWatch(StdioGateway gateway, String runId, long afterSeq) {
      this.gateway = gateway;
      this.runId = runId;
      this.taken = afterSeq;
      this.given = afterSeq;
    }

    /** A notification, on the thread that reads. */
    void take(JsonNode event) {
      CompletableFuture<byte[]> paused = null;
      synchronized (this) {
        try {
          int before = held.size();
          event.path("items").forEach(item -> held.add(StdioCalls.item(item)));
          taken = Math.max(taken, event.path("cursor").asLong());
          if (held.size() > before) {
            batches.add(new long[] {held.size() - before, taken});
          } else if (held.isEmpty()) {
            given = taken;
          }
          if (!isPaused && held.size() > MAX_HELD_ITEMS) {
            isPaused = true;
            paused = call;
          }
        } catch (RuntimeException unreadable) {
          LOG.log(System.Logger.Level.WARNING, "a runs/event cannot be read", unreadable);
        }
        notifyAll();
      }
      if (paused != null) {
        paused.cancel(true);
      }
    }

    @Override
    public boolean hasNext() {
      gateway.execution.beginWait();
      try {
        return awaitNext();
      } finally {
        gateway.execution.endWait();
      }
    }

    private boolean awaitNext() {
      while (true) {
        CompletableFuture<byte[]> over = null;
        synchronized (this) {
          if (!held.isEmpty()) {
            return true;
          }
          if (end != null || closed) {
            return false;
          }
          if (call == null) {
            open();
          }
          if (call.isDone()) {
            over = call;
            call = null;
          } else {
            try {
              wait();
            } catch (InterruptedException interrupted) {
              close();
              Thread.currentThread().interrupt();
              throw new FlowspanException(Reason.REQUEST_CANCELLED, "interrupted", interrupted);
            }
          }
        }
        if (over != null) {
          settle(over);
        }
      }
    }

    /** Begins behind what came; under the lock. */
    private void open() {
      isPaused = false;
      ObjectNode params = gateway.params().put("runId", runId).put("afterSeq", taken);
      call = ask("runs/watch", Json.encode(params), 0, this);
      call.whenComplete(
          (answer, failure) -> {
            synchronized (this) {
              notifyAll();
            }
          });
    }

    /** The run has ended; or the watch has paused, and is opened again now that the reader has caught up. */
    private void settle(CompletableFuture<byte[]> over) {
      try {
        JsonNode wire = Json.decode(Futures.join(over));
        synchronized (this) {
          end = StdioCalls.status(wire, null);
        }
      } catch (FlowspanException failure) {
        synchronized (this) {
          if (!isPaused || closed) {
            throw failure;
          }
        }
      }
    }

    @Override
    public ItemResult next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      Found found;
      synchronized (this) {
        found = held.peek();
      }
      ItemResult item = Futures.join(gateway.complete(found));
      synchronized (this) {
        held.poll();
        long[] batch = batches.peek();
        if (batch != null && --batch[0] == 0) {
          given = batch[1];
          batches.poll();
        }
      }
      return item;
    }

    @Override
    public synchronized long cursor() {
      return held.isEmpty() ? taken : given;
    }

    @Override
    public synchronized RunStatus status() {
      return end;
    }

    @Override
    public void close() {
      CompletableFuture<byte[]> running;
      synchronized (this) {
        closed = true;
        running = call;
        notifyAll();
      }
      if (running != null) {
        running.cancel(true);
      }
    }
  }
}
