// Runs and blobs from inside an execution, whatever the wire.

import type { ItemResult, ResultOrder, RunStatus } from "../view/status.js";

export interface SubmitRunOptions {
  /** Until the run is terminal; the status then has results in index order. Waiting takes no slot and no time. */
  readonly wait?: boolean | undefined;
  /** Bound on the wait; when it is over, the status as it stands. */
  readonly timeoutMs?: number | undefined;
  readonly maxConcurrency?: number | undefined;
  readonly overrides?: object | undefined;
  readonly variables?: object | undefined;
  readonly flowLabel?: string | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  readonly itemLabels?: readonly string[] | undefined;
  /** The run itself is cancelled after so long. */
  readonly deadlineMs?: number | undefined;
  /** The run outlives a cancel of its parent. */
  readonly detached?: boolean | undefined;
  readonly requestId?: string | undefined;
}

export interface GetRunOptions {
  readonly wait?: boolean | undefined;
  readonly timeoutMs?: number | undefined;
  /** Default: with `wait` true, else false. */
  readonly includeResults?: boolean | undefined;
  /** Default `byIndex`. */
  readonly order?: ResultOrder | undefined;
}

/** Item results of a run in the order of its log; ends when the run is terminal. */
export interface RunWatch extends AsyncIterableIterator<ItemResult> {
  /** `watchRun(runId, {afterSeq: cursor})` hands out everything that this one has not. */
  readonly cursor: number;
  /** The run's status once it is terminal. */
  readonly status: RunStatus | undefined;
  /** Stop watching. Harmless if repeated. */
  close(): void;
}

/** Calls of the gateway in the name of one execution. */
export interface RunApi {
  submitRun(flowId: string, inputs: readonly unknown[], options: SubmitRunOptions): Promise<RunStatus>;
  getRun(runId: string, options: GetRunOptions): Promise<RunStatus>;
  watchRun(runId: string, afterSeq: number): RunWatch;
  cancelRun(runId: string, reason: string | undefined): Promise<void>;
  putBlob(data: unknown, blobType: "data" | "flow" | "binary" | undefined): Promise<string>;
  getBlob(blobId: string): Promise<unknown>;
}
