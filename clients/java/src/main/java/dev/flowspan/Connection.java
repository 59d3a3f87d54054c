package dev.flowspan;

import com.google.protobuf.MessageLite;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptors;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.TlsChannelCredentials;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.EventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.nio.NioEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.socket.nio.NioDomainSocketChannel;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.ClientResponseObserver;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.function.Supplier;
import java.util.logging.Level;
import java.util.logging.Logger;

/** The connections of a client: one for calls, one for watches, one for a worker, so that none of them holds up another. */
final class Connection {
  private static final String UNIX = "unix:";
  private static final int MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

  /** Bound of the answer to a streamed submit or blob: its size decides how long the last commit takes. */
  private static final long COMMIT_TIMEOUT_SECONDS = 60;

  private static final Metadata.Key<String> AUTHORIZATION = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  /** They would tell each program that a unix socket has no TCP keepalive. Held, since levels go with their loggers. */
  private static final List<Logger> TALKATIVE =
      List.of(
          Logger.getLogger("io.grpc.netty.shaded.io.netty.bootstrap.Bootstrap"),
          Logger.getLogger("io.grpc.netty.shaded.io.grpc.netty.TcpMetrics"));

  static {
    TALKATIVE.stream().filter(logger -> logger.getLevel() == null).forEach(logger -> logger.setLevel(Level.SEVERE));
  }

  final Discovery.Place place;
  final RetryPolicy policy;
  final long timeoutNanos;

  private final ClientOptions options;
  private final List<ManagedChannel> channels = new ArrayList<>();
  private final ScheduledExecutorService timer;
  private final ExecutorService threads;
  private EventLoopGroup eventLoop;
  private Channel calls;
  private Channel watches;
  private volatile boolean closed;

  Connection(ClientOptions given) {
    options = given.copy();
    place = Discovery.find(options.target, options.token);
    policy = options.retry;
    timeoutNanos = options.timeout.toNanos();
    timer = Executors.newSingleThreadScheduledExecutor(daemons("flowspan-timer"));
    threads = Executors.newCachedThreadPool(daemons("flowspan-client"));
  }

  private static ThreadFactory daemons(String name) {
    return task -> {
      Thread thread = new Thread(task, name);
      thread.setDaemon(true);
      return thread;
    };
  }

  boolean isClosed() {
    return closed;
  }

  /** For work that may block, such as reading the inputs of a run from an iterator. */
  ExecutorService threads() {
    return threads;
  }

  synchronized Channel calls() {
    calls = calls == null ? open() : calls;
    return calls;
  }

  synchronized Channel watches() {
    watches = watches == null ? open() : watches;
    return watches;
  }

  /** A connection of its own, for a stream that lives long. */
  synchronized Channel open() {
    if (closed) {
      throw new FlowspanException(Reason.REQUEST_CANCELLED, "the client is closed");
    }
    ManagedChannel channel =
        builder()
            // A peer that hangs is noticed within 15 s.
            .keepAliveTime(10, TimeUnit.SECONDS)
            .keepAliveTimeout(5, TimeUnit.SECONDS)
            .maxInboundMessageSize(MAX_MESSAGE_BYTES)
            // Retries are ours: with a request id, or not at all.
            .disableRetry()
            .build();
    channels.add(channel);
    if (place.token() == null) {
      return channel;
    }
    Metadata metadata = new Metadata();
    metadata.put(AUTHORIZATION, "Bearer " + place.token());
    return ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(metadata));
  }

  private NettyChannelBuilder builder() {
    String target = place.target();
    ChannelCredentials credentials = credentials();
    if (target.startsWith(UNIX)) {
      String path = target.substring(UNIX.length());
      path = path.startsWith("//") ? path.substring(2) : path;
      if (eventLoop == null) {
        eventLoop = new NioEventLoopGroup(1, daemons("flowspan-io"));
      }
      return NettyChannelBuilder.forAddress(UnixDomainSocketAddress.of(path), credentials)
          .channelType(NioDomainSocketChannel.class, UnixDomainSocketAddress.class)
          .eventLoopGroup(eventLoop)
          .overrideAuthority("localhost");
    }
    NettyChannelBuilder builder = NettyChannelBuilder.forTarget("dns:///" + target, credentials);
    if (target.startsWith("127.") || target.startsWith("localhost:") || target.startsWith("[::1]:")) {
      builder.proxyDetector(address -> null);
    }
    return builder;
  }

  private ChannelCredentials credentials() {
    if (!options.tls) {
      return InsecureChannelCredentials.create();
    }
    if (options.trustedRoots == null) {
      return TlsChannelCredentials.create();
    }
    try {
      return TlsChannelCredentials.newBuilder().trustManager(new ByteArrayInputStream(options.trustedRoots)).build();
    } catch (IOException unreadable) {
      throw new FlowspanException(Reason.INVALID_ARGUMENT, "the trusted roots cannot be read", unreadable);
    }
  }

  void close() {
    synchronized (this) {
      if (closed) {
        return;
      }
      closed = true;
      channels.forEach(ManagedChannel::shutdownNow);
    }
    timer.shutdownNow();
    threads.shutdown();
    if (eventLoop != null) {
      eventLoop.shutdownGracefully(0, 1, TimeUnit.SECONDS);
    }
  }

  /** A gateway that restarts is back within seconds; the usual back-off of a channel would wait far longer. */
  synchronized void hurry() {
    if (!closed) {
      channels.forEach(ManagedChannel::resetConnectBackoff);
    }
  }

  CompletableFuture<Void> sleep(long millis) {
    CompletableFuture<Void> over = new CompletableFuture<>();
    try {
      timer.schedule(() -> over.completeAsync(() -> null, threads), millis, TimeUnit.MILLISECONDS);
    } catch (java.util.concurrent.RejectedExecutionException gone) {
      over.completeExceptionally(new FlowspanException(Reason.REQUEST_CANCELLED, "the client is closed"));
    }
    return over;
  }

  // --- calls

  /** Call until it succeeds, fails for good, or the time or the retries are used up. */
  <Q, A> CompletableFuture<A> unary(
      Channel channel, MethodDescriptor<Q, A> method, Q request, Predicate<FlowspanException> repeat) {
    long deadline = System.nanoTime() + timeoutNanos;
    return repeated(
        () -> {
          Answer<A> answer = new Answer<>();
          long left = Math.max(deadline - System.nanoTime(), 1_000_000);
          ClientCall<Q, A> call = channel.newCall(method, CallOptions.DEFAULT.withDeadlineAfter(left, TimeUnit.NANOSECONDS));
          answer.call = call;
          ClientCalls.asyncUnaryCall(call, request, answer);
          return answer;
        },
        deadline,
        repeat);
  }

  /** All messages of a stream. */
  <Q, A> CompletableFuture<List<A>> download(Channel channel, MethodDescriptor<Q, A> method, Q request) {
    return repeated(
        () -> {
          Answers<A> answers = new Answers<>();
          ClientCall<Q, A> call =
              channel.newCall(method, CallOptions.DEFAULT.withDeadlineAfter(COMMIT_TIMEOUT_SECONDS, TimeUnit.SECONDS));
          answers.call = call;
          ClientCalls.asyncServerStreamingCall(call, request, answers);
          return answers;
        },
        Long.MAX_VALUE,
        FlowspanException::isRetryable);
  }

  /**
   * Send a stream of messages, which are asked for as the wire takes them, on a thread that may block.
   *
   * @param repeat what is tried again, with the messages from the beginning
   */
  <Q extends MessageLite, A> CompletableFuture<A> upload(
      Channel channel, MethodDescriptor<Q, A> method, Supplier<Iterator<Q>> messages, Predicate<FlowspanException> repeat) {
    return repeated(
        () -> {
          Upload<Q, A> upload = new Upload<>();
          ClientCall<Q, A> call = channel.newCall(method, CallOptions.DEFAULT);
          upload.call = call;
          StreamObserver<Q> out = ClientCalls.asyncClientStreamingCall(call, upload);
          CompletableFuture.runAsync(() -> upload.send(out, messages.get(), timeoutNanos), threads)
              .whenComplete(
                  (done, failure) -> {
                    if (failure != null) {
                      upload.completeExceptionally(FlowspanException.of(failure));
                      call.cancel("the messages could not be sent", null);
                    }
                  });
          return upload;
        },
        Long.MAX_VALUE,
        repeat);
  }

  private <A> CompletableFuture<A> repeated(
      Supplier<? extends CompletableFuture<A>> once, long deadline, Predicate<FlowspanException> repeat) {
    Repeated<A> result = new Repeated<>();
    attempt(result, once, deadline, repeat, 0);
    return result;
  }

  private <A> void attempt(
      Repeated<A> result,
      Supplier<? extends CompletableFuture<A>> once,
      long deadline,
      Predicate<FlowspanException> repeat,
      int retry) {
    if (result.isDone()) {
      return;
    }
    CompletableFuture<A> attempt;
    try {
      attempt = once.get();
    } catch (RuntimeException failure) {
      result.completeExceptionally(FlowspanException.of(failure));
      return;
    }
    result.current = attempt;
    if (result.isCancelled()) {
      attempt.cancel(true);
    }
    attempt.whenComplete(
        (answer, failure) -> {
          if (failure == null) {
            result.complete(answer);
            return;
          }
          FlowspanException error = FlowspanException.of(failure);
          long delay = policy.delayMillis(retry, error);
          boolean late = deadline != Long.MAX_VALUE && System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(delay) >= deadline;
          if (late || retry >= policy.maxRetries() || closed || !repeat.test(error)) {
            result.completeExceptionally(error);
            return;
          }
          hurry();
          sleep(delay)
              .whenComplete(
                  (slept, cut) -> {
                    if (cut != null) {
                      result.completeExceptionally(FlowspanException.of(cut));
                    } else {
                      attempt(result, once, deadline, repeat, retry + 1);
                    }
                  });
        });
  }

  /** The answer of a call that may be made more than once; cancelling it cancels the call. */
  private static final class Repeated<A> extends Linked<A> {
    volatile CompletableFuture<A> current;

    @Override
    public boolean cancel(boolean interrupt) {
      boolean cancelled = super.cancel(interrupt);
      CompletableFuture<A> call = current;
      if (call != null) {
        call.cancel(interrupt);
      }
      return cancelled;
    }
  }

  private abstract static class CallFuture<M, A> extends CompletableFuture<A> implements StreamObserver<M> {
    ClientCall<?, ?> call;

    @Override
    public void onError(Throwable failure) {
      completeExceptionally(FlowspanException.of(failure));
    }

    @Override
    public boolean cancel(boolean interrupt) {
      boolean cancelled = super.cancel(interrupt);
      call.cancel("given up by the caller", new CancellationException());
      return cancelled;
    }
  }

  private static final class Answer<A> extends CallFuture<A, A> {
    private A answer;

    @Override
    public void onNext(A message) {
      answer = message;
    }

    @Override
    public void onCompleted() {
      complete(answer);
    }
  }

  private static final class Answers<A> extends CallFuture<A, List<A>> {
    private final List<A> answers = new ArrayList<>();

    @Override
    public void onNext(A message) {
      answers.add(message);
    }

    @Override
    public void onCompleted() {
      complete(answers);
    }
  }

  private static final class Upload<Q, A> extends CompletableFuture<A> implements ClientResponseObserver<Q, A> {
    ClientCall<Q, A> call;
    private final Object room = new Object();
    private ClientCallStreamObserver<Q> stream;
    private A answer;

    @Override
    public void beforeStart(ClientCallStreamObserver<Q> observer) {
      stream = observer;
      observer.setOnReadyHandler(this::wake);
    }

    private void wake() {
      synchronized (room) {
        room.notifyAll();
      }
    }

    void send(StreamObserver<Q> out, Iterator<Q> messages, long timeoutNanos) {
      while (messages.hasNext() && !isDone()) {
        Q message = messages.next();
        if (!awaitRoom(timeoutNanos)) {
          return;
        }
        out.onNext(message);
      }
      if (!isDone()) {
        out.onCompleted();
        orTimeout(COMMIT_TIMEOUT_SECONDS, TimeUnit.SECONDS);
      }
    }

    /** False if the gateway has answered before it has read everything: the answer says why. */
    private boolean awaitRoom(long timeoutNanos) {
      long deadline = System.nanoTime() + timeoutNanos;
      synchronized (room) {
        while (!stream.isReady() && !isDone()) {
          long left = TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime());
          if (left <= 0) {
            throw new FlowspanException(Reason.TIMEOUT, "the gateway takes no messages");
          }
          try {
            room.wait(left);
          } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            throw new FlowspanException(Reason.REQUEST_CANCELLED, "interrupted", interrupted);
          }
        }
      }
      return !isDone();
    }

    @Override
    public void onNext(A message) {
      answer = message;
    }

    @Override
    public void onError(Throwable failure) {
      completeExceptionally(FlowspanException.of(failure));
      wake();
    }

    @Override
    public void onCompleted() {
      complete(answer);
      wake();
    }

    @Override
    public boolean cancel(boolean interrupt) {
      boolean cancelled = super.cancel(interrupt);
      call.cancel("given up by the caller", new CancellationException());
      wake();
      return cancelled;
    }
  }
}
