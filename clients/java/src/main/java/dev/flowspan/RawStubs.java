package dev.flowspan;

import dev.flowspan.v1.BlobServiceGrpc;
import dev.flowspan.v1.ComponentServiceGrpc;
import dev.flowspan.v1.FlowServiceGrpc;
import dev.flowspan.v1.RunServiceGrpc;
import dev.flowspan.v1.WorkerServiceGrpc;
import io.grpc.Channel;

/** The generated stubs, over a connection of the client and with its token. Nothing is repeated. */
public record RawStubs(Channel channel) {
  /** Runs. */
  public RunServiceGrpc.RunServiceStub runs() {
    return RunServiceGrpc.newStub(channel);
  }

  /** Flows. */
  public FlowServiceGrpc.FlowServiceStub flows() {
    return FlowServiceGrpc.newStub(channel);
  }

  /** Blobs. */
  public BlobServiceGrpc.BlobServiceStub blobs() {
    return BlobServiceGrpc.newStub(channel);
  }

  /** Components. */
  public ComponentServiceGrpc.ComponentServiceStub components() {
    return ComponentServiceGrpc.newStub(channel);
  }

  /** Workers. */
  public WorkerServiceGrpc.WorkerServiceStub workers() {
    return WorkerServiceGrpc.newStub(channel);
  }
}
