package dev.flowspan.components;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import dev.flowspan.AsyncFlowspanClient;
import dev.flowspan.ClientOptions;
import dev.flowspan.Discovery;
import dev.flowspan.FlowspanException;
import dev.flowspan.RawJson;
import dev.flowspan.RawStubs;
import dev.flowspan.Reason;
import dev.flowspan.Version;
import dev.flowspan.v1.ConnectRequest;
import dev.flowspan.v1.ConnectResponse;
import dev.flowspan.v1.JsonValue;
import dev.flowspan.v1.WorkerBatch;
import dev.flowspan.v1.WorkerCancelled;
import dev.flowspan.v1.WorkerComponent;
import dev.flowspan.v1.WorkerFailure;
import dev.flowspan.v1.WorkerHeartbeat;
import dev.flowspan.v1.WorkerHello;
import dev.flowspan.v1.WorkerLeaving;
import dev.flowspan.v1.WorkerProgress;
import dev.flowspan.v1.WorkerResults;
import dev.flowspan.v1.WorkerWelcome;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/** A worker of a queue, over all its connections. */
final class Worker implements Transport {
  private static final System.Logger LOG = System.getLogger("flowspan.components");
  private static final int PROTOCOL_VERSION = 1;
  private static final long WELCOME_NANOS = TimeUnit.SECONDS.toNanos(10);
  private static final long FIRST_BACK_OFF_MILLIS = 100;
  private static final long LONGEST_BACK_OFF_MILLIS = 5_000;
  private static final long CLOSE_NANOS = TimeUnit.SECONDS.toNanos(2);

  /** Heartbeats come a good while before they are due. */
  private static final double HEARTBEAT_SHARE = 0.6;

  /** A gateway that is silent for so many heartbeats is gone. */
  private static final int SILENT_HEARTBEATS = 3;

  /** A message of results ends here: a larger one stalls those of other workers. */
  private static final int MAX_RESULTS_BYTES = 1 << 20;

  /** What is larger fits no message of the gateway's (16 MiB): it would end the stream, again and again. */
  private static final int MAX_OUTPUT_BYTES = 15 << 20;

  private static final int MAX_RESULTS = 2_048;

  private static final Set<Reason> FOR_GOOD =
      EnumSet.of(Reason.PERMISSION_DENIED, Reason.INVALID_ARGUMENT, Reason.METHOD_NOT_FOUND, Reason.LIMIT_EXCEEDED);

  private final Engine engine;
  private final ServerOptions options;
  private final String queue;
  private final String workerId = UUID.randomUUID().toString();
  private final CountDownLatch ended = new CountDownLatch(1);

  // Of the thread that serves.
  private AsyncFlowspanClient client;
  private Discovery.Place place;
  private RawStubs stubs;

  // Of the engine's lock.
  private volatile AsyncFlowspanClient gateway;
  private String session = "";
  private String tokenPrefix = "";
  private String spanPrefix = "";
  private WorkerResults.Builder results = WorkerResults.newBuilder();
  private int size;
  private final ArrayDeque<WorkerResults> unsent = new ArrayDeque<>();
  private final ArrayDeque<WorkerResults> unacknowledged = new ArrayDeque<>();
  private long sequence;
  private final List<ConnectRequest> told = new ArrayList<>();
  private final List<Long> begun = new ArrayList<>();
  private boolean leaving;
  private boolean leavingTold;
  private boolean drained;
  private boolean givenUp;
  private boolean news;
  private long overrunAt;

  Worker(Registry registry, ServerOptions options, String queue) {
    this.engine = new Engine(registry, options.capacity);
    this.options = options;
    this.queue = queue;
    engine.attach(this);
  }

  // --- life

  /** Takes nothing new, finishes what is held, and ends; at the latest when its grace is over. */
  void leave() {
    synchronized (engine) {
      if (leaving) {
        return;
      }
      leaving = true;
    }
    wake();
    try {
      engine.timer.schedule(this::giveUp, options.grace.toMillis(), TimeUnit.MILLISECONDS);
    } catch (RejectedExecutionException hasEnded) {
      // There is nothing left to be given up.
    }
  }

  private void giveUp() {
    synchronized (engine) {
      givenUp = true;
    }
    wake();
  }

  void awaitEnd() {
    try {
      ended.await(options.grace.toMillis() + 5_000, TimeUnit.MILLISECONDS);
    } catch (InterruptedException atOnce) {
      Thread.currentThread().interrupt();
    }
  }

  /** Connects again and again, until the worker leaves or is refused for good. */
  void serve() {
    long backOff = FIRST_BACK_OFF_MILLIS;
    try {
      while (!isDone()) {
        Conversation conversation = null;
        FlowspanException failure = null;
        try {
          dial();
          conversation = new Conversation();
          conversation.hold();
        } catch (FlowspanException error) {
          failure = error;
        }
        if (isDone()) {
          return;
        }
        if (failure != null && isRefused(failure)) {
          throw failure;
        }
        if (conversation != null && conversation.wasWelcome) {
          backOff = FIRST_BACK_OFF_MILLIS;
        }
        if (failure != null) {
          LOG.log(System.Logger.Level.WARNING, "no connection to the gateway; trying again: " + failure.getMessage());
        }
        pause((long) (backOff * (0.5 + ThreadLocalRandom.current().nextDouble() / 2)));
        backOff = Math.min(2 * backOff, LONGEST_BACK_OFF_MILLIS);
      }
    } catch (InterruptedException end) {
      Thread.currentThread().interrupt();
    } finally {
      engine.forget(null);
      engine.close();
      if (client != null) {
        client.close();
      }
      ended.countDown();
    }
  }

  private boolean isDone() {
    synchronized (engine) {
      return givenUp || (leaving && holdsNothing());
    }
  }

  /** Whether everything is answered and acknowledged; under the lock. */
  private boolean holdsNothing() {
    return engine.isIdle() && unacknowledged.isEmpty() && unsent.isEmpty() && count(results) == 0;
  }

  private static int count(dev.flowspan.v1.WorkerResultsOrBuilder results) {
    return results.getExecutionsCount() + results.getFailuresCount();
  }

  private void pause(long millis) throws InterruptedException {
    long until = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(millis);
    synchronized (engine) {
      for (long left = millis; left > 0 && !givenUp && !(leaving && holdsNothing()); ) {
        engine.wait(left);
        left = TimeUnit.NANOSECONDS.toMillis(until - System.nanoTime());
      }
    }
  }

  /** A token that was found belongs to a gateway that may be another one soon; one that was given stays what it is. */
  private boolean isRefused(FlowspanException failure) {
    if (failure.reason() == Reason.UNAUTHENTICATED) {
      String given = System.getenv(Discovery.TOKEN_VARIABLE);
      return options.client.hasToken() || (given != null && !given.isEmpty());
    }
    return FOR_GOOD.contains(failure.reason());
  }

  /** Finds the gateway anew each time: one that was started again may be elsewhere, with another token. */
  private void dial() {
    ClientOptions wanted = options.client;
    Discovery.Place found = wanted.find();
    if (client != null && found.equals(place)) {
      return;
    }
    AsyncFlowspanClient made = AsyncFlowspanClient.connect(wanted.at(found));
    if (client != null) {
      client.close();
    }
    client = made;
    place = found;
    stubs = made.rawOnOwnConnection();
    gateway = made;
  }

  // --- one connection

  private final class Conversation implements ClientResponseObserver<ConnectRequest, ConnectResponse> {
    private ClientCallStreamObserver<ConnectRequest> out;
    private volatile boolean wasWelcome;

    // Of the engine's lock.
    private boolean isOver;
    private FlowspanException failure;
    private long heartbeatNanos = TimeUnit.SECONDS.toNanos(4);
    private long heardAt = System.nanoTime();

    @Override
    public void beforeStart(ClientCallStreamObserver<ConnectRequest> stream) {
      out = stream;
      // Messages are taken in order, each before the next is asked for.
      stream.disableAutoRequestWithInitial(1);
    }

    /** From Hello to the end. */
    void hold() throws InterruptedException {
      client.hurry();
      stubs.workers().connect(this);
      out.onNext(ConnectRequest.newBuilder().setHello(hello()).build());
      try {
        awaitWelcome();
        LOG.log(System.Logger.Level.INFO, "connected to " + place.target() + " as a worker of queue " + queue);
        send();
      } catch (FlowspanException | InterruptedException broken) {
        out.cancel("the connection is given up", null);
        throw broken;
      }
    }

    private void awaitWelcome() throws InterruptedException {
      long until = System.nanoTime() + WELCOME_NANOS;
      synchronized (engine) {
        while (!wasWelcome && !isOver && !givenUp) {
          long left = TimeUnit.NANOSECONDS.toMillis(until - System.nanoTime());
          if (left <= 0) {
            throw new FlowspanException(Reason.TIMEOUT, "the gateway did not say Welcome in time");
          }
          engine.wait(left);
        }
        if (!wasWelcome) {
          throw failure != null ? failure : new FlowspanException(Reason.UNAVAILABLE, "the gateway ended the connection");
        }
      }
    }

    /** Writes whatever has come up during the last write, and signs of life. */
    private void send() throws InterruptedException {
      long beatAt = System.nanoTime() + (long) (heartbeatNanos * HEARTBEAT_SHARE);
      while (true) {
        List<ConnectRequest> messages = new ArrayList<>();
        boolean isLast;
        synchronized (engine) {
          while (!news && !isOver && !givenUp && System.nanoTime() < beatAt) {
            engine.wait(Math.max(1, TimeUnit.NANOSECONDS.toMillis(beatAt - System.nanoTime())));
          }
          if (isOver) {
            if (failure != null) {
              throw failure;
            }
            return;
          }
          if (givenUp) {
            throw new FlowspanException(Reason.REQUEST_CANCELLED, "the worker is given up");
          }
          long now = System.nanoTime();
          if (now - heardAt > Math.max(SILENT_HEARTBEATS * heartbeatNanos, WELCOME_NANOS)) {
            throw new FlowspanException(Reason.UNAVAILABLE, "the gateway is silent");
          }
          news = false;
          if (leaving && !leavingTold) {
            leavingTold = true;
            messages.add(givenBack(engine.giveBack()));
          }
          messages.addAll(told);
          told.clear();
          closeResults();
          for (WorkerResults ready : unsent) {
            messages.add(ConnectRequest.newBuilder().setResults(ready).build());
          }
          // From here on they count as sent: a connection that breaks now sends them again.
          unacknowledged.addAll(unsent);
          unsent.clear();
          if (now >= beatAt || !begun.isEmpty()) {
            messages.add(
                ConnectRequest.newBuilder().setHeartbeat(WorkerHeartbeat.newBuilder().addAllStarted(begun)).build());
            begun.clear();
            beatAt = now + (long) (heartbeatNanos * HEARTBEAT_SHARE);
          }
          isLast = (drained || leaving) && holdsNothing();
        }
        messages.forEach(out::onNext);
        if (isLast) {
          hangUp();
          return;
        }
      }
    }

    /** Closes our side; the gateway closes its own. */
    private void hangUp() throws InterruptedException {
      out.onCompleted();
      long until = System.nanoTime() + CLOSE_NANOS;
      synchronized (engine) {
        for (long left = 1; !isOver && left > 0; ) {
          left = TimeUnit.NANOSECONDS.toMillis(until - System.nanoTime());
          if (left > 0) {
            engine.wait(left);
          }
        }
        if (isOver) {
          return;
        }
      }
      out.cancel("the worker has ended", null);
    }

    @Override
    public void onNext(ConnectResponse message) {
      synchronized (engine) {
        heardAt = System.nanoTime();
        if (isOver) {
          return;
        }
      }
      try {
        receive(message);
      } catch (RuntimeException defect) {
        LOG.log(System.Logger.Level.ERROR, "a message of the gateway could not be taken", defect);
        out.cancel("a message could not be taken", defect);
        over(FlowspanException.of(defect));
        return;
      }
      out.request(1);
    }

    private void receive(ConnectResponse message) {
      switch (message.getMessageCase()) {
        case WELCOME -> {
          WorkerWelcome welcome = message.getWelcome();
          if (welcome.getProtocolVersion() != PROTOCOL_VERSION) {
            over(
                new FlowspanException(
                    Reason.INVALID_ARGUMENT,
                    "the gateway speaks version " + welcome.getProtocolVersion() + " of the protocol of workers, this worker "
                        + PROTOCOL_VERSION));
            return;
          }
          takeWelcome(welcome);
          synchronized (engine) {
            heartbeatNanos =
                welcome.getHeartbeatSeconds() > 0 ? (long) (welcome.getHeartbeatSeconds() * 1e9) : heartbeatNanos;
            wasWelcome = true;
            engine.notifyAll();
          }
        }
        case EXECUTE -> message.getExecute().getBatchesList().forEach(Worker.this::execute);
        case CANCEL -> cancel(message.getCancel().getExecutionsList());
        case DRAIN -> {
          LOG.log(System.Logger.Level.INFO, "the gateway sends nothing new: " + message.getDrain().getReason());
          synchronized (engine) {
            drained = true;
          }
          wake();
        }
        case ACKNOWLEDGED -> acknowledge(message.getAcknowledged().getThroughSequence());
        default -> {
          // A heartbeat, or of a later version.
        }
      }
    }

    private void over(FlowspanException why) {
      synchronized (engine) {
        if (!isOver) {
          isOver = true;
          failure = why;
        }
        engine.notifyAll();
      }
    }

    @Override
    public void onError(Throwable thrown) {
      over(FlowspanException.of(thrown));
    }

    @Override
    public void onCompleted() {
      over(null);
    }
  }

  private WorkerHello hello() {
    WorkerHello.Builder hello =
        WorkerHello.newBuilder()
            .setQueue(queue)
            .setCapacity(engine.capacity)
            .addProtocolVersions(PROTOCOL_VERSION)
            .setWorkerId(workerId)
            .setSdk("flowspan-java " + Version.VERSION);
    for (Registry.Component component : engine.registry.components.values()) {
      WorkerComponent.Builder offered = WorkerComponent.newBuilder().setName(component.name);
      if (component.options.description != null) {
        offered.setDescription(component.options.description);
      }
      if (component.options.inputSchema != null) {
        offered.setInputSchema(json(component.options.inputSchema.bytes()));
      }
      if (component.options.outputSchema != null) {
        offered.setOutputSchema(json(component.options.outputSchema.bytes()));
      }
      hello.addComponents(offered);
    }
    synchronized (engine) {
      hello.setSession(session);
      engine.held().forEach(execution -> hello.addHeld(execution.number));
      unacknowledged.forEach(sent -> addHeld(hello, sent));
      unsent.forEach(ready -> addHeld(hello, ready));
      addHeld(hello, results);
    }
    return hello.build();
  }

  private static void addHeld(WorkerHello.Builder hello, dev.flowspan.v1.WorkerResultsOrBuilder held) {
    hello.addAllHeld(held.getExecutionsList());
    held.getFailuresList().forEach(failed -> hello.addHeld(failed.getExecution()));
  }

  private static JsonValue json(byte[] text) {
    return JsonValue.newBuilder().setJson(UnsafeByteOperations.unsafeWrap(text)).build();
  }

  /** Goes on with what is still wanted, and makes ready to send again what was not acknowledged. */
  private void takeWelcome(WorkerWelcome welcome) {
    boolean isOther;
    synchronized (engine) {
      isOther = !welcome.getSession().equals(session);
    }
    Set<Long> unwanted = new HashSet<>(welcome.getUnwantedList());
    if (isOther) {
      engine.forget(null);
    } else if (!unwanted.isEmpty()) {
      engine.forget(unwanted);
    }
    synchronized (engine) {
      List<WorkerResults> again = new ArrayList<>();
      if (isOther) {
        results = WorkerResults.newBuilder();
        size = 0;
        sequence = 0;
      } else {
        // In the order of their sequence: what was sent comes before what was not.
        unacknowledged.forEach(sent -> again.add(without(sent, unwanted)));
        unsent.forEach(ready -> again.add(without(ready, unwanted)));
        results = without(results.build(), unwanted).toBuilder();
      }
      unacknowledged.clear();
      unsent.clear();
      unsent.addAll(again);
      session = welcome.getSession();
      tokenPrefix = welcome.getTokenPrefix();
      spanPrefix = welcome.getSpanPrefix();
      // The notices of a lost connection are lost with it.
      told.clear();
      begun.clear();
      engine.held().forEach(execution -> execution.toldBegun = false);
      drained = false;
      leavingTold = false;
    }
    engine.sweepSoon();
    wake();
  }

  private static WorkerResults without(WorkerResults former, Set<Long> unwanted) {
    if (unwanted.isEmpty()) {
      return former;
    }
    WorkerResults.Builder kept = WorkerResults.newBuilder().setSequence(former.getSequence());
    for (int position = 0; position < former.getExecutionsCount(); position++) {
      if (!unwanted.contains(former.getExecutions(position))) {
        kept.addExecutions(former.getExecutions(position)).addOutputs(former.getOutputs(position));
      }
    }
    former.getFailuresList().stream().filter(failed -> !unwanted.contains(failed.getExecution())).forEach(kept::addFailures);
    return kept.build();
  }

  // --- executions

  private void execute(WorkerBatch batch) {
    List<Long> numbers = batch.getExecutionsList();
    boolean late;
    Execution.Origin origin = new Execution.Origin();
    synchronized (engine) {
      late = leaving;
      origin.tokenPrefix = tokenPrefix;
      origin.spanPrefix = spanPrefix;
      if (late) {
        // They crossed our Leaving.
        told.add(
            ConnectRequest.newBuilder().setLeaving(WorkerLeaving.newBuilder().addAllGivenBack(numbers)).build());
      }
    }
    if (late) {
      wake();
      return;
    }
    int count = numbers.size();
    if (batch.getInputsCount() != count || batch.getItemIndexesCount() != count || batch.getAttemptsCount() != count) {
      refuse(numbers, Failure.of(Reason.PLUGIN_PROTOCOL, "the lists of the batch differ in length", null));
      return;
    }
    Registry.Found found = engine.registry.find(batch.getComponent());
    if (found == null) {
      refuse(numbers, Failure.noComponent(batch.getComponent()));
      return;
    }
    origin.runId = batch.getRunId();
    origin.flowId = batch.getFlowId();
    origin.stepId = batch.getStepId();
    origin.traceId = batch.getTraceId();
    origin.flags = batch.getSampled() ? "01" : "00";
    double seconds = batch.getTimeoutSeconds();
    long timeout = seconds > 0 ? (long) Math.min(seconds * 1e9, 9e18) : 0;
    List<Execution> executions = new ArrayList<>(count);
    for (int position = 0; position < count; position++) {
      executions.add(
          new Execution(
              engine,
              found,
              origin,
              batch.getExecutions(position),
              null,
              true,
              batch.getItemIndexes(position),
              batch.getAttempts(position),
              RawJson.of(batch.getInputs(position).toByteArray()),
              timeout));
    }
    engine.run(executions);
  }

  private void refuse(Collection<Long> numbers, Failure failure) {
    synchronized (engine) {
      numbers.forEach(number -> putFailure(number, failure));
    }
    wake();
  }

  private void cancel(List<Long> numbers) {
    Engine.Cancelled cancelled = engine.cancel(numbers, false);
    tell(
        ConnectRequest.newBuilder()
            .setCancelled(
                WorkerCancelled.newBuilder().addAllDropped(numbers(cancelled.dropped())).addAllRunning(numbers(cancelled.running())))
            .build());
  }

  private static List<Long> numbers(Collection<Execution> executions) {
    return executions.stream().map(execution -> execution.number).toList();
  }

  private static ConnectRequest givenBack(Collection<Execution> executions) {
    return ConnectRequest.newBuilder().setLeaving(WorkerLeaving.newBuilder().addAllGivenBack(numbers(executions))).build();
  }

  private void acknowledge(long through) {
    synchronized (engine) {
      while (!unacknowledged.isEmpty() && unacknowledged.peek().getSequence() <= through) {
        unacknowledged.poll();
      }
      if (!(drained || leaving) || !holdsNothing()) {
        return;
      }
    }
    wake();
  }

  // --- answers and news

  @Override
  public void put(Execution execution, byte[] output, Failure failure) {
    if (failure != null) {
      putFailure(execution.number, failure);
      return;
    }
    if (output.length > MAX_OUTPUT_BYTES) {
      String message =
          String.format(
              "the output has %d bytes, at most %d fit a message; store it as a blob and return its id",
              output.length, MAX_OUTPUT_BYTES);
      putFailure(execution.number, Failure.of(Reason.LIMIT_EXCEEDED, message, null));
      return;
    }
    if (size + output.length > MAX_RESULTS_BYTES) {
      closeResults();
    }
    ByteString bytes = UnsafeByteOperations.unsafeWrap(output);
    results.addExecutions(execution.number).addOutputs(bytes);
    added(output.length);
  }

  private void putFailure(long number, Failure failure) {
    WorkerFailure.Builder failed =
        WorkerFailure.newBuilder().setExecution(number).setCode(failure.code()).setMessage(failure.message());
    int bytes = failure.message().length();
    if (failure.data() != null) {
      failed.setData(json(failure.data()));
      bytes += failure.data().length;
    }
    results.addFailures(failed);
    added(bytes);
  }

  /** Closes a message that is full. */
  private void added(int bytes) {
    size += bytes + 8;
    if (size >= MAX_RESULTS_BYTES || count(results) >= MAX_RESULTS) {
      closeResults();
    }
  }

  private void closeResults() {
    if (count(results) == 0) {
      return;
    }
    unsent.add(results.setSequence(++sequence).build());
    results = WorkerResults.newBuilder();
    size = 0;
  }

  @Override
  public void wake() {
    synchronized (engine) {
      news = true;
      engine.notifyAll();
    }
  }

  private void tell(ConnectRequest message) {
    synchronized (engine) {
      told.add(message);
    }
    wake();
  }

  @Override
  public void started(List<Execution> executions) {
    synchronized (engine) {
      begun.addAll(numbers(executions));
    }
    wake();
  }

  @Override
  public void progress(Execution execution, double fraction, String message) {
    tell(
        ConnectRequest.newBuilder()
            .setProgress(
                WorkerProgress.newBuilder()
                    .setExecution(execution.number)
                    .setFraction(fraction)
                    .setMessage(message == null ? "" : message))
            .build());
  }

  @Override
  public void overrun(int count) {
    synchronized (engine) {
      if (overrunAt != 0 && engine.now() - overrunAt < TimeUnit.MINUTES.toNanos(1)) {
        return;
      }
      overrunAt = engine.now();
    }
    LOG.log(System.Logger.Level.ERROR, count + " components run on after their time-out: they should heed interrupts");
  }

  @Override
  public Gateway gateway(Execution execution) {
    return new WorkerGateway(gateway.forTask(execution.taskToken()), execution);
  }
}
