// Messages of flowspan.v1 to the values that users see.

import type { DescEnum } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { type FlowspanError, InvalidArgumentError } from "../errors.js";
import { encodeJson, type NumberMode, RawJson } from "../json/values.js";
import {
  type FlowResult as FlowResultMessage,
  type ItemResult as ItemResultMessage,
  type Outcome as OutcomeNumber,
  ResultOrder as ResultOrderNumber,
  type RunStatus as RunStatusMessage,
  type RunStatus_Status as StatusNumber,
} from "../v1/run_pb.js";
import { CANCELLED_PAYLOAD, ItemResult, type Outcome, type ResultOrder, RunStatus, type RunStatusCode } from "../view/status.js";

const OUTCOMES: readonly (Outcome | undefined)[] = [undefined, "success", "failed", "skipped", "cancelled"];
const STATUSES: readonly (RunStatusCode | undefined)[] = [undefined, "pending", "running", "success", "failed", "cancelled"];

export function outcomeWord(number: OutcomeNumber): Outcome {
  const word = OUTCOMES[number];
  if (word === undefined) throw unknown("outcome", number);
  return word;
}

export function outcomeNumber(word: Outcome): OutcomeNumber {
  return wordNumber(OUTCOMES, word, "outcome");
}

export function statusWord(number: StatusNumber): RunStatusCode {
  const word = STATUSES[number];
  if (word === undefined) throw unknown("status", number);
  return word;
}

export function statusNumber(word: RunStatusCode): StatusNumber {
  return wordNumber(STATUSES, word, "status");
}

export function orderNumber(order: ResultOrder | undefined): ResultOrderNumber {
  if (order === undefined || order === "byIndex") return ResultOrderNumber.BY_INDEX;
  if (order === "byCompletion") return ResultOrderNumber.BY_COMPLETION;
  throw new InvalidArgumentError(`order is byIndex or byCompletion, not ${String(order)}`, { details: { field: "order" } });
}

function wordNumber(words: readonly (string | undefined)[], word: string, field: string): number {
  const number = words.indexOf(word);
  if (number < 1) {
    const known = words.slice(1).join(", ");
    throw new InvalidArgumentError(`${field} has no value ${JSON.stringify(word)}; it has ${known}`, { details: { field } });
  }
  return number;
}

function unknown(field: string, number: number): FlowspanError {
  return new InvalidArgumentError(`the gateway sent a value of ${field} that is not known here: ${number}`, { fromPeer: true });
}

/** The contract's word for a value of an enum: without the prefix, lower camel. */
export function enumWord(desc: DescEnum, number: number): string {
  // localName has lost the prefix already: CIRCUIT_OPEN.
  const name = desc.value[number]?.localName ?? String(number);
  return name.toLowerCase().replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** Microseconds since 1970; what is finer is cut off. */
export function usOf(timestamp: Timestamp | undefined): number | undefined {
  return timestamp === undefined ? undefined : Number(timestamp.seconds) * 1_000_000 + Math.floor(timestamp.nanos / 1000);
}

/** An item's result, and the blob that its payload is in, if it is in one. */
export interface ReadResult {
  result: ItemResult;
  blobId: string | undefined;
}

export function readItemResult(message: ItemResultMessage, numbers: NumberMode): ReadResult {
  const flow = message.result;
  if (flow === undefined) throw unknown("result", 0);
  const { outcome, payload, blobId } = readFlowResult(flow);
  const result = new ItemResult(
    Number(message.itemIndex),
    outcome,
    payload,
    usOf(message.completedAt) ?? 0,
    numbers,
    message.itemLabel,
    message.sourceItemIndex === undefined ? undefined : Number(message.sourceItemIndex),
  );
  return { result, blobId };
}

const EMPTY = new RawJson("");

function readFlowResult(message: FlowResultMessage): { outcome: Outcome; payload: RawJson; blobId: string | undefined } {
  const outcome = outcomeWord(message.outcome);
  if (outcome === "success") {
    const kind = message.value?.kind;
    if (kind?.case === "blobId") return { outcome, payload: EMPTY, blobId: kind.value };
    return { outcome, payload: kind?.case === "json" ? new RawJson(kind.value) : EMPTY, blobId: undefined };
  }
  if (outcome === "skipped") {
    return { outcome, payload: new RawJson(encodeJson({ reason: message.reason })), blobId: undefined };
  }
  const error = message.error;
  if (error === undefined) return { outcome, payload: outcome === "cancelled" ? CANCELLED_PAYLOAD : EMPTY, blobId: undefined };
  const real = error.code === "CANCELLED" ? "cancelled" : outcome;
  const data = error.data?.kind;
  if (data?.case === "blobId" && error.message === "") return { outcome: real, payload: EMPTY, blobId: data.value };
  const known = data?.case === "json" ? new RawJson(data.value) : data?.case === "blobId" ? data.value : undefined;
  const payload = new RawJson(encodeJson({ code: error.code, message: error.message, data: known }));
  return { outcome: real, payload, blobId: undefined };
}

/** `results`: those of the message, read by the caller; undefined if they were not asked for. */
export function readRunStatus(message: RunStatusMessage, results?: readonly ItemResult[]): RunStatus {
  const items = message.items;
  const total = Number(items?.total ?? 0n);
  const omitted = message.resultsOmitted;
  const progress = message.progress;
  return new RunStatus(
    {
      runId: message.runId,
      flowId: message.flowId,
      total,
      createdAtUs: usOf(message.createdAt) ?? 0,
      maxConcurrency: message.effectiveMaxConcurrency,
      rootRunId: message.rootRunId,
      flowName: message.flowName,
      flowLabel: message.flowLabel,
      parentRunId: message.parentRunId,
      sourceRunId: message.sourceRunId,
      metadata: { ...message.metadata },
    },
    {
      status: statusWord(message.status),
      items: {
        total,
        pending: Number(items?.pending ?? 0n),
        running: Number(items?.running ?? 0n),
        success: Number(items?.success ?? 0n),
        failed: Number(items?.failed ?? 0n),
        cancelled: Number(items?.cancelled ?? 0n),
      },
      asOfSeq: Number(message.asOfSeq),
      completedAtUs: usOf(message.completedAt),
      cancelReason: message.cancelReason,
      results,
      resultsOmitted: omitted && {
        count: Number(omitted.count),
        bytes: Number(omitted.bytes),
        limit: Number(omitted.limit),
        next: Number(omitted.next),
      },
      progress: progress && {
        ratePerSecond: progress.ratePerSecond,
        ...(progress.etaSeconds === undefined ? {} : { etaSeconds: progress.etaSeconds }),
        waitingFor: progress.waitingFor,
      },
    },
  );
}
