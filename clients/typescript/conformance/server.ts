// The component server that the conformance runner drives: see tests/conformance/PROTOCOL.md.

import { type ComponentContext, ComponentError, ComponentServer, InputError, type RunStatus } from "flowspan/components";

type Json = Record<string, unknown>;

const server = new ComponentServer({ capacity: Number(process.env["CONFORMANCE_CAPACITY"] ?? 8) });
let counted = 0;

server.component("echo", { numbers: "exact" }, (input: unknown) => input);

server.component("facts", (_input: unknown, ctx) => ({
  attempt: ctx.attempt,
  runId: ctx.runId,
  flowId: ctx.flowId,
  stepId: ctx.stepId,
  itemIndex: ctx.itemIndex,
  taskToken: ctx.taskToken !== undefined,
  idempotencyToken: ctx.idempotencyToken,
  traceparent: ctx.traceparent,
  pid: process.pid,
}));

server.component("fail", (input: { kind: string; message?: string; data?: unknown }) => {
  const message = input.message ?? "failed";
  switch (input.kind) {
    case "invalid_input":
      throw new InputError(message, { pointer: "", data: input.data });
    case "unavailable":
      throw new ComponentError(message, { code: "RESOURCE_UNAVAILABLE", data: input.data });
    case "crash_in_code":
      throw new TypeError(message);
    default:
      throw new ComponentError(message, { data: input.data });
  }
});

// The SDK has no skip.
server.component("skip", (_input: unknown) => {
  throw new ComponentError("not today");
});

server.component("print", (input: { text: string }) => {
  console.log(input.text);
  return "printed";
});

server.component("sleep", async (input: { ms: number }, ctx) => {
  await pause(input.ms, ctx);
  return input.ms;
});

server.component("progress", async (_input: unknown, ctx) => {
  for (const fraction of [0.25, 0.5, 0.75]) {
    ctx.reportProgress(fraction, `${fraction * 100} %`);
    await pause(100, ctx);
  }
  return "done";
});

server.component("big", (input: { bytes: number }) => "x".repeat(input.bytes));

server.component("deep", (input: { depth: number }) => {
  let value: unknown[] = [];
  for (let depth = 1; depth < input.depth; depth += 1) value = [value];
  return value;
});

server.component("exit", (input: { below: number }, ctx) => {
  if (ctx.attempt < input.below) process.exit(3);
  return ctx.attempt;
});

server.component("put", { numbers: "exact" }, async (input: unknown, ctx) => {
  const blobId = await ctx.putBlob(input);
  return { blobId, data: await ctx.getBlob(blobId) };
});

interface SubRun {
  flow_id: string;
  inputs: unknown[];
  max_concurrency?: number;
}

server.component("sub_run", { numbers: "exact" }, async (input: SubRun, ctx) => {
  const options = { wait: true, maxConcurrency: input.max_concurrency };
  const run: RunStatus = await ctx.submitRun(input.flow_id, input.inputs, options);
  const results = (run.results ?? []).map(({ itemIndex, outcome, json }) => {
    const result: Json = { itemIndex, outcome };
    if (json !== undefined) result["value"] = json;
    return result;
  });
  return { runId: run.runId, status: run.status, results };
});

server.component("sub_watch", { numbers: "exact" }, async (input: SubRun, ctx) => {
  const run = await ctx.submitRun(input.flow_id, input.inputs, { maxConcurrency: input.max_concurrency });
  const watch = ctx.watchRun(run.runId);
  const indexes: number[] = [];
  for await (const item of watch) indexes.push(item.itemIndex);
  return { indexes, status: watch.status?.status };
});

server.component("count", (_input: unknown) => {
  counted += 1;
  return counted;
});

server.component("users/{id}", { numbers: "exact" }, (input: unknown, ctx) => ({ id: ctx.parameters["id"], input }));

function pause(ms: number, ctx: ComponentContext): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    ctx.signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

await server.run();
