// Calls over the transports of a client: retries, deadlines, streams. Knows no runs.

import {
  create,
  type DescMessage,
  type DescMethodBiDiStreaming,
  type DescMethodClientStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { FlowspanError, RequestCancelledError, TimeoutError } from "../errors.js";
import type { NumberMode } from "../json/values.js";
import { delayMs, type RetryPolicy, sleep } from "./retry.js";
import { errorFromRpc } from "./rpc_errors.js";

/** How a client reaches its gateway: one transport for calls, one for watches, so that a slow watcher never holds up a call. */
export interface Wires {
  readonly target: string;
  readonly calls: Transport;
  readonly watches: Transport;
  /** Whether a request may be a stream. Browsers cannot. */
  readonly streamsRequests: boolean;
  /** Reads the document of a flow; absent where there are no files. */
  readonly readFile?: (path: string) => Promise<Uint8Array>;
  /** Ends the connections. */
  close(): void;
}

export interface ConnectionOptions {
  readonly headers: Readonly<Record<string, string>>;
  /** Bound of a unary call, its retries included. */
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
  readonly numbers: NumberMode;
}

export interface CallOptions {
  /** Instead of the client's `timeoutMs`. */
  readonly timeoutMs?: number | undefined;
  /** Gives the call up. */
  readonly signal?: AbortSignal | undefined;
}

/** For the answer to a streamed submit or blob: its size decides how long the last commit takes. */
const COMMIT_TIMEOUT_MS = 60_000;

/** An open stream of answers. */
export interface AnswerStream<T> {
  /** The next message; undefined where the stream ended. Throws FlowspanError. */
  next(): Promise<T | undefined>;
  /** Harmless if repeated. */
  close(): void;
}

export class Connection {
  #isClosed = false;
  readonly #open = new Set<AbortController>();

  constructor(
    readonly wires: Wires,
    readonly options: ConnectionOptions,
  ) {}

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get numbers(): NumberMode {
    return this.options.numbers;
  }

  /** Another connection over the same wires, with more headers. */
  with(headers: Readonly<Record<string, string>>, numbers = this.options.numbers): Connection {
    return new Connection(this.wires, { ...this.options, numbers, headers: { ...this.options.headers, ...headers } });
  }

  /** The transport for calls, with the headers of this connection. */
  get transport(): Transport {
    const { calls } = this.wires;
    const all = (given: ConstructorParameters<typeof Headers>[0]) => {
      const headers = new Headers(this.options.headers);
      new Headers(given).forEach((value, name) => {
        headers.set(name, value);
      });
      return headers;
    };
    return {
      unary: (method, signal, timeoutMs, headers, ...rest) => calls.unary(method, signal, timeoutMs, all(headers), ...rest),
      stream: (method, signal, timeoutMs, headers, ...rest) => calls.stream(method, signal, timeoutMs, all(headers), ...rest),
    };
  }

  /** End all calls. Harmless if repeated. */
  close(): void {
    this.#isClosed = true;
    for (const call of this.#open) call.abort();
    this.#open.clear();
    this.wires.close();
  }

  /** Call until it succeeds, fails for good, or the time or the retries are used up. */
  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    { timeoutMs = this.options.timeoutMs, signal, repeat = true }: CallOptions & { repeat?: boolean } = {},
  ): Promise<MessageShape<O>> {
    const message = create(method.input, request);
    const deadline = performance.now() + timeoutMs;
    return this.#repeated(repeat ? deadline : Number.NEGATIVE_INFINITY, signal, (call) => {
      const left = Math.max(1, Math.ceil(deadline - performance.now()));
      return this.wires.calls
        .unary(method, call, left, this.options.headers, message as MessageInitShape<I>)
        .then((answer) => answer.message);
    });
  }

  /** Send a stream of messages; repeated like a unary call if they are at hand. */
  async upload<I extends DescMessage, O extends DescMessage>(
    method: DescMethodClientStreaming<I, O>,
    messages: readonly MessageInitShape<I>[] | AsyncIterable<MessageInitShape<I>>,
    { timeoutMs = this.options.timeoutMs, signal }: CallOptions = {},
  ): Promise<MessageShape<O>> {
    const repeatable = Array.isArray(messages);
    return this.#repeated(repeatable ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY, signal, async (call, abort) => {
      const idle = new IdleTimer(abort);
      const source = messages as Iterable<MessageInitShape<I>> | AsyncIterable<MessageInitShape<I>>;
      async function* moving(): AsyncGenerator<MessageInitShape<I>> {
        for await (const message of source) {
          idle.start(timeoutMs);
          yield message;
          idle.stop(); // the source takes what time it likes
        }
        idle.start(COMMIT_TIMEOUT_MS);
      }
      try {
        const answer = await this.wires.calls.stream(method, call, undefined, this.options.headers, moving());
        for await (const message of answer.message) return message;
      } finally {
        idle.end();
      }
      throw new FlowspanError("the gateway ended the call without an answer", { reason: "UNAVAILABLE" });
    });
  }

  /** All messages of a stream. */
  async download<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    { timeoutMs = this.options.timeoutMs, signal }: CallOptions = {},
  ): Promise<MessageShape<O>[]> {
    return this.#repeated(Number.POSITIVE_INFINITY, signal, async (call, abort) => {
      const idle = new IdleTimer(abort);
      const received: MessageShape<O>[] = [];
      idle.start(timeoutMs);
      try {
        const answer = await this.wires.calls.stream(method, call, undefined, this.options.headers, once(request));
        for await (const message of answer.message) {
          idle.start(timeoutMs);
          received.push(message);
        }
      } finally {
        idle.end();
      }
      return received;
    });
  }

  /** Open a stream of answers on the transport for watches. */
  openStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    headers: Readonly<Record<string, string>> = {},
  ): AnswerStream<MessageShape<O>> {
    const abort = new AbortController();
    this.#open.add(abort);
    let iterator: AsyncIterator<MessageShape<O>> | undefined;
    const close = () => {
      this.#open.delete(abort);
      abort.abort();
    };
    const next = async () => {
      try {
        this.#refuseIfClosed();
        if (iterator === undefined) {
          const all = { ...this.options.headers, ...headers };
          const answer = await this.wires.watches.stream(method, abort.signal, undefined, all, once(request));
          iterator = answer.message[Symbol.asyncIterator]();
        }
        const step = await iterator.next();
        if (step.done !== true) return step.value;
      } catch (failure) {
        const isOurs = abort.signal.aborted;
        close();
        throw isOurs ? this.#givenUp() : errorFromRpc(failure);
      }
      close();
      return undefined;
    };
    return { next, close };
  }

  /** A stream both ways, on the transport for watches. `abort` ends it; a FlowspanError as its reason is what is thrown then. */
  async *exchange<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
    messages: AsyncIterable<MessageInitShape<I>>,
    abort: AbortController,
  ): AsyncGenerator<MessageShape<O>, void, void> {
    this.#refuseIfClosed();
    this.#open.add(abort);
    try {
      const answer = await this.wires.watches.stream(method, abort.signal, undefined, this.options.headers, messages);
      yield* answer.message;
    } catch (failure) {
      if (abort.signal.reason instanceof FlowspanError) throw abort.signal.reason;
      throw abort.signal.aborted ? this.#givenUp() : errorFromRpc(failure);
    } finally {
      this.#open.delete(abort);
    }
  }

  async #repeated<T>(
    deadline: number,
    signal: AbortSignal | undefined,
    once: (call: AbortSignal, abort: AbortController) => Promise<T>,
  ): Promise<T> {
    for (let retry = 0; ; retry += 1) {
      this.#refuseIfClosed();
      const abort = new AbortController();
      const onAbort = () => abort.abort();
      if (signal?.aborted) throw this.#givenUp();
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#open.add(abort);
      let error: FlowspanError;
      try {
        return await once(abort.signal, abort);
      } catch (failure) {
        if (abort.signal.reason instanceof FlowspanError) error = abort.signal.reason;
        else if (abort.signal.aborted) throw this.#givenUp();
        else error = errorFromRpc(failure);
      } finally {
        this.#open.delete(abort);
        signal?.removeEventListener("abort", onAbort);
      }
      const pause = delayMs(this.options.retry, retry, error);
      const isLate = performance.now() + pause >= deadline;
      if (isLate || retry >= this.options.retry.maxRetries || !error.retryable) throw error;
      await sleep(pause, signal).catch(() => {
        throw this.#givenUp();
      });
    }
  }

  #refuseIfClosed(): void {
    if (this.#isClosed) throw new RequestCancelledError("the client is closed");
  }

  #givenUp(): FlowspanError {
    return new RequestCancelledError(this.#isClosed ? "the client was closed during the call" : "the caller gave the call up");
  }
}

/** Ends a call that does not move. */
class IdleTimer {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;

  constructor(private readonly abort: AbortController) {}

  start(ms: number): void {
    this.stop();
    if (this.#isOver) return;
    this.#timer = setTimeout(() => this.abort.abort(new TimeoutError(`the gateway did not move for ${ms} ms`)), ms);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  /** For good: a request that is still being sent starts it no more. */
  end(): void {
    this.#isOver = true;
    this.stop();
  }
}

async function* once<T>(message: T): AsyncGenerator<T> {
  yield message;
}
