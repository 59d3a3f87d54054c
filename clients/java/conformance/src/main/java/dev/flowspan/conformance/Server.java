package dev.flowspan.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.flowspan.ItemResult;
import dev.flowspan.Outcome;
import dev.flowspan.RunStatus;
import dev.flowspan.SubmitOptions;
import dev.flowspan.components.ComponentContext;
import dev.flowspan.components.ComponentError;
import dev.flowspan.components.ComponentServer;
import dev.flowspan.components.ResultsWatch;
import dev.flowspan.components.ServerOptions;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** The component server that the conformance runner drives: see tests/conformance/PROTOCOL.md. */
public final class Server {
  private static final JsonNodeFactory NODES = JsonNodeFactory.instance;
  private static final AtomicInteger COUNTED = new AtomicInteger();

  private Server() {}

  /** Serves until its gateway is gone. */
  public static void main(String[] arguments) throws IOException {
    int capacity = Integer.parseInt(System.getenv().getOrDefault("CONFORMANCE_CAPACITY", "8"));
    ComponentServer server = new ComponentServer(new ServerOptions().capacity(capacity));
    server.component("/echo", JsonNode.class, (input, context) -> input);
    server.component("/facts", JsonNode.class, (input, context) -> facts(context));
    server.component("/fail", JsonNode.class, (input, context) -> fail(input));
    server.component(
        "/skip",
        JsonNode.class,
        (input, context) -> {
          // A component cannot skip its step; a flow can.
          throw new ComponentError("not today");
        });
    server.component(
        "/print",
        JsonNode.class,
        (input, context) -> {
          System.out.println(input.get("text").asText());
          return "printed";
        });
    server.asyncComponent(
        "/sleep",
        JsonNode.class,
        (input, context) ->
            new CompletableFuture<JsonNode>()
                .completeOnTimeout(input.get("ms"), input.get("ms").asLong(), TimeUnit.MILLISECONDS));
    server.component("/progress", JsonNode.class, (input, context) -> progress(context));
    server.component("/big", JsonNode.class, (input, context) -> "x".repeat(input.get("bytes").asInt()));
    server.component("/deep", JsonNode.class, (input, context) -> deep(input.get("depth").asInt()));
    server.component(
        "/exit",
        JsonNode.class,
        (input, context) -> {
          if (context.attempt() < input.get("below").asInt()) {
            Runtime.getRuntime().halt(3);
          }
          return context.attempt();
        });
    server.component(
        "/put",
        JsonNode.class,
        (input, context) -> {
          String blobId = context.putBlob(input);
          ObjectNode answer = NODES.objectNode().put("blobId", blobId);
          answer.set("data", context.getBlob(blobId).value());
          return answer;
        });
    server.component("/sub_run", JsonNode.class, (input, context) -> subRun(input, context));
    server.component("/sub_watch", JsonNode.class, (input, context) -> subWatch(input, context));
    server.component("/count", JsonNode.class, (input, context) -> COUNTED.incrementAndGet());
    server.component(
        "/users/{id}",
        JsonNode.class,
        (input, context) -> {
          ObjectNode answer = NODES.objectNode().put("id", context.parameters().get("id"));
          answer.set("input", input);
          return answer;
        });
    server.run();
  }

  private static JsonNode facts(ComponentContext context) {
    return NODES
        .objectNode()
        .put("attempt", context.attempt())
        .put("runId", context.runId())
        .put("flowId", context.flowId())
        .put("stepId", context.stepId())
        .put("itemIndex", context.itemIndex())
        .put("taskToken", context.taskToken() != null)
        .put("idempotencyToken", context.idempotencyToken())
        .put("traceparent", context.traceparent())
        .put("pid", ProcessHandle.current().pid());
  }

  private static JsonNode fail(JsonNode input) throws ComponentError {
    String message = input.path("message").asText("failed");
    JsonNode data = input.get("data");
    switch (input.get("kind").asText()) {
      case "invalid_input":
        throw ComponentError.invalidInput(message, data);
      case "unavailable":
        throw new ComponentError(message, "RESOURCE_UNAVAILABLE", data, null);
      case "crash_in_code":
        throw new IllegalStateException(message);
      default:
        throw new ComponentError(message, null, data, null);
    }
  }

  private static String progress(ComponentContext context) throws InterruptedException {
    for (double fraction : new double[] {0.25, 0.5, 0.75}) {
      context.reportProgress(fraction, (int) (fraction * 100) + "% done");
      Thread.sleep(100);
    }
    return "done";
  }

  private static JsonNode deep(int depth) {
    ArrayNode value = NODES.arrayNode();
    for (int level = 1; level < depth; level++) {
      value = NODES.arrayNode().add(value);
    }
    return value;
  }

  private static SubmitOptions options(JsonNode input) {
    SubmitOptions options = new SubmitOptions();
    return input.hasNonNull("max_concurrency") ? options.maxConcurrency(input.get("max_concurrency").asLong()) : options;
  }

  private static List<JsonNode> inputs(JsonNode input) {
    List<JsonNode> inputs = new ArrayList<>();
    input.get("inputs").forEach(inputs::add);
    return inputs;
  }

  private static JsonNode subRun(JsonNode input, ComponentContext context) {
    RunStatus run = context.submitRunAndWait(input.get("flow_id").asText(), inputs(input), options(input), (Duration) null);
    ObjectNode answer = NODES.objectNode().put("runId", run.runId()).put("status", run.status().word());
    ArrayNode results = answer.putArray("results");
    for (ItemResult item : run.results()) {
      ObjectNode one = results.addObject().put("itemIndex", item.itemIndex()).put("outcome", item.outcome().word());
      if (item.outcome() == Outcome.SUCCESS) {
        one.set("value", item.value());
      }
    }
    return answer;
  }

  private static JsonNode subWatch(JsonNode input, ComponentContext context) {
    RunStatus run = context.submitRun(input.get("flow_id").asText(), inputs(input), options(input));
    ObjectNode answer = NODES.objectNode();
    ArrayNode indexes = answer.putArray("indexes");
    try (ResultsWatch watch = context.watchRun(run.runId(), 0)) {
      watch.forEachRemaining(item -> indexes.add(item.itemIndex()));
      return answer.put("status", watch.status() == null ? null : watch.status().status().word());
    }
  }
}
