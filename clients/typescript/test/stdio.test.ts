import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { until } from "./gateway.js";

type Json = Record<string, unknown>;

/** The gateway's side of a server's pipes. */
class Peer {
  readonly child: ChildProcessWithoutNullStreams;
  readonly lines: string[] = [];
  stderr = "";
  readonly #answers = new Map<unknown, Json>();
  #nextId = 1;

  constructor() {
    const program = fileURLToPath(new URL("programs.js", import.meta.url));
    // Through a shell, for Node gives its children sockets, and a gateway gives them pipes.
    const command = '{ { "$0" "$1"; echo "exit $?" >&2; } 2>&1 >&3 | cat >&2; } 3>&1 | cat';
    this.child = spawn("sh", ["-c", command, process.execPath, program], { env: { ...process.env, FLOWSPAN_QUEUE: "" } });
    this.child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    createInterface({ input: this.child.stdout }).on("line", (line) => {
      this.lines.push(line);
      const message = JSON.parse(line) as Json;
      if (message["method"] === undefined) this.#answers.set(message["id"], message);
    });
  }

  send(...messages: (object | string)[]): void {
    this.child.stdin.write(messages.map((one) => `${typeof one === "string" ? one : JSON.stringify(one)}\n`).join(""));
  }

  tell(method: string, params: object): void {
    this.send({ jsonrpc: "2.0", method, params });
  }

  async answer(id: unknown): Promise<Json> {
    await until(() => this.#answers.has(id), `the answer to ${String(id)}`);
    return this.#answers.get(id) ?? {};
  }

  ask(method: string, params: object): Promise<Json> {
    const id = this.#nextId++;
    this.send({ jsonrpc: "2.0", id, method, params });
    return this.answer(id);
  }

  execute(component: string, input: unknown, more: object = {}): Promise<Json> & { id: number } {
    const id = this.#nextId;
    const params = { component, input, attempt: 1, observability: IDS, taskToken: "t-1", ...more };
    return Object.assign(this.ask("components/execute", params), { id });
  }

  /** The first message of the server with this method. */
  async message(method: string, skip = 0): Promise<Json> {
    const find = () => this.lines.map((line) => JSON.parse(line) as Json).filter((one) => one["method"] === method)[skip];
    await until(() => find() !== undefined, method);
    return find() ?? {};
  }
}

const IDS = { trace_id: "a".repeat(32), span_id: "b".repeat(16), run_id: "run", flow_id: "flow", step_id: "step" };
const ORIGIN = { trace_id: "a".repeat(32), run_id: "run", flow_id: "flow", step_id: "step" };

function bulk(component: string, calls: string, more: object = {}): string {
  const params = JSON.stringify({ component, observability: ORIGIN, spanPrefix: "ed1d78", tokenPrefix: "tok-", ...more });
  return `{"jsonrpc":"2.0","method":"$/execute","params":${params.slice(0, -1)},"calls":[${calls}]}}`;
}

let peer: Peer;

before(async () => {
  peer = new Peer();
  const early = await peer.ask("components/list", {});
  assert.deepEqual((early["error"] as Json)["code"], -32002);
  const answer = (await peer.ask("initialize", { runtimeProtocolVersion: 1, protocolVersions: [1] }))["result"] as Json;
  assert.equal(answer["serverProtocolVersion"], 1);
  const { capacity, bulk: isBulk, timeouts, started, ping, cancelAck, derivesTokens } = answer["capabilities"] as Json;
  assert.deepEqual(
    [capacity, isBulk, timeouts, started, ping, cancelAck, derivesTokens],
    [16, true, true, true, true, true, true],
  );
  peer.tell("initialized", {});
});

after(async () => {
  peer.child.stdin.end();
  await once(peer.child, "close");
  assert.match(peer.stderr, /exit 0/);
  assert.ok(peer.lines.every((line) => line.startsWith('{"jsonrpc":"2.0"')));
});

test("the list tells names, descriptions and schemas", async () => {
  const { components } = (await peer.ask("components/list", {}))["result"] as { components: Json[] };
  assert.deepEqual(components[0], {
    component: "/double",
    name: "/double",
    description: "Twice the input.",
    input_schema: { type: "number" },
  });
  const { info } = (await peer.ask("components/info", { component: "/echo" }))["result"] as { info: Json };
  assert.equal(info["component"], "/echo");
  assert.equal(((await peer.ask("components/info", { component: "/x" }))["error"] as Json)["code"], -32001);
});

test("requests are executed, at once or later", async () => {
  assert.deepEqual((await peer.execute("/double", 21))["result"], { output: 42 });
  assert.deepEqual((await peer.execute("later", { a: null }))["result"], { output: { a: null } });
  assert.deepEqual((await peer.execute("/nothing", 1))["result"], { output: null });
  assert.equal(((await peer.execute("/unknown", 1))["error"] as Json)["code"], -32001);
  assert.equal(((await peer.ask("components/execute", {}))["error"] as Json)["code"], -32602);
  assert.equal(((await peer.ask("no/such", {}))["error"] as Json)["code"], -32601);
  assert.deepEqual((await peer.ask("ping", {}))["result"], {});
});

test("numbers and raw inputs come back as they were written", async () => {
  const from = peer.lines.length;
  peer.send(
    bulk("/echo", '[101,0,1,9007199254740993],[102,1,1,{"a": [1.0, -0.0]}]'),
    bulk("/raw", '[103,0,1,{"b" : 1.0, "b": 2}]'),
    bulk("/double", "[104,0,1,4]"),
    '{"jsonrpc":"2.0","id":"e","method":"components/execute","params":{"component":"/echo","input":[1.0]}}',
  );
  await peer.answer("e");
  await until(() => peer.lines.slice(from).join().includes("[104,"), "the answers");
  const text = peer.lines.slice(from).join("\n");
  for (const part of [
    "[101,9007199254740993]",
    '[102,{"a":[1.0,-0.0]}]',
    '[103,{"b" : 1.0, "b": 2}]',
    "[104,8]",
    '{"output":[1.0]}',
  ]) {
    assert.ok(text.includes(part), `${part} in ${text}`);
  }
});

test("a chunk of executions is answered in few lines", async () => {
  const from = peer.lines.length;
  const calls = Array.from({ length: 500 }, (_, i) => `[${i + 1000},${i},1,${i}]`).join(",");
  peer.send(bulk("/double", calls), bulk("/later", "[2000,0,1,7]"));
  await until(() => peer.lines.slice(from).join().includes("[2000,7]"), "the last answer");
  const lines = peer.lines.slice(from);
  assert.ok(lines.length <= 12, `${lines.length} lines`);
  const outputs = lines.flatMap((line) => (JSON.parse(line) as { params: { outputs: [number, number][] } }).params.outputs);
  assert.equal(outputs.length, 501);
  for (const [number, output] of outputs.slice(0, 500)) assert.equal(output, 2 * (number - 1000));
});

test("what goes wrong in a component fails its item only, with a code that fits", async () => {
  const codeOf = async (component: string, input: unknown) => (await peer.execute(component, input))["error"] as Json;
  const input = await codeOf("/refuse", "input");
  assert.deepEqual([input["code"], input["message"], (input["data"] as Json)["pointer"]], [-32003, "not this", "/a"]);
  const busy = await codeOf("/refuse", "busy");
  assert.equal(busy["code"], -32005);
  assert.deepEqual([(busy["data"] as Json)["retryAfterMs"], (busy["data"] as Json)["data"]], [20, { a: 1 }]);
  const crash = await codeOf("/refuse", "crash");
  assert.deepEqual([crash["code"], crash["message"]], [-32004, "RangeError: out of range"]);
  assert.match((crash["data"] as { traceback: string }).traceback, /programs\.js/);
  assert.equal((await codeOf("/refuse", "string"))["code"], -32004);
  assert.equal((await codeOf("/nan", 1))["code"], -32011);
  const from = peer.lines.length;
  peer.send(
    bulk("/refuse", '[3000,0,1,"crash"],[3001,0,1,"input"]'),
    bulk("/unknown", "[3002,0,1,1]"),
    bulk("/nan", "[3003,0,1,1]"),
  );
  await until(() => peer.lines.slice(from).join().includes("3003"), "the failures");
  const failures = peer.lines
    .slice(from)
    .flatMap((line) => (JSON.parse(line) as { params: { failures?: [number, Json][] } }).params.failures ?? []);
  assert.deepEqual(
    failures.map(([number, error]) => [number, error["code"]]),
    [
      [3000, -32004],
      [3001, -32003],
      [3002, -32001],
      [3003, -32011],
    ],
  );
  assert.deepEqual((await peer.execute("/stray", 1))["result"], { output: "fine" });
  await until(() => peer.stderr.includes("nobody waits for this"), "the log of the stray promise");
});

test("a context tells the facts of its execution, however it came", async () => {
  const single = (await peer.execute("/facts", 1, { itemIndex: 4, attempt: 2, idempotencyToken: "idem" }))["result"] as Json;
  const traceparent = `00-${IDS.trace_id}-${IDS.span_id}-01`;
  assert.deepEqual(single["output"], [2, 4, "run", "flow", "step", "t-1", "idem", traceparent]);
  const from = peer.lines.length;
  peer.send(bulk("/facts", "[4000,9,3,null]"), bulk("/users/a%20b/posts/7", "[4001,0,1,null]"));
  await until(() => peer.lines.slice(from).join().includes("[4001,"), "the facts");
  const outputs = peer.lines
    .slice(from)
    .flatMap((line) => (JSON.parse(line) as { params: { outputs: unknown[] } }).params.outputs);
  const span = `00-${ORIGIN.trace_id}-ed1d780000000fa0-01`;
  assert.deepEqual(outputs, [
    [4000, [3, 9, "run", "flow", "step", "tok-fa0", "5z4ami3ijfr6ava72h2jdmde2b", span]],
    [4001, { id: "a b", post: "7" }],
  ]);
});

test("nothing but messages gets onto stdout", async () => {
  assert.deepEqual((await peer.execute("/print", 1))["result"], { output: "printed" });
  for (const source of ["console.log", "process.stdout", "the descriptor", "a child"]) {
    await until(() => peer.stderr.includes(`from ${source}`), source);
  }
});

test("a cancel is acknowledged at once and answered, also for what does not listen", async () => {
  const waiting = peer.execute("/wait", 60_000);
  const deaf = peer.execute("/deaf", 3_000);
  await peer.ask("ping", {});
  const open = peer.lines.length;
  const ids = [waiting.id, deaf.id];
  const began = performance.now();
  const ack = (await peer.ask("$/cancel", { ids: [...ids, 987_654] }))["result"];
  assert.deepEqual(ack, { dropped: [], running: ids });
  assert.equal(((await waiting)["error"] as Json)["code"], -32800);
  assert.equal(((await deaf)["error"] as Json)["code"], -32800);
  assert.ok(performance.now() - began < 2_500);
  assert.ok(peer.lines.length > open);
});

test("time-outs are kept, and long executions are reported as begun", async () => {
  const began = performance.now();
  const error = (await peer.execute("/deaf", 3_000, { timeoutMs: 150 }))["error"] as Json;
  assert.equal(error["code"], -32006);
  assert.ok(performance.now() - began < 1_000);
  const long = peer.execute("/wait", 1_200);
  const isTold = () => peer.lines.some((line) => line.includes('"$/started"') && line.includes(String(long.id)));
  await until(isTold, "the notice");
  assert.deepEqual((await long)["result"], { output: 1_200 });
});

test("progress is told, and not too often", async () => {
  const execution = peer.execute("/progress", 1);
  const { id } = execution;
  await execution;
  const told = peer.lines.map((line) => JSON.parse(line) as Json).filter((one) => one["method"] === "$/progress");
  assert.deepEqual(
    told.map((one) => one["params"]),
    [
      { id, taskToken: "t-1", fraction: 0.5, message: "half" },
      { id, taskToken: "t-1", fraction: 1 },
    ],
  );
});

test("blobs, sub-runs and watches go over the same pipes", async () => {
  const put = peer.execute("/put", { a: 1 });
  const request = await peer.message("blobs/put");
  assert.deepEqual(request["params"], { data: { a: 1 }, blob_type: "data", observability: IDS, taskToken: "t-1" });
  peer.send({ jsonrpc: "2.0", id: request["id"], result: { blob_id: "sha256:1" } });
  const get = await peer.message("blobs/get");
  assert.equal((get["params"] as Json)["blob_id"], "sha256:1");
  peer.send({ jsonrpc: "2.0", id: get["id"], result: { data: { a: 1 }, blob_type: "data" } });
  assert.deepEqual((await put)["result"], { output: { a: 1 } });

  const sub = peer.execute("/sub", "sha256:2", { timeoutMs: 100 });
  const submit = await peer.message("runs/submit");
  const { flowId, inputs, wait, maxConcurrency, taskToken } = submit["params"] as Json;
  assert.deepEqual([flowId, inputs, wait, maxConcurrency, taskToken], ["sha256:2", [1, 2], true, 3, "t-1"]);
  // The time of the execution rests while it waits.
  await new Promise((resolve) => setTimeout(resolve, 200));
  const status = statusText("run-2", [
    '{"itemIndex":0,"result":{"outcome":"success","value":1.0},"completedAt":"2025-01-15T10:30:03.000001Z"}',
  ]);
  peer.send(`{"jsonrpc":"2.0","id":${submit["id"]},"result":${status}}`);
  const { id } = (await sub) as { id: number };
  assert.ok(peer.lines.some((line) => line === `{"jsonrpc":"2.0","id":${id},"result":{"output":[1.0]}}`));

  const watching = peer.execute("/watch", "run-3");
  const watch = await peer.message("runs/watch");
  assert.deepEqual([(watch["params"] as Json)["runId"], (watch["params"] as Json)["afterSeq"]], ["run-3", 2]);
  const item = (index: number) => ({
    itemIndex: index,
    result: { outcome: "success", value: index },
    completedAt: "2025-01-15T10:30:03Z",
  });
  peer.tell("runs/event", { watchId: watch["id"], runId: "run-3", cursor: 4, items: [item(1), item(0)] });
  peer.tell("runs/event", { watchId: 999, runId: "run-4", cursor: 9, items: [item(7)] });
  peer.tell("runs/event", { watchId: watch["id"], runId: "run-3", cursor: 6, items: [item(2)] });
  peer.send(`{"jsonrpc":"2.0","id":${watch["id"]},"result":${statusText("run-3", [])}}`);
  assert.deepEqual((await watching)["result"], { output: { seen: [1, 0, 2], cursor: 6, status: "success" } });

  const refused = peer.execute("/sub", "sha256:9");
  const again = await peer.message("runs/submit", 1);
  peer.send({ jsonrpc: "2.0", id: again["id"], error: { code: -32012, message: "no flow", data: { reason: "FLOW_NOT_FOUND" } } });
  const error = (await refused)["error"] as { code: number; data: Json };
  assert.deepEqual([error.code, error.data["cause"]], [-32004, "FLOW_NOT_FOUND"]);
});

function statusText(runId: string, results: string[]): string {
  const items = { total: 1, pending: 0, running: 0, success: 1, failed: 0, cancelled: 0 };
  const status = JSON.stringify({ runId, flowId: "sha256:2", status: "success", items, createdAt: "2025-01-15T10:30:00Z" });
  return `${status.slice(0, -1)},"results":[${results.join(",")}]}`;
}

test("a line of many megabytes passes in both directions", async () => {
  const text = "x".repeat(8_000_000);
  const answer = (await peer.execute("/later", text))["result"] as { output: string };
  assert.equal(answer.output.length, text.length);
  assert.equal(answer.output, text);
});

test("a server ends when its gateway has gone, after what ends soon", async () => {
  const other = new Peer();
  await other.ask("initialize", { protocolVersions: [1] });
  const answer = other.execute("/wait", 200);
  const never = other.execute("/deaf", 60_000);
  never.catch(() => {});
  await other.ask("ping", {});
  const began = performance.now();
  other.child.stdin.end();
  assert.deepEqual((await answer)["result"], { output: 200 });
  await once(other.child, "close");
  assert.ok(performance.now() - began < 8_000);
});

test("a shutdown is answered, and a wrong version refused", async () => {
  const other = new Peer();
  const refusal = (await other.ask("initialize", { protocolVersions: [7] }))["error"] as { message: string };
  assert.match(refusal.message, /7.*1/);
  await other.ask("initialize", { protocolVersions: [1, 7] });
  assert.deepEqual((await other.ask("shutdown", {}))["result"], {});
  await once(other.child, "close");
  assert.match(other.stderr, /exit 0/);
});
