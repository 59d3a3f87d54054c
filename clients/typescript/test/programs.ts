// Component servers for the tests of the stdio transport; the first argument chooses one.

import { spawnSync } from "node:child_process";
import { writeSync } from "node:fs";
import { ComponentError, ComponentServer, InputError } from "flowspan/components";

const server = new ComponentServer({ capacity: 16 });

server.component("double", { description: "Twice the input.", inputSchema: { type: "number" } }, (input: number) => 2 * input);
server.component("later", async (input: unknown) => input);
server.component("echo", { numbers: "exact" }, (input: unknown) => input);
server.component("raw", { raw: true }, (input: unknown) => input);
server.component("nothing", () => {});
server.component("nan", () => Number.NaN);
server.component("refuse", (input: string) => {
  if (input === "input") throw new InputError("not this", { pointer: "/a" });
  if (input === "busy") throw new ComponentError("busy", { code: "RESOURCE_UNAVAILABLE", retryAfterMs: 20, data: { a: 1 } });
  if (input === "string") throw "a string";
  throw new RangeError("out of range");
});
server.component("facts", (_input: unknown, ctx) => [
  ctx.attempt,
  ctx.itemIndex,
  ctx.runId,
  ctx.flowId,
  ctx.stepId,
  ctx.taskToken,
  ctx.idempotencyToken,
  ctx.traceparent,
]);
server.component("users/{id}/posts/{post}", (_input: unknown, ctx) => ctx.parameters);
server.component("print", () => {
  console.log("from console.log");
  process.stdout.write("from process.stdout\n");
  writeSync(1, "from the descriptor\n");
  spawnSync("echo", ["from a child"], { stdio: "inherit" });
  return "printed";
});
server.component("wait", async (ms: number, ctx) => {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    ctx.signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
  ctx.throwIfCancelled();
  return ms;
});
server.component("deaf", async (ms: number) => {
  await new Promise((resolve) => setTimeout(resolve, ms));
  return ms;
});
server.component("progress", (_input: unknown, ctx) => {
  ctx.reportProgress(0.5, "half");
  ctx.reportProgress(0.6, "too soon");
  ctx.reportProgress(1);
});
server.component("put", async (input: unknown, ctx) => ctx.getBlob(await ctx.putBlob(input)));
server.component("sub", { numbers: "exact" }, async (flowId: string, ctx) => {
  const run = await ctx.submitRun(flowId, [1, 2], { wait: true, maxConcurrency: 3 });
  return run.results?.map((item) => item.json);
});
server.component("watch", async (runId: string, ctx) => {
  const watch = ctx.watchRun(runId, { afterSeq: 2 });
  const seen: number[] = [];
  for await (const item of watch) seen.push(item.itemIndex);
  return { seen, cursor: watch.cursor, status: watch.status?.status };
});
server.component("stray", () => {
  void Promise.reject(new Error("nobody waits for this"));
  return "fine";
});

await server.run();
