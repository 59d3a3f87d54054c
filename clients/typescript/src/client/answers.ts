// What a client gives beside runs: flows, components.

import type { RawJson } from "../json/values.js";

/** A flow in a list. */
export interface FlowSummary {
  readonly flowId: string;
  readonly flowName: string | undefined;
}

/** A stored flow; `json`: its document as stored. */
export class Flow implements FlowSummary {
  constructor(
    readonly flowId: string,
    readonly flowName: string | undefined,
    readonly json: RawJson,
  ) {}

  get document(): unknown {
    return this.json.parse();
  }
}

/** One finding about a flow. `level`: warning, error or fatal. `line` and `column`: from 1; 0: not known. */
export interface Diagnostic {
  readonly kind: string;
  readonly code: number;
  readonly level: string;
  readonly message: string;
  readonly path: string;
  readonly line: number;
  readonly column: number;
}

/** A component that flows can name by `path`. Schemas: JSON Schema. */
export interface Component {
  readonly path: string;
  readonly plugin: string;
  readonly description: string | undefined;
  readonly inputSchema: unknown;
  readonly outputSchema: unknown;
}

/** A configured plugin. `health`: starting, up, backingOff, circuitOpen or broken. */
export interface Plugin {
  readonly name: string;
  readonly type: string;
  readonly health: string;
  readonly detail: string;
  readonly restarts: number;
  readonly capacity: number;
  readonly inFlight: number;
  readonly stderrTail: readonly string[];
}

/** All components, by path, and the plugins that offer them, by name. */
export interface ComponentList {
  readonly components: readonly Component[];
  readonly plugins: readonly Plugin[];
}
