import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ERROR_TABLE, encodeJson, errorOfReason, InvalidValueError, JsonNumber, parseJson, RawJson, VERSION } from "flowspan";
import { idempotencyToken } from "flowspan/components";

const EXACT = [
  "9007199254740993",
  "-9007199254740993",
  "123456789012345678901234567890",
  "1.0",
  "-0.0",
  "-0",
  "0",
  "1e3",
  "1E-7",
  "1.50",
  "0.1",
  "12345678901234567890.5",
  '{"a":[1.0,{"b":-0.0}],"c":"1.0 \\u0041 \\"quoted\\" \u{1F600}","d":null,"e":true}',
  "[]",
  "{}",
  '[[],{},"",0.5,false]',
  '{"__proto__":1.0,"constructor":2.0}',
];

test("exact reading and writing changes no number", () => {
  for (const text of EXACT) {
    const once = encodeJson(parseJson(text, "exact"));
    assert.equal(once, text.replaceAll("\\u0041", "A"), text);
  }
});

test("white space between tokens is skipped by the careful reader", () => {
  const text = ' { "a" :\n[ 1.0 , 9007199254740993 ] ,\t"b" : { } } ';
  assert.equal(encodeJson(parseJson(text, "exact")), '{"a":[1.0,9007199254740993],"b":{}}');
});

test("safe reading makes bigints of integers that a double would change, and of nothing else", () => {
  const text = '[9007199254740993,9007199254740991,1.0,1e400,"9007199254740993",-0.0]';
  const value = parseJson(text) as unknown[];
  assert.deepEqual(value, [9007199254740993n, 9007199254740991, 1, Number.POSITIVE_INFINITY, "9007199254740993", -0]);
});

test("a member named __proto__ changes no prototype", () => {
  const value = parseJson('{"__proto__":9007199254740993}') as object;
  assert.equal(Object.getPrototypeOf(value), Object.prototype);
  assert.ok(Object.hasOwn(value, "__proto__"));
});

test("what is not JSON is refused by the reader", () => {
  for (const text of ["", "01", "[1,]", "{'a':1}", "9007199254740993x", "NaN"])
    assert.throws(() => parseJson(text, "exact"), SyntaxError);
});

test("raw JSON and numbers are written as they stand, also inside of other values", () => {
  const value = { a: new RawJson('{"x": 1.0}'), b: [new JsonNumber("-0.0"), 10n ** 30n], c: undefined, d: new Date(0) };
  assert.equal(encodeJson(value), '{"a":{"x": 1.0},"b":[-0.0,1000000000000000000000000000000],"d":"1970-01-01T00:00:00.000Z"}');
  assert.equal(encodeJson(new RawJson("1.0")), "1.0");
  assert.equal(JSON.stringify({ n: new JsonNumber("1.0"), r: new RawJson("[1.0]") }), '{"n":1,"r":[1]}');
  assert.throws(() => new JsonNumber("1."), InvalidValueError);
});

test("what JSON cannot say is refused, with its place", () => {
  const circle: Record<string, unknown> = {};
  circle["self"] = circle;
  const refused: [unknown, string][] = [
    [{ a: [Number.NaN] }, "/a/0"],
    [Number.POSITIVE_INFINITY, ""],
    [["\uD800"], "/0"],
    [{ "\uDC00": 1 }, "/\uDC00"],
    [[undefined], "/0"],
    [undefined, ""],
    [() => 1, ""],
  ];
  for (const [value, pointer] of refused) {
    assert.throws(
      () => encodeJson(value),
      (error: InvalidValueError) => {
        assert.equal(error.reason, "INVALID_VALUE");
        assert.equal(error.details["pointer"], pointer);
        return true;
      },
    );
  }
  assert.throws(() => encodeJson(circle), InvalidValueError);
  assert.equal(
    encodeJson({ text: "null", nothing: null, pair: "\u{1F600}" }),
    '{"text":"null","nothing":null,"pair":"\u{1F600}"}',
  );
});

test("the table of errors is the one of docs/errors.md", () => {
  const document = readFileSync(new URL("../../../../docs/errors.md", import.meta.url), "utf8");
  // By the names of the columns: the table may get more of them.
  const cells = (line: string) => line.split("|").map((cell) => cell.trim().replaceAll("`", ""));
  const lines = document.split("\n").filter((line) => line.startsWith("|"));
  const header = cells(lines[0] ?? "");
  const at = (row: string[], name: string) => row[header.indexOf(name)] ?? "";
  const rows = lines.map(cells).filter((row) => row.length === header.length && /^[A-Z_]+$/.test(at(row, "Reason")));
  const told = Object.fromEntries(
    rows.map((row) => [
      at(row, "Reason"),
      { jsonrpc: Number(at(row, "JSON-RPC")), grpc: at(row, "gRPC"), flow: at(row, "FlowResult") },
    ]),
  );
  assert.deepEqual(told, { ...ERROR_TABLE });
});

test("errors have the class and the retry hint of their reason", () => {
  assert.equal(errorOfReason("RUN_NOT_FOUND", "m").name, "NotFoundError");
  assert.equal(errorOfReason("UNAVAILABLE", "m").retryable, true);
  assert.equal(errorOfReason("OVERLOADED", "m", { details: { retryAfterMs: 5 } }).retryable, true);
  assert.equal(errorOfReason("QUOTA_EXCEEDED", "m").retryable, false);
});

test("idempotency tokens are those that gateways derive", () => {
  assert.equal(idempotencyToken("01a20405-1cb2-7994-b237-b12c826b5016", 0, "all"), "662gikzkpxm6pbnlgmaotghac6");
  assert.equal(idempotencyToken("r", 12, "\u00fc"), "eakp5e5x2rqou45ig7cyrllt6l");
});

test("the version is that of the package", () => {
  const metadata = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
  assert.equal(metadata.version, VERSION);
});
