// A component server: functions that a gateway calls, over stdin and stdout or as a worker of a queue.

import { basename } from "node:path";
import { isatty } from "node:tty";
import { log } from "./log.js";
import { type ComponentFunction, type ComponentOptions, Registry } from "./registry.js";
import { servePipes } from "./stdio/pipes.js";

const MAX_CAPACITY = 4_096;

/** Names the queue that a worker takes its work from; where it is set, `run` connects to a gateway instead of serving stdin. */
export const QUEUE_VARIABLE = "FLOWSPAN_QUEUE";

export interface ComponentServerOptions {
  /** Executions that the gateway may have in flight here, waits for sub-runs not counted; 1 to 4,096, default 256. */
  readonly capacity?: number | undefined;
}

export interface WorkerOptions {
  /** `host:port` or `unix:/path`. */
  readonly target?: string | undefined;
  readonly token?: string | undefined;
  /** True, or trusted root certificates in PEM; default: plain text. */
  readonly tls?: boolean | string | Uint8Array | undefined;
}

/**
 * Components and how they are served.
 *
 * ```ts
 * const server = new ComponentServer();
 * server.component("double", (input: number) => 2 * input);
 * await server.run();
 * ```
 */
export class ComponentServer {
  readonly capacity: number;
  readonly #registry = new Registry();

  constructor({ capacity = 256 }: ComponentServerOptions = {}) {
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > MAX_CAPACITY) {
      throw new RangeError(`capacity must be in 1..${MAX_CAPACITY}, not ${capacity}`);
    }
    this.capacity = capacity;
  }

  /**
   * Register a function `(input)` or `(input, ctx)`; what it returns, or its promise yields, is the output. Whatever it throws fails
   * its item only.
   *
   * @param name its path; parts in braces are parameters: `/users/{id}`. A leading slash may be left out.
   */
  component(name: string, run: ComponentFunction): this;
  component(name: string, options: ComponentOptions, run: ComponentFunction): this;
  component(name: string, second: ComponentOptions | ComponentFunction, third?: ComponentFunction): this {
    if (typeof second === "function") this.#registry.add(name, second, {});
    else if (third === undefined) throw new TypeError(`component ${name} needs a function`);
    else this.#registry.add(name, third, second);
    return this;
  }

  /** Names of what is registered, in order. */
  get components(): readonly string[] {
    return this.#registry.all.map((component) => component.name);
  }

  /**
   * Serve, and resolve when there is nothing more to serve: as a worker where `FLOWSPAN_QUEUE` is set, else the gateway that started
   * this process. On stdio stdout is the log from here on: whatever prints there goes to stderr.
   */
  async run(): Promise<void> {
    const queue = process.env[QUEUE_VARIABLE];
    if (queue !== undefined && queue !== "") {
      await this.runWorker(queue);
      return;
    }
    if (isatty(0)) {
      const names = this.components.join(", ") || "none";
      const command = `node ${basename(process.argv[1] ?? "server.js")}`;
      process.stderr.write(
        `This program is a Flowspan component server with ${this.components.length} component(s): ${names}
It is started by a gateway and speaks JSON-RPC on its stdin and stdout; there is nothing to type here.
Name it in flowspan.yml as a plugin of type stdio (command: ${command}), or end it with Ctrl-D.\n`,
      );
    }
    logStrayRejections();
    await servePipes(this.#registry, this.capacity);
  }

  /**
   * Connect to a gateway as a worker and serve this queue until SIGTERM or SIGINT; comes back to a gateway that was away.
   *
   * @param queue of a plugin of type worker in the gateway's configuration.
   * @param options where the gateway is; default: `FLOWSPAN_TARGET` and `FLOWSPAN_TOKEN`, else the one that runs on this machine.
   */
  async runWorker(queue: string, options: WorkerOptions = {}): Promise<void> {
    logStrayRejections();
    // Only workers need gRPC, and it is most of what there is to load.
    const { serveQueue } = await import("./worker/serve.js");
    await serveQueue(this.#registry, this.capacity, queue, options);
  }
}

/** A promise that nobody waits for is a mistake of one component; the items of the others go on. */
function logStrayRejections(): void {
  process.on("unhandledRejection", (reason) => log.error("a promise was rejected and nobody waited for it:", reason));
}
