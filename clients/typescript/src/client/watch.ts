// Following a run: results as they become durable.

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { FlowspanError, InvalidArgumentError } from "../errors.js";
import { RawJson } from "../json/values.js";
import {
  RunService,
  type SubmitAndWatchRunRequest,
  SubmitAndWatchRunRequestSchema,
  type SubmitAndWatchRunResponse,
  type WatchOptionsSchema,
  type WatchRunResponse,
} from "../v1/run_service_pb.js";
import { type ItemResult, isTerminal, type ResultOrder, type RunStatus } from "../view/status.js";
import type { AnswerStream, Connection } from "./connection.js";
import { statusWord } from "./convert.js";
import { type LoggedResult, RunFold } from "./fold.js";
import { ResumingStream } from "./resuming.js";

type WireOptions = Omit<MessageInitShape<typeof WatchOptionsSchema>, "$typeName" | "$unknown">;
type Submission = Pick<MessageInitShape<typeof SubmitAndWatchRunRequestSchema>, "run">;
type Message = WatchRunResponse | SubmitAndWatchRunResponse;

export interface WatchOptions {
  /** The cursor; 0: from the beginning. */
  readonly afterSeq?: number | undefined;
  /** `byCompletion` (the order of the log; the default) or `byIndex` (a result waits for those before it). */
  readonly order?: ResultOrder | undefined;
  /** Leave out everything but results, the run's description included: `status` stays undefined. */
  readonly resultsOnly?: boolean | undefined;
  /** The execution that waits for the run: its slot in its component server is given back meanwhile. */
  readonly taskToken?: string | undefined;
}

export interface WatchSetup extends WatchOptions {
  readonly runId?: string | undefined;
  /** A request that submits the run as well; repeated as it is until the run is known. */
  readonly submission?: Submission | undefined;
  readonly wire?: WireOptions | undefined;
  readonly labels?: readonly string[] | undefined;
}

/**
 * The results of a run as they become durable: an async iterator that ends with the run.
 *
 * A lost connection is taken up again from the last cursor; what was handed out is not handed out again. Not to be shared between
 * readers. `close` (or leaving a `for await`) ends it early; the run goes on.
 */
export class Watch implements AsyncIterableIterator<ItemResult> {
  #runId: string | undefined;
  readonly #byIndex: boolean;
  readonly #fold: RunFold;
  readonly #stream: ResumingStream<Message>;
  readonly #options: WireOptions;
  readonly #submission: SubmitAndWatchRunRequest | undefined;
  /** Payloads are still in blobs. */
  #unread: LoggedResult[] = [];
  /** By index: results that wait for one before them. */
  readonly #held = new Map<number, LoggedResult>();
  #nextIndex = 0;
  #ready: LoggedResult[] = [];
  #given = 0;
  #firstReady: number[] = [];
  #firstHeld = Number.POSITIVE_INFINITY;
  #isClosed = false;

  constructor(
    private readonly connection: Connection,
    private readonly readBlob: (blobId: string) => Promise<Uint8Array>,
    private readonly setup: WatchSetup,
  ) {
    const { order, afterSeq = 0, runId, submission } = setup;
    if (order !== undefined && order !== "byIndex" && order !== "byCompletion") {
      throw new InvalidArgumentError(`order is byIndex or byCompletion, not ${String(order)}`, { details: { field: "order" } });
    }
    this.#byIndex = order === "byIndex";
    if (this.#byIndex && afterSeq > 0) {
      throw new InvalidArgumentError("a watch by index begins at afterSeq 0; use listRunItems with afterItemIndex", {
        details: { field: "order" },
      });
    }
    this.#runId = runId;
    const { wire, resultsOnly = false, taskToken = "" } = setup;
    this.#options = { resultsOnly, taskToken, ...wire };
    this.#submission = submission && create(SubmitAndWatchRunRequestSchema, { ...submission, options: this.#options });
    this.#fold = new RunFold(afterSeq, connection.numbers);
    this.#stream = new ResumingStream<Message>(connection, {
      open: () => this.#open(),
      isAccepted: () => this.#runId !== undefined,
      // Without a key a repeated submit could make a second run.
      mayRepeat: () => (submission?.run?.options?.requestId ?? "") !== "",
      isBehindTheEnd: () => this.#isBehindTheEnd(),
      locate: (error) => this.#located(error),
    });
  }

  /** The run; undefined until the gateway has accepted it. */
  get runId(): string | undefined {
    return this.#runId;
  }

  /** The run as of what was received, without results. Undefined before event 1, so always for a watch with `afterSeq`. */
  get status(): RunStatus | undefined {
    return this.#fold.snapshot();
  }

  /** Give this as `afterSeq` to another watch: it hands out everything that this one has not. */
  get cursor(): number {
    let first = this.#fold.throughSeq + 1;
    if (this.#byIndex) {
      first = Math.min(first, this.#firstReady[this.#given] ?? first, this.#firstHeld);
      for (const { seq } of this.#unread) first = Math.min(first, seq);
    } else {
      first = this.#ready[this.#given]?.seq ?? this.#unread[0]?.seq ?? first;
    }
    return first - 1;
  }

  /** The run has ended and every result was handed out. */
  get isOver(): boolean {
    return this.#isClosed || (this.#hasEnded && this.#given >= this.#ready.length && this.#unread.length === 0);
  }

  get #hasEnded(): boolean {
    return this.#stream.hasEnded || this.#fold.isTerminal;
  }

  /** Whatever has come since the last batch, at least one result; empty when the run is over. */
  async nextBatch(): Promise<ItemResult[]> {
    while (this.#given >= this.#ready.length && !this.isOver) await this.#fill();
    const batch = this.#isClosed ? [] : this.#ready.slice(this.#given).map((entry) => entry.result);
    if (!this.#isClosed) this.#given = this.#ready.length;
    return batch;
  }

  /** Results in batches, for consumers in a hurry. */
  async *batches(): AsyncGenerator<ItemResult[], void, void> {
    for (;;) {
      const batch = await this.nextBatch();
      if (batch.length === 0) return;
      yield batch;
    }
  }

  async next(): Promise<IteratorResult<ItemResult, undefined>> {
    for (;;) {
      const entry = this.#isClosed ? undefined : this.#ready[this.#given];
      if (entry !== undefined) {
        this.#given += 1;
        return { done: false, value: entry.result };
      }
      if (this.isOver) return { done: true, value: undefined };
      await this.#fill();
    }
  }

  async return(): Promise<IteratorResult<ItemResult, undefined>> {
    this.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** End the watch; whoever waits for its next result finds it over. Harmless if repeated. */
  close(): void {
    this.#isClosed = true;
    this.#stream.close();
  }

  /** Receive until something changed, and make its results ready. */
  async #fill(): Promise<void> {
    if (this.#unread.length === 0) {
      if (this.#hasEnded) return;
      const message = await this.#stream.receive();
      if (message === undefined) return;
      this.#takeIn(message);
    }
    for (const entry of this.#unread) {
      if (entry.blobId === undefined) continue;
      entry.result = entry.result.withPayload(new RawJson(await this.readBlob(entry.blobId)));
      entry.blobId = undefined;
    }
    const fresh = this.#unread;
    this.#unread = [];
    this.#ready = this.#byIndex ? this.#inOrder(fresh) : fresh;
    this.#given = 0;
    if (this.#byIndex) this.#findFirst();
  }

  /** The lowest event of what is ready from each position on, and of what is held: the cursor may be asked for at each result. */
  #findFirst(): void {
    let first = Number.POSITIVE_INFINITY;
    this.#firstReady = new Array(this.#ready.length);
    for (let i = this.#ready.length - 1; i >= 0; i -= 1) {
      first = Math.min(first, this.#ready[i]?.seq ?? first);
      this.#firstReady[i] = first;
    }
    this.#firstHeld = Number.POSITIVE_INFINITY;
    for (const { seq } of this.#held.values()) this.#firstHeld = Math.min(this.#firstHeld, seq);
  }

  #inOrder(fresh: LoggedResult[]): LoggedResult[] {
    for (const entry of fresh) this.#held.set(entry.result.itemIndex, entry);
    const ready: LoggedResult[] = [];
    for (let entry = this.#held.get(this.#nextIndex); entry !== undefined; entry = this.#held.get(this.#nextIndex)) {
      ready.push(entry);
      this.#held.delete(this.#nextIndex);
      this.#nextIndex += 1;
    }
    if (this.#fold.isTerminal) {
      // Items that a cancel kept from starting leave holes.
      for (const entry of [...this.#held.values()].sort((a, b) => a.result.itemIndex - b.result.itemIndex)) ready.push(entry);
      this.#held.clear();
    }
    return ready;
  }

  #takeIn(message: Message): void {
    if ("run" in message && message.run !== undefined) this.#runId = message.run.runId;
    const labels = this.setup.labels;
    for (const segment of message.segments) {
      let fresh: LoggedResult[];
      try {
        fresh = this.#fold.apply(segment);
      } catch (failure) {
        if (failure instanceof FlowspanError) throw this.#located(failure);
        this.#stream.hangUp();
        const text = `the gateway sent a broken log: ${(failure as Error).message}`;
        throw this.#located(new FlowspanError(text, { fromPeer: true, cause: failure }));
      }
      for (const entry of fresh) {
        if (labels !== undefined && labels.length > 0) entry.result = entry.result.withLabel(labels[entry.result.itemIndex]);
        this.#unread.push(entry);
      }
    }
    this.#fold.throughSeq = Math.max(this.#fold.throughSeq, Number(message.throughSeq));
    if (this.#fold.isTerminal) this.#stream.hangUp();
  }

  /** Whether the log ends at the cursor: a watch that begins there gets no event at all, not even the last. */
  async #isBehindTheEnd(): Promise<boolean> {
    if (this.#runId === undefined) return false;
    const { run } = await this.connection.unary(RunService.method.getRun, { runId: this.#runId });
    return run !== undefined && isTerminal(statusWord(run.status)) && Number(run.asOfSeq) <= this.#fold.throughSeq;
  }

  #open(): AnswerStream<Message> {
    if (this.#runId === undefined && this.#submission !== undefined) {
      return this.connection.openStream(RunService.method.submitAndWatchRun, this.#submission);
    }
    return this.connection.openStream(RunService.method.watchRun, {
      runId: this.#runId ?? "",
      afterSeq: BigInt(this.#fold.throughSeq),
      options: this.#options,
    });
  }

  #located(error: FlowspanError): FlowspanError {
    error.details["afterSeq"] ??= this.cursor;
    if (this.#runId !== undefined) error.details["runId"] ??= this.#runId;
    return error;
  }
}
