// A run to be submitted, from values to messages.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { InvalidArgumentError } from "../errors.js";
import { encodeJsonBytes, type RawJson } from "../json/values.js";
import { DocumentFormat, type StoreFlowRequestSchema } from "../v1/flow_service_pb.js";
import type { JsonValueSchema } from "../v1/json_value_pb.js";
import type { RunOptionsSchema, SubmitRunStreamRequestSchema } from "../v1/run_service_pb.js";
import type { Wires } from "./connection.js";

/** One value per item: a list, or anything that yields them. More than some thousands are streamed. */
export type Inputs = readonly unknown[] | Iterable<unknown> | AsyncIterable<unknown>;

/** A document: an object, JSON or YAML as bytes, or (where there are files) the path of a `.json` or `.yaml` file. */
export type FlowDocument = object | Uint8Array | RawJson | string;

/** As an input: the value is what the blob holds. */
export class BlobRef {
  constructor(readonly blobId: string) {}
}

export interface SubmitOptions {
  /** Bound on items running at once, at least 1; default 10. */
  readonly maxConcurrency?: number | undefined;
  /** Changes of the flow for this run; see docs/flow-language. */
  readonly overrides?: object | undefined;
  /** Values of the flow's variables. */
  readonly variables?: object | undefined;
  /** Comes back as `RunStatus.flowLabel`. */
  readonly flowLabel?: string | undefined;
  /** Free; a filter of `listRuns`. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** One per input, or none. */
  readonly itemLabels?: readonly string[] | undefined;
  /** The run is cancelled after so long. */
  readonly deadlineMs?: number | undefined;
  /** A sub-run goes on when its parent is cancelled. */
  readonly detached?: boolean | undefined;
  /** Makes the call safe to repeat by you; default: a new one for each call, for our own retries. */
  readonly requestId?: string | undefined;
  /** The execution that submits the run. */
  readonly taskToken?: string | undefined;
  /** W3C trace context. */
  readonly traceparent?: string | undefined;
}

/** More inputs than this are streamed: one message would keep the gateway busy for tens of milliseconds. */
export const UNARY_MAX_INPUTS = 5_000;
/** Inputs of a message end here; larger ones stall the messages of other calls. */
const MESSAGE_BYTES = 1024 * 1024;
const UNARY_MAX_BYTES = 4 * MESSAGE_BYTES;
/** What the gateway takes in one message, for those who cannot stream. */
const ONE_MESSAGE_MAX_INPUTS = 100_000;
const ONE_MESSAGE_MAX_BYTES = 15 * MESSAGE_BYTES;

const FLOW_ID = /^(sha256:)?[0-9a-f]{64}$/;

export function isFlowId(flow: unknown): flow is string {
  return typeof flow === "string" && FLOW_ID.test(flow);
}

export function newRequestId(): string {
  return globalThis.crypto.randomUUID();
}

/** The header of a submit. A sub-run without a request id gets its key from its execution, so that a repeated parent finds it. */
export function runOptions(flowId: string, options: SubmitOptions): MessageInitShape<typeof RunOptionsSchema> {
  const { maxConcurrency, overrides, variables, flowLabel, metadata, itemLabels, deadlineMs, taskToken, requestId } = options;
  return {
    flowId,
    maxConcurrency: wholeNumber(maxConcurrency, "maxConcurrency"),
    overrides: overrides && jsonValue(overrides),
    variables: variables && jsonValue(variables),
    flowLabel,
    metadata: { ...metadata },
    itemLabels: [...(itemLabels ?? [])],
    deadline: deadlineMs === undefined ? undefined : durationOf(deadlineMs),
    detached: options.detached ?? false,
    requestId: requestId ?? (taskToken === undefined ? newRequestId() : ""),
    taskToken: taskToken ?? "",
    traceparent: options.traceparent ?? "",
  };
}

export function wholeNumber(value: number | undefined, field: string): bigint | undefined {
  if (value === undefined) return undefined;
  if (!Number.isSafeInteger(value)) {
    throw new InvalidArgumentError(`${field} must be a whole number, not ${value}`, { details: { field } });
  }
  return BigInt(value);
}

function durationOf(ms: number): { seconds: bigint; nanos: number } {
  if (!Number.isFinite(ms))
    throw new InvalidArgumentError(`deadlineMs must be a number, not ${ms}`, { details: { field: "deadlineMs" } });
  const seconds = Math.floor(ms / 1000);
  return { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1000) * 1e6) };
}

export type JsonValueInit = MessageInitShape<typeof JsonValueSchema>;

export function jsonValue(value: unknown): JsonValueInit {
  if (value instanceof BlobRef) return { kind: { case: "blobId", value: value.blobId } };
  return { kind: { case: "json", value: encodeJsonBytes(value) } };
}

function sizeOf(value: JsonValueInit): number {
  return value.kind?.case === "json" ? (value.kind.value?.length ?? 0) : 80;
}

/** The inputs of a request, if they are at hand and fit into one message; undefined: they are to be streamed. */
export function wholeInputs(inputs: Inputs, wires: Wires): JsonValueInit[] | undefined {
  if (typeof inputs === "string" || inputs instanceof Uint8Array) throw notAList();
  const isList = Array.isArray(inputs);
  if (wires.streamsRequests && (!isList || inputs.length > UNARY_MAX_INPUTS)) return undefined;
  if (!isList && !(Symbol.iterator in inputs)) {
    throw new InvalidArgumentError("this transport cannot stream inputs; give them as a list", { details: { field: "inputs" } });
  }
  const maxBytes = wires.streamsRequests ? UNARY_MAX_BYTES : ONE_MESSAGE_MAX_BYTES;
  const values: JsonValueInit[] = [];
  let size = 0;
  for (const value of inputs as Iterable<unknown>) {
    const message = jsonValue(value);
    values.push(message);
    size += sizeOf(message);
    if (size <= maxBytes && values.length <= ONE_MESSAGE_MAX_INPUTS) continue;
    if (wires.streamsRequests) return undefined;
    throw new InvalidArgumentError(
      `this transport cannot stream inputs, and these are more than one message takes (${ONE_MESSAGE_MAX_INPUTS} inputs, ${maxBytes} bytes)`,
      { reason: "LIMIT_EXCEEDED", details: { field: "inputs" } },
    );
  }
  return values;
}

function notAList(): InvalidArgumentError {
  return new InvalidArgumentError("inputs is a list with one value per item, not one value", { details: { field: "inputs" } });
}

type StreamMessage = MessageInitShape<typeof SubmitRunStreamRequestSchema>;

/** The messages of a streamed submit. */
export async function* streamMessages(
  options: MessageInitShape<typeof RunOptionsSchema>,
  inputs: Inputs,
): AsyncGenerator<StreamMessage> {
  yield { options };
  let values: JsonValueInit[] = [];
  let size = 0;
  for await (const value of inputs) {
    const message = jsonValue(value);
    values.push(message);
    size += sizeOf(message);
    if (size >= MESSAGE_BYTES || values.length >= UNARY_MAX_INPUTS) {
      yield { inputs: values };
      values = [];
      size = 0;
    }
  }
  if (values.length > 0) yield { inputs: values };
}

const FORMATS: Readonly<Record<string, DocumentFormat>> = {
  json: DocumentFormat.JSON,
  yaml: DocumentFormat.YAML,
  yml: DocumentFormat.YAML,
};

export async function storeFlowRequest(
  flow: FlowDocument,
  wires: Wires,
): Promise<MessageInitShape<typeof StoreFlowRequestSchema>> {
  if (flow instanceof Uint8Array) return { document: flow, format: DocumentFormat.UNSPECIFIED };
  if (typeof flow !== "string") return { document: encodeJsonBytes(flow), format: DocumentFormat.JSON };
  const what = `${JSON.stringify(flow.slice(0, 200))} is neither a flow id (sha256: and 64 hexadecimal digits)`;
  if (wires.readFile === undefined) {
    throw new InvalidArgumentError(`${what} nor a document`, { details: { field: "flow" } });
  }
  let document: Uint8Array;
  try {
    document = await wires.readFile(flow);
  } catch (cause) {
    const why = (cause as Error).message;
    throw new InvalidArgumentError(`${what} nor a file that can be read: ${why}`, { details: { field: "flow" }, cause });
  }
  const ending = flow.slice(flow.lastIndexOf(".") + 1).toLowerCase();
  return { document, format: FORMATS[ending] ?? DocumentFormat.UNSPECIFIED };
}
