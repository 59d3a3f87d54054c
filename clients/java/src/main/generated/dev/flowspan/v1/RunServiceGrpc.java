package dev.flowspan.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Runs: one flow over many items.
 * A failed run is data in a healthy answer; an error status means that the call failed. A stream's life is not the run's
 * life: no run ends because a watcher left. Errors carry google.rpc.ErrorInfo with the domain "flowspan".
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class RunServiceGrpc {

  private RunServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "flowspan.v1.RunService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.SubmitRunRequest,
      dev.flowspan.v1.SubmitRunResponse> getSubmitRunMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "SubmitRun",
      requestType = dev.flowspan.v1.SubmitRunRequest.class,
      responseType = dev.flowspan.v1.SubmitRunResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.SubmitRunRequest,
      dev.flowspan.v1.SubmitRunResponse> getSubmitRunMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.SubmitRunRequest, dev.flowspan.v1.SubmitRunResponse> getSubmitRunMethod;
    if ((getSubmitRunMethod = RunServiceGrpc.getSubmitRunMethod) == null) {
      synchronized (RunServiceGrpc.class) {
        if ((getSubmitRunMethod = RunServiceGrpc.getSubmitRunMethod) == null) {
          RunServiceGrpc.getSubmitRunMethod = getSubmitRunMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.SubmitRunRequest, dev.flowspan.v1.SubmitRunResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "SubmitRun"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.SubmitRunRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.SubmitRunResponse.getDefaultInstance()))
              .setSchemaDescriptor(new RunServiceMethodDescriptorSupplier("SubmitRun"))
              .build();
        }
      }
    }
    return getSubmitRunMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.SubmitRunStreamRequest,
      dev.flowspan.v1.SubmitRunStreamResponse> getSubmitRunStreamMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "SubmitRunStream",
      requestType = dev.flowspan.v1.SubmitRunStreamRequest.class,
      responseType = dev.flowspan.v1.SubmitRunStreamResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.CLIENT_STREAMING)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.SubmitRunStreamRequest,
      dev.flowspan.v1.SubmitRunStreamResponse> getSubmitRunStreamMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.SubmitRunStreamRequest, dev.flowspan.v1.SubmitRunStreamResponse> getSubmitRunStreamMethod;
    if ((getSubmitRunStreamMethod = RunServiceGrpc.getSubmitRunStreamMethod) == null) {
      synchronized (RunServiceGrpc.class) {
        if ((getSubmitRunStreamMethod = RunServiceGrpc.getSubmitRunStreamMethod) == null) {
          RunServiceGrpc.getSubmitRunStreamMethod = getSubmitRunStreamMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.SubmitRunStreamRequest, dev.flowspan.v1.SubmitRunStreamResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.CLIENT_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "SubmitRunStream"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.SubmitRunStreamRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.SubmitRunStreamResponse.getDefaultInstance()))
              .setSchemaDescriptor(new RunServiceMethodDescriptorSupplier("SubmitRunStream"))
              .build();
        }
      }
    }
    return getSubmitRunStreamMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.WatchRunRequest,
      dev.flowspan.v1.WatchRunResponse> getWatchRunMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "WatchRun",
      requestType = dev.flowspan.v1.WatchRunRequest.class,
      responseType = dev.flowspan.v1.WatchRunResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.WatchRunRequest,
      dev.flowspan.v1.WatchRunResponse> getWatchRunMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.WatchRunRequest, dev.flowspan.v1.WatchRunResponse> getWatchRunMethod;
    if ((getWatchRunMethod = RunServiceGrpc.getWatchRunMethod) == null) {
      synchronized (RunServiceGrpc.class) {
        if ((getWatchRunMethod = RunServiceGrpc.getWatchRunMethod) == null) {
          RunServiceGrpc.getWatchRunMethod = getWatchRunMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.WatchRunRequest, dev.flowspan.v1.WatchRunResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "WatchRun"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.WatchRunRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.WatchRunResponse.getDefaultInstance()))
              .setSchemaDescriptor(new RunServiceMethodDescriptorSupplier("WatchRun"))
              .build();
        }
      }
    }
    return getWatchRunMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.SubmitAndWatchRunRequest,
      dev.flowspan.v1.SubmitAndWatchRunResponse> getSubmitAndWatchRunMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "SubmitAndWatchRun",
      requestType = dev.flowspan.v1.SubmitAndWatchRunRequest.class,
      responseType = dev.flowspan.v1.SubmitAndWatchRunResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.SubmitAndWatchRunRequest,
      dev.flowspan.v1.SubmitAndWatchRunResponse> getSubmitAndWatchRunMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.SubmitAndWatchRunRequest, dev.flowspan.v1.SubmitAndWatchRunResponse> getSubmitAndWatchRunMethod;
    if ((getSubmitAndWatchRunMethod = RunServiceGrpc.getSubmitAndWatchRunMethod) == null) {
      synchronized (RunServiceGrpc.class) {
        if ((getSubmitAndWatchRunMethod = RunServiceGrpc.getSubmitAndWatchRunMethod) == null) {
          RunServiceGrpc.getSubmitAndWatchRunMethod = getSubmitAndWatchRunMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.SubmitAndWatchRunRequest, dev.flowspan.v1.SubmitAndWatchRunResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "SubmitAndWatchRun"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.SubmitAndWatchRunRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.SubmitAndWatchRunResponse.getDefaultInstance()))
              .setSchemaDescriptor(new RunServiceMethodDescriptorSupplier("SubmitAndWatchRun"))
              .build();
        }
      }
    }
    return getSubmitAndWatchRunMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.GetRunRequest,
      dev.flowspan.v1.GetRunResponse> getGetRunMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetRun",
      requestType = dev.flowspan.v1.GetRunRequest.class,
      responseType = dev.flowspan.v1.GetRunResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.GetRunRequest,
      dev.flowspan.v1.GetRunResponse> getGetRunMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.GetRunRequest, dev.flowspan.v1.GetRunResponse> getGetRunMethod;
    if ((getGetRunMethod = RunServiceGrpc.getGetRunMethod) == null) {
      synchronized (RunServiceGrpc.class) {
        if ((getGetRunMethod = RunServiceGrpc.getGetRunMethod) == null) {
          RunServiceGrpc.getGetRunMethod = getGetRunMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.GetRunRequest, dev.flowspan.v1.GetRunResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetRun"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.GetRunRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.GetRunResponse.getDefaultInstance()))
              .setSchemaDescriptor(new RunServiceMethodDescriptorSupplier("GetRun"))
              .build();
        }
      }
    }
    return getGetRunMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.ListRunsRequest,
      dev.flowspan.v1.ListRunsResponse> getListRunsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListRuns",
      requestType = dev.flowspan.v1.ListRunsRequest.class,
      responseType = dev.flowspan.v1.ListRunsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.ListRunsRequest,
      dev.flowspan.v1.ListRunsResponse> getListRunsMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.ListRunsRequest, dev.flowspan.v1.ListRunsResponse> getListRunsMethod;
    if ((getListRunsMethod = RunServiceGrpc.getListRunsMethod) == null) {
      synchronized (RunServiceGrpc.class) {
        if ((getListRunsMethod = RunServiceGrpc.getListRunsMethod) == null) {
          RunServiceGrpc.getListRunsMethod = getListRunsMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.ListRunsRequest, dev.flowspan.v1.ListRunsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListRuns"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.ListRunsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.ListRunsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new RunServiceMethodDescriptorSupplier("ListRuns"))
              .build();
        }
      }
    }
    return getListRunsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.ListRunItemsRequest,
      dev.flowspan.v1.ListRunItemsResponse> getListRunItemsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListRunItems",
      requestType = dev.flowspan.v1.ListRunItemsRequest.class,
      responseType = dev.flowspan.v1.ListRunItemsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.ListRunItemsRequest,
      dev.flowspan.v1.ListRunItemsResponse> getListRunItemsMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.ListRunItemsRequest, dev.flowspan.v1.ListRunItemsResponse> getListRunItemsMethod;
    if ((getListRunItemsMethod = RunServiceGrpc.getListRunItemsMethod) == null) {
      synchronized (RunServiceGrpc.class) {
        if ((getListRunItemsMethod = RunServiceGrpc.getListRunItemsMethod) == null) {
          RunServiceGrpc.getListRunItemsMethod = getListRunItemsMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.ListRunItemsRequest, dev.flowspan.v1.ListRunItemsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListRunItems"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.ListRunItemsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.ListRunItemsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new RunServiceMethodDescriptorSupplier("ListRunItems"))
              .build();
        }
      }
    }
    return getListRunItemsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.CancelRunRequest,
      dev.flowspan.v1.CancelRunResponse> getCancelRunMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "CancelRun",
      requestType = dev.flowspan.v1.CancelRunRequest.class,
      responseType = dev.flowspan.v1.CancelRunResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.CancelRunRequest,
      dev.flowspan.v1.CancelRunResponse> getCancelRunMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.CancelRunRequest, dev.flowspan.v1.CancelRunResponse> getCancelRunMethod;
    if ((getCancelRunMethod = RunServiceGrpc.getCancelRunMethod) == null) {
      synchronized (RunServiceGrpc.class) {
        if ((getCancelRunMethod = RunServiceGrpc.getCancelRunMethod) == null) {
          RunServiceGrpc.getCancelRunMethod = getCancelRunMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.CancelRunRequest, dev.flowspan.v1.CancelRunResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "CancelRun"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.CancelRunRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.CancelRunResponse.getDefaultInstance()))
              .setSchemaDescriptor(new RunServiceMethodDescriptorSupplier("CancelRun"))
              .build();
        }
      }
    }
    return getCancelRunMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.RetryRunRequest,
      dev.flowspan.v1.RetryRunResponse> getRetryRunMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "RetryRun",
      requestType = dev.flowspan.v1.RetryRunRequest.class,
      responseType = dev.flowspan.v1.RetryRunResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.RetryRunRequest,
      dev.flowspan.v1.RetryRunResponse> getRetryRunMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.RetryRunRequest, dev.flowspan.v1.RetryRunResponse> getRetryRunMethod;
    if ((getRetryRunMethod = RunServiceGrpc.getRetryRunMethod) == null) {
      synchronized (RunServiceGrpc.class) {
        if ((getRetryRunMethod = RunServiceGrpc.getRetryRunMethod) == null) {
          RunServiceGrpc.getRetryRunMethod = getRetryRunMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.RetryRunRequest, dev.flowspan.v1.RetryRunResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "RetryRun"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.RetryRunRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.RetryRunResponse.getDefaultInstance()))
              .setSchemaDescriptor(new RunServiceMethodDescriptorSupplier("RetryRun"))
              .build();
        }
      }
    }
    return getRetryRunMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.DeleteRunRequest,
      dev.flowspan.v1.DeleteRunResponse> getDeleteRunMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DeleteRun",
      requestType = dev.flowspan.v1.DeleteRunRequest.class,
      responseType = dev.flowspan.v1.DeleteRunResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.DeleteRunRequest,
      dev.flowspan.v1.DeleteRunResponse> getDeleteRunMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.DeleteRunRequest, dev.flowspan.v1.DeleteRunResponse> getDeleteRunMethod;
    if ((getDeleteRunMethod = RunServiceGrpc.getDeleteRunMethod) == null) {
      synchronized (RunServiceGrpc.class) {
        if ((getDeleteRunMethod = RunServiceGrpc.getDeleteRunMethod) == null) {
          RunServiceGrpc.getDeleteRunMethod = getDeleteRunMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.DeleteRunRequest, dev.flowspan.v1.DeleteRunResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DeleteRun"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.DeleteRunRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.DeleteRunResponse.getDefaultInstance()))
              .setSchemaDescriptor(new RunServiceMethodDescriptorSupplier("DeleteRun"))
              .build();
        }
      }
    }
    return getDeleteRunMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static RunServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<RunServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<RunServiceStub>() {
        @java.lang.Override
        public RunServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new RunServiceStub(channel, callOptions);
        }
      };
    return RunServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static RunServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<RunServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<RunServiceBlockingV2Stub>() {
        @java.lang.Override
        public RunServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new RunServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return RunServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static RunServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<RunServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<RunServiceBlockingStub>() {
        @java.lang.Override
        public RunServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new RunServiceBlockingStub(channel, callOptions);
        }
      };
    return RunServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static RunServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<RunServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<RunServiceFutureStub>() {
        @java.lang.Override
        public RunServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new RunServiceFutureStub(channel, callOptions);
        }
      };
    return RunServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Runs: one flow over many items.
   * A failed run is data in a healthy answer; an error status means that the call failed. A stream's life is not the run's
   * life: no run ends because a watcher left. Errors carry google.rpc.ErrorInfo with the domain "flowspan".
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Accepts a run. When it answers, the run, all its inputs and its first claims are durable.
     * </pre>
     */
    default void submitRun(dev.flowspan.v1.SubmitRunRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.SubmitRunResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getSubmitRunMethod(), responseObserver);
    }

    /**
     * <pre>
     * Accepts a run whose inputs come in batches, for millions of items. The first message holds the header, the others
     * inputs. Nothing starts before the stream is closed by the caller; a stream that breaks leaves nothing behind.
     * </pre>
     */
    default io.grpc.stub.StreamObserver<dev.flowspan.v1.SubmitRunStreamRequest> submitRunStream(
        io.grpc.stub.StreamObserver<dev.flowspan.v1.SubmitRunStreamResponse> responseObserver) {
      return io.grpc.stub.ServerCalls.asyncUnimplementedStreamingCall(getSubmitRunStreamMethod(), responseObserver);
    }

    /**
     * <pre>
     * Events after a cursor, oldest first, without gap or repetition; ends after the terminal event. An event is durable
     * before it is seen. A slow reader delays nobody.
     * </pre>
     */
    default void watchRun(dev.flowspan.v1.WatchRunRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.WatchRunResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getWatchRunMethod(), responseObserver);
    }

    /**
     * <pre>
     * SubmitRun and WatchRun in one round trip.
     * </pre>
     */
    default void submitAndWatchRun(dev.flowspan.v1.SubmitAndWatchRunRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.SubmitAndWatchRunResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getSubmitAndWatchRunMethod(), responseObserver);
    }

    /**
     * <pre>
     * The state of a run, with results if asked for.
     * </pre>
     */
    default void getRun(dev.flowspan.v1.GetRunRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.GetRunResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetRunMethod(), responseObserver);
    }

    /**
     * <pre>
     * Runs, newest first.
     * </pre>
     */
    default void listRuns(dev.flowspan.v1.ListRunsRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.ListRunsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListRunsMethod(), responseObserver);
    }

    /**
     * <pre>
     * Item results of a run, in pages.
     * </pre>
     */
    default void listRunItems(dev.flowspan.v1.ListRunItemsRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.ListRunItemsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListRunItemsMethod(), responseObserver);
    }

    /**
     * <pre>
     * Cancels a run and its sub-runs. When it answers, the intention is durable and no item starts after it.
     * </pre>
     */
    default void cancelRun(dev.flowspan.v1.CancelRunRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.CancelRunResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getCancelRunMethod(), responseObserver);
    }

    /**
     * <pre>
     * Runs the failed (or the named) items of a finished run again, as a new run that is linked to it.
     * </pre>
     */
    default void retryRun(dev.flowspan.v1.RetryRunRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.RetryRunResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getRetryRunMethod(), responseObserver);
    }

    /**
     * <pre>
     * Deletes a finished run with its log and its sub-runs. Its watchers end with NOT_FOUND.
     * </pre>
     */
    default void deleteRun(dev.flowspan.v1.DeleteRunRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.DeleteRunResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDeleteRunMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service RunService.
   * <pre>
   * Runs: one flow over many items.
   * A failed run is data in a healthy answer; an error status means that the call failed. A stream's life is not the run's
   * life: no run ends because a watcher left. Errors carry google.rpc.ErrorInfo with the domain "flowspan".
   * </pre>
   */
  public static abstract class RunServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return RunServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service RunService.
   * <pre>
   * Runs: one flow over many items.
   * A failed run is data in a healthy answer; an error status means that the call failed. A stream's life is not the run's
   * life: no run ends because a watcher left. Errors carry google.rpc.ErrorInfo with the domain "flowspan".
   * </pre>
   */
  public static final class RunServiceStub
      extends io.grpc.stub.AbstractAsyncStub<RunServiceStub> {
    private RunServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected RunServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new RunServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Accepts a run. When it answers, the run, all its inputs and its first claims are durable.
     * </pre>
     */
    public void submitRun(dev.flowspan.v1.SubmitRunRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.SubmitRunResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getSubmitRunMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Accepts a run whose inputs come in batches, for millions of items. The first message holds the header, the others
     * inputs. Nothing starts before the stream is closed by the caller; a stream that breaks leaves nothing behind.
     * </pre>
     */
    public io.grpc.stub.StreamObserver<dev.flowspan.v1.SubmitRunStreamRequest> submitRunStream(
        io.grpc.stub.StreamObserver<dev.flowspan.v1.SubmitRunStreamResponse> responseObserver) {
      return io.grpc.stub.ClientCalls.asyncClientStreamingCall(
          getChannel().newCall(getSubmitRunStreamMethod(), getCallOptions()), responseObserver);
    }

    /**
     * <pre>
     * Events after a cursor, oldest first, without gap or repetition; ends after the terminal event. An event is durable
     * before it is seen. A slow reader delays nobody.
     * </pre>
     */
    public void watchRun(dev.flowspan.v1.WatchRunRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.WatchRunResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getWatchRunMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * SubmitRun and WatchRun in one round trip.
     * </pre>
     */
    public void submitAndWatchRun(dev.flowspan.v1.SubmitAndWatchRunRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.SubmitAndWatchRunResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getSubmitAndWatchRunMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * The state of a run, with results if asked for.
     * </pre>
     */
    public void getRun(dev.flowspan.v1.GetRunRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.GetRunResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetRunMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Runs, newest first.
     * </pre>
     */
    public void listRuns(dev.flowspan.v1.ListRunsRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.ListRunsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListRunsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Item results of a run, in pages.
     * </pre>
     */
    public void listRunItems(dev.flowspan.v1.ListRunItemsRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.ListRunItemsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListRunItemsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Cancels a run and its sub-runs. When it answers, the intention is durable and no item starts after it.
     * </pre>
     */
    public void cancelRun(dev.flowspan.v1.CancelRunRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.CancelRunResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getCancelRunMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Runs the failed (or the named) items of a finished run again, as a new run that is linked to it.
     * </pre>
     */
    public void retryRun(dev.flowspan.v1.RetryRunRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.RetryRunResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getRetryRunMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Deletes a finished run with its log and its sub-runs. Its watchers end with NOT_FOUND.
     * </pre>
     */
    public void deleteRun(dev.flowspan.v1.DeleteRunRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.DeleteRunResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDeleteRunMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service RunService.
   * <pre>
   * Runs: one flow over many items.
   * A failed run is data in a healthy answer; an error status means that the call failed. A stream's life is not the run's
   * life: no run ends because a watcher left. Errors carry google.rpc.ErrorInfo with the domain "flowspan".
   * </pre>
   */
  public static final class RunServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<RunServiceBlockingV2Stub> {
    private RunServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected RunServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new RunServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Accepts a run. When it answers, the run, all its inputs and its first claims are durable.
     * </pre>
     */
    public dev.flowspan.v1.SubmitRunResponse submitRun(dev.flowspan.v1.SubmitRunRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getSubmitRunMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Accepts a run whose inputs come in batches, for millions of items. The first message holds the header, the others
     * inputs. Nothing starts before the stream is closed by the caller; a stream that breaks leaves nothing behind.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<dev.flowspan.v1.SubmitRunStreamRequest, dev.flowspan.v1.SubmitRunStreamResponse>
        submitRunStream() {
      return io.grpc.stub.ClientCalls.blockingClientStreamingCall(
          getChannel(), getSubmitRunStreamMethod(), getCallOptions());
    }

    /**
     * <pre>
     * Events after a cursor, oldest first, without gap or repetition; ends after the terminal event. An event is durable
     * before it is seen. A slow reader delays nobody.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, dev.flowspan.v1.WatchRunResponse>
        watchRun(dev.flowspan.v1.WatchRunRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getWatchRunMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * SubmitRun and WatchRun in one round trip.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, dev.flowspan.v1.SubmitAndWatchRunResponse>
        submitAndWatchRun(dev.flowspan.v1.SubmitAndWatchRunRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getSubmitAndWatchRunMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * The state of a run, with results if asked for.
     * </pre>
     */
    public dev.flowspan.v1.GetRunResponse getRun(dev.flowspan.v1.GetRunRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetRunMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Runs, newest first.
     * </pre>
     */
    public dev.flowspan.v1.ListRunsResponse listRuns(dev.flowspan.v1.ListRunsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListRunsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Item results of a run, in pages.
     * </pre>
     */
    public dev.flowspan.v1.ListRunItemsResponse listRunItems(dev.flowspan.v1.ListRunItemsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListRunItemsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Cancels a run and its sub-runs. When it answers, the intention is durable and no item starts after it.
     * </pre>
     */
    public dev.flowspan.v1.CancelRunResponse cancelRun(dev.flowspan.v1.CancelRunRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getCancelRunMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Runs the failed (or the named) items of a finished run again, as a new run that is linked to it.
     * </pre>
     */
    public dev.flowspan.v1.RetryRunResponse retryRun(dev.flowspan.v1.RetryRunRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getRetryRunMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Deletes a finished run with its log and its sub-runs. Its watchers end with NOT_FOUND.
     * </pre>
     */
    public dev.flowspan.v1.DeleteRunResponse deleteRun(dev.flowspan.v1.DeleteRunRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDeleteRunMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service RunService.
   * <pre>
   * Runs: one flow over many items.
   * A failed run is data in a healthy answer; an error status means that the call failed. A stream's life is not the run's
   * life: no run ends because a watcher left. Errors carry google.rpc.ErrorInfo with the domain "flowspan".
   * </pre>
   */
  public static final class RunServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<RunServiceBlockingStub> {
    private RunServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected RunServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new RunServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Accepts a run. When it answers, the run, all its inputs and its first claims are durable.
     * </pre>
     */
    public dev.flowspan.v1.SubmitRunResponse submitRun(dev.flowspan.v1.SubmitRunRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getSubmitRunMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Events after a cursor, oldest first, without gap or repetition; ends after the terminal event. An event is durable
     * before it is seen. A slow reader delays nobody.
     * </pre>
     */
    public java.util.Iterator<dev.flowspan.v1.WatchRunResponse> watchRun(
        dev.flowspan.v1.WatchRunRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getWatchRunMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * SubmitRun and WatchRun in one round trip.
     * </pre>
     */
    public java.util.Iterator<dev.flowspan.v1.SubmitAndWatchRunResponse> submitAndWatchRun(
        dev.flowspan.v1.SubmitAndWatchRunRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getSubmitAndWatchRunMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * The state of a run, with results if asked for.
     * </pre>
     */
    public dev.flowspan.v1.GetRunResponse getRun(dev.flowspan.v1.GetRunRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetRunMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Runs, newest first.
     * </pre>
     */
    public dev.flowspan.v1.ListRunsResponse listRuns(dev.flowspan.v1.ListRunsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListRunsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Item results of a run, in pages.
     * </pre>
     */
    public dev.flowspan.v1.ListRunItemsResponse listRunItems(dev.flowspan.v1.ListRunItemsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListRunItemsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Cancels a run and its sub-runs. When it answers, the intention is durable and no item starts after it.
     * </pre>
     */
    public dev.flowspan.v1.CancelRunResponse cancelRun(dev.flowspan.v1.CancelRunRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getCancelRunMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Runs the failed (or the named) items of a finished run again, as a new run that is linked to it.
     * </pre>
     */
    public dev.flowspan.v1.RetryRunResponse retryRun(dev.flowspan.v1.RetryRunRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getRetryRunMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Deletes a finished run with its log and its sub-runs. Its watchers end with NOT_FOUND.
     * </pre>
     */
    public dev.flowspan.v1.DeleteRunResponse deleteRun(dev.flowspan.v1.DeleteRunRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDeleteRunMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service RunService.
   * <pre>
   * Runs: one flow over many items.
   * A failed run is data in a healthy answer; an error status means that the call failed. A stream's life is not the run's
   * life: no run ends because a watcher left. Errors carry google.rpc.ErrorInfo with the domain "flowspan".
   * </pre>
   */
  public static final class RunServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<RunServiceFutureStub> {
    private RunServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected RunServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new RunServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Accepts a run. When it answers, the run, all its inputs and its first claims are durable.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.flowspan.v1.SubmitRunResponse> submitRun(
        dev.flowspan.v1.SubmitRunRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getSubmitRunMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * The state of a run, with results if asked for.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.flowspan.v1.GetRunResponse> getRun(
        dev.flowspan.v1.GetRunRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetRunMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Runs, newest first.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.flowspan.v1.ListRunsResponse> listRuns(
        dev.flowspan.v1.ListRunsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListRunsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Item results of a run, in pages.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.flowspan.v1.ListRunItemsResponse> listRunItems(
        dev.flowspan.v1.ListRunItemsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListRunItemsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Cancels a run and its sub-runs. When it answers, the intention is durable and no item starts after it.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.flowspan.v1.CancelRunResponse> cancelRun(
        dev.flowspan.v1.CancelRunRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getCancelRunMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Runs the failed (or the named) items of a finished run again, as a new run that is linked to it.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.flowspan.v1.RetryRunResponse> retryRun(
        dev.flowspan.v1.RetryRunRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getRetryRunMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Deletes a finished run with its log and its sub-runs. Its watchers end with NOT_FOUND.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.flowspan.v1.DeleteRunResponse> deleteRun(
        dev.flowspan.v1.DeleteRunRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDeleteRunMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_SUBMIT_RUN = 0;
  private static final int METHODID_WATCH_RUN = 1;
  private static final int METHODID_SUBMIT_AND_WATCH_RUN = 2;
  private static final int METHODID_GET_RUN = 3;
  private static final int METHODID_LIST_RUNS = 4;
  private static final int METHODID_LIST_RUN_ITEMS = 5;
  private static final int METHODID_CANCEL_RUN = 6;
  private static final int METHODID_RETRY_RUN = 7;
  private static final int METHODID_DELETE_RUN = 8;
  private static final int METHODID_SUBMIT_RUN_STREAM = 9;

  private static final class MethodHandlers<Req, Resp> implements
      io.grpc.stub.ServerCalls.UnaryMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ServerStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ClientStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.BidiStreamingMethod<Req, Resp> {
    private final AsyncService serviceImpl;
    private final int methodId;

    MethodHandlers(AsyncService serviceImpl, int methodId) {
      this.serviceImpl = serviceImpl;
      this.methodId = methodId;
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public void invoke(Req request, io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_SUBMIT_RUN:
          serviceImpl.submitRun((dev.flowspan.v1.SubmitRunRequest) request,
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.SubmitRunResponse>) responseObserver);
          break;
        case METHODID_WATCH_RUN:
          serviceImpl.watchRun((dev.flowspan.v1.WatchRunRequest) request,
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.WatchRunResponse>) responseObserver);
          break;
        case METHODID_SUBMIT_AND_WATCH_RUN:
          serviceImpl.submitAndWatchRun((dev.flowspan.v1.SubmitAndWatchRunRequest) request,
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.SubmitAndWatchRunResponse>) responseObserver);
          break;
        case METHODID_GET_RUN:
          serviceImpl.getRun((dev.flowspan.v1.GetRunRequest) request,
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.GetRunResponse>) responseObserver);
          break;
        case METHODID_LIST_RUNS:
          serviceImpl.listRuns((dev.flowspan.v1.ListRunsRequest) request,
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.ListRunsResponse>) responseObserver);
          break;
        case METHODID_LIST_RUN_ITEMS:
          serviceImpl.listRunItems((dev.flowspan.v1.ListRunItemsRequest) request,
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.ListRunItemsResponse>) responseObserver);
          break;
        case METHODID_CANCEL_RUN:
          serviceImpl.cancelRun((dev.flowspan.v1.CancelRunRequest) request,
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.CancelRunResponse>) responseObserver);
          break;
        case METHODID_RETRY_RUN:
          serviceImpl.retryRun((dev.flowspan.v1.RetryRunRequest) request,
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.RetryRunResponse>) responseObserver);
          break;
        case METHODID_DELETE_RUN:
          serviceImpl.deleteRun((dev.flowspan.v1.DeleteRunRequest) request,
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.DeleteRunResponse>) responseObserver);
          break;
        default:
          throw new AssertionError();
      }
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public io.grpc.stub.StreamObserver<Req> invoke(
        io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_SUBMIT_RUN_STREAM:
          return (io.grpc.stub.StreamObserver<Req>) serviceImpl.submitRunStream(
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.SubmitRunStreamResponse>) responseObserver);
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getSubmitRunMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.flowspan.v1.SubmitRunRequest,
              dev.flowspan.v1.SubmitRunResponse>(
                service, METHODID_SUBMIT_RUN)))
        .addMethod(
          getSubmitRunStreamMethod(),
          io.grpc.stub.ServerCalls.asyncClientStreamingCall(
            new MethodHandlers<
              dev.flowspan.v1.SubmitRunStreamRequest,
              dev.flowspan.v1.SubmitRunStreamResponse>(
                service, METHODID_SUBMIT_RUN_STREAM)))
        .addMethod(
          getWatchRunMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              dev.flowspan.v1.WatchRunRequest,
              dev.flowspan.v1.WatchRunResponse>(
                service, METHODID_WATCH_RUN)))
        .addMethod(
          getSubmitAndWatchRunMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              dev.flowspan.v1.SubmitAndWatchRunRequest,
              dev.flowspan.v1.SubmitAndWatchRunResponse>(
                service, METHODID_SUBMIT_AND_WATCH_RUN)))
        .addMethod(
          getGetRunMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.flowspan.v1.GetRunRequest,
              dev.flowspan.v1.GetRunResponse>(
                service, METHODID_GET_RUN)))
        .addMethod(
          getListRunsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.flowspan.v1.ListRunsRequest,
              dev.flowspan.v1.ListRunsResponse>(
                service, METHODID_LIST_RUNS)))
        .addMethod(
          getListRunItemsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.flowspan.v1.ListRunItemsRequest,
              dev.flowspan.v1.ListRunItemsResponse>(
                service, METHODID_LIST_RUN_ITEMS)))
        .addMethod(
          getCancelRunMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.flowspan.v1.CancelRunRequest,
              dev.flowspan.v1.CancelRunResponse>(
                service, METHODID_CANCEL_RUN)))
        .addMethod(
          getRetryRunMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.flowspan.v1.RetryRunRequest,
              dev.flowspan.v1.RetryRunResponse>(
                service, METHODID_RETRY_RUN)))
        .addMethod(
          getDeleteRunMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.flowspan.v1.DeleteRunRequest,
              dev.flowspan.v1.DeleteRunResponse>(
                service, METHODID_DELETE_RUN)))
        .build();
  }

  private static abstract class RunServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    RunServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.flowspan.v1.RunServiceOuterClass.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("RunService");
    }
  }

  private static final class RunServiceFileDescriptorSupplier
      extends RunServiceBaseDescriptorSupplier {
    RunServiceFileDescriptorSupplier() {}
  }

  private static final class RunServiceMethodDescriptorSupplier
      extends RunServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    RunServiceMethodDescriptorSupplier(java.lang.String methodName) {
      this.methodName = methodName;
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.MethodDescriptor getMethodDescriptor() {
      return getServiceDescriptor().findMethodByName(methodName);
    }
  }

  private static volatile io.grpc.ServiceDescriptor serviceDescriptor;

  public static io.grpc.ServiceDescriptor getServiceDescriptor() {
    io.grpc.ServiceDescriptor result = serviceDescriptor;
    if (result == null) {
      synchronized (RunServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new RunServiceFileDescriptorSupplier())
              .addMethod(getSubmitRunMethod())
              .addMethod(getSubmitRunStreamMethod())
              .addMethod(getWatchRunMethod())
              .addMethod(getSubmitAndWatchRunMethod())
              .addMethod(getGetRunMethod())
              .addMethod(getListRunsMethod())
              .addMethod(getListRunItemsMethod())
              .addMethod(getCancelRunMethod())
              .addMethod(getRetryRunMethod())
              .addMethod(getDeleteRunMethod())
              .build();
        }
      }
    }
    return result;
  }
}
