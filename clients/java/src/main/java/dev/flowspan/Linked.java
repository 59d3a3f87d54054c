package dev.flowspan;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Function;

/** A future that cancels, when it is cancelled, the step that it waits for: those that follow from it share what that is. */
class Linked<T> extends CompletableFuture<T> {
  private final AtomicReference<CompletableFuture<?>> step;

  /** The first step. */
  Linked() {
    this(new AtomicReference<>());
    step.set(this);
  }

  private Linked(AtomicReference<CompletableFuture<?>> step) {
    this.step = step;
  }

  static <T> Linked<T> done(T value) {
    Linked<T> done = new Linked<>();
    done.complete(value);
    return done;
  }

  @Override
  public <U> CompletableFuture<U> newIncompleteFuture() {
    return new Linked<>(step);
  }

  @Override
  public <U> CompletableFuture<U> thenCompose(Function<? super T, ? extends CompletionStage<U>> next) {
    return super.thenCompose(
        value -> {
          CompletionStage<U> following = next.apply(value);
          step.set(following.toCompletableFuture());
          return following;
        });
  }

  @Override
  public boolean cancel(boolean interrupt) {
    boolean cancelled = super.cancel(interrupt);
    CompletableFuture<?> waitedFor = step.get();
    if (waitedFor != this && !waitedFor.isDone()) {
      waitedFor.cancel(interrupt);
    }
    return cancelled;
  }
}
