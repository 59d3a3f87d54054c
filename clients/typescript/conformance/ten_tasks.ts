// Ten tasks, the same in every language: docs/sdks.md shows them side by side. With `serve` it is the component server.

import { Client, FlowspanError } from "flowspan";
import { ComponentError, ComponentServer } from "flowspan/components";

// 1. Store a flow
function oneStep(component: string): object {
  const steps = [{ id: "only", component, input: { $input: "$" } }];
  return { name: component, steps, output: { $step: "only" } };
}

async function store(client: Client): Promise<string> {
  return client.storeFlow(oneStep("/shop/double"));
}

// 2. Run it
async function run(client: Client, flowId: string): Promise<void> {
  const status = await client.run(flowId, [1, 2, 3], { flowLabel: "first" });
  for (const item of status.results ?? []) console.log(item.itemIndex, item.value);
}

// 3. Follow a run
async function follow(client: Client, flowId: string): Promise<[string, number]> {
  const run = await client.submit(flowId, Array(10).keys(), { maxConcurrency: 5 });
  const watch = client.watch(run.runId, { order: "byIndex" });
  for await (const item of watch) {
    if (item.itemIndex === 9) console.log("the last is", item.value);
  }
  return [run.runId, watch.cursor];
}

// 4. Go on from a cursor
async function resume(client: Client, runId: string, cursor: number): Promise<void> {
  let left = 0;
  for await (const _ of client.watch(runId, { afterSeq: cursor })) left += 1;
  console.log("left:", left);
}

// 5. Errors have reasons
async function lookUp(client: Client): Promise<void> {
  try {
    await client.getRun("019f0000-0000-7000-8000-000000000000");
  } catch (error) {
    if (!(error instanceof FlowspanError)) throw error;
    console.log(error.reason, error.retryable ? "to be repeated" : "for good");
  }
}

// 6. Wait with a bound, and cancel
async function cancel(client: Client): Promise<void> {
  const run = await client.submit(oneStep("/shop/slow"), [null]);
  console.log((await client.wait(run.runId, { timeoutMs: 200 })).status);
  await client.cancelRun(run.runId, { reason: "no longer needed" });
  console.log((await client.wait(run.runId)).status);
}

// 7. Retry what failed
async function retry(client: Client, flowId: string): Promise<void> {
  const status = await client.run(flowId, [1, -1]);
  for (const item of status.results ?? []) {
    if (item.error) console.log(item.itemIndex, item.error.code, item.error.message);
  }
  const again = await client.retryRun(status.runId);
  console.log("again:", again.items.total);
}

// 8. Blobs
async function blobs(client: Client): Promise<void> {
  const blobId = await client.putBlob({ count: 2n ** 60n });
  const { count } = (await client.getBlob(blobId)) as { count: bigint };
  console.log(String(count));
}

// 9. Components
const server = new ComponentServer({ capacity: 8 });

server.component("double", (value: number) => {
  if (value < 0) throw new ComponentError(`${value} is negative`);
  return 2 * value;
});

server.component("slow", (_: null, ctx) => {
  return new Promise((_resolve, reject) => {
    const timer = setTimeout(reject, 60_000);
    ctx.signal.addEventListener("abort", () => clearTimeout(timer)); // cancelled with its run
  });
});

// 10. A component that runs a flow
server.component("total", async (values: number[], ctx) => {
  const flowId = await ctx.putBlob(oneStep("/shop/double"), "flow");
  ctx.reportProgress(0.5, "running the others");
  const run = await ctx.submitRun(flowId, values, { wait: true });
  return (run.results ?? []).reduce((sum, item) => sum + Number(item.value), 0);
});

// end
async function main(): Promise<void> {
  if (process.argv[2] === "serve") return server.run();
  const client = new Client();
  const flowId = await store(client);
  await run(client, flowId);
  await resume(client, ...(await follow(client, flowId)));
  await lookUp(client);
  await cancel(client);
  await retry(client, flowId);
  await blobs(client);
  const status = await client.run(oneStep("/shop/total"), [[1, 2, 3]]);
  console.log("in all:", status.results?.[0]?.value);
  client.close();
}

await main();
