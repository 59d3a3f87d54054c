// The server's end of a conversation with a gateway: texts in, executions, texts out. Knows no descriptors.
//
// One read is decoded as a whole and answered with few writes: components that answer at once do so as their requests are met, the
// others in whatever company they complete.

import { FlowspanError, InvalidArgumentError } from "../../errors.js";
import { rawElements, rawMembers } from "../../json/scan.js";
import { isPlain, oneLine, parseJson, RawJson } from "../../json/values.js";
import { VERSION } from "../../version.js";
import {
  Execution,
  type ExecutionId,
  Executions,
  type Facts,
  type Host,
  isPromise,
  noComponent,
  type Origin,
  outputOf,
} from "../executions.js";
import { type Failure, failure, failureOf } from "../failures.js";
import { log } from "../log.js";
import type { Component, Found, Registry } from "../registry.js";
import type { RunApi } from "../run_api.js";
import { Outgoing } from "./outgoing.js";
import { StdioRunApi, Watches } from "./run_api.js";

const PROTOCOL_VERSION = 1;
/** Answers that are at hand are written in pieces of so many, so that the gateway works on them meanwhile. */
const EARLY_FLUSH_ANSWERS = 64;
/** What is larger gains nothing from company: it goes out in a line of its own. */
const SMALL_CHARS = 4 * 1024;
/** A line of many answers ends here: one of more than 1 MiB may hold a single answer only. */
const LINE_CHARS = 256 * 1024;
const OUTPUTS_HEAD = '{"jsonrpc":"2.0","method":"$/outputs","params":{"outputs":[';

type Json = Record<string, unknown>;

/** An execution that came as a request. */
class RequestOrigin implements Origin {
  constructor(private readonly params: Json) {}

  get observability(): Json | undefined {
    return objectOf(this.params["observability"]);
  }

  factsOf(_execution: Execution): Facts {
    const { params } = this;
    const ids = this.observability ?? {};
    const traceId = textOf(ids["trace_id"]);
    const spanId = textOf(ids["span_id"]);
    const made = traceId !== undefined && spanId !== undefined ? `00-${traceId}-${spanId}-01` : undefined;
    return {
      attempt: numberOf(params["attempt"]) ?? 1,
      taskToken: textOf(params["taskToken"]) ?? textOf(params["task_token"]),
      idempotencyToken: textOf(params["idempotencyToken"]) ?? textOf(params["idempotency_token"]),
      itemIndex: numberOf(params["itemIndex"]) ?? numberOf(params["item_index"]) ?? numberOf(ids["item_index"]),
      runId: textOf(ids["run_id"]),
      flowId: textOf(ids["flow_id"]),
      stepId: textOf(ids["step_id"]),
      traceparent: textOf(ids["traceparent"]) ?? made,
    };
  }
}

interface BulkParams {
  component: string;
  observability: { trace_id: string; run_id: string; flow_id: string; step_id: string; flags?: string };
  spanPrefix: string;
  tokenPrefix: string;
  timeoutMs?: number;
  calls: [number, number, number, unknown][];
}

/** Executions of one step of one run that came in one line. A call's span and token are made of its number. */
class BulkOrigin implements Origin {
  constructor(private readonly params: BulkParams) {}

  factsOf({ id, itemIndex, attempt }: Execution): Facts {
    const { observability: ids, spanPrefix, tokenPrefix } = this.params;
    const digits = (id as number).toString(16);
    const spanId = `${spanPrefix}${digits.padStart(10, "0")}`;
    return {
      attempt,
      taskToken: `${tokenPrefix}${digits}`,
      idempotencyToken: undefined,
      itemIndex,
      runId: ids.run_id,
      flowId: ids.flow_id,
      stepId: ids.step_id,
      traceparent: `00-${ids.trace_id}-${spanId}-${ids.flags ?? "01"}`,
    };
  }

  observabilityOf(execution: Execution): Json {
    const { observability: ids, spanPrefix } = this.params;
    const spanId = `${spanPrefix}${(execution.id as number).toString(16).padStart(10, "0")}`;
    const { traceparent } = this.factsOf(execution);
    const { trace_id, run_id, flow_id, step_id } = ids;
    return { trace_id, span_id: spanId, run_id, flow_id, step_id, traceparent };
  }
}

export interface ConnectionSetup {
  readonly registry: Registry;
  readonly capacity: number;
  /** Takes whole lines for the gateway; never blocks. */
  readonly write: (text: string) => void;
  /** Called once the gateway has asked to end, or has broken the wire, and nothing is being executed. */
  readonly onShutdown: () => void;
}

export class StdioConnection implements Host {
  readonly #registry: Registry;
  readonly #executions = new Executions(this);
  readonly #watches = new Watches();
  readonly #outgoing: Outgoing;
  #lines: string[] = [];
  #outputs: string[] = [];
  #failures: string[] = [];
  #joinedChars = 0;
  #flushIsDue = false;
  #isReceiving = false;
  #initialized = false;
  #isClosed = false;

  constructor(private readonly setup: ConnectionSetup) {
    this.#registry = setup.registry;
    this.#outgoing = new Outgoing((line) => this.#sendLine(line));
  }

  /** Whole lines that were read. */
  receive(text: string): void {
    this.#isReceiving = true;
    try {
      let start = 0;
      while (start < text.length) {
        let end = text.indexOf("\n", start);
        if (end < 0) end = text.length;
        const line = text.slice(start, text.charCodeAt(end - 1) === 0x0d ? end - 1 : end);
        start = end + 1;
        if (line.length > 0) this.#takeLine(line);
      }
    } finally {
      this.#isReceiving = false;
      this.#flush();
    }
  }

  /** The gateway is gone. Components are told. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#executions.close();
    this.#outgoing.close();
  }

  /** End once nothing is being executed. */
  endWhenIdle(): void {
    this.#executions.whenIdle(() => {
      this.#flush();
      this.setup.onShutdown();
    });
  }

  // for executions

  output(execution: Execution, json: string): void {
    if (typeof execution.id === "number" && execution.origin instanceof BulkOrigin) this.#addOutput(execution.id, json);
    else this.#lines.push(`{"jsonrpc":"2.0","id":${JSON.stringify(execution.id)},"result":{"output":${oneLine(json)}}}\n`);
    this.#flushSoon();
  }

  failure(execution: Execution, error: Failure): void {
    if (typeof execution.id === "number" && execution.origin instanceof BulkOrigin) this.#addFailure(execution.id, error);
    else this.#fail(execution.id, error);
    this.#flushSoon();
  }

  started(ids: ExecutionId[]): void {
    this.#outgoing.notify("$/started", JSON.stringify({ ids }));
  }

  progress(execution: Execution, fraction: number, message: string | undefined): void {
    const { taskToken } = execution.origin.factsOf(execution);
    this.#outgoing.notify("$/progress", JSON.stringify({ id: execution.id, taskToken, fraction, message }));
  }

  runApi(execution: Execution): RunApi {
    const { origin } = execution;
    return new StdioRunApi(this.#outgoing, this.#watches, {
      taskToken: origin.factsOf(execution).taskToken,
      observability: origin instanceof BulkOrigin ? origin.observabilityOf(execution) : (origin as RequestOrigin).observability,
      numbers: execution.found.component.numbers,
      signal: execution.signal,
      beginWait: () => execution.beginWait(),
      endWait: () => {
        execution.endWait();
        this.#executions.sweepBy(execution.deadline);
      },
    });
  }

  // lines in

  #takeLine(line: string): void {
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      log.warn("ignored a line that is no message:", line.slice(0, 200));
      return;
    }
    const { id, method, params, error } = objectOf(message) ?? {};
    try {
      if (typeof method !== "string") {
        // Raw, so that values keep the numbers that they were written with.
        if (id !== undefined) this.#outgoing.take(id, rawMembers(line).get("result"), error);
      } else if (id === undefined || id === null) {
        this.#takeNotification(method, params, line);
      } else if (method === "components/execute") {
        this.#execute(id as ExecutionId, params, line);
      } else {
        this.#answer(id as ExecutionId, method, objectOf(params) ?? {});
      }
    } catch (bug) {
      // A bug here must not swallow the other messages of this read.
      log.error("a message could not be handled:", bug);
      if (typeof method === "string" && id !== undefined && id !== null) {
        this.#fail(id as ExecutionId, failure(new FlowspanError("a bug in the component server; its log says more")));
      }
    }
  }

  #execute(id: ExecutionId, given: unknown, line: string): void {
    const params = objectOf(given);
    const name = params?.["component"];
    if (params === undefined || typeof name !== "string") {
      this.#fail(id, failure(new InvalidArgumentError("components/execute needs params with a component")));
      return;
    }
    const found = this.#registry.find(name);
    if (found === undefined || !this.#initialized) {
      this.#fail(id, this.#refusal(name));
      return;
    }
    const { component } = found;
    let input: unknown = params["input"] ?? null;
    if (!readsAsParsed(component, line)) {
      input = inputOf(rawMembers(rawMembers(line).get("params") ?? "{}").get("input") ?? "null", component);
    }
    const timeoutMs = numberOf(params["timeoutMs"]) ?? Number.POSITIVE_INFINITY;
    this.#executions.begin(new Execution(id, found, new RequestOrigin(params), timeoutMs), input);
  }

  /** Executions that came in bulk. */
  #executeMany(given: unknown, line: string): void {
    const params = given as BulkParams;
    const { calls } = params;
    const found = this.#registry.find(params.component);
    if (found === undefined || !this.#initialized) {
      const refusal = this.#refusal(params.component);
      for (const [number] of calls) this.#addFailure(number, refusal);
      return;
    }
    const { component } = found;
    const raw = readsAsParsed(component, line) ? undefined : rawInputs(line);
    const origin = new BulkOrigin(params);
    const timeoutMs = params.timeoutMs ?? Number.POSITIVE_INFINITY;
    for (let i = 0; i < calls.length; i += 1) {
      const call = calls[i];
      if (call === undefined) continue;
      const input = raw === undefined ? call[3] : inputOf(raw[i] ?? "null", component);
      if (component.takesContext)
        this.#executions.begin(new Execution(call[0], found, origin, timeoutMs, call[1], call[2]), input);
      else this.#callPlain(call, input, found, origin, timeoutMs);
      if (this.#outputs.length >= EARLY_FLUSH_ANSWERS) this.#flush();
    }
  }

  /** One that needs nothing but its input; most are answered before anything is made for them. */
  #callPlain(call: BulkParams["calls"][number], input: unknown, found: Found, origin: BulkOrigin, timeoutMs: number): void {
    try {
      const returned = (found.component.run as (input: unknown) => unknown)(input);
      if (isPromise(returned)) {
        this.#executions.follow(new Execution(call[0], found, origin, timeoutMs, call[1], call[2]), returned);
      } else this.#addOutput(call[0], outputOf(returned));
    } catch (thrown) {
      this.#addFailure(call[0], failureOf(thrown));
    }
  }

  #refusal(name: string): Failure {
    if (!this.#initialized) return failure(new FlowspanError("initialize comes first", { reason: "NOT_INITIALIZED" }));
    return failure(noComponent(name));
  }

  #takeNotification(method: string, params: unknown, line: string): void {
    switch (method) {
      case "$/execute":
        if (!isBulk(params)) {
          log.error("$/execute cannot be read; nobody could say which executions are lost");
          this.setup.onShutdown();
        } else this.#executeMany(params, line);
        break;
      case "runs/event":
        this.#watches.take(rawMembers(line).get("params") ?? "{}");
        break;
      case "$/cancelRequest": {
        const id = objectOf(params)?.["id"];
        if (typeof id === "number" || typeof id === "string") this.#executions.cancel([id]);
        break;
      }
      default:
        break;
    }
  }

  #answer(id: ExecutionId, method: string, params: Json): void {
    let result: unknown;
    try {
      result = this.#resultOf(method, params);
    } catch (error) {
      if (!(error instanceof FlowspanError)) throw error;
      this.#fail(id, failure(error));
      return;
    }
    this.#sendLine(`{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${JSON.stringify(result)}}\n`);
    if (method === "shutdown") this.endWhenIdle();
  }

  #resultOf(method: string, params: Json): unknown {
    switch (method) {
      case "initialize":
        return this.#initialize(params);
      case "ping":
      case "shutdown":
        return {};
      case "$/cancel": {
        const { ids } = params;
        if (!Array.isArray(ids)) throw new InvalidArgumentError("$/cancel needs a list of ids", { details: { field: "ids" } });
        // Everything begins as it is read, so nothing is ever dropped.
        return { dropped: [], running: this.#executions.cancel(ids as ExecutionId[]) };
      }
      case "components/list":
        this.#refuseUninitialized();
        return { components: this.#registry.all.map(infoOf) };
      case "components/info": {
        this.#refuseUninitialized();
        const { component: name } = params;
        if (typeof name !== "string") throw new InvalidArgumentError("components/info needs a component");
        const found = this.#registry.find(name);
        if (found === undefined) throw noComponent(name);
        return { info: infoOf(found.component) };
      }
      default:
        throw new FlowspanError(`there is no method ${JSON.stringify(method.slice(0, 200))}`, { reason: "METHOD_NOT_FOUND" });
    }
  }

  #refuseUninitialized(): void {
    if (!this.#initialized) throw new FlowspanError("initialize comes first", { reason: "NOT_INITIALIZED" });
  }

  #initialize(params: Json): unknown {
    const listed = [params["protocolVersions"], params["protocol_versions"]].flatMap((list) => (Array.isArray(list) ? list : []));
    const offered = [params["runtimeProtocolVersion"], params["runtime_protocol_version"], ...listed].filter(
      (version): version is number => typeof version === "number",
    );
    if (offered.length > 0 && !offered.includes(PROTOCOL_VERSION)) {
      const versions = [...new Set(offered)].sort((a, b) => a - b);
      throw new FlowspanError(
        `the gateway speaks protocol versions ${versions.join(", ")}, this server speaks ${PROTOCOL_VERSION}: update the older one`,
        { reason: "RESOURCE_UNAVAILABLE", details: { gatewayVersions: versions, serverVersions: [PROTOCOL_VERSION] } },
      );
    }
    this.#initialized = true;
    return {
      serverProtocolVersion: PROTOCOL_VERSION,
      server_protocol_version: PROTOCOL_VERSION,
      serverInfo: { name: "flowspan-typescript", version: VERSION },
      capabilities: {
        capacity: this.setup.capacity,
        cancelAck: true,
        timeouts: true,
        reentrant: true,
        ping: true,
        shutdown: true,
        started: true,
        progress: true,
        watch: true,
        derivesTokens: true,
        bulk: true,
      },
    };
  }

  // lines out

  #fail(id: ExecutionId, { code, message, data }: Failure): void {
    const error = `{"code":${code},"message":${JSON.stringify(message)},"data":${oneLine(data)}}`;
    this.#sendLine(`{"jsonrpc":"2.0","id":${JSON.stringify(id)},"error":${error}}\n`);
  }

  #addOutput(number: number, json: string): void {
    if (json.length > SMALL_CHARS) {
      this.#lines.push(`${OUTPUTS_HEAD}[${number},${oneLine(json)}]]}}\n`);
      return;
    }
    this.#outputs.push(`[${number},${json}]`);
    this.#grow(json.length);
  }

  #addFailure(number: number, { code, message, data }: Failure): void {
    const text = `[${number},{"code":${code},"message":${JSON.stringify(message)},"data":${data}}]`;
    this.#failures.push(text);
    this.#grow(text.length);
  }

  #grow(chars: number): void {
    this.#joinedChars += chars;
    if (this.#joinedChars > LINE_CHARS) this.#seal();
  }

  /** The answers so far become a line. */
  #seal(): void {
    if (this.#outputs.length + this.#failures.length === 0) return;
    const failures = this.#failures.length > 0 ? `],"failures":[${this.#failures.join(",")}` : "";
    this.#lines.push(`${oneLine(`${OUTPUTS_HEAD}${this.#outputs.join(",")}${failures}]}}`)}\n`);
    this.#outputs = [];
    this.#failures = [];
    this.#joinedChars = 0;
  }

  #sendLine(line: string): void {
    if (this.#isClosed) return;
    this.#lines.push(line);
    this.#flushSoon();
  }

  /** With whatever else is answered in this turn of the loop. */
  #flushSoon(): void {
    if (this.#flushIsDue || this.#isReceiving) return;
    this.#flushIsDue = true;
    setImmediate(() => {
      this.#flushIsDue = false;
      this.#flush();
    });
  }

  #flush(): void {
    this.#seal();
    if (this.#lines.length === 0) return;
    const text = this.#lines.length === 1 ? (this.#lines[0] ?? "") : this.#lines.join("");
    this.#lines = [];
    if (!this.#isClosed) this.setup.write(text);
  }
}

/** Whether what JSON.parse made of the line is what the component wants as its input. */
function readsAsParsed(component: Component, line: string): boolean {
  return !component.raw && isPlain(line, component.numbers);
}

function inputOf(raw: string, component: Component): unknown {
  return component.raw ? new RawJson(raw) : parseJson(raw, component.numbers);
}

function rawInputs(line: string): string[] {
  const params = rawMembers(rawMembers(line).get("params") ?? "{}");
  return rawElements(params.get("calls") ?? "[]").map((call) => rawElements(call)[3] ?? "null");
}

function isBulk(params: unknown): params is BulkParams {
  const { component, observability, calls, spanPrefix, tokenPrefix } = objectOf(params) ?? {};
  if (typeof component !== "string" || typeof spanPrefix !== "string" || typeof tokenPrefix !== "string") return false;
  if (objectOf(observability) === undefined || !Array.isArray(calls)) return false;
  return calls.every((call) => Array.isArray(call) && typeof call[0] === "number" && call.length >= 4);
}

function infoOf({ name, description, inputSchema, outputSchema }: Component): Json {
  return { component: name, name, description, input_schema: inputSchema, output_schema: outputSchema };
}

function objectOf(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}
