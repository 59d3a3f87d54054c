package dev.flowspan;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.MethodDescriptor;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.ClientResponseObserver;
import java.util.ArrayDeque;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;

/** The messages of one stream, asked for one by one: a slow reader holds up its gateway and not this memory. */
final class PullStream<M> {
  private final ClientCall<?, ?> call;
  private final ArrayDeque<M> ready = new ArrayDeque<>();
  private CompletableFuture<M> waiting;
  private ClientCallStreamObserver<?> flow;
  private FlowspanException failure;
  private boolean ended;

  <Q, A> PullStream(Channel channel, MethodDescriptor<Q, A> method, Q request, Function<A, M> convert) {
    ClientCall<Q, A> made = channel.newCall(method, CallOptions.DEFAULT);
    call = made;
    ClientCalls.asyncServerStreamingCall(made, request, new Reader<Q, A>(convert));
  }

  /** The next message; null at the end. Not to be asked twice at once. */
  CompletableFuture<M> read() {
    synchronized (this) {
      if (!ready.isEmpty()) {
        M message = ready.poll();
        flow.request(1);
        return CompletableFuture.completedFuture(message);
      }
      if (failure != null) {
        return CompletableFuture.failedFuture(failure);
      }
      if (ended) {
        return CompletableFuture.completedFuture(null);
      }
      waiting = new CompletableFuture<>();
      return waiting;
    }
  }

  void cancel() {
    end(new FlowspanException(Reason.REQUEST_CANCELLED, "given up by the caller"));
    call.cancel("given up by the caller", null);
  }

  private void end(FlowspanException why) {
    CompletableFuture<M> reader;
    synchronized (this) {
      if (ended || failure != null) {
        return;
      }
      failure = why;
      ended = why == null;
      reader = waiting;
      waiting = null;
    }
    if (reader != null && why == null) {
      reader.complete(null);
    } else if (reader != null) {
      reader.completeExceptionally(why);
    }
  }

  private final class Reader<Q, A> implements ClientResponseObserver<Q, A> {
    private final Function<A, M> convert;

    Reader(Function<A, M> convert) {
      this.convert = convert;
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<Q> observer) {
      flow = observer;
      observer.disableAutoRequestWithInitial(1);
    }

    @Override
    public void onNext(A message) {
      M converted = convert.apply(message);
      CompletableFuture<M> reader;
      synchronized (PullStream.this) {
        reader = waiting;
        waiting = null;
        if (reader == null) {
          ready.add(converted);
        }
      }
      if (reader != null) {
        flow.request(1);
        reader.complete(converted);
      }
    }

    @Override
    public void onError(Throwable thrown) {
      end(FlowspanException.of(thrown));
    }

    @Override
    public void onCompleted() {
      end(null);
    }
  }
}
