// A worker as a process: where its gateway is, and how it ends.

import { Connection } from "../../client/connection.js";
import { DEFAULT_RETRY } from "../../client/retry.js";
import { findTarget } from "../../node/discovery.js";
import { grpcWires } from "../../node/transport.js";
import type { Registry } from "../registry.js";
import type { WorkerOptions } from "../server.js";
import { Worker } from "./worker.js";

const CALL_TIMEOUT_MS = 10_000;
/** After the worker has left, how long other work of the process may take. */
const EXIT_GRACE_MS = 2_000;

/** Work for a queue until SIGTERM or SIGINT; a second one ends the process at once. */
export async function serveQueue(registry: Registry, capacity: number, queue: string, options: WorkerOptions): Promise<void> {
  const gateway = new Gateway(options);
  const worker = new Worker({ registry, capacity, queue, reach: () => gateway.reach() });
  let signals = 0;
  const onSignal = () => {
    signals += 1;
    if (signals > 1) process.exit(1);
    worker.leave();
  };
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  // The worker's own timers do not keep the process alive while it waits for a gateway.
  const alive = setInterval(() => {}, 2 ** 30);
  try {
    await worker.run();
  } finally {
    clearInterval(alive);
    process.off("SIGTERM", onSignal).off("SIGINT", onSignal);
    gateway.close();
  }
  setTimeout(() => process.exit(0), EXIT_GRACE_MS).unref();
}

/** The connection to wherever the gateway is now: one that was found anew may have another address and another token. */
class Gateway {
  #connection: Connection | undefined;
  #key = "";

  constructor(private readonly options: WorkerOptions) {}

  reach(): Connection {
    const { target, token } = findTarget(this.options.target, this.options.token);
    const key = `${target} ${token ?? ""}`;
    if (this.#connection !== undefined && key === this.#key) return this.#connection;
    this.close();
    this.#key = key;
    this.#connection = new Connection(grpcWires(target, this.options.tls), {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      timeoutMs: CALL_TIMEOUT_MS,
      retry: DEFAULT_RETRY,
      numbers: "safe",
    });
    return this.#connection;
  }

  close(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }
}
