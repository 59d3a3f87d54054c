package dev.flowspan.conformance;

import dev.flowspan.BlobType;
import dev.flowspan.FlowspanClient;
import dev.flowspan.FlowspanException;
import dev.flowspan.ItemResult;
import dev.flowspan.ResultOrder;
import dev.flowspan.RunStatus;
import dev.flowspan.SubmitOptions;
import dev.flowspan.Watch;
import dev.flowspan.components.ComponentContext;
import dev.flowspan.components.ComponentError;
import dev.flowspan.components.ComponentServer;
import dev.flowspan.components.ServerOptions;
import java.io.IOException;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * Ten tasks, the same in every language: docs/sdks.md shows them side by side. With {@code serve} it is the component
 * server.
 */
public final class TenTasks {
  private TenTasks() {}

  // 1. Store a flow
  static Map<String, Object> oneStep(String component) {
    Object step = Map.of("id", "only", "component", component, "input", Map.of("$input", "$"));
    return Map.of("name", component, "steps", List.of(step), "output", Map.of("$step", "only"));
  }

  static String store(FlowspanClient client) {
    return client.storeFlow(oneStep("/shop/double"));
  }

  // 2. Run it
  static void run(FlowspanClient client, String flowId) {
    RunStatus status = client.run(flowId, List.of(1, 2, 3), new SubmitOptions().label("first"));
    for (ItemResult item : status.results()) {
      System.out.println(item.itemIndex() + " " + item.value());
    }
  }

  // 3. Follow a run
  static Watch follow(FlowspanClient client, String flowId) {
    List<Integer> inputs = IntStream.range(0, 10).boxed().toList();
    RunStatus run = client.submit(flowId, inputs, new SubmitOptions().maxConcurrency(5));
    try (Watch watch = client.watch(run.runId(), 0, ResultOrder.BY_INDEX)) {
      for (ItemResult item : watch) {
        if (item.itemIndex() == 9) {
          System.out.println("the last is " + item.value(Integer.class));
        }
      }
      return watch;
    }
  }

  // 4. Go on from a cursor
  static void resume(FlowspanClient client, String runId, long cursor) {
    int left = 0;
    try (Watch watch = client.watch(runId, cursor, ResultOrder.BY_COMPLETION)) {
      while (watch.hasNext()) {
        watch.next();
        left++;
      }
    }
    System.out.println("left: " + left);
  }

  // 5. Errors have reasons
  static void lookUp(FlowspanClient client) {
    try {
      client.getRun("019f0000-0000-7000-8000-000000000000");
    } catch (FlowspanException error) {
      System.out.println(error.reason() + (error.isRetryable() ? " to be repeated" : " for good"));
    }
  }

  // 6. Wait with a bound, and cancel
  static void cancel(FlowspanClient client) {
    RunStatus run = client.submit(oneStep("/shop/slow"), Collections.singletonList(null));
    System.out.println(client.wait(run.runId(), Duration.ofMillis(200)).status().word());
    client.cancelRun(run.runId(), "no longer needed");
    System.out.println(client.wait(run.runId()).status().word());
  }

  // 7. Retry what failed
  static void retry(FlowspanClient client, String flowId) {
    RunStatus status = client.run(flowId, List.of(1, -1));
    for (ItemResult item : status.results()) {
      if (item.error() != null) {
        System.out.println(item.itemIndex() + " " + item.error().code() + " " + item.error().message());
      }
    }
    RunStatus again = client.retryRun(status.runId());
    System.out.println("again: " + again.items().total());
  }

  // 8. Blobs
  static void blobs(FlowspanClient client) {
    String blobId = client.putBlob(Map.of("count", 1L << 60));
    System.out.println(client.getBlob(blobId).value().get("count"));
  }

  // 9. Components
  static int twice(int value, ComponentContext context) throws ComponentError {
    if (value < 0) {
      throw new ComponentError(value + " is negative");
    }
    return 2 * value;
  }

  static Object slow(Object value, ComponentContext context) throws InterruptedException {
    Thread.sleep(60_000); // interrupted when its run is cancelled
    return null;
  }

  static void serve() throws IOException {
    ComponentServer server = new ComponentServer(new ServerOptions().capacity(8));
    server.component("/double", Integer.class, TenTasks::twice);
    server.component("/slow", Object.class, TenTasks::slow);
    server.component("/total", int[].class, TenTasks::total);
    server.run();
  }

  // 10. A component that runs a flow
  static int total(int[] values, ComponentContext context) {
    String flowId = context.putBlob(oneStep("/shop/double"), BlobType.FLOW);
    context.reportProgress(0.5, "running the others");
    List<Integer> inputs = IntStream.of(values).boxed().toList();
    RunStatus run = context.submitRunAndWait(flowId, inputs, new SubmitOptions(), null);
    return run.results().stream().mapToInt(item -> item.value(Integer.class)).sum();
  }

  // end

  /** Does the tasks, or serves. */
  public static void main(String[] arguments) throws IOException {
    if (arguments.length > 0 && arguments[0].equals("serve")) {
      serve();
      return;
    }
    try (FlowspanClient client = FlowspanClient.connect()) {
      String flowId = store(client);
      run(client, flowId);
      Watch watch = follow(client, flowId);
      resume(client, watch.runId(), watch.cursor());
      lookUp(client);
      cancel(client);
      retry(client, flowId);
      blobs(client);
      List<List<Integer>> values = List.of(List.of(1, 2, 3));
      System.out.println("in all: " + client.run(oneStep("/shop/total"), values).results().get(0).value());
    }
  }
}
