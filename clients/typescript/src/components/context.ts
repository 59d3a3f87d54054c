// What a component may ask and tell while it runs.

import { InvalidArgumentError, RequestCancelledError } from "../errors.js";
import type { RunStatus } from "../view/status.js";
import type { Execution, Executions, Facts, Host } from "./executions.js";
import { idempotencyToken } from "./idempotency.js";
import { type Log, logOf } from "./log.js";
import type { GetRunOptions, RunApi, RunWatch, SubmitRunOptions } from "./run_api.js";

/** Progress in between is dropped: watchers cannot tell more than 20 steps a second apart. */
const PROGRESS_INTERVAL_MS = 50;

/** The second argument of a component. May be made for every execution, so nothing is decoded before it is asked for. */
export class ComponentContext {
  readonly #executions: Executions;
  readonly #host: Host;
  readonly #execution: Execution;
  #facts: Facts | undefined;
  #api: RunApi | undefined;
  #progressAt = 0;

  /** @internal */
  constructor(executions: Executions, host: Host, execution: Execution) {
    this.#executions = executions;
    this.#host = host;
    this.#execution = execution;
  }

  // facts

  /** From 1; rises with every repetition of this step of this item. */
  get attempt(): number {
    return this.#known.attempt;
  }

  /** Equal over all attempts of this step of this item: give it to services that recognise repetitions. */
  get idempotencyToken(): string | undefined {
    const { idempotencyToken: token, runId, itemIndex, stepId } = this.#known;
    if (token !== undefined || runId === undefined || itemIndex === undefined || stepId === undefined) return token;
    return idempotencyToken(runId, itemIndex, stepId);
  }

  /** What links requests to this execution; sent with all of them. */
  get taskToken(): string | undefined {
    return this.#known.taskToken;
  }

  get runId(): string | undefined {
    return this.#known.runId;
  }

  get flowId(): string | undefined {
    return this.#known.flowId;
  }

  get stepId(): string | undefined {
    return this.#known.stepId;
  }

  /** Which item of the run. */
  get itemIndex(): number | undefined {
    return this.#known.itemIndex;
  }

  /** W3C trace context of this execution's span. */
  get traceparent(): string | undefined {
    return this.#known.traceparent;
  }

  /** Values of the parts in braces of the component's name: of `/users/{id}`, `parameters.id`. */
  get parameters(): Readonly<Record<string, string>> {
    return this.#execution.found.parameters;
  }

  /** Whether the result is not wanted any more: the run was cancelled, the time is over or the gateway is gone. */
  get cancelled(): boolean {
    return this.#execution.stop !== undefined;
  }

  /** Aborted when the result is not wanted any more; for `fetch`, timers and the like. */
  get signal(): AbortSignal {
    return this.#execution.signal;
  }

  /** For long loops. Throws RequestCancelledError. */
  throwIfCancelled(): void {
    const { stop } = this.#execution;
    if (stop !== undefined) throw new RequestCancelledError(`the execution has ended: ${stop}`);
  }

  /** A log on stderr, with run, step and item on each line. */
  get log(): Log {
    const { runId, stepId, itemIndex } = this.#known;
    return logOf(`flowspan.component${this.#execution.found.component.name.replaceAll("/", ".")}`, {
      run: runId,
      step: stepId,
      item: itemIndex,
    });
  }

  /** Tell watchers how far this execution is; `fraction` in 0..1. At most 20 a second are sent. */
  reportProgress(fraction: number, message?: string): void {
    if (!(fraction >= 0 && fraction <= 1)) {
      throw new InvalidArgumentError(`progress must be in 0..1, not ${fraction}`, { details: { field: "fraction" } });
    }
    const now = performance.now();
    if (now - this.#progressAt < PROGRESS_INTERVAL_MS && fraction < 1) return;
    this.#progressAt = now;
    if (!this.#execution.answered) this.#host.progress(this.#execution, fraction, message);
  }

  // calls

  /** Store a value in the gateway's blob store (a Uint8Array: as a binary blob); its id, `sha256:...`. */
  putBlob(data: unknown, blobType?: "data" | "flow" | "binary"): Promise<string> {
    return this.#ask((api) => api.putBlob(data, blobType));
  }

  /** The value of a blob; a Uint8Array for a binary one. */
  getBlob(blobId: string): Promise<unknown> {
    return this.#ask((api) => api.getBlob(blobId));
  }

  /** Run a stored flow over `inputs` as a sub-run of this execution. A run that fails is a status, not an error. */
  submitRun(flowId: string, inputs: Iterable<unknown>, options: SubmitRunOptions = {}): Promise<RunStatus> {
    if (typeof inputs === "string" || typeof inputs !== "object" || !(Symbol.iterator in inputs)) {
      throw new InvalidArgumentError("inputs must be a list with one input per item", { details: { field: "inputs" } });
    }
    const list = [...inputs];
    return this.#ask((api) => api.submitRun(flowId, list, options), options.wait);
  }

  /** The status of a run. Results come with `includeResults`, or with `wait` unless `includeResults` is false. */
  getRun(runId: string, options: GetRunOptions = {}): Promise<RunStatus> {
    return this.#ask((api) => api.getRun(runId, options), options.wait);
  }

  /** Item results as they complete: `for await (const item of ctx.watchRun(runId))`. */
  watchRun(runId: string, options: { readonly afterSeq?: number | undefined } = {}): RunWatch {
    return this.#runs.watchRun(runId, options.afterSeq ?? 0);
  }

  /** Cancel a run and its sub-runs; durable when this resolves. */
  cancelRun(runId: string, options: { readonly reason?: string | undefined } = {}): Promise<void> {
    return this.#ask((api) => api.cancelRun(runId, options.reason));
  }

  // within

  get #known(): Facts {
    this.#facts ??= this.#execution.origin.factsOf(this.#execution);
    return this.#facts;
  }

  get #runs(): RunApi {
    this.#api ??= this.#host.runApi(this.#execution);
    return this.#api;
  }

  /** A call ends with its execution; the time-out of the execution rests during a wait. */
  async #ask<T>(call: (api: RunApi) => Promise<T>, waits = false): Promise<T> {
    this.throwIfCancelled();
    if (!waits) return call(this.#runs);
    this.#execution.beginWait();
    try {
      return await call(this.#runs);
    } finally {
      this.#execution.endWait();
      this.#executions.sweepBy(this.#execution.deadline);
    }
  }
}
