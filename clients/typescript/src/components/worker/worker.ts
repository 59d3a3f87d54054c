// A worker: takes executions of a queue over one stream, for as long as it lives, over any number of connections.

import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Connection } from "../../client/connection.js";
import { sleep } from "../../client/retry.js";
import { FlowspanError, LimitExceededError, UnavailableError } from "../../errors.js";
import { encodeJsonBytes, parseJson, RawJson } from "../../json/values.js";
import {
  type ConnectResponse,
  type WorkerBatch,
  type WorkerFailureSchema,
  WorkerService,
  type WorkerWelcome,
} from "../../v1/worker_service_pb.js";
import { VERSION } from "../../version.js";
import { Execution, type ExecutionId, Executions, type Facts, type Host, noComponent, type Origin } from "../executions.js";
import { type Failure, failure } from "../failures.js";
import { log } from "../log.js";
import type { Component, Registry } from "../registry.js";
import type { RunApi } from "../run_api.js";
import { Outbox } from "./outbox.js";
import { WorkerRunApi } from "./run_api.js";

const PROTOCOL_VERSION = 1;
/** Results that go out together; a larger message would hold up heartbeats. */
const RESULTS_BYTES = 1024 * 1024;
/** The gateway takes 16 MiB in one message. */
const MAX_OUTPUT_BYTES = 15 * 1024 * 1024;
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 5_000;
/** How long a worker that leaves may take to finish what it holds. */
export const LEAVE_GRACE_MS = 25_000;
const CLOSE_GRACE_MS = 2_000;
/** Of a gateway that names none. */
const DEFAULT_HEARTBEAT_MS = 4_000;
const DEFAULT_AWAY_MS = 12_000;

type Up = MessageInitShape<typeof WorkerService.method.connect.input>;
type FailureInit = MessageInitShape<typeof WorkerFailureSchema>;

interface Results {
  readonly executions: bigint[];
  readonly outputs: Uint8Array[];
  readonly failures: FailureInit[];
  bytes: number;
}

/** Executions of one step of one run. A call's span and token are made of its number, with the prefixes of the session. */
class BatchOrigin implements Origin {
  constructor(
    private readonly batch: WorkerBatch,
    private readonly welcome: WorkerWelcome,
  ) {}

  factsOf({ id, itemIndex, attempt }: Execution): Facts {
    const { batch, welcome } = this;
    const digits = (id as number).toString(16);
    const spanId = `${welcome.spanPrefix}${digits.padStart(10, "0")}`;
    return {
      attempt,
      taskToken: `${welcome.tokenPrefix}${digits}`,
      idempotencyToken: undefined,
      itemIndex,
      runId: batch.runId,
      flowId: batch.flowId,
      stepId: batch.stepId,
      traceparent: batch.traceId === "" ? undefined : `00-${batch.traceId}-${spanId}-${batch.sampled ? "01" : "00"}`,
    };
  }
}

/** One connection's stream. */
interface Link {
  readonly outbox: Outbox<Up>;
  readonly abort: AbortController;
  welcome: WorkerWelcome | undefined;
  heardAt: number;
  isDraining: boolean;
}

export interface WorkerSetup {
  readonly registry: Registry;
  readonly capacity: number;
  readonly queue: string;
  /** Where the gateway is now; asked before each connection. Throws UnavailableError while there is none. */
  readonly reach: () => Connection;
  readonly leaveGraceMs?: number;
}

export class Worker implements Host {
  readonly workerId = randomUUID();
  readonly #executions = new Executions(this);
  #session = "";
  #sequence = 0n;
  /** Results that the gateway has not taken over yet, by their sequence. */
  readonly #unacknowledged = new Map<bigint, { message: Up; executions: bigint[] }>();
  #fresh: Results = emptyResults();
  #flushIsDue = false;
  #link: Link | undefined;
  #connection: Connection | undefined;
  #isLeaving = false;
  readonly #left = new AbortController();

  constructor(private readonly setup: WorkerSetup) {}

  /** Serve until `leave` was called and nothing is held any more. Rejects if the gateway refuses the worker at its first connection. */
  async run(): Promise<void> {
    for (let retry = 0; !this.#isDone; retry += 1) {
      let failure: FlowspanError;
      try {
        const welcomed = await this.#serveOnce();
        if (welcomed) retry = 0;
        failure = new UnavailableError("the stream ended");
      } catch (error) {
        failure = error instanceof FlowspanError ? error : new FlowspanError("a bug in the worker", { cause: error });
        if (this.#session === "" && !failure.retryable && failure.reason !== "TIMEOUT") {
          this.#executions.close();
          throw failure;
        }
        if (failure.reason === "INTERNAL") log.error("the stream of the worker broke:", failure.cause ?? failure);
      }
      if (this.#isDone) break;
      const pause = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(retry, 20)) * (0.5 + Math.random() / 2);
      if (retry > 0) log.warn(`no connection to the gateway (${failure.message}); next try in ${Math.round(pause)} ms`);
      await sleep(pause, this.#left.signal).catch(() => {});
    }
    this.#executions.close();
  }

  /** Take nothing new, finish what is held, and end. */
  leave(): void {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    // Everything begins as it comes, so there is nothing to give back.
    if (this.#link?.welcome !== undefined) this.#link.outbox.push({ message: { case: "leaving", value: { givenBack: [] } } });
    setTimeout(() => this.#abandon(), this.setup.leaveGraceMs ?? LEAVE_GRACE_MS).unref();
    this.#endIfDone();
  }

  // for executions

  output(execution: Execution, json: string): void {
    const output = encodeJsonBytes(new RawJson(json));
    if (output.length > MAX_OUTPUT_BYTES) {
      const details = { limit: "MAX_OUTPUT_BYTES", max: MAX_OUTPUT_BYTES, actual: output.length };
      this.failure(execution, failure(new LimitExceededError("the output is too large; put it into a blob", { details })));
      return;
    }
    if (this.#fresh.bytes + output.length > RESULTS_BYTES) this.#flush();
    this.#fresh.executions.push(BigInt(execution.id));
    this.#fresh.outputs.push(output);
    this.#fresh.bytes += output.length;
    this.#flushSoon();
  }

  failure(execution: Execution, { code, message, data }: Failure): void {
    const bytes = encodeJsonBytes(new RawJson(data));
    if (this.#fresh.bytes + bytes.length > RESULTS_BYTES) this.#flush();
    const value = { case: "json" as const, value: bytes };
    this.#fresh.failures.push({ execution: BigInt(execution.id), code, message, data: { kind: value } });
    this.#fresh.bytes += bytes.length + message.length;
    this.#flushSoon();
  }

  started(ids: ExecutionId[]): void {
    this.#send({ message: { case: "heartbeat", value: { started: ids.map(BigInt) } } });
  }

  progress(execution: Execution, fraction: number, message: string | undefined): void {
    const value = { execution: BigInt(execution.id), fraction, message: message ?? "" };
    this.#send({ message: { case: "progress", value } });
  }

  runApi(execution: Execution): RunApi {
    if (this.#connection === undefined) throw new UnavailableError("there is no connection to the gateway");
    return new WorkerRunApi(this.#connection, execution, () => this.#executions.sweepBy(execution.deadline));
  }

  // one connection

  /** Connect and serve until the stream ends. Whether the gateway welcomed us. */
  async #serveOnce(): Promise<boolean> {
    const connection = this.setup.reach();
    this.#connection = connection;
    const link: Link = {
      outbox: new Outbox<Up>(),
      abort: new AbortController(),
      welcome: undefined,
      heardAt: performance.now(),
      isDraining: false,
    };
    this.#link = link;
    link.outbox.push(this.#hello());
    let heartbeat: ReturnType<typeof setInterval> | undefined;
    const patience = setTimeout(() => {
      link.abort.abort(new UnavailableError(`the gateway said nothing for ${DEFAULT_AWAY_MS} ms`));
    }, DEFAULT_AWAY_MS);
    try {
      const stream = connection.exchange(WorkerService.method.connect, link.outbox, link.abort);
      for await (const message of stream) {
        link.heardAt = performance.now();
        if (link.welcome !== undefined) {
          this.#take(link, link.welcome, message);
          continue;
        }
        if (message.message.case !== "welcome")
          throw new FlowspanError("the gateway's first message is no welcome", { fromPeer: true });
        clearTimeout(patience);
        link.welcome = message.message.value;
        this.#onWelcome(link, link.welcome);
        heartbeat = this.#beat(link, link.welcome);
      }
    } finally {
      clearTimeout(patience);
      clearInterval(heartbeat);
      link.outbox.end();
      link.abort.abort();
      this.#link = undefined;
    }
    return link.welcome !== undefined;
  }

  #hello(): Up {
    const components = this.setup.registry.all.map(({ name, description, inputSchema, outputSchema }) => ({
      name,
      description: description ?? "",
      inputSchema: inputSchema && jsonOf(inputSchema),
      outputSchema: outputSchema && jsonOf(outputSchema),
    }));
    const value = {
      queue: this.setup.queue,
      components,
      capacity: this.setup.capacity,
      protocolVersions: [PROTOCOL_VERSION],
      workerId: this.workerId,
      session: this.#session,
      held: this.#held,
      sdk: `flowspan-typescript ${VERSION}`,
    };
    return { message: { case: "hello", value } };
  }

  /** Executions that run, and those whose results were not acknowledged. */
  get #held(): bigint[] {
    const held = this.#executions.ids.map(BigInt);
    this.#flush();
    for (const { executions } of this.#unacknowledged.values()) held.push(...executions);
    return held;
  }

  #onWelcome(link: Link, welcome: WorkerWelcome): void {
    if (welcome.session !== this.#session) {
      // Another life of the gateway: nothing of what is held is wanted any more.
      if (this.#session !== "") this.#forgetAll();
      this.#session = welcome.session;
    } else this.#executions.forget(welcome.unwanted.map(Number));
    for (const { message } of this.#unacknowledged.values()) link.outbox.push(message);
    if (this.#isLeaving) link.outbox.push({ message: { case: "leaving", value: { givenBack: [] } } });
    log.info(`serves queue ${this.setup.queue} as worker ${this.workerId}`);
    this.#endIfDone();
  }

  #forgetAll(): void {
    this.#executions.forget(this.#executions.ids);
    this.#unacknowledged.clear();
    this.#fresh = emptyResults();
    this.#sequence = 0n;
  }

  #beat(link: Link, welcome: WorkerWelcome): ReturnType<typeof setInterval> {
    const everyMs = welcome.heartbeatSeconds > 0 ? welcome.heartbeatSeconds * 1000 : DEFAULT_HEARTBEAT_MS;
    const awayMs = Math.max(welcome.awaySeconds > 0 ? welcome.awaySeconds * 1000 : DEFAULT_AWAY_MS, 2 * everyMs);
    const timer = setInterval(() => {
      if (performance.now() - link.heardAt > awayMs) {
        link.abort.abort(new UnavailableError(`the gateway said nothing for ${awayMs} ms`));
      } else link.outbox.push({ message: { case: "heartbeat", value: {} } });
    }, everyMs / 2);
    return timer;
  }

  #take(link: Link, welcome: WorkerWelcome, { message }: ConnectResponse): void {
    switch (message.case) {
      case "execute":
        for (const batch of message.value.batches) this.#execute(batch, welcome);
        break;
      case "cancel": {
        const running = this.#executions.cancel(message.value.executions.map(Number)).map(BigInt);
        // Everything begins as it comes, so nothing is ever dropped.
        link.outbox.push({ message: { case: "cancelled", value: { dropped: [], running } } });
        break;
      }
      case "acknowledged":
        for (const sequence of this.#unacknowledged.keys()) {
          if (sequence > message.value.throughSequence) break;
          this.#unacknowledged.delete(sequence);
        }
        this.#endIfDone();
        break;
      case "drain":
        log.info(`the gateway drains: ${message.value.reason || "no reason given"}`);
        link.isDraining = true;
        this.#endIfDone();
        break;
      default:
        break;
    }
  }

  #execute(batch: WorkerBatch, welcome: WorkerWelcome): void {
    if (this.#isLeaving) {
      // On its way when we said so: it goes elsewhere and counts as never tried.
      this.#send({ message: { case: "leaving", value: { givenBack: batch.executions } } });
      return;
    }
    const found = this.setup.registry.find(batch.component);
    const origin = new BatchOrigin(batch, welcome);
    const timeoutMs = batch.timeoutSeconds > 0 ? batch.timeoutSeconds * 1000 : Number.POSITIVE_INFINITY;
    for (let i = 0; i < batch.executions.length; i += 1) {
      const id = Number(batch.executions[i]);
      const itemIndex = Number(batch.itemIndexes[i] ?? 0n);
      const known = found ?? { component: NO_COMPONENT, parameters: {} };
      const execution = new Execution(id, known, origin, timeoutMs, itemIndex, batch.attempts[i] ?? 1);
      if (found === undefined) this.failure(execution, failure(noComponent(batch.component)));
      else this.#begin(execution, batch.inputs[i]);
    }
  }

  #begin(execution: Execution, bytes: Uint8Array | undefined): void {
    const { component } = execution.found;
    const raw = new RawJson(bytes === undefined || bytes.length === 0 ? "null" : bytes);
    let input: unknown = raw;
    if (!component.raw) {
      try {
        input = parseJson(raw.text, component.numbers);
      } catch (cause) {
        this.failure(execution, failure(new FlowspanError("the input is not JSON", { reason: "PARSE_ERROR", cause })));
        return;
      }
    }
    this.#executions.begin(execution, input);
  }

  // results

  #send(message: Up): void {
    if (this.#link?.welcome !== undefined) this.#link.outbox.push(message);
  }

  /** With whatever else ends in this turn of the loop. */
  #flushSoon(): void {
    if (this.#flushIsDue) return;
    this.#flushIsDue = true;
    setImmediate(() => {
      this.#flushIsDue = false;
      this.#flush();
    });
  }

  #flush(): void {
    const { executions, outputs, failures } = this.#fresh;
    if (executions.length + failures.length === 0) return;
    this.#fresh = emptyResults();
    this.#sequence += 1n;
    const value = { sequence: this.#sequence, executions, outputs, failures };
    const message: Up = { message: { case: "results", value } };
    const all = [...executions, ...failures.map((one) => one.execution ?? 0n)];
    this.#unacknowledged.set(this.#sequence, { message, executions: all });
    this.#send(message);
  }

  // the end

  get #isIdle(): boolean {
    return (
      this.#executions.size === 0 &&
      this.#unacknowledged.size === 0 &&
      this.#fresh.executions.length + this.#fresh.failures.length === 0
    );
  }

  get #isDone(): boolean {
    return this.#left.signal.aborted || (this.#isLeaving && this.#isIdle);
  }

  /** Close the stream once nothing is held, where we leave or the gateway wants it. */
  #endIfDone(): void {
    if (!this.#isIdle) return;
    if (this.#isLeaving) this.#left.abort();
    const link = this.#link;
    if (link === undefined || !(this.#isLeaving || link.isDraining)) return;
    link.outbox.end();
    // The gateway ends its side as soon as ours is closed.
    setTimeout(() => link.abort.abort(new UnavailableError("the stream was closed")), CLOSE_GRACE_MS).unref();
  }

  #abandon(): void {
    this.#left.abort();
    this.#link?.abort.abort(new UnavailableError("the worker has left"));
  }
}

const NO_COMPONENT: Component = {
  name: "/",
  run: () => undefined,
  takesContext: false,
  numbers: "safe",
  raw: false,
  description: undefined,
  inputSchema: undefined,
  outputSchema: undefined,
};

function emptyResults(): Results {
  return { executions: [], outputs: [], failures: [], bytes: 0 };
}

function jsonOf(value: object): { kind: { case: "json"; value: Uint8Array } } {
  return { kind: { case: "json", value: encodeJsonBytes(value) } };
}
