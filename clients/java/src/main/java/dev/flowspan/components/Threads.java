package dev.flowspan.components;

import java.util.ArrayDeque;
import java.util.Collection;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * Threads for components. A few take what is short; more are added while those that there are do not come back, up to the
 * capacity. Threads that wait for sub-runs do not count.
 */
final class Threads {
  private static final long IDLE_MILLIS = 30_000;
  private static final long GROWTH_MILLIS = 2;

  private final Consumer<Execution> work;
  private final ScheduledExecutorService timer;
  private final int most;
  private final int first;
  private final ArrayDeque<Execution> queue = new ArrayDeque<>();
  private int threads;
  private int idle;
  private int waiting;
  private long taken;
  private boolean isGrowing;
  private boolean closed;

  Threads(int capacity, ScheduledExecutorService timer, Consumer<Execution> work) {
    this.work = work;
    this.timer = timer;
    this.most = capacity;
    this.first = Math.min(capacity, Math.max(2, Runtime.getRuntime().availableProcessors()));
  }

  synchronized void add(Collection<Execution> executions) {
    queue.addAll(executions);
    spawn(Math.min(queue.size() - idle, first - (threads - waiting)));
    if (queue.size() == 1) {
      notify();
    } else {
      notifyAll();
    }
    growSoon();
  }

  private void spawn(int count) {
    for (int made = 0; made < count && !closed; made++) {
      threads++;
      Thread thread = new Thread(this::run, "flowspan-component");
      thread.setDaemon(true);
      thread.start();
    }
  }

  /** The caller waits for a sub-run; its place is another's. */
  synchronized void beginWait() {
    waiting++;
    growSoon();
  }

  synchronized void endWait() {
    waiting--;
  }

  synchronized void close() {
    closed = true;
    queue.clear();
    notifyAll();
  }

  private void growSoon() {
    if (isGrowing || queue.isEmpty() || closed) {
      return;
    }
    isGrowing = true;
    long before = taken;
    try {
      timer.schedule(() -> grow(before), GROWTH_MILLIS, TimeUnit.MILLISECONDS);
    } catch (RejectedExecutionException ending) {
      isGrowing = false;
    }
  }

  /** Where work lies about and threads do not come back for it, their number doubles. */
  private synchronized void grow(long before) {
    isGrowing = false;
    int active = threads - waiting;
    if (taken - before < active || active <= 0) {
      spawn(Math.min(queue.size() - idle, Math.min(most - active, Math.max(1, active))));
    }
    growSoon();
  }

  private void run() {
    for (Execution execution = next(); execution != null; execution = next()) {
      work.accept(execution);
    }
  }

  /** Null where this thread is not needed any more. */
  private synchronized Execution next() {
    long until = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(IDLE_MILLIS);
    while (queue.isEmpty() && !closed) {
      long left = TimeUnit.NANOSECONDS.toMillis(until - System.nanoTime());
      if (left <= 0) {
        break;
      }
      idle++;
      try {
        wait(left);
      } catch (InterruptedException belongsToNobody) {
        Thread.interrupted();
      } finally {
        idle--;
      }
    }
    Execution execution = queue.poll();
    if (execution == null) {
      threads--;
    } else {
      taken++;
    }
    return execution;
  }
}
