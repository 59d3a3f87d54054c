// gRPC over HTTP/2, to a host and port or to a unix socket.

import { readFile } from "node:fs/promises";
import type { ClientSessionOptions, SecureClientSessionOptions } from "node:http2";
import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import type { Wires } from "../client/connection.js";
import { InvalidArgumentError } from "../errors.js";

/** The gateway's own bound on what it receives; its answers are smaller. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
const CONNECT_TIMEOUT_MS = 5_000;
/** A peer that hangs is noticed within 13 s; the gateway accepts a ping every 5 s. */
const PING_INTERVAL_MS = 8_000;
const PING_TIMEOUT_MS = 5_000;
/** Room for what a watch gets while its reader is busy; the default of 64 KiB costs a round trip for each. */
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
/** Of a connection without calls; the next call opens another. */
const IDLE_MS = 15 * 60_000;

/** TLS: true, or trusted root certificates in PEM. */
export type Tls = boolean | string | Uint8Array;

export function grpcWires(target: string, tls: Tls = false): Wires {
  const calls = grpcTransport(target, tls);
  const watches = grpcTransport(target, tls);
  return {
    target,
    calls: calls.transport,
    watches: watches.transport,
    streamsRequests: true,
    readFile: (path) => readFile(path),
    close: () => {
      calls.close();
      watches.close();
    },
  };
}

/** A transport with a connection of its own. */
export function grpcTransport(target: string, tls: Tls = false): { transport: Transport; close: () => void } {
  const place = placeOf(target);
  const nodeOptions: ClientSessionOptions & SecureClientSessionOptions = {
    settings: { initialWindowSize: STREAM_WINDOW_BYTES, enablePush: false },
    maxSessionMemory: 64,
    createConnection: () => openSocket(place, tls),
  };
  const baseUrl = `${tls === false ? "http" : "https"}://${"path" in place ? "localhost" : target}`;
  if (!URL.canParse(baseUrl)) throw badTarget(target);
  const sessionManager = new Http2SessionManager(
    baseUrl,
    // Idle connections are not pinged but looked at before their next call: the manager would go on to ping one that was closed.
    { pingIntervalMs: PING_INTERVAL_MS, pingTimeoutMs: PING_TIMEOUT_MS, idleConnectionTimeoutMs: IDLE_MS },
    nodeOptions,
  );
  const transport = createGrpcTransport({
    baseUrl,
    sessionManager,
    readMaxBytes: MAX_MESSAGE_BYTES,
    writeMaxBytes: MAX_MESSAGE_BYTES,
    acceptCompression: [],
  });
  return { transport, close: () => sessionManager.abort() };
}

type Place = { readonly path: string } | { readonly host: string; readonly port: number };

function placeOf(target: string): Place {
  if (target.startsWith("unix:")) {
    const path = target.slice("unix:".length).replace(/^\/\/(?=\/)/, "");
    if (path === "") throw badTarget(target);
    return { path };
  }
  const [, host, port] = /^(\[[0-9a-fA-F:.]+\]|[^/:@\s]+):(\d{1,5})$/.exec(target) ?? [];
  if (host === undefined) throw badTarget(target);
  return { host: host.replace(/^\[|\]$/g, ""), port: Number(port) };
}

/** A connection that is there within some seconds, or fails: the system's own patience is minutes. */
function openSocket(place: Place, tls: Tls): Socket {
  let socket: Socket;
  if (tls === false) socket = "path" in place ? connect(place) : connect({ ...place, noDelay: true });
  else {
    const roots = tls === true ? {} : { ca: typeof tls === "string" ? tls : Buffer.from(tls) };
    const name = "path" in place || isIP(place.host) !== 0 ? {} : { servername: place.host };
    socket = connectTls({ ...place, ...roots, ...name, ALPNProtocols: ["h2"] });
  }
  const late = Object.assign(new Error(`no connection within ${CONNECT_TIMEOUT_MS} ms`), { code: "ETIMEDOUT" });
  const timer = setTimeout(() => socket.destroy(late), CONNECT_TIMEOUT_MS);
  const settle = () => clearTimeout(timer);
  socket.once(tls === false ? "connect" : "secureConnect", settle).once("close", settle);
  return socket;
}

function badTarget(target: string): InvalidArgumentError {
  const shown = JSON.stringify(target.slice(0, 200));
  return new InvalidArgumentError(`a target is host:port or unix:/path, not ${shown}`, { details: { field: "target" } });
}
