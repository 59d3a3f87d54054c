package dev.flowspan.components;

import dev.flowspan.ClientOptions;
import java.time.Duration;

/** How a component server works. */
public final class ServerOptions {
  int capacity = 256;
  ClientOptions client = new ClientOptions();
  Duration grace = Duration.ofSeconds(25);

  /** Executions at once, waits for sub-runs not counted: 1 to 4096; 256 unless set. */
  public ServerOptions capacity(int capacity) {
    if (capacity < 1 || capacity > 4096) {
      throw new IllegalArgumentException("the capacity is 1 to 4096, not " + capacity);
    }
    this.capacity = capacity;
    return this;
  }

  /** How a worker connects; its target and token are found as those of any client. */
  public ServerOptions client(ClientOptions client) {
    this.client = client;
    return this;
  }

  /** How long a worker that is to end may finish what it holds; 25 s unless set. */
  public ServerOptions grace(Duration grace) {
    this.grace = grace;
    return this;
  }
}
