// What a run looks like from outside, in the words of the contract (docs/protocol/runs-methods.md).

import { FlowspanError } from "../errors.js";
import { encodeJson, type NumberMode, RawJson } from "../json/values.js";

export type RunStatusCode = "pending" | "running" | "success" | "failed" | "cancelled";
/** An item that is cancelled has a failed FlowResult with the code CANCELLED. */
export type Outcome = "success" | "failed" | "skipped" | "cancelled";
export type ResultOrder = "byIndex" | "byCompletion";

export function isTerminal(status: RunStatusCode): boolean {
  return status === "success" || status === "failed" || status === "cancelled";
}

/** How many items are where; `total` is the sum of the others, always. */
export interface ItemCounts {
  readonly total: number;
  readonly pending: number;
  readonly running: number;
  readonly success: number;
  readonly failed: number;
  readonly cancelled: number;
}

/** Why a step or an item failed. */
export interface FlowError {
  /** See `FlowErrorCode`. */
  readonly code: string;
  readonly message: string;
  readonly data?: unknown;
}

/** What a flow yielded for one item, in the contract's words. */
export type FlowResult =
  | { readonly outcome: "success"; readonly value: unknown }
  | { readonly outcome: "failed"; readonly error: FlowError }
  | { readonly outcome: "skipped"; readonly reason?: string };

/** The result of one item. Nothing is decoded before it is asked for. */
export class ItemResult {
  constructor(
    /** Position of the item in the run's inputs, from 0. */
    readonly itemIndex: number,
    readonly outcome: Outcome,
    /** With `success` the value, else `{code, message, data?}` or `{reason?}`, as JSON; empty if it was not asked for. */
    readonly payload: RawJson,
    /** Microseconds since 1970. */
    readonly completedAtUs: number,
    readonly numbers: NumberMode = "safe",
    readonly itemLabel?: string,
    /** In a retry of another run: the item's index there. */
    readonly sourceItemIndex?: number,
  ) {}

  get completedAt(): Date {
    return new Date(this.completedAtUs / 1000);
  }

  /** The flow's output as JSON, which loses nothing; undefined unless it succeeded. */
  get json(): RawJson | undefined {
    return this.outcome === "success" ? this.payload : undefined;
  }

  /** The flow's output; undefined unless it succeeded. */
  get value(): unknown {
    return this.outcome === "success" && this.payload.text !== "" ? this.payload.parse(this.numbers) : undefined;
  }

  /** Why the item failed or was cancelled; undefined if it did not. */
  get error(): FlowError | undefined {
    if (this.outcome !== "failed" && this.outcome !== "cancelled") return undefined;
    if (this.payload.text === "") {
      return this.outcome === "cancelled" ? { code: "CANCELLED", message: "the run was cancelled" } : { code: "", message: "" };
    }
    return this.payload.parse(this.numbers) as FlowError;
  }

  /** Why the item was skipped, if the flow says so. */
  get reason(): string | undefined {
    if (this.outcome !== "skipped" || this.payload.text === "") return undefined;
    return (this.payload.parse() as { reason?: string }).reason;
  }

  /** What the flow yielded, decoded. */
  get result(): FlowResult {
    if (this.outcome === "success") return { outcome: "success", value: this.value };
    const { error, reason } = this;
    if (error !== undefined) return { outcome: "failed", error };
    return reason === undefined ? { outcome: "skipped" } : { outcome: "skipped", reason };
  }

  /** The same with another payload. */
  withPayload(payload: RawJson): ItemResult {
    const { itemIndex, outcome, completedAtUs, numbers, itemLabel, sourceItemIndex } = this;
    return new ItemResult(itemIndex, outcome, payload, completedAtUs, numbers, itemLabel, sourceItemIndex);
  }

  /** The same with a label. */
  withLabel(itemLabel: string | undefined): ItemResult {
    const { itemIndex, outcome, payload, completedAtUs, numbers, sourceItemIndex } = this;
    return new ItemResult(itemIndex, outcome, payload, completedAtUs, numbers, itemLabel, sourceItemIndex);
  }
}

export const CANCELLED_PAYLOAD = new RawJson(encodeJson({ code: "CANCELLED", message: "the run was cancelled" }));

/** Results were asked for and did not fit: `count` results of `bytes` bytes, `limit` bytes fit; read on at index `next`. */
export interface ResultsOmitted {
  readonly count: number;
  readonly bytes: number;
  readonly limit: number;
  readonly next: number;
}

/** Speed of a run; the only part of a status that is not durable fact. */
export interface RunProgress {
  readonly ratePerSecond: number;
  readonly etaSeconds?: number;
  readonly waitingFor: readonly string[];
}

/** What never changes about a run. */
export interface RunDescription {
  readonly runId: string;
  readonly flowId: string;
  readonly total: number;
  readonly createdAtUs: number;
  /** After defaults and clamping. */
  readonly maxConcurrency: number;
  readonly rootRunId: string;
  readonly flowName?: string | undefined;
  readonly flowLabel?: string | undefined;
  readonly parentRunId?: string | undefined;
  readonly sourceRunId?: string | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

export interface RunState {
  readonly status: RunStatusCode;
  readonly items: ItemCounts;
  readonly asOfSeq: number;
  readonly completedAtUs?: number | undefined;
  readonly cancelReason?: string | undefined;
  readonly results?: readonly ItemResult[] | undefined;
  readonly resultsOmitted?: ResultsOmitted | undefined;
  readonly progress?: RunProgress | undefined;
}

/** The state of a run as of event `asOfSeq`. `results` is undefined if they were not asked for. */
export class RunStatus {
  readonly runId: string;
  readonly flowId: string;
  readonly flowName: string | undefined;
  readonly flowLabel: string | undefined;
  readonly rootRunId: string;
  readonly parentRunId: string | undefined;
  readonly sourceRunId: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly maxConcurrency: number;
  readonly createdAt: Date;
  readonly status: RunStatusCode;
  readonly items: ItemCounts;
  readonly asOfSeq: number;
  readonly completedAt: Date | undefined;
  readonly cancelReason: string | undefined;
  readonly results: readonly ItemResult[] | undefined;
  readonly resultsOmitted: ResultsOmitted | undefined;
  readonly progress: RunProgress | undefined;

  constructor(
    readonly description: RunDescription,
    private readonly state: RunState,
  ) {
    this.runId = description.runId;
    this.flowId = description.flowId;
    this.flowName = description.flowName;
    this.flowLabel = description.flowLabel;
    this.rootRunId = description.rootRunId;
    this.parentRunId = description.parentRunId;
    this.sourceRunId = description.sourceRunId;
    this.metadata = description.metadata ?? {};
    this.maxConcurrency = description.maxConcurrency;
    this.createdAt = new Date(description.createdAtUs / 1000);
    this.status = state.status;
    this.items = state.items;
    this.asOfSeq = state.asOfSeq;
    this.completedAt = state.completedAtUs === undefined ? undefined : new Date(state.completedAtUs / 1000);
    this.cancelReason = state.cancelReason;
    this.results = state.results;
    this.resultsOmitted = state.resultsOmitted;
    this.progress = state.progress;
  }

  get isTerminal(): boolean {
    return isTerminal(this.status);
  }

  /** The same with these results, all of them. */
  withResults(results: readonly ItemResult[]): RunStatus {
    return new RunStatus(this.description, { ...this.state, results, resultsOmitted: undefined });
  }

  /** This status, if no item failed and the run was not cancelled. Throws RunFailedError. */
  throwForFailures(): this {
    const { runId, items } = this;
    if (this.status === "cancelled") {
      const why = this.cancelReason ? `: ${this.cancelReason}` : "";
      throw new RunFailedError(`run ${runId} was cancelled${why}`, this, "CANCELLED");
    }
    if (items.failed === 0 && this.status !== "failed") return this;
    let message = `${items.failed} of ${items.total} items of run ${runId} failed`;
    const first = this.results?.find((item) => item.outcome === "failed");
    if (first?.error !== undefined) message += `; item ${first.itemIndex}: ${first.error.code}: ${first.error.message}`;
    throw new RunFailedError(message, this, "COMPONENT_FAILED");
  }
}

/** Thrown by `RunStatus.throwForFailures`, and by nothing else: a run that failed is an answer, not an error. */
export class RunFailedError extends FlowspanError {
  constructor(
    message: string,
    readonly status: RunStatus,
    reason: "CANCELLED" | "COMPONENT_FAILED",
  ) {
    const { failed, cancelled } = status.items;
    super(message, { reason, details: { runId: status.runId, failed, cancelled } });
  }
}

export function byIndex(results: ItemResult[]): ItemResult[] {
  return results.sort((a, b) => a.itemIndex - b.itemIndex);
}
