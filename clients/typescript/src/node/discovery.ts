// How clients on a machine find the gateway that runs there: `servers/<pid>.json` in the user's runtime directory.

import { accessSync, closeSync, constants, fstatSync, openSync, readdirSync, readFileSync, type Stats, statSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";
import { UnavailableError } from "../errors.js";

export const TARGET_VARIABLE = "FLOWSPAN_TARGET";
export const TOKEN_VARIABLE = "FLOWSPAN_TOKEN";

/** Where a gateway listens. `target`: `unix:/path` or `host:port`, the nearest way in; `addresses`: all of them. */
export interface ServerInfo {
  readonly target: string;
  readonly pid: number;
  /** Undefined where it wants none. */
  readonly token: string | undefined;
  readonly addresses: readonly string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The directory for sockets and server files of this user. */
export function runtimeDirectory(environment: Environment = process.env): string {
  const runtime = environment["XDG_RUNTIME_DIR"] ?? "";
  if (isAbsolute(runtime) && isDirectory(runtime)) return join(runtime, "flowspan");
  const state = environment["XDG_STATE_HOME"] ?? "";
  if (isAbsolute(state)) return join(state, "flowspan");
  const home = environment["HOME"] || homedir();
  if (isAbsolute(home) && isWritable(home)) return join(home, ".local", "state", "flowspan");
  return join(tmpdir(), `flowspan-${process.getuid?.() ?? 0}`);
}

/** The newest announced server of this user whose process is alive; `address`: only one that listens there. */
export function findServer(address?: string, directory = runtimeDirectory()): ServerInfo | undefined {
  const servers = join(directory, "servers");
  let names: string[];
  try {
    if (!isOurs(statSync(servers)) || !isOurs(statSync(directory))) return undefined;
    names = readdirSync(servers).filter((name) => name.endsWith(".json") && !name.startsWith("."));
  } catch {
    return undefined;
  }
  let newest: { at: bigint; server: ServerInfo } | undefined;
  for (const name of names) {
    const found = readServer(join(servers, name));
    if (found === undefined || (newest !== undefined && found.at <= newest.at)) continue;
    if (address === undefined || found.server.addresses.some((other) => samePlace(other) === samePlace(address))) newest = found;
  }
  return newest?.server;
}

/** Where to connect: what was given, else the environment, else what is found. The token of a server of this user is found by any of
 * its addresses. */
export function findTarget(
  target: string | undefined,
  token: string | undefined,
  environment: Environment = process.env,
): { target: string; token: string | undefined } {
  const known = token || environment[TOKEN_VARIABLE] || undefined;
  const wanted = target || environment[TARGET_VARIABLE] || undefined;
  const directory = runtimeDirectory(environment);
  if (wanted !== undefined) return { target: wanted, token: known ?? findServer(wanted, directory)?.token };
  const server = findServer(undefined, directory);
  if (server === undefined) {
    throw new UnavailableError(`no gateway was found: start one with \`flowspan serve\`, or set ${TARGET_VARIABLE}`);
  }
  return { target: server.target, token: known ?? server.token };
}

/** Content and age of a server file, if it can be believed and its server is alive. */
function readServer(path: string): { at: bigint; server: ServerInfo } | undefined {
  try {
    // Looked at through the descriptor, so that what was checked is what is read.
    const file = openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
    try {
      const facts = fstatSync(file, { bigint: true });
      if (!facts.isFile() || !isOurs(facts) || facts.size > 65_536n) return undefined;
      const read = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
      const { target, pid, token, addresses } = read;
      if (typeof target !== "string" || typeof pid !== "number" || !isAlive(pid)) return undefined;
      const server = {
        target,
        pid,
        token: typeof token === "string" ? token : undefined,
        addresses: Array.isArray(addresses) ? addresses.filter((one): one is string => typeof one === "string") : [],
      };
      return { at: facts.mtimeNs, server };
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined;
  }
}

function samePlace(address: string): string {
  return address.replace(/^localhost:/, "127.0.0.1:");
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false; // where it is alive but somebody else's, the number was given away again
  }
}

/** Whether only this user can have written it. */
function isOurs(facts: Pick<Stats, "uid" | "mode"> | { uid: bigint; mode: bigint }): boolean {
  const uid = process.getuid?.();
  return uid === undefined || (Number(facts.uid) === uid && (Number(facts.mode) & 0o077) === 0);
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
