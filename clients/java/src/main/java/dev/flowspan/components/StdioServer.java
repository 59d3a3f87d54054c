package dev.flowspan.components;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.flowspan.FlowspanException;
import dev.flowspan.Json;
import dev.flowspan.RawJson;
import dev.flowspan.Reason;
import dev.flowspan.Version;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** One conversation with a gateway over a pair of pipes. */
final class StdioServer implements Transport {
  private static final System.Logger LOG = System.getLogger("flowspan.components");
  private static final JsonNodeFactory NODES = JsonNodeFactory.instance;
  private static final int PROTOCOL_VERSION = 1;
  private static final int READ_BYTES = 256 * 1024;
  private static final int MAX_LINE_BYTES = 32 * 1024 * 1024;

  /** What is larger gains nothing from company: it goes out in a line of its own. */
  private static final int SMALL_BYTES = 4 * 1024;

  /** A line of many answers ends here. */
  private static final int MANY_BYTES = 256 * 1024;

  /** Beyond it, reading rests: a gateway that takes no answers gets no more work done. */
  private static final int MAX_UNWRITTEN_BYTES = 64 * 1024 * 1024;

  /** How long executions may go on after the end of stdin, where somebody may still read the answers. */
  private static final long LAST_ANSWERS_MILLIS = 1_000;

  private final Engine engine;
  private final InputStream in;
  private final OutputStream out;
  private final StdioCalls calls = new StdioCalls(this);
  private final CountDownLatch ended = new CountDownLatch(1);
  private final CountDownLatch written = new CountDownLatch(1);

  // Of the engine's lock.
  private ByteBuffers lines = new ByteBuffers();
  private ByteBuffers spare = new ByteBuffers();
  private final ByteBuffers outputs = new ByteBuffers();
  private final ByteBuffers failures = new ByteBuffers();
  private int writing;
  private boolean news;
  private boolean ending;
  private boolean broken;
  private boolean drained;

  private volatile boolean initialized;
  private volatile boolean gatewayDrains;

  StdioServer(Registry registry, int capacity, InputStream in, OutputStream out) {
    this.engine = new Engine(registry, capacity);
    this.in = in;
    this.out = out;
    engine.attach(this);
  }

  private static void daemon(String name, Runnable task) {
    Thread thread = new Thread(task, name);
    thread.setDaemon(true);
    thread.start();
  }

  /** Returns when the gateway is gone or has asked to end. */
  void serve(boolean watchParent) throws IOException {
    IOException[] failure = new IOException[1];
    daemon("flowspan-writer", this::write);
    daemon(
        "flowspan-reader",
        () -> {
          try {
            read();
          } catch (IOException broken) {
            failure[0] = broken;
          }
          endWhenIdle();
          try {
            ended.await(LAST_ANSWERS_MILLIS, TimeUnit.MILLISECONDS);
          } catch (InterruptedException atOnce) {
            Thread.currentThread().interrupt();
          }
          ended.countDown();
        });
    if (watchParent) {
      daemon("flowspan-parent", this::watchParent);
    }
    try {
      ended.await();
      calls.close();
      wakeWriter();
      written.await(LAST_ANSWERS_MILLIS, TimeUnit.MILLISECONDS);
    } catch (InterruptedException end) {
      Thread.currentThread().interrupt();
    }
    engine.forget(null);
    engine.close();
    if (failure[0] != null) {
      throw failure[0];
    }
  }

  private void endWhenIdle() {
    synchronized (engine) {
      ending = true;
    }
    wakeWriter();
  }

  /** A second belt beside the end of stdin, which another process may hold open. */
  private void watchParent() {
    long parent = parentId();
    try {
      while (parent > 1 && !ended.await(1, TimeUnit.SECONDS)) {
        if (parentId() != parent) {
          ended.countDown();
        }
      }
    } catch (InterruptedException end) {
      Thread.currentThread().interrupt();
    }
  }

  private static long parentId() {
    return ProcessHandle.current().parent().map(ProcessHandle::pid).orElse(0L);
  }

  // --- reading

  private void read() throws IOException {
    byte[] buffer = new byte[READ_BYTES];
    int filled = 0;
    int searched = 0;
    boolean discarding = false;
    while (true) {
      if (filled == buffer.length) {
        buffer = Arrays.copyOf(buffer, Math.min(2 * buffer.length, MAX_LINE_BYTES + READ_BYTES));
      }
      int count = in.read(buffer, filled, buffer.length - filled);
      if (count < 0) {
        return;
      }
      filled += count;
      int begin = 0;
      for (int position = searched; position < filled; position++) {
        if (buffer[position] == '\n') {
          if (!discarding) {
            receive(buffer, begin, position);
          }
          discarding = false;
          begin = position + 1;
        }
      }
      if (begin > 0) {
        System.arraycopy(buffer, begin, buffer, 0, filled - begin);
        filled -= begin;
      }
      searched = filled;
      if (filled > MAX_LINE_BYTES) {
        LOG.log(System.Logger.Level.ERROR, "the gateway sent a line that is longer than 32 MiB; it is dropped");
        filled = 0;
        searched = 0;
        discarding = true;
      }
      awaitRoom();
    }
  }

  private void awaitRoom() throws IOException {
    synchronized (engine) {
      try {
        while (unwritten() > MAX_UNWRITTEN_BYTES && !broken) {
          engine.wait();
        }
      } catch (InterruptedException end) {
        Thread.currentThread().interrupt();
        throw new IOException("interrupted", end);
      }
    }
  }

  private int unwritten() {
    return lines.length() + outputs.length() + failures.length() + writing;
  }

  private void receive(byte[] text, int start, int end) {
    JsonScan scan = new JsonScan(text, start, end);
    byte[] id = null;
    String method = null;
    JsonScan params = null;
    byte[] result = null;
    byte[] error = null;
    try {
      scan.enterObject();
      for (String name = scan.nextMember(); name != null; name = scan.nextMember()) {
        switch (name) {
          case "id" -> id = scan.value();
          case "method" -> method = scan.string();
          case "params" -> params = scan.isNull() ? null : scan.within();
          case "result" -> result = scan.value();
          case "error" -> error = scan.value();
          default -> {
            // Of a later version.
          }
        }
      }
    } catch (FlowspanException broken) {
      String line = new String(text, start, Math.min(end - start, 200), StandardCharsets.UTF_8);
      if (!line.isBlank()) {
        LOG.log(System.Logger.Level.WARNING, "ignored a line that is no message: " + line);
      }
      return;
    }
    if (method == null) {
      calls.take(id, result, error);
    } else if (id == null) {
      notification(method, params);
    } else {
      request(id, method, params);
    }
  }

  private static byte[] whole(JsonScan params) {
    return params == null ? new byte[] {'{', '}'} : params.all();
  }

  private void notification(String method, JsonScan params) {
    switch (method) {
      case "$/execute" -> {
        try {
          executeMany(params);
        } catch (RuntimeException unreadable) {
          LOG.log(System.Logger.Level.ERROR, "$/execute cannot be read; nobody could say which executions are lost", unreadable);
          ended.countDown();
        }
      }
      case "runs/event" -> calls.takeEvent(whole(params));
      case "$/cancelRequest" -> {
        JsonNode id = Json.decode(whole(params)).get("id");
        if (id != null) {
          engine.cancel(List.of(keyOf(id)), true);
        }
      }
      default -> {
        // `initialized`, or of a later version.
      }
    }
  }

  private void request(byte[] id, String method, JsonScan params) {
    if (method.equals("components/execute")) {
      try {
        execute(id, params);
      } catch (RuntimeException unreadable) {
        putError(id, Failure.of(Reason.INVALID_ARGUMENT, "components/execute cannot be read: " + unreadable.getMessage(), null));
      }
      return;
    }
    byte[] result;
    try {
      result = Json.encode(answer(method, Json.decode(whole(params))));
    } catch (FlowspanException refused) {
      putError(id, Failure.of(refused.reason(), refused.getMessage(), null));
      return;
    }
    synchronized (engine) {
      lines.ascii("{\"jsonrpc\":\"2.0\",\"id\":").add(id).ascii(",\"result\":").add(result).ascii("}\n");
    }
    wake();
    if (method.equals("shutdown")) {
      endWhenIdle();
    }
  }

  private void putError(byte[] id, Failure failure) {
    synchronized (engine) {
      lines.ascii("{\"jsonrpc\":\"2.0\",\"id\":").add(id).ascii(",\"error\":").add(written(failure)).ascii("}\n");
    }
    wake();
  }

  private ObjectNode answer(String method, JsonNode params) {
    switch (method) {
      case "initialize":
        return initialize(params);
      case "ping":
      case "shutdown":
        return NODES.objectNode();
      case "$/cancel": {
        List<Object> keys = new ArrayList<>();
        params.path("ids").forEach(id -> keys.add(keyOf(id)));
        Engine.Cancelled cancelled = engine.cancel(keys, true);
        ObjectNode answer = NODES.objectNode();
        answer.set("dropped", ids(cancelled.dropped()));
        answer.set("running", ids(cancelled.running()));
        return answer;
      }
      case "components/list": {
        checkInitialized();
        ObjectNode answer = NODES.objectNode();
        ArrayNode list = answer.putArray("components");
        engine.registry.components.values().forEach(component -> list.add(component.info()));
        return answer;
      }
      case "components/info": {
        checkInitialized();
        Registry.Found found = engine.registry.find(params.path("component").asText());
        if (found == null) {
          throw new FlowspanException(Reason.COMPONENT_NOT_FOUND, "there is no such component");
        }
        ObjectNode answer = NODES.objectNode();
        answer.set("info", found.component().info());
        return answer;
      }
      default:
        throw new FlowspanException(Reason.METHOD_NOT_FOUND, "there is no method " + Failure.cut(method, 200));
    }
  }

  private void checkInitialized() {
    if (!initialized) {
      throw new FlowspanException(Reason.NOT_INITIALIZED, "initialize comes first");
    }
  }

  private ObjectNode initialize(JsonNode params) {
    List<Integer> offered = new ArrayList<>();
    for (String name : List.of("runtimeProtocolVersion", "runtime_protocol_version")) {
      if (params.path(name).isInt()) {
        offered.add(params.get(name).intValue());
      }
    }
    for (String name : List.of("protocolVersions", "protocol_versions")) {
      params.path(name).forEach(version -> offered.add(version.asInt()));
    }
    if (!offered.isEmpty() && !offered.contains(PROTOCOL_VERSION)) {
      throw new FlowspanException(
          Reason.RESOURCE_UNAVAILABLE,
          "the gateway speaks protocol versions " + offered + ", this server speaks " + PROTOCOL_VERSION + ": update the older one");
    }
    initialized = true;
    gatewayDrains = params.path("capabilities").path("drain").asBoolean();
    ObjectNode answer = NODES.objectNode();
    answer.put("serverProtocolVersion", PROTOCOL_VERSION).put("server_protocol_version", PROTOCOL_VERSION);
    answer.putObject("serverInfo").put("name", "flowspan-java").put("version", Version.VERSION);
    ObjectNode capabilities = answer.putObject("capabilities").put("capacity", engine.capacity);
    for (String name :
        List.of(
            "cancelAck", "timeouts", "reentrant", "ping", "shutdown", "started", "progress", "watch", "derivesTokens", "bulk")) {
      capabilities.put(name, true);
    }
    return answer;
  }

  // --- executions

  private static Object keyOf(JsonNode id) {
    return id.isIntegralNumber() && id.canConvertToLong() ? (Object) id.longValue() : id.toString();
  }

  private static ArrayNode ids(Collection<Execution> executions) {
    ArrayNode ids = NODES.arrayNode();
    for (Execution execution : executions) {
      if (execution.otherId == null) {
        ids.add(execution.number);
      } else {
        ids.add(Json.decode(execution.otherId));
      }
    }
    return ids;
  }

  private static long nanosOf(double millis) {
    return millis > 0 ? (long) Math.min(millis * 1e6, 9e18) : 0;
  }

  private static void readOrigin(JsonScan scan, Execution.Origin origin, long[] itemIndex) {
    String spanId = null;
    scan.enterObject();
    for (String name = scan.nextMember(); name != null; name = scan.nextMember()) {
      switch (name) {
        case "trace_id" -> origin.traceId = scan.string();
        case "span_id" -> spanId = scan.string();
        case "run_id" -> origin.runId = scan.string();
        case "flow_id" -> origin.flowId = scan.string();
        case "step_id" -> origin.stepId = scan.string();
        case "traceparent" -> origin.traceparent = scan.string();
        case "flags" -> origin.flags = scan.string();
        case "item_index" -> itemIndex[0] = itemIndex[0] < 0 && scan.isLong() ? scan.longValue() : itemIndex[0];
        default -> {
          // Of a later version.
        }
      }
    }
    if (origin.traceparent == null && origin.traceId != null && spanId != null) {
      origin.traceparent = "00-" + origin.traceId + "-" + spanId + "-01";
    }
  }

  /** One execution that came as a request. */
  private void execute(byte[] id, JsonScan params) {
    checkInitialized();
    Execution.Origin origin = new Execution.Origin();
    String path = null;
    RawJson input = RawJson.NULL;
    int attempt = 1;
    long[] itemIndex = {-1};
    long timeout = 0;
    params.enterObject();
    for (String name = params.nextMember(); name != null; name = params.nextMember()) {
      if (params.isNull()) {
        continue;
      }
      switch (name) {
        case "component" -> path = params.string();
        case "input" -> input = RawJson.of(params.value());
        case "attempt" -> attempt = params.isLong() ? (int) params.longValue() : attempt;
        case "itemIndex", "item_index" -> itemIndex[0] = params.isLong() ? params.longValue() : itemIndex[0];
        case "timeoutMs" -> timeout = nanosOf(params.doubleValue());
        case "taskToken", "task_token" -> origin.taskToken = params.string();
        case "idempotencyToken", "idempotency_token" -> origin.idempotencyToken = params.string();
        case "observability" -> {
          origin.observability = RawJson.of(params.value());
          readOrigin(params.within(), origin, itemIndex);
        }
        default -> {
          // Of a later version.
        }
      }
    }
    Registry.Found found = engine.registry.find(path);
    if (found == null) {
      putError(id, Failure.noComponent(String.valueOf(path)));
      return;
    }
    JsonScan number = JsonScan.of(id);
    boolean isNumber = number.isLong();
    Execution execution =
        new Execution(
            engine,
            found,
            origin,
            isNumber ? number.longValue() : 0,
            isNumber ? null : new String(id, StandardCharsets.UTF_8),
            false,
            itemIndex[0],
            attempt,
            input,
            timeout);
    begin(List.of(execution));
  }

  /** Executions that came in bulk: what they share is said once. */
  private void executeMany(JsonScan params) {
    Execution.Origin origin = new Execution.Origin();
    String path = null;
    long timeout = 0;
    JsonScan many = null;
    params.enterObject();
    for (String name = params.nextMember(); name != null; name = params.nextMember()) {
      switch (name) {
        case "component" -> path = params.string();
        case "spanPrefix" -> origin.spanPrefix = params.string();
        case "tokenPrefix" -> origin.tokenPrefix = params.string();
        case "timeoutMs" -> timeout = params.isNull() ? 0 : nanosOf(params.doubleValue());
        case "observability" -> readOrigin(params.within(), origin, new long[] {0});
        case "calls" -> many = params.within();
        default -> {
          // Of a later version.
        }
      }
    }
    checkInitialized();
    Registry.Found found = engine.registry.find(path);
    List<Execution> executions = new ArrayList<>();
    many.enterArray();
    while (many.nextElement()) {
      JsonScan call = many.within();
      call.enterArray();
      long number = nextLong(call);
      long itemIndex = nextLong(call);
      int attempt = (int) nextLong(call);
      if (!call.nextElement()) {
        throw new FlowspanException(Reason.PARSE_ERROR, "a call without an input");
      }
      RawJson input = RawJson.of(call.value());
      executions.add(new Execution(engine, found, origin, number, null, true, itemIndex, attempt, input, timeout));
    }
    if (found == null) {
      Failure refusal = Failure.noComponent(String.valueOf(path));
      synchronized (engine) {
        executions.forEach(execution -> put(execution, null, refusal));
      }
      wake();
      return;
    }
    begin(executions);
  }

  private static long nextLong(JsonScan call) {
    if (!call.nextElement() || !call.isLong()) {
      throw new FlowspanException(Reason.PARSE_ERROR, "a call without its numbers");
    }
    return call.longValue();
  }

  private void begin(List<Execution> executions) {
    boolean late;
    synchronized (engine) {
      late = drained;
    }
    if (late) {
      drain(executions);
    } else {
      engine.run(executions);
    }
  }

  // --- answers and news

  private static byte[] written(Failure failure) {
    ObjectNode error = NODES.objectNode().put("code", failure.code()).put("message", failure.message());
    if (failure.data() != null) {
      error.putRawValue("data", new com.fasterxml.jackson.databind.util.RawValue(RawJson.of(failure.data())));
    }
    return Json.encode(error);
  }

  @Override
  public void put(Execution execution, byte[] output, Failure failure) {
    if (!execution.inBulk) {
      lines.ascii("{\"jsonrpc\":\"2.0\",\"id\":").add(execution.idText().getBytes(StandardCharsets.UTF_8));
      if (failure == null) {
        lines.ascii(",\"result\":{\"output\":").add(output).ascii("}}\n");
      } else {
        lines.ascii(",\"error\":").add(written(failure)).ascii("}\n");
      }
    } else if (failure != null) {
      entry(failures, execution.number).add(written(failure)).add(']');
    } else if (output.length > SMALL_BYTES) {
      lines.ascii("{\"jsonrpc\":\"2.0\",\"method\":\"$/outputs\",\"params\":{\"outputs\":[[");
      lines.ascii(Long.toString(execution.number)).add(',').add(output).ascii("]]}}\n");
    } else {
      entry(outputs, execution.number).add(output).add(']');
    }
    if (outputs.length() + failures.length() > MANY_BYTES) {
      closeMany();
    }
  }

  private static ByteBuffers entry(ByteBuffers to, long number) {
    if (to.length() > 0) {
      to.add(',');
    }
    return to.add('[').ascii(Long.toString(number)).add(',');
  }

  private void closeMany() {
    if (outputs.length() + failures.length() == 0) {
      return;
    }
    lines.ascii("{\"jsonrpc\":\"2.0\",\"method\":\"$/outputs\",\"params\":{\"outputs\":[").add(outputs);
    if (failures.length() > 0) {
      lines.ascii("],\"failures\":[").add(failures);
    }
    lines.ascii("]}}\n");
    outputs.clear();
    failures.clear();
  }

  /** Sends a notification. */
  void tell(String method, ObjectNode params) {
    line("{\"jsonrpc\":\"2.0\",\"method\":\"" + method + "\",\"params\":", Json.encode(params));
  }

  /** Sends a request of ours. */
  void ask(String id, String method, byte[] params) {
    line("{\"jsonrpc\":\"2.0\",\"id\":\"" + id + "\",\"method\":\"" + method + "\",\"params\":", params);
  }

  private void line(String head, byte[] params) {
    synchronized (engine) {
      lines.ascii(head).add(params).ascii("}\n");
    }
    wake();
  }

  @Override
  public void started(List<Execution> executions) {
    ObjectNode params = NODES.objectNode();
    params.set("ids", ids(executions));
    tell("$/started", params);
  }

  @Override
  public void progress(Execution execution, double fraction, String message) {
    ObjectNode params = NODES.objectNode();
    params.set("id", execution.otherId == null ? NODES.numberNode(execution.number) : Json.decode(execution.otherId));
    params.put("taskToken", execution.taskToken()).put("fraction", fraction);
    if (message != null) {
      params.put("message", message);
    }
    tell("$/progress", params);
  }

  /** Asks for a successor: threads that heed no interrupt cannot be ended, and pile up. */
  @Override
  public void overrun(int count) {
    synchronized (engine) {
      if (!gatewayDrains || drained) {
        return;
      }
      drained = true;
    }
    LOG.log(System.Logger.Level.ERROR, count + " components run on after their time-out; asking for a new process");
    drain(engine.giveBack());
  }

  private void drain(Collection<Execution> executions) {
    ObjectNode params = NODES.objectNode();
    params.set("ids", ids(executions));
    tell("$/drain", params);
  }

  @Override
  public Gateway gateway(Execution execution) {
    return calls.gateway(execution);
  }

  @Override
  public void wake() {
    wakeWriter();
  }

  private void wakeWriter() {
    synchronized (engine) {
      if (!news) {
        news = true;
        engine.notifyAll();
      }
    }
  }

  /** Joins whatever has come up during the last write. */
  private void write() {
    try {
      while (true) {
        ByteBuffers data;
        boolean isOver;
        synchronized (engine) {
          while (!news) {
            engine.wait();
          }
          news = false;
          isOver = ended.getCount() == 0;
          closeMany();
          data = lines;
          lines = spare;
          writing = data.length();
        }
        if (data.length() > 0) {
          data.writeTo(out);
        }
        boolean isDone;
        synchronized (engine) {
          data.clear();
          spare = data;
          writing = 0;
          engine.notifyAll();
          isDone = ending && engine.isIdle() && unwritten() == 0;
        }
        if (isOver) {
          break;
        }
        if (isDone) {
          ended.countDown();
          wakeWriter();
        }
      }
    } catch (IOException gone) {
      synchronized (engine) {
        broken = true;
        engine.notifyAll();
      }
      ended.countDown();
    } catch (InterruptedException end) {
      Thread.currentThread().interrupt();
    } finally {
      written.countDown();
    }
  }
}
