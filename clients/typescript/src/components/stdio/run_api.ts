// Runs and blobs over JSON-RPC, in the name of one execution.

import { FlowspanError, InvalidArgumentError } from "../../errors.js";
import { rawElements, rawMembers } from "../../json/scan.js";
import { encodeJson, type NumberMode, parseJson } from "../../json/values.js";
import { byIndex, type ItemResult, type ResultOrder, type RunStatus } from "../../view/status.js";
import type { GetRunOptions, RunApi, RunWatch, SubmitRunOptions } from "../run_api.js";
import type { Outgoing, RequestOptions } from "./outgoing.js";
import { itemFromWire, statusFromWire } from "./wire_status.js";

/** A wait that the gateway bounds is given up here only so much later. */
const WAIT_MARGIN_MS = 30_000;
/** A reader that is this far behind makes the watch pause: it is cancelled and opened again behind its cursor. */
const MAX_HELD_ITEMS = 10_000;
const MAX_HELD_CHARS = 16 * 1024 * 1024;

/** The execution that asks. */
export interface Asker {
  readonly taskToken: string | undefined;
  readonly observability: object | undefined;
  readonly numbers: NumberMode;
  readonly signal: AbortSignal;
  /** The time-out of the execution rests from here on. */
  beginWait(): void;
  endWait(): void;
}

export class StdioRunApi implements RunApi {
  constructor(
    private readonly outgoing: Outgoing,
    private readonly watches: Watches,
    private readonly asker: Asker,
  ) {}

  async submitRun(flowId: string, inputs: readonly unknown[], options: SubmitRunOptions): Promise<RunStatus> {
    const { wait, timeoutMs, deadlineMs, detached } = options;
    const members = {
      flowId,
      inputs,
      wait: wait === true ? true : undefined,
      maxConcurrency: options.maxConcurrency,
      overrides: options.overrides,
      variables: options.variables,
      flowLabel: options.flowLabel,
      metadata: options.metadata,
      itemLabels: options.itemLabels,
      deadlineSecs: deadlineMs === undefined ? undefined : deadlineMs / 1000,
      timeoutSecs: timeoutMs === undefined ? undefined : timeoutMs / 1000,
      detached: detached === true ? true : undefined,
      requestId: options.requestId,
    };
    return this.#withAllResults(await this.#askForRun("runs/submit", members, wait, timeoutMs), "byIndex");
  }

  async getRun(runId: string, { wait, timeoutMs, includeResults, order = "byIndex" }: GetRunOptions): Promise<RunStatus> {
    const members = {
      runId,
      resultOrder: order,
      wait: wait === true ? true : undefined,
      timeoutSecs: wait === true && timeoutMs !== undefined ? timeoutMs / 1000 : undefined,
      includeResults,
    };
    return this.#withAllResults(await this.#askForRun("runs/get", members, wait, timeoutMs), order);
  }

  watchRun(runId: string, afterSeq: number): RunWatch {
    return new StdioRunWatch(this, this.watches, this.asker, runId, afterSeq);
  }

  async cancelRun(runId: string, reason: string | undefined): Promise<void> {
    await this.request("runs/cancel", { runId, reason });
  }

  async putBlob(data: unknown, blobType: "data" | "flow" | "binary" | undefined): Promise<string> {
    const members =
      data instanceof Uint8Array
        ? { data: Buffer.from(data).toString("base64"), blob_type: "binary" }
        : { data, blob_type: blobType ?? "data" };
    const { blob_id: blobId } = JSON.parse(await this.request("blobs/put", members)) as { blob_id?: unknown };
    if (typeof blobId !== "string")
      throw new FlowspanError("the gateway's answer to blobs/put has no id", { reason: "PARSE_ERROR" });
    return blobId;
  }

  async getBlob(blobId: string): Promise<unknown> {
    const members = rawMembers(await this.request("blobs/get", { blob_id: blobId }));
    const value = parseJson(members.get("data") ?? "null", this.asker.numbers);
    if (members.get("blob_type") === '"binary"' && typeof value === "string") return new Uint8Array(Buffer.from(value, "base64"));
    return value;
  }

  /** A request that carries whose it is. */
  request(method: string, members: object, options: RequestOptions = {}): Promise<string> {
    const { taskToken, observability, signal } = this.asker;
    return this.outgoing.request(method, encodeJson({ ...members, observability, taskToken }), { signal, ...options });
  }

  notify(method: string, params: string): void {
    this.outgoing.notify(method, params);
  }

  async #askForRun(
    method: string,
    members: object,
    wait: boolean | undefined,
    timeoutMs: number | undefined,
  ): Promise<RunStatus> {
    const bound = timeoutMs === undefined ? Number.POSITIVE_INFINITY : timeoutMs + WAIT_MARGIN_MS;
    const answer = await this.request(method, members, wait === true ? { timeoutMs: bound, openEnded: true } : {});
    return statusFromWire(answer, this.asker.numbers);
  }

  /** Follow `resultsOmitted`: the results are read in pages, by index. */
  async #withAllResults(status: RunStatus, order: ResultOrder): Promise<RunStatus> {
    if (status.resultsOmitted === undefined) return status;
    const results: ItemResult[] = [];
    // Pages are by index, so a partial answer in another order is read anew from the beginning.
    let after = -1;
    if (order === "byIndex" && status.results !== undefined && status.results.length > 0) {
      for (const result of status.results) results.push(result);
      after = status.resultsOmitted.next - 1;
    }
    for (let omitted: RunStatus["resultsOmitted"] = status.resultsOmitted; omitted !== undefined; ) {
      const members = {
        runId: status.runId,
        includeResults: true,
        resultOrder: "byIndex",
        afterItemIndex: after,
        limit: Math.max(1, omitted.count),
      };
      const page = statusFromWire(await this.request("runs/get", members), this.asker.numbers);
      for (const result of page.results ?? []) results.push(result);
      omitted = page.resultsOmitted;
      if (omitted === undefined) break;
      if (omitted.next - 1 <= after) {
        throw new FlowspanError("the gateway's pages of results do not advance", { reason: "PARSE_ERROR" });
      }
      after = omitted.next - 1;
    }
    if (order === "byCompletion") results.sort((a, b) => a.completedAtUs - b.completedAtUs || a.itemIndex - b.itemIndex);
    else byIndex(results);
    return status.withResults(results);
  }
}

/** The open watches of a connection, by the id of their request. */
export class Watches {
  readonly #byId = new Map<number, StdioRunWatch>();

  add(id: number, watch: StdioRunWatch): void {
    this.#byId.set(id, watch);
  }

  remove(id: number): void {
    this.#byId.delete(id);
  }

  /** The params of a `runs/event`, as JSON. One of a watch that is no more is dropped. */
  take(params: string): void {
    const members = rawMembers(params);
    this.#byId.get(Number(members.get("watchId")))?.take(members);
  }
}

class StdioRunWatch implements RunWatch {
  cursor: number;
  status: RunStatus | undefined;
  readonly #held: ItemResult[] = [];
  #heldChars = 0;
  #following: Promise<void> | undefined;
  #watchId: number | undefined;
  #isPaused = false;
  #isClosed = false;
  #error: unknown;
  #wake: (() => void) | undefined;
  readonly #abort = new AbortController();

  constructor(
    private readonly api: StdioRunApi,
    private readonly watches: Watches,
    private readonly asker: Asker,
    readonly runId: string,
    afterSeq: number,
  ) {
    if (!Number.isSafeInteger(afterSeq) || afterSeq < 0) {
      throw new InvalidArgumentError(`afterSeq must be a whole number, not ${afterSeq}`, { details: { field: "afterSeq" } });
    }
    this.cursor = afterSeq;
  }

  async next(): Promise<IteratorResult<ItemResult, undefined>> {
    for (;;) {
      const result = this.#isClosed ? undefined : this.#held.shift();
      if (result !== undefined) {
        this.#heldChars -= result.payload.text.length;
        return { done: false, value: result };
      }
      if (this.#isClosed || this.status !== undefined) return { done: true, value: undefined };
      if (this.#error !== undefined) throw this.#error;
      this.#following ??= this.#follow();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async return(): Promise<IteratorResult<ItemResult, undefined>> {
    this.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  close(): void {
    this.#isClosed = true;
    this.#abort.abort();
    this.#wake?.();
  }

  /** Results that arrived for this watch. */
  take(members: Map<string, string>): void {
    try {
      for (const item of rawElements(members.get("items") ?? "[]")) {
        const result = itemFromWire(item, this.asker.numbers);
        this.#held.push(result);
        this.#heldChars += result.payload.text.length;
      }
    } catch (cause) {
      this.#error = new FlowspanError("a runs/event of the gateway cannot be read", { reason: "PARSE_ERROR", cause });
    }
    this.cursor = Math.max(this.cursor, Number(members.get("cursor") ?? 0));
    if (
      (this.#held.length > MAX_HELD_ITEMS || this.#heldChars > MAX_HELD_CHARS) &&
      !this.#isPaused &&
      this.#watchId !== undefined
    ) {
      this.#isPaused = true;
      this.api.notify("$/cancelRequest", `{"id":${this.#watchId}}`);
    }
    this.#wake?.();
  }

  async #follow(): Promise<void> {
    this.#isPaused = false;
    this.asker.beginWait();
    const onEnd = () => this.#abort.abort();
    this.asker.signal.addEventListener("abort", onEnd, { once: true });
    try {
      const answer = await this.api.request(
        "runs/watch",
        { runId: this.runId, afterSeq: this.cursor },
        { timeoutMs: Number.POSITIVE_INFINITY, openEnded: true, signal: this.#abort.signal, onId: (id) => this.#register(id) },
      );
      this.status = statusFromWire(answer, this.asker.numbers);
    } catch (error) {
      // Our own pause: once the reader has caught up, the watch is opened again.
      const isPause = this.#isPaused && error instanceof FlowspanError && error.reason === "REQUEST_CANCELLED";
      if (!isPause) this.#error = error;
    } finally {
      this.asker.signal.removeEventListener("abort", onEnd);
      if (this.#watchId !== undefined) this.watches.remove(this.#watchId);
      this.#watchId = undefined;
      this.asker.endWait();
      this.#following = undefined;
      this.#wake?.();
    }
  }

  #register(id: number): void {
    if (this.#watchId !== undefined) this.watches.remove(this.#watchId);
    this.#watchId = id;
    this.watches.add(id, this);
  }
}
