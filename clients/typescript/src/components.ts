/** Flowspan for Node: component servers. What needs no gRPC loads none. */

export { ComponentContext } from "./components/context.js";
export { ComponentError, type ComponentErrorOptions, InputError } from "./components/failures.js";
export { idempotencyToken } from "./components/idempotency.js";
export type { Log } from "./components/log.js";
export type { ComponentFunction, ComponentOptions } from "./components/registry.js";
export type { GetRunOptions as ContextGetRunOptions, RunWatch, SubmitRunOptions } from "./components/run_api.js";
export { ComponentServer, type ComponentServerOptions, QUEUE_VARIABLE, type WorkerOptions } from "./components/server.js";
export * from "./values.js";
