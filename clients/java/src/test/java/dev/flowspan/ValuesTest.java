package dev.flowspan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ValuesTest {
  @Test
  void tokensAreThoseOfTheGateway() {
    assertEquals("662gikzkpxm6pbnlgmaotghac6", IdempotencyToken.of("01a20405-1cb2-7994-b237-b12c826b5016", 0, "all"));
    assertEquals(26, IdempotencyToken.of("r", 12_345, "é").length());
  }

  @Test
  void enumsAndMessagesAgree() {
    for (RunState state : RunState.values()) {
      assertEquals("RUN_STATUS_" + state.name(), state.message().name());
      assertEquals(state, RunState.of(state.message()));
      assertEquals(state, RunState.ofWord(state.word()));
    }
    for (Outcome outcome : Outcome.values()) {
      assertEquals("OUTCOME_" + outcome.name(), outcome.message().name());
      assertEquals(outcome, Outcome.of(outcome.message()));
    }
    for (ResultOrder order : ResultOrder.values()) {
      assertEquals("RESULT_ORDER_" + order.name(), order.message().name());
    }
    assertEquals("backingOff", Convert.word("PLUGIN_HEALTH_BACKING_OFF", "PLUGIN_HEALTH_"));
  }

  @Test
  void anErrorSaysWhatTheGatewaySaid() {
    com.google.rpc.Status wire =
        com.google.rpc.Status.newBuilder()
            .setCode(Status.Code.RESOURCE_EXHAUSTED.value())
            .setMessage("too much")
            .addDetails(
                Any.pack(
                    ErrorInfo.newBuilder().setDomain("flowspan").setReason("OVERLOADED").putMetadata("max", "7").putMetadata("limit", "a b").build()))
            .addDetails(
                Any.pack(
                    RetryInfo.newBuilder().setRetryDelay(com.google.protobuf.Duration.newBuilder().setNanos(250_000_000)).build()))
            .build();
    FlowspanException error = FlowspanException.of(StatusProto.toStatusRuntimeException(wire));
    assertEquals(Reason.OVERLOADED, error.reason());
    assertTrue(error.isFromPeer());
    assertTrue(error.isRetryable());
    assertEquals(Duration.ofMillis(250), error.retryAfter().orElseThrow());
    assertEquals(7, error.details().get("max").intValue());
    assertEquals("a b", error.details().get("limit").asText());
    long delay = RetryPolicy.DEFAULT.delayMillis(0, error);
    assertTrue(delay >= 250 && delay <= 313, String.valueOf(delay));
  }

  @Test
  void anErrorOfTheWireIsOneOfOurs() {
    FlowspanException error = FlowspanException.of(Status.UNAVAILABLE.withDescription("gone").asRuntimeException());
    assertEquals(Reason.UNAVAILABLE, error.reason());
    assertFalse(error.isFromPeer());
    assertTrue(error.isRetryable());
    assertFalse(FlowspanException.of(Status.NOT_FOUND.asRuntimeException()).isRetryable());
    assertEquals(Reason.TIMEOUT, FlowspanException.of(Status.DEADLINE_EXCEEDED.asRuntimeException()).reason());
  }

  @Test
  void cancellingWhatFollowsCancelsTheCall() {
    Linked<String> first = new Linked<>();
    CompletableFuture<Integer> last = first.thenApply(String::trim).thenApply(String::length);
    last.cancel(true);
    assertTrue(first.isCancelled());
    CompletableFuture<String> inner = new CompletableFuture<>();
    CompletableFuture<String> chained = Linked.done("x").thenCompose(value -> inner);
    chained.cancel(true);
    assertTrue(inner.isCancelled());
    assertEquals(Reason.REQUEST_CANCELLED, assertThrows(FlowspanException.class, () -> Futures.join(chained)).reason());
  }

  @Test
  void pagesReadLikeOneList() {
    Map<String, Pages.Page<Integer>> pages =
        Map.of(
            "", new Pages.Page<>(List.of(1, 2), "a"),
            "a", new Pages.Page<>(List.of(), "b"),
            "b", new Pages.Page<>(List.of(3), ""));
    Pages<Integer> all = new Pages<>(token -> CompletableFuture.completedFuture(pages.get(token)));
    assertEquals(List.of(1, 2, 3), all.stream().toList());
  }

  @Test
  void findsTheNewestGatewayThatIsAlive(@TempDir Path state) throws IOException {
    Map<String, String> environment = Map.of("XDG_STATE_HOME", state.toString());
    assertEquals(
        Reason.UNAVAILABLE,
        assertThrows(FlowspanException.class, () -> Discovery.find(null, null, environment)).reason());
    Path servers = state.resolve("flowspan").resolve("servers");
    Files.createDirectories(servers, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    long own = ProcessHandle.current().pid();
    write(servers.resolve("1.json"), "{\"target\":\"unix:/a\",\"pid\":" + own + ",\"token\":\"t\",\"addresses\":[\"127.0.0.1:7\"]}");
    write(servers.resolve("2.json"), "{\"target\":\"unix:/b\",\"pid\":999999999}");
    write(servers.resolve("3.json"), "{");
    assertEquals(new Discovery.Place("unix:/a", "t"), Discovery.find(null, null, environment));
    assertEquals(new Discovery.Place("localhost:7", "t"), Discovery.find("localhost:7", null, environment));
    assertEquals(new Discovery.Place("localhost:7", "u"), Discovery.find("localhost:7", "u", environment));
    assertNull(Discovery.find("localhost:8", null, environment).token());
    Files.setPosixFilePermissions(servers.resolve("1.json"), PosixFilePermissions.fromString("rw-rw-rw-"));
    assertThrows(FlowspanException.class, () -> Discovery.find(null, null, environment));
  }

  private static void write(Path file, String text) throws IOException {
    Files.writeString(file, text);
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-------"));
  }
}
