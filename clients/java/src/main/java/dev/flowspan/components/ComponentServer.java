package dev.flowspan.components;

import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/**
 * Serves components to a gateway.
 *
 * <pre>{@code
 * ComponentServer server = new ComponentServer();
 * server.component("/double", Integer.class, (n, context) -> 2 * n);
 * server.run();
 * }</pre>
 *
 * Started by a gateway, as a plugin of type stdio, it speaks over its pipes. With FLOWSPAN_QUEUE in its environment it connects to a
 * gateway by itself, as a worker of that queue. The components are the same.
 */
public final class ComponentServer {
  /** Names the queue of a worker. */
  public static final String QUEUE_VARIABLE = "FLOWSPAN_QUEUE";

  private final Registry registry = new Registry();
  private final ServerOptions options;

  /** A server without components. */
  public ComponentServer() {
    this(new ServerOptions());
  }

  /** A server without components. */
  public ComponentServer(ServerOptions options) {
    this.options = options;
  }

  /** See {@link #component(String, Class, ComponentFunction, ComponentOptions)}. */
  public <I, O> ComponentServer component(String path, Class<I> inputType, ComponentFunction<? super I, ? extends O> function) {
    return component(path, inputType, function, new ComponentOptions());
  }

  /**
   * Adds a component.
   *
   * @param path the name that flows use, behind the route of the plugin; parts in braces are parameters: {@code "/users/{id}"}
   * @param inputType what the input is read into by Jackson; {@code JsonNode} has exact numbers, {@code RawJson} is the JSON itself. An
   *     input that does not fit is answered with INVALID_INPUT, and the function is not called
   */
  @SuppressWarnings("unchecked")
  public <I, O> ComponentServer component(
      String path, Class<I> inputType, ComponentFunction<? super I, ? extends O> function, ComponentOptions how) {
    registry.add(path, inputType, (input, context) -> function.execute((I) input, context), null, how);
    return this;
  }

  /** See {@link #component(String, Class, ComponentFunction, ComponentOptions)}. */
  public <I, O> ComponentServer asyncComponent(String path, Class<I> inputType, AsyncComponentFunction<? super I, O> function) {
    return asyncComponent(path, inputType, function, new ComponentOptions());
  }

  /** As {@link #component(String, Class, ComponentFunction, ComponentOptions)}, for a component whose answer comes later. */
  @SuppressWarnings("unchecked")
  public <I, O> ComponentServer asyncComponent(
      String path, Class<I> inputType, AsyncComponentFunction<? super I, O> function, ComponentOptions how) {
    registry.add(
        path, inputType, null, (input, context) -> function.execute((I) input, context).thenApply(value -> (Object) value), how);
    return this;
  }

  /** Serves until the gateway is gone (stdio), or until the process is told to end (worker). */
  public void run() throws IOException {
    String queue = System.getenv(QUEUE_VARIABLE);
    if (queue != null && !queue.isEmpty()) {
      runWorker(queue);
    } else {
      runStdio();
    }
  }

  /**
   * Connects to a gateway as a worker of a queue, and serves it until SIGTERM or SIGINT: then it takes nothing new, finishes what it
   * holds and returns. A connection that is lost is made again, and what runs meanwhile goes on.
   *
   * @throws dev.flowspan.FlowspanException if the gateway refuses the worker for good
   */
  public void runWorker(String queue) {
    Worker worker = new Worker(registry, options, queue);
    Thread atEnd =
        new Thread(
            () -> {
              worker.leave();
              worker.awaitEnd();
            },
            "flowspan-leaving");
    Runtime.getRuntime().addShutdownHook(atEnd);
    try {
      worker.serve();
    } finally {
      try {
        Runtime.getRuntime().removeShutdownHook(atEnd);
      } catch (IllegalStateException ending) {
        // It runs just now.
      }
    }
  }

  /** A worker that the caller ends, for programs that are more than that: run it on a thread, and {@link Worker#leave()}. */
  Worker worker(String queue) {
    return new Worker(registry, options, queue);
  }

  /**
   * Serves the gateway that started this process. From here on System.out is the log: whatever prints there goes to stderr. On Linux
   * descriptor 1 is emptied as well, so that neither native code nor commands that are started write onto the wire.
   */
  public void runStdio() throws IOException {
    if (System.console() != null) {
      System.err.println(
          "This program is a Flowspan component server with " + registry.components.size() + " component(s): "
              + String.join(", ", registry.components.keySet())
              + "\nA gateway starts it and speaks JSON-RPC on its stdin and stdout; there is nothing to type here. Name it in flowspan.yml as"
              + " a plugin of type stdio, set " + QUEUE_VARIABLE + " to run it as a worker, or end it with Ctrl-D.");
    }
    System.out.flush();
    System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.err), true, StandardCharsets.UTF_8));
    InputStream in = takeInput();
    OutputStream out = takeOutput();
    System.setIn(InputStream.nullInputStream());
    serveStdio(in, out, true);
  }

  void serveStdio(InputStream in, OutputStream out, boolean watchParent) throws IOException {
    new StdioServer(registry, options.capacity, in, out).serve(watchParent);
  }

  private static InputStream takeInput() throws IOException {
    try {
      InputStream own = new FileInputStream("/proc/self/fd/0");
      // Closing one of the three standard descriptors makes it one of nothing.
      new FileInputStream(FileDescriptor.in).close();
      return own;
    } catch (IOException notHere) {
      return new FileInputStream(FileDescriptor.in);
    }
  }

  private static OutputStream takeOutput() throws IOException {
    try {
      OutputStream own = new FileOutputStream("/proc/self/fd/1", true);
      new FileOutputStream(FileDescriptor.out).close();
      return own;
    } catch (IOException notHere) {
      return new FileOutputStream(FileDescriptor.out);
    }
  }
}
