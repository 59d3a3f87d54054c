package dev.flowspan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.flowspan.v1.BlobInfo;
import dev.flowspan.v1.BlobServiceGrpc;
import dev.flowspan.v1.EventHeader;
import dev.flowspan.v1.EventKind;
import dev.flowspan.v1.GetRunRequest;
import dev.flowspan.v1.GetRunResponse;
import dev.flowspan.v1.ReadBlobRequest;
import dev.flowspan.v1.ReadBlobResponse;
import dev.flowspan.v1.RunServiceGrpc;
import dev.flowspan.v1.Segment;
import dev.flowspan.v1.SubmitRunRequest;
import dev.flowspan.v1.SubmitRunResponse;
import dev.flowspan.v1.WatchRunRequest;
import dev.flowspan.v1.WatchRunResponse;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Flow;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class WatchTest {
  private static final String BLOB = "sha256:" + "a".repeat(64);
  private static final List<Segment> LOG =
      List.of(
          segment(1, event(EventKind.EVENT_KIND_RUN_ACCEPTED, 0), "{\"runId\":\"r\",\"flowId\":\"f\",\"total\":3,\"createdAtUs\":1500000,\"maxConcurrency\":10,\"rootRunId\":\"r\"}"),
          segment(2, event(EventKind.EVENT_KIND_ITEMS_STARTED, 0).setItemCount(3), ""),
          segment(3, event(EventKind.EVENT_KIND_ITEM_COMPLETED, 2).setOutcomeValue(1), "1.0"),
          segment(4, event(EventKind.EVENT_KIND_ITEM_COMPLETED, 0).setOutcomeValue(1).setPayloadIsBlob(true), BLOB),
          segment(5, event(EventKind.EVENT_KIND_ITEM_COMPLETED, 1).setOutcomeValue(2), "{\"code\":\"TIMEOUT\",\"message\":\"late\"}"),
          segment(6, event(EventKind.EVENT_KIND_RUN_COMPLETED, 0).setRunStatusValue(4), ""));

  private final List<Long> cursors = new CopyOnWriteArrayList<>();
  private final List<String> requestIds = new CopyOnWriteArrayList<>();
  private Server server;
  private FlowspanClient client;

  private static EventHeader.Builder event(EventKind kind, long item) {
    return EventHeader.newBuilder().setKind(kind).setItemIndex(item);
  }

  private static Segment segment(long seq, EventHeader.Builder header, String payload) {
    return Segment.newBuilder().setFirstSeq(seq).addHeaders(header).addPayloads(ByteString.copyFromUtf8(payload)).build();
  }

  /** Sends two events of the log per stream, and breaks it then. */
  private final class Runs extends RunServiceGrpc.RunServiceImplBase {
    @Override
    public void watchRun(WatchRunRequest request, StreamObserver<WatchRunResponse> out) {
      cursors.add(request.getAfterSeq());
      int after = (int) request.getAfterSeq();
      if (request.getRunId().equals("stuck")) {
        return;
      }
      // The first event again: a reader skips what it has seen.
      for (Segment segment : LOG.subList(Math.max(0, after - 1), Math.min(LOG.size(), after + 2))) {
        out.onNext(WatchRunResponse.newBuilder().addSegments(segment).setThroughSeq(segment.getFirstSeq()).build());
      }
      if (after == 2) {
        out.onCompleted();
      } else {
        out.onError(Status.UNAVAILABLE.asRuntimeException());
      }
    }

    @Override
    public void getRun(GetRunRequest request, StreamObserver<GetRunResponse> out) {
      out.onNext(
          GetRunResponse.newBuilder().setRun(dev.flowspan.v1.RunStatus.newBuilder().setRunId("r").setStatusValue(2).setAsOfSeq(2)).build());
      out.onCompleted();
    }

    @Override
    public void submitRun(SubmitRunRequest request, StreamObserver<SubmitRunResponse> out) {
      requestIds.add(request.getOptions().getRequestId());
      if (requestIds.size() < 3) {
        out.onError(Status.UNAVAILABLE.asRuntimeException());
        return;
      }
      out.onNext(SubmitRunResponse.newBuilder().setRun(dev.flowspan.v1.RunStatus.newBuilder().setRunId("new")).build());
      out.onCompleted();
    }
  }

  private static final class Blobs extends BlobServiceGrpc.BlobServiceImplBase {
    @Override
    public void readBlob(ReadBlobRequest request, StreamObserver<ReadBlobResponse> out) {
      out.onNext(ReadBlobResponse.newBuilder().setInfo(BlobInfo.newBuilder().setBlobId(BLOB).setSize(4)).build());
      out.onNext(ReadBlobResponse.newBuilder().setChunk(ByteString.copyFromUtf8("[7")).build());
      out.onNext(ReadBlobResponse.newBuilder().setChunk(ByteString.copyFromUtf8("0]")).build());
      out.onCompleted();
    }
  }

  @BeforeEach
  void start() throws IOException {
    server =
        NettyServerBuilder.forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
            .addService(new Runs())
            .addService(new Blobs())
            .build()
            .start();
    client =
        FlowspanClient.connect(
            new ClientOptions()
                .target("127.0.0.1:" + server.getPort())
                .token("t")
                .retry(new RetryPolicy(2, Duration.ofMillis(10), Duration.ofMillis(20), Duration.ofSeconds(10))));
  }

  @AfterEach
  void stop() {
    client.close();
    server.shutdownNow();
  }

  @Test
  void givesEachResultOnceOverLostStreams() {
    Watch watch = client.watch("r");
    List<Long> indexes = new ArrayList<>();
    List<Long> given = new ArrayList<>();
    for (ItemResult item : watch) {
      indexes.add(item.itemIndex());
      given.add(watch.cursor());
    }
    assertEquals(List.of(2L, 0L, 1L), indexes);
    assertEquals(List.of(3L, 4L), given.subList(0, 2));
    assertEquals(List.of(0L, 2L, 4L), cursors);
    assertEquals(RunState.FAILED, watch.status().status());
    assertEquals(new ItemCounts(3, 0, 0, 2, 1, 0), watch.status().items());
    assertTrue(watch.isOver());
  }

  @Test
  void ordersByIndexAndReadsBlobs() {
    List<ItemResult> items = new ArrayList<>();
    client.watch("r", 0, ResultOrder.BY_INDEX).forEachRemaining(items::add);
    assertEquals(List.of(0L, 1L, 2L), items.stream().map(ItemResult::itemIndex).toList());
    assertEquals("[70]", items.get(0).raw().toString());
    assertEquals("TIMEOUT", items.get(1).error().code());
    assertEquals("1.0", items.get(2).value().toString());
  }

  @Test
  void goesOnBehindACursor() {
    Watch watch = client.watch("r", 4, ResultOrder.BY_COMPLETION);
    assertEquals(1, watch.next().itemIndex());
    assertFalse(watch.hasNext());
  }

  @Test
  void publishesAsDemanded() {
    CompletableFuture<List<Long>> all = new CompletableFuture<>();
    client
        .watch("r")
        .publisher()
        .subscribe(
            new Flow.Subscriber<>() {
              private final List<Long> indexes = new ArrayList<>();
              private Flow.Subscription subscription;

              @Override
              public void onSubscribe(Flow.Subscription given) {
                subscription = given;
                given.request(1);
              }

              @Override
              public void onNext(ItemResult item) {
                indexes.add(item.itemIndex());
                subscription.request(1);
              }

              @Override
              public void onError(Throwable failure) {
                all.completeExceptionally(failure);
              }

              @Override
              public void onComplete() {
                all.complete(indexes);
              }
            });
    assertEquals(List.of(2L, 0L, 1L), Futures.join(all));
  }

  @Test
  void endsWhenItIsClosedOrInterrupted() throws InterruptedException {
    Watch watch = client.watch("stuck");
    Thread closer =
        new Thread(
            () -> {
              try {
                Thread.sleep(100);
              } catch (InterruptedException end) {
                Thread.currentThread().interrupt();
              }
              watch.close();
            });
    closer.start();
    assertEquals(Reason.REQUEST_CANCELLED, assertThrows(FlowspanException.class, watch::hasNext).reason());
    closer.join();
    Thread.currentThread().interrupt();
    assertThrows(FlowspanException.class, () -> client.watch("stuck").hasNext());
    assertTrue(Thread.interrupted());
  }

  @Test
  void repeatsASubmitByItsRequestId() {
    assertEquals("new", client.submit("a".repeat(64), List.of(1)).runId());
    assertEquals(3, requestIds.size());
    assertEquals(1, requestIds.stream().distinct().count());
    assertFalse(requestIds.get(0).isEmpty());
  }

  @Test
  void keepsItsDeadline() {
    try (FlowspanClient hurried =
        FlowspanClient.connect(new ClientOptions().target("127.0.0.1:1").token("t").timeout(Duration.ofMillis(300)))) {
      long began = System.nanoTime();
      FlowspanException error = assertThrows(FlowspanException.class, () -> hurried.getRun("r"));
      assertTrue(error.isRetryable() || error.reason() == Reason.TIMEOUT);
      assertTrue(System.nanoTime() - began < 5_000_000_000L);
    }
  }
}
