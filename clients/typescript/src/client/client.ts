// The client itself, over whatever transports it is given.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { createClient, type Client as RawClient } from "@connectrpc/connect";
import { DataLossError, FlowspanError, InvalidArgumentError } from "../errors.js";
import { encodeJsonBytes, type NumberMode, parseJson, RawJson } from "../json/values.js";
import { BlobService, BlobType } from "../v1/blob_service_pb.js";
import { ComponentService, PluginHealthSchema } from "../v1/component_service_pb.js";
import { DiagnosticLevelSchema, FlowService } from "../v1/flow_service_pb.js";
import { Health, HealthCheckResponse_ServingStatus } from "../v1/health_pb.js";
import type { JsonValue } from "../v1/json_value_pb.js";
import { RunService } from "../v1/run_service_pb.js";
import { byIndex, type ItemResult, type Outcome, type ResultOrder, type RunStatus, type RunStatusCode } from "../view/status.js";
import { type ComponentList, type Diagnostic, Flow, type FlowSummary } from "./answers.js";
import { type CallOptions, Connection, type Wires } from "./connection.js";
import { enumWord, orderNumber, outcomeNumber, type ReadResult, readItemResult, readRunStatus, statusNumber } from "./convert.js";
import { Pages } from "./pages.js";
import { DEFAULT_RETRY, type RetryPolicy } from "./retry.js";
import {
  type FlowDocument,
  type Inputs,
  isFlowId,
  newRequestId,
  runOptions,
  type SubmitOptions,
  storeFlowRequest,
  streamMessages,
  wholeInputs,
  wholeNumber,
} from "./submission.js";
import { TreeWatch } from "./tree_watch.js";
import { Watch, type WatchOptions } from "./watch.js";

/** Options that all clients share. */
export interface ClientOptions {
  /** Sent with every call. */
  readonly token?: string | undefined;
  /** Bound of each unary call with its retries; default 10,000. Watches are bounded by `retry.giveUpAfterMs`. */
  readonly timeoutMs?: number | undefined;
  readonly retry?: Partial<RetryPolicy> | undefined;
  /** How numbers of results and blobs are read; default `safe`. */
  readonly numbers?: NumberMode | undefined;
}

export interface GetRunOptions extends CallOptions {
  readonly includeResults?: boolean | undefined;
  /** Default `byIndex`. */
  readonly order?: ResultOrder | undefined;
}

export interface WaitOptions {
  /** After so long the status as it stands then, not an error; default: no bound. */
  readonly timeoutMs?: number | undefined;
  /** Default false. On a time-out: those of the items that have ended. */
  readonly includeResults?: boolean | undefined;
  readonly order?: ResultOrder | undefined;
  /** The execution that waits: its slot in its component server is given back meanwhile. */
  readonly taskToken?: string | undefined;
  /** Gives the wait up; it rejects with RequestCancelledError. */
  readonly signal?: AbortSignal | undefined;
}

export interface ListRunItemsOptions {
  /** Only these; none: all that ended. */
  readonly outcomes?: readonly Outcome[] | undefined;
  readonly order?: ResultOrder | undefined;
  /** Only items behind this index (by index). */
  readonly afterItemIndex?: number | undefined;
  /** With retries of this run: the newest result of each item. */
  readonly merged?: boolean | undefined;
  readonly pageSize?: number | undefined;
}

export interface ListRunsOptions {
  /** Any of these; none: all. */
  readonly statuses?: readonly RunStatusCode[] | undefined;
  readonly flowId?: string | undefined;
  readonly flowLabel?: string | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  readonly createdAfter?: Date | undefined;
  readonly createdBefore?: Date | undefined;
  readonly parentRunId?: string | undefined;
  readonly rootRunId?: string | undefined;
  readonly pageSize?: number | undefined;
}

export type BlobKind = "data" | "flow" | "binary";

/** A larger blob is streamed; the gateway takes at most 3.5 MB in one message. */
const UNARY_BLOB_BYTES = 3 * 1024 * 1024;
const ONE_MESSAGE_BLOB_BYTES = 3_500_000;
const CHUNK_BYTES = 1024 * 1024;
const BLOB_TYPES = { data: BlobType.DATA, flow: BlobType.FLOW, binary: BlobType.BINARY } as const;
/** Of bytes that a caller may still get in one unary answer by index. */
const PAGE_SIZE = 10_000;

/** The generated clients: messages in and out, no retries. */
export interface RawClients {
  readonly runs: RawClient<typeof RunService>;
  readonly flows: RawClient<typeof FlowService>;
  readonly blobs: RawClient<typeof BlobService>;
  readonly components: RawClient<typeof ComponentService>;
}

/**
 * A client of one gateway.
 *
 * Every method rejects with FlowspanError: its `reason` is a row of `ERROR_TABLE`, `fromPeer` tells whether the gateway said so,
 * `retryable` whether the same call may succeed a moment later.
 */
export class BaseClient {
  protected readonly connection: Connection;
  #raw: RawClients | undefined;

  protected constructor(wires: Wires | Connection, options: ClientOptions) {
    if (wires instanceof Connection) {
      this.connection = wires;
      return;
    }
    this.connection = new Connection(wires, {
      headers: options.token === undefined ? {} : { authorization: `Bearer ${options.token}` },
      timeoutMs: options.timeoutMs ?? 10_000,
      retry: { ...DEFAULT_RETRY, ...options.retry },
      numbers: options.numbers ?? "safe",
    });
  }

  get target(): string {
    return this.connection.wires.target;
  }

  get isClosed(): boolean {
    return this.connection.isClosed;
  }

  /** The generated clients, over this client's connection and with its token. */
  get raw(): RawClients {
    const calls = this.connection.transport;
    this.#raw ??= {
      runs: createClient(RunService, calls),
      flows: createClient(FlowService, calls),
      blobs: createClient(BlobService, calls),
      components: createClient(ComponentService, calls),
    };
    return this.#raw;
  }

  /** End all calls and watches. Harmless if repeated. */
  close(): void {
    this.connection.close();
  }

  // flows

  /**
   * Store a flow; its id.
   *
   * @throws FlowInvalidError it does not compile; `details.diagnostics` says why.
   */
  async storeFlow(flow: FlowDocument, options: CallOptions = {}): Promise<string> {
    const request = await storeFlowRequest(flow, this.connection.wires);
    return (await this.connection.unary(FlowService.method.storeFlow, request, options)).flowId;
  }

  /** What the gateway finds about a flow, fatal findings included. Nothing is stored. */
  async checkFlow(flow: FlowDocument, options: CallOptions = {}): Promise<Diagnostic[]> {
    const request = await storeFlowRequest(flow, this.connection.wires);
    const answer = await this.connection.unary(FlowService.method.storeFlow, { ...request, dryRun: true }, options);
    return answer.diagnostics.map(({ kind, code, level, message, path, line, column }) => {
      return { kind, code, level: enumWord(DiagnosticLevelSchema, level), message, path, line, column };
    });
  }

  async getFlow(flowId: string, options: CallOptions = {}): Promise<Flow> {
    const answer = await this.connection.unary(FlowService.method.getFlow, { flowId }, options);
    return new Flow(answer.flowId, answer.flowName, await this.#json(answer.document));
  }

  /** Stored flows, newest first. */
  listFlows({ pageSize = 0 }: { pageSize?: number } = {}): Pages<FlowSummary> {
    return new Pages(async (pageToken) => {
      const answer = await this.connection.unary(FlowService.method.listFlows, { pageSize, pageToken });
      return { page: answer.flows.map(({ flowId, flowName }) => ({ flowId, flowName })), next: answer.nextPageToken };
    });
  }

  /** JSON Schema of the variables that a flow declares. */
  async getFlowVariables(flowId: string, options: CallOptions = {}): Promise<unknown> {
    const answer = await this.connection.unary(FlowService.method.getFlowVariables, { flowId }, options);
    return (await this.#json(answer.schema)).parse();
  }

  /** Delete a flow that no run refers to. Not repeated by us: a second answer could not tell what the first did. */
  async deleteFlow(flowId: string, options: CallOptions = {}): Promise<void> {
    await this.connection.unary(FlowService.method.deleteFlow, { flowId }, { ...options, repeat: false });
  }

  // runs

  /**
   * Submit a run; when this resolves, the run and all its inputs are durable.
   *
   * @param flow an id, or a document as in `storeFlow`, which is stored first.
   * @param inputs one value per item. More than some thousands, and those that are not a list, are streamed; a stream that was read
   *   from an iterator cannot be repeated by us (with a `requestId` of yours, by you).
   */
  async submit(flow: FlowDocument, inputs: Inputs, options: SubmitOptions & CallOptions = {}): Promise<RunStatus> {
    const header = runOptions(await this.#flowId(flow), options);
    const whole = wholeInputs(inputs, this.connection.wires);
    if (whole === undefined) return this.#submitStream(header, inputs, options);
    // Without a key a repeated submit could make a second run.
    const repeat = header.requestId !== "";
    const call = { timeoutMs: options.timeoutMs, signal: options.signal, repeat };
    const answer = await this.connection.unary(RunService.method.submitRun, { options: header, inputs: whole }, call);
    return this.#status(answer.run);
  }

  /** Submit a run and follow it, in one round trip. Arguments as for `submit` and `watch`. */
  async submitAndWatch(
    flow: FlowDocument,
    inputs: Inputs,
    options: SubmitOptions & { readonly order?: ResultOrder | undefined } = {},
  ): Promise<Watch> {
    const header = runOptions(await this.#flowId(flow), options);
    const whole = wholeInputs(inputs, this.connection.wires);
    const { order, itemLabels: labels, taskToken } = options;
    if (whole === undefined) {
      const { runId } = await this.#submitStream(header, inputs, {});
      return this.#watch({ runId, order, labels, taskToken });
    }
    return this.#watch({ order, labels, taskToken, submission: { run: { options: header, inputs: whole } } });
  }

  /** Submit a run and wait for its end; the status, with `results` in `order`. Failed items are data: see `RunStatus.throwForFailures`. */
  async run(
    flow: FlowDocument,
    inputs: Inputs,
    options: SubmitOptions & { readonly order?: ResultOrder | undefined; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<RunStatus> {
    orderNumber(options.order);
    const watch = await this.submitAndWatch(flow, inputs, { ...options, order: undefined });
    const results: ItemResult[] = [];
    await this.#given(options.signal, watch, async () => {
      for await (const batch of watch.batches()) for (const result of batch) results.push(result);
    });
    const { status } = watch;
    if (status === undefined) throw new FlowspanError("the log began without its first event", { fromPeer: true });
    return status.withResults(options.order === "byCompletion" ? results : byIndex(results));
  }

  /** Follow a run: each result once, as it becomes durable; resumes by itself. */
  watch(runId: string, options: WatchOptions = {}): Watch {
    return this.#watch({ ...options, runId });
  }

  /** Follow a run and all its sub-runs, at any depth; resumes by itself. */
  watchTree(runId: string): TreeWatch {
    return new TreeWatch(this.connection, (blobId) => this.getBlobBytes(blobId), runId);
  }

  /** The status at the run's end; after `timeoutMs` the status as it stands then. */
  async wait(runId: string, options: WaitOptions = {}): Promise<RunStatus> {
    const { includeResults = false, order, signal } = options;
    await this.#untilEnd(runId, options);
    return this.getRun(runId, { includeResults, order, signal });
  }

  /** The status of a run. Results that did not fit into one answer are fetched in pages. */
  async getRun(runId: string, options: GetRunOptions = {}): Promise<RunStatus> {
    const { includeResults = false, order = "byIndex" } = options;
    const request = { runId, includeResults, resultOrder: orderNumber(order) };
    const { run } = await this.connection.unary(RunService.method.getRun, request, options);
    if (run === undefined) throw noRun();
    const omitted = run.resultsOmitted;
    if (omitted === undefined) return readRunStatus(run, includeResults ? await this.#results(run.results) : undefined);
    // In the order of the log the first `count` results are those of this status, however far the run is by now.
    const count = Number(omitted.count);
    const results: ItemResult[] = [];
    const pages = this.listRunItems(runId, { order: "byCompletion" });
    while (results.length < count) {
      const page = await pages.nextPage();
      if (page === undefined) break;
      for (const result of page) results.push(result);
    }
    results.length = Math.min(results.length, count);
    return readRunStatus(run).withResults(order === "byIndex" ? byIndex(results) : results);
  }

  /** Results of the items that have ended. */
  listRunItems(runId: string, options: ListRunItemsOptions = {}): Pages<ItemResult> {
    const request = {
      runId,
      pageSize: options.pageSize ?? PAGE_SIZE,
      outcomes: (options.outcomes ?? []).map(outcomeNumber),
      resultOrder: orderNumber(options.order),
      afterItemIndex: wholeNumber(options.afterItemIndex, "afterItemIndex"),
      merged: options.merged ?? false,
    };
    return new Pages(async (pageToken) => {
      const answer = await this.connection.unary(RunService.method.listRunItems, { ...request, pageToken });
      return { page: await this.#results(answer.items), next: answer.nextPageToken };
    });
  }

  /** Runs that match all that is given, newest first, without results. */
  listRuns(options: ListRunsOptions = {}): Pages<RunStatus> {
    const request = {
      pageSize: options.pageSize ?? 0,
      statuses: (options.statuses ?? []).map(statusNumber),
      flowId: options.flowId ?? "",
      flowLabel: options.flowLabel ?? "",
      metadata: { ...options.metadata },
      createdAfter: options.createdAfter && timestampFromDate(options.createdAfter),
      createdBefore: options.createdBefore && timestampFromDate(options.createdBefore),
      parentRunId: options.parentRunId ?? "",
      rootRunId: options.rootRunId ?? "",
    };
    return new Pages(async (pageToken) => {
      const answer = await this.connection.unary(RunService.method.listRuns, { ...request, pageToken });
      return { page: answer.runs.map((run) => readRunStatus(run)), next: answer.nextPageToken };
    });
  }

  /** Cancel a run and its sub-runs: no item starts after this resolved, those that run are told to stop. */
  async cancelRun(runId: string, options: CallOptions & { readonly reason?: string | undefined } = {}): Promise<RunStatus> {
    const request = { runId, reason: options.reason ?? "" };
    return this.#status((await this.connection.unary(RunService.method.cancelRun, request, options)).run);
  }

  /** Run the failed and cancelled items of a finished run (or those named) again; the new run. */
  async retryRun(
    runId: string,
    options: CallOptions & {
      readonly itemIndexes?: readonly number[] | undefined;
      readonly maxConcurrency?: number | undefined;
      readonly requestId?: string | undefined;
    } = {},
  ): Promise<RunStatus> {
    const request = {
      runId,
      itemIndexes: (options.itemIndexes ?? []).map((index) => wholeNumber(index, "itemIndexes") ?? 0n),
      requestId: options.requestId ?? newRequestId(),
      maxConcurrency: wholeNumber(options.maxConcurrency, "maxConcurrency"),
    };
    return this.#status((await this.connection.unary(RunService.method.retryRun, request, options)).run);
  }

  /** Delete a finished run with its sub-runs. Not repeated by us: a second answer could not tell what the first did. */
  async deleteRun(runId: string, options: CallOptions = {}): Promise<void> {
    await this.connection.unary(RunService.method.deleteRun, { runId }, { ...options, repeat: false });
  }

  // blobs

  /**
   * Store a blob; its id.
   *
   * @param value bytes as they are, or a JSON value.
   * @param blobType default: `binary` for bytes, else `data`.
   */
  async putBlob(value: unknown, blobType?: BlobKind, options: CallOptions = {}): Promise<string> {
    const isBinary = value instanceof Uint8Array;
    const kind = blobType ?? (isBinary ? "binary" : "data");
    if (!Object.hasOwn(BLOB_TYPES, kind)) {
      throw new InvalidArgumentError(`blobType is data, flow or binary, not ${String(kind)}`, { details: { field: "blobType" } });
    }
    const data = isBinary ? value : encodeJsonBytes(value);
    const number = BLOB_TYPES[kind];
    const { streamsRequests } = this.connection.wires;
    if (data.length <= (streamsRequests ? UNARY_BLOB_BYTES : ONE_MESSAGE_BLOB_BYTES)) {
      const answer = await this.connection.unary(BlobService.method.putBlob, { data, blobType: number }, options);
      return answer.info?.blobId ?? "";
    }
    if (!streamsRequests) {
      throw new InvalidArgumentError("this transport cannot stream a blob, and one message takes 3,500,000 bytes", {
        reason: "LIMIT_EXCEEDED",
        details: { limit: "MAX_SMALL_BLOB_BYTES", max: ONE_MESSAGE_BLOB_BYTES, actual: data.length },
      });
    }
    type Part = MessageInitShape<typeof BlobService.method.writeBlob.input>;
    const parts: Part[] = [{ part: { case: "header", value: { blobType: number } } }];
    for (let start = 0; start < data.length; start += CHUNK_BYTES) {
      parts.push({ part: { case: "chunk", value: data.subarray(start, start + CHUNK_BYTES) } });
    }
    return (await this.connection.upload(BlobService.method.writeBlob, parts, options)).info?.blobId ?? "";
  }

  /** What a blob holds: bytes for type binary, else the value that its JSON says. */
  async getBlob(blobId: string, options: CallOptions = {}): Promise<unknown> {
    const { blobType, data } = await this.readBlob(blobId, options);
    return blobType === "binary" ? data : parseJson(new TextDecoder().decode(data), this.connection.numbers);
  }

  /** The bytes first put, whatever the type. */
  async getBlobBytes(blobId: string, options: CallOptions = {}): Promise<Uint8Array> {
    return (await this.readBlob(blobId, options)).data;
  }

  /** The bytes first put, and their type. */
  async readBlob(blobId: string, options: CallOptions = {}): Promise<{ blobType: BlobKind; data: Uint8Array }> {
    const parts = await this.connection.download(BlobService.method.readBlob, { blobId }, options);
    const first = parts[0]?.part;
    if (first?.case !== "info") throw new FlowspanError("the gateway sent a blob without its header", { fromPeer: true });
    const size = Number(first.value.size);
    const data = new Uint8Array(size);
    let at = 0;
    for (const { part } of parts.slice(1)) {
      if (part.case !== "chunk") continue;
      if (at + part.value.length <= size) data.set(part.value, at);
      at += part.value.length;
    }
    if (at !== size) throw new DataLossError(`blob ${blobId} has ${size} bytes, ${at} came`, { details: { blobId } });
    const { blobType } = first.value;
    return { blobType: blobType === BlobType.BINARY ? "binary" : blobType === BlobType.FLOW ? "flow" : "data", data };
  }

  // the gateway

  /** What components flows can name, and how the plugins are that offer them. */
  async listComponents(options: CallOptions = {}): Promise<ComponentList> {
    const answer = await this.connection.unary(ComponentService.method.listComponents, {}, options);
    const components = [];
    for (const { path, plugin, description, inputSchema, outputSchema } of answer.components) {
      components.push({
        path,
        plugin,
        description,
        inputSchema: inputSchema && (await this.#json(inputSchema)).parse(),
        outputSchema: outputSchema && (await this.#json(outputSchema)).parse(),
      });
    }
    const plugins = answer.plugins.map(({ name, type, health, detail, restarts, capacity, inFlight, stderrTail }) => {
      return { name, type, health: enumWord(PluginHealthSchema, health), detail, restarts, capacity, inFlight, stderrTail };
    });
    return { components, plugins };
  }

  /** Whether the gateway takes calls. Rejects with UnavailableError if it cannot be reached. */
  async health(options: CallOptions = {}): Promise<boolean> {
    const answer = await this.connection.unary(Health.method.check, {}, options);
    return answer.status === HealthCheckResponse_ServingStatus.SERVING;
  }

  // within

  /** Until the run has ended or the time is over. */
  async #untilEnd(runId: string, { timeoutMs, signal, taskToken = "" }: WaitOptions): Promise<void> {
    const status = await this.getRun(runId, { signal });
    if (status.isTerminal) return;
    const wire = { resultsOnly: true, omitPayloads: true, taskToken };
    const watch = this.#watch({ runId, afterSeq: status.asOfSeq, wire });
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => watch.close(), Math.min(timeoutMs, 2 ** 31 - 1));
    try {
      await this.#given(signal, watch, async () => {
        while ((await watch.nextBatch()).length > 0);
      });
    } finally {
      clearTimeout(timer);
      watch.close();
    }
  }

  /** Follow a watch until the caller gives it up. */
  async #given(signal: AbortSignal | undefined, watch: Watch, follow: () => Promise<void>): Promise<void> {
    const stop = () => watch.close();
    signal?.addEventListener("abort", stop, { once: true });
    try {
      if (signal?.aborted) stop();
      await follow();
    } finally {
      signal?.removeEventListener("abort", stop);
    }
    if (signal?.aborted) throw new FlowspanError("the caller gave the call up", { reason: "REQUEST_CANCELLED" });
  }

  #watch(setup: ConstructorParameters<typeof Watch>[2]): Watch {
    return new Watch(this.connection, (blobId) => this.getBlobBytes(blobId), setup);
  }

  async #flowId(flow: FlowDocument): Promise<string> {
    return isFlowId(flow) ? flow : this.storeFlow(flow);
  }

  async #submitStream(header: ReturnType<typeof runOptions>, inputs: Inputs, call: CallOptions): Promise<RunStatus> {
    const stream = streamMessages(header, inputs);
    // A list is encoded once and kept, so that it can be repeated.
    let messages: AsyncIterable<StreamInit> | StreamInit[] = stream;
    if (Array.isArray(inputs) && header.requestId !== "") {
      messages = [];
      for await (const message of stream) messages.push(message);
    }
    return this.#status((await this.connection.upload(RunService.method.submitRunStream, messages, call)).run);
  }

  #status(run: Parameters<typeof readRunStatus>[0] | undefined): RunStatus {
    if (run === undefined) throw noRun();
    return readRunStatus(run);
  }

  async #json(value: JsonValue | undefined): Promise<RawJson> {
    const kind = value?.kind;
    if (kind?.case === "blobId") return new RawJson(await this.getBlobBytes(kind.value));
    return new RawJson(kind?.case === "json" ? kind.value : "null");
  }

  /** Results with the payloads that are kept in blobs. */
  async #results(messages: Parameters<typeof readItemResult>[0][]): Promise<ItemResult[]> {
    const results: ItemResult[] = [];
    for (const message of messages) {
      const read: ReadResult = readItemResult(message, this.connection.numbers);
      results.push(
        read.blobId === undefined ? read.result : read.result.withPayload(new RawJson(await this.getBlobBytes(read.blobId))),
      );
    }
    return results;
  }
}

type StreamInit = MessageInitShape<typeof RunService.method.submitRunStream.input>;

function noRun(): FlowspanError {
  return new FlowspanError("the gateway answered without a run", { fromPeer: true });
}
