// A stream that is taken up again where it was lost, for as long as that makes sense.

import { type FlowspanError, RequestCancelledError, UnavailableError } from "../errors.js";
import type { AnswerStream, Connection } from "./connection.js";
import { delayMs, mayResume, sleep } from "./retry.js";

export interface ResumingOwner<T> {
  /** Begins at the cursor that the owner keeps. */
  open(): AnswerStream<T>;
  /** Whether the run is known to exist; before, the rules of a unary call hold. */
  isAccepted(): boolean;
  /** Before it is accepted: whether it may be submitted again. */
  mayRepeat?(): boolean;
  /** Whether nothing can come any more; asked when a stream ends before its run did. */
  isBehindTheEnd(): Promise<boolean>;
  /** Completes the details of an error before it is thrown. */
  locate(error: FlowspanError): FlowspanError;
}

/** Messages of a watch over any number of connections. */
export class ResumingStream<T> {
  /** Nothing comes any more. */
  hasEnded = false;
  #stream: AnswerStream<T> | undefined;
  #retry = 0;
  #lostAt: number | undefined;
  readonly #closed = new AbortController();

  constructor(
    private readonly connection: Connection,
    private readonly owner: ResumingOwner<T>,
  ) {}

  /** The next message; undefined where the stream was lost and another try is due, or where it `hasEnded`. */
  async receive(): Promise<T | undefined> {
    let error: FlowspanError;
    try {
      this.#stream ??= this.owner.open();
      const message = await this.#stream.next();
      if (message !== undefined) {
        this.#retry = 0;
        this.#lostAt = undefined;
        return message;
      }
      if (await this.owner.isBehindTheEnd()) {
        this.hasEnded = true;
        return undefined;
      }
      error = new UnavailableError("the stream ended before the run did");
    } catch (failure) {
      error = failure as FlowspanError;
    }
    this.hangUp();
    if (this.#closed.signal.aborted) {
      this.hasEnded = true;
      return undefined;
    }
    const now = performance.now();
    this.#lostAt ??= now;
    const pause = delayMs(this.connection.options.retry, this.#retry, error);
    if (!this.#mayGoOn(error, now + pause - this.#lostAt)) throw this.owner.locate(error);
    this.#retry += 1;
    await sleep(pause, this.#closed.signal).catch(() => {
      this.hasEnded = true;
    });
    return undefined;
  }

  /** End the connection's stream; the next `receive` would begin another. */
  hangUp(): void {
    this.#stream?.close();
    this.#stream = undefined;
  }

  /** End for good; a pending `receive` gives undefined. */
  close(): void {
    this.#closed.abort(new RequestCancelledError("the watch was closed"));
    this.hangUp();
  }

  #mayGoOn(error: FlowspanError, lostMs: number): boolean {
    const { retry } = this.connection.options;
    if (this.connection.isClosed) return false;
    if (!this.owner.isAccepted()) return error.retryable && this.#retry < retry.maxRetries && (this.owner.mayRepeat?.() ?? true);
    return mayResume(error) && lostMs <= retry.giveUpAfterMs;
  }
}
