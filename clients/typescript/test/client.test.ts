import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Code, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import {
  BlobRef,
  Client,
  type FlowspanError,
  findServer,
  type ItemResult,
  NotFoundError,
  RawJson,
  TimeoutError,
  UnavailableError,
} from "flowspan";
import { BlobService, BlobType } from "flowspan/v1/blob_service";
import { FlowService } from "flowspan/v1/flow_service";
import { Outcome, RunStatus_Status } from "flowspan/v1/run";
import { RunService, type SubmitRunRequest, type SubmitRunStreamRequest } from "flowspan/v1/run_service";
import { Client as WebClient } from "flowspan/web";
import {
  FLOW_ID,
  gatewayError,
  lastSeq,
  logOf,
  RUN_ID,
  runMessage,
  serveGrpc,
  serveWeb,
  type TestGateway,
  until,
} from "./gateway.js";

const { RUN_STATUS_RUNNING: RUNNING, RUN_STATUS_SUCCESS: SUCCESS } = RunStatus_Status;
const FAST = { firstDelayMs: 1, longestDelayMs: 5 };

async function withGateway(
  routes: (router: ConnectRouter) => void,
  body: (client: Client, gateway: TestGateway) => Promise<void>,
): Promise<void> {
  const gateway = await serveGrpc(routes);
  const client = new Client({ target: gateway.target, token: "secret", retry: FAST });
  try {
    await body(client, gateway);
  } finally {
    client.close();
    await gateway.close();
  }
}

/** A handler that answers nobody. */
function untilGivenUp(_request: unknown, { signal }: HandlerContext): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}

/** WatchRun over a log, from the cursor; `cutAfter`: breaks off behind so many segments of each connection. */
function watchRoutes(router: ConnectRouter, order: readonly number[], cutAfter = Number.POSITIVE_INFINITY, cut = () => {}): void {
  const log = logOf(order.length, order);
  router.service(RunService, {
    async *watchRun(request) {
      let sent = 0;
      for (const segment of log) {
        if (lastSeq(segment) <= Number(request.afterSeq)) continue;
        if (sent >= cutAfter) {
          cut();
          throw gatewayError(Code.Unavailable, "UNAVAILABLE", "stopping");
        }
        sent += 1;
        yield { segments: [segment], throughSeq: BigInt(lastSeq(segment)) };
      }
    },
    getRun: () => ({ run: runMessage(SUCCESS, order.length + 3, order.length) }),
  });
}

test("a call carries the token, and its answer becomes a status", async () => {
  let header: string | null = null;
  await withGateway(
    (router) =>
      router.service(RunService, {
        getRun: (_request, context: HandlerContext) => {
          header = context.requestHeader.get("authorization");
          return { run: runMessage(SUCCESS, 5, 2) };
        },
      }),
    async (client) => {
      const status = await client.getRun(RUN_ID);
      assert.equal(header, "Bearer secret");
      assert.deepEqual(
        { id: status.runId, status: status.status, items: status.items, results: status.results, terminal: status.isTerminal },
        {
          id: RUN_ID,
          status: "success",
          items: { total: 2, pending: 0, running: 0, success: 2, failed: 0, cancelled: 0 },
          results: undefined,
          terminal: true,
        },
      );
      assert.equal(status.createdAt.toISOString(), "2023-11-14T22:13:20.000Z");
      header = null;
      assert.equal((await client.raw.runs.getRun({ runId: RUN_ID })).run?.runId, RUN_ID);
      assert.equal(header, "Bearer secret");
    },
  );
});

test("errors keep the gateway's reason and details", async () => {
  await withGateway(
    (router) =>
      router.service(RunService, {
        getRun: () => {
          throw gatewayError(Code.NotFound, "RUN_NOT_FOUND", "no run", { runId: RUN_ID, max: "3" });
        },
        cancelRun: () => {
          throw gatewayError(Code.FailedPrecondition, "SOMETHING_NEW", "later");
        },
      }),
    async (client) => {
      await assert.rejects(client.getRun(RUN_ID), (error: FlowspanError) => {
        assert.ok(error instanceof NotFoundError);
        assert.deepEqual([error.reason, error.fromPeer, error.retryable], ["RUN_NOT_FOUND", true, false]);
        assert.deepEqual(error.details, { runId: RUN_ID, max: 3 });
        return true;
      });
      await assert.rejects(client.cancelRun(RUN_ID), { reason: "FAILED_PRECONDITION", details: { peerReason: "SOMETHING_NEW" } });
    },
  );
});

test("a call is repeated while the gateway is away, with the same request id, and not where it refuses", async () => {
  const ids: string[] = [];
  let refusals = 0;
  await withGateway(
    (router) =>
      router.service(RunService, {
        submitRun: (request: SubmitRunRequest) => {
          ids.push(request.options?.requestId ?? "");
          if (ids.length < 3) throw gatewayError(Code.Unavailable, "UNAVAILABLE", "starting", { retryAfterMs: "1" });
          return { run: runMessage(RUNNING, 1, 1) };
        },
        deleteRun: () => {
          refusals += 1;
          throw gatewayError(Code.Unavailable, "UNAVAILABLE", "starting");
        },
      }),
    async (client) => {
      await client.submit(FLOW_ID, [1]);
      assert.equal(ids.length, 3);
      assert.equal(new Set(ids).size, 1);
      assert.match(ids[0] ?? "", /^[0-9a-f-]{36}$/);
      await assert.rejects(client.deleteRun(RUN_ID), UnavailableError);
      assert.equal(refusals, 1);
    },
  );
});

test("a call ends at its deadline, or when its caller gives it up, or when the client is closed", async () => {
  await withGateway(
    (router) => router.service(RunService, { getRun: untilGivenUp, listRuns: untilGivenUp }),
    async (client) => {
      await assert.rejects(client.getRun(RUN_ID, { timeoutMs: 30 }), TimeoutError);
      await assert.rejects(client.getRun(RUN_ID, { signal: AbortSignal.timeout(20) }), { reason: "REQUEST_CANCELLED" });
      const pending = client.listRuns().all();
      setTimeout(() => client.close(), 20);
      await assert.rejects(pending, { reason: "REQUEST_CANCELLED" });
      await assert.rejects(client.getRun(RUN_ID), { reason: "REQUEST_CANCELLED" });
    },
  );
});

test("a gateway that is not there is unavailable", async () => {
  for (const target of ["unix:/nonexistent/g.sock", "127.0.0.1:1"]) {
    const client = new Client({ target, retry: FAST });
    await assert.rejects(client.getRun(RUN_ID), { reason: "UNAVAILABLE", fromPeer: false, retryable: true });
    client.close();
  }
  assert.throws(() => new Client({ target: "http://somewhere" }), { reason: "INVALID_ARGUMENT" });
});

test("a watch hands out each result once, over any number of cuts", async () => {
  const order = [2, 0, 1, 4, 3];
  for (const cutAfter of [1, 2, 3]) {
    let gateway: TestGateway | undefined;
    let cuts = 0;
    await withGateway(
      (router) =>
        watchRoutes(router, order, cutAfter, () => {
          cuts += 1;
          if (cuts % 2 === 0) gateway?.cut();
        }),
      async (client, running) => {
        gateway = running;
        const watch = client.watch(RUN_ID);
        const seen: [number, unknown, number][] = [];
        for await (const item of watch) seen.push([item.itemIndex, item.value, watch.cursor]);
        assert.deepEqual(
          seen,
          order.map((index, i) => [index, { index }, i + 3]),
        );
        assert.equal(watch.status?.status, "success");
        assert.deepEqual(watch.status?.items, { total: 5, pending: 0, running: 0, success: 5, failed: 0, cancelled: 0 });
        assert.equal(watch.cursor, 8);
        assert.ok(cuts > 0);
      },
    );
  }
});

test("a watch goes on from a cursor, and by index waits for what comes before", async () => {
  const order = [2, 0, 1];
  await withGateway(
    (router) => watchRoutes(router, order),
    async (client) => {
      const indexes = async (items: AsyncIterable<ItemResult>) => {
        const seen: number[] = [];
        for await (const item of items) seen.push(item.itemIndex);
        return seen;
      };
      const byIndex = client.watch(RUN_ID, { order: "byIndex" });
      const cursors: [number, number][] = [];
      for await (const item of byIndex) cursors.push([item.itemIndex, byIndex.cursor]);
      // Item 2 has event 3 and is handed out last: until then another watch must begin ahead of it.
      assert.deepEqual(cursors.slice(0, 2), [
        [0, 2],
        [1, 2],
      ]);
      assert.deepEqual(cursors[2]?.[0], 2);
      assert.equal(byIndex.cursor, 6);
      assert.deepEqual(await indexes(client.watch(RUN_ID, { afterSeq: 3 })), [0, 1]);
      assert.deepEqual(await indexes(client.watch(RUN_ID, { afterSeq: 6 })), []);
      assert.throws(() => client.watch(RUN_ID, { afterSeq: 1, order: "byIndex" }), { reason: "INVALID_ARGUMENT" });
      const watch = client.watch(RUN_ID);
      for await (const item of watch) {
        assert.equal(item.itemIndex, 2);
        break;
      }
      assert.equal(watch.cursor, 3);
      assert.deepEqual(await watch.nextBatch(), []);
    },
  );
});

test("a watch gives up after a while without a gateway, and says where it was", async () => {
  const gateway = await serveGrpc((router) =>
    router.service(RunService, {
      // biome-ignore lint/correctness/useYield: a stream that breaks before its first message
      async *watchRun() {
        throw gatewayError(Code.Unavailable, "UNAVAILABLE", "starting");
      },
    }),
  );
  const client = new Client({ target: gateway.target, retry: { ...FAST, giveUpAfterMs: 30 } });
  await assert.rejects(client.watch(RUN_ID, { afterSeq: 4 }).next(), {
    reason: "UNAVAILABLE",
    details: { afterSeq: 4, runId: RUN_ID },
  });
  client.close();
  await gateway.close();
});

test("a wait is over with the run, or with its time", async () => {
  let asked = 0;
  await withGateway(
    (router) =>
      router.service(RunService, {
        getRun: () => {
          asked += 1;
          return { run: runMessage(asked === 2 ? SUCCESS : RUNNING, 2, 1) };
        },
        async *watchRun(_request, context) {
          yield { segments: [], throughSeq: 2n };
          if (asked === 1)
            yield {
              segments: logOf(1, [0])
                .slice(-1)
                .map((last) => ({ ...last, firstSeq: 3n })),
              throughSeq: 3n,
            };
          else await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
        },
      }),
    async (client) => {
      assert.equal((await client.wait(RUN_ID)).status, "success");
      assert.equal((await client.wait(RUN_ID, { timeoutMs: 30 })).status, "running");
      await assert.rejects(client.wait(RUN_ID, { signal: AbortSignal.timeout(30) }), { reason: "REQUEST_CANCELLED" });
    },
  );
});

test("run submits and follows in one round trip, and puts results in order", async () => {
  let request: SubmitRunRequest | undefined;
  await withGateway(
    (router) =>
      router.service(RunService, {
        async *submitAndWatchRun(both) {
          request = both.run;
          yield { run: runMessage(RUNNING, 1, 3), segments: [], throughSeq: 0n };
          for (const segment of logOf(3, [2, 0, 1])) yield { segments: [segment], throughSeq: BigInt(lastSeq(segment)) };
        },
      }),
    async (client) => {
      const inputs = [9007199254740993n, new RawJson("1.0"), new BlobRef("sha256:1")];
      const status = await client.run(FLOW_ID, inputs, { itemLabels: ["a", "b", "c"], maxConcurrency: 5, metadata: { k: "v" } });
      assert.deepEqual(
        status.results?.map((item) => [item.itemIndex, item.value, item.itemLabel]),
        [0, 1, 2].map((index) => [index, { index }, "abc"[index]]),
      );
      const values = request?.inputs.map(({ kind }) => (kind.case === "json" ? Buffer.from(kind.value).toString() : kind.value));
      assert.deepEqual(values, ["9007199254740993", "1.0", "sha256:1"]);
      assert.deepEqual([request?.options?.maxConcurrency, request?.options?.metadata], [5n, { k: "v" }]);
      const byCompletion = await client.run(FLOW_ID, [1, 2, 3], { order: "byCompletion" });
      assert.deepEqual(
        byCompletion.results?.map((item) => item.itemIndex),
        [2, 0, 1],
      );
    },
  );
});

test("many inputs, and those of an iterator, are streamed", async () => {
  const counts: number[] = [];
  await withGateway(
    (router) =>
      router.service(RunService, {
        async submitRunStream(requests: AsyncIterable<SubmitRunStreamRequest>) {
          let count = 0;
          for await (const request of requests) count += request.inputs.length;
          counts.push(count);
          return { run: runMessage(RUNNING, 1, count) };
        },
      }),
    async (client) => {
      function* numbers() {
        for (let i = 0; i < 12_000; i += 1) yield i;
      }
      assert.equal((await client.submit(FLOW_ID, numbers())).items.total, 12_000);
      assert.equal((await client.submit(FLOW_ID, Array.from(numbers()))).items.total, 12_000);
      async function* broken() {
        yield 1;
        throw new RangeError("no more");
      }
      await assert.rejects(client.submit(FLOW_ID, broken()));
      assert.deepEqual(counts.slice(0, 2), [12_000, 12_000]);
      await assert.rejects(client.submit(FLOW_ID, "text"), { reason: "INVALID_ARGUMENT" });
    },
  );
});

test("results that did not fit are read in pages, and payloads from blobs", async () => {
  const items = Array.from({ length: 5 }, (_, i) => ({
    itemIndex: BigInt(4 - i),
    result: { outcome: Outcome.SUCCESS, value: { kind: i === 0 ? BLOB : { case: "json" as const, value: Buffer.from(`${i}`) } } },
  }));
  await withGateway(
    (router) => {
      router.service(RunService, {
        getRun: () => ({ run: { ...runMessage(SUCCESS, 9, 4), resultsOmitted: { count: 4n, bytes: 1n, limit: 1n, next: 0n } } }),
        listRunItems: ({ pageToken }) => {
          const start = Number(pageToken || 0);
          return { items: items.slice(start, start + 2), nextPageToken: start + 2 < 5 ? String(start + 2) : "" };
        },
      });
      router.service(BlobService, {
        async *readBlob() {
          yield { part: { case: "info" as const, value: { size: 6n, blobType: BlobType.DATA } } };
          yield { part: { case: "chunk" as const, value: Buffer.from('"bl') } };
          yield { part: { case: "chunk" as const, value: Buffer.from('ob"') } };
        },
      });
    },
    async (client) => {
      const status = await client.getRun(RUN_ID, { includeResults: true });
      assert.deepEqual(
        status.results?.map((item) => [item.itemIndex, item.value]),
        [
          [1, 3],
          [2, 2],
          [3, 1],
          [4, "blob"],
        ],
      );
      assert.equal(status.resultsOmitted, undefined);
      assert.equal(await client.getBlob("sha256:1"), "blob");
    },
  );
});

const BLOB = { case: "blobId" as const, value: "sha256:1" };

test("failures of items are data, and can be made an error", async () => {
  const failed = { outcome: Outcome.FAILED, error: { code: "COMPONENT_FAILED", message: "boo", data: { kind: DATA } } };
  const cancelled = { outcome: Outcome.FAILED, error: { code: "CANCELLED", message: "stop" } };
  const skipped = { outcome: Outcome.SKIPPED, reason: "not today" };
  const run = {
    ...runMessage(RunStatus_Status.RUN_STATUS_FAILED, 9, 3),
    items: { total: 3n, failed: 1n, cancelled: 1n, success: 1n },
    results: [failed, cancelled, skipped].map((result, i) => ({ itemIndex: BigInt(i), result })),
  };
  await withGateway(
    (router) => router.service(RunService, { getRun: () => ({ run }) }),
    async (client) => {
      const status = await client.getRun(RUN_ID, { includeResults: true });
      assert.deepEqual(
        status.results?.map((item) => [item.outcome, item.result]),
        [
          ["failed", { outcome: "failed", error: { code: "COMPONENT_FAILED", message: "boo", data: { a: 1 } } }],
          ["cancelled", { outcome: "failed", error: { code: "CANCELLED", message: "stop" } }],
          ["skipped", { outcome: "skipped", reason: "not today" }],
        ],
      );
      assert.throws(() => status.throwForFailures(), /1 of 3 items .* item 0: COMPONENT_FAILED: boo/);
    },
  );
});

const DATA = { case: "json" as const, value: Buffer.from('{"a":1}') };

test("a flow may be a document, bytes, or a file", async () => {
  const documents: string[] = [];
  const directory = mkdtempSync(join(tmpdir(), "flowspan-ts-"));
  await withGateway(
    (router) =>
      router.service(FlowService, {
        storeFlow: ({ document, format }) => {
          documents.push(`${format} ${Buffer.from(document)}`);
          return { flowId: FLOW_ID };
        },
      }),
    async (client) => {
      writeFileSync(join(directory, "flow.yaml"), "name: x\n");
      await client.storeFlow({ name: "x" });
      await client.storeFlow(Buffer.from("name: y"));
      await client.storeFlow(join(directory, "flow.yaml"));
      assert.deepEqual(documents, ['1 {"name":"x"}', "0 name: y", "2 name: x\n"]);
      await assert.rejects(client.storeFlow("no-such-file.json"), { reason: "INVALID_ARGUMENT" });
    },
  );
  rmSync(directory, { recursive: true });
});

test("a gateway of this machine is found by its file, unless others could have written it", () => {
  const directory = mkdtempSync(join(tmpdir(), "flowspan-ts-"));
  const servers = join(directory, "servers");
  mkdirSync(servers, { mode: 0o700 });
  const file = join(servers, `${process.pid}.json`);
  const info = { target: "unix:/x.sock", pid: process.pid, token: "t", addresses: ["unix:/x.sock", "127.0.0.1:7"] };
  writeFileSync(file, JSON.stringify(info), { mode: 0o600 });
  writeFileSync(join(servers, "1.json"), JSON.stringify({ ...info, pid: 2 ** 22 + 1 }), { mode: 0o600 });
  assert.deepEqual(findServer(undefined, directory), info);
  assert.deepEqual(findServer("localhost:7", directory), info);
  assert.equal(findServer("127.0.0.1:8", directory), undefined);
  chmodSync(file, 0o644);
  assert.equal(findServer(undefined, directory), undefined);
  rmSync(directory, { recursive: true });
});

for (const protocol of ["connect", "grpc-web"] as const) {
  test(`the web client is the same over ${protocol}`, async () => {
    const order = [1, 0];
    const gateway = await serveWeb((router) => {
      let broken = false;
      const log = logOf(2, order);
      router.service(RunService, {
        async *watchRun(request) {
          for (const segment of log) {
            if (lastSeq(segment) <= Number(request.afterSeq)) continue;
            if (lastSeq(segment) === 4 && !broken) {
              broken = true;
              throw gatewayError(Code.Unavailable, "UNAVAILABLE", "stopping");
            }
            yield { segments: [segment], throughSeq: BigInt(lastSeq(segment)) };
          }
        },
        async *submitAndWatchRun() {
          yield { run: runMessage(RUNNING, 1, 2), segments: [], throughSeq: 0n };
          for (const segment of log) yield { segments: [segment], throughSeq: BigInt(lastSeq(segment)) };
        },
        submitRun: (request, context) => {
          assert.equal(context.requestHeader.get("authorization"), "Bearer secret");
          return { run: runMessage(RUNNING, 1, request.inputs.length) };
        },
        getRun: () => {
          throw gatewayError(Code.NotFound, "RUN_NOT_FOUND", "no run", { runId: RUN_ID });
        },
      });
    });
    const client = new WebClient({ baseUrl: gateway.baseUrl, protocol, token: "secret", retry: FAST });
    const seen: number[] = [];
    for await (const item of client.watch(RUN_ID)) seen.push(item.itemIndex);
    assert.deepEqual(seen, order);
    assert.equal((await client.run(FLOW_ID, [1, 2])).results?.length, 2);
    assert.equal((await client.submit(FLOW_ID, Array(6_000).fill(0))).items.total, 6_000);
    await assert.rejects(client.getRun(RUN_ID), { reason: "RUN_NOT_FOUND", fromPeer: true, details: { runId: RUN_ID } });
    await assert.rejects(client.submit(FLOW_ID, Array(100_001).fill(0)), { reason: "LIMIT_EXCEEDED" });
    await assert.rejects(client.putBlob(new Uint8Array(4_000_000)), { reason: "LIMIT_EXCEEDED" });
    await assert.rejects(client.storeFlow("flow.yaml"), { reason: "INVALID_ARGUMENT" });
    await gateway.close();
    await assert.rejects(client.getRun(RUN_ID), { reason: "UNAVAILABLE", fromPeer: false });
    client.close();
  });
}

test("a tree watch tells of every run", async () => {
  const child = "01a20405-1cb2-7994-b237-b12c826b5017";
  await withGateway(
    (router) =>
      router.service(RunService, {
        async *watchRun({ options }) {
          assert.equal(options?.wholeTree, true);
          for (const runId of [RUN_ID, child]) {
            for (const segment of logOf(1, [0])) yield { runId, segments: [segment], throughSeq: BigInt(lastSeq(segment)) };
          }
        },
      }),
    async (client) => {
      const watch = client.watchTree(RUN_ID);
      const results: number[] = [];
      for await (const news of watch) results.push(news.results.length);
      assert.deepEqual(results, [0, 1, 0, 0, 1, 0]);
      assert.deepEqual([...watch.statuses.keys()], [RUN_ID, child]);
    },
  );
});

test("a closed watch ends for whoever waits for its next result", async () => {
  await withGateway(
    (router) =>
      router.service(RunService, {
        async *watchRun(_request, context) {
          yield { segments: logOf(1, []).slice(0, 1), throughSeq: 2n };
          await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
        },
      }),
    async (client) => {
      const watch = client.watch(RUN_ID);
      const pending = watch.next();
      await until(() => watch.status !== undefined, "the first message");
      watch.close();
      assert.deepEqual(await pending, { done: true, value: undefined });
    },
  );
});
