package dev.flowspan.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.flowspan.Blob;
import dev.flowspan.BlobType;
import dev.flowspan.ClientOptions;
import dev.flowspan.FlowspanClient;
import dev.flowspan.FlowspanException;
import dev.flowspan.ItemOptions;
import dev.flowspan.ItemResult;
import dev.flowspan.Json;
import dev.flowspan.ListOptions;
import dev.flowspan.Outcome;
import dev.flowspan.Reason;
import dev.flowspan.ResultOrder;
import dev.flowspan.RunState;
import dev.flowspan.RunStatus;
import dev.flowspan.SubmitOptions;
import dev.flowspan.Version;
import dev.flowspan.Watch;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** The client that the conformance runner drives: see tests/conformance/PROTOCOL.md. */
public final class Client {
  private static final JsonNodeFactory NODES = JsonNodeFactory.instance;
  private static final PrintStream OUT = System.out;

  private final Map<Long, Thread> open = new ConcurrentHashMap<>();
  private volatile FlowspanClient connected;
  private String target;
  private String token;

  private Client() {}

  /** Reads commands to the end of stdin. */
  public static void main(String[] arguments) throws IOException {
    Client program = new Client();
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      JsonNode command = Json.decode(line);
      if (command.get("op").asText().equals("connect")) {
        program.handle(command);
        continue;
      }
      Thread thread = new Thread(() -> program.handle(command));
      thread.setDaemon(true);
      program.open.put(command.get("id").asLong(), thread);
      thread.start();
    }
    // What is open is given up.
    program.open.values().forEach(Thread::interrupt);
    if (program.connected != null) {
      program.connected.close();
    }
  }

  private static void answer(JsonNode command, String member, JsonNode value) {
    ObjectNode line = NODES.objectNode();
    line.set("id", command.get("id"));
    line.set(member, value);
    byte[] bytes = Json.encode(line);
    synchronized (OUT) {
      OUT.write(bytes, 0, bytes.length);
      OUT.write('\n');
      OUT.flush();
    }
  }

  private void handle(JsonNode command) {
    try {
      answer(command, "ok", perform(command));
    } catch (FlowspanException error) {
      fail(command, error);
    } catch (RuntimeException defect) {
      defect.printStackTrace();
      fail(command, new FlowspanException(Reason.INTERNAL, defect.toString()));
    } finally {
      open.remove(command.get("id").asLong());
    }
  }

  private static void fail(JsonNode command, FlowspanException error) {
    ObjectNode failure = NODES.objectNode();
    failure.put("reason", error.reason().name());
    failure.put("grpc", error.reason().grpcCode().name());
    failure.put("message", error.getMessage());
    failure.put("retryable", error.isRetryable());
    failure.set("details", Json.nodeOf(error.details()));
    answer(command, "error", failure);
  }

  private FlowspanClient client() {
    if (connected == null) {
      throw new FlowspanException(Reason.INVALID_ARGUMENT, "connect comes first");
    }
    return connected;
  }

  private JsonNode perform(JsonNode command) {
    String runId = text(command, "run_id");
    switch (command.get("op").asText()) {
      case "connect":
        return connect(command);
      case "store_flow":
        return object("flow_id", client().storeFlow(Json.decode(text(command, "flow_json"))));
      case "put_blob":
        return putBlob(command);
      case "get_blob":
        return getBlob(client().getBlob(text(command, "blob_id")));
      case "submit":
        return status(client().submit(text(command, "flow_id"), inputs(command), options(command)));
      case "submit_stream": {
        List<JsonNode> inputs = inputs(command);
        Iterable<JsonNode> streamed = inputs::iterator;
        return status(client().submit(text(command, "flow_id"), streamed, options(command)));
      }
      case "get":
        return status(client().getRun(runId, command.path("include_results").asBoolean(), order(command)));
      case "wait":
        return status(client().waitForResults(runId, seconds(command, "timeout_s"), order(command)));
      case "watch":
        return watch(command, runId);
      case "run":
        return status(client().run(text(command, "flow_id"), inputs(command), options(command)));
      case "cancel":
        return status(client().cancelRun(runId, text(command, "reason")));
      case "retry": {
        List<Long> indexes = new ArrayList<>();
        command.path("item_indexes").forEach(index -> indexes.add(index.asLong()));
        return status(client().retryRun(runId, indexes, options(command)));
      }
      case "delete":
        client().deleteRun(runId);
        return NODES.objectNode();
      case "list_runs":
        return listRuns(command);
      case "list_items":
        return listItems(command, runId);
      case "components": {
        ArrayNode names = NODES.arrayNode();
        client().listComponents().components().forEach(component -> names.add(component.path()));
        return NODES.objectNode().set("names", names);
      }
      case "stop": {
        Thread asked = open.get(command.get("op_id").asLong());
        if (asked != null) {
          asked.interrupt();
        }
        return NODES.objectNode();
      }
      case "deadline": {
        Duration timeout = Duration.ofNanos((long) (command.get("timeout_ms").asDouble() * 1e6));
        try (FlowspanClient hurried =
            FlowspanClient.connect(new ClientOptions().target(target).token(token).timeout(timeout))) {
          return status(hurried.getRun(runId));
        }
      }
      default:
        throw new FlowspanException(Reason.INVALID_ARGUMENT, "no such op");
    }
  }

  private JsonNode connect(JsonNode command) {
    if (connected != null) {
      connected.close();
    }
    target = text(command, "target");
    token = text(command, "token");
    connected = FlowspanClient.connect(new ClientOptions().target(target).token(token));
    connected.health();
    return object("sdk", "flowspan-java").put("version", Version.VERSION);
  }

  private JsonNode putBlob(JsonNode command) {
    String encoded = text(command, "data_base64");
    String type = text(command, "blob_type");
    Object value = encoded == null ? Json.decode(text(command, "data_json")) : Base64.getDecoder().decode(encoded);
    return object("blob_id", type == null ? client().putBlob(value) : client().putBlob(value, BlobType.ofWord(type)));
  }

  private static JsonNode getBlob(Blob blob) {
    ObjectNode answer = object("blob_type", blob.type().word());
    return blob.type() == BlobType.BINARY
        ? answer.put("data_base64", Base64.getEncoder().encodeToString(blob.bytes()))
        : answer.put("data_json", written(blob.value()));
  }

  private JsonNode watch(JsonNode command, String runId) {
    ResultOrder order = command.path("by_index").asBoolean() ? ResultOrder.BY_INDEX : ResultOrder.BY_COMPLETION;
    try (Watch watch = client().watch(runId, command.path("after_seq").asLong(), order)) {
      for (ItemResult item : watch) {
        ObjectNode event = NODES.objectNode();
        event.set("result", result(item));
        event.put("cursor", watch.cursor());
        answer(command, "event", event);
      }
      // A watch from a cursor has not seen what describes the run.
      RunStatus status = watch.status() == null ? client().getRun(runId) : watch.status();
      ObjectNode end = NODES.objectNode();
      end.set("status", status(status));
      return end.put("cursor", watch.cursor());
    }
  }

  private JsonNode listRuns(JsonNode command) {
    ListOptions options = new ListOptions().pageSize(command.path("page_size").asInt());
    List<RunState> states = new ArrayList<>();
    command.path("statuses").forEach(word -> states.add(RunState.ofWord(word.asText())));
    options.statuses(states).metadata(texts(command.path("metadata")));
    if (text(command, "flow_label") != null) {
      options.label(text(command, "flow_label"));
    }
    ArrayNode ids = NODES.arrayNode();
    client().listRuns(options).forEach(run -> ids.add(run.runId()));
    return NODES.objectNode().set("run_ids", ids);
  }

  private JsonNode listItems(JsonNode command, String runId) {
    ItemOptions options = new ItemOptions();
    if (command.path("page_size").asInt() != 0) {
      options.pageSize(command.path("page_size").asInt());
    }
    List<Outcome> outcomes = new ArrayList<>();
    command.path("outcomes").forEach(word -> outcomes.add(Outcome.valueOf(word.asText().toUpperCase(Locale.ROOT))));
    ArrayNode results = NODES.arrayNode();
    client().listRunItems(runId, options.outcomes(outcomes)).forEach(item -> results.add(result(item)));
    return NODES.objectNode().set("results", results);
  }

  private static ObjectNode object(String name, String value) {
    return NODES.objectNode().put(name, value);
  }

  private static String text(JsonNode object, String name) {
    return object.hasNonNull(name) ? object.get(name).asText() : null;
  }

  private static Map<String, String> texts(JsonNode object) {
    Map<String, String> texts = new LinkedHashMap<>();
    object.properties().forEach(entry -> texts.put(entry.getKey(), entry.getValue().asText()));
    return texts;
  }

  private static Duration seconds(JsonNode command, String name) {
    return command.hasNonNull(name) ? Duration.ofNanos((long) (command.get(name).asDouble() * 1e9)) : null;
  }

  private static ResultOrder order(JsonNode command) {
    return "byCompletion".equals(text(command, "order")) ? ResultOrder.BY_COMPLETION : ResultOrder.BY_INDEX;
  }

  private static List<JsonNode> inputs(JsonNode command) {
    List<JsonNode> inputs = new ArrayList<>();
    command.get("inputs_json").forEach(input -> inputs.add(Json.decode(input.asText())));
    return inputs;
  }

  private static SubmitOptions options(JsonNode command) {
    SubmitOptions options = new SubmitOptions();
    if (command.hasNonNull("max_concurrency")) {
      JsonNode bound = command.get("max_concurrency");
      options.maxConcurrency(bound.asLong());
    }
    if (command.hasNonNull("overrides_json")) {
      options.overrides(Json.decode(text(command, "overrides_json")));
    }
    if (command.hasNonNull("variables_json")) {
      options.variables(Json.decode(text(command, "variables_json")));
    }
    if (command.hasNonNull("flow_label")) {
      options.label(text(command, "flow_label"));
    }
    options.metadata(texts(command.path("metadata")));
    List<String> labels = new ArrayList<>();
    command.path("item_labels").forEach(label -> labels.add(label.asText()));
    options.itemLabels(labels);
    if (command.hasNonNull("deadline_s")) {
      options.deadline(seconds(command, "deadline_s"));
    }
    return options.requestId(text(command, "request_id"));
  }

  private static String written(Object value) {
    return new String(Json.encode(value), StandardCharsets.UTF_8);
  }

  private static ObjectNode result(ItemResult item) {
    ObjectNode wire = NODES.objectNode();
    wire.put("item_index", item.itemIndex());
    wire.put("outcome", item.outcome().word());
    if (item.outcome() == Outcome.SUCCESS) {
      wire.put("value_json", written(item.value()));
    }
    if (item.error() != null) {
      ObjectNode error = wire.putObject("error").put("code", item.error().code()).put("message", item.error().message());
      if (item.error().data() != null) {
        error.put("data_json", written(item.error().data().decode()));
      }
    }
    if (item.reason() != null) {
      wire.put("reason", item.reason());
    }
    if (item.itemLabel() != null) {
      wire.put("item_label", item.itemLabel());
    }
    if (item.sourceItemIndex() != null) {
      wire.put("source_item_index", item.sourceItemIndex());
    }
    return wire;
  }

  private static ObjectNode status(RunStatus run) {
    ObjectNode wire = NODES.objectNode();
    wire.put("run_id", run.runId()).put("flow_id", run.flowId()).put("status", run.status().word());
    wire.set("items", Json.nodeOf(run.items()));
    wire.put("as_of_seq", run.asOfSeq());
    if (run.results() != null) {
      ArrayNode results = wire.putArray("results");
      run.results().forEach(item -> results.add(result(item)));
    }
    return wire;
  }
}
