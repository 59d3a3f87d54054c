import assert from "node:assert/strict";
import { test } from "node:test";
import { count } from "./components.js";

test("counts words", () => {
  assert.equal(count("or not to be"), 4);
});

test("refuses a text without words", () => {
  assert.throws(() => count(" "), /without words/);
});
