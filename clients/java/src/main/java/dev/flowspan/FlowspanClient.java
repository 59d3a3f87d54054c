package dev.flowspan;

import java.time.Duration;
import java.util.Collection;
import java.util.List;

/**
 * A client of one gateway.
 *
 * <pre>{@code
 * try (FlowspanClient client = FlowspanClient.connect()) {
 *   RunStatus status = client.run(flow, List.of(1, 2, 3));
 *   status.results().forEach(item -> System.out.println(item.itemIndex() + " " + item.value()));
 * }
 * }</pre>
 *
 * Every call throws {@link FlowspanException} where it could not be served, and blocks; {@link #async()} has the same calls with
 * futures. An interrupt gives a call up. Safe for use by many threads.
 */
public final class FlowspanClient implements AutoCloseable {
  private final AsyncFlowspanClient client;

  FlowspanClient(AsyncFlowspanClient client) {
    this.client = client;
  }

  /** A client of the gateway that FLOWSPAN_TARGET and FLOWSPAN_TOKEN name, else of the one that runs on this machine. */
  public static FlowspanClient connect() {
    return connect(new ClientOptions());
  }

  /** A client of the gateway at {@code unix:/path} or {@code host:port}. */
  public static FlowspanClient connect(String target) {
    return connect(new ClientOptions().target(target));
  }

  /** A client of the gateway that the options name. Connects with the first call. */
  public static FlowspanClient connect(ClientOptions options) {
    return new FlowspanClient(AsyncFlowspanClient.connect(options));
  }

  /** The same client with futures. */
  public AsyncFlowspanClient async() {
    return client;
  }

  /** Where this client connects to. */
  public String target() {
    return client.target();
  }

  /** Ends all calls and watches. Harmless if repeated. */
  @Override
  public void close() {
    client.close();
  }

  /** See {@link AsyncFlowspanClient#storeFlow}. */
  public String storeFlow(Object flow) {
    return Futures.join(client.storeFlow(flow));
  }

  /** See {@link AsyncFlowspanClient#checkFlow}. */
  public List<Diagnostic> checkFlow(Object flow) {
    return Futures.join(client.checkFlow(flow));
  }

  /** See {@link AsyncFlowspanClient#getFlow}. */
  public Flow getFlow(String flowId) {
    return Futures.join(client.getFlow(flowId));
  }

  /** See {@link AsyncFlowspanClient#listFlows}. */
  public Pages<FlowSummary> listFlows() {
    return client.listFlows();
  }

  /** See {@link AsyncFlowspanClient#submit(Object, Iterable, SubmitOptions)}. */
  public RunStatus submit(Object flow, Iterable<?> inputs) {
    return Futures.join(client.submit(flow, inputs));
  }

  /** See {@link AsyncFlowspanClient#submit(Object, Iterable, SubmitOptions)}. */
  public RunStatus submit(Object flow, Iterable<?> inputs, SubmitOptions options) {
    return Futures.join(client.submit(flow, inputs, options));
  }

  /** See {@link AsyncFlowspanClient#submitAndWatch(Object, Iterable, SubmitOptions, ResultOrder)}. */
  public Watch submitAndWatch(Object flow, Iterable<?> inputs) {
    return submitAndWatch(flow, inputs, new SubmitOptions(), ResultOrder.BY_COMPLETION);
  }

  /** See {@link AsyncFlowspanClient#submitAndWatch(Object, Iterable, SubmitOptions, ResultOrder)}. */
  public Watch submitAndWatch(Object flow, Iterable<?> inputs, SubmitOptions options, ResultOrder order) {
    return Futures.join(client.submitAndWatch(flow, inputs, options, order));
  }

  /** See {@link AsyncFlowspanClient#run(Object, Iterable, SubmitOptions, ResultOrder)}. */
  public RunStatus run(Object flow, Iterable<?> inputs) {
    return run(flow, inputs, new SubmitOptions());
  }

  /** See {@link AsyncFlowspanClient#run(Object, Iterable, SubmitOptions, ResultOrder)}. */
  public RunStatus run(Object flow, Iterable<?> inputs, SubmitOptions options) {
    return run(flow, inputs, options, ResultOrder.BY_INDEX);
  }

  /** See {@link AsyncFlowspanClient#run(Object, Iterable, SubmitOptions, ResultOrder)}. */
  public RunStatus run(Object flow, Iterable<?> inputs, SubmitOptions options, ResultOrder order) {
    return Futures.join(client.run(flow, inputs, options, order));
  }

  /** See {@link AsyncFlowspanClient#watch(String, long, ResultOrder)}. */
  public Watch watch(String runId) {
    return client.watch(runId);
  }

  /** See {@link AsyncFlowspanClient#watch(String, long, ResultOrder)}. */
  public Watch watch(String runId, long afterSeq, ResultOrder order) {
    return client.watch(runId, afterSeq, order);
  }

  /** See {@link AsyncFlowspanClient#wait(String, Duration)}. */
  public RunStatus wait(String runId) {
    return wait(runId, null);
  }

  /** See {@link AsyncFlowspanClient#wait(String, Duration)}. */
  public RunStatus wait(String runId, Duration timeout) {
    return Futures.join(client.wait(runId, timeout));
  }

  /** See {@link AsyncFlowspanClient#waitForResults}. */
  public RunStatus waitForResults(String runId, Duration timeout, ResultOrder order) {
    return Futures.join(client.waitForResults(runId, timeout, order));
  }

  /** See {@link AsyncFlowspanClient#getRun(String)}. */
  public RunStatus getRun(String runId) {
    return Futures.join(client.getRun(runId));
  }

  /** See {@link AsyncFlowspanClient#getRun(String, boolean, ResultOrder)}. */
  public RunStatus getRun(String runId, boolean includeResults, ResultOrder order) {
    return Futures.join(client.getRun(runId, includeResults, order));
  }

  /** See {@link AsyncFlowspanClient#listRunItems}. */
  public Pages<ItemResult> listRunItems(String runId) {
    return client.listRunItems(runId, new ItemOptions());
  }

  /** See {@link AsyncFlowspanClient#listRunItems}. */
  public Pages<ItemResult> listRunItems(String runId, ItemOptions options) {
    return client.listRunItems(runId, options);
  }

  /** See {@link AsyncFlowspanClient#listRuns}. */
  public Pages<RunStatus> listRuns() {
    return client.listRuns(new ListOptions());
  }

  /** See {@link AsyncFlowspanClient#listRuns}. */
  public Pages<RunStatus> listRuns(ListOptions options) {
    return client.listRuns(options);
  }

  /** See {@link AsyncFlowspanClient#cancelRun}. */
  public RunStatus cancelRun(String runId, String reason) {
    return Futures.join(client.cancelRun(runId, reason));
  }

  /** See {@link AsyncFlowspanClient#retryRun(String, Collection, SubmitOptions)}. */
  public RunStatus retryRun(String runId) {
    return Futures.join(client.retryRun(runId));
  }

  /** See {@link AsyncFlowspanClient#retryRun(String, Collection, SubmitOptions)}. */
  public RunStatus retryRun(String runId, Collection<Long> itemIndexes, SubmitOptions options) {
    return Futures.join(client.retryRun(runId, itemIndexes, options));
  }

  /** See {@link AsyncFlowspanClient#deleteRun}. */
  public void deleteRun(String runId) {
    Futures.join(client.deleteRun(runId));
  }

  /** See {@link AsyncFlowspanClient#putBlob(Object)}. */
  public String putBlob(Object value) {
    return Futures.join(client.putBlob(value));
  }

  /** See {@link AsyncFlowspanClient#putBlob(Object, BlobType)}. */
  public String putBlob(Object value, BlobType type) {
    return Futures.join(client.putBlob(value, type));
  }

  /** See {@link AsyncFlowspanClient#getBlob}. */
  public Blob getBlob(String blobId) {
    return Futures.join(client.getBlob(blobId));
  }

  /** See {@link AsyncFlowspanClient#listComponents}. */
  public ComponentList listComponents() {
    return Futures.join(client.listComponents());
  }

  /** See {@link AsyncFlowspanClient#health}. */
  public boolean health() {
    return Futures.join(client.health());
  }
}
