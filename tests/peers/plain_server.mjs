// A component server written against docs/protocol alone. No package, no SDK.
import { createInterface } from "node:readline";

const asked = new Map();
const send = (message) => process.stdout.write(JSON.stringify({ jsonrpc: "2.0", ...message }) + "\n");
const ask = (method, params) =>
  new Promise((resolve, reject) => {
    const id = asked.size; // collides with the gateway's ids on purpose
    asked.set(id, { resolve, reject });
    send({ id, method, params });
  });

const components = {
  "/echo": async (input) => input,
  "/fail": async () => {
    throw new Error("no such luck");
  },
  "/blob": async (input) => {
    const { blob_id } = await ask("blobs/put", { data: input });
    return (await ask("blobs/get", { blob_id })).data;
  },
  "/sub": async (input, params) => {
    const { blob_id } = await ask("blobs/put", { data: input.flow, blob_type: "flow" });
    const run = { flowId: blob_id, inputs: input.inputs, wait: true, taskToken: params.taskToken };
    return ask("runs/submit", run);
  },
};

const execute = async ({ id, params }) => {
  try {
    const component = components[params.component];
    if (!component) return send({ id, error: { code: -32001, message: `no component ${params.component}` } });
    send({ id, result: { output: await component(params.input, params) } });
  } catch (error) {
    send({ id, error: { code: -32004, message: error.message } });
  }
};

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (message.method === undefined) {
    const { resolve, reject } = asked.get(message.id);
    if (message.error) reject(new Error(message.error.message));
    else resolve(message.result);
  } else if (message.method === "initialize") send({ id: message.id, result: { serverProtocolVersion: 1 } });
  else if (message.method === "components/list") send({ id: message.id, result: { components: Object.keys(components) } });
  else if (message.method === "components/execute") execute(message);
  else if (message.id !== undefined) send({ id: message.id, error: { code: -32601, message: "no such method" } });
}
