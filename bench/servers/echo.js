// The component server of the scenarios, in plain Node.
"use strict";
const info = { component: "/echo" };
const methods = {
  initialize: () => ({ serverProtocolVersion: 1, capabilities: { capacity: 512 } }),
  "components/list": () => ({ components: [info] }),
  "components/info": () => ({ info }),
  "components/execute": (params) => ({ output: params.input }),
};

function answer(line) {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return "";
  const call = methods[method];
  const outcome = call ? { result: call(params) } : { error: { code: -32601, message: "unknown method" } };
  return JSON.stringify({ jsonrpc: "2.0", id, ...outcome }) + "\n";
}

let rest = "";
process.stdin.setEncoding("utf8");
process.stdin.on("data", (chunk) => {
  const lines = (rest + chunk).split("\n");
  rest = lines.pop();
  let out = "";
  for (const line of lines) out += answer(line);
  process.stdout.write(out);
});
process.stdin.on("end", () => process.exit(0));
