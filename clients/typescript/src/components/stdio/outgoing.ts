// Our requests to the gateway: a window, a bounded wait for each, and repetition when the gateway is overloaded.

import { sleep } from "../../client/retry.js";
import type { Reason } from "../../errors.js";
import {
  ERROR_TABLE,
  errorOfReason,
  FlowspanError,
  isReason,
  RequestCancelledError,
  TimeoutError,
  UnavailableError,
} from "../../errors.js";

/** Requests that may be open at once, open-ended waits not counted; a gateway refuses more. */
const WINDOW = 1_024;
const REQUEST_TIMEOUT_MS = 60_000;
/** How long a request is repeated while the gateway says that it is overloaded. */
const MAX_OVERLOAD_MS = 60_000;
const DEFAULT_RETRY_AFTER_MS = 100;

export interface RequestOptions {
  /** Bound on the answer; Infinity if the caller waits for a run without a bound. */
  readonly timeoutMs?: number | undefined;
  /** A wait on a run, which takes no place in the window. */
  readonly openEnded?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told the id of the request before anything can be answered. */
  readonly onId?: ((id: number) => void) | undefined;
}

interface OpenRequest {
  resolve(result: string): void;
  reject(error: FlowspanError): void;
}

export class Outgoing {
  readonly #open = new Map<number, OpenRequest>();
  readonly #queued: (() => void)[] = [];
  #inWindow = 0;
  #nextId = 1;
  #isClosed = false;

  constructor(private readonly send: (line: string) => void) {}

  /** Ask the gateway; the JSON text of the result. `params`: JSON text. */
  async request(method: string, params: string, options: RequestOptions = {}): Promise<string> {
    const giveUpAt = performance.now() + MAX_OVERLOAD_MS;
    for (;;) {
      try {
        return await this.#ask(method, params, options);
      } catch (error) {
        if (!(error instanceof FlowspanError) || error.reason !== "OVERLOADED") throw error;
        const hint = error.details["retryAfterMs"];
        const pause = typeof hint === "number" && hint > 0 ? hint : DEFAULT_RETRY_AFTER_MS;
        if (performance.now() + pause > giveUpAt) throw error;
        await sleep(pause, options.signal).catch(() => {
          throw givenUp();
        });
      }
    }
  }

  /** Tell the gateway something. `params`: JSON text. */
  notify(method: string, params: string): void {
    if (!this.#isClosed) this.send(`{"jsonrpc":"2.0","method":"${method}","params":${params}}\n`);
  }

  /** An answer: the JSON text of the result, or the error as it came. */
  take(id: unknown, result: string | undefined, error: unknown): void {
    if (typeof id !== "number") return;
    const request = this.#open.get(id);
    if (request === undefined) return;
    this.#open.delete(id);
    if (result !== undefined) request.resolve(result);
    else request.reject(errorFromWire(error));
  }

  /** The connection is gone: every open request fails. */
  close(): void {
    this.#isClosed = true;
    const open = [...this.#open.values()];
    this.#open.clear();
    for (const request of open) request.reject(gone());
    for (const enter of this.#queued.splice(0)) enter();
  }

  async #ask(method: string, params: string, options: RequestOptions): Promise<string> {
    if (options.openEnded === true) return this.#exchange(method, params, options);
    if (this.#inWindow >= WINDOW) await new Promise<void>((resolve) => this.#queued.push(resolve));
    else this.#inWindow += 1;
    try {
      return await this.#exchange(method, params, options);
    } finally {
      const next = this.#queued.shift();
      if (next === undefined) this.#inWindow -= 1;
      else next();
    }
  }

  #exchange(method: string, params: string, { timeoutMs = REQUEST_TIMEOUT_MS, signal, onId }: RequestOptions): Promise<string> {
    if (this.#isClosed) return Promise.reject(gone());
    if (signal?.aborted) return Promise.reject(givenUp());
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise<string>((resolve, reject) => {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const settle = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      };
      const giveUp = (error: FlowspanError) => {
        if (!this.#open.delete(id)) return;
        settle();
        // The gateway need not go on.
        this.notify("$/cancelRequest", `{"id":${id}}`);
        reject(error);
      };
      const onAbort = () => giveUp(givenUp());
      if (timeoutMs < 2 ** 31) {
        const late = () => giveUp(new TimeoutError(`the gateway did not answer ${method} within ${timeoutMs} ms`));
        timer = setTimeout(late, timeoutMs);
      }
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#open.set(id, {
        resolve: (result) => {
          settle();
          resolve(result);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      });
      onId?.(id);
      this.send(`{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${params}}\n`);
    });
  }
}

function gone(): FlowspanError {
  return new UnavailableError("the connection to the gateway is closed");
}

function givenUp(): FlowspanError {
  return new RequestCancelledError("the execution has ended, or its caller gave the call up");
}

const REASON_OF_CODE = new Map<number, Reason>();
for (const [reason, row] of Object.entries(ERROR_TABLE)) {
  if (isReason(reason) && !REASON_OF_CODE.has(row.jsonrpc)) REASON_OF_CODE.set(row.jsonrpc, reason);
}

/** The peer's `data.reason` decides where it fits the code. */
function errorFromWire(wire: unknown): FlowspanError {
  const { code, message, data } = (typeof wire === "object" && wire !== null ? wire : {}) as Record<string, unknown>;
  const text = typeof message === "string" ? message : "the gateway gave no message";
  const known = typeof data === "object" && data !== null ? (data as Record<string, unknown>) : {};
  const { reason: named, domain: _, ...details } = known;
  if (isReason(named) && ERROR_TABLE[named].jsonrpc === code) return errorOfReason(named, text, { details, fromPeer: true });
  const reason = typeof code === "number" ? REASON_OF_CODE.get(code) : undefined;
  return errorOfReason(reason ?? "INTERNAL", text, {
    details: reason === undefined ? { ...details, code } : details,
    fromPeer: true,
  });
}
