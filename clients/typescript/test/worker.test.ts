import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { BlobService } from "flowspan/v1/blob_service";
import { RunStatus_Status } from "flowspan/v1/run";
import { RunService } from "flowspan/v1/run_service";
import {
  type ConnectRequest,
  type WorkerHello,
  type WorkerResults,
  WorkerService,
  type WorkerWelcome,
} from "flowspan/v1/worker_service";
import { lastSeq, logOf, RUN_ID, runMessage, serveGrpc, type TestGateway, until } from "./gateway.js";

type Down = MessageInitShape<typeof WorkerService.method.connect.output>;
type Welcome = Pick<WorkerWelcome, "session" | "unwanted">;

/** One connection of a worker, as the gateway sees it. */
class Link {
  readonly received: ConnectRequest[] = [];
  isOver = false;
  readonly #down: Down[] = [];
  #wake = () => {};

  constructor(readonly hello: WorkerHello) {}

  send(...messages: NonNullable<Down["message"]>[]): void {
    this.#down.push(...messages.map((message) => ({ message })));
    this.#wake();
  }

  end(): void {
    this.isOver = true;
    this.#wake();
  }

  async *messages(): AsyncGenerator<Down> {
    while (!this.isOver || this.#down.length > 0) {
      const message = this.#down.shift();
      if (message !== undefined) yield message;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  all<C extends ConnectRequest["message"]["case"]>(kind: C) {
    return this.received.flatMap(({ message }) => (message.case === kind ? [message.value] : [])) as Extract<
      ConnectRequest["message"],
      { case: C }
    >["value"][];
  }

  /** Results by execution: outputs as texts, failures as codes. */
  get results(): Map<number, string | number> {
    const results = new Map<number, string | number>();
    for (const { executions, outputs, failures } of this.all("results") as WorkerResults[]) {
      for (const [i, id] of executions.entries()) results.set(Number(id), Buffer.from(outputs[i] ?? []).toString());
      for (const { execution, code } of failures) results.set(Number(execution), code);
    }
    return results;
  }

  execute(component: string, inputs: Record<number, unknown>, timeoutSeconds = 60): void {
    const ids = Object.keys(inputs);
    this.send({
      case: "execute",
      value: {
        batches: [
          {
            component,
            runId: "run",
            flowId: "flow",
            stepId: "step",
            traceId: "a".repeat(32),
            sampled: true,
            timeoutSeconds,
            executions: ids.map(BigInt),
            itemIndexes: ids.map((_, i) => BigInt(i)),
            attempts: ids.map(() => 1),
            inputs: Object.values(inputs).map((input) => Buffer.from(typeof input === "string" ? input : JSON.stringify(input))),
          },
        ],
      },
    });
  }
}

interface Fixture {
  readonly links: Link[];
  readonly gateway: TestGateway;
  readonly child: ChildProcess;
  link(number: number): Promise<Link>;
  stderr(): string;
}

/** A worker process at a gateway of the test. `welcome`: of connection number n. */
async function withWorker(
  welcome: (n: number) => Partial<Welcome>,
  body: (fixture: Fixture) => Promise<void>,
  more: (router: ConnectRouter) => void = () => {},
): Promise<void> {
  const links: Link[] = [];
  const gateway = await serveGrpc((router) => {
    more(router);
    router.service(WorkerService, {
      async *connect(requests, context) {
        const iterator = requests[Symbol.asyncIterator]();
        const first = (await iterator.next()).value as ConnectRequest;
        assert.equal(first.message.case, "hello");
        const link = new Link(first.message.value as WorkerHello);
        links.push(link);
        link.send({
          case: "welcome",
          value: {
            protocolVersion: 1,
            session: "s1",
            heartbeatSeconds: 0.2,
            awaySeconds: 5,
            tokenPrefix: "tok-",
            spanPrefix: "ed1d78",
            ...welcome(links.length),
          },
        });
        const reading = (async () => {
          for (;;) {
            const step = await iterator.next();
            if (step.done === true) break;
            link.received.push(step.value);
          }
          link.end();
        })().catch(() => link.end());
        context.signal.addEventListener("abort", () => link.end());
        yield* link.messages();
        await reading;
      },
    });
  });
  const program = fileURLToPath(new URL("programs.js", import.meta.url));
  const env = { ...process.env, FLOWSPAN_QUEUE: "q", FLOWSPAN_TARGET: gateway.target, FLOWSPAN_TOKEN: "secret" };
  const child = spawn(process.execPath, [program], { env, stdio: ["ignore", "pipe", "pipe"] });
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const link = async (number: number) => {
    await until(() => links.length >= number, `connection ${number}; the worker said: ${stderr}`);
    return links[number - 1] as Link;
  };
  try {
    await body({ links, gateway, child, link, stderr: () => stderr });
  } finally {
    child.kill("SIGKILL");
    for (const one of links) one.end();
    await gateway.close();
  }
}

test("a worker says hello, executes batches, and answers in batches", async () => {
  await withWorker(
    () => ({}),
    async ({ link }) => {
      const first = await link(1);
      const { queue, capacity, protocolVersions, session, held, components, workerId, sdk } = first.hello;
      assert.deepEqual([queue, capacity, protocolVersions, session, held], ["q", 16, [1], "", []]);
      assert.match(workerId, /^.{1,64}$/);
      assert.match(sdk, /^flowspan-typescript /);
      assert.ok(components.some((one) => one.name === "/users/{id}/posts/{post}"));
      first.execute("/double", { 1: 1, 2: 2, 3: 3 });
      first.execute("/echo", { 4: "9007199254740993", 5: "[1.0]" });
      first.execute("/refuse", { 6: '"input"', 7: '"crash"' });
      first.execute("/unknown", { 8: 1 });
      first.execute("/users/7/posts/9", { 9: null });
      first.execute("/facts", { 4000: null });
      first.execute("/later", { 11: "not json" });
      await until(() => first.results.size === 11, "all results");
      const traceparent = `00-${"a".repeat(32)}-ed1d780000000fa0-01`;
      const facts = [1, 0, "run", "flow", "step", "tok-fa0", "TOKEN", traceparent];
      const told = JSON.parse(String(first.results.get(4000))) as unknown[];
      assert.match(String(told[6]), /^[a-z2-7]{26}$/);
      told[6] = "TOKEN";
      assert.deepEqual(told, facts);
      const plain = [...first.results].filter(([id]) => id !== 4000).sort(([a], [b]) => a - b);
      assert.deepEqual(plain, [
        [1, "2"],
        [2, "4"],
        [3, "6"],
        [4, "9007199254740993"],
        [5, "[1.0]"],
        [6, -32003],
        [7, -32004],
        [8, -32001],
        [9, '{"id":"7","post":"9"}'],
        [11, -32700],
      ]);
      const sequences = first.all("results").map((one) => Number(one.sequence));
      assert.deepEqual(
        sequences,
        sequences.map((_, i) => i + 1),
      );
      await until(() => first.all("heartbeat").length >= 2, "heartbeats");
    },
  );
});

test("a cancel is answered at once, a time-out is kept, long executions are reported", async () => {
  await withWorker(
    () => ({}),
    async ({ link }) => {
      const first = await link(1);
      first.execute("/wait", { 1: 60_000, 2: 1_300 });
      first.execute("/deaf", { 3: 60_000 }, 0.1);
      await until(() => first.results.has(3), "the time-out");
      assert.equal(first.results.get(3), -32006);
      first.send({ case: "cancel", value: { executions: [1n, 99n] } });
      await until(() => first.results.has(1), "the cancelled result");
      const [cancelled] = first.all("cancelled");
      assert.deepEqual([cancelled?.dropped, cancelled?.running], [[], [1n]]);
      assert.equal(first.results.get(1), -32800);
      await until(() => first.results.has(2), "the long one");
      assert.ok(first.all("heartbeat").some((beat) => beat.started.includes(2n)));
      first.execute("/progress", { 5: 1 });
      await until(() => first.all("progress").length === 2, "progress");
      assert.deepEqual(
        first.all("progress").map((one) => [one.execution, one.fraction, one.message]),
        [
          [5n, 0.5, "half"],
          [5n, 1, ""],
        ],
      );
    },
  );
});

test("a worker comes back with what it holds, and sends again what was not acknowledged", async () => {
  await withWorker(
    (n) => (n === 2 ? { unwanted: [4n] } : {}),
    async ({ link, gateway }) => {
      const first = await link(1);
      first.execute("/double", { 1: 1 });
      first.execute("/wait", { 2: 700, 4: 700 });
      await until(() => first.results.has(1), "the first result");
      first.send({ case: "acknowledged", value: { throughSequence: 1n } });
      first.execute("/double", { 3: 3 });
      await until(() => first.results.has(3), "the second result");
      gateway.cut();
      const second = await link(2);
      assert.deepEqual([second.hello.workerId, second.hello.session], [first.hello.workerId, "s1"]);
      assert.deepEqual([...second.hello.held].sort(), [2n, 3n, 4n]);
      await until(() => second.results.size === 2, "the results held");
      assert.deepEqual(
        [...second.results],
        [
          [3, "6"],
          [2, "700"],
        ],
      );
      assert.equal(second.all("results")[0]?.sequence, 2n);
    },
  );
});

test("another life of the gateway wants nothing of what was held", async () => {
  await withWorker(
    (n) => ({ session: `s${n}` }),
    async ({ link, gateway }) => {
      const first = await link(1);
      first.execute("/double", { 1: 1 });
      first.execute("/wait", { 2: 500 });
      await until(() => first.results.has(1), "a result");
      gateway.cut();
      const second = await link(2);
      second.execute("/double", { 7: 7 });
      await until(() => second.results.has(7), "a new result");
      await new Promise((resolve) => setTimeout(resolve, 600));
      assert.deepEqual([...second.results], [[7, "14"]]);
      assert.equal(second.all("results")[0]?.sequence, 1n);
    },
  );
});

test("a drained worker finishes, closes the stream, and comes back", async () => {
  await withWorker(
    () => ({}),
    async ({ link }) => {
      const first = await link(1);
      first.execute("/wait", { 1: 200 });
      await until(() => first.received.length >= 0, "the begin");
      first.send({ case: "drain", value: { reason: "restart" } });
      await until(() => first.results.has(1), "the result");
      assert.equal(first.isOver, false);
      first.send({ case: "acknowledged", value: { throughSequence: 1n } });
      await until(() => first.isOver, "the end of the stream");
      await link(2);
    },
  );
});

test("at SIGTERM a worker leaves in order", async () => {
  await withWorker(
    () => ({}),
    async ({ link, child, links }) => {
      const first = await link(1);
      first.execute("/wait", { 1: 300 });
      await until(() => first.all("heartbeat").length > 0, "a heartbeat");
      child.kill("SIGTERM");
      await until(() => first.all("leaving").length === 1, "leaving");
      first.execute("/double", { 9: 9 });
      await until(() => first.all("leaving").length === 2, "what came too late");
      assert.deepEqual(first.all("leaving")[1]?.givenBack, [9n]);
      await until(() => first.results.has(1), "the result");
      first.send({ case: "acknowledged", value: { throughSequence: 1n } });
      const [code] = (await once(child, "exit")) as [number];
      assert.equal(code, 0);
      assert.equal(links.length, 1);
    },
  );
});

test("runs and blobs go over gRPC with the task token", async () => {
  const tokens: (string | null)[] = [];
  const requests: unknown[] = [];
  await withWorker(
    () => ({}),
    async ({ link }) => {
      const first = await link(1);
      first.execute("/sub", { 1: JSON.stringify(`sha256:${"2".repeat(64)}`) }, 0.2);
      first.execute("/put", { 2: { a: 1 } });
      first.execute("/watch", { 3: JSON.stringify(RUN_ID) });
      await until(() => first.results.size === 3, "the results");
      assert.deepEqual(first.results.get(1), '[{"index":0},{"index":1}]');
      assert.deepEqual(first.results.get(2), '{"a":1}');
      assert.deepEqual(first.results.get(3), '{"seen":[1,0],"cursor":5,"status":"success"}');
      assert.deepEqual(requests, [{ requestId: "", taskToken: "tok-1", maxConcurrency: 3n, watchToken: "tok-1" }, "tok-3"]);
      assert.deepEqual(new Set(tokens), new Set(["tok-1", "tok-2", "tok-3"]));
    },
    (router) => {
      let stored: Uint8Array = new Uint8Array();
      router.service(RunService, {
        async *submitAndWatchRun({ run, options }, context) {
          tokens.push(context.requestHeader.get("flowspan-task-token"));
          const { requestId, taskToken, maxConcurrency } = run?.options ?? {};
          requests.push({ requestId, taskToken, maxConcurrency, watchToken: options?.taskToken });
          yield { run: runMessage(RunStatus_Status.RUN_STATUS_RUNNING, 1, 2), segments: [], throughSeq: 0n };
          // Longer than the time-out of the execution, which rests meanwhile.
          await new Promise((resolve) => setTimeout(resolve, 400));
          for (const segment of logOf(2, [1, 0])) yield { segments: [segment], throughSeq: BigInt(lastSeq(segment)) };
        },
        async *watchRun({ afterSeq, options }, context) {
          tokens.push(context.requestHeader.get("flowspan-task-token"));
          await until(() => requests.length === 1);
          requests.push(options?.taskToken);
          for (const segment of logOf(2, [1, 0])) {
            if (lastSeq(segment) > Number(afterSeq)) yield { segments: [segment], throughSeq: BigInt(lastSeq(segment)) };
          }
        },
        getRun: () => ({ run: runMessage(RunStatus_Status.RUN_STATUS_SUCCESS, 5, 2) }),
      });
      router.service(BlobService, {
        putBlob: ({ data }, context) => {
          tokens.push(context.requestHeader.get("flowspan-task-token"));
          stored = data;
          return { info: { blobId: "sha256:1" } };
        },
        async *readBlob() {
          yield { part: { case: "info" as const, value: { size: BigInt(stored.length) } } };
          yield { part: { case: "chunk" as const, value: stored } };
        },
      });
    },
  );
});

test("a gateway that refuses the worker ends it, with the reason", async () => {
  const gateway = await serveGrpc(() => {});
  const program = fileURLToPath(new URL("programs.js", import.meta.url));
  const env = { ...process.env, FLOWSPAN_QUEUE: "q", FLOWSPAN_TARGET: gateway.target };
  const child = spawn(process.execPath, [program], { env, stdio: ["ignore", "ignore", "pipe"] });
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const [code] = (await once(child, "exit")) as [number];
  assert.equal(code, 1);
  assert.match(stderr, /METHOD_NOT_FOUND/);
  await gateway.close();
});
