/** Flowspan for Node: component servers. What needs no gRPC loads none. */

export { ComponentContext } from "./components/context.js";
export { ComponentError, type ComponentErrorOptions, InputError } from "./components/failures.js";
export { idempotencyToken } from "./components/idempotency.js";
export type { Log } from "./components/log.js";
export type { ComponentFunction, ComponentOptions } from "./components/registry.js";
export type { RunWatch, SubmitRunOptions } from "./components/run_api.js";
export { ComponentServer, type ComponentServerOptions, QUEUE_VARIABLE } from "./components/server.js";
export * from "./values.js";
