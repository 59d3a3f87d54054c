package dev.flowspan.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Flows: JSON documents, stored as content-addressed blobs.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class FlowServiceGrpc {

  private FlowServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "flowspan.v1.FlowService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.StoreFlowRequest,
      dev.flowspan.v1.StoreFlowResponse> getStoreFlowMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "StoreFlow",
      requestType = dev.flowspan.v1.StoreFlowRequest.class,
      responseType = dev.flowspan.v1.StoreFlowResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.StoreFlowRequest,
      dev.flowspan.v1.StoreFlowResponse> getStoreFlowMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.StoreFlowRequest, dev.flowspan.v1.StoreFlowResponse> getStoreFlowMethod;
    if ((getStoreFlowMethod = FlowServiceGrpc.getStoreFlowMethod) == null) {
      synchronized (FlowServiceGrpc.class) {
        if ((getStoreFlowMethod = FlowServiceGrpc.getStoreFlowMethod) == null) {
          FlowServiceGrpc.getStoreFlowMethod = getStoreFlowMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.StoreFlowRequest, dev.flowspan.v1.StoreFlowResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "StoreFlow"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.StoreFlowRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.StoreFlowResponse.getDefaultInstance()))
              .setSchemaDescriptor(new FlowServiceMethodDescriptorSupplier("StoreFlow"))
              .build();
        }
      }
    }
    return getStoreFlowMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.GetFlowRequest,
      dev.flowspan.v1.GetFlowResponse> getGetFlowMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetFlow",
      requestType = dev.flowspan.v1.GetFlowRequest.class,
      responseType = dev.flowspan.v1.GetFlowResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.GetFlowRequest,
      dev.flowspan.v1.GetFlowResponse> getGetFlowMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.GetFlowRequest, dev.flowspan.v1.GetFlowResponse> getGetFlowMethod;
    if ((getGetFlowMethod = FlowServiceGrpc.getGetFlowMethod) == null) {
      synchronized (FlowServiceGrpc.class) {
        if ((getGetFlowMethod = FlowServiceGrpc.getGetFlowMethod) == null) {
          FlowServiceGrpc.getGetFlowMethod = getGetFlowMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.GetFlowRequest, dev.flowspan.v1.GetFlowResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetFlow"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.GetFlowRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.GetFlowResponse.getDefaultInstance()))
              .setSchemaDescriptor(new FlowServiceMethodDescriptorSupplier("GetFlow"))
              .build();
        }
      }
    }
    return getGetFlowMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.ListFlowsRequest,
      dev.flowspan.v1.ListFlowsResponse> getListFlowsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListFlows",
      requestType = dev.flowspan.v1.ListFlowsRequest.class,
      responseType = dev.flowspan.v1.ListFlowsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.ListFlowsRequest,
      dev.flowspan.v1.ListFlowsResponse> getListFlowsMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.ListFlowsRequest, dev.flowspan.v1.ListFlowsResponse> getListFlowsMethod;
    if ((getListFlowsMethod = FlowServiceGrpc.getListFlowsMethod) == null) {
      synchronized (FlowServiceGrpc.class) {
        if ((getListFlowsMethod = FlowServiceGrpc.getListFlowsMethod) == null) {
          FlowServiceGrpc.getListFlowsMethod = getListFlowsMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.ListFlowsRequest, dev.flowspan.v1.ListFlowsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListFlows"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.ListFlowsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.ListFlowsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new FlowServiceMethodDescriptorSupplier("ListFlows"))
              .build();
        }
      }
    }
    return getListFlowsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.GetFlowVariablesRequest,
      dev.flowspan.v1.GetFlowVariablesResponse> getGetFlowVariablesMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetFlowVariables",
      requestType = dev.flowspan.v1.GetFlowVariablesRequest.class,
      responseType = dev.flowspan.v1.GetFlowVariablesResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.GetFlowVariablesRequest,
      dev.flowspan.v1.GetFlowVariablesResponse> getGetFlowVariablesMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.GetFlowVariablesRequest, dev.flowspan.v1.GetFlowVariablesResponse> getGetFlowVariablesMethod;
    if ((getGetFlowVariablesMethod = FlowServiceGrpc.getGetFlowVariablesMethod) == null) {
      synchronized (FlowServiceGrpc.class) {
        if ((getGetFlowVariablesMethod = FlowServiceGrpc.getGetFlowVariablesMethod) == null) {
          FlowServiceGrpc.getGetFlowVariablesMethod = getGetFlowVariablesMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.GetFlowVariablesRequest, dev.flowspan.v1.GetFlowVariablesResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetFlowVariables"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.GetFlowVariablesRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.GetFlowVariablesResponse.getDefaultInstance()))
              .setSchemaDescriptor(new FlowServiceMethodDescriptorSupplier("GetFlowVariables"))
              .build();
        }
      }
    }
    return getGetFlowVariablesMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.DeleteFlowRequest,
      dev.flowspan.v1.DeleteFlowResponse> getDeleteFlowMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DeleteFlow",
      requestType = dev.flowspan.v1.DeleteFlowRequest.class,
      responseType = dev.flowspan.v1.DeleteFlowResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.DeleteFlowRequest,
      dev.flowspan.v1.DeleteFlowResponse> getDeleteFlowMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.DeleteFlowRequest, dev.flowspan.v1.DeleteFlowResponse> getDeleteFlowMethod;
    if ((getDeleteFlowMethod = FlowServiceGrpc.getDeleteFlowMethod) == null) {
      synchronized (FlowServiceGrpc.class) {
        if ((getDeleteFlowMethod = FlowServiceGrpc.getDeleteFlowMethod) == null) {
          FlowServiceGrpc.getDeleteFlowMethod = getDeleteFlowMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.DeleteFlowRequest, dev.flowspan.v1.DeleteFlowResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DeleteFlow"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.DeleteFlowRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.DeleteFlowResponse.getDefaultInstance()))
              .setSchemaDescriptor(new FlowServiceMethodDescriptorSupplier("DeleteFlow"))
              .build();
        }
      }
    }
    return getDeleteFlowMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static FlowServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<FlowServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<FlowServiceStub>() {
        @java.lang.Override
        public FlowServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new FlowServiceStub(channel, callOptions);
        }
      };
    return FlowServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static FlowServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<FlowServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<FlowServiceBlockingV2Stub>() {
        @java.lang.Override
        public FlowServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new FlowServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return FlowServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static FlowServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<FlowServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<FlowServiceBlockingStub>() {
        @java.lang.Override
        public FlowServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new FlowServiceBlockingStub(channel, callOptions);
        }
      };
    return FlowServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static FlowServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<FlowServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<FlowServiceFutureStub>() {
        @java.lang.Override
        public FlowServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new FlowServiceFutureStub(channel, callOptions);
        }
      };
    return FlowServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Flows: JSON documents, stored as content-addressed blobs.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Validates a flow and stores it. Storing the same flow again yields the same id.
     * </pre>
     */
    default void storeFlow(dev.flowspan.v1.StoreFlowRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.StoreFlowResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getStoreFlowMethod(), responseObserver);
    }

    /**
     * <pre>
     * A stored flow.
     * </pre>
     */
    default void getFlow(dev.flowspan.v1.GetFlowRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.GetFlowResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetFlowMethod(), responseObserver);
    }

    /**
     * <pre>
     * Stored flows, newest first.
     * </pre>
     */
    default void listFlows(dev.flowspan.v1.ListFlowsRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.ListFlowsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListFlowsMethod(), responseObserver);
    }

    /**
     * <pre>
     * The variables that a flow declares.
     * </pre>
     */
    default void getFlowVariables(dev.flowspan.v1.GetFlowVariablesRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.GetFlowVariablesResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetFlowVariablesMethod(), responseObserver);
    }

    /**
     * <pre>
     * Deletes a flow that no run refers to.
     * </pre>
     */
    default void deleteFlow(dev.flowspan.v1.DeleteFlowRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.DeleteFlowResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDeleteFlowMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service FlowService.
   * <pre>
   * Flows: JSON documents, stored as content-addressed blobs.
   * </pre>
   */
  public static abstract class FlowServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return FlowServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service FlowService.
   * <pre>
   * Flows: JSON documents, stored as content-addressed blobs.
   * </pre>
   */
  public static final class FlowServiceStub
      extends io.grpc.stub.AbstractAsyncStub<FlowServiceStub> {
    private FlowServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected FlowServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new FlowServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Validates a flow and stores it. Storing the same flow again yields the same id.
     * </pre>
     */
    public void storeFlow(dev.flowspan.v1.StoreFlowRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.StoreFlowResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getStoreFlowMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * A stored flow.
     * </pre>
     */
    public void getFlow(dev.flowspan.v1.GetFlowRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.GetFlowResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetFlowMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Stored flows, newest first.
     * </pre>
     */
    public void listFlows(dev.flowspan.v1.ListFlowsRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.ListFlowsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListFlowsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * The variables that a flow declares.
     * </pre>
     */
    public void getFlowVariables(dev.flowspan.v1.GetFlowVariablesRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.GetFlowVariablesResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetFlowVariablesMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Deletes a flow that no run refers to.
     * </pre>
     */
    public void deleteFlow(dev.flowspan.v1.DeleteFlowRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.DeleteFlowResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDeleteFlowMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service FlowService.
   * <pre>
   * Flows: JSON documents, stored as content-addressed blobs.
   * </pre>
   */
  public static final class FlowServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<FlowServiceBlockingV2Stub> {
    private FlowServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected FlowServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new FlowServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Validates a flow and stores it. Storing the same flow again yields the same id.
     * </pre>
     */
    public dev.flowspan.v1.StoreFlowResponse storeFlow(dev.flowspan.v1.StoreFlowRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getStoreFlowMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * A stored flow.
     * </pre>
     */
    public dev.flowspan.v1.GetFlowResponse getFlow(dev.flowspan.v1.GetFlowRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetFlowMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Stored flows, newest first.
     * </pre>
     */
    public dev.flowspan.v1.ListFlowsResponse listFlows(dev.flowspan.v1.ListFlowsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListFlowsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * The variables that a flow declares.
     * </pre>
     */
    public dev.flowspan.v1.GetFlowVariablesResponse getFlowVariables(dev.flowspan.v1.GetFlowVariablesRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetFlowVariablesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Deletes a flow that no run refers to.
     * </pre>
     */
    public dev.flowspan.v1.DeleteFlowResponse deleteFlow(dev.flowspan.v1.DeleteFlowRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDeleteFlowMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service FlowService.
   * <pre>
   * Flows: JSON documents, stored as content-addressed blobs.
   * </pre>
   */
  public static final class FlowServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<FlowServiceBlockingStub> {
    private FlowServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected FlowServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new FlowServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Validates a flow and stores it. Storing the same flow again yields the same id.
     * </pre>
     */
    public dev.flowspan.v1.StoreFlowResponse storeFlow(dev.flowspan.v1.StoreFlowRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getStoreFlowMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * A stored flow.
     * </pre>
     */
    public dev.flowspan.v1.GetFlowResponse getFlow(dev.flowspan.v1.GetFlowRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetFlowMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Stored flows, newest first.
     * </pre>
     */
    public dev.flowspan.v1.ListFlowsResponse listFlows(dev.flowspan.v1.ListFlowsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListFlowsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * The variables that a flow declares.
     * </pre>
     */
    public dev.flowspan.v1.GetFlowVariablesResponse getFlowVariables(dev.flowspan.v1.GetFlowVariablesRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetFlowVariablesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Deletes a flow that no run refers to.
     * </pre>
     */
    public dev.flowspan.v1.DeleteFlowResponse deleteFlow(dev.flowspan.v1.DeleteFlowRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDeleteFlowMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service FlowService.
   * <pre>
   * Flows: JSON documents, stored as content-addressed blobs.
   * </pre>
   */
  public static final class FlowServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<FlowServiceFutureStub> {
    private FlowServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected FlowServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new FlowServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Validates a flow and stores it. Storing the same flow again yields the same id.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.flowspan.v1.StoreFlowResponse> storeFlow(
        dev.flowspan.v1.StoreFlowRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getStoreFlowMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * A stored flow.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.flowspan.v1.GetFlowResponse> getFlow(
        dev.flowspan.v1.GetFlowRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetFlowMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Stored flows, newest first.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.flowspan.v1.ListFlowsResponse> listFlows(
        dev.flowspan.v1.ListFlowsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListFlowsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * The variables that a flow declares.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.flowspan.v1.GetFlowVariablesResponse> getFlowVariables(
        dev.flowspan.v1.GetFlowVariablesRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetFlowVariablesMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Deletes a flow that no run refers to.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.flowspan.v1.DeleteFlowResponse> deleteFlow(
        dev.flowspan.v1.DeleteFlowRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDeleteFlowMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_STORE_FLOW = 0;
  private static final int METHODID_GET_FLOW = 1;
  private static final int METHODID_LIST_FLOWS = 2;
  private static final int METHODID_GET_FLOW_VARIABLES = 3;
  private static final int METHODID_DELETE_FLOW = 4;

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
        case METHODID_STORE_FLOW:
          serviceImpl.storeFlow((dev.flowspan.v1.StoreFlowRequest) request,
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.StoreFlowResponse>) responseObserver);
          break;
        case METHODID_GET_FLOW:
          serviceImpl.getFlow((dev.flowspan.v1.GetFlowRequest) request,
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.GetFlowResponse>) responseObserver);
          break;
        case METHODID_LIST_FLOWS:
          serviceImpl.listFlows((dev.flowspan.v1.ListFlowsRequest) request,
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.ListFlowsResponse>) responseObserver);
          break;
        case METHODID_GET_FLOW_VARIABLES:
          serviceImpl.getFlowVariables((dev.flowspan.v1.GetFlowVariablesRequest) request,
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.GetFlowVariablesResponse>) responseObserver);
          break;
        case METHODID_DELETE_FLOW:
          serviceImpl.deleteFlow((dev.flowspan.v1.DeleteFlowRequest) request,
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.DeleteFlowResponse>) responseObserver);
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
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getStoreFlowMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.flowspan.v1.StoreFlowRequest,
              dev.flowspan.v1.StoreFlowResponse>(
                service, METHODID_STORE_FLOW)))
        .addMethod(
          getGetFlowMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.flowspan.v1.GetFlowRequest,
              dev.flowspan.v1.GetFlowResponse>(
                service, METHODID_GET_FLOW)))
        .addMethod(
          getListFlowsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.flowspan.v1.ListFlowsRequest,
              dev.flowspan.v1.ListFlowsResponse>(
                service, METHODID_LIST_FLOWS)))
        .addMethod(
          getGetFlowVariablesMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.flowspan.v1.GetFlowVariablesRequest,
              dev.flowspan.v1.GetFlowVariablesResponse>(
                service, METHODID_GET_FLOW_VARIABLES)))
        .addMethod(
          getDeleteFlowMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.flowspan.v1.DeleteFlowRequest,
              dev.flowspan.v1.DeleteFlowResponse>(
                service, METHODID_DELETE_FLOW)))
        .build();
  }

  private static abstract class FlowServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    FlowServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.flowspan.v1.FlowServiceOuterClass.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("FlowService");
    }
  }

  private static final class FlowServiceFileDescriptorSupplier
      extends FlowServiceBaseDescriptorSupplier {
    FlowServiceFileDescriptorSupplier() {}
  }

  private static final class FlowServiceMethodDescriptorSupplier
      extends FlowServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    FlowServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (FlowServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new FlowServiceFileDescriptorSupplier())
              .addMethod(getStoreFlowMethod())
              .addMethod(getGetFlowMethod())
              .addMethod(getListFlowsMethod())
              .addMethod(getGetFlowVariablesMethod())
              .addMethod(getDeleteFlowMethod())
              .build();
        }
      }
    }
    return result;
  }
}
