// The client that the conformance runner drives: see tests/conformance/PROTOCOL.md.

import { createInterface } from "node:readline";
import {
  type BlobKind,
  Client,
  encodeJson,
  FlowspanError,
  InvalidArgumentError,
  type ItemResult,
  type Outcome,
  parseJson,
  type ResultOrder,
  type RunStatus,
  type RunStatusCode,
  type SubmitOptions,
  VERSION,
} from "flowspan";

/** A command as it came; every member but `id` and `op` depends on `op`. */
interface Command {
  id: number;
  op: string;
  target?: string;
  token?: string;
  flow_json?: string;
  data_json?: string;
  data_base64?: string;
  blob_type?: BlobKind;
  blob_id?: string;
  flow_id?: string;
  inputs_json?: string[];
  max_concurrency?: number;
  overrides_json?: string;
  variables_json?: string;
  flow_label?: string;
  metadata?: Record<string, string>;
  item_labels?: string[];
  deadline_s?: number;
  request_id?: string;
  run_id?: string;
  include_results?: boolean;
  order?: ResultOrder;
  timeout_s?: number;
  timeout_ms?: number;
  after_seq?: number;
  by_index?: boolean;
  results_only?: boolean;
  reason?: string;
  item_indexes?: number[];
  page_size?: number;
  statuses?: RunStatusCode[];
  outcomes?: Outcome[];
  op_id?: number;
}

let connected: Client | undefined;
const open = new Map<number, AbortController>();

function client(): Client {
  if (connected === undefined) throw new InvalidArgumentError("connect comes first");
  return connected;
}

function answer(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** What a user of the language sees of a value, written again. */
function value(json: string | undefined): unknown {
  return json === undefined ? undefined : parseJson(json, "exact");
}

function objectOf(json: string | undefined): object | undefined {
  return value(json) as object | undefined;
}

function inputs(command: Command): unknown[] {
  return (command.inputs_json ?? []).map(value);
}

function submitOptions(command: Command): SubmitOptions {
  return {
    maxConcurrency: command.max_concurrency,
    overrides: objectOf(command.overrides_json),
    variables: objectOf(command.variables_json),
    flowLabel: command.flow_label,
    metadata: command.metadata,
    itemLabels: command.item_labels,
    deadlineMs: command.deadline_s === undefined ? undefined : command.deadline_s * 1000,
    requestId: command.request_id,
  };
}

function resultOf(item: ItemResult): object {
  const { error } = item;
  return {
    item_index: item.itemIndex,
    outcome: item.outcome,
    value_json: item.outcome === "success" ? encodeJson(item.value) : undefined,
    error: error && {
      code: error.code,
      message: error.message,
      data_json: error.data === undefined ? undefined : encodeJson(error.data),
    },
    reason: item.reason,
    item_label: item.itemLabel,
    source_item_index: item.sourceItemIndex,
  };
}

function statusOf(run: RunStatus): object {
  return {
    run_id: run.runId,
    flow_id: run.flowId,
    status: run.status,
    items: run.items,
    as_of_seq: run.asOfSeq,
    results: run.results?.map(resultOf),
  };
}

async function* streamed(values: unknown[]): AsyncGenerator<unknown> {
  yield* values;
}

async function perform(command: Command, signal: AbortSignal): Promise<object> {
  const { run_id: runId = "", flow_id: flowId = "" } = command;
  switch (command.op) {
    case "connect":
      connected?.close();
      connected = new Client({ target: command.target, token: command.token, numbers: "exact" });
      await connected.health({ signal });
      return { sdk: "flowspan-typescript", version: VERSION };
    case "store_flow":
      return { flow_id: await client().storeFlow(value(command.flow_json) as object, { signal }) };
    case "put_blob": {
      const { data_base64: base64 } = command;
      const data = base64 === undefined ? value(command.data_json) : new Uint8Array(Buffer.from(base64, "base64"));
      return { blob_id: await client().putBlob(data, command.blob_type, { signal }) };
    }
    case "get_blob": {
      const { blobType, data } = await client().readBlob(command.blob_id ?? "", { signal });
      const bytes = Buffer.from(data);
      if (blobType === "binary") return { blob_type: blobType, data_base64: bytes.toString("base64") };
      return { blob_type: blobType, data_json: encodeJson(parseJson(bytes.toString("utf8"), "exact")) };
    }
    case "submit":
      return statusOf(await client().submit(flowId, inputs(command), { ...submitOptions(command), signal }));
    case "submit_stream":
      return statusOf(await client().submit(flowId, streamed(inputs(command)), { ...submitOptions(command), signal }));
    case "get":
      return statusOf(await client().getRun(runId, { includeResults: command.include_results, order: command.order, signal }));
    case "wait": {
      const timeoutMs = command.timeout_s === undefined ? undefined : command.timeout_s * 1000;
      return statusOf(await client().wait(runId, { timeoutMs, order: command.order, includeResults: true, signal }));
    }
    case "watch":
      return watch(command, signal);
    case "run":
      return statusOf(await client().run(flowId, inputs(command), { ...submitOptions(command), signal }));
    case "cancel":
      return statusOf(await client().cancelRun(runId, { reason: command.reason, signal }));
    case "retry": {
      const options = { itemIndexes: command.item_indexes, requestId: command.request_id, signal };
      return statusOf(await client().retryRun(runId, options));
    }
    case "delete":
      await client().deleteRun(runId, { signal });
      return {};
    case "list_runs": {
      const { page_size: pageSize, statuses, flow_label: flowLabel, metadata } = command;
      const runs = await client().listRuns({ pageSize, statuses, flowLabel, metadata }).all();
      return { run_ids: runs.map((run) => run.runId) };
    }
    case "list_items": {
      const items = await client().listRunItems(runId, { pageSize: command.page_size, outcomes: command.outcomes }).all();
      return { results: items.map(resultOf) };
    }
    case "components": {
      const { components } = await client().listComponents({ signal });
      return { names: components.map((component) => component.path) };
    }
    case "stop":
      open.get(command.op_id ?? 0)?.abort();
      return {};
    case "deadline":
      return statusOf(await client().getRun(runId, { timeoutMs: command.timeout_ms, signal }));
    default:
      throw new InvalidArgumentError(`there is no op ${command.op}`);
  }
}

async function watch(command: Command, signal: AbortSignal): Promise<object> {
  const following = client().watch(command.run_id ?? "", {
    afterSeq: command.after_seq,
    order: command.by_index === true ? "byIndex" : undefined,
    resultsOnly: command.results_only,
  });
  signal.addEventListener("abort", () => following.close());
  for await (const item of following) {
    answer({ id: command.id, event: { result: resultOf(item), cursor: following.cursor } });
  }
  const { cursor } = following;
  // A watch from a cursor has not seen what describes the run.
  const status = following.status ?? (await client().getRun(command.run_id ?? ""));
  return { status: statusOf(status), cursor };
}

async function handle(command: Command): Promise<void> {
  const abort = new AbortController();
  open.set(command.id, abort);
  try {
    answer({ id: command.id, ok: await perform(command, abort.signal) });
  } catch (thrown) {
    const error = thrown instanceof FlowspanError ? thrown : new FlowspanError(String(thrown), { cause: thrown });
    if (!(thrown instanceof FlowspanError)) console.error(thrown);
    const { reason, message, retryable, details } = error;
    answer({ id: command.id, error: { reason, grpc: error.row.grpc, message, retryable, details } });
  } finally {
    open.delete(command.id);
  }
}

const working = new Set<Promise<void>>();
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() === "") continue;
  const work: Promise<void> = handle(JSON.parse(line) as Command).finally(() => working.delete(work));
  working.add(work);
}
connected?.close();
await Promise.allSettled(working);
