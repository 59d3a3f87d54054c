// A small gateway for tests: services with the answers of each test, on a unix socket (gRPC) or a port (Connect, gRPC-Web).

import { mkdtempSync, rmSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttp2Server, type Http2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { type Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { EventKind, SegmentSchema } from "flowspan/v1/event";
import { Outcome, RunStatus_Status } from "flowspan/v1/run";

export interface TestGateway {
  readonly target: string;
  /** Break all connections, as a gateway that is killed does. */
  cut(): void;
  close(): Promise<void>;
}

/** gRPC on a unix socket. */
export async function serveGrpc(routes: (router: ConnectRouter) => void): Promise<TestGateway> {
  const directory = mkdtempSync(join(tmpdir(), "flowspan-ts-"));
  const path = join(directory, "g.sock");
  const sessions = new Set<Http2Session>();
  const server = createHttp2Server(connectNodeAdapter({ routes }));
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    session.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const cut = () => {
    for (const session of sessions) session.destroy();
  };
  const close = async () => {
    cut();
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true, force: true });
  };
  return { target: `unix:${path}`, cut, close };
}

/** Connect and gRPC-Web over HTTP/1.1. */
export async function serveWeb(
  routes: (router: ConnectRouter) => void,
): Promise<{ baseUrl: string; close: () => Promise<void> }> {
  const server = createHttpServer(connectNodeAdapter({ routes }));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { baseUrl: `http://127.0.0.1:${port}`, close };
}

const utf8 = new TextEncoder();

export const RUN_ID = "01a20405-1cb2-7994-b237-b12c826b5016";
export const FLOW_ID = `sha256:${"0".repeat(64)}`;

export function runMessage(status: RunStatus_Status, asOfSeq: number, total: number) {
  const ended = status === RunStatus_Status.RUN_STATUS_SUCCESS;
  return {
    runId: RUN_ID,
    flowId: FLOW_ID,
    status,
    asOfSeq: BigInt(asOfSeq),
    items: { total: BigInt(total), pending: 0n, running: BigInt(ended ? 0 : total), success: BigInt(ended ? total : 0) },
    createdAt: { seconds: 1_700_000_000n, nanos: 5_000 },
  };
}

type SegmentInit = MessageInitShape<typeof SegmentSchema>;

/** The log of a run of `total` items that end in this order: accepted, started, one event per item, completed. */
export function logOf(total: number, order: readonly number[]): SegmentInit[] {
  const description = { runId: RUN_ID, flowId: FLOW_ID, total, createdAtUs: 1, maxConcurrency: 10, rootRunId: RUN_ID };
  const recordedAt = { seconds: 1_700_000_001n, nanos: 2_000 };
  const segments: SegmentInit[] = [
    {
      firstSeq: 1n,
      recordedAt,
      headers: [{ kind: EventKind.RUN_ACCEPTED }, { kind: EventKind.ITEMS_STARTED, itemIndex: 0n, itemCount: BigInt(total) }],
      payloads: [utf8.encode(JSON.stringify(description)), new Uint8Array()],
    },
  ];
  order.forEach((index, position) => {
    segments.push({
      firstSeq: BigInt(3 + position),
      recordedAt,
      headers: [{ kind: EventKind.ITEM_COMPLETED, itemIndex: BigInt(index), outcome: Outcome.SUCCESS }],
      payloads: [utf8.encode(`{"index":${index}}`)],
    });
  });
  segments.push({
    firstSeq: BigInt(3 + order.length),
    recordedAt,
    headers: [{ kind: EventKind.RUN_COMPLETED, runStatus: RunStatus_Status.RUN_STATUS_SUCCESS }],
    payloads: [new Uint8Array()],
  });
  return segments;
}

export function lastSeq(segment: SegmentInit): number {
  const { firstSeq = 0n, headers = [] } = create(SegmentSchema, segment);
  return Number(firstSeq) + headers.length - 1;
}

export function encodeSegment(segment: SegmentInit): Uint8Array {
  return toBinary(SegmentSchema, create(SegmentSchema, segment));
}

/** An error as a gateway says it. */
export function gatewayError(code: Code, reason: string, message: string, metadata: Record<string, string> = {}): ConnectError {
  const info = new BinaryWriter().tag(1, 2).string(reason).tag(2, 2).string("flowspan");
  for (const [key, value] of Object.entries(metadata)) {
    info.tag(3, 2).bytes(new BinaryWriter().tag(1, 2).string(key).tag(2, 2).string(value).finish());
  }
  const error = new ConnectError(message, code);
  // Details as they came from elsewhere; the types know only messages of schemas.
  Object.assign(error, { details: [{ type: "google.rpc.ErrorInfo", value: info.finish() }] });
  return error;
}

/** Resolves when the condition holds; rejects after five seconds. */
export async function until(condition: () => boolean, what = "a condition"): Promise<void> {
  const end = performance.now() + 5_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`${what} did not come true within 5 s`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
