// Which failures are worth another try, and when.

import type { FlowspanError } from "../errors.js";

/** How often and how far apart. */
export interface RetryPolicy {
  /** Tries after the first one of a unary call; default 2. */
  readonly maxRetries: number;
  /** Bound of the wait before the first of them; doubles with each. Default 200. */
  readonly firstDelayMs: number;
  /** Where the doubling ends; default 5,000. */
  readonly longestDelayMs: number;
  /** How long a watch tries to resume without receiving anything; Infinity: for ever. Default 60,000. */
  readonly giveUpAfterMs: number;
}

export const DEFAULT_RETRY: RetryPolicy = { maxRetries: 2, firstDelayMs: 200, longestDelayMs: 5_000, giveUpAfterMs: 60_000 };

/** Before retry number `retry` (from 0). A time that the peer named is kept, and up to a quarter more is added to it. */
export function delayMs(policy: RetryPolicy, retry: number, error: FlowspanError, dice = Math.random()): number {
  const named = error.details["retryAfterMs"];
  if (typeof named === "number" && named >= 0) return named * (1 + dice / 4);
  return Math.min(policy.longestDelayMs, policy.firstDelayMs * 2 ** Math.min(retry, 30)) * (0.5 + dice / 2);
}

/** Whether a watch goes on from its cursor: where the peer was not there, or another owner takes the run over. */
export function mayResume(error: FlowspanError): boolean {
  return error.retryable || error.row.grpc === "ABORTED";
}

/** Resolves after a time; rejects with the signal's reason if that comes first. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
