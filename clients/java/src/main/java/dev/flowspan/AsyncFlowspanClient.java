package dev.flowspan;

import com.google.protobuf.Duration;
import com.google.protobuf.UnsafeByteOperations;
import dev.flowspan.v1.BlobInfo;
import dev.flowspan.v1.BlobServiceGrpc;
import dev.flowspan.v1.CancelRunRequest;
import dev.flowspan.v1.ComponentServiceGrpc;
import dev.flowspan.v1.DeleteRunRequest;
import dev.flowspan.v1.DocumentFormat;
import dev.flowspan.v1.FlowServiceGrpc;
import dev.flowspan.v1.GetFlowRequest;
import dev.flowspan.v1.GetRunRequest;
import dev.flowspan.v1.JsonValue;
import dev.flowspan.v1.ListComponentsRequest;
import dev.flowspan.v1.ListFlowsRequest;
import dev.flowspan.v1.ListRunItemsRequest;
import dev.flowspan.v1.ListRunsRequest;
import dev.flowspan.v1.PutBlobRequest;
import dev.flowspan.v1.ReadBlobRequest;
import dev.flowspan.v1.ReadBlobResponse;
import dev.flowspan.v1.RetryRunRequest;
import dev.flowspan.v1.RunOptions;
import dev.flowspan.v1.RunServiceGrpc;
import dev.flowspan.v1.StoreFlowRequest;
import dev.flowspan.v1.StoreFlowResponse;
import dev.flowspan.v1.SubmitAndWatchRunRequest;
import dev.flowspan.v1.SubmitRunRequest;
import dev.flowspan.v1.SubmitRunStreamRequest;
import dev.flowspan.v1.WatchOptions;
import dev.flowspan.v1.WriteBlobHeader;
import dev.flowspan.v1.WriteBlobRequest;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.stub.MetadataUtils;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.NoSuchElementException;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.regex.Pattern;

/**
 * A client of one gateway whose calls answer with futures; {@link FlowspanClient} is the same with calls that block. Safe for use by
 * many threads. Every future that fails does so with a {@link FlowspanException}; cancelling one gives its call up.
 */
public final class AsyncFlowspanClient implements AutoCloseable {
  /** More inputs than this are streamed: one message would keep the gateway busy for tens of milliseconds. */
  private static final int UNARY_MAX_INPUTS = 5_000;

  private static final int MESSAGE_BYTES = 1024 * 1024;
  private static final int UNARY_MAX_BYTES = 4 * MESSAGE_BYTES;

  /** A larger blob is streamed; the gateway takes at most 3.5 MiB in one message. */
  private static final int UNARY_BLOB_BYTES = 3 * 1024 * 1024;

  private static final Pattern FLOW_ID = Pattern.compile("(sha256:)?[0-9a-f]{64}");
  private static final Metadata.Key<String> TASK_TOKEN = Metadata.Key.of("flowspan-task-token", Metadata.ASCII_STRING_MARSHALLER);

  private static final MethodDescriptor<byte[], byte[]> HEALTH_CHECK =
      MethodDescriptor.<byte[], byte[]>newBuilder()
          .setType(MethodDescriptor.MethodType.UNARY)
          .setFullMethodName("grpc.health.v1.Health/Check")
          .setRequestMarshaller(new Bytes())
          .setResponseMarshaller(new Bytes())
          .build();

  private final Connection connection;
  private final String taskToken;

  AsyncFlowspanClient(Connection connection, String taskToken) {
    this.connection = connection;
    this.taskToken = taskToken;
  }

  /** See {@link FlowspanClient#connect(ClientOptions)}. */
  public static AsyncFlowspanClient connect(ClientOptions options) {
    return new AsyncFlowspanClient(new Connection(options), null);
  }

  /** Where this client connects to. */
  public String target() {
    return connection.place.target();
  }

  /**
   * A client that acts on behalf of an execution, over the same connections: its runs are sub-runs of that execution, and it has the
   * rights of its run. Closing one closes both.
   */
  public AsyncFlowspanClient forTask(String token) {
    return new AsyncFlowspanClient(connection, token);
  }

  /** The same client with calls that block. */
  public FlowspanClient blocking() {
    return new FlowspanClient(this);
  }

  /** The generated stubs. */
  public RawStubs raw() {
    return new RawStubs(channel(connection.calls()));
  }

  /** The generated stubs over a connection of their own, which lives as long as the client. */
  public RawStubs rawOnOwnConnection() {
    return new RawStubs(channel(connection.open()));
  }

  /** Connections that were lost are tried again now, and not when their back-off is over. */
  public void hurry() {
    connection.hurry();
  }

  /** Ends all calls and watches. Harmless if repeated. */
  @Override
  public void close() {
    connection.close();
  }

  // --- flows

  /**
   * Stores a flow; its id.
   *
   * @param flow a document as {@link RawJson} or bytes (JSON or YAML), a {@link Path}, or any value that JSON can say
   */
  public CompletableFuture<String> storeFlow(Object flow) {
    return store(flow, false).thenApply(StoreFlowResponse::getFlowId);
  }

  /** What the gateway finds about a flow, fatal findings included. Nothing is stored. */
  public CompletableFuture<List<Diagnostic>> checkFlow(Object flow) {
    return store(flow, true)
        .thenApply(
            answer ->
                answer.getDiagnosticsList().stream()
                    .map(
                        found ->
                            new Diagnostic(
                                found.getKind(),
                                found.getCode(),
                                Convert.word(found.getLevel().name(), "DIAGNOSTIC_LEVEL_"),
                                found.getMessage(),
                                found.getPath(),
                                found.getLine(),
                                found.getColumn()))
                    .toList());
  }

  private CompletableFuture<StoreFlowResponse> store(Object flow, boolean dryRun) {
    StoreFlowRequest request;
    try {
      request = document(flow).setDryRun(dryRun).build();
    } catch (RuntimeException failure) {
      return Futures.failed(failure);
    }
    return unary(FlowServiceGrpc.getStoreFlowMethod(), request);
  }

  private static StoreFlowRequest.Builder document(Object flow) {
    StoreFlowRequest.Builder request = StoreFlowRequest.newBuilder();
    if (flow instanceof byte[] bytes) {
      return request.setDocument(UnsafeByteOperations.unsafeWrap(bytes));
    }
    if (!(flow instanceof Path) && !(flow instanceof String)) {
      return request
          .setDocument(UnsafeByteOperations.unsafeWrap(Json.encode(flow)))
          .setFormat(
              flow instanceof RawJson ? DocumentFormat.DOCUMENT_FORMAT_UNSPECIFIED : DocumentFormat.DOCUMENT_FORMAT_JSON);
    }
    try {
      Path path = flow instanceof Path given ? given : Path.of((String) flow);
      String name = path.toString().toLowerCase(Locale.ROOT);
      request.setDocument(UnsafeByteOperations.unsafeWrap(Files.readAllBytes(path)));
      if (name.endsWith(".json")) {
        request.setFormat(DocumentFormat.DOCUMENT_FORMAT_JSON);
      } else if (name.endsWith(".yaml") || name.endsWith(".yml")) {
        request.setFormat(DocumentFormat.DOCUMENT_FORMAT_YAML);
      }
      return request;
    } catch (IOException | InvalidPathException unreadable) {
      throw new FlowspanException(
              Reason.INVALID_ARGUMENT,
              "neither a flow id (sha256: and 64 hexadecimal digits) nor a file that can be read: " + unreadable,
              unreadable)
          .with("field", "flow");
    }
  }

  /** A stored flow. */
  public CompletableFuture<Flow> getFlow(String flowId) {
    return unary(FlowServiceGrpc.getGetFlowMethod(), GetFlowRequest.newBuilder().setFlowId(flowId).build())
        .thenCompose(
            answer ->
                json(answer.getDocument())
                    .thenApply(
                        document -> new Flow(answer.getFlowId(), answer.hasFlowName() ? answer.getFlowName() : null, document)));
  }

  /** Stored flows, newest first. */
  public Pages<FlowSummary> listFlows() {
    return new Pages<>(
        token ->
            unary(FlowServiceGrpc.getListFlowsMethod(), ListFlowsRequest.newBuilder().setPageToken(token).build())
                .thenApply(
                    answer ->
                        new Pages.Page<>(
                            answer.getFlowsList().stream()
                                .map(flow -> new FlowSummary(flow.getFlowId(), flow.hasFlowName() ? flow.getFlowName() : null))
                                .toList(),
                            answer.getNextPageToken())));
  }

  // --- runs

  /** See {@link #submit(Object, Iterable, SubmitOptions)}. */
  public CompletableFuture<RunStatus> submit(Object flow, Iterable<?> inputs) {
    return submit(flow, inputs, new SubmitOptions());
  }

  /**
   * Submits a run; when this is done, the run and all its inputs are durable.
   *
   * @param flow an id, or a document as in {@link #storeFlow}, which is stored first
   * @param inputs one value per item. Many, and those that are no collection, are streamed; what is not a collection is read once,
   *     on a thread that may block, and cannot be repeated by the client
   */
  public CompletableFuture<RunStatus> submit(Object flow, Iterable<?> inputs, SubmitOptions options) {
    return flowId(flow)
        .thenCompose(
            id -> {
              RunOptions header = header(id, options);
              SubmitRunRequest whole = whole(header, inputs);
              if (whole == null) {
                return submitStream(header, inputs);
              }
              return unary(RunServiceGrpc.getSubmitRunMethod(), whole, this::maySubmitAgain)
                  .thenApply(answer -> Convert.status(answer.getRun(), null));
            });
  }

  /** See {@link #submitAndWatch(Object, Iterable, SubmitOptions, ResultOrder)}. */
  public CompletableFuture<Watch> submitAndWatch(Object flow, Iterable<?> inputs, SubmitOptions options) {
    return submitAndWatch(flow, inputs, options, ResultOrder.BY_COMPLETION);
  }

  /** Submits a run and follows it, in one round trip. */
  public CompletableFuture<Watch> submitAndWatch(Object flow, Iterable<?> inputs, SubmitOptions options, ResultOrder order) {
    return flowId(flow)
        .thenCompose(
            id -> {
              RunOptions header = header(id, options);
              SubmitRunRequest whole = whole(header, inputs);
              if (whole == null) {
                return submitStream(header, inputs).thenApply(run -> watch(run.runId(), 0, order));
              }
              SubmitAndWatchRunRequest.Builder both = SubmitAndWatchRunRequest.newBuilder().setRun(whole);
              if (taskToken != null) {
                both.setOptions(WatchOptions.newBuilder().setTaskToken(taskToken));
              }
              return CompletableFuture.completedFuture(new Watch(this, null, 0, order, both.build(), filter()));
            });
  }

  /** See {@link #run(Object, Iterable, SubmitOptions, ResultOrder)}. */
  public CompletableFuture<RunStatus> run(Object flow, Iterable<?> inputs, SubmitOptions options) {
    return run(flow, inputs, options, ResultOrder.BY_INDEX);
  }

  /** Submits a run and waits for its end; the status with results. Failed items are data: see {@link RunStatus#throwForFailures}. */
  public CompletableFuture<RunStatus> run(Object flow, Iterable<?> inputs, SubmitOptions options, ResultOrder order) {
    return submitAndWatch(flow, inputs, options)
        .thenCompose(
            watch -> {
              List<ItemResult> results = new ArrayList<>();
              return drain(watch, results)
                  .thenCompose(
                      drained -> {
                        List<String> labels = options.itemLabels;
                        if (!labels.isEmpty()) {
                          results.replaceAll(item -> item.withLabel(labels.get((int) item.itemIndex())));
                        }
                        if (order == ResultOrder.BY_INDEX) {
                          results.sort(Watch.BY_INDEX);
                        }
                        RunStatus status = watch.status();
                        return status == null
                            ? getRun(watch.runId()).thenApply(now -> now.withResults(results))
                            : CompletableFuture.completedFuture(status.withResults(results));
                      });
            });
  }

  /** Reads a watch to its end. Cancelling the future closes the watch. */
  private static CompletableFuture<Void> drain(Watch watch, List<ItemResult> into) {
    CompletableFuture<Void> over =
        new Linked<>() {
          @Override
          public boolean cancel(boolean interrupt) {
            watch.close();
            return super.cancel(interrupt);
          }
        };
    drain(watch, into, over);
    return over;
  }

  private static void drain(Watch watch, List<ItemResult> into, CompletableFuture<Void> over) {
    while (!over.isDone()) {
      CompletableFuture<List<ItemResult>> next = watch.nextBatchAsync();
      if (next.isDone() && !next.isCompletedExceptionally()) {
        if (next.join().isEmpty()) {
          over.complete(null);
          return;
        }
        into.addAll(next.join());
        continue;
      }
      next.whenComplete(
          (batch, failure) -> {
            if (failure != null) {
              over.completeExceptionally(FlowspanException.of(failure));
            } else if (batch.isEmpty()) {
              over.complete(null);
            } else {
              into.addAll(batch);
              drain(watch, into, over);
            }
          });
      return;
    }
  }

  /** Follows a run from its beginning, in the order of its log. */
  public Watch watch(String runId) {
    return watch(runId, 0, ResultOrder.BY_COMPLETION);
  }

  /**
   * Follows a run: each result once, as it becomes durable; resumes by itself.
   *
   * @param afterSeq a cursor; 0: from the beginning
   * @param order by index, a result waits for those before it
   */
  public Watch watch(String runId, long afterSeq, ResultOrder order) {
    return new Watch(this, runId, afterSeq, order, null, filter());
  }

  private WatchOptions filter() {
    return taskToken == null ? null : WatchOptions.newBuilder().setTaskToken(taskToken).build();
  }

  /**
   * Waits for the run's end: its status, without results. When {@code timeout} is over first, the status as it stands, not an error.
   *
   * @param timeout null: as long as it takes
   */
  public CompletableFuture<RunStatus> wait(String runId, java.time.Duration timeout) {
    long deadline = timeout == null ? Long.MAX_VALUE : System.nanoTime() + timeout.toNanos();
    return getRun(runId)
        .thenCompose(
            status -> {
              if (status.isTerminal()) {
                return CompletableFuture.completedFuture(status);
              }
              WatchOptions.Builder onlyTheEnd = WatchOptions.newBuilder().setResultsOnly(true).setOmitPayloads(true);
              if (taskToken != null) {
                onlyTheEnd.setTaskToken(taskToken);
              }
              Watch watch = new Watch(this, runId, status.asOfSeq(), ResultOrder.BY_COMPLETION, null, onlyTheEnd.build());
              CompletableFuture<Void> end = drain(watch, new Forgetful<>());
              if (timeout != null) {
                connection
                    .sleep(Math.max(0, TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime())))
                    .thenRun(() -> end.complete(null));
              }
              return end.whenComplete((ended, failure) -> watch.close()).thenCompose(ended -> getRun(runId));
            });
  }

  /** As {@link #wait(String, java.time.Duration)}, with results. */
  public CompletableFuture<RunStatus> waitForResults(String runId, java.time.Duration timeout, ResultOrder order) {
    return wait(runId, timeout).thenCompose(ended -> getRun(runId, true, order));
  }

  /** The status of a run, without results. */
  public CompletableFuture<RunStatus> getRun(String runId) {
    return getRun(runId, false, ResultOrder.BY_INDEX);
  }

  /** The status of a run. Results that did not fit into one answer are fetched in pages. */
  public CompletableFuture<RunStatus> getRun(String runId, boolean includeResults, ResultOrder order) {
    GetRunRequest request =
        GetRunRequest.newBuilder()
            .setRunId(runId)
            .setIncludeResults(includeResults)
            .setResultOrder(order.message())
            .build();
    return unary(RunServiceGrpc.getGetRunMethod(), request)
        .thenCompose(
            answer -> {
              dev.flowspan.v1.RunStatus run = answer.getRun();
              if (!includeResults) {
                return CompletableFuture.completedFuture(Convert.status(run, null));
              }
              if (!run.hasResultsOmitted()) {
                return items(run.getResultsList()).thenApply(results -> Convert.status(run, results));
              }
              // In the order of the log the first `count` results are those of this status, however far the run is by now.
              Pages<ItemResult> pages = listRunItems(runId, new ItemOptions().order(ResultOrder.BY_COMPLETION));
              return collect(pages, new ArrayList<>(), run.getResultsOmitted().getCount())
                  .thenApply(
                      results -> {
                        if (order == ResultOrder.BY_INDEX) {
                          results.sort(Watch.BY_INDEX);
                        }
                        return Convert.status(run, null).withResults(results);
                      });
            });
  }

  private static CompletableFuture<List<ItemResult>> collect(Pages<ItemResult> pages, List<ItemResult> results, long count) {
    if (results.size() >= count) {
      return CompletableFuture.completedFuture(new ArrayList<>(results.subList(0, (int) count)));
    }
    return pages
        .nextPageAsync()
        .thenCompose(
            page -> {
              results.addAll(page);
              return page.isEmpty() ? CompletableFuture.completedFuture(results) : collect(pages, results, count);
            });
  }

  /** Results of the items that have ended. */
  public Pages<ItemResult> listRunItems(String runId, ItemOptions options) {
    return new Pages<>(
        token -> {
          ListRunItemsRequest.Builder request =
              ListRunItemsRequest.newBuilder()
                  .setRunId(runId)
                  .setPageSize(options.pageSize)
                  .setPageToken(token)
                  .setResultOrder(options.order.message())
                  .setMerged(options.merged);
          options.outcomes.forEach(outcome -> request.addOutcomes(outcome.message()));
          if (options.afterItemIndex != null) {
            request.setAfterItemIndex(options.afterItemIndex);
          }
          return unary(RunServiceGrpc.getListRunItemsMethod(), request.build())
              .thenCompose(
                  answer ->
                      items(answer.getItemsList()).thenApply(items -> new Pages.Page<>(items, answer.getNextPageToken())));
        });
  }

  /** Runs that match, newest first, without results. */
  public Pages<RunStatus> listRuns(ListOptions options) {
    return new Pages<>(
        token -> {
          ListRunsRequest.Builder request =
              ListRunsRequest.newBuilder()
                  .setPageSize(options.pageSize)
                  .setPageToken(token)
                  .setFlowId(options.flowId)
                  .setFlowLabel(options.label)
                  .putAllMetadata(options.metadata)
                  .setParentRunId(options.parentRunId)
                  .setRootRunId(options.rootRunId);
          options.statuses.forEach(state -> request.addStatuses(state.message()));
          if (options.createdAfter != null) {
            request.setCreatedAfter(Convert.timestamp(options.createdAfter));
          }
          if (options.createdBefore != null) {
            request.setCreatedBefore(Convert.timestamp(options.createdBefore));
          }
          return unary(RunServiceGrpc.getListRunsMethod(), request.build())
              .thenApply(
                  answer ->
                      new Pages.Page<>(
                          answer.getRunsList().stream().map(run -> Convert.status(run, null)).toList(),
                          answer.getNextPageToken()));
        });
  }

  /** Cancels a run and its sub-runs: no item starts after this is done, those that run are told to stop. */
  public CompletableFuture<RunStatus> cancelRun(String runId, String reason) {
    CancelRunRequest request = CancelRunRequest.newBuilder().setRunId(runId).setReason(reason == null ? "" : reason).build();
    return unary(RunServiceGrpc.getCancelRunMethod(), request).thenApply(answer -> Convert.status(answer.getRun(), null));
  }

  /** See {@link #retryRun(String, Collection, SubmitOptions)}. */
  public CompletableFuture<RunStatus> retryRun(String runId) {
    return retryRun(runId, List.of(), new SubmitOptions());
  }

  /**
   * Runs the failed and cancelled items of a finished run again, as a new run.
   *
   * @param itemIndexes these items instead; none: all that failed or were cancelled
   * @param options its request id and its maxConcurrency are heeded
   */
  public CompletableFuture<RunStatus> retryRun(String runId, Collection<Long> itemIndexes, SubmitOptions options) {
    RetryRunRequest.Builder request =
        RetryRunRequest.newBuilder()
            .setRunId(runId)
            .addAllItemIndexes(itemIndexes)
            .setRequestId(options.requestId == null ? UUID.randomUUID().toString() : options.requestId);
    if (options.maxConcurrency != null) {
      request.setMaxConcurrency(options.maxConcurrency);
    }
    return unary(RunServiceGrpc.getRetryRunMethod(), request.build()).thenApply(answer -> Convert.status(answer.getRun(), null));
  }

  /** Deletes a finished run with its sub-runs. Not repeated by the client: a second answer could not tell what the first did. */
  public CompletableFuture<Void> deleteRun(String runId) {
    return unary(RunServiceGrpc.getDeleteRunMethod(), DeleteRunRequest.newBuilder().setRunId(runId).build(), error -> false)
        .thenApply(answer -> null);
  }

  // --- blobs

  /** Stores a value: bytes as a binary blob, anything else as JSON. Its id. */
  public CompletableFuture<String> putBlob(Object value) {
    return putBlob(value, value instanceof byte[] ? BlobType.BINARY : BlobType.DATA);
  }

  /** Stores a blob; its id. Bytes are taken as they are. */
  public CompletableFuture<String> putBlob(Object value, BlobType type) {
    byte[] data;
    try {
      data = value instanceof byte[] bytes ? bytes : Json.encode(value);
    } catch (RuntimeException failure) {
      return Futures.failed(failure);
    }
    dev.flowspan.v1.BlobType number = dev.flowspan.v1.BlobType.forNumber(type.ordinal() + 1);
    if (data.length <= UNARY_BLOB_BYTES) {
      PutBlobRequest small =
          PutBlobRequest.newBuilder().setData(UnsafeByteOperations.unsafeWrap(data)).setBlobType(number).build();
      return unary(BlobServiceGrpc.getPutBlobMethod(), small).thenApply(answer -> answer.getInfo().getBlobId());
    }
    List<WriteBlobRequest> messages = new ArrayList<>();
    messages.add(WriteBlobRequest.newBuilder().setHeader(WriteBlobHeader.newBuilder().setBlobType(number)).build());
    for (int start = 0; start < data.length; start += MESSAGE_BYTES) {
      int length = Math.min(MESSAGE_BYTES, data.length - start);
      messages.add(WriteBlobRequest.newBuilder().setChunk(UnsafeByteOperations.unsafeWrap(data, start, length)).build());
    }
    return connection
        .upload(
            channel(connection.calls()), BlobServiceGrpc.getWriteBlobMethod(), messages::iterator, FlowspanException::isRetryable)
        .thenApply(answer -> answer.getInfo().getBlobId());
  }

  /** Reads a blob of any size. */
  public CompletableFuture<Blob> getBlob(String blobId) {
    return connection
        .download(
            channel(connection.calls()),
            BlobServiceGrpc.getReadBlobMethod(),
            ReadBlobRequest.newBuilder().setBlobId(blobId).build())
        .thenApply(parts -> joined(blobId, parts));
  }

  private static Blob joined(String blobId, List<ReadBlobResponse> parts) {
    if (parts.isEmpty() || !parts.get(0).hasInfo()) {
      throw new FlowspanException(Reason.INTERNAL, "the gateway sent a blob without its header");
    }
    BlobInfo info = parts.get(0).getInfo();
    ByteArrayOutputStream data = new ByteArrayOutputStream((int) Math.min(info.getSize(), Integer.MAX_VALUE - 8));
    try {
      for (ReadBlobResponse part : parts) {
        part.getChunk().writeTo(data);
      }
    } catch (IOException impossible) {
      throw new UncheckedIOException(impossible);
    }
    if (data.size() != info.getSize()) {
      throw new FlowspanException(
          Reason.HASH_MISMATCH, "blob " + blobId + " has " + info.getSize() + " bytes, " + data.size() + " came");
    }
    BlobType type = info.getBlobTypeValue() == 3 ? BlobType.BINARY : info.getBlobTypeValue() == 2 ? BlobType.FLOW : BlobType.DATA;
    return new Blob(info.getBlobId(), type, data.toByteArray());
  }

  // --- the gateway

  /** What components flows can name, and how the plugins are that offer them. */
  public CompletableFuture<ComponentList> listComponents() {
    return unary(ComponentServiceGrpc.getListComponentsMethod(), ListComponentsRequest.getDefaultInstance())
        .thenApply(
            answer ->
                new ComponentList(
                    answer.getComponentsList().stream()
                        .map(
                            found ->
                                new Component(
                                    found.getPath(),
                                    found.getPlugin(),
                                    found.hasDescription() ? found.getDescription() : null,
                                    found.hasInputSchema() ? RawJson.of(found.getInputSchema().getJson().toByteArray()) : null,
                                    found.hasOutputSchema() ? RawJson.of(found.getOutputSchema().getJson().toByteArray()) : null))
                        .toList(),
                    answer.getPluginsList().stream()
                        .map(
                            plugin ->
                                new Plugin(
                                    plugin.getName(),
                                    plugin.getType(),
                                    Convert.word(plugin.getHealth().name(), "PLUGIN_HEALTH_"),
                                    plugin.getDetail(),
                                    plugin.getRestarts(),
                                    plugin.getCapacity(),
                                    plugin.getInFlight(),
                                    List.copyOf(plugin.getStderrTailList())))
                        .toList()));
  }

  /** Whether the gateway takes calls. Fails with UNAVAILABLE if it cannot be reached. */
  public CompletableFuture<Boolean> health() {
    return unary(HEALTH_CHECK, new byte[0]).thenApply(answer -> answer.length == 2 && answer[0] == 8 && answer[1] == 1);
  }

  // --- within

  Connection connection() {
    return connection;
  }

  Channel watchChannel() {
    return channel(connection.watches());
  }

  private Channel channel(Channel channel) {
    if (taskToken == null) {
      return channel;
    }
    Metadata metadata = new Metadata();
    metadata.put(TASK_TOKEN, taskToken);
    return ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(metadata));
  }

  <Q, A> CompletableFuture<A> unary(MethodDescriptor<Q, A> method, Q request) {
    return unary(method, request, FlowspanException::isRetryable);
  }

  private <Q, A> CompletableFuture<A> unary(MethodDescriptor<Q, A> method, Q request, Predicate<FlowspanException> repeat) {
    try {
      return connection.unary(channel(connection.calls()), method, request, repeat);
    } catch (RuntimeException failure) {
      return Futures.failed(failure);
    }
  }

  /** A sub-run has no request id of its own, so that a repeated execution finds it again: another submit would be another run. */
  boolean maySubmitAgain(FlowspanException error) {
    return taskToken == null ? error.isRetryable() : error.isSurelyNotApplied();
  }

  private CompletableFuture<String> flowId(Object flow) {
    return flow instanceof String id && FLOW_ID.matcher(id).matches()
        ? Linked.done(id)
        : storeFlow(flow);
  }

  private RunOptions header(String flowId, SubmitOptions options) {
    RunOptions.Builder header =
        RunOptions.newBuilder()
            .setFlowId(flowId)
            .putAllMetadata(options.metadata)
            .addAllItemLabels(options.itemLabels)
            .setDetached(options.detached);
    if (options.maxConcurrency != null) {
      header.setMaxConcurrency(options.maxConcurrency);
    }
    if (options.overrides != null) {
      header.setOverrides(Convert.jsonValue(options.overrides));
    }
    if (options.variables != null) {
      header.setVariables(Convert.jsonValue(options.variables));
    }
    if (options.label != null) {
      header.setFlowLabel(options.label);
    }
    if (options.deadline != null) {
      header.setDeadline(
          Duration.newBuilder().setSeconds(options.deadline.getSeconds()).setNanos(options.deadline.getNano()));
    }
    if (options.requestId != null) {
      header.setRequestId(options.requestId);
    } else if (taskToken == null) {
      header.setRequestId(UUID.randomUUID().toString());
    }
    String token = options.taskToken == null ? taskToken : options.taskToken;
    if (token != null) {
      header.setTaskToken(token);
    }
    if (options.traceparent != null) {
      header.setTraceparent(options.traceparent);
    }
    return header.build();
  }

  /** The request, if the inputs are at hand and fit into one message; else null. */
  private static SubmitRunRequest whole(RunOptions header, Iterable<?> inputs) {
    if (!(inputs instanceof Collection<?> collection) || collection.size() > UNARY_MAX_INPUTS) {
      return null;
    }
    SubmitRunRequest.Builder request = SubmitRunRequest.newBuilder().setOptions(header);
    long size = 0;
    for (Object input : collection) {
      JsonValue value = Convert.jsonValue(input);
      size += value.getJson().size();
      if (size > UNARY_MAX_BYTES) {
        return null;
      }
      request.addInputs(value);
    }
    return request.build();
  }

  private CompletableFuture<RunStatus> submitStream(RunOptions header, Iterable<?> inputs) {
    boolean canRepeat = inputs instanceof Collection<?>;
    return connection
        .upload(
            channel(connection.calls()),
            RunServiceGrpc.getSubmitRunStreamMethod(),
            () -> new InputMessages(header, inputs.iterator()),
            error -> canRepeat && maySubmitAgain(error))
        .thenApply(answer -> Convert.status(answer.getRun(), null));
  }

  private CompletableFuture<RawJson> json(JsonValue value) {
    return value.getKindCase() == JsonValue.KindCase.BLOB_ID
        ? getBlob(value.getBlobId()).thenApply(Blob::raw)
        : CompletableFuture.completedFuture(RawJson.of(value.getJson().toByteArray()));
  }

  /** Results with the values that are kept in blobs. */
  private CompletableFuture<List<ItemResult>> items(List<dev.flowspan.v1.ItemResult> messages) {
    CompletableFuture<List<ItemResult>> all = CompletableFuture.completedFuture(new ArrayList<>(messages.size()));
    for (dev.flowspan.v1.ItemResult message : messages) {
      Convert.Found found = Convert.item(message);
      if (found.blobId() == null && all.isDone()) {
        all.join().add(found.result());
      } else {
        all =
            all.thenCompose(
                results ->
                    (found.blobId() == null
                            ? CompletableFuture.completedFuture(found.result())
                            : getBlob(found.blobId()).thenApply(blob -> withValue(found.result(), blob)))
                        .thenApply(
                            item -> {
                              results.add(item);
                              return results;
                            }));
      }
    }
    return all;
  }

  private static ItemResult withValue(ItemResult item, Blob blob) {
    return new ItemResult(
        item.itemIndex(), item.outcome(), blob.raw(), item.error(), item.reason(), item.completedAt(), item.itemLabel(),
        item.sourceItemIndex());
  }

  /** The messages of a streamed submit: the header, then as many inputs as make a good message. */
  private static final class InputMessages implements Iterator<SubmitRunStreamRequest> {
    private final Iterator<?> inputs;
    private RunOptions header;

    InputMessages(RunOptions header, Iterator<?> inputs) {
      this.header = header;
      this.inputs = inputs;
    }

    @Override
    public boolean hasNext() {
      return header != null || inputs.hasNext();
    }

    @Override
    public SubmitRunStreamRequest next() {
      SubmitRunStreamRequest.Builder message = SubmitRunStreamRequest.newBuilder();
      if (header != null) {
        message.setOptions(header);
        header = null;
        return message.build();
      }
      if (!inputs.hasNext()) {
        throw new NoSuchElementException();
      }
      for (int size = 0; inputs.hasNext() && size < MESSAGE_BYTES && message.getInputsCount() < UNARY_MAX_INPUTS; ) {
        JsonValue value = Convert.jsonValue(inputs.next());
        size += value.getJson().size();
        message.addInputs(value);
      }
      return message.build();
    }
  }

  /** Results of a wait: nobody wants them. */
  private static final class Forgetful<T> extends ArrayList<T> {
    private static final long serialVersionUID = 1L;

    @Override
    public boolean addAll(Collection<? extends T> more) {
      return false;
    }
  }

  private static final class Bytes implements MethodDescriptor.Marshaller<byte[]> {
    @Override
    public InputStream stream(byte[] value) {
      return new ByteArrayInputStream(value);
    }

    @Override
    public byte[] parse(InputStream stream) {
      try {
        return stream.readAllBytes();
      } catch (IOException unreadable) {
        throw new UncheckedIOException(unreadable);
      }
    }
  }
}
