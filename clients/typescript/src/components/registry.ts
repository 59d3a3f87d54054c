// The components of one server, by name.

import type { NumberMode } from "../json/values.js";
import type { ComponentContext } from "./context.js";

/** A gateway refuses a longer list. */
const MAX_COMPONENTS = 10_000;

// biome-ignore lint/suspicious/noExplicitAny: what the input is, is for the author to say
export type ComponentFunction = (input: any, ctx: ComponentContext) => unknown;

export interface ComponentOptions {
  readonly description?: string | undefined;
  /** JSON Schema; published, and for the gateway's users to read. */
  readonly inputSchema?: object | undefined;
  readonly outputSchema?: object | undefined;
  /** How numbers of the input, of blobs and of sub-runs' results are read; default `safe`. */
  readonly numbers?: NumberMode | undefined;
  /** The input comes as `RawJson`, which loses nothing and is not parsed. */
  readonly raw?: boolean | undefined;
}

/** One component: `name` begins with a slash. */
export interface Component {
  readonly name: string;
  readonly run: ComponentFunction;
  readonly takesContext: boolean;
  readonly numbers: NumberMode;
  readonly raw: boolean;
  readonly description: string | undefined;
  readonly inputSchema: object | undefined;
  readonly outputSchema: object | undefined;
}

/** A component, and the values of the parameters in its name. */
export interface Found {
  readonly component: Component;
  readonly parameters: Readonly<Record<string, string>>;
}

const NO_PARAMETERS: Readonly<Record<string, string>> = Object.freeze({});

export class Registry {
  readonly #byName = new Map<string, Found>();
  readonly #patterns: { pattern: RegExp; component: Component }[] = [];
  readonly #components: Component[] = [];

  add(name: string, run: ComponentFunction, options: ComponentOptions): void {
    const path = name.startsWith("/") ? name : `/${name}`;
    if (path === "/" || /\s/.test(path)) throw new TypeError(`${JSON.stringify(name)} is no name of a component`);
    if (typeof run !== "function") throw new TypeError(`component ${path} needs a function`);
    if (this.#byName.has(path)) throw new TypeError(`component ${path} is registered twice`);
    if (this.#components.length >= MAX_COMPONENTS) throw new RangeError(`a gateway takes at most ${MAX_COMPONENTS} components`);
    const component: Component = {
      name: path,
      run,
      takesContext: run.length !== 1,
      numbers: options.numbers ?? "safe",
      raw: options.raw ?? false,
      description: options.description,
      inputSchema: options.inputSchema,
      outputSchema: options.outputSchema,
    };
    const found = { component, parameters: NO_PARAMETERS };
    this.#components.push(component);
    this.#byName.set(path, found);
    // Some gateways name components without their slash.
    this.#byName.set(path.slice(1), found);
    const pattern = patternOf(path);
    if (pattern !== undefined) this.#patterns.push({ pattern, component });
  }

  /** In the order of their registration. */
  get all(): readonly Component[] {
    return this.#components;
  }

  /** By its name, else by the first name with parameters that fits. */
  find(name: string): Found | undefined {
    const found = this.#byName.get(name);
    if (found !== undefined || this.#patterns.length === 0) return found;
    const path = name.startsWith("/") ? name : `/${name}`;
    for (const { pattern, component } of this.#patterns) {
      const match = pattern.exec(path);
      if (match === null) continue;
      const parameters: Record<string, string> = {};
      for (const [key, value] of Object.entries(match.groups ?? {})) parameters[key] = decoded(value);
      return { component, parameters };
    }
    return undefined;
  }
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** `/users/{id}`: each part in braces fits one part of a path. */
function patternOf(path: string): RegExp | undefined {
  if (!path.includes("{")) return undefined;
  const source = path
    .split(/(\{[A-Za-z_][A-Za-z0-9_]*\})/)
    .map((part, i) => (i % 2 === 1 ? `(?<${part.slice(1, -1)}>[^/]+)` : part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")))
    .join("");
  return new RegExp(`^${source}$`, "u");
}
