import { BaseClient, type ClientOptions as SharedOptions } from "../client/client.js";
import { findTarget } from "./discovery.js";
import { grpcWires, type Tls } from "./transport.js";

export interface ClientOptions extends SharedOptions {
  /** `unix:/path` or `host:port`; default: `FLOWSPAN_TARGET`, else the gateway that runs on this machine. */
  readonly target?: string | undefined;
  /** True, or trusted root certificates in PEM; default: plain text. */
  readonly tls?: Tls | undefined;
}

/** A client of one gateway, over gRPC. Connects with the first call; `close` ends it. */
export class Client extends BaseClient {
  constructor(options: ClientOptions = {}) {
    const { target, token } = findTarget(options.target, options.token);
    super(grpcWires(target, options.tls ?? false), { ...options, token });
  }
}
