import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

/** Modules that a module of this package loads at its start, those of Node and of other packages by name. */
function loaded(entry: string): Set<string> {
  const seen = new Set<string>();
  const visit = (url: URL) => {
    if (seen.has(url.href)) return;
    seen.add(url.href);
    const source = readFileSync(url, "utf8");
    for (const [, name = ""] of source.matchAll(/^(?:import|export)\b[^;]*?\bfrom "([^"]+)"/gms)) {
      if (name.startsWith(".")) visit(new URL(name, url));
      else seen.add(name);
    }
  };
  visit(new URL(`../../dist/${entry}`, import.meta.url));
  return new Set([...seen].filter((name) => !name.startsWith("file:")));
}

test("the web client needs nothing of Node", () => {
  const names = [...loaded("web.js")];
  assert.deepEqual(
    names.filter((name) => name.startsWith("node:") || name === "@connectrpc/connect-node"),
    [],
  );
  assert.ok(names.includes("@connectrpc/connect-web"));
});

test("a stdio server loads no gRPC", () => {
  assert.deepEqual(
    [...loaded("components.js")].filter((name) => name.startsWith("@")),
    [],
  );
});

test("the lock file names no registry", () => {
  const lock = readFileSync(new URL("../../package-lock.json", import.meta.url), "utf8");
  assert.equal(/"resolved"|https?:/.test(lock.replace(/"url": "https?:[^"]*"/g, "")), false);
});
