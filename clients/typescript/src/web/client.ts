import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { BaseClient, type ClientOptions as SharedOptions } from "../client/client.js";

export interface WebClientOptions extends SharedOptions {
  /** Where the gateway's web face is, such as `https://flows.example.org`. */
  readonly baseUrl: string;
  /** Default `connect`. */
  readonly protocol?: "connect" | "grpc-web" | undefined;
  /** Another fetch, say one that sends cookies. */
  readonly fetch?: typeof globalThis.fetch | undefined;
}

/**
 * A client of one gateway for browsers, over Connect or gRPC-Web: the surface of the one for Node.
 *
 * A browser cannot stream a request: a submit takes at most 100,000 inputs and 15 MiB, a blob 3.5 MB.
 */
export class Client extends BaseClient {
  constructor(options: WebClientOptions) {
    const { baseUrl, protocol = "connect" } = options;
    const settings = { baseUrl, useBinaryFormat: true, ...(options.fetch === undefined ? {} : { fetch: options.fetch }) };
    const transport = protocol === "connect" ? createConnectTransport(settings) : createGrpcWebTransport(settings);
    super({ target: baseUrl, calls: transport, watches: transport, streamsRequests: false, close: () => {} }, options);
  }
}
