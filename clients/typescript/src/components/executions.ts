// Executions from their begin to their answer: time-outs, cancels, waits. Knows no wire.

import { NotFoundError } from "../errors.js";
import { encodeJson } from "../json/values.js";
import { ComponentContext } from "./context.js";
import { CANCELLED, type Failure, failureOf, TIMED_OUT } from "./failures.js";
import type { Found } from "./registry.js";
import type { RunApi } from "./run_api.js";

/** An execution that runs for so long is reported as begun; shorter ones answer by themselves. */
const STARTED_NOTICE_MS = 1_000;
/** Whatever runs for so long by then is reported with it: two notices a second at most, however many executions there are. */
const STARTED_TOGETHER_MS = 500;
/** A cancelled component has so long to end by itself; its answer is not wanted any more. */
const CANCEL_GRACE_MS = 1_000;

export type ExecutionId = number | string;
export type Stop = "cancelled" | "timed out" | "disconnected";

/** What a context tells about its execution. */
export interface Facts {
  readonly attempt: number;
  readonly taskToken: string | undefined;
  readonly idempotencyToken: string | undefined;
  readonly itemIndex: number | undefined;
  readonly runId: string | undefined;
  readonly flowId: string | undefined;
  readonly stepId: string | undefined;
  readonly traceparent: string | undefined;
}

/** Where an execution came from; asked only by components that take a context. */
export interface Origin {
  factsOf(execution: Execution): Facts;
}

export class Execution {
  readonly began = performance.now();
  stop: Stop | undefined;
  answered = false;
  toldBegun = false;
  #waits = 0;
  #waitedMs = 0;
  #parkedSince = 0;
  #abort: AbortController | undefined;

  constructor(
    readonly id: ExecutionId,
    readonly found: Found,
    readonly origin: Origin,
    readonly timeoutMs: number,
    /** Of one that came in bulk: the item and the attempt. */
    readonly itemIndex = 0,
    readonly attempt = 0,
  ) {}

  /** Aborted when the result is not wanted any more. */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.stop !== undefined) this.#abort.abort(stopped(this.stop));
    }
    return this.#abort.signal;
  }

  end(stop: Stop): void {
    if (this.stop !== undefined) return;
    this.stop = stop;
    this.#abort?.abort(stopped(stop));
  }

  beginWait(): void {
    if (this.#waits === 0) this.#parkedSince = performance.now();
    this.#waits += 1;
  }

  endWait(): void {
    this.#waits -= 1;
    if (this.#waits === 0) this.#waitedMs += performance.now() - this.#parkedSince;
  }

  /** When its time is over as things stand; never while it waits for a run. */
  get deadline(): number {
    return this.#waits > 0 || this.answered ? Number.POSITIVE_INFINITY : this.began + this.timeoutMs + this.#waitedMs;
  }
}

function stopped(stop: Stop): Error {
  return new DOMException(`the execution has ended: ${stop}`, "AbortError");
}

/** The wire behind executions: takes their answers, serves their calls. */
export interface Host {
  output(execution: Execution, json: string): void;
  failure(execution: Execution, failure: Failure): void;
  /** Executions that run since about a second. */
  started(ids: ExecutionId[]): void;
  progress(execution: Execution, fraction: number, message: string | undefined): void;
  runApi(execution: Execution): RunApi;
}

export class Executions {
  readonly #open = new Map<ExecutionId, Execution>();
  #sweepAt = Number.POSITIVE_INFINITY;
  #sweep: ReturnType<typeof setTimeout> | undefined;
  #onIdle: (() => void) | undefined;

  constructor(private readonly host: Host) {}

  /** How many have begun and are not done. */
  get size(): number {
    return this.#open.size;
  }

  get ids(): ExecutionId[] {
    return [...this.#open.keys()];
  }

  has(id: ExecutionId): boolean {
    return this.#open.has(id);
  }

  /** Call the component. Its answer goes to the host, now or when its promise is settled. */
  begin(execution: Execution, input: unknown): void {
    const { component } = execution.found;
    let returned: unknown;
    try {
      returned = component.takesContext
        ? component.run(input, new ComponentContext(this, this.host, execution))
        : (component.run as (input: unknown) => unknown)(input);
      if (!isPromise(returned)) {
        this.host.output(execution, outputOf(returned));
        execution.answered = true;
        return;
      }
    } catch (thrown) {
      execution.answered = true;
      this.host.failure(execution, failureOf(thrown));
      return;
    }
    this.follow(execution, returned);
  }

  /** The component's promise decides. */
  follow(execution: Execution, promise: PromiseLike<unknown>): void {
    this.#open.set(execution.id, execution);
    this.sweepBy(execution.began + Math.min(execution.timeoutMs, STARTED_NOTICE_MS));
    promise.then(
      (value) => {
        if (this.#leave(execution)) {
          let output: string;
          try {
            output = outputOf(value);
          } catch (thrown) {
            this.host.failure(execution, failureOf(thrown));
            this.#becameIdle();
            return;
          }
          this.host.output(execution, output);
        }
        this.#becameIdle();
      },
      (thrown: unknown) => {
        if (this.#leave(execution)) this.host.failure(execution, execution.stop === undefined ? failureOf(thrown) : CANCELLED);
        this.#becameIdle();
      },
    );
  }

  /** Tell executions that they are not wanted any more; those that run and will answer. */
  cancel(ids: readonly ExecutionId[]): ExecutionId[] {
    const running: Execution[] = [];
    for (const id of ids) {
      const execution = this.#open.get(id);
      if (execution === undefined || execution.answered) continue;
      execution.end("cancelled");
      running.push(execution);
    }
    if (running.length > 0) {
      // What ignores its signal is answered for; what it still does is dropped.
      setTimeout(() => {
        for (const execution of running) if (!execution.answered) this.#answerFor(execution, CANCELLED);
      }, CANCEL_GRACE_MS).unref();
    }
    return running.map((execution) => execution.id);
  }

  /** Nobody wants the answers of these any more, and none is given. */
  forget(ids: Iterable<ExecutionId>): void {
    for (const id of [...ids]) {
      const execution = this.#open.get(id);
      if (execution === undefined) continue;
      execution.answered = true;
      execution.end("disconnected");
      this.#open.delete(id);
    }
    this.#becameIdle();
  }

  /** Called once nothing is being executed. */
  whenIdle(onIdle: () => void): void {
    this.#onIdle = onIdle;
    this.#becameIdle();
  }

  close(): void {
    clearTimeout(this.#sweep);
    this.#sweepAt = Number.NEGATIVE_INFINITY;
    this.forget(this.#open.keys());
  }

  /** Look at the time-outs at this moment at the latest. */
  sweepBy(at: number): void {
    if (at >= this.#sweepAt) return;
    this.#sweepAt = at;
    clearTimeout(this.#sweep);
    this.#sweep = setTimeout(() => this.#onSweep(), Math.max(0, Math.min(at - performance.now(), 2 ** 31 - 1)) + 1);
    this.#sweep.unref();
  }

  #leave(execution: Execution): boolean {
    this.#open.delete(execution.id);
    const isOurs = !execution.answered;
    execution.answered = true;
    return isOurs;
  }

  #answerFor(execution: Execution, failure: Failure): void {
    execution.answered = true;
    this.#open.delete(execution.id);
    this.host.failure(execution, failure);
    this.#becameIdle();
  }

  #becameIdle(): void {
    if (this.#onIdle !== undefined && this.#open.size === 0) this.#onIdle();
  }

  #onSweep(): void {
    const now = performance.now();
    let due = Number.POSITIVE_INFINITY;
    const begun: Execution[] = [];
    const young: Execution[] = [];
    for (const execution of [...this.#open.values()]) {
      const { deadline, began } = execution;
      if (deadline <= now) {
        execution.end("timed out");
        this.#answerFor(execution, TIMED_OUT);
        continue;
      }
      due = Math.min(due, deadline);
      if (execution.toldBegun) continue;
      if (now >= began + STARTED_NOTICE_MS) begun.push(execution);
      else if (now >= began + STARTED_TOGETHER_MS) young.push(execution);
      else due = Math.min(due, began + STARTED_NOTICE_MS);
    }
    if (begun.length > 0) {
      begun.push(...young);
      for (const execution of begun) execution.toldBegun = true;
      this.host.started(begun.map((execution) => execution.id));
    } else {
      for (const { began } of young) due = Math.min(due, began + STARTED_NOTICE_MS);
    }
    this.#sweepAt = Number.POSITIVE_INFINITY;
    if (due !== Number.POSITIVE_INFINITY) this.sweepBy(due);
  }
}

/** The JSON of what a component returned; nothing is null. */
export function outputOf(value: unknown): string {
  return value === undefined ? "null" : encodeJson(value);
}

export function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

export function noComponent(name: string): NotFoundError {
  const shown = JSON.stringify(name.slice(0, 200));
  return new NotFoundError(`there is no component ${shown} here; see components/list`, { reason: "COMPONENT_NOT_FOUND" });
}
