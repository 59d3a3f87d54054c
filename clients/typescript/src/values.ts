// What clients and component servers have in common, in Node and in browsers.

export * from "./errors.js";
export { type NumberMode, JsonNumber, RawJson, encodeJson, parseJson } from "./json/values.js";
export {
  type FlowError,
  type FlowResult,
  type ItemCounts,
  ItemResult,
  type Outcome,
  type ResultOrder,
  type ResultsOmitted,
  RunFailedError,
  type RunProgress,
  RunStatus,
  type RunStatusCode,
  isTerminal,
} from "./view/status.js";
export { VERSION } from "./version.js";
