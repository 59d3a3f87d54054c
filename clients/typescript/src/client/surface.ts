// What every client module exports beside its `Client`.

export * from "../values.js";
export type { Component, ComponentList, Diagnostic, FlowSummary, Plugin } from "./answers.js";
export { Flow } from "./answers.js";
export type { BlobKind, GetRunOptions, ListRunItemsOptions, ListRunsOptions, RawClients, WaitOptions } from "./client.js";
export { BaseClient } from "./client.js";
export type { CallOptions } from "./connection.js";
export { Pages } from "./pages.js";
export type { RetryPolicy } from "./retry.js";
export { BlobRef, type FlowDocument, type Inputs, type SubmitOptions } from "./submission.js";
export { type TreeNews, TreeWatch } from "./tree_watch.js";
export { Watch, type WatchOptions } from "./watch.js";
