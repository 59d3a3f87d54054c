// A component server in plain Node, written by hand against the wire (docs/protocol): JSON-RPC 2.0, one message per line, requests on
// stdin, answers on stdout, stderr is the log. No SDK, no dependency.
"use strict";
const { createHash } = require("node:crypto");

const components = {
  "/fingerprint": {
    description: "Counts the words of a text and names its most frequent long word.",
    input_schema: { type: "object", properties: { text: { type: "string" } }, required: ["text"] },
    output_schema: { type: "object" },
    execute: fingerprint,
  },
};

function fingerprint({ text }) {
  if (typeof text !== "string") throw failure(-32003, "`text` must be a string", { pointer: "/text" });
  const counts = new Map();
  const words = text.toLowerCase().match(/\p{L}+/gu) ?? [];
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  let favourite = null;
  for (const [word, count] of counts) if (word.length > 6 && count > (counts.get(favourite) ?? 0)) favourite = word;
  return { words: words.length, distinct: counts.size, favourite, sha256: createHash("sha256").update(text).digest("hex") };
}

function failure(code, message, data) {
  return Object.assign(new Error(message), { rpc: { code, message, data } });
}

const info = (name) => ({ component: name, ...components[name], execute: undefined });

function find(name) {
  if (!Object.hasOwn(components, name)) throw failure(-32001, `there is no component ${name}`);
  return components[name];
}

const methods = {
  initialize: () => ({ serverProtocolVersion: 1, serverInfo: { name: "node-plain", version: "1" }, capabilities: { capacity: 64 } }),
  "components/list": () => ({ components: Object.keys(components).map(info) }),
  "components/info": ({ component }) => find(component) && { info: info(component) },
  "components/execute": ({ component, input }) => ({ output: find(component).execute(input) }),
};

function answer(line) {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return ""; // a notification: `initialized`, or a cancel, for which answers here come too fast
  let outcome;
  try {
    if (!Object.hasOwn(methods, method)) throw failure(-32601, `unknown method ${method}`);
    outcome = { result: methods[method](params ?? {}) };
  } catch (error) {
    outcome = { error: error.rpc ?? { code: -32004, message: String(error.message), data: { type: error.name } } };
  }
  return JSON.stringify({ jsonrpc: "2.0", id, ...outcome }) + "\n";
}

// Many lines may come with one read, and a line with many: complete lines are answered together, in one write.
let rest = "";
process.stdin.setEncoding("utf8");
process.stdin.on("data", (chunk) => {
  const lines = (rest + chunk).split("\n");
  rest = lines.pop();
  process.stdout.write(lines.filter(Boolean).map(answer).join(""));
});
process.stdin.on("end", () => process.exit(0)); // the gateway is gone
