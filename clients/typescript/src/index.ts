/** Flowspan for Node: a client over gRPC, and component servers. */

export * from "./client/surface.js";
export * from "./components.js";
export { Client, type ClientOptions } from "./node/client.js";
export { findServer, runtimeDirectory, type ServerInfo } from "./node/discovery.js";
