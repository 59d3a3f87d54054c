// What a call ended with, as an error of the table.

import { BinaryReader } from "@bufbuild/protobuf/wire";
import { Code, ConnectError } from "@connectrpc/connect";
import { errorOfReason, FlowspanError, isReason, type Reason, UnavailableError } from "../errors.js";

const DOMAIN = "flowspan";

/** What a status means that carries no ErrorInfo of a gateway: it comes from this side, a proxy or another server. */
const REASON_OF_CODE: Readonly<Record<Code, Reason>> = {
  [Code.Canceled]: "REQUEST_CANCELLED",
  [Code.Unknown]: "INTERNAL",
  [Code.InvalidArgument]: "INVALID_ARGUMENT",
  [Code.DeadlineExceeded]: "TIMEOUT",
  [Code.NotFound]: "NOT_FOUND",
  [Code.AlreadyExists]: "IDEMPOTENCY_CONFLICT",
  [Code.PermissionDenied]: "PERMISSION_DENIED",
  [Code.ResourceExhausted]: "QUOTA_EXCEEDED",
  [Code.FailedPrecondition]: "FAILED_PRECONDITION",
  [Code.Aborted]: "FENCED",
  [Code.OutOfRange]: "CURSOR_EXPIRED",
  [Code.Unimplemented]: "METHOD_NOT_FOUND",
  [Code.Internal]: "INTERNAL",
  [Code.Unavailable]: "UNAVAILABLE",
  [Code.DataLoss]: "HASH_MISMATCH",
  [Code.Unauthenticated]: "UNAUTHENTICATED",
};

/** The error of the table for whatever a transport threw. */
export function errorFromRpc(failure: unknown): FlowspanError {
  if (failure instanceof FlowspanError) return failure;
  const error = ConnectError.from(failure);
  const known = readDetails(error);
  if (known === undefined) {
    const message = error.rawMessage || Code[error.code];
    const details = { grpcCode: grpcName(error.code) };
    if (isLostConnection(error)) {
      return new UnavailableError(`the connection to the gateway is lost: ${message}`, { details, cause: failure });
    }
    return errorOfReason(REASON_OF_CODE[error.code], message, { details, cause: failure });
  }
  const { reason, details } = known;
  if (isReason(reason)) return errorOfReason(reason, error.rawMessage, { details, fromPeer: true, cause: failure });
  // A newer gateway: the status says at least what kind of failure it is.
  const about = { ...details, peerReason: reason };
  return errorOfReason(REASON_OF_CODE[error.code], error.rawMessage, { details: about, fromPeer: true, cause: failure });
}

/** A call that broke on the way, rather than being answered: nothing of it came from a gateway. */
function isLostConnection(error: ConnectError): boolean {
  if (error.code === Code.Aborted || error.code === Code.Canceled) return true; // reset; ours end with an error of our own
  if (error.code === Code.Unavailable) return true;
  if (error.code !== Code.Internal && error.code !== Code.Unknown) return false;
  const text = error.rawMessage;
  if (/http\/2|premature|missing trailer|protocol error: missing|fetch failed|network|socket|terminated/i.test(text)) return true;
  for (let cause: unknown = error.cause; cause instanceof Error; cause = cause.cause) {
    if (
      "code" in cause &&
      typeof cause.code === "string" &&
      /^(E[A-Z]+|ERR_HTTP2_|UND_ERR_|ERR_STREAM_)|CERT|_TLS_|_SSL_|VERIFY_LEAF/.test(cause.code)
    )
      return true;
    if (cause instanceof TypeError && /fetch/i.test(cause.message)) return true;
  }
  return false;
}

function grpcName(code: Code): string {
  return (Code[code] ?? "Unknown").replace(/([a-z])([A-Z])/g, "$1_$2").toUpperCase();
}

interface Details {
  reason: string;
  details: Record<string, unknown>;
}

/** google.rpc.ErrorInfo of our domain, with what BadRequest and RetryInfo add to it; read by hand, for they are three small messages. */
function readDetails(error: ConnectError): Details | undefined {
  let found: Details | undefined;
  let field: string | undefined;
  let retryAfterMs: number | undefined;
  for (const detail of error.details) {
    if (!("type" in detail) || !(detail.value instanceof Uint8Array)) continue;
    try {
      if (detail.type === "google.rpc.ErrorInfo") found = readErrorInfo(detail.value) ?? found;
      else if (detail.type === "google.rpc.BadRequest") field ??= readText(readField(readField(detail.value, 1), 1));
      else if (detail.type === "google.rpc.RetryInfo") retryAfterMs = readDurationMs(readField(detail.value, 1));
    } catch {
      // A detail that cannot be read says nothing.
    }
  }
  if (found !== undefined) {
    if (field !== undefined) found.details["field"] ??= field;
    if (retryAfterMs !== undefined) found.details["retryAfterMs"] ??= retryAfterMs;
  }
  return found;
}

function readErrorInfo(bytes: Uint8Array): Details | undefined {
  const reader = new BinaryReader(bytes);
  let reason = "";
  let domain = "";
  const details: Record<string, unknown> = {};
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (number === 1) reason = reader.string();
    else if (number === 2) domain = reader.string();
    else if (number === 3) {
      const entry = reader.bytes();
      details[readText(readField(entry, 1)) ?? ""] = detailOf(readText(readField(entry, 2)) ?? "");
    } else reader.skip(type, number);
  }
  return domain === DOMAIN ? { reason, details } : undefined;
}

/** The first length-delimited field of that number. */
function readField(bytes: Uint8Array | undefined, wanted: number): Uint8Array | undefined {
  if (bytes === undefined) return undefined;
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (number === wanted && type === 2) return reader.bytes();
    reader.skip(type, number);
  }
  return undefined;
}

function readDurationMs(bytes: Uint8Array | undefined): number | undefined {
  if (bytes === undefined) return undefined;
  const reader = new BinaryReader(bytes);
  let ms = 0;
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (number === 1) ms += Number(reader.int64()) * 1000;
    else if (number === 2) ms += Math.floor(reader.int32() / 1e6);
    else reader.skip(type, number);
  }
  return ms;
}

const utf8 = new TextDecoder();

function readText(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : utf8.decode(bytes);
}

/** Texts come as they are, everything else as JSON. */
function detailOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
