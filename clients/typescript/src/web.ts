/** Flowspan for browsers: a client over Connect or gRPC-Web. */

export * from "./client/surface.js";
export { Client, type WebClientOptions } from "./web/client.js";
