package dev.flowspan.components;

import java.util.List;

/** Where answers and news of executions go. */
interface Transport {
  /** One answer; {@code failure} is null where there is an output. Called under the lock of the engine. */
  void put(Execution execution, byte[] output, Failure failure);

  /** What was put is to go out. Called without the lock. */
  void wake();

  /** The code of these runs since a second or so. */
  void started(List<Execution> executions);

  void progress(Execution execution, double fraction, String message);

  /** So many threads are held by components that run on after their time-out, and that is more than half of all. */
  void overrun(int count);

  Gateway gateway(Execution execution);
}
