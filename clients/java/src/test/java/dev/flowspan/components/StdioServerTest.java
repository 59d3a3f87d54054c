package dev.flowspan.components;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.flowspan.Json;
import dev.flowspan.RunStatus;
import dev.flowspan.SubmitOptions;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PipedInputStream;
import java.io.PipedOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
class StdioServerTest {
  private final CountDownLatch release = new CountDownLatch(1);
  private PipedOutputStream toServer;
  private BufferedReader fromServer;
  private Thread serving;

  @BeforeEach
  void start() throws IOException {
    ComponentServer server = new ComponentServer(new ServerOptions().capacity(4));
    server.component("/echo", JsonNode.class, (input, context) -> input);
    server.component("/double", Integer.class, (n, context) -> 2 * n, new ComponentOptions().inline().description("Doubles."));
    server.component(
        "/wait",
        JsonNode.class,
        (input, context) -> {
          release.await();
          return "released";
        });
    server.component(
        "/fail",
        JsonNode.class,
        (input, context) -> {
          throw new ComponentError("no", "INVALID_INPUT", Map.of("a", 1.5), null);
        });
    server.component(
        "/crash",
        JsonNode.class,
        (input, context) -> {
          throw new StackOverflowError();
        });
    server.component("/users/{id}", JsonNode.class, (input, context) -> context.parameters().get("id"));
    server.asyncComponent("/later", JsonNode.class, (input, context) -> new CompletableFuture<>());
    server.component(
        "/facts",
        JsonNode.class,
        (input, context) ->
            List.of(context.taskToken(), context.traceparent(), context.idempotencyToken(), context.attempt(), context.itemIndex()));
    server.component(
        "/sub",
        JsonNode.class,
        (input, context) -> {
          RunStatus run = context.submitRunAndWait("f", List.of(1.0, 2), new SubmitOptions(), null);
          return run.results().get(0).value();
        });
    PipedInputStream in = new PipedInputStream(1 << 20);
    PipedInputStream out = new PipedInputStream(1 << 20);
    toServer = new PipedOutputStream(in);
    PipedOutputStream answers = new PipedOutputStream(out);
    fromServer = new BufferedReader(new InputStreamReader(out, StandardCharsets.UTF_8));
    serving =
        new Thread(
            () -> {
              try {
                server.serveStdio(in, answers, false);
                answers.close();
              } catch (IOException broken) {
                broken.printStackTrace();
              }
            });
    serving.start();
    JsonNode initialized = ask("{\"jsonrpc\":\"2.0\",\"id\":\"1-1\",\"method\":\"initialize\",\"params\":{\"runtimeProtocolVersion\":1}}");
    assertEquals(1, initialized.at("/result/serverProtocolVersion").intValue());
    assertTrue(initialized.at("/result/capabilities/bulk").booleanValue());
  }

  @AfterEach
  void stop() throws IOException, InterruptedException {
    release.countDown();
    toServer.close();
    serving.join();
  }

  private void send(String line) throws IOException {
    toServer.write((line + "\n").getBytes(StandardCharsets.UTF_8));
    toServer.flush();
  }

  private JsonNode next() throws IOException {
    return Json.decode(fromServer.readLine());
  }

  private JsonNode ask(String line) throws IOException {
    send(line);
    return next();
  }

  private static String execute(int id, String component, String input) {
    return "{\"jsonrpc\":\"2.0\",\"id\":" + id + ",\"method\":\"components/execute\",\"params\":{\"component\":\"" + component
        + "\",\"input\":" + input
        + ",\"attempt\":2,\"itemIndex\":3,\"taskToken\":\"t-1\",\"observability\":{\"run_id\":\"r\",\"step_id\":\"s\",\"trace_id\":\"aa\",\"span_id\":\"bb\"}}}";
  }

  @Test
  void listsComponents() throws IOException {
    JsonNode list = ask("{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"components/list\",\"params\":{}}").at("/result/components");
    assertEquals("/double", list.get(1).get("component").asText());
    assertEquals("Doubles.", list.get(1).get("description").asText());
  }

  @Test
  void valuesAreExact() throws IOException {
    String input = "{\"b\":-0.0,\"a\":[1.0,1,9007199254740993,1e5,\"\\u2028é\"]}";
    send(execute(1, "/echo", input));
    assertEquals(
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"output\":{\"b\":-0.0,\"a\":[1.0,1,9007199254740993,1e5,\"\u2028é\"]}}}",
        fromServer.readLine());
  }

  @Test
  void aFailureIsThatOfItsItem() throws IOException {
    JsonNode failed = ask(execute(1, "/fail", "1")).get("error");
    assertEquals(-32003, failed.get("code").intValue());
    assertEquals("1.5", failed.at("/data/data/a").asText());
    assertEquals(-32004, ask(execute(2, "/crash", "1")).at("/error/code").intValue());
    JsonNode unfit = ask(execute(3, "/double", "\"x\""));
    assertEquals(-32003, unfit.at("/error/code").intValue());
    assertEquals(-32001, ask(execute(4, "/nope", "1")).at("/error/code").intValue());
    assertEquals(4, ask(execute(5, "/double", "2")).at("/result/output").intValue());
  }

  @Test
  void knowsParametersAndFacts() throws IOException {
    assertEquals("7", ask(execute(1, "/users/7", "1")).at("/result/output").asText());
    JsonNode facts = ask(execute(2, "/facts", "1")).at("/result/output");
    assertEquals("t-1", facts.get(0).asText());
    assertEquals("00-aa-bb-01", facts.get(1).asText());
    assertEquals(dev.flowspan.IdempotencyToken.of("r", 3, "s"), facts.get(2).asText());
  }

  private static String bulk(String component, String calls) {
    return "{\"jsonrpc\":\"2.0\",\"method\":\"$/execute\",\"params\":{\"component\":\"" + component
        + "\",\"observability\":{\"trace_id\":\"aa\",\"run_id\":\"r\",\"flow_id\":\"f\",\"step_id\":\"s\",\"flags\":\"00\"},"
        + "\"spanPrefix\":\"ed1d78\",\"tokenPrefix\":\"f20c-\",\"timeoutMs\":200.0,\"calls\":" + calls + "}}";
  }

  @Test
  void answersInBulk() throws IOException {
    send(bulk("/double", "[[1,0,1,1],[2,1,1,\"x\"],[30,2,1,3]]"));
    JsonNode answer = next();
    assertEquals("$/outputs", answer.get("method").asText());
    assertEquals("[[1,2],[30,6]]", answer.at("/params/outputs").toString());
    assertEquals(2, answer.at("/params/failures/0/0").intValue());
    send(bulk("/facts", "[[30,2,1,3]]"));
    assertEquals(
        "[\"f20c-1e\",\"00-aa-ed1d78000000001e-00\",\"" + dev.flowspan.IdempotencyToken.of("r", 2, "s") + "\",1,2]",
        next().at("/params/outputs/0/1").toString());
    send(bulk("/nope", "[[4,0,1,1]]"));
    assertEquals(-32001, next().at("/params/failures/0/1/code").intValue());
  }

  @Test
  void keepsTimeOuts() throws IOException {
    for (String component : List.of("/later", "/wait")) {
      send(bulk(component, "[[9,0,1,1]]"));
      JsonNode answer = next();
      assertEquals(9, answer.at("/params/failures/0/0").intValue());
      assertEquals(-32006, answer.at("/params/failures/0/1/code").intValue());
    }
  }

  @Test
  void tellsWhatHasStartedAndCancels() throws IOException {
    send(execute(1, "/wait", "1"));
    assertEquals("{\"jsonrpc\":\"2.0\",\"method\":\"$/started\",\"params\":{\"ids\":[1]}}", fromServer.readLine());
    JsonNode first = ask("{\"jsonrpc\":\"2.0\",\"id\":\"c\",\"method\":\"$/cancel\",\"params\":{\"ids\":[1,99]}}");
    JsonNode second = next();
    Map<String, JsonNode> byId = new HashMap<>();
    byId.put(first.get("id").asText(), first);
    byId.put(second.get("id").asText(), second);
    assertEquals("{\"dropped\":[],\"running\":[1]}", byId.get("c").get("result").toString());
    assertEquals(-32800, byId.get("1").at("/error/code").intValue());
  }

  @Test
  void asksTheGatewayWhileItExecutes() throws IOException {
    JsonNode request = ask(execute(1, "/sub", "1"));
    assertEquals("runs/submit", request.get("method").asText());
    assertEquals("[1.0,2]", request.at("/params/inputs").toString());
    assertTrue(request.at("/params/wait").booleanValue());
    assertEquals("t-1", request.at("/params/taskToken").asText());
    assertEquals(8, ask(execute(2, "/double", "4")).at("/result/output").intValue());
    JsonNode answer =
        ask(
            "{\"jsonrpc\":\"2.0\",\"id\":" + request.get("id")
                + ",\"result\":{\"runId\":\"x\",\"flowId\":\"f\",\"status\":\"success\",\"items\":{\"total\":1},\"createdAt\":\"2026-11-22T16:12:38.892694Z\","
                + "\"results\":[{\"itemIndex\":0,\"result\":{\"outcome\":\"success\",\"value\":-0.0}}],\"asOfSeq\":5}}");
    assertEquals("-0.0", answer.at("/result/output").asText());
  }

  @Test
  void survivesNoise() throws IOException {
    send("{oops");
    send("");
    send("[1]");
    send("{\"jsonrpc\":\"2.0\",\"id\":4000000000,\"result\":1}");
    assertEquals(-32601, ask("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nope\"}").at("/error/code").intValue());
    String large = "x".repeat(3_000_000);
    assertEquals(large, ask(execute(2, "/echo", "\"" + large + "\"")).at("/result/output").asText());
  }

  @Test
  void endsWhenAskedTo() throws IOException, InterruptedException {
    assertTrue(ask("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"shutdown\"}").has("result"));
    serving.join(TimeUnit.SECONDS.toMillis(5));
    assertFalse(serving.isAlive());
  }
}
