package dev.flowspan.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Blobs: bytes named by their SHA-256.
 * The id of JSON (types data and flow) is the hash of its canonical form, so key order and white space do not matter;
 * the id of type binary is the hash of the bytes. What is stored and returned are the bytes first put. When a put answers,
 * the bytes are durable. What is read is verified.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class BlobServiceGrpc {

  private BlobServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "flowspan.v1.BlobService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.PutBlobRequest,
      dev.flowspan.v1.PutBlobResponse> getPutBlobMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "PutBlob",
      requestType = dev.flowspan.v1.PutBlobRequest.class,
      responseType = dev.flowspan.v1.PutBlobResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.PutBlobRequest,
      dev.flowspan.v1.PutBlobResponse> getPutBlobMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.PutBlobRequest, dev.flowspan.v1.PutBlobResponse> getPutBlobMethod;
    if ((getPutBlobMethod = BlobServiceGrpc.getPutBlobMethod) == null) {
      synchronized (BlobServiceGrpc.class) {
        if ((getPutBlobMethod = BlobServiceGrpc.getPutBlobMethod) == null) {
          BlobServiceGrpc.getPutBlobMethod = getPutBlobMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.PutBlobRequest, dev.flowspan.v1.PutBlobResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "PutBlob"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.PutBlobRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.PutBlobResponse.getDefaultInstance()))
              .setSchemaDescriptor(new BlobServiceMethodDescriptorSupplier("PutBlob"))
              .build();
        }
      }
    }
    return getPutBlobMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.GetBlobRequest,
      dev.flowspan.v1.GetBlobResponse> getGetBlobMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetBlob",
      requestType = dev.flowspan.v1.GetBlobRequest.class,
      responseType = dev.flowspan.v1.GetBlobResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.GetBlobRequest,
      dev.flowspan.v1.GetBlobResponse> getGetBlobMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.GetBlobRequest, dev.flowspan.v1.GetBlobResponse> getGetBlobMethod;
    if ((getGetBlobMethod = BlobServiceGrpc.getGetBlobMethod) == null) {
      synchronized (BlobServiceGrpc.class) {
        if ((getGetBlobMethod = BlobServiceGrpc.getGetBlobMethod) == null) {
          BlobServiceGrpc.getGetBlobMethod = getGetBlobMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.GetBlobRequest, dev.flowspan.v1.GetBlobResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetBlob"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.GetBlobRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.GetBlobResponse.getDefaultInstance()))
              .setSchemaDescriptor(new BlobServiceMethodDescriptorSupplier("GetBlob"))
              .build();
        }
      }
    }
    return getGetBlobMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.WriteBlobRequest,
      dev.flowspan.v1.WriteBlobResponse> getWriteBlobMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "WriteBlob",
      requestType = dev.flowspan.v1.WriteBlobRequest.class,
      responseType = dev.flowspan.v1.WriteBlobResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.CLIENT_STREAMING)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.WriteBlobRequest,
      dev.flowspan.v1.WriteBlobResponse> getWriteBlobMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.WriteBlobRequest, dev.flowspan.v1.WriteBlobResponse> getWriteBlobMethod;
    if ((getWriteBlobMethod = BlobServiceGrpc.getWriteBlobMethod) == null) {
      synchronized (BlobServiceGrpc.class) {
        if ((getWriteBlobMethod = BlobServiceGrpc.getWriteBlobMethod) == null) {
          BlobServiceGrpc.getWriteBlobMethod = getWriteBlobMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.WriteBlobRequest, dev.flowspan.v1.WriteBlobResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.CLIENT_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "WriteBlob"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.WriteBlobRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.WriteBlobResponse.getDefaultInstance()))
              .setSchemaDescriptor(new BlobServiceMethodDescriptorSupplier("WriteBlob"))
              .build();
        }
      }
    }
    return getWriteBlobMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.flowspan.v1.ReadBlobRequest,
      dev.flowspan.v1.ReadBlobResponse> getReadBlobMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ReadBlob",
      requestType = dev.flowspan.v1.ReadBlobRequest.class,
      responseType = dev.flowspan.v1.ReadBlobResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<dev.flowspan.v1.ReadBlobRequest,
      dev.flowspan.v1.ReadBlobResponse> getReadBlobMethod() {
    io.grpc.MethodDescriptor<dev.flowspan.v1.ReadBlobRequest, dev.flowspan.v1.ReadBlobResponse> getReadBlobMethod;
    if ((getReadBlobMethod = BlobServiceGrpc.getReadBlobMethod) == null) {
      synchronized (BlobServiceGrpc.class) {
        if ((getReadBlobMethod = BlobServiceGrpc.getReadBlobMethod) == null) {
          BlobServiceGrpc.getReadBlobMethod = getReadBlobMethod =
              io.grpc.MethodDescriptor.<dev.flowspan.v1.ReadBlobRequest, dev.flowspan.v1.ReadBlobResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ReadBlob"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.ReadBlobRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.flowspan.v1.ReadBlobResponse.getDefaultInstance()))
              .setSchemaDescriptor(new BlobServiceMethodDescriptorSupplier("ReadBlob"))
              .build();
        }
      }
    }
    return getReadBlobMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static BlobServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<BlobServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<BlobServiceStub>() {
        @java.lang.Override
        public BlobServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new BlobServiceStub(channel, callOptions);
        }
      };
    return BlobServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static BlobServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<BlobServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<BlobServiceBlockingV2Stub>() {
        @java.lang.Override
        public BlobServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new BlobServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return BlobServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static BlobServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<BlobServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<BlobServiceBlockingStub>() {
        @java.lang.Override
        public BlobServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new BlobServiceBlockingStub(channel, callOptions);
        }
      };
    return BlobServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static BlobServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<BlobServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<BlobServiceFutureStub>() {
        @java.lang.Override
        public BlobServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new BlobServiceFutureStub(channel, callOptions);
        }
      };
    return BlobServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Blobs: bytes named by their SHA-256.
   * The id of JSON (types data and flow) is the hash of its canonical form, so key order and white space do not matter;
   * the id of type binary is the hash of the bytes. What is stored and returned are the bytes first put. When a put answers,
   * the bytes are durable. What is read is verified.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Stores a small blob (at most 3.5 MiB).
     * </pre>
     */
    default void putBlob(dev.flowspan.v1.PutBlobRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.PutBlobResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getPutBlobMethod(), responseObserver);
    }

    /**
     * <pre>
     * Reads a small blob; RESOURCE_EXHAUSTED points to ReadBlob for a large one.
     * </pre>
     */
    default void getBlob(dev.flowspan.v1.GetBlobRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.GetBlobResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetBlobMethod(), responseObserver);
    }

    /**
     * <pre>
     * Stores a blob of any size, hashed on the way. The first message holds the header.
     * </pre>
     */
    default io.grpc.stub.StreamObserver<dev.flowspan.v1.WriteBlobRequest> writeBlob(
        io.grpc.stub.StreamObserver<dev.flowspan.v1.WriteBlobResponse> responseObserver) {
      return io.grpc.stub.ServerCalls.asyncUnimplementedStreamingCall(getWriteBlobMethod(), responseObserver);
    }

    /**
     * <pre>
     * Reads a blob of any size. The first message holds the info.
     * </pre>
     */
    default void readBlob(dev.flowspan.v1.ReadBlobRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.ReadBlobResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getReadBlobMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service BlobService.
   * <pre>
   * Blobs: bytes named by their SHA-256.
   * The id of JSON (types data and flow) is the hash of its canonical form, so key order and white space do not matter;
   * the id of type binary is the hash of the bytes. What is stored and returned are the bytes first put. When a put answers,
   * the bytes are durable. What is read is verified.
   * </pre>
   */
  public static abstract class BlobServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return BlobServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service BlobService.
   * <pre>
   * Blobs: bytes named by their SHA-256.
   * The id of JSON (types data and flow) is the hash of its canonical form, so key order and white space do not matter;
   * the id of type binary is the hash of the bytes. What is stored and returned are the bytes first put. When a put answers,
   * the bytes are durable. What is read is verified.
   * </pre>
   */
  public static final class BlobServiceStub
      extends io.grpc.stub.AbstractAsyncStub<BlobServiceStub> {
    private BlobServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected BlobServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new BlobServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Stores a small blob (at most 3.5 MiB).
     * </pre>
     */
    public void putBlob(dev.flowspan.v1.PutBlobRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.PutBlobResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getPutBlobMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Reads a small blob; RESOURCE_EXHAUSTED points to ReadBlob for a large one.
     * </pre>
     */
    public void getBlob(dev.flowspan.v1.GetBlobRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.GetBlobResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetBlobMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Stores a blob of any size, hashed on the way. The first message holds the header.
     * </pre>
     */
    public io.grpc.stub.StreamObserver<dev.flowspan.v1.WriteBlobRequest> writeBlob(
        io.grpc.stub.StreamObserver<dev.flowspan.v1.WriteBlobResponse> responseObserver) {
      return io.grpc.stub.ClientCalls.asyncClientStreamingCall(
          getChannel().newCall(getWriteBlobMethod(), getCallOptions()), responseObserver);
    }

    /**
     * <pre>
     * Reads a blob of any size. The first message holds the info.
     * </pre>
     */
    public void readBlob(dev.flowspan.v1.ReadBlobRequest request,
        io.grpc.stub.StreamObserver<dev.flowspan.v1.ReadBlobResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getReadBlobMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service BlobService.
   * <pre>
   * Blobs: bytes named by their SHA-256.
   * The id of JSON (types data and flow) is the hash of its canonical form, so key order and white space do not matter;
   * the id of type binary is the hash of the bytes. What is stored and returned are the bytes first put. When a put answers,
   * the bytes are durable. What is read is verified.
   * </pre>
   */
  public static final class BlobServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<BlobServiceBlockingV2Stub> {
    private BlobServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected BlobServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new BlobServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Stores a small blob (at most 3.5 MiB).
     * </pre>
     */
    public dev.flowspan.v1.PutBlobResponse putBlob(dev.flowspan.v1.PutBlobRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getPutBlobMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Reads a small blob; RESOURCE_EXHAUSTED points to ReadBlob for a large one.
     * </pre>
     */
    public dev.flowspan.v1.GetBlobResponse getBlob(dev.flowspan.v1.GetBlobRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetBlobMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Stores a blob of any size, hashed on the way. The first message holds the header.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<dev.flowspan.v1.WriteBlobRequest, dev.flowspan.v1.WriteBlobResponse>
        writeBlob() {
      return io.grpc.stub.ClientCalls.blockingClientStreamingCall(
          getChannel(), getWriteBlobMethod(), getCallOptions());
    }

    /**
     * <pre>
     * Reads a blob of any size. The first message holds the info.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, dev.flowspan.v1.ReadBlobResponse>
        readBlob(dev.flowspan.v1.ReadBlobRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getReadBlobMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service BlobService.
   * <pre>
   * Blobs: bytes named by their SHA-256.
   * The id of JSON (types data and flow) is the hash of its canonical form, so key order and white space do not matter;
   * the id of type binary is the hash of the bytes. What is stored and returned are the bytes first put. When a put answers,
   * the bytes are durable. What is read is verified.
   * </pre>
   */
  public static final class BlobServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<BlobServiceBlockingStub> {
    private BlobServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected BlobServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new BlobServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Stores a small blob (at most 3.5 MiB).
     * </pre>
     */
    public dev.flowspan.v1.PutBlobResponse putBlob(dev.flowspan.v1.PutBlobRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getPutBlobMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Reads a small blob; RESOURCE_EXHAUSTED points to ReadBlob for a large one.
     * </pre>
     */
    public dev.flowspan.v1.GetBlobResponse getBlob(dev.flowspan.v1.GetBlobRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetBlobMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Reads a blob of any size. The first message holds the info.
     * </pre>
     */
    public java.util.Iterator<dev.flowspan.v1.ReadBlobResponse> readBlob(
        dev.flowspan.v1.ReadBlobRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getReadBlobMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service BlobService.
   * <pre>
   * Blobs: bytes named by their SHA-256.
   * The id of JSON (types data and flow) is the hash of its canonical form, so key order and white space do not matter;
   * the id of type binary is the hash of the bytes. What is stored and returned are the bytes first put. When a put answers,
   * the bytes are durable. What is read is verified.
   * </pre>
   */
  public static final class BlobServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<BlobServiceFutureStub> {
    private BlobServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected BlobServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new BlobServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Stores a small blob (at most 3.5 MiB).
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.flowspan.v1.PutBlobResponse> putBlob(
        dev.flowspan.v1.PutBlobRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getPutBlobMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Reads a small blob; RESOURCE_EXHAUSTED points to ReadBlob for a large one.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.flowspan.v1.GetBlobResponse> getBlob(
        dev.flowspan.v1.GetBlobRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetBlobMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_PUT_BLOB = 0;
  private static final int METHODID_GET_BLOB = 1;
  private static final int METHODID_READ_BLOB = 2;
  private static final int METHODID_WRITE_BLOB = 3;

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
        case METHODID_PUT_BLOB:
          serviceImpl.putBlob((dev.flowspan.v1.PutBlobRequest) request,
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.PutBlobResponse>) responseObserver);
          break;
        case METHODID_GET_BLOB:
          serviceImpl.getBlob((dev.flowspan.v1.GetBlobRequest) request,
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.GetBlobResponse>) responseObserver);
          break;
        case METHODID_READ_BLOB:
          serviceImpl.readBlob((dev.flowspan.v1.ReadBlobRequest) request,
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.ReadBlobResponse>) responseObserver);
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
        case METHODID_WRITE_BLOB:
          return (io.grpc.stub.StreamObserver<Req>) serviceImpl.writeBlob(
              (io.grpc.stub.StreamObserver<dev.flowspan.v1.WriteBlobResponse>) responseObserver);
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getPutBlobMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.flowspan.v1.PutBlobRequest,
              dev.flowspan.v1.PutBlobResponse>(
                service, METHODID_PUT_BLOB)))
        .addMethod(
          getGetBlobMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.flowspan.v1.GetBlobRequest,
              dev.flowspan.v1.GetBlobResponse>(
                service, METHODID_GET_BLOB)))
        .addMethod(
          getWriteBlobMethod(),
          io.grpc.stub.ServerCalls.asyncClientStreamingCall(
            new MethodHandlers<
              dev.flowspan.v1.WriteBlobRequest,
              dev.flowspan.v1.WriteBlobResponse>(
                service, METHODID_WRITE_BLOB)))
        .addMethod(
          getReadBlobMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              dev.flowspan.v1.ReadBlobRequest,
              dev.flowspan.v1.ReadBlobResponse>(
                service, METHODID_READ_BLOB)))
        .build();
  }

  private static abstract class BlobServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    BlobServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.flowspan.v1.BlobServiceOuterClass.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("BlobService");
    }
  }

  private static final class BlobServiceFileDescriptorSupplier
      extends BlobServiceBaseDescriptorSupplier {
    BlobServiceFileDescriptorSupplier() {}
  }

  private static final class BlobServiceMethodDescriptorSupplier
      extends BlobServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    BlobServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (BlobServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new BlobServiceFileDescriptorSupplier())
              .addMethod(getPutBlobMethod())
              .addMethod(getGetBlobMethod())
              .addMethod(getWriteBlobMethod())
              .addMethod(getReadBlobMethod())
              .build();
        }
      }
    }
    return result;
  }
}
