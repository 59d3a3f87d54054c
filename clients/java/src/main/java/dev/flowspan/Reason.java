package dev.flowspan;

import io.grpc.Status;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.Map;

/** Why a call failed: the stable, machine-readable name, the same on every wire. */
public enum Reason {
  /** The bytes are not JSON that Flowspan accepts. */
  PARSE_ERROR(-32700, Status.Code.INVALID_ARGUMENT),
  /** The JSON is not a JSON-RPC 2.0 message. */
  INVALID_REQUEST(-32600, Status.Code.INVALID_ARGUMENT),
  /** The peer has no such method. */
  METHOD_NOT_FOUND(-32601, Status.Code.UNIMPLEMENTED),
  /** A parameter is missing, has the wrong type or is out of range. */
  INVALID_ARGUMENT(-32602, Status.Code.INVALID_ARGUMENT),
  /** The blob does not compile as a flow; the diagnostics say why. */
  FLOW_INVALID(-32602, Status.Code.INVALID_ARGUMENT),
  /** A bug in Flowspan; the incident id is in the log. */
  INTERNAL(-32603, Status.Code.INTERNAL),
  /** No component server offers this component. */
  COMPONENT_NOT_FOUND(-32001, Status.Code.NOT_FOUND),
  /** A request came before the handshake was done. */
  NOT_INITIALIZED(-32002, Status.Code.FAILED_PRECONDITION),
  /** The input violates its JSON Schema. */
  INPUT_SCHEMA(-32003, Status.Code.INVALID_ARGUMENT),
  /** The component raised an error. */
  COMPONENT_FAILED(-32004, Status.Code.INTERNAL),
  /** The component server cannot be used (it does not start, or speaks another protocol version). */
  RESOURCE_UNAVAILABLE(-32005, Status.Code.UNAVAILABLE),
  /** The answer did not come in time. */
  TIMEOUT(-32006, Status.Code.DEADLINE_EXCEEDED),
  /** The caller may not do this. */
  PERMISSION_DENIED(-32007, Status.Code.PERMISSION_DENIED),
  /** The call carries no valid token. */
  UNAUTHENTICATED(-32007, Status.Code.UNAUTHENTICATED),
  /** There is no blob with this id. */
  BLOB_NOT_FOUND(-32008, Status.Code.NOT_FOUND),
  /** An expression of the flow has no value. */
  EXPRESSION_FAILURE(-32009, Status.Code.FAILED_PRECONDITION),
  /** A value cannot be written as JSON (NaN, infinity, a lone surrogate). */
  INVALID_VALUE(-32011, Status.Code.INVALID_ARGUMENT),
  /** There is no such object. */
  NOT_FOUND(-32012, Status.Code.NOT_FOUND),
  /** There is no run with this id. */
  RUN_NOT_FOUND(-32012, Status.Code.NOT_FOUND),
  /** There is no flow with this id. */
  FLOW_NOT_FOUND(-32012, Status.Code.NOT_FOUND),
  /** A fixed limit was exceeded; the data names the limit, its maximum and the actual figure. */
  LIMIT_EXCEEDED(-32013, Status.Code.INVALID_ARGUMENT),
  /** A configurable quota is used up. */
  QUOTA_EXCEEDED(-32013, Status.Code.RESOURCE_EXHAUSTED),
  /** Too much at once; repeat after `retryAfterMs`. */
  OVERLOADED(-32014, Status.Code.RESOURCE_EXHAUSTED),
  /** The request id was used for a different request. */
  IDEMPOTENCY_CONFLICT(-32015, Status.Code.ALREADY_EXISTS),
  /** The run was cancelled. */
  CANCELLED(-32016, Status.Code.CANCELLED),
  /** The disk is full; nothing was applied. */
  STORAGE_FULL(-32017, Status.Code.RESOURCE_EXHAUSTED),
  /** The store failed; whether the call was applied is unknown. */
  STORAGE_FAILED(-32017, Status.Code.INTERNAL),
  /** Stored or given bytes do not have the hash that they are named by. */
  HASH_MISMATCH(-32018, Status.Code.DATA_LOSS),
  /** Sub-runs nest too deep, or runs wait for each other in a circle. */
  RECURSION_LIMIT(-32019, Status.Code.FAILED_PRECONDITION),
  /** The component server's process ended during the call. */
  PLUGIN_CRASHED(-32020, Status.Code.UNAVAILABLE),
  /** The component server broke the protocol. */
  PLUGIN_PROTOCOL(-32021, Status.Code.UNAVAILABLE),
  /** The gateway is starting, recovering or stopping; repeat after `retryAfterMs`. */
  UNAVAILABLE(-32022, Status.Code.UNAVAILABLE),
  /** Another gateway owns this run now. */
  FENCED(-32023, Status.Code.ABORTED),
  /** The cursor is older than what is kept; the data names the earliest. */
  CURSOR_EXPIRED(-32012, Status.Code.OUT_OF_RANGE),
  /** The object is not in a state that allows this. */
  FAILED_PRECONDITION(-32012, Status.Code.FAILED_PRECONDITION),
  /** The caller cancelled this request. */
  REQUEST_CANCELLED(-32800, Status.Code.CANCELLED);

  private static final Map<String, Reason> BY_NAME = new HashMap<>();
  private static final Map<Integer, Reason> BY_CODE = new HashMap<>();
  private static final Map<Status.Code, Reason> BY_STATUS = new EnumMap<>(Status.Code.class);

  static {
    for (Reason reason : values()) {
      BY_NAME.put(reason.name(), reason);
      BY_CODE.putIfAbsent(reason.jsonRpcCode, reason);
    }
    BY_STATUS.put(Status.Code.CANCELLED, REQUEST_CANCELLED);
    BY_STATUS.put(Status.Code.INVALID_ARGUMENT, INVALID_ARGUMENT);
    BY_STATUS.put(Status.Code.DEADLINE_EXCEEDED, TIMEOUT);
    BY_STATUS.put(Status.Code.NOT_FOUND, NOT_FOUND);
    BY_STATUS.put(Status.Code.ALREADY_EXISTS, IDEMPOTENCY_CONFLICT);
    BY_STATUS.put(Status.Code.PERMISSION_DENIED, PERMISSION_DENIED);
    BY_STATUS.put(Status.Code.RESOURCE_EXHAUSTED, QUOTA_EXCEEDED);
    BY_STATUS.put(Status.Code.FAILED_PRECONDITION, FAILED_PRECONDITION);
    BY_STATUS.put(Status.Code.ABORTED, FENCED);
    BY_STATUS.put(Status.Code.OUT_OF_RANGE, CURSOR_EXPIRED);
    BY_STATUS.put(Status.Code.UNIMPLEMENTED, METHOD_NOT_FOUND);
    BY_STATUS.put(Status.Code.UNAVAILABLE, UNAVAILABLE);
    BY_STATUS.put(Status.Code.DATA_LOSS, HASH_MISMATCH);
    BY_STATUS.put(Status.Code.UNAUTHENTICATED, UNAUTHENTICATED);
  }

  private final int jsonRpcCode;
  private final Status.Code grpcCode;

  Reason(int jsonRpcCode, Status.Code grpcCode) {
    this.jsonRpcCode = jsonRpcCode;
    this.grpcCode = grpcCode;
  }

  /** The code of an error answer on JSON-RPC. */
  public int jsonRpcCode() {
    return jsonRpcCode;
  }

  /** The status on gRPC. */
  public Status.Code grpcCode() {
    return grpcCode;
  }

  /** The reason of this name; null if there is none. */
  public static Reason ofName(String name) {
    return BY_NAME.get(name);
  }

  /** The first reason of a JSON-RPC code; null if there is none. */
  public static Reason ofJsonRpcCode(int code) {
    return BY_CODE.get(code);
  }

  /** What a status means that carries no reason of ours: it comes from gRPC itself, a proxy or another server. */
  static Reason ofStatus(Status.Code code) {
    return BY_STATUS.getOrDefault(code, INTERNAL);
  }
}
