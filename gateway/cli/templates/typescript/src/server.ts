import { ComponentServer } from "flowspan/components";
import { count, total } from "./components.js";

const server = new ComponentServer();
server.component("count", { description: "The number of words of a text.", inputSchema: { type: "string" } }, count);
server.component("total", { description: "The words of many texts." }, total);
await server.run();
