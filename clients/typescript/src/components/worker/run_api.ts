// Runs and blobs over gRPC, in the name of one execution.

import { BaseClient } from "../../client/client.js";
import type { Connection } from "../../client/connection.js";
import type { Watch } from "../../client/watch.js";
import { RequestCancelledError } from "../../errors.js";
import type { ItemResult, RunStatus } from "../../view/status.js";
import type { Execution } from "../executions.js";
import type { GetRunOptions, RunApi, RunWatch, SubmitRunOptions } from "../run_api.js";

/** The client of one execution: its task token is with all calls, which links sub-runs to it and lends its run's rights. */
class TaskClient extends BaseClient {
  constructor(connection: Connection) {
    super(connection, {});
  }
}

export class WorkerRunApi implements RunApi {
  readonly #client: TaskClient;
  readonly #taskToken: string;
  readonly #traceparent: string | undefined;

  constructor(
    connection: Connection,
    private readonly execution: Execution,
    /** Called when a wait of the execution ends and its time goes on. */
    private readonly onWaitEnd: () => void,
  ) {
    const { taskToken = "", traceparent } = execution.origin.factsOf(execution);
    this.#taskToken = taskToken;
    this.#traceparent = traceparent;
    this.#client = new TaskClient(connection.with({ "flowspan-task-token": taskToken }, execution.found.component.numbers));
  }

  async submitRun(flowId: string, inputs: readonly unknown[], options: SubmitRunOptions): Promise<RunStatus> {
    const { signal } = this.execution;
    const { wait, timeoutMs, ...rest } = options;
    const submit = { ...rest, taskToken: this.#taskToken, traceparent: this.#traceparent };
    if (wait !== true) return this.#client.submit(flowId, inputs, { ...submit, signal });
    if (timeoutMs === undefined) return this.#client.run(flowId, inputs, { ...submit, signal });
    const { runId } = await this.#client.submit(flowId, inputs, { ...submit, signal });
    return this.getRun(runId, { wait, timeoutMs });
  }

  async getRun(runId: string, { wait, timeoutMs, includeResults, order }: GetRunOptions): Promise<RunStatus> {
    const { signal } = this.execution;
    if (wait !== true) return this.#client.getRun(runId, { includeResults, order, signal });
    const taskToken = this.#taskToken;
    return this.#client.wait(runId, { includeResults: includeResults ?? true, order, timeoutMs, taskToken, signal });
  }

  watchRun(runId: string, afterSeq: number): RunWatch {
    const watch = this.#client.watch(runId, { afterSeq, taskToken: this.#taskToken });
    return new WorkerRunWatch(watch, this.#client, runId, this.execution, this.onWaitEnd);
  }

  async cancelRun(runId: string, reason: string | undefined): Promise<void> {
    await this.#client.cancelRun(runId, { reason, signal: this.execution.signal });
  }

  putBlob(data: unknown, blobType: "data" | "flow" | "binary" | undefined): Promise<string> {
    return this.#client.putBlob(data, blobType, { signal: this.execution.signal });
  }

  getBlob(blobId: string): Promise<unknown> {
    return this.#client.getBlob(blobId, { signal: this.execution.signal });
  }
}

/** A watch during which the execution's time rests, and which ends with the execution. */
class WorkerRunWatch implements RunWatch {
  status: RunStatus | undefined;
  #isWaiting = false;
  #isOver = false;
  readonly #onEnd = () => this.close();

  constructor(
    private readonly watch: Watch,
    private readonly client: TaskClient,
    private readonly runId: string,
    private readonly execution: Execution,
    private readonly onWaitEnd: () => void,
  ) {}

  get cursor(): number {
    return this.watch.cursor;
  }

  async next(): Promise<IteratorResult<ItemResult, undefined>> {
    const { signal } = this.execution;
    if (this.#isOver) return { done: true, value: undefined };
    if (!this.#isWaiting) {
      this.#isWaiting = true;
      this.execution.beginWait();
      signal.addEventListener("abort", this.#onEnd, { once: true });
    }
    try {
      const step = await this.watch.next();
      if (step.done !== true) return step;
      if (signal.aborted) throw new RequestCancelledError("the execution has ended");
      if (!this.#isOver) this.status = await this.client.getRun(this.runId, { signal });
    } catch (error) {
      this.close();
      throw error;
    }
    this.close();
    return { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<ItemResult, undefined>> {
    this.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  close(): void {
    this.#isOver = true;
    this.watch.close();
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    this.execution.signal.removeEventListener("abort", this.#onEnd);
    this.execution.endWait();
    this.onWaitEnd();
  }
}
