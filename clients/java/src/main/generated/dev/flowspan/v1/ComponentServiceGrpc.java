package dev.flowspan.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Components and the servers that offer them.
 * Component servers that speak gRPC themselves open a stream of WorkerService, which is a service of its own: nothing
 * here is called by them.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class ComponentServiceGrpc {

  private ComponentServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "flowspan.v1.ComponentService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.ListComponentsRequest,
      dev.flowspan.v1.ListComponentsResponse> getListComponentsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListComponents",
      requestType = dev.flowspan.v1.ListComponentsRequest.class,
      responseType = dev.flowspan.v1.ListComponentsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.ListComponentsRequest,
      dev.flowspan.v1.ListComponentsResponse> getListComponentsMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.ListComponentsRequest, dev.flowspan.v1.ListComponentsResponse> getListComponentsMethod;
    if ((getListComponentsMethod = ComponentServiceGrpc.getListComponentsMethod) == null) {
      synchronized (ComponentServiceGrpc.class) {
        if ((getListComponentsMethod = ComponentServiceGrpc.getListComponentsMethod) == null) {
          ComponentServiceGrpc.getListComponentsMethod = getListComponentsMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.ListComponentsRequest, dev.flowspan.v1.ListComponentsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListComponents"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.ListComponentsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.ListComponentsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ComponentServiceMethodDescriptorSupplier("ListComponents"))
              .build();
        }
      }
    }
    return getListComponentsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.GetComponentRequest,
      dev.flowspan.v1.GetComponentResponse> getGetComponentMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetComponent",
      requestType = dev.flowspan.v1.GetComponentRequest.class,
      responseType = dev.flowspan.v1.GetComponentResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.GetComponentRequest,
      dev.flowspan.v1.GetComponentResponse> getGetComponentMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.GetComponentRequest, dev.flowspan.v1.GetComponentResponse> getGetComponentMethod;
    if ((getGetComponentMethod = ComponentServiceGrpc.getGetComponentMethod) == null) {
      synchronized (ComponentServiceGrpc.class) {
        if ((getGetComponentMethod = ComponentServiceGrpc.getGetComponentMethod) == null) {
          ComponentServiceGrpc.getGetComponentMethod = getGetComponentMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.GetComponentRequest, dev.flowspan.v1.GetComponentResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetComponent"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.GetComponentRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.GetComponentResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ComponentServiceMethodDescriptorSupplier("GetComponent"))
              .build();
        }
      }
    }
    return getGetComponentMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static ComponentServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ComponentServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ComponentServiceStub>() {
        @java.lang.Override
        public ComponentServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ComponentServiceStub(channel, callOptions);
        }
      };
    return ComponentServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static ComponentServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ComponentServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ComponentServiceBlockingV2Stub>() {
        @java.lang.Override
        public ComponentServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ComponentServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return ComponentServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static ComponentServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ComponentServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ComponentServiceBlockingStub>() {
        @java.lang.Override
        public ComponentServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ComponentServiceBlockingStub(channel, callOptions);
        }
      };
    return ComponentServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static ComponentServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ComponentServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ComponentServiceFutureStub>() {
        @java.lang.Override
        public ComponentServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ComponentServiceFutureStub(channel, callOptions);
        }
      };
    return ComponentServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Components and the servers that offer them.
   * Component servers that speak gRPC themselves open a stream of WorkerService, which is a service of its own: nothing
   * here is called by them.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * All components that the configured routes reach.
     * </pre>
     */
    default void listComponents(dev.flowspan.v1.ListComponentsRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.ListComponentsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListComponentsMethod(), responseObserver);
    }

    /**
     * <pre>
     * One component.
     * </pre>
     */
    default void getComponent(dev.flowspan.v1.GetComponentRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.GetComponentResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetComponentMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service ComponentService.
   * <pre>
   * Components and the servers that offer them.
   * Component servers that speak gRPC themselves open a stream of WorkerService, which is a service of its own: nothing
   * here is called by them.
   * </pre>
   */
  public static abstract class ComponentServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return ComponentServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service ComponentService.
   * <pre>
   * Components and the servers that offer them.
   * Component servers that speak gRPC themselves open a stream of WorkerService, which is a service of its own: nothing
   * here is called by them.
   * </pre>
   */
  public static final class ComponentServiceStub
      extends io.grpc.stub.AbstractAsyncStub<ComponentServiceStub> {
    private ComponentServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ComponentServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ComponentServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * All components that the configured routes reach.
     * </pre>
     */
    public void listComponents(dev.flowspan.v1.ListComponentsRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.ListComponentsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListComponentsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * One component.
     * </pre>
     */
    public void getComponent(dev.flowspan.v1.GetComponentRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.GetComponentResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetComponentMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service ComponentService.
   * <pre>
   * Components and the servers that offer them.
   * Component servers that speak gRPC themselves open a stream of WorkerService, which is a service of its own: nothing
   * here is called by them.
   * </pre>
   */
  public static final class ComponentServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<ComponentServiceBlockingV2Stub> {
    private ComponentServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ComponentServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ComponentServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * All components that the configured routes reach.
     * </pre>
     */
    public dev.flowspan.v1.ListComponentsResponse listComponents(dev.flowspan.v1.ListComponentsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListComponentsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * One component.
     * </pre>
     */
    public dev.flowspan.v1.GetComponentResponse getComponent(dev.flowspan.v1.GetComponentRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetComponentMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service ComponentService.
   * <pre>
   * Components and the servers that offer them.
   * Component servers that speak gRPC themselves open a stream of WorkerService, which is a service of its own: nothing
   * here is called by them.
   * </pre>
   */
  public static final class ComponentServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<ComponentServiceBlockingStub> {
    private ComponentServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ComponentServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ComponentServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * All components that the configured routes reach.
     * </pre>
     */
    public dev.flowspan.v1.ListComponentsResponse listComponents(dev.flowspan.v1.ListComponentsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListComponentsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * One component.
     * </pre>
     */
    public dev.flowspan.v1.GetComponentResponse getComponent(dev.flowspan.v1.GetComponentRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetComponentMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service ComponentService.
   * <pre>
   * Components and the servers that offer them.
   * Component servers that speak gRPC themselves open a stream of WorkerService, which is a service of its own: nothing
   * here is called by them.
   * </pre>
   */
  public static final class ComponentServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<ComponentServiceFutureStub> {
    private ComponentServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ComponentServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ComponentServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * All components that the configured routes reach.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.flowspan.v1.ListComponentsResponse> listComponents(
        dev.flowspan.v1.ListComponentsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListComponentsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * One component.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.flowspan.v1.GetComponentResponse> getComponent(
        dev.flowspan.v1.GetComponentRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetComponentMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_LIST_COMPONENTS = 0;
  private static final int METHODID_GET_COMPONENT = 1;

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
        case METHODID_LIST_COMPONENTS:
          serviceImpl.listComponents((dev.flowspan.v1.ListComponentsRequest) request,
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.ListComponentsResponse>) responseObserver);
          break;
        case METHODID_GET_COMPONENT:
          serviceImpl.getComponent((dev.flowspan.v1.GetComponentRequest) request,
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.GetComponentResponse>) responseObserver);
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
          getListComponentsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.flowspan.v1.ListComponentsRequest,
              dev.flowspan.v1.ListComponentsResponse>(
                service, METHODID_LIST_COMPONENTS)))
        .addMethod(
          getGetComponentMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.flowspan.v1.GetComponentRequest,
              dev.flowspan.v1.GetComponentResponse>(
                service, METHODID_GET_COMPONENT)))
        .build();
  }

  private static abstract class ComponentServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    ComponentServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.flowspan.v1.ComponentServiceOuterClass.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("ComponentService");
    }
  }

  private static final class ComponentServiceFileDescriptorSupplier
      extends ComponentServiceBaseDescriptorSupplier {
    ComponentServiceFileDescriptorSupplier() {}
  }

  private static final class ComponentServiceMethodDescriptorSupplier
      extends ComponentServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    ComponentServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (ComponentServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new ComponentServiceFileDescriptorSupplier())
              .addMethod(getListComponentsMethod())
              .addMethod(getGetComponentMethod())
              .build();
        }
      }
    }
    return result;
  }
}
