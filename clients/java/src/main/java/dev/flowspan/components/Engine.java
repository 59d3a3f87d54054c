package dev.flowspan.components;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/** Runs executions and keeps their time. It knows no wire. Its lock, this object, also guards what a transport collects. */
final class Engine {
  /** Answers of inline components go out in pieces of so many, so that the gateway works on them meanwhile. */
  private static final int EARLY_ANSWERS = 32;

  /** An execution that runs for so long is reported as begun; shorter ones answer by themselves. */
  private static final long STARTED_NOTICE = TimeUnit.SECONDS.toNanos(1);

  /** Whatever runs for so long by then is reported with it. */
  private static final long STARTED_TOGETHER = TimeUnit.MILLISECONDS.toNanos(500);

  /** From its time-out a component has so long to notice it; one that runs on will do so for good, as far as anybody can tell. */
  private static final long OVERRUN_AFTER = TimeUnit.SECONDS.toNanos(1);

  private static final long SHORTEST_SWEEP = TimeUnit.MILLISECONDS.toNanos(2);

  final Registry registry;
  final int capacity;
  final Threads threads;
  final ScheduledExecutorService timer;

  private final long start = System.nanoTime() - 1;
  private final Map<Object, Execution> running = new HashMap<>();
  private Transport transport;
  private int open;
  private long nextSweep = Long.MAX_VALUE;

  Engine(Registry registry, int capacity) {
    this.registry = registry;
    this.capacity = capacity;
    this.timer =
        Executors.newSingleThreadScheduledExecutor(
            task -> {
              Thread thread = new Thread(task, "flowspan-timer");
              thread.setDaemon(true);
              return thread;
            });
    this.threads = new Threads(capacity, timer, this::execute);
  }

  void attach(Transport wire) {
    transport = wire;
  }

  Transport transport() {
    return transport;
  }

  long now() {
    return System.nanoTime() - start;
  }

  void close() {
    timer.shutdownNow();
    threads.close();
  }

  // --- beginning and ending

  /** Begins executions of one component. What is inline is done when this returns. */
  void run(List<Execution> executions) {
    if (executions.isEmpty()) {
      return;
    }
    if (executions.get(0).component.options.inline && !executions.get(0).component.isAsync()) {
      runInline(executions);
      return;
    }
    synchronized (this) {
      for (Execution execution : executions) {
        running.put(execution.key(), execution);
      }
      open += executions.size();
    }
    long timeout = executions.get(0).timeoutNanos;
    sweepBy(now() + (timeout > 0 ? Math.min(timeout, STARTED_NOTICE) : STARTED_NOTICE));
    threads.add(executions);
  }

  private void runInline(List<Execution> executions) {
    byte[][] outputs = new byte[EARLY_ANSWERS][];
    Failure[] failures = new Failure[EARLY_ANSWERS];
    for (int begin = 0; begin < executions.size(); begin += EARLY_ANSWERS) {
      int end = Math.min(begin + EARLY_ANSWERS, executions.size());
      for (int position = begin; position < end; position++) {
        outputs[position - begin] = null;
        failures[position - begin] = null;
        try {
          Execution execution = executions.get(position);
          outputs[position - begin] = execution.component.call(execution);
        } catch (Throwable thrown) {
          failures[position - begin] = Failure.of(thrown);
        }
      }
      synchronized (this) {
        for (int position = begin; position < end; position++) {
          transport.put(executions.get(position), outputs[position - begin], failures[position - begin]);
        }
      }
      transport.wake();
    }
  }

  private void execute(Execution execution) {
    synchronized (this) {
      if (execution.state != Execution.State.HELD) {
        return;
      }
      execution.state = Execution.State.BEGUN;
      execution.beganAt = now();
    }
    if (execution.component.isAsync()) {
      executeAsync(execution);
      return;
    }
    byte[] output = null;
    Failure failure = null;
    execution.enter();
    try {
      output = execution.component.call(execution);
    } catch (Throwable thrown) {
      failure = Failure.of(thrown);
    } finally {
      execution.leave();
    }
    finish(execution, output, failure);
  }

  private void executeAsync(Execution execution) {
    CompletableFuture<Object> answer;
    execution.enter();
    try {
      answer = execution.component.begin(execution).toCompletableFuture();
    } catch (Throwable thrown) {
      execution.leave();
      finish(execution, null, Failure.of(thrown));
      return;
    }
    execution.leave();
    execution.adopt(answer);
    answer.whenComplete(
        (value, thrown) -> {
          byte[] output = null;
          Failure failure = thrown == null ? null : Failure.of(thrown);
          if (failure == null) {
            try {
              output = dev.flowspan.Json.encode(value);
            } catch (RuntimeException unwritable) {
              failure = Failure.of(unwritable);
            }
          }
          finish(execution, output, failure);
        });
  }

  /** Answers an execution whose code is done, unless it was answered before. */
  private void finish(Execution execution, byte[] output, Failure failure) {
    // Code that was told to stop ends in many ways; they all mean this.
    Failure told = failure != null && execution.stopped() == Failure.CANCELLED ? Failure.CANCELLED : failure;
    synchronized (this) {
      running.remove(execution.key(), execution);
      if (execution.answered) {
        return;
      }
      answer(execution, output, told);
    }
    transport.wake();
    execution.end(Failure.CANCELLED);
  }

  /** Under the lock. */
  private void answer(Execution execution, byte[] output, Failure failure) {
    execution.answered = true;
    open--;
    transport.put(execution, output, failure);
  }

  /** What became of executions that were to be cancelled. */
  record Cancelled(List<Execution> dropped, List<Execution> running) {}

  /** Ends executions early: those that never begin, and those whose code is told. */
  Cancelled cancel(Collection<?> keys, boolean answerDropped) {
    Cancelled result = new Cancelled(new ArrayList<>(), new ArrayList<>());
    synchronized (this) {
      for (Object key : keys) {
        Execution execution = running.get(key);
        if (execution == null || execution.answered) {
          continue;
        }
        if (execution.state != Execution.State.HELD) {
          result.running.add(execution);
          continue;
        }
        result.dropped.add(execution);
        drop(execution);
        if (answerDropped) {
          transport.put(execution, null, Failure.CANCELLED);
        }
      }
    }
    result.running.forEach(execution -> execution.end(Failure.CANCELLED));
    transport.wake();
    return result;
  }

  private void drop(Execution execution) {
    execution.state = execution.state == Execution.State.HELD ? Execution.State.DROPPED : execution.state;
    if (!execution.answered) {
      execution.answered = true;
      open--;
    }
    running.remove(execution.key(), execution);
  }

  /** Takes back everything that has not begun, which it never will. */
  synchronized List<Execution> giveBack() {
    List<Execution> held = new ArrayList<>();
    for (Execution execution : new ArrayList<>(running.values())) {
      if (!execution.answered && execution.state == Execution.State.HELD) {
        drop(execution);
        held.add(execution);
      }
    }
    return held;
  }

  /** Drops executions that nobody wants any more: all of them if {@code unwanted} is null. */
  void forget(Set<Long> unwanted) {
    List<Execution> gone = new ArrayList<>();
    synchronized (this) {
      for (Execution execution : new ArrayList<>(running.values())) {
        if (unwanted == null || unwanted.contains(execution.number)) {
          drop(execution);
          gone.add(execution);
        }
      }
    }
    gone.forEach(execution -> execution.end(Failure.CANCELLED));
  }

  /** What is not answered; under the lock. */
  List<Execution> held() {
    return running.values().stream().filter(execution -> !execution.answered).toList();
  }

  /** Whether everything is answered; under the lock. */
  boolean isIdle() {
    return open == 0;
  }

  // --- time

  void sweepSoon() {
    sweepBy(now() + SHORTEST_SWEEP);
  }

  void sweepBy(long due) {
    synchronized (this) {
      if (due >= nextSweep) {
        return;
      }
      nextSweep = due;
    }
    try {
      timer.schedule(() -> sweep(due), Math.max(due - now(), SHORTEST_SWEEP), TimeUnit.NANOSECONDS);
    } catch (RejectedExecutionException ending) {
      // Nobody waits for answers any more.
    }
  }

  /** Answers executions whose time is over, and reports those that have begun. */
  private void sweep(long planned) {
    long now = now();
    long due = Long.MAX_VALUE;
    int overrunning = 0;
    List<Execution> expired = new ArrayList<>();
    List<Execution> begun = new ArrayList<>();
    List<Execution> young = new ArrayList<>();
    synchronized (this) {
      if (planned != nextSweep) {
        return;
      }
      nextSweep = Long.MAX_VALUE;
      for (Execution execution : running.values()) {
        if (execution.state != Execution.State.BEGUN) {
          due = Math.min(due, now + STARTED_TOGETHER);
          continue;
        }
        if (execution.timedOutAt > 0) {
          if (now >= execution.timedOutAt + OVERRUN_AFTER) {
            overrunning++;
          } else {
            due = Math.min(due, execution.timedOutAt + OVERRUN_AFTER);
          }
          continue;
        }
        if (execution.answered) {
          continue;
        }
        long deadline = execution.deadline(now);
        if (deadline <= now) {
          execution.timedOutAt = now;
          expired.add(execution);
          due = Math.min(due, now + OVERRUN_AFTER);
          answer(execution, null, Failure.TIMED_OUT);
          continue;
        }
        due = Math.min(due, deadline);
        long age = now - execution.beganAt;
        if (execution.toldBegun) {
          continue;
        } else if (age >= STARTED_NOTICE) {
          begun.add(execution);
        } else {
          due = Math.min(due, execution.beganAt + STARTED_NOTICE);
          if (age >= STARTED_TOGETHER) {
            young.add(execution);
          }
        }
      }
      if (!begun.isEmpty()) {
        begun.addAll(young);
        begun.forEach(execution -> execution.toldBegun = true);
      }
    }
    expired.forEach(execution -> execution.end(Failure.TIMED_OUT));
    if (!expired.isEmpty()) {
      transport.wake();
    }
    if (!begun.isEmpty()) {
      transport.started(begun);
    }
    if (2 * overrunning > capacity) {
      transport.overrun(overrunning);
    }
    if (due != Long.MAX_VALUE) {
      sweepBy(due);
    }
  }
}
