// What goes wrong in component code, as the error answers that a gateway understands.

import { ERROR_TABLE, FlowspanError, InvalidArgumentError, type Reason } from "../errors.js";
import { encodeJson, RawJson } from "../json/values.js";

/** Data of an error is cut at 64 KiB by the gateway; a stack shall leave room for the author's data. */
const MAX_STACK_CHARS = 8 * 1024;
const MAX_AUTHOR_DATA_CHARS = 48 * 1024;
const MAX_MESSAGE_CHARS = 4 * 1024;

/** An error as it goes onto the wire; `data`: JSON. */
export interface Failure {
  readonly code: number;
  readonly message: string;
  readonly data: string;
}

/** Codes that a component may claim because they choose the retry budget; any other is its own and travels in the data. */
const REASON_OF_CODE: Readonly<Record<string, Reason>> = {
  INVALID_INPUT: "INPUT_SCHEMA",
  RESOURCE_UNAVAILABLE: "RESOURCE_UNAVAILABLE",
  TIMEOUT: "TIMEOUT",
};

export interface ComponentErrorOptions {
  /** The component's own code, told in `data.code`. `INVALID_INPUT` is never retried; `RESOURCE_UNAVAILABLE` and `TIMEOUT` draw on the
   * budgets of the same names. */
  readonly code?: string | undefined;
  /** Any JSON value, told in `data.data`; cut beyond 48 KiB. */
  readonly data?: unknown;
  /** When the next attempt may be worth while. */
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/** Thrown by a component to fail its step in a chosen way. `message`: for people; becomes the message of the step's error. */
export class ComponentError extends Error {
  readonly code: string | undefined;
  readonly data: unknown;
  readonly retryAfterMs: number | undefined;

  constructor(message: string, options: ComponentErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "ComponentError";
    this.code = options.code;
    this.data = options.data;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** The input does not fit the component. `pointer`: the JSON pointer of the member that does not. */
export class InputError extends InvalidArgumentError {
  static override readonly defaultReason: Reason = "INPUT_SCHEMA";

  constructor(message: string, options: { readonly pointer?: string | undefined; readonly data?: unknown } = {}) {
    const details: Record<string, unknown> = {};
    if (options.pointer !== undefined) details["pointer"] = options.pointer;
    if (options.data !== undefined) details["data"] = options.data;
    super(message, { details });
  }
}

/** The error answer for a failure of this SDK. */
export function failure(error: FlowspanError): Failure {
  return failureWith(error.reason, error.message, error.details);
}

export const CANCELLED: Failure = failureWith("REQUEST_CANCELLED", "the execution was cancelled", {});
export const TIMED_OUT: Failure = failureWith("TIMEOUT", "the component did not answer in time", {});

function failureWith(reason: Reason, message: string, details: Record<string, unknown>): Failure {
  const text = sayable(message).slice(0, MAX_MESSAGE_CHARS);
  return { code: ERROR_TABLE[reason].jsonrpc, message: text, data: encodedDetails({ reason, domain: "flowspan", ...details }) };
}

function encodedDetails(details: Record<string, unknown>): string {
  const bounded: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(details)) bounded[name] = boundedValue(value);
  return encodeJson(bounded);
}

/** The error answer for whatever left component code. */
export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof InputError || (thrown instanceof FlowspanError && thrown.reason === "INVALID_VALUE"))
    return failure(thrown);
  const details: Record<string, unknown> = { type: typeName(thrown) };
  let reason: Reason = "COMPONENT_FAILED";
  let message: string;
  if (thrown instanceof ComponentError) {
    message = thrown.message;
    if (thrown.code !== undefined) {
      details["code"] = thrown.code;
      reason = (Object.hasOwn(REASON_OF_CODE, thrown.code) ? REASON_OF_CODE[thrown.code] : undefined) ?? reason;
    }
    if (thrown.data !== undefined) details["data"] = thrown.data;
    if (thrown.retryAfterMs !== undefined) details["retryAfterMs"] = Math.max(0, Math.round(thrown.retryAfterMs));
  } else if (thrown instanceof FlowspanError) {
    // A call to the gateway failed and the component let it pass: the component failed, whatever the gateway said.
    message = thrown.message;
    details["cause"] = thrown.reason;
  } else if (thrown instanceof Error) {
    message = thrown.message === "" ? typeName(thrown) : `${typeName(thrown)}: ${thrown.message}`;
  } else {
    message = `a value was thrown that is no Error: ${String(thrown)}`;
  }
  if (thrown instanceof Error && typeof thrown.stack === "string") {
    details["traceback"] = sayable(thrown.stack).slice(0, MAX_STACK_CHARS);
  }
  return failureWith(reason, message, details);
}

function typeName(thrown: unknown): string {
  if (!(thrown instanceof Error)) return typeof thrown;
  return thrown.name || thrown.constructor.name;
}

/** Text that UTF-8 can carry. */
function sayable(text: string): string {
  return text.replace(/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g, "\uFFFD");
}

function boundedValue(value: unknown): unknown {
  let encoded: string;
  try {
    encoded = encodeJson(value);
  } catch (error) {
    return { unreadable: (error as Error).message };
  }
  if (encoded.length <= MAX_AUTHOR_DATA_CHARS) return new RawJson(encoded);
  return { truncated: true, chars: encoded.length, head: sayable(encoded.slice(0, 1024)) };
}
