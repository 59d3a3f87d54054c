// JSON to and from values of the language, without losing what a double cannot hold.

import { type FlowspanError, InvalidValueError } from "../errors.js";
import { skipSpace, skipString, skipValue } from "./scan.js";

/**
 * How numbers are read.
 *
 * - `safe`: as `JSON.parse` does, but an integer that a double would change is a `bigint`.
 * - `exact`: moreover, a number that JavaScript would write in another way (`1.0`, `-0.0`, `1e3`) is a `JsonNumber`. What is read
 *   so and written again is what it was.
 */
export type NumberMode = "safe" | "exact";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Thrown by `toJSON` of the classes below while a value is being encoded: the careful way writes them, `JSON.stringify` cannot. */
const CAREFUL = new Error("needs the careful encoder");
let encoding = false;

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/** A number by its text. */
export class JsonNumber {
  readonly text: string;

  constructor(text: string) {
    if (!NUMBER.test(text)) throw new InvalidValueError(`${JSON.stringify(text.slice(0, 80))} is not a number of JSON`);
    this.text = text;
  }

  /** Rounded to a double. */
  valueOf(): number {
    return Number(this.text);
  }

  toString(): string {
    return this.text;
  }

  toJSON(): number {
    if (encoding) throw CAREFUL;
    return Number(this.text);
  }
}

/** A value that is JSON already. It is sent as it stands, alone or inside of another value. */
export class RawJson {
  #text: string | undefined;
  #bytes: Uint8Array | undefined;

  constructor(json: string | Uint8Array) {
    if (typeof json === "string") this.#text = json;
    else this.#bytes = json;
  }

  get text(): string {
    this.#text ??= decoder.decode(this.#bytes);
    return this.#text;
  }

  get bytes(): Uint8Array {
    this.#bytes ??= encoder.encode(this.#text);
    return this.#bytes;
  }

  /** The value that it says. */
  parse(numbers: NumberMode = "safe"): unknown {
    return parseJson(this.text, numbers);
  }

  toString(): string {
    return this.text;
  }

  toJSON(): unknown {
    if (encoding) throw CAREFUL;
    return JSON.parse(this.text);
  }
}

// Digits that begin a token; most texts have none so long, and then JSON.parse loses nothing.
const LONG_INTEGER = /(?:^|[[,:\s-])\d{16}/;
const ODD_NUMBER = /-0|\d[.eE]|\d{16}/;

/** Whether `JSON.parse` reads every number of the text as `numbers` asks. May say no where it would. */
export function isPlain(text: string, numbers: NumberMode): boolean {
  return !(numbers === "safe" ? LONG_INTEGER : ODD_NUMBER).test(text);
}

/** The value of a JSON text. Throws SyntaxError. */
export function parseJson(text: string, numbers: NumberMode = "safe"): unknown {
  const value: unknown = JSON.parse(text);
  if (isPlain(text, numbers)) return value;
  return new CarefulReader(text, numbers).read();
}

/** Reads a text that JSON.parse has accepted. */
class CarefulReader {
  #at = 0;

  constructor(
    private readonly text: string,
    private readonly numbers: NumberMode,
  ) {}

  read(): unknown {
    const text = this.text;
    const start = skipSpace(text, this.#at);
    switch (text[start]) {
      case "{":
        return this.#object(start);
      case "[":
        return this.#array(start);
      case '"':
        return this.#string(start);
      default: {
        const end = skipValue(text, start);
        this.#at = end;
        const token = text.slice(start, end);
        if (token === "true") return true;
        if (token === "false") return false;
        if (token === "null") return null;
        return this.#number(token);
      }
    }
  }

  #number(token: string): unknown {
    const value = Number(token);
    if (this.numbers === "exact") {
      if (String(value) === token && (!/^-?\d+$/.test(token) || Number.isSafeInteger(value))) return value;
      return /^-?(?:[1-9]\d*|0)$/.test(token) && token !== "-0" ? BigInt(token) : new JsonNumber(token);
    }
    if (Number.isSafeInteger(value) || !/^-?\d+$/.test(token)) return value;
    return BigInt(token);
  }

  #string(start: number): string {
    const end = skipString(this.text, start);
    this.#at = end;
    const inner = this.text.slice(start + 1, end - 1);
    return inner.includes("\\") ? (JSON.parse(this.text.slice(start, end)) as string) : inner;
  }

  #array(start: number): unknown[] {
    const elements: unknown[] = [];
    this.#at = skipSpace(this.text, start + 1);
    if (this.text[this.#at] === "]") {
      this.#at += 1;
      return elements;
    }
    for (;;) {
      elements.push(this.read());
      this.#at = skipSpace(this.text, this.#at) + 1;
      if (this.text[this.#at - 1] === "]") return elements;
    }
  }

  #object(start: number): Record<string, unknown> {
    const members: Record<string, unknown> = {};
    this.#at = skipSpace(this.text, start + 1);
    if (this.text[this.#at] === "}") {
      this.#at += 1;
      return members;
    }
    for (;;) {
      const name = this.#string(skipSpace(this.text, this.#at));
      this.#at = skipSpace(this.text, this.#at) + 1;
      const value = this.read();
      // An assignment would change the prototype.
      if (name === "__proto__")
        Object.defineProperty(members, name, { value, enumerable: true, configurable: true, writable: true });
      else members[name] = value;
      this.#at = skipSpace(this.text, this.#at) + 1;
      if (this.text[this.#at - 1] === "}") return members;
    }
  }
}

const LONE_SURROGATE = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;

/**
 * The JSON text of a value: as `JSON.stringify` writes it, and `bigint`, `JsonNumber` and `RawJson` as they are.
 *
 * @throws InvalidValueError it has no JSON form: NaN, an infinity, a lone surrogate, `undefined` in a list, a circle.
 */
export function encodeJson(value: unknown): string {
  let text: string | undefined;
  encoding = true;
  try {
    text = JSON.stringify(value);
  } catch {
    text = undefined;
  } finally {
    encoding = false;
  }
  // JSON.stringify writes null for what has no JSON form, and escapes lone surrogates; both are rare enough to look twice.
  if (text === undefined || ((text.includes("null") || text.includes("\\ud")) && value !== null)) return carefully(value, "", 0);
  return text;
}

/** The bytes of `encodeJson`. */
export function encodeJsonBytes(value: unknown): Uint8Array {
  return value instanceof RawJson ? value.bytes : encoder.encode(encodeJson(value));
}

const MAX_DEPTH = 1_000;

function carefully(value: unknown, path: string, depth: number): string {
  if (depth > MAX_DEPTH) throw refusal(path.slice(0, 80), `is a circle, or nested more than ${MAX_DEPTH} deep`);
  switch (typeof value) {
    case "string":
      if (LONE_SURROGATE.test(value)) throw refusal(path, "has a lone surrogate, which UTF-8 cannot say");
      return JSON.stringify(value);
    case "number":
      if (!Number.isFinite(value)) throw refusal(path, `is ${value}, which JSON cannot say`);
      return JSON.stringify(value);
    case "boolean":
      return value ? "true" : "false";
    case "bigint":
      return value.toString();
    case "object":
      break;
    default:
      throw refusal(path, `is ${typeof value === "undefined" ? "undefined" : `a ${typeof value}`}, which JSON cannot say`);
  }
  if (value === null) return "null";
  if (value instanceof RawJson || value instanceof JsonNumber) return value.text;
  if ("toJSON" in value && typeof value.toJSON === "function") {
    return carefully(value.toJSON(path.slice(path.lastIndexOf("/") + 1)), path, depth + 1);
  }
  if (value instanceof Number || value instanceof String || value instanceof Boolean) {
    return carefully(value.valueOf(), path, depth + 1);
  }
  if (Array.isArray(value)) {
    return `[${value.map((element, index) => carefully(element, `${path}/${index}`, depth + 1)).join(",")}]`;
  }
  const members: string[] = [];
  for (const [name, member] of Object.entries(value)) {
    if (member === undefined || typeof member === "function" || typeof member === "symbol") continue; // as JSON.stringify does
    const inner = `${path}/${name}`;
    members.push(`${carefully(name, inner, depth + 1)}:${carefully(member, inner, depth + 1)}`);
  }
  return `{${members.join(",")}}`;
}

function refusal(path: string, why: string): FlowspanError {
  return new InvalidValueError(`the value${path === "" ? "" : ` at ${path}`} ${why}`, { details: { pointer: path } });
}

/** The text without line ends, which JSON allows between tokens only. */
export function oneLine(text: string): string {
  return text.includes("\n") || text.includes("\r") ? text.replace(/[\r\n]/g, " ") : text;
}
