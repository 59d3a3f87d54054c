// Every failure has a reason; the reason decides its codes on every wire. The table is that of docs/errors.md.

/** Names of gRPC statuses. */
export type GrpcCode =
  | "CANCELLED"
  | "INVALID_ARGUMENT"
  | "DEADLINE_EXCEEDED"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "FAILED_PRECONDITION"
  | "ABORTED"
  | "OUT_OF_RANGE"
  | "UNIMPLEMENTED"
  | "INTERNAL"
  | "UNAVAILABLE"
  | "DATA_LOSS"
  | "UNAUTHENTICATED";

/** Why a step or an item failed (`error.code` of a FlowResult). */
export type FlowErrorCode =
  | "TIMEOUT"
  | "INVALID_INPUT"
  | "COMPONENT_FAILED"
  | "CANCELLED"
  | "UNREACHABLE"
  | "COMPONENT_NOT_FOUND"
  | "RESOURCE_UNAVAILABLE"
  | "EXPRESSION_FAILURE"
  | "ORCHESTRATOR_ERROR"
  | "WORKER_ERROR";

/** One line of the table: the code on JSON-RPC, the status on gRPC, the code of an item that the failure ends. */
export interface ErrorRow {
  readonly jsonrpc: number;
  readonly grpc: GrpcCode;
  readonly flow: FlowErrorCode;
}

const row = (jsonrpc: number, grpc: GrpcCode, flow: FlowErrorCode): ErrorRow => ({ jsonrpc, grpc, flow });

export const ERROR_TABLE = {
  PARSE_ERROR: row(-32700, "INVALID_ARGUMENT", "UNREACHABLE"),
  INVALID_REQUEST: row(-32600, "INVALID_ARGUMENT", "UNREACHABLE"),
  METHOD_NOT_FOUND: row(-32601, "UNIMPLEMENTED", "COMPONENT_NOT_FOUND"),
  INVALID_ARGUMENT: row(-32602, "INVALID_ARGUMENT", "INVALID_INPUT"),
  FLOW_INVALID: row(-32602, "INVALID_ARGUMENT", "INVALID_INPUT"),
  INTERNAL: row(-32603, "INTERNAL", "ORCHESTRATOR_ERROR"),
  COMPONENT_NOT_FOUND: row(-32001, "NOT_FOUND", "COMPONENT_NOT_FOUND"),
  NOT_INITIALIZED: row(-32002, "FAILED_PRECONDITION", "UNREACHABLE"),
  INPUT_SCHEMA: row(-32003, "INVALID_ARGUMENT", "INVALID_INPUT"),
  COMPONENT_FAILED: row(-32004, "INTERNAL", "COMPONENT_FAILED"),
  RESOURCE_UNAVAILABLE: row(-32005, "UNAVAILABLE", "RESOURCE_UNAVAILABLE"),
  TIMEOUT: row(-32006, "DEADLINE_EXCEEDED", "TIMEOUT"),
  PERMISSION_DENIED: row(-32007, "PERMISSION_DENIED", "COMPONENT_FAILED"),
  UNAUTHENTICATED: row(-32007, "UNAUTHENTICATED", "COMPONENT_FAILED"),
  BLOB_NOT_FOUND: row(-32008, "NOT_FOUND", "INVALID_INPUT"),
  EXPRESSION_FAILURE: row(-32009, "FAILED_PRECONDITION", "EXPRESSION_FAILURE"),
  INVALID_VALUE: row(-32011, "INVALID_ARGUMENT", "INVALID_INPUT"),
  NOT_FOUND: row(-32012, "NOT_FOUND", "INVALID_INPUT"),
  RUN_NOT_FOUND: row(-32012, "NOT_FOUND", "INVALID_INPUT"),
  FLOW_NOT_FOUND: row(-32012, "NOT_FOUND", "INVALID_INPUT"),
  LIMIT_EXCEEDED: row(-32013, "INVALID_ARGUMENT", "COMPONENT_FAILED"),
  QUOTA_EXCEEDED: row(-32013, "RESOURCE_EXHAUSTED", "COMPONENT_FAILED"),
  OVERLOADED: row(-32014, "RESOURCE_EXHAUSTED", "RESOURCE_UNAVAILABLE"),
  IDEMPOTENCY_CONFLICT: row(-32015, "ALREADY_EXISTS", "INVALID_INPUT"),
  CANCELLED: row(-32016, "CANCELLED", "CANCELLED"),
  STORAGE_FULL: row(-32017, "RESOURCE_EXHAUSTED", "ORCHESTRATOR_ERROR"),
  STORAGE_FAILED: row(-32017, "INTERNAL", "ORCHESTRATOR_ERROR"),
  HASH_MISMATCH: row(-32018, "DATA_LOSS", "INVALID_INPUT"),
  RECURSION_LIMIT: row(-32019, "FAILED_PRECONDITION", "COMPONENT_FAILED"),
  PLUGIN_CRASHED: row(-32020, "UNAVAILABLE", "UNREACHABLE"),
  PLUGIN_PROTOCOL: row(-32021, "UNAVAILABLE", "UNREACHABLE"),
  UNAVAILABLE: row(-32022, "UNAVAILABLE", "UNREACHABLE"),
  FENCED: row(-32023, "ABORTED", "ORCHESTRATOR_ERROR"),
  CURSOR_EXPIRED: row(-32012, "OUT_OF_RANGE", "INVALID_INPUT"),
  FAILED_PRECONDITION: row(-32012, "FAILED_PRECONDITION", "INVALID_INPUT"),
  REQUEST_CANCELLED: row(-32800, "CANCELLED", "CANCELLED"),
} as const satisfies Record<string, ErrorRow>;

/** The stable name of a failure. */
export type Reason = keyof typeof ERROR_TABLE;

export function isReason(name: unknown): name is Reason {
  return typeof name === "string" && Object.hasOwn(ERROR_TABLE, name);
}

export interface FlowspanErrorOptions {
  readonly reason?: Reason;
  /** For machines; keys in camelCase. */
  readonly details?: Record<string, unknown>;
  /** Whether the peer said so; otherwise it was inferred on this side. */
  readonly fromPeer?: boolean;
  readonly cause?: unknown;
}

/** A call that could not be served. */
export class FlowspanError extends Error {
  readonly reason: Reason;
  readonly details: Record<string, unknown>;
  readonly fromPeer: boolean;

  constructor(message: string, options: FlowspanErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.reason = options.reason ?? (new.target as typeof FlowspanError).defaultReason;
    this.details = { ...options.details };
    this.fromPeer = options.fromPeer ?? false;
  }

  static readonly defaultReason: Reason = "INTERNAL";

  /** Codes of this failure on every wire. */
  get row(): ErrorRow {
    return ERROR_TABLE[this.reason];
  }

  /** Whether the same call may succeed a moment later: the gateway was not there, or asks to come back. */
  get retryable(): boolean {
    const code = this.row.grpc;
    return code === "UNAVAILABLE" || (code === "RESOURCE_EXHAUSTED" && this.details["retryAfterMs"] !== undefined);
  }
}

/** A parameter is missing, has the wrong type or is out of range. `details.field` names it where one is to blame. */
export class InvalidArgumentError extends FlowspanError {
  static override readonly defaultReason: Reason = "INVALID_ARGUMENT";
}

/** A value has no JSON form. */
export class InvalidValueError extends InvalidArgumentError {
  static override readonly defaultReason: Reason = "INVALID_VALUE";
}

/** A document does not compile as a flow. `details.diagnostics` says why. */
export class FlowInvalidError extends FlowspanError {
  static override readonly defaultReason: Reason = "FLOW_INVALID";
}

/** There is no such run, flow, blob or component; the reason says which. */
export class NotFoundError extends FlowspanError {
  static override readonly defaultReason: Reason = "NOT_FOUND";
}

/** A limit was exceeded. `details` holds `limit` (its name), `max` and `actual`. */
export class LimitExceededError extends FlowspanError {
  static override readonly defaultReason: Reason = "LIMIT_EXCEEDED";
}

/** Too much at once. `details.retryAfterMs` says when to try again. */
export class OverloadedError extends FlowspanError {
  static override readonly defaultReason: Reason = "OVERLOADED";
}

/** The request id was used for a different request. */
export class ConflictError extends FlowspanError {
  static override readonly defaultReason: Reason = "IDEMPOTENCY_CONFLICT";
}

/** The gateway cannot be reached, or is starting, recovering or stopping. */
export class UnavailableError extends FlowspanError {
  static override readonly defaultReason: Reason = "UNAVAILABLE";
}

/** The answer did not come in time. */
export class TimeoutError extends FlowspanError {
  static override readonly defaultReason: Reason = "TIMEOUT";
}

/** The object is not in a state that allows this. */
export class PreconditionError extends FlowspanError {
  static override readonly defaultReason: Reason = "FAILED_PRECONDITION";
}

/** Bytes do not have the hash that they are named by. */
export class DataLossError extends FlowspanError {
  static override readonly defaultReason: Reason = "HASH_MISMATCH";
}

/** The store refused or failed. */
export class StorageError extends FlowspanError {
  static override readonly defaultReason: Reason = "STORAGE_FAILED";
}

/** Sub-runs nest too deep, or runs wait for each other in a circle. */
export class RecursionLimitError extends FlowspanError {
  static override readonly defaultReason: Reason = "RECURSION_LIMIT";
}

/** The caller cancelled the request. */
export class RequestCancelledError extends FlowspanError {
  static override readonly defaultReason: Reason = "REQUEST_CANCELLED";
}

const CLASS_OF_REASON: Partial<Record<Reason, typeof FlowspanError>> = {
  PARSE_ERROR: InvalidArgumentError,
  INVALID_REQUEST: InvalidArgumentError,
  INVALID_ARGUMENT: InvalidArgumentError,
  INPUT_SCHEMA: InvalidArgumentError,
  INVALID_VALUE: InvalidValueError,
  FLOW_INVALID: FlowInvalidError,
  COMPONENT_NOT_FOUND: NotFoundError,
  BLOB_NOT_FOUND: NotFoundError,
  NOT_FOUND: NotFoundError,
  RUN_NOT_FOUND: NotFoundError,
  FLOW_NOT_FOUND: NotFoundError,
  LIMIT_EXCEEDED: LimitExceededError,
  QUOTA_EXCEEDED: LimitExceededError,
  OVERLOADED: OverloadedError,
  IDEMPOTENCY_CONFLICT: ConflictError,
  TIMEOUT: TimeoutError,
  STORAGE_FULL: StorageError,
  STORAGE_FAILED: StorageError,
  HASH_MISMATCH: DataLossError,
  RECURSION_LIMIT: RecursionLimitError,
  UNAVAILABLE: UnavailableError,
  FAILED_PRECONDITION: PreconditionError,
  REQUEST_CANCELLED: RequestCancelledError,
};

/** An error of the class that stands for its reason. */
export function errorOfReason(
  reason: Reason,
  message: string,
  options: Omit<FlowspanErrorOptions, "reason"> = {},
): FlowspanError {
  const Class = CLASS_OF_REASON[reason] ?? FlowspanError;
  return new Class(message, { ...options, reason });
}
