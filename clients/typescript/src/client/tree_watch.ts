// Following a run and all its sub-runs, at any depth.

import { FlowspanError, NotFoundError } from "../errors.js";
import { RawJson } from "../json/values.js";
import { RunService, type WatchRunResponse } from "../v1/run_service_pb.js";
import type { ItemResult, RunStatus } from "../view/status.js";
import type { AnswerStream, Connection } from "./connection.js";
import { RunFold } from "./fold.js";
import { ResumingStream } from "./resuming.js";

/** What has come of one run of the tree: where it stands, and the results that are new, which may be none. */
export interface TreeNews {
  readonly status: RunStatus;
  readonly results: readonly ItemResult[];
}

/**
 * A run and its sub-runs as they go on: an async iterator over any number of lost connections, which ends when all have ended.
 *
 * The news of one run come in its own order; runs come as the gateway has them, each first with its beginning.
 */
export class TreeWatch implements AsyncIterableIterator<TreeNews> {
  readonly #folds = new Map<string, RunFold>();
  readonly #deleted = new Set<string>();
  readonly #stream: ResumingStream<WatchRunResponse>;

  constructor(
    private readonly connection: Connection,
    private readonly readBlob: (blobId: string) => Promise<Uint8Array>,
    /** The run at the top. */
    readonly runId: string,
  ) {
    this.#stream = new ResumingStream<WatchRunResponse>(connection, {
      open: () => this.#open(),
      isAccepted: () => true,
      isBehindTheEnd: () => this.#isBehindTheEnd(),
      locate: (error) => {
        error.details["runId"] ??= runId;
        return error;
      },
    });
  }

  /** Every run that was heard of, by id, the one at the top first; without results. */
  get statuses(): ReadonlyMap<string, RunStatus> {
    const statuses = new Map<string, RunStatus>();
    for (const [runId, fold] of this.#folds) {
      const status = fold.snapshot();
      if (status !== undefined) statuses.set(runId, status);
    }
    return statuses;
  }

  async next(): Promise<IteratorResult<TreeNews, undefined>> {
    while (!this.#stream.hasEnded) {
      const message = await this.#stream.receive();
      const news = message && (await this.#takeIn(message));
      if (news !== undefined) return { done: false, value: news };
    }
    return { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<TreeNews, undefined>> {
    this.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** End it early; the runs go on. Harmless if repeated. */
  close(): void {
    this.#stream.close();
    this.#stream.hasEnded = true;
  }

  async #takeIn(message: WatchRunResponse): Promise<TreeNews | undefined> {
    const runId = message.runId || this.runId;
    let fold = this.#folds.get(runId);
    if (fold === undefined) {
      fold = new RunFold(0, this.connection.numbers);
      this.#folds.set(runId, fold);
    }
    const results: ItemResult[] = [];
    for (const segment of message.segments) {
      try {
        for (const { result, blobId } of fold.apply(segment)) {
          results.push(blobId === undefined ? result : result.withPayload(new RawJson(await this.readBlob(blobId))));
        }
      } catch (failure) {
        if (failure instanceof FlowspanError) throw failure;
        this.#stream.hangUp();
        const text = `the gateway sent a broken log of run ${runId}: ${(failure as Error).message}`;
        throw new FlowspanError(text, { fromPeer: true, cause: failure });
      }
    }
    fold.throughSeq = Math.max(fold.throughSeq, Number(message.throughSeq));
    const status = fold.snapshot();
    return status && { status, results };
  }

  /** Of a sub-run that ended and was deleted while nobody was connected, no end is ever heard. */
  async #isBehindTheEnd(): Promise<boolean> {
    for (const [runId, fold] of this.#folds) {
      if (!fold.isTerminal && !this.#deleted.has(runId) && !(await this.#wasDeleted(runId))) return false;
    }
    return this.#folds.size > 0;
  }

  async #wasDeleted(runId: string): Promise<boolean> {
    if (runId === this.runId) return false;
    try {
      await this.connection.unary(RunService.method.getRun, { runId });
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      this.#deleted.add(runId);
      return true;
    }
    return false;
  }

  #open(): AnswerStream<WatchRunResponse> {
    const treeAfterSeq: Record<string, bigint> = {};
    for (const [runId, fold] of this.#folds) if (runId !== this.runId) treeAfterSeq[runId] = BigInt(fold.throughSeq);
    return this.connection.openStream(RunService.method.watchRun, {
      runId: this.runId,
      afterSeq: BigInt(this.#folds.get(this.runId)?.throughSeq ?? 0),
      options: { wholeTree: true },
      treeAfterSeq,
    });
  }
}
