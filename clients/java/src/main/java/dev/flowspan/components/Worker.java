package dev.flowspan.components;

/** Placeholder of the next file. */
final class Worker {
  Worker(Registry registry, ServerOptions options, String queue) {}

  void leave() {}

  void awaitEnd() {}

  void serve() {}
}
