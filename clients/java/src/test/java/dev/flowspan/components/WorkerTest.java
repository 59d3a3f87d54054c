package dev.flowspan.components;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.google.protobuf.ByteString;
import dev.flowspan.ClientOptions;
import dev.flowspan.FlowspanException;
import dev.flowspan.Reason;
import dev.flowspan.v1.ConnectRequest;
import dev.flowspan.v1.ConnectResponse;
import dev.flowspan.v1.WorkerAcknowledged;
import dev.flowspan.v1.WorkerBatch;
import dev.flowspan.v1.WorkerCancel;
import dev.flowspan.v1.WorkerExecute;
import dev.flowspan.v1.WorkerHello;
import dev.flowspan.v1.WorkerResults;
import dev.flowspan.v1.WorkerServiceGrpc;
import dev.flowspan.v1.WorkerWelcome;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class WorkerTest {
  /** A gateway that says what the test says. */
  private final class Gateway extends WorkerServiceGrpc.WorkerServiceImplBase {
    @Override
    public StreamObserver<ConnectRequest> connect(StreamObserver<ConnectResponse> answers) {
      if (refusal != null) {
        answers.onError(refusal.asRuntimeException());
      }
      out.add(answers);
      return new StreamObserver<>() {
        @Override
        public void onNext(ConnectRequest message) {
          (message.hasHeartbeat() ? beats : messages).add(message);
        }

        @Override
        public void onError(Throwable gone) {
          // The worker's next connection tells.
        }

        @Override
        public void onCompleted() {
          closed.countDown();
          answers.onCompleted();
        }
      };
    }
  }

  private final BlockingQueue<StreamObserver<ConnectResponse>> out = new LinkedBlockingQueue<>();
  private final BlockingQueue<ConnectRequest> messages = new LinkedBlockingQueue<>();
  private final BlockingQueue<ConnectRequest> beats = new LinkedBlockingQueue<>();
  private final CountDownLatch closed = new CountDownLatch(1);
  private final CountDownLatch release = new CountDownLatch(1);
  private Status refusal;
  private Server gateway;
  private Worker worker;
  private Thread serving;
  private Throwable ended;

  @BeforeEach
  void start() throws IOException {
    InetSocketAddress anyPort = new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
    gateway = NettyServerBuilder.forAddress(anyPort).addService(new Gateway()).build().start();
    ComponentServer server =
        new ComponentServer(
            new ServerOptions()
                .capacity(1)
                .grace(Duration.ofSeconds(5))
                .client(new ClientOptions().target("127.0.0.1:" + gateway.getPort()).token("t")));
    server.component("/double", Integer.class, (n, context) -> 2 * n);
    server.component(
        "/wait",
        JsonNode.class,
        (input, context) -> {
          release.await();
          return context.taskToken();
        });
    worker = server.worker("q");
  }

  private StreamObserver<ConnectResponse> serve() throws InterruptedException {
    serving =
        new Thread(
            () -> {
              try {
                worker.serve();
              } catch (RuntimeException failure) {
                ended = failure;
              }
            });
    serving.start();
    return out.take();
  }

  @AfterEach
  void stop() throws InterruptedException {
    release.countDown();
    worker.leave();
    gateway.shutdownNow();
    serving.join();
  }

  private ConnectRequest next() throws InterruptedException {
    ConnectRequest message = messages.poll(10, TimeUnit.SECONDS);
    assertNotNull(message);
    return message;
  }

  private static ConnectResponse welcome(String session, Long... unwanted) {
    return ConnectResponse.newBuilder()
        .setWelcome(
            WorkerWelcome.newBuilder()
                .setProtocolVersion(1)
                .setSession(session)
                .setHeartbeatSeconds(0.2)
                .setAwaySeconds(10)
                .setTokenPrefix("p-")
                .setSpanPrefix("abcdef")
                .addAllUnwanted(List.of(unwanted)))
        .build();
  }

  private static ConnectResponse execute(String component, double timeout, long... numbers) {
    WorkerBatch.Builder batch =
        WorkerBatch.newBuilder().setComponent(component).setRunId("r").setStepId("s").setTimeoutSeconds(timeout);
    for (long number : numbers) {
      batch.addExecutions(number).addItemIndexes(number).addAttempts(1).addInputs(ByteString.copyFromUtf8("21"));
    }
    return ConnectResponse.newBuilder().setExecute(WorkerExecute.newBuilder().addBatches(batch)).build();
  }

  @Test
  void executesAndLeavesInOrder() throws InterruptedException {
    StreamObserver<ConnectResponse> stream = serve();
    WorkerHello hello = next().getHello();
    assertEquals("q", hello.getQueue());
    assertEquals(1, hello.getCapacity());
    assertEquals(List.of(1), hello.getProtocolVersionsList());
    assertEquals("/double", hello.getComponents(0).getName());
    stream.onNext(welcome("one"));
    stream.onNext(execute("/double", 0, 7));
    WorkerResults results = next().getResults();
    assertEquals(1, results.getSequence());
    assertEquals(List.of(7L), results.getExecutionsList());
    assertEquals("42", results.getOutputs(0).toStringUtf8());
    stream.onNext(execute("/nope", 0, 8));
    assertEquals(-32001, next().getResults().getFailures(0).getCode());
    assertNotNull(beats.poll(5, TimeUnit.SECONDS));
    stream.onNext(execute("/wait", 0, 9, 10));
    Thread.sleep(100);
    worker.leave();
    // The one that has begun is finished, the other goes elsewhere.
    assertEquals(1, next().getLeaving().getGivenBackCount());
    release.countDown();
    WorkerResults last = next().getResults();
    assertTrue(last.getOutputs(0).toStringUtf8().startsWith("\"p-"));
    stream.onNext(
        ConnectResponse.newBuilder().setAcknowledged(WorkerAcknowledged.newBuilder().setThroughSequence(last.getSequence())).build());
    assertTrue(closed.await(5, TimeUnit.SECONDS));
    serving.join();
  }

  @Test
  void keepsTimeOutsAndAnswersCancels() throws InterruptedException {
    StreamObserver<ConnectResponse> stream = serve();
    next();
    stream.onNext(welcome("one"));
    stream.onNext(execute("/wait", 0.2, 1));
    assertEquals(-32006, next().getResults().getFailures(0).getCode());
    stream.onNext(execute("/wait", 0, 2, 3));
    Thread.sleep(100);
    WorkerCancel three = WorkerCancel.newBuilder().addExecutions(2).addExecutions(3).addExecutions(99).build();
    stream.onNext(ConnectResponse.newBuilder().setCancel(three).build());
    ConnectRequest first = next();
    ConnectRequest second = next();
    ConnectRequest cancelled = first.hasCancelled() ? first : second;
    assertEquals(List.of(3L), cancelled.getCancelled().getDroppedList());
    assertEquals(List.of(2L), cancelled.getCancelled().getRunningList());
    assertEquals(-32800, (first.hasCancelled() ? second : first).getResults().getFailures(0).getCode());
  }

  @Test
  void keepsWhatItHoldsOverALostConnection() throws InterruptedException {
    StreamObserver<ConnectResponse> stream = serve();
    next();
    stream.onNext(welcome("one"));
    stream.onNext(execute("/double", 0, 1));
    assertEquals(1, next().getResults().getSequence());
    stream.onNext(execute("/wait", 0, 2));
    Thread.sleep(100);
    stream.onError(Status.UNAVAILABLE.asRuntimeException());
    StreamObserver<ConnectResponse> again = out.take();
    WorkerHello hello = next().getHello();
    assertEquals("one", hello.getSession());
    assertEquals(List.of(1L, 2L), hello.getHeldList().stream().sorted().toList());
    again.onNext(welcome("one"));
    WorkerResults repeated = next().getResults();
    assertEquals(1, repeated.getSequence());
    assertEquals(List.of(1L), repeated.getExecutionsList());
    release.countDown();
    WorkerResults fresh = next().getResults();
    assertEquals(2, fresh.getSequence());
    assertEquals(List.of(2L), fresh.getExecutionsList());
    // Another life of the gateway wants nothing of it.
    again.onError(Status.UNAVAILABLE.asRuntimeException());
    StreamObserver<ConnectResponse> other = out.take();
    assertEquals(2, next().getHello().getHeldCount());
    other.onNext(welcome("two"));
    other.onNext(execute("/double", 0, 5));
    WorkerResults anew = next().getResults();
    assertEquals(1, anew.getSequence());
    assertEquals(List.of(5L), anew.getExecutionsList());
    other.onNext(ConnectResponse.newBuilder().setAcknowledged(WorkerAcknowledged.newBuilder().setThroughSequence(1)).build());
  }

  @Test
  void aRefusalIsForGood() throws InterruptedException {
    refusal = Status.PERMISSION_DENIED;
    serve();
    serving.join(5_000);
    assertThrows(FlowspanException.class, () -> {
      throw ended;
    });
    assertEquals(Reason.PERMISSION_DENIED, ((FlowspanException) ended).reason());
  }
}
