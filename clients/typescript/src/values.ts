// What clients and component servers have in common, in Node and in browsers.

export * from "./errors.js";
export { encodeJson, JsonNumber, type NumberMode, parseJson, RawJson } from "./json/values.js";
export { VERSION } from "./version.js";
export {
  type FlowError,
  type FlowResult,
  type ItemCounts,
  ItemResult,
  isTerminal,
  type Outcome,
  type ResultOrder,
  type ResultsOmitted,
  RunFailedError,
  type RunProgress,
  RunStatus,
  type RunStatusCode,
} from "./view/status.js";
